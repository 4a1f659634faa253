"""Categorical against enumeration and a softmax by hand."""

import numpy as np
import pytest
from likelihoods import array, check_extreme_parameters, check_grid, check_pixel, density, random

from vaekit import distributions
from vaekit.layers import Categorical


def test_sums_to_one_and_samples_follow_the_log_density():
    check_pixel(distributions.Categorical(random(4, 7, scale=2)), 7)


def test_the_layer_spells_out_its_parameters():
    """A softmax for each channel of a pixel."""
    x = ((np.arange(12) % 4 + 0.5) / 4).reshape(1, 2, 2, 3).astype("float32")
    features = random(1, 2, 2, 5)
    categorical = Categorical((2, 2, 3), bins=4)
    ours = density(categorical, features, x)
    logits = array(categorical.heads["logits"](features)).reshape(1, 2, 2, 3, 4)
    k = (x * 4 - 0.5).astype(int)[..., None]
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    assert ours == pytest.approx(np.take_along_axis(log_p, k, axis=-1).sum(), rel=1e-4)


def test_extreme_parameters_stay_finite_with_finite_gradients():
    check_extreme_parameters(Categorical((2, 2, 3)))


def test_values_off_the_grid_are_refused():
    check_grid(Categorical((2, 2, 1)))
