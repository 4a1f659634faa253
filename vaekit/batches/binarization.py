"""Images of 0 and 1 that are drawn anew in every pass."""

import numpy as np

from vaekit import backend
from vaekit.batches.arrays import Redrawn, as_array


class DynamicBinarization(Redrawn):
    r"""Binary data whose every pass is a new draw, $x \sim \mathrm{Bernoulli}(p)$ for grey values $p$.

    It stands where an array could stand: `len`, `shape`, slicing and `np.asarray` work, and so does
    `model.fit`, which then sees other 0/1 images in every epoch. `np.asarray(data)` is one fixed draw, always the
    same for the same seed; all evaluation uses it. (The fixed draw of a slice is another one than the slice of the
    fixed draw.) `data.probabilities` are the grey values themselves.

    Args:
        probabilities: array `[N, ...]` with values in [0, 1].
        seed: integer; decides the fixed draw.

    Raises:
        ValueError: if a value lies outside [0, 1].

    Source: Burda et al. 2015, section 5: "we re-sampled the binary values each time".
    """

    def __init__(self, probabilities, seed=0):
        probabilities = as_array("probabilities", probabilities).astype("float32", copy=False)
        if probabilities.size and not (probabilities.min() >= 0 and probabilities.max() <= 1):
            raise ValueError(
                "DynamicBinarization expects probabilities in [0, 1]; these lie in "
                f"[{probabilities.min():g}, {probabilities.max():g}]. Divide grey values by their maximum (255) first."
            )
        self.probabilities = probabilities
        self.seed = backend.integer_seed(seed)

    shape = property(lambda self: self.probabilities.shape)
    ndim = property(lambda self: self.probabilities.ndim)
    dtype = property(lambda self: self.probabilities.dtype)
    identity = property(lambda self: self.probabilities)

    def __len__(self):
        return len(self.probabilities)

    def __getitem__(self, index):
        return DynamicBinarization(self.probabilities[index], self.seed)

    def __array__(self, dtype=None, copy=None):
        return self.draw(np.random.default_rng(self.seed)).astype(dtype or "float32", copy=False)

    def __repr__(self):
        return f"DynamicBinarization(shape={self.shape}, mean={self.probabilities.mean():.4f})"

    def draw(self, generator, index=slice(None)):
        """Draws new 0/1 values, float32, for the rows `index` with a NumPy `generator`."""
        p = self.probabilities[index]
        return (generator.random(p.shape, dtype="float32") < p).astype("float32")  # u < p
