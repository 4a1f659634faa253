"""All that TensorFlow and JAX do in different ways: which TFP, seeds, gradients, compiling.

Functions are documented here, and implemented in two modules with the same names, `tensorflow` and `jax`. All other
code is written once, with `keras.ops` and `tfd`, and runs on both.
"""

import warnings
from numbers import Integral

import numpy as np

from vaekit.backend.stderr import quiet_start

_CHOOSE = (
    'Set the environment variable KERAS_BACKEND to "tensorflow" or "jax" before Python starts, '
    "or edit ~/.keras/keras.json."
)
try:
    with quiet_start():
        import keras
except ModuleNotFoundError as error:
    raise ImportError(
        f"Keras could not start its backend, because the module {error.name!r} is not installed. vaekit runs on "
        f"TensorFlow (installed with vaekit) and JAX (pip install 'vaekit[jax]'). {_CHOOSE}"
    ) from error

NAME = keras.backend.backend()

if NAME == "tensorflow":
    from vaekit.backend import tensorflow as _implementation
elif NAME == "jax":
    from vaekit.backend import jax as _implementation
else:
    raise ImportError(f"vaekit runs on Keras' TensorFlow and JAX backends; Keras is set to {NAME!r}. {_CHOOSE}")

from vaekit.backend.common import Scope, accelerated  # noqa: E402, F401

# TFP on JAX asks for float64 in some samplers, without need
warnings.filterwarnings("ignore", "Explicitly requested dtype.*float64", module="tensorflow_probability")

tfp = _implementation.tfp
tfd = tfp.distributions
SEED_DTYPE = _implementation.SEED_DTYPE
ONNX = _implementation.ONNX  # packages that write its files


# ---- distributions and seeds ----------------------------------------------------------------------------------------


def converts_to_mean(kind):
    """Decorates a class of distributions that stand for their mean where an array is expected."""
    return _implementation.converts_to_mean(kind)


def integer_seed(seed):
    """Maps any integer to one from 0 to 2³¹ − 2, which both backends take for the same seed.

    Raises:
        ValueError: a seed that is no integer.
    """
    if isinstance(seed, bool) or not isinstance(seed, Integral):
        raise ValueError(f"A seed should be an integer; received {seed!r}.")
    return int(seed) % (2**31 - 1)


def seed_generator(seed=None):
    """Makes a `keras.random.SeedGenerator` from an integer; None: from Keras' own (`keras.utils.set_random_seed`)."""
    return keras.random.SeedGenerator(None if seed is None else integer_seed(seed))


class SeedSequence:
    """The seeds of `seed_generator(seed)`, one after the other, without a variable, which no program could make.

    Those of one of `seed`'s, a program's argument, are others.
    """

    def __init__(self, seed):
        self.seed, self.count = seed if keras.ops.is_tensor(seed) else integer_seed(seed), 0

    def next(self):
        """The next seed, a tensor of two integers."""
        self.count += 1
        if keras.ops.is_tensor(self.seed):
            return fold_in(self.seed, self.count - 1)
        return keras.ops.convert_to_tensor(np.array([self.seed, self.count - 1], "uint32"))


def seed(source):
    """Makes a seed for TFP's samplers from an int, from a `keras.random.SeedGenerator`, or from such a seed.

    An int always gives the same seed; a generator gives a new one at each call, also inside compiled code, and to each
    of `tf.distribute`'s replicas its own.
    """
    if keras.ops.is_tensor(source):
        return source
    if isinstance(source, (keras.random.SeedGenerator, SeedSequence)):
        key = _implementation.replica_seed(source.next())
    else:
        key = np.array([0, integer_seed(source)], dtype="uint32")
    return keras.ops.cast(key, SEED_DTYPE)


def seeds(source, n):
    """Splits a seed into a list of n independent ones; a single one is the seed itself."""
    return [seed(source)] if n == 1 else list(tfp.random.split_seed(seed(source), n=n))


def fold_in(seed, i):
    """Makes another seed from one of `seed` and a number, which may be the counter of a compiled loop."""
    return _implementation.fold_in(seed, i)


# ---- tensors, gradients, precision ----------------------------------------------------------------------------------


def is_concrete(tensor):
    """Returns whether a tensor has values, and is no symbol in a program being traced."""
    return not isinstance(tensor, keras.KerasTensor) and _implementation.has_values(tensor)


def value_and_gradient(function, *arrays):
    r"""Computes $f(a_1, …)$ and $(\partial f/\partial a_1, …)$ for a function of arrays.

    Returns: the value, and a tuple of gradients shaped like `arrays`; of several values it is their sum's gradient, so
        that rows which do not know each other have their own.
    """
    return _implementation.value_and_gradient(function, *arrays)


def variables_gradient(function, variables):
    """Computes a scalar `function()` of Keras variables and its gradient, a list shaped like `variables`.

    Args:
        function: takes nothing, returns a scalar tensor; may read and assign any variables.
        variables: list of trainable `keras.Variable`.
    """
    return _implementation.variables_gradient(function, variables)


def apply_gradient(optimizer, gradient, variables, jit_compile=True):
    """Takes a step of a Keras optimizer, from a gradient, a list shaped like `variables`.

    `jit_compile`: whether XLA fuses the step's many small operations, in TensorFlow's graphs too.
    """
    return _implementation.apply_gradient(optimizer, gradient, variables, jit_compile)


def in_float64(function):
    """Returns `function(*arrays)` computed in float64, with results in the arguments' dtype; derivatives are float32's.

    For sums that cancel: where float32 loses the value, but the derivatives' own sums, of fewer large terms, do well.
    On a GPU, TensorFlow's derivatives are float64, too, and JAX's products of matrices full float32: never TF32.

    Args:
        function: of arrays of one dtype; returns one array.
    """
    return _implementation.in_float64(function)


def full_precision():
    """A context of matrix products in float32 where a GPU would round their factors to ten bits (TF32) to be faster."""
    return _implementation.full_precision()


# ---- within Keras' own training loop --------------------------------------------------------------------------------


def losses_collected():
    """A context in which the losses that layers add are available, also where Keras' own loop on JAX drops them.

    Raises:
        ValueError: in that loop, for a variable outside the model, whose changes it would not see.
    """
    return _implementation.losses_collected()


def values_restored(variables):
    """A context for Keras' own loop, which restores variables' values after an error: on JAX that loop takes them away
    for a step, and does not restore them when the first step fails. Convolutions are compiled as in `compile`."""
    return _implementation.values_restored(variables)


# ---- programs -------------------------------------------------------------------------------------------------------


def dry_run(function):
    """Traces `function()` without computing anything: errors surface here, and no variable changes."""
    _implementation.dry_run(function)


def by_row(function):
    """Vectorizes a `function` of a batch (an array `[B, ...]`, or a dict of them): one program then serves every B."""
    return _implementation.by_row(function)


def prefers_jit():
    """Returns whether XLA runs Keras' training step faster here: JAX always, TensorFlow on a GPU only."""
    return _implementation.ALWAYS_JIT or accelerated()


def compile(function, variables=(), differentiable=False):
    """Compiles `function(*arrays)`, which may read and update the Keras `variables`.

    Args:
        function: takes and returns arrays (or nests of them); runs as one program of the backend.
        variables: the `keras.Variable`s that `function` touches. Their values are inputs and outputs of the program, so
            that later training is seen and updates are not lost. (A variable missing here is found when the program
            runs; on JAX this costs compiling twice.)
        differentiable: whether gradients are taken through calls.

    On JAX's processors, convolutions and their gradients take forms that XLA computes fast (`jax_convolutions`).
    """
    return _implementation.compile(function, variables, differentiable)


def compile_loop(body, variables, jit_compile=False, others=()):
    """Compiles `for i in range(start, stop): body(i, shared, *arrays)` to a function of (start, stop, shared, ...).

    Args:
        body: may read and update the Keras `variables`; returns nothing.
        variables: every `keras.Variable` that `body` touches.
        jit_compile: whether TensorFlow uses XLA, too.
        others: lists like `variables`, of further models, where `loops_together()`. The loop runs once for each of the
            R lists, all at the same time: `shared` is one for all, and `arrays` are `[n, R, ...]`, `[n, ...]` for each.
    """
    return _implementation.compile_loop(body, variables, jit_compile, others)


def loops_together():
    """Returns whether `compile_loop` can run the loops of several models at once: on JAX, on a single device."""
    return _implementation.loops_together()


def stack_calls(function, n, variables=()):
    """Calls `function()` n times, one after the other, and stacks the results `[n, ...]`: a loop in a compiled program.

    Args:
        function: takes nothing, returns a float32 array.
        n: an int.
        variables: every `keras.Variable` that `function` updates, such as a seed generator's state.
    """
    return _implementation.stack_calls(function, n, variables)


def scan(step, state, n, read):
    """Repeats `state = step(state, i)` for i = 0, …, n − 1, and stacks what `read(state)` says after each: a loop in a
    compiled program.

    Returns: what `read` returns, tensors nested as they may be, each float32 `[n, ...]`.
    """
    return _implementation.scan(step, state, n, read)


def count_operations(function, variables, *arrays):
    """Counts floating-point operations of one call of a `function` as `compile` takes it, without a run; JAX alone can.

    Raises:
        RuntimeError: on TensorFlow.
    """
    return _implementation.count_operations(function, variables, *arrays)


# ---- devices --------------------------------------------------------------------------------------------------------


def device():
    """Names the device that programs run on, such as "NVIDIA H200"; "cpu" for a processor."""
    return _implementation.accelerator() if accelerated() else "cpu"


def replicas(model=None):
    """Counts the devices among which `tf.distribute` shares a batch; 1 on JAX, whose programs see all of it."""
    return _implementation.replicas(model)


def mean_over_replicas(value):
    """Averages a value that each of `tf.distribute`'s replicas has computed from its share of a batch."""
    return _implementation.mean_over_replicas(value)


def shard_batch(batch):
    """Shares a batch within a program among the devices of `keras.distribution` on JAX, if one is set."""
    distribution = keras.distribution.distribution()
    if distribution is None:
        return batch
    share = keras.distribution.distribute_tensor
    return keras.tree.map_structure(lambda x: share(x, distribution.get_data_layout(x.shape)), batch)
