"""Answers to exercise 08 that its definitions do not make themselves: right ones written otherwise, and odd ones."""

_COMPONENTS = """
def train_deep(images, seed):
    # nothing is trained: principal components, and the posterior that they have where pixels are normal
    latents, gain = 8, 1.0
    images = images[:400]
    white = np.clip(images.mean(axis=0), 0.02, 0.98)
    spread = white * (1 - white)
    _, sizes, axes = np.linalg.svd((images - images.mean(axis=0)) / np.sqrt(spread), full_matrices=False)
    weights = gain * sizes[:latents, None] / len(images) ** 0.5 * axes[:latents] / np.sqrt(spread)
    precision = np.eye(latents) + (weights * spread) @ weights.T
    arrays = {f"kernel_{i}": np.zeros((2, 2)) for i in range(2, 5)} | {f"bias_{i}": np.zeros(2) for i in range(1, 5)}
    arrays |= {"kernel_1": np.zeros((latents, 2))}  # hidden layers that say nothing: z enters the last one, by a skip
    arrays |= {"kernel_5": np.concatenate([np.zeros((2, 196)), weights]), "bias_5": np.log(white / (1 - white))}

    def encode(x):
        mean = (np.array(x) - white) @ weights.T @ np.linalg.inv(precision)
        return mean, 0 * mean - np.log(np.diag(precision))

    return encode, arrays
"""
_SAID, _SIZES = "0 * mean - np.log(np.diag(precision))", "latents, gain = 8, 1.0"
_LAST = "np.concatenate([np.zeros((2, 196)), weights])"


def _components(*changes):
    code = _COMPONENTS
    for old, new in changes:
        assert code.count(old) == 1, (code.count(old), old)
        code = code.replace(old, new)
    return code


_INDEPENDENT = "return tfd.Independent(pixels, reinterpreted_batch_ndims=len(self.event_shape))"
_SECOND = "h = ops.relu(ops.matmul(h, self.kernel_2) + ops.matmul(z, self.skip_2) + self.bias_2)"
_THIRD = "logits = ops.matmul(h, self.kernel_3) + ops.matmul(z, self.skip_3) + self.bias_3"
_WIDE = """
        h_z = lambda h: ops.concatenate([h, z], axis=-1)
        kernel_2 = ops.concatenate([self.kernel_2, self.skip_2], axis=0)
        h = ops.relu(h_z(h) @ kernel_2 + self.bias_2)
"""

ALIKE = {
    "beta_at": [
        """
        up = ops.cast(ops.mod(step, period), "float32") / float(period) / ramp
        done = step // period >= cycles
        return ops.where(done, 1.0, ops.clip(up, 0.0, 1.0))
        """,
    ],
    "unit_information": [
        """
        z = mean + ops.exp(0.5 * log_variance) * noise
        log_q = tfd.Normal(mean, ops.exp(0.5 * log_variance)).log_prob(ops.expand_dims(z, 2))
        N = mean.shape[0]
        own = ops.swapaxes(ops.diagonal(log_q, axis1=1, axis2=2), 1, 2)
        by_unit = own - ops.logsumexp(log_q, axis=2) + np.log(N)
        whole = ops.sum(log_q, axis=-1)
        together = ops.sum(own, axis=-1) - ops.logsumexp(whole - np.log(N), axis=-1)
        return ops.mean(ops.mean(by_unit, axis=1), axis=0), ops.mean(together)
        """,
    ],
    "live_cost": ["live_cost = 1.12", "live_cost = np.log(4 * 1.5 / 0.64) / 2"],
    "delta_posterior": [
        """
        low, high = -1 - 2 * delta, 0.0
        for _ in range(80):
            v = (low + high) / 2
            low, high = (v, high) if np.exp(v) - 1 - v > 2 * delta else (low, v)
        log_variance = float(v) - 2 * ops.softplus(-logit)
        return log_variance, ops.sum(mean**2 + ops.expm1(log_variance) - log_variance, axis=-1) / 2
        """,
    ],
    "SkipDecoder": [{_SECOND: _WIDE.strip()}],
    "mended_codes": [
        {"squares = (z[:, None] - mean) ** 2 * ops.exp(-log_variance)":
         "squares = ops.square((z[:, None] - mean) / ops.exp(0.5 * log_variance))",
         "cost = ops.mean(ops.sum(live * price, axis=1))": "cost = ops.sum(ops.mean(price, axis=0) * live)",
         "return cost - information": "return ops.mean(cost - ops.diagonal(log_q) + aggregate)"},
    ],
    "sight": [
        """
def sight(x):
    # what is left of a pixel, given m neighbours, and the sum of those further away, by regression
    N, D = x.shape
    x_t, left = np.concatenate(list(x[:, 6:].T)), []
    far = np.concatenate([x.sum(axis=1) - x[:, t - 5 : t + 1].sum(axis=1) for t in range(6, D)])
    for m in range(6):
        given = np.stack([far] + [np.concatenate([x[:, t - k] for t in range(6, D)]) for k in range(1, m + 1)], axis=1)
        left.append(np.mean((x_t - given @ np.linalg.lstsq(given, x_t, rcond=None)[0]) ** 2))
    gain = np.log(np.array(left[:-1]) / np.array(left[1:]))
    return {"neighbours": np.int64(max(k + 1 for k in range(5) if gain[k] > 0.03))}
        """,
    ],
}  # fmt: skip

ODD = {
    "beta_at": [
        ("refused", {"return ": ""}),
        ("error", {"ops.minimum(": "min("}),
    ],
    "unit_information": [
        ("refused", {"axis=(0, 1)), ": "axis=(0, 1)) + "}),
        ("refused", {"return ": ""}),
        ("variant", {"own, log_N = -0.5 * (log_variance": "own, log_N = 0.5 * (log_variance"}),
    ],
    "live_cost": [("other", "live_cost = 0.93"), ("refused", "live_cost = [1.119]")],
    "delta_posterior": [
        ("refused", {"return log_variance, ": "return "}),
        ("error", {"ops.log_sigmoid(logit)": "math.log_sigmoid(logit)"}),
        ("cut", {"return log_variance, ": "log_variance = ops.stop_gradient(log_variance)\nreturn log_variance, "}),
    ],
    "SkipDecoder": [
        ("not_summed", {_INDEPENDENT: "return pixels"}),
        ("last_axis_only", {"ndims=len(self.event_shape)": "ndims=1"}),
        ("no_skips", {" + ops.matmul(z, self.skip_2)": "", " + ops.matmul(z, self.skip_3)": ""}),
        ("last_without", {" + ops.matmul(z, self.skip_3)": ""}),
        ("second_without", {" + ops.matmul(z, self.skip_2)": ""}),
        ("after_activation", {_SECOND: "h = ops.relu(ops.matmul(h, self.kernel_2) + self.bias_2) + ops.matmul(z, "
                              "self.skip_2)"}),
        ("no_activation", {_SECOND: _SECOND.replace("ops.relu", "")}),
        ("residual", {_SECOND: _SECOND.replace("relu(", "relu(h + ")}),
        ("tanh", {"h = ops.relu(ops.matmul(z, self.kernel_1)": "h = ops.tanh(ops.matmul(z, self.kernel_1)",
                  _SECOND: _SECOND.replace("relu", "tanh")}),
        ("error", {"(-1, *self.event_shape)": "(z.shape[0], *self.event_shape)"}),
        ("logits_doubled", {_THIRD: _THIRD.replace("= ", "= 2 * (") + ")"}),
        ("variant", {"ops.matmul(z, self.skip_3)": "ops.matmul(ops.stop_gradient(z), self.skip_3)"}),
        ("sigmoid_twice", {_THIRD: _THIRD.replace("= ", "= ops.sigmoid(") + ")"}),
        ("logits_activated", {_THIRD: _THIRD.replace("= ", "= ops.relu(") + ")"}),
        ("no_distribution", {_INDEPENDENT: "return logits"}),
    ],
    "mended_codes": [
        ("something_else", {"squares = (z[:, None] - mean) ** 2": "squares = ops.sin(z[:, None] - mean) ** 2"}),
        ("not_a_number", {"information = ops.mean(ops.diagonal(log_q) - aggregate)": "information = "
                          "ops.diagonal(log_q) - aggregate"}),
        ("factor", {"return cost - information": "return (cost - information) / np.log(2)"}),
        ("constant", {"return cost - information": "return cost - information + 1"}),
    ],
    "sight": [
        ("settings", "def sight(x):\n    return dict(neighbours=1.5)"),
        ("settings", "def sight(x):\n    return dict(neighbours=12)"),
        ("refused", "def sight(x):\n    return 2"),
        ("refused", "def sight():\n    return {}"),
        ("error", "def sight(x):\n    return dict(neighbours=log(x))"),
    ],
    "train_deep": [
        ("bound", _components((_SIZES, "latents, gain = 20, 0.8"), (_SAID, f"{_SAID} - 0.4"))),
        ("one_cure", _components()),
        ("collapsed", _components((_SIZES, "latents, gain = 2, 0.7"))),
        ("unused", _components((_LAST, f"0.1 * {_LAST}"), (_SAID, f"{_SAID} - 3"))),
        ("not_log_variance", _components((_SAID, f"np.exp({_SAID})"), (_SIZES, "latents, gain = 8, 1.3"))),
        ("cheap_codes", _components((_SIZES, "latents, gain = 12, 5.0"))),
        ("no_codes", _components((_SIZES, "latents, gain = 8, 0.01"))),
        ("worse_than_coins", _components(("np.log(white / (1 - white))}", "np.log(white / (1 - white))[::-1]}"))),
        ("not_finite", _components(('"bias_5": np.log', '"bias_5": np.nan * np.log'))),
        ("shapes", _components(('"kernel_1": np.zeros((latents, 2))', '"kernel_1": np.zeros((latents, 300))'))),
        ("shapes", _components(('np.zeros(2) for i', 'np.zeros(3) for i'))),
        ("shapes", _components((_SAID, f"({_SAID})[:, :3]"))),
        ("refused", _components(('"bias_5": np', '"bias_6": np'))),
        ("refused", _components(("return mean, ", "return tfd.Normal(mean, 1.0)  # "))),
        ("error", _components(("return mean, ", "return encoder(x), "))),
    ],
}  # fmt: skip
