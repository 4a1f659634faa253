"""Answers to exercise 01 that its definitions do not make themselves: right ones written otherwise, and odd ones."""

_STANDARDIZED = """
normal = tfd.Normal(0.0, 1.0)
a, b = (low - mean) / scale, (high - mean) / scale
"""
_MIXTURE = """
z = ops.stop_gradient(sample)[:, None]
weights = ops.softmax(logits)
normal = tfd.Normal(means, scales)
p = ops.stop_gradient(ops.sum(weights * normal.prob(z), axis=1))
F, Q = ops.sum(weights * normal.cdf(z), axis=1), ops.sum(weights * normal.survival_function(z), axis=1)
"""

_DRAW = "mean + ops.exp(log_variance / 2) * noise"

ALIKE = {
    "gaussian_sample": [
        "return mean + ops.sqrt(ops.exp(log_variance)) * noise",
        "return tfd.Normal(0.0, ops.exp(0.5 * log_variance)).quantile(tfd.Normal(0.0, 1.0).cdf(noise)) + mean",
        "return ops.add(mean, ops.multiply(noise, ops.exp(ops.multiply(0.5, log_variance))))",
    ],
    "exponential_sample": [
        "return tfd.Exponential(rate).quantile(uniform)",
        "return ops.log1p(-uniform) / -rate",
        "return ops.where(uniform < 1e-3, uniform + uniform**2 / 2, -ops.log(1 - uniform)) / rate",
    ],
    "log_normal": [
        "y = mean + scale * noise\nreturn ops.exp(y), ops.sum(tfd.Normal(mean, scale).log_prob(y) - y, axis=-1)",
        "y = mean + scale * noise\nterm = -0.5 * ((y - mean) / scale) ** 2 - ops.log(scale) - 0.9189385 - y\n"
        "return ops.exp(y), ops.sum(term, axis=1)",
        "y = mean + scale * noise\nlog_p = tfd.Normal(0.0, 1.0).log_prob(noise) - ops.log(scale)\n"
        "return ops.exp(y), ops.sum(log_p, axis=-1) - ops.sum(y, axis=-1)",
    ],
    "truncated_normal_sample": [
        _STANDARDIZED + "sign = ops.where(a > 0, -1.0, 1.0)\n"
        "at_low, at_high = normal.cdf(sign * a), normal.cdf(sign * b)\n"
        "return mean + scale * sign * normal.quantile(at_low + uniform * (at_high - at_low))",
        _STANDARDIZED + "above = a + b > 0\n"
        "at_low = ops.where(above, normal.survival_function(a), normal.cdf(a))\n"
        "at_high = ops.where(above, normal.survival_function(b), normal.cdf(b))\n"
        "t = normal.quantile((1 - uniform) * at_low + uniform * at_high)\n"
        "return mean + ops.where(above, -1.0, 1.0) * scale * t",
    ],
    "score_function": [
        "variance = ops.exp(2 * log_scale)\nweight = ops.expand_dims(cost - baseline, 1)\nd = sample - mean\n"
        "return weight * d / variance, weight * (d**2 / variance - 1)",
        "t = (sample - mean) * ops.exp(-log_scale)\nc = cost - baseline\n"
        "return ops.einsum('s,sd->sd', c, t * ops.exp(-log_scale)), ops.einsum('s,sd->sd', c, (t - 1) * (t + 1))",
    ],
    "samples_worth": ["samples_worth = 5.0", "samples_worth = np.float32((5 * np.e - 5) / (np.e - 1))"],
    "Reparameterize": [
        {"ops.exp(log_variance / 2)": "ops.sqrt(ops.exp(log_variance))"},
        {"log_variance = inputs": "log_variance = inputs[0], inputs[1]",
         "ops.shape(mean)": "(ops.shape(mean)[0], mean.shape[1])"},
    ],
    "mixture_path": [
        {"return z[:, 0] - (F - ops.stop_gradient(F)) / ops.stop_gradient(p)":
         "a = -F / ops.stop_gradient(p)\nreturn sample + (a - ops.stop_gradient(a))"},
        {"/ ops.stop_gradient(p)": "/ p"},  # of a numerator whose value is 0
        _MIXTURE + "a = ops.where(F > 0.5, Q, -F)\nreturn sample + (a - ops.stop_gradient(a)) / p",
        _MIXTURE + "a = ops.where(F > Q, Q / p, -F / p)\nreturn sample + (a - ops.stop_gradient(a))",
    ],
}  # fmt: skip

ODD = {
    "gaussian_sample": [
        ("refused", "z = mean + ops.exp(log_variance / 2) * noise"),
        ("refused", "return mean + ops.exp(log_variance / 2) * keras.random.normal(ops.shape(mean))"),
        ("error", {"mean +": "mu +"}),
        ("cut", {"ops.exp(log_variance / 2)": "ops.stop_gradient(ops.exp(log_variance / 2))"}),
        ("cut", "return ops.stop_gradient(mean + ops.exp(log_variance / 2) * noise)"),
        ("refused", "def gaussian_sample(mean, log_variance):\n    return mean"),
    ],
    "exponential_sample": [
        ("cut", {"/ rate": "/ ops.stop_gradient(rate)"}),
        ("falling", "return -ops.log(uniform + 1e-30) / rate"),
    ],
    "log_normal": [
        ("cut", {"return ops.exp(log_z)": "return ops.stop_gradient(ops.exp(log_z))"}),
        ("not_reduced", {"ops.sum(log_density, axis=-1)": "log_density"}),
        ("exponential", {"ops.sum(log_density, axis=-1)": "ops.exp(ops.sum(log_density, axis=-1))"}),
        ("refused", {"ops.exp(log_z), ": ""}),
        # limits on z, or on its logarithm, by whatever constant
        ("through_z", {"scale * noise": "scale * noise\nlog_z = ops.clip(log_z, -80, 80)"}),
        ("through_z", {"scale * noise": "scale * noise\nlog_z = ops.log(ops.clip(ops.exp(log_z), 1e-30, 1e30))"}),
        ("through_z", {"return ops.exp(log_z)": "return ops.minimum(ops.exp(log_z), 1e30)"}),
    ],
    "truncated_normal_sample": [
        ("nan", _STANDARDIZED + "plain = normal.quantile((1 - uniform) * normal.cdf(a) + uniform * normal.cdf(b))\n"
         "mirrored = -normal.quantile((1 - uniform) * normal.cdf(-a) + uniform * normal.cdf(-b))\n"
         "return mean + scale * ops.where(a + b > 0, mirrored, plain)"),
        ("upper_tail", "mean, low, high, uniform = (ops.cast(v, 'float64') for v in (mean, low, high, uniform))\n"
         "normal, scale = tfd.Normal(0 * mean, 1.0 + 0 * mean), ops.cast(scale, 'float64')\n"
         "at_low, at_high = normal.cdf((low - mean) / scale), normal.cdf((high - mean) / scale)\n"
         "return ops.cast(mean + scale * normal.quantile(at_low + uniform * (at_high - at_low)), 'float32')"),
        ("other", _STANDARDIZED + "return mean + scale * normal.quantile(normal.cdf(uniform * (a + b)))"),
    ],
    "score_function": [
        ("error", {"[:, None]": ""}),
        ("refused", {", weight * (t**2 - 1)": ""}),
        ("sum_over_samples", {"weight * t / scale,": "ops.sum(weight * t / scale, axis=0),"}),
    ],
    "samples_worth": [
        ("baseline_or_moment", "samples_worth = 5.58"),
        ("no_baseline", "samples_worth = 7.33"),
        ("other", "samples_worth = 4"),
        ("refused", "samples_worth = 'five'"),
    ],
    "Reparameterize": [
        ("cut", {_DRAW: "ops.stop_gradient(mean + ops.exp(log_variance / 2) * noise)"}),
        ("variant", {_DRAW: "mean + 0.5 * ops.exp(log_variance / 2) * noise"}),
    ],
    "mixture_path": [
        ("weights_held", "weights = ops.softmax(logits)\nnormal = tfd.Normal(means, scales)\n"
         "joint = weights * normal.prob(sample[:, None])\n"
         "share = ops.stop_gradient(joint / ops.sum(joint, axis=1, keepdims=True))\n"
         "t = ops.stop_gradient((sample[:, None] - means) / scales)\n"
         "path = ops.sum(share * (means + scales * t), axis=1)\nreturn sample + (path - ops.stop_gradient(path))"),
        ("cut", {"return z[:, 0] - (F": "return z[:, 0] - ops.stop_gradient(F"}),
        ("density_moves", _MIXTURE.replace("p = ops.stop_gradient(", "p = (")
         + "a = -F / p\nreturn sample + a - ops.stop_gradient(a)"),
        ("twice", "return 2 * sample"),
    ],
}  # fmt: skip
