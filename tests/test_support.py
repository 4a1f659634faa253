"""Values that likelihoods warn of."""

import warnings

import numpy as np
import pytest
from likelihoods import IMAGE, X

from vaekit.layers import DiagonalNormal, Normal, StudentT

REAL = [Normal, StudentT, DiagonalNormal]


@pytest.mark.once
@pytest.mark.parametrize("layer", REAL)
def test_bytes_for_real_values_are_warned_of(layer):
    """Bytes 0…255 into a Normal trained with a loss of 500,000 without a word."""
    k = np.arange(256).reshape(64, 2, 2, 1)
    for x in (k, k.astype("float32"), k.astype("uint8"), k[:9].astype("uint8")):
        for options in ({}, {"mean_activation": "sigmoid"}):
            with pytest.warns(
                UserWarning, match=rf"{layer.__name__} .* looks like bytes.*Divide .* by 255.*Discretized"
            ):
                layer(IMAGE, **options).check_values(x)


@pytest.mark.once
@pytest.mark.parametrize("layer", REAL)
def test_values_out_of_reach_of_a_sigmoid_are_warned_of(layer):
    for x in (X - 0.5, 2 * X, np.float32([3.0])):
        with pytest.warns(UserWarning, match=r"outside of \[0, 1\].*leave mean_activation out"):
            layer(IMAGE, mean_activation="sigmoid").check_values(x)


@pytest.mark.once
@pytest.mark.parametrize("layer", REAL)
def test_other_real_values_pass_in_silence(layer):
    k = np.arange(256).reshape(64, 2, 2, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for x in (X - 0.5, 200 * X, k - 128, 10 * k, k % 2 == 0, (k % 2).astype("uint8"), X[:0], k[:20]):
            layer(IMAGE).check_values(x)
        for x in (X, k / 255, k % 2 == 0, X[:0]):
            layer(IMAGE, mean_activation="sigmoid").check_values(x)


@pytest.mark.once
def test_the_parts_of_large_data_are_warned_of_once():
    layer, k = Normal(IMAGE), np.arange(256).reshape(64, 2, 2, 1).astype("uint8")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("default")
        for part in range(1, 64, 8):
            layer.check_values(k[part : part + 8])
    assert len(seen) == 1
