"""What users pass as data: checked, by variable name, in batches.

Arrays and dicts of them become a dict of checked NumPy arrays by variable name (`arrays`), tensors (`observe`), or
seeded `Batches`. What makes batches of its own (tf.data, PyDataset, generators) is trained on as it is and, where that
can be done, checked like an array (`as_batches`); where arrays are needed it is read to memory (`gathered`).
"""

import warnings
from types import ModuleType

import keras
import numpy as np
from keras import ops

from vaekit import backend
from vaekit.backend import tfd
from vaekit.batches import Batches, DynamicBinarization, arraylike, as_array, is_array, listed
from vaekit.datasets import Dataset, Splits
from vaekit.layers import Bernoulli, DistributionLayer
from vaekit.layers.distribution import origin_of
from vaekit.layers.likelihoods import Discretized
from vaekit.layers.likelihoods.support import warn_of_scale
from vaekit.models.factors import output_layer

PIECE_BYTES = 2**26  # of an array whose values are looked at at a time
TARGETS = (
    "A latent variable model has no targets: its data come alone, fit(x, validation_data=v) and evaluate(x), not "
    "(x, x) or (x, y)."
)
BATCHES_OF_PAIRS = (
    " Batches may be x, (x,), or (x, None, sample_weight): leave y out, with tf.data by dataset.map(lambda x, y: x). "
    "Labels that the model is given are part of x, a dict by variable name."
)

# ---------------------------------------------------------------- arrays by variable name


def named(model, x):
    """Data as a dict by variable name."""
    names = model.data_names
    if not isinstance(x, dict):
        if len(names) > 1:
            several = isinstance(x, (list, tuple)) and len(x) == len(names)
            raise ValueError(
                f"This model expects a dict with the arrays {names}; received "
                f"{'a list of them' if several else 'one alone'}. Write "
                f"{{{', '.join(f'{name!r}: ...' for name in names)}}}."
            )
        x = {names[0]: x}
    if set(x) != set(names):
        raise ValueError(f"This model expects data named {names}; received {tuple(x)}.")
    return x


def arrays(model, x):
    """Data as a dict of checked arrays by variable name, the model built by them; dynamically binarized data stay what
    they are.

    Raises:
        ValueError: missing or unknown names, wrong shapes, no rows, NaN, values outside the support, targets.
        TypeError: what is no data at all.
    """
    checked = {name: _array(model, name, value) for name, value in named(model, plain(model, x)).items()}
    lengths = {name: len(array) for name, array in checked.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"Data should have as many rows for each variable; received {lengths}.")
    for name, array in checked.items():
        _check_numbers(model, name, array)
    build_by(model, checked)
    for name, array in checked.items():
        support = _support(model, name)
        if support is not None and not isinstance(array, DynamicBinarization):
            for piece in _pieces(array):
                support.check_values(piece)
    return checked


def observe(model, x):
    """Data as a dict of float32 tensors `[B, ...]` by variable name; builds the model if need be.

    Symbolic tensors, in a program being compiled, have shapes to check; everything else has values too.

    Raises:
        ValueError, TypeError: as for `arrays`.
    """
    x = named(model, plain(model, x))
    if all(ops.is_tensor(value) and not backend.is_concrete(value) for value in x.values()):
        for name, value in x.items() if model.built else ():
            if tuple(value.shape[1:]) != model.event_shapes[name]:
                raise ValueError(_shape_message(name, model.event_shapes[name], value.shape))
    else:
        x = {name: np.asarray(array) for name, array in arrays(model, x).items()}
    return tensors(model, x)


def check_conditions(model, conditions):
    """Conditions to draw by, as a dict of checked arrays `[n, ...]` by name.

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


def build_by(model, arrays):
    """Builds a model by the first rows of checked arrays."""
    if not model.built:
        tensors(model, {name: np.asarray(array[:2]) for name, array in arrays.items()})


def tensors(model, x):
    """Checked data as float32 tensors, the model built by them."""
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


def plain(model, x):
    """Data as an array or a dict of arrays: batches are gathered; targets, and what is no data, are refused."""
    x = _without_targets(model, x)
    return x if is_array(x) else gathered(model, x)


def _without_targets(model, x):
    """x of (x,) and (x, None); a list of rows, and what is no list, as it is."""
    if not listed(x):
        return x
    if isinstance(x, tuple) and len(x) == 1:
        return x[0]
    if len(x) not in (2, 3) or len(model.data_names) > 1 and not isinstance(x[0], dict):
        return x
    first, *others = x
    shape, expected = getattr(first, "shape", None), _event_shape(model, model.data_names[0])
    if shape is None or expected is None:
        pair = isinstance(first, dict) or isinstance(x, tuple) and shape is not None
    else:
        pair = len(shape) == 1 + len(expected)  # rows have an axis less
    if not pair:
        return x
    if others[0] is not None:
        raise ValueError(TARGETS)
    if any(other is not None for other in others):
        raise ValueError("Weights of examples come in batches (x, None, sample_weight), of tf.data or a generator.")
    return first


def _array(model, name, value):
    """A variable's array, of the shape that it should have."""
    array = as_array(name, ops.convert_to_numpy(value) if ops.is_tensor(value) else value)
    expected = _event_shape(model, name)
    expected = array.shape[1:] if expected is None else expected
    if array.ndim == 0 or array.shape[1:] != tuple(expected):
        raise ValueError(_shape_message(name, expected, array.shape))
    if len(array) == 0:
        raise ValueError(f"{name!r} is empty: received an array of shape {list(array.shape)}.")
    return array


def _event_shape(model, name):
    """Shape of a variable's event; None: not known yet."""
    if model.built:
        return model.event_shapes[name]
    return getattr(_support(model, name), "event_shape", None)


def _shape_message(name, expected, shape):
    message = f"{name!r} should have shape {['N', *expected]}; received an array of shape {list(shape)}. "
    single = tuple(shape) == tuple(expected)
    if len(expected) == 1 and expected[0] > 1 and not single and tuple(shape[1:]) in ((), (1,)):
        return f"{message}Integer labels become one-hot rows by keras.utils.to_categorical(y, {expected[0]})."
    return f"{message}A single example needs a batch axis, x[None]; grey images need a channel axis, x[..., None]."


def _pieces(array):
    """Rows of an array, some at a time: what is computed of an array larger than memory is not."""
    rows = max(1, PIECE_BYTES // max(1, array[:1].nbytes))
    return (array[start : start + rows] for start in range(0, len(array), rows))


def _check_numbers(model, name, array):
    """Raises ValueError unless all are finite numbers, in float32 too; NaN may mean missing."""
    if isinstance(array, DynamicBinarization) or array.dtype.kind != "f":
        return
    missing = getattr(_support(model, name), "missing", False)
    bad = large = 0
    for piece in _pieces(array):
        with np.errstate(over="ignore"):
            finite = np.isfinite(piece.astype("float32", copy=False))
        if not finite.all():
            rest = piece[~finite]
            large += np.count_nonzero(np.isfinite(rest))
            bad += np.count_nonzero(np.isinf(rest) if missing else ~np.isfinite(rest))
    if bad:
        raise ValueError(f"{name!r} holds {bad} values that are NaN or infinite: repair or leave out their rows.")
    if large:
        raise ValueError(
            f"{name!r} holds {large} values beyond ±{np.finfo('float32').max:.1e}, which are infinite in float32: "
            "scale the data first."
        )


# ---------------------------------------------------------------- what values a likelihood can have


def supports(model):
    """What checks each observed variable's values, dict by name: its likelihood layer or `Values`; None: nothing does.

    A network whose last layer cannot be told is looked at by one of its outputs.
    """
    return {f.name: _told(f, model.event_shapes) for f in model.generative if f.name in model.observed}


def _support(model, name):
    if model.built:
        return model._support(name)
    return next((output_layer(f.layer) for f in model.generative if f.name == name), None)


def _told(factor, shapes):
    layer, distribution = output_layer(factor.layer), None
    if layer is None or type(layer).distribution is DistributionLayer.distribution:
        distribution = factor([ops.zeros((1, *shapes[name]), dtype="float32") for name in factor.given])
        layer, _ = origin_of(distribution) or (layer, None)
    if getattr(layer, "missing", False):
        return layer
    if layer is not None and type(layer).check_values is not DistributionLayer.check_values:
        return layer
    if distribution is None:
        parameters = {name: ops.zeros((1, *shape), dtype="float32") for name, shape in layer.parameter_shapes().items()}
        distribution = layer.distribution(**parameters)
    distribution = _inner(distribution)
    support = _support_of(distribution, shapes[factor.name])
    if support is None and layer is None:
        warnings.warn(
            f"The values of {factor.name!r} go unchecked: it is not known which ones {type(distribution).__name__} can "
            "have. A DistributionLayer of its own may say so in check_values.",
            stacklevel=2,
        )
    return layer if support is None else support


class Values:
    """The values that a distribution can have.

    Args:
        text: them, in words.
        allowed: function of an array, true where a value is one of them.
    """

    def __init__(self, text, allowed):
        self.text, self.allowed = text, allowed

    def check_values(self, x):
        wrong = x[~self.allowed(x)]
        if wrong.size:
            raise ValueError(
                f"The distribution of these data expects {self.text}; {wrong.size} of {x.size} values differ, for "
                f"instance {float(wrong.flat[0]):g}. Scale the data, or use another likelihood."
            )


class Reals:
    """Real numbers, of which only a scale that looks wrong is told."""

    name = "of your own"

    def check_values(self, x):
        warn_of_scale(self, x)


REALS = Reals()
COUNTS = Values("whole numbers from 0", lambda x: (x >= 0) & (x == np.rint(x)))
POSITIVE = Values("positive numbers", lambda x: x > 0)
NOT_NEGATIVE = Values("numbers of at least 0", lambda x: x >= 0)
UNIT = Values("numbers from 0 to 1", lambda x: (x >= 0) & (x <= 1))
ONE_HOT = Values("the values 0 and 1", lambda x: (x == 0) | (x == 1))
DISCRETE = {
    **dict.fromkeys((tfd.Poisson, tfd.NegativeBinomial, tfd.Geometric, tfd.Binomial, tfd.Categorical), COUNTS),
    tfd.OneHotCategorical: ONE_HOT,
}
CONTINUOUS = {"Identity": REALS, "Softplus": NOT_NEGATIVE, "Exp": POSITIVE, "Sigmoid": UNIT}


def _inner(distribution):
    """The distribution of a single number, or of what has no parts."""
    while True:  # tfd.Independent has several classes
        if hasattr(distribution, "components_distribution"):
            distribution = distribution.components_distribution
        elif hasattr(distribution, "distribution") and not hasattr(distribution, "bijector"):
            distribution = distribution.distribution
        else:
            return distribution


def _support_of(distribution, shape):
    """What checks the values of a distribution; None: it is not known."""
    if isinstance(distribution, tfd.Bernoulli):
        return Bernoulli(shape)
    if hasattr(distribution, "bins"):
        return Discretized(shape, distribution.bins)
    for kind, values in DISCRETE.items():
        if isinstance(distribution, kind):
            return values
    try:  # from all real numbers to the support
        bijector = distribution.experimental_default_event_space_bijector()
    except Exception:
        return None
    ends = getattr(bijector, "low", None), getattr(bijector, "high", None)  # those of a uniform distribution
    return CONTINUOUS.get(type(bijector).__name__) if ends == (None, None) else None


# ---------------------------------------------------------------- batches


def as_batches(model, x, batch_size=None, shuffle=False):
    """Arrays as seeded `Batches`; what makes batches of its own (tf.data, PyDataset, generator) as that, checked."""
    x = _without_targets(model, x)
    if not is_array(x):
        _refuse(x)
        if batch_size is not None:
            raise ValueError(f"batch_size goes with arrays; a {type(x).__name__} makes batches of its own.")
        return _looked_at(model, x)
    checked = arrays(model, x)
    if shuffle:
        seed = [int(n) for n in ops.convert_to_numpy(model.seed_generator.next())]
    else:  # dynamically binarized data are evaluated in their one fixed draw
        seed, checked = 0, {name: np.asarray(array) for name, array in checked.items()}
    data = checked if isinstance(x, dict) else checked[model.data_names[0]]
    return Batches(data, 100 if batch_size is None else batch_size, shuffle, seed)


def _refuse(x):
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


def _looked_at(model, x):
    """What makes batches of its own, as Keras takes it; NumPy batches are checked one by one, of others the first."""
    if isinstance(x, Checked):
        return x
    if isinstance(x, Batches):
        arrays(model, x.data)
        return x
    if isinstance(x, keras.utils.PyDataset):
        _check_batch(model, x[0])
        return Checked(model, x)
    if hasattr(x, "__next__"):
        return _checked_one_by_one(model, x)
    first = next(iter(x.take(1) if hasattr(x, "take") else x), None)
    if first is None:
        raise ValueError(f"There are no data: this {type(x).__name__} has no batches.")
    _check_batch(model, first, first=True)
    return x


def _batch(batch):
    """A batch as Keras' tuples (x,), (x, None) or (x, None, sample_weight)."""
    batch = tuple(batch) if isinstance(batch, (tuple, list)) else (batch,)
    if len(batch) > 1 and batch[1] is not None:
        raise ValueError(TARGETS + BATCHES_OF_PAIRS)
    return batch


def _require_batches(model, x):
    """Raises ValueError for an example that stands where a batch should."""
    for name, value in x.items():
        expected = _event_shape(model, name)
        if expected is not None and tuple(np.shape(value)) == tuple(expected):
            raise ValueError(
                f"These data come one by one, {name!r} of shape {list(expected)}: batch them, dataset.batch(100)."
            )


def _check_batch(model, batch, first=False):
    """Checks a batch like an array, and builds the model by it; returns it as a tuple."""
    batch = _batch(batch)
    x = named(model, batch[0])
    if not all(ops.is_tensor(value) or arraylike(value) for value in x.values()):
        kinds = ", ".join(sorted({type(value).__name__ for value in x.values()}))
        warnings.warn(f"Data go unchecked, since their batches are no arrays but {kinds}.", stacklevel=2)
        return batch
    if first:
        _require_batches(model, x)
    rows = len(next(iter(arrays(model, x).values())))
    if len(batch) > 2 and (arraylike(batch[2]) or ops.is_tensor(batch[2])):
        weights = np.asarray(as_array("sample_weight", np.asarray(batch[2])))
        if len(weights) != rows or not np.isfinite(weights).all():
            raise ValueError(f"sample_weight should be {rows} finite numbers, one a row; received {weights.shape}.")
    return batch


class Checked(keras.utils.PyDataset):
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


def _checked_one_by_one(model, iterator):
    """A generator of checked batches, the first of which is looked at now."""
    first = next(iterator, None)
    if first is None:
        raise ValueError(f"There are no data: this {type(iterator).__name__} has no batches, or is used up.")
    first = _check_batch(model, first)
    return _generator(model, first, iterator)


def _generator(model, first, iterator):
    yield first
    for batch in iterator:
        yield _check_batch(model, batch)


def gathered(model, x):
    """All batches of a tf.data.Dataset or PyDataset in memory, an array or a dict of arrays by variable name.

    Raises:
        ValueError: endless data, a generator (which may be), targets, no batches.
    """
    _refuse(x)
    if isinstance(x, Checked):
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
    parts = [named(model, _batch(batch)[0]) for batch in x]
    if not parts:
        raise ValueError(f"There are no data: this {type(x).__name__} has no batches.")
    _require_batches(model, parts[0])
    return {name: np.concatenate([np.asarray(part[name]) for part in parts]) for name in parts[0]}
