"""The learner's side of an exercise: `check` at once, `hint` when stuck, progress; `mark` for nbgrader's cells."""

import contextlib
import importlib
import io
import logging
import os
import pkgutil
import secrets
import sys

from vaekit.backend.stderr import stderr_into
from vaekit.course import exercises, observe
from vaekit.course.questions.judge import judge
from vaekit.course.questions.question import points
from vaekit.course.show import plain
from vaekit.course.store import Store, share

PROGRESS = Store("progress.json", "VAEKIT_PROGRESS", share)


class Note(str):
    """A text that notebooks show as Markdown."""

    def _repr_markdown_(self):
        return str(self)

    def __repr__(self):
        return plain(str(self))


class Exercise:
    """An exercise's questions, as its notebook uses them.

    ```python
    exercise = Exercise("02")
    exercise.check(kl_divergence)
    exercise.hint("kl_divergence")
    ```

    Args:
        number: of the exercise, such as "02".

    Raises:
        ValueError: if there is none.
    """

    def __init__(self, number):
        if number not in numbers():
            raise ValueError(f"There is no exercise {number!r}; there are: {', '.join(numbers())}.")
        module = importlib.import_module(f"{exercises.__name__}.e{number}")
        self.number, self.title = number, module.TITLE
        self.questions = {question.name: question for question in module.QUESTIONS}
        self._hints = {}

    @property
    def points(self):
        """Points of all questions together."""
        return float(sum(question.points for question in self.questions.values()))

    @property
    def table(self):
        """Table of its questions, in Markdown."""
        rows = ["| question | points | minutes | difficulty | importance |", "|:--|--:|--:|:--|:--|"]
        for i, q in enumerate(self.questions.values(), start=1):
            columns = f"{points(q.points)} | {q.minutes} | {stars('●', q.difficulty)} | {stars('★', q.importance)}"
            rows.append(f"| {i}. {q.title} | {columns} |")
        minutes = sum(q.minutes for q in self.questions.values())
        return "\n".join([*rows, f"| together | {points(self.points)} | {minutes} | | |"])

    def _repr_markdown_(self):
        try:
            shares = PROGRESS.read().get(self.number, {})
        except OSError:
            shares = {}
        earned = sum(q.points * shares.get(name, 0.0) for name, q in self.questions.items())
        return f"**Exercise {self.number}: {self.title}.** {points(earned)} of {points(self.points)} points so far."

    def __repr__(self):
        return plain(self._repr_markdown_())

    def check(self, answer=None, /, **named):
        """Checks an answer: whether it is right, or what is wrong with it; saves the best share of its points.

        Args:
            answer: a function or class, which has its question's name, as such or in the notebook.
            named: or an answer by its question's name: `check(gap=0.25)`.

        Returns: a `Verdict`, or a `Note` that says why there is none; nothing is raised. Where nbgrader grades, None:
        `mark` counts there, and nbgrader would take a second output of its cell for the points. Where nbgrader
        validates, the points.
        """
        running = os.environ.get("NBGRADER_EXECUTION")
        if running == "autograde":
            return None
        if answer is not None:
            name, given = getattr(answer, "__name__", ""), sys._getframe(1).f_globals
            if name not in self.questions:  # a lambda, or an object that can be called: what the notebook calls it
                name = next((known for known in self.questions if given.get(known) is answer), name)
            named = {name: answer, **named}
        if len(named) != 1 or not set(named) <= set(self.questions):
            return Note(
                f"Nothing was checked: expected one answer, named like its question ({self._names()}); received "
                f"{', '.join(map(repr, named)) or 'nothing'}. A number, or an answer that is called otherwise, is "
                "checked by the question's name: `check(name=answer)`."
            )
        ((name, answer),) = named.items()
        with quiet():
            verdict = self.verdict(name, answer)
        if running == "validate":
            return verdict.earned
        if all(part.diagnosis == "unanswered" for part in verdict.parts):
            return Note(f"**{verdict.title}** ({points(verdict.points)} points): not answered yet.")
        try:
            PROGRESS.put(self.number, name, verdict.share, best=True)
        except OSError:  # a place that cannot be written keeps nobody from learning
            pass
        return verdict

    def verdict(self, name, answer, seed=None):
        """Judges an answer, on the public cases and drawn ones: returns a `Verdict`."""
        question = self.questions[name]
        cases = question.cases(seed)
        name, options = question.observe
        return judge(question, cases, [observe.observe(name, answer, case.inputs, options) for case in cases])

    def hint(self, name):
        """Returns the next hint for a question: from a nudge to nearly the answer."""
        if name not in self.questions:
            return Note(f"There is no question {name!r}; there are: {self._names()}.")
        hints = self.questions[name].hints
        number = self._hints[name] = min(self._hints.get(name, 0) + 1, len(hints))
        if not hints:
            return Note("There is no hint for this one.")
        return Note(f"**Hint {number} of {len(hints)}.** {hints[number - 1]}")

    def mark(self, name, namespace):
        """Returns points for nbgrader, a Python float; 0.0 for a name that is missing, or an answer that fails.

        Notebooks, and with them nbgrader's feedback, also show the `Verdict`.

        Whatever is written to stderr meanwhile, by a backend's start-up too, is dropped: nbgrader gives no marks to a
        cell that writes there.

        Args:
            name: of the question.
            namespace: dict, the notebook's `globals()`.
        """
        with quiet():
            if name not in namespace:
                return 0.0
            verdict = self.verdict(name, namespace[name], _seed())
        earned = float(verdict.earned)
        if shell := "IPython" in sys.modules and sys.modules["IPython"].get_ipython():
            from IPython.display import display

            display(verdict)
            shell.display_formatter.formatters["text/plain"].float_precision = ""  # `%precision` would round the points
            if shell.ast_node_interactivity == "none":  # then the cell would not show what it ends in
                sys.displayhook(earned)
        return earned

    def _names(self):
        return ", ".join(f"`{name}`" for name in self.questions)


def stars(sign, number):
    """Writes a number from 0 to 3 as signs, "●●○"."""
    return sign * number + "○☆"[sign == "★"] * (3 - number)


def _seed():
    """Returns the seed of the drawn cases: the environment's, to grade again with the same ones, or a secret one."""
    text = os.environ.get("VAEKIT_SEED", "")
    return int(text) if text.isdecimal() else secrets.randbits(63)


def numbers():
    """Lists the numbers of all exercises."""
    return sorted(module.name[1:] for module in pkgutil.iter_modules(exercises.__path__))


def progress():
    """Reads the best shares of points so far: {exercise: {question: share}}, of every exercise and question."""
    try:
        shares = PROGRESS.read()
    except OSError:
        shares = {}
    by_number = {number: Exercise(number) for number in numbers()}
    return {n: {name: shares.get(n, {}).get(name, 0.0) for name in e.questions} for n, e in by_number.items()}


@contextlib.contextmanager
def quiet():
    """Drops what is written to stderr, by Python, by logging and by compiled code."""
    disabled = logging.root.manager.disable
    with open(os.devnull, "wb") as nothing, stderr_into(nothing), contextlib.redirect_stderr(io.StringIO()):
        try:
            logging.disable(logging.CRITICAL)
            yield
        finally:
            logging.disable(disabled)
