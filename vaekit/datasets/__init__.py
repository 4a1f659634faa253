"""Data of the papers: `load("dynamic_mnist")` gives the papers' splits, verified and ready for `fit`.

Files come from the mirror directory that VAEKIT_DATA names, else from the cache (VAEKIT_CACHE, by default
the user's cache directory), else from their official addresses. `load("digits")` needs no file at all.
A new data set is one more file in this folder: its `File` records and a loader under `@register`.
"""

from . import digits, frey_faces, mnist, static_mnist  # noqa: F401  (each registers its loaders)
from .files import DatasetError, File, fetch
from .registry import Availability, Dataset, Splits, available, load, names, register

__all__ = [
    "Availability",
    "Dataset",
    "DatasetError",
    "File",
    "Splits",
    "available",
    "fetch",
    "load",
    "names",
    "register",
]
