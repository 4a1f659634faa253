"""Answers to exercise 12 that its definitions do not make themselves: right ones written otherwise, and odd ones."""

from mutants import changed, e02
from vaekit.course.exercises import e12

_SIZES, _SAID = "gain = 8, 0.3, 0.7", "0 * mean - np.log(np.diag(precision))"


def _components(*changes):
    """Nothing is trained: principal components, as in exercise 02."""
    code = e02._COMPONENTS.replace("train_vae", "train_yours").replace("gain = 8, 0.3, 1.0", _SIZES)
    return changed(code, *changes)


_ANSWER = f"{{'fault': {e12._FOUND}[number]}}"

ALIKE = {
    "table_loader": [
        """
        z, kind, n = np.array(numbers), np.array(category), train
        mean, std = np.nanmean(z[:n], axis=0), np.nanstd(z[:n], axis=0)
        std[std == 0] = 1
        hot = (kind[:, None] == np.arange(kinds)).astype("float32")
        there = np.repeat((kind >= 0)[:, None], kinds, axis=1)
        return np.hstack([np.nan_to_num((z - mean) / std), hot]), np.hstack([~np.isnan(z), there]).astype("float32")
        """,
    ],
    "compared": [
        """
        a, b = (np.array(x).mean(axis=0) for x in (a, b))

        def error(x):
            return np.float32(x.std(ddof=1) / len(x) ** 0.5)

        return np.mean(a), error(a), np.mean(b - a), error(b - a)
        """,
    ],
    "images_needed": ["images_needed = 25 * 4.6"],
    "mended_evaluation": [
        """
        bounds = ops.convert_to_numpy(validation).mean(axis=1)
        best, alone = bounds.argmax(), 1 - twin
        w = ops.sum(log_px, axis=3)[best] + log_pz[best] - log_qz[best]
        top = ops.max(w, axis=0)
        log_p = top + ops.log(ops.mean(ops.exp(w - top), axis=0))
        return ops.sum(alone * log_p) / ops.sum(alone)
        """,
    ],
    "ablation": [
        """
def ablation(of_seeds, of_images, effect, budget, training, image):
    from scipy import optimize, stats

    grid = (np.arange(200) + 0.5) / 200

    def chance(K, n, times, effect):
        said = np.sqrt(of_seeds**2 * stats.chi2.ppf(grid, K - 1) / (K - 1) / K + of_images**2 / n)
        return np.mean(stats.norm.sf((times * said - effect) / np.hypot(of_seeds / K**0.5, of_images / n**0.5)))

    best = None
    for K in range(2, 16):
        n = int(0.99 * (budget / K - training) / image)
        if n > 20:
            times = optimize.brentq(lambda c: chance(K, n, c, 0) - 0.02, 0.5, 60)
            if best is None or chance(K, n, times, effect) > best[0]:
                best = chance(K, n, times, effect), dict(seeds=K, images=n, times=times)
    return best[1]
""",
    ],
}

ODD = {
    "table_loader": [("refused", {"return ops": "ops"}), ("error", {"ops.isnan": "ops.isnone"})],
    "compared": [("refused", {"return ": ""}), ("error", {"a.shape[1]": "a.shape[2]"})],
    "images_needed": [
        ("other", "images_needed = 1000"),
        ("rounded", "images_needed = 100"),
        ("refused", "images_needed = [115]"),
    ],
    "diagnosed": [
        ("refused", "def diagnosed(number):\n    return 'sigmoid_twice'"),
        ("refused", "def diagnosed(number):\n    return {'fault': 'healthy'}"),
        ("error", f"def diagnosed(number):\n    return {_ANSWER.replace('[number]', '[number + 1]')}"),
    ],
    "mended_evaluation": [
        ("something_else", {"ops.logsumexp(log_w, axis=0)": "ops.logsumexp(ops.sin(log_w), axis=0)"}),
        ("not_a_number", {" / ops.sum(1 - twin)": " / (1 - twin)"}),
        ("factor", {"return ": "return 1.5 * "}),
        ("constant", {"return ": "return 1 + "}),
    ],
    "train_yours": [
        ("bound", _components()),
        ("not_log_variance", _components((_SAID, f"np.exp({_SAID})"))),
        ("not_log_variance", _components((_SAID, f"({_SAID}) / 2"), (_SIZES, "gain = 8, 0.3, 1.3"))),
        ("no_codes", _components((_SIZES, "gain = 8, 0.3, 0.01"))),
        ("shapes", _components((_SIZES, "gain = 9, 0.3, 1.0"))),
        ("refused", _components(("return mean, ", "return tfd.Normal(mean, 1.0)  # "))),
        ("error", _components(("return mean, ", "return encoder(x), "))),
    ],
    "ablation": [
        ("settings", "def ablation(of_seeds, of_images, effect, budget, training, image):\n    "
         "return dict(seeds=1, images=100, times=2.0)"),
        ("refused", "def ablation(of_seeds, of_images, effect, budget, training, image):\n    return 5, 1000, 2.0"),
    ],
}  # fmt: skip
