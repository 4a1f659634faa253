"""Layers that draw, observed: what they draw, and, where no code of theirs runs, the statistics of their noise."""

import keras
import numpy as np

from vaekit.backend import value_and_gradient
from vaekit.course.observe import generators
from vaekit.course.observe.layers import CONFIG, copy, layer_class
from vaekit.course.observe.values import Fault, Wrong, fault_or, plain, tensors

SYMBOLS = (
    " There the batch size is not known: take shapes in `call`, by `ops.shape`, and compute with `ops` throughout."
)
FEW = 5  # rows that a functional model is called with
SAME = 1 - 1e-6  # a correlation of noise that is the same
OF_NOISE = ("spread", "rows", "dimensions", "calls", "kurtosis", "same seed", "other seed", "no seed", "restored")


def random_layer(answer, seed, _takes, _draws, **arguments):
    r"""What layers of a class draw whose output is $z = m + s\varepsilon$ with standard normal ε.

    Args:
        answer: the layer's class; takes `seed`, and `arguments` that are not in `_takes`.
        seed: an int.
        _takes: names of the tensors `[B, D]` that the layer is called with, in one tuple if there are several; each is
            given `_draws` times in one batch.

    Returns: dict.
        - draws z, `[draws, B, D]`: "first" and "second" of one layer; "twin", of another one with the same seed;
          "other", with another seed; "none" and "none too", of two layers without a seed; "copy", of a layer made from
          the first one's config;
        - "slope of NAME", `[draws, B, D]`: the gradient of the sum of z, for each input;
        - "in a model": what a functional model of unknown batch size gives for `FEW` rows of each input;
        - `Fault`s: of what "same seed" and "calls" are wrong with, whatever is drawn; "without noise" and "repeated",
          why that may be, if it is.
    """
    inputs = {name: arguments.pop(name) for name in _takes}
    probe = _Probe(layer_class(answer), arguments, inputs, _draws)
    with generators.undisturbed():
        return probe.noise(seed) | probe.slopes(seed) | {"in a model": probe.in_a_model(seed)}


class _Probe:
    """A class of layers, and what they are made from and called with."""

    def __init__(self, answer, arguments, inputs, draws):
        self.answer, self.arguments, self.names, self.count = answer, arguments, list(inputs), draws
        self.shape = next(iter(inputs.values())).shape
        self.given = list(tensors({name: np.tile(a, (draws, 1)) for name, a in inputs.items()}).values())

    def made(self, seed):
        return self.answer(seed=seed, **self.arguments)

    def called(self, layer, given, **options):
        return layer(tuple(given) if len(given) > 1 else given[0], **options)

    def draws(self, layer, **options):
        """`[draws, B, D]`"""
        z = plain(self.called(layer, self.given, **options))
        B, D = self.shape
        if z.shape != (self.count * B, D):
            raise Wrong(f"for inputs of the shape {tuple(self.given[0].shape)}, draws have the shape {z.shape}.")
        return _single(z.reshape(self.count, B, D))

    def noise(self, seed):
        """All draws, and what was noticed meanwhile."""
        with generators.watched() as creation:
            layer, twin = self.made(seed), self.made(seed)  # both are made before either draws
        found = {"first": self.draws(layer)}
        with generators.watched() as call:
            found["second"] = self.draws(layer)
        found["twin"] = self.draws(twin)
        if np.array_equal(found["first"][0], found["first"][-1]):
            found["without noise"] = self._no_noise(layer, found["first"])
        found["other"] = fault_or(lambda: self.draws(self.made(seed + 1)), self.answer)
        both = fault_or(lambda: [self.made(None), self.made(None)], self.answer, "a layer made without a seed")
        for i, name in enumerate(("none", "none too")):
            found[name] = both if isinstance(both, Fault) else fault_or(lambda i=i: self.draws(both[i]), self.answer)
        found["copy"] = fault_or(
            lambda: self.draws(copy(self.answer, {"seed": seed, **self.arguments})),
            self.answer,
            "a layer made again from `get_config()`",
            CONFIG,
        )
        if creation["global state"]:
            found["same seed"] = generators.GLOBAL
        elif call["unseeded"]:
            found["same seed"] = generators.UNSEEDED
        found["repeated"] = generators.repeated(layer, call)
        if generators.by_numpy(layer, call):
            found["calls"] = found["repeated"]
        return found

    def _no_noise(self, layer, first):
        try:
            in_training = not np.array_equal(self.draws(layer, training=True), first)
        except TypeError:  # it takes no such argument
            in_training = False
        return generators.no_noise(in_training)

    def slopes(self, seed):
        layer = self.made(seed)

        def slopes():
            _, found = value_and_gradient(lambda *given: keras.ops.sum(self.called(layer, given)), *self.given)
            return [_single(plain(slope).reshape(self.count, *self.shape)) for slope in found]

        found = fault_or(slopes, self.answer)
        found = [found] * len(self.names) if isinstance(found, Fault) else found
        return {f"slope of {name}": slope for name, slope in zip(self.names, found, strict=True)}

    def in_a_model(self, seed):
        def called():
            symbols = [keras.Input(self.shape[1:]) for _ in self.given]
            model = keras.Model(symbols, self.called(self.made(seed), symbols))
            return plain(model([given[:FEW] for given in self.given], training=False))

        return fault_or(called, self.answer, "a functional model with the layer", SYMBOLS)


def _single(z):
    """Numbers in float32, in which layers draw: half as many bytes to send."""
    with np.errstate(over="ignore"):
        return z.astype(np.float32)


# ---- where none of the layer's code runs


def measured(seen, inputs, takes, draws):
    """What draws tell. Nothing is assumed of them; raises an exception if they are not what was asked for.

    Args:
        seen: what `random_layer` returned, or somebody who wants to deceive.
        inputs: dict of arrays, of the case.
        takes, draws: as there.

    Returns: dict; noise is ε, estimated from the draws themselves.
        - "centre", "spread": means and standard deviations of z, `[B, D]`;
        - "rows", "dimensions", "calls", "other seed", "no seed": correlations of the ε of neighbouring rows, of
          neighbouring dimensions, of two calls, of two layers with different seeds, or without one;
        - "same seed", "restored": root of the mean squared difference of z between two layers with the same seed, and
          between such a layer and one made from its config, in units of the spread;
        - "kurtosis": E ε⁴ / (E ε²)², 3 for a normal distribution;
        - "gradient of NAME", "gradient of NAME, root mean square": of the sum of z, over draws, for each input;
        - "in a model": shape of what a functional model of unknown batch size gives.
    """
    shape = (draws, *np.shape(inputs[takes[0]]))
    z = {name: seen[name] for name in ("first", "second", "twin", "other", "none", "none too", "copy")}
    slopes = {name: seen[f"slope of {name}"] for name in takes}
    if any(np.shape(a) != shape for a in (*z.values(), *slopes.values()) if not isinstance(a, Fault)):
        raise ValueError(f"expected draws of the shape {shape}")
    with np.errstate(all="ignore"):
        found = _of_noise(seen, z)
        drawn = not isinstance(found["rows"], Fault)
        for name, slope in slopes.items():
            fault = isinstance(slope, Fault)
            found[f"gradient of {name}"] = slope if fault else slope.mean(0)
            found[f"gradient of {name}, root mean square"] = slope if fault else np.sqrt(np.mean(slope**2, 0))
        return found | {"in a model": _of_a_model(seen["in a model"], shape[1], drawn)}


def statistics(first, second):
    """Of the draws of two calls, `[draws, B, D]`: "centre", "spread", and what is 0, or 3, of good noise."""
    center, spread = first.mean(0), first.std(0)
    spread = np.where(spread <= 1e-6 * (1 + np.abs(center)), 0, spread)  # float32's rounding; nan stays
    with np.errstate(all="ignore"):
        noise = (first - center) / spread
        rows = noise.reshape(-1, noise.shape[-1])  # [draws · B, D]
        return {
            "rows": np.mean(rows[1:] * rows[:-1]),
            "dimensions": np.mean(rows[:, 1:] * rows[:, :-1]),
            "calls": np.mean(noise * (second - second.mean(0)) / second.std(0)),
            "spread": spread,
            "kurtosis": np.mean(noise**4),
            "centre": center,
        }


def _of_noise(seen, z):
    """All observations of draws."""
    first = z["first"]
    found = statistics(first, z["second"])
    if not found["spread"].any():
        same = np.array_equal(first, z["second"])
        none = seen.get("without noise", generators.no_noise(False))
        return found | dict.fromkeys(OF_NOISE, none if same else generators.ROWS)

    def distance(other):
        return other if isinstance(other, Fault) else np.sqrt(np.mean(((first - other) / found["spread"]) ** 2))

    def correlation(one, other):
        return next((a for a in (one, other) if isinstance(a, Fault)), None) or statistics(one, other)["calls"]

    def same(value):
        return not isinstance(value, Fault) and value > SAME

    other, none = correlation(first, z["other"]), correlation(z["none"], z["none too"])
    found["other seed"] = generators.FIXED if same(other) else other
    found["no seed"] = generators.NONE if same(none) and not same(other) else none
    found["restored"], twin = distance(z["copy"]), distance(z["twin"])
    found["same seed"] = seen.get("same seed", generators.IGNORED if twin > 1e-3 else twin)
    if same(found["dimensions"]):
        found["dimensions"] = generators.DIMENSIONS
    if same(found["calls"]) or "calls" in seen:
        found["calls"] = seen["repeated"]
    return found


def _of_a_model(z, rows, drawn):
    """Shape of what a functional model gave; a layer that has noise, `drawn`, has it in `predict`, too."""
    if isinstance(z, Fault):
        return z
    if drawn and z.ndim and np.array_equal(z[:1], z[rows : rows + 1]):  # of the same inputs
        return Fault("refused", "with `training=False`, as in `predict`, there is no noise; this layer draws always.")
    return np.array(z.shape)
