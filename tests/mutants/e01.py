"""Wrong answers to exercise 01, of the kinds people give: (diagnosis, code)."""

GAUSSIAN = """
def gaussian_sample(mean, log_variance, noise):
    {}
"""

EXPONENTIAL = """
def exponential_sample(rate, uniform):
    {}
"""

LOG_NORMAL = """
def log_normal(mean, scale, noise):
    log_z = mean + scale * noise
    z = ops.exp(log_z)
    normal = tfd.Normal(mean, scale)
    {}
"""

TRUNCATED = """
normal = tfd.Normal(0.0, 1.0)

def truncated_normal_sample(mean, scale, low, high, uniform):
    a, b = (low - mean) / scale, (high - mean) / scale
    {}
"""

SCORE = """
def score_function(sample, cost, mean, log_scale, baseline=0.0):
    scale = ops.exp(log_scale)
    t = (sample - mean) / scale
    c = (cost - baseline)[:, None]
    {}
"""

LAYER = """
class Reparameterize(keras.layers.Layer):
    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator({seed})

    def call(self, inputs, training=False):
        mean, log_variance = inputs
        noise = keras.random.normal({shape}, seed={generator})
        return {result}

    def get_config(self):
        return {config}
"""
RIGHT = {
    "seed": "seed",
    "shape": "ops.shape(mean)",
    "generator": "self.seed_generator",
    "result": "mean + ops.exp(log_variance / 2) * noise",
    "config": "{**super().get_config(), 'seed': self.seed}",
}

BUILD = """    def build(self, input_shape):
        self.shape = input_shape[0]

    def call"""

MIXTURE = """
def mixture_path(sample, logits, means, scales):
    z = ops.stop_gradient(sample)[:, None]
    weights = ops.softmax(logits, axis=-1)
    t = (z - means) / scales
    normal = tfd.Normal(0.0, 1.0)
    side = ops.where(z > ops.sum(weights * means, axis=-1, keepdims=True), -1.0, 1.0)
    {}
"""
PATH = """F = -ops.sum(weights * side * normal.cdf(side * t), axis=-1)
    p = ops.sum(weights * normal.prob(t) / scales, axis=-1)
    """


def layer(**changed):
    return LAYER.format(**{**RIGHT, **changed})


MUTANTS = {
    "gaussian_sample": [
        ("variance_for_deviation", GAUSSIAN.format("return mean + ops.exp(log_variance) * noise")),
        ("log_variance_for_deviation", GAUSSIAN.format("return mean + log_variance * noise")),
        ("root_of_log_variance", GAUSSIAN.format("return mean + ops.sqrt(log_variance) * noise")),
        ("precision", GAUSSIAN.format("return mean + noise / ops.exp(log_variance / 2)")),
        ("precision", GAUSSIAN.format("return mean + ops.exp(-0.5 * log_variance) * noise")),
        ("swapped", GAUSSIAN.format("return ops.exp(log_variance / 2) + mean * noise")),
        ("added", GAUSSIAN.format("return mean + (ops.exp(log_variance / 2) + noise)")),
        ("cut", GAUSSIAN.format("return mean + ops.stop_gradient(ops.exp(log_variance / 2)) * noise")),
        ("cut", GAUSSIAN.format("return ops.stop_gradient(mean) + ops.exp(log_variance / 2) * noise")),
        ("cut", GAUSSIAN.format("return ops.stop_gradient(mean + ops.exp(log_variance / 2) * noise)")),
        ("refused", GAUSSIAN.format("z = mean + ops.exp(log_variance / 2) * noise")),
        (
            "refused",
            GAUSSIAN.format("return mean + ops.exp(log_variance / 2) * keras.random.normal(ops.shape(mean))"),
        ),
        ("refused", "def gaussian_sample(mean, log_variance):\n    return mean"),
        ("other", GAUSSIAN.format("return ops.sum(mean + ops.exp(log_variance / 2) * noise)")),
        ("error", GAUSSIAN.format("return mu + ops.exp(log_variance / 2) * noise")),
    ],
    "exponential_sample": [
        ("falling", EXPONENTIAL.format("return -ops.log(uniform + 1e-30) / rate")),
        ("scale_for_rate", EXPONENTIAL.format("return -ops.log1p(-uniform) * rate")),
        ("sign", EXPONENTIAL.format("return ops.log1p(-uniform) / rate")),
        ("distribution_function", EXPONENTIAL.format("return 1 - ops.exp(-rate * uniform)")),
        ("density", EXPONENTIAL.format("return rate * ops.exp(-rate * uniform)")),
        ("cut", EXPONENTIAL.format("return -ops.log1p(-uniform) / ops.stop_gradient(rate)")),
        ("digits_lost", EXPONENTIAL.format("return -ops.log(1 - uniform) / rate")),
        ("clipped", EXPONENTIAL.format("u = ops.clip(uniform, 1e-7, 1 - 1e-7)\n    return -ops.log(1 - u) / rate")),
        ("clipped", EXPONENTIAL.format("u = ops.clip(uniform, 1e-6, 1 - 1e-6)\n    return -ops.log1p(-u) / rate")),
        ("clipped", EXPONENTIAL.format("return -ops.log(1 - uniform + 1e-6) / rate")),
        ("other", EXPONENTIAL.format("return -ops.log1p(-uniform)")),
    ],
    "log_normal": [
        ("cut", LOG_NORMAL.format("return ops.stop_gradient(z), ops.sum(normal.log_prob(log_z) - log_z, axis=-1)")),
        (
            "scale_for_deviation",
            LOG_NORMAL.format(
                "log_z = mean + scale**2 * noise\n"
                "    return ops.exp(log_z), ops.sum(normal.log_prob(mean + scale * noise) - log_z, axis=-1)"
            ),
        ),
        ("no_exponential", LOG_NORMAL.format("return log_z, ops.sum(normal.log_prob(log_z) - log_z, axis=-1)")),
        ("no_jacobian", LOG_NORMAL.format("return z, ops.sum(normal.log_prob(log_z), axis=-1)")),
        ("jacobian_added", LOG_NORMAL.format("return z, ops.sum(normal.log_prob(log_z) + log_z, axis=-1)")),
        (
            "noise_density",
            LOG_NORMAL.format("return z, ops.sum(-0.5 * noise**2 - 0.5 * float(np.log(2 * np.pi)) - log_z, axis=-1)"),
        ),
        ("constant", LOG_NORMAL.format("return z, ops.sum(-0.5 * noise**2 - ops.log(scale) - log_z, axis=-1)")),
        ("averaged", LOG_NORMAL.format("return z, ops.mean(normal.log_prob(log_z) - log_z, axis=-1)")),
        (
            "logarithm_of_exponential",
            LOG_NORMAL.format("return z, ops.sum(normal.log_prob(ops.log(z)) - ops.log(z), axis=-1)"),
        ),
        ("other", LOG_NORMAL.format("return z, normal.log_prob(log_z) - log_z")),
        ("other", LOG_NORMAL.format("return z, ops.exp(ops.sum(normal.log_prob(log_z) - log_z, axis=-1))")),
        ("refused", LOG_NORMAL.format("return ops.sum(normal.log_prob(log_z) - log_z, axis=-1)")),
    ],
    "truncated_normal_sample": [
        ("clipped", TRUNCATED.format("return ops.clip(mean + scale * normal.quantile(uniform), low, high)")),
        ("whole", TRUNCATED.format("return mean + scale * normal.quantile(uniform)")),
        (
            "not_standardized",
            TRUNCATED.format(
                "p = normal.cdf(low) + uniform * (normal.cdf(high) - normal.cdf(low))\n"
                "    return mean + scale * normal.quantile(p)"
            ),
        ),
        ("no_lower_limit", TRUNCATED.format("return mean + scale * normal.quantile(uniform * normal.cdf(b))")),
        (
            "width_forgotten",
            TRUNCATED.format("return mean + scale * normal.quantile(normal.cdf(a) + uniform * normal.cdf(b))"),
        ),
        ("flat", TRUNCATED.format("return low + uniform * (high - low)")),
        (
            "standardized",
            TRUNCATED.format("return normal.quantile((1 - uniform) * normal.cdf(a) + uniform * normal.cdf(b))"),
        ),
        (
            "limits_cut",
            TRUNCATED.format(
                "a, b = ops.stop_gradient(a), ops.stop_gradient(b)\n"
                "    return mean + scale * normal.quantile((1 - uniform) * normal.cdf(a) + uniform * normal.cdf(b))"
            ),
        ),
        (
            "upper_tail",
            TRUNCATED.format(
                "p = normal.cdf(a) + uniform * (normal.cdf(b) - normal.cdf(a))\n"
                "    return mean + scale * normal.quantile(p)"
            ),
        ),
        (
            "both_tails",
            TRUNCATED.format(
                "Phi = lambda t: 0.5 * (1 + ops.erf(t / 2**0.5))\n"
                "    p = Phi(a) + uniform * (Phi(b) - Phi(a))\n"
                "    return mean + scale * 2**0.5 * ops.erfinv(2 * p - 1)"
            ),
        ),
        (
            "other",
            TRUNCATED.format("return mean - scale * normal.quantile(uniform * normal.cdf(a) + normal.cdf(b))"),
        ),
    ],
    "score_function": [
        ("averaged", SCORE.format("return ops.mean(c * t / scale, axis=0), ops.mean(c * (t**2 - 1), axis=0)")),
        ("without_cost", SCORE.format("return t / scale, t**2 - 1")),
        ("baseline_ignored", SCORE.format("c = cost[:, None]\n    return c * t / scale, c * (t**2 - 1)")),
        (
            "baseline_added",
            SCORE.format("c = cost[:, None] + baseline\n    return c * t / scale, c * (t**2 - 1)"),
        ),
        (
            "baseline_afterwards",
            SCORE.format("c = cost[:, None]\n    return c * t / scale - baseline, c * (t**2 - 1) - baseline"),
        ),
        ("deviation_for_variance", SCORE.format("return c * t, c * (t**2 - 1)")),
        ("sign", SCORE.format("return c * (mean - sample) / scale**2, c * (t**2 - 1)")),
        ("for_scale", SCORE.format("return c * t / scale, c * (t**2 - 1) / scale")),
        ("for_log_variance", SCORE.format("return c * t / scale, c * (t**2 - 1) / 2")),
        ("normalizer", SCORE.format("return c * t / scale, c * t**2")),
        ("error", SCORE.format("c = cost - baseline\n    return c * t / scale, c * (t**2 - 1)")),
        ("refused", SCORE.format("return c * t / scale")),
        ("other", SCORE.format("return c * sample / scale**2, c * (t**2 - 1)")),
    ],
    "samples_worth": [
        ("no_baseline", "samples_worth = (5 * np.e - 1) / (np.e - 1)"),
        ("no_baseline", "samples_worth = 7.33"),
        ("mean_as_baseline", "samples_worth = (5 * np.e - 4) / (np.e - 1)"),
        ("deviations", "samples_worth = np.sqrt(5)"),
        ("upside_down", "samples_worth = 1 / 5"),
        ("second_moments", "samples_worth = (5 * np.e - 4) / np.e"),
        ("one_second_moment", "samples_worth = (5 * np.e - 5) / np.e"),
        ("other", "samples_worth = 4"),
        ("refused", "samples_worth = 'five'"),
        ("refused", "samples_worth = [5]"),
    ],
    "Reparameterize": [
        ("no_noise", layer(result="mean + (ops.exp(log_variance / 2) * noise if training else 0)")),
        ("one_noise_for_all_rows", layer(shape="(1, mean.shape[-1])")),
        ("one_noise_for_all_dimensions", layer(shape="(ops.shape(mean)[0], 1)")),
        ("same_noise_each_call", layer(generator="self.seed")),
        ("variance_for_deviation", layer(result="mean + ops.exp(log_variance) * noise")),
        ("log_variance_for_deviation", layer(result="mean + log_variance * noise")),
        ("standard_noise", layer(result="mean + noise")),
        ("cut", layer(result="ops.stop_gradient(mean + ops.exp(log_variance / 2) * noise)")),
        ("no_mean", layer(result="ops.exp(log_variance / 2) * noise")),
        (
            "uniform_noise",
            layer(result="mean + ops.exp(log_variance / 2) * noise").replace(
                "keras.random.normal(", "3**0.5 * keras.random.uniform(minval=-1, maxval=1, shape="
            ),
        ),
        ("seed_ignored", layer(seed="None")),
        ("seed_fixed", layer(seed="42")),
        ("error", layer(config="{'seed': self.seed_generator}")),
        ("error", layer(config="{**super().get_config(), 'generator': self.seed}")),
        ("error", layer(config="config")),
        ("unanswered", layer().replace("return {**super()", "raise NotImplementedError()\n        {**super()")),
        ("config_without_seed", layer(config="super().get_config()")),
        ("error", layer(shape="self.shape").replace("    def call", BUILD)),
        ("refused", "def Reparameterize(mean, log_variance, seed):\n    return mean"),
        ("refused", layer(result="ops.sum(mean + ops.exp(log_variance / 2) * noise, axis=-1)")),
        ("error", layer(result="mean + exp(log_variance / 2) * noise")),
        ("other", layer(result="mean + 0.5 * ops.exp(log_variance / 2) * noise")),
    ],
    "mixture_path": [
        ("value_moved", MIXTURE.format(PATH.replace("side * ", "") + "return sample + F / ops.stop_gradient(p)")),
        ("cut", MIXTURE.format("return sample")),
        ("cut", MIXTURE.format(PATH + "return sample + ops.stop_gradient((F - ops.stop_gradient(F)) / p)")),
        ("sign", MIXTURE.format(PATH + "return sample - (F - ops.stop_gradient(F)) / ops.stop_gradient(p)")),
        ("density_missing", MIXTURE.format(PATH + "return sample + F - ops.stop_gradient(F)")),
        (
            "one_component",
            MIXTURE.format(
                "likely = ops.argmax(ops.log(weights) - t**2 / 2 - ops.log(scales), axis=-1)\n"
                "    chosen = ops.one_hot(likely, weights.shape[-1])\n"
                "    path = ops.sum(chosen * (means + scales * ops.stop_gradient(t)), axis=-1)\n"
                "    return sample + path - ops.stop_gradient(path)"
            ),
        ),
        (
            "logits_for_weights",
            MIXTURE.format(
                "weights = logits\n"
                "    F = ops.sum(weights * normal.cdf(t), axis=-1)\n"
                "    p = ops.sum(weights * normal.prob(t) / scales, axis=-1)\n"
                "    return sample - (F - ops.stop_gradient(F)) / ops.stop_gradient(p)"
            ),
        ),
        (
            "equal_weights",
            MIXTURE.format(
                "F = -ops.mean(side * normal.cdf(side * t), axis=-1)\n"
                "    p = ops.mean(normal.prob(t) / scales, axis=-1)\n"
                "    return sample + (F - ops.stop_gradient(F)) / ops.stop_gradient(p)"
            ),
        ),
        (
            "upper_tail",
            MIXTURE.format(
                "F = ops.sum(weights * normal.cdf(t), axis=-1)\n"
                "    p = ops.sum(weights * normal.prob(t) / scales, axis=-1)\n"
                "    return sample - (F - ops.stop_gradient(F)) / ops.stop_gradient(p)"
            ),
        ),
        ("other", MIXTURE.format("return ops.sum(weights * (means + scales * t), axis=-1) * 2")),
    ],
}

# right answers, written otherwise than the solution
ALIKE = {
    "gaussian_sample": [
        GAUSSIAN.format(
            "return tfd.Normal(0.0, ops.exp(0.5 * log_variance)).quantile(tfd.Normal(0.0, 1.0).cdf(noise)) + mean"
        ),
        GAUSSIAN.format("return mean + ops.sqrt(ops.exp(log_variance)) * noise"),
    ],
    "exponential_sample": [
        EXPONENTIAL.format("return tfd.Exponential(rate).quantile(uniform)"),
        EXPONENTIAL.format("return ops.log1p(-uniform) / -rate"),
    ],
    "log_normal": [
        LOG_NORMAL.format("return z, ops.sum(normal.log_prob(log_z) - log_z, axis=-1)"),
        LOG_NORMAL.format(
            "return z, ops.sum(-0.5 * ((log_z - mean) / scale) ** 2 - ops.log(scale) - 0.9189385 - log_z, axis=-1)"
        ),
        LOG_NORMAL.format(
            "return z, ops.sum(-0.5 * noise**2 - 0.9189385 - ops.log(scale), axis=-1) - ops.sum(log_z, axis=-1)"
        ),
    ],
}
