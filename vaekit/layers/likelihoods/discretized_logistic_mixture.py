"""Bytes of colour or grey images, from mixtures of discretized logistics."""

import math

import keras
from keras import ops

from vaekit.backend import tfd, tfp
from vaekit.batches import check_counts
from vaekit.layers.density import Density, Events, event_axes
from vaekit.layers.distribution import pixelwise
from vaekit.layers.likelihoods.discretized import Discretized, centre, level
from vaekit.layers.likelihoods.discretized_logistic import DiscretizedLogisticDistribution
from vaekit.layers.likelihoods.support import check_range, clip


class DiscretizedLogisticMixtureDistribution(Density):
    r"""The channels of one pixel: a mixture of discretized logistics, each channel given those before it.

    $P(x) = \sum_i \pi_i \prod_c P(x_c \mid \mu_{ic} + \sum_{c' < c} \alpha_{icc'} (x_{c'} - \tfrac12), s_{ic})$: all
    channels come from one component i, whose means for green and blue move with the red and green that are there.

    `mean()` puts the means of the channels before into each channel's own, which is exact for one channel.

    Args:
        logits: of π `[..., K]`.
        loc: μ `[..., K, C]`, 0 to 1 being the range of the data.
        log_scale: log s `[..., K, C]`.
        coefficients: α `[..., K, C (C − 1) / 2]`, by channel: green on red; blue on red, blue on green; None if C = 1.
        bins: number of bins.

    Source: Salimans et al. 2017, section 2.1 and 2.2, for values x from 0 to 1 instead of −1 to 1.
    """

    def __init__(self, logits, loc, log_scale, coefficients=None, bins=256):
        logits, loc, log_scale = (ops.convert_to_tensor(t) for t in (logits, loc, log_scale))
        super().__init__(logits=logits, loc=loc, log_scale=log_scale, coefficients=coefficients, bins=bins)
        self.channels = loc.shape[-1]

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        return event_axes(logits=1, loc=2, log_scale=2, coefficients=2)

    def _event_shape(self):
        return (self.channels,)

    def _log_prob(self, x):
        x = centre(level(x, self.bins), self.bins)[..., None, :]  # [..., 1, C]
        log_prob = ops.log_softmax(self.logits)  # [..., K]
        for c in range(self.channels):
            loc = _channel_loc(self.loc, self.coefficients, x[..., :c])
            log_prob += DiscretizedLogisticDistribution(loc, self.log_scale[..., c], self.bins).log_prob(x[..., c])
        return ops.logsumexp(log_prob, axis=-1)

    def _sample_n(self, n, seed=None):
        seeds = tfp.random.split_seed(seed, 1 + self.channels)
        components = tfd.Categorical(self.logits).sample(n, seeds[0])
        choice = ops.one_hot(components, self.logits.shape[-1], dtype=self.dtype)  # [n, ..., K]
        loc, log_scale, coefficients = (
            None if t is None else ops.sum(choice[..., None] * t, axis=-2)  # [n, ..., C]
            for t in (self.loc, self.log_scale, self.coefficients)
        )
        x = log_scale[..., :0]
        for c in range(self.channels):
            p = DiscretizedLogisticDistribution(_channel_loc(loc, coefficients, x), log_scale[..., c], self.bins)
            x = ops.concatenate([x, p.sample(seed=seeds[1 + c])[..., None]], axis=-1)  # [n, ..., c + 1]
        return x

    def _mean(self):
        x = self.loc[..., :0]  # [..., K, c]
        for c in range(self.channels):
            p = DiscretizedLogisticDistribution(
                _channel_loc(self.loc, self.coefficients, x), self.log_scale[..., c], self.bins
            )
            x = ops.concatenate([x, p.mean()[..., None]], axis=-1)  # [..., K, c + 1]
        return ops.sum(ops.softmax(self.logits)[..., None] * x, axis=-2)


def _channel_loc(loc, coefficients, before):
    # μ_c + Σ_{c' < c} α_cc' (x_c' − ½), with the c channels before `[..., c]`
    c = before.shape[-1]
    if c == 0:
        return loc[..., 0]
    rows = slice(c * (c - 1) // 2, c * (c + 1) // 2)
    return loc[..., c] + ops.sum(coefficients[..., rows] * (before - 0.5), axis=-1)


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
        check_counts(type(self).__name__, components=components)
        self.components = int(components)
        self.log_scale_range = check_range(self, "log_scale_range", log_scale_range)

    def parameter_shapes(self):
        *spatial, channels = self.event_shape
        numbers = {"logits": 1, "mean": channels, "log_scale": channels, "coefficients": math.comb(channels, 2)}
        return {name: (*spatial, n * self.components) for name, n in numbers.items() if n}

    @pixelwise
    def distribution(self, logits, mean, log_scale, coefficients=None):
        def by_component(parameter):  # [B, ..., K·n] to [B, ..., K, n]
            *spatial, n = parameter.shape[1:]
            return ops.reshape(parameter, (-1, *spatial, self.components, n // self.components))

        pixels = DiscretizedLogisticMixtureDistribution(
            logits,
            0.5 + by_component(mean),
            clip(by_component(log_scale), self.log_scale_range),
            None if coefficients is None else ops.tanh(by_component(coefficients)),
            self.bins,
        )
        return Events(pixels, reinterpreted_batch_ndims=len(self.event_shape) - 1)

    def get_config(self):
        return {
            **super().get_config(),
            "components": self.components,
            "log_scale_range": self.log_scale_range,
        }
