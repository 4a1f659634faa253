r"""Exercise 08: posterior collapse and skip decoders."""

import math

import numpy as np

from vaekit.course.questions import DistributionLayer, Experiment, Function, Mend, Number, TrainedDeep
from vaekit.course.questions.question import AtLeast, AtMost
from vaekit.course.questions.small_digits import small_digits

TITLE = "Posterior collapse and skip decoders"


# ---- 1


def _steps(rng):
    """Steps of all cycles, and of the time after them."""
    for ramp in rng.uniform(0.3, 0.7), rng.uniform(0.75, 0.95):
        period, cycles = int(rng.integers(40, 60)), int(rng.integers(3, 5))
        within = np.arange(0, period, 5)
        end = period * cycles
        step = [within + period * rng.integers(cycles, size=len(within)), end + within, end + rng.integers(500, size=4)]
        yield dict(step=np.concatenate([[0, period], *step]), period=period, ramp=ramp, cycles=cycles)


def _late_steps(rng):
    """Beyond 2²⁴, where float32 has no more odd numbers."""
    step = rng.integers(30_000_000, 60_000_000, size=12)
    yield dict(step=step, period=31, ramp=rng.uniform(0.6, 0.9), cycles=2_500_000)


_WITHIN, _END = 'ops.cast(step % period, "float32")', "step >= cycles * period, 1.0, beta"

BETA = Function(
    "beta_at", "A schedule: β in cycles", points=2, minutes=8, importance=2,
    section="Cures at equal budget", aims=(3,),
    takes="step[T], period, ramp, cycles", axes={"T": "steps"},
    draw={"value": _steps, "late": _late_steps}, parts={"value": 1.5, "late": 0.5},
    answer=f"""
        within = {_WITHIN}  # steps since the cycle began
        beta = ops.minimum(within / (ramp * period), 1.0)
        return ops.where({_END})
    """,
    hints=r"""
        How many steps is it since the cycle began? For whole numbers that is the remainder, `step % period`.

        The way up takes `ramp * period` steps. After that $\beta$ is 1: `ops.minimum`. And `ops.where` for what comes
        after the last cycle.

        The part *late*: float32 has 24 binary digits. It holds every whole number up to $2^{24}$, 17 millions, and of
        larger ones the even ones only, then every fourth. Take the remainder of the whole numbers; `ops.cast` it
        afterwards.
    """,
    mistakes=[
        ("float_first", {_WITHIN: 'ops.cast(step, "float32") % period'}, "the steps become float32 before the "
         r"remainder is taken. Beyond $2^{24}$ it knows no odd numbers any more, and the remainder is wrong by some "
         "steps: take it of the whole numbers."),
        ("float_first", {_WITHIN: 'period * (ops.cast(step, "float32") / period - ops.floor(ops.cast(step, "float32") '
         '/ period))'}, "the number of cycles is a float32 with a fraction, and of the fraction little is left when "
         "there have been a million of them. Take the remainder of the whole numbers, `step % period`."),
        ("no_end", {f"ops.where({_END})": "beta"}, r"the cycles never end. After `cycles` of them $\beta$ is to stay "
         "at 1, or the training ends with a price that is no bound's."),
        ("ends_at_zero", {"period, 1.0, beta": "period, 0.0, beta"}, r"after the last cycle $\beta$ is 0: the code is "
         "free for the rest of the training. It is to stay at 1."),
        ("one_cycle", {_WITHIN: 'ops.cast(step, "float32")'}, "this is a warm-up that happens once. In each cycle "
         r"$\beta$ begins at 0 again: count the steps since the cycle began."),
        ("all_zero", {"ops.minimum(within / (ramp * period), 1.0)": "0 * within"}, r"$\beta$ is 0 until the last cycle "
         "has ended. Was a whole number divided by `//`? That rounds down."),
        ("all_one", {f"ops.where({_END})": "0 * beta + 1"}, r"$\beta$ is 1 from the first step on, and there is no "
         "warm-up at all."),
        ("ramp_of_a_half", {"within / (ramp * period)": "2 * within / period"}, "the way up takes half of the cycle, "
         "as in the lesson. Here it takes the share `ramp`."),
        ("multiplied", {"within / (ramp * period)": "within * ramp / period"}, "you multiplied by `ramp`. The way up "
         "takes `ramp * period` steps: divide by them."),
        ("whole_period", {"within / (ramp * period)": "within / period"}, r"$\beta$ rises all through the cycle. It "
         "is to be at 1 after the share `ramp` of it, and stay there."),
        *(("rounded", {"(ramp * period)": f"{whole}(ramp * period)"}, "the way up is rounded to whole steps. "
           r"`ramp * period` need not be a whole number, and $\beta$ is defined for any.")
          for whole in ("int", "round")),
        ("ramp_alone", {"within / (ramp * period)": "within / ramp"}, "you divided by `ramp`, which is a share of the "
         "cycle. The way up takes `ramp * period` steps."),
        ("no_ceiling", {"ops.minimum(within / (ramp * period), 1.0)": "within / (ramp * period)"}, r"$\beta$ goes on "
         "rising after the way up. It stays at 1 then."),
        ("rest_at_zero", {"ops.minimum(within / (ramp * period), 1.0)": "ops.where(within < ramp * period, "
         "within / (ramp * period), 0.0)"}, r"after the way up $\beta$ is 0. It stays at 1 until the cycle ends."),
        ("other_share", {"(ramp * period)": "((1 - ramp) * period)"}, "the way up takes the share `1 - ramp` of the "
         "cycle; `ramp` is how long it takes, not how long the rest."),
        ("downwards", {"ops.minimum(within / (ramp * period), 1.0)": "ops.maximum(1.0 - within / (ramp * period), "
         "0.0)"}, r"$\beta$ falls from 1 to 0 in each cycle. It rises: the code is cheap first."),
        ("at_once", {"ops.minimum(within / (ramp * period), 1.0)": "ops.where(within < ramp * period, 0.0, 1.0)"},
         r"$\beta$ jumps from 0 to 1. It rises in a straight line."),
        ("begins_at_one", {_WITHIN: 'ops.cast(step % period, "float32") + 1'}, r"$\beta$ is a step ahead. At the "
         "first step of a cycle it is 0."),
        ("begins_at_one", {_WITHIN: 'ops.cast((step + 1) % period, "float32")'}, r"$\beta$ is a step ahead. At the "
         "first step of a cycle it is 0."),
        ("ends_early", {"step >= cycles * period": "step >= cycles"}, "`cycles` is compared with the number of the "
         "step. The last cycle ends at the step `cycles * period`."),
        ("ends_early", {"step >= cycles * period": "step >= (cycles - 1) * period"}, "the last cycle is left out. It "
         "ends at the step `cycles * period`."),
        ("ends_late", {"step >= cycles * period": "step > cycles * period"}, "the step `cycles * period` comes after "
         r"the last cycle, which begins its count at 0. There $\beta$ is 1 already: `>=`."),
        ("ends_late", {"step >= cycles * period": "step >= (cycles + 1) * period"}, "there is a cycle too many. The "
         "last one ends at the step `cycles * period`."),
        ("curved", {"ops.minimum(within / (ramp * period), 1.0)": "ops.minimum(within / (ramp * period), 1.0) ** 2"},
         r"the way up is curved. $\beta$ rises in a straight line."),
    ],
)  # fmt: skip


# ---- 2


def _posteriors(rng):
    """Units that say much, little, and twice the same."""
    for S, N, L in (2, 5, 3), (3, 4, 5):
        spread = rng.permutation([1.0, 0.9, 0.3, 0.1, 0.8][:L])
        log_variance = np.log(np.clip(1 - spread**2, 0.1, 1)) + rng.uniform(-0.2, 0.2, size=(N, L))
        mean = spread * rng.normal(size=(N, L)) + 0.3
        mean[:, 1] = mean[:, 0]  # the same is said twice
        yield dict(mean=mean, log_variance=log_variance, noise=rng.normal(size=(S, N, L)))


def _sharp_posteriors(rng):
    """Each code names its image, by densities beyond float32, and one does so far less sharply."""
    S, N, L = 2, 3, 60
    mean = rng.choice([-1.0, 1.0], size=(N, L)) + 0.1 * rng.normal(size=(N, L))
    log_variance = rng.uniform(-6.2, -5.8, size=(N, L))
    log_variance[0] += 3.5
    yield dict(mean=mean, log_variance=log_variance, noise=0.7 * rng.normal(size=(S, N, L)))


_UNIT = "own - ops.logsumexp(log_q, axis=2) + log_N"
_WHOLE = "ops.sum(own, axis=2) - ops.logsumexp(ops.sum(log_q, axis=3), axis=2) + log_N"
_CODES = "z = mean + ops.exp(log_variance / 2) * noise"
_SQUARES = "(z[:, :, None] - mean) ** 2 * ops.exp(-log_variance)"

INFORMATION = Function(
    "unit_information", "What each unit says, and what all say together", points=4, minutes=22, difficulty=2,
    section="Measured four ways", aims=(2,),
    takes="mean[N,L], log_variance[N,L], noise[S,N,L]", returns="by unit, together",
    axes={"N": "images", "L": "latents", "S": "samples"},
    draw={None: _posteriors, "sharp": _sharp_posteriors}, parts={"by unit": 1.5, "together": 1.5, "sharp": 1},
    requires_first=False, atol=1e-3,
    because="squares of differences, divided by a small variance, lose digits in float32; a thousandth of a nat is "
    "far less than what any usual mistake makes.",
    answer=f"""
        {_CODES}
        squares = {_SQUARES}  # of each code under each posterior, [S, N, N, L]
        log_q = -0.5 * (log_variance + squares)  # but for log 2π, which cancels
        own, log_N = -0.5 * (log_variance + noise**2), np.log(mean.shape[0])
        by_unit = {_UNIT}  # [S, N, L]
        together = {_WHOLE}  # [S, N]
        return ops.mean(by_unit, axis=(0, 1)), ops.mean(together)
    """,
    hints=r"""
        First the codes, `[S, N, L]`. Then the log-density of each code under the posterior of *each* image, unit by
        unit: `z[:, :, None] - mean` has the shape `[S, N, N, L]`, in which the third axis counts the posteriors.

        By unit: $\log q(z_j|x_n) - \log\frac1N\sum_m q(z_j|x_m)$, by `ops.logsumexp` over the posteriors. The mean over
        samples and images comes last.

        Together: the density of a whole code under the posterior of an image is the *product* over the units. So sum
        the logarithms over the units first, for each posterior, and only then take `ops.logsumexp` over the posteriors.
    """,
    mistakes=[
        ("units_added", {_WHOLE: "ops.sum(by_unit, axis=2)"}, "what all units say together is the sum of what each "
         r"says. Two units may say the same, and then it counts once: $\bar q(z)$ is a mean of products, not a product "
         "of means. Sum over the units within each posterior, before the mean over the posteriors."),
        ("not_divided", {_UNIT: "own - ops.logsumexp(log_q, axis=2)", _WHOLE: "ops.sum(own, axis=2) - "
         "ops.logsumexp(ops.sum(log_q, axis=3), axis=2)"}, r"$\bar q$ is the *sum* of the posteriors. It is their "
         r"mean; $\log N$ is missing, and nothing that you return can be positive."),
        ("log_n_subtracted", {_UNIT: "own - ops.logsumexp(log_q, axis=2) - log_N", _WHOLE: "ops.sum(own, axis=2) - "
         "ops.logsumexp(ops.sum(log_q, axis=3), axis=2) - log_N"}, r"$\log N$ has the wrong sign. $-\log\bar q = "
         r"-\log\sum + \log N$."),
        ("log_n_for_each_unit", {"axis=2) + log_N  # [S, N]": "axis=2) + mean.shape[1] * log_N  # [S, N]"},
         r"*together* has $\log N$ once for each unit. There is one mean over the $N$ posteriors, of whole codes."),
        ("mean_of_logarithms", {_UNIT: "own - ops.mean(log_q, axis=2)", _WHOLE: "ops.sum(own, axis=2) - "
         "ops.mean(ops.sum(log_q, axis=3), axis=2)"}, r"for $\log\bar q$ you took the mean of the log-densities. "
         r"$\bar q$ is a mean of densities, and its logarithm is larger: what you return is too large, and knows no "
         "ceiling."),
        ("not_in_logarithms", {_UNIT: "own - ops.log(ops.mean(ops.exp(log_q), axis=2))", _WHOLE: "ops.sum(own, "
         "axis=2) - ops.log(ops.mean(ops.exp(ops.sum(log_q, axis=3)), axis=2))"}, "the densities themselves are "
         "averaged. Of many narrow units together they leave float32's range; `ops.logsumexp` stays with logarithms."),
        ("means_read", {_CODES: "z = mean + 0 * noise"}, "the codes are the posterior *means*, without noise, and the "
         "density beside them is that of a draw. Take both at a draw, as the decoder gets it."),
        ("means_read", {_CODES: "z = mean + 0 * noise", "noise**2)": "0 * noise)"}, "the densities are taken at the "
         "posterior *means*, where an image's own is highest: each unit seems to say up to half a nat too much. Draw "
         "codes, as the decoder gets them."),
        ("variance_for_deviation", {"ops.exp(log_variance / 2) * noise": "ops.exp(log_variance) * noise"}, r"the noise "
         r"is multiplied by $\sigma^2$. A draw is $\mu + \sigma\varepsilon$, with $\sigma = e^{\lambda/2}$."),
        ("deviation_in_density", {"ops.exp(-log_variance)": "ops.exp(-log_variance / 2)"}, r"the squares are divided "
         r"by $\sigma$; a normal density has $\sigma^2$ there."),
        ("own_spread", {_SQUARES: "(z[:, :, None] - mean) ** 2 * ops.exp(-log_variance[:, None])", "log_q = -0.5 * "
         "(log_variance + squares)": "log_q = -0.5 * (log_variance[:, None] + squares)"}, "all posteriors have the "
         "variance of the code's own image. Each has its own: beside `mean`, `log_variance` goes along the posteriors' "
         "axis, too."),
        ("over_codes", {_UNIT: "own - ops.logsumexp(log_q, axis=1) + log_N", _WHOLE: "ops.sum(own, axis=2) - "
         "ops.logsumexp(ops.sum(log_q, axis=3), axis=1) + log_N"}, r"the sum goes over the codes, under one posterior. "
         r"$\bar q(z)$ is one code's density under all posteriors, the third axis."),
        ("others_alone", {"log_q = -0.5 * (log_variance + squares)": "log_q = -0.5 * (log_variance + squares) - 1e9 * "
         "ops.eye(mean.shape[0])[:, :, None]", "np.log(mean.shape[0])": "np.log(mean.shape[0] - 1)"}, "a code's own "
         r"image is left out of $\bar q$. It is one of the $N$ images; only with it no code can say more than "
         r"$\log N$."),
        ("price", {_UNIT: "own + 0.5 * z**2", _WHOLE: "ops.sum(own + 0.5 * z**2, axis=2)"}, "this is "
         r"$\log q(z|x) - \log p(z)$, what the code *costs*. What it says is compared with $\bar q(z)$, the mean of "
         "the posteriors, not with the prior."),
        ("price", {_UNIT: "0 * own + 0.5 * (mean**2 + ops.exp(log_variance) - 1 - log_variance)", _WHOLE: "ops.sum("
         "0 * own + 0.5 * (mean**2 + ops.exp(log_variance) - 1 - log_variance), axis=2)"}, "this is the KL from the "
         r"prior, what the code *costs*. What it says is compared with $\bar q(z)$, the mean of the posteriors."),
        ("own_in_closed_form", {"own, log_N = -0.5 * (log_variance + noise**2)": "own, log_N = -0.5 * (log_variance + "
         "1 + 0 * noise)"}, r"for $\log q(z|x)$ you took its mean, in closed form. That is right in the limit of many "
         "draws. Asked for is the mean over these draws, of the difference as a whole, and it is far less noisy."),
        ("half_lost", {"log_q = -0.5 * (": "log_q = -(", "own, log_N = -0.5 * (": "own, log_N = -("}, "the ½ in the "
         r"log-densities is lost: $-\frac12\big(\lambda + (z - \mu)^2 / \sigma^2\big)$."),
        ("samples_too", {_UNIT: "own - ops.logsumexp(log_q, axis=(0, 2)) + log_N + np.log(noise.shape[0])"}, "by unit "
         r"the mean of the densities goes over the samples, too. $\bar q$ is the density of *one* code; the mean over "
         "codes comes after the logarithm."),
        ("no_log_variance", {"log_q = -0.5 * (log_variance + squares)": "log_q = -0.5 * squares"}, r"$-\frac12\lambda$ "
         r"is missing in the densities under the other posteriors. Only $\log 2\pi$ is the same for all of them."),
        ("no_log_variance", {"log_q = -0.5 * (log_variance + squares)": "log_q = -0.5 * squares",
         "-0.5 * (log_variance + noise**2)": "-0.5 * noise**2"}, r"$-\frac12\lambda$ is missing in the log-densities. "
         r"Only $\log 2\pi$ is the same for all posteriors."),
        ("sampled_summed", {"ops.mean(by_unit, axis=(0, 1)), ops.mean(together)": "ops.sum(by_unit, axis=(0, 1)), "
         "ops.sum(together)"}, "you summed over samples and images. Both are means."),
        ("units_averaged", {_WHOLE: "ops.mean(own, axis=2) - ops.logsumexp(ops.mean(log_q, axis=3), axis=2) + log_N"},
         "*together* averages over the units. A code's density is the product over its units, so logarithms are "
         "summed."),
        ("bits", {"ops.mean(by_unit, axis=(0, 1)), ops.mean(together)": "ops.mean(by_unit, axis=(0, 1)) / np.log(2), "
         "ops.mean(together) / np.log(2)"}, "these are bits; nats are asked for."),
    ],
)  # fmt: skip


# ---- 3

COST = Number(
    "live_cost", "By hand: which units live?", points=3, minutes=30, difficulty=3, importance=2,
    section="What a code costs", aims=(1,),
    value="0.5 * log(4 / 0.8) + 0.5 * log(1.5 / 0.8)",
    rtol=4e-3,
    because="the number is 1.1190; 0.4 % leave room for 1.12 and 1.115.",
    hints=r"""
        The axes do not meet: the objective is a sum over them. For one axis of variance $\lambda$ write it with
        $\mathbb E(x - wz)^2 = (1 - wa)^2\lambda + w^2\tau^2$ and $\mathbb E\mu^2 = a^2\lambda$.

        Set the derivatives by $\tau^2$ and by $a$ to zero, for fixed $w$. With $\theta = \beta s^2$ you should find
        $\tau^2 = \theta/(w^2 + \theta)$ and $a = w/(w^2 + \theta)$: a posterior, of a decoder whose noise is $\theta$.

        With these two put in, $\beta$ times a function of $w^2 + \theta$ is left:
        $-\frac12\big(\log(w^2 + \theta) + \lambda/(w^2 + \theta)\big)$. It is largest at $w^2 + \theta = \lambda$, if
        that can be. If $\lambda < \theta$? Then the cost, $-\frac12\log\tau^2$ in the mean.
    """,
    mistakes=[
        ("all_alive", "0.5 * log(4 / 0.8) + 0.5 * log(1.5 / 0.8) + 0.5 * log(0.5 / 0.8)", "you have added something "
         r"negative, and no cost is. Where $\lambda < \beta s^2$, $w^2 + \beta s^2$ cannot be $\lambda$: the best is "
         "$w = 0$."),
        ("as_if_beta_one", "0.5 * log(4 / 0.4) + 0.5 * log(1.5 / 0.4) + 0.5 * log(0.5 / 0.4)", r"this is the cost for "
         r"$\beta = 1$. With $\beta = 2$ a nat is dearer, less is said, and one of the units is not worth its price."),
        ("as_if_beta_one", "0.5 * log(4 / 0.4) + 0.5 * log(1.5 / 0.4)", r"which units live seems to be right, but each "
         r"costs what it would for $\beta = 1$."),
        ("beta_turned", "0.5 * log(4 / 0.2) + 0.5 * log(1.5 / 0.2) + 0.5 * log(0.5 / 0.2)", r"you divided $s^2$ by "
         r"$\beta$. A dearer code is like *more* noise in the decoder."),
        ("priced", "log(4 / 0.8) + log(1.5 / 0.8)", r"this is twice the number: either $\beta$ times the cost, which "
         "is what the objective has, or the ½ is lost. Asked for is the KL itself."),
        ("capacity", "0.5 * log(1 + 4 / 0.8) + 0.5 * log(1 + 1.5 / 0.8) + 0.5 * log(1 + 0.5 / 0.8)", r"you took "
         r"$w^2 = \lambda$. The decoder's noise is there as well: $w^2 + \beta s^2 = \lambda$, and some units do not "
         "live at all."),
        ("capacity", "0.5 * log(1 + 4 / 0.4) + 0.5 * log(1 + 1.5 / 0.4) + 0.5 * log(1 + 0.5 / 0.4)", r"you took "
         r"$w^2 = \lambda$, and $\beta = 1$. The decoder's noise is there as well: $w^2 + \beta s^2 = \lambda$."),
        ("first_alone", "0.5 * log(4 / 0.8)", "this is what the first unit costs. Is it the only one that lives?"),
        ("second_alone", "0.5 * log(1.5 / 0.8)", "this is what the second unit costs. Is it the only one that lives?"),
        ("bits", "0.5 * log(4 / 0.8, 2) + 0.5 * log(1.5 / 0.8, 2)", "these are bits, by the logarithm to base 2; nats "
         "are asked for."),
        ("deviation", "0.5 * log(4 / (2 * 0.4**0.5)) + 0.5 * log(1.5 / (2 * 0.4**0.5))", "0.4 is $s^2$ already: no "
         "root is to be taken."),
        ("variance_squared", "0.5 * log(4 / 0.32) + 0.5 * log(1.5 / 0.32) + 0.5 * log(0.5 / 0.32)", "0.4 is $s^2$ "
         "already: it is not to be squared."),
        ("sign", "-0.5 * log(4 / 0.8) - 0.5 * log(1.5 / 0.8)", "the size is right, the sign is not: a cost is never "
         "negative."),
        ("averaged", "(0.5 * log(4 / 0.8) + 0.5 * log(1.5 / 0.8)) / 3", "this is the mean over the units. A code costs "
         "what its units cost together."),
        ("averaged", "(0.5 * log(4 / 0.8) + 0.5 * log(1.5 / 0.8)) / 2", "this is the mean over the units that live. A "
         "code costs what its units cost together."),
        ("rounded", "1.1", "this is rounded to two digits, and three are asked "
         "for."),
        ("half_priced", "0.5 * log(1 + 3.6 / 0.8) + 0.5 * log(1 + 1.1 / 0.8) + 0.5 * log(1 + 0.1 / 0.8)", "here the "
         r"encoder knows of $\beta$, and $w$ does not: its best value depends on $\beta$ as well."),
        ("count", "2", "this may be the number of units that live. Asked for is what they cost."),
    ],
)  # fmt: skip


# ---- 4


def _encoders(rng):
    for N, L in (3, 4), (5, 3):
        yield dict(mean=rng.normal(size=(N, L)), logit=2 * rng.normal(size=(N, L)), delta=rng.uniform(0.1, 0.6))


def _extreme_encoders(rng):
    """Floors far up and far down, and units that are very sure. (What is 0 in float32 is so by far.)"""
    for delta in rng.uniform(20, 22), rng.uniform(0.002, 0.005):
        logit = rng.permutation([-110.0, -60, -55, -35, -12, -5, 5, 12, 35, 55, 60, 110]).reshape(4, 3)
        yield dict(mean=rng.normal(size=(4, 3)), logit=logit + rng.uniform(-1, 1, size=(4, 3)), delta=delta)


_NEWTON = "v = v - (np.exp(v) - 1 - v - 2 * delta) / (np.exp(v) - 1)"
_ROOT = f"v = -1 - 2 * delta  # log c², by Newton's method\nfor _ in range(60):\n    {_NEWTON}\nv = float(v)"
_SAID = "v + 2 * ops.log_sigmoid(logit)"

DELTA = Function(
    "delta_posterior", "A posterior that cannot be the prior", points=4, minutes=22, difficulty=2,
    section="Cures at equal budget", aims=(3,),
    takes="mean[N,L], logit[N,L], delta", returns="log variance, kl", gradients="mean logit",
    axes={"N": "images", "L": "latents"}, draw={None: _encoders, "extreme": _extreme_encoders},
    values_only=("extreme",), parts={"log variance": 1.5, "kl": 1, "gradients": 0.5, "extreme": 1},
    requires_first=False,
    answer="\n".join([
        _ROOT, f"log_variance = {_SAID}",
        "return log_variance, 0.5 * ops.sum(mean**2 + ops.exp(log_variance) - 1 - log_variance, axis=1)"]),
    hints=r"""
        $\delta$ is a number, so $c$ can be found by NumPy, before any tensor is touched. $\frac12(c^2 - 1 - \log c^2)$
        falls from infinity to 0 while $c$ goes from 0 to 1: there is just one solution.

        With $v = \log c^2$ the equation is $e^v - 1 - v = 2\delta$. Bisection does it, between $-1 - 2\delta$ and 0; so
        does Newton's method, from $v = -1 - 2\delta$. (Why there? Because $e^v$ is between 0 and 1.)

        $\log\sigma^2 = \log c^2 + 2\log\mathrm{sigmoid}(a)$. In *extreme* a sigmoid is 0 in float32, and its logarithm
        is not: `ops.log_sigmoid`.
    """,
    mistakes=[
        ("deviation_for_variance", {_SAID: "v + ops.log_sigmoid(logit)"}, r"$\sigma^2$ is $c^2$ times the sigmoid. The "
         r"sigmoid stands in $\sigma = c \cdot \mathrm{sigmoid}(a)$, so it is squared, too."),
        ("log_deviation", {_SAID: "v / 2 + ops.log_sigmoid(logit)"}, r"this is $\log\sigma$. Asked for is "
         r"$\log\sigma^2$, twice as much."),
        ("c_for_square", {_SAID: "v / 2 + 2 * ops.log_sigmoid(logit)"}, r"$\log c$ stands where $\log c^2$ belongs. "
         r"Then a unit may cost less than $\delta$."),
        ("square_for_c", {_SAID: "2 * v + 2 * ops.log_sigmoid(logit)"}, r"$c^2$ was taken for $c$, and squared again: "
         r"then every unit costs far more than $\delta$."),
        ("not_in_logarithms", {_SAID: "ops.log(ops.square(float(np.exp(v / 2)) * ops.sigmoid(logit)))"}, "the "
         r"logarithm is taken of a product that is 0 in float32 where a unit is very sure. Add logarithms: $\log c^2 + "
         r"2\log\mathrm{sigmoid}(a)$, with `ops.log_sigmoid`."),
        ("not_in_logarithms", {_SAID: "2 * ops.log(float(np.exp(v / 2)) * ops.sigmoid(logit))"}, r"the logarithm is "
         r"taken of $c$ times the sigmoid, which is 0 in float32 where a unit is very sure. Add logarithms: "
         r"$\log c^2 + 2\log\mathrm{sigmoid}(a)$, with `ops.log_sigmoid`."),
        ("not_in_logarithms", {_SAID: "v + 2 * ops.log(ops.sigmoid(logit))"}, "the sigmoid is 0 in float32 where a "
         "unit is very sure, and its logarithm infinite: `ops.log_sigmoid`."),
        ("small_number", {_SAID: "v + 2 * ops.log(ops.sigmoid(logit) + 1e-8)"}, "a small number is added within the "
         "logarithm. That hides the infinity, and puts a floor under the variance: `ops.log_sigmoid` needs no help."),
        ("no_exponential", {"v = -1 - 2 * delta  # log c², by Newton's method": "v = -1 - 2 * delta", f"    {_NEWTON}":
         "    pass"}, r"you solved $-1 - \log c^2 = 2\delta$: $c^2$ itself was dropped. That is right for a large "
         r"$\delta$ only."),
        ("square_root_law", {f"    {_NEWTON}": "    v = -2 * delta**0.5"}, r"$c$ was found by an expansion at $c = 1$. "
         r"That is right for a small $\delta$ only."),
        ("half_lost", {f"    {_NEWTON}": "    v = v - (np.exp(v) - 1 - v - delta) / (np.exp(v) - 1)"}, r"you solved "
         r"$c^2 - 1 - \log c^2 = \delta$. The ½ in front belongs to the price: $2\delta$ on the right."),
        ("delta_shared", {f"    {_NEWTON}": "    each = 2 * delta / mean.shape[1]\n    v = v - (np.exp(v) - 1 - v - "
         "each) / (np.exp(v) - 1)"}, r"$\delta$ is divided among the latents. It is what *each* unit costs at least."),
        ("few_rounds", {"range(60)": "range(2)"}, "the search for $c$ stopped too early."),
        ("clipped", {_SAID: "ops.minimum(v, 2 * ops.log_sigmoid(logit))"}, r"$\sigma$ is cut off at $c$. That keeps "
         r"the price, too, but where it cuts, no gradient passes: $\sigma = c \cdot \mathrm{sigmoid}(a)$ was asked "
         "for."),
        *(("clipped_logarithm", {_SAID: f"ops.maximum({_SAID}, -{c}.)"}, r"$\log\sigma^2$ is cut off from below. "
           r"There is nothing to be afraid of: as a sum of logarithms it is finite, and $\sigma^2$ may round to 0.")
          for c in (30, 80, 100)),
        ("c_missing", {_SAID: "2 * ops.log_sigmoid(logit)"}, r"$c$ is missing: $\sigma$ is the sigmoid alone, and a "
         "unit may cost nothing."),
        ("free_bits", {_SAID: "2 * ops.log_sigmoid(logit)", "0.5 * ops.sum(mean**2 + ops.exp(log_variance) - 1 - "
         "log_variance, axis=1)": "ops.sum(ops.maximum(0.5 * (mean**2 + ops.exp(log_variance) - 1 - log_variance), "
         "delta), axis=1)"}, r"these are free bits: the price is raised to $\delta$ where it is lower, and the "
         "posterior may still be the prior. Here the posterior itself is to be such that it costs as much."),
        ("exponential", {_SAID: "v + 2 * logit"}, r"there is no sigmoid, so $\sigma$ has no limit: $c\,e^a$ may be 1, "
         "and cost nothing."),
        ("deviation", {"return log_variance, ": "return ops.exp(log_variance / 2), "}, r"this is $\sigma$. Asked for "
         r"is $\log\sigma^2$."),
        ("c_above_one", {"v = -1 - 2 * delta": "v = 1 + 2 * delta"}, "the equation has two solutions, and you found "
         "that above 1. Then the posterior may be the prior again: $c < 1$ was asked for."),
        ("other_side", {_SAID: "v + 2 * ops.log_sigmoid(-logit)"}, r"the sigmoid has $-a$ in it, where $a$ belongs."),
        ("price_without_mean", {"ops.sum(mean**2 + ": "ops.sum("}, r"the price lacks $\mu^2$, what the means cost."),
        ("price_doubled", {"0.5 * ops.sum(mean**2": "ops.sum(mean**2"}, "the ½ before the price is lost."),
        ("price_sign", {"- 1 - log_variance, axis=1)": "- 1 + log_variance, axis=1)"}, r"in the price "
         r"$\log\sigma^2$ has the wrong sign: $\frac12(\mu^2 + \sigma^2 - 1 - \log\sigma^2)$."),
        ("least_price", {"0.5 * ops.sum(mean**2 + ops.exp(log_variance) - 1 - log_variance, axis=1)": "delta * "
         "mean.shape[1] + 0 * ops.sum(mean, axis=1)"}, "this is the least that a code can cost. Asked for is what this "
         "one costs."),
        ("latents_averaged", {"0.5 * ops.sum(mean**2": "0.5 * ops.mean(mean**2"}, "the price is averaged over the "
         "latents. A code costs what its units cost together."),
    ],
)  # fmt: skip


# ---- 5


def _decoders(rng):
    """So many pixels that no two draws are the same by chance."""
    for B, L, H, event in (4, 3, 5, (4, 6)), (5, 2, 4, (3, 4, 2)):
        P = math.prod(event)
        shapes = dict(kernel_1=(L, H), bias_1=(H,), kernel_2=(H, H), skip_2=(L, H), bias_2=(H,), kernel_3=(H, P),
                      skip_3=(L, P), bias_3=(P,))  # fmt: skip
        weights = {name: 0.5 * rng.normal(size=shape) for name, shape in shapes.items()}
        yield dict(event_shape=event, units=H, features=rng.normal(size=(B, L)),
                   x=1.0 * (rng.random((B, *event)) < 0.5), **weights)  # fmt: skip


_SECOND = "ops.matmul(h, kernel_2) + ops.matmul(features, skip_2) + bias_2"
_THIRD = "ops.matmul(h, kernel_3) + ops.matmul(features, skip_3) + bias_3"

SKIPS = DistributionLayer(
    "SkipDecoder", "A decoder that hears its code in every layer", points=5, minutes=30, difficulty=2,
    section="Skip connections", aims=(3,),
    weights="kernel_1[L,H], bias_1[H], kernel_2[H,H], skip_2[L,H], bias_2[H], kernel_3[H,P], skip_3[L,P], bias_3[P]",
    draw=_decoders,
    answer=f"""
        h = ops.relu(ops.matmul(features, kernel_1) + bias_1)
        h = ops.relu({_SECOND})
        a = ops.reshape({_THIRD}, (-1, *event_shape))
        p = ops.sigmoid(a)
        return p, ops.sqrt(p * (1 - p)), x * a - ops.softplus(a)
    """,
    parts={"shapes": 0.5, "log_prob": 1, "mean": 1, "sample": 0.5, "gradients": 1, "model": 0.5, "config": 0.5},
    hints=r"""
        Eight times `self.add_weight(shape=..., name=...)` in `build`, in the order of the docstring. `input_shape[-1]`
        is the number of latents, and the number of pixels is the product of `event_shape`.

        `call`: three layers. The first two end in `ops.relu`, with the skip *inside*; the third gives logits.
        $z$ itself is what the skips take, not the layer before.

        `tfd.Independent(tfd.Bernoulli(logits=a, dtype="float32"), reinterpreted_batch_ndims=len(self.event_shape))`,
        with `a` of the shape `(-1, *self.event_shape)`.
    """,
    mistakes=[
        ("no_skips", {_SECOND: "ops.matmul(h, kernel_2) + bias_2", _THIRD: "ops.matmul(h, kernel_3) + bias_3"}, "the "
         "skips are not there: $z$ enters the first layer alone, and everybody else hears of it from the one before."),
        ("last_without", {_THIRD: "ops.matmul(h, kernel_3) + bias_3"}, "the last layer has no skip. The logits get "
         "$z U_3$ as well: with it there is a way from code to pixels that no other layer can close."),
        ("second_without", {_SECOND: "ops.matmul(h, kernel_2) + bias_2"}, "the second layer has no skip: $z U_2$ is "
         "missing."),
        ("after_activation", {f"ops.relu({_SECOND})": "ops.relu(ops.matmul(h, kernel_2) + bias_2) + "
         "ops.matmul(features, skip_2)"}, r"the skip of the second layer is added after the ReLU. It belongs inside, "
         r"$f(h W_2 + z U_2 + b_2)$."),
        ("no_activation", {f"h = ops.relu({_SECOND})": f"h = {_SECOND}"}, "the second layer has no ReLU: without it, "
         "it is linear."),
        ("tanh", {"h = ops.relu(ops.matmul(features, kernel_1) + bias_1)": "h = ops.tanh(ops.matmul(features, "
         "kernel_1) + bias_1)", f"h = ops.relu({_SECOND})": f"h = ops.tanh({_SECOND})"}, "the layers end in tanh. "
         "Here $f$ is the ReLU, which passes on what is positive as it is."),
        ("residual", {_SECOND: f"h + {_SECOND}"}, r"the layer before is added as it is, as in a residual network. "
         r"$z$ is what is handed on here, through $U_2$."),
        ("sigmoid_twice", {"a = ops.reshape(": "a = ops.sigmoid(ops.reshape(", "(-1, *event_shape))": "(-1, "
         "*event_shape)))"}, "a sigmoid is taken of the logits before they come to `tfd.Bernoulli`, which takes it "
         "itself: no pixel can be black any more."),
        ("logits_activated", {"a = ops.reshape(": "a = ops.relu(ops.reshape(", "(-1, *event_shape))": "(-1, "
         "*event_shape)))"}, "the logits go through a ReLU. They may be negative: a pixel that is black most of the "
         "time has a logit below 0."),
        ("logits_doubled", {"a = ops.reshape(": "a = 2 * ops.reshape("}, "the logits are twice what they should "
         "be."),
    ],
)  # fmt: skip


# ---- 6


def _codes(rng):
    """Units that are alive; collapsed; silent on the first images; loud on these alone, wide and narrow; narrow, and
    hardly moving.

    The last report is of units that say little, and of small noise: its misfit comes out below 0.
    """
    for N, share in (24, 1.0), (20, 0.3):
        mean = 0.02 * rng.normal(size=(N, 9))
        mean[:, 0] += rng.normal(size=N)
        late = mean[N // 2 + 1 :: 2, 2]  # counted, but not on the first images, nor on every second one
        late += 0.32 * rng.permutation(np.resize([-1, 1], len(late)))  # and its activity is below 0.1
        for unit in 3, 8:
            mean[:6, unit] += rng.permutation([-0.15, 0.15, -0.13, 0.13, -0.15, 0.15])  # counted on these alone
        mean[:, 4] += 0.8 * rng.normal(size=N)
        mean[:, [0, 1, 3, 4]] += rng.choice([-1, 1], size=4) * rng.uniform(0.4, 0.7, size=4)
        mean[:, 5:8] *= [2.0, 0.2, 0.2]  # no variance is 0.01; of the first one the deviation is
        mean[:, 7] += 0.5  # and so is the square of this one
        spread = np.array([0.35, 0.9, 0.007, 0.8, 0.5, 0.005, 0.006, 0.007, 0.003])  # σ²
        log_variance = np.log(spread) + rng.uniform(-0.1, 0.1, size=(N, 9))
        if share < 1:
            mean, log_variance = share * (mean - mean.mean(axis=0)), 0.1 * log_variance
        noise = share**2 * rng.normal(size=(N, 9))
        yield dict(mean=mean, log_variance=log_variance, noise=noise, beta=rng.uniform(0.4, 0.7))


_SEEN, _ACTIVITY = "seen = mean  # 1. images to count on", "activity = ops.var(seen, axis=0)  # 2. of each unit"
_PRICE = "price = 0.5 * (mean**2 + ops.exp(log_variance) - 1 - log_variance)  # 3. [N, L]"
_DRAWN = "z = mean + ops.exp(log_variance / 2) * noise  # 4. as the decoder gets them"
_MEAN_DENSITY = "aggregate = ops.logsumexp(log_q, axis=1) - np.log(mean.shape[0])  # 5."

MENDED = Mend(
    "mended_codes", "Five errors in a report on codes", points=5, minutes=20, difficulty=2, draw=_codes,
    section="When it goes wrong", aims=(2, 5),
    takes="mean[N,L], log_variance[N,L], noise[N,L], beta",
    because="float32 carries seven digits. The reports of different sets of errors differ by far more than that.",
    answer=f"""
        {_SEEN}
        {_ACTIVITY}
        live = ops.where(activity > 0.01, 1.0, 0.0)  # [L]

        {_PRICE}
        cost = ops.mean(ops.sum(live * price, axis=1))

        {_DRAWN}
        squares = (z[:, None] - mean) ** 2 * ops.exp(-log_variance)  # of each code under each posterior, [N, N, L]
        log_q = -0.5 * ops.sum(live * (log_variance + squares), axis=2)  # but for a constant, [N, N]
        {_MEAN_DENSITY}
        information = ops.mean(ops.diagonal(log_q) - aggregate)
        return cost - information
    """,
    errors={
        "images": (
            {_SEEN: "seen = mean[:6]"},
            "still broken: units are counted on a few images. Of these some unit may say nothing that it says of "
            "others, or the other way round. An activity is a variance over the data: take all images."),
        "activity": (
            {_ACTIVITY: "activity = ops.var(seen, axis=0) + ops.mean(ops.exp(log_variance), axis=0)"},
            r"still broken: the activity is the variance of *codes*, in which each posterior's own width is. A unit "
            r"that is equal to its prior has the largest of all, and would count. What tells images apart are the "
            "means."),
        "price": (
            {_PRICE: "price = beta * 0.5 * (mean**2 + ops.exp(log_variance) - 1 - log_variance)"},
            r"still broken: the price has the $\beta$ of the warm-up in it, as the loss had. In nats of the bound a "
            r"code costs its KL, whatever it was sold for."),
        "draws": (
            {_DRAWN: "z = mean"},
            "still broken: the densities are taken at the posterior means, where an image's own is highest, so the "
            "information comes out too large. The decoder gets draws."),
        "aggregate": (
            {_MEAN_DENSITY: "aggregate = ops.mean(log_q, axis=1)"},
            r"still broken: $\log\bar q(z)$ is computed as a mean of logarithms. That is too small, the information "
            r"too large, and above $\log N$ if need be."),
    },
    slips=[
        ("images", "half", {"seen = mean ": "seen = mean[::2] "}, "now units are counted on half of the images. Take "
         "all."),
        ("activity", "deviation", {"activity = ops.var(seen, axis=0)": "activity = ops.std(seen, axis=0)"}, "now the "
         "activity is a standard deviation. The threshold 0.01 is for variances."),
        ("activity", "widths", {"activity = ops.var(seen, axis=0)": "activity = ops.mean(ops.exp(log_variance), "
         "axis=0)"}, "now it is the posteriors' own width. It is largest where a unit says nothing: the means tell "
         "images apart, and their variance over the images is the activity."),
        ("activity", "squares", {"activity = ops.var(seen, axis=0)": "activity = ops.mean(seen**2, axis=0)"}, "now it "
         "is the mean square. A unit whose mean is the same for all images, and not 0, says nothing: subtract the mean "
         "over the images first."),
        ("price", "no_mean", {"0.5 * (mean**2 + ops.exp(log_variance) - 1": "0.5 * (ops.exp(log_variance) - 1"},
         r"now the price lacks $\mu^2$, what the means cost."),
        ("price", "divided", {"price = 0.5 * (": "price = 0.5 / beta * ("}, r"now the price is divided by $\beta$. "
         "Leave it out."),
        ("draws", "variance", {"ops.exp(log_variance / 2) * noise": "ops.exp(log_variance) * noise"}, "now the noise "
         r"is multiplied by $\sigma^2$: $\sigma = e^{\lambda/2}$."),
        ("draws", "unit_noise", {"ops.exp(log_variance / 2) * noise": "noise"}, r"now the noise has the size 1 in each "
         r"unit. It is multiplied by $\sigma = e^{\lambda/2}$."),
        ("aggregate", "not_divided", {" - np.log(mean.shape[0])  # 5.": ""}, r"now $\bar q$ is the *sum* of the "
         r"posteriors. It is their mean: $\log N$ is missing."),
        ("aggregate", "over_codes", {"ops.logsumexp(log_q, axis=1)": "ops.logsumexp(log_q, axis=0)"}, r"now the sum "
         r"goes over the codes, axis 0. $\bar q(z)$ is one code's density under all posteriors, axis 1."),
        ("aggregate", "by_six", {"np.log(mean.shape[0])": "np.log(6)"}, "now you divided by six, the images of line 1 "
         "as it was. The mean is over all $N$ posteriors."),
        ("aggregate", "others", {"aggregate = ops.logsumexp(log_q, axis=1) - np.log(mean.shape[0])": "aggregate = "
         "ops.logsumexp(log_q - 1e9 * ops.eye(mean.shape[0]), axis=1) - np.log(mean.shape[0] - 1)"}, "now a code's own "
         r"image is left out of $\bar q$. It is one of the $N$."),
        ("aggregate", "by_units", {"np.log(mean.shape[0])": "np.log(mean.shape[1])"}, "now you divided by the number "
         r"of units. The mean is over the $N$ posteriors."),
        (None, "beta", {"return cost - information": "return beta * (cost - information)"}, r"the difference is "
         r"multiplied by $\beta$ now. It is in nats of the bound, whatever the code was sold for."),
        (None, "sign", {"return cost - information": "return information - cost"}, "this is information less cost. It "
         "was the other way round, and so never negative but for noise."),
        (None, "information_alone", {"return cost - information": "return information"}, "this is the information "
         "alone. The report was cost less information."),
        (None, "cost_alone", {"return cost - information": "return cost"}, "this is the cost alone. The report was "
         "cost less information."),
        (None, "clipped", {"return cost - information": "return ops.maximum(cost - information, 0.0)"}, "a misfit "
         "below 0 is cut off. It is noise of the draws, and cut on one side it makes the mean of many too large."),
        (None, "threshold", {"activity > 0.01": "activity > 0.1"}, "the threshold is another one now; live are units "
         "with an activity above 0.01."),
        (None, "all_units", {"ops.where(activity > 0.01, 1.0, 0.0)": "ops.ones_like(activity)"}, "all units count now, "
         "also those that are below the threshold."),
    ],
    hints=r"""
        Take the three sections of the lesson on how to report a healthy code that is none. Which of them do you see
        here? Then read the last lines: what does the decoder get, and what is $\bar q$?

        Which images, and the variance of *what*? In which currency is the price? What is a mean of densities?

        There is one error in each of: `seen`, `activity`, `price`, `z`, and `aggregate`.
    """,
)  # fmt: skip


# ---- 7

PIXELS, SHARE, LAG, SHEETS = 12, 0.6, 0.2, 1500  # of a data set; η
NOISES = ((0.6, 0.68),), ((0.1, 0.2), (0.42, 0.52)), ((0.06, 0.12), (0.06, 0.12), (0.42, 0.5))  # by order


def _covariance(weights):
    """Of pixels that share a number of variance `SHARE`, beside noise in which each hangs on those before it."""
    response = np.zeros(300)
    response[0] = 1
    for t in range(1, 300):
        response[t] = sum(w * response[t - 1 - k] for k, w in enumerate(weights) if t > k)
    lags = np.array([response[: 300 - k] @ response[k:] for k in range(PIXELS)])
    places = np.arange(PIXELS)
    return SHARE + (1 - SHARE) * (lags / lags[0])[abs(places[:, None] - places)]


def _sheets(rng):
    """Three data sets, in which the noise reaches one, two and three pixels far, in any order."""
    problems = []
    for order in rng.permutation(len(NOISES)):
        covariance = _covariance([rng.uniform(*ends) for ends in NOISES[order]])
        x = rng.normal(size=(SHEETS, PIXELS)) @ np.linalg.cholesky(covariance).T
        problems.append({"x": x, "covariance": covariance, "order": order + 1})
    return problems


def _best_code(covariance, neighbours):
    r"""Finds the best code of one number, $z = a \cdot x + ε$, for a decoder that sees so many neighbours.

    It is scaled such that ε has the variance 1; then it says ½ log(1 + s) nats with s the variance of $a \cdot x$. What
    is left of pixel t, given those that it sees, is $w_t \cdot x$, with a variance of $r_t$. Given z, too, the variance
    is $r_t - b_t^2 / v_t$, b the covariance with z, v what is left of z.

    Returns: the bound, the mean over x, of an encoder that lags by `LAG`; and what the code says.
    """
    from scipy.optimize import minimize

    D = len(covariance)
    w, seen = np.eye(D), np.zeros((D, D, D))
    for t in range(D):
        past = np.arange(max(0, t - neighbours), t)
        inverse = np.linalg.inv(covariance[np.ix_(past, past)])
        w[t, past] = -covariance[t, past] @ inverse
        seen[t][np.ix_(past, past)] = inverse
    r = np.sum(w @ covariance * np.eye(D), axis=1)

    def loss(a):
        c = covariance @ a
        s, b, known = a @ c, w @ c, seen @ c
        v = 1 + s - known @ c
        left = r - b**2 / v
        bound = -0.5 * np.sum(np.log(2 * np.pi * np.e * left)) - 0.5 * np.log1p(s) - 0.5 * LAG**2 * s
        of_b, of_v = b / left / v, -0.5 * b**2 / left / v**2
        of_c = w.T @ of_b - 2 * of_v @ known
        return -bound, -(covariance @ of_c + 2 * (of_v.sum() - 0.5 / (1 + s) - 0.5 * LAG**2) * c)

    starts = (np.full(D, size / D) for size in (1.5, 0.5))
    found = min((minimize(loss, start, jac=True, method="BFGS") for start in starts), key=lambda found: found.fun)
    return -found.fun, 0.5 * np.log1p(found.x @ covariance @ found.x)


def _decoded(rng, x, covariance, order, neighbours):
    """Measures what a decoder with so many neighbours lacks to log p(x), and what its code says."""
    bound, said = _best_code(covariance, neighbours)
    log_p = -0.5 * np.linalg.slogdet(2 * np.pi * np.e * covariance)[1]
    worth = _best_code(covariance, order)[1]
    return {**dict.fromkeys(("share", "of what it could say"), said / worth), "lost": log_p - bound, "order": order,
            "said": said}  # fmt: skip


_BAND = """
precision = np.linalg.inv(np.cov(x, rowvar=False))
band = np.array([np.mean(np.diagonal(precision, k)) for k in range(x.shape[1])])
rest = np.median(band[5:])  # of what all pixels share
return {"neighbours": max(k for k in range(1, 5) if abs(band[k] - rest) > 0.6)}
"""

SIGHT = Experiment(
    "sight", "An experiment to design: how far may a decoder see?", points=5, minutes=30, difficulty=3, importance=2,
    section="A decoder with two sources", aims=(1,),
    takes="x[N,D]", draw=_sheets, run=_decoded, settings={"neighbours": (0, PIXELS - 1)},
    goals={
        "likelihood": AtMost(0.2, "nats", of="lost"),
        "heard": AtLeast(0.5, "of what it could say", of="share"),
        "all heard": AtLeast(0.95, "of what it could say", of="share"),
    },
    parts={"likelihood": 1, "heard": 1, "all heard": 3},
    answer=_BAND,
    hints=r"""
        Too few neighbours, and the noise is left to the code, which cannot carry it. Too many, and the decoder finds
        out by itself what the pixels share. So the best number is just how far the noise reaches, in *this* data set.

        Given what all pixels share, a pixel hangs on its nearest neighbours alone. Which matrix tells on which others a
        pixel hangs *directly*? The inverse of the covariance, the precision matrix: an entry is 0 where two normal
        numbers have nothing to tell each other, given all the others.

        Take `np.linalg.inv(np.cov(x, rowvar=False))` and average along its diagonals, `np.diagonal(precision, k)`. Far
        from the middle there is a small constant, from what all share. How many diagonals stand out from that?
    """,
    mistakes=[
        ("likelihood", "blind", "dict(neighbours=0)", lambda neighbours, **_: neighbours == 0, "The decoder sees no "
         "neighbours, and one number is too little to describe all that they have in common. What is local belongs to "
         "the decoder."),
        ("likelihood", "too_near", "dict(neighbours=1)", lambda neighbours, order, **_: neighbours < order, "In at "
         "least one data set the noise reaches further than the decoder sees. The code has to help out with that, and "
         "one number cannot."),
        (None, "sees_all", f"dict(neighbours={PIXELS - 1})", lambda neighbours, order, share, **_: neighbours > order
         and share < 0.1, "The decoder sees all the pixels before it. It needs nobody to tell it what they share, and "
         "with an encoder that lags, the best code is none: collapse by choice."),
        (None, "too_far", "dict(neighbours=3)", lambda neighbours, order, **_: neighbours > order, "In at least one "
         "data set the decoder sees further than the noise reaches. Hardly anything is won by it, and it finds out "
         "more by itself of what the code could say. The encoder lags, so the less is left to it, the better. Choose "
         "the number for each data set, from `x`."),
    ],
    because="what is measured is exact: the share is 1 for the right number of neighbours, and at most 0.92 for one "
    "more.",
    seconds=30.0,
)  # fmt: skip


# ---- 8


TRAINED = TrainedDeep(
    "train_deep", "Train a deep decoder that listens", points=5, minutes=30, difficulty=2,
    section="Depth, and the number of latents", aims=(3,),
    bounds={"codes": -50.0, "fair": -43.0, "good": -41.4}, informed=5.4,
    parts={"codes": 1, "fair": 1, "good": 1.5, "informed": 1.5},
    images=small_digits, coins=-52.5, good_kl=(6.0, 12.0), most_latents=20, most_units=100,
    because="16 runs of the solution, each with another seed, on both backends, ended between −40.8 and −40.2, with "
    "5.8 to 5.9 nats of information. Two runs each: without any cure −46.6, with 2.4 nats; with warm-up alone −42.1 "
    "and 4.6; with free bits of 8 nats alone −42.0 and 5.7; with skips alone −41.1 and −41.9, with 5.2 and 4.9; both "
    "cures, with half as many epochs, −42.1 and 5.4. Principal components without any hidden layer: −49.5.",
    hints="""
        First make it return anything of the right shapes: the lesson's `decoder()` with four layers of 100 units, an
        encoder with `vk.layers.DiagonalNormal(20)`, `vk.VAE`, and `arrays(decoder)`. Without a cure it reaches some
        -47 nats.

        `DynamicBinarization(images, seed)` draws the pixels anew in every epoch. Batches of 100, 40 epochs, Adam with a
        learning rate that decays to 0 (`keras.optimizers.schedules.CosineDecay`).

        Two cures that go together: `vk.layers.Stack(layers, skip=True)`, and
        `vk.objectives.ELBO(analytic_kl=True, beta=vk.objectives.WarmUp(steps))` for a third of the training.
    """,
)  # fmt: skip


QUESTIONS = [BETA, INFORMATION, COST, DELTA, SKIPS, MENDED, SIGHT, TRAINED]
