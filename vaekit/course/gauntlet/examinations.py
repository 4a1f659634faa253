"""The tests that a reader may order of a patient: each a function of it that returns a dict of numbers."""

import numpy as np
from keras import ops

from vaekit import backend

BATCH = 100  # images


def _draws(patient):
    """Codes that the program draws of one image: in one batch, and in two steps."""
    x = np.repeat(patient.images[:1], 200, axis=0)
    mean, log_variance = patient.posterior(x)
    one, two = (ops.convert_to_numpy(patient.draw(mean, log_variance)) for _ in range(2))
    error = np.stack([one, two]) - ops.convert_to_numpy(mean)  # [2, 200, J]
    stated = ops.convert_to_numpy(ops.exp(log_variance / 2))
    return {
        "root mean square of (z − μ) / σ": np.sqrt(np.mean((error / stated) ** 2)),
        "of two images in a batch: correlation": _correlation(error[0, :-1], error[0, 1:]),
        "of two steps: correlation": _correlation(error[0], error[1]),
    }


def _gradients(patient):
    """How far the reconstruction of a batch moves the two networks."""
    x, n = patient.images[:BATCH], len(patient.encoder.trainable_variables)
    _, gradient = backend.variables_gradient(lambda: ops.mean(patient.terms(x)[0]), patient.variables)
    norms = [np.linalg.norm([np.linalg.norm(ops.convert_to_numpy(g)) for g in part]) for part in _halves(gradient, n)]
    return dict(zip(("encoder: gradient of the reconstruction", "decoder"), map(float, norms), strict=True))


def _codes(patient):
    """What the reconstruction of images loses with each other's codes."""
    x = patient.images[:BATCH]
    z = patient.posterior(x)[0]
    right, wrong = (float(ops.mean(patient.reconstruction(x, codes))) for codes in (z, ops.roll(z, 1, axis=0)))
    return {"reconstruction, its own codes": right, "reconstruction, the neighbour's": wrong}


def _neighbours(patient):
    """Whether an image's number depends on its place in the batch."""
    x = patient.images[:BATCH]
    z = patient.posterior(x)[0]
    one, other = (ops.convert_to_numpy(patient.reconstruction(x[::k], z[::k]))[::k] for k in (1, -1))
    return {"batch the other way round: largest change, nats": float(np.abs(one - other).max())}


def _overlap(patient):
    """Test images that are in the training set."""
    known = {row.tobytes() for row in np.ascontiguousarray(patient.train)}
    return {"test images that are training images": float(sum(row.tobytes() in known for row in patient.test))}


def _weights(patient):
    """How far the weights have gone from where they started."""
    moved = [ops.convert_to_numpy(w) - old for w, old in zip(patient.variables, patient.started, strict=True)]
    parts = _halves(moved, len(patient.encoder.trainable_variables))
    norms = [float(np.linalg.norm([np.linalg.norm(w) for w in part])) for part in parts]
    return dict(zip(("encoder: way of the weights", "decoder"), norms, strict=True))


def _halves(values, n):
    return values[:n], values[n:]


def _correlation(a, b):
    """Of what is left of two arrays [N, J], column by column, about zero."""
    return float((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()))


TESTS = {
    "draws": _draws,
    "gradients": _gradients,
    "codes": _codes,
    "neighbours": _neighbours,
    "overlap": _overlap,
    "weights": _weights,
}
