"""Makes plain arrays of what an answer returns, or a sentence on why there are none."""

import inspect
import linecache
import traceback
from typing import NamedTuple

import keras
import numpy as np

from vaekit.backend import tfd
from vaekit.course.observe.errors import describe_error, is_own, reason

VALUE = "value"  # what the observation of a plain function is called
DOUBLE, NUMPY = "float64", "NumPy"  # observations, 1 where tensors of float64, or arrays of NumPy, came back
GLOBAL = "global state"  # 1 where a global generator has changed
LARGEST = 2_000_000  # numbers in one observation


class Fault(NamedTuple):
    """The reason why there is no observation.

    Attributes:
        kind: "missing" (no such name), "unanswered" (NotImplementedError), "error", "time", "killed", "refused", or
            what a `Wrong` is called.
        message: what the learner reads.
    """

    kind: str
    message: str


class Wrong(Exception):
    """An error: what an answer returned cannot be observed, or breaks the contract of all answers of its kind.

    Args:
        message: what the learner reads.
        kind: a name for it.
    """

    def __init__(self, message, kind="refused"):
        super().__init__(message)
        self.kind = kind


def fault_or(function, answer=None, where="it", hint=""):
    """Returns what a function returns, or a `Fault` that describes the exception it raised."""
    try:
        return function()
    except Wrong as error:
        return Fault(error.kind, str(error))
    except (Exception, SystemExit) as error:
        if isinstance(error, NotImplementedError) and _left_open(error, answer):
            return Fault("unanswered", "not answered yet.")
        return Fault("error", describe_error(error, where, answer) + hint)


def _left_open(error, answer):
    """Whether it is the learner's own `raise NotImplementedError()`, not one of NumPy's or TensorFlow's."""
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    own = is_own(frame, answer) and "NotImplementedError" in linecache.getline(frame.f_code.co_filename, line)
    return own or not reason(str(error))


def plain(value):
    """Copies a tensor, a number, or a list of numbers to an array of its own, float64.

    Raises:
        Wrong: anything else.
    """
    if value is None:
        raise Wrong("nothing came back; is there a `return`?")
    if isinstance(value, tfd.Distribution):
        raise Wrong("expected a tensor, received a distribution.")
    if isinstance(value, (tuple, list)) and any(keras.ops.is_tensor(one) and len(one.shape) for one in value):
        raise Wrong(f"expected one tensor, received {described(value)}.")
    try:
        array = np.array(keras.ops.convert_to_numpy(value), copy=True, subok=False)
    except Exception:
        raise Wrong(f"expected a tensor, received {described(value)}.") from None
    if array.dtype.kind not in "fiub" and array.dtype.name != "bfloat16":
        raise Wrong(f"expected a tensor of numbers, received {array.dtype} values.")
    if array.size > LARGEST:
        raise Wrong(f"a tensor of {array.size:,} numbers came back; {LARGEST:,} are the most that are looked at.")
    return array.astype(np.float64)


def described(value):
    """Describes a value in words, for a message: a private class goes by a public one that it derives from."""
    if value is None:
        return "nothing (`None`)"
    if isinstance(value, tfd.Distribution):
        return "a distribution"
    if isinstance(value, type):
        return f"the class `{value.__name__}`"
    if inspect.isfunction(value):
        return f"the function `{value.__name__}`"
    if keras.ops.is_tensor(value) or isinstance(value, np.ndarray):
        return f"a tensor of the shape {tuple(value.shape)}"
    if isinstance(value, (tuple, list)):
        return f"{len(value)} values" if len(value) != 1 else f"a {type(value).__name__} of one value"
    public = next(kind for kind in type(value).__mro__ if not kind.__name__.startswith("_"))
    return f"a value of type `{public.__name__}`"


def kinds(value):
    """Returns the kinds that a value is or holds, a set: `DOUBLE` for float64, `NUMPY` for arrays of NumPy."""
    if isinstance(value, (tuple, list)):
        return set().union(*map(kinds, value))
    if isinstance(value, (Fault, np.floating)):
        return set()
    result = {DOUBLE} if "float64" in str(getattr(value, "dtype", "")) else set()
    return result | ({NUMPY} if isinstance(value, np.ndarray) else set())


def tensors(inputs):
    """Converts arrays to the backend's tensors; numbers and texts stay."""
    return {
        name: keras.ops.convert_to_tensor(value, "float32" if value.dtype.kind == "f" else None)
        if isinstance(value, np.ndarray)
        else value
        for name, value in inputs.items()
    }


def callable_or_wrong(answer):
    if not callable(answer):
        raise Wrong(f"expected something to call, received {described(answer)}.")
    return answer


def by_name(result, names):
    """Returns what came back by name: a single value, or as many as there are names."""
    if names is None:
        return {VALUE: result}
    if not isinstance(result, (tuple, list)) or len(result) != len(names):
        raise Wrong(f"expected {len(names)} values ({', '.join(names)}), received {described(result)}.")
    return dict(zip(names, result, strict=True))
