"""Answers to exercise 06 that its definitions do not make themselves: right ones written otherwise, and odd ones."""

_CHOSEN = "ops.sum(uniform[:, None] > ops.cumsum(weights), axis=1)"

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
    ],
    "mended_vamp": [
        ("something_else", {"ops.softplus(logits)": "ops.sin(logits)"}),
        ("not_a_number", {"return ops.mean(log_q_z - log_p_z - log_p_x)": "return log_q_z - log_p_z - log_p_x"}),
        ("factor", {"return ops.mean(log_q_z - log_p_z - log_p_x)":
                    "return ops.mean(log_q_z - log_p_z - log_p_x) / np.log(2)"}),
        ("constant", {"return ops.mean(log_q_z - log_p_z - log_p_x)":
                      "return ops.mean(log_q_z - log_p_z - log_p_x) + LOG_2PI"}),
    ],
    "which_program": [
        ("settings", "def which_program(samples, mean, log_variance):\n    return dict(program=np.full(50, 5))"),
        ("refused", "def which_program(samples, mean, log_variance):\n    return np.zeros(50)"),
        ("error", "def which_program(samples, mean, log_variance):\n    return dict(program=argmax(samples))"),
    ],
}  # fmt: skip
