r"""A question for the repair of a broken loss: its errors are edits of the right text, and so are the learners'.

```python
Mend(
    "mended_loss", "Two errors in a loss", points=2, takes="x[N,D], y[N,D]", gradients="y",
    draw=lambda rng: [dict(x=rng.normal(size=(n, 3)), y=rng.normal(size=(n, 3))) for n in (4, 7)],
    answer="return ops.mean(ops.sum((x - y) ** 2, axis=1)) / 2",
    errors={
        "pixels": ({"ops.sum": "ops.mean"}, "still broken: ..."),
        "half": ({" / 2": ""}, "still broken: ..."),
    },
    slips=[("pixels", "wrong_axis", {"axis=1": "axis=0"}, "...")],
    hints="...",
)
```

What the losses are in all cases tells which errors are left: of all combinations of right, broken and differently
broken lines, one gives just these numbers. So each error that is mended earns its share, whatever the other lines do.
"""

import ast
import contextlib
import functools
import itertools
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import NamedTuple

import numpy as np

from vaekit.course.observe import VALUE
from vaekit.course.questions.explain import Explanation
from vaekit.course.questions.function import signature
from vaekit.course.questions.language import Operations, Text, differentiate
from vaekit.course.questions.question import Case, Mistake, Observe, Question
from vaekit.course.questions.variants import variants

ELSE, GRADIENTS = "all else", "gradients"  # parts beside the errors
BROKEN, RIGHT = 0, 1  # what was done with a part; from 2 on, its slips; and, where no edit tells:
OTHER, NO_NUMBER, UNTOUCHED, CONSTANT, FACTOR, HIDDEN, BEYOND = -1, -2, -3, -4, -5, -6, -7
MOST_SLIPS = 2
MOST_BROKEN = 2  # errors beside a change that nobody foresaw
MANY = 10_000  # such a change is numbered from here on

_ALSO = "something that was right has changed as well: the result is"
_GENERAL = [  # (name, what was done, whether with every part, message)
    ("something_else", OTHER, True, "this result is none that the errors, mended or not, can give: something that was "
     "right has changed, or a broken line has become wrong in another way. Start again from the broken lines, and mend "
     "one error at a time: the check says which are mended."),
    ("not_a_number", NO_NUMBER, True, "the result should be one number that is finite, the mean over the batch."),
    ("not_a_number", NO_NUMBER, False, "the result should be one number, the mean over the batch; an array came back."),
    ("hidden", HIDDEN, True, "the result does not depend on this line, as long as another one is as it is. Mend that, "
     "or put it back, and this counts if it is mended."),
    ("untouched", UNTOUCHED, False, "counts once one of the errors is mended."),
    ("constant", CONSTANT, False, f"{_ALSO} off by the same number for all inputs. Is there a term too many, or too "
     "few?"),
    ("factor", FACTOR, False, f"{_ALSO} multiplied by the same number for all inputs."),
]  # fmt: skip


class Repair(NamedTuple):
    """The repair of a loss: the step taken with each part, the text that does it, and a factor that is left."""

    steps: dict
    text: Text
    factor: float = 1.0


@dataclass(eq=False)
class Mend(Question):
    """A function that is shown broken, by some errors, each of which is a part.

    Two parts more are "all else", what was right and should stay so, and, where some are looked at, the "gradients" of
    the loss as it was mended.

    Attributes:
        takes, draw, answer, gradients: as in `Function`; what it returns is a number.
        errors: dict: (edits of `answer`, message while it is broken) by part.
        slips: list of (part, name, edits of `answer`, message): other wrong things to do with a part; with None
            for the part, with a line that was right. Of two that give the same loss, the first one counts.
        beyond: (part, name, edits of `answer`, message): a mending that is right as a formula, and in float32 not
            finite in some of the cases. () if there is none.
        broken: the answer with all errors in it.
    """

    _: KW_ONLY
    takes: str
    draw: Callable
    answer: str
    errors: dict
    slips: list = ()
    beyond: tuple = ()
    gradients: str = ""
    requires_first: bool = False

    derives = True

    def __post_init__(self):
        super().__post_init__()
        self.text = Text(self.name, signature(self.takes)[0], self.answer)
        self.answer = self.text.body
        self.of = self.gradients.split()
        self.observe = Observe("gradients", {"of": self.of})
        errors = dict.fromkeys(self.errors, 0.8 / len(self.errors))
        self.parts = self.parts or {ELSE: 0.1, **errors, **dict.fromkeys([GRADIENTS] if self.of else [], 0.1)}
        self.edits = {part: [edits, {}] for part, (edits, _) in self.errors.items()} | {ELSE: [None, {}]}  # by step
        self.mistakes = [
            self._mistake(part, part, BROKEN, message, edits) for part, (edits, message) in self.errors.items()
        ]
        self._slips = []  # (part, step)
        for part, name, edits, message in self.slips:
            self.edits[part or ELSE].append(edits)
            step = len(self.edits[part or ELSE]) - 1
            self._slips.append((part or ELSE, step))
            self.mistakes.append(self._mistake(name, part or ELSE, step, message, edits))
        if self.beyond:
            part, name, edits, message = self.beyond
            self.mistakes.append(self._mistake(name, part, BEYOND, message, edits))
        for name, step, everywhere, message in _GENERAL:
            parts = [*self.errors, ELSE] if everywhere else [ELSE]
            steps = {part: float(step) for part in parts}
            self.mistakes.append(Mistake(name, message, lambda steps=steps, **_: steps))
        self._runs = functools.lru_cache(256)(self._run)  # of some thousand functions most checks need a few
        self._kept = None
        self.broken = self._text(dict.fromkeys(self.errors, BROKEN)).body

    def _mistake(self, name, part, step, message, edits):
        return Mistake(name, message, lambda **_: {part: float(step)}, str(self.text.edited(edits)))

    def _text(self, steps):
        """Edits the text: these steps, one for each part.

        Raises:
            ValueError: these edits exclude each other.
        """
        text = self.text
        for part, step in steps.items():
            text = text.edited(self.edits[part][step])
        return text

    def _run(self, steps):
        """Edits the text by steps in the order of the parts: text and function, None if edits exclude another."""
        try:
            text = self._text(dict(zip(self.edits, steps, strict=True)))
        except ValueError:
            return None, None
        return text, text.function(ops=Operations(np.float64))

    def draw_cases(self, rng):
        return [Case(inputs) for inputs in self.draw(rng)]

    def expected(self, case):
        gradients = {GRADIENTS: np.full(len(self.of), float(RIGHT))} if self.of else {}
        return dict.fromkeys([*self.errors, ELSE], float(RIGHT)) | gradients

    def derived(self, inputs, observations):
        """Finds what was done with each part; of the gradients, for each argument whether it is right."""
        losses = [observation.get(VALUE, np.empty(0)) for observation in observations]
        finite = [bool(loss.size and np.isfinite(loss).all()) for loss in losses]
        if not all(finite) and not (self.beyond and any(finite)):
            return self._all(NO_NUMBER)
        losses, inputs, observations = ([*itertools.compress(each, finite)] for each in (losses, inputs, observations))
        repair = self._identified(inputs, np.array([loss.mean() for loss in losses]))
        if repair is None:
            return self._all(OTHER)
        observed = {part: float(step) for part, step in repair.steps.items()}
        observed |= dict.fromkeys(self._hidden(repair.steps, inputs), float(HIDDEN))
        if repair.steps[ELSE] >= MANY and (part := self._mended_otherwise(repair)):
            observed |= {part: observed[ELSE], ELSE: float(RIGHT)}
        if not all(finite):
            part = self.beyond[0]
            if observed[part] != RIGHT:
                return self._all(NO_NUMBER)
            observed[part] = float(BEYOND)
        if any(loss.shape for loss in losses):
            observed[ELSE] = float(NO_NUMBER)
        if RIGHT not in [observed[part] for part in self.errors]:  # the loss as it was given earns nothing
            return observed | {ELSE: float(UNTOUCHED), GRADIENTS: np.full(len(self.of), float(BROKEN))}
        cases = list(zip(losses, inputs, observations, strict=True))[:2]  # the first is known, the second drawn
        follows = [self._follows(repair, loss.size, *rest) for loss, *rest in cases]
        return observed | {GRADIENTS: np.min(follows, axis=0)}

    def _hidden(self, steps, inputs):
        """Lists the parts that are right, and might as well be broken: another line keeps them from the loss."""
        steps = steps | {ELSE: steps[ELSE] if RIGHT < steps[ELSE] < MANY else RIGHT}
        run = self._runs(tuple(steps.values()))[1]
        hidden = []
        with np.errstate(all="ignore"):
            loss = [run(**arguments) for arguments in inputs]
            for part in [part for part in self.errors if steps[part] == RIGHT]:
                text, other = self._runs(tuple((steps | {part: BROKEN}).values()))
                if text and self._same([other(**arguments) for arguments in inputs], loss):
                    hidden.append(part)
        return hidden

    def _mended_otherwise(self, repair):
        """Names the part of which a change that nobody foresaw is the mending; None where it spoils what was right."""
        i = int(repair.steps[ELSE]) // MANY - 1
        place, line, changed = _changed_line(self._text(self._few_broken[i]), repair.text)
        for part in [part for part in self.errors if repair.steps[part] == RIGHT]:
            its_place, _, broken = _changed_line(self.text, self._text({part: BROKEN}))
            if its_place == place and not _was_there(broken, line, changed):
                return part
        return None

    def _all(self, step):
        """Gives all parts the same step, where the loss does not tell them apart."""
        return dict.fromkeys([*self.errors, ELSE], float(step)) | {GRADIENTS: np.full(len(self.of), float(UNTOUCHED))}

    def _identified(self, inputs, losses):
        """Identifies the `Repair`, or None: likely ones first as they are, then but for a constant or a factor."""
        likely = [steps for slips, steps in self._combinations if slips < MOST_SLIPS]
        others = [steps for slips, steps in self._combinations if slips == MOST_SLIPS]
        with np.errstate(all="ignore"):
            repair = self._equal(likely, inputs, losses) or self._akin(likely, inputs, losses)
            return repair or self._equal(others, inputs, losses) or self._unforeseen(inputs, losses)

    def _equal(self, combinations, inputs, losses):
        """Finds the combination that gives these losses, a `Repair`."""
        for steps in combinations:
            text, run = self._runs(tuple(steps.values()))
            if text and self._same(run(**inputs[0]), losses[0]):
                if self._same([run(**arguments) for arguments in inputs], losses):
                    return Repair(steps, text)
        return None

    def _akin(self, combinations, inputs, losses):
        """Finds the combination that gives these losses but for a constant or a factor, a `Repair`.

        Of several, as where a constant is itself the error, the one in which least was mended.
        """
        for steps in sorted(combinations, key=lambda steps: list(steps.values()).count(RIGHT)):
            text, run = self._runs(tuple(steps.values()))
            if not text:
                continue
            loss = np.array([run(**arguments) for arguments in inputs])
            constant, factor = (losses - loss)[np.argmin(np.abs(loss))], np.mean(losses / loss)
            if self._same(loss + constant, losses):
                return Repair(steps | {ELSE: CONSTANT}, text)
            if abs(factor) > 0.01 and self._same(factor * loss, losses):
                return Repair(steps | {ELSE: FACTOR}, text, factor)
        return None

    def _unforeseen(self, inputs, losses):
        """Finds few errors left, and one change more that nobody foresaw, a `Repair`."""
        for i, j, loss in self._changed(inputs[0]):
            if self._same(loss, losses[0]):
                text = variants(self._text(self._few_broken[i]))[j].text
                run = text.function(ops=Operations(np.float64))
                if self._same([run(**arguments) for arguments in inputs], losses):
                    return Repair(self._few_broken[i] | {ELSE: MANY * (i + 1) + j}, text)
        return None

    def _changed(self, inputs):
        """Lists the losses of all such changes, (i, j, loss): seconds, so those of the case that is known are kept."""
        if self._kept is None or not all(np.array_equal(inputs[name], kept) for name, kept in self._kept[0].items()):
            changes = []
            for i, steps in enumerate(self._few_broken):
                for j, (_, text) in enumerate(variants(self._text(steps))):
                    with contextlib.suppress(Exception):  # not each can be computed
                        changes.append((i, j, text.function(ops=Operations(np.float64))(**inputs)))
            self._kept = inputs, changes
        return self._kept[1]

    @functools.cached_property
    def _few_broken(self):
        return [s for slips, s in self._combinations if not slips and list(s.values()).count(BROKEN) <= MOST_BROKEN]

    @functools.cached_property
    def _combinations(self):
        """Lists (number of slips, step by part), those with few slips first, then those with few errors."""
        combinations = []
        for n in range(MOST_SLIPS + 1):
            for chosen in map(dict, itertools.combinations(self._slips, n)):
                others = [part for part in self.errors if part not in chosen]
                for steps in itertools.product((RIGHT, BROKEN), repeat=len(others)) if len(chosen) == n else ():
                    steps = {ELSE: RIGHT} | dict(zip(others, steps, strict=True)) | chosen
                    combinations.append((n, {part: steps[part] for part in self.edits}))
        return sorted(combinations, key=lambda pair: (pair[0], -list(pair[1].values()).count(RIGHT)))

    def _same(self, a, b):
        a, b = np.asarray(a), np.asarray(b)
        return a.shape == b.shape and bool(np.all(np.abs(a - b) <= self.tolerance(VALUE) + self.rtol * np.abs(b)))

    def _follows(self, repair, size, inputs, observation):
        """Compares gradients with those of the repair: RIGHT or OTHER for each argument."""
        texts = [repair.text]
        if "stop_gradient" in repair.text.body and "stop_gradient" not in self.text.body:  # it may have been taken away
            texts.append(repair.text.edited({"ops.stop_gradient(": "("}))
        slopes = [differentiate(text, inputs, self.of)[0] for text in texts]
        follows = []
        for name in self.of:
            observed, right = observation.get(f"gradient of {name}"), False
            for slope in (each[name] * size * repair.factor for each in slopes):
                near = 1e-3 * np.abs(slope).max() + 1e-6  # of what the loss does not depend on, rounding is left
                shaped = observed is not None and observed.shape == slope.shape
                right |= bool(shaped and np.abs(observed - slope).max() <= near)
            follows.append(float(RIGHT if right else OTHER))
        return follows

    @property
    def _or_not_held(self):
        return ", or is no longer held as it was" if "stop_gradient" in self.text.body else ""

    def explained(self, inputs, observation, observed, target):
        """Explains gradients, and a change that nobody foresaw."""
        if observation != GRADIENTS and observed >= MANY:
            i, j = divmod(int(observed), MANY)
            text = self._text(self._few_broken[i - 1])
            clause, changed = variants(text, told=True)[j]
            if observation != ELSE:
                return Explanation("variant", f"changed, but not right yet: of the code as it should be, {clause}.")
            line = _changed_line(text, changed)[1]
            where = f"in `{ast.unparse(line.targets[0])} = …`" if isinstance(line, ast.Assign) else "in the last line"
            return Explanation(
                "variant", f"something that was right has changed, {where}. Of the code as it should be, {clause}."
            )
        if observation != GRADIENTS:
            return None
        if observed.size and (observed == BROKEN).all():
            return Explanation("untouched", "count once one of the errors is mended.")
        if UNTOUCHED in observed:
            return Explanation("untouched", "look again once the result is that of errors, mended or not.")
        wrong = [f"`{name}`" for name, right in zip(self.of, observed, strict=True) if right != RIGHT]
        return Explanation(
            "cut",
            f"the loss is what its lines say, its gradient is not, for {', '.join(wrong)}. Something on the way is "
            f"held fixed, by `ops.stop_gradient` or by NumPy{self._or_not_held}, and training follows the gradient.",
        )


def _changed_line(text, other):
    """Finds the first line in which two texts differ: its number, what it is in the one, and in the other."""
    pairs = zip(*(ast.parse(str(each)).body[0].body for each in (text, other)), strict=True)
    return next((i, *pair) for i, pair in enumerate(pairs) if len({*map(ast.dump, pair)}) == 2)


def _was_there(broken, line, changed):
    """Whether a line that was mended, and changed beside, was changed in something that the broken one has, too."""
    node, before = line, broken  # `before` is what stands in the same place
    while True:
        children = [[*ast.iter_child_nodes(each)] for each in (node, changed)]
        differ = [i for i, pair in enumerate(zip(*children, strict=False)) if len({*map(ast.dump, pair)}) == 2]
        if len(children[0]) != len(children[1]) or len(differ) != 1 or _alone(node) != _alone(changed):
            break
        (i,) = differ
        others = [*ast.iter_child_nodes(before)] if before else []
        node, changed, before = children[0][i], children[1][i], others[i] if i < len(others) else None
    occurs = any(ast.dump(node) == ast.dump(other) for other in ast.walk(broken))
    return occurs or (before is not None and _alone(node) == _alone(before))


def _alone(node):
    """What a node is without what it is made of: its kind, its operator, its name."""
    own = [value for _, value in ast.iter_fields(node) if not isinstance(value, (ast.expr, list))]
    return type(node), [ast.dump(value) if isinstance(value, ast.AST) else value for value in own]
