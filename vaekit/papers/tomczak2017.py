r"""VAE with a VampPrior (Tomczak & Welling, arXiv 1705.07120).

```python
from dataclasses import replace
from vaekit.papers import tomczak2017 as paper

data = vk.datasets.load("caltech101_silhouettes")
settings = replace(paper.SETTINGS, learning_rate=1e-4)  # for small data sets; of the others the usual 5e-4
hvae = paper.hvae(data, prior="vampprior", settings=settings)
paper.fit(hvae, data, settings=settings)  # up to 2000 epochs, stops early
print(vk.evaluation.log_likelihood(hvae, data.test, samples=5000))
vk.plotting.image_grid(paper.prior_of(hvae).pseudo_inputs[:48])
```

Four architectures: `vae`, `hvae`, `conv_hvae`, `pixel_hvae`. Four priors on the last latent: `"standard"`, `"mixture"`,
`"vampprior"`, `"vampprior_data"`. Two likelihoods, by the data: Bernoulli, and discretized logistic for grey bytes.
"""

import math
from dataclasses import dataclass, replace
from functools import partial

import keras
import numpy as np

from vaekit import evaluation
from vaekit.layers import (
    Autoregressive,
    Bernoulli,
    DiagonalNormal,
    DiscretizedLogistic,
    GatedConv2D,
    GatedDense,
    Join,
    MaskedConv2D,
)
from vaekit.models import VAE, Factor, LatentVariableModel
from vaekit.objectives import ELBO, WarmUp
from vaekit.papers.cell import Figure, numbers, on, table, titled
from vaekit.papers.common import REBUILT, event_shape, logit_range, steps_per_epoch, train
from vaekit.papers.presets import Presets
from vaekit.priors import MixtureOfNormals, StandardNormal, VampPrior
from vaekit.training import EarlyStopping, NormalizedGradients

L = keras.layers


@dataclass(frozen=True)
class Settings:
    """Settings of section 6 and of the original code.

    Attributes:
        latents: units of z1 and of z2.
        hidden: units of the gated layers.
        components: K of the VampPrior; 1000 for OMNIGLOT.
        log_variance_range: of the normal distributions of both sides.
        batch_size, epochs, patience, warm_up: the last three in epochs.
        learning_rate: of Adam; the code has 5e-4. The small data sets (Caltech 101) want 1e-4.
        filters, kernels, strides: of the convolutional encoder; q(z1|x, z2) has 3×3 kernels throughout.
        decoder_filters: of the convolutional decoder's four 3×3 layers.
        pixel_filters, pixel_layers: of the PixelCNN.
        dropout: share of hidden units that gated layers drop in training; the paper drops none.
        free_bits: λ of the objective, in nats for each latent as a whole; the paper has none.
    """

    latents: int = 40
    hidden: int = 300
    components: int = 500
    log_variance_range: tuple = (-6.0, 2.0)
    batch_size: int = 100
    epochs: int = 2000
    patience: int = 50
    warm_up: int = 100
    learning_rate: float = 5e-4
    filters: tuple = (32, 32, 64, 64, 6)
    kernels: tuple = (7, 3, 5, 3, 3)
    strides: tuple = (1, 2, 1, 2, 1)
    decoder_filters: int = 64
    pixel_filters: int = 64
    pixel_layers: int = 8
    dropout: float = 0.0
    free_bits: float = 0.0


SETTINGS = Settings()


@dataclass(frozen=True)
class Quirks:
    r"""What the original code does otherwise than the paper says; all off by default, for figures comparable with it.

    Two more change no figure and are not offered: constants with 2π dropped on both sides, and generation from the
    first N components in turn (here components are drawn uniformly).

    Attributes:
        clamped_probabilities: Bernoulli probabilities are clamped to [1e-5, 1 − 1e-5]: a bound of ±11.5 on the logits,
            which limits how wrong a single pixel can be.
        no_edge_bins: the discretized logistic likelihood leaves the tails beyond 0 and 1 out, and sums to less than 1.
        he_initialization: weights start normal with variance 2 / fan-in; the paper says Glorot.
        squashed_pseudo_inputs: an earlier version of the code takes the pseudo-inputs through a sigmoid, where the last
            one clips them; they start at $σ(v)$, $v \sim \mathcal N(0, 2 / K)$, all nearly grey.
    """

    clamped_probabilities: bool = False
    no_edge_bins: bool = False
    he_initialization: bool = False
    squashed_pseudo_inputs: bool = False


NONE = Quirks()

# Where the pseudo-inputs start, N(mean, stddev²), by the beginning of the data set's name.
PSEUDO_INPUTS = {
    "static_mnist": (0.05, 0.01),
    "dynamic_mnist": (0.05, 0.01),
    "digits": (0.05, 0.01),
    "dynamic_digits": (0.05, 0.01),
    "omniglot": (0.05, 0.01),
    "dynamic_omniglot": (0.05, 0.01),
    "caltech101_silhouettes": (0.5, 0.02),
    "frey_faces": (0.5, 0.02),
    "histopathology": (0.4, 0.05),
}

PRIORS = ("standard", "mixture", "vampprior", "vampprior_data")


class Parts:
    """The parts that the four architectures are made of, for one data set."""

    def __init__(self, data, settings, quirks, images=False):
        self.data, self.settings, self.quirks = data, settings, quirks
        self.image = event_shape(data, images)
        self.pixels = math.prod(self.image)
        self.weights = dict(kernel_initializer="he_normal") if quirks.he_initialization else {}

    def gated(self, units):
        """A gated layer, and dropout after it where the settings have some: a list of layers."""
        rate = self.settings.dropout
        return [GatedDense(units, **self.weights), *([L.Dropout(rate)] if rate else [])]

    def normal(self):
        """Head of a latent: mean and log-variance, clipped."""
        s = self.settings
        return DiagonalNormal(s.latents, log_variance_range=s.log_variance_range, **self.weights)

    def likelihood(self):
        """Head of x: Bernoulli for binary images, discretized logistic for bytes."""
        if not np.isin(np.asarray(self.data.train[:100]), (0, 1)).all():
            return DiscretizedLogistic(
                self.image,
                log_scale_range=(-4.5, 0.0),
                mean_range=(1 / 512, 511 / 512),
                edges=not self.quirks.no_edge_bins,
                **self.weights,
            )
        return Bernoulli(self.image, logit_range=logit_range(self.quirks), **self.weights)

    def mlp(self, layers, head):
        """Gated layers and a head."""
        hidden = [layer for _ in range(layers) for layer in self.gated(self.settings.hidden)]
        return keras.Sequential([*hidden, head])

    def convolutions(self, kernels):
        s = self.settings
        layers = [
            GatedConv2D(filters, kernel, strides, **self.weights)
            for filters, kernel, strides in zip(s.filters, kernels, s.strides, strict=True)
        ]
        return [*layers, L.Flatten()]

    def joined(self, branches, body):
        """A network of several inputs: `branches` is a list of (shape, layers), `body` the layers after joining."""
        inputs = [keras.Input(shape) for shape, _ in branches]
        ends = [run(layers, tensor) for (_, layers), tensor in zip(branches, inputs, strict=True)]
        return keras.Model(inputs, run(body, Join()(ends)))

    def prior(self, kind, encoder, components, seed):
        """A prior of the last latent, by its name in `PRIORS`."""
        if kind not in PRIORS:
            raise ValueError(f"The paper's priors are {', '.join(map(repr, PRIORS))}; received {kind!r}.")
        omniglot = "omniglot" in self.data.name
        components = components or (2 * self.settings.components if omniglot else self.settings.components)
        if kind == "standard":
            return StandardNormal()
        if kind == "mixture":
            return MixtureOfNormals(components, seed=seed)
        if kind == "vampprior_data":  # training examples, which stay as they are, with the code's noise on them
            examples = np.asarray(self.data.train)
            return VampPrior.from_data(encoder, examples, components, stddev=0.01, seed=seed or 0)
        mean, stddev = next((v for k, v in PSEUDO_INPUTS.items() if self.data.name.startswith(k)), (0.5, 0.02))
        if squashed := self.quirks.squashed_pseudo_inputs:
            mean, stddev = 0.0, math.sqrt(2 / components)
        return VampPrior(encoder, components, mean, stddev, input_shape=self.image, squashed=squashed, seed=seed)

    def compiled(self, model):
        s = self.settings
        model.build((None, *self.image))
        steps = math.ceil(s.warm_up * steps_per_epoch(len(self.data.train), s))
        adam = NormalizedGradients(keras.optimizers.Adam(s.learning_rate))
        model.compile(adam, objective=ELBO(beta=WarmUp(steps), free_bits=s.free_bits))
        return model


def run(layers, tensor):
    """Calls layers one after the other."""
    for layer in layers:
        tensor = layer(tensor)
    return tensor


def vae(data, prior="standard", components=None, settings=SETTINGS, quirks=NONE, seed=None):
    r"""VAE, one latent: gated x–300–300–z(40) and back, compiled.

    Args:
        data: a `vaekit.datasets.Dataset` of images.
        prior: one of `PRIORS`.
        components: K; None: `settings.components`, twice that for OMNIGLOT.
        seed: integer, of the pseudo-inputs, of the order of the data and of sampling; the weights' is
            `keras.utils.set_random_seed`.
    """
    parts = Parts(data, settings, quirks)
    encoder = parts.mlp(2, parts.normal())
    decoder = parts.mlp(2, parts.likelihood())
    return parts.compiled(VAE(encoder, decoder, parts.prior(prior, encoder, components, seed), seed=seed))


def _hierarchy(parts, prior, components, q_z2, q_z1, p_x, seed):
    r"""$p(z_2)\,p(z_1|z_2)\,p(x|z_1, z_2)$ with $q(z_2|x)\,q(z_1|x, z_2)$."""
    return parts.compiled(
        LatentVariableModel(
            generative=[
                Factor("z2", parts.prior(prior, q_z2, components, seed)),
                Factor("z1", parts.mlp(2, parts.normal()), given="z2"),
                Factor("x", p_x, given=("z1", "z2")),
            ],
            inference=[Factor("z2", q_z2, given="x"), Factor("z1", q_z1, given=("x", "z2"))],
            seed=seed,
        )
    )


def hvae(data, prior="standard", components=None, settings=SETTINGS, quirks=NONE, seed=None):
    """HVAE, two latents, fully connected, compiled; the arguments are those of `vae`.

    q(z2|x): 300–300. q(z1|x, z2) and p(x|z1, z2): 300 for each input, joined, 300. p(z1|z2): 300–300.
    """
    parts, s = Parts(data, settings, quirks), settings
    latent = (s.latents,)
    q_z2 = parts.mlp(2, parts.normal())
    q_z1 = parts.joined(
        [(parts.image, parts.gated(s.hidden)), (latent, parts.gated(s.hidden))],
        [*parts.gated(s.hidden), parts.normal()],
    )
    branches = [(latent, parts.gated(s.hidden)) for _ in range(2)]
    p_x = parts.joined(branches, [*parts.gated(s.hidden), parts.likelihood()])
    return _hierarchy(parts, prior, components, q_z2, q_z1, p_x, seed)


def _convolutional_inference(parts):
    s, three = parts.settings, (3,) * len(parts.settings.kernels)
    q_z2 = keras.Sequential([*parts.convolutions(s.kernels), parts.normal()])
    width = s.filters[-1] * math.prod(math.ceil(n / math.prod(s.strides)) for n in parts.image[:2])
    q_z1 = parts.joined(
        [(parts.image, parts.convolutions(three)), ((s.latents,), parts.gated(width))],
        [*parts.gated(s.hidden), parts.normal()],
    )
    return q_z2, q_z1


def conv_hvae(data, prior="standard", components=None, settings=SETTINGS, quirks=NONE, seed=None):
    """convHVAE, two latents, gated convolutions, compiled; the arguments are those of `vae`.

    q(z2|x): five gated convolutions. q(z1|x, z2): five more on x, z2 as wide as their end, joined, 300. p(x|z1, z2):
    300 for each latent, joined, as many units as pixels, four 3×3 gated convolutions, 1×1.
    """
    parts, s = Parts(data, settings, quirks, images=True), settings
    q_z2, q_z1 = _convolutional_inference(parts)
    branches = [((s.latents,), parts.gated(s.hidden)) for _ in range(2)]
    body = [
        *parts.gated(parts.pixels),
        L.Reshape(parts.image),
        *(GatedConv2D(s.decoder_filters, 3, **parts.weights) for _ in range(4)),
        parts.likelihood(),
    ]
    p_x = parts.joined(branches, body)
    return _hierarchy(parts, prior, components, q_z2, q_z1, p_x, seed)


def pixel_hvae(data, prior="standard", components=None, settings=SETTINGS, quirks=NONE, seed=None):
    """PixelHVAE, two latents, gated convolutions and a PixelCNN decoder, compiled; the arguments are those of `vae`.

    q as in `conv_hvae`. p(x|z1, z2): each latent as a gated layer of as many units as pixels, an image; eight masked
    3×3 convolutions with batch normalization and ReLU over them and x; 1×1.
    """
    parts, s = Parts(data, settings, quirks, images=True), settings
    q_z2, q_z1 = _convolutional_inference(parts)
    inputs = [keras.Input((s.latents,)) for _ in range(2)]
    maps = [run([*parts.gated(parts.pixels), L.Reshape(parts.image)], z) for z in inputs]
    masked = [
        layer
        for i in range(s.pixel_layers)
        for layer in (
            MaskedConv2D(s.pixel_filters, 3, "B" if i else "A", use_bias=False, **parts.weights),
            L.BatchNormalization(),
            L.ReLU(),
        )
    ]
    p_x = keras.Model(inputs, Autoregressive([*masked, parts.likelihood()])(maps))
    return _hierarchy(parts, prior, components, q_z2, q_z1, p_x, seed)


def prior_of(model):
    """The prior of a model's last latent, a `vaekit.priors.Prior`."""
    return model.generative[0].layer


def fit(model, data, epochs=None, settings=SETTINGS, **options):
    """Trains as the paper does: batches of 100, early stopping on the validation bound after warm-up.

    Args:
        epochs: at most; None: 2000.
        settings: the model's own, whose warm-up counts steps of their batches.
        **options: as for a model's `fit`; callbacks are added to early stopping.
    """
    stop = EarlyStopping(settings.patience)
    options["callbacks"] = [stop, *(options.get("callbacks") or [])]
    epochs = settings.epochs if epochs is None else epochs
    return train(model, data, settings, epochs=epochs, validation_data=data.validation, **options)


# Table 1: log-likelihood of the test images in nats (importance sampling, 5000 samples); of the data sets of bytes the
# negative log-likelihood in bits per dimension. (data set, prior): VAE, HVAE, convHVAE, PixelHVAE.
TABLE_1 = {
    ("static_mnist", "standard"): (-88.56, -86.05, -82.41, -80.58),
    ("static_mnist", "vampprior"): (-85.57, -83.19, -81.09, -79.78),
    ("dynamic_mnist", "standard"): (-84.50, -82.42, -80.40, -79.70),
    ("dynamic_mnist", "vampprior"): (-82.38, -81.24, -79.75, -78.45),
    ("dynamic_omniglot", "standard"): (-108.50, -103.52, -97.65, -90.11),
    ("dynamic_omniglot", "vampprior"): (-104.75, -101.18, -97.56, -89.76),
    ("caltech101_silhouettes", "standard"): (-123.43, -112.08, -106.35, -85.51),
    ("caltech101_silhouettes", "vampprior"): (-114.55, -108.28, -104.22, -86.22),
}
TABLE_1_BYTES = {
    ("frey_faces", "standard"): (4.63, 4.61, 4.49, 4.43),
    ("frey_faces", "vampprior"): (4.57, 4.51, 4.45, 4.38),
    ("histopathology", "standard"): (6.07, 5.82, 5.59, 4.84),
    ("histopathology", "vampprior"): (6.04, 5.75, 5.58, 4.82),
}

# Test log-likelihood in nats of the HVAE on static MNIST, by prior.
PRIORS_STATIC_MNIST = {"standard": -85.89, "mixture": -85.07, "vampprior_data": -85.71, "vampprior": -83.19}

# ---- the cells of these tables

METRIC = (
    "Importance sampling, 5000 samples an image, all test images; bits/dim = −log2 p(x) / D. Active units: variance of "
    "posterior means over the test images above 0.01 (of z1: averaged over 10 samples of z2)."
)
SAMPLES = 5000


def measure(model, data, seed=0, progress=True, checkpoint=None):
    """Log-likelihood on the test images: in nats of binary images, in bits per dimension of bytes; active units."""
    how = dict(seed=seed, progress=progress, checkpoint=checkpoint)
    p = evaluation.log_likelihood(model, data.test, SAMPLES, **how)
    bits = {"bits/dim": Figure(p.bits_per_dimension, p.bits_standard_error)}
    nats = {"log p(x)": Figure(p.mean, p.standard_error)}
    return {
        **(nats if p.binary else bits),
        "active units": Figure(numbers(evaluation.active_units(model, data.test, samples=10, seed=seed))),
        "effective sample size": Figure(float(np.median(p.effective_sample_size))),
    }


ARCHITECTURES = {"vae": vae, "hvae": hvae, "convhvae": conv_hvae, "pixelhvae": pixel_hvae}


def build(data, model, prior, settings=SETTINGS, quirks=NONE, seed=None):
    """The model of a cell, by the cell's options."""
    return ARCHITECTURES[model](data, prior, settings=settings, quirks=quirks, seed=seed)


SMALL = ("caltech101_silhouettes", "frey_faces", "histopathology")


def _each(cell):
    """What a cell has of its own: the code's learning rate, on small data sets the one that comes near the table."""
    return dict(
        settings=replace(SETTINGS, learning_rate=1e-4) if cell.data in SMALL else SETTINGS,
        differs=REBUILT if cell.data == "dynamic_omniglot_rebuilt" else "",
    )


def _rows(columns):
    """Figures by (data set, architecture, prior)."""
    priors, names = ("standard", "vampprior"), dict.fromkeys(data for data, _ in columns)
    return {(d, m, p): columns[d, p][i] for d in names for i, m in enumerate(ARCHITECTURES) for p in priors}


OPTIONS = ("data", "model", "prior")
SHARED = dict(paper="tomczak2017", epochs=SETTINGS.epochs, build=build, fit=fit, measure=measure, metric=METRIC)
SHARED |= dict(quirks=NONE)

cells = partial(table, options=OPTIONS, figures=("log p(x)",), shared=SHARED, each=_each)
# The other two priors are in table 1, there −86.05 for a single Gaussian.
priors = {name: PRIORS_STATIC_MNIST[name] for name in ("mixture", "vampprior_data")}
rebuilt = on("dynamic_omniglot", _rows(TABLE_1))
CELLS = [
    *cells("table 1", _rows(TABLE_1)),
    *cells("table 1", _rows(TABLE_1_BYTES), figures=("bits/dim",)),
    *cells("priors, static MNIST", priors, data="static_mnist", model="HVAE"),
    *cells("table 1, on OMNIGLOT (rebuilt)", rebuilt, data="dynamic_omniglot_rebuilt"),
]

others = {"mixture": (), "vampprior_data": ()}  # in no table
OTHERS = cells("", others, figures=(), data="caltech101_silhouettes", model="VAE")
MODELS = titled(
    CELLS + OTHERS,
    {
        "VAE, standard prior": "caltech101_silhouettes-vae-standard",
        "VAE, mixture of Gaussians": "caltech101_silhouettes-vae-mixture",
        "VAE, VampPrior-data": "caltech101_silhouettes-vae-vampprior_data",
        "VAE, VampPrior": "caltech101_silhouettes-vae-vampprior",
        "HVAE, standard prior": "caltech101_silhouettes-hvae-standard",
        "HVAE, VampPrior": "caltech101_silhouettes-hvae-vampprior",
        "HVAE, Frey Faces": "frey_faces-hvae-vampprior",
        "convHVAE, VampPrior": "caltech101_silhouettes-convhvae-vampprior",
        "PixelHVAE, VampPrior": "caltech101_silhouettes-pixelhvae-vampprior",
    },
)

PRESETS = Presets("tomczak2017")
load, record = PRESETS.load, PRESETS.record  # trained models, and the records of their runs
