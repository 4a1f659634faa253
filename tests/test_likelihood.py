"""Estimates of log p(x): what runs once, and their units."""

import math

import keras
import numpy as np
import pytest
from oracles import ProbabilisticPCA, binary_images, small_vae

import vaekit as vk
from vaekit.evaluation import (
    information,
    log_likelihood,
)
from vaekit.layers import MLP, Bernoulli, DiagonalNormal, Normal, TimeDistributed, Tokens

X = binary_images(6)


def estimate(model, x, samples=2000, batch_size=4):
    return information(model, x, samples, batch_size, progress=False)


class Watched(keras.layers.Layer):
    """Passes on what it is given, counts the calls, and notes the rows of each traced one."""

    def build(self, input_shape):
        self.calls, self.rows = self.add_weight(shape=(), initializer="zeros", trainable=False), set()

    def call(self, inputs):
        self.calls.assign_add(1)
        self.rows.add(inputs.shape[0])
        return inputs


def test_log_likelihood_runs_once_a_batch_what_no_sample_is_needed_for():
    of_x, of_z2, encoder, decoder = Watched(), Watched(), Watched(), Watched()
    x, z2 = keras.Input((4, 4, 1)), keras.Input((2,))
    joined = keras.layers.Concatenate()([of_z2(z2), of_x(MLP(8)(x))])
    q_z1 = keras.Model([z2, x], DiagonalNormal(3)(MLP(8)(joined)))
    q_z2 = keras.Sequential([MLP(8), encoder, DiagonalNormal(2)])
    model = vk.LatentVariableModel(
        generative=[
            vk.Factor("z2", vk.priors.VampPrior(q_z2, components=7, input_shape=(4, 4, 1))),
            vk.Factor("z1", keras.Sequential([MLP(8), DiagonalNormal(3)]), given="z2"),
            vk.Factor("x", keras.Sequential([MLP(8), decoder, Bernoulli((4, 4, 1))]), given="z1"),
        ],
        inference=[vk.Factor("z2", q_z2, given="x"), vk.Factor("z1", q_z1, given=("z2", "x"))],
    )
    model.build((None, 4, 4, 1))
    watched = (of_x, of_z2, encoder, decoder)
    for layer in watched:
        layer.calls.assign(0)
        layer.rows.clear()
    estimate = log_likelihood(model, X, samples=10, batch_size=3, chunk=4, progress=False)
    assert [int(layer.calls) for layer in watched] == [2, 2 * 3, 2 * 2, 2 * 3]  # 2 batches, 3 chunks, x and u
    assert [layer.rows for layer in watched] == [{3}, {4 * 3}, {3, 7}, {4 * 3}]
    assert estimate.samples == 10 and estimate.effective_sample_size.max() <= 10


def test_bits_per_dimension_are_shown_of_data_that_are_not_binary():
    pca = ProbabilisticPCA()
    result = log_likelihood(pca.model, pca.x, samples=2, progress=False)
    assert result.bits_per_dimension == pytest.approx(-pca.log_p().mean() / 6 / math.log(2), abs=1e-4)
    bits = -result.per_example / 6 / math.log(2)
    assert result.bits_standard_error == pytest.approx(bits.std(ddof=1) / np.sqrt(len(bits)))
    assert f"{bits.mean():.3f} ± {result.bits_standard_error:.3f} bits per dimension" in repr(result)
    binary = log_likelihood(small_vae(), X, samples=2, progress=False)
    assert binary.dimensions == 16 and "bits" not in repr(binary)


def test_only_numbers_with_a_density_are_dimensions():
    def estimate(head, x):
        model = vk.LatentVariableModel([vk.Factor("x", head, given="c")], [])
        return log_likelihood(model, {"x": x, "c": np.zeros((2, 5, 3))[:, : x.shape[1]]}, progress=False)

    gaps = np.float32([[0.5, np.nan, 2.0], [np.nan, np.nan, 1.0]])
    masked = estimate(keras.Sequential([keras.layers.Flatten(), vk.layers.Masked(Normal(3))]), gaps)
    assert masked.dimensions == 1.5 and not masked.binary
    assert masked.bits_per_dimension == pytest.approx(-masked.per_example.sum() / 3 / math.log(2))
    coins = estimate(keras.Sequential([keras.layers.Flatten(), vk.layers.Masked(Bernoulli(3))]), np.rint(gaps / 2))
    assert coins.dimensions == 1.5 and coins.binary
    padding, end, word = vk.marks.PADDING, vk.marks.END, 5
    words = np.array([[word, word, end, padding, padding], [end, *[padding] * 4]])
    assert estimate(Tokens(5, vocabulary=9), words).dimensions == 2
    steps = estimate(TimeDistributed(Normal(1), known=2), np.full((2, 5, 1), 0.5))
    assert steps.dimensions == 3
