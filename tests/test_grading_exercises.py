"""The course's exercises in `vaekit grade`: solutions earn every point, stubs none.

By the check in the notebook, and every wrong answer: test_exercises.py. By nbgrader: test_nbgrader.py.
"""

import json
import types
from pathlib import Path

import keras
import numpy as np
import pytest

from vaekit.backend import tfd
from vaekit.course.exercise import Exercise, numbers
from vaekit.course.grader.grade import grade_notebook
from vaekit.course.questions import Function

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("fast_processes")]

ROOT = Path(__file__).parents[1]


def notebook(folder, number):
    (path,) = (ROOT / folder).glob(f"{number}_*/*.ipynb")
    return path


def points(number):
    return {question.name: float(question.points) for question in Exercise(number).questions.values()}


@pytest.mark.parametrize("number", numbers())
def test_solutions_earn_every_point_and_stubs_none(number):
    solution = grade_notebook(notebook("solutions", number))
    assert {verdict.question: verdict.earned for verdict in solution.verdicts} == points(number), solution.notes
    stub = grade_notebook(notebook("exercises", number))
    assert {verdict.diagnosis for verdict in stub.verdicts} == {"unanswered"} and stub.earned == 0.0


def test_an_answer_is_called_where_the_notebook_tests_it(tmp_path):
    """A later cell may take the name of its helper, as it may in nbgrader; what comes late is found."""
    sources = {
        "first": "def helper(x):\n    return 2 * x\ndef first(x):\n    return helper(x)",
        "second": "def helper(x):\n    return 3 * x\ndef second(x):\n    return helper(x)",
        "late": "def late(x):\n    return later(x)",
        "after": "def later(x):\n    return 2 * x",
    }
    cells = []
    for name, source in sources.items():
        tests = {"grade": True, "solution": False, "grade_id": f"{name}-test"}
        cells.append({"cell_type": "code", "source": source, "metadata": {}})
        cells.append({"cell_type": "code", "source": "# tests", "metadata": {"nbgrader": tests}})
    path = tmp_path / "90.ipynb"
    path.write_text(json.dumps({"cells": cells}))
    twice = {
        name: Function(name, name, points=1, takes="x", draw=lambda rng: [{"x": np.ones(2)}], answer="return 2 * x")
        for name in ("late", "second", "first")
    }
    exercise = types.SimpleNamespace(number="90", title="Places", questions=twice)
    report = grade_notebook(path, exercise=exercise)
    assert {verdict.question: verdict.earned for verdict in report.verdicts} == {"late": 1, "second": 0, "first": 1}


def test_an_unanswered_method_costs_its_own_part(tmp_path):
    """`check`, nbgrader and `vaekit grade` give a layer whose `get_config` is a stub the same points."""
    book = json.loads(notebook("solutions", "02").read_text())
    for cell in book["cells"]:
        if cell["id"] == "GaussianImage":
            code = "".join(cell["source"])
    method = code.index("def get_config")
    code = code[:method] + "def get_config(self):\n        raise NotImplementedError()\n"
    namespace = {"keras": keras, "ops": keras.ops, "np": np, "tfd": tfd}
    exec(code, namespace)
    verdict = Exercise("02").verdict("GaussianImage", namespace["GaussianImage"])
    kinds = {part.name: part.diagnosis for part in verdict.parts if not part.right}
    assert kinds == {"config": "unanswered"} and 3 < verdict.earned < 4
    path = tmp_path / "02.ipynb"
    start = "".join(book["cells"][1]["source"])
    path.write_text(json.dumps({"cells": [{"cell_type": "code", "source": s, "metadata": {}} for s in (start, code)]}))
    verdicts = {verdict.question: verdict for verdict in grade_notebook(path).verdicts}
    assert verdicts["GaussianImage"].parts == verdict.parts
