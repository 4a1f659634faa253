"""What is wrong with an array, in a sentence: shape, sign, factor, missing term."""

import itertools
import math

import numpy as np


def explain(observed, expected, rtol=1e-4, atol=1e-5, sizes=None):
    """How `observed` differs from `expected`, in a sentence a learner can act on (Markdown).

    Args:
        observed: array, or None.
        expected: array.
        rtol, atol: within which numbers are the same.
        sizes: dict of numbers by their meaning, such as {"latent units": 40}, which factors are compared with.

    Returns: a text; "" if the two are the same.
    """
    if observed is None:
        return "nothing came back; expected an array. Is there a `return`?"
    observed, expected = np.asarray(observed), np.asarray(expected, np.float64)
    if observed.dtype.kind not in "fiub":
        return f"expected numbers, received values of type {observed.dtype}."
    observed, sizes = observed.astype(np.float64), sizes or {}
    with np.errstate(all="ignore"):
        if observed.shape != expected.shape:
            return _shape(observed, expected, _alike(rtol, atol))
        if not np.array_equal(observed, expected):
            return _numbers(observed, expected, rtol, atol, sizes)
    return ""


def _alike(rtol, atol):
    """Whether two arrays are the same, more generously than they are marked: to recognize what was done."""

    def same(a, b):
        return np.shape(a) == np.shape(b) and np.allclose(a, b, rtol=max(rtol, 1e-3), atol=atol)

    return same


def _numbers(observed, expected, rtol, atol, sizes):
    """For arrays of one shape."""
    same, finite = _alike(rtol, atol), np.isfinite(expected)
    if not np.isfinite(observed[finite]).all():
        return _not_finite(observed, expected)
    if (lost := (observed != expected) & ~finite).any():
        told = f"received {_number(observed[lost][0])}, expected {_number(expected[lost][0])}"
        return f"{'it' if lost.size == 1 else f'{lost.sum()} of {lost.size} numbers'} should be infinite: {told}."
    o, e = observed[finite], expected[finite]
    wrong = np.abs(o - e) > atol + rtol * np.abs(e)
    if not wrong.any():
        return ""
    if not o.any():
        return "everything is 0. A gradient is 0 where the way to the result is cut (by NumPy, by a constant)."
    if told := _related(o, e, same, sizes) or _rearranged(observed, expected, same):
        return told
    error = np.abs(o - e)[wrong]
    relative = float(np.median(error / np.maximum(np.abs(e)[wrong], max(atol, 1e-30))))
    place = np.argwhere(finite)[wrong][0].tolist()
    example = f"at {place}: " if place else ""
    example += f"received {_number(o[wrong][0])}, expected {_number(e[wrong][0])}"
    if relative < 0.02:
        return (
            f"nearly right, not within tolerance (relative error {relative:.0e}; {example}): digits are lost. "
            "Is a small difference of large numbers taken?"
        )
    if wrong.size > 1 and not wrong.all():
        return f"{int(wrong.sum())} of {wrong.size} numbers are wrong, the others right; {example}."
    return f"{example}."


def _related(o, e, same, sizes):
    """What was made of the right numbers; "" if that is not clear; of a single number, only what is hardly chance."""
    large = np.abs(e) > 1e-3 * np.abs(e).max()
    factor = float(np.median(o[large] / e[large])) if large.any() else 0.0
    shift = float(np.median(o - e))
    made = {}  # sentence → what the numbers would be
    if o.size > 1 and same(o - e, np.full_like(e, shift)):  # also a little one among large numbers
        made[_shift(shift, sizes)] = e + shift
    if not same(o, e):
        if abs(factor) > 1e-6 and (o.size > 1 or abs(factor + 1) < 1e-3 or _known_factor(abs(factor), sizes)):
            made[_factor(factor, sizes)] = factor * e
        if o.size > 1:
            made |= {told: make(e) for told, make in _RELATIONS.items()}
    distances = {told: np.abs(o - value).max() for told, value in made.items() if same(o, value)}
    return min(distances, key=distances.get, default="")


_RELATIONS = {  # what was made of the right numbers
    "the sizes are right, some signs are not; is an absolute value taken?": np.abs,
    "it is the exponential of ours. Stay with the logarithm.": np.exp,
    "it is the logarithm of ours.": np.log,
    "it is the square of ours; a variance for a standard deviation?": np.square,
    "it is the square root of ours; a standard deviation for a variance?": np.sqrt,
    "it is 1 divided by ours.": np.reciprocal,
    "it is 1 minus ours.": lambda e: 1 - e,
}


def _rearranged(observed, expected, same):
    """The right numbers in other places."""
    if same(observed, expected):  # nearly right where they are
        return ""
    if observed.ndim == 2 and observed.shape[0] == observed.shape[1] and same(observed.T, expected):
        return "it is transposed."
    if observed.size < 4:  # it may be chance
        return ""
    for axis in range(observed.ndim):
        if same(np.flip(observed, axis), expected):
            return f"the order along axis {axis} is reversed."
    if same(np.sort(observed, axis=None), np.sort(expected, axis=None)):
        return "the numbers are right, their order is not."
    return ""


def _shape(observed, expected, same):
    told = f"the shape is {observed.shape}, expected {expected.shape}"
    if observed.size == expected.size > 0 and same(observed.reshape(expected.shape), expected):
        return f"{told}; the numbers are right."
    if observed.ndim == expected.ndim == 2 and same(observed.T, expected):
        return f"{told}: it is transposed."
    for n in range(1, observed.ndim + 1) if observed.ndim <= expected.ndim + 3 and observed.size <= 1e5 else ():
        for axes in itertools.combinations(range(observed.ndim), n):
            for word, reduce in (("Sum", np.sum), ("Take the mean", np.mean)):
                if observed.size and same(reduce(observed, axis=axes), expected):
                    return f"{told}. {word} over {_axes(axes, observed.ndim)}."
    for n in range(expected.ndim, 0, -1):
        for axes in itertools.combinations(range(expected.ndim), n):
            for (word, reduce), keep in itertools.product((("sum", np.sum), ("mean", np.mean)), (False, True)):
                if expected.size and same(observed, reduce(expected, axis=axes, keepdims=keep)):
                    return f"{told}: you took the {word} over {_axes(axes, expected.ndim)}, which should stay."
    n = len(expected) if expected.ndim else 0
    if observed.shape == (n, n) and expected.shape in ((n,), (n, 1)):
        return f"{told}: did numbers of the shapes ({n}, 1) and ({n},) meet, and spread over rows and columns?"
    return f"{told}."


def _axes(axes, ndim):
    if len(axes) == ndim:
        return "everything" if ndim > 1 else "axis 0"
    return f"axis {axes[0]}" if len(axes) == 1 else f"the axes {', '.join(map(str, axes))}"


def _not_finite(observed, expected):
    bad = np.isfinite(expected) & ~np.isfinite(observed)
    kind = "nan" if np.isnan(observed[bad]).any() else "infinite"
    told = f"{_count(bad)} {kind} where {_number(expected[bad][0])} is expected"
    reason = "something overflows, something is divided by 0, or the logarithm of 0 is taken"
    if kind == "nan":
        reason = "infinity less infinity, 0 divided by 0, or the logarithm or root of a negative number"
    return f"{told}: {reason}."


def _factor(factor, sizes):
    if math.isclose(factor, -1, rel_tol=1e-3):
        return "the sign is reversed."
    sign = "with the sign reversed, " if factor < 0 else ""
    return f"{sign}it is ours {_known_factor(abs(factor), sizes) or f'times {_number(abs(factor))}'}."


def _known_factor(size, sizes):
    """ "divided by 2"; "" for a factor that means nothing."""
    known = {f"{n:g}, the number of {meaning}": n for meaning, n in sizes.items() if n > 1}
    known |= {"2": 2, "π": math.pi, "2π": 2 * math.pi, "√2": 2**0.5, "√2π": (2 * math.pi) ** 0.5}
    known |= {"ln 2 (another base of the logarithm)": math.log(2)}
    known |= {f"√{n:g}, the root of the number of {meaning}": n**0.5 for meaning, n in sizes.items() if n > 2}
    for what, n in known.items():
        for value, word in ((n, "times"), (1 / n, "divided by")):
            if math.isclose(size, value, rel_tol=1e-3):
                return f"{word} {what}"
    return ""


def _shift(shift, sizes):
    known = {"½ ln 2π": 0.5 * math.log(2 * math.pi), "ln 2": math.log(2), "1": 1.0, "½": 0.5}
    for meaning, n in sizes.items():
        known |= {f"{n}/2 · ln 2π ({n} {meaning})": n / 2 * math.log(2 * math.pi), f"{n} ({meaning})": n}
        known |= {f"{n}/2 ({n} {meaning})": n / 2, f"ln {n} ({n} {meaning})": math.log(n)}
    for word, sign in (("plus", 1), ("less", -1)):
        for meaning, value in known.items():
            if value and math.isclose(sign * shift, value, rel_tol=1e-3):
                return f"it is ours {word} {meaning} everywhere: a term too {'many' if sign > 0 else 'few'}."
    return f"it is ours {'plus' if shift > 0 else 'less'} {_number(abs(shift))} everywhere: a constant term differs."


def _count(mask):
    """ "3 of 7 numbers are"."""
    n = int(mask.sum())
    return f"{n} of {mask.size} numbers {'is' if n == 1 else 'are'}" if mask.size > 1 else "it is"


def _number(value):
    return f"{value:.4g}"
