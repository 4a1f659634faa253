"""Bytes from a logistic distribution in bins."""

import keras
from keras import ops

from vaekit.backend import tfd
from vaekit.layers.density import Density, event_axes
from vaekit.layers.distribution import pixelwise
from vaekit.layers.likelihoods.discretized import Discretized, centre, level
from vaekit.layers.likelihoods.support import check_range, clip


class DiscretizedLogisticDistribution(Density):
    r"""The logistic distribution with mean μ and scale s, in bins: with $a_k = (k / \mathrm{bins} - \mu) / s$,
    $P(k) = \sigma(a_{k+1}) - \sigma(a_k)$, where the first and the last bin take the tails: $a_0 = -\infty$,
    $a_\mathrm{bins} = \infty$.

    Exact however far the tails, from
    $\sigma(b) - \sigma(a) = \sigma(b)\,\sigma(-a)\,(1 - e^{a - b})$.

    Args:
        loc: μ `[...]`, 0 to 1 being the range of the data.
        log_scale: log s `[...]`.
        bins: number of bins.
        edges: False leaves the tails beyond [0, 1] out of every bin, so that the sum over bins is less than one.

    Source: Kingma et al. 2016, appendix; Salimans et al. 2017, eq. 2; Tomczak & Welling 2018 (without edges).
    """

    def __init__(self, loc, log_scale, bins=256, edges=True):
        loc, log_scale = ops.convert_to_tensor(loc), ops.convert_to_tensor(log_scale)
        super().__init__(loc=loc, log_scale=log_scale, bins=bins, edges=edges)

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        return event_axes(loc=0, log_scale=0)

    def _log_prob(self, x):
        k = level(x, self.bins)
        width = ops.exp(-self.log_scale) / self.bins
        a = (k - self.bins * self.loc) * width
        below, above = ops.softplus(-(a + width)), ops.softplus(a)  # −log σ(a_{k+1}), −log σ(−a_k)
        inside = ops.log(-ops.expm1(-width)) + ops.zeros_like(a)
        if not self.edges:
            return inside - below - above
        first, last = k == 0, k == self.bins - 1
        return ops.where(first | last, 0.0, inside) - ops.where(last, 0.0, below) - ops.where(first, 0.0, above)

    def _sample_n(self, n, seed=None):
        return centre(level(tfd.Logistic(self.loc, ops.exp(self.log_scale)).sample(n, seed), self.bins), self.bins)

    def _mean(self):
        # E[k] = Σ_{j ≥ 1} P(k ≥ j) = Σ_j σ((μ − j / bins) / s)
        def add(j, total):
            return total + ops.sigmoid((self.loc - ops.cast(j, self.dtype) / self.bins) * ops.exp(-self.log_scale))

        return centre(ops.fori_loop(1, self.bins, add, ops.zeros_like(self.loc + self.log_scale)), self.bins)


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
        return self.independent(DiscretizedLogisticDistribution(mean, log_scale, self.bins, self.edges))

    def get_config(self):
        ranges = {"log_scale_range": self.log_scale_range, "mean_range": self.mean_range}
        return {**super().get_config(), **ranges, "edges": self.edges}
