r"""The base of an exercise's questions: inputs, what an answer should give, what mistakes give, points.

A question never touches an answer. An observer (`vaekit.course.observe`) calls the answer with the inputs of each case
and returns arrays, and `judge.judge` compares arrays. So the check in a notebook, nbgrader's cells and `vaekit grade`,
where answers run in another process, judge by the same definition.

The kinds of questions, a file each, define how cases, expected values and mistakes come about: `function`, `layer`,
`distribution_layer`, `objective`, `prior`, `mend`, `number`, `model`, `deep`, `grey`, `pixels`, `posterior`,
`hierarchy`, `experiment`.
"""

import hashlib
import inspect
import re
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import NamedTuple

import numpy as np

from vaekit.course.observe import Fault

FLOAT32 = float(np.finfo(np.float32).max)


class Case(NamedTuple):
    """The inputs of one call of an answer.

    Attributes:
        inputs: dict of arrays, numbers and texts by argument name.
        part: the part of the question that this case is for; None: each observation is a part of its own name.
    """

    inputs: dict
    part: str | None = None


class Observe(NamedTuple):
    """An observer by its name in `vaekit.course.observe`, with its options (what JSON can hold)."""

    name: str
    options: dict


class Near(NamedTuple):
    """An expected array, and within what it counts as reached: |observed − value| ≤ atol + rtol·|value|.

    `atol` may be an array of the value's shape.
    """

    value: np.ndarray
    atol: float | np.ndarray
    rtol: float = 0.0


class Limit(NamedTuple):
    """A limit to a number.

    Attributes:
        value: the limit.
        unit: of the number.
        digits: that it is shown with; None: it is not shown, since it is 1 or 0, right or wrong.
        of: what the number measures, "bias".
    """

    value: float
    unit: str = "nats"
    digits: int | None = 2
    of: str = ""

    def told(self, number):
        """Tells a number, "bias: 0.12 nats"."""
        if self.digits is None:
            return ""
        of = self.of.replace("_", " ")
        return f"{of}: {number:,.{self.digits}f} {self.unit}".removeprefix(": ").rstrip()


class AtLeast(Limit):
    """A limit that a number should reach."""

    __slots__ = ()


class AtMost(Limit):
    """A limit that a number should not exceed."""

    __slots__ = ()


class Prediction(NamedTuple):
    """One observation of an answer with a mistake, predicted.

    Attributes:
        values: tuple of arrays, one of which it gives; they differ by rounding, as float32 and float64 do.
        unpredictable: whether it may give anything else that is wrong, since rounding is all that is left; without
            values, also what is right.
    """

    values: tuple
    unpredictable: bool = False


class Mistake(NamedTuple):
    """A typical mistake.

    Attributes:
        name: for tests and reports.
        message: what the learner reads: what was done, and what to do instead.
        predict: function of a case's inputs: dict of `Prediction` or arrays by observation, or functions without
            arguments that return them; what is left out is not compared.
            None: `explain` recognizes it by this name, and the question has a better sentence.
        code: an answer that makes it, for tests.
    """

    name: str
    message: str
    predict: Callable | None = None
    code: str | None = None


@dataclass(eq=False)
class Question:
    """A question of an exercise; what all kinds have.

    Attributes:
        name: of the answer.
        title: in the notebook.
        points: float.
        minutes: that it takes.
        difficulty, importance: from 1 to 3.
        section: heading in its lesson under which is taught what it takes.
        aims: numbers, from 1, of those of the lesson's aims ("After it, you will be able to …") that it measures.
        hints: Markdown, parted by blank lines, from a nudge to nearly the answer.
        parts: dict: weight of each part; None: observations count alike. A part is an observation, "gradients" (all of
            them), or what cases name.
        requires_first: whether the other parts count only if the first one is right. (The gradient of a wrong function
            may be right by chance.)
        rtol, atol: tolerances; `atol` may be a dict by observation, with `None: 1e-5` for all others.
        because: the reason for them.
        seconds: that all cases may take when graded.
    """

    name: str
    title: str
    _: KW_ONLY
    points: float
    minutes: int = 5
    difficulty: int = 1
    importance: int = 3
    section: str = ""
    aims: tuple = ()
    hints: str = ""
    parts: dict | None = None
    requires_first: bool = True
    rtol: float = 1e-4
    atol: float | dict = 1e-5
    because: str = "float32 carries seven digits, and a sum of some hundred terms loses two of them."
    seconds: float = 30.0

    derives = False  # whether what counts is `derived` from all observations
    fixed = False  # whether a check, as long as nobody names a seed, has the same cases each time
    observe = Observe("call", {})
    answer = None  # the solution's code, where the definition has it
    mistakes = ()  # list of `Mistake`

    def __post_init__(self):
        self.hints = [hint.strip() for hint in re.split(r"\n\s*\n", inspect.cleandoc(self.hints)) if hint.strip()]

    # ---- what each kind defines

    def draw_cases(self, rng):
        """Draws cases by a NumPy generator, a list."""
        raise NotImplementedError

    def expected(self, case):
        """Computes what is expected: a dict of arrays, `Near` or `Limit` by observation."""
        raise NotImplementedError

    def sizes(self, **inputs):
        """Returns numbers by their meaning, {"latents": 40}, with which factors in wrong answers are compared."""
        return {}

    def derived(self, inputs, observations):
        """Computes observations of the first case from all that an answer gave, where these are what counts.

        Returns a `Fault` where it gave nothing that they can be made of.

        Args:
            inputs, observations: lists of dicts, for each case; of observations only arrays of numbers.
        """
        raise NotImplementedError

    def advice(self, observed, part):
        """Returns (name, sentence) for a part whose `Limit` was missed, from what `derived` returned; or None."""
        return None

    def explained(self, inputs, observation, observed, target):
        """Returns an `Explanation` of a wrong observation that no mistake explains; None: the common one."""
        return None

    note = ""  # shown with a right answer
    leading_part = ""  # the part that others follow from, where it is wrong
    variants = ()  # what the answer may have become by a single change; their `text` is what `predict` takes
    pairs = ()  # what it may have become by two of the mistakes

    def predict(self, text, inputs):
        """Predicts the observations of an answer that is this `Text`, as `Mistake.predict` does."""
        raise NotImplementedError

    def counted(self, rows):
        """Counts how often terms of the answer are in what came back: list of clauses for those that count wrongly.

        Args:
            rows: list of (inputs, observation, observed).
        """
        return []

    # ---- what all have

    def cases(self, seed=None):
        """Draws cases: one for each part that is the same each time, and others from `seed`; None: a new one.

        Arrays hold float32's numbers, so that the oracle computes from just what an answer receives.
        """
        if self.fixed:
            cases = self.draw_cases(np.random.default_rng(0 if seed is None else seed))
        else:
            first = {case.part: case for case in reversed(self.draw_cases(np.random.default_rng(0)))}
            cases = [*reversed(first.values()), *self.draw_cases(np.random.default_rng(seed))]
        return [case._replace(inputs={name: _single(value) for name, value in case.inputs.items()}) for case in cases]

    def targets(self, case):
        """Returns what is expected, a dict of `Near` or `Limit`. Beyond float32's range lies infinity."""
        targets = {}
        for name, value in self.expected(case).items():
            if not isinstance(value, (Near, Limit)):
                value = np.asarray(value, np.float64)
                beyond = np.abs(value) > FLOAT32
                value = Near(np.where(beyond, np.copysign(np.inf, value), value), self.tolerance(name), self.rtol)
            targets[name] = value
        return targets

    def widened(self, observation, target, observed):
        """Returns a target with a tolerance that depends on other observations of the same case."""
        return target

    def tolerance(self, observation):
        """Returns the absolute tolerance of an observation."""
        return self.atol.get(observation, self.atol.get(None, 1e-5)) if isinstance(self.atol, dict) else self.atol

    def part(self, case, observation):
        """Returns the name of the part that an observation belongs to."""
        grouped = "gradients" in (self.parts or ()) and observation.startswith("gradient of")
        return case.part or ("gradients" if grouped else observation)


def fits(observed, target):
    """Whether an observation is what was expected: shape, and every number within atol + rtol·|expected|."""
    if isinstance(observed, Fault) or observed is None:
        return False
    observed = np.asarray(observed)
    if observed.dtype.kind not in "fiub":
        return False
    observed = observed.astype(np.float64)
    if isinstance(target, Limit):
        reached = observed <= target.value if isinstance(target, AtMost) else observed >= target.value
        return observed.shape == () and bool(np.isfinite(observed) and reached)
    if observed.shape != target.value.shape:
        return False
    with np.errstate(invalid="ignore"):
        close = np.abs(observed - target.value) <= target.atol + target.rtol * np.abs(target.value)
    same = (observed == target.value) | (np.isnan(observed) & np.isnan(target.value))  # infinities; nan by mistake
    return bool(np.all(np.where(np.isfinite(target.value), close, same)))


def generator(seed, arrays):
    """Returns a generator whose seed nobody knows before the arrays are there."""
    digest = hashlib.sha256(str(seed).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return np.random.default_rng(list(digest.digest()))


def points(number):
    """Formats points: 2.0 → "2", 1.5 → "1.5"."""
    return f"{number:.2f}".rstrip("0").rstrip(".")


def _single(value):
    floating = isinstance(value, np.ndarray) and value.dtype.kind == "f"
    return value.astype(np.float32).astype(np.float64) if floating else value
