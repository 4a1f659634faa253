"""Reading a pickle of arrays without trusting it: a pickle can run any program, this reader admits arrays alone."""

import io
import pickle

import numpy as np

from .files import DatasetError

_reconstruct = np.empty(0).__reduce__()[0]  # what a pickled array calls first
_ADMITTED = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,  # NumPy 1
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,  # NumPy 2
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) not in _ADMITTED:
            raise DatasetError(
                f"The pickle asks for {module}.{name}; only NumPy arrays are admitted, so it was not loaded. "
                "Fetch the file anew from its official address."
            )
        return _ADMITTED[module, name]


def unpickle_arrays(content):
    """Plain containers of NumPy arrays from the bytes of a pickle, Python 2's included.

    Raises:
        DatasetError: if the pickle asks for anything but arrays.
    """
    return _ArrayUnpickler(io.BytesIO(content), encoding="latin1").load()
