"""Exercise 06: oracles against SciPy, integrals and simulations; what its audit is judged by."""

import textwrap
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import expit, logsumexp

from vaekit.course.exercises import e06

QUESTIONS = {question.name: question for question in e06.QUESTIONS}
pytestmark = pytest.mark.once  # NumPy alone


def cases(name, seeds=2):
    return [case for seed in range(seeds) for case in QUESTIONS[name].cases(seed)]


def expected(name, given):
    """The right values."""
    return QUESTIONS[name].text.run(given)


# ---- 1, 2, 3, 4


def test_a_mixtures_log_density_is_scipys():
    for case in cases("mixture_log_density"):
        z, mean, log_variance = (case.inputs[name] for name in ("z", "mean", "log_variance"))
        each = [
            stats.multivariate_normal(m, np.diag(np.exp(v))).logpdf(z) for m, v in zip(mean, log_variance, strict=True)
        ]
        np.testing.assert_allclose(
            expected("mixture_log_density", case.inputs)[0], logsumexp(each, axis=0) - np.log(len(mean)), rtol=1e-6
        )


def test_extremes_are_beyond_float32_and_narrow_components_where_the_text_says():
    for seed in range(10):
        by_part = {case.part: case.inputs for case in QUESTIONS["mixture_log_density"].cases(seed)}
        low, high = expected("mixture_log_density", by_part["extreme"])[0]
        assert low < -104 and high > 89
        assert np.all(by_part["narrow"]["log_variance"] == -10) and np.all(np.abs(by_part["narrow"]["mean"]) > 24)
        assert np.all(expected("mixture_log_density", by_part["narrow"])[0] > 0)


def test_three_parts_of_a_kl_divergence_are_integrals():
    """Three posteriors, one latent, many codes."""
    rng, S = np.random.default_rng(0), 100_000
    mean, deviation = np.array([-1.0, 0.3, 1.5]), np.array([0.5, 0.3, 0.8])
    z = mean + deviation * rng.normal(size=(S, 3))
    given = {"log_q": stats.norm.logpdf(z[:, :, None], mean, deviation), "log_p": stats.norm.logpdf(z)}
    grid = np.linspace(-8, 8, 8001)
    each = stats.norm.pdf(grid[:, None], mean, deviation) + 1e-300
    q, p = each.mean(axis=1), stats.norm.pdf(grid)
    kl = [integrate.trapezoid(e * (np.log(e) - np.log(p)), grid) for e in each.T]
    information = [integrate.trapezoid(e * (np.log(e) - np.log(q)), grid) for e in each.T]
    exact = np.mean(kl), np.mean(information), integrate.trapezoid(q * (np.log(q) - np.log(p)), grid)
    np.testing.assert_allclose(expected("split_kl", given), exact, atol=0.01)


def test_information_is_at_most_the_logarithm_of_the_number_of_images():
    for case in cases("split_kl", 5):
        kl, information, misfit = expected("split_kl", case.inputs)
        N = case.inputs["log_p"].shape[1]
        assert kl == pytest.approx(information + misfit) and information < np.log(N) + 1e-9
        if case.part == "sharp":
            assert information == pytest.approx(np.log(N))


def test_the_best_prior_gains_an_integral():
    q = stats.norm(1.5, np.sqrt(2.5))
    gain = integrate.quad(lambda z: q.pdf(z) * (q.logpdf(z) - stats.norm.logpdf(z)), -12, 15)[0]
    assert float(eval(QUESTIONS["best_prior"].value, {"log": np.log})) == pytest.approx(gain, rel=1e-6)


def test_draws_have_the_mixtures_moments():
    rng, S = np.random.default_rng(0), 200_000
    g = cases("draw_codes")[0].inputs
    z = expected("draw_codes", g | {"uniform": rng.random(S), "noise": rng.normal(size=(S, g["mean"].shape[1]))})[0]
    middle = g["weights"] @ g["mean"]
    variance = g["weights"] @ (g["mean"] ** 2 + np.exp(g["log_variance"])) - middle**2
    np.testing.assert_allclose(z.mean(axis=0), middle, atol=0.02)
    np.testing.assert_allclose(z.var(axis=0), variance, rtol=0.02)


# ---- 5


def test_the_mended_loss_is_log_densities_at_a_draw():
    for case in cases("mended_vamp", 1):
        g = case.inputs
        q = stats.norm(g["x"] @ g["to_mean"], np.exp(g["x"] @ g["to_log_variance"] / 2))
        z = q.mean() + q.std() * g["noise"]
        u = np.clip(g["pseudo_inputs"], 0, 1)
        terms = stats.norm.logpdf(z[:, None], u @ g["to_mean"], np.exp(u @ g["to_log_variance"] / 2)).sum(axis=2)
        log_p_z = logsumexp(terms, axis=1) - np.log(len(u))
        pixels = stats.bernoulli.logpmf(g["x"], expit(z @ g["down"])).sum(axis=1)
        loss = np.mean(q.logpdf(z).sum(axis=1) - log_p_z - pixels)
        assert float(expected("mended_vamp", g)[0]) == pytest.approx(loss, rel=1e-9)


def test_pseudo_inputs_leave_the_range_and_keep_away_from_its_edges():
    for case in cases("mended_vamp", 10):
        u = case.inputs["pseudo_inputs"]
        assert ((u < 0) | (u > 1)).any() and np.minimum(np.abs(u), np.abs(u - 1)).min() > 0.04


# ---- 6


def audited(answer, seed):
    rng = np.random.default_rng(seed)
    (problem,) = e06._sheets(rng)
    program = answer(*(problem[name] for name in ("samples", "mean", "log_variance")))["program"]
    return e06._identified(rng, **problem, program=np.asarray(program))


def compiled(body):
    namespace = {"np": np, "LOG_2PI": np.log(2 * np.pi)}
    exec(f"def answer(samples, mean, log_variance):\n{textwrap.indent(body, '    ')}", namespace)
    return namespace["answer"]


def test_the_audit_finds_every_program_in_other_sheets():
    answer = compiled(QUESTIONS["which_program"].answer.partition(":\n")[2] or QUESTIONS["which_program"].answer)
    assert min(audited(answer, seed)["found"] for seed in range(8)) > 0.97


def test_sheets_of_each_program_are_as_many():
    (problem,) = e06._sheets(np.random.default_rng(0))
    assert np.all(np.bincount(problem["programs"]) == e06.SHEETS // len(e06.PROGRAMS))
    assert problem["samples"].shape == (e06.SHEETS, e06.DRAWS, e06.LATENTS)


def test_numbers_of_the_text():
    (path,) = (Path(__file__).parents[1] / "solutions" / "source").glob("06_*.py")
    text = path.read_text(encoding="utf-8").replace("\n# ", " ")
    assert f"Sheets of {e06.DRAWS} samples" in text and f"a mixture of {e06.COMPONENTS} normal" in text
    assert f"for {e06.SHEETS} sheets" in text and f"in {e06.LATENTS} latents" in text
    goals = [goal.value for goal in QUESTIONS["which_program"].goals.values()]
    assert goals == [0.5, 0.75, 0.95]
