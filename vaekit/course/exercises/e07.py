r"""Exercise 07: hierarchies and PixelCNN."""

import functools

import numpy as np

from vaekit.course.observe import VALUE
from vaekit.course.questions import Experiment, Function, Mend, Number, TrainedPixels
from vaekit.course.questions.explain import Explanation
from vaekit.course.questions.question import AtMost
from vaekit.course.questions.small_digits import small_digits

TITLE = "Hierarchies, convolutions, PixelCNN"


# ---- 1


def _windows(mask):
    def draw(rng):
        for N, H, W, C, M, R, S in (2, 3, 4, 2, 3, 3, 3), (1, 4, 5, 1, 2, 3, 5), (1, 5, 3, 2, 1, 5, 3):
            yield dict(x=rng.normal(size=(N, H, W, C)), value=rng.normal(size=(R, S, C, M)),
                       gate=rng.normal(size=(R, S, C, M)), value_bias=rng.normal(size=M),
                       gate_bias=rng.normal(size=M), mask=mask)  # fmt: skip

    return draw


_HALF = 'rows * columns // 2 + (mask == "B")'
_VALUE = 'ops.conv(x, value * seen, padding="same")'
_GATE = 'ops.conv(x, gate * seen, padding="same")'

GATED_MASK = Function(
    "gated_masked_conv", "A gated convolution that sees the past alone", points=4, minutes=20, difficulty=2,
    section="A test by gradients", aims=(3,),
    takes="x[N,H,W,C], value[R,S,C,M], gate[R,S,C,M], value_bias[M], gate_bias[M], mask",
    axes={"N": "images", "H": "rows", "W": "columns", "C": "channels", "M": "filters"},
    draw={"mask A": _windows("A"), "mask B": _windows("B")}, gradients="x value gate value_bias gate_bias",
    requires_first=False, atol=1e-4,
    because="a convolution adds up a few dozen products, each in float32, and backends do so in different orders.",
    answer=f"""
        rows, columns = value.shape[:2]  # of the kernels
        place = np.arange(rows * columns).reshape(rows, columns, 1, 1)  # in raster order
        seen = (place < {_HALF}).astype("float32")
        h = {_VALUE} + value_bias
        v = {_GATE} + gate_bias
        return h * ops.sigmoid(v)
    """,
    hints=r"""
        A mask is an array of 0 and 1, of the kernel's first two axes. Multiply the kernels by it, and everything else
        is an ordinary convolution. Which of the two kernels has to be masked?

        Number the places of the kernel in raster order, `np.arange(rows * columns).reshape(rows, columns, 1, 1)`. The
        pixel itself has the number `rows * columns // 2`. What is seen has a smaller one, with mask B the same one,
        too.

        `ops.conv(x, value * seen, padding="same") + value_bias` is one half; the other half, through `ops.sigmoid`,
        multiplies it.
    """,
    mistakes=[
        ("sees_itself", {'(mask == "B")': "1"}, "the pixel itself is seen with either mask. Mask A hides it: otherwise "
         "the first layer is shown what it should predict."),
        ("hides_itself", {' + (mask == "B")': ""}, "the pixel itself is hidden with either mask. Mask B shows it: in "
         "later layers its features hold no more than the pixels before it."),
        ("masks_exchanged", {'"B"': '"A"'}, "A and B have changed places: A hides the pixel itself, B shows it."),
        ("no_mask", {"value * seen": "value", "gate * seen": "gate"}, "nothing is masked: the whole window is seen, "
         "the future, too."),
        ("gate_unmasked", {"gate * seen": "gate"}, "the gate's kernel is not masked. What opens and shuts may tell as "
         "much as what passes: the future leaks through the gate."),
        ("value_unmasked", {"value * seen": "value"}, "the value's kernel is not masked; only the gate's is."),
        ("future", {f"place < {_HALF}": 'place > rows * columns // 2 - (mask == "B")'}, "the mask shows the future, "
         "and hides the past: earlier places have smaller numbers."),
        ("columns_first", {"np.arange(rows * columns).reshape(rows, columns, 1, 1)":
         "np.arange(rows * columns).reshape(columns, rows, 1, 1).swapaxes(0, 1)"}, "you count along columns. Raster "
         "order reads row by row: all rows above, and what is to the left in the own one."),
        *(("one_too_far", {_HALF: f"{_HALF} {by} 1"}, f"in the pixel's own row the window ends one column too far to "
           f"the {side}: with mask A it ends before the pixel itself, with mask B with it.")
          for by, side in (("+", "right"), ("-", "left"))),
        ("below", {f"place < {_HALF}": f"(place < {_HALF}) + (place >= (rows // 2 + 1) * columns)"}, "the rows below "
         "are seen. They have not been painted."),
        ("triangle", {f"place < {_HALF}": 'place % columns < place // columns + (mask == "B")'}, "the mask is a "
         "triangle. Raster order is another one: of the rows above all columns, of the own row those to the left."),
        *(("one_mask", edits, f"the {which}'s mask is always {always}. Value and gate see the same window, that of "
           "`mask`.")
          for which in ("value", "gate") for always, sign in (("A", ""), ("B", " + 1"))
          for edits in [{f"{which} * seen": f"{which} * (place < rows * columns // 2{sign})"}]),
        ("flipped", {"value * seen": "value[::-1, ::-1] * seen", "gate * seen": "gate[::-1, ::-1] * seen"}, "the "
         "kernels are turned round. `ops.conv` lays a kernel on the image as it is."),
        ("rows_above", {_HALF: "rows // 2 * columns"}, "only rows above are seen. The pixels to the left, in the "
         "own row, have been painted as well."),
        ("own_row", {_HALF: "(rows // 2 + 1) * columns"}, "the whole row of the pixel is seen, what is to the right of "
         "it, too."),
        ("itself_alone", {f"place < {_HALF}": 'place != rows * columns // 2 + (mask == "B") * rows * columns'}, "the "
         "pixel itself is hidden, and nothing of what comes after it: the rest of its row, and all rows below."),
        *(("square", {_HALF: f"{row} * columns + {column} + (mask == 'B')"}, "the pixel itself is looked for in the "
           "wrong place: a kernel need not be square. Its row is `rows // 2`, its column `columns // 2`.")
          for row, column in (("rows // 2", "rows // 2"), ("columns // 2", "columns // 2"))),
        ("left_half", {"seen = (place <": "seen = (place % columns <= columns // 2) * (place <"}, "in the rows above "
         "only the left half is seen. All of these rows have been painted, the upper right, too."),
        ("no_gate", {"h * ops.sigmoid(v)": "h"}, "there is no gate: the value is to be multiplied by the sigmoid of "
         "the other convolution."),
        ("tanh_gate", {"ops.sigmoid(v)": "ops.tanh(v)"}, "the gate is a tanh. A gate lies between 0, shut, and 1, "
         "open: `ops.sigmoid`."),
        ("tanh_value", {"h * ops.sigmoid": "ops.tanh(h) * ops.sigmoid"}, "the value goes through a tanh. There are "
         "gated layers that do this; the lesson's leaves it linear."),
        ("gates_itself", {"ops.sigmoid(v)": "ops.sigmoid(h)"}, "the value is its own gate. The gate has weights of its "
         "own, `gate` and `gate_bias`."),
        ("halves_exchanged", {"h * ops.sigmoid(v)": "v * ops.sigmoid(h)"}, "value and gate have changed places: the "
         "sigmoid belongs to the gate."),
        ("added", {"h * ops.sigmoid(v)": "h + ops.sigmoid(v)"}, "the gate is added; it multiplies."),
        ("biases_exchanged", {f"h = {_VALUE} + value_bias\nv = {_GATE} + gate_bias":
         f"h = {_VALUE} + gate_bias\nv = {_GATE} + value_bias"}, "the biases have changed "
         "places: `value_bias` belongs to the value, `gate_bias` to the gate."),
        ("no_biases", {f"h = {_VALUE} + value_bias\nv = {_GATE} + gate_bias": f"h = {_VALUE}\nv = {_GATE}"},
         "both biases are missing, `value_bias` and `gate_bias`."),
        ("no_gate_bias", {" + gate_bias": ""}, "the gate's bias is missing; both convolutions have one."),
        ("no_value_bias", {" + value_bias": ""}, "the value's bias is missing; both convolutions have one."),
        ("bias_after", {" + value_bias": "", " + gate_bias": "", "h * ops.sigmoid(v)": "h * ops.sigmoid(v) + "
         "value_bias"}, "the bias comes after the gate. Each convolution has a bias of its own, before they meet."),
        ("bias_after", {" + gate_bias": "", "h * ops.sigmoid(v)": "h * ops.sigmoid(v) + gate_bias"}, "the gate's bias "
         "comes after the gate. It belongs inside of the sigmoid."),
        ("valid", {_VALUE: _VALUE.replace("same", "valid"), _GATE: _GATE.replace("same", "valid")}, "the output is "
         "smaller than the image. Each pixel needs an answer, those at the border, too: `padding=\"same\"` sets zeros "
         "around."),
    ],
)  # fmt: skip


# ---- 2


def _bytes(inside):
    def draw(rng):
        for shape in (3, 4), (2, 5):
            mean, log_scale = rng.uniform(0.2, 0.8, size=shape), rng.uniform(-3.2, -1.5, size=shape)
            k = np.round(256 * (mean + rng.uniform(-2, 2, size=shape) * np.exp(log_scale)))
            if inside:  # neighbours of the edges are among them
                k.flat[:4], mean.flat[:4] = (1, 254, 2, 253), rng.uniform(0, 0.1, size=4) + (0, 0.9, 0, 0.9)
            else:
                k = 255 * (rng.permutation(mean.size) % 2).reshape(shape)
                mean = np.where(k == 0, rng.uniform(-0.05, 0.15, size=shape), rng.uniform(0.85, 1.05, size=shape))
            yield dict(k=1.0 * np.clip(k, inside, 255 - inside), mean=mean, log_scale=log_scale)

    return draw


def _far_bytes(rng):
    """Bins in the far tail of a narrow bell, and bells a million bins wide."""
    k = np.concatenate([[0, 255, 0, 255], rng.integers(1, 255, size=8)])
    mean = np.concatenate([[0.9, 0.1, 0.05, 0.9], rng.uniform(0.1, 0.9, size=8)])
    log_scale = np.concatenate([[-6.5, -7.0, -8.0, -8.0], [-7.0, -7.5, -8.0, -6.5], rng.uniform(7, 9, size=4)])
    mean[4:8] = np.where(k[4:8] > 127, 0.1, 0.9)
    order = rng.permutation(12)
    yield {name: 1.0 * a[order].reshape(3, 4) for name, a in (("k", k), ("mean", mean), ("log_scale", log_scale))}


_INSIDE = "ops.log(-ops.expm1(-width)) - ops.softplus(low) - ops.softplus(-high)"
_EDGES = "ops.where(k == 0, -ops.softplus(-high), ops.where(k == 255, -ops.softplus(low), inside))"
_DIFFERENCE = "ops.sigmoid(high) - ops.sigmoid(low)"
_PLAIN = f"ops.log({_DIFFERENCE})"
_MIDDLE = "ops.log(width) - ops.softplus((low + high) / 2) - ops.softplus(-(low + high) / 2)"
_ALL_PLAIN = "ops.where(k == 255, 1.0, ops.sigmoid(high)) - ops.where(k == 0, 0.0, ops.sigmoid(low))"
_LOST = "float32 has seven digits, float64 sixteen, and neither tells the sigmoids of neighbouring ends apart there"

BYTES = Function(
    "byte_log_prob", "The probability of a byte", points=5, minutes=25, difficulty=3,
    section="Grey pixels", aims=(2,),
    takes="k[N,D], mean[N,D], log_scale[N,D]", axes={"N": "images", "D": "pixels"}, gradients="mean log_scale",
    draw={"inside": _bytes(True), "edges": _bytes(False), "stable": _far_bytes},
    parts={"inside": 1.5, "edges": 1.5, "stable": 2}, requires_first=False, rtol=2e-4, atol=2e-4,
    because="a difference of two sigmoids keeps four digits or so in the first two parts; in the third it keeps none.",
    answer=f"""
        width = ops.exp(-log_scale) / 256  # of a bin, in units of s
        low = (k - 256 * mean) * width  # where it begins
        high = low + width
        inside = {_INSIDE}
        return {_EDGES}
    """,
    hints=r"""
        Both ends of the bin in units of $s$: $a = (k/256 - \mu)/s$ and $b = a + \frac{1}{256\,s}$. Inside it is
        $\log(\mathrm{sigmoid}(b) - \mathrm{sigmoid}(a))$. What are the sigmoids at $-\infty$ and $\infty$?

        In the far tail both sigmoids are 0, or both are 1; in a wide bell they are nearly the same. Their difference
        has to be worked out before it is computed: write both over a common denominator.

        $\mathrm{sigmoid}(b) - \mathrm{sigmoid}(a) = \mathrm{sigmoid}(b)\,\mathrm{sigmoid}(-a)\,(1 - e^{a - b})$, and
        $a - b$ is minus the width of a bin. The logarithms of the first two are `-ops.softplus(-b)` and
        `-ops.softplus(a)`; for the third there is `ops.expm1`.
    """,
    mistakes=[
        ("no_edges", {_EDGES: "inside"}, "the tails belong to no bin: the 256 probabilities do not add up to one. The "
         r"first bin begins at $-\infty$, the last one ends at $\infty$."),
        ("first_alone", {"ops.where(k == 255, -ops.softplus(low), inside)": "inside"}, "the first bin has its tail, "
         r"the last one has not: it ends at $\infty$."),
        ("last_alone", {_EDGES: "ops.where(k == 255, -ops.softplus(low), inside)"}, "the last bin has its tail, the "
         r"first one has not: it begins at $-\infty$."),
        ("tails_alone", {"k == 0, -ops.softplus(-high)": "k == 0, -ops.softplus(-low)", "k == 255, -ops.softplus(low)":
         "k == 255, -ops.softplus(high)"}, "the edge bins have the tails alone, what lies beyond 0 and 1. They have "
         "their own share, too: the first one is all below $1/256$."),
        *(("wide_edges", {f"k == {edge}": f"k {edges}"}, f"byte {edge + step} gets a tail, as if it were at the edge. "
           "Only the first bin, 0, and the last one, 255, have one.")
          for edge, step, edges in ((0, 1, "<= 1"), (255, -1, ">= 254"))),
        ("certain_edges", {_EDGES: "ops.where((k == 0) | (k == 255), 0.0, inside)"}, "the edge bins have the "
         r"logarithm 0, the probability 1. The first one has what lies below $1/256$, the last one what lies above "
         "$255/256$."),
        ("edges_exchanged", {_EDGES: _EDGES.replace("== 0", "== 256 - 1").replace("== 255", "== 0")}, "the edge bins "
         "have each other's ends: the first one is all below its upper end, $F(1/256)$, the last one all above "
         "its lower end."),
        ("bins_of_255", {"/ 256  #": "/ 255  #", "256 * mean": "255 * mean"}, "your bins are $1/255$ wide. 256 of them "
         "share the interval from 0 to 1."),
        ("centred", {"k - 256 * mean": "k - 0.5 - 255 * mean", "/ 256  #": "/ 255  #"}, "your bins have $k/255$ in "
         "their middle, and the first and the last one stick out. There are papers that do so. Here bin $k$ goes from "
         "$k/256$ to $(k + 1)/256$."),
        ("half_a_bin", {"k - 256 * mean": "k - 0.5 - 256 * mean"}, "your bins begin half a bin too early: bin $k$ goes "
         "from $k/256$ to $(k + 1)/256$."),
        ("k_in_ranges", {"k - 256 * mean": "256 * (k - mean)"}, r"$k$ is counted in bins, $\mu$ in ranges of 256 of "
         "them: bin $k$ begins at $k/256$."),
        ("mean_in_bytes", {"k - 256 * mean": "k - mean"}, r"$\mu$ is counted in bytes; it lies between 0 and 1, where "
         "the bins are $k/256$."),
        ("times_s", {"ops.exp(-log_scale)": "ops.exp(log_scale)"}, "you multiply by $s$, where one divides."),
        ("log_scale_as_scale", {"ops.exp(-log_scale) / 256": "1 / (256 * log_scale)"}, r"$\log s$ stands where $s$ is "
         "meant."),
        ("variance", {"ops.exp(-log_scale)": "ops.exp(-log_scale / 2)"}, "you divide by $\\sqrt s$: `log_scale` is the "
         r"logarithm of $s$, not of a variance."),
        *(("density", {_INSIDE: inside}, "this is the density in the middle of the bin, times its width. A wide bell "
           "has nearly that; but a bin has what lies in it, $F(b) - F(a)$. Within one bin of a narrow bell the density "
           "falls by many factors of $e$.")
          for inside in (_MIDDLE, f"ops.where({_DIFFERENCE} > 1e-5, ops.log(ops.maximum({_DIFFERENCE}, 1e-12)), "
                         f"{_MIDDLE})")),
        ("density_itself", {_INSIDE: "-log_scale - ops.softplus((low + high) / 2) - ops.softplus(-(low + high) / 2)"},
         "this is the logarithm of the density. It is no probability; a bin has $F(b) - F(a)$."),
        ("underflow", {_INSIDE: _PLAIN, _EDGES: "ops.where(k == 0, ops.log(ops.sigmoid(high)), ops.where(k == 255, "
         "ops.log(1 - ops.sigmoid(low)), inside))"}, f"the formula is right, and some bins are lost: {_LOST}. "
         "Take the logarithm apart first: sigmoid(b) − sigmoid(a) is a product."),
        ("underflow", {_INSIDE: _PLAIN}, f"the formula is right, and some bins inside are lost: {_LOST}. Take the "
         "logarithm apart first: sigmoid(b) − sigmoid(a) is a product."),
        ("of_log_sigmoids", {_INSIDE: "ops.log_sigmoid(high) + "
         "ops.log(-ops.expm1(ops.log_sigmoid(low) - ops.log_sigmoid(high)))"}, "the formula is right, and where a bin "
         "lies above the bell, or the bell is wide, both log-sigmoids are nearly the same: their difference has lost "
         "its digits before `ops.expm1` gets it. The width of the bin needs no difference."),
        ("log_of_each", {_INSIDE: "ops.softplus(-low) - ops.softplus(-high)"}, "this is $\\log F(b) - \\log F(a)$. "
         "The logarithm of a difference is another thing."),
        ("bounded_scale", {"ops.exp(-log_scale)": "ops.exp(-ops.minimum(ops.maximum(log_scale, -4.5), 0.0))"},
         "$\\log s$ is kept within the lesson's bounds. Here it has none."),
        ("bounded_mean", {"256 * mean": "256 * ops.minimum(ops.maximum(mean, 1 / 512), 511 / 512)"}, "$\\mu$ is "
         "kept within the lesson's bounds. Here it has none."),
        *(("wide_bells", edits, "for bells that are wide digits are lost: of $1 - e^{-\\text{width}}$, or of a "
           "difference of two numbers that are nearly the same. `-ops.expm1(-width)` keeps them, with the width of the "
           "bin, which needs no difference.")
          for edits in ({"-ops.expm1(-width)": "1 - ops.exp(-width)"},
                        {"inside = ": "a, b = -ops.abs(low + width / 2) - width / 2, width / 2 - ops.abs(low + width "
                         "/ 2)\ninside = ", _INSIDE: "ops.log_sigmoid(b) + ops.log(-ops.expm1(ops.log_sigmoid(a) - "
                         "ops.log_sigmoid(b)))"})),
        ("bits", {f"return {_EDGES}": f"return {_EDGES} / np.log(2)"}, "this is in bits; nats are asked for."),
        ("probability", {f"return {_EDGES}": f"return ops.exp({_EDGES})"}, "this is the probability; its logarithm is "
         "asked for."),
    ],
)  # fmt: skip


def _floor(inputs, observation, observed, target):
    """Explains bins far away that all have one and the same logarithm, whatever the small number is that made it."""
    if np.shape(observed) != np.shape(target.value):
        return None
    if observation == VALUE:
        far = observed[(target.value < -50) & (np.abs(observed - target.value) > 1)]
        alike = far.size >= 4 and np.ptp(far) < 1e-3
    else:  # what is constant has no slope
        alike = 4 <= np.sum((observed == 0) & (np.abs(target.value) > 1)) and np.isfinite(observed).all()
    if not alike:
        return None
    return Explanation(
        "floor",
        "bins far away all cost the same: the probability is kept above a small number, or one is added. That hides "
        f"that it is lost: {_LOST}.",
    )


BYTES.explained = _floor


# ---- 3

NOISE = Number(
    "noise_price", "What uniform noise costs", points=3, minutes=20, difficulty=2, importance=2,
    section="What uniform noise has to do with it", aims=(2,),
    value="0.5 * log2(2 * pi * e / 12)",
    hints=r"""
        Count in bins: with $w = 256\,s$ and $u$ for the noise, the density of a bin is a normal one in $u$, of mean
        $\frac12$ and deviation $w$. The factor $1/256$ is gone.

        $-\log_2$ of it is $\log_2(w\sqrt{2\pi}) + \frac{(u - \frac12)^2}{2 w^2 \ln 2}$. Take the mean over $u$: what
        is the variance of a uniform number?

        The mean of $(u - \frac12)^2$ is $\frac1{12}$. Set the derivative for $w$ to zero: the best $w$ is the
        deviation of the noise. Put it in.
    """,
    mistakes=[
        ("nats", "0.5 * log(2 * pi * e / 12)", "this is in nats; bits are asked for: divide by $\\ln 2$."),
        ("eight", "0.5 * log2(2 * pi * e / 12) - 8", "eight bits are missing: the density of $x$ has a unit, the whole "
         "range from 0 to 1. A bin is $1/256$ of it."),
        ("eight_more", "0.5 * log2(2 * pi * e / 12) + 8", "eight bits too many. They come in once, as the width of a "
         "bin; the density in a bin is 256 times as high as you have it."),
        ("negative", "-0.5 * log2(2 * pi * e / 12)", "this is the bound on $\\log_2 P$; bits are minus that. A length "
         "below zero cannot be."),
        ("no_exponent", "0.5 * log2(2 * pi / 12)", "the exponent of the normal density is missing: at the best width "
         "it costs half a nat."),
        ("at_the_middle", "0.5 * log2(2 * pi / 12) - 8", "the exponent is missing, and eight bits, the width "
         "of a bin."),
        ("width_of_one", "0.5 * log2(2 * pi) + 1 / (24 * log(2))", "that is the price with a deviation of one bin. The "
         "least one is asked for: which $s$ is best?"),
        ("not_centred", "0.5 * log2(2 * pi * e / 3)", r"you took the mean of $u^2$, which is $\frac13$. The bell "
         r"stands in the middle of the bin: $(u - \frac12)^2$ counts."),
        ("farthest", "0.5 * log2(2 * pi * e / 4)", r"$\frac14$ is the largest $(u - \frac12)^2$. The mean over $u$ is "
         "asked for."),
        ("standard", "0.5 * log2(2 * pi * e)", "that is the entropy of $\\mathcal N(0, 1)$. The best $s$ is the "
         "deviation of the noise in its bin."),
        ("deviation", "log2(sqrt(2 * pi) / 12) + 6 / log(2)", r"$\frac1{12}$ is the best *variance*, in bins. You "
         "put it in for the deviation."),
        ("half", "log2(2 * pi * e / 12)", r"the density divides by a root, $\sqrt{2\pi s^2}$: "
         r"$\frac12$ stands before its logarithm."),
        ("half_of_one", "0.5 * log2(2 * pi * e) - log2(12)", r"$\frac1{12}$ is the best *variance*, in bins. Its root "
         "belongs into the logarithm."),
        ("nats_inside", "0.5 * log2(2 * pi / 12) + 0.5", "the exponent is counted in nats, half a nat. In bits, that "
         r"is $1/(2 \ln 2)$."),
        ("pi", "0.5 * log2(pi * e / 12)", "this is below zero, and no bits of a discrete model can be. "
         r"Is a 2 lost, that of $2\pi$ or of $2 s^2$?"),
        ("half_a_bin", "log2(sqrt(2 * pi) / 2) + 1 / (6 * log(2))", "that is the price with a deviation of half a bin. "
         "The least one is asked for: which $s$ is best?"),
        ("best_width", "1 / sqrt(12)", "this is the best $s$, in bins. Its price is asked for."),
        ("best_scale", "1 / (256 * sqrt(12))", "this is the best $s$. Its price is asked for."),
        ("rounded", "0.25", "a quarter of a bit is near. A digit more, please."),
        ("discrete", "0", "nothing is what the *discretized* pixel costs, which is certain. A density with noise "
         "cannot do as well: a normal bell is not as flat as a bin, and does not end where the bin ends."),
    ],
    note="It is what is left between the best normal bell and a flat bin, a quarter of a bit for each pixel.",
)  # fmt: skip


# ---- 4


def _hierarchies(rng):
    for N, D, K, L, M in (3, 4, 4, 2, 5), (4, 3, 2, 5, 3):
        yield dict(x=1.0 * (rng.random((N, D)) < 0.5), pseudo_inputs=rng.random((K, D)),
                   noise_2=rng.normal(size=(N, M)), noise_1=rng.normal(size=(N, L)), to_z2=rng.normal(size=(D, M)) / 2,
                   log_variance_2=rng.uniform(-1.5, 0.5, size=M), to_z1=rng.normal(size=(D, L)) / 2,
                   across=rng.normal(size=(M, L)) / 2, log_variance_1=rng.uniform(-1.5, 0.5, size=L),
                   down=rng.normal(size=(M, L)) / 2, z1_to_x=rng.normal(size=(L, D)),
                   z2_to_x=rng.normal(size=(M, D)))  # fmt: skip


_MIXED = "ops.logsumexp(each, axis=1) - np.log(pseudo_inputs.shape[0])"
_LOWER = "0.5 * ops.sum(ops.exp(log_variance_1) + (q1_mean - p1_mean) ** 2 - 1 - log_variance_1, axis=1)"
_RETURNED = "return reconstruction - k1 - k2, k1, k2"

HIERARCHY = Function(
    "hierarchical_bound", "The bound of a hierarchy with a VampPrior", points=5, minutes=25, difficulty=2,
    section="A hierarchy that lives", aims=(1,),
    takes="x[N,D], pseudo_inputs[K,D], noise_2[N,M], noise_1[N,L], to_z2[D,M], log_variance_2[M], to_z1[D,L], "
    "across[M,L], log_variance_1[L], down[M,L], z1_to_x[L,D], z2_to_x[M,D]",
    returns="bound, k1, k2", draw=_hierarchies,
    gradients="pseudo_inputs to_z2 log_variance_2 to_z1 across log_variance_1 down z1_to_x z2_to_x",
    requires_first=False,
    axes={"N": "images", "D": "pixels", "K": "pseudo-inputs", "L": "units of z1", "M": "units of z2"},
    parts={"k1": 1, "k2": 1.5, "bound": 1.5, "gradients": 1},
    answer=f"""
        def log_normal(z, mean, log_variance):  # summed over the units
            return -0.5 * ops.sum(LOG_2PI + log_variance + (z - mean) ** 2 / ops.exp(log_variance), axis=-1)

        q2_mean = ops.matmul(x, to_z2)
        z2 = q2_mean + ops.exp(log_variance_2 / 2) * noise_2
        components = ops.matmul(pseudo_inputs, to_z2)  # [K, M]
        each = log_normal(z2[:, None], components, log_variance_2)  # [N, K]
        log_prior = {_MIXED}
        k2 = log_normal(z2, q2_mean, log_variance_2) - log_prior  # at the draw

        q1_mean = ops.matmul(x, to_z1) + ops.matmul(z2, across)
        p1_mean = ops.matmul(z2, down)
        k1 = {_LOWER}  # given z2, a formula

        z1 = q1_mean + ops.exp(log_variance_1 / 2) * noise_1
        logits = ops.matmul(z1, z1_to_x) + ops.matmul(z2, z2_to_x)
        reconstruction = ops.sum(x * logits - ops.softplus(logits), axis=1)
        {_RETURNED}
    """,
    hints=r"""
        From the top down: first draw $z_2$ from what the image says; everything about $z_1$, in $q$ and in $p$, is
        given this draw. Which of the two divergences is one between normals?

        $K_1$, given $z_2$: $\frac12\sum_j\big(e^{\lambda_j} + (\mu^q_j - \mu^p_j)^2 - 1 - \lambda_j\big)$, with
        $\mu^q = x A + z_2 B$ and $\mu^p = z_2 C$. The variance of $p(z_1|z_2)$ is 1.

        $K_2$ has a mixture in it, so it is taken at the draw: $\log q(z_2|x) - \log p(z_2)$, and $\log p(z_2) =
        \log\frac1K\sum_k q(z_2|u_k)$, by `ops.logsumexp` over the components, as in lesson 06.
    """,
    mistakes=[
        ("normal_prior", {"log_normal(z2, q2_mean, log_variance_2) - log_prior": "log_normal(z2, q2_mean, "
         "log_variance_2) - log_normal(z2, 0 * z2, 0 * z2)"}, "the prior of $z_2$ is a standard normal. Here it is the "
         "VampPrior, the mixture of what the encoder says of the pseudo-inputs."),
        ("closed_form_normal", {"log_normal(z2, q2_mean, log_variance_2) - log_prior": "0.5 * ops.sum(q2_mean**2 + "
         "ops.exp(log_variance_2) - 1 - log_variance_2, axis=1)"}, r"$K_2$ is the divergence from $\mathcal N(0, I)$. "
         "The prior is a VampPrior, and a divergence from a mixture is no formula: take both densities at the draw."),
        ("mean_of_logs", {_MIXED: "ops.mean(each, axis=1)"}, "you averaged the logarithms of the components. It is the "
         "logarithm of their mean: one component near the code is enough."),
        ("not_divided", {" - np.log(pseudo_inputs.shape[0])": ""}, "the components are added up, and not divided by "
         "their number: $-\\log K$ is missing."),
        ("by_images", {"np.log(pseudo_inputs.shape[0])": "np.log(x.shape[0])"}, "the sum is divided by the number of "
         "images. It is a mean over the pseudo-inputs."),
        ("nearest", {"ops.logsumexp(each, axis=1)": "ops.max(each, axis=1)"}, "only the nearest component counts; the "
         "mixture has all of them."),
        ("unit_components", {"log_normal(z2[:, None], components, log_variance_2)": "log_normal(z2[:, None], "
         "components, 0 * log_variance_2)"}, "the components have the variance 1. Each is a posterior, "
         r"$q(z_2|u_k)$, as wide as those of the images."),
        ("prior_held", {"ops.matmul(pseudo_inputs, to_z2)": "ops.matmul(pseudo_inputs, ops.stop_gradient(to_z2))"},
         "the components are made by the encoder, `to_z2`, and in the prior it is held fixed. It learns through the "
         "prior, too."),
        ("prior_at_mean", {"log_normal(z2[:, None], components": "log_normal(q2_mean[:, None], components"}, "the "
         "prior's density is taken at the mean of $q(z_2|x)$, the encoder's at the draw. Both belong to the draw."),
        ("encoder_given_mean", {"ops.matmul(z2, across)": "ops.matmul(q2_mean, across)"}, r"$q(z_1|x, z_2)$ is given "
         r"the mean of $z_2$; it is given the $z_2$ that was drawn."),
        ("prior_given_mean", {"p1_mean = ops.matmul(z2, down)": "p1_mean = ops.matmul(q2_mean, down)"},
         r"$p(z_1|z_2)$ is given the mean of $z_2$; it is given the $z_2$ that was drawn."),
        ("both_given_mean", {"ops.matmul(z2, across)": "ops.matmul(q2_mean, across)", "p1_mean = ops.matmul(z2, down)":
         "p1_mean = ops.matmul(q2_mean, down)"}, "all that is about $z_1$ is given the mean of $z_2$; it is given the "
         "$z_2$ that was drawn."),
        ("standard_z1", {"p1_mean = ops.matmul(z2, down)": "p1_mean = 0 * q1_mean"}, "$z_1$ is compared with a "
         r"standard normal. Its prior comes from above: $p(z_1|z_2)$ has the mean $z_2 C$."),
        ("encoder_blind", {" + ops.matmul(z2, across)": ""}, r"$q(z_1|x, z_2)$ is given the image alone; it hears "
         r"$z_2$, too."),
        ("k1_at_draw", {_LOWER: "log_normal(q1_mean + ops.exp(log_variance_1 / 2) * noise_1, q1_mean, log_variance_1) "
         "- log_normal(q1_mean + ops.exp(log_variance_1 / 2) * noise_1, p1_mean, 0 * log_variance_1)"}, "$K_1$ is "
         "taken at the draw of $z_1$. The mean is right; but given $z_2$ both are normals, and the closed form has "
         "less noise."),
        ("k1_reversed", {_LOWER: "0.5 * ops.sum((1 + (q1_mean - p1_mean) ** 2) / ops.exp(log_variance_1) - 1 + "
         "log_variance_1, axis=1)"}, r"$K_1$ is $\mathrm{KL}(p\,\|\,q)$, the wrong way round."),
        ("k1_of_draw", {_LOWER: _LOWER.replace("(q1_mean -", "(q1_mean + ops.exp(log_variance_1 / 2) * noise_1 -")},
         "in the closed form of $K_1$ stands the $z_1$ that was drawn. It has the mean of $q(z_1|x, z_2)$ there; the "
         r"spread of the draws is its $e^{\lambda_1}$."),
        ("k1_no_one", {" - 1 - log_variance_1": " - log_variance_1"}, "in $K_1$ the $-1$ of each unit is missing: of "
         "two equal normals the divergence is 0."),
        ("no_z2_line", {" + ops.matmul(z2, z2_to_x)": ""}, "the pixels do not see $z_2$. This decoder has a line to "
         "both latents; lesson 05's had not, and its upper layer starved."),
        ("no_z1_line", {"ops.matmul(z1, z1_to_x) + ": ""}, "the pixels do not see $z_1$; they have a line to "
         "both latents."),
        ("pixels_of_mean", {"ops.matmul(z1, z1_to_x)": "ops.matmul(q1_mean, z1_to_x)"}, "the pixels come from the mean "
         "of $z_1$, not from the draw."),
        ("variance_2", {"ops.exp(log_variance_2 / 2) * noise_2": "ops.exp(log_variance_2) * noise_2"}, "the noise of "
         r"$z_2$ is multiplied by the variance; by $\sigma = e^{\lambda/2}$ it should be."),
        ("variance_1", {"ops.exp(log_variance_1 / 2) * noise_1": "ops.exp(log_variance_1) * noise_1"}, "the noise of "
         r"$z_1$ is multiplied by the variance; by $\sigma = e^{\lambda/2}$ it should be."),
        ("added", {"reconstruction - k1 - k2,": "reconstruction + k1 + k2,"}, "both divergences are added. They are "
         "what the code costs: subtract them."),
        ("k2_missing", {"reconstruction - k1 - k2,": "reconstruction - k1,"}, "the bound lacks $K_2$, what the upper "
         "layer costs."),
        ("k1_missing", {"reconstruction - k1 - k2,": "reconstruction - k2,"}, "the bound lacks $K_1$, what the lower "
         "layer costs."),
        ("exchanged", {"- k2, k1, k2": "- k2, k2, k1"}, "$K_1$ and $K_2$ have changed places: the second value is "
         "$z_1$'s, the third one $z_2$'s."),
    ],
)  # fmt: skip


# ---- 5


def _noises(rng):
    for N, H, W in (5, 4, 3), (6, 3, 4):
        signs = np.append(rng.permutation([1, 1, -1, -1]), [1, 1]).reshape(2, 3)  # the last two are masked
        kernel = signs * rng.uniform(0.7, 1.5, size=(2, 3))
        yield dict(noise=rng.random((N, H, W)), kernel=kernel, bias=float(rng.uniform(0.2, 0.7)))


_ABOVE = "kernel[0, 0] * x[i][j] + kernel[0, 1] * x[i][j + 1] + kernel[0, 2] * x[i][j + 2]"
_LEFT = "kernel[1, 0] * x[i + 1][j]"
_DRAWN = "ops.where(noise[:, i, j] < ops.sigmoid(logit), 1.0, 0.0)"

PAINT = Function(
    "paint", "Pixel by pixel", points=4, minutes=20, difficulty=2, takes="noise[N,H,W], kernel[R,S], bias",
    section="Pixel by pixel", aims=(4,),
    returns="images, log probability", axes={"N": "images", "H": "rows", "W": "columns"}, draw=_noises,
    parts={"images": 2.5, "log probability": 1.5},
    answer=f"""
        N, H, W = noise.shape
        x = [[0 * noise[:, 0, 0]] * (W + 2) for _ in range(H + 1)]  # zeros, with a border around
        log_p = 0
        for i in range(H):
            for j in range(W):
                logit = bias + {_ABOVE} + {_LEFT}
                pixel = {_DRAWN}
                x[i + 1][j + 1] = pixel
                log_p = log_p + pixel * logit - ops.softplus(logit)
        return ops.stack([ops.stack(row[1:-1], axis=1) for row in x[1:]], axis=1), log_p
    """,
    hints=r"""
        Which pixels have to be there before pixel $(i, j)$ can be drawn? Two loops, and inside of them one column of
        numbers `[N]`: the same pixel in all images.

        Tensors cannot be written into. Keep the pixels in a list of lists, with a border of zeros above and on both
        sides, so that no place needs a case of its own; `ops.stack` makes a tensor of it in the end.

        With the border, pixel $(i, j)$ is `x[i + 1][j + 1]`. Above it are `x[i][j]`, `x[i][j + 1]`, `x[i][j + 2]`, to
        its left is `x[i + 1][j]`. It is `ops.where(noise[:, i, j] < ops.sigmoid(logit), 1.0, 0.0)`, and adds
        $x a - \log(1 + e^a)$ to the log-probability.
    """,
    mistakes=[
        *(("no_upper_right", edits, "the pixel to the upper right counts as 0. Was it asked for before it was drawn, "
           "as it is column by column? Raster order: row by row. Or was it not asked for at all?") for edits in (
              {"for i in range(H):\n    for j in range(W):": "for j in range(W):\n    for i in range(H):"},
              {" + kernel[0, 2] * x[i][j + 2]": ""})),
        *(("no_left", edits, "the pixel to the left counts as 0. Was it asked for before it was drawn, as it is where "
           "rows are drawn from the right? Or was it not asked for at all?") for edits in (
              {"for j in range(W):": "for j in range(W - 1, -1, -1):"}, {f" + {_LEFT}": ""})),
        ("bottom_up", {"for i in range(H):": "for i in range(H - 1, -1, -1):"}, "you begin with the last row, when "
         "nothing is above it yet."),
        ("at_once", {"x[i + 1][j + 1] = pixel": "pass", "return ops.stack([ops.stack(row[1:-1], axis=1) for row in "
         "x[1:]], axis=1), log_p": "first = ops.where(noise < ops.sigmoid(bias + 0 * noise), 1.0, 0.0)\nreturn first, "
         "ops.sum(first * bias - np.log1p(np.exp(bias)), axis=(1, 2))"}, "all pixels are drawn at once, given an empty "
         "canvas: none of them knows what the others have become."),
        ("means_kept", {"x[i + 1][j + 1] = pixel": "x[i + 1][j + 1] = ops.sigmoid(logit)"}, "later pixels are given "
         "*probabilities* of earlier ones, and probabilities come back. A pixel is drawn, black or white, before "
         "anybody looks at it."),
        ("most_probable", {_DRAWN: "ops.where(ops.sigmoid(logit) > 0.5, 1.0, 0.0)"}, "each pixel takes its more "
         "probable value. That gives the same image each time; a sample needs the noise."),
        ("reversed", {"noise[:, i, j] < ": "noise[:, i, j] > "}, "a pixel is white with the probability of black: "
         "noise *below* the sigmoid makes it white."),
        ("no_sigmoid", {"< ops.sigmoid(logit)": "< logit"}, "the noise is compared with the logit. Its sigmoid is the "
         "probability of white."),
        ("mirrored", {_ABOVE: "kernel[0, 2] * x[i][j] + kernel[0, 1] * x[i][j + 1] + kernel[0, 0] * x[i][j + 2]"},
         "the kernel is mirrored: its first column is for the pixel to the upper left."),
        *(("around", edits, "in the first column a pixel from the other side takes part. Nothing lies to the left of "
           "it: an index of −1 is the last place, and not one outside. Zeros lie around the image.") for edits in (
              {_LEFT: "kernel[1, 0] * (x[i + 1][j] if j else x[i][W])"},
              {"kernel[0, 0] * x[i][j] ": "kernel[0, 0] * (x[i][j] if j else x[i][W]) "})),
        ("clamped", {"kernel[0, 2] * x[i][j + 2]": "kernel[0, 2] * x[i][min(j + 2, W)]"}, "in the last column the "
         "pixel above takes the place of the one to the upper right, which lies outside of the image, and is 0. "
         "Some backends take the last place where an index is too large."),
        ("masked_taps", {_LEFT: "kernel[1, 1] * x[i + 1][j]"}, "the pixel to the left is multiplied by `kernel[1, 1]`. "
         "That is masked, being the pixel's own place; to its left is `kernel[1, 0]`."),
        ("transposed", {_ABOVE: "kernel[0, 0] * x[i][j] + kernel[0, 1] * x[i + 1][j] + kernel[1, 0] * x[i][j + 1]",
         f" + {_LEFT}": ""}, "rows and columns of the kernel have changed places: `kernel[0, 1]` is for the pixel "
         "above, `kernel[1, 0]` for the one to the left."),
        ("above_twice", {_LEFT: "kernel[1, 0] * x[i][j]"}, "`kernel[1, 0]` is for the pixel to the left in the own "
         "row, not for one above."),
        ("no_bias", {"bias + ": ""}, "the bias is missing; it belongs to each of the logits."),
        ("white_alone", {"pixel * logit - ops.softplus(logit)": "pixel * ops.log_sigmoid(logit)"}, "only white pixels "
         r"count. A black one has the probability $1 - \mathrm{sigmoid}(a)$."),
        ("always_white", {"pixel * logit": "logit"}, "this is the log-probability of an image that is white all over. "
         r"A black pixel has the probability $1 - \mathrm{sigmoid}(a)$."),
        ("last_pixel", {"log_p + pixel * logit": "pixel * logit"}, "this is the last pixel's log-probability. An "
         "image's is the sum over all of them."),
        ("mean_over_all", {"x[1:]], axis=1), log_p": "x[1:]], axis=1), log_p / (H * W)"}, "this is the mean over the "
         "pixels. An image's log-probability is their sum."),
        ("surprise", {"x[1:]], axis=1), log_p": "x[1:]], axis=1), -log_p"}, "the sign is reversed: the logarithm of "
         "a probability is below zero."),
        ("inverted", {"pixel * logit - ops.softplus": "(1 - pixel) * logit - ops.softplus"}, "this is the "
         r"log-probability of the negative: $\mathrm{sigmoid}(a)$ is the probability of white, 1."),
        ("black_alone", {"pixel * logit - ops.softplus(logit)": "(1 - pixel) * ops.log_sigmoid(-logit)"}, "only black "
         r"pixels count. A white one has the probability $\mathrm{sigmoid}(a)$."),
        ("plus_minus", {_DRAWN: _DRAWN.replace("0.0", "-1.0")}, "a black pixel is −1. Black is 0, white is 1."),
        ("entropy", {"pixel * logit - ops.softplus(logit)": "ops.sigmoid(logit) * logit - ops.softplus(logit)"}, "this "
         "is the mean over the pixel's two values, minus its entropy. What was drawn counts."),
    ],
)  # fmt: skip
PAINT.variants = ()  # of a loop's lines no words would say what has changed
PAINT.note = "Each pixel had to wait for those before it; the log-probability came along for nothing."


# ---- 6


def _stacks(rng):
    for N, H, W, F in (2, 4, 5, 3), (3, 5, 3, 2):
        yield dict(x=1.0 * (rng.random((N, H, W, 1)) < 0.5), above_1=rng.normal(size=(1, 3, 1, F)),
                   left_1=rng.normal(size=(1, F)), link_1=rng.normal(size=(F, F)),
                   across_2=rng.normal(size=(1, 3, F, F)),
                   own_2=rng.normal(size=(F, F)),
                   left_2=rng.normal(size=(F, F)), link_2=rng.normal(size=(F, F)),
                   out=rng.normal(size=(F, 1)))  # fmt: skip


MENDED = Mend(
    "mended_stacks", "Five errors in two stacks", points=5, minutes=25, difficulty=2, draw=_stacks,
    section="A test by gradients", aims=(3,),
    takes="x[N,H,W,C], above_1[R,S,C,F], left_1[C,F], link_1[F,F], across_2[R,S,F,F], own_2[F,F], left_2[F,F], "
    "link_2[F,F], out[F,C]",
    gradients="above_1 left_1 link_1 across_2 own_2 left_2 link_2 out",
    because="float32 carries seven digits. The losses of different sets of errors differ by far more than that.",
    answer="""
        def moved(t, down, right):  # an image, moved; zeros come in
            return ops.pad(t, ((0, 0), (down, 0), (right, 0), (0, 0)))[:, : t.shape[1], : t.shape[2]]

        v1 = ops.tanh(ops.conv(moved(x, 1, 0), above_1, padding="same"))  # 1. sees the row above, to both sides
        h1 = ops.tanh(ops.matmul(moved(x, 0, 1), left_1) + ops.matmul(v1, link_1))  # 2. and the pixel to the left

        v2 = ops.tanh(ops.conv(v1, across_2, padding="same"))  # 3. what v1 says, to both sides
        own = ops.matmul(h1, own_2)  # 4. of this place
        h2 = ops.tanh(own + ops.matmul(moved(h1, 0, 1), left_2) + ops.matmul(v2, link_2))

        logits = ops.matmul(h2, out)
        each = x * logits - ops.softplus(logits)
        return -ops.mean(ops.sum(each, axis=(1, 2, 3)))  # 5. minus log p(x)
    """,
    errors={
        "row above": ({"moved(x, 1, 0), above_1": "x, above_1"}, "still broken: the vertical stack looks at the "
                      "pixel's own row, the pixel itself and its right neighbour among them. A leak."),
        "mask A": ({"moved(x, 0, 1), left_1": "x, left_1"}, "still broken: the horizontal stack is shown the pixel "
                   "itself, which it should predict. A leak."),
        "blind spot": ({"ops.conv(v1, across_2": "ops.conv(moved(v1, 0, 1), across_2"}, "still broken: the second "
                       "layer of the vertical stack looks to the left. What lies farther to the upper right is in the "
                       "past, and is not seen: a blind spot that nobody needs."),
        "mask B": ({"own = ops.matmul(h1, own_2)  # 4. of this place": "own = ops.matmul(moved(h1, 0, 1), own_2)"},
                   "still broken: the second layer does not look at the features of its own place. They know what came "
                   "before the pixel, no more, so they may be seen; without them the nearest neighbours are lost."),
        "pixels": ({"ops.sum(each, axis=(1, 2, 3))": "ops.mean(each, axis=(1, 2, 3))"}, "still broken: the "
                   "log-probabilities of the pixels are averaged. By the chain rule they add up."),
    },
    slips=[
        ("row above", "diagonal", {"moved(x, 1, 0), above_1": "moved(x, 1, 1), above_1"}, "now the image is moved to "
         "the right, too. The row above has been painted to both sides: down by one is enough."),
        ("row above", "sideways", {"moved(x, 1, 0), above_1": "moved(x, 0, 1), above_1"}, "now the image is moved to "
         "the right. Its own row is still seen; down it has to go."),
        ("row above", "two_up", {"moved(x, 1, 0), above_1": "moved(x, 2, 0), above_1"}, "now it is the row two above. "
         "The nearest one is in the past, too: one is enough."),
        ("row above", "below", {"moved(x, 1, 0), above_1":
         "ops.pad(x, ((0, 0), (0, 1), (0, 0), (0, 0)))[:, 1:], above_1"}, "now it is the row below, which has not been "
         "painted. A leak."),
        ("mask A", "diagonal_left", {"moved(x, 0, 1), left_1": "moved(x, 1, 1), left_1"}, "now it is the pixel to the "
         "upper left. In its own row, to the left, is what is missing."),
        ("mask A", "dropped", {"ops.matmul(moved(x, 0, 1), left_1) + ": ""}, "now the horizontal stack has lost the "
         "image. The pixel to the left is to be seen, the pixel itself not."),
        ("mask A", "two_left", {"moved(x, 0, 1), left_1": "moved(x, 0, 2), left_1"}, "now it is the pixel two to the "
         "left. The nearest one is in the past, too: one is enough."),
        ("mask A", "down", {"moved(x, 0, 1), left_1": "moved(x, 1, 0), left_1"}, "now it is the pixel above. To the "
         "left is what is missing: move right by one."),
        ("mask B", "of_vertical", {"own = ops.matmul(h1, own_2)": "own = ops.matmul(v1, own_2)"}, "now it looks at "
         "`v1` of its place, which does not know the pixels to the left. `h1` does."),
        ("mask B", "dropped_2", {"own = ops.matmul(h1, own_2)": "own = 0 * ops.matmul(h1, own_2)"}, "now the features "
         "of its own place do not count at all. They may be seen."),
        ("mask B", "both", {"own = ops.matmul(h1, own_2)": "own = ops.matmul(h1 + moved(h1, 0, 1), own_2)"}, "now "
         "`own_2` is for two places. `left_2` is for the left one."),
        ("mask B", "exchanged", {"ops.matmul(h1, own_2)": "ops.matmul(h1, left_2)", "moved(h1, 0, 1), left_2":
         "moved(h1, 0, 1), own_2"}, "now `own_2` and `left_2` have changed places."),
        ("mask B", "of_image", {"own = ops.matmul(h1, own_2)": "own = ops.matmul(moved(h1, 1, 0), own_2)"}, "now it "
         "looks at the features of the place above. Its own are meant."),
        ("pixels", "one_axis", {"axis=(1, 2, 3)": "axis=1"}, "now they are summed along columns, and averaged along "
         "rows: over all pixels a sum."),
        ("pixels", "two_axes", {"axis=(1, 2, 3)": "axis=(2, 3)"}, "now they are summed along rows, and averaged along "
         "columns: over all pixels a sum."),
        ("blind spot", "of_horizontal", {"ops.conv(v1, across_2": "ops.conv(h1, across_2"}, "now the vertical stack is "
         "given `h1`, which knows pixels to the left of each place, on the right side those to come. A leak: it sees "
         "`v1` alone."),
        ("pixels", "over_all", {"ops.mean(ops.sum(each, axis=(1, 2, 3)))": "ops.sum(each)"}, "now everything is "
         "summed, the images, too: over the pixels a sum, over the images a mean."),
        ("blind spot", "row_lost", {"ops.conv(v1, across_2": "ops.conv(moved(v1, 1, 0), across_2"}, "now the second "
         "layer looks at `v1` one row up. At its own place `v1` knows the row above and no other, so nothing has to be "
         "moved; this way the row just above is lost to it."),
        (None, "leak_2", {"moved(h1, 0, 1), left_2": "h1, left_2"}, "`left_2` is for the features to the left; that "
         "line was right."),
        (None, "left_two", {"moved(h1, 0, 1), left_2": "moved(h1, 0, 2), left_2"}, "`left_2` is for the features one "
         "place to the left, as it was."),
        (None, "inverted", {"each = x * logits": "each = (1 - x) * logits"}, "in `each` black and white have changed "
         "places; that line was right."),
        (None, "exchanged_axes", {"(down, 0), (right, 0)": "(right, 0), (down, 0)"}, "in `moved` rows and columns have "
         "changed places; that line was right."),
        (None, "round_about", {"ops.pad(t, ((0, 0), (down, 0), (right, 0), (0, 0)))[:, : t.shape[1], : t.shape[2]]":
         "ops.roll(t, (down, right), (1, 2))"}, "in `moved` the image's other side comes in, where zeros did."),
        (None, "sign", {"return -ops": "return ops"}, r"this is $\log p(x)$. It was a loss, minus that."),
        (None, "no_link", {" + ops.matmul(v2, link_2)": ""}, "the horizontal stack is not told of `v2` any more; it "
         "was right."),
    ],
    hints=r"""
        Take each line and ask: from which pixels does this feature come? Write it down as a small picture, for `v1`,
        `h1`, `v2` and `h2`.

        `moved(t, 1, 0)` has at each place what `t` has in the row above, `moved(t, 0, 1)` what it has to the left. The
        first layer may not see the pixel itself (mask A). A later one may see features of its own place (mask B).

        There is one error in each of: `v1`, `h1`, `v2`, `own`, and the last line. Two leak, two are blind, and one
        counts wrongly.
    """,
)  # fmt: skip


# ---- 7

SHEETS, SIZE = 3, 48
FARTHEST = 5, 8  # rows up, columns to the side
MOST_LAYERS = 12
WEIGHTS = {  # for each pair of feature maps in a layer
    ("masked", "3x3"): 5, ("masked", "5x5"): 13, ("two stacks", "3x3"): 21, ("two stacks", "5x5"): 41,
}  # fmt: skip


def _textures(rng):
    """Draws three textures: the pixel that another one follows lies where 3×3 masks see it, 5×5 masks, or neither."""
    up = int(rng.integers(3, 6))
    places = [(up, int(rng.integers(-up, 0)))]  # to the left: who looks to the right alone does not find it
    up = int(rng.integers(2, 5))
    places.append((up, int(rng.integers(2 * up - 1, 2 * up + 1))))
    up = int(rng.integers(1, 3))
    places.append((up, int(rng.integers(6, 9))))
    return [
        {"sheets": _sheets(rng, *place, correlation), "up": place[0], "right": place[1], "correlation": correlation}
        for place in places
        for correlation in [rng.uniform(0.8, 0.9)]
    ]


def _sheets(rng, up, right, correlation):
    """Draws sheets of pixels of variance 1: each is like the one so far up and to the right, but for noise."""
    x = rng.normal(size=(SHEETS, SIZE, SIZE))
    noise = np.sqrt(1 - correlation**2)
    there = slice(max(right, 0), SIZE + min(right, 0))
    here = slice(max(-right, 0), SIZE - max(right, 0))
    for i in range(up, SIZE):
        x[:, i, here] = correlation * x[:, i - up, there] + noise * x[:, i, here]
    return x


def _sees(kind, kernel, layers, up, right):
    """Whether the output of so many layers depends on the pixel so far up (one row at least) and to the right."""
    step = int(kernel[0]) // 2
    far = step * (layers if kind == "two stacks" else min(layers, up))  # to the right
    return up <= step * layers and -step * layers <= right <= far


def _painted(rng, sheets, up, right, correlation, kind, kernel, layers):
    """Measures what a network loses that predicts a pixel as well as its field allows, and what it costs."""
    # pixels in line with each other are a chain, of which the nearest that is seen counts
    steps = next((n for n in range(1, SIZE) if _sees(kind, kernel, layers, n * up, n * right)), np.inf)
    lost = 0.5 * np.log((1 - correlation ** (2 * steps)) / (1 - correlation**2))
    cheapest = min(
        n * weights
        for (k, size), weights in WEIGHTS.items()
        for n in range(1, MOST_LAYERS + 1)
        if _sees(k, size, n, up, right)
    )
    cost = layers * WEIGHTS[kind, kernel] / cheapest
    fewer = layers > 1 and _sees(kind, kernel, layers - 1, up, right)
    return {"lost": lost, "cost": cost if steps == 1 else np.inf, "up": up, "right": right,
            "seen": steps == 1, "fewer": fewer}  # fmt: skip


_DESIGN = """
def sees(kind, step, layers, up, right):
    far = step * (layers if kind == "two stacks" else min(layers, up))  # to the right
    return up <= step * layers and -step * layers <= right <= far

def alike(up, right):  # the correlation with the pixel so far up and to the right
    rows, columns = sheets.shape[1:]
    here = sheets[:, up:, max(-right, 0) : columns - max(right, 0)]
    there = sheets[:, : rows - up, max(right, 0) : columns + min(right, 0)]
    return np.mean(here * there)

up, right = max(((u, r) for u in range(1, 6) for r in range(-8, 9)), key=lambda place: alike(*place))
weights = {("masked", 1): 5, ("masked", 2): 13, ("two stacks", 1): 21, ("two stacks", 2): 41}
designs = [(weights[kind, step] * n, kind, step, n) for kind, step in weights for n in range(1, 13)
           if sees(kind, step, n, up, right)]
_, kind, step, layers = min(designs)
return {"kind": kind, "kernel": f"{2 * step + 1}x{2 * step + 1}", "layers": layers}
"""
_ALWAYS = "dict(kind={!r}, kernel={!r}, layers={})"
_FOUND = (
    "max(((u, r) for u in range(1, 6) for r in range(-8, 9)), key=lambda p: np.mean(sheets[:, p[0]:, max(-p[1], 0):"
    "48 - max(p[1], 0)] * sheets[:, :48 - p[0], max(p[1], 0):48 + min(p[1], 0)]))"
)


def _adapted(kernel, layers):
    """Settings that depend on where the pixel that counts lies."""
    kind = "'two stacks' if right > 2 * up else 'masked'"
    return f"(lambda up, right: dict(kind={kind}, kernel={kernel}, layers={layers}))(*{_FOUND})"


def _in_blind_spot(kind, kernel, up, right, **_):
    return kind == "masked" and right > int(kernel[0]) // 2 * up


FIELD = Experiment(
    "texture_network", "An experiment to design: a field for each texture", points=5, minutes=35, difficulty=3,
    section="A decoder that looks at its own work", aims=(3,),
    takes="sheets[S,H,W]", draw=_textures, run=_painted,
    settings={"kind": {"masked", "two stacks"}, "kernel": {"3x3", "5x5"}, "layers": (1, MOST_LAYERS)},
    goals={
        "sees": AtMost(0.01, "nats a pixel", 3, of="lost"),
        "thrifty": AtMost(6.0, "times the cheapest", 2, of="cost"),
        "cheapest": AtMost(1.2, "times the cheapest", 2, of="cost"),
    },
    parts={"sees": 2, "thrifty": 1, "cheapest": 2},
    answer=_DESIGN,
    hints=r"""
        First find the place that counts. Multiply each sheet with itself, moved by $u$ rows and $r$ columns, and take
        the mean: which of the places that are at most 5 rows up and 8 columns to either side has the largest
        correlation?

        Then which networks see it? A path from the output back to that pixel makes one step a layer. With $3 \times 3$
        kernels a masked layer may go one row up, and one column to either side *if* it goes up; in its own row it goes
        to the left only. How far to the right does it come on its way up by $u$ rows?

        With kernels of $2 s + 1$ and $L$ layers: up by at most $s L$, to the left by at most $s L$; to the right by
        at most $s \min(L, u)$ with masked layers, $s L$ with two stacks. There are 48 networks. Go through all of
        them, and take the cheapest of those that see the place.
    """,
    mistakes=[
        (None, "blind_spot", _ALWAYS.format("masked", "3x3", 12),
         lambda seen, **rest: not seen and _in_blind_spot(**rest), "In at least one of the textures the pixel that "
         "counts lies in the network's blind spot, farther to the right than these kernels come on their way up. More "
         "layers do not help: wider kernels do if $r$ is at most $2u$, and otherwise only two stacks. Or was the place "
         "looked for on the wrong side? To the right is $r > 0$."),
        (None, "too_shallow", _ALWAYS.format("two stacks", "3x3", 2),
         lambda seen, **_: not seen, "In at least one of the textures the pixel that counts is farther away than the "
         "field reaches: more layers, or wider kernels. How far away is it?"),
        (("thrifty", "cheapest"), "stacks_for_all",
         f"(lambda up, right: dict(kind='two stacks', kernel='3x3', layers=max(up, abs(right))))(*{_FOUND})",
         lambda kind, up, right, fewer, **_: kind == "two stacks" and right <= 2 * up and not fewer, "Two stacks see "
         "everything, and a layer of them costs three to four times as much as a masked one. Where the pixel that "
         "counts is not in the blind spot of masked layers, these do."),
        (("thrifty", "cheapest"), "too_deep", _adapted("'5x5' if up < right <= 2 * up else '3x3'",
         "min(12, max(up, abs(right)) + 3)"),
         lambda fewer, **_: fewer, "Fewer of these layers would see the pixel that counts, too. How many does it "
         "take?"),
        ("cheapest", "other_kernel", _adapted("'5x5' if right <= 2 * up else '3x3'",
         "-(-max(up, abs(right)) // 2) if right <= 2 * up else right"),
         lambda **_: True, "The place is seen, with as few of these layers as it takes. There is a cheaper network: "
         "other kernels, or another kind."),
    ],
)  # fmt: skip


# ---- 8


@functools.cache
def _digits():
    return [images.reshape(-1, 14, 14, 1) for images in small_digits(test=1000)]


TRAINED = TrainedPixels(
    "train_pixels", "Train a PixelCNN", points=5, minutes=30, difficulty=2,
    section="Learning, without a bound", aims=(3,),
    bounds={"neighbours": -50.0, "fair": -47.5, "good": -46.0},
    parts={"neighbours": 1, "fair": 2, "good": 2},
    images=_digits, coins=-52.5,
    because="24 runs of the solution on TensorFlow, each with another seed, ended between −45.2 and −43.8 (mean −44.4, "
    "standard deviation 0.3). With a 1 × 1 kernel in the third layer and 6 epochs: −46.3; with a 5 × 5 kernel in the "
    "first, batches of 100 and 10 epochs: −46.6; with one hidden layer of 5 × 5: −50.6.",
    hints="""
        The layers are vaekit's: `vk.layers.MaskedConv2D(16, 7, "A", activation="tanh")` first, then two with mask B and
        $3 \\times 3$ kernels, at last `vk.layers.MaskedConv2D(1, 1, "B")`, whose output are the logits. In a
        `keras.Sequential` they return what is asked for by `get_weights()`.

        The loss is minus the log-likelihood: `softplus(a) - x * a`, summed over all pixels, the mean over images. As in
        the lesson, a `keras.Model` with a `compute_loss` that calls the network on `x` does it.

        Toss the pixels, `rng.random(grey.shape) < grey`. Batches of 50, 8 epochs, Adam with a learning rate of 0.015
        that decays to 0 (`keras.optimizers.schedules.CosineDecay`).
    """,
)  # fmt: skip


QUESTIONS = [GATED_MASK, BYTES, NOISE, HIERARCHY, PAINT, MENDED, FIELD, TRAINED]
