"""Paper 4: its networks have the weights that the paper draws, z enters where it says, and all of it trains."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import ops
from oracles import numbers

import vaekit as vk
from vaekit.datasets.registry import Dataset
from vaekit.layers import GatedPixelConv2D
from vaekit.papers import dieng2018 as paper

TINY = dataclasses.replace(paper.SETTINGS, hidden=6, maps=(3, 3), filters=2, batch_size=6)


def binary(shape=(28, 28, 1), n=12):
    x = (np.random.default_rng(0).random((n, *shape)) < 0.3).astype("float32")
    return Dataset("random", "random", x, x[:6], x[:6], None, "random bits", "")


def count(network):
    return sum(int(np.prod(w.shape)) for w in network.trainable_weights)


def conv(rows, columns, before, after, bias=True):
    return rows * columns * before * after + bias * after


def dense(before, after):
    return conv(1, 1, before, after)


def residual(before, after):
    # two 3×3 convolutions without bias, a scale and a shift after each, and a 1×1 way around where channels change
    weights = conv(3, 3, before, after, False) + conv(3, 3, after, after, False) + 4 * after
    return weights + (conv(1, 1, before, after) if before != after else 0)


@pytest.mark.once
@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("layers", [2, 4])
def test_mlp_has_the_papers_weights(layers, skip):
    model = paper.mlp(binary(), skip, layers)
    assert count(model.encoder) == dense(784, 512) + dense(512, 512) + 2 * dense(512, 50)
    # U z in every layer but the first, which has nothing else
    later = (layers - 1) * dense(512 + 50 * skip, 512)
    assert count(model.decoder) == dense(50, 512) + later + dense(512 + 50 * skip, 784)


@pytest.mark.once
@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("depth", [1, 9])
def test_pixelcnn_has_the_papers_weights(depth, skip):
    model = paper.pixelcnn(binary(), skip, depth)
    blocks = residual(1, 64) + 2 * residual(64, 64) + 3 * conv(2, 2, 64, 64)
    assert count(model.encoder) == blocks + 2 * dense(3 * 3 * 64, 20)  # 28, 14, 7, 3
    place = dense(20, 28 * 28)  # z as one channel
    first = conv(1, 3, 2, 64) + conv(1, 1, 2, 64)
    later = conv(2, 3, 32 + skip, 64) + conv(1, 2, 32 + skip, 64)
    inside = conv(1, 1, 64, 64, False) + conv(1, 1, 32, 32)  # from stack to stack, and out
    layers = first + (depth - 1) * later + depth * inside
    assert count(model.decoder) == layers + place * (1 + depth * skip) + dense(64 + skip, 1)


def bypassing(model, data, silent):
    """How much log p(x|z) depends on z when the weights of the `silent` layers are 0."""
    for layer in silent:
        layer.set_weights([0 * w for w in layer.get_weights()])
    a, b = (model.likelihood(np.full((3, 2), z, "float32")).log_prob(data.train[:3]) for z in (-1, 1))
    return np.abs(ops.convert_to_numpy(a - b)).max()


@pytest.mark.alternate
@pytest.mark.parametrize("kind", ["mlp", "pixelcnn"])
def test_z_reaches_the_pixels_past_silent_layers_only_by_skips(kind):
    data = binary((4, 4, 1))

    def build(skip, layers):
        if kind == "mlp":
            return paper.mlp(data, skip, layers, latents=2, settings=TINY, seed=0)
        return paper.pixelcnn(data, skip, layers, latents=2, settings=TINY, seed=0)

    for skip in (False, True):
        model = build(skip, 2)
        first = model.decoder.layers[0]
        assert isinstance(first, (keras.layers.Dense, GatedPixelConv2D))
        assert bypassing(model, data, []) > 1e-3
        reached = bypassing(model, data, [first])  # z through it no more
        assert reached > 1e-3 if skip else reached == pytest.approx(0, abs=1e-5)
        reached = bypassing(model, data, model.decoder.layers[:2])  # and by no hidden layer
        assert reached > 1e-3 if skip else reached == pytest.approx(0, abs=1e-5)


@pytest.mark.once
def test_wiring_of_the_codes_mlp():
    quirks = paper.Quirks(mlp_wiring=True)
    for skip in (False, True):
        model = paper.mlp(binary(), skip, 2, quirks=quirks)
        hidden = dense(50, 512) + 2 * dense(512 + 50 * skip, 512)  # a linear layer of z, then two of ReLU
        assert count(model.decoder) == hidden + dense(512, 784)
    assert model.decoder.layers[0].layers[0].activation is keras.activations.linear


@pytest.mark.once
def test_warm_up_is_off_unless_asked_for():
    data = binary((4, 4, 1))  # two batches an epoch
    for warm_up, betas in (0, (1, 1, 1)), (5, (0.1, 0.55, 1)):
        model = paper.mlp(data, False, settings=dataclasses.replace(TINY, warm_up=warm_up))
        assert [float(model.objective.weight(step)) for step in (0, 5, 20)] == pytest.approx(betas)


def test_clamped_probabilities_bound_the_loss_of_a_pixel():
    model = paper.mlp(binary((4, 4, 1)), False, settings=TINY, quirks=paper.Quirks(clamped_probabilities=True))
    head = model.decoder.layers[-1].heads["logits"]
    head.set_weights([np.zeros_like(head.kernel), np.full(16, 100.0)])
    log_p = model.likelihood(np.zeros((1, 50), "float32")).log_prob(np.zeros((1, 4, 4, 1), "float32"))
    assert float(log_p[0]) == pytest.approx(16 * np.log(1e-5), rel=1e-3)


@pytest.mark.thorough
@pytest.mark.alternate
@pytest.mark.parametrize(
    "kind, refined", [("mlp", False), ("mlp", True), ("pixelcnn", False)], ids=["MLP", "MLP, refined", "PixelCNN"]
)
def test_trains_and_reloads(kind, refined, tmp_path):
    data = binary((4, 4, 1))
    options = dict(settings=TINY, seed=0, latents=2)
    if refined:
        options["refinement"] = dataclasses.replace(paper.refinement(TINY), steps=2)
    if kind == "mlp":
        model = paper.mlp(data, True, **options)
    else:
        model = paper.pixelcnn(data, True, depth=2, **options)
    history = paper.fit(model, data, epochs=1, settings=TINY, verbose=0).history
    assert np.isfinite(list(history.values())).all() and int(model.step) == 2
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.refinement == model.refinement and loaded.optimizer.global_clipnorm == 5.0
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(numbers(model, data.test[:2]), numbers(loaded, data.test[:2]), rtol=1e-5)


def test_refinement_steps_as_on_the_mean_loss_of_a_batch():
    """One step at rate 1 on the mean loss of B alike examples, the batch's gradient clipped at 5."""
    settings = dataclasses.replace(paper.SETTINGS, refinement_steps=1)
    encoder, decoder = vk.layers.DiagonalNormal(1), vk.layers.Normal(1, scale=0.1)
    model = vk.VAE(encoder, decoder, seed=0)
    model.build((None, 1))
    for layer in (encoder, decoder):
        layer.set_weights([0 * w for w in layer.get_weights()])
    encoder.heads["log_variance"].set_weights([np.zeros((1, 1)), np.full(1, -12.0)])  # z ≈ μ
    decoder.heads["mean"].set_weights([np.ones((1, 1)), np.zeros(1)])
    b = settings.batch_size
    for x in (0.2, 3.0):  # −dℓ/dμ = x / 0.1²: 20, and 300, which is clipped
        data = model.observe(np.full((b, 1), x, "float32"))
        gradient = np.full(b, x / 0.01) / b  # of the mean loss
        expected = gradient * min(1, 5 / np.linalg.norm(gradient))
        offsets = paper.refinement(settings)(model, data, vk.backend.seed(0))
        np.testing.assert_allclose(ops.convert_to_numpy(offsets["z"]["mean"])[:, 0], expected, rtol=0.05)


@pytest.mark.once
def test_settings_and_tables():
    s = paper.SETTINGS
    assert (s.batch_size, s.epochs, s.learning_rate, s.clip, s.threshold) == (50, 100, 1e-3, 5.0, 0.01)
    for table in (paper.PIXELCNN_BY_LATENTS, paper.PIXELCNN_BY_DEPTH, paper.MLP_BY_LAYERS):
        assert all(len(row) == 4 for row in table.values())
        assert {(*key[:-1], model) for key in table for model in ("VAE", "Skip-VAE")} == set(table)
        for *key, _ in table:  # the paper's claim, at every setting
            vae, skip = table[(*key, "VAE")][1], table[(*key, "Skip-VAE")][1]
            assert vae is None or skip > vae


@pytest.mark.thorough
@pytest.mark.once
def test_skips_carry_more_information_at_equal_budget(mirror):
    """By the KL. (Active units tell later: until training has silenced some, all of them pass the threshold.)"""
    mnist = vk.datasets.load("dynamic_mnist")
    few = dataclasses.replace(mnist, train=mnist.train[:5000], validation=mnist.validation[:500])
    results = []
    for skip in (False, True):
        keras.utils.set_random_seed(0)
        model = paper.mlp(few, skip, layers=4, settings=dataclasses.replace(paper.SETTINGS, hidden=128), seed=0)
        paper.fit(model, few, epochs=3, verbose=0)
        results.append(model.evaluate(few.test[:500], verbose=0, seed=0))
    vae, skip_vae = results
    assert skip_vae["kl"] > 2 * vae["kl"] and skip_vae["bound"] > vae["bound"] + 10
