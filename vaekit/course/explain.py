"""What is wrong with an array, in a sentence: shape, sign, factor, missing term."""

import math

import numpy as np


def explain(observed, expected, rtol=1e-4, atol=1e-5, sizes=None):
    """How `observed` differs from `expected`, in a sentence a learner can act on (Markdown).

    Args:
        observed: array, or None.
        expected: float64 array.
        rtol, atol: within which numbers are the same.
        sizes: dict of numbers by their meaning, such as {"latent units": 40}, which factors are compared with.
    """
    if observed is None:
        return "nothing came back; expected an array. Is there a `return`?"
    observed = np.asarray(observed)
    if observed.dtype.kind not in "fiub":
        return f"expected numbers, received values of type {observed.dtype}."
    observed, sizes = observed.astype(np.float64), sizes or {}

    def same(a, b):
        return np.shape(a) == np.shape(b) and np.allclose(a, b, rtol=max(rtol, 1e-3), atol=atol)

    if observed.shape != expected.shape:
        return _shape(observed, expected, same)
    if not np.isfinite(observed[np.isfinite(expected)]).all():
        return _not_finite(observed, expected)
    finite = np.isfinite(expected)
    o, e = observed[finite], expected[finite]
    if not o.any() and e.any():
        return (
            "everything is 0. A gradient is 0 where the way from parameter to result is cut (by NumPy, by a constant)."
        )
    large = np.abs(e) > max(atol, 1e-6) * 10
    if large.any():
        factor = float(np.median(o[large] / e[large]))
        if abs(factor) > 1e-6 and same(o, factor * e):
            return _factor(factor, sizes)
    shift = float(np.median(o - e))
    if o.size > 1 and same(o, e + shift):
        return _shift(shift, sizes)
    if observed.ndim == 2 and observed.shape[0] == observed.shape[1] and same(observed.T, expected):
        return "it is transposed."
    wrong = np.abs(o - e) > atol + rtol * np.abs(e)
    error = float(np.median(np.abs(o - e)[wrong] / np.maximum(np.abs(e)[wrong], atol)))
    place = np.argwhere(finite)[wrong][0].tolist()
    example = f"at {place}: " if place else ""
    example += f"received {_number(o[wrong][0])}, expected {_number(e[wrong][0])}"
    if error < 0.02:
        return (
            f"nearly right, not within tolerance (relative error {error:.0e}; {example}): digits are lost on the way."
        )
    if wrong.mean() < 0.9:
        return f"{int(wrong.sum())} of {wrong.size} numbers are wrong, the others right; {example}."
    return f"{example}."


def _shape(observed, expected, same):
    told = f"the shape is {observed.shape}, expected {expected.shape}"
    if observed.size == expected.size and same(observed.reshape(expected.shape), expected):
        return f"{told}; the numbers are right."
    if observed.ndim == expected.ndim == 2 and same(observed.T, expected):
        return f"{told}: it is transposed."
    for axis in range(observed.ndim):
        for word, reduced in (("Sum", observed.sum(axis)), ("Take the mean", observed.mean(axis))):
            if same(reduced, expected):
                return f"{told}. {word} over axis {axis}."
    if observed.ndim < expected.ndim:
        for word, reduce in (("sum", np.sum), ("mean", np.mean)):
            for axis in [None, *range(expected.ndim)]:
                if same(observed, reduce(expected, axis=axis)):
                    over = "everything" if axis is None else f"axis {axis}"
                    return f"{told}: you took the {word} over {over}, which should stay."
    return f"{told}."


def _not_finite(observed, expected):
    bad = np.isfinite(expected) & ~np.isfinite(observed)
    kind = "nan" if np.isnan(observed[bad]).any() else "infinite"
    return (
        f"{int(bad.sum())} of {bad.size} numbers are {kind} where {_number(expected[bad][0])} is expected: something "
        "overflows, or the logarithm of 0 is taken."
    )


def _factor(factor, sizes):
    if math.isclose(factor, -1, rel_tol=1e-3):
        return "the sign is reversed."
    sign, size = ("with the sign reversed, " if factor < 0 else ""), abs(factor)
    known = {**{meaning: n for meaning, n in sizes.items() if n > 1}, "": 2, "π": math.pi, "2π": 2 * math.pi}
    known |= {"√2": 2**0.5, "ln 2 (another base of the logarithm)": math.log(2)}
    for meaning, n in known.items():
        for value, word in ((n, "times"), (1 / n, "divided by")):
            if math.isclose(size, value, rel_tol=1e-3):
                what = f"{n:g}" + (f", the number of {meaning}" if meaning in sizes else "")
                return f"{sign}it is ours {word} {what if meaning in sizes or not meaning else meaning}."
    return f"{sign}it is ours times {_number(size)}."


def _shift(shift, sizes):
    known = {"½ ln 2π": 0.5 * math.log(2 * math.pi), "1": 1.0, "½": 0.5}
    for meaning, n in sizes.items():
        known |= {f"{n}/2 · ln 2π ({n} {meaning})": n / 2 * math.log(2 * math.pi), f"{n} ({meaning})": n}
        known |= {f"{n}/2 ({n} {meaning})": n / 2}
    for word, sign in (("plus", 1), ("less", -1)):
        for meaning, value in known.items():
            if value and math.isclose(sign * shift, value, rel_tol=1e-3):
                return f"it is ours {word} {meaning} everywhere: a term too {'many' if sign > 0 else 'few'}."
    return f"it is ours {'plus' if shift > 0 else 'less'} {_number(abs(shift))} everywhere: a constant term differs."


def _number(value):
    return f"{value:.4g}"
