"""Counts."""

import keras
import numpy as np

from vaekit.backend import tfd
from vaekit.layers.distribution import DistributionLayer, pixelwise
from vaekit.layers.likelihoods.support import check_values


@keras.saving.register_keras_serializable("vaekit")
class Poisson(DistributionLayer):
    r"""Counts: $p(x \mid h) = \prod_d \lambda_d^{x_d} e^{-\lambda_d} / x_d!$, $\lambda = \exp(W h + b)$.

    Args:
        event_shape: shape of an example.

    Raises:
        ValueError: as the head of a model, data that are no counts.
    """

    parameters = ("log_rate",)

    @pixelwise
    def distribution(self, log_rate):
        return self.independent(tfd.Poisson(log_rate=log_rate))

    def check_values(self, x):
        advice = (
            "Give it the counts themselves, not scaled, not as logarithms; for real values there is "
            "vaekit.layers.Normal(event_shape)."
        )
        check_values(x, (x < 0) | (x != np.rint(x)), "A Poisson likelihood expects counts, 0, 1, 2, …", advice)
