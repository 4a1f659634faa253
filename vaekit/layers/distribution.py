"""Layers whose output is a probability distribution: the heads of encoders and decoders."""

import math
import weakref
from numbers import Integral

import keras
from keras import ops

from vaekit.layers.blocks import DenseBlock, flatten, float32_by_default, with_arguments
from vaekit.layers.flat import independent

_ORIGINS = weakref.WeakKeyDictionary()  # of the distributions that are in use


def origin_of(distribution):
    """Finds the layer that made a distribution, and its parameters, dict by name of `[B, ...]`; None: no layer did."""
    return _ORIGINS.get(distribution)


def remember(distribution, layer, parameters):
    """Keeps for `origin_of` what made a distribution."""
    _ORIGINS[distribution] = layer, parameters


def pixelwise(distribution):
    """Decorates a layer's method `distribution` that treats each pixel alone, and all of them alike.

    So it also takes the parameters of a part of the event: `Autoregressive` then draws a pixel from the features there.
    """
    distribution.pixelwise = True
    return distribution


class DistributionLayer(DenseBlock):
    r"""A Keras layer that turns features into a `tfd.Distribution` over events of a given shape.

    A subclass names its `parameters` and says in `distribution` what they parametrize. Each parameter is an
    affine function of the features (its head): of all of them, or, where the features are laid out like the
    event (a feature map as large as the image), of the features at the same place, a 1×1 convolution.
    Parameters are shaped like the event, unless `parameter_shapes` says otherwise.

    ```python
    from vaekit.backend import tfd  # TFP's distributions, of the backend that runs

    @keras.saving.register_keras_serializable("mine")  # for files
    class Laplace(vk.layers.DistributionLayer):
        parameters = ("mean", "log_scale")

        @pixelwise  # vaekit.layers.distribution: each pixel alone, so that Autoregressive may draw one by one
        def distribution(self, mean, log_scale):
            return self.independent(tfd.Laplace(mean, ops.exp(log_scale)))
    ```

    The layer stands last in a Sequential or functional model; called on features `[B, ...]` such a model
    returns a distribution with batch shape `[B]`, in `fit` as well as by hand, and is saved in `.keras` files.
    Heads and densities stay in float32 under mixed precision.

    In a `keras.Model` subclass of your own, let `call` return a tensor, such as a mean (on JAX, Keras' `fit` cannot
    build one whose `call` returns a distribution). Log-densities belong in `compute_loss`: to a `loss` function Keras
    hands tensors.

    ```python
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return -ops.mean(self.network(x, training=training).log_prob(y))
    ```

    Args:
        event_shape: shape of one event without the batch axis, an int for a vector.
        kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer: of the heads.

    Raises:
        ValueError: an event shape that is not made of positive integers; a feature map of another size than the event.
        TypeError: `parameters` that are one string.
    """

    parameters = ()
    missing = False  # whether NaN in the data means a missing value
    shorter = False  # whether the data of a batch may be shorter along their first axis: sequences

    def __init__(self, event_shape, **kwargs):
        super().__init__(**float32_by_default(kwargs))
        if isinstance(self.parameters, str):
            raise TypeError(
                f"parameters of {type(self).__name__} is a tuple of names, with its comma: ({self.parameters!r},); "
                f"received {self.parameters!r}."
            )
        shape = (event_shape,) if isinstance(event_shape, Integral) else tuple(event_shape)
        if not shape or not all(isinstance(n, Integral) and n > 0 for n in shape):
            raise ValueError(
                f"{type(self).__name__} expects an event shape of positive integers, such as 20 or (28, 28, 1); "
                f"received {event_shape!r}."
            )
        self.event_shape = tuple(int(n) for n in shape)

    def parameter_shapes(self):
        """Shape of each parameter without the batch axis: dict of tuples by name."""
        return dict.fromkeys(self.parameters, self.event_shape)

    @property
    def places(self):
        """Shape of the places, to which features laid out like the event belong: an image's height and width."""
        return self.event_shape[:-1]

    def build(self, input_shape):
        spatial = self.places
        self.heads, self.local = {}, {}
        for name, shape in self.parameter_shapes().items():
            # features laid out like the event: one head for all places
            self.local[name] = len(input_shape) > 1 and tuple(input_shape[1:-1]) == spatial == tuple(shape[:-1])
            if len(input_shape) > 2 and spatial == tuple(shape[:-1]) != () and not self.local[name]:
                raise ValueError(
                    f"{type(self).__name__} ({self.name!r}) is a distribution over events of shape {self.event_shape}, "
                    f"but its features are a map of another size, {tuple(input_shape[1:])}. Bring them to {spatial} by "
                    "a crop, padding, other strides or keras.layers.Resizing; or, if every value should see the whole "
                    "map through a dense head, put keras.layers.Flatten() before it."
                )
            self.heads[name] = self.dense(shape[-1] if self.local[name] else math.prod(shape), name)
            self.heads[name].build(input_shape if self.local[name] else (None, math.prod(input_shape[1:])))

    def parameter_values(self, inputs):
        """Computes the parameters from features `[B, ...]`: dict by name of tensors `[B, *shape]`.

        If all of them are local, the features may also be those of a part of the image, and so are then the parameters.
        """
        return {
            name: head(inputs) if self.local[name] else ops.reshape(head(flatten(inputs)), (-1, *shape))
            for (name, shape), head in zip(self.parameter_shapes().items(), self.heads.values(), strict=True)
        }

    def call(self, inputs, training=False):
        """Turns features `[B, ...]` into a `tfd.Distribution` of batch shape `[B]` and this event shape."""
        parameters = self.parameter_values(inputs)
        distribution = self.distribution(**parameters)
        remember(distribution, self, parameters)
        return distribution

    def distribution(self, **parameters):
        """The distribution, of batch shape `[B]`, with parameters `[B, *shape]`, by name as in `parameter_shapes`."""
        raise NotImplementedError(f"{type(self).__name__} must define distribution({', '.join(self.parameters)}).")

    def independent(self, distribution):
        """Sums log-densities over the event's axes: batch `[B, *event_shape]` becomes batch `[B]`."""
        return independent(distribution, len(self.event_shape))

    def compute_output_spec(self, inputs, **kwargs):
        # Keras accepts a distribution as output, since symbolically it is a tensor shaped like a sample.
        if not self.built:
            self.build(inputs.shape)
        return keras.KerasTensor((inputs.shape[0], *self.event_shape), dtype=self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.event_shape)

    def check_values(self, x):
        """Raises ValueError if the NumPy array `x` holds values outside the distribution's support."""

    def get_config(self):
        return with_arguments(self, {**super().get_config(), "event_shape": self.event_shape})


def output_spec(network, inputs, call=None):
    """Finds what a network returns, and builds it: symbolic tensors `[None, ...]`, of a distribution its events.

    Args:
        network: Keras layer or model.
        inputs: symbolic tensor `[None, ...]`, or a list of them.
        call: function that is called with the inputs; None: the network.
    """
    call = network if call is None else call
    if _infers_shape(network):
        return call(inputs)
    example = keras.tree.map_structure(lambda tensor: ops.zeros((1, *tensor.shape[1:]), "float32"), inputs)
    output = call(example)
    # what Keras keeps of symbolic inputs, for files and for priors that are made of this network
    shapes = [tuple(tensor.shape) for tensor in keras.tree.flatten(inputs)]
    network._build_shapes_dict = {"input_shape": shapes[0] if len(shapes) == 1 else shapes}
    if hasattr(output, "event_shape"):
        return keras.KerasTensor((None, *(int(n) for n in output.event_shape)))
    return keras.tree.map_structure(lambda tensor: keras.KerasTensor((None, *tensor.shape[1:])), output)


def event_shape(network, inputs, call=None):
    """Finds the event shape of a network's distribution, and builds the network, see `output_spec`."""
    return tuple(output_spec(network, inputs, call).shape[1:])


def _infers_shape(network):
    """Returns whether a network can be called with symbolic inputs: one that defines `call` alone needs an example."""
    if isinstance(network, keras.Sequential) and network.layers:
        return _infers_shape(network.layers[-1])
    functional = hasattr(network, "operations")
    methods = ("compute_output_spec", "compute_output_shape")
    return functional or any(getattr(type(network), m) is not getattr(keras.layers.Layer, m) for m in methods)
