"""Observers: what is seen of an answer, and what is said of one that cannot be seen."""

import keras
import numpy as np
import pytest
from keras import ops

from vaekit.course.observe import VALUE, Fault, observe

X = {"x": np.array([1.0, 2.0])}


def seen(answer, observer="call", inputs=X, **options):
    return observe(observer, answer, inputs, options)


def says(*arguments, **options):
    fault = seen(*arguments, **options)
    assert isinstance(fault, Fault), fault
    return fault.says


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
    for empty in (None, ..., float("nan")):
        assert seen(empty, "number", {}).kind == "unanswered"
    assert "expected a number" in says("3", "number", {})


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (lambda x: None, "nothing came back; is there a `return`?"),
        (lambda x: "text", "expected a tensor"),
        (lambda y: y, "it should take the arguments (x)"),
        (3, "expected something to call"),
    ],
)
def test_refused(answer, text):
    assert text in says(answer)


def test_refused_of_several_values():
    assert "expected 2 values (a, b), received 3 values" in says(lambda x: (x, x, x), names=["a", "b"])
    assert "expected 2 values (a, b), received a `" in says(lambda x: x, names=["a", "b"])


def test_noise_of_its_own():
    noisy = says(lambda x: x + keras.random.normal((2,)), "gradients", of=["x"])
    assert "two calls with the same arguments gave different results" in noisy


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
        assert "use `keras.ops.where`" in found.says and "_error_repr" not in found.says
    else:
        np.testing.assert_array_equal(found["gradient of x"], [2, 2])
