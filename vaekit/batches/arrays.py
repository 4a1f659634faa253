"""What counts as an array of numbers, messages for what is none, and data that stand where an array could stand."""

from numbers import Integral, Real

import numpy as np

TARGETS = (
    "A latent variable model has no targets: its data come alone, fit(x, validation_data=v) and evaluate(x), not "
    "(x, x) or (x, y)."
)


def check_counts(function, least=1, **counts):
    """Raises ValueError unless all are integers of at least `least`."""
    for name, value in counts.items():
        if not (isinstance(value, Integral) and value >= least):
            raise ValueError(f"{function} expects {name} to be an integer of at least {least}; received {value!r}.")


def require_no_targets(y):
    """Raises ValueError for targets, which a latent variable model has not."""
    if y is not None:
        raise ValueError(TARGETS)


def as_array(name, value):
    """Converts arrays, tables and lists to a NumPy array of real numbers; leaves data unchanged that passes draw anew.

    Raises:
        ValueError: masked entries, sparse matrices, rows of different lengths, text and other objects.
    """
    if isinstance(value, Redrawn):
        return value
    if np.ma.isMaskedArray(value) and (masked := np.ma.count_masked(value)):
        raise ValueError(
            f"{name!r} is a masked array with {masked} masked entries, which would count like the others: fill them, "
            "x.filled(0), or leave out their rows, x[~x.mask.any(axis=1)]. With a likelihood in vaekit.layers.Masked a "
            "missing value is NaN, x.filled(numpy.nan)."
        )
    if hasattr(value, "tocsr"):
        raise ValueError(f"{name!r} is a sparse matrix ({type(value).__name__}): make it an array, x.toarray().")
    try:
        array = np.asarray(value.to_numpy() if hasattr(value, "to_numpy") else value)  # pandas
    except ValueError as error:
        raise ValueError(
            f"{name!r} should be an array of numbers; NumPy made none of it: {error} (Sentences of different lengths "
            "are padded, as vaekit.datasets.Vocabulary.tokens does.)"
        ) from error
    if array.dtype.kind not in "fiub":
        if _numbers_with_gaps(array):
            raise ValueError(
                f"{name!r} should hold numbers; received an array of dtype {array.dtype} with None or NA in it. "
                "With a likelihood in vaekit.layers.Masked a missing value is NaN: x.astype(float) of an array, "
                "x.to_numpy(float, na_value=numpy.nan) of a pandas frame."
            )
        frame = ", frame.select_dtypes('number')" if hasattr(value, "columns") else ""
        raise ValueError(
            f"{name!r} should hold numbers; received an array of dtype {array.dtype}. Leave text out{frame}; labels in "
            "words become numbers by numpy.unique(y, return_inverse=True)[1], and those one-hot rows by "
            "keras.utils.to_categorical; sentences become numbers by vaekit.datasets.Vocabulary.of(sentences).tokens."
        )
    return array


def _numbers_with_gaps(array):
    """Returns whether all objects of an array are numbers, None or pandas' NA."""
    kinds = {type(entry) for entry in array.flat} if array.dtype.kind == "O" else ()
    return any(kind.__name__ in ("NoneType", "NAType") for kind in kinds) and all(
        kind.__name__ in ("NoneType", "NAType") or issubclass(kind, Real) for kind in kinds
    )


def is_array(x):
    """Returns whether data are an array or a dict of arrays, rather than batches."""
    return isinstance(x, (dict, Redrawn)) or is_list(x) or is_array_like(x)


def is_list(x):
    """Returns whether data are a list or a tuple, but not a named tuple, such as the splits of a data set."""
    return isinstance(x, (list, tuple)) and not hasattr(x, "_fields")


def is_array_like(x):
    """Returns whether data are an array, or a table of pandas or SciPy."""
    return hasattr(x, "__array__") or hasattr(x, "to_numpy") or hasattr(x, "tocsr")


class Redrawn:
    """Data that stand where an array could stand, and of which training sees another draw in every pass.

    They have `shape`, `ndim` and `dtype`; `np.asarray` is one fixed draw, which evaluation uses; and
    `draw(generator, index)` makes the rows `index` of a new one by a NumPy generator, as a float32 array. `identity` is
    an array that tells the data from others.
    """
