"""The evidence lower bound."""

from dataclasses import replace
from numbers import Real

import keras
from keras import ops

from vaekit import backend
from vaekit.backend import tfd
from vaekit.names import variable
from vaekit.objectives.base import (
    Objective,
    check_gradient,
    reconstructions,
    report,
    require_reparameterized,
    sampled_kl,
    total,
)


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
        free_bits: λ, in nats (whatever the name says). In the loss each latent's KL counts at least as much, so that
            below λ nothing pulls it down: $\sum_j \max(\lambda, \mathrm{KL}_j)$ in place of $\sum_j \mathrm{KL}_j$,
            where $\mathrm{KL}_j$ is the mean over the batch, and over the S samples where it is estimated from them
            (whose noise lifts the maximum a little). Reported terms are without it.
        free_bits_of: what λ is of: a `"latent"` as a whole, all units of a vector z together; or each `"unit"`, where
            posterior and prior have independent units, such as `DiagonalNormal` and `StandardNormal`. (A floor for the
            whole may be met by few units; one for each makes all of them speak.)

    Raises:
        ValueError: negative free bits; free bits of units that are not independent; for a pathwise gradient through a
            posterior that cannot be reparameterized; with `analytic_kl`, when TFP knows no closed form, or when a
            latent's prior depends on latents that the posterior draws after it (no closed form can exist for that
            order).

    Source: Kingma & Welling 2014, eq. 6 (A) and eq. 7 (B); Higgins et al. 2017 (β); Roeder et al. 2017 (`"stl"`);
    Kingma et al. 2016, appendix C.8 (free bits).
    """

    def __init__(
        self, samples=1, analytic_kl=False, beta=1.0, gradient="pathwise", free_bits=0.0, free_bits_of="latent"
    ):
        super().__init__(samples, beta)
        self.gradient = check_gradient(self, gradient, ("pathwise", "stl", "score_function"))
        self.analytic_kl = bool(analytic_kl)
        if analytic_kl and gradient == "stl":
            raise ValueError(
                'gradient="stl" takes the gradient of log q at samples, which a closed-form KL has not: use '
                'ELBO(analytic_kl=False, gradient="stl"), or gradient="pathwise".'
            )
        if not (isinstance(free_bits, Real) and free_bits >= 0):
            raise ValueError(f"ELBO expects free_bits to be a number of nats, 0 or more; received {free_bits!r}.")
        if free_bits_of not in ("latent", "unit"):
            raise ValueError(f'ELBO expects free_bits_of to be "latent" or "unit"; received {free_bits_of!r}.')
        if free_bits_of == "unit" and gradient == "stl":
            raise ValueError('free_bits_of="unit" goes with gradient="pathwise" or "score_function".')
        self.free_bits, self.free_bits_of = float(free_bits), free_bits_of

    def __call__(self, model, data, step, training):
        trace, beta = self._trace(model, data, training), self.weight(step)
        if self.gradient != "score_function":
            require_reparameterized(trace, "ELBO")
        log_p = reconstructions(trace)
        # by latent, [S, B]: KL(q(z|x) ‖ p(z)) in estimator B, log q(z_s|x) − log p(z_s) in A
        kl = self._closed_form_kl(trace, model) if self.analytic_kl else sampled_kl(trace)
        bound = total(log_p) - total(kl)  # [S, B]
        objective = total(log_p, trace.weights) - beta * total(self._with_floor(kl, trace, model), trace.weights)
        loss = -ops.mean(objective, axis=0)  # [B]
        if self.gradient == "score_function":
            loss = loss + self._score(objective, trace)
        return loss, report(ops.mean(bound, axis=0), log_p, kl)

    def _trace(self, model, data, training):
        options = dict(detach=self.gradient == "score_function", frozen="q" if self.gradient == "stl" else "")
        if not (self.analytic_kl and _each_sample(model)):
            return model.trace(data, self.samples, training, **options)
        # closed forms compare factors of one batch, [S·B]: each example comes S times, with one sample
        s = self.samples
        rows = keras.tree.map_structure(lambda value: ops.tile(value, (s, *(1 for _ in value.shape[1:]))), data)
        trace = model.trace(rows, 1, training, **options)  # log-densities [1, S·B]
        log_q, log_p = ({n: ops.reshape(v, (s, -1)) for n, v in log.items()} for log in (trace.log_q, trace.log_p))
        return replace(trace, samples=s, log_q=log_q, log_p=log_p)

    def _with_floor(self, kl, trace, model):
        """KLs `[S, B]` by latent; one whose mean is below λ becomes the number λ, so that means are max(λ, KL)."""
        if not self.free_bits:
            return kl
        if self.free_bits_of == "unit":
            kl = {factor.name: self._unit_kl(factor, trace, model) for factor in model.inference}  # [S, B, ...]
        floored = {}
        for name, value in kl.items():
            means = backend.mean_over_replicas(ops.mean(value, axis=(0, 1)))  # of the units, []: of the latent
            value = ops.where(means < self.free_bits, self.free_bits, value)
            floored[name] = ops.sum(ops.reshape(value, (*ops.shape(value)[:2], -1)), axis=-1)  # [S, B]
        return floored

    def _unit_kl(self, factor, trace, model):
        """KL(q‖p) of each unit of a latent, `[S, B, *event]`, or `[1, B, *event]`."""
        name = factor.name
        if not all(_has_units(side[name]) for side in (trace.q, trace.p)):
            raise ValueError(
                f'free_bits_of="unit" needs units that are independent in posterior and prior; of {name!r} these are '
                f'{trace.q[name].name} and {trace.p[name].name}. Use free_bits_of="latent".'
            )
        q, p, z = trace.q[name].distribution, trace.p[name].distribution, trace.values[name]  # [S, B, *event]
        shape, event = ops.shape(z), model.event_shapes[name]
        if self.analytic_kl:
            rows = self.samples if _each_sample(model) else 1
            return ops.reshape(tfd.kl_divergence(q, p), (rows, -1, *event))
        of_q = factor.depends_on(model.latents)  # batch [S·B] then, else [B]
        prior = next(f for f in model.generative if f.name == name)
        of_p = prior.depends_on(model.latents)
        flat = ops.reshape(z, (-1, *event))
        log_q, log_p = (d.log_prob(flat if folded else z) for d, folded in ((q, of_q), (p, of_p)))
        return ops.reshape(log_q, shape) - ops.reshape(log_p, shape)

    def _score(self, f, trace):
        """A term `[B]` of value zero whose gradient is the score function's, −1/S Σ_s (f_s − b_s) ∇ log q(z_s|x).

        The baseline b_s is the mean of the other samples' f, so that it is independent of z_s.
        """
        if self.samples > 1:
            f = f - (ops.sum(f, axis=0) - f) / (self.samples - 1)  # [S, B]
        log_q = sum(trace.log_q.values())  # [S, B]
        return -ops.mean(ops.stop_gradient(f) * (log_q - ops.stop_gradient(log_q)), axis=0)

    def _closed_form_kl(self, trace, model):
        """KL(q‖p) of each latent: dict of `[S, B]`, or of `[1, B]` where it is the same at all samples."""
        kl, known = {}, {*model.data_names, *(name for f in model.features for name in f.names)}
        rows = self.samples if _each_sample(model) else 1
        for factor in model.inference:
            name = factor.name
            prior = next(f for f in model.generative if f.name == name)
            later = [parent for parent in prior.given if variable(parent) not in known]
            if later:
                raise ValueError(
                    f"No closed-form KL for {name!r}: its prior depends on {later}, which q draws after it. "
                    "Use estimator A: ELBO(analytic_kl=False)."
                )
            try:
                value = tfd.kl_divergence(trace.q[name], trace.p[name])  # [B], or [S·B]
            except NotImplementedError:
                raise ValueError(
                    f"TFP knows no closed-form KL between the posterior ({trace.q[name].name}) and the prior "
                    f"({trace.p[name].name}) of {name!r}. Use estimator A: ELBO(analytic_kl=False)."
                ) from None
            kl[name] = ops.reshape(value, (rows, -1))
            known.add(name)
        return kl

    def get_config(self):
        config = {"analytic_kl": self.analytic_kl, "gradient": self.gradient, "free_bits": self.free_bits}
        config["free_bits_of"] = self.free_bits_of
        return {**super().get_config(), **config}


def _each_sample(model):
    """Returns whether KLs in closed form differ from sample to sample: those of several latents, or of a sequence whose
    steps are given earlier ones."""
    priors = (factor for factor in model.generative if factor.name in model.latents)
    return len(model.latents) > 1 or any(factor.depends_on(model.latents) for factor in (*model.inference, *priors))


def _has_units(distribution):
    """Returns whether a distribution is one of independent units, each a number."""
    return isinstance(distribution, tfd.Independent) and len(distribution.distribution.event_shape) == 0
