"""Paper 5: its network has the weights that its code draws, and every row of table 2 builds, trains and samples."""

import dataclasses
import math

import keras
import numpy as np
import pytest
from keras import ops
from oracles import numbers

from vaekit.datasets.registry import Dataset
from vaekit.papers import rybkin2020 as paper

TINY = dataclasses.replace(
    paper.SETTINGS, filters=(2, 3, 4), decoder_filters=(3, 2), latents=2, ladder=(2, 3), batch_size=6
)
# numbers for each pixel, of grey and of colour images
NUMBERS = {
    "bernoulli": (1, 3),
    "categorical": (256, 768),
    "bitwise": (8, 24),
    "logistic_mixture": (10 * 3, 10 * (1 + 3 + 3 + 3)),  # weight; means, scales, coefficients
    "unit": (1, 3),
    "pixel": (2, 6),
    "student_t": (3, 9),
    "beta": (1, 3),
    "shared": (1, 3),
    "optimal": (1, 3),
    "optimal_image": (1, 3),
}


def images(shape, binary=False, n=12):
    levels = np.random.default_rng(0).integers(0, 256, (n, *shape))
    x = ((levels > 128) if binary else levels / 255).astype("float32")
    return Dataset("random", "random", x, x[:6], x[:6], None, "random bytes", "")


def count(network):
    return sum(int(np.prod(w.shape)) for w in network.trainable_weights)


def conv(side, before, after):
    return side**2 * before * after + after


@pytest.mark.once
@pytest.mark.parametrize("decoder", paper.DECODERS)
@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3)], ids=str)
def test_the_network_has_the_codes_weights(shape, decoder):
    model = paper.vae(images(shape, decoder == "bernoulli", n=1), decoder)
    rows, _, colours = shape
    flat = (rows // 4) ** 2 * 128
    assert count(model.encoder) == (conv(3, colours, 32) + conv(4, 32, 64) + conv(5, 64, 128) + 2 * conv(1, flat, 20))
    numbers = NUMBERS[decoder][colours == 3]
    last = min(numbers, 128)
    maps = conv(1, 20, flat) + conv(6, 128, 64) + conv(6, 64, 32) + conv(5, 32, last)
    assert count(model.decoder) == maps + conv(1, last, numbers) + (decoder == "shared")
    assert model.encoder.layers[-2].output.shape[1:] == (rows // 4, rows // 4, 128)
    assert model.decoder.layers[-2].output.shape[1:] == (rows, rows, last)
    assert set(paper.DECODERS) == set(NUMBERS)


@pytest.mark.once
def test_the_hierarchy_has_the_weights_of_its_docstring():
    model = paper.hvae(images((32, 32, 3)), "optimal")
    features = conv(3, 3, 32) + conv(4, 32, 64) + conv(5, 64, 128)
    weights = {f.name: count(f.layer) for f in model.inference}
    assert weights["z2"] == features + 2 * conv(1, 8 * 8 * 128, 20)
    assert weights["z1"] == features + conv(1, 20, 64) + conv(3, 129, 128) + 2 * conv(1, 128, 8)
    weights = {f.name: count(f.layer) for f in model.generative}
    assert weights["z1"] == conv(1, 20, 8 * 8 * 128) + conv(3, 128, 128) + 2 * conv(1, 128, 8)
    maps = conv(6, 128, 64) + conv(6, 64, 32) + conv(5, 32, 3) + conv(1, 3, 3)
    assert weights["x"] == conv(1, 20, 64) + conv(3, 9, 128) + maps
    assert model.event_shapes["z1"] == (8, 8, 8) and model.event_shapes["z2"] == (20,)


@pytest.mark.alternate  # each head by itself runs on both: test_contract, test_normal
@pytest.mark.parametrize("decoder", paper.DECODERS)
def test_every_row_has_a_bound_and_samples(decoder):
    data = images((8, 8, 3), decoder == "bernoulli")
    model = paper.vae(data, decoder, settings=TINY, seed=0)
    assert np.isfinite(numbers(model, data.test)).all()
    assert model.sample(2, seed=0).shape == (2, 8, 8, 3)


@pytest.mark.thorough
@pytest.mark.alternate
@pytest.mark.parametrize(
    "architecture, decoder",
    [("vae", "optimal"), ("vae", "optimal_image"), ("vae", "logistic_mixture"), ("hvae", "shared")],
)
def test_trains_and_reloads(architecture, decoder, tmp_path):
    data = images((8, 8, 3))
    model = getattr(paper, architecture)(data, decoder, settings=TINY, seed=0)
    history = paper.fit(model, data, epochs=1, settings=TINY, verbose=0).history
    assert np.isfinite(list(history.values())).all() and int(model.step) == 2
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(numbers(model, data.test[:2]), numbers(loaded, data.test[:2]), rtol=1e-5)


@pytest.mark.once
def test_scales_are_the_papers():
    data = images((8, 8, 1))

    def scale(decoder):
        model = paper.vae(data, decoder, settings=TINY, seed=0)
        return ops.convert_to_numpy(model.likelihood(np.zeros((1, 2), "float32")).stddev())

    np.testing.assert_allclose(scale("unit"), 1.0)
    np.testing.assert_allclose(scale("beta"), np.sqrt(0.01 / 2), rtol=1e-6)
    start = -6 + np.log1p(np.exp(6))  # log σ = 0, softly clipped
    np.testing.assert_allclose(scale("shared"), np.exp(start), rtol=1e-5)


def test_the_papers_beta_is_twice_the_variance():
    """Its −log p on SVHN lie above the least that a Gaussian of variance β/2 can have, but not of variance β."""

    def least(variance):
        return 28 * 28 * 3 / 2 * math.log(2 * math.pi * variance)

    assert all(nats > least(beta / 2) for beta, (nats, _) in paper.BETAS_SVHN.items())
    assert {beta for beta, (nats, _) in paper.BETAS_SVHN.items() if nats < least(beta)} == {0.1, 1, 10}
    assert paper.TABLE_2["svhn", "VAE", "beta"] == paper.BETAS_SVHN[paper.SETTINGS.beta]
    best = min(paper.BETAS_SVHN, key=lambda beta: paper.BETAS_SVHN[beta][1])
    assert best == paper.SETTINGS.beta


def test_a_beta_vae_is_its_row_times_half_beta():
    """‖x − μ‖²/2 + (β/2) KL, the unit Gaussian with the KL weighted, is β/2 times the row's loss, up to a constant."""
    data, losses = images((4, 4, 1)), []
    half = paper.SETTINGS.beta / 2
    for decoder, beta in (("beta", 1.0), ("unit", half)):
        keras.utils.set_random_seed(0)
        model = paper.vae(data, decoder, beta=beta, settings=TINY, seed=0)
        losses.append(model.evaluate(data.test, verbose=0, seed=0)["loss"])
    constant = 16 / 2 * (math.log(2 * math.pi) - half * math.log(2 * math.pi * half))
    assert losses[1] == pytest.approx(half * losses[0] + constant, rel=1e-5)


def test_summed_gradients_are_a_smaller_epsilon():
    data = images((4, 4, 1))
    epsilons = [
        paper.vae(data, quirks=paper.Quirks(summed_gradient=s), settings=TINY).optimizer.epsilon for s in (False, True)
    ]
    assert epsilons == pytest.approx([1e-8, 1e-8 / 6])


@pytest.mark.once
def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="multiples of 4"):
        paper.vae(images((6, 6, 1)))
    with pytest.raises(ValueError, match="decoders are 'bernoulli'"):
        paper.vae(images((8, 8, 1)), "gaussian")
    grey = images((4, 4, 1))
    with pytest.raises(ValueError, match="expects the values 0 and 1"):
        paper.fit(paper.vae(grey, "bernoulli", settings=TINY), grey, epochs=1, settings=TINY, verbose=0)


@pytest.mark.once
def test_settings_and_models():
    s = paper.SETTINGS
    assert (s.batch_size, s.learning_rate, s.latents, s.soft_clip) == (128, 1e-3, 20, -6.0)
    assert {decoder for *_, decoder in paper.TABLE_2} == set(paper.DECODERS)
