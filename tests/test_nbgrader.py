"""A class, through nbgrader: what is released, graded, told, and exported."""

import copy
import csv
import importlib.util
import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from filelock import FileLock
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook, new_output
from nbgrader.api import Gradebook
from nbgrader.utils import determine_grade

from vaekit import backend
from vaekit.course import exercises
from vaekit.course.exercise import Exercise
from vaekit.course.grader.grade import grade_notebook
from vaekit.course.grader.usage import Limits
from vaekit.course.publishing import exercises as publishing
from vaekit.course.publishing import nbgrader as classroom
from vaekit.course.publishing.lessons import save
from vaekit.course.publishing.nbgrader.notebooks import configuration, generate

pytestmark = [pytest.mark.once, pytest.mark.thorough]

ROOT = Path(__file__).parents[1]
SMALL = Path(__file__).parent / "small_course"
NAME, SEED = "99_small", "48151623"
# The last set: numbers, functions, layers, what is mended, planned, and trained. All sets: test_grading_exercises.py
COURSE = publishing.sources(ROOT)[-1:]

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
    import keras
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf
        tf.function(lambda x: x + 1, jit_compile=True)(1.0)  # XLA announces itself
"""
LOUD = "get_ipython().ast_node_interactivity = 'all'\n"
MUTE = "get_ipython().ast_node_interactivity = 'none'\n"

# Who answers what (None: the stub), and the marks that it should earn.
CLASS = {
    "stub": ({}, (0, 0, 0)),
    "part": (  # a gradient that is cut; an average; a kernel that is told to show no results
        {
            "scaled": "import keras\n\ndef scaled(x, rate):\n    return x * ops.exp(keras.ops.stop_gradient(rate))",
            "total": "def total(x):\n    return ops.mean(x, axis=-1)",
            "gap": MUTE + "gap = 0.25",
        },
        (2, 0, 1),
    ),
    "locked": (  # raises errors, and edits every locked cell, below
        {
            "scaled": "def scaled(x, rate):\n    raise ValueError('no idea')",
            "total": "def total(x):\n    import sys\n    sys.exit('enough')",
            "gap": "gap = 0.25\n1 / 0",
        },
        (0, 0, 1),
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
    "hangs": (
        {
            "scaled": f"import time\n{RIGHT['scaled']}\n\nwhile True:  # hangs\n    time.sleep(0.1)",
            "total": "def total(x):\n    while True:\n        time.sleep(0.1)",
            "gap": "import numpy as np\ngap = np.float64(0.25)\ngap",
        },
        (3, 0, 1),
    ),
    "redefines": (  # what marks are made with; and shows output of every kind, NumPy values where tensors are expected
        {
            "scaled": LOUD + "exercise = 'mine'\nprint(2.0)\n"
            "def scaled(x, rate):\n    print(99.0)\n    return x * ops.exp(rate)",
            "total": "Exercise = None\ndef total(x):\n    display(99.0)\n    return ops.convert_to_numpy(x).sum(-1)",
            "gap": "import numpy as np\nexercise.__class__.mark = lambda *a: np.float64(1.0)\ngap = 4",
        },
        (3, 2, 0),
    ),
    "imports": (RIGHT, (3, 2, 1)),  # breaks the locked cell, below
    "late": ({**RIGHT, "total": "def total(x):\n    return added(x)"}, (3, 0, 1)),  # its helper comes last, below
    "dies": ({**RIGHT, "total": "def total(x):\n    import os\n    os._exit(3)"}, (0, 0, 0)),
}
BY_VAEKIT = {  # the marks that `vaekit grade` gives, where they are others: nbgrader/README.md says why
    "imports": (0, 0, 1),
    "late": (3, 2, 1),
    "dies": (3, 0, 1),
}
ON_TENSORFLOW = ("noisy",)  # JAX starts in half of its time


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
    if who == "imports":
        cells["given-1"].source += "\n)"
    if who == "late":
        notebook.cells.append(new_code_cell("def added(x):\n    return ops.sum(x, axis=-1)"))
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

COMMANDS = r"""
import json, os, sys
from nbgrader.apps.nbgraderapp import main

for folder, backend, command in json.loads(sys.argv[1]):
    if not os.fork():  # a process for each, in which nbgrader is imported already
        os.chdir(folder)
        os.environ["KERAS_BACKEND"] = backend
        sys.argv = ["nbgrader", *command.split()]
        sys.exit(main())
    print(f"\0{os.waitstatus_to_exitcode(os.wait()[1])}\0", end="", flush=True)
"""


class Classroom:
    """A class directory, with what nbgrader said."""

    def __init__(self, directory, scratch, on):
        self.directory, self.scratch, self.backend = directory, scratch, on
        self.said, self.status = {}, {}  # by command

    def submitted(self, who, name=NAME):
        return self.directory / "submitted" / who / name / f"{name}.ipynb"

    def submit(self, who, name, notebook):
        path = self.submitted(who, name)
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


def nbgrader(scratch, calls):
    """Runs nbgrader: `calls` are pairs of a `Classroom`, which is told the outcome, and a command."""
    hidden = ("PYTEST_CURRENT_TEST", "TF_CPP_MIN_LOG_LEVEL")  # under the first, kernels do not watch descriptors
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment |= {"VAEKIT_SMALL_COURSE": str(SMALL / "exercises"), "VAEKIT_SEED": SEED}
    environment |= {"VAEKIT_PROGRESS": str(scratch / "progress.json")}
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, json.dumps([(str(r.directory), r.backend, command) for r, command in calls])],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    *parts, rest = done.stdout.split("\0")
    assert (done.returncode, rest, len(parts)) == (0, "", 2 * len(calls)), done.stdout
    for (room, command), said, status in zip(calls, parts[::2], parts[1::2], strict=True):
        name = command.removesuffix(f" {NAME}")
        room.said[name], room.status[name] = said, int(status)


@pytest.fixture(scope="module")
def rooms(tmp_path_factory, worker_id):
    """Who sits in which `Classroom`, after all of nbgrader's commands; made once for all of pytest's workers."""
    folder = tmp_path_factory.getbasetemp() if worker_id == "master" else tmp_path_factory.getbasetemp().parent
    kept = folder / "class.pickle"
    with FileLock(folder / "class.lock"):
        if not kept.exists():
            kept.write_bytes(pickle.dumps(graded_rooms(folder / "class")))
        return pickle.loads(kept.read_bytes())


def graded_rooms(scratch):
    """Two rooms, on a backend each where both are installed; the author of the course sits where it trains faster."""
    both = all(map(importlib.util.find_spec, ("tensorflow", "jax")))
    for script in (SMALL / "solutions" / "source" / f"{NAME}.py", *COURSE):
        save(scratch / "solutions" / "source" / script.name, script.read_text("utf-8"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exercises, "__path__", [*exercises.__path__, str(SMALL / "exercises")])
        ((path, content),) = publishing.released([scratch / "solutions" / "source" / f"{NAME}.py"]).items()
        save(path, content)
        rooms = [
            Classroom(scratch / f"class-{name}", scratch, name if both else backend.NAME)
            for name in ("tensorflow", "jax")
        ]
        for room in rooms:
            classroom.init(room.directory, scratch / "solutions")
    tensorflow, jax = rooms
    with open(jax.directory / "nbgrader_config.py", "a") as config:
        config.write(SHORT)
    released = nbformat.read(path, 4)
    seats = {who: tensorflow if who in ON_TENSORFLOW else jax for who in CLASS}
    for who, room in seats.items():
        room.submit(who, NAME, hand_in(released, who))
    for source in COURSE:
        tensorflow.submit("author", source.stem, generate(source))
    steps = (f"generate_assignment {NAME}", f"autograde {NAME}", f"generate_feedback {NAME}", "export")
    calls = [(room, step) for room in rooms for step in steps]
    calls += [(tensorflow, f"{step} {path.stem}") for path in COURSE for step in ("generate_assignment", "autograde")]
    nbgrader(scratch, calls)
    return seats | {"author": tensorflow}


# ---- the class


def test_release_is_the_exercise(rooms):
    for room in set(rooms.values()):
        released = room.directory / "release" / NAME / f"{NAME}.ipynb"
        assert room.status["generate_assignment"] == 0, room.said["generate_assignment"]
        assert nbformat.read(released, 4) == nbformat.read(room.scratch / "exercises" / NAME / f"{NAME}.ipynb", 4)


@pytest.mark.parametrize("who", CLASS)
def test_marks(rooms, who):
    assert tuple(rooms[who].marks(who)[name] for name in RIGHT) == CLASS[who][1]


@pytest.mark.parametrize("who", [who for who in CLASS if who not in ("stub", "hangs")])  # those: test_attacks.py
def test_vaekit_grade_gives_the_same_marks(rooms, who, monkeypatch, fast_processes):
    monkeypatch.setattr(exercises, "__path__", [*exercises.__path__, str(SMALL / "exercises")])
    report = grade_notebook(rooms[who].submitted(who), Limits(cell=3.0))
    assert tuple(verdict.earned for verdict in report.verdicts) == BY_VAEKIT.get(who, CLASS[who][1])
    edited = [note for note in report.notes if "was edited" in note]
    assert edited == ["Cell `given-1` of the exercise was edited; it ran as it was handed in."] * (
        who in ("locked", "imports")
    )


def test_one_kernel_that_dies_stops_nobody_else(rooms):
    said = rooms["dies"].said["autograde"]
    assert rooms["dies"].status["autograde"] == 1 and rooms["noisy"].status["autograde"] == 0
    assert re.findall(r"error processing assignment '99_small' for student '(\w+)'", said) == ["dies"]


def test_export(rooms):
    rows = {}
    for room in set(rooms.values()):
        assert room.status["export"] == 0, room.said["export"]
        with open(room.directory / "grades.csv") as file:
            rows |= {row["student_id"]: (float(row["score"]), float(row["max_score"])) for row in csv.DictReader(file)}
    assert rows == {who: (sum(marks), 6) for who, (_, marks) in CLASS.items()}


def test_marks_are_plain_floats(rooms):
    """What nbgrader reads is a Python float: of a NumPy or TensorFlow scalar it would make full marks."""
    shown = [
        output.data["text/plain"]
        for who in ("foreign", "part", "noisy", "hangs", "redefines")
        for cell in rooms[who].graded(who).cells
        if cell.metadata.get("nbgrader", {}).get("grade")
        for output in cell.outputs
        if output.output_type == "execute_result"
    ]
    assert shown == "2.0 3.0 1.0 2.0 0.0 1.0 3.0 2.0 1.0 3.0 1.0 3.0 2.0".split()  # restored tests come last


def test_feedback_says_what_is_wrong(rooms):
    def says(who):
        assert rooms[who].status["generate_feedback"] == 0, rooms[who].said["generate_feedback"]
        return rooms[who].feedback(who)

    assert "gradient of rate" in says("part") and "you averaged; add up instead." in says("part")
    assert "not answered yet" in says("stub")
    assert "no idea" in says("locked") and "enough" in says("locked")
    assert "NameError: name 'gap' is not defined" in says("deleted")
    assert "NoMark: expected points, received np.float64(1.0)" in says("redefines")


@pytest.mark.parametrize("who", [who for who in CLASS if who != "dies"])
def test_feedback_hides_tests_and_seed(rooms, who):
    cells = [cell for cell in rooms[who].graded(who).cells if cell.metadata.get("nbgrader", {}).get("grade")]
    assert sum("HIDDEN TESTS" in cell.source for cell in cells) == 3  # they were there
    feedback = re.sub(r"<style.*?</style>|<script.*?</script>", "", rooms[who].feedback(who), flags=re.DOTALL)
    text = re.sub(r"<[^>]*>|\x1b\[[\d;]*m", "", feedback)  # highlighting splits names
    for hidden in ("HIDDEN TESTS", "exercise.mark", "globals()", SEED, "exercise.py", "functions.py", "e99.py"):
        assert hidden not in text
    assert "exercise.check(total)" in text


def test_stderr_was_there_to_be_dropped(rooms):
    """The answer cells of the noisy one, which nobody marks, show what the kernel saw."""
    cells = by_role(rooms["noisy"].graded("noisy"))
    heard = "".join(output.get("text", "") for output in cells["scaled"].outputs if output.get("name") == "stderr")
    for noise in ("from Python", "from a logger", "printed", "at descriptor level"):
        assert noise in heard
    if rooms["noisy"].backend == "tensorflow":
        assert "Compiled cluster using XLA" in heard


def test_grading_leaves_the_graders_progress_alone(rooms):
    assert not (rooms["stub"].scratch / "progress.json").exists()


# ---- nbgrader's traps, one by one


def test_step_that_lets_numbers_alone_count():
    """What nbgrader makes of outputs, and what the class's configuration makes of them."""
    steps = {step.__name__: step for step in configuration(".").Autograde.autograde_preprocessors}
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
    assert grade(result("2.0"), new_output("error", ename="E", evalue="", traceback=[])) == (2, 0)
    assert grade(result("0.5")) == (0.5, 0.5) and grade(result("1e-06")) == (1e-06, 1e-06)
    assert grade(new_output("stream", name="stdout", text="2.0"), result("0.5")) == (0.5, 0.5)
    assert grade(new_output("stream", name="stderr", text="careful"), result("2.0")) == (0, 2)


def test_pages_have_roomy_tables(rooms):
    """One cell more, with a style, in feedback and formgrader; what else is there stays."""
    (step,) = configuration(".").HTMLExporter.preprocessors
    notebook = new_notebook(cells=[new_code_cell("1")])
    (first, style) = step().preprocess(copy.deepcopy(notebook), {})[0].cells
    assert first == notebook.cells[0] and style.source in rooms["part"].feedback("part")


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
    """TensorFlow announces itself at descriptor level; nbgrader gives no marks to a cell on whose stderr it does.

    Where nobody drops it, it is heard: `test_stderr_was_there_to_be_dropped`.
    """
    for name in ("PYTEST_CURRENT_TEST", "TF_CPP_MIN_LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    cells = by_role(generate(publishing.sources(ROOT)[0]))
    name = next(name for name in cells if f"def {name}(" in cells[name].source)
    noisy = f"{NOISE}\nquiet = {name}\n\ndef {name}(**inputs):\n    noise()\n    return quiet(**inputs)"
    graded = "\n".join([cells["given-1"].source, cells[name].source, noisy, cells[f"{name}-test"].source])
    cell = new_code_cell(graded)
    NotebookClient(new_notebook(cells=[cell]), timeout=120, kernel_name="python3").execute()
    assert [output.output_type for output in cell.outputs] == ["display_data", "execute_result"]
    assert float(cell.outputs[1].data["text/plain"]) == cells[f"{name}-test"].metadata.nbgrader.points


# ---- the course


@pytest.mark.parametrize("source", COURSE, ids=lambda path: path.stem)
def test_solutions_of_the_course_earn_full_marks(source, rooms):
    room = rooms["author"]
    for command in ("generate_assignment", "autograde"):
        assert room.status[f"{command} {source.stem}"] == 0, room.said[f"{command} {source.stem}"]
    questions = Exercise(source.stem.split("_")[0]).questions
    assert room.marks("author", source.stem) == {name: question.points for name, question in questions.items()}
