"""Answers to exercise 02 that its definitions do not make themselves: right ones written otherwise, and odd ones."""

_COMPONENTS = """
def train_vae(images, seed):
    # nothing is trained: principal components, and the posterior that they have where pixels are normal
    latents, slope, gain = 8, 0.3, 1.0
    images = images[:200]
    white = np.clip(images.mean(axis=0), 0.02, 0.98)
    spread = white * (1 - white)
    _, sizes, axes = np.linalg.svd((images - images.mean(axis=0)) / np.sqrt(spread), full_matrices=False)
    weights = gain * sizes[:latents, None] / len(images) ** 0.5 * axes[:latents] / np.sqrt(spread)
    precision = np.eye(latents) + (weights * spread) @ weights.T
    decoder = {
        "hidden_weights": slope * np.eye(latents),
        "hidden_bias": np.zeros(latents),
        "output_weights": weights / slope,
        "output_bias": np.log(white / (1 - white)),
    }

    def encode(x):
        mean = (np.array(x) - white) @ weights.T @ np.linalg.inv(precision)
        return mean, 0 * mean - np.log(np.diag(precision))

    return encode, decoder
"""
_SAID, _SIZES, _HIDDEN = "0 * mean - np.log(np.diag(precision))", "gain = 8, 0.3, 1.0", "slope * np.eye(latents)"


def _components(*changes):
    code = _COMPONENTS
    for old, new in changes:
        assert code.count(old) == 1, (code.count(old), old)
        code = code.replace(old, new)
    return code


_INDEPENDENT = "return tfd.Independent(pixels, reinterpreted_batch_ndims=len(self.event_shape))"
_Z = "mean + ops.exp(log_variance / 2) * noise"
_RETURN = "return ops.mean(kl) - ops.mean(reconstruction)"

ODD = {
    "kl_divergence": [
        ("refused", {"return ": ""}),
        ("error", {"ops.exp": "exp"}),
        ("refused", "def kl_divergence(mean):\n    return mean"),
        ("not_reduced", {", axis=-1": ", axis=()"}),
        ("cut", {"return ": "mean, log_variance = ops.stop_gradient(mean), ops.stop_gradient(log_variance)\nreturn "}),
    ],
    "bernoulli_log_prob": [
        ("error", {"x * logits": "x * a"}),
        ("not_reduced", {", axis=-1": ", axis=()"}),
        ("clipped", {"return": "logits = ops.clip(logits, -25, 25)\nreturn"}),
        ("negative_mean_over_pixels", "return keras.losses.binary_crossentropy(x, logits, from_logits=True)"),
        ("sigmoid_twice", "return ops.sum(tfd.Bernoulli(logits=ops.sigmoid(logits)).log_prob(x), axis=-1)"),
    ],
    "gaussian_log_prob": [
        ("not_reduced", {", axis=-1": ", axis=()"}),
        ("log_deviation", "return ops.sum(tfd.Normal(mean, ops.exp(log_variance)).log_prob(x), axis=-1)"),
        ("variance_bounded", "v = ops.maximum(ops.exp(log_variance), 1e-8)\n"
         "return -0.5 * ops.sum(LOG_2PI + ops.log(v) + (x - mean) ** 2 / v, axis=-1)"),
    ],
    "elbo_estimators": [
        ("refused", {"return a, b": "return a"}),
        ("not_reduced", {"ops.mean(log_p_x + log_p_z - log_q_z, axis=0)": "log_p_x + log_p_z - log_q_z"}),
        ("error", {"softplus(logits), axis=-1)": "softplus(logits), axis=1)"}),  # as the answer to question 2 may be
        ("cut_draws", {"noise  # [S, N, L]": "noise\nz = ops.stop_gradient(z)"}),
    ],
    "bound_and_gap": [
        ("reduced", {"return bound": "return ops.mean(bound)"}),
        ("zero", {"log_p_x - bound": "ops.zeros_like(bound)"}),
        ("error", {"ops.slogdet": "ops.logdet_of"}),
        ("refused", {"return bound, log_p_x - bound": "return bound"}),
    ],
    "GaussianImage": [
        ("not_summed", {_INDEPENDENT: "return pixels"}),
        ("last_axis_only", {"ndims=len(self.event_shape)": "ndims=1"}),
        ("log_variance", {"ops.exp(self.log_scale)": "ops.exp(self.log_scale / 2)"}),
        ("no_exponential", {"ops.exp(self.log_scale)": "self.log_scale"}),
        ("no_sigmoid", {"ops.sigmoid(a)": "a"}),
        ("cut", {"ops.exp(self.log_scale)": "np.exp(self.log_scale)"}),
    ],
    "mended_loss": [
        ("brackets", {"exp(pixel_log_variance))": "exp(-pixel_log_variance))", "kl = ops.sum": "kl = ops.mean"}),
        ("kl_summed", {"log_p_z, axis=1)": "log_p_z)"}),
        ("pixels_averaged", {"ops.sum(log_p_x": "ops.mean(log_p_x"}),
        ("something_else", {"ops.tanh(ops.matmul(x": "ops.sin(ops.matmul(x"}),
        ("variant", {"ops.tanh(ops.matmul(x": "ops.sigmoid(ops.matmul(x"}),
        ("not_a_number", {_RETURN: "return kl - reconstruction"}),
        ("constant", {_RETURN: f"{_RETURN} + 3.0"}),
        ("factor", {_RETURN: "return (ops.mean(kl) - ops.mean(reconstruction)) / 2"}),
        ("cut", {_Z: f"ops.stop_gradient({_Z})"}),
        ("no_kl", {_RETURN: "return -ops.mean(reconstruction)"}),
    ],
    "train_vae": [
        ("bound", _components((_SIZES, "gain = 3, 0.3, 1.0"))),
        ("not_log_variance", _components((_SAID, f"({_SAID}) / 2"), (_SIZES, "gain = 8, 0.3, 1.3"))),
        ("not_log_variance", _components((_SAID, f"np.exp({_SAID})"))),
        ("not_log_variance", _components((_SAID, f"np.exp(({_SAID}) / 2)"))),
        ("overfitted", _components((_SIZES, "gain = 20, 0.3, 2.5"))),
        ("cheap_codes", _components((_SIZES, "gain = 20, 0.1, 5.0"))),
        ("no_codes", _components((_SIZES, "gain = 8, 0.3, 0.01"))),
        ("worse_than_coins", _components(("weights / slope", "weights[:, ::-1] / slope"), ("np.log(wh", "-np.log(wh"))),
        ("not_finite", _components(("np.zeros(latents)", "np.full(latents, np.nan)"))),
        ("shapes", _components((_HIDDEN, "np.ones((8, 300))"))),
        ("shapes", _components((_HIDDEN, "np.ones((50, 8))"), ("np.zeros(latents)", "np.zeros(50)"))),
        ("refused", _components((_HIDDEN, "np.ones((50_000, 64))"))),
        ("refused", _components(("return mean, ", "return tfd.Normal(mean, 1.0)  # "))),
        ("error", _components(("return mean, ", "return encoder(x), "))),
    ],
}  # fmt: skip

ALIKE = {
    "kl_divergence": [
        "q, p = tfd.Normal(mean, ops.exp(log_variance / 2)), tfd.Normal(0.0, 1.0)\n"
        "return ops.sum(q.kl_divergence(p), axis=-1)",
        "return (ops.sum(ops.square(mean) + ops.exp(log_variance) - log_variance, axis=1) - mean.shape[1]) / 2",
    ],
    "bernoulli_log_prob": [
        "return ops.sum(tfd.Bernoulli(logits=logits).log_prob(x), axis=-1)",
        "return -ops.sum(ops.softplus((1 - 2 * x) * logits), axis=-1)",
    ],
    "gaussian_log_prob": [
        "return ops.sum(tfd.Normal(mean, ops.exp(log_variance / 2)).log_prob(x), axis=-1)",
        "t = (x - mean) / ops.exp(log_variance / 2)\n"
        "return -0.5 * ops.sum(np.log(2 * np.pi) + log_variance + t**2, axis=-1)",
    ],
    "elbo_estimators": [
        """
        q = tfd.MultivariateNormalDiag(mean, ops.exp(log_variance / 2))
        p = tfd.MultivariateNormalDiag(ops.zeros_like(mean), ops.ones_like(mean))
        z = mean + ops.exp(log_variance / 2) * noise
        likelihood = ops.sum(tfd.Bernoulli(logits=ops.matmul(z, weights) + bias).log_prob(x), axis=-1)
        a = ops.mean(likelihood + p.log_prob(z) - q.log_prob(z), axis=0)
        return a, ops.mean(likelihood, axis=0) - q.kl_divergence(p)
        """,
    ],
    "bound_and_gap": [
        """
        x, weights, bias, mean, log_variance = (np.array(v, "float64") for v in (x, weights, bias, mean, log_variance))
        L, D = weights.shape
        S = np.exp(log_variance)
        kl = 0.5 * np.sum(mean**2 + S - 1 - log_variance, axis=1)
        error = np.sum((x - bias - mean @ weights) ** 2, axis=1) + S @ np.sum(weights**2, axis=1)
        bound = -0.5 * (D * np.log(2 * np.pi * noise_scale**2) + error / noise_scale**2) - kl
        P = np.eye(L) + weights @ weights.T / noise_scale**2
        d = mean - (x - bias) @ weights.T @ np.linalg.inv(P) / noise_scale**2
        gap = S @ np.diag(P) + np.sum(d @ P * d, axis=1) - L - log_variance.sum(1) - np.linalg.slogdet(P)[1]
        return bound, gap / 2
        """,
        """
        q, D = tfd.MultivariateNormalDiag(mean, ops.exp(log_variance / 2)), x.shape[1]
        p = tfd.MultivariateNormalDiag(ops.zeros_like(mean), ops.ones_like(mean))
        error = ops.sum((x - bias - ops.matmul(mean, weights)) ** 2, axis=1)
        error = error + ops.sum(ops.matmul(ops.exp(log_variance), weights**2), axis=1)
        bound = -D / 2 * LOG_2PI - D * np.log(noise_scale) - error / (2 * noise_scale**2) - q.kl_divergence(p)
        C = ops.matmul(ops.transpose(weights), weights) + noise_scale**2 * ops.eye(D)
        return bound, tfd.MultivariateNormalTriL(bias, ops.cholesky(C)).log_prob(x) - bound
        """,
    ],
    "mended_loss": [
        {"LOG_2PI + z**2": "z**2", "LOG_2PI + log_variance": "log_variance"},
        {_RETURN: "return -ops.mean(reconstruction - kl)", "(z - mean) ** 2 / ops.exp(log_variance)": "noise**2"},
        {"ops.sum(log_p_x, axis=1)": "ops.sum(log_p_x) / len(x)", "ops.mean(reconstruction)": "reconstruction"},
    ],
}  # fmt: skip
