r"""A question for a function: its answer is a text, and a mistake is an edit of it.

```python
Function(
    "kl_divergence", "The KL divergence, in closed form", points=2,
    takes="mean[N,L], log_variance[N,L]", gradients="mean log_variance", axes={"N": "images", "L": "latents"},
    draw=lambda rng: [dict(mean=rng.normal(size=(5, 3)), log_variance=rng.normal(size=(5, 3)))],
    answer="return 0.5 * ops.sum(mean**2 + ops.exp(log_variance) - 1 - log_variance, axis=-1)",
    hints="...",
    mistakes=[
        ("sign", None, "the sign is reversed: a divergence is never negative."),
        ("log_sign", {"1 - log": "1 + log"}, r"$\log\sigma^2$ has the wrong sign: it is subtracted."),
    ],
)
```
"""

import contextlib
import functools
import itertools
import re
from dataclasses import KW_ONLY, dataclass, field

import numpy as np

from vaekit.course.observe import VALUE
from vaekit.course.questions.language import Text, differentiate
from vaekit.course.questions.question import FLOAT32, Case, Mistake, Near, Observe, Prediction, Question, fits
from vaekit.course.questions.terms import counted, sum_of
from vaekit.course.questions.variants import Variant, variants


@dataclass(eq=False)
class Function(Question):
    """A function of tensors.

    Attributes:
        takes: its arguments, with their axes and with default values: "x[N,D], noise, baseline=0.0".
        draw: function of a NumPy generator: an iterable of dicts of inputs; or a dict of such functions by the part
            that their cases are for; None: cases whose observations are parts of their own.
        answer: the function's body, as a learner would write it with `ops`: the oracle, and the solution.
        mistakes: list of (name, edits, message). Edits change `answer`, {old: new}, or take its place. Those None are
            recognized by `explain` by that name, and get this message. A fourth entry lists observations
            that nobody can predict where the mistake was made, since only rounding is left; or it is a function of the
            inputs that returns such a list.
        returns: names of the values it returns, if there are several, "sample, log density".
        gradients: names of arguments for which the gradient of each value is looked at, too.
        values_only: parts whose gradients are not looked at: they are right or not as backends happen to round.
        axes: dict: what the letters of `takes` count, {"N": "images"}.
        note: shown with a right answer, in place of those on NumPy and float64.
    """

    _: KW_ONLY
    takes: str
    draw: object
    answer: str
    mistakes: list = ()
    returns: str = ""
    gradients: str = ""
    values_only: tuple = ()
    axes: dict = field(default_factory=dict)
    note: str = ""

    def __post_init__(self):
        super().__post_init__()
        arguments, self.shapes = signature(self.takes)
        self.text = Text(self.name, arguments, self.answer)
        self.answer = self.text.body
        self.names = [name.strip() for name in self.returns.split(",")] if self.returns else [VALUE]
        self.of = self.gradients.split()
        options = {"names": self.names if self.returns else None}
        self.observe = Observe("gradients", options | {"of": self.of}) if self.of else Observe("call", options)
        self._edits = [(edits, message) for _, edits, message, *_ in self.mistakes if isinstance(edits, dict)]
        self.mistakes = [self._mistake(*row) for row in self.mistakes]

    def _mistake(self, name, edits, message, unpredictable=()):
        if edits is None:
            return Mistake(name, message)
        text = self.text.edited(edits)
        return Mistake(name, message, lambda **inputs: self.predict(text, inputs, unpredictable), str(text))

    def draw_cases(self, rng):
        parts = self.draw if isinstance(self.draw, dict) else {None: self.draw}
        return [Case(inputs, part) for part, draw in parts.items() for inputs in draw(rng)]

    def expected(self, case):
        values = dict(zip(self.names, self.text.run(case.inputs), strict=True))
        slopes = {} if case.part in self.values_only else self._slopes(self.text, case.inputs)
        return values | {name: slope for name, slope in slopes.items() if np.abs(slope).max(initial=0) < FLOAT32}

    def _slopes(self, text, inputs):
        """Computes gradients, by the names that the observer gives them."""
        of = [name for name in self.of if name in inputs]
        slopes = (slope for gradients in differentiate(text, inputs, of) for slope in gradients.values())
        return dict(zip(self._slope_names(inputs), slopes, strict=True))

    def _slope_names(self, inputs):
        return [
            f"gradient of {argument}" if name == VALUE else f"gradient of {name} for {argument}"
            for name in self.names
            for argument in self.of
            if argument in inputs
        ]

    def predict(self, text, inputs, unpredictable=()):
        """Predicts each observation: float64's and float32's values, and whether these are the same.

        Where they are not, nothing is known of gradients; nor where central differences are those of infinities.
        """
        predictions, rounded = {}, False
        for name, exact, single in zip(self.names, text.run(inputs), text.run(inputs, np.float32), strict=True):
            predictions[name] = Prediction((exact, single), not _alike(exact, single, self.tolerance(name)))
            rounded |= predictions[name].unpredictable
        slopes = functools.cache(lambda: self._slopes(text, inputs))  # what takes time is computed where it is needed
        for name in self._slope_names(inputs):
            predictions[name] = Prediction((), True) if rounded else lambda name=name: _slope_prediction(slopes()[name])
        names = unpredictable(**inputs) if callable(unpredictable) else unpredictable
        return {name: Prediction((), True) if name in names else prediction for name, prediction in predictions.items()}

    @functools.cached_property
    def variants(self):
        return variants(self.text)

    @functools.cached_property
    def pairs(self):
        """Lists pairs of the mistakes that are edits of different places, as a list of `Variant`."""
        pairs = []
        for (one, message), (other, other_message) in itertools.combinations(self._edits, 2):
            with contextlib.suppress(ValueError):
                pairs.append(Variant(f"{message} The other: {other_message}", self.text.edited(one).edited(other)))
        return pairs

    def counted(self, rows):
        for index in [i for i, name in enumerate(self.names) if any(name == observation for _, observation, _ in rows)]:
            values = [(inputs, observed) for inputs, name, observed in rows if name == self.names[index]]
            if (total := sum_of(self.text, index)) and (counts := counted(total, values)):
                return counts
        return []

    def sizes(self, **inputs):
        lengths = {}
        for name, letters in self.shapes.items():
            if name in inputs and np.ndim(inputs[name]) == len(letters):
                lengths |= dict(zip(letters, np.shape(inputs[name]), strict=True))
        return {meaning: lengths[letter] for letter, meaning in self.axes.items() if letter in lengths}


def signature(takes):
    """Parses "x[N,D], noise, baseline=0.0" into arguments with their default values, and a dict of axes by argument."""
    arguments = re.findall(r"(\w+)(?:\[([\w,]*)\])?(=[^,]+)?", takes)
    return [name + default for name, _, default in arguments], {
        name: axes.split(",") for name, axes, _ in arguments if axes
    }


def _slope_prediction(slope):
    return Prediction((slope,)) if np.isfinite(slope).all() else Prediction((), True)


def _alike(a, b, atol):
    return a.shape == b.shape and fits(b, Near(a, atol, 1e-3))
