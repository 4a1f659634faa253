"""Normal with each kind of σ against SciPy, closed forms and finite differences."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops
from likelihoods import IMAGE, H, X, array, check_extreme_parameters, compiled, gaussian_vae, random
from scipy import stats

from vaekit import backend, distributions
from vaekit.backend import tfd
from vaekit.layers import Normal


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


def test_normal_with_fixed_and_shared_scale():
    x = np.random.default_rng(2).uniform(size=(3, 4)).astype("float32")
    for layer, sigma in ((Normal(4, scale=0.3), 0.3), (Normal(4, scale="shared"), 1.7)):
        p = layer(H)
        if layer.scale == "shared":
            layer.log_scale.assign(np.log(sigma))
            p = layer(H)
        expected = stats.norm(array(p.mean()), sigma).logpdf(x).sum(axis=-1)
        np.testing.assert_allclose(array(p.log_prob(x)), expected, rtol=1e-4)


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


def test_perfect_reconstructions_have_a_finite_optimal_sigma():
    p = distributions.OptimalNormal(X, 1.0)
    value, (gradient,) = backend.value_and_gradient(
        lambda mean: ops.sum(distributions.OptimalNormal(mean, 1.0).log_prob(X)), X
    )
    assert np.isfinite(float(value)) and np.isfinite(array(gradient)).all()
    assert float(value) == pytest.approx(X.size * stats.norm(0, 1e-6).logpdf(0), rel=1e-4)
    assert p.sample(seed=backend.seed(0)).shape == X.shape


@pytest.mark.parametrize("scale, low", [("pixel", None), ("image", -6.0)])
def test_extreme_parameters_stay_finite_with_finite_gradients(scale, low):
    check_extreme_parameters(Normal((2, 2, 3), scale=scale, soft_clip=low))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Normal(3, scale=0), 'positive number or one of .*"?optimal_image'),
        (lambda: Normal(3, scale="best"), "received 'best'"),
        (lambda: Normal(3, scale=0.1, soft_clip=-6.0), "learned or optimal"),
        (lambda: Normal(3, scale="optimal", momentum=1.0), "momentum"),
    ],
)
def test_constructors_refuse_what_makes_no_sense(make, message):
    with pytest.raises(ValueError, match=message):
        make()
