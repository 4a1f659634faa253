r"""Exercise 02: the variational autoencoder."""

import functools
import math

import numpy as np

from vaekit.course.questions import DistributionLayer, Function, Mend, TrainedVAE
from vaekit.datasets import load

TITLE = "The variational autoencoder"


def _posteriors(rng):
    for shape, size in ((5, 3), 1), ((2, 12), 2), ((5, 3), 0.1):
        mean, log_variance = size * rng.normal(size=(2, *shape))
        yield dict(mean=mean, log_variance=log_variance)


_NO_VARIANCE = (
    r"`log_variance` was used as if it were $\sigma^2$ or $\sigma$ itself. It is $\lambda = \log\sigma^2$, any number, "
    r"and a negative one has no logarithm and no root. $\sigma^2 = e^\lambda$."
)

KL = Function(
    "kl_divergence", "The KL divergence, in closed form", points=2, minutes=5,
    section="The bound, derived twice", aims=(1,),
    takes="mean[N,L], log_variance[N,L]", gradients="mean log_variance", axes={"N": "images", "L": "latents"},
    draw=_posteriors,
    answer="return 0.5 * ops.sum(mean**2 + ops.exp(log_variance) - 1 - log_variance, axis=-1)",
    hints=r"""
        The latents are independent under both distributions. What happens to the logarithm of a product?

        $\mathbb E_q[\log q(z) - \log p(z)]$, for one latent: both constants $\frac12\log 2\pi$ cancel,
        $\mathbb E_q[(z-\mu)^2] = \sigma^2$, and $\mathbb E_q[z^2] = \mu^2 + \sigma^2$.

        $\frac12 \sum_j (\mu_j^2 + e^{\lambda_j} - 1 - \lambda_j)$, summed over the last axis.
    """,
    mistakes=[
        ("sign", None, r"the sign is reversed. What you have is the term as it stands in the bound, $-\mathrm{KL}$; a "
         "divergence is never negative."),
        ("mean_over_latents", None, "your KL is divided by the number of latents: you averaged over them. Sum instead: "
         "a divergence between products of distributions is the sum of the divergences. With the average, codes cost "
         "less than they should, and the loss is no bound."),
        ("wrong_axis", {"axis=-1": "axis=0"}, "you summed over axis 0, the images. The latents are the last axis."),
        ("log_deviation", {"exp(log_variance)": "exp(2 * log_variance)", "1 - log": "1 - 2 * log"}, "you took "
         r"`log_variance` for $\log\sigma$. It is $\lambda = \log\sigma^2$: the variance is $e^{\lambda}$, not "
         r"$e^{2\lambda}$."),
        ("deviation_for_variance", {"exp(log_variance)": "exp(log_variance / 2)"}, r"$e^{\lambda/2}$ is the standard "
         r"deviation. The formula has the variance, $\sigma^2 = e^{\lambda}$."),
        ("deviation_for_variance", {"exp(log_variance)": "exp(log_variance / 2)", "1 - log": "1 - 0.5 * log"},
         r"$e^{\lambda/2}$ is the standard deviation, and $\lambda/2$ its logarithm. The formula has the variance."),
        ("no_exponential", {"ops.exp(log_variance)": "log_variance", "- log_variance": "- ops.log(log_variance)"},
         _NO_VARIANCE),
        ("no_exponential", {"ops.exp(log_variance)": "log_variance**2",
                            "- log_variance": "- 2 * ops.log(log_variance)"}, _NO_VARIANCE),
        ("no_minus_one", {" - 1": ""}, r"the $-1$ is missing, ½ for each latent. *Test:* for $\mu = 0$ and "
         r"$\sigma = 1$ the divergence is 0."),
        ("log_sign", {"1 - log": "1 + log"}, r"$\log\sigma^2$ has the wrong sign: it is subtracted. *Test:* the "
         r"divergence grows without end where $\sigma \to 0$."),
        ("reversed", {"mean**2 + ops.exp(log_variance) - 1 - ": "(1 + mean**2) * ops.exp(-log_variance) - 1 + "},
         r"this is the other direction, $\mathrm{KL}(p(z)\,\|\,q)$. The expectation is under $q$, from which the codes "
         "are drawn."),
    ],
)  # fmt: skip


def _pixels(rng):
    for shape, size in ((5, 6), 1), ((2, 10), 2), ((3, 4), 0.1):
        yield dict(x=1.0 * (rng.random(shape) < 0.4), logits=size * rng.normal(size=shape))


def _sure_pixels(rng):
    logits = rng.choice([40.0, 200.0, 1e4], size=(4, 6)) * rng.choice([-1, 1], size=(4, 6))
    x = 1.0 * (rng.random(logits.shape) < 0.5)
    logits[0, :4], x[0, :4] = [200, 200, -200, -200], [0, 1, 0, 1]  # both colours at both ends
    logits[1:3], x[1:3] = [[-200], [200]], 1  # images in which only log y, or only e^a, leaves float32
    yield dict(x=x, logits=logits)


_LOGS = "\nreturn ops.sum(x * ops.log(y) + (1 - x) * ops.log(1 - y), axis=-1)"
_CLIPPED = (
    "the probability or the logit was clipped, a small number was added, or what is not finite was replaced. Nothing "
    "overflows, but a pixel that the decoder gets wrong with a logit of 10,000 costs 10,000 nats, and less here: the "
    r"bound is too good, and the gradient is dead. Use the softplus form, $x\,a - \mathrm{softplus}(a)$."
)

BERNOULLI = Function(
    "bernoulli_log_prob", "Bernoulli pixels, however sure the decoder is", points=3, minutes=8,
    section="By hand", aims=(2,),
    takes="x[N,D], logits[N,D]", gradients="logits", axes={"N": "images", "D": "pixels"},
    draw={None: _pixels, "stable": _sure_pixels}, parts={"value": 1, "gradient of logits": 0.5, "stable": 1.5},
    because="float32 carries seven digits; of logits of 10,000 and of 40 in one sum, the smaller ones keep three.",
    answer="return ops.sum(x * logits - ops.softplus(logits), axis=-1)",
    hints=r"""
        Write $\log y$ and $\log(1 - y)$ with $y = 1/(1 + e^{-a})$, before you compute anything.

        $\log y = a - \log(1 + e^a)$ and $\log(1 - y) = -\log(1 + e^a)$. Now put them together.

        $\sum_d \big(x_d a_d - \log(1 + e^{a_d})\big)$; `ops.softplus(a)` is $\log(1 + e^a)$ without overflow.
    """,
    mistakes=[
        ("sign", None, "the sign is reversed: this is a loss, the cross-entropy. Asked for is the log-likelihood, "
         "which is never positive for pixels of 0 and 1."),
        ("wrong_axis", {"axis=-1": "axis=0"}, "you summed over axis 0, the images. The pixels are the last axis."),
        ("mean_over_pixels", None, "it is divided by the number of pixels: you averaged over them, as `keras.losses` "
         "does. The probability of an image is the product over its pixels, so its logarithm is the sum."),
        ("log_of_sigmoid", "y = ops.sigmoid(logits)" + _LOGS, "the logarithm of a sigmoid loses everything at logits "
         r"beyond 17 or so: float32 rounds the probability to 1, $\log(1 - y)$ is then $-\infty$, and $0 \cdot \infty$ "
         r"is nan. Use the softplus form, $x\,a - \mathrm{softplus}(a)$.", ("gradient of logits",)),
        ("log_of_sigmoid", "y = ops.sigmoid(logits)\nreturn ops.sum(ops.log(ops.where(x > 0.5, y, 1 - y)), axis=-1)",
         "the logarithm of a sigmoid loses everything at logits beyond 17 or so: float32 rounds the probability to 1, "
         r"and $\log(1 - y)$ is then $-\infty$. Use the softplus form, $x\,a - \mathrm{softplus}(a)$.",
         ("gradient of logits",)),
        ("exp_overflows", {"ops.softplus(logits)": "ops.log(1 + ops.exp(logits))"}, "$e^a$ overflows beyond $a = 88$, "
         r"before the logarithm is taken. `ops.softplus(a)` is $\log(1 + e^a)$, and takes the large part out first: "
         r"$\max(a, 0) + \log(1 + e^{-|a|})$."),
        *(("clipped", f"y = ops.clip(ops.sigmoid(logits), {small}, 1 - {small}){_LOGS}", _CLIPPED)
          for small in (1e-5, 1e-6, 1e-7)),
        *(("clipped", f"y, w = ops.sigmoid(logits) + {small}, 1 - ops.sigmoid(logits) + {small}\n"
           "return ops.sum(x * ops.log(y) + (1 - x) * ops.log(w), axis=-1)", _CLIPPED)
          for small in (1e-5, 1e-6, 1e-7, 1e-8, 1e-10, 1e-12)),
        *(("clipped", {"return": f"logits = ops.clip(logits, -{most}, {most})\nreturn"}, _CLIPPED)
          for most in (10, 15, 20, 25, 30, 50, 60, 80, 87, 88, 100, 1000)),
        ("white_only", {"x * logits - ops.softplus(logits)": "x * ops.log_sigmoid(logits)"}, "only white pixels count, "
         "the term for $x = 0$ is missing. A black pixel has the probability $1 - y$."),
        ("swapped", {"x * logits": "(1 - x) * logits"}, r"black and white are exchanged: $y = \mathrm{sigmoid}(a)$ is "
         "the probability of $x = 1$."),
        ("sigmoid_twice", {"return": "logits = ops.sigmoid(logits)\nreturn"}, "the sigmoid was applied twice: a "
         "function that expects logits was given probabilities."),
        *(("logits_for_probabilities", y + _LOGS, "the logits were used as if they were probabilities, whose logarithm "
           "is taken. Functions that expect probabilities can mostly be told: `from_logits=True`, or `logits=...`.",
           ("gradient of logits",)) for y in ("y = logits", "y = ops.clip(logits, 1e-7, 1 - 1e-7)")),
    ],
)  # fmt: skip


def _grey_pixels(rng):
    for shape, size in ((5, 6), 1), ((2, 9), 2), ((3, 4), 0.3):
        x, mean = size * rng.normal(size=(2, *shape))
        yield dict(x=x, mean=mean, log_variance=rng.uniform(-2, 3, size=shape))


def _dead_pixels(rng):  # the same in every image: σ → 0, and the mean is right
    log_variance = rng.uniform(-150, -110, size=(3, 5))
    x = rng.choice([0, 1], size=(3, 5)) * rng.normal(size=(3, 5)) * np.exp(log_variance / 2)
    yield dict(x=x, mean=np.zeros((3, 5)), log_variance=log_variance)


_BOUNDED = (
    "a small number was added to the variance, or the variance was clipped. Nothing overflows, but the density is not "
    "the one asked for: a decoder that knows a pixel exactly is paid too little. Standardize the distance instead: "
    r"$\big((x - \mu)\,e^{-\lambda/2}\big)^2$."
)

GAUSSIAN = Function(
    "gaussian_log_prob", "Grey pixels: a normal distribution for each", points=3, minutes=8, importance=2,
    section="Grey pixels as Bernoulli", aims=(2, 4),
    takes="x[N,D], mean[N,D], log_variance[N,D]", gradients="mean log_variance",
    axes={"N": "images", "D": "pixels"}, values_only=("stable",), atol=2e-5,
    draw={None: _grey_pixels, "stable": _dead_pixels},
    parts={"value": 1, "gradient of mean": 0.25, "gradient of log_variance": 0.25, "stable": 1.5},
    answer="""
        standardized = (x - mean) * ops.exp(-log_variance / 2)  # (x − μ)/σ
        return -0.5 * ops.sum(LOG_2PI + log_variance + standardized**2, axis=-1)
    """,
    hints=r"""
        A product of densities has a sum of log-densities. Start from one pixel.

        $-\frac12\log(2\pi\sigma^2) - \frac{(x - \mu)^2}{2\sigma^2}$, and $\log\sigma^2$ is given.

        For the part *stable*: which of $(x-\mu)^2$, $e^{\lambda}$ and $(x-\mu)\,e^{-\lambda/2}$ can float32 hold at
        $\lambda = -120$? (Its numbers end near $10^{-38}$ and $10^{38}$.)

        $-\frac12 \sum_d \Big(\log 2\pi + \lambda_d + \big((x_d - \mu_d)\,e^{-\lambda_d/2}\big)^2\Big)$.
    """,
    mistakes=[
        ("wrong_axis", {"axis=-1": "axis=0"}, "you summed over axis 0, the images. The pixels are the last axis."),
        ("no_constant", {"LOG_2PI + ": ""}, r"the constant $-\frac12\log 2\pi$ of each pixel is missing. Training does "
         "not notice, but the number is no log-density, and cannot be compared with anybody's."),
        ("squared_error", {" + log_variance +": " +"}, r"the term $-\frac12\log\sigma^2$ is missing. Without it a "
         r"large $\sigma$ costs nothing, and the decoder will choose $\sigma = \infty$."),
        ("log_variance_whole", {"+ log_variance": "+ 2 * log_variance"}, r"$\log\sigma$ is half of `log_variance`, and "
         r"$-\log\sigma = -\frac12\lambda$: you have subtracted the whole."),
        ("log_deviation", {"-log_variance / 2": "-log_variance", "+ log_variance": "+ 2 * log_variance"}, "you took "
         r"`log_variance` for $\log\sigma$. It is $\lambda = \log\sigma^2$, and $\sigma = e^{\lambda/2}$."),
        ("deviation_for_variance", {"-log_variance / 2": "-log_variance / 4"}, "the squared distance is divided by "
         r"$\sigma$; it belongs divided by $\sigma^2 = e^{\lambda}$."),
        ("no_exponential", {"* ops.exp(-log_variance / 2)": "/ ops.sqrt(log_variance)",
                            "+ log_variance": "+ ops.log(log_variance)"}, _NO_VARIANCE),
        ("no_exponential", {"* ops.exp(-log_variance / 2)": "/ log_variance",
                            "+ log_variance": "+ 2 * ops.log(log_variance)"}, _NO_VARIANCE),
        ("precedence", {"-log_variance / 2": "log_variance / 2"}, "the squared distance is *multiplied* by the "
         "variance: `a / 2 * b` is `(a / 2) * b`. A published VAE was trained with just that. Write brackets. And "
         r"for the part *stable* divide before you square, $\big((x-\mu)\,e^{-\lambda/2}\big)^2$."),
        ("not_standardized", {"standardized**2": "(x - mean) ** 2 / ops.exp(log_variance)"}, "at a tiny $\\sigma$ the "
         r"variance $e^{\lambda}$ is 0 to float32, and the square of a tiny distance too: $0/0$. Divide first, then "
         r"square: $\big((x - \mu)\,e^{-\lambda/2}\big)^2$. And $\log\sigma^2$ is there already, as $\lambda$."),
        *(("variance_bounded", {"return": f"v = ops.exp(log_variance) + {small}\nreturn",
                                "+ log_variance": "+ ops.log(v)", "standardized**2": "(x - mean) ** 2 / v"}, _BOUNDED)
          for small in (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-10, 1e-12)),
        *(("distance_lost", {"standardized**2": f"(x - mean) ** 2 / (ops.exp(log_variance) + {small})"},
           "the squared distance has become 0 where the variance is tiny, by a constant that was added under it or by "
           "replacing what is not finite: such pixels are paid too much. Standardize the distance, then square it.")
          for small in (1e-6, 1e-8, 1e-10, 1e-12)),
        *(("variance_bounded", {"standardized =": f"log_variance = ops.maximum(log_variance, {least})\nstandardized ="},
           _BOUNDED) for least in (-10, -14, -20, -30, -40, -50, -60, -80, -87, -88, -100)),
    ],
)  # fmt: skip


def _linear_decoders(rng):
    for S, N, L, D, size in (4, 3, 2, 6, 1), (6, 2, 5, 8, 0.5):
        mean, log_variance = size * rng.normal(size=(2, N, L))
        x, noise = 1.0 * (rng.random((N, D)) < 0.5), rng.normal(size=(S, N, L))
        weights, bias = rng.normal(size=(L, D)), rng.normal(size=D)
        yield dict(x=x, mean=mean, log_variance=log_variance - 0.5, noise=noise, weights=weights, bias=bias)


_CONSTANTS = (
    r"the constants $\frac12\log 2\pi$, one for each latent, cancel between $\log p(z)$ and $\log q(z|x)$ only if both "
    "have them. You dropped them on one side: all your bounds are off by the same number."
)

ESTIMATORS = Function(
    "elbo_estimators", "Two estimators of the bound", points=4, minutes=15, difficulty=2,
    section="Two estimators", aims=(1, 2),
    takes="x[N,D], mean[N,L], log_variance[N,L], noise[S,N,L], weights[L,D], bias[D]", returns="A, B",
    gradients="mean log_variance weights bias", axes={"S": "draws", "L": "latents", "D": "pixels"},
    draw=_linear_decoders, parts={"A": 1.5, "B": 1.5, "gradients": 1}, requires_first=False,
    answer="""
        z = mean + ops.exp(log_variance / 2) * noise  # [S, N, L]
        logits = ops.matmul(z, weights) + bias  # [S, N, D]
        log_p_x = ops.sum(x * logits - ops.softplus(logits), axis=-1)  # log p(x|z), [S, N]
        log_p_z = -0.5 * ops.sum(LOG_2PI + z**2, axis=-1)
        log_q_z = -0.5 * ops.sum(LOG_2PI + log_variance + ((z - mean) / ops.exp(log_variance / 2)) ** 2, axis=-1)
        kl = 0.5 * ops.sum(mean**2 + ops.exp(log_variance) - 1 - log_variance, axis=-1)  # [N]
        a = ops.mean(log_p_x + log_p_z - log_q_z, axis=0)
        b = ops.mean(log_p_x, axis=0) - kl
        return a, b
    """,
    hints=r"""
        First the codes: `noise` has an axis more than `mean`. What shape does $z$ have, and the logits?

        You have written all parts already: a Bernoulli log-likelihood, a normal log-density (with which mean and
        variance for $p(z)$?), a KL divergence. They have to sum over the *last* axis, `axis=-1`, and leave the others.
        Shapes that do not fit here? Look whether your answers to questions 1 to 3 say `axis=1`: that is right for
        $[N, D]$ and the wrong axis of $[S, N, D]$.

        A: the mean over axis 0 of $\log p(x|z) + \log p(z) - \log q(z|x)$, all three at the same $z$. B: the mean over
        axis 0 of $\log p(x|z)$, minus the KL.
    """,
    mistakes=[
        ("exchanged", {"return a, b": "return b, a"}, "A and B are exchanged. A takes everything from the draw, B "
         "knows the KL divergence."),
        ("kl_mean", {"kl = 0.5 * ops.sum": "kl = 0.5 * ops.mean"}, "the KL divergence is averaged over the latents. "
         "Sum it: the bound is a sum over latents and pixels."),
        ("log_q_added", {"- log_q_z": "+ log_q_z"}, r"$\log q(z|x)$ is added. It stands in the denominator of "
         "$p(x, z)/q(z|x)$: subtract it."),
        ("no_prior", {"log_p_x + log_p_z": "log_p_x"}, r"$\log p(z)$ is missing in A. Without it nothing keeps the "
         "codes near the prior."),
        ("constant_on_one_side", {"LOG_2PI + z**2": "z**2"}, _CONSTANTS),
        ("constant_on_one_side", {"LOG_2PI + log_variance": "log_variance"}, _CONSTANTS),
        ("density_of_the_noise", {"LOG_2PI + log_variance + ": "LOG_2PI + "}, r"for $\log q(z|x)$ you took the density "
         r"of the noise. The step from $\varepsilon$ to $z = \mu + \sigma\varepsilon$ stretches space: "
         r"$\log q(z|x) = \log\mathcal N(\varepsilon; 0, I) - \sum_j\log\sigma_j$."),
        ("log_q_at_the_mean", {"((z - mean) /": "(0 * (z - mean) /"}, r"$\log q$ is taken at the mean $\mu$. Take it "
         "at the draw $z$, like everything else in A."),
        ("log_mean_exp", {"ops.mean(log_p_x + log_p_z - log_q_z, axis=0)": "ops.logsumexp(log_p_x + log_p_z - log_q_z, "
         "axis=0) - np.log(len(noise))", "ops.mean(log_p_x, axis=0)": "ops.logsumexp(log_p_x, axis=0) - "
         "np.log(len(noise))"}, "you took the logarithm first of a mean. In A that is a tighter bound (lesson 04), "
         "but another one; in B, where the KL is subtracted already, it is none. The ELBO is the mean of the "
         "logarithms."),
        ("pixels_averaged", {"log_p_x = ops.sum": "log_p_x = ops.mean"}, r"$\log p(x|z)$ is averaged over the pixels. "
         "Sum it; else each nat of code costs $D$ nats of pixels, and no code is worth that."),
        ("variance_for_deviation", {"exp(log_variance / 2) * noise": "exp(log_variance) * noise"}, "the noise is "
         r"multiplied by the variance. $z = \mu + \sigma\varepsilon$ with $\sigma = e^{\lambda/2}$."),
        ("no_noise", {"/ 2) * noise": "/ 2) * 0 * noise"}, r"the decoder was given the mean $\mu$, not the draw $z$. "
         "An autoencoder does that; a variational one has to make sense of every code that $q(z|x)$ can draw."),
        ("cut_draws", {"z = mean + ops.exp(log_variance / 2) * noise": "z = ops.stop_gradient(mean + "
         "ops.exp(log_variance / 2) * noise)"}, "the values are right, but the draw $z$ is held fixed, by "
         "`ops.stop_gradient` or by NumPy: the encoder would learn nothing from the reconstruction. Leave the way "
         r"from $\mu$ and $\lambda$ to $z$ open: that is the trick of lesson 01."),
    ],
)  # fmt: skip


def _linear_models(rng):
    for N, L, D, noise_scale in (3, 2, 5, 0.7), (2, 3, 6, 1.5), (4, 1, 3, 0.5):
        weights = rng.normal(size=(L, D))
        x = rng.normal(size=(N, L)) @ weights + noise_scale * rng.normal(size=(N, D))
        yield dict(x=x, weights=weights, bias=rng.normal(size=D), noise_scale=noise_scale,
                   mean=rng.normal(size=(N, L)), log_variance=rng.normal(size=(N, L)) - 1)  # fmt: skip


def _by_the_posterior(*changes, gap=None):
    """The gap as a divergence from the posterior, N(m, P⁻¹), which is not what it should be."""
    lines = """
prior = ops.eye(weights.shape[0])
P = prior + ops.matmul(weights, ops.transpose(weights)) / noise_scale**2
off = mean - ops.transpose(ops.solve(P, ops.matmul(weights, ops.transpose(x - bias)))) / noise_scale**2
S, Q = ops.exp(log_variance), ops.diagonal(ops.inv(P))
gap = ops.matmul(S, ops.diagonal(P)) + ops.sum(ops.matmul(off, P) * off, axis=1) - ops.slogdet(P)[1]
gap = 0.5 * (gap - ops.sum(1 + log_variance, axis=1))"""
    lines = f"{lines}\ngap = 0.5 * ({gap})" if gap else lines
    for old, new in changes:
        lines = lines.replace(old, new)
    return {"\nreturn bound, log_p_x - bound": f"{lines}\nreturn bound, gap"}


_DIAGONAL = (
    "you treated the posterior's latents as independent: only a diagonal was used. Its covariance "
    r"$(I + WW^\top/s^2)^{-1}$ is full, and that is one of the two reasons for a gap; the other is a $q$ that is not "
    "the best of its kind."
)
_SCALE = "`noise_scale` is the standard deviation $s$; the density has $s^2$."

LINEAR = Function(
    "bound_and_gap", "A model whose gap is known exactly", points=5, minutes=50, difficulty=3, importance=2,
    section="Two latents: a posterior one can see", aims=(3,),
    takes="x[N,D], weights[L,D], bias[D], noise_scale, mean[N,L], log_variance[N,L]", returns="bound, gap",
    axes={"L": "latents", "D": "pixels"}, draw=_linear_models, requires_first=False, rtol=1e-3, atol=1e-3,
    because="the gap is a difference of two numbers of some ten nats, one of them from a matrix inverted in float32.",
    answer="""
        pixels = x.shape[1]
        residual = x - bias - ops.matmul(mean, weights)  # [N, D]
        spread = ops.matmul(ops.exp(log_variance), ops.sum(weights**2, axis=1))  # Σ_j σ_j² ‖W_j‖², [N]
        squared_error = ops.sum(residual**2, axis=1) + spread
        constant = pixels * (LOG_2PI + 2 * np.log(noise_scale))
        kl = 0.5 * ops.sum(mean**2 + ops.exp(log_variance) - 1 - log_variance, axis=1)
        bound = -0.5 * (constant + squared_error / noise_scale**2) - kl

        covariance = ops.matmul(ops.transpose(weights), weights) + noise_scale**2 * ops.eye(pixels)  # of x, [D, D]
        centred = ops.transpose(x - bias)  # [D, N]
        square = ops.sum(centred * ops.solve(covariance, centred), axis=0)  # (x − b) C⁻¹ (x − b)ᵀ, [N]
        log_p_x = -0.5 * (pixels * LOG_2PI + ops.slogdet(covariance)[1] + square)
        return bound, log_p_x - bound
    """,
    hints=r"""
        The bound first: reconstruction minus KL. Only $\mathbb E_q[\log p(x|z)]$ is new, and there only
        $\mathbb E_q\|x - b - zW\|^2$.

        With $z = \mu + \sigma\varepsilon$ the cross term has mean 0, and what is left of the rest is
        $\sum_j\sigma_j^2\sum_d W_{jd}^2$.

        For the gap: $x = zW + b + s\varepsilon$ is a sum of normal variables, so it is normal, too. Its mean is $b$,
        its covariance $C = W^\top W + s^2 I$, and $\log p(x)$ is the logarithm of that density. Subtract the bound.

        $\log\mathcal N(x; b, C) = -\frac12\big(D\log 2\pi + \log\det C + (x - b)\,C^{-1}(x - b)^\top\big)$, where
        `ops.slogdet(C)[1]` is $\log\det C$, and `ops.solve(C, ops.transpose(x - b))` is $C^{-1}(x - b)^\top$.
    """,
    mistakes=[
        ("mean_for_expectation", {" + spread": ""}, r"you evaluated $\log p(x|z)$ at $z = \mu$. The expectation under "
         r"$q$ has one term more: $\mathbb E\,\|x - b - zW\|^2 = \|x - b - \mu W\|^2 + \sum_j \sigma_j^2 \|W_j\|^2$."),
        ("deviation_for_variance", {"spread = ops.matmul(ops.exp(log_variance)": "spread = "
         "ops.matmul(ops.exp(log_variance / 2)"}, r"the spread of $zW$ is weighted with $\sigma_j$; it is "
         r"$\sum_j \sigma_j^2 \|W_j\|^2$, with the variance $\sigma_j^2 = e^{\lambda_j}$."),
        ("scale_for_variance", {"2 * np.log(noise_scale)": "np.log(noise_scale)",
                                "squared_error / noise_scale**2": "squared_error / noise_scale"}, _SCALE),
        ("no_constant", {"(constant + ": "("}, r"the normalization $-\frac D2\log(2\pi s^2)$ is missing."),
        ("no_constant", {"constant = pixels * ": "constant = "}, "the normalization is incomplete: it is "
         r"$-\frac12\log(2\pi s^2)$ for each of the $D$ pixels, $-\frac D2\log(2\pi s^2)$ together."),
        ("no_kl", {") - kl": ")"}, "this is the expected reconstruction alone. Subtract what the code costs, "
         r"$\mathrm{KL}(q\,\|\,p(z))$."),
        ("evidence_for_bound", {"return bound": "return log_p_x"}, r"this is $\log p(x)$ itself, not the bound. It "
         "does not depend on $q$; the bound does."),
        ("covariance_with_scale", {"+ noise_scale**2 * ops.eye": "+ noise_scale * ops.eye"}, "the covariance of $x$ is "
         r"$W^\top W + s^2 I$, with the variance $s^2$ of the pixels' noise: you added $s\,I$."),
        ("covariance_with_scale", _by_the_posterior(("noise_scale**2", "noise_scale")), "this is the gap of a model "
         r"whose pixels' noise has the variance $s$. It has $s^2$, in $W^\top W + s^2 I$ or in $I + WW^\top/s^2$."),
        ("no_determinant", {"+ ops.slogdet(covariance)[1] ": ""}, r"$\log p(x)$ lacks $-\frac12\log\det C$."),
        ("no_evidence_constant", {"(pixels * LOG_2PI + ops": "(ops"}, r"$\log p(x)$ lacks its constant, "
         r"$-\frac D2\log 2\pi$."),
        ("prior_for_posterior", {"log_p_x - bound": "kl"}, "this is the divergence from the *prior*, a term of the "
         "bound. The gap is the divergence from the *posterior* $p(z|x)$."),
        ("reversed", _by_the_posterior(gap="ops.sum((Q + off**2) / S - 1 + log_variance, axis=1) + ops.slogdet(P)[1]"),
         r"this is $\mathrm{KL}(p(z|x)\,\|\,q)$. The gap is the other direction: the expectation is under $q$."),
        ("posterior_without_prior", _by_the_posterior(("P = prior + ", "P = ")), "the posterior's precision lacks the "
         r"prior's share: it is $I + WW^\top/s^2$."),
        ("diagonal_posterior", _by_the_posterior(
            gap="ops.sum((S + off**2) / Q - 1 - log_variance + ops.log(Q), axis=1)"), _DIAGONAL),
        ("diagonal_posterior", _by_the_posterior(("P = prior + ", "P = prior + prior * ")), _DIAGONAL),
        ("evidence_for_gap", {"log_p_x - bound": "log_p_x"}, r"this is $\log p(x)$. The gap is what the bound lacks: "
         r"$\log p(x)$ minus the bound."),
    ],
)  # fmt: skip


def _layers(rng):
    for B, F, event in (4, 3, (2, 5, 2)), (3, 2, (4, 5)):
        pixels = math.prod(event)
        yield dict(event_shape=event, features=rng.normal(size=(B, F)), x=rng.random((B, *event)),
                   kernel=0.5 * rng.normal(size=(F, pixels)), bias=rng.normal(size=pixels),
                   log_scale=rng.uniform(-1.5, -0.5))  # fmt: skip


LAYER = DistributionLayer(
    "GaussianImage", "A layer whose output is a distribution", points=4, minutes=40, difficulty=3, importance=2,
    section="The same with vaekit", aims=(2,),
    weights="kernel[F,P], bias[P], log_scale", draw=_layers,
    answer="""
        mean = ops.reshape(ops.sigmoid(ops.matmul(features, kernel) + bias), (-1, *event_shape))
        scale = ops.exp(log_scale)
        return mean, scale, -0.5 * (LOG_2PI + ((x - mean) / scale) ** 2) - ops.log(scale)
    """,
    hints=r"""
        Four methods: `build` makes the weights, in the order of the contract; `call` returns the distribution;
        `compute_output_spec` tells Keras what it looks like; `get_config` tells how to make the layer again.

        `call`: an affine function, a sigmoid, `ops.reshape` to `(-1, *event_shape)`; then
        `tfd.Independent(tfd.Normal(mean, scale), reinterpreted_batch_ndims=...)`. How many axes has an image?

        `compute_output_spec(self, inputs)` builds the layer if it is not built, and returns
        `keras.KerasTensor((inputs.shape[0], *self.event_shape), dtype=self.compute_dtype)`.

        `get_config` returns `{**super().get_config(), "event_shape": self.event_shape}`.
    """,
    mistakes=[
        ("log_variance", {"exp(log_scale)": "exp(log_scale / 2)"}, "`log_scale` is used as a log-variance: "
         r"$\sigma = e^{\texttt{log\_scale}}$, without the ½."),
        ("no_exponential", {"ops.exp(log_scale)": "log_scale"}, "`log_scale` is used as it is, and a standard "
         r"deviation is never negative: $\sigma = e^{\texttt{log\_scale}}$."),
        ("no_sigmoid", {"ops.sigmoid(": "("}, "the mean is not bounded: it goes through a sigmoid, so that it lies in "
         "(0, 1) as the grey values do."),
    ],
)  # fmt: skip


def _networks(rng):
    for N, D, H, L in (4, 6, 5, 3), (3, 5, 8, 4), (6, 4, 6, 2):
        shapes = dict(encoder_hidden=(D, H), encoder_mean=(H, L), encoder_log_variance=(H, L), decoder_hidden=(L, H),
                      decoder_mean=(H, D), pixel_log_variance=(D,))  # fmt: skip
        weights = {name: rng.normal(size=shape) for name, shape in shapes.items()}
        weights["encoder_log_variance"] *= 2  # beyond the range that it is clipped to, within that of float32
        yield dict(x=rng.random((N, D)), noise=rng.normal(size=(N, L)), **weights)


_TWICE_CLIPPED = (
    r"$\log\sigma^2$ stands in $\log q(z|x)$ twice, and is clipped in one of the two places only. Clip it once, before "
    "$z$ is drawn."
)
_REDUCED = "Sum over pixels and over latents, axis 1, then take the mean over the images of both."

BROKEN = Mend(
    "mended_loss", "Five errors in a VAE", points=5, minutes=20, difficulty=2, draw=_networks,
    section="When it goes wrong", aims=(4,),
    takes="x[N,D], noise[N,L], encoder_hidden[D,H], encoder_mean[H,L], encoder_log_variance[H,L], decoder_hidden[L,H], "
    "decoder_mean[H,D], pixel_log_variance[D]",
    gradients="encoder_hidden encoder_mean encoder_log_variance decoder_hidden decoder_mean pixel_log_variance",
    because="float32 carries seven digits. The losses of different sets of errors differ by far more than that.",
    answer="""
        h = ops.tanh(ops.matmul(x, encoder_hidden))
        mean, log_variance = ops.matmul(h, encoder_mean), ops.matmul(h, encoder_log_variance)
        log_variance = ops.clip(log_variance, -6, 2)  # 1. once, for the draw and for log q
        z = mean + ops.exp(log_variance / 2) * noise  # [N, L]
        y = ops.matmul(ops.tanh(ops.matmul(z, decoder_hidden)), decoder_mean)  # [N, D]

        log_p_x = -0.5 * (LOG_2PI + pixel_log_variance + (x - y) ** 2 / ops.exp(pixel_log_variance))  # 2. divided by σ²
        log_p_z = -0.5 * (LOG_2PI + z**2)  # 3. as in log q
        log_q_z = -0.5 * (LOG_2PI + log_variance + (z - mean) ** 2 / ops.exp(log_variance))

        kl = ops.sum(log_q_z - log_p_z, axis=1)  # 4. over latents
        reconstruction = ops.sum(log_p_x, axis=1)  # 5. over pixels only
        return ops.mean(kl) - ops.mean(reconstruction)
    """,
    errors={
        "clipping": (
            {"log_variance = ops.clip(log_variance, -6, 2)  # 1. once, for the draw and for log q\n": "",
             "ops.exp(log_variance / 2)": "ops.exp(ops.clip(log_variance, -6, 2) / 2)"},
            r"still broken: $\log\sigma^2$ is clipped where $z$ is drawn, and not in $\log q(z|x)$. The codes come "
            "from one distribution and are charged for another. Clip once, before either."),
        "brackets": (
            {" + (x - y) ** 2 / ops.exp(pixel_log_variance))  # 2. divided by σ²":
             ") - (x - y) ** 2 / 2 * ops.exp(pixel_log_variance)"},
            "still broken: `a / 2 * b` is `(a / 2) * b`, so the squared error is multiplied by the pixel's variance. A "
            "pixel that the decoder is unsure of should weigh less, not more."),
        "constants": (
            {"(LOG_2PI + z**2)  # 3. as in log q": "z**2"},
            r"still broken: $\log 2\pi$ stands in $\log q(z|x)$ and not in $\log p(z)$. Give it to both, or to "
            "neither."),
        "latents": (
            {"kl = ops.sum(": "kl = ops.mean(", "  # 4. over latents": ""},
            r"still broken: the KL term is averaged over the latents, as if a nat of code cost only $1/L$. Sum over "
            "them."),
        "batch": (
            {"ops.sum(log_p_x, axis=1)  # 5. over pixels only": "ops.sum(log_p_x)",
             "- ops.mean(reconstruction)": "- reconstruction"},
            "still broken: the reconstruction is summed over the images, and the KL averaged over them. A larger batch "
            f"would make codes cheaper. {_REDUCED}"),
    },
    slips=[
        ("clipping", "unclipped", {"ops.clip(log_variance, -6, 2)": "log_variance"}, "the clipping is gone. It is "
         r"meant to be there, and to hold for the draw and for $\log q(z|x)$ alike."),
        ("clipping", "clipped_in_the_density", {"log_variance = ops.clip(log_variance, -6, 2)": "raw = log_variance\n"
         "log_variance = ops.clip(log_variance, -6, 2)", "ops.exp(log_variance / 2)": "ops.exp(raw / 2)"},
         r"now $\log\sigma^2$ is clipped in $\log q(z|x)$, and not where $z$ is drawn. Clip once, before either."),
        ("clipping", "clipped_half", {"log_variance = ops.clip(log_variance, -6, 2)": "raw = log_variance\n"
         "log_variance = ops.clip(log_variance, -6, 2)", "LOG_2PI + log_variance": "LOG_2PI + raw"}, _TWICE_CLIPPED),
        ("brackets", "half_lost", {"(x - y) ** 2 / ops.exp(pixel": "2 * (x - y) ** 2 / ops.exp(pixel"}, "now the "
         r"squared error is divided by $\sigma^2$; by $2\sigma^2$ it should be. The ½ is lost."),
        ("brackets", "half_twice", {"(x - y) ** 2 / ops.exp(pixel": "(x - y) ** 2 / 2 / ops.exp(pixel"}, "now the "
         r"squared error is divided by $4\sigma^2$: the ½ stands in front of the bracket, and within it, too."),
        ("brackets", "deviation", {"/ ops.exp(pixel_log_variance)": "/ ops.exp(pixel_log_variance / 2)"}, "the squared "
         r"error is divided by $\sigma$ now; it belongs divided by $\sigma^2$."),
        ("brackets", "not_divided", {" / ops.exp(pixel_log_variance)": ""}, "the squared error is not divided by the "
         r"pixel's variance any more; by $2\sigma^2$ it should be."),
        ("constants", "constants_exchanged", {"LOG_2PI + log_variance": "log_variance"}, "now it is the other way "
         r"round: $\log p(z)$ has $-\frac12\log 2\pi$ more than $\log q(z|x)$, for each latent. Give the same to both, "
         "or nothing to either."),
        ("constants", "prior_not_halved", {"(LOG_2PI + z**2)": "(LOG_2PI + 2 * z**2)"}, r"$\log p(z)$ has $-z^2$ now, "
         r"not $-\frac12 z^2$. Mind the bracket."),
        ("constants", "constant_sign", {"(LOG_2PI + z**2)": "(z**2 - LOG_2PI)"}, r"$\log 2\pi$ has the wrong sign in "
         r"$\log p(z)$: $-\frac12(\log 2\pi + z^2)$."),
        ("batch", "pixels_averaged", {"ops.sum(log_p_x, axis=1)": "ops.mean(log_p_x)"}, "the reconstruction is "
         f"averaged over the pixels, too: then a nat of code costs $D$ nats of pixels. {_REDUCED}"),
        ("batch", "pixels_axis", {"log_p_x, axis=1)": "log_p_x, axis=0)"}, "the reconstruction is summed over axis 0, "
         f"the images, and averaged over the pixels. {_REDUCED}"),
        ("batch", "kl_summed", {"ops.mean(kl)": "ops.sum(kl)"}, "the KL is summed over the images now, and the "
         f"reconstruction averaged over them. {_REDUCED}"),
        ("batch", "all_summed", {"ops.mean(kl)": "ops.sum(kl)", "ops.mean(recon": "ops.sum(recon"}, "both terms are "
         "summed over the images now. The two are in balance, but the loss grows with the batch, and the learning rate "
         "means something else for every batch size. Take the mean over the images."),
        ("latents", "latents_axis", {"log_p_z, axis=1)": "log_p_z, axis=0)"}, "the KL term is summed over axis 0, the "
         "images. The latents are axis 1."),
        (None, "reconstruction_added", {"(kl) -": "(kl) +"}, "the reconstruction is added. The loss is minus the "
         "bound: the KL, less the reconstruction, as it stood there."),
        (None, "sign", {"(kl) -": "(kl) +", "return ": "return -"}, "this is the bound, and not minus the bound: "
         "training would lower it."),
        (None, "kl_sign", {"return ops.mean": "return -ops.mean"}, "the KL is subtracted: it stood there to be added."),
        (None, "no_kl", {"return ops.mean(kl)": "return 0"}, "the KL is missing from the loss."),
        (None, "closed_form", {"log_q_z - log_p_z": "0.5 * (mean**2 + ops.exp(log_variance) - 1 - log_variance)"},
         "you put the closed form of the KL divergence in place of the estimate. That is a sound loss, but another "
         r"one: keep $\log q(z|x) - \log p(z)$ at the draw."),
        (None, "pixel_variance", {"LOG_2PI + pixel_log_variance + ": "LOG_2PI + "}, r"$\log p(x|z)$ has lost its "
         r"$-\frac12\log\sigma^2$. That was right as it stood."),
        (None, "variance_for_deviation", {"(log_variance / 2)": "(log_variance)"}, "the noise is multiplied by the "
         r"variance now; it was right by the deviation, $e^{\lambda/2}$."),
    ],
    hints=r"""
        Read the lines in order, and ask of each: which formula of lesson 02 is it? Over which axis does it sum?

        Which distribution is $z$ drawn from, and which one's density is `log_q_z`? Do they have the same variance, and
        the same constants as `log_p_z`?

        There is one error in each of: the `ops.clip`, the squared error, the two lines with `LOG_2PI` of which one
        lacks it, and the two reductions `ops.sum(…)` and `ops.mean(…)`.
    """,
)  # fmt: skip


@functools.cache
def _digits():
    data = load("mnist_10k")
    return data.train[:2500].reshape(-1, 784), data.test[:500].reshape(-1, 784)


TRAINED = TrainedVAE(
    "train_vae", "Train one that reaches a bound", points=4, minutes=25, difficulty=2,
    section="The same with vaekit", aims=(2,),
    bounds={"codes": -180.0, "fair": -138.0, "good": -128.0, "very good": -122.5},
    images=_digits, coins=-206.0, good_kl=(22.0, 26.5),
    because="8 runs of the solution, each with another seed, on both backends, ended between −120.3 and −118.7. Its "
    "like with two latents reaches −175.4, with five −141.4, with 50 units −138.3; with the KL averaged over latents "
    "−153.1, and −146.5 in 100 epochs; with the reconstruction averaged over pixels −206.1, as without codes; with "
    "pixels drawn once −123.2, and −142.7 in 200 epochs. A learning rate of 0.001 all along reaches −190.8 in 5 "
    "epochs, −144.2 in 20, −128.8 in 40, −118.2 in 100. Untrained: −554.6.",
    hints="""
        `vk.VAE` with `vk.layers.MLP` and an objective will do; so will your own class from lesson 02. First make it
        return anything of the right shapes, then train for longer.

        `DynamicBinarization(images, seed)` draws the pixels anew in every epoch. A tanh layer of 200 units each way,
        twenty latents, batches of 100, 40 epochs.

        Adam with a learning rate of 0.01 that decays to 0 (`keras.optimizers.schedules.CosineDecay`) reaches in 40
        epochs what a constant 0.001 needs a hundred for.

        A `keras.Sequential` decoder's `get_weights()` are `[hidden weights, hidden bias, output weights, output bias]`.
    """,
)  # fmt: skip


QUESTIONS = [KL, BERNOULLI, GAUSSIAN, ESTIMATORS, LINEAR, LAYER, BROKEN, TRAINED]
