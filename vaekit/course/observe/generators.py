"""Finds where a layer's random numbers come from, and has the messages on bad sources."""

import random
from contextlib import contextmanager

import keras
import numpy as np

from vaekit.course.observe.values import Fault


@contextmanager
def undisturbed():
    """Lets Python's and NumPy's global random numbers go on afterwards as if nothing had been drawn."""
    before, python = np.random.get_state(), random.getstate()
    try:
        yield
    finally:
        np.random.set_state(before)
        random.setstate(python)


@contextmanager
def watched():
    """Watches which generators are made and drawn from, and whether anybody else's random numbers change.

    Yields: dict of "generators": number of new `SeedGenerator`s; "unseeded": whether Keras drew by its global one;
    "numpy": whether NumPy drew, or made a generator; and, at the end, "global state": whether a global generator has
    changed.
    """
    kind, events = keras.random.SeedGenerator, {"generators": 0, "unseeded": False, "numpy": False}
    make, advance, default_rng, old = kind.__init__, kind.next, np.random.default_rng, np.random.RandomState

    def __init__(self, *arguments, **options):
        events["generators"] += 1
        make(self, *arguments, **options)

    def next(self, ordered=True):
        events["unseeded"] |= not ordered  # as Keras calls it where no seed is given
        return advance(self, ordered)

    def noticed(seed=None):
        events["numpy"] = True
        return default_rng(seed)

    class RandomState(old):
        def __init__(self, *arguments):
            events["numpy"] = True
            super().__init__(*arguments)

    np.random.random()  # from here on, a seed that is set anew is a change, whichever it is
    state = np.random.get_state()
    kind.__init__, kind.next, np.random.default_rng, np.random.RandomState = __init__, next, noticed, RandomState
    try:
        yield events
    finally:
        kind.__init__, kind.next, np.random.default_rng, np.random.RandomState = make, advance, default_rng, old
        events["global state"] = not all(map(np.array_equal, state, np.random.get_state()))
        events["numpy"] |= events["global state"]


def no_noise(in_training):
    """Returns the `Fault` of a layer without noise, which may have some where `training=True`."""
    message = "every draw is the same: there is no noise, or it is drawn only once, when the layer is made."
    if in_training:
        message = "there is noise only where `training=True`, as in Keras' own noise layers; this one draws always."
    return Fault("no_noise", message)


def by_numpy(layer, call):
    """Whether a layer draws by NumPy, in what was `watched` or by an attribute."""
    kinds = (np.random.Generator, np.random.RandomState)
    return call["numpy"] or any(isinstance(attribute, kinds) for attribute in vars(layer).values())


def repeated(layer, call):
    """Returns the `Fault` of a layer whose calls give the same noise, or noise that only seems to be new."""
    if by_numpy(layer, call):
        return NUMPY
    if call["generators"]:
        return MADE_IN_CALL
    if any(isinstance(a, keras.random.SeedGenerator) for a in vars(layer).values()):
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
    "the noise comes from NumPy. In compiled code, as `fit` and `predict` make it, NumPy draws once, and its numbers "
    "are a constant from then on: draw with `keras.random.normal` and a `SeedGenerator` made in `__init__`.",
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
    "two layers with the same seed draw different numbers: they do not come from the seed given to `__init__`. Make a "
    "`keras.random.SeedGenerator(seed)` of it, there, and draw by that.",
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
