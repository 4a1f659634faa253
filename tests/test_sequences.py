"""Likelihoods of token sequences: exact sums, causality, samples, padding, beam search."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops
from networks import array, normal, randomize

import vaekit as vk
from vaekit.layers import AutoregressiveTokens, Tokens

L = keras.layers
VOCABULARY, LENGTH = 6, 4  # padding, unknown, start, end, and two words


def decoder(kind="LSTM", length=LENGTH, **options):
    between = {
        "LSTM": lambda: [L.LSTM(5, return_sequences=True)],
        "two GRUs": lambda: [L.GRU(5, return_sequences=True), L.Dropout(0.5), L.GRU(4, return_sequences=True)],
        "convolutions": lambda: [
            L.Conv1D(5, 2, padding="causal", activation="tanh"),
            L.LayerNormalization(),
            L.Conv1D(4, 2, padding="causal", dilation_rate=2, activation="tanh"),
            L.Dense(4, "tanh"),
        ],
    }[kind]()
    network = AutoregressiveTokens([L.Embedding(VOCABULARY, 3), *between, Tokens(length, VOCABULARY)], **options)
    network(normal(1, 2))
    randomize(network)
    return network


KINDS = [("LSTM", {}), ("LSTM", {"skip": True, "initial_state": True}), ("two GRUs", {"skip": True}),
         ("convolutions", {"skip": True})]  # fmt: skip


def every_sequence(length=LENGTH):
    """All sequences that Tokens knows: of any tokens but padding, up to the end mark."""
    words = [token for token in range(1, VOCABULARY) if token != 3]
    ended = [(*s, 3) for n in range(length) for s in itertools.product(words, repeat=n)]
    rows = [*ended, *itertools.product(words, repeat=length)]
    return np.array([row + (0,) * (length - len(row)) for row in rows], "float32")


@pytest.mark.alternate
@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_probabilities_of_all_sequences_sum_to_one_and_depend_on_z(kind, options):
    x, z = every_sequence(), normal(3, 2)
    network = decoder(kind, **options)
    log_p = array(vk.backend.compile(lambda: network(z).log_prob(x[:, None]), network.variables)())  # [all, 3]
    np.testing.assert_allclose(np.exp(log_p).sum(axis=0), 1, rtol=1e-5)
    assert np.ptp(log_p, axis=1).min() > 1e-3


@pytest.mark.alternate
@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_draws_have_the_probabilities_that_are_computed(kind, options):
    x, n = every_sequence(), 20_000
    network = decoder(kind, **options)
    z = np.tile(normal(1, 2), (n, 1))
    drawn = array(network(z).sample(seed=vk.backend.seed(1)))
    assert drawn.shape == (n, LENGTH)
    number = {tuple(row): i for i, row in enumerate(x.tolist())}
    counts = np.bincount([number[tuple(row)] for row in drawn.tolist()], minlength=len(x))
    p = np.exp(array(network(z[:1]).log_prob(x[:, None]))[:, 0])
    assert np.sum((counts - n * p) ** 2 / (n * p)) < len(x) + 5 * np.sqrt(2 * len(x))  # χ²


@pytest.mark.alternate
@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_the_most_probable_sequence_is_found(kind, options):
    x, z = every_sequence(), normal(4, 2)
    network = decoder(kind, **options)
    log_p = array(network(z).log_prob(x[:, None]))  # [all, 4]
    tokens, score = network.search(z, beams=200)
    np.testing.assert_array_equal(array(tokens), x[log_p.argmax(axis=0)])
    np.testing.assert_allclose(array(score), log_p.max(axis=0), rtol=1e-4)
    greedy = array(network.generate(z, temperature=0))
    np.testing.assert_array_equal(greedy, array(network.search(z, beams=1)[0]))
    np.testing.assert_array_equal(array(network.generate(z, seed=3)), array(network.generate(z, seed=3)))


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_no_word_sees_itself_or_later_ones(kind, options):
    network, z = decoder(kind, length=6, **options), [ops.convert_to_tensor(normal(1, 2))]
    x = np.array([[4, 5, 1, 4, 5, 3]], "float32")
    before = array(network.conditional(ops.convert_to_tensor(x), z).logits)[0]
    for t in range(6):
        other = x.copy()
        other[0, t] = 2
        changed = np.any(array(network.conditional(ops.convert_to_tensor(other), z).logits)[0] != before, axis=-1)
        seen = min(t + 4, 5) if kind == "convolutions" else 5
        np.testing.assert_array_equal(np.flatnonzero(changed), np.arange(t + 1, seen + 1))


@pytest.mark.parametrize("kind", ["LSTM", "convolutions"])
def test_padding_changes_nothing(kind):
    """Neither the density nor the encoder's output, to the bit."""
    x = np.array([[4, 5, 3, 0], [5, 3, 0, 0]], "float32")
    short, z = decoder(kind, skip=True), normal(2, 2)
    long = decoder(kind, length=9, skip=True)
    long.set_weights(short.get_weights())
    padded = np.pad(x, ((0, 0), (0, 5)))
    np.testing.assert_array_equal(array(short(z).log_prob(x)), array(long(z).log_prob(padded)))
    encoder = keras.Sequential([L.Embedding(VOCABULARY, 3, mask_zero=True), L.LSTM(4), vk.layers.DiagonalNormal(2)])
    np.testing.assert_array_equal(array(encoder(x).mean()), array(encoder(padded).mean()))
