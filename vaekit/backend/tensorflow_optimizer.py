"""An optimizer's step on TensorFlow, traced and compiled once for all models of equal structure.

Each model has graphs of its own, and XLA takes longer to compile a small one's optimizer step than an epoch takes.
So this step is a function whose variables are its arguments: TensorFlow knows it again for other variables of equal
shapes.
"""

import contextlib
import functools
import json
import threading

import keras
import tensorflow as tf

SHARED = (keras.optimizers.Adam, keras.optimizers.Adamax, keras.optimizers.SGD, keras.optimizers.RMSprop)
SCHEDULES = (
    keras.optimizers.schedules.CosineDecay,
    keras.optimizers.schedules.ExponentialDecay,
    keras.optimizers.schedules.InverseTimeDecay,
    keras.optimizers.schedules.PiecewiseConstantDecay,
    keras.optimizers.schedules.PolynomialDecay,
)
UNUSUAL = ("weight_decay", "use_ema", "gradient_accumulation_steps", "loss_scale_factor")


def apply(optimizer, gradient, variables):
    """Applies a gradient, compiled by XLA, within a graph."""
    settings = _settings(optimizer)
    unusual = any(v.constraint is not None or v.overwrite_with_gradient for v in variables)
    if settings is None or unusual or not _of_all(_innermost(optimizer), variables):
        return tf.function(lambda *g: optimizer.apply(g, variables), autograph=False, jit_compile=True)(*gradient)
    every = list({id(v): v for v in [*variables, *optimizer.variables]}.values())
    _present.step = optimizer, variables, every
    try:
        step = _step(settings, tuple((tuple(v.shape), v.dtype) for v in every))
        return step([v.value for v in every], list(gradient))
    finally:
        del _present.step


_present = threading.local()  # what is traced: the function itself is to keep no model alive


@functools.lru_cache(maxsize=128)
def _step(settings, shapes):
    return tf.function(_apply, autograph=False, jit_compile=True)


def _apply(values, gradient):
    """Applies a gradient, with other variables in the place of the optimizer's and the weights."""
    optimizer, variables, every = _present.step
    with _in_place_of(every, values), _known(_innermost(optimizer), variables):
        optimizer.apply(gradient, variables)


@contextlib.contextmanager
def _in_place_of(variables, values):
    own = [variable._value for variable in variables]
    try:
        for variable, value in zip(variables, values, strict=True):
            variable._value = value
        yield
    finally:
        for variable, value in zip(variables, own, strict=True):
            variable._value = value


def _of_all(optimizer, variables):
    """Whether variables are all those that the optimizer was built for, in their order."""
    return [*map(optimizer._var_key, variables)] == [*map(optimizer._var_key, optimizer._trainable_variables)]


@contextlib.contextmanager
def _known(optimizer, variables):
    """Has an optimizer find its moments by what stands in the weights' place."""
    numbers = optimizer._trainable_variables_indices
    optimizer._trainable_variables_indices = {optimizer._var_key(v): i for i, v in enumerate(variables)}
    try:
        yield
    finally:
        optimizer._trainable_variables_indices = numbers


def _innermost(optimizer):
    return getattr(optimizer, "optimizer", optimizer)  # of `vaekit.training.NormalizedGradients`


def _settings(optimizer):
    """What a step's graph depends on, beside the variables' shapes, as a text; None: more than is known here.

    The learning rate is a variable, or a schedule; of another function nothing is known.
    """
    inner, text = _innermost(optimizer), ""
    if inner is not optimizer:
        if type(optimizer).__module__.split(".")[0] != "vaekit":
            return None
        text = f"{type(optimizer).__name__} {optimizer.epsilon} "
    rate = inner._learning_rate
    if type(inner) not in SHARED or not (isinstance(rate, keras.Variable) or type(rate) in SCHEDULES):
        return None
    with tf.init_scope():
        config = {name: value for name, value in inner.get_config().items() if name not in ("learning_rate", "name")}
    if any(config.get(name) for name in UNUSUAL):
        return None
    rate = [type(rate).__name__, rate.get_config()] if type(rate) in SCHEDULES else None
    return text + json.dumps([type(inner).__name__, config, rate], sort_keys=True, default=repr)
