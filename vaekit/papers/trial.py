"""Brief trainings of a paper's architectures, to see each of them work on real data: `vaekit try burda2015`."""

import time
from dataclasses import dataclass, replace

import keras
import numpy as np

from vaekit import datasets, evaluation


@dataclass(frozen=True)
class Trial:
    """What a brief training came to, on some test images of a data set; a figure in nats is a mean per image.

    Attributes:
        model, data: names.
        epochs: trained.
        seconds: of training, compilation included.
        bound, kl: of the objective, at one fixed draw of the noise.
        log_likelihood: `vaekit.evaluation.LogLikelihood`.
        active: active units of each latent, by name.
    """

    model: str
    data: str
    epochs: int
    seconds: float
    bound: float
    kl: float
    log_likelihood: evaluation.LogLikelihood
    active: dict

    def __str__(self):
        active = "+".join(str(units.count) for units in self.active.values())
        p = self.log_likelihood
        bits = "" if p.binary else f"  {p.bits_per_dimension:6.3f} bits/dim"
        return (
            f"{self.model:<28} {self.data:<26} {self.epochs:>6} {self.seconds:>7.0f} {self.bound:>10.2f} "
            f"{p.mean:>10.2f} ±{p.standard_error:>5.2f} {self.kl:>8.2f} {active:>7}{bits}"
        )


HEADER = (
    f"{'model':<28} {'data':<26} {'epochs':>6} {'seconds':>7} {'bound':>10} {'log p(x)':>10} {'':>6} {'KL':>8} "
    f"{'active':>7}"
)


def run(paper, models=None, data=None, epochs=2, examples=None, samples=100, images=500, seed=0, progress=True):
    """Trains architectures of a paper one after the other, for a few epochs; yields a `Trial` for each.

    Their settings are the paper's, but for a shorter warm-up: see `settings`.

    Args:
        paper: a module of `vaekit.papers`.
        models: names in `paper.MODELS`; None: all.
        data: name of a data set for all of them; None: each model's own.
        epochs: of training.
        examples: training images, and at most as many for validation; None: all.
        samples: of importance sampling, for log p(x).
        images: test images to evaluate on.
        seed: of weights, order and noise, and of which images are taken (data may be sorted by class).

    Raises:
        ValueError: an unknown model.
    """
    unknown = [name for name in models or () if name not in paper.MODELS]
    if unknown:
        raise ValueError(f"There is no model {unknown}; this paper's are: {'; '.join(paper.MODELS)}.")
    for name in models or paper.MODELS:
        cell = replace(paper.MODELS[name], settings=settings(paper, epochs))
        chosen = datasets.load(data or cell.data)
        chosen = replace(chosen, train=_some(chosen.train, examples, seed))
        chosen = replace(chosen, validation=_some(chosen.validation, examples, seed))
        keras.utils.set_random_seed(seed)
        model = cell.model(chosen, None)
        start = time.perf_counter()
        cell.fit(model, chosen, epochs=epochs, settings=cell.settings, verbose=1 if progress else 0)
        seconds = time.perf_counter() - start
        test = np.asarray(_some(chosen.test, images, seed))
        terms = model.evaluate(test, seed=seed, verbose=0)
        p = evaluation.log_likelihood(model, test, samples=samples, seed=seed, progress=progress)
        units = evaluation.active_units(model, np.asarray(_some(chosen.train, 500, seed)))
        units = units if isinstance(units, dict) else {"z": units}
        yield Trial(name, chosen.title, epochs, seconds, terms["bound"], terms["kl"], p, units)


def settings(paper, epochs):
    """A paper's settings, whatever the data, for so few epochs: β warms up in half of them at most."""
    warm_up = getattr(paper.SETTINGS, "warm_up", 0)
    return replace(paper.SETTINGS, warm_up=epochs / 2) if warm_up > epochs / 2 else paper.SETTINGS


def _some(x, n, seed):
    """n rows of `x` drawn without replacement; all of them, as they are, for None or a greater n."""
    return x if n is None or n >= len(x) else x[np.random.default_rng(seed).permutation(len(x))[:n]]
