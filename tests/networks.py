"""Small networks with weights that are far from special, for tests of layers."""

import numpy as np
from keras import ops

from vaekit.layers import Autoregressive, Bernoulli, GatedPixelConv2D, MaskedConv2D


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def array(tensor):
    return ops.convert_to_numpy(tensor)


def randomize(layer, scale=0.7):
    """Weights that are far from special, biases included."""
    layer.set_weights([scale * normal(*w.shape, seed=i) for i, w in enumerate(layer.get_weights())])


def gated(shape, filters=3, depth=2, skip=False):
    layers = [GatedPixelConv2D(filters, mask="B" if i else "A") for i in range(depth)]
    return Autoregressive([*layers, Bernoulli(shape)], skip=skip)


def masked(shape, filters=3, depth=2, skip=False):
    layers = [MaskedConv2D(filters, mask="B" if i else "A", activation="tanh") for i in range(depth)]
    return Autoregressive([*layers, Bernoulli(shape)], skip=skip)
