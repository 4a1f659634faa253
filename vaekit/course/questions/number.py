"""A number, worked out with a pencil."""

import math
from dataclasses import KW_ONLY, dataclass

import numpy as np

from vaekit.course.observe import VALUE
from vaekit.course.questions.explain import OTHER, Explanation
from vaekit.course.questions.question import Case, Mistake, Observe, Question


@dataclass(eq=False)
class Number(Question):
    """A number, worked out with a pencil. Nobody learns whether a wrong one is too low or too high: that gives it away.

    Attributes:
        value: an expression of Python and `math` ("5 * e").
        mistakes: list of (name, expression, message). Where several come to the same number, all messages appear.
        note: shown with the right number, such as a wrong way that leads to it, too.
    """

    _: KW_ONLY
    value: str
    mistakes: list = ()
    note: str = ""
    rtol: float = 2e-3
    because: str = "the number is exact; 0.2 % leave room for one computed with rounded intermediate results."

    observe = Observe("number", {})

    def __post_init__(self):
        super().__post_init__()
        self.answer = f"{self.name} = {self.value}"
        rows = [(name, _evaluated(expression), message) for name, expression, message in self.mistakes]
        self.mistakes = [
            Mistake(
                name, self._message(number, rows), lambda number=number: {VALUE: number}, f"{self.name} = {number!r}"
            )
            for name, number, _ in rows
        ]

    def _message(self, number, rows):
        """Joins the messages of all mistakes that lead to a number."""
        reasons = [message for _, other, message in rows if math.isclose(number, other, rel_tol=self.rtol)]
        return reasons[0] if len(reasons) == 1 else f"either {' Or '.join(reasons)}"

    def draw_cases(self, rng):
        return [Case({})]

    def expected(self, case):
        return {VALUE: np.array(_evaluated(self.value))}

    def explained(self, inputs, observation, observed, target):
        if np.shape(observed) == ():
            right, received = float(target.value), float(observed)
            if any(math.isclose(received, short) for digits in (1, 2, 3) for short in _shortened(right, digits)):
                return Explanation("rounded", f"{received:g} has too few digits: give more.")
            for mistake in self.mistakes:
                if any(math.isclose(received, short) for short in _shortened(mistake.predict()[VALUE], 3)):
                    return Explanation(mistake.name, mistake.message)
            return Explanation(OTHER, f"{received:g} is not the number, and no usual mistake gives it.")
        return None


def _shortened(number, digits):
    """A number rounded to so many digits, and cut off after them."""
    unit = 10.0 ** (math.floor(math.log10(abs(number))) + 1 - digits) if number else 1.0
    return round(number / unit) * unit, math.trunc(number / unit + 1e-6) * unit  # 114.9999999 is 115


def _evaluated(expression):
    return float(eval(expression, {"__builtins__": {}}, vars(math)))
