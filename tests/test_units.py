"""Active units."""

import numpy as np
import pytest
from keras import ops
from oracles import binary_images, two_latents

from vaekit.evaluation import active_units

X = binary_images(6)


def test_sampled_activity_is_that_of_the_expected_mean():
    model = two_latents("bottom-up")
    model.build((None, 4, 4, 1))
    plugged = active_units(model, X)
    sampled = active_units(model, X, samples=4000, batch_size=4)
    np.testing.assert_allclose(sampled["z1"].activity, plugged["z1"].activity, rtol=1e-3)  # needs no samples
    trace = model.trace(X, 4000, seed=7)
    means = ops.convert_to_numpy(trace.values["z2"]).mean(axis=0)  # [N, 2], of z2 itself
    error = ops.convert_to_numpy(trace.values["z2"]).std(axis=0).max() / np.sqrt(4000)
    np.testing.assert_allclose(sampled["z2"].mean, means.mean(axis=0), atol=5 * error)
    np.testing.assert_allclose(np.sqrt(sampled["z2"].activity), means.std(axis=0), atol=5 * error)
    for wrong in (dict(samples=0), dict(batch_size=0)):
        with pytest.raises(ValueError, match="at least 1"):
            active_units(model, X, **wrong)
    with pytest.raises(ValueError, match="threshold of at least 0"):
        active_units(model, X, threshold="1 %")
