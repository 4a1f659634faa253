"""Exercise 02: oracles against SciPy and integrals; what stands behind its verdicts on mended losses and models."""

import copy
from itertools import product
from pathlib import Path

import keras
import numpy as np
import pytest
from checking import cases_and_values
from keras import ops
from scipy import stats
from scipy.special import expit, logsumexp
from test_layer_questions import IMAGE_CODE

import vaekit as vk
from vaekit.backend import tfd
from vaekit.course.exercises import e02
from vaekit.course.observe import VALUE, Fault, observe
from vaekit.course.questions.judge import judge
from vaekit.course.questions.language import LOG_2PI, Text
from vaekit.course.questions.mend import BROKEN, ELSE, GRADIENTS, RIGHT
from vaekit.course.questions.model import DECODER

QUESTIONS = {question.name: question for question in e02.QUESTIONS}
cases, expected = cases_and_values(QUESTIONS, seeds=5)
once = pytest.mark.once  # NumPy alone


def inputs(name, seeds=5):
    """Of all cases of a question."""
    return [case.inputs for case in cases(name, seeds)]


def checked(name, answer, seed=1):
    """The `Verdict` on an answer."""
    question = QUESTIONS[name]
    drawn = question.cases(seed)
    observed = [observe(question.observe.name, answer, case.inputs, question.observe.options) for case in drawn]
    return judge(question, drawn, observed)


def run(code, name):
    namespace = {"keras": keras, "np": np, "ops": ops, "tfd": tfd, "LOG_2PI": LOG_2PI}
    exec(compile(code, "<answer>", "exec"), namespace)
    return namespace[name]


# ---- oracles


@once
def test_gradients_are_those_of_pencil_and_paper():
    """Which the machinery takes by differences."""
    exact = {
        "kl_divergence": lambda mean, log_variance: (mean, 0.5 * (np.exp(log_variance) - 1)),
        "bernoulli_log_prob": lambda x, logits: (x - expit(logits),),
        "gaussian_log_prob": lambda x, mean, log_variance: (
            (x - mean) * np.exp(-log_variance),
            0.5 * ((x - mean) ** 2 * np.exp(-log_variance) - 1),
        ),
    }
    for name, slopes in exact.items():
        question = QUESTIONS[name]
        for case in cases(name, 3):
            if case.part not in question.values_only:
                targets = question.targets(case)
                for argument, slope in zip(question.of, slopes(**case.inputs), strict=True):
                    target = targets[f"gradient of {argument}"]
                    np.testing.assert_allclose(target.value, slope, rtol=1e-5, atol=2e-6, err_msg=(name, argument))


@once
def test_kl_is_that_of_normal_distributions():
    for given in inputs("kl_divergence"):
        mean, scale = given["mean"], np.exp(given["log_variance"] / 2)
        z = np.linspace(-12, 12, 20_001)[:, None, None] * scale + mean
        log_q, log_p = stats.norm.logpdf(z, mean, scale), stats.norm.logpdf(z)
        integral = np.trapezoid(np.exp(log_q) * (log_q - log_p), z, axis=0)
        np.testing.assert_allclose(expected("kl_divergence", given)[VALUE], integral.sum(-1), rtol=1e-6)


@once
def test_likelihoods_are_scipys():
    for given in inputs("bernoulli_log_prob"):
        x, a = given["x"], given["logits"]
        log_p = np.where(x == 1, stats.logistic.logcdf(a), stats.logistic.logsf(a)).sum(-1)
        np.testing.assert_allclose(expected("bernoulli_log_prob", given)[VALUE], log_p, rtol=1e-9, atol=1e-14)
    for given in inputs("gaussian_log_prob"):
        log_p = stats.norm.logpdf(given["x"], given["mean"], np.exp(given["log_variance"] / 2)).sum(-1)
        np.testing.assert_allclose(expected("gaussian_log_prob", given)[VALUE], log_p, rtol=1e-9)


@once
def test_estimators_agree_in_the_mean_and_differ_in_single_draws():
    given = {**inputs("elbo_estimators")[0]}
    rng = np.random.default_rng(0)
    single = expected("elbo_estimators", {**given, "noise": given["noise"][:1]})
    assert (np.abs(single["A"] - single["B"]) > 1e-3).all()
    given["noise"] = rng.normal(size=(400_000, *given["mean"].shape))
    many = expected("elbo_estimators", given)
    np.testing.assert_allclose(many["A"], many["B"], atol=0.02)


@once
def test_bound_is_an_expectation():
    given = inputs("bound_and_gap")[0]
    mean, deviation = given["mean"], np.exp(given["log_variance"] / 2)
    z = mean + deviation * np.random.default_rng(1).normal(size=(400_000, *mean.shape))
    log_p = stats.norm.logpdf(given["x"], z @ given["weights"] + given["bias"], given["noise_scale"]).sum(-1)
    log_p += stats.norm.logpdf(z).sum(-1) - stats.norm.logpdf(z, mean, deviation).sum(-1)
    np.testing.assert_allclose(expected("bound_and_gap", given)["bound"], log_p.mean(0), rtol=3e-3)


@once
def test_gap_is_the_divergence_from_the_posterior():
    for given in inputs("bound_and_gap"):
        W, s, S = given["weights"], given["noise_scale"], np.exp(given["log_variance"])
        right = expected("bound_and_gap", given)
        assert (right["gap"] > 0).all()
        P = np.eye(len(W)) + W @ W.T / s**2
        off = given["mean"] - (given["x"] - given["bias"]) @ W.T @ np.linalg.inv(P) / s**2
        divergence = S @ np.diag(P) + np.sum(off @ P * off, 1) - np.sum(1 + np.log(S), 1) - np.linalg.slogdet(P)[1]
        np.testing.assert_allclose(right["gap"], divergence / 2, rtol=1e-8)
        covariance = W.T @ W + s**2 * np.eye(W.shape[1])
        log_p = stats.multivariate_normal.logpdf(given["x"], given["bias"], covariance)
        np.testing.assert_allclose(right["bound"] + right["gap"], log_p, rtol=1e-9)


def test_layer_is_vaekits():
    """The oracle against `vk.layers.Normal`, which is the same layer written in another way."""
    question = QUESTIONS["GaussianImage"]
    given = question.cases(1)[0].inputs
    layer = vk.layers.Normal(tuple(given["event_shape"]), scale="shared", mean_activation="sigmoid")
    h, x = (ops.convert_to_tensor(given[name], "float32") for name in ("features", "x"))
    layer(h)
    for name in ("kernel", "bias", "log_scale"):
        next(w for w in layer.weights if w.path.endswith(name)).assign(given[name])
    mean, scale, log_density = question.text.run(given)
    p = layer(h)
    np.testing.assert_allclose(p.mean(), mean, rtol=1e-4)
    np.testing.assert_allclose(p.log_prob(x), log_density.reshape(len(mean), -1).sum(-1), rtol=1e-4)


# ---- five errors

MEND = e02.BROKEN


def given_loss(losses, slopes=None):
    """The `Verdict` on losses in all cases of seed 1, and on their gradients, those of the right text if left out."""
    drawn = MEND.cases(1)
    slopes = slopes or [MEND_SLOPES[i] for i in range(len(drawn))]
    return judge(MEND, drawn, [{VALUE: np.asarray(loss), **slope} for loss, slope in zip(losses, slopes, strict=True)])


MEND_SLOPES = [
    {f"gradient of {name}": np.zeros(np.shape(case.inputs[name])) for name in MEND.of} for case in MEND.cases(1)
]


def losses(steps):
    text = MEND._text({ELSE: RIGHT} | steps)
    return np.array([text.run(case.inputs)[0] for case in MEND.cases(1)])


@once
def test_loss_is_minus_the_bound():
    for given in inputs("mended_loss", 2):
        h = np.tanh(given["x"] @ given["encoder_hidden"])
        q = stats.norm(h @ given["encoder_mean"], np.exp(np.clip(h @ given["encoder_log_variance"], -6, 2) / 2))
        z = q.mean() + q.std() * given["noise"]
        p = stats.norm(
            np.tanh(z @ given["decoder_hidden"]) @ given["decoder_mean"], np.exp(given["pixel_log_variance"] / 2)
        )
        bound = p.logpdf(given["x"]).sum(1) + stats.norm.logpdf(z).sum(1) - q.logpdf(z).sum(1)
        np.testing.assert_allclose(MEND.text.run(given)[0], -bound.mean(), rtol=1e-9)


@once
@pytest.mark.thorough
@pytest.mark.parametrize("change", ["none", "constant", "factor", "array"])
def test_what_is_mended_counts_whatever_else_was_done(change):
    changed = {"none": lambda a: a, "constant": lambda a: a + 2.5, "factor": lambda a: 3 * a}
    array = change == "array"
    combinations = list(product((BROKEN, RIGHT), repeat=len(MEND.errors)))
    for codes in combinations if change == "none" else combinations[::5]:
        found = changed["none" if array else change](losses(dict(zip(MEND.errors, codes, strict=True))))
        verdict = given_loss([np.full(4, loss) if array else loss for loss in found])
        parts = {part.name: part for part in verdict.parts}
        told = [parts[name].right for name in MEND.errors]
        if change == "constant" and codes[3] == BROKEN:  # of a mean over latents, log 2π on one side is a constant, too
            assert not told[2]
            told[2] = codes[2] == RIGHT
        assert told == [code == RIGHT for code in codes]
        assert parts[ELSE].right == (change == "none" and RIGHT in codes)
        assert (parts[ELSE].diagnosis in ("untouched", "not_a_number" if array else change)) or parts[ELSE].right
        if RIGHT not in codes:
            assert verdict.earned == 0


@once
def test_slips_cost_their_part_alone():
    for i, (part, name, edits, _) in enumerate(MEND.slips):
        text = MEND.text.edited(edits)
        verdict = given_loss([text.run(case.inputs)[0] for case in MEND.cases(1)])
        wrong = [p.name for p in verdict.parts if not p.right and p.name != GRADIENTS and p.diagnosis != "hidden"]
        assert (wrong, verdict.diagnosis) == ([part or ELSE], name), i


Z, DENSITY = "mean + ops.exp(log_variance / 2) * noise", "(z - mean) ** 2"
CUTS = {
    "draws": {Z: f"ops.stop_gradient({Z})"},
    "NumPy": {"return ": "kl = ops.convert_to_tensor(ops.convert_to_numpy(kl))\nreturn "},
    "density": {DENSITY: f"ops.stop_gradient({DENSITY})"},
}


@pytest.mark.thorough
@pytest.mark.alternate
@pytest.mark.parametrize("cut", CUTS)
def test_a_cut_gradient_costs_the_gradients_alone(cut):
    """In its value none of them shows."""
    verdict = checked("mended_loss", run(str(MEND.text.edited(CUTS[cut])), "mended_loss"))
    assert [part.name for part in verdict.parts if not part.right] == [GRADIENTS]
    assert verdict.diagnosis == "cut" and "encoder_hidden" in verdict.faults()[0]


# ---- a trained model

TRAINED = e02.TRAINED
SMALL = copy.copy(TRAINED)  # to judge decoders of few pixels
SMALL.pixels, SMALL.bounds, SMALL.coins = 64, dict.fromkeys(TRAINED.bounds, -26.0), -27.1


def decoder(rng, latents=1, units=30):
    shapes = [(latents, units), (units,), (units, 64), (64,)]
    return {name: rng.normal(size=shape) for name, shape in zip(DECODER, shapes, strict=True)}


def logits(arrays, z):
    w1, b1, w2, b2 = (arrays[name] for name in DECODER)
    return np.tanh(z @ w1 + b1) @ w2 + b2


def drawn(arrays, n, rng):
    """Images of the model's own."""
    a = logits(arrays, rng.normal(size=(n, len(arrays["hidden_weights"]))))
    return 1.0 * (rng.random(a.shape) < expit(a))


def found(arrays, images, mean, log_variance, seed=3):
    """What is derived of a decoder, and of what an encoder said."""
    return SMALL.derived([{"seed": seed}, {"images": images}], [arrays, {"mean": mean, "log_variance": log_variance}])


def verdict(arrays, images, mean, log_variance):
    given = SMALL.cases(1)
    given[1] = given[1]._replace(inputs={"images": images})
    return judge(SMALL, given, [arrays, {"mean": mean, "log_variance": log_variance}])


@once
def test_no_encoder_makes_the_bound_exceed_log_p():
    """One latent: log p(x) is a sum over a grid, and so is the best q that there is."""
    rng = np.random.default_rng(0)
    arrays = decoder(rng)
    images = drawn(arrays, 300, rng)
    z = np.linspace(-8, 8, 4001)[:, None]
    a = logits(arrays, z)
    log_joint = images @ a.T - np.logaddexp(0, a).sum(1) + stats.norm.logpdf(z[:, 0])  # [N, M]
    log_p = logsumexp(log_joint, axis=1) + np.log(z[1, 0] - z[0, 0])
    posterior = np.exp(log_joint - log_joint.max(1, keepdims=True))
    posterior /= posterior.sum(1, keepdims=True)
    mean = posterior @ z
    log_variance = np.log(posterior @ z**2 - mean**2)

    assert -0.5 < found(arrays, images, mean, log_variance)["bound"] - log_p.mean() < 0.03  # a good encoder comes near
    best = z[np.argmax(log_joint, axis=1)]
    for m, v in product(
        [mean, best, 0 * mean, mean + 3, 1e6 * mean, np.full_like(mean, 1e300)],
        [log_variance, log_variance + 0.5, log_variance - 5, np.full_like(mean, -700), np.full_like(mean, 700)],
    ):
        reached = found(arrays, images, m, v).get("bound", np.nan)
        assert not reached > log_p.mean() + 0.03, (m[0], v[0], reached)


@once
def test_the_same_arrays_reach_the_same_bound_and_others_meet_other_noise():
    rng = np.random.default_rng(1)
    arrays, zeros = decoder(rng), np.zeros((50, 1))
    images = drawn(arrays, 50, rng)
    first = found(arrays, images, zeros, zeros)["bound"]
    assert found(arrays, images, zeros, zeros)["bound"] == first
    others = [
        found(arrays, images, zeros, zeros, seed=4),
        found(arrays, images, zeros + 1e-12, zeros),
        found(arrays, images, zeros, zeros + 1e-12),
        *(found({**arrays, name: arrays[name] + 1e-12}, images, zeros, zeros) for name in DECODER),
    ]
    assert len({first, *(other["bound"] for other in others)}) == 1 + len(others)
    spread = np.std([other["bound"] for other in others])  # noise that nobody chose, not a shift of 1e-12
    assert 1e-3 < spread < 2


@once
def test_a_check_has_the_same_images_each_time_and_a_grader_others():
    images = [TRAINED.cases(seed)[1].inputs["images"] for seed in (None, None, 0, 1)]
    np.testing.assert_array_equal(images[0], images[1])
    np.testing.assert_array_equal(images[0], images[2])
    assert (images[0] != images[3]).any()


@once
def test_points_come_in_steps_and_the_bound_is_shown(monkeypatch):
    given, steps = TRAINED.cases(1), list(TRAINED.bounds.values())
    assert steps == sorted(steps) and len(steps) == 4
    for bound, earned in ((-181, 0), (-153, 1), (-135, 2), (-125, 3), (-119, 4)):
        told = dict.fromkeys(TRAINED.bounds, np.array(bound)) | {"bound": bound, "kl": 25.0, "reconstruction": -100.0}
        monkeypatch.setattr(TRAINED, "derived", lambda *_, told=told: told | {"read": {"σ": np.nan}}, raising=False)
        verdict = judge(TRAINED, given, [{}, {}])
        assert verdict.earned == earned and f"{bound:.2f} nats" in repr(verdict), verdict
        assert verdict.right == (earned == 4) == ("at least" not in repr(verdict))


@once
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e308])
def test_numbers_that_are_none_reach_nothing(value):
    rng = np.random.default_rng(2)
    right, images = decoder(rng), drawn(decoder(rng), 40, rng)
    zeros = np.zeros((40, 1))
    for name in DECODER:
        wrong = {**right, name: np.full_like(right[name], value)}
        assert verdict(wrong, images, zeros, zeros).earned == 0, name
    assert verdict(right, images, zeros + value, zeros).earned == 0
    assert verdict(right, images, zeros, zeros + value).earned == 0


@once
def test_shapes_that_do_not_fit_reach_nothing_and_are_told():
    rng = np.random.default_rng(3)
    right, images, zeros = decoder(rng), drawn(decoder(rng), 40, rng), np.zeros((40, 1))
    transposed = decoder(rng, 3) | {"hidden_weights": np.ones((30, 3))}
    for arrays, told in (
        (decoder(rng, 2), "`mean` should have the shape (40, 2), it has (40, 1)"),
        (decoder(rng, 21), "21 latents and 30 units; 20 latents and 200 units are the most"),
        (decoder(rng, 1, 300), "1 latents and 300 units; 20 latents and 200 units are the most"),
        (transposed, "Is `hidden_weights` transposed?"),
        ({**right, "output_weights": np.ones((64, 30))}, "should have the shape (30, 64), it has (64, 30)"),
        ({}, "[latents, units]"),
        ({"hidden_weights": np.ones(3)}, "it has (3,)"),
    ):
        wrong = verdict(arrays, images, zeros, zeros)
        assert wrong.earned == 0 and wrong.diagnosis == "shapes" and told in wrong._repr_markdown_()
    for mean in (zeros[:39], zeros[0], np.zeros(()), np.zeros((40, 1, 1)), np.array("mean")):
        for pair in ((mean, zeros), (zeros, mean), (mean, mean)):
            assert verdict(right, images, *pair).earned == 0


@once
def test_pixels_change_places():
    """The images are the data's, but weights that were trained elsewhere are of no use."""
    first, second = (TRAINED.cases(seed)[0].inputs["images"] for seed in (1, 2))
    data, _ = TRAINED.images()
    sums = sorted(data.astype(float).sum(1))  # of a byte's shades in float32, so they are exact
    assert first.shape == data.shape == (2500, 784) and sorted(first.sum(1)) == sums
    assert np.abs(first.mean(0) - second.mean(0)).max() > 0.3
    np.testing.assert_allclose(np.sort(first.mean(0)), np.sort(second.mean(0)), atol=0.05)


@once
def test_numbers_of_the_text():
    """What the exercise says of its bounds is what they are, and what pixels without codes reach."""
    (path,) = (Path(__file__).parents[1] / "solutions" / "source").glob("02_*.py")
    text = path.read_text(encoding="utf-8")
    assert all(f"${number:g}$" in text for number in (TRAINED.coins, *TRAINED.bounds.values()))
    assert "three minutes" in text and TRAINED.seconds == 180
    reached = []
    for seed in range(5):
        training, others = TRAINED.cases(seed)
        p = np.clip(training.inputs["images"].mean(axis=0), 1e-3, 1 - 1e-3)
        x = others.inputs["images"]
        reached.append((x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=1).mean())
    assert abs(np.mean(reached) - TRAINED.coins) < 0.4
    assert 0.1 < np.std(reached) < 0.4  # the coins of black and white


# ---- observers


def test_the_decoder_leaves_before_the_images_come():
    seen = []

    def train_vae(images, seed):
        assert isinstance(images, np.ndarray) and images.dtype == np.float32 and seed == 3
        arrays = {name: np.ones((2, 2)) for name in DECODER}

        def encode(x):
            seen.append(ops.shape(x))
            for array in arrays.values():
                array *= 100  # too late
            return x[:, :2], x[:, :2]

        return encode, arrays

    options = TRAINED.observe.options
    first = observe("trained_vae", train_vae, {"images": np.zeros((5, 64)), "seed": 3}, options)
    assert not seen and set(first) == set(DECODER)
    second = observe("trained_vae", train_vae, {"images": np.ones((7, 64))}, options)
    assert seen == [(7, 64)] * 2 and second["mean"].shape == (7, 2)  # twice: what is drawn would differ
    assert all((array == 1).all() for array in first.values())
    again = observe("trained_vae", train_vae, {"images": np.ones((7, 64))}, options)
    assert isinstance(again, Fault) and again.kind == "refused"  # an encoder is asked for one set of images


def test_a_failed_training_leaves_no_encoder_of_an_earlier_one():
    options = TRAINED.observe.options
    arrays = {name: np.ones((2, 2)) for name in DECODER}
    images = {"images": np.ones((3, 64))}
    observe("trained_vae", lambda images, seed: (lambda x: (x, x), arrays), {**images, "seed": 1}, options)
    failed = observe("trained_vae", lambda images, seed: 1 / 0, {**images, "seed": 1}, options)
    assert failed.kind == "error"
    assert observe("trained_vae", None, images, options).kind == "refused"


def test_an_encoder_that_returns_a_distribution_is_told_so():
    arrays = {name: np.ones((2, 2)) for name in DECODER}
    options, images = TRAINED.observe.options, {"images": np.ones((3, 64))}
    answer = lambda images, seed: (lambda x: tfd.Normal(x, 1.0), arrays)  # noqa: E731
    observe("trained_vae", answer, {**images, "seed": 1}, options)
    fault = observe("trained_vae", answer, images, options)
    assert (
        fault.kind == "refused"
        and "distribution" in fault.message
        and "_" not in fault.message.replace("log_variance", "")
    )


@pytest.mark.thorough
def test_a_layer_whose_config_no_file_can_hold_is_told_so():
    layer = run(IMAGE_CODE, "GaussianImage")

    class Unsaved(layer):
        def get_config(self):
            return {**super().get_config(), "event_shape": np.array(self.event_shape)}

    assert checked("GaussianImage", layer).right
    wrong = checked("GaussianImage", Unsaved)
    assert [part.name for part in wrong.parts if not part.right] == ["config"]
    assert "JSON" in repr(wrong)


@pytest.mark.thorough
def test_lines_that_are_hidden_by_another_earn_nothing():
    """The broken loss without its KL: it does not show whether the lines of the KL are mended."""
    question = QUESTIONS["mended_loss"]
    code = question.broken.rsplit("return", 1)[0] + "return -reconstruction"
    answer = Text(question.name, question.text.arguments, code).function(ops=ops)
    cases, (name, options) = question.cases(1), question.observe
    verdict = judge(question, cases, [observe(name, answer, case.inputs, options) for case in cases])
    assert verdict.earned == 0, verdict
