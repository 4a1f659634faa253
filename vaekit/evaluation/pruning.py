r"""A model without the units of its latents that it does not use."""

import keras
import numpy as np
from keras import ops

from vaekit import backend
from vaekit.backend import tfd
from vaekit.distributions import NormalMixture
from vaekit.evaluation.units import ActiveUnits, active_units
from vaekit.models import Factor, LatentVariableModel
from vaekit.priors import Prior


def remove_inactive(model, x, threshold=0.01):
    r"""Removes a model's inactive units: they are fixed at their mean, and p(z) and q(z|x) lose their factors.

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
    several = isinstance(x, dict) and bool(x) and all(isinstance(value, ActiveUnits) for value in x.values())
    if model.refinement is not None or isinstance(model, PrunedModel):
        kind = "has a refinement" if model.refinement is not None else "has lost units already"
        raise ValueError(f"remove_inactive expects a model of plain networks; the one received {kind}.")
    if set(model.sequences) & set(model.latents):
        raise ValueError("remove_inactive expects latents that are vectors; those of the one received are sequences.")
    units = x if several or isinstance(x, ActiveUnits) else active_units(model, x, threshold)
    units = units if isinstance(units, dict) else {model.latents[0]: units}
    model.require_built()
    expected = {name: model.event_shapes[name] for name in model.latents}
    shapes = {name: unit.activity.shape for name, unit in units.items()}
    if shapes != expected:
        raise ValueError(f"remove_inactive expects active units of shapes {expected}; received {shapes}.")

    lists = {name: {"active": u.active.tolist(), "mean": u.mean.tolist()} for name, u in units.items()}
    result = PrunedModel(model, lists)
    result.build({name: (None, *model.event_shapes[name]) for name in model.data_names})
    # traces every distribution: families that cannot be marginalized are refused here
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
        seed = whole.seed_generator.get_config()["seed"]
        super().__init__(generative, inference, seed=seed, features=whole.features, **kwargs)
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


class _Marginal:
    """Base of networks and priors for active units alone; `active` and `mean` are as in the units of `PrunedModel`."""

    def __init__(self, layer, active, mean):
        super().__init__()
        self.layer, self.active, self.mean = layer, np.array(active), np.array(mean, "float32")

    def build(self, input_shape):
        super().build(input_shape)
        if not self.layer.built:
            self.layer.build(input_shape)


class MarginalNetwork(_Marginal, keras.layers.Layer):
    """A network that ends in a distribution over a latent, of which only active units are random."""

    def call(self, inputs, training=False):
        return _marginal(self.layer(inputs, training=training), self.active, self.mean)

    def compute_output_spec(self, inputs, training=False):
        return self.layer.compute_output_spec(inputs)


class MarginalPrior(_Marginal, Prior):
    """A prior over a latent, of which only active units are random."""

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
