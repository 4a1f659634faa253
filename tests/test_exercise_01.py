"""Oracles of exercise 01 against SciPy, finite differences and simulation."""

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq
from scipy.special import softmax

from vaekit.course.exercise import Exercise
from vaekit.course.questions.question import VALUE, with_gradients

QUESTIONS = Exercise("01").questions


def inputs(name, seeds=10):
    """Of all cases of a question."""
    return [case.inputs for seed in range(seeds) for case in QUESTIONS[name].cases(seed)]


def expected(name, given):
    return {key: target.value for key, target in QUESTIONS[name].targets(given).items()}


@pytest.mark.parametrize("name", ["gaussian_sample", "exponential_sample", "truncated_normal_sample"])
def test_gradients_of_samples_are_derivatives(name):
    """Central differences of the oracle's own values."""
    of = QUESTIONS[name].observe.options["of"]
    slopes = with_gradients(lambda **given: expected(name, given)[VALUE], *of)
    for given in inputs(name, 3):
        right = expected(name, given)
        for key, slope in slopes(**given).items():
            np.testing.assert_allclose(slope, right[key], rtol=1e-5, atol=1e-6, err_msg=key)


def test_gaussian():
    for given in inputs("gaussian_sample"):
        z, scale = expected("gaussian_sample", given)[VALUE], np.exp(given["log_variance"] / 2)
        np.testing.assert_allclose(stats.norm.cdf(z, given["mean"], scale), stats.norm.cdf(given["noise"]), rtol=1e-9)


def test_exponential():
    for given in inputs("exponential_sample"):
        z = stats.expon.ppf(given["uniform"], scale=1 / given["rate"])
        np.testing.assert_allclose(expected("exponential_sample", given)[VALUE], z, rtol=1e-9)


def test_log_normal():
    for given in inputs("log_normal"):
        right = expected("log_normal", given)
        z = np.exp(given["mean"] + given["scale"] * given["noise"])
        log_density = stats.lognorm.logpdf(z, s=given["scale"], scale=np.exp(given["mean"])).sum(-1)
        np.testing.assert_allclose(right["log density"], log_density, rtol=1e-9)
        assert (np.isfinite(right["sample"]) == (np.log(z) < 89)).all()

        def along_the_path(mean, scale, noise):
            return stats.norm.logpdf(noise).sum(-1) - (np.log(scale) + mean + scale * noise).sum(-1)

        for argument, slope in with_gradients(along_the_path, "mean", "scale")(**given).items():
            if argument != VALUE:
                name = argument.replace("gradient of ", "gradient of log density for ")
                np.testing.assert_allclose(slope, right[name], rtol=1e-5, atol=1e-5)


def test_truncated():
    """SciPy's are right far out in the tails, too."""
    for given in inputs("truncated_normal_sample"):
        mean, scale = given["mean"], given["scale"]
        a, b = (given["low"] - mean) / scale, (given["high"] - mean) / scale
        z = stats.truncnorm.ppf(given["uniform"], a, b, mean, scale)
        np.testing.assert_allclose(expected("truncated_normal_sample", given)[VALUE], z, rtol=1e-8, atol=1e-8)


def test_score_function():
    for given in inputs("score_function"):
        sample, weight = given["sample"], given["cost"] - given.get("baseline", 0.0)

        def weighted(mean, log_scale, sample=sample, weight=weight):
            return weight @ stats.norm.logpdf(sample, mean, np.exp(log_scale)).sum(-1)

        parameters = {"mean": given["mean"], "log_scale": given["log_scale"]}
        slopes = with_gradients(weighted, "mean", "log_scale")(**parameters)
        right = expected("score_function", given)
        np.testing.assert_allclose(right["for mean"].sum(0), slopes["gradient of mean"], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(right["for log scale"].sum(0), slopes["gradient of log_scale"], rtol=1e-5, atol=1e-5)


def test_samples_worth():
    """By quadrature: variances of both estimators, and the baseline with the smallest one."""
    x, w = np.polynomial.hermite_e.hermegauss(60)
    w = w / w.sum()
    z = 0.7 + x  # for any μ
    by_path = w @ np.exp(2 * z) - (w @ np.exp(z)) ** 2
    by_score = min(w @ ((np.exp(z) - b) * x) ** 2 for b in np.linspace(0, 20, 20_001)) - (w @ np.exp(z)) ** 2
    assert by_score / by_path == pytest.approx(5, rel=1e-4)
    assert expected("samples_worth", {})[VALUE] == 5


def test_mixture():
    """dz/dθ by solving F(z) = u again for parameters a little off."""

    def tails(z, parameters):  # F and 1 − F
        weights = softmax(parameters["logits"])
        return [weights @ stats.norm.cdf(s * (z - parameters["means"]) / parameters["scales"]) for s in (1, -1)]

    for given in inputs("mixture_path", 2):
        right = expected("mixture_path", given)
        for s, z in enumerate(given["sample"]):
            row = {name: value[s] for name, value in given.items() if name != "sample"}
            tail = int(np.argmin(tails(z, row)))
            u = np.log(tails(z, row)[tail])
            for name in row:
                for k in range(len(row[name])):
                    found = []
                    for h in (1e-5, -1e-5):
                        moved = {**row, name: row[name] + h * np.eye(len(row[name]))[k]}

                        def gap(x, moved=moved, tail=tail, u=u):
                            return np.log(tails(x, moved)[tail]) - u

                        found.append(brentq(gap, z - 0.1, z + 0.1, xtol=1e-13, rtol=1e-14))
                    slope = (found[0] - found[1]) / 2e-5
                    assert slope == pytest.approx(right[f"gradient of {name}"][s, k], rel=1e-4, abs=1e-6)


def test_false_alarms_of_the_layer_are_rare():
    """Statistics of right draws, by NumPy, are as far from the expected ones as their standard errors say."""
    given = QUESTIONS["Reparameterize"].cases(0)[0].inputs
    targets, rng, draws = QUESTIONS["Reparameterize"].targets(given), np.random.default_rng(0), 20_000
    far = []
    for _ in range(200):
        noise = rng.normal(size=(draws, *given["mean"].shape))
        spread = noise.std(0) * np.exp(given["log_variance"] / 2)
        rows = noise.reshape(-1, given["mean"].shape[1])
        for name, value in (
            ("spread", spread),
            ("centre", noise.mean(0)),
            ("rows", np.mean(rows[1:] * rows[:-1])),
            ("dimensions", np.mean(rows[:, 1:] * rows[:, :-1])),
        ):
            target = targets[name]
            allowed = target.atol + target.rtol * np.abs(target.value)
            far.append(np.ravel(7 * (value - target.value) / allowed))  # in standard errors
    far = np.concatenate(far)
    assert far.std() == pytest.approx(1, abs=0.07) and np.abs(far).max() < 5.5
