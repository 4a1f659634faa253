"""The course's exercises in `vaekit grade`: solutions earn every point, stubs none.

By the check in the notebook, and every wrong answer: test_exercises.py. By nbgrader: test_nbgrader.py.
"""

from pathlib import Path

import pytest

from vaekit.course import grading
from vaekit.course.checking import Exercise, numbers

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]


def notebook(folder, number):
    (path,) = (ROOT / folder).glob(f"{number}_*/*.ipynb")
    return path


def points(number):
    return {question.name: float(question.points) for question in Exercise(number).questions.values()}


@pytest.mark.parametrize("number", numbers())
def test_solutions_earn_every_point_and_stubs_none(number):
    solution = grading.grade(notebook("solutions", number))
    assert {verdict.question: verdict.earned for verdict in solution.verdicts} == points(number), solution.notes
    stub = grading.grade(notebook("exercises", number))
    assert {verdict.diagnosis for verdict in stub.verdicts} == {"unanswered"} and stub.earned == 0.0
