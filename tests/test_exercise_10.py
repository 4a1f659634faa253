"""Exercise 10: oracles against SciPy, optima and integrals; what its experiment and its model are judged by."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from checking import cases_and_values, checked
from keras import ops
from scipy import stats
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, logsumexp

import vaekit as vk
from vaekit.course.exercises import e10
from vaekit.course.observe import VALUE
from vaekit.course.questions import grey
from vaekit.course.questions.judge import judge
from vaekit.course.questions.language import Text
from vaekit.layers.likelihoods.normal import OptimalNormal

QUESTIONS = {question.name: question for question in e10.QUESTIONS}
cases, expected = cases_and_values(QUESTIONS)
once = pytest.mark.once  # NumPy alone


# ---- 1, 2, 3


@once
def test_no_other_scale_is_likelier():
    for case in cases("best_scales"):
        g, found = case.inputs, expected("best_scales", case.inputs)
        seen = g["seen"] > 0
        assert seen.any(axis=0).all() and seen.any(axis=1).all() and not seen.all()
        assert np.isnan(g["x"][~seen]).all() == (case.part == "nan")

        def best(where, g=g, seen=seen):
            x, mean = g["x"][seen & where], g["mean"][seen & where]
            return np.exp(minimize_scalar(lambda s: -stats.norm.logpdf(x, mean, np.exp(s)).sum(), (-2, -1)).x)

        rows, columns = np.indices(seen.shape)
        assert found["shared"] == pytest.approx(best(True), rel=1e-4)
        for n, sigma in enumerate(found["by image"]):
            assert sigma == pytest.approx(best(rows == n), rel=1e-4)
        for d, sigma in enumerate(found["by pixel"]):
            assert sigma == pytest.approx(best(columns == d), rel=1e-4)


@pytest.mark.alternate
def test_the_floored_loss_is_vaekits():
    for case in QUESTIONS["floored_loss"].cases(1):
        g = case.inputs
        x, mean = (ops.convert_to_tensor(g[name], "float32") for name in ("x", "mean"))
        loss = -ops.sum(OptimalNormal(mean, 1.0, soft_clip=float(g["low"])).log_prob(x), axis=1)
        np.testing.assert_allclose(loss, expected("floored_loss", g)[VALUE], rtol=1e-3, atol=1e-3)


@once
def test_without_a_floor_a_stop_in_both_places_changes_nothing():
    """And with one it does: in each of the cases that a check draws, in some."""
    question = QUESTIONS["floored_loss"]
    held = next(m for m in question.mistakes if m.name == "held")
    for seed in range(3):
        drawn = [case for case in question.cases(seed) if case.part is None]
        assert any(
            np.abs(held.predict(**case.inputs)["gradient of mean"]().values[0] - target.value).max() > 2 * target.atol
            for case in drawn
            for target in [question.targets(case)["gradient of mean"]]
        )
        far = [case._replace(inputs=case.inputs | {"low": -40.0}) for case in drawn]
        for case in far:
            target = question.targets(case)["gradient of mean"].value
            np.testing.assert_allclose(held.predict(**case.inputs)["gradient of mean"]().values[0], target, rtol=1e-4)


@once
def test_the_hidden_factor_by_climbing():
    """The bound of the linear model, by SciPy; and the other loss, whose optimum has the same w, a and τ."""
    variances, living = np.array([4, 1.5, 0.6, 0.3, 0.15]), 2

    def terms(p):
        w, a, tau2 = p[:living], p[living : 2 * living], np.exp(p[2 * living : 3 * living])
        left = np.append((1 - w * a) ** 2 * variances[:living] + w**2 * tau2, variances[living:])
        return left, 0.5 * np.sum(a**2 * variances[:living] + tau2 - 1 - np.log(tau2))

    def bound(p):
        left, kl = terms(p)
        return 0.5 * np.sum(p[-1] + left / np.exp(p[-1])) + kl

    start = np.array([1, 1, 0.3, 0.3, -0.5, -0.5, 0.0])
    found = minimize(bound, start, tol=1e-12).x
    c = float(QUESTIONS["hidden_factor"].expected(None)[VALUE])
    assert np.exp(found[-1]) == pytest.approx(0.35, rel=1e-3) and c == pytest.approx(0.14)
    other = minimize(lambda p: terms(p)[0].mean() + c * terms(p)[1], start[:-1], tol=1e-12).x
    np.testing.assert_allclose(other, found[:-1], atol=2e-3)
    assert terms(found)[0].mean() == pytest.approx(0.35, rel=1e-3)


# ---- 4, 5


@pytest.mark.alternate
def test_the_layer_is_vaekits_with_other_weights():
    case = QUESTIONS["SoftClippedNormal"].cases(1)[0]
    g, targets = case.inputs, QUESTIONS["SoftClippedNormal"].targets(case)
    event = tuple(g["event_shape"])
    layer = vk.layers.Normal(event, "pixel", mean_activation="sigmoid", soft_clip=float(g["low"]))
    features = g["features"].astype("float32")
    layer(features)
    layer.set_weights([g[name] for name in ("kernel", "bias", "scale_kernel", "scale_bias")])
    p = layer(features)
    np.testing.assert_allclose(p.mean(), targets["mean"].value, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(p.log_prob(g["x"].astype("float32")), targets["log_prob"].value, rtol=1e-3)


@once
def test_bits_by_scipy():
    for case in cases("bits_of_bytes"):
        g = case.inputs
        sigma = np.exp(g["log_scale"])
        a = np.where(g["k"] == 0, -np.inf, ((g["k"] - 0.5) / 255 - g["mean"]) / sigma)
        b = np.where(g["k"] == 255, np.inf, ((g["k"] + 0.5) / 255 - g["mean"]) / sigma)
        a, b = np.where(a > 0, -b, a), np.where(a > 0, -a, b)
        log_p = logsumexp([stats.norm.logcdf(b), stats.norm.logcdf(a)], axis=0, b=[np.ones_like(a), -np.ones_like(a)])
        found = expected("bits_of_bytes", g)[VALUE]
        np.testing.assert_allclose(found, -log_p / np.log(2), rtol=1e-6, atol=1e-9)
        far = case.part == "far"
        assert (found > 0).all() and (np.sort(found, axis=None)[1] > 149) == far  # 2⁻¹⁴⁹ is the last in float32
        if far:  # and one whose mass is lost in 1 - 1 alone
            assert 40 < found.min() < 80 and np.float32(stats.norm.cdf(a.max())) > 0


@once
def test_bits_are_those_of_a_distribution():
    k = np.arange(256.0)[None]
    for mean, sigma in (0.3, 0.2), (0.99, 0.01), (-0.1, 0.05):
        given = {"k": k, "mean": mean + 0 * k, "log_scale": np.log(sigma) + 0 * k}
        assert np.sum(2 ** -expected("bits_of_bytes", given)[VALUE]) == pytest.approx(1, abs=1e-9)


# ---- 6

MENDED = e10.MENDED


@once
def test_the_mended_loss_is_the_optimal_normals():
    for case in cases("mended_sigma_vae"):
        g = case.inputs
        sigma = np.sqrt(np.mean((g["x"] - g["mean"]) ** 2))
        D = g["x"].shape[1]
        log_p = stats.norm.logpdf(g["x"], g["mean"], sigma).sum(axis=1) + D / 2 * np.log(2 * np.pi)
        q = stats.norm(g["z_mean"], np.exp(g["z_log_variance"] / 2))
        kl = np.sum(0.5 * (q.var() + g["z_mean"] ** 2 - 1) - np.log(q.std()), axis=1)
        assert MENDED.text.run(g)[0] == pytest.approx(np.mean(kl - log_p), rel=1e-6)


@pytest.mark.once
def test_a_stop_that_was_there_costs_the_gradients_and_nothing_else():
    """A stop in both places is right: σ* is where the derivative is zero."""
    log, quotient = (
        {"ops.log(sigma)": "ops.log(ops.stop_gradient(sigma))"},
        {"2 * sigma**2": "2 * ops.stop_gradient(sigma) ** 2"},
    )
    for edits, right in (log, False), (quotient, False), (log | quotient, True):
        found = checked(MENDED, MENDED.text.edited(edits).function(ops=ops), 1)
        wrong = [part.name for part in found.parts if not part.right]
        assert wrong == ([] if right else ["gradients"]), edits


# ---- 7

TUNED = e10.TUNED


@once
def test_a_linear_vae_is_trained_exactly():
    """Nothing near it has a lower loss; its bound is log p(x), its typical error that of a simulation."""
    rng = np.random.default_rng(0)
    problem = e10._data_sets(rng)[0]
    x, covariance = problem["x"], np.cov(problem["x"], rowvar=False)
    values, axes = np.linalg.eigh(covariance)
    beta = 1.3 * values[:-3].mean()
    w = axes[:, -3:] * np.sqrt(values[-3:] - beta)

    def loss(w):
        """−E log p(x) with σ² = β, on the data: what is left of ½S + β KL, over β, with the best encoder."""
        model = w @ w.T + beta * np.eye(len(w))
        return 0.5 * (np.linalg.slogdet(model)[1] + np.trace(np.linalg.solve(model, covariance)))

    for _ in range(20):
        assert loss(w + 0.1 * w.std() * rng.normal(size=w.shape)) > loss(w)
    bound, ratio = e10._linear_vae(beta, values[-3:], axes[:, -3:], covariance)
    assert bound == pytest.approx(-loss(w) - len(w) / 2 * np.log(2 * np.pi))
    x = rng.multivariate_normal(np.zeros(len(w)), covariance, size=100_000)
    precision = np.eye(3) + w.T @ w / beta
    z = (
        x @ w @ np.linalg.inv(precision) / beta
        + rng.normal(size=(len(x), 3)) @ np.linalg.cholesky(np.linalg.inv(precision)).T
    )
    assert np.sqrt(np.mean((x - z @ w.T) ** 2) / beta) == pytest.approx(ratio, rel=0.01)


@once
@pytest.mark.parametrize("seed", [None, *range(4)])
def test_the_mean_of_what_is_left_reaches_every_goal_whatever_is_drawn(seed):
    answer = Text("tuned", ["x"], e10._BEST).function()
    assert checked(TUNED, answer, seed).earned == TUNED.points


@once
def test_lists_without_units_earn_nothing_and_long_ones_find_the_best():
    for betas in np.geomspace(1e-4, 1, 30), [1.0], [0.01]:
        assert checked(TUNED, lambda x, betas=betas: dict(betas=list(betas))).earned == 0
    found = checked(TUNED, lambda x: dict(betas=list(x.var() * np.geomspace(0.001, 1, 60))))
    assert found.earned == pytest.approx(TUNED.points - 1.5)


# ---- 8

TRAINED = e10.TRAINED


def network(rng, latents=1, units=6, pixels=20):
    """Arrays of a decoder."""
    shapes = (latents, units), (units,), (units, pixels), (pixels,)
    return {name: rng.normal(size=shape) for name, shape in zip(grey.DECODER, shapes, strict=True)}


@pytest.mark.alternate
def test_a_decoder_is_run_as_vaekit_does():
    hidden = vk.layers.MLP(7, "tanh")
    head = vk.layers.Normal(20, "optimal", mean_activation="sigmoid")
    z = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    mean = head(hidden(z)).mean()
    arrays = dict(zip(grey.DECODER, map(np.asarray, [*hidden.get_weights(), *head.get_weights()[-2:]]), strict=True))
    x = np.asarray(mean) + 0.1
    bound, kl, typical = grey.grey_terms(x, z, 0 * z - 60, arrays, np.log(0.1), 0 * z[None])
    assert typical == pytest.approx(0.1, rel=1e-3)
    assert bound + kl == pytest.approx(20 * stats.norm.logpdf(0.1, 0, 0.1), rel=1e-3)


@once
def test_no_encoder_makes_the_bound_exceed_log_p():
    """One latent: log p(x) is a sum over a grid, and so is the posterior."""
    rng = np.random.default_rng(0)
    arrays, sigma = network(rng), 0.2
    z, step = np.linspace(-8, 8, 1601, retstep=True)
    mu = expit(np.tanh(z[:, None] @ arrays["hidden_weights"] + arrays["hidden_bias"]) @ arrays["output_weights"]
               + arrays["output_bias"])  # fmt: skip
    log_prior = stats.norm.logpdf(z) + np.log(step)
    drawn = rng.choice(len(z), size=200, p=np.exp(log_prior) / np.exp(log_prior).sum())
    images = mu[drawn] + sigma * rng.normal(size=(200, 20))
    log_joint = stats.norm.logpdf(images[:, None], mu, sigma).sum(axis=-1) + log_prior
    log_p = logsumexp(log_joint, axis=1)
    share = np.exp(log_joint - log_p[:, None])
    mean = share @ z[:, None]
    log_variance = np.log(share @ z[:, None] ** 2 - mean**2)
    noise = rng.normal(size=(5, 200, 1))

    def bound(mean, log_variance):
        return grey.grey_terms(images, mean, log_variance, arrays, np.log(sigma), noise)[0]

    assert log_p.mean() - 1 < bound(mean, log_variance) < log_p.mean() + 0.05
    for m, v in product([mean, 0 * mean, mean + 1], [log_variance + 1, log_variance - 5]):
        assert bound(m, v) < log_p.mean() + 0.05


@once
def test_advice_tells_kinds_of_failure_apart():
    usual = {
        "bound": 110.0, "kl": 30.0, "typical": 0.1, "ratio": 1.0, "read as it is": 110.0, "typical scale": 110.2,
        "read": {"σ": np.nan}, "exchanged": -np.inf, "scales": {}, "spread": 0.3,
        "linear": -np.inf, "relu": -np.inf,
    }  # fmt: skip

    def advice(part="good", **changes):
        return TRAINED.advice(usual | {name.replace("_", " "): value for name, value in changes.items()}, part)[0]

    assert advice() == "bound"
    assert advice(read={"σ": 130.0}) == "not_log_variance" and advice(exchanged=130.0) == "exchanged"
    assert advice(bound=np.nan) == "not_finite" and advice(wrong="…") == "shapes"
    assert advice(typical_scale=130.0, ratio=2.0) == "scale"
    assert advice("calibrated", ratio=2.0) == "wide" and advice("calibrated", ratio=0.5) == "narrow"
    assert advice("calibrated", ratio=4.0, typical=0.25) == "unit"
    assert advice(kl=0.2, bound=12.0) == "no_codes" and advice(bound=2.0) == "worse_than_coins"
    assert advice(kl=80.0) == "cheap_codes" and advice(kl=5.0) == "dear_codes"
    assert advice(ratio=7.0, scales={"σ²": np.log(0.1)}) == "not_log_scale"
    assert advice(ratio=7.0, scales={"σ²": np.log(0.1)}, typical_scale=-90.0, bound=-900.0) == "worse_than_coins"
    assert advice(linear=130.0) == "no_sigmoid" and advice(relu=130.0) == "other_activation"
    assert advice(ratio=3.0) == "spread" and advice(read={r"$\log\sigma$": 120.0}) == "bound"


@once
def test_advice_for_several_parts_is_told_once_and_each_ones_own_number(monkeypatch):
    usual = {"bound": 86.0, "read as it is": 86.0, "read": {"σ": 130.0}, "exchanged": -np.inf, "kl": 30.0}
    derived = usual | {"codes": 86.0, "fair": 86.0, "good": 86.0, "calibrated": 0.37, "typical": 0.1, "ratio": 1.37}
    monkeypatch.setattr(TRAINED, "derived", lambda *_: derived, raising=False)
    told = repr(judge(TRAINED, TRAINED.cases(1), [{}, {}]))
    assert told.count("read so") == 1 and "86.00 nats; at least 100" in told
    assert "calibrated: σ / typical error, off by: 0.37; at most 0.10" in told, told


@once
def test_numbers_of_the_text():
    """What the exercise says of its goals is what they are, and what the mean image reaches."""
    (path,) = (Path(__file__).parents[1] / "solutions" / "source").glob("10_*.py")
    text = path.read_text(encoding="utf-8").replace("\n# ", " ")
    assert [goal.value for goal in TUNED.goals.values()] == [1, 0.05, 0.05, 4]
    for said in ("at most 1 nat |", "at most 0.05 nats |", "at most 0.05 |", "at most 4 |", "You are given 400 images"):
        assert text.count(said) == 1, said
    assert (e10.PIXELS, e10.LATENTS, e10.IMAGES, e10.UNITS) == (12, 3, 400, (1, 2, 255))
    nats = [f"{number:g}" for number in (TRAINED.coins, *TRAINED.bounds.values())]
    assert "reaches {} nats. There are points for {}, for {} and for {} nats".format(*nats) in text
    assert "by at most 10 %" in text and TRAINED.off == 0.1 and "three minutes" in text
    assert (TRAINED.seconds, TRAINED.most_latents, TRAINED.most_units) == (180, 20, 100)
    training, others = (case.inputs["images"] for case in TRAINED.cases(1))
    sigma = np.sqrt(np.mean((others - training.mean(axis=0)) ** 2))
    assert abs(-196 * (np.log(sigma) + 0.5 * np.log(2 * np.pi * np.e)) - TRAINED.coins) < 0.3
    assert len(training) == 2500 and len(others) == 500 and 0 <= training.min() and training.max() <= 1
    assert TRAINED.pixels == 196
