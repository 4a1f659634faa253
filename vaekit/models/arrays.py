"""Checks of arrays by variable name: their shapes, their numbers, and their likelihoods' support; rows in batches."""

import math

import numpy as np
from keras import ops

from vaekit.batches import DynamicBinarization, Redrawn, as_array
from vaekit.models.factors import output_layer
from vaekit.models.gaps import require_filled

CHUNK_BYTES = 2**26  # of an array whose values are checked at a time


def named(model, x):
    """Returns data as a dict by variable name; raises ValueError for missing or unknown names."""
    names = model.data_names
    conditions = "" if not model.conditions else f" (No factor describes {model.conditions}: it is a condition.)"
    if not isinstance(x, dict):
        if len(names) > 1:
            several = isinstance(x, (list, tuple)) and len(x) == len(names)
            raise ValueError(
                f"This model expects a dict with the arrays {names}; received "
                f"{'a list of them' if several else 'one alone'}. Write "
                f"{{{', '.join(f'{name!r}: ...' for name in names)}}}.{conditions}"
            )
        x = {names[0]: x}
    if set(x) != set(names):
        absent = [name for name in names if name not in x and getattr(_support(model, name), "missing", False)]
        gaps = f" Where all of {absent} is missing, say so: an array of numpy.nan." if absent else ""
        raise ValueError(f"This model expects data named {names}; received {tuple(x)}.{conditions}{gaps}")
    return x


def checked(model, x):
    """Checks a dict of arrays by variable name, and builds the model by them; dynamically binarized data stay what
    they are.

    Raises:
        ValueError: missing or unknown names, wrong shapes, no rows, NaN, values outside the support.
    """
    checked = {name: _array(model, name, value) for name, value in named(model, x).items()}
    lengths = {name: len(array) for name, array in checked.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"Data should have as many rows for each variable; received {lengths}.")
    for name, array in checked.items():
        _check_numbers(model, name, array)
    build_from(model, checked)
    for name, array in checked.items():
        support = _support(model, name)
        if support is not None and not isinstance(array, DynamicBinarization):
            for chunk in _checked_chunks(array):
                support.check_values(chunk)
    require_filled(model, {name: a for name, a in checked.items() if not isinstance(a, Redrawn)})
    return checked


def check_conditions(model, conditions):
    """Checks conditions to draw by: dict of arrays `[n, ...]` by name.

    Raises:
        ValueError: what is no dict; wrong shapes, NaN, text.
    """
    if conditions is not None and not isinstance(conditions, dict):
        raise ValueError(f"conditions should be a dict of arrays by name, {model.conditions}; received {conditions!r}.")
    checked = dict(conditions or {})
    for name in set(checked) & set(model.conditions):
        checked[name] = _array(model, name, checked[name])
        _check_numbers(model, name, checked[name])
    return checked


def build_from(model, arrays):
    """Builds a model from the first rows of checked arrays, unless it is built."""
    if not model.built:
        tensors(model, {name: np.asarray(array[:2]) for name, array in arrays.items()})


def tensors(model, x):
    """Converts checked data to float32 tensors, and builds the model from them, unless it is built."""
    data = {name: ops.cast(value, "float32") for name, value in x.items()}
    if not model.built:
        try:
            model.build({name: tuple(value.shape) for name, value in data.items()})
        except Exception as error:
            if numbers := [name for name, value in data.items() if len(value.shape) == 1]:
                error.add_note(
                    f"{numbers} have one number a row. Labels become one-hot rows by keras.utils.to_categorical(y), "
                    "numbers become vectors by y[:, None]."
                )
            raise
    return data


def _array(model, name, value):
    """Converts a variable's data to an array; raises ValueError for another shape than the variable's."""
    array = as_array(name, ops.convert_to_numpy(value) if ops.is_tensor(value) else value)
    if not fits(model, name, array.shape):
        raise ValueError(shape_message(model, name, array.shape))
    if len(array) == 0:
        raise ValueError(f"{name!r} is empty: received an array of shape {list(array.shape)}.")
    return array


def event_shape(model, name):
    """Returns the shape of a variable's event; None: not known yet."""
    if model.built:
        return model.event_shapes[name]
    return getattr(_support(model, name), "event_shape", None)


def fits(model, name, shape):
    """Returns whether data of a shape are of a variable: `[N, *event_shape]`, of sequences also shorter ones (of any
    length, if a factor describes them step by step); where the event's shape is not known yet, whether there are rows.
    """
    expected = event_shape(model, name)
    if expected is not None and name in model.sequences:
        return len(shape) == 1 + len(expected) and tuple(shape[2:]) == tuple(expected[1:])
    if not len(shape) or expected is None or tuple(shape[1:]) == tuple(expected):
        return len(shape) > 0
    if not getattr(_support(model, name), "shorter", False) or len(shape) != 1 + len(expected):
        return False
    return (shape[1] is None or 0 < shape[1] <= expected[0]) and tuple(shape[2:]) == tuple(expected[1:])


def shape_message(model, name, shape):
    """The error's text for data of another shape than a variable's."""
    expected = event_shape(model, name) or shape[1:]
    if len(shape) == 1 + len(expected) and getattr(_support(model, name), "shorter", False):
        return (
            f"{name!r} should have sequences of at most {expected[0]} tokens, as the model was built; received an "
            f"array of shape {list(shape)}. Leave longer ones out, and cut padding off, {name}[:, :{expected[0]}]; or "
            "build a model of a greater length."
        )
    message = f"{name!r} should have shape {['N', *expected]}; received an array of shape {list(shape)}. "
    single = tuple(shape) == tuple(expected)
    if len(expected) == 1 and expected[0] > 1 and not single and tuple(shape[1:]) in ((), (1,)):
        return f"{message}Integer labels become one-hot rows by keras.utils.to_categorical(y, {expected[0]})."
    if name in model.conditions and len(shape) == 1 + len(expected):
        return f"{message}A condition has the shape that the model was built with, a sequence its length, too."
    return message + _shape_advice(tuple(shape), tuple(expected))


def _shape_advice(shape, expected):
    """What to do about data of a shape, where events have another."""
    if shape == expected:
        return "A single example needs a batch axis, x[None]."
    if expected == (1,) and len(shape) == 1:
        return "A single column becomes a table of one by x[:, None]."
    if len(expected) == 1 and len(shape) == 2:
        return f"Give the layer that describes them the event shape {shape[1]}, or leave columns out."
    if (*shape[1:], 1) == expected:
        return "Grey images need a channel axis, numbers an axis of their own: x[..., None]."
    if len(shape) == len(expected) + 1 == 4 and (*shape[2:], shape[1]) == expected:
        return "Channels come last here: numpy.moveaxis(x, 1, -1)."
    if len(shape) > 1 and math.prod(shape[1:]) == math.prod(expected):
        return f"An example has as many numbers: x.reshape({(-1, *expected)})."
    return "Data have the event shape of the last layer of p, the decoder: change it, or the data."


def _checked_chunks(array):
    """Yields the rows whose values are checked: all of an array, the first of what is drawn anew in every pass."""
    return [np.asarray(array[:100])] if isinstance(array, Redrawn) else _chunks(array)


def _chunks(array):
    """Yields rows of an array, some at a time, since arrays as large as memory leave no room for results."""
    rows = max(1, CHUNK_BYTES // max(1, array[:1].nbytes))
    return (array[start : start + rows] for start in range(0, len(array), rows))


def row_count(arrays):
    """N, the length of the arrays `[N, ...]` in a dict."""
    return len(next(iter(arrays.values())))


def row_batches(arrays, size, full=False, start=0):
    """Yields a dict of arrays `[N, ...]` in batches: a dict of float32 tensors `[B, ...]`, and how many rows are data.

    The first batch begins with row `start`. With `full` the last one repeats its last row, up to the size of the
    others: one compiled program serves all.
    """
    n = row_count(arrays)
    size = min(size, n)
    for first in range(start, n, size):
        count = min(size, n - first)
        index = np.minimum(np.arange(first, first + (size if full else count)), n - 1)
        yield {name: ops.cast(value[index], "float32") for name, value in arrays.items()}, count


def _check_numbers(model, name, array):
    """Raises ValueError unless all values are finite, in float32 too; NaN may mean missing."""
    if isinstance(array, DynamicBinarization) or array.dtype.kind != "f":
        return
    support = _support(model, name)
    missing = getattr(getattr(support, "head", support), "missing", False)  # a sequence's steps have a head
    bad = large = 0
    for chunk in _checked_chunks(array):
        with np.errstate(over="ignore"):
            finite = np.isfinite(chunk.astype("float32", copy=False))
        if not finite.all():
            rest = chunk[~finite]
            large += np.count_nonzero(np.isfinite(rest))
            bad += np.count_nonzero(np.isinf(rest) if missing else ~np.isfinite(rest))
    if bad:
        gaps = ""
        if support is not None and not missing:
            gaps = " If NaN means that a value is missing, put the likelihood into vaekit.layers.Masked."
        raise ValueError(f"{name!r} holds {bad} values that are NaN or infinite: repair or leave out their rows.{gaps}")
    if large:
        raise ValueError(
            f"{name!r} holds {large} values beyond ±{np.finfo('float32').max:.1e}, which are infinite in float32: "
            "scale the data first."
        )


def _support(model, name):
    """The object that checks a variable's values, before the model is built its likelihood layer; None: unknown."""
    if model.built:
        return model.support(name)
    return next((output_layer(f.layer) for f in model.generative if f.name == name), None)
