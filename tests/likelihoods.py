"""What the tests of distribution layers share: features, data, and how densities are computed and drawn from."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

import vaekit as vk
from vaekit import backend
from vaekit.layers import MLP, DiagonalNormal

RNG = np.random.default_rng(0)
H = RNG.normal(size=(3, 5)).astype("float32")  # features
X = RNG.uniform(size=(3, 2, 2, 1)).astype("float32")
IMAGE = X.shape[1:]


def array(tensor):
    return ops.convert_to_numpy(tensor)


def random(*shape, scale=1.0, seed=0):
    return (scale * np.random.default_rng(seed).normal(size=shape)).astype("float32")


def log_prob(p, x):
    return array(backend.compile(p.log_prob)(x))


def compiled(function, variables=()):
    """What it returns, as arrays; of one program, since JAX compiles each operation outside of one."""
    return keras.tree.map_structure(array, backend.compile(function, variables)())


def sampled(p, n, seed=0):
    return array(backend.compile(lambda: p.sample(n, seed=backend.seed(seed)))())


def density(layer, features, x):
    """The first of its log-densities."""
    layer.build(features.shape)
    return float(backend.compile(lambda h: layer(h).log_prob(x), layer.variables)(features)[0])


def gaussian_vae(likelihood, **objective):
    keras.utils.set_random_seed(1)
    encoder = keras.Sequential([MLP(6), DiagonalNormal(2)])
    model = vk.VAE(encoder, keras.Sequential([MLP(6), likelihood]), seed=0)
    model.compile(keras.optimizers.Adam(0.01), objective=vk.objectives.ELBO(**objective))
    model.build((None, *IMAGE))
    return model


def check_extreme_parameters(layer):
    """Log-densities and gradients are finite where every head is 0, and where it is 15 or −15."""
    layer.build((None, 5))
    shapes = layer.parameter_shapes()
    x = np.float32([0.0, 0.5, 1.0])[:, None, None, None, None] * np.ones((2, 2, 2, 3), "float32")

    def total(*values):
        return ops.sum(layer.distribution(**dict(zip(shapes, values, strict=True))).log_prob(x))

    run = backend.compile(lambda *values: backend.value_and_gradient(total, *values))
    for size in (0.0, 15.0):
        signs = [np.sign(random(2, *shape, seed=i)) for i, shape in enumerate(shapes.values())]
        value, gradients = run(*(np.float32(size) * sign for sign in signs))
        assert np.isfinite(float(value))
        assert all(np.isfinite(array(g)).all() for g in gradients)


# ---- bytes: few bins of one pixel, so that all values can be counted ------------------------------------------------


def enumerate_values(bins, channels=0):
    """All values of a pixel, bin centres `[values]` or `[values, C]`."""
    grid = (np.arange(bins) + 0.5) / bins
    return (np.array(list(itertools.product(grid, repeat=channels))) if channels else grid).astype("float32")


def check_pixel(p, bins, channels=0):
    """A distribution of 4 pixels sums to one, is the same on both grids; samples and mean follow the density."""
    values = enumerate_values(bins, channels)
    other = (np.rint(values * bins - 0.5) / (bins - 1)).astype("float32")  # k / (bins − 1)
    log_p = log_prob(p, values[:, None])
    np.testing.assert_array_equal(log_p, log_prob(p, other[:, None]))
    probability = np.exp(log_p)  # [values, B]
    np.testing.assert_allclose(probability.sum(axis=0), 1, rtol=2e-5)
    n = 20000
    x = sampled(p, n)
    assert x.shape == (n, 4, *values.shape[1:]) and x.dtype == "float32"
    counts = np.array([np.isclose(x, v).reshape(n, 4, -1).all(axis=-1).sum(axis=0) for v in values])
    assert np.all(counts.sum(axis=0) == n)
    bound = 5 * np.sqrt(n * probability * (1 - probability)) + 5
    assert np.all(np.abs(counts - n * probability) < bound)
    expected = np.tensordot(values.T, probability, axes=1)  # E[x], [C, B] or [B]
    if channels < 2:
        np.testing.assert_allclose(array(p.mean()).reshape(-1), expected.reshape(-1), rtol=1e-5)
    else:  # green and blue at the means of those before
        mean = array(p.mean()).T
        np.testing.assert_allclose(mean[0], expected[0], rtol=1e-5)
        np.testing.assert_allclose(mean, expected, atol=0.05)


def check_grid(layer):
    """Data on both grids of 256 values pass; others are refused, with what to do."""
    k = np.arange(256).reshape(64, 2, 2, 1)
    for x in (k / 255, (k + 0.5) / 256, ((k + 0.5) / 256).astype("float16"), (k >= 128).astype("uint8"), k >= 128):
        layer.check_values(x)
    coarse = (k / 255).astype("float16")
    refused(layer, coarse, r"15 of 256 .* too low .*numpy\.rint\(x \* 255\) \+ 0\.5\) / 256")
    layer.check_values((np.rint(coarse * 255) + 0.5) / 256)
    refused(layer, k.astype("uint8"), r"look like whole numbers from 0 to 255: divide by 255")
    for wrong in (k / 254.5, RNG.uniform(size=(9, 2, 2, 1)), k / 255 - 0.5, 2 * k / 255):
        refused(layer, wrong, r"for instance .* numpy\.rint\(x \* 255\) / 255")


def refused(layer, x, message):
    with pytest.raises(ValueError, match=message):
        layer.check_values(x)
