"""Layers whose output is a probability distribution: the heads of encoders and decoders."""

import math
import warnings
import weakref
from numbers import Integral

import keras
import numpy as np
from keras import ops

from vaekit.backend import tfd, tfp
from vaekit.distributions import FullNormal
from vaekit.layers.blocks import DenseBlock, flatten
from vaekit.layers.flat import independent

_ORIGINS = weakref.WeakKeyDictionary()  # of the distributions that are in use


def origin_of(distribution):
    """The distribution layer that gave a distribution, and the parameters, a dict by name, of which it was made.

    None: no distribution layer gave it.
    """
    return _ORIGINS.get(distribution)


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
    class Laplace(DistributionLayer):
        parameters = ("mean", "log_scale")

        @pixelwise  # vaekit.layers.distribution: each pixel alone, so that Autoregressive may draw one by one
        def distribution(self, mean, log_scale):
            return self.independent(tfd.Laplace(mean, ops.exp(log_scale)))
    ```

    The layer stands last in a Sequential or functional model; called on features `[B, ...]` such a model
    returns a distribution with batch shape `[B]`, in `fit` as well as by hand, and is saved in `.keras` files.
    Heads and densities stay in float32 under mixed precision.

    Args:
        event_shape: shape of one event without the batch axis, an int for a vector.
        kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer: of the heads.

    Raises:
        ValueError: an event shape that is not made of positive integers; a feature map of another size than the event.
    """

    parameters = ()
    missing = False  # whether NaN in the data means a missing value

    def __init__(self, event_shape, **kwargs):
        kwargs["dtype"] = kwargs.get("dtype") or "float32"
        super().__init__(**kwargs)
        shape = (event_shape,) if isinstance(event_shape, Integral) else tuple(event_shape)
        if not shape or not all(isinstance(n, Integral) and n > 0 for n in shape):
            raise ValueError(
                f"{type(self).__name__} expects an event shape of positive integers, such as 20 or (28, 28, 1); "
                f"received {event_shape!r}."
            )
        self.event_shape = tuple(int(n) for n in shape)

    def parameter_shapes(self):
        """Shape of each parameter, batch axis left out: dict by name."""
        return dict.fromkeys(self.parameters, self.event_shape)

    def build(self, input_shape):
        place = self.event_shape[:-1]
        self.heads, self.local = {}, {}
        for name, shape in self.parameter_shapes().items():
            # one head for every place
            self.local[name] = len(input_shape) > 1 and tuple(input_shape[1:-1]) == place == tuple(shape[:-1])
            if len(input_shape) > 2 and place == tuple(shape[:-1]) != () and not self.local[name]:
                raise ValueError(
                    f"{type(self).__name__} ({self.name!r}) is a distribution over events of shape {self.event_shape}, "
                    f"but its features are a map of another size, {tuple(input_shape[1:])}. Bring them to {place} by a "
                    "crop, padding, other strides or keras.layers.Resizing; or, if every value should see the whole "
                    "map through a dense head, put keras.layers.Flatten() before it."
                )
            self.heads[name] = self.dense(shape[-1] if self.local[name] else math.prod(shape), name)
            self.heads[name].build(input_shape if self.local[name] else (None, math.prod(input_shape[1:])))

    def parameter_values(self, inputs):
        """The parameters at the features `[B, ...]`: dict by name of tensors `[B, *shape]`.

        If all of them are local, the features may also be those of a part of the image, and so are then the parameters.
        """
        return {
            name: head(inputs) if self.local[name] else ops.reshape(head(flatten(inputs)), (-1, *shape))
            for (name, shape), head in zip(self.parameter_shapes().items(), self.heads.values(), strict=True)
        }

    def call(self, inputs, training=False):
        parameters = self.parameter_values(inputs)
        distribution = self.distribution(**parameters)
        _ORIGINS[distribution] = self, parameters
        return distribution

    def distribution(self, **parameters):
        """The distribution with the given parameters, each `[B, *event_shape]`."""
        raise NotImplementedError(f"{type(self).__name__} must define distribution({', '.join(self.parameters)}).")

    def independent(self, distribution):
        """Sums log-densities over the event's axes: batch `[B, *event_shape]` becomes batch `[B]`."""
        return independent(distribution, len(self.event_shape))

    def compute_output_spec(self, inputs, **kwargs):
        # What makes a distribution a legal Keras output: symbolically it is a tensor shaped like a sample.
        if not self.built:
            self.build(inputs.shape)
        return keras.KerasTensor((inputs.shape[0], *self.event_shape), dtype=self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.event_shape)

    def check_values(self, x):
        """Raises ValueError if the NumPy array `x` holds values outside the distribution's support."""

    def get_config(self):
        return {**super().get_config(), "event_shape": self.event_shape}


def event_shape(network, inputs):
    """Event shape of a network's distribution for symbolic inputs, a tensor or a list of them; builds the network."""
    try:
        return tuple(network(inputs).shape[1:])
    except Exception as error:  # a subclassed network need not know its output's shape: look at one output
        example = keras.tree.map_structure(lambda tensor: ops.zeros((1, *tensor.shape[1:]), "float32"), inputs)
        try:
            output = network(example)
        except Exception:
            raise error from None  # what is wrong, not what came of it
        return tuple(int(n) for n in output.event_shape)


def check_range(layer, name, values):
    """A range `(low, high)` or None, as a tuple or None."""
    if values is None:
        return None
    if len(values) != 2 or not values[0] < values[1]:
        raise ValueError(f"{type(layer).__name__} expects {name}=(low, high) with low < high; received {values!r}.")
    return tuple(float(v) for v in values)


SIGMOIDS = (keras.activations.sigmoid, keras.activations.hard_sigmoid)


def warn_of_scale(layer, x):
    """Warns of bytes, and of values that no mean can come near, where a likelihood of real values has `layer` for it.

    A warning, for such data are no error; in words that are the same for every part of the data.
    """
    if not x.size:
        return
    low, high = x.min(), x.max()
    kind = f"{type(layer).__name__} ({layer.name!r})"
    whole = x.dtype == "uint8" and high > 1
    if whole or (low >= 0 and 127 < high <= 255 and (x == np.rint(x)).all()):
        warnings.warn(
            f"{kind} received what looks like bytes, whole numbers from 0 to 255, where it expects a scale near 1: "
            "errors of 100 cost thousands of nats for each value. Divide the data by 255; then this likelihood fits "
            "them, or one of bytes, such as vaekit.layers.DiscretizedLogistic(event_shape).",
            stacklevel=3,
        )
    elif (low < 0 or high > 1) and getattr(layer, "mean_activation", None) in SIGMOIDS:
        warnings.warn(
            f"{kind} has means in (0, 1), by its mean_activation, but the data have values outside of [0, 1], which no "
            "mean comes near. Scale the data to [0, 1], or leave mean_activation out.",
            stacklevel=3,
        )


def clip(x, values):
    return x if values is None else ops.clip(x, *values)


@keras.saving.register_keras_serializable("vaekit")
class Bernoulli(DistributionLayer):
    r"""Binary data: $p(x \mid h) = \prod_d y_d^{x_d} (1 - y_d)^{1 - x_d}$, $y = \sigma(W h + b)$.

    Computed from the logits, exact however sure the network is. Its support is {0, 1}: grey values are not
    Bernoulli data, and a "likelihood" of theirs cannot be compared with anyone's.

    Args:
        event_shape: shape of an image or vector.
        logit_range: `(low, high)` clips the logits, which bounds how sure the network can be; None: no bound.

    Source: Kingma & Welling 2014, appendix C.1.
    """

    parameters = ("logits",)

    def __init__(self, event_shape, logit_range=None, **kwargs):
        super().__init__(event_shape, **kwargs)
        self.logit_range = check_range(self, "logit_range", logit_range)

    @pixelwise
    def distribution(self, logits):
        logits = clip(logits, self.logit_range)
        return self.independent(tfd.Bernoulli(logits=logits, dtype=logits.dtype))

    def check_values(self, x):
        wrong = x[(x != 0) & (x != 1)]
        if wrong.size:
            raise ValueError(
                f"A Bernoulli likelihood expects the values 0 and 1; {wrong.size} of {x.size} values differ, "
                f"for instance {float(wrong.flat[0]):g}. For grey images in [0, 1] either draw binary ones, "
                "vaekit.batches.DynamicBinarization(x), or use a likelihood for real values, "
                "vaekit.layers.Normal(event_shape)."
            )

    def get_config(self):
        return {**super().get_config(), "logit_range": self.logit_range}


SCALES = {
    "log_variance": lambda a: ops.exp(a / 2),
    "log_scale": ops.exp,
    "softplus": ops.softplus,
}


@keras.saving.register_keras_serializable("vaekit")
class DiagonalNormal(DistributionLayer):
    r"""Normal distribution with mean and scale both from the network: $\mathcal N(\mu(h), \mathrm{diag}\,\sigma^2(h))$.

    The usual posterior q(z|x), and the Gaussian decoder of Kingma & Welling.

    Args:
        event_shape: an int for a latent vector, a shape for images.
        scale: how the head `a = W h + b` gives σ: `"log_variance"`, σ = exp(a/2) (Kingma & Welling; Tomczak &
            Welling); `"log_scale"`, σ = exp(a) (Burda et al.); `"softplus"`, σ = log(1 + exp(a)).
        log_variance_range: `(low, high)` clips log σ², wherever it is used; Tomczak & Welling use (-6, 2).
            Only with `scale="log_variance"`.
        mean_activation: Keras activation for μ, `"sigmoid"` for data in (0, 1).

    Source: Kingma & Welling 2014, appendix C.2.
    """

    def __init__(self, event_shape, scale="log_variance", log_variance_range=None, mean_activation=None, **kwargs):
        super().__init__(event_shape, **kwargs)
        if scale not in SCALES:
            raise ValueError(f"DiagonalNormal expects scale to be one of {sorted(SCALES)}; received {scale!r}.")
        if log_variance_range is not None and scale != "log_variance":
            raise ValueError(f"log_variance_range goes with scale='log_variance'; received scale={scale!r}.")
        self.scale = scale
        self.log_variance_range = check_range(self, "log_variance_range", log_variance_range)
        self.mean_activation = keras.activations.get(mean_activation)
        self.parameters = ("mean", scale)

    @pixelwise
    def distribution(self, mean, **spread):
        (a,) = spread.values()
        scale = SCALES[self.scale](clip(a, self.log_variance_range))
        return self.independent(tfd.Normal(self.mean_activation(mean), scale))

    def check_values(self, x):
        warn_of_scale(self, x)

    def get_config(self):
        return {
            **super().get_config(),
            "scale": self.scale,
            "log_variance_range": self.log_variance_range,
            "mean_activation": keras.activations.serialize(self.mean_activation),
        }


@keras.saving.register_keras_serializable("vaekit")
class MultivariateNormal(DistributionLayer):
    r"""Normal distribution of a vector with full covariance: $\mathcal N(\mu(h), L(h) L(h)^\top)$.

    L is lower triangular, its diagonal exp(a/2), as the σ of `DiagonalNormal`. As a posterior it has correlated units,
    and with a normal prior of independent ones a KL in closed form: `ELBO(analytic_kl=True)`.

    Args:
        event_shape: D, the length of the vector; its heads have D and D (D + 1) / 2 outputs.

    Raises:
        ValueError: an event that is no vector.

    Source: Kingma & Welling 2019, section 2.5.1.
    """

    parameters = ("mean", "cholesky")

    def __init__(self, event_shape, **kwargs):
        super().__init__(event_shape, **kwargs)
        if len(self.event_shape) != 1:
            raise ValueError(f"MultivariateNormal expects the length of a vector; received {event_shape!r}.")

    def parameter_shapes(self):
        (d,) = self.event_shape
        return {"mean": (d,), "cholesky": (d * (d + 1) // 2,)}

    def distribution(self, mean, cholesky):
        a = tfp.math.fill_triangular(cholesky)  # [B, D, D]
        identity = ops.eye(mean.shape[-1], dtype=mean.dtype)
        # the exponential of the diagonal alone: elsewhere it might be infinite, and its gradient NaN
        return FullNormal(mean, a * (1 - identity) + ops.exp(a / 2 * identity) * identity)

    def check_values(self, x):
        warn_of_scale(self, x)
