"""Layers that draw, observed: the statistics of their noise."""

import keras
import numpy as np

from vaekit.backend import value_and_gradient
from vaekit.course.observe import generators
from vaekit.course.observe.layers import CONFIG, copy, layer_class
from vaekit.course.observe.values import Fault, Wrong, fault_or, plain, tensors

SYMBOLS = (
    " There the batch size is not known: take shapes in `call`, by `ops.shape`, and compute with `ops` throughout."
)
SAME = 1 - 1e-6  # a correlation of noise that is the same
OF_NOISE = ("spread", "rows", "dimensions", "calls", "kurtosis", "same seed", "other seed", "no seed", "restored")


def random_layer(answer, seed, _takes, _draws, **arguments):
    r"""What many draws of a layer tell, whose output is $z = m + s\varepsilon$ with standard normal ε.

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
        - "gradient of NAME", "gradient of NAME, root mean square": of the sum of z, over draws, for each input;
        - "in a model": shape of what a functional model of unknown batch size gives.
    """
    inputs = {name: arguments.pop(name) for name in _takes}
    probe = _Probe(layer_class(answer), arguments, inputs, _draws)
    with generators.undisturbed():
        found = probe.noise(seed)
        drawn = not isinstance(found["rows"], Fault)
        return found | probe.gradients(seed) | {"in a model": probe.in_a_model(seed, drawn)}


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


def _distance(z, other, spread):
    return np.sqrt(np.mean(((z - other) / spread) ** 2))


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
        return z.reshape(self.count, B, D)

    def noise(self, seed):
        """All observations of draws."""
        with generators.watched() as creation:
            layer, twin = self.made(seed), self.made(seed)  # both are made before either draws
        first = self.draws(layer)
        with generators.watched() as call:
            second = self.draws(layer)
        again = self.draws(twin)
        found = statistics(first, second)
        if not found["spread"].any():
            same = np.array_equal(first, second)
            return found | dict.fromkeys(OF_NOISE, self._no_noise(layer, first) if same else generators.ROWS)
        found |= self._of_seeds(seed, first, found["spread"])
        found["same seed"] = _distance(first, again, found["spread"])
        if creation["global state"]:
            found["same seed"] = generators.GLOBAL
        elif call["unseeded"]:
            found["same seed"] = generators.UNSEEDED
        elif found["same seed"] > 1e-3:
            found["same seed"] = generators.IGNORED
        if found["dimensions"] > SAME:
            found["dimensions"] = generators.DIMENSIONS
        if found["calls"] > SAME or generators.by_numpy(layer, call):
            found["calls"] = generators.repeated(layer, call)
        return found

    def _of_seeds(self, seed, first, spread):
        """What comes of another seed, of none, and of one that was saved."""
        other = statistics(first, self.draws(self.made(seed + 1)))["calls"]
        none = statistics(*map(self.draws, [self.made(None), self.made(None)]))["calls"]
        return {
            "other seed": generators.FIXED if other > SAME else other,
            "no seed": generators.NONE if none > SAME >= other else none,
            "restored": fault_or(
                lambda: _distance(first, self.draws(copy(self.answer, {"seed": seed, **self.arguments})), spread),
                self.answer,
                "a layer made again from `get_config()`",
                CONFIG,
            ),
        }

    def _no_noise(self, layer, first):
        try:
            in_training = not np.array_equal(self.draws(layer, training=True), first)
        except TypeError:  # it takes no such argument
            in_training = False
        return generators.no_noise(in_training)

    def gradients(self, seed):
        layer = self.made(seed)

        def slopes():
            _, found = value_and_gradient(lambda *given: keras.ops.sum(self.called(layer, given)), *self.given)
            return [plain(slope).reshape(self.count, *self.shape) for slope in found]

        found = fault_or(slopes, self.answer)
        named = {}
        for i, name in enumerate(f"gradient of {name}" for name in self.names):
            wrong = isinstance(found, Fault)
            named[name] = found if wrong else found[i].mean(0)
            named[f"{name}, root mean square"] = found if wrong else np.sqrt(np.mean(found[i] ** 2, 0))
        return named

    def in_a_model(self, seed, drawn):
        """Shape of what a functional model gives; a layer that has noise, `drawn`, has it in `predict`, too."""

        def shape():
            symbols = [keras.Input(self.shape[1:]) for _ in self.given]
            model = keras.Model(symbols, self.called(self.made(seed), symbols))
            few = [given[:5] for given in self.given]
            z, B = plain(model(few, training=False)), self.shape[0]
            if drawn and np.array_equal(z[:1], z[B : B + 1]):  # of the same inputs
                raise Wrong("with `training=False`, as in `predict`, there is no noise; this layer draws always.")
            return z.shape

        return fault_or(shape, self.answer, "a functional model with the layer", SYMBOLS)
