"""The check in the notebook, hints, marks, progress: what a learner is told, and that nothing of ours is raised."""

import dataclasses
import json
import logging
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from keras import ops
from typer.testing import CliRunner

from vaekit import cli
from vaekit.course.exercise import Exercise, progress
from vaekit.course.observe import observe
from vaekit.course.questions.question import (
    VALUE,
    AtLeast,
    Case,
    Diagnosis,
    Fault,
    Near,
    Observe,
    Question,
    Verdict,
    fits,
)


def kl(mean, log_variance):
    return 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance).sum(-1)


def some(rng):
    return [
        Case({"mean": rng.normal(size=shape), "log_variance": rng.normal(size=shape)}) for shape in [(3, 2), (4, 7)]
    ]


KL = Question(
    name="kl_divergence",
    title="KL from the standard normal distribution",
    points=3,
    public=[Case({"mean": np.array([[1.0, 2.0]]), "log_variance": np.array([[0.0, 1.0]])})],
    draw=some,
    expected=kl,
    sizes=lambda mean, log_variance: {"latent units": mean.shape[1]},
    diagnoses=[
        Diagnosis("mean", "average", lambda mean, log_variance: kl(mean, log_variance) / mean.shape[1]),
        Diagnosis("sum over the batch", "batch", lambda mean, log_variance: kl(mean, log_variance).sum()),
    ],
    hints=["first", "second"],
)
NUMBER = Question("gap", "A number", 1, [Case({})], lambda: 0.25, observe=Observe("number"), kind="number")


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
        (lambda mean, log_variance: kl_divergence(mean, log_variance) / mean.shape[1], "mean", "average"),
        (lambda mean, log_variance: ops.sum(kl_divergence(mean, log_variance)), "sum over the batch", "batch"),
        (lambda mean, log_variance: -kl_divergence(mean, log_variance), "other", "sign is reversed"),
        (lambda mean, log_variance: 2 * kl_divergence(mean, log_variance), "other", "ours times 2"),
        (lambda mean, log_variance: kl_divergence(mean, log_variance)[:, None], "other", "the numbers are right"),
        (lambda mean, log_variance: kl_divergence(mean, log_variance) * math.nan, "other", "is nan where"),
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


@pytest.mark.parametrize("answer", [None, ..., math.nan])
def test_a_number_that_was_not_filled_in_is_unanswered(exercise, answer):
    assert "not answered yet" in exercise.check(gap=answer)


def test_numbers(exercise):
    assert not exercise.check(gap=0.26).right
    assert "a value of type str" in repr(exercise.check(gap="0.25"))
    assert exercise.check(gap=[0.25]).diagnosis == "refused"


def test_what_cannot_be_checked_is_said(exercise):
    for note in (exercise.check(), exercise.check(3), exercise.check(other=3), exercise.check(kl_divergence, gap=1)):
        assert note.startswith("Nothing was checked: expected one answer") and "`kl_divergence`, `gap`" in note
    assert "There is no question 'other'" in exercise.hint("other")
    with pytest.raises(ValueError, match="no exercise '99'; there are: 01"):
        Exercise("99")


def test_hints_come_one_by_one(exercise):
    texts = [exercise.hint("kl_divergence") for _ in range(3)]
    assert [text.split("** ")[1] for text in texts] == ["first", "second", "second"] and "1 of 2" in texts[0]
    assert "no hint" in exercise.hint("gap")


# ---- parts


PARTS = Question(
    "pair",
    "Two parts",
    2,
    [Case({"x": np.array([1.0, 2.0])}), Case({"x": np.array([1e3])}, part="stable")],
    lambda x: x**2,
    parts={VALUE: 1, "stable": 3},
)


def judged(question, answer, seed=0):
    cases = question.cases(seed)
    return question.judge(cases, [observe(*_observe(question, answer, case)) for case in cases])


def _observe(question, answer, case):
    return question.observe.name, answer, case.inputs, question.observe.options


def test_parts_have_their_weights_and_count_only_with_the_first():
    assert judged(PARTS, lambda x: x**2).earned == 2.0
    assert judged(PARTS, lambda x: ops.minimum(x**2, 100.0)).earned == 0.5
    verdict = judged(PARTS, lambda x: ops.where(x > 100.0, x**2, 0.0))
    assert verdict.earned == 0.0 and "stable: right, and counts once value is" in repr(verdict)
    free = dataclasses.replace(PARTS, founded=False)
    assert judged(free, lambda x: ops.where(x > 100.0, x**2, 0.0)).earned == 1.5
    with pytest.raises(ValueError, match="has the parts"):
        judged(dataclasses.replace(PARTS, parts={"other": 1}), lambda x: x)


def test_gradients_are_observed():
    question = Question(
        "square",
        "A square",
        2,
        [Case({"x": np.array([1.0, 3.0]), "y": np.array([2.0, 2.0])})],
        lambda x, y: {VALUE: x**2 * y, "gradient of x": 2 * x * y},
        observe=Observe("gradients", {"of": ["x"]}),
    )
    assert judged(question, lambda x, y: x * x * y).right
    verdict = judged(question, lambda x, y: ops.stop_gradient(x) * x * y)
    assert verdict.share == 0.5 and "divided by 2" in repr(verdict)


def test_bounds_and_tolerances_of_their_own():
    question = Question("b", "A bound", 1, [Case({})], lambda: AtLeast(-20.0), observe=Observe("number"))
    assert judged(question, -19.5).right and not judged(question, -20.5).right
    assert "-20.50 nats; at least -20.00 are asked for" in repr(judged(question, -20.5))
    assert not judged(question, math.inf).right
    assert fits(1.05, Near(np.array(1.0), 0.1)) and not fits(1.2, Near(np.array(1.0), 0.1))


def test_what_is_derived_from_all_observations_is_judged():
    question = Question(
        "sum",
        "A sum over cases",
        1,
        [Case({"x": np.array(1.0)}), Case({"x": np.array(2.0)})],
        lambda x: {"total": 3.0},
        derive=lambda inputs, observed: {"total": sum(o[VALUE] for o in observed)},
    )
    assert judged(question, lambda x: x).right and not judged(question, lambda x: 2 * x).right
    assert judged(question, lambda x: 1 / 0).diagnosis == "error"


def test_judges_trust_nothing():
    """Whatever another process sends as observations."""
    cases = [Case({"x": np.array([1.0, 2.0])})]
    question = Question("q", "t", 1, cases, lambda x: x)
    for sent in ({}, {"other": np.ones(2)}, {VALUE: np.array(["1", "2"])}, {VALUE: None}, {VALUE: np.ones((2, 2))}):
        assert question.judge(cases, [sent]).earned == 0.0
    for sent in (np.array([1.0, np.nan]), np.array([np.inf, 2.0]), np.array([1, 2j]), np.array([object(), object()])):
        assert question.judge(cases, [{VALUE: sent}]).earned == 0.0
    assert question.judge(cases, [{VALUE: np.array([1, 2])}]).earned == 1.0
    assert question.untold(Fault("killed", "its process was killed.")).diagnosis == "killed"


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
    assert seeds == [17, None, None]
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


def test_quiet_drops_all_of_stderr_and_gives_it_back():
    result = subprocess.run([sys.executable, "-c", NOISY], capture_output=True, text=True, timeout=120)
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
