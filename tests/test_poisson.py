"""Poisson against SciPy."""

import numpy as np
from likelihoods import IMAGE, RNG, H, X, array, refused, sampled
from scipy import stats

from vaekit.layers import Poisson


def test_poisson_is_scipys():
    layer, x = Poisson(IMAGE), RNG.integers(0, 9, X.shape).astype("float32")
    p = layer(H)
    rate = np.exp(array(layer.heads["log_rate"](H)).reshape(X.shape))
    np.testing.assert_allclose(array(p.log_prob(x)), stats.poisson(rate).logpmf(x).sum(axis=(1, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(array(p.mean()), rate, rtol=1e-5)
    draws = sampled(p, 4000)
    assert np.all(np.abs(draws.mean(axis=0) - rate) < 5 * np.sqrt(rate / 4000)) and np.all(draws == np.rint(draws))


def test_what_is_no_count_is_refused():
    counts = Poisson(3)
    counts.check_values(np.array([[0, 3, 900.0]]))
    for wrong in ([[0.5, 1, 2]], [[-1, 1, 2]]):
        refused(counts, np.array(wrong), r"expects counts, 0, 1, 2")
