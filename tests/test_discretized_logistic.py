"""DiscretizedLogistic against TFP, SciPy and enumeration."""

import numpy as np
import pytest
from likelihoods import array, check_extreme_parameters, check_grid, check_pixel, density, enumerate_values, random
from scipy import stats

from vaekit import distributions
from vaekit.backend import tfd
from vaekit.layers import DiscretizedLogistic


def test_sums_to_one_and_samples_follow_the_log_density():
    check_pixel(distributions.DiscretizedLogistic(random(4), random(4, seed=1) - 1, bins=7), 7)


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


def test_the_layer_spells_out_its_parameters():
    """The mean is a sigmoid, clipped."""
    x = ((np.arange(12) % 4 + 0.5) / 4).reshape(1, 2, 2, 3).astype("float32")
    features = random(1, 2, 2, 5)
    logistic = DiscretizedLogistic((2, 2, 3), 4, log_scale_range=(-1, 0), mean_range=(0.3, 0.6))
    ours = density(logistic, features, x)
    mean, log_scale = (array(head(features)) for head in logistic.heads.values())
    edges = np.where(x == 0.125, -np.inf, x - 0.125), np.where(x == 0.875, np.inf, x + 0.125)
    reference = stats.logistic(np.clip(1 / (1 + np.exp(-mean)), 0.3, 0.6), np.exp(np.clip(log_scale, -1, 0)))
    expected = np.log(reference.cdf(edges[1]) - reference.cdf(edges[0])).sum()
    assert ours == pytest.approx(expected, rel=1e-4)


def test_extreme_parameters_stay_finite_with_finite_gradients():
    check_extreme_parameters(DiscretizedLogistic((2, 2, 3)))


def test_values_off_the_grid_are_refused():
    check_grid(DiscretizedLogistic((2, 2, 1)))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: DiscretizedLogistic(3, log_scale_range=(0, -4.5)), "low < high"),
        (lambda: DiscretizedLogistic(3, mean_range=(0.1,)), "low < high"),
    ],
)
def test_constructors_refuse_what_makes_no_sense(make, message):
    with pytest.raises(ValueError, match=message):
        make()
