"""Generation: p's factors one after the other, each given the ones before."""

from keras import ops

from vaekit import backend
from vaekit.backend import tfd


class NoMeanError(ValueError):
    """A mean that is not known in closed form."""


def mean_or_draw(name, distribution, mean, seed):
    """Returns a distribution's mean, or a draw from it, a tensor `[N, ...]`."""
    if not mean:
        return ops.cast(distribution.sample(seed=backend.seed(seed)), "float32")
    try:
        return distribution.mean()
    except NotImplementedError:
        raise NoMeanError(
            f"The distribution of {name!r} ({distribution.name}) has no mean in closed form. Ask for a draw from "
            "it: encode, decode and reconstruct take mean=False and a seed, and sample draws by itself."
        ) from None


def parents(model):
    """Returns names of the variables that factors of p are given."""
    return {name for factor in model.generative for name in factor.given}


def decoder_inputs(model, z):
    """Converts latents, and the conditions that p has, to a dict of tensors `[N, ...]` by name.

    Raises:
        ValueError: missing or unknown names, wrong shapes; an unbuilt model.
    """
    model.require_built()
    names = (*model.latents, *model.generative_conditions)
    z = z if isinstance(z, dict) else {model.latents[0]: z}
    if not set(names) <= set(z) <= {*names, *model.conditions}:
        raise ValueError(f"likelihood and decode expect a dict with {names}; received {tuple(z)}.")
    values = {name: ops.cast(value, "float32") for name, value in z.items()}
    for name, value in values.items():
        if tuple(value.shape[1:]) != model.event_shapes[name]:
            expected = ["N", *model.event_shapes[name]]
            raise ValueError(f"{name!r} should have shape {expected}; received {list(value.shape)}.")
    return values


def decode(model, values, mean, seed, outputs=None):
    """Computes distributions of the observed variables, and their means or draws: two dicts by name.

    Args:
        values: dict of tensors `[N, ...]`: latents, conditions, and perhaps observed variables that others depend on.
        mean: True for means, False for draws.
        seed: an int, or a `keras.random.SeedGenerator`.
        outputs: names of observed variables whose mean or draw to compute; None: all.
    """
    p, x, values = {}, {}, dict(values)
    n = ops.shape(values[model.latents[0]])[0]
    for factor in model.generative:
        name = factor.name
        if name in model.observed:
            p[name] = factor([values[parent] for parent in factor.given])
            if not factor.given:  # a prior
                p[name] = tfd.BatchBroadcast(p[name], with_shape=[n])
            if name in values:
                x[name] = values[name]
            elif outputs is None or name in outputs:
                x[name] = values[name] = mean_or_draw(name, p[name], mean, seed)
    return p, x


def draw(model, n, values, names, seed):
    """Draws variables in the order of p's factors: dict of tensors `[n, ...]` by name, the given `values` among them.

    Args:
        values: dict of conditions, tensors `[n, ...]`.
        names: of the variables to be drawn.
        seed: an int, or a `keras.random.SeedGenerator`.
    """
    values = dict(values)
    for factor in model.generative:
        if factor.name in names:
            distribution, key = factor([values[name] for name in factor.given]), backend.seed(seed)
            sample = distribution.sample(seed=key) if factor.given else distribution.sample(n, seed=key)
            values[factor.name] = ops.cast(sample, "float32")
    return values
