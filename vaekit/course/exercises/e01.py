r"""Exercise 01: the reparameterization trick."""

import math

import numpy as np
from scipy.special import ndtr, ndtri, softmax
from scipy.stats import norm

from vaekit.course.questions.question import OFF, VALUE, Case, Diagnosis, Near, Observe, Question, with_gradients

TITLE = "The reparameterization trick"

CUT = (
    "the gradient is 0: the way from the parameter to the result is cut, by `stop_gradient`, by a conversion to NumPy, "
    "or because the parameter is not used."
)


def _mistakes(of, *mistakes, names=None):
    """`Diagnosis` for each (name, what is said, function with the mistake made), gradients by central differences."""
    return [Diagnosis(name, says, with_gradients(wrong, *of, names=names)) for name, says, wrong in mistakes]


# ---- 1 · a Gaussian


def _gaussian(mean, log_variance, noise):
    deviation = np.exp(log_variance / 2) * noise
    return {VALUE: mean + deviation, "gradient of mean": np.ones_like(mean), "gradient of log_variance": deviation / 2}


def _gaussians(rng):
    shapes = [(3, 2), (1, 5), (4,)]
    return [Case({name: rng.normal(size=shape) for name in ("mean", "log_variance", "noise")}) for shape in shapes]


GAUSSIAN = Question(
    name="gaussian_sample",
    title="A Gaussian",
    points=2,
    minutes=5,
    difficulty=1,
    importance=3,
    public=[
        Case(
            {
                "mean": np.array([[0.0, 1.0], [-2.0, 0.5]]),
                "log_variance": np.array([[0.0, 1.0], [-1.0, 2.0]]),
                "noise": np.array([[1.0, -1.0], [0.5, 2.0]]),
            }
        )
    ],
    draw=_gaussians,
    expected=_gaussian,
    observe=Observe("gradients", {"of": ["mean", "log_variance"]}),
    parts={VALUE: 2, "gradient of mean": 1, "gradient of log_variance": 1},
    diagnoses=[
        *_mistakes(
            ("mean", "log_variance"),
            (
                "variance_for_deviation",
                r"you multiplied the noise by the variance $e^\lambda$; the noise is stretched by the standard "
                r"deviation, "
                r"$e^{\lambda/2}$.",
                lambda mean, log_variance, noise: mean + np.exp(log_variance) * noise,
            ),
            (
                "log_variance_for_deviation",
                r"you multiplied the noise by the log-variance itself. It can be negative; take $e^{\lambda/2}$.",
                lambda mean, log_variance, noise: mean + log_variance * noise,
            ),
            (
                "root_of_log_variance",
                r"you took the square root of $\lambda$, which is no variance but its logarithm, and may be negative: "
                r"$\sigma = \sqrt{e^\lambda} = e^{\lambda/2}$.",
                lambda mean, log_variance, noise: mean + np.sqrt(log_variance) * noise,
            ),
            (
                "precision",
                r"you divided the noise by the standard deviation; multiply by it. A sign in the exponent?",
                lambda mean, log_variance, noise: mean + np.exp(-log_variance / 2) * noise,
            ),
            (
                "swapped",
                r"mean and standard deviation have changed places: the noise is stretched by $\sigma$ and shifted by "
                r"$\mu$.",
                lambda mean, log_variance, noise: np.exp(log_variance / 2) + mean * noise,
            ),
            (
                "added",
                r"you added the standard deviation to the noise; it multiplies the noise.",
                lambda mean, log_variance, noise: mean + np.exp(log_variance / 2) + noise,
            ),
        ),
        Diagnosis("cut", CUT, lambda mean, **others: {"gradient of log_variance": np.zeros_like(mean)}),
        Diagnosis("cut", CUT, lambda mean, **others: {"gradient of mean": np.zeros_like(mean)}),
    ],
    hints=[
        "Stretch standard noise, then shift it.",
        r"What stretches it is the standard deviation $\sigma$. You have $\lambda = \log \sigma^2$; solve for "
        r"$\sigma$.",
        r"$z = \mu + e^{\lambda/2} \varepsilon$, with `ops.exp`.",
    ],
)


# ---- 2 · an exponential distribution


def _exponential(rate, uniform):
    z = -np.log1p(-uniform) / rate
    return {VALUE: Near(z, 0.0, 1e-4), "gradient of rate": Near(-z / rate, 0.0, 1e-4)}


def _exponentials(rng):
    def case(size, uniform, part=None):
        return Case({"rate": np.exp(rng.normal(size=size)), "uniform": uniform}, part)

    tiny = 10 ** rng.uniform(-12, -6, size=5)
    return [
        case((6,), rng.uniform(0.02, 0.98, size=6)),
        case((2, 3), rng.uniform(0.02, 0.98, size=(2, 3))),
        case((5,), tiny, "stable"),
        case((3,), 1 - 2.0 ** -rng.integers(18, 25, size=3), "stable"),
    ]


def _single_precision(logarithm):
    """Exponential samples from what float32 makes of log(1 − u)."""

    def wrong(rate, uniform):
        z = -logarithm(np.float32(uniform)).astype(np.float64) / rate
        return {VALUE: z, "gradient of rate": -z / rate}

    return wrong


ONE = np.float32(1)
CLIPPED = (
    "you kept the uniform noise away from 0 and 1 with a small constant. That moves the samples at both ends, and is "
    "not needed: `ops.log1p(-u)` is exact wherever u < 1."
)


def _clipped(log_one_minus):
    """For each of the usual constants."""
    constants = [np.float32(10.0**-n) for n in range(4, 11)]
    return [
        Diagnosis("clipped", CLIPPED, _single_precision(lambda u, e=e: log_one_minus(np.float32(u), e)))
        for e in constants
    ]


EXPONENTIAL = Question(
    name="exponential_sample",
    title="Invert a distribution function",
    points=3,
    minutes=10,
    difficulty=1,
    importance=2,
    public=[
        Case({"rate": np.array([1.0, 2.0, 0.5]), "uniform": np.array([0.5, 0.9, 0.25])}),
        Case({"rate": np.array([1.0, 3.0]), "uniform": np.array([0.0, 1e-9])}, "stable"),
    ],
    draw=_exponentials,
    expected=_exponential,
    observe=Observe("gradients", {"of": ["rate"]}),
    parts={VALUE: 3, "gradient of rate": 1, "stable": 2},
    atol=0.0,
    because="float32 carries seven digits, and nothing in $-\\log(1-u)/\\lambda$ loses more than one. Samples near 0 "
    "are compared by their ratio, so no absolute error is allowed.",
    diagnoses=[
        *_mistakes(
            ("rate",),
            (
                "falling",
                r"this has the right distribution, but falls as u grows: you took $-\log(u)/\lambda$. The inverse of "
                r"the "
                r"distribution function, $F^{-1}(u)$, grows with u.",
                lambda rate, uniform: -np.log(uniform) / rate,
            ),
            (
                "scale_for_rate",
                r"you multiplied by the rate. A higher rate means shorter times: divide by $\lambda$.",
                lambda rate, uniform: -np.log1p(-uniform) * rate,
            ),
            (
                "sign",
                r"your samples are negative: $\log(1-u)$ is below 0, so a minus sign belongs in front.",
                lambda rate, uniform: np.log1p(-uniform) / rate,
            ),
            (
                "distribution_function",
                r"you evaluated the distribution function, $1 - e^{-\lambda u}$, at u; its inverse is asked for. Solve "
                r"$1 - e^{-\lambda z} = u$ for z.",
                lambda rate, uniform: -np.expm1(-rate * uniform),
            ),
            (
                "density",
                r"you evaluated the density at u. A sample is $F^{-1}(u)$: solve $1 - e^{-\lambda z} = u$ for z.",
                lambda rate, uniform: rate * np.exp(-rate * uniform),
            ),
        ),
        Diagnosis("cut", CUT, lambda rate, uniform: {"gradient of rate": np.zeros_like(rate)}),
        Diagnosis(
            "digits_lost",
            "for u near 0 the digits of u are lost: in float32, $1 - 10^{-9}$ is 1, and its logarithm 0. "
            "`ops.log1p(-u)` computes $\\log(1-u)$ without the subtraction.",
            _single_precision(lambda u: np.log(ONE - u)),
        ),
        *_clipped(lambda u, e: np.log(ONE - np.clip(u, e, ONE - e))),
        *_clipped(lambda u, e: np.log1p(-np.clip(u, e, ONE - e))),
        *_clipped(lambda u, e: np.log((ONE - u) + e)),
    ],
    hints=[
        r"The distribution function is $F(z) = 1 - e^{-\lambda z}$. Set it to u and solve for z.",
        r"$z = -\log(1-u)/\lambda$. If only the part *stable* is wrong: what is `1 - 1e-9` in float32?",
        r"`ops.log1p(x)` is $\log(1+x)$, computed without the sum.",
    ],
)


# ---- 3 · a log-normal distribution and its density

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
LOG_NORMAL = ["sample", "log density"]


def _log_normal(mean, scale, noise):
    log_z = mean + scale * noise
    log_density = np.sum(-(noise**2) / 2 - np.log(scale) - HALF_LOG_2PI - log_z, axis=-1)
    # t = (log z − μ)/σ is ε up to float32's rounding of log z, which the gradient (t² − tε)/σ − 1/σ − ε magnifies
    rounding = 2 * np.spacing(np.float32(np.abs(log_z).max())) * np.max((1 + np.abs(noise)) / scale**2)
    found = {
        "sample": _exp_in_single(log_z),
        "log density": log_density,
        "gradient of log density for mean": -np.ones_like(mean),
        "gradient of log density for scale": Near(-1 / scale - noise, 1e-5 + float(rounding)),
    }
    if np.abs(log_z).max() < 80:  # z is a number
        found |= {"gradient of sample for mean": np.exp(log_z), "gradient of sample for scale": np.exp(log_z) * noise}
    return found


def _exp_in_single(x):
    with np.errstate(over="ignore"):
        return np.float32(np.exp(x))


def _log_normal_with(term, sample=lambda mean, scale, noise: _exp_in_single(mean + scale * noise)):
    """Samples, and Σ_d of another log-density `term(log z, σ, ε)`."""

    def wrong(mean, scale, noise):
        return sample(mean, scale, noise), term(mean + scale * noise, scale, noise).sum(-1)

    return wrong


def _logarithm_of_exponential(mean, scale, noise):
    log_z = np.log(_exp_in_single(mean + scale * noise)).astype(np.float64)
    term = -(((log_z - mean) / scale) ** 2) / 2 - np.log(scale) - HALF_LOG_2PI - log_z
    return {"log density": term.sum(-1)}


def _log_normals(rng):
    def case(shape, center=0.0, part=None):
        inputs = {"mean": center + rng.normal(size=shape), "scale": np.exp(0.5 * rng.normal(size=shape))}
        return Case({**inputs, "noise": rng.normal(size=shape)}, part)

    far = rng.uniform(140, 200)
    return [case((3, 2)), case((2, 6)), case((2, 6), far, "stable"), case((2, 6), -far, "stable")]


LOG_NORMAL_QUESTION = Question(
    name="log_normal",
    title="Change the variable: a sample and its density",
    points=4,
    minutes=15,
    difficulty=2,
    importance=3,
    public=[
        Case(
            {
                "mean": np.array([[0.0, 1.0], [-1.0, 0.5]]),
                "scale": np.array([[1.0, 0.5], [2.0, 0.1]]),
                "noise": np.array([[0.5, -1.0], [1.0, 2.0]]),
            }
        ),
        Case(
            {
                "mean": np.array([[150.0, 0.0], [-150.0, 0.0]]),
                "scale": np.array([[1.0, 1.0], [2.0, 1.0]]),
                "noise": np.array([[0.5, 0.0], [-1.0, 0.5]]),
            },
            "stable",
        ),
    ],
    draw=_log_normals,
    expected=_log_normal,
    observe=Observe("gradients", {"of": ["mean", "scale"], "names": LOG_NORMAL}),
    parts={
        "sample": 1,
        "log density": 2,
        "gradient of sample for mean": 0.5,
        "gradient of sample for scale": 0.5,
        "gradient of log density for mean": 1,
        "gradient of log density for scale": 1,
        "stable": 2,
    },
    sizes=lambda mean, **others: {"dimensions": mean.shape[-1]},
    diagnoses=[
        *_mistakes(
            ("mean", "scale"),
            (
                "scale_for_deviation",
                r"you squared the scale. It is the standard deviation of $\log z$: $\log z = \mu + \sigma\varepsilon$.",
                _log_normal_with(
                    lambda y, s, e: -(e**2) / 2 - np.log(s) - HALF_LOG_2PI - y,
                    lambda mean, scale, noise: np.exp(mean + scale**2 * noise),
                ),
            ),
            (
                "no_exponential",
                r"this is $\log z$; the sample is $z = e^{\mu + \sigma\varepsilon}$.",
                _log_normal_with(lambda y, s, e: -(e**2) / 2 - np.log(s) - HALF_LOG_2PI - y, lambda m, s, e: m + s * e),
            ),
            (
                "no_jacobian",
                r"this is the log-density of $\log z$, per unit of $\log z$. Per unit of z it is less by $\log z$ in "
                r"each "
                r"dimension: $\log |\mathrm dz / \mathrm d \log z| = \log z$.",
                _log_normal_with(lambda y, s, e: -(e**2) / 2 - np.log(s) - HALF_LOG_2PI),
            ),
            (
                "jacobian_added",
                r"you added $\log z$, and it should be subtracted: where exp stretches space, density becomes thinner.",
                _log_normal_with(lambda y, s, e: -(e**2) / 2 - np.log(s) - HALF_LOG_2PI + y),
            ),
            (
                "noise_density",
                r"$-\log\sigma$ is missing in each dimension: stretching the noise by $\sigma$ makes its density "
                r"thinner.",
                _log_normal_with(lambda y, s, e: -(e**2) / 2 - HALF_LOG_2PI - y),
            ),
            (
                "constant",
                r"the constant $-\tfrac12 \log 2\pi$ is missing in each dimension. Gradients do not notice; a "
                r"likelihood "
                r"that you report does.",
                _log_normal_with(lambda y, s, e: -(e**2) / 2 - np.log(s) - y),
            ),
            names=LOG_NORMAL,
        ),
        Diagnosis(
            "averaged",
            "you averaged over the dimensions. They are independent: densities multiply, so log-densities add up.",
            lambda **inputs: {
                name: (value.value if isinstance(value, Near) else value) / inputs["mean"].shape[-1]
                for name, value in _log_normal(**inputs).items()
                if "sample" not in name
            },
        ),
        Diagnosis(
            "logarithm_of_exponential",
            "you took the logarithm of z, which is an exponential: beyond $e^{89}$ float32 has infinity, below "
            r"$e^{-103}$ it has 0, and the way back is lost. You know $\log z = \mu + \sigma\varepsilon$ already.",
            _logarithm_of_exponential,
        ),
        *(
            Diagnosis("cut", CUT, lambda mean, name=name, **others: {f"gradient of {name}": np.zeros_like(mean)})
            for name in ("sample for mean", "sample for scale", "log density for mean", "log density for scale")
        ),
    ],
    hints=[
        r"Two changes of variable follow each other: $\varepsilon \to \log z = \mu + \sigma\varepsilon \to z = "
        r"e^{\log z}$. Each divides the density by how much it stretches.",
        r"$\log p(z) = \log \mathcal N(\log z; \mu, \sigma^2) - \log z$ in each dimension, and dimensions add up.",
        r"$\log p(z) = \sum_d \big[ -\tfrac12 \varepsilon_d^2 - \log\sigma_d - \tfrac12 \log 2\pi - (\mu_d + \sigma_d "
        r"\varepsilon_d) \big]$. No logarithm of an exponential occurs.",
    ],
)


# ---- 4 · a truncated Gaussian


def _window(mean, scale, low, high):
    """Standardized limits, reflected so that they are mostly below 0, where Φ has all its digits: a, b, sign."""
    a, b = (low - mean) / scale, (high - mean) / scale
    above = a + b > 0
    return np.where(above, -b, a), np.where(above, -a, b), np.where(above, -1.0, 1.0)


def _truncated(mean, scale, low, high, uniform):
    a, b, sign = _window(mean, scale, low, high)
    u = np.where(sign < 0, 1 - uniform, uniform)
    t = ndtri((1 - u) * ndtr(a) + u * ndtr(b))
    # φ(t) dt = (1 − u) φ(a) da + u φ(b) db
    at_a, at_b = (1 - u) * np.exp((t**2 - a**2) / 2), u * np.exp((t**2 - b**2) / 2)
    return {
        VALUE: mean + scale * sign * t,
        "gradient of mean": Near(1 - at_a - at_b, 1e-3, 1e-3),
        "gradient of scale": Near(sign * (t - a * at_a - b * at_b), 1e-3, 1e-3),
    }


def _truncated_in_single(cdf):
    """Samples by a Φ whose values are rounded to float32: 1 from 5.5 on."""

    def wrong(mean, scale, low, high, uniform):
        bottom, top = (np.float32(cdf((limit - mean) / scale)) for limit in (low, high))
        p = bottom + np.float32(uniform) * (top - bottom)
        return {VALUE: mean + scale * ndtri(p.astype(np.float64))}

    return wrong


def _truncations(rng):
    def case(shape, start, width, part=None):
        mean, scale = rng.uniform(-1, 1, size=shape), rng.uniform(0.5, 2, size=shape)
        low = mean + scale * start
        inputs = {"mean": mean, "scale": scale, "low": low, "high": low + scale * width}
        return Case({**inputs, "uniform": rng.uniform(0.03, 0.97, size=shape)}, part)

    return [
        case((3,), rng.uniform(-2, 0, size=3), rng.uniform(0.5, 3, size=3)),
        case((2, 3), rng.uniform(-1, 1, size=(2, 3)), rng.uniform(0.2, 1, size=(2, 3))),
        case((2, 3), rng.uniform(6, 8, size=(2, 3)), rng.uniform(1, 2, size=(2, 3)), "tails"),
        case((2, 3), rng.uniform(-10, -8, size=(2, 3)), rng.uniform(1, 2, size=(2, 3)), "tails"),
    ]


TRUNCATED = Question(
    name="truncated_normal_sample",
    title="A truncated Gaussian, far out too",
    points=5,
    minutes=25,
    difficulty=3,
    importance=2,
    public=[
        Case(
            {
                "mean": np.array([0.0, 1.0, -2.0]),
                "scale": np.array([1.0, 2.0, 0.5]),
                "low": np.array([-1.0, 0.0, -2.5]),
                "high": np.array([2.0, 3.0, -2.0]),
                "uniform": np.array([0.5, 0.1, 0.9]),
            }
        ),
        Case(
            {
                "mean": np.array([0.0, 0.0, 1.0]),
                "scale": np.array([1.0, 1.0, 2.0]),
                "low": np.array([7.0, -9.0, -15.0]),
                "high": np.array([9.0, -7.0, -12.0]),
                "uniform": np.array([0.5, 0.5, 0.2]),
            },
            "tails",
        ),
    ],
    draw=_truncations,
    expected=_truncated,
    observe=Observe("gradients", {"of": ["mean", "scale"]}),
    parts={VALUE: 4, "gradient of mean": 1, "gradient of scale": 2, "tails": 3},
    because="a gradient is what remains when numbers near 1 are subtracted, out in the tails with an error of "
    "$t^2 \\approx 100$ float32 roundings each, so 0.001 is allowed; samples themselves have five digits.",
    diagnoses=[
        Diagnosis(
            "limits_cut",
            r"the limits stand still in your gradient. Standardized, $a = (\text{low} - \mu)/\sigma$ moves when "
            r"$\mu$ and "
            r"$\sigma$ do; let the gradient pass through it.",
            lambda **inputs: {
                "gradient of mean": np.ones_like(inputs["mean"]),
                "gradient of scale": (_truncated(**inputs)[VALUE] - inputs["mean"]) / inputs["scale"],
            },
        ),
        *_mistakes(
            ("mean", "scale"),
            (
                "clipped",
                "you drew from the whole Gaussian and clipped. That heaps the probability of both tails upon the "
                "limits; "
                "a truncated distribution has no heaps. Give u to the part of Φ between the limits.",
                lambda mean, scale, low, high, uniform: np.clip(mean + scale * ndtri(uniform), low, high),
            ),
            (
                "whole",
                "you drew from the whole Gaussian: the limits are not used.",
                lambda mean, scale, low, high, uniform: mean + scale * ndtri(uniform),
            ),
            (
                "not_standardized",
                r"you put the limits into Φ as they are. Φ belongs to the standard Gaussian: its limits are "
                r"$(\text{low} - \mu)/\sigma$ and $(\text{high} - \mu)/\sigma$.",
                lambda mean, scale, low, high, uniform: (
                    mean + scale * ndtri(ndtr(low) + uniform * (ndtr(high) - ndtr(low)))
                ),
            ),
            (
                "no_lower_limit",
                r"the lower limit is not used: the argument of $\Phi^{-1}$ runs from $\Phi(a)$, not from 0, to "
                r"$\Phi(b)$.",
                lambda mean, scale, low, high, uniform: mean + scale * ndtri(uniform * ndtr((high - mean) / scale)),
            ),
            (
                "width_forgotten",
                r"you multiplied u by $\Phi(b)$ and added $\Phi(a)$; the window is $\Phi(b) - \Phi(a)$ wide.",
                lambda mean, scale, low, high, uniform: (
                    mean + scale * ndtri(ndtr((low - mean) / scale) + uniform * ndtr((high - mean) / scale))
                ),
            ),
            (
                "flat",
                "this is uniform between the limits; the distribution should have the shape of the Gaussian there.",
                lambda mean, scale, low, high, uniform: low + uniform * (high - low),
            ),
            (
                "standardized",
                r"this is the standardized sample; stretch and shift it back, $z = \mu + \sigma t$.",
                lambda mean, scale, low, high, uniform: ndtri(
                    (1 - uniform) * ndtr((low - mean) / scale) + uniform * ndtr((high - mean) / scale)
                ),
            ),
        ),
        Diagnosis(
            "upper_tail",
            "in the upper tail all is lost: float32's Φ(7) is 1, for any limit alike. Φ(−7) has all its digits. "
            "Reflect "
            r"windows that lie above the mean: $z \to -z$, and $u \to 1 - u$.",
            _truncated_in_single(ndtr),
        ),
        Diagnosis(
            "both_tails",
            r"both tails are lost: $\frac12(1 + \mathrm{erf}(t/\sqrt2))$ is a difference of nearly equal numbers. "
            "`tfd.Normal(0.0, 1.0).cdf` keeps its digits in the lower tail; reflect windows in the upper one.",
            _truncated_in_single(lambda t: np.round((1 + 2 * (ndtr(t) - 0.5)) / 2 * 2**24) / 2**24),
        ),
    ],
    hints=[
        r"Of the standard Gaussian's probability, the window holds what lies between $\Phi(a)$ and $\Phi(b)$. Let u "
        r"run "
        r"through that.",
        r"$t = \Phi^{-1}\big((1-u)\,\Phi(a) + u\,\Phi(b)\big)$ with $a = (\text{low} - \mu)/\sigma$, $b$ alike, and "
        r"$z = \mu + \sigma t$. `tfd.Normal(0.0, 1.0)` has `cdf` and `quantile`.",
        r"Where $a + b > 0$, draw from the mirror image: limits $-b$ and $-a$, noise $1-u$, result $-t$. `ops.where` "
        "chooses, element by element.",
    ],
)


# ---- 5 · the score function

SCORES = ["for mean", "for log scale"]


def _scores(sample, mean, log_scale):
    t = (sample - mean) / np.exp(log_scale)
    return t / np.exp(log_scale), t**2 - 1


def _score_function(sample, cost, mean, log_scale, baseline=0.0):
    return {n: (cost - baseline)[:, None] * s for n, s in zip(SCORES, _scores(sample, mean, log_scale), strict=True)}


def _score_mistake(change):
    """Wrong estimates: `change(c, t, σ, f, b)` for c = f − b, all `[S, 1]` or `[S, D]`."""

    def wrong(sample, cost, mean, log_scale, baseline=0.0):
        scale = np.exp(log_scale)
        f = cost[:, None]
        return change(f - baseline, (sample - mean) / scale, scale, f, baseline)

    return wrong


def _score_cases(rng):
    def case(samples, dimensions, part=None, **baseline):
        mean, log_scale = rng.normal(size=dimensions), 0.5 * rng.normal(size=dimensions)
        sample = mean + np.exp(log_scale) * rng.normal(size=(samples, dimensions))
        cost = 5 + 3 * rng.normal(size=samples)
        return Case({"sample": sample, "cost": cost, "mean": mean, "log_scale": log_scale, **baseline}, part)

    return [case(4, 3), case(7, 1), case(3, 3), case(5, 2, "baseline", baseline=float(rng.uniform(2, 6)))]


SCORE = Question(
    name="score_function",
    title="Without a path: the score function",
    points=4,
    minutes=15,
    difficulty=2,
    importance=3,
    public=[
        Case(
            {
                "sample": np.array([[1.0, 0.5], [-1.0, 2.0], [0.0, 1.0]]),
                "cost": np.array([2.0, 3.0, -1.0]),
                "mean": np.array([0.0, 1.0]),
                "log_scale": np.array([0.0, math.log(2)]),
            }
        ),
        Case(
            {
                "sample": np.array([[1.0], [-0.5]]),
                "cost": np.array([2.0, 3.0]),
                "mean": np.array([0.5]),
                "log_scale": np.array([0.5]),
                "baseline": 2.5,
            },
            "baseline",
        ),
    ],
    draw=_score_cases,
    expected=_score_function,
    observe=Observe("call", {"names": SCORES}),
    parts={"for mean": 3, "for log scale": 3, "baseline": 2},
    founded=False,
    sizes=lambda sample, **others: {"samples": sample.shape[0], "dimensions": sample.shape[1]},
    diagnoses=[
        Diagnosis(
            "averaged",
            "you averaged over the samples. Keep an estimate for each, `[S, D]`: their spread is what we want to see.",
            lambda **inputs: {name: value.mean(0) for name, value in _score_function(**inputs).items()},
        ),
        Diagnosis(
            "without_cost",
            r"this is the score alone, $\nabla \log q$; weigh it with the cost of its sample.",
            _score_mistake(lambda c, t, s, f, b: {"for mean": t / s, "for log scale": t**2 - 1}),
        ),
        Diagnosis(
            "baseline_ignored",
            "the baseline is not used: the cost enters less the baseline.",
            _score_mistake(lambda c, t, s, f, b: {"for mean": f * t / s, "for log scale": f * (t**2 - 1)}),
        ),
        Diagnosis(
            "baseline_added",
            "you added the baseline; subtract it from the cost.",
            _score_mistake(lambda c, t, s, f, b: {"for mean": (f + b) * t / s, "for log scale": (f + b) * (t**2 - 1)}),
        ),
        Diagnosis(
            "baseline_afterwards",
            "the baseline was subtracted after multiplying with the score. That shifts the gradient itself by b. It "
            "belongs to the cost: $(f - b) \\nabla \\log q$ keeps its mean, since the score has mean 0.",
            _score_mistake(lambda c, t, s, f, b: {"for mean": f * t / s - b, "for log scale": f * (t**2 - 1) - b}),
        ),
        Diagnosis(
            "deviation_for_variance",
            r"you divided by $\sigma$; the score of $\mu$ is $(z - \mu)/\sigma^2$.",
            _score_mistake(lambda c, t, s, f, b: {"for mean": c * t}),
        ),
        Diagnosis(
            "sign",
            r"the sign is reversed: a larger $\mu$ makes samples *beyond* $\mu$ more likely, so the score is "
            r"$(z - \mu)/\sigma^2$.",
            _score_mistake(lambda c, t, s, f, b: {"for mean": -c * t / s}),
        ),
        Diagnosis(
            "for_scale",
            r"this is the gradient for $\sigma$. For $\log\sigma$ the chain rule multiplies by $\sigma$.",
            _score_mistake(lambda c, t, s, f, b: {"for log scale": c * (t**2 - 1) / s}),
        ),
        Diagnosis(
            "for_log_variance",
            r"this is the gradient for $\log\sigma^2$, half of the one for $\log\sigma$.",
            _score_mistake(lambda c, t, s, f, b: {"for log scale": c * (t**2 - 1) / 2}),
        ),
        Diagnosis(
            "normalizer",
            r"the $-1$ is missing: the density's factor $1/\sigma$ depends on $\sigma$, too, and $-\log\sigma$ has the "
            r"derivative $-1$ for $\log\sigma$.",
            _score_mistake(lambda c, t, s, f, b: {"for log scale": c * t**2}),
        ),
    ],
    hints=[
        r"An estimate is $(f(z) - b)\, \nabla_\varphi \log q_\varphi(z)$. Write down $\log q$ and differentiate.",
        r"$\log q = -\tfrac12 (z-\mu)^2 e^{-2\ell} - \ell + \text{const}$ with $\ell = \log\sigma$.",
        r"$\partial_\mu \log q = (z-\mu)/\sigma^2$ and $\partial_\ell \log q = (z-\mu)^2/\sigma^2 - 1$. Costs are "
        r"`[S]`, "
        "scores `[S, D]`: `cost[:, None]`.",
    ],
)


# ---- 6 · how many samples is a path worth?

E = math.e
RATIO = Question(
    name="samples_worth",
    title="By hand: what a path is worth",
    points=2,
    minutes=20,
    difficulty=2,
    importance=2,
    kind="number",
    public=[Case({})],
    expected=lambda: 5.0,
    observe=Observe("number"),
    rtol=2e-3,
    because="the number is exact; 0.2 % leave room for one that was computed with rounded intermediate results.",
    diagnoses=[
        Diagnosis(
            "no_baseline",
            "this is the ratio without a baseline, $(5e - 1)/(e - 1)$. Subtract the best one, then compare.",
            lambda: (5 * E - 1) / (E - 1),
        ),
        Diagnosis(
            "mean_as_baseline",
            r"this takes $b = \mathbb E f$ for the best baseline. The best one weighs costs with the squared score: "
            r"$b = \mathbb E[f s^2] / \mathbb E[s^2]$.",
            lambda: (5 * E - 4) / (E - 1),
        ),
        Diagnosis(
            "deviations",
            "this is the ratio of the standard deviations. Averaging S samples divides the *variance* by S.",
            lambda: 5**0.5,
        ),
        Diagnosis(
            "upside_down",
            "this is the other way round: the score function has the larger variance, and needs more samples.",
            lambda: 0.2,
        ),
        Diagnosis(
            "second_moments",
            "this is the ratio of the second moments. A variance is $\\mathbb E g^2 - (\\mathbb E g)^2$, for both.",
            lambda: (5 * E - 4) / E,
        ),
        Diagnosis(
            "one_second_moment",
            "you subtracted the squared mean from one second moment only; both estimators have a mean.",
            lambda: (5 * E - 5) / E,
        ),
    ],
    hints=[
        r"Averaging S samples divides a variance by S. So what is asked for is the ratio of two variances. Both "
        r"estimators have the mean $M = e^{\mu + \sigma^2/2}$.",
        r"Everything follows from $\mathbb E\, e^{k\varepsilon} = e^{k^2/2}$ and $\mathbb E\, \varepsilon^2 "
        r"e^{k\varepsilon} "
        r"= (1 + k^2)\, e^{k^2/2}$, the second derivative of the first one for k.",
        r"With $\sigma = 1$, the best baseline is $b = \mathbb E[e^z \varepsilon^2] = 2M$, and $\mathbb E[(e^z - b)^2 "
        r"\varepsilon^2] = M^2 (5e - 8 + 4)$.",
    ],
)


# ---- 7 · a layer

DRAWS = 20_000
STANDARD_ERRORS = 7.0  # a Gaussian is further from its mean with probability 2.6e-12; there are less than 100 numbers


def _layer(mean, log_variance, seed):
    scale = np.exp(log_variance / 2)
    by_chance = STANDARD_ERRORS / np.sqrt(DRAWS)  # of a mean of DRAWS standardized numbers
    of_deviations = by_chance / np.sqrt(2)  # relative, of their standard deviation
    uncorrelated = Near(np.array(0.0), STANDARD_ERRORS / np.sqrt(DRAWS * mean.size))
    return {
        "rows": uncorrelated,
        "dimensions": uncorrelated._replace(atol=STANDARD_ERRORS / np.sqrt(DRAWS * (mean.size - len(mean)))),
        "calls": uncorrelated,
        "spread": Near(scale, 0.0, of_deviations),
        "centre": Near(np.zeros_like(mean), by_chance),
        "gradient of mean": np.ones_like(mean),
        "gradient of log_variance": Near(scale / 2, 0.0, of_deviations),
        "same seed": 0.0,
        "other seed": uncorrelated,
        "restored": 0.0,
        # of n normal numbers it has the variance 24/n; twice the standard errors, since its tails are not normal
        "kurtosis": Near(np.array(3.0), 2 * STANDARD_ERRORS * np.sqrt(24 / (DRAWS * mean.size))),
        "in a model": np.array([5.0, mean.shape[1]]),
    }


def _layers(rng):
    shape = (2, int(rng.integers(2, 4)))
    mean, log_variance = 2 * rng.normal(size=shape), rng.uniform(-2, 2, size=shape)
    return [Case({"mean": mean, "log_variance": log_variance, "seed": int(rng.integers(1, 10**6))})]


LAYER = Question(
    name="Reparameterize",
    title="A Keras layer",
    points=5,
    minutes=20,
    difficulty=2,
    importance=3,
    kind="layer",
    public=[
        Case(
            {
                "mean": np.array([[0.0, 3.0], [-1.0, 1.0]]),
                "log_variance": np.array([[0.0, -1.0], [1.0, 1.5]]),
                "seed": 0,
            }
        )
    ],
    draw=_layers,
    expected=_layer,
    observe=Observe("sampling_layer", {"draws": DRAWS}),
    parts={
        "rows": 1,
        "dimensions": 1,
        "calls": 1,
        "spread": 1.5,
        "kurtosis": 0.5,
        "centre": 1,
        "gradient of mean": 1,
        "gradient of log_variance": 1,
        "same seed": 0.5,
        "other seed": 0.5,
        "restored": 0.5,
        "in a model": 0.5,
    },
    founded=False,
    seconds=60.0,
    because=f"{DRAWS:,} draws are looked at, and {STANDARD_ERRORS:g} standard errors allowed: in fewer than one "
    f"check in "
    "a thousand million, chance alone makes a right layer look wrong.",
    diagnoses=[
        Diagnosis(
            "no_noise",
            "the layer returns the mean, without noise. Keras' own noise layers are silent outside of training; this "
            "one "
            "draws always.",
            lambda mean, **others: {
                **dict.fromkeys(
                    ("rows", "dimensions", "calls", "same seed", "other seed", "restored", "kurtosis"), np.nan
                ),
                "spread": np.zeros_like(mean),
                "gradient of log_variance": np.zeros_like(mean),
            },
        ),
        Diagnosis(
            "one_noise_for_all_rows",
            "all rows of a batch get the same noise: draw noise of the shape of `mean`, not of one row of it.",
            lambda mean, **others: {"rows": 1.0, "spread": np.zeros_like(mean), "centre": OFF},
        ),
        Diagnosis(
            "one_noise_for_all_dimensions",
            "all dimensions of a row get the same noise: draw noise of the shape of `mean`, `[B, D]`.",
            lambda **inputs: {"dimensions": 1.0},
        ),
        Diagnosis(
            "same_noise_each_call",
            "every call gives the same noise. An int as the `seed` of `keras.random.normal` always gives the same "
            "numbers; make a `keras.random.SeedGenerator(seed)` once, in `__init__`, and pass that.",
            lambda **inputs: {"calls": 1.0},
        ),
        Diagnosis(
            "variance_for_deviation",
            r"the draws are spread by the variance; the noise is to be multiplied by $\sigma = e^{\lambda/2}$.",
            lambda log_variance, **others: {
                "spread": np.exp(log_variance),
                "gradient of log_variance": np.exp(log_variance),
            },
        ),
        Diagnosis(
            "log_variance_for_deviation",
            r"the noise is multiplied by $\log\sigma^2$ itself; take $\sigma = e^{\lambda/2}$.",
            lambda log_variance, **others: {
                "spread": np.abs(log_variance),
                "gradient of log_variance": np.ones_like(log_variance),
            },
        ),
        Diagnosis(
            "standard_noise",
            r"the noise is added as it is, with standard deviation 1; multiply it by $\sigma = e^{\lambda/2}$.",
            lambda log_variance, **others: {
                "spread": np.ones_like(log_variance),
                "gradient of log_variance": np.zeros_like(log_variance),
            },
        ),
        Diagnosis(
            "cut",
            CUT,
            lambda mean, **others: dict.fromkeys(("gradient of mean", "gradient of log_variance"), np.zeros_like(mean)),
        ),
        Diagnosis(
            "no_mean",
            r"the mean is missing: draws are spread around 0, not around $\mu$.",
            lambda mean, log_variance, **others: {
                **dict.fromkeys(("rows", "dimensions", "calls", "other seed"), OFF),
                "centre": -mean / np.exp(log_variance / 2),
                "gradient of mean": np.zeros_like(mean),
            },
        ),
        Diagnosis(
            "uniform_noise",
            "the noise is uniform: it has the right spread, but not the tails. `keras.random.normal` draws from "
            r"$\mathcal N(0, 1)$.",
            lambda **inputs: {"kurtosis": 1.8},
        ),
        Diagnosis(
            "seed_ignored",
            "two layers with the same seed draw different numbers: the seed given to `__init__` is not used.",
            lambda **inputs: {"same seed": OFF},
        ),
        Diagnosis(
            "seed_fixed",
            "two layers with different seeds draw the same numbers: the seed given to `__init__` is not used.",
            lambda **inputs: {"other seed": 1.0},
        ),
        Diagnosis(
            "config_without_seed",
            "a layer restored by `from_config(get_config())` draws other numbers: `get_config` should contain the "
            "seed.",
            lambda **inputs: {"restored": OFF},
        ),
    ],
    hints=[
        "Everything but the noise is question 1. Noise comes from `keras.random.normal(shape, seed=...)`.",
        "An int as seed gives the same noise at every call. A `keras.random.SeedGenerator(seed)` made in `__init__` "
        "has a "
        "state that each call moves on.",
        "`call(self, inputs)`: `mean, log_variance = inputs`, then `keras.random.normal(ops.shape(mean), "
        'seed=self.seed_generator)`. `get_config`: `{**super().get_config(), "seed": self.seed}`.',
    ],
)


# ---- 8 · a path without an inverse


def _mixture(sample, logits, means, scales, weights=None):
    """z, and dz/dθ = −(∂F/∂θ) / p(z) for F = Σ_k π_k Φ(t_k), t_k = (z − μ_k)/σ_k."""
    z = sample[:, None]
    weights = softmax(logits, axis=-1) if weights is None else weights
    t = (z - means) / scales  # [S, K]
    joint = weights * norm.pdf(t) / scales
    density = joint.sum(-1, keepdims=True)  # p(z), [S, 1]
    lower, upper = ndtr(t), ndtr(-t)
    F, Q = (np.sum(weights * tail, -1, keepdims=True) for tail in (lower, upper))
    rising = np.where(F < 0.5, F - lower, upper - Q)  # F − Φ(t_k), by the smaller numbers
    return {
        VALUE: sample,
        "gradient of means": joint / density,
        "gradient of scales": joint * t / density,
        "gradient of logits": weights * rising / density,
    }


def _only_gradients(change):
    """Mistakes in gradients: `change(name, right gradient, p(z) [S, 1])`."""

    def wrong(sample, logits, means, scales):
        right = _mixture(sample, logits, means, scales)
        t = (sample[:, None] - means) / scales
        density = np.sum(softmax(logits, axis=-1) * norm.pdf(t) / scales, -1, keepdims=True)
        return {name: change(name, value, density) for name, value in right.items() if name != VALUE}

    return wrong


def _not_subtracted(sample, logits, means, scales):
    t = (sample[:, None] - means) / scales
    weights = softmax(logits, axis=-1)
    return {VALUE: sample - np.sum(weights * ndtr(t), -1) / np.sum(weights * norm.pdf(t) / scales, -1)}


def _nearest_component(sample, logits, means, scales):
    """The path of the likeliest component alone."""
    responsibility = _mixture(sample, logits, means, scales)["gradient of means"]
    chosen = np.eye(responsibility.shape[1])[responsibility.argmax(-1)]
    return {
        "gradient of means": chosen,
        "gradient of scales": chosen * (sample[:, None] - means) / scales,
        "gradient of logits": np.zeros_like(logits),
    }


def _logits_for_weights(sample, logits, means, scales):
    t = (sample[:, None] - means) / scales
    density = np.sum(logits * norm.pdf(t) / scales, -1, keepdims=True)
    return {**_mixture(sample, logits, means, scales, logits), "gradient of logits": -ndtr(t) / density}


def _upper_tail(**inputs):
    right = _mixture(**inputs)
    return {**right, "gradient of logits": OFF} if (inputs["sample"] > 4).all() else right


def _mixtures(rng):
    def case(samples, components, sample=None, part=None):
        shape = (samples, components)
        narrow = 1.0 if sample is None else 0.2
        inputs = {
            "logits": rng.normal(size=shape),
            "means": 2 * narrow * rng.normal(size=shape).clip(-2, 2),
            "scales": np.exp(0.5 * narrow * rng.normal(size=shape).clip(-2, 2)),
        }
        if sample is None:  # near the first component: no tail
            sample = inputs["means"][:, 0] + rng.uniform(-1.5, 1.5, size=samples) * inputs["scales"][:, 0]
        return Case({"sample": sample, **inputs}, part)

    return [
        case(4, 3),
        case(2, 2),
        case(4, 3, rng.uniform(7.5, 8.5, size=4), "tails"),
        case(4, 3, -rng.uniform(7.5, 8.5, size=4), "tails"),
    ]


MIXTURE = Question(
    name="mixture_path",
    title="A path without an inverse: mixtures",
    points=6,
    minutes=30,
    difficulty=3,
    importance=2,
    public=[
        Case(
            {
                "sample": np.array([0.5, -1.0]),
                "logits": np.array([[0.5, 0.1], [1.0, -0.5]]),
                "means": np.array([[-1.0, 1.0], [0.0, -2.0]]),
                "scales": np.array([[1.0, 0.5], [0.8, 2.0]]),
            }
        ),
        Case(
            {
                "sample": np.array([8.0, 7.5]),
                "logits": np.array([[0.5, -0.5], [0.0, 0.3]]),
                "means": np.array([[0.0, 0.5], [0.2, -0.2]]),
                "scales": np.array([[1.0, 1.2], [0.9, 1.0]]),
            },
            "tails",
        ),
    ],
    draw=_mixtures,
    expected=_mixture,
    observe=Observe("gradients", {"of": ["means", "scales", "logits"]}),
    parts={VALUE: 0, "gradient of means": 2, "gradient of scales": 2, "gradient of logits": 2, "tails": 2},
    rtol=1e-3,
    atol=1e-4,
    because="numerator and density are both small in the tails, with a relative error of $t^2 \\approx 100$ float32 "
    "roundings, $10^{-5}$; a hundred times that is allowed.",
    diagnoses=[
        Diagnosis(
            "value_moved",
            "the value has moved; it should stay the sample. Subtract `ops.stop_gradient(F)` from F: the difference "
            "is 0, "
            "with the gradient of F.",
            _not_subtracted,
        ),
        Diagnosis(
            "cut",
            "the gradients are 0: the sample comes back as a constant. Add a term of value 0 whose gradient is that of "
            "$-F/p$.",
            _only_gradients(lambda name, right, density: np.zeros_like(right)),
        ),
        Diagnosis(
            "sign",
            r"the sign is reversed: where F grows at a fixed z, the sample must move *down* to keep $F(z) = u$.",
            _only_gradients(lambda name, right, density: -right),
        ),
        Diagnosis(
            "density_missing",
            r"divide by the density p(z): $\mathrm dz/\mathrm d\theta = -(\partial F/\partial\theta)/p(z)$.",
            _only_gradients(lambda name, right, density: right * density),
        ),
        Diagnosis(
            "one_component",
            "you followed the path of one component only. Which component a sample came from is itself random and may "
            r"change with $\theta$; the mixture's F, the weighted sum, knows nothing of components.",
            _nearest_component,
        ),
        Diagnosis(
            "logits_for_weights",
            r"you took the logits for the weights; these are $\pi = \mathrm{softmax}(\text{logits})$.",
            _logits_for_weights,
        ),
        Diagnosis(
            "equal_weights",
            r"the components' weights are not used: $F = \sum_k \pi_k \Phi(t_k)$, and p alike.",
            lambda sample, logits, means, scales: {
                **_mixture(sample, logits, means, scales, np.full_like(logits, 1 / logits.shape[1])),
                "gradient of logits": np.zeros_like(logits),
            },
        ),
        Diagnosis(
            "upper_tail",
            r"right, but for the logits in the upper tail: there $\Phi(t_k)$ and F are both 1 in float32, and their "
            r"difference is rounding, magnified by 1/p. Use $1 - F = \sum_k \pi_k \Phi(-t_k)$ there, with the sign "
            "reversed.",
            _upper_tail,
        ),
    ],
    hints=[
        r"$F_\theta(z) = u$ stays as $\theta$ moves. Differentiate both sides: $\partial_\theta F + p\, \mathrm "
        r"dz/\mathrm "
        r"d\theta = 0$.",
        "A number with a gradient of your choice: `z + a - ops.stop_gradient(a)` has the value of z and the gradient "
        "of "
        "a. Which a has the gradient $-(\\partial F/\\partial\\theta)/p$? (p, too, behind `stop_gradient`.)",
        r"$F = \sum_k \pi_k \Phi\big((z - \mu_k)/\sigma_k\big)$ at `z = ops.stop_gradient(sample)`. In the upper tail "
        r"use $\sum_k \pi_k \Phi(-t_k) = 1 - F$, whose derivatives are those of F with the other sign.",
    ],
)


QUESTIONS = [GAUSSIAN, EXPONENTIAL, LOG_NORMAL_QUESTION, TRUNCATED, SCORE, RATIO, LAYER, MIXTURE]
