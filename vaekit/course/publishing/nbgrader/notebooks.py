"""nbgrader's notebooks: its source notebook of an exercise, and the one that it releases to learners."""

import io
import logging
from pathlib import Path
from tempfile import TemporaryDirectory

try:
    from nbgrader.converters import GenerateAssignment
    from nbgrader.converters.base import NbGraderException
    from nbgrader.coursedir import CourseDirectory
    from traitlets.config.loader import Config, PyFileConfigLoader
except ImportError as error:
    raise ImportError(f"Exercises need {error.name}: pip install 'vaekit[course]'") from error

from vaekit.course.publishing import scripts
from vaekit.course.publishing.lessons import METADATA, NotebookError, nbformat, save, text

TEST = """\
### BEGIN HIDDEN TESTS
from vaekit.course.exercise import Exercise
exercise = Exercise("{number}")
### END HIDDEN TESTS
{check}
### BEGIN HIDDEN TESTS
exercise.mark("{name}", globals())
### END HIDDEN TESTS"""


def generate(source: Path) -> nbformat.NotebookNode:
    """Generates nbgrader's source notebook of a script, with solutions and hidden tests.

    Answers are nbgrader's solution cells, named like their questions; a graded cell follows each. Other code cells are
    locked: a class gets them back as they were written. `# %% locked=false` leaves one to the learner.

    Raises:
        NotebookError: what `scripts.read` refuses.
    """
    exercise, cells = scripts.read(source)
    locked_cells = 0
    notebook = nbformat.v4.new_notebook(metadata={**METADATA, "vaekit": {"exercise": exercise.number}})
    for cell in cells:
        name, locked = cell.metadata.pop("question", None), cell.metadata.pop("locked", True)
        notebook.cells.append(cell)
        if name:
            cell.id = name  # also where the solution is edited
            cell.metadata["nbgrader"] = _metadata(name, solution=True)
            notebook.cells.append(_graded(cell, name, exercise))
        elif cell.cell_type == "code" and locked and "tags" not in cell.metadata:
            locked_cells += 1
            cell.metadata["nbgrader"] = _metadata(f"given-{locked_cells}", locked=True)
    nbformat.validate(notebook)
    return notebook


def release(notebooks: dict[str, nbformat.NotebookNode]) -> dict[str, str]:
    """Makes what learners get: `nbgrader generate_assignment`, as configured in a class.

    Args:
        notebooks: source notebooks by name.

    Returns: contents of the released notebooks, by name.

    Raises:
        NotebookError: nbgrader refuses one.
    """
    with TemporaryDirectory() as directory:
        directory = Path(directory)
        for name, notebook in notebooks.items():
            save(directory / "source" / name / f"{name}.ipynb", text(notebook))
        config = configuration(directory)
        config.GenerateAssignment.no_database = True
        config.SaveCells.enabled = False
        messages, log = io.StringIO(), logging.Logger("nbgrader", logging.ERROR)
        log.addHandler(logging.StreamHandler(messages))
        course = CourseDirectory(config=config, assignment_id="*", log=log)
        try:
            GenerateAssignment(coursedir=course, config=config, log=log).start()
        except NbGraderException:
            raise NotebookError(f"nbgrader refuses to release:\n{messages.getvalue()}") from None
        return {name: (directory / "release" / name / f"{name}.ipynb").read_text("utf-8") for name in notebooks}


def configuration(directory) -> Config:
    """Reads nbgrader's configuration of a class, for use from Python.

    Args:
        directory: of the class.
    """
    config = PyFileConfigLoader("nbgrader_config.py", path=str(Path(__file__).parent)).load_config()
    config.CourseDirectory.root = str(directory)
    return config


def _graded(cell, name, exercise):
    """The cell that checks and marks an answer."""
    code = TEST.format(number=exercise.number, name=name, check=scripts.check_call(cell, name))
    test = nbformat.v4.new_code_cell(code, id=f"{name}-test")
    test.metadata["nbgrader"] = _metadata(test.id, grade=True, locked=True)
    test.metadata["nbgrader"]["points"] = exercise.questions[name].points
    return test


def _metadata(grade_id, grade=False, solution=False, locked=False):
    """What nbgrader reads of a cell."""
    role = {"grade": grade, "grade_id": grade_id, "locked": locked, "schema_version": 3, "solution": solution}
    return {**role, "task": False}
