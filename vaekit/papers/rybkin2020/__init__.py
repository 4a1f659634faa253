r"""Simple and Effective VAE Training with Calibrated Decoders, σ-VAE (Rybkin, Daniilidis & Levine, arXiv 2006.13202).

Images; videos stand in `vaekit.papers.rybkin2020.video`.

```python
from vaekit.papers import rybkin2020 as paper

mnist = vk.datasets.load("mnist")
model = paper.vae(mnist, decoder="optimal")  # any name in paper.DECODERS
paper.fit(model, mnist)
print(model.evaluate(mnist.test))  # −bound is the paper's −log p
lenet = vk.evaluation.lenet_features(mnist.train, mnist.labels.train)  # the paper's FID has Inception features
print(vk.evaluation.fid(model, mnist.test, lenet, mean=True))
```

A β-VAE and a decoder of fixed σ are one: for a Gaussian of unit variance, β = σ² (shown by
`test_beta_and_sigma_squared_are_one` in tests/test_normal.py). The paper's own β stands beside a squared error
*without* the Gaussian's factor ½, so that σ² = β/2. Its figures say so: no −log p can lie below D/2 · log(2πσ²), and
those of `BETAS_SVHN` for β = 0.1, 1 and 10 do with σ² = β (D = 28 · 28 · 3), and none does with σ² = β/2.

The code makes SVHN 28×28. Two things in it are not offered here: its "test" loader reads the training split, and its
σ* at test time is that of the test batch, which depends on x, so that p(x|z) is no density there.
"""

import math
from dataclasses import dataclass, replace
from functools import partial

import keras
import numpy as np

from vaekit import evaluation
from vaekit.layers import DiagonalNormal, Join, Stack
from vaekit.models import VAE, Factor, LatentVariableModel
from vaekit.objectives import ELBO
from vaekit.papers.cell import Figure, mean, on, table, titled
from vaekit.papers.common import event_shape, train
from vaekit.papers.presets import Presets
from vaekit.papers.rybkin2020 import video
from vaekit.papers.rybkin2020.decoders import DECODERS, head
from vaekit.priors import StandardNormal

L = keras.layers


@dataclass(frozen=True)
class Settings:
    """Settings of the paper's code.

    Attributes:
        filters, kernels, strides: of the encoder's convolutions.
        decoder_filters: of the transposed convolutions before the last one, which has as many channels as the
            likelihood has numbers for a pixel.
        decoder_kernels, decoder_strides: of all of them.
        latents: units of z.
        ladder: of the hierarchical model: channels of z1 (a map a quarter as wide as the image), units of z2.
        soft_clip: lower bound of log σ.
        beta: of the β-VAE, the best of 0.001, 0.01, 0.1, 1 and 10 on SVHN.
        batch_size, epochs, learning_rate, epsilon: of Adam.
    """

    filters: tuple = (32, 64, 128)
    kernels: tuple = (3, 4, 5)
    strides: tuple = (1, 2, 2)
    decoder_filters: tuple = (64, 32)
    decoder_kernels: tuple = (6, 6, 5)
    decoder_strides: tuple = (2, 2, 1)
    latents: int = 20
    ladder: tuple = (8, 20)
    soft_clip: float = -6.0
    beta: float = 0.01
    batch_size: int = 128
    epochs: int = 10
    learning_rate: float = 1e-3
    epsilon: float = 1e-8


SETTINGS = Settings()


@dataclass(frozen=True)
class Quirks:
    """What the original code does otherwise than the paper says; off by default, for figures comparable with it.

    Attributes:
        summed_gradient: the gradient is the sum over the batch of 128, not the mean. Adam does not see the scale but
            through ε, which is 128 times as small in effect.
    """

    summed_gradient: bool = False


NONE = Quirks()


def vae(data, decoder="optimal", latents=None, beta=1.0, settings=SETTINGS, quirks=NONE, seed=None):
    """Convolutional VAE, compiled: three convolutions, z, three transposed convolutions.

    The likelihood's own 1×1 convolution follows the last transposed one, which is linear: together they are one
    layer, as in the code.

    Args:
        data: a `vaekit.datasets.Dataset` of images, their sides multiples of 4.
        decoder: one of `DECODERS`.
        latents: None: 20.
        beta: weight of the KL. (`decoder="beta"` is the paper's β-VAE with this left at 1: the same up to the scale of
            the loss, and with the bound that the paper reports.)
        seed: integer, of the order of the data and of sampling; the weights' is `keras.utils.set_random_seed`.

    Raises:
        ValueError: images of other sizes, or an unknown decoder.
    """
    place = _place(data, settings)
    encoder = keras.Sequential([*_convolutions(settings), DiagonalNormal(latents or settings.latents)])
    start = [L.Dense(math.prod(place) * settings.filters[-1]), L.Reshape((*place, settings.filters[-1]))]
    p_x = keras.Sequential([*start, *_transposed(data, decoder, settings)])
    return _compiled(VAE(encoder, p_x, seed=seed), data, beta, settings, quirks)


def hvae(data, decoder="optimal", beta=1.0, settings=SETTINGS, quirks=NONE, seed=None):
    r"""A hierarchical VAE of two latents in the paper's spirit, compiled; **not the paper's own network**.

    The paper has a hierarchical VAE on CelebA and CIFAR-10, which its published code leaves out (asked for it, issue
    8 there, its author names later models instead). Ours is a small ladder made of the layers of `vae`:
    $p(z_2)\,p(z_1|z_2)\,p(x|z_1, z_2)$ with $q(z_2|x)\,q(z_1|x, z_2)$, z2 a vector, z1 a map `[H/4, W/4, C]`. So the
    reported numbers are for orientation alone.

    q(z2|x): the convolutions of `vae`. q(z1|x, z2): convolutions of its own, z2 as one more channel, a 3×3 convolution.
    p(z1|z2): z2 as a map, a 3×3 convolution. p(x|z1, z2): z1 with z2 as one more channel, a 3×3 convolution, the
    transposed ones of `vae`.

    Args:
        data, decoder, beta: as for `vae`.
    """
    place, width = _place(data, settings), settings.filters[-1]
    channels, units = settings.ladder

    def mixed():
        return L.Conv2D(width, 3, padding="same", activation="relu")

    def z1():
        return DiagonalNormal((*place, channels))

    x, z2 = keras.Input(data.event_shape), keras.Input((units,))
    features = keras.Sequential(_convolutions(settings))(x)
    q_z1 = keras.Model([x, z2], z1()(mixed()(Join()([features, z2]))))
    start = [L.Dense(math.prod(place) * width, "relu"), L.Reshape((*place, width))]
    model = LatentVariableModel(
        generative=[
            Factor("z2", StandardNormal()),
            Factor("z1", keras.Sequential([*start, mixed(), z1()]), given="z2"),
            Factor("x", Stack([mixed(), *_transposed(data, decoder, settings)]), given=("z1", "z2")),
        ],
        inference=[
            Factor("z2", keras.Sequential([*_convolutions(settings), DiagonalNormal(units)]), given="x"),
            Factor("z1", q_z1, given=("x", "z2")),
        ],
        seed=seed,
    )
    return _compiled(model, data, beta, settings, quirks)


def _place(data, settings):
    """Size of the smallest maps, from which the transposed convolutions come back to the images' size."""
    shrink = math.prod(settings.strides)
    if any(n % shrink for n in event_shape(data, images=True)[:2]):
        raise ValueError(
            f"The paper's network expects images whose sides are multiples of {shrink}, such as 28×28 or 32×32; "
            f"{data.name!r} has shape {data.event_shape}. Crop or pad them first."
        )
    return tuple(n // shrink for n in data.event_shape[:2])


def _convolutions(settings):
    parts = zip(settings.filters, settings.kernels, settings.strides, strict=True)
    return [L.Conv2D(n, kernel, stride, padding="same", activation="relu") for n, kernel, stride in parts]


def _transposed(data, decoder, settings):
    """Transposed convolutions, then the likelihood.

    The last one has as many channels as the likelihood has numbers for a pixel, at most as many as the widest
    layer (which the 256-way categorical alone would exceed).
    """
    layer, numbers = head(decoder, data.event_shape, settings)
    channels = (*settings.decoder_filters, min(numbers, settings.filters[-1]))
    activations = [*("relu" for _ in settings.decoder_filters), None]
    parts = zip(channels, settings.decoder_kernels, settings.decoder_strides, activations, strict=True)
    return [*(L.Conv2DTranspose(n, k, stride, padding="same", activation=f) for n, k, stride, f in parts), layer]


def _compiled(model, data, beta, settings, quirks):
    model.build((None, *data.event_shape))
    epsilon = settings.epsilon / settings.batch_size if quirks.summed_gradient else settings.epsilon
    adam = keras.optimizers.Adam(settings.learning_rate, epsilon=epsilon)
    model.compile(adam, objective=ELBO(analytic_kl=True, beta=beta))
    return model


def fit(model, data, epochs=None, settings=SETTINGS, **options):
    """Trains as the code does.

    Args:
        epochs: None: 10.
        settings: the model's own, by which it was built.
        **options: as for a model's `fit`.
    """
    epochs = settings.epochs if epochs is None else epochs
    return train(model, data, settings, epochs=epochs, validation_data=data.validation, **options)


# Table 2: (bound on −log p in nats, FID with Inception features), None where not reported. Discrete and continuous
# decoders' likelihoods are not comparable. (data set, model, decoder): figures.
TABLE_2 = {
    ("celeba", "HVAE", "bernoulli"): (None, 177.6),
    ("celeba", "HVAE", "categorical"): (6359, 71.5),
    ("celeba", "HVAE", "bitwise"): (9067, 66.61),
    ("celeba", "HVAE", "logistic_mixture"): (7932, 65.3),
    ("celeba", "HVAE", "unit"): (7173, 186.5),
    ("celeba", "HVAE", "pixel"): (-7814, 159.3),
    ("celeba", "HVAE", "student_t"): (-8401, 71.06),
    ("celeba", "HVAE", "beta"): (-2713, 61.6),
    ("celeba", "HVAE", "shared"): (-6374, 60.7),
    ("celeba", "HVAE", "optimal"): (-8446, 60.3),
    ("celeba", "HVAE", "optimal_image"): (None, 66.01),
    ("svhn", "VAE", "bernoulli"): (None, 43.26),
    ("svhn", "VAE", "categorical"): (9179, 46.13),
    ("svhn", "VAE", "bitwise"): (10800, 33.84),
    ("svhn", "VAE", "logistic_mixture"): (9085, 43.19),
    ("svhn", "VAE", "unit"): (2184, 112.5),
    ("svhn", "VAE", "pixel"): (2184, 114.7),
    ("svhn", "VAE", "student_t"): (-3659, 70.4),
    ("svhn", "VAE", "beta"): (-3186, 27.93),
    ("svhn", "VAE", "shared"): (-3349, 22.25),
    ("svhn", "VAE", "optimal"): (-3333, 27.25),
    ("svhn", "VAE", "optimal_image"): (None, 26.28),
    ("cifar10", "HVAE", "bernoulli"): (None, 284.5),
    ("cifar10", "HVAE", "categorical"): (7179, 101.7),
    ("cifar10", "HVAE", "bitwise"): (9390, 91.2),
    ("cifar10", "HVAE", "logistic_mixture"): (8443, 143.1),
    ("cifar10", "HVAE", "unit"): (7186, 293.7),
    ("cifar10", "HVAE", "pixel"): (-7222, 131),
    ("cifar10", "HVAE", "student_t"): (-7419, 123.6),
    ("cifar10", "HVAE", "beta"): (-331, 103),
    ("cifar10", "HVAE", "shared"): (-5435, 116.1),
    ("cifar10", "HVAE", "optimal"): (-5677, 101.4),
    ("cifar10", "HVAE", "optimal_image"): (None, 104.0),
    ("bair", "SVG", "bernoulli"): (None, 122.6),
    ("bair", "SVG", "bitwise"): (48744, 46.13),
    ("bair", "SVG", "logistic_mixture"): (40616, 42.94),
    ("bair", "SVG", "unit"): (-10379, 35.64),
    ("bair", "SVG", "pixel"): (-14051, 41.98),
    ("bair", "SVG", "beta"): (-13472, 34.64),
    ("bair", "SVG", "shared"): (-13974, 34.24),
    ("bair", "SVG", "optimal"): (-14173, 34.13),
    ("bair", "SVG", "optimal_image"): (None, 33.21),
}

# The same figures on MNIST, binarized for Bernoulli's. (data set, model, decoder): figures.
MNIST = {
    ("mnist", "VAE", "unit"): (740.5, 59.9),
    ("mnist", "VAE", "beta"): (-796.2, 53.23),
    ("mnist", "VAE", "pixel"): (-2895, 132.5),
    ("mnist", "VAE", "shared"): (-896.1, 32.18),
    ("dynamic_mnist", "VAE", "bernoulli"): (None, 32.22),
}

# β-VAEs on SVHN: β to (bound on −log p in nats, FID). The learned σ corresponds to β ≈ 0.006.
BETAS_SVHN = {
    0.001: (21.43, 44.54),
    0.01: (-3186, 27.93),
    0.1: (-1223, 28.3),
    1.0: (1381, 70.39),
    10.0: (4056, 219.3),
}

# ---- the cells of these tables

METRIC = (
    "−ELBO: one sample of z an image, KL in closed form, all test images. FID between the test images and as many "
    "means of decoded prior samples, with features of a LeNet trained on the training images (the paper's: Inception)."
)


def measure(model, data, seed=0, progress=True, checkpoint=None):
    """−ELBO on the test images and, with labels, FID by the features of a LeNet."""
    parts = evaluation.terms(model, data.test, ELBO(analytic_kl=True), seed=seed)
    figures = {"−ELBO": mean(parts["bound"], sign=-1), "KL": mean(parts["kl"])}
    if data.labels is not None:
        features = evaluation.lenet_features(np.asarray(data.train), data.labels.train, seed=seed)
        figures["FID, LeNet features"] = Figure(
            evaluation.fid(model, data.test, features, mean=True, seed=seed).distance
        )
    return figures


def build(data, model, decoder, beta=None, settings=SETTINGS, quirks=NONE, seed=None):
    """The model of a cell, by the cell's options; β names the cell, the decoder finds it in the settings."""
    return {"vae": vae, "hvae": hvae}[model](data, decoder, settings=settings, quirks=quirks, seed=seed)


DIFFERS = {
    "dynamic_mnist": "binarized images instead of grey ones",
    "svhn": "images of 32 × 32 instead of 28 × 28",
    "cifar10_jpeg": "CIFAR-10 (JPEG), 9,000 training images",
}


def _each(cell):
    """What a cell has of its own: why it cannot be run, how it differs from the paper's, β."""
    data, model, decoder = (cell.options[name] for name in OPTIONS)
    if decoder == "bernoulli" and data != "dynamic_mnist":
        missing = "a Bernoulli density of grey images is none; mnist has that row for binarized ones"
        return dict(build=None, missing=missing)
    if model.startswith("svg"):
        return video.own(cell)
    differs = ["a network in the paper's spirit, not its own"] if model == "hvae" else []
    differs += [DIFFERS[data]] if data in DIFFERS else []
    return dict(differs="; ".join(differs), settings=replace(SETTINGS, beta=cell.options.get("beta", SETTINGS.beta)))


OPTIONS = ("data", "model", "decoder")
SHARED = dict(paper="rybkin2020", epochs=SETTINGS.epochs, build=build, fit=fit, measure=measure, metric=METRIC)
SHARED |= dict(settings=SETTINGS, quirks=NONE)

cells = partial(table, options=OPTIONS, figures=("−ELBO", "FID"), shared=SHARED, each=_each)
VIDEOS = [(model, decoder) for model in ("SVG", "SVG-FP") for decoder in ("optimal", "shared")]
BETAS, ON_DIGITS = (1e-5, 1e-4, 1e-3), dict(data="moving_digits", model="SVG", decoder="beta")
betas = {beta: row for beta, row in BETAS_SVHN.items() if beta != SETTINGS.beta}  # that one is in table 2
CELLS = [
    *cells("table 2", TABLE_2),
    *cells("table 2, on CIFAR-10 (JPEG)", on("cifar10", TABLE_2), data="cifar10_jpeg"),
    *cells("MNIST", MNIST | {("mnist", "VAE", name): (None, None) for name in ("optimal", "optimal_image")}),  # ours
    *cells("β-VAE on SVHN", betas, options=(*OPTIONS, "beta"), data="svhn", model="VAE", decoder="beta"),
    *cells("SVG, stochastic moving MNIST", dict.fromkeys(VIDEOS, ()), figures=(), data="moving_mnist"),
    *cells("SVG, stochastic moving MNIST", {("SVG-narrow", "optimal"): ()}, figures=(), data="moving_mnist"),  # ours
    *cells("SVG, moving digits", dict.fromkeys(VIDEOS, ()), figures=(), data="moving_digits"),
    *cells("SVG, moving digits", dict.fromkeys(BETAS, ()), options=(*OPTIONS, "beta"), figures=(), **ON_DIGITS),
]

others = ("categorical", "bitwise", "logistic_mixture", "student_t")  # in no table on MNIST
OTHERS = cells("", dict.fromkeys(others, ()), figures=(), data="mnist", model="VAE")
MODELS = titled(
    CELLS + OTHERS,
    {f"VAE, {name}": f"{'dynamic_mnist' if name == 'bernoulli' else 'mnist'}-vae-{name}" for name in DECODERS}
    | {f"HVAE, {name}": f"cifar10_jpeg-hvae-{name}" for name in ("unit", "shared", "optimal")},
)

PRESETS = Presets("rybkin2020")
load, record = PRESETS.load, PRESETS.record  # trained models, and the records of their runs
