"""`mnist` and `dynamic_mnist`: 28×28 handwritten digits, grey and dynamically binarized."""

import numpy as np

from .files import File, read
from .registry import binarize, hold_out, register, sizes, unit_interval


def _file(name, sha256):
    homes = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/")
    return File(name, sha256, tuple(home + name for home in homes))


FILES = (
    _file("train-images-idx3-ubyte.gz", "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
    _file("train-labels-idx1-ubyte.gz", "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
    _file("t10k-images-idx3-ubyte.gz", "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
    _file("t10k-labels-idx1-ubyte.gz", "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
)


def parse_idx(content):
    """uint8 array from the bytes of an IDX file: 00 00 08 rank, the sizes as big-endian int32, the values."""
    rank = content[3]
    return np.frombuffer(content, "uint8", offset=4 + 4 * rank).reshape(np.frombuffer(content, ">i4", rank, offset=4))


@register("mnist", FILES)
def mnist(validation=10_000):
    """28×28 grey digits, values/255 in [0, 1], 50000/10000/10000.

    The last `validation` training images are held out.
    """
    images, labels, test_images, test_labels = (parse_idx(read(file)) for file in FILES)
    x, test = (unit_interval(a[..., None]) for a in (images, test_images))  # [N, 28, 28, 1]
    splits = hold_out(validation, (x, labels), (test, test_labels))
    return {
        "title": "MNIST",
        **splits,
        "description": f"28×28 grey handwritten digits, values/255. Split {sizes(splits)}, "
        "validation from the end of the training file.",
        "source": "LeCun, Bottou, Bengio & Haffner 1998; http://yann.lecun.com/exdb/mnist/",
    }


@register("dynamic_mnist", FILES)
def dynamic_mnist(validation=10_000, seed=0):
    """`mnist`, binarized: a pixel is 1 with its grey value as probability (Burda et al. 2015, section 5)."""
    return binarize(mnist(validation), seed)
