"""`digits` and `dynamic_digits`: 8×8 handwritten digits that come with scikit-learn; no network, no files.

With 64 pixels they train in seconds, which tests and exercises need. Where pictures are to be looked at, `mnist_10k` is
the better choice.
"""

import numpy as np
from sklearn.datasets import load_digits

from .registry import Splits, binarize, register

TRAIN, VALIDATION = 1197, 300  # the other 300 of 1797 are the test set


@register("digits")
def digits():
    """8×8 grey digits that come with scikit-learn, values/16 in [0, 1], 1197/300/300."""
    bunch = load_digits()
    order = np.random.default_rng(0).permutation(len(bunch.target))  # neighbours share a writer
    cuts = (TRAIN, TRAIN + VALIDATION)
    images = (bunch.images[order, :, :, None] / 16).astype("float32")  # [N, 8, 8, 1]
    return {
        "title": "digits",
        **Splits(*np.split(images, cuts))._asdict(),
        "labels": Splits(*np.split(bunch.target[order], cuts)),
        "description": "8×8 grey handwritten digits, values/16. Shuffled once, then split 1197/300/300.",
        "source": "Alpaydin & Kaynak 1998, Optical Recognition of Handwritten Digits (UCI), test part, as bundled "
        "with scikit-learn; https://doi.org/10.24432/C50P49",
    }


@register("dynamic_digits")
def dynamic_digits(seed=0):
    """`digits`, binarized: a pixel is 1 with its grey value as probability."""
    return binarize(digits(), seed)
