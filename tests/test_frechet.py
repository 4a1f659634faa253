"""The Fréchet distance against its formula."""

import keras
import numpy as np
import pytest
from oracles import binary_images, small_vae
from scipy.linalg import sqrtm

from vaekit.evaluation import (
    fid,
    frechet_distance,
    lenet_features,
)

X = binary_images(6)


@pytest.mark.parametrize("n", [40, 4])  # fewer rows than features too: singular covariances
def test_frechet_distance_is_its_formula(n):
    rng = np.random.default_rng(0)
    a = rng.normal(size=(n, 6)) @ rng.normal(size=(6, 6))
    b = rng.normal(size=(50, 6)) @ rng.normal(size=(6, 6)) + rng.normal(size=6)
    covariances = np.cov(a.T), np.cov(b.T)
    root = sqrtm(covariances[0] @ covariances[1])
    exact = np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(sum(covariances)) - 2 * np.trace(root).real
    assert frechet_distance(a, b) == pytest.approx(exact, rel=1e-6)
    assert frechet_distance(b, a) == pytest.approx(frechet_distance(a, b))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-10)
    assert frechet_distance(a, a + 2) == pytest.approx(6 * 4)


def test_frechet_distance_of_two_gaussians():
    # commuting covariances: d² = |μ_a − μ_b|² + Σ (σ_a − σ_b)²
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(100, 3))
    noise -= noise.mean(axis=0)
    white = noise @ np.linalg.inv(np.linalg.cholesky(np.cov(noise.T))).T  # mean 0 and covariance 1 exactly
    s_a, s_b, shift = np.array([1.0, 2.0, 1e-6]), np.array([3.0, 2.0, 1.0]), np.array([1.0, 0.0, -2.0])
    exact = np.sum(shift**2) + np.sum((s_a - s_b) ** 2)
    assert frechet_distance(white * s_a, white * s_b + shift) == pytest.approx(exact, rel=1e-9)


def stripes(n, seed):
    """Images 8 × 8 with a bright row or a bright column."""
    rng = np.random.default_rng(seed)
    x, y = 0.1 * rng.random((n, 8, 8, 1)), rng.integers(2, size=n)
    for image, label, place in zip(x, y, rng.integers(8, size=n), strict=True):
        image[(slice(None), place) if label else place] += 0.9
    return x.astype("float32"), y


def test_fid_names_its_features_and_tells_images_apart():
    features = lenet_features(*stripes(300, 0), epochs=4, held_out=0.2)
    assert features.accuracy > 0.9
    assert features(stripes(7, 1)[0]).shape == (7, 84)
    real = stripes(200, 1)[0]
    same = fid(stripes(200, 2)[0], real, features)
    noise = fid(np.random.default_rng(0).random((200, 8, 8, 1)), real, features)
    assert same.distance < 0.1 * noise.distance
    assert repr(same).startswith(
        f"FID, LeNet features ({100 * features.accuracy:.1f} % accurate on held-out images) = "
    )


def test_fid_of_a_model_is_that_of_its_samples():
    def pixels(images):
        return np.reshape(images, (len(images), -1))

    model = small_vae()
    model.build((None, 4, 4, 1))
    result = fid(model, X, pixels, name="pixels", mean=True, batch_size=4)
    assert result.images == (6, 6)
    generator = keras.random.SeedGenerator(0)
    samples = np.concatenate([model.sample(n, mean=True, seed=generator) for n in (4, 2)])
    assert result.distance == pytest.approx(frechet_distance(pixels(samples), pixels(X)))
    assert repr(result).startswith("FID, pixels = ")
    with pytest.raises(ValueError, match="that has a name"):
        fid(model, X, pixels)
    with pytest.raises(ValueError, match="shaped as the real"):
        fid(np.zeros((6, 5, 5, 1)), X, pixels, name="pixels")
    with pytest.raises(ValueError, match="Flatten feature maps"):
        fid(X, X, lambda images: images, name="images")


@pytest.mark.parametrize(
    "function, message",
    [
        (lambda: frechet_distance(np.zeros((5, 2)), np.zeros((5, 3))), "equally many features; received 2 and 3"),
        (lambda: frechet_distance(np.zeros((1, 2)), np.zeros((5, 2))), "two rows or more"),
        (lambda: frechet_distance(np.full((5, 2), np.nan), np.zeros((5, 2))), "5 of 5 rows of a"),
        (lambda: lenet_features(X, np.zeros(6)), "1 classes"),
        (lambda: lenet_features(X, np.arange(5)), "received 5 for 6 images"),
        (lambda: lenet_features(X[..., 0], np.arange(6)), r"received \[6, 4, 4\]"),
        (lambda: lenet_features(X, np.arange(6), held_out=0), "0 < held_out < 1"),
        (lambda: fid(X, X[:1], len, name="n"), "two or more"),
    ],
)
def test_features_that_have_no_distance(function, message):
    with pytest.raises(ValueError, match=message):
        function()
