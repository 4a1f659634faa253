"""Experiments to design: settings come from the answer, dice and outcomes from the judge."""

import copy

import numpy as np
import pytest

from vaekit.course.observe import Fault, observe
from vaekit.course.questions import Experiment
from vaekit.course.questions.judge import judge
from vaekit.course.questions.question import AtLeast, AtMost

pytestmark = pytest.mark.once  # NumPy alone


def _poll(rng, share, secret, voters):
    assert secret == 7
    return {"error": np.std(rng.binomial(voters, share, size=20_000) / voters - share)}


POLL = Experiment(
    "poll",
    "How many voters to ask",
    points=4,
    takes="share",
    draw=lambda rng: [{"share": share, "secret": 7} for share in rng.uniform(0.1, 0.9, size=2)],
    settings={"voters": (1, 100_000)},
    run=_poll,
    goals={
        "sure": AtMost(0.02, "", digits=3, of="error"),
        "cheap": AtMost(700, "", digits=0, of="voters"),
        "cheaper": AtMost(650, "", digits=0, of="voters"),
    },
    parts={"sure": 2, "cheap": 1, "cheaper": 1},
    answer="return dict(voters=max(100, round(share * (1 - share) / 0.0198**2)))",
    mistakes=[
        ("sure", "few", "dict(voters=50)", lambda voters, error, **_: voters < 100, "fifty voters are too few."),
        ("cheap", "many", "dict(voters=5000)", lambda voters, **_: voters > 1000, "so many are not needed."),
        (None, "reversed", "dict(voters=round(500 * share))", lambda error, **_: error > 0.02, "take more."),
    ],
)


def _mixed(rng, estimator, temperatures, rate, steps):
    return {"last": temperatures[-1], "rate": 2 * rate, "noise": rng.normal()}


MIXED = Experiment(
    "mixed",
    "Settings of all kinds",
    points=2,
    settings={"estimator": {"IWAE", "ELBO"}, "temperatures": [0.0, 1.0], "rate": (0.0, 1.0), "steps": [1, 9]},
    run=_mixed,
    goals={"last": AtLeast(1.0, "", of="last"), "rate": AtMost(1.0, "", of="rate")},
    answer="dict(estimator='IWAE', temperatures=[0.0, 0.5, 1.0], rate=0.5, steps=[3, 4])",
)


def run(code, name="poll"):
    space = {"np": np}
    exec(code, space)
    return space[name]


def observed(question, answer, seed=0):
    cases, (name, options) = question.cases(seed), question.observe
    return cases, [observe(name, answer, case.inputs, options) for case in cases]


def shown(verdict):
    return verdict._repr_markdown_()


def judged(question, answer, seed=0):
    return judge(question, *observed(question, answer, seed))


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_the_answer_reaches_every_goal(seed):
    poll = run(f"def poll(share):\n    {POLL.answer}")
    verdict = judged(POLL, poll, seed)
    assert verdict.right and verdict.earned == 4 and "error: 0.0" in shown(verdict) and "voters: " in shown(verdict)
    assert judged(MIXED, run(MIXED.answer, "mixed"), seed).right


@pytest.mark.parametrize("mistake", POLL.mistakes, ids=lambda mistake: mistake.name)
def test_mistakes_are_told_by_what_was_measured(mistake):
    verdict = judged(POLL, run(mistake.code))
    assert verdict.diagnosis == mistake.name and mistake.message in shown(verdict)


def test_goals_count_one_by_one_and_once_the_first_is_reached():
    most = judged(POLL, lambda share: {"voters": 680})
    assert most.earned == 3 and "cheaper: voters: 680; at most 650 are allowed." in shown(most)
    assert "sure, cheap: right." in shown(most)
    none = judged(POLL, lambda share: {"voters": 60})
    assert none.earned == 0 and "cheap, cheaper: right, and counts once sure is." in shown(none)


def test_the_worst_problem_counts():
    """Of two shares, a rule that is right for one of them is not enough."""
    shares = [case.inputs["share"] for case in POLL.cases(0)]
    for spared in shares:
        verdict = judged(POLL, lambda share, spared=spared: {"voters": 50 if share == spared else 640})
        assert verdict.diagnosis == "few", spared


def test_dice_are_the_same_for_the_same_settings_and_others_for_who_grades():
    answer = lambda share: {"voters": 640}  # noqa: E731
    first, again, graded = (shown(judged(POLL, answer, seed)) for seed in (None, None, 5))
    assert first == again != graded
    noise = {
        MIXED.derived([case.inputs for case in cases], found)["outcomes"]["last"]["noise"]
        for settings in (run(MIXED.answer, "mixed"), run(MIXED.answer, "mixed") | {"rate": 0.25})
        for seed in (0, 1)
        for cases, found in [observed(MIXED, settings, seed)]
    }
    assert len(noise) == 4


def test_a_function_is_told_the_problem_and_nothing_else():
    def poll(**problem):
        assert list(problem) == ["share"]
        return {"voters": 640}

    assert judged(POLL, poll).right
    for wrong in (lambda: {"voters": 640}, lambda share, seed: {"voters": 640}):
        assert "(share)" in shown(judged(POLL, wrong)) and judged(POLL, wrong).diagnosis == "refused"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"rate": 1.5}, "`rate` takes a number from 0 to 1; received 1.5."),
        ({"rate": np.nan}, "`rate` takes a number from 0 to 1; received nan."),
        ({"rate": [0.5]}, "`rate` should be a number; it has the shape (1,)."),
        ({"rate": "fast"}, "`rate` is made of numbers; received 'fast'."),
        ({"steps": ["1", "2"]}, "`steps` is made of numbers; received ['1', '2']."),
        ({"steps": [[1], [2, 3]]}, "`steps` is made of numbers; received [[1], [2, 3]]."),
        ({"steps": [None] * 60}, "`steps` is made of numbers; received [None, None, None, None, None, None, ...]."),
        ({"rate": None}, "`rate` is `None`, where a value is expected."),
        ({"temperatures": [0.5, -1.0]}, "`temperatures` takes numbers from 0 to 1; received -1."),
        ({"temperatures": 0.5}, "`temperatures` should be a list of numbers, 1000 at most; it has the shape ()."),
        ({"temperatures": []}, "it has the shape (0,)."),
        ({"temperatures": np.zeros(1001)}, "it has the shape (1001,)."),
        ({"steps": [2.5]}, "`steps` takes whole numbers from 1 to 9; received 2.5."),
        ({"estimator": "DReG"}, "`estimator` should be one of 'ELBO', 'IWAE'; received 'DReG'."),
        ({"estimator": np.ones(2)}, "`estimator` should be one of"),
        ({"other": 1}, "expected a dict with the keys"),
    ],
)
def test_settings_that_are_none_are_told(changes, sentence):
    verdict = judged(MIXED, run(MIXED.answer, "mixed") | changes)
    assert verdict.earned == 0 and sentence in shown(verdict)


@pytest.mark.parametrize("answer", [..., None])
def test_what_is_left_open_is_unanswered(answer):
    assert judged(MIXED, answer).diagnosis == "unanswered"


@pytest.mark.parametrize("sent", [{}, {"voters": np.array("9")}, {"voters": np.array([[640.0]])}, Fault("time", "…")])
def test_nothing_runs_on_what_another_process_makes_up(sent):
    def fails(rng, **settings):
        raise AssertionError

    question = copy.copy(POLL)
    question.run = fails
    cases = question.cases(0)
    assert judge(question, cases, [sent] * len(cases)).earned == 0
