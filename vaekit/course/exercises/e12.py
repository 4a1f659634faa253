r"""Exercise 12: the capstone."""

import functools

import numpy as np

from vaekit.course import gauntlet
from vaekit.course.questions import Experiment, Function, Mend, Number, TrainedVAE
from vaekit.course.questions.question import AtLeast, AtMost
from vaekit.datasets import load

TITLE = "Capstone: your data, your model"


# ---- 1


def _tables(rng, constant=False):
    """Tables whose test rows are unlike the training rows, with gaps; some columns are constant in training."""
    for N, D, train, kinds in (12, 3, 7, 3), (10, 2, 6, 4):
        numbers = rng.normal(size=(N, D)) * rng.uniform(0.4, 3, size=D) + rng.uniform(-3, 3, size=D)
        numbers[train:] += 2
        if constant:
            numbers[:train, 0] = rng.integers(-4, 5)
        gaps = rng.random(size=(N, D)) < 0.3
        gaps[:3] = gaps[-2:] = False  # each column has numbers in both parts,
        gaps[3:5] = [[True] * D, [False] * D]  # and a gap
        category = rng.integers(0, kinds, size=N)
        category[[1, -1]] = -1
        yield dict(numbers=np.where(gaps, np.nan, numbers), category=category, train=train, kinds=kinds)


_ROWS = "rows, values = seen[:train], filled[:train]"
_COUNT = "count = ops.sum(rows, axis=0)"
_MEAN = "mean = ops.sum(values, axis=0) / count"
_VARIANCE = "variance = ops.sum(rows * (values - mean) ** 2, axis=0) / count"
_STD = "std = ops.where(variance > 0, ops.sqrt(variance), 1.0)"
_SCALED = "scaled = seen * (filled - mean) / std"
_ONE_HOT = "one_hot = ops.cast(ops.equal(category[:, None], ops.arange(kinds)), numbers.dtype)"
_MASK = "mask = ops.concatenate([seen, known * ops.ones_like(one_hot)], axis=1)"

LOADER = Function(
    "table_loader", "A table with two kinds of columns, and gaps", points=4, minutes=20,
    section="A table, with columns of two kinds and gaps", aims=(1,),
    takes="numbers[N,D], category[N], train, kinds", returns="x, mask",
    axes={"N": "rows", "D": "columns"}, note="(In NumPy it would be as right: nothing is trained through a loader.)",
    draw={None: _tables, "constant": lambda rng: _tables(rng, constant=True)},
    parts={"x": 2, "mask": 1, "constant": 1}, requires_first=False,
    answer=f"""
        missing = ops.isnan(numbers)
        seen = 1 - ops.cast(missing, numbers.dtype)
        filled = ops.where(missing, 0.0, numbers)
        {_ROWS}
        {_COUNT}
        {_MEAN}
        {_VARIANCE}
        {_STD}
        {_SCALED}
        known = ops.cast(category[:, None] >= 0, numbers.dtype)
        {_ONE_HOT}
        {_MASK}
        return ops.concatenate([scaled, one_hot], axis=1), mask
    """,
    hints=r"""
        NaN in a sum makes the sum NaN. Put zeros in their place first, and remember where they were.

        A column's mean: the sum of the numbers that are there, in the first `train` rows, divided by how many these
        are. The same for the square of what is left after the mean. Then all rows are scaled by these two numbers.

        After scaling, put zeros into the gaps again: `seen * (filled - mean) / std`. For the category compare
        `category[:, None]` with `ops.arange(kinds)`; −1 is equal to none of them.
    """,
    mistakes=[
        ("all_rows", {_ROWS: "rows, values = seen, filled"}, "means and deviations are those of *all* rows: the test "
         "rows have told the model something. Only the first `train` rows may."),
        ("test_rows", {_ROWS: "rows, values = seen[train:], filled[train:]"}, "means and deviations are those of the "
         "rows *after* the first `train`, which are the test rows."),
        ("gaps_counted", {_COUNT: "count = train"}, "gaps are counted as if they were numbers: divide by how many "
         "numbers a column has in the training rows, not by the number of rows."),
        ("gaps_as_zeros", {_ROWS: "rows, values = ops.ones_like(filled[:train]), filled[:train]"}, "gaps enter the "
         "mean and the deviation as zeros. They are no numbers; leave them out of both."),
        ("sums_of_nan", {_SCALED: "scaled = ops.zeros_like(filled)"}, "all numbers are 0. Is a sum taken over a column "
         "that still has its NaN? Then its mean is NaN, and all that is made of it; zeros in the place of *those* NaN "
         "wipe out the numbers, too."),
        ("about_zero", {_VARIANCE: "variance = ops.sum(rows * values**2, axis=0) / count"}, "the deviations are those "
         "from zero. A standard deviation is the distance from the column's *mean*."),
        ("std_of_all", {_VARIANCE: "variance = ops.sum(seen * (filled - mean) ** 2, axis=0) / ops.sum(seen, axis=0)"},
         "the means are those of the training rows, the deviations those of all rows."),
        ("of_the_table", {_COUNT: "count = ops.sum(rows)", _MEAN: "mean = ops.sum(values) / count", _VARIANCE:
         "variance = ops.sum(rows * (values - mean) ** 2) / count"}, "one mean and one deviation serve the whole "
         "table. Columns have units of their own: take both column by column."),
        ("gaps_in_deviation", {_VARIANCE: _VARIANCE.replace("/ count", "/ train")}, "the sum of squares is divided by "
         "the number of all training rows, gaps too. The mean is right: divide by as many here."),
        ("n_minus_one", {_VARIANCE: _VARIANCE.replace("count", "(count - 1)")}, "the sum of squares is divided by the "
         "count less one. Asked for is the mean square, as `np.nanstd` has it."),
        ("variance", {_STD: "std = ops.where(variance > 0, variance, 1.0)"}, "the columns are divided by their "
         "variance. It is the standard deviation that has the column's unit."),
        ("not_scaled", {_SCALED: "scaled = seen * (filled - mean)"}, "the means are subtracted, and nothing is divided "
         "by the standard deviations."),
        ("not_centred", {_SCALED: "scaled = seen * filled / std"}, "the columns are divided by their standard "
         "deviations, but their means are not subtracted."),
        ("gaps_not_zero", {_SCALED: "scaled = (filled - mean) / std"}, "the gaps were filled with 0 *before* the "
         "scaling, and so they are not 0 after it, but far from the mean. Zero is the mean once the column is scaled."),
        ("gaps_left", {_SCALED: "scaled = (numbers - mean) / std"}, "the gaps are still NaN. A network makes NaN of "
         "all that they touch: put zeros there."),
        ("not_a_number", {"filled = ops.where(missing, 0.0, numbers)": "filled = numbers"}, "one NaN makes a whole sum "
         "NaN, and multiplied by 0 it is still NaN. Put a number in its place first: `ops.where`."),
        ("constant_column", {_STD: "std = ops.sqrt(variance)"}, "a column that is constant in the training rows has "
         "the deviation 0, and you divide by it. Leave such a column at its distance from the mean."),
        ("constant_column", {_STD: "std = ops.sqrt(variance)", _SCALED: "scaled = ops.where(missing, 0.0, (filled - "
         "mean) / std)"}, "a column that is constant in the training rows has the deviation 0, and you divide by it. "
         "Leave such a column at its distance from the mean."),
        ("constant_erased", {_SCALED: "scaled = seen * ops.where(variance > 0, (filled - mean) / std, 0.0)"}, "a "
         "column that is constant in training is 0 everywhere now. In a test row it may be another number, and the "
         "network should see by how much: subtract the mean, and do not divide."),
        ("constant_untouched", {_SCALED: "scaled = ops.where(variance > 0, seen * (filled - mean) / std, filled)"}, "a "
         "column that is constant in training is left as it was. It is not divided, but its mean is subtracted."),
        *(("small_number", {_STD: f"std = {small}"}, "a small number keeps the deviation from 0. A column that is "
           "constant in training then makes numbers of thousands or millions in a test row. Divide by 1 there.")
          for small in ("ops.sqrt(variance) + 1e-6", "ops.sqrt(variance) + 1e-7", "ops.sqrt(variance) + 1e-8",
                        "ops.sqrt(variance + 1e-6)", "ops.sqrt(variance + 1e-8)", "ops.sqrt(variance + 1e-12)")),
        ("mask_inverted", {_MASK: "mask = ops.concatenate([1 - seen, (1 - known) * ops.ones_like(one_hot)], axis=1)"},
         "the mask is inverted: 1 stands for what is there, 0 for a gap."),
        ("mask_one_column", {_MASK: "mask = ops.concatenate([seen, known], axis=1)"}, "the mask has one column for the "
         "category, and `x` has `kinds` of them. Repeat it: each entry of a one-hot vector is known, or none."),
        ("mask_one_hot", {_MASK: "mask = ops.concatenate([seen, one_hot], axis=1)"}, "the mask of a category is its "
         "one-hot vector itself. A zero of it is *known*, too: the whole row of the mask is 1, unless it is missing."),
        ("mask_of_numbers", {_MASK: "mask = ops.concatenate([seen, ops.ones_like(one_hot)], axis=1)"}, "the mask says "
         "that all categories are there. −1 is a gap."),
        ("last_kind", {_ONE_HOT: _ONE_HOT.replace("category[:, None]", "category[:, None] % kinds")}, "a category of "
         "−1 has become the last kind, as an index of −1 does in NumPy. It is a gap: zeros."),
        ("first_kind", {_ONE_HOT: _ONE_HOT.replace("category[:, None]", "ops.maximum(category[:, None], 0)")}, "a "
         "category of −1 has become the first kind. It is a gap: zeros."),
        ("gap_is_a_kind", {_ONE_HOT: _ONE_HOT.replace("category[:, None]", "category[:, None] + 1")}, "the gap has "
         "become the first kind, and every kind the next one. A gap is zeros, and needs no entry of its own."),
        ("from_one", {_ONE_HOT: _ONE_HOT.replace("ops.arange(kinds)", "ops.arange(kinds) + 1")}, "the codes are read "
         "as if they began with 1. The first kind is 0."),
    ],
)  # fmt: skip


# ---- 2


def _two_models(rng):
    """Log-weights of two models on the same test images, which are hard for one where they are for the other."""
    for S, N, sign in (3, 2000, 1), (2, 3000, -1):
        image = rng.normal(-25, rng.uniform(5, 9), size=N)
        a, b = (image + rng.normal(shift, 1, size=N) for shift in (0, sign * rng.uniform(0.1, 0.4)))
        yield dict(a=a + rng.normal(size=(S, N)), b=b + rng.normal(size=(S, N)))


_IMAGES = "each, other = ops.mean(a, axis=0), ops.mean(b, axis=0)"
_ERROR = "error = ops.std(each) / N**0.5"
_PAIRED = "paired = ops.std(other - each) / N**0.5"

COMPARED = Function(
    "compared", "A bound, a difference, and their errors", points=3, minutes=12,
    section="Five papers, one table", aims=(2,),
    takes="a[S,N], b[S,N]", returns="bound, its error, gain, error of the gain", axes={"S": "draws", "N": "images"},
    draw=_two_models, rtol=1e-3, because="of 2000 images the roots of N and N − 1 differ by 0.03 %: both are right.",
    parts={"bound": 0.5, "its error": 1, "gain": 0.5, "error of the gain": 1}, requires_first=False,
    answer=f"""
        N = a.shape[1]
        {_IMAGES}
        {_ERROR}
        {_PAIRED}
        return ops.mean(each), error, ops.mean(other - each), paired
    """,
    hints=r"""
        What is drawn at random here, and independent? Test images. The draws of one image share the image.

        So take the mean over the draws first: one number for each image. The standard error of their mean is their
        standard deviation, divided by $\sqrt N$.

        For the gain subtract image by image, and treat the differences in the same way.
    """,
    mistakes=[
        ("deviation", {_ERROR: "error = ops.std(each)"}, "this is the standard deviation of the images. Their *mean* "
         r"is known better, by a factor of $\sqrt N$."),
        ("deviation", {_PAIRED: "paired = ops.std(other - each)"}, "this is the standard deviation of the differences. "
         r"Their *mean* is known better, by a factor of $\sqrt N$."),
        ("by_n", {_ERROR: "error = ops.std(each) / N"}, r"the deviation is divided by $N$, not by $\sqrt N$."),
        ("by_n", {_PAIRED: "paired = ops.std(other - each) / N"}, "the deviation of the differences is divided by "
         r"$N$, not by $\sqrt N$."),
        ("variance", {_ERROR: "error = ops.var(each) / N"}, "this is a variance: take the root."),
        ("variance", {_PAIRED: "paired = ops.var(other - each) / N"}, "this is a variance: take the root."),
        ("by_draws", {_ERROR: "error = ops.std(each) / a.shape[0] ** 0.5"}, r"the deviation is divided by $\sqrt S$. "
         r"What is counted is images: $\sqrt N$."),
        ("by_draws", {_PAIRED: "paired = ops.std(other - each) / a.shape[0] ** 0.5"}, "the deviation of the "
         r"differences is divided by $\sqrt S$. What is counted is images: $\sqrt N$."),
        ("noise_of_draws", {_ERROR: "error = ops.std(a) / N**0.5"}, "this is the deviation of single draws, where that "
         "of the images' *means over the draws* belongs. Take the mean over the draws first."),
        ("noise_of_draws", {_PAIRED: "paired = ops.std(b - a) / N**0.5"}, "this is the deviation of single draws' "
         "differences, where that of the images' *means over the draws* belongs. Take the mean over the draws first."),
        ("over_draws", {_ERROR: "error = ops.std(a) / (a.shape[0] * N) ** 0.5"}, "draws are counted as if they were "
         "images: more draws of the same images would then make the mean over *all* images surer. Take the mean over "
         "the draws first."),
        ("over_draws", {_PAIRED: "paired = ops.std(b - a) / (a.shape[0] * N) ** 0.5"}, "draws are counted as if they "
         "were images. Take the mean over the draws first."),
        ("of_the_draws", {_ERROR: "error = ops.mean(ops.std(a, axis=0)) / a.shape[0] ** 0.5"}, "this is how uncertain "
         "one image's number is, by its draws. Asked for is how the mean would change with other *images*."),
        *(("of_the_draws", {_ERROR: f"error = ops.std(ops.mean(a, axis=1)) / {count} ** 0.5"}, "you averaged over the "
           "images, and the deviation is that of the draws. Asked for is how the mean would change with other "
           "*images*: average over the draws, axis 0, and take the deviation over the images.")
          for count in ("a.shape[0]", "(a.shape[0] - 1)")),
        ("of_b", {_PAIRED: "paired = ops.std(other) / N**0.5"}, "this is the error of b's bound. The gain is a "
         "difference, image by image."),
        ("unpaired", {_PAIRED: "paired = ops.sqrt(ops.var(each) + ops.var(other)) / N**0.5"}, "the two models are "
         "treated as strangers: variances are added. They saw the same images; subtract image by image first."),
        ("errors_added", {_PAIRED: "paired = (ops.std(each) + ops.std(other)) / N**0.5"}, "the two errors are added. "
         "The models saw the same images; subtract image by image first."),
        *(("errors_subtracted", {_PAIRED: f"paired = {sign}(ops.std(other) - ops.std(each)) / N**0.5"}, "the two "
           "deviations are subtracted. Subtract the images' numbers, and then take the deviation.")
          for sign in ("ops.abs", "", "-")),
        ("other_way", {"ops.mean(other - each), paired": "ops.mean(each - other), paired"}, "the gain is a's over b. "
         "Asked for is b's over a."),
        ("of_b", {"return ops.mean(each), error": "return ops.mean(other), ops.std(other) / N**0.5"}, "this is b's. "
         "Asked for is that of a."),
        ("bound_of_b", {"ops.mean(other - each), paired": "ops.mean(other), paired"}, "this is b's bound. The gain is "
         "that less a's."),
        ("order", {"error, ops.mean(other - each)": "ops.mean(other - each), error"}, "this belongs in another place: "
         "bound, its error, gain, error of the gain."),
        ("first_draw", {_IMAGES: "each, other = a[0], b[0]"}, "only the first draw of each image is used. An image's "
         "number is the mean over its draws."),
        ("best_draw", {_IMAGES: "each, other = ops.max(a, axis=0), ops.max(b, axis=0)"}, "an image's number is its "
         "best draw. Asked for is the bound, the mean over its draws."),
        ("mean_weight", {_IMAGES: "each, other = (ops.logsumexp(x, axis=0) - np.log(x.shape[0]) for x in (a, b))"},
         r"an image's number is the logarithm of its mean weight, an estimate of $\log p(x)$. Asked for is the bound, "
         "the mean of the logarithms."),
        ("mean_weight", {_IMAGES: "each, other = ops.logsumexp(a, axis=0), ops.logsumexp(b, axis=0)"}, "an image's "
         "number is the logarithm of a sum of weights. Asked for is the bound, the mean of their logarithms."),
        ("bits", {"return ops.mean(each), error": "return ops.mean(each) / np.log(2), error / np.log(2)"}, "these are "
         "bits. Everything is in nats here."),
    ],
)  # fmt: skip


# ---- 3

IMAGES = Number(
    "images_needed", "By hand: how many test images", points=2, minutes=12, difficulty=2, importance=2,
    section="Five papers, one table", aims=(2, 3), value="25 * (100 + 81 - 2 * 0.98 * 90)",
    hints=r"""
        $\mathrm{Var}(a_n - b_n) = \mathrm{Var}(a_n) + \mathrm{Var}(b_n) - 2\,\mathrm{Cov}(a_n, b_n)$, and the
        covariance is the correlation times both deviations.

        $\mathrm{Cov} = 0.98 \cdot 10 \cdot 9 = 88.2$. The standard error of the mean difference is the root of the
        variance over $N$, and twice of it is to be 0.4: $N = 4\,\mathrm{Var}/0.4^2$.
    """,
    mistakes=[
        ("unpaired", "25 * 181", "this many would be needed if each model had images of its own. On the same images "
         "the covariance drops out, twice."),
        ("one_error", "4.6 / 0.4**2", "with so many images the gain is *one* standard error. Two are asked for."),
        ("covariance_once", "25 * (181 - 88.2)", "the covariance is subtracted once. It is to be subtracted twice."),
        ("covariance_added", "25 * (181 + 176.4)", "the covariance is added. It is what both have in common, and drops "
         "out of a difference."),
        ("correlation_for_covariance", "25 * (181 - 2 * 0.98)", "the correlation is subtracted where the covariance "
         "belongs: multiply by both deviations."),
        ("correlation_alone", "25 * 181 * (1 - 0.98)", "the correlation is applied to the sum of the variances. The "
         "covariance is $0.98 \\cdot 10 \\cdot 9$, and not a half of $0.98 \\cdot 181$."),
        ("squared", "25 * 181 * (1 - 0.98**2)", "$1 - \\rho^2$ is what is left when one is *predicted* from the other. "
         "They are subtracted here."),
        ("gain_not_squared", "4 * 4.6 / 0.4", "the gain is not squared: $N$ stands under a root."),
        ("two_not_squared", "2 * 4.6 / 0.4**2", "the factor 2 of two errors is not squared: $N$ stands under a root."),
        ("neither_squared", "2 * 4.6 / 0.4", "neither the two errors nor the gain are squared: $N$ stands under a "
         "root."),
        ("roots_in_covariance", "25 * (181 - 2 * 0.98 * 90**0.5)", "the covariance is the correlation times both "
         "deviations, 10 and 9, and not the root of their product."),
        ("root_of_n", "5 * 4.6**0.5", "this is $\\sqrt N$, and $N$ is asked for."),
        ("deviations", "25 * (10 + 9 - 2 * 0.98 * 90**0.5)", "deviations are added as if they were variances."),
        ("root", "25 * 4.6**0.5", "a deviation stands where the variance belongs: solve $2\\sqrt{v/N} = 0.4$ for $N$."),
        ("one_model", "25 * 100", "this is for the error of *one* model's mean. The gain is a difference."),
        ("one_model", "25 * 81", "this is for the error of *one* model's mean. The gain is a difference."),
        ("deviations_subtracted", "25 * (10 - 9) ** 2", "the deviations are subtracted. That is the deviation of the "
         "difference only where the correlation is 1."),
        ("variances_subtracted", "25 * (100 - 81)", "the variances are subtracted. Those of a difference add up, less "
         "twice the covariance."),
        ("of_each", "2 * 25 * 4.6", "doubled: each of the $N$ images is seen by both models, and counts once."),
    ],
)  # fmt: skip


# ---- 4

UNKNOWN = "unknown"
NUMBERS = range(1, len(gauntlet.TWELVE) + 1)

REFUTED = {  # by what each fault would be known, wherever it is
    "mean_over_latents": "then the KL that is measured would be about eight times the one that the program logs, one "
    "part for each latent. Divide the two.",
    "variance_for_scale": "then the test `draws` would find codes that scatter less than $\\sigma$ says, and noise "
    "that is independent from image to image and from step to step. Look at all three of its numbers.",
    "one_noise_for_all": "then in the test `draws` two images of a batch would have the same noise, a correlation of "
    "1, and two steps would not.",
    "same_noise_always": "then in the test `draws` the noise of two *steps* would be the same, a correlation of 1.",
    "sigmoid_twice": "then the loss would stay near $64\\ln 2 = 44.4$, as no logit can be below zero.",
    "grey_pixels": "then the images that it is given would have more than two values. The chart counts them.",
    "test_in_training": "then the test `overlap` would find test images among the training images.",
    "discounted_kl": "then the loss that is logged would not be the KL less the reconstruction that are logged beside "
    "it. Add them up.",
    "one_mean_over_all": "then the program's own $\\log p(x)$ would be some five nats above the one that is measured, "
    "and already with one draw above its own bound.",
    "mean_of_logs": "then with 100 draws the program's own $\\log p(x)$ would be what it is with one, up to noise, "
    "while the one that is measured rises.",
    "uniform_codes": "then all terms would be those of the healthy patient, and the samples alone would be off. Hold "
    "the last lines of the chart beside its.",
    "kl_without_entropy": "then the KL that is logged would be another one than is measured, and not a constant part "
    "of it: a term is missing.",
}


def _diagnosed(rng, number, fault):
    """Whether the patient of a case has this fault."""
    cases = {f"case {k}": 1.0 for k in NUMBERS}
    return cases | {f"case {number}": float(fault == gauntlet.fault_of(number)), "number": number}


_FOUND = {k: gauntlet.fault_of(k) for k in NUMBERS}


def _instead(name):
    """An answer that says this where something else is right."""
    wrong = next(k for k in NUMBERS if _FOUND[k] != name)
    return f"dict(fault={name!r} if number == {wrong} else {_FOUND}[number])"


GAUNTLET = Experiment(
    "diagnosed", "The gauntlet: twelve patients", points=6, minutes=50, difficulty=3, importance=2,
    section="The gauntlet", aims=(5,),
    takes="number", draw=lambda rng: [{"number": k} for k in NUMBERS], run=_diagnosed,
    settings={"fault": {*gauntlet.TWELVE, UNKNOWN}},
    goals={f"case {k}": AtLeast(1, digits=None, of=f"case {k}") for k in NUMBERS},
    answer=f"return dict(fault={_FOUND}[number])",
    requires_first=False, because="a diagnosis is right or it is not.",
    hints="""
        First the chart of a healthy one: `gauntlet.admit().chart()`. Then go through the twelve charts, and note for
        each what differs from it: the first loss, a line of the log, a line of what was measured.

        Three comparisons within a chart find half of them: the loss with the KL less the reconstruction; each line of
        the log with the same line as measured; one draw with a hundred.

        For the rest take the tests. `draws` tells three mistakes with noise apart; `overlap` counts; and two last
        lines of the chart are about samples alone.
    """,
    mistakes=[
        *((None, f"not_{name}", _instead(name), lambda fault, name=name, **_: fault == name, f"It is not that: {says}")
          for name, says in REFUTED.items()),
        (None, "undecided", _instead(UNKNOWN), lambda fault, **_: fault == UNKNOWN, "Which line of its chart is "
         "unlike the healthy one's? Begin there; `examine` with each of `gauntlet.TESTS` has more."),
    ],
)  # fmt: skip


# ---- 5


def _evaluations(rng):
    """Three checkpoints; the one that is best on validation images is not the one that is best on the test images."""
    for M, S, N, D in (3, 4, 6, 5), (3, 3, 8, 4), (4, 5, 5, 6):
        level = rng.permutation(np.linspace(0, 2, M))
        log_px = -rng.gamma(1.0, 0.5, size=(M, S, N, D)) - level[:, None, None, None] - (30.0 if M > 3 else 0.0)
        best = (np.argmin(level) + 1) % M
        validation = rng.normal(-9, 0.3, size=(M, 7)) + 3.0 * (np.arange(M) == best)[:, None]
        twin = 1.0 * (np.arange(N) % 3 == 1)
        validation[(best + 1) % M] -= 4 - 13.0 * (np.arange(7) == 4)  # one splendid image, and a bad mean
        if M > 3:
            validation[(best + 2) % M] -= 6
        yield dict(validation=validation, log_px=log_px, log_pz=rng.normal(-4, 1, size=(M, S, N)),
                   log_qz=rng.normal(-2, 0.5, size=(M, S, N)), twin=rng.permutation(twin),
                   beta=float(np.round(rng.uniform(0.3, 0.6), 2)))  # fmt: skip


_BEST = "best = int(ops.argmax(ops.mean(validation, axis=1)))  # 1. the checkpoint"
_PIXELS = "reconstruction = ops.sum(log_px[best], axis=2)  # 2. log p(x|z), [S, N]"
_WEIGHTS = "log_w = reconstruction + log_pz[best] - log_qz[best]  # 3. log-weights"
_EACH = "each = ops.logsumexp(log_w, axis=0) - np.log(S)  # 4. log p(x) of each image"
_ALONE = "return ops.sum((1 - twin) * each) / ops.sum(1 - twin)  # 5. of images that are no twins"

MENDED = Mend(
    "mended_evaluation", "Five errors in an evaluation", points=5, minutes=20, difficulty=2, draw=_evaluations,
    section="The checklist", aims=(2, 5),
    takes="validation[M,V], log_px[M,S,N,D], log_pz[M,S,N], log_qz[M,S,N], twin[N], beta",
    answer=f"""
        S = log_px.shape[1]
        {_BEST}
        {_PIXELS}
        {_WEIGHTS}
        {_EACH}
        {_ALONE}
    """,
    errors={
        "choice": (
            {_BEST: "best = int(ops.argmax(ops.mean(ops.sum(log_px, axis=3), axis=(1, 2))))  # 1. the checkpoint"},
            "still broken: the checkpoint is the one that is best on the *test* images. The best of several noises is "
            "in its number. Choose by validation images."),
        "pixels": (
            {_PIXELS: "reconstruction = ops.mean(log_px[best], axis=2)  # 2. log p(x|z), [S, N]"},
            "still broken: the reconstruction is a mean over the pixels. It is the logarithm of a product: a sum."),
        "beta": (
            {_WEIGHTS: "log_w = reconstruction + beta * (log_pz[best] - log_qz[best])  # 3. log-weights"},
            "still broken: the training's β is in the log-weights. It was for training; log p(x) knows no β."),
        "logarithm": (
            {_EACH: "each = ops.mean(log_w, axis=0)  # 4. log p(x) of each image"},
            "still broken: the mean of the logarithms is the bound, and stays there however many draws there are. The "
            "logarithm of the mean weight is asked for."),
        "twins": (
            {_ALONE: "return ops.mean(each)  # 5. of images that are no twins"},
            "still broken: the mean is over all test images, those too that are in the training set."),
    },
    slips=[
        ("choice", "worst", {"ops.argmax": "ops.argmin"}, "now it is the checkpoint that is *worst* on validation "
         "images. Bounds are higher where they are better."),
        ("choice", "last", {_BEST: "best = -1  # 1. the checkpoint"}, "now it is the last checkpoint. Choose by the "
         "validation images."),
        ("choice", "first", {_BEST: "best = 0  # 1. the checkpoint"}, "now it is the first checkpoint. Choose by the "
         "validation images."),
        ("choice", "one_image", {"ops.argmax(ops.mean(": "ops.argmax(ops.max("}, "now it is the checkpoint with the "
         "best single image. One image is luck: the mean over all of them."),
        ("beta", "reversed", {_WEIGHTS: "log_w = reconstruction - log_pz[best] + log_qz[best]  # 3."}, "now the sign "
         "of $\\log p(z) - \\log q(z|x)$ is reversed. The prior multiplies a weight, and q divides it."),
        ("beta", "likelihood_alone", {_WEIGHTS: "log_w = reconstruction  # 3."}, "now $\\log p(z) - \\log q(z|x)$ is "
         "gone. A weight is $p(x|z)\\,p(z)/q(z|x)$."),
        ("beta", "on_pixels", {_WEIGHTS: "log_w = beta * reconstruction + log_pz[best] - log_qz[best]  # 3."}, "now β "
         "multiplies the reconstruction. There is no β in log p(x)."),
        ("beta", "of_q", {"- log_qz[best]": "- beta * log_qz[best]"}, "β is gone from one place, and still multiplies "
         "log q."),
        ("beta", "divided", {_WEIGHTS: "log_w = reconstruction + (log_pz[best] - log_qz[best]) / beta  # 3."}, "now it "
         "is divided by β. There is no β in log p(x)."),
        ("beta", "added", {"- log_qz[best]": "+ log_qz[best]"}, "now log q is added. A weight is divided by q."),
        ("logarithm", "sum", {" - np.log(S)  # 4.": "  # 4."}, "now it is the logarithm of the *sum* of the weights. "
         "Subtract log S for that of their mean."),
        ("logarithm", "number_of_images", {"np.log(S)": "np.log(log_w.shape[1])"}, "now the sum over S draws is "
         "divided by the number of images. Its mean is the sum divided by S."),
        ("logarithm", "binary", {"np.log(S)": "np.log2(S)"}, "now $\\log_2 S$ is subtracted, in bits. All else is in "
         "nats."),
        ("logarithm", "s_itself", {"- np.log(S)": "- S"}, "now S itself is subtracted. To divide inside a logarithm is "
         "to subtract log S."),
        ("logarithm", "best_draw", {_EACH: "each = ops.max(log_w, axis=0)  # 4."}, "now it is each image's best draw."),
        ("logarithm", "weights_of_all", {_EACH: "each = ops.mean(log_w, axis=0) * 0 + ops.logsumexp(log_w) - "
         "np.log(S * log_w.shape[1])  # 4."}, "now draws and images are in one mean of weights. The logarithm is taken "
         "for each image."),
        ("twins", "twins_alone", {_ALONE: "return ops.sum(twin * each) / ops.sum(twin)  # 5."}, "now it is the mean "
         "over the twins alone. They are to be left out."),
        ("twins", "by_all", {"/ ops.sum(1 - twin)": "/ len(twin)"}, "now the sum over the others is divided by the "
         "number of all images."),
        ("twins", "sum", {" / ops.sum(1 - twin)": ""}, "now it is the sum over the others. Divide by how many they "
         "are."),
        ("twins", "by_draws", {"/ ops.sum(1 - twin)": "/ (ops.sum(1 - twin) * S)"}, "now the mean is divided by the "
         "number of draws as well, which line 4 has done."),
        ("twins", "by_twins", {"/ ops.sum(1 - twin)": "/ ops.sum(twin)"}, "now the sum over the others is divided by "
         "the number of twins."),
        (None, "per_pixel", {"/ ops.sum(1 - twin)": "/ ops.sum(1 - twin) / log_px.shape[3]"}, "now it is nats a pixel. "
         "An image is asked for."),
        (None, "sign", {"return ops.sum((1": "return -ops.sum((1"}, "the sign was right: log p(x) is asked for, not a "
         "loss."),
    ],
    beyond=("logarithm", "not_in_logarithms", {_EACH: "each = ops.log(ops.mean(ops.exp(log_w), axis=0))  # 4."}, "now "
            "the weights themselves are averaged: a right formula, but where log-weights are below −104 each weight is "
            "0 in float32, and its logarithm infinite. `ops.logsumexp` stays with logarithms."),
    hints="""
        Ask of each line what it is a number of: which images, which model, a sum or a mean, over what?

        Which images may choose? What has β to do with log p(x)? What is inside the logarithm?

        There is one error in each of the lines 1 to 5.
    """,
)  # fmt: skip


# ---- 6


@functools.cache
def _digits():
    data = load("digits")
    train, *others = (np.reshape(x, (-1, 64)) for x in (data.train, data.validation, data.test))
    return train, np.concatenate(others)


TRAINED = TrainedVAE(
    "train_yours", "A model of your own, on held-out data", points=4, minutes=25, difficulty=2, importance=2,
    section="Five papers, one table", aims=(2,),
    bounds={"codes": -26.2, "fair": -25.0, "good": -24.5, "very good": -24.0},
    images=_digits, coins=-27.1, good_kl=(3.5, 5.2), most_latents=8, most_units=100,
    because="three runs of the solution, each with another seed, ended between −23.52 and −23.43, on average over 25 "
    "sets of tossed pixels, which scatter by 0.10. Its like with five latents in 60 epochs reaches "
    "−23.6, with two −25.2; a constant learning rate of 0.001 −25.9 in 20 epochs and −24.2 in 60; "
    "pixels tossed once −23.6 in 80 epochs, and with a constant rate −23.8 in 250, where tossed anew they reach −23.3. "
    "(The check cannot tell these apart: both are 0.2 to 0.3 nats better on training images, tossed afresh, than on "
    "others.) β of 0.2 −28.1. Pixels without codes: −27.1.",
    misread_by=0.3,
    unfinished="Then it is not trained well enough: more epochs, smaller batches, a larger learning rate at first and "
    "a small one in the end, all latents and units that are allowed.",
    hints="""
        Begin with what exercise 02 had: `vk.VAE`, tanh layers by `vk.layers.MLP`, `DynamicBinarization`, an ELBO. There
        are few images here, so an epoch has few steps, and you need more epochs.

        Adam with a learning rate of 0.01 that decays to 0 (`keras.optimizers.schedules.CosineDecay`), batches of 50,
        eighty epochs, a hundred units, eight latents.

        A `keras.Sequential` decoder's `get_weights()` are `[hidden weights, hidden bias, output weights, output bias]`.
    """,
)  # fmt: skip


# ---- 7

FALSE, MISSED, CHANCES = 2.5, 20.0, (np.arange(400) + 0.5) / 400


def _ablations(rng):
    """Three budgets: noise from seeds, from images, and from both; in units of their own."""
    problems = []
    for row in rng.permutation([(1, 10, 1.5, 300, 20), (1, 30, 2.2, 300, 10), (0.3, 30, 1.5, 200, 10)]):
        nats, minutes = rng.uniform(0.1, 0.4), rng.uniform(0.5, 2)
        names = "of_seeds", "of_images", "effect", "budget", "training"
        problem = dict(zip(names, row * np.repeat([nats, minutes], [3, 2]), strict=True))
        problems.append({name: float(value) for name, value in problem.items()} | {"image": float(0.01 * minutes)})
    return problems


@functools.cache
def _spread(seeds):
    r"""Quantiles of $s^2/\sigma^2$, for the variance of so many gains."""
    from scipy.stats import chi2

    return chi2.ppf(CHANCES, seeds - 1) / (seeds - 1)


def _risks(of_seeds, of_images, effect, seeds, images, times):
    r"""The chances, in %, of a false claim and of a missed effect: over χ² of the error over seeds, by quantiles."""
    from scipy.special import ndtr

    said = np.sqrt(of_seeds**2 * _spread(seeds) / seeds + of_images**2 / images)
    true = np.sqrt(of_seeds**2 / seeds + of_images**2 / images)
    false, missed = ndtr(-times * said / true), ndtr((times * said - effect) / true)
    return 100 * np.mean(false), 100 * np.mean(missed)


def _least_missed(*plan):
    """What is missed with the lowest `times` that keeps false claims rare."""
    low, high = 0.0, 100.0
    for _ in range(24):
        middle = (low + high) / 2
        low, high = (middle, high) if _risks(*plan, middle)[0] > FALSE else (low, middle)
    return _risks(*plan, high)[1]


def _rerun(rng, of_seeds, of_images, effect, budget, training, image, seeds, images, times):
    false, missed = _risks(of_seeds, of_images, effect, seeds, images, times)
    spent = seeds * (training + images * image)
    outcome = {"false claims": false, "missed": missed, "spent": round(100 * spent / budget, 6)}
    if missed <= MISSED:
        return outcome

    def least(other):  # of so many seeds, for the same minutes
        left = (min(spent, budget) / other - training) / image if other > 1 else 0
        return _least_missed(of_seeds, of_images, effect, other, left) if left >= 1 else 100.0

    here = _least_missed(of_seeds, of_images, effect, seeds, images)
    return outcome | {"with lower times": here, "seeds help": least(seeds + 1) < least(seeds - 1)}


_PLANNED = """
rng, plans = np.random.default_rng(0), []
for seeds in range(2, 30):
    images = int((budget / seeds - training) / image)
    if images < 10:
        break
    spread = rng.chisquare(seeds - 1, size=100_000) / (seeds - 1)
    said = np.sqrt(of_seeds**2 * spread / seeds + of_images**2 / images)
    noise = np.sqrt(of_seeds**2 / seeds + of_images**2 / images) * rng.normal(size=100_000)
    times = np.quantile(noise / said, 0.979)
    plans.append((np.mean(effect + noise <= times * said), seeds, images, times))
missed, seeds, images, times = min(plans)
return {"seeds": seeds, "images": images, "times": times}
"""


def _plan(seeds, share="1", times="2.2"):
    images = f"max(10, int(({share} * budget / {seeds} - training) / image))"
    return f"dict(seeds={seeds}, images={images}, times={times})"


ABLATION = Experiment(
    "ablation", "An experiment to design: an ablation that holds", points=5, minutes=40, difficulty=3, importance=3,
    section="An ablation", aims=(3,),
    takes="of_seeds, of_images, effect, budget, training, image", draw=_ablations, run=_rerun,
    settings={"seeds": (2, 1000), "images": (1, 1_000_000), "times": (0.0, 1000.0)},
    goals={
        "budget": AtMost(100.0, "% of it", digits=2, of="spent"),
        "false claims": AtMost(FALSE, "%", digits=2, of="false claims"),
        "missed": AtMost(MISSED, "%", digits=1, of="missed"),
    },
    parts={"budget": 1, "false claims": 2, "missed": 2},
    answer=_PLANNED,
    because="the chances are computed by an integral, without dice. The best plans miss 5 to 9 %, so there is room "
    "for those that are nearly as good.",
    hints=r"""
        For each number of seeds the budget says how many images are left. So there is one list of plans to go through,
        and for each of them one `times` that is just large enough.

        Simulate an ablation without any effect many times. With $s$ for `of_seeds` and $v$ for `of_images` the mean
        gain is normal, with the variance $s^2/K + v^2/n$; in the error that you quote $s^2$ is replaced by its
        estimate, which scatters as $s^2\chi^2_{K-1}/(K - 1)$
        (`rng.chisquare`). `times` is the quantile of the ratio that leaves a little less than 2.5 % above it.

        With the same draws, and the effect added to the mean, how many are not above `times`? Take the plan that misses
        least.
    """,
    mistakes=[
        ("budget", "no_budget", "dict(seeds=20, images=10000, times=2.5)", lambda spent, **_: spent > 100, "In at "
         "least one problem the plan costs more than there is: each seed costs a training of both arms, and *its* "
         "measurement on all images."),
        ("false claims", "two_errors", _plan("3", times="2.0"), lambda times, seeds, **_: 1.9 <= times <= 2.1 and seeds
         < 30, "Two standard errors are for errors that are *known*. With few seeds part of the error is estimated, "
         "and often too small. How high `times` has to be then, ablations without an effect tell: simulate them."),
        ("false claims", "one_error", _plan("5", times="1.0"), lambda times, **_: times < 1.9, "An effect of less than "
         "two standard errors is claimed, where there is none, in more than one ablation of forty. `times` counts "
         "standard errors, and is no number of nats."),
        ("false claims", "few_seeds", _plan("3", times="2.3"), lambda seeds, **_: seeds <= 12, "In at least one "
         "problem the seeds are too few for so low a threshold: their error is itself hardly known."),
        ("missed", "lower_times", _plan("(2 if of_images > 50 * of_seeds else 7)", times="4"),
         lambda **o: o["with lower times"] <= MISSED, "In at least one problem this split of the budget would do, and "
         "`times` is too high: with a lower one false claims are still rare enough. Student's $t$ of $K - 1$ degrees "
         "is for an error that is estimated as a whole. Here the images' part of it is known."),
        ("missed", "unspent", _plan("6", "0.5"), lambda spent, **_: spent < 95, "In at least one problem a part of the "
         "budget is left over. Spend it."),
        ("missed", "few_seeds_missed", _plan("3", times="3.6"), lambda **o: o["seeds help"], "In at least one problem "
         "more seeds and fewer images would miss less: the seeds are what the gain is uncertain by, or their error is "
         "so badly known that `times` must be high."),
        ("missed", "few_images", _plan("12"), lambda **_: True, "In at least one problem fewer seeds and more images "
         "would miss less: compare `of_seeds`²/K with `of_images`²/n."),
    ],
)  # fmt: skip

QUESTIONS = [LOADER, COMPARED, IMAGES, GAUNTLET, MENDED, TRAINED, ABLATION]
