"""Judges what was observed of an answer: which parts are right, and which mistake explains what is wrong."""

import functools
from typing import NamedTuple

import numpy as np

from vaekit.course.observe import DOUBLE, VALUE, Fault
from vaekit.course.questions.explain import OTHER, common, explain
from vaekit.course.questions.question import AtLeast, Near, Shown
from vaekit.course.questions.verdict import Part, Verdict


class Row(NamedTuple):
    """An observation beside what was expected."""

    inputs: dict
    name: str
    observed: object
    target: object
    double: bool = False  # whether the answer computed in float64

    @property
    def fits(self):
        return fits(self.observed, self.target)

    @property
    def gradient(self):
        return self.name.startswith("gradient of")

    @property
    def cut(self):
        """Whether it is a gradient of 0."""
        return self.gradient and not isinstance(self.observed, Fault) and not np.any(self.observed)


def judge(question, cases, observations):
    """The `Verdict` on what an answer gave.

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
            advice = question.advice(observed)
        cases, observations = cases[:1], [observed]
    found = {}  # part → rows
    for case, observed in zip(cases, observations, strict=False):
        for name, target in question.targets(case).items():
            value = observed if isinstance(observed, Fault) else observed.get(name)
            double = not isinstance(observed, Fault) and DOUBLE in observed
            found.setdefault(question.part(case, name), []).append(Row(case.inputs, name, value, target, double))
    weights = question.parts or dict.fromkeys(found, 1)
    if set(weights) != set(found):
        raise ValueError(f"{question.name} has the parts {list(weights)}, its cases are for {list(found)}.")
    parts, known = [], set()  # one mistake often spoils several parts
    recognized = _recognized(question, found)
    for name, weight in weights.items():
        mistakes = sorted(recognized[name], key=lambda pair: (*pair[1], pair[0].name not in known))
        share = weight / sum(weights.values())
        mistakes, others_wrong = [mistake for mistake, _ in mistakes], not all(part.right for part in parts)
        parts.append(_part(question, name, share, found[name], mistakes, known, others_wrong))
        known.add(parts[-1].diagnosis)
    return Verdict(question.name, question.title, question.points, _together(question, _advised(parts, advice)))


def unobserved(question, fault):
    """The `Verdict` on an answer that could not be observed at all."""
    cases = question.cases(0)
    return judge(question, cases, [fault] * len(cases))


def fits(observed, target):
    """Whether an observation is what was expected: shape, and every number within atol + rtol·|expected|."""
    if isinstance(observed, Fault) or observed is None:
        return False
    observed = np.asarray(observed)
    if observed.dtype.kind not in "fiub":
        return False
    observed = observed.astype(np.float64)
    if isinstance(target, AtLeast):
        return observed.shape == () and bool(np.isfinite(observed) and observed >= target.value)
    if observed.shape != target.value.shape:
        return False
    with np.errstate(invalid="ignore"):
        close = np.abs(observed - target.value) <= target.atol + target.rtol * np.abs(target.value)
    same = (observed == target.value) | (np.isnan(observed) & np.isnan(target.value))  # infinities; nan by mistake
    return bool(np.all(np.where(np.isfinite(target.value), close, same)))


# ---- mistakes


def _recognized(question, found):
    """(mistake, rank) of those that explain a part, {part: list}; ranks are better the lower they are.

    A mistake explains a part if the part shows nothing but what it gives. Numbers have to say so somewhere, unless it
    gives none; where nan and infinity are all there is, it has to explain all that is wrong. What follows from values,
    gradients and parts of other cases, is not explained by a mistake that the values contradict. A gradient of 0 has
    many causes: it shows a mistake only if nothing contradicts it.
    """
    wrong = [part for part, rows in found.items() if not all(row.fits for row in rows)]
    values = [part for part, rows in found.items() if all(row.name == part and not row.gradient for row in rows)]
    cut = [part for part in wrong if all(row.cut for row in found[part])]
    recognized = {part: [] for part in found}
    evidence = [(m, _evidence(question, m, found)) for m in question.mistakes if m.shown] if wrong else []
    sure = {mistake.name for mistake, by_part in evidence if any(e.numbers for e in by_part.values() if e.explains)}
    sure |= {mistake.name for mistake, by_part in evidence if not any(e.given for e in by_part.values())}
    for mistake, by_part in evidence:
        if mistake.name not in sure:
            continue
        everything = all(by_part[part].explains for part in wrong)
        against = sum(e.contradicted for e in by_part.values())
        follows = not any(by_part[part].contradicted for part in values)
        for part, e in by_part.items():
            if not e.explains or not (e.wrong_numbers or everything) or not (part in values or follows):
                continue
            if part not in cut or not against:
                recognized[part].append((mistake, (against, e.unlike)))
    return recognized


class Evidence(NamedTuple):
    """What a part's observations say of a mistake.

    Attributes:
        explains: some are wrong, and all are what it gives, or wrong where it cannot be predicted.
        given: it gives numbers here.
        numbers: some are what it gives.
        wrong_numbers: some of these are finite, and wrong.
        unlike: how many are only wrong.
        contradicted: one is something else than it gives.
    """

    explains: bool = False
    given: bool = False
    numbers: bool = False
    wrong_numbers: bool = False
    unlike: int = 0
    contradicted: bool = False


def _evidence(question, mistake, found):
    """`Evidence` by part."""
    inputs = {id(row.inputs): row.inputs for rows in found.values() for row in rows}
    gives = functools.cache(lambda key: mistake.shown(**inputs[key]))
    with np.errstate(all="ignore"):
        return {
            part: _of_part(question, rows, lambda row: _shown(gives(id(row.inputs)).get(row.name)))
            for part, rows in found.items()
        }


def _of_part(question, rows, gives):
    """`Evidence` of a part for a mistake, which `gives(row)` a `Shown` or None."""
    given, numbers, wrong, wrong_numbers, unlike = False, False, False, False, 0
    for row in rows:
        if isinstance(row.observed, Fault) or isinstance(row.target, AtLeast):
            return Evidence(given=True)
        mistaken = gives(row)
        if mistaken is None:
            continue
        given |= bool(mistaken.values)
        atol, rtol = np.maximum(row.target.atol, question.tolerance(row.name)), max(row.target.rtol, 1e-3)
        like = next((v for v in mistaken.values if fits(row.observed, Near(v, atol, rtol))), None)
        if like is not None:
            numbers, differs = True, not fits(like, row.target)
            wrong, wrong_numbers = wrong or differs, wrong_numbers or (differs and _in_numbers(like, row.target))
        elif mistaken.unpredictable and np.shape(row.observed) != np.shape((*mistaken.values, row.target.value)[0]):
            return Evidence(given=given, contradicted=True)  # rounding changes no shape
        elif mistaken.unpredictable and not (row.fits and mistaken.values):  # by chance right, if nothing is known
            wrong, unlike = wrong or not row.fits, unlike + 1
        else:
            return Evidence(given=given, contradicted=True)
    return Evidence(wrong, given, numbers, wrong_numbers, unlike)


def _in_numbers(mistaken, target):
    """Whether what a mistake gives differs from what is right in its shape or in a finite number."""
    if np.shape(mistaken) != target.value.shape:
        return True
    with np.errstate(invalid="ignore"):
        far = np.abs(mistaken - target.value) > target.atol + target.rtol * np.abs(target.value)
    return bool(np.any(np.isfinite(mistaken) & far))


def _shown(value):
    """`Shown` of what a mistake gives; None if it says nothing."""
    value = value() if callable(value) else value
    return value if value is None or isinstance(value, Shown) else Shown((np.asarray(value, np.float64),))


# ---- parts


def _part(question, name, share, rows, mistakes, known, others_wrong):
    """A part's verdict, `known` the diagnoses of parts before it, `others_wrong` whether one of them is wrong."""
    wrong = [row for row in rows if not row.fits]
    if not wrong:
        bounds = [row for row in rows if isinstance(row.target, AtLeast)]
        return Part(name, share, True, f"{_reached(bounds[0])} reached." if bounds else "")
    row = wrong[0]
    if isinstance(row.observed, Fault):
        return Part(name, share, False, row.observed.says, row.observed.kind)
    if mistakes:
        return Part(name, share, False, mistakes[0].says, mistakes[0].name)
    if isinstance(row.target, AtLeast):
        reached = _reached(row) if fits(row.observed, AtLeast(-np.inf)) else "no number"
        return Part(name, share, False, f"{reached}; at least {row.target.value:.2f} are asked for.", "bound")
    diagnosis, says, _ = common([_explained(question, row) for row in wrong if not isinstance(row.observed, Fault)])
    own = {mistake.name: mistake.says for mistake in question.mistakes if mistake.shown is None}
    if (
        others_wrong and all(row.gradient for row in rows) and diagnosis not in known
    ):  # of a slope the question's words may be untrue
        own = {}
    says = own.get(diagnosis) or (f"{row.name}: {says}" if row.name != name != VALUE else says)
    if diagnosis == OTHER and all(row.double for row in wrong):
        says += " What came back is float64, and the inputs are float32: where on the way was it converted?"
    return Part(name, share, False, says, diagnosis)


def _reached(row):
    return f"{float(row.observed):.2f} {row.target.unit}"


def _explained(question, row):
    special = question.explained(row.inputs, row.name, row.observed, row.target)
    sizes = question.sizes(**row.inputs)
    atol = float(np.min(row.target.atol))
    return special or explain(row.observed, row.target.value, row.target.rtol, atol, sizes, row.gradient)


def _advised(parts, advice):
    """With the question's advice, and the lowest of the bounds that were missed, the next one to reach."""
    missed = [part for part in parts if part.diagnosis == "bound"]
    if not advice or not missed:
        return parts
    diagnosis, says = advice
    said = f"{missed[0].says} {says}"
    return [part._replace(diagnosis=diagnosis, says=said) if part in missed else part for part in parts]


def _together(question, parts):
    """Parts as they depend on each other: what has no explanation of its own probably follows from what has one."""
    unfounded = question.founded and not parts[0].right
    named = {mistake.name for mistake in question.mistakes}
    first = parts[0] if unfounded else next((part for part in parts if part.diagnosis in named), None)
    if first:
        later = f"look again once {first.name} is right."
        parts = [p._replace(says=later) if p.diagnosis == OTHER and p is not first else p for p in parts]
    if unfounded:
        parts = [part._replace(counts=False) for part in parts]
    return tuple(parts)


def _numbers(observation):
    """An observation's arrays of numbers, float64; what else there may be is left out."""
    arrays = {name: np.asarray(value) for name, value in observation.items()}
    return {name: array.astype(np.float64) for name, array in arrays.items() if array.dtype.kind in "fiub"}
