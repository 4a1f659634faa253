r"""Accuracy of a simple classifier of posterior means."""

from dataclasses import dataclass

import keras
import numpy as np
from sklearn.linear_model import LogisticRegression

from vaekit import backend
from vaekit.batches import Batches, check_counts
from vaekit.evaluation.errors import standard_error


@dataclass(frozen=True)
class Accuracy:
    """Share of correctly classified examples.

    Attributes:
        correct: boolean array `[N]`.
        classifier: its name.
    """

    correct: np.ndarray
    classifier: str

    @property
    def mean(self):
        """Accuracy, between 0 and 1."""
        return float(self.correct.mean())

    @property
    def standard_error(self):
        """Standard error of the mean as an estimate for new data, std / √N."""
        return standard_error(self.correct)

    def __repr__(self):
        return (
            f"{100 * self.mean:.2f} ± {100 * self.standard_error:.2f} % correct "
            f"({len(self.correct)} examples, {self.classifier})"
        )


def classification_accuracy(model, train, test, classifier="mlp", epochs=20, seed=0):
    """Trains a classifier on posterior means of `train`, and measures its accuracy on those of `test`.

    Args:
        model: a `LatentVariableModel` (several latents are joined), or a function from data to codes `[N, ...]`.
        train, test: pairs (x, y) of data `[N, ...]` and labels `[N]`.
        classifier: `"mlp"`, two layers of 1024 ReLU units with dropout 0.5 (Dieng et al.); `"linear"`, logistic
            regression; or a scikit-learn classifier.
        epochs: of training, for `"mlp"`.
        seed: an int, for `"mlp"`.

    Returns: `Accuracy`.

    Raises:
        ValueError: unusable data, labels of another length, of one class, or in `test` alone; an unknown classifier.

    Source: Dieng et al. 2019, section 6.
    """
    check_counts("classification_accuracy", epochs=epochs)
    known = isinstance(classifier, str) and classifier in ("mlp", "linear")
    if not known and not (hasattr(classifier, "fit") and hasattr(classifier, "predict")):
        raise ValueError(
            'classification_accuracy expects classifier to be "mlp", "linear" or a scikit-learn classifier; received '
            f"{classifier!r}."
        )
    (x, y), (x_test, y_test) = (_pair(part, name) for part, name in ((train, "train"), (test, "test")))
    classes, index = np.unique(y, return_inverse=True)
    if len(classes) < 2 or not np.isin(y_test, classes).all():
        raise ValueError(
            f"classification_accuracy expects two classes or more in train, and none but these in test; train has "
            f"{classes.tolist()}, test {np.unique(y_test).tolist()}."
        )
    z, z_test = _codes(model, x, len(y), "train"), _codes(model, x_test, len(y_test), "test")
    if classifier == "mlp":
        network = train_classifier(_mlp(len(classes), seed), z, index, epochs, batch_size=100, seed=seed)
        predicted = network.predict(z_test, batch_size=500, verbose=0).argmax(axis=1)
    else:
        fitted = LogisticRegression(max_iter=2000) if classifier == "linear" else classifier
        predicted = fitted.fit(z, index).predict(z_test)
    name = classifier if known else type(classifier).__name__
    return Accuracy(classes[predicted] == y_test, f"{name} classifier of posterior means")


def _pair(part, name):
    """Checks a pair of data and labels; returns the labels `[N]` as NumPy array."""
    if not (isinstance(part, (tuple, list)) and len(part) == 2):
        raise ValueError(f"{name} should be a pair of data and labels, {name}=(x, y).")
    x, y = part[0], np.asarray(part[1])
    check_labels(y, name)
    return x, y


def check_labels(y, name):
    """Raises ValueError unless `y` is a vector of labels."""
    if y.ndim != 1 or not len(y):
        raise ValueError(
            f"The labels of {name} should have shape [N]; received {list(y.shape)}. Of one-hot labels take y.argmax(1)."
        )


def _codes(model, x, n, name):
    """Computes posterior means of all latents as vectors, array `[N, D]`."""
    codes = model.encode(x) if hasattr(model, "encode") else model(x)
    parts = [np.asarray(part) for part in (codes.values() if isinstance(codes, dict) else [codes])]
    if any(len(part) != n for part in parts):
        raise ValueError(f"{name} should have a label for each example; it has {n} for {len(parts[0])} examples.")
    codes = np.concatenate([part.reshape(n, -1) for part in parts], axis=1).astype("float32")
    if not np.isfinite(codes).all():
        raise ValueError(f"{(~np.isfinite(codes)).any(axis=1).sum()} of {n} codes of {name} are NaN or infinite.")
    return codes


def _mlp(classes, seed):
    seeds = iter(range(5 * seed, 5 * seed + 5))

    def hidden():
        dense = keras.layers.Dense(1024, "relu", kernel_initializer=keras.initializers.GlorotUniform(next(seeds)))
        return [dense, keras.layers.Dropout(0.5, seed=next(seeds))]

    output = keras.layers.Dense(classes, kernel_initializer=keras.initializers.GlorotUniform(next(seeds)))
    return keras.Sequential([*hidden(), *hidden(), output])


class _Pairs(Batches):
    """Minibatches (x, y)."""

    def __getitem__(self, i):
        (batch,) = super().__getitem__(i)
        return batch["x"], batch["y"]


def train_classifier(network, x, y, epochs, batch_size, seed):
    """Trains a network from x `[N, ...]` to logits `[N, classes]` with Adam; returns it."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.Adam(1e-3), loss, jit_compile=backend.prefers_jit())
    network.fit(_Pairs({"x": x, "y": y}, batch_size, seed=seed), epochs=epochs, shuffle=False, verbose=0)
    return network
