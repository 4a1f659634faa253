"""The registry of data sets, and what a loaded data set is."""

import difflib
import inspect
from dataclasses import dataclass
from numbers import Integral
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np

from vaekit.batches import DynamicBinarization

from .files import locate
from .vocabulary import Vocabulary


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
        title: what tables and figures call it; it says where the data are not the papers' own.
        train, validation, test: float32 arrays `[N, H, W, C]`; `train` of dynamically binarized data is a
            `DynamicBinarization`, new 0/1 draws in every pass. Of text, int32 tokens `[N, T]`; of video, float32
            `[N, T, H, W, C]`, or `Videos` that are made when they are asked for.
        labels: `Splits` of integer arrays `[N]`, or None where the data have none.
        description: what it is, how it is split, how binarized.
        source: address and citation.
        vocabulary: the `Vocabulary` of text, None for all else.
    """

    name: str
    title: str
    train: Any
    validation: Any
    test: Any
    labels: Splits | None
    description: str
    source: str
    vocabulary: Vocabulary | None = None

    @property
    def event_shape(self):
        """Shape of one example, `(H, W, C)`, `(T,)` or `(T, H, W, C)`."""
        return tuple(self.train.shape[1:])

    def __repr__(self):
        lines = [f"{self.name}: {'no' if self.labels is None else 'with'} labels"]
        for split in Splits._fields:
            x = getattr(self, split)
            lines.append(f"  {split:<10} {x.shape}" + (", drawn anew in every pass" if hasattr(x, "draw") else ""))
        return "\n".join(lines)


class Availability(NamedTuple):
    """Where a data set's files are: "bundled", "mirror", "cache", "mirror and cache", yet to "download", or only to be
    had "by hand", since they have no public address.
    """

    name: str
    where: str
    path: str | None  # of the first file found
    bytes: int  # of all files found
    summary: str  # what it is: the first line of its loader's docstring
    origin: str  # the host of its files' public address, "" if there is none


_loaders, _files = {}, {}  # by name


def register(name, files=()):
    """Decorator: the loader of the data set `name`, which reads `files` (`File` records; none if bundled).

    `files` is None where an option names a folder that holds the data. The loader takes keyword options and returns
    the fields of `Dataset` other than `name` as a dict; the first line of its docstring says what the data are.
    """

    def decorate(loader):
        _loaders[name], _files[name] = loader, files
        return loader

    return decorate


def names():
    """Names that `load` knows, as a list."""
    return list(_loaders)


def located():
    """Paths of all data files that are on this machine, unverified.

    Raises:
        DatasetError: if VAEKIT_DATA names no directory.
    """
    found = [locate(file) for files in _files.values() for file in files or ()]
    return sorted({path for _, path in filter(None, found)})


def load(name, **options):
    """A data set by name, downloaded on first use.

    Args:
        name: one of `names()`; "mnist_10k" needs no network.
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
        places = {file: locate(file) for file in files or ()}
        found = [place for place in places.values() if place]
        missing = [file for file, place in places.items() if not place]
        where = " and ".join(sorted({where for where, _ in found}, reverse=True)) or "bundled"
        if missing:
            where = "download"
        if files is None or not all(file.addresses for file in missing):
            where = "by hand"
        size = sum(path.stat().st_size for _, path in found)
        summary = inspect.getdoc(_loaders[name]).splitlines()[0]
        origin = next((urlsplit(file.addresses[0]).netloc for file in places if file.addresses), "")
        records.append(Availability(name, where, str(found[0][1]) if found else None, size, summary, origin))
    return records


def unit_interval(k):
    """float32 k/255 in [0, 1] of bytes k, laid out image by image."""
    return np.divide(k, np.float32(255), order="C")


def hold_out(validation, train, test, seed=None):
    """Fields `train`, `validation`, `test` and `labels` of a `Dataset`, the last training images held out.

    Args:
        validation: how many images to hold out.
        train, test: pairs of images `[N, H, W, C]` and labels `[N]`.
        seed: integer that shuffles the training images first; None leaves them in the order of their file.

    Raises:
        ValueError: if `validation` is no number of training images.
    """
    (x, y), (test_x, test_y) = ((images, labels.astype("int64")) for images, labels in (train, test))
    if not (isinstance(validation, Integral) and 0 <= validation < len(x)):
        raise ValueError(f"load expects 0 <= validation < {len(x)} held-out images, received {validation!r}.")
    if seed is not None:
        order = np.random.default_rng(seed).permutation(len(x))
        x, y = x[order], y[order]
    cut = len(x) - validation
    return {**Splits(x[:cut], x[cut:], test_x)._asdict(), "labels": Splits(y[:cut], y[cut:], test_y)}


def sizes(fields):
    """Sizes of the splits as descriptions give them, such as "50000/10000/10000"."""
    return "/".join(str(len(fields[split])) for split in Splits._fields)


def binarize(grey, seed, dynamic=True):
    r"""A grey data set made binary, $x \sim \mathrm{Bernoulli}(p)$: train in every pass anew, the rest once.

    Args:
        grey: fields of a `Dataset` as a loader returns them, values p in [0, 1].
        seed: integer.
        dynamic: False binarizes train once, too.
    """
    fixed = {
        split: DynamicBinarization(grey[split]).draw(np.random.default_rng(stream))
        for split, stream in zip(("validation", "test"), np.random.SeedSequence(seed).spawn(2), strict=True)
    }
    train = DynamicBinarization(grey["train"], seed)
    when = "train anew in every pass, validation and test once" if dynamic else "each image once"
    return {
        **grey,
        **fixed,
        "train": train if dynamic else np.asarray(train),
        "title": f"{'dynamic' if dynamic else 'static'} {grey['title']}",
        "description": f"{grey['description']} Binarized with the grey values as probabilities: {when}.",
    }
