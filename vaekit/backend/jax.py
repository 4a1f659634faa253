"""The functions of `vaekit.backend`, where they are documented, on JAX.

JAX's programs have no side effects. So a function that reads and assigns Keras variables runs in a `Scope`: their
values go in, and what was assigned comes out, with the result.
"""

import contextlib
import tempfile

import jax
import keras

from vaekit.backend.common import Scope
from vaekit.backend.jax_convolutions import canonical_convolutions
from vaekit.backend.tfp_on_jax import tfp  # noqa: F401

SEED_DTYPE = "uint32"
ONNX = ("onnx", "jax2onnx")
ALWAYS_JIT = True

# Equal programs, such as those of two models of equal structure, are compiled once in a process: JAX finds them by
# their text, in a folder that goes with the process (unless you have chosen one: JAX_COMPILATION_CACHE_DIR).
if not jax.config.jax_compilation_cache_dir:
    with contextlib.suppress(OSError):
        _programs = tempfile.TemporaryDirectory(prefix="vaekit-jax-", ignore_cleanup_errors=True)
        jax.config.update("jax_compilation_cache_dir", _programs.name)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


# ---- distributions and seeds ----------------------------------------------------------------------------------------


def converts_to_mean(kind):
    kind.__jax_array__ = lambda distribution: distribution.mean()
    return kind


def replica_seed(key):
    return key


def fold_in(seed, i):
    return jax.random.fold_in(seed, i)


# ---- tensors, gradients, precision ----------------------------------------------------------------------------------


def has_values(tensor):
    return not isinstance(tensor, jax.core.Tracer)


def value_and_gradient(function, *arrays):
    def total(*arrays):
        value = function(*arrays)
        return jax.numpy.sum(value), value

    (_, value), gradient = jax.value_and_grad(total, argnums=tuple(range(len(arrays))), has_aux=True)(*arrays)
    return value, gradient


def variables_gradient(function, variables):
    assigned = []  # variables, as `pure` finds them

    def pure(values):
        with Scope(zip(variables, values, strict=True)) as scope:
            value = function()
        assigned[:] = [variable for variable, _ in scope.assigned.values()]
        return value, [new for _, new in scope.assigned.values()]

    (value, new), gradient = jax.value_and_grad(pure, has_aux=True)([v.value for v in variables])
    for variable, new_value in zip(assigned, new, strict=True):
        variable.assign(new_value)
    return value, gradient


def apply_gradient(optimizer, gradient, variables, jit_compile):
    # in its stateless form, the only one that can scale a loss
    state = optimizer.variables
    new = optimizer.stateless_apply([v.value for v in state], gradient, [v.value for v in variables])
    for variable, value in zip((*variables, *state), (*new[0], *new[1]), strict=True):
        variable.assign(value)


def in_float64(function):
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


def full_precision():
    return jax.default_matmul_precision("highest")


# ---- Keras' own training loop, which drops what layers add to the losses, and variables' values ---------------------


@contextlib.contextmanager
def losses_collected():
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
def values_restored(variables):
    before = [(variable, variable.value) for variable in variables]
    try:
        with canonical_convolutions():
            yield
    except BaseException:
        for variable, value in before:
            if variable._value is None and not value.is_deleted():
                variable.assign(value)
        raise


# ---- programs -------------------------------------------------------------------------------------------------------


def _pure(function, variables, unknown=None):
    """Makes (values of the variables, *arrays) → (result, dict of new values by index), without side effects.

    Args:
        unknown: dict, to which other variables that `function` reads or assigns are added.
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
    """Replaces values in a list by new ones, a dict by index."""
    return [new.get(i, value) for i, value in enumerate(values)]


def _with_state(make, variables):
    """Makes `function(*arrays)` from a program of (values of variables, *arrays) → (result, new values by index).

    Args:
        make: function of a list of variables and of a dict, for `_pure`; returns the program.
        variables: list, to which other variables that the program reads are added, or they would be its constants.
    """
    variables, unknown = list(variables), {}
    program = make(variables, unknown)

    def call(*arrays):
        nonlocal program
        while True:
            with canonical_convolutions():
                result, new = program([v.value for v in variables], *arrays)
            if not unknown:
                break
            _require_values(unknown.values())
            variables.extend(unknown.values())  # and repeat: nothing was changed
            unknown.clear()
            program = make(variables, unknown)
        for i, value in new.items():
            variables[i].assign(value)
        return result

    return call


def _require_values(variables):
    """Raises ValueError for a variable that was made within a program."""
    for variable in variables:
        if variable._value is None:
            raise ValueError(
                f"{variable.path!r} was made within a compiled program, where it can have no value: build its layer "
                "before, in the model's __init__ or build."
            )


def dry_run(function):
    with Scope():
        jax.eval_shape(function)


def by_row(function):
    # TFP cannot leave sizes open, and sees batches of one here
    def row(batch):
        result = function(jax.tree.map(lambda value: value[None], batch))
        return jax.tree.map(lambda value: value[0], result)

    return jax.vmap(row)


def compile(function, variables, differentiable):
    return _with_state(lambda *state: jax.jit(_pure(function, *state)), variables)


def compile_loop(body, variables, jit_compile, others):
    if others:
        return _compile_loops(body, [variables, *others])

    def make(variables, unknown):
        step = _pure(body, variables, unknown)

        @jax.jit
        def program(values, start, stop, *arrays):
            end = jax.lax.fori_loop(
                start, stop, lambda i, values: _updated(values, step(values, i, *arrays)[1]), values
            )
            return None, dict(enumerate(end))

        return program

    return _with_state(make, variables)


def _compile_loops(body, variables):
    """Compiles the loop of several models at once; `variables`: list of each model's list of them."""
    unknown = {}
    step = _pure(body, variables[0], unknown)

    @jax.jit
    def together(values, start, stop, shared, *arrays):
        model_step = lambda i, values, *rest: _updated(values, step(values, i, *rest)[1])  # noqa: E731
        steps = jax.vmap(model_step, (None, 0, None, *[1] * len(arrays)))
        values = [jax.numpy.stack(v) for v in zip(*values, strict=True)]  # [R, ...]
        values = jax.lax.fori_loop(start, stop, lambda i, values: steps(i, values, shared, *arrays), values)
        return [list(v) for v in zip(*values, strict=True)]

    def call(start, stop, *arrays):
        with canonical_convolutions():
            new = together([[v.value for v in model] for model in variables], start, stop, *arrays)
        if unknown:
            names = sorted(v.path for v in unknown.values())
            unknown.clear()
            raise ValueError(
                f"Models that are trained together read variables that are no part of them, {names}: make them "
                "attributes of each model's objective, or train by each model's own fit."
            )
        for variable, value in zip(sum(variables, []), sum(new, []), strict=True):
            variable.assign(value)

    return call


def loops_together():
    return keras.distribution.distribution() is None


def stack_calls(function, n, variables):
    def step(values, _):
        with Scope(zip(variables, values, strict=True)) as scope:
            result = function()
        return [scope.get_current_value(v) for v in variables], result

    values, results = jax.lax.scan(step, [keras.ops.convert_to_tensor(v) for v in variables], length=n)
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    return results


def scan(step, state, n, read):
    def body(state, i):
        state = step(state, i)
        return state, read(state)

    return jax.lax.scan(body, state, jax.numpy.arange(n))[1]


def count_operations(function, variables, *arrays):
    program = jax.jit(_pure(function, variables)).lower([v.value for v in variables], *arrays)
    return int(program.cost_analysis()["flops"])


# ---- devices --------------------------------------------------------------------------------------------------------


def accelerator():
    return jax.devices()[0].device_kind


def replicas(model=None):
    return 1


def mean_over_replicas(value):
    return value
