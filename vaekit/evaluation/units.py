r"""The units of its latents that a model uses."""

from dataclasses import dataclass
from numbers import Real

import numpy as np
from keras import ops

from vaekit import backend
from vaekit.batches import check_counts
from vaekit.models.arrays import row_batches
from vaekit.models.data import fixed_arrays
from vaekit.models.trace import unfold
from vaekit.training.finite import require_numbers


@dataclass(frozen=True)
class ActiveUnits:
    """The units of a latent variable that a model uses.

    Attributes:
        activity: array of the latent's shape, $\\mathrm{Var}_x\\, \\mathbb E_{q(z|x)}[z]$.
        threshold: activity above which a unit counts as active.
        mean: array of the latent's shape, $\\mathbb E_x\\, \\mathbb E_{q(z|x)}[z]$.
    """

    activity: np.ndarray
    threshold: float
    mean: np.ndarray

    @property
    def active(self):
        """Boolean array of the latent's shape."""
        return self.activity > self.threshold

    @property
    def count(self):
        """Number of active units."""
        return int(self.active.sum())

    def __repr__(self):
        return f"{self.count} of {self.activity.size} units active (threshold {self.threshold:g})"


def active_units(model, x, threshold=0.01, batch_size=500, samples=None, seed=0):
    r"""Finds the units whose posterior mean depends on the data: $\mathrm{Var}_x\, \mathbb E_{q(z|x)}[z_d] > 0.01$.

    Args:
        model: a `LatentVariableModel`.
        x: data `[N, ...]`, at least two examples.
        threshold: for the variance. (Dieng et al.'s code has 0.02.)
        samples: S: the mean of a latent whose posterior is given latents, or earlier steps, is averaged over S samples
            of these, as $\mathbb E_{q(z|x)}[z_d]$ says (Burda et al.'s code: S = 1); None: it is given their means.
        seed: an int, for these samples.

    Returns: `ActiveUnits`; with several latents a dict of them by name.

    Raises:
        ValueError: unusable data; a posterior that has no mean in closed form.

    Source: Burda et al. 2016, section 5.2.
    """
    model.require_latents("active_units")
    check_counts("active_units", batch_size=batch_size, samples=1 if samples is None else samples)
    if not (isinstance(threshold, Real) and threshold >= 0):
        raise ValueError(f"active_units expects a threshold of at least 0; received {threshold!r}.")
    if samples is not None and any(factor.depends_on(model.latents) for factor in model.inference):
        means = _sampled_means(model, x, samples, batch_size, seed)
    else:
        means = model.encode(x, batch_size, seed=seed)
    result = {}
    for name, value in (means if isinstance(means, dict) else {model.latents[0]: means}).items():
        if len(value) < 2:
            raise ValueError(f"active_units expects at least two examples; received {len(value)}.")
        result[name] = ActiveUnits(value.var(axis=0), threshold, value.mean(axis=0))
    return result if len(result) > 1 else result[model.latents[0]]


def _sampled_means(model, x, samples, batch_size, seed):
    """E[z_j|x] of each latent, averaged over samples of those before it: dict of arrays `[N, ...]`."""
    data = fixed_arrays(model, x)
    generator = backend.seed_generator(seed)

    def means(values):
        q = {
            name: d.mean() for name, d in model.trace(values, samples, seed=generator).q.items()
        }  # [S·B, ...], [B, ...]
        sampled = {f.name for f in model.inference if f.depends_on(model.latents)}
        return {name: ops.mean(unfold(mean, samples), axis=0) if name in sampled else mean for name, mean in q.items()}

    means = backend.compile(means, [*model.variables, generator.state])
    parts = []
    for batch, count in row_batches(data, batch_size, full=True):
        parts.append({name: ops.convert_to_numpy(mean)[:count] for name, mean in means(batch).items()})
    result = {name: np.concatenate([part[name] for part in parts]) for name in model.latents}
    require_numbers(model, "active_units", *result.values())
    return result
