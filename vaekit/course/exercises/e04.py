r"""Exercise 04: importance weighted autoencoders."""

import functools

import numpy as np

from vaekit.course.questions import Experiment, Function, Mend, Number, Objective, TrainedVAE
from vaekit.course.questions.question import AtLeast, AtMost
from vaekit.course.questions.small_digits import small_digits

TITLE = "Importance weighted autoencoders"


# ---- 1


def _codes(rng):
    """Codes of images: in some latents another posterior for each image, in others the same for all."""
    for S, N, L in (5, 8, 4), (2, 6, 3), (3, 12, 5):
        spread = rng.permutation(np.linspace(0, 0.8, L))
        yield dict(samples=rng.normal(size=L) + spread * rng.normal(size=(N, L))
                   + rng.uniform(0.2, 1, size=L) * rng.normal(size=(S, N, L)))  # fmt: skip


_NOISE = "ops.mean(within, axis=0) / S"

UNITS = Function(
    "active_units", "Active units, without the noise", points=3, minutes=12,
    section="Units in use", aims=(2,),
    takes="samples[S,N,L]", returns="activity, noise", axes={"S": "samples", "N": "images", "L": "latents"},
    draw=_codes, parts={"activity": 2, "noise": 1}, requires_first=False,
    answer="""
        S, N, L = samples.shape
        means = ops.mean(samples, axis=0)  # [N, L]
        within = ops.sum((samples - means) ** 2, axis=0) / (S - 1)  # of an image's codes, [N, L]
        across = ops.sum((means - ops.mean(means, axis=0)) ** 2, axis=0) / (N - 1)  # of the means, [L]
        noise = ops.mean(within, axis=0) / S
        activity = across - noise
        return activity, noise
    """,
    hints=r"""
        An image's mean of $S$ codes is its posterior mean plus noise. Which variance has the noise, if one code has
        the variance $v$?

        $v/S$. The two are uncorrelated, so the variance of what you see over the images is $A_j$, plus the mean of
        $v_{nj}/S$ over the images. Estimate both variances from the codes, and subtract.

        With $m_{nj}$ the mean of the codes of an image: $\frac{1}{N-1}\sum_n (m_{nj} - \bar m_j)^2 - \frac1N \sum_n
        \frac1S \cdot \frac{1}{S-1}\sum_s (z_{snj} - m_{nj})^2$.
    """,
    mistakes=[
        ("noise_left", {"activity = across - noise": "activity = across"}, "this is the variance of the means as they "
         "are, with the noise of $S$ codes in them: a latent that ignores the image looks active. Subtract what the "
         "noise adds."),
        ("noise_of_one_code", {_NOISE: "ops.mean(within, axis=0)"}, "this is the variance of a *code*. The mean of $S$ "
         "codes has the variance $v/S$."),
        ("noise_added", {"across - noise": "across + noise"}, "the variance of the noise is added. It is in the "
         "variance of the means already, and has to come out."),
        ("codes_by_S", {"/ (S - 1)": "/ S"}, "the variance of an image's codes is divided by $S$: about their own mean "
         "they lie too closely, and the noise is underestimated. $S - 1$, as `ddof=1` does in NumPy."),
        ("means_by_N", {"/ (N - 1)": "/ N"}, "the variance of the means is divided by $N$: unbiased is $N - 1$."),
        ("both_biased", {"/ (S - 1)": "/ S", "/ (N - 1)": "/ N"}, "both variances are divided by the number of their "
         "terms, as `ops.var` does. Unbiased are $S - 1$ and $N - 1$."),
        ("clipped", {"activity = across - noise": "activity = ops.maximum(across - noise, 0.0)"}, "negative values "
         "were set to 0. An unbiased estimate of 0 is negative about half of the time; cut off, it is biased again."),
        ("absolute", {"activity = across - noise": "activity = ops.abs(across - noise)"}, "an absolute value is taken. "
         "An estimate of 0 without bias has to be negative about half of the time."),
        ("all_codes", {"activity = across - noise": "activity = ops.var(samples, axis=(0, 1))"}, "this is the variance "
         "of all codes together: the width of the posteriors is in it. Asked for is the variance of their means."),
        ("widths", {"activity = across - noise": "activity = ops.mean(within, axis=0)"}, "this is the posteriors' own "
         "variance, the mean over the images. It says how wide they are, not how far their means move."),
        ("over_images", """
         samples = ops.swapaxes(samples, 0, 1)
         S, N, L = samples.shape
         means = ops.mean(samples, axis=0)
         within = ops.sum((samples - means) ** 2, axis=0) / (S - 1)
         across = ops.sum((means - ops.mean(means, axis=0)) ** 2, axis=0) / (N - 1)
         return across - ops.mean(within, axis=0) / S, ops.mean(within, axis=0) / S
         """, "samples and images are exchanged: the samples are axis 0, the images axis 1."),
        ("summed_noise", {_NOISE: "ops.sum(within, axis=0) / S"}, "the noise of all images is added up. It is the mean "
         "over the images that the variance of the means contains."),
        ("noise_over_images", {_NOISE: "ops.mean(within, axis=0) / N"}, "you divided the codes' variance by $N$. An "
         "image's mean is one of $S$ codes."),
        ("noise_by_others", {_NOISE: "ops.mean(within, axis=0) / (S - 1)"}, "$S - 1$ makes the variance of a *code* "
         "unbiased, which is all that it has to do. The mean of $S$ codes has that over $S$."),
        ("counted", {"activity = across - noise": "activity = ops.where(across - noise > 0.01, 1.0, 0.0)"}, "latents "
         "are counted already. Asked for is the variance itself, whichever side of 0.01 it is on."),
        ("noise_squared", {_NOISE: "ops.mean(within, axis=0) / S**2"}, "you divided by $S^2$. The *sum* of $S$ codes "
         "has the variance $Sv$, and their mean that over $S^2$: $v/S$."),
        ("noise_by_root", {_NOISE: "ops.mean(within, axis=0) / S**0.5"}, r"you divided by $\sqrt S$. That is for "
         "standard deviations; a variance falls as $1/S$."),
        ("prior_noise", {_NOISE: "ops.ones_like(across) / S"}, "you took the noise for $1/S$. That is right for a "
         r"posterior $\mathcal N(0, 1)$; how wide each of these is stands in its codes."),
        ("pooled_noise", {_NOISE: "ops.var(samples, axis=(0, 1)) / S"}, "the noise is that of all codes together, so "
         "the images' differences are in it. It comes from the codes of one image: about *their* mean."),
        ("deviation", {"activity = across - noise": "activity = ops.sqrt(ops.maximum(across - noise, 0))"}, "a "
         "root is taken: activity is a variance."),
        ("deviation", {"activity = across - noise": "activity = ops.sqrt(across) - ops.sqrt(noise)"}, "roots are "
         "taken: activity is a variance, and it is variances that add up."),
        ("first_code", {"means = ops.mean(samples, axis=0)": "means = samples[0]"}, "only the first code of each "
         "image is used for its mean."),
        ("relative", {"activity = across - noise": "activity = across / ops.mean(within, axis=0)"}, "you divided by "
         "the posteriors' variance. That is another question; here the noise has to be subtracted."),
    ],
)  # fmt: skip


# ---- 2

SIZES = 1, 5, 50  # k of a table's columns, beside log p(x)
TABLES, TEST_IMAGES = 60, 300
FAULTS = "falling", "lucky", "narrow"


def _mean_weight(log_weights):
    return np.logaddexp.reduce(log_weights, axis=0) - np.log(len(log_weights))


def _column(rng, kind, k, spread, excess):
    """What a program reports for L_k, less log p(x): [N]. Weights are log-normal with the mean 1."""
    log_weights = spread * rng.normal(size=(3 if kind == "lucky" and k == 50 else 1, k, TEST_IMAGES)) - spread**2 / 2
    if kind == "logs":
        return log_weights[0].mean(axis=0)
    if kind == "falling":  # the harmonic mean: weighed by the wrong end of the softmax
        return -_mean_weight(-log_weights[0])
    if kind == "narrow":  # wide draws, and the density of narrow ones
        log_weights = log_weights + excess
    return np.max([_mean_weight(run) for run in log_weights], axis=0)


SPREADS = {"right": (0.8, 2.0), "logs": (2.0, 3.0), "falling": (0.7, 1.1), "lucky": (0.6, 0.9), "narrow": (0.4, 0.6)}


def _table(rng, kind, log_p):
    spread, excess = rng.uniform(*SPREADS[kind]), rng.uniform(0.06, 0.09)
    return [log_p + _column(rng, kind, k, spread, excess) for k in SIZES] + [log_p]


def _tables(rng):
    tables, faulty, faults = [], [], rng.permutation(np.resize(FAULTS, TABLES))
    for fault in faults:
        log_p, order = -90 + 12 * rng.normal(size=TEST_IMAGES), rng.permutation(4)
        programs = [fault, "right", "logs", "logs"]
        tables.append([_table(rng, programs[i], log_p) for i in order])
        faulty.append(int(np.argmin(order)))
    return [{"tables": np.array(tables), "faulty": np.array(faulty), "faults": [FAULTS.index(f) for f in faults]}]


def _audit(rng, tables, faulty, faults, program):
    """Measures the share of tables in which the faulty program was found, and how that came about."""
    if len(program) != len(tables):
        return {"found": np.nan, "answers": len(program)}
    steps = np.diff(tables, axis=2)  # never negative in the mean, if all is well
    in_nats = steps.mean(axis=-1).min(axis=-1).argmin(axis=-1)
    rises = steps.mean(axis=-1), steps.mean(axis=-1) / steps.std(axis=-1)
    by_fault = {fault: np.mean((program == faulty)[np.equal(faults, i)]) for i, fault in enumerate(FAULTS)}
    return {
        "found": np.mean(program == faulty),
        "answers": len(program),
        "like_drop": np.mean(program == in_nats),
        "like_rise": max(np.mean(program == rise.max(axis=-1).argmax(axis=-1)) for rise in rises),
    } | by_fault


def _by(score, columns=""):
    """An answer that blames the program with the lowest score: of `rise`, [tables, programs, steps, images]."""
    return f"dict(program=np.argmin(np.min({score.format('np.diff(tables, axis=2)' + columns)}, axis=2), axis=1))"


AUDIT = Experiment(
    "broken_ruler", "Which of four programs breaks the chain?", points=4, minutes=25, difficulty=2,
    section="A chain of bounds", aims=(1,),
    takes="tables[T,4,4,N]", draw=_tables, run=_audit, settings={"program": [0, 3]},
    goals={
        "most": AtLeast(0.75, "of the tables", of="found"),
        "nearly all": AtLeast(0.95, "of the tables", of="found"),
    },
    because="twenty draws of tables: the solution finds all, blaming the largest drop 0.3 to 0.7, chance a quarter.",
    answer="""
        steps = np.diff(tables, axis=2)  # from each column to the next, [T, 4, 3, N]
        error = np.std(steps, axis=3) / np.sqrt(steps.shape[3])
        worst = np.min(np.mean(steps, axis=3) / error, axis=2)  # in standard errors, [T, 4]
        return {"program": np.argmin(worst, axis=1)}
    """,
    hints=r"""
        The chain says that no step from one column to the next goes down in the mean. Each report is noisy, though:
        some steps go down by chance, by more the noisier the program is. How noisy is a step?

        The images differ by a dozen nats, but they are the same in all columns. So take the difference first, image by
        image, then its mean, and the standard error of *that* mean.

        `steps = np.diff(tables, axis=2)`, and `mean / (std / sqrt(N))` over the images. A step that goes down by five
        standard errors is no chance. Blame the program with the worst step of its three.
    """,
    mistakes=[
        (None, "wrong_length", "dict(program=np.zeros(4, int))", lambda answers, **_: answers != TABLES,
         f"There are {TABLES} tables: return a list of as many numbers, the program of each."),
        (None, "inverted", _by("-np.mean({0}, axis=3) / np.std({0}, axis=3)"),
         lambda found, like_rise, **_: found < 0.1 and like_rise > 0.9,
         "You seem to blame the program that rises the most. Rising is what the chain asks for; look for the step down "
         "that is too large for chance."),
        (None, "sound", _by("np.abs(np.mean({0}, axis=3) / np.std({0}, axis=3))"),
         lambda found, **_: found < 0.1, "That is worse than guessing: you find programs in which nothing is broken. A "
         "bound that rises keeps the chain, and so does one that stays, but for its noise. Look for a step down that "
         "is too large for chance."),
        (None, "drop_in_nats", _by("np.mean({0}, axis=3)"), lambda like_drop, **_: like_drop > 0.9,
         "You seem to blame the largest step down, in nats. A noisy program makes large ones by chance. Divide each "
         "step by its standard error, which is that of the differences *image by image*: the images' own spread, some "
         "twelve nats, is in no difference."),
        (None, "truth_not_used", _by("np.mean({0}, axis=3) / np.std({0}, axis=3)", "[:, :, :2]"),
         lambda falling, lucky, narrow, **_: falling > 0.9 and max(lucky, narrow) < 0.6,
         r"You find the programs whose bounds fall as $k$ grows, and not those that end above $\log p(x)$: the last "
         "column belongs to the chain, too."),
        (None, "only_the_end", "dict(program=np.argmin(np.mean(tables[:, :, 3] - tables[:, :, 2], axis=2) / "
         "np.std(tables[:, :, 3] - tables[:, :, 2], axis=2), axis=1))",
         lambda falling, lucky, narrow, **_: falling < 0.6 and min(lucky, narrow) > 0.9,
         r"You find the programs that end above $\log p(x)$, and not those whose bounds fall as $k$ grows: every step "
         "of the chain can be broken."),
        (None, "not_found", "dict(program=np.arange(60) % 4)",
         lambda found, **_: True, "Look for a step *down*, in the mean over the images, by many of its "
         "standard errors; and look at all three steps. A bound that does not rise breaks no inequality, it is only of "
         "no use."),
    ],
)  # fmt: skip


# ---- 3


def _weights_and_order(rng):
    sizes = ((6, 3), 0.5, 1), ((4, 5), 2.0, 2), ((9, 2), 0.0, 1.5), ((4, 3), 0.9, 2), ((3, 4), 3.0, 1)
    for (k, B), alpha, spread in sizes:  # of α, some near 1
        images = dict(images=1.0 * rng.integers(2, size=(4, 6))) if alpha == 3 else {}
        yield dict(log_weights=spread * rng.normal(size=(k, B)) - rng.uniform(0, 3, size=B), alpha=alpha, **images)


def _elbo(rng):
    yield dict(log_weights=4 * rng.normal(size=(5, 3)) - 3, alpha=1.0)


def _whole_images(rng):
    """Weights near e^−900 and e^400, of which powers are taken."""
    log_weights = 3 * rng.normal(size=(5, 4)) + np.array([-900, 400, -90, -600])
    yield dict(log_weights=log_weights, alpha=0.5)
    yield dict(log_weights=log_weights, alpha=2.0)


_POWER = "(ops.logsumexp((1 - alpha) * log_weights, axis=0) - np.log(log_weights.shape[0])) / (1 - alpha)"

RENYI = Objective(
    "Renyi", "An objective of your own: from the worst code to the mean", points=5, minutes=25, difficulty=2,
    section="Train on what you measure", aims=(1,),
    takes="log_weights[k,B], alpha", axes={"k": "codes", "B": "images"},
    draw={None: _weights_and_order, "alpha = 1": _elbo, "stable": _whole_images}, values_only=("stable",),
    parts={"bound": 2, "gradient of bound for log_weights": 1, "alpha = 1": 1, "stable": 1, "restored": 1,
           "in a model": 1},
    rtol=1e-3, atol=1e-3, requires_first=False,
    because="at 900 float32's numbers are 0.00006 apart, and a sum of powers has four digits left.",
    answer=f"""
        if alpha == 1:
            return ops.mean(log_weights, axis=0)
        return {_POWER}
    """,
    hints=r"""
        A power of a weight is a multiple of its logarithm: $w^{1-\alpha} = e^{(1-\alpha)\log w}$. So nothing has to
        leave the log-weights.

        `(ops.logsumexp((1 - alpha) * log_weights, axis=0) - log k) / (1 - alpha)`, with $k$ the length of axis 0. At
        $\alpha = 1$ that is 0/0; what is the limit?

        The limit is the mean of the logarithms: `ops.mean(log_weights, axis=0)`. A Python `if` will do, since $\alpha$
        is a number and no tensor.

        `get_config` returns `{**super().get_config(), "alpha": self.alpha}`, and `__init__` takes `**kwargs`, which it
        hands on: `super().__init__(samples, **kwargs)`.
    """,
    mistakes=[
        ("iwae", {_POWER: "ops.logsumexp(log_weights, axis=0) - np.log(log_weights.shape[0])"}, r"this is "
         r"$\mathcal L_k$ for every $\alpha$: the weights are not raised to the power $1 - \alpha$."),
        ("sum", {" - np.log(log_weights.shape[0])": ""}, r"the powers are added up, and not averaged: $\log k$ is not "
         "subtracted."),
        ("log_of_images", {"log_weights.shape[0])": "log_weights.shape[1])"}, r"you subtracted the logarithm of the "
         "number of images. The codes are axis 0."),
        ("not_divided", {_POWER: "ops.logsumexp((1 - alpha) * log_weights, axis=0) - np.log(log_weights.shape[0])"},
         r"the logarithm is not divided by $1 - \alpha$."),
        ("power_alpha", {"(1 - alpha) * log_weights": "alpha * log_weights"}, r"the weights are raised to the power "
         r"$\alpha$; it is $1 - \alpha$."),
        ("alpha_alone", {_POWER: "(ops.logsumexp(alpha * log_weights, axis=0) - np.log(log_weights.shape[0])) / alpha"},
         r"$\alpha$ stands where $1 - \alpha$ belongs, in the exponent and before the logarithm."),
        ("surrogate", {_POWER: "ops.sum(ops.stop_gradient(ops.softmax((1 - alpha) * log_weights, axis=0)) * "
         "log_weights, axis=0)"}, "this is the sum of shares times log-weights. It has the right gradient, and its "
         "value is no bound."),
        ("negated", {"return ops.mean(": "return -ops.mean(", "return (ops": "return -(ops"}, "the sign is reversed: "
         "`bound` is the bound itself, and the loss is made of it elsewhere."),
        ("sign", {_POWER: _POWER.replace("/ (1 - alpha)", "/ (alpha - 1)")}, r"the sign is reversed: the logarithm is "
         r"divided by $1 - \alpha$, also where that is negative."),
        ("reversed", {_POWER: _POWER.replace("1 - alpha", "alpha - 1")}, r"the weights are raised to the power $\alpha "
         r"- 1$; it is $1 - \alpha$."),
        ("divided_by_alpha", {_POWER: _POWER.replace("/ (1 - alpha)", "/ alpha")}, r"the logarithm is divided by "
         r"$\alpha$; it is $1 - \alpha$."),
        ("nearly_one", {"if alpha == 1:": "if abs(alpha - 1) < 0.2:"}, r"$\alpha = 0.9$ is not 1: the mean of the "
         "logarithms is the limit, for 1 itself."),
        ("log_k_not_divided", {_POWER: "ops.logsumexp((1 - alpha) * log_weights, axis=0) / (1 - alpha) - "
         "np.log(log_weights.shape[0])"}, r"$\log k$ is subtracted after the division; it belongs to the mean."),
        ("mean_of_logs", {_POWER: "ops.mean(log_weights, axis=0)"}, r"this is the mean of the logarithms for every "
         r"$\alpha$, the ELBO. Only $\alpha = 1$ is that."),
        ("overflow", {_POWER: "ops.log(ops.mean(ops.exp((1 - alpha) * log_weights), axis=0)) / (1 - alpha)"},
         r"the powers themselves are computed, and $e^{450}$ is infinite in float32, $e^{-450}$ is 0. Stay with "
         "logarithms: `ops.logsumexp`."),
        ("images", {_POWER: "(ops.logsumexp((1 - alpha) * log_weights, axis=1) - np.log(log_weights.shape[1])) / (1 - "
         "alpha)"}, "the mean is over axis 1, the images. The codes are axis 0."),
        ("divided_by_zero", {"if alpha == 1:\n    return ops.mean(log_weights, axis=0)\n": ""}, r"with $\alpha = 1$ "
         "you divide 0 by 0. The limit is the mean of the logarithms: a case of its own."),
        ("limit_is_iwae", {"if alpha == 1:\n    return ops.mean(log_weights, axis=0)": "if alpha == 1:\n    return "
         "ops.logsumexp(log_weights, axis=0) - np.log(log_weights.shape[0])"}, r"with $\alpha = 1$ this is "
         r"$\mathcal L_k$. That is $\alpha = 0$; the limit at 1 is the mean of the logarithms."),
        ("limit_is_zero", {"if alpha == 1:\n    return ops.mean(log_weights, axis=0)": "if alpha == 1:\n    return "
         "0 * log_weights[0]"}, r"with $\alpha = 1$ you return 0. Nothing is divided by $1 - \alpha$ there: the limit "
         "is the mean of the logarithms."),
        ("shares_held", {"return (ops.logsumexp(": "log_weights = ops.stop_gradient(log_weights)\nreturn "
         "(ops.logsumexp("}, "the gradient is cut, by `ops.stop_gradient` or by NumPy: nothing can be trained."),
    ],
)  # fmt: skip


# ---- 4

OFF, CODES = 0.5, 100

SIGNAL = Number(
    "gradients_needed", "By hand: how loudly does the bound speak to the encoder?", points=3, minutes=30, difficulty=3,
    section="More codes, better gradients?", aims=(4,),
    importance=2,
    value="100 * 1.25 / (0.25 * exp(0.25))",
    rtol=4e-3,
    because="the number is 389.4; 0.4 % leave room for who rounds to 389 or 390 gradients.",
    hints=r"""
        Signal: differentiate $-V/(2k)$ by $\delta$, with $V = e^{\delta^2} - 1$.

        Noise: for large $k$ the weighted mean $\sum_i \hat w_i \varepsilon_i$ is a mean of $w_i\varepsilon_i/p(x)$, a
        little corrected: it fluctuates by $\frac1k\sum_i \frac{w_i}{p(x)} (\varepsilon_i + \delta)$ about its mean
        $-\delta$. So its variance is $\frac1k\,\mathbb E_q\big[\big(\tfrac{w}{p(x)}\big)^2 (\varepsilon + \delta)^2
        \big]$, and $\varepsilon + \delta$ is $z$.

        Complete the square as in exercise 03: $\frac{\mathcal N(z; 0, 1)^2}{\mathcal N(z; \delta, 1)} = e^{\delta^2}
        \mathcal N(z; -\delta, 1)$. So the variance is $\frac1k e^{\delta^2}(1 + \delta^2)$. And the mean of $n$
        independent gradients has $\sqrt n$ times the signal-to-noise ratio of one.
    """,
    mistakes=[
        ("ratio", "sqrt(0.25 * exp(0.25) / 125)", "this is the ratio of a single gradient. The mean of $n$ gradients "
         r"has $\sqrt n$ times that."),
        ("root", "sqrt(100 * 1.25 / (0.25 * exp(0.25)))", "this is 1 over the ratio of a single gradient. The mean "
         r"of $n$ gradients has $\sqrt n$ times its ratio: square it."),
        ("not_squared", "1 / 0.5 * sqrt(1.25) * 100", "is the noise a variance, and the signal not squared? The ratio "
         "is that of the mean to the standard *deviation*."),
        ("not_centred", "100 * 2 / (0.25 * exp(0.25))", r"your noise is $\mathbb E_q[(w/p)^2 \varepsilon^2]$. The "
         r"weighted mean fluctuates about its own mean, $-\delta$: $(\varepsilon + \delta)^2 = z^2$."),
        ("equal_weights", "100 / (0.25 * exp(0.5))", r"your noise is $1/k$, that of a mean with equal weights. The "
         "weights fluctuate, too, and where they are large $z$ is not the same as elsewhere."),
        ("variance_of_posterior", "100 / (0.25 * exp(0.25))", r"your noise has $\mathbb E[z^2] = 1$. The squared "
         r"weights move the centre: it is $\mathcal N(z; -\delta, 1)$, where $\mathbb E[z^2] = 1 + \delta^2$."),
        ("moment_of_weights_lost", "100 * 1.25 / (0.25 * exp(0.5))", r"the noise lacks a factor: $\int p^2/q$ is not "
         r"1 but $e^{\delta^2}$. Or do the exponents not add up? The signal squared has $e^{2\delta^2}$."),
        ("weights_of_signal_lost", "100 * 1.25 * exp(0.25) / 0.25", r"your signal is $\delta/k$. "
         r"$V = e^{\delta^2} - 1$, and its slope is $2\delta\,e^{\delta^2}$."),
        ("exponentials_lost", "100 * 1.25 / 0.25", r"both exponentials are missing. $V = e^{\delta^2} - 1$ has the "
         r"slope $2\delta\,e^{\delta^2}$; and $\int p^2/q$, in the noise, is $e^{\delta^2}$."),
        ("denominator_held", "100 * (2 * exp(0.25) - 0.25) / (0.25 * exp(0.5))", r"your noise is the variance of "
         r"$\frac1k\sum_i \frac{w_i}{p(x)}\varepsilon_i$. The sum of all weights, below, fluctuates with it, and "
         r"takes a part away: what fluctuates is $\frac1k\sum_i \frac{w_i}{p(x)}(\varepsilon_i + \delta)$."),
        ("codes_lost", "1.25 / (0.25 * exp(0.25))", "where is $k$? The signal falls as $1/k$, the noise as "
         r"$1/\sqrt k$."),
        ("upside_down", "0.25 * exp(0.25) / 125", "this is the ratio of a single gradient, squared. How many of them "
         "make it 1?"),
        ("slope_of_V", "100 * 1.25 / (4 * 0.25 * exp(0.25))", r"your signal is the slope of $V/k$. The bound is "
         r"$\log p(x) - V/(2k)$."),
        ("half_slope", "100 * 1.25 * 4 / (0.25 * exp(0.25))", r"your signal is half of what it should be: the slope of "
         r"$e^{\delta^2}$ is $2\delta\,e^{\delta^2}$."),
        ("one_code", "1.25 * exp(0.25) / (0.25 * 100)", r"your signal is $\delta$, as with one code. By the bound's "
         r"slope it falls as $1/k$."),
        ("elbo", "4.0", r"with one code the ratio is $\delta/1$, and 4 gradients do. With $k = 100$ the signal falls "
         "faster than the noise."),
    ],
)  # fmt: skip


# ---- 5


def _images_and_codes(rng):
    for k, B, L, D in (6, 3, 2, 5), (3, 2, 1, 4), (5, 4, 3, 3):
        yield dict(x=1.0 * rng.integers(2, size=(B, D)), mean=rng.normal(size=(B, L)),
                   log_variance=rng.uniform(-1.5, 0.5, size=(B, L)), noise=rng.normal(size=(k, B, L)),
                   weights=rng.normal(size=(L, D)), bias=rng.normal(size=D))  # fmt: skip


_DECODER = "log_weights(held(z), held(mean), held(log_variance), weights, bias)"
_PATH = "log_weights(z, held(mean), held(log_variance), held(weights), held(bias))"
_VALUE = "-ops.mean(surrogate + held(bound - surrogate))"

DREG = Function(
    "dreg_loss", "DReG: two gradients in one loss", points=5, minutes=30, difficulty=3,
    section="More codes, better gradients?", aims=(4,),
    takes="x[B,D], mean[B,L], log_variance[B,L], noise[k,B,L], weights[L,D], bias[D]",
    gradients="mean log_variance weights bias",
    axes={"k": "codes", "B": "images", "L": "latents", "D": "pixels"},
    draw=_images_and_codes, requires_first=False,
    parts={"value": 1, "gradient of mean": 1.5, "gradient of log_variance": 1, "gradient of weights": 1,
           "gradient of bias": 0.5},
    answer=f"""
        held = ops.stop_gradient

        def log_weights(z, mean, log_variance, weights, bias):  # [k, B]
            logits = ops.matmul(z, weights) + bias
            log_p_x = ops.sum(x * logits - ops.softplus(logits), axis=-1)
            squares = (z - mean) ** 2 / ops.exp(log_variance) + log_variance - z**2
            return log_p_x + 0.5 * ops.sum(squares, axis=-1)

        z = mean + ops.exp(log_variance / 2) * noise  # [k, B, L]
        of_decoder = {_DECODER}
        of_path = {_PATH}
        share = held(ops.softmax(of_decoder, axis=0))
        surrogate = ops.sum(share * of_decoder + share**2 * of_path, axis=0)  # [B]
        bound = ops.logsumexp(of_decoder, axis=0) - np.log(noise.shape[0])
        return {_VALUE}
    """,
    hints=r"""
        Write the log-weights as a function of $z$, of the encoder's numbers and of the decoder's. Then call it twice:
        once where only the decoder's are differentiated, once where only the path $z = \mu + \sigma\varepsilon$ is.
        What is not to be differentiated goes through `ops.stop_gradient`.

        The shares are constants in both: $\sum_i \hat w_i \log w_i$ with $\hat w_i$ behind `stop_gradient` has the
        gradient $\sum_i \hat w_i \nabla\log w_i$.

        In the call for the path, $\mu$ and $\log\sigma^2$ are held where they stand in $\log q$, and so are $W$ and
        $b$; `z` is not. Its shares are squared.

        A loss with the value $v$ and the gradient of $s$: `s + ops.stop_gradient(v - s)`.
    """,
    mistakes=[
        ("plain", {"return -ops.mean(surrogate + held(bound - surrogate))": "return -ops.mean(ops.logsumexp(log_weights"
         "(z, mean, log_variance, weights, bias), axis=0) - np.log(noise.shape[0]))"}, r"this is the plain gradient of "
         r"$\mathcal L_k$, with the score in it. Asked for is DReG: the encoder's numbers act through $z$ alone, and "
         "the shares are squared."),
        ("stl", {"share**2 * of_path": "share * of_path"}, "the path's shares are not squared: that is STL, which is "
         r"biased for $k > 1$."),
        ("score_left", {_PATH: "log_weights(z, mean, log_variance, held(weights), held(bias))"}, r"the score is still "
         r"there: $\mu$ and $\log\sigma^2$ in $\log q$ have to be held, and act through $z$ alone."),
        ("score_left", {_PATH: "log_weights(z, held(mean), log_variance, held(weights), held(bias))"}, r"a part of the "
         r"score is still there: $\log\sigma^2$ in $\log q$ has to be held, too."),
        ("score_in_both", {_DECODER: "log_weights(held(z), mean, log_variance, weights, bias)",
         _PATH: "log_weights(z, mean, log_variance, held(weights), held(bias))"}, r"the score is still there, in both "
         r"terms: $\mu$ and $\log\sigma^2$ in $\log q$ have to be held, and act through $z$ alone."),
        ("score_in_both", {_DECODER: "log_weights(held(z), held(mean), log_variance, weights, bias)",
         _PATH: "log_weights(z, held(mean), log_variance, held(weights), held(bias))"}, "a part of the score is still "
         r"there, in both terms: $\log\sigma^2$ in $\log q$ has to be held, too."),
        ("decoder_squared", {"share * of_decoder": "share**2 * of_decoder"}, "the decoder's shares are squared. Only "
         "the path's are: the decoder's gradient has no score to get rid of."),
        ("path_twice", {_DECODER: "log_weights(z, held(mean), held(log_variance), weights, bias)"}, "the path is in "
         r"both terms: its codes count $\hat w + \hat w^2$. Hold $z$ in the decoder's term."),
        ("decoder_twice", {_PATH: "log_weights(z, held(mean), held(log_variance), weights, bias)"}, "the decoder is in "
         r"both terms: its codes count $\hat w + \hat w^2$. Hold $W$ and $b$ in the path's term."),
        ("shares_differentiated", {"share = held(ops.softmax(of_decoder, axis=0))":
         "share = ops.softmax(log_weights(z, held(mean), held(log_variance), weights, bias), axis=0)"}, "the shares "
         "are differentiated, too. They are constants here: `ops.stop_gradient`."),
        ("score_term_alone", {"share**2 * of_path": "(share - share**2) * of_path"}, r"$\hat w - \hat w^2$ is what the "
         r"score is replaced by, and it is subtracted: from $\hat w$ there remains $\hat w^2$."),
        ("path_cut", {_PATH: "log_weights(held(z), held(mean), held(log_variance), held(weights), held(bias))"}, "the "
         r"encoder gets no gradient: nothing comes to it along the path $z = \mu + \sigma\varepsilon$. Is $z$ held in "
         "both terms, or is what was added for its gradient subtracted again?"),
        ("value_of_surrogate", {_VALUE: "-ops.mean(surrogate)"}, r"the value is that of the shares' sums. Asked for is "
         r"$-\mathcal L_k$: add what is missing behind `ops.stop_gradient`, so that no gradient changes."),
        ("bound_differentiated", {_VALUE: "-ops.mean(surrogate + bound - held(surrogate))"}, "the bound is "
         "differentiated beside the surrogate, so the decoder's gradient counts twice. Hold it."),
        ("no_log_k", {" - np.log(noise.shape[0])": ""}, r"the value lacks $-\log k$: it is the logarithm of a mean."),
        ("mean_of_logs", {"bound = ops.logsumexp(of_decoder, axis=0) - np.log(noise.shape[0])":
         "bound = ops.mean(of_decoder, axis=0)"}, r"the value is the mean of the logarithms, an ELBO. It is to be "
         r"$-\mathcal L_k$."),
        ("wrong_end", {"ops.softmax(of_decoder, axis=0)": "ops.softmax(-of_decoder, axis=0)"}, "the worst code gets "
         "the largest share: the softmax is of the log-weights, not of the losses."),
        ("over_images", {"ops.softmax(of_decoder, axis=0)": "ops.softmax(of_decoder, axis=1)"}, "the shares add up to "
         "1 over the images. Each image's codes are axis 0."),
        ("summed", {_VALUE: "-ops.sum(surrogate + held(bound - surrogate))"}, "you summed over the images; the mean is "
         "asked for."),
        ("sign", None, "the sign is reversed: a loss is minus the bound."),
        ("averaged_codes", {"surrogate = ops.sum(share * of_decoder + share**2 * of_path, axis=0)":
         "surrogate = ops.mean(share * of_decoder + share**2 * of_path, axis=0)"}, "you averaged over the codes. The "
         r"shares add up to 1 already: with a mean, every gradient is $k$ times too small."),
        ("no_prior", {" + log_variance - z**2": " + log_variance"}, r"$\log p(z)$ is missing from the log-weights."),
        ("no_log_variance", {" + log_variance - z**2": " - z**2"}, r"$\log q$ lacks its $-\frac12\log\sigma^2$. It is "
         "no constant: it differs from image to image, though not from code to code."),
        ("variance_for_deviation", {"ops.exp(log_variance / 2) * noise": "ops.exp(log_variance) * noise"}, "the noise "
         r"is multiplied by the variance: $z = \mu + \sigma\varepsilon$ with $\sigma = e^{\lambda/2}$."),
    ],
)  # fmt: skip


# ---- 6

GAP, RATIO = 0.2, 1.5  # nats; signal to noise
PILOT = 480, 50  # codes, images
COMMON = 0.15  # by how much q is off in all latents but the first
MOST = 500


def _encoders(rng):
    """Two encoders: of few latents, nearly right; and of many, too wide."""
    problems = []
    for latents, low, high in (6, 1.4, 1.7), (24, 1.6, 1.8):
        problem = {"latents": latents, "widening": rng.uniform(low, high), "off": rng.uniform(0.35, 0.5)}
        pilot = dict(zip(("log_weights", "path", "score"), _drawn(rng, *PILOT, **problem), strict=True))
        pilot["log_weights"] = pilot["log_weights"] - 90 + 10 * rng.normal(size=PILOT[1])  # log p(x)
        problems.append(pilot | problem)
    return problems


def _drawn(rng, codes, images, latents, widening, off):
    """Draws codes for posteriors N(0, I) from q, wider by `widening` and beside them: [codes, images].

    Returns log w − log p(x), and of the first latent's μ the path and the score. What the other latents make of a
    weight is a square, as their q is quadratic.
    """
    deviation, others = np.sqrt(widening), latents - 1
    noise = rng.normal(size=(codes, images))
    z = off * np.where(np.arange(images) % 2, 1, -1) + deviation * noise
    log_w = 0.5 * (noise**2 - z**2) + np.log(deviation)
    squares = rng.noncentral_chisquare(others, others * COMMON**2 * widening / (widening - 1) ** 2, size=z.shape)
    log_w -= (widening - 1) / 2 * squares
    log_w += others * (COMMON**2 / (2 * (widening - 1)) + np.log(deviation))
    return log_w, noise / deviation - z, noise / deviation


def _gradients(gradient, log_weights, path, score):
    """Gradients for μ of groups of codes [R, K, N]: [R, N]."""
    share = np.exp(log_weights - np.logaddexp.reduce(log_weights, axis=1)[:, None])
    slope = {"pathwise": share * (path - score), "stl": share * path, "dreg": share**2 * path}[gradient]
    return np.sum(slope, axis=1)


def _ratio(gradients):
    """Signal to noise of gradients [R, N], of all images together."""
    noise = gradients.var(axis=0, ddof=1)
    signal = gradients.mean(axis=0) ** 2 - noise / len(gradients)
    return np.sqrt(max(signal.sum(), 0) / noise.sum())


def _groups(rng, codes, **problem):
    runs = int(np.clip(1.2e6 / (codes * PILOT[1]), 120, 4000))
    drawn = _drawn(rng, runs * codes, PILOT[1], **problem)
    return [array.reshape(runs, codes, -1) for array in drawn]


@functools.lru_cache
def _fewest(**problem):
    """The fewest decodings, by DReG, that reach the goals: the smallest K, and as many groups as it needs."""
    rng = np.random.default_rng(0)
    log_w = _groups(rng, 60, **problem)[0]
    bounds = np.logaddexp.accumulate(log_w, axis=1).mean(axis=(0, 2)) - np.log(np.arange(1, 61))
    codes = int(np.argmax(bounds >= -GAP)) + 1
    return 2 * codes * max(1.0, (RATIO / _ratio(_gradients("dreg", *_groups(rng, codes, **problem)))) ** 2)


def _trained(rng, log_weights, path, score, gradient, groups, codes, **problem):
    """Measures bound and gradient of an encoder that is trained by M groups of K codes."""
    drawn = _groups(rng, codes, **problem)
    found, unbiased = _gradients(gradient, *drawn), _gradients("dreg", *drawn)
    signs = np.sign(unbiased.mean(axis=0))
    found, unbiased = (np.mean(signs * g, axis=1) for g in (found, unbiased))  # all images point the same way
    noise = np.std(found - unbiased) / np.sqrt(len(found))
    bias = max(0.0, abs(found.mean() - unbiased.mean()) - 3 * noise) / unbiased.mean()
    return {
        "gap": -np.mean(np.logaddexp.reduce(drawn[0], axis=1) - np.log(codes)),
        "bias": bias,
        "signal_to_noise": np.sqrt(groups) * _ratio(_gradients(gradient, *drawn)),
        "cost": groups * codes * (2 if gradient == "dreg" else 1) / _fewest(**problem),
    }


_CODES = "(36 if np.std(log_weights, axis=0).mean() > 1.9 else 4)"  # as each of the encoders needs

PLAN = Experiment(
    "design", "An experiment to design: how many groups, of how many codes?", points=5, minutes=30, difficulty=2,
    section="Groups and mixtures", aims=(3, 4),
    takes="log_weights[S,N], path[S,N], score[S,N]", draw=_encoders, run=_trained,
    settings={"gradient": {"pathwise", "stl", "dreg"}, "groups": (1, MOST), "codes": (1, MOST)},
    parts={"tight": 1, "true": 1, "heard": 1.5, "cheap": 0.5, "cheaper": 1},
    goals={
        "tight": AtMost(GAP, of="gap"),
        "true": AtMost(0.1, "of the gradient's size", of="bias"),
        "heard": AtLeast(RATIO, "", of="signal_to_noise"),
        "cheap": AtMost(7.0, "times the fewest decodings", 1, of="cost"),
        "cheaper": AtMost(5.0, "times the fewest decodings", 1, of="cost"),
    },
    answer="""
        S, N = log_weights.shape

        def log_mean(w, axis):
            return np.logaddexp.reduce(w, axis=axis) - np.log(w.shape[axis])

        def groups_of(K):
            return [array[: S // K * K].reshape(-1, K, N) for array in (log_weights, path)]

        best = np.mean(log_mean(log_weights, 0))  # log p(x), nearly
        K = next(K for K in range(1, S) if best - np.mean(log_mean(groups_of(K)[0], 1)) < 0.14)
        w, a = groups_of(K)
        share = np.exp(w - np.logaddexp.reduce(w, axis=1, keepdims=True))
        gradients = np.sum(share**2 * a, axis=1)  # DReG, [groups, N]
        noise = np.var(gradients, axis=0, ddof=1)
        signal = np.mean(gradients, axis=0) ** 2 - noise / len(gradients)
        ratio = np.sqrt(np.sum(signal) / np.sum(noise))
        return {"gradient": "dreg", "groups": int(np.ceil(1.8 * (1.5 / ratio) ** 2)), "codes": K}
    """,
    hints=r"""
        The bound depends on $K$ alone, and the signal-to-noise ratio on $M$, $K$ and the gradient. So choose $K$ first.

        $K$: cut the pilot into groups of $K$, and compare their mean $\mathcal L_K$ with that of all 480 codes, which
        is $\log p(x)$, nearly. Take the smallest $K$ whose gap is small enough, with a little room.

        $M$: compute the ratio of one group of $K$ codes from the pilot, as in the lesson. The mean over $M$ groups has
        $\sqrt M$ times that ratio: $M = (1.5/\text{ratio})^2$, with a little room.

        Try all three gradients. STL is not the bound's; DReG costs twice as much, and needs how many times fewer
        groups than the plain gradient?
    """,
    mistakes=[
        ("true", "sticking", f"dict(gradient='stl', groups=2, codes={_CODES})", lambda gradient, **_: gradient == "stl",
         "STL leaves out the scores times their shares, whose mean is not 0 for $k > 1$: the signal is strong, and it "
         "is another one. It no longer climbs the bound."),
        ("tight", "few_codes", "dict(gradient='dreg', groups=40, codes=1)", lambda codes, **_: codes < 4,
         "The bound stays far below $\\log p(x)$ for at least one of the encoders: more codes in a group. Groups do "
         "not tighten it, since their bounds are averaged, after the logarithm."),
        ("tight", "gap_nearly", "dict(gradient='dreg', groups=8, codes=8)", lambda **_: True,
         "The gap depends on $K$ alone. Compare $\\mathcal L_K$, from groups of the pilot, with the bound of all its "
         "codes, and let each pilot say how many it needs."),
        ("heard", "plain_noise", f"dict(gradient='pathwise', groups=4, codes={_CODES})",
         lambda gradient, **_: gradient == "pathwise", "The plain gradient's ratio falls as $K$ grows: its noise "
         "falls as $1/\\sqrt K$, its signal as $1/K$. Most of that noise is the score's. More groups would help, at a "
         "price; is there a gradient without a score?"),
        ("heard", "few_groups", f"dict(gradient='dreg', groups=1, codes={_CODES})", lambda **_: True,
         "The ratio grows with $\\sqrt M$: measure that of one group in the pilot, and work out how many are needed."),
        (None, "plain_is_dear", f"dict(gradient='pathwise', groups=500, codes={_CODES})",
         lambda gradient, **_: gradient == "pathwise", "The plain gradient is half as dear, and needs many more "
         "groups to be heard. What do the other two need, in the pilot?"),
        (None, "many_codes", "dict(gradient='dreg', groups=12, codes=100)", lambda gap, **_: gap < 0.08,
         "The bound is tighter than it need be, for at least one of the encoders: fewer codes would do."),
        (None, "dear", f"dict(gradient='dreg', groups=100, codes={_CODES})", lambda **_: True, "At least one of the "
         "encoders hears more than it needs, or has some codes too many. Let each pilot say how many codes, and then "
         "how many groups, with no more room than the pilot's noise asks for."),
    ],
    seconds=30.0,
)  # fmt: skip


# ---- 7

_SHARE = "share = ops.stop_gradient(ops.softmax(log_w, axis=0))  # 4. of each code, [k, B]"
_FLAT = "copies = ops.tile(x, (k, 1))  # 2. one for each code, in their order"


def _steps(rng):
    return list(_images_and_codes(rng))[:2]


STEP = Mend(
    "mended_step", "Five errors in a training step", points=5, minutes=20, difficulty=2, draw=_steps,
    section="When it goes wrong", aims=(5,),
    takes="x[B,D], mean[B,L], log_variance[B,L], noise[k,B,L], weights[L,D], bias[D]",
    gradients="mean log_variance weights bias",
    because="float32 carries seven digits. The losses of different sets of errors differ by far more than that.",
    answer=f"""
        k, B, L = noise.shape
        z = mean + ops.exp(log_variance / 2) * noise  # 1. [k, B, L]
        {_FLAT}
        logits = ops.matmul(ops.reshape(z, (k * B, L)), weights) + bias  # the decoder takes [k · B, L]
        log_p_x = ops.reshape(ops.sum(copies * logits - ops.softplus(logits), axis=1), (k, B))
        log_p_z = -0.5 * ops.sum(LOG_2PI + z**2, axis=-1)
        log_q_z = -0.5 * ops.sum(LOG_2PI + log_variance + (z - mean) ** 2 / ops.exp(log_variance), axis=-1)
        log_w = log_p_x + log_p_z - log_q_z  # 3. [k, B]
        {_SHARE}
        loss = -ops.sum(share * log_w, axis=0)  # 5. [B]
        return ops.mean(loss)
    """,
    errors={
        "noise": (
            {"* noise  # 1. [k, B, L]": "* ops.repeat(noise[:1], k, axis=0)"},
            "still broken: all codes of an image have the noise of the first one. They are $k$ copies of one code, and "
            "the bound is the ELBO, at $k$ times the price."),
        "folding": (
            {_FLAT: "copies = ops.repeat(x, k, axis=0)"},
            "still broken: `ops.repeat` puts the copies of one image side by side, and the codes are folded the other "
            "way: row $i$ of the decoder's input belongs to image $i \\bmod B$. Codes meet other images."),
        "divergence": (
            {"log_w = log_p_x + log_p_z - log_q_z  # 3. [k, B]":
             "log_w = log_p_x - 0.5 * ops.sum(mean**2 + ops.exp(log_variance) - 1 - log_variance, axis=-1)"},
            r"still broken: the KL divergence in closed form stands in the log-weights. It is the mean of $\log q - "
            r"\log p$ over codes, and may replace it in an ELBO; a *weight* needs the densities at its own code."),
        "mean": (
            {"loss = -ops.sum(share * log_w, axis=0)  # 5. [B]": "loss = -ops.mean(share * log_w, axis=0)"},
            "still broken: shares add up to 1, so the weighted mean is a *sum*. The mean over the codes divides by $k$ "
            "once more, and every gradient is $k$ times too small."),
        "shares": (
            {_SHARE: "share = ops.stop_gradient(ops.softmax(-log_w, axis=0))"},
            "still broken: the softmax is of the losses, so the worst code gets the largest share."),
    },
    slips=[
        ("noise", "noise_of_image", {"* noise  # 1. [k, B, L]": "* ops.repeat(noise[:, :1], B, axis=1)"}, "now all "
         "images have the noise of the first one. Each image and each code has its own."),
        ("noise", "variance", {"ops.exp(log_variance / 2) * noise": "ops.exp(log_variance) * noise"}, "now the noise "
         r"is multiplied by the variance: $\sigma = e^{\lambda/2}$ was right."),
        ("shares", "over_images", {"ops.softmax(log_w, axis=0)": "ops.softmax(log_w, axis=1)"}, "now the shares add "
         "up to 1 over the images. They belong to the codes of one image, axis 0."),
        ("shares", "end_over_images", {"ops.softmax(log_w, axis=0)": "ops.softmax(-log_w, axis=1)"}, "the worst code "
         "gets the largest share, still, and now the shares add up to 1 over the images: the codes are axis 0."),
        ("shares", "equal", {"ops.softmax(log_w, axis=0)": "ops.ones_like(log_w) / k"}, "now every code has the share "
         "$1/k$: that is the mean of the logarithms, the ELBO."),
        ("shares", "squared", {"ops.softmax(log_w, axis=0)": "ops.softmax(log_w, axis=0) ** 2"}, "now the shares are "
         "squared. DReG squares them, but only where the gradient runs along the path alone."),
        ("shares", "not_normalized", {"ops.softmax(log_w, axis=0)": "ops.exp(log_w)"}, "now the weights are not "
         "divided by their sum."),
        ("mean", "bound_itself", {"loss = -ops.sum(share * log_w, axis=0)":
         "loss = -(ops.logsumexp(log_w, axis=0) - np.log(k))"}, r"this is $-\mathcal L_k$ itself. Its gradient is the "
         "right one, and its value is another: the step's loss is the sum of shares times log-weights."),
        ("mean", "unweighted", {"share * log_w": "log_w"}, "now the log-weights are added up without their shares."),
        ("mean", "largest", {"-ops.sum(share * log_w, axis=0)": "-ops.max(share * log_w, axis=0)"}, "now only one code "
         "of each image counts."),
        ("divergence", "no_prior", {"log_p_x + log_p_z - log_q_z": "log_p_x - log_q_z"}, r"now $\log p(z)$ is missing "
         "from the weights."),
        ("divergence", "no_density", {"log_p_x + log_p_z - log_q_z": "log_p_x + log_p_z"}, r"now $\log q$ is missing "
         "from the weights."),
        ("divergence", "q_added", {"log_p_x + log_p_z - log_q_z": "log_p_x + log_p_z + log_q_z"}, r"now $\log q$ is "
         "added. A weight is $p(x, z)/q(z|x)$."),
        ("divergence", "p_subtracted", {"log_p_x + log_p_z - log_q_z": "log_p_x - log_p_z + log_q_z"}, r"now "
         r"$\log q - \log p(z)$ is added; a weight is $p(x, z)/q(z|x)$."),
        (None, "summed", {"return ops.mean(loss)": "return ops.sum(loss)"}, "the loss is summed over the images now. "
         "The mean was right."),
        (None, "sign", {"return ops.mean(loss)": "return -ops.mean(loss)"}, "the sign is reversed now: a loss is to "
         "fall as the bound rises."),
    ],
    hints=r"""
        Read the lines in order, and ask of each: how many different numbers are there, and which axis is which?

        Are the codes of one image different? Which image does row $i$ of `copies` belong to, and which code row $i$ of
        the decoder's input? Print `ops.repeat` and `ops.tile` of `[1, 2, 3]`.

        There is one error in each of: the noise, the copies, `log_w`, `share` and `loss`.

        Feed `share` with log-weights of 0 and 10: which of the two should get the larger one? And what do the shares
        add up to?
    """,
)  # fmt: skip


# ---- 8


TRAINED = TrainedVAE(
    "train_iwae", "Train one for the bound of fifty codes", points=4, minutes=25, difficulty=2,
    section="The paper's table, and the bill", aims=(1, 3),
    bounds={"codes": -47.0, "fair": -42.5, "good": -41.5, "very good": -41.0},
    images=functools.partial(small_digits, test=2000), coins=-52.1, good_kl=(3.5, 6.5),
    most_latents=5, most_units=100, codes=50,
    because="eight runs of the solution, four on each backend, ended between −40.56 and −40.39, each a mean over eight "
    "tosses of the test images; one toss is off by 0.1. 60 epochs by the ELBO alone reach −41.37, 100 about −40.7, 200 "
    "about −40.2; 40 by the ELBO and 15 by the bound of ten codes −41.42; two latents about −46, and a learning rate "
    "of 0.001 for 30 epochs −49 to −50.",
    unfinished="Then it is not trained well enough: all five latents and a hundred units, more epochs, a learning rate "
    "of 0.01 at first that decays; and, in the end, an objective of several codes.",
    hints="""
        Begin with what exercise 02 had: `vk.VAE`, tanh layers by `vk.layers.MLP(100)`, `DynamicBinarization`, Adam with
        a learning rate of 0.01 that decays to 0 (`keras.optimizers.schedules.CosineDecay`), eighty epochs by the ELBO.

        `model.compile(optimizer, objective=...)` a second time changes the objective and leaves the weights. Try
        `vk.objectives.IWAE(10, gradient="dreg")` for another thirty epochs, from a smaller learning rate.

        A `keras.Sequential` decoder's `get_weights()` are `[hidden weights, hidden bias, output weights, output bias]`.
    """,
)  # fmt: skip


QUESTIONS = [UNITS, AUDIT, RENYI, SIGNAL, DREG, PLAN, STEP, TRAINED]
