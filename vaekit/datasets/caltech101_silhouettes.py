"""`caltech101_silhouettes`: 28×28 binary outlines of the objects in Caltech 101."""

import io

import numpy as np
from scipy.io import loadmat

from .files import File, read
from .registry import Splits, register, sizes

SILHOUETTES = File(
    "caltech101_silhouettes_28_split1.mat",
    "eb6735e8d84b1850fabc5590124aab1755e90c9fd28123585324398405e1e42a",
    ("https://people.cs.umass.edu/~marlin/data/caltech101_silhouettes_28_split1.mat",),
)


@register("caltech101_silhouettes", (SILHOUETTES,))
def caltech101_silhouettes():
    """28×28 binary silhouettes of objects in 101 classes, 4100/2264/2307.

    They are 1 − x of the file, as the papers use them: the object is 1, the background 0. Labels 0..100.
    """
    mat = loadmat(io.BytesIO(read(SILHOUETTES)))
    images = [mat[f"{part}_data"].reshape(-1, 28, 28, 1).swapaxes(1, 2) for part in ("train", "val", "test")]
    splits = Splits(*(np.subtract(1, x, dtype="float32", order="C") for x in images))._asdict()
    return {
        "title": "Caltech 101 Silhouettes",
        **splits,
        "labels": Splits(*(mat[f"{part}_labels"][:, 0].astype("int64") - 1 for part in ("train", "val", "test"))),
        "description": "28×28 binary silhouettes of objects in 101 classes, the object 1: that is 1 − x of the "
        f"file, as Tomczak & Welling 2018 use it. Split {sizes(splits)} by its authors.",
        "source": "Marlin, Swersky, Chen & de Freitas 2010; https://people.cs.umass.edu/~marlin/data.shtml",
    }
