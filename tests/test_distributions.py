"""Mixtures of normals against TFP, float64 and finite differences."""

import numpy as np
import pytest
from keras import ops
from likelihoods import array, compiled, random, sampled
from scipy import stats
from scipy.special import logsumexp

from vaekit import backend
from vaekit.backend import tfd
from vaekit.distributions import NormalMixture


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("event", [(3,), (2, 2)])
def test_normal_mixture_is_tfps(weighted, event):
    k = 4
    loc, scale = random(k, *event), np.exp(random(k, *event, seed=1))
    logits = random(k, seed=2) if weighted else None
    p = NormalMixture(loc, scale, logits)
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
        return ops.sum(NormalMixture(loc, scale, logits).log_prob(z))

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
    p = NormalMixture(np.zeros((3, 2), "float32"), np.full((3, 2), 0.01, "float32"))
    far = np.full(2, 50.0, "float32")
    value, (gradient,) = compiled(lambda: backend.value_and_gradient(lambda z: p.log_prob(z), far))
    assert float(value) == pytest.approx(2 * stats.norm(0, 0.01).logpdf(50), rel=1e-5)
    assert np.isfinite(gradient).all()


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


def total(z, *parameters):
    return ops.sum(NormalMixture(*parameters).log_prob(z))


def gradients(*arguments):
    return backend.value_and_gradient(total, *arguments)[1]


@pytest.fixture(scope="module")
def program():
    return backend.compile(lambda z, *parameters: (NormalMixture(*parameters).log_prob(z), gradients(z, *parameters)))


@pytest.mark.parametrize("log_variance", [2, -2, -6, -10])
def test_normal_mixture_does_not_cancel(program, log_variance):
    z, *parameters = cancelling(log_variance)
    between, _ = program(z + np.float32(1.0), *parameters)  # far from all: exact to a float32's digits
    expected, _ = exact_mixture(z + np.float32(1.0), *parameters)
    np.testing.assert_allclose(array(between), expected, rtol=2e-7, atol=2e-5)
    value, found = program(z, *parameters)
    expected, exact = exact_mixture(z, *parameters)
    np.testing.assert_allclose(array(value), expected, atol=5e-5)
    condition = 10 * np.exp(-log_variance / 2)  # |μ| / σ
    for gradient, expected, power in zip(found, exact, (1, 1, 2, 0), strict=True):
        error = np.abs(array(gradient) - expected).max() / np.abs(expected).max()
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
        assert np.sum(array(gradient) * direction) == pytest.approx(expected, rel=1e-3)
