"""Mistakes that no question lists: variants of the answer, two mistakes at once, terms that count wrongly."""

import math

import numpy as np
import pytest
from keras import ops

from vaekit.backend import tfd
from vaekit.course.exercise import Exercise, numbers
from vaekit.course.observe import VALUE
from vaekit.course.questions import Function, Mend, recognize
from vaekit.course.questions import variants as varying
from vaekit.course.questions.judge import judge
from vaekit.course.questions.language import Text, differentiate
from vaekit.course.questions.question import Near, Prediction
from vaekit.course.questions.terms import counted, sum_of
from vaekit.course.questions.variants import variants

pytestmark = pytest.mark.once

EXERCISES = [Exercise(number) for number in numbers()]
FUNCTIONS = [q for exercise in EXERCISES for q in exercise.questions.values() if isinstance(q, Function)]
KL = Function(
    "kl", "KL", points=2, takes="mean[N,L], log_variance[N,L]", gradients="mean log_variance",
    draw=lambda rng: [dict(mean=rng.normal(size=(n, 3)), log_variance=rng.normal(size=(n, 3))) for n in (4, 5)],
    answer="return 0.5 * ops.sum(mean**2 + ops.exp(log_variance) - 1 - log_variance, axis=-1)",
    mistakes=[
        ("deviation", {"ops.exp(log_variance)": "ops.exp(log_variance / 2)"}, "a deviation for a variance."),
        ("not_squared", {"mean**2": "mean"}, "the mean is not squared."),
    ],
)  # fmt: skip


def observed(question, text, inputs):
    """What an answer that is this text gives, in float32."""
    values = dict(zip(question.names, text.run(inputs, np.float32), strict=True))
    return values | question._slopes(text, inputs)


def judged(question, text, seed=1):
    cases = question.cases(seed)
    return judge(question, cases, [observed(question, text, case.inputs) for case in cases])


def body(expression):
    return Text("kl", ["mean", "log_variance"], f"return {expression}")


# ---- variants


def test_variants_differ_in_one_place_and_say_in_which():
    text = Text("f", ["x", "y"], "t = x - y\nreturn ops.sum(-ops.exp(t / 2) * y**2, axis=1)")
    found = {variant.text.body.replace("\n", "; "): variant.clause for variant in variants(text)}
    for changed, says in {
        "t = x - y; return ops.sum(ops.exp(t / 2) * y ** 2, axis=1)": "the minus before `exp` of `x` and `y` is lost",
        "t = x + y; return ops.sum(-ops.exp(t / 2) * y ** 2, axis=1)": "the term with `y` has the other sign",
        "t = x - y; return ops.sum(-ops.exp(t / 2) * y, axis=1)": "`y` is not squared",
        "t = x - y; return ops.sum(-(t / 2) * y ** 2, axis=1)": "`exp` of `x` and `y` is left out",
        "t = x - y; return ops.sum(-ops.exp(t) * y ** 2, axis=1)":
            "the part with `x` and `y` is not divided by 2 inside `exp`",
        "t = x - y; return ops.mean(-ops.exp(t / 2) * y ** 2, axis=1)": "the mean of `x` and `y` is taken, not the sum",
        "t = x - y; return ops.sum(-ops.exp(t / 2) * y ** 2, axis=0)":
            "the sum of `x` and `y` goes over axis 0, not over axis 1",
        "t = ops.stop_gradient(x - y); return ops.sum(-ops.exp(t / 2) * y ** 2, axis=1)":
            "the gradient does not pass through the part with `x` and `y`",
        "t = x - y; return ops.sum(-ops.exp(t / 2) * x ** 2, axis=1)": "`x` stands where `y` belongs",
    }.items():  # fmt: skip
        assert found[changed] == says
    assert text.body not in found


def test_what_has_no_name_of_the_learners_is_told_by_what_it_is_made_of_and_loops_are_left_alone():
    text = Text("f", ["x", "steps"], "share = ops.exp(x)\nfor _ in range(steps):\n    x = x / 2\nreturn x + share**2")
    clauses = [variant.clause for variant in variants(text)]
    assert "what is made of `x` is not squared" in clauses
    assert not any("`steps` has the other sign" in clause for clause in clauses)


def test_a_function_within_is_told_by_its_own_arguments():
    text = Text("f", ["x"], "def g(h, scale):\n    return 1.0 + scale + h / 3\nreturn ops.sum(g(x, 2 * x))")
    clauses = [variant.clause for variant in variants(text)]
    assert "the term with `scale` is missing" in clauses and "the term with the constant counts twice" in clauses


@pytest.mark.thorough
def test_what_is_told_of_unknown_answers_holds_for_other_inputs(monkeypatch):
    """Two changes at once, by chance: a sentence that is told is true of numbers that were not looked at."""
    monkeypatch.setattr(recognize, "MOST_IN_PAIRS", 0)
    assert sum(sentences_that_hold(question) for question in FUNCTIONS if question.variants) > 10


def sentences_that_hold(question):
    """How many were told, of answers with two changes."""
    rng, of_sentence, told = np.random.default_rng(0), {}, 0
    for variant in question.variants:
        of_sentence.setdefault(variant.clause, []).append(variant.text)
    for _ in range(1 + 50 // len(question.variants)):
        again = variants(question.variants[rng.integers(len(question.variants))].text)
        answer = again[rng.integers(len(again))].text
        try:
            with np.errstate(all="ignore"):
                verdict = judged(question, answer)
        except Exception:  # shapes that do not fit
            continue
        for part in verdict.parts:
            if part.diagnosis == "variant":
                of = [part.name] if part.name in question.names else question.names
                for sentence in part.message.split("but for one thing: ")[1].removesuffix(".").split(", or "):
                    told += 1
                    assert any(same(question, of, answer, other) for other in of_sentence[sentence]), part.message
    return told


def same(question, of, answer, candidate):
    """Whether two texts give the same where an answer's numbers are ordinary ones, on cases not seen before."""
    cases = [case for case in question.cases(99) if case.part is None][-3:]
    try:
        return all(
            np.allclose(a, b, rtol=2e-3, atol=1e-4, equal_nan=True)
            for case in cases
            for a, b in [(answer.run(case.inputs), candidate.run(case.inputs))]
            for name, a, b in zip(question.names, a, b, strict=True)
            if name in of
        )
    except Exception:  # that candidate cannot be computed
        return False


def test_a_change_in_one_place_is_told():
    verdict = judged(KL, body("0.5 * ops.sum(mean**2 + ops.softplus(log_variance) - 1 - log_variance, axis=-1)"))
    assert verdict.diagnosis == "variant"
    assert "`softplus` stands where `exp` of `log_variance` belongs." in verdict.faults()[0]


def test_two_listed_mistakes_at_once_are_told_in_their_own_words():
    verdict = judged(KL, body("0.5 * ops.sum(mean + ops.exp(log_variance / 2) - 1 - log_variance, axis=-1)"))
    assert verdict.diagnosis == "two"
    for mistake in KL.mistakes:
        assert mistake.message in verdict.faults()[0]


def test_what_is_not_known_is_said_to_be_so():
    verdict = judged(KL, body("ops.sum(ops.sin(mean) + log_variance**3, axis=-1)"))
    assert verdict.diagnosis == "other" and "no usual mistake gives these numbers. At [0]: received" in repr(verdict)


def scaled_noise():
    return Function(
        "scaled", "Noise, scaled", points=2, takes="mean, scale, noise", gradients="mean scale",
        draw=lambda rng: [dict(zip(("mean", "scale", "noise"), rng.normal(size=(3, n)), strict=True)) for n in (4, 5)],
        answer="return mean + ops.exp(scale / 2) * noise",
    )  # fmt: skip


def test_an_absolute_value_too_many_is_told():
    question = scaled_noise()
    verdict = judged(question, question.text.edited({"* noise": "* ops.abs(noise)"}))
    assert verdict.faults()[0].endswith("but for one thing: the absolute value of `noise` is taken.")


def test_no_change_is_told_where_another_may_hide_behind_nan():
    """The root of noise, and half of it squared: log-densities are nan, in all cases that are looked at."""
    question = next(q for q in FUNCTIONS if q.name == "log_normal")
    verdict = judged(
        question, question.text.edited({"scale * noise": "scale * ops.sqrt(noise)", "(noise**2)": "((noise / 2) ** 2)"})
    )
    assert "one thing" not in repr(verdict)


def test_no_change_is_told_of_what_another_change_brought_in(monkeypatch):
    """|noise| is no "square of noise, and the absolute value, not the square": nothing was to be squared."""
    monkeypatch.delitem(varying._AROUND, "ops.abs({})")
    question = scaled_noise()
    verdict = judged(question, question.text.edited({"* noise": "* ops.abs(noise)"}))
    assert "square" not in repr(verdict) and "no usual mistake gives these numbers" in repr(verdict)


def test_relations_are_told_where_all_cases_show_them():
    """Log-densities that are nearly −1/6 of the right ones, by another factor in each case."""
    question = next(q for q in FUNCTIONS if q.name == "log_normal")
    changed = {"ops.sum": "ops.mean", "- log_z": "+ log_z"}
    parts = {part.name: part.message for part in judged(question, question.text.edited(changed)).parts}
    assert "Log density: at [0]: received" in parts["stable"] and "times" not in parts["stable"]
    assert "log density for mean: with the sign reversed, it is ours divided by" in parts["gradients"]


# ---- rounding


def test_rounding_explains_nothing_that_is_right_where_float32_is_wrong():
    right, lost, off = np.array([3.0, 4.0]), np.array([0.0, 0.0]), np.array([3.0, 5.0])

    def explains(*pairs, double=False):
        rows = [recognize.Row({}, "value", observed, Near(right, 1e-5, 1e-4), double) for observed, _ in pairs]
        given = {id(row): Prediction(values, True) for row, (_, values) in zip(rows, pairs, strict=True)}
        return recognize._compare(KL, rows, lambda row: given[id(row)])

    rounded, elsewhere = (lost, (right, lost)), (off, (off, lost))
    assert explains(rounded).explains and not explains(rounded).too_accurate
    assert explains(rounded, (right, (right, lost))).too_accurate  # in float32 it would have been lost there, too
    assert not explains((right, (right, lost)), elsewhere).too_accurate  # float64's, of which it is known by the other
    assert not explains((right, (right, lost)), double=True).too_accurate


def test_what_is_not_finite_by_a_mistake_is_none_of_it_where_it_is():
    limit = Function(
        "mean_of_powers", "Powers", points=1, takes="x[N], power",
        draw=lambda rng: [dict(x=rng.uniform(1, 2, size=4), power=0.0)],
        answer="""
            if power == 0:
                return ops.mean(ops.log(x))
            return ops.log(ops.mean(x**power)) / power
        """,
        mistakes=[("by_zero", {"if power == 0:\n    return ops.mean(ops.log(x))\n": ""}, "0 is divided by 0.")],
    )  # fmt: skip

    def found(answer):
        cases = limit.cases(1)
        return judge(limit, cases, [{VALUE: np.array(answer(**case.inputs))} for case in cases]).diagnosis

    assert found(lambda x, power: np.nan) == "by_zero"
    assert found(lambda x, power: np.log(x).max()) == "other"


@pytest.mark.thorough
def test_lost_digits_are_not_told_of_mixtures_whose_value_is_right():
    exercise = next(e for e in EXERCISES if "mixture_path" in e.questions)
    text = exercise.questions["mixture_path"].text
    wrong = text.edited({"side * normal.cdf(side * t)": "normal.cdf(t)", " / scales, axis=-1)": ", axis=-1)"})
    for seed in 0, 1:
        verdict = exercise.verdict("mixture_path", wrong.function(ops=ops, tfd=tfd), seed)
        assert not verdict.earned and "lost to rounding" not in repr(verdict)


# ---- terms


def test_a_sum_has_terms_and_is_linear_in_how_often_they_count():
    text = Text(
        "f",
        ["x", "y"],
        """
        t = (x - y) * ops.exp(-y)
        p = -0.5 * ops.sum(LOG_2PI + t**2, axis=1)
        return y, (p - ops.mean(x, axis=1)) / 2
        """,
    )
    inputs = {name: np.random.default_rng(i).normal(size=(4, 3)) for i, name in enumerate("xy")}
    total = sum_of(text, 1)
    assert total.descriptions == ("the constant", "the square of `x` and `y`", "`x`") and total.linear(inputs)
    t = (inputs["x"] - inputs["y"]) * np.exp(-inputs["y"])
    by_hand = np.full(4, -0.75 * math.log(2 * math.pi)), -0.25 * (t**2).sum(1), -inputs["x"].mean(1) / 2
    np.testing.assert_allclose(total.terms(inputs), by_hand)
    assert sum_of(text, 0) is None  # a name is no sum


def test_wrong_terms_are_counted():
    total = sum_of(KL.text)
    cases = [case.inputs for case in KL.cases(0)]
    rows = [(c, 0.5 * (2 * c["mean"] ** 2 - np.exp(c["log_variance"]) - c["log_variance"]).sum(1)) for c in cases]
    assert counted(total, rows) == [
        "the term with the square of `mean` counts twice",
        "the term with `exp` of `log_variance` has the other sign",
        "the term with the constant is missing",
    ]
    assert counted(total, rows[:1]) == []  # as many numbers as terms: anything fits
    assert counted(total, [(c, np.sin(value)) for c, value in rows]) == []
    assert counted(total, [(c, value[:2]) for c, value in rows]) == []


def test_terms_are_told():
    verdict = judged(KL, body("0.5 * ops.sum(mean**2 - ops.exp(log_variance) - log_variance, axis=-1)"))
    assert verdict.diagnosis == "terms"
    gradient = next(part for part in verdict.parts if part.name == "gradient of log_variance")
    assert gradient.message == "look again once value is right."


# ---- a loss that was mended, and something else changed


def test_what_is_mended_counts_beside_a_change_that_nobody_foresaw():
    question = Mend(
        "loss", "Two errors", points=4, takes="x[N,D], y[N,D]", gradients="y",
        draw=lambda rng: [dict(x=rng.normal(size=(n, 3)), y=rng.normal(size=(n, 3))) for n in (4, 7)],
        answer="return ops.mean(ops.sum((x - y) ** 2, axis=1)) / 2",
        errors={"pixels": ({"ops.sum": "ops.mean"}, "still broken."), "half": ({" / 2": ""}, "still broken.")},
    )  # fmt: skip

    text, cases = question.text.edited({"x - y": "x + y", " / 2": ""}), question.cases(1)
    changed = judge(
        question,
        cases,
        [
            {"value": text.run(case.inputs)[0], "gradient of y": differentiate(text, case.inputs, ["y"])[0]["y"]}
            for case in cases
        ],
    )
    right = {part.name: part.right for part in changed.parts}
    assert right == {"all else": False, "pixels": True, "half": False, "gradients": True}
    assert "in the last line. Of the code as it should be, the term with `y` has the other sign" in (
        changed.parts[0].message
    )


@pytest.mark.parametrize(
    ("edits", "part", "says"),
    [
        ({"ops.sum(gap": "ops.mean(gap"}, "summed", "changed, but not right yet: of the code as it should be, "),
        ({"gap = (x - y) ** 2": "gap = x - y"}, "all else", "something that was right has changed, in gap = …."),
        ({"x - y": "x - y**2"}, "difference", "y is squared"),
    ],
)
def test_a_wrong_mending_costs_its_own_part(edits, part, says):
    question = Mend(
        "loss", "Errors", points=4, takes="x[N,D], y[N,D]",
        draw=lambda rng: [dict(x=rng.normal(size=(n, 3)), y=rng.normal(size=(n, 3))) for n in (4, 7)],
        answer="gap = (x - y) ** 2\ntotal = ops.sum(gap, axis=1)\nreturn ops.mean(total) + ops.mean(x)",
        errors={"summed": ({"ops.sum(gap, axis=1)": "gap[:, 0]"}, "still broken."),
                "difference": ({"x - y": "x - 2"}, "still broken.")},
    )  # fmt: skip
    text, cases = question.text.edited(edits), question.cases(1)
    verdict = judge(question, cases, [{"value": text.run(case.inputs)[0]} for case in cases])
    assert [p.name for p in verdict.parts if not p.right] == [part], verdict
    assert says in repr(verdict)


def test_what_is_mended_is_told_by_the_names_in_it():
    text = Text("loss", ["x", "y"], "k = x.shape[0]\nshare = x * y\ngap = x - y\nreturn ops.sum(share * gap / k)")
    clauses, told = ([variant.clause for variant in variants(text, told=told)] for told in (False, True))
    texts, same = ([str(variant.text) for variant in variants(text, told=told)] for told in (False, True))
    assert texts == same  # a change is known by its place among them
    i = texts.index(str(text.edited({"share * gap": "gap"})))
    assert told[i] == "`gap` stands there without the factor `share` inside `sum`"
    assert clauses[i] == (
        "the part with `x` and `y` stands there without the factor the part with `x` and `y` inside `sum`"
    )
