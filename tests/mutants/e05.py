"""Answers to exercise 05 that its definitions do not make themselves: right ones written otherwise, and odd ones."""

_COMPONENTS = """
def train_hierarchy(images, seed):
    # nothing is trained: principal components, and the posterior that they have where pixels are normal
    latents, slope, gain = 8, 0.3, 1.0
    images = images[:200]
    white = np.clip(images.mean(axis=0), 0.02, 0.98)
    spread = white * (1 - white)
    _, sizes, axes = np.linalg.svd((images - images.mean(axis=0)) / np.sqrt(spread), full_matrices=False)
    weights = gain * sizes[:latents, None] / len(images) ** 0.5 * axes[:latents] / np.sqrt(spread)
    precision = np.eye(latents) + (weights * spread) @ weights.T
    given, taken = 0.0, 0.0  # how much of h1 q(h2|h1) takes over, and p(h1|h2) gives back
    arrays = {
        "p_x_hidden_weights": slope * np.eye(latents),
        "p_x_hidden_bias": np.zeros(latents),
        "p_x_output_weights": weights / slope,
        "p_x_output_bias": np.log(white / (1 - white)),
    }
    for network, share, variance in ("q_h2", taken, 1 - 0.6 * taken), ("p_h1", given, 1 - 0.6 * given):
        arrays |= {
            f"{network}_hidden_weights": 0.3 * np.eye(latents),
            f"{network}_hidden_bias": np.zeros(latents),
            f"{network}_mean_weights": share / 0.3 * np.eye(latents),
            f"{network}_mean_bias": np.zeros(latents),
            f"{network}_log_variance_weights": np.zeros((latents, latents)),
            f"{network}_log_variance_bias": np.full(latents, np.log(variance)),
        }

    def encode(x):
        mean = (np.array(x) - white) @ weights.T @ np.linalg.inv(precision)
        return mean, 0 * mean - np.log(np.diag(precision))

    return encode, arrays
"""
_SAID, _SIZES, _UPPER = "0 * mean - np.log(np.diag(precision))", "gain = 8, 0.3, 1.0", "given, taken = 0.0, 0.0"
_X = '"p_x_hidden_weights": slope * np.eye(latents)'


def _components(*changes):
    code = _COMPONENTS
    for old, new in changes:
        assert code.count(old) == 1, (code.count(old), old)
        code = code.replace(old, new)
    return code


_PLAN = """
def remedy(units, correlation):
    signal, noise = units * correlation, 1.25 - correlation
    return dict(weighted="upper layer", floor=np.float32(np.log1p(signal / noise) / 2), warm_up=np.int64(400))
"""
_RATIO = "(h1 - p1_mean) ** 2 / ops.exp(p1_log_variance) - (h1 - q1_mean) ** 2 / ops.exp(q1_log_variance)"

ALIKE = {
    "log_weight": [
        """
        q1 = tfd.Normal(ops.matmul(x, up_1), ops.exp(0.5 * log_variance_1))
        h1 = ops.matmul(x, up_1) + ops.exp(0.5 * log_variance_1) * noise_1
        q2 = tfd.Normal(ops.matmul(h1, up_2), ops.exp(0.5 * log_variance_2))
        h2 = ops.matmul(h1, up_2) + ops.exp(0.5 * log_variance_2) * noise_2
        p1, p2 = tfd.Normal(ops.matmul(h2, down_1), ops.exp(0.5 * log_variance_p)), tfd.Normal(0.0, 1.0)
        lower = ops.sum(q1.log_prob(h1) - p1.log_prob(h1), axis=-1)
        upper = ops.sum(q2.log_prob(h2) - p2.log_prob(h2), axis=-1)
        pixels = ops.sum(tfd.Bernoulli(logits=ops.matmul(h1, down_x)).log_prob(x), axis=-1)
        return pixels - (lower + upper), lower, upper
        """,
    ],
    "layer_kls": [
        """
        q1, p1 = (tfd.Normal(m, ops.exp(v / 2)) for m, v in ((q1_mean, q1_log_variance), (p1_mean, p1_log_variance)))
        k1 = ops.mean(ops.sum(q1.log_prob(h1) - p1.log_prob(h1), axis=-1), axis=0)
        top = tfd.Normal(q2_mean, ops.exp(q2_log_variance / 2)).kl_divergence(tfd.Normal(0.0, 1.0))
        k2 = ops.sum(ops.mean(top, axis=0), axis=-1)
        return k1, k2, ops.mean(ops.mean(top, axis=1), axis=0)
        """,
    ],
    "lower_cost": ["lower_cost = -0.72", "lower_cost = np.log(1.25 * 0.19) / 2"],
    "free_bits": [
        "means = ops.mean(ops.reshape(kl, (kl.shape[0], -1)), axis=1)\n"
        "return -ops.mean(reconstruction) + beta * ops.sum(ops.where(means > floor, means, floor))",
        "total = -ops.mean(reconstruction)\nfor layer in kl:\n    cost = ops.mean(layer)\n"
        "    total = total + beta * (floor + ops.relu(cost - floor))\nreturn total",
    ],
    "two_opinions": [
        """
        surplus = log_variance - prior_log_variance
        combined = mean + (prior_mean - mean) * ops.sigmoid(surplus)
        return combined, prior_log_variance + ops.log_sigmoid(surplus)
        """,
        """
        smaller = ops.minimum(log_variance, prior_log_variance)
        a, b = ops.exp(smaller - log_variance), ops.exp(smaller - prior_log_variance)
        return (a * mean + b * prior_mean) / (a + b), smaller - ops.log(a + b)
        """,
    ],
    "mended_hierarchy": [
        {" - (h1 - h1_mean) ** 2 / ops.exp(log_variance_1)": " - noise_1**2",
         "(h2 - h2_mean) ** 2 / ops.exp(log_variance_2)": "noise_2**2",
         "return ops.mean(kl - log_p_x)": "return ops.mean(kl) - ops.mean(log_p_x)",
         "kl = 0.5 * ops.sum(k1, axis=1) + 0.5 * ops.sum(k2, axis=1)": "kl = ops.sum(k1 + k2, axis=-1) / 2"},
    ],
    "remedy": [_PLAN],
}  # fmt: skip

ODD = {
    "log_weight": [
        ("refused", {"return log_p_x - lower - upper, lower, upper": "return log_p_x - lower - upper"}),
        ("refused", {"return log_p_x - ": "log_p_x - "}),
        ("error", {"h2_mean = ops.matmul(h1, up_2)": "h2_mean = ops.matmul(x, up_2)"}),
        ("mean_over_images", {"return log_p_x - lower - upper, lower, upper":
                              "return ops.mean(log_p_x - lower - upper), ops.mean(lower), ops.mean(upper)"}),
    ],
    "layer_kls": [
        ("refused", {"return k1, ": "return k1 + "}),
        ("term", {"- 1 - q2": "+ 1 - q2"}),
        ("not_reduced", {"k1 = 0.5 * ops.mean(ops.sum(ratio, axis=2), axis=0)": "k1 = 0.5 * ops.sum(ratio, axis=2)"}),
    ],
    "lower_cost": [("other", "lower_cost = -0.5"), ("refused", "lower_cost = [-0.7188]")],
    "free_bits": [
        ("refused", {"return ": ""}),
        ("error", {"ops.maximum": "max"}),
        ("cut", {"ops.mean(reconstruction)": "ops.mean(ops.stop_gradient(reconstruction))"}),
    ],
    "two_opinions": [
        ("refused", {"return combined, ": "return "}),
        ("variant", {"share = ops.sigmoid(": "share = ops.tanh("}),
    ],
    "mended_hierarchy": [
        ("something_else", {"ops.softplus(logits)": "ops.sin(logits)"}),
        ("not_a_number", {"return ops.mean(kl - log_p_x)": "return kl - log_p_x"}),
        ("factor", {"return ops.mean(kl - log_p_x)": "return ops.mean(kl - log_p_x) / np.log(2)"}),
        ("constant", {"return ops.mean(kl - log_p_x)": "return ops.mean(kl - log_p_x) + LOG_2PI"}),
        ("variant", {"h2**2 - log_variance_2": "h2**2 + log_variance_2"}),
    ],
    "remedy": [
        ("settings", "def remedy(units, correlation):\n    return dict(floor=-1, warm_up=0, weighted='both layers')"),
        ("refused", "def remedy(units, correlation):\n    return 0.5"),
        ("refused", "def remedy(units, correlation):\n    return dict(floor=0.3, warm_up=0, weighted='lower layer')"),
        ("refused", "def remedy(units):\n    return {}"),
        ("error", "def remedy(units, correlation):\n    return dict(floor=log(units))"),
    ],
    "train_hierarchy": [
        ("bound", _components((_SIZES, "gain = 3, 0.3, 0.3"))),
        ("bound", _components()),
        ("not_log_variance", _components((_SAID, f"({_SAID}) / 2"), (_SIZES, "gain = 8, 0.3, 1.3"))),
        ("not_log_variance", _components((_SAID, f"np.exp({_SAID})"))),
        ("not_log_variance", _components((_SAID, f"np.exp(({_SAID}) / 2)"))),
        ("exchanged", _components((f"return mean, {_SAID}", f"return {_SAID}, mean"))),
        ("cheap_codes", _components((_SIZES, "gain = 10, 0.1, 5.0"))),
        ("no_codes", _components((_SIZES, "gain = 8, 0.3, 0.01"))),
        ("worse_than_coins", _components(("weights / slope", "weights[:, ::-1] / slope"), ("np.log(wh", "-np.log(wh"))),
        ("not_finite", _components(('"p_x_hidden_bias": np.zeros', '"p_x_hidden_bias": np.nan * np.zeros'))),
        ("shapes", _components((_X, '"p_x_hidden_weights": np.ones((8, 300))'))),
        ("shapes", _components(('_mean_bias": np.zeros(latents)', '_mean_bias": np.zeros(3)'))),
        ("shapes", _components((_SAID, f"({_SAID})[:, :3]"))),
        ("refused", _components(('f"{network}_mean_bias"', 'f"{network}_bias"'))),
        ("refused", _components(("return mean, ", "return tfd.Normal(mean, 1.0)  # "))),
        ("error", _components(("return mean, ", "return encoder(x), "))),
    ],
}  # fmt: skip
