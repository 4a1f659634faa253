"""The layers' distributions against enumeration and SciPy."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from scipy import stats

from vaekit.layers import Bernoulli, DiagonalNormal, Normal

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


@pytest.mark.parametrize("scale", ["log_variance", "log_scale", "softplus"])
def test_diagonal_normal_is_scipys(scale):
    layer = DiagonalNormal(4, scale=scale)
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
