"""Answers to exercise 11 that its definitions do not make themselves: right ones written otherwise, and odd ones."""

from mutants import changed

_COMPONENTS = """
def fit_string(films, seed):
    # nothing is trained: principal components, which fade
    L, x = 2, ops.convert_to_numpy(films)
    size, axes = np.linalg.eigh(np.cov(x.reshape(-1, 16), rowvar=False))
    noise = size[:-2].mean()
    emission = axes[:, -L:] * np.sqrt(np.maximum(size[-L:] - noise, 1e-3))
    z = x @ np.linalg.pinv(emission).T
    keep = np.clip(np.mean(z[:, 1:] * z[:, :-1], axis=(0, 1)) / np.mean(z**2, axis=(0, 1)), -0.99, 0.99)
    return np.diag(keep), np.log(1 - keep**2), emission, np.log(noise)
"""
_FOUR = "L, x = 4,"

# By algebra: a start from how windows of eight frames go on to the next eight (Ho and Kalman 1966); then expectation
# maximization, whose expectations are those of the Kalman smoother (Shumway and Stoffer 1982).
_EM = """
def fit_string(films, seed):
    x, L, W = ops.convert_to_numpy(films).astype("float64"), 4, 8
    N, T, D = x.shape
    lag = [np.einsum("ntd,nte->de", x[:, k:], x[:, : T - k]) / (N * (T - k)) for k in range(2 * W)]  # of x_t+k and x_t
    u, s, v = np.linalg.svd(np.block([[lag[i + j + 1] for j in range(W)] for i in range(W)]))
    sees, reach = u[:, :L] * np.sqrt(s[:L]), np.sqrt(s[:L])[:, None] * v[:L]
    C, A = sees[:D], np.linalg.lstsq(sees[:-D], sees[D:], rcond=None)[0]
    P = np.linalg.solve(A, reach[:, :D]) @ np.linalg.pinv(C).T
    root = np.linalg.cholesky((P + P.T) / 2)  # coordinates in which z has the variance 1
    A, C = np.linalg.solve(root, A @ root), C @ root
    r = np.trace(lag[0] - C @ C.T) / D
    size, turn = np.linalg.eigh(np.eye(L) - A @ A.T)  # and whose drifts are independent
    A, C, q = turn.T @ A @ turn, C @ turn, np.maximum(size, 0.02)
    for _ in range(60):
        m, P, means, covariances = np.zeros((N, L)), np.eye(L), [], []
        for t in range(T):
            if t:
                m, P = m @ A.T, A @ P @ A.T + np.diag(q)
            K = P @ C.T @ np.linalg.inv(C @ P @ C.T + r * np.eye(D))
            m, P = m + (x[:, t] - m @ C.T) @ K.T, P - K @ C @ P
            means.append(m)
            covariances.append(P)
        zz, ahead, before = covariances[-1] * N + m.T @ m, np.zeros((L, L)), np.zeros((L, L))
        first, xz = 0.0, x[:, -1].T @ m
        M, V = m, P
        for t in reversed(range(T - 1)):
            m, P = means[t], covariances[t]
            J = P @ A.T @ np.linalg.inv(A @ P @ A.T + np.diag(q))
            m, last, lastV = m + (M - m @ A.T) @ J.T, M, V
            V = P + J @ (V - A @ P @ A.T - np.diag(q)) @ J.T
            M = m
            ahead += N * lastV @ J.T + last.T @ M  # of z_t+1 and z_t
            first = N * V + M.T @ M
            before, zz, xz = before + first, zz + first, xz + x[:, t].T @ M
        A = ahead @ np.linalg.inv(before)
        q = np.diagonal(zz - first - A @ ahead.T) / (N * (T - 1))
        C = xz @ np.linalg.inv(zz)
        r = (np.sum(x**2) - np.trace(C @ xz.T)) / (N * T * D)
    return A, np.log(q), C, np.log(r)
"""

_INDEPENDENT = "return tfd.Independent(tfd.Normal(mean, ops.exp(self.log_scale)), reinterpreted_batch_ndims=2)"
_STATE = "s = ops.tanh(past[:, t] @ self.kernel + s @ self.recurrent + self.bias)"
_PAST = "past = ops.concatenate([ops.zeros_like(h[:, :1]), h[:, :-1]], axis=1)"

ALIKE = {
    "kl_of_frames": [
        """
        s = ops.exp(0.5 * (log_variance - prior_log_variance))
        d = mean * ops.exp(-0.5 * prior_log_variance) - prior_mean * ops.exp(-0.5 * prior_log_variance)
        kl = ops.sum(s * s + d * d, axis=-1) / 2 - ops.sum(ops.log(s) + 0.5, axis=-1)
        kl = kl[:, known:]
        return ops.mean(kl, axis=0), ops.sum(ops.mean(kl, axis=0))
        """,
    ],
    "price_of_the_future": ["price_of_the_future = 0.297", "price_of_the_future = (1 - np.log(1.5)) / 2"],
    "NextFrame": [
        {_PAST: "past = ops.pad(h, ((0, 0), (1, 0), (0, 0)))", "ops.zeros_like(past[:, 0] @ self.kernel)": "0.0",
         _STATE: "inside = past[:, t] @ self.kernel + self.bias\n"
                 "            s = ops.tanh(inside + s @ self.recurrent if t else inside)"},
    ],
    "best_of_k": [
        """
        import math
        n, ascending = error.shape[0], ops.sort(error, axis=0)
        smallest = 0.0
        for i in range(n - k + 1):
            smallest = smallest + math.comb(n - 1 - i, k - 1) / math.comb(n, k) * ascending[i]
        return smallest, -10 * ops.log(ops.mean(smallest)) / np.log(10)
        """,
    ],
    "lost_by_beta": ["lost_by_beta = 129.6", "lost_by_beta = 128 * np.log(6.4) - 108"],
    "mended_bound": [
        {"counted = np.float32(np.arange(T) >= known)": "counted = np.append(np.zeros(known), np.ones(T - "
         "known))", "squares / variance)": "squares * (1 / variance))",
         "return ops.sum(counted * (log_p - kl)) / (N * np.sum(counted))": "return ops.mean((log_p - kl)[:, known:])"},
        {"(N * D * np.sum(counted))": "(D * N * ops.sum(counted))"},
    ],
    "flatter": [
        """
def flatter(x, n):
    # the same, with other draws of fewer frames, and a parabola through the smallest errors
    rng = np.random.default_rng(7)
    some = x[rng.permutation(len(x))[: 3000 if n < 50 else 700]]
    e, scale = rng.normal(size=(n, *some.shape)), x.std()
    w = np.arange(0, 2, 0.1) * scale
    error = np.array([np.square(some - k * e).sum(axis=2).min(axis=0).mean() for k in w])
    i = min(max(error.argmin(), 2), len(w) - 3)
    a, b, _ = np.polyfit(w[i - 2 : i + 3], error[i - 2 : i + 3], 2)
    return {"likely": scale, "best": max(0.0, -b / (2 * a))}
        """,
    ],
    "fit_string": [_EM],
}  # fmt: skip

ODD = {
    "kl_of_frames": [
        ("refused", {"return ops.mean(frame, axis=0), ": "return "}),
        ("refused", {"return ": ""}),
    ],
    "price_of_the_future": [("other", "price_of_the_future = 0.4"), ("refused", "price_of_the_future = [0.297]")],
    "NextFrame": [
        ("not_summed", {_INDEPENDENT: _INDEPENDENT.replace("tfd.Independent(", "").replace(
            ", reinterpreted_batch_ndims=2)", "")}),
        ("last_axis_only", {"ndims=2": "ndims=1"}),
        ("sees_itself", {_PAST: "past = h"}),
        ("sees_the_future", {_PAST: "past = ops.concatenate([h[:, 1:], ops.zeros_like(h[:, :1])], axis=1)"}),
        ("shifted_twice", {_PAST: "past = ops.concatenate([ops.zeros_like(h[:, :2]), h[:, :-2]], axis=1)"}),
        ("first_repeated", {"ops.zeros_like(h[:, :1]), ": "h[:, :1], "}),
        ("state_before", {f"{_STATE}\n            states.append(s)": f"states.append(s)\n            {_STATE}"}),
        ("no_tanh", {"ops.tanh(": "("}),
        ("bias_outside", {" + self.bias)": ") + self.bias"}),
        ("log_scale_for_scale", {"ops.exp(self.log_scale)": "ops.abs(self.log_scale)"}),
        ("variance_for_scale", {"ops.exp(self.log_scale)": "ops.exp(self.log_scale / 2)"}),
        ("rolled", {_PAST: "past = ops.roll(h, 1, axis=1)"}),
        ("forgets", {" + s @ self.recurrent": ""}),
        ("no_bias", {" + s @ self.recurrent + self.bias": " + s @ self.recurrent"}),
        ("no_sigmoid", {"ops.sigmoid(": "("}),
        ("squared_scale", {"ops.exp(self.log_scale)": "ops.exp(2 * self.log_scale)"}),
        ("no_distribution", {_INDEPENDENT: "return mean"}),
    ],
    "best_of_k": [
        ("refused", {"return smallest, ": "return "}),
        ("error", {"ops.sort": "ops.sorted"}),
    ],
    "lost_by_beta": [("other", "lost_by_beta = 40"), ("refused", "lost_by_beta = 'many'")],
    "mended_bound": [
        ("something_else", {"squares = ops.sum((x - guess) ** 2, axis=2)": "squares = ops.sum(ops.sin(x - guess) "
                            "** 2, axis=2)"}),
        ("not_a_number", {"return ops.sum(counted * (log_p - kl)) / (N * np.sum(counted))": "return counted * (log_p - "
                          "kl)"}),
        ("factor", {"return ": "return 1.5 * "}),
        ("constant", {"return ": "return 1 + "}),
    ],
    "flatter": [
        ("settings", "def flatter(x, n):\n    return dict(best=-1.0, likely=1.0)"),
        ("refused", "def flatter(x, n):\n    return 1.0, 1.0"),
    ],
    "fit_string": [
        ("few_latents", _COMPONENTS),
        ("nothing_swings", changed(_COMPONENTS, ("L, x = 2,", _FOUR))),
        ("no_time", changed(_COMPONENTS, ("L, x = 2,", _FOUR), ("np.diag(keep), np.log(1 - keep**2)",
                                                                "np.zeros((L, L)), np.zeros(L)"))),
        ("not_log_variance", changed(_COMPONENTS, ("np.log(1 - keep**2)", "1 - keep**2"), ("np.log(noise)", "noise"))),
        ("not_log_variance", changed(_COMPONENTS, ("np.log(1 - keep**2)", "np.log(1 - keep**2) / 2"),
                                      ("np.log(noise)", "np.log(noise) / 2"))),
        ("not_finite", changed(_COMPONENTS, ("np.log(noise)", "np.nan"))),
        ("shapes", changed(_COMPONENTS, ("emission, np.log", "emission.T, np.log"))),
        ("refused", changed(_COMPONENTS, (", np.log(noise)\n", "\n"))),
    ],
}  # fmt: skip
