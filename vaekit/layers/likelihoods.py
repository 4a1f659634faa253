"""Likelihoods p(x|z): the heads of decoders. Bernoulli, for binary data, is in `distribution`."""

import math
from numbers import Integral, Real

import keras
import numpy as np
from keras import ops

from vaekit import distributions
from vaekit.backend import tfd
from vaekit.distributions import Events, soft_clip
from vaekit.layers.distribution import DistributionLayer, check_range, clip, pixelwise, warn_of_scale

LEARNED = ("shared", "image", "pixel")
OPTIMAL = ("optimal", "optimal_image")


@keras.saving.register_keras_serializable("vaekit")
class Normal(DistributionLayer):
    r"""Gaussian decoder $\mathcal N(\mu(h), \sigma^2)$, with σ said in one of these ways:

    | `scale` | σ |
    |---|---|
    | a positive number | fixed |
    | `"shared"` | one for all pixels and images, learned as log σ |
    | `"image"` | one for each image, from the network |
    | `"pixel"` | one for each pixel and channel, from the network |
    | `"optimal"` | in training the best one for the batch, $\sigma^{*2} = \mathrm{mean}\,(x - \mu)^2$ |
    | `"optimal_image"` | in training the best one for each image |

    σ* depends on x, so outside of training a running value of it stands in its place, the same for all images, which
    makes p(x|z) a density: evaluation, samples and reconstructions use it. It is the root of a running mean of σ*²,
    saved with the layer; the first batch is taken whole, and before it σ is 1.

    Args:
        event_shape: shape of an image or vector.
        scale: as above.
        mean_activation: Keras activation for μ, `"sigmoid"` for data in (0, 1).
        soft_clip: lower bound of log σ, $\mathrm{low} + \mathrm{softplus}(\log\sigma - \mathrm{low})$, for every σ that
            is not fixed; Rybkin et al. use −6. None: no bound.
        momentum: how much of the running σ*² each batch leaves in place.

    Raises:
        ValueError: another scale, a soft clip of a fixed one, or a momentum outside [0, 1).

    Source: Rybkin et al. 2021, sections 3 and 4, eq. 5 to 7 (σ*).
    """

    def __init__(self, event_shape, scale=1.0, mean_activation=None, soft_clip=None, momentum=0.9, **kwargs):
        super().__init__(event_shape, **kwargs)
        fixed = isinstance(scale, Real) and scale > 0
        if not fixed and scale not in (*LEARNED, *OPTIMAL):
            raise ValueError(
                f"Normal expects scale to be a positive number or one of {(*LEARNED, *OPTIMAL)}; received {scale!r}."
            )
        if fixed and soft_clip is not None:
            raise ValueError(f"soft_clip bounds a σ that is learned or optimal; received scale={scale!r}.")
        if not 0 <= momentum < 1:
            raise ValueError(f"Normal expects momentum to be at least 0 and less than 1; received {momentum!r}.")
        self.scale = float(scale) if fixed else scale
        self.mean_activation = keras.activations.get(mean_activation)
        self.soft_clip, self.momentum = soft_clip, momentum
        self.parameters = ("mean", "log_scale") if scale in ("image", "pixel") else ("mean",)

    def parameter_shapes(self):
        shapes = super().parameter_shapes()
        return {**shapes, "log_scale": (1,)} if self.scale == "image" else shapes

    def build(self, input_shape):
        if self.scale == "shared":
            self.log_scale = self.add_weight(shape=(), initializer="zeros", name="log_scale")
        if self.scale in OPTIMAL:  # 0: none yet
            self.running_variance = self.add_weight(
                shape=(), initializer="zeros", trainable=False, name="running_variance"
            )
        super().build(input_shape)

    def call(self, inputs, training=False):
        if not training or self.scale not in OPTIMAL:
            return super().call(inputs)
        p = self.distribution(**self.parameter_values(inputs)).distribution
        axes = None if self.scale == "optimal" else tuple(range(-len(self.event_shape), 0))
        return self.independent(distributions.OptimalNormal(p.loc, p.scale, axes, self.soft_clip, self._update))

    @pixelwise
    def distribution(self, mean, log_scale=None):
        mean = self.mean_activation(mean)
        return self.independent(tfd.Normal(mean, self._sigma(log_scale) * ops.ones_like(mean)))

    def _sigma(self, log_scale):
        if isinstance(self.scale, float):
            return self.scale
        if self.scale == "shared":
            log_scale = ops.convert_to_tensor(self.log_scale)
        elif self.scale == "image":
            log_scale = ops.reshape(log_scale, (-1, *(1 for _ in self.event_shape)))
        elif self.scale in OPTIMAL:
            variance = ops.convert_to_tensor(self.running_variance)
            log_scale = ops.log(ops.where(variance > 0, variance, 1.0)) / 2
        return ops.exp(soft_clip(log_scale, self.soft_clip))

    def _update(self, variance):
        old, new = ops.convert_to_tensor(self.running_variance), ops.mean(variance)
        self.running_variance.assign(ops.where(old > 0, self.momentum * old + (1 - self.momentum) * new, new))

    def check_values(self, x):
        warn_of_scale(self, x)

    def get_config(self):
        return {
            **super().get_config(),
            "scale": self.scale,
            "mean_activation": keras.activations.serialize(self.mean_activation),
            "soft_clip": self.soft_clip,
            "momentum": self.momentum,
        }


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


class Discretized(DistributionLayer):
    """Base of likelihoods of bytes: numbers k / (bins − 1) or (k + ½) / bins in [0, 1], k = 0, …, bins − 1.

    Both are the same value of k, `vaekit.distributions.level(x, bins)`; samples are (k + ½) / bins.

    Args:
        event_shape: shape of an image, channels last.
        bins: number of values.

    Raises:
        ValueError: fewer than two values; as the head of a model, data on neither grid.
    """

    def __init__(self, event_shape, bins=256, **kwargs):
        super().__init__(event_shape, **kwargs)
        if not (isinstance(bins, Integral) and bins >= 2):
            raise ValueError(f"{type(self).__name__} expects at least 2 bins, 256 for bytes; received {bins!r}.")
        self.bins = int(bins)

    def per_channel(self, n):
        """Shape of a parameter with n numbers for each channel of a pixel, kept within the channel axis."""
        return (*self.event_shape[:-1], self.event_shape[-1] * n)

    def split(self, parameter):
        """`[B, ..., C·n]` to `[B, ..., C, n]`."""
        *place, n = parameter.shape[1:]
        return ops.reshape(parameter, (-1, *place, self.event_shape[-1], n // self.event_shape[-1]))

    def check_values(self, x):
        rounding = 0.01 + (self.bins * np.finfo(x.dtype).eps if x.dtype.kind == "f" else 0)
        x = x.astype("float32", copy=False)
        grids = x * (self.bins - 1), x * self.bins - 0.5
        wrong = min(((x < 0) | (x > 1) | (abs(t - np.rint(t)) > rounding) for t in grids), key=np.count_nonzero)
        if not wrong.any():
            return
        top = self.bins - 1
        whole = x.min() >= 0 and x.max() <= top and (x == np.rint(x)).all()
        advice = (
            f"They look like whole numbers from 0 to {top}: divide by {top}."
            if whole
            else f"Round images in [0, 1] to them, numpy.rint(x * {top}) / {top}, or use a likelihood for real values, "
            "vaekit.layers.Normal(event_shape)."
        )
        raise ValueError(
            f"{type(self).__name__} expects {self.bins} values, k / {top} or (k + 0.5) / {self.bins} for "
            f"k = 0, ..., {top}; {np.count_nonzero(wrong)} of {x.size} values differ, "
            f"for instance {x[wrong].flat[0]:g}. {advice}"
        )

    def get_config(self):
        return {**super().get_config(), "bins": self.bins}


@keras.saving.register_keras_serializable("vaekit")
class DiscretizedLogistic(Discretized):
    r"""Bytes from a logistic distribution with mean μ = sigmoid(W h + b) and scale s, both for each pixel and channel.

    Args:
        event_shape, bins: as for `Discretized`.
        log_scale_range: `(low, high)` clips log s; Tomczak & Welling: (−4.5, 0).
        mean_range: `(low, high)` clips μ; Tomczak & Welling: (1/512, 511/512).
        edges: False leaves the tails beyond [0, 1] out of the first and last bin, as Tomczak & Welling's code does: not
            a distribution then, since its sum over bins is less than one.

    Source: Kingma et al. 2016; Tomczak & Welling 2018, section 6.
    """

    parameters = ("mean", "log_scale")

    def __init__(self, event_shape, bins=256, log_scale_range=None, mean_range=None, edges=True, **kwargs):
        super().__init__(event_shape, bins, **kwargs)
        self.log_scale_range = check_range(self, "log_scale_range", log_scale_range)
        self.mean_range = check_range(self, "mean_range", mean_range)
        self.edges = bool(edges)

    @pixelwise
    def distribution(self, mean, log_scale):
        mean, log_scale = clip(ops.sigmoid(mean), self.mean_range), clip(log_scale, self.log_scale_range)
        return self.independent(distributions.DiscretizedLogistic(mean, log_scale, self.bins, self.edges))

    def get_config(self):
        ranges = {"log_scale_range": self.log_scale_range, "mean_range": self.mean_range}
        return {**super().get_config(), **ranges, "edges": self.edges}


@keras.saving.register_keras_serializable("vaekit")
class Categorical(Discretized):
    """Bytes, each with a probability for each of its values: a softmax of `bins` numbers a pixel and channel.

    Args:
        event_shape, bins: as for `Discretized`.

    Source: van den Oord et al. 2016; Rybkin et al. 2021, section 3.
    """

    parameters = ("logits",)

    def parameter_shapes(self):
        return {"logits": self.per_channel(self.bins)}

    @pixelwise
    def distribution(self, logits):
        return self.independent(distributions.Categorical(self.split(logits)))


@keras.saving.register_keras_serializable("vaekit")
class BitwiseCategorical(Discretized):
    """Bytes by their binary digits, each a Bernoulli: 8 numbers a pixel and channel instead of 256.

    Args:
        event_shape: shape of an image, channels last.
        bits: digits of a value; there are 2^bits values, as of the bins of `Discretized`.

    Source: Rybkin et al. 2021, section 3.
    """

    parameters = ("logits",)

    def __init__(self, event_shape, bits=8, **kwargs):
        if not (isinstance(bits, Integral) and 1 <= bits <= 16):
            raise ValueError(f"BitwiseCategorical expects 1 to 16 bits, 8 for bytes; received {bits!r}.")
        super().__init__(event_shape, 2**bits, **kwargs)
        self.bits = int(bits)

    def parameter_shapes(self):
        return {"logits": self.per_channel(self.bits)}

    @pixelwise
    def distribution(self, logits):
        return self.independent(distributions.BitwiseCategorical(self.split(logits)))

    def get_config(self):
        config = {**super().get_config(), "bits": self.bits}
        del config["bins"]
        return config


@keras.saving.register_keras_serializable("vaekit")
class DiscretizedLogisticMixture(Discretized):
    r"""Bytes of colour or grey images: a mixture of discretized logistics for each pixel, green given red, blue given
    both: see `vaekit.distributions.DiscretizedLogisticMixture`.

    Means are ½ + W h + b and scales exp(W h + b), in a range of 1; coefficients between channels are tanh(W h + b).

    Args:
        event_shape, bins: as for `Discretized`.
        components: K.
        log_scale_range: `(low, high)` clips log s.

    Source: Salimans et al. 2017, sections 2.1 and 2.2.
    """

    def __init__(self, event_shape, components=10, bins=256, log_scale_range=None, **kwargs):
        super().__init__(event_shape, bins, **kwargs)
        if not (isinstance(components, Integral) and components >= 1):
            raise ValueError(f"{type(self).__name__} expects components to be at least 1; received {components!r}.")
        self.components = int(components)
        self.log_scale_range = check_range(self, "log_scale_range", log_scale_range)

    def parameter_shapes(self):
        *place, channels = self.event_shape
        numbers = {"logits": 1, "mean": channels, "log_scale": channels, "coefficients": math.comb(channels, 2)}
        return {name: (*place, n * self.components) for name, n in numbers.items() if n}

    @pixelwise
    def distribution(self, logits, mean, log_scale, coefficients=None):
        def split(parameter):  # [B, ..., K·n] to [B, ..., K, n]
            *place, n = parameter.shape[1:]
            return ops.reshape(parameter, (-1, *place, self.components, n // self.components))

        pixels = distributions.DiscretizedLogisticMixture(
            logits,
            0.5 + split(mean),
            clip(split(log_scale), self.log_scale_range),
            None if coefficients is None else ops.tanh(split(coefficients)),
            self.bins,
        )
        return Events(pixels, reinterpreted_batch_ndims=len(self.event_shape) - 1)

    def get_config(self):
        return {
            **super().get_config(),
            "components": self.components,
            "log_scale_range": self.log_scale_range,
        }
