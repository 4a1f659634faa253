"""`static_mnist`: MNIST binarized once and for all by Larochelle, so that every paper sees the same 0/1 images."""

import numpy as np

from .files import File, read
from .registry import Splits, register


def _file(name, sha256):
    home = "www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/"
    return File(name, sha256, tuple(scheme + home + name for scheme in ("https://", "http://")))


FILES = (
    _file("binarized_mnist_train.amat", "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d"),
    _file("binarized_mnist_valid.amat", "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2"),
    _file("binarized_mnist_test.amat", "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c"),
)


def parse_amat(content):
    """float32 array `[N, 28, 28, 1]` from text rows of 784 characters 0 or 1, one character apart."""
    return (np.frombuffer(content, "uint8")[::2] - ord("0")).reshape(-1, 28, 28, 1).astype("float32")


@register("static_mnist", FILES)
def static_mnist():
    """28×28 digits, binarized once and for all by Larochelle, 50000/10000/10000, without labels."""
    return {
        "title": "static MNIST",
        **Splits(*(parse_amat(read(file)) for file in FILES))._asdict(),
        "labels": None,
        "description": "28×28 handwritten digits, binarized once with the grey values as probabilities; fixed 0/1 "
        "values, not in MNIST's order, without labels. Split 50000/10000/10000 by its authors. The test images stand "
        "sorted, 0 to 9: their first 1000 are no fair sample.",
        "source": "Larochelle & Murray 2011, after Salakhutdinov & Murray 2008; "
        "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/",
    }
