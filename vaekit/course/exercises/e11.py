r"""Exercise 11: sequences and video."""

import math

import numpy as np

from vaekit.course.questions import DistributionLayer, Experiment, FittedDynamics, Function, Mend, Number
from vaekit.course.questions.question import AtMost

TITLE = "Sequences: video"


# ---- 1


def _steps(rng):
    for N, T, L, known in (3, 5, 2, 1), (2, 6, 3, 3):
        shape = N, T, L
        yield dict(mean=rng.normal(size=shape), log_variance=rng.uniform(-2, 0.5, size=shape),
                   prior_mean=rng.normal(size=shape), prior_log_variance=rng.uniform(-1, 1, size=shape),
                   known=known)  # fmt: skip


def _narrow_steps(rng):
    """Posterior and prior whose variances float32 does not hold; their ratio is as usual."""
    for level in rng.uniform(-105, -95), rng.uniform(95, 105):
        shape, width = (2, 4, 3), np.exp(level / 2)
        mean = width * rng.normal(size=shape)
        log_variance = level + rng.uniform(-1, 1, size=shape)
        yield dict(mean=mean, log_variance=log_variance, prior_mean=mean + width * rng.normal(size=shape),
                   prior_log_variance=level + rng.uniform(-1, 1, size=shape), known=1)  # fmt: skip


_RATIO = "ratio = ops.exp(log_variance - prior_log_variance)"
_SQUARE = "square = ((mean - prior_mean) * ops.exp(-prior_log_variance / 2)) ** 2"
_EACH = "each = 0.5 * (ratio + square - 1 + prior_log_variance - log_variance)"
_FRAME = "frame = ops.sum(each, axis=2)[:, known:]"
_VIDEO = "ops.mean(ops.sum(frame, axis=1))"

KL = Function(
    "kl_of_frames", "What each frame told", points=3, minutes=15,
    section="Time as factors", aims=(1,),
    takes="mean[N,T,L], log_variance[N,T,L], prior_mean[N,T,L], prior_log_variance[N,T,L], known",
    returns="by frame, a video", gradients="mean log_variance prior_mean prior_log_variance",
    axes={"N": "videos", "T": "frames", "L": "latents"},
    draw={None: _steps, "narrow": _narrow_steps}, values_only=("narrow",),
    parts={"by frame": 1, "a video": 0.5, "gradients": 0.5, "narrow": 1},
    answer=f"""
        {_RATIO}
        {_SQUARE}
        {_EACH}
        {_FRAME}  # [N, T - known]
        return ops.mean(frame, axis=0), {_VIDEO}
    """,
    hints=r"""
        For one latent, $\mathrm{KL}\big(\mathcal N(\mu, \sigma^2)\,\|\,\mathcal N(m, s^2)\big) = \frac12\big(
        \frac{\sigma^2}{s^2} + \frac{(\mu - m)^2}{s^2} - 1 + \log\frac{s^2}{\sigma^2}\big)$. Latents add up. Then leave
        out the frames that are known, and only then take a mean over the videos.

        The part *narrow*: variances of $e^{-100}$ are 0 in float32, and 0/0 is no number. Subtract logarithms first:
        $\sigma^2/s^2 = e^{\lambda - \ell}$. And $(\mu - m)^2$ is 0, too, while $(\mu - m)\,e^{-\ell/2}$ is not.
    """,
    mistakes=[
        ("turned", {"return ops.mean(frame": "ratio = ops.exp(prior_log_variance - log_variance)\nsquare = ((mean - "
         "prior_mean) * ops.exp(-log_variance / 2)) ** 2\nframe = ops.sum(0.5 * (ratio + square - 1 + log_variance - "
         "prior_log_variance), axis=2)[:, known:]\nreturn ops.mean(frame"}, r"this is $\mathrm{KL}(p\|q)$, of the "
         r"prior "
         r"from the posterior. The bound has $\mathrm{KL}(q\|p)$: variances of the *prior* are divided by."),
        ("standard_prior", {_EACH: "each = 0.5 * (ops.exp(log_variance) + mean**2 - 1 - log_variance)"}, "the prior is "
         r"taken for $\mathcal N(0, I)$. This one has been learned, and says something else in each frame."),
        ("shifted", {_RATIO: "prior_mean = ops.roll(prior_mean, 1, axis=1)\nprior_log_variance = "
         f"ops.roll(prior_log_variance, 1, axis=1)\n{_RATIO}"}, "the prior is shifted by a frame. `prior_mean[:, t]` "
         r"is that of $z_t$ already, given the frames before."),
        ("prior_width", {_RATIO: "ratio = ops.exp(log_variance)", _SQUARE: "square = (mean - prior_mean) ** 2", _EACH:
         "each = 0.5 * (ratio + square - 1 - log_variance)"}, "the prior has its means here, and not its variances."),
        ("division", {_RATIO: "ratio = ops.exp(log_variance) / ops.exp(prior_log_variance)"}, "variances are divided "
         r"that float32 does not hold. Subtract their logarithms: $e^{\lambda - \ell}$."),
        ("division", {_SQUARE: "square = (mean - prior_mean) ** 2 / ops.exp(prior_log_variance)"}, "a square is "
         r"divided by a variance, and float32 holds neither. Multiply before you square: $(\mu - m)\,e^{-\ell/2}$."),
        ("division", {_SQUARE: "square = (mean - prior_mean) ** 2 * ops.exp(-prior_log_variance)"}, "a square is "
         r"multiplied by an inverse variance, and float32 holds neither. Multiply before you square: $(\mu - m)\,"
         r"e^{-\ell/2}$."),
        ("division", {_RATIO: "ratio = ops.exp(log_variance) / ops.exp(prior_log_variance)", _SQUARE: "square = (mean "
         "- prior_mean) ** 2 / ops.exp(prior_log_variance)"}, "variances are divided that float32 does not hold. "
         r"Subtract their logarithms, $e^{\lambda - \ell}$, and multiply by $e^{-\ell/2}$ before you square."),
        *(("clipped", {_RATIO: f"log_variance = ops.clip(log_variance, -{c}, {c})\nprior_log_variance = "
           f"ops.clip(prior_log_variance, -{c}, {c})\n{_RATIO}"}, "the log-variances were clipped. Nothing leaves "
           "float32 by that, and what the two say of each other is lost. Differences of them need no clipping.")
          for c in (10, 30, 80)),
        ("small_number", {_RATIO: "ratio = ops.exp(log_variance) / (ops.exp(prior_log_variance) + 1e-8)", _SQUARE:
         "square = (mean - prior_mean) ** 2 / (ops.exp(prior_log_variance) + 1e-8)"}, "a small number is added to the "
         "variance that you divide by. It hides 0/0, and puts a floor under every variance."),
        ("all_counted", {"axis=2)[:, known:]": "axis=2)"}, "frames that are given are counted, too. They are known on "
         "both sides, and no $z$ was paid for them."),
        ("one_too_many", {"[:, known:]": "[:, known - 1:]"}, "a frame too many is counted: the last of those that are "
         "given. The first that counts is frame `known`, from 0."),
        ("one_too_few", {"[:, known:]": "[:, known + 1:]"}, "the first frame that is to be told is left out: it is "
         "frame `known`, counted from 0."),
        ("the_given", {"[:, known:]": "[:, :known]"}, "these are the frames that are given. Those after them are asked "
         "for."),
        ("deviations", {"(-prior_log_variance / 2)": "(-prior_log_variance)"}, r"the difference of the means is "
         r"divided "
         r"by $s^2$ before it is squared. It is divided by $s$."),
        ("log_scales", {_RATIO: "ratio = ops.exp(2 * (log_variance - prior_log_variance))", _SQUARE: "square = "
        "((mean - "
         "prior_mean) * ops.exp(-prior_log_variance)) ** 2", _EACH: "each = 0.5 * (ratio + square - 1 + 2 * "
         "(prior_log_variance - log_variance))"}, r"$\lambda$ and $\ell$ are taken for $\log\sigma$. They are "
         r"logarithms "
         "of variances."),
        ("unsquared", {"/ 2)) ** 2": "/ 2))"}, "the difference of the means is not squared."),
        ("log_sign", {"- 1 + prior_log_variance - log_variance": "- 1 - prior_log_variance + log_variance"}, "the "
         r"logarithms have changed signs: $\log s^2 - \log\sigma^2$."),
        ("no_logarithms", {" - 1 + prior_log_variance - log_variance": " - 1"}, r"$\log s^2 - \log\sigma^2$ is "
         r"missing, "
         "and with it all that keeps a posterior from shrinking to a point."),
        ("no_one", {"square - 1 + prior": "square + prior"}, r"the $-1$ is missing: where both are alike, the KL is "
         r"0."),
        ("half_lost", {"0.5 * (ratio": "(ratio"}, "the ½ before the bracket is lost: this is twice the KL."),
        ("latents_averaged", {"ops.sum(each, axis=2)": "ops.mean(each, axis=2)"}, "latents are averaged. A frame's "
         "code "
         "costs what its latents cost together."),
        ("video_a_frame", {_VIDEO: "ops.mean(frame)"}, "*a video* is the mean over its frames. Nats a video is asked "
         "for, the sum over the frames that are not given."),
        ("video_all", {_VIDEO: "ops.mean(ops.sum(each, axis=(1, 2)))"}, "*a video* counts the frames that are given, "
         "too."),
        ("videos_added", {_VIDEO: "ops.sum(frame)"}, "*a video* is the sum over all videos. It is a mean of them."),
    ],
)  # fmt: skip


# ---- 2

GAP = Number(
    "price_of_the_future", "By hand: what does it cost not to see the future?", points=3, minutes=25, difficulty=3,
    section="A sequence whose $p(x)$ is known", aims=(1,),
    importance=2, value="0.5 - 0.5 * log(1.5)",
    rtol=4e-3, because="the number is 0.29727; 0.4 % leave room for three digits.",
    hints=r"""
        The bound lies below $\log p(x)$ by $\mathrm{KL}\big(q(z|x)\,\|\,p(z|x)\big)$, on average over $x$. Given $z_1$
        and $x_2$, $q(z_2|z_1, x_2)$ is right. So only $z_1$ is left: $\mathrm{KL}\big(p(z_1|x_1)\,\|\,p(z_1|x_1,
        x_2)\big)$.

        $p(z_1|x_1) = \mathcal N(m, v)$, where precisions add up: $1/v = 1 + 1/r^2$, so $v = 0.2$. Given $z_1$, $x_2$
        is normal around it with variance $c = s^2 + r^2 = 0.4$. So $p(z_1|x_1, x_2)$ has the precision $1/v + 1/c$, and
        a mean that is moved by $\frac{v}{v + c}(x_2 - m)$.

        $x_2 - m$ has the variance $v + c$. Put it all into $\frac12\big(\log\frac{v'}{v} + \frac{v + d^2}{v'} - 1
        \big)$, with $d$ the move and its mean square: $\frac vc - \frac12\log\big(1 + \frac vc\big)$ is left.
    """,
    mistakes=[
        ("other_direction", "0.5 * log(1.5)", r"this is $\mathrm{KL}\big(p(z_1|x_1, x_2)\,\|\,p(z_1|x_1)\big)$ on "
         "average, what the second frame says about $z_1$. The bound loses the other one, of the encoder's "
         r"$p(z_1|x_1)$ from what is right, and that is more."),
        ("mean_not_moved", "0.5 * (log(2 / 3) + 1.5 - 1)", "the two means are taken to be the same. The second frame "
         "moves the mean, this way or that; the square does not vanish on average."),
        ("log_sign", "0.5 + 0.5 * log(1.5)", r"the logarithm has the wrong sign: $\log\frac{v'}{v}$ is negative, "
         "since a posterior that sees more is narrower."),
        ("no_logarithm", "0.5", "the logarithm of the two variances is missing."),
        ("not_halved", "1 - log(1.5)", "this is twice the number: the ½ before the bracket is lost."),
        ("not_halved", "1 - log(1.5)", "the price is counted for both factors. The second one is right, given $z_1$, "
         "and costs nothing."),
        ("move_alone", "0.25", "this is the price of the mean's move alone. The variances differ, too."),
        ("without_drift", "0.8 - 0.5 * log(1.8)", "you took $c = r^2$: between the frames the dot drifts, and so the "
         "second frame says less about $z_1$."),
        ("without_blur", "4 / 3 - 0.5 * log(7 / 3)", "you took $c = s^2$: the second frame shows $z_2$ blurred, and "
         r"$x_2$ is $s^2 + r^2$ away from $z_1$."),
        ("prior_variance", "2.5 - 0.5 * log(3.5)", "you took $v = 1$, the variance of $z_1$ before anything was seen. "
         "$x_1$ has been seen: $1/v = 1 + 1/r^2$."),
        ("deviation", "0.2 / 0.65 - 0.5 * log(1 + 0.2 / 0.65)", "0.25 is $r^2$ already in the second frame: no root "
         "is to be taken."),
        ("bits", "(0.5 - 0.5 * log(1.5)) / log(2)", "these are bits; nats are asked for."),
        # 0.4291 against 0.4289: too near to tell apart, and both are said
        ("bits", "1 / 17 / 0.085 - 0.5 * log(1 + 1 / 17 / 0.085)", "0.15 and 0.25 are $s^2$ and $r^2$, "
         "variances already: they are not to be squared."),
        ("nothing", "0", "each factor is exact, given the frames up to its own. But $p(z_1|x_1, x_2)$ has seen one "
         "more, and that is the posterior."),
        ("sign", "-0.5 + 0.5 * log(1.5)", "the size is right, the sign is not: asked for is by how much the bound lies "
         "*below*, a positive number."),
        ("a_frame", "0.25 - 0.25 * log(1.5)", "this is half of the number: a mean over the two frames, or a ½ too "
         "many. With the mean's "
         r"move the bracket is $2v/c - \log(1 + v/c)$, and the bound is that of both frames."),
    ],
)  # fmt: skip


# ---- 3


def _decoders(rng):
    for N, T, F, H, D in (3, 4, 2, 3, 5), (2, 5, 4, 3, 6):
        weights = dict(kernel=(F, H), recurrent=(H, H), bias=(H,), out_kernel=(H, D), out_bias=(D,))
        yield dict(event_shape=(T, D), units=H, features=rng.normal(size=(N, T, F)), x=rng.random(size=(N, T, D)),
                   **{name: 0.8 * rng.normal(size=shape) for name, shape in weights.items()},
                   log_scale=rng.uniform(-1.5, -0.5))  # fmt: skip


_PAST = "past = ops.concatenate([ops.zeros_like(features[:, :1]), features[:, :-1]], axis=1)"
_STATE = "s = ops.tanh(ops.matmul(past[:, t], kernel) + ops.matmul(s, recurrent) + bias)"
_LOOP = f"{_STATE}\n    states.append(s)"
_MEAN = "mean = ops.sigmoid(ops.matmul(ops.stack(states, axis=1), out_kernel) + out_bias)"

DECODER = DistributionLayer(
    "NextFrame", "A likelihood that sees the past alone", points=5, minutes=30, difficulty=2,
    section="A network that carries a state", aims=(2,),
    weights="kernel[F,H], recurrent[H,H], bias[H], out_kernel[H,D], out_bias[D], log_scale",
    draw=_decoders,
    answer=f"""
        {_PAST}
        s, states = ops.matmul(0 * past[:, 0], kernel), []
        for t in range(event_shape[0]):
            {_STATE}
            states.append(s)
        {_MEAN}
        scale = ops.exp(log_scale)
        return mean, scale, -0.5 * (LOG_2PI + ((x - mean) / scale) ** 2) - ops.log(scale)
    """,
    parts={"shapes": 0.5, "log_prob": 1, "mean": 1, "sample": 0.5, "gradients": 1, "model": 0.5, "config": 0.5},
    hints=r"""
        Six times `self.add_weight(shape=..., name=...)` in `build`, in the order of the docstring; `shape=()` for the
        last. `input_shape` is (N, T, F).

        `call`: shift the frames by one, `ops.concatenate([ops.zeros_like(h[:, :1]), h[:, :-1]], axis=1)`. Then a loop
        over the T frames, in Python, since T is known: $s_t = \tanh(h_{t-1} W + s_{t-1} U + b)$, from $s = 0$.
        `ops.stack(states, axis=1)` puts the states together.

        `tfd.Independent(tfd.Normal(mean, scale), reinterpreted_batch_ndims=2)`, where
        `scale = ops.exp(self.log_scale)` is one number, and the mean has gone through `ops.sigmoid`.
    """,
    mistakes=[
        ("sees_itself", {_PAST: "past = features"}, "frame $t$ is given to the state that describes it. In training "
         "the answer is then in the question: shift the frames by one."),
        ("sees_the_future", {_PAST: "past = ops.concatenate([features[:, 1:], ops.zeros_like(features[:, :1])], "
         "axis=1)"}, "the frames are shifted the wrong way: state $t$ is given frame $t + 1$."),
        ("rolled", {_PAST: "past = ops.roll(features, 1, axis=1)"}, "the frames are shifted around: the first state is "
         "given the *last* frame. Nothing comes before the first; put zeros there."),
        ("shifted_twice", {_PAST: "past = ops.concatenate([ops.zeros_like(features[:, :2]), features[:, :-2]], "
         "axis=1)"}, "the frames are shifted by two: state $t$ should be given frame $t - 1$."),
        ("first_repeated", {"ops.zeros_like(features[:, :1]), ": "features[:, :1], "}, "before the first frame stands "
         "the first frame itself, so that it sees itself. Put zeros there."),
        ("forgets", {" + ops.matmul(s, recurrent)": ""}, "the state before is not used: each state knows one frame "
         "alone."),
        ("state_before", {_LOOP: f"states.append(s)\n    {_STATE}"}, "frame $t$ is described by the state *before* it "
         "has read $h_{t-1}$. Compute the state, then store it."),
        ("state_before", {_PAST: "past = features", _LOOP: f"states.append(s)\n    {_STATE}"}, "the first frame is "
         r"described by a state of 0. By the formula it has been through one step: $s_0 = \tanh(b)$."),
        ("no_tanh", {"s = ops.tanh(ops.matmul(past[:, t], kernel) + ops.matmul(s, recurrent) + bias)": "s = "
         "ops.matmul(past[:, t], kernel) + ops.matmul(s, recurrent) + bias"}, "the state has no tanh. Without it "
         "states may grow without limit."),
        ("bias_outside", {"+ bias)": ") + bias"}, "$b$ is added after the tanh. It belongs inside."),
        ("no_bias", {" + ops.matmul(s, recurrent) + bias": " + ops.matmul(s, recurrent)"}, "$b$ is missing in the "
         "state, within the tanh."),
        ("no_sigmoid", {"ops.sigmoid(ops.matmul(ops.stack(states, axis=1), out_kernel) + out_bias)":
         "ops.matmul(ops.stack(states, axis=1), out_kernel) + out_bias"}, "the mean does not go through a sigmoid: "
         "grey values are between 0 and 1."),
        ("log_scale_for_scale", {"scale = ops.exp(log_scale)": "scale = log_scale"}, r"$\log\sigma$ stands where "
         r"$\sigma$ belongs, and may be negative: `ops.exp`."),
        ("log_scale_for_scale", {"scale = ops.exp(log_scale)": "scale = ops.abs(log_scale)"}, r"$\log\sigma$ stands "
         r"where $\sigma$ belongs: `ops.exp`."),
        ("variance_for_scale", {"scale = ops.exp(log_scale)": "scale = ops.exp(log_scale / 2)"}, r"the weight is "
         r"$\log\sigma$, not $\log\sigma^2$: the standard deviation is `ops.exp(self.log_scale)`."),
        ("squared_scale", {"scale = ops.exp(log_scale)": "scale = ops.exp(2 * log_scale)"}, r"$\sigma^2$ stands where "
         r"`tfd.Normal` takes $\sigma$."),
    ],
)  # fmt: skip


# ---- 4


def _errors(rng):
    for n, N, k in (5, 3, 2), (6, 4, 3), (4, 3, 4), (5, 2, 1):
        yield dict(error=np.exp(rng.normal(-3, 0.7, size=(n, N))), k=k)


def _many_errors(rng):
    """So many that no float holds the number of choices."""
    yield dict(error=np.exp(rng.normal(-3, 0.7, size=(2400, 2))), k=1200)


_WEIGHTS = "weights = k / n * np.cumprod(np.append(1.0, (n - k - i) / (n - 1.0 - i)))"
_SMALLEST = 'smallest = ops.sum(ops.cast(weights[:, None], "float32") * ops.sort(error, axis=0), axis=0)'
_DB = "-10 * ops.log10(ops.mean(smallest))"

BEST = Function(
    "best_of_k", "The best of k, from all that were drawn", points=4, minutes=25, difficulty=2, importance=2,
    section="How good is a future?", aims=(5,),
    takes="error[n,N], k", returns="smallest, psnr", axes={"n": "draws", "N": "videos"},
    draw={None: _errors, "many": _many_errors}, parts={"smallest": 2, "psnr": 1, "many": 1},
    answer=f"""
        n = error.shape[0]
        i = np.arange(n - 1)
        {_WEIGHTS}  # of the i-th smallest
        {_SMALLEST}
        return smallest, {_DB}
    """,
    hints=r"""
        Sort the errors of a video, $e_0 \le e_1 \le \dots \le e_{n-1}$. In how many of the $\binom nk$ choices of $k$
        draws is $e_i$ the smallest? The other $k - 1$ are among the $n - 1 - i$ that are larger.

        So the weight of $e_i$ is $w_i = \binom{n-1-i}{k-1} / \binom nk$, and $\sum_i w_i = 1$. `math.comb` counts
        exactly, and for the part *many* the division has to come before a float does.

        Without any large number: $w_0 = k/n$, and $w_{i+1} = w_i \frac{n - k - i}{n - 1 - i}$. That is `np.cumprod`.
        PSNR, for values from 0 to 1, is $-10 \log_{10}$ of the *mean* error.
    """,
    mistakes=[
        ("one_fewer", {_WEIGHTS: "k = k - 1\nweights = k / n * np.cumprod(np.append(1.0, (n - k - i) / (n - 1.0 - "
         "i)))"}, "this is the best of $k - 1$. Above $e_i$, $k - 1$ others are chosen: $\\binom{n-1-i}{k-1}$ of "
         "$\\binom nk$ choices."),
        ("best_of_all", {_SMALLEST: "smallest = ops.min(error, axis=0)"}, "this is the best of all $n$. Asked for is "
         "that of $k$ of them, the mean over all choices."),
        ("first_k", {_SMALLEST: "smallest = ops.min(error[:k], axis=0)"}, "these are the first $k$ draws, one choice "
         "of "
         "many. The mean over all choices is the same number with far less noise."),
        ("kth", {_SMALLEST: "smallest = ops.sort(error, axis=0)[k - 1]"}, "this is the $k$-th smallest of all draws. "
         "Of $k$ draws the *smallest* is asked for."),
        ("mean_of_best", {_SMALLEST: "smallest = ops.mean(ops.sort(error, axis=0)[:k], axis=0)"}, "this is the mean of "
         "the $k$ smallest: they have been chosen by the truth. Choose $k$ at random; then take the smallest."),
        ("mean_of_all", {_SMALLEST: "smallest = ops.mean(error, axis=0)"}, "this is the mean of all draws, the best "
         "of 1."),
        ("mean_of_k", {_SMALLEST: "smallest = ops.mean(error[:k], axis=0)"}, "this is the mean of the first $k$ draws. "
         "The smallest of $k$ is asked for, on average."),
        ("ranks_from_one", {_WEIGHTS: "weights = k / (n - k + 1) * np.cumprod(np.append(1.0, (n - k + 1 - i) / "
         "(n - i)))"}, "your weights add up to more than 1. Above the $i$-th smallest, "
         "counted from 0, are $n - 1 - i$ others, from which $k - 1$ are chosen."),
        ("all_k_above", {_WEIGHTS: "weights = (n - k) / n * np.cumprod(np.append(1.0, (n - 1.0 - i - k) / (n - 1 "
         "- i)))"}, "your weights count the choices in which all $k$ draws are larger. The smallest "
         "is one of the $k$: the others are $k - 1$."),
        ("one_more_left", {_WEIGHTS: "weights = k / n * np.cumprod(np.append(1.0, (n - k - i) / (n - 0.0 - i)))"},
         "each weight follows from the one before by a factor, whose denominator is one too large: after the $i$-th "
         "draw there are $n - 1 - i$."),
        ("with_replacement", {_WEIGHTS: "weights = (1 - np.arange(n) / n) ** k - (1 - np.arange(1, n + 1) / n) ** k"},
         "draws are chosen here with replacement, so that one may come twice. Then the best of $n$ would be worse than "
         r"the best of all. Choose different ones: $\binom nk$ choices."),
        ("largest", {"ops.sort(error, axis=0)": "ops.flip(ops.sort(error, axis=0), axis=0)"}, "this is the *largest* "
         "error of $k$, the worst future."),
        ("not_sorted", {"ops.sort(error, axis=0)": "error"}, "the weights belong to the draws in the order of their "
         "errors: sort first."),
        ("sorted_videos", {"ops.sort(error, axis=0)": "ops.sort(error, axis=1)"}, "the errors are sorted over the "
         "videos. Sort the draws of each video."),
        ("mean_of_logarithms", {_DB: "-10 * ops.mean(ops.log10(smallest))"}, "the PSNR of each video is averaged. "
         "Asked for is that of the mean error, as in the lesson. Both are in use; they differ, and must not be "
         "mixed."),
        ("natural_logarithm", {_DB: "-10 * ops.log(ops.mean(smallest))"}, "a decibel has the logarithm to base 10."),
        ("amplitude", {_DB: "-20 * ops.log10(ops.mean(smallest))"}, "20 is for amplitudes. A mean *square* error is a "
         "power: 10."),
        ("no_deci", {_DB: "-ops.log10(ops.mean(smallest))"}, "these are bels. A decibel is a tenth: times 10."),
        ("range_of_bytes", {_DB: "-10 * ops.log10(ops.mean(smallest) / 255**2)"}, "you took values from 0 to 255. Ours "
         "go from 0 to 1."),
        ("db_sign", {_DB: "10 * ops.log10(ops.mean(smallest))"}, "the PSNR has the wrong sign: a smaller error is more "
         "decibels."),
        ("largest_db", {_DB: "-10 * ops.log10(ops.min(smallest))"}, "this is the PSNR of the best *video*. Take the "
         "mean over the videos."),
        ("range_two", {_DB: "10 * ops.log10(4 / ops.mean(smallest))"}, "you took values from $-1$ to 1, a range of 2. "
         "Ours go from 0 to 1: six decibels less."),
        ("root", {_DB: "-10 * ops.log10(ops.sqrt(ops.mean(smallest)))"}, "a root is taken of the mean square error "
         "first: half of the decibels are lost."),
    ],
)  # fmt: skip


# ---- 5

SIGMA = Number(
    "lost_by_beta", "By hand: what a β costs", points=2, minutes=12, difficulty=2,
    section="The σ in a loss that has none", aims=(4,),
    value="128 * (log(0.128 / 0.02) + 0.02 / 0.128 - 1)",
    hints=r"""
        $\sigma^2 = \beta D / 2$, with $D = 256$: which $\sigma^2$ is that?

        A frame's reconstruction is $-\frac D2\log(2\pi\sigma^2) - \frac{D \cdot \mathrm{MSE}}{2\sigma^2}$. The best
        $\sigma^2$ is the MSE itself, and then the second term is $-\frac D2$. The KL is the same on both sides.

        $\frac D2\big(\log\frac{\sigma^2}{\mathrm{MSE}} + \frac{\mathrm{MSE}}{\sigma^2} - 1\big)$, with $\sigma^2 =
        0.128$.
    """,
    mistakes=[
        ("not_halved", "128 * (log(0.256 / 0.02) + 0.02 / 0.256 - 1)", r"you took $\sigma^2 = \beta D$. In "
         r"$\|x - \mu\|^2 / 2\sigma^2$ there is a 2."),
        ("no_pixels", "128 * (log(0.0005 / 0.02) + 0.02 / 0.0005 - 1)", r"you took $\sigma^2 = \beta / 2$: the loss "
         "has a *mean* over pixels, the density a sum, so there is a $D$ as well."),
        ("beta_is_sigma", "128 * (log(0.001 / 0.02) + 0.02 / 0.001 - 1)", r"you took $\sigma^2 = \beta$. Compare the "
         r"two lines of the lesson: $\sigma^2 = \beta D / 2$."),
        ("deviation", "128 * (log(0.128**0.5 / 0.02) + 0.02 / 0.128**0.5 - 1)", r"you took $\sigma$ for "
         r"$\sigma^2$."),
        ("logarithm_alone", "128 * log(0.128 / 0.02)", r"only the logarithms are compared. With the large $\sigma$ the "
         "squares cost less, and that is to be counted."),
        ("a_pixel", "0.5 * (log(0.128 / 0.02) + 0.02 / 0.128 - 1)", "these are nats a pixel. A frame has 256."),
        ("no_half", "256 * (log(0.128 / 0.02) + 0.02 / 0.128 - 1)", "this is twice the number: the ½ before "
         r"$\log\sigma^2$ is lost."),
        ("sign", "-128 * (log(0.128 / 0.02) + 0.02 / 0.128 - 1)", "the size is right, the sign is not: the bound "
         "*gains*."),
        ("one_row", "8 * (log(0.128 / 0.02) + 0.02 / 0.128 - 1)", "these are nats of 16 pixels. A frame has 16 rows of "
         "them."),
        ("one_row", "128 * (log(0.008 / 0.02) + 0.02 / 0.008 - 1)", r"you took $\sigma^2 = 16\,\beta / 2$. A frame has "
         "256 pixels."),
        ("turned", "128 * (log(0.02 / 0.128) + 0.128 / 0.02 - 1)", r"the two $\sigma^2$ have changed places: the "
        r"squares "
         "are 0.02 with both of them."),
        ("with_kl", "128 * (log(0.128 / 0.02) + 0.02 / 0.128 - 1) - 9", "the KL is subtracted. It is the same before "
         "and after, and drops out."),
        ("with_kl", "128 * (log(0.128 / 0.02) + 0.02 / 0.128 - 1) + 9", "the KL is added. It is the same before and "
         "after, and drops out."),
        ("bits", "128 * (log(0.128 / 0.02) + 0.02 / 0.128 - 1) / log(2)", "these are bits; nats are asked for."),
        ("squares_alone", "128 * (1 - 0.02 / 0.128)", r"only the squares are compared. $\frac D2\log\sigma^2$ is what "
         "SVG's loss does not count."),
        ("no_one", "128 * (log(0.128 / 0.02) + 0.02 / 0.128)", r"with the best $\sigma$ the squares cost $\frac D2$; "
         "that is to be subtracted."),
    ],
)  # fmt: skip


# ---- 6


def _reports(rng):
    for N, T, D, L, known in (4, 6, 5, 3, 2), (3, 7, 4, 2, 3), (5, 5, 6, 4, 2):
        x = rng.random(size=(N, T, D))
        fit = np.linspace(0.6, 0.15, T)[:, None]  # frames that are given are described worse
        latents = N, T, L
        yield dict(x=x, guess=x + fit * rng.normal(size=x.shape), mean=rng.normal(size=latents),
                   log_variance=rng.uniform(-2, 0, size=latents), prior_mean=rng.normal(size=latents),
                   prior_log_variance=rng.uniform(-1, 1, size=latents), known=known)  # fmt: skip


_COUNTED = "counted = np.float32(np.arange(T) >= known)  # 1. frames that count, [T]"
_ALL_BUT_ONE = "counted = np.float32(np.arange(T) >= 1)  # 1. frames that count, [T]"
_ONLY_ONE_LEFT_OUT = (
    "still broken: only the first frame is left out. All that are `known` are given, and are not to be described."
)
_VARIANCE = "variance = ops.sum(counted * squares) / (N * D * np.sum(counted))  # 2. the optimal σ²"
_LOG_P = "log_p = -0.5 * (D * (ops.log(variance) + np.log(2 * np.pi)) + squares / variance)  # 3. [N, T]"
_KLS = "ops.exp(log_variance - prior_log_variance) + difference**2 * ops.exp(-prior_log_variance)  # 4."
_RETURNED = "return ops.sum(counted * (log_p - kl)) / (N * np.sum(counted))  # 5. nats a frame"
_BY_NUMBER = {"(N * D * np.sum(counted))": "(N * D * (T - known))"}
_BY_SLICE = {_VARIANCE: "variance = ops.mean(squares[:, known:]) / D  # 2. the optimal σ²"}
_FRAMES_BY_NUMBER = {"/ (N * np.sum(counted))  # 5.": "/ (N * (T - known))  # 5."}
_BY_HAND = [  # lines 2 and 5 mended without `counted`, which is wrong still
    *(_BY_NUMBER, _BY_SLICE, _FRAMES_BY_NUMBER),
    *({**two, **_FRAMES_BY_NUMBER} for two in (_BY_NUMBER, _BY_SLICE)),
]

MENDED = Mend(
    "mended_bound", "Five errors in a report on videos", points=5, minutes=20, difficulty=2, draw=_reports,
    section="When it goes wrong", aims=(5,),
    takes="x[N,T,D], guess[N,T,D], mean[N,T,L], log_variance[N,T,L], prior_mean[N,T,L], prior_log_variance[N,T,L], "
    "known",
    answer=f"""
        N, T, D = x.shape
        {_COUNTED}
        squares = ops.sum((x - guess) ** 2, axis=2)  # [N, T]
        {_VARIANCE}
        {_LOG_P}

        difference = mean - prior_mean
        ratios = {_KLS}
        kl = 0.5 * ops.sum(ratios - 1 + prior_log_variance - log_variance, axis=2)  # [N, T]
        {_RETURNED}
    """,
    errors={
        "known": (
            {_COUNTED: _ALL_BUT_ONE},
            _ONLY_ONE_LEFT_OUT),
        "sigma": (
            {_VARIANCE: "variance = squares / D  # 2. the optimal σ²"},
            r"still broken: each test frame has a $\sigma$ that was computed from itself. Nobody knows it before the "
            r"frame is seen; the optimal $\sigma$ is one number for all."),
        "pixels": (
            {_LOG_P: "log_p = -0.5 * (ops.log(variance) + np.log(2 * np.pi) + squares / D / variance)  # 3. [N, T]"},
            "still broken: the log-density is a *mean* over the pixels, and the KL a sum over the latents. Then one "
            "nat of KL weighs D times as much: that is a β."),
        "direction": (
            {_KLS: "ops.exp(prior_log_variance - log_variance) + difference**2 * ops.exp(-log_variance)  # 4.",
             "- 1 + prior_log_variance - log_variance, axis": "- 1 - prior_log_variance + log_variance, axis"},
            r"still broken: this is $\mathrm{KL}(p\|q)$. The bound has $\mathrm{KL}(q\|p)$: divide by the prior's "
            "variances."),
        "frames": (
            {_RETURNED: "return ops.sum(counted * (log_p - kl)) / (N * T)  # 5. nats a frame"},
            "still broken: the sum over the frames that count is divided by the number of *all* frames. So a bound "
            "gets better by giving more frames, if it is negative."),
    },
    slips=[
        *(("known", "first", {_COUNTED: _ALL_BUT_ONE, **mended}, _ONLY_ONE_LEFT_OUT) for mended in _BY_HAND),
        ("known", "last", {"np.arange(T) >= known": "np.arange(T) > known"}, "now the first frame that is to be "
         "described is left out, too: it is frame `known`, counted from 0."),
        ("known", "one_more", {"np.arange(T) >= known": "np.arange(T) >= known - 1"}, "now the last frame that is "
         "given counts, too. The first that is to be described is frame `known`, counted from 0."),
        ("known", "given", {"np.arange(T) >= known": "np.arange(T) < known"}, "now the frames that are given count, "
         "and no others."),
        ("known", "all", {"np.arange(T) >= known": "np.arange(T) >= 0"}, "now all frames count, those too that are "
         "given."),
        ("sigma", "all_frames", {_VARIANCE: "variance = ops.mean(squares) / D  # 2. the optimal σ²"}, r"now $\sigma^2$ "
         "is taken over all frames, those too that are not described."),
        ("sigma", "no_pixels", {"/ (N * D * np.sum(counted))  # 2.": "/ (N * np.sum(counted))  # 2."}, r"now "
         r"$\sigma^2$ is a sum over the pixels. It is the mean square error of *one* pixel."),
        ("sigma", "all_counted", {"(N * D * np.sum(counted))": "(N * D * T)"}, "now the squares of the frames that "
         "count are divided by the number of *all* frames."),
        ("sigma", "root", {_VARIANCE: _VARIANCE.replace("variance = ", "variance = ops.sqrt(").replace("  # 2", ")  "
        "# 2")},
         r"now `variance` is $\sigma$. Two lines below it is taken for $\sigma^2$."),
        ("sigma", "by_video", {_VARIANCE: "variance = ops.sum(counted * squares, axis=1, keepdims=True) / (D * "
         "np.sum(counted))  # 2. the optimal σ²"}, r"now each video has a $\sigma$ that was computed from itself. "
         "Nobody knows it before the video is seen; it is one number for all."),
        ("sigma", "by_frame", {_VARIANCE: "variance = ops.mean(squares, axis=0) / D  # 2. the optimal σ²"}, "now each "
         r"time step has a $\sigma$ of its own. That would be another model; here it is one number for all."),
        ("pixels", "constant", {"D * (ops.log(variance) + np.log(2 * np.pi))": "D * ops.log(variance)"}, r"now "
         r"$\frac D2\log 2\pi$ is missing."),
        ("pixels", "constant_once", {"D * (ops.log(variance) + np.log(2 * np.pi))": "D * ops.log(variance) + "
        "np.log(2 * "
         "np.pi)"}, r"now $\log 2\pi$ counts once. Each pixel has one: times D."),
        ("pixels", "squares_twice", {"squares / variance": "D * squares / variance"}, "now the squares are multiplied "
         "by D. They are summed over the pixels already; each pixel has a logarithm, and those are alike: D of them."),
        ("pixels", "squares", {"squares / variance": "squares / D / variance"}, "now the logarithms are summed over "
        "the "
         "pixels, and the squares are averaged still."),
        ("pixels", "one_logarithm", {"D * (ops.log(variance) + np.log(2 * np.pi))": "ops.log(variance) + np.log(2 * "
         "np.pi)"}, "now the "
         "squares are summed over the pixels, and the logarithm counts once. Each pixel has one: times D."),
        ("direction", "no_variance", {_KLS: "ops.exp(log_variance - prior_log_variance) + difference**2  # 4."},
         "now the difference of the means is not divided by the prior's variance."),
        ("direction", "logarithms_left", {"- 1 + prior_log_variance - log_variance, axis": "- 1 - prior_log_variance + "
         "log_variance, axis"}, "half mended: the ratios are right now, and the logarithms in the line after them "
         "still "
         "have the other sign."),
        ("direction", "ratios_left", {_KLS: "ops.exp(prior_log_variance - log_variance) + difference**2 * "
         "ops.exp(-log_variance)  # 4."}, "half mended: the logarithms are right now, and the ratios in the line "
         "before "
         "them are still the other way round."),
        ("direction", "means_left", {"difference**2 * ops.exp(-prior_log_variance)": "difference**2 * "
         "ops.exp(-log_variance)"}, "half mended: the difference of the means is divided by the variance of $q$ "
         "still."),
        ("direction", "standard", {_KLS: "ops.exp(log_variance) + mean**2  # 4.", "- 1 + prior_log_variance - "
         "log_variance, axis": "- 1 - log_variance, axis"}, r"now the prior is $\mathcal N(0, I)$. This one is "
         "learned."),
        ("frames", "videos", {"/ (N * np.sum(counted))  # 5.": "/ N  # 5."}, "now these are nats a video. A frame is "
         "asked for."),
        ("frames", "all_but_one", {"/ (N * np.sum(counted))  # 5.": "/ (N * (T - 1))  # 5."}, "now it is divided by "
         "all frames but one. Those that count are `np.sum(counted)`."),
        ("frames", "pixels", {"/ (N * np.sum(counted))  # 5.": "/ (N * D * np.sum(counted))  # 5."}, "now these are "
        "nats "
         "a pixel. A frame is asked for."),
        ("frames", "all_videos", {"/ (N * np.sum(counted))  # 5.": "/ np.sum(counted)  # 5."}, "now it is not divided "
         "by the number of videos."),
        (None, "sign", {"return ops.sum(counted": "return -ops.sum(counted"}, "the sign was right: the bound is asked "
         "for, not the loss."),
        (None, "all_paid", {"counted * (log_p - kl)": "(counted * log_p - kl)"}, "now the KL of frames is paid that do "
         "not count. Nobody describes those that are given, and no code is sent for them."),
        (None, "added", {"(log_p - kl)": "(log_p + kl)"}, "now the KL is added. The bound pays for it."),
        (None, "half", {"kl = 0.5 * ops.sum": "kl = ops.sum"}, "the ½ of the KL is gone, and was right."),
    ],
    hints=r"""
        Read it as an account: which frames are described? By which density? At which price? Per what?

        May a test frame choose its own $\sigma$? Are pixels and latents both summed? By whose variance does a KL
        divide?

        There is one error in each of the lines 1 to 5.
    """,
)  # fmt: skip


# ---- 7


def _misjudged(rng):
    """Three models of two directions, whose futures scatter too much or too little, judged by few and by many draws."""
    problems = []
    for n in rng.permutation([1, int(rng.integers(3, 5)), int(rng.integers(250, 350))]):
        scale = rng.uniform(0.5, 2.0)
        problems.append({"x": scale * rng.normal(size=(4000, 2)), "n": int(n), "scale": scale})
    return problems


def _best_of(n, width):
    r"""Returns E[minₖ |x - wεₖ|²], x and ε from N(0, I) in two directions: ∫ p(x) ∫ P(|x - wε| > r)ⁿ 2r dr dx."""
    from scipy.special import chndtr

    if width < 1e-3:  # finer than the grid below, and less than 1 % from nothing
        return 2.0
    half, weights = np.polynomial.laguerre.laggauss(40)  # |x|²/2, whose density is exp(-|x|²/2)
    likely = weights > 1e-12
    centre = 2 * half[likely, None] / width**2
    r = (np.sqrt(centre.max()) + 9) * np.linspace(0, 1, 1500) ** 2  # in units of w; dense where many draws get
    return width**2 * weights[likely] @ np.trapezoid(2 * r * (1 - chndtr(r**2, 2, centre)) ** n, r, axis=1)


def _flattered(rng, x, n, scale, best, likely):
    """By how much the chosen widths are worse than the best ones."""
    from scipy.optimize import minimize_scalar

    least = minimize_scalar(lambda w: _best_of(n, w), bounds=(0, 2), method="bounded", options={"xatol": 0.01}).fun
    error = _best_of(n, best / scale)
    lost = 2 * (np.log(likely / scale) + 0.5 * (scale / likely) ** 2 - 0.5) if likely > 0 else np.inf
    return {"excess": max(0.0, 100 * (error / least - 1)), "lost": lost, "best": best / scale,
            "likely": likely / scale, "scale": scale}  # fmt: skip


_SIMULATED = """
scale = np.sqrt(np.mean(x**2))  # of the likeliest: the truth's own
rng = np.random.default_rng(0)
e = rng.normal(size=(n, *x.shape))
widths = scale * np.linspace(0, 1.8, 37)
errors = [np.mean(np.min(np.sum((x - w * e) ** 2, axis=-1), axis=0)) for w in widths]
return {"best": widths[np.argmin(errors)], "likely": scale}
"""

WIDTH = Experiment(
    "flatter", "An experiment to design: futures that win", points=4, minutes=30, difficulty=3, importance=2,
    section="How good is a future?", aims=(3, 5),
    takes="x[M,D], n", draw=_misjudged, run=_flattered, settings={"best": (0.0, 20.0), "likely": (0.0, 20.0)},
    goals={
        "likely": AtMost(0.01, "nats", digits=3, of="lost"),
        "best of n": AtMost(6.0, "%", digits=1, of="excess"),
    },
    parts={"likely": 1, "best of n": 3},
    answer=_SIMULATED,
    hints=r"""
        For *likely*: which $w$ makes $\sum \log \mathcal N(x; 0, w^2)$ largest? The data say so.

        For *best*: try it out. Draw $n$ futures $w\varepsilon$ for each of many $x$, take the smallest square error of
        the $n$, and average. Do so for many $w$, with the *same* $\varepsilon$ for all of them, so that differences
        are not noise.

        Take the $w$ with the smallest mean. It depends on $n$: mind `np.argmin` over a grid from 0 to twice the
        truth's spread, and the memory, `[n, videos, 2]`.
    """,
    mistakes=[
        ("best of n", "honest", "dict(best=np.sqrt(np.mean(x**2)), likely=np.sqrt(np.mean(x**2)))",
         lambda best, likely, **_: abs(best - likely) < 1e-6, "In at least one problem you gave the likeliest width "
         "for both. The best of $n$ is won by another one: by a width of 0 for $n = 1$, where the mean of all futures "
         "is nearest, by a narrower one for few draws, by a wider one for many."),
        ("best of n", "same_for_all", "dict(best=0.7 * np.sqrt(np.mean(x**2)), likely=np.sqrt(np.mean(x**2)))",
         lambda best, **_: 0.45 < best < 1.6, "In at least one problem the width is too far off. It depends on $n$: "
         "narrower than the truth for few draws, wider for many. Try each $n$ by itself."),
        ("best of n", "too_narrow", "dict(best=0.0, likely=np.sqrt(np.mean(x**2)))", lambda best, **_: best <= 0.45,
         "In at least one problem your futures scatter too little for so many draws; or, for a single one, at all: "
         "there the mean of all futures is nearest."),
        ("best of n", "too_wide", "dict(best=3 * np.sqrt(np.mean(x**2)), likely=np.sqrt(np.mean(x**2)))",
         lambda best, **_: best >= 1.6, "In at least one problem your futures scatter too much."),
        ("likely", "nothing", "dict(best=0.0, likely=0.0)", lambda likely, **_: likely == 0, "With a width of 0 no "
        "frame "
         "but the mean itself is possible, and the likelihood of all others is 0."),
        ("likely", "variance", "dict(best=0.0, likely=np.mean(x**2))", lambda likely, scale, **_: abs(likely / scale -
         1) < 0.08, "*likely* seems to be a variance. The width is a standard deviation."),
        ("likely", "both_directions", "dict(best=0.0, likely=np.sqrt(np.mean(np.sum(x**2, axis=1))))", lambda likely,
         **_: abs(likely - 2**0.5) < 0.03, r"*likely* is too wide by $\sqrt2$: the squares of both directions were "
         "added. Each has the same width."),
        ("likely", "as_best", "dict(best=0.0, likely=1.35 * np.sqrt(np.mean(x**2)))", lambda likely, **_: likely > 0,
         "The likelihood is largest where the width is the truth's own, the root of the mean square of `x`. It does "
         "not depend on $n$."),
    ],
    because="errors change little around the best width: by 1 to 2 % for one that is off by a tenth of the truth's "
    "spread. The truth's own misses by 7 % for 4 draws, by 37 % for 300, and by 100 % for one.",
    seconds=60.0,
)  # fmt: skip


# ---- 8

PIXELS, FRAMES, FILMS = 16, 20, 300


def _string(rng):
    """A string of 16 pixels with two waves, each of which turns and fades a little; its drift keeps it going."""
    a, drift = np.zeros((4, 4)), np.zeros(4)
    for k, period in enumerate((rng.uniform(9, 12), rng.uniform(4.5, 6))):
        angle, keep = 2 * math.pi / period, rng.uniform(0.96, 0.98)
        turn = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
        a[2 * k : 2 * k + 2, 2 * k : 2 * k + 2] = keep * np.array(turn)
        drift[2 * k : 2 * k + 2] = 1 - keep**2
    place = math.pi * np.arange(1, PIXELS + 1) / (PIXELS + 1)
    c = np.zeros((PIXELS, 4))
    c[:, 0], c[:, 2] = rng.uniform(0.8, 1.2) * np.sin(place), rng.uniform(0.5, 0.8) * np.sin(2 * place)
    return a, drift, c, 0.25


STRING = FittedDynamics(
    "fit_string", "Train a model of a film to its bound", points=5, minutes=35, difficulty=3,
    section="A sequence whose $p(x)$ is known", aims=(1, 2),
    gaps={"frames": 1.9, "time": 1.35, "velocity": 0.3, "all": 0.05},
    parts={"frames": 0.5, "time": 1, "velocity": 2, "all": 1.5},
    process=_string, shape=(FILMS, FRAMES, PIXELS), latents=4,
    because="8 runs, four seeds on each backend, on the films of one string, ended 0.007 to 0.010 nats a frame below "
    "the best. On the films of 12 strings: principal components without time 1.5 to 1.72; with a number for each that "
    "fades, 1.02 to 1.22; pixels that know nothing of each other, 7.5 to 10.4.",
    hints=r"""
        First make it return anything of the right shapes. Two principal components of all frames with $A = 0$ and a
        drift of 1 reach *frames*; what is left over, averaged over the other directions, is the noise's variance.

        The lesson's Kalman filter for vectors: $P \leftarrow A P A^\top + Q$ and $m \leftarrow A m$; then $S = C P
        C^\top + \sigma^2 I$, $K = P C^\top S^{-1}$, $\log\mathcal N(x_t; C m, S)$; then $m \leftarrow m + K(x_t - C
        m)$, $P \leftarrow (I - K C) P$. $P$ is the same for all films.

        Write it as a Keras layer with four weights that returns $\log p(x)$, in a loop over the 20 frames, by
        `ops.inv` and `ops.slogdet`. Then `compile(loss=lambda _, log_p: -log_p)` and `fit`, with Adam. Four latents:
        two start as principal components, two as small random numbers; $A$ starts at half the identity, and small
        random numbers.
    """,
)  # fmt: skip


QUESTIONS = [KL, GAP, DECODER, BEST, SIGMA, MENDED, WIDTH, STRING]
