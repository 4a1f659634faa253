"""Minibatches of arrays, in an order that a seed decides, and their chunks for compiled programs."""

import math
from functools import cached_property
from numbers import Integral

import keras
import numpy as np
from keras import ops

from vaekit import backend
from vaekit.backend import tfd
from vaekit.batches.arrays import Redrawn, as_array, check_counts
from vaekit.batches.binarization import DynamicBinarization

DEVICE_BYTES = 2**31  # data up to this size stay on the device as a whole; larger ones go there in chunks
UNNAMED = ""  # the name of an array that is not in a dict


class Batches(keras.utils.PyDataset):
    """Minibatches of an array, or of a dict of arrays of equal length, in an order that the seed decides.

    Args:
        data: an array `[N, ...]`, a `DynamicBinarization` or other `Redrawn` data, or a dict of them.
        batch_size: rows a batch; the last batch may be smaller.
        shuffle: a new order in every epoch, and new draws of `Redrawn` data.
        seed: integer, or list of integers; batch `i` of epoch `e` depends on (seed, e, i) alone.

    A model keeps a copy of the data on its device, as long as these `Batches` live: later changes in the arrays go
    unseen.
    """

    def __init__(self, data, batch_size=100, shuffle=True, seed=0):
        super().__init__()
        arrays = data if isinstance(data, dict) else {UNNAMED: data}
        arrays = {name: as_array(name or "x", array) for name, array in arrays.items()}
        if short := [name for name, array in arrays.items() if array.ndim == 0]:
            raise ValueError(f"Batches expects arrays [N, ...]; received single numbers {short}.")
        lengths = {name: len(array) for name, array in arrays.items()}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"Batches expects arrays of equal length, received {lengths}.")
        check_counts("Batches", batch_size=batch_size)
        self.length = next(iter(lengths.values()))
        if self.length == 0:
            raise ValueError("Batches received no data: the arrays have length 0.")
        self.data, self.arrays = data, arrays
        self.batch_size, self.shuffle = int(batch_size), shuffle
        self.seed = [backend.integer_seed(seed)] if isinstance(seed, Integral) else list(seed)
        self.epoch = 0
        self.order = self._new_order()

    def _new_order(self):
        if not self.shuffle:
            return np.arange(self.length)
        return np.random.default_rng([*self.seed, self.epoch, 0]).permutation(self.length)

    def __len__(self):
        return math.ceil(self.length / self.batch_size)

    def __getitem__(self, i):
        index = self.order[i * self.batch_size : (i + 1) * self.batch_size]
        generator = np.random.default_rng([*self.seed, self.epoch, 1 + i])

        def rows(array):
            return array.draw(generator, index) if isinstance(array, Redrawn) else np.asarray(array[index])

        return (bare({name: rows(array) for name, array in self.arrays.items()}),)

    def start(self, epoch, seed):
        """Goes to the beginning of an epoch, of the order that `seed` decides."""
        self.epoch, self.seed = epoch if self.shuffle else 0, list(seed)
        self.order = self._new_order()

    def on_epoch_end(self):
        if self.shuffle:
            self.epoch += 1
            self.order = self._new_order()

    # ---------------------------------------------------------------- for compiled programs

    def chunks(self):
        """Yields triples (tensors, index `[n, b]`, keys `[n, 2]`), n batches for `take`; the last batch may be smaller.

        All data are one chunk where they fit on the device; otherwise the rows of some batches are. Dynamically
        binarized data are drawn on the device, other `Redrawn` ones here, a chunk at a time.
        """
        keys = np.random.default_rng([*self.seed, self.epoch, 0, 1]).integers(2**31, size=(len(self), 2))
        keys = keys.astype(backend.SEED_DTYPE)
        resident = self.resident
        most = len(self) if resident else max(1, DEVICE_BYTES // (8 * self._row_bytes * self.batch_size))  # batches
        full = self.length // self.batch_size
        starts = [*range(0, full, most), *([full] if full < len(self) else [])]
        for start, stop in zip(starts, [*starts[1:], len(self)], strict=True):
            rows = self.order[start * self.batch_size : stop * self.batch_size].astype("int32")
            tensors = self._resident if resident else self._drawn(start, stop) if self._draws else self._tensors(rows)
            index = rows if resident else np.arange(len(rows), dtype="int32")
            yield tensors, index.reshape(stop - start, -1), keys[start:stop]  # [n, b], [n, 2]

    @property
    def resident(self):
        """Whether the data stay on the device as a whole."""
        return not self._draws and self._row_bytes * self.length <= DEVICE_BYTES

    @property
    def _draws(self):
        """Whether rows are drawn here, not on the device."""
        return any(isinstance(array, Redrawn) and not _is_dynamic(array) for array in self.arrays.values())

    @property
    def _row_bytes(self):
        """Size of an example on the device."""
        return sum(device_array(array[:1]).nbytes for array in self.arrays.values())

    @cached_property
    def _resident(self):
        return self._tensors(slice(None))

    def _drawn(self, start, stop):
        """Draws some batches and puts their rows on the device, as `_tensors` does."""
        batches = [self[i][0] for i in range(start, stop)]
        batches = batches if isinstance(self.data, dict) else [{UNNAMED: batch} for batch in batches]
        rows = {name: np.concatenate([batch[name] for batch in batches]) for name in self.arrays}
        return {name: ops.convert_to_tensor(device_array(array)) for name, array in rows.items()}, {}

    def _tensors(self, rows):
        """Puts rows on the device: a dict by name of fixed arrays, and one of dynamically binarized ones."""
        fixed, dynamic = {}, {}
        for name, array in self.arrays.items():
            part = dynamic if _is_dynamic(array) else fixed
            part[name] = ops.convert_to_tensor(device_array(array[rows]))
        return fixed, dynamic


class Stacked:
    """Batches of the same data in several orders, read at the same time.

    Args:
        batches: list of R `Batches`, equal but for their seeds and epochs, whose data stay on the device as a whole.
    """

    def __init__(self, batches):
        self.batches = batches
        for other in batches[1:]:
            other._resident = batches[0]._resident  # one copy for all

    def chunks(self):
        """Yields what `Batches.chunks` does, but with indices `[n, R, b]` and keys `[n, R, 2]`."""
        for each in zip(*(b.chunks() for b in self.batches), strict=True):
            tensors, index, keys = zip(*each, strict=True)
            yield tensors[0], np.stack(index, axis=1), np.stack(keys, axis=1)  # [n, R, b], [n, R, 2]


def take(tensors, index, key):
    """Gathers rows `index` `[b]` of tensors of `chunks`; `key` `[2]` is the seed of dynamically binarized ones."""
    fixed, p = ({name: ops.take(tensor, index, axis=0) for name, tensor in part.items()} for part in tensors)
    seeds = backend.seeds(key, len(p)) if p else ()
    uniform = {name: tfd.Uniform().sample(ops.shape(p[name]), seed=s) for name, s in zip(p, seeds, strict=True)}
    return bare({**fixed, **{name: ops.cast(u < p[name], "float32") for name, u in uniform.items()}})


def bare(batch):
    """The array that has no name, or the dict of those that have one."""
    return batch[UNNAMED] if UNNAMED in batch else batch


def _is_dynamic(array):
    return isinstance(array, DynamicBinarization)


def device_array(array):
    """An array as a device stores it: the probabilities of dynamically binarized data; no 64-bit numbers."""
    array = array.probabilities if _is_dynamic(array) else np.asarray(array)
    return array.astype("float32") if array.dtype.itemsize > 4 else array
