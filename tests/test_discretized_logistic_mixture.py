"""DiscretizedLogisticMixture against enumeration and channel by channel."""

import math

import numpy as np
import pytest
from likelihoods import array, check_extreme_parameters, check_grid, check_pixel, density, random
from scipy import stats

from vaekit import distributions
from vaekit.layers import DiscretizedLogisticMixture


def mixture(batch, components, channels, bins):
    shape = (batch, components, channels)
    alpha = np.tanh(2 * random(batch, components, math.comb(channels, 2), seed=2)) if channels > 1 else None
    loc, log_scale = 0.5 + 0.5 * random(*shape), random(*shape, seed=1) - 2
    return distributions.DiscretizedLogisticMixture(random(batch, components), loc, log_scale, alpha, bins)


@pytest.mark.parametrize("channels, bins", [(1, 7), (3, 4)])
def test_sums_to_one_and_samples_follow_the_log_density(channels, bins):
    check_pixel(mixture(4, 2, channels, bins), bins, channels)


def test_the_layer_spells_out_its_parameters():
    """Channels reshaped, tanh of coefficients, means moved by the channels before."""
    x = ((np.arange(12) % 4 + 0.5) / 4).reshape(1, 2, 2, 3).astype("float32")
    features = random(1, 2, 2, 5)
    edges = np.where(x == 0.125, -np.inf, x - 0.125), np.where(x == 0.875, np.inf, x + 0.125)
    mixtures = DiscretizedLogisticMixture((2, 2, 3), components=2, bins=4)
    ours = density(mixtures, features, x)
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


def test_extreme_parameters_stay_finite_with_finite_gradients():
    check_extreme_parameters(DiscretizedLogisticMixture((2, 2, 3), components=2))


def test_values_off_the_grid_are_refused():
    check_grid(DiscretizedLogisticMixture((2, 2, 1)))


def test_constructor_refuses_what_makes_no_sense():
    with pytest.raises(ValueError, match="at least 1"):
        DiscretizedLogisticMixture((2, 2, 3), components=0)
