"""The importance weighted family: functions of the same log-weights, with a choice of gradients."""

import keras
from keras import ops

from vaekit.batches import check_counts
from vaekit.objectives.base import (
    Objective,
    check_gradient,
    log_mean_exp,
    reconstructions,
    report,
    require_reparameterized,
    same_noise,
    sampled_kl,
)


@keras.saving.register_keras_serializable("vaekit")
class MIWAE(Objective):
    r"""Multiply importance weighted bound: the mean of M independent IWAE bounds of K samples each, in nats.

    $\mathcal L_{M,K}(x) = \mathbb E \frac1M \sum_m \log \frac1K \sum_k w_{mk}$, $w = p(x, z) / q(z|x)$. With M = 1 it
    is `IWAE`; with K = 1 it is `ELBO` with M samples. In between, at equal M K, the encoder's
    gradient has a larger signal-to-noise ratio than IWAE's.

    Args:
        groups: M.
        samples: K, samples of z in each group.
        beta: weight of log p(z) − log q(z|x) in the loss's log-weights.
        gradient: of the encoder. `"pathwise"`: as backpropagation gives it; `"stl"`: without the score of q (biased if
            K > 1); `"dreg"`: doubly reparameterized, unbiased, with a signal-to-noise ratio that does not fall with K.

    Raises:
        ValueError: for a posterior that cannot be reparameterized; `"dreg"` for a subclass with a `bound` of its own
            that has not its own `shares`.

    Source: Rainforth et al. 2018, section 4; Roeder et al. 2017 (`"stl"`); Tucker et al. 2019, eq. 8 (`"dreg"`).
    """

    def __init__(self, groups, samples, beta=1.0, gradient="pathwise"):
        super().__init__(samples, beta)
        check_counts(type(self).__name__, groups=groups)
        self.groups = int(groups)
        self.gradient = check_gradient(self, gradient, ("pathwise", "stl", "dreg"))
        bounds, shares = (next(c for c in type(self).__mro__ if name in vars(c)) for name in ("bound", "shares"))
        if self.separate_gradients and not issubclass(shares, bounds):
            other = "" if isinstance(self, PIWAE) else ', or use gradient="pathwise" or "stl"'
            raise ValueError(
                f"{bounds.__name__} has a bound of its own, but its gradient would be made of the shares of "
                f"{shares.__name__}, which belong to another bound. Define shares(log_weights, beta), too{other}."
            )

    def __call__(self, model, data, step, training):
        beta, samples = self.weight(step), self.groups * self.samples  # M·K
        if self.separate_gradients:
            seed, noise_again = same_noise(model)  # the same samples for both sides
            trace = model.trace(data, samples, training, detach=True, frozen="q", seed=seed)
            with noise_again:
                path = model.trace(data, samples, training, frozen="pq" if self.gradient == "dreg" else "p", seed=seed)
            require_reparameterized(path, type(self).__name__)
            # the score of q counts β times the weight of its latent
            generative, inference = self.shares(ops.stop_gradient(trace.weighted(beta)), beta * self._weight(trace))
            loss = -ops.sum(generative * trace.weighted(beta) + inference * path.weighted(beta), axis=0)  # [B]
            # which has the gradients; the value is the bound's, so that callbacks may watch val_loss
            loss = loss + ops.stop_gradient(-self.bound(trace.weighted(beta)) - loss)
        else:
            trace = model.trace(data, samples, training, frozen="q" if self.gradient == "stl" else "")
            require_reparameterized(trace, type(self).__name__)
            loss = -self.bound(trace.weighted(beta))  # [B]
        return loss, report(self.bound(trace.log_weights()), reconstructions(trace), sampled_kl(trace))

    def _weight(self, trace):
        """The weight of the latents, of which `"dreg"` needs one for all."""
        weights = {trace.weights.get(name, 1.0) for name in trace.log_q}
        if self.gradient == "dreg" and len(weights) > 1:
            raise ValueError(
                f'gradient="dreg" expects one weight for all latents; got {trace.weights}. Use gradient="pathwise".'
            )
        return min(weights)

    @property
    def separate_gradients(self):
        """Whether p and q have separate gradients, weighted by `shares`."""
        return self.gradient == "dreg"

    def bound(self, log_weights):
        """The bound `[B]` from log-weights `[M·K, B]`."""
        grouped = self._grouped(log_weights)  # [M, K, B]
        return ops.mean(log_mean_exp(grouped, axis=1), axis=0)  # log 1/K Σ w, mean over m

    def shares(self, log_weights, beta=1.0):
        r"""Weights each log-weight's gradient, for p and for the samples' path to q: two tensors `[M·K, B]`.

        $\hat w = w / \sum_k w$ for p. For the path $(1 - \beta) \hat w + \beta \hat w^2$: the score of q, which counts
        $-\beta \hat w$, is itself reparameterized to $-\beta (\hat w - \hat w^2)$ along the path.
        """
        share = ops.softmax(self._grouped(log_weights), axis=1)  # w_mk / Σ_k w_mk, [M, K, B]
        path = (1 - beta) * share + beta * share**2
        return tuple(ops.reshape(s / self.groups, ops.shape(log_weights)) for s in (share, path))

    def _grouped(self, log_weights):
        return ops.reshape(log_weights, (self.groups, self.samples, -1))  # [M, K, B]

    def get_config(self):
        return {**super().get_config(), "groups": self.groups, "gradient": self.gradient}


@keras.saving.register_keras_serializable("vaekit")
class IWAE(MIWAE):
    r"""Importance weighted bound $\mathcal L_k(x) = \mathbb E \log \frac1k \sum_i \frac{p(x, z_i)}{q(z_i|x)}$, in nats.

    $\mathcal L_1$ is the ELBO; $\mathcal L_k$ rises with k towards log p(x). There is no closed form of its KL, since
    the logarithm of the mean weight does not split into reconstruction and KL.

    Args:
        samples: k.
        beta: weight of log p(z) − log q(z|x) in the loss's log-weights.
        gradient: as for `MIWAE`.

    Source: Burda et al. 2016, eq. 8.
    """

    def __init__(self, samples=1, beta=1.0, gradient="pathwise"):
        super().__init__(1, samples, beta, gradient)

    def get_config(self):
        return {name: value for name, value in super().get_config().items() if name != "groups"}


@keras.saving.register_keras_serializable("vaekit")
class CIWAE(IWAE):
    r"""Combination $\alpha\,\mathrm{ELBO} + (1 - \alpha)\,\mathcal L_k$ from the same k samples, in nats.

    Args:
        samples: k.
        elbo_weight: α in [0, 1].
        beta, gradient: as for `MIWAE`.

    Raises:
        ValueError: α outside [0, 1], and as for `MIWAE`.

    Source: Rainforth et al. 2018, section 4 (there β is this α).
    """

    def __init__(self, samples, elbo_weight=0.5, beta=1.0, gradient="pathwise"):
        super().__init__(samples, beta, gradient)
        if not 0 <= elbo_weight <= 1:
            raise ValueError(f"CIWAE expects elbo_weight in [0, 1]; received {elbo_weight!r}.")
        self.elbo_weight = float(elbo_weight)

    def bound(self, log_weights):
        return self._mixed(ops.mean(log_weights, axis=0), super().bound(log_weights))

    def shares(self, log_weights, beta=1.0):
        return tuple(self._mixed(1 / self.samples, share) for share in super().shares(log_weights, beta))

    def _mixed(self, elbo, iwae):
        return self.elbo_weight * elbo + (1 - self.elbo_weight) * iwae

    def get_config(self):
        return {**super().get_config(), "elbo_weight": self.elbo_weight}


@keras.saving.register_keras_serializable("vaekit")
class PIWAE(MIWAE):
    r"""Partially importance weighted: p ascends $\mathcal L_{MK}$, the tighter bound, q ascends $\mathcal L_{M,K}$.

    The reported bound is p's, IWAE with M·K samples.

    Args:
        groups, samples, beta: as for `MIWAE`.
        gradient: `"pathwise"` or `"dreg"`.

    Source: Rainforth et al. 2018, section 4.
    """

    separate_gradients = True

    def __init__(self, groups, samples, beta=1.0, gradient="pathwise"):
        super().__init__(groups, samples, beta, check_gradient(self, gradient, ("pathwise", "dreg")))

    def bound(self, log_weights):
        return log_mean_exp(log_weights, axis=0)

    def shares(self, log_weights, beta=1.0):
        pathwise, dreg = super().shares(log_weights, beta)
        return ops.softmax(log_weights, axis=0), dreg if self.gradient == "dreg" else pathwise


@keras.saving.register_keras_serializable("vaekit")
class VIMCO(Objective):
    r"""The importance weighted bound $\mathcal L_k$ of latents of any kind, discrete ones too, in nats.

    Its gradient in q is the score function's, with a baseline from the other samples (variational inference for Monte
    Carlo objectives): $\sum_i (\mathcal L_k - \mathcal L_k^{(-i)})\, \nabla \log q(z_i|x) + \sum_i \hat w_i \nabla
    \log w_i$, where $\mathcal L_k^{(-i)}$ has, for log w_i, the mean of the others' logarithms.

    Args:
        samples: k, at least 2.
        beta: weight of log p(z) − log q(z|x) in the loss's log-weights.

    Raises:
        ValueError: a single sample, which has no others: `ELBO(gradient="score_function")` is the same without a
            baseline.

    Source: Mnih & Rezende 2016, eqs. 7 to 10.
    """

    def __init__(self, samples=5, beta=1.0):
        super().__init__(samples, beta)
        if self.samples < 2:
            raise ValueError(
                "VIMCO expects at least 2 samples, each one's baseline being the others; one is enough for "
                'ELBO(gradient="score_function").'
            )

    def __call__(self, model, data, step, training):
        trace = model.trace(data, self.samples, training, detach=True)
        log_w = trace.weighted(self.weight(step))  # [k, B]
        log_q = sum(trace.log_q.values())  # [k, B]
        bound = log_mean_exp(log_w, axis=0)  # [B]
        signal = ops.stop_gradient(bound[None] - self._without_each(log_w))  # [k, B]
        score = ops.sum(signal * (log_q - ops.stop_gradient(log_q)), axis=0)  # of value zero, [B]
        terms = report(log_mean_exp(trace.log_weights(), axis=0), reconstructions(trace), sampled_kl(trace))
        return -(bound + score), terms

    def _without_each(self, log_w):
        """The bound without each sample in turn, `[k, B]`: the mean of the others' logarithms stands in for its own."""
        k = self.samples
        others = (ops.sum(log_w, axis=0, keepdims=True) - log_w) / (k - 1)  # [k, B]
        replaced = ops.where(ops.eye(k, dtype="bool")[:, :, None], others[:, None], log_w[None])  # [k, k, B]
        return log_mean_exp(replaced, axis=1)
