"""Observes layers whose output is a distribution."""

import keras
import numpy as np

from vaekit.backend import compile, seed, tfd, value_and_gradient, variables_gradient
from vaekit.course.observe import generators
from vaekit.course.observe.errors import describe_error
from vaekit.course.observe.layers import CONFIG, copy, layer_class
from vaekit.course.observe.values import GLOBAL, Fault, Wrong, described, fault_or, plain

NO_NOISE = Fault(
    "no_noise",
    "the draws have no noise: `sample` should draw pixels, not return the mean. A `tfd.Distribution` does that by "
    "itself.",
)


def distribution_layer(answer, inputs, weights):
    """Observes a layer whose output is a `tfd.Distribution` over images.

    Args:
        answer: the layer's class.
        inputs: dict of `features`, `[B, F]`, what the layer is called with; `x`, `[B, ...]`, images; the weights; and
            the arguments of the layer's constructor, of which an array becomes a tuple.
        weights: names of those inputs which become the layer's weights, in the order of `layer.weights`.

    Returns: dict.
        - "event shape", "batch shape" of the distribution; "mean", `[B, ...]`; "log_prob" of x, `[B]`;
        - "draws": a thousand of them;
        - "gradient of NAME": of the sum of log p(x), for each weight, and for the features;
        - "log_prob in a model": by a Sequential model that ends in the layer, compiled for batches of any size;
        - "log_prob of a copy": by a layer made from the first one's config.
    """
    layer_class(answer)
    values = {name: inputs[name] for name in weights}
    arguments = {name: value for name, value in inputs.items() if name not in (*weights, "features", "x")}
    arguments = {name: _plain(value) for name, value in arguments.items()}
    features, x = (keras.ops.convert_to_tensor(inputs[name], "float32") for name in ("features", "x"))
    with generators.undisturbed(), generators.watched() as events:
        layer = answer(**arguments)
        distribution(layer, features)
    same = [w.name for w in layer.trainable_weights if len(w.shape) > 1 and np.ptp(plain(w)) == 0]
    p = distribution(with_weights(layer, values), features)

    def draws():
        sample = p.sample(1000, seed=seed(1))
        if (dtype := keras.backend.standardize_dtype(sample.dtype)) != "float32":
            raise Wrong(f"draws are {dtype}, expected float32.", "dtype")
        return plain(sample)

    def slopes():
        if len(layer.trainable_weights) != len(values):
            trained = ", ".join(f"`{w.name}`" for w in layer.trainable_weights) or "none"
            message = f"all of {', '.join(weights)} should be trainable; only these are: {trained}."
            raise Wrong(message, "not_trainable")
        if same:
            raise Wrong(
                f"`{same[0]}` begins with the same number everywhere, so that its units learn the same, or nothing: "
                '`initializer="glorot_uniform"` is what `add_weight` has by itself.',
                "same_everywhere",
            )

        def log_p(h):
            return keras.ops.sum(distribution(layer, h).log_prob(x))

        _, of_weights = variables_gradient(lambda: log_p(features), layer.trainable_weights)
        _, of_features = value_and_gradient(log_p, features)
        return dict(zip(gradients, (*of_weights, *of_features), strict=True))

    def in_a_model():
        model = _model(answer, arguments, features)
        if model.output_shape != (None, *x.shape[1:]):
            raise Wrong(
                f"a model that ends in the layer has the output shape {model.output_shape}, expected "
                f"{(None, *x.shape[1:])}: what does `compute_output_spec` return?",
                "output_shape",
            )
        with_weights(model.layers[-1], values)
        log_p = compile(lambda h, x: distribution(model, h).log_prob(x))
        log_p(features[:1], x[:1])  # a second size, and how many rows there are is left open
        return log_p(features, x)

    def of_a_copy():
        clone = copy(answer, arguments)
        distribution(clone, features)
        return distribution(with_weights(clone, values), features).log_prob(x)

    log_prob = fault_or(lambda: p.log_prob(x), answer)
    hint = "" if isinstance(log_prob, Fault) else CONFIG  # what fails anyway is not the config's fault
    gradients = [f"gradient of {name}" for name in (*weights, "features")]
    each = fault_or(slopes, answer)
    return {
        "event shape": fault_or(lambda: np.array(p.event_shape), answer),
        "batch shape": fault_or(lambda: np.array(p.batch_shape), answer),
        "mean": fault_or(p.mean, answer),
        "log_prob": log_prob,
        "log_prob in a model": fault_or(in_a_model, answer, "a compiled model that ends in the layer"),
        "log_prob of a copy": fault_or(of_a_copy, answer, "a layer made again from `get_config()`", hint),
        "draws": fault_or(draws, answer),
        **(dict.fromkeys(gradients, each) if isinstance(each, Fault) else each),
        **({GLOBAL: 1} if events["global state"] else {}),
    }


def measured(values, inputs, weights):
    """Measures what was observed: of "draws" the shape, and the "spread", the root of the mean squared distance from
    their mean; of "log_prob in a model" and "log_prob of a copy" by how much they differ from "log_prob".

    Args:
        values: what `distribution_layer` returned, or somebody who wants to deceive.
        inputs, weights: of the case; unused.
    """
    others = "log_prob in a model", "log_prob of a copy"
    values = values | {name: _differs(values[name], values["log_prob"]) for name in others}
    draws = values["draws"]
    if not isinstance(draws, Fault) and len(np.atleast_1d(draws)) > 1 and np.array_equal(draws[0], draws[1]):
        draws = NO_NOISE
    if isinstance(draws, Fault):
        return values | {"draws": draws, "spread": draws}
    with np.errstate(all="ignore"):
        spread = np.sqrt(np.mean((draws - draws.mean(0)) ** 2))
    return values | {"draws": np.array(draws.shape), "spread": spread}


def _plain(value):
    """An array as a tuple, one without axes as a number."""
    value = value.tolist() if isinstance(value, np.ndarray) else value
    return tuple(value) if isinstance(value, list) else value


def _differs(other, own):
    """Measures by how much two arrays differ at most; what is no array of the same shape stays what it is."""
    if isinstance(other, Fault) or isinstance(own, Fault):
        return other if isinstance(other, Fault) else own
    if np.shape(other) != np.shape(own):
        return other
    with np.errstate(all="ignore"):
        same = (other == own) | (np.isnan(other) & np.isnan(own))
        return np.max(np.where(same, 0.0, np.abs(other - own)), initial=0.0)


def distribution(layer, features):
    p = layer(features)
    if not isinstance(p, tfd.Distribution):
        raise Wrong(f"the layer should return a `tfd.Distribution`, it returned {described(p)}.", "no_distribution")
    return p


def with_weights(layer, values):
    """Sets a layer's weights to these values, a dict in order; returns the layer."""
    shapes, expected = [tuple(w.shape) for w in layer.weights], [np.shape(value) for value in values.values()]
    if shapes != expected:
        listed = ", ".join(f"{name} {shape}" for name, shape in zip(values, expected, strict=True))
        has = ", ".join(f"{w.name} {shape}" for w, shape in zip(layer.weights, shapes, strict=True)) or "none"
        order = " They are the right ones in another order." if sorted(shapes) == sorted(expected) else ""
        if frozen := [w.name for w in layer.weights if not w.trainable]:
            order = f" {', '.join(frozen)} cannot be trained, and so Keras lists it last." if order else ""
        raise Wrong(
            f"after its first call the layer should have the weights {listed}, each made by `self.add_weight` in "
            f"`build`, in this order; received {has}.{order}",
            "weights_in_other_order" if order else "weights",
        )
    layer.set_weights(list(values.values()))
    return layer


def _model(answer, arguments, features):
    """Makes a Sequential model of unknown batch size that ends in the layer."""
    last, symbol = answer(**arguments), keras.KerasTensor((None, *features.shape[1:]))
    tells = ("compute_output_spec", "compute_output_shape")
    own = any(getattr(answer, name) is not getattr(keras.layers.Layer, name) for name in tells)
    try:
        spec = last.compute_output_spec(symbol)  # a stub's error is lost below
        if own and (not isinstance(spec, keras.KerasTensor) or spec is symbol):
            what = "the symbol that it was given" if spec is symbol else described(spec)
            raise Wrong(f"`compute_output_spec` should return a new `keras.KerasTensor`, it returned {what}.")
        if own and not keras.backend.is_float_dtype(spec.dtype):
            raise Wrong(f"`compute_output_spec` returned a symbol of {spec.dtype}; images are float32.", "output_dtype")
        return keras.Sequential([keras.Input(features.shape[1:]), last])
    except Wrong:
        raise
    except NotImplementedError:
        if own:
            raise
    except Exception as error:
        if own:
            raise Wrong(describe_error(error, "`compute_output_spec`", answer), "output_spec") from None
    raise Wrong(
        "the layer cannot stand in a model: Keras asks it for a symbol of its output, a tensor, and cannot make one of "
        "a distribution. Define `compute_output_spec(self, inputs)`, which returns a `keras.KerasTensor`.",
        "no_output_spec",
    )
