"""Exercise 03: oracles against SciPy, exact arithmetic and simulations; what its experiment and fit are judged by."""

import copy
import math
from decimal import Decimal
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from checking import cases_and_values, checked
from keras import ops
from scipy import integrate, stats
from scipy.special import logsumexp

from vaekit.course.exercises import e03
from vaekit.course.observe import VALUE
from vaekit.course.questions.judge import judge
from vaekit.course.questions.mend import ELSE, RIGHT
from vaekit.course.questions.model import DECODER

QUESTIONS = {question.name: question for question in e03.QUESTIONS}
cases, expected = cases_and_values(QUESTIONS, seeds=3)
once = pytest.mark.once  # NumPy alone


# ---- 1, 2


@once
def test_weights_far_out_are_those_of_decimal_numbers():
    """Which have an exponent without end."""
    for case in cases("log_mean_weight"):
        right = expected("log_mean_weight", case.inputs)
        for n, column in enumerate(case.inputs["log_weights"].T):
            w = [Decimal(float(value)).exp() if np.isfinite(value) else Decimal(0) for value in column]
            assert math.isclose(right["estimate"][n], (sum(w) / len(w)).ln(), rel_tol=1e-12, abs_tol=1e-12)
            squares = sum(weight * weight for weight in w)
            assert math.isclose(right["effective sample size"][n], sum(w) ** 2 / squares, rel_tol=1e-10)


@once
def test_samples_needed_by_quadrature():
    def squared(z):
        return stats.norm.pdf(z) ** 2 / stats.norm.pdf(z, 0.4)

    moment = integrate.quad(squared, -12, 12)[0]
    assert math.isclose((moment**20 - 1) / 0.2, float(QUESTIONS["samples_needed"].expected(None)[VALUE]), rel_tol=1e-8)


# ---- 3

PLAN = e03.PLAN


def plan(**changes):
    """The solution, with other settings."""
    space = {"np": np}
    exec(f"def plan(pilot):\n{'    '.join(['', *PLAN.answer.splitlines(keepends=True)])}", space)
    return lambda pilot: space["plan"](pilot) | changes


@once
@pytest.mark.parametrize("estimator", sorted(e03.ESTIMATORS))
def test_terms_are_those_of_codes_that_are_drawn(estimator):
    """By distances alone, or by images and codes and SciPy's densities: the same distributions."""
    rng, latents, widening, s = np.random.default_rng(0), 3, 1.7, e03.NOISE
    x = rng.normal(size=(1, 4000, latents)) * np.sqrt(1 + s**2)
    mean, deviation = x / (1 + s**2), s / np.sqrt(1 + s**2)
    q = stats.norm(mean, deviation * (1 if estimator == "harmonic mean" else np.sqrt(widening)))
    z = mean + q.std() * rng.normal(size=x.shape)
    log_p = stats.norm.logpdf(x, 0, np.sqrt(1 + s**2)).sum(axis=-1)[0]
    terms = stats.norm.logpdf(x, z, s).sum(axis=-1)
    if estimator not in ("harmonic mean", "reconstruction"):
        terms = terms + stats.norm.logpdf(z).sum(axis=-1) - q.logpdf(z).sum(axis=-1)
    by_distances = e03._terms(rng, estimator, 1, 4000, latents, widening)
    for ours, others in ((log_p, by_distances[0]), ((terms - log_p)[0], (by_distances[1] - by_distances[0])[0])):
        assert stats.ks_2samp(ours, others).pvalue > 1e-3


@once
@pytest.mark.parametrize("seed", [None, *range(6)])
def test_a_plan_reaches_every_goal_whatever_is_drawn(seed):
    assert checked(PLAN, plan(), seed).earned == PLAN.points


@once
def test_bias_and_error_are_what_formulas_say():
    """Of many samples the bias is v / 2S, and the standard error that of log p(x), √(L/2) an image."""
    latents, c2, S = 8, 2.2, 1000
    outcome = e03._report(np.random.default_rng(0), None, latents, c2, "log of mean", "images", S, 100)
    v = (c2 / np.sqrt(2 * c2 - 1)) ** latents - 1
    assert outcome["offset"] == pytest.approx(-v / (2 * S), abs=4 * np.sqrt(v / S / 4000))
    assert outcome["standard_error"] == pytest.approx(np.sqrt(latents / 2) / 10, rel=0.05)
    assert outcome["intervals_that_hold_the_truth"] == pytest.approx(0.95, abs=0.03)
    assert outcome["cost"] * e03._fewest_decodings(latents, c2) == pytest.approx(S * 100)


@once
def test_what_fits_one_model_does_not_fit_the_other():
    """Settings that know nothing of the pilot: the worse of two models counts."""
    for samples, images in product((20, 60, 150, 300), (50, 150, 450)):
        assert checked(PLAN, plan(samples=samples, images=images)).earned < 0.8 * PLAN.points, (samples, images)


# ---- 4


@once
def test_a_path_of_short_steps_is_that_of_the_differential_equation():
    given = QUESTIONS["leapfrog"].cases(0)[0].inputs
    W, s = given["weights"], given["noise_scale"]

    def moving(_, state):
        z, v = state.reshape(2, *given["z"].shape)
        return np.ravel([v, (given["x"] - given["bias"] - z @ W) @ W.T / s**2 - z])

    start = np.ravel([given["z"], given["momentum"]])
    end = integrate.solve_ivp(moving, (0, 0.5), start, rtol=1e-10, atol=1e-10).y[:, -1]
    found = expected("leapfrog", given | {"step_size": 5e-4, "steps": 1000})
    np.testing.assert_allclose(np.ravel([found["position"], found["end momentum"]]), end, atol=1e-5)
    assert (found["log acceptance"] > -1e-5).all()


@once
def test_a_path_leads_back_and_keeps_volumes():
    for case in [case for case in cases("leapfrog", 1) if case.part is None]:
        given, shape = case.inputs, case.inputs["z"].shape

        def walk(state, given=given, shape=shape):
            z, v = state.reshape(2, *shape)
            found = expected("leapfrog", given | {"z": z, "momentum": v})
            return np.ravel([found["position"], found["end momentum"]])

        start, turned = np.ravel([given["z"], given["momentum"]]), np.repeat([1, -1], given["z"].size)
        np.testing.assert_allclose(walk(walk(start) * turned) * turned, start, rtol=1e-9, atol=1e-9)
        base = walk(np.zeros(start.size))
        slopes = np.array([walk(e) - base for e in np.eye(start.size)])  # the path is linear in where it begins
        assert np.linalg.det(slopes) == pytest.approx(1, rel=1e-9)


@once
def test_the_energy_is_the_joint_density():
    for case in cases("leapfrog", 1):
        given, found = case.inputs, expected("leapfrog", case.inputs)

        def energy(z, v, given=given):
            log_p = stats.norm.logpdf(given["x"], z @ given["weights"] + given["bias"], given["noise_scale"]).sum(1)
            return -log_p - stats.norm.logpdf(z).sum(1) - stats.norm.logpdf(v).sum(1)

        change = energy(given["z"], given["momentum"]) - energy(found["position"], found["end momentum"])
        np.testing.assert_allclose(found["log acceptance"], np.minimum(change, 0), rtol=1e-8, atol=1e-8)


# ---- 5


@once
def test_weights_upwards_have_the_mean_p_and_downwards_its_reciprocal():
    """One latent, z ~ N(0, 1), x ~ N(z, s²), where each f_t can be drawn from at once."""
    rng, S, x, s = np.random.default_rng(0), 200_000, 1.3, 0.6
    betas = np.array([0, 0.1, 0.3, 0.6, 1])
    precision = 1 + betas / s**2
    z = betas[:, None] * x / s**2 / precision[:, None] + rng.normal(size=(2, 5, S)) / np.sqrt(precision)[:, None]
    up, down = stats.norm.logpdf(x, z, s)[..., None]
    found = expected("ais_bracket", {"betas": betas, "up": up, "down": down})
    log_p = stats.norm.logpdf(x, 0, np.sqrt(1 + s**2))
    assert found["from below"][0] == pytest.approx(log_p, abs=0.01)
    assert found["from above"][0] == pytest.approx(log_p, abs=0.01)
    few = {"up": up[:, :50_000].reshape(5, 5, -1), "down": down[:, :50_000].reshape(5, 5, -1)}  # five runs each
    found = expected("ais_bracket", {"betas": betas, **few})
    assert found["from below"].mean() < log_p - 0.005 < log_p + 0.005 < found["from above"].mean()


# ---- 6


@once
def test_phases_are_densities_and_their_gradients_those_of_pencil_and_paper():
    question = QUESTIONS["wake_sleep"]
    for case in cases("wake_sleep", 1):
        g, s, N = case.inputs, case.inputs["noise_scale"], len(case.inputs["x"])
        sigma = np.exp(g["log_variance"] / 2)
        z = g["x"] @ g["encoder"] + sigma * g["noise"]
        error = g["x"] - g["bias"] - z @ g["weights"]
        dream = g["dream_z"] @ g["weights"] + g["bias"] + s * g["dream_noise"]
        off = g["dream_z"] - dream @ g["encoder"]
        wake = stats.norm.logpdf(error, 0, s).sum(1) + stats.norm.logpdf(z).sum(1)
        exact = {
            "wake": -wake.mean(),
            "sleep": -stats.norm.logpdf(off, 0, sigma).sum(1).mean(),
            "gradient of wake for weights": -z.T @ error / s**2 / N,
            "gradient of wake for bias": -error.mean(axis=0) / s**2,
            "gradient of wake for encoder": 0 * g["encoder"],
            "gradient of wake for log_variance": 0 * sigma,
            "gradient of sleep for weights": 0 * g["weights"],
            "gradient of sleep for bias": 0 * g["bias"],
            "gradient of sleep for encoder": -dream.T @ (off / sigma**2) / N,
            "gradient of sleep for log_variance": 0.5 * (1 - (off / sigma) ** 2).mean(axis=0),
        }
        targets = question.targets(case)
        assert set(targets) == set(exact)
        for name, value in exact.items():
            np.testing.assert_allclose(targets[name].value, value, rtol=1e-5, atol=1e-6, err_msg=name)


# ---- 7

REPORT = e03.REPORT


def reported(steps):
    """What is reported, in all cases, after some steps with the errors."""
    text = REPORT._text({ELSE: RIGHT} | steps)
    return np.array([text.run(case.inputs)[0] for case in REPORT.cases(1)])


@once
def test_the_report_is_what_it_says():
    for case in cases("mended_report", 1):
        g = case.inputs
        q = stats.norm(g["mean"], 1.2 * np.exp(g["log_variance"] / 2))
        z = q.mean() + q.std() * g["noise"]
        p = stats.bernoulli(1 / (1 + np.exp(-(z @ g["weights"] + g["bias"]))))
        log_w = p.logpmf(g["uniform"] < g["x"]).sum(-1) + stats.norm.logpdf(z).sum(-1) - q.logpdf(z).sum(-1)
        right = np.mean([logsumexp(run, axis=0, b=1 / len(run)).mean() for run in log_w])
        assert REPORT.text.run(g)[0] == pytest.approx(right, rel=1e-9)


# ---- 8


def small_fit():
    """The question with a decoder of one latent, and an encoder that knows the posterior's mean and variance."""
    rng = np.random.default_rng(0)
    shapes = [(1, 30), (30,), (30, 40), (40,)]
    decoder = {name: rng.normal(size=shape) for name, shape in zip(DECODER, shapes, strict=True)}
    z = np.linspace(-8, 8, 2001)[:, None]
    a = np.tanh(z @ decoder["hidden_weights"] + decoder["hidden_bias"]) @ decoder["output_weights"]
    a = a + decoder["output_bias"]
    drawn = 1 / (1 + np.exp(-a[rng.integers(800, 1200, size=500)]))

    def log_joint(images):
        return images @ a.T - np.logaddexp(0, a).sum(axis=1) + stats.norm.logpdf(z[:, 0])

    def encoder(images):
        share = np.exp(log_joint(images) - logsumexp(log_joint(images), axis=1, keepdims=True))
        return share @ z, np.log(share @ z**2 - (share @ z) ** 2)

    question = copy.copy(e03.FIT)
    question.model, question.images, question._known = lambda: (decoder, encoder), lambda: drawn, None
    question.observe = e03.FIT.observe
    return question, encoder, lambda images: logsumexp(log_joint(images), axis=1) + np.log(z[1, 0] - z[0, 0])


@once
def test_no_q_makes_the_estimate_exceed_log_p():
    """One latent: log p(x) is a sum over a grid."""
    question, encoder, log_p = small_fit()
    (case,) = question.cases(1)
    images = case.inputs["images"]
    mean, log_variance = encoder(images)

    def reached(mean, log_variance):
        derived = question.derived([case.inputs], [{"mean": mean, "log_variance": log_variance}])
        return derived["codes"] + question._reference(None, images, None)[0]

    assert -0.2 < reached(mean, log_variance) - log_p(images).mean() < 0.02
    for m, v in product(
        [mean, 0 * mean, mean + 2, 1e6 * mean, np.full_like(mean, 1e300)],
        [log_variance, log_variance + 0.5, log_variance - 5, np.full_like(mean, -700), np.full_like(mean, 700)],
    ):
        assert not reached(m, v) > log_p(images).mean() + 0.02, (m[0], v[0])


@once
def test_points_come_in_steps_and_the_estimate_is_shown(monkeypatch):
    given, steps = e03.FIT.cases(1), list(e03.FIT.bounds.values())
    assert steps == sorted(steps) and len(steps) == 4
    readings = ["log σ", "σ²", "σ", "exchanged", "wider", "narrower"]
    told = {"gains": dict.fromkeys(readings, -np.inf), "alike": False, "size": 1.0}
    for above, earned in ((-11.0, 0), (-5.0, 1), (0.1, 2), (0.5, 3), (0.7, 4)):
        derived = dict.fromkeys(e03.FIT.bounds, np.array(above)) | told | {"finite": True, "reconstruction": (-80, -80)}
        monkeypatch.setattr(e03.FIT, "derived", lambda *_, derived=derived: derived, raising=False)
        verdict = judge(e03.FIT, given, [{}])
        assert verdict.earned == earned and f"above the encoder's estimate: {above:.2f} nats" in repr(verdict)


@once
def test_a_check_has_the_same_images_each_time_and_a_grader_others():
    images = [e03.FIT.cases(seed)[0].inputs["images"] for seed in (None, 0, 1)]
    assert images[0].shape == (60, 784) and set(np.unique(images[0])) == {0, 1}
    np.testing.assert_array_equal(images[0], images[1])
    assert (images[0] != images[2]).any()


@once
def test_the_same_q_reaches_the_same_and_another_meets_other_noise():
    question, encoder, _ = small_fit()
    (case,) = question.cases(1)
    mean, log_variance = encoder(case.inputs["images"])
    first, again, other = (
        float(question.derived([case.inputs], [{"mean": mean + shift, "log_variance": log_variance}])["codes"])
        for shift in (0, 0, 1e-12)
    )
    assert first == again != other and abs(first - other) < 0.1


def test_the_encoder_is_that_of_the_paper():
    from vaekit.papers import kingma2013

    images = e03.FIT.cases(1)[0].inputs["images"][:4]
    q = kingma2013.load("mnist_20").posterior(images.reshape(4, 28, 28, 1).astype("float32"))
    mean, log_variance = e03._decoder_and_encoder()[1](images)
    np.testing.assert_allclose(mean, ops.convert_to_numpy(q.mean()), atol=1e-4)
    np.testing.assert_allclose(log_variance, 2 * np.log(ops.convert_to_numpy(q.stddev())), atol=1e-4)


@once
def test_numbers_of_the_text():
    """What the exercise says of its goals is what they are."""
    (path,) = (Path(__file__).parents[1] / "solutions" / "source").glob("03_*.py")
    text = path.read_text(encoding="utf-8")
    samples, images = e03.PILOT
    assert f"of {samples} samples for each of {images} images" in text.replace("\n# ", " ")
    goals = {name: goal.value for name, goal in PLAN.goals.items()}
    assert goals == {"nearly unbiased": 0.2, "unbiased": 0.1, "honest": 0.9, "sharp": 0.2, "cheap": 6.0, "cheaper": 4.0}
    for said in ("at most 0.1 nats", "at least 0.9", "at most 6 times", "at most 4 times"):
        assert text.count(said) == 1
    assert text.count("at most 0.2 nats") == 2
    assert PLAN.settings["samples"] == (1, 2000) and PLAN.settings["images"] == (10, 2000)
    assert list(e03.FIT.bounds.values()) == [-10, -2, 0.2, 0.6] and e03.FIT.count == 60
    assert "within 10 nats of it, within 2, for being better by 0.2 nats, and by 0.6" in text.replace("\n# ", " ")
    assert "three minutes" in text and e03.FIT.seconds == 180
