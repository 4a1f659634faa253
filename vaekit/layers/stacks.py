"""Layers in sequence on one tensor or several, with skip connections from the inputs to every layer."""

import math

import keras
from keras import ops

from vaekit.layers.blocks import MLP
from vaekit.layers.convolutions import ResidualBlock
from vaekit.layers.distribution import DistributionLayer

L = keras.layers
# Layers without a weight matrix. No input enters them by a skip connection, having no weights there to meet.
ELEMENTWISE = (
    *(L.Activation, L.ReLU, L.LeakyReLU, L.PReLU, L.ELU, L.BatchNormalization),
    *(L.Dropout, L.SpatialDropout1D, L.SpatialDropout2D, L.AlphaDropout, L.GaussianDropout, L.GaussianNoise),
    *(L.ActivityRegularization, L.Identity),
)
RESHAPING = (
    *(L.LayerNormalization, L.GroupNormalization, L.RMSNormalization, L.UnitNormalization, L.Softmax, L.Rescaling),
    *(L.Reshape, L.Flatten, L.Permute, L.RepeatVector, L.Resizing, L.UpSampling2D, L.ZeroPadding2D, L.Cropping2D),
    *(L.UpSampling1D, L.ZeroPadding1D, L.Cropping1D),
    *(L.MaxPooling2D, L.AveragePooling2D, L.GlobalMaxPooling2D, L.GlobalAveragePooling2D),
    *(L.MaxPooling1D, L.AveragePooling1D, L.GlobalMaxPooling1D, L.GlobalAveragePooling1D),
)


def shapes_of(input_shape):
    """Returns the shape of one tensor, or the shapes of several, as a list of tuples."""
    several = isinstance(input_shape[0], (list, tuple))
    return [tuple(shape) for shape in (input_shape if several else [input_shape])]


def _has_layers(layer):
    """Returns whether a layer runs several in sequence, as one around such a layer does, such as `TimeDistributed`."""
    around = getattr(layer, "network", getattr(layer, "layer", None))
    several = isinstance(layer, (keras.Model, Stack, ResidualBlock)) or isinstance(layer, MLP) and len(layer.units) > 1
    return several or isinstance(around, L.Layer) and _has_layers(around)


@keras.saving.register_keras_serializable("vaekit")
class Join(keras.layers.Layer):
    """One tensor made of several: vectors `[B, D]` are concatenated.

    As soon as one of them is a feature map `[B, H, W, C]`, or `[B, T, C]` along one axis, each vector becomes a map
    `[B, H, W, 1]` or `[B, T, 1]` by a linear layer of its own, and maps are concatenated by channels.

    Args:
        over_time: whether tensors `[B, T, C]` are sequences of T steps, however many: a vector then joins each step as
            it is.

    Raises:
        ValueError: maps of different sizes, or of an unknown one that a vector joins; tensors that are neither.

    Source: Dieng et al. 2019, section 4 (z as a channel of a PixelCNN's layers).
    """

    def __init__(self, over_time=False, **kwargs):
        super().__init__(**kwargs)
        self.over_time = bool(over_time)

    def build(self, input_shape):
        shapes = shapes_of(input_shape)
        sizes = {shape[1:-1] for shape in shapes if len(shape) > 2}
        if len(shapes) > 1 and (len(sizes) > 1 or any(len(shape) not in (2, 3, 4) for shape in shapes)):
            raise ValueError(
                "Tensors to be joined are vectors [B, D] or feature maps, [B, H, W, C] or [B, T, C], of one size; "
                f"received shapes {shapes}. Flatten or resize them first."
            )
        self.map_size = next(iter(sizes), None)  # (H, W) or (T,)
        if self.map_size and None in self.map_size and not self.over_time and any(len(shape) == 2 for shape in shapes):
            raise ValueError(
                f"A vector joins maps as a map made by a linear layer, so their size must be known; received {shapes}. "
                "To join it to each step of a sequence, say over_time=True."
            )
        self.maps = [
            L.Dense(math.prod(self.map_size), name=f"map_{i}", dtype=self.dtype_policy)
            if self.map_size and len(shape) == 2 and not self.over_time
            else None
            for i, shape in enumerate(shapes)
        ]
        for linear, shape in zip(self.maps, shapes, strict=True):
            if linear is not None:
                linear.build(shape)

    def call(self, inputs):
        inputs = inputs if isinstance(inputs, (list, tuple)) else [inputs]  # [B, D] or [B, H, W, C]
        if self.over_time and self.map_size:
            length = next(ops.shape(tensor)[1] for tensor in inputs if len(tensor.shape) > 2)
            inputs = [ops.repeat(t[:, None], length, axis=1) if len(t.shape) == 2 else t for t in inputs]
        parts = [
            tensor if linear is None else ops.reshape(linear(tensor), (-1, *self.map_size, 1))  # [B, H, W, 1]
            for linear, tensor in zip(self.maps, inputs, strict=True)
        ]
        return parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=-1)

    def compute_output_shape(self, input_shape):
        shapes = shapes_of(input_shape)
        largest = max(shapes, key=len)
        one = (lambda shape: shape[-1]) if self.over_time else (lambda shape: 1)
        return (*largest[:-1], sum(shape[-1] if len(shape) == len(largest) else one(shape) for shape in shapes))

    def get_config(self):
        return {**super().get_config(), "over_time": self.over_time}


@keras.saving.register_keras_serializable("vaekit")
class Stack(keras.layers.Layer):
    r"""Layers in sequence, on one tensor or several: $h_0 = z_1 \oplus z_2 …$, $h_l = f_l(h_{l-1})$, ⊕ being `Join`.

    With `skip=True` the inputs enter every layer: $h_l = f_l(h_{l-1} \oplus z)$, so that none can lose them. For a
    dense layer this is the additive form $h_l = f(W_l h_{l-1} + U_l z + b_l)$; in a convolutional one, z is one more
    channel, by a linear map of its own for each layer. Layers without a weight matrix (activations, normalization,
    dropout, pooling, reshaping) are left out.

    ```python
    decoder = vk.layers.Stack(
        [keras.layers.Dense(512, "relu"), keras.layers.Dense(512, "relu"), vk.layers.Bernoulli((28, 28, 1))], skip=True)
    ```

    Args:
        layers: list of layers; the last may be a distribution layer, which z enters too.
        skip: whether the inputs enter every layer.
        over_time: whether the layers treat sequences `[B, T, C]`: a vector among the inputs then joins each step.

    Raises:
        ValueError: what is no layer; a distribution layer before the last one; with `skip`, layers with layers inside.

    Source: Dieng et al. 2019, eqs. 6-8.
    """

    def __init__(self, layers, skip=False, over_time=False, **kwargs):
        super().__init__(**kwargs)
        self.layers, self.skip, self.over_time = list(layers), bool(skip), bool(over_time)
        wrong = [layer for layer in self.layers if not isinstance(layer, keras.layers.Layer)]
        if wrong or not self.layers:
            raise ValueError(f"{type(self).__name__} expects a list of Keras layers; received {wrong or layers!r}.")
        heads = [layer.name for layer in self.layers[:-1] if isinstance(layer, DistributionLayer)]
        if heads:
            raise ValueError(
                f"Only the last layer of {type(self).__name__} may be a distribution layer; so is {heads}."
            )
        inner = [layer.name for layer in self.layers if _has_layers(layer)]
        if skip and inner:
            raise ValueError(
                f"skip=True sends z into every layer of this list, but {inner} have layers inside, of which it would "
                "reach the first alone: list those layers one by one."
            )
        self.joins = [Join(over_time, name=f"join_{i}", dtype=self.dtype_policy) for i in range(len(self.layers))]

    def layer_inputs(self, i, h, first, skips):
        """Lists layer i's inputs, tensors or shapes: the first layer's, or the output h before it and `skips`."""
        if i == 0:
            return first
        return [h] if isinstance(self.layers[i], ELEMENTWISE + RESHAPING) else [h, *skips]

    def build_layers(self, first, skips):
        """Builds all layers by shapes, lists of the first layer's inputs and of those that enter every layer."""
        h, self.widths = None, []  # channels or units of each layer's input
        for i, (join, layer) in enumerate(zip(self.joins, self.layers, strict=True)):
            shapes = self.layer_inputs(i, h, first, skips)
            join.build(shapes)
            joined = join.compute_output_shape(shapes)
            self.widths.append(joined[-1])
            if not layer.built:
                layer.build(joined)
            h = tuple(layer.compute_output_spec(keras.KerasTensor(joined, self.compute_dtype)).shape)
        self.features = h[1:]

    def forward(self, first, skips, training=False, run=None):
        """Computes the last layer's output from lists of the first layer's inputs and those that enter every layer.

        `run`, a function of a layer and its input, stands in for calling the layer.
        """
        h = None
        for i, (join, layer) in enumerate(zip(self.joins, self.layers, strict=True)):
            h = join(self.layer_inputs(i, h, first, skips))
            h = layer(h, training=training) if run is None else run(layer, h)  # [B, ...]
        return h

    def build(self, input_shape):
        shapes = shapes_of(input_shape)
        self.build_layers(shapes, shapes if self.skip else [])

    def call(self, inputs, training=False):
        inputs = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        return self.forward(inputs, inputs if self.skip else [], training)

    def compute_output_shape(self, input_shape):
        if not self.built:
            self.build(input_shape)
        return (shapes_of(input_shape)[0][0], *self.features)

    def get_config(self):
        layers = [keras.saving.serialize_keras_object(layer) for layer in self.layers]
        return {**super().get_config(), "layers": layers, "skip": self.skip, "over_time": self.over_time}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "layers": [keras.saving.deserialize_keras_object(c) for c in config["layers"]]})
