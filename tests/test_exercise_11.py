"""Exercise 11: oracles against SciPy, draws, and enumeration; what its experiment and its string are judged by."""

from itertools import combinations
from math import comb
from pathlib import Path

import numpy as np
import pytest
from checking import cases_and_values, checked
from scipy import stats

from vaekit.course.exercises import e11
from vaekit.course.observe import VALUE
from vaekit.course.questions import dynamics
from vaekit.course.questions.language import Text

QUESTIONS = {question.name: question for question in e11.QUESTIONS}
cases, expected = cases_and_values(QUESTIONS)
once = pytest.mark.once  # NumPy alone


# ---- 1 to 5


@once
def test_kl_of_frames_by_quadrature():
    """Of one latent after the other, in units of the prior's deviation."""
    u, step = np.linspace(-14, 14, 4001, retstep=True)
    for case in cases("kl_of_frames", 1):
        g, found = case.inputs, expected("kl_of_frames", case.inputs)
        scale = np.exp(g["prior_log_variance"] / 2)
        q = stats.norm((g["mean"] - g["prior_mean"]) / scale, np.exp(g["log_variance"] / 2) / scale)
        log_q = q.logpdf(u[:, None, None, None])
        kl = np.sum(np.exp(log_q) * (log_q - stats.norm.logpdf(u)[:, None, None, None]), axis=0) * step
        kl = kl.sum(axis=2)[:, g["known"] :].mean(axis=0)
        np.testing.assert_allclose(found["by frame"], kl, rtol=1e-6)
        assert found["a video"] == pytest.approx(kl.sum(), rel=1e-6)
        assert (abs(g["log_variance"]).max() > np.log(2.0**127)) == (case.part == "narrow")


@once
def test_the_price_of_the_future_is_what_draws_give():
    """log p(x) by the covariance of x, and the weight of a draw of the encoder."""
    rng, n = np.random.default_rng(0), 200_000
    x = rng.multivariate_normal([0, 0], [[1.25, 1.0], [1.0, 1.4]], size=n)
    z_1 = 0.8 * x[:, 0] + np.sqrt(0.2) * rng.normal(size=n)
    v = 1 / (1 / 0.15 + 1 / 0.25)
    m = v * (z_1 / 0.15 + x[:, 1] / 0.25)
    z_2 = m + np.sqrt(v) * rng.normal(size=n)
    normal = stats.norm.logpdf
    log_w = normal(z_1) + normal(z_2, z_1, np.sqrt(0.15)) + normal(x[:, 0], z_1, 0.5) + normal(x[:, 1], z_2, 0.5)
    log_w -= normal(z_1, 0.8 * x[:, 0], np.sqrt(0.2)) + normal(z_2, m, np.sqrt(v))
    gap = stats.multivariate_normal([0, 0], [[1.25, 1.0], [1.0, 1.4]]).logpdf(x) - log_w
    assert gap.mean() == pytest.approx(QUESTIONS["price_of_the_future"].targets(None)[VALUE].value, abs=0.01)


@once
def test_no_frame_sees_itself():
    """The means of a sequence depend on earlier codes alone, and on all of them."""
    for case in QUESTIONS["NextFrame"].cases(0)[:2]:
        given, text = case.inputs, QUESTIONS["NextFrame"].text
        mean = text.run(given)[0]
        for t in range(mean.shape[1]):
            features = given["features"].copy()
            features[:, t] += 1
            moved = np.abs(text.run(given | {"features": features})[0] - mean).max(axis=(0, 2)) > 0
            assert moved.tolist() == [s > t for s in range(mean.shape[1])]


@once
def test_the_best_of_k_by_enumeration_and_by_draws():
    for case in cases("best_of_k"):
        error, k = case.inputs["error"], case.inputs["k"]
        n, found = len(error), expected("best_of_k", case.inputs)
        if case.part == "many":
            assert comb(n, k) > 1e308
            rng = np.random.default_rng(0)
            chosen = [error[rng.permutation(n)[:k]].min(axis=0) for _ in range(2000)]
            np.testing.assert_allclose(found["smallest"], np.mean(chosen, axis=0), rtol=0.05)
        else:
            smallest = np.mean([error[list(c)].min(axis=0) for c in combinations(range(n), k)], axis=0)
            np.testing.assert_allclose(found["smallest"], smallest, rtol=1e-9)
        assert found["psnr"] == pytest.approx(10 * np.log10(1 / np.mean(found["smallest"])), rel=1e-9)


@once
def test_what_a_beta_costs_is_a_difference_of_densities():
    rng, D = np.random.default_rng(0), 256
    x = rng.normal(size=(1, D))
    x *= np.sqrt(0.02 / np.mean(x**2))
    bounds = [stats.norm.logpdf(x, scale=s).sum() for s in (np.sqrt(1e-3 * D / 2), np.sqrt(0.02))]
    assert bounds[1] - bounds[0] == pytest.approx(float(QUESTIONS["lost_by_beta"].targets(None)[VALUE].value))


# ---- 6

MENDED = e11.MENDED


@once
def test_the_mended_bound_by_densities_of_scipy():
    for case in cases("mended_bound"):
        g, known = case.inputs, case.inputs["known"]
        x, guess = g["x"][:, known:], g["guess"][:, known:]
        sigma = np.sqrt(np.mean((x - guess) ** 2))
        log_p = stats.norm.logpdf(x, guess, sigma).sum(axis=2)
        kl = expected("kl_of_frames", {k: v for k, v in g.items() if k not in ("x", "guess")})
        right = log_p.mean() - kl["by frame"].mean()
        assert MENDED.text.run(g)[0] == pytest.approx(right, rel=1e-9)


# ---- 7

WIDTH = e11.WIDTH


@once
@pytest.mark.parametrize(("n", "w"), [(1, 0.0), (1, 0.5), (4, 0.7), (300, 1.35), (300, 4.0)])
def test_the_best_of_n_as_measured_is_that_of_many_draws(n, w):
    """One draw: 1 + w² in each direction. Of many, the integral's mean is within four standard errors."""
    if n == 1:
        assert e11._best_of(n, w) == pytest.approx(2 + 2 * w**2, rel=1e-6)
    rng, x = np.random.default_rng(0), np.random.default_rng(1).normal(size=(20_000, 2))
    nearest = np.full(len(x), np.inf)
    for _ in range(n):
        nearest = np.minimum(nearest, np.square(x - w * rng.normal(size=x.shape)).sum(axis=1))
    assert abs(e11._best_of(n, w) - nearest.mean()) < 4 * nearest.std() / len(x) ** 0.5


@once
@pytest.mark.thorough
@pytest.mark.parametrize(("n", "excess"), [(1, 100), (4, 7), (300, 37)])
def test_what_the_truth_misses_by(n, excess):
    """As `WIDTH.because` says; a tenth off the best width costs less than the goal."""
    widths = np.linspace(0, 2, 81)
    errors = np.array([e11._best_of(n, w) for w in widths])
    best = errors.argmin()
    assert 100 * (e11._best_of(n, 1.0) / errors[best] - 1) == pytest.approx(excess, abs=0.5)
    assert f"{excess} %" in WIDTH.because
    assert 100 * (errors[best + 4] / errors[best] - 1) < 2


@once
@pytest.mark.thorough
def test_a_simulated_width_reaches_every_goal_whatever_is_drawn():
    answer = Text("flatter", ["x", "n"], e11._SIMULATED).function()
    assert checked(WIDTH, answer, 1).earned == WIDTH.points


@once
def test_a_width_of_nothing_is_judged():
    found = checked(WIDTH, lambda x, n: dict(best=0.0 if n == 1 else x.std(), likely=0.0))
    assert found.earned == 0 and found.diagnosis == "nothing"


@once
@pytest.mark.parametrize("width", [0.0, 0.65, 1.0, 1.35])
def test_no_width_wins_for_every_n(width):
    found = checked(WIDTH, lambda x, n: dict(best=width * x.std(), likely=x.std()))
    assert found.earned == 1


# ---- 8

STRING = e11.STRING


@once
def test_log_p_of_films_is_that_of_all_frames_together():
    """The covariance of whole films, without any filter."""
    rng = np.random.default_rng(0)
    a, drift, c, noise = e11._string(rng)
    T, D = 4, len(c)
    x = dynamics.simulated(rng, (a, drift, c, noise), (3, T, D))
    variances = [np.eye(4)]
    for _ in range(T - 1):
        variances.append(a @ variances[-1] @ a.T + np.diag(drift))
    power = np.linalg.matrix_power

    def block(s, t):  # covariance of z_s and z_t
        return power(a, s - t) @ variances[t] if s >= t else variances[s] @ power(a, t - s).T

    whole = np.block([[c @ block(s, t) @ c.T for t in range(T)] for s in range(T)]) + noise * np.eye(T * D)
    exact = stats.multivariate_normal(np.zeros(T * D), whole).logpdf(x.reshape(3, -1))
    np.testing.assert_allclose(dynamics.log_p(x, a, drift, c, noise), exact, rtol=1e-9)


@once
def test_a_string_keeps_its_size_and_other_coordinates_are_as_good():
    (case,) = STRING.cases(3)
    g = case.inputs
    assert abs(g["films"][:, 0].std() - g["films"][:, -1].std()) < 0.05
    a, drift, c, noise = e11._string(np.random.default_rng(3))
    order = [2, 3, 0, 1]

    def gap(c):
        return judged(g, a[order][:, order], drift[order], c, noise)["reached"]

    assert abs(gap(c[:, order])) < 1e-5 and gap(c) > 0.3


def judged(given, a, drift, c, noise):
    arrays = a, np.log(drift), c, np.array(np.log(noise))
    return STRING.derived([given], [dict(zip(dynamics.ARRAYS, arrays, strict=True))])


@once
def test_advice_tells_kinds_of_failure_apart():
    (case,) = STRING.cases(3)
    a, drift, c, noise = e11._string(np.random.default_rng(3))
    mixed = np.eye(4) + 0.5 * np.eye(4, k=1)  # coordinates in which a matrix and its transpose are not alike
    c_mixed, a_mixed = c @ mixed, np.linalg.solve(mixed, a @ mixed)

    def advice(*arrays):
        return STRING.advice(judged(case.inputs, *arrays), "all")[0]

    assert advice(a_mixed.T, drift, c_mixed, noise) == "transposed"
    assert advice(a, drift**0.5, c, noise**0.5) == "not_log_variance"
    assert advice(a, drift, c, noise**0.5) == advice(a, np.exp(drift), c, noise) == "not_log_variance"
    assert advice(a, drift, c, 1.5 * noise) == "unfinished" and advice(a, drift, c, 30 * noise) == "size"
    assert advice(0.3 * a_mixed, drift, c, noise) != "transposed"
    assert advice(np.diag(np.diagonal(a)), drift, c, noise) == "nothing_swings"
    assert advice(0 * a, drift**0, c, noise) == "no_time"
    assert advice(a[:2, :2], drift[:2], c[:, :2], noise) == "few_latents"
    assert advice(a, drift, c, np.nan) == "not_finite"


@once
def test_numbers_of_the_text():
    """What the exercise says of its goals is what they are."""
    (path,) = (Path(__file__).parents[1] / "solutions" / "source").glob("11_*.py")
    text = path.read_text(encoding="utf-8").replace("\n# ", " ")
    assert {name: goal.value for name, goal in WIDTH.goals.items()} == {"likely": 0.01, "best of n": 6}
    for said in ("at most 0.01 |", "at most 6 % |", "for at most 1.9 (*frames*", "1.35 (*time*)", "0.3 (*velocity*)"):
        assert text.count(said) == 1, said
    assert STRING.gaps == {"frames": 1.9, "time": 1.35, "velocity": 0.3, "all": 0.05} and "0.05 (*all*)" in text
    assert (e11.PIXELS, e11.FRAMES, e11.FILMS) == (16, 20, 300) and "row of 16 pixels films it, 20 frames" in text
    assert f"At most {STRING.most_latents} latents" in text and "from 300 films" in text
