"""How answers to exercises become arrays. Nothing here knows what is right: this file is also what graded code may see.

An observer is called with the answer and a case's inputs and options, and returns a dict of arrays. Its arguments are
what `exercise.Case` and `exercise.Observe` hold; its result is all that a judge ever sees of an answer.
"""

import inspect
import linecache
import math
import traceback

import keras
import numpy as np

from vaekit.backend import value_and_gradient
from vaekit.course.exercise import VALUE, Fault

LARGEST = 10_000_000  # numbers in one observation


def observe(name, answer, inputs, options):
    """What an observer finds: a dict of float64 arrays, or a `Fault` that says what went wrong in the answer."""
    try:
        _takes(answer, inputs)
        found = OBSERVERS[name](answer, **inputs, **{f"_{key}": value for key, value in options.items()})
        return {key: plain(value) for key, value in found.items()}
    except NotImplementedError:
        return Fault("unanswered", "not answered yet.")
    except Wrong as error:
        return Fault("refused", str(error))
    except Exception as error:  # whatever an answer raises is its fault, and is told as such
        return Fault("error", told(error))


def _takes(answer, inputs):
    """Refuses a function of other arguments than the case has, before it is called."""
    if not inspect.isfunction(answer):
        return
    try:
        inspect.signature(answer).bind(**inputs)
    except TypeError as error:
        wanted = ", ".join(inputs)
        raise Wrong(f"it should take the arguments ({wanted}): {error}.") from None


class Wrong(Exception):
    """What an answer returned cannot be observed."""


def told(error):
    """An exception as a sentence: where it was raised in the learner's code, and what the usual reason is."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename not in _OURS]
    own = [f for f in frames if f.filename.startswith(("<ipython", "<string")) or "ipykernel" in f.filename]
    line = (own or frames or [None])[-1]
    source = line and (line.line or linecache.getline(line.filename, line.lineno).strip())
    text = str(error).strip().split("\n")[0][:300]
    where = f" in `{source}`" if source else ""
    kind = type(error).__name__
    hint = next((hint for name, hint in _USUAL.items() if name in kind), "")
    return f"it raised `{kind}: {text}`{where}.{hint}"


_OURS = {__file__}
_USUAL = {
    "TracerArrayConversion": " NumPy cannot be differentiated: use `keras.ops`.",
    "ConcretizationType": " Python's `if` and `float` cannot be differentiated: use `keras.ops.where`.",
}


def plain(value):
    """A tensor, a number, or a list of numbers as an array of its own, float64.

    Raises:
        Wrong: anything else.
    """
    if value is None:
        raise Wrong("nothing came back; is there a `return`?")
    try:
        array = np.array(keras.ops.convert_to_numpy(value), copy=True, subok=False)
    except Exception:
        raise Wrong(f"expected a tensor, received a value of type `{type(value).__name__}`.") from None
    if array.dtype.kind not in "fiub" and array.dtype.name != "bfloat16":
        raise Wrong(f"expected a tensor of numbers, received {array.dtype} values.")
    if array.size > LARGEST:
        raise Wrong(f"a tensor of {array.size:,} numbers came back; {LARGEST:,} are the most that are looked at.")
    return array.astype(np.float64)


def tensors(inputs):
    """Arrays as the backend's tensors; numbers and texts stay."""
    return {
        name: keras.ops.convert_to_tensor(value, "float32" if value.dtype.kind == "f" else None)
        if isinstance(value, np.ndarray)
        else value
        for name, value in inputs.items()
    }


def callable_or_wrong(answer):
    if not callable(answer):
        raise Wrong(f"expected something to call, received a value of type `{type(answer).__name__}`.")
    return answer


# ---- observers


def call(answer, **inputs):
    """What a function returns."""
    return {VALUE: callable_or_wrong(answer)(**tensors(inputs))}


def gradients(answer, _of, **inputs):
    """What a function returns, and the gradient of its sum with respect to some inputs: "gradient of mean"."""
    call_ = callable_or_wrong(answer)
    given, kept = tensors(inputs), []

    def total(*values):
        result = call_(**{**given, **dict(zip(_of, values, strict=True))})
        kept.append(result)
        return keras.ops.sum(result)

    value = plain(call_(**given))
    _, slopes = value_and_gradient(total, *(given[name] for name in _of))
    return {VALUE: value, **{f"gradient of {name}": slope for name, slope in zip(_of, slopes, strict=True)}}


def number(answer):
    """A number derived by hand."""
    if callable(answer) or np.ndim(answer) or isinstance(answer, (str, bytes)):
        raise Wrong(f"expected a number, received a value of type `{type(answer).__name__}`.")
    if answer is None or answer is Ellipsis or (isinstance(answer, float) and math.isnan(answer)):
        raise NotImplementedError
    return {VALUE: float(answer)}


OBSERVERS = {observer.__name__: observer for observer in (call, gradients, number)}
