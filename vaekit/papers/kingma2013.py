r"""Auto-Encoding Variational Bayes (Kingma & Welling, arXiv 1312.6114).

```python
from vaekit.papers import kingma2013 as paper

mnist = vk.datasets.load("dynamic_mnist")
vae = paper.mnist(latents=20, examples=len(mnist.train))
vae.fit(mnist.train, epochs=10, batch_size=paper.SETTINGS.batch_size)
```

Its baselines: wake–sleep is another objective, `vae.compile(paper.optimizer(), objective=vk.objectives.WakeSleep())`;
Monte Carlo EM another loop, `vk.inference.monte_carlo_em(vae, mnist.train, paper.optimizer())`.

Where the paper is silent: Adagrad's accumulators start at Keras' 0.1 (from 0 the first step has the full size for every
weight, which can throw a model far back); the weight prior is on the generative weights θ alone;
MNIST is drawn anew in binary in every epoch.
"""

from dataclasses import dataclass
from functools import partial
from numbers import Integral

import keras
import numpy as np

from vaekit import evaluation
from vaekit.layers import MLP, Bernoulli, DiagonalNormal, VariationalWeights
from vaekit.models import VAE
from vaekit.objectives import ELBO, WakeSleep
from vaekit.papers.cell import Figure, mean, table, titled
from vaekit.papers.common import train
from vaekit.papers.presets import Presets
from vaekit.priors import weight_prior


@dataclass(frozen=True)
class Settings:
    """Settings of section 5 of the paper.

    Attributes:
        batch_size: M.
        samples: L, samples of z for each example.
        learning_rate: Adagrad's global step; the paper picks it from `learning_rates` by the first iterations.
        weight_scale: standard deviation of the initial weights: N(0, 0.01), read as a variance of 0.01.
        hidden_mnist, hidden_frey: hidden tanh units, each way.
    """

    batch_size: int = 100
    samples: int = 1
    learning_rate: float = 0.02
    learning_rates: tuple = (0.01, 0.02, 0.1)
    weight_scale: float = 0.1
    hidden_mnist: int = 500
    hidden_frey: int = 200


SETTINGS = Settings()


def _weights(settings, examples=None):
    regularizer = weight_prior(examples) if examples else None
    return dict(
        kernel_initializer=keras.initializers.RandomNormal(stddev=settings.weight_scale),
        kernel_regularizer=regularizer,
        bias_regularizer=regularizer,
    )


def encoder(latents, hidden, settings=SETTINGS):
    r"""$q(z|x) = \mathcal N(\mu, \sigma^2 I)$: one tanh layer, then heads for μ and log σ² (appendix C.2)."""
    if not isinstance(latents, Integral):
        raise ValueError(
            "This paper's models are built by numbers, mnist(latents=20, examples=len(x)), for images of its two data "
            f"sets, and take data in fit(x); received a {type(latents).__name__} for latents."
        )
    options = _weights(settings)
    return keras.Sequential([MLP(hidden, "tanh", **options), DiagonalNormal(latents, **options)], name="encoder")


def bernoulli_decoder(event_shape, hidden, examples=None, settings=SETTINGS):
    r"""$p(x|z)$ Bernoulli, from one tanh layer (appendix C.1). With `examples`, weights have the prior N(0, I)."""
    options = _weights(settings, examples)
    return keras.Sequential([MLP(hidden, "tanh", **options), Bernoulli(event_shape, **options)], name="decoder")


def gaussian_decoder(event_shape, hidden, examples=None, settings=SETTINGS):
    r"""$p(x|z)$ normal with means in (0, 1) through a sigmoid and log σ² free, from one tanh layer (appendix C.2)."""
    options = _weights(settings, examples)
    head = DiagonalNormal(event_shape, mean_activation="sigmoid", **options)
    return keras.Sequential([MLP(hidden, "tanh", **options), head], name="decoder")


def optimizer(settings=SETTINGS):
    """Adagrad with the paper's global step."""
    return keras.optimizers.Adagrad(settings.learning_rate)


def mnist(latents=20, examples=None, hidden=None, settings=SETTINGS, seed=None):
    """The MNIST model of figure 2, compiled: 500 hidden units, Bernoulli decoder, estimator B, L = 1.

    Args:
        latents: the paper's are 3, 5, 10, 20 and 200.
        examples: N, for the prior on the weights (MAP); None: maximum likelihood.
        hidden: tanh units, 500 if None; figure 3 has 100, with 3 latents.
    """
    hidden = hidden or settings.hidden_mnist
    decoder = bernoulli_decoder((28, 28, 1), hidden, examples, settings)
    return _compiled(VAE(encoder(latents, hidden, settings), decoder, seed=seed), settings)


def frey_faces(latents=10, examples=None, settings=SETTINGS, seed=None):
    """The Frey Face model of figure 2, compiled: 200 hidden units, Gaussian decoder, estimator B, L = 1.

    Args:
        latents: the paper's are 2, 5, 10 and 20.
        examples: N, for the prior on the weights (MAP); None: maximum likelihood.
    """
    hidden = settings.hidden_frey
    decoder = gaussian_decoder((28, 20, 1), hidden, examples, settings)
    return _compiled(VAE(encoder(latents, hidden, settings), decoder, seed=seed), settings)


def full_variational_bayes(latents, examples, hidden=None, settings=SETTINGS, seed=None):
    """The MNIST model with a posterior over the decoder's weights instead of a point, compiled (appendix F).

    Args:
        examples: N, the number of training examples.
    """
    hidden = hidden or settings.hidden_mnist
    decoder = VariationalWeights(bernoulli_decoder((28, 28, 1), hidden, settings=settings), examples, seed=seed)
    return _compiled(VAE(encoder(latents, hidden, settings), decoder, seed=seed), settings)


def _compiled(model, settings):
    model.compile(optimizer(settings), objective=ELBO(settings.samples, analytic_kl=True))
    return model


def fit(model, data, epochs=10, settings=SETTINGS, **options):
    """Trains with the paper's batches; options as for a model's `fit`."""
    return train(model, data, settings, epochs=epochs, **options)


# Lower bound in nats per example at the right edge of figure 2, read off the plot (MNIST ± 1, Frey Faces ± 20).
# (data set, latents, method): (test, training), None where not readable.
FIGURE_2 = {
    ("dynamic_mnist", 3, "AEVB"): (-133.5, -128),
    ("dynamic_mnist", 3, "wake-sleep"): (-137.5, -139),
    ("dynamic_mnist", 5, "AEVB"): (-119, -115),
    ("dynamic_mnist", 5, "wake-sleep"): (-121, -121),
    ("dynamic_mnist", 10, "AEVB"): (-103, -99),
    ("dynamic_mnist", 10, "wake-sleep"): (-106.5, -106),
    ("dynamic_mnist", 20, "AEVB"): (-99.5, -97),
    ("dynamic_mnist", 20, "wake-sleep"): (-104, -103.5),
    ("dynamic_mnist", 200, "AEVB"): (-99.5, -97.5),
    ("dynamic_mnist", 200, "wake-sleep"): (-103.5, -103),
    ("frey_faces", 2, "AEVB"): (870, 930),
    ("frey_faces", 2, "wake-sleep"): (570, None),
    ("frey_faces", 5, "AEVB"): (1115, 1230),
    ("frey_faces", 10, "AEVB"): (1310, 1460),
    ("frey_faces", 20, "AEVB"): (1315, 1485),
}

# Marginal log-likelihood in nats, figure 3, read off the plot; MNIST, 3 latents, 100 hidden units.
# (training examples, method): (test, training).
FIGURE_3 = {
    (1000, "AEVB"): (-143, -109),
    (1000, "wake-sleep"): (-145, -125.5),
    (1000, "MCEM"): (-141.5, -109),
    (50000, "AEVB"): (-138, -131),
    (50000, "wake-sleep"): (-141, -137),
    (50000, "MCEM"): (-148.5, -147),
}

# ---- the cells of these figures

SAMPLES_2, SAMPLES_3 = 10**8, 6 * 10**7  # training examples seen at the right edges of figures 2 and 3
BOUND = (
    "Bound with one sample of z an image, KL in closed form: mean over all test images, over 10,000 training images."
)
HMC = "Marginal log-likelihood by the HMC estimator of appendix D: 1000 test and 1000 training images, 50 samples each."


def measure_bound(model, data, seed=0, progress=True, checkpoint=None):
    """The bound on test and training images."""
    train = np.asarray(data.train)[np.random.default_rng(seed).permutation(len(data.train))[:10_000]]
    figures = {}
    for name, x in (("test", data.test), ("training", train)):
        figures[f"{name} bound"] = mean(evaluation.terms(model, x, ELBO(analytic_kl=True), seed=seed)["bound"])
    return figures


def measure_likelihood(model, data, seed=0, progress=True, checkpoint=None):
    """The marginal log-likelihood of 1000 test and training images."""
    figures = {}
    for name, x in (("test", data.test), ("training", np.asarray(data.train))):
        some = x[np.random.default_rng(seed).permutation(len(x))[:1000]]
        p = evaluation.hmc_log_likelihood(model, some, seed=seed)
        figures[f"{name} log p(x)"] = Figure(p.mean, p.standard_error)
    return figures


def build(data, method, latents=3, examples=None, settings=SETTINGS, seed=None):
    """The model of a cell, by the cell's options: figure 2 goes by latents, figure 3 by training examples."""
    n = len(data.train)
    if data.name == "frey_faces":
        model = frey_faces(latents, n, settings=settings, seed=seed)
    else:
        model = mnist(latents, n, hidden=100 if examples else None, settings=settings, seed=seed)
    model.build((None, *data.event_shape))
    if method == "wake-sleep":
        model.compile(optimizer(settings), objective=WakeSleep())
    return model


def _figure_2(cell):
    epochs = SAMPLES_2 // {"frey_faces": 1565}.get(cell.data, 50_000)
    return dict(epochs=epochs, measure=measure_bound, metric=BOUND)


def _figure_3(cell):
    n, mcem = cell.options["examples"], cell.options["method"] == "mcem"
    missing = "vaekit.inference.monte_carlo_em trains it, which keeps no checkpoint" if mcem else ""
    return dict(epochs=SAMPLES_3 // n, examples=n, measure=measure_likelihood, metric=HMC, missing=missing)


cells = partial(table, shared=dict(paper="kingma2013", build=build, fit=fit, settings=SETTINGS))
by_latents = partial(cells, options=("data", "latents", "method"), each=_figure_2)
by_examples = partial(cells, options=("data", "examples", "method"), each=_figure_3)
CELLS = [
    *by_latents("figure 2", FIGURE_2, figures=("test bound", "training bound")),
    *by_examples("figure 3", FIGURE_3, figures=("test log p(x)", "training log p(x)"), data="dynamic_mnist"),
]

OTHERS = by_latents("", {("static_mnist", 20, "AEVB"): ()}, figures=())  # in no figure
MODELS = titled(
    CELLS + OTHERS,
    {"MNIST, 20 latents": "static_mnist-20-aevb", "Frey Faces, 10 latents": "frey_faces-10-aevb"},
)

PRESETS = Presets("kingma2013")
load, record = PRESETS.load, PRESETS.record  # trained models, and the records of their runs
