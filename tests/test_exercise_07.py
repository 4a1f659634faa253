"""Exercise 07: oracles against SciPy, vaekit's layers and sums; what its textures and PixelCNNs are judged by."""

import copy
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from checking import cases_and_values, checked
from keras import Input, Sequential, ops
from scipy import integrate, stats
from scipy.special import expit, logsumexp

import vaekit as vk
from vaekit.course.exercises import e07
from vaekit.course.observe import VALUE
from vaekit.course.questions.judge import judge
from vaekit.course.questions.language import Text
from vaekit.course.questions.mend import BROKEN, ELSE, RIGHT
from vaekit.course.questions.pixels import ACTIVATIONS, ARRAYS, MASKS, log_likelihood, masked_conv, mirrored

QUESTIONS = {question.name: question for question in e07.QUESTIONS}
cases, expected = cases_and_values(QUESTIONS)
once = pytest.mark.once  # NumPy alone


# ---- 1, 2, 3


def test_convolutions_of_texts_are_those_of_keras():
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, 4, 5, 2)), rng.normal(size=(3, 5, 2, 3))
    for padding in ("same", "valid"):
        text = Text("convolved", ["x", "kernel"], f'return ops.conv(x, kernel, padding="{padding}")')
        tensors = (ops.convert_to_tensor(array, "float32") for array in (x, kernel))
        right = ops.convert_to_numpy(text.function(ops=ops)(*tensors))
        np.testing.assert_allclose(text.run({"x": x, "kernel": kernel})[0], right, atol=1e-4)


def test_a_gated_mask_is_two_of_vaekits_masked_layers():
    for case in cases("gated_masked_conv", 1):
        g, halves = case.inputs, []
        for name in ("value", "gate"):
            rows, columns, _, filters = g[name].shape
            layer = vk.layers.MaskedConv2D(filters, (rows, columns), g["mask"])
            layer.build(g["x"].shape)
            layer.set_weights([g[name][: layer.kernel.shape[0]], g[f"{name}_bias"]])
            halves.append(ops.convert_to_numpy(layer(g["x"].astype("float32"))))
        found = expected("gated_masked_conv", g)[VALUE]
        np.testing.assert_allclose(found, halves[0] * expit(halves[1]), rtol=1e-3, atol=1e-4)


@once
def test_bytes_have_the_probability_of_their_bins():
    for case in cases("byte_log_prob"):
        g = case.inputs
        scale = np.exp(g["log_scale"])
        low = np.where(g["k"] == 0, -np.inf, g["k"] / 256)
        high = np.where(g["k"] == 255, np.inf, (g["k"] + 1) / 256)
        a, b = (stats.logistic(g["mean"], scale).logcdf(x) for x in (low, high))
        c, d = (stats.logistic(g["mean"], scale).logsf(x) for x in (low, high))
        below = low > g["mean"]  # by the tail that is the smaller one
        big, small = np.where(below, c, b), np.where(below, d, a)
        exact = big + np.log(-np.expm1(small - big))
        found = expected("byte_log_prob", g)[VALUE]
        np.testing.assert_allclose(found, exact, rtol=1e-6, atol=1e-6)
        assert case.part != "stable" or (found.min() < -200 and (found[g["log_scale"] > 0] < -13.9).all())


@once
def test_the_price_of_noise_is_a_minimum():
    def bits(w):
        return -integrate.quad(lambda u: stats.norm.logpdf(u, 0.5, w), 0, 1)[0] / np.log(2)

    price = float(QUESTIONS["noise_price"].expected(None)[VALUE])
    assert bits(12**-0.5) == pytest.approx(price, rel=1e-6) and round(price, 2) == 0.25
    assert all(bits(w) > price for w in (0.2, 0.28, 0.3, 1.0))
    assert 95 < 600 * price * np.log(2) < 110  # "100 nats"


# ---- 4, 5


@once
def test_the_bound_is_made_of_six_distributions():
    for case in cases("hierarchical_bound"):
        g, found = case.inputs, expected("hierarchical_bound", case.inputs)
        q2 = stats.norm(g["x"] @ g["to_z2"], np.exp(g["log_variance_2"] / 2))
        z2 = q2.mean() + q2.std() * g["noise_2"]
        each = stats.norm.logpdf(z2[:, None], g["pseudo_inputs"] @ g["to_z2"], q2.std()[:1]).sum(axis=2)
        k2 = q2.logpdf(z2).sum(axis=1) - logsumexp(each, axis=1) + np.log(len(g["pseudo_inputs"]))
        q1 = stats.norm(g["x"] @ g["to_z1"] + z2 @ g["across"], np.exp(g["log_variance_1"] / 2))
        z, step = np.linspace(-15, 15, 6001, retstep=True)
        p1 = stats.norm((z2 @ g["down"])[..., None], 1)
        q = stats.norm(q1.mean()[..., None], q1.std()[..., None])
        k1 = np.sum(q.pdf(z) * (q.logpdf(z) - p1.logpdf(z)), axis=-1).sum(axis=1) * step
        z1 = q1.mean() + q1.std() * g["noise_1"]
        pixels = stats.bernoulli.logpmf(g["x"], expit(z1 @ g["z1_to_x"] + z2 @ g["z2_to_x"])).sum(axis=1)
        for name, right in (("bound", pixels - k1 - k2), ("k1", k1), ("k2", k2)):
            np.testing.assert_allclose(found[name], right, rtol=1e-6, atol=1e-6)


@once
def test_painted_images_follow_their_distribution():
    """Of 2 × 2 pixels there are 16 images: how often each is drawn, and what its probability is said to be."""
    rng, n = np.random.default_rng(0), 40_000
    given = {"noise": rng.random((n, 2, 2)), "kernel": rng.normal(size=(2, 3)), "bias": 0.3}
    found = expected("paint", given)
    images, p = found["images"], np.exp(found["log probability"])
    number = images.reshape(n, 4) @ [8, 4, 2, 1]
    drawn, first, counts = np.unique(number, return_index=True, return_counts=True)
    assert len(drawn) == 16 and p[first].sum() == pytest.approx(1)
    np.testing.assert_allclose(counts / n, p[first], atol=5 * np.sqrt(0.25 / n))


def test_painting_is_drawing_from_a_masked_layer():
    layer = vk.layers.MaskedConv2D(1, 3, "A")
    layer.build((None, 4, 3, 1))
    for case in cases("paint", 1)[:2]:
        g, found = case.inputs, expected("paint", case.inputs)
        layer.set_weights([np.pad(g["kernel"], ((0, 1), (0, 0)))[..., None, None], np.array([g["bias"]])])
        images = found["images"][..., None]
        a = ops.convert_to_numpy(layer(images.astype("float32"))).astype(float)
        np.testing.assert_array_equal(images[..., 0], g["noise"] < expit(a[..., 0]))
        log_p = (images * a - np.logaddexp(0, a)).sum(axis=(1, 2, 3))
        np.testing.assert_allclose(found["log probability"], log_p, rtol=1e-4)


# ---- 6

MENDED = e07.MENDED


@once
def test_the_mended_stacks_are_a_distribution():
    """Over all images of 2 × 3 pixels the probabilities add up to one; with either leak they do not."""
    given = dict(MENDED.cases(1)[0].inputs)
    x = np.array(list(product((0.0, 1.0), repeat=6))).reshape(-1, 1, 2, 3, 1)
    totals = {}
    for left in ((), ("row above",), ("mask A",), ("blind spot",), ("mask B",)):
        text = MENDED._text({ELSE: RIGHT} | {part: BROKEN if part in left else RIGHT for part in MENDED.errors})
        totals[left] = sum(np.exp(-text.run({**given, "x": image})[0]) for image in x)
    leaks = {left for left, total in totals.items() if abs(total - 1) > 0.01}
    assert leaks == {("row above",), ("mask A",)}  # "Two leak, two are blind"


# ---- 7

FIELD = e07.FIELD


def network():
    """The solution."""
    space = {"np": np}
    exec(f"def texture_network(sheets):\n{'    '.join(['', *FIELD.answer.splitlines(keepends=True)])}", space)
    return space["texture_network"]


@once
def test_fields_are_those_of_walks():
    """One step a layer, by what the masks allow; the pixel itself not in the first one."""
    for kernel, layers in (("3x3", 1), ("3x3", 3), ("5x5", 1), ("5x5", 2)):
        s = int(kernel[0]) // 2
        above = [(u, r) for u in range(1, s + 1) for r in range(-s, s + 1)]
        masked, horizontal = {(0, 0)}, [(0, -r) for r in range(1, s + 1)]
        for layer in range(layers):
            steps = [*above, *horizontal, *[(0, 0)] * (layer < layers - 1)]
            masked = {(u + a, r + b) for u, r in masked for a, b in steps}
        for u in range(1, 8):
            for r in range(-9, 10):
                assert e07._sees("masked", kernel, layers, u, r) == ((u, r) in masked), (kernel, layers, u, r)
                assert e07._sees("two stacks", kernel, layers, u, r) == (u <= s * layers and abs(r) <= s * layers)


@once
def test_weights_are_those_of_vaekits_layers():
    for (kind, kernel), weights in e07.WEIGHTS.items():
        size, filters = int(kernel[0]), 3
        kinds = {"masked": vk.layers.MaskedConv2D, "two stacks": vk.layers.GatedPixelConv2D}
        layer = kinds[kind](filters, size)
        layer.build((None, 8, 8, filters * (1 + (kind == "two stacks"))))
        kernels = sum(np.prod(w.shape) for w in layer.weights if len(w.shape) == 4)
        hidden = size**2 // 2 * filters**2 if kind == "masked" else 0  # by the mask
        assert weights * filters**2 == kernels - hidden


@once
def test_textures_are_alike_where_they_say():
    for seed in range(3):
        for texture in e07._textures(np.random.default_rng(seed)):
            sheets, u, r, c = (texture[name] for name in ("sheets", "up", "right", "correlation"))
            here = sheets[:, u:, max(-r, 0) : e07.SIZE - max(r, 0)]
            there = sheets[:, : e07.SIZE - u, max(r, 0) : e07.SIZE + min(r, 0)]
            assert np.mean(here * there) == pytest.approx(c, abs=0.15) and abs(np.var(sheets) - 1) < 0.15
            # the pixel twice as far away
            here = sheets[:, 2 * u :, 2 * max(-r, 0) : e07.SIZE - 2 * max(r, 0)]
            there = sheets[:, : -2 * u, 2 * max(r, 0) : e07.SIZE + 2 * min(r, 0)]
            assert np.mean(here * there) == pytest.approx(c**2, abs=0.15)


@once
def test_the_solution_reaches_every_goal_whatever_is_drawn():
    answer = network()
    for seed in range(60):
        for texture in e07._textures(np.random.default_rng(seed)):
            found = e07._painted(None, **texture, **answer(texture["sheets"]))
            assert found["lost"] == 0 and found["cost"] == 1


@once
def test_one_network_for_all_textures_is_blind_or_dear():
    settings = FIELD.settings
    for kind, kernel, layers in product(settings["kind"], settings["kernel"], (1, 4, 8, 12)):
        found = checked(FIELD, lambda sheets, s=(kind, kernel, layers): dict(zip(settings, s, strict=True)))
        assert found.earned <= 2, (kind, kernel, layers)


@once
def test_no_texture_can_be_seen_by_all_kinds():
    """The three are different problems: the cheapest network is another one in each."""
    for seed in range(20):
        kinds = []
        for texture in e07._textures(np.random.default_rng(seed)):
            chosen = network()(texture["sheets"])
            kinds.append((chosen["kind"], chosen["kernel"]))
        assert kinds[:2] == [("masked", "3x3"), ("masked", "5x5")] and kinds[2][0] == "two stacks"


# ---- 8

TRAINED = e07.TRAINED
FEW = copy.copy(TRAINED)
FEW.images = lambda: tuple(images[:50] for images in e07._digits())


def weights(rng, filters=3):
    """Arrays of four small layers."""
    shapes = (3, 5, 1, filters), (2, 3, filters, filters), (3, 3, filters, filters), (1, 1, filters, 1)
    arrays = [array for s in shapes for array in (0.5 * rng.normal(size=s), 0.5 * rng.normal(size=s[3]))]
    return dict(zip(ARRAYS, arrays, strict=True))


def layers(arrays):
    return [(arrays[f"kernel_{i}"], arrays[f"bias_{i}"]) for i in range(1, 5)]


@once
def test_judged_networks_are_distributions():
    """Over all images of 2 × 3 pixels the probabilities add up to one; if the first layer is shown the pixel, not."""
    arrays = layers(weights(np.random.default_rng(0)))
    images = np.array(list(product((0.0, 1.0), repeat=6)), np.float32).reshape(-1, 2, 3, 1)
    log_p = [[log_likelihood(image[None], arrays, masks) for image in images] for masks in ("ABBB", "BBBB")]
    right, leak = (logsumexp(each) for each in log_p)
    assert right == pytest.approx(0, abs=1e-5) and abs(leak) > 1e-3


def test_convolutions_of_the_judge_are_vaekits():
    rng = np.random.default_rng(0)
    x, bias = rng.normal(size=(2, 5, 6, 2)).astype("float32"), rng.normal(size=3)
    for mask, size in (("A", 3), ("B", 5)):
        layer = vk.layers.MaskedConv2D(3, size, mask)
        layer.build(x.shape)
        kernel = rng.normal(size=(size, size, 2, 3))
        layer.set_weights([kernel[: layer.kernel.shape[0]], bias])
        for given in (kernel, kernel[: size // 2 + 1]):
            found = masked_conv(x, given, bias, mask)
            np.testing.assert_allclose(found, ops.convert_to_numpy(layer(x)), rtol=1e-3, atol=1e-3)


def test_weights_of_a_keras_network_are_what_is_judged():
    network = Sequential([Input((14, 14, 1)), vk.layers.MaskedConv2D(4, 5, "A", activation="tanh"),
                          vk.layers.MaskedConv2D(3, 3, activation="tanh"),
                          vk.layers.MaskedConv2D(3, 3, activation="tanh"), vk.layers.MaskedConv2D(1, 1)])  # fmt: skip
    arrays = dict(zip(ARRAYS, network.get_weights(), strict=True))
    assert not TRAINED._wrong_shapes(arrays)
    x = 1.0 * (np.random.default_rng(0).random((5, 14, 14, 1)) < 0.5)
    a = ops.convert_to_numpy(network(x.astype("float32")))
    log_p = (x * a - np.logaddexp(0, a)).sum(axis=(1, 2, 3)).mean()
    assert log_likelihood(x.astype("float32"), layers(arrays)) == pytest.approx(log_p, rel=1e-4)


@once
def test_the_same_arrays_reach_the_same_and_others_meet_other_dice():
    arrays = weights(np.random.default_rng(1))

    def reached(arrays, seed=3):
        return FEW.derived([{"seed": seed}], [arrays])["reached"]

    first = reached(arrays)
    assert reached(arrays) == first
    nudged = [arrays | {name: arrays[name] + 1e-12} for name in ("kernel_1", "bias_4")]
    others = [reached(arrays, 4), *map(reached, nudged)]
    assert len({first, *others}) == 4


@once
def test_images_are_mirrored_in_four_ways():
    image = np.arange(12.0).reshape(1, 3, 4, 1)
    ways = {mirrored(image, seed).tobytes() for seed in range(16)}
    assert len(ways) == 4
    first, other = (TRAINED.cases(seed)[0].inputs["images"] for seed in (0, 1))
    assert first.shape == (2500, 14, 14, 1) and (first != other).any()


@once
def test_points_come_in_steps(monkeypatch):
    given, steps = TRAINED.cases(1), list(TRAINED.bounds.values())
    assert steps == sorted(steps) and len(steps) == 3
    read = dict.fromkeys((*MASKS, *ACTIVATIONS, "as it is", "grey", "reversed", "negative"), -50.0)
    for reached, earned in ((-51.0, 0), (-49.0, 1), (steps[1] + 0.1, 3), (steps[2] + 0.1, 5)):
        derived = dict.fromkeys([*TRAINED.bounds, "reached"], np.array(reached)) | {"read": read}
        monkeypatch.setattr(TRAINED, "derived", lambda *_, derived=derived: derived, raising=False)
        verdict = judge(TRAINED, given, [{}])
        assert verdict.earned == earned and f"{reached:.2f} nats" in repr(verdict), verdict


@once
def test_what_a_network_would_reach_read_otherwise_tells_the_mistake():
    read = dict.fromkeys((*MASKS, *ACTIVATIONS, "as it is", "grey", "reversed", "negative"), -53.0)
    assert TRAINED.advice({"reached": -53.0, "read": read}, "fair")[0] == "bound"
    for name in read.keys() - {"as it is"}:
        assert TRAINED.advice({"reached": -53.0, "read": read | {name: -40.0}}, "fair")[0] == name


@once
def test_wrong_shapes_are_named():
    right = weights(np.random.default_rng(0))
    assert not TRAINED._wrong_shapes(right)
    for changes, said in (
        ({"kernel_1": np.zeros((3, 3, 2, 3))}, "should have the shape [rows, columns, 1, filters]"),
        ({"kernel_2": np.zeros((4, 5, 3, 3))}, "it has (4, 5, 3, 3)"),
        ({"kernel_1": np.zeros((11, 11, 1, 3))}, "`kernel_1` has 11 columns; odd numbers are allowed, up to 9"),
        ({"kernel_1": np.zeros((4, 4, 1, 3))}, "`kernel_1` has 4 columns"),
        ({"kernel_1": np.zeros((3, 3, 1, 40))}, "`kernel_1` has 40 filters; 32 are the most"),
        ({"kernel_4": np.zeros((1, 1, 3, 2))}, "`kernel_4` has 2 filters; the last layer has one"),
        ({"bias_3": np.zeros(2)}, "`bias_3` should have the shape (3,); it has (2,)"),
        ({"bias_3": np.zeros(())}, "`bias_3` should have the shape (3,); it has ()"),
    ):
        observed = TRAINED.derived([{"seed": 1}], [right | changes])
        name, sentence = TRAINED.advice(observed, "fair")
        assert name == "shapes" and said in sentence, sentence
        assert np.isnan(observed["fair"])


@once
def test_numbers_of_the_text():
    """What the exercise says of its goals is what they are, and what pixels that know nothing of each other reach."""
    (path,) = (Path(__file__).parents[1] / "solutions" / "source").glob("07_*.py")
    text = path.read_text(encoding="utf-8").replace("\n# ", " ")
    assert {name: goal.value for name, goal in FIELD.goals.items()} == {"sees": 0.01, "thrifty": 6, "cheapest": 1.2}
    for said in ("at most 0.01 |", "at most 6 times |", "at most 1.2 times |", "the 48 networks"):
        assert text.count(said) == 1
    for row in ("| masked | 5 | 13 |", "| two stacks | 21 | 41 |"):
        assert row in text
    assert e07.WEIGHTS["two stacks", "5x5"] == 41 and 2 * 2 * e07.MOST_LAYERS == 48 and e07.FARTHEST == (5, 8)
    assert all(f"${number:g}$" in text for number in (TRAINED.coins, *TRAINED.bounds.values()))
    assert "three minutes" in text and TRAINED.seconds == 180
    assert (TRAINED.most_filters, TRAINED.largest) == (32, 9) and len(e07._digits()[1]) == 1000
    training, others = (images.reshape(len(images), -1) for images in e07._digits())
    p = np.clip(training.mean(axis=0), 1e-3, 1 - 1e-3)
    reached = np.mean(np.sum(others * np.log(p) + (1 - others) * np.log(1 - p), axis=1))
    assert abs(reached - TRAINED.coins) < 0.4 and len(training) == 2500
