"""`cifar10`: 32×32 colour photographs in ten classes."""

import io
import tarfile

import numpy as np

from .files import File, read
from .pickles import unpickle_arrays
from .registry import hold_out, register, sizes, unit_interval

CIFAR10 = File(
    "cifar-10-python.tar.gz",
    "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    ("https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",),
)
TRAIN, TEST = [f"data_batch_{i}" for i in range(1, 6)], ["test_batch"]


@register("cifar10", (CIFAR10,))
def cifar10(validation=5000):
    """32×32 colour photographs in 10 classes, 45000/5000/10000.

    Values/255 in [0, 1]; the last `validation` training images are held out.
    """
    with tarfile.open(fileobj=io.BytesIO(read(CIFAR10))) as tar:

        def parse(names):
            batches = [unpickle_arrays(tar.extractfile(f"cifar-10-batches-py/{name}").read()) for name in names]
            planes = np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32)  # red, green, blue
            labels = np.concatenate([batch["labels"] for batch in batches])
            return unit_interval(planes.transpose(0, 2, 3, 1)), labels  # [N, 32, 32, 3], [N]

        splits = hold_out(validation, parse(TRAIN), parse(TEST))
    return {
        "title": "CIFAR-10",
        **splits,
        "description": f"32×32 colour photographs in 10 classes, values/255. Split {sizes(splits)}, validation from "
        "the end of the training batches.",
        "source": "Krizhevsky 2009; https://www.cs.toronto.edu/~kriz/cifar.html",
    }
