"""Likelihoods and mixtures against SciPy and TFP, enumeration, finite differences, and their own samples."""

import itertools
import math
import warnings

import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

import vaekit as vk
from vaekit import backend, distributions
from vaekit.backend import tfd
from vaekit.layers import (
    MLP,
    BitwiseCategorical,
    Categorical,
    CategoricalLabels,
    DiagonalNormal,
    DiscretizedLogistic,
    DiscretizedLogisticMixture,
    MultivariateNormal,
    Normal,
    OneHotCategorical,
    Poisson,
    StudentT,
)

RNG = np.random.default_rng(0)
H = RNG.normal(size=(3, 5)).astype("float32")
X = RNG.uniform(size=(3, 2, 2, 1)).astype("float32")
IMAGE = X.shape[1:]


def array(tensor):
    return ops.convert_to_numpy(tensor)


def random(*shape, scale=1.0, seed=0):
    return (scale * np.random.default_rng(seed).normal(size=shape)).astype("float32")


def log_prob(p, x):
    return array(backend.compile(p.log_prob)(x))


def compiled(function, variables=()):
    """What it returns, as arrays; of one program, since JAX compiles each operation outside of one."""
    return keras.tree.map_structure(array, backend.compile(function, variables)())


def sampled(p, n, seed=0):
    return array(backend.compile(lambda: p.sample(n, seed=backend.seed(seed)))())


# ---------------------------------------------------------------- one Gaussian, seven scales


def scale_of(layer, h=H):
    """σ of the layer's density outside of training."""
    return array(layer(h).distribution.stddev())


@pytest.mark.parametrize("scale", [0.3, "shared", "image", "pixel", "optimal", "optimal_image"])
def test_normal_is_scipys_with_its_sigma(scale):
    clipped = None if scale == 0.3 else -1.0
    layer = Normal(IMAGE, scale=scale, soft_clip=clipped, mean_activation="sigmoid")
    layer(H)
    if scale == "shared":
        layer.log_scale.assign(-1.3)
        a = np.full(IMAGE, -1.3)
    elif scale in ("image", "pixel"):
        shape = (3, 1, 1, 1) if scale == "image" else X.shape
        a = array(layer.heads["log_scale"](H)).reshape(shape)
    elif scale != 0.3:
        layer.running_variance.assign(0.04)
        a = np.log(0.2)
    sigma = 0.3 if scale == 0.3 else np.exp(-1 + np.logaddexp(0, a + 1))
    p = layer(H)
    mean = 1 / (1 + np.exp(-array(layer.heads["mean"](H)).reshape(X.shape)))
    np.testing.assert_allclose(array(p.mean()), mean, rtol=1e-5)
    np.testing.assert_allclose(scale_of(layer), np.broadcast_to(sigma, X.shape), rtol=1e-5)
    expected = stats.norm(mean, sigma).logpdf(X).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(array(p.log_prob(X)), expected, rtol=1e-4)


@pytest.mark.parametrize("scale, axes", [("optimal", (0, 1, 2, 3)), ("optimal_image", (1, 2, 3))])
def test_optimal_sigma_is_the_likeliest_and_gives_the_closed_form(scale, axes):
    layer = Normal(IMAGE, scale=scale)
    p = layer(H, training=True)
    mean, d = array(p.mean()), 4
    variance = ((X - mean) ** 2).mean(axis=axes, keepdims=True)
    log_prob = array(p.log_prob(X))
    expected = stats.norm(mean, np.sqrt(variance)).logpdf(X).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(log_prob, expected, rtol=1e-5)
    # −log p = D ln σ* + D/2 + D/2 ln 2π for each image, or on average over the batch
    closed = np.mean(d * np.log(variance) / 2) + d / 2 + d / 2 * np.log(2 * np.pi)
    assert -log_prob.mean() == pytest.approx(closed, rel=1e-5)

    def negative_log_prob(log_sigma):
        return -ops.mean(tfd.Normal(mean, ops.exp(log_sigma)).log_prob(X))

    _, (gradient,) = backend.value_and_gradient(negative_log_prob, (np.log(variance) / 2).astype("float32"))
    np.testing.assert_allclose(array(gradient), 0, atol=1e-6)  # stationary
    for other in (0.9, 1.1):
        worse = stats.norm(mean, other * np.sqrt(variance)).logpdf(X).sum(axis=(1, 2, 3)).mean()
        assert worse < log_prob.mean()


@pytest.mark.parametrize("axes", [None, (-1,)])
@pytest.mark.parametrize("low", [None, -1.0])
def test_gradients_flow_through_the_optimal_sigma(axes, low):
    x, mean, weight = random(2, 5), random(2, 5, seed=1), np.array([[0.2], [0.8]], "float32")

    def loss(mean):  # unequal weights, under which σ* is not stationary
        return ops.sum(weight * distributions.OptimalNormal(mean, 1.0, axes, low).log_prob(x))

    def exact(mean):
        sigma = np.sqrt(((x - mean) ** 2).mean(axis=axes, keepdims=True))
        sigma = sigma if low is None else np.exp(low + np.logaddexp(0, np.log(sigma) - low))
        return (weight * stats.norm(mean, sigma).logpdf(x)).sum()

    value, (gradient,) = compiled(lambda: backend.value_and_gradient(loss, mean))
    assert float(value) == pytest.approx(exact(mean.astype("float64")), rel=1e-5)
    for place in itertools.product(range(2), range(5)):
        step = np.zeros_like(mean, "float64")
        step[place] = 1e-5
        difference = (exact(mean + step) - exact(mean - step)) / 2e-5
        assert gradient[place] == pytest.approx(difference, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("scale", ["optimal", "optimal_image"])
def test_the_running_sigma(scale):
    layer = Normal(IMAGE, scale=scale, momentum=0.75)
    assert np.all(scale_of(layer) == 1)  # before any data

    def step(x):
        p = layer(H, training=True)
        p.log_prob(x)
        return np.mean((x - array(p.mean())) ** 2)

    first = step(X)
    np.testing.assert_allclose(scale_of(layer), np.sqrt(first), rtol=1e-5)  # whole
    second = step(3 * X)
    np.testing.assert_allclose(scale_of(layer), np.sqrt(0.75 * first + 0.25 * second), rtol=1e-5)
    layer(H).log_prob(5 * X)  # evaluation leaves it alone
    np.testing.assert_allclose(scale_of(layer), np.sqrt(0.75 * first + 0.25 * second), rtol=1e-5)
    x, changed = X[[0, 0, 0]], X[[0, 1, 2]]  # a density: that of one image does not depend on the others
    assert float(layer(H).log_prob(x)[0]) == float(layer(H).log_prob(changed)[0])


def gaussian_vae(likelihood, **objective):
    keras.utils.set_random_seed(1)
    encoder = keras.Sequential([MLP(6), DiagonalNormal(2)])
    model = vk.VAE(encoder, keras.Sequential([MLP(6), likelihood]), seed=0)
    model.compile(keras.optimizers.Adam(0.01), objective=vk.objectives.ELBO(**objective))
    model.build((None, *IMAGE))
    return model


def test_the_running_sigma_is_learned_in_fit_and_saved_with_the_model(tmp_path):
    layer = Normal(IMAGE, scale="optimal", soft_clip=-6.0, mean_activation="sigmoid")
    model = gaussian_vae(layer)
    x = np.repeat(X[:1], 60, axis=0)
    layer.heads["mean"].kernel.assign(np.zeros((6, 4)))
    model.optimizer.learning_rate = 0.0
    model.fit(x, batch_size=20, epochs=2, verbose=0)  # nothing changes but the running value
    assert float(layer.running_variance) == pytest.approx(np.mean((x - 0.5) ** 2), rel=1e-5)
    model.optimizer.learning_rate = 0.01
    model.fit(X, epochs=2, verbose=0)
    before = float(layer.running_variance)
    expected = model.evaluate(X, verbose=0, seed=0)
    assert float(layer.running_variance) == before != pytest.approx(np.mean((x - 0.5) ** 2), rel=1e-3)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.evaluate(X, verbose=0, seed=0) == pytest.approx(expected, rel=1e-5)
    assert float(loaded.decoder.layers[-1].running_variance) == before
    np.testing.assert_allclose(array(loaded.likelihood(np.zeros((1, 2))).distribution.stddev()), before**0.5, rtol=0.02)


def test_beta_and_sigma_squared_are_one():
    """The loss of a β-VAE with σ = 1 is that of a VAE with σ² = β, times β, up to a constant."""
    sigma = 0.3

    def loss_gradient(model):
        def loss():
            state = model.seed_generator.state
            state.assign(ops.cast([5, 0], state.dtype))
            return ops.mean(model.objective(model, {"x": X}, model.step, training=True)[0])

        weights = model.trainable_variables
        value, gradient = backend.compile(lambda: backend.variables_gradient(loss, weights), model.variables)()
        return float(value), [array(g) for g in gradient]

    beta_value, beta_gradient = loss_gradient(gaussian_vae(Normal(IMAGE), beta=sigma**2))
    value, gradient = loss_gradient(gaussian_vae(Normal(IMAGE, scale=sigma)))
    assert any(np.abs(g).max() > 0.1 for g in gradient)
    for a, b in zip(beta_gradient, gradient, strict=True):
        np.testing.assert_allclose(a, sigma**2 * b, rtol=1e-4, atol=1e-6)
    d = X[0].size
    constant = d / 2 * np.log(2 * np.pi) * (1 - sigma**2) - sigma**2 * d * np.log(sigma)
    assert beta_value == pytest.approx(sigma**2 * value + constant, rel=1e-5)


# ---------------------------------------------------------------- Student-t


@pytest.mark.parametrize("degrees", ["pixel", "shared", 3.5])
def test_student_t_is_scipys(degrees):
    layer = StudentT(IMAGE, degrees, mean_activation="sigmoid")
    p = layer(H)
    heads = {name: array(head(H)).reshape(X.shape) for name, head in layer.heads.items()}
    if degrees == "shared":
        layer.degrees.assign(0.7)
        p = layer(H)
    nu = 3.5 if degrees == 3.5 else 2 + np.logaddexp(0, heads.get("degrees", 0.7))
    mean = 1 / (1 + np.exp(-heads["mean"]))
    expected = stats.t(nu, mean, np.exp(heads["log_scale"])).logpdf(X).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(array(p.log_prob(X)), expected, rtol=1e-4)
    np.testing.assert_allclose(array(p.mean()), mean, rtol=1e-5)


# ---------------------------------------------------------------- bytes

# distributions over few bins of one pixel: (distribution, bins, channels)
PIXELS = {
    "logistic": lambda: (distributions.DiscretizedLogistic(random(4), random(4, seed=1) - 1, bins=7), 7, 0),
    "categorical": lambda: (distributions.Categorical(random(4, 7, scale=2)), 7, 0),
    "bitwise": lambda: (distributions.BitwiseCategorical(random(4, 3, scale=2)), 8, 0),
    "mixture, grey": lambda: (mixture(4, 2, 1, 7), 7, 1),
    "mixture, colour": lambda: (mixture(4, 2, 3, 4), 4, 3),
}


def mixture(batch, components, channels, bins):
    shape = (batch, components, channels)
    alpha = np.tanh(2 * random(batch, components, math.comb(channels, 2), seed=2)) if channels > 1 else None
    loc, log_scale = 0.5 + 0.5 * random(*shape), random(*shape, seed=1) - 2
    return distributions.DiscretizedLogisticMixture(random(batch, components), loc, log_scale, alpha, bins)


def enumerate_values(bins, channels):
    """All values of a pixel, bin centres `[values]` or `[values, C]`."""
    grid = (np.arange(bins) + 0.5) / bins
    return (np.array(list(itertools.product(grid, repeat=channels))) if channels else grid).astype("float32")


@pytest.mark.parametrize("kind", PIXELS)
def test_bytes_sum_to_one_and_samples_follow_the_log_density(kind):
    p, bins, channels = PIXELS[kind]()
    values = enumerate_values(bins, channels)
    probability = np.exp(log_prob(p, values[:, None]))  # [values, B]
    np.testing.assert_allclose(probability.sum(axis=0), 1, rtol=2e-5)
    n = 20000
    x = sampled(p, n)
    assert x.shape == (n, 4, *values.shape[1:]) and x.dtype == "float32"
    counts = np.array([np.isclose(x, v).reshape(n, 4, -1).all(axis=-1).sum(axis=0) for v in values])
    assert np.all(counts.sum(axis=0) == n)
    bound = 5 * np.sqrt(n * probability * (1 - probability)) + 5
    assert np.all(np.abs(counts - n * probability) < bound)
    expected = np.tensordot(values.T, probability, axes=1)  # E[x], [C, B] or [B]
    if channels < 2:
        np.testing.assert_allclose(array(p.mean()).reshape(-1), expected.reshape(-1), rtol=1e-5)
    else:  # green and blue at the means of those before
        mean = array(p.mean()).T
        np.testing.assert_allclose(mean[0], expected[0], rtol=1e-5)
        np.testing.assert_allclose(mean, expected, atol=0.05)


@pytest.mark.parametrize("kind", PIXELS)
def test_both_grids_are_the_same_bytes(kind):
    p, bins, channels = PIXELS[kind]()
    values = enumerate_values(bins, channels)
    other = (np.rint(values * bins - 0.5) / (bins - 1)).astype("float32")
    np.testing.assert_array_equal(log_prob(p, values[:, None]), log_prob(p, other[:, None]))


def test_every_byte_finds_its_bin_from_both_grids():
    k = np.arange(256)
    for x in (k / 255, (k + 0.5) / 256):
        np.testing.assert_array_equal(array(distributions.level(x.astype("float32"), 256)), k)


def test_discretized_logistic_is_tfps_and_scipys():
    bins, k = 256, np.arange(256)
    loc, log_scale = random(4, scale=0.3) + 0.5, random(4, seed=1) - 2
    x = ((k + 0.5) / bins).astype("float32")[:, None]
    ours = array(distributions.DiscretizedLogistic(loc, log_scale).log_prob(x))
    theirs = tfd.QuantizedDistribution(tfd.Logistic(bins * loc, bins * np.exp(log_scale)), low=1.0, high=float(bins))
    np.testing.assert_allclose(ours, array(theirs.log_prob((k + 1.0).astype("float32")[:, None])), rtol=1e-3, atol=1e-3)
    edges = np.concatenate([[-np.inf], np.arange(1, bins) / bins, [np.inf]])[:, None]
    logistic = stats.logistic(loc.astype("float64"), np.exp(log_scale.astype("float64")))
    np.testing.assert_allclose(ours, np.log(np.diff(logistic.cdf(edges), axis=0)), rtol=1e-5, atol=2e-5)


def test_tails_far_away_stay_exact():
    # μ = 0.5, s = 0.002: bin 250 of 256 is 240 scales away, where cumulative probabilities are 1 in any precision
    ours = float(distributions.DiscretizedLogistic(0.5, np.float32(np.log(0.002))).log_prob(250.5 / 256))
    a, b = ((250 + i) / 256 - 0.5 for i in (0, 1))
    exact = -a / 0.002 + np.log1p(-np.exp((a - b) / 0.002))  # log(e^{-a/s} − e^{-b/s})
    assert ours == pytest.approx(exact, rel=1e-5)


def test_without_edges_the_tails_are_lost():
    values = enumerate_values(16, 0)[:, None]
    loc, log_scale = np.array([0.02, 0.5], "float32"), np.float32([-2.0, -2.0])
    p = distributions.DiscretizedLogistic(loc, log_scale, 16, edges=False)
    inside = stats.logistic(loc, np.exp(log_scale))
    np.testing.assert_allclose(np.exp(array(p.log_prob(values))).sum(axis=0), inside.cdf(1) - inside.cdf(0), rtol=1e-5)


LIKELIHOODS = {
    "Normal, pixel": lambda: Normal((2, 2, 3), scale="pixel"),
    "Normal, image, clipped": lambda: Normal((2, 2, 3), scale="image", soft_clip=-6.0),
    "StudentT": lambda: StudentT((2, 2, 3)),
    "DiscretizedLogistic": lambda: DiscretizedLogistic((2, 2, 3)),
    "Categorical": lambda: Categorical((2, 2, 3)),
    "BitwiseCategorical": lambda: BitwiseCategorical((2, 2, 3)),
    "DiscretizedLogisticMixture": lambda: DiscretizedLogisticMixture((2, 2, 3), components=2),
}


@pytest.mark.parametrize("kind", LIKELIHOODS)
@pytest.mark.parametrize("size", [0.0, 15.0])
def test_extreme_parameters_stay_finite_with_finite_gradients(kind, size):
    layer = LIKELIHOODS[kind]()
    layer.build((None, 5))
    shapes = layer.parameter_shapes()
    parameters = [np.float32(size) * np.sign(random(2, *shape, seed=i)) for i, shape in enumerate(shapes.values())]
    x = np.float32([0.0, 0.5, 1.0])[:, None, None, None, None] * np.ones((2, 2, 2, 3), "float32")

    def total(*values):
        return ops.sum(layer.distribution(**dict(zip(shapes, values, strict=True))).log_prob(x))

    value, gradients = backend.compile(lambda *values: backend.value_and_gradient(total, *values))(*parameters)
    assert np.isfinite(float(value))
    assert all(np.isfinite(array(g)).all() for g in gradients)


def test_perfect_reconstructions_have_a_finite_optimal_sigma():
    p = distributions.OptimalNormal(X, 1.0)
    value, (gradient,) = backend.value_and_gradient(
        lambda mean: ops.sum(distributions.OptimalNormal(mean, 1.0).log_prob(X)), X
    )
    assert np.isfinite(float(value)) and np.isfinite(array(gradient)).all()
    assert float(value) == pytest.approx(X.size * stats.norm(0, 1e-6).logpdf(0), rel=1e-4)
    assert p.sample(seed=backend.seed(0)).shape == X.shape


def test_the_layers_spell_out_their_parameters():
    """Heads to distributions: sigmoid and clipped means, reshaped channels, tanh of coefficients."""
    x = ((np.arange(12) % 4 + 0.5) / 4).reshape(1, 2, 2, 3).astype("float32")
    features = random(1, 2, 2, 5)

    def density(layer):
        layer.build(features.shape)
        return float(backend.compile(lambda h: layer(h).log_prob(x), layer.variables)(features)[0])

    logistic = DiscretizedLogistic((2, 2, 3), 4, log_scale_range=(-1, 0), mean_range=(0.3, 0.6))
    ours = density(logistic)
    mean, log_scale = (array(head(features)) for head in logistic.heads.values())
    edges = np.where(x == 0.125, -np.inf, x - 0.125), np.where(x == 0.875, np.inf, x + 0.125)
    reference = stats.logistic(np.clip(1 / (1 + np.exp(-mean)), 0.3, 0.6), np.exp(np.clip(log_scale, -1, 0)))
    expected = np.log(reference.cdf(edges[1]) - reference.cdf(edges[0])).sum()
    assert ours == pytest.approx(expected, rel=1e-4)

    categorical = Categorical((2, 2, 3), bins=4)
    ours = density(categorical)
    logits = array(categorical.heads["logits"](features)).reshape(1, 2, 2, 3, 4)
    k = (x * 4 - 0.5).astype(int)[..., None]
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    assert ours == pytest.approx(np.take_along_axis(log_p, k, axis=-1).sum(), rel=1e-4)

    bitwise = BitwiseCategorical((2, 2, 3), bits=2)
    ours = density(bitwise)
    logits = array(bitwise.heads["logits"](features)).reshape(1, 2, 2, 3, 2)
    bits = np.concatenate([k % 2, k // 2], axis=-1)
    assert ours == pytest.approx(-np.logaddexp(0, (1 - 2 * bits) * logits).sum(), rel=1e-4)

    mixtures = DiscretizedLogisticMixture((2, 2, 3), components=2, bins=4)
    ours = density(mixtures)
    parameters = {name: array(head(features)) for name, head in mixtures.heads.items()}
    mean, log_scale, alpha = (parameters[name].reshape(1, 2, 2, 2, 3) for name in ("mean", "log_scale", "coefficients"))
    alpha, y = np.tanh(alpha), x[..., None, :]
    red, green = y[..., 0] - 0.5, y[..., 1] - 0.5
    moved = 0.5 + mean
    moved[..., 1] += alpha[..., 0] * red
    moved[..., 2] += alpha[..., 1] * red + alpha[..., 2] * green
    reference = stats.logistic(moved, np.exp(log_scale))
    channels = np.log(reference.cdf(edges[1][..., None, :]) - reference.cdf(edges[0][..., None, :])).sum(axis=-1)
    weights = np.exp(parameters["logits"]) / np.exp(parameters["logits"]).sum(axis=-1, keepdims=True)
    assert ours == pytest.approx(np.log((weights * np.exp(channels)).sum(axis=-1)).sum(), rel=1e-4)


# ---------------------------------------------------------------- counts, labels, missing entries


def test_poisson_is_scipys():
    layer, x = Poisson(IMAGE), RNG.integers(0, 9, X.shape).astype("float32")
    p = layer(H)
    rate = np.exp(array(layer.heads["log_rate"](H)).reshape(X.shape))
    np.testing.assert_allclose(array(p.log_prob(x)), stats.poisson(rate).logpmf(x).sum(axis=(1, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(array(p.mean()), rate, rtol=1e-5)
    draws = sampled(p, 4000)
    assert np.all(np.abs(draws.mean(axis=0) - rate) < 5 * np.sqrt(rate / 4000)) and np.all(draws == np.rint(draws))


def test_labels_have_the_probabilities_of_their_classes():
    one_hot, labels = OneHotCategorical((2, 3)), CategoricalLabels(2, classes=3)
    p, q = one_hot(H), labels(H)
    labels.heads["logits"].set_weights(one_hot.heads["logits"].get_weights())
    q = labels(H)
    logits = array(one_hot.heads["logits"](H)).reshape(3, 2, 3)
    probability = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    every = np.array(list(itertools.product(range(3), repeat=2)), "float32")  # [9, 2]
    expected = np.log([probability[:, 0, int(i)] * probability[:, 1, int(j)] for i, j in every])  # [9, 3]
    rows = np.eye(3, dtype="float32")[every.astype(int)][:, None] * np.ones((3, 1, 1), "float32")
    each = every[:, None] * np.ones((3, 1), "float32")
    mean, of_labels, of_rows = compiled(lambda: (p.mean(), q.log_prob(each), p.log_prob(rows)))
    np.testing.assert_allclose(mean, probability, rtol=1e-5)
    np.testing.assert_allclose(of_labels, expected, rtol=1e-5)
    np.testing.assert_allclose(of_rows, expected, rtol=1e-5)
    draws = sampled(q, 4000)
    assert draws.shape == (4000, 3, 2) and draws.dtype == "float32"
    found = np.array([(draws == k).mean(axis=0) for k in range(3)])
    assert np.abs(found - np.moveaxis(probability, -1, 0)).max() < 5 * 0.5 / np.sqrt(4000)
    with pytest.raises(NotImplementedError):
        q.mean()


def test_values_that_are_no_counts_or_labels_are_refused():
    counts, one_hot, labels = Poisson(3), OneHotCategorical(3), CategoricalLabels(1, classes=3)
    y = np.array([0, 2, 1, 2])
    counts.check_values(np.array([[0, 3, 900.0]]))
    one_hot.check_values(np.eye(3)[y])
    labels.check_values(y[:, None])
    for wrong in ([[0.5, 1, 2]], [[-1, 1, 2]]):
        with pytest.raises(ValueError, match=r"expects counts, 0, 1, 2"):
            counts.check_values(np.array(wrong))
    for wrong in (y[:3][None], np.ones((2, 3)), np.zeros((2, 3)), np.full((2, 3), 1 / 3)):
        with pytest.raises(ValueError, match=r"keras\.ops\.one_hot\(y, 3\)"):
            one_hot.check_values(wrong)
    for wrong in (y + 1, y - 1, y / 2):
        with pytest.raises(ValueError, match=r"whole numbers from 0 to 2; .* classes="):
            labels.check_values(wrong[:, None])


GAPS = {
    "Normal": lambda: (Normal(4, "shared"), RNG.normal(size=(3, 4))),
    "Bernoulli": lambda: (vk.layers.Bernoulli(4), RNG.integers(0, 2, (3, 4))),
    "Poisson": lambda: (Poisson(4), RNG.integers(0, 9, (3, 4))),
    "CategoricalLabels": lambda: (CategoricalLabels(4, classes=5), RNG.integers(0, 5, (3, 4))),
    "DiscretizedLogistic": lambda: (DiscretizedLogistic((4, 1)), RNG.integers(0, 256, (3, 4, 1)) / 255),
}


@pytest.mark.parametrize("kind", GAPS)
def test_missing_entries_do_not_count(kind):
    layer, x = GAPS[kind]()
    x = x.astype("float32")
    masked, gaps = vk.layers.Masked(layer), x.copy()
    gaps[0, 1], gaps[1] = np.nan, np.nan
    masked.check_values(gaps)
    whole = masked(H)

    def densities():
        p = layer(H)
        return whole.log_prob(x), p.log_prob(x), p.distribution.log_prob(x), whole.log_prob(gaps)

    complete, unmasked, each, found = compiled(densities, layer.variables)
    np.testing.assert_allclose(complete, unmasked, rtol=1e-5)
    expected = np.where(np.isnan(gaps.reshape(3, 4)), 0, each.reshape(3, 4)).sum(axis=1)  # each: of each entry
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert found[1] == 0

    def total(h, x):
        return ops.sum(masked(h).log_prob(x))

    _, gradients = compiled(lambda: backend.value_and_gradient(total, H, gaps), layer.variables)
    assert all(np.isfinite(g).all() for g in gradients) and not gradients[0][1].any()
    assert np.isfinite(sampled(whole, 5)).all()


def test_a_pixel_or_a_label_that_is_missing():
    x = np.rint(255 * RNG.uniform(size=(3, 2, 2, 3))).astype("float32") / 255
    layer, gaps = DiscretizedLogisticMixture((2, 2, 3), 2), x.copy()
    gaps[0, 1, 0, 2] = np.nan
    p, masked = layer(H), vk.layers.Masked(layer)(H)
    each = log_prob(p.distribution, x).reshape(3, 4)
    each[0, 2] = 0
    np.testing.assert_allclose(log_prob(masked, gaps), each.sum(axis=1), rtol=1e-5)
    labels = np.float32([[1, 0], [np.nan, np.nan], [0, 1]])
    layer = vk.layers.Masked(OneHotCategorical(2))
    layer.check_values(labels)
    log_p = array(layer(H).log_prob(labels))
    np.testing.assert_allclose(log_p, [*array(layer.layer(H).log_prob(np.eye(2)[[0, 0, 1]]))] * np.array([1, 0, 1]))
    with pytest.raises(ValueError, match="keras.ops.one_hot"):
        layer.check_values(np.float32([[1, 1], [np.nan, np.nan]]))


def test_a_vae_of_data_with_gaps():
    x = RNG.normal(size=(40, 4)).astype("float32")
    x[::3, 1] = np.nan
    encoder = keras.Sequential([vk.layers.FillMissing(), MLP(6), DiagonalNormal(2)])
    model = vk.VAE(encoder, keras.Sequential([MLP(6), vk.layers.Masked(Normal(4, "shared"))]), seed=0)
    model.compile("sgd", objective=vk.objectives.IWAE(3))
    assert np.isfinite(model.fit(x, verbose=0).history["bound"]).all()
    assert np.isfinite(model.reconstruct(x)).all()
    with pytest.raises(ValueError, match="1 values that are NaN or infinite"):
        model.fit(np.where(x == x[1, 0], np.inf, x), verbose=0)


# ---------------------------------------------------------------- a full covariance


def full_normal(d=3):
    layer = MultivariateNormal(d)
    p = layer(H)
    mean, a = (array(head(H)) for head in layer.heads.values())
    tril = array(vk.backend.tfp.math.fill_triangular(a))
    return p, mean, np.tril(tril, -1) + np.eye(d) * np.exp(tril / 2)


def test_multivariate_normal_is_scipys():
    p, mean, L = full_normal()
    z = random(6, 3, 3)
    expected = [[stats.multivariate_normal(mean[b], L[b] @ L[b].T).logpdf(z[s, b]) for b in range(3)] for s in range(6)]
    log_p, mean_of_p, covariance = compiled(lambda: (p.log_prob(z), p.mean(), p.covariance()))
    np.testing.assert_allclose(log_p, expected, rtol=1e-4)
    np.testing.assert_allclose(mean_of_p, mean, rtol=1e-5)
    np.testing.assert_allclose(covariance, L @ np.swapaxes(L, 1, 2), rtol=1e-4, atol=1e-5)
    assert p.reparameterization_type == tfd.FULLY_REPARAMETERIZED


def exact_kl(m, S, n, T):
    """KL(N(m, S) ‖ N(n, T))."""
    T_inv, difference = np.linalg.inv(T), n - m
    logs = np.linalg.slogdet(T)[1] - np.linalg.slogdet(S)[1]
    return 0.5 * (np.trace(T_inv @ S) + difference @ T_inv @ difference - len(m) + logs)


def test_kl_between_full_and_diagonal_normals():
    p, mean, L = full_normal()
    loc, scale = random(3, 3, seed=4), np.exp(random(3, 3, seed=5))
    for one in (False, True):  # one normal, such as a prior; or one for each example
        n, s = (loc[0], scale[0]) if one else (loc, scale)
        diagonal = tfd.Independent(tfd.Normal(n, s), 1)
        n, s = (np.broadcast_to(v, (3, 3)) for v in (n, s))
        there, back = [], []
        for b in range(3):
            first, second = (mean[b], L[b] @ L[b].T), (n[b], np.diag(s[b] ** 2))
            there.append(exact_kl(*first, *second))
            back.append(exact_kl(*second, *first))
        found = compiled(lambda p=p, d=diagonal: (tfd.kl_divergence(p, d), tfd.kl_divergence(d, p)))
        np.testing.assert_allclose(found[0], there, rtol=1e-4)
        np.testing.assert_allclose(found[1], back, rtol=1e-4)
    with pytest.raises(NotImplementedError):
        tfd.kl_divergence(p, tfd.Independent(tfd.Laplace(loc, scale), 1))


def test_a_full_posterior_has_a_kl_in_closed_form_and_can_be_refined():
    x = random(20, 6)
    encoder = keras.Sequential([MLP(6), MultivariateNormal(3)])
    refinement = vk.inference.Refinement(steps=1, learning_rate=0.01)
    model = vk.VAE(encoder, MultivariateNormal(6), vk.priors.LearnedNormal(), refinement, seed=0)
    model.compile("adam", objective=vk.objectives.ELBO(analytic_kl=True))
    assert np.isfinite(model.fit(x, verbose=0).history["loss"]).all()

    def divergences():
        trace = model.trace(x[:2], 400)
        return trace.log_q["z"] - trace.log_p["z"], tfd.kl_divergence(trace.q["z"], trace.p["z"])

    sampled_kl, exact = compiled(divergences, model.variables)
    error = sampled_kl.std(axis=0) / np.sqrt(400)
    assert np.all(np.abs(sampled_kl.mean(axis=0) - exact) < 5 * error)


# ---------------------------------------------------------------- mixtures of normals


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("event", [(3,), (2, 2)])
def test_normal_mixture_is_tfps(weighted, event):
    k = 4
    loc, scale = random(k, *event), np.exp(random(k, *event, seed=1))
    logits = random(k, seed=2) if weighted else None
    p = distributions.NormalMixture(loc, scale, logits)
    reference = tfd.MixtureSameFamily(
        tfd.Categorical(logits=np.zeros(k, "float32") if logits is None else logits),
        tfd.Independent(tfd.Normal(loc, scale), len(event)),
    )
    assert tuple(p.batch_shape) == () and tuple(p.event_shape) == event
    assert p.reparameterization_type == tfd.NOT_REPARAMETERIZED
    z = random(2, 6, *event, seed=3)
    every = ((), (1,), (1, 2))
    found, expected = compiled(lambda: ([p.log_prob(z[index]) for index in every], reference.log_prob(z)))
    for index, one in zip(every, found, strict=True):
        np.testing.assert_allclose(one, expected[index], rtol=1e-4)
    found, mean, deviation = compiled(lambda: (p.mean(), reference.mean(), reference.stddev()))
    np.testing.assert_allclose(found, mean, rtol=1e-5, atol=1e-6)
    n = 20000
    z = sampled(p, n)
    assert z.shape == (n, *event)
    assert np.all(np.abs(z.mean(axis=0) - mean) < 5 * deviation / np.sqrt(n))
    np.testing.assert_allclose(z.std(axis=0), deviation, rtol=0.06)


def test_normal_mixture_has_the_gradients_of_finite_differences():
    arguments = [random(4, 3), np.exp(random(4, 3, seed=1)), random(4, seed=2), random(6, 3, seed=3)]

    def exact(loc, scale, logits, z):
        components = stats.norm(loc, scale).logpdf(z[:, None]).sum(axis=-1)
        return (np.logaddexp.reduce(logits - np.logaddexp.reduce(logits) + components, axis=-1)).sum()

    def total(loc, scale, logits, z):
        return ops.sum(distributions.NormalMixture(loc, scale, logits).log_prob(z))

    value, gradients = compiled(lambda: backend.value_and_gradient(total, *arguments))
    exactly = [a.astype("float64") for a in arguments]
    assert float(value) == pytest.approx(exact(*exactly), rel=1e-5)
    for i, gradient in enumerate(gradients):
        for place in np.ndindex(arguments[i].shape):
            up, down = ([a.copy() for a in exactly] for _ in range(2))
            up[i][place] += 1e-5
            down[i][place] -= 1e-5
            difference = (exact(*up) - exact(*down)) / 2e-5
            assert gradient[place] == pytest.approx(difference, rel=1e-3, abs=1e-4)


def test_normal_mixture_far_from_every_component():
    p = distributions.NormalMixture(np.zeros((3, 2), "float32"), np.full((3, 2), 0.01, "float32"))
    far = np.full(2, 50.0, "float32")
    value, (gradient,) = compiled(lambda: backend.value_and_gradient(lambda z: p.log_prob(z), far))
    assert float(value) == pytest.approx(2 * stats.norm(0, 0.01).logpdf(50), rel=1e-5)
    assert np.isfinite(gradient).all()


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize("layer", [DiscretizedLogistic, Categorical, BitwiseCategorical, DiscretizedLogisticMixture])
def test_values_off_the_grid_are_refused(layer):
    layer = layer((2, 2, 1))
    k = np.arange(256).reshape(64, 2, 2, 1)
    for x in (k / 255, (k + 0.5) / 256, (k / 255).astype("float16"), (k >= 128).astype("uint8"), k >= 128):
        layer.check_values(x)
    with pytest.raises(ValueError, match=r"look like whole numbers from 0 to 255: divide by 255"):
        layer.check_values(k.astype("uint8"))
    for wrong in (k / 254.5, RNG.uniform(size=(9, 2, 2, 1)), k / 255 - 0.5, 2 * k / 255):
        with pytest.raises(ValueError, match=r"for instance .* numpy\.rint\(x \* 255\) / 255"):
            layer.check_values(wrong)


REAL = [Normal, StudentT, DiagonalNormal]


@pytest.mark.once
@pytest.mark.parametrize("layer", REAL)
def test_bytes_for_real_values_are_warned_of(layer):
    """Bytes 0…255 into a Normal trained with a loss of 500,000 without a word."""
    k = np.arange(256).reshape(64, 2, 2, 1)
    for x in (k, k.astype("float32"), k.astype("uint8"), k[:9].astype("uint8")):
        for options in ({}, {"mean_activation": "sigmoid"}):
            with pytest.warns(
                UserWarning, match=rf"{layer.__name__} .* looks like bytes.*Divide .* by 255.*Discretized"
            ):
                layer(IMAGE, **options).check_values(x)


@pytest.mark.once
@pytest.mark.parametrize("layer", REAL)
def test_values_out_of_reach_of_a_sigmoid_are_warned_of(layer):
    for x in (X - 0.5, 2 * X, np.float32([3.0])):
        with pytest.warns(UserWarning, match=r"outside of \[0, 1\].*leave mean_activation out"):
            layer(IMAGE, mean_activation="sigmoid").check_values(x)


@pytest.mark.once
@pytest.mark.parametrize("layer", REAL)
def test_other_real_values_pass_in_silence(layer):
    k = np.arange(256).reshape(64, 2, 2, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for x in (X - 0.5, 200 * X, k - 128, 10 * k, k % 2 == 0, (k % 2).astype("uint8"), X[:0], k[:20]):
            layer(IMAGE).check_values(x)
        for x in (X, k / 255, k % 2 == 0, X[:0]):
            layer(IMAGE, mean_activation="sigmoid").check_values(x)


@pytest.mark.once
def test_the_parts_of_large_data_are_warned_of_once():
    layer, k = Normal(IMAGE), np.arange(256).reshape(64, 2, 2, 1).astype("uint8")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("default")
        for part in range(1, 64, 8):
            layer.check_values(k[part : part + 8])
    assert len(seen) == 1


def test_a_model_refuses_data_off_the_grid():
    model = gaussian_vae(Categorical(IMAGE))
    with pytest.raises(ValueError, match="Categorical expects 256 values"):
        model.fit(X, verbose=0)
    assert np.isfinite(model.log_weights(np.rint(X * 255) / 255)).all()


@pytest.mark.parametrize(
    "make", [lambda: Normal((64, 77, 1)), lambda: Normal((64, 77, 1), "image"), lambda: Categorical((64, 77, 1))]
)
def test_a_feature_map_of_another_size_is_refused(make):
    """A decoder that ends at 64×78 for images of 64×77 got a dense head of 196,809,537 weights."""
    with pytest.raises(ValueError, match=r"\(64, 77, 1\), but its features are a map .*\(64, 78, 8\).*Flatten\(\)"):
        make()(keras.Input((64, 78, 8)))


@pytest.mark.parametrize("network", [keras.Sequential, vk.layers.Stack])
def test_a_decoder_that_ends_at_another_size_is_refused(network):
    head = [keras.layers.Reshape((5, 4, 1)), keras.layers.Conv2D(3, 3, padding="same"), Normal(IMAGE)]
    with pytest.raises(ValueError, match=r"shape \(2, 2, 1\), but .* \(5, 4, 3\)"):
        vk.VAE(DiagonalNormal(20), network(head)).build((None, *IMAGE))


def test_what_has_no_place_or_the_same_one_keeps_its_heads():
    def kernels(layer, *shape):
        layer.build((None, *shape))
        return {name: tuple(head.kernel.shape) for name, head in layer.heads.items()}

    assert kernels(DiagonalNormal(3), 4, 5, 2) == {"mean": (40, 3), "log_variance": (40, 3)}  # an encoder's
    assert kernels(Normal((4, 5, 1), "image"), 4, 5, 2) == {"mean": (2, 1), "log_scale": (40, 1)}
    assert kernels(Normal((4, 5, 1)), 7) == {"mean": (7, 20)}
    assert kernels(Normal((4, 5, 1)), 4, 5, 2) == {"mean": (2, 1)}
    assert kernels(Normal((6, 1)), 6, 3) == {"mean": (3, 1)}


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Normal(3, scale=0), 'positive number or one of .*"?optimal_image'),
        (lambda: Normal(3, scale="best"), "received 'best'"),
        (lambda: Normal(3, scale=0.1, soft_clip=-6.0), "learned or optimal"),
        (lambda: Normal(3, scale="optimal", momentum=1.0), "momentum"),
        (lambda: StudentT(3, degrees_of_freedom=1), "greater than 1"),
        (lambda: StudentT(3, degrees_of_freedom="image"), "received 'image'"),
        (lambda: Categorical(3, bins=1), "at least 2 bins"),
        (lambda: OneHotCategorical((4, 1)), "at least 2 classes"),
        (lambda: CategoricalLabels(1, classes=2.5), "at least 2 classes"),
        (lambda: MultivariateNormal((2, 3)), "length of a vector"),
        (lambda: vk.layers.Masked(MLP(3)), "expects a distribution layer"),
        (lambda: vk.layers.Masked(Normal(3, "optimal")), 'scale="shared"'),
        (lambda: vk.layers.Masked(MultivariateNormal(3))(H), "independent entries"),
        (lambda: BitwiseCategorical(3, bits=0), "1 to 16 bits"),
        (lambda: DiscretizedLogistic(3, log_scale_range=(0, -4.5)), "low < high"),
        (lambda: DiscretizedLogistic(3, mean_range=(0.1,)), "low < high"),
        (lambda: DiscretizedLogisticMixture((2, 2, 3), components=0), "at least 1"),
    ],
)
def test_constructors_refuse_what_makes_no_sense(make, message):
    with pytest.raises(ValueError, match=message):
        make()
