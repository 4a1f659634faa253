"""Seeded minibatches of arrays, and arrays that are drawn anew each time they are read.

Keras shuffles arrays with the process's global random state; vaekit's models feed on `Batches`
instead, so that one seed gives the same order on every backend, and nothing else is disturbed.
"""

import math
from functools import cached_property
from numbers import Integral, Real

import keras
import numpy as np
from keras import ops

from vaekit import backend
from vaekit.backend import tfd
from vaekit.marks import PADDING

DEVICE_BYTES = 2**31  # data up to this size stay on the device as a whole; larger ones go there in chunks
TARGETS = (
    "A latent variable model has no targets: its data come alone, fit(x, validation_data=v) and evaluate(x), not "
    "(x, x) or (x, y)."
)
UNNAMED = ""  # the name of an array that is not in a dict


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


class DynamicBinarization(Redrawn):
    r"""Binary data whose every pass is a new draw, $x \sim \mathrm{Bernoulli}(p)$ for grey values $p$.

    It stands where an array could stand: `len`, `shape`, slicing and `np.asarray` work, and so does
    `model.fit`, which then sees other 0/1 images in every epoch. `np.asarray(data)` is one fixed draw, always the
    same for the same seed; all evaluation uses it. (The fixed draw of a slice is another one than the slice of the
    fixed draw.) `data.probabilities` are the grey values themselves.

    Args:
        probabilities: array `[N, ...]` with values in [0, 1].
        seed: integer; decides the fixed draw.

    Raises:
        ValueError: if a value lies outside [0, 1].

    Source: Burda et al. 2015, section 5: "we re-sampled the binary values each time".
    """

    def __init__(self, probabilities, seed=0):
        probabilities = as_array("probabilities", probabilities).astype("float32", copy=False)
        if probabilities.size and not (probabilities.min() >= 0 and probabilities.max() <= 1):
            raise ValueError(
                "DynamicBinarization expects probabilities in [0, 1]; these lie in "
                f"[{probabilities.min():g}, {probabilities.max():g}]. Divide grey values by their maximum (255) first."
            )
        self.probabilities = probabilities
        self.seed = backend.integer_seed(seed)

    shape = property(lambda self: self.probabilities.shape)
    ndim = property(lambda self: self.probabilities.ndim)
    dtype = property(lambda self: self.probabilities.dtype)
    identity = property(lambda self: self.probabilities)

    def __len__(self):
        return len(self.probabilities)

    def __getitem__(self, index):
        return DynamicBinarization(self.probabilities[index], self.seed)

    def __array__(self, dtype=None, copy=None):
        return self.draw(np.random.default_rng(self.seed)).astype(dtype or "float32", copy=False)

    def __repr__(self):
        return f"DynamicBinarization(shape={self.shape}, mean={self.probabilities.mean():.4f})"

    def draw(self, generator, index=slice(None)):
        """Draws new 0/1 values, float32, for the rows `index` with a NumPy `generator`."""
        p = self.probabilities[index]
        return (generator.random(p.shape, dtype="float32") < p).astype("float32")  # u < p


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

        return (_bare({name: rows(array) for name, array in self.arrays.items()}),)

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
        return sum(_device_array(array[:1]).nbytes for array in self.arrays.values())

    @cached_property
    def _resident(self):
        return self._tensors(slice(None))

    def _drawn(self, start, stop):
        """Draws some batches and puts their rows on the device, as `_tensors` does."""
        batches = [self[i][0] for i in range(start, stop)]
        batches = batches if isinstance(self.data, dict) else [{UNNAMED: batch} for batch in batches]
        rows = {name: np.concatenate([batch[name] for batch in batches]) for name in self.arrays}
        return {name: ops.convert_to_tensor(_device_array(array)) for name, array in rows.items()}, {}

    def _tensors(self, rows):
        """Puts rows on the device: a dict by name of fixed arrays, and one of dynamically binarized ones."""
        fixed, dynamic = {}, {}
        for name, array in self.arrays.items():
            part = dynamic if _is_dynamic(array) else fixed
            part[name] = ops.convert_to_tensor(_device_array(array[rows]))
        return fixed, dynamic


class BatchesByLength(Batches):
    """Minibatches of sequences that are about equally long, without the padding that none of them needs.

    ```python
    vae.fit(BatchesByLength(text.train, 32), validation_data=BatchesByLength(text.validation, shuffle=False))
    ```

    An encoder has to leave padding out, by `Embedding(..., mask_zero=True)`: one that reads it as a word gives a
    sentence other codes in longer batches.

    Args:
        data: tokens `[N, T]`, words, then padding; or a dict of arrays, of which `tokens` is these.
        batch_size: rows a batch; the last one of each length may be smaller, with `full` only the last one of all.
        shuffle: new batches of each length in every epoch, and a new order of all.
        seed: as for `Batches`.
        multiple: lengths are rounded up to multiples of this number: on JAX each shape of a batch compiles a program;
            1: none of a batch's sequences is shorter than others.
        full: whether a batch that would be smaller takes sequences of the next length: fewer shapes.
        fixed: whether the same sequences share a batch in every epoch; the order of batches is new.
        tokens: the name of the tokens in a dict.
        padding: its number.
    """

    def __init__(
        self,
        data,
        batch_size=100,
        shuffle=True,
        seed=0,
        multiple=8,
        fixed=False,
        tokens=UNNAMED,
        padding=PADDING,
        full=False,
    ):
        check_counts("BatchesByLength", multiple=multiple)
        if isinstance(data, dict) and tokens not in data:
            raise ValueError(f"BatchesByLength expects the name of the tokens in {list(data)}; received {tokens!r}.")
        sequences = as_array("x", data[tokens] if isinstance(data, dict) else data)
        if sequences.ndim != 2:
            raise ValueError(f"BatchesByLength expects tokens [N, T]; received the shape {list(sequences.shape)}.")
        lengths = np.count_nonzero(sequences != padding, axis=1)
        self.widths = np.minimum(-(-lengths // multiple) * multiple, sequences.shape[1]).clip(1)  # [N]
        self.multiple, self.fixed, self.full, self.tokens, self.padding = multiple, fixed, full, tokens, padding
        super().__init__(data, batch_size, shuffle, seed)

    def _new_order(self):
        rng = np.random.default_rng([*self.seed, self.epoch, 0])
        order = rng.permutation(self.length) if self.shuffle and not self.fixed else np.arange(self.length)
        order = order[np.argsort(self.widths[order], kind="stable")]
        groups = [order] if self.full else np.split(order, np.flatnonzero(np.diff(self.widths[order])) + 1)  # by width
        self.parts = [group[i : i + self.batch_size] for group in groups for i in range(0, len(group), self.batch_size)]
        if self.shuffle:
            self.parts = [self.parts[i] for i in rng.permutation(len(self.parts))]
        return np.concatenate(self.parts)

    def __len__(self):
        return len(self.parts)

    def __getitem__(self, i):
        return (_bare(self._rows(self.parts[i])),)

    def _rows(self, index):
        rows = {name: np.asarray(array[index]) for name, array in self.arrays.items()}
        return {**rows, self.tokens: rows[self.tokens][:, : self.widths[index].max()]}

    def chunks(self):
        """Yields what `Batches.chunks` does, one batch at a time, with no other rows."""
        keys = np.zeros((1, 2), backend.SEED_DTYPE)  # nothing is drawn
        for index in self.parts:
            rows = {name: ops.convert_to_tensor(_device_array(array)) for name, array in self._rows(index).items()}
            yield (rows, {}), np.arange(len(index), dtype="int32")[None], keys


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
    return _bare({**fixed, **{name: ops.cast(u < p[name], "float32") for name, u in uniform.items()}})


def _bare(batch):
    """The array that has no name, or the dict of those that have one."""
    return batch[UNNAMED] if UNNAMED in batch else batch


def _is_dynamic(array):
    return isinstance(array, DynamicBinarization)


def _device_array(array):
    """An array as a device stores it: the probabilities of dynamically binarized data; no 64-bit numbers."""
    array = array.probabilities if _is_dynamic(array) else np.asarray(array)
    return array.astype("float32") if array.dtype.itemsize > 4 else array
