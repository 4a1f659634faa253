"""Bernoulli: against enumeration, and in closed form."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from likelihoods import H, array
from scipy.special import expit

from vaekit import backend
from vaekit.layers import Bernoulli


def test_bernoulli_sums_to_one():
    layer = Bernoulli((2, 2, 1))
    states = np.array(list(itertools.product([0.0, 1.0], repeat=4)), "float32").reshape(16, 1, 2, 2, 1)
    total = np.exp(array(layer(H).log_prob(states))).sum(axis=0)
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
