r"""Exercise 03: measuring likelihood."""

import functools

import numpy as np

from vaekit.course.questions import Experiment, FittedPosterior, Function, Mend, Number
from vaekit.course.questions.model import DECODER
from vaekit.course.questions.question import AtLeast, AtMost
from vaekit.datasets import load
from vaekit.papers import kingma2013

TITLE = "Measuring likelihood"


# ---- 1


def _log_weights(rng):
    for shape, spread in ((6, 3), 1), ((4, 5), 2), ((9, 2), 0.3):
        yield dict(log_weights=spread * rng.normal(size=shape) - rng.uniform(0, 3, size=shape[1]))


def _huge_and_tiny_weights(rng):
    """Images with weights near e^800, near e^-800, both, and 0."""
    log_weights = 2 * rng.normal(size=(5, 4)) + np.array([800, -800, 0, -130])
    log_weights[:, 2] = rng.permutation([800, 799, 0, -400, -800])
    log_weights[rng.integers(5), 3] = -np.inf
    yield dict(log_weights=log_weights)


_ESTIMATE = "ops.logsumexp(log_weights, axis=0) - np.log(log_weights.shape[0])"


def _shares(weights):
    """The edit that makes the shares of weights, whatever becomes of these."""
    return {"share = ops.softmax(log_weights, axis=0)": f"share = {weights}\nshare = share / ops.sum(share, axis=0)"}


_OVER_ALL = (
    "the largest log-weight *of all images* was subtracted, so the weights of an image far below it are all 0. Each "
    "image has a largest one of its own: the maximum over axis 0."
)

LOG_MEAN = Function(
    "log_mean_weight", "The logarithm of a mean, however large its terms", points=3, minutes=8,
    section="Importance weights", aims=(1,),
    takes="log_weights[S,N]", returns="estimate, effective sample size", axes={"S": "samples", "N": "images"},
    draw={None: _log_weights, "stable": _huge_and_tiny_weights}, requires_first=False,
    parts={"estimate": 1, "effective sample size": 1, "stable": 1.5},
    rtol=1e-3, atol={"estimate": 1e-4, "effective sample size": 1e-4},
    because="at 800 float32's numbers are 0.00006 apart, so a weight has four digits; what mistakes change is more.",
    answer="""
        estimate = ops.logsumexp(log_weights, axis=0) - np.log(log_weights.shape[0])
        share = ops.softmax(log_weights, axis=0)  # w_s / Σ w, [S, N]
        return estimate, 1 / ops.sum(share**2, axis=0)
    """,
    hints=r"""
        Both are about the weights of one image: axis 0. Take the largest log-weight $m$ of the image out of the sum:
        $\sum_s w_s = e^m \sum_s e^{\log w_s - m}$. No term of what remains is larger than 1.

        `ops.logsumexp(log_weights, axis=0)` does just that, and gives $\log\sum_s w_s$. A mean is that over $S$: what
        happens to its logarithm?

        The effective sample size does not change when all weights are multiplied by the same number. So put
        $\hat w_s = w_s / \sum w$ in their place: `ops.softmax(log_weights, axis=0)`. They add up to 1, and what is
        left is $1 / \sum_s \hat w_s^2$.
    """,
    mistakes=[
        ("mean_of_logs", {_ESTIMATE:
         "ops.mean(log_weights, axis=0)"}, "this is the mean of the logarithms, the ELBO, which no number of samples "
         r"brings nearer to $\log p(x)$. The logarithm of the mean is asked for."),
        ("sum", {" - np.log(log_weights.shape[0])": ""}, r"this is the logarithm of the *sum*: $\log S$ is not "
         "subtracted, and each doubling of the samples would make the model better by 0.69 nats."),
        ("log_of_images", {"log_weights.shape[0])": "log_weights.shape[1])"}, r"you subtracted $\log N$. The mean is "
         r"over the $S$ samples, the first axis."),
        ("wrong_axis", {_ESTIMATE:
         "ops.logsumexp(log_weights, axis=1) - np.log(log_weights.shape[1])"}, "the estimate is a mean over axis 1, "
         "the images. The samples are axis 0."),
        *(("overflow", {_ESTIMATE: "ops.log(ops.mean(ops.exp(log_weights), axis=0))"} | shares, r"$e^{800}$ is "
           r"infinite in float32, and in float64, and $e^{-800}$ is 0. Take the largest log-weight of each image out "
           "before you exponentiate, as `ops.logsumexp` does.") for shares in ({}, _shares("ops.exp(log_weights)"))),
        *(("clipped", {"estimate = ops.logsumexp(log_weights,": f"clipped = ops.clip(log_weights, -{c}, {c})\n"
           "estimate = ops.logsumexp(clipped,"}, "the log-weights were clipped. Nothing overflows, and an "
           r"image whose weights are near $e^{800}$ is told another likelihood. Take the largest one out instead.")
          for c in (50, 60, 70, 80, 87, 88, 100)),
        *(("mean_subtracted", {_ESTIMATE: "ops.log(ops.mean(ops.exp(log_weights - ops.mean(log_weights, axis=0)), "
           "axis=0)) + ops.mean(log_weights, axis=0)"} | shares, "what you took out of the sum is not the largest "
           r"log-weight; their mean, or the smallest? What remains may still be $e^{700}$, and the mean is $-\infty$ "
           "if one weight is 0. Take out the largest.")
          for shares in ({}, _shares("ops.exp(log_weights - ops.mean(log_weights, axis=0))"))),
        ("largest_weight", {_ESTIMATE: "ops.max(log_weights, axis=0)"}, "this is the largest log-weight alone: what "
         "the other samples say is lost, and that there are $S$ of them."),
        *(("one_maximum", {_ESTIMATE: "ops.log(ops.mean(ops.exp(log_weights - ops.max(log_weights)), axis=0)) + "
           "ops.max(log_weights)"} | shares, _OVER_ALL)
          for shares in ({}, _shares("ops.exp(log_weights - ops.max(log_weights))"))),
        ("maximum_lost", {_ESTIMATE:
         "ops.log(ops.mean(ops.exp(log_weights - ops.max(log_weights, axis=0)), axis=0))"}, "the largest log-weight is "
         "taken out of the mean, and not put back: add it to the logarithm."),
        ("reciprocal", {"1 / ops.sum(share**2, axis=0)": "ops.sum(share**2, axis=0)"}, r"this is $\sum\hat w_s^2$, the "
         "reciprocal: 1 where one sample has all the weight, and that is the effective sample size, too."),
        ("share_of_samples", {"1 / ops.sum(share**2, axis=0)": "1 / ops.sum(share**2, axis=0) / share.shape[0]"},
         r"the effective sample size is divided by $S$. It counts samples, from 1 to $S$."),
        ("not_normalized", {"share = ops.softmax(log_weights, axis=0)": "share = ops.exp(log_weights)"}, "the weights "
         r"are not normalized: divide them by their sum, or write $(\sum w_s)^2 / \sum w_s^2$."),
        ("shares_overflow", {"ops.softmax(log_weights, axis=0)": "ops.exp(log_weights) / ops.sum(ops.exp(log_weights), "
         "axis=0)"}, r"the shares are computed from the weights themselves, and $e^{800}$ is infinite in float32, "
         r"$e^{-800}$ is 0. A common factor cancels: take the largest log-weight out, as `ops.softmax` does."),
        ("of_log_weights", {"1 / ops.sum(share**2, axis=0)":
         "ops.sum(log_weights, axis=0) ** 2 / ops.sum(log_weights**2, axis=0)"}, "this is the formula for the "
         "log-weights. It is about the weights themselves."),
        ("sum_not_squared", {"1 / ops.sum(share**2, axis=0)": "1 / ops.sum(share**2, axis=0) / "
         "ops.exp(ops.logsumexp(log_weights, axis=0))"}, r"the sum of the weights, above, is not squared: "
         r"$(\sum_s w_s)^2$. As it is, the number would change with the unit of the weights."),
        ("square_outside", {"ops.sum(share**2, axis=0)": "ops.sum(share, axis=0) ** 2"}, r"below, the sum is squared, "
         r"and it is the weights that should be: $\sum_s w_s^2$, not $(\sum_s w_s)^2$."),
        ("largest_share", {"1 / ops.sum(share**2, axis=0)": "1 / ops.max(share, axis=0)"}, "this is the reciprocal of "
         "the largest share alone. All shares count, squared."),
        ("perplexity", {"1 / ops.sum(share**2, axis=0)": "ops.exp(-ops.sum(share * ops.log(share), axis=0))"}, "this "
         r"is $e^H$ with the entropy $H$ of the shares: a count of samples as well, but another one. Asked for is "
         r"$1/\sum\hat w_s^2$, which the variance of the estimate follows."),
        ("softmax_over_images", {"ops.softmax(log_weights, axis=0)": "ops.softmax(log_weights, axis=1)"}, "the shares "
         "add up to 1 over the images. Each image has samples of its own: axis 0."),
        ("exchanged", {"return estimate, 1 / ops.sum(share**2, axis=0)":
         "return 1 / ops.sum(share**2, axis=0), estimate"}, "the two have changed places: the estimate first."),
    ],
)  # fmt: skip


# ---- 2

NEEDED = Number(
    "samples_needed", "By hand: an encoder that is a little beside", points=2, minutes=20, difficulty=2,
    section="Importance weights", aims=(1,),
    value="(exp(3.2) - 1) / 0.2",
    rtol=4e-3,
    because="the number is 117.7; 0.4 % leave room for who rounds up to 118 whole samples.",
    hints=r"""
        The bias is $-v/2S$, with the relative variance $v$ of a weight. With $w/p(x) = p(z|x)/q(z|x)$ it is
        $v = \mathbb E_q\big[(p(z|x)/q(z|x))^2\big] - 1$. Both densities are products over the latents, so the second
        moment is a product, too: begin with one latent, of which $\sigma = 1$ and $\mu = 0$ can be assumed.

        $\int \frac{\mathcal N(z; 0, 1)^2}{\mathcal N(z; \delta, 1)}\,\mathrm dz = \frac{1}{\sqrt{2\pi}}\int
        e^{-z^2 + \frac12(z - \delta)^2}\,\mathrm dz$. Complete the square: the exponent is $-\frac12(z + \delta)^2$,
        and something is left over.

        What is left over is $e^{\delta^2}$. So $v = e^{20\,\delta^2} - 1$ with $\delta = 0.4$, and $v/2S = 0.1$.
    """,
    mistakes=[
        ("second_moment", "exp(3.2) / 0.2", r"this is made of the second moment. The variance is $\mathbb E w^2 - "
         r"(\mathbb E w)^2$: the relative one is $e^{3.2} - 1$."),
        ("half_missing", "(exp(3.2) - 1) / 0.1", "the ½ is missing: the bias is half of the relative variance, "
         "over $S$."),
        ("one_latent", "(exp(0.16) - 1) / 0.2", "this is for one latent. There are 20, and the second moment of a "
         "product of independent factors is the product of theirs."),
        ("latents_added", "20 * (exp(0.16) - 1) / 0.2", "you added the relative variances of the 20 latents. Second "
         r"moments of independent factors *multiply*: $(e^{0.16})^{20} - 1$."),
        ("spread_for_bias", "(exp(3.2) - 1) / 0.01", r"this makes the *standard deviation* of the estimate 0.1. It is "
         r"$\sqrt{v/S}$; the bias is $v/2S$."),
        ("divergence", "(exp(1.6) - 1) / 0.2", r"your exponent is 1.6, $\frac12 \|\delta\|^2$. That is the KL "
         r"divergence of $q$ from the posterior; the second moment of the weights is $e^{\|\delta\|^2}$."),
        ("exponent_doubled", "(exp(6.4) - 1) / 0.2", r"your exponent is 6.4, twice $\|\delta\|^2$. Complete the square "
         r"again: $-z^2 + \frac12(z - \delta)^2 = -\frac12(z + \delta)^2 + \delta^2$."),
        ("not_squared", "(exp(8) - 1) / 0.2", r"your exponent is 8, $20 \cdot 0.4$. It is the *squares* of the offsets "
         r"that add up, $20 \cdot 0.4^2$."),
        ("exponent_or_gap", "1.6 / 0.1", r"you divided the gap of the bound, 1.6 nats, by $S$. The gap is the bias "
         r"at $S = 1$, and does not fall as $1/S$ from there; $v/2S$ does."),
        ("variance_itself", "exp(3.2) - 1", r"this is the relative variance $v$ itself. The bias is $v/2S$, and is to "
         "be 0.1 nats."),
        ("half_twice", "(exp(3.2) - 1) / 0.4", r"there is a ½ too many: $v/2S = 0.1$ makes $S = v/0.2$."),
        ("not_divided", "(exp(3.2) - 1) * 0.2", r"you multiplied $v$ by 0.2: solve $v/2S = 0.1$ for $S$."),
        ("not_relative", "(exp(6.4) - exp(3.2)) / 0.2", r"the variance is not the relative one: with $w/p(x)$ in place "
         r"of $w$ the mean is 1, and $v = \mathbb E w^2 - 1$."),
        *(("widths", f"(({c}**2 / sqrt({c}**2 * 2 - 1))**20 - 1) / 0.2", r"you took the lesson's $v$, which is for "
           "widths that are wrong by a factor. Here the widths are right, and the means are beside: work out the "
           "second moment anew.") for c in (1.4, 1.16)),
        ("rounded_down", "117", "117.7 samples were rounded down, and with 117 the rule gives more than 0.1. Give the "
         "number as it is, or round it up."),
        ("exponent_or_gap", "3.2 / 0.2", r"you took 3.2 for $e^{3.2} - 1$: that is so for small numbers only."),
    ],
)  # fmt: skip


# ---- 3

BIAS, ERROR = 0.1, 0.2  # nats
NOISE = 0.5  # s, of the pixels
RUNS = 1000  # reports of which the share that is right is counted
PILOT = 200, 300  # samples, images
REPEATS = {"best of ten": 10}
ESTIMATORS = {"log of mean", "mean of logs", "best of ten", "harmonic mean", "reconstruction"}


def _models(rng):
    """Two models, z ~ N(0, I), x ~ N(z, s² I), of which q is wider than the posterior: little, and a lot."""
    models = []
    for latents, low, high in (8, 2.0, 2.4), (32, 1.6, 1.8):
        model = {"latents": latents, "widening": rng.uniform(low, high)}
        models.append({"pilot": _terms(rng, "log of mean", *PILOT, **model)[1], **model})
    return models


def _terms(rng, estimator, samples, images, latents, widening):
    """Draws images: log p(x) [N], and what an estimator takes the mean of, as logarithms [S, N].

    Of an image only its distance from 0 counts, and of a sample its distance from the image, in units of their spread.
    """
    distance = rng.chisquare(latents, size=images)  # ‖x‖² / (1 + s²)
    log_p = -0.5 * (latents * np.log(2 * np.pi * (1 + NOISE**2)) + distance)
    if estimator in ("harmonic mean", "reconstruction"):  # of p(x|z), z from the posterior, or from q
        spread = NOISE**2 / (1 + NOISE**2) * (1 if estimator == "harmonic mean" else widening)
        offset = distance * NOISE**4 / (1 + NOISE**2)  # ‖x − E[z|x]‖²
        squares = spread * rng.noncentral_chisquare(latents, offset / spread, size=(samples, images))
        return log_p, -0.5 * (latents * np.log(2 * np.pi * NOISE**2) + squares / NOISE**2)
    distances = rng.chisquare(latents, size=(samples, images))  # ‖z − E[z|x]‖², z from q
    return log_p, log_p + 0.5 * (latents * np.log(widening) - (widening - 1) * distances)


def _estimates(terms, estimator):
    """Estimates log p(x) `[N]` from logarithms [S, N]."""
    if estimator in ("mean of logs", "reconstruction"):
        return terms.mean(axis=0)
    if estimator == "harmonic mean":
        return -_log_mean(-terms)
    if estimator == "best of ten":
        return np.max([_log_mean(part) for part in np.split(terms, REPEATS[estimator])], axis=0)
    return _log_mean(terms)


def _log_mean(terms):
    return np.logaddexp.reduce(terms, axis=0) - np.log(len(terms))


@functools.lru_cache
def _fewest_decodings(latents, widening, most=400, images=4000):
    """Finds the fewest decodings that reach bias and standard error: S from one long row of samples for each image."""
    log_p, terms = _terms(np.random.default_rng(0), "log of mean", most, images, latents, widening)
    estimates = np.logaddexp.accumulate(terms, axis=0) - np.log(np.arange(1, most + 1))[:, None]
    bias = np.mean(log_p - estimates, axis=1)
    samples = int(np.argmax(bias <= BIAS)) + 1
    return samples * (np.std(estimates[samples - 1]) / ERROR) ** 2


def _report(rng, pilot, latents, widening, estimator, error, samples, images):
    """Measures what reports of an experiment are worth, from a pool of images with an estimate for each."""
    repeats = REPEATS.get(estimator, 1)
    pool = int(np.clip(4e6 / (samples * repeats), 500, 4000))
    log_p, terms = _terms(rng, estimator, samples * repeats, pool, latents, widening)
    estimates = _estimates(terms, estimator)
    drawn = estimates[rng.integers(pool, size=(RUNS, images))]
    spread = {
        "images": np.std(drawn, axis=1),
        "seeds": np.std(estimates - log_p),
        "weights": np.std(terms) / np.sqrt(samples),
    }[error]
    right = np.abs(drawn.mean(axis=1) - log_p.mean()) <= 2 * spread / np.sqrt(images)
    offset = np.mean(estimates - log_p)
    return {
        "offset": offset,
        "bias": abs(offset),
        "standard_error": np.std(estimates) / np.sqrt(images),
        "intervals_that_hold_the_truth": np.mean(right),
        "cost": samples * repeats * images / _fewest_decodings(latents, widening),
    }


_GOOD = "estimator='log of mean', error='images'"
_WEIGHTS = "np.exp(pilot - pilot.max(axis=0))"
_VARIANCE = f"np.mean(np.mean({_WEIGHTS} ** 2, axis=0) / np.mean({_WEIGHTS}, axis=0) ** 2 - 1)"
_SPREAD = f"np.std(np.log(np.mean({_WEIGHTS}, axis=0)) + pilot.max(axis=0))"

_OF_BIAS, _OF_COST = ("nearly unbiased", "unbiased"), ("cheap", "cheaper")  # parts that miss their goals alike

PLAN = Experiment(
    "plan", "An experiment to design: how many samples, of how many images?", points=5, minutes=30, difficulty=2,
    section="Importance weights", aims=(1, 2),
    takes="pilot[S,N]", draw=_models, run=_report,
    settings={"estimator": ESTIMATORS, "error": {"images", "seeds", "weights"}, "samples": (1, 2000),
              "images": (10, 2000)},
    goals={
        "nearly unbiased": AtMost(2 * BIAS, of="bias"),
        "unbiased": AtMost(BIAS, of="bias"),
        "honest": AtLeast(0.9, "", of="intervals_that_hold_the_truth"),
        "sharp": AtMost(ERROR, of="standard_error"),
        "cheap": AtMost(6.0, "times the fewest decodings", 1, of="cost"),
        "cheaper": AtMost(4.0, "times the fewest decodings", 1, of="cost"),
    },
    parts={"nearly unbiased": 0.75, "unbiased": 0.75, "honest": 1, "sharp": 1, "cheap": 0.75, "cheaper": 0.75},
    answer="""
        largest = pilot.max(axis=0)
        weights = np.exp(pilot - largest)  # each image's, but for a factor
        variances = np.mean(weights**2, axis=0) / np.mean(weights, axis=0) ** 2 - 1  # relative ones
        spread = np.std(np.log(np.mean(weights, axis=0)) + largest)
        return {
            "estimator": "log of mean",
            "error": "images",
            "samples": int(np.ceil(1.8 * np.mean(variances) / (2 * 0.1))),  # a pilot finds too small a variance
            "images": int(np.ceil(1.4 * (spread / 0.2) ** 2)),
        }
    """,
    hints=r"""
        Two different things make a report wrong. The bias comes from the samples and stays however many images you
        take; the standard error comes from the images, and hardly changes with the samples. One formula for each.

        Bias: question 2. For each image of the pilot, `np.mean(w**2) / np.mean(w)**2 - 1` is the relative variance of
        its weights; subtract the largest log-weight of the image first. $S = \text{relative variance} / (2 \cdot 0.1)$.

        Standard error: $\sqrt{\mathrm{Var}_n[\log \hat p(x_n)] / N}$. The pilot's 300 estimates show how much they
        differ from image to image.

        A pilot of 200 samples meets the rarest and largest weights too seldom, so the variance that you see is too
        small: multiply by nearly 2. And 300 images know their spread to five per cent: a third more images than the
        formula says.
    """,
    mistakes=[
        (_OF_BIAS, "elbo", "dict(estimator='mean of logs', error='images', samples=200, images=300)",
         lambda estimator, **_: estimator == "mean of logs", "The mean of the log-weights is the ELBO. More samples "
         "make it less noisy, and leave it where it is: below the truth by the divergence of $q$ from the posterior."),
        (_OF_BIAS, "best_of_ten", "dict(estimator='best of ten', error='images', samples=20, images=300)",
         lambda estimator, **_: estimator == "best of ten", "The best of ten estimates is no estimate. Each is too low "
         "in the mean, and the best is chosen for its luck: what comes out may be too high or too low. Ten times the "
         "samples in one mean cost the same."),
        (_OF_BIAS, "harmonic", "dict(estimator='harmonic mean', error='images', samples=200, images=300)",
         lambda estimator, **_: estimator == "harmonic mean", "The harmonic mean is too high, and no number of samples "
         "that anybody has cures it. Its mean of $1/p(x|z)$ is made by codes under which $x$ is improbable. The "
         "posterior hardly ever draws them; here the variance is infinite."),
        (_OF_BIAS, "reconstruction", "dict(estimator='reconstruction', error='images', samples=200, images=300)",
         lambda estimator, **_: estimator == "reconstruction", "The mean of $\\log p(x|z)$ is a reconstruction, no "
         "likelihood. What the codes cost is not in it, so it is too high."),
        (_OF_BIAS, "few_samples", f"dict({_GOOD}, samples=3, images=300)", lambda offset, **_: offset < -0.2,
         "The estimates are too low: too few samples for at least one of the two models. The bias is about half the "
         "relative variance of a weight, over $S$; how large is it in this pilot?"),
        (_OF_BIAS, "variance_believed", f"dict({_GOOD}, samples=int(5 * {_VARIANCE}), images=400)",
         lambda offset, **_: offset < 0, "Nearly: the estimates are a little too low. The variance in the pilot is too "
         "small itself, since the largest weights are too rare for it: take some more samples than it says."),
        ("honest", "weights_counted", "dict(estimator='log of mean', error='weights', samples=300, images=400)",
         lambda error, **_: error == "weights", "The standard error takes all $S \\cdot N$ log-weights for independent "
         "numbers. Those of one image are about the same image: what the mean is taken of is $N$ estimates."),
        ("honest", "seeds_counted", "dict(estimator='log of mean', error='seeds', samples=300, images=400)",
         lambda error, **_: error == "seeds", "The standard error is that of the same images with other seeds. It "
         "leaves out that other images are easier or harder, and that is most of it."),
        ("honest", "few_images_known", f"dict({_GOOD}, samples=300, images=10)",
         lambda images, bias, standard_error, **_: images < 50 and bias < standard_error / 2, "Of so "
         "few images the standard deviation is a guess itself, and often too small. More images make the interval "
         "honest as well as narrow."),
        ("honest", "bias_in_small_error", f"dict({_GOOD}, samples=int(7.5 * {_VARIANCE}), images=2000)",
         lambda bias, standard_error, **_: bias > standard_error / 2, "The bias is not small beside the standard "
         "error, which knows nothing of it: the interval lies beside the truth. The more images, the narrower it is."),
        ("sharp", "few_images", f"dict({_GOOD}, samples=300, images=40)", lambda **_: True, "The estimates differ from "
         "image to image by some nats, whatever the number of samples. Their standard deviation, over $\\sqrt N$, is "
         "to be 0.2: more images."),
        (_OF_COST, "many_samples", f"dict({_GOOD}, samples=1000, images=400)", lambda bias, **_: bias < 0.03,
         "The bias is far smaller than 0.1: for at least one of the models fewer samples would do. Let the pilot say "
         "how many."),
        (_OF_COST, "many_images", f"dict({_GOOD}, samples=int(15 * {_VARIANCE}), images=1200)",
         lambda standard_error, **_: standard_error < 0.13, "The standard error is far smaller than 0.2: for at least "
         "one of the models fewer images would do. Let the pilot say how many."),
        (_OF_COST, "dear", f"dict({_GOOD}, samples=int(13 * {_VARIANCE}), images=int(2.2 * ({_SPREAD} / 0.2) ** 2))",
         lambda cost, **_: cost > 3, "For at least one of the models fewer decodings would do. Both numbers follow "
         "from the pilot; leave less room."),
    ],
    seconds=30.0,
)  # fmt: skip


# ---- 4


def _linear_model(rng, N, L, D, noise_scale):
    weights, bias = rng.normal(size=(L, D)), rng.normal(size=D)
    x = rng.normal(size=(N, L)) @ weights + bias + noise_scale * rng.normal(size=(N, D))
    return dict(x=x, weights=weights, bias=bias, noise_scale=noise_scale)


def _paths(rng):
    for N, L, D, noise_scale, step_size, steps in (3, 2, 4, 0.7, 0.1, 1), (2, 3, 5, 1.5, 0.2, 4):
        model = _linear_model(rng, N, L, D, noise_scale)
        z, momentum = rng.normal(size=(2, N, L))
        yield dict(z=z, momentum=momentum, **model, step_size=step_size, steps=steps)


def _paths_that_fly_off(rng):
    """Steps far too long: the energy of each path rises by thousands of nats."""
    highest = 0.0
    while highest > -2000:
        z, momentum = rng.normal(size=(2, 3, 2))
        paths = dict(z=z, momentum=momentum, **_linear_model(rng, 3, 2, 6, 0.3), step_size=0.4, steps=2)
        highest = LEAPFROG.text.run(paths)[2].max()
    yield paths


_KICK = "momentum + step_size / 2 * slope(z)"
_LOOP = f"for _ in range(steps):\n    momentum = {_KICK}\n    z = z + step_size * momentum\n    momentum = {_KICK}"

LEAPFROG = Function(
    "leapfrog", "Leapfrog: a path that could be walked back", points=4, minutes=25, difficulty=2,
    section="Hamiltonian Monte Carlo", aims=(3,),
    takes="z[N,L], momentum[N,L], x[N,D], weights[L,D], bias[D], noise_scale, step_size, steps",
    returns="position, end momentum, log acceptance", axes={"N": "images", "L": "latents", "D": "pixels"},
    draw={None: _paths, "rejected": _paths_that_fly_off}, requires_first=False,
    parts={"position": 1.5, "end momentum": 1.5, "log acceptance": 1, "rejected": 1},
    atol={"log acceptance": 1e-3, None: 1e-4},
    because="energies are differences of sums of squares: float32 leaves them four digits.",
    answer="""
        def slope(z):  # of log p(x, z), [N, L]
            return ops.matmul(x - bias - ops.matmul(z, weights), ops.transpose(weights)) / noise_scale**2 - z

        def energy(z, momentum):  # −log p(x, z) + ½ v², but for a constant, [N]
            error = (x - bias - ops.matmul(z, weights)) / noise_scale
            return 0.5 * (ops.sum(error**2, axis=1) + ops.sum(z**2, axis=1) + ops.sum(momentum**2, axis=1))

        before = energy(z, momentum)
        for _ in range(steps):
            momentum = momentum + step_size / 2 * slope(z)
            z = z + step_size * momentum
            momentum = momentum + step_size / 2 * slope(z)
        return z, momentum, ops.minimum(before - energy(z, momentum), 0)
    """,
    hints=r"""
        First the slope of $\log p(x, z)$ for $z$, as a function of its own: one term comes from the prior, one from
        the pixels. $\log p(x|z) = -\frac{1}{2s^2}\|x - b - zW\|^2 + \text{const}$.

        The slope is $(x - b - zW)\,W^\top / s^2 - z$. A step is: half a kick, a whole drift, half a kick, where each
        kick takes the slope at the $z$ of that moment.

        The energy is $\frac{1}{2s^2}\|x - b - zW\|^2 + \frac12\|z\|^2 + \frac12\|v\|^2$. The probability of acceptance
        is $\min(1, e^{H - H'})$, and its logarithm $\min(0, H - H')$: no exponential is needed.
    """,
    mistakes=[
        ("whole_kicks", {f"momentum = {_KICK}\n    z =": "momentum = momentum + step_size * slope(z)\n    z =",
         f"* momentum\n    momentum = {_KICK}": "* momentum"}, "each step is one whole kick and one drift. That keeps "
         "volumes, but the same walk from the other end does not lead back: the kicks have to stand symmetrically, a "
         "half before and a half after the drift."),
        ("second_kick_missing", {f"* momentum\n    momentum = {_KICK}": "* momentum"}, "the second half of the kick is "
         "missing, after the drift, with the slope at the new $z$."),
        ("first_kick_missing", {f"momentum = {_KICK}\n    z =": "z ="}, "the first half of the kick is missing, before "
         "the drift."),
        ("old_slope", {f"momentum = {_KICK}\n    z = z + step_size * momentum\n    momentum = {_KICK}":
         "force = slope(z)\n    momentum = momentum + step_size / 2 * force\n    z = z + step_size * momentum\n    "
         "momentum = momentum + step_size / 2 * force"}, "both kicks take the slope at the old $z$. The second belongs "
         "to the place where the drift has ended."),
        ("full_halves", {f"momentum = {_KICK}\n    z = z + step_size * momentum\n    momentum = {_KICK}":
         "momentum = momentum + step_size * slope(z)\n    z = z + step_size * momentum\n    momentum = momentum + "
         "step_size * slope(z)"}, "both kicks are whole ones. Together they are to be one: half before the drift, half "
         "after it."),
        ("euler", {f"momentum = {_KICK}\n    z = z + step_size * momentum\n    momentum = {_KICK}":
         "z, momentum = z + step_size * momentum, momentum + step_size * slope(z)"}, "position and momentum move at "
         "the same time: that is Euler's method. It loses volume or wins it, and its energy drifts away: half a "
         "kick, a drift, half a kick."),
        ("downhill", {f"momentum = {_KICK}\n    z =": "momentum = momentum - step_size / 2 * slope(z)\n    z =",
         f"* momentum\n    momentum = {_KICK}": "* momentum\n    momentum = momentum - step_size / 2 * slope(z)"},
         r"the kicks have the wrong sign. The force is $-\nabla U$ with $U = -\log p(x, z)$: the slope of "
         r"$\log p(x, z)$ is added."),
        ("no_prior", {"/ noise_scale**2 - z": "/ noise_scale**2"}, "the slope lacks the prior's part, $-z$."),
        ("prior_sign", {"/ noise_scale**2 - z": "/ noise_scale**2 + z"}, r"the prior's slope has the wrong sign: "
         r"$\log p(z) = -\frac12 z^2$ has the slope $-z$, back to the middle."),
        ("scale_for_variance", {"/ noise_scale**2 - z": "/ noise_scale - z"}, "the slope is divided by $s$. The "
         "density has the variance $s^2$."),
        ("scale_for_variance", {"/ noise_scale**2 - z": "/ noise_scale - z", ") / noise_scale\n": ") / "
         "noise_scale**0.5\n"}, "you divided by $s$ where the density has the variance $s^2$."),
        ("no_kinetic_energy", {" + ops.sum(momentum**2, axis=1))": ")"}, r"the change of the kinetic energy "
         r"is missing. Is $\frac12\|v\|^2$ in it, before the walk and after it, each with the momentum of its time?"),
        ("kinetic_whole", {"0.5 * (ops.sum(error**2, axis=1) + ops.sum(z**2, axis=1) + ops.sum(momentum**2, axis=1))":
         "0.5 * (ops.sum(error**2, axis=1) + ops.sum(z**2, axis=1)) + ops.sum(momentum**2, axis=1)"}, "the kinetic "
         r"energy is $\frac12\|v\|^2$: the ½ is lost."),
        ("energy_whole", {"0.5 * (ops.sum(error": "(ops.sum(error"}, "the energies are twice what they should be: the "
         "½ is lost, of the pixels, of the prior and of the momentum."),
        ("energy_mean", {"ops.sum(error**2, axis=1) + ops.sum(z**2, axis=1) + ops.sum(momentum**2, axis=1)":
         "ops.mean(error**2, axis=1) + ops.mean(z**2, axis=1) + ops.mean(momentum**2, axis=1)"}, "the energy is a sum "
         "over pixels and over latents; you took means."),
        ("likelihood_alone", {" + ops.sum(z**2, axis=1)": ""}, r"the energy lacks the prior's part, $\frac12\|z\|^2$."),
        ("not_limited", {"ops.minimum(before - energy(z, momentum), 0)": "before - energy(z, momentum)"}, "a "
         "probability is 1 at most, and its logarithm 0: where the energy has fallen, the step is certainly accepted."),
        ("acceptance_sign", {"before - energy(z, momentum), 0": "energy(z, momentum) - before, 0"}, "the sign of the "
         "energy's change is reversed: a path that has *gained* energy is the less likely to be accepted."),
        ("acceptance_itself", {"ops.minimum(before - energy(z, momentum), 0)":
         "ops.minimum(ops.exp(before - energy(z, momentum)), 1)"}, "this is the probability itself, 0 in float32 "
         "beyond 103 nats. Return its logarithm."),
        ("logarithm_of_exponential", {"ops.minimum(before - energy(z, momentum), 0)":
         "ops.log(ops.minimum(ops.exp(before - energy(z, momentum)), 1))"}, "an exponential is taken, and then its "
         "logarithm: beyond 103 nats 0 lies in between, and what comes out is $-\\infty$, or the number that keeps you "
         "from it. Leave both away."),
        ("kick_squared", {f"momentum = {_KICK}\n    z =": "momentum = momentum + step_size**2 / 2 * slope(z)\n    z =",
         f"* momentum\n    momentum = {_KICK}": "* momentum\n    momentum = momentum + step_size**2 / 2 * slope(z)"},
         r"a kick takes $\delta^2/2$. Half a kick is $\delta/2$ times the slope."),
        ("half_drift", {"z + step_size * momentum": "z + step_size / 2 * momentum"}, "the drift is half as long as it "
         r"should be. Only the kicks are halves: $z \leftarrow z + \delta v$."),
        ("drift_first", {f"momentum = {_KICK}\n    z = z + step_size * momentum\n    momentum = {_KICK}":
         "z = z + step_size / 2 * momentum\n    momentum = momentum + step_size * slope(z)\n    z = z + step_size / 2 "
         "* momentum"}, "your steps are half a drift, a kick, half a drift. That is a leapfrog, too, and as good. "
         "Asked for is the other one: half a kick, a drift, half a kick."),
        ("one_long_step", {"for _ in range(steps):": "step_size = step_size * steps\nfor _ in range(1):"}, "you took "
         "one step of the length of them all. Its error goes with the square of that length."),
        ("reversed_momentum", {"return z, momentum,": "return z, -momentum,"}, "the momentum has been turned round. "
         "Hamiltonian Monte Carlo does that in theory, so that its step is its own inverse; asked for is the momentum "
         "at the end of the walk."),
        ("one_step", {"for _ in range(steps)": "for _ in range(1)"}, "only one step is walked, whatever `steps` is."),
        ("step_too_few", {"for _ in range(steps)": "for _ in range(steps - 1)"}, "one step too few is walked: there "
         "are `steps`."),
        ("last_kick_whole", {_LOOP: "momentum = momentum + step_size / 2 * slope(z)\nfor _ in range(steps):\n    z = z "
         "+ step_size * momentum\n    momentum = momentum + step_size * slope(z)"}, "the last kick is a whole one. "
         "Between two drifts a half and a half make a whole; after the last drift only one half is left."),
        ("larger_one", {"ops.minimum(": "ops.maximum("}, r"you took the larger one of 0 and $H - H'$. A probability is "
         "at most 1, its logarithm at most 0: the smaller one."),
        ("old_momentum", {"before = energy(z, momentum)": "kick, before = momentum, energy(z, momentum)",
         "return z, momentum, ": "return z, kick, "}, "this is the momentum of the beginning. Asked for is the one at "
         "the end of the walk."),
        ("energy_at_the_end", {"before = energy(z, momentum)": "kick = momentum", "ops.minimum(before - ":
         "ops.minimum(energy(z, kick) - "}, r"the change of $-\log p(x, z)$ is missing. Is $H$, before the walk, the "
         "energy at the $z$ of that time? A name that is given a new value in the loop forgets it."),
        ("stays", {"before = energy(z, momentum)": "start, kick, before = z, momentum, energy(z, momentum)",
         "return z, momentum, ops": "goes = before - energy(z, momentum) > -20\nreturn ops.where(goes[:, None], z, "
         "start), ops.where(goes[:, None], momentum, kick), ops"}, "where the proposal is hardly ever accepted you "
         "return where the walk began. Asked for is the proposal, the end of the walk; whoever calls tosses the coin."),
        ("step_too_many", {"for _ in range(steps)": "for _ in range(steps + 1)"}, "one step too many is walked: "
         "there are `steps`."),
    ],
)  # fmt: skip


# ---- 5


def _runs(rng):
    for T, S, N in (4, 3, 2), (6, 5, 3), (3, 4, 4):
        yield _run(rng, T, S, N, -rng.uniform(2, 8, size=N), 1)


def _runs_for_images(rng):
    """Log-likelihoods of a whole image: hundreds and thousands of nats."""
    yield _run(rng, 5, 4, 3, np.array([-90, -700, -3000]), 30)


def _run(rng, T, S, N, level, spread):
    betas = np.array([0, *np.sort(rng.uniform(0.1, 0.9, size=T - 1)), 1])
    up, down = level + spread * (np.arange(T + 1)[:, None, None] / T + 0.5 * rng.normal(size=(2, T + 1, S, N)))
    return dict(betas=betas, up=up, down=down)


_UP, _DOWN = "ops.logsumexp(log_up, axis=0) - log_S", "log_S - ops.logsumexp(-log_down, axis=0)"

BRACKET = Function(
    "ais_bracket", "Annealed importance sampling, from both sides", points=4, minutes=25, difficulty=2,
    section="In both directions", aims=(4,),
    takes="betas[K], up[K,S,N], down[K,S,N]", returns="from below, from above", axes={"S": "runs", "N": "images"},
    draw={None: _runs, "whole images": _runs_for_images},
    parts={"from below": 2, "from above": 2, "whole images": 1}, requires_first=False,
    rtol=1e-5, atol=1e-3,
    because="near 3000 float32's numbers are 0.0002 apart; 0.03 are allowed there, and no mistake is as small.",
    answer="""
        steps = (betas[1:] - betas[:-1])[:, None, None]  # [T, 1, 1]
        log_up = ops.sum(steps * up[:-1], axis=0)  # log w of the runs upwards, [S, N]
        log_down = ops.sum(steps * down[1:], axis=0)
        log_S = np.log(up.shape[1])
        return ops.logsumexp(log_up, axis=0) - log_S, log_S - ops.logsumexp(-log_down, axis=0)
    """,
    hints=r"""
        A weight is a product of ratios of neighbouring densities, both at the *same* place. What is left of
        $f_t(z)/f_{t-1}(z)$, with $f_t(z) = p(z)\,p(x|z)^{\beta_t}$?

        $\log w = \sum_t (\beta_t - \beta_{t-1}) \log p(x|z_{t-1})$ upwards: a place is weighed while the temperature
        changes there, before the run moves on. So upwards the place at $\beta = 1$ never counts, and downwards, where
        the temperatures come the other way, the one at $\beta = 0$.

        Upwards `up[:-1]`, downwards `down[1:]`, both times $\beta_t - \beta_{t-1}$. From below it is
        $\log\frac1S\sum_s w_s$, from above $-\log\frac1S\sum_s 1/w_s$, with `ops.logsumexp`.
    """,
    mistakes=[
        ("up_late", {"up[:-1]": "up[1:]"}, r"upwards you weigh the places to which the runs have moved, $z_t$. A place "
         r"is weighed where the temperature changes, before the run moves: $z_{t-1}$, `up[:-1]`."),
        ("down_late", {"down[1:]": "down[:-1]"}, r"downwards you weigh the places to which the runs have moved. There "
         r"it is at $z'_t$ that $\beta_t$ changes to $\beta_{t-1}$: `down[1:]`."),
        ("both_late", {"up[:-1]": "up[1:]", "down[1:]": "down[:-1]"}, "both ways you weigh the places to which the "
         "runs have moved. A place is weighed where the temperature changes, before the run moves on."),
        ("trapezoid", {"steps * up[:-1]": "steps * (up[:-1] + up[1:]) / 2"}, "you took the mean of both ends of each "
         "step, as for an integral. That is thermodynamic integration: a good estimate, and neither a weight nor a "
         "bound. A place counts before the run moves on."),
        ("mean_of_logs", {_UP: "ops.mean(log_up, axis=0)"}, "you took the mean of the log-weights upwards. The mean of "
         "the weights comes first, its logarithm afterwards."),
        ("mean_of_logs_above", {_DOWN: "ops.mean(log_down, axis=0)"}, r"you took the mean of the log-weights "
         r"downwards. It lies above $\log p(x)$, but farther than need be: the mean of $1/w$ comes first."),
        ("not_reciprocal", {_DOWN: "ops.logsumexp(log_down, axis=0) - log_S"}, r"downwards you took the mean of $w$. "
         r"There it is $1/w$ whose mean is known: $\mathbb E[1/w] = 1/p(x)$."),
        ("reciprocal_of_mean", {_DOWN: "log_S - ops.logsumexp(log_down, axis=0)"}, r"downwards you took minus the "
         r"logarithm of the mean of $w$. It is $-\log\frac1S\sum_s 1/w_s$, with $1/w$ in the sum."),
        ("above_sign", {_DOWN: "ops.logsumexp(-log_down, axis=0) - log_S"}, r"from above this is the logarithm of the "
         r"mean of $1/w$, an estimate of $-\log p(x)$. Take its negative."),
        ("sums", {_UP: "ops.logsumexp(log_up, axis=0)", _DOWN: "-ops.logsumexp(-log_down, axis=0)"}, r"$\log S$ is "
         "missing: the mean over the runs is asked for, not their sum."),
        ("log_S_above", {"log_S - ops.logsumexp(-log": "-log_S - ops.logsumexp(-log"}, r"from above $\log S$ has the "
         r"wrong sign: $-\log\frac1S\sum_s 1/w_s = \log S - \log\sum_s 1/w_s$."),
        *(("down_turned", {"down[1:]": turned}, "downwards you took the places in the order in which the run comes by. "
           r"They are listed by $t$, as the temperatures are: `down[t]` is $\log p(x|z'_t)$.")
          for turned in ("down[::-1][1:]", "down[::-1][:-1]")),
        ("last_place", {"ops.sum(steps * up[:-1], axis=0)": "up[-1]", "ops.sum(steps * down[1:], axis=0)": "down[-1]"},
         r"you took the log-likelihood at the end, $\log p(x|z_T)$. That is a reconstruction. The weight is made on "
         "the way, a little in each step."),
        ("harmonic_below", {_UP: "log_S - ops.logsumexp(-log_up, axis=0)"}, r"upwards you took the mean of $1/w$. "
         r"There it is $w$ itself whose mean is known: $\mathbb E[w] = p(x)$."),
        ("log_of_images", {"np.log(up.shape[1])": "np.log(up.shape[2])"}, r"you subtracted $\log N$. The mean is over "
         "the $S$ runs, axis 1 of `up` and `down`."),
        ("log_of_temperatures", {"np.log(up.shape[1])": "np.log(up.shape[0])"}, "you subtracted the logarithm of the "
         "number of temperatures. The mean is over the $S$ runs, axis 1 of `up` and `down`."),
        ("not_differences", {"(betas[1:] - betas[:-1])": "betas[1:]"}, r"each place is weighed with $\beta_t$ itself. "
         r"It is the change that counts, $\beta_t - \beta_{t-1}$; all changes together are 1."),
        ("equal_steps", {"(betas[1:] - betas[:-1])": "(ops.ones_like(betas[1:]) / (betas.shape[0] - 1))"}, "all steps "
         "are taken to be equal. The temperatures that are given are not evenly spaced."),
        ("exchanged", {f"return {_UP}, {_DOWN}": f"return {_DOWN}, {_UP}"}, "the two have changed places: the estimate "
         "from below first."),
        ("over_images", {"ops.logsumexp(log_up, axis=0)": "ops.logsumexp(log_up, axis=1)"}, "the mean is taken over "
         "the images. The runs are axis 0 of what is left when the temperatures have been summed over."),
        ("each_step", {"ops.sum(steps * up[:-1], axis=0)": "ops.logsumexp(steps * up[:-1], axis=1)",
         "ops.sum(steps * down[1:], axis=0)": "ops.logsumexp(-steps * down[1:], axis=1)", _UP: "ops.sum(log_up - "
         "log_S, axis=0)", _DOWN: "ops.sum(log_S - log_down, axis=0)"}, "you took the mean over the runs in each step. "
         "A weight belongs to a whole run: first the product of its factors, over the steps, and then the mean over "
         "the runs."),
        ("one_step_lost", {"steps = (betas[1:] - betas[:-1])[:, None, None]": "steps = (betas[1:-1] - betas[:-2])[:, "
         "None, None]", "up[:-1]": "up[:-2]", "down[1:]": "down[1:-1]"}, r"the last step is missing, to $\beta_T = 1$: "
         r"there are $T$ changes of temperature, and $T + 1$ temperatures."),
        ("maximum_lost", {_UP: "ops.log(ops.mean(ops.exp(log_up - ops.max(log_up, axis=0)), axis=0))", _DOWN:
         "-ops.log(ops.mean(ops.exp(ops.min(log_down, axis=0) - log_down), axis=0))"}, "the largest log-weight is "
         "taken out of the mean, and not put back: add it to the logarithm."),
        ("overflow", {f"{_UP}, {_DOWN}": "ops.log(ops.mean(ops.exp(log_up), axis=0)), "
         "-ops.log(ops.mean(ops.exp(-log_down), axis=0))"}, r"$e^{-700}$ is 0 in float32, and $e^{700}$ infinite. Stay "
         "with logarithms, as in question 1."),
    ],
)  # fmt: skip


# ---- 6


def _phases(rng):
    for N, L, D, noise_scale in (4, 2, 3, 0.6), (3, 1, 4, 1.3):
        model = _linear_model(rng, N, L, D, noise_scale)
        yield dict(**model, encoder=0.5 * rng.normal(size=(D, L)), log_variance=rng.normal(size=L) - 0.5,
                   noise=rng.normal(size=(N, L)), dream_z=rng.normal(size=(N, L)),
                   dream_noise=rng.normal(size=(N, D)))  # fmt: skip


WAKE_SLEEP = Function(
    "wake_sleep", "An objective in two phases that must not touch", points=5, minutes=25, difficulty=3, importance=2,
    section="Learning without a bound",
    takes="x[N,D], weights[L,D], bias[D], noise_scale, encoder[D,L], log_variance[L], noise[N,L], dream_z[N,L], "
    "dream_noise[N,D]",
    returns="wake, sleep", gradients="weights bias encoder log_variance", requires_first=False,
    axes={"N": "images", "L": "latents", "D": "pixels"}, draw=_phases,
    parts={"wake": 1, "sleep": 1.5, "gradients": 2.5},
    answer="""
        z = ops.stop_gradient(ops.matmul(x, encoder) + ops.exp(log_variance / 2) * noise)  # awake, of the data
        error = (x - bias - ops.matmul(z, weights)) / noise_scale
        log_p_x = -0.5 * ops.sum(LOG_2PI + error**2, axis=1) - x.shape[1] * np.log(noise_scale)
        log_p_z = -0.5 * ops.sum(LOG_2PI + z**2, axis=1)
        wake = -ops.mean(log_p_x + log_p_z)

        dream = ops.stop_gradient(ops.matmul(dream_z, weights) + bias + noise_scale * dream_noise)
        off = (dream_z - ops.matmul(dream, encoder)) * ops.exp(-log_variance / 2)
        log_q = -0.5 * ops.sum(LOG_2PI + log_variance + off**2, axis=1)
        return wake, -ops.mean(log_q)
    """,
    hints=r"""
        Write down which weights each phase may move, and what it has to take as given. `ops.stop_gradient(a)` has the
        value of `a`, and to gradients it is a constant.

        Awake: $z = xV + e^{\lambda/2}\varepsilon$, behind `ops.stop_gradient`, and then $-\frac1N\sum_n
        \big(\log p(x_n|z_n) + \log p(z_n)\big)$. No $\log q$: the encoder has its own turn.

        Asleep: $x' = z'W + b + s\varepsilon'$, behind `ops.stop_gradient`, and then $-\frac1N\sum_n \log q(z'_n|x'_n)$
        with $q(z|x) = \mathcal N(xV, \mathrm{diag}\,e^\lambda)$.
    """,
    mistakes=[
        ("wake_through_encoder", {"z = ops.stop_gradient(ops.matmul(x, encoder) + ops.exp(log_variance / 2) * noise)":
         "z = ops.matmul(x, encoder) + ops.exp(log_variance / 2) * noise"}, "awake, the gradient passes through the "
         r"draw into the encoder. It would be taught to make $\log p(x, z)$ large, with no $-\log q$ against it: its "
         r"$\sigma$ would shrink to 0. Put $z$ behind `ops.stop_gradient`."),
        ("sleep_through_decoder", {"dream = ops.stop_gradient(ops.matmul(dream_z, weights) + bias + noise_scale * "
         "dream_noise)": "dream = ops.matmul(dream_z, weights) + bias + noise_scale * dream_noise"}, "asleep, the "
         "gradient passes through the dream into the decoder: it would learn to dream what is easy to encode, instead "
         "of what there is. Put the dream behind `ops.stop_gradient`."),
        ("both_through", {"z = ops.stop_gradient(ops.matmul(x, encoder) + ops.exp(log_variance / 2) * noise)":
         "z = ops.matmul(x, encoder) + ops.exp(log_variance / 2) * noise", "dream = ops.stop_gradient(ops.matmul("
         "dream_z, weights) + bias + noise_scale * dream_noise)": "dream = ops.matmul(dream_z, weights) + bias + "
         "noise_scale * dream_noise"}, "each phase reaches the other's weights, through its draw. Draws are data here: "
         "put $z$ and the dream behind `ops.stop_gradient`."),
        ("elbo", {"wake = -ops.mean(log_p_x + log_p_z)": "wake = -ops.mean(log_p_x + log_p_z + 0.5 * ops.sum(LOG_2PI + "
         "log_variance + noise**2, axis=1))"}, r"this is minus the ELBO: $-\log q(z|x)$ is in it. Wake–sleep has none "
         r"in its wake phase, which is for the decoder alone."),
        ("elbo", {"wake = -ops.mean(log_p_x + log_p_z)": "wake = ops.mean(0.5 * ops.sum(ops.matmul(x, encoder) ** 2 "
         "+ ops.exp(log_variance) - 1 - log_variance, axis=1) - log_p_x)"}, r"this is minus the ELBO, with the KL "
         r"divergence in closed form. Wake–sleep has no $\log q(z|x)$ in its wake phase, which is for the decoder."),
        ("other_code", {"off = (dream_z -": "off = (z -"}, r"asleep, you ask the encoder for the code $z$ of the data, "
         r"and show it a dream. The dream was made from $z'$, `dream_z`."),
        ("combined", {"return wake, -ops.mean(log_q)": "wake = wake - ops.mean(log_q)\nreturn wake, wake"}, "what came "
         "back is the sum of both losses, twice. Return them one by one: wake, then sleep."),
        ("sleep_awake", {"off = (dream_z - ops.matmul(dream, encoder))": "off = (dream_z - ops.matmul(x, encoder))"},
         r"asleep, you ask the encoder for $z'$, and show it the data $x$. These have nothing to do with each other: "
         r"$z'$ belongs to its dream $x'$."),
        ("own_draws", {"off = (dream_z - ops.matmul(dream, encoder))": "off = (z - ops.matmul(x, encoder))"},
         r"asleep, the encoder is asked for its own draws, $\log q(z|x)$: it would learn to be what it is already. The "
         r"codes come from the prior, and the images from these codes."),
        ("sleep_sign", {"return wake, -ops.mean(log_q)": "return wake, ops.mean(log_q)"}, r"$\log q(z'|x')$ is to be "
         "made large; both are losses, so return its negative."),
        ("wake_sign", {"wake = -ops.mean": "wake = ops.mean"}, r"$\log p(x, z)$ is to be made large; both are losses, "
         "so return its negative."),
        ("no_prior", {"log_p_x + log_p_z)": "log_p_x)"}, r"$\log p(z)$ is missing. Here the prior has no weights, and "
         "no gradient notices; a prior that is learned would not learn."),
        ("mean_awake", {" + ops.exp(log_variance / 2) * noise": ""}, r"awake, you took the encoder's mean for $z$: a "
         r"draw is needed, $z = \mu + \sigma\varepsilon$."),
        ("variance_for_deviation", {"ops.exp(log_variance / 2) * noise": "ops.exp(log_variance) * noise"}, "the noise "
         r"is multiplied by the variance. $z = \mu + \sigma\varepsilon$ with $\sigma = e^{\lambda/2}$."),
        ("mean_dreamed", {" + noise_scale * dream_noise": ""}, r"the dream lacks its noise: it is a draw from "
         r"$p(x|z')$, not its mean."),
        ("variance_in_dream", {"noise_scale * dream_noise": "noise_scale**2 * dream_noise"}, "the dream's noise is "
         "multiplied by $s^2$. Its standard deviation is $s$."),
        ("no_log_variance", {"LOG_2PI + log_variance + off**2": "LOG_2PI + off**2"}, r"$\log q$ lacks its "
         r"$-\frac12\lambda$, without which the largest variance is the best."),
        ("means_within", {"ops.sum(LOG_2PI + error**2, axis=1) - x.shape[1] *":
         "ops.mean(LOG_2PI + error**2, axis=1) -",
         "ops.sum(LOG_2PI + z**2": "ops.mean(LOG_2PI + z**2", "ops.sum(LOG_2PI + log_variance": "ops.mean(LOG_2PI + "
         "log_variance"}, "you took means over the pixels and over the latents. The density of independent numbers is "
         "a product, its logarithm a sum; a mean is taken over the images alone."),
        ("scale_for_variance", {"ops.matmul(z, weights)) / noise_scale": "ops.matmul(z, weights)) / noise_scale**0.5",
         "x.shape[1] * np": "0.5 * x.shape[1] * np"}, r"in $\log p(x|z)$ you took $s$ for the variance. It is the "
         r"standard deviation: $s^2$ below the squares, and $-\log s$ for each pixel."),
        ("no_scale", {" - x.shape[1] * np.log(noise_scale)": ""}, r"$\log p(x|z)$ lacks $-\log s$ for each pixel."),
        ("scale_once", {" - x.shape[1] * np.log(noise_scale)": " - np.log(noise_scale)"}, r"$-\log s$ stands in "
         r"$\log p(x|z)$ once; it belongs to each of the pixels."),
        ("scale_by_images", {"x.shape[1] * np": "x.shape[0] * np"}, r"$-\log s$ is multiplied by the number of images; "
         r"it belongs to each of the $D$ pixels, axis 1."),
        ("exchanged", {"return wake, -ops.mean(log_q)": "return -ops.mean(log_q), wake"}, "the two have changed "
         "places: the wake phase first."),
        ("summed", {"wake = -ops.mean": "wake = -ops.sum", "return wake, -ops.mean": "return wake, -ops.sum"}, "you "
         "summed over the images of the batch; the mean is asked for."),
    ],
)  # fmt: skip


# ---- 7


def _reports(rng):
    """Grey images, four in the first batch and fewer or more in the second; noise for some runs."""
    for R, S, N, L, D in (3, 4, 6, 2, 5), (2, 5, 5, 3, 4), (4, 3, 7, 2, 6):
        yield dict(x=rng.random((N, D)), uniform=rng.random((N, D)), mean=0.7 * rng.normal(size=(N, L)),
                   log_variance=rng.uniform(-1.5, 0.5, size=(N, L)), noise=rng.normal(size=(R, S, N, L)),
                   weights=rng.normal(size=(L, D)), bias=rng.normal(size=D))  # fmt: skip


_MEAN = "log_p = ops.logsumexp(log_w, axis=1) - np.log(noise.shape[1])  # 3. log of the mean over samples, [R, N]"

REPORT = Mend(
    "mended_report", "Five errors in a reported likelihood", points=5, minutes=20, difficulty=2, draw=_reports,
    section="When it goes wrong", aims=(5,),
    takes="x[N,D], uniform[N,D], mean[N,L], log_variance[N,L], noise[R,S,N,L], weights[L,D], bias[D]",
    because="float32 carries seven digits. The reports of different sets of errors differ by far more than that.",
    answer="""
        pixels = ops.where(uniform < x, 1.0, 0.0)  # 1. black and white, drawn by their grey values
        log_variance = log_variance + 2 * np.log(1.2)  # 2. wider than the encoder says, for the draw and for log q
        z = mean + ops.exp(log_variance / 2) * noise  # [R, S, N, L]
        logits = ops.matmul(z, weights) + bias  # [R, S, N, D]

        log_p_x = ops.sum(pixels * logits - ops.softplus(logits), axis=-1)  # [R, S, N]
        log_p_z = -0.5 * ops.sum(LOG_2PI + z**2, axis=-1)
        log_q_z = -0.5 * ops.sum(LOG_2PI + log_variance + (z - mean) ** 2 / ops.exp(log_variance), axis=-1)
        log_w = log_p_x + log_p_z - log_q_z

        log_p = ops.logsumexp(log_w, axis=1) - np.log(noise.shape[1])  # 3. log of the mean over samples, [R, N]
        runs = ops.mean(log_p, axis=1)  # 4. all images alike, [R]
        return ops.mean(runs)  # 5. of all runs
    """,
    errors={
        "grey": (
            {"pixels = ops.where(uniform < x, 1.0, 0.0)  # 1. black and white, drawn by their grey values":
             "pixels = x"},
            "still broken: grey pixels are put into the likelihood of black and white ones. The number is no "
            "log-probability of anything, and compares with nobody's. Draw the pixels: white where `uniform < x`."),
        "widened": (
            {"log_variance = log_variance + 2 * np.log(1.2)  # 2. wider than the encoder says, for the draw and for "
             "log q\n": "", "mean + ops.exp": "mean + 1.2 * ops.exp"},
            r"still broken: the draws are 1.2 times as wide as the encoder says, and $\log q$ is that of the narrow "
            "one. Then the mean weight is not $p(x)$. The density has to be that of what was drawn from."),
        "samples": (
            {_MEAN: "log_p = ops.mean(log_w, axis=1)"},
            "still broken: the logarithms of the weights are averaged. That is the ELBO, reported as a likelihood: the "
            "mean over the samples first, then the logarithm."),
        "batches": (
            {"runs = ops.mean(log_p, axis=1)  # 4. all images alike, [R]":
             "first, second = log_p[:, :4], log_p[:, 4:]  # in two batches\n"
             "runs = (ops.mean(first, axis=1) + ops.mean(second, axis=1)) / 2"},
            "still broken: the means of two batches are averaged, and they are of unequal size. An image of the "
            "smaller one counts more than another. Take the mean over all images."),
        "best": (
            {"return ops.mean(runs)  # 5. of all runs": "return ops.max(runs)"},
            "still broken: the best of the runs is reported. Each run is too low in the mean, and the best of them is "
            "lucky: by which amount, and whether it is above the truth, nobody knows. Report the mean."),
    },
    slips=[
        ("grey", "threshold", {"uniform < x": "x > 0.5"}, "now a pixel is white where its grey value exceeds ½. That "
         "is another set of images, smoother ones, and numbers on these compare with nobody's. Draw the pixels: white "
         "where `uniform < x`."),
        ("grey", "inverted", {"uniform < x": "uniform > x"}, "now pixels are black with their grey value as "
         "probability: white where `uniform < x`."),
        ("widened", "not_widened", {"log_variance = log_variance + 2 * np.log(1.2)": "log_variance = log_variance"},
         "now nothing is widened. Draw and density agree, which is sound; but the draws are meant to be 1.2 times as "
         "wide, so that less is missed."),
        ("widened", "variance_widened", {"+ 2 * np.log(1.2)": "+ np.log(1.2)"}, "now the variance is 1.2 times as "
         "large. The draws are to be 1.2 times as *wide*: the deviation, so that the variance is 1.44 times as large."),
        ("widened", "deviation_alone", {"log_variance = log_variance + 2 * np.log(1.2)": "wide = 1.2 * "
         "ops.exp(log_variance / 2)", "ops.exp(log_variance / 2) * noise": "wide * noise",
         "/ ops.exp(log_variance), axis=-1)": "/ wide**2, axis=-1)"}, r"the distance is divided by the wide variance "
         r"now, and $\log q$ still has the narrow one in its $-\frac12\lambda$."),
        ("widened", "logarithm_alone", {"log_variance = log_variance + 2 * np.log(1.2)": "wide = 1.2 * "
         "ops.exp(log_variance / 2)", "ops.exp(log_variance / 2) * noise": "wide * noise",
         "LOG_2PI + log_variance +": "LOG_2PI + 2 * ops.log(wide) +"}, r"$\log q$ has the wide variance in its "
         r"$-\frac12\lambda$ now, and the distance is still divided by the narrow one."),
        ("widened", "variance_in_density", {"log_variance = log_variance + 2 * np.log(1.2)": "wide = 1.2 * "
         "ops.exp(log_variance / 2)", "ops.exp(log_variance / 2) * noise": "wide * noise",
         "LOG_2PI + log_variance + (z - mean) ** 2 / ops.exp(log_variance)": "LOG_2PI + log_variance + np.log(1.2) + "
         "(z - mean) ** 2 / (1.2 * ops.exp(log_variance))"}, r"$\log q$ has a variance 1.2 times as large now. The "
         "draws are 1.2 times as *wide*, so the variance is 1.44 times as large."),
        ("samples", "no_log_S", {" - np.log(noise.shape[1])": ""}, r"now it is the sum of the weights: subtract "
         r"$\log S$."),
        ("samples", "over_runs", {"axis=1) - np.log(noise.shape[1])": "axis=0) - np.log(noise.shape[0])"}, "the mean "
         "of the weights is taken over the runs. It is over the samples of each run, axis 1."),
        ("best", "pooled", {"ops.logsumexp(log_w, axis=1) - np.log(noise.shape[1])": "ops.logsumexp(log_w, axis=(0, 1))"
         "[None] - np.log(noise.shape[0] * noise.shape[1])"}, "you made one estimate of all runs together. That is the "
         "best use of them, with a smaller bias; asked for is the mean of the runs, so that the number is that of "
         r"$S$ samples."),
        ("best", "one_run", {"ops.mean(runs)": "runs[0]"}, "now the first run alone is reported. Take their mean."),
        ("best", "worst", {"ops.mean(runs)": "ops.min(runs)"}, "now the worst of the runs is reported. Take their "
         "mean."),
        ("best", "log_mean", {"ops.mean(runs)": "ops.logsumexp(runs) - np.log(len(runs))"}, "you took the logarithm of "
         "the mean over the runs; a run is a mean of logarithms over the images already, and stays one: take their "
         "mean."),
        ("best", "median", {"ops.mean(runs)": "ops.median(runs)"}, "now the median of the runs is reported: take their "
         "mean."),
        ("batches", "weights_exchanged", {"ops.mean(log_p, axis=1)": "((len(x) - 4) * ops.mean(log_p[:, :4], axis=1) + "
         "4 * ops.mean(log_p[:, 4:], axis=1)) / len(x)"}, "the two batches are weighted by the number of images, but "
         "each by that of the other one. The first has four."),
        ("batches", "halves", {"ops.mean(log_p, axis=1)": "(ops.mean(log_p[:, :len(x) // 2], axis=1) + "
         "ops.mean(log_p[:, len(x) // 2:], axis=1)) / 2"}, "the batches are halves now, which are unequal where the "
         "number of images is odd. Take the mean over all images."),
        ("batches", "all_in_one", {"ops.logsumexp(log_w, axis=1) - np.log(noise.shape[1])": "ops.logsumexp(log_w, "
         "axis=(1, 2))[:, None] - np.log(noise.shape[1] * noise.shape[2]) + 0 * log_w[:, 0]"}, "samples and images are "
         "in one mean of weights now: the most probable image carries all. Each image has an estimate of its own; take "
         "the mean of these."),
        ("batches", "first_batch", {"ops.mean(log_p, axis=1)": "ops.mean(log_p[:, :4], axis=1)"}, "now only the first "
         "four images count. Where a test set is sorted, these are four zeros."),
        (None, "no_prior", {"log_p_x + log_p_z": "log_p_x"}, r"$\log p(z)$ is gone. It was right to be there."),
        (None, "no_density", {" - log_q_z": ""}, r"$\log q$ is gone. It was right to be there: $p(x, z)/q(z|x)$."),
        (None, "bits", {"ops.mean(runs)": "ops.mean(runs) / (np.log(2) * x.shape[1])"}, "these are bits per pixel. The "
         "report is in nats, for whole images."),
        (None, "sign", {"return ": "return -"}, "this is a negative log-likelihood. It was the log-likelihood."),
    ],
    hints=r"""
        Read the lines in order, and ask of each: of which random variable is this the probability, which mean is
        this, and over what?

        What is $x$ in the line with `softplus`? Which distribution is $z$ drawn from, and which one's density is
        `log_q_z`? What is `log_p` when $S$ is very large?

        There is one error in each of: `pixels`, the factor 1.2, `log_p`, `runs`, and the last line.
    """,
)  # fmt: skip


# ---- 8


@functools.cache
def _decoder_and_encoder():
    """The paper's model with 20 latents, trained on MNIST: its decoder, and the encoder that learned with it."""
    model = kingma2013.load("mnist_20")
    encoder, decoder = model.encoder.get_weights(), model.decoder.get_weights()
    return dict(zip(DECODER, decoder, strict=True)), functools.partial(_encode, *encoder)


def _encode(weights, bias, mean_weights, mean_bias, variance_weights, variance_bias, images):
    h = np.tanh(images @ weights + bias)
    return h @ mean_weights + mean_bias, h @ variance_weights + variance_bias


def _digits():
    return np.reshape(load("mnist_10k").test, (-1, 784))


FIT = FittedPosterior(
    "fit_posterior", "An encoder is lost: fit a posterior to each image", points=4, minutes=30, difficulty=2,
    section="Importance weights", aims=(1,),
    bounds={"codes": -10.0, "close": -2.0, "better": 0.2, "much better": 0.6},
    model=_decoder_and_encoder, images=_digits,
    because="on both backends and fifteen sets of images the solution was between 0.85 and 1.48 nats above the "
    "encoder's estimate; some tenths of that are chance, from 50 samples of each image.",
    hints="""
        No network is needed: the means and log-variances of all images are two `keras.Variable`s `[N, L]`, and the loss
        is minus the ELBO, summed over the images, with fresh noise in each step.

        `value_and_gradient(loss, mean, log_variance)` from `vaekit.backend` gives the loss and its two gradients;
        `optimizer.apply(gradients, [mean, log_variance])` takes a step. The sum over images, not the mean: then each
        image has the gradient that it would have alone.

        Start at $\\mu = 0$ and $\\log\\sigma^2 = -2$; `keras.optimizers.Adam` with a `CosineDecay` from 0.1 to 0 over
        200 steps.
    """,
)  # fmt: skip


QUESTIONS = [LOG_MEAN, NEEDED, PLAN, LEAPFROG, BRACKET, WAKE_SLEEP, REPORT, FIT]
