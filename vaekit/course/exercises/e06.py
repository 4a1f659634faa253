r"""Exercise 06: the VampPrior."""

import numpy as np

from vaekit.course.questions import Experiment, Function, Mend, Number, Prior, TrainedVAE
from vaekit.course.questions.question import AtLeast, AtMost
from vaekit.course.questions.small_digits import small_digits

TITLE = "VampPrior"


# ---- 1


def _mixtures(rng):
    """Sizes of which a constant that counts wrongly names one: of an axis, or one less than that."""
    for B, K, D in (5, 6, 3), (2, 6, 4):
        yield dict(z=rng.normal(size=(B, D)), mean=rng.normal(size=(K, D)),
                   log_variance=rng.uniform(-1.5, 0.5, size=(K, D)))  # fmt: skip


def _extremes(rng):
    """One code in a hole, where each density is 0 in float32; one at a mean, where the density is infinite there."""
    mean, log_variance = rng.normal(size=(3, 48)), rng.uniform(-6.6, -6.4, size=(3, 48))
    z = np.stack([rng.normal(size=48), mean[1] + 0.3 * np.exp(log_variance[1] / 2) * rng.normal(size=48)])
    yield dict(z=z, mean=mean, log_variance=log_variance)


def _narrow(rng):
    """Components far from zero, and narrow."""
    mean, log_variance = 30 * rng.choice([-1, 1], size=(6, 4)) + rng.normal(size=(6, 4)), np.full((6, 4), -10.0)
    near = mean[rng.integers(6, size=2)]
    yield dict(z=near + np.exp(-5) * rng.normal(size=near.shape), mean=mean, log_variance=log_variance)


_SQUARES = "(z[:, None] - mean) ** 2 * ops.exp(-log_variance)"
_LOG_MEAN = "ops.logsumexp(log_densities, axis=1) - np.log(mean.shape[0])"
_IN_FLOAT32 = "In float32 $e^{-104}$ is 0, and $e^{89}$ infinite"

MIXTURE = Function(
    "mixture_log_density", "A mixture's log-density, in float32", points=4, minutes=18, difficulty=2, importance=3,
    section="The density as one matrix product", aims=(3,),
    takes="z[B,D], mean[K,D], log_variance[K,D]", gradients="z mean log_variance",
    axes={"B": "codes", "K": "components", "D": "latents"},
    draw={None: _mixtures, "extreme": _extremes, "narrow": _narrow}, values_only=("extreme", "narrow"),
    parts={"value": 1, "gradients": 0.5, "extreme": 1, "narrow": 1.5},
    atol={"value": 0.005, None: 1e-5}, because="`tfd.Normal` divides by σ first and subtracts then. Where μ is 30 and "
    "σ 0.007 it is off by up to 0.001. What an expanded square loses there are several nats.",
    answer=f"""
        squares = {_SQUARES}  # [B, K, D]
        log_densities = -0.5 * ops.sum(LOG_2PI + log_variance + squares, axis=2)  # [B, K]
        return {_LOG_MEAN}
    """,
    hints=r"""
        First the log-density of each code under each component, `[B, K]`. `z[:, None]` has the shape `[B, 1, D]`, and
        `z[:, None] - mean` is `[B, K, D]`.

        Then the logarithm of the mean over the components: `ops.logsumexp` does it without leaving the logarithms.
        Which number turns a sum over $K$ components into a mean?

        The part *narrow*: $z$ and $\mu$ are near 30, and $\sigma$ is 0.007. In $z^2 - 2z\mu + \mu^2$ three numbers of
        many millions cancel, each of which has seven digits. $(z - \mu)^2$ subtracts first.
    """,
    mistakes=[
        ("not_in_logarithms", {_LOG_MEAN: "ops.log(ops.mean(ops.exp(log_densities), axis=1))"}, "the densities "
         f"themselves are averaged. {_IN_FLOAT32}: in a hole the logarithm is minus infinity, and at a narrow "
         "component's mean it is plus infinity. `ops.logsumexp` takes the largest term out first."),
        ("not_in_logarithms", {_LOG_MEAN: "ops.log(ops.sum(ops.exp(log_densities), axis=1)) - np.log(mean.shape[0])"},
         f"the densities themselves are added up. {_IN_FLOAT32}: in a hole the logarithm is minus infinity, and at a "
         "narrow component's mean it is plus infinity. `ops.logsumexp` takes the largest term out first."),
        ("small_number", {_LOG_MEAN: "ops.log(ops.mean(ops.exp(log_densities), axis=1) + 1e-20)"}, "a small number is "
         "added within the logarithm. It hides minus infinity: all codes in holes get the same density, far too high, "
         "and no gradient leads them out. `ops.logsumexp` needs no such help."),
        ("clipped", {"return ": "log_densities = ops.clip(log_densities, -80, 80)\nreturn "}, "the log-densities are "
         "clipped. Nothing is infinite any more, and nothing is right either. `ops.logsumexp` needs no clipping."),
        ("expanded", {f"squares = {_SQUARES}  # [B, K, D]": "inverse = ops.exp(-log_variance)",
         "-0.5 * ops.sum(LOG_2PI + log_variance + squares, axis=2)  # [B, K]":
         "-0.5 * ops.matmul(z**2, ops.transpose(inverse)) + ops.matmul(z, ops.transpose(mean * inverse)) - 0.5 * "
         "ops.sum(mean**2 * inverse + log_variance + LOG_2PI, axis=1)"}, "the square is expanded, as in the lesson, "
         r"and computed in float32. With $\mu = 30$ and $\log\sigma^2 = -10$ the terms are $\mu^2/\sigma^2 \approx 2 "
         r"\cdot 10^7$ and cancel: nothing is left of their seven digits. Subtract first, $(z - \mu)^2$; or "
         "compute this product in float64."),
        ("mean_of_logarithms", {_LOG_MEAN: "ops.mean(log_densities, axis=1)"}, "this is the mean of the log-densities. "
         "A mixture is a mean of *densities*: one component that is near is enough, however far away the others are. "
         "It is the logarithm of the mean."),
        ("sum_of_logarithms", {_LOG_MEAN: "ops.sum(log_densities, axis=1)"}, "the log-densities are added up: that is "
         "the product of all components. A mixture is a mean of densities."),
        ("half_lost", {"-0.5 * ops.sum(": "-ops.sum("}, "the ½ in the log-density of a normal is lost."),
        ("not_divided", {" - np.log(mean.shape[0])": ""}, r"$\log K$ is missing: the density is $\frac1K$ times the "
         "sum, or it would not integrate to 1."),
        ("added", {" - np.log(mean.shape[0])": " + np.log(mean.shape[0])"}, r"$\log K$ is added. A mean is the sum "
         r"divided by $K$: subtract it."),
        ("by_codes", {"np.log(mean.shape[0])": "np.log(z.shape[0])"}, "you divided by the number of codes. "
         "The mean is over the components, $K$ of them."),
        ("by_latents", {"np.log(mean.shape[0])": "np.log(mean.shape[1])"}, "you divided by the number of latents. "
         "The mean is over the components, $K$ of them."),
        ("nearest", {"ops.logsumexp(log_densities, axis=1)": "ops.max(log_densities, axis=1)"}, "only the component "
         "under which the code is most probable counts. All of them do, `ops.logsumexp`."),
        ("nearest_alone", {_LOG_MEAN: "ops.max(log_densities, axis=1)"}, "this is the log-density of the most probable "
         r"component. A mixture is the mean of all, with $\frac1K$ in front."),
        ("each_latent", {"-0.5 * ops.sum(LOG_2PI + log_variance + squares, axis=2)": "-0.5 * (LOG_2PI + log_variance + "
         "squares)", f"return {_LOG_MEAN}": "return ops.sum(ops.logsumexp(log_densities, axis=1) - "
         "np.log(mean.shape[0]), axis=1)"}, "each latent has a mixture of its own: then a code may take one latent "
         "from this component and the next from that. A component is for all latents: sum over these first."),
        ("over_codes", {"ops.logsumexp(log_densities, axis=1)": "ops.logsumexp(log_densities, axis=0)"}, "the sum goes "
         "over the codes, axis 0. A mixture is a sum over components, axis 1."),
        ("deviation", {"ops.exp(-log_variance)": "ops.exp(-log_variance / 2)"}, r"the squares are divided by "
         r"$\sigma$; a normal density has $\sigma^2$ there."),
        ("times_variance", {"ops.exp(-log_variance)": "ops.exp(log_variance)"}, r"the squares are multiplied by "
         r"$\sigma^2$. Divide by it: $e^{-\log\sigma^2}$."),
        ("no_log_variance", {"LOG_2PI + log_variance + squares": "LOG_2PI + squares"}, r"$\log\sigma^2$ is missing: a "
         "narrow component is higher than a wide one."),
        ("log_variance_sign", {"LOG_2PI + log_variance + squares": "LOG_2PI - log_variance + squares"},
         r"$\log\sigma^2$ has the wrong sign: a narrow component is *higher* than a wide one, "
         r"$-\frac12\log\sigma^2$."),
        ("log_deviation", {"LOG_2PI + log_variance + squares": "LOG_2PI + log_variance / 2 + squares"}, r"you took "
         r"$\frac14\log\sigma^2$. $\log\sigma$ is $\frac12\log\sigma^2$, and the $\frac12$ stands in front already."),
        ("not_squared", {"(z[:, None] - mean) ** 2": "ops.abs(z[:, None] - mean)"}, "the distance is not "
         "squared. A normal log-density falls with its square."),
        ("variance_itself", {"ops.exp(-log_variance)": "1 / log_variance", "LOG_2PI + log_variance + squares":
         "LOG_2PI + ops.log(log_variance) + squares"}, r"`log_variance` is used as the variance, and its logarithm is "
         r"taken, which does not exist where it is negative. It is $\log\sigma^2$; the variance is its exponential."),
        ("latents_averaged", {"-0.5 * ops.sum(": "-0.5 * ops.mean("}, "the log-densities are averaged over the "
         "latents. The density is a product over the latents, so logarithms are summed."),
    ],
)  # fmt: skip


# ---- 2


def _posteriors(rng):
    """Log-densities of codes under each other's posteriors.

    All three are estimates. In the second case those of divergences are below 0, as they may be by chance: codes lie
    where the prior is high, and rather under other images' posteriors.
    """
    for S, N, D, sign in (2, 5, 2, 1), (4, 3, 3, -1):
        mean, deviation = 1.2 * rng.normal(size=(N, D)), rng.uniform(0.4, 0.9, size=(N, D))
        z = mean + deviation * rng.normal(size=(S, N, D))
        if sign < 0:
            z = np.roll(mean, 1, axis=0) + 0.3 * deviation * rng.normal(size=(S, N, D))
        scaled = (z[:, :, None] - mean) / deviation  # [S, N, N, D]
        log_q = -0.5 * np.sum(np.log(2 * np.pi) + scaled**2, axis=-1) - np.log(deviation).sum(axis=-1)
        log_p = -0.5 * np.sum(np.log(2 * np.pi) + z**2, axis=-1)
        if sign < 0:
            log_p = log_q.max(axis=-1) + rng.uniform(0.3, 1.0, size=(S, N))
        yield dict(log_q=log_q, log_p=log_p)


def _names(rng):
    """Posteriors so narrow that each code names its image; but for one code, which lies in another's."""
    for S, N in (2, 4), (3, 5):
        log_q = rng.uniform(-900, -400, size=(S, N, N))
        log_q[:, range(N), range(N)] = rng.uniform(95, 120, size=(S, N))
        log_q[0, 0, 1] = log_q[0, 0, 0] + 1
        yield dict(log_q=log_q, log_p=rng.uniform(-60, -40, size=(S, N)))


_OWN, _AGGREGATE = "ops.diagonal(log_q, axis1=1, axis2=2)", "ops.logsumexp(log_q, axis=2) - np.log(log_q.shape[2])"
_RESULT = "ops.mean(own - log_p), ops.mean(own - aggregate), ops.mean(aggregate - log_p)"

SPLIT = Function(
    "split_kl", "What codes say, and what a misfit costs", points=4, minutes=18, difficulty=2, importance=3,
    section="What the holes cost", aims=(2,),
    takes="log_q[S,N,N], log_p[S,N]", returns="kl, information, misfit",
    axes={"S": "samples", "N": "images"}, draw={None: _posteriors, "sharp": _names},
    parts={"kl": 0.5, "information": 1.5, "misfit": 1, "sharp": 1}, requires_first=False,
    answer=f"""
        own = {_OWN}  # log q(z|x_n) of its own image, [S, N]
        aggregate = {_AGGREGATE}  # log q(z), [S, N]
        return {_RESULT}
    """,
    hints=r"""
        Three log-densities at each code: under the posterior of its own image, under the aggregate posterior, and under
        the prior. All three results are means of differences of these.

        Where in `log_q[s]` are the densities of codes under their own image's posterior? And $q(z)$ is the mean over
        *all* images, the code's own one among them: over the last axis, since it counts the posteriors.

        `ops.diagonal(log_q, axis1=1, axis2=2)`, and `ops.logsumexp(log_q, axis=2)` less $\log N$.
    """,
    mistakes=[
        ("not_divided", {f"{_AGGREGATE}  #": "ops.logsumexp(log_q, axis=2)  #"}, r"$q(z)$ is the *sum* of the "
         r"posteriors. It is their mean: $\log N$ is missing, and the mutual information is never positive."),
        ("log_n_added", {"- np.log(log_q.shape[2])": "+ np.log(log_q.shape[2])"}, r"$\log N$ is added. The aggregate "
         "posterior is the sum of $N$ densities divided by $N$: subtract it."),
        ("others_alone", {f"{_AGGREGATE}  #": "ops.logsumexp(log_q - 1e9 * ops.eye(log_q.shape[2]), axis=2) - "
         "np.log(log_q.shape[2] - 1)  #"}, "the code's own image is left out of $q(z)$, as in a cross-validation. The "
         "aggregate posterior is the mean over all $N$ images, this one among them; only then are $I$ and the misfit "
         r"divergences, and $I$ at most $\log N$."),
        ("over_codes", {"ops.logsumexp(log_q, axis=2)": "ops.logsumexp(log_q, axis=1)"}, "the sum goes over the "
         "codes, axis 1, under one posterior. $q(z)$ is one code's density under all posteriors, axis 2."),
        ("mean_of_logarithms", {f"{_AGGREGATE}  #": "ops.mean(log_q, axis=2)  #"}, r"for $\log q(z)$ you took the mean "
         "of the log-densities. $q(z)$ is a mean of densities: the logarithm comes last."),
        ("not_in_logarithms", {f"{_AGGREGATE}  #": "ops.log(ops.mean(ops.exp(log_q), axis=2))  #"}, "the densities "
         "themselves are averaged. In float32 they overflow, or are 0, as soon as posteriors are narrow: "
         "`ops.logsumexp` stays with logarithms."),
        ("nearest", {f"{_OWN}  #": "ops.max(log_q, axis=2)  #"}, "for the code's own posterior you took the one under "
         "which it is most probable. Where posteriors overlap this is often another image's: take the diagonal."),
        ("nearest_aggregate", {"ops.logsumexp(log_q, axis=2)": "ops.max(log_q, axis=2)"}, "only the posterior under "
         "which the code is most probable counts in $q(z)$. All of them do."),
        ("samples_too", {f"{_AGGREGATE}  #": "ops.logsumexp(log_q, axis=(0, 2)) - np.log(log_q.shape[2] * "
         "log_q.shape[0])  #"}, "for $q(z)$ the mean goes over the samples, too. Each code has a density of its own; "
         "the mean over codes comes after the logarithm."),
        ("by_samples", {"np.log(log_q.shape[2])": "np.log(log_q.shape[0])"}, r"you divided by the number of samples. "
         "$q(z)$ is the mean over the $N$ images."),
        ("kl_reversed", {"ops.mean(own - log_p)": "ops.mean(log_p - own)"}, r"the KL divergence has the wrong sign: it "
         r"is the mean of $\log q(z|x) - \log p(z)$."),
        ("information_reversed", {"ops.mean(own - aggregate)": "ops.mean(aggregate - own)"}, r"the mutual information "
         r"has the wrong sign: it is the mean of $\log q(z|x) - \log q(z)$."),
        ("misfit_reversed", {"ops.mean(aggregate - log_p)": "ops.mean(log_p - aggregate)"}, r"the misfit has the wrong "
         r"sign: it is the mean of $\log q(z) - \log p(z)$."),
        ("exchanged", {_RESULT: "ops.mean(own - log_p), ops.mean(aggregate - log_p), ops.mean(own - aggregate)"},
         "mutual information and misfit have changed places: the information is the second one."),
        ("clipped", {"ops.mean(aggregate - log_p)": "ops.mean(ops.relu(aggregate - log_p))"}, "negative differences "
         "are set to 0 before the mean. A divergence is not negative, a single $\\log q(z) - \\log p(z)$ may be."),
        ("not_negative", {"ops.mean(aggregate - log_p)": "ops.relu(ops.mean(aggregate - log_p))"}, "an estimate below "
         "0 is set to 0. A divergence is not negative, an estimate of it may be: cut off, it is too high on average."),
        ("not_negative", {"ops.mean(own - log_p)": "ops.relu(ops.mean(own - log_p))"}, "an estimate below 0 "
         "is set to 0. A divergence is not negative, an estimate of it may be: cut off, it is too high on average."),
        ("not_negative", {"ops.mean(own - aggregate)": "ops.relu(ops.mean(own - aggregate))"}, "an estimate below 0 "
         "is set to 0. A divergence is not negative, an estimate of it may be: cut off, it is too high on average."),
        *(("not_negative", {mean: f"ops.abs({mean})"}, "the absolute value of an estimate is taken. A divergence is "
           "not negative, an estimate of it may be: turned round, it is too high on average.")
          for mean in ("ops.mean(own - log_p)", "ops.mean(own - aggregate)", "ops.mean(aggregate - log_p)")),
        ("by_samples", {"np.log(log_q.shape[2])": "np.log(log_q.shape[0] * log_q.shape[2])"}, r"you divided by the "
         "number of all codes. For each of them $q(z)$ is the mean over the $N$ images."),
        ("added_up", {"ops.mean(aggregate - log_p)": "ops.mean(own - log_p) + ops.mean(own - aggregate)"}, "the misfit "
         "is what is left of the KL divergence when the mutual information is taken off: subtract it."),
        ("ceiling", {"ops.mean(own - aggregate)": "np.log(log_q.shape[2])"}, r"you returned the ceiling, $\log N$, "
         "as the mutual information. It is what it can be at most."),
        ("summed", {_RESULT: "ops.sum(own - log_p), ops.sum(own - aggregate), ops.sum(aggregate - log_p)"}, "you "
         "summed over samples and images. All three are means."),
        ("images_summed", {_RESULT: "ops.sum(ops.mean(own - log_p, axis=0)), ops.sum(ops.mean(own - aggregate, "
         "axis=0)), ops.sum(ops.mean(aggregate - log_p, axis=0))"}, "you summed over the images. All three are means "
         "over samples and images."),
        ("logarithm_last", {"ops.mean(own - aggregate)": "ops.logsumexp(own - aggregate) - np.log(log_p.shape[0] * "
         "log_p.shape[1])"}, "the mutual information is the logarithm of a mean of ratios. The mean of the logarithms "
         "is asked for."),
    ],
)  # fmt: skip


# ---- 3

BEST = Number(
    "best_prior", "By hand: what the best prior is worth", points=3, minutes=15, difficulty=2, importance=2,
    section="The best prior of all", aims=(3,),
    value="0.5 * (1.5**2 + 0.5**2 + 1.5**2 - 1 - log(1.5**2 + 0.5**2))", rtol=3e-3,
    because="1.42, the number to three digits, is off by 0.22 %.",
    hints=r"""
        The reconstruction stays as it is. Which of the two parts of the average KL divergence does a prior change, and
        what is left of it with the best one?

        The misfit, $\mathrm{KL}(q(z)\,\|\,p(z))$, and 0 is left. So which distribution is $q(z)$? It is $z = a x +
        s\varepsilon$ with both $x$ and $\varepsilon$ random: a normal distribution. Its mean, its variance?

        $q(z) = \mathcal N(a m,\ a^2 + s^2)$, and $\mathrm{KL}\big(\mathcal N(\mu, v)\,\|\,\mathcal N(0, 1)\big) =
        \frac12(\mu^2 + v - 1 - \log v)$.
    """,
    mistakes=[
        ("whole_kl", "0.5 * (1.5**2 * 2 + 0.25 - 1 - log(0.25))", r"this is the whole average KL divergence. Not even "
         "the best prior makes it 0: what codes say about images is still to be paid for."),
        ("information", "0.5 * log(10)", r"this is the mutual information, the part that *no* prior can save. The gain "
         "is the other one."),
        ("no_mean", "0.5 * (2.5 - 1 - log(2.5))", r"the mean of $q(z)$ is missing: the codes are centred at $a m$, the "
         "prior at 0."),
        ("mean_of_data", "0.5 * (2.5 + 1 - 1 - log(2.5))", r"you took $m$ for the mean of the codes. It is $a m$."),
        ("no_noise", "0.5 * (2.25 + 2.25 - 1 - log(2.25))", r"you took the variance of the codes' *means*, $a^2$. The "
         r"aggregate posterior has the noise as well: $a^2 + s^2$."),
        ("not_squared", "0.5 * (2.75 + 2.25 - 1 - log(2.75))", r"the noise has the variance $s^2 = 0.25$."),
        ("not_squared", "0.5 * (1.75 + 2.25 - 1 - log(1.75))", r"$a x$ has the variance $a^2$, not $a$."),
        ("reversed", "0.5 * (log(2.5) + 3.25 / 2.5 - 1)", r"this is $\mathrm{KL}(p(z)\,\|\,q(z))$, the wrong way "
         "round: codes are drawn from $q$, and the mean is taken over them."),
        ("half_lost", "3.75 - log(2.5)", r"the ½ is lost: it is $\frac12(\mu^2 + v - 1 - \log v)$."),
        ("log_sign", "0.5 * (3.75 + log(2.5))", r"$\log v$ has the wrong sign: $\frac12(\mu^2 + v - 1 - \log v)$."),
        ("no_log", "0.5 * 3.75", r"$\log v$ is missing: $\frac12(\mu^2 + v - 1 - \log v)$."),
        ("log_twice", "0.5 * 3.75 - log(2.5)", r"the ½ stands before $\log v$ as well: $\frac12(\mu^2 + v - 1 - "
         r"\log v)$."),
        ("mean_itself", "0.5 * (2.5 + 1.5 - 1 - log(2.5))", r"the mean of $q(z)$ is not squared: $\frac12(\mu^2 + v - "
         r"1 - \log v)$."),
        ("variance_of_data", "0.5 * (1.25 + 2.25 - 1 - log(1.25))", r"$a x$ has the variance $a^2$: the data's, 1, is "
         "stretched."),
        ("one_posterior", "0.5 * (0.25 + 2.25 - 1 - log(0.25))", r"this is the KL divergence of one posterior, that of "
         r"the image in the middle. $q(z)$ is the mixture of all of them, and wider."),
        ("deviations_added", "0.5 * (4 + 2.25 - 1 - log(4))", r"$a + s$ is squared: standard deviations do not add up, "
         "variances do."),
        ("log_deviation", "0.5 * (3.75 - 0.5 * log(2.5))", r"$\log\sqrt v$ stands where $\log v$ should."),
        ("no_one", "0.5 * (4.75 - log(2.5))", "the $-1$ is missing: a normal is no distance from itself."),
        ("bits", "0.5 * (3.75 - log(2.5)) / log(2)", "these are bits; nats are asked for."),
        ("nothing", "0", "with this prior the bound is not at its best: its codes are not where the prior promises "
         "them."),
        ("sign", "-0.5 * (3.75 - log(2.5))", "the size is right, the sign is not: the bound gains."),
    ],
    note="It can be had by subtraction, too: the average KL, 2.568, less the mutual information, $\\frac12\\log 10 = "
    "1.151$.",
)  # fmt: skip


# ---- 4


def _weighted(rng):
    """Uniform numbers that are not near the edges between components."""
    for K, D, S in (4, 3, 6), (3, 2, 5):
        weights = rng.dirichlet(np.full(K, 3.0)) * 0.7 + 0.3 / K
        chosen = rng.permutation(np.resize(rng.permutation(K), S))
        edges = np.concatenate([[0], np.cumsum(weights)])
        uniform = edges[chosen] + rng.uniform(0.1, 0.9, size=S) * weights[chosen]
        yield dict(weights=weights, mean=2 * rng.normal(size=(K, D)), log_variance=rng.uniform(-2, 1, size=(K, D)),
                   uniform=uniform, noise=rng.normal(size=(S, D)))  # fmt: skip


_CHOSEN = "ops.sum(uniform[:, None] > ops.cumsum(weights), axis=1)"
_TAKEN = "ops.take(mean, k, axis=0) + ops.exp(ops.take(log_variance, k, axis=0) / 2) * noise"

DRAW = Function(
    "draw_codes", "Draw from a mixture", points=3, minutes=10, importance=3,
    section="Images that nobody took", aims=(3,),
    takes="weights[K], mean[K,D], log_variance[K,D], uniform[S], noise[S,D]", gradients="mean log_variance",
    axes={"S": "draws", "K": "components", "D": "latents"}, draw=_weighted, parts={"value": 2, "gradients": 1},
    answer=f"""
        k = {_CHOSEN}  # of each draw, [S]
        return {_TAKEN}
    """,
    hints=r"""
        Two draws in one: first which component, from `uniform` and the weights, then the code from this component, with
        `noise`.

        Cut the interval from 0 to 1 into $K$ pieces as long as the weights. The piece that `uniform[s]` falls into is
        the component. `ops.cumsum(weights)` has the pieces' right ends: how many of them has `uniform[s]` passed?

        `k = ops.sum(uniform[:, None] > ops.cumsum(weights), axis=1)`, and `ops.take(mean, k, axis=0)` has the rows.
    """,
    mistakes=[
        ("from_the_end", {"uniform[:, None] >": "1 - uniform[:, None] >"}, "the pieces are counted from the other end "
         "of the interval: 1 less `uniform` stands for `uniform`. The components have the right shares, but it is not "
         "what was asked for: the first component has the numbers near 0."),
        ("root", {"ops.exp(ops.take(log_variance, k, axis=0) / 2)": "ops.sqrt(ops.take(log_variance, k, axis=0))"},
         r"the root of `log_variance` is taken, which does not exist where it is negative. It is $\log\sigma^2$: take "
         "the exponential, then the root."),
        ("all_added", {_TAKEN: "ops.sum(weights[:, None, None] * (mean[:, None] + ops.exp(log_variance[:, None] / 2) * "
         "noise), axis=0)"}, "draws of all components are added up, by their weights. That is a single normal, in the "
         "middle. A draw comes from *one* of them, `uniform` says which."),
        ("in_turn", {_CHOSEN: "np.arange(uniform.shape[0]) % weights.shape[0]"}, "the components are taken in turn, "
         "from the first one on: the same ones in every sheet of samples, and with no regard to their weights. "
         "`uniform` says which."),
        ("standard_normal", {f"return {_TAKEN}": "return noise"}, r"these are draws from $\mathcal N(0, I)$. It is not "
         "the prior any more."),
        ("blended", {_TAKEN: "ops.matmul(weights[None], mean) + ops.exp(ops.matmul(weights[None], log_variance) / 2) * "
         "noise"}, "means and log-variances are averaged over the components. That is a single normal, in the middle, "
         "where there may be no component at all. A draw comes from *one* of them."),
        ("moments", {_TAKEN: "ops.matmul(weights[None], mean) + ops.sqrt(ops.matmul(weights[None], mean**2 + "
         "ops.exp(log_variance)) - ops.matmul(weights[None], mean) ** 2) * noise"}, "this is a single normal with the "
         "mixture's mean and variance. A draw comes from *one* of the components."),
        ("equal_weights", {"ops.cumsum(weights)": "ops.cumsum(0 * weights + 1 / weights.shape[0])"}, "all components "
         "are equally probable. They have weights here."),
        ("one_for_all", {_CHOSEN: "0 * ops.sum(uniform[:, None] > ops.cumsum(weights), axis=1) + "
         "ops.sum(uniform[0] > ops.cumsum(weights))"}, "all draws come from the component of the first. Each draw has "
         "one of its own."),
        ("first_alone", {_CHOSEN: f"0 * {_CHOSEN}"}, "all draws come from the first component. `uniform` says which "
         "one."),
        ("off_by_one", {_CHOSEN: f"ops.minimum({_CHOSEN} + 1, weights.shape[0] - 1)"}, "the component after the right "
         "one is taken. The first one, number 0, has the numbers that have passed no right end."),
        ("off_by_one", {_CHOSEN: f"ops.maximum({_CHOSEN} - 1, 0)"}, "the component before the right one is taken. Who "
         "has passed one right end is in the second piece, number 1."),
        ("most_probable", {_CHOSEN: "ops.argmax(0 * uniform[:, None] + weights, axis=1)"}, "all draws come from the "
         "component with the largest weight. A component is drawn with its weight as the probability."),
        ("nearest_weight", {_CHOSEN: "ops.argmin(ops.abs(uniform[:, None] - weights), axis=1)"}, "you looked for the "
         "weight that is closest to `uniform`. The weights are *lengths* of pieces of the interval from 0 to 1; which "
         "piece does it fall into?"),
        ("variance", {"/ 2) * noise": ") * noise"}, r"the noise is multiplied by the variance; by $\sigma = "
         r"e^{\frac12\log\sigma^2}$ it should be."),
        ("log_variance_itself", {"ops.exp(ops.take(log_variance, k, axis=0) / 2)": "ops.take(log_variance, k, axis=0)"},
         r"the noise is multiplied by $\log\sigma^2$ itself."),
        ("means_alone", {" + ops.exp(ops.take(log_variance, k, axis=0) / 2) * noise": ""}, "these are the components' "
         "means. A component has a width: add the noise."),
        ("unit_width", {"ops.exp(ops.take(log_variance, k, axis=0) / 2) * noise": "noise"}, "each component is as wide "
         r"as $\mathcal N(0, I)$. Its own $\sigma$ is asked for."),
        ("noise_alone", {"ops.take(mean, k, axis=0) + ": ""}, "the mean of the component is missing."),
        ("one_noise", {"* noise": "* noise[0]"}, "all draws share the noise of the first."),
        ("one_width", {"ops.exp(ops.take(log_variance, k, axis=0) / 2)": "ops.exp(ops.mean(log_variance, axis=0) / 2)"},
         "all components are equally wide. Take the width of the chosen one, as its mean."),
    ],
)  # fmt: skip


# ---- 5


def _batches(rng):
    """Batches; in the second one an image is far from all others: there each component's density is 0 in float32."""
    for B, K, P, D in (4, 3, 5, 2), (3, 5, 4, 3):
        u = rng.uniform(0.05, 0.95, size=(K, P))
        outside = rng.random((K, P)) < 0.35
        outside[0, 0] = True
        beyond = np.where(rng.random((K, P)) < 0.5, -rng.uniform(0.1, 0.7, size=(K, P)), 1.7 - 0.6 * u)
        u = np.where(outside, beyond, u)  # no pixel near an edge, where a gradient jumps
        x, noise, to_mean = 1.0 * (rng.random((B, P)) < 0.5), rng.normal(size=(B, D)), rng.normal(size=(P, D))
        if B == 3:  # it alone has the first pixel
            x[:, 0], u[:, 0], to_mean[0] = np.arange(B) == 0, -rng.uniform(0.05, 0.1, size=K), 30 * np.sign(to_mean[0])
        yield dict(x=x, noise=noise, pseudo_inputs=u, to_mean=to_mean, to_log_variance=rng.normal(size=(P, D)) / 3,
                   first_to_mean=rng.normal(size=(P, D)), down=rng.normal(size=(D, P)))  # fmt: skip


_MIXED = "ops.logsumexp(log_densities, axis=1) - np.log(pseudo_inputs.shape[0])"
_AT_DRAW = "(z[:, None] - means) ** 2 / ops.exp(log_variances)"


def _priors(rng):
    for given in _batches(rng):
        K, D = len(given["pseudo_inputs"]), given["noise"].shape[1]
        later = {"later_mean": given["first_to_mean"], "later_log_variance": given["to_log_variance"][::-1].copy()}
        kept = {name: given[name] for name in ("pseudo_inputs", "to_mean", "to_log_variance")}
        yield kept | later | {"z": rng.normal(size=(K + 1, D))}


VAMP = Prior(
    "VampPrior", "A prior: the VampPrior as a layer", points=5, minutes=25, difficulty=3, importance=3, draw=_priors,
    section="A prior of your own", aims=(4,),
    parts={"log density": 1.5, "gradient of log density for pseudo_inputs": 0.5, "after a step": 1.5, "restored": 1.5},
    log_density="""
        u = ops.clip(pseudo_inputs, 0, 1)
        means, log_variances = ops.matmul(u, to_mean), ops.matmul(u, to_log_variance)
        squares = (z[:, None] - means) ** 2 * ops.exp(-log_variances)
        log_densities = -0.5 * ops.sum(LOG_2PI + log_variances + squares, axis=2)
        return ops.logsumexp(log_densities, axis=1) - np.log(pseudo_inputs.shape[0])
    """,
    code="""
class VampPrior(vk.priors.Prior):
    def __init__(self, encoder, components, **kwargs):
        super().__init__(**kwargs)
        self.encoder, self.components = encoder, components

    def build(self, shape):
        start = keras.initializers.RandomUniform(0, 1)
        of_image = self.encoder.input_shape[1:]
        self.pseudo_inputs = self.add_weight(shape=(self.components, *of_image), initializer=start, name="u")
        super().build(shape)

    def distribution(self):
        q = self.encoder(ops.clip(self.pseudo_inputs, 0, 1))
        return vk.distributions.NormalMixture(q.mean(), q.stddev())

    def get_config(self):
        own = {"encoder": keras.saving.serialize_keras_object(self.encoder), "components": self.components}
        return {**super().get_config(), **own}

    @classmethod
    def from_config(cls, config):
        encoder = keras.saving.deserialize_keras_object(config.pop("encoder"))
        return cls(encoder, **config)
""",
    hints=r"""
        Four methods, each of two or three lines: `__init__` keeps the encoder and the number of components; `build`
        makes the weight; `distribution` encodes it and returns the mixture; `get_config`, with `from_config`, is for
        saving. Which of them may *compute* with the encoder, if its weights change in every step?

        `self.add_weight(shape=(self.components, *self.encoder.input_shape[1:]), initializer=..., name=...)` in `build`,
        and at its end `super().build(shape)`. In `distribution`, `ops.clip(self.pseudo_inputs, 0, 1)` goes into the
        encoder, and `q.mean()` and `q.stddev()` go into `vk.distributions.NormalMixture`.

        In the config stands `keras.saving.serialize_keras_object(self.encoder)`; `from_config` takes it out, by
        `keras.saving.deserialize_keras_object`, and calls `cls` with it. vaekit opens a model so that what was one
        object is one object again.
    """,
    mistakes=[
        ("not_clipped", {"ops.clip(self.pseudo_inputs, 0, 1)": "ops.convert_to_tensor(self.pseudo_inputs)"}, "the "
         "pseudo-inputs are used as they are, with pixels below 0 and above 1, which no image has: `ops.clip`.",
         {"ops.clip(pseudo_inputs, 0, 1)": "pseudo_inputs"}),
        ("sigmoid", {"ops.clip(self.pseudo_inputs, 0, 1)": "ops.sigmoid(self.pseudo_inputs)"}, "the pixels are "
         "sigmoids of the weight. That keeps them in range, too; asked for is to cut off what is outside, `ops.clip`.",
         {"ops.clip(pseudo_inputs, 0, 1)": "ops.sigmoid(pseudo_inputs)"}),
        ("clipped_below", {"ops.clip(self.pseudo_inputs, 0, 1)": "ops.relu(self.pseudo_inputs)"}, "pixels below 0 "
         "are cut off; those above 1 are not.", {"ops.clip(pseudo_inputs, 0, 1)": "ops.relu(pseudo_inputs)"}),
        ("clipped_above", {"ops.clip(self.pseudo_inputs, 0, 1)": "ops.minimum(self.pseudo_inputs, 1.0)"}, "pixels "
         "above 1 are cut off; those below 0 are not.",
         {"ops.clip(pseudo_inputs, 0, 1)": "ops.minimum(pseudo_inputs, 1.0)"}),
        ("negative_width", {"q.mean(), q.stddev()": "q.stddev(), q.mean()"}, None, None),
        ("name_lost", {"super().__init__(**kwargs)": "super().__init__()"}, None, None),
        ("name_lost", {"{**super().get_config(), **own}": "own"}, None, None),
        ("drawn", {"q.mean(), q.": "q.sample(), q."}, None, None),
        ("one_normal", {"q.mean(), q.stddev()": "ops.mean(q.mean(), axis=0, keepdims=True), ops.mean(q.stddev(), "
         "axis=0, keepdims=True)"}, "means and standard deviations are averaged over the pseudo-inputs: that is a "
         "single normal. The densities are averaged, and `NormalMixture` does it.", """
        u = ops.clip(pseudo_inputs, 0, 1)
        means, log_variances = ops.matmul(u, to_mean), ops.matmul(u, to_log_variance)
        mean, deviation = ops.mean(means, axis=0), ops.mean(ops.exp(log_variances / 2), axis=0)
        return -0.5 * ops.sum(LOG_2PI + 2 * ops.log(deviation) + ((z - mean) / deviation) ** 2, axis=1)
        """),
        ("unit_width", {"q.stddev())": "ops.ones_like(q.stddev()))"}, r"all components are as wide as $\mathcal N(0, "
         r"I)$. Each is as wide as the encoder says: `q.stddev()`.",
         {"squares =": "log_variances = 0 * means\nsquares ="}),
        ("variance", {"q.stddev()": "q.variance()"}, "the variance stands where the standard deviation is meant.",
         {"squares =": "log_variances = 2 * log_variances\nsquares ="}),
        ("first_alone", {"q.mean(), q.stddev()": "q.mean()[:1], q.stddev()[:1]"}, "the first component is the whole "
         "prior. All of them belong to it.", """
        u = ops.clip(pseudo_inputs, 0, 1)[:1]
        means, log_variances = ops.matmul(u, to_mean), ops.matmul(u, to_log_variance)
        squares = (z[:, None] - means) ** 2 * ops.exp(-log_variances)
        return ops.logsumexp(-0.5 * ops.sum(LOG_2PI + log_variances + squares, axis=2), axis=1)
        """),
        ("cut", {"ops.clip(self.pseudo_inputs, 0, 1)": "ops.stop_gradient(ops.clip(self.pseudo_inputs, 0, 1))"},
         "no gradient reaches the pseudo-inputs, so they would never be learned.", None),
        ("own_encoder", {"= encoder, components": "= encoder, components\n        self.copy = "
         "keras.Sequential.from_config(encoder.get_config())", "self.encoder(ops.clip": "self.copy(ops.clip"}, None,
         None),
        ("computed_once", {"        super().build(shape)\n": "        super().build(shape)\n        self.mixture = "
         "self._mixture()\n", "    def distribution(self):\n": "    def distribution(self):\n        return "
         "self.mixture\n\n    def _mixture(self):\n"}, None, None),
        ("not_trainable", {'name="u")': 'name="u", trainable=False)'}, None, None),
        ("no_prior", {"(vk.priors.Prior)": "(keras.layers.Layer)"}, None, None),
        ("weights_shape", {"(self.components, *of_image)": "(1, *of_image)"}, None, None),
        ("no_weight", {"self.pseudo_inputs = self.add_weight": "self.u = self.add_weight",
         "clip(self.pseudo_inputs": "clip(self.u"}, None, None),
    ],
)  # fmt: skip


# ---- 6

MENDED = Mend(
    "mended_vamp", "Mend the VampPrior", points=5, minutes=25, difficulty=2, importance=3,
    section="When it goes wrong", aims=(5,),
    takes="x[B,P], noise[B,D], pseudo_inputs[K,P], to_mean[P,D], to_log_variance[P,D], first_to_mean[P,D], down[D,P]",
    gradients="pseudo_inputs to_mean to_log_variance down", draw=_batches,
    answer=f"""
        mean, log_variance = ops.matmul(x, to_mean), ops.matmul(x, to_log_variance)
        z = mean + ops.exp(log_variance / 2) * noise
        log_q_z = -0.5 * ops.sum(LOG_2PI + log_variance + noise**2, axis=1)

        u = ops.clip(pseudo_inputs, 0, 1)  # 1. images have pixels from 0 to 1
        means = ops.matmul(u, to_mean)  # 2. the encoder's answers to them
        log_variances = ops.matmul(u, to_log_variance)  # 3. and how sure it is of these
        squares = {_AT_DRAW}  # 4. of each code from each component
        log_densities = -0.5 * ops.sum(LOG_2PI + log_variances + squares, axis=2)
        log_p_z = {_MIXED}  # 5. of the mixture

        logits = ops.matmul(z, down)
        log_p_x = ops.sum(x * logits - ops.softplus(logits), axis=1)
        return ops.mean(log_q_z - log_p_z - log_p_x)
    """,
    errors={
        "pixels": ({"u = ops.clip(pseudo_inputs, 0, 1)": "u = pseudo_inputs"}, "still broken: pseudo-inputs are used "
                   "with pixels below 0 and above 1, which no image has."),
        "encoder": ({"means = ops.matmul(u, to_mean)": "means = ops.matmul(u, first_to_mean)"}, "still broken: the "
                    "pseudo-inputs are not encoded by the encoder of the images. The prior stays behind while the "
                    "codes move on."),
        "widths": ({"ops.matmul(u, to_log_variance)": "0 * means"}, "still broken: all components are as wide as "
                   r"$\mathcal N(0, I)$. What is their width in a mixture of posteriors?"),
        "draw": ({"(z[:, None] - means)": "(mean[:, None] - means)"}, "still broken: the prior's density is taken at "
                 "one place, the encoder's at another. Both belong to the code that was drawn."),
        "mixture": ({_MIXED: "ops.mean(log_densities, axis=1)"}, "still broken: every component has to be near every "
                    "code. In a mixture it is enough that one is."),
    },
    slips=[
        ("pixels", "clipped_above", {"ops.clip(pseudo_inputs, 0, 1)": "ops.minimum(pseudo_inputs, 1.0)"}, "now pixels "
         "above 1 are gone; those below 0 are not."),
        ("pixels", "clipped_below", {"ops.clip(pseudo_inputs, 0, 1)": "ops.relu(pseudo_inputs)"}, "now pixels below 0 "
         "are gone; those above 1 are not."),
        ("pixels", "sigmoid", {"ops.clip(pseudo_inputs, 0, 1)": "ops.sigmoid(pseudo_inputs)"}, "now the pixels are "
         "sigmoids. That is in range, and would do from the beginning; but it changes those that were in range "
         "already. Cut off what is outside, `ops.clip`."),
        ("pixels", "rounded", {"ops.clip(pseudo_inputs, 0, 1)": "ops.round(ops.clip(pseudo_inputs, 0, 1))"}, "now the "
         "pixels are rounded to 0 and 1. Grey is allowed, and a rounded pixel has no gradient."),
        ("widths", "variance_itself", {"log_variances = ops.matmul(u, to_log_variance)": "log_variances = "
         "ops.exp(ops.matmul(u, to_log_variance))"}, "now the variance stands where its logarithm is meant."),
        ("widths", "widths_of_images", {"ops.matmul(u, to_log_variance)": "0 * means + ops.mean(log_variance, axis=0)"},
         "now the components are as wide as the posteriors of the images in the batch. Each is as wide as the encoder "
         "says of *its* pseudo-input."),
        *(("mixture", "small_number", {_MIXED: f"ops.log(ops.mean(ops.exp(log_densities), axis=1) + {tiny})"}, "now a "
           "small number is added within the logarithm. It hides minus infinity: all codes far from the components get "
           "the same density, far too high. `ops.logsumexp` needs no such help.") for tiny in ("1e-20", "1e-8")),
        ("mixture", "not_divided", {" - np.log(pseudo_inputs.shape[0])": ""}, r"now the components are added up, and "
         r"not divided by $K$."),
        ("mixture", "by_batch", {"np.log(pseudo_inputs.shape[0])": "np.log(x.shape[0])"}, "now the sum is divided by "
         "the number of images in the batch. It is a mean over the $K$ components."),
        ("mixture", "nearest", {_MIXED: "ops.max(log_densities, axis=1)"}, "now the most probable component alone "
         "counts. It is the mean over all of them, in logarithms."),
        ("mixture", "summed", {_MIXED: "ops.sum(log_densities, axis=1)"}, "now the log-densities are added up: the "
         "product of all components. It is the logarithm of their mean."),
        ("draw", "noise", {"(z[:, None] - means)": "(noise[:, None] - means)"}, "now the density is taken at the "
         "noise. It belongs to $z$."),
        ("mixture", "plus_log_k", {" - np.log(pseudo_inputs.shape[0])": " + np.log(pseudo_inputs.shape[0])"},
         r"now $\log K$ is added. A mean is the sum divided by $K$: subtract it."),
        (None, "sign", {"(log_q_z - log_p_z - log_p_x)": "(log_p_x + log_p_z - log_q_z)"}, "this is the bound. It was "
         "a loss, minus the bound."),
        (None, "pixels_of_mean", {"logits = ops.matmul(z, down)": "logits = ops.matmul(mean, down)"}, "the pixels are "
         "made from the mean of the posterior now. They were made from the draw, which was right."),
    ],
    beyond=("mixture", "not_in_logarithms", {_MIXED: "ops.log(ops.mean(ops.exp(log_densities), axis=1))"}, "now the "
            "densities themselves are averaged: a right formula, but for a code far from all components each is 0 in "
            "float32, and the loss of the whole batch infinite. `ops.logsumexp` stays with logarithms."),
    hints=r"""
        $p(z) = \frac1K\sum_k q(z|u_k)$: read it as three instructions. Take $u_k$, something that could be an image.
        Ask the encoder, *the* encoder, for a mean and a variance. Average the densities.

        Which of the arguments should not be needed at all? And at which point are $\log q(z|x)$ and $\log p(z)$ taken?

        There is one error in each of: `u`, `means`, `log_variances`, `squares`, `log_p_z`.
    """,
)  # fmt: skip


# ---- 7

MOST = 150  # components
WIDTHS = np.geomspace(1.5, 12, 15)  # among which the best one is looked for


def _data_sets(rng):
    """Codes of training images, and of new ones: clusters in few latents, and in more."""
    problems = []
    for latents, within, deviation in (3, 0.4, 0.13), (6, 0.4, 0.06):
        within, deviation = np.array([within, deviation]) * rng.uniform(0.9, 1.1, size=2)
        middles = np.sqrt(1 - within**2) * rng.normal(size=(6, latents))
        codes = middles[rng.integers(6, size=1500)] + within * rng.normal(size=(1500, latents))
        problems.append({"codes": codes[:1000], "deviation": float(deviation), "others": codes[1000:]})
    return problems


def _price(squares, deviation, width, latents):
    """KL(q(z|x) ‖ p), the mean over codes, for the squared distances `[N, K]` of draws from centres."""
    terms = -0.5 * squares / (width * deviation) ** 2
    largest = np.max(terms, axis=1, keepdims=True)
    log_sums = largest[:, 0] + np.log(np.sum(np.exp(terms - largest), axis=1))
    return latents * (np.log(width) - 0.5) - np.mean(log_sums) + np.log(squares.shape[1])


def _squares(z, centres):
    return np.maximum(np.sum(z**2, axis=1)[:, None] + np.sum(centres**2, axis=1) - 2 * z @ centres.T, 0)


def _widened(rng, codes, deviation, others, components, width):
    """Measures on new images what the prior lacks to the best one of `MOST` components: the mean of three."""
    (N, D), lost, gain, own = codes.shape, [], [], []
    z = others + deviation * rng.normal(size=others.shape)
    normal = np.mean(0.5 * np.sum(z**2, axis=1)) - D * (np.log(deviation) + 0.5)
    for _ in range(3):
        centres = codes[rng.permutation(N)[:MOST]]
        squares = _squares(z, centres)
        price = _price(squares[:, :components], deviation, width, D)
        best = min(_price(squares, deviation, each, D) for each in WIDTHS)
        chosen = centres[:components]
        drawn = chosen + deviation * rng.normal(size=chosen.shape)
        lost.append(price - best)
        gain.append(normal - price)
        own.append(_price(_squares(drawn, chosen), deviation, width, D))
    price = normal - np.mean(gain)
    return {"lost": np.mean(lost), "gain": np.mean(gain), "gap": price - np.mean(own)}


_HOLD_OUT = """
centres, others = codes[:150], codes[150:]
z = others + deviation * np.random.default_rng(0).normal(size=others.shape)  # codes of images that are no centres
squares = np.sum((z[:, None] - centres) ** 2, axis=2)  # [N, K]

def log_p(width):  # but for a constant
    variance = (width * deviation) ** 2
    terms = np.logaddexp.reduce(-0.5 * squares / variance, axis=1)
    return np.mean(terms) - 0.5 * codes.shape[1] * np.log(variance)

widths = np.geomspace(1, 30, 60)
return {"components": 150, "width": widths[np.argmax([log_p(width) for width in widths])]}
"""


WIDENED = Experiment(
    "widened_prior", "An experiment to design: a prior of training images", points=4, minutes=25, difficulty=2,
    section="Four priors", aims=(3, 4),
    importance=2, takes="codes[N,D], deviation", draw=_data_sets, run=_widened,
    settings={"components": (1, MOST), "width": (1.0, 30.0)},
    goals={
        "better": AtLeast(0.1, of="gain"),
        "near": AtMost(0.5, of="lost"),
        "best": AtMost(0.15, of="lost"),
    },
    parts={"better": 1, "near": 1, "best": 2},
    answer=_HOLD_OUT,
    hints=r"""
        More components are never worse here, so take all that you may. What is left is one number, and there is an
        objective for it: how probable are codes under the prior? Codes of which images?

        Of images that are no components. Under its own component a code is most probable when that is as narrow as
        possible, and the prior becomes a list of images. Keep some training images apart.

        Take 150 rows of `codes` as centres, and draw codes of the others, `row + deviation * noise`. For each of some
        sixty widths compute the mean of $\log\frac1K\sum_k\mathcal N(z; \mu_k, (w\sigma)^2 I)$, and return the best.
    """,
    mistakes=[
        (None, "list", "dict(components=150, width=1.0)", lambda width, lost, **_: lost > 0.15 and width < 1.5,
         "The components are as narrow as posteriors of single images: a list of training images. A new image's code "
         "lies between them, where this prior promises nothing. Widen them. Was the width chosen by the "
         "components' own codes? These always ask for the narrowest."),
        (None, "few", "dict(components=10, width=5.0)", lambda components, lost, **_: lost > 0.15 and components < 100,
         f"With few components there are holes between them, or each is too wide. You may take {MOST}."),
        (None, "too_wide", "dict(components=150, width=20.0)", lambda width, gap, lost, **_: lost > 0.15 and gap < 0.3,
         "The components are so wide that they run into each other, and the prior promises codes where there "
         "are none."),
        (None, "for_one", "dict(components=150, width=3.0)", lambda lost, **_: lost > 0.15, "For at least one of the "
         "two data sets the width is not the best one. Choose it for each by itself, from its codes."),
    ],
)  # fmt: skip


# ---- 8


TRAINED = TrainedVAE(
    "train_vamp", "Train a VAE with a VampPrior", points=5, minutes=30, difficulty=2,
    section="Four priors", aims=(4,),
    bounds={"codes": -50.0, "fair": -47.0, "good": -44.0}, worth=1.0,
    parts={"codes": 1, "fair": 1, "good": 1.5, "prior": 1.5},
    images=small_digits, coins=-52.5, good_kl=(6.0, 9.0), most_latents=20, most_units=100, components=50,
    because="32 runs of the solution, each with another seed, on both backends, ended between −40.9 and −40.1, with "
    "priors worth 1.9 to 3.2. MixtureOfNormals: −40.6 to −40.0, worth 1.6 to 2.1; ten components, 1.0 to 1.3. N(0, I), "
    "and one normal that is learned: −41.5 to −40.7, worth 0. Neither warm-up nor free bits: −45.7, −47.1, −52.3, "
    "−52.3. A constant learning rate of 0.001: −45.0 to −44.6 in 40 epochs. Principal components: −49.2.",
    hints="""
        The model is the lesson's, with `prior=vk.priors.VampPrior(encoder, 50, input_shape=(196,), seed=seed)`, and the
        training of exercise 02. First make it return anything of the right shapes, then train for longer.

        Does the KL fall to 0? Then nothing tells images apart, and a prior that is made of the encoder's answers is
        content with that. Ask for some nats by `vk.objectives.ELBO(free_bits=...)`; or let the KL count little at
        first, as in the lesson, by `vk.objectives.WarmUp(steps)`, for half of all steps, say.

        `DynamicBinarization(images, seed)` draws the pixels anew in every epoch. A tanh layer of 100 units each way,
        20 latents, batches of 100, 60 epochs, Adam with a learning rate of 0.01 that decays to 0
        (`keras.optimizers.schedules.CosineDecay`).

        After training: `q = encoder(vae.prior.pseudo_inputs)`, and the prior's arrays are `q.mean()` and
        `2 * ops.log(q.stddev())`.
    """,
)  # fmt: skip


QUESTIONS = [MIXTURE, SPLIT, BEST, DRAW, VAMP, MENDED, WIDENED, TRAINED]
