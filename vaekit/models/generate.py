"""Generation: p's factors one after the other, each given the ones before."""

import functools

from keras import ops

from vaekit import backend
from vaekit.backend import tfd
from vaekit.layers import AutoregressiveTokens
from vaekit.models.arrays import fits
from vaekit.models.features import completed
from vaekit.models.means import mean_or_draw
from vaekit.models.over_time import draw_steps, first_steps, known_steps
from vaekit.names import past, variable


def parents(model):
    """Returns names of the variables that factors of p are given, their pasts or features of them, too."""
    names = {variable(name) for factor in model.generative for name in factor.given}
    for feature in reversed(model.features):
        names |= set(map(variable, feature.given)) if names & set(feature.names) else set()
    return names


def decoder_inputs(model, z):
    """Converts latents, and the conditions that p has, to a dict of tensors `[N, ...]` by name.

    Raises:
        ValueError: missing or unknown names, wrong shapes, no rows; an unbuilt model.
    """
    model.require_built()
    model.require_latents("decode")
    names = (*model.latents, *model.generative_conditions)
    z = z if isinstance(z, dict) else {model.latents[0]: z}
    if not set(names) <= set(z) <= {*names, *model.conditions}:
        raise ValueError(f"likelihood and decode expect a dict with {names}; received {tuple(z)}.")
    values = {name: ops.cast(value, "float32") for name, value in z.items()}
    for name, value in values.items():
        if not fits(model, name, value.shape):
            expected = ["N", *model.event_shapes[name]]
            raise ValueError(f"{name!r} should have shape {expected}; received {list(value.shape)}.")
    counts = {name: value.shape[0] for name, value in values.items()}
    if len(set(counts.values())) > 1:
        raise ValueError(f"likelihood and decode expect as many rows of each; received {counts}.")
    if 0 in counts.values():
        raise ValueError(f"likelihood and decode expect at least one row; received {counts}.")
    return values


def decode(model, values, mean, seed, outputs=None, beams=None):
    """Computes distributions of the observed variables, and their means or draws: two dicts by name.

    Of a sequence that is given its own past, and of which `values` has none, each step is given what came out before:
    then there is no distribution.

    Args:
        values: dict of tensors `[N, ...]`: latents, conditions, and perhaps observed variables that others depend on,
            features and pasts.
        mean: True for means, False for draws.
        seed: an int, or a `keras.random.SeedGenerator`.
        outputs: names of observed variables whose mean or draw to compute; None: all.
        beams: of a search for the most probable sequence, in the place of mean and draw; None: no search.

    Raises:
        ValueError: beams, where no observed variable is described by `AutoregressiveTokens`.
    """
    searched = [f.name for f in model.generative if isinstance(f.layer, AutoregressiveTokens)]
    if beams is not None and not searched:
        raise ValueError(
            "beams are of a search for sentences, which vaekit.layers.AutoregressiveTokens describes; here "
            f"{model.observed} are described by others, which have means (mean=True) or draws (mean=False)."
        )
    p, x, values = {}, {}, completed(model, values)
    n = ops.shape(values[model.latents[0]])[0]
    for factor in model.generative:
        name = factor.name
        if name not in model.observed or name in x:
            continue
        if any(parent not in values for parent in factor.given):  # pasts of what is drawn here
            lengths = (values[latent].shape[1] for latent in model.latents if latent in model.sequences)
            rest = [name for name in model.observed if name in model.sequences and name not in values]
            x |= draw_sequences(model, n, values, rest, seed, next(lengths, None), model.observed if mean else ())
            values = completed(model, {**values, **x})
            continue
        p[name] = factor([values[parent] for parent in factor.given])
        if not factor.given:  # a prior
            p[name] = tfd.BatchBroadcast(p[name], with_shape=[n])
        if name in values:
            x[name] = values[name]
        elif beams is not None and name in searched:
            tokens, _ = factor.layer.search([values[parent] for parent in factor.given], beams)
            x[name] = values[name] = ops.cast(tokens, "float32")
        elif outputs is None or name in outputs:
            x[name] = values[name] = mean_or_draw(name, p[name], mean, seed)
    return p, x


def draw(model, n, values, names, seed, means=()):
    """Draws variables in the order of p's factors: dict of tensors `[n, ...]` by name, the given `values` among them.

    Args:
        values: dict of conditions, tensors `[n, ...]`.
        names: of the variables to be drawn.
        seed: an int, or a `keras.random.SeedGenerator`.
        means: names of sequences of which each step takes the mean, not a draw.
    """
    values = dict(values)
    for factor in model.generative:
        if factor.name not in names or factor.name in values:
            continue
        values = completed(model, values)
        if factor.name in model.sequences:
            sequences = [name for name in names if name in model.sequences]
            values |= draw_sequences(model, n, values, sequences, seed, means=means)
            continue
        distribution, key = factor([values[name] for name in factor.given]), backend.seed(seed)
        sample = distribution.sample(seed=key) if factor.given else distribution.sample(n, seed=key)
        values[factor.name] = ops.cast(sample, "float32")
    return values


def draw_sequences(model, n, values, names, seed, length=None, means=(), known=None):
    """Draws sequences step by step, see `vaekit.models.over_time.draw_steps`: dict by name of `[n, T, ...]`.

    Args:
        values: dict of what else they depend on, tensors `[n, ...]`.
        names: of the variables to be drawn.
        known: dict of first steps that are not drawn, `[n, k, ...]`.

    Raises:
        ValueError: variables that depend on what is not drawn; first steps that have to be given.
    """
    factors = steps_of(model, values, names)
    length, known = length or model.event_shapes[names[0]][0], dict(known or {})
    for factor in factors:
        needed = known_steps(factor)
        if needed and factor.name in model.latents:
            known.setdefault(factor.name, ops.zeros((n, needed, *model.event_shapes[factor.name][1:])))
        elif needed and (factor.name not in known or known[factor.name].shape[1] < needed):
            raise ValueError(
                f"This model describes {factor.name!r} given its {first_steps(needed)}: draw by "
                f"model.futures(x[:, :{needed}])."
            )
    needed = {name for factor in factors for name in factor.given}
    given = {name: value for name, value in values.items() if name in needed}
    key = backend.seed(seed if set(names) - set(means) else 0)  # means alone draw nothing
    if not all(backend.is_concrete(tensor) for tensor in [key, *given.values(), *known.values()]):
        return draw_steps(factors, model.event_shapes, given, n, length, key, means, known)
    counts = tuple(value.shape[1] for value in known.values())
    return model.sampler(tuple(factors), n, length, tuple(means), counts)(given, known, key)


def sampler(model):
    """Makes a function that compiles `draw_steps` for factors, numbers of rows and steps, names of means, and numbers
    of steps that are known: were they one program, TensorFlow would forget how many there are."""

    @functools.cache
    def compiled(factors, n, length, means, counts):
        def run(given, known, key):
            return draw_steps(factors, model.event_shapes, given, n, length, key, means, known)

        return backend.compile(run, model.variables)

    return compiled


def steps_of(model, values, names):
    """Lists what a step of some sequences computes: their factors of p, each feature as soon as it can be.

    Raises:
        ValueError: a variable that depends on one that is not there.
    """
    steps, here, pasts = [], set(), {past(name) for name in names}
    needed = {variable(name) for part in (*model.generative, *model.features) for name in part.given}
    features = [feature for feature in model.features if not set(feature.names) <= set(values)]
    pasts |= {past(name) for feature in features for name in feature.names}
    for factor in model.generative:
        if factor.name not in names:
            continue
        steps.append(factor)
        here.add(factor.name)
        for feature in features:
            if feature not in steps and set(feature.given) <= {*here, *values, *pasts} and needed & set(feature.names):
                steps.append(feature)
                here |= set(feature.names)
    for part in steps:
        if absent := [name for name in part.given if name not in {*here, *values} and variable(name) not in here]:
            raise ValueError(
                f"{part.name!r} depends on {absent}, which is not drawn here: a sequence whose steps depend on the "
                "data before them is drawn together with the data, by model.draw or model.sample."
            )
    return steps
