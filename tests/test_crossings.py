"""Everything combines: latents × priors × likelihoods × objectives × decoders, each trained two steps, saved, reloaded.

All 3456 combinations take hours, so the usual run takes a part of them in which every two choices meet, one half on
TensorFlow, the other on JAX (VAEKIT_CROSSINGS=all: every combination on both). It leaves out objectives that are a part
of another one.
"""

import itertools
import os

import keras
import numpy as np
import pytest
from oracles import numbers

import vaekit as vk
from vaekit import layers, objectives, priors

SHAPE, COLOUR = (4, 4, 1), (4, 4, 3)
LIKELIHOODS = {
    "Bernoulli": lambda: layers.Bernoulli(SHAPE),
    "Normal, shared σ": lambda: layers.Normal(SHAPE, scale="shared"),
    "Normal, optimal σ": lambda: layers.Normal(SHAPE, scale="optimal", soft_clip=-6.0),
    "Student-t": lambda: layers.StudentT(SHAPE),
    "discretized logistic": lambda: layers.DiscretizedLogistic(SHAPE),
    "categorical": lambda: layers.Categorical(SHAPE),
    "bitwise categorical": lambda: layers.BitwiseCategorical(COLOUR),
    "discretized logistic mixture": lambda: layers.DiscretizedLogisticMixture(COLOUR, components=2),
}
OBJECTIVES = {
    "ELBO": lambda: objectives.ELBO(),
    "ELBO, warm-up, free bits": lambda: objectives.ELBO(2, beta=objectives.WarmUp(3), free_bits=0.1),
    "ELBO, sticking the landing": lambda: objectives.ELBO(2, gradient="stl"),
    "IWAE": lambda: objectives.IWAE(3),
    "IWAE, doubly reparameterized": lambda: objectives.IWAE(3, gradient="dreg"),
    "MIWAE": lambda: objectives.MIWAE(2, 2),
    "CIWAE": lambda: objectives.CIWAE(3),
    "PIWAE": lambda: objectives.PIWAE(2, 2),
    "wake-sleep": lambda: objectives.WakeSleep(),
}
PRIORS = ("standard normal", "mixture of normals", "VampPrior", "VampPrior-data")
DECODERS = ("MLP", "MLP, skip", "convolutional", "convolutional, skip", "PixelCNN", "PixelCNN, skip")
PARTS = {"ELBO", "IWAE", "MIWAE"}  # of those with warm-up, CIWAE and PIWAE
CHOICES = ((1, 2), PRIORS, tuple(LIKELIHOODS), tuple(OBJECTIVES), DECODERS)
USUAL = (*CHOICES[:3], tuple(name for name in OBJECTIVES if name not in PARTS), DECODERS)


def pairwise(choices):
    """Combinations, few, in which every two choices meet at least once: greedily, the one with most new pairs next."""
    every = list(itertools.product(*choices))
    pairs = [frozenset(itertools.combinations(enumerate(combination), 2)) for combination in every]
    missing = frozenset().union(*pairs)
    while missing:
        best = max(range(len(every)), key=lambda i: len(pairs[i] & missing))
        missing -= pairs[best]
        yield every[best]


def images(shape, binary, n=12):
    levels = np.random.default_rng(0).integers(0, 256, (n, *shape))
    return ((levels > 128) if binary else (levels + 0.5) / 256).astype("float32")


def decoder(kind, head):
    kind, skip = kind.removesuffix(", skip"), kind.endswith("skip")
    dense, conv = keras.layers.Dense, keras.layers.Conv2DTranspose
    if kind == "MLP":
        return layers.Stack([dense(8, "relu"), dense(8, "relu"), head], skip=skip)
    if kind == "convolutional":
        grow = conv(3, 3, strides=2, padding="same", activation="relu")
        return layers.Stack([dense(12, "relu"), keras.layers.Reshape((2, 2, 3)), grow, head], skip=skip)
    masked = [layers.GatedPixelConv2D(3, mask="A"), layers.GatedPixelConv2D(3)]
    return layers.Autoregressive([*masked, head], skip=skip)


def prior_of(kind, encoder, x):
    return {
        "standard normal": lambda: priors.StandardNormal(),
        "mixture of normals": lambda: priors.MixtureOfNormals(3, seed=0),
        "VampPrior": lambda: priors.VampPrior(encoder, 3, seed=0),
        "VampPrior-data": lambda: priors.VampPrior.from_data(encoder, x, 3),
    }[kind]()


def normal(units):
    return layers.Stack([keras.layers.Flatten(), keras.layers.Dense(8, "relu"), layers.DiagonalNormal(units)])


def model_of(latents, prior, likelihood, kind, x):
    p_x = decoder(kind, LIKELIHOODS[likelihood]())
    encoder = normal(2)
    prior = prior_of(prior, encoder, x)
    if latents == 1:
        return vk.VAE(encoder, p_x, prior, seed=0)
    inputs = [keras.Input(x.shape[1:]), keras.Input((2,))]
    hidden = layers.Join()([keras.layers.Flatten()(inputs[0]), inputs[1]])
    q_z1 = keras.Model(inputs, layers.DiagonalNormal(3)(hidden))
    return vk.LatentVariableModel(
        generative=[
            vk.Factor("z2", prior),
            vk.Factor("z1", normal(3), given="z2"),
            vk.Factor("x", p_x, given=("z1", "z2")),
        ],
        inference=[vk.Factor("z2", encoder, given="x"), vk.Factor("z1", q_z1, given=("x", "z2"))],
        seed=0,
    )


def test_every_two_choices_meet_and_each_is_made_on_both_backends():
    for name in ("tensorflow", "jax"):
        assert [set(made) for made in zip(*half(name), strict=True)] == [set(choices) for choices in USUAL]
    for (i, first), (j, second) in itertools.combinations(enumerate(USUAL), 2):
        assert {(c[i], c[j]) for c in CHOSEN} == set(itertools.product(first, second))


def half(name):
    """Those that a backend takes, every other one; all choices occur in each half."""
    return CHOSEN[{"tensorflow": 0, "jax": 1}[name] :: 2]


CHOSEN = list(pairwise(USUAL))
WHOLE = os.environ.get("VAEKIT_CROSSINGS") == "all"


@pytest.mark.thorough
@pytest.mark.parametrize("choice", itertools.product(*CHOICES) if WHOLE else half(vk.backend.NAME), ids=repr)
def test_trains_saves_and_reloads(choice, tmp_path):
    latents, prior, likelihood, objective, kind = choice
    x = images(COLOUR if LIKELIHOODS[likelihood]().event_shape == COLOUR else SHAPE, likelihood == "Bernoulli")
    model = model_of(latents, prior, likelihood, kind, x)
    model.compile(keras.optimizers.SGD(0.01), objective=OBJECTIVES[objective]())
    history = model.fit(x, batch_size=6, verbose=0).history
    assert np.isfinite(list(history.values())).all() and int(model.step) == 2
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert [w.shape for w in loaded.trainable_weights] == [w.shape for w in model.trainable_weights]
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(numbers(model, x[:2]), numbers(loaded, x[:2]), rtol=1e-5)
