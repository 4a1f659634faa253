"""Likelihoods of what tables hold: counts, labels, and entries that are missing."""

from numbers import Integral

import keras
import numpy as np
from keras import ops

from vaekit import distributions
from vaekit.backend import tfd
from vaekit.layers.distribution import DistributionLayer, pixelwise
from vaekit.layers.likelihoods import OPTIMAL


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
        wrong = x[(x < 0) | (x != np.rint(x))]
        if wrong.size:
            raise ValueError(
                f"A Poisson likelihood expects counts, 0, 1, 2, …; {wrong.size} of {x.size} values differ, for "
                f"instance {float(wrong.flat[0]):g}. Give it the counts themselves, not scaled, not as logarithms; for "
                "real values there is vaekit.layers.Normal(event_shape)."
            )


@keras.saving.register_keras_serializable("vaekit")
class OneHotCategorical(DistributionLayer):
    r"""Labels as one-hot vectors: $p(x \mid h) = \prod_k \pi_k^{x_k}$, $\pi = \mathrm{softmax}(W h + b)$.

    Its mean are the probabilities π.

    Args:
        event_shape: the number of classes, for one label; or a shape whose last axis are the classes, such as
            (28, 28, 3) for a label a pixel.

    Raises:
        ValueError: fewer than two classes; as the head of a model, data that are not one-hot.
    """

    parameters = ("logits",)

    def __init__(self, event_shape, **kwargs):
        super().__init__(event_shape, **kwargs)
        check_classes(self, self.event_shape[-1])

    @pixelwise
    def distribution(self, logits):
        label = tfd.OneHotCategorical(logits, dtype=logits.dtype)
        return distributions.Events(label, reinterpreted_batch_ndims=len(self.event_shape) - 1)

    def check_values(self, x):
        classes = self.event_shape[-1]
        rows = x.reshape(-1, classes)
        wrong = rows[((rows != 0) & (rows != 1)).any(axis=1) | (rows.sum(axis=1) != 1)]
        if len(wrong):
            raise ValueError(
                f"OneHotCategorical expects one-hot vectors of {classes} classes, one 1 and otherwise 0; {len(wrong)} "
                f"of {len(rows)} differ, for instance {wrong[0].tolist()}. Labels 0, …, {classes - 1} become such by "
                f"keras.ops.one_hot(y, {classes}); or use vaekit.layers.CategoricalLabels for the labels themselves."
            )


@keras.saving.register_keras_serializable("vaekit")
class CategoricalLabels(DistributionLayer):
    r"""Labels as whole numbers 0, …, classes − 1: $p(x \mid h) = \mathrm{softmax}(W h + b)_x$ for each of them.

    A label has no mean: `decode` and `reconstruct` draw one, with mean=False. (`Categorical` is for bytes: numbers in
    [0, 1].)

    Args:
        event_shape: 1 for one label an example, `y[:, None]`; (28, 28, 1) for a label a pixel.
        classes: number of classes.

    Raises:
        ValueError: fewer than two classes; as the head of a model, data that are no such labels.
    """

    parameters = ("logits",)

    def __init__(self, event_shape, classes, **kwargs):
        super().__init__(event_shape, **kwargs)
        self.classes = check_classes(self, classes)

    def parameter_shapes(self):
        return {"logits": (*self.event_shape[:-1], self.event_shape[-1] * self.classes)}

    @pixelwise
    def distribution(self, logits):
        *place, n = logits.shape[1:]
        logits = ops.reshape(logits, (-1, *place, n // self.classes, self.classes))
        return self.independent(distributions.Labels(logits, dtype=logits.dtype))

    def check_values(self, x):
        wrong = x[(x < 0) | (x >= self.classes) | (x != np.rint(x))]
        if wrong.size:
            raise ValueError(
                f"CategoricalLabels expects whole numbers from 0 to {self.classes - 1}; {wrong.size} of {x.size} "
                f"values differ, for instance {float(wrong.flat[0]):g}. Number the classes from 0 (numpy.unique(y, "
                "return_inverse=True)[1]), or say how many there are: classes=…"
            )

    def get_config(self):
        return {**super().get_config(), "classes": self.classes}


def check_classes(layer, classes):
    if not (isinstance(classes, Integral) and classes >= 2):
        raise ValueError(f"{type(layer).__name__} expects at least 2 classes; received {classes!r}.")
    return int(classes)


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
        return distributions.Observed(whole.distribution, axes, self.fill)

    def check_values(self, x):
        self.layer.check_values(x[~np.isnan(x)] if x.dtype.kind == "f" else x)

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
