"""Reads notebooks that were handed in, with distrust: their size, their format, which exercise they answer."""

import errno
import hashlib
import json
import os
import re
import reprlib
import stat
import unicodedata
from pathlib import Path

from vaekit.course.exercise import Exercise, numbers
from vaekit.course.grader.errors import GradingError
from vaekit.course.grader.submissions import LINK

LARGEST = 20_000_000  # bytes of a notebook


def read_notebook(path, follow=True):
    """Reads a notebook: its content as bytes, and as a dict.

    Args:
        path: of the file.
        follow: whether it may be a link to another file.

    Raises:
        GradingError: if it is none, or is too large.
    """
    content = _content(path, follow)
    try:
        notebook = json.loads(content)
    except (ValueError, RecursionError):
        raise GradingError("it is not a notebook: its content is not JSON. Save it in JupyterLab again.") from None
    if isinstance(notebook, dict) and "worksheets" in notebook:
        raise GradingError("it has a notebook's format of before 2015. Save it in JupyterLab again.")
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        raise GradingError("it is not a notebook: it has no cells. Save it in JupyterLab again.")
    return content, notebook


def _content(path, follow):
    """Reads a file that is checked only once it is open: nobody puts another one in its place meanwhile."""
    flags = os.O_RDONLY | (0 if follow else getattr(os, "O_NOFOLLOW", 0))
    flags |= getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)  # a pipe that nobody writes to holds up nobody
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        linked = error.errno == errno.ELOOP and not follow
        raise GradingError(LINK.format("file") if linked else f"it cannot be read: {error.strerror}.") from None
    try:
        status = os.fstat(descriptor)
        if not follow and any(folder.is_symlink() for folder in Path(path).parents):
            raise GradingError(LINK.format("folder"))
        if not stat.S_ISREG(status.st_mode):
            raise GradingError("it is not a file.")
        if status.st_size > LARGEST:
            size = f"{status.st_size / 1e6:,.0f} MB, more than the {LARGEST / 1e6:.0f} MB that are read"
            raise GradingError(f"it has {size}. Clear its outputs, save it, and hand it in again.")
        with open(descriptor, "rb", closefd=False) as stream:
            return stream.read(LARGEST + 1)
    except OSError as error:
        raise GradingError(f"it cannot be read: {error.strerror}.") from None
    finally:
        os.close(descriptor)


def exercise_number(notebook, name):
    """Returns the number in a notebook's metadata, else the first digits of the file's name.

    Raises:
        GradingError: if neither is the number of an exercise, or if these two, or the questions whose cells are there,
            do not agree.
    """
    known = numbers()
    number = _dict(_dict(notebook.get("metadata")).get("vaekit")).get("exercise")
    digits = re.match(r"\d+", name)
    digits = digits[0] if digits else None
    requested = digits if number is None else number
    if requested not in known:
        raise GradingError(
            f"it names no exercise: expected its number, one of {', '.join(known)}, in the metadata (vaekit.exercise) "
            f"or at the start of the file's name; found {clean(reprlib.repr(requested), 40)}."
        )
    sources = {
        "its metadata": number,
        "the file's name": digits,
        "its cells": _most_answered(notebook, known),
    }
    sources = {where: value for where, value in sources.items() if value in known}
    if len(set(sources.values())) > 1:
        listed = ", ".join(f"{value} by {where}" for where, value in sources.items())
        raise GradingError(f"which exercise is it? It is {listed}. Let them agree, and hand it in once.")
    return next(iter(sources.values()))


def _most_answered(notebook, known):
    """Returns the number of the exercise to most of whose questions there are cells; None if there is no such."""
    names = _identities(notebook)
    for source in code_cells(notebook):
        names |= set(re.findall(r"^(?:def|class) +(\w+)", source, re.MULTILINE))
    counted = sorted((len(names & set(Exercise(number).questions)), number) for number in known)
    (second, _), (first, number) = [(0, ""), *counted][-2:]
    return number if first > second else None


def deleted_cells(notebook, questions):
    """Lists names of cells that the exercise has and the notebook does not, as far as its other cells show.

    Args:
        notebook: a dict.
        questions: names.
    """
    names = _identities(notebook)
    if not any(_dict(_dict(cell.get("metadata")).get("nbgrader")) for cell in notebook["cells"]):
        return []  # it was not made from the exercise, or all that said so is lost
    locked = [int(name.removeprefix("given-")) for name in names if re.fullmatch(r"given-\d{1,3}", name)]
    expected = [f"given-{n}" for n in range(1, max(locked, default=1) + 1)]
    expected += [cell for name in questions for cell in (name, f"{name}-test")]
    return [name for name in expected if name not in names]


def edited_cells(notebook):
    """Lists names of the exercise's locked cells that were edited, by nbgrader's checksum."""
    names = []
    for cell in notebook["cells"]:
        metadata = _dict(_dict(cell.get("metadata")).get("nbgrader"))
        name, checksum = metadata.get("grade_id"), metadata.get("checksum")
        if isinstance(checksum, str) and isinstance(name, str) and re.fullmatch(r"given-\d{1,3}", name):
            roles = "codeFalseFalseTrue"  # of a cell that is not graded, no answer, and locked
            content = f"{_source(cell)}{roles}{name}".encode("utf-8", "replace")
            if hashlib.md5(content, usedforsecurity=False).hexdigest() != checksum:
                names.append(name)
    return names


def _identities(notebook):
    """Returns all names of cells, nbgrader's and the notebook's own."""
    graded = [_dict(_dict(cell.get("metadata")).get("nbgrader")).get("grade_id") for cell in notebook["cells"]]
    return {name for name in (*graded, *(cell.get("id") for cell in notebook["cells"])) if isinstance(name, str)}


def code_cells(notebook):
    """Lists sources of the code cells in their order, without those that only hold nbgrader's tests."""
    return [source for source, tested in _cells(notebook) if not tested]


def tested_after(notebook):
    """Finds where questions are tested, {name: number of code cells before}, by the names of nbgrader's tests."""
    places, n = {}, 0
    for _, tested in _cells(notebook):
        if tested:
            places.setdefault(tested.removesuffix("-test"), n)
        else:
            n += 1
    return places


def _cells(notebook):
    """Yields (source, "" or the name of nbgrader's test) of each code cell that is not empty."""
    for cell in notebook["cells"]:
        graded = _dict(_dict(cell.get("metadata")).get("nbgrader"))
        source = _source(cell)
        tests = graded.get("grade") is True and graded.get("solution") is not True
        if cell.get("cell_type") == "code" and isinstance(source, str) and source.strip():
            yield source, str(graded.get("grade_id") or "test") if tests else ""


def _source(cell):
    source = cell.get("source", "")
    return "".join(part for part in source if isinstance(part, str)) if isinstance(source, list) else source


def _dict(value):
    return value if isinstance(value, dict) else {}


def clean(text, most=600):
    """Makes a text of graded code or a notebook short, without control characters, and without TeX."""
    text = text if isinstance(text, str) else reprlib.repr(text) if isinstance(text, (list, dict)) else str(text)
    text = "".join(" " if unicodedata.category(c).startswith(("C", "Z")) else c for c in text[: 4 * most])
    text = " ".join(text.split()).replace("$", "＄")
    return text if len(text) <= most else f"{text[:most]} …"
