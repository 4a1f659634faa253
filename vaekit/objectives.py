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
        gradient: `"pathwise"`, through z = g(ε, x); or `"score_function"`, with a leave-one-out baseline when S > 1,
            which needs no reparameterization and is noisier.

    Raises:
        ValueError: for a pathwise gradient through a posterior that cannot be reparameterized; with `analytic_kl`,
            when TFP knows no closed form, or when a latent's prior depends on latents that the posterior draws
            after it (no closed form can exist for that order).

    Source: Kingma & Welling 2014, eq. 6 (A) and eq. 7 (B); Higgins et al. 2017 (β).
    """

    def __init__(self, samples=1, analytic_kl=False, beta=1.0, gradient="pathwise"):
        super().__init__(samples, beta)
        if gradient not in ("pathwise", "score_function"):
            raise ValueError(f'ELBO expects gradient "pathwise" or "score_function"; received {gradient!r}.')
        self.analytic_kl = bool(analytic_kl)
        self.gradient = gradient

    def __call__(self, model, data, step, training):
        # closed forms are compared factor by factor: all of them need the same batch, [S·B]
        repeat = self.analytic_kl and len(model.latents) > 1
        score = self.gradient == "score_function"
        trace = model.trace(data, self.samples, training=training, repeat=repeat, detach=score)
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


@keras.saving.register_keras_serializable("vaekit")
class IWAE(Objective):
    r"""Importance weighted bound $\mathcal L_k(x) = \mathbb E \log \frac1k \sum_i \frac{p(x, z_i)}{q(z_i|x)}$, in nats.

    $\mathcal L_1$ is the ELBO; $\mathcal L_k$ rises with k towards log p(x).

    Args:
        samples: k.
        beta: weight of log p(z) − log q(z|x) in the loss's log-weights.

    Source: Burda et al. 2016, eq. 8.
    """

    def __call__(self, model, data, step, training):
        trace = model.trace(data, self.samples, training=training)
        _require_reparameterized(trace, "IWAE")
        terms = _report(self._bound(trace, 1.0), _reconstruction(trace, model), _sampled_kl(trace))
        return -self._bound(trace, self.weight(step)), terms

    def _bound(self, trace, beta):
        return ops.logsumexp(trace.log_weights(beta), axis=0) - math.log(self.samples)  # log 1/k Σ w_i, [B]


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
