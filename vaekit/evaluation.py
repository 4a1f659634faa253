r"""How good a model is: estimates of log p(x), and which latent units it uses."""

import math
from dataclasses import dataclass
from numbers import Integral

import keras
import numpy as np
from keras import ops
from scipy.stats import multivariate_normal
from tqdm.auto import tqdm

from vaekit import backend, inference


@dataclass(frozen=True)
class LogLikelihood:
    """An estimate of log p(x) for each example of a data set, in nats.

    Attributes:
        per_example: array `[N]`.
        effective_sample_size: array `[N]`, $(\\sum_s w_s)^2 / \\sum_s w_s^2$: from 1 (one sample carries the
            estimate; importance sampling is then too low) to S (q(z|x) is the true posterior).
        samples: S.
    """

    per_example: np.ndarray
    effective_sample_size: np.ndarray
    samples: int

    @property
    def mean(self):
        """Mean over the examples, in nats."""
        return float(self.per_example.mean())

    @property
    def standard_error(self):
        """Standard error of the mean as an estimate for new data, std / √N, in nats."""
        n = len(self.per_example)
        return float(self.per_example.std(ddof=1) / math.sqrt(n)) if n > 1 else float("nan")

    def __repr__(self):
        return (
            f"log p(x) = {self.mean:.2f} ± {self.standard_error:.2f} nats ({len(self.per_example)} examples, "
            f"{self.samples} samples each, median effective sample size "
            f"{np.median(self.effective_sample_size):.1f})"
        )


def log_likelihood(model, x, samples=5000, batch_size=100, chunk=None, seed=0, progress=True):
    r"""Importance-sampling estimate $\log p(x) \approx \log \frac1S \sum_s \frac{p(x, z_s)}{q(z_s|x)}$, in nats.

    A lower bound in expectation, $\mathcal L_S$, that rises to log p(x) with S. The samples are streamed: no more
    than `batch_size · chunk` of them are in memory at a time.

    Args:
        model: a `LatentVariableModel`.
        x: data `[N, ...]`.
        samples: S.
        batch_size: examples at a time.
        chunk: samples of each example at a time; None: such that about 10,000 are decoded at once.
        seed: an int; the same one gives the same estimate.
        progress: show a progress bar.

    Returns: `LogLikelihood`.

    Source: Rezende et al. 2014, appendix E; Burda et al. 2016, section 5 (S = 5000).
    """
    for name, value in {"samples": samples, "batch_size": batch_size, "chunk": 1 if chunk is None else chunk}.items():
        if not (isinstance(value, Integral) and value >= 1):
            raise ValueError(f"log_likelihood expects {name} to be an integer of at least 1; received {value!r}.")
    data = {name: np.asarray(array) for name, array in model.arrays(x).items()}
    n = len(next(iter(data.values())))
    batch_size = min(batch_size, n)
    model.observe({name: array[:1] for name, array in data.items()})  # builds it
    chunk = min(samples, chunk or max(1, 10_000 // batch_size))
    full, rest = divmod(samples, chunk)
    generator = keras.random.SeedGenerator(seed)
    programs = {}  # one for each chunk size

    def log_weights(batch, size):
        if size not in programs:
            programs[size] = backend.compile(
                lambda values: model.trace(values, size, seed=generator).log_weights(),
                [*model.variables, generator.state],
            )
        return ops.convert_to_numpy(programs[size](batch)).astype("float64")  # [size, B]

    results = []
    with tqdm(total=n * samples, unit=" samples", unit_scale=True, disable=not progress, leave=False) as bar:
        for start in range(0, n, batch_size):
            batch, rows = _rows(data, start, batch_size)
            # running log Σ w and log Σ w²
            first = second = np.full(batch_size, -np.inf)
            for size in [chunk] * full + [rest] * (rest > 0):
                w = log_weights(batch, size)
                first = np.logaddexp(first, np.logaddexp.reduce(w, axis=0))
                second = np.logaddexp(second, np.logaddexp.reduce(2 * w, axis=0))
                bar.update(size * rows)
            results.append((first[:rows] - math.log(samples), np.exp(2 * first - second)[:rows]))
    estimate, effective = map(np.concatenate, zip(*results, strict=True))
    return LogLikelihood(estimate, effective, samples)


def _rows(data, start, size):
    """Rows `start : start + size`, the last one repeated where data end (one shape, one compiled program)."""
    n = len(next(iter(data.values())))
    index = np.minimum(np.arange(start, start + size), n - 1)
    return {name: ops.cast(value[index], "float32") for name, value in data.items()}, min(size, n - start)


@dataclass(frozen=True)
class ActiveUnits:
    """Which units of a latent variable a model uses.

    Attributes:
        activity: array of the latent's shape, $\\mathrm{Var}_x\\, \\mathbb E_{q(z|x)}[z]$.
        threshold: activity above which a unit counts as active.
    """

    activity: np.ndarray
    threshold: float

    @property
    def active(self):
        """Boolean array of the latent's shape."""
        return self.activity > self.threshold

    @property
    def count(self):
        """Number of active units."""
        return int(self.active.sum())

    def __repr__(self):
        return f"{self.count} of {self.activity.size} units active (threshold {self.threshold:g})"


def active_units(model, x, threshold=0.01, batch_size=500):
    r"""Units whose posterior mean depends on the data: $\mathrm{Var}_x\, \mathbb E_{q(z|x)}[z_d] > 0.01$.

    Args:
        model: a `LatentVariableModel`.
        x: data `[N, ...]`, at least two examples.
        threshold: for the variance.

    Returns: `ActiveUnits`; with several latents a dict of them by name, each given the means of those before it.

    Source: Burda et al. 2016, section 5.2.
    """
    means = model.encode(x, batch_size)
    several = isinstance(means, dict)
    result = {}
    for name, value in (means if several else {"z": means}).items():
        if len(value) < 2:
            raise ValueError(f"active_units expects at least two examples; received {len(value)}.")
        result[name] = ActiveUnits(value.var(axis=0), threshold)
    return result if several else result["z"]


def hmc_log_likelihood(model, x, samples=50, burn_in=300, leapfrog_steps=4, thinning=4, seed=0):
    r"""The HMC estimator of log p(x) of Kingma & Welling, sound below about five latent dimensions.

    Half of the samples of p(z|x) fit a normal density q(z) with full covariance; the other half, drawn on, give
    $\log p(x) \approx -\log \frac1L \sum_l \frac{q(z_l)}{p(z_l)\, p(x|z_l)}$, $z_l \sim p(z|x)$.

    Args:
        model: a `LatentVariableModel`; its inference side is not used.
        x: data `[N, ...]`.
        samples: L, samples in each half.
        burn_in, leapfrog_steps, thinning, seed: as for `vaekit.inference.hmc`.

    Returns: `LogLikelihood`; its effective sample size is that of the terms of the sum. (An estimate from few effective
        samples is too high here, where importance sampling's is too low.)

    Raises:
        ValueError: too few samples for a covariance, a chain that does not move, and as for `vaekit.inference.hmc`.

    Source: Kingma & Welling 2014, appendix D.
    """
    data = model.observe(x)
    dimensions = sum(math.prod(model.event_shapes[name]) for name in model.latents)
    if samples <= dimensions:
        raise ValueError(
            f"hmc_log_likelihood fits a covariance in {dimensions} dimensions: it needs more than {dimensions} samples "
            f"in each half; received samples={samples}."
        )
    z, _ = inference.hmc(model, data, 2 * samples, burn_in, leapfrog_steps, thinning, seed=seed)
    n = len(next(iter(data.values())))
    flat = np.concatenate([part.reshape(2 * samples, n, -1) for part in z.values()], axis=-1).astype("float64")
    log_q = np.empty((samples, n))
    for i in range(n):
        fit, rest = flat[:samples, i], flat[samples:, i]
        try:
            log_q[:, i] = multivariate_normal(fit.mean(axis=0), np.cov(fit, rowvar=False)).logpdf(rest)
        except np.linalg.LinAlgError:
            raise ValueError(
                f"The chain of example {i} hardly moved, so no density fits its samples. Raise burn_in or thinning."
            ) from None
    fresh = {name: part[samples:].reshape(samples * n, *part.shape[2:]) for name, part in z.items()}
    repeated = {name: np.tile(value, (samples, *(1 for _ in value.shape[1:]))) for name, value in data.items()}
    values = {name: ops.convert_to_tensor(value) for name, value in {**repeated, **fresh}.items()}
    terms = log_q - ops.convert_to_numpy(model.log_p(values)).reshape(samples, n)  # log q(z) − log p(x, z)
    total = np.logaddexp.reduce(terms, axis=0)
    effective = np.exp(2 * total - np.logaddexp.reduce(2 * terms, axis=0))
    return LogLikelihood(math.log(samples) - total, effective, samples)
