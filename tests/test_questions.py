"""Questions: texts that are oracles, edits that are mistakes, and how arrays are judged by them."""

import dataclasses
import math

import numpy as np
import pytest
from keras import ops

from vaekit.backend import tfd, value_and_gradient
from vaekit.course.observe import VALUE, Fault, observe
from vaekit.course.questions import Function, Number, Question
from vaekit.course.questions.judge import fits, judge, unobserved
from vaekit.course.questions.language import LOG_2PI, Text, differentiate
from vaekit.course.questions.question import AtLeast, Case, Mistake, Near, Prediction


def judged(question, answer, seed=0):
    cases, (name, options) = question.cases(seed), question.observe
    return judge(question, cases, [observe(name, answer, case.inputs, options) for case in cases])


# ---- texts

GAUSSIAN = Text(
    "log_prob",
    ["x", "mean", "log_variance"],
    """
    t = (x - mean) * ops.exp(-log_variance / 2)
    return -0.5 * ops.sum(LOG_2PI + log_variance + t**2, axis=-1)
    """,
)
INPUTS = {name: np.random.default_rng(i).normal(size=(3, 4)) for i, name in enumerate(GAUSSIAN.arguments)}


def test_a_text_runs_in_either_precision_and_by_keras():
    (exact,), (single,) = GAUSSIAN.run(INPUTS), GAUSSIAN.run(INPUTS, np.float32)
    assert exact.dtype == np.float64 and single.dtype == np.float32
    tensors = {name: ops.convert_to_tensor(value, "float32") for name, value in INPUTS.items()}
    answer = GAUSSIAN.function(ops=ops, tfd=tfd)(**tensors)
    for value in (single, ops.convert_to_numpy(answer)):
        np.testing.assert_allclose(value, exact, rtol=1e-5)


OPERATIONS = """
h = ops.softplus(x) + ops.sigmoid(x) + ops.log_sigmoid(x) + ops.erf(x) + ops.tanh(x) + ops.logsumexp(x, axis=-1)
h = h + ops.softmax(x, axis=0) + ops.where(x > 0, x, -1.0) + ops.clip(x, -1, 1) + ops.one_hot(ops.argmax(x, axis=0), 3)
normal = tfd.Normal(0.5, 2.0)
h = h + normal.cdf(x) + normal.quantile(ops.sigmoid(x)) + normal.prob(x) + normal.log_prob(x)
return h, ops.solve(x, x + 1) + ops.slogdet(x)[1] + ops.square(ops.matmul(x, x))
"""


def test_operations_are_those_of_keras():
    text = Text("operations", ["x"], OPERATIONS)
    x = np.random.default_rng(0).normal(size=(3, 3))
    right = text.function(ops=ops, tfd=tfd)(ops.convert_to_tensor(x, "float32"))
    for dtype in (np.float64, np.float32):
        for value, tensor in zip(text.run({"x": x}, dtype), right, strict=True):
            assert value.dtype == dtype
            np.testing.assert_allclose(value, ops.convert_to_numpy(tensor), rtol=2e-3, atol=1e-4)


def test_an_edit_applies_once():
    assert "t**3" in str(GAUSSIAN.edited({"t**2": "t**3"}))
    assert GAUSSIAN.edited("return x").run(INPUTS)[0] is not None
    for old, count in (("t**4", 0), ("log_variance", 2)):
        with pytest.raises(ValueError, match=f"should occur once; it occurs {count} times"):
            GAUSSIAN.edited({old: ""})


def test_gradients_are_those_of_the_backend():
    found = differentiate(GAUSSIAN, INPUTS, ["mean", "log_variance"])
    tensors = {name: ops.convert_to_tensor(value, "float32") for name, value in INPUTS.items()}
    function = GAUSSIAN.function(ops=ops, tfd=tfd)
    _, right = value_and_gradient(
        lambda m, v: ops.sum(function(tensors["x"], m, v)), tensors["mean"], tensors["log_variance"]
    )
    for slope, name in zip(right, ("mean", "log_variance"), strict=True):
        np.testing.assert_allclose(found[0][name], ops.convert_to_numpy(slope), rtol=1e-4, atol=1e-5)


def test_no_gradient_passes_where_it_is_stopped():
    text = Text("f", ["x", "y"], "return ops.stop_gradient(x * y) * x, x * ops.stop_gradient(y) ** 2")
    x, y = np.array([2.0, 3.0]), np.array([5.0, 7.0])
    first, second = differentiate(text, {"x": x, "y": y}, ["x", "y"])
    np.testing.assert_allclose(first["x"], x * y, rtol=1e-8)
    np.testing.assert_allclose(second["x"], y**2, rtol=1e-8)
    assert not first["y"].any() and not second["y"].any()


# ---- functions


def _ordinary(rng):
    for shape in ((3, 2), (4, 7)):
        yield {name: rng.normal(size=shape) for name in ("mean", "log_variance")}


KL = Function(
    "kl_divergence",
    "KL from the standard normal distribution",
    points=3,
    takes="mean[N,L], log_variance[N,L]",
    axes={"N": "images", "L": "latents"},
    draw=_ordinary,
    answer="return 0.5 * ops.sum(mean**2 + ops.exp(log_variance) - 1 - log_variance, axis=-1)",
    hints="first\n\nsecond",
    mistakes=[
        ("mean_over_latents", None, "you averaged over the latents."),
        ("log_sign", {"1 - log": "1 + log"}, "the logarithm has the wrong sign."),
    ],
)


def _kl(changed="", sign=1.0):
    code = f"{sign} * {KL.answer.removeprefix('return ')}"
    for old, new in [changed.split("→")] if changed else []:
        assert old in code
        code = code.replace(old, new)
    return eval(f"lambda mean, log_variance: {code}", {"ops": ops})


@pytest.mark.alternate
@pytest.mark.parametrize(
    ("answer", "diagnosis", "says"),
    [
        (_kl(sign=-1), "sign", "the sign is reversed."),
        (_kl("sum→mean"), "mean_over_latents", "you averaged over the latents."),
        (_kl("sum→mean", -1), "negative_mean_over_latents", "with the sign reversed, it is ours divided by 2"),
        (_kl(", axis=-1→"), "sum_over_images", "you took the sum over axis 0, which should stay"),
        (_kl("1 - log→1 + log"), "log_sign", "the logarithm has the wrong sign."),
        (
            _kl(" - 1→"),
            "term",
            "it is ours plus 2 times ½ (2 latents) or 1 everywhere: too much is added, or too little subtracted.",
        ),
        (_kl("0.5→1.0"), "twice", "it is ours times 2"),
        (_kl("ops.sum→ops.cumsum"), "other", "the shape is (3, 2), expected (3,)."),
    ],
)
def test_mistakes_of_a_function(answer, diagnosis, says):
    verdict = judged(KL, answer)
    assert verdict.earned == 0 and verdict.diagnosis == diagnosis and says in repr(verdict)


def test_a_right_function():
    assert judged(KL, _kl()).earned == 3 and judged(KL, _kl(), seed=None).right


def test_cases_are_drawn_and_the_first_is_always_the_same():
    one, other = KL.cases(1), KL.cases(2)
    assert np.array_equal(one[0].inputs["mean"], other[0].inputs["mean"])
    assert not np.array_equal(one[1].inputs["mean"], other[1].inputs["mean"])
    assert np.array_equal(one[1].inputs["mean"], KL.cases(1)[1].inputs["mean"])
    for case in one:
        assert np.array_equal(case.inputs["mean"], np.float32(case.inputs["mean"]))


SOFTPLUS = Function(
    "softplus",
    "log(1 + exp(a)), for every a",
    points=2,
    takes="a",
    gradients="a",
    draw={
        "value": lambda rng: [{"a": rng.normal(size=5)}],
        "stable": lambda rng: [{"a": np.array([100.0, -100, 200]) * rng.uniform(1, 2, size=3)}],
    },
    answer="return ops.softplus(a)",
    parts={"value": 1, "stable": 1},
    mistakes=[
        ("overflow", {"ops.softplus(a)": "ops.log(1 + ops.exp(a))"}, "the exponential overflows."),
        ("clipped", {"(a)": "(ops.clip(a, -20, 20))"}, "it was clipped."),
        ("cut", None, "the gradient is cut."),
    ],
)


def test_what_is_lost_in_float32_is_recognized():
    verdict = judged(SOFTPLUS, lambda a: ops.log(1 + ops.exp(a)))
    assert [part.diagnosis for part in verdict.parts] == ["", "overflow"] and verdict.earned == 1
    assert judged(SOFTPLUS, lambda a: ops.softplus(ops.clip(a, -20, 20))).diagnosis == "clipped"
    assert judged(SOFTPLUS, lambda a: ops.logaddexp(a, 0.0 * a)).right
    shown = SOFTPLUS.mistakes[0].predict(a=np.array([150.0]))
    assert shown[VALUE].unpredictable
    assert not SOFTPLUS.mistakes[0].predict(a=np.array([1.0]))[VALUE].unpredictable


def test_a_cut_gradient_is_told():
    verdict = judged(SOFTPLUS, lambda a: ops.stop_gradient(ops.softplus(a)))
    assert verdict.earned == 0 and verdict.diagnosis == "cut" and "the gradient is cut." in repr(verdict)


def test_beyond_float32_lies_infinity():
    question = Function("f", "t", points=1, takes="x", gradients="x", answer="return ops.exp(x)", draw=lambda rng: [
        {"x": np.array([200.0, 1.0, -200.0])}])  # fmt: skip
    targets = question.targets(question.cases(0)[0])
    assert list(targets) == [VALUE] and targets[VALUE].value[0] == np.inf and targets[VALUE].value[2] < 1e-80
    assert judged(question, ops.exp).right


# ---- parts

PARTS = Function(
    "pair",
    "Two parts",
    points=2,
    takes="x",
    draw={None: lambda rng: [{"x": np.array([1.0, 2.0])}], "stable": lambda rng: [{"x": np.array([1e3])}]},
    answer="return x**2",
    parts={VALUE: 1, "stable": 3},
)


def test_parts_have_their_weights_and_count_only_with_the_first():
    assert judged(PARTS, lambda x: x**2).earned == 2.0
    assert judged(PARTS, lambda x: ops.minimum(x**2, 100.0)).earned == 0.5
    verdict = judged(PARTS, lambda x: ops.where(x > 100.0, x**2, 0.0))
    assert verdict.earned == 0.0 and "stable: right, and counts once value is" in repr(verdict)
    free = dataclasses.replace(PARTS, requires_first=False, hints="")
    assert judged(free, lambda x: ops.where(x > 100.0, x**2, 0.0)).earned == 1.5
    with pytest.raises(ValueError, match="has the parts"):
        judged(dataclasses.replace(PARTS, parts={"other": 1}, hints=""), lambda x: x)


def test_all_gradients_may_be_one_part_and_tolerances_are_by_observation():
    question = Function("f", "t", points=2, takes="x, y", gradients="x y", answer="return x * y, x + y",
                        returns="product, sum", draw=lambda rng: [{"x": rng.normal(size=3), "y": rng.normal(size=3)}],
                        parts={"product": 1, "sum": 1, "gradients": 2}, requires_first=False,
                        atol={"product": 0.5, None: 1e-6})  # fmt: skip
    assert judged(question, lambda x, y: (x * y, x + y)).right
    assert judged(question, lambda x, y: (x * y + 0.1, x + y)).right
    assert judged(question, lambda x, y: (x * y, x + y + 0.1)).earned == 1.5
    assert judged(question, lambda x, y: (x * y, x + ops.stop_gradient(y))).earned == 1


# ---- numbers


def test_a_wrong_number_is_not_told_to_be_high_or_low():
    mistakes = [("root", "sqrt(5)", "you took the root."), ("a", "5 * 2", "doubled."), ("b", "12 - 2", "subtracted.")]
    question = Number("ratio", "A ratio", points=1, value="5", mistakes=mistakes)
    assert judged(question, 5).right and judged(question, 5.001).right
    for near in (4, 4.9, 6):
        assert repr(judged(question, near)).endswith(f"{near:g} is not the number, and no usual mistake gives it.")
    exact = Number("ratio", "A ratio", points=1, value="2.34567")
    assert judged(exact, 2.346).right and judged(exact, 2.3).diagnosis == "rounded"
    assert judged(exact, 2.34).diagnosis == "rounded" and judged(exact, 2.33).diagnosis == "other"
    assert judged(exact, 2.4).diagnosis == "other"
    assert judged(question, math.sqrt(5)).diagnosis == judged(question, 2.24).diagnosis == "root"
    assert "either doubled. Or subtracted." in repr(judged(question, 10))  # by which of the two, nobody knows


# ---- judging


def test_what_is_said_of_right_answers():
    question = Number("n", "N", points=1, value="2", note="(So is 1 + 1.)")
    assert repr(judged(question, 2)) == "✓ N: 1 of 1 points. Right. (So is 1 + 1.)"
    for answer, says in (
        (lambda x: np.asarray(x) ** 2, "array of NumPy"),
        (lambda x: np.asarray(x).astype("float64") ** 2, "computes in float64"),
    ):
        verdict = judged(SQUARE, answer)
        assert verdict.right and says in repr(verdict)
    assert judged(SQUARE, lambda x: x**2).note == ""


SQUARE = Function(
    "square", "Square", points=1, takes="x[N]", draw=lambda rng: [dict(x=rng.normal(size=3))], answer="return x**2"
)


@dataclasses.dataclass(eq=False)
class Bound(Question):
    """A bound on the sum over all cases."""

    derives = fixed = True

    def draw_cases(self, rng):
        return [Case({"x": np.array(1.0)}), Case({"x": np.array(2.0)})]

    def expected(self, case):
        return {"low": AtLeast(2.0), "high": AtLeast(3.0)}

    def derived(self, inputs, observations):
        return dict.fromkeys(("low", "high"), sum(o[VALUE] for o in observations))

    def advice(self, observed, part):
        return "short", "Train longer."


def test_bounds_are_reached_in_steps_and_told():
    question = Bound("b", "A bound", points=4, parts={"low": 1, "high": 3})
    right, half, none = (judged(question, lambda x, f=f: f * x) for f in (1.0, 0.8, 0.5))
    assert right.right and "3.00 nats reached." in repr(right)
    assert half.earned == 1 and half.diagnosis == "short"
    assert "high: 2.40 nats; at least 3.00 are asked for. Train longer." in repr(half)
    assert none.earned == 0 and repr(none).count("Train longer.") == 1
    assert judged(question, lambda x: 1 / 0).diagnosis == "error"
    assert not judged(question, lambda x: x * math.inf).right


def test_evidence_is_needed_beyond_what_cannot_be_predicted():
    """A mistake that says of a part only that it is wrong, and agrees elsewhere, is told where numbers support it."""
    off = Prediction((), True)

    def mistake(**other):
        return Mistake("m", "made.", lambda x: {"gradient of x": off, **{k: f(x) for k, f in other.items()}})

    question = Function("f", "t", points=1, takes="x", gradients="x", answer="return x**2",
                        draw=lambda rng: [{"x": rng.normal(size=3)}])  # fmt: skip
    cut = lambda x: x * ops.stop_gradient(x) + 3 * (x - ops.stop_gradient(x))  # noqa: E731
    for known, diagnosis in ((mistake(), "m"), (mistake(value=lambda x: 2 * x**2), "other")):
        question.mistakes = [known]
        assert judged(question, cut).diagnosis == diagnosis


def test_judges_trust_nothing():
    """Whatever another process sends as observations."""
    question = Function(
        "q", "t", points=1, takes="x", answer="return x", draw=lambda rng: [{"x": np.array([1.0, 2.0])}]
    )
    cases = question.cases(0)[:1]
    for sent in ({}, {"other": np.ones(2)}, {VALUE: np.array(["1", "2"])}, {VALUE: None}, {VALUE: np.ones((2, 2))}):
        assert judge(question, cases, [sent]).earned == 0.0
    for sent in (np.array([1.0, np.nan]), np.array([np.inf, 2.0]), np.array([1, 2j]), np.array([object(), object()])):
        assert judge(question, cases, [{VALUE: sent}]).earned == 0.0
    assert judge(question, cases, [{VALUE: np.array([1, 2])}]).earned == 1.0
    assert unobserved(question, Fault("killed", "its process was killed.")).diagnosis == "killed"


def test_fits():
    assert fits(1.05, Near(np.array(1.0), 0.1)) and not fits(1.2, Near(np.array(1.0), 0.1))
    assert fits(np.array([np.inf, 1.0]), Near(np.array([np.inf, 1.0]), 0.1))
    assert not fits(np.ones(2), Near(np.ones((2, 1)), 0.1)) and not fits(Fault("error", ""), Near(np.ones(2), 9.0))
    assert fits(2.0, AtLeast(1.0)) and not fits(math.nan, AtLeast(1.0)) and Question.observe.name == "call"
    assert math.isclose(LOG_2PI, math.log(2 * math.pi))


def test_nan_alone_names_no_mistake_beside_another_one():
    """Many roads lead to nan: a mistake is told of it only if it explains all that is wrong."""
    averaged = lambda a: 0.5 * ops.log(1 + ops.exp(a))  # noqa: E731
    assert [part.diagnosis for part in judged(SOFTPLUS, averaged).parts] == ["half", "other"]
    assert [part.diagnosis for part in judged(SOFTPLUS, lambda a: ops.log(1 + ops.exp(a))).parts] == ["", "overflow"]
