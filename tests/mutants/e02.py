"""Answers to exercise 02 that its definitions do not make themselves: right ones written otherwise, and odd ones.

Mutants come with the name of what they should be told.
"""

from vaekit.course.exercises import e02


def changed(code, *changes):
    """An answer with something exchanged."""
    for old, new in changes:
        assert code.count(old) == 1, (code.count(old), old)
        code = code.replace(old, new)
    return code


def changes(right, *rows):
    """Mutants of an answer, from rows (name, exchange, exchange, ...)."""
    return [(name, changed(right, *exchanges)) for name, *exchanges in rows]


KL = changes(
    str(e02.KL.text),
    ("refused", ("return ", "")),
    ("error", ("ops.exp", "exp")),
    ("refused", ("(mean, log_variance):", "(mean):\n    log_variance = 0 * mean")),
    ("not_reduced", (", axis=-1", ", axis=()")),
    ("cut", ("return ", "mean, log_variance = ops.stop_gradient(mean), ops.stop_gradient(log_variance)\n    return ")),
)
BERNOULLI = changes(
    str(e02.BERNOULLI.text),
    ("error", ("x * logits", "x * a")),
    ("not_reduced", (", axis=-1", ", axis=()")),
    ("clipped", ("return", "logits = ops.clip(logits, -25, 25)\n    return")),
    ("negative_mean_over_pixels", ("ops.sum(x * logits - ops.softplus(logits), axis=-1)",
                                   "keras.losses.binary_crossentropy(x, logits, from_logits=True)")),
    ("sigmoid_twice", ("x * logits - ops.softplus(logits)", "tfd.Bernoulli(logits=ops.sigmoid(logits)).log_prob(x)")),
)  # fmt: skip
GAUSSIAN = changes(
    str(e02.GAUSSIAN.text),
    ("not_reduced", (", axis=-1", ", axis=()")),
    ("log_deviation", ("-0.5 * ops.sum(LOG_2PI + log_variance + standardized**2",
                       "ops.sum(tfd.Normal(mean, ops.exp(log_variance)).log_prob(x)")),
    ("variance_bounded", ("* ops.exp(-log_variance / 2)", "/ ops.sqrt(ops.maximum(ops.exp(log_variance), 1e-8))"),
     ("+ log_variance", "+ ops.log(ops.maximum(ops.exp(log_variance), 1e-8))")),
)  # fmt: skip
ESTIMATORS = changes(
    str(e02.ESTIMATORS.text),
    ("refused", ("return a, b", "return a")),
    ("not_reduced", ("ops.mean(log_p_x + log_p_z - log_q_z, axis=0)", "log_p_x + log_p_z - log_q_z")),
    ("error", ("softplus(logits), axis=-1)", "softplus(logits), axis=1)")),  # as the answer to question 2 may be
    ("cut_draws", ("noise  # [S, N, L]", "noise\n    z = ops.stop_gradient(z)")),
)
LINEAR = changes(
    str(e02.LINEAR.text),
    ("reduced", ("return bound", "return ops.mean(bound)")),
    ("zero", ("log_p_x - bound", "ops.zeros_like(bound)")),
    ("error", ("ops.slogdet", "ops.logdet_of")),
    ("refused", ("return bound, log_p_x - bound", "return bound")),
)
LAYER_RIGHT = """
@keras.saving.register_keras_serializable("exercise")
class GaussianImage(keras.layers.Layer):
    def __init__(self, event_shape, **kwargs):
        super().__init__(**kwargs)
        self.event_shape = tuple(event_shape)

    def build(self, input_shape):
        pixels = int(np.prod(self.event_shape))
        self.kernel = self.add_weight(shape=(input_shape[-1], pixels), name="kernel")
        self.bias = self.add_weight(shape=(pixels,), name="bias")
        self.log_scale = self.add_weight(shape=(), name="log_scale")

    def call(self, inputs):
        mean = ops.sigmoid(ops.matmul(inputs, self.kernel) + self.bias)
        mean = ops.reshape(mean, (-1, *self.event_shape))
        normal = tfd.Normal(mean, ops.exp(self.log_scale))
        return tfd.Independent(normal, reinterpreted_batch_ndims=len(self.event_shape))

    def compute_output_spec(self, inputs):
        if not self.built:
            self.build(inputs.shape)
        return keras.KerasTensor((inputs.shape[0], *self.event_shape), dtype=self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "event_shape": self.event_shape}
"""
_INDEPENDENT = "tfd.Independent(normal, reinterpreted_batch_ndims=len(self.event_shape))"
_AFFINE = "ops.matmul(inputs, self.kernel) + self.bias"
_LOG_SCALE = 'self.log_scale = self.add_weight(shape=(), name="log_scale")'
_DRAWS = f"""p = {_INDEPENDENT}

        def sample(shape=(), seed=None):
            shape = shape if isinstance(shape, tuple) else (shape,)
            return ops.broadcast_to(mean, (*shape, *mean.shape))

        p.sample = sample
        return p"""
LAYER = changes(
    LAYER_RIGHT,
    ("not_summed", (_INDEPENDENT, "normal")),
    ("last_axis_only", ("ndims=len(self.event_shape)", "ndims=1")),
    ("log_variance", ("ops.exp(self.log_scale)", "ops.exp(self.log_scale / 2)")),
    ("no_exponential", ("ops.exp(self.log_scale)", "self.log_scale")),
    ("no_sigmoid", (f"ops.sigmoid({_AFFINE})", _AFFINE)),
    ("no_noise", (f"return {_INDEPENDENT}", _DRAWS)),
    ("not_trainable", (_LOG_SCALE, _LOG_SCALE[:-1] + ", trainable=False)")),
    ("weights", (_LOG_SCALE, "self.log_scale = 0.0")),
    ("no_output_spec", ("compute_output_spec", "output_spec")),
    ("config_without_event_shape", (', "event_shape": self.event_shape}', "}")),
    ("kwargs_lost", ("super().__init__(**kwargs)", "super().__init__()")),
    ("cut", ("ops.exp(self.log_scale)", "np.exp(self.log_scale)")),
    ("no_distribution", (f"return {_INDEPENDENT}", "return mean")),
    ("error", ("mean = ops.reshape(mean, (-1, *self.event_shape))", "pass")),
    ("no_layer", ('@keras.saving.register_keras_serializable("exercise")\n', ""), ("(keras.layers.Layer)", ""),
     ("super().__init__(**kwargs)", "pass")),
)  # fmt: skip

_LOSS = str(e02.BROKEN.text)
_Z = "mean + ops.exp(log_variance / 2) * noise"
_RETURN = "return ops.mean(kl) - ops.mean(reconstruction)"
LOSS = changes(
    _LOSS,
    ("brackets", ("ops.exp(pixel_log_variance))", "ops.exp(-pixel_log_variance))"), ("kl = ops.sum", "kl = ops.mean")),
    ("kl_summed", ("log_p_z, axis=1)", "log_p_z)")),
    ("pixels_averaged", ("ops.sum(log_p_x", "ops.mean(log_p_x")),
    ("something_else", ("ops.tanh(ops.matmul(x", "ops.sigmoid(ops.matmul(x")),
    ("not_a_number", (_RETURN, "return kl - reconstruction")),
    ("not_a_number", (_RETURN, "return ops.mean(kl) - ops.mean(reconstruction) + np.nan")),
    ("constant", (_RETURN, _RETURN + " + 3.0")),
    ("factor", (_RETURN, "return (ops.mean(kl) - ops.mean(reconstruction)) / 2")),
    ("cut", (_Z, f"ops.stop_gradient({_Z})")),
    ("cut", ("(z - mean) ** 2", "ops.stop_gradient(z - mean) ** 2")),
    ("cut", (_RETURN, "kl = ops.convert_to_numpy(kl)\n    " + _RETURN)),
    ("something_else", (_RETURN, "return 0.0 * ops.mean(kl)")),
)
COMPONENTS = """
def train_vae(images, seed):
    # nothing is trained: principal components, and the posterior that they have where pixels are normal
    latents, slope, gain = 8, 0.3, 1.0
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
_LOG_VARIANCE = "0 * mean - np.log(np.diag(precision))"
_SIZES, _HIDDEN = "gain = 8, 0.3, 1.0", "slope * np.eye(latents)"
MODEL = changes(
    COMPONENTS,
    ("bound", (_SIZES, "gain = 3, 0.3, 1.0")),
    ("not_log_variance", (_LOG_VARIANCE, f"({_LOG_VARIANCE}) / 2"), (_SIZES, "gain = 8, 0.3, 1.3")),
    ("not_log_variance", (_LOG_VARIANCE, f"np.exp({_LOG_VARIANCE})")),
    ("not_log_variance", (_LOG_VARIANCE, f"np.exp(({_LOG_VARIANCE}) / 2)")),
    ("overfitted", (_SIZES, "gain = 12, 0.3, 2.0")),
    ("cheap_codes", (_SIZES, "gain = 16, 0.3, 2.5")),
    ("no_codes", (_SIZES, "gain = 8, 0.3, 0.01")),
    ("worse_than_coins", ("weights / slope", "weights[:, ::-1] / slope"), ("np.log(white", "-np.log(white")),
    ("not_finite", ("np.zeros(latents)", "np.full(latents, np.nan)")),
    ("shapes", ("mean, 0 * mean", "mean[:-1], 0 * mean")),
    ("shapes", (_HIDDEN, "np.ones((8, 300))")),
    ("shapes", (_HIDDEN, "np.ones((50, 8))"), ("np.zeros(latents)", "np.zeros(50)")),
    ("refused", (_HIDDEN, "np.ones((50_000, 64))")),
    ("refused", ("return encode, decoder", "return decoder")),
    ("refused", ("return mean, ", "return tfd.Normal(mean, 1.0)  # ")),
    ("error", ("return mean, ", "return encoder(x), ")),
)

MUTANTS = {
    "kl_divergence": KL,
    "bernoulli_log_prob": BERNOULLI,
    "gaussian_log_prob": GAUSSIAN,
    "elbo_estimators": ESTIMATORS,
    "bound_and_gap": LINEAR,
    "GaussianImage": LAYER,
    "mended_loss": LOSS,
    "train_vae": MODEL,
}

ALIKE = {
    "kl_divergence": [
        """
def kl_divergence(mean, log_variance):
    q, p = tfd.Normal(mean, ops.exp(log_variance / 2)), tfd.Normal(0.0, 1.0)
    return ops.sum(q.kl_divergence(p), axis=-1)
""",
        """
def kl_divergence(mean, log_variance):
    return (ops.sum(ops.square(mean) + ops.exp(log_variance) - log_variance, axis=1) - mean.shape[1]) / 2
""",
    ],
    "bernoulli_log_prob": [
        """
def bernoulli_log_prob(x, logits):
    return ops.sum(tfd.Bernoulli(logits=logits).log_prob(x), axis=-1)
""",
        """
def bernoulli_log_prob(x, logits):
    return ops.sum(x * ops.log_sigmoid(logits) + (1 - x) * ops.log_sigmoid(-logits), axis=-1)
""",
        """
def bernoulli_log_prob(x, logits):
    return -ops.sum(ops.softplus((1 - 2 * x) * logits), axis=-1)
""",
    ],
    "gaussian_log_prob": [
        """
def gaussian_log_prob(x, mean, log_variance):
    return ops.sum(tfd.Normal(mean, ops.exp(log_variance / 2)).log_prob(x), axis=-1)
""",
        """
def gaussian_log_prob(x, mean, log_variance):
    t = (x - mean) / ops.exp(log_variance / 2)
    return -0.5 * ops.sum(np.log(2 * np.pi) + log_variance + t**2, axis=-1)
""",
    ],
    "elbo_estimators": [
        """
def elbo_estimators(x, mean, log_variance, noise, weights, bias):
    q = tfd.MultivariateNormalDiag(mean, ops.exp(log_variance / 2))
    p = tfd.MultivariateNormalDiag(ops.zeros_like(mean), ops.ones_like(mean))
    z = mean + ops.exp(log_variance / 2) * noise
    likelihood = ops.sum(tfd.Bernoulli(logits=ops.matmul(z, weights) + bias).log_prob(x), axis=-1)
    a = ops.mean(likelihood + p.log_prob(z) - q.log_prob(z), axis=0)
    return a, ops.mean(likelihood, axis=0) - q.kl_divergence(p)
""",
        """
def elbo_estimators(x, mean, log_variance, noise, weights, bias):
    a = b = 0  # draw by draw; log 2π cancels, and (z − μ)/σ is the noise
    for e in noise:
        z = mean + ops.exp(log_variance / 2) * e
        logits = ops.matmul(z, weights) + bias
        log_p_x = ops.sum(x * logits - ops.softplus(logits), axis=1)
        a = a + log_p_x + 0.5 * ops.sum(log_variance + e**2 - z**2, axis=1)
        b = b + log_p_x - 0.5 * ops.sum(mean**2 + ops.exp(log_variance) - 1 - log_variance, axis=1)
    return a / len(noise), b / len(noise)
""",
    ],
    "bound_and_gap": [
        """
def bound_and_gap(x, weights, bias, noise_scale, mean, log_variance):
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
def bound_and_gap(x, weights, bias, noise_scale, mean, log_variance):
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
        changed(_LOSS, ("LOG_2PI + z**2", "z**2"), ("LOG_2PI + log_variance", "log_variance")),
        changed(
            _LOSS,
            (_RETURN, "return -ops.mean(reconstruction - kl)"),
            ("(z - mean) ** 2 / ops.exp(log_variance)", "noise**2"),
        ),
        changed(
            _LOSS,
            ("ops.sum(log_p_x, axis=1)", "ops.sum(log_p_x) / len(x)"),
            ("ops.mean(reconstruction)", "reconstruction"),
        ),
    ],
}
