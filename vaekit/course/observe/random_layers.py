"""Observes layers that draw: their draws, and, where no code of theirs runs, the statistics of their noise."""

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
NOISE = ("spread", "rows", "dimensions", "calls", "kurtosis", "same seed", "other seed", "no seed", "restored")


def random_layer(answer, inputs, takes, draws):
    r"""Draws from layers of a class whose output is $z = m + s\varepsilon$ with standard normal ε.

    Args:
        answer: the layer's class; takes `seed`, and those inputs that are not in `takes`.
        inputs: dict of `seed`, an int; the tensors; and the arguments of the layer's constructor.
        takes: names of the tensors `[B, D]` that the layer is called with, in one tuple if there are several.
        draws: how many times each stands in one batch.

    Returns: dict.
        - draws z, `[draws, B, D]`: "first" and "second" of one layer; "twin", of another one with the same seed;
          "other", with another seed; "none" and "none too", of two layers without a seed; "copy", of a layer made from
          the first one's config;
        - "slope of NAME", `[draws, B, D]`: the gradient of the sum of z, for each input;
        - "in a model": what a functional model of unknown batch size gives for `FEW` rows of each input;
        - `Fault`s: what is wrong with "same seed" and "calls", whatever is drawn; "without noise" and "repeated",
          why that may be, if it is.
    """
    seed, called_with = inputs["seed"], {name: inputs[name] for name in takes}
    arguments = {name: value for name, value in inputs.items() if name not in (*takes, "seed")}
    probe = _Probe(layer_class(answer), arguments, called_with, draws)
    with generators.undisturbed():
        return probe.noise(seed) | probe.slopes(seed) | {"in a model": probe.in_a_model(seed)}


class _Probe:
    """A class of layers, and what they are made from and called with."""

    def __init__(self, answer, arguments, inputs, draws):
        self.answer, self.arguments, self.names, self.count = answer, arguments, list(inputs), draws
        self.shape = next(iter(inputs.values())).shape
        self.tensors = list(tensors({name: np.tile(a, (draws, 1)) for name, a in inputs.items()}).values())

    def make(self, seed):
        return self.answer(seed=seed, **self.arguments)

    def call(self, layer, tensors, **options):
        return layer(tuple(tensors) if len(tensors) > 1 else tensors[0], **options)

    def draws(self, layer, **options):
        """Calls a layer: z, `[draws, B, D]`."""
        z = plain(self.call(layer, self.tensors, **options))
        B, D = self.shape
        if z.shape != (self.count * B, D):
            raise Wrong(f"for inputs of the shape {tuple(self.tensors[0].shape)}, draws have the shape {z.shape}.")
        return _single(z.reshape(self.count, B, D))

    def noise(self, seed):
        """Returns all draws, and `Fault`s of where they come from."""
        with generators.watched() as creation:
            layer, twin = self.make(seed), self.make(seed)  # both are made before either draws
        results = {"first": self.draws(layer)}
        with generators.watched() as drawing:
            results["second"] = self.draws(layer)
        results["twin"] = self.draws(twin)
        if np.array_equal(results["first"][0], results["first"][-1]):
            results["without noise"] = self._no_noise(layer, results["first"])
        results["other"] = fault_or(lambda: self.draws(self.make(seed + 1)), self.answer)
        both = fault_or(lambda: [self.make(None), self.make(None)], self.answer, "a layer made without a seed")
        for i, name in enumerate(("none", "none too")):
            results[name] = both if isinstance(both, Fault) else fault_or(lambda i=i: self.draws(both[i]), self.answer)
        results["copy"] = fault_or(
            lambda: self.draws(copy(self.answer, {"seed": seed, **self.arguments})),
            self.answer,
            "a layer made again from `get_config()`",
            CONFIG,
        )
        if creation["global state"]:
            results["same seed"] = generators.GLOBAL
        elif drawing["unseeded"]:
            results["same seed"] = generators.UNSEEDED
        results["repeated"] = generators.repeated(layer, drawing)
        if generators.by_numpy(layer, drawing):
            results["calls"] = results["repeated"]
        return results

    def _no_noise(self, layer, first):
        try:
            in_training = not np.array_equal(self.draws(layer, training=True), first)
        except TypeError:  # it takes no such argument
            in_training = False
        return generators.no_noise(in_training)

    def slopes(self, seed):
        layer = self.make(seed)

        def slopes():
            _, gradients = value_and_gradient(lambda *tensors: keras.ops.sum(self.call(layer, tensors)), *self.tensors)
            return [_single(plain(slope).reshape(self.count, *self.shape)) for slope in gradients]

        gradients = fault_or(slopes, self.answer)
        gradients = [gradients] * len(self.names) if isinstance(gradients, Fault) else gradients
        return {f"slope of {name}": slope for name, slope in zip(self.names, gradients, strict=True)}

    def in_a_model(self, seed):
        def output():
            symbols = [keras.Input(self.shape[1:]) for _ in self.tensors]
            model = keras.Model(symbols, self.call(self.make(seed), symbols))
            return plain(model([tensor[:FEW] for tensor in self.tensors], training=False))

        return fault_or(output, self.answer, "a functional model with the layer", SYMBOLS)


def _single(z):
    """Casts numbers to float32, in which layers draw: half as many bytes to send."""
    with np.errstate(over="ignore"):
        return z.astype(np.float32)


# ---- where none of the layer's code runs


def measured(values, inputs, takes, draws):
    """Measures draws. Nothing is assumed of them; raises an exception if they are not what was asked for.

    Args:
        values: what `random_layer` returned, or somebody who wants to deceive.
        inputs: dict of arrays, of the case.
        takes, draws: as there.

    Returns: dict; noise is ε, estimated from the draws themselves.
        - "centre", "spread": means and standard deviations of z, `[B, D]`;
        - "rows", "dimensions", "calls", "other seed", "no seed": correlations of the ε of two rows, of two
          dimensions (the one farthest from 0), of two calls, of two layers with different seeds, or without one;
        - "same seed", "restored": root of the mean squared difference of z between two layers with the same seed, and
          between such a layer and one made from its config, in units of the spread;
        - "kurtosis": E ε⁴ / (E ε²)², 3 for a normal distribution;
        - "gradient of NAME", "gradient of NAME, root mean square": of the sum of z, over draws, for each input;
        - "in a model": shape of what a functional model of unknown batch size gives.
    """
    shape = (draws, *np.shape(inputs[takes[0]]))
    z = {name: values[name] for name in ("first", "second", "twin", "other", "none", "none too", "copy")}
    slopes = {name: values[f"slope of {name}"] for name in takes}
    if any(np.shape(a) != shape for a in (*z.values(), *slopes.values()) if not isinstance(a, Fault)):
        raise ValueError(f"expected draws of the shape {shape}")
    with np.errstate(all="ignore"):
        observations = _measure_noise(values, z)
        has_noise = not isinstance(observations["rows"], Fault)
        for name, slope in slopes.items():
            fault = isinstance(slope, Fault)
            observations[f"gradient of {name}"] = slope if fault else slope.mean(0)
            observations[f"gradient of {name}, root mean square"] = slope if fault else np.sqrt(np.mean(slope**2, 0))
        return observations | {"in a model": _model_shape(values["in a model"], shape[1], has_noise)}


def statistics(first, second):
    """Measures the draws of two calls, `[draws, B, D]`: "centre", "spread", and what is 0, or 3, of good noise."""
    (_, B, D), center, spread = first.shape, first.mean(0), first.std(0)
    spread = np.where(spread <= 1e-6 * (1 + np.abs(center)), 0, spread)  # float32's rounding; nan stays
    with np.errstate(all="ignore"):
        noise = (first - center) / spread
        rows = noise.reshape(-1, noise.shape[-1])  # [draws · B, D]
        return {
            "rows": _farthest([np.mean(rows[lag:] * rows[:-lag]) for lag in (*range(1, B + 1), len(rows) // 2)]),
            "dimensions": _farthest((rows.T @ rows / len(rows))[np.triu_indices(D, 1)]),  # of all pairs
            "calls": np.mean(noise * (second - second.mean(0)) / second.std(0)),
            "spread": spread,
            "kurtosis": np.mean(noise**4),
            "centre": center,
        }


def _farthest(correlations):
    """Returns the correlation farthest from 0; nan, if there is one."""
    return correlations[np.argmax(np.abs(correlations))]


def _measure_noise(values, z):
    """Computes all observations of draws."""
    first, faults = z["first"], {name: value for name, value in values.items() if isinstance(value, Fault)}
    observations = statistics(first, z["second"])
    if not observations["spread"].any():
        same = np.array_equal(first, z["second"])
        none = faults.get("without noise", generators.no_noise(False))
        return observations | dict.fromkeys(NOISE, none if same else generators.ROWS)

    def distance(other):
        return other if isinstance(other, Fault) else np.sqrt(np.mean(((first - other) / observations["spread"]) ** 2))

    def correlation(one, other):
        return next((a for a in (one, other) if isinstance(a, Fault)), None) or statistics(one, other)["calls"]

    def same(value):
        return not isinstance(value, Fault) and value > SAME

    other, none = correlation(first, z["other"]), correlation(z["none"], z["none too"])
    observations["other seed"] = generators.FIXED if same(other) else other
    observations["no seed"] = generators.NONE if same(none) and not same(other) else none
    observations["restored"], twin = distance(z["copy"]), distance(z["twin"])
    observations["same seed"] = faults.get("same seed", generators.IGNORED if twin > 1e-3 else twin)
    if same(observations["dimensions"]) and np.allclose(
        np.ptp((first - observations["centre"]) / observations["spread"], axis=-1), 0, atol=1e-3
    ):
        observations["dimensions"] = generators.DIMENSIONS  # all of them
    if same(observations["calls"]) or "calls" in faults:
        observations["calls"] = faults["repeated"]
    return observations


def _model_shape(z, rows, has_noise):
    """Returns the shape of a functional model's output; a layer that has noise has it in `predict`, too."""
    if isinstance(z, Fault):
        return z
    if has_noise and z.ndim and np.array_equal(z[:1], z[rows : rows + 1]):  # of the same inputs
        return Fault("refused", "with `training=False`, as in `predict`, there is no noise; this layer draws always.")
    return np.array(z.shape)
