r"""Exercise 02: the variational autoencoder.

Oracles are closed forms, and take the place of an answer argument by argument. Where a mistake's gradient is needed,
central differences give it.
"""

from functools import partial
from itertools import product

import numpy as np

from vaekit.course.questions.question import (
    OFF,
    VALUE,
    AtLeast,
    Case,
    Diagnosis,
    Near,
    Observe,
    Question,
    with_gradients,
)
from vaekit.datasets import load

TITLE = "The variational autoencoder"
LOG_2PI = np.log(2 * np.pi)


def _sigmoid(a):
    return 0.5 * (1 + np.tanh(a / 2))


def _total(*terms):
    """Sum over the last axis."""
    return np.sum(sum(terms), axis=-1)


def _mistakes(of, *rows):
    return [Diagnosis(name, says, with_gradients(wrong, *of)) for name, says, wrong in rows]


# ---- KL(N(μ, σ²) ‖ N(0, I)) = ½ Σ (μ² + σ² − 1 − log σ²)


def _kl(mean, log_variance):
    return 0.5 * _total(mean**2, np.exp(log_variance), -1, -log_variance)


def _kl_and_gradients(mean, log_variance):
    return {
        VALUE: _kl(mean, log_variance),
        "gradient of mean": mean,
        "gradient of log_variance": 0.5 * (np.exp(log_variance) - 1),
    }


def _some_posteriors(rng):
    def case(shape, size):
        return Case({name: size * rng.normal(size=shape) for name in ("mean", "log_variance")})

    return [case((5, 3), 1), case((1, 12), 2), case((3, 2), 0.1), case((2, 8), 1)]


KL = Question(
    name="kl_divergence",
    title="The KL divergence, in closed form",
    points=2,
    minutes=5,
    public=[
        Case(
            {
                "mean": np.array([[0.0, 0.0], [1.0, -2.0], [0.5, 0.0]]),
                "log_variance": np.array([[0.0, 0.0], [0.0, 1.0], [-2.0, -1.0]]),
            }
        )
    ],
    draw=_some_posteriors,
    expected=_kl_and_gradients,
    observe=Observe("gradients", {"of": ["mean", "log_variance"]}),
    sizes=lambda mean, log_variance: {"latents": mean.shape[-1], "rows of the batch": len(mean)},
    diagnoses=_mistakes(
        ("mean", "log_variance"),
        (
            "sign",
            "the sign is reversed. What you have is the term as it stands in the bound, $-\\mathrm{KL}$; a divergence "
            "is never negative.",
            lambda mean, log_variance: -_kl(mean, log_variance),
        ),
        (
            "mean_over_latents",
            "your KL is divided by the number of latents: you averaged over them. Sum instead: a divergence between "
            "products of distributions is the sum of the divergences. The average is a β-VAE that nobody ordered.",
            lambda mean, log_variance: _kl(mean, log_variance) / mean.shape[-1],
        ),
        (
            "summed_over_batch",
            "one number came back for the whole batch; each row has a KL of its own. Sum over the last axis only.",
            lambda mean, log_variance: np.sum(_kl(mean, log_variance)),
        ),
        (
            "averaged_over_batch",
            "one number came back, an average over the batch; each row has a KL of its own. Sum over the last axis, "
            "and leave the others.",
            lambda mean, log_variance: np.mean(_kl(mean, log_variance)),
        ),
        (
            "no_half",
            "it is twice what it should be: the ½ in front of the sum is missing.",
            lambda mean, log_variance: 2 * _kl(mean, log_variance),
        ),
        (
            "log_deviation",
            "you took `log_variance` for $\\log\\sigma$. It is $\\lambda = \\log\\sigma^2$: the variance is "
            "$e^{\\lambda}$, not $e^{2\\lambda}$.",
            lambda mean, log_variance: _kl(mean, 2 * log_variance),
        ),
        (
            "deviation_for_variance",
            "$e^{\\lambda/2}$ is the standard deviation. The formula has the variance, $\\sigma^2 = e^{\\lambda}$.",
            lambda mean, log_variance: 0.5 * _total(mean**2, np.exp(log_variance / 2), -1, -log_variance),
        ),
        (
            "no_minus_one",
            "the $-1$ is missing, ½ for each latent. *Test:* for $\\mu = 0$ and $\\sigma = 1$ the divergence is 0.",
            lambda mean, log_variance: 0.5 * _total(mean**2, np.exp(log_variance), -log_variance),
        ),
        (
            "log_sign",
            "$\\log\\sigma^2$ has the wrong sign: it is subtracted. *Test:* the divergence grows without end where "
            "$\\sigma \\to 0$.",
            lambda mean, log_variance: 0.5 * _total(mean**2, np.exp(log_variance), -1, log_variance),
        ),
        (
            "mean_not_squared",
            "the mean enters as $\\mu$ where $\\mu^2$ belongs.",
            lambda mean, log_variance: 0.5 * _total(mean, np.exp(log_variance), -1, -log_variance),
        ),
        (
            "reversed",
            "this is the other direction, $\\mathrm{KL}(p(z)\\,\\|\\,q)$. The expectation is under $q$, from which the "
            "codes are drawn.",
            lambda mean, log_variance: 0.5 * _total((1 + mean**2) * np.exp(-log_variance), -1, log_variance),
        ),
    ),
    hints=[
        "The latents are independent under both distributions. What happens to the logarithm of a product?",
        "$\\mathbb E_q[\\log q(z) - \\log p(z)]$, for one latent: both constants $\\frac12\\log 2\\pi$ cancel, "
        "$\\mathbb E_q[(z-\\mu)^2] = \\sigma^2$, and $\\mathbb E_q[z^2] = \\mu^2 + \\sigma^2$.",
        "$\\frac12 \\sum_j (\\mu_j^2 + e^{\\lambda_j} - 1 - \\lambda_j)$, summed over the last axis.",
    ],
)


# ---- log p(x) = Σ x a − log(1 + eᵃ)


def _bernoulli(x, logits):
    return _total(x * logits, -np.logaddexp(0, logits))


def _bernoulli_and_gradients(x, logits):
    return {VALUE: _bernoulli(x, logits), "gradient of logits": x - _sigmoid(logits)}


def _some_pixels(rng):
    def case(shape, size):
        return Case({"x": 1.0 * (rng.random(shape) < 0.4), "logits": size * rng.normal(size=shape)})

    sure = rng.choice([30.0, 200.0, 1e4], size=(4, 6)) * rng.choice([-1, 1], size=(4, 6))
    sure[0, :4] = [200, 200, -200, -200]  # both colours at both ends
    x = 1.0 * (rng.random(sure.shape) < 0.5)
    x[0, :4] = [0, 1, 0, 1]
    return [case((5, 6), 1), case((2, 10), 3), case((3, 4), 0.1), Case({"x": x, "logits": sure}, "stable")]


def _of_probabilities(change=lambda y: y, log=np.log):
    """The log-likelihood from probabilities, as float32 has them: Σ x log y + (1 − x) log (1 − y)."""

    def wrong(x, logits):
        y = change(1 / (1 + np.exp(-np.float32(logits))))
        white, black = log(y), log(np.float32(1) - y)
        value = x.astype(np.float32) * white + np.float32(1 - x) * black
        return {VALUE: np.sum(value, axis=-1), "gradient of logits": OFF}

    return wrong


_CLIPPED = (
    "a small number was added to the probability, or the probability was clipped. Nothing overflows, but a pixel that "
    "the decoder gets wrong with a logit of 200 costs 200 nats, not 16: the bound is too good, and the gradient is "
    "dead. Use the softplus form, $x\\,a - \\mathrm{softplus}(a)$."
)

BERNOULLI = Question(
    name="bernoulli_log_prob",
    title="Bernoulli pixels, however sure the decoder is",
    points=3,
    minutes=8,
    parts={VALUE: 1, "gradient of logits": 0.5, "stable": 1.5},
    public=[
        Case(
            {
                "x": np.array([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]]),
                "logits": np.array([[0.5, -1.0, 2.0], [3.0, -4.0, -2.0]]),
            }
        ),
        Case(
            {"x": np.array([[1.0, 0.0, 0.0, 1.0]]), "logits": np.array([[200.0, -200.0, 200.0, -200.0]])},
            "stable",
        ),
    ],
    draw=_some_pixels,
    expected=_bernoulli_and_gradients,
    observe=Observe("gradients", {"of": ["logits"]}),
    sizes=lambda x, logits: {"pixels": x.shape[-1], "images": len(x)},
    diagnoses=[
        Diagnosis(
            "log_of_sigmoid",
            "the logarithm of a sigmoid loses everything at logits beyond 17: float32 rounds the probability to 1, "
            "$\\log(1 - y)$ is then $-\\infty$, and $0 \\cdot \\infty$ is nan. Use the softplus form, "
            "$x\\,a - \\mathrm{softplus}(a)$.",
            _of_probabilities(),
        ),
        Diagnosis(
            "exp_overflows",
            "$e^a$ overflows beyond $a = 88$, before the logarithm is taken. `ops.softplus(a)` is $\\log(1 + e^a)$, "
            "and takes the large part out first: $\\max(a, 0) + \\log(1 + e^{-|a|})$.",
            lambda x, logits: {
                VALUE: np.sum(x * logits - np.where(logits > 88, np.inf, np.logaddexp(0, logits)), axis=-1),
                "gradient of logits": OFF,
            },
        ),
        *(
            Diagnosis("clipped", _CLIPPED, _of_probabilities(**change))
            for small in np.float32([1e-5, 1e-6, 1e-7, 1e-8, 1e-10, 1e-12])
            for change in (
                {"change": lambda y, small=small: np.clip(y, small, 1 - small)},
                {"log": lambda y, small=small: np.log(y + small)},
            )
        ),
        *_mistakes(
            ("logits",),
            (
                "sign",
                "the sign is reversed: this is a loss, the cross-entropy. Asked for is the log-likelihood, which is "
                "never positive for pixels of 0 and 1.",
                lambda x, logits: -_bernoulli(x, logits),
            ),
            (
                "mean_over_pixels",
                "it is divided by the number of pixels: you averaged over them, as `keras.losses` does. The "
                "probability of an image is the product over its pixels, so its logarithm is the sum.",
                lambda x, logits: _bernoulli(x, logits) / x.shape[-1],
            ),
            (
                "loss_per_pixel",
                "this is the cross-entropy as `keras.losses` has it: a loss, and averaged over the pixels. Reverse the "
                "sign, and sum.",
                lambda x, logits: -_bernoulli(x, logits) / x.shape[-1],
            ),
            (
                "white_only",
                "only white pixels count, the term for $x = 0$ is missing. A black pixel has the probability $1 - y$.",
                lambda x, logits: np.sum(-x * np.logaddexp(0, -logits), axis=-1),
            ),
            (
                "swapped",
                "black and white are exchanged: $y = \\mathrm{sigmoid}(a)$ is the probability of $x = 1$.",
                lambda x, logits: _bernoulli(1 - x, logits),
            ),
            (
                "sigmoid_twice",
                "the sigmoid was applied twice: a function that expects logits was given probabilities.",
                lambda x, logits: _bernoulli(x, _sigmoid(logits)),
            ),
        ),
        Diagnosis(
            "logits_for_probabilities",
            "the logits were used as if they were probabilities: the logarithm of a negative number is nan. Either "
            "turn them into probabilities, or better, never leave the logits.",
            lambda x, logits: {
                VALUE: np.sum(x * np.log(logits) + (1 - x) * np.log(1 - logits), axis=-1),
                "gradient of logits": OFF,
            },
        ),
    ],
    hints=[
        "Write $\\log y$ and $\\log(1 - y)$ with $y = 1/(1 + e^{-a})$, before you compute anything.",
        "$\\log y = a - \\log(1 + e^a)$ and $\\log(1 - y) = -\\log(1 + e^a)$. Now put them together.",
        "$\\sum_d \\big(x_d a_d - \\log(1 + e^{a_d})\\big)$; `ops.softplus(a)` is $\\log(1 + e^a)$ without overflow.",
    ],
    because="float32 carries seven digits; of logits of 10,000 and of 30 in one sum, the smaller ones keep three.",
)


# ---- log N(x; μ, σ²) = −½ Σ (log 2π + λ + (x − μ)² e^{−λ})


def _gaussian(x, mean, log_variance):
    return -0.5 * _total(LOG_2PI, log_variance, (x - mean) ** 2 * np.exp(-log_variance))


def _gaussian_and_gradients(x, mean, log_variance):
    found = {VALUE: _gaussian(x, mean, log_variance)}
    if log_variance.min() < -100:  # gradients of e⁷⁵, right or nan as a backend happens to differentiate a quotient
        return found
    return found | {
        "gradient of mean": (x - mean) * np.exp(-log_variance),
        "gradient of log_variance": 0.5 * ((x - mean) ** 2 * np.exp(-log_variance) - 1),
    }


def _some_grey_pixels(rng):
    def case(shape, size):
        inputs = {name: size * rng.normal(size=shape) for name in ("x", "mean")}
        return Case({**inputs, "log_variance": rng.uniform(-2, 3, size=shape)})

    # pixels which are the same in every image: σ → 0, and the mean is right
    log_variance = rng.uniform(-150, -110, size=(3, 5))
    x = rng.choice([0, 1], size=(3, 5)) * rng.normal(size=(3, 5)) * np.exp(log_variance / 2)
    dead = Case({"x": x, "mean": np.zeros((3, 5)), "log_variance": log_variance}, "stable")
    return [case((5, 6), 1), case((2, 9), 2), case((3, 4), 0.3), dead]


def _with_variance(change, x, mean, log_variance):
    """Mistakes about the variance at pixels that do not change, in float32."""
    variance = change(np.exp(np.float32(log_variance)))
    value = np.float32(x - mean) ** 2 / variance + np.log(variance)
    return {
        VALUE: -0.5 * np.sum(np.float32(LOG_2PI) + value, axis=-1),
        "gradient of mean": OFF,
        "gradient of log_variance": OFF,
    }


GAUSSIAN = Question(
    name="gaussian_log_prob",
    title="Grey pixels: a normal distribution for each",
    points=3,
    importance=2,
    minutes=8,
    parts={VALUE: 1, "gradient of mean": 0.25, "gradient of log_variance": 0.25, "stable": 1.5},
    public=[
        Case(
            {
                "x": np.array([[0.0, 1.0, 0.5], [2.0, -1.0, 0.0]]),
                "mean": np.array([[0.0, 0.5, 0.0], [1.0, 1.0, -1.0]]),
                "log_variance": np.array([[0.0, -1.0, 1.0], [0.5, 0.0, 2.0]]),
            }
        ),
        Case(
            {
                "x": np.array([[0.0, 1e-26, 0.0]]),
                "mean": np.zeros((1, 3)),
                "log_variance": np.array([[-110.0, -120.0, -150.0]]),
            },
            "stable",
        ),
    ],
    draw=_some_grey_pixels,
    expected=_gaussian_and_gradients,
    observe=Observe("gradients", {"of": ["mean", "log_variance"]}),
    sizes=lambda x, mean, log_variance: {"pixels": x.shape[-1], "images": len(x)},
    diagnoses=[
        *_mistakes(
            ("mean", "log_variance"),
            (
                "sign",
                "the sign is reversed: this is a loss. Asked for is the log-density.",
                lambda x, mean, log_variance: -_gaussian(x, mean, log_variance),
            ),
            (
                "mean_over_pixels",
                "it is divided by the number of pixels: you averaged over them. The density of an image is the "
                "product over its pixels, so its logarithm is the sum.",
                lambda x, mean, log_variance: _gaussian(x, mean, log_variance) / x.shape[-1],
            ),
            (
                "no_constant",
                "the constant $-\\frac12\\log 2\\pi$ of each pixel is missing. Training does not notice, but the "
                "number is no log-density, and cannot be compared with anybody's.",
                lambda x, mean, log_variance: _gaussian(x, mean, log_variance) + 0.5 * LOG_2PI * x.shape[-1],
            ),
            (
                "constant_once",
                "$-\\frac12\\log 2\\pi$ was added once for the whole image; each pixel has one.",
                lambda x, mean, log_variance: _gaussian(x, mean, log_variance) + 0.5 * LOG_2PI * (x.shape[-1] - 1),
            ),
            (
                "squared_error",
                "the term $-\\frac12\\log\\sigma^2$ is missing. Without it a large $\\sigma$ costs nothing, and the "
                "decoder will choose $\\sigma = \\infty$.",
                lambda x, mean, log_variance: _gaussian(x, mean, log_variance) + 0.5 * np.sum(log_variance, axis=-1),
            ),
            (
                "log_variance_whole",
                "$\\log\\sigma$ is half of `log_variance`, and $-\\log\\sigma = -\\frac12\\lambda$: you have "
                "subtracted the whole.",
                lambda x, mean, log_variance: _gaussian(x, mean, log_variance) - 0.5 * np.sum(log_variance, axis=-1),
            ),
            (
                "log_deviation",
                "you took `log_variance` for $\\log\\sigma$. It is $\\lambda = \\log\\sigma^2$, and "
                "$\\sigma = e^{\\lambda/2}$.",
                lambda x, mean, log_variance: _gaussian(x, mean, 2 * log_variance),
            ),
            (
                "deviation_for_variance",
                "the squared distance is divided by $\\sigma$; it belongs divided by $\\sigma^2 = e^{\\lambda}$.",
                lambda x, mean, log_variance: (
                    -0.5 * _total(LOG_2PI, log_variance, (x - mean) ** 2 * np.exp(-log_variance / 2))
                ),
            ),
            (
                "precedence",
                "the squared distance is *multiplied* by the variance: `a / 2 * b` is `(a / 2) * b`. A published VAE "
                "was trained with just that. Write brackets, or multiply by $e^{-\\lambda}$.",
                lambda x, mean, log_variance: (
                    -0.5 * _total(LOG_2PI, log_variance, (x - mean) ** 2 * np.exp(log_variance))
                ),
            ),
        ),
        Diagnosis(
            "not_standardized",
            "at a tiny $\\sigma$ the variance $e^{\\lambda}$ is 0 to float32, and the square of a tiny distance too: "
            "$0/0$. Divide first, then square: $\\big((x - \\mu)\\,e^{-\\lambda/2}\\big)^2$. And $\\log\\sigma^2$ is "
            "there already, as $\\lambda$.",
            partial(_with_variance, lambda v: np.where(v < 1e-37, np.float32(0), v)),
        ),
        *(
            Diagnosis(
                "variance_bounded",
                "a small number was added to the variance, or the variance was clipped. Nothing overflows, but the "
                "density is not the one asked for: a decoder that knows a pixel exactly is paid too little. "
                "Standardize the distance instead: $\\big((x - \\mu)\\,e^{-\\lambda/2}\\big)^2$.",
                partial(_with_variance, lambda v, small=small: v + np.float32(small)),
            )
            for small in (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-10, 1e-12)
        ),
    ],
    hints=[
        "A product of densities has a sum of log-densities. Start from one pixel.",
        "$-\\frac12\\log(2\\pi\\sigma^2) - \\frac{(x - \\mu)^2}{2\\sigma^2}$, and $\\log\\sigma^2$ is given.",
        "For the part *stable*: which of $(x-\\mu)^2$, $e^{\\lambda}$ and $(x-\\mu)\\,e^{-\\lambda/2}$ can "
        "float32 hold at $\\lambda = -120$? (Its numbers end near $10^{-38}$ and $10^{38}$.)",
        "$-\\frac12 \\sum_d \\Big(\\log 2\\pi + \\lambda_d + \\big((x_d - \\mu_d)\\,e^{-\\lambda_d/2}\\big)^2\\Big)$.",
    ],
    atol=2e-5,
)


# ---- the two estimators


def _estimators(x, mean, log_variance, noise, weights, bias, scale=0.5, log_q=None, log_p=None, kl=_kl, pixels=np.sum,
                draws=np.mean):  # fmt: skip
    """Estimators A and B, [N]; what can be changed are the steps at which mistakes are made."""
    z = mean + np.exp(scale * log_variance) * noise  # [S, N, L]
    a = z @ weights + bias  # [S, N, D]
    reconstruction = pixels(x * a - np.logaddexp(0, a), axis=-1)
    log_p = _gaussian(z, 0, 0 * z) if log_p is None else log_p(z)
    log_q = _gaussian(z, mean, log_variance) if log_q is None else log_q(z, mean, log_variance, noise)
    return {
        "A": draws(reconstruction + log_p - log_q, axis=0),
        "B": draws(reconstruction - kl(mean, log_variance), axis=0),
    }


def _only(name, **steps):
    return lambda **inputs: {name: _estimators(**inputs, **steps)[name]}


def _log_mean_exp(values, axis):
    top = values.max(axis)
    return top + np.log(np.mean(np.exp(values - top), axis))


def _some_linear_decoders(rng):
    def case(S, N, L, D, size=1.0):
        return Case(
            {
                "x": 1.0 * (rng.random((N, D)) < 0.5),
                "mean": size * rng.normal(size=(N, L)),
                "log_variance": size * rng.normal(size=(N, L)) - 0.5,
                "noise": rng.normal(size=(S, N, L)),
                "weights": rng.normal(size=(L, D)),
                "bias": rng.normal(size=D),
            }
        )

    return [case(4, 3, 2, 6), case(1, 2, 5, 4), case(6, 1, 3, 8, 2.0)]


ESTIMATORS = Question(
    name="elbo_estimators",
    title="Two estimators of the bound",
    points=4,
    minutes=12,
    difficulty=2,
    founded=False,
    public=_some_linear_decoders(np.random.default_rng(22))[:1],
    draw=_some_linear_decoders,
    expected=_estimators,
    observe=Observe("call", {"names": ["A", "B"]}),
    sizes=lambda x, mean, noise, **_: {"latents": mean.shape[-1], "pixels": x.shape[-1], "draws": len(noise)},
    diagnoses=[
        Diagnosis(
            "exchanged",
            "A and B are exchanged. A takes everything from the draw, B knows the KL divergence.",
            lambda **inputs: dict(zip("BA", _estimators(**inputs).values(), strict=True)),
        ),
        Diagnosis(
            "kl_added",
            "the KL divergence is added. It is what the code costs: subtract it.",
            _only("B", kl=lambda m, v: -_kl(m, v)),
        ),
        Diagnosis(
            "kl_mean",
            "the KL divergence is averaged over the latents. Sum it: the bound is a sum over latents and pixels.",
            _only("B", kl=lambda m, v: _kl(m, v) / m.shape[-1]),
        ),
        Diagnosis(
            "log_q_added",
            "$\\log q(z|x)$ is added. It stands in the denominator of $p(x, z)/q(z|x)$: subtract it.",
            _only("A", log_q=lambda z, m, v, e: -_gaussian(z, m, v)),
        ),
        Diagnosis(
            "no_prior",
            "$\\log p(z)$ is missing in A. Without it nothing keeps the codes near the prior.",
            _only("A", log_p=lambda z: 0 * z[..., 0]),
        ),
        *(
            Diagnosis(
                "constant_on_one_side",
                "the constants $\\frac12\\log 2\\pi$, one for each latent, cancel between $\\log p(z)$ and "
                "$\\log q(z|x)$ only if both have them. You dropped them on one side: all your bounds are off by the "
                "same number.",
                _only("A", log_p=lambda z, sign=sign: _gaussian(z, 0, 0 * z) + sign * 0.5 * LOG_2PI * z.shape[-1]),
            )
            for sign in (1, -1)
        ),
        Diagnosis(
            "density_of_the_noise",
            "for $\\log q(z|x)$ you took the density of the noise. The step from $\\varepsilon$ to "
            "$z = \\mu + \\sigma\\varepsilon$ stretches space: "
            "$\\log q(z|x) = \\log\\mathcal N(\\varepsilon; 0, I) - \\sum_j\\log\\sigma_j$.",
            _only("A", log_q=lambda z, m, v, e: _gaussian(e, 0, 0 * e)),
        ),
        Diagnosis(
            "log_q_at_the_mean",
            "$\\log q$ is taken at the mean $\\mu$. Take it at the draw $z$, like everything else in A.",
            _only("A", log_q=lambda z, m, v, e: 0 * z[..., 0] + _gaussian(m, m, v)),
        ),
        Diagnosis(
            "log_mean_exp",
            "you took the logarithm of the mean weight. That is a tighter bound (IWAE, lesson 04), but another one: "
            "the ELBO is the mean of the logarithms.",
            lambda **inputs: _estimators(**inputs, draws=_log_mean_exp),
        ),
        Diagnosis(
            "draws_summed",
            "the draws are summed. Average them: each is an estimate of the same bound.",
            lambda **inputs: _estimators(**inputs, draws=np.sum),
        ),
        Diagnosis(
            "pixels_averaged",
            "$\\log p(x|z)$ is averaged over the pixels. Sum it; else each nat of code costs as much as all pixels "
            "together, and no code is worth that.",
            lambda **inputs: _estimators(**inputs, pixels=np.mean),
        ),
        Diagnosis(
            "variance_for_deviation",
            "the noise is multiplied by the variance. $z = \\mu + \\sigma\\varepsilon$ with "
            "$\\sigma = e^{\\lambda/2}$.",
            lambda **inputs: _estimators(**inputs, scale=1),
        ),
        Diagnosis(
            "no_noise",
            "the decoder was given the mean $\\mu$, not the draw $z$. An autoencoder does that; a variational one has "
            "to make sense of every code that $q(z|x)$ can draw.",
            lambda **inputs: _estimators(**{**inputs, "noise": 0 * inputs["noise"]}),
        ),
    ],
    hints=[
        "First the codes: `noise` has an axis more than `mean`. What shape does $z$ have, and the logits?",
        "You have written all parts already: a Bernoulli log-likelihood, a normal log-density (with which mean and "
        "variance for $p(z)$?), a KL divergence. They sum over the last axis and leave the others.",
        "A: the mean over axis 0 of $\\log p(x|z) + \\log p(z) - \\log q(z|x)$, all three at the same $z$. B: the mean "
        "over axis 0 of $\\log p(x|z)$, minus the KL.",
    ],
)


# ---- a model whose gap is known: p(z) = N(0, I), p(x|z) = N(zW + b, s²I), q = N(μ, diag σ²)


def _linear_parts(x, weights, bias, noise_scale, mean, log_variance):
    precision = np.eye(len(weights)) + weights @ weights.T / noise_scale**2  # of the posterior, [L, L]
    posterior = (x - bias) @ weights.T @ np.linalg.inv(precision) / noise_scale**2  # its means, [N, L]
    return precision, posterior


def _linear_bound(x, weights, bias, noise_scale, mean, log_variance, trace=1, variance=None, constant=None, kl=_kl):
    variance = noise_scale**2 if variance is None else variance
    distance = np.sum((x - bias - mean @ weights) ** 2, axis=-1)
    spread = np.exp(log_variance) @ np.sum(weights**2, axis=-1)  # tr(Wᵀ diag σ² W)
    constant = x.shape[-1] * (LOG_2PI + np.log(variance)) if constant is None else constant
    return -0.5 * (constant + (distance + trace * spread) / variance) - kl(mean, log_variance)


def _linear_evidence(x, weights, bias, noise_scale, **_):
    """log N(x; b, WᵀW + s²I), [N]."""
    covariance = weights.T @ weights + noise_scale**2 * np.eye(len(bias))
    square = np.sum((x - bias) * ((x - bias) @ np.linalg.inv(covariance)), axis=-1)
    return -0.5 * (len(bias) * LOG_2PI + np.linalg.slogdet(covariance)[1] + square)


def _linear(**inputs):
    bound = _linear_bound(**inputs)
    return {"bound": bound, "gap": _linear_evidence(**inputs) - bound}


def _gaussian_kl(mean_1, covariance_1, mean_2, covariance_2):
    """KL(N(m₁, C₁) ‖ N(m₂, C₂)), [N]."""
    inverse = np.linalg.inv(covariance_2)
    difference = mean_2 - mean_1
    square = np.einsum("ni,nij,nj->n", difference, inverse, difference)
    trace = np.trace(inverse @ covariance_1, axis1=-2, axis2=-1)
    logdet = np.linalg.slogdet(covariance_2)[1] - np.linalg.slogdet(covariance_1)[1]
    return 0.5 * (trace + square - mean_1.shape[-1] + logdet)


def _gap_with(change):
    """The gap where the posterior, or the divergence, was mistaken."""

    def wrong(**inputs):
        precision, posterior = _linear_parts(**inputs)
        N, L = inputs["mean"].shape
        q = inputs["mean"], np.exp(inputs["log_variance"])[:, :, None] * np.eye(L)
        p = posterior, np.broadcast_to(np.linalg.inv(precision), (N, L, L))
        return {"gap": change(q, p, inputs)}

    return wrong


def _without_prior(q, p, inputs):
    weights, s = inputs["weights"], inputs["noise_scale"]
    inverse = np.linalg.inv(weights @ weights.T / s**2)
    return _gaussian_kl(*q, (inputs["x"] - inputs["bias"]) @ weights.T @ inverse / s**2, 0 * p[1] + inverse)


def _some_linear_models(rng):
    def case(N, L, D, noise_scale):
        weights = rng.normal(size=(L, D))
        return Case(
            {
                "x": rng.normal(size=(N, L)) @ weights + noise_scale * rng.normal(size=(N, D)),
                "weights": weights,
                "bias": rng.normal(size=D),
                "noise_scale": noise_scale,
                "mean": rng.normal(size=(N, L)),
                "log_variance": rng.normal(size=(N, L)) - 1,
            }
        )

    return [case(3, 2, 5, 0.7), case(2, 3, 6, 1.5), case(4, 1, 3, 0.5)]


LINEAR = Question(
    name="bound_and_gap",
    title="A model whose gap is known exactly",
    points=5,
    importance=2,
    minutes=25,
    difficulty=3,
    founded=False,
    public=_some_linear_models(np.random.default_rng(23))[:1],
    draw=_some_linear_models,
    expected=_linear,
    observe=Observe("call", {"names": ["bound", "gap"]}),
    sizes=lambda x, mean, **_: {"latents": mean.shape[-1], "pixels": x.shape[-1]},
    diagnoses=[
        Diagnosis(
            "mean_for_expectation",
            "you evaluated $\\log p(x|z)$ at $z = \\mu$. The expectation under $q$ has one term more: "
            "$\\mathbb E\\,\\|x - b - zW\\|^2 = \\|x - b - \\mu W\\|^2 + \\sum_j \\sigma_j^2 \\|W_j\\|^2$.",
            lambda **inputs: {"bound": _linear_bound(**inputs, trace=0)},
        ),
        Diagnosis(
            "scale_for_variance",
            "`noise_scale` is the standard deviation $s$; the density has $s^2$.",
            lambda **inputs: {"bound": _linear_bound(**inputs, variance=inputs["noise_scale"])},
        ),
        Diagnosis(
            "no_constant",
            "the normalization $-\\frac D2\\log(2\\pi s^2)$ is missing, or incomplete: it is one "
            "$-\\frac12\\log(2\\pi s^2)$ for each of the $D$ pixels.",
            lambda **inputs: {"bound": _linear_bound(**inputs, constant=0)},
        ),
        Diagnosis(
            "no_constant",
            "the normalization is incomplete: it is $-\\frac12\\log(2\\pi s^2)$ for each of the $D$ pixels, "
            "$-\\frac D2\\log(2\\pi s^2)$ together.",
            lambda **inputs: {"bound": _linear_bound(**inputs, constant=LOG_2PI + 2 * np.log(inputs["noise_scale"]))},
        ),
        Diagnosis(
            "no_kl",
            "this is the expected reconstruction alone. Subtract what the code costs, $\\mathrm{KL}(q\\,\\|\\,p(z))$.",
            lambda **inputs: {"bound": _linear_bound(**inputs, kl=lambda m, v: 0)},
        ),
        Diagnosis(
            "evidence_for_bound",
            "this is $\\log p(x)$ itself, not the bound. It does not depend on $q$; the bound does.",
            lambda **inputs: {"bound": _linear_evidence(**inputs)},
        ),
        Diagnosis(
            "prior_for_posterior",
            "this is the divergence from the *prior*, a term of the bound. The gap is the divergence from the "
            "*posterior* $p(z|x)$.",
            lambda **inputs: {"gap": _kl(inputs["mean"], inputs["log_variance"])},
        ),
        Diagnosis(
            "reversed",
            "this is $\\mathrm{KL}(p(z|x)\\,\\|\\,q)$. The gap is the other direction: the expectation is under $q$.",
            _gap_with(lambda q, p, inputs: _gaussian_kl(*p, *q)),
        ),
        Diagnosis(
            "posterior_without_prior",
            "the posterior's precision lacks the prior's share: it is $I + WW^\\top/s^2$.",
            _gap_with(_without_prior),
        ),
        Diagnosis(
            "diagonal_posterior",
            "you treated the posterior's latents as independent: only the diagonal of its covariance was used. Its "
            "covariance $(I + WW^\\top/s^2)^{-1}$ is full, and that is half of the reason for the gap.",
            _gap_with(lambda q, p, inputs: _gaussian_kl(*q, p[0], p[1] * np.eye(p[1].shape[-1]))),
        ),
        Diagnosis(
            "sign",
            "the sign is reversed: $\\log p(x)$ minus the bound is never negative.",
            lambda **inputs: {"gap": -_linear(**inputs)["gap"]},
        ),
        Diagnosis(
            "evidence_for_gap",
            "this is $\\log p(x)$. The gap is what the bound lacks: $\\log p(x)$ minus the bound.",
            lambda **inputs: {"gap": _linear_evidence(**inputs)},
        ),
    ],
    hints=[
        "The bound first: reconstruction minus KL. Only $\\mathbb E_q[\\log p(x|z)]$ is new, and there only "
        "$\\mathbb E_q\\|x - b - zW\\|^2$.",
        "With $z = \\mu + \\sigma\\varepsilon$ the cross term has mean 0, and what is left of the rest is "
        "$\\sum_j\\sigma_j^2\\sum_d W_{jd}^2$.",
        "For the gap there are two ways. Either $x$ is normal, too: $\\log p(x) = \\log\\mathcal N(x;\\, b,\\, "
        "W^\\top W + s^2 I)$, less the bound. Or by the posterior, which is normal with precision "
        "$P = I + WW^\\top/s^2$ and mean $(x - b)W^\\top P^{-1}/s^2$.",
        "`ops.slogdet(C)[1]` is $\\log\\det C$, and `ops.solve(C, ops.transpose(x - b))` is $C^{-1}(x - b)^\\top$.",
    ],
    rtol=1e-3,
    atol=1e-3,
    because="the gap is a difference of two numbers of some ten nats, each from a matrix inverted in float32.",
)


# ---- a layer whose output is a distribution


ASPECTS = {"shapes": 1, "log_prob": 2, "mean": 1, "sample": 1, "gradients": 1, "model": 1, "config": 1}
WEIGHTS = ["kernel", "bias", "log_scale"]


def _gaussian_image(aspect, event_shape, features, x, kernel, bias, log_scale, mean=_sigmoid, scale=1.0):
    B, event = len(features), tuple(int(n) for n in event_shape)
    y = mean(features @ kernel + bias).reshape(B, *event)
    sigma = np.exp(scale * log_scale)
    error = (x - y) / sigma
    pixels = -0.5 * (LOG_2PI + error**2) - np.log(sigma)
    log_prob = pixels.reshape(B, -1).sum(-1)
    slope = (error / sigma).reshape(B, -1)  # ∂/∂y
    slope = slope * (y * (1 - y)).reshape(B, -1)  # ∂/∂a, y = sigmoid(a)
    return {
        "shapes": {"event shape": event, "batch shape": (B,)},
        "log_prob": {"log_prob": log_prob},
        "mean": {"mean": y},
        "sample": {
            "shape": (3, B, *event),
            "float32": 1.0,
            "spread": Near(sigma, 0.05 * sigma, because="the spread of some thousand draws is off by a percent."),
        },
        "gradients": {
            "gradient of kernel": features.T @ slope,
            "gradient of bias": slope.sum(0),
            "gradient of log_scale": np.sum(error**2 - 1),
            "gradient of features": slope @ kernel.T,
        },
        "model": {"log_prob": log_prob},
        "config": {"log_prob": log_prob},
    }[aspect]


def _pixels_kept(axes):
    """What log_prob and shapes are where only the last axes, or none, are the event's."""

    def wrong(**inputs):
        event = tuple(int(n) for n in inputs["event_shape"])
        y = _gaussian_image(**{**inputs, "aspect": "mean"})["mean"]
        pixels = -0.5 * (LOG_2PI + ((inputs["x"] - y) / np.exp(inputs["log_scale"])) ** 2) - inputs["log_scale"]
        shapes = {"event shape": event[len(event) - axes :], "batch shape": y.shape[: y.ndim - axes]}
        return shapes | {"log_prob": pixels.sum(tuple(range(-axes, 0))) if axes else pixels}

    return wrong


def _some_layers(rng):
    def case(aspect, B, F, event):
        return Case(
            {
                "aspect": aspect,
                "event_shape": np.array(event),
                "features": rng.normal(size=(B, F)),
                "x": rng.random((B, *event)),
                "kernel": 0.5 * rng.normal(size=(F, int(np.prod(event)))),
                "bias": rng.normal(size=int(np.prod(event))),
                "log_scale": np.array(rng.uniform(-1.5, -0.5)),
            },
            aspect,
        )

    shapes = [(4, 3, (2, 3, 1)), (2, 5, (4, 2, 3))]
    return [case(aspect, *shapes[i % 2]) for i, aspect in enumerate(ASPECTS)] + [case("log_prob", 3, 2, (3, 2))]


LAYER = Question(
    name="GaussianImage",
    title="A layer whose output is a distribution",
    kind="distribution layer",
    points=4,
    importance=2,
    minutes=25,
    difficulty=3,
    parts=ASPECTS,
    founded=False,
    public=_some_layers(np.random.default_rng(24))[:2],
    draw=_some_layers,
    expected=_gaussian_image,
    observe=Observe("distribution_layer", {"weights": WEIGHTS}),
    sizes=lambda x, **_: {"pixels": int(np.prod(x.shape[1:])), "images": len(x)},
    diagnoses=[
        Diagnosis(
            "not_summed",
            "the pixels are a batch of separate distributions: `tfd.Normal` gives a log-density for each pixel. Wrap "
            "it in `tfd.Independent`, which declares the axes of an image to be one event and sums over them.",
            _pixels_kept(0),
        ),
        Diagnosis(
            "last_axis_only",
            "only the last axis is summed. `tfd.Independent` needs `reinterpreted_batch_ndims=len(event_shape)`.",
            _pixels_kept(1),
        ),
        Diagnosis(
            "log_variance",
            "`log_scale` is used as a log-variance: $\\sigma = e^{\\texttt{log\\_scale}}$, without the ½.",
            partial(_gaussian_image, scale=0.5),
        ),
        Diagnosis(
            "no_sigmoid",
            "the mean is not bounded: it goes through a sigmoid, so that it lies in (0, 1) as the grey values do.",
            lambda **inputs: {
                name: value
                for name, value in _gaussian_image(**inputs, mean=lambda a: a).items()
                if not name.startswith("gradient")
            },
        ),
        Diagnosis(
            "drawn_from_the_mean",
            "the draws have no noise: `sample` should draw pixels, not return the mean. A `tfd.Distribution` does that "
            "by itself.",
            lambda **inputs: {"spread": 0.0},
        ),
    ],
    hints=[
        "Four methods: `build` makes the weights, in the order of the contract; `call` returns the distribution; "
        "`compute_output_spec` tells Keras what it looks like; `get_config` tells how to make the layer again.",
        "`call`: an affine function, a sigmoid, `ops.reshape` to `(-1, *event_shape)`; then "
        "`tfd.Independent(tfd.Normal(mean, scale), reinterpreted_batch_ndims=...)`. How many axes has an image?",
        "`compute_output_spec(self, inputs)` builds the layer if it is not built, and returns "
        "`keras.KerasTensor((inputs.shape[0], *self.event_shape), dtype=self.compute_dtype)`.",
        '`get_config` returns `{**super().get_config(), "event_shape": self.event_shape}`.',
    ],
    seconds=60,
)


# ---- a broken VAE: five errors, so 2⁵ losses, and a few that other attempts give

REPAIRS = {  # part → what was done, in the order of its code: 0 broken, 1 mended, 2 something else
    "clipping": ("sample only", "everywhere", "nowhere"),
    "brackets": ("multiplied", "divided"),
    "constants": ("q only", "both", "prior only"),
    "latents": ("mean", "sum"),
    "batch": ("pixels and images summed", "mean", "all summed"),
}
OTHER, NOT_A_NUMBER, CLOSED_FORM = -1.0, -2.0, -3.0


def _vae_loss(x, noise, encoder_hidden, encoder_mean, encoder_log_variance, decoder_hidden, decoder_mean,
              pixel_log_variance, clipping, brackets, constants, latents, batch, closed=False):  # fmt: skip
    h = np.tanh(x @ encoder_hidden)
    mean, raw = h @ encoder_mean, h @ encoder_log_variance
    clipped = np.clip(raw, -6, 2)
    drawn = raw if clipping == "nowhere" else clipped
    known = clipped if clipping == "everywhere" else raw
    z = mean + np.exp(drawn / 2) * noise
    y = np.tanh(z @ decoder_hidden) @ decoder_mean
    precision = np.exp(pixel_log_variance if brackets == "multiplied" else -pixel_log_variance)
    reconstruction = -0.5 * _total(LOG_2PI, pixel_log_variance, (x - y) ** 2 * precision)  # [N]
    log_p = -0.5 * (LOG_2PI * (constants != "q only") + z**2)
    log_q = -0.5 * (LOG_2PI * (constants != "prior only") + known + (z - mean) ** 2 * np.exp(-known))
    kl = _total(log_q - log_p) if not closed else _kl(mean, known)
    kl = kl / (noise.shape[-1] if latents == "mean" else 1)
    over = {"mean": (np.mean, np.mean), "all summed": (np.sum, np.sum)}.get(batch, (np.mean, np.sum))
    return over[0](kl) - over[1](reconstruction)


def _repaired(inputs, observations):
    """Which errors are left, found by trying: the losses of all combinations are known, and all different."""
    observed = [observation.get(VALUE) for observation in observations]
    if any(np.shape(value) or value is None for value in observed):
        return dict.fromkeys(REPAIRS, NOT_A_NUMBER)

    def is_it(**steps):
        return all(
            abs(value - (loss := _vae_loss(**given, **steps))) <= 1e-5 + 1e-4 * abs(loss)
            for given, value in zip(inputs, observed, strict=True)
        )

    right = {part: done[1] for part, done in REPAIRS.items()}
    if is_it(**right):
        return dict.fromkeys(REPAIRS, 1.0)
    for codes in product(*(range(len(done)) for done in REPAIRS.values())):
        if is_it(**{part: REPAIRS[part][code] for part, code in zip(REPAIRS, codes, strict=True)}):
            return dict(zip(REPAIRS, map(float, codes), strict=True))
    return dict.fromkeys(REPAIRS, CLOSED_FORM if is_it(**right, closed=True) else OTHER)


def _some_networks(rng):
    def case(N, D, H, L):
        shapes = {"encoder_hidden": (D, H), "encoder_mean": (H, L), "encoder_log_variance": (H, L)}
        shapes |= {"decoder_hidden": (L, H), "decoder_mean": (H, D), "pixel_log_variance": (D,)}
        inputs = {"x": rng.random((N, D)), "noise": rng.normal(size=(N, L))}
        inputs |= {name: rng.normal(size=shape) for name, shape in shapes.items()}
        inputs["encoder_log_variance"] *= 2  # beyond the range that it is clipped to, within that of float32
        return Case(inputs)

    return [case(4, 6, 5, 3), case(3, 5, 8, 4), case(6, 4, 6, 2)]


def _repair(name, part, code, says):
    return Diagnosis(name, says, lambda **inputs: {part: float(code)})


BROKEN = Question(
    name="mended_loss",
    title="Five errors in a VAE",
    kind="model",
    points=5,
    minutes=20,
    difficulty=2,
    parts=dict.fromkeys(REPAIRS, 1),
    founded=False,
    public=_some_networks(np.random.default_rng(25))[:1],
    draw=_some_networks,
    expected=lambda **inputs: dict.fromkeys(REPAIRS, 1.0),
    derive=_repaired,
    diagnoses=[
        Diagnosis(
            "not_a_number",
            "the loss should be one number, the mean over the batch; an array came back.",
            lambda **inputs: dict.fromkeys(REPAIRS, NOT_A_NUMBER),
        ),
        Diagnosis(
            "closed_form",
            "you put the closed form of the KL divergence in place of the estimate. That is a sound loss, but another "
            "one: keep $\\log q(z|x) - \\log p(z)$ at the draw, and mend what is wrong in it.",
            lambda **inputs: dict.fromkeys(REPAIRS, CLOSED_FORM),
        ),
        Diagnosis(
            "something_else",
            "this loss is none that the errors, mended or not, can give: something that was right has changed. Start "
            "again from the broken lines, and mend one error at a time.",
            lambda **inputs: dict.fromkeys(REPAIRS, OTHER),
        ),
        _repair(
            "clipping",
            "clipping",
            0,
            "still broken: $\\log\\sigma^2$ is clipped where $z$ is drawn, and not in $\\log q(z|x)$. The codes come "
            "from one distribution and are charged for another. Clip once, before either.",
        ),
        _repair(
            "unclipped",
            "clipping",
            2,
            "the clipping is gone. It is meant to be there, and to hold for the draw and for $\\log q(z|x)$ alike.",
        ),
        _repair(
            "brackets",
            "brackets",
            0,
            "still broken: `a / 2 * b` is `(a / 2) * b`, so the squared error is multiplied by the pixel's variance. A "
            "pixel that the decoder is unsure of should weigh less, not more.",
        ),
        _repair(
            "constants",
            "constants",
            0,
            "still broken: $\\log 2\\pi$ stands in $\\log q(z|x)$ and not in $\\log p(z)$. Give it to both, or to "
            "neither.",
        ),
        _repair(
            "constants_exchanged",
            "constants",
            2,
            "now $\\log 2\\pi$ stands in $\\log p(z)$ and not in $\\log q(z|x)$. Give it to both, or to neither.",
        ),
        _repair(
            "latents",
            "latents",
            0,
            "still broken: the KL term is averaged over the latents, a silent $\\beta = 1/L$. Sum over them.",
        ),
        _repair(
            "batch",
            "batch",
            0,
            "still broken: the reconstruction is summed over the images, and the KL averaged over them. A larger "
            "batch would make codes cheaper. Sum over pixels and latents, then take the mean over the images of both.",
        ),
        _repair(
            "all_summed",
            "batch",
            2,
            "both terms are summed over the images now. The two are in balance, but the loss grows with the batch, and "
            "the learning rate means something else for every batch size. Take the mean over the images.",
        ),
    ],
    hints=[
        "Read the lines in order, and ask of each: which formula of lesson 02 is it? Over which axis does it sum?",
        "Which distribution is $z$ drawn from, and which one's density is `log_q`? Do they have the same variance, and "
        "the same constants as `log_p`?",
        "There is one error in each of: the `ops.clip`, the squared error, the two lines with `LOG_2PI` of which one "
        "lacks it, and the two reductions `ops.sum(…)` and `ops.mean(…)`.",
    ],
    because="float32 carries seven digits. The losses of different sets of errors differ by far more than that.",
)


# ---- a model that reaches a bound

PARTS = ["hidden_weights", "hidden_bias", "output_weights", "output_bias"]
PIXELS, MOST_UNITS, MOST_LATENTS = 64, 200, 20
TRAINING, DRAWS = 1297, 20
REACH, NO_CODES, COINS = -23.6, -26.0, -27.1  # nats


def _bound(images, mean, log_variance, decoder, rng):
    r"""Estimates of the bound, of its reconstruction and of the KL divergence, in nats an image; nan if there are none.

    Estimator A, with w = p(x, z)/q(z|x): since $\mathbb E_q[w] = p(x)$, whatever q is, the mean over N images of log w
    exceeds that of log p(x) by t nats with a probability of at most $e^{-Nt}$. No encoder can make it.
    """
    w1, b1, w2, b2 = (np.asarray(decoder.get(name, np.nan)) for name in PARTS)
    fits_together = (
        w1.ndim == 2
        and 1 <= w1.shape[0] <= MOST_LATENTS
        and 1 <= w1.shape[1] <= MOST_UNITS
        and b1.shape == w1.shape[1:]
        and w2.shape == (w1.shape[1], PIXELS)
        and b2.shape == (PIXELS,)
        and mean.shape == log_variance.shape == (len(images), w1.shape[0])
    )
    if not fits_together:
        return np.full(3, np.nan)
    noise = rng.normal(size=(DRAWS, *mean.shape))
    z = mean + np.exp(log_variance / 2) * noise  # [S, N, L]
    a = np.tanh(z @ w1 + b1) @ w2 + b2  # [S, N, D]
    reconstruction = _total(images * a, -np.logaddexp(0, a))
    kl = 0.5 * _total(z**2, -(noise**2), -log_variance)  # log q(z|x) − log p(z)
    return np.array([np.mean(reconstruction - kl), np.mean(reconstruction), np.mean(kl)])


def _reached(inputs, observations):
    """The bound on images that came after the decoder was fixed, with noise that the answer has never seen."""
    decoder, said = observations
    images, rng = inputs[1]["images"], np.random.default_rng()
    mean, log_variance = (np.asarray(said.get(name, np.nan)) for name in ("mean", "log_variance"))

    def bound(log_variance):
        return _bound(images, mean, log_variance, decoder, rng)

    with np.errstate(all="ignore"):
        reached, reconstruction, kl = bound(log_variance)
        misread = {"log σ": 2 * log_variance, "σ²": np.log(log_variance), "σ": 2 * np.log(log_variance)}
        found = {f"read as {name}": bound(value)[0] for name, value in misread.items()}
    return {"codes": reached, "bound": reached, "reconstruction": reconstruction, "kl": kl, **found}


def _advise(found):
    """Why the bound was missed, from what else was measured."""
    bound, kl = found["bound"], found["kl"]
    read = {name: found[f"read as {name}"] for name in ("log σ", "σ²", "σ")}
    best = max(read, key=lambda name: np.nan_to_num(read[name], nan=-np.inf))
    if read[best] > max(np.nan_to_num(bound, nan=-np.inf) + 0.3, COINS):
        return "not_log_variance", (
            f"Your encoder seems to return {best} as its second value: read so, the bound is {read[best]:.2f} nats. "
            "Asked for is $\\log\\sigma^2$."
        )
    if not np.isfinite(bound):
        return "shapes", (
            "There is no bound: the shapes do not fit together, or numbers are not finite. `hidden_weights` is "
            f"[latents, units], `output_weights` [units, {PIXELS}], at most {MOST_LATENTS} latents and "
            f"{MOST_UNITS} units; `encode` returns two arrays [N, latents]."
        )
    if kl > 9 and found["reconstruction"] > NO_CODES:
        return "cheap_codes", (
            f"The KL is {kl:.1f} nats, and buys a reconstruction of {found['reconstruction']:.1f}: codes cost more "
            "than they save. In your loss they are too cheap. Is the KL averaged over the latents, or weighted with a "
            "small β?"
        )
    if bound < -30:
        return "worse_than_coins", (
            f"Pixels without any code, each white as often as in training images, reach {COINS}. The KL is {kl:.1f} "
            f"and the reconstruction {found['reconstruction']:.1f} nats: is the decoder the one that was trained with "
            "this encoder, with its arrays in the right order, and tanh in between?"
        )
    if kl < 0.5:
        return "no_codes", (
            f"The KL is {kl:.2f} nats: the codes say nothing about the image. Was the model trained, and is the "
            "reconstruction summed over the pixels, not averaged?"
        )
    if kl > 6.8:
        return "overfitted", (
            f"The KL is {kl:.1f} nats, where a good model of these images pays between 5 and 6: your codes "
            "describe what is peculiar to single images. Learned by heart? Draw the black and white pixels anew in "
            "every epoch, and train on all images. Or are codes too cheap in your loss?"
        )
    return "bound", (
        "Nothing looks wrong, it is not trained well enough: more epochs, more latents (about ten), a larger learning "
        "rate at first and a small one in the end; and draw the pixels anew in every epoch."
    )


def _digits(rng):
    """The training images, grey; then others, of 0 and 1.

    All pixels change places, the same way in all images, and another one each time: weights that were trained
    elsewhere are of no use as they are. (Who knows the data can find out how the places changed. That is more work than
    the question.)
    """
    data = load("digits")
    images = np.concatenate([np.reshape(split, (-1, PIXELS)) for split in (data.train, data.validation, data.test)])
    images = images[rng.permutation(len(images))][:, rng.permutation(PIXELS)]
    return [
        Case({"images": images[:TRAINING], "seed": int(rng.integers(1000))}),
        Case({"images": 1.0 * (rng.random((len(images) - TRAINING, PIXELS)) < images[TRAINING:])}),
    ]


TRAINED = Question(
    name="train_vae",
    title="Train one that reaches a bound",
    kind="model",
    points=4,
    minutes=25,
    difficulty=2,
    parts={"codes": 1, "bound": 3},
    public=[],
    draw=_digits,
    expected=lambda **inputs: {"codes": AtLeast(NO_CODES), "bound": AtLeast(REACH)},
    observe=Observe("trained_vae", {"parts": PARTS, "most": 2 * MOST_UNITS * (PIXELS + MOST_LATENTS)}),
    derive=_reached,
    advise=_advise,
    hints=[
        "`vk.VAE` with `vk.layers.MLP` and an objective will do; so will your own class from lesson 02. First make it "
        "return anything of the right shapes, then train for longer.",
        "`DynamicBinarization(images, seed)` draws the pixels anew in every epoch. A tanh layer of 200 units each way, "
        "twelve latents, batches of 100, 200 epochs.",
        "Adam with a learning rate of 0.008 that decays to 0 (`keras.optimizers.schedules.CosineDecay`) reaches in 200 "
        "epochs what a constant 0.001 needs a thousand for.",
        "A `keras.Sequential` decoder's `get_weights()` are `[hidden weights, hidden bias, output weights, output "
        "bias]`.",
    ],
    because="a dozen runs of the solution, on either backend, ended between −23.5 and −22.9, as the images drawn were "
    "harder or easier. Trained on a hundred images, or on pixels drawn once and for long, it ends at −24.5 or below.",
    seconds=180,
)


QUESTIONS = [KL, BERNOULLI, GAUSSIAN, ESTIMATORS, LINEAR, LAYER, BROKEN, TRAINED]
