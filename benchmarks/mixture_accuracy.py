"""How far from float64 is the log-density of a mixture of normals, and its gradient?

    python benchmarks/mixture_accuracy.py

Prints, and draws in pictures/mixture_accuracy.png, the largest error in nats over 1000 samples of a mixture of 100
components in 40 dimensions: of the expanded square Σ z²/σ² − 2 z μ/σ² + μ²/σ² in float32, of TFP's MixtureSameFamily in
float32, and of vaekit. The means are at ±distance from 0 in each dimension, and lie in pairs that overlap.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from keras import ops
from scipy.special import logsumexp

from vaekit import backend
from vaekit.backend import tfd
from vaekit.distributions import NormalMixture

UNITS, COMPONENTS, SAMPLES = 40, 100, 1000
LOG_VARIANCES, DISTANCES, LIMIT = range(-10, 3, 2), (0, 1, 3, 10), 1e-3
PICTURE = Path(__file__).parents[1] / "pictures" / "mixture_accuracy.png"


def arrays(log_variance, distance):
    """z `[N, D]`, μ, σ `[K, D]`, logits `[K]`, float32."""
    rng = np.random.default_rng(0)
    scale = np.exp((log_variance + 0.3 * rng.normal(size=(COMPONENTS, UNITS))) / 2)
    centres = distance * rng.choice([-1, 1], size=(COMPONENTS // 2, UNITS))
    loc = np.repeat(centres, 2, axis=0) + 0.5 * scale * rng.normal(size=scale.shape)
    k = rng.integers(COMPONENTS, size=SAMPLES)
    z = loc[k] + scale[k] * rng.normal(size=(SAMPLES, UNITS))
    return [a.astype("float32") for a in (z, loc, scale, rng.normal(size=COMPONENTS))]


def exact(z, loc, scale, logits):
    """log p(z) `[N]`, and the gradients of its sum with respect to z, μ and σ, in float64."""
    z, loc, scale, logits = (np.asarray(a, "float64") for a in (z, loc, scale, logits))
    d = (z[:, None] - loc) / scale  # [N, K, D]
    log_normal = -0.5 * np.sum(d**2, axis=-1) - np.sum(np.log(scale) + 0.5 * np.log(2 * np.pi), axis=-1)
    joint = log_normal + logits - logsumexp(logits)
    value = logsumexp(joint, axis=1)
    r = np.exp(joint - value[:, None])[..., None]
    return value, (-np.sum(r * d / scale, 1), np.sum(r * d / scale, 0), np.sum(r * (d**2 - 1) / scale, 0))


def expanded_square(z, loc, scale, logits):
    precision = 1 / scale**2
    square = z**2 @ ops.transpose(precision) - 2 * z @ ops.transpose(loc * precision) + ops.sum(loc**2 * precision, 1)
    log_normal = -0.5 * square - ops.sum(ops.log(scale) + 0.5 * np.log(2 * np.pi), axis=1)
    return ops.logsumexp(log_normal + ops.log_softmax(logits), axis=1)


def same_family(z, loc, scale, logits):
    return tfd.MixtureSameFamily(tfd.Categorical(logits), tfd.Independent(tfd.Normal(loc, scale), 1)).log_prob(z)


def vaekit(z, *parameters):
    return NormalMixture(*parameters).log_prob(z)


METHODS = {"expanded square, float32": expanded_square, "MixtureSameFamily": same_family, "vaekit": vaekit}


def measure():
    """Largest errors: dict by method of `[distances, log-variances]` in nats; of vaekit's gradients `[..., 3]`."""
    shape = (len(DISTANCES), len(LOG_VARIANCES))
    values, gradients = {name: np.empty(shape) for name in METHODS}, np.empty((*shape, 3))
    densities = {name: backend.compile(method) for name, method in METHODS.items()}
    gradient = backend.compile(lambda *a: backend.value_and_gradient(lambda *b: ops.sum(vaekit(*b)), *a)[1])
    for i, distance in enumerate(DISTANCES):
        for j, log_variance in enumerate(LOG_VARIANCES):
            inputs = [ops.convert_to_tensor(a) for a in arrays(log_variance, distance)]
            value, slopes = exact(*map(ops.convert_to_numpy, inputs))
            for name, density in densities.items():
                values[name][i, j] = np.abs(ops.convert_to_numpy(density(*inputs)) - value).max()
            for g, (found, slope) in enumerate(zip(gradient(*inputs)[:3], slopes, strict=True)):
                gradients[i, j, g] = np.abs(ops.convert_to_numpy(found) - slope).max() / np.abs(slope).max()
    return values, gradients


def show(title, rows):
    print(f"\n{title}\n  distance  log-variance" + "".join(f"{v:>9}" for v in LOG_VARIANCES))
    for distance, row in zip(DISTANCES, rows, strict=True):
        print(f"  {distance:8}              " + "".join(f"{error:9.0e}" for error in row))


def draw(values):
    figure, axes = plt.subplots(1, len(DISTANCES), figsize=(13, 3.8), sharey=True, layout="constrained")
    for i, (axis, distance) in enumerate(zip(axes, DISTANCES, strict=True)):
        for (name, errors), marker in zip(values.items(), "os^", strict=True):
            axis.semilogy(LOG_VARIANCES, errors[i], marker + "-", label=name)
        axis.axhline(LIMIT, color="black", linestyle="--", linewidth=1, label="0.001 nats")
        axis.set(title=f"means at {'±' if distance else ''}{distance}", xlabel="log σ²", xticks=LOG_VARIANCES)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("largest error of log p(z) / nats")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False)
    figure.savefig(PICTURE, dpi=100)


if __name__ == "__main__":
    values, gradients = measure()
    print(f"Keras on {backend.NAME}")
    for name, errors in values.items():
        show(f"{name}: largest error of log p(z), nats", errors)
    for g, name in enumerate("zμσ"):
        show(f"vaekit: largest error of the gradient by {name}, in its largest entry", gradients[..., g])
    draw(values)
    print(f"\nwrote {PICTURE.relative_to(PICTURE.parents[1])}")
