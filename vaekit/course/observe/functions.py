"""How answers to exercises become arrays. Nothing here knows what is right: this file is also what graded code may see.

An observer is called with the answer and a case's inputs and options, and returns a dict of arrays. Its arguments are
what `exercise.Case` and `exercise.Observe` hold; its result is all that a judge ever sees of an answer.
"""

import inspect
import json
import linecache
import math
import re
import traceback
from typing import NamedTuple

import keras
import numpy as np

from vaekit.backend import full_precision, seed, tfd, value_and_gradient, variables_gradient

VALUE = "value"  # what the observation of a plain function is called
LARGEST = 2_000_000  # numbers in one observation


class Fault(NamedTuple):
    """Why there is no observation.

    Attributes:
        kind: "missing" (no such name), "unanswered" (NotImplementedError), "error", "time", "killed", "refused".
        says: what the learner reads.
    """

    kind: str
    says: str


def observe(name, answer, inputs, options):
    """What an observer finds: a dict of float64 arrays, or a `Fault` that says what went wrong in the answer.

    A `Fault` in place of a single array costs that observation's part alone.
    """

    def found():
        if OBSERVERS[name] in (call, gradients):
            _takes(answer, inputs)
        with full_precision():
            values = OBSERVERS[name](answer, **inputs, **{f"_{key}": value for key, value in options.items()})
            return {key: value if isinstance(value, Fault) else plain(value) for key, value in values.items()}

    return _or_fault(found)


def _or_fault(function, where="it", hint=""):
    """What a function returns, or a `Fault`: whatever an answer raises is its fault, and is told as such."""
    try:
        return function()
    except NotImplementedError:
        return Fault("unanswered", "not answered yet.")
    except Wrong as error:
        return Fault("refused", str(error))
    except (Exception, SystemExit) as error:
        return Fault("error", told(error, where) + hint)


def _takes(answer, inputs):
    """Refuses a function of other arguments than the case has, before it is called."""
    if not inspect.isfunction(answer):
        return
    try:
        inspect.signature(answer).bind(**inputs)
    except TypeError as error:
        wanted = ", ".join(inputs)
        raise Wrong(f"it should take the arguments ({wanted}): {error}.") from None


class Wrong(Exception):
    """What an answer returned cannot be observed."""


def told(error, where="it"):
    """An exception as a sentence: where it was raised in the learner's code, and what the usual reason is."""
    if "_error_repr" in str(error) and error.__context__:  # Keras makes JAX's exceptions anew, which these do not bear
        error = error.__context__
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename not in _OURS]
    own = [f for f in frames if f.filename.startswith(("<ipython", "<string")) or "ipykernel" in f.filename]
    line = (own or frames or [None])[-1]
    source = line and (line.line or linecache.getline(line.filename, line.lineno).strip())
    text = _plainly(str(error))
    line = f" in `{source}`" if source else ""
    kind = type(error).__name__
    hint = next((hint for name, hint in _USUAL.items() if name in kind), "")
    return f"{where} raised `{kind}: {text}`{line}.{hint}"


def _plainly(text):
    """The first line of a message, without what Keras and TensorFlow wrap it in."""
    if inner := re.search(r"Exception encountered when calling .*?\x1b\[1m(.*?)\x1b\[0m", text, re.DOTALL):
        text = inner[1]
    text = re.sub(r"\{\{function_node .*?\}\} |\[Op:\w+\]( name:)?", "", text)
    return text.strip().split("\n")[0][:300].rstrip(" .")


_OURS = {__file__}
_USUAL = {
    "TracerArrayConversion": " NumPy cannot be differentiated: use `keras.ops`.",
    "ConcretizationType": " Python's `if` and `float` cannot be differentiated: use `keras.ops.where`.",
    "BoolConversion": " Python's `if` cannot be differentiated: use `keras.ops.where`.",
}


def plain(value):
    """A tensor, a number, or a list of numbers as an array of its own, float64.

    Raises:
        Wrong: anything else.
    """
    if value is None:
        raise Wrong("nothing came back; is there a `return`?")
    try:
        array = np.array(keras.ops.convert_to_numpy(value), copy=True, subok=False)
    except Exception:
        raise Wrong(f"expected a tensor, received a value of type `{type(value).__name__}`.") from None
    if array.dtype.kind not in "fiub" and array.dtype.name != "bfloat16":
        raise Wrong(f"expected a tensor of numbers, received {array.dtype} values.")
    if array.size > LARGEST:
        raise Wrong(f"a tensor of {array.size:,} numbers came back; {LARGEST:,} are the most that are looked at.")
    return array.astype(np.float64)


def tensors(inputs):
    """Arrays as the backend's tensors; numbers and texts stay."""
    return {
        name: keras.ops.convert_to_tensor(value, "float32" if value.dtype.kind == "f" else None)
        if isinstance(value, np.ndarray)
        else value
        for name, value in inputs.items()
    }


def callable_or_wrong(answer):
    if not callable(answer):
        raise Wrong(f"expected something to call, received a value of type `{type(answer).__name__}`.")
    return answer


def _results(result, names):
    """What came back by name: a single value, or as many as there are names."""
    if names is None:
        return {VALUE: result}
    if not isinstance(result, (tuple, list)) or len(result) != len(names):
        came = f"{len(result)} values" if isinstance(result, (tuple, list)) else f"a `{type(result).__name__}`"
        raise Wrong(f"expected {len(names)} values ({', '.join(names)}), received {came}.")
    return dict(zip(names, result, strict=True))


# ---- observers


def call(answer, _names=None, **inputs):
    """What a function returns; several values by `names`."""
    return _results(callable_or_wrong(answer)(**tensors(inputs)), _names)


def gradients(answer, _of, _names=None, **inputs):
    """What a function returns, and the gradient of its sum with respect to some inputs.

    It is called "gradient of mean"; where the function returns several values, "gradient of sample for mean".
    """
    given = tensors(inputs)
    at = [given[name] for name in _of]

    def results(*values):
        return _results(callable_or_wrong(answer)(**{**given, **dict(zip(_of, values, strict=True))}), _names)

    found, again = ({name: plain(value) for name, value in results(*at).items()} for _ in range(2))
    if any(not np.array_equal(found[name], again[name], equal_nan=True) for name in found):
        raise Wrong("two calls with the same arguments gave different results: use the noise given, draw none.")
    slopes = {}
    for name in found:
        _, gradient = value_and_gradient(lambda *values, name=name: keras.ops.sum(results(*values)[name]), *at)
        label = "gradient of {}" if name == VALUE else f"gradient of {name} for {{}}"
        slopes |= {label.format(of): slope for of, slope in zip(_of, gradient, strict=True)}
    return found | slopes


def sampling_layer(answer, mean, log_variance, seed, _draws):
    r"""What many draws of a layer tell, which draws $z \sim \mathcal N(\mu, \sigma^2)$ from $(\mu, \log \sigma^2)$.

    Args:
        answer: the layer's class; takes `seed`.
        mean, log_variance: `[B, D]`, given to the layer `draws` times in one batch.
        seed: an int.

    Returns: dict; noise is $\varepsilon = (z - \mu) / \sigma$.
        - "spread": standard deviations of z, "centre": means of ε, `[B, D]`;
        - "rows", "dimensions", "calls", "other seed": correlations of the ε of neighbouring rows, of neighbouring
          dimensions, of two calls, of two layers with different seeds; nan if there is no noise;
        - "same seed", "restored": root of the mean squared difference of ε between two layers with the same seed, and
          between such a layer and one made from its config, in units of ε;
        - "kurtosis": E ε⁴ / (E ε²)² of centred ε, 3 for a normal distribution; nan if there is no noise;
        - "gradient of mean": of the sum of z, mean over draws, "gradient of log_variance": root of the mean square;
        - "in a model": shape of what a functional model of unknown batch size gives.
    """
    if not (isinstance(answer, type) and issubclass(answer, keras.layers.Layer)):
        raise Wrong("expected a class that is a `keras.layers.Layer`.")
    given = [keras.ops.convert_to_tensor(np.tile(a, (_draws, 1)), "float32") for a in (mean, log_variance)]
    center, scale = mean, np.exp(log_variance / 2)

    def noise(layer):
        z = plain(layer(tuple(given)))
        if z.shape != (_draws * len(mean), mean.shape[1]):
            raise Wrong(f"for a mean of shape {tuple(given[0].shape)}, draws have the shape {z.shape}.")
        return (z.reshape(_draws, *mean.shape) - center) / scale  # [draws, B, D]

    def correlation(a, b):
        size = np.sqrt(np.mean(a**2) * np.mean(b**2))
        return np.mean(a * b) / size if size else np.nan  # no noise

    def difference(a, b):
        return np.sqrt(np.mean((a - b) ** 2) / np.mean(a**2)) if a.any() else np.nan

    def kurtosis(a):
        a = a - a.mean(0)
        return np.mean(a**4) / np.mean(a**2) ** 2 if a.any() else np.nan

    def restored():
        config = json.loads(json.dumps(answer(seed=seed).get_config()))
        return difference(first, noise(answer.from_config(config)))

    def in_a_model():
        symbols = [keras.Input((mean.shape[1],)) for _ in given]
        model = keras.Model(symbols, answer(seed=seed)(tuple(symbols)))
        return np.shape(model([g[:5] for g in given]))

    layer = answer(seed=seed)
    first, second = noise(layer), noise(layer)
    rows = first.reshape(-1, mean.shape[1])  # [draws · B, D]
    _, slopes = value_and_gradient(lambda *values: keras.ops.sum(layer(values)), *given)
    for_mean, for_log_variance = (plain(slope).reshape(first.shape) for slope in slopes)
    return {
        "spread": first.std(0) * scale,
        "centre": first.mean(0),
        "rows": correlation(rows[1:], rows[:-1]),
        "dimensions": correlation(rows[:, 1:], rows[:, :-1]),
        "calls": correlation(first, second),
        "gradient of mean": for_mean.mean(0),
        "gradient of log_variance": np.sqrt(np.mean(for_log_variance**2, 0)),
        "same seed": difference(first, noise(answer(seed=seed))),
        "other seed": correlation(first, noise(answer(seed=seed + 1))),
        "kurtosis": kurtosis(first),
        "restored": _or_fault(
            restored,
            "a layer made again from `get_config()`",
            " It should return what `__init__` takes, as numbers and texts (the seed, not its generator), together "
            "with `super().get_config()`.",
        ),
        "in a model": _or_fault(
            in_a_model,
            "a functional model with the layer",
            " There the batch size is not known, and tensors have no values yet: take the shape in `call`, by "
            "`ops.shape(mean)`, and compute with `ops` throughout.",
        ),
    }


def number(answer):
    """A number derived by hand."""
    if callable(answer) or np.ndim(answer) or isinstance(answer, (str, bytes)):
        raise Wrong(f"expected a number, received a value of type `{type(answer).__name__}`.")
    if answer is None or answer is Ellipsis or (isinstance(answer, float) and math.isnan(answer)):
        raise NotImplementedError
    return {VALUE: float(answer)}


def distribution_layer(answer, aspect, features, x, _weights, **arguments):
    """What a layer does whose output is a `tfd.Distribution` over images; one aspect of it a case.

    Args:
        answer: the layer's class.
        aspect: which aspect.
            - "shapes": "event shape" and "batch shape" of the distribution;
            - "log_prob": of x, `[B]`;
            - "mean";
            - "sample": "shape" of three draws and whether they are "float32"; the "spread" of a thousand;
            - "gradients": of the sum of log p(x), "gradient of NAME" for each weight and for the features;
            - "model": log p(x) by a Sequential model that ends in the layer;
            - "config": log p(x) by a layer made from the first one's config.
        features: `[B, F]`, what the layer is called with.
        x: `[B, ...]`, images.
        _weights: names of those inputs which become the layer's weights, in the order of `layer.weights`.
        arguments: the weights, and the arguments of the layer's constructor; an array becomes a tuple.
    """
    if not (isinstance(answer, type) and issubclass(answer, keras.layers.Layer)):
        raise Wrong("expected a class that is a `keras.layers.Layer`.")
    values = [arguments.pop(name) for name in _weights]
    arguments = {name: tuple(v.tolist()) if isinstance(v, np.ndarray) else v for name, v in arguments.items()}
    features, x = (keras.ops.convert_to_tensor(value, "float32") for value in (features, x))

    def with_weights(layer):
        shapes, expected = [tuple(w.shape) for w in layer.weights], [value.shape for value in values]
        if shapes != expected:
            raise Wrong(
                f"after a first call the layer should have the weights {', '.join(_weights)}, of the shapes "
                f"{expected}, each made by `self.add_weight`; it has weights of the shapes {shapes}."
            )
        layer.set_weights(values)
        return layer

    def distribution(layer, h=features):
        p = layer(h)
        if not isinstance(p, tfd.Distribution):
            raise Wrong(f"the layer should return a `tfd.Distribution`, it returned a value of type `{_type(p)}`.")
        return p

    layer = answer(**arguments)
    distribution(layer)
    p = distribution(with_weights(layer))
    if aspect == "shapes":
        return {"event shape": np.array(p.event_shape), "batch shape": np.array(p.batch_shape)}
    if aspect == "log_prob":
        return {"log_prob": p.log_prob(x)}
    if aspect == "mean":
        return {"mean": p.mean()}
    if aspect == "sample":
        few, many = (plain(p.sample(n, seed=seed(n))) for n in (3, 1000))
        single = keras.backend.standardize_dtype(p.sample(seed=seed(1)).dtype) == "float32"
        return {"shape": np.array(few.shape), "float32": float(single), "spread": (many - many.mean(0)).std()}
    if aspect == "gradients":
        if len(layer.trainable_weights) != len(values):
            trained = [w.name for w in layer.trainable_weights]
            raise Wrong(f"all of {', '.join(_weights)} should be trainable; these are: {trained}.")
        _, slopes = variables_gradient(lambda: keras.ops.sum(distribution(layer).log_prob(x)), layer.trainable_weights)
        _, (slope,) = value_and_gradient(lambda h: keras.ops.sum(distribution(layer, h).log_prob(x)), features)
        named = {**dict(zip(_weights, slopes, strict=True)), "features": slope}
        return {f"gradient of {name}": value for name, value in named.items()}
    if aspect == "model":
        last = answer(**arguments)
        try:
            last.compute_output_spec(keras.KerasTensor((None, *features.shape[1:])))  # a stub's error is lost below
            model = keras.Sequential([keras.Input(features.shape[1:]), last])
        except NotImplementedError:
            raise
        except Exception as error:  # whatever the layer raises when it is called with a symbol
            raise Wrong(
                f"it cannot stand last in a `keras.Sequential`: {type(error).__name__}. Keras asks a layer for a "
                "symbol of its output, a tensor: `compute_output_spec` has to answer."
            ) from None
        if model.output_shape != (None, *x.shape[1:]):
            raise Wrong(
                f"a model that ends in it has the output shape {model.output_shape}, not {(None, *x.shape[1:])}."
            )
        with_weights(last)
        return {"log_prob": distribution(model).log_prob(x)}
    if aspect == "config":
        restored = answer.from_config(json.loads(json.dumps(layer.get_config())))  # as a file keeps it
        distribution(restored)
        return {"log_prob": distribution(with_weights(restored)).log_prob(x)}
    raise ValueError(f"No such aspect: {aspect!r}.")


def trained_vae(answer, images, seed=None, _parts=(), _most=LARGEST):
    """A VAE's training, and then what its encoder says: two calls, one after the other, in one process.

    The first call, with a `seed`, trains: `answer(images, seed)` returns a function `encode` and the decoder as
    arrays, of which these come back. The second one, without, hands images to `encode`, and its "mean" and
    "log_variance" come back. So the decoder has left this process before it sees the second call's images.

    Args:
        answer: function of (images, seed); returns (encode, decoder), the decoder a dict of arrays.
        images: `[N, D]`.
        seed: an int; None in the second call.
        _parts: names of the decoder's arrays.
        _most: numbers that these may hold together.
    """
    if seed is None:
        if "encode" not in _KEPT:
            raise Wrong("there is no encoder: training did not end well.")
        found = _KEPT.pop("encode")(keras.ops.convert_to_tensor(images, "float32"))
        return _results(found, ("mean", "log_variance"))
    _KEPT.clear()
    found = _results(callable_or_wrong(answer)(images.astype("float32"), seed), ("encode", "decoder"))
    decoder = found["decoder"]
    if not (isinstance(decoder, dict) and set(decoder) == set(_parts)):
        came = f"the keys {', '.join(map(str, decoder))}" if isinstance(decoder, dict) else f"a `{_type(decoder)}`"
        raise Wrong(f"the decoder should be a dict with the keys {', '.join(_parts)}; received {came}.")
    arrays = {name: plain(decoder[name]) for name in _parts}
    if (size := sum(array.size for array in arrays.values())) > _most:
        raise Wrong(f"the decoder holds {size:,} numbers; {_most:,} are allowed.")
    _KEPT["encode"] = callable_or_wrong(found["encode"])
    return arrays


_KEPT = {}  # between the calls of one answer


def _type(value):
    return type(value).__name__


OBSERVERS = {
    observer.__name__: observer
    for observer in (call, gradients, number, sampling_layer, distribution_layer, trained_vae)
}
