"""Users' data: checked, by variable name, in batches.

Arrays and dicts of them become a dict of checked NumPy arrays by variable name (`arrays`), tensors (`observe`), or
seeded `Batches`. Iterables of batches (tf.data, PyDataset, generators) are trained on as they are and, where that can
be done, checked like arrays (`as_batches`); where arrays are needed they are read to memory (`read_all`).
"""

import warnings
from itertools import chain
from types import ModuleType

import keras
import numpy as np
from keras import ops

from vaekit import backend
from vaekit.batches import Batches, as_array, is_array, is_array_like, is_list, require_no_targets
from vaekit.batches.arrays import TARGETS
from vaekit.datasets import Dataset, Splits
from vaekit.models.arrays import checked, event_shape, fits, named, row_count, shape_message, tensors

BATCHES_OF_PAIRS = (
    " Batches may be x, (x,), or (x, None, sample_weight): leave y out, with tf.data by dataset.map(lambda x, y: x). "
    "Labels that the model is given are part of x, a dict by variable name."
)


def arrays(model, x):
    """Checks data: dict of arrays by variable name, the model built from them; dynamically binarized data stay what
    they are.

    Raises:
        ValueError: missing or unknown names, wrong shapes, no rows, NaN, values outside the support, targets.
        TypeError: an object of another kind.
    """
    return checked(model, without_batches(model, x))


def fixed_arrays(model, x):
    """Checks data as `arrays`, and takes the fixed draw of dynamically binarized ones."""
    return {name: np.asarray(array) for name, array in arrays(model, x).items()}


def observe(model, x):
    """Converts data to a dict of float32 tensors `[B, ...]` by variable name; builds the model if need be.

    Symbolic tensors, in a program being compiled, have shapes to check; everything else has values too.

    Raises:
        ValueError, TypeError: as for `arrays`.
    """
    x = named(model, without_batches(model, x))
    if all(ops.is_tensor(value) and not backend.is_concrete(value) for value in x.values()):
        for name, value in x.items() if model.built else ():
            if not fits(model, name, value.shape):
                raise ValueError(shape_message(model, name, value.shape))
    else:
        x = fixed_arrays(model, x)
    return tensors(model, x)


def without_batches(model, x):
    """Returns data as an array or a dict of arrays, into which batches are read; refuses targets and other objects."""
    x = _without_targets(model, x)
    return x if is_array(x) else read_all(model, x)


def _without_targets(model, x):
    """Returns x of (x,) and (x, None), but lists of rows, and all that is no list, unchanged."""
    if not is_list(x):
        return x
    if isinstance(x, tuple) and len(x) == 1:
        return x[0]
    if len(x) not in (2, 3) or len(model.data_names) > 1 and not isinstance(x[0], dict):
        return x
    first, *others = x
    shape, expected = getattr(first, "shape", None), event_shape(model, model.data_names[0])
    if shape is None or expected is None:
        pair = isinstance(first, dict) or isinstance(x, tuple) and shape is not None
    else:
        pair = len(shape) == 1 + len(expected)  # rows have an axis less
    if not pair:
        return x
    require_no_targets(others[0])
    if any(other is not None for other in others):
        raise ValueError("Weights of examples come in batches (x, None, sample_weight), of tf.data or a generator.")
    return first


def as_batches(model, x, batch_size=None, shuffle=False):
    """Makes seeded `Batches` of arrays; returns other batches (tf.data, PyDataset, generator) checked."""
    x = _without_targets(model, x)
    if not is_array(x):
        _require_iterable(x)
        if batch_size is not None:
            raise ValueError(f"batch_size goes with arrays; a {type(x).__name__} makes batches of its own.")
        return _checked_batches(model, x)
    data = arrays(model, x) if shuffle else fixed_arrays(model, x)
    seed = [int(n) for n in ops.convert_to_numpy(model.seed_generator.next())] if shuffle else 0
    data = data if isinstance(x, dict) else data[model.data_names[0]]
    return Batches(data, 100 if batch_size is None else batch_size, shuffle, seed)


def _require_iterable(x):
    """Raises TypeError or ValueError for what is neither an array nor an iterable of batches."""
    if x is None:
        raise ValueError("There are no data: received None. Pass an array [N, ...], a dict of arrays, or batches.")
    if isinstance(x, (Dataset, Splits, ModuleType)):
        what = f"the data set {x.name!r}" if isinstance(x, Dataset) else f"{getattr(x, '__name__', 'splits')!r}"
        raise ValueError(
            f"Received {what} as a whole: pass one of its arrays, for instance fit(data.train, "
            "validation_data=data.validation), of data = vaekit.datasets.load(...)."
        )
    if isinstance(x, str) or not (hasattr(x, "__iter__") or hasattr(x, "__next__")):
        raise TypeError(
            f"Data should be an array [N, ...], a dict of arrays by variable name, a tf.data.Dataset, a PyDataset or a "
            f"generator of batches; received {x!r}."
        )


def _checked_batches(model, x):
    """Returns an iterable of batches as Keras takes it: NumPy batches are checked one by one, of others the first."""
    if isinstance(x, CheckedDataset):
        return x
    if isinstance(x, Batches):
        checked(model, x.data)
        return x
    if isinstance(x, keras.utils.PyDataset):
        _check_batch(model, x[0])
        return CheckedDataset(model, x)
    if hasattr(x, "__next__"):
        return _checked_generator(model, x)
    first = next(iter(x.take(1) if hasattr(x, "take") else x), None)
    if first is None:
        raise ValueError(f"There are no data: this {type(x).__name__} has no batches.")
    _check_batch(model, first, first=True)
    return x


def _as_tuple(batch):
    """Returns a batch as one of Keras' tuples (x,), (x, None) or (x, None, sample_weight); refuses targets."""
    batch = tuple(batch) if isinstance(batch, (tuple, list)) else (batch,)
    if len(batch) > 1 and batch[1] is not None:
        raise ValueError(TARGETS + BATCHES_OF_PAIRS)
    return batch


def _require_batches(model, x):
    """Raises ValueError for an example in place of a batch."""
    for name, value in x.items():
        expected = event_shape(model, name)
        if expected is not None and tuple(np.shape(value)) == tuple(expected):
            raise ValueError(
                f"These data come one by one, {name!r} of shape {list(expected)}: batch them, dataset.batch(100)."
            )


def _check_batch(model, batch, first=False):
    """Checks a batch like an array, and builds the model from it; returns it as a tuple."""
    batch = _as_tuple(batch)
    x = named(model, batch[0])
    if not all(ops.is_tensor(value) or is_array_like(value) for value in x.values()):
        kinds = ", ".join(sorted({type(value).__name__ for value in x.values()}))
        warnings.warn(f"Data go unchecked, since their batches are no arrays but {kinds}.", stacklevel=2)
        return batch
    if first:
        _require_batches(model, x)
    rows = row_count(checked(model, x))
    if len(batch) > 2 and (is_array_like(batch[2]) or ops.is_tensor(batch[2])):
        weights = np.asarray(as_array("sample_weight", np.asarray(batch[2])))
        if len(weights) != rows or not np.isfinite(weights).all():
            raise ValueError(f"sample_weight should be {rows} finite numbers, one a row; received {weights.shape}.")
    return batch


class CheckedDataset(keras.utils.PyDataset):
    """A PyDataset whose batches are checked like arrays, with its workers and hooks.

    Args:
        model: a `LatentVariableModel`.
        batches: `keras.utils.PyDataset`.
    """

    def __init__(self, model, batches):
        super().__init__(batches.workers, batches.use_multiprocessing, batches.max_queue_size)
        self.model, self.batches = model, batches

    num_batches = property(lambda self: self.batches.num_batches)

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        return _check_batch(self.model, self.batches[index])

    def on_epoch_begin(self):
        self.batches.on_epoch_begin()

    def on_epoch_end(self):
        self.batches.on_epoch_end()


def _checked_generator(model, iterator):
    """Returns a generator of checked batches, the first of which is checked at once."""
    first = next(iterator, None)
    if first is None:
        raise ValueError(f"There are no data: this {type(iterator).__name__} has no batches, or is used up.")
    first, rest = _check_batch(model, first), (_check_batch(model, batch) for batch in iterator)
    return (batch for batch in chain([first], rest))  # Keras accepts generators alone


def read_all(model, x):
    """Reads all batches of a tf.data.Dataset or PyDataset to memory, an array or a dict of arrays by variable name.

    Raises:
        ValueError: endless data, a generator (which may be), targets, no batches.
    """
    _require_iterable(x)
    if isinstance(x, CheckedDataset):
        x = x.batches
    if isinstance(x, Batches):
        return x.data
    if isinstance(x, keras.utils.PyDataset):
        endless = x.num_batches is None
    else:
        endless = hasattr(x, "cardinality") and int(x.cardinality()) == -1  # tf.data's sign for it
    if endless or hasattr(x, "__next__"):
        end = "has no end" if endless else "may have no end"
        raise ValueError(
            f"All data are needed here, as an array; this {type(x).__name__} {end}. Pass an array, or what ends, such "
            "as dataset.take(n)."
        )
    parts = [named(model, _as_tuple(batch)[0]) for batch in x]
    if not parts:
        raise ValueError(f"There are no data: this {type(x).__name__} has no batches.")
    _require_batches(model, parts[0])
    return {name: np.concatenate([np.asarray(part[name]) for part in parts]) for name in parts[0]}
