"""On JAX's processors, convolutions and their gradients are those of XLA, to the last digit where sums are exact."""

import numpy as np
import pytest
from keras import ops

import vaekit as vk

pytestmark = pytest.mark.skipif(vk.backend.NAME != "jax", reason="a matter of JAX")

# transposed; batch, channels in and out; image, kernel, strides, dilations; padding; output padding; channels first
CASES = {
    "strides": (False, 6, 2, 3, (8, 7), (4, 3), (2, 2), (1, 1), "same", None, False),
    "strides that leave pixels out": (False, 4, 1, 3, (9, 8), (2, 1), (3, 2), (1, 1), "valid", None, False),
    "narrow": (False, 8, 5, 1, (6, 6), (3, 3), (1, 1), (1, 1), "same", None, False),
    "dilation": (False, 4, 2, 3, (8, 8), (3, 2), (1, 1), (2, 3), "same", None, False),
    "channels first": (False, 6, 2, 3, (6, 6), (3, 3), (2, 1), (1, 1), "same", None, True),
    "one axis": (False, 6, 2, 3, (9,), (4,), (3,), (1,), "same", None, False),
    "transposed": (True, 4, 5, 2, (4, 5), (4, 5), (2, 3), (1, 1), "same", None, False),
    "transposed, valid": (True, 8, 2, 3, (1, 2), (4, 4), (1, 2), (1, 1), "valid", None, False),
    "transposed, output padding": (True, 4, 2, 3, (4, 4), (3, 3), (2, 3), (1, 1), "same", (1, 0), False),
    "transposed, kernel below stride": (True, 4, 2, 3, (4, 3), (2, 1), (3, 2), (1, 1), "valid", None, False),
}


def arrays(transposed, batch, c_in, c_out, image, kernel, strides, dilations, padding, output_padding, first):
    """A function of x and kernel, small whole numbers for both, and numbers that weigh its result."""
    rng = np.random.default_rng(0)
    x = (batch, c_in, *image) if first else (batch, *image, c_in)
    kernel = (*kernel, *((c_out, c_in) if transposed else (c_in, c_out)))
    options = dict(
        strides=strides,
        padding=padding,
        dilation_rate=dilations,
        data_format="channels_first" if first else "channels_last",
    )

    def function(x, kernel):
        if transposed:
            return ops.conv_transpose(x, kernel, output_padding=output_padding, **options)
        return ops.conv(x, kernel, **options)

    x, kernel = (rng.integers(-3, 4, shape).astype("float32") for shape in (x, kernel))
    return function, x, kernel, rng.integers(-3, 4, function(x, kernel).shape).astype("float32")


@pytest.fixture
def lowered(monkeypatch):
    """The convolutions that vaekit has brought to another form."""
    from vaekit.backend import jax_convolutions

    calls, convolution = [], jax_convolutions.convolution

    def spy(*args, **options):
        calls.append(args)
        return convolution(*args, **options)

    monkeypatch.setattr(jax_convolutions, "convolution", spy)
    monkeypatch.setattr(jax_convolutions, "CHUNK", 16)  # so that few images are several pieces
    monkeypatch.setattr(jax_convolutions, "IMAGES", 2)
    return calls


def with_gradients(function):
    def both(x, kernel, weights):
        value, pull = jax.vjp(function, x, kernel)
        return value, *pull(weights)

    import jax

    return both


@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients(case, lowered):
    import jax

    function, *numbers = arrays(*CASES[case])
    expected = jax.jit(with_gradients(function))(*numbers)
    assert not lowered  # outside of vaekit's programs nothing is changed
    received = vk.backend.compile(with_gradients(function))(*numbers)
    assert lowered
    for a, b in zip(received, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_switched_off(lowered, monkeypatch):
    monkeypatch.setenv("VAEKIT_XLA_CONVOLUTIONS", "1")
    function, *numbers = arrays(*CASES["strides"])
    vk.backend.compile(with_gradients(function))(*numbers)
    assert not lowered


def test_groups_are_left_to_xla(lowered):
    rng = np.random.default_rng(0)
    numbers = [rng.normal(size=shape).astype("float32") for shape in ((4, 6, 6, 4), (3, 3, 2, 6), (4, 4, 4, 6))]
    vk.backend.compile(with_gradients(ops.conv))(*numbers)
    assert not lowered
