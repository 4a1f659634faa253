r"""A question for a prior that shares the model's encoder: its log-density is a text, mistakes are edits of a class.

It is looked at in a model, when the encoder has changed, and when the model was made again from its config. Exercise 06
has one.
"""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass

import numpy as np

from vaekit.course.observe.priors import AFTER, LOG_P, RESTORED, WEIGHT
from vaekit.course.questions.language import Text, differentiate
from vaekit.course.questions.question import Case, Mistake, Observe, Question

TAKES = WEIGHT, "z", "to_mean", "to_log_variance"
SLOPE = f"gradient of {LOG_P} for {WEIGHT}"


@dataclass(eq=False)
class Prior(Question):
    """A subclass of `vk.priors.Prior`, made by `(encoder, components)`, with a weight `pseudo_inputs`.

    Attributes:
        draw: function of a NumPy generator: dicts of what `observe.priors.prior` takes.
        log_density: the body of a function of `TAKES`, where the encoder is a pair of matrices: the oracle.
        code: of the right class, for tests.
        mistakes: list of (name, edits of `code`, message, edits of `log_density`). In the last one's place None where
            the observer sees it, and has the words for it, or the message is for what `explain` finds.
    """

    _: KW_ONLY
    draw: Callable
    log_density: str
    code: str
    mistakes: list = ()
    seconds: float = 60.0

    def __post_init__(self):
        super().__post_init__()
        self.text = Text("log_density", TAKES, self.log_density)
        self.observe = Observe("prior", {})
        self.mistakes = [self._mistake(*row) for row in self.mistakes]

    def _mistake(self, name, edits, message, of_density):
        code = self.code
        for old, new in edits.items():
            if code.count(old) != 1:
                raise ValueError(f"{name}: {old!r} occurs {code.count(old)} times in\n{code}")
            code = code.replace(old, new)
        text = None if of_density is None else self.text.edited(of_density)
        predict = text and (lambda **inputs: self.values(inputs, text))
        return Mistake(name, message, predict, code)

    def draw_cases(self, rng):
        return [Case(inputs) for inputs in self.draw(rng)]

    def values(self, inputs, text=None):
        """Computes the log-densities, before and after the encoder's step."""
        first, later = ((text or self.text).run(_arguments(inputs, which))[0] for which in ("first", "later"))
        return {LOG_P: first, AFTER: later, RESTORED: later}

    def expected(self, case):
        slope = differentiate(self.text, _arguments(case.inputs, "first"), [WEIGHT])[0][WEIGHT]
        return self.values(case.inputs) | {SLOPE: np.asarray(slope)}


def _arguments(inputs, which):
    mean, log_variance = {"first": TAKES[2:], "later": ("later_mean", "later_log_variance")}[which]
    weights = {"to_mean": inputs[mean], "to_log_variance": inputs[log_variance]}
    return {name: inputs[name] for name in TAKES[:2]} | weights
