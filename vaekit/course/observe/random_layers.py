"""Layers that draw, observed: the statistics of their noise, and where it comes from."""

import random
from contextlib import contextmanager

import keras
import numpy as np

from vaekit.backend import value_and_gradient
from vaekit.course.observe.layers import CONFIG, copy, layer_class
from vaekit.course.observe.values import Fault, Wrong, fault_or, plain, tensors

SYMBOLS = (
    " There the batch size is not known, and tensors have no values yet: take shapes in `call`, by `ops.shape`, and "
    "compute with `ops` throughout."
)


def random_layer(answer, seed, _takes, _draws, **arguments):
    r"""What many draws of a layer tell, whose output is $z = m + s\varepsilon$ with standard normal ε, number by number.

    Args:
        answer: the layer's class; takes `seed`, and `arguments` that are not in `_takes`.
        seed: an int.
        _takes: names of the tensors `[B, D]` that the layer is called with, in one tuple if there are several; each is
            given `_draws` times in one batch.

    Returns: dict; noise is ε, estimated from the draws themselves.
        - "centre", "spread": means and standard deviations of z, `[B, D]`;
        - "rows", "dimensions", "calls", "other seed", "no seed": correlations of the ε of neighbouring rows, of
          neighbouring dimensions, of two calls, of two layers with different seeds, or without one;
        - "same seed", "restored": root of the mean squared difference of z between two layers with the same seed, and
          between such a layer and one made from its config, in units of the spread;
        - "kurtosis": E ε⁴ / (E ε²)², 3 for a normal distribution;
        - "gradient of NAME", "…, root mean square": of the sum of z, over draws, for each input;
        - "in a model": shape of what a functional model of unknown batch size gives.
    """
    layer_class(answer)
    inputs = [arguments.pop(name) for name in _takes]
    given = list(tensors({name: np.tile(a, (_draws, 1)) for name, a in zip(_takes, inputs, strict=True)}).values())
    B, D = shape = inputs[0].shape

    def made(seed):
        return answer(seed=seed, **arguments)

    def draws(layer, **options):
        z = plain(layer(given[0] if len(given) == 1 else tuple(given), **options))
        if z.shape != (_draws * B, D):
            raise Wrong(f"for inputs of the shape {tuple(given[0].shape)}, draws have the shape {z.shape}.")
        return z.reshape(_draws, B, D)

    with watched() as creation:
        layer, twin = made(seed), made(seed)  # both are made before either draws
    first = draws(layer)
    with watched() as call:
        second = draws(layer)
    again = draws(twin)
    found = statistics(first, second)

    def silent():
        try:
            return "" if np.array_equal(draws(layer, training=True), first) else " outside of `training=True`"
        except TypeError:
            return ""

    if not found["spread"].any():
        noise = ("spread", "rows", "dimensions", "calls", "kurtosis", "same seed", "other seed", "no seed", "restored")
        fault = _no_noise(silent()) if np.array_equal(first, second) else ROWS
        found |= dict.fromkeys(noise, fault)
    else:
        found |= _of_seeds(made, draws, seed, first, again, creation, call, found["spread"])
        found["restored"] = fault_or(
            lambda: distance(first, draws(copy(answer, {"seed": seed, **arguments})), found["spread"]),
            answer, "a layer made again from `get_config()`", CONFIG,
        )  # fmt: skip
        if D > 1 and np.isclose(found["dimensions"], 1):
            found["dimensions"] = DIMENSIONS
        if call["numpy"] or (found["calls"] > 0.999999 and np.isfinite(found["calls"])):
            found["calls"] = _repeated(layer, call)

    def slopes():
        values = value_and_gradient(
            lambda *values: keras.ops.sum(layer(values if len(values) > 1 else values[0])), *given
        )
        named = {}
        for name, slope in zip(_takes, values[1], strict=True):
            slope = plain(slope).reshape(_draws, *shape)
            named[f"gradient of {name}"] = slope.mean(0)
            named[f"gradient of {name}, root mean square"] = np.sqrt(np.mean(slope**2, 0))
        return named

    gradients = fault_or(slopes, answer)
    if isinstance(gradients, Fault):
        names = [f"gradient of {name}{end}" for name in _takes for end in ("", ", root mean square")]
        gradients = dict.fromkeys(names, gradients)

    def in_a_model():
        symbols = [keras.Input((D,)) for _ in given]
        model = keras.Model(symbols, made(seed)(tuple(symbols) if len(symbols) > 1 else symbols[0]))
        return np.shape(model([g[:5] for g in given]))

    return (
        found | gradients | {"in a model": fault_or(in_a_model, answer, "a functional model with the layer", SYMBOLS)}
    )


def statistics(first, second):
    """Of the draws of two calls, `[draws, B, D]`: "centre", "spread", and what is 0, or 3, of good noise."""
    center, spread = first.mean(0), first.std(0)
    spread = np.where(spread > 1e-6 * (1 + np.abs(center)), spread, 0 * spread)
    with np.errstate(all="ignore"):
        noise, other = (first - center) / spread, (second - second.mean(0)) / spread
        rows = noise.reshape(-1, noise.shape[-1])  # [draws · B, D]
        return {
            "rows": np.mean(rows[1:] * rows[:-1]),
            "dimensions": np.mean(rows[:, 1:] * rows[:, :-1]) if rows.shape[1] > 1 else 0.0,
            "calls": np.mean(noise * other),
            "spread": spread,
            "kurtosis": np.mean(noise**4),
            "centre": center,
        }


def distance(z, other, spread):
    return np.sqrt(np.mean(((z - other) / spread) ** 2))


def _of_seeds(made, draws, seed, first, again, creation, call, spread):
    """What comes of the same seed, another one, and none."""
    other = statistics(first, draws(made(seed + 1)))["calls"]
    nameless = [made(None), made(None)]
    none = statistics(*map(draws, nameless))["calls"]
    found = {"same seed": distance(first, again, spread), "other seed": other, "no seed": none}
    if creation["global state"]:
        found["same seed"] = GLOBAL
    elif call["unseeded"]:
        found["same seed"] = UNSEEDED
    elif found["same seed"] > 1e-3:
        found["same seed"] = IGNORED
    if other > 0.999999:
        found["other seed"] = FIXED
    elif none > 0.999999:
        found["no seed"] = NONE
    return found


@contextmanager
def watched():
    """Which generators of random numbers are made and used meanwhile, and whether anybody else's numbers change.

    Yields: dict of "made" and "used", lists of `SeedGenerator`; "unseeded": whether Keras drew by its global one;
    "numpy": whether NumPy drew, or made a generator; "global state": whether a global generator was set.
    """
    kind, seen = keras.random.SeedGenerator, {"made": [], "used": [], "unseeded": False, "numpy": False}
    make, advance, makers = kind.__init__, kind.next, (np.random.default_rng, np.random.RandomState)

    def __init__(self, *arguments, **options):
        seen["made"].append(self)
        make(self, *arguments, **options)

    def next(self, ordered=True):
        seen["used"].append(self)
        seen["unseeded"] |= not ordered  # as Keras calls it where no seed is given
        return advance(self, ordered)

    def noticed(function):
        def made(*arguments, **options):
            seen["numpy"] = True
            return function(*arguments, **options)

        return made

    before, python = np.random.get_state(), random.getstate()
    np.random.random()  # from here on, a seed that is set anew is a change, whichever it is
    state = np.random.get_state()
    kind.__init__, kind.next = __init__, next
    np.random.default_rng, np.random.RandomState = map(noticed, makers)
    try:
        yield seen
    finally:
        kind.__init__, kind.next = make, advance
        np.random.default_rng, np.random.RandomState = makers
        changed = not all(map(np.array_equal, state, np.random.get_state()))
        seen["global state"] = changed
        seen["numpy"] |= changed
        np.random.set_state(before)
        if changed:
            random.setstate(python)


def _no_noise(when):
    says = f"every draw is the same: there is no noise{when}."
    if when:
        says += " Keras' own noise layers are silent then; this one draws always."
    return Fault("no_noise", says)


def _repeated(layer, call):
    """Why every call gives the same noise, or noise that only seems to be new."""
    attributes = vars(layer).values()
    if call["numpy"] or any(isinstance(a, (np.random.Generator, np.random.RandomState)) for a in attributes):
        return NUMPY
    if call["made"]:
        return MADE_IN_CALL
    if any(isinstance(a, keras.random.SeedGenerator) for a in attributes):
        return Fault(
            "same_noise_each_call",
            "every call gives the same noise: the layer has a `SeedGenerator`, but does not draw by it. Pass it, not "
            "the int that it was made of, as the `seed` of `keras.random.normal`.",
        )
    return Fault(
        "same_noise_each_call",
        "every call gives the same noise: the layer has no `SeedGenerator`, and an int as a seed gives the same "
        "numbers each time. Make a `keras.random.SeedGenerator(seed)` once, in `__init__`, and pass that.",
    )


ROWS = Fault(
    "one_noise_for_all_rows",
    "all rows of a batch get the same noise: draw noise of the shape of the whole input, not of one row of it.",
)
DIMENSIONS = Fault(
    "one_noise_for_all_dimensions",
    "all dimensions of a row get the same noise: draw noise of the shape of the whole input, `[B, D]`.",
)
NUMPY = Fault(
    "numpy_noise",
    "the noise comes from NumPy. In compiled code, as `fit` and `predict` make it, NumPy draws once, and its numbers are "
    "a constant from then on: draw with `keras.random.normal` and a `SeedGenerator` made in `__init__`.",
)
MADE_IN_CALL = Fault(
    "generator_in_call",
    "a new `SeedGenerator` is made in every call, so every call starts from the seed again. Make it once, in "
    "`__init__`.",
)
GLOBAL = Fault(
    "global_seed",
    "to make a layer changes the global random state (`keras.utils.set_random_seed`, `np.random.seed`?), on which "
    "others rely; and two layers disturb each other. Give the layer a `keras.random.SeedGenerator(seed)` of its own.",
)
UNSEEDED = Fault(
    "unseeded",
    "noise is drawn without the layer's seed, from Keras' global generator: pass the layer's `SeedGenerator`, as in "
    "`keras.random.normal(shape, seed=self.seed_generator)`.",
)
IGNORED = Fault(
    "seed_ignored",
    "two layers with the same seed draw different numbers: the seed given to `__init__` is not used.",
)
FIXED = Fault(
    "seed_fixed",
    "two layers with different seeds draw the same numbers: the seed given to `__init__` is not used.",
)
NONE = Fault(
    "none_is_a_seed",
    "two layers made without a seed (`seed=None`) draw the same numbers: None stands for a new seed each time. "
    "`SeedGenerator(None)` takes one by itself; `seed or 0` makes 0 of it.",
)
