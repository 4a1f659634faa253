"""Sequences drawn step by step, in one compiled loop: each factor runs on the step at hand, and keeps what it needs."""

from keras import ops

from vaekit import backend
from vaekit.backend import tfp
from vaekit.layers.over_time import TimeDistributed, output_layer
from vaekit.layers.stepping import check_causality, first_states, step
from vaekit.models.features import Feature
from vaekit.models.means import mean_or_draw
from vaekit.names import of_past, past, variable


def is_sequence(factor):
    """Returns whether a factor describes a sequence, step by step."""
    return isinstance(output_layer(factor.layer), TimeDistributed) or getattr(factor.layer, "over_time", False)


def known_steps(factor):
    """Returns how many steps at the beginning of a factor's sequence are given, and have no density."""
    return getattr(output_layer(factor.layer) or factor.layer, "known", 0)


def first_steps(n):
    """Words for the first n steps."""
    return "first step" if n == 1 else f"first {n} steps"


def check_sequences(model):
    """Raises ValueError for factors that could not be drawn step by step, or of whose steps q and p know others."""
    described = {factor.name: factor for factor in model.generative}
    for factor in model.inference:
        q, p = known_steps(factor), known_steps(described[factor.name])
        if q != p:
            raise ValueError(
                f"Of {factor.name!r}, {q} steps are known in q and {p} in p, so that the others' terms would not be a "
                "bound: give both factors the same known=, in TimeDistributed or IndependentSteps."
            )
        if model.refinement is not None and any(of_past(name) in model.latents for name in factor.given):
            raise ValueError(
                f"A refinement changes the parameters of all steps at once, and {factor.name!r} is drawn step by step, "
                "since its posterior is given the past of latents: give it data alone, or leave the refinement out."
            )
    computed = names(model.features)
    for feature in model.features:
        if any(past(name) in factor.given for factor in model.generative for name in feature.names):
            check_causality(feature.layer, feature.name)
    for factor in (*model.inference, *model.generative):
        drawn = model.latents if factor in model.inference else (*model.latents, *model.observed, *computed)
        if any(of_past(name) in drawn for name in factor.given):
            if not is_sequence(factor):
                raise ValueError(
                    f"The factor of {factor.name!r} is given a past, so that it describes a sequence step by step: let "
                    "its network end in vaekit.layers.TimeDistributed(distribution layer)."
                )
            check_causality(factor.layer, factor.name)


def names(features):
    """All names of features."""
    return tuple(name for feature in features for name in feature.names)


def draw_steps(factors, shapes, given, n, length, seed, means=(), known=None):
    r"""Draws sequences step by step, $x_t \sim p(x_t | x_{<t}, …)$, one variable after the other in each step.

    Args:
        factors: of the sequences, and features of them, in the order in which a step computes them.
        shapes: dict of event shapes `[T, ...]` by name.
        given: dict of what else they depend on: vectors `[n, D]` for all steps, and sequences `[n, T, ...]`, pasts too.
        n, length: n and T.
        seed: from `vaekit.backend.seed`.
        means: names of variables of which each step takes the mean, not a draw.
        known: dict of the first steps of some variables, `[n, k, ...]`, which are not drawn.

    Returns: dict by name of tensors `[n, T, ...]`.
    """
    padded = {name: _padded(value, length) for name, value in (known or {}).items()}
    seeds = ops.stack(tfp.random.split_seed(seed, max(2, length * len(factors))))
    described = {name for factor in factors for name in _named_by(factor)}

    def run(before, states, t):
        """Computes a step: dict by name of `[n, 1, ...]`, and the networks' states after it."""
        here, after = {}, []

        def value(name):
            if name in described:
                return here[name]
            if of_past(name) in described:
                return before[of_past(name)]
            return _at(given[name], t, length)

        for i, factor in enumerate(factors):
            inputs = [value(name) for name in factor.given]
            output, state = step(factor.layer, factor.arranged(inputs), states[i], t) if inputs else (None, [])
            after.append(state)
            if isinstance(factor, Feature):
                here |= factor.named(output)
                continue
            key, mean = seeds[t * len(factors) + i], factor.name in means
            if output is None:
                prior = factor.layer.distribution().steps
                drawn = prior.sample((n, 1), seed=key)
                drawn = ops.broadcast_to(prior.mean(), drawn.shape) if mean else drawn
            else:
                drawn = mean_or_draw(factor.name, output, mean, key)
            here[factor.name] = ops.cast(drawn, "float32")  # [n, 1, ...]
            if factor.name in padded:
                first, count = padded[factor.name]
                here[factor.name] = ops.where(t < count, _at(first, t, length), here[factor.name])
        return here, after

    before = {name: ops.zeros((n, 1, *shapes[name][1:]), "float32") for name in described}

    def first(name):
        return before[variable(name)] if variable(name) in described else _at(given[name], 0, length)

    states = [
        first_states(factor.layer, factor.arranged([first(name) for name in factor.given])) if factor.given else []
        for factor in factors
    ]
    wanted = [factor.name for factor in factors if not isinstance(factor, Feature)]

    def advance(state, t):
        before, states, _ = state
        here, states = run(before, states, t)
        return here, states, {name: here[name][:, 0] for name in wanted}

    empty = {name: before[name][:, 0] for name in wanted}
    rows = backend.scan(advance, (before, states, empty), length, lambda state: state[2])  # [T, n, ...]
    return {name: ops.swapaxes(value, 0, 1) for name, value in rows.items()}


def _named_by(factor):
    return factor.names if isinstance(factor, Feature) else (factor.name,)


def _padded(value, length):
    """Fills the first steps of a sequence up to a length, by zeros; returns it, and how many steps it had."""
    count = value.shape[1]
    return ops.pad(value, [(0, 0), (0, length - count), *[(0, 0)] * (len(value.shape) - 2)]), count


def _at(value, t, length):
    """Takes a step of a sequence, `[n, 1, ...]`; a vector `[n, D]`, or what else is no sequence, is for all steps."""
    if len(value.shape) < 3 or value.shape[1] != length:
        return value
    return ops.take(value, ops.reshape(ops.cast(t, "int32"), (1,)), axis=1)
