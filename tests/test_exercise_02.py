"""Exercise 02: oracles against SciPy, TFP and integrals; what stands behind its verdicts on layers and models."""

from itertools import combinations, product
from pathlib import Path

import jupytext
import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats
from scipy.special import logsumexp

import vaekit as vk
from vaekit.course.exercise import Exercise
from vaekit.course.exercises import e02
from vaekit.course.observe import observe
from vaekit.course.questions.question import VALUE, Fault, with_gradients

QUESTIONS = Exercise("02").questions


def inputs(name, seeds=5):
    """Of all cases of a question."""
    return [case.inputs for seed in range(seeds) for case in QUESTIONS[name].cases(seed)]


def expected(name, given):
    return {key: target.value for key, target in QUESTIONS[name].targets(given).items()}


# ---- oracles


@pytest.mark.parametrize("name", ["kl_divergence", "bernoulli_log_prob", "gaussian_log_prob"])
def test_gradients_are_derivatives(name):
    """Central differences of the oracle's own values, where these are of a size for it."""
    slopes = with_gradients(lambda **given: expected(name, given)[VALUE], *QUESTIONS[name].observe.options["of"])
    for seed in range(3):
        for case in QUESTIONS[name].cases(seed):
            if case.part is None:
                right = expected(name, case.inputs)
                for key, slope in slopes(**case.inputs).items():
                    np.testing.assert_allclose(slope, right[key], rtol=1e-4, atol=1e-5, err_msg=key)


def test_kl_is_that_of_normal_distributions():
    for given in inputs("kl_divergence"):
        mean, scale = given["mean"], np.exp(given["log_variance"] / 2)
        z = np.linspace(-12, 12, 20_001)[:, None, None] * scale + mean
        log_q, log_p = stats.norm.logpdf(z, mean, scale), stats.norm.logpdf(z)
        integral = np.trapezoid(np.exp(log_q) * (log_q - log_p), z, axis=0)
        np.testing.assert_allclose(expected("kl_divergence", given)[VALUE], integral.sum(-1), rtol=1e-6)


def test_likelihoods_are_scipys():
    for given in inputs("bernoulli_log_prob"):
        x, a = given["x"], given["logits"]
        log_p = np.where(x == 1, stats.logistic.logcdf(a), stats.logistic.logsf(a)).sum(-1)
        np.testing.assert_allclose(expected("bernoulli_log_prob", given)[VALUE], log_p, rtol=1e-9)
    for given in inputs("gaussian_log_prob"):
        log_p = stats.norm.logpdf(given["x"], given["mean"], np.exp(given["log_variance"] / 2)).sum(-1)
        np.testing.assert_allclose(expected("gaussian_log_prob", given)[VALUE], log_p, rtol=1e-9)


def test_estimators_agree_in_the_mean_and_differ_in_single_draws():
    given = {**inputs("elbo_estimators")[0]}
    rng = np.random.default_rng(0)
    single = e02._estimators(**{**given, "noise": given["noise"][:1]})
    assert (np.abs(single["A"] - single["B"]) > 1e-3).all()
    given["noise"] = rng.normal(size=(400_000, *given["mean"].shape))
    many = e02._estimators(**given)
    np.testing.assert_allclose(many["A"], many["B"], atol=0.02)


def test_gap_is_the_divergence_from_the_posterior():
    """log p(x) − bound, the oracle's way, against KL(q‖p(z|x)), the other way."""
    divergence = e02._gap_with(lambda q, p, inputs: e02._gaussian_kl(*q, *p))
    for given in inputs("bound_and_gap"):
        right = expected("bound_and_gap", given)
        assert (right["gap"] > 0).all()
        np.testing.assert_allclose(right["gap"], divergence(**given)["gap"], rtol=1e-8)
        covariance = given["weights"].T @ given["weights"] + given["noise_scale"] ** 2 * np.eye(len(given["bias"]))
        log_p = stats.multivariate_normal.logpdf(given["x"], given["bias"], covariance)
        np.testing.assert_allclose(right["bound"] + right["gap"], log_p, rtol=1e-9)


def test_bound_is_an_expectation():
    given = inputs("bound_and_gap")[0]
    z = given["mean"] + np.exp(given["log_variance"] / 2) * np.random.default_rng(1).normal(
        size=(400_000, *given["mean"].shape)
    )
    log_p = stats.norm.logpdf(given["x"], z @ given["weights"] + given["bias"], given["noise_scale"]).sum(-1)
    kl = e02._kl(given["mean"], given["log_variance"])
    np.testing.assert_allclose(expected("bound_and_gap", given)["bound"], log_p.mean(0) - kl, rtol=2e-3)


@pytest.mark.parametrize("given", [g for g in inputs("GaussianImage", 2) if g["aspect"] == "gradients"])
def test_layer_is_vaekits(given):
    """The oracle against `vk.layers.Normal`, which is the same layer written in another way."""
    layer = vk.layers.Normal(tuple(given["event_shape"]), scale="shared", mean_activation="sigmoid")
    h, x = (ops.convert_to_tensor(given[name], "float32") for name in ("features", "x"))
    layer(h)
    weights = {name: next(w for w in layer.weights if w.path.endswith(name)) for name in e02.WEIGHTS}
    for name, weight in weights.items():
        weight.assign(given[name])
    value, slopes = vk.backend.variables_gradient(lambda: ops.sum(layer(h).log_prob(x)), list(weights.values()))
    log_prob = expected("GaussianImage", {**given, "aspect": "log_prob"})["log_prob"]
    np.testing.assert_allclose(value, log_prob.sum(), rtol=1e-4)
    right = expected("GaussianImage", given)
    for name, slope in zip(weights, slopes, strict=True):
        np.testing.assert_allclose(slope, right[f"gradient of {name}"], rtol=1e-3, atol=1e-3, err_msg=name)


# ---- five errors


def test_every_set_of_errors_gives_a_loss_of_its_own():
    """So far apart that float32 cannot confuse them, in one case of the public and drawn ones at least."""
    done = [dict(zip(e02.REPAIRS, steps, strict=True)) for steps in product(*e02.REPAIRS.values())]
    for seed in range(10):
        cases = QUESTIONS["mended_loss"].cases(seed)
        losses = np.array([[e02._vae_loss(**case.inputs, **steps) for case in cases] for steps in done])
        for a, b in combinations(losses, 2):
            assert (np.abs(a - b) > 5 * (1e-5 + 1e-4 * np.abs(b))).any()


def test_what_is_mended_counts():
    question = QUESTIONS["mended_loss"]
    cases = question.cases(1)
    for codes in product((0, 1), repeat=5):
        steps = {part: done[code] for (part, done), code in zip(e02.REPAIRS.items(), codes, strict=True)}
        found = [{VALUE: np.array(e02._vae_loss(**case.inputs, **steps))} for case in cases]
        verdict = question.judge(cases, found)
        assert verdict.earned == sum(codes)
        assert [part.right for part in verdict.parts] == [bool(code) for code in codes]


# ---- a trained model


def decoder(rng, latents=1, units=30):
    shapes = [(latents, units), (units,), (units, e02.PIXELS), (e02.PIXELS,)]
    return {name: rng.normal(size=shape) for name, shape in zip(e02.PARTS, shapes, strict=True)}


def drawn(arrays, n, rng):
    """Images of the model's own."""
    z = rng.normal(size=(n, len(arrays["hidden_weights"])))
    a = np.tanh(z @ arrays["hidden_weights"] + arrays["hidden_bias"]) @ arrays["output_weights"] + arrays["output_bias"]
    return 1.0 * (rng.random(a.shape) < 1 / (1 + np.exp(-a)))


def verdict(arrays, images, mean, log_variance):
    question = QUESTIONS["train_vae"]
    cases = question.cases(1)
    cases[1] = cases[1]._replace(inputs={"images": images})
    return question.judge(cases, [arrays, {"mean": mean, "log_variance": log_variance}])


def test_no_encoder_makes_the_bound_exceed_log_p():
    """One latent: log p(x) is a sum over a grid, and so is the best q that there is."""
    rng = np.random.default_rng(0)
    arrays = decoder(rng)
    images = drawn(arrays, 300, rng)
    z = np.linspace(-8, 8, 4001)[:, None]
    a = np.tanh(z @ arrays["hidden_weights"] + arrays["hidden_bias"]) @ arrays["output_weights"] + arrays["output_bias"]
    log_joint = images @ a.T - np.logaddexp(0, a).sum(1) + stats.norm.logpdf(z[:, 0])  # [N, M]
    log_p = logsumexp(log_joint, axis=1) + np.log(z[1, 0] - z[0, 0])
    posterior = np.exp(log_joint - log_joint.max(1, keepdims=True))
    posterior /= posterior.sum(1, keepdims=True)
    mean = posterior @ z
    log_variance = np.log(posterior @ z**2 - mean**2)

    def bound(mean, log_variance):
        return e02._reached([{}, {"images": images}], [arrays, {"mean": mean, "log_variance": log_variance}])["bound"]

    assert -0.5 < bound(mean, log_variance) - log_p.mean() < 0.02  # a good encoder comes near
    best = z[np.argmax(log_joint, axis=1)]
    for m, v in product(
        [mean, best, 0 * mean, mean + 3, 1e6 * mean, np.full_like(mean, 1e300)],
        [log_variance, log_variance + 0.5, log_variance - 5, np.full_like(mean, -700), np.full_like(mean, 700)],
    ):
        reached = bound(m, v)
        assert not reached > log_p.mean() + 0.02, (m[0], v[0], reached)


def test_new_noise_for_every_judgement():
    rng = np.random.default_rng(1)
    arrays, said = decoder(rng), {"mean": np.zeros((50, 1)), "log_variance": np.zeros((50, 1))}
    given = [{}, {"images": drawn(arrays, 50, rng)}]
    assert len({e02._reached(given, [arrays, said])["bound"] for _ in range(3)}) == 3


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e308])
def test_numbers_that_are_none_reach_nothing(value):
    rng = np.random.default_rng(2)
    right, images = decoder(rng), drawn(decoder(rng), 40, rng)
    zeros = np.zeros((40, 1))
    for name in e02.PARTS:
        wrong = {**right, name: np.full_like(right[name], value)}
        assert verdict(wrong, images, zeros, zeros).earned == 0, name
    assert verdict(right, images, zeros + value, zeros).earned == 0
    assert verdict(right, images, zeros, zeros + value).earned == 0


def test_shapes_that_do_not_fit_reach_nothing_and_are_told():
    rng = np.random.default_rng(3)
    right, images, zeros = decoder(rng), drawn(decoder(rng), 40, rng), np.zeros((40, 1))
    for arrays in (decoder(rng, 2), decoder(rng, 21), decoder(rng, 1, 201), {}, {"hidden_weights": np.ones(3)}):
        wrong = verdict(arrays, images, zeros, zeros)
        assert wrong.earned == 0 and wrong.diagnosis == "shapes"
    for mean in (zeros[:39], zeros[0], np.zeros(()), np.zeros((40, 1, 1)), np.array("mean")):
        for pair in ((mean, zeros), (zeros, mean), (mean, mean)):
            assert verdict(right, images, *pair).earned == 0


def test_pixels_change_places():
    """The images are the data's, but weights that were trained elsewhere are of no use."""
    first, second = (QUESTIONS["train_vae"].cases(seed)[0].inputs["images"] for seed in (1, 2))
    data = vk.datasets.load("digits")
    data = np.concatenate([np.reshape(x, (-1, 64)) for x in (data.train, data.validation, data.test)])
    sums = set(data.astype(float).sum(1))  # of sixteenths, so they are exact
    assert first.shape == (e02.TRAINING, 64) and set(first.sum(1)) <= sums
    assert np.abs(first.mean(0) - second.mean(0)).max() > 0.3
    np.testing.assert_allclose(np.sort(first.mean(0)), np.sort(second.mean(0)), atol=0.05)


# ---- observers


def test_numbers_of_the_text():
    """What the exercise says of its bounds is what they are, and what pixels without codes reach."""
    (path,) = (Path(__file__).parents[1] / "solutions" / "source").glob("02_*.py")
    text = path.read_text()
    assert all(f"${number:g}$" in text for number in (e02.COINS, e02.NO_CODES, e02.REACH))
    assert "you have three\n# minutes" in text and e02.TRAINED.seconds == 180
    reached = []
    for seed in range(20):
        training, others = e02.TRAINED.cases(seed)
        p = np.clip(training.inputs["images"].mean(axis=0), 1e-3, 1 - 1e-3)
        x = others.inputs["images"]
        reached.append((x * np.log(p) + (1 - x) * np.log(1 - p)).sum(axis=1).mean())
    assert abs(np.mean(reached) - e02.COINS) < 0.1  # two standard errors of 20 draws, which vary by 0.2
    assert 0.05 < np.std(reached) < 0.3  # other images are harder or easier


def test_the_decoder_leaves_before_the_images_come():
    seen = []

    def train_vae(images, seed):
        assert isinstance(images, np.ndarray) and images.dtype == np.float32 and seed == 3
        arrays = {name: np.ones((2, 2)) for name in e02.PARTS}

        def encode(x):
            seen.append(ops.shape(x))
            for array in arrays.values():
                array *= 100  # too late
            return x[:, :2], x[:, :2]

        return encode, arrays

    options = QUESTIONS["train_vae"].observe.options
    first = observe("trained_vae", train_vae, {"images": np.zeros((5, 64)), "seed": 3}, options)
    assert not seen and set(first) == set(e02.PARTS)
    second = observe("trained_vae", train_vae, {"images": np.ones((7, 64))}, options)
    assert seen == [(7, 64)] and second["mean"].shape == (7, 2)
    assert all((array == 1).all() for array in first.values())
    again = observe("trained_vae", train_vae, {"images": np.ones((7, 64))}, options)
    assert isinstance(again, Fault) and again.kind == "refused"  # an encoder is asked once


def test_a_failed_training_leaves_no_encoder_of_an_earlier_one():
    options = QUESTIONS["train_vae"].observe.options
    arrays = {name: np.ones((2, 2)) for name in e02.PARTS}
    images = {"images": np.ones((3, 64))}
    observe("trained_vae", lambda images, seed: (lambda x: (x, x), arrays), {**images, "seed": 1}, options)
    failed = observe("trained_vae", lambda images, seed: 1 / 0, {**images, "seed": 1}, options)
    assert failed.kind == "error"
    assert observe("trained_vae", None, images, options).kind == "refused"


def test_a_layer_whose_config_no_file_can_hold_is_refused():
    class Unsaved(e02_solution()):
        def get_config(self):
            return {**super().get_config(), "event_shape": np.array(self.event_shape)}

    options = QUESTIONS["GaussianImage"].observe.options
    given = next(g for g in inputs("GaussianImage", 1) if g["aspect"] == "config")
    assert "log_prob" in observe("distribution_layer", e02_solution(), given, options)
    fault = observe("distribution_layer", Unsaved, given, options)
    assert fault.kind == "error" and "JSON" in fault.says


def e02_solution():
    """The layer of the solution."""
    source = Path(__file__).parents[1] / "solutions" / "source" / "02_the_variational_autoencoder.py"
    (cell,) = (c for c in jupytext.read(source).cells if c.metadata.get("question") == "GaussianImage")
    namespace = {"keras": keras, "np": np, "ops": ops, "tfd": vk.backend.tfd}
    exec(cell.source, namespace)
    return namespace["GaussianImage"]
