"""Data of the papers: `load("dynamic_mnist")` gives the papers' splits, verified and ready for `fit`.

Files come from the mirror directory that VAEKIT_DATA names, else from the cache (VAEKIT_CACHE, by default
the user's cache directory), else from their official addresses. `load("mnist_10k")`, a part of MNIST, comes with
vaekit, and `load("celeba", folder=...)` reads a folder of yours. `from_arrays(x)` makes the same of arrays of your own.
`load("grammar")` makes sentences, `load("moving_digits")` videos, and `moving(images, n=1000)` those of your pictures.
A new data set is one more file in this folder: its `File` records and a loader under `@register`.
"""

from . import (  # noqa: F401  (each registers its loaders)
    bair,
    caltech101_silhouettes,
    celeba,
    cifar10,
    cifar10_jpeg,
    digits,
    docstrings,
    frey_faces,
    frey_video,
    grammar,
    histopathology,
    mnist,
    mnist_10k,
    moving_digits,
    moving_mnist,
    omniglot,
    omniglot_rebuilt,
    ptb,
    static_mnist,
    svhn,
    yahoo,
)
from .arrays import from_arrays
from .files import DatasetError, File, fetch
from .motion import moving
from .registry import Availability, Dataset, Splits, available, load, names, register
from .vocabulary import Vocabulary

__all__ = [
    "Availability",
    "Dataset",
    "DatasetError",
    "File",
    "Splits",
    "Vocabulary",
    "available",
    "fetch",
    "from_arrays",
    "load",
    "moving",
    "names",
    "register",
]
