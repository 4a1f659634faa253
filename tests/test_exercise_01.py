"""Oracles of exercise 01 against SciPy, finite differences and simulation."""

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq
from scipy.special import softmax

from vaekit.course.exercise import Exercise
from vaekit.course.observe import VALUE

QUESTIONS = Exercise("01").questions


def cases(name, seeds=10):
    """(inputs, what is expected) of all cases of a question."""
    return [
        (case.inputs, {key: target.value for key, target in QUESTIONS[name].targets(case).items()})
        for seed in range(seeds)
        for case in QUESTIONS[name].cases(seed)
    ]


def slopes(function, given, name):
    """Central differences of Σ function(**given) for one of its arguments."""
    found = np.empty_like(given[name])
    for i in np.ndindex(found.shape):
        step = np.zeros_like(found)
        step[i] = 1e-5
        ends = [np.sum(function(**{**given, name: given[name] + s * step})) for s in (1, -1)]
        found[i] = (ends[0] - ends[1]) / 2e-5
    return found


def gaussian(mean, log_variance, noise):
    return stats.norm.ppf(stats.norm.cdf(noise), mean, np.exp(log_variance / 2))


def exponential(rate, uniform):
    return stats.expon.ppf(uniform, scale=1 / rate)


def truncated(mean, scale, low, high, uniform):
    """SciPy's are right far out in the tails, too."""
    return stats.truncnorm.ppf(uniform, (low - mean) / scale, (high - mean) / scale, mean, scale)


@pytest.mark.parametrize(
    ("name", "function", "arguments"),
    [
        ("gaussian_sample", gaussian, ["mean", "log_variance"]),
        ("exponential_sample", exponential, ["rate"]),
        ("truncated_normal_sample", truncated, ["mean", "scale"]),
    ],
)
def test_samples_are_scipys_quantiles_and_gradients_their_slopes(name, function, arguments):
    for given, right in cases(name, 3):
        np.testing.assert_allclose(right[VALUE], function(**given), rtol=1e-8, atol=1e-8 * (name[0] == "t"))
        for argument in arguments:
            slope = slopes(function, given, argument)
            np.testing.assert_allclose(right[f"gradient of {argument}"], slope, rtol=1e-4, atol=1e-6, err_msg=argument)


def test_log_normal():
    def along_the_path(mean, scale, noise):
        return stats.norm.logpdf(noise).sum(-1) - (np.log(scale) + mean + scale * noise).sum(-1)

    for given, right in cases("log_normal"):
        z = np.exp(given["mean"] + given["scale"] * given["noise"])
        log_density = stats.lognorm.logpdf(z, s=given["scale"], scale=np.exp(given["mean"])).sum(-1)
        np.testing.assert_allclose(right["log density"], log_density, rtol=1e-9)
        np.testing.assert_allclose(right["sample"], np.where(np.log(z) < 89, z, np.inf), rtol=1e-9)
        for argument in ("mean", "scale"):
            slope = right[f"gradient of log density for {argument}"]
            np.testing.assert_allclose(slope, slopes(along_the_path, given, argument), rtol=1e-5, atol=1e-5)
        if np.isfinite(right["sample"]).all():
            np.testing.assert_allclose(right["gradient of sample for mean"], z, rtol=1e-5)
            np.testing.assert_allclose(right["gradient of sample for scale"], z * given["noise"], rtol=1e-5)


def test_score_function():
    def weighted(sample, cost, mean, log_scale, baseline=0.0):
        return (cost - baseline) @ stats.norm.logpdf(sample, mean, np.exp(log_scale)).sum(-1)

    for given, right in cases("score_function"):
        for argument, name in (("mean", "for mean"), ("log_scale", "for log scale")):
            np.testing.assert_allclose(right[name].sum(0), slopes(weighted, given, argument), rtol=1e-5, atol=1e-5)


def test_samples_worth():
    """By quadrature: variances of both estimators, and the baseline with the smallest one."""
    x, w = np.polynomial.hermite_e.hermegauss(60)
    w = w / w.sum()
    z = 0.7 + x  # for any μ
    by_path = w @ np.exp(2 * z) - (w @ np.exp(z)) ** 2
    by_score = min(w @ ((np.exp(z) - b) * x) ** 2 for b in np.linspace(0, 20, 20_001)) - (w @ np.exp(z)) ** 2
    assert by_score / by_path == pytest.approx(5, rel=1e-4)
    assert all(right[VALUE] == 5 for _, right in cases("samples_worth"))


def test_mixture():
    """dz/dθ by solving F(z) = u again for parameters a little off."""

    def tails(z, parameters):  # F and 1 − F
        weights = softmax(parameters["logits"])
        return [weights @ stats.norm.cdf(s * (z - parameters["means"]) / parameters["scales"]) for s in (1, -1)]

    for given, right in cases("mixture_path", 2):
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
