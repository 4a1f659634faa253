"""CategoricalLabels against a softmax by hand."""

import itertools

import numpy as np
import pytest
from likelihoods import H, array, log_prob, refused, sampled

from vaekit.layers import CategoricalLabels


def test_labels_have_the_probabilities_of_their_classes():
    layer = CategoricalLabels(2, classes=3)
    p = layer(H)
    logits = array(layer.heads["logits"](H)).reshape(3, 2, 3)
    probability = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    every = np.array(list(itertools.product(range(3), repeat=2)), "float32")  # [9, 2]
    expected = np.log([probability[:, 0, int(i)] * probability[:, 1, int(j)] for i, j in every])  # [9, 3]
    each = every[:, None] * np.ones((3, 1), "float32")
    np.testing.assert_allclose(log_prob(p, each), expected, rtol=1e-5)
    draws = sampled(p, 4000)
    assert draws.shape == (4000, 3, 2) and draws.dtype == "float32"
    found = np.array([(draws == k).mean(axis=0) for k in range(3)])
    assert np.abs(found - np.moveaxis(probability, -1, 0)).max() < 5 * 0.5 / np.sqrt(4000)
    with pytest.raises(NotImplementedError):
        p.mean()


def test_what_is_no_label_is_refused():
    layer, y = CategoricalLabels(1, classes=3), np.array([0, 2, 1, 2])
    layer.check_values(y[:, None])
    for wrong in (y + 1, y - 1, y / 2):
        refused(layer, wrong[:, None], r"whole numbers from 0 to 2; .* classes=")


def test_constructor_refuses_what_makes_no_sense():
    with pytest.raises(ValueError, match="at least 2 classes"):
        CategoricalLabels(1, classes=2.5)
