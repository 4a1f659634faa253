"""The bound of sequences, step by step: what each frame costs, and when z is needed."""

import math
from dataclasses import dataclass

import numpy as np
from keras import ops

from vaekit import backend
from vaekit.batches import check_counts
from vaekit.evaluation.errors import standard_error
from vaekit.evaluation.likelihood import have_density
from vaekit.models.arrays import row_batches
from vaekit.models.data import fixed_arrays
from vaekit.models.over_time import known_steps
from vaekit.models.trace import fold, tile, unfold
from vaekit.training.finite import require_numbers


@dataclass(frozen=True)
class ByStep:
    r"""The bound of sequences: $\mathcal L = \sum_t \log p(x_t | x_{<t}, z_{\le t}) - \mathrm{KL}_t$, less `rest`.

    Attributes:
        reconstruction: array `[N, T]`, $\log p(x_t | x_{<t}, z_{\le t})$ in nats; 0 at steps that are known.
        kl: array `[N, T]`, of all latents that are sequences, in nats.
        rest: array `[N]`, the KL of latents that are none, less log-densities of data that are none, in nats.
        known: how many steps at the beginning are given.
        dimensions: numbers in a step, the pixels of a frame; where some are missing, or padding, their mean.
    """

    reconstruction: np.ndarray
    kl: np.ndarray
    rest: np.ndarray
    known: int
    dimensions: float

    @property
    def per_example(self):
        """The bound `[N]`, in nats."""
        return (self.reconstruction - self.kl).sum(axis=1) - self.rest

    @property
    def per_step(self):
        """The bound of each sequence a step that is not known, `[N]`, in nats."""
        return self.per_example / (self.kl.shape[1] - self.known)

    @property
    def bits_per_dimension(self):
        r"""$-\mathcal L / (D \ln 2)$ a step, D being the dimensions of one: of bytes, say, a length of code."""
        return float(-self.per_step.mean() / (self.dimensions * math.log(2)))

    def __repr__(self):
        kl = self.kl.sum(axis=1) / (self.kl.shape[1] - self.known)
        return (
            f"bound {self.per_step.mean():.2f} ± {standard_error(self.per_step):.2f} nats a step, of which KL "
            f"{kl.mean():.2f} ({len(kl)} sequences of {self.kl.shape[1]} steps, {self.known} known)"
        )


def by_step(model, x, samples=1, batch_size=100, seed=0):
    r"""Computes the bound of sequences step by step.

    The KL is in closed form where TFP knows it and neither q(z_t|·) nor p(z_t|·) depends on earlier latents; else it is
    estimated, $\log q(z_t|·) - \log p(z_t|·)$ at samples, which may be negative at a single step.

    Args:
        model: a `LatentVariableModel` with sequences (see `vaekit.past`).
        x: data `[N, T, ...]`.
        samples: S, samples of z for each sequence, over which both terms are averaged.
        batch_size: sequences at a time.
        seed: an int; the same one gives the same samples.

    Returns: `ByStep`.

    Raises:
        ValueError: a model without sequences; unusable data.
    """
    check_counts("by_step", samples=samples, batch_size=batch_size)
    observed = [name for name in model.observed if name in model.sequences]
    if not observed:
        raise ValueError("by_step expects a model of sequences, described step by step: see vaekit.past.")
    data = fixed_arrays(model, x)
    generator = backend.seed_generator(seed)
    known = next(known_steps(f) for f in model.generative if f.name == observed[0])

    def terms(values):
        trace = model.trace(values, samples, seed=generator)
        reconstruction, kl = (ops.zeros(ops.shape(trace.values[observed[0]])[:2]) for _ in range(2))  # [B, T]
        rest = ops.zeros(ops.shape(reconstruction)[:1])
        q, p = ({f.name: f for f in factors} for factors in (model.inference, model.generative))
        for name in (*model.observed, *model.latents):
            if name not in model.sequences:
                log_q = trace.log_q.get(name, 0.0)
                rest = rest + ops.mean(log_q - trace.log_p[name], axis=0)
            elif name in model.observed:
                reconstruction = reconstruction + _log_prob_steps(model, trace, p[name], trace.p)
            else:
                kl = kl + _kl_steps(model, trace, q[name], p[name])
        return {"reconstruction": reconstruction, "kl": kl, "rest": rest}

    terms = backend.compile(terms, [*model.variables, generator.state])
    parts = []
    for batch, count in row_batches(data, batch_size, full=True):
        parts.append({name: ops.convert_to_numpy(value)[:count] for name, value in terms(batch).items()})
        require_numbers(model, "by_step", *parts[-1].values())
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    steps = joined["kl"].size - known * len(joined["kl"])
    numbers = sum(have_density(f, data[f.name]).sum() for f in model.generative if f.name in observed)
    return ByStep(**joined, known=known, dimensions=numbers / steps)


def _log_prob_steps(model, trace, factor, distributions):
    """Computes log-densities of each step, averaged over samples, `[B, T]`."""
    value, distribution = trace.values[factor.name], distributions[factor.name]
    if factor.name not in trace.log_q:
        value = tile(value, trace.samples)  # [S, B, T, ...]
    if factor.depends_on(model.latents):
        log_prob = unfold(distribution.log_prob_steps(fold(value)), trace.samples)
    else:
        log_prob = distribution.log_prob_steps(value)  # [S, B, T]
    return ops.mean(log_prob, axis=0)


def _kl_steps(model, trace, q, p):
    """Computes or estimates the KL of each step, averaged over samples, `[B, T]`."""
    if not (q.depends_on(model.latents) or p.depends_on(model.latents)):
        try:
            return trace.q[q.name].kl_steps(trace.p[p.name])
        except NotImplementedError:
            pass
    return _log_prob_steps(model, trace, q, trace.q) - _log_prob_steps(model, trace, p, trace.p)
