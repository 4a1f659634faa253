r"""A question for a training objective: the bound that it makes of log-weights is a text.

```python
Objective(
    "Best", "The best of the codes", points=3,
    takes="log_weights[k,B], floor", axes={"k": "codes", "B": "images"},
    draw=lambda rng: [dict(log_weights=rng.normal(size=(4, 3)), floor=-1.0, images=rng.integers(2, size=(5, 6)))],
    answer="return ops.maximum(ops.max(log_weights, axis=0), floor)",
    hints="...",
    mistakes=[("worst", {"ops.max(": "ops.min("}, "the smallest log-weight counts; the largest is asked for.")],
)
```
"""

import functools
import textwrap
from dataclasses import KW_ONLY, dataclass, field

import numpy as np

from vaekit.course.questions.explain import OTHER, Explanation
from vaekit.course.questions.function import Function
from vaekit.course.questions.question import Case, Mistake, Near, Observe, Question

SAME = {
    "restored": "an objective made again from `get_config()` gives other bounds; they differ by up to {:.3g} nats.",
    "in a model": "the loss of a VAE that is trained by it is not minus the bound of the codes drawn; they differ by "
    "{:.3g} nats an image.",
}

CODE = """
class {name}(vk.objectives.IWAE):
    def __init__(self, samples, {parameters}, **kwargs):
        super().__init__(samples, **kwargs)
{attributes}
    def bound(self, log_weights):
{locals}{body}
    def get_config(self):
        return {{**super().get_config(), {config}}}
"""

COMMON_MISTAKES = [  # (name, edits of the code above); the observer has their messages
    ("no_kwargs", {", **kwargs):": "):", "super().__init__(samples, **kwargs)": "super().__init__(samples)"}),
    ("kwargs_lost", {"super().__init__(samples, **kwargs)": "super().__init__(samples)"}),
    ("samples_lost", {"super().__init__(samples, **kwargs)": "super().__init__(**kwargs)"}),
    ("not_initialized", {"super().__init__(samples, **kwargs)": "pass"}),
    ("no_objective", {"(vk.objectives.IWAE)": "", "super().__init__(samples, **kwargs)": "self.samples = samples"}),
]


@dataclass(eq=False)
class Objective(Question):
    """A subclass of `vk.objectives.Objective` with a method `bound` of log-weights.

    Attributes:
        takes: the log-weights and the further arguments of its constructor, "log_weights[k,B], floor".
        draw: as in `Function`; what holds `images`, `[N, D]`, of 0 and 1, is looked at in a model, too.
        answer: the body of a function of all these that returns the bound `[B]`.
        mistakes: as in `Function`.
        axes, values_only: as in `Function`.
    """

    _: KW_ONLY
    takes: str
    draw: object
    answer: str
    mistakes: list = ()
    axes: dict = field(default_factory=dict)
    values_only: tuple = ()
    seconds: float = 60.0

    def __post_init__(self):
        super().__post_init__()
        tolerances = dict(rtol=self.rtol, atol=self.atol, because=self.because)
        self._function = Function(
            self.name, self.title, points=self.points, takes=self.takes, draw=self.draw, answer=self.answer,
            mistakes=self.mistakes, returns="bound", gradients="log_weights", axes=self.axes,
            values_only=self.values_only, **tolerances,
        )  # fmt: skip
        self.text, self.answer = self._function.text, None  # the solution's code has more methods than one
        self._arguments = self.text.arguments[1:]
        self.observe = Observe("objective", {"arguments": list(self._arguments)})
        own = [
            mistake._replace(
                predict=lambda predict=mistake.predict, **inputs: predict(**_without_images(inputs)),
                code=self._code(self.text.edited(edits)),
            )
            for mistake, (_, edits, *_) in zip(self._function.mistakes, self.mistakes, strict=True)
        ]
        self.mistakes = [*own, *(self._common_mistake(*row) for row in COMMON_MISTAKES), self._without_config()]

    def _common_mistake(self, name, edits):
        code = self._code(self.text)
        for old, new in edits.items():
            if old not in code:
                raise ValueError(f"{name}: {old!r} is not in\n{code}")
            code = code.replace(old, new)
        return Mistake(name, None, None, code)

    def _without_config(self):
        code = self._code(self.text)
        return Mistake(f"config_without_{self._arguments[0]}", None, None, code[: code.index("    def get_config")])

    def draw_cases(self, rng):
        return self._function.draw_cases(rng)

    def expected(self, case):
        none = Near(np.array(0.0), 1e-3)
        same = {"restored": none} | ({"in a model": none} if "images" in case.inputs else {})
        return self._function.expected(Case(_without_images(case.inputs), case.part)) | same

    def part(self, case, observation):
        return observation if observation in SAME else super().part(case, observation)

    def predict(self, text, inputs):
        return self._function.predict(text, _without_images(inputs))

    @functools.cached_property
    def variants(self):
        return self._function.variants

    @functools.cached_property
    def pairs(self):
        return self._function.pairs

    def sizes(self, **inputs):
        return self._function.sizes(**inputs)

    def explained(self, inputs, observation, observed, target):
        if observation in SAME and np.shape(observed) == ():
            return Explanation(OTHER, SAME[observation].format(float(observed)))
        return None

    def _code(self, text):
        """Returns a whole class whose `bound` computes a text."""

        def lines(rows):
            return textwrap.indent("".join(f"{row}\n" for row in rows), " " * 8)

        names = self._arguments
        return CODE.format(
            name=self.name,
            parameters=", ".join(names),
            attributes=lines(f"self.{name} = {name}" for name in names),
            locals=lines(f"{name} = self.{name}" for name in names),
            body=lines(text.body.split("\n")),
            config=", ".join(f'"{name}": self.{name}' for name in names),
        )


def _without_images(inputs):
    return {name: value for name, value in inputs.items() if name != "images"}
