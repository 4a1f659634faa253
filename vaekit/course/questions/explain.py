"""Explains what is wrong with an array, by a sentence and a name: shape, sign, factor, missing term."""

import itertools
import math
from typing import NamedTuple

import numpy as np

from vaekit.course.questions.language import LOG_2PI

OTHER = "other"  # the name where numbers are all that can be said


class Explanation(NamedTuple):
    """The reason why an array is wrong.

    Attributes:
        name: of the mistake, such as "sign" or "mean_over_pixels"; `OTHER` if it has none; "" if nothing is wrong.
        message: a sentence that a learner can act on (Markdown).
        others: explanations that do as well, such as "mean_over_images" where there are as many images as pixels.
        number: that it depends on, such as a factor of 0.37; None if the name says it all.
        fallback: the message instead where other arrays contradict it: numbers.
    """

    name: str
    message: str
    others: tuple = ()
    number: float | None = None
    fallback: str = ""


def explain(observed, expected, rtol=1e-4, atol=1e-5, sizes=None, gradient=False):
    """Explains how `observed` differs from `expected`.

    Args:
        observed: array, or None.
        expected: array.
        rtol, atol: within which numbers are the same.
        sizes: dict of numbers by their meaning, such as {"latents": 40}, which factors and terms are compared with.
        gradient: whether it is one.

    Returns: an `Explanation`.
    """
    if observed is None:
        return Explanation("nothing", "nothing came back; expected an array. Is there a `return`?")
    observed, expected = np.asarray(observed), np.asarray(expected, np.float64)
    if observed.dtype.kind not in "fiub":
        return Explanation("no_numbers", f"expected numbers, received values of type {observed.dtype}.")
    observed, sizes = observed.astype(np.float64), sizes or {}
    with np.errstate(all="ignore"):
        if observed.shape != expected.shape:
            return _shape(observed, expected, _alike(rtol, atol), sizes)
        if not np.array_equal(observed, expected):
            return _numbers(observed, expected, rtol, atol, sizes, gradient)
    return Explanation("", "")


def common(explanations):
    """Finds the one explanation of several arrays, made by the same mistake.

    Args:
        explanations: list of `Explanation`, one for each array.

    Returns: an `Explanation`: what explains all of them; where that is nothing, numbers of the first one.
    """
    first, *rest = [(each, *each.others) for each in explanations]
    shared = [one for one in first if all(any(_agree(one, other) for other in each) for each in rest)]
    if not shared:
        return Explanation(OTHER, first[0].fallback or first[0].message)
    shared = [one for one in shared if "_over_" in one.name] or shared  # an axis says more than its length
    if len(shared) == 1:
        return shared[0]._replace(others=())
    return Explanation("several", " Or ".join([shared[0].message, *(one.message for one in shared[1:])]))


def _agree(one, other):
    """Whether two explanations are the same, as far as numbers are not those of an axis."""
    if one.name != other.name or None in (one.number, other.number):
        return one.name == other.name and one.number == other.number
    return math.isclose(one.number, other.number, rel_tol=2e-3)


def _alike(rtol, atol):
    """Whether two arrays are the same, more generously than they are marked: to recognize what was done."""

    def same(a, b):
        return np.shape(a) == np.shape(b) and np.allclose(a, b, rtol=max(rtol, 1e-3), atol=atol)

    return same


# ---- numbers


def _numbers(observed, expected, rtol, atol, sizes, gradient):
    """Explains the numbers of an array that has the right shape."""
    same, finite = _alike(rtol, atol), np.isfinite(expected)
    if not np.isfinite(observed[finite]).all():
        return _not_finite(observed, expected, gradient)
    if (lost := (observed != expected) & ~finite).any():
        example = f"received {_number(observed[lost][0])}, expected {_number(expected[lost][0])}"
        many = "it" if lost.size == 1 else f"{lost.sum()} of {lost.size} numbers"
        return Explanation("finite", f"{many} should be infinite: {example}.")
    o, e = observed[finite], expected[finite]
    wrong = np.abs(o - e) > atol + rtol * np.abs(e)
    if not wrong.any():
        return Explanation("", "")
    if not o.any():
        return Explanation("cut", CUT) if gradient else Explanation("zero", "everything is 0.")
    if gradient and not e.any():
        return Explanation("leak", LEAK)
    fallback = _differences(o, e, wrong, np.argwhere(finite), atol)
    explanation = _related(o, e, same, sizes) or _rearranged(observed, expected, same)
    return explanation._replace(fallback=fallback) if explanation else Explanation(OTHER, fallback)


def _differences(o, e, wrong, places, atol):
    """Says how far numbers are from what is expected; `wrong` is a mask of those that are too far."""
    error = np.abs(o - e)[wrong]
    relative = float(np.max(error / np.maximum(np.abs(e)[wrong], max(atol, 1e-30))))
    place = places[wrong][0].tolist()
    example = f"at {place}: " if place else ""
    example += f"received {_number(o[wrong][0])}, expected {_number(e[wrong][0])}"
    if relative < 0.02:
        return (
            f"nearly right, not within tolerance (relative error {relative:.0e}; {example}). Either a small term is "
            "wrong, or digits are lost, as in a small difference of large numbers."
        )
    if wrong.size > 1 and not wrong.all():
        return f"{int(wrong.sum())} of {wrong.size} numbers are wrong, the others right; {example}."
    return f"{example}."


CUT = (
    "the gradient is 0: the way from the parameter to the result is cut, by `stop_gradient`, by a conversion to NumPy, "
    "or because the parameter is not used."
)

LEAK = (
    "the gradient is to be 0 and is not: something lets it pass that should not depend on this parameter, or should be "
    "held fixed, by `ops.stop_gradient`."
)


def _not_finite(observed, expected, gradient):
    bad = np.isfinite(expected) & ~np.isfinite(observed)
    nan, right = np.isnan(observed[bad]), expected[bad]
    kind = "nan" if nan.any() else "infinite"
    what = "nan or infinite" if nan.any() and not nan.all() else kind
    which = _number(right[0]) if (right == right[0]).all() else f"another number, such as {_number(right[0])},"
    message = f"{_count(bad)} {what} where {which} is expected"
    if kind == "infinite":
        message += ": something overflows, something is divided by 0, or the logarithm of 0 is taken."
    elif gradient:
        message += (
            ": the values are no numbers there either, or 0 meets infinity: `ops.where` differentiates both of its "
            "branches, and the one that is not taken gets the gradient 0, times an infinite slope. Make its input "
            "harmless, by another `ops.where`, before it is computed."
        )
    else:
        message += (
            ": infinity less infinity, 0 divided by 0, the logarithm or root of a negative number; or the inputs have "
            "nan, and 0 times nan is nan."
        )
    return Explanation("nan" if kind == "nan" else "infinite", message)


def _related(o, e, same, sizes):
    """Recognizes what was made of the right numbers, of a single one only what is hardly chance; None if unclear."""
    large = np.abs(e) > 1e-3 * np.abs(e).max()
    factor = float(np.median(o[large] / e[large])) if large.any() else 0.0
    shift = float(np.median(o - e))
    candidates = []  # (explanation, what the numbers would be)
    constant = np.abs(o - e - shift).max() <= 0.1 * abs(shift)  # the tolerance may be wider
    if o.size > 1 and constant and same(o - e, np.full_like(e, shift)):  # also a little one among large numbers
        candidates.append((_shift(shift, sizes), e + shift))
    if not same(o, e):
        if (
            abs(factor) > 1e-6
            and abs(factor - 1) > 0.02
            and (o.size > 1 or abs(factor + 1) < 1e-3 or _known_factors(abs(factor), sizes))
        ):
            candidates.append((_factor(factor, sizes), factor * e))
        if o.size > 1:
            relations = {name: row for name, row in _RELATIONS.items() if name != "absolute" or (e > 0).any()}
            candidates += [(Explanation(name, message), change(e)) for name, (message, change) in relations.items()]
    close = [(np.abs(o - value).max(), i) for i, (_, value) in enumerate(candidates) if same(o, value)]
    return candidates[min(close)[1]][0] if close else None


_RELATIONS = {  # what was made of the right numbers
    "absolute": ("the sizes are right, some signs are not; is an absolute value taken?", np.abs),
    "exponential": ("it is the exponential of ours. Stay with the logarithm.", np.exp),
    "logarithm": ("it is the logarithm of ours.", np.log),
    "square": ("it is the square of ours; a variance for a standard deviation?", np.square),
    "root": ("it is the square root of ours; a standard deviation for a variance?", np.sqrt),
    "reciprocal": ("it is 1 divided by ours.", np.reciprocal),
    "complement": ("it is 1 minus ours.", lambda e: 1 - e),
}


def _factor(factor, sizes):
    if math.isclose(factor, -1, rel_tol=1e-3):
        return Explanation("sign", "the sign is reversed.")
    sign, minus = ("with the sign reversed, ", "negative_") if factor < 0 else ("", "")
    meanings = _known_factors(abs(factor), sizes) or [("factor", f"times {_number(abs(factor))}", abs(factor))]
    first, *others = [
        Explanation(minus + name, f"{sign}it is ours {what}.", number=number) for name, what, number in meanings
    ]
    return first._replace(others=tuple(others))


def _known_factors(size, sizes):
    """Lists all that a factor may mean: (name, "divided by 2", the number if it is no axis's)."""
    counts = [(n, meaning, f"{n:g}, the number of {meaning}") for meaning, n in sizes.items() if n > 1]
    plain = {2, *sizes.values()}  # of 4 codes, nobody meant the root
    roots = [(n**0.5, f"√{n:g}, the root of the number of {meaning}") for n, meaning, _ in counts]
    roots = [(root, what) for root, what in roots if root not in {*plain, 2**0.5}]
    constants = {"2": 2, "π": math.pi, "2π": 2 * math.pi, "√2": 2**0.5, "√2π": (2 * math.pi) ** 0.5}
    constants |= {"ln 2 (another base of the logarithm)": math.log(2)}
    factors = []
    for n, meaning, what in counts:
        for value, name, word in ((n, "sum", "times"), (1 / n, "mean", "divided by")):
            factors.append((value, f"{name}_over_{_identifier(meaning)}", f"{word} {what}", None))
    factors += [(2, "twice", "times 2", None), (0.5, "half", "divided by 2", None)]
    for n, what in roots:
        factors += [(n, "factor", f"times {what}", None), (1 / n, "factor", f"divided by {what}", None)]
    for what, n in constants.items():
        if n != 2:
            factors += [(n, "factor", f"times {what}", n), (1 / n, "factor", f"divided by {what}", 1 / n)]
    return [(name, what, number) for value, name, what, number in factors if math.isclose(size, value, rel_tol=1e-3)]


def _shift(shift, sizes):
    """Explains a constant that was added."""
    meanings = []
    for unit, what, name in ((LOG_2PI / 2, "½ ln 2π", "constant"), (0.5, "½", "term"), (1.0, "1", "term")):
        for meaning, n in (("", 1), *sizes.items()):
            for times, once in ((n, ""), (n - 1, "_once")) if n > 2 else ((n, ""),):
                if not math.isclose(abs(shift), times * unit, rel_tol=1e-3):
                    continue
                many = f"{times:g} times {what}" if times > 1 else what
                which = f" ({times:g} of the {n:g} {meaning})" if once else f" ({n:g} {meaning})" if meaning else ""
                meanings.append((f"{name}{once}", f"{many}{which}"))
    meanings += [("term", f"ln {n:g} ({n:g} {m})") for m, n in sizes.items() if _is(abs(shift), math.log(n))]
    meanings += [("term", "ln 2")] if _is(abs(shift), math.log(2)) else []
    word = "plus" if shift > 0 else "less"
    if not meanings:
        text = f"it is ours {word} {_number(abs(shift))} everywhere: a constant term differs."
        return Explanation("shift", text, number=shift)
    which = (
        "too much is added, or too little subtracted" if shift > 0 else "too little is added, or too much subtracted"
    )
    names = {}
    for name, what in meanings:
        names.setdefault(name, {})[what] = None
    once = "; is a constant there once, and not once for each?"
    first, *others = [
        Explanation(
            name,
            f"it is ours {word} {' or '.join(what)} everywhere: {which}{once if name.endswith('_once') else '.'}",
        )
        for name, what in names.items()
    ]
    return first._replace(others=tuple(others))


def _is(value, constant):
    return constant > 0 and math.isclose(value, constant, rel_tol=1e-3)


def _rearranged(observed, expected, same):
    """Recognizes the right numbers in other places."""
    if same(observed, expected):  # nearly right where they are
        return None
    if observed.ndim == 2 and observed.shape[0] == observed.shape[1] and same(observed.T, expected):
        return Explanation("transposed", "it is transposed.")
    if observed.size < 4:  # it may be chance
        return None
    for axis in range(observed.ndim):
        if same(np.flip(observed, axis), expected):
            return Explanation("order", f"the order along axis {axis} is reversed.")
    if same(np.sort(observed, axis=None), np.sort(expected, axis=None)):
        return Explanation("order", "the numbers are right, their order is not.")
    return None


# ---- shapes


def _shape(observed, expected, same, sizes):
    message = f"the shape is {observed.shape}, expected {expected.shape}"
    if observed.size == expected.size > 0 and same(observed.reshape(expected.shape), expected):
        return Explanation("shape", f"{message}; the numbers are right.")
    if observed.ndim == expected.ndim == 2 and same(observed.T, expected):
        return Explanation("transposed", f"{message}: it is transposed.")
    for n in range(1, observed.ndim + 1) if observed.ndim <= expected.ndim + 3 and observed.size <= 1e5 else ():
        for axes in itertools.combinations(range(observed.ndim), n):
            for word, reduce in (("Sum", np.sum), ("Take the mean", np.mean)):
                if observed.size and same(reduce(observed, axis=axes), expected):
                    over = _over(axes, observed, sizes)
                    return Explanation("not_reduced", f"{message}. {word} over {_axes(axes, observed.ndim)}{over}.")
    for n in range(expected.ndim, 0, -1):
        for axes in itertools.combinations(range(expected.ndim), n):
            for (word, reduce), keep in itertools.product((("sum", np.sum), ("mean", np.mean)), (False, True)):
                if expected.size and same(observed, reduce(expected, axis=axes, keepdims=keep)):
                    which = [meaning for meaning, size in sizes.items() if size == expected.shape[axes[0]]]
                    name = f"{word}_over_{_identifier(which[0])}" if which else "reduced"
                    lost = f"you took the {word} over {_axes(axes, expected.ndim)}{_over(axes, expected, sizes)}"
                    return Explanation(name, f"{message}: {lost}, which should stay.")
    n = len(expected) if expected.ndim else 0
    if observed.shape == (n, n) and expected.shape in ((n,), (n, 1)):
        met = f"did numbers of the shapes ({n}, 1) and ({n},) meet, and spread over rows and columns?"
        return Explanation("spread", f"{message}: {met}")
    return Explanation(OTHER, f"{message}.")


def _over(axes, array, sizes):
    """Names what an axis means, ", the pixels"; "" if that is not clear."""
    which = [meaning for meaning, size in sizes.items() if size == array.shape[axes[0]]]
    return f", the {which[0]}" if len(axes) == 1 and len(which) == 1 and array.ndim > 1 else ""


def _axes(axes, ndim):
    if len(axes) == ndim:
        return "everything" if ndim > 1 else "axis 0"
    return f"axis {axes[0]}" if len(axes) == 1 else f"the axes {', '.join(map(str, axes))}"


def _identifier(meaning):
    return meaning.replace(" ", "_")


def _count(mask):
    """Counts what is wrong: "3 of 7 numbers are"."""
    n = int(mask.sum())
    return f"{n} of {mask.size} numbers {'is' if n == 1 else 'are'}" if mask.size > 1 else "it is"


def _number(value):
    return f"{value:.4g}"
