"""Wrong answers to exercise 02, each with the name of the diagnosis that it should get."""


def changed(code, *changes):
    """A right answer with something exchanged."""
    for old, new in changes:
        assert code.count(old) == 1, (code.count(old), old)
        code = code.replace(old, new)
    return code


def _kl(code):
    return f"def kl_divergence(mean, log_variance):\n    {code}\n"


KL = [
    ("sign", _kl("return 0.5 * ops.sum(1 + log_variance - mean**2 - ops.exp(log_variance), axis=-1)")),
    ("mean_over_latents", _kl("return 0.5 * ops.mean(mean**2 + ops.exp(log_variance) - 1 - log_variance, axis=-1)")),
    ("summed_over_batch", _kl("return 0.5 * ops.sum(mean**2 + ops.exp(log_variance) - 1 - log_variance)")),
    (
        "averaged_over_batch",
        _kl("return ops.mean(0.5 * ops.sum(mean**2 + ops.exp(log_variance) - 1 - log_variance, axis=-1))"),
    ),
    ("no_half", _kl("return ops.sum(mean**2 + ops.exp(log_variance) - 1 - log_variance, axis=-1)")),
    (
        "log_deviation",
        _kl("return ops.sum(0.5 * mean**2 + 0.5 * ops.exp(2 * log_variance) - 0.5 - log_variance, axis=-1)"),
    ),
    (
        "deviation_for_variance",
        _kl("return 0.5 * ops.sum(mean**2 + ops.exp(log_variance / 2) - 1 - log_variance, axis=-1)"),
    ),
    ("no_minus_one", _kl("return 0.5 * ops.sum(mean**2 + ops.exp(log_variance) - log_variance, axis=-1)")),
    ("log_sign", _kl("return 0.5 * ops.sum(mean**2 + ops.exp(log_variance) - 1 + log_variance, axis=-1)")),
    ("mean_not_squared", _kl("return 0.5 * ops.sum(mean + ops.exp(log_variance) - 1 - log_variance, axis=-1)")),
    (
        "reversed",
        """
def kl_divergence(mean, log_variance):
    q = tfd.MultivariateNormalDiag(mean, ops.exp(log_variance / 2))
    p = tfd.MultivariateNormalDiag(ops.zeros_like(mean), ops.ones_like(mean))
    return tfd.kl_divergence(p, q)
""",
    ),
    ("other", _kl("return 0.5 * (mean**2 + ops.exp(log_variance) - 1 - log_variance)")),
    ("other", _kl("return 0.5 * ops.sum(mean**2 + ops.exp(log_variance) - 1 - log_variance, axis=0)")),
    ("error", _kl("return 0.5 * sum(mean**2 + exp(log_variance) - 1 - log_variance)")),
    ("refused", _kl("0.5 * ops.sum(mean**2 + ops.exp(log_variance) - 1 - log_variance, axis=-1)")),
    ("refused", "def kl_divergence(mean):\n    return 0.5 * ops.sum(mean**2, axis=-1)\n"),
]


def _bernoulli(*lines):
    return "\n    ".join(["def bernoulli_log_prob(x, logits):", *lines, ""])


_LOGS = "return ops.sum(x * ops.log(y) + (1 - x) * ops.log(1 - y), axis=-1)"
BERNOULLI = [
    ("log_of_sigmoid", _bernoulli("y = ops.sigmoid(logits)", _LOGS)),
    ("log_of_sigmoid", _bernoulli("y = 1 / (1 + ops.exp(-logits))", _LOGS)),
    ("exp_overflows", _bernoulli("return ops.sum(x * logits - ops.log(1 + ops.exp(logits)), axis=-1)")),
    ("exp_overflows", _bernoulli("return ops.sum(x * logits - ops.log1p(ops.exp(logits)), axis=-1)")),
    ("clipped", _bernoulli("y = ops.clip(ops.sigmoid(logits), 1e-7, 1 - 1e-7)", _LOGS)),
    ("clipped", _bernoulli("y = ops.clip(ops.sigmoid(logits), 1e-6, 1 - 1e-6)", _LOGS)),
    (
        "clipped",
        _bernoulli(
            "y = ops.sigmoid(logits)",
            "return ops.sum(x * ops.log(y + 1e-8) + (1 - x) * ops.log(1 - y + 1e-8), axis=-1)",
        ),
    ),
    ("sign", _bernoulli("return ops.sum(ops.softplus(logits) - x * logits, axis=-1)")),
    ("mean_over_pixels", _bernoulli("return ops.mean(x * logits - ops.softplus(logits), axis=-1)")),
    ("loss_per_pixel", _bernoulli("return keras.losses.binary_crossentropy(x, logits, from_logits=True)")),
    ("white_only", _bernoulli("return ops.sum(x * ops.log_sigmoid(logits), axis=-1)")),
    ("swapped", _bernoulli("return ops.sum(-x * ops.softplus(logits) - (1 - x) * ops.softplus(-logits), axis=-1)")),
    ("sigmoid_twice", _bernoulli("return ops.sum(tfd.Bernoulli(logits=ops.sigmoid(logits)).log_prob(x), axis=-1)")),
    ("logits_for_probabilities", _bernoulli("y = logits", _LOGS)),
    ("other", _bernoulli("return x * logits - ops.softplus(logits)")),
    ("error", _bernoulli("return ops.sum(x * a - ops.softplus(a), axis=-1)")),
]


def _gaussian(*lines):
    constant = "c = np.log(2 * np.pi).astype('float32')"
    return "\n    ".join(["def gaussian_log_prob(x, mean, log_variance):", constant, *lines, ""])


_SQUARE = "((x - mean) * ops.exp(-log_variance / 2)) ** 2"
_BY_VARIANCE = "return -0.5 * ops.sum(c + ops.log(v) + (x - mean) ** 2 / v, axis=-1)"
GAUSSIAN = [
    ("sign", _gaussian(f"return 0.5 * ops.sum(c + log_variance + {_SQUARE}, axis=-1)")),
    ("mean_over_pixels", _gaussian(f"return -0.5 * ops.mean(c + log_variance + {_SQUARE}, axis=-1)")),
    ("no_constant", _gaussian(f"return -0.5 * ops.sum(log_variance + {_SQUARE}, axis=-1)")),
    ("constant_once", _gaussian(f"return -0.5 * (c + ops.sum(log_variance + {_SQUARE}, axis=-1))")),
    ("squared_error", _gaussian(f"return -0.5 * ops.sum(c + {_SQUARE}, axis=-1)")),
    ("log_variance_whole", _gaussian(f"return -ops.sum(c / 2 + log_variance + {_SQUARE} / 2, axis=-1)")),
    ("log_deviation", _gaussian("return ops.sum(tfd.Normal(mean, ops.exp(log_variance)).log_prob(x), axis=-1)")),
    (
        "deviation_for_variance",
        _gaussian("return -0.5 * ops.sum(c + log_variance + (x - mean) ** 2 / ops.exp(log_variance / 2), axis=-1)"),
    ),
    (
        "precedence",
        _gaussian(
            "return ops.sum(-0.5 * c - 0.5 * log_variance - (x - mean) ** 2 / 2 * ops.exp(log_variance), axis=-1)"
        ),
    ),
    (
        "not_standardized",
        _gaussian("return -0.5 * ops.sum(c + log_variance + (x - mean) ** 2 / ops.exp(log_variance), axis=-1)"),
    ),
    (
        "not_standardized",
        _gaussian("return -0.5 * ops.sum(c + log_variance + (x - mean) ** 2 * ops.exp(-log_variance), axis=-1)"),
    ),
    ("not_standardized", _gaussian("v = ops.exp(log_variance)", _BY_VARIANCE)),
    ("variance_bounded", _gaussian("v = ops.exp(log_variance) + 1e-6", _BY_VARIANCE)),
    ("variance_bounded", _gaussian("v = ops.maximum(ops.exp(log_variance), 1e-8)", _BY_VARIANCE)),
    ("other", _gaussian(f"return -0.5 * (c + log_variance + {_SQUARE})")),
]


ESTIMATORS_RIGHT = """
def elbo_estimators(x, mean, log_variance, noise, weights, bias):
    c = 0.5 * np.log(2 * np.pi).astype("float32")
    z = mean + ops.exp(log_variance / 2) * noise
    a = ops.matmul(z, weights) + bias
    log_p_x = ops.sum(x * a - ops.softplus(a), axis=-1)
    log_p_z = ops.sum(-c - z**2 / 2, axis=-1)
    log_q_z = ops.sum(-c - log_variance / 2 - (z - mean) ** 2 / ops.exp(log_variance) / 2, axis=-1)
    kl = ops.sum(mean**2 + ops.exp(log_variance) - 1 - log_variance, axis=-1) / 2
    return ops.mean(log_p_x + log_p_z - log_q_z, axis=0), ops.mean(log_p_x, axis=0) - kl
"""
_A, _B = "ops.mean(log_p_x + log_p_z - log_q_z, axis=0)", "ops.mean(log_p_x, axis=0) - kl"
_LOG_DRAWS = "np.log(noise.shape[0]).astype('float32')"
ESTIMATORS = [
    (name, changed(ESTIMATORS_RIGHT, *changes))
    for name, *changes in [
        ("exchanged", (f"return {_A}, {_B}", f"return {_B}, {_A}")),
        ("kl_added", ("axis=0) - kl", "axis=0) + kl")),
        ("kl_mean", ("kl = ops.sum", "kl = ops.mean")),
        ("log_q_added", ("log_p_z - log_q_z", "log_p_z + log_q_z")),
        ("no_prior", ("log_p_x + log_p_z", "log_p_x")),
        ("constant_on_one_side", ("-c - z**2 / 2", "-z**2 / 2")),
        ("constant_on_one_side", ("-c - log_variance / 2", "-log_variance / 2")),
        (
            "density_of_the_noise",
            ("-c - log_variance / 2 - (z - mean) ** 2 / ops.exp(log_variance) / 2", "-c - noise**2 / 2"),
        ),
        ("log_q_at_the_mean", ("(z - mean) ** 2", "(mean - mean) ** 2")),
        (
            "log_mean_exp",
            (_A, f"ops.logsumexp(log_p_x + log_p_z - log_q_z, axis=0) - {_LOG_DRAWS}"),
            (_B, f"ops.logsumexp(log_p_x, axis=0) - {_LOG_DRAWS} - kl"),
        ),
        ("draws_summed", (_A, _A.replace("mean", "sum"))),
        ("pixels_averaged", ("log_p_x = ops.sum", "log_p_x = ops.mean")),
        ("variance_for_deviation", ("ops.exp(log_variance / 2) * noise", "ops.exp(log_variance) * noise")),
        ("no_noise", ("z = mean + ops.exp(log_variance / 2) * noise", "z = mean + 0 * noise")),
        ("refused", (f"return {_A}, {_B}", f"return {_A}")),
        ("other", (_A, "log_p_x + log_p_z - log_q_z")),
    ]
]


LINEAR_RIGHT = """
def bound_and_gap(x, weights, bias, noise_scale, mean, log_variance):
    x, weights, bias, mean, log_variance = (np.array(v, "float64") for v in (x, weights, bias, mean, log_variance))
    L, D = weights.shape
    S = np.exp(log_variance)
    kl = 0.5 * np.sum(mean**2 + S - 1 - log_variance, axis=1)
    distance = np.sum((x - bias - mean @ weights) ** 2, axis=1)
    spread = S @ np.sum(weights**2, axis=1)
    constant = D * np.log(2 * np.pi * noise_scale**2)
    bound = -0.5 * (constant + (distance + spread) / noise_scale**2) - kl
    C = weights.T @ weights + noise_scale**2 * np.eye(D)
    r = x - bias
    evidence = -0.5 * (D * np.log(2 * np.pi) + np.linalg.slogdet(C)[1] + np.sum(r @ np.linalg.inv(C) * r, axis=1))
    return bound, evidence - bound
"""
_RETURN = "return bound, evidence - bound"
_POSTERIOR = """P = np.eye(L) + weights @ weights.T / noise_scale**2
    Q = np.linalg.inv(P)
    m = r @ weights.T @ Q / noise_scale**2
    d = mean - m
    log_det = np.linalg.slogdet(P)[1]
    return bound, 0.5 * """
_KL = "(S @ np.diag(P) + np.sum(d @ P * d, axis=1) - L - log_variance.sum(1) - log_det)"
LINEAR = [
    (name, changed(LINEAR_RIGHT, *changes))
    for name, *changes in [
        ("mean_for_expectation", ("(distance + spread)", "distance")),
        (
            "scale_for_variance",
            ("spread) / noise_scale**2)", "spread) / noise_scale)"),
            ("2 * np.pi * noise_scale**2", "2 * np.pi * noise_scale"),
        ),
        ("no_constant", ("constant = D *", "constant = 0 *")),
        ("no_constant", ("constant = D *", "constant =")),
        ("no_kl", ("noise_scale**2) - kl", "noise_scale**2)")),
        ("evidence_for_bound", (_RETURN, "return evidence, evidence - bound")),
        ("prior_for_posterior", (_RETURN, "return bound, kl")),
        ("reversed", (_RETURN, _POSTERIOR + "(np.sum((np.diag(Q) + d**2) / S - 1 + log_variance, axis=1) + log_det)")),
        ("posterior_without_prior", (_RETURN, _POSTERIOR.replace("np.eye(L) + ", "") + _KL)),
        (
            "diagonal_posterior",
            (_RETURN, _POSTERIOR + "np.sum((S + d**2) / np.diag(Q) - 1 - log_variance + np.log(np.diag(Q)), axis=1)"),
        ),
        ("sign", ("evidence - bound", "bound - evidence")),
        ("evidence_for_gap", ("evidence - bound", "evidence")),
        ("other", ("return bound", "return bound.mean()")),
    ]
]


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
LAYER = [
    (name, changed(LAYER_RIGHT, *changes))
    for name, *changes in [
        ("not_summed", (_INDEPENDENT, "normal")),
        ("last_axis_only", ("ndims=len(self.event_shape)", "ndims=1")),
        ("log_variance", ("ops.exp(self.log_scale)", "ops.exp(self.log_scale / 2)")),
        ("no_sigmoid", (f"ops.sigmoid({_AFFINE})", _AFFINE)),
        ("drawn_from_the_mean", (f"return {_INDEPENDENT}", _DRAWS)),
        ("refused", (_LOG_SCALE, _LOG_SCALE[:-1] + ", trainable=False)")),
        ("refused", (_LOG_SCALE, "self.log_scale = 0.0")),
        ("refused", ("compute_output_spec", "output_spec")),
        ("error", ('"event_shape": self.event_shape}', '"shape": self.event_shape}')),
        ("refused", (f"return {_INDEPENDENT}", "return mean")),
        ("error", ("mean = ops.reshape(mean, (-1, *self.event_shape))", "pass")),
        (
            "refused",
            ('@keras.saving.register_keras_serializable("exercise")\n', ""),
            ("(keras.layers.Layer)", ""),
            ("super().__init__(**kwargs)", "pass"),
        ),
    ]
]


LOSS_RIGHT = """
def mended_loss(x, noise, encoder_hidden, encoder_mean, encoder_log_variance, decoder_hidden, decoder_mean,
                pixel_log_variance):
    LOG_2PI = np.log(2 * np.pi).astype("float32")
    h = ops.tanh(ops.matmul(x, encoder_hidden))
    mean, raw = ops.matmul(h, encoder_mean), ops.matmul(h, encoder_log_variance)
    drawn = ops.clip(raw, -6, 2)
    log_variance = ops.clip(raw, -6, 2)
    z = mean + ops.exp(drawn / 2) * noise
    y = ops.matmul(ops.tanh(ops.matmul(z, decoder_hidden)), decoder_mean)
    log_p_x = -0.5 * (LOG_2PI + pixel_log_variance) - (x - y) ** 2 / 2 / ops.exp(pixel_log_variance)
    log_p_z = -0.5 * (LOG_2PI + z**2)
    log_q_z = -0.5 * (LOG_2PI + log_variance + (z - mean) ** 2 / ops.exp(log_variance))
    reconstruction = ops.sum(log_p_x, axis=1)
    kl = ops.sum(log_q_z - log_p_z, axis=1)
    return ops.mean(kl) - ops.mean(reconstruction)
"""
_CLIPPING = ("log_variance = ops.clip(raw, -6, 2)", "log_variance = raw")
_BRACKETS = ("/ 2 / ops.exp(pixel_log_variance)", "/ 2 * ops.exp(pixel_log_variance)")
_CONSTANTS = ("(LOG_2PI + z**2)", "z**2")
_LATENTS = ("kl = ops.sum", "kl = ops.mean")
_BATCH = ("ops.mean(reconstruction)", "ops.sum(reconstruction)")
LOSS = [
    (name, changed(LOSS_RIGHT, *changes))
    for name, *changes in [
        ("clipping", _CLIPPING, _BRACKETS, _CONSTANTS, _LATENTS, _BATCH),
        ("clipping", _CLIPPING),
        ("brackets", _BRACKETS),
        ("brackets", _BRACKETS, _LATENTS),
        ("constants", _CONSTANTS),
        ("constants", _CONSTANTS, _BATCH),
        ("latents", _LATENTS),
        ("batch", _BATCH),
        ("unclipped", _CLIPPING, ("drawn = ops.clip(raw, -6, 2)", "drawn = raw")),
        ("constants_exchanged", ("(LOG_2PI + log_variance", "(log_variance")),
        ("all_summed", _BATCH, ("ops.mean(kl)", "ops.sum(kl)")),
        (
            "closed_form",
            ("ops.sum(log_q_z - log_p_z, axis=1)", "0.5 * ops.sum(mean**2 + ops.exp(drawn) - 1 - drawn, axis=1)"),
        ),
        ("something_else", ("z = mean + ops.exp(drawn / 2) * noise", "z = mean + ops.exp(drawn) * noise")),
        ("something_else", ("ops.tanh(ops.matmul(x", "ops.sigmoid(ops.matmul(x")),
        ("not_a_number", ("ops.mean(kl) - ops.mean(reconstruction)", "kl - reconstruction")),
    ]
]


TRAINED = """
def train_vae(images, seed):
    latents, units, epochs, beta = 10, 100, 40, 1.0
    keras.utils.set_random_seed(seed)
    encoder = keras.Sequential([vk.layers.MLP(units), vk.layers.DiagonalNormal(latents)])
    decoder = keras.Sequential([vk.layers.MLP(units), vk.layers.Bernoulli(64)])
    vae = vk.VAE(encoder, decoder, seed=seed)
    vae.compile(keras.optimizers.Adam(0.003), objective=vk.objectives.ELBO(analytic_kl=True, beta=beta))
    x = vk.batches.DynamicBinarization(images, seed)
    vae.fit(x, epochs=epochs, batch_size=100, verbose=0)

    def encode(x):
        q = vae.posterior(x)
        return q.mean(), 2 * ops.log(q.stddev())

    names = ["hidden_weights", "hidden_bias", "output_weights", "output_bias"]
    return encode, dict(zip(names, decoder.get_weights(), strict=True))
"""
ONCE = "1.0 * (np.random.default_rng(seed).random((400, 64)) < images[:400])"  # few images, drawn once
UNTRAINED = """
def train_vae(images, seed):
    rng = np.random.default_rng(seed)
    white = np.clip(images.mean(axis=0), 1e-3, 1 - 1e-3)
    decoder = {
        "hidden_weights": rng.normal(size=(5, 50)),
        "hidden_bias": np.zeros(50),
        "output_weights": np.zeros((50, 64)),
        "output_bias": np.log(white / (1 - white)),
    }

    def encode(x):
        return np.zeros((len(x), 5)), np.zeros((len(x), 5))

    return encode, decoder
"""
BY_HEART = """
def train_vae(images, seed):
    # a hidden unit for each of 200 training images, switched on by a code of its own
    rng = np.random.default_rng(seed)
    known = images[rng.permutation(len(images))[:200]]
    codes = rng.normal(size=(20, 200))
    codes /= np.linalg.norm(codes, axis=0)
    white = np.clip(images.mean(axis=0), 0.01, 0.99)
    base = np.log(white / (1 - white))
    p = np.clip(known, 0.03, 0.97)
    output = (np.log(p / (1 - p)) - base) / 2
    decoder = {
        "hidden_weights": 6 * codes,
        "hidden_bias": np.full(200, -17.0),
        "output_weights": output,
        "output_bias": base + output.sum(axis=0),
    }

    def encode(x):
        x = np.array(x)
        nearest = np.argmax(x @ np.log(p).T + (1 - x) @ np.log(1 - p).T, axis=1)
        return 4 * codes.T[nearest], np.full((len(x), 20), -1.5)

    return encode, decoder
"""
_LOG_VARIANCE = "2 * ops.log(q.stddev())"
MODEL = [
    ("bound", changed(TRAINED, ("40, 1.0", "10, 1.0"))),
    ("not_log_variance", changed(TRAINED, (_LOG_VARIANCE, "ops.log(q.stddev())"))),
    ("not_log_variance", changed(TRAINED, (_LOG_VARIANCE, "q.variance()"))),
    ("not_log_variance", changed(TRAINED, (_LOG_VARIANCE, "q.stddev()"))),
    ("cheap_codes", changed(TRAINED, ("40, 1.0", "40, 0.1"))),
    ("cheap_codes", BY_HEART),
    (
        "overfitted",
        changed(TRAINED, ("10, 100, 40", "16, 200, 300"), ("vk.batches.DynamicBinarization(images, seed)", ONCE)),
    ),
    ("no_codes", UNTRAINED),
    ("worse_than_coins", changed(UNTRAINED, ("np.zeros((50, 64))", "rng.normal(size=(50, 64))"))),
    ("shapes", changed(UNTRAINED, ("size=(5, 50)", "size=(50, 5)"))),
    ("shapes", changed(UNTRAINED, ("(5, 50)", "(5, 210)"), ("zeros(50)", "zeros(210)"), ("((50, 64))", "((210, 64))"))),
    ("refused", changed(UNTRAINED, ("((50, 64))", "((50_000, 64))"))),
    ("refused", changed(UNTRAINED, ("return encode, decoder", "return decoder"))),
    ("error", changed(UNTRAINED, ("np.zeros((len(x), 5)), np", "encoder(x), np"))),
]

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

# right answers, written otherwise than the solution
ALIKE = {
    "kl_divergence": [
        """
def kl_divergence(mean, log_variance):
    q, p = tfd.Normal(mean, ops.exp(log_variance / 2)), tfd.Normal(0.0, 1.0)
    return ops.sum(q.kl_divergence(p), axis=-1)
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
}
