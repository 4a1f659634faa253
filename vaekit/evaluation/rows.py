"""What every estimate starts with: checked arguments, and data in batches of one shape."""

import math
from numbers import Integral

import numpy as np
from keras import ops


def check_counts(function, **counts):
    """Raises ValueError unless all are integers of at least 1."""
    for name, value in counts.items():
        if not (isinstance(value, Integral) and value >= 1):
            raise ValueError(f"{function} expects {name} to be an integer of at least 1; received {value!r}.")


def data_arrays(model, x):
    """Data as a dict of checked NumPy arrays `[N, ...]`, the model built, and N."""
    data = {name: np.asarray(array) for name, array in model.arrays(x).items()}
    model.observe({name: array[:1] for name, array in data.items()})
    return data, len(next(iter(data.values())))


def rows(data, start, size):
    """Rows `start : start + size`, the last one repeated where data end (one shape, one compiled program)."""
    n = len(next(iter(data.values())))
    index = np.minimum(np.arange(start, start + size), n - 1)
    return {name: ops.cast(value[index], "float32") for name, value in data.items()}, min(size, n - start)


def standard_error(values):
    """Standard error of the mean of independent values `[N]`: std / √N."""
    n = len(values)
    return float(np.std(values, ddof=1) / math.sqrt(n)) if n > 1 else float("nan")
