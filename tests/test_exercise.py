"""The check in the notebook, hints, marks, progress: what a learner is told, and that nothing of ours is raised."""

import functools
import importlib.util
import json
import logging
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from keras import ops
from test_questions import KL
from typer.testing import CliRunner

from vaekit import cli
from vaekit.course.exercise import Exercise, progress
from vaekit.course.questions import Number
from vaekit.course.questions.verdict import Verdict

NUMBER = Number("gap", "A number", points=1, value="1 / 4")


@pytest.fixture
def exercise(tmp_path, monkeypatch):
    """Two questions of our own; progress in an empty folder."""
    monkeypatch.setenv("VAEKIT_PROGRESS", str(tmp_path / "progress.json"))
    exercise = Exercise("01")
    exercise.questions = {question.name: question for question in (KL, NUMBER)}
    return exercise


def kl_divergence(mean, log_variance):
    return 0.5 * ops.sum(mean**2 + ops.exp(log_variance) - 1.0 - log_variance, axis=-1)


def test_right_is_right(exercise):
    verdict = exercise.check(kl_divergence)
    assert verdict.right and verdict.share == 1.0 and verdict.earned == 3.0 and verdict.diagnosis == ""
    assert "3 of 3 points. Right." in repr(verdict) and "**" in verdict._repr_markdown_() and "**" not in repr(verdict)
    assert exercise.check(gap=0.25).right and exercise.check(gap=np.float32(0.25)).right


@pytest.mark.parametrize(
    "answer, diagnosis, says",
    [
        (lambda mean, log_variance: -kl_divergence(mean, log_variance), "sign", "sign is reversed"),
        (lambda mean, log_variance: kl_divergence(mean, log_variance)[:, None], "shape", "the numbers are right"),
        (lambda mean, log_variance: kl_divergence(mean, log_variance) * math.nan, "nan", "numbers are nan where"),
        (lambda mean, log_variance: None, "refused", "is there a `return`?"),
        (lambda mean, log_variance: "0", "refused", "a tensor"),
        (lambda mean, log_variance: 1 / 0, "error", "`ZeroDivisionError: division by zero` in `(lambda"),
        (lambda mean: mean, "refused", "should take the arguments (mean, log_variance)"),
        (7, "refused", "expected something to call, received a value of type `int`"),
    ],
)
def test_wrong_is_explained(exercise, answer, diagnosis, says):
    verdict = exercise.check(kl_divergence=answer)
    assert verdict.share == 0.0 and verdict.diagnosis == diagnosis and says in verdict._repr_markdown_()


@pytest.mark.parametrize("answer", [None, ...])
def test_a_number_that_was_not_filled_in_is_unanswered(exercise, answer):
    assert "not answered yet" in exercise.check(gap=answer)


def test_numbers(exercise):
    assert not exercise.check(gap=0.26).right
    assert "a value of type str" in repr(exercise.check(gap="0.25"))
    assert exercise.check(gap=[0.25]).diagnosis == "refused"
    assert "received nan" in repr(exercise.check(gap=math.nan))


def test_what_cannot_be_checked_is_said(exercise):
    for note in (exercise.check(), exercise.check(3), exercise.check(other=3), exercise.check(kl_divergence, gap=1)):
        assert note.startswith("Nothing was checked: expected one answer") and "`kl_divergence`, `gap`" in note
    assert "There is no question 'other'" in exercise.hint("other")
    with pytest.raises(ValueError, match="no exercise '99'; there are: 01"):
        Exercise("99")


def test_an_answer_without_a_name_of_its_own_is_called_as_in_the_notebook(exercise):
    for answer in "lambda **inputs: right(**inputs)", "functools.partial(right)":
        notebook = {"exercise": exercise, "right": kl_divergence, "functools": functools}
        exec(f"kl_divergence = {answer}\nverdict = exercise.check(kl_divergence)", notebook)
        assert notebook["verdict"].question == "kl_divergence"


def test_hints_come_one_by_one(exercise):
    texts = [exercise.hint("kl_divergence") for _ in range(3)]
    assert [text.split("** ")[1] for text in texts] == ["first", "second", "second"] and "1 of 2" in texts[0]
    assert "no hint" in exercise.hint("gap")


# ---- marks for nbgrader


def test_marks_are_python_floats_and_nothing_fails(exercise):
    space = {"kl_divergence": kl_divergence, "gap": 0.3}
    marks = [exercise.mark(name, space) for name in ("kl_divergence", "gap")]
    assert [repr(mark) for mark in marks] == ["3.0", "0.0"] and exercise.mark("gap", {}) == 0.0
    half = Verdict("q", "t", 3, ())
    assert type(half.share) is float and type(half.earned) is float


def test_the_seed_of_drawn_cases(exercise, monkeypatch):
    seeds = []
    monkeypatch.setattr(exercise, "verdict", lambda name, answer, seed: seeds.append(seed) or Verdict("q", "t", 1, ()))
    for text in ("17", "", "x"):
        monkeypatch.setenv("VAEKIT_SEED", text)
        exercise.mark("gap", {"gap": 1})
    assert seeds[0] == 17 and len(set(seeds)) == 3 and all(isinstance(seed, int) for seed in seeds)
    one, other = (KL.cases(seed)[1].inputs["mean"] for seed in (None, None))
    assert not np.array_equal(one, other) and np.array_equal(
        KL.cases(3)[1].inputs["mean"], KL.cases(3)[1].inputs["mean"]
    )


NOISY = """
import logging, os, sys, warnings
from vaekit.course.exercise import quiet
log = logging.getLogger("x"); log.addHandler(logging.StreamHandler(sys.stderr))
with quiet():
    print("a", file=sys.stderr); os.write(2, b"b"); warnings.warn("c"); log.error("d")
    os.system("echo e >&2"); __import__("ctypes").CDLL(None).perror(b"f")
print("after", file=sys.stderr); log.error("logged")
"""


@pytest.mark.once
def test_quiet_drops_all_of_stderr_and_gives_it_back():
    environment = os.environ | ({"KERAS_BACKEND": "jax"} if importlib.util.find_spec("jax") else {})  # starts sooner
    command = [sys.executable, "-c", NOISY]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0 and [*result.stderr.split()][-2:] == ["after", "logged"]
    before = [line for line in result.stderr.splitlines() if line[:1] in "abcdef" and line != "after" and len(line) < 9]
    assert before == []
    assert logging.root.manager.disable == 0 and os.fstat(2)


# ---- progress


def test_the_best_is_kept_and_shown(exercise, monkeypatch, tmp_path):
    exercise.check(kl_divergence)
    exercise.check(kl_divergence=lambda mean, log_variance: mean)
    exercise.check(gap=0.1)
    kept = json.loads((tmp_path / "progress.json").read_text())
    assert kept == {"01": {"kl_divergence": 1.0, "gap": 0.0}}
    result = CliRunner().invoke(cli.app, ["progress"])
    assert result.exit_code == 0 and f"01  {exercise.title}: 0 of" in result.output and "░" * 10 in result.output


def test_damaged_progress_is_put_aside(exercise, tmp_path):
    for text in ("{", "[]", '{"01": 3}'):
        (tmp_path / "progress.json").write_text(text)
        assert exercise.check(kl_divergence).right
        assert (tmp_path / "progress.json.damaged").read_text() == text
        assert json.loads((tmp_path / "progress.json").read_text()) == {"01": {"kl_divergence": 1.0}}


def test_a_place_that_cannot_be_written_keeps_nobody_from_learning(exercise, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VAEKIT_PROGRESS", str(tmp_path / "file" / "progress.json"))
    assert exercise.check(kl_divergence).right
    assert progress()["01"].keys() == Exercise("01").questions.keys()
