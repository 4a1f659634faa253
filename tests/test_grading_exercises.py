"""The course's exercises in `vaekit grade`: solutions earn every point, stubs none.

By the check in the notebook, and every wrong answer: test_exercises.py. By nbgrader: test_nbgrader.py. Answers that
fail: test_grading_faults.py.
"""

import json
import types
from pathlib import Path

import numpy as np
import pytest

from vaekit.course.exercise import Exercise, numbers
from vaekit.course.grader import shell
from vaekit.course.grader.grade import grade_notebook
from vaekit.course.grader.usage import Limits
from vaekit.course.questions import Function

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]


def notebook(folder, number):
    (path,) = (ROOT / folder).glob(f"{number}_*/*.ipynb")
    return path


def points(number):
    return {question.name: float(question.points) for question in Exercise(number).questions.values()}


def code(source, **nbgrader):
    return {"cell_type": "code", "source": source, "metadata": {"nbgrader": nbgrader} if nbgrader else {}}


def graded(path, cells, questions, limits=None):
    """The report on cells, by some questions."""
    path.write_text(json.dumps({"cells": cells}))
    return grade_notebook(path, limits, exercise=types.SimpleNamespace(number="90", title="Cells", questions=questions))


@pytest.mark.thorough
@pytest.mark.parametrize("number", numbers())
def test_solutions_earn_every_point(number, tmp_path):
    """Handed in as learners do: the exercise, with the solutions' answers. (What else solutions show, others run.)"""
    answers = {cell["id"]: cell for cell in json.loads(notebook("solutions", number).read_text())["cells"]}
    book = json.loads(notebook("exercises", number).read_text())
    for cell in book["cells"]:
        if cell["id"] in points(number):
            cell["source"] = answers[cell["id"]]["source"]
    path = tmp_path / "handed_in.ipynb"
    path.write_text(json.dumps(book))
    report = grade_notebook(path)
    assert {verdict.question: verdict.earned for verdict in report.verdicts} == points(number) and not report.notes


@pytest.mark.thorough
def test_stubs_earn_none(tmp_path, fast_processes):
    """Of all exercises, one after the other in one notebook."""
    cells = [cell for n in numbers() for cell in json.loads(notebook("exercises", n).read_text())["cells"]]
    questions = {name: question for number in numbers() for name, question in Exercise(number).questions.items()}
    stub = graded(tmp_path / "stubs.ipynb", cells, questions)
    assert {verdict.diagnosis for verdict in stub.verdicts} == {"unanswered"} and stub.earned == 0.0


REPLACED = """
import numpy as np
from vaekit.course import observe
from vaekit.course.observe import random_layers


def forged(answer, inputs, takes, draws):
    mean, log_variance = inputs["mean"], inputs["log_variance"]
    nothing, one, spread = np.zeros(()), np.ones_like(mean), np.exp(log_variance / 2)
    names = ("rows", "dimensions", "calls", "same seed", "other seed", "no seed", "restored")
    told = {"centre": mean, "spread": spread, "kurtosis": 3 + nothing, "in a model": np.array([5.0, 3.0])}
    slopes = {"gradient of mean": one, "gradient of log_variance": 0 * one}
    squares = {"gradient of mean, root mean square": one, "gradient of log_variance, root mean square": spread / 2}
    return dict.fromkeys(names, nothing) | told | slopes | squares


Reparameterize = 0
observe.OBSERVERS["random_layer"] = random_layers.random_layer = forged
observe.measured = lambda name, found, *_: found
"""
LEAVES_LITTLE = {
    1: "kept = []\nwhile True:\n    kept.append('x' * 10**6)",
    2: "caught = []\ntry:\n    while True:\n        caught.append('x' * 10**6)\nexcept MemoryError:\n    pass",
}
LEAVES_NOTHING = "import numpy as np\nnp.zeros(10**13)"  # a MemoryError too
MODULE = "%%writefile mine.py\nfrom keras import ops\n\n\ndef root(x):\n    return ops.exp(x / 2)"
IMPORTS_IT = """
import mine


def gaussian_sample(mean, log_variance, noise):
    return mean + mine.root(log_variance) * noise
"""
PLACES = {
    "first": "def helper(x):\n    return 2 * x\ndef first(x):\n    return helper(x)",
    "second": "def helper(x):\n    return 3 * x\ndef second(x):\n    return helper(x)",
    "late": "def late(x):\n    return later(x)",
    "after": "def later(x):\n    return 2 * x",
}


@pytest.mark.thorough
def test_what_cells_do_to_each_other(tmp_path, fast_processes):
    """All of it in one notebook.

    A cell that leaves too little memory for those that follow is left out, whatever it made of the error. Modules that
    a cell wrote can be imported. Who replaces what observes a layer has still to draw. An answer is called where the
    notebook tests it: a later cell may take the name of its helper, as it may in nbgrader; what comes late is found.
    """
    cells = [code(source) for source in (*LEAVES_LITTLE.values(), LEAVES_NOTHING, MODULE, IMPORTS_IT, REPLACED)]
    for name, source in PLACES.items():
        cells += [code(source), code("# tests", grade=True, solution=False, grade_id=f"{name}-test")]
    known = Exercise("01").questions
    questions = {name: known[name] for name in ("gaussian_sample", "Reparameterize")} | {
        name: Function(name, name, points=1, takes="x", draw=lambda rng: [{"x": np.ones(2)}], answer="return 2 * x")
        for name in ("late", "second", "first")
    }
    report = graded(tmp_path / "90.ipynb", cells, questions, Limits(memory=3 << 29))
    expected = {"gaussian_sample": 2, "Reparameterize": 0, "late": 1, "second": 0, "first": 1}
    assert {verdict.question: verdict.earned for verdict in report.verdicts} == expected
    notes = {int(note.split(":")[0].split()[-1]): note for note in report.notes if note.startswith("Code")}
    left_out = {number for number, note in notes.items() if "It left too little memory for what comes after" in note}
    assert (set(notes), left_out) == ({1, 2, 3}, set(LEAVES_LITTLE)), notes


@pytest.mark.thorough
def test_what_later_steps_lack(monkeypatch):
    def refuse(*_, **__):
        raise RuntimeError("can't start new thread")

    assert shell.lacks(1 << 20) == "" and shell.lacks(1 << 60) == "memory"
    with monkeypatch.context() as patch:
        patch.setattr(shell.threading.Thread, "start", refuse)
        assert shell.lacks(1 << 20) == "threads"
    soft, hard = shell.resource.getrlimit(shell.resource.RLIMIT_NOFILE)
    try:
        shell.resource.setrlimit(shell.resource.RLIMIT_NOFILE, (8, hard))
        assert shell.lacks(1 << 20) == "files"
    finally:
        shell.resource.setrlimit(shell.resource.RLIMIT_NOFILE, (soft, hard))
