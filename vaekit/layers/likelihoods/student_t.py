"""Real values with tails heavier than a normal's."""

from numbers import Real

import keras
from keras import ops

from vaekit.backend import tfd
from vaekit.layers.distribution import DistributionLayer, pixelwise
from vaekit.layers.likelihoods.support import warn_of_scale


@keras.saving.register_keras_serializable("vaekit")
class StudentT(DistributionLayer):
    r"""Student's t with mean μ(h) and scale σ(h) = exp(W h + b) for each pixel, and ν degrees of freedom.

    Args:
        event_shape: shape of an image or vector.
        degrees_of_freedom: `"pixel"`, ν = 2 + softplus(W h + b) for each pixel, from the network; `"shared"`, one
            ν = 2 + softplus(a), learned; or a number greater than 1, fixed. (Up to 2 the variance is infinite, up to 1
            there is no mean.)
        mean_activation: Keras activation for μ, `"sigmoid"` for data in (0, 1).

    Source: Takahashi et al. 2018; compared in Rybkin et al. 2021, table 2.
    """

    def __init__(self, event_shape, degrees_of_freedom="pixel", mean_activation=None, **kwargs):
        super().__init__(event_shape, **kwargs)
        fixed = isinstance(degrees_of_freedom, Real) and degrees_of_freedom > 1
        if not fixed and degrees_of_freedom not in ("pixel", "shared"):
            raise ValueError(
                'StudentT expects degrees_of_freedom to be "pixel", "shared", or a number greater than 1, without '
                f"which there is no mean; received {degrees_of_freedom!r}."
            )
        self.degrees_of_freedom = float(degrees_of_freedom) if fixed else degrees_of_freedom
        self.mean_activation = keras.activations.get(mean_activation)
        pixel = self.degrees_of_freedom == "pixel"
        self.parameters = ("mean", "log_scale", "degrees") if pixel else ("mean", "log_scale")

    def build(self, input_shape):
        if self.degrees_of_freedom == "shared":
            self.degrees = self.add_weight(shape=(), initializer="zeros", name="degrees")
        super().build(input_shape)

    @pixelwise
    def distribution(self, mean, log_scale, degrees=None):
        if isinstance(self.degrees_of_freedom, float):
            nu = self.degrees_of_freedom
        else:
            nu = 2 + ops.softplus(ops.convert_to_tensor(self.degrees) if degrees is None else degrees)
        nu = nu * ops.ones_like(mean)
        return self.independent(tfd.StudentT(nu, self.mean_activation(mean), ops.exp(log_scale)))

    def check_values(self, x):
        warn_of_scale(self, x)

    def get_config(self):
        return {
            **super().get_config(),
            "degrees_of_freedom": self.degrees_of_freedom,
            "mean_activation": keras.activations.serialize(self.mean_activation),
        }
