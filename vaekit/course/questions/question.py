r"""Questions of the graded exercises, defined once: inputs, what answers should give, what mistakes give, points.

A question never touches an answer. An observer (`vaekit.course.observe`) calls the answer with the inputs of each
case and returns arrays; `Question.judge` compares arrays. So the check in a notebook, nbgrader's cells and `vaekit
grade`, where answers run in another process, judge by the same definition.

```python
Question(
    name="kl_divergence",
    title="KL divergence from the standard normal distribution",
    points=3,
    public=[Case({"mean": np.zeros((1, 2)), "log_variance": np.zeros((1, 2))})],
    draw=lambda rng: [Case({"mean": rng.normal(size=(5, 3)), "log_variance": rng.normal(size=(5, 3))})],
    expected=lambda mean, log_variance: 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance).sum(-1),
    diagnoses=[Diagnosis("sign", "The sign is reversed: KL is never negative.", lambda **inputs: -expected(**inputs))],
)
```
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from vaekit.course.observe import VALUE, Fault
from vaekit.course.questions.explain import explain
from vaekit.course.show import plain

OTHER = "other"  # the name of what no diagnosis fits
OFF = "off"  # in what a mistake gives: anything but the right values, such as rounding errors magnified


class Case(NamedTuple):
    """Inputs of one call of an answer.

    Attributes:
        inputs: dict of arrays, numbers and texts by argument name.
        part: the part of the question that this case is for; None: each observation is a part of its own name.
    """

    inputs: dict
    part: str | None = None


class Observe(NamedTuple):
    """An observer by its name in `vaekit.course.observe.functions`, with its options (what JSON can hold)."""

    name: str = "call"
    options: dict = {}


class Near(NamedTuple):
    """An expected array with tolerances of its own, such as a mean over draws; `because` gives the reason for them."""

    value: np.ndarray
    atol: float
    rtol: float = 0.0
    because: str = ""


class AtLeast(NamedTuple):
    """A bound that a number should reach."""

    value: float
    unit: str = "nats"


class Diagnosis(NamedTuple):
    """A typical mistake, recognized by what it gives.

    Attributes:
        name: for tests and reports.
        says: what the learner reads: what was done, and what to do instead.
        wrong: function of the case's inputs, returns what `Question.expected` returns, with the mistake made. It may
            leave observations out: those are not compared; or say of one that it is `OFF`, of no predictable value. A
            case on which it agrees with the expected values proves nothing, and is passed over.
    """

    name: str
    says: str
    wrong: Callable


class Part(NamedTuple):
    """The verdict on a part of a question.

    Attributes:
        name: of the part.
        share: of the question's points, all parts of a question have 1 together.
        right: whether it is.
        counts: whether it earns its share if it is right.
        says: what is wrong, in Markdown; "" if nothing is.
        diagnosis: name of the `Diagnosis`, of the kind of `Fault`, "bound", or `OTHER`; "" if right.
    """

    name: str
    share: float
    right: bool
    says: str = ""
    diagnosis: str = ""
    counts: bool = True


@dataclass(frozen=True)
class Verdict:
    """What an answer to a question is worth, and why."""

    question: str
    title: str
    points: float
    parts: tuple

    @property
    def share(self):
        """Of the points, from 0 to 1, a Python float."""
        return min(1.0, float(sum(part.share for part in self.parts if part.right and part.counts)))

    @property
    def earned(self):
        """Points, a Python float."""
        return min(float(self.points), round(self.points * self.share, 6))  # rounding adds nothing

    @property
    def right(self):
        """Whether everything is."""
        return all(part.right for part in self.parts)

    @property
    def diagnosis(self):
        """Of the first part that is wrong; "" if none is."""
        return next((part.diagnosis for part in self.parts if not part.right), "")

    @property
    def sign(self):
        """✓, ◐ or ✗."""
        return "✓" if self.right else "◐" if self.share else "✗"

    def faults(self):
        """What is wrong, sentences in Markdown; parts of which the same is said share one."""
        told = {}
        for part in self.parts:
            if not part.right:
                told.setdefault(part.says, []).append(part.name)
        several = len(self.parts) > 1
        return [f"{', '.join(names)}: {says}" if several else says for says, names in told.items()]

    def _repr_markdown_(self):
        head = f"{self.sign} **{self.title}**: {points(self.earned)} of {points(self.points)} points."
        if self.right:
            return f"{head} Right."
        lines = [f"- {fault}" for fault in self.faults()]
        for counts, says in ((False, f"right, and counts once {self.parts[0].name} is."), (True, "right.")):
            if right := [part.name for part in self.parts if part.right and part.counts == counts]:
                lines.insert(0, f"- {', '.join(right)}: {says}")
        return "\n".join([head, "", *lines])

    def __repr__(self):
        return plain(self._repr_markdown_()).replace("\n\n", "\n")


def points(number):
    """2.0 → "2", 1.5 → "1.5"."""
    return f"{number:.2f}".rstrip("0").rstrip(".")


@dataclass(frozen=True)
class Question:
    """A question of an exercise.

    Attributes:
        name: of the function, class or number in the notebook that answers it.
        title: a line.
        points: for an answer that is right in every part.
        public: list of `Case`, the same each time.
        draw: function of a NumPy generator, returns a list of `Case`, drawn anew for each check and each grading.
        expected: function of a case's inputs: an array, or a dict of arrays (or `Near`, `AtLeast`) by observation.
        observe: how an answer becomes arrays; a plain call unless said.
        diagnoses: list of `Diagnosis`; the first that fits is told.
        hints: list of texts, from a nudge to nearly the answer.
        parts: dict: weight of each part; None: observations count alike.
        founded: whether the other parts count only if the first one is right. (The gradient of a wrong function may be
            right by chance.)
        sizes: function of a case's inputs: dict of numbers by their meaning ("latent units": 40), for explanations.
        derive: function of (list of inputs, list of observations), returns observations for the first case: where
            what counts is computed from all that an answer gave, such as the bound that a trained model reaches.
        advise: function of what `derive` returned: (name, text) of a diagnosis where an `AtLeast` was missed, or None.
        rtol, atol: tolerances of the comparison with `expected`.
        because: the reason for them.
        kind: what is asked for: "function", "layer", "distribution layer", "model" or "number".
        difficulty, importance: from 1 to 3.
        minutes: that it takes.
        seconds: that all cases may take when graded.
    """

    name: str
    title: str
    points: float
    public: list
    expected: Callable
    draw: Callable = field(default=lambda rng: [])
    observe: Observe = Observe()
    diagnoses: tuple = ()
    hints: tuple = ()
    parts: dict | None = None
    founded: bool = True
    sizes: Callable = field(default=lambda **inputs: {})
    derive: Callable | None = None
    advise: Callable = field(default=lambda observed: None)
    rtol: float = 1e-4
    atol: float = 1e-5
    because: str = "float32 carries seven digits, and a sum of some hundred terms loses two of them."
    kind: str = "function"
    difficulty: int = 1
    importance: int = 3
    minutes: int = 5
    seconds: float = 30.0

    def cases(self, seed=None):
        """Public cases, then drawn ones; `seed=None`: other ones each time.

        Arrays hold float32's numbers, so that the oracle computes from just what an answer receives.
        """
        cases = [*self.public, *self.draw(np.random.default_rng(seed))]
        return [case._replace(inputs={name: _single(value) for name, value in case.inputs.items()}) for case in cases]

    def targets(self, inputs):
        """Expected observations of a case, a dict of `Near` or `AtLeast`."""
        return {
            name: value if isinstance(value, (Near, AtLeast)) else Near(_array(value), self.atol, self.rtol)
            for name, value in _named(self.expected(**inputs)).items()
        }

    def judge(self, cases, observations):
        """The `Verdict` on what an answer gave.

        Args:
            cases: list of `Case`.
            observations: list, for each case a dict of arrays, or a `Fault`. They may come from a process that wants
                to deceive: nothing is assumed of them but that they are arrays.
        """
        advice = None
        if self.derive:
            fault = next((o for o in observations if isinstance(o, Fault)), None)
            observed = fault or self.derive([case.inputs for case in cases], [_numbers(o) for o in observations])
            cases, observations, advice = cases[:1], [observed], None if fault else self.advise(observed)
        found = {}  # part → [(inputs, name of the observation, observed, target)]
        for case, observed in zip(cases, observations, strict=False):
            for name, target in self.targets(case.inputs).items():
                value = observed if isinstance(observed, Fault) else observed.get(name)
                found.setdefault(case.part or name, []).append((case.inputs, name, value, target))
        weights = self.parts or dict.fromkeys(found, 1)
        if set(weights) != set(found):
            raise ValueError(f"{self.name} has the parts {list(weights)}, its cases are for {list(found)}.")
        total, recognized = sum(weights.values()), self._recognized(found)
        parts = []
        for name, weight in weights.items():
            known = {part.diagnosis for part in parts}  # one mistake often spoils several parts
            diagnoses = sorted(recognized[name], key=lambda diagnosis: diagnosis.name not in known)
            parts.append(self._part(name, weight / total, found[name], diagnoses))
        if advice and (missed := [part for part in parts if part.diagnosis == "bound"]):
            diagnosis, text = advice  # told once, with the last of the bounds that were missed
            told = {part.name: f"{part.says} {text}" if part is missed[-1] else part.says for part in missed}
            parts = [p._replace(diagnosis=diagnosis, says=told[p.name]) if p in missed else p for p in parts]
        unfounded, named = self.founded and not parts[0].right, {diagnosis.name for diagnosis in self.diagnoses}
        first = parts[0] if unfounded else next((part for part in parts if part.diagnosis in named), None)
        if first:  # what has no explanation of its own probably follows from what has one
            later = f"look again once {first.name} is right."
            parts = [p._replace(says=later) if p.diagnosis == OTHER and p is not first else p for p in parts]
        if unfounded:
            parts = [part._replace(counts=False) for part in parts]
        return Verdict(self.name, self.title, self.points, tuple(parts))

    def untold(self, fault):
        """The `Verdict` on an answer that could not be observed at all."""
        cases = self.cases(0)
        return self.judge(cases, [fault] * len(cases))

    def _part(self, name, share, rows, diagnoses):
        wrong = [row for row in rows if not fits(row[2], row[3])]
        if not wrong:
            return Part(name, share, True)
        inputs, observation, observed, target = wrong[0]
        if isinstance(observed, Fault):
            return Part(name, share, False, observed.says, observed.kind)
        if diagnoses:
            return Part(name, share, False, diagnoses[0].says, diagnoses[0].name)
        if isinstance(target, AtLeast):
            reached = f"{float(observed):.2f} {target.unit}" if fits(observed, AtLeast(-np.inf)) else "no number"
            return Part(name, share, False, f"{reached}; at least {target.value:.2f} are asked for.", "bound")
        if self.kind == "number" and np.shape(observed) == ():  # that is the answer: not told
            way = "low" if observed < target.value else "high"
            return Part(name, share, False, f"{float(observed):g} is too {way}.", OTHER)
        text = explain(observed, target.value, target.rtol, target.atol, self.sizes(**inputs))
        return Part(name, share, False, f"{observation}: {text}" if observation != name != VALUE else text, OTHER)

    def _recognized(self, found):
        """Diagnoses of each part that is wrong, {part: list}.

        A mistake that says of a part only that it is `OFF` needs numbers of another part that it gives, too; unless it
        says nothing else of any part.
        """
        how = {part: [(d, *self._evidence(d, rows)) for d in self.diagnoses] for part, rows in found.items()}
        sure = {d.name for pairs in how.values() for d, told, by_numbers in pairs if told and by_numbers}
        sure |= {d.name for d in self.diagnoses if set(map(str, self._mistaken(d, found).values())) == {OFF}}
        return {part: [d for d, told, _ in pairs if told and d.name in sure] for part, pairs in how.items()}

    def _evidence(self, diagnosis, rows):
        """Whether all that a part's rows show is what this mistake gives, and some is wrong; whether numbers say so."""
        told = by_numbers = False
        for inputs, name, observed, target in rows:
            if isinstance(observed, Fault) or isinstance(target, AtLeast):
                return False, False
            with np.errstate(all="ignore"):  # mistakes may well overflow
                mistaken = _named(diagnosis.wrong(**inputs))
            if name not in mistaken:
                continue
            if isinstance(mistaken[name], str) and mistaken[name] == OFF:
                if fits(observed, target):
                    return False, False
                told = True
                continue
            mistaken = _array(mistaken[name])
            alike = Near(mistaken, max(target.atol, self.atol), max(target.rtol, 1e-3))
            if not fits(observed, alike):
                return False, False
            by_numbers = True
            told |= not fits(mistaken, target)
        return told, by_numbers

    def _mistaken(self, diagnosis, found):
        """All that a mistake gives in the first case."""
        inputs = next(iter(found.values()))[0][0]
        with np.errstate(all="ignore"):
            return _named(diagnosis.wrong(**inputs))


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


def with_gradients(function, *of, names=None):
    """What the observer `gradients` finds of a function in NumPy, by central differences: for mistakes.

    Args:
        function: of a case's inputs, returns an array; or several, that have `names`.
        of: names of inputs.

    Returns: function of a case's inputs, such as a `Diagnosis` has.
    """

    def observed(**inputs):
        values = function(**inputs)
        found = {VALUE: values} if names is None else dict(zip(names, values, strict=True))
        for argument in of:
            label = f"gradient of {argument}" if names is None else f"gradient of {{}} for {argument}"
            slopes = [_slopes(function, inputs, argument, i) for i in range(np.size(inputs[argument]))]
            for name, slope in zip([VALUE] if names is None else names, zip(*slopes, strict=True), strict=True):
                found[label.format(name)] = np.reshape(slope, np.shape(inputs[argument]))
        return found

    return observed


def _slopes(function, inputs, argument, i):
    """Derivatives of the sums of a function's arrays with respect to one number of one argument."""

    def sums(step):
        moved = np.array(inputs[argument], dtype=np.float64)
        moved.flat[i] += step
        found = function(**{**inputs, argument: moved})
        return [np.sum(a) for a in (found if isinstance(found, tuple) else (found,))]

    step = 1e-6 * max(1.0, abs(np.ravel(inputs[argument])[i]))
    return [(high - low) / (2 * step) for high, low in zip(sums(step), sums(-step), strict=True)]


def _named(values):
    return values if isinstance(values, dict) else {VALUE: values}


def _array(value):
    return np.asarray(value.value if isinstance(value, Near) else value, dtype=np.float64)


def _numbers(observation):
    """An observation's arrays of numbers, float64; what else there may be is left out."""
    arrays = {name: np.asarray(value) for name, value in observation.items()}
    return {name: array.astype(np.float64) for name, array in arrays.items() if array.dtype.kind in "fiub"}


def _single(value):
    floating = isinstance(value, np.ndarray) and value.dtype.kind == "f"
    return value.astype(np.float32).astype(np.float64) if floating else value
