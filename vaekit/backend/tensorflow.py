"""The functions of `vaekit.backend`, where they are documented, on TensorFlow."""

import contextlib
import functools
import threading

import numpy as np

from vaekit.backend.common import accelerated
from vaekit.backend.stderr import quiet_start

with quiet_start():
    import tensorflow as tf
    import tensorflow_probability as tfp

    from vaekit.backend import tensorflow_optimizer

    # wakes devices and data pipeline, which have more to say
    list(tf.data.Dataset.from_generator(lambda: iter([0.0]), output_signature=tf.TensorSpec((), tf.float32)))
    tf.function(tf.transpose)(tf.zeros((1, 2), tf.int32))  # and oneDNN, which says once that it has no whole numbers

SEED_DTYPE = "int32"
ONNX = ("onnx", "tf2onnx")
ALWAYS_JIT = False


# ---- distributions and seeds ----------------------------------------------------------------------------------------


def converts_to_mean(kind):
    def tensor(value, dtype=None, name=None, as_ref=False):
        try:
            mean = value.mean()
        except Exception:
            mean = np.asarray(value)  # which says what is wrong
        return tf.convert_to_tensor(mean, dtype)

    kind.numpy = kind.__array__
    tf.register_tensor_conversion_function(kind, tensor)
    return kind


def replica_seed(key):
    if replicas() == 1 or (context := tf.distribute.get_replica_context()) is None:
        return key
    keys = tf.stack(tfp.random.split_seed(tf.cast(key, SEED_DTYPE), n=replicas()))
    return keys[context.replica_id_in_sync_group]


def fold_in(seed, i):
    return tf.random.experimental.stateless_fold_in(seed, i)


# ---- tensors, gradients, precision ----------------------------------------------------------------------------------


def has_values(tensor):
    return not tf.is_symbolic_tensor(tensor)


def value_and_gradient(function, *arrays):
    arrays = [tf.convert_to_tensor(a) for a in arrays]
    with tf.GradientTape() as tape:
        tape.watch(arrays)
        value = function(*arrays)
    return value, tuple(tape.gradient(value, arrays, unconnected_gradients="zero"))


def variables_gradient(function, variables):
    with tf.GradientTape() as tape:
        value = function()
    gradient = tape.gradient(value, variables)  # None where the value does not depend on a variable
    # An embedding's has rows only, a word's as often as the word: Keras' Adam and clipping would take these for
    # different rows, and square each. As a tensor it has their sum.
    pairs = zip(variables, gradient, strict=True)
    dense = [tf.zeros_like(v.value) if g is None else tf.convert_to_tensor(g) for v, g in pairs]
    return value, dense


def apply_gradient(optimizer, gradient, variables, jit_compile):
    if jit_compile and not tf.executing_eagerly() and replicas() == 1:
        return tensorflow_optimizer.apply(optimizer, gradient, variables)
    return optimizer.apply(gradient, variables)


def in_float64(function):
    derived = tf.float64 if accelerated() else None

    @tf.custom_gradient
    def precise(*arrays):
        def gradient(upstream):
            with tf.GradientTape() as tape:
                tape.watch(arrays)
                value = function(*(tf.cast(a, derived or a.dtype) for a in arrays))
            return tape.gradient(value, arrays, tf.cast(upstream, value.dtype))

        return tf.cast(function(*(tf.cast(a, tf.float64) for a in arrays)), arrays[0].dtype), gradient

    return lambda *arrays: precise(*(tf.convert_to_tensor(a) for a in arrays))


@contextlib.contextmanager
def full_precision():
    allowed = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(allowed)


# ---- Keras' own training loop, which needs no help here -------------------------------------------------------------


def losses_collected():
    return contextlib.nullcontext()


def values_restored(variables):
    return contextlib.nullcontext()


# ---- programs -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _gradients_unregistered():
    """A context that unregisters gradients that TensorFlow registers for a program that is not differentiated.

    It keeps the function of every `tf.custom_gradient` within a graph for ever, and with it the graph: Keras'
    optimizers have one in each step, which was 10 MB for every model that had been trained and discarded.
    """
    from tensorflow.python.framework import ops

    registry = getattr(getattr(ops, "gradient_registry", None), "_registry", {})
    with _registering:
        before = set(registry)
        try:
            yield
        finally:
            for name in set(registry) - before:
                if name.startswith("CustomGradient-"):
                    del registry[name]


_registering = threading.RLock()  # one thread's new gradients are not another's


def _without_gradients(program):
    @functools.wraps(program)
    def run(*arrays):
        with _gradients_unregistered():
            return program(*arrays)

    return run


def _program(function, jit_compile=None):
    """Makes a `tf.function` of a fresh partial: TensorFlow warns of retracing by callable, and programs share code.

    It leaves open how many rows there are, and how many tokens, `[N, T]`. Networks over time are made for a T: for each
    shape `[T, ...]` of the arrays' rows there is one.
    """

    @functools.cache
    def program(shapes):
        return tf.function(functools.partial(function), reduce_retracing=True, autograph=False, jit_compile=jit_compile)

    def run(*arrays):
        shapes = (tuple(getattr(array, "shape", ())) for array in tf.nest.flatten(arrays))
        return program(tuple(shape[1:] for shape in shapes if len(shape) > 2))(*arrays)

    return run


def dry_run(function):
    tf.function(function, autograph=False).get_concrete_function()


def by_row(function):
    return function  # sizes may be left open


def compile(function, variables, differentiable):
    return _program(function) if differentiable else _without_gradients(_program(function))


def compile_loop(body, variables, jit_compile, others):
    def steps(start, stop, *arrays):
        def step(i):
            body(i, *arrays)
            return i + 1

        tf.while_loop(lambda i: i < stop, step, [start], parallel_iterations=1)

    program = _program(steps, jit_compile)

    return _without_gradients(lambda start, stop, *arrays: program(tf.constant(start), tf.constant(stop), *arrays))


def loops_together():
    return False


def stack_calls(function, n, variables):
    # one iteration in memory at a time
    return tf.while_loop(
        lambda i, _: i < n,
        lambda i, results: (i + 1, results.write(i, function())),
        (0, tf.TensorArray("float32", n)),
        parallel_iterations=1,
    )[1].stack()


def scan(step, state, n, read):
    def body(i, state, results):
        state = step(state, i)
        read_now = tf.nest.flatten(read(state))
        return i + 1, state, [array.write(i, value) for array, value in zip(results, read_now, strict=True)]

    structure = read(state)
    results = [tf.TensorArray("float32", n) for _ in tf.nest.flatten(structure)]
    results = tf.while_loop(lambda i, *_: i < n, body, (0, state, results), parallel_iterations=1)[2]
    return tf.nest.pack_sequence_as(structure, [array.stack() for array in results])


def count_operations(function, variables, *arrays):
    raise RuntimeError('TensorFlow does not count operations: set KERAS_BACKEND to "jax" for this.')


# ---- devices --------------------------------------------------------------------------------------------------------


def accelerator():
    return tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[0])["device_name"]


def replicas(model=None):
    return (tf.distribute.get_strategy() if model is None else model.distribute_strategy).num_replicas_in_sync


def mean_over_replicas(value):
    if replicas() == 1 or (context := tf.distribute.get_replica_context()) is None:
        return value
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, value)
