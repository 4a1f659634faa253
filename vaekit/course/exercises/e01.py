r"""Exercise 01: the reparameterization trick."""

import numpy as np

from vaekit.course.questions import Function, Layer, Number

TITLE = "The reparameterization trick"


def _numbers(rng):
    for shape in (3, 2), (1, 5), (4,):
        mean, log_variance, noise = rng.normal(size=(3, *shape))
        yield dict(mean=mean, log_variance=3 * log_variance, noise=noise)


_SPREADS = [
    ("log_variance_for_deviation", {"ops.exp(log_variance / 2)": "log_variance"}, "you multiplied the noise by the "
     r"log-variance itself. It can be negative; take $e^{\lambda/2}$."),
    ("root_of_log_variance", {"ops.exp(log_variance / 2)": "ops.sqrt(log_variance)"}, "you took the square root of "
     r"$\lambda$, which is no variance but its logarithm, and may be negative: $\sigma = \sqrt{e^\lambda} = "
     r"e^{\lambda/2}$."),
    ("precision", {"log_variance / 2": "-log_variance / 2"}, "you divided the noise by the standard deviation; "
     "multiply by it. A sign in the exponent?"),
]  # fmt: skip

GAUSSIAN = Function(
    "gaussian_sample", "A Gaussian", points=2, minutes=5,
    section="The encoder of a VAE", aims=(3,),
    takes="mean, log_variance, noise", gradients="mean log_variance", parts={"value": 2, "gradients": 2},
    draw=_numbers,
    answer="return mean + ops.exp(log_variance / 2) * noise",
    hints=r"""
        Stretch standard noise, then shift it.

        What stretches it is the standard deviation $\sigma$. You have $\lambda = \log \sigma^2$; solve for $\sigma$.

        $z = \mu + e^{\lambda/2} \varepsilon$, with `ops.exp`.
    """,
    mistakes=[
        ("variance_for_deviation", {" / 2": ""}, r"you multiplied the noise by the variance $e^\lambda$; the noise is "
         r"stretched by the standard deviation, $e^{\lambda/2}$."),
        ("half_outside", {"log_variance / 2)": "log_variance) / 2"}, r"you multiplied the noise by $e^\lambda / 2$, "
         r"half the variance. The ½ belongs to the exponent: $\sigma = \sqrt{e^\lambda} = e^{\lambda/2}$."),
        *_SPREADS,
        ("swapped", "return ops.exp(log_variance / 2) + mean * noise", "mean and standard deviation have changed "
         r"places: the noise is stretched by $\sigma$ and shifted by $\mu$."),
    ],
)  # fmt: skip


def _times(rng):
    for shape in (6,), (2, 3):
        yield dict(rate=np.exp(rng.normal(size=shape)), uniform=rng.uniform(0.02, 0.98, size=shape))


def _very_short_and_long_times(rng):
    for uniform in [0, *10 ** -(np.arange(2, 12) + rng.uniform(size=10))], 1 - 2.0 ** -np.arange(18, 25):
        yield dict(rate=np.exp(rng.normal(size=len(uniform))), uniform=np.array(uniform))


_SHIFTED = r"you took $\log(1 + u)$. Solve $1 - e^{-\lambda z} = u$ for z: $\log(1 - u)$ is `ops.log1p(-u)`."
_CLIPPED = (
    "you kept the uniform noise away from 0 and 1 with a small constant. That moves the samples at both ends, and is "
    "not needed: `ops.log1p(-u)` has all its digits wherever u < 1."
)

EXPONENTIAL = Function(
    "exponential_sample", "Invert a distribution function", points=3, minutes=10, importance=2,
    section="Three recipes", aims=(3,),
    takes="rate, uniform", gradients="rate", parts={"value": 3, "gradient of rate": 1, "stable": 2},
    draw={None: _times, "stable": _very_short_and_long_times},
    answer="return -ops.log1p(-uniform) / rate",
    atol=0.0,
    because=r"float32 carries seven digits, and $-\log(1-u)/\lambda$ by `log1p` loses at most one. Samples near 0 "
    "are compared by their ratio, so no absolute error is allowed.",
    hints=r"""
        The distribution function is $F(z) = 1 - e^{-\lambda z}$. Set it to u and solve for z.

        $z = -\log(1-u)/\lambda$. If only the part *stable* is wrong: what is `1 - 1e-9` in float32?

        `ops.log1p(x)` is $\log(1+x)$, computed without the sum.
    """,
    mistakes=[
        ("falling", {"log1p(-uniform)": "log(uniform)"}, "this has the right distribution, but falls as u grows: you "
         r"took $-\log(u)/\lambda$. The inverse of the distribution function, $F^{-1}(u)$, grows with u."),
        ("scale_for_rate", {"/ rate": "* rate"}, "you multiplied by the rate. A higher rate means shorter times: "
         r"divide by $\lambda$."),
        ("shifted", {"-uniform": "uniform"}, _SHIFTED),
        ("shifted", {"-ops": "ops", "-uniform": "uniform"}, _SHIFTED),
        ("distribution_function", "return 1 - ops.exp(-rate * uniform)", "you evaluated the distribution function, "
         r"$1 - e^{-\lambda u}$, at u; its inverse is asked for. Solve $1 - e^{-\lambda z} = u$ for z."),
        ("density", "return rate * ops.exp(-rate * uniform)", r"you evaluated the density at u. A sample is "
         r"$F^{-1}(u)$: solve $1 - e^{-\lambda z} = u$ for z."),
        ("digits_lost", {"log1p(-uniform)": "log(1 - uniform)"}, "for u near 0 the digits of u are lost: in float32, "
         r"$1 - 10^{-9}$ is 1, and its logarithm 0. `ops.log1p(-u)` computes $\log(1-u)$ without the subtraction."),
        *(("clipped", {"log1p(-uniform)": logarithm.format(e)}, _CLIPPED) for logarithm, constants in (
            ("log1p(-ops.clip(uniform, {0}, 1 - {0}))", (1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10)),
            ("log(1 - ops.clip(uniform, {0}, 1 - {0}))", (1e-4, 1e-5, 1e-6, 1e-7)),
            ("log(1 - uniform + {0})", (1e-4, 1e-5, 1e-6, 1e-7))) for e in constants),
    ],
)  # fmt: skip


def _logarithms(rng):
    for shape in (4, 3), (2, 6):
        mean, noise, log_scale = rng.normal(size=(3, *shape))
        yield dict(mean=mean, scale=np.exp(log_scale / 2), noise=noise)


def _huge_and_tiny(rng):
    """z is infinite in float32, then 0."""
    for sign in 1, -1:
        mean = sign * rng.uniform(140, 200, size=(2, 6))
        yield dict(mean=mean, scale=rng.uniform(0.5, 2, size=(2, 6)), noise=rng.normal(size=(2, 6)))


_NOT_AT_LOG_Z = (
    r"you put z into the Gaussian density. What is Gaussian is $\log z = \mu + \sigma\varepsilon$: "
    r"$\log p(z) = \log\mathcal N(\log z; \mu, \sigma^2) - \log z$."
)

_HELD = "((ops.stop_gradient(log_z) - mean) / scale) ** 2"
_STANDS_STILL = (
    "the values are right, but in your log-density the sample stands still, behind `stop_gradient`. It moves with "
    r"$\mu$ and $\sigma$, and takes its density along: let gradients pass through z."
)

LOG_NORMAL = Function(
    "log_normal", "Change the variable: a sample and its density", points=4, minutes=20, difficulty=2,
    section="The density comes along", aims=(3,),
    takes="mean[B,D], scale[B,D], noise[B,D]", returns="sample, log density", axes={"D": "dimensions"},
    gradients="mean scale", parts={"sample": 1, "log density": 2, "gradients": 3, "stable": 2},
    draw={None: _logarithms, "stable": _huge_and_tiny},
    answer="""
        log_z = mean + scale * noise
        log_density = -(noise**2) / 2 - LOG_2PI / 2 - ops.log(scale) - log_z  # [B, D]
        return ops.exp(log_z), ops.sum(log_density, axis=-1)
    """,
    atol={"gradient of log density for mean": 1e-3, "gradient of log density for scale": 1e-3, None: 1e-5},
    because=r"where $\log z$ is 200, float32 rounds it by $10^{-5}$. Who standardizes it again, $(\log z - "
    r"\mu)/\sigma$, has up to ten times that in the gradients of the log-density; a hundred times is allowed.",
    hints=r"""
        Two changes of variable follow each other: $\varepsilon \to \log z = \mu + \sigma\varepsilon \to z = e^{\log
        z}$. Each divides the density by how much it stretches.

        $\log p(z) = \log \mathcal N(\log z; \mu, \sigma^2) - \log z$ in each dimension, and dimensions add up.

        $\log p(z) = \sum_d \big[ -\tfrac12 \varepsilon_d^2 - \log\sigma_d - \tfrac12 \log 2\pi - (\mu_d + \sigma_d
        \varepsilon_d) \big]$. No logarithm of an exponential occurs.
    """,
    mistakes=[
        ("scale_for_deviation", {"scale * noise": "scale**2 * noise"}, "you squared the scale. It is the standard "
         r"deviation of $\log z$: $\log z = \mu + \sigma\varepsilon$."),
        ("no_exponential", {"return ops.exp(log_z)": "return log_z"}, r"this is $\log z$; the sample is "
         r"$z = e^{\mu + \sigma\varepsilon}$."),
        ("no_jacobian", {" - log_z": ""}, r"this is the log-density of $\log z$, per unit of $\log z$. Per unit of z "
         r"it is less by $\log z$ in each dimension: $\log |\mathrm dz / \mathrm d \log z| = \log z$."),
        ("jacobian_added", {"- log_z": "+ log_z"}, r"you added $\log z$, and it should be subtracted: where exp "
         "stretches space, density becomes thinner."),
        ("jacobian_without_logarithm", {"- log_z": "- ops.exp(log_z)"}, r"you subtracted z, by which exp stretches. A "
         r"log-density changes by the logarithm of that, $\log z$."),
        ("not_at_log_z", {"(noise**2)": "((ops.exp(log_z) - mean) / scale) ** 2"}, _NOT_AT_LOG_Z),
        ("not_at_log_z", {"(noise**2)": "((ops.exp(log_z) - mean) / scale) ** 2", " - log_z": ""}, _NOT_AT_LOG_Z),
        ("scale_missing", {" - ops.log(scale)": ""}, r"$-\log\sigma$ is missing in each dimension: stretching the "
         r"noise by $\sigma$ makes its density thinner."),
        ("scale_twice", {"- ops.log(scale)": "- 2 * ops.log(scale)"}, r"you subtracted $\log\sigma$ twice. A "
         r"`log_prob` of $\mathcal N(\mu, \sigma^2)$ contains it already."),
        ("scale_for_variance", {"- ops.log(scale)": "- ops.log(scale) / 2"}, r"you subtracted $\tfrac12\log\sigma$. "
         r"The ½ belongs to $\log\sigma^2$, and `scale` is $\sigma$."),
        ("constant", {" - LOG_2PI / 2": ""}, r"the constant $-\tfrac12 \log 2\pi$ is missing in each dimension. "
         "Gradients do not notice; a likelihood that you report does."),
        ("held", {"(noise**2)": _HELD, "- log_z": "- ops.stop_gradient(log_z)"}, _STANDS_STILL),
        ("swapped", {"return ops.exp(log_z), ops.sum(log_density, axis=-1)":
         "return ops.sum(log_density, axis=-1), ops.exp(log_z)"}, "sample and log-density have changed places: return "
         "the sample first."),
        ("through_z", {"mean + scale * noise": "ops.log(ops.exp(mean + scale * noise))"}, "far out z is no number any "
         r"more: beyond $e^{89}$ float32 has infinity, below $e^{-103}$ it has 0. From there no way leads back to "
         r"$\log z$, and who clips z or $\log z$ has another one. Let z be infinite or 0, and compute the density from "
         r"$\log z = \mu + \sigma\varepsilon$, which you know before any exponential is taken."),
    ],
)  # fmt: skip


def _windows(rng):
    yield _window(rng, (3,), (-2, 0), (0.5, 3))
    yield _window(rng, (2, 3), (-1, 1), (0.2, 1))


def _far_windows(rng):
    yield _window(rng, (2, 3), (6, 8), (1, 2))
    yield _window(rng, (2, 3), (-10, -8), (1, 2))


def _window(rng, shape, start, width):
    """Its lower end and its width are in standard deviations."""
    mean, scale = rng.uniform(-1, 1, size=shape), rng.uniform(0.5, 2, size=shape)
    low = mean + scale * rng.uniform(*start, size=shape)
    high = low + scale * rng.uniform(*width, size=shape)
    return dict(mean=mean, scale=scale, low=low, high=high, uniform=rng.uniform(0.03, 0.97, size=shape))


_NOT_MIRRORED = """
normal = tfd.Normal(0.0, 1.0)
a, b = (low - mean) / scale, (high - mean) / scale
p = normal.cdf(a) + uniform * (normal.cdf(b) - normal.cdf(a))
return mean + scale * normal.quantile(p)
"""
_Z = "mean + scale * normal.quantile(p)"
_INSIDE = f"ops.clip({_Z}, low, high)"
_BY_ERF = """
a, b = (low - mean) / scale, (high - mean) / scale
bottom, top = 0.5 * (1 + ops.erf(a / 2**0.5)), 0.5 * (1 + ops.erf(b / 2**0.5))
return mean + scale * 2**0.5 * ops.erfinv(2 * (bottom + uniform * (top - bottom)) - 1)
"""
_NOT_BELOW = (
    "you kept the probability away from 0 and 1 with a small constant. So no sample lies farther out than where the "
    r"tail holds that much, 5.2 $\sigma$ for $10^{-7}$. Far out probabilities *are* small; reflect windows above the "
    r"mean, $z \to -z$ and $u \to 1 - u$, and none comes near 1."
)

TRUNCATED = Function(
    "truncated_normal_sample", "A truncated Gaussian, far out too", points=5, minutes=30, difficulty=3, importance=2,
    section="Three recipes", aims=(3,),
    takes="mean, scale, low, high, uniform", gradients="mean scale",
    parts={"value": 4, "gradient of mean": 1, "gradient of scale": 2, "tails": 3},
    draw={None: _windows, "tails": _far_windows},
    answer="""
        normal = tfd.Normal(0.0, 1.0)
        a, b = (low - mean) / scale, (high - mean) / scale
        above = a + b > 0  # then draw the mirror image
        bottom = normal.cdf(ops.where(above, -b, a))
        top = normal.cdf(ops.where(above, -a, b))
        u = ops.where(above, 1 - uniform, uniform)
        t = normal.quantile((1 - u) * bottom + u * top)
        return mean + scale * ops.where(above, -t, t)
    """,
    atol={"gradient of mean": 1e-3, "gradient of scale": 1e-3, None: 1e-5},
    because="a gradient is what remains when numbers near 1 are subtracted, out in the tails with an error of "
    r"$t^2 \approx 100$ float32 roundings each, so 0.001 is allowed; samples themselves have five digits.",
    hints=r"""
        Of the standard Gaussian's probability, the window holds what lies between $\Phi(a)$ and $\Phi(b)$. Let u run
        through that.

        $t = \Phi^{-1}\big((1-u)\,\Phi(a) + u\,\Phi(b)\big)$ with $a = (\text{low} - \mu)/\sigma$, $b$ alike, and
        $z = \mu + \sigma t$. `tfd.Normal(0.0, 1.0)` has `cdf` and `quantile`.

        Where $a + b > 0$, draw from the mirror image: limits $-b$ and $-a$, noise $1-u$, result $-t$. `ops.where`
        chooses, element by element; choose the limits, before anything is computed from them.
    """,
    mistakes=[
        ("limits_cut", {"(low - mean) / scale, (high - mean) / scale":
         "ops.stop_gradient((low - mean) / scale), ops.stop_gradient((high - mean) / scale)"},
         r"the limits stand still in your gradient. Standardized, $a = (\text{low} - \mu)/\sigma$ moves when $\mu$ and "
         r"$\sigma$ do; let the gradient pass through it."),
        ("clipped", "return ops.clip(mean + scale * tfd.Normal(0.0, 1.0).quantile(uniform), low, high)",
         "you drew from the whole Gaussian and clipped. That heaps the probability of both tails upon the limits; a "
         "truncated distribution has no heaps. Give u to the part of Φ between the limits."),
        ("whole", "return mean + scale * tfd.Normal(0.0, 1.0).quantile(uniform)", "you drew from the whole Gaussian: "
         "the limits are not used."),
        ("not_standardized", {"(low - mean) / scale, (high - mean) / scale": "low, high"}, "you put the limits into Φ "
         r"as they are. Φ belongs to the standard Gaussian: its limits are $(\text{low} - \mu)/\sigma$ and "
         r"$(\text{high} - \mu)/\sigma$."),
        ("no_lower_limit", _NOT_MIRRORED.replace("normal.cdf(a) + ", "").replace(" - normal.cdf(a)", ""), "the lower "
         r"limit is not used: the argument of $\Phi^{-1}$ runs from $\Phi(a)$, not from 0, to $\Phi(b)$."),
        ("width_forgotten", _NOT_MIRRORED.replace(" - normal.cdf(a)", ""), r"you multiplied u by $\Phi(b)$ and added "
         r"$\Phi(a)$; the window is $\Phi(b) - \Phi(a)$ wide."),
        ("flat", "return low + uniform * (high - low)", "this is uniform between the limits; the distribution should "
         "have the shape of the Gaussian there."),
        ("standardized", {"mean + scale * ": ""}, r"this is the standardized sample; stretch and shift it back, "
         r"$z = \mu + \sigma t$."),
        ("noise_not_reflected", {"ops.where(above, 1 - uniform, uniform)": "uniform"}, "you reflected windows above "
         "the mean by half. The mirror image has the limits $-b$ and $-a$, in this order, and what grew with u falls: "
         "it takes $1 - u$. One of the two is missing."),
        ("not_reflected_back", {"ops.where(above, -t, t)": "t"}, "windows above the mean are reflected, and their "
         "samples stay on the wrong side: take $-t$ there."),
        ("falling", {"1 - uniform, uniform": "uniform, 1 - uniform"}, "your samples fall as u grows: u is the share of "
         r"the window's probability below z, so that $\Phi(a)$ belongs to u = 0, and $\Phi(b)$ to u = 1."),
        ("upper_tail", _NOT_MIRRORED, "in the upper tail all is lost: Φ(7) is 1 in float32, and Φ(8.3) in float64, for "
         r"any limit alike. Φ(−7) has all its digits. Reflect windows that lie above the mean: $z \to -z$, and "
         r"$u \to 1 - u$."),
        ("heaped", _NOT_MIRRORED.replace(_Z, _INSIDE), "in the upper tail every sample lies upon a limit: "
         "float32's Φ(7) is 1, its inverse is infinite, and clipping only hides that. Φ(−7) has all its digits: "
         r"reflect windows above the mean, $z \to -z$ and $u \to 1 - u$."),
        *(("probability_clipped", _NOT_MIRRORED.replace(_Z, z).replace("(p)", f"(ops.clip(p, {e}, 1 - {e}))"),
           _NOT_BELOW) for e in (1e-5, 1e-6, 1e-7, 1e-8) for z in (_Z, _INSIDE)),
        ("both_tails", _BY_ERF, "digits are lost in differences of nearly equal numbers, as $\\frac12(1 + "
         r"\mathrm{erf}(t/\sqrt2))$ and $1 - \Phi(-t)$ are in the lower tail, $\Phi(b) - \Phi(a)$ in the upper one. "
         "`tfd.Normal(0.0, 1.0).cdf` keeps its digits in the lower tail; reflect windows in the upper one."),
    ],
)  # fmt: skip


def _costs(rng):
    for S, D in (4, 3), (7, 1), (5, 2):
        yield _estimate(rng, S, D)


def _costs_and_baseline(rng):
    """As many samples as dimensions: who lets `[S]` meet `[S, D]` gets no error, but wrong numbers."""
    yield {**_estimate(rng, 3, 3), "baseline": float(rng.uniform(2, 6))}


def _estimate(rng, S, D):
    mean, log_scale = rng.normal(size=D), 0.5 * rng.normal(size=D)
    sample = mean + np.exp(log_scale) * rng.normal(size=(S, D))
    return dict(sample=sample, cost=5 + 3 * rng.normal(size=S), mean=mean, log_scale=log_scale)


_NO_LOG_VARIANCE = (
    r"where $\sigma^2$ is due stands `exp(log_scale)`, as if `log_scale` were $\log\sigma^2$. It is $\log\sigma$: "
    r"$\sigma$ = `exp(log_scale)`, and $\sigma^2$ = `exp(2 * log_scale)`."
)
_LOG_DENSITY = "(-(t**2) / 2 - log_scale - LOG_2PI / 2)"

SCORE = Function(
    "score_function", "Without a path: the score function", points=4, minutes=15, difficulty=2,
    section="Leave the darts where they are and change their weight", aims=(1,),
    takes="sample[S,D], cost[S], mean[D], log_scale[D], baseline=0.0", returns="for mean, for log scale",
    axes={"S": "samples", "D": "dimensions"}, parts={"for mean": 3, "for log scale": 3, "baseline": 2},
    requires_first=False, draw={None: _costs, "baseline": _costs_and_baseline},
    answer="""
        scale = ops.exp(log_scale)
        t = (sample - mean) / scale  # [S, D]
        weight = (cost - baseline)[:, None]  # [S, 1]
        return weight * t / scale, weight * (t**2 - 1)
    """,
    hints=r"""
        An estimate is $(f(z) - b)\, \nabla_\varphi \log q_\varphi(z)$. Write down $\log q$ and differentiate.

        $\log q = -\tfrac12 (z-\mu)^2 e^{-2\ell} - \ell + \text{const}$ with $\ell = \log\sigma$.

        $\partial_\mu \log q = (z-\mu)/\sigma^2$ and $\partial_\ell \log q = (z-\mu)^2/\sigma^2 - 1$. Costs are `[S]`,
        scores `[S, D]`: `cost[:, None]`.
    """,
    mistakes=[
        ("swapped", "scale = ops.exp(log_scale)\nt = (sample - mean) / scale\nweight = (cost - baseline)[:, None]\n"
         "return weight * (t**2 - 1), weight * t / scale", r"the two estimates have changed places: return the one for "
         r"$\mu$ first, then the one for $\log\sigma$."),
        ("without_cost", {"(cost - baseline)[:, None]": "1.0"}, r"this is the score alone, $\nabla \log q$; weigh it "
         "with the cost of its sample."),
        ("log_density", {"t / scale,": f"{_LOG_DENSITY},", "(t**2 - 1)": _LOG_DENSITY}, r"you weighed $\log q$ itself "
         r"with the cost. The score is its derivative: $\nabla_\varphi \log q_\varphi(z)$, one for $\mu$ and one for "
         r"$\log\sigma$."),
        ("baseline_ignored", {" - baseline": ""}, "the baseline is not used: the cost enters less the baseline."),
        ("baseline_added", {"- baseline": "+ baseline"}, "you added the baseline; subtract it from the cost."),
        ("own_baseline", {"- baseline": "- ops.mean(cost)"}, "you subtracted the mean of these costs. Use the baseline "
         "that is given: a mean that contains the sample's own cost depends on the sample, and makes the expected "
         r"estimate smaller, by the factor $1 - 1/S$."),
        ("baseline_afterwards", {" - baseline": "", "t / scale,": "t / scale - baseline,", "(t**2 - 1)":
         "(t**2 - 1) - baseline"}, "the baseline was subtracted after multiplying with the score. That shifts the "
         r"gradient itself by b. It belongs to the cost: $(f - b) \nabla \log q$ keeps its mean, since the score has "
         "mean 0."),
        ("not_a_column", {"[:, None]": "[: sample.shape[1]]"}, "costs `[S]` have met scores `[S, D]`, and were spread "
         "along the dimensions: with S = D nothing complains. `cost[:, None]` is `[S, 1]`, one cost for each row."),
        ("log_scale_for_log_variance", {"exp(log_scale)": "exp(log_scale / 2)"}, _NO_LOG_VARIANCE),
        ("log_scale_for_log_variance", {"exp(log_scale)": "exp(log_scale / 2)", "(t**2 - 1)": "(t**2 - 1) / 2"},
         _NO_LOG_VARIANCE),
        ("no_exponential", {"ops.exp(log_scale)": "log_scale"}, r"you divided by `log_scale` itself. It is "
         r"$\log\sigma$, and may be negative or 0: $\sigma$ = `exp(log_scale)`."),
        ("deviation_for_variance", {"t / scale,": "t,"}, r"you divided by $\sigma$; the score of $\mu$ is "
         r"$(z - \mu)/\sigma^2$."),
        ("sign", {"sample - mean": "mean - sample"}, r"the sign is reversed: a larger $\mu$ makes samples *beyond* "
         r"$\mu$ more likely, so the score is $(z - \mu)/\sigma^2$."),
        ("for_scale", {"(t**2 - 1)": "(t**2 - 1) / scale"}, r"this is the gradient for $\sigma$. For $\log\sigma$ the "
         r"chain rule multiplies by $\sigma$."),
        ("for_log_variance", {"(t**2 - 1)": "(t**2 - 1) / 2"}, r"this is the gradient for $\log\sigma^2$, half of the "
         r"one for $\log\sigma$."),
        ("normalizer", {"(t**2 - 1)": "t**2"}, r"the $-1$ is missing: the density's factor $1/\sigma$ depends on "
         r"$\sigma$, too, and $-\log\sigma$ has the derivative $-1$ for $\log\sigma$."),
    ],
)  # fmt: skip

WORTH = Number(
    "samples_worth", "By hand: what a path is worth", points=2, minutes=20, difficulty=2, importance=2,
    section="How noisy?", aims=(2,),
    value="5",
    note="(The ratio of the second moments without a baseline, $5e/e$, is 5 as well, by accident.)",
    hints=r"""
        Averaging S samples divides a variance by S. So what is asked for is the ratio of two variances. Both estimators
        have the mean $M = e^{\mu + 1/2}$.

        Everything follows from $\mathbb E\, e^{k\varepsilon} = e^{k^2/2}$ and $\mathbb E\, \varepsilon^2
        e^{k\varepsilon} = (1 + k^2)\, e^{k^2/2}$, the second derivative of the first one for k.

        The best baseline is $b = \mathbb E[e^z \varepsilon^2] = 2M$, and $\mathbb E[(e^z - b)^2 \varepsilon^2] = M^2
        (5e - 8 + 4)$.
    """,
    mistakes=[
        ("no_baseline", "(5 * e - 1) / (e - 1)", "this is the ratio without a baseline, $(5e - 1)/(e - 1)$. Subtract "
         "the best one, then compare."),
        ("baseline_or_moment", "(5 * e - 4) / (e - 1)", r"this takes $b = \mathbb E f$ for the best baseline, which "
         r"weighs costs with the squared score: $b = \mathbb E[f s^2] / \mathbb E[s^2]$."),
        ("baseline_or_moment", "(5 * e - 4) / (e - 1)", "the squared mean is missing from the score function's "
         r"variance, $\mathbb E g^2 - (\mathbb E g)^2$."),
        ("second_moments", "(5 * e - 4) / e", r"this is the ratio of the second moments. A variance is "
         r"$\mathbb E g^2 - (\mathbb E g)^2$, for both."),
        ("second_moment_of_path", "(5 * e - 5) / e", "the squared mean is missing from the pathwise variance, "
         r"$\mathbb E g^2 - (\mathbb E g)^2$."),
        ("deviations", "sqrt(5)", "this is the ratio of the standard deviations. Averaging S samples divides the "
         "*variance* by S."),
        ("upside_down", "1 / 5", "this is the other way round: the score function has the larger variance, and needs "
         "more samples."),
    ],
)  # fmt: skip


LAYER = Layer(
    "Reparameterize", "A Keras layer", points=5, minutes=20, difficulty=2,
    section="Dice in a Keras layer", aims=(3,),
    takes="mean[N,D], log_variance[N,D]",
    draw=lambda rng: [dict(mean=2 * rng.normal(size=(2, 3)), log_variance=rng.uniform(-5, 3, size=(2, 3)))],
    answer="return mean + ops.exp(log_variance / 2) * noise",
    hints=r"""
        Everything but the noise is question 1. Noise comes from `keras.random.normal(shape, seed=...)`.

        An int as seed gives the same noise at every call. A `keras.random.SeedGenerator(seed)` made in `__init__` has a
        state that each call moves on.

        `call(self, inputs)`: `mean, log_variance = inputs`, then `keras.random.normal(ops.shape(mean),
        seed=self.seed_generator)`. `get_config`: `{**super().get_config(), "seed": self.seed}`.
    """,
    mistakes=[
        ("variance_for_deviation", {" / 2": ""}, r"the draws are spread by the variance; the noise is to be multiplied "
         r"by $\sigma = e^{\lambda/2}$."),
        *_SPREADS,
        ("standard_noise", {"ops.exp(log_variance / 2) * noise": "noise"}, "the noise is added as it is, with standard "
         r"deviation 1; multiply it by $\sigma = e^{\lambda/2}$."),
        ("no_mean", {"mean +": ""}, r"the mean is missing: draws are spread around 0, not around $\mu$."),
        ("swapped", "return log_variance + ops.exp(mean / 2) * noise", r"$\mu$ and $\log\sigma^2$ have changed "
         "places: the inputs are a pair, the mean first."),
    ],
)  # fmt: skip


def _mixtures(rng):
    """Samples near the first component: no tail."""
    for S, K in (4, 3), (5, 2):
        mixture = _mixture(rng, S, K, 1.0)
        sample = mixture["means"][:, 0] + rng.uniform(-1.5, 1.5, size=S) * mixture["scales"][:, 0]
        yield dict(sample=sample, **mixture)


def _far_samples(rng):
    for sign in 1, -1:  # of mixtures that do not lie around 0
        mixture, offset = _mixture(rng, 4, 3, 0.2), rng.choice([-1, 1]) * rng.uniform(10, 20)
        mixture["means"] += offset
        yield dict(sample=offset + sign * rng.uniform(7.5, 8.5, size=4), **mixture)


def _mixture(rng, S, K, size):
    logits, means, log_scales = rng.normal(size=(3, S, K)).clip(-2, 2)
    return dict(logits=logits, means=2 * size * means, scales=np.exp(0.5 * size * log_scales))


def _far_up(sample, means, **parameters):
    """There F is 1 in float64, too, and differences of it are rounding."""
    return [f"gradient of {name}" for name in ("means", *parameters)] if (sample > means.max(1) + 4).all() else []


_LOWER = {"side * normal.cdf(side * t)": "normal.cdf(t)"}  # F, in the upper tail too
_PATH = "- (F - ops.stop_gradient(F)) / ops.stop_gradient(p)"
_AVERAGED = """
weights = ops.softmax(logits, axis=-1)
mean, scale = ops.sum(weights * means, axis=-1), ops.sum(weights * scales, axis=-1)
return mean + scale * ops.stop_gradient((sample - mean) / scale)
"""
_ONE_COMPONENT = """chosen = ops.argmax(ops.log(weights) - t**2 / 2 - ops.log(scales), axis=-1)
path = ops.sum(ops.one_hot(chosen, 3) * (means + scales * ops.stop_gradient(t)), axis=-1)
return sample + (path - ops.stop_gradient(path))"""

MIXTURE = Function(
    "mixture_path", "A path without an inverse: mixtures", points=6, minutes=60, difficulty=3, importance=2,
    section="Following a path without knowing it", aims=(3, 4),
    takes="sample[S], logits[S,K], means[S,K], scales[S,K]", gradients="means scales logits",
    parts={"value": 0, "gradient of means": 2, "gradient of scales": 2, "gradient of logits": 2, "tails": 2},
    draw={None: _mixtures, "tails": _far_samples},
    answer="""
        z = ops.stop_gradient(sample)[:, None]
        weights = ops.softmax(logits, axis=-1)
        t = (z - means) / scales  # [S, K]
        side = ops.where(z > ops.sum(weights * means, axis=-1, keepdims=True), -1.0, 1.0)
        normal = tfd.Normal(0.0, 1.0)
        F = ops.sum(weights * side * normal.cdf(side * t), axis=-1)  # in the upper half F − 1, with the slopes of F
        p = ops.sum(weights * normal.prob(t) / scales, axis=-1)
        return z[:, 0] - (F - ops.stop_gradient(F)) / ops.stop_gradient(p)
    """,
    rtol=1e-3,
    atol=1e-4,
    because=r"numerator and density are both small in the tails, with a relative error of $t^2 \approx 100$ float32 "
    "roundings, $10^{-5}$; a hundred times that is allowed.",
    hints=r"""
        $F_\theta(z) = u$ stays as $\theta$ moves. Differentiate both sides: $\partial_\theta F + p\, \mathrm dz/\mathrm
        d\theta = 0$.

        A number with a gradient of your choice: `z + (a - ops.stop_gradient(a))` has the value of z and the gradient of
        a; the brackets keep z from being rounded away where a is large. Which a has the gradient
        $-(\partial F/\partial\theta)/p$? (p, too, behind `stop_gradient`.)

        $F = \sum_k \pi_k \Phi\big((z - \mu_k)/\sigma_k\big)$ at `z = ops.stop_gradient(sample)`. In the upper tail use
        $\sum_k \pi_k \Phi(-t_k) = 1 - F$, whose derivatives are those of F with the other sign.
    """,
    mistakes=[
        *(("value_moved", {**F, _PATH: moved}, "the value has moved; it should stay the sample. Subtract "
           "`ops.stop_gradient(a)` from the a that you add: the difference is 0, with the gradient of a.")
          for F in (_LOWER, {})
          for moved in ("- F", "+ F", "- F / ops.stop_gradient(p)", "+ F / ops.stop_gradient(p)")),
        ("upper_tail", _LOWER, r"right, but for the logits in the upper tail: there $\Phi(t_k)$ and F are both 1 in "
         r"float32, and their difference is rounding, magnified by 1/p. Use $1 - F = \sum_k \pi_k \Phi(-t_k)$ there, "
         "with the sign reversed.", _far_up),
        ("rounded_away", {**_LOWER, _PATH: "+ (-F / ops.stop_gradient(p)) - ops.stop_gradient(-F / p)"}, "the value is "
         "lost to rounding: far up $a = -F/p$ is $-10^{14}$, and of `z + a` nothing is left of z when a is taken away "
         "again. Put brackets, `z + (a - ops.stop_gradient(a))`."),
        ("sign", {"- (F -": "+ (F -"}, r"the sign is reversed: where F grows at a fixed z, the sample must move *down* "
         "to keep $F(z) = u$."),
        ("density_missing", {" / ops.stop_gradient(p)": ""}, r"divide by the density p(z): $\mathrm dz/\mathrm d\theta "
         r"= -(\partial F/\partial\theta)/p(z)$."),
        *(("density_moves", {**F, _PATH: "- (F / p - ops.stop_gradient(F / p))"}, r"you differentiated the density, "
           r"too: $F/p$ has the gradient $(\partial F/\partial\theta)/p - F\, (\partial p/\partial\theta)/p^2$, and "
           "only the first term is wanted. Divide by `ops.stop_gradient(p)`.", _far_up) for F in (_LOWER, {})),
        ("density_without_weights", {"weights * normal.prob": "normal.prob"}, r"the weights are missing in the "
         r"density: $p(z) = \sum_k \pi_k\, \mathcal N(z; \mu_k, \sigma_k^2)$."),
        ("density_per_unit_of_t", {" / scales, axis=-1)": ", axis=-1)"}, r"a factor $1/\sigma_k$ is missing in the "
         r"density: $p(z) = \sum_k \pi_k\, \varphi(t_k)/\sigma_k$, where $\varphi$ is the standard Gaussian's."),
        *(("density_raised", {**_LOWER, "stop_gradient(p)": f"stop_gradient(p + {e})"}, "in the tails the density "
           "itself is as small as the constant by which you keep it from 0, or smaller. It is not needed: p is never 0 "
           "here, and F is as small.", _far_up) for e in (1e-6, 1e-7, 1e-8, 1e-10, 1e-12)),
        ("weights_held", {"ops.softmax(logits, axis=-1)": "ops.stop_gradient(ops.softmax(logits, axis=-1))"}, "nothing "
         r"reaches the logits: the weights, $\pi = \mathrm{softmax}(\text{logits})$, or what you computed of them, "
         r"stand behind `stop_gradient`. F depends on them: let the gradient pass through $\pi$ in F."),
        ("one_component", {f"return z[:, 0] {_PATH}": _ONE_COMPONENT.replace(", 3)", ", weights.shape[-1])")}, "you "
         "followed the path of one component only. Which component a sample came from is itself random and may change "
         r"with $\theta$; the mixture's F, the weighted sum, knows nothing of components."),
        ("one_gaussian", _AVERAGED, "you averaged means and scales, and followed the path of a single Gaussian. A "
         r"mixture is none: what is averaged is the distribution functions, $F = \sum_k \pi_k \Phi(t_k)$."),
        ("logits_for_weights", {**_LOWER, "ops.softmax(logits, axis=-1)": "logits"}, "you took the logits for the "
         r"weights; these are $\pi = \mathrm{softmax}(\text{logits})$.", _far_up),
        ("softmax_over_samples", {"logits, axis=-1": "logits, axis=0"}, "your weights add up to 1 over the samples. "
         "Each sample has a mixture of its own: the softmax is over the last axis, the components."),
        ("equal_weights", {"ops.softmax(logits, axis=-1)": "ops.ones_like(logits) / logits.shape[-1]"}, "the "
         r"components' weights are not used: $F = \sum_k \pi_k \Phi(t_k)$, and p alike."),
        ("lower_tail", {"side * normal.cdf(side * t)": "-normal.cdf(-t)"}, "right, but for the logits in the lower "
         r"tail: there $\Phi(-t_k)$ is 1 for all k in float32. Use F itself there, $\sum_k \pi_k \Phi(t_k)$.",
         lambda sample, **parameters: _far_up(-sample, **parameters)),
        ("side_by_component", {"side * normal.cdf(side * t)": "ops.where(t > 0, -normal.cdf(-t), normal.cdf(t))"},
         r"you chose between $\Phi(t_k)$ and $-\Phi(-t_k)$ for each component. Their sum is F less the weights of some "
         "of them, which move with the logits. Choose once for all components of a sample."),
    ],
)  # fmt: skip

QUESTIONS = [GAUSSIAN, EXPONENTIAL, LOG_NORMAL, TRUNCATED, SCORE, WORTH, LAYER, MIXTURE]
