"""Distributions, of layers and of priors, against enumeration and SciPy."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from scipy import stats
from scipy.special import expit, logsumexp

from vaekit import backend
from vaekit.backend import tfd
from vaekit.distributions import NormalMixture
from vaekit.layers import Bernoulli, DiagonalNormal, DistributionLayer, Normal

H = np.random.default_rng(0).normal(size=(3, 5)).astype("float32")


def test_bernoulli_sums_to_one():
    layer = Bernoulli((2, 2, 1))
    states = np.array(list(itertools.product([0.0, 1.0], repeat=4)), "float32").reshape(16, 1, 2, 2, 1)
    total = np.exp(ops.convert_to_numpy(layer(H).log_prob(states))).sum(axis=0)
    np.testing.assert_allclose(total, 1, rtol=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.floats(-200, 200, width=32), st.sampled_from([0.0, 1.0]))
def test_bernoulli_is_exact_however_sure(logit, x):
    layer = Bernoulli(1)
    p = layer.distribution(ops.reshape(ops.convert_to_tensor(np.float32(logit)), (1, 1)))
    expected = -np.logaddexp(0, -logit if x else logit)
    assert float(p.log_prob(np.full((1, 1), x, "float32"))[0]) == pytest.approx(expected, rel=1e-4, abs=1e-30)


def test_bernoulli_gradient_is_data_minus_mean():
    logits = np.array([[0.0, 3.0, -40.0, 90.0]], "float32")
    x = np.array([[1.0, 0.0, 1.0, 1.0]], "float32")
    _, (gradient,) = backend.value_and_gradient(lambda a: ops.sum(Bernoulli(4).distribution(a).log_prob(x)), logits)
    np.testing.assert_allclose(gradient, x - expit(logits), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "make",
    [
        lambda a: tfd.Bernoulli(probs=ops.sigmoid(a)),
        lambda a: tfd.Bernoulli(logits=a),
        lambda a: tfd.Normal(0.0, ops.exp(a)),
        lambda a: tfd.Normal(a, 2.0),
        lambda a: tfd.Normal(a, ops.exp(a)),
    ],
)
def test_any_distribution_of_pixels_is_summed_over_the_event(make):
    class Own(DistributionLayer):
        parameters = ("a",)

        def distribution(self, a):
            return self.independent(make(a))

    layer = Own((2, 3, 1))
    layer.build((None, 5))
    a = layer.parameter_values(H[:1])["a"]
    x = (np.random.default_rng(0).random((4, 2, 3, 1)) < 0.5).astype("float32")
    expected = ops.sum(make(a).log_prob(x), axis=(1, 2, 3))
    np.testing.assert_allclose(layer(H[:1]).log_prob(x), expected, rtol=1e-5)


@pytest.mark.parametrize("scale", ["log_variance", "log_scale", "softplus"])
def test_diagonal_normal_is_scipys(scale):
    layer = DiagonalNormal(4, parametrization=scale)
    q = layer(H)
    mean, a = (ops.convert_to_numpy(head(H)) for head in layer.heads.values())
    sigma = {"log_variance": np.exp(a / 2), "log_scale": np.exp(a), "softplus": np.logaddexp(0, a)}[scale]
    z = np.random.default_rng(1).normal(size=(3, 4)).astype("float32")
    expected = stats.norm(mean, sigma).logpdf(z).sum(axis=-1)
    np.testing.assert_allclose(ops.convert_to_numpy(q.log_prob(z)), expected, rtol=1e-4)


def test_the_clipped_variance_is_the_one_that_samples_and_the_one_that_counts():
    layer = DiagonalNormal(2, log_variance_range=(-6, 2), bias_initializer="ones")
    layer.build((None, 5))
    layer.heads["log_variance"].set_weights([np.zeros((5, 2)), np.array([-20.0, 20.0])])
    q = layer(H)
    expected = np.exp(np.array([-3.0, 1.0]))
    np.testing.assert_allclose(ops.convert_to_numpy(q.stddev())[0], expected, rtol=1e-5)
    mean = ops.convert_to_numpy(q.mean())
    np.testing.assert_allclose(
        ops.convert_to_numpy(q.log_prob(mean))[0], stats.norm(0, expected).logpdf(0).sum(), rtol=1e-5
    )


def test_normal_with_fixed_and_shared_scale():
    x = np.random.default_rng(2).uniform(size=(3, 4)).astype("float32")
    for layer, sigma in ((Normal(4, scale=0.3), 0.3), (Normal(4, scale="shared"), 1.7)):
        p = layer(H)
        if layer.scale == "shared":
            layer.log_scale.assign(np.log(sigma))
            p = layer(H)
        expected = stats.norm(ops.convert_to_numpy(p.mean()), sigma).logpdf(x).sum(axis=-1)
        np.testing.assert_allclose(ops.convert_to_numpy(p.log_prob(x)), expected, rtol=1e-4)


def test_a_local_head_is_a_one_by_one_convolution():
    layer = Bernoulli((4, 4, 2))
    features = np.random.default_rng(3).normal(size=(2, 4, 4, 3)).astype("float32")
    logits = ops.convert_to_numpy(layer(features).distribution.logits)
    kernel, bias = layer.heads["logits"].get_weights()
    assert kernel.shape == (3, 2)
    np.testing.assert_allclose(logits, features @ kernel + bias, rtol=1e-4, atol=1e-5)


# ---------------------------------------------------------------- mixtures of normals in float32, against float64

CLUSTERS = [0.0, 3.0, -10.0]  # μ; the components of a cluster overlap


def cancelling(log_variance, dimensions=40, n=8):
    """Arrays z, μ, σ, logits of a mixture where the squares (μ/σ)² are large, and z of its components; far from 0."""
    rng = np.random.default_rng(0)
    scale = np.exp((log_variance + 0.3 * rng.normal(size=(6, dimensions))) / 2)
    loc = np.repeat(CLUSTERS, 2)[:, None] + 7 + 0.5 * scale * rng.normal(size=scale.shape)
    k = np.arange(n) % 6
    z = loc[k] + scale[k] * rng.normal(size=(n, dimensions))
    return [a.astype("float32") for a in (z, loc, scale, rng.normal(size=6))]


def exact_mixture(z, loc, scale, logits):
    """log p(z) `[N]` in float64, and the gradients of its sum with respect to each argument."""
    z, loc, scale, logits = (np.asarray(a, "float64") for a in (z, loc, scale, logits))
    joint = stats.norm(loc, scale).logpdf(z[:, None]).sum(axis=-1) + logits - logsumexp(logits)
    value = logsumexp(joint, axis=1)
    r, d = np.exp(joint - value[:, None])[..., None], (z[:, None] - loc) / scale  # [N, K, 1], [N, K, D]
    weights = r[..., 0].sum(axis=0) - len(z) * np.exp(logits - logsumexp(logits))
    return value, (-(r * d / scale).sum(1), (r * d / scale).sum(0), (r * (d**2 - 1) / scale).sum(0), weights)


def mixture(z, *parameters):
    return ops.sum(NormalMixture(*parameters).log_prob(z))


def gradients(*arguments):
    return backend.value_and_gradient(mixture, *arguments)[1]


@pytest.fixture(scope="module")
def compiled():
    return backend.compile(lambda z, *parameters: (NormalMixture(*parameters).log_prob(z), gradients(z, *parameters)))


@pytest.mark.parametrize("log_variance", [2, -2, -6, -10])
def test_normal_mixture_does_not_cancel(compiled, log_variance):
    z, *parameters = cancelling(log_variance)
    between, _ = compiled(z + np.float32(1.0), *parameters)  # far from all: exact to a float32's digits
    expected, _ = exact_mixture(z + np.float32(1.0), *parameters)
    np.testing.assert_allclose(ops.convert_to_numpy(between), expected, rtol=2e-7, atol=2e-5)
    value, found = compiled(z, *parameters)
    expected, exact = exact_mixture(z, *parameters)
    np.testing.assert_allclose(ops.convert_to_numpy(value), expected, atol=5e-5)
    condition = 10 * np.exp(-log_variance / 2)  # |μ| / σ
    for gradient, expected, power in zip(found, exact, (1, 1, 2, 0), strict=True):
        error = np.abs(ops.convert_to_numpy(gradient) - expected).max() / np.abs(expected).max()
        assert error < 1e-5 + 3e-7 * condition**power


def test_normal_mixture_has_second_derivatives():
    arguments = cancelling(-2, dimensions=4)

    def squared_gradient(*values):
        return sum(ops.sum(ops.square(g)) for g in gradients(*values))

    _, found = backend.compile(lambda *a: backend.value_and_gradient(squared_gradient, *a))(*arguments)
    exactly = [a.astype("float64") for a in arguments]
    for i, gradient in enumerate(found):
        direction = np.random.default_rng(i).normal(size=arguments[i].shape)
        ends = []
        for sign in (1, -1):
            moved = [a + sign * 1e-5 * direction if j == i else a for j, a in enumerate(exactly)]
            ends.append(sum((g**2).sum() for g in exact_mixture(*moved)[1]))
        expected = (ends[0] - ends[1]) / 2e-5
        assert np.sum(ops.convert_to_numpy(gradient) * direction) == pytest.approx(expected, rel=1e-3)
