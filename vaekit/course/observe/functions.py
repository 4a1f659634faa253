"""Observes functions and numbers."""

import functools
import inspect
import math
import reprlib

import keras
import numpy as np

from vaekit.backend import value_and_gradient
from vaekit.course.observe.values import (
    VALUE,
    Fault,
    Wrong,
    by_name,
    callable_or_wrong,
    described,
    fault_or,
    plain,
    tensors,
)


def takes(answer, inputs):
    """Refuses a function of other arguments than the case has, before it is called."""
    if not inspect.isfunction(answer):
        return
    try:
        inspect.signature(answer).bind(**inputs)
    except TypeError as error:
        has = ", ".join(inspect.signature(answer).parameters)
        wanted = f"it should take the arguments ({', '.join(inputs)}), by these names"
        raise Wrong(f"{wanted}; it takes ({has}): {error}.") from None


def shown(inputs, told):
    """Returns the inputs that an answer is given: those that are `told`, all of them if that is None."""
    return {name: inputs[name] for name in told} if told else inputs


def call(answer, inputs, names=None, told=None):
    """Calls a function twice, and returns its value, or several values by `names`.

    It is given all inputs, or those that are `told`: the rest is for who judges.
    """
    inputs = shown(inputs, told)
    returned = by_name(callable_or_wrong(answer)(**tensors(inputs)), names)
    if all(map(keras.ops.is_tensor, returned.values())):
        _same(inputs, returned, by_name(callable_or_wrong(answer)(**tensors(inputs)), names))
    return returned


def _same(inputs, *returned):
    """Raises `Wrong` where two calls with the same inputs gave different results."""
    first, second = ({name: plain(value) for name, value in values.items()} for values in returned)
    if different := [name for name in first if not np.array_equal(first[name], second[name], equal_nan=True)]:
        given = any("noise" in name for name in inputs)
        use = "use the noise given, draw none" if given else "nothing is to be drawn here"
        which = "" if different == list(first) else f" for `{different[0]}`"
        raise Wrong(f"two calls with the same arguments gave different results{which}: {use}.")


def gradients(answer, inputs, of, names=None):
    """Calls a function, and returns its values and the gradients of their sums with respect to some inputs.

    A gradient is called "gradient of mean"; where the function returns several values, "gradient of sample for mean".
    One that fails, as JAX's do where an answer computes by NumPy, is a `Fault`, and the values count.
    """
    arguments = tensors(inputs)
    at = [arguments[name] for name in of]

    def results(*values):
        return by_name(callable_or_wrong(answer)(**{**arguments, **dict(zip(of, values, strict=True))}), names)

    returned = results(*at)
    _same(arguments, returned, results(*at))
    slopes = {}
    for name in returned:
        summed = functools.partial(lambda name, *values: keras.ops.sum(results(*values)[name]), name)
        gradient = fault_or(lambda summed=summed: value_and_gradient(summed, *at)[1], answer)
        gradient = [gradient] * len(at) if isinstance(gradient, Fault) else gradient
        label = "gradient of {}" if name == VALUE else f"gradient of {name} for {{}}"
        slopes |= {label.format(argument): slope for argument, slope in zip(of, gradient, strict=True)}
    return returned | slopes


def number(answer, inputs):
    """Returns a number derived by hand."""
    if answer is None or answer is Ellipsis:
        raise NotImplementedError
    if callable(answer) or np.ndim(answer) or isinstance(answer, (str, bytes, bool, complex)):
        raise Wrong(f"expected a number, received {described(answer)}.")
    if math.isnan(float(answer)):
        raise Wrong("expected a number, received nan, which is none.")
    return {VALUE: float(answer)}


def settings(answer, inputs, names, choices, problem=()):
    """Returns the settings of an experiment by name: numbers, lists of numbers, and choices among texts by their place.

    Args:
        answer: a dict of settings, or a function of the problem that returns one.
        inputs: the problem, and what else the experiment is made of.
        names: of all settings.
        choices: dict: lists of texts, for the settings that are one of these.
        problem: names of the inputs that a function is told.
    """
    if answer is None or answer is Ellipsis:
        raise NotImplementedError
    if callable(answer):
        told = {name: inputs[name] for name in problem}
        takes(answer, told)
        answer = answer(**told)
    if not isinstance(answer, dict) or set(answer) != set(names):
        came = f"one with the keys {', '.join(map(str, answer))}" if isinstance(answer, dict) else described(answer)
        raise Wrong(f"expected a dict with the keys {', '.join(names)}, the settings; received {came}.")
    for name, texts in choices.items():
        if not isinstance(answer[name], str) or answer[name] not in texts:
            raise Wrong(f"`{name}` should be one of {', '.join(map(repr, texts))}; received {answer[name]!r}.")
    if none := [name for name in names if answer[name] is None]:
        raise Wrong(f"nothing was run. `{none[0]}` is `None`, where a value is expected.")
    for name in set(names) - set(choices):
        try:
            plain(answer[name])
        except Wrong:
            raise Wrong(f"`{name}` is made of numbers; received {reprlib.repr(answer[name])}.") from None
    return {name: choices[name].index(answer[name]) if name in choices else answer[name] for name in names}
