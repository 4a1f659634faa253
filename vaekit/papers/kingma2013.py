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
from numbers import Integral

import keras
import numpy as np

from vaekit import evaluation
from vaekit.layers import MLP, Bernoulli, DiagonalNormal, VariationalWeights
from vaekit.models import VAE
from vaekit.objectives import ELBO, WakeSleep
from vaekit.papers.cell import Cell, Figure, mean
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
    return model.fit(data.train, batch_size=settings.batch_size, epochs=epochs, **options)


MODELS = {
    "MNIST, 20 latents": (lambda data: mnist(20, len(data.train)), "static_mnist"),
    "Frey Faces, 10 latents": (lambda data: frey_faces(10, len(data.train)), "frey_faces"),
}


# Lower bound in nats per example at the right edge of figure 2, read off the plot (MNIST ± 1, Frey Faces ± 20):
# data set, latents: (AEVB test, AEVB train, wake–sleep test, wake–sleep train); None where not readable.
FIGURE_2 = {
    ("mnist", 3): (-133.5, -128, -137.5, -139),
    ("mnist", 5): (-119, -115, -121, -121),
    ("mnist", 10): (-103, -99, -106.5, -106),
    ("mnist", 20): (-99.5, -97, -104, -103.5),
    ("mnist", 200): (-99.5, -97.5, -103.5, -103),
    ("frey_faces", 2): (870, 930, 570, None),
    ("frey_faces", 5): (1115, 1230, None, None),
    ("frey_faces", 10): (1310, 1460, None, None),
    ("frey_faces", 20): (1315, 1485, None, None),
}

# Marginal log-likelihood in nats, figure 3, read off the plot; 3 latents, 100 hidden units:
# training examples, method: (train, test).
FIGURE_3 = {
    (1000, "AEVB"): (-109, -143),
    (1000, "wake-sleep"): (-125.5, -145),
    (1000, "MCEM"): (-109, -141.5),
    (50000, "AEVB"): (-131, -138),
    (50000, "wake-sleep"): (-137, -141),
    (50000, "MCEM"): (-147, -148.5),
}

# ---- the cells of these figures

SAMPLES_2, SAMPLES_3 = 10**8, 6 * 10**7  # training examples seen at the right edges of figures 2 and 3
BOUND = (
    "Bound with one sample of z an image, KL in closed form: mean over all test images, over 10,000 training images."
)
HMC = "Marginal log-likelihood by the HMC estimator of appendix D: 1000 test and 1000 training images, 50 samples each."


def measure_bound(model, data, seed=0, progress=True):
    """The bound on test and training images."""
    train = np.asarray(data.train)[np.random.default_rng(seed).permutation(len(data.train))[:10_000]]
    figures = {}
    for name, x in (("test", data.test), ("training", train)):
        figures[f"{name} bound"] = mean(evaluation.terms(model, x, ELBO(analytic_kl=True), seed=seed)["bound"])
    return figures


def measure_likelihood(model, data, seed=0, progress=True):
    """The marginal log-likelihood of 1000 test and training images."""
    figures = {}
    for name, x in (("test", data.test), ("training", np.asarray(data.train))):
        some = x[np.random.default_rng(seed).permutation(len(x))[:1000]]
        p = evaluation.hmc_log_likelihood(model, some, seed=seed)
        figures[f"{name} log p(x)"] = Figure(p.mean, p.standard_error)
    return figures


def _compiled_for(model, method, settings):
    if method == "wake-sleep":
        model.compile(optimizer(settings), objective=WakeSleep())
    return model


def _figure_2(data, latents, method, test, train):
    def build(data, seed, settings, quirks):
        build = frey_faces if data.name == "frey_faces" else mnist
        model = build(latents, len(data.train), settings=settings, seed=seed)
        model.build((None, *data.event_shape))
        return _compiled_for(model, method, settings)

    data = "dynamic_mnist" if data == "mnist" else data
    reported = {"test bound": test, "training bound": train}
    return Cell(
        paper="kingma2013",
        table="figure 2",
        options=dict(data=data, latents=latents, method=method),
        reported={name: value for name, value in reported.items() if value is not None},
        epochs=SAMPLES_2 // {"dynamic_mnist": 50_000, "frey_faces": 1565}[data],
        build=build,
        fit=fit,
        measure=measure_bound,
        metric=BOUND,
        settings=SETTINGS,
    )


def _figure_3(examples, method, train, test):
    def build(data, seed, settings, quirks):
        model = mnist(3, len(data.train), hidden=100, settings=settings, seed=seed)
        model.build((None, *data.event_shape))
        return _compiled_for(model, method, settings)

    return Cell(
        paper="kingma2013",
        table="figure 3",
        options=dict(data="dynamic_mnist", examples=examples, method=method),
        reported={"test log p(x)": test, "training log p(x)": train},
        epochs=SAMPLES_3 // examples,
        build=build,
        fit=fit,
        measure=measure_likelihood,
        metric=HMC,
        settings=SETTINGS,
        examples=examples,
        missing="vaekit.inference.monte_carlo_em trains it, which keeps no checkpoint" if method == "mcem" else "",
    )


CELLS = [
    *(
        _figure_2(*key, method, *values)
        for key, row in FIGURE_2.items()
        for method, values in (("aevb", row[:2]), ("wake-sleep", row[2:]))
        if values != (None, None)
    ),
    *(_figure_3(examples, method.lower(), *values) for (examples, method), values in FIGURE_3.items()),
]

PRESETS = Presets("kingma2013")
load, record = PRESETS.load, PRESETS.record  # trained models, and the records of their runs
