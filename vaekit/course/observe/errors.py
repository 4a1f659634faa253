"""Describes an exception in a sentence: the learner's own line, and the words that say why."""

import inspect
import linecache
import re
import traceback
from pathlib import Path

_PACKAGE = str(Path(__file__).parents[2])


def describe_error(error, where="it", answer=None):
    """Describes an exception in a sentence: what was raised, in which line of the learner's code, and the usual reason.

    Args:
        error: the exception.
        where: what raised it.
        answer: function or class that was called. Where the line stands in another function of the learner's, such as
            the answer to an earlier question, that one is named.
    """
    if "_error_repr" in str(error) and error.__context__:  # Keras makes JAX's exceptions anew, which these do not bear
        error = error.__context__
    kind = next(kind.__name__ for kind in type(error).__mro__ if not kind.__name__.startswith("_"))
    text = reason(str(error))
    own = [(frame, line) for frame, line in traceback.walk_tb(error.__traceback__) if is_own(frame, answer)]
    source, place = "", ""
    if own:
        frame, number = own[-1]
        source = linecache.getline(frame.f_code.co_filename, number, frame.f_globals).strip()
        place = f" in your `{_name(frame.f_code)}`, which it calls" if answer and not _within(frame, answer) else ""
    if isinstance(error, SyntaxError):
        text, source = error.msg, (error.text or "").strip()
    if mixed := re.search(r"expected to be a (\w+) tensor but is a (\w+) tensor", text):
        types = {"float": "float32", "double": "float64", "int": "int32"}
        text = "tensors of {} and {} do not mix".format(*(types.get(one, one) for one in mixed.groups()))
    at = f"{place}: `{source}`" if place and source else f"{place} in `{source}`" if source else place
    hint = next((hint for pattern, hint in _USUAL.items() if re.search(pattern, f"{kind}: {error}")), "")
    return f"{where} raised `{kind}: {text}`{at}.{hint}"


def is_own(frame, answer=None):
    """Whether a frame is of the learner's code: of a notebook's cells, or of the module that the answer stands in."""
    file, names = frame.f_code.co_filename, frame.f_globals
    if file.startswith(_PACKAGE):
        return False
    cell = file.startswith(("<ipython", "<string")) or "ipykernel" in file
    return cell or names.get("__name__") == "__main__" or any(names is own for own in _namespaces(answer))


def _namespaces(answer):
    """Lists the globals of an answer's functions."""
    functions = [answer, *vars(answer).values()] if inspect.isclass(answer) else [answer]
    return [function.__globals__ for function in map(inspect.unwrap, functions) if inspect.isfunction(function)]


def _within(frame, answer):
    """Whether a frame is of the answer itself: of its methods, and of functions defined in it."""
    name = getattr(answer, "__qualname__", "")
    return frame.f_code.co_qualname == name or frame.f_code.co_qualname.startswith(f"{name}.")


def _name(code):
    return code.co_qualname.split("<locals>.")[-1]


def reason(text):
    """Returns the line of a message that says why, without what Keras and TensorFlow wrap it in."""
    for wrapped in (r"encountered when calling .*?\x1b\[1m(.*?)\x1b\[0m", r".*(?:Error|Exception) encountered:\s+(.*)"):
        if inner := re.search(wrapped, text, re.DOTALL):
            text = inner[1]
    text = re.sub(r"\{\{function_node .*?\}\} |\[Op:\w+\]( name:)?", "", text)
    return text.strip().split("\n")[0][:300].rstrip(" .")


_SYMBOL = (
    " Here a tensor is a symbol, which has no numbers yet: NumPy and Python's `if` cannot take it. Compute with `ops`, "
    "Keras' operations."
)
_USUAL = {
    "TracerArrayConversion": " NumPy cannot be differentiated: use `keras.ops`.",
    "ConcretizationType": " Python's `if` and `float` cannot be differentiated: use `keras.ops.where`.",
    "BoolConversion": " Python's `if` cannot be differentiated: use `keras.ops.where`.",
    r"[Ss]ymbolic|KerasTensor": _SYMBOL,
    r"concatenate (tuple|list)": (
        " A file keeps a tuple as a list, and Keras wraps lists: what should be a tuple is made one by `tuple(...)` in "
        "`__init__`."
    ),
    r"expected to be a (float|double) tensor but is a (float|double) tensor": (
        " The inputs are float32. What NumPy makes of numbers, as `np.array([1.0])` or `np.zeros(3)`, is float64: hand "
        '`dtype="float32"` to it, or `ops.cast` it.'
    ),
}
