"""Exercises as notebooks: written once, together with their solutions, and released without them.

`solutions/source/NN_name.py` is what people edit (see `scripts`). Two notebooks are made from it:

- `solutions/NN_name/NN_name.ipynb` is read: executed, with each answer checked.
- `exercises/NN_name/NN_name.ipynb` is worked on: released by nbgrader, without answers and what explains them.

`build` makes them, `check` finds where they have drifted apart from their script, and executes nothing. nbgrader's own
notebooks, which hold solutions and hidden tests, are generated where a class is laid out (see `nbgrader`).
"""

import re
from pathlib import Path

from vaekit.course.publishing import scripts
from vaekit.course.publishing.lessons import (
    METADATA,
    NotebookError,
    compare,
    execute,
    nbformat,
    place,
    refuse,
    save,
    text,
)
from vaekit.course.publishing.nbgrader.notebooks import generate, release

CHECK = "-check"  # ends the ids of cells that check an answer
FULL_MARKS = re.compile(r"(?<![\d.])([\d.]+) of \1 points?\b")


def sources(directory: Path, only=()) -> list[Path]:
    """Lists the scripts in `directory/solutions/source`, with those that its notebooks should have.

    Args:
        directory: of the course.
        only: numbers of exercises, such as "01"; none: all.

    Raises:
        NotebookError: there are none.
    """
    directory = Path(directory)
    stems = {path.stem for path in directory.glob("solutions/source/*.py")}
    for folder in ("solutions", "exercises"):
        stems |= {path.stem for path in directory.glob(f"{folder}/*/*.ipynb") if path.stem == path.parent.name}
    if not stems:
        raise NotebookError(f"No exercises in {directory}: expected solutions/source/NN_name.py there.")
    numbers = {stem.split("_")[0] for stem in stems}
    if unknown := set(only) - numbers:
        known = ", ".join(sorted(numbers))
        raise NotebookError(f"No exercise {', '.join(sorted(unknown))} in {directory}; there are: {known}.")
    chosen = sorted(stem for stem in stems if not only or stem.split("_")[0] in only)
    return [directory / "solutions" / "source" / f"{stem}.py" for stem in chosen]


def targets(source: Path) -> tuple[Path, Path]:
    """`solutions/source/NN_name.py` → `solutions/NN_name/NN_name.ipynb` and `exercises/NN_name/NN_name.ipynb`."""
    notebook, solutions = Path(source.stem, f"{source.stem}.ipynb"), source.parent.parent
    return solutions / notebook, solutions.with_name("exercises") / notebook


def solution(source: Path) -> nbformat.NotebookNode:
    """Generates the notebook with the solutions of a script, not executed: behind each answer its check.

    Raises:
        NotebookError: what `scripts.read` refuses.
    """
    exercise, cells = scripts.read(source)
    notebook = nbformat.v4.new_notebook(metadata={**METADATA, "vaekit": {"exercise": exercise.number}})
    for cell in cells:
        notebook.cells.append(cell)
        if name := scripts.name_of(cell):
            cell.id = name
            checked = nbformat.v4.new_code_cell(scripts.check_call(cell, name), id=f"{name}{CHECK}")
            notebook.cells.append(checked)
            cell.source = _answer(cell.source, name)
        cell.metadata = {}
    nbformat.validate(notebook)
    return notebook


def _answer(code, name):
    """An answer without the comments around it, and without the line that holds the place of a number."""
    lines = [line for line in code.split("\n") if line.strip() not in scripts.MARKERS]
    return "\n".join(line for line in lines if not re.match(rf"{name} = \.\.\.", line))


def released(paths: list[Path]) -> dict[Path, str]:
    """Releases exercises: contents of `exercises/NN_name/NN_name.ipynb`, by path.

    Args:
        paths: of scripts.

    Raises:
        NotebookError: what `scripts.read` or nbgrader refuses.
    """
    contents = release({path.stem: generate(path) for path in paths})
    return {targets(path)[1]: text(nbformat.reads(contents[path.stem], 4)) for path in paths}


def build(source: Path) -> tuple[Path, Path]:
    """Generates both notebooks of a script, executes the solutions, and writes them; returns their paths.

    On an error the old notebooks stay as they were.

    Raises:
        NotebookError: what `scripts.read`, nbgrader or `lessons.execute` refuses, or an answer that is not right.
    """
    notebook, exercise = solution(source), released([source])
    path, _ = targets(source)
    path.parent.mkdir(parents=True, exist_ok=True)
    execute(notebook, source, path.parent)
    refuse(_unearned(notebook, source))
    for target, content in {path: text(notebook), **exercise}.items():
        save(target, content)
    return targets(source)


def check(paths: list[Path]) -> list[str]:
    """Lists where committed notebooks are not what their scripts generate. Executes nothing.

    Exercises are compared to the last byte, solutions in all but their outputs, which should be there, without errors,
    and show full marks.

    Args:
        paths: of scripts.
    """
    try:
        expected = {source: solution(source) for source in paths}
        contents = released(paths)
    except NotebookError as error:
        return str(error).splitlines()
    problems = []
    for source in paths:
        command = f"vaekit course build --only {source.stem.split('_')[0]}"
        solved, exercise = targets(source)
        problems += compare(solved, expected[source], source, command)
        if solved.is_file():
            problems += _unearned(nbformat.read(solved, as_version=4), solved)
        if not exercise.is_file():
            problems.append(f"{exercise}: missing. Run: {command}")
        elif exercise.read_bytes() != contents[exercise].encode():
            problems.append(f"{exercise}: differs from what its script generates. Run: {command}")
    return problems


def _unearned(notebook, path):
    """Lists the checks that do not show full marks."""
    problems = []
    for index, cell in enumerate(notebook.cells):
        shown = "".join(output.get("data", {}).get("text/markdown", "") for output in cell.get("outputs", []))
        if cell.id.endswith(CHECK) and not FULL_MARKS.search(shown):
            problems.append(f"{place(path, index, cell)}: does not show full marks: {shown or 'no verdict'}")
    return problems
