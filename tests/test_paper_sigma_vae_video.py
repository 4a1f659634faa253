"""Paper 5, video: SVG's networks have the code's weights, no frame sees later ones, and β hides the σ it should."""

import dataclasses
import math

import keras
import numpy as np
import pytest
from keras import ops

import vaekit as vk
from vaekit.datasets.registry import Dataset
from vaekit.papers import rybkin2020
from vaekit.papers.rybkin2020 import video as paper
from vaekit.reproduction import costs

TINY = dataclasses.replace(
    paper.MOVING_DIGITS,
    **dict(past=2, filters=(3,), code=4, latents=2, units=5, batch_size=4, spread=0.3, videos=3, samples=2),
)
T = 5


def videos(side=8, channels=1, n=6, binary=False):
    levels = np.random.default_rng(0).integers(0, 256, (n, T, side, side, channels))
    x = ((levels > 128) if binary else levels / 255).astype("float32")
    return Dataset("random", "random", x, x[:4], x[:4], None, "random bytes", "")


@pytest.fixture(scope="module")
def model():
    """Its weights are larger than at the start, so that what may change does, by more than rounding."""
    svg, rng = paper.svg(videos(), "optimal", settings=TINY, seed=0), np.random.default_rng(0)
    for weight in svg.trainable_variables:
        weight.assign(rng.normal(size=weight.shape))
    return svg


def array(tensor):
    return np.asarray(ops.convert_to_numpy(tensor))


def count(network):
    return sum(int(np.prod(w.shape)) for w in network.trainable_weights)


# ---------------------------------------------------------------- networks


def block(kernel, *channels):
    """Weights of convolutions on top of each other, each with batch normalization."""
    return sum(kernel**2 * a * b + b + 2 * b for a, b in zip(channels, channels[1:], strict=False))


def last(kernel, before, numbers):
    """Weights of the last convolution, and of the likelihood's own."""
    return kernel**2 * before * numbers + numbers + numbers**2 + numbers


NETWORKS = {
    (): (
        block(4, 3, 64, 128, 256, 512, 128),
        block(4, 128, 512) + block(4, 1024, 256) + block(4, 512, 128) + block(4, 256, 64) + last(4, 128, 3),
        [32, 16, 8, 4],
    ),
    (2, 2, 3, 3): (
        block(3, 3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512) + block(4, 512, 128),
        block(4, 128, 512)
        + block(3, 1024, 512, 512, 256)
        + block(3, 512, 256, 256, 128)
        + block(3, 256, 128, 64)
        + block(3, 128, 64)
        + last(3, 64, 3),
        [64, 32, 16, 8],
    ),
}


@pytest.mark.once
@pytest.mark.parametrize("convolutions", NETWORKS, ids=["dcgan", "vgg"])
def test_networks_of_frames_have_the_codes_weights_and_start(convolutions):
    settings, shape = dataclasses.replace(paper.BAIR, convolutions=convolutions), (64, 64, 3)
    encoder = paper.frame_encoder(shape, settings)
    h, *maps = encoder.outputs
    decoder = paper.frame_decoder(shape, "unit", maps, settings)
    assert (count(encoder), count(decoder), [m.shape[1] for m in maps]) == NETWORKS[convolutions]
    assert h.shape == (None, 128) and decoder.output.shape == (None, *shape)
    kernel = max(map(array, encoder.trainable_weights), key=np.size)
    assert kernel.size > 1e6 and abs(kernel.mean()) < 1e-4 and kernel.std() == pytest.approx(0.02, rel=0.01)
    gamma = np.concatenate([w for w in map(array, encoder.trainable_weights) if w.ndim == 1 and w.mean() > 0.5])
    assert gamma.size > 1000 and gamma.mean() == pytest.approx(1, abs=0.003)
    assert gamma.std() == pytest.approx(0.02, rel=0.1)


@pytest.mark.once
def test_networks_over_time_have_the_codes_weights_and_start():
    posterior = paper.gaussian(paper.MOVING_MNIST)
    posterior.build((None, 3, 128))
    assert count(posterior) == 129 * 256 + 4 * 256 * (256 + 256 + 1) + 2 * 257 * 10
    linear, lstm = posterior.layers[:2]
    assert array(linear.kernel).std() == pytest.approx(0.02, rel=0.03) and not array(linear.bias).any()
    weights = [array(w) for w in lstm.trainable_weights]
    assert all(0.99 / 16 < np.abs(w).max() <= 1 / 16 and abs(w.mean()) < 0.003 for w in weights)


@pytest.mark.thorough
@pytest.mark.alternate  # each head by itself runs on both: test_contract
@pytest.mark.parametrize("decoder", rybkin2020.DECODERS)
def test_every_row_describes_frames(decoder):
    data = videos(channels=3, n=1, binary=decoder == "bernoulli")
    x, rng = data.train[0], np.random.default_rng(1)  # [T, 8, 8, 3]
    frames = paper.frame_decoder((8, 8, 3), decoder, [keras.Input((4, 4, 3))], TINY)
    p = frames([rng.normal(size=(T, 4)).astype("float32"), rng.normal(size=(T, 4, 4, 3)).astype("float32")])
    log_prob = array(p.log_prob(x))
    assert log_prob.shape == (T,) and np.isfinite(log_prob).all()
    assert p.sample(seed=vk.backend.seed(vk.backend.seed_generator(0))).shape == x.shape


# ---------------------------------------------------------------- the model


def changes(before, after):
    """Which steps [T] of rows [B, T] differ from one row's [1, T], by more than float32 rounds: a list of lists."""
    return (np.abs(after - before) > 2e-6 * np.abs(before).max()).tolist()


@pytest.mark.once  # the parts do it on both: test_over_time.py
def test_no_frame_sees_itself_or_later_ones(model):
    """Frame s is turned into its negative, s = 0 … T − 1: log p(x_t | x_<t, z) changes from frame s + 1 on."""
    rng, x = np.random.default_rng(2), videos().train[:1]
    z = np.repeat(rng.normal(size=(1, T, 2)), T + 1, axis=0).astype("float32")
    turned = np.repeat(x, T + 1, axis=0)
    turned[range(T), range(T)] = 1 - turned[range(T), range(T)]
    given = model._given({"x": ops.convert_to_tensor(turned)})
    p, _ = given._generative({"z": ops.convert_to_tensor(z[None])}, 1)
    fixed = np.repeat(x, T + 1, axis=0)  # what is described stays: the condition alone is turned
    for values, first in (
        (array(p["x"].log_prob_steps(fixed)), 1),
        (array(p["z"].log_prob_steps(z)), 1),
        (array(given.q["z"].log_prob_steps(z)), 0),
    ):
        assert not values[:, 0].any()  # frame 0 is given
        expected = [[t >= max(1, s + first) for t in range(T)] for s in range(T)]
        assert changes(values[-1:], values[:-1]) == expected


@pytest.mark.once  # the parts do it on both: test_over_time.py
def test_skips_come_from_the_last_known_frame(model):
    rng, network = np.random.default_rng(3), model.generative[-1].layer
    h, z, skip = (
        np.repeat(rng.normal(size=(1, T, *shape)), T + 1, axis=0).astype("float32") for shape in ((4,), (2,), (4, 4, 3))
    )
    skip[range(T), range(T)] *= -1  # past(skip): at step s that of frame s − 1
    x = np.repeat(videos().train[:1], T + 1, axis=0)
    values = array(network([h, z, skip]).log_prob_steps(x))
    assert changes(values[-1:], values[:-1]) == [[t > 0 and s == min(t, TINY.past) for t in range(T)] for s in range(T)]


@pytest.mark.alternate
@pytest.mark.parametrize("decoder", ["optimal", "optimal_image"])
def test_optimal_sigma_is_that_of_all_frames_or_of_each(model, decoder):
    x, rng = videos().train, np.random.default_rng(4)
    network = model.generative[-1].layer
    (frames,) = (layer for layer in network.layers if isinstance(layer, vk.layers.TimeDistributed))
    likelihood, h = frames.head, rng.normal(size=(6, T - 1, 8, 8, 1)).astype("float32")
    if decoder == "optimal_image":
        likelihood, _ = rybkin2020.head(decoder, (8, 8, 1), TINY)
    over_time = vk.layers.TimeDistributed(likelihood)
    p = over_time(h, training=True)
    found = array(p.log_prob_steps(x[:, 1:]))
    error = np.square(x[:, 1:] - array(p.mean())).astype("float64")  # [N, T − 1, H, W, C]
    variance = error.mean() if decoder == "optimal" else error.mean(axis=(2, 3, 4))
    expected = -error.sum(axis=(2, 3, 4)) / 2 / variance - 64 / 2 * np.log(2 * np.pi * variance)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.once
def test_beta_hides_a_sigma():
    sigma = lambda beta, *shape: round(paper.hidden_sigma(beta, shape), 3)  # noqa: E731
    assert (sigma(1e-4, 64, 64, 1), sigma(1e-4, 64, 64, 3), sigma(1e-6, 64, 64, 1)) == (0.453, 0.784, 0.045)
    x, rng, beta = videos().train[0], np.random.default_rng(5), TINY.beta
    frames = paper.frame_decoder((8, 8, 1), "beta", [keras.Input((4, 4, 3))], TINY)
    p = frames([rng.normal(size=(T, 4)).astype("float32"), rng.normal(size=(T, 4, 4, 3)).astype("float32")])
    averaged = np.square(x - array(p.mean())).mean(axis=(1, 2, 3))  # SVG's squared error
    constant = beta * 64 / 2 * math.log(2 * math.pi * beta * 64 / 2)
    np.testing.assert_allclose(-beta * array(p.log_prob(x)), averaged + constant, rtol=1e-4)


@pytest.mark.thorough
@pytest.mark.alternate
@pytest.mark.parametrize("prior, convolutions", [("learned", (2, 1)), ("fixed", ())])
def test_trains_continues_is_measured_and_reloads(prior, convolutions, tmp_path):
    settings = dataclasses.replace(TINY, filters=(3, 2), convolutions=convolutions)
    data = videos(16, 1)
    model = paper.build(data, "svg" if prior == "learned" else "svg-fp", "optimal", settings=settings, seed=0)
    running = [v for v in model.non_trainable_variables if "running" in v.path or "moving" in v.path]
    before = [array(v).copy() for v in running]
    history = paper.fit(model, data, epochs=1, settings=settings, verbose=0).history
    assert np.isfinite(list(history.values())).all() and int(model.step) == 2
    assert running and all((array(v) != old).any() for v, old in zip(running, before, strict=True))
    known = data.test[:3, :2]
    futures = model.futures(known, n=2, length=T + 2, seed=0)
    assert futures.shape == (2, 3, T + 2, 16, 16, 1) and (futures[:, :, :2] == known).all()
    assert np.abs(futures[0] - futures[1])[:, 2:].max() > 0
    figures = paper.measure(model, data, settings=settings)
    assert set(figures) == {"−ELBO a frame", "KL a frame", "PSNR", "SSIM"}
    bound = vk.evaluation.terms(model, data.test, vk.objectives.ELBO(analytic_kl=True))
    assert figures["KL a frame"].value == pytest.approx(bound["kl"].mean() / (T - 1), rel=1e-4)
    assert figures["−ELBO a frame"].value == pytest.approx(-bound["bound"].mean() / (T - 1), rel=0.05)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    one, other = (m.log_weights(data.test, seed=1) for m in (model, loaded))
    np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.once
def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"blocks expects videos \[N, T, 8, 8, C\]"):
        paper.svg(videos(16), settings=TINY)
    with pytest.raises(ValueError, match='"learned" or "fixed"'):
        paper.svg(videos(), prior="own", settings=TINY)
    with pytest.raises(ValueError, match="decoders are 'bernoulli'"):
        paper.svg(videos(), "gaussian", settings=TINY)


# ---------------------------------------------------------------- cells


@pytest.mark.once
def test_cells_of_video():
    cells = {cell.name: cell for cell in rybkin2020.CELLS if cell.options["model"].startswith("svg")}
    narrow = cells.pop("moving_mnist-svg-narrow-optimal")
    assert (narrow.settings, narrow.epochs) == (paper.NARROW, 15)
    assert [cell.name for cell in cells.values() if cell.missing] == ["bair-svg-bernoulli"]
    assert cells["bair-svg-optimal"].reported == {"−ELBO a frame": -14173, "FID": 34.13}
    assert {name for name, cell in cells.items() if cell.differs} == {"bair-svg-beta", "bair-svg-unit"}
    assert cells["moving_digits-svg-beta-0.001"].settings == dataclasses.replace(paper.MOVING_DIGITS, beta=1e-3)
    assert isinstance(cells["moving_digits-svg-optimal"].load().train, vk.batches.Redrawn)  # new in every pass
    epochs = {cell.data: cell.epochs for cell in cells.values() if not cell.missing}
    assert epochs == {"bair": 418, "moving_mnist": 1800, "moving_digits": 30}
    assert {name: costs.IMAGES[name][0] for name in paper.DATA} == {name: n for name, (n, _) in paper.DATA.items()}


@pytest.mark.once
def test_two_reported_figures_ask_for_other_sigmas():
    d = 64 * 64 * 3
    reported = {row: nats for (data, _, row), (nats, _) in rybkin2020.TABLE_2.items() if data == "bair"}
    least = lambda sigma: d / 2 * math.log(2 * math.pi * sigma**2)  # noqa: E731
    assert least(1.0) == pytest.approx(11292, abs=0.5) and reported["unit"] < least(1.0)
    assert least(0.13) < reported["beta"] < least(0.14) < least(paper.hidden_sigma(1e-4, (64, 64, 3)))
