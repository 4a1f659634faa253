"""What all likelihoods of bytes share: bins and grids of values."""

import numpy as np
import pytest
from likelihoods import IMAGE, X, array, gaussian_vae

from vaekit import distributions
from vaekit.layers import Categorical


def test_every_byte_finds_its_bin_from_both_grids():
    k = np.arange(256)
    for x in (k / 255, (k + 0.5) / 256):
        np.testing.assert_array_equal(array(distributions.level(x.astype("float32"), 256)), k)


def test_a_model_refuses_data_off_the_grid():
    model = gaussian_vae(Categorical(IMAGE))
    with pytest.raises(ValueError, match="Categorical expects 256 values"):
        model.fit(X, verbose=0)
    assert np.isfinite(model.log_weights(np.rint(X * 255) / 255)).all()


def test_constructor_refuses_what_makes_no_sense():
    with pytest.raises(ValueError, match="at least 2 bins"):
        Categorical(3, bins=1)
