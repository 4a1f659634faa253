"""A report on a class, from what `vaekit grade` wrote of it: question by question, what is wrong, and what to do then.

It names no learner, so that it can be shown to all of them.
"""

import csv
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from vaekit.course import show
from vaekit.course.exercise import Exercise, numbers
from vaekit.course.grader.marks import ANSWER, UNGRADED
from vaekit.course.lesson import lessons
from vaekit.course.questions.question import points

UNTRIED = ("unanswered", "missing")  # diagnoses of what nobody has answered
MOST = 3  # diagnoses that are told


class ReportError(Exception):
    """No report can be made, in one sentence."""


@dataclass(frozen=True)
class Summary:
    """What became of one question.

    Attributes:
        exercise: its number.
        place: of the question in the exercise, from 1; 0 if the exercise has it no more.
        name: of the question.
        title: of the question.
        worth: its points.
        notebooks: how many were graded.
        tried: how many have an answer.
        right: how many earn everything.
        failed: how many earn less than half.
        mean: points, over all notebooks.
        diagnoses: list of (name, how many, what most of these were told), of answers that were tried; frequent first.
    """

    exercise: str
    place: int
    name: str
    title: str
    worth: float
    notebooks: int
    tried: int
    right: int
    failed: int
    mean: float
    diagnoses: list

    @property
    def hard(self):
        """Whether half of the class failed."""
        return 2 * self.failed >= self.notebooks


def read(path):
    """Reads the answers of a class.

    Args:
        path: folder with the results of `vaekit grade`, or a file in it.

    Returns: list of dicts by `marks.ANSWER`; "earned" and "points" are numbers, None in rows of what was not graded.

    Raises:
        ReportError: if there are none.
    """
    path = Path(path)
    if not path.exists():
        raise ReportError(f"There is no {str(path)!r}; expected the folder that `vaekit grade --out` wrote.")
    path = (path if path.is_dir() else path.parent) / "answers.csv"
    if not path.is_file():
        raise ReportError(
            f"There is no answers.csv in {str(path.parent)!r}; expected the folder that `vaekit grade FOLDER --out` "
            "wrote. An older version wrote none: run the same command again."
        )
    try:
        table = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline=""))
        rows = list(table)
    except (OSError, ValueError, csv.Error) as error:
        raise ReportError(f"{str(path)!r} cannot be read: {error}.") from None
    if lost := [name for name in ANSWER if name not in (table.fieldnames or ())]:
        raise ReportError(
            f"{str(path)!r} has no column {', '.join(lost)}; expected {', '.join(ANSWER)}, parted by commas. "
            "`vaekit grade` writes it anew."
        )
    return [_parsed(row, line, path) for line, row in enumerate(rows, start=2)]


def _parsed(row, line, path):
    if row["diagnosis"] == UNGRADED:
        return row | {"earned": None, "points": None}
    try:
        numbers_of = {name: float(row[name]) for name in ("earned", "points")}
    except (TypeError, ValueError):
        raise ReportError(
            f"{str(path)!r}, row {line}: expected numbers for earned and points; "
            f"received {row['earned']!r} and {row['points']!r}."
        ) from None
    return row | numbers_of


def summaries(rows):
    """Sums up the rows of `read`: list of `Summary`, in the order of exercises and their questions."""
    grouped = {}
    for row in rows:
        if row["earned"] is not None:
            grouped.setdefault((row["exercise"], row["question"]), []).append(row)
    known = {number: list(Exercise(number).questions.values()) for number in {key[0] for key in grouped} & {*numbers()}}
    told = []
    for (exercise, name), answers in grouped.items():
        question = next((q for q in known.get(exercise, ()) if q.name == name), None)
        place = 1 + known[exercise].index(question) if question else 0
        tried = [row for row in answers if row["diagnosis"] not in UNTRIED]
        wrong = Counter(row["diagnosis"] for row in tried if row["diagnosis"])
        messages = {d: Counter(row["message"] for row in tried if row["diagnosis"] == d) for d in wrong}
        told.append(
            Summary(
                exercise,
                place,
                name,
                question.title if question else name,
                max(row["points"] for row in answers),
                len(answers),
                len(tried),
                sum(row["earned"] >= row["points"] for row in answers),
                sum(row["earned"] < row["points"] / 2 for row in answers),
                sum(row["earned"] for row in answers) / len(answers),
                [(d, n, messages[d].most_common(1)[0][0]) for d, n in wrong.most_common()],
            )
        )
    return sorted(told, key=lambda one: (one.exercise, one.place or len(told), one.name))


def as_csv(rows):
    """Writes a row for each question, as CSV."""
    table = io.StringIO()
    writer = csv.writer(table)
    columns = "exercise question title notebooks tried right failed mean points half_failed diagnoses".split()
    writer.writerow(columns)
    for one in summaries(rows):
        counts = [one.notebooks, one.tried, one.right, one.failed, f"{one.mean:.2f}", points(one.worth)]
        diagnoses = "; ".join(f"{name}: {n}" for name, n, _ in one.diagnoses)
        writer.writerow([one.exercise, one.name, one.title, *counts, "yes" if one.hard else "no", diagnoses])
    return table.getvalue()


def as_markdown(rows):
    """Writes the report, in Markdown: a table for each exercise, then what to do about what half the class failed."""
    told, ungraded = summaries(rows), sum(row["earned"] is None for row in rows)
    lines = ["# Report on a class", ""]
    if ungraded:
        notebooks = "1 notebook" if ungraded == 1 else f"{ungraded} notebooks"
        lines += [f"{notebooks} could not be graded: the column `problem` of marks.csv says why.", ""]
    for number in dict.fromkeys(one.exercise for one in told):
        lines += [*_exercise(number, [one for one in told if one.exercise == number]), ""]
    return "\n".join(lines).rstrip() + "\n"


def _exercise(number, told):
    title = f": {Exercise(number).title}" if number in numbers() else ""
    mean, worth = sum(one.mean for one in told), sum(one.worth for one in told)
    lines = [
        f"## Exercise {number}{title}",
        "",
        f"{max(one.notebooks for one in told)} notebooks, {mean:.1f} of {points(worth)} points in the mean. *Failed*: "
        "less than half of a question's points, tried or not.",
        "",
        "| question | tried | right | failed | mean | of | most frequent diagnoses |",
        "|:--|--:|--:|--:|--:|--:|:--|",
    ]
    for one in told:
        diagnoses = ", ".join(f"`{name}` {n}" for name, n, _ in one.diagnoses[:MOST])
        counts = f"{one.tried} | {one.right} | {'**' * one.hard}{one.failed}{'**' * one.hard} | {one.mean:.1f}"
        lines.append(f"| {_place(one)} | {counts} | {points(one.worth)} | {diagnoses} |")
    hard = [one for one in told if one.hard]
    if not hard:
        return [*lines, "", "No question was failed by half of the class."]
    lines += ["", "### Half of the class failed"]
    for one in hard:
        lines += ["", *_what_to_do(one)]
    return lines


def _what_to_do(one):
    """Lists what half of the class did, what the question measures, where that is taught, and what to do."""
    lines = [f"**{_place(one)}**, `{one.name}`: {one.failed} of {one.notebooks} failed, {one.tried} tried.", ""]
    for name, n, message in one.diagnoses[:MOST]:
        lines.append(f"- {n} × `{name}`: {show.harmless(message)}")
    if not one.place:
        return lines
    question, lesson = Exercise(one.exercise).questions[one.name], lessons().get(one.exercise)
    if lesson and question.section:
        lines.append(f"- Taught in lesson {lesson.number}, “{question.section}”.")
    if lesson:
        lines += [f"- Measures whether learners can {lesson.aims[aim - 1]}." for aim in question.aims]
    return [*lines, f"- {_advice(one, question)}"]


def _advice(one, question):
    """Says what to do: no answer asks for time, one mistake for a discussion, many for the section again."""
    wrong = sum(n for _, n, _ in one.diagnoses)
    if 2 * (one.notebooks - one.tried) >= one.failed:
        return f"Most of those have not tried. It takes {question.minutes} minutes: give time for it, or leave it out."
    name, most, _ = one.diagnoses[0]
    if 2 * most >= wrong:
        return f"One mistake, `{name}`, is most of it: talk about its sentence above, and let all hand in once more."
    hint = f" Begin with its first hint: {show.harmless(question.hints[0])}" if question.hints else ""
    return f"No mistake stands out, so what is missing is no detail: teach the section again.{hint}"


def _place(one):
    return f"{one.place} · {one.title}" if one.place else one.title
