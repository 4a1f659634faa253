"""Recognizes mistakes in what was observed: those that a question lists, and those that its answer itself suggests."""

import contextlib
import functools
from typing import NamedTuple

import numpy as np

from vaekit.course.observe import Fault
from vaekit.course.questions.explain import Explanation
from vaekit.course.questions.question import Limit, Near, Prediction, fits
from vaekit.course.questions.variants import ORDER, Variant, variants

UNFORESEEN = ("variant", "two", "terms")  # names of what no question lists
MOST_IN_PAIRS = 120  # variants
MOST_CLAUSES = 2  # of several variants that give the same


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


def recognized(question, rows_by_part):
    """Recognizes listed mistakes: {part: list of (mistake, rank)}; ranks are better the lower they are.

    A mistake explains a part if all of the part is what it predicts. Numbers have to agree somewhere, unless it
    predicts none; where nan and infinity are all there is, it has to explain all that is wrong. What follows from
    values, gradients and parts of other cases, is not explained by a mistake that the values contradict. A gradient of
    0 has many causes: it is evidence only if nothing contradicts it.
    """
    wrong = [part for part, rows in rows_by_part.items() if not all(row.fits for row in rows)]
    values = [part for part, rows in rows_by_part.items() if all(row.name == part and not row.gradient for row in rows)]
    cut = [part for part in wrong if all(row.cut for row in rows_by_part[part] if not row.fits)]
    recognized = {part: [] for part in rows_by_part}
    evidence = [(m, _evidence(question, m, rows_by_part)) for m in question.mistakes if m.predict] if wrong else []
    sure = {mistake.name for mistake, by_part in evidence if any(e.numbers for e in by_part.values() if e.explains)}
    sure |= {mistake.name for mistake, by_part in evidence if not any(e.predicts for e in by_part.values())}
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


def unforeseen(question, rows_by_part, parts):
    """Explains parts that no listed mistake explains, by what the answer itself suggests: {part: `Explanation`}.

    It may be a variant of the answer that gives all that was observed, or all of one part; two mistakes at once; terms
    of a sum that count otherwise than they should; or two variants at once, if there are not too many.
    """
    values_first = dict(sorted(rows_by_part.items(), key=lambda pair: all(row.gradient for row in pair[1])))
    wrong = {part for part, rows in rows_by_part.items() if not all(row.fits or _at_fault(row) for row in rows)}
    if explanation := _explain_by_variant(question, values_first, wrong):
        return dict.fromkeys(parts, explanation)
    explanations = {}
    for part in parts:
        if all(row.name == part and not row.gradient for row in rows_by_part[part]):  # values, and ordinary ones
            rows = rows_by_part[part]
            alone = _explain_by_variant(question, {part: rows}, {part})
            if alone and ORDER in alone.message:  # of one value alone nobody knows
                alone = None
            explanations[part] = alone or _explain_by_terms(question, rows)
    explanations = {part: explanation for part, explanation in explanations.items() if explanation}
    if not explanations and (two := _explain_by_two_variants(question, values_first, wrong)):
        return dict.fromkeys(parts, two)
    return explanations


def _at_fault(row):
    return isinstance(row.observed, Fault)


def _explain_by_variant(question, rows_by_part, wrong):
    """Explains all that is wrong by a variant that nothing observed contradicts; None if there is none."""
    clauses = _agreeing(question, question.variants, rows_by_part, wrong)
    if clauses:
        return _but_for("variant", "one thing", clauses[:1] if clauses[0].startswith("the term with") else clauses)
    if clauses := _agreeing(question, question.pairs, rows_by_part, wrong):
        return Explanation("two", f"two mistakes together give your numbers. One: {clauses[0]}")
    return None


def _explain_by_two_variants(question, rows_by_part, wrong):
    """Explains by two changes of the answer; the second leaves alone what the first brings in."""
    if not 0 < len(question.variants) <= MOST_IN_PAIRS:
        return None
    of_the_answer = {variant.clause for variant in question.variants}
    two = (
        Variant(f"{first.clause}; and {second.clause}", second.text)
        for first in question.variants
        for second in variants(first.text)
        if second.clause in of_the_answer
    )
    clauses = _agreeing(question, two, rows_by_part, wrong)[:1]  # the others are the same two, or come to the same
    return _but_for("two", "two things", clauses) if clauses else None


def _agreeing(question, candidates, rows_by_part, wrong):
    """Finds variants that give all that was observed, `wrong` parts among it: clauses of `MOST_CLAUSES`, at most.

    Nothing where wrong values of a part are nan or infinite throughout: a second mistake may hide behind them.
    """
    if any(_hidden(rows_by_part[part]) for part in wrong if part in rows_by_part):
        return []
    inputs = {id(row.inputs): row.inputs for rows in rows_by_part.values() for row in rows}

    def agrees(variant):
        predictions, numbers = functools.cache(lambda key: question.predict(variant.text, inputs[key])), False
        for part, rows in rows_by_part.items():
            evidence = _compare(question, rows, lambda row: _prediction(predictions(id(row.inputs)).get(row.name)))
            if evidence.contradicted or evidence.too_accurate or (part in wrong and not evidence.explains):
                return False
            numbers |= evidence.wrong_numbers
        return numbers

    clauses = {}
    with np.errstate(all="ignore"):
        for variant in candidates:
            with contextlib.suppress(Exception):  # not each can be computed: shapes may not fit
                if agrees(variant):
                    clauses[variant.clause] = None
            if len(clauses) == MOST_CLAUSES:
                break
    return list(clauses)


def _hidden(rows):
    """Whether there are wrong values, and no finite number among them."""
    values = [np.asarray(row.observed) for row in rows if not (row.gradient or row.fits or _at_fault(row))]
    numbers = [value for value in values if value.dtype.kind in "fiub"]
    return bool(numbers) and not any(np.isfinite(value).any() for value in numbers)


def _explain_by_terms(question, rows):
    """Explains by the coefficients of a sum's terms; None if that is not clear."""
    counts = question.counted([(row.inputs, row.name, row.observed) for row in rows if not _at_fault(row)])
    return _but_for("terms", "this", ["; ".join(counts)]) if counts else None


def _but_for(name, what, clauses):
    return Explanation(name, f"your numbers are those of the right answer, but for {what}: {', or '.join(clauses)}.")


class Evidence(NamedTuple):
    """The evidence of a part's observations for a mistake.

    Attributes:
        explains: some are wrong, and all are what it predicts, or wrong where it cannot be predicted.
        predicts: it predicts numbers here.
        numbers: some are what it predicts.
        wrong_numbers: some of these are finite, and wrong.
        unlike: how many are only wrong.
        contradicted: one is something else than it predicts.
        too_accurate: one is right as in float64, which float32 would have made wrong; and nothing else is float64's.
    """

    explains: bool = False
    predicts: bool = False
    numbers: bool = False
    wrong_numbers: bool = False
    unlike: int = 0
    contradicted: bool = False
    too_accurate: bool = False


def _evidence(question, mistake, rows_by_part):
    """Weighs a mistake: `Evidence` by part."""
    inputs = {id(row.inputs): row.inputs for rows in rows_by_part.values() for row in rows}
    predictions = functools.cache(lambda key: mistake.predict(**inputs[key]))
    with np.errstate(all="ignore"):
        return {
            part: _compare(question, rows, lambda row: _prediction(predictions(id(row.inputs)).get(row.name)))
            for part, rows in rows_by_part.items()
        }


def _compare(question, rows, predict):
    """Compares a part with a mistake, of which `predict(row)` is a `Prediction` or None: returns `Evidence`."""
    predicts, numbers, wrong, wrong_numbers, unlike = False, False, False, False, 0
    double, too_accurate = any(row.double for row in rows), False  # in float64; right, where float32 is not
    for row in rows:
        if isinstance(row.observed, Fault) or isinstance(row.target, Limit):
            return Evidence(predicts=True)
        prediction = predict(row)
        if prediction is None:
            continue
        predicts |= bool(prediction.values)
        atol, rtol = np.maximum(row.target.atol, question.tolerance(row.name)), max(row.target.rtol, 1e-3)
        like = next((v for v in prediction.values if fits(row.observed, Near(v, atol, rtol))), None)
        if like is not None:
            differs = not fits(like, row.target)
            if prediction.unpredictable and like is not prediction.values[-1]:
                double |= differs
                too_accurate |= not differs and not _rounded_so(row, prediction.values, atol)
            numbers |= differs or not prediction.unpredictable
            wrong, wrong_numbers = wrong or differs, wrong_numbers or (differs and _in_numbers(like, row.target))
        elif prediction.unpredictable and not (
            row.fits and prediction.values
        ):  # by chance right, if nothing is predicted
            if prediction.values and not _rounded_so(row, prediction.values, atol):
                return Evidence(predicts=predicts, contradicted=True)
            numbers |= bool(prediction.values)
            wrong, unlike = wrong or not row.fits, unlike + 1
        else:
            return Evidence(predicts=predicts, contradicted=True)
    return Evidence(wrong, predicts, numbers, wrong_numbers, unlike, too_accurate=too_accurate and not double)


def _rounded_so(row, values, atol):
    """Whether what came back may be what a mistake gives, where that is rounding's to say.

    Where float64 and float32 agree on it, it is what they say; where float32 is far from what is right, it is wrong;
    what neither of them makes nan or infinite is finite, and what both of them make so is not.
    """
    exact, single, observed, right = (np.asarray(v, np.float64) for v in (*values, row.observed, row.target.value))
    if not observed.shape == single.shape == right.shape:  # rounding changes no shape
        return False
    agreed = (np.abs(single - exact) <= atol + 1e-3 * np.abs(exact)) & np.isfinite(exact)
    same = np.abs(observed - exact) <= atol + 2e-3 * np.abs(exact)
    far = ~(np.abs(single - right) <= atol + 0.02 * np.abs(right)) & np.isfinite(right) & ~agreed
    wrong = ~(np.abs(observed - right) <= row.target.atol + row.target.rtol * np.abs(right))
    finite = np.isfinite(observed) | ~(np.isfinite(exact) & np.isfinite(single))
    lost = ~np.isfinite(observed) | np.isfinite(exact) | np.isfinite(single)
    return bool(np.all(same | ~agreed) and np.all(wrong | ~far) and np.all(finite) and np.all(lost))


def _in_numbers(mistaken, target):
    """Whether what a mistake gives differs from what is right in its shape or in a finite number."""
    if np.shape(mistaken) != target.value.shape:
        return True
    with np.errstate(invalid="ignore"):
        far = np.abs(mistaken - target.value) > target.atol + target.rtol * np.abs(target.value)
    return bool(np.any(np.isfinite(mistaken) & far))


def _prediction(value):
    """Returns what a mistake gives as a `Prediction`; None if it predicts nothing."""
    value = value() if callable(value) else value
    return value if value is None or isinstance(value, Prediction) else Prediction((np.asarray(value, np.float64),))
