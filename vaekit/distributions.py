"""Distributions that TFP lacks. Those of likelihoods stand beside their layers, in `vaekit.layers.likelihoods`."""

import math

from keras import ops

from vaekit import backend
from vaekit.backend import tfd, tfp
from vaekit.layers.density import Density, Events, Mean, event_axes
from vaekit.layers.likelihoods.bitwise_categorical import BitwiseCategoricalDistribution as BitwiseCategorical
from vaekit.layers.likelihoods.categorical import CategoricalDistribution as Categorical
from vaekit.layers.likelihoods.categorical_labels import Labels
from vaekit.layers.likelihoods.discretized import centre, level
from vaekit.layers.likelihoods.discretized_logistic import DiscretizedLogisticDistribution as DiscretizedLogistic
from vaekit.layers.likelihoods.discretized_logistic_mixture import (
    DiscretizedLogisticMixtureDistribution as DiscretizedLogisticMixture,
)
from vaekit.layers.likelihoods.masked import Observed
from vaekit.layers.likelihoods.multivariate_normal import FullNormal
from vaekit.layers.likelihoods.normal import OptimalNormal, soft_clip

__all__ = [
    "BitwiseCategorical",
    "Categorical",
    "DiscretizedLogistic",
    "DiscretizedLogisticMixture",
    "Events",
    "FullNormal",
    "Labels",
    "Mean",
    "NormalMixture",
    "Observed",
    "OptimalNormal",
    "centre",
    "level",
    "soft_clip",
]


class NormalMixture(Density):
    r"""Mixture of diagonal normals, $p(z) = \sum_k \pi_k\, \mathcal N(z; \mu_k, \mathrm{diag}\,\sigma_k^2)$.

    Its batch shape is `[]`: it is one distribution, such as a prior. `log_prob` of N values takes memory O(N K): a
    product of matrices `[N, 2 D + 1]` and `[2 D + 1, K]`, see `_log_joint`, in float64.

    Args:
        loc: μ `[K, *event]`.
        scale: σ `[K, *event]`.
        logits: of π `[K]`; None: uniform, 1/K each.
    """

    def __init__(self, loc, scale, logits=None):
        loc, scale = ops.convert_to_tensor(loc), ops.convert_to_tensor(scale)
        logits = ops.zeros(loc.shape[:1], loc.dtype) if logits is None else ops.convert_to_tensor(logits)
        super().__init__(loc=loc, scale=scale, logits=logits)

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        whole = dict.fromkeys(("loc", "scale"), lambda self: len(self.loc.shape))
        return event_axes(**whole, logits=1)

    def _event_shape(self):
        return self.loc.shape[1:]

    def _log_prob(self, z):
        rows = [
            ops.reshape(t, (-1, math.prod(self.loc.shape[1:]))) for t in (z, self.loc, self.scale)
        ]  # [N, D], [K, D]
        log_joint = backend.in_float64(_log_joint)(*rows, self.logits)  # [N, K]
        return ops.reshape(ops.logsumexp(log_joint, axis=-1), ops.shape(z)[: len(z.shape) - len(self.loc.shape) + 1])

    def _sample_n(self, n, seed=None):
        component_seed, normal_seed = tfp.random.split_seed(seed, 2)
        # Drawn as floats: TensorFlow's transpose of integers complains on stderr where a CPU has no AVX-512.
        k = tfd.Categorical(self.logits, dtype=self.logits.dtype).sample(n, component_seed)  # [n]
        k = ops.cast(k, "int32")
        loc, scale = ops.take(self.loc, k, axis=0), ops.take(self.scale, k, axis=0)  # [n, *event]
        return tfd.Normal(loc, scale).sample(seed=normal_seed)

    def _mean(self):
        return ops.tensordot(ops.softmax(self.logits), self.loc, axes=1)

    def _default_event_space_bijector(self):
        return tfp.bijectors.Identity()  # z is unconstrained: HMC may follow the gradient


def _log_joint(z, loc, scale, logits):
    r"""$\log \pi_k + \log \mathcal N(z_n; \mu_k, \mathrm{diag}\,\sigma_k^2)$ `[N, K]`, as one product of matrices.

    A normal is an exponential family: with the statistics $t(z) = (z^2, z, 1)$ and the parameters
    $\eta_k = (-\frac{1}{2 \sigma_k^2}, \frac{\mu_k}{\sigma_k^2}, \log \pi_k - \sum_d \frac{\mu_{kd}^2}{2 \sigma_{kd}^2}
    + \log \sigma_{kd} + \frac12 \log 2 \pi)$ it is $t(z_n) \cdot \eta_k$. This sum cancels: near μ its terms are
    (μ/σ)² times as large as itself, which is why its value needs float64. In float32 its gradients are exact to about
    10⁻⁷ |μ/σ|, and to 10⁻⁷ (μ/σ)² by σ: at |μ| = 3 and σ = 0.05, 10⁻⁵ and 4 · 10⁻⁴ of the largest entry. Here μ
    counts from the components' centre, so that the place of the whole mixture does not matter.

    Args:
        z: `[N, D]`.
        loc, scale: `[K, D]`.
        logits: of π `[K]`.
    """
    centre = ops.stop_gradient(ops.mean(loc, axis=0))  # the density is the same for every centre
    z, loc = z - centre, loc - centre
    precision = 1 / ops.square(scale)
    constant = ops.log_softmax(logits) - ops.sum(
        ops.square(loc) * precision / 2 + ops.log(scale) + math.log(2 * math.pi) / 2, axis=1
    )  # [K]
    statistics = ops.concatenate([ops.square(z), z, ops.ones_like(z[:, :1])], axis=1)  # [N, 2 D + 1]
    parameters = ops.concatenate([-precision / 2, loc * precision, constant[:, None]], axis=1)  # [K, 2 D + 1]
    return ops.matmul(statistics, ops.transpose(parameters))  # [N, K]
