"""Likelihoods p(x|z): the heads of decoders."""

from numbers import Real

import keras
from keras import ops

from vaekit.backend import tfd
from vaekit.layers.distribution import DistributionLayer


@keras.saving.register_keras_serializable("vaekit")
class Normal(DistributionLayer):
    r"""Gaussian decoder whose scale does not depend on the input: $\mathcal N(\mu(h), \sigma^2 I)$.

    Args:
        event_shape: shape of an image or vector.
        scale: a positive number, fixed; or `"shared"`, one σ for all pixels and images, learned as log σ.
        mean_activation: Keras activation for μ, `"sigmoid"` for data in (0, 1).

    Source: Rybkin et al. 2021, section 3 (fixed and shared σ).
    """

    parameters = ("mean",)

    def __init__(self, event_shape, scale=1.0, mean_activation=None, **kwargs):
        super().__init__(event_shape, **kwargs)
        if scale != "shared" and not (isinstance(scale, Real) and scale > 0):
            raise ValueError(f'Normal expects scale to be a positive number or "shared"; received {scale!r}.')
        self.scale = scale if scale == "shared" else float(scale)
        self.mean_activation = keras.activations.get(mean_activation)

    def build(self, input_shape):
        if self.scale == "shared":
            self.log_scale = self.add_weight(shape=(), initializer="zeros", name="log_scale")
        super().build(input_shape)

    def distribution(self, mean):
        mean = self.mean_activation(mean)
        scale = ops.exp(self.log_scale) if self.scale == "shared" else self.scale
        return self.independent(tfd.Normal(mean, scale * ops.ones_like(mean)))

    def get_config(self):
        activation = keras.activations.serialize(self.mean_activation)
        return {**super().get_config(), "scale": self.scale, "mean_activation": activation}
