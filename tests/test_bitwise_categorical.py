"""BitwiseCategorical against enumeration and digits by hand."""

import numpy as np
import pytest
from likelihoods import array, check_extreme_parameters, check_grid, check_pixel, density, random

from vaekit import distributions
from vaekit.layers import BitwiseCategorical


def test_sums_to_one_and_samples_follow_the_log_density():
    check_pixel(distributions.BitwiseCategorical(random(4, 3, scale=2)), 8)


def test_the_layer_spells_out_its_parameters():
    """A Bernoulli for each digit, lowest first."""
    x = ((np.arange(12) % 4 + 0.5) / 4).reshape(1, 2, 2, 3).astype("float32")
    features = random(1, 2, 2, 5)
    k = (x * 4 - 0.5).astype(int)[..., None]
    bitwise = BitwiseCategorical((2, 2, 3), bits=2)
    ours = density(bitwise, features, x)
    logits = array(bitwise.heads["logits"](features)).reshape(1, 2, 2, 3, 2)
    bits = np.concatenate([k % 2, k // 2], axis=-1)
    assert ours == pytest.approx(-np.logaddexp(0, (1 - 2 * bits) * logits).sum(), rel=1e-4)


def test_extreme_parameters_stay_finite_with_finite_gradients():
    check_extreme_parameters(BitwiseCategorical((2, 2, 3)))


def test_values_off_the_grid_are_refused():
    check_grid(BitwiseCategorical((2, 2, 1)))


def test_constructor_refuses_what_makes_no_sense():
    with pytest.raises(ValueError, match="1 to 16 bits"):
        BitwiseCategorical(3, bits=0)
