"""The one door to what TensorFlow and JAX do each in its own way: which TFP, seeds, gradients, compiling.

Here is said what each function does; how, in two rooms with the same names, `tensorflow` and `jax`. Everything above
is written once, with `keras.ops` and `tfd`, and runs on both.
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
    from vaekit.backend import tensorflow as _room
elif NAME == "jax":
    from vaekit.backend import jax as _room
else:
    raise ImportError(f"vaekit runs on Keras' TensorFlow and JAX backends; Keras is set to {NAME!r}. {_CHOOSE}")

from vaekit.backend.common import Scope, accelerated  # noqa: E402, F401

# TFP on JAX asks for float64 in some samplers, without need
warnings.filterwarnings("ignore", "Explicitly requested dtype.*float64", module="tensorflow_probability")

tfp = _room.tfp
tfd = tfp.distributions
SEED_DTYPE = _room.SEED_DTYPE
ONNX = _room.ONNX  # packages that write its files


# ---- distributions and seeds ----------------------------------------------------------------------------------------


def converts_to_mean(kind):
    """Decorates a class of distributions that stand for their mean where an array is expected."""
    return _room.converts_to_mean(kind)


def integer_seed(seed):
    """Any integer as one from 0 to 2³¹ − 2, which both backends take for the same seed.

    Raises:
        ValueError: what is no integer.
    """
    if isinstance(seed, bool) or not isinstance(seed, Integral):
        raise ValueError(f"A seed should be an integer; received {seed!r}.")
    return int(seed) % (2**31 - 1)


def seed_generator(seed=None):
    """A `keras.random.SeedGenerator` of an integer; None: a seed from Keras' own (`keras.utils.set_random_seed`)."""
    return keras.random.SeedGenerator(None if seed is None else integer_seed(seed))


def seed(source):
    """A seed that TFP's samplers take, from an int, from a `keras.random.SeedGenerator`, or from such a seed.

    An int always gives the same seed; a generator gives a new one at each call, also inside compiled code, and to each
    of `tf.distribute`'s replicas its own.
    """
    if keras.ops.is_tensor(source):
        return source
    if isinstance(source, keras.random.SeedGenerator):
        key = _room.replica_seed(source.next())
    else:
        key = np.array([0, integer_seed(source)], dtype="uint32")
    return keras.ops.cast(key, SEED_DTYPE)


def seeds(source, n):
    """n independent seeds from one, as a list; a single one is the seed itself."""
    return [seed(source)] if n == 1 else list(tfp.random.split_seed(seed(source), n=n))


# ---- tensors, gradients, precision ----------------------------------------------------------------------------------


def is_concrete(tensor):
    """Whether a tensor has values, that is, is not a symbol in a program being traced."""
    return not isinstance(tensor, keras.KerasTensor) and _room.has_values(tensor)


def value_and_gradient(function, *arrays):
    r"""$f(a_1, …)$ and $(\partial f/\partial a_1, …)$ for a scalar function of arrays.

    Returns: the value, and a tuple of gradients shaped like `arrays`.
    """
    return _room.value_and_gradient(function, *arrays)


def variables_gradient(function, variables):
    """A scalar `function()` of Keras variables: its value and its gradient with respect to `variables`.

    Args:
        function: takes nothing, returns a scalar tensor; may read and assign any variables.
        variables: list of trainable `keras.Variable`.
    """
    return _room.variables_gradient(function, variables)


def apply_gradient(optimizer, gradient, variables, jit_compile=True):
    """A step of a Keras optimizer.

    `jit_compile`: whether XLA fuses the step's many small operations, in TensorFlow's graphs too.
    """
    return _room.apply_gradient(optimizer, gradient, variables, jit_compile)


def in_float64(function):
    """`function(*arrays)`, computed in float64 and returned in the arguments' dtype; its derivatives are float32's.

    For sums that cancel: where float32 loses the value, but the derivatives' own sums, of fewer large terms, do well.
    On a GPU, TensorFlow's derivatives are float64, too, and JAX's products of matrices full float32: never TF32.

    Args:
        function: of arrays of one dtype; returns one array.
    """
    return _room.in_float64(function)


def full_precision():
    """A context of matrix products in float32 where a GPU would round their factors to ten bits (TF32) to be faster."""
    return _room.full_precision()


# ---- within Keras' own training loop --------------------------------------------------------------------------------


def losses_collected():
    """A context in which what layers add to the losses can be asked for, also where Keras' own loop on JAX drops it.

    Raises:
        ValueError: in that loop, for a variable that is no part of the model, whose changes it would not see.
    """
    return _room.losses_collected()


def values_held(variables):
    """A context that gives variables without a value theirs again: Keras' own loop on JAX takes them away for a step,
    and does not bring them back when the first step fails."""
    return _room.values_held(variables)


# ---- programs -------------------------------------------------------------------------------------------------------


def dry_run(function):
    """Traces `function()` without computing anything: errors surface here, and no variable changes."""
    _room.dry_run(function)


def by_row(function):
    """A `function` of a batch (an array `[B, ...]`, or a dict of them) as one whose program serves every B."""
    return _room.by_row(function)


def prefers_jit():
    """Whether XLA is the faster way to run Keras' training step here: JAX always, TensorFlow on a GPU only."""
    return _room.ALWAYS_JIT or accelerated()


def compile(function, variables=(), differentiable=False):
    """A compiled version of `function(*arrays)`, which may read and update the Keras `variables`.

    Args:
        function: takes and returns arrays (or nests of them); runs as one program of the backend.
        variables: the `keras.Variable`s that `function` touches. Their values are inputs and outputs of the program, so
            that later training is seen and updates are kept. (One that is not among them is found; on JAX this costs
            compiling twice.)
        differentiable: whether calls may stand within what is differentiated.
    """
    return _room.compile(function, variables, differentiable)


def compile_loop(body, variables, jit_compile=False, others=()):
    """A compiled `for i in range(start, stop): body(i, shared, *arrays)`, as a function of (start, stop, shared, ...).

    Args:
        body: may read and update the Keras `variables`; returns nothing.
        variables: every `keras.Variable` that `body` touches.
        jit_compile: whether TensorFlow uses XLA, too.
        others: lists like `variables`, of further models, where `loops_together()`. The loop runs once for each of the
            R lists, all at the same time: `shared` is one for all, and `arrays` are `[n, R, ...]`, `[n, ...]` for each.
    """
    return _room.compile_loop(body, variables, jit_compile, others)


def loops_together():
    """Whether `compile_loop` can run the loops of several models at once: on JAX, on a single device."""
    return _room.loops_together()


def repeat(function, n, variables=()):
    """Results of n calls of `function()`, one after the other, stacked `[n, ...]`: a loop inside a compiled program.

    Args:
        function: takes nothing, returns a float32 array.
        n: an int.
        variables: every `keras.Variable` that `function` updates, such as a seed generator's state.
    """
    return _room.repeat(function, n, variables)


def count_operations(function, variables, *arrays):
    """Floating-point operations of one call of a `function` as `compile` takes it: counted, not run. JAX alone can.

    Raises:
        RuntimeError: on TensorFlow.
    """
    return _room.count_operations(function, variables, *arrays)


# ---- devices --------------------------------------------------------------------------------------------------------


def device():
    """Name of the device that programs run on, such as "NVIDIA H200"; "cpu" for a processor."""
    return _room.accelerator() if accelerated() else "cpu"


def replicas(model=None):
    """Among how many devices `tf.distribute` shares a batch; 1 on JAX, where a program sees the whole of it."""
    return _room.replicas(model)


def mean_over_replicas(value):
    """The mean of a value that each of `tf.distribute`'s replicas has computed from its share of a batch."""
    return _room.mean_over_replicas(value)


def shared_out(batch):
    """A batch within a program, shared among the devices of `keras.distribution` on JAX, if one is set."""
    distribution = keras.distribution.distribution()
    if distribution is None:
        return batch
    share = keras.distribution.distribute_tensor
    return keras.tree.map_structure(lambda x: share(x, distribution.get_data_layout(x.shape)), batch)
