"""Finds what a class has handed in: the notebooks in a folder, and what stands there in place of one."""

import os
import re
from pathlib import Path
from typing import NamedTuple

DEEPEST = 20  # folders within folders
INSTEAD = re.compile(r"\.ipynb|\.(py|zip|7z|rar|tar|gz|tgz|bz2|xz)$", re.IGNORECASE)  # names of what is no notebook
LINK = "it is a link to another {}. Hand in the notebook itself."


class Submission(NamedTuple):
    """A notebook that was handed in, or something in its place.

    Attributes:
        name: the learner's: the path below the folder, of a notebook without `.ipynb`.
        path: a `Path`.
        problem: what keeps it from being graded, "" if nothing is known.
    """

    name: str
    path: Path
    problem: str = ""


def submissions(folder):
    """Lists everything that was handed in, in a folder and below: sorted `Submission`s.

    Hidden files and folders are passed over, and other files too, unless a learner's folder holds nothing else.
    """
    folder, by_name = Path(folder), {}
    for path, problem in _handed_in(folder):
        name = path.relative_to(folder).as_posix()
        name = name.removesuffix(".ipynb") if path.suffix == ".ipynb" else name
        while name in by_name:  # x.zip, beside x.zip.ipynb
            name += " (2)"
        by_name[name] = Submission(name, path, problem)
    return [by_name[name] for name in sorted(by_name)]


def _handed_in(folder):
    """Lists (path, problem) of everything, notebooks first: their names are the ones that stay as they are."""
    entries, empty = [], []
    for path in _entries(folder)[0]:
        below = list(_below(path))
        handed_in = [(inner, problem) for inner, problem in below if problem is not None]
        entries += handed_in
        if below and not handed_in and below[0][0] != path:
            empty.append((path, f"there is no notebook in it, but {_names([inner.name for inner, _ in below])}."))
    return sorted(entries, key=lambda pair: bool(pair[1])) + empty


def _below(path, depth=1):
    """Yields (path, problem) of the files at a path or below, the problem of a notebook "", of other files None."""
    try:
        link, is_folder = path.is_symlink(), path.is_dir()
    except OSError as error:  # a folder without permission, a path that is too long
        yield path, f"it cannot be read: {error.strerror}."
        return
    if is_folder:
        if link or depth > DEEPEST:
            yield path, LINK.format("folder") if link else f"it lies below more than {DEEPEST} folders."
            return
        inner, problem = _entries(path)
        if problem:
            yield path, problem
        for one in inner:
            yield from _below(one, depth + 1)
    elif path.name == ".ipynb":
        yield path, "the file has no name before `.ipynb`. Give it one."
    elif path.suffix == ".ipynb":
        yield path, LINK.format("file") if link else ""
    elif INSTEAD.search(path.name):
        yield path, "it is not a notebook. Hand in the notebook itself, a file whose name ends in `.ipynb`."
    else:
        yield path, None


def _entries(folder):
    """Lists the paths in a folder, sorted, without hidden ones; and why there are none, "" if nothing went wrong."""
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        return [], f"the folder cannot be read: {error.strerror}."
    return [folder / name for name in names if not name.startswith(".") or name == ".ipynb"], ""


def _names(names):
    return ", ".join(repr(name) for name in names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
