"""Gated convolutions and residual blocks by hand, and the papers' numbers of weights."""

import numpy as np
from networks import array, normal, randomize

from vaekit.layers import (
    Autoregressive,
    Bernoulli,
    GatedConv2D,
    GatedConv2DTranspose,
    GatedPixelConv2D,
    ResidualBlock,
)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def test_gated_convolution_by_hand():
    x, layer = normal(2, 3, 4, 5), GatedConv2D(2, 1)
    layer(x)
    randomize(layer)
    W, b, V, c = layer.get_weights()
    np.testing.assert_allclose(array(layer(x)), (x @ W[0, 0] + b) * sigmoid(x @ V[0, 0] + c), rtol=1e-5, atol=1e-5)
    up = GatedConv2DTranspose(2, 2, strides=2)
    up(x)
    randomize(up)
    W, b, V, c = up.get_weights()  # [2, 2, out, in]: each pixel becomes 2×2 pixels
    value, gate = (np.einsum("nijc,klfc->nikjlf", x, k).reshape(2, 6, 8, 2) for k in (W, V))
    np.testing.assert_allclose(array(up(x)), (value + b) * sigmoid(gate + c), rtol=1e-5, atol=1e-5)


def test_residual_block_passes_its_input():
    x = normal(2, 3, 4, 5)
    for filters in (5, 2):
        block = ResidualBlock(filters)
        block(x)
        randomize(block)
        for convolution in block.convolutions:
            convolution.set_weights([np.zeros_like(w) for w in convolution.get_weights()])
        for norm in block.normalizations:
            norm.set_weights([np.ones(filters), np.zeros(filters), np.zeros(filters), np.ones(filters)])
        expected = x if filters == 5 else x @ block.passage.get_weights()[0][0, 0] + block.passage.get_weights()[1]
        np.testing.assert_allclose(array(block(x)), np.maximum(expected, 0), rtol=1e-5, atol=1e-6)


def test_numbers_of_weights_of_the_papers_layers():
    def count(layer, *shape):
        layer.build((None, *shape) if isinstance(shape[0], int) else [(None, *s) for s in shape])
        return layer.count_params()

    assert count(GatedConv2D(32, 7), 28, 28, 1) == 2 * (7 * 7 * 32 + 32)
    norm = 4 * 64  # γ, β, running mean and variance
    assert count(ResidualBlock(64), 28, 28, 1) == 9 * 64 + 9 * 64 * 64 + 2 * norm + (64 + 64)
    assert count(ResidualBlock(64), 14, 14, 64) == 2 * 9 * 64 * 64 + 2 * norm
    # Dieng et al.: 9 layers of 32 maps; z of 20 as a channel of each layer and of the last 1×1 convolution; 8×8 images
    layers = [GatedPixelConv2D(32, (3, 3), mask="B" if i else "A") for i in range(9)]
    link_and_output = 64 * 64 + 32 * 32 + 32
    first = (1 * 3 + 1) * (1 + 1) * 64 + 2 * 64 + link_and_output  # of x and z: 3 above, 1 to the left
    later = (2 * 3 + 2) * (32 + 1) * 64 + 2 * 64 + link_and_output
    linear_maps = 10 * (20 + 1) * 8 * 8
    decoder = Autoregressive([*layers, Bernoulli((8, 8, 1))], skip=True)
    assert count(decoder, 20) == first + 8 * later + (64 + 1 + 1) + linear_maps
