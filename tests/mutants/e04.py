"""Answers to exercise 04 that its definitions do not make themselves: right ones written otherwise, and odd ones."""

from mutants import e02

_SHARE = "share = ops.stop_gradient(ops.softmax(log_w, axis=0))  # 4. of each code, [k, B]"
_COPIES = "copies = ops.tile(x, (k, 1))  # 2. one for each code, in their order"
_RENYI = """
class Renyi(vk.objectives.Objective):
    def __init__(self, samples, alpha=0.5, beta=1.0):
        super().__init__(samples, beta)
        self.alpha = alpha

    def bound(self, log_w):
        power = 1.0 - self.alpha
        if power == 0:
            return ops.sum(log_w, axis=0) / len(log_w)
        largest = ops.max(power * log_w, axis=0)
        return (largest + ops.log(ops.mean(ops.exp(power * log_w - largest), axis=0))) / power

    def __call__(self, model, data, step, training):
        trace = model.trace(data, self.samples, training)
        bound = self.bound(trace.log_weights())
        return -bound, {"bound": bound}

    def terms(self, model):
        return ["bound"]

    def get_config(self):
        config = super().get_config()
        config["alpha"] = self.alpha
        return config
"""


_SIZES, _SAID = "gain = 5, 0.3, 0.7", "0 * mean - np.log(np.diag(precision))"


def _components(old, new):
    """Nothing is trained: principal components, as in exercise 02."""
    code = e02._COMPONENTS.replace("train_vae", "train_iwae").replace("gain = 8, 0.3, 1.0", _SIZES)
    assert code.count(old) == 1, (code.count(old), old)
    return code.replace(old, new)


ALIKE = {
    "active_units": [
        """
        S = ops.shape(samples)[0]
        m = ops.mean(samples, axis=0, keepdims=True)
        N = len(m[0])
        error = ops.mean(ops.var(samples, axis=0), axis=0) / (S - 1)  # of a mean
        A = ops.var(m[0], axis=0) * N / (N - 1) - error
        return A, error
        """,
        """
        z = np.array(samples)
        noise = (z.var(0, ddof=1) / len(z)).mean(0)
        return z.mean(0).var(0, ddof=1) - noise, noise
        """,
    ],
    "broken_ruler": [
        """
def broken_ruler(tables):
    found = []
    for table in tables:
        t = []
        for program in table:
            d = [later - earlier for earlier, later in zip(program, program[1:])]
            t.append(min(x.mean() / (x.std(ddof=1) / len(x) ** 0.5) for x in d))
        found.append(t.index(min(t)))
    return {"program": found}
""",
    ],
    "Renyi": [_RENYI],
    "gradients_needed": ["gradients_needed = 390", "gradients_needed = np.float32(100 * 5 / np.exp(0.25))"],
    "dreg_loss": [
        """
        held = ops.stop_gradient
        sigma = ops.exp(0.5 * log_variance)
        z = mean + sigma * noise

        def log_w(z, m, s, W, b):
            logits = ops.matmul(z, W) + b
            p = ops.sum(tfd.Normal(0.0, 1.0).log_prob(z), axis=-1) + ops.sum(
                x * ops.log_sigmoid(logits) + (1 - x) * ops.log_sigmoid(-logits), axis=-1)
            return p - ops.sum(tfd.Normal(m, s).log_prob(z), axis=-1)

        bound = ops.logsumexp(log_w(held(z), held(mean), held(sigma), weights, bias), axis=0) - np.log(len(noise))
        path = log_w(z, held(mean), held(sigma), held(weights), held(bias))  # the bound has the decoder's gradient
        extra = ops.sum(held(ops.softmax(path, axis=0)) ** 2 * path, axis=0)
        return ops.mean(-bound - (extra - held(extra)))
        """,
    ],
    "design": [
        """
def design(log_weights, path, score):
    from scipy.special import logsumexp, softmax

    best, chosen = logsumexp(log_weights, axis=0) - np.log(480), None
    for K in (1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 18, 20, 24, 30, 40):
        w, a = (array[: 480 // K * K].reshape(K, -1, 50) for array in (log_weights, path))
        if np.mean(best - (logsumexp(w, axis=0) - np.log(K))) < 0.14:
            g = np.sum(softmax(w, axis=0) ** 2 * a, axis=0)
            M = 1.8 * 1.5**2 * np.sum(g.var(axis=0)) / np.sum(g.mean(axis=0) ** 2 - g.var(axis=0) / len(g))
            return dict(codes=float(K), groups=np.int64(np.ceil(M)), gradient="dreg")
""",
    ],
    "mended_step": [
        {_COPIES: "copies = ops.reshape(ops.broadcast_to(x[None], (k, B, x.shape[1])), (k * B, x.shape[1]))",
         _SHARE: "share = ops.exp(log_w - ops.logsumexp(log_w, axis=0))\nshare = ops.stop_gradient(share)"},
        {"loss = -ops.sum(share * log_w, axis=0)  # 5. [B]": "loss = k * -ops.mean(share * log_w, axis=0)"},
    ],
}  # fmt: skip

ODD = {
    "active_units": [
        ("refused", {"return activity, noise": "return activity"}),
        ("refused", {"return ": ""}),
        ("error", {"S, N, L = samples.shape": "S, N = samples.shape"}),
    ],
    "broken_ruler": [
        ("settings", "def broken_ruler(tables):\n    return dict(program=[4] * 60)"),
        ("settings", "def broken_ruler(tables):\n    return dict(program=2)"),
        ("refused", "def broken_ruler(tables):\n    return [0] * 60"),
        ("error", "def broken_ruler(tables):\n    return dict(program=tables.argmin(axes=1))"),
    ],
    "Renyi": [
        ("refused", "class Renyi(vk.objectives.ELBO):\n    def __init__(self, samples, alpha=0.5, **kwargs):\n"
                    "        super().__init__(samples, **kwargs)"),
        ("config_without_super", _RENYI.replace("config = super().get_config()", "config = {}").replace(
            "samples, alpha=0.5", "samples=1, alpha=0.5")),
        ("no_objective", "def Renyi(log_weights, alpha):\n    return ops.mean(log_weights, axis=0)"),
        ("error", _RENYI.replace("self.alpha = alpha", "self.a = alpha")),
    ],
    "gradients_needed": [("other", "gradients_needed = 100"), ("refused", "gradients_needed = [390]")],
    "dreg_loss": [
        ("error", {"ops.matmul(z, weights)": "ops.matmul(weights, z)"}),
        ("not_reduced", {"return -ops.mean(surrogate + held(bound - surrogate))":
                         "return -(surrogate + held(bound - surrogate))"}),
    ],
    "design": [
        ("settings", "def design(log_weights, path, score):\n    return dict(gradient='dreg', groups=0, codes=9)"),
        ("refused", "def design(log_weights, path, score):\n    return 'dreg', 8, 8"),
        ("refused", "def design(log_weights, path, score):\n    return dict(gradient='vimco', groups=8, codes=9)"),
    ],
    "train_iwae": [
        ("bound", _components(_SIZES, _SIZES)),
        ("not_log_variance", _components(_SAID, f"np.exp({_SAID})").replace(_SIZES, "gain = 5, 0.1, 2.5")),
        ("no_codes", _components(_SIZES, "gain = 5, 0.3, 0.01")),
        ("shapes", _components(_SIZES, "gain = 8, 0.3, 1.0")),
        ("refused", _components("return mean, ", "return tfd.Normal(mean, 1.0)  # ")),
        ("error", _components("return mean, ", "return encoder(x), ")),
    ],
    "mended_step": [
        ("something_else", {"ops.softplus(logits)": "ops.sin(logits)"}),
        ("variant", {"LOG_2PI + z**2": "LOG_2PI - z**2"}),
        ("not_a_number", {"return ops.mean(loss)": "return loss"}),
        ("constant", {"return ops.mean(loss)": "return ops.mean(loss) - LOG_2PI"}),
        ("factor", {"return ops.mean(loss)": "return ops.mean(loss) / np.log(2)"}),
        ("cut", {"ops.stop_gradient(ops.softmax(log_w, axis=0))": "ops.softmax(log_w, axis=0)"}),
    ],
}  # fmt: skip
