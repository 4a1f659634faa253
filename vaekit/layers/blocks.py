"""Building blocks: fully connected layers as the papers draw them, and the base they share with convolutions."""

import inspect
import math
from numbers import Integral

import keras
from keras import ops


def float32_by_default(options):
    """A layer's keyword arguments, with dtype float32 where they name none: under mixed precision, too."""
    return {**options, "dtype": options.get("dtype") or "float32"}


class DenseBlock(keras.layers.Layer):
    """Base of layers made of fully connected or convolutional parts that share initializers and regularizers.

    Args:
        kernel_initializer, bias_initializer: Keras initializers; every part gets a fresh copy, so that
            two parts never start with equal weights.
        kernel_regularizer, bias_regularizer: Keras regularizers, for instance the MAP weight prior
            of Kingma & Welling, `vaekit.priors.weight_prior`.
    """

    def __init__(
        self,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)

    def dense(self, units, name, layer=keras.layers.Dense, **options):
        """Makes a part of this block: a `layer` with the block's initializers, regularizers and dtype."""

        def fresh(initializer):
            return initializer.clone() if hasattr(initializer, "clone") else initializer

        return layer(
            units,
            kernel_initializer=fresh(self.kernel_initializer),
            bias_initializer=fresh(self.bias_initializer),
            kernel_regularizer=self.kernel_regularizer,
            bias_regularizer=self.bias_regularizer,
            name=name,
            dtype=self.dtype_policy,
            **options,
        )

    def conv(self, filters, kernel_size, name, layer=keras.layers.Conv2D, padding="same", **options):
        """Makes a convolutional part."""
        return self.dense(filters, name, layer, kernel_size=kernel_size, padding=padding, **options)

    def get_config(self):
        names = ("kernel_initializer", "bias_initializer", "kernel_regularizer", "bias_regularizer")
        return {
            **super().get_config(),
            **{name: keras.saving.serialize_keras_object(getattr(self, name)) for name in names},
        }


def with_arguments(layer, config):
    """Adds to a config the arguments of a subclass that defines `__init__` and no `get_config`, as Keras does.

    Raises:
        NotImplementedError: arguments that are not numbers, strings or None.
    """
    mro = type(layer).__mro__
    maker, taker = (next(c for c in mro if name in vars(c)) for name in ("get_config", "__init__"))
    if mro.index(taker) >= mro.index(maker):
        return config
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = list(inspect.signature(taker.__init__).parameters.values())[1:]
    known = {*config, *inspect.signature(maker.__init__).parameters}
    own = [p.name for p in parameters if p.kind in kinds and p.name not in known]
    given = layer._auto_config and layer._auto_config.config
    if own and given is None:
        raise NotImplementedError(
            f"{type(layer).__name__} has arguments that files do not keep by themselves, {own}: define get_config, "
            f"return {{**super().get_config(), {', '.join(f'{name!r}: self.{name}' for name in own)}}}."
        )
    return {**config, **{name: given[name] for name in own}}


def flatten(inputs):
    """Reshapes `[B, ...]` to `[B, F]`."""
    return ops.reshape(inputs, (-1, math.prod(inputs.shape[1:])))


@keras.saving.register_keras_serializable("vaekit")
class GatedDense(DenseBlock):
    r"""Gated fully connected layer: $(W x + b) \odot \sigma(V x + c)$.

    Images and feature maps are flattened first.

    Args:
        units: width of the output `[B, units]`.

    Source: Tomczak & Welling 2018, section 6.1 (after Dauphin et al. 2016).
    """

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = int(units)

    def build(self, input_shape):
        flat = (None, math.prod(input_shape[1:]))
        self.value, self.gate = self.dense(self.units, "value"), self.dense(self.units, "gate")
        self.value.build(flat)
        self.gate.build(flat)

    def call(self, inputs):
        inputs = flatten(inputs)
        return self.value(inputs) * ops.sigmoid(self.gate(inputs))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.units)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable("vaekit")
class MLP(DenseBlock):
    r"""Multilayer perceptron: $h_l = f(W_l h_{l-1} + b_l)$, every layer followed by the same nonlinearity.

    Images and feature maps are flattened first.

    Args:
        units: width of the hidden layer, or a list of widths.
        activation: `"tanh"` (Kingma & Welling; Burda et al.), `"relu"`, any other Keras activation, or
            `"gated"` for layers of `GatedDense` (Tomczak & Welling).
    """

    def __init__(self, units, activation="tanh", **kwargs):
        super().__init__(**kwargs)
        self.units = [int(units)] if isinstance(units, Integral) else [int(n) for n in units]
        self.activation = activation if activation == "gated" else keras.activations.get(activation)

    def build(self, input_shape):
        width = math.prod(input_shape[1:])
        self.hidden = []
        for i, units in enumerate(self.units):
            layer = self.dense(units, f"hidden_{i}", GatedDense if self.activation == "gated" else keras.layers.Dense)
            layer.build((None, width))
            self.hidden.append(layer)
            width = units

    def call(self, inputs):
        h = flatten(inputs)
        for layer in self.hidden:
            h = layer(h) if self.activation == "gated" else self.activation(layer(h))
        return h

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.units[-1])

    def get_config(self):
        activation = "gated" if self.activation == "gated" else keras.activations.serialize(self.activation)
        return {**super().get_config(), "units": self.units, "activation": activation}
