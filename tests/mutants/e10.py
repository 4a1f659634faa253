"""Answers to exercise 10 that its definitions do not make themselves: right ones written otherwise, and odd ones."""

_COMPONENTS = """
def train_sigma(images, seed):
    # nothing is trained: principal components, by a decoder so flat that tanh and sigmoid are straight lines there
    latents, share, scale = 12, 1.0, None
    middle = images.mean(axis=0)
    values, axes = np.linalg.eigh(np.cov(images, rowvar=False))
    values, axes, left = values[-latents:], axes[:, -latents:], values[:-latents].mean()
    w2 = share * np.maximum(values - left, 1e-9)
    tau2 = left / (w2 + left)
    slope = np.maximum(middle * (1 - middle), 0.01)
    arrays = {"hidden_weights": 0.01 * np.eye(latents), "hidden_bias": np.zeros(latents)}
    arrays |= {"output_weights": ((axes * np.sqrt(w2)) / slope[:, None]).T / 0.01}
    arrays |= {"output_bias": np.log((middle + 1e-3) / (1 - middle + 1e-3)), "log_scale": scale or -2.1}

    def encode(x):
        mean = (np.array(x) - middle) @ axes * np.sqrt(w2) / (w2 + left)
        return mean, np.log(tau2) + 0 * mean

    return encode, arrays
"""
_SAID = "np.log(tau2) + 0 * mean"


def _sizes(latents, share=1.0, scale=None):
    return "latents, share, scale = 12, 1.0, None", f"latents, share, scale = {latents}, {share}, {scale}"


def _components(*changes):
    code = _COMPONENTS
    for old, new in changes:
        assert code.count(old) == 1, (code.count(old), old)
        code = code.replace(old, new)
    return code


_INDEPENDENT = "return tfd.Independent(tfd.Normal(mean, scale), reinterpreted_batch_ndims=len(self.event_shape))"
_SCALE = "scale = ops.exp(self.low + ops.softplus(raw - self.low))"
_CONFIG = 'return {**super().get_config(), "event_shape": self.event_shape, "low": self.low}'

ALIKE = {
    "best_scales": [
        """
        squares = ops.square(seen * (ops.nan_to_num(x) - mean))
        def over(axis):
            return ops.sqrt(ops.sum(squares, axis) / ops.sum(seen, axis))
        return over(None), over(1), over(0)
        """,
    ],
    "floored_loss": [
        """
        # the soft clip adds e^low to σ*, whose root is safe where it is 0
        mse = ops.mean(ops.square(x - mean))
        best = ops.sqrt(ops.where(mse > 0, mse, 1.0)) * ops.where(mse > 0, 1.0, 0.0)
        sigma = best + ops.exp(ops.convert_to_tensor(low, "float32"))
        return -ops.sum(tfd.Normal(mean, sigma).log_prob(x), axis=-1)
        """,
    ],
    "hidden_factor": ["hidden_factor = 0.14", "hidden_factor = np.mean([0.6, 0.3, 0.15]) * 2 / 5"],
    "SoftClippedNormal": [
        {_SCALE: "scale = float(np.exp(self.low)) + ops.exp(raw)"}
    ],
    "bits_of_bytes": [
        """
        normal, sigma = tfd.Normal(0.0, 1.0), ops.exp(log_scale)
        a, b = ((k - 0.5) / 255 - mean) / sigma, ((k + 0.5) / 255 - mean) / sigma
        right = k / 255 > mean
        low, high = ops.where(right, -b, a), ops.where(right, -a, b)
        high = ops.where(k == 0, b, ops.where(k == 255, -a, high))
        low = ops.where((k == 0) | (k == 255), -1e4, low)
        log_p = normal.log_cdf(high) + ops.log1p(-ops.exp(normal.log_cdf(low) - normal.log_cdf(high)))
        return -log_p * float(np.log2(np.e))
        """,
    ],
    "mended_sigma_vae": [
        {"mse = ops.mean(squares)": "mse = ops.mean(ops.mean(squares, axis=1))",
         "logarithm = x.shape[1] * ops.log(sigma)": "logarithm = 0.5 * x.shape[1] * ops.log(mse)",
         "(2 * sigma**2)": "(2 * mse)"},
    ],
    "tuned": [
        """
def tuned(x):
    # train, measure the error, and begin again with it
    values, axes = np.linalg.eigh(x.T @ x / len(x))
    beta = x.var()
    for _ in range(100):
        w2 = np.maximum(values[-3:] - beta, 0)
        left = (beta / (w2 + beta)) ** 2 * values[-3:] + w2 * beta / (w2 + beta)
        beta = (left.sum() + values[:-3].sum()) / 12
    return {"betas": np.array([beta])}
        """,
    ],
}  # fmt: skip

ODD = {
    "best_scales": [
        ("refused", {"return shared, by_image, by_pixel": "return shared"}),
        ("refused", {"return ": ""}),
        ("error", {"ops.where(seen > 0": "where(seen > 0"}),
    ],
    "floored_loss": [
        ("refused", {"return ": ""}),
        ("error", {"ops.softplus": "ops.soft_plus"}),
        ("cut", {"squares = (x - mean) ** 2": "squares = (x - ops.stop_gradient(mean)) ** 2"}),
    ],
    "hidden_factor": [("other", "hidden_factor = 0.17"), ("refused", "hidden_factor = [0.14]")],
    "SoftClippedNormal": [
        ("not_summed", {_INDEPENDENT: "return tfd.Normal(mean, scale)"}),
        ("last_axis_only", {"ndims=len(self.event_shape)": "ndims=1"}),
        ("no_floor", {_SCALE: "scale = ops.exp(raw)"}),
        ("hard_floor", {_SCALE: "scale = ops.exp(ops.maximum(raw, self.low))"}),
        ("low_forgotten", {_SCALE: "scale = ops.exp(self.low + ops.softplus(raw))"}),
        ("variance", {_SCALE: "scale = ops.exp(2 * (self.low + ops.softplus(raw - self.low)))"}),
        ("plain_softplus", {_SCALE: "scale = ops.softplus(raw)"}),
        ("no_low", {_SCALE: "scale = ops.exp(ops.softplus(raw))"}),
        ("low_not_added", {_SCALE: "scale = ops.exp(ops.softplus(raw - self.low))"}),
        ("softplus_twice", {_SCALE: "scale = ops.exp(self.low + ops.softplus(ops.softplus(raw - self.low)))"}),
        ("low_added_twice", {_SCALE: "scale = ops.exp(self.low + ops.softplus(raw + self.low))"}),
        ("ceiling", {_SCALE: "scale = ops.exp(self.low - ops.softplus(self.low - raw))"}),
        ("softplus_for_exp", {_SCALE: "scale = ops.softplus(self.low + ops.softplus(raw - self.low))"}),
        ("log_variance", {_SCALE: "scale = ops.exp((self.low + ops.softplus(raw - self.low)) / 2)"}),
        ("no_exponential", {_SCALE: "scale = self.low + ops.softplus(raw - self.low)"}),
        ("sigmoid_in_scale", {_SCALE: "scale = ops.exp(self.low + ops.softplus(ops.sigmoid(raw) - self.low))"}),
        ("scale_without_features", {"ops.matmul(h, self.scale_kernel)": "0 * ops.matmul(h, self.scale_kernel)"}),
        ("no_sigmoid", {"ops.sigmoid(": "("}),
        ("exchanged", {"ops.matmul(h, self.kernel) + self.bias": "ops.matmul(h, self.scale_kernel)+ self.scale_bias",
                       "ops.matmul(h, self.scale_kernel) + self.scale_bias": "ops.matmul(h, self.kernel) + self.bias"}),
        ("no_distribution", {_INDEPENDENT: "return mean, scale"}),
        ("weights_in_other_order", {"name=\"bias\")": "name=\"b\", trainable=False)"}),
    ],
    "bits_of_bytes": [
        ("floor", {"inside = log_cdf(upper) + ops.log(-ops.expm1(log_cdf(lower) - log_cdf(upper)))": "cdf = "
                   "tfd.Normal(0.0, 1.0).cdf\ninside = ops.log(ops.maximum(cdf(upper) - cdf(lower), 1e-30))"}),
        ("refused", {"return ": ""}),
        ("error", {"tfd.Normal(0.0, 1.0).log_cdf": "norm.logcdf"}),
    ],
    "mended_sigma_vae": [
        ("something_else", {"squares = (x - mean) ** 2": "squares = ops.sin(x - mean) ** 2"}),
        ("constant", {"return ops.mean(quotient + logarithm + kl)": "return ops.mean(quotient + logarithm + kl) + 1"}),
        ("not_a_number", {"return ops.mean(quotient + logarithm + kl)": "return quotient + logarithm + kl"}),
        ("factor", {"return ops.mean(quotient + logarithm + kl)": "return ops.mean(quotient + logarithm + kl) / "
                    "np.log(2)"}),
        ("cut", {"* ops.log(sigma)": "* ops.log(ops.stop_gradient(sigma))"}),
        ("cut", {"(2 * sigma**2)": "(2 * ops.stop_gradient(sigma) ** 2)"}),
    ],
    "tuned": [
        ("settings", "def tuned(x):\n    return dict(betas=0.01)"),
        ("settings", "def tuned(x):\n    return dict(betas=[0.0, 0.1])"),
        ("refused", "def tuned(x):\n    return [0.01]"),
        ("refused", "def tuned():\n    return {}"),
        ("error", "def tuned(x):\n    return dict(betas=geomspace(x))"),
    ],
    "train_sigma": [
        ("bound", _components(_sizes(20, scale=-1.95))),
        ("dear_codes", _components(_sizes(12, scale=-1.95))),
        ("scale", _components(_sizes(4))),
        ("scale", _components(_sizes(12, scale=-1e-6))),
        ("not_log_scale", _components(_sizes(12, scale=0.157))),
        ("no_codes", _components(_sizes(12, share=1e-4, scale=-1.49))),
        ("cheap_codes", _components(_sizes(20, scale=-1.95), (_SAID, f"{_SAID} - 4"))),
        ("not_log_variance", _components(_sizes(12, scale=-1.95), (_SAID, f"np.exp({_SAID})"))),
        ("exchanged", _components(_sizes(20, scale=-1.95), (f"return mean, {_SAID}", f"return {_SAID}, mean"))),
        ("worse_than_coins", _components(_sizes(12, scale=-1.1), ("- middle + 1e-3))", "- middle + 1e-3))[::-1]"))),
        ("not_finite", _components(('"output_bias": np.log', '"output_bias": np.nan * np.log'))),
        ("shapes", _components(('"hidden_bias": np.zeros(latents)', '"hidden_bias": np.zeros(300)'))),
        ("shapes", _components(('"log_scale": scale or -2.1', '"log_scale": np.full(196, -2.1)'))),
        ("refused", _components(('"log_scale"', '"scale"'))),
        ("error", _components(("return mean, ", "return encoder(x), "))),
    ],
}  # fmt: skip
