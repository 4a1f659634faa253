"""What every estimate starts with: checked arguments, and data in batches of one shape."""

import math

import numpy as np
from keras import ops


def data_arrays(model, x):
    """Data as a dict of checked NumPy arrays `[N, ...]`, the model built, and N."""
    data = {name: np.asarray(array) for name, array in model.arrays(x).items()}
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
