"""Data with missing entries."""

import keras
import numpy as np
from keras import ops

from vaekit.backend import tfd
from vaekit.layers.density import Events
from vaekit.layers.distribution import DistributionLayer
from vaekit.layers.likelihoods.normal import OPTIMAL
from vaekit.layers.likelihoods.one_hot_categorical import OneHotCategorical


class Observed(Events):
    """Independent entries, of which those that are NaN do not count.

    Args:
        distribution, reinterpreted_batch_ndims: as for `tfd.Independent`.
        fill: a possible value, which stands where one is missing; no density depends on it.
    """

    def __init__(self, distribution, reinterpreted_batch_ndims, fill=0.0, name="Observed"):
        parameters = dict(locals())
        super().__init__(distribution, reinterpreted_batch_ndims, name=name)
        self._parameters, self.fill = {k: v for k, v in parameters.items() if k != "self"}, fill

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        return tfd.Independent._parameter_properties(dtype, num_classes)

    def missing(self, x):
        """Which values `[..., *event]` count as missing, with all others of an entry: a label's, or a pixel's."""
        inner = len(self.distribution.event_shape)
        whole = ops.any(ops.isnan(x), axis=tuple(range(-inner, 0)), keepdims=True)
        return ops.broadcast_to(whole, ops.shape(x))

    def _log_prob(self, x):
        missing = ops.isnan(x)
        # no NaN enters the density: a product with 0 would leave it in the gradient
        log_prob = self.distribution.log_prob(ops.where(missing, ops.cast(self.fill, x.dtype), x))
        inner, outer = len(self.distribution.event_shape), len(self.event_shape)
        if inner:
            missing = ops.any(missing, axis=tuple(range(-inner, 0)))  # one entry, such as a one-hot label
        log_prob = ops.where(missing, ops.zeros_like(log_prob), log_prob)
        return ops.sum(log_prob, axis=tuple(range(inner - outer, 0))) if outer > inner else log_prob


@keras.saving.register_keras_serializable("vaekit")
class Masked(DistributionLayer):
    r"""A likelihood of data with missing entries, which are NaN: $p(x \mid h) = \prod_d p(x_d \mid h)$ over the others.

    What is missing at random is integrated out, so that this is the density of what is there. Samples and means are
    whole: reconstructions fill the gaps.

    ```python
    encoder = keras.Sequential([vk.layers.FillMissing(), vk.layers.MLP(64), vk.layers.DiagonalNormal(5)])
    decoder = keras.Sequential([vk.layers.MLP(64), vk.layers.Masked(vk.layers.Normal(12, scale="shared"))])
    ```

    Args:
        layer: the likelihood, a distribution layer with independent entries (or pixels, or one-hot labels: one with a
            NaN in it counts as missing).
        fill: a possible value, which stands where one is missing while densities are computed; none depends on it.

    Raises:
        ValueError: what is no such layer; a scale that is made from the whole data ("optimal").
    """

    missing = True

    def __init__(self, layer, fill=0.0, **kwargs):
        if not isinstance(layer, DistributionLayer):
            raise ValueError(f"Masked expects a distribution layer, such as Normal(12); received {layer!r}.")
        if getattr(layer, "scale", None) in OPTIMAL:
            raise ValueError(
                f'Masked expects a σ that does not depend on the data, scale="shared", say; got {layer.scale!r}.'
            )
        super().__init__(layer.event_shape, **kwargs)
        self.layer, self.fill = layer, float(fill)

    def parameter_shapes(self):
        return self.layer.parameter_shapes()

    def build(self, input_shape):
        if not self.layer.built:
            self.layer.build(input_shape)

    def parameter_values(self, inputs):
        return self.layer.parameter_values(inputs)

    def distribution(self, **parameters):
        whole = self.layer.distribution(**parameters)
        if not hasattr(whole, "reinterpreted_batch_ndims"):  # of tfd.Independent, which has two classes
            raise ValueError(
                f"Masked expects independent entries, tfd.Independent; {type(self.layer).__name__} gives {whole.name}."
            )
        axes = len(whole.event_shape) - len(whole.distribution.event_shape)
        return Observed(whole.distribution, axes, self.fill)

    def check_values(self, x):
        missing = np.isnan(x) if x.dtype.kind == "f" else np.zeros(x.shape, bool)
        if isinstance(self.layer, OneHotCategorical):  # whose rows are checked
            missing = np.broadcast_to(missing.any(axis=-1, keepdims=True), x.shape)
        self.layer.check_values(x[~missing])

    def get_config(self):
        config = {**super().get_config(), "layer": keras.saving.serialize_keras_object(self.layer), "fill": self.fill}
        return {name: value for name, value in config.items() if name != "event_shape"}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "layer": keras.saving.deserialize_keras_object(config["layer"])})


@keras.saving.register_keras_serializable("vaekit")
class FillMissing(keras.layers.Layer):
    """Data with a value in place of each NaN: the first layer of an encoder of data with missing entries.

    Args:
        value: for columns of mean 0 and a scale near 1, 0 is their mean.
    """

    def __init__(self, value=0.0, **kwargs):
        super().__init__(**kwargs)
        self.value = float(value)

    def call(self, inputs):
        return ops.where(ops.isnan(inputs), ops.cast(self.value, inputs.dtype), inputs)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "value": self.value}
