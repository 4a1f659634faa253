"""A model given data: log p(x, z) and log q(z|x) as functions of z, and samples of q(z|x)."""

import copy
from contextlib import contextmanager

import keras
from keras import ops

from vaekit import backend
from vaekit.layers.distribution import origin_of
from vaekit.models.factors import check_shapes
from vaekit.models.features import completed, with_pasts
from vaekit.models.means import mean_or_draw
from vaekit.models.over_time import draw_steps, known_steps
from vaekit.models.supports import check_measures
from vaekit.models.trace import Trace, fold, tile, unfold
from vaekit.names import of_past, variable
from vaekit.training.losses import counting


class Given:
    r"""A model given data x. What depends on x alone is computed here, once: whole networks, branches of functional
    ones, the components of a VampPrior.

    Latents come as samples $z_1, …, z_S$ of each example: a dict by name of tensors `[S, B, ...]`.

    Args:
        model: a built `LatentVariableModel`.
        data: dict of float32 tensors `[B, ...]` by variable name.
        training: training mode of layers such as dropout.
        frozen: `"p"`, `"q"` or `"pq"`: log-densities whose gradients take that side's weights as constants (the
            samples' path to q stays).
        sides: `"p"` or `"q"`, to compute one of them alone.
        offsets: a refinement's offsets of q's parameters, dict by latent of dicts of tensors `[B, ...]`; or None.
    """

    def __init__(self, model, data, training=False, frozen="", sides="pq", offsets=None):
        self.model, self.training, self.frozen, self.offsets = model, training, frozen, offsets
        self.data = completed(model, data, training)
        self.fixed = keras.tree.map_structure(ops.stop_gradient, self.data) if frozen and model.features else self.data
        self.p, self.q, self.q_constant = {}, {}, {}  # by name: a distribution, or h(x), from where g goes on
        for factor in model.inference if "q" in sides else ():
            state = values_of(factor.layer) if "q" in frozen else None
            with counting(factor, "h"):
                self.q[factor.name] = self._h(factor)
            if "q" in frozen:
                with constant(factor.layer, state):
                    self.q_constant[factor.name] = self._h(factor, self.fixed)
        for factor in model.generative if "p" in sides else ():
            with self._running_p(factor, "h"):
                self.p[factor.name] = self._h(factor, self.fixed if "p" in frozen else self.data)

    def refined(self, offsets):
        """Returns a copy with other parameters of q: its networks' plus `offsets`."""
        other = copy.copy(self)
        other.offsets = offsets
        return other

    def draw(self, samples=1, detach=False, seed=None, known=None):
        r"""Draws $z_1, …, z_S \sim q(z|x)$, one latent after the other, and evaluates every factor there.

        Args:
            samples: S.
            detach: cut the path from the samples back to q, so that gradients take z as a constant.
            seed: an int, a `keras.random.SeedGenerator`, or a seed of `vaekit.backend`; None: the model's own.
            known: dict of values `[S, B, ...]` by name, of latents that are not drawn.

        Returns: `Trace`.
        """
        z, q, log_q, drawn = {}, {}, {}, dict(known or {})
        keys = backend.seeds(self.model.seed_source(seed), len(self.model.inference)) if self.model.inference else ()
        for factor, key in zip(self.model.inference, keys, strict=True):
            name, state = factor.name, values_of(factor.layer) if "q" in self.frozen else None
            if self._sees_own_past(factor) and name not in drawn:
                drawn |= self._draw_steps(z, samples, key)
            if name in drawn:
                z[name] = drawn[name]
            with counting(factor, "g"):
                q[name] = self.posterior(factor, z)  # batch [S·B] or [B]
            if name in drawn:
                sample = drawn[name]
            elif factor.depends_on(self.model.latents):
                sample = unfold(q[name].sample(seed=key), samples)  # [S·B, ...] to [S, B, ...]
            else:
                sample = q[name].sample(samples, seed=key)  # [S, B, ...]
            sample = ops.stop_gradient(sample) if detach else sample
            if "q" in self.frozen:
                with constant(factor.layer, state):
                    q_constant = self._posterior(factor, z, self.q_constant, ops.stop_gradient)
                    log_q[name] = self._log_prob(factor, q_constant, {**z, name: sample}, samples)  # [S, B]
            else:
                log_q[name] = self._log_prob(factor, q[name], {**z, name: sample}, samples)  # [S, B]
            z[name] = sample
        p, log_p = self._generative(z, samples)
        for name in q:
            check_measures(name, q[name], p[name])
        weights = {factor.name: factor.weight for factor in self.model.generative if factor.weight != 1}
        return Trace(samples, {**self.data, **z}, q, p, log_q, log_p, weights)

    def log_factors(self, z):
        """The terms of log p(x, z), one a factor of p: dict by name of `[S, B]`, in nats."""
        return self._generative(z, _samples(z))[1]

    def log_p(self, z):
        """log p(x, z) `[S, B]`, in nats."""
        return sum(self.log_factors(z).values())

    def log_q(self, z):
        """log q(z|x) `[S, B]`, in nats."""
        return sum(self._log_prob(f, self.posterior(f, z), z, _samples(z)) for f in self.model.inference)

    def posterior(self, factor, z):
        """Returns a factor of q as a `tfd.Distribution`, of batch `[S·B]` if it is given latents, else `[B]`."""
        return self._posterior(factor, z, self.q, lambda offset: offset)

    def encode(self, mean=True, seed=None):
        """Computes the posterior of each latent, given the means of those before it, or draws of them.

        Args:
            mean: False for draws.
            seed: a `keras.random.SeedGenerator`.

        Returns: dict by name of distributions of batch `[B]`; dict of those means or draws, `[B, ...]`.
        """
        q, values = {}, {}
        for factor in self.model.inference:
            name = factor.name
            if self._sees_own_past(factor) and name not in values:
                z = {parent: value[None] for parent, value in values.items()}
                drawn = self._draw_steps(z, 1, backend.seed(self.model.seed_source(seed)), mean)
                values |= {latent: value[0] for latent, value in drawn.items()}
            q[name] = self.posterior(factor, {parent: value[None] for parent, value in values.items()})  # S = 1
            if name not in values and any(name in other.given for other in self.model.inference):
                values[name] = mean_or_draw(name, q[name], mean, seed)  # [B, ...]
        return q, values

    def _sees_own_past(self, factor):
        """Returns whether a factor of q depends on earlier steps of latents, so that it is drawn step by step."""
        return any(of_past(name) in self.model.latents for name in factor.given)

    def _draw_steps(self, z, samples, key, mean=False):
        """Draws all latent sequences that come after z, step by step: dict by name of `[S, B, T, ...]`."""
        factors = [f for f in self.model.inference if f.name in self.model.sequences and f.name not in z]
        rows = {name: fold(tile(value, samples)) for name, value in self.data.items()}  # [S·B, ...]
        rows |= {name: fold(value) for name, value in with_pasts(z, self.model.pasts, axis=2).items()}
        like = next(rows[name] for name in self.model.observed if name in self.model.sequences)
        n, length, means = ops.shape(like)[0], like.shape[1], self.model.latents if mean else ()
        shapes = self.model.event_shapes
        known = {f.name: known_steps(f) for f in factors}
        known = {name: ops.zeros((n, k, *shapes[name][1:])) for name, k in known.items() if k}
        drawn = draw_steps(factors, shapes, rows, n, length, backend.seed(key), means, known)
        return {name: unfold(value, samples) for name, value in drawn.items()}

    # ---------------------------------------------------------------- a factor is f(x, z) = g(h(x), z)

    def _h(self, factor, data=None):
        """Computes h(x), a list of tensors `[B, ...]`; of a factor without latents the distribution."""
        h, _ = self.model.split(factor)
        return h(self.data if data is None else data, self.training)

    def _g(self, factor, h, z):
        """Computes the distribution of a factor from h(x), of batch `[S·B]` if it is given latents."""
        if factor.depends_on(self.model.latents):
            z = with_pasts(z, factor.given, axis=2)
            latents = [z[name] for name in factor.given if variable(name) in self.model.latents]  # [S, B, ...]
            rows = [fold(tile(tensor, latents[0].shape[0])) for tensor in h]  # [S·B, ...]
            _, g = self.model.split(factor)
            h = g([*rows, *map(fold, latents)], self.training)
        check_shapes(factor, h, self.model.event_shapes[factor.name])
        return h

    def _posterior(self, factor, z, q, transform):
        """Computes a factor of q from `q`, h(x) by name, and offsets of its parameters, after `transform`."""
        distribution = self._g(factor, q[factor.name], z)
        if not self.offsets:
            return distribution
        layer, parameters = origin_of(distribution)
        offsets = keras.tree.map_structure(transform, self.offsets[factor.name])  # [B, ...]
        if factor.depends_on(self.model.latents):
            samples = next(iter(z.values())).shape[0]
            offsets = {name: fold(tile(offset, samples)) for name, offset in offsets.items()}  # [S·B, ...]
        return layer.distribution(**{name: value + offsets[name] for name, value in parameters.items()})

    def _generative(self, z, samples):
        """Computes the factors of p at z: distributions, and log-densities `[S, B]`, two dicts by name."""
        p, log_p = {}, {}
        for factor in self.model.generative:
            with self._running_p(factor, "g"):
                p[factor.name] = self._g(factor, self.p[factor.name], z)
                log_p[factor.name] = self._log_prob(factor, p[factor.name], z, samples)
        return p, log_p

    @contextmanager
    def _running_p(self, factor, part):
        """A context for running a part of a factor of p: its losses count, its weights may be constants."""
        shared = [] if factor.given else [other.layer for other in self.model.inference]
        with counting(factor, part, shared):
            if "p" in self.frozen:
                with constant(factor.layer, values_of(factor.layer)):
                    yield
            else:
                yield

    def _log_prob(self, factor, distribution, z, samples):
        """Computes log-densities `[S, B]` under a distribution of batch `[S·B]`, `[B]` or `[]`."""
        if factor.name in z:
            value = z[factor.name]  # [S, B, ...]
            folded = factor.depends_on(self.model.latents) or not factor.given  # a prior sees [S·B, ...], as they do
            return unfold(distribution.log_prob(fold(value)), samples) if folded else distribution.log_prob(value)
        value = self.data[factor.name]  # [B, ...]
        if factor.depends_on(self.model.latents):
            return unfold(distribution.log_prob(fold(tile(value, samples))), samples)  # [S·B] to [S, B]
        return tile(distribution.log_prob(value), samples)  # [B] to [S, B]


def _samples(z):
    """S, of a dict of latents `[S, B, ...]`; 1 where there are none."""
    return next(iter(z.values())).shape[0] if z else 1


def values_of(layer):
    """Copies the values of a layer's variables, as tensors."""
    return [ops.copy(v) for v in layer.variables]


def constant(layer, values):
    """A context in which gradients take a layer's weights as constants, and its updates are dropped.

    Args:
        values: of the layer's variables; those before a first pass make a second one repeat it (its dropout, say).
    """
    return backend.Scope((v, ops.stop_gradient(value)) for v, value in zip(layer.variables, values, strict=True))
