"""Exercise 06: oracles against SciPy, integrals and simulations; what an experiment and a model are judged by."""

import textwrap
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import log_expit, logsumexp

from vaekit.course.exercises import e06
from vaekit.course.observe import observe
from vaekit.course.questions import model

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
            in_another = np.log(1 + np.e) / case.inputs["log_p"].size  # one code, e times as probable there
            assert information == pytest.approx(np.log(N) - in_another)


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


# ---- 6


def test_the_mended_loss_is_log_densities_at_a_draw():
    for case in cases("mended_vamp", 1):
        g = case.inputs
        q = stats.norm(g["x"] @ g["to_mean"], np.exp(g["x"] @ g["to_log_variance"] / 2))
        z = q.mean() + q.std() * g["noise"]
        u = np.clip(g["pseudo_inputs"], 0, 1)
        terms = stats.norm.logpdf(z[:, None], u @ g["to_mean"], np.exp(u @ g["to_log_variance"] / 2)).sum(axis=2)
        log_p_z = logsumexp(terms, axis=1) - np.log(len(u))
        pixels = log_expit(np.where(g["x"] > 0, 1, -1) * (z @ g["down"])).sum(axis=1)
        loss = np.mean(q.logpdf(z).sum(axis=1) - log_p_z - pixels)
        assert float(expected("mended_vamp", g)[0]) == pytest.approx(loss, rel=1e-9)


def test_a_code_is_beyond_float32_under_all_components_of_the_second_batch():
    for seed in range(10):
        g = QUESTIONS["mended_vamp"].cases(seed)[-1].inputs
        q = stats.norm(g["x"] @ g["to_mean"], np.exp(g["x"] @ g["to_log_variance"] / 2))
        u = np.clip(g["pseudo_inputs"], 0, 1)
        z = (q.mean() + q.std() * g["noise"])[:, None]
        terms = stats.norm.logpdf(z, u @ g["to_mean"], np.exp(u @ g["to_log_variance"] / 2)).sum(axis=2)
        assert terms[0].max() < -120 and terms[1:].max() > -80, (seed, terms)


def test_pseudo_inputs_leave_the_range_and_keep_away_from_its_edges():
    for case in cases("mended_vamp", 10):
        u = case.inputs["pseudo_inputs"]
        assert ((u < 0) | (u > 1)).any() and np.minimum(np.abs(u), np.abs(u - 1)).min() > 0.04


# ---- 7

WIDENED = QUESTIONS["widened_prior"]


def plan(body, problem):
    namespace = {"np": np, "LOG_2PI": np.log(2 * np.pi)}
    exec(f"def answer(codes, deviation):\n{textwrap.indent(body, '    ')}", namespace)
    return namespace["answer"](problem["codes"], problem["deviation"])


def test_a_price_is_a_mean_of_log_densities():
    rng = np.random.default_rng(0)
    codes, centres, noise = rng.normal(size=(50, 3)), rng.normal(size=(7, 3)), rng.normal(size=(50, 3))
    z, deviation, width = codes + 0.1 * noise, 0.1, 3.0
    log_p = logsumexp(stats.norm.logpdf(z[:, None], centres, width * deviation).sum(axis=2), axis=1) - np.log(7)
    log_q = stats.norm(0, deviation).entropy() * -3
    ours = e06._price(e06._squares(z, centres), deviation, width, 3)
    assert ours == pytest.approx(log_q - log_p.mean(), abs=1e-6)


def test_a_width_chosen_by_other_images_is_the_best_one():
    for seed in range(2):
        for problem in e06._data_sets(np.random.default_rng(seed)):
            chosen = plan(WIDENED.answer, problem)
            found = e06._widened(np.random.default_rng(seed), **problem, **chosen)
            assert found["lost"] < 0.05 and found["gain"] > 0.3, found


# ---- 8

TRAINED = QUESTIONS["train_vamp"]


def networks(rng, pixels=8, hidden=5, components=3):
    """Arrays of a decoder with one latent, and of a prior."""
    shapes = {"hidden_weights": (1, hidden), "hidden_bias": (hidden,), "output_weights": (hidden, pixels)}
    shapes |= {"output_bias": (pixels,), "prior_mean": (components, 1), "prior_log_variance": (components, 1)}
    return {name: rng.normal(size=shape) for name, shape in shapes.items()}


def test_the_mean_weight_is_p_of_x_under_the_mixture():
    """One latent: log p(x) is a sum over a grid."""
    rng = np.random.default_rng(0)
    arrays, images = networks(rng), 1.0 * (rng.random((6, 8)) < 0.5)
    mean, log_variance = rng.normal(size=(6, 1)), np.full((6, 1), 1.5)
    many = [np.tile(array, (1000, 1)) for array in (images, mean, log_variance)]
    reconstruction, kl = model.terms(*many, arrays, rng.normal(size=(40, 6000, 1)))
    by_weights = logsumexp((reconstruction - kl).reshape(-1, 6), axis=0) - np.log(40_000)
    grid = np.linspace(-9, 9, 4001)
    deviation = np.exp(arrays["prior_log_variance"][:, 0] / 2)
    p = stats.norm.pdf(grid[:, None], arrays["prior_mean"][:, 0], deviation).mean(axis=1)
    hidden = np.tanh(grid[:, None] @ arrays["hidden_weights"] + arrays["hidden_bias"])
    logits = hidden @ arrays["output_weights"] + arrays["output_bias"]
    pixels = np.exp(images @ logits.T - np.logaddexp(0, logits).sum(axis=1))
    np.testing.assert_allclose(by_weights, np.log(pixels @ p * (grid[1] - grid[0])), atol=0.06)


def test_shapes_of_a_prior_are_looked_at():
    rng = np.random.default_rng(0)
    arrays = networks(rng, pixels=196)
    images, codes = np.zeros((4, 196)), {"mean": np.zeros((4, 1)), "log_variance": np.zeros((4, 1))}
    for changes, said in (
        ({"prior_mean": np.zeros((51, 1))}, "50 components are the most"),
        ({"prior_log_variance": np.zeros((2, 1))}, "`prior_log_variance` should have the shape (3, 1), it has (2, 1)"),
        ({"prior_mean": np.zeros(())}, "50 components are the most"),
    ):
        found = TRAINED.derived([{"seed": 1}, {"images": images}], [arrays | changes, codes])
        name, sentence = TRAINED.advice(found, "codes")
        assert name == "shapes" and said in sentence, sentence


def test_a_prior_is_worth_what_one_normal_of_the_codes_lacks():
    """Two heaps of codes, and a component for each: ½ log(variance of all / within) − log 2."""
    images, arrays = np.zeros((400, 196)), networks(np.random.default_rng(0), pixels=196, components=2)
    arrays |= {"output_weights": np.zeros((5, 196)), "output_bias": np.full(196, -20.0)}
    heaps, log_variance = np.array([[-3.0], [3.0]]), np.log(0.01)
    codes = {"mean": np.tile(heaps, (200, 1)), "log_variance": np.full((400, 1), log_variance)}
    inputs = [{"seed": 1}, {"images": images}]
    for prior, worth in (
        ({"prior_mean": heaps, "prior_log_variance": np.full((2, 1), log_variance)}, 0.5 * np.log(901) - np.log(2)),
        ({"prior_mean": 0 * heaps, "prior_log_variance": np.full((2, 1), np.log(9.01))}, 0.0),
    ):
        found = TRAINED.derived(inputs, [arrays | prior, codes])
        assert found["prior"] == pytest.approx(worth, abs=0.08)  # 400 codes
    assert TRAINED.advice(found, "prior")[0] == "no_mixture"


def test_a_collapsed_model_has_a_prior_worth_nothing():
    told = {"bound": np.array(-52.1), "reconstruction": -52.1, "kl": 0.0, "read": {"σ": np.nan}, "prior": 0.0}
    name, sentence = TRAINED.advice(
        told | {"priors": dict.fromkeys((*model.OTHER_PRIORS, "one normal"), -52.2)}, "prior"
    )
    assert name == "no_codes" and "fallen into each other" in sentence


def test_a_prior_that_is_elsewhere_or_misread_is_named():
    told = {"bound": np.array(-49.0), "reconstruction": -35.0, "kl": 14.0, "read": {"σ": np.nan}}
    for priors, name in (
        ({"prior not log variance": -45.0, "prior elsewhere": -46.0}, "prior_not_log_variance"),
        ({"prior not log variance": -50.0, "prior elsewhere": -46.0}, "prior_elsewhere"),
    ):
        assert TRAINED.advice(told | {"priors": priors}, "good")[0] == name


def test_advice_reads_otherwise_what_an_encoder_and_a_prior_say():
    told = {"bound": np.array(-60.0), "reconstruction": -48.0, "kl": 12.0, "read": {"log σ": -61.0}}
    nothing = dict.fromkeys(model.OTHER_PRIORS, -70.0)
    for changes, name in (
        ({"priors": nothing | {"one normal": -48.0}}, "prior_elsewhere"),
        ({"priors": nothing | {"one normal": -59.5}}, "worse_than_coins"),
        ({"bound": np.array(-48.0), "read": {"log σ": -47.3}, "priors": nothing}, "not_log_variance"),
    ):
        assert TRAINED.advice(told | changes, "good")[0] == name


def test_an_encoder_that_draws_is_refused():
    codes = np.zeros((2, 1)), np.zeros((2, 1))
    for again in (0.0, 1.0):
        calls = iter([codes, (codes[0] + again, codes[1])])
        arrays = dict.fromkeys(TRAINED.arrays, np.zeros((1, 1)))
        answer = lambda images, seed, calls=calls, arrays=arrays: (lambda x: next(calls), arrays)  # noqa: E731
        observe("trained_vae", answer, {"images": np.zeros((2, 196)), "seed": 1}, TRAINED.observe.options)
        observed = observe("trained_vae", answer, {"images": np.zeros((2, 196))}, TRAINED.observe.options)
        assert ("two different means" in getattr(observed, "message", "")) == bool(again)


def test_numbers_of_the_text():
    (path,) = (Path(__file__).parents[1] / "solutions" / "source").glob("06_*.py")
    text = path.read_text(encoding="utf-8").replace("\n# ", " ")
    goals = [goal.value for goal in WIDENED.goals.values()]
    assert goals == [0.1, 0.5, 0.15] and e06.MOST == 150
    assert "at least 0.1 nats |" in text and "at most 0.5 nats |" in text and "at most 0.15 nats |" in text
    assert all(f"${number:g}$" in text for number in (TRAINED.coins, *TRAINED.bounds.values()))
    assert (TRAINED.most_latents, TRAINED.most_units, TRAINED.components, TRAINED.worth) == (20, 100, 50, 1)
