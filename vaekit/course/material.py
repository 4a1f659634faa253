"""The course's notebooks: where they lie, and a folder of copies that is the learner's own.

In a wheel they lie inside the package (pyproject.toml puts them there), in a copy of the repository beside it.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from vaekit.files import replacing, write_json

HERE = Path(__file__).parent
FIRST = PurePosixPath("lessons/00_start_here.ipynb")
RECORD = ".vaekit/given.json"  # in a learner's folder: {path: the version that was last given}


def place():
    """The folder that holds `lessons/` and `exercises/`."""
    packed = HERE / "notebooks"
    return packed if packed.is_dir() else HERE.parents[1]


@dataclass
class Copied:
    """What `copy` did, paths relative to the learner's folder.

    Attributes:
        new: was not there.
        updated: was as it had been given, and is the new version now.
        beside: new versions of notebooks that the learner has changed, under names of their own.
        kept: was changed by the learner, and is untouched.
    """

    new: list[PurePosixPath] = field(default_factory=list)
    updated: list[PurePosixPath] = field(default_factory=list)
    beside: list[PurePosixPath] = field(default_factory=list)
    kept: list[PurePosixPath] = field(default_factory=list)


def copy(folder):
    """Copies lessons and exercises into a learner's folder, and overwrites nothing that the learner has changed.

    A notebook counts as changed as soon as a cell of it has, or an output. One that was deleted comes back.

    Args:
        folder: to be made, or of an earlier `copy`.

    Returns: `Copied`.

    Raises:
        ValueError: the folder is the course's repository.
        FileNotFoundError: this installation has no notebooks.
        OSError: the folder cannot be written.
    """
    source, folder = place(), Path(folder)
    if folder.resolve() == source.resolve():
        raise ValueError(f"{folder} holds the course itself; name a folder of your own.")
    found = [*sorted(source.glob("lessons/*.ipynb")), *sorted(source.glob("exercises/*/*.ipynb"))]
    if not found:
        raise FileNotFoundError(f"There are no lessons in {source}: install vaekit again.")
    copied, given = Copied(), _given(folder)
    for path in found:
        _give(folder, PurePosixPath(path.relative_to(source).as_posix()), path.read_bytes(), given, copied)
    write_json(folder / RECORD, given)
    return copied


def _give(folder, path, content, given, copied):
    """Copies one notebook, in its place or beside a changed one; notes it in `given` and `copied`."""
    version, there, before = _hash(content), _version(folder / path), given.get(str(path))
    given[str(path)] = version
    if there == version:
        return
    if there is not None and there != before:  # the learner's
        copied.kept.append(path)
        if version == before:
            return
        path, there = _beside(folder, path, given)
        given[str(path)] = version
        copied.beside.append(path)
    else:
        (copied.new if there is None else copied.updated).append(path)
    with replacing(folder / path) as stream:
        stream.write(content)


def _beside(folder, path, given):
    """A path for a new version of `path`: NAME.new.ipynb, or a numbered one where the learner has changed that too."""
    number = 1
    while True:
        beside = path.with_name(f"{path.stem}.new{number if number > 1 else ''}.ipynb")
        there = _version(folder / beside)
        if there is None or there == given.get(str(beside)):
            return beside, there
        number += 1


def _given(folder):
    try:
        given = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # then whatever is not exactly as it would be given counts as the learner's
        given = {}
    return given if isinstance(given, dict) else {}


def _version(path):
    """The version of a file, or None if there is none."""
    return _hash(path.read_bytes()) if path.exists() else None


def _hash(content):
    """SHA-256 of a notebook but for its metadata, where JupyterLab writes which Python it was opened with."""
    try:
        content = json.dumps({**json.loads(content), "metadata": None}, sort_keys=True).encode()
    except (ValueError, TypeError):  # not, or no longer, a notebook
        pass
    return hashlib.sha256(content).hexdigest()
