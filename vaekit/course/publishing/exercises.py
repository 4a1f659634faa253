"""Exercises as notebooks: written once, together with their solutions, and released without them.

- `solutions/source/NN_name.py` (jupytext's percent format) is what people edit. A cell that answers a question starts
  with `# %% question="its_name"` and has its solution between `### BEGIN SOLUTION` and `### END SOLUTION`; cells that
  explain the solution, text or code, are tagged: `# %% [markdown] tags=["solution"]`.
- `solutions/NN_name/NN_name.ipynb` is nbgrader's source notebook: the same cells, and after each answer a graded one.
- `exercises/NN_name/NN_name.ipynb` is what learners get, made of it by `nbgrader generate_assignment`.

`build` makes the second and the third from the first, `check` finds where they have drifted apart. Nothing is executed.
"""

import ast
import io
import logging
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

try:
    from nbgrader.converters import GenerateAssignment
    from nbgrader.converters.base import NbGraderException
    from nbgrader.coursedir import CourseDirectory
except ImportError as error:
    raise ImportError(f"Exercises need {error.name}: pip install 'vaekit[course]'") from error

from vaekit.course.exercise import Exercise
from vaekit.course.publishing import nbgrader
from vaekit.course.publishing.lessons import METADATA, NotebookError, cells, nbformat, place, refuse

TEST = """\
### BEGIN HIDDEN TESTS
from vaekit.course.exercise import Exercise
exercise = Exercise("{number}")
### END HIDDEN TESTS
exercise.check({answer})
### BEGIN HIDDEN TESTS
exercise.mark("{name}", globals())
### END HIDDEN TESTS"""


def sources(directory: Path) -> list[Path]:
    """The scripts in `directory/solutions/source`, those that its notebooks should have among them.

    Raises:
        NotebookError: there are none.
    """
    directory = Path(directory)
    stems = {path.stem for path in directory.glob("solutions/source/*.py")}
    for room in ("solutions", "exercises"):
        stems |= {path.stem for path in directory.glob(f"{room}/*/*.ipynb") if path.stem == path.parent.name}
    if not stems:
        raise NotebookError(f"No exercises in {directory}: expected solutions/source/NN_name.py there.")
    return [directory / "solutions" / "source" / f"{stem}.py" for stem in sorted(stems)]


def targets(source: Path) -> tuple[Path, Path]:
    """`solutions/source/NN_name.py` → `solutions/NN_name/NN_name.ipynb` and `exercises/NN_name/NN_name.ipynb`."""
    notebook, solutions = Path(source.stem, f"{source.stem}.ipynb"), source.parent.parent
    return solutions / notebook, solutions.with_name("exercises") / notebook


def generate(source: Path) -> nbformat.NotebookNode:
    """nbgrader's source notebook of one script.

    Answers are nbgrader's solution cells, named like their questions. Other code cells are locked: a class gets them
    back as they were written. `# %% locked=false` leaves one to the learner.

    Raises:
        NotebookError: no such script, or what would otherwise show only in a class: a question that is not asked, one
            that there is not, an answer without a solution to take out, a key that nothing reads.
    """
    if not source.is_file():
        raise NotebookError(f"{source}: no such script; {source.stem}.ipynb is generated from it.")
    number = source.stem.split("_")[0]
    try:
        exercise = Exercise(number)
    except ValueError as error:
        raise NotebookError(f"{source}: {error}") from None
    written = cells(source)
    refuse([*_problems(source, written, exercise)])
    given = 0
    notebook = nbformat.v4.new_notebook(metadata={**METADATA, "vaekit": {"exercise": number}})
    for cell in written:
        name, locked = cell.metadata.pop("question", None), cell.metadata.pop("locked", True)
        notebook.cells.append(cell)
        if name:
            cell.id = name  # also where the solution is edited
            cell.metadata["nbgrader"] = _role(name, solution=True)
            answer = name if _defines(cell, name) else f"{name}={name}"
            test = nbformat.v4.new_code_cell(TEST.format(number=number, name=name, answer=answer), id=f"{name}-test")
            test.metadata["nbgrader"] = _role(test.id, grade=True, locked=True)
            test.metadata["nbgrader"]["points"] = exercise.questions[name].points
            notebook.cells.append(test)
        elif cell.cell_type == "code" and locked and "tags" not in cell.metadata:
            given += 1
            cell.metadata["nbgrader"] = _role(f"given-{given}", locked=True)
    nbformat.validate(notebook)
    return notebook


def release(notebooks: dict[str, nbformat.NotebookNode]) -> dict[str, str]:
    """What learners get: `nbgrader generate_assignment`, as configured in a class.

    Args:
        notebooks: source notebooks by name.

    Returns: texts of the released notebooks, by name.

    Raises:
        NotebookError: nbgrader refuses one.
    """
    with TemporaryDirectory() as directory:
        directory = Path(directory)
        for name, notebook in notebooks.items():
            nbgrader.write(directory / "source" / name / f"{name}.ipynb", _text(notebook))
        config = nbgrader.configuration(directory)
        config.GenerateAssignment.no_database = True
        config.SaveCells.enabled = False
        said, log = io.StringIO(), logging.Logger("nbgrader", logging.ERROR)
        log.addHandler(logging.StreamHandler(said))
        course = CourseDirectory(config=config, assignment_id="*", log=log)
        try:
            GenerateAssignment(coursedir=course, config=config, log=log).start()
        except NbGraderException:
            raise NotebookError(f"nbgrader refuses to release:\n{said.getvalue()}") from None
        return {name: (directory / "release" / name / f"{name}.ipynb").read_text("utf-8") for name in notebooks}


def build(scripts: list[Path]) -> list[Path]:
    """Writes both notebooks of each script; returns their paths. On an error all stays as it was."""
    written = []
    for path, text in _texts(scripts).items():
        nbgrader.write(path, text)
        written.append(path)
    return written


def check(scripts: list[Path]) -> list[str]:
    """Where committed notebooks are not, to the last byte, what their scripts generate; empty when all is well."""
    try:
        expected = _texts(scripts)
    except NotebookError as error:
        return str(error).splitlines()
    return [
        f"{path}: {'differs from what its script generates' if path.is_file() else 'missing'}. Run: vaekit course build"
        for path, text in expected.items()
        if not path.is_file() or path.read_bytes() != text.encode()
    ]


def _texts(scripts):
    """What to write: {path: text}, solutions and exercises."""
    generated = {source.stem: generate(source) for source in scripts}
    released, found = release(generated), {}
    for source in scripts:
        solution, exercise = targets(source)
        found |= {solution: _text(generated[source.stem]), exercise: _text(nbformat.reads(released[source.stem], 4))}
    return found


def _text(notebook):
    return nbformat.writes(notebook) + "\n"


def _role(grade_id, grade=False, solution=False, locked=False):
    """A cell's metadata for nbgrader."""
    role = {"grade": grade, "grade_id": grade_id, "locked": locked, "schema_version": 3, "solution": solution}
    return {**role, "task": False}


def _defines(cell, name):
    """Whether a cell has `def name` or `class name`; else the answer is a value."""
    kinds = (ast.FunctionDef, ast.ClassDef)
    return any(isinstance(node, kinds) and node.name == name for node in ast.parse(cell.source).body)


def _parses(cell):
    try:
        return bool(ast.parse(cell.source).body)
    except SyntaxError:
        return False


def _problems(source, written, exercise):
    """What is wrong with the cells of a script."""
    asked = Counter(cell.metadata["question"] for cell in written if "question" in cell.metadata)
    for name in exercise.questions:
        if asked[name] != 1:
            yield f"{source}: question {name!r} is asked {asked[name]} times; expected one cell: # %% question={name!r}"
    first = next((cell for cell in written if cell.cell_type == "code"), None)
    setup = f'exercise = Exercise("{exercise.number}")'
    if first is None or setup not in first.source or "question" in first.metadata:
        yield f"{source}: the first code cell should contain: {setup}"
    for index, cell in enumerate(written):
        where, name = place(source, index, cell), cell.metadata.get("question")
        if unknown := set(cell.metadata) - {"question", "locked", "tags"}:
            yield f"{where}: nothing reads {', '.join(sorted(unknown))}; known are question, locked and tags."
        if cell.metadata.get("tags", ["solution"]) != ["solution"] or ("tags" in cell.metadata and name):
            yield f"{where}: the only tag is 'solution', for what explains an answer, not for the answer."
        solved = [line.strip() for line in cell.source.split("\n") if " SOLUTION" in line]
        if name is None:
            if solved:
                yield f"{where}: has a solution and answers no question; start it with # %% question=..."
            continue
        if name not in exercise.questions:
            yield f"{where}: there is no question {name!r}; there are: {', '.join(exercise.questions)}."
        if cell.cell_type != "code" or not _parses(cell):
            yield f"{where}: an answer should be Python code."
        elif solved != ["### BEGIN SOLUTION", "### END SOLUTION"] * (len(solved) // 2) or not solved:
            yield f"{where}: the solution should stand between ### BEGIN SOLUTION and ### END SOLUTION."
        if "HIDDEN TESTS" in cell.source:
            yield f"{where}: hidden tests are added here, and only behind answers."
