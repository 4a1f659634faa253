r"""Exercise 05: two stochastic layers."""

import functools

import numpy as np

from vaekit.course.questions import Experiment, Function, Mend, Number, TrainedHierarchy
from vaekit.course.questions.question import AtLeast, AtMost
from vaekit.course.questions.small_digits import small_digits

TITLE = "Two stochastic layers"


# ---- 1


def _hierarchies(rng):
    for N, D, K, M in (3, 5, 2, 4), (4, 6, 3, 2):
        yield _hierarchy(rng, N, D, K, M)


def _hierarchy(rng, N, D, K, M):
    return dict(x=1.0 * (rng.random((N, D)) < 0.5), noise_1=rng.normal(size=(N, K)), noise_2=rng.normal(size=(N, M)),
                up_1=rng.normal(size=(D, K)) / 2, log_variance_1=rng.uniform(-2, 0, size=K),
                up_2=rng.normal(size=(K, M)) / 2, log_variance_2=rng.uniform(-2, 0, size=M),
                down_1=rng.normal(size=(M, K)), log_variance_p=rng.uniform(-1.5, 0.5, size=K),
                down_x=rng.normal(size=(K, D)))  # fmt: skip


_LOWER = "log_normal(h1, h1_mean, log_variance_1) - log_normal(h1, ops.matmul(h2, down_1), log_variance_p)"
_UPPER = "log_normal(h2, h2_mean, log_variance_2) - log_normal(h2, 0 * h2, 0 * h2)"
_DRAW_1, _DRAW_2 = "ops.exp(log_variance_1 / 2) * noise_1", "ops.exp(log_variance_2 / 2) * noise_2"

LOG_WEIGHT = Function(
    "log_weight", "The log-weight of two layers", points=4, minutes=20, difficulty=2,
    section="As factors", aims=(1,),
    takes="x[N,D], noise_1[N,K], noise_2[N,M], up_1[D,K], log_variance_1[K], up_2[K,M], log_variance_2[M], "
    "down_1[M,K], log_variance_p[K], down_x[K,D]",
    returns="log weight, lower, upper",
    gradients="up_1 log_variance_1 up_2 log_variance_2 down_1 log_variance_p down_x",
    requires_first=False,
    axes={"N": "images", "K": "units of h1", "M": "units of h2", "D": "pixels"}, draw=_hierarchies,
    parts={"log weight": 1.5, "lower": 1, "upper": 1, "gradients": 0.5},
    answer="""
        def log_normal(h, mean, log_variance):  # summed over the units, [N]
            return -0.5 * ops.sum(LOG_2PI + log_variance + (h - mean) ** 2 / ops.exp(log_variance), axis=1)

        h1_mean = ops.matmul(x, up_1)
        h1 = h1_mean + ops.exp(log_variance_1 / 2) * noise_1
        h2_mean = ops.matmul(h1, up_2)
        h2 = h2_mean + ops.exp(log_variance_2 / 2) * noise_2
        logits = ops.matmul(h1, down_x)
        log_p_x = ops.sum(x * logits - ops.softplus(logits), axis=1)
        lower = log_normal(h1, h1_mean, log_variance_1) - log_normal(h1, ops.matmul(h2, down_1), log_variance_p)
        upper = log_normal(h2, h2_mean, log_variance_2) - log_normal(h2, 0 * h2, 0 * h2)
        return log_p_x - lower - upper, lower, upper
    """,
    hints=r"""
        Draw from the data upwards: $h_1$ with `noise_1`, from it the mean of $q(h_2|h_1)$, then $h_2$ with `noise_2`.
        Only when both are there, come the densities; all five are taken at these draws.

        A function of your own, `log_normal(h, mean, log_variance)`, is needed four times:
        $-\frac12\sum_j\big(\log 2\pi + \lambda_j + (h_j - \mu_j)^2 e^{-\lambda_j}\big)$.

        The lower term is $\log q(h_1|x) - \log p(h_1|h_2)$, with the mean `ops.matmul(h2, down_1)` in the second
        density. The upper one is $\log q(h_2|h_1) - \log p(h_2)$. The log-weight is $\log p(x|h_1)$ less both.
    """,
    mistakes=[
        ("mean_handed_up", {"h2_mean = ops.matmul(h1, up_2)": "h2_mean = ops.matmul(h1_mean, up_2)"}, r"$h_2$ comes "
         r"from the *mean* of $q(h_1|x)$. $q(h_2|h_1)$ is given the $h_1$ that was drawn."),
        ("density_elsewhere", {"log_normal(h2, h2_mean,": "log_normal(h2, ops.matmul(h1_mean, up_2),"}, r"$h_2$ was "
         r"drawn from $q(h_2|h_1)$ at the drawn $h_1$, and $\log q(h_2|h_1)$ is taken at the mean of $h_1$. That is "
         "the density of another distribution, and the mean weight is not $p(x)$ any more."),
        ("standard_prior", {"log_normal(h1, ops.matmul(h2, down_1), log_variance_p)": "log_normal(h1, 0 * h1, 0 * h1)"},
         r"$h_1$ is compared with a standard normal. Its prior comes from above, $p(h_1|h_2)$; that is what the upper "
         "layer is for."),
        ("closed_form_lower", {_LOWER: "0.5 * ops.sum((ops.exp(log_variance_1) + (h1_mean - ops.matmul(h2, down_1)) "
         "** 2) / ops.exp(log_variance_p) - 1 + log_variance_p - log_variance_1, axis=1)"}, r"the lower term is the "
         r"closed form of $\mathrm{KL}(q(h_1|x)\,\|\,p(h_1|h_2))$. Its mean over $h_1$ takes $h_2$ for given; but "
         r"$h_2$ was drawn from $h_1$. In the bottom-up order no closed form exists: take both densities at the draw."),
        ("closed_form_upper", {_UPPER: "0.5 * ops.sum(ops.exp(log_variance_2) + h2_mean**2 - 1 - log_variance_2, "
         "axis=1)"}, r"the upper term is the closed form of the divergence. In the *bound* it could stand for the "
         r"sample; but a weight belongs to one draw, $p/q$ at this $h_2$, and its mean is $p(x)$ only then."),
        ("mean_handed_down", {"ops.matmul(h2, down_1)": "ops.matmul(h2_mean, down_1)"}, r"$p(h_1|h_2)$ is given the "
         r"mean of $h_2$; it is given the $h_2$ that was drawn."),
        ("pixels_of_mean", {"logits = ops.matmul(h1, down_x)": "logits = ops.matmul(h1_mean, down_x)"}, r"the pixels "
         r"come from the mean of $q(h_1|x)$, not from the $h_1$ that was drawn."),
        ("upper_draw_variance", {_DRAW_2: "ops.exp(log_variance_2) * noise_2"}, r"the noise of $h_2$ is multiplied by "
         r"the variance; by $\sigma = e^{\lambda/2}$ it should be."),
        ("lower_draw_variance", {_DRAW_1: "ops.exp(log_variance_1) * noise_1"}, r"the noise of $h_1$ is multiplied by "
         r"the variance; by $\sigma = e^{\lambda/2}$ it should be."),
        ("draws_variance", {_DRAW_1: "ops.exp(log_variance_1) * noise_1", _DRAW_2: "ops.exp(log_variance_2) * "
         "noise_2"}, r"the noise of both layers is multiplied by the variance; by $\sigma = e^{\lambda/2}$ it should "
         "be."),
        ("no_noise", {f"h1_mean + {_DRAW_1}": "h1_mean"}, r"$h_1$ is the mean of $q(h_1|x)$: `noise_1` is not used."),
        ("no_noise", {f"h2_mean + {_DRAW_2}": "h2_mean"}, r"$h_2$ is the mean of $q(h_2|h_1)$: `noise_2` is not used."),
        ("encoders_variance", {"down_1), log_variance_p)": "down_1), log_variance_1)"}, r"$p(h_1|h_2)$ has the "
         r"encoder's variance. Its own is $e^{\lambda_p}$, `log_variance_p`."),
        ("deviation_in_density", {"/ ops.exp(log_variance), axis=1)": "/ ops.exp(log_variance / 2), axis=1)"}, r"the "
         r"squares are divided by $\sigma$; a normal density has $\sigma^2$ there."),
        ("units_averaged", {"-0.5 * ops.sum(": "-0.5 * ops.mean("}, "the densities are averaged over the units of a "
         "layer. The density of a layer is the product of its units', so logarithms are summed."),
        ("upper_missing", {"log_p_x - lower - upper,": "log_p_x - lower,"}, "the log-weight lacks the upper layer: "
         r"$\log p(h_2) - \log q(h_2|h_1)$ belongs to it."),
        ("lower_missing", {"log_p_x - lower - upper,": "log_p_x - upper,"}, "the log-weight lacks the lower layer: "
         r"$\log p(h_1|h_2) - \log q(h_1|x)$ belongs to it."),
        *(("density_missing", {"return log_p_x - lower - upper,": f"return log_p_x - lower - upper {term},"}, f"the "
           f"log-weight lacks ${density}$. All five densities belong to it.") for density, term in (
              (r"\log p(h_2)", "- log_normal(h2, 0 * h2, 0 * h2)"),
              (r"\log q(h_2|h_1)", "+ log_normal(h2, h2_mean, log_variance_2)"),
              (r"\log p(h_1|h_2)", "- log_normal(h1, ops.matmul(h2, down_1), log_variance_p)"),
              (r"\log q(h_1|x)", "+ log_normal(h1, h1_mean, log_variance_1)"))),
        ("white_alone", {"x * logits - ops.softplus(logits)": "x * ops.log_sigmoid(logits)"}, r"only white pixels "
         r"count. A black one has the probability $1 - \mathrm{sigmoid}(a)$: $x a - \log(1 + e^a)$ has both."),
        ("added", {"log_p_x - lower - upper,": "log_p_x + lower + upper,"}, r"both layers' terms are added to "
         r"$\log p(x|h_1)$. They are $\log q - \log p$, what a code costs: subtract them."),
        ("lower_added", {"log_p_x - lower - upper,": "log_p_x + lower - upper,"}, "the lower layer's term is added to "
         r"$\log p(x|h_1)$. It is $\log q - \log p$, what a code costs: subtract it."),
        ("upper_added", {"log_p_x - lower - upper,": "log_p_x - lower + upper,"}, "the upper layer's term is added to "
         r"$\log p(x|h_1)$. It is $\log q - \log p$, what a code costs: subtract it."),
        ("reversed", {_LOWER: "log_normal(h1, ops.matmul(h2, down_1), log_variance_p) - log_normal(h1, h1_mean, "
         "log_variance_1)", _UPPER: "log_normal(h2, 0 * h2, 0 * h2) - log_normal(h2, h2_mean, log_variance_2)",
         "log_p_x - lower - upper": "log_p_x + lower + upper"}, r"both terms are $\log p - \log q$. A layer's cost is "
         r"$\log q - \log p$, whose mean is $K$."),
        ("exchanged", {"- upper, lower, upper": "- upper, upper, lower"}, "lower and upper have changed places: the "
         "lower term second, the upper one third."),
        ("joint", {"return log_p_x - lower - upper,": "return log_p_x + log_normal(h1, ops.matmul(h2, down_1), "
         "log_variance_p) + log_normal(h2, 0 * h2, 0 * h2),"}, r"this is $\log p(x, h_1, h_2)$, the joint density. The "
         r"weight is divided by the density of what the draws came from: $- \log q(h_1|x) - \log q(h_2|h_1)$."),
        ("weight_itself", {"return log_p_x - lower - upper": "return ops.exp(log_p_x - lower - upper)"}, "this is the "
         "weight itself; its logarithm is asked for."),
    ],
)  # fmt: skip


# ---- 2


def _draws_of_two_layers(rng):
    """In some draws p(h1|h2) finds h1 far more probable than q(h1|x) does: K₁ of an image may be below zero."""
    for S, N, K, M in (5, 3, 6, 7), (3, 7, 5, 6):
        q1_mean, q1_log_variance = rng.normal(size=(N, K)), rng.uniform(-2, 0, size=(N, K))
        h1 = q1_mean + np.exp(q1_log_variance / 2) * rng.normal(size=(S, N, K))
        p1_mean, p1_log_variance = rng.normal(size=(S, N, K)), rng.uniform(-1, 0.5, size=(S, N, K))
        p1_mean[:, 0], p1_log_variance[:, 0] = h1[:, 0] + 0.2 * p1_mean[:, 0], p1_log_variance[:, 0] - 3
        yield dict(h1=h1, q1_mean=q1_mean, q1_log_variance=q1_log_variance, p1_mean=p1_mean,
                   p1_log_variance=p1_log_variance, q2_mean=rng.normal(size=(S, N, M)),
                   q2_log_variance=rng.uniform(-2, 0.2, size=(S, N, M)))  # fmt: skip


_RATIO = "(h1 - p1_mean) ** 2 / ops.exp(p1_log_variance) - (h1 - q1_mean) ** 2 / ops.exp(q1_log_variance)"
_TOP = "0.5 * (q2_mean**2 + ops.exp(q2_log_variance) - 1 - q2_log_variance)"

LAYER_KLS = Function(
    "layer_kls", "What each layer costs, with as little noise as possible", points=4, minutes=20, difficulty=2,
    section="The closed form where none exists", aims=(4, 5),
    takes="h1[S,N,K], q1_mean[N,K], q1_log_variance[N,K], p1_mean[S,N,K], p1_log_variance[S,N,K], q2_mean[S,N,M], "
    "q2_log_variance[S,N,M]",
    returns="k1, k2, by unit", axes={"S": "samples", "N": "images", "K": "units of h1", "M": "units of h2"},
    draw=_draws_of_two_layers, requires_first=False, parts={"k1": 1.5, "k2": 1.5, "by unit": 1},
    answer=f"""
        ratio = p1_log_variance - q1_log_variance + {_RATIO}
        k1 = 0.5 * ops.mean(ops.sum(ratio, axis=2), axis=0)  # by samples
        top = {_TOP}  # in closed form, for each h1
        return k1, ops.mean(ops.sum(top, axis=2), axis=0), ops.mean(top, axis=(0, 1))
    """,
    hints=r"""
        Given $h_1$, both $q(h_2|h_1)$ and $p(h_2)$ are known normals: their divergence is a formula, and only $h_1$ is
        left to be averaged over. Is there anything like that for $K_1$, where $h_2$ comes after $h_1$?

        $K_1$: $\log q(h_1|x) - \log p(h_1|h_2)$ at each draw, summed over the units, averaged over the samples. The
        $\log 2\pi$ cancel: $\frac12\sum_j\big(\lambda^p_j - \lambda^q_j + (h_j - \mu^p_j)^2 e^{-\lambda^p_j} - (h_j -
        \mu^q_j)^2 e^{-\lambda^q_j}\big)$.

        $K_2$: $\frac12\sum_j(\mu_j^2 + e^{\lambda_j} - 1 - \lambda_j)$ for each $h_1$, then the mean over the samples.
        By unit it is the same numbers, averaged over samples and images, not summed over units.
    """,
    mistakes=[
        ("closed_form_lower", {_RATIO: "((q1_mean - p1_mean) ** 2 + ops.exp(q1_log_variance)) / "
         "ops.exp(p1_log_variance) - 1"}, r"$K_1$ is computed by the closed form of $\mathrm{KL}(q(h_1|x)\,\|\,"
         r"p(h_1|h_2))$. It averages over $h_1$ as if $h_2$ did not change with it; but $h_2$ was drawn from this "
         r"very $h_1$. Take both log-densities at the draws."),
        ("entropy", {_RATIO: "(h1 - p1_mean) ** 2 / ops.exp(p1_log_variance) - 1"}, r"in $K_1$ the mean of "
         r"$\log q(h_1|x)$ is a formula, and $\log p(h_1|h_2)$ is taken at the draws. The mean is right, but this is "
         "no divergence, and what is random in both, and would cancel, does not any more: take both at the draws."),
        ("clipped", {"k1 = 0.5 * ops.mean(ops.sum(ratio, axis=2), axis=0)": "k1 = ops.maximum(0.5 * "
         "ops.mean(ops.sum(ratio, axis=2), axis=0), 0.0)"}, r"$K_1$ is cut off at 0. In the bottom-up order it is no "
         r"divergence, and may well be below zero: question 3 asks why."),
        ("samples_merged", {_TOP: "0.5 * (ops.mean(q2_mean, axis=0, keepdims=True) ** 2 + "
         "ops.exp(ops.mean(q2_log_variance, axis=0, keepdims=True)) - 1 - ops.mean(q2_log_variance, axis=0, "
         "keepdims=True))"}, r"you averaged the parameters of $q(h_2|h_1)$ over the samples first, and took the "
         "divergence of that. Each $h_1$ has a divergence of its own; their mean is asked for."),
        ("priors_merged", {f"ratio = p1_log_variance - q1_log_variance + {_RATIO}": "p1_mean = ops.mean(p1_mean, "
         "axis=0)\np1_log_variance = ops.mean(p1_log_variance, axis=0)\nratio = p1_log_variance - q1_log_variance + "
         f"{_RATIO}"}, "you averaged the parameters of $p(h_1|h_2)$ over the samples first. Each sample has an $h_2$ "
         "of its own, and the density of its $h_1$ given that one is asked for."),
        ("standard_prior", {"p1_log_variance - q1_log_variance + (h1 - p1_mean) ** 2 / ops.exp(p1_log_variance)":
         "h1**2 - q1_log_variance"}, r"in $K_1$ the prior of $h_1$ is a standard normal. It is $p(h_1|h_2)$, with "
         "`p1_mean` and `p1_log_variance`."),
        ("standard_lower", {f"ratio = p1_log_variance - q1_log_variance + {_RATIO}": "ratio = q1_mean**2 + "
         "ops.exp(q1_log_variance) - 1 - q1_log_variance + 0 * h1"}, r"$K_1$ is the divergence of $q(h_1|x)$ from a "
         r"standard normal. The prior of $h_1$ is $p(h_1|h_2)$, and the densities are taken at the draws."),
        ("upper_sign", {"- 1 - q2_log_variance)": "- 1 + q2_log_variance)"}, r"$\lambda$ has the wrong sign in $K_2$: "
         r"$\frac12(\mu^2 + e^{\lambda} - 1 - \lambda)$."),
        ("upper_reversed", {_TOP: "0.5 * ((q2_mean**2 + 1) / ops.exp(q2_log_variance) - 1 + q2_log_variance)"},
         r"$K_2$ is $\mathrm{KL}(p(h_2)\,\|\,q(h_2|h_1))$, the wrong way round: codes are drawn from $q$, and the mean "
         r"of $\log q - \log p$ is taken over them."),
        ("log_of_mean", {"0.5 * ops.mean(ops.sum(ratio, axis=2), axis=0)": "ops.logsumexp(0.5 * ops.sum(ratio, "
         "axis=2), axis=0) - np.log(h1.shape[0])"}, r"$K_1$ is the logarithm of a mean of ratios. The mean of the "
         "logarithms is asked for."),
        ("one_sample", {"0.5 * ops.mean(ops.sum(ratio, axis=2), axis=0)": "0.5 * ops.sum(ratio, axis=2)[0]"}, r"$K_1$ "
         "is that of the first sample alone: take the mean over all of them."),
        ("no_one", {"ops.exp(q2_log_variance) - 1 -": "ops.exp(q2_log_variance) -"}, r"the $-1$ is missing in $K_2$: a "
         "unit that is equal to its prior should cost 0."),
        ("upper_variance", {"ops.exp(q2_log_variance)": "ops.exp(q2_log_variance / 2)"}, r"$K_2$ has $\sigma$ where "
         r"$\sigma^2 = e^{\lambda}$ belongs."),
        ("lower_deviation", {"/ ops.exp(p1_log_variance)": "/ ops.exp(p1_log_variance / 2)",
         "/ ops.exp(q1_log_variance)": "/ ops.exp(q1_log_variance / 2)"}, r"in $K_1$ the squares are divided by "
         r"$\sigma$; a normal density has $\sigma^2$ there."),
        ("log_variances_reversed", {"p1_log_variance - q1_log_variance +": "q1_log_variance - p1_log_variance +"},
         r"in $K_1$ the log-variances are the wrong way round: $\log q$ has $-\frac12\lambda^q$, and $\log p$, which "
         r"is subtracted, has $-\frac12\lambda^p$."),
        ("no_log_variances", {"p1_log_variance - q1_log_variance + ": ""}, r"$K_1$ lacks the log-variances, "
         r"$\frac12(\lambda^p - \lambda^q)$: only $\log 2\pi$ cancels."),
        ("reversed", {"0.5 * ops.mean(ops.sum(ratio": "-0.5 * ops.mean(ops.sum(ratio"}, r"$K_1$ has the other sign: it "
         r"is the mean of $\log q(h_1|x) - \log p(h_1|h_2)$."),
        ("density_alone", {"p1_log_variance - q1_log_variance + (h1 - p1_mean) ** 2 / ops.exp(p1_log_variance) -":
         "-LOG_2PI - q1_log_variance -"}, r"this is the mean of $\log q(h_1|x)$ alone; $-\log p(h_1|h_2)$ is "
         "missing in $K_1$."),
        ("half_lost", {"0.5 * ops.mean(ops.sum(ratio": "ops.mean(ops.sum(ratio"}, r"the ½ is lost in $K_1$: "
         r"a log-density has $-\frac12$ in front."),
        ("units_averaged", {"ops.sum(ratio, axis=2)": "ops.mean(ratio, axis=2)", "ops.sum(top, axis=2)":
         "ops.mean(top, axis=2)"}, "the units of a layer are averaged. A layer costs what its units cost together."),
        ("samples_summed", {"ops.mean(ops.sum(ratio, axis=2), axis=0)": "ops.sum(ratio, axis=(0, 2))",
         "ops.mean(ops.sum(top, axis=2), axis=0)": "ops.sum(top, axis=(0, 2))"}, "you summed over the samples: take "
         "their mean."),
        ("by_unit_summed", {"ops.mean(top, axis=(0, 1))": "ops.sum(ops.mean(top, axis=0), axis=0)"}, "by unit it is "
         "summed over the images. What a unit costs is a mean over them, so that it does not depend on their number."),
        ("exchanged", {"return k1, ops.mean(ops.sum(top, axis=2), axis=0),": "return ops.mean(ops.sum(top, axis=2), "
         "axis=0), k1,"}, r"$K_1$ and $K_2$ have changed places."),
    ],
)  # fmt: skip


# ---- 3

LOWER = Number(
    "lower_cost", "By hand: a divergence below zero?", points=3, minutes=25, difficulty=3, importance=2,
    section="The closed form where none exists", aims=(5,),
    value="0.5 * log(1 + 1 / 4) + 0.5 * log(1 - 0.81)",
    rtol=4e-3,
    because="the number is −0.7188; 0.4 % leave room for −0.72.",
    hints=r"""
        With the exact posterior, what is $q(h_2|h_1)$ in words? And averaged over the data, what is the distribution of
        a pair $(h_1, h_2)$ that is drawn from $q$? (Data from the model, codes from its posterior.)

        So all means are means over the model's own story. Sum first: $K_1 + K_2$ is the mean of
        $\log p(h_1, h_2|x) - \log p(h_1, h_2) = \log p(x|h_1) - \log p(x)$, in which $h_2$ does not occur: a difference
        of two normal log-densities, whose mean is $\frac12\log(1 + 1/s^2)$.

        $K_2$ is the mean of $\log p(h_2|h_1) - \log p(h_2)$, with $p(h_2|h_1) = \mathcal N(a h_1, 1 - a^2)$:
        $\frac12\mathbb E\big[a^2 h_1^2 + (1 - a^2) - 1 - \log(1 - a^2)\big]$, and $\mathbb E[h_1^2] = 1$.
    """,
    mistakes=[
        ("both", "0.5 * log(1.25)", r"this is $K_1 + K_2$, what both codes cost together. The upper one's part is to "
         "be taken off."),
        ("upper", "-0.5 * log(0.19)", r"this is $K_2$, the upper layer's. What is $K_1 + K_2$?"),
        ("upper_negative", "0.5 * log(0.19)", r"this is $-K_2$. $K_1 = (K_1 + K_2) - K_2$, and what the image tells "
         "is missing."),
        ("added", "0.5 * log(1.25) - 0.5 * log(0.19)", r"you added $K_2$ to $K_1 + K_2$. Take it off."),
        ("zero", "0", r"with the exact posterior the divergence of $q$ from the *posterior* is 0. $K_1$ compares it "
         "with the prior."),
        ("top_down", "0.5 * log(1 + 0.19 / 4)", r"this is the lower layer's cost in the *top-down* order, where $h_2$ "
         r"is drawn first, and $q(h_1|x, h_2)$ is compared with $p(h_1|h_2)$. Bottom-up, $q(h_1|x)$ does not know "
         "$h_2$."),
        ("closed_form", "0.5 * (log(0.19 / 0.8) - 1 + (0.8 + 0.2 + 0.81 - 2 * 0.81 / 5) / 0.19)", r"you averaged the "
         r"closed form of $\mathrm{KL}(q(h_1|x)\,\|\,p(h_1|h_2))$, as if $h_2$ had not seen this $h_1$. But $h_2$ is "
         r"drawn from it, so $p(h_1|h_2)$ finds $h_1$ far more probable."),
        ("half", "log(1.25) + log(0.19)", "the ½ is lost: a log-density of a normal has half the logarithm of the "
         "variance."),
        ("not_squared", "0.5 * log(1.25) + 0.5 * log(0.1)", r"the variance of $h_1$ given $h_2$ is $1 - a^2$, not "
         r"$1 - a$."),
        ("not_squared", "0.5 * log(1.25, 2) + 0.5 * log(0.19, 2)", "these are bits, by the logarithm to base 2; "
         "nats are asked for."),
        ("noise_not_squared", "0.5 * log(1.5) + 0.5 * log(0.19)", r"the noise has the *variance* $s^2 = 4$: "
         r"$\frac12\log(1 + 1/s^2)$."),
        ("noise_turned", "0.5 * log(5) + 0.5 * log(0.19)", r"you took $1 + s^2$ for $1 + 1/s^2$: the more noise, the "
         r"less an image tells of $h_1$."),
        ("sign", "-0.5 * log(1.25) - 0.5 * log(0.19)", r"the size is right, the sign is not. $K_1$ *is* negative here: "
         r"it is no divergence, since its $h_2$ has seen $h_1$."),
    ],
)  # fmt: skip


# ---- 4


def _layers(rng):
    """Some layers cost less than the floor, also below zero, some more; of single images all of them do both."""
    for costs, S, N in ((-1.6, 0.2), 2, 3), ((-0.3, 2.5, 0.3), 2, 4), ((0.4, 4.0), 3, 2):
        kl = 1.2 * rng.normal(size=(len(costs), S, N))
        kl = kl - kl.mean(axis=(1, 2), keepdims=True) + rng.permutation(costs)[:, None, None]
        yield dict(reconstruction=rng.normal(size=(S, N)) - 20, kl=kl, floor=rng.uniform(0.8, 1.0),
                   beta=rng.uniform(0.3, 0.9))  # fmt: skip


FREE_BITS = Function(
    "free_bits", "An objective: a floor for each layer", points=3, minutes=12,
    section="Four remedies", aims=(3,),
    takes="reconstruction[S,N], kl[J,S,N], floor, beta", gradients="reconstruction kl",
    axes={"J": "layers", "S": "samples", "N": "images"}, draw=_layers, parts={"value": 1.5, "gradients": 1.5},
    answer="""
        cost = ops.mean(kl, axis=(1, 2))  # of each layer
        return beta * ops.sum(ops.maximum(cost, floor)) - ops.mean(reconstruction)
    """,
    hints=r"""
        A layer's cost is a mean, over samples and images. The floor is for that mean. Which comes first, then?

        `ops.maximum(a, floor)` has the gradient 0 where `a` is the smaller one: what lies below the floor is not
        pulled down, and that is all there is to it.

        $\beta \sum_j \max\big(\lambda,\ \overline{\mathrm{KL}}_j\big) - \overline{\log p(x|h)}$.
    """,
    mistakes=[
        ("each_draw", {"cost = ops.mean(kl, axis=(1, 2))": "cost = ops.maximum(kl, floor)",
         "ops.sum(ops.maximum(cost, floor))": "ops.sum(ops.mean(cost, axis=(1, 2)))"}, "the maximum is taken for each "
         "sample of each image. A single $\\log q - \\log p$ is noisy and may well be negative; the floor is for the "
         "layer's mean."),
        ("each_image", {"cost = ops.mean(kl, axis=(1, 2))": "cost = ops.maximum(ops.mean(kl, axis=1), floor)",
         "ops.sum(ops.maximum(cost, floor))": "ops.sum(ops.mean(cost, axis=1))"}, "the maximum is taken for each "
         "image. A layer may be silent for one image and speak for the next; the floor is for the mean over them."),
        ("together", {"ops.sum(ops.maximum(cost, floor))": "ops.maximum(ops.sum(cost), floor)"}, "the floor is for all "
         "layers together. Then one layer can fill it for both, and the other may die: each layer has its own."),
        ("ceiling", {"maximum": "minimum"}, "a ceiling: a layer would pay at most $\\lambda$. It counts at least as "
         "much, `ops.maximum`."),
        ("added", {"ops.maximum(cost, floor)": "cost + floor"}, "the floor is added; it replaces what lies below it. "
         "Your gradient is that of no floor at all."),
        ("excess", {"ops.maximum(cost, floor)": "ops.relu(cost - floor)"}, "what lies below the floor counts 0, and "
         "the rest less the floor. The gradient is right; the value is too low by $\\beta\\lambda$ for each layer, "
         "so it is not what was asked for, and a bound that is read off it is too good."),
        ("absolute", {"ops.maximum(cost, floor)": "ops.abs(cost - floor)"}, "a layer below the floor is pulled *up* to "
         "it: codes that cost more for the cost's sake. Below the floor nothing should pull."),
        ("size_of_cost", {"cost = ops.mean(kl, axis=(1, 2))": "cost = ops.abs(ops.mean(kl, axis=(1, 2)))"}, "you took "
         "the absolute value of a layer's cost. Bottom-up, a lower layer's may well be below zero; then it lies below "
         "the floor, like any other that is small."),
        ("one_layer", {"ops.maximum(cost, floor)": "ops.concatenate([cost[:1], ops.maximum(cost[1:], floor)])"},
         "the first layer has no floor. Each layer has."),
        ("straight_through", {"ops.maximum(cost, floor)": "cost + ops.stop_gradient(ops.maximum(cost, floor) - cost)"},
         "the value has the floor, and the gradient has not: a layer below it is still pulled down, which the floor is "
         "to prevent."),
        ("no_floor", {"ops.maximum(cost, floor)": "cost"}, "there is no floor at all: each layer counts "
         r"at least $\lambda$."),
        ("floor_not_weighed", {"beta * ops.sum(ops.maximum(cost, floor))": "ops.sum(ops.maximum(beta * cost, floor))"},
         r"$\beta$ multiplies the costs before they are compared with the floor. While $\beta$ is small everything "
         "lies below it; the floor is for the cost itself."),
        ("all_weighed", {"return beta * ops.sum(ops.maximum(cost, floor)) - ops.mean(reconstruction)": "return beta * "
         "(ops.sum(ops.maximum(cost, floor)) - ops.mean(reconstruction))"}, r"$\beta$ multiplies the reconstruction, "
         "too. Then it is nothing but a smaller learning rate."),
        ("floor_weighed", {"ops.sum(ops.maximum(cost, floor))": "ops.sum(ops.maximum(cost, beta * floor))"},
         r"the floor itself is multiplied by $\beta$, too. It is $\lambda$ from the first step on."),
        ("reconstruction_weighed", {"return beta * ops.sum(ops.maximum(cost, floor)) - ops.mean(reconstruction)":
         "return ops.sum(ops.maximum(cost, floor)) - beta * ops.mean(reconstruction)"}, r"$\beta$ multiplies the "
         "reconstruction. It is the costs that are cheap at first."),
        ("total_floored", {"ops.sum(ops.maximum(cost, floor))": "ops.maximum(ops.sum(cost), floor * kl.shape[0])"},
         "all layers have one floor together. A layer that is dear then pays for one that is dead: each has its own."),
        ("one_for_all", {"cost = ops.mean(kl, axis=(1, 2))": "cost = ops.mean(kl)"}, "you took the mean over the "
         "layers, too, before the floor. Each layer has a cost of its own: the mean over axes 1 and 2."),
        ("wrong_axes", {"axis=(1, 2)": "axis=(0, 1)"}, "the mean is over axes 0 and 1, layers and samples. A layer's "
         "cost is the mean over samples and images, axes 1 and 2."),
        ("soft", {"ops.maximum(cost, floor)": "floor + ops.softplus(cost - floor)"}, "you took a soft maximum. Below "
         "the floor it still pulls a little; `ops.maximum` does not."),
        ("sign", None, "this is the bound; as a loss it is to be made small, so return its negative."),
        ("layers_averaged", {"ops.sum(ops.maximum(cost, floor))": "ops.mean(ops.maximum(cost, floor))"}, "the layers "
         "are averaged; their costs add up."),
        ("samples_summed", {"ops.mean(kl, axis=(1, 2))": "ops.mean(ops.sum(kl, axis=1), axis=1)"}, "the costs are "
         "summed over the samples: take the mean over samples and images."),
        ("images_summed", {"ops.mean(kl, axis=(1, 2))": "ops.sum(ops.mean(kl, axis=1), axis=1)"}, "the costs are "
         "summed over the images: take the mean over samples and images."),
        ("where_zero", {"ops.maximum(cost, floor)": "ops.where(cost > floor, cost, 0.0)"}, "below the floor a layer "
         "counts 0. It counts the floor, so that the loss does not jump where it is reached."),
    ],
)  # fmt: skip


# ---- 5


def _opinions(rng):
    for shape in (3, 2), (2, 3):
        mean, prior_mean = rng.normal(size=(2, *shape))
        log_variance, prior_log_variance = rng.uniform(-2, 1.5, size=(2, *shape))
        yield dict(mean=mean, log_variance=log_variance, prior_mean=prior_mean, prior_log_variance=prior_log_variance)


def _decided_opinions(rng):
    """Variances from e^−180 to e^180."""
    mean, prior_mean = rng.normal(size=(2, 2, 4))
    spread = rng.permutation([-175.0, 150.0, 115.0, -130.0]), rng.permutation([175.0, -150.0, -115.0, 130.0])
    yield dict(mean=mean, log_variance=spread[0] + rng.normal(size=(2, 4)), prior_mean=prior_mean,
               prior_log_variance=spread[1] + rng.normal(size=(2, 4)))  # fmt: skip


_SHARE = "ops.sigmoid(prior_log_variance - log_variance)"
_TOTAL = "-ops.logaddexp(-log_variance, -prior_log_variance)"
_SPREAD = "e to the power of 180 is infinite in float32, and e to the power of −180 is 0"

OPINIONS = Function(
    "two_opinions", "Two opinions on a code, combined", points=4, minutes=18, difficulty=2, importance=1,
    section="Guessing two codes", aims=(1,),
    takes="mean[N,K], log_variance[N,K], prior_mean[N,K], prior_log_variance[N,K]",
    returns="combined mean, combined log variance", gradients="mean log_variance prior_mean prior_log_variance",
    axes={"N": "images", "K": "units"}, draw={None: _opinions, "stable": _decided_opinions}, values_only=("stable",),
    parts={"combined mean": 1, "combined log variance": 1, "gradients": 0.5, "stable": 1.5}, requires_first=False,
    answer=f"""
        share = {_SHARE}  # of the precision, the image's
        combined = share * mean + (1 - share) * prior_mean
        return combined, {_TOTAL}
    """,
    hints=r"""
        The logarithm of a product of two normal densities is a parabola again. Its curvature is the sum of both: the
        *precisions* $1/\sigma^2 = e^{-\lambda}$ add up. And its middle is the mean of both means, weighted by them.

        $\hat\lambda = -\log(e^{-\lambda} + e^{-\lambda_p})$, which is `-ops.logaddexp(...)`. The image's share of the
        precision is $e^{-\lambda}/(e^{-\lambda} + e^{-\lambda_p})$; divide by the numerator.

        The share is $1/(1 + e^{\lambda - \lambda_p})$, a sigmoid. `ops.sigmoid` has no trouble at either end.
    """,
    mistakes=[
        ("shares_reversed", {_SHARE: "ops.sigmoid(log_variance - prior_log_variance)"}, "each mean is weighted by its "
         "variance: who is unsure gets the word. Weigh by precisions, $e^{-\\lambda}$."),
        ("log_scales", {_SHARE: "ops.sigmoid(2 * (prior_log_variance - log_variance))", _TOTAL: "-ops.logaddexp(-2 * "
         "log_variance, -2 * prior_log_variance)"}, r"$\lambda$ is taken for $\log\sigma$. It is $\log\sigma^2$."),
        ("plain_mean", {_SHARE: "0.5 + 0 * mean"}, "the plain mean of both means: how sure they are does not count."),
        ("by_deviations", {_SHARE: "ops.sigmoid((prior_log_variance - log_variance) / 2)"}, r"the means are weighted "
         r"by $1/\sigma$. By $1/\sigma^2$ they should be."),
        ("image_alone", {"share * mean + (1 - share) * prior_mean": "mean"}, "the mean is the image's "
         "alone: what comes from above does not count."),
        ("not_normalized", {"share * mean + (1 - share) * prior_mean": "ops.exp(-log_variance) * mean + "
         "ops.exp(-prior_log_variance) * prior_mean"}, "the means are weighted by the precisions, which do not add up "
         "to 1: divide by their sum."),
        ("prior_alone", {"share * mean + (1 - share) * prior_mean": "prior_mean"}, "the mean is what comes from above "
         "alone: the image does not count."),
        ("means_added", {"share * mean + (1 - share) * prior_mean": "mean + prior_mean"}, "the means are added. It is "
         "a mean of both, weighted by the precisions."),
        ("surer_alone", {"share * mean + (1 - share) * prior_mean": "ops.where(log_variance < prior_log_variance, mean,"
         " prior_mean)"}, "the surer one decides alone. Both count, by their precisions."),
        ("smaller", {_TOTAL: "ops.minimum(log_variance, prior_log_variance)"}, "this is the smaller one of both "
         "variances. Two opinions together are surer than either: the precisions add up."),
        ("variances_added", {_TOTAL: "ops.logaddexp(log_variance, prior_log_variance)"}, "the variances are added: "
         "two opinions would be less certain than one. It is the precisions that add up."),
        ("log_variances_added", {_TOTAL: "log_variance + prior_log_variance"}, "you added the logarithms, so the "
         "variances are multiplied. It is the precisions that add up."),
        ("mean_log_variance", {_TOTAL: "(log_variance + prior_log_variance) / 2"}, "you averaged the log-variances. "
         "It is the precisions that add up."),
        ("precision", {_TOTAL: "ops.logaddexp(-log_variance, -prior_log_variance)"}, "this is the logarithm of the "
         "combined *precision*; the variance is one over it."),
        ("precisions_averaged", {_TOTAL: f"np.log(2) {_TOTAL}"}, "you averaged the precisions: a factor of 2. "
         "They add up."),
        ("deviations_added", {_TOTAL: "-2 * ops.logaddexp(-log_variance / 2, -prior_log_variance / 2)"}, r"you added "
         r"$1/\sigma$. It is $1/\sigma^2$ that adds up."),
        ("log_deviation", {_TOTAL: f"{_TOTAL} / 2"}, r"this is $\log\sigma$; $\log\sigma^2$ is asked for."),
        ("variance_itself", {_TOTAL: "1 / (ops.exp(-log_variance) + ops.exp(-prior_log_variance))"}, "this is the "
         "variance itself; its logarithm is asked for."),
        ("mixture", {_TOTAL: "ops.log(share * ops.exp(log_variance) + (1 - share) * ops.exp(prior_log_variance) + "
         "share * (1 - share) * (mean - prior_mean) ** 2)"}, "this is the variance of a *mixture*: one opinion or the "
         "other. Here both hold at once, the densities are multiplied."),
        ("overflow", {_TOTAL: "-ops.log(ops.exp(-log_variance) + ops.exp(-prior_log_variance))"}, f"{_SPREAD}, so the "
         "logarithm of the sum is lost. `ops.logaddexp` adds without leaving the logarithms."),
        ("overflow", {_SHARE: "ops.exp(-log_variance) / (ops.exp(-log_variance) + ops.exp(-prior_log_variance))"},
         f"{_SPREAD}, so the share is lost. Divide by the numerator: a sigmoid of a difference is left."),
        ("overflow", {_SHARE: "ops.exp(-log_variance) / (ops.exp(-log_variance) + ops.exp(-prior_log_variance))",
         _TOTAL: "-ops.log(ops.exp(-log_variance) + ops.exp(-prior_log_variance))"}, f"{_SPREAD}. Stay with "
         "logarithms: `ops.logaddexp` for the sum of the precisions, a sigmoid for the share."),
        ("overflow", {_SHARE: "ops.exp(prior_log_variance) / (ops.exp(log_variance) + ops.exp(prior_log_variance))",
         _TOTAL: "ops.log(ops.exp(log_variance) * ops.exp(prior_log_variance) / (ops.exp(log_variance) + "
         "ops.exp(prior_log_variance)))"}, f"{_SPREAD}. Stay with logarithms: `ops.logaddexp` for the sum of the "
         "precisions, a sigmoid for the share."),
        *(("overflow", {"share * mean + (1 - share) * prior_mean": "(ops.exp(-log_variance) * mean + "
           "ops.exp(-prior_log_variance) * prior_mean) / (ops.exp(-log_variance) + ops.exp(-prior_log_variance))",
           **total}, f"{_SPREAD}: infinity is divided by infinity. Divide by the numerator first: the share of the "
           f"precision is a sigmoid of a difference{rest}.") for total, rest in (
              ({_TOTAL: "-ops.log(ops.exp(-log_variance) + ops.exp(-prior_log_variance))"},
               ", and `ops.logaddexp` adds the precisions without leaving the logarithms"), ({}, ""))),
        *(("clipped", {"share =": f"log_variance = ops.clip(log_variance, -{c}, {c})\nprior_log_variance = "
           f"ops.clip(prior_log_variance, -{c}, {c})\nshare ="}, "the log-variances were clipped. Nothing overflows, "
           "and who is surer is not known any more. `ops.logaddexp` and a sigmoid need no clipping.")
          for c in (10, 30, 80)),
    ],
)  # fmt: skip


# ---- 6


def _losses(rng):
    for N, D, K in (4, 5, 3), (6, 4, 2):
        yield _hierarchy(rng, N, D, K, K)


_DRAW = "h2 = h2_mean + ops.exp(log_variance_2 / 2) * noise_2  # 1. noise of its own"
_PRIOR = "p_mean, p_log_variance = ops.matmul(h2, down_1), log_variance_p  # 2. p(h1|h2)"
_SQUARES = "(h1 - p_mean) ** 2 / ops.exp(p_log_variance) - (h1 - h1_mean) ** 2 / ops.exp(log_variance_1)"

MENDED = Mend(
    "mended_hierarchy", "Five errors in two layers", points=5, minutes=20, difficulty=2, draw=_losses,
    section="When it goes wrong", aims=(5,),
    takes="x[N,D], noise_1[N,K], noise_2[N,K], up_1[D,K], log_variance_1[K], up_2[K,K], log_variance_2[K], "
    "down_1[K,K], log_variance_p[K], down_x[K,D]",
    gradients="up_1 log_variance_1 up_2 log_variance_2 down_1 log_variance_p down_x",
    because="float32 carries seven digits. The losses of different sets of errors differ by far more than that.",
    answer="""
        h1_mean = ops.matmul(x, up_1)
        h1 = h1_mean + ops.exp(log_variance_1 / 2) * noise_1  # [N, K]
        h2_mean = ops.matmul(h1, up_2)
        h2 = h2_mean + ops.exp(log_variance_2 / 2) * noise_2  # 1. noise of its own
        p_mean, p_log_variance = ops.matmul(h2, down_1), log_variance_p  # 2. p(h1|h2)

        k1 = p_log_variance - log_variance_1  # 3. log q - log p at the draw, [N, K]
        k1 = k1 + (h1 - p_mean) ** 2 / ops.exp(p_log_variance) - (h1 - h1_mean) ** 2 / ops.exp(log_variance_1)
        k2 = h2**2 - log_variance_2 - (h2 - h2_mean) ** 2 / ops.exp(log_variance_2)  # 4. of what h2 was drawn from
        kl = 0.5 * ops.sum(k1, axis=1) + 0.5 * ops.sum(k2, axis=1)  # 5. over units of either layer

        logits = ops.matmul(h1, down_x)
        log_p_x = ops.sum(x * logits - ops.softplus(logits), axis=1)
        return ops.mean(kl - log_p_x)
    """,
    errors={
        "noise": (
            {_DRAW: "h2 = h2_mean + ops.exp(log_variance_2 / 2) * noise_1"},
            r"still broken: both layers are drawn with the same noise. Then $h_2$ is no draw from $q(h_2|h_1)$: given "
            "$h_1$ nothing is left to chance. Each layer needs noise of its own."),
        "prior": (
            {_PRIOR: "p_mean, p_log_variance = 0 * h1, 0 * log_variance_p"},
            r"still broken: $h_1$ is compared with a standard normal. Its prior comes from above, $p(h_1|h_2)$; "
            "without it the upper layer is a cost that buys nothing, and dies."),
        "closed form": (
            {"k1 = p_log_variance - log_variance_1  # 3. log q - log p at the draw, [N, K]":
             "k1 = p_log_variance - log_variance_1 + ops.exp(log_variance_1 - p_log_variance)",
             _SQUARES: "(h1_mean - p_mean) ** 2 / ops.exp(p_log_variance) - 1"},
            r"still broken: $K_1$ is a closed form that averages over $h_1$ as if $h_2$ did not depend on it. It was "
            r"drawn from $q(h_2|h_1)$, after $h_1$. Take $\log q(h_1|x) - \log p(h_1|h_2)$ at the draw."),
        "density": (
            {"(h2 - h2_mean) ** 2 / ops.exp(log_variance_2)  # 4. of what h2 was drawn from":
             "(h2 - ops.matmul(h1_mean, up_2)) ** 2 / ops.exp(log_variance_2)"},
            r"still broken: $h_2$ is drawn from $q(h_2|h_1)$, and charged by $q(h_2|\text{mean of } h_1)$. The density "
            "has to be that of what was drawn from."),
        "units": (
            {"0.5 * ops.sum(k2, axis=1)  # 5. over units of either layer": "0.5 * ops.mean(k2, axis=1)"},
            r"still broken: the upper layer's cost is averaged over its units, and the lower layer's summed. A layer "
            "costs what its units cost together."),
    },
    slips=[
        ("noise", "no_noise", {"h2_mean + ops.exp(log_variance_2 / 2) * noise_2": "h2_mean"}, r"now $h_2$ is the mean "
         "of $q(h_2|h_1)$. A draw is needed, with `noise_2`."),
        ("noise", "both_noises", {"(log_variance_2 / 2) * noise_2": "(log_variance_2 / 2) * (noise_1 + noise_2)"},
         "now $h_2$ has both noises: `noise_2` alone."),
        ("prior", "encoders_variance", {"down_1), log_variance_p": "down_1), log_variance_1"}, r"now $p(h_1|h_2)$ has "
         r"the encoder's variance. Its own is $e^{\lambda_p}$, `log_variance_p`."),
        ("prior", "unit_variance", {"down_1), log_variance_p": "down_1), 0 * log_variance_p"}, r"now the mean of "
         r"$p(h_1|h_2)$ is right, and its variance is 1. It is $e^{\lambda_p}$, `log_variance_p`."),
        ("prior", "mean_handed_down", {"ops.matmul(h2, down_1), log": "ops.matmul(h2_mean, down_1), log"}, r"now "
         r"$p(h_1|h_2)$ is given the mean of $h_2$; it is given the $h_2$ that was drawn."),
        ("prior", "mean_zero", {"ops.matmul(h2, down_1), log": "0 * h1, log"}, r"now the variance of $p(h_1|h_2)$ is "
         r"right, and its mean is 0. It is $h_2 V_1$, `ops.matmul(h2, down_1)`."),
        ("prior", "transposed", {"ops.matmul(h2, down_1), log": "ops.matmul(h2, ops.transpose(down_1)), log"},
         "now the weights are transposed. It is `ops.matmul(h2, down_1)`."),
        ("prior", "given_itself", {"ops.matmul(h2, down_1), log": "ops.matmul(h1, down_1), log"}, r"now the prior of "
         r"$h_1$ is given $h_1$ itself. $p(h_1|h_2)$ is given $h_2$."),
        ("closed form", "charged_twice", {_SQUARES: "(h1 - p_mean) ** 2 / ops.exp(p_log_variance) - 1",
         "k1 = p_log_variance - log_variance_1": "k1 = p_log_variance - log_variance_1 + ops.exp(log_variance_1 - "
         "p_log_variance)"}, r"now the square is taken at the draw, and the rest of the closed form is still there. "
         r"$e^{\lambda_1 - \lambda_p}$ is what the noise of $h_1$ adds to the square, which has it already."),
        ("closed form", "entropy", {" - (h1 - h1_mean) ** 2 / ops.exp(log_variance_1)": " - 1"}, r"now "
         r"$\log p(h_1|h_2)$ is taken at the draw, and $\log q(h_1|x)$ is its mean, the closed form. That is right in "
         r"the mean; asked for is $\log q - \log p$ at the draws, for both layers."),
        ("closed form", "no_square_of_q", {" - (h1 - h1_mean) ** 2 / ops.exp(log_variance_1)": ""}, r"now "
         r"$\log q(h_1|x)$ has its $\lambda_1$ and lacks its square, $(h_1 - \mu_1)^2 / \sigma_1^2$."),
        ("closed form", "prior_alone", {"k1 = p_log_variance - log_variance_1": "k1 = p_log_variance",
         " - (h1 - h1_mean) ** 2 / ops.exp(log_variance_1)": ""}, r"now $K_1$ is $-\log p(h_1|h_2)$ alone; "
         r"$\log q(h_1|x)$ is gone."),
        ("density", "closed_form_upper", {"k2 = h2**2 - log_variance_2 - (h2 - h2_mean) ** 2 / "
         "ops.exp(log_variance_2)": "k2 = h2_mean**2 + ops.exp(log_variance_2) - 1 - log_variance_2"}, r"now $K_2$ is "
         r"the closed form, given $h_1$. That is right in the mean, and quieter; asked for is $\log q - \log p$ at the "
         r"draws, for both layers."),
        ("density", "mean_handed_up", {"h2_mean = ops.matmul(h1, up_2)": "h2_mean = ops.matmul(h1_mean, up_2)"},
         r"now draw and density agree, and both are given the *mean* of $h_1$: that is another encoder. $q(h_2|h_1)$ "
         r"is given the $h_1$ that was drawn."),
        ("units", "both_averaged", {"ops.sum(k1, axis=1)": "ops.mean(k1, axis=1)", "ops.sum(k2, axis=1)":
         "ops.mean(k2, axis=1)"}, "now both layers' costs are averaged over their units: sum over them."),
        ("units", "over_images", {"ops.sum(k2, axis=1)": "ops.sum(k2, axis=0)[0]"}, "now the upper layer's cost is "
         "summed over axis 0, the images: its units are axis 1."),
        (None, "pixels_from_above", {"logits = ops.matmul(h1, down_x)": "logits = ops.matmul(h2, down_x)"}, r"the "
         r"pixels are made from $h_2$ now. They are made from $h_1$, which was right."),
        (None, "pixels_of_mean", {"logits = ops.matmul(h1, down_x)": "logits = ops.matmul(h1_mean, down_x)"}, r"the "
         r"pixels are made from the mean of $q(h_1|x)$ now. They were made from the draw, which was right."),
        (None, "sign", {"return ops.mean(kl - log_p_x)": "return ops.mean(log_p_x - kl)"}, "this is the bound. It was "
         "a loss, minus the bound."),
    ],
    hints=r"""
        Two questions for each line: from which distribution was this number drawn, and is that the one whose density
        stands here? And of each normal: given *what*, the draw or a mean?

        Which layer's prior is a standard normal? Which divergences have a closed form, when $h_1$ is drawn first? Over
        what are the two costs summed?

        There is one error in each of: the draw of $h_2$, `p_mean`, `k1`, `k2`, and `kl`.
    """,
)  # fmt: skip


# ---- 7

STEPS, RATE = 800, 0.02  # of gradient ascent
PIXEL_NOISE = 0.5  # s
STEP = 1e-5  # of the differences that its gradients are
PROBLEMS = ((4, 5), (0.13, 0.17)), ((8, 9), (0.2, 0.25))  # ranges of units and correlation


def _data(rng):
    """Two data sets: in one the units have little in common, in the other more."""
    return [
        {"units": int(rng.integers(few, many + 1)), "correlation": rng.uniform(*range_)}
        for (few, many), range_ in PROBLEMS
    ]


def _terms(parameters, units, correlation):
    r"""Computes the mean reconstruction, K₁ and K₂ exactly, of data with these correlations.

    $p$: $h_{1j} = w h_2 + \tau\varepsilon_j$, $x_j = h_{1j} + s\varepsilon'_j$; $q$: $h_{1j} = \alpha x_j +
    r\varepsilon_j$, $h_2 = u m + \sigma\varepsilon$ with $m = \sum_j h_{1j}/\sqrt D$.

    Args:
        parameters: array `[6, ...]`: w, log τ, u, log σ, α, log r.
        units: D.
        correlation: of two pixels, whose variance is 1.
    """
    w, log_tau, u, log_sigma, alpha, log_r = parameters
    r2, sigma2, D = np.exp(2 * log_r), np.exp(2 * log_sigma), units
    reconstruction = -0.5 * D * (np.log(2 * np.pi * PIXEL_NOISE**2) + ((1 - alpha) ** 2 + r2) / PIXEL_NOISE**2)
    of_m = alpha**2 * (1 + (D - 1) * correlation) + r2  # the variance of m
    of_h2 = u**2 * of_m + sigma2
    squares = D * (alpha**2 + r2) - 2 * w * np.sqrt(D) * u * of_m + D * w**2 * of_h2  # Σ_j (h1_j − w h2)²
    k1 = D * (log_tau - log_r - 0.5) + 0.5 * squares * np.exp(-2 * log_tau)
    return reconstruction, k1, 0.5 * (of_h2 - 1) - log_sigma


def _ascended(parameters, units, correlation, floor=0.0, warm_up=0, weighted="upper layer", steps=STEPS):
    """Climbs the bound by its exact gradient, with free bits and warm-up."""
    moves = STEP * np.concatenate([np.eye(6), -np.eye(6)], axis=1)  # [6, 12]
    for step in range(steps):
        beta = min(1.0, step / warm_up) if warm_up else 1.0
        reconstruction, k1, k2 = _terms(parameters[:, None] + moves, units, correlation)
        objective = reconstruction - (beta if weighted == "both layers" else 1.0) * k1 - beta * np.maximum(k2, floor)
        parameters = parameters + RATE / units * (objective[:6] - objective[6:]) / (2 * STEP)
    return parameters


@functools.lru_cache(64)
def _best(units, correlation):
    """The best bound, and what the upper layer carries there."""
    from scipy.optimize import minimize

    def loss(parameters):
        reconstruction, k1, k2 = _terms(parameters, units, correlation)
        return k1 + k2 - reconstruction

    found = minimize(loss, np.array([0.5, -0.5, 0.5, -0.5, 0.5, -1.0]), method="BFGS")
    return -found.fun, _terms(found.x, units, correlation)[2]


def _trained(rng, units, correlation, floor, warm_up, weighted):
    """Trains from small random weights: what the upper layer carries in the end, and what the bound lacks."""
    w, u = rng.uniform(0.03, 0.06, size=2)  # of one sign: two signs are a mirror image
    parameters = _ascended(np.array([w, 0, u, 0, 0, 0]), units, correlation, floor, warm_up, weighted)
    reconstruction, k1, k2 = _terms(parameters, units, correlation)
    bound, worth = _best(units, correlation)
    return {
        **dict.fromkeys(("share", "smallest share", "largest share"), k2 / worth),
        "lost": bound - (reconstruction - k1 - k2),
        "upper_layer": k2,
        "worth": worth,
    }


_WORTH = "0.5 * np.log(1 + units * correlation / (1 - correlation + 0.25))"

REMEDY = Experiment(
    "remedy", "An experiment to design: keep the upper layer alive", points=5, minutes=30, difficulty=3, importance=2,
    section="Four remedies", aims=(3,),
    takes="units, correlation", draw=_data, run=_trained,
    settings={"floor": (0.0, 10.0), "warm_up": (0, 600), "weighted": {"upper layer", "both layers"}},
    goals={
        "alive": AtLeast(0.5, "of what it is worth", of="smallest share"),
        "at work": AtLeast(0.9, "of what it is worth", of="smallest share"),
        "no ballast": AtMost(1.5, "of what it is worth", of="largest share"),
        "bound": AtMost(0.02, "nats", 3, of="lost"),
    },
    parts={"alive": 1, "at work": 1.5, "no ballast": 1.5, "bound": 1},
    answer="""
        worth = 0.5 * np.log(1 + units * correlation / (1 - correlation + 0.25))  # what draws of h1 tell, in nats
        return {"floor": worth, "warm_up": 0, "weighted": "upper layer"}
    """,
    hints=r"""
        Two kinds of failure, in opposite directions: too weak a remedy leaves the layer dead when the 800 steps are
        over; too strong a one makes it carry what nobody needs. A floor is a number of nats. How many can the layer
        use?

        What a layer can carry is what it is told of what the pixels have in common. It is told draws of $h_1$, of which
        the sum counts: signal and noise, both normal, as in question 3:
        $\frac12\log(1 + \text{signal}/\text{noise})$, their mutual information.

        A pixel is what all have in common, of variance $\rho$, and a part of its own, of variance $1 - \rho$. A draw
        of $h_{1j}$ is the pixel with noise, about $s^2$. In the mean of $D$ draws the signal's variance is $\rho$, the
        noise's $(1 - \rho + s^2)/D$. With the floor there, no warm-up is needed.
    """,
    mistakes=[
        (None, "both_weighted", "dict(floor=0.0, warm_up=400, weighted='both layers')",
         lambda share, floor, warm_up, weighted, worth, **_: share < 0.9 and weighted == "both layers" and warm_up > 0
         and floor < worth / 2, "A warm-up of *both* layers multiplies $\\log p(h_1|h_2)$, too, the one term that "
         "rewards the upper layer. While $\\beta$ is small it is neither charged nor paid: it begins when $\\beta$ has "
         "arrived."),
        (None, "nothing_done", "dict(floor=0.0, warm_up=0, weighted='upper layer')",
         lambda share, floor, warm_up, **_: share < 0.9 and floor == 0 and warm_up == 0, "Nothing is done for the "
         "layer. It does grow by itself, but 800 steps are too few for at least one of the data sets."),
        (None, "short_warm_up", "dict(floor=0.0, warm_up=100, weighted='upper layer')",
         lambda share, warm_up, floor, worth, **_: share < 0.5 and warm_up > 0 and floor < worth / 2, "What the "
         "upper layer costs has risen before it was of use. A longer warm-up helps a little, and 600 steps are the "
         "most; a floor stays till the end."),
        (None, "low_floor", "dict(floor=0.01, warm_up=0, weighted='upper layer')",
         lambda share, **_: share < 0.5, "The floor is far below what the layer could carry, for at least one of the "
         "two data sets. Above the floor it grows as slowly as without one."),
        (None, "warm_up_alone", "dict(floor=0.0, warm_up=600, weighted='upper layer')",
         lambda share, floor, warm_up, **_: share < 0.9 and floor == 0, "In the data set that "
         "this is measured on, the warm-up has kept the layer alive, and it is not at work yet. A floor says how much "
         "it should carry; a warm-up can only hope."),
        (None, "floor_for_one", "dict(floor=0.25, warm_up=0, weighted='upper layer')",
         lambda share, **_: share < 0.9, "The layer lives, and is not at work "
         "yet: above the floor it grows slowly. At least one of the data sets could use a higher one. How much can the "
         "layer carry, in each of them?"),
        ("no ballast", "floor_too_high", "dict(floor=1.0, warm_up=0, weighted='upper layer')",
         lambda **_: True, "The floor is above what the layer can use, for at least one of the data sets. It is filled "
         "all the same: $h_2$ repeats the draw of $h_1$ more exactly than it is worth, and each nat more saves less "
         "than a nat in $K_1$."),
        ("bound", "late", f"dict(floor={_WORTH}, warm_up=600, weighted='both layers')",
         lambda share, weighted, warm_up, **_: weighted == "both layers" and warm_up > 0, "While both layers were "
         "cheap, another objective was climbed, and the steps that are left do not suffice to come back."),
        ("bound", "nearly", f"dict(floor=1.15 * {_WORTH}, warm_up=0, weighted='upper layer')",
         lambda **_: True, "The upper layer carries more than it is worth, and the bound pays for "
         "it. Bring the floor nearer to what the layer can use."),
    ],
    seconds=30.0,
)  # fmt: skip


# ---- 8


TRAINED = TrainedHierarchy(
    "train_hierarchy", "Train two layers, both alive", points=5, minutes=30, difficulty=2,
    section="Four remedies", aims=(1, 3),
    bounds={"codes": -50.0, "fair": -46.0, "good": -42.5}, alive=3.8,
    parts={"codes": 1, "fair": 1, "good": 1.5, "alive": 1.5},
    images=small_digits, coins=-52.5, good_kl=(6.0, 9.0), most={"h1": 20, "h2": 10, "hidden": 100},
    because="5 runs of the solution, each with another seed, on both backends, ended between −41.7 and −41.5 (with 40 "
    "epochs near −41.0), and the upper layer carried 4.0 to 4.3 nats. Without free bits it carries 2.9 to 3.7. After "
    "20 epochs the bound is −43.0. A constant learning rate of 0.001 reaches −50.6 in 15 epochs. Principal components, "
    "with a dead upper layer: −49.2.",
    hints="""
        The model is the lesson's: three factors of p, two of q, each network a `keras.Sequential` of
        `vk.layers.MLP(100)` and a last layer, `vk.layers.DiagonalNormal` or `vk.layers.Bernoulli(196)`. First make it
        return anything of the right shapes, by `arrays`; then train for longer.

        `DynamicBinarization(images, seed)` draws the pixels anew in every epoch. 20 units of $h_1$, 5 of $h_2$, Adam
        with a learning rate of 0.01 that decays to 0 (`keras.optimizers.schedules.CosineDecay`), batches of 100, 40
        epochs.

        `vk.objectives.ELBO(free_bits=...)` has a floor for each layer, in nats.
    """,
)  # fmt: skip


QUESTIONS = [LOG_WEIGHT, LAYER_KLS, LOWER, FREE_BITS, OPINIONS, MENDED, REMEDY, TRAINED]
