"""Exercise 08: oracles against SciPy, integrals, simulations; what its experiment and its deep model are judged by."""

import copy
import math
from itertools import product
from pathlib import Path

import keras
import numpy as np
import pytest
from checking import cases_and_values, checked
from keras import ops
from scipy import stats
from scipy.optimize import brentq, minimize
from scipy.special import expit, logsumexp

import vaekit as vk
from vaekit.backend import tfd
from vaekit.course.exercises import e08
from vaekit.course.observe import VALUE
from vaekit.course.questions import deep
from vaekit.course.questions.language import Text

QUESTIONS = {question.name: question for question in e08.QUESTIONS}
cases, expected = cases_and_values(QUESTIONS)
once = pytest.mark.once  # NumPy alone


# ---- 1, 2, 3, 4


@once
def test_beta_is_counted_step_by_step():
    for case in cases("beta_at"):
        g = case.inputs
        for step, beta in zip(g["step"].tolist(), expected("beta_at", g)[VALUE], strict=True):
            cycle, within = divmod(step, g["period"])
            right = 1.0 if cycle >= g["cycles"] else min(1.0, within / (g["ramp"] * g["period"]))
            assert beta == pytest.approx(right, abs=1e-12)
        assert (g["step"].max() > 2**24) == (case.part == "late")


@once
def test_information_by_unit_is_an_integral():
    """Of many codes the mean of what a unit says is the entropy of a mixture less those of its components."""
    rng, S, N = np.random.default_rng(0), 40_000, 3
    mean, log_variance = rng.normal(size=(N, 2)), rng.uniform(-1.5, 0, size=(N, 2))
    found = expected(
        "unit_information", {"mean": mean, "log_variance": log_variance, "noise": rng.normal(size=(S, N, 2))}
    )
    z, step = np.linspace(-9, 9, 3001, retstep=True)
    each = stats.norm(mean[..., None], np.exp(log_variance / 2)[..., None])
    density = each.pdf(z).mean(axis=0)  # [L, Z]
    exact = -np.sum(density * np.log(density), axis=1) * step - each.entropy()[..., 0].mean(axis=0)
    np.testing.assert_allclose(found["by unit"], exact, atol=0.01)
    assert max(exact) - 0.01 < found["together"] < sum(exact) + 0.01  # more than any unit, less than their sum


@once
def test_information_by_densities_of_scipy():
    for case in cases("unit_information"):
        g, found = case.inputs, expected("unit_information", case.inputs)
        z = g["mean"] + np.exp(g["log_variance"] / 2) * g["noise"]
        log_q = stats.norm.logpdf(z[:, :, None], g["mean"], np.exp(g["log_variance"] / 2))  # [S, N, N, L]
        N = len(g["mean"])
        own = log_q[:, range(N), range(N)]
        by_unit = own - logsumexp(log_q, axis=2) + np.log(N)
        whole = own.sum(-1) - logsumexp(log_q.sum(-1), axis=2) + np.log(N)
        np.testing.assert_allclose(found["by unit"], by_unit.mean((0, 1)), atol=1e-8)
        np.testing.assert_allclose(found["together"], whole.mean(), atol=1e-8)
        assert found["together"] <= np.log(N) + 1e-9
        if case.part == "sharp":
            assert found["together"] > np.log(N) - 1e-6 and logsumexp(log_q.sum(-1)) > 89  # infinite in float32


@once
def test_units_live_above_the_water_level():
    """The objective, climbed by SciPy from several places."""

    def loss(parameters, variance, s2=0.4, beta=2.0):
        w, a, log_tau = parameters
        tau2 = np.exp(2 * log_tau)
        kl = 0.5 * (a**2 * variance + tau2 - 1) - log_tau
        return 0.5 * ((1 - w * a) ** 2 * variance + w**2 * tau2) / s2 + beta * kl

    total = 0
    for variance, alive in ((4, True), (1.5, True), (0.5, False)):
        starts = (0.5, 0.5, 0), (2, 1, -1), (0.1, 0.2, -0.1)
        best = min((minimize(loss, start, args=variance, tol=1e-10) for start in starts), key=lambda found: found.fun)
        w, a, log_tau = best.x
        assert (abs(w) > 0.1) == alive and (not alive or w**2 == pytest.approx(variance - 0.8, abs=1e-3))
        total += 0.5 * (a**2 * variance + np.exp(2 * log_tau) - 1) - log_tau
    assert float(QUESTIONS["live_cost"].expected(None)[VALUE]) == pytest.approx(total, abs=1e-4)


@once
def test_no_posterior_is_cheaper_than_its_floor():
    for case in cases("delta_posterior"):
        g, found = case.inputs, expected("delta_posterior", case.inputs)
        log_c2 = brentq(lambda v, d=g["delta"]: np.expm1(v) - v - 2 * d, -1 - 2 * g["delta"], -1e-9, xtol=1e-14)
        sigmoid = -2 * np.logaddexp(0, -g["logit"])
        np.testing.assert_allclose(found["log variance"], log_c2 + sigmoid, rtol=1e-8, atol=1e-8)
        least = 0.5 * (np.exp(found["log variance"]) - 1 - found["log variance"])
        assert (least >= g["delta"] * (1 - 1e-6)).all()
        np.testing.assert_allclose(found["kl"], np.sum(least + 0.5 * g["mean"] ** 2, axis=1), rtol=1e-8)


# ---- 5


@pytest.mark.alternate
def test_the_decoder_is_a_stack_with_skips():
    """vaekit's own: kernels of (h, z), z last."""
    for case in QUESTIONS["SkipDecoder"].cases(1)[:1]:
        g = case.inputs
        layers = [vk.layers.MLP(int(g["units"]), "relu") for _ in range(2)]
        stack = vk.layers.Stack([*layers, vk.layers.Bernoulli(tuple(g["event_shape"]))], skip=True)
        z = g["features"].astype("float32")
        stack(z)
        wide = (np.concatenate([g[f"kernel_{i}"], g[f"skip_{i}"]]) for i in (2, 3))
        kernels = [g["kernel_1"], *wide]
        stack.set_weights([array for i, kernel in enumerate(kernels, 1) for array in (kernel, g[f"bias_{i}"])])
        targets = QUESTIONS["SkipDecoder"].targets(case)
        np.testing.assert_allclose(stack(z).mean(), targets["mean"].value, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(stack(z).log_prob(g["x"].astype("float32")), targets["log_prob"].value, rtol=1e-4)


@pytest.mark.parametrize("start, points", [("glorot_uniform", 5), ("zeros", 4), ("ones", 4)])
def test_units_that_begin_alike_cost_their_part(start, points):
    """They learn the same, or nothing; the grader's own weights would hide it."""

    class SkipDecoder(keras.layers.Layer):
        def __init__(self, event_shape, units, **kwargs):
            super().__init__(**kwargs)
            self.event_shape, self.units = tuple(event_shape), int(units)

        def build(self, shape):
            L, H, P = shape[-1], self.units, math.prod(self.event_shape)
            shapes = dict(kernel_1=(L, H), bias_1=(H,), kernel_2=(H, H), skip_2=(L, H), bias_2=(H,), kernel_3=(H, P))
            for name, size in {**shapes, "skip_3": (L, P), "bias_3": (P,)}.items():
                first = start if len(size) > 1 else "zeros"
                setattr(self, name, self.add_weight(shape=size, initializer=first, name=name))

        def call(self, z):
            h = ops.relu(z @ self.kernel_1 + self.bias_1)
            h = ops.relu(h @ self.kernel_2 + z @ self.skip_2 + self.bias_2)
            a = ops.reshape(h @ self.kernel_3 + z @ self.skip_3 + self.bias_3, (-1, *self.event_shape))
            pixels = tfd.Bernoulli(logits=ops.cast(a, "float32"), dtype="float32")
            return tfd.Independent(pixels, reinterpreted_batch_ndims=len(self.event_shape))

        def compute_output_spec(self, z):
            return keras.KerasTensor((z.shape[0], *self.event_shape), dtype="float32")

        def get_config(self):
            return {**super().get_config(), "event_shape": self.event_shape, "units": self.units}

    verdict = checked(QUESTIONS["SkipDecoder"], SkipDecoder)
    assert verdict.earned == points and ("begins with the same number everywhere" in str(verdict)) == (points < 5)


# ---- 6

MENDED = e08.MENDED


@once
def test_the_mended_report_is_cost_less_information():
    for case in cases("mended_codes"):
        g = case.inputs
        live = np.var(g["mean"], axis=0) > 0.01
        quiet = len(g["mean"]) == 20  # the last case, of units that say little
        assert np.flatnonzero(live).tolist() == ([0, 4] if quiet else [0, 2, 4])
        assert (MENDED.text.run(g)[0] < 0) == quiet
        mean, log_variance, noise = (g[name][:, live] for name in ("mean", "log_variance", "noise"))
        together = expected("unit_information", {"mean": mean, "log_variance": log_variance, "noise": noise[None]})
        q = stats.norm(mean, np.exp(log_variance / 2))
        cost = np.mean(np.sum(0.5 * (q.var() + mean**2 - 1) - np.log(q.std()), axis=1))
        assert MENDED.text.run(g)[0] == pytest.approx(cost - together["together"], rel=1e-6)


# ---- 7

SIGHT = e08.SIGHT


@once
def test_the_best_code_is_what_a_regression_on_draws_finds():
    """The bound of a code, by least squares on draws; and no other code that was tried is better."""
    rng, neighbours, n = np.random.default_rng(0), 2, 200_000
    covariance = e08._covariance([0.15, 0.5])
    x = rng.normal(size=(n, e08.PIXELS)) @ np.linalg.cholesky(covariance).T

    def bound(a):
        z, s, reconstruction = x @ a + rng.normal(size=n), a @ covariance @ a, 0
        for t in range(e08.PIXELS):
            given = np.column_stack([x[:, max(0, t - neighbours) : t], z])
            left = x[:, t] - given @ np.linalg.lstsq(given, x[:, t], rcond=None)[0]
            reconstruction -= 0.5 * np.log(2 * np.pi * np.e * np.mean(left**2))
        return reconstruction - 0.5 * np.log1p(s) - 0.5 * e08.LAG**2 * s

    best, said = e08._best_code(covariance, neighbours)
    a = np.full(e08.PIXELS, np.sqrt(np.expm1(2 * said) / covariance.sum()))  # the mean pixel, with as much to say
    assert best - 0.05 < bound(a) < best + 0.02
    assert bound(0 * a) < best + 0.02 and bound(2 * a) < best


@once
def test_a_decoder_that_sees_all_reaches_log_p_without_a_code():
    covariance = e08._covariance([0.65])
    bound, said = e08._best_code(covariance, e08.PIXELS - 1)
    entropy = stats.multivariate_normal(np.zeros(e08.PIXELS), covariance).entropy()
    assert bound == pytest.approx(-entropy, abs=1e-3) and said < 0.01


@once
@pytest.mark.parametrize("seed", [None, *range(4)])
def test_the_right_sight_reaches_every_goal_whatever_is_drawn(seed):
    answer = Text("sight", ["x"], e08._BAND).function()
    assert checked(SIGHT, answer, seed).earned == SIGHT.points


@once
def test_what_fits_one_data_set_does_not_fit_the_others():
    for neighbours in range(e08.PIXELS):
        found = checked(SIGHT, lambda x, neighbours=neighbours: dict(neighbours=neighbours))
        assert found.earned <= 2, neighbours


# ---- 8

TRAINED = e08.TRAINED
SMALL = copy.copy(TRAINED)  # to judge networks for few pixels
SMALL.pixels, SMALL.bounds = 20, dict.fromkeys(TRAINED.bounds, -10.0)


def network(rng, skip, latents=1, units=6, pixels=20):
    """Arrays of a deep decoder."""
    sizes, arrays = [latents, *[units] * 4, pixels], {}
    for i in range(1, 6):
        rows = sizes[i - 1] + latents * (skip and i > 1)
        arrays[f"kernel_{i}"] = 1.5 * rng.normal(size=(rows, sizes[i])) / np.sqrt(rows)
        arrays[f"bias_{i}"] = 0.3 * rng.normal(size=sizes[i])
    return arrays


def found(arrays, images, mean, log_variance, seed=3):
    """What is derived of a decoder, and of what an encoder said."""
    return SMALL.derived([{"seed": seed}, {"images": images}], [arrays, {"mean": mean, "log_variance": log_variance}])


@pytest.mark.alternate
@pytest.mark.parametrize("skip", [False, True])
def test_a_decoder_is_run_as_vaekit_does(skip):
    decoder = vk.layers.Stack([*[vk.layers.MLP(7, "relu") for _ in range(4)], vk.layers.Bernoulli(20)], skip=skip)
    z = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    p = decoder(z)
    arrays = dict(zip(deep.ARRAYS, map(np.asarray, decoder.get_weights()), strict=True))
    np.testing.assert_allclose(expit(deep.logits(z, arrays)), p.mean(), rtol=1e-4, atol=1e-5)
    assert not SMALL._wrong_shapes(arrays, {"mean": z, "log_variance": z}, 5)


@once
@pytest.mark.parametrize("skip", [False, True])
def test_no_encoder_makes_the_bound_exceed_log_p(skip):
    """One latent: log p(x) is a sum over a grid, and so is the posterior."""
    rng = np.random.default_rng(0)
    arrays = network(rng, skip)
    z, step = np.linspace(-8, 8, 1601, retstep=True)
    a = deep.logits(z[:, None], arrays)
    log_prior = stats.norm.logpdf(z) + np.log(step)
    drawn = rng.choice(len(z), size=200, p=np.exp(log_prior) / np.exp(log_prior).sum())
    images = 1.0 * (rng.random((200, 20)) < expit(a[drawn]))
    log_joint = images @ a.T - np.logaddexp(0, a).sum(axis=1) + log_prior
    log_p = logsumexp(log_joint, axis=1)
    share = np.exp(log_joint - log_p[:, None])
    mean = share @ z[:, None]
    log_variance = np.log(share @ z[:, None] ** 2 - mean**2)
    assert log_p.mean() - 1 < found(arrays, images, mean, log_variance)["bound"] < log_p.mean() + 0.03
    for m, v in product([mean, 0 * mean, 1e6 * mean], [log_variance + 1, log_variance - 5, np.full_like(mean, 700)]):
        assert not found(arrays, images, m, v).get("bound", np.nan) > log_p.mean() + 0.03, (m[0], v[0])


@once
def test_what_codes_say_has_the_ceiling_log_n_and_needs_a_decoder_that_listens():
    rng = np.random.default_rng(1)
    arrays, images = network(rng, True), 1.0 * (rng.random((30, 20)) < 0.5)
    mean = np.arange(30.0)[:, None] / 5
    named = found(arrays, images, mean, np.full_like(mean, -12))
    assert named["information"] == pytest.approx(np.log(30), abs=1e-6)
    assert named["informed"] == min(named["information"], named["fall"])
    assert found(arrays, images, 0 * mean, 0 * mean)["information"] == pytest.approx(0, abs=1e-9)
    deaf = {name: 0 * array for name, array in arrays.items()}
    assert found(deaf, images, mean, np.full_like(mean, -12))["informed"] == 0


@once
def test_told_is_what_question_2_asks_for():
    rng = np.random.default_rng(2)
    mean, log_variance, noise = rng.normal(size=(6, 3)), rng.uniform(-2, 0, size=(6, 3)), rng.normal(size=(2, 6, 3))
    together = expected("unit_information", {"mean": mean, "log_variance": log_variance, "noise": noise})["together"]
    assert deep.told(mean, log_variance, noise).mean() == pytest.approx(together, rel=1e-9)


@once
def test_advice_tells_kinds_of_failure_apart():
    """What plain training reaches, one cure, free bits, and codes that the decoder does not hear."""
    usual = {"read": {"σ": np.nan}, "reconstruction": -47.0, "kl": 1.4, "bound": -48.5, "information": 1.3, "fall": 1.6}

    def advice(part="good", **changes):
        return TRAINED.advice(usual | changes, part)[0]

    assert advice() == advice("informed") == "collapsed"
    assert advice(kl=5.5, information=4.3, fall=9, bound=-43.9) == "one_cure"
    assert advice(kl=8.2, information=5.6, fall=20, bound=-43.9) == "bound"
    assert advice(kl=8.2, information=5.6, fall=0.4, bound=-49) == "unused"
    assert advice(kl=0.2, information=0.1, fall=0.1, bound=-52.6) == "no_codes"
    assert advice(kl=8.2, information=5.6, fall=9, bound=-56) == "worse_than_coins"
    assert advice(information=5.6, fall=0.4, reconstruction=-66, bound=-75) == "worse_than_coins"  # rows in other order
    assert advice(information=5.6, fall=0.4, bound=-75, exchanged=-42) == "exchanged"
    assert advice(kl=6.9, information=5.1, read_as_it_is=-43.5, read={"log σ": -41.8}) == "not_log_variance"
    said = [TRAINED.advice(usual | {"skips": skips}, "good")[1] for skips in (False, True)]
    assert "by accident" in said[0] and "Has training hardly begun?" in said[1]
    assert advice(bound=np.nan) == "not_finite"


@once
def test_numbers_of_the_text():
    """What the exercise says of its goals is what they are, and what pixels without codes reach."""
    (path,) = (Path(__file__).parents[1] / "solutions" / "source").glob("08_*.py")
    text = path.read_text(encoding="utf-8").replace("\n# ", " ")
    goals = {name: goal.value for name, goal in SIGHT.goals.items()}
    assert goals == {"likelihood": 0.2, "heard": 0.5, "all heard": 0.95}
    for said in ("at most 0.2 nats |", "at least 0.5 |", "at least 0.95 |", "of variance 0.6,", r"$\eta = 0.2$"):
        assert text.count(said) == 1
    assert f"{e08.SHEETS} rows" in text and (e08.PIXELS, e08.SHARE, e08.LAG) == (12, 0.6, 0.2)
    assert all(f"${number:g}$" in text for number in (TRAINED.coins, *TRAINED.bounds.values()))
    assert f"**informed**, by {TRAINED.informed:g} nats" in text and "three minutes" in text
    assert (TRAINED.seconds, TRAINED.most_latents, TRAINED.most_units) == (180, 20, 100)
    training, others = (case.inputs["images"] for case in TRAINED.cases(1))
    p = np.clip(training.mean(axis=0), 1e-3, 1 - 1e-3)
    reached = np.mean(np.sum(others * np.log(p) + (1 - others) * np.log(1 - p), axis=1))
    assert abs(reached - TRAINED.coins) < 0.4 and len(training) == 2500 and round(np.log(len(others)), 1) == 6.2
