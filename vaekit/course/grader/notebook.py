"""Notebooks that were handed in, read with distrust: their size, their format, which exercise they answer."""

import json
import os
import re
import reprlib
import stat
import unicodedata

from vaekit.course.exercise import numbers
from vaekit.course.grader.errors import GradingError

LARGEST = 20_000_000  # bytes of a notebook


def read_notebook(path):
    """Reads a notebook: its content as bytes, and as a dict.

    Raises:
        GradingError: if it is none, or is too large.
    """
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            raise GradingError("it is not a file.")
        if found.st_size > LARGEST:
            size = f"{found.st_size / 1e6:,.0f} MB, more than the {LARGEST / 1e6:.0f} MB that are read"
            raise GradingError(f"it has {size}. Clear its outputs, save it, and hand it in again.")
        with open(path, "rb") as stream:
            content = stream.read(LARGEST + 1)
    except OSError as error:
        raise GradingError(f"it cannot be read: {error.strerror}.") from None
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


def exercise_number(notebook, name):
    """The number in a notebook's metadata, else the first digits of the file's name.

    Raises:
        GradingError: if neither is the number of an exercise.
    """
    known = numbers()
    number = _dict(_dict(notebook.get("metadata")).get("vaekit")).get("exercise")
    if number is None and (digits := re.match(r"\d+", name)):
        number = digits[0]
    if number not in known:
        raise GradingError(
            f"it names no exercise: expected its number, one of {', '.join(known)}, in the metadata (vaekit.exercise) "
            f"or at the start of the file's name; found {clean(reprlib.repr(number), 40)}."
        )
    return number


def code_cells(notebook):
    """Sources of the code cells in their order, but those that only hold nbgrader's tests."""
    return [source for source, tested in _cells(notebook) if not tested]


def tested_after(notebook):
    """Where questions are tested, {name: number of code cells before}, by the names that nbgrader's tests have."""
    places, n = {}, 0
    for _, tested in _cells(notebook):
        if tested:
            places.setdefault(tested.removesuffix("-test"), n)
        else:
            n += 1
    return places


def _cells(notebook):
    """(source, "" or the name of nbgrader's test) of each code cell that is not empty."""
    for cell in notebook["cells"]:
        graded = _dict(_dict(cell.get("metadata")).get("nbgrader"))
        source = cell.get("source", "")
        if isinstance(source, list):
            source = "".join(part for part in source if isinstance(part, str))
        tests = graded.get("grade") is True and graded.get("solution") is not True
        if cell.get("cell_type") == "code" and isinstance(source, str) and source.strip():
            yield source, str(graded.get("grade_id") or "test") if tests else ""


def _dict(value):
    return value if isinstance(value, dict) else {}


def clean(text, most=600):
    """A text that came from graded code or a notebook, made short, without control characters, and without TeX."""
    text = text if isinstance(text, str) else reprlib.repr(text) if isinstance(text, (list, dict)) else str(text)
    text = "".join(" " if unicodedata.category(c).startswith(("C", "Z")) else c for c in text[: 4 * most])
    text = " ".join(text.split()).replace("$", "＄")
    return text if len(text) <= most else f"{text[:most]} …"
