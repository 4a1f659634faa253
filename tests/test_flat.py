"""Independent pixels, with their axes made one, against the sum over axes."""

import numpy as np
import pytest
from keras import ops
from likelihoods import H

from vaekit.backend import tfd
from vaekit.layers import Bernoulli, DistributionLayer, Normal


@pytest.mark.parametrize(
    "make",
    [
        lambda a: tfd.Bernoulli(probs=ops.sigmoid(a)),
        lambda a: tfd.Bernoulli(logits=a),
        lambda a: tfd.Normal(0.0, ops.exp(a)),
        lambda a: tfd.Normal(a, 2.0),
        lambda a: tfd.Normal(a, ops.exp(a)),
    ],
)
def test_any_distribution_of_pixels_is_summed_over_the_event(make):
    class Own(DistributionLayer):
        parameters = ("a",)

        def distribution(self, a):
            return self.independent(make(a))

    layer = Own((2, 3, 1))
    layer.build((None, 5))
    a = layer.parameter_values(H[:1])["a"]
    x = (np.random.default_rng(0).random((4, 2, 3, 1)) < 0.5).astype("float32")
    expected = ops.sum(make(a).log_prob(x), axis=(1, 2, 3))
    np.testing.assert_allclose(layer(H[:1]).log_prob(x), expected, rtol=1e-5)


@pytest.mark.parametrize("layer", [Bernoulli((2, 2, 1)), Normal((2, 2, 1), "pixel")])
@pytest.mark.parametrize("shape", [(), (1, 1), (2, 1, 1), (4, 3, 1, 2, 1)])
def test_values_are_broadcast_as_by_tfp(layer, shape):
    p, x = layer(H), np.ones(shape, "float32")
    expected = ops.sum(p.distribution.log_prob(x), axis=(-3, -2, -1))
    np.testing.assert_allclose(p.log_prob(x), expected, rtol=1e-5)
