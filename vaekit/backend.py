"""The one file that tells TensorFlow from JAX: which TFP, seeds, gradients, compiling.

Everything above this file is written once, with `keras.ops` and `tfd`, and runs on both.
"""

import contextlib
import functools
import importlib.util
import os
import sys
import tempfile
import threading
import warnings
from numbers import Integral

import numpy as np


@contextlib.contextmanager
def _quiet_start():
    """Keeps what native code writes to stderr while a library starts; shows it only if the start fails."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as log:
        saved = os.dup(2)
        os.dup2(log.fileno(), 2)
        try:
            yield
        except BaseException:
            log.seek(0)
            os.write(saved, log.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)


_CHOOSE = (
    'Set the environment variable KERAS_BACKEND to "tensorflow" or "jax" before Python starts, '
    "or edit ~/.keras/keras.json."
)
try:
    with _quiet_start():
        import keras
except ModuleNotFoundError as error:
    raise ImportError(
        f"Keras could not start its backend, because the module {error.name!r} is not installed. vaekit runs on "
        f"TensorFlow (installed with vaekit) and JAX (pip install 'vaekit[jax]'). {_CHOOSE}"
    ) from error

NAME = keras.backend.backend()

if NAME == "tensorflow":
    with _quiet_start():
        import tensorflow as tf
        import tensorflow_probability as tfp

        # wakes devices and data pipeline, which have more to say
        list(tf.data.Dataset.from_generator(lambda: iter([0.0]), output_signature=tf.TensorSpec((), tf.float32)))

elif NAME == "jax":
    import jax

    # TFP 0.25 reads a name that JAX has since moved out of jax.interpreters.xla.
    import jax.interpreters.xla
    from jax._src.core import pytype_aval_mappings

    jax.interpreters.xla.pytype_aval_mappings = pytype_aval_mappings

    # Equal programs, such as those of two models of equal structure, are compiled once in a process: JAX finds them by
    # their text, in a folder that goes with the process (unless you have chosen one: JAX_COMPILATION_CACHE_DIR).
    if not jax.config.jax_compilation_cache_dir:
        with contextlib.suppress(OSError):
            _programs = tempfile.TemporaryDirectory(prefix="vaekit-jax-", ignore_cleanup_errors=True)
            jax.config.update("jax_compilation_cache_dir", _programs.name)
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
            jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)

    # TFP's JAX substrate imports TensorFlow wherever it finds it, for two helpers that it can do
    # without. While its (lazy) modules load, TensorFlow is made to look absent.
    hidden = {"tensorflow": None} if "tensorflow" not in sys.modules else {}
    sys.modules.update(hidden)
    from tensorflow_probability.substrates import jax as tfp

    for _module in (tfp.bijectors, tfp.distributions, tfp.mcmc, tfp.random, tfp.util):
        dir(_module)  # loads it
    for _name in hidden:
        del sys.modules[_name]

    class _QuietTensorFlow:
        """Keras imports TensorFlow, if it is there, when it saves a model; that start is kept quiet too."""

        def find_spec(self, name, path=None, target=None):
            if name != "tensorflow":
                return None
            sys.meta_path.remove(self)
            spec = importlib.util.find_spec(name)
            if spec is not None:
                execute = spec.loader.exec_module

                def exec_module(module):
                    with _quiet_start():
                        execute(module)

                spec.loader.exec_module = exec_module
            return spec

    sys.meta_path.insert(0, _QuietTensorFlow())

else:
    raise ImportError(f"vaekit runs on Keras' TensorFlow and JAX backends; Keras is set to {NAME!r}. {_CHOOSE}")

# TFP on JAX asks for float64 in some samplers, without need
warnings.filterwarnings("ignore", "Explicitly requested dtype.*float64", module="tensorflow_probability")

tfd = tfp.distributions
SEED_DTYPE = "int32" if NAME == "tensorflow" else "uint32"
ONNX = ("onnx", "tf2onnx") if NAME == "tensorflow" else ("onnx", "jax2onnx")  # packages that write its files


def converts_to_mean(kind):
    """Decorates a class of distributions that stand for their mean where an array is expected."""
    if NAME == "tensorflow":

        def tensor(value, dtype=None, name=None, as_ref=False):
            try:
                mean = value.mean()
            except Exception:
                mean = np.asarray(value)  # which says what is wrong
            return tf.convert_to_tensor(mean, dtype)

        kind.numpy = kind.__array__
        tf.register_tensor_conversion_function(kind, tensor)
    return kind


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

    An int always gives the same seed; a generator gives a new one at each call, also inside compiled code.
    """
    if keras.ops.is_tensor(source):
        return source
    if isinstance(source, keras.random.SeedGenerator):
        key = source.next()
        if replicas() > 1 and (context := tf.distribute.get_replica_context()) is not None:  # noise of its own for each
            key = tf.stack(tfp.random.split_seed(tf.cast(key, SEED_DTYPE), n=replicas()))
            key = key[context.replica_id_in_sync_group]
    else:
        key = np.array([0, integer_seed(source)], dtype="uint32")
    return keras.ops.cast(key, SEED_DTYPE)


def seeds(source, n):
    """n independent seeds from one, as a list; a single one is the seed itself."""
    return [seed(source)] if n == 1 else list(tfp.random.split_seed(seed(source), n=n))


def is_concrete(tensor):
    """Whether a tensor has values, that is, is not a symbol in a program being traced."""
    if isinstance(tensor, keras.KerasTensor):
        return False
    return not tf.is_symbolic_tensor(tensor) if NAME == "tensorflow" else not isinstance(tensor, jax.core.Tracer)


def value_and_gradient(function, *arrays):
    r"""$f(a_1, …)$ and $(\partial f/\partial a_1, …)$ for a scalar function of arrays.

    Returns: the value, and a tuple of gradients shaped like `arrays`.
    """
    if NAME == "tensorflow":
        arrays = [tf.convert_to_tensor(a) for a in arrays]
        with tf.GradientTape() as tape:
            tape.watch(arrays)
            value = function(*arrays)
        return value, tuple(tape.gradient(value, arrays, unconnected_gradients="zero"))
    return jax.value_and_grad(function, argnums=tuple(range(len(arrays))))(*arrays)


class Scope(keras.StatelessScope):
    """Within it variables have the values given, and what is assigned is not kept; others have the values around it.

    Args:
        values: pairs of a `keras.Variable` and a tensor.
        initialize_variables: whether variables made within have values afterwards; not in a program being compiled.

    Attributes:
        losses: list of what layers add to the losses within.
        assigned: dict by id of pairs of a variable and the value that it was assigned.
        unknown: dict by id of variables that were read, and have no value here nor in a scope around.
    """

    def __init__(self, values=(), initialize_variables=False):
        super().__init__(list(values), collect_losses=True, initialize_variables=initialize_variables)
        self.original_scope, self.assigned, self.unknown = None, {}, {}

    def add_update(self, update):
        super().add_update(update)
        self.assigned[id(update[0])] = update

    def get_current_value(self, variable):
        value = super().get_current_value(variable)
        if value is None and self.original_scope is not None:
            value = self.original_scope.get_current_value(variable)
        if value is None:
            self.unknown[id(variable)] = variable
        return value

    def keep(self):
        """Assigns what was assigned within, where the scope has been left."""
        for variable, value in self.assigned.values():
            variable.assign(value)


@contextlib.contextmanager
def losses_collected():
    """A context in which what layers add to the losses can be asked for, also where Keras' own loop on JAX drops it.

    Raises:
        ValueError: in that loop, for a variable that is no part of the model, whose changes it would not see.
    """
    if NAME == "tensorflow":
        yield
        return
    with Scope() as scope:
        yield
    if scope.original_scope is not None and not isinstance(scope.original_scope, Scope) and scope.unknown:
        names = sorted(v.path for v in scope.unknown.values())
        raise ValueError(
            f"The objective reads variables that are no part of the model, {names}: Keras' loop on JAX would take them "
            "for constants. Make them attributes of the objective, or train on arrays."
        )
    scope.keep()


@contextlib.contextmanager
def values_held(variables):
    """A context that gives variables without a value theirs again: Keras' own loop on JAX takes them away for a step,
    and does not bring them back when the first step fails."""
    before = [(variable, variable.value) for variable in variables]
    try:
        yield
    except BaseException:
        for variable, value in before:
            if variable._value is None and not value.is_deleted():
                variable.assign(value)
        raise


def variables_gradient(function, variables):
    """A scalar `function()` of Keras variables: its value and its gradient with respect to `variables`.

    Args:
        function: takes nothing, returns a scalar tensor; may read and assign any variables.
        variables: list of trainable `keras.Variable`.
    """
    if NAME == "tensorflow":
        with tf.GradientTape() as tape:
            value = function()
        gradient = tape.gradient(value, variables)  # None where the value does not depend on a variable
        return value, [tf.zeros_like(v.value) if g is None else g for v, g in zip(variables, gradient, strict=True)]

    assigned = []  # variables, as `pure` finds them

    def pure(values):
        with Scope(zip(variables, values, strict=True)) as scope:
            value = function()
        assigned[:] = [variable for variable, _ in scope.assigned.values()]
        return value, [new for _, new in scope.assigned.values()]

    (value, new), gradient = jax.value_and_grad(pure, has_aux=True)([v.value for v in variables])
    for variable, value_of_it in zip(assigned, new, strict=True):
        variable.assign(value_of_it)
    return value, gradient


def in_float64(function):
    """`function(*arrays)`, computed in float64 and returned in the arguments' dtype; its derivatives are float32's.

    For sums that cancel: where float32 loses the value, but the derivatives' own sums, of fewer large terms, do well.
    On a GPU, TensorFlow's derivatives are float64, too, and JAX's products of matrices full float32: never TF32.

    Args:
        function: of arrays of one dtype; returns one array.
    """
    if NAME == "tensorflow":
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

    @jax.custom_batching.custom_vmap
    def value(*arrays):
        with jax.enable_x64(True):
            value = function(*(jax.lax.convert_element_type(a, "float64") for a in arrays))
            return jax.lax.convert_element_type(value, arrays[0].dtype)

    @value.def_vmap
    def _(_, batched, *arrays):  # else a batch's products are made where float64 is not to be had
        return jax.vmap(value.fun, [0 if b else None for b in batched])(*arrays), True

    @jax.custom_jvp
    def precise(*arrays):
        return value(*arrays)

    @precise.defjvp
    def jvp(arrays, tangents):
        with jax.default_matmul_precision("highest"):
            return precise(*arrays), jax.jvp(function, arrays, tangents)[1]

    return precise


@contextlib.contextmanager
def full_precision():
    """Matrix products in float32 where a GPU would round their factors to ten bits (TF32) to be faster."""
    if NAME == "jax":
        import jax

        with jax.default_matmul_precision("highest"):
            yield
        return
    import tensorflow as tf

    allowed = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(allowed)


def apply_gradient(optimizer, gradient, variables, jit_compile=True):
    """A step of a Keras optimizer (on JAX in its stateless form, the only one that can scale a loss).

    `jit_compile`: whether XLA fuses the step's many small operations, in TensorFlow's graphs too.
    """
    if NAME == "tensorflow":
        dense = all(isinstance(g, tf.Tensor) for g in gradient)  # an embedding's gradient has rows only
        if jit_compile and dense and not tf.executing_eagerly() and replicas() == 1:
            step = tf.function(lambda *g: optimizer.apply(g, variables), autograph=False, jit_compile=True)
            return step(*gradient)
        return optimizer.apply(gradient, variables)
    state = optimizer.variables
    new = optimizer.stateless_apply([v.value for v in state], gradient, [v.value for v in variables])
    for variable, value in zip((*variables, *state), (*new[0], *new[1]), strict=True):
        variable.assign(value)


def dry_run(function):
    """Traces `function()` without computing anything: errors surface here, and no variable changes."""
    if NAME == "tensorflow":
        tf.function(function, autograph=False).get_concrete_function()
    else:
        with Scope():
            jax.eval_shape(function)


def by_row(function):
    """A `function` of a batch (an array `[B, ...]`, or a dict of them) as one whose program serves every B.

    TensorFlow leaves sizes open by itself. TFP on JAX cannot, and sees batches of one here.
    """
    if NAME == "tensorflow":
        return function

    def row(batch):
        result = function(jax.tree.map(lambda value: value[None], batch))
        return jax.tree.map(lambda value: value[0], result)

    return jax.vmap(row)


def accelerated():
    """Whether there is a device other than processors, such as a GPU."""
    return not all(device.startswith("cpu") for device in keras.distribution.list_devices())


def device():
    """Name of the device that programs run on, such as "NVIDIA H200"; "cpu" for a processor."""
    if not accelerated():
        return "cpu"
    if NAME == "jax":
        return jax.devices()[0].device_kind
    return tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[0])["device_name"]


def prefers_jit():
    """Whether XLA is the faster way to run Keras' training step here: JAX always, TensorFlow on a GPU only."""
    return NAME == "jax" or accelerated()


def _pure(function, variables, unknown=None):
    """On JAX: (values of the variables, *arrays) → (result, dict of new values by place), without side effects.

    `unknown`, a dict, comes to know of other variables that `function` reads or assigns.
    """

    def pure(values, *arrays):
        with Scope(zip(variables, values, strict=True)) as scope:
            result = function(*arrays)
        if unknown is not None:
            known = {id(v) for v in variables}
            unknown.update(scope.unknown | {i: v for i, (v, _) in scope.assigned.items() if i not in known})
        return result, {i: scope.get_current_value(v) for i, v in enumerate(variables) if id(v) in scope.assigned}

    return pure


def _updated(values, new):
    """A list of values with new ones in their places."""
    return [new.get(i, value) for i, value in enumerate(values)]


def _with_state(make, variables):
    """On JAX: `function(*arrays)` from a program of (values of variables, *arrays) → (result, new values by place).

    Args:
        make: function of a list of variables and of a dict, for `_pure`; returns the program.
        variables: list, which grows by what the program turns out to read: else it would be a constant in there.
    """
    variables, unknown = list(variables), {}
    program = make(variables, unknown)

    def call(*arrays):
        nonlocal program
        while True:
            result, new = program([v.value for v in variables], *arrays)
            if not unknown:
                break
            _require_values(unknown.values())
            variables.extend(unknown.values())  # and once more: nothing was changed
            unknown.clear()
            program = make(variables, unknown)
        for i, value in new.items():
            variables[i].assign(value)
        return result

    return call


def _require_values(variables):
    for variable in variables:
        if variable._value is None:
            raise ValueError(
                f"{variable.path!r} was made within a compiled program, where it can have no value: build its layer "
                "before, in the model's __init__ or build."
            )


@contextlib.contextmanager
def _gradients_forgotten():
    """Lets go of the gradients that TensorFlow registers while it makes a program that nobody differentiates.

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


def _forgetful(program):
    @functools.wraps(program)
    def run(*arrays):
        with _gradients_forgotten():
            return program(*arrays)

    return run


def _tf_program(function, jit_compile=None):
    """A `tf.function` of a fresh partial: TensorFlow warns of retracing by callable, and all programs share code."""
    return tf.function(functools.partial(function), reduce_retracing=True, autograph=False, jit_compile=jit_compile)


def compile(function, variables=(), differentiable=False):
    """A compiled version of `function(*arrays)`, which may read and update the Keras `variables`.

    Args:
        function: takes and returns arrays (or nests of them); runs as one program of the backend.
        variables: the `keras.Variable`s that `function` touches. Their values are inputs and outputs of the program, so
            that later training is seen and updates are kept. (One that is not among them is found; on JAX this costs
            compiling twice.)
        differentiable: whether calls may stand within what is differentiated.
    """
    if NAME == "tensorflow":
        return _tf_program(function) if differentiable else _forgetful(_tf_program(function))

    return _with_state(lambda *state: jax.jit(_pure(function, *state)), variables)


def count_operations(function, variables, *arrays):
    """Floating-point operations of one call of a `function` as `compile` takes it: counted, not run. JAX alone can.

    Raises:
        RuntimeError: on TensorFlow.
    """
    if NAME == "tensorflow":
        raise RuntimeError('TensorFlow does not count operations: set KERAS_BACKEND to "jax" for this.')

    program = jax.jit(_pure(function, variables)).lower([v.value for v in variables], *arrays)
    return int(program.cost_analysis()["flops"])


def loops_together():
    """Whether `compile_loop` can run the loops of several models at once: on JAX, on a single device."""
    return NAME == "jax" and keras.distribution.distribution() is None


def compile_loop(body, variables, jit_compile=False, others=()):
    """A compiled `for i in range(start, stop): body(i, shared, *arrays)`, as a function of (start, stop, shared, ...).

    Args:
        body: may read and update the Keras `variables`; returns nothing.
        variables: every `keras.Variable` that `body` touches.
        jit_compile: whether TensorFlow uses XLA, too.
        others: lists like `variables`, of further models, where `loops_together()`. The loop runs once for each of the
            R lists, all at the same time: `shared` is one for all, and `arrays` are `[n, R, ...]`, `[n, ...]` for each.
    """
    if NAME == "tensorflow":

        def steps(start, stop, *arrays):
            def step(i):
                body(i, *arrays)
                return i + 1

            tf.while_loop(lambda i: i < stop, step, [start], parallel_iterations=1)

        program = _tf_program(steps, jit_compile)

        return _forgetful(lambda start, stop, *arrays: program(tf.constant(start), tf.constant(stop), *arrays))

    def make(variables, unknown):
        step = _pure(body, variables, unknown)

        @jax.jit
        def program(values, start, stop, *arrays):
            end = jax.lax.fori_loop(
                start, stop, lambda i, values: _updated(values, step(values, i, *arrays)[1]), values
            )
            return None, dict(enumerate(end))

        return program

    if not others:
        return _with_state(make, variables)

    unknown = {}
    step = _pure(body, variables, unknown)

    @jax.jit
    def together(values, start, stop, shared, *arrays):
        one = lambda i, values, *rest: _updated(values, step(values, i, *rest)[1])  # noqa: E731
        steps = jax.vmap(one, (None, 0, None, *[1] * len(arrays)))
        values = [jax.numpy.stack(v) for v in zip(*values, strict=True)]  # [R, ...]
        values = jax.lax.fori_loop(start, stop, lambda i, values: steps(i, values, shared, *arrays), values)
        return [list(v) for v in zip(*values, strict=True)]

    every = [variables, *others]

    def call(start, stop, *arrays):
        new = together([[v.value for v in one] for one in every], start, stop, *arrays)
        if unknown:
            names = sorted(v.path for v in unknown.values())
            unknown.clear()
            raise ValueError(
                f"Models that are trained together read variables that are no part of them, {names}: make them "
                "attributes of each model's objective, or train by each model's own fit."
            )
        for variable, value in zip(sum(every, []), sum(new, []), strict=True):
            variable.assign(value)

    return call


def replicas(model=None):
    """Among how many devices `tf.distribute` shares a batch; 1 on JAX, where a program sees the whole of it."""
    if NAME == "jax":
        return 1
    return (tf.distribute.get_strategy() if model is None else model.distribute_strategy).num_replicas_in_sync


def mean_over_replicas(value):
    """The mean of a value that each of `tf.distribute`'s replicas has computed from its share of a batch."""
    if replicas() == 1 or (context := tf.distribute.get_replica_context()) is None:
        return value
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, value)


def shared_out(batch):
    """A batch within a program, shared among the devices of `keras.distribution` on JAX, if one is set."""
    distribution = keras.distribution.distribution()
    if distribution is None:
        return batch
    share = keras.distribution.distribute_tensor
    return keras.tree.map_structure(lambda x: share(x, distribution.get_data_layout(x.shape)), batch)


def repeat(function, n, variables=()):
    """Results of n calls of `function()`, one after the other, stacked `[n, ...]`: a loop inside a compiled program.

    Args:
        function: takes nothing, returns a float32 array.
        n: an int.
        variables: every `keras.Variable` that `function` updates, such as a seed generator's state.
    """
    if NAME == "tensorflow":
        # one iteration in memory at a time
        return tf.while_loop(
            lambda i, _: i < n,
            lambda i, results: (i + 1, results.write(i, function())),
            (0, tf.TensorArray("float32", n)),
            parallel_iterations=1,
        )[1].stack()

    def step(values, _):
        with Scope(zip(variables, values, strict=True)) as scope:
            result = function()
        return [scope.get_current_value(v) for v in variables], result

    values, results = jax.lax.scan(step, [keras.ops.convert_to_tensor(v) for v in variables], length=n)
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    return results
