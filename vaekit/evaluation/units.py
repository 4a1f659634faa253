r"""Which units of the latents a model uses, and the model without the others."""

from dataclasses import dataclass
from numbers import Real

import keras
import numpy as np
from keras import ops

from vaekit import backend
from vaekit.backend import tfd
from vaekit.batches import check_counts
from vaekit.distributions import NormalMixture
from vaekit.evaluation.rows import data_arrays, rows
from vaekit.models import Factor, LatentVariableModel
from vaekit.models.trace import unfold
from vaekit.priors import Prior
from vaekit.training.finite import require_numbers


@dataclass(frozen=True)
class ActiveUnits:
    """Which units of a latent variable a model uses.

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
    r"""Units whose posterior mean depends on the data: $\mathrm{Var}_x\, \mathbb E_{q(z|x)}[z_d] > 0.01$.

    Args:
        model: a `LatentVariableModel`.
        x: data `[N, ...]`, at least two examples.
        threshold: for the variance. (Dieng et al.'s code has 0.02.)
        samples: with several latents, S: a latent's mean is averaged over S samples of those before it, as
            $\mathbb E_{q(z|x)}[z_d]$ says (Burda et al.'s code: S = 1); None: it is given their means.
        seed: an int, for these samples.

    Returns: `ActiveUnits`; with several latents a dict of them by name.

    Raises:
        ValueError: unusable data; a posterior that has no mean in closed form.

    Source: Burda et al. 2016, section 5.2.
    """
    check_counts("active_units", batch_size=batch_size, samples=1 if samples is None else samples)
    if not (isinstance(threshold, Real) and threshold >= 0):
        raise ValueError(f"active_units expects a threshold of at least 0; received {threshold!r}.")
    several = len(model.latents) > 1
    if samples is None or not several:
        means = model.encode(x, batch_size, seed=seed)
    else:
        means = _sampled_means(model, x, samples, batch_size, seed)
    result = {}
    for name, value in (means if several else {"z": means}).items():
        if len(value) < 2:
            raise ValueError(f"active_units expects at least two examples; received {len(value)}.")
        result[name] = ActiveUnits(value.var(axis=0), threshold, value.mean(axis=0))
    return result if several else result["z"]


def _sampled_means(model, x, samples, batch_size, seed):
    """E[z_j|x] of each latent, averaged over samples of those before it: dict of arrays `[N, ...]`."""
    data, n = data_arrays(model, x)
    batch_size = min(batch_size, n)
    generator = backend.seed_generator(seed)

    def means(values):
        q = {name: d.mean() for name, d in model.trace(values, samples, seed=generator).q.items()}
        sampled = {f.name for f in model.inference if any(name in model.latents for name in f.given)}
        return {name: ops.mean(unfold(mean, samples), axis=0) if name in sampled else mean for name, mean in q.items()}

    means = backend.compile(means, [*model.variables, generator.state])
    parts = []
    for start in range(0, n, batch_size):
        batch, count = rows(data, start, batch_size)
        parts.append({name: ops.convert_to_numpy(mean)[:count] for name, mean in means(batch).items()})
    result = {name: np.concatenate([part[name] for part in parts]) for name in model.latents}
    require_numbers(model, "active_units", *result.values())
    return result


# ---------------------------------------------------------------- without inactive units


def remove_inactive(model, x, threshold=0.01):
    r"""The model without its inactive units: they are fixed at their mean, and p(z) and q(z|x) lose their factors.

    Where a unit is dead, q(z_d|x) = p(z_d) and p(x|z) does not depend on it, this changes no log p(x);
    `log_likelihood` of the new model tells how nearly that is so. The mean is that over the data, about 0 for a dead
    unit with a standard normal prior, and the place that the decoder knows under any other.

    Args:
        model: a `LatentVariableModel`.
        x: data `[N, ...]` for `active_units`, or what that function returned.
        threshold: for data.

    Returns: `LatentVariableModel` of the same networks and latent shapes; the two share their weights.

    Raises:
        ValueError: a latent distribution whose units do not factorize (other than mixtures of such).

    Source: Burda et al. 2016, section 5.2: the change was below 0.06 nats.
    """
    found = isinstance(x, ActiveUnits) or (
        isinstance(x, dict) and bool(x) and all(isinstance(value, ActiveUnits) for value in x.values())
    )
    if model.refinement is not None or isinstance(model, PrunedModel):
        kind = "has a refinement" if model.refinement is not None else "has lost units already"
        raise ValueError(f"remove_inactive expects a model of plain networks; the one received {kind}.")
    units = x if found else active_units(model, x, threshold)
    units = units if isinstance(units, dict) else {model.latents[0]: units}
    model.require_built()
    expected = {name: model.event_shapes[name] for name in model.latents}
    shapes = {name: unit.activity.shape for name, unit in units.items()}
    if shapes != expected:
        raise ValueError(f"remove_inactive expects active units of shapes {expected}; received {shapes}.")

    kept = {name: {"active": u.active.tolist(), "mean": u.mean.tolist()} for name, u in units.items()}
    result = PrunedModel(model, kept)
    result.build({name: (None, *model.event_shapes[name]) for name in model.data_names})
    # one look at every distribution: families that cannot be marginalized are refused here
    values = {name: ops.zeros((1, *shape), "float32") for name, shape in model.event_shapes.items()}
    backend.dry_run(lambda: result.log_p(values) + result.log_q(values))
    return result


@keras.saving.register_keras_serializable("vaekit")
class PrunedModel(LatentVariableModel):
    """A model with some units of its latents fixed and left out of all densities: see `remove_inactive`.

    Args:
        whole: the `LatentVariableModel` with all units.
        units: dict by latent of `"active"`, nested list of the latent's shape, True for the units that stay, and
            `"mean"`, nested list, where the others are fixed.
    """

    def __init__(self, whole, units, **kwargs):
        def pruned(factor):
            if factor.name not in units or np.all(units[factor.name]["active"]):
                return factor
            kind = MarginalNetwork if factor.given else MarginalPrior
            return Factor(factor.name, kind(factor.layer, **units[factor.name]), factor.given, factor.weight)

        generative, inference = ([pruned(factor) for factor in part] for part in (whole.generative, whole.inference))
        super().__init__(generative, inference, seed=whole.seed_generator.get_config()["seed"], **kwargs)
        self.units = units
        self._whole_config = whole.get_config  # not the model itself, which would become a part of this one

    def get_config(self):
        return {**self._whole_config(), "name": self.name, "units": self.units}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        whole = {name: value for name, value in config.items() if name != "units"}
        whole = LatentVariableModel.from_config(whole, custom_objects)
        return cls(whole, config["units"], name=config["name"])


# Made anew by PrunedModel, hence without a config of their own: Keras keeps shared layers shared only in flat lists.


class MarginalNetwork(keras.layers.Layer):
    """A network that ends in a distribution over a latent: the marginal of its active units."""

    def __init__(self, layer, active, mean):
        super().__init__()
        self.layer, self.active, self.mean = layer, np.array(active), np.array(mean, "float32")

    def build(self, input_shape):
        if not self.layer.built:
            self.layer.build(input_shape)

    def call(self, inputs, training=False):
        return _marginal(self.layer(inputs, training=training), self.active, self.mean)

    def compute_output_spec(self, inputs, training=False):
        return self.layer.compute_output_spec(inputs)


class MarginalPrior(Prior):
    """A prior: the marginal of its active units."""

    def __init__(self, layer, active, mean):
        super().__init__()
        self.layer, self.active, self.mean = layer, np.array(active), np.array(mean, "float32")

    def build(self, input_shape):
        super().build(input_shape)
        if not self.layer.built:
            self.layer.build(input_shape)

    def distribution(self):
        return _marginal(self.layer.distribution(), self.active, self.mean)


def _marginal(distribution, keep, fixed):
    """The distribution with only the units `keep` random: the others are `fixed`, and no density counts them."""
    if isinstance(distribution, NormalMixture):
        components = tfd.Independent(tfd.Normal(distribution.loc, distribution.scale), keep.ndim)
        distribution = tfd.MixtureSameFamily(tfd.Categorical(logits=distribution.logits), components)
    if isinstance(distribution, tfd.Independent) and len(distribution.distribution.event_shape) == 0:
        units = tfd.Masked(distribution.distribution, keep, safe_sample_fn=lambda _: ops.convert_to_tensor(fixed))
        return tfd.Independent(units, reinterpreted_batch_ndims=keep.ndim)
    if isinstance(distribution, tfd.MixtureSameFamily):
        components = _marginal(distribution.components_distribution, keep, fixed)
        return tfd.MixtureSameFamily(distribution.mixture_distribution, components)
    raise ValueError(
        "remove_inactive knows the marginals of tfd.Independent distributions and of mixtures of them; it was given "
        f"a {type(distribution).__name__}, whose units may depend on each other."
    )
