r"""Avoiding Latent Variable Collapse with Generative Skip Models (Dieng, Kim, Rush & Blei, arXiv 1807.04863).

Images; sentences stand in `vaekit.papers.dieng2018.text`.

```python
from vaekit.papers import dieng2018 as paper

mnist = vk.datasets.load("dynamic_mnist")
model = paper.pixelcnn(mnist, skip=True)  # skip=False: the VAE it is compared with
paper.fit(model, mnist)
print(model.evaluate(mnist.test))  # ELBO and KL
print(vk.evaluation.information(model, mnist.test))  # mutual information, KL of the aggregate posterior
print(vk.evaluation.active_units(model, mnist.test, paper.SETTINGS.threshold))
```

Skip connections are one option of `vaekit.layers.Stack` and `Autoregressive`. Semi-amortized inference is another one:
`paper.pixelcnn(mnist, skip=True, refinement=paper.refinement())`.

The text leaves open, and the code decides: ReLU in the fully connected networks, batch normalization in the residual
blocks, strided convolutions of 2×2 without a nonlinearity, the KL in closed form, the weights of the epoch with the
best validation bound. Our gated PixelCNN differs from the code's in details: weights start as Keras starts them; from
the second layer on the vertical stack reaches the own row (the code: rows above alone, in every layer); the last 1×1
convolution sees both stacks (the code: the horizontal one). The code's default is 8 layers, the tables go up to 9.
"""

import math
from dataclasses import dataclass
from functools import partial

import keras
import numpy as np

from vaekit import evaluation
from vaekit.inference import Refinement
from vaekit.layers import MLP, Autoregressive, Bernoulli, DiagonalNormal, GatedPixelConv2D, ResidualBlock, Stack
from vaekit.models import VAE
from vaekit.objectives import ELBO, WarmUp
from vaekit.papers.cell import Figure, mean, numbers, on, table, titled
from vaekit.papers.common import REBUILT, event_shape, logit_range, steps_per_epoch, train
from vaekit.papers.dieng2018 import text
from vaekit.papers.presets import Presets
from vaekit.training import EarlyStopping

L = keras.layers


@dataclass(frozen=True)
class Settings:
    """Settings of section 5.

    Attributes:
        hidden: units of the fully connected layers, both ways.
        encoder_layers: of the fully connected encoder.
        maps: channels of each residual block of the convolutional encoder, and of the convolution after it.
        kernel_size, filters: of the PixelCNN's layers, and channels of each of their stacks.
        batch_size, epochs, learning_rate: of Adam.
        clip: greatest norm of the gradient of all weights together.
        warm_up: epochs in which β rises from 0.1 to 1: an option of the code, of which the text on images says nothing.
            The fully connected VAE of 4 layers comes to the paper's bound with it, and not without.
        threshold: of activity, for a unit to count as active; the code's is 0.02.
        refinement_steps, refinement_rate, refinement_momentum, refinement_clip: see `refinement`.
    """

    hidden: int = 512
    encoder_layers: int = 2
    maps: tuple = (64, 64, 64)
    kernel_size: int = 3
    filters: int = 32
    batch_size: int = 50
    epochs: int = 100
    learning_rate: float = 1e-3
    clip: float = 5.0
    warm_up: int = 0
    threshold: float = 0.01
    refinement_steps: int = 20
    refinement_rate: float = 1.0
    refinement_momentum: float = 0.5
    refinement_clip: float = 5.0


SETTINGS = Settings()


@dataclass(frozen=True)
class Quirks:
    """What the original code does otherwise than the paper says; all off by default, for figures comparable with it.

    Attributes:
        clamped_probabilities: Bernoulli probabilities are clamped to [1e-5, 1 − 1e-5]: a bound of ±11.5 on the logits,
            which limits how wrong a single pixel can be.
        mlp_wiring: of the fully connected decoder: z first passes a linear layer without a nonlinearity; with skips it
            then enters the hidden layers, but not the output layer. (The code also has 1024 units:
            `Settings(hidden=1024)`.)
    """

    clamped_probabilities: bool = False
    mlp_wiring: bool = False


NONE = Quirks()


def mlp(data, skip, layers=2, latents=50, refinement=None, settings=SETTINGS, quirks=NONE, seed=None):
    r"""VAE or Skip-VAE of fully connected layers, compiled: $h_l = f(W_l h_{l-1} + U_l z + b_l)$, with skips.

    Args:
        data: a `vaekit.datasets.Dataset` of binary images.
        skip: whether z enters every layer of the decoder, the output layer too.
        layers: hidden layers of the decoder; the paper's are 2, 3 and 4.
        latents: units of z.
        refinement: a `vaekit.inference.Refinement`, for (Skip-)SA-VAE.
        seed: integer, of the order of the data and of sampling; the weights' is `keras.utils.set_random_seed`.
    """
    encoder = keras.Sequential([MLP([settings.hidden] * settings.encoder_layers, "relu"), DiagonalNormal(latents)])
    hidden = [L.Dense(settings.hidden, "relu") for _ in range(layers)]
    head = _head(data, quirks)
    if quirks.mlp_wiring:
        decoder = keras.Sequential([Stack([L.Dense(settings.hidden), *hidden], skip), head])
    else:
        decoder = Stack([*hidden, head], skip)
    return _compiled(VAE(encoder, decoder, refinement=refinement, seed=seed), data, settings)


def pixelcnn(data, skip, depth=9, latents=20, refinement=None, settings=SETTINGS, quirks=NONE, seed=None):
    """VAE or Skip-VAE with a gated PixelCNN decoder, compiled.

    Encoder: three residual blocks, each followed by a convolution of stride 2. Decoder: z as one more channel of the
    image, by a linear map; with skips by a map of its own for every layer, the last 1×1 convolution too.

    Args:
        data: a `vaekit.datasets.Dataset` of binary images.
        skip: whether z enters every layer of the decoder.
        depth: layers of the PixelCNN; the paper's are 1, 3, 6 and 9.
        latents: units of z; the paper's are 2, 10, 20, 50 and 100.
        refinement: a `vaekit.inference.Refinement`, for (Skip-)SA-VAE.
        seed: integer, of the order of the data and of sampling; the weights' is `keras.utils.set_random_seed`.
    """
    blocks = [part for maps in settings.maps for part in (ResidualBlock(maps), L.Conv2D(maps, 2, strides=2))]
    encoder = keras.Sequential([*blocks, DiagonalNormal(latents)])
    masked = [GatedPixelConv2D(settings.filters, settings.kernel_size, "B" if i else "A") for i in range(depth)]
    decoder = Autoregressive([*masked, _head(data, quirks, images=True)], skip)
    return _compiled(VAE(encoder, decoder, refinement=refinement, seed=seed), data, settings)


def _head(data, quirks, images=False):
    return Bernoulli(event_shape(data, images), logit_range=logit_range(quirks))


def _compiled(model, data, settings):
    model.build((None, *data.event_shape))
    adam = keras.optimizers.Adam(settings.learning_rate, global_clipnorm=settings.clip)
    steps = settings.warm_up * steps_per_epoch(len(data.train), settings)
    model.compile(adam, objective=ELBO(analytic_kl=True, beta=WarmUp(steps, start=0.1) if steps else 1.0))
    return model


def refinement(settings=SETTINGS):
    r"""Semi-amortized inference with the settings of Kim et al. 2018: 20 steps, rate 1, momentum 0.5, clip 5.

    Their code descends the loss *averaged over the batch* of B = 50, $\frac1B \sum_i \ell_i$, and clips the norm of the
    whole batch's gradient, for the means and for the log-variances. In the gradient of each example's own bound, which
    `Refinement` takes, the rate is 1/B; and $\frac1B \sqrt{\sum_i \|g_i\|^2} \le 5$ is, for examples alike,
    $\|g_i\| \le 5 \sqrt B$. (It draws new noise in each step; `Refinement` keeps one draw.)
    """
    s = settings
    return Refinement(
        s.refinement_steps,
        learning_rate=s.refinement_rate / s.batch_size,
        momentum=s.refinement_momentum,
        clip=s.refinement_clip * math.sqrt(s.batch_size),
    )


def fit(model, data, epochs=None, settings=SETTINGS, **options):
    """Trains as the paper does, and keeps the weights of the epoch with the best validation bound.

    Args:
        epochs: None: 100.
        settings: the model's own, whose warm-up counts steps of their batches.
        **options: as for a model's `fit`.
    """
    epochs = settings.epochs if epochs is None else epochs
    best = EarlyStopping(patience=max(1, epochs))
    options["callbacks"] = [best, *(options.get("callbacks") or [])]
    return train(model, data, settings, epochs=epochs, validation_data=data.validation, **options)


# Every row: (ELBO, KL, mutual information, active units) in nats on the test images, None where not known to us.

# PixelCNN of 9 layers on dynamic MNIST. (latents, model): row.
PIXELCNN_BY_LATENTS = {
    (2, "VAE"): (-84.27, 3.13, 3.09, 2),
    (2, "Skip-VAE"): (-84.30, 3.54, 3.46, 2),
    (10, "VAE"): (-83.01, 8.29, 7.35, 9),
    (10, "Skip-VAE"): (-82.87, 9.41, 7.81, 10),
    (20, "VAE"): (-83.06, 7.14, 6.55, 8),
    (20, "Skip-VAE"): (-82.55, 9.33, 7.80, 13),
    (50, "VAE"): (-83.31, 6.22, 5.81, 8),
    (50, "Skip-VAE"): (-82.58, 8.67, 7.49, 12),
    (100, "VAE"): (-83.41, 5.82, 5.53, 5),
    (100, "Skip-VAE"): (-82.52, 8.45, 7.38, 9),
}

# PixelCNN with 20 latents. (data set, layers, model): row.
PIXELCNN_BY_DEPTH = {
    ("dynamic_mnist", 1, "VAE"): (-89.64, 13.31, None, 20),
    ("dynamic_mnist", 1, "Skip-VAE"): (-89.22, 13.40, None, 20),
    ("dynamic_mnist", 3, "VAE"): (-84.38, 10.12, None, 16),
    ("dynamic_mnist", 3, "Skip-VAE"): (-84.03, 10.71, None, 16),
    ("dynamic_mnist", 6, "VAE"): (-83.19, 8.82, None, 11),
    ("dynamic_mnist", 6, "Skip-VAE"): (-82.81, 9.77, None, 13),
    ("dynamic_mnist", 9, "VAE"): (-83.06, 7.14, None, 8),
    ("dynamic_mnist", 9, "Skip-VAE"): (-82.55, 9.34, None, 13),
    ("dynamic_omniglot", 1, "VAE"): (-97.69, None, None, None),
    ("dynamic_omniglot", 1, "Skip-VAE"): (-97.66, None, None, None),
    ("dynamic_omniglot", 3, "VAE"): (-93.95, None, None, None),
    ("dynamic_omniglot", 3, "Skip-VAE"): (-93.75, None, None, None),
    ("dynamic_omniglot", 6, "VAE"): (-93.23, None, None, None),
    ("dynamic_omniglot", 6, "Skip-VAE"): (-92.94, None, None, None),
    ("dynamic_omniglot", 9, "VAE"): (-92.79, 4.41, None, 11),
    ("dynamic_omniglot", 9, "Skip-VAE"): (-92.61, 6.12, None, 20),
}

# Fully connected decoder, 50 latents, MNIST. (layers, model): row. Mutual information is at its ceiling there, the
# logarithm of 10,000 test images, 9.21.
MLP_BY_LAYERS = {
    (2, "VAE"): (-94.88, 24.23, None, 17),
    (2, "Skip-VAE"): (-94.80, 26.35, None, 24),
    (3, "VAE"): (-95.38, 21.87, None, 13),
    (3, "Skip-VAE"): (-94.17, 26.15, None, 21),
    (4, "VAE"): (-97.09, 20.95, None, 11),
    (4, "Skip-VAE"): (-93.79, 25.63, None, 21),
}

# Accuracy in percent of a classifier on posterior means, dynamic MNIST (2 layers of 1024 ReLU, dropout 0.5). The paper
# does not say how many layers the MLP has. (decoder, layers, latents, model): accuracy.
ACCURACY = {
    ("pixelcnn", 9, 50, "vae"): 97.19,
    ("pixelcnn", 9, 50, "skip-vae"): 98.10,
    ("mlp", 2, 50, "vae"): 97.70,
    ("mlp", 2, 50, "skip-vae"): 98.25,
}

# ---- the cells of these tables

METRIC = (
    "All test images. ELBO: one sample of z an image, KL in closed form. Mutual information: KL less that of the "
    "aggregate posterior, by one sample. Active units: variance of posterior means above 0.01."
)
ACCURACY_METRIC = " Accuracy: 2 × 1024 ReLU units with dropout, on posterior means."


def measure(model, data, seed=0, progress=True, checkpoint=None, accuracy=False):
    """ELBO, KL, mutual information and active units on the test images, and accuracy if wanted."""
    parts = evaluation.terms(model, data.test, ELBO(analytic_kl=True), seed=seed)
    info = evaluation.information(model, data.test, seed=seed, progress=progress)
    figures = {
        "ELBO": mean(parts["bound"]),
        "KL": mean(parts["kl"]),
        "MI": Figure(info.mutual_information, info.standard_errors["mutual_information"]),
        "active units": Figure(numbers(evaluation.active_units(model, data.test, SETTINGS.threshold))),
    }
    if accuracy:
        train, test = ((np.asarray(getattr(data, s)), getattr(data.labels, s)) for s in ("train", "test"))
        found = evaluation.classification_accuracy(model, train, test, seed=seed)
        figures["accuracy"] = Figure(100 * found.mean, 100 * found.standard_error)
    return figures


def build(data, decoder, layers, latents, model, settings=SETTINGS, quirks=NONE, seed=None):
    """The model of a cell, by the cell's options."""
    network, skip = {"mlp": mlp, "pixelcnn": pixelcnn}[decoder], model.startswith("skip")
    how = dict(settings=settings, quirks=quirks, seed=seed)
    return network(data, skip, layers, latents, refinement(settings) if model.endswith("sa-vae") else None, **how)


def _each(cell):
    """What a cell has of its own: its data may not be the paper's, of some the accuracy is known."""
    differs = dict(differs=REBUILT) if cell.data == "dynamic_omniglot_rebuilt" else {}
    _, *how = cell.options.values()
    if tuple(how) not in ACCURACY:
        return differs
    reported = cell.reported | {"accuracy": ACCURACY[tuple(how)]}
    return dict(reported=reported, measure=partial(measure, accuracy=True), metric=METRIC + ACCURACY_METRIC, **differs)


def _sentences(settings, metric, differs="", measure=text.measure, reference="paper"):
    """What cells of text have of their own: a function of one."""

    def each(cell):
        own = dict(build=text.build, fit=text.fit, measure=partial(measure, settings=settings), settings=settings)
        own |= dict(epochs=settings.epochs, quirks=None, metric=metric, differs=differs, reference=reference)
        return own | (dict(metric=text.ALONE) if cell.options["model"] == "lstm_lm" else {})

    return each


OPTIONS, FIGURES = ("data", "decoder", "layers", "latents", "model"), ("ELBO", "KL", "MI", "active units")
SHARED = dict(paper="dieng2018", epochs=SETTINGS.epochs, build=build, fit=fit, measure=measure, metric=METRIC)
SHARED |= dict(settings=SETTINGS, quirks=NONE)

cells = partial(table, options=OPTIONS, figures=FIGURES, shared=SHARED, each=_each)
by_depth = {key: row for key, row in PIXELCNN_BY_DEPTH.items() if key[:2] != ("dynamic_mnist", 9)}  # by latents, too
rebuilt = partial(cells, "PixelCNN, by layers, on OMNIGLOT (rebuilt)", data="dynamic_omniglot_rebuilt")
sentences = partial(table, options=("data", "model"), shared=SHARED)
published = partial(sentences, figures=("perplexity", "ELBO", "KL", "active units"))
BY_SAMPLES = text.METRIC.format(how="200 importance samples")
CELLS = [
    *cells("PixelCNN, by latents", PIXELCNN_BY_LATENTS, data="dynamic_mnist", decoder="pixelcnn", layers=9),
    *cells("PixelCNN, by layers", by_depth, decoder="pixelcnn", latents=20),
    *rebuilt(on("dynamic_omniglot", PIXELCNN_BY_DEPTH), decoder="pixelcnn", latents=20),
    *cells("MLP, by layers", MLP_BY_LAYERS, data="dynamic_mnist", decoder="mlp", latents=50),
    *published("text, Yahoo answers", text.YAHOO, data="yahoo", each=_sentences(text.SETTINGS, BY_SAMPLES)),
    *published(
        "text, Yahoo answers (validation file as training data)",
        text.YAHOO, data="yahoo_validation",
        each=_sentences(text.SETTINGS, BY_SAMPLES, "the papers' validation file is the training data"),
    ),
    *published(
        "text, Penn Treebank", text.TREEBANK, data="ptb",
        each=_sentences(text.PTB, text.METRIC.format(how="the bound"), reference="literature"),
    ),
    *sentences(
        "text, vaekit's grammar", text.EXACT, data="grammar", figures=("perplexity", "ELBO", "MI"),
        each=_sentences(text.GRAMMAR, text.GRAMMAR_METRIC, measure=text.measure_grammar, reference="exact"),
    ),
]  # fmt: skip

OTHERS = cells("", {("dynamic_mnist", "mlp", 2, 50, "Skip-SA-VAE"): ()}, figures=())  # in no table
MODELS = titled(
    CELLS + OTHERS,
    {
        "MLP, 2 layers, VAE": "dynamic_mnist-mlp-2-50-vae",
        "MLP, 2 layers, Skip-VAE": "dynamic_mnist-mlp-2-50-skip-vae",
        "MLP, 4 layers, VAE": "dynamic_mnist-mlp-4-50-vae",
        "MLP, 4 layers, Skip-VAE": "dynamic_mnist-mlp-4-50-skip-vae",
        "MLP, 2 layers, Skip-SA-VAE": "dynamic_mnist-mlp-2-50-skip-sa-vae",
        "PixelCNN, VAE": "dynamic_mnist-pixelcnn-9-20-vae",
        "PixelCNN, Skip-VAE": "dynamic_mnist-pixelcnn-9-20-skip-vae",
    },
)

PRESETS = Presets("dieng2018")
load, record = PRESETS.load, PRESETS.record  # trained models, and the records of their runs
