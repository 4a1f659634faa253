"""`mnist_10k`, `dynamic_mnist_10k` and `static_mnist_10k`: a part of MNIST that comes with vaekit; no network.

10,000 training and 1,000 validation images from MNIST's training file, disjoint, and 2,000 test images from its test
file, drawn with seed 0 by `vaekit/datasets/bundled/make_mnist_10k.py`: as many of each digit, and ten in a row are the
ten digits, so the first hundred are a fair sample. A sixth of the images teaches less than all of them, so likelihoods
are not comparable with those on MNIST. The title says so: "MNIST-10k".

Licence: CC BY-SA 3.0, as MNIST's own; `vaekit/datasets/bundled/mnist_10k.LICENSE` has the attribution.
"""

import io

import numpy as np

from .files import File, read
from .registry import Splits, binarize, register, unit_interval

MNIST_10K = File("mnist_10k.npz", "012c94fd3de8c3d243eacfba33d58dbdb72d9a27e5dcf81e49f1829cb2fb9347", ())  # bundled


@register("mnist_10k", (MNIST_10K,))
def mnist_10k():
    """28×28 grey digits of MNIST that come with vaekit, values/255 in [0, 1], 10000/1000/2000."""
    with np.load(io.BytesIO(read(MNIST_10K))) as file:
        splits = Splits(*(unit_interval(file[split][..., None]) for split in Splits._fields))  # [N, 28, 28, 1]
        labels = Splits(*(file[f"{split}_labels"].astype("int64") for split in Splits._fields))
    return {
        "title": "MNIST-10k",
        **splits._asdict(),
        "labels": labels,
        "description": "28×28 grey handwritten digits, values/255: an extract of MNIST, so likelihoods are not "
        "comparable with those on MNIST. Split 10000/1000/2000, as many of each digit: the first two from MNIST's "
        "training file, the last from its test file. Ten in a row are the ten digits.",
        "source": "LeCun, Bottou, Bengio & Haffner 1998; http://yann.lecun.com/exdb/mnist/; licence CC BY-SA 3.0",
    }


@register("dynamic_mnist_10k", (MNIST_10K,))
def dynamic_mnist_10k(seed=0):
    """`mnist_10k`, binarized: a pixel is 1 with its grey value as probability."""
    return binarize(mnist_10k(), seed)


@register("static_mnist_10k", (MNIST_10K,))
def static_mnist_10k(seed=0):
    """`mnist_10k`, binarized once and for all: training sees the same 0/1 images in every pass."""
    return binarize(mnist_10k(), seed, dynamic=False)
