"""Videos that are made, or read, when they are asked for."""

import numpy as np


class Videos:
    """Videos `[N, T, H, W, C]` that stand where an array could stand, and come into being when they are asked for.

    Slices, `data[:100]`, and `np.asarray(data)` are float32 arrays; the same rows are the same videos. A subclass has
    `rows(index)`, which makes those of an array of numbers.

    Args:
        shape: `(N, T, H, W, C)`.
    """

    ndim, dtype = 5, np.dtype("float32")

    def __init__(self, shape):
        self.shape = tuple(shape)

    def __len__(self):
        return self.shape[0]

    def __repr__(self):
        return f"{type(self).__name__}(shape={self.shape})"

    def __getitem__(self, index):
        first, *rest = index if isinstance(index, tuple) else (index,)
        numbers = np.arange(len(self))[first]
        x = self.rows(np.atleast_1d(numbers))
        return x[(slice(None), *rest)] if numbers.ndim else x[(0, *rest)]

    def __array__(self, dtype=None, copy=None):
        return self[:].astype(dtype or self.dtype, copy=False)
