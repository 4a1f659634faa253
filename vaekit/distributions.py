r"""Distributions that TFP lacks: of bytes, with missing entries, a normal with the best σ, a mixture of normals.

Bytes, and other values in a fixed number of bins, are numbers x in [0, 1] here. The bin of x is
$k = \min(\lfloor x \cdot \mathrm{bins} \rfloor, \mathrm{bins} - 1)$, so that k / (bins − 1) and (k + ½) / bins mean the
same; samples are centres (k + ½) / bins. `log_prob(x)` is that of the bin of x, and sums to one over the bins.
"""

import math

import numpy as np
from keras import ops

from vaekit import backend
from vaekit.backend import tfd, tfp


def level(x, bins):
    """The bin k of x, as a float."""
    return ops.clip(ops.floor(x * bins), 0, bins - 1)


def centre(k, bins):
    """The middle of bin k."""
    return (ops.cast(k, "float32") + 0.5) / bins


def soft_clip(log_scale, low):
    r"""$\mathrm{low} + \mathrm{softplus}(\log\sigma - \mathrm{low})$, a smooth bound from below; None: no bound.

    Source: Rybkin et al. 2021, section 4.
    """
    return log_scale if low is None else low + ops.softplus(log_scale - low)


class _Distribution(tfd.Distribution):
    """What TFP wants to hear of every distribution, said once; a subclass gives its parameters by name, a tensor first,
    finds them as attributes, and tells their event axes in `_parameter_properties`."""

    def __init__(self, **parameters):
        for name, value in parameters.items():
            setattr(self, name, value)
        dtype = next(iter(parameters.values())).dtype
        super().__init__(dtype, tfd.NOT_REPARAMETERIZED, False, True, parameters=parameters)

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        raise NotImplementedError

    def _event_shape(self):
        return ()

    def _event_shape_tensor(self):
        return ops.convert_to_tensor(self._event_shape(), "int32")


def _event_axes(**counts):
    """TFP's parameter properties: how many of each parameter's last axes belong to one event; the rest is batch."""
    return {name: tfp.util.ParameterProperties(event_ndims=n) for name, n in counts.items()}


class Mean:
    """As an array, a distribution is its mean: what `predict` of a network that ends in it returns."""

    def __array__(self, dtype=None, copy=None):
        try:
            mean = ops.convert_to_numpy(self.mean())
        except Exception as error:  # parts that TFP does not know, out of the program that has made them
            raise TypeError(
                f"A distribution ({self.name}) has no mean that could leave this program. Call model.encode(x) or "
                "model.decode(z), or network(x).mean(), instead of network.predict(x)."
            ) from error
        return np.asarray(mean, dtype)


@backend.converts_to_mean
class Events(Mean, tfd.Independent):
    """`tfd.Independent` parts of one event."""


@backend.converts_to_mean
class FullNormal(Mean, tfd.MultivariateNormalTriL):
    """`tfd.MultivariateNormalTriL`, a normal distribution with full covariance."""


class DiscretizedLogistic(_Distribution):
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
        return _event_axes(loc=0, log_scale=0)

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


class Categorical(_Distribution):
    r"""A probability of its own for each bin: $P(k) = \mathrm{softmax}(a)_k$.

    Args:
        logits: a `[..., bins]`.
    """

    def __init__(self, logits):
        super().__init__(logits=ops.convert_to_tensor(logits))
        self.bins = self.logits.shape[-1]

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        return _event_axes(logits=1)

    def _log_prob(self, x):
        return tfd.Categorical(self.logits).log_prob(ops.cast(level(x, self.bins), "int32"))

    def _sample_n(self, n, seed=None):
        return centre(tfd.Categorical(self.logits).sample(n, seed), self.bins)

    def _mean(self):
        return ops.sum(ops.softmax(self.logits) * centre(ops.arange(self.bins, dtype="int32"), self.bins), axis=-1)


class BitwiseCategorical(_Distribution):
    r"""The bin's binary digits, $k = \sum_i b_i 2^i$, each a Bernoulli of its own: $P(k) = \prod_i P(b_i)$.

    Args:
        logits: of the digits `[..., bits]`, lowest first; there are 2^bits bins.

    Source: Rybkin et al. 2021, section 3.
    """

    def __init__(self, logits):
        super().__init__(logits=ops.convert_to_tensor(logits))
        self.bins = 2 ** self.logits.shape[-1]
        self.values = 2.0 ** ops.arange(self.logits.shape[-1], dtype="float32")  # 2^i

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        return _event_axes(logits=1)

    def _log_prob(self, x):
        digits = ops.floor(level(x, self.bins)[..., None] / self.values) % 2
        return ops.sum(tfd.Bernoulli(self.logits, dtype=self.dtype).log_prob(digits), axis=-1)

    def _sample_n(self, n, seed=None):
        digits = tfd.Bernoulli(self.logits, dtype=self.dtype).sample(n, seed)
        return centre(ops.sum(digits * self.values, axis=-1), self.bins)

    def _mean(self):
        return centre(ops.sum(ops.sigmoid(self.logits) * self.values, axis=-1), self.bins)


class DiscretizedLogisticMixture(_Distribution):
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
        return _event_axes(logits=1, loc=2, log_scale=2, coefficients=2)

    def _event_shape(self):
        return (self.channels,)

    def _log_prob(self, x):
        x = centre(level(x, self.bins), self.bins)[..., None, :]  # [..., 1, C]
        log_prob = ops.log_softmax(self.logits)  # [..., K]
        for c in range(self.channels):
            loc = _channel_loc(self.loc, self.coefficients, x[..., :c])
            log_prob += DiscretizedLogistic(loc, self.log_scale[..., c], self.bins).log_prob(x[..., c])
        return ops.logsumexp(log_prob, axis=-1)

    def _sample_n(self, n, seed=None):
        seeds = tfp.random.split_seed(seed, 1 + self.channels)
        components = tfd.Categorical(self.logits).sample(n, seeds[0])
        choice = ops.one_hot(components, self.logits.shape[-1], dtype=self.dtype)  # [n, ..., K]
        loc, log_scale, coefficients = (
            None if t is None else ops.sum(choice[..., None] * t, axis=-2)
            for t in (self.loc, self.log_scale, self.coefficients)
        )
        x = log_scale[..., :0]
        for c in range(self.channels):
            p = DiscretizedLogistic(_channel_loc(loc, coefficients, x), log_scale[..., c], self.bins)
            x = ops.concatenate([x, p.sample(seed=seeds[1 + c])[..., None]], axis=-1)
        return x

    def _mean(self):
        x = self.loc[..., :0]  # [..., K, c]
        for c in range(self.channels):
            p = DiscretizedLogistic(_channel_loc(self.loc, self.coefficients, x), self.log_scale[..., c], self.bins)
            x = ops.concatenate([x, p.mean()[..., None]], axis=-1)
        return ops.sum(ops.softmax(self.logits)[..., None] * x, axis=-2)


def _channel_loc(loc, coefficients, before):
    # μ_c + Σ_{c' < c} α_cc' (x_c' − ½), with the c channels before `[..., c]`
    c = before.shape[-1]
    if c == 0:
        return loc[..., 0]
    rows = slice(c * (c - 1) // 2, c * (c + 1) // 2)
    return loc[..., c] + ops.sum(coefficients[..., rows] * (before - 0.5), axis=-1)


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
        own = {"axes": axes, "soft_clip": soft_clip, "on_update": on_update}
        self._parameters = self._no_dependency({"loc": loc, "scale": scale, **own})

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        return _event_axes(loc=0, scale=0)

    def _log_prob(self, x):
        variance = ops.mean(ops.square(x - self.loc), axis=self.axes, keepdims=True)
        variance = ops.maximum(backend.mean_over_replicas(variance) if self.axes is None else variance, 1e-12)
        if self.on_update is not None:
            self.on_update(ops.stop_gradient(variance))
        return tfd.Normal(self.loc, ops.exp(soft_clip(ops.log(variance) / 2, self.soft_clip))).log_prob(x)


class Labels(tfd.Categorical):
    """`tfd.Categorical` of labels, which have no mean."""

    def _mean(self):
        raise NotImplementedError("Labels have no mean.")


class Observed(Events):
    """Independent entries, of which those that are NaN do not count.

    Args:
        distribution, reinterpreted_batch_ndims: as for `tfd.Independent`.
        fill: a possible value, which stands where one is missing; no density depends on it.
    """

    def __init__(self, distribution, reinterpreted_batch_ndims, fill=0.0, name="Observed"):
        parameters = dict(locals())
        super().__init__(distribution, reinterpreted_batch_ndims, name=name)
        self._parameters, self.fill = {k: v for k, v in parameters.items() if k != "self"}, fill

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        return tfd.Independent._parameter_properties(dtype, num_classes)

    def _log_prob(self, x):
        missing = ops.isnan(x)
        # no NaN enters the density: a product with 0 would leave it in the gradient
        log_prob = self.distribution.log_prob(ops.where(missing, ops.cast(self.fill, x.dtype), x))
        inner, outer = len(self.distribution.event_shape), len(self.event_shape)
        if inner:
            missing = ops.any(missing, axis=tuple(range(-inner, 0)))
        log_prob = ops.where(missing, ops.zeros_like(log_prob), log_prob)
        return ops.sum(log_prob, axis=tuple(range(inner - outer, 0))) if outer > inner else log_prob


@tfd.RegisterKL(tfd.MultivariateNormalTriL, tfd.Independent)
@tfd.RegisterKL(tfd.Independent, tfd.MultivariateNormalTriL)
def _kl_of_normals(a, b, name=None):
    """KL(a ‖ b) of normals, of which one has a full covariance and the other independent entries."""
    return tfd.kl_divergence(_multivariate(a), _multivariate(b))


def _multivariate(p):
    if not isinstance(p, tfd.Independent):
        return p
    if type(p.distribution) is not tfd.Normal or len(p.event_shape) != 1:
        raise NotImplementedError(f"No closed form of the KL to a distribution like {p.name}.")
    loc = p.distribution.loc
    return tfd.MultivariateNormalDiag(loc, p.distribution.scale * ops.ones_like(loc))


class NormalMixture(_Distribution):
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
        return _event_axes(**whole, logits=1)

    def _event_shape(self):
        return self.loc.shape[1:]

    def _log_prob(self, z):
        rows = [ops.reshape(t, (-1, math.prod(self.loc.shape[1:]))) for t in (z, self.loc, self.scale)]
        log_joint = backend.in_float64(_log_joint)(*rows, self.logits)  # [N, K]
        return ops.reshape(ops.logsumexp(log_joint, axis=-1), ops.shape(z)[: len(z.shape) - len(self.loc.shape) + 1])

    def _sample_n(self, n, seed=None):
        which, where = tfp.random.split_seed(seed, 2)
        k = tfd.Categorical(self.logits).sample(n, which)
        return tfd.Normal(ops.take(self.loc, k, axis=0), ops.take(self.scale, k, axis=0)).sample(seed=where)

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
    10⁻⁷ |μ/σ|, and to 10⁻⁷ (μ/σ)² by σ: at |μ| = 3 and σ = 0.05, 10⁻⁵ and 4 · 10⁻³ of the largest entry. Here μ
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
    )
    statistics = ops.concatenate([ops.square(z), z, ops.ones_like(z[:, :1])], axis=1)  # [N, 2 D + 1]
    parameters = ops.concatenate([-precision / 2, loc * precision, constant[:, None]], axis=1)  # [K, 2 D + 1]
    return ops.matmul(statistics, ops.transpose(parameters))
