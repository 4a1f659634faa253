r"""Importance Weighted Autoencoders (Burda, Grosse & Salakhutdinov, arXiv 1509.00519).

```python
from vaekit.papers import burda2015 as paper

mnist = vk.datasets.load("dynamic_mnist")
iwae = paper.one_layer(mnist, vk.objectives.IWAE(50))
paper.fit(iwae, mnist, stages=4)  # the paper's schedule has 8 stages, 3280 epochs
print(vk.evaluation.log_likelihood(iwae, mnist.test, samples=5000))
print(vk.evaluation.active_units(iwae, np.asarray(mnist.train[:500])))
```

Table 2 switches the objective of a trained model, `paper.switch(iwae, vk.objectives.ELBO())`, for 3^7 more epochs. The
last check, "inactive units removed", is `vk.evaluation.remove_inactive`. The paper's
rows "VAE, k samples" average k one-sample bounds: `ELBO(k)`.
"""

from dataclasses import dataclass
from functools import partial

import keras
import numpy as np
from keras import ops

from vaekit import evaluation
from vaekit.layers import MLP, Bernoulli, DiagonalNormal
from vaekit.models import VAE, Factor, LatentVariableModel
from vaekit.models.factors import output_layer
from vaekit.objectives import ELBO, IWAE
from vaekit.papers.cell import Figure, numbers, on, table, titled
from vaekit.papers.common import REBUILT, event_shape, steps_per_epoch, train
from vaekit.papers.presets import Presets
from vaekit.priors import StandardNormal


@dataclass(frozen=True)
class Settings:
    """Settings of section 5 and the appendix.

    Attributes:
        batch_size: examples a step.
        stages: stage i = 0, 1, … has 3^i epochs at learning rate 1e-3 · 10^(−i/7).
        beta_1, beta_2, epsilon: of Adam.
        hidden: tanh units of each of the two hidden layers next to x.
        latents: units of h in the model with one stochastic layer.
        hidden_2: the same, between h1 and h2.
        latents_2: units of h1 and h2 in the model with two.
        threshold: of activity, for a unit to count as active.
        samples: for the reported negative log-likelihoods.
        gradient: of a cell's objective, such as `"dreg"` of `IWAE`; the paper has `"pathwise"`.
    """

    batch_size: int = 20
    stages: int = 8
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-4
    hidden: int = 200
    latents: int = 50
    hidden_2: int = 100
    latents_2: tuple = (100, 50)
    threshold: float = 0.01
    samples: int = 5000
    gradient: str = "pathwise"


SETTINGS = Settings()


@dataclass(frozen=True)
class Quirks:
    """What the original code does otherwise than the paper says; all off by default, for figures comparable with it.

    One is not offered: the code never shuffles, so that every epoch has the same batches.

    Attributes:
        rounded_rates: learning rates rounded to one digit, 1e-4 · round(10^(1 − i/7), 1).
        summed_gradient: the gradient is the sum over the batch of 20, not the mean. Adam does not see the scale but
            through ε, which is 20 times as small in effect, 5e-6.
        high_momentum: β₁ = 0.99 instead of 0.9.
        second_moment_from_one: Adam's second moments start at 1, so that the first steps are small.
        equal_heads: all layers drawn from one seed, so that the heads of mean and σ start with equal weights.
    """

    rounded_rates: bool = False
    summed_gradient: bool = False
    high_momentum: bool = False
    second_moment_from_one: bool = False
    equal_heads: bool = False


NONE = Quirks()


def _weights(quirks):
    return dict(kernel_initializer=keras.initializers.GlorotUniform(seed=123)) if quirks.equal_heads else {}


def _network(hidden, units, head, quirks):
    """Two tanh layers and a head; σ = exp(linear) for the normal ones."""
    layers = [MLP([hidden, hidden], "tanh", **_weights(quirks)), head(units, **_weights(quirks))]
    return keras.Sequential(layers)


def _normal(units, **weights):
    return DiagonalNormal(units, parametrization="log_scale", **weights)


def one_layer(data, objective=None, settings=SETTINGS, quirks=NONE, seed=None):
    r"""One stochastic layer, 784–200–200–50 and back, compiled: $p(h)\,p(x|h)$, $q(h|x)$.

    Args:
        data: a `vaekit.datasets.Dataset` of binary images.
        objective: IWAE(k) or ELBO(k); None: IWAE(50).
        seed: integer, of the order of the data and of sampling; the weights' is `keras.utils.set_random_seed`.
    """
    encoder = _network(settings.hidden, settings.latents, _normal, quirks)
    decoder = _network(settings.hidden, event_shape(data), Bernoulli, quirks)
    return _compiled(VAE(encoder, decoder, seed=seed), data, objective, settings, quirks)


def two_layers(data, objective=None, settings=SETTINGS, quirks=NONE, seed=None):
    r"""Two stochastic layers, 784–200–200–h1(100)–100–100–h2(50) and back, compiled.

    $p(h_2)\,p(h_1|h_2)\,p(x|h_1)$ and $q(h_1|x)\,q(h_2|h_1)$; the arguments are those of `one_layer`.
    """
    n1, n2 = settings.latents_2
    model = LatentVariableModel(
        generative=[
            Factor("h2", StandardNormal()),
            Factor("h1", _network(settings.hidden_2, n1, _normal, quirks), given="h2"),
            Factor("x", _network(settings.hidden, event_shape(data), Bernoulli, quirks), given="h1"),
        ],
        inference=[
            Factor("h1", _network(settings.hidden, n1, _normal, quirks), given="x"),
            Factor("h2", _network(settings.hidden_2, n2, _normal, quirks), given="h1"),
        ],
        seed=seed,
    )
    return _compiled(model, data, objective, settings, quirks)


def _compiled(model, data, objective, settings, quirks):
    model.build((None, *data.event_shape))
    start_at_mean(model, data.train)
    model.compile(optimizer(model, data, settings, quirks), objective=objective or IWAE(50))
    return model


def start_at_mean(model, train):
    r"""Sets the bias of a Bernoulli decoder so that its first images are the mean image.

    $b = -\log(1 / m - 1)$, $m = \mathrm{clip}(\bar x, 0.001, 0.999)$.
    """
    mean = np.clip(np.mean(getattr(train, "probabilities", train), axis=0), 0.001, 0.999)
    head = output_layer(model.generative[-1].layer).heads["logits"]
    head.bias.assign(-np.log(1 / mean - 1).reshape(head.bias.shape))


def epochs(stages=SETTINGS.stages):
    """Epochs of the first stages: 3^0 + 3^1 + …; 3280 for all eight."""
    return sum(3**i for i in range(stages))


def learning_rates(stages=SETTINGS.stages, quirks=NONE):
    """The learning rate of each stage, a list."""
    exact = [10 ** (1 - i / 7) for i in range(stages)]
    return [1e-4 * (round(rate, 1) if quirks.rounded_rates else rate) for rate in exact]


def optimizer(model, data, settings=SETTINGS, quirks=NONE):
    """Adam with the paper's staged learning rate, for batches of the paper's size."""
    steps = steps_per_epoch(len(data.train), settings)
    rate = keras.optimizers.schedules.PiecewiseConstantDecay(
        boundaries=[steps * epochs(i) for i in range(1, settings.stages)],
        values=learning_rates(settings.stages, quirks),
    )
    return _adam(model, rate, settings, quirks)


def _adam(model, rate, settings, quirks):
    adam = keras.optimizers.Adam(
        rate,
        beta_1=0.99 if quirks.high_momentum else settings.beta_1,
        beta_2=settings.beta_2,
        epsilon=settings.epsilon / settings.batch_size if quirks.summed_gradient else settings.epsilon,
    )
    if quirks.second_moment_from_one:
        adam.build(model.trainable_variables)
        for moment in adam.variables:
            if "velocity" in moment.path:
                moment.assign(ops.ones(moment.shape))
    return adam


def switch(model, objective, settings=SETTINGS, quirks=NONE):
    """Compiles a trained model for the other objective, at the last stage's learning rate 1e-4 (table 2)."""
    rate = learning_rates(settings.stages, quirks)[-1]
    model.compile(_adam(model, rate, settings, quirks), objective=objective)


def fit(model, data, stages=None, settings=SETTINGS, **options):
    """Trains with the paper's batches for its first stages.

    Args:
        stages: None: the settings'.
        settings: the model's own, whose learning rates count steps of their batches.
        **options: as for a model's `fit`, such as `epochs`.
    """
    options = {"epochs": epochs(settings.stages if stages is None else stages), **options}
    return train(model, data, settings, **options)


# Table 1: negative log-likelihood in nats, 5000 samples, on the test images, and active units of each layer.
# (data set, layers, objective, k): (NLL, active units)
TABLE_1 = {
    ("dynamic_mnist", 1, "VAE", 1): (86.76, (19,)),
    ("dynamic_mnist", 1, "VAE", 5): (86.47, (20,)),
    ("dynamic_mnist", 1, "VAE", 50): (86.35, (20,)),
    ("dynamic_mnist", 1, "IWAE", 1): (86.76, (19,)),
    ("dynamic_mnist", 1, "IWAE", 5): (85.54, (22,)),
    ("dynamic_mnist", 1, "IWAE", 50): (84.78, (25,)),
    ("dynamic_mnist", 2, "VAE", 1): (85.33, (16, 5)),
    ("dynamic_mnist", 2, "VAE", 5): (85.01, (17, 5)),
    ("dynamic_mnist", 2, "VAE", 50): (84.78, (17, 5)),
    ("dynamic_mnist", 2, "IWAE", 1): (85.33, (16, 5)),
    ("dynamic_mnist", 2, "IWAE", 5): (83.89, (21, 5)),
    ("dynamic_mnist", 2, "IWAE", 50): (82.90, (26, 7)),
    ("dynamic_omniglot", 1, "VAE", 1): (108.11, (28,)),
    ("dynamic_omniglot", 1, "VAE", 5): (107.62, (28,)),
    ("dynamic_omniglot", 1, "VAE", 50): (107.80, (28,)),
    ("dynamic_omniglot", 1, "IWAE", 1): (108.11, (28,)),
    ("dynamic_omniglot", 1, "IWAE", 5): (106.12, (34,)),
    ("dynamic_omniglot", 1, "IWAE", 50): (104.67, (41,)),
    ("dynamic_omniglot", 2, "VAE", 1): (107.58, (28, 4)),
    ("dynamic_omniglot", 2, "VAE", 5): (106.31, (30, 5)),
    ("dynamic_omniglot", 2, "VAE", 50): (106.30, (30, 5)),
    ("dynamic_omniglot", 2, "IWAE", 1): (107.56, (30, 5)),
    ("dynamic_omniglot", 2, "IWAE", 5): (104.79, (38, 6)),
    ("dynamic_omniglot", 2, "IWAE", 50): (103.38, (44, 7)),
}

# Table 2: the other objective after training, dynamic MNIST, 1 layer. (objective, k, then): (NLL, active units); what
# they are before is in table 1.
TABLE_2 = {
    ("VAE", 1, "IWAE-50"): (84.88, 22),
    ("IWAE", 50, "VAE-1"): (86.02, 23),
}

# Fixed binarization, 50,000 training images: NLL in nats. (layers, objective, k): NLL.
STATIC_MNIST = {
    (1, "VAE", 1): 88.71,
    (1, "VAE", 5): 88.83,
    (1, "VAE", 50): 89.05,
    (1, "IWAE", 1): 88.71,
    (1, "IWAE", 5): 87.63,
    (1, "IWAE", 50): 87.10,
    (2, "VAE", 1): 88.08,
    (2, "VAE", 5): 87.63,
    (2, "VAE", 50): 87.86,
    (2, "IWAE", 1): 88.08,
    (2, "IWAE", 5): 86.17,
    (2, "IWAE", 50): 85.32,
}

# ---- the cells of these tables

METRIC = (
    "NLL: importance sampling, 5000 samples an image, all test images. Active units: variance of posterior means over "
    "the test images above 0.01 (of the second layer: averaged over 10 samples of the first)."
)


def measure(model, data, seed=0, progress=True, checkpoint=None):
    """Negative log-likelihood and active units, on the test images."""
    how = dict(seed=seed, progress=progress, checkpoint=checkpoint)
    p = evaluation.log_likelihood(model, data.test, SETTINGS.samples, **how)
    units = evaluation.active_units(model, data.test, SETTINGS.threshold, samples=10, seed=seed)
    return {
        "NLL": Figure(-p.mean, p.standard_error),
        "active units": Figure(numbers(units)),
        "effective sample size": Figure(float(np.median(p.effective_sample_size))),
    }


def build(data, layers, objective, samples, then=None, settings=SETTINGS, quirks=NONE, seed=None):
    """The model of a cell, by the cell's options."""
    network = {1: one_layer, 2: two_layers}[layers]
    model = network(data, _objective(objective, samples, settings), settings, quirks, seed)
    if then:
        objective, samples = then.split("-")
        switch(model, _objective(objective, int(samples), settings), settings, quirks)
    return model


def _objective(name, samples, settings):
    return {"vae": ELBO, "iwae": IWAE}[name](samples, gradient=settings.gradient)


# Images that are held out for validation are the paper's training images, too (its code holds out 400 of MNIST's).
DIFFERS = {
    "dynamic_mnist": "50,000 training images instead of 60,000",
    "dynamic_omniglot": "23,000 training images instead of 24,345",
    "dynamic_omniglot_rebuilt": f"{REBUILT}, 23,000 training images",
}


def _each(cell):
    """What a cell has of its own: its data may not be the paper's."""
    return dict(differs=DIFFERS.get(cell.data, ""))


def _switched(cell):
    """What a cell of table 2 has of its own: it starts from one of table 1, for 3^7 epochs with the other objective."""
    before = {name: value for name, value in cell.options.items() if name != "then"}
    after = next(other for other in CELLS if other.options == before)
    return dict(after=after, differs=after.differs, epochs=3 ** (SETTINGS.stages - 1))


OPTIONS = ("data", "layers", "objective", "samples")
SHARED = dict(paper="burda2015", epochs=epochs(), build=build, fit=fit, measure=measure, metric=METRIC)
SHARED |= dict(settings=SETTINGS, quirks=NONE)

cells = partial(table, options=OPTIONS, figures=("NLL", "active units"), shared=SHARED, each=_each)
rebuilt = on("dynamic_omniglot", TABLE_1)
CELLS = [
    *cells("table 1", TABLE_1),
    *cells("fixed binarization", STATIC_MNIST, data="static_mnist", figures=("NLL",)),
    *cells("table 1, on OMNIGLOT (rebuilt)", rebuilt, data="dynamic_omniglot_rebuilt"),
]
title = "table 2: after training, the other objective"
CELLS += cells(title, TABLE_2, options=(*OPTIONS, "then"), data="dynamic_mnist", layers=1, each=_switched)

MODELS = titled(
    CELLS,
    {
        "1 layer, VAE, k=1": "static_mnist-1-vae-1",
        "1 layer, IWAE, k=5": "static_mnist-1-iwae-5",
        "1 layer, IWAE, k=50": "static_mnist-1-iwae-50",
        "2 layers, VAE, k=1": "static_mnist-2-vae-1",
        "2 layers, IWAE, k=5": "static_mnist-2-iwae-5",
    },
)

PRESETS = Presets("burda2015")
load, record = PRESETS.load, PRESETS.record  # trained models, and the records of their runs
