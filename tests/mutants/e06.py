"""Answers to exercise 06 that its definitions do not make themselves: right ones written otherwise, and odd ones."""

_CHOSEN = "ops.sum(uniform[:, None] > ops.cumsum(weights), axis=1)"

_COMPONENTS = """
def train_vamp(images, seed):
    # nothing is trained: principal components, and the posterior that they have where pixels are normal
    latents, slope, gain = 8, 0.3, 1.0
    images = images[:200]
    white = np.clip(images.mean(axis=0), 0.02, 0.98)
    spread = white * (1 - white)
    _, sizes, axes = np.linalg.svd((images - images.mean(axis=0)) / np.sqrt(spread), full_matrices=False)
    weights = gain * sizes[:latents, None] / len(images) ** 0.5 * axes[:latents] / np.sqrt(spread)
    precision = np.eye(latents) + (weights * spread) @ weights.T
    arrays = {
        "hidden_weights": slope * np.eye(latents),
        "hidden_bias": np.zeros(latents),
        "output_weights": weights / slope,
        "output_bias": np.log(white / (1 - white)),
        "prior_mean": np.zeros((2, latents)),
        "prior_log_variance": np.zeros((2, latents)),
    }

    def encode(x):
        mean = (np.array(x) - white) @ weights.T @ np.linalg.inv(precision)
        return mean, 0 * mean - np.log(np.diag(precision))

    return encode, arrays
"""
_SAID, _SIZES = "0 * mean - np.log(np.diag(precision))", "gain = 8, 0.3, 1.0"
_MEAN, _LOG_VARIANCE = '"prior_mean": np.zeros((2, latents))', '"prior_log_variance": np.zeros((2, latents))'


def _components(*changes):
    code = _COMPONENTS
    for old, new in changes:
        assert code.count(old) == 1, (code.count(old), old)
        code = code.replace(old, new)
    return code


_PLAN = """
def widened_prior(codes, deviation):
    # by cross-validation: each code under all others but its own, in the first 300
    centres = codes[:300]
    squares = np.sum((centres[:, None] - centres) ** 2, axis=2) + 1e9 * np.eye(300)
    widths = np.geomspace(1, 30, 80)
    scores = []
    for w in widths:
        scores.append(np.mean(np.logaddexp.reduce(-squares / (2 * (w * deviation) ** 2), axis=1))
                      - codes.shape[1] * np.log(w))
    return dict(width=np.float32(widths[np.argmax(scores)]), components=np.int64(150))
"""

ALIKE = {
    "mixture_log_density": [
        """
        normals = tfd.Normal(mean, ops.exp(0.5 * log_variance))
        each = ops.sum(normals.log_prob(ops.expand_dims(z, 1)), axis=-1)
        largest = ops.max(each, axis=1, keepdims=True)
        return ops.log(ops.mean(ops.exp(each - largest), axis=1)) + largest[:, 0]
        """,
        """
        each = [
            -0.5 * ops.sum(((z - m) / ops.exp(v / 2)) ** 2 + v, axis=1) - z.shape[1] / 2 * LOG_2PI
            for m, v in zip(mean, log_variance)
        ]
        return ops.logsumexp(ops.stack(each), axis=0) - ops.log(1.0 * len(each))
        """,
    ],
    "split_kl": [
        """
        N = log_q.shape[-1]
        aggregate = ops.logsumexp(log_q - np.log(N), axis=-1)
        own = ops.sum(log_q * ops.eye(N), axis=-1)
        kl, information = ops.mean(own) - ops.mean(log_p), ops.mean(own) - ops.mean(aggregate)
        return kl, information, kl - information
        """,
    ],
    "best_prior": ["best_prior = 1.417", "best_prior = 0.5 * (4.5 + 0.25 - 1 + np.log(4)) - np.log(10) / 2"],
    "draw_codes": [
        """
        ends = ops.cumsum(weights)
        chosen = (uniform[:, None] <= ends) & (uniform[:, None] > ends - weights)
        return ops.where(chosen[:, :, None], mean + ops.exp(log_variance / 2) * noise[:, None], 0.0).sum(axis=1)
        """.replace("ops.where(", "ops.sum(ops.where(").replace(".sum(axis=1)", ", axis=1)"),
    ],
    "VampPrior": [
        {"q = self.encoder(ops.clip(self.pseudo_inputs, 0, 1))":
         "q = self.encoder(ops.minimum(ops.relu(self.pseudo_inputs), 1.0))",
         "return vk.distributions.NormalMixture(q.mean(), q.stddev())":
         "weights = tfd.Categorical(logits=ops.zeros(self.components))\n"
         "        return tfd.MixtureSameFamily(weights, q)"},
    ],
    "mended_vamp": [
        {"noise**2, axis=1)": "((z - mean) / ops.exp(log_variance / 2)) ** 2, axis=1)",
         "return ops.mean(log_q_z - log_p_z - log_p_x)": "return -ops.mean(log_p_x + log_p_z) + ops.mean(log_q_z)",
         "ops.logsumexp(log_densities, axis=1) - np.log(pseudo_inputs.shape[0])":
         "ops.logsumexp(log_densities - np.log(u.shape[0]), axis=1)"},
    ],
    "widened_prior": [_PLAN],
}  # fmt: skip

ODD = {
    "mixture_log_density": [
        ("refused", {"return ": ""}),
        ("error", {"z[:, None] - mean": "z - mean"}),
        ("exponential", {"return ops.logsumexp(log_densities, axis=1) - np.log(mean.shape[0])":
                         "return ops.exp(ops.logsumexp(log_densities, axis=1) - np.log(mean.shape[0]))"}),
    ],
    "split_kl": [
        ("refused", {"return ops.mean(own - log_p), ": "return "}),
    ],
    "best_prior": [("other", "best_prior = 1.3"), ("refused", "best_prior = [1.417]")],
    "draw_codes": [
        ("refused", {"return ": ""}),
        ("error", {_CHOSEN: "ops.sum(uniform > ops.cumsum(weights), axis=1)"}),
    ],
    "VampPrior": [
        ("error", {', "components": self.components}': "}"}),
        ("error", {"keras.saving.deserialize_keras_object(config.pop(\"encoder\"))":
                   "keras.Sequential.from_config(config.pop(\"encoder\")[\"config\"])"}),
        ("error", {"q = self.encoder(": "q = encoder("}),
        ("frozen", {"= encoder, components": "= encoder, components\n        encoder.trainable = False"}),
        ("cut_encoder", {"q = self.encoder(ops.clip(self.pseudo_inputs, 0, 1))":
                         "held = [ops.stop_gradient(each) for each in self.encoder.trainable_variables]\n"
                         "        q, _ = self.encoder.stateless_call(held, [], ops.clip(self.pseudo_inputs, 0, 1))"}),
        ("no_build", {"        super().build(shape)\n": ""}),
    ],
    "mended_vamp": [
        ("something_else", {"ops.softplus(logits)": "ops.sin(logits)"}),
        ("not_a_number", {"return ops.mean(log_q_z - log_p_z - log_p_x)": "return log_q_z - log_p_z - log_p_x"}),
        ("factor", {"return ops.mean(log_q_z - log_p_z - log_p_x)":
                    "return ops.mean(log_q_z - log_p_z - log_p_x) / np.log(2)"}),
        ("constant", {"return ops.mean(log_q_z - log_p_z - log_p_x)":
                      "return ops.mean(log_q_z - log_p_z - log_p_x) + LOG_2PI"}),
    ],
    "widened_prior": [
        ("settings", "def widened_prior(codes, deviation):\n    return dict(components=151, width=5.0)"),
        ("settings", "def widened_prior(codes, deviation):\n    return dict(components=150, width=0.5)"),
        ("refused", "def widened_prior(codes, deviation):\n    return 5.0"),
        ("error", "def widened_prior(codes, deviation):\n    return dict(components=150, width=std(codes))"),
    ],
    "train_vamp": [
        ("bound", _components()),
        ("not_log_variance", _components((_SAID, f"np.exp({_SAID})"))),
        ("prior_elsewhere", _components((_MEAN, '"prior_mean": np.full((2, latents), 3.0)'))),
        ("prior_not_log_variance", _components(
            (_SIZES, "gain = 14, 0.3, 1.0"), (_LOG_VARIANCE, '"prior_log_variance": np.ones((2, latents))'))),
        ("no_codes", _components((_SIZES, "gain = 8, 0.3, 0.01"))),
        ("not_finite", _components(('"hidden_bias": np.zeros', '"hidden_bias": np.nan * np.zeros'))),
        ("shapes", _components((_MEAN, '"prior_mean": np.zeros((51, latents))'))),
        ("shapes", _components((_LOG_VARIANCE, '"prior_log_variance": np.zeros((3, latents))'))),
        ("refused", _components(('"prior_mean"', '"means"'))),
        ("error", _components(("return mean, ", "return encoder(x), "))),
    ],
}  # fmt: skip
