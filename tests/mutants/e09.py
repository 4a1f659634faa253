"""Answers to exercise 09 that its definitions do not make themselves: right ones written otherwise, and odd ones."""

from mutants import changed

_COUNTED = """
def train_sentences(sentences, seed):
    # nothing is trained but a table: how often each word follows another one; codes say nothing
    V, E, L = 65, 64, 1
    follows = np.full((V, V), 0.05)
    shown = np.concatenate([np.full((len(sentences), 1), 2), sentences[:, :-1]], axis=1)
    np.add.at(follows, (shown, sentences), 1)
    logits = np.log(follows / follows.sum(axis=1, keepdims=True))
    u, s, v = np.linalg.svd(logits, full_matrices=False)
    size = 0.01 / np.abs(u[:, :E] * s[:E]).max()  # small, so that tanh is a line
    H = 64
    table = u[:, :E] * s[:E] * size
    kernel, bias = np.zeros((E + L, 4 * H)), np.zeros(4 * H)
    bias[:H], bias[H : 2 * H], bias[3 * H :] = 30, -30, 30  # all is let in, nothing kept, all shown
    kernel[:E, 2 * H : 3 * H] = np.eye(E)
    decoder = {"embedding": table, "kernel": kernel, "recurrent": np.zeros((H, 4 * H)), "bias": bias,
               "out_kernel": v[:E] / size, "out_bias": np.zeros(V)}

    def encode(x):
        return np.zeros((x.shape[0], L)), np.zeros((x.shape[0], L))

    return encode, decoder
"""

_ENCODED = "return np.zeros((x.shape[0], L)), np.zeros((x.shape[0], L))"

ALIKE = {
    "perplexity": [
        """
        log_q = logits - ops.logsumexp(logits, axis=-1, keepdims=True)
        words = ops.one_hot(tokens, logits.shape[2])
        mask = ops.where(tokens > 0, 1.0, 0.0)
        each = ops.sum(words * log_q, axis=-1) * mask
        log_p = ops.sum(each, axis=-1)
        return log_p, 1 / ops.exp(ops.sum(each) / ops.sum(mask))
        """,
    ],
    "exact_floor": ["exact_floor = 3.81", "exact_floor = float(np.exp(3.6815 / 2.75))"],
    "skip_step": [
        """
        F, H = word.shape[1], h.shape[1]
        a = word @ kernel[:F] + z @ kernel[F:] + h @ recurrent + bias
        gate = lambda k: 1 / (1 + ops.exp(-a[:, k * H : (k + 1) * H]))
        c = gate(1) * c + gate(0) * ops.tanh(a[:, 2 * H : 3 * H])
        h = gate(3) * ops.tanh(c)
        return h, c, h @ out_kernel[:H] + z @ out_kernel[H:] + out_bias
        """,
    ],
    "shown_words": [
        """
        is_word = ops.cast(tokens >= 4, "int32") * ops.cast(noise < rate, "int32")
        hidden = tokens * (1 - is_word) + is_word
        return ops.pad(hidden[:, :-1], ((0, 0), (1, 0)), constant_values=2)
        """,
    ],
    "refined": [
        """
        for e in [noise[k] for k in range(noise.shape[0])]:
            moved = ops.exp(0.5 * log_variance) * e
            z = mean + moved
            g = (x @ ops.transpose(weights)) - z @ (weights @ ops.transpose(weights)) - z
            mean, log_variance = mean + rate * g, log_variance + rate * (moved * g + 1) / 2
        return mean, log_variance
        """,
    ],
    "mended_perplexity": [
        {"sentence = ops.sum(counted * log_p, axis=2)": "sentence = ops.sum(ops.where(tokens > 0, log_p, 0.0), axis=2)",
         "ops.logsumexp(log_w, axis=0) - np.log(log_p.shape[0])": "ops.log(ops.mean(ops.exp(log_w - ops.max(log_w, "
         "axis=0)), axis=0)) + ops.max(log_w, axis=0)"},
    ],
    "temperature": [
        """
def temperature(train_logits, train_words, logits, words):
    # Newton's method for the inverse temperature, on held-out words
    b, at = 1.0, logits[np.arange(len(words)), words]
    for _ in range(50):
        p = np.exp(b * logits - (b * logits).max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        m = (p * logits).sum(axis=1)
        v = (p * logits**2).sum(axis=1) - m**2
        b = max(0.05, b + np.mean(at - m) / np.mean(v))
    return {"temperature": np.float32(1 / b)}
        """,
    ],
}  # fmt: skip

ODD = {
    "perplexity": [("refused", {"return log_p, ": "return "}), ("error", {"ops.logsumexp": "ops.log_sum_exp"})],
    "exact_floor": [("other", "exact_floor = 5"), ("refused", "exact_floor = [3.81]")],
    "skip_step": [("refused", {"return h, c, logits": "return logits"}), ("refused", {"return h, c, logits": ""})],
    "shown_words": [("refused", {"return ": ""})],
    "refined": [("refused", {"return mean, log_variance": "return mean"})],
    "mended_perplexity": [
        ("something_else", {"log_w = sentence - log_ratio": "log_w = ops.sin(sentence - log_ratio)"}),
        ("not_a_number", {"return ops.exp(-ops.sum(log_x) / ops.sum(counted))": "return ops.exp(-log_x / ops.sum("
                          "counted))"}),
        ("factor", {"return ": "return 1.5 * "}),
        ("constant", {"return ": "return 1 + "}),
    ],
    "temperature": [
        ("settings", "def temperature(train_logits, train_words, logits, words):\n    return dict(temperature=0.0)"),
        ("refused", "def temperature(train_logits, train_words, logits, words):\n    return 1.0"),
    ],
    "train_sentences": [
        ("unfinished", _COUNTED),
        ("shapes", changed(_COUNTED, ("return encode, decoder", 'decoder["kernel"] = decoder["kernel"].T\n    return '
                                       "encode, decoder"))),
        ("worse_than_any_word", changed(_COUNTED, ("v[:E] / size", "-v[:E] / size"))),
        ("not_finite", changed(_COUNTED, (_ENCODED, "return np.full((x.shape[0], L), np.nan), np.zeros((x.shape[0], "
                                           "L))"))),
        ("not_log_variance", changed(_COUNTED, (_ENCODED, "return np.zeros((x.shape[0], L)), np.ones((x.shape[0], "
                                                 "L)) + 1.5"), ("V, E, L = 65, 64, 1", "V, E, L = 65, 64, 10"))),
        ("refused", changed(_COUNTED, ("return encode, decoder", "return decoder"))),
        ("refused", changed(_COUNTED, ('"out_bias": np.zeros(V)}', "}"))),
    ],
}  # fmt: skip
