r"""An experiment to design: the answer is its settings; what comes out is measured here.

```python
def _poll(rng, share, voters):
    errors = rng.binomial(voters, share, size=2000) / voters - share
    return {"error": np.std(errors)}


Experiment(
    "poll", "How many voters to ask", points=3,
    takes="share", draw=lambda rng: [{"share": share} for share in rng.uniform(0.1, 0.9, size=2)],
    settings={"voters": (1, 100_000)},
    run=_poll,
    goals={"sure": AtMost(0.02, "", digits=3, of="error"), "cheap": AtMost(700, "", digits=0, of="voters")},
    answer="return dict(voters=max(100, round(share * (1 - share) / 0.019**2)))",
    hints="...",
    mistakes=[("sure", "few", "dict(voters=50)", lambda voters, **_: voters < 100, "fifty voters are too few: ...")],
)
```
"""

import textwrap
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass

import numpy as np

from vaekit.course.observe import Fault
from vaekit.course.questions.function import signature
from vaekit.course.questions.question import AtMost, Case, Mistake, Observe, Question, generator

LONGEST = 1000  # numbers in a list


@dataclass(eq=False)
class Experiment(Question):
    """An experiment whose settings the answer chooses, and whose outcome is judged: with dice that are thrown here.

    A check throws the same dice each time, for the same settings; who grades throws others.

    Attributes:
        settings: dict: what each setting may be. (least, most): a number, a whole one where both are ints;
            [least, most]: a list of such numbers; {"A", "B"}: one of these texts.
        run: function of a NumPy generator, and by name of the problem and the settings; returns numbers by name.
            It runs wherever answers are judged: in seconds, whatever the settings, and in NumPy.
        goals: dict: `AtLeast` or `AtMost` by part; its `of` names what `run` returned, or a setting.
        answer: settings that reach all goals: an expression, or the body of a function where it takes something.
        takes: what the answer is told of a problem, where it is a function: "share, pilot[S,N]".
        draw: function of a generator that returns a list of problems, dicts of numbers and arrays: what `takes` names,
            and what else `run` needs to know. The worst outcome counts.
        mistakes: list of (part, name, settings, when, message): of what was measured, and of the settings, `when`, a
            function of them by name, says whether `message` explains that the goal of this part is missed (of any of
            several in a tuple; None: of any). `settings` is an expression, an example. The first one counts.
    """

    _: KW_ONLY
    settings: dict
    run: Callable
    goals: dict
    answer: str
    takes: str = ""
    draw: Callable = lambda rng: [{}]
    mistakes: list = ()
    because: str = "the goals leave room for the noise of the measurement, and for settings that are not the best ones."

    derives = fixed = True

    def __post_init__(self):
        super().__post_init__()
        self.parts = self.parts or dict.fromkeys(self.goals, 1)
        choices = {name: sorted(texts) for name, texts in self.settings.items() if isinstance(texts, set)}
        told = [argument.partition("=")[0] for argument in signature(self.takes)[0]]
        self.observe = Observe("settings", {"names": list(self.settings), "choices": choices, "problem": told})
        self._reasons = [(part, when, (name, message)) for part, name, _, when, message in self.mistakes]
        self.mistakes = [
            Mistake(name, message, code=self._code(settings, f"return {settings}"))
            for _, name, settings, _, message in self.mistakes
        ]
        self.answer = textwrap.dedent(self.answer).strip() if self.takes else self._code(self.answer, "")

    def _code(self, expression, body):
        if not self.takes:
            return f"{self.name} = {expression.strip()}"
        arguments = ", ".join(signature(self.takes)[0])
        return f"def {self.name}({arguments}):\n{textwrap.indent(textwrap.dedent(body).strip(), '    ')}\n"

    def draw_cases(self, rng):
        return [Case({**problem, "seed": int(rng.integers(2**31))}) for problem in self.draw(rng)]

    def expected(self, case):
        return dict(self.goals)

    def derived(self, inputs, observations):
        """Runs the experiment for each problem: for each part the worst outcome, and all that was measured there.

        Returns a `Fault` where the settings are none.
        """
        outcomes = []
        for given, observed in zip(inputs, observations, strict=True):
            wrong = [sentence for name in self.settings if (sentence := self._wrong(name, observed.get(name)))]
            if wrong:
                return Fault("settings", f"nothing was run. {' '.join(wrong)}")
            settings = {name: self._setting(name, observed[name]) for name in self.settings}
            problem = {name: value for name, value in given.items() if name != "seed"}
            rng = generator(given["seed"], [observed[name] for name in self.settings])
            with np.errstate(all="ignore"):
                outcomes.append(settings | self.run(rng, **problem, **settings))
        worst = {part: min(outcomes, key=lambda o, goal=goal: _merit(o, goal)) for part, goal in self.goals.items()}
        return {part: worst[part][goal.of] for part, goal in self.goals.items()} | {"outcomes": worst}

    def _wrong(self, name, value):
        """Names what is wrong with a setting, in a sentence; "" if nothing is."""
        allowed = self.settings[name]
        if value is None:
            return f"`{name}` should be a number."
        if isinstance(allowed, set):
            allowed = (0, len(allowed) - 1)
        if value.ndim != isinstance(allowed, list) or not 1 <= value.size <= LONGEST:
            what = f"a list of numbers, {LONGEST} at most" if isinstance(allowed, list) else "a number"
            return f"`{name}` should be {what}; it has the shape {value.shape}."
        least, most = allowed
        whole = isinstance(least, int) and isinstance(most, int)
        outside = ~((value >= least) & (value <= most)) | (whole & (value != np.round(value)))
        if outside.any():
            kind = f"{'whole ' * whole}numbers" if value.ndim else f"a {'whole ' * whole}number"
            least, most = (f"{limit:,}".removesuffix(".0") for limit in (least, most))
            return f"`{name}` takes {kind} from {least} to {most}; received {value[outside][0]:g}."
        return ""

    def _setting(self, name, value):
        allowed = self.settings[name]
        if isinstance(allowed, set):
            return sorted(allowed)[int(value)]
        value = value.astype(int) if all(isinstance(limit, int) for limit in allowed) else value
        return value if isinstance(allowed, list) else value.item()

    def advice(self, observed, part):
        """Explains why a goal was missed: (name, sentence)."""
        outcome = observed["outcomes"][part]
        reasons = (
            reason
            for of, when, reason in self._reasons
            if (of is None or part in (of if isinstance(of, tuple) else (of,))) and when(**outcome)
        )
        return next(reasons, None)


def _merit(outcome, goal):
    value = float(outcome[goal.of])
    return -np.inf if np.isnan(value) else -value if isinstance(goal, AtMost) else value
