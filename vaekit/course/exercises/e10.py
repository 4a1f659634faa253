r"""Exercise 10: calibrated decoders."""

import functools
import math

import numpy as np

from vaekit.course.observe import VALUE
from vaekit.course.questions import DistributionLayer, Experiment, Function, Mend, Number, TrainedGrey
from vaekit.course.questions.explain import Explanation
from vaekit.course.questions.question import AtMost
from vaekit.course.questions.small_digits import small_digits

TITLE = "Calibrated decoders"


# ---- 1


def _seen(nan):
    def draw(rng):
        for N, D in (4, 6), (7, 3):
            mean = rng.uniform(0.1, 0.9, size=(N, D))
            x = mean + rng.uniform(0.05, 0.5, size=(N, 1)) * rng.normal(size=(N, D)) + 0.2
            seen = 1.0 * (rng.random((N, D)) < 0.5)
            seen[np.arange(N), rng.integers(D, size=N)] = seen[rng.integers(N, size=D), np.arange(D)] = 1
            seen[0], seen[1, : D // 2] = 1, 0  # so images are not all seen alike
            seen[1, -1] = 1
            yield dict(x=np.where(seen > 0, x, np.nan if nan else 0.0), mean=mean, seen=seen)

    return draw


_ERROR, _SHARED = "ops.where(seen > 0, x - mean, 0.0)", "ops.sqrt(ops.sum(squares) / ops.sum(seen))"
_BY_IMAGE = "ops.sqrt(ops.sum(squares, axis=1) / ops.sum(seen, axis=1))"
_BY_PIXEL = "ops.sqrt(ops.sum(squares, axis=0) / ops.sum(seen, axis=0))"
_MEAN_OF_ALL = (
    "the shared σ is a mean over the images' own. Images of which more is seen count more: all errors that are seen go "
    "into one mean of squares."
)
_MEAN_OF_PIXELS = (
    "the shared σ is a mean over the pixels' own. Pixels that are seen more often count more: all errors that are seen "
    "go into one mean of squares."
)


def _all(change):
    """The same change in all three."""
    return {each: change(each) for each in (_SHARED, _BY_IMAGE, _BY_PIXEL)}


SCALES = Function(
    "best_scales", "The best σ: one for all, by image, by pixel", points=3, minutes=12,
    section="The best σ", aims=(2, 3),
    takes="x[N,D], mean[N,D], seen[N,D]", returns="shared, by image, by pixel", axes={"N": "images", "D": "pixels"},
    draw={None: _seen(False), "nan": _seen(True)}, parts={"shared": 1, "by image": 0.75, "by pixel": 0.75, "nan": 0.5},
    requires_first=False,
    answer=f"""
        squares = {_ERROR} ** 2
        shared = {_SHARED}
        by_image = {_BY_IMAGE}
        by_pixel = {_BY_PIXEL}
        return shared, by_image, by_pixel
    """,
    hints=r"""
        The lesson's $\sigma^{*2} = S/D$ is a mean of squares. Over which errors does it go here, and how many are
        there?

        One σ for all: the sum of all squares that are seen, by the number of pixels that are seen, `ops.sum(seen)`. By
        image: the same along axis 1; by pixel: along axis 0. And a root, each time.

        The part *nan*: 0 times NaN is NaN. `ops.where(seen > 0, x - mean, 0.0)` takes what is seen, without touching
        the rest.
    """,
    mistakes=[
        ("variance", _all(lambda each: each.replace("ops.sqrt", "")), r"these are $\sigma^{*2}$. An error squared "
         "cannot be a standard deviation: take the root."),
        ("holes_counted", {"ops.sum(squares) / ops.sum(seen)": "ops.mean(squares)", "ops.sum(squares, axis=1) / "
         "ops.sum(seen, axis=1)": "ops.mean(squares, axis=1)", "ops.sum(squares, axis=0) / ops.sum(seen, axis=0)":
         "ops.mean(squares, axis=0)"}, "you divided by the number of all pixels. Those that are not seen have no "
         "error, and do not count: divide by the sum of `seen`."),
        ("holes_as_errors", {f"{_ERROR} ** 2": "(x - mean) ** 2", "ops.sum(squares) / ops.sum(seen)":
         "ops.mean(squares)", "ops.sum(squares, axis=1) / ops.sum(seen, axis=1)": "ops.mean(squares, axis=1)",
         "ops.sum(squares, axis=0) / ops.sum(seen, axis=0)": "ops.mean(squares, axis=0)"}, "what is not seen counts as "
         "an error, too: whatever stands in `x` there is no grey value. Look at `seen`."),
        ("holes_as_errors", {_ERROR: "(x - mean)"}, "the squares of what is not seen are in the sums. Look at `seen` "
         "before you sum."),
        ("zero_times_nan", {_ERROR: "(seen * (x - mean))"}, "in the part *nan* nothing is left: 0 times NaN is NaN. "
         "`ops.where` takes one of two values without touching the other."),
        ("mean_of_sigmas", {_SHARED: "ops.mean(ops.sqrt(ops.sum(squares, axis=1) / ops.sum(seen, axis=1)))"},
         _MEAN_OF_ALL),
        ("mean_of_sigmas", {_SHARED: "ops.sqrt(ops.mean(ops.sum(squares, axis=1) / ops.sum(seen, axis=1)))"},
         _MEAN_OF_ALL),
        ("mean_of_sigmas", {_SHARED: "ops.sqrt(ops.mean(ops.sum(squares, axis=0) / ops.sum(seen, axis=0)))"},
         _MEAN_OF_PIXELS),
        ("mean_of_sigmas", {_SHARED: "ops.mean(ops.sqrt(ops.sum(squares, axis=0) / ops.sum(seen, axis=0)))"},
         _MEAN_OF_PIXELS),
        ("exchanged", {"return shared, by_image, by_pixel": "return shared, by_pixel, by_image"}, "by image and by "
         "pixel are exchanged. Summing over axis 1, the pixels, leaves one number for each image."),
        ("absolute", {f"{_ERROR} ** 2": f"ops.abs({_ERROR})", **_all(lambda each: each.replace("ops.sqrt", ""))},
         "this is the mean size of an error, the best scale of another distribution. For a normal one it is the root "
         "of the mean *square*."),
        ("root_of_size", {f"{_ERROR} ** 2": f"ops.abs({_ERROR})"}, "the errors are not squared. The best σ is the root "
         "of the mean of their squares."),
        ("not_divided", {"ops.sum(squares) / ops.sum(seen)": "ops.sum(squares)", "ops.sum(squares, axis=1) / "
         "ops.sum(seen, axis=1)": "ops.sum(squares, axis=1)", "ops.sum(squares, axis=0) / ops.sum(seen, axis=0)":
         "ops.sum(squares, axis=0)"}, "this is the root of the sum of squares. It is their mean that counts: divide by "
         "how many there are."),
        ("root_first", {_SHARED: "ops.sqrt(ops.sum(squares)) / ops.sum(seen)", _BY_IMAGE: "ops.sqrt(ops.sum(squares, "
         "axis=1)) / ops.sum(seen, axis=1)", _BY_PIXEL: "ops.sqrt(ops.sum(squares, axis=0)) / ops.sum(seen, axis=0)"},
         "the root is taken before the division. It is the root of the mean."),
        ("one_less", {"/ ops.sum(seen))\n": "/ (ops.sum(seen) - 1))\n"}, "you divided by one less than there are, "
         "as for a variance whose mean is estimated. Here the means are given, and the likelihood takes the mean."),
        ("centred", {f"{_ERROR} ** 2": f"({_ERROR} - ops.sum({_ERROR}) / ops.sum(seen)) ** 2 * seen"}, "the mean error "
         r"is subtracted. The decoder's errors are counted from its own $\mu$, and a mean that is off makes σ larger."),
        ("logarithm", {"return shared, by_image, by_pixel": "return ops.log(shared), ops.log(by_image), "
         "ops.log(by_pixel)"}, r"these are $\log\sigma^*$; σ is asked for."),
        ("batch_for_shared", {_SHARED: "ops.sqrt(ops.sum(squares) / x.shape[0])"}, "the sum of squares is divided by "
         "the number of images. A mean of squares goes over the pixels as well."),
    ],
)  # fmt: skip


# ---- 2


def _floored(rng):
    for (N, D), size, low in ((4, 5), 0.2, -1.5), ((3, 7), 0.05, -4.0), ((5, 3), 0.005, -5.3):
        mean = rng.uniform(0.1, 0.9, size=(N, D))
        x = mean + size * rng.uniform(0.3, 1.7, size=(N, 1)) * rng.normal(size=(N, D))
        yield dict(x=x, mean=mean, low=low + rng.uniform(-0.3, 0.3))


def _hit(rng):
    for N, D in (2, 4), (3, 3):
        x = np.where(rng.random((N, D)) < 0.5, 0.0, rng.random((N, D)))
        yield dict(x=x, mean=x, low=rng.uniform(-6, -3))


_LOG_BEST = "log_best = 0.5 * ops.log(ops.maximum(ops.mean(squares), 1e-20))  # log σ*"
_CLIP = "log_scale = low + ops.softplus(log_best - low)"
_COST = "LOG_2PI + 2 * log_scale + squares * ops.exp(-2 * log_scale)"
_THROUGH_ONE = "Through both places, or the loss and its gradient are no pair."

FLOORED = Function(
    "floored_loss", "The loss with the best σ, and a floor under it", points=4, minutes=18, difficulty=2,
    section="The best σ", aims=(2,),
    takes="x[N,D], mean[N,D], low", gradients="mean", axes={"N": "images", "D": "pixels"},
    draw={None: _floored, "hit": _hit}, parts={"value": 1.5, "gradients": 1.5, "hit": 1}, rtol=5e-4,
    atol={"gradient of mean": 0.02, None: 1e-4}, because="float32 carries seven digits. Of errors of some thousandths, "
    "differences of numbers near 1, four are left, and their gradients are as large as 100.",
    answer=f"""
        squares = (x - mean) ** 2
        {_LOG_BEST}
        {_CLIP}
        return 0.5 * ops.sum({_COST}, axis=1)
    """,
    hints=r"""
        Three steps: $\log\sigma^*$ from the mean of all squares of the batch; the soft clip; and the normal density
        with the clipped σ. No step needs an `ops.stop_gradient`.

        $\log\sigma^* = \frac12\log\mathrm{MSE}$; $\log\sigma = l + \mathrm{softplus}(\log\sigma^* - l)$; and the sum
        over pixels of $\frac12\log 2\pi + \log\sigma + \frac{(x - \mu)^2}{2\sigma^2}$.

        The part *hit*: the logarithm of 0 is $-\infty$, which the softplus forgives. Its derivative is not forgiven:
        infinity times 0 is NaN. Keep the mean square above a number that no error will ever reach, before the
        logarithm: `ops.maximum(..., 1e-20)`.
    """,
    mistakes=[
        ("not_guarded", {"ops.maximum(ops.mean(squares), 1e-20)": "ops.mean(squares)"}, "where all means are hit, the "
         r"gradient is NaN. The value survives $\log 0$ or $\sqrt 0$, the derivative does not: infinity times 0. "
         "Keep the mean square above something tiny, before the logarithm or the root.", ("gradient of mean",)),
        ("held", {_CLIP: f"{_CLIP}\nlog_scale = ops.stop_gradient(log_scale)"}, r"no gradient passes through $\sigma$. "
         "Without the floor that would do: the derivative by σ is zero at the best one. The floor moves σ away from "
         "there, and the derivative is not zero any more."),
        ("held", {_LOG_BEST: f"{_LOG_BEST}\nlog_best = ops.stop_gradient(log_best)"}, r"no gradient passes through "
         r"$\sigma^*$. Without the floor that would do: the derivative by σ is zero at the best one. The floor moves σ "
         "away from there, and the derivative is not zero any more."),
        ("stopped_in_logarithm", {"2 * log_scale + squares": "2 * ops.stop_gradient(log_scale) + squares"}, "the "
         "gradient passes through σ in the quotient, and is stopped in the logarithm. It is too small by far. "
         + _THROUGH_ONE),
        ("stopped_in_quotient", {"ops.exp(-2 * log_scale)": "ops.exp(-2 * ops.stop_gradient(log_scale))"}, "the "
         "gradient passes through σ in the logarithm, and is stopped in the quotient. It is too large. "
         + _THROUGH_ONE),
        ("variance_for_deviation", {"0.5 * ops.log(": "ops.log("}, r"$\sigma$ is the mean square itself. It is the "
         r"root: $\log\sigma^* = \frac12\log\mathrm{MSE}$."),
        ("hard_floor", {"low + ops.softplus(log_best - low)": "ops.maximum(log_best, low)"}, "this is a hard floor. "
         r"The soft one is $l + \mathrm{softplus}(\log\sigma^* - l)$, which has a slope everywhere."),
        ("no_floor", {"low + ops.softplus(log_best - low)": "log_best"}, r"there is no floor: this is "
         r"$\frac D2\log\mathrm{MSE}$ and a constant, on average."),
        ("paper", {f"0.5 * ops.sum({_COST}, axis=1)": "0 * ops.sum(squares, axis=1) + 0.5 * x.shape[1] * (LOG_2PI + 1 "
         "+ 2 * log_best)"}, r"this is $\frac D2\log\mathrm{MSE}$ and its constant, the mean over the batch, without a "
         "floor. Asked for is the loss of each image, by its own errors, with the floor."),
        ("no_low", {"low + ops.softplus(log_best - low)": "ops.softplus(log_best)"}, "`low` is not used at all. It is "
         "subtracted within the softplus, and added again after it."),
        ("low_forgotten", {"ops.softplus(log_best - low)": "ops.softplus(log_best)"}, "in the softplus `low` is "
         r"forgotten. Well above the floor, $\log\sigma$ should be $\log\sigma^*$."),
        ("low_not_added", {"low + ops.softplus(": "ops.softplus("}, "after the softplus `low` is not added again, so "
         r"that $\log\sigma$ is never below 0."),
        ("ceiling", {"low + ops.softplus(log_best - low)": "low - ops.softplus(low - log_best)"}, "this bounds σ from "
         "*above*. A floor is wanted."),
        ("variance_floored", {_CLIP: "log_scale = (low + ops.softplus(2 * log_best - low)) / 2"}, "the floor is under "
         r"$\log\sigma^2$; `low` is for $\log\sigma$."),
        ("floor_in_log_alone", {"squares * ops.exp(-2 * log_scale)": "squares * ops.exp(-2 * log_best)"}, "the "
         r"quotient has $\sigma^*$ without the floor. It is one σ, in both places."),
        ("floor_in_quotient_alone", {"2 * log_scale + squares": "2 * log_best + squares"}, "the logarithm has "
         r"$\sigma^*$ without the floor. It is one σ, in both places."),
        ("each_image", {"ops.mean(squares)": "ops.mean(squares, axis=1, keepdims=True)"}, "each image has a σ of its "
         "own. Here one is shared by the batch: the mean goes over images and pixels."),
        ("each_pixel", {"ops.mean(squares)": "ops.mean(squares, axis=0)"}, "each pixel has a σ of its own. Here one is "
         "shared: the mean goes over images and pixels."),
        ("sum_for_mean", {"ops.mean(squares)": "ops.sum(squares)"}, r"$\sigma^{*2}$ is the *sum* of the squares. It is "
         "their mean."),
        ("sum_for_mean", {"ops.mean(squares)": "ops.mean(ops.sum(squares, axis=1))"}, r"$\sigma^{*2}$ is the squared "
         "error of a whole image. It is that of a pixel: the mean goes over images and pixels."),
        ("softplus_twice", {"ops.softplus(log_best - low)": "ops.softplus(ops.softplus(log_best - low))"}, "the "
         "softplus is taken twice: there is one, above the floor."),
        ("squares_not_halved", {"squares * ops": "2 * squares * ops"}, r"the quotient is $S/\sigma^2$. A normal "
         r"density has $S/2\sigma^2$."),
        ("logarithm_halved", {"2 * log_scale +": "log_scale +"}, r"$\log\sigma$ counts by half. The ½ belongs to "
         r"$\log\sigma^2$."),
        ("squares_averaged", {"squares * ops.exp(-2 * log_scale)": "squares * ops.exp(-2 * log_scale) / x.shape[1]"},
         "the squared errors are averaged over the pixels, and the logarithms are not. Both are sums."),
        ("mean_over_pixels", None, "the loss is averaged over the pixels. The density of an image is the product over "
         "its pixels: sum."),
        ("sign", None, r"the sign is reversed: this is $\log p$. Asked for is the loss, $-\log p$."),
        ("no_constant", {"LOG_2PI + ": ""}, r"$\frac12\log 2\pi$ is missing, for each pixel."),
        ("no_logarithm", {"2 * log_scale + squares": "squares"}, r"$\log\sigma$ is missing, for each pixel. Without it "
         "a large σ costs nothing."),
        ("logarithm_once", {f"0.5 * ops.sum({_COST}, axis=1)": "log_scale + 0.5 * ops.sum(LOG_2PI + squares * "
         "ops.exp(-2 * log_scale), axis=1)"}, r"$\log\sigma$ counts once. Each of the $D$ pixels has it."),
        ("not_squared", {"ops.exp(-2 * log_scale)": "ops.exp(-log_scale)"}, r"the squares are divided by $\sigma$; a "
         r"normal density has $\sigma^2$ there."),
        ("not_halved", {f"0.5 * ops.sum({_COST}, axis=1)": f"ops.sum({_COST}, axis=1)"}, "everything is twice what it "
         r"should be: $\frac12\log 2\pi + \log\sigma + (x - \mu)^2/2\sigma^2$."),
        ("small_number", {"ops.maximum(ops.mean(squares), 1e-20)": "(ops.mean(squares) + 1e-6)"}, "a millionth is "
         "added to the mean square, the square of an error of a thousandth. Decoders come near that: take something "
         "much smaller."),
        *(("small_number", {"ops.maximum(ops.mean(squares), 1e-20)": guarded}, "what keeps the mean square from 0 is "
           "not small beside the squares of errors that decoders come near to, 0.001 and less: 1e-20 is.")
          for guarded in ("(ops.mean(squares) + 1e-7)", "(ops.mean(squares) + 1e-8)", "ops.maximum(ops.mean(squares), "
                          "1e-7)")),
    ],
)  # fmt: skip


# ---- 3

HIDDEN = Number(
    "hidden_factor", "By hand: where does σ come to rest?", points=4, minutes=30, difficulty=3, importance=2,
    section="β and σ² are one", aims=(1,),
    value="2 * (0.6 + 0.3 + 0.15) / 3 / 5",
    because="the number is 0.14; 0.2 % leave room for rounded intermediate results.",
    hints=r"""
        The axes do not meet, so the bound is a sum over them. At the best encoder, the exact posterior, it is
        $\log p(x)$. What distribution of $x_j$ does the decoder stand for, with $z_j$ integrated out? And for an axis
        without a latent?

        $x_j$ is normal, with variance $w_j^2 + \sigma^2$, or $\sigma^2$ without a latent. Per axis
        $-\frac12\big(\log v + \lambda/v\big)$ is to be climbed. A latent makes $v = \lambda$. Three axes share
        $v = \sigma^2$.

        The best $\sigma^2$ is the mean variance of the axes without a latent. (Check: it is the mean squared error, of
        all five axes.) That is the β beside $\frac12 S$. Now the books: of $aS + b\,\mathrm{KL}$ it is $b/2a$, and a
        mean over five pixels has $a = \frac15$.
    """,
    mistakes=[
        ("beside_half", "0.35", r"this is $\sigma^2$, the β beside $\frac12 S$. Asked for is the factor beside the "
         r"*mean* of squares, $a = \frac15$: $b = 2a\sigma^2$."),
        ("beside_sum", "0.7", r"this is the factor beside the *sum* of squares. Beside their mean over five pixels it "
         "is smaller."),
        ("half_lost", "0.07", r"$b = a\sigma^2$ was taken. The normal density has $S/2\sigma^2$: $b = 2a\sigma^2$."),
        ("all_axes", "2 * (4 + 1.5 + 0.6 + 0.3 + 0.15) / 5 / 5", r"you took the mean variance of all five axes for "
         r"$\sigma^2$. That is so if no code says anything; the two latents explain most of it."),
        ("all_axes", "(4 + 1.5 + 0.6 + 0.3 + 0.15) / 5", "this is the mean variance of all five axes. The two latents "
         "explain most of it."),
        ("errors_of_dead_alone", "2 * (0.6 + 0.3 + 0.15) / 5 / 5", "you took what is left for an axis with a latent "
         r"for 0. The encoder is noisy, and its best noise leaves just $\sigma^2$ there. So the mean squared error of "
         r"all five is $(2\sigma^2 + 1.05)/5$, which is $\sigma^2$ at rest."),
        ("errors_of_dead_alone", "(0.6 + 0.3 + 0.15) / 5", "you took what is left for an axis with a latent for 0. The "
         r"encoder is noisy, and its best noise leaves $\sigma^2$ there. And asked for is the factor beside the mean "
         "of squares."),
        ("sum_of_dead", "2 * (0.6 + 0.3 + 0.15) / 5", r"you took the *sum* of the three variances for $\sigma^2$. σ is "
         "shared by the three axes: their mean."),
        ("sum_of_dead", "0.6 + 0.3 + 0.15", r"this is the *sum* of the three variances. σ is shared by the three axes: "
         r"$\sigma^2$ is their mean. And asked for is the factor beside the mean of squares."),
        ("three_latents", "2 * (0.3 + 0.15) / 2 / 5", "this is for three latents; there are two."),
        ("one_latent", "2 * (1.5 + 0.6 + 0.3 + 0.15) / 4 / 5", "this is for one latent; there are two."),
        ("smallest", "2 * 0.15 / 5", r"you took the smallest variance for $\sigma^2$. One σ serves all three axes that "
         "have no latent."),
        ("largest_left", "2 * 0.6 / 5", r"you took the largest of the variances that are left for $\sigma^2$. One σ "
         "serves all three axes that have no latent: their mean."),
        ("deviation", "2 * sqrt(0.35) / 5", r"you took $\sigma$ where $\sigma^2$ belongs: $b = 2a\sigma^2$."),
        ("deviation", "sqrt(0.35)", r"this is $\sigma$. Asked for is the factor before the KL, $b = 2a\sigma^2$."),
        ("mean_of_deviations", "2 * ((sqrt(0.6) + sqrt(0.3) + sqrt(0.15)) / 3) ** 2 / 5", r"you took the mean of the "
         "deviations. The best $\\sigma^2$ is the mean of the variances."),
        ("turned", "0.35 / 2 / 5", r"you divided by 2 where one multiplies: $b/2a = \sigma^2$."),
        ("turned", "5 / (2 * 0.35)", r"this is upside down: $b/2a = \sigma^2$."),
        ("times_pixels", "2 * 0.35 * 5", "you multiplied by the number of pixels. Beside a mean, squares count less, "
         "and the KL has to as well."),
        ("mean_of_latents", "2 * 2 * 0.35 / 5", "this is the factor beside a *mean* over the two latents. The KL is "
         "their sum."),
        ("pixels_left", "2 * 0.35 / 3", "this is the factor beside a mean over three axes. The mean is over all five."),
        ("precision", "1 / (2 * 0.35)", r"this is what stands before the squares if the KL has the factor 1. Here the "
         "mean of squares has the factor 1, and the KL has $c$."),
        ("left_of_living", "2 * (4 + 1.5) / 2 / 5", "this is made of the variances of the axes that have a latent. "
         "What σ has to cover are the others."),
    ],
)  # fmt: skip


# ---- 4


def _decoders(rng):
    """With log σ above the floor and far below it."""
    for B, F, event in (4, 3, (2, 5, 2)), (3, 2, (4, 6)):
        pixels = math.prod(event)
        yield dict(event_shape=event, low=rng.uniform(-3, -1.5), features=rng.normal(size=(B, F)),
                   x=rng.random((B, *event)), kernel=0.5 * rng.normal(size=(F, pixels)), bias=rng.normal(size=pixels),
                   scale_kernel=0.5 * rng.normal(size=(F, pixels)),
                   scale_bias=rng.permutation(np.linspace(-6, 0.2, pixels)))  # fmt: skip


_RAW = "ops.reshape(ops.matmul(features, scale_kernel) + scale_bias, (-1, *event_shape))"

CLIPPED = DistributionLayer(
    "SoftClippedNormal", "A decoder with a σ for each pixel, and a floor", points=5, minutes=30, difficulty=2,
    section="The pixel that is always black", aims=(3,),
    weights="kernel[F,P], bias[P], scale_kernel[F,P], scale_bias[P]", draw=_decoders,
    answer=f"""
        mean = ops.reshape(ops.sigmoid(ops.matmul(features, kernel) + bias), (-1, *event_shape))
        raw = {_RAW}
        log_scale = low + ops.softplus(raw - low)
        scale = ops.exp(log_scale)
        return mean, scale, -0.5 * (LOG_2PI + ((x - mean) / scale) ** 2) - ops.log(scale)
    """,
    parts={"shapes": 0.5, "log_prob": 1, "mean": 0.5, "sample": 0.75, "gradients": 1, "model": 0.5, "config": 0.75},
    hints=r"""
        `build`: four times `self.add_weight(shape=..., name=...)`, in the order of the docstring. `input_shape[-1]` is
        the number of features, and the number of pixels is the product of `event_shape`.

        `call`: two affine functions of the same features, each reshaped to `(-1, *self.event_shape)`. One goes through
        a sigmoid, the other through $l + \mathrm{softplus}(a - l)$ and then `ops.exp`.

        `tfd.Independent(tfd.Normal(mean, scale), reinterpreted_batch_ndims=len(self.event_shape))`. And `get_config`:
        `{**super().get_config(), "event_shape": self.event_shape, "low": self.low}`.
    """,
    mistakes=[
        ("no_floor", {"low + ops.softplus(raw - low)": "raw"}, r"there is no floor under $\log\sigma$."),
        ("hard_floor", {"low + ops.softplus(raw - low)": "ops.maximum(raw, low)"}, "this is a hard floor. A pixel that "
         r"lies on it has no gradient, and stays there. The soft one is $l + \mathrm{softplus}(a - l)$."),
        ("no_low", {"low + ops.softplus(raw - low)": "ops.softplus(raw)"}, "`low` is not used at all. It is subtracted "
         "within the softplus, and added again after it."),
        ("low_forgotten", {"ops.softplus(raw - low)": "ops.softplus(raw)"}, "in the softplus `low` is forgotten. Well "
         r"above the floor, $\log\sigma$ should be $a$ itself."),
        ("low_not_added", {"low + ops.softplus(": "ops.softplus("}, "after the softplus `low` is not added again: σ is "
         "never below 1."),
        ("low_added_twice", {"raw - low": "raw + low"}, r"in the softplus `low` is added; it is subtracted there: "
         r"$l + \mathrm{softplus}(a - l)$."),
        ("ceiling", {"low + ops.softplus(raw - low)": "low - ops.softplus(low - raw)"}, "this bounds σ from "
         "*above*. A floor is wanted."),
        ("softplus_twice", {"ops.softplus(raw - low)": "ops.softplus(ops.softplus(raw - low))"}, "the softplus is "
         "taken twice: there is one, above the floor."),
        ("softplus_for_exp", {"scale = ops.exp(log_scale)": "scale = ops.softplus(log_scale)"}, r"σ is a softplus of "
         r"what should be $\log\sigma$: $\sigma = e^{\log\sigma}$."),
        ("plain_softplus", {"scale = ops.exp(log_scale)": "scale = ops.softplus(raw)"}, "σ is the softplus of the "
         r"network's output, as some decoders have it. Here the output is $\log\sigma$, with a floor."),
        ("log_variance", {"scale = ops.exp(log_scale)": "scale = ops.exp(log_scale / 2)"}, r"the clipped number is "
         r"taken for $\log\sigma^2$: it is $\log\sigma$, without the ½."),
        ("variance", {"scale = ops.exp(log_scale)": "scale = ops.exp(2 * log_scale)"}, r"$\sigma^2$ was given to "
         r"`tfd.Normal`, which takes σ."),
        ("no_exponential", {"scale = ops.exp(log_scale)": "scale = log_scale"}, r"$\log\sigma$ stands where σ is "
         "meant. It may be negative."),
        ("no_sigmoid", {"ops.sigmoid(": "("}, "the mean is not bounded: it goes through a sigmoid, so that it lies in "
         "(0, 1) as the grey values do."),
        ("exchanged", {"ops.matmul(features, kernel) + bias": "ops.matmul(features, scale_kernel)+ scale_bias",
         "ops.matmul(features, scale_kernel) + scale_bias": "ops.matmul(features, kernel) + bias"}, "mean and σ have "
         "each other's weights."),
        ("sigmoid_in_scale", {"raw = ops.reshape(": "raw = ops.sigmoid(ops.reshape(", "scale_bias, (-1, *event_shape))":
         "scale_bias, (-1, *event_shape)))"}, r"$\log\sigma$ goes through a sigmoid as well. It may be any number "
         "above the floor."),
        ("scale_without_features", {"ops.matmul(features, scale_kernel) + scale_bias": "0 * ops.matmul(features, "
         "scale_kernel) + scale_bias"}, r"σ does not depend on the features: `scale_kernel` is not used."),
    ],
)  # fmt: skip


# ---- 5


def _bytes(inside):
    def draw(rng):
        for shape in (3, 4), (2, 5):
            mean = rng.uniform(0.2, 0.8, size=shape)
            log_scale = rng.uniform(-5.8 if inside else -3.2, -1.5, size=shape)  # bins of 1 σ, down to 0.02
            k = np.round(255 * (mean + rng.uniform(-2, 2, size=shape) * np.exp(log_scale)))
            if inside:  # neighbours of the edges are among them
                k.flat[:4] = 1, 254, 2, 253
                mean.flat[:4] = k.flat[:4] / 255 + rng.uniform(-2, 2, size=4) * np.exp(log_scale.flat[:4])
            else:
                k = 255 * (rng.permutation(mean.size) % 2).reshape(shape)
                mean = np.where(k == 0, rng.uniform(-0.05, 0.15, size=shape), rng.uniform(0.85, 1.05, size=shape))
            yield dict(k=1.0 * np.clip(k, inside, 255 - inside), mean=mean, log_scale=log_scale)

    return draw


def _far_bytes(rng):
    """Bytes from 20 to 100 deviations away, on both sides; one 7 to 10 above, whose mass float32 has on one side."""
    k = np.concatenate([[0, 255, 0, 255], rng.integers(1, 60, size=4), rng.integers(195, 255, size=4)])
    mean = np.concatenate([[0.9, 0.1, 0.6, 0.4], rng.uniform(0.6, 0.95, size=4), rng.uniform(0.05, 0.4, size=4)])
    log_scale = rng.uniform(-4.5, -3.9, size=12)
    mean[-1] = k[-1] / 255 - rng.uniform(7.5, 9.5) * np.exp(log_scale[-1])
    order = rng.permutation(12)
    yield {name: 1.0 * a[order].reshape(3, 4) for name, a in (("k", k), ("mean", mean), ("log_scale", log_scale))}


_INSIDE = "log_cdf(upper) + ops.log(-ops.expm1(log_cdf(lower) - log_cdf(upper)))"
_EDGES = "ops.where(k == 0, log_cdf(centre + half), ops.where(k == 255, log_cdf(half - centre), inside))"
_CDF = "tfd.Normal(0.0, 1.0).cdf"
_PLAIN = f"ops.log({_CDF}(centre + half) - {_CDF}(centre - half))"
_LOST = "so far from the mean the distribution function is 0 or 1 to float32"

BITS = Function(
    "bits_of_bytes", "A normal decoder's bits", points=4, minutes=22, difficulty=2,
    section="Bytes", aims=(4,),
    takes="k[N,D], mean[N,D], log_scale[N,D]", axes={"N": "images", "D": "pixels"},
    draw={"inside": _bytes(True), "edges": _bytes(False), "far": _far_bytes},
    parts={"inside": 1.5, "edges": 1, "far": 1.5}, requires_first=False, rtol=3e-4, atol=2e-3,
    because="a difference of two distribution functions keeps four digits or so.",
    answer=f"""
        centre = (k / 255 - mean) * ops.exp(-log_scale)  # in units of σ, as what follows
        half = ops.exp(-log_scale) / 510  # of a bin
        log_cdf = tfd.Normal(0.0, 1.0).log_cdf
        upper, lower = half - ops.abs(centre), -half - ops.abs(centre)  # its ends, on the side where the tail is small
        inside = {_INSIDE}
        log_p = {_EDGES}
        return -log_p / np.log(2)
    """,
    hints=r"""
        Both ends of the bin in units of σ: $b = (\frac{k + 1/2}{255} - \mu)/\sigma$, and $a$ with $k - \frac12$. Inside
        $P = \Phi(b) - \Phi(a)$; the first bin has $a = -\infty$, the last one $b = \infty$. Bits are $-\log_2 P$.

        A bell is symmetric: the bin that lies as far on the other side has the same mass. Take the one on the left,
        where both $\Phi$ are small. But in the part *far* they are smaller than anything that float32 can hold; their
        logarithms are not: `tfd.Normal(0.0, 1.0).log_cdf`.

        $\log(\Phi(b) - \Phi(a)) = \log\Phi(b) + \log\big(1 - e^{\log\Phi(a) - \log\Phi(b)}\big)$, with
        `ops.log(-ops.expm1(...))`, and both ends on the left.
    """,
    mistakes=[
        ("no_edges", {_EDGES: "inside"}, "the tails belong to no bin: the 256 probabilities do not add up to one. The "
         r"first bin begins at $-\infty$, the last one ends at $\infty$."),
        ("first_alone", {"ops.where(k == 255, log_cdf(half - centre), inside)": "inside"}, "the first bin has its "
         r"tail, the last one has not: it ends at $\infty$."),
        ("last_alone", {_EDGES: "ops.where(k == 255, log_cdf(half - centre), inside)"}, "the last bin has its tail, "
         r"the first one has not: it begins at $-\infty$."),
        ("first_too_short", {"log_cdf(centre + half)": "log_cdf(centre - half)"}, "the first bin ends at its *lower* "
         r"end, $k - \frac12$. It is all below its upper one, $k + \frac12$."),
        ("last_too_short", {"log_cdf(half - centre)": "log_cdf(-half - centre)"}, "the last bin begins at its *upper* "
         r"end, $k + \frac12$. It is all above its lower one, $k - \frac12$."),
        ("last_below", {"log_cdf(half - centre)": "log_cdf(centre - half)"}, "the last bin has what lies *below* its "
         "lower end. It is all above that: 1 less."),
        ("tails_alone", {"log_cdf(centre + half)": "log_cdf(centre - half)", "log_cdf(half - centre)":
         "log_cdf(-half - centre)"}, "the edge bins have the tails alone. They have their own share, too: the first "
         "one is all below its upper end."),
        ("edges_exchanged", {_EDGES: _EDGES.replace("== 0", "== 256 - 1").replace("== 255", "== 0")}, "the edge bins "
         "have each other's tails: the first one is all below its upper end, the last one all above its lower end."),
        ("edges_certain", {"log_cdf(centre + half)": "0 * centre", "log_cdf(half - centre)": "0 * centre"}, "the edge "
         "bins cost nothing, as if they were certain. The first one has what is below its upper end, no more."),
        ("bins_of_256", {"k / 255": "(k + 0.5) / 256", "/ 510": "/ 512"}, "your bins are those of lesson 07, $1/256$ "
         "wide, from 0 to 1. Here the grey value $k/255$ is in the middle of its bin."),
        ("bins_of_256", {"k / 255": "k / 256", "/ 510": "/ 512"}, "you divide by 256. The grey value $k$ stands for "
         "$k/255$, and its bin is $1/255$ wide."),
        ("bins_of_256", {"/ 510": "/ 512"}, "your bins are $1/256$ wide. They are as far apart as the grey values, "
         "$1/255$."),
        ("begins_at_k", {"k / 255": "(k + 0.5) / 255"}, "your bins begin at $k/255$. It is their middle."),
        ("ends_at_k", {"k / 255": "(k - 0.5) / 255"}, "your bins end at $k/255$. It is their middle."),
        ("twice_as_wide", {"/ 510": "/ 255"}, "your bins are twice as wide as they should be, and overlap: from "
         r"$k - \frac12$ to $k + \frac12$, in units of $1/255$."),
        ("half_as_wide", {"/ 510": "/ 1020"}, "your bins are half as wide as they should be."),
        ("density", {_INSIDE: "-0.5 * (LOG_2PI + centre**2) + ops.log(2 * half)"}, "this is the density in the middle "
         "of the bin, times its width. A bin has what lies in it, $\\Phi(b) - \\Phi(a)$, and that cannot exceed 1."),
        ("density_itself", {_INSIDE: "-0.5 * (LOG_2PI + centre**2) - log_scale"}, "this is the density: it has a unit, "
         r"and may exceed 1. A bin has the mass $\Phi(b) - \Phi(a)$."),
        ("density_itself", {_EDGES: "-0.5 * (LOG_2PI + centre**2) - log_scale"}, "this is the density: it has a unit, "
         r"and may exceed 1. A bin has the mass $\Phi(b) - \Phi(a)$."),
        ("underflow", {_INSIDE: _PLAIN}, f"the formula is right, and in the part *far* bins are lost: {_LOST}. Take "
         "both ends on the side where the tail is small, and logarithms, `log_cdf`."),
        ("underflow", {_INSIDE: _PLAIN, "log_cdf(centre + half)": f"ops.log({_CDF}(centre + half))",
         "log_cdf(half - centre)": f"ops.log(1 - {_CDF}(centre - half))"}, "the formula is right, and in the part "
         f"*far* bins are lost: {_LOST}. Take both ends on the side where the tail is small, and logarithms, "
         "`log_cdf`."),
        ("underflow", {_INSIDE: f"ops.log({_CDF}(upper) - {_CDF}(lower))", "log_cdf(centre + half)":
         f"ops.log({_CDF}(centre + half))", "log_cdf(half - centre)": f"ops.log({_CDF}(half - centre))"}, "both ends "
         "are on the side where the tail is small; but in the part *far* it is so small that float32 has 0 for it. "
         "Its logarithm is no trouble: `log_cdf`."),
        ("one_side", {"half - ops.abs(centre), -half - ops.abs(centre)": "centre + half, centre - half"}, "bins far "
         r"*above* the mean are lost: both $\Phi$ are 1 there, and their difference 0. By symmetry, take the bin on "
         "the other side."),
        ("log_of_each", {_INSIDE: "log_cdf(upper) - log_cdf(lower)"}, r"this is $\log\Phi(b) - \log\Phi(a)$. The "
         "logarithm of a difference is another thing."),
        ("times_sigma", {"(k / 255 - mean) * ops.exp(-log_scale)": "(k / 255 - mean) * ops.exp(log_scale)",
         "half = ops.exp(-log_scale)": "half = ops.exp(log_scale)"}, "you multiply by σ, where one divides."),
        ("variance", {"(k / 255 - mean) * ops.exp(-log_scale)": "(k / 255 - mean) * ops.exp(-log_scale / 2)",
         "half = ops.exp(-log_scale)": "half = ops.exp(-log_scale / 2)"}, r"`log_scale` is $\log\sigma$, not "
         r"$\log\sigma^2$: no half."),
        ("nats", {"-log_p / np.log(2)": "-log_p"}, "these are nats; bits are asked for."),
        ("sign", None, r"the sign is reversed: this is $\log_2 P$. What a byte costs is $-\log_2 P$, never negative."),
        ("probability", {"-log_p / np.log(2)": "ops.exp(log_p)"}, "this is the probability. What it costs in bits is "
         r"$-\log_2 P$."),
        ("mean_in_bytes", {"k / 255 - mean": "k - mean"}, r"$k$ and $\mu$ have different units: $\mu$ lies between 0 "
         "and 1."),
    ],
)  # fmt: skip


def _floor(inputs, observation, observed, target):
    """Explains bytes far away that all have one and the same cost, whatever the small number is that made it."""
    if observation != VALUE or np.shape(observed) != np.shape(target.value):
        return None
    far = observed[(target.value > 100) & (np.abs(observed - target.value) > 1)]
    if far.size < 4 or not np.ptp(far) < 1e-3 or not far.min() > 1:
        return None
    return Explanation(
        "floor",
        "bytes far away all cost the same: the probability is kept above a small number, or one is added. That hides "
        f"that it is lost: {_LOST}. Take both ends on the side where the tail is small, and logarithms, `log_cdf`.",
    )


BITS.explained = _floor


# ---- 6


def _batches(rng):
    for N, D, L in (4, 7, 3), (6, 5, 2):
        mean = rng.uniform(0.1, 0.9, size=(N, D))
        x = mean + rng.uniform(0.1, 0.4, size=(N, 1)) * rng.normal(size=(N, D))
        yield dict(x=x, mean=mean, z_mean=rng.normal(size=(N, L)), z_log_variance=rng.uniform(-2, 0.5, size=(N, L)))


_MSE, _SIGMA = "mse = ops.mean(squares)  # 1.", "sigma = ops.sqrt(mse)  # 2."
_LOGARITHM = "logarithm = x.shape[1] * ops.log(sigma)  # 3."
_QUOTIENT = "quotient = ops.sum(squares, axis=1) / (2 * sigma**2)  # 4. [N]"
_KL = "kl = 0.5 * ops.sum(z_mean**2 + ops.exp(z_log_variance) - 1 - z_log_variance, axis=1)  # 5. [N]"

MENDED = Mend(
    "mended_sigma_vae", "Five errors in a σ-VAE", points=5, minutes=20, difficulty=2, draw=_batches,
    section="When it goes wrong", aims=(1, 2),
    takes="x[N,D], mean[N,D], z_mean[N,L], z_log_variance[N,L]", gradients="mean z_mean z_log_variance",
    because="float32 carries seven digits. The losses of different sets of errors differ by far more than that.",
    answer=f"""
        squares = (x - mean) ** 2
        {_MSE}
        {_SIGMA}

        {_LOGARITHM}
        {_QUOTIENT}
        {_KL}
        return ops.mean(quotient + logarithm + kl)
    """,
    errors={
        "mse": (
            {_MSE: "mse = ops.mean(ops.sum(squares, axis=1))"},
            r"still broken: $\sigma^{*2}$ is the squared error of a whole image. It is that of a pixel, $S/D$: the "
            "mean goes over images *and* pixels."),
        "sigma": (
            {_SIGMA: "sigma = mse"},
            r"still broken: $\sigma$ is the mean squared error. An error squared cannot be a standard deviation; "
            r"$\sigma^{*2}$ is what equals it."),
        "logarithm": (
            {_LOGARITHM: "logarithm = ops.stop_gradient(ops.log(sigma))"},
            r"still broken: $\log\sigma$ counts once for the image. Each of its $D$ pixels has a density with a "
            r"$\log\sigma$ in it."),
        "quotient": (
            {_QUOTIENT: "quotient = ops.mean(squares, axis=1) / (2 * sigma**2)"},
            r"still broken: the squared errors are averaged over the pixels. They are a sum, $S/2\sigma^2$, which the "
            r"lesson's test expects to be $D/2$; with a fixed σ the KL would weigh $D$ times as much."),
        "kl": (
            {_KL: "kl = 0.5 * ops.mean(z_mean**2 + ops.exp(z_log_variance) - 1 - z_log_variance, axis=1)"},
            "still broken: the KL is averaged over the latents. So each nat of code is sold at a fraction of its "
            "price."),
    },
    slips=[
        ("mse", "of_each_image", {"mse = ops.mean(squares)": "mse = ops.mean(squares, axis=1)"}, "now each image has a "
         "σ of its own. One is shared by the batch: the mean goes over images and pixels."),
        ("mse", "sum", {"mse = ops.mean(squares)": "mse = ops.sum(squares)"}, "now it is the sum of all squares of the "
         "batch. Take their mean."),
        ("sigma", "halved", {"ops.sqrt(mse)": "mse / 2"}, "now σ is half of the mean squared error. It is its root."),
        ("sigma", "squared", {"ops.sqrt(mse)": "mse**2"}, "now the mean squared error is squared again. σ is its "
         "root."),
        ("logarithm", "of_variance", {"ops.log(sigma)": "ops.log(sigma**2)"}, r"now it is $D\log\sigma^2$, twice "
         "what it should be."),
        ("logarithm", "halved", {"x.shape[1] * ops": "0.5 * x.shape[1] * ops"}, r"now it is $\frac D2\log\sigma$. The "
         r"½ belongs to $\log\sigma^2$. Written as $\frac D2\log$ `mse` it counts once `sigma` is mended: as long as "
         r"$\sigma$ is `mse`, the two are one number."),
        ("logarithm", "latents", {"x.shape[1] *": "z_mean.shape[1] *"}, r"now $\log\sigma$ counts once for each "
         "latent. It is the pixels that have it."),
        ("logarithm", "images", {"x.shape[1] *": "x.shape[0] *"}, r"now $\log\sigma$ counts once for each image of the "
         "batch. It is the pixels of one image that count."),
        ("logarithm", "both", {"x.shape[1] *": "x.shape[0] * x.shape[1] *"}, r"now $\log\sigma$ counts for all images "
         "of the batch. The mean over them comes at the end."),
        ("logarithm", "left_out", {"x.shape[1] * ops": "0 * ops"}, r"now $\log\sigma$ is left out. Then the loss does "
         "not depend on the errors at all."),
        ("quotient", "not_halved", {"(2 * sigma**2)": "sigma**2"}, r"now the ½ is lost: $S/2\sigma^2$."),
        ("quotient", "not_squared", {"(2 * sigma**2)": "(2 * sigma)"}, r"now the squares are divided by σ: "
         r"$S/2\sigma^2$. Written with `mse` for $\sigma^2$ it counts once `sigma` is mended: as long as $\sigma$ is "
         r"`mse`, the two are one number."),
        ("quotient", "variance_squared", {"(2 * sigma**2)": "(2 * mse**2)"}, r"now the squares are divided by "
         r"$\sigma^4$: `mse` is $\sigma^2$ already."),
        ("quotient", "dropped", {"quotient = ops": "quotient = 0 * ops"}, r"now the quotient is gone. With the best σ "
         r"it is $\frac D2$ in the mean, a constant, so no gradient misses it; but the loss does."),
        ("quotient", "whole_batch", {"ops.sum(squares, axis=1)": "ops.sum(squares)"}, "now it sums over the images as "
         "well. The mean over them comes at the end."),
        ("kl", "not_halved", {"kl = 0.5 * ops": "kl = ops"}, "now the ½ before the KL is lost."),
        ("kl", "whole_batch", {"- z_log_variance, axis=1)": "- z_log_variance)"}, "now the KL sums over the images as "
         "well. The mean over them comes at the end."),
        ("kl", "sign", {"- 1 - z_log": "- 1 + z_log"}, r"now $\log\sigma^2$ has the wrong sign in the KL."),
        (None, "per_pixel", {"return ops.mean(quotient + logarithm + kl)": "return ops.mean(quotient + logarithm + kl) "
         "/ x.shape[1]"}, "the loss is divided by the number of pixels now. It is that of an image."),
        (None, "summed", {"return ops.mean(": "return ops.sum("}, "the loss is summed over the images now. It was "
         "their mean, and that was right."),
        (None, "with_constant", {"return ops.mean(quotient + logarithm + kl)": "return ops.mean(quotient + logarithm + "
         "kl) + 0.5 * x.shape[1] * LOG_2PI"}, r"the constant $\frac D2\log 2\pi$ is in the loss now. It was left out "
         "on purpose."),
        (None, "kl_subtracted", {"logarithm + kl)": "logarithm - kl)"}, "the KL is subtracted now. In a loss it is "
         "added."),
        (None, "no_kl", {"logarithm + kl)": "logarithm)"}, "the KL is gone. It was in the loss, and belongs there."),
        (None, "sign", {"return ops.mean(": "return -ops.mean("}, "the sign is reversed: this is the bound. The loss "
         "is minus it."),
    ],
    hints=r"""
        Write the loss down by hand first: $D\log\sigma + \frac{S}{2\sigma^2} + \mathrm{KL}$ of an image, and
        $\sigma^2 = \mathrm{MSE}$. Which sums go over pixels, which over latents, and what is averaged?

        *Test:* with the best σ, $\frac S{2\sigma^2}$ is $\frac D2$ in the mean over the batch. What is it here, and
        why?

        There is one error in each of: `mse`, `sigma`, `logarithm`, `quotient`, `kl`. And one of the lines lets no
        gradient through, which no value shows.
    """,
)  # fmt: skip


# ---- 7

PIXELS, LATENTS, IMAGES, UNITS = 12, 3, 400, (1.0, 2.0, 255.0)


def _data_sets(rng):
    """Three data sets with three directions that codes can tell, and noise; pixels of all of them in another unit."""
    problems = []
    for unit in rng.permutation(UNITS):
        axes = np.linalg.qr(rng.normal(size=(PIXELS, PIXELS)))[0][:, :LATENTS]
        told = axes * rng.uniform([0.15, 0.06, 0.025], [0.3, 0.12, 0.05])
        covariance = unit**2 * (told @ axes.T + rng.uniform(0.002, 0.01) * np.eye(PIXELS))
        x = rng.normal(size=(IMAGES, PIXELS)) @ np.linalg.cholesky(covariance).T
        problems.append({"x": x, "covariance": covariance})
    return problems


def _linear_vae(beta, variances, axes, covariance):
    r"""Trains a linear VAE with ½S + β KL, exactly: each axis with a variance above β has a latent of $w^2 = λ - β$.

    Returns: the bound with σ² = β, in nats, the mean over the data's own distribution; and the typical error, in σ.
    """
    w = axes * np.sqrt(np.maximum(variances - beta, 0))
    model = w @ w.T + beta * np.eye(len(covariance))
    bound = -0.5 * (np.linalg.slogdet(2 * np.pi * model)[1] + np.trace(np.linalg.solve(model, covariance)))
    precision = np.eye(len(variances)) + w.T @ w / beta
    left = np.eye(len(covariance)) - w @ np.linalg.solve(precision, w.T) / beta
    squares = np.trace(left @ covariance @ left.T) + np.trace(w @ np.linalg.solve(precision, w.T))
    return bound, np.sqrt(squares / len(covariance) / beta)


def _tuned(rng, x, covariance, betas):
    """Trains for all β, keeps the model with the best bound, and measures what it lacks, and how far σ is off."""
    from scipy.optimize import minimize_scalar

    variances, axes = np.linalg.eigh(np.cov(x, rowvar=False))
    trained = [_linear_vae(beta, variances[-LATENTS:], axes[:, -LATENTS:], covariance) for beta in betas]
    bound, ratio = max(trained)
    most = np.log(np.trace(covariance) / PIXELS)
    found = minimize_scalar(
        lambda log_beta: -_linear_vae(np.exp(log_beta), variances[-LATENTS:], axes[:, -LATENTS:], covariance)[0],
        bounds=(most - 7, most),
        method="bounded",
    )
    lost = -found.fun - bound
    share = np.array(betas) / np.exp(most)  # of the pixels' variance
    return {"lost": lost, "off": abs(ratio - 1), "ratio": ratio, "trainings": len(betas) if lost <= 1 else np.inf,
            "least": share.min(), "most": share.max(),
            "root": np.abs(2 * np.log(betas) - found.x).min() < 0.3}  # fmt: skip


_LEFT = f"np.mean(np.linalg.eigvalsh(np.cov(x, rowvar=False))[:-{LATENTS}])"
_BEST = f"""
variances = np.linalg.eigvalsh(np.cov(x, rowvar=False))  # in ascending order
return dict(betas=[np.mean(variances[:-{LATENTS}])])
"""

TUNED = Experiment(
    "tuned", "An experiment to design: β without tuning", points=5, minutes=25, difficulty=2, importance=2,
    section="The best σ", aims=(1, 5),
    takes="x[N,D]", draw=_data_sets, run=_tuned, settings={"betas": [1e-9, 1e9]},
    goals={
        "near": AtMost(1.0, "nats", of="lost"),
        "best": AtMost(0.05, "nats", digits=3, of="lost"),
        "calibrated": AtMost(0.05, "", digits=3, of="off"),
        "few": AtMost(4, "", digits=0, of="trainings"),
    },
    parts={"near": 1, "best": 1.5, "calibrated": 1, "few": 1.5},
    answer=_BEST,
    hints=r"""
        β is a $\sigma^2$, so it has the unit of the pixels, squared. Which number that you can compute from `x` has
        that unit? It bounds β from above; try a list of fractions of it.

        A long list finds the best β, and costs trainings. In a list that is evenly spaced in the *logarithm*, each is a
        fixed factor from the next. How close do two have to be? The lesson has a way without any list.

        At rest β is the mean squared error of a model that has been trained with it. The decoder is linear, and you
        have worked out in question 3 where that is: the mean of the variances that the three codes leave,
        `np.linalg.eigvalsh(np.cov(x, rowvar=False))[:-3]`.
    """,
    mistakes=[
        (None, "other_unit", "dict(betas=[0.001, 0.003, 0.01, 0.03])", lambda lost, most, least, **_: lost > 1 and
         most < 1e-3, "In at least one data set all your β are less than a thousandth of the pixels' variance. Which "
         "unit has β? Pixels of 0 to 255 have another variance than pixels of 0 to 1: choose from `x`."),
        (None, "other_unit", "dict(betas=[65.0, 130.0, 260.0, 520.0])", lambda lost, least, **_: lost > 1 and
         least > 1.5, "In at least one data set all your β are larger than the variance of the pixels. A decoder with "
         "such a σ expects larger errors than there are without any code. Which unit has β? Choose from `x`."),
        (None, "deviations", f"dict(betas=[np.sqrt({_LEFT})])", lambda lost, root, **_: lost > 1 and root, "In at "
         "least one data set no β of yours comes near, but the square of one does. β is a σ², not a σ."),
        (None, "far", "dict(betas=[x.var() / 100])", lambda lost, **_: lost > 1, "In at least one data set no β of "
         "yours comes near. It has to be somewhere between a hundredth of the pixels' variance and all of it."),
        ("few", "many", "dict(betas=x.var() * np.geomspace(0.001, 1.0, 30))", lambda lost, trainings, **_: lost <= 1
         and trainings > 4, "You have found a good β, by trying. It can be computed: the best β is the mean squared "
         "error of the model that it leads to, and for linear decoders question 3 says which variances are left."),
        (("best", "calibrated"), "coarse", "dict(betas=x.var() * np.geomspace(0.01, 1.0, 8))", lambda lost, trainings,
         **_: lost <= 1 and trainings > 1, "In at least one data set no β of your list is close enough to the best "
         "one: a finer list would do, and cost trainings. Can the best one be computed?"),
        (("best", "calibrated"), "errors_of_dead_alone", f"dict(betas=[{_LEFT} * "
         f"{PIXELS - LATENTS} / {PIXELS}])", lambda lost, ratio, **_: lost <= 1 and ratio > 1, "In at least "
         "one data set the errors are larger than σ = √β says. β is too small, though near. What codes leave is not "
         "only in the directions that they do not tell: the posterior is noisy, too."),
        (("best", "calibrated"), "too_large", f"dict(betas=[1.5 * {_LEFT}])", lambda lost, ratio, **_: lost <= 1
         and ratio < 1, "In at least one data set the errors are smaller than σ = √β says: β is too large, though "
         "near."),
    ],
    because="what is measured is exact. In 30 runs of the solution at most 0.013 nats were lost, and σ was off by "
    "2.9 %, as much as 400 images allow.",
    seconds=30.0,
)  # fmt: skip


# ---- 8


@functools.cache
def _digits():
    """Small digits, rounded to one of 256 grey values."""
    return [np.rint(255 * images) / 255 for images in small_digits()]


TRAINED = TrainedGrey(
    "train_sigma", "Train a decoder that knows how sure it is", points=5, minutes=30, difficulty=2,
    section="Whose σ?", aims=(2, 5),
    bounds={"codes": 50.0, "fair": 100.0, "good": 125.0}, parts={"codes": 1, "fair": 1, "good": 1.5, "calibrated": 1.5},
    images=_digits, coins=12.5, good_kl=(25.0, 42.0), most_latents=20, most_units=100, off=0.1,
    because="six runs of the solution, with different seeds, on both backends, ended between 131 and 139 nats, with σ "
    "3 to 5 % below the typical error. One run each: with σ fixed at 1 −185, at 0.3 21, at 0.1 123 nats; with a shared "
    "σ that is learned 109, and σ 16 % too large. Principal components without any training: 73.",
    hints="""
        First make it return anything of the right shapes: `vk.layers.MLP(100, "relu")` and `vk.layers.DiagonalNormal`
        for the encoder; a `keras.layers.Dense(100, "tanh")` and `vk.layers.Normal(196, ..., mean_activation="sigmoid")`
        for the decoder; `vk.VAE`, and `arrays(hidden, head)`.

        Which σ? With `1.0` the code says nothing. `"shared"` is learned and comes slowly; `"optimal"` is right from the
        first batch on.

        Batches of 100, 40 epochs, Adam with a learning rate of 0.005 that decays to 0
        (`keras.optimizers.schedules.CosineDecay`), `vk.objectives.ELBO(analytic_kl=True)`.
    """,
)  # fmt: skip


QUESTIONS = [SCALES, FLOORED, HIDDEN, CLIPPED, BITS, MENDED, TUNED, TRAINED]
