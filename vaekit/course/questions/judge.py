"""Judges what was observed of an answer: which parts are right, and which mistake explains what is wrong."""

import functools
import itertools

import numpy as np

from vaekit.course.observe import DOUBLE, GLOBAL, NUMPY, VALUE, Fault
from vaekit.course.questions.explain import OTHER, Explanation, common, explain
from vaekit.course.questions.question import AtLeast, AtMost, Limit, Mistake, fits
from vaekit.course.questions.recognize import UNFORESEEN, Row, recognized, unforeseen
from vaekit.course.questions.verdict import Part, Verdict

# What `unforeseen` may know better.
VAGUE = (OTHER, "leak", "factor", "shift", "square", "root", "reciprocal", "absolute")


def judge(question, cases, observations):
    """Judges what was observed of an answer: returns a `Verdict`.

    Args:
        question: a `Question`.
        cases: list of `Case`.
        observations: list, for each case a dict of arrays, or a `Fault`. They may come from a process that wants to
            deceive: nothing is assumed of them but that they are arrays.
    """
    advice = None
    if question.derives:
        observed = next((o for o in observations if isinstance(o, Fault)), None)
        if not observed:
            observed = question.derived([case.inputs for case in cases], [_numbers(o) for o in observations])
            advice = functools.partial(question.advice, observed)
        cases, observations = cases[:1], [observed]
    rows_by_part = {}
    for case, observed in zip(cases, observations, strict=True):
        for name, target in question.targets(case).items():
            value = observed if isinstance(observed, Fault) else observed.get(name)
            double = not isinstance(observed, Fault) and DOUBLE in observed
            target = question.widened(name, target, observed)
            rows_by_part.setdefault(question.part(case, name), []).append(Row(case.inputs, name, value, target, double))
    weights = question.parts or dict.fromkeys(rows_by_part, 1)
    if set(weights) != set(rows_by_part):
        raise ValueError(f"{question.name} has the parts {list(weights)}, its cases are for {list(rows_by_part)}.")
    named = recognized(question, rows_by_part)
    for part, other in _exchanged(rows_by_part).items():
        if named[part] and np.size(rows_by_part[part][0].observed) == 1:
            continue  # of numbers, a mistake that is listed says more
        named[part] = [(Mistake("another_value", f"this is what belongs to *{other}*, which is right there."), (0, 0))]
    wrong = [part for part, rows in rows_by_part.items() if not all(row.fits for row in rows)]
    of_all = [{mistake.name for mistake, _ in named[part]} for part in wrong]
    if wrong and not set.intersection(*of_all) and (order := _reordered(rows_by_part)):
        named |= dict.fromkeys(wrong, [(order, (0, 0))])
    vague = {}  # part → what is wrong with it, where no mistake explains that
    for part, rows in rows_by_part.items():
        wrong = [row for row in rows if not row.fits]
        if wrong and not named[part] and not any(_self_explanatory(row) for row in wrong[:1]):
            vague[part] = _in_common(question, [row for row in wrong if not isinstance(row.observed, Fault)])
    better = [part for part, explanation in vague.items() if explanation.name in VAGUE]
    vague |= unforeseen(question, rows_by_part, better) if better else {}

    parts, earlier = [], set()  # one mistake often spoils several parts
    for name, weight in weights.items():
        mistakes = sorted(named[name], key=lambda pair: (*pair[1], pair[0].name not in earlier))
        share = weight / sum(weights.values())
        mistakes, others_wrong = [mistake for mistake, _ in mistakes], not all(part.right for part in parts)
        parts.append(_part(question, name, share, rows_by_part[name], mistakes, vague.get(name), earlier, others_wrong))
        earlier.add(parts[-1].diagnosis)
    parts = _together(question, _advised(parts, advice))
    return Verdict(question.name, question.title, question.points, parts, question.note or _note(observations))


def unobserved(question, fault):
    """Judges an answer that could not be observed at all: returns a `Verdict`."""
    cases = question.cases(0)
    return judge(question, cases, [fault] * len(cases))


FOLLOWS = (OTHER, "factor", "shift", "term", "constant", "twice", "half", "sign")  # of a variant

_NOTES = {
    NUMPY: "what comes back is an array of NumPy, through which no gradient passes: what uses it later cannot be "
    "trained. Compute with `ops` throughout.",
    GLOBAL: "to make or call it changes the global random state (`keras.utils.set_random_seed`, `np.random.seed`?), on "
    "which others rely. A seed of its own is an initializer's argument.",
    DOUBLE: "it computes in float64, and the inputs are float32, as all of Keras is: what uses it later may fail, "
    'since the two do not mix. Hand `dtype="float32"` to what NumPy makes, or `ops.cast` it.',
}


def _note(observations):
    """Returns a note on an answer that is right, and will be trouble later."""
    kinds = {kind for kind in _NOTES for o in observations if not isinstance(o, Fault) and kind in o}
    messages = [message for kind, message in _NOTES.items() if kind in kinds]
    return " ".join(f"{word} {message}" for word, message in zip(("But", "And", "And"), messages, strict=False))


# ---- parts


def _part(question, name, share, rows, mistakes, vague, earlier, others_wrong):
    """Judges a part; `earlier` has the diagnoses of parts before it, `others_wrong` is whether one of them is wrong."""
    wrong = [row for row in rows if not row.fits]
    if not wrong:
        return Part(name, share, True, next((_reached(row) for row in rows if isinstance(row.target, Limit)), ""))
    row = wrong[0]
    if isinstance(row.observed, Fault):
        return Part(name, share, False, row.observed.message, row.observed.kind)
    if mistakes:
        return Part(name, share, False, mistakes[0].message, mistakes[0].name)
    if isinstance(row.target, Limit):
        return Part(name, share, False, _missed(row), "bound")
    diagnosis, message = vague.name, vague.message
    own = {mistake.name: mistake.message for mistake in question.mistakes if mistake.predict is None}
    if (
        others_wrong and all(row.gradient for row in rows) and diagnosis not in earlier
    ):  # of a slope the question's words may be untrue
        own = {}
    label = "the result" if row.name == VALUE else row.name  # an argument may be called so
    message = own.get(diagnosis) or (
        f"{label}: {message}" if row.name != name != VALUE and diagnosis not in UNFORESEEN else message
    )
    same_shape = np.shape(row.observed) == np.shape(row.target.value)
    if diagnosis == OTHER and question.variants and not row.gradient and same_shape:
        message = f"no usual mistake gives these numbers. {message[0].upper()}{message[1:]}"
    if diagnosis == OTHER and all(row.double for row in wrong):
        message += " What came back is float64, and the inputs are float32: where on the way was it converted?"
    return Part(name, share, False, message, diagnosis)


def _exchanged(rows_by_part):
    """Finds parts whose values are those of another one that is right: {part: the other}."""
    values = {
        part: rows for part, rows in rows_by_part.items() if all(row.name == part and not row.gradient for row in rows)
    }
    right = [part for part, rows in values.items() if all(row.fits for row in rows)]
    return {
        part: other
        for part, rows in values.items()
        for other in right
        if part not in right
        and len(rows) == len(rows_by_part[other])
        and sum(np.size(row.observed) for row in rows) > 1
        and all(fits(row.observed, its.target) for row, its in zip(rows, rows_by_part[other], strict=True))
    }


def _reordered(rows_by_part):
    """Recognizes values that all come back, in another order than asked for: a `Mistake`, or None."""
    cases = {}  # by case: row by the name of the value
    for row in itertools.chain.from_iterable(rows_by_part.values()):
        if isinstance(row.observed, Fault) or isinstance(row.target, Limit):
            return None
        if not row.gradient:
            cases.setdefault(id(row.inputs), {})[row.name] = row
    names = [*next(iter(cases.values()), {})]
    if not 1 < len(names) < 5 or any([*rows] != names for rows in cases.values()):
        return None
    if all(row.fits for rows in cases.values() for row in rows.values()):  # and gradients alone are wrong
        return None
    for order in itertools.permutations(names):
        pairs = [
            (rows[name].observed, rows[other].target)
            for rows in cases.values()
            for name, other in zip(names, order, strict=True)
        ]
        if [*order] != names and all(fits(observed, target) for observed, target in pairs):
            return Mistake("another_order", f"what is returned is in another order: {', '.join(order)}.")
    return None


def _self_explanatory(row):
    """Whether it is no array, or judged by a bound."""
    return isinstance(row.observed, Fault) or isinstance(row.target, Limit)


def _reached(row):
    told = row.target.told(float(row.observed))
    return f"{told}{'' if row.target.of else ' reached'}." if told else ""


def _missed(row):
    limit = row.target
    if limit.digits is None:
        return ""
    number = float(row.observed) if fits(row.observed, AtLeast(-np.inf)) else None
    while number is not None and limit.digits < 9 and f"{number:.{limit.digits}f}" == f"{limit.value:.{limit.digits}f}":
        limit = limit._replace(digits=limit.digits + 1)  # until the two can be told apart
    told = "no number" if number is None else limit.told(number)
    asked = "at most {} are allowed" if isinstance(limit, AtMost) else "at least {} are asked for"
    return f"{told}; {asked.format(f'{limit.value:,.{limit.digits}f}')}."


def _explained(question, row):
    special = question.explained(row.inputs, row.name, row.observed, row.target)
    sizes = question.sizes(**row.inputs)
    atol = float(np.min(row.target.atol))
    return special or explain(row.observed, row.target.value, row.target.rtol, atol, sizes, row.gradient)


def _in_common(question, wrong):
    """Returns an `Explanation` of wrong rows; where nothing explains all, of those of the first one's name."""
    explained = [_explained(question, row) for row in wrong]
    explanation = common(explained)
    if explanation.name != OTHER:
        return explanation
    return Explanation(
        OTHER, common([e for e, row in zip(explained, wrong, strict=True) if row.name == wrong[0].name]).message
    )


def _advised(parts, advice):
    """Adds the question's advice to limits that were missed, once; of those for the same number the first is told."""
    messages = {}  # {advice: {the number that was measured: message}}
    for i, part in enumerate(parts):
        if part.diagnosis == "bound" and (found := advice and advice(part.name)):
            of_advice, measured = messages.setdefault(found, {}), part.message.split(";")[0]
            told = part.message if of_advice and part.message else f"{part.message} {found[1]}".strip()
            parts[i] = part._replace(diagnosis=found[0], message=of_advice.setdefault(measured, told))
    return parts


def _together(question, parts):
    """Relates parts to each other: what has no explanation of its own probably follows from what has one."""
    first_missing = question.requires_first and not parts[0].right
    explained = {*UNFORESEEN, *(mistake.name for mistake in question.mistakes)}
    leading = [p for p in parts if p.diagnosis in explained or (not p.right and p.name == question.leading_part)]
    if first := parts[0] if first_missing else next(iter(leading), None):
        later = f"look again once {first.name} is right."
        follows = FOLLOWS if first.diagnosis in UNFORESEEN else (OTHER,)
        parts = [p._replace(message=later) if p.diagnosis in follows and p is not first else p for p in parts]
    if first_missing:
        parts = [part._replace(counts=False) for part in parts]
    return tuple(parts)


def _numbers(observation):
    """Keeps an observation's arrays of numbers, as float64; what else there may be is left out."""
    arrays = {name: np.asarray(value) for name, value in observation.items()}
    return {name: array.astype(np.float64) for name, array in arrays.items() if array.dtype.kind in "fiub"}
