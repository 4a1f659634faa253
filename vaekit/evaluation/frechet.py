r"""Fréchet distance between data and samples of a model, in the features of a network that is named with it."""

from dataclasses import dataclass

import keras
import numpy as np

from vaekit import backend
from vaekit.batches import check_counts
from vaekit.evaluation.classification import check_labels, train_classifier


def frechet_distance(a, b):
    r"""Computes the squared Fréchet (2-Wasserstein) distance of two sets of features, each taken as normal.

    $$d^2 = \|\mu_a - \mu_b\|^2 + \mathrm{tr}\, C_a + \mathrm{tr}\, C_b - 2\, \mathrm{tr}\, (C_a C_b)^{1/2}$$

    With centred features $C = R^\top R$ (QR), the last trace is the sum of the singular values of $R_a R_b^\top$: no
    matrix root, and singular covariances are no exception. Finite samples make it too large: compare distances
    of equal N alone, with N well above D.

    Args:
        a, b: arrays `[N, D]` and `[M, D]`, two rows at least.

    Returns: float, in squared units of the features.

    Raises:
        ValueError: other shapes, NaN.

    Source: Dowson & Landau 1982; Heusel et al. 2017, eq. 6.
    """
    a, b = (_features(value, name) for value, name in ((a, "a"), (b, "b")))
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"frechet_distance expects equally many features; received {a.shape[1]} and {b.shape[1]}.")
    mean = np.sum((a.mean(axis=0) - b.mean(axis=0)) ** 2)
    # Cᵃ = RᵃᵀRᵃ, [D, D]
    r_a, r_b = (np.linalg.qr((f - f.mean(axis=0)) / np.sqrt(len(f) - 1), mode="r") for f in (a, b))
    root = np.linalg.svd(r_a @ r_b.T, compute_uv=False).sum()  # tr (Cᵃ Cᵇ)^½
    return float(mean + max(0.0, np.sum(r_a**2) + np.sum(r_b**2) - 2 * root))


def _features(values, name):
    values = np.asarray(values, dtype="float64")
    if values.ndim != 2 or len(values) < 2:
        raise ValueError(
            f"frechet_distance expects features of shape [N, D] with two rows or more; {name} has "
            f"{list(values.shape)}. Flatten feature maps, f.reshape(len(f), -1), or average them over places."
        )
    if not np.isfinite(values).all():
        raise ValueError(
            f"{(~np.isfinite(values)).any(axis=1).sum()} of {len(values)} rows of {name} hold NaN or infinity."
        )
    return values


@dataclass(frozen=True)
class FID:
    """Fréchet distance of images in named features.

    Attributes:
        distance: squared distance.
        features: name of the features, without which the number means nothing.
        images: how many were compared with how many real ones.
    """

    distance: float
    features: str
    images: tuple

    def __repr__(self):
        return (
            f"FID, {self.features} = {self.distance:.2f} ({self.images[0]} images against {self.images[1]} real ones)"
        )


def fid(images, real, features, name=None, mean=False, batch_size=500, seed=0):
    """Computes the Fréchet distance between images and real ones in the features of a network.

    The FID of the literature has features of an Inception network trained on ImageNet; with other features the number
    is another one, and comparable only within them: a result bears their name.

    Args:
        images: array `[N, H, W, C]`; or a `LatentVariableModel`, of which as many as the real ones are drawn.
        real: array `[M, H, W, C]`, such as the test images.
        features: function from images to features `[N, D]`, a Keras model or `lenet_features(...)` for instance.
        name: of the features; None: `features.name`.
        mean: of a model take means of p(x|z) at its z instead of draws from p(x|z).
        batch_size: images at a time.
        seed: an int, for a model's samples.

    Returns: `FID`.

    Raises:
        ValueError: features without a name, shapes that do not fit, NaN.

    Source: Heusel et al. 2017.
    """
    check_counts("fid", batch_size=batch_size)
    name = name or getattr(features, "name", None)
    if not callable(features) or not isinstance(name, str):
        raise ValueError(
            "fid expects features to be a function from images to [N, D] that has a name: say "
            f'name="Inception-v3 pool features", for instance; received {features!r} and name={name!r}.'
        )
    real = np.asarray(real)
    if real.ndim < 2 or len(real) < 2:
        raise ValueError(f"fid expects real images of shape [M, H, W, C], two or more; received {list(real.shape)}.")
    if hasattr(images, "sample"):
        generator = backend.seed_generator(seed)
        sizes = np.diff([*range(0, len(real), batch_size), len(real)])
        images = np.concatenate([images.sample(int(size), mean=mean, seed=generator) for size in sizes])
    images = np.asarray(images)
    if images.shape[1:] != real.shape[1:] or len(images) < 2:
        raise ValueError(
            f"fid expects two images or more, shaped as the real {list(real.shape)}; received {list(images.shape)}."
        )

    def extract(values):
        parts = [np.asarray(features(values[i : i + batch_size])) for i in range(0, len(values), batch_size)]
        return np.concatenate(parts)

    return FID(frechet_distance(extract(images), extract(real)), name, (len(images), len(real)))


def frame_fid(videos, real, features, name=None, batch_size=500):
    """Computes the Fréchet distance between frames of videos and of real ones, each frame an image.

    It is blind to time: shuffled frames have the same. FVD is not; its features are of whole clips, from a network that
    was trained on videos and does not come with vaekit. To one who has it, `fid(videos, real, network, "I3D")` is FVD.
    Frames of one video are much alike, so that many videos are worth more than long ones.

    Args:
        videos: array `[N, T, H, W, C]`.
        real: array `[M, T, H, W, C]`, the length may be another.
        features, name, batch_size: as for `fid`; features of images, such as `lenet_features(...)`.

    Returns: `FID`.

    Raises:
        ValueError: as for `fid`, and other shapes.

    Source: Heusel et al. 2017; FVD: Unterthiner et al. 2018.
    """
    videos, real = np.asarray(videos), np.asarray(real)
    if videos.ndim != 5 or real.ndim != 5:
        raise ValueError(
            f"frame_fid expects videos [N, T, H, W, C]; received {list(videos.shape)} and {list(real.shape)}. "
            "For images there is fid."
        )
    videos, real = (v.reshape(-1, *v.shape[2:]) for v in (videos, real))
    return fid(videos, real, features, name, batch_size=batch_size)


@dataclass(frozen=True)
class LeNetFeatures:
    """Features of images: the 84 activations before the output of a LeNet trained here to classify them.

    Attributes:
        network: Keras model from images to features.
        accuracy: of its classifier on held-out images, between 0 and 1.
    """

    network: keras.Model
    accuracy: float

    @property
    def name(self):
        """Name of the features, with the accuracy: features of a network that has not learned mean little."""
        return f"LeNet features ({100 * self.accuracy:.1f} % accurate on held-out images)"

    def __call__(self, images):
        """Features `[N, 84]` of images `[N, H, W, C]`."""
        return self.network.predict(np.asarray(images, "float32"), batch_size=500, verbose=0)


def lenet_features(x, y, epochs=10, batch_size=100, held_out=0.1, seed=0):
    """Trains LeNet-5 (ReLU, maximum pooling) to classify images, for its features.

    Args:
        x: images `[N, H, W, C]`, 4 × 4 at least; the training images, never those that FID is taken on.
        y: labels `[N]`.
        epochs, batch_size: of training with Adam.
        held_out: share of the images kept for its accuracy.
        seed: an int.

    Returns: `LeNetFeatures`.

    Raises:
        ValueError: images of another shape, labels of another length or of one class, a share outside (0, 1).

    Source: LeCun et al. 1998, figure 2.
    """
    check_counts("lenet_features", epochs=epochs, batch_size=batch_size)
    x, y = np.asarray(x, "float32"), np.asarray(y)
    check_labels(y, "lenet_features")
    if x.ndim != 4 or min(x.shape[1:3]) < 4 or not np.isfinite(x).all():
        raise ValueError(
            f"lenet_features expects finite images [N, H, W, C] of 4 × 4 or more; received {list(x.shape)}."
        )
    if len(x) != len(y):
        raise ValueError(f"lenet_features expects a label for each image; received {len(y)} for {len(x)} images.")
    test = round(held_out * len(x)) if 0 < held_out < 1 else 0
    classes, index = np.unique(y, return_inverse=True)
    if not 0 < test < len(x) or len(classes) < 2:
        raise ValueError(
            f"lenet_features expects two classes and a share of images held out, 0 < held_out < 1; received "
            f"{len(classes)} classes, held_out={held_out!r} of {len(x)} images."
        )
    order = np.random.default_rng(seed).permutation(len(x))
    seeds = iter(range(5 * seed, 5 * seed + 5))

    def options():
        return dict(kernel_initializer=keras.initializers.GlorotUniform(next(seeds)))

    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            layers.Conv2D(6, 5, padding="same", activation="relu", **options()),
            layers.MaxPooling2D(),
            layers.Conv2D(16, 5, padding="same", activation="relu", **options()),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(120, "relu", **options()),
            layers.Dense(84, "relu", **options()),
        ]
    )
    classifier = keras.Sequential([network, layers.Dense(len(classes), **options())])
    train_classifier(classifier, x[order[test:]], index[order[test:]], epochs, batch_size, seed)
    predicted = classifier.predict(x[order[:test]], batch_size=500, verbose=0).argmax(axis=1)
    return LeNetFeatures(network, float((predicted == index[order[:test]]).mean()))
