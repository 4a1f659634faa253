"""Exercise 04: oracles against SciPy, simulations and vaekit's own objectives; what its experiments are judged by."""

import copy
import math
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest
from checking import cases_and_values, checked
from scipy import integrate, stats
from scipy.special import expit, logsumexp, softmax

import vaekit as vk
from vaekit.course.exercises import e04
from vaekit.course.observe import VALUE
from vaekit.course.questions.mend import BROKEN, ELSE, RIGHT, Repair
from vaekit.course.questions.model import DECODER

QUESTIONS = {question.name: question for question in e04.QUESTIONS}
cases, expected = cases_and_values(QUESTIONS)
once = pytest.mark.once  # NumPy alone


def solution(question):
    """The function of an experiment's answer."""
    space = {"np": np}
    told = ", ".join(question.observe.options["problem"])
    exec(f"def solve({told}):\n{'    '.join(['', *question.answer.splitlines(keepends=True)])}", space)
    return space["solve"]


# ---- 1


@once
def test_activity_is_right_on_average_and_for_two_codes_a_covariance():
    rng, S, N, A = np.random.default_rng(0), 4, 30, np.array([0.5, 0.02, 0.0])
    width = np.sqrt([0.3, 0.9, 1.0])
    found = []
    for _ in range(2000):
        codes = np.sqrt(A) * rng.normal(size=(N, 3)) + width * rng.normal(size=(S, N, 3))
        found.append(expected("active_units", {"samples": codes})["activity"])
    error = np.std(found, axis=0) / np.sqrt(len(found))
    assert (np.abs(np.mean(found, axis=0) - A) < 4 * error).all() and (error < 0.005).all()
    first, second = codes = rng.normal(size=(2, 20_000, 1)) + rng.normal(size=(20_000, 1))
    covariance = np.cov(first[:, 0], second[:, 0])[0, 1]
    assert expected("active_units", {"samples": codes})["activity"][0] == pytest.approx(covariance, abs=1e-3)


# ---- 2

AUDIT = e04.AUDIT


@once
@pytest.mark.parametrize("seed", [None, *range(1, 4)])
def test_the_faulty_program_is_found_in_all_tables(seed):
    assert checked(AUDIT, solution(AUDIT), seed).right


@once
def test_columns_have_the_means_that_weights_give():
    """Of log-normal weights: L_1 is −s²/2; the others rise from there to 0, fall, or end above 0."""
    rng, s = np.random.default_rng(0), 0.8

    def means(kind):
        return [np.mean([e04._column(rng, kind, k, s, 0.08) for _ in range(60)]) for k in e04.SIZES]

    means = {kind: means(kind) for kind in e04.SPREADS}
    for kind, first in (("right", 0), ("logs", 0), ("falling", 0), ("lucky", 0), ("narrow", 0.08)):
        assert means[kind][0] == pytest.approx(first - s**2 / 2, abs=0.02)
    assert means["right"] == sorted(means["right"]) and means["right"][-1] < 0
    np.testing.assert_allclose(means["logs"], -(s**2) / 2, atol=0.02)
    assert means["falling"] == sorted(means["falling"], reverse=True)
    assert means["lucky"][-1] > 0.05 and means["narrow"][-1] > 0.05


@once
def test_other_ways_to_look_do_not_find_it():
    def blamed(score):
        return lambda tables: {"program": np.argmin(np.min(score(tables), axis=2), axis=1)}

    ways = {
        "in nats": lambda t: np.diff(t, axis=2).mean(axis=3),
        "by the images' spread": lambda t: np.diff(t.mean(axis=3), axis=2) / t.std(axis=3)[:, :, 1:],
        "without the truth": lambda t: (
            np.diff(t[:, :, :3], axis=2).mean(axis=3) / np.diff(t[:, :, :3], axis=2).std(axis=3)
        ),
    }
    for name, score in ways.items():
        assert checked(AUDIT, blamed(score)).earned == 0, name
    assert checked(AUDIT, lambda tables: {"program": np.arange(e04.TABLES) % 4}).earned == 0


# ---- 3


@once
def test_the_family_holds_the_bounds_of_the_lesson():
    log_w = np.random.default_rng(0).normal(size=(6, 5))
    run = QUESTIONS["Renyi"].text.run
    mean, best = log_w.mean(axis=0), logsumexp(log_w, axis=0) - np.log(6)
    for alpha, bound in ((0, best), (1, mean), (1 + 1e-6, mean), (1 - 1e-6, mean)):
        np.testing.assert_allclose(run({"log_weights": log_w, "alpha": alpha})[0], bound, rtol=1e-5, atol=1e-5)
    harmonic = -(logsumexp(-log_w, axis=0) - np.log(6))
    np.testing.assert_allclose(run({"log_weights": log_w, "alpha": 2})[0], harmonic, rtol=1e-9)
    orders = [run({"log_weights": log_w, "alpha": alpha})[0].mean() for alpha in (-1, 0, 0.5, 1, 2, 5)]
    assert orders == sorted(orders, reverse=True)
    slopes = QUESTIONS["Renyi"]._function._slopes(QUESTIONS["Renyi"].text, {"log_weights": log_w, "alpha": 2})
    (slope,) = slopes.values()
    np.testing.assert_allclose(slope, softmax(-log_w, axis=0), rtol=1e-5)  # the wrong end


# ---- 4


@once
def test_gradients_needed_by_quadrature_and_by_simulation():
    delta, k = e04.OFF, e04.CODES

    def mean(f):
        return integrate.quad(lambda z: stats.norm.pdf(z) ** 2 / stats.norm.pdf(z, delta) * f(z), -12, 12)[0]

    step = 1e-4
    moment = [
        integrate.quad(lambda z, d=d: stats.norm.pdf(z) ** 2 / stats.norm.pdf(z, d), -12, 12)[0]
        for d in (delta - step, delta + step)
    ]
    signal, variance = (moment[1] - moment[0]) / (2 * step) / (2 * k), mean(np.square) / k
    found = float(QUESTIONS["gradients_needed"].expected(None)[VALUE])
    assert math.isclose(variance / signal**2, found, rel_tol=1e-5)
    noise = np.random.default_rng(0).standard_normal((100_000, k))
    gradient = -delta - np.sum(softmax(-delta * noise, axis=1) * noise, axis=1)
    assert gradient.var() / gradient.mean() ** 2 == pytest.approx(found, rel=0.15)


# ---- 5


def parts(g):
    """Of codes: log-weights [k, B], path, score, and the decoder's slopes for z W + b."""
    sigma = np.exp(g["log_variance"] / 2)
    z = g["mean"] + sigma * g["noise"]
    a = z @ g["weights"] + g["bias"]
    q = stats.norm(g["mean"], sigma)
    log_w = stats.bernoulli(expit(a)).logpmf(g["x"]).sum(-1) + (stats.norm.logpdf(z) - q.logpdf(z)).sum(-1)
    slope = (g["x"] - expit(a)) @ g["weights"].T - z + g["noise"] / sigma
    return log_w, z, slope, sigma * g["noise"] / 2, g["x"] - expit(a)


@once
def test_gradients_are_those_of_pencil_and_paper():
    question = QUESTIONS["dreg_loss"]
    for case in cases("dreg_loss", 1):
        log_w, z, slope, of_variance, error = parts(case.inputs)
        share, B = softmax(log_w, axis=0)[..., None], len(case.inputs["x"])
        exact = {
            VALUE: -np.mean(logsumexp(log_w, axis=0) - np.log(len(log_w))),
            "gradient of mean": -np.sum(share**2 * slope, axis=0) / B,
            "gradient of log_variance": -np.sum(share**2 * slope * of_variance, axis=0) / B,
            "gradient of weights": -np.einsum("kbl,kbd->ld", share * z, error) / B,
            "gradient of bias": -np.sum(share * error, axis=(0, 1)) / B,
        }
        targets = question.targets(case)
        assert set(targets) == set(exact)
        for name, value in exact.items():
            np.testing.assert_allclose(targets[name].value, value, rtol=1e-4, atol=1e-6, err_msg=name)


@once
def test_on_average_it_is_the_gradient_of_the_bound():
    (first, *_), rng = cases("dreg_loss", 1), np.random.default_rng(0)
    g = {name: value for name, value in first.inputs.items() if name != "noise"}
    k, B, L = first.inputs["noise"].shape
    noise = rng.normal(size=(k, 100_000, B, L))
    log_w, z, slope, *_ = parts(g | {"noise": noise})
    share, score = softmax(log_w, axis=0)[..., None], noise / np.exp(g["log_variance"] / 2)
    difference = np.sum(share**2 * slope - share * (slope - score), axis=0)  # [runs, B, L]
    assert (np.abs(difference.mean(0)) < 4.5 * difference.std(0) / np.sqrt(len(difference))).all()


# ---- 6

PLAN = e04.PLAN


@once
@pytest.mark.parametrize("seed", [None, *range(1, 5)])
def test_a_plan_reaches_every_goal_whatever_is_drawn(seed):
    found = checked(PLAN, solution(PLAN), seed)
    assert found.right, found


@once
def test_codes_by_squares_are_those_of_densities():
    rng, latents, widening, off = np.random.default_rng(0), 3, 1.6, 0.4
    centers = np.array([off, e04.COMMON, e04.COMMON])
    q = stats.norm(centers, np.sqrt(widening))
    z = q.rvs(size=(20_000, 3), random_state=rng)
    log_w = (stats.norm.logpdf(z) - q.logpdf(z)).sum(axis=1)
    ours = e04._drawn(rng, 20_000, 2, latents, widening, off)
    score = (z[:, 0] - off) / widening
    for a, b in zip(ours, (log_w, score - z[:, 0], score), strict=True):
        assert stats.ks_2samp(a[:, 1], b).pvalue > 1e-3
    assert np.mean(np.exp(ours[0])) == pytest.approx(1, abs=0.05)


@once
def test_settings_that_know_nothing_of_the_pilot_do_not_fit_both():
    plans = [("dreg", 3, 4), ("dreg", 12, 8), ("dreg", 30, 4), ("dreg", 30, 12), ("pathwise", 50, 1)]
    for gradient, codes, groups in plans:
        settings = {"gradient": gradient, "groups": groups, "codes": codes}
        assert checked(PLAN, lambda settings=settings, **_: settings).earned < 0.75 * PLAN.points, settings


@once
def test_only_stl_is_untrue():
    problem = e04._encoders(np.random.default_rng(1))[1]
    outcomes = {
        gradient: e04._trained(np.random.default_rng(2), **problem, gradient=gradient, groups=4, codes=16)
        for gradient in ("pathwise", "stl", "dreg")
    }
    assert outcomes["stl"]["bias"] > 1 and outcomes["dreg"]["bias"] == 0 and outcomes["pathwise"]["bias"] < 0.05
    assert outcomes["pathwise"]["cost"] * 2 == outcomes["dreg"]["cost"]
    assert outcomes["dreg"]["signal_to_noise"] > 3 * outcomes["pathwise"]["signal_to_noise"]


# ---- 7

STEP = e04.STEP


@once
def test_the_gradient_of_the_step_is_that_of_the_bound():
    for case in STEP.cases(1):
        log_w, z, slope, _, error = parts(case.inputs)
        share, B = softmax(log_w, axis=0)[..., None], len(case.inputs["x"])
        assert STEP.text.run(case.inputs)[0] == pytest.approx(-np.mean(np.sum(share[..., 0] * log_w, axis=0)), rel=1e-9)
        noise, sd = case.inputs["noise"], np.exp(case.inputs["log_variance"] / 2)
        up = slope - noise / sd  # of log p(x, z), by z
        exact = {
            "gradient of mean": -np.sum(share * up, axis=0) / B,
            "gradient of log_variance": -np.sum(share * (up * sd * noise / 2 + 0.5), axis=0) / B,
            "gradient of weights": -np.einsum("kbl,kbd->ld", share * z, error) / B,
            "gradient of bias": -np.sum(share * error, axis=(0, 1)) / B,
        }
        assert STEP._follows(Repair({}, STEP.text), 1, case.inputs, exact) == 4 * [RIGHT]


@once
def test_every_set_of_errors_is_a_loss_of_its_own():
    """So far apart that float32 cannot confuse them, in one case at least."""
    steps = [dict(zip(STEP.errors, row, strict=True)) for row in product((BROKEN, RIGHT), repeat=len(STEP.errors))]
    losses = [
        np.array([STEP._text({ELSE: RIGHT} | row).run(case.inputs)[0] for case in STEP.cases(1)]) for row in steps
    ]
    for i, j in combinations(range(len(steps)), 2):
        if all(steps[n]["noise"] == BROKEN and steps[n]["folding"] == RIGHT for n in (i, j)):
            continue  # equal codes have equal shares, from either end of the softmax
        a, b = losses[i], losses[j]
        assert (np.abs(a - b) > 5 * (1e-5 + 1e-4 * np.abs(b))).any(), (steps[i], steps[j])


# ---- 8

TRAINED = e04.TRAINED


@once
def test_no_encoder_makes_the_bound_of_many_codes_exceed_log_p():
    """One latent: log p(x) is a sum over a grid."""
    rng, question = np.random.default_rng(0), copy.copy(TRAINED)
    question.pixels = 30
    shapes = [(1, 20), (20,), (20, 30), (30,)]
    arrays = {name: rng.normal(size=shape) for name, shape in zip(DECODER, shapes, strict=True)}
    z = np.linspace(-8, 8, 2001)[:, None]
    a = np.tanh(z @ arrays["hidden_weights"] + arrays["hidden_bias"]) @ arrays["output_weights"] + arrays["output_bias"]
    images = 1.0 * (rng.random((400, 30)) < expit(a[rng.integers(800, 1200, size=400)]))
    log_joint = images @ a.T - np.logaddexp(0, a).sum(axis=1) + stats.norm.logpdf(z[:, 0])
    log_p = logsumexp(log_joint, axis=1) + np.log(z[1, 0] - z[0, 0])
    share = softmax(log_joint, axis=1)
    mean, square = share @ z, share @ z**2

    def reached(mean, log_variance):
        codes = {"mean": mean, "log_variance": log_variance}
        return question.derived([{"seed": 1}, {"images": images}], [arrays, codes])["bound"]

    assert -0.1 < reached(mean, np.log(square - mean**2)) - log_p.mean() < 0.02
    assert reached(mean, np.log(square - mean**2) + 1) > reached(mean + 1, np.log(square - mean**2))
    for m, v in product([mean, 0 * mean, mean + 3, 1e6 * mean], [0 * mean, 0 * mean - 5, 0 * mean + 700]):
        assert not reached(m, v) > log_p.mean() + 0.02


@once
def test_the_text_says_what_is_judged():
    (path,) = (Path(__file__).parents[1] / "solutions" / "source").glob("04_*.py")
    text = path.read_text(encoding="utf-8")
    said = text.replace("\n# ", " ")
    goals = {name: goal.value for name, goal in PLAN.goals.items()}
    assert goals == {"tight": 0.2, "true": 0.1, "heard": 1.5, "cheap": 7.0, "cheaper": 5.0}
    for sentence in ("at most 0.2 nats", "at most 0.1 of it", "at least 1.5", "at most 7 times", "at most 5 times"):
        assert text.count(sentence) == 1, sentence
    assert PLAN.settings["groups"] == PLAN.settings["codes"] == (1, 500) and e04.PILOT == (480, 50)
    assert {name: goal.value for name, goal in AUDIT.goals.items()} == {"most": 0.75, "nearly all": 0.95}
    assert "three quarters of the tables, all for 95 percent" in said
    assert (e04.TABLES, e04.TEST_IMAGES, e04.SIZES) == (60, 300, (1, 5, 50)) and "60 such tables" in said
    assert TRAINED.codes == 50 and len(TRAINED.cases(1)[1].inputs["images"]) == 2000 and "of 2000 new images" in said
    steps = [f"{-nats:g}" for nats in TRAINED.bounds.values()]
    assert f"for $-{steps[0]}$, for $-{steps[1]}$, for $-{steps[2]}$ and for $-{steps[3]}$" in said
    assert f"reach $-{-TRAINED.coins:g}$" in said and TRAINED.seconds == 180 and "three minutes" in said


def test_the_objective_that_is_asked_for_is_vaekits_own():
    """At α = 0, on the same log-weights."""
    log_w = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    ours = QUESTIONS["Renyi"].text.run({"log_weights": log_w, "alpha": 0})[0]
    np.testing.assert_allclose(ours, vk.objectives.IWAE(5).bound(log_w), rtol=1e-5)
