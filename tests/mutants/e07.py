"""Answers to exercise 07 that its definitions do not make themselves: right ones written otherwise, and odd ones."""

_REGRESSION = """
def train_pixels(images, seed):
    # nothing is trained: each pixel a logistic regression on earlier ones, passed on by layers that hardly bend
    own, scale, sign = 0.0, 0.01, 1.0
    grey = np.array(images)[:300, :, :, 0]
    x = 1.0 * (np.random.default_rng(seed).random(grey.shape) < grey)
    padded = np.pad(x, ((0, 0), (3, 0), (3, 3)))
    places = [(i, j) for i in range(4) for j in range(7) if i < 3 or j < 3]
    features = np.stack([padded[:, i : i + 14, j : j + 14].ravel() for i, j in places] + [np.ones(x.size)], axis=1)
    weights = np.zeros(len(places) + 1)
    for _ in range(5):  # Newton's method
        p = 1 / (1 + np.exp(-features @ weights))
        curvature = (features * (p * (1 - p))[:, None]).T @ features + 0.1 * np.eye(len(weights))
        weights = weights + np.linalg.solve(curvature, features.T @ (x.ravel() - p) - 0.1 * weights)
    weights = sign * weights
    kernel = np.zeros((4, 7, 1, 1))
    for (i, j), weight in zip(places, weights):
        kernel[i, j] = weight
    kernel[3, 3] = own
    bias = np.array([weights[-1] - own / 2])
    one, none = np.ones((1, 1, 1, 1)), np.zeros(1)
    return [scale * kernel, scale * bias, one, none, one, none, one / scale, none]
"""
_SCALE, _RETURNED = "0.0, 0.01, 1.0", "return [scale * kernel, scale * bias, one, none, one, none, one / scale, none]"
_BOTH_SIGNS = """two = np.ones((1, 1, 2, 1)) * np.array([1, -1])[:, None]
    first, back = np.concatenate([kernel, -kernel], axis=3), np.concatenate([bias, -bias])
    eye = np.eye(2)[None, None]
    return [first, back, eye, np.zeros(2), eye, np.zeros(2), two, none]"""


def _regression(*changes):
    code = _REGRESSION
    for old, new in changes:
        assert code.count(old) == 1, (code.count(old), old)
        code = code.replace(old, new)
    return code


_LOOKING = """
def texture_network(sheets):
    products = {}
    for u in range(1, 6):
        for r in range(-8, 9):
            moved = np.roll(sheets, (u, -r), axis=(1, 2))
            products[u, r] = np.mean((sheets * moved)[:, 5:, 8:-8])
    u, r = max(products, key=products.get)
    if r <= u:
        return {"layers": np.int64(max(u, -r)), "kernel": "3x3", "kind": "masked"}
    if r <= 2 * u:
        return {"layers": (r + 1) // 2, "kernel": "5x5", "kind": "masked"}
    return {"layers": float(r), "kernel": "3x3", "kind": "two stacks"}
"""
_PADDED = """
R, S = kernel.shape
canvas = ops.zeros((noise.shape[0], noise.shape[1] + 1, noise.shape[2] + 2))
log_p = ops.zeros(noise.shape[0])
for place in range(noise.shape[1] * noise.shape[2]):
    i, j = divmod(place, noise.shape[2])
    a = bias + ops.sum(canvas[:, i, j : j + 3] * kernel[0], axis=-1) + canvas[:, i + 1, j] * kernel[1, 0]
    x = ops.cast(ops.less(noise[:, i, j], ops.sigmoid(a)), "float32")
    canvas = ops.slice_update(canvas, (0, i + 1, j + 1), x[:, None, None])
    log_p = log_p + ops.where(x > 0, ops.log_sigmoid(a), ops.log_sigmoid(-a))
return canvas[:, 1:, 1:-1], log_p
"""
_FLOOR = """
upper = ops.where(k == 255, 1.0, ops.sigmoid(((k + 1) / 256 - mean) / ops.exp(log_scale)))
lower = ops.where(k == 0, 0.0, ops.sigmoid((k / 256 - mean) / ops.exp(log_scale)))
return {}
"""
_LOSS = "-ops.mean(ops.sum(each, axis=(1, 2, 3)))"

ALIKE = {
    "gated_masked_conv": [
        """
        R, S = value.shape[0], value.shape[1]
        mask_ = np.zeros((R, S, 1, 1), "float32")
        mask_[: R // 2] = 1
        mask_[R // 2, : S // 2 + (mask != "A")] = 1
        both = ops.concatenate([value * mask_, gate * mask_], axis=-1)
        a = ops.conv(x, both, padding="same") + ops.concatenate([value_bias, gate_bias])
        h, v = ops.split(a, 2, axis=-1)
        return h / (1 + ops.exp(-v))
        """,
        """
        R, S = value.shape[:2]
        padded = ops.pad(x, ((0, 0), (R // 2, R // 2), (S // 2, S // 2), (0, 0)))
        h, v = value_bias, gate_bias
        for i in range(R // 2 + 1):
            for j in range(S if i < R // 2 else S // 2 + (1 if mask == "B" else 0)):
                window = padded[:, i : i + x.shape[1], j : j + x.shape[2]]
                h, v = h + ops.matmul(window, value[i, j]), v + ops.matmul(window, gate[i, j])
        return ops.sigmoid(v) * h
        """,
    ],
    "byte_log_prob": [
        """
        a = (k / 256 - mean) * ops.exp(-log_scale)
        w = 1 / (256 * ops.exp(log_scale))
        upper = ops.where(k < 254.5, ops.log_sigmoid(a + w), 0.0)
        lower = ops.where(k > 0.5, ops.log_sigmoid(-a), 0.0)
        between = ops.where((k > 0.5) & (k < 254.5), ops.log(-ops.expm1(-w)), 0.0)
        return upper + lower + between
        """,
    ],
    "noise_price": ["noise_price = 0.2546", "noise_price = np.log2(np.sqrt(2 * np.pi / 12)) + 0.5 / np.log(2)"],
    "hierarchical_bound": [
        """
        s2, s1 = ops.exp(log_variance_2 / 2), ops.exp(log_variance_1 / 2)
        q2 = tfd.Normal(ops.matmul(x, to_z2), s2)
        z2 = ops.matmul(x, to_z2) + s2 * noise_2
        parts = tfd.Normal(ops.matmul(pseudo_inputs, to_z2)[None], s2).log_prob(z2[:, None])
        densities = ops.exp(ops.sum(parts, axis=-1))
        k2 = ops.sum(q2.log_prob(z2), axis=-1) - ops.log(ops.mean(densities, axis=-1))
        q1 = tfd.Normal(ops.matmul(ops.concatenate([x, z2], axis=1), ops.concatenate([to_z1, across], axis=0)), s1)
        k1 = ops.sum(q1.kl_divergence(tfd.Normal(ops.matmul(z2, down), 1.0)), axis=-1)
        z1 = q1.mean() + s1 * noise_1
        pixels = tfd.Bernoulli(logits=ops.matmul(z1, z1_to_x) + ops.matmul(z2, z2_to_x))
        return ops.sum(pixels.log_prob(x), axis=-1) - (k1 + k2), k1, k2
        """,
    ],
    "paint": [_PADDED],
    "mended_stacks": [
        {_LOSS: "-ops.sum(each) / x.shape[0]",
         "moved(x, 0, 1), left_1": "ops.pad(x, ((0, 0), (0, 0), (1, 0), (0, 0)))[:, :, :-1], left_1"},
    ],
    "texture_network": [_LOOKING],
}  # fmt: skip

ODD = {
    "gated_masked_conv": [
        ("refused", {"return h * ": "h * "}),
        ("error", {'"float32"': '"floating"'}),
        ("variant", {"h * ops.sigmoid(v)": "h * ops.sigmoid(-v)"}),
    ],
    "byte_log_prob": [
        *(("floor", _FLOOR.format(value)) for value in (
            "ops.log(ops.maximum(upper - lower, 1e-7))", "ops.log(upper - lower + 1e-12)")),
        ("refused", {"return ops.where(k == 0": "ops.where(k == 0"}),
        ("sign", {"return ops": "return -ops"}),
        ("sum_over_pixels", {"return ops": "return ops.sum(ops", "low), inside))": "low), inside)), axis=1)"}),
    ],
    "noise_price": [("other", "noise_price = 0.33"), ("refused", "noise_price = [0.2546]")],
    "hierarchical_bound": [
        ("refused", {", k1, k2": ""}),
        ("error", {"ops.matmul(z2, down)": "ops.matmul(down, z2)"}),
        ("mean_over_images", {"return reconstruction - k1 - k2, k1, k2":
                              "return ops.mean(reconstruction - k1 - k2), ops.mean(k1), ops.mean(k2)"}),
    ],
    "paint": [
        ("refused", {"axis=1), log_p": "axis=1)"}),
        ("error", {"x[i + 1][j + 1] = pixel": "noise[0, i, j] = pixel"}),
    ],
    "mended_stacks": [
        ("something_else", {"ops.softplus(logits)": "ops.sin(logits)"}),
        ("not_a_number", {_LOSS: "-ops.sum(each, axis=(1, 2, 3))"}),
        ("factor", {_LOSS: f"{_LOSS} / np.log(2)"}),
        ("constant", {_LOSS: f"{_LOSS} + LOG_2PI"}),
        ("variant", {"h2 = ops.tanh(own": "h2 = ops.sigmoid(own"}),
    ],
    "texture_network": [
        ("settings", 'def texture_network(sheets):\n    return dict(kind="masked", kernel="3x3", layers=0)'),
        ("settings", 'def texture_network(sheets):\n    return dict(kind="masked", kernel="3x3", layers=2.5)'),
        ("refused", 'def texture_network(sheets):\n    return dict(kind="masked", kernel="7x7", layers=2)'),
        ("refused", "def texture_network(sheets):\n    return 3"),
        ("error", 'def texture_network(sheets):\n    return dict(kind="masked", kernel="3x3", layers=sheets.up)'),
    ],
    "train_pixels": [
        ("bound", _regression()),
        ("leak", _regression((_SCALE, "30.0, 0.01, 1.0"))),
        ("relu", _regression((_RETURNED, _BOTH_SIGNS))),
        ("linear", _regression((_SCALE, "0.0, 1.0, 1.0"))),
        ("grey", _regression(("x = 1.0 * (np.random.default_rng(seed).random(grey.shape) < grey)", "x = grey"))),
        ("reversed", _regression((_SCALE, "0.0, 0.01, -1.0"))),
        ("negative", _regression(("random(grey.shape) < grey)", "random(grey.shape) > grey)"))),
        ("worse_than_coins", _regression((_SCALE, "0.0, 0.01, 5.0"))),
        ("not_finite", _regression((_SCALE, "0.0, 0.01, np.nan"))),
        ("shapes", _regression(("one / scale, none]", "one / scale, np.zeros(2)]"))),
        ("shapes", _regression(("one, none, one, none,", "one, none, np.ones((3, 3, 2, 1)), none,"))),
        ("shapes", _regression(("np.zeros((4, 7, 1, 1))", "np.zeros((4, 13, 1, 1))"))),
        ("refused", _regression((", one / scale, none]", "]"))),
        ("error", _regression((_RETURNED, "return network.get_weights()"))),
    ],
}  # fmt: skip
