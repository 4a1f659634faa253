"""Classifiers on codes."""

import numpy as np
import pytest
from oracles import ProbabilisticPCA, binary_images, small_vae, two_latents
from sklearn.neighbors import KNeighborsClassifier

from vaekit.evaluation import (
    classification_accuracy,
)

X = binary_images(6)


def labelled(n=60, seed=0):
    """Codes of two classes: apart in one direction, or as an XOR, which no line can tell."""
    z = np.random.default_rng(seed).normal(size=(n, 2)).astype("float32")
    return z, (z[:, 0] > 0), (z[:, 0] * z[:, 1] > 0)


def test_classifiers_tell_what_they_can():
    (z, line, xor), (z_test, line_test, xor_test) = labelled(200), labelled(100, seed=1)

    def accuracy(y, y_test, classifier):
        return classification_accuracy(lambda codes: codes, (z, y), (z_test, y_test), classifier)

    assert accuracy(line, line_test, "linear").mean > 0.95
    assert accuracy(xor, xor_test, "linear").mean < 0.75
    result = accuracy(xor, xor_test, "mlp")
    assert result.mean > 0.9
    np.testing.assert_array_equal(accuracy(xor, xor_test, "mlp").correct, result.correct)
    neighbours = accuracy(xor, xor_test, KNeighborsClassifier(1))
    nearest = np.argmin(((z_test[:, None] - z) ** 2).sum(-1), axis=1)
    np.testing.assert_array_equal(neighbours.correct, xor[nearest] == xor_test)
    p = neighbours.mean
    assert neighbours.standard_error == pytest.approx(np.sqrt(p * (1 - p) / 99))
    assert "KNeighborsClassifier" in repr(neighbours) and "100 examples" in repr(neighbours)


def test_classification_of_a_models_codes():
    pca = ProbabilisticPCA()
    y = np.where(pca.model.encode(pca.x)[:, 0] > 0, "right", "left")
    result = classification_accuracy(pca.model, (pca.x, y), (pca.x, y), "linear")
    assert result.mean > 0.9
    model = two_latents("bottom-up")
    y = np.arange(6) % 2
    assert classification_accuracy(model, (X, y), (X, y), KNeighborsClassifier(1)).mean == 1


@pytest.mark.parametrize(
    "train, test, classifier, message",
    [
        ((X, np.eye(6)), (X, np.arange(6)), "linear", "argmax"),
        ((X, np.arange(5)), (X, np.arange(5)), "linear", "has 5 for 6 examples"),
        ((X, np.zeros(6)), (X, np.zeros(6)), "linear", "two classes or more"),
        ((X, np.arange(6) % 2), (X, np.arange(6) % 3), "linear", "none but these"),
        ((X, np.arange(6)), (X, np.arange(6)), "svm", '"mlp", "linear" or a scikit-learn'),
        (X, X, "mlp", r"train=\(x, y\)"),
    ],
)
def test_classification_refuses(train, test, classifier, message):
    with pytest.raises(ValueError, match=message):
        classification_accuracy(small_vae(), train, test, classifier)
