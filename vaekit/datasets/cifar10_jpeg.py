"""`cifar10_jpeg`: a part of CIFAR-10 that went through JPEG, to exercise colour models where `cifar10` is not at hand.

JPEG is lossy, here by 5.7/255 in the mean, and it smooths: likelihoods are not comparable with those on CIFAR-10. The
title says so: "CIFAR-10 (JPEG)".
"""

import io
import zipfile

import numpy as np
from PIL import Image

from .files import File, read
from .registry import hold_out, register, sizes, unit_interval

FILES = (
    File("cifar10_jpeg_train10k.zip", "5cc38bb6be67af2acf9ea2d41734ff8210061b311c3b07e6b6307a250ef8f365", ()),
    File("cifar10_jpeg_test10k.zip", "6c887066a4086d1a396d7bdf9015dd0af187d06e9edad255daea6ab4158f39a0", ()),
)
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]  # CIFAR-10's order


def parse_zip(content):
    """Images `[N, 32, 32, 3]` in [0, 1] and labels `[N]` from a zip file of `split/class/number.jpg`."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        images = np.stack([np.asarray(Image.open(archive.open(name)).convert("RGB")) for name in names])
    return unit_interval(images), np.array([CLASSES.index(name.split("/")[-2]) for name in names])


@register("cifar10_jpeg", FILES)
def cifar10_jpeg(validation=1000, seed=0):
    """A part of CIFAR-10 after lossy JPEG, 32×32 colour photographs, 9000/1000/10000.

    Values/255; shuffled by `seed`, then the last `validation` training images held out.
    The files have no public address.
    """
    train, test = (parse_zip(read(file)) for file in FILES)
    splits = hold_out(validation, train, test, seed)
    return {
        "title": "CIFAR-10 (JPEG)",
        **splits,
        "description": "32×32 colour photographs in 10 classes, values/255: 1000 training and 1000 test images a class "
        "of CIFAR-10 after lossy JPEG, so likelihoods are not comparable with those on CIFAR-10. Training images "
        f"shuffled; split {sizes(splits)}.",
        "source": "Krizhevsky 2009; originals: https://www.cs.toronto.edu/~kriz/cifar.html",
    }
