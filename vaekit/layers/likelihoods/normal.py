"""A Gaussian decoder, with σ fixed, learned, or the best one for the data."""

from numbers import Real

import keras
from keras import ops

from vaekit import backend
from vaekit.backend import tfd
from vaekit.layers.density import event_axes
from vaekit.layers.distribution import DistributionLayer, pixelwise
from vaekit.layers.likelihoods.support import warn_of_scale

LEARNED = ("shared", "image", "pixel")
OPTIMAL = ("optimal", "optimal_image")


def soft_clip(log_scale, low):
    r"""Bounds log σ smoothly from below: $\mathrm{low} + \mathrm{softplus}(\log\sigma - \mathrm{low})$; None: no bound.

    Source: Rybkin et al. 2021, section 4.
    """
    return log_scale if low is None else low + ops.softplus(log_scale - low)


class OptimalNormal(tfd.Normal):
    r"""Normal distribution whose `log_prob(x)` uses the σ under which the x at hand are likeliest:
    $\sigma^{*2} = \mathrm{mean}\,(x - \mu)^2$.

    Gradients flow through σ*. Since σ* depends on x, this is no density, and it is for training alone; samples and
    moments are those of the given scale. σ* is at least 10⁻⁶.

    Args:
        loc: μ `[...]`.
        scale: σ `[...]` of samples and moments.
        axes: the axes over which the mean is taken, counted from the last (−1); None: all.
        soft_clip: lower bound of log σ*, see `soft_clip`.
        on_update: called with σ*² at each `log_prob`, before the soft clip and without gradient.

    Source: Rybkin et al. 2021, eq. 5 to 7.
    """

    def __init__(self, loc, scale, axes=None, soft_clip=None, on_update=None):
        super().__init__(loc, scale)
        self.axes, self.soft_clip, self.on_update = axes, soft_clip, on_update
        options = {"axes": axes, "soft_clip": soft_clip, "on_update": on_update}
        self._parameters = self._no_dependency({"loc": loc, "scale": scale, **options})

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        return event_axes(loc=0, scale=0)

    def _log_prob(self, x):
        variance = ops.mean(ops.square(x - self.loc), axis=self.axes, keepdims=True)
        variance = ops.maximum(backend.mean_over_replicas(variance) if self.axes is None else variance, 1e-12)
        if self.on_update is not None:
            self.on_update(ops.stop_gradient(variance))
        return tfd.Normal(self.loc, ops.exp(soft_clip(ops.log(variance) / 2, self.soft_clip))).log_prob(x)


@keras.saving.register_keras_serializable("vaekit")
class Normal(DistributionLayer):
    r"""Gaussian decoder $\mathcal N(\mu(h), \sigma^2)$, with one of these σ:

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
    saved with the layer; the first batch is taken whole, and before it σ is 1. A `"shared"` σ also starts at 1, and
    Adam moves its logarithm by no more than about the learning rate a step: too few steps leave it large, and the code
    unused. Every σ is read from a distribution: `decoder(z).stddev()`.

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
        return self.independent(OptimalNormal(p.loc, p.scale, axes, self.soft_clip, self._update))

    @pixelwise
    def distribution(self, mean, log_scale=None):
        mean = self.mean_activation(mean)
        return self.independent(tfd.Normal(mean, self._sigma(log_scale) * ops.ones_like(mean)))

    def _sigma(self, log_scale):
        """σ, a number or a tensor that broadcasts over μ `[B, *event_shape]`."""
        if isinstance(self.scale, float):
            return self.scale
        if self.scale == "shared":
            log_scale = ops.convert_to_tensor(self.log_scale)
        elif self.scale == "image":
            log_scale = ops.reshape(log_scale, (-1, *(1 for _ in self.event_shape)))  # [B, 1, ...]
        elif self.scale in OPTIMAL:
            variance = ops.convert_to_tensor(self.running_variance)
            log_scale = ops.log(ops.where(variance > 0, variance, 1.0)) / 2
        return ops.exp(soft_clip(log_scale, self.soft_clip))

    def _update(self, variance):
        """Updates the running mean of σ*² by a batch's."""
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
