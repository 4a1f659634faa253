"""Tomczak & Welling: the networks' sizes, priors that share encoders, quirks, and a brief training of each."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from oracles import numbers

import vaekit as vk
from vaekit.papers import tomczak2017 as paper

SMALL = replace(
    paper.SETTINGS, hidden=8, latents=3, components=5, filters=(2, 2, 2, 2, 2), decoder_filters=2, pixel_filters=2,
    pixel_layers=2, batch_size=10, warm_up=1,
)  # fmt: skip


def dataset(shape=(28, 28, 1), name="static_mnist", n=20):
    rng = np.random.default_rng(0)
    binary = name == "static_mnist"
    x = (rng.random((n, *shape)) < 0.3) if binary else (rng.integers(0, 256, (n, *shape)) + 0.5) / 256
    x = x.astype("float32")
    return vk.datasets.Dataset(name, name, x, x[:10], x[:10], None, "", "")


def gated(*widths):
    return 2 * sum((a + 1) * b for a, b in zip(widths, widths[1:], strict=False))


def head(features, units, parameters=2):
    return parameters * (features + 1) * units


def convolutions(channels, kernels):
    return 2 * sum((k * k * a + 1) * b for a, b, k in zip(channels, channels[1:], kernels, strict=False))


def sizes(model):
    return {f"p_{f.name}": f.layer.count_params() for f in model.generative} | {
        f"q_{f.name}": f.layer.count_params() for f in model.inference
    }


@pytest.mark.once
def test_networks_have_the_papers_sizes():
    data = dataset()
    assert sizes(paper.vae(data)) == {
        "p_z": 0,
        "q_z": gated(784, 300, 300) + head(300, 40),
        "p_x": gated(40, 300, 300) + head(300, 784, 1),
    }
    two = {
        "p_z2": 0,
        "q_z2": gated(784, 300, 300) + head(300, 40),
        "p_z1": gated(40, 300, 300) + head(300, 40),
        "q_z1": gated(784, 300) + gated(40, 300) + gated(600, 300) + head(300, 40),
        "p_x": 2 * gated(40, 300) + gated(600, 300) + head(300, 784, 1),
    }
    assert sizes(paper.hvae(data)) == two
    channels, flat = (1, 32, 32, 64, 64, 6), 7 * 7 * 6
    convolutional = {
        **two,
        "q_z2": convolutions(channels, (7, 3, 5, 3, 3)) + head(flat, 40),
        "q_z1": convolutions(channels, (3,) * 5) + gated(40, flat) + gated(2 * flat, 300) + head(300, 40),
        "p_x": 2 * gated(40, 300) + gated(600, 784) + convolutions((1, 64, 64, 64, 64), (3,) * 4) + head(64, 1, 1),
    }
    assert sizes(paper.conv_hvae(data)) == convolutional
    masked = 9 * 3 * 64 + 7 * 9 * 64 * 64 + 8 * 4 * 64  # without biases, with batch normalization's four
    assert sizes(paper.pixel_hvae(data)) == {**convolutional, "p_x": 2 * gated(40, 784) + masked + head(64, 1, 1)}


@pytest.mark.once
@pytest.mark.parametrize("architecture", ["vae", "hvae", "convhvae", "pixelhvae"])
def test_dropout_and_free_bits_where_the_settings_have_them(architecture):
    build, data = paper.ARCHITECTURES[architecture], dataset()
    plain, varied = build(data, settings=SMALL), build(data, settings=replace(SMALL, dropout=0.5, free_bits=2.0))
    assert sizes(plain) == sizes(varied)  # and no more weights
    assert plain.objective.free_bits == 0 and varied.objective.free_bits == 2

    def dropped(model):
        layers = [layer for factor in model.inference for layer in factor.layer._flatten_layers()]
        return [layer.rate for layer in layers if isinstance(layer, keras.layers.Dropout)]

    assert not dropped(plain)
    assert dropped(varied) == {"vae": 2 * [0.5], "hvae": 5 * [0.5]}.get(architecture, 2 * [0.5])
    x = data.train[:1]
    for model, differ in ((plain, False), (varied, True)):
        q = model.inference[0].layer
        means = [np.asarray(q(x, training=True).mean()) for _ in range(2)]
        assert np.array_equal(*means) != (differ and architecture in ("vae", "hvae"))
        assert np.array_equal(*(np.asarray(q(x).mean()) for _ in range(2)))  # none where nothing is trained


@pytest.mark.alternate
@pytest.mark.parametrize("prior", paper.PRIORS)
def test_priors(prior):
    model = paper.vae(dataset(), prior, settings=SMALL, seed=0)
    assert isinstance(model.optimizer, vk.training.NormalizedGradients)
    assert model.objective.beta.steps == 2  # 1 epoch of 20 examples by 10
    if prior.startswith("vamp"):
        assert model.prior.encoder is model.encoder
        assert model.prior.pseudo_inputs.shape == (5, 28, 28, 1)
    with pytest.raises(ValueError, match="'vampprior_data'"):
        paper.vae(dataset(), "vamp")


# Two on each backend: with convolutions and without, grey and binary.
@pytest.mark.thorough
@pytest.mark.parametrize(
    "architecture, name",
    {
        "tensorflow": [(paper.vae, "frey_faces"), (paper.pixel_hvae, "static_mnist")],
        "jax": [(paper.hvae, "static_mnist"), (paper.conv_hvae, "frey_faces")],
    }[vk.backend.NAME],
)
def test_architectures_train_and_reload(architecture, name, tmp_path):
    data = dataset((8, 12, 1), name)
    model = architecture(data, "vampprior", settings=SMALL, seed=0)
    history = paper.fit(model, data, epochs=1, settings=SMALL, verbose=0).history
    assert np.isfinite(history["val_bound"]).all()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(numbers(model, data.test), numbers(loaded, data.test), rtol=1e-5)
    assert paper.prior_of(loaded).encoder is loaded.inference[0].layer


@pytest.mark.once
def test_omniglot_has_twice_the_components_and_pseudo_inputs_start_where_the_data_want():
    data = dataset(name="static_mnist")
    omniglot = replace(data, name="dynamic_omniglot_rebuilt")
    assert len(paper.prior_of(paper.vae(omniglot, "vampprior", settings=SMALL)).pseudo_inputs) == 10
    for name, mean in (("static_mnist", 0.05), ("caltech101_silhouettes", 0.5)):
        prior = paper.prior_of(paper.vae(replace(data, name=name), "vampprior", settings=SMALL, seed=0))
        assert prior.pseudo_inputs.mean() == pytest.approx(mean, abs=0.005)


@pytest.mark.once
def test_quirks_are_off_unless_asked_for():
    data, quirks = dataset(), paper.Quirks(*[True] * 4)
    z = np.full((1, 3), 100, "float32")
    for given, bound in ((paper.NONE, 0.0), (quirks, 1e-5)):
        model = paper.vae(data, settings=SMALL, quirks=given, seed=0)
        model.decoder.layers[-1].heads["logits"].bias.assign(np.full(784, -50.0))
        assert model.decode(z).min() == pytest.approx(bound, rel=0.01, abs=1e-12)
    prior = paper.prior_of(paper.vae(data, "vampprior", settings=SMALL, quirks=quirks, seed=0))
    stddev = (2 / SMALL.components) ** 0.5
    assert prior.squashed and np.std(prior.unbounded_inputs) == pytest.approx(stddev, rel=0.1)
    grey = dataset(name="frey_faces")
    assert paper.vae(grey, settings=SMALL).decoder.layers[-1].edges
    assert not paper.vae(grey, settings=SMALL, quirks=quirks).decoder.layers[-1].edges
