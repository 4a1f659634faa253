"""OneHotCategorical against a softmax by hand."""

import itertools

import numpy as np
import pytest
from likelihoods import H, array, compiled, refused

from vaekit.layers import OneHotCategorical


def test_labels_have_the_probabilities_of_their_classes():
    layer = OneHotCategorical((2, 3))
    p = layer(H)
    logits = array(layer.heads["logits"](H)).reshape(3, 2, 3)
    probability = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    every = np.array(list(itertools.product(range(3), repeat=2)), "float32")  # [9, 2]
    expected = np.log([probability[:, 0, int(i)] * probability[:, 1, int(j)] for i, j in every])  # [9, 3]
    rows = np.eye(3, dtype="float32")[every.astype(int)][:, None] * np.ones((3, 1, 1), "float32")
    mean, log_p = compiled(lambda: (p.mean(), p.log_prob(rows)))
    np.testing.assert_allclose(mean, probability, rtol=1e-5)
    np.testing.assert_allclose(log_p, expected, rtol=1e-5)


def test_what_is_not_one_hot_is_refused():
    layer, y = OneHotCategorical(3), np.array([0, 2, 1, 2])
    layer.check_values(np.eye(3)[y])
    for wrong in (y[:3][None], np.ones((2, 3)), np.zeros((2, 3)), np.full((2, 3), 1 / 3)):
        refused(layer, wrong, r"keras\.ops\.one_hot\(y, 3\)")


def test_constructor_refuses_what_makes_no_sense():
    with pytest.raises(ValueError, match="at least 2 classes"):
        OneHotCategorical((4, 1))
