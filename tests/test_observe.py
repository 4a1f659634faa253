"""Observers: what is seen of an answer, and what is said of one that cannot be seen."""

import linecache

import keras
import numpy as np
import pytest
from keras import ops

from vaekit.backend import NAME, tfd
from vaekit.course.observe import DOUBLE, NUMPY, VALUE, Fault, describe_error, observe

X = {"x": np.array([1.0, 2.0])}


def seen(answer, observer="call", inputs=X, **options):
    return observe(observer, answer, inputs, options)


def says(*arguments, **options):
    fault = seen(*arguments, **options)
    assert isinstance(fault, Fault), fault
    return fault.message


def test_call():
    found = seen(lambda x: 2 * x)
    assert list(found) == [VALUE] and found[VALUE].dtype == np.float64
    np.testing.assert_array_equal(found[VALUE], [2, 4])
    assert list(seen(lambda x: (x, ops.sum(x)), names=["a", "b"])) == ["a", "b"]


def test_gradients():
    found = seen(lambda x, y: ops.square(x) * y, "gradients", {**X, "y": 3.0}, of=["x"])
    np.testing.assert_allclose(found[VALUE], [3, 12])
    np.testing.assert_allclose(found["gradient of x"], [6, 12])
    found = seen(lambda x: (x, ops.exp(x)), "gradients", of=["x"], names=["one", "two"])
    np.testing.assert_allclose(found["gradient of one for x"], [1, 1])
    np.testing.assert_allclose(found["gradient of two for x"], np.exp([1, 2]), rtol=1e-6)


def test_number():
    assert seen(3, "number", {})[VALUE] == 3
    assert seen(np.float32(2), "number", {})[VALUE] == 2
    for empty in (None, ...):
        assert seen(empty, "number", {}).kind == "unanswered"
    for wrong in ("3", True, 1j, [1.0], float("nan")):
        assert "expected a number" in says(wrong, "number", {})


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (lambda x: None, "nothing came back; is there a `return`?"),
        (lambda x: "text", "expected a tensor"),
        (lambda x: tfd.Independent(tfd.Normal(x, 1.0), 1), "expected a tensor, received a distribution."),
        (lambda y: y, "it should take the arguments (x)"),
        (3, "expected something to call"),
    ],
)
def test_refused(answer, text):
    assert text in says(answer)


def test_refused_of_several_values():
    assert "expected 2 values (a, b), received 3 values" in says(lambda x: (x, x, x), names=["a", "b"])
    assert "expected 2 values (a, b), received a tensor of the shape (2,)" in says(lambda x: x, names=["a", "b"])
    assert "received a distribution." in says(lambda x: tfd.Normal(x, 1.0), names=["a", "b"])


def test_noise_of_its_own():
    noisy = says(lambda x: x + keras.random.normal((2,)), "gradients", of=["x"])
    assert "two calls with the same arguments gave different results" in noisy
    drawn = says(lambda x: (x, x + keras.random.normal((2,))), names=["a", "b"])
    assert "gave different results for `b`: nothing is to be drawn here" in drawn


def test_an_error_is_told_without_what_frameworks_wrap_it_in():
    class Layer(keras.layers.Layer):
        def call(self, x):
            return undefined * x  # noqa: F821

    assert "it raised `NameError: name 'undefined' is not defined`" in says(lambda x: Layer()(x))
    shapes = says(lambda x: x + ops.ones(3))
    assert "function_node" not in shapes and "[Op:" not in shapes and "it raised `" in shapes


def test_values_that_a_gradient_does_not_have():
    """JAX's exceptions, which Keras cannot make anew."""

    class Layer(keras.layers.Layer):
        def call(self, x):
            return x * float(ops.max(x))

    found = seen(lambda x: Layer()(x), "gradients", of=["x"])
    if keras.backend.backend() == "jax":
        says = found["gradient of x"].message
        assert "use `keras.ops.where`" in says and "_error_repr" not in says
    else:
        np.testing.assert_array_equal(found["gradient of x"], [2, 2])


# ---- errors as sentences


def earlier(x):
    return ops.sum(x + ops.ones(3))


def uses_another(x):
    total = earlier(x)
    return total * x


def test_the_line_is_the_learners_own():
    fault = says(lambda x: x * ops.ones(3))  # as the line that TensorFlow or JAX raised it in is not
    assert "in `fault = says(lambda x: x * ops.ones(3))" in fault and "ncompatible shapes" in fault


def test_an_answer_that_calls_another_one():
    fault = says(uses_another)
    assert "in your `earlier`, which it calls: `return ops.sum(x + ops.ones(3))`." in fault
    assert "in your" not in says(earlier)


def test_cells_are_told_by_their_own_line():
    cell = "def broken():\n    return {}['key']\n\nbroken()"
    name = "<ipython-input-7>"
    linecache.cache[name] = (len(cell), None, cell.splitlines(keepends=True), name)
    with pytest.raises(KeyError) as raised:
        exec(compile(cell, name, "exec"), {})
    assert describe_error(raised.value) == "it raised `KeyError: 'key'` in `return {}['key']`."
    with pytest.raises(SyntaxError) as raised:
        compile("x = 1\ny = (x", name, "exec")
    assert describe_error(raised.value) == "it raised `SyntaxError: '(' was never closed` in `y = (x`."


def test_the_reason_at_the_end_of_a_message():
    wrapped = TypeError(
        "Error when deserializing class 'A' using config={'name': 'a'}.\n\nException encountered: no argument 'shape'"
    )
    assert describe_error(wrapped) == "it raised `TypeError: no argument 'shape'`."
    wrapped = ValueError("Exception encountered when calling A.call().\n\n\x1b[1mbad shape\x1b[0m\n\nArguments: x")
    assert describe_error(wrapped) == "it raised `ValueError: bad shape`."


def test_not_implemented_by_others_is_an_error():
    """Only the learner's own `raise NotImplementedError()` is an open question."""
    nobody_knows = seen(lambda x: tfd.Normal(x, 1.0).kl_divergence(tfd.Cauchy(x, 1.0)))
    assert nobody_knows.kind == "error" and "No KL" in nobody_knows.message

    def open_question(x):
        raise NotImplementedError()

    assert seen(open_question).kind == seen(lambda x: open_question(x)).kind == "unanswered"


def test_float64():
    assert DOUBLE in seen(lambda x: np.ones(2)) and DOUBLE not in seen(lambda x: np.ones(2, "float32"))
    assert NUMPY in seen(lambda x: np.ones(2, "float32")) and not {DOUBLE, NUMPY} & set(seen(lambda x: x))
    mixed = seen(lambda x: x * ops.convert_to_tensor(np.ones(2)))
    if NAME == "tensorflow":  # JAX has no float64 here
        assert "tensors of float32 and float64 do not mix" in mixed.message and 'dtype="float32"' in mixed.message
        assert DOUBLE in seen(lambda x: ops.sum(ops.cast(x, "float64")), "gradients", of=["x"])


def test_numpy_has_no_gradient():
    found = seen(lambda x: ops.sum(x) + np.exp(x), "gradients", of=["x"])
    if NAME == "tensorflow":  # the way is cut, and the gradient what is left
        np.testing.assert_array_equal(found["gradient of x"], [2, 2])
    else:
        assert "NumPy cannot be differentiated: use `keras.ops`" in found["gradient of x"].message
