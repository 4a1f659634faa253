"""Answers to exercise 03 that its definitions do not make themselves: right ones written otherwise, and odd ones."""

_FIT = """
def fit_posterior(images, hidden_weights, hidden_bias, output_weights, output_bias, seed):
    # nothing is fitted: the encoder of the paper says it
    from vaekit.course.exercises import e03

    images = np.array(images)
    mean, log_variance = e03._decoder_and_encoder()[1](images)
    return mean, log_variance
"""
_PLAN = """
def plan(pilot):
    largest = pilot.max(axis=0)
    w = np.exp(pilot - largest)
    ess = np.sum(w, axis=0) ** 2 / np.sum(w**2, axis=0)
    spread = np.var(np.log(np.mean(w, axis=0)) + largest)
    S, N = 9 * np.mean(200 / ess - 1), 35 * spread
    return dict(images=np.int64(N), samples=float(round(S)), error="images", estimator="log of mean")
"""


def _fitted(change):
    assert _FIT.count("return mean, log_variance") == 1
    return _FIT.replace("return mean, log_variance", f"return {change}")


_ESTIMATE = "ops.logsumexp(log_weights, axis=0) - np.log(log_weights.shape[0])"
_DENSITY = "(LOG_2PI + log_variance + (z - mean) ** 2 / ops.exp(log_variance), axis=-1)"
_MEAN = "ops.logsumexp(log_w, axis=1) - np.log(noise.shape[1])"
_RUNS = "runs = ops.mean(log_p, axis=1)"

ALIKE = {
    "log_mean_weight": [
        """
        m = ops.max(log_weights, axis=0)
        w = ops.exp(log_weights - m)
        return m + ops.log(ops.mean(w, axis=0)), ops.sum(w, axis=0) ** 2 / ops.sum(w**2, axis=0)
        """,
        """
        total = ops.logsumexp(log_weights, axis=0)
        ess = ops.exp(2 * total - ops.logsumexp(2 * log_weights, axis=0))
        return total - ops.log(ops.cast(ops.shape(log_weights)[0], "float32")), ess
        """,
        """
        w = np.exp(np.array(log_weights, "float64") - np.max(log_weights, axis=0))
        return np.log(w.mean(0)) + np.max(log_weights, axis=0), len(w) / (1 + (w.std(0) / w.mean(0)) ** 2)
        """,
    ],
    "samples_needed": ["samples_needed = 118", "samples_needed = np.float32(0.5 / 0.1 * np.expm1(3.2))"],
    "plan": [_PLAN],
    "leapfrog": [
        """
        precision = 1 / noise_scale**2

        def gradient(z):
            return -z + precision * ops.matmul((x - (ops.matmul(z, weights) + bias)), ops.transpose(weights))

        def log_f(z):
            prior = tfd.Normal(0.0, 1.0).log_prob
            pixels = tfd.Normal(ops.matmul(z, weights) + bias, noise_scale).log_prob(x)
            return ops.sum(prior(z), axis=1) + ops.sum(pixels, axis=1)

        v, start = momentum + step_size / 2 * gradient(z), log_f(z) - ops.sum(momentum**2, axis=1) / 2
        for step in range(steps):
            z = z + step_size * v
            v = v + (step_size if step < steps - 1 else step_size / 2) * gradient(z)
        return z, v, ops.minimum(log_f(z) - ops.sum(v**2, axis=1) / 2 - start, 0.0)
        """,
    ],
    "ais_bracket": [
        """
        change = ops.diff(betas)
        log_up = ops.einsum("t,tsn->sn", change, up[:-1])
        log_down = ops.einsum("t,tsn->sn", change, down[1:])
        count = np.log(len(up[0]))
        return ops.logsumexp(log_up, axis=0) - count, -(ops.logsumexp(-log_down, axis=0) - count)
        """,
    ],
    "wake_sleep": [
        """
        held = ops.stop_gradient
        z = held(ops.matmul(x, encoder) + ops.exp(0.5 * log_variance) * noise)
        log_joint = ops.sum(tfd.Normal(0.0, 1.0).log_prob(z), axis=-1)
        log_joint = log_joint + ops.sum(tfd.Normal(ops.matmul(z, weights) + bias, noise_scale).log_prob(x), axis=-1)
        dream = ops.matmul(dream_z, held(weights)) + held(bias) + noise_scale * dream_noise
        q = tfd.Normal(ops.matmul(dream, encoder), ops.exp(0.5 * log_variance))
        return -ops.mean(log_joint), -ops.mean(ops.sum(q.log_prob(dream_z), axis=-1))
        """,
    ],
    "mended_report": [
        {"log_variance = log_variance + 2 * np.log(1.2)": "sigma = 1.2 * ops.exp(log_variance / 2)",
         "ops.exp(log_variance / 2) * noise": "sigma * noise",
         _DENSITY: "(LOG_2PI + 2 * ops.log(sigma) + noise**2, axis=-1)"},
        {_RUNS: "runs = (4 * ops.mean(log_p[:, :4], axis=1) + (len(x) - 4) * ops.mean(log_p[:, 4:], axis=1)) / len(x)",
         _MEAN: "ops.log(ops.mean(ops.exp(log_w), axis=1))", "ops.where(uniform < x, 1.0, 0.0)":
         "ops.cast(uniform < x, 'float32')"},
    ],
    "fit_posterior": [
        """
def fit_posterior(images, hidden_weights, hidden_bias, output_weights, output_bias, seed):
    # the gradients by hand, and momentum with steps of a size that each number has to itself
    x, W1, b1, W2, b2 = map(np.array, (images, hidden_weights, hidden_bias, output_weights, output_bias))
    q, first, second = np.zeros((2, len(x), len(W1)), "float32") - [[[0]], [[2]]], 0, 0
    for step in range(1, 151):
        noise, sigma = np.random.default_rng([seed, step]).standard_normal(q[0].shape), np.exp(q[1] / 2)
        z = q[0] + sigma * noise
        h = np.tanh(z @ W1 + b1)
        slope = ((x - 1 / (1 + np.exp(-(h @ W2 + b2)))) @ W2.T * (1 - h**2)) @ W1.T - z
        gradient = np.array([slope, slope * noise * sigma / 2 + 0.5])
        first, second = 0.9 * first + 0.1 * gradient, 0.99 * second + 0.01 * gradient**2
        q = q + 0.12 * (1 - step / 151) * first / (1 - 0.9**step) / np.sqrt(second / (1 - 0.99**step))
    return list(q)
""",
    ],
}  # fmt: skip

ODD = {
    "log_mean_weight": [
        ("refused", {"return estimate, 1 / ops.sum(share**2, axis=0)": "return estimate"}),
        ("refused", {"return ": ""}),
        ("overflow", {_ESTIMATE: "ops.log(ops.mean(ops.exp(log_weights), axis=0) + 1e-38)"}),
        ("other", {"np.log(log_weights.shape[0])": "np.log(log_weights.shape[0] - 1)"}),
    ],
    "samples_needed": [
        ("rounded", "samples_needed = 100"),
        ("other", "samples_needed = 101"),
        ("refused", "samples_needed = [118]"),
    ],
    "plan": [
        ("settings", "def plan(pilot):\n    return dict(estimator='log of mean', error='seeds', samples=0, images=9)"),
        ("refused", "def plan(pilot):\n    return 200, 300"),
        ("refused", "def plan(pilot):\n    return dict(estimator='IWAE', error='images', samples=200, images=300)"),
        ("refused", "def plan(pilot, seed):\n    return {}"),
        ("error", "def plan(pilot):\n    return dict(samples=pilots.mean())"),
    ],
    "leapfrog": [
        ("refused", {"return z, momentum, ": "return z, "}),
        ("error", {"ops.transpose(weights)": "weights"}),
        ("variant", {"(x - bias - ops.matmul(z, weights), ": "(x + bias - ops.matmul(z, weights), "}),
    ],
    "ais_bracket": [
        ("refused", {"return ": "return ops.stack([", "ops.logsumexp(-log_down, axis=0)":
                     "ops.logsumexp(-log_down, axis=0)])"}),
        ("error", {"[:, None, None]": ""}),
    ],
    "wake_sleep": [
        ("leak", {"z = ops.stop_gradient(ops.matmul(x, encoder) + ops.exp(log_variance / 2) * noise)":
                  "drawn = ops.matmul(x, encoder) + ops.exp(log_variance / 2) * noise\nz = ops.stop_gradient(drawn)",
                  "LOG_2PI + z**2": "LOG_2PI + drawn**2"}),
        ("refused", {"return wake, ": "return wake + "}),
        ("error", {"ops.matmul(dream, encoder)": "ops.matmul(encoder, dream)"}),
        ("cut", {"return wake, ": "return ops.stop_gradient(wake), "}),
        ("cut", {"dream = ops.stop_gradient(": "encoder = ops.stop_gradient(encoder)\ndream = ops.stop_gradient("}),
    ],
    "mended_report": [
        ("something_else", {"ops.softplus(logits)": "ops.sin(logits)"}),
        ("variant", {"ops.softplus(logits)": "ops.relu(logits)"}),
        ("variant", {"LOG_2PI + z**2": "LOG_2PI - z**2"}),
        ("not_a_number", {"return ops.mean(runs)": "return runs"}),
        ("constant", {"return ops.mean(runs)": "return ops.mean(runs) - LOG_2PI"}),
        ("factor", {"return ops.mean(runs)": "return ops.mean(runs) / np.log(2)"}),
        ("batches", {_RUNS: "runs = (ops.mean(log_p[:, :4], axis=1) + ops.mean(log_p[:, 4:], axis=1)) / 2",
                     "ops.mean(runs)": "ops.max(runs)"}),
    ],
    "fit_posterior": [
        ("bound", _FIT),
        ("not_log_variance", _fitted("mean, np.exp(log_variance / 2)")),
        ("not_log_variance", _fitted("mean, np.exp(log_variance)")),
        ("not_log_variance", _fitted("mean, log_variance / 2")),
        ("exchanged", _fitted("log_variance, mean")),
        ("alike", _fitted("0 * mean, 0 * log_variance")),
        ("too_narrow", _fitted("mean, log_variance - 4")),
        ("too_wide", _fitted("mean, 0 * log_variance")),
        ("no_prior", _fitted("1.5 * mean, log_variance")),
        ("near_zero", _fitted("0.3 * mean, log_variance")),
        ("wrong_codes", _fitted("mean[::-1], log_variance[::-1]")),
        ("shapes", _fitted("mean.T, log_variance.T")),
        ("shapes", _fitted("mean[:5], log_variance[:5]")),
        ("not_finite", _fitted("mean + np.nan, log_variance")),
        ("refused", _fitted("mean")),
        ("error", _fitted("encoder(images), log_variance")),
    ],
}  # fmt: skip
