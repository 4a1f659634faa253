"""The registry of data sets, and what a loaded data set is."""

import difflib
import inspect
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from vaekit.batches import DynamicBinarization

from .files import locate


class Splits(NamedTuple):
    """One value for each split, such as the labels of a `Dataset`."""

    train: Any
    validation: Any
    test: Any


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Named arrays of the papers' splits.

    Args:
        name: the name it is loaded by.
        train, validation, test: float32 arrays `[N, H, W, C]`; `train` of dynamically binarized data is a
            `DynamicBinarization`, new 0/1 draws in every pass.
        labels: `Splits` of integer arrays `[N]`, or None where the data have none.
        value_range: the least and the greatest value a pixel can take.
        description: what it is, how it is split, how binarized.
        source: address and citation.
    """

    name: str
    train: Any
    validation: Any
    test: Any
    labels: Splits | None
    value_range: tuple[float, float]
    description: str
    source: str

    @property
    def event_shape(self):
        """Shape of one example, `(H, W, C)`."""
        return tuple(self.train.shape[1:])

    def __repr__(self):
        low, high = self.value_range
        lines = [f"{self.name}: values in [{low:g}, {high:g}], {'no' if self.labels is None else 'with'} labels"]
        for split in Splits._fields:
            x = getattr(self, split)
            lines.append(f"  {split:<10} {x.shape}" + (", drawn anew in every pass" if hasattr(x, "draw") else ""))
        return "\n".join(lines)


class Availability(NamedTuple):
    """Where the files of a data set are: "bundled", "mirror", "cache", "mirror and cache", or yet to "download"."""

    name: str
    where: str
    path: str | None  # of the first file found
    bytes: int  # of all files found


_loaders, _files = {}, {}  # by name


def register(name, files=()):
    """Decorator: the loader of the data set `name`, which reads `files` (`File` records; none if bundled).

    The loader takes keyword options and returns the fields of `Dataset` other than `name` as a dict.
    """

    def decorate(loader):
        _loaders[name], _files[name] = loader, tuple(files)
        return loader

    return decorate


def names():
    """Names that `load` knows, as a list."""
    return list(_loaders)


def load(name, **options):
    """A data set by name, downloaded on first use.

    Args:
        name: one of `names()`; "digits" needs no network.
        **options: of that data set, such as `validation=400` or `seed=1`; a wrong one lists the right ones.

    Returns:
        `Dataset`.

    Raises:
        ValueError: if there is no such name, or an option has a value that does not fit.
        TypeError: if there is no such option.
        DatasetError: if a file cannot be had.
    """
    if name not in _loaders:
        near = difflib.get_close_matches(str(name).lower().replace("-", "_"), _loaders, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"There is no data set {name!r}.{hint} Known: {', '.join(_loaders)}.")
    known = inspect.signature(_loaders[name]).parameters
    if unknown := set(options) - set(known):
        raise TypeError(
            f"The data set {name!r} has no option {', '.join(map(repr, sorted(unknown)))}; "
            f"its options: {', '.join(map(str, known.values())) or 'none'}."
        )
    return Dataset(name=name, **_loaders[name](**options))


def available():
    """Where each data set's files are, without downloading or verifying any: a list of `Availability`.

    Raises:
        DatasetError: if VAEKIT_DATA names no directory.
    """
    records = []
    for name, files in _files.items():
        found = [place for place in map(locate, files) if place]
        where = " and ".join(sorted({where for where, _ in found}, reverse=True)) or "bundled"
        if len(found) < len(files):
            where = "download"
        size = sum(path.stat().st_size for _, path in found)
        records.append(Availability(name, where, str(found[0][1]) if found else None, size))
    return records


def binarize(grey, seed):
    r"""A grey data set made binary, $x \sim \mathrm{Bernoulli}(p)$: train in every pass anew, the rest once.

    Args:
        grey: fields of a `Dataset` as a loader returns them, values p in [0, 1].
        seed: integer.
    """
    fixed = {
        split: DynamicBinarization(grey[split]).draw(np.random.default_rng(stream))
        for split, stream in zip(("validation", "test"), np.random.SeedSequence(seed).spawn(2), strict=True)
    }
    description = (
        f"{grey['description']} Binarized with the grey values as probabilities: train anew in every pass, "
        "validation and test once."
    )
    return {**grey, **fixed, "train": DynamicBinarization(grey["train"], seed), "description": description}
