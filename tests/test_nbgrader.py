"""A class of a dozen, through nbgrader: what is released, graded, told, and exported."""

import copy
import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import nbformat
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook, new_output
from nbgrader.api import Gradebook
from nbgrader.utils import determine_grade

from vaekit.course import assignments, classroom, exercises
from vaekit.course.checking import Exercise

ROOT = Path(__file__).parents[1]
SMALL = Path(__file__).parent / "small_course"
NAME, SEED = "99_small", "48151623"

RIGHT = {
    "scaled": "def scaled(x, rate):\n    return x * ops.exp(rate)",
    "total": "def total(x):\n    return ops.sum(x, axis=-1)",
    "gap": "gap = 0.25",
}
NOISE = """
def noise():
    import logging, os, sys, warnings
    warnings.warn("from Python")
    logging.getLogger("learner").error("from a logger")
    print("printed", file=sys.stderr)
    os.write(2, b"at descriptor level")
    if ops.__name__ and __import__("keras").backend.backend() == "tensorflow":
        import tensorflow as tf
        tf.print("from TensorFlow")
        tf.function(lambda x: x + 1, jit_compile=True)(1.0)  # XLA announces itself
"""
LOUD = "get_ipython().ast_node_interactivity = 'all'\n"
MUTE = "get_ipython().ast_node_interactivity = 'none'\n"

# Who answers what (None: the stub), and the marks that it should earn.
CLASS = {
    "right": (RIGHT, (3, 2, 1)),
    "stub": ({}, (0, 0, 0)),
    "part": (  # a gradient that is cut; an average; a kernel that shows no results, so that nbgrader sees no mark
        {
            "scaled": "import keras\n\ndef scaled(x, rate):\n    return x * ops.exp(keras.ops.stop_gradient(rate))",
            "total": "def total(x):\n    return ops.mean(x, axis=-1)",
            "gap": MUTE + "gap = 0.25",
        },
        (2, 0, 0),
    ),
    "locked": (  # and edits every locked cell, below
        {"scaled": "def scaled(x, rate):\n    return x + rate", "total": RIGHT["total"], "gap": "gap = -0.25"},
        (0, 2, 0),
    ),
    "deleted": (RIGHT, (0, 2, 0)),  # below
    "foreign": (RIGHT, (3, 2, 1)),  # loses nbgrader's metadata, below
    "noisy": (
        {
            "scaled": NOISE + "\nnoise()\n\ndef scaled(x, rate):\n    noise()\n    return x * ops.exp(rate)",
            "total": "def total(x):\n    noise()\n    return ops.sum(x, axis=-1)",
            "gap": "noise()\ngap = 0.25",
        },
        (3, 2, 1),
    ),
    "raises": (
        {
            "scaled": "def scaled(x, rate):\n    raise ValueError('no idea')",
            "total": "def total(x):\n    import sys\n    sys.exit('enough')",
            "gap": "gap = 0.25\n1 / 0",
        },
        (0, 0, 1),
    ),
    "hangs": (
        {
            "scaled": RIGHT["scaled"] + "\n\nwhile True:  # hangs\n    pass",
            "total": "def total(x):\n    while True:\n        pass",
            "gap": RIGHT["gap"],
        },
        (3, 0, 1),
    ),
    "prints": (  # NumPy values where tensors and floats are expected; output of every kind
        {
            "scaled": LOUD + "print(2.0)\ndef scaled(x, rate):\n    print(99.0)\n    return x * ops.exp(rate)",
            "total": "def total(x):\n    display(99.0)\n    return ops.convert_to_numpy(x).sum(-1)",
            "gap": "import numpy as np\ngap = np.float64(0.25)\ngap",
        },
        (3, 2, 1),
    ),
    "redefines": (
        {
            "scaled": "exercise = 'mine'\n" + RIGHT["scaled"],
            "total": "Exercise = None\n" + RIGHT["total"],
            "gap": "class exercise:\n    check = mark = lambda *a, **k: 1.0\n\ngap = 4",
        },
        (3, 2, 0),
    ),
    "dies": ({**RIGHT, "total": "def total(x):\n    import os\n    os._exit(3)"}, (0, 0, 0)),
}


def by_role(notebook):
    return {cell.metadata.nbgrader.grade_id: cell for cell in notebook.cells if "nbgrader" in cell.metadata}


def hand_in(released, who):
    """The notebook that somebody hands in."""
    answers, _ = CLASS[who]
    notebook = copy.deepcopy(released)
    cells = by_role(notebook)
    for name, answer in answers.items():
        cells[name].source = answer
    if who == "locked":
        cells["given-1"].source += "\nExercise.mark = lambda *a: 3.0"
        for name in answers:
            cells[f"{name}-test"].source = "99.0"
            cells[f"{name}-test"].metadata.nbgrader.points = 99
    if who == "deleted":
        gone = [cells[name] for name in ("scaled", "total-test", "gap", "gap-test")]
        notebook.cells = [cell for cell in notebook.cells if cell not in gone]
    if who == "foreign":
        for name in ("scaled", "scaled-test", "given-1"):
            del cells[name].metadata["nbgrader"]
        del cells["gap"].metadata.nbgrader["schema_version"]
        cells["gap-test"].metadata["nbgrader"] = {"grade_id": ["?"]}
        draft = copy.deepcopy(cells["total"])  # an earlier attempt, copied with its metadata
        draft.update(id="draft", source="def total(x):\n    return x")
        notebook.cells.insert(notebook.cells.index(cells["total"]), draft)
    return notebook


SHORT = """
c.Execute.timeout_func = lambda cell: 3 if "# hangs" in cell.source else 8 if "check(total)" in cell.source else 120
"""


class Classroom:
    """A class directory, with what nbgrader said."""

    def __init__(self, directory, scratch):
        self.directory, self.said, self.scratch = directory, {}, scratch

    def nbgrader(self, *arguments):
        hidden = ("PYTEST_CURRENT_TEST", "TF_CPP_MIN_LOG_LEVEL")  # under the first, kernels do not watch descriptors
        environment = {name: value for name, value in os.environ.items() if name not in hidden}
        environment |= {"VAEKIT_SMALL_COURSE": str(SMALL / "exercises"), "VAEKIT_SEED": SEED}
        environment["VAEKIT_PROGRESS"] = str(self.scratch / "progress.json")
        done = subprocess.run(
            [sys.executable, "-m", "nbgrader", *arguments],
            cwd=self.directory,
            env=environment,
            capture_output=True,
            text=True,
        )
        self.said[arguments[0]] = done.stdout + done.stderr
        return done.returncode

    def submit(self, who, name, notebook):
        path = self.directory / "submitted" / who / name / f"{name}.ipynb"
        path.parent.mkdir(parents=True)
        nbformat.write(notebook, path)

    def graded(self, who, name=NAME):
        return nbformat.read(self.directory / "autograded" / who / name / f"{name}.ipynb", 4)

    def feedback(self, who, name=NAME):
        return (self.directory / "feedback" / who / name / f"{name}.html").read_text("utf-8")

    def marks(self, who, name=NAME):
        with Gradebook(f"sqlite:///{self.directory / 'gradebook.db'}", self.directory.name) as book:
            grades = book.find_submission_notebook(name, name, who).grades
            return {grade.name.removesuffix("-test"): grade.score for grade in grades}


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """The class, after all of nbgrader's commands."""
    scratch = tmp_path_factory.mktemp("course")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exercises, "__path__", [*exercises.__path__, str(SMALL / "exercises")])
        source = scratch / "solutions" / "source" / f"{NAME}.py"
        classroom.write(source, (SMALL / "solutions" / "source" / source.name).read_text("utf-8"))
        assignments.build([source])
    room = Classroom(scratch / "class", scratch)
    classroom.init(room.directory, scratch / "solutions")
    with open(room.directory / "nbgrader_config.py", "a") as config:
        config.write(SHORT)
    assert room.nbgrader("generate_assignment", NAME) == 0, room.said["generate_assignment"]
    released = nbformat.read(room.directory / "release" / NAME / f"{NAME}.ipynb", 4)
    for who in CLASS:
        room.submit(who, NAME, hand_in(released, who))
    room.autograded = room.nbgrader("autograde", NAME)
    room.fed_back = room.nbgrader("generate_feedback", NAME)
    room.exported = room.nbgrader("export")
    return room


# ---- the class


def test_release_is_the_exercise(room):
    released = room.directory / "release" / NAME / f"{NAME}.ipynb"
    assert nbformat.read(released, 4) == nbformat.read(room.scratch / "exercises" / NAME / f"{NAME}.ipynb", 4)


@pytest.mark.parametrize("who", CLASS)
def test_marks(room, who):
    assert tuple(room.marks(who)[name] for name in RIGHT) == CLASS[who][1]


def test_one_kernel_that_dies_stops_nobody_else(room):
    assert room.autograded == 1
    failed = re.findall(r"error processing assignment '99_small' for student '(\w+)'", room.said["autograde"])
    assert failed == ["dies"]


def test_export(room):
    assert room.exported == 0, room.said["export"]
    with open(room.directory / "grades.csv") as file:
        rows = {row["student_id"]: (float(row["score"]), float(row["max_score"])) for row in csv.DictReader(file)}
    assert rows == {who: (sum(marks), 6) for who, (_, marks) in CLASS.items()}


def test_marks_are_plain_floats(room):
    """What nbgrader reads is a Python float: of a NumPy or TensorFlow scalar it would make full marks."""
    shown = [
        output.data["text/plain"]
        for who in ("right", "part", "noisy", "prints")
        for cell in room.graded(who).cells
        if cell.metadata.get("nbgrader", {}).get("grade")
        for output in cell.outputs
        if output.output_type == "execute_result"
    ]
    assert shown == ["3.0", "2.0", "1.0", "2.0", "0.0", "3.0", "2.0", "1.0", "3.0", "2.0", "1.0"]


def test_feedback_says_what_is_wrong(room):
    assert room.fed_back == 0, room.said["generate_feedback"]
    part = room.feedback("part")
    assert "gradient of rate" in part and "you averaged; add up instead." in part
    assert "not answered yet" in room.feedback("stub")
    assert "no idea" in room.feedback("raises") and "enough" in room.feedback("raises")
    assert "name &#39;gap&#39; is not defined" in room.feedback("deleted")


@pytest.mark.parametrize("who", [who for who in CLASS if who != "dies"])
def test_feedback_hides_tests_and_seed(room, who):
    cells = [cell for cell in room.graded(who).cells if cell.metadata.get("nbgrader", {}).get("grade")]
    assert sum("HIDDEN TESTS" in cell.source for cell in cells) == 3  # they were there
    feedback = re.sub(r"<style.*?</style>|<script.*?</script>", "", room.feedback(who), flags=re.DOTALL)
    text = re.sub(r"<[^>]*>|\x1b\[[\d;]*m", "", feedback)  # highlighting splits names
    for hidden in ("HIDDEN TESTS", "exercise.mark", "globals()", SEED, "checking.py", "observers.py", "e99.py"):
        assert hidden not in text
    assert "exercise.check(total)" in text


def test_stderr_was_there_to_be_dropped(room):
    """The answer cells of the noisy one, which nobody marks, show what the kernel saw."""
    cells = {
        cell.metadata.nbgrader.grade_id: cell for cell in room.graded("noisy").cells if "nbgrader" in cell.metadata
    }
    heard = "".join(output.get("text", "") for output in cells["scaled"].outputs if output.get("name") == "stderr")
    for noise in ("from Python", "from a logger", "printed", "at descriptor level"):
        assert noise in heard
    if keras.backend.backend() == "tensorflow":
        assert "from TensorFlow" in heard and "XLA" in heard


def test_grading_leaves_the_graders_progress_alone(room):
    assert not (room.scratch / "progress.json").exists()


# ---- nbgrader's traps, one by one


def test_step_that_lets_numbers_alone_count():
    """What nbgrader makes of outputs, and what the class's configuration makes of them."""
    steps = {step.__name__: step for step in classroom.configuration(".").Autograde.autograde_preprocessors}
    step = steps["NumbersAlone"]

    def grade(*outputs):
        role = {"grade": True, "solution": False, "locked": True, "points": 2, "grade_id": "a"}
        cell = new_code_cell("", metadata={"nbgrader": role}, outputs=list(outputs))
        theirs = determine_grade(cell)[0] if "3.0" not in str(outputs) else None  # there nbgrader raises
        return theirs, determine_grade(step().preprocess_cell(cell, {}, 0)[0])[0]

    def result(text):
        return new_output("execute_result", {"text/plain": text})

    for text in ("np.float64(0.5)", "<tf.Tensor: shape=(), dtype=float32, numpy=0.5>", "nan", "-1.0", "'text'"):
        assert grade(result(text)) == (2, 0)
    assert grade() == (2, 0)
    assert grade(result("'all'"), result("0.5")) == (2, 0)
    assert grade(result("3.0")) == (None, 0)
    assert grade(result("0.5")) == (0.5, 0.5) and grade(result("1e-06")) == (1e-06, 1e-06)
    assert grade(new_output("stream", name="stdout", text="2.0"), result("0.5")) == (0.5, 0.5)
    assert grade(new_output("stream", name="stderr", text="careful"), result("2.0")) == (0, 0)


def test_check_in_nbgraders_hands(monkeypatch, tmp_path):
    monkeypatch.setattr(exercises, "__path__", [*exercises.__path__, str(SMALL / "exercises")])
    monkeypatch.setenv("VAEKIT_PROGRESS", str(tmp_path / "progress.json"))
    exercise = Exercise("99")
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    assert exercise.check(gap=0.25) is None
    monkeypatch.setenv("NBGRADER_EXECUTION", "validate")  # JupyterLab's button Validate
    assert (exercise.check(gap=0.25), exercise.check(gap=4), exercise.check(gap=...)) == (1.0, 0.0, 0.0)
    assert not (tmp_path / "progress.json").exists()
    monkeypatch.delenv("NBGRADER_EXECUTION")
    assert exercise.check(gap=0.25).right and (tmp_path / "progress.json").exists()


def test_tensorflow_starts_inside_a_graded_cell(monkeypatch):
    """TensorFlow announces itself at descriptor level; a graded cell that starts it keeps its marks."""
    for name in ("PYTEST_CURRENT_TEST", "TF_CPP_MIN_LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    source = assignments.sources(ROOT)[0]
    cells = by_role(assignments.generate(source))
    name = next(name for name in cells if f"{name}-test" in cells)
    graded = "\n".join(cells[key].source for key in ("given-1", name, f"{name}-test"))
    alone = "import tensorflow as tf\n\ntf.function(lambda x: x + 1, jit_compile=True)(1.0);"
    heard = []
    for cell in (new_code_cell(graded), new_code_cell(alone)):
        NotebookClient(new_notebook(cells=[cell]), timeout=120, kernel_name="python3").execute()
        heard.append("".join(o.text for o in cell.outputs if o.get("name") == "stderr"))
    assert heard[0] == "" and heard[1]


# ---- the course


@pytest.mark.parametrize("source", assignments.sources(ROOT), ids=lambda path: path.stem)
def test_solutions_of_the_course_earn_full_marks(room, source, tmp_path):
    solution, released = assignments.targets(source)
    course = Classroom(tmp_path / "class", tmp_path)
    classroom.init(course.directory, solution.parents[1])
    assert course.nbgrader("generate_assignment", source.stem) == 0, course.said
    for who, path in (("solution", solution), ("stub", released)):
        course.submit(who, source.stem, nbformat.read(path, 4))
    assert course.nbgrader("autograde", source.stem) == 0, course.said
    questions = Exercise(source.stem.split("_")[0]).questions
    assert course.marks("solution", source.stem) == {name: q.points for name, q in questions.items()}
    assert course.marks("stub", source.stem) == dict.fromkeys(questions, 0)
