"""Questions to answer before running a cell, and their discussion: why each option is right or wrong.

Questions stand in one TOML file a lesson, where a notebook does not give them away:

```toml
[spread]
question = 'Which estimator spreads less?'
right = "a"
[spread.options]
a = 'The pathwise one.'
b = 'The score function.'
[spread.reasons]
a = 'It uses the slope of f.'
b = 'It sees nothing but the values of f.'
```
"""

import html
import tomllib
from pathlib import Path

from vaekit.course import material, show
from vaekit.course.store import Store

PARTS = {"question", "right", "options", "reasons"}


ANSWERS = Store("answers.json", "VAEKIT_ANSWERS")  # {lesson: {question: letter}}


class Quiz:
    """The questions of one lesson.

    Args:
        lesson: its number, such as "01", wherever its notebook lies; or the path of a TOML file.

    Raises:
        FileNotFoundError: no such lesson, or no such file.
        ValueError: a question is incomplete.
    """

    def __init__(self, lesson):
        folder, path = material.place() / "lessons" / "quiz", Path(lesson)
        path = path if path.suffix else folder / f"{lesson}.toml"
        if not path.is_file():
            known = ", ".join(sorted(quiz.stem for quiz in folder.glob("*.toml")))
            raise FileNotFoundError(f"No questions in {path}. Lessons with questions: {known}, as in Quiz('01').")
        self.lesson = path.stem
        self.questions = tomllib.loads(path.read_text(encoding="utf-8"))
        self._given = {}  # what could not be stored is at least remembered
        for name, question in self.questions.items():
            if set(question) != PARTS:
                raise ValueError(f"{path}: [{name}] should have {sorted(PARTS)}; it has {sorted(question)}.")
            options, reasons = question["options"], question["reasons"]
            if len(options) < 2 or set(options) != set(reasons) or question["right"] not in options:
                raise ValueError(
                    f"{path}: [{name}] should have two or more options, a reason for each, and the right one among "
                    f"them; it has options {sorted(options)}, reasons {sorted(reasons)}, right {question['right']!r}."
                )

    def ask(self, name, answer=None):
        """Shows a question and its options; keeps the answer that is clicked, or given here as a letter.

        Where nothing runs behind the page, a click on an answer unfolds why it is right or wrong.
        """
        question = self._find(name)
        if answer is not None:
            return show.show(self._keep(name, answer))
        lines = [f"- **{letter}**  {text}" for letter, text in question["options"].items()]
        show.show("\n".join([f"**Before you run on.** {question['question']}\n", *lines]))
        folded = [_folded(f"I say <b>{letter}</b>.", self._verdict(name, letter)) for letter in question["options"]]
        hint = f'Your answer, one of {", ".join(question["options"])}: quiz.ask("{name}", answer=…)'
        show.live(self._buttons(name), {"text/markdown": "\n".join(folded), "text/plain": hint})

    def discuss(self, name):
        """Shows why each option is right or wrong: at once where an answer was given, else behind a click."""
        question = self._find(name)
        answer, right = self.answer(name), question["right"]
        lines = [
            f"- **{letter}**  *{text}* {self._verdict(name, letter)}" for letter, text in question["options"].items()
        ]
        if answer is not None:
            return show.show("\n".join([f"You answered **{answer}**; the answer is **{right}**.\n", *lines]))
        summary = f"You have not answered <em>{name}</em> yet. Show the discussion all the same."
        show.show(_folded(summary, "\n".join([f"The answer is **{right}**.\n", *lines])))

    def answer(self, name):
        """The letter that the reader chose, or None."""
        self._find(name)
        try:
            return self._given.get(name) or ANSWERS.read().get(self.lesson, {}).get(name)
        except OSError:
            return None

    def _find(self, name):
        if name not in self.questions:
            raise ValueError(f"Lesson {self.lesson} has no question {name!r}; it has {', '.join(self.questions)}.")
        return self.questions[name]

    def _verdict(self, name, letter):
        """Why an option is right or wrong, in Markdown."""
        question = self.questions[name]
        return f"{'Right' if letter == question['right'] else 'Wrong'}. {question['reasons'][letter]}"

    def _keep(self, name, answer):
        """Stores an answer; returns what to tell the reader."""
        options = self.questions[name]["options"]
        letter = str(answer).strip().lower()
        if letter not in options:
            raise ValueError(f"Question {name!r} has the options {', '.join(options)}; received {answer!r}.")
        self._given[name] = letter
        try:
            ANSWERS.put(self.lesson, name, letter)
        except OSError as error:
            return f"Your answer: {letter}. It holds for now, but cannot be written down: {error.strerror}"
        return f"Your answer: {letter}."

    def _buttons(self, name):
        try:
            from ipywidgets import HTML, RadioButtons, VBox
        except ImportError:
            return None
        buttons = RadioButtons(
            options=list(self.questions[name]["options"]), value=self.answer(name), orientation="horizontal"
        )
        said = HTML()
        buttons.observe(lambda change: setattr(said, "value", html.escape(self._keep(name, change["new"]))), "value")
        return VBox([buttons, said])


def _folded(summary, markdown):
    """Markdown that a click on a line of HTML unfolds."""
    return f"<details>\n<summary>{summary}</summary>\n\n{markdown}\n\n</details>"
