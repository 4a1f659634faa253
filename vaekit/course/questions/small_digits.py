"""The small digits that models of several exercises are trained on."""

import functools

import numpy as np

from vaekit.datasets import load


@functools.cache
def small_digits(train=2500, test=500):
    """The first training and test images of MNIST-10k, 14 × 14: the mean of four pixels each; two arrays `[N, 196]`."""
    data = load("mnist_10k")

    def small(images):
        return np.reshape(images, (-1, 14, 2, 14, 2)).mean(axis=(2, 4)).reshape(-1, 196)

    return small(data.train[:train]), small(data.test[:test])
