r"""Training objectives: functions of the log-densities of a model at samples of its posterior.

An objective asks the model for a `Trace` (samples z ~ q(z|x) and every log-density at them) and returns, for each
example, the loss to descend and the terms to report. Reported bounds are always the bound itself, in nats, with
β = 1 and without weight priors; β and warm-up change the loss alone.
"""

import math
from dataclasses import asdict, dataclass
from numbers import Integral

import keras
from keras import ops

from vaekit import backend
from vaekit.backend import tfd


@keras.saving.register_keras_serializable("vaekit")
@dataclass
class WarmUp:
    r"""Linear warm-up of β: from `start` to `end` over the first `steps` training steps, then constant.

    The number of steps taken so far is a weight of the model, saved with it.

    Args:
        steps: number of gradient steps; for `e` epochs of N examples, e · ⌈N / batch_size⌉.

    Source: Bowman et al. 2016; Sønderby et al. 2016.
    """

    steps: int
    start: float = 0.0
    end: float = 1.0

    def __post_init__(self):
        if not self.steps > 0:
            raise ValueError(f"WarmUp expects a positive number of steps; received {self.steps!r}.")

    def __call__(self, step):
        progress = ops.minimum(ops.cast(step, "float32") / self.steps, 1.0)
        return self.start + (self.end - self.start) * progress

    def get_config(self):
        return asdict(self)

    @classmethod
    def from_config(cls, config):
        return cls(**config)


class Objective:
    """Base of all objectives; a subclass defines `__call__`.

    Args:
        samples: S (or k), samples of z for each example.
        beta: weight of the KL term in the loss: a number, or a function of the step such as `WarmUp`.
    """

    def __init__(self, samples=1, beta=1.0):
        if not (isinstance(samples, Integral) and samples >= 1):
            raise ValueError(f"{type(self).__name__} expects samples to be an integer of at least 1; got {samples!r}.")
        if not callable(beta) and not beta >= 0:
            raise ValueError(f"{type(self).__name__} expects beta to be at least 0, or a schedule; got {beta!r}.")
        self.samples = int(samples)
        self.beta = beta

    def __call__(self, model, data, step, training):
        """Loss and terms of a batch.

        Args:
            model: a `LatentVariableModel`.
            data: dict of observed arrays `[B, ...]`.
            step: scalar, training steps taken so far.
            training: whether layers such as dropout are in training mode.

        Returns: loss `[B]`, and a dict of named terms `[B]` in nats, among them `"bound"`.
        """
        raise NotImplementedError

    def terms(self, model):
        """Names of the terms that `__call__` returns for this model, in the order of the progress bar."""
        latents = [f"kl_{name}" for name in model.latents] if len(model.latents) > 1 else []
        return ["bound", "reconstruction", "kl", *latents]

    def weight(self, step):
        """β at this step."""
        return self.beta(step) if callable(self.beta) else self.beta

    def get_config(self):
        return {"samples": self.samples, "beta": keras.saving.serialize_keras_object(self.beta)}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "beta": keras.saving.deserialize_keras_object(config["beta"])})


def _reconstruction(trace, model):
    return sum(trace.log_p[name] for name in model.observed)  # log p(x|z_s), [S, B]


def _report(bound, reconstruction, kl):
    """Terms `[B]` from a bound `[B]`, reconstructions `[S, B]`, and KL divergences `[S, B]` or `[1, B]` by latent."""
    kl = {name: ops.mean(value, axis=0) for name, value in kl.items()}
    per_latent = {f"kl_{name}": value for name, value in kl.items()} if len(kl) > 1 else {}
    return {"bound": bound, "reconstruction": ops.mean(reconstruction, axis=0), "kl": sum(kl.values()), **per_latent}


def _require_reparameterized(trace, objective):
    for name, q in trace.q.items():
        if q.reparameterization_type != tfd.FULLY_REPARAMETERIZED:
            raise ValueError(
                f"The posterior of {name!r} ({q.name}) cannot be reparameterized, so the pathwise gradient of "
                f'{objective} would ignore part of it. Use ELBO(gradient="score_function"), or a posterior such as '
                "vaekit.layers.DiagonalNormal."
            )


def _sampled_kl(trace):
    # KL(q‖p) ≈ log q(z_s|·) − log p(z_s|·), [S, B], one term a latent
    return {name: trace.log_q[name] - trace.log_p[name] for name in trace.log_q}


@keras.saving.register_keras_serializable("vaekit")
class ELBO(Objective):
    r"""Evidence lower bound $\mathcal L(x) = \mathbb E_{q(z|x)}[\log p(x|z)] - \mathrm{KL}(q(z|x) \| p(z))$, in nats.

    Estimator A draws both terms from the same S samples, and works for every posterior and prior:
    $\frac1S \sum_s \log p(x, z_s) - \log q(z_s|x)$. Estimator B takes the KL in closed form, which TFP has for
    pairs such as two normal distributions.

    Args:
        samples: S, samples of z for each example.
        analytic_kl: False for estimator A, True for estimator B.
        beta: weight of the KL in the loss (β-VAE), a number or a schedule such as `WarmUp`.
        gradient: `"pathwise"`, through z = g(ε, x); `"stl"` (sticking the landing), which drops from it the score of
            q, of mean zero, so that its noise vanishes as q nears the true posterior; or `"score_function"`, with a
            leave-one-out baseline when S > 1, which needs no reparameterization and is noisier.

    Raises:
        ValueError: for a pathwise gradient through a posterior that cannot be reparameterized; with `analytic_kl`,
            when TFP knows no closed form, or when a latent's prior depends on latents that the posterior draws
            after it (no closed form can exist for that order).

    Source: Kingma & Welling 2014, eq. 6 (A) and eq. 7 (B); Higgins et al. 2017 (β); Roeder et al. 2017 (`"stl"`).
    """

    def __init__(self, samples=1, analytic_kl=False, beta=1.0, gradient="pathwise"):
        super().__init__(samples, beta)
        self.gradient = _choice(self, gradient, ("pathwise", "stl", "score_function"))
        self.analytic_kl = bool(analytic_kl)
        if analytic_kl and gradient == "stl":
            raise ValueError(
                'gradient="stl" takes the gradient of log q at samples, which a closed-form KL has not: use '
                'ELBO(analytic_kl=False, gradient="stl"), or gradient="pathwise".'
            )

    def __call__(self, model, data, step, training):
        # closed forms are compared factor by factor: all of them need the same batch, [S·B]
        repeat = self.analytic_kl and len(model.latents) > 1
        score = self.gradient == "score_function"
        frozen = ("q",) if self.gradient == "stl" else ()
        trace = model.trace(data, self.samples, training, repeat, detach=score, frozen_sides=frozen)
        if not score:
            _require_reparameterized(trace, "ELBO")
        reconstruction = _reconstruction(trace, model)
        kl = self._closed_form_kl(trace, model) if self.analytic_kl else _sampled_kl(trace)
        total, beta = sum(kl.values()), self.weight(step)
        terms = _report(ops.mean(reconstruction - total, axis=0), reconstruction, kl)
        objective = reconstruction - beta * total  # what is averaged over the samples, [S, B]
        loss = -ops.mean(objective, axis=0)
        return (loss + self._score(objective, trace) if score else loss), terms

    def _score(self, f, trace):
        """A term of value zero whose gradient is the score function's, −1/S Σ_s (f_s − b_s) ∇ log q(z_s|x).

        The baseline b_s is the mean of the other samples' f, so that it is independent of z_s.
        """
        if self.samples > 1:
            f = f - (ops.sum(f, axis=0) - f) / (self.samples - 1)
        log_q = sum(trace.log_q.values())
        return -ops.mean(ops.stop_gradient(f) * (log_q - ops.stop_gradient(log_q)), axis=0)

    def _closed_form_kl(self, trace, model):
        kl, drawn = {}, set(model.data_names)
        rows = self.samples if len(model.latents) > 1 else 1  # one latent: the same for all its samples
        for factor in model.inference:
            name = factor.name
            prior = next(f for f in model.generative if f.name == name)
            later = [parent for parent in prior.given if parent not in drawn]
            if later:
                raise ValueError(
                    f"No closed-form KL for {name!r}: its prior depends on {later}, which q draws after it. "
                    "Use estimator A: ELBO(analytic_kl=False)."
                )
            try:
                value = tfd.kl_divergence(trace.q[name], trace.p[name])  # [B], or [S·B] with several latents
            except NotImplementedError:
                raise ValueError(
                    f"TFP knows no closed-form KL between the posterior ({trace.q[name].name}) and the prior "
                    f"({trace.p[name].name}) of {name!r}. Use estimator A: ELBO(analytic_kl=False)."
                ) from None
            kl[name] = ops.reshape(value, (rows, -1))
            drawn.add(name)
        return kl

    def get_config(self):
        return {**super().get_config(), "analytic_kl": self.analytic_kl, "gradient": self.gradient}


def _choice(objective, gradient, known):
    if gradient not in known:
        raise ValueError(f"{type(objective).__name__} expects gradient to be one of {known}; received {gradient!r}.")
    return gradient


def _normalized(log_weights, axis):
    return ops.exp(log_weights - ops.logsumexp(log_weights, axis=axis, keepdims=True))


@keras.saving.register_keras_serializable("vaekit")
class MIWAE(Objective):
    r"""Multiply importance weighted bound: the mean of M independent IWAE bounds of K samples each, in nats.

    $\mathcal L_{M,K}(x) = \mathbb E \frac1M \sum_m \log \frac1K \sum_k w_{mk}$, $w = p(x, z) / q(z|x)$. With M = 1 it
    is `IWAE`; with K = 1 it is `ELBO` with M samples. In between the encoder's gradient is less noisy than IWAE's.

    Args:
        groups: M.
        samples: K, samples of z in each group.
        beta: weight of log p(z) − log q(z|x) in the loss's log-weights.
        gradient: of the encoder. `"pathwise"`: as backpropagation gives it; `"stl"`: without the score of q (biased if
            K > 1); `"dreg"`: doubly reparameterized, unbiased, with a signal-to-noise ratio that does not fall with K.

    Raises:
        ValueError: for a posterior that cannot be reparameterized.

    Source: Rainforth et al. 2018, section 4; Roeder et al. 2017 (`"stl"`); Tucker et al. 2019, eq. 8 (`"dreg"`).
    """

    def __init__(self, groups, samples, beta=1.0, gradient="pathwise"):
        super().__init__(samples, beta)
        if not (isinstance(groups, Integral) and groups >= 1):
            raise ValueError(f"{type(self).__name__} expects groups to be an integer of at least 1; got {groups!r}.")
        self.groups = int(groups)
        self.gradient = _choice(self, gradient, ("pathwise", "stl", "dreg"))

    def __call__(self, model, data, step, training):
        beta, total = self.weight(step), self.groups * self.samples
        if self.split:
            noise = backend.seed(model.seed_generator)  # the same samples for both sides
            trace = model.trace(data, total, training, detach=True, frozen_sides=("q",), seed=noise)
            sides = ("p", "q") if self.gradient == "dreg" else ("p",)
            path = model.trace(data, total, training, frozen_sides=sides, seed=noise)
            _require_reparameterized(path, type(self).__name__)
            generative, inference = self.shares(ops.stop_gradient(trace.log_weights(beta)))
            loss = -ops.sum(generative * trace.log_weights(beta) + inference * path.log_weights(beta), axis=0)
        else:
            trace = model.trace(data, total, training, frozen_sides=("q",) if self.gradient == "stl" else ())
            _require_reparameterized(trace, type(self).__name__)
            loss = -self.bound(trace.log_weights(beta))
        return loss, _report(self.bound(trace.log_weights()), _reconstruction(trace, model), _sampled_kl(trace))

    @property
    def split(self):
        """Whether p and q have gradients of their own, which `shares` gives."""
        return self.gradient == "dreg"

    def bound(self, log_weights):
        """The bound `[B]` from log-weights `[M·K, B]`."""
        grouped = self._grouped(log_weights)
        return ops.mean(ops.logsumexp(grouped, axis=1) - math.log(self.samples), axis=0)  # log 1/K Σ w, mean over m

    def shares(self, log_weights):
        """What each log-weight's gradient counts, for p and for the samples' path to q: two tensors `[M·K, B]`."""
        share = _normalized(self._grouped(log_weights), axis=1)  # w_mk / Σ_k w_mk
        return tuple(ops.reshape(s / self.groups, ops.shape(log_weights)) for s in (share, share**2))

    def _grouped(self, log_weights):
        return ops.reshape(log_weights, (self.groups, self.samples, -1))  # [M, K, B]

    def get_config(self):
        return {**super().get_config(), "groups": self.groups, "gradient": self.gradient}


@keras.saving.register_keras_serializable("vaekit")
class IWAE(MIWAE):
    r"""Importance weighted bound $\mathcal L_k(x) = \mathbb E \log \frac1k \sum_i \frac{p(x, z_i)}{q(z_i|x)}$, in nats.

    $\mathcal L_1$ is the ELBO; $\mathcal L_k$ rises with k towards log p(x).

    Args:
        samples: k.
        beta: weight of log p(z) − log q(z|x) in the loss's log-weights.
        gradient: as for `MIWAE`.
        analytic_kl: not to be had, for the logarithm of a sum does not split into reconstruction and KL.

    Source: Burda et al. 2016, eq. 8.
    """

    def __init__(self, samples=1, beta=1.0, gradient="pathwise", analytic_kl=False):
        if analytic_kl:
            raise ValueError(
                "An importance weighted bound has no closed-form KL: the logarithm of the mean weight does not split "
                "into reconstruction and KL. Use IWAE(samples=k), or ELBO(analytic_kl=True)."
            )
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

    Source: Rainforth et al. 2018, section 4 (there β is this α).
    """

    def __init__(self, samples, elbo_weight=0.5, beta=1.0, gradient="pathwise"):
        super().__init__(samples, beta, gradient)
        if not 0 <= elbo_weight <= 1:
            raise ValueError(f"CIWAE expects elbo_weight in [0, 1]; received {elbo_weight!r}.")
        self.elbo_weight = float(elbo_weight)

    def bound(self, log_weights):
        return self._mixed(ops.mean(log_weights, axis=0), super().bound(log_weights))

    def shares(self, log_weights):
        return tuple(self._mixed(1 / self.samples, share) for share in super().shares(log_weights))

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

    split = True

    def __init__(self, groups, samples, beta=1.0, gradient="pathwise"):
        super().__init__(groups, samples, beta, _choice(self, gradient, ("pathwise", "dreg")))

    def bound(self, log_weights):
        return ops.logsumexp(log_weights, axis=0) - math.log(self.groups * self.samples)

    def shares(self, log_weights):
        pathwise, dreg = super().shares(log_weights)
        return _normalized(log_weights, axis=0), dreg if self.gradient == "dreg" else pathwise


@keras.saving.register_keras_serializable("vaekit")
class WakeSleep(Objective):
    r"""The wake–sleep algorithm, the baseline of Kingma & Welling.

    Wake: draw z ~ q(z|x) and ascend $\log p(x, z)$ in the generative weights. Sleep: dream (x', z') ~ p and ascend
    $\log q(z'|x')$ in the inference weights. Both are one loss here, since each weight has a gradient in one of the
    two terms only; they do not ascend one common bound. (A layer that p and q share, as in a VampPrior, would have one
    in both. Batch normalization sees data and dreams.)

    Args:
        samples: samples of z for each example in the wake phase.

    Source: Hinton et al. 1995.
    """

    def __init__(self, samples=1):
        super().__init__(samples)

    def terms(self, model):
        return [*super().terms(model), "sleep"]

    def __call__(self, model, data, step, training):
        trace = model.trace(data, self.samples, training=training, detach=True)
        terms = _report(ops.mean(trace.log_weights(), axis=0), _reconstruction(trace, model), _sampled_kl(trace))
        wake = ops.mean(sum(trace.log_p.values()), axis=0)  # log p(x, z), [B]
        conditions = {name: data[name] for name in model.conditions}
        n = ops.shape(wake)[0]
        dream = {name: ops.stop_gradient(value) for name, value in model.draw(n, conditions).items()}
        sleep = model.log_q(dream, training=training)  # log q(z'|x'), [B]
        return -(wake + sleep), {**terms, "sleep": sleep}

    def get_config(self):
        return {"samples": self.samples}

    @classmethod
    def from_config(cls, config):
        return cls(**config)
