"""Makes mnist_10k.npz from MNIST's own files (VAEKIT_DATA, the cache, or a download), the same bytes every time:

    python -m vaekit.datasets.bundled.make_mnist_10k

It prints the file's SHA-256, which `vaekit.datasets.mnist_10k` expects.
"""

import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np

from vaekit.datasets.files import read
from vaekit.datasets.mnist import FILES, parse_idx
from vaekit.files import replacing

SEED = 0
EACH = {"train": 1000, "validation": 100, "test": 200}  # images of each digit


def draw(labels, n, generator):
    """Rows of n images of each digit, without replacement, `[10 n]`: ten in a row are the ten digits, in any order."""
    rows = [generator.permutation(np.flatnonzero(labels == digit))[:n] for digit in range(10)]  # [10, n]
    return np.concatenate([generator.permutation(ten) for ten in np.transpose(rows)])


def extract():
    """The arrays by name: images `[N, 28, 28]` and labels `[N]`, all uint8, of train, validation and test."""
    images, labels, test_images, test_labels = (parse_idx(read(file)) for file in FILES)
    generator = np.random.RandomState(SEED)  # NumPy promises that its numbers never change
    rows = draw(labels, EACH["train"] + EACH["validation"], generator)
    train, validation = np.split(rows, [10 * EACH["train"]])
    test = draw(test_labels, EACH["test"], generator)
    return {
        "train": images[train],
        "train_labels": labels[train],
        "validation": images[validation],
        "validation_labels": labels[validation],
        "test": test_images[test],
        "test_labels": test_labels[test],
    }


def pack(arrays):
    """The bytes of a .npz file, by LZMA (1.81 MB, where NumPy's own deflate takes 2.11), without a date."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, array, version=(1, 0))
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue(), zipfile.ZIP_LZMA)  # of 1980
    return stream.getvalue()


if __name__ == "__main__":
    content = pack(extract())
    path = Path(__file__).with_name("mnist_10k.npz")
    with replacing(path) as file:
        file.write(content)
    print(f"{path}: {len(content)} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}")
