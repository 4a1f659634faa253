"""Tables for instructors, in `exercises/instructors/*.md`: syllabus, questions, aims. A new set appears by itself.

A page is prose; between `<!-- table: NAME -->` and `<!-- end -->` stands a table that `pages` makes of the lessons'
notebooks and of the questions' definitions.
"""

import re
from pathlib import Path

from vaekit.course.exercise import Exercise, numbers, stars
from vaekit.course.lesson import lessons
from vaekit.course.publishing.lessons import NotebookError
from vaekit.course.questions.question import points
from vaekit.course.quiz import Quiz

FOLDER = Path("exercises", "instructors")
REGION = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
LAST = 12  # number of the last lesson
WEEKS = [f"{number:02}" for number in range(1, LAST + 1)]
CORE = 3  # importance of the questions that six weeks have room for


def pages(directory: Path) -> dict[Path, str]:
    """Makes the pages with tables: text by path. Without the folder there are none.

    Args:
        directory: of the course.

    Raises:
        NotebookError: a page asks for a table that is not known.
    """
    made = {}
    for path in sorted((Path(directory) / FOLDER).glob("*.md")):
        text = path.read_text(encoding="utf-8")
        if not REGION.search(text):
            continue
        if unknown := {name for _, name, _ in REGION.findall(text)} - set(TABLES):
            raise NotebookError(f"{path}: no table {', '.join(sorted(unknown))}; there are: {', '.join(TABLES)}.")
        course = _Course(Path(directory))
        made[path] = REGION.sub(lambda found, course=course: f"{found[1]}{TABLES[found[2]](course)}\n{found[3]}", text)
    return made


def check(directory: Path) -> list[str]:
    """Lists pages whose tables are not those of lessons and questions."""
    made = pages(directory)
    stale = [path for path, text in made.items() if path.read_text(encoding="utf-8") != text]
    return [f"{path}: its tables are not those of lessons and questions. Run: vaekit course build" for path in stale]


class _Course:
    """The lessons and sets that there are, by number."""

    def __init__(self, directory):
        self.lessons, self.directory = lessons(directory), directory
        self.sets = {number: Exercise(number) for number in numbers()}

    def lesson(self, number):
        """The lesson's number as a link; its number alone where there is none yet."""
        lesson = self.lessons.get(number)
        return f"[{number}](../../lessons/{lesson.path.name})" if lesson else f"{number} (not there yet)"

    def minutes(self, number, second=True):
        lesson = self.lessons.get(number)
        return lesson.minutes + second * lesson.second if lesson else 0

    def questions(self, number, importance=1):
        """(place, question) of a set's questions of at least this importance."""
        chosen = enumerate(self.sets[number].questions.values(), start=1) if number in self.sets else ()
        return [(place, question) for place, question in chosen if question.importance >= importance]


def _twelve(course):
    return _weeks(course, [[number] for number in WEEKS], importance=1)


def _six(course):
    return _weeks(course, [WEEKS[i : i + 2] for i in range(0, LAST, 2)], importance=CORE)


def _weeks(course, plan, importance):
    """A row for each week: lessons, questions, points, minutes. The first week has lesson 00, too."""
    rows = [
        "| week | lessons | minutes to read | questions | points | minutes to answer | hours |",
        "|--:|:--|--:|:--|--:|--:|--:|",
    ]
    sums = [0, 0, 0]
    for week, chosen in enumerate(plan, start=1):
        read = ["00", *chosen] if week == 1 else chosen
        reading = sum(course.minutes(number, second=importance == 1) for number in read)
        asked = {number: course.questions(number, importance) for number in chosen}
        told = "; ".join(_chosen(course, number, places) for number, places in asked.items())
        earned = sum(question.points for places in asked.values() for _, question in places)
        working = sum(question.minutes for places in asked.values() for _, question in places)
        sums = [sum(pair) for pair in zip(sums, (reading, earned, working), strict=True)]
        links = ", ".join(map(course.lesson, read))
        numbers_told = f"{points(earned)} | {working} | {(reading + working) / 60:.1f}"
        rows.append(f"| {week} | {links} | {reading} | {told} | {numbers_told} |")
    reading, earned, working = sums
    rows.append(f"| | together | {reading} | | {points(earned)} | {working} | {(reading + working) / 60:.0f} |")
    return "\n".join(rows)


def _chosen(course, number, places):
    if not places:
        return f"{number}: none yet"
    every = len(places) == len(course.sets[number].questions)
    return f"{number}: {'all' if every else ', '.join(str(place) for place, _ in places)}"


def _all(course):
    """A row for each lesson and its set."""
    rows = [
        "| | lesson | minutes | second reading | processor seconds | cells | pictures | its questions | set | points | "
        "minutes |",
        "|:--|:--|" + "--:|" * 9,
    ]
    sums = [0] * 9
    for number in ["00", *WEEKS]:
        lesson, asked = course.lessons.get(number), [question for _, question in course.questions(number)]
        quiz = course.directory / "lessons" / "quiz" / f"{number}.toml"
        about = [0] * 5
        if lesson:
            about = [lesson.minutes, lesson.second, lesson.seconds, lesson.cells, lesson.pictures]
        about.append(len(Quiz(quiz).questions) if lesson and quiz.is_file() else 0)
        about += [len(asked), sum(q.points for q in asked), sum(q.minutes for q in asked)]
        sums = [sum(pair) for pair in zip(sums, about, strict=True)]
        title = lesson.title if lesson else "not there yet"
        rows.append(f"| {course.lesson(number) if lesson else number} | {title} | {_cells(about)} |")
    return "\n".join([*rows, f"| | together | {_cells(sums)} |"])


def _cells(values):
    return " | ".join(points(value) if value else "" for value in values)


def _questions(course):
    """For each lesson its aims, with the questions that measure them, and a table of its questions."""
    return "\n\n".join(
        _of_lesson(course, number) for number in WEEKS if number in course.lessons or number in course.sets
    )


def _of_lesson(course, number):
    lesson, asked = course.lessons.get(number), course.questions(number)
    lines = [f"## {number} · {lesson.title if lesson else course.sets[number].title}", ""]
    if lesson:
        lines += [f"After {course.lesson(number)}, learners can", ""]
        for aim, told in enumerate(lesson.aims, start=1):
            places = [str(place) for place, question in asked if aim in question.aims]
            measured = (
                f"question{'s' * (len(places) > 1)} {', '.join(places)}" if places else "the lesson's own questions"
            )
            lines.append(f"{aim}. {told}: {measured if asked else 'no set yet'}")
    if asked:
        lines += ["", "| | question | points | minutes | difficulty | importance | taught in | aims |"]
        lines += ["|--:|:--|--:|--:|:--|:--|:--|:--|"]
    for place, q in asked:
        signs = f"{stars('●', q.difficulty)} | {stars('★', q.importance)}"
        aims = ", ".join(map(str, q.aims))
        lines.append(f"| {place} | {q.title} | {points(q.points)} | {q.minutes} | {signs} | {q.section} | {aims} |")
    if asked:
        worth, minutes = sum(q.points for _, q in asked), sum(q.minutes for _, q in asked)
        lines.append(f"| | together | {points(worth)} | {minutes} | | | | |")
    return "\n".join(lines)


TABLES = {"twelve": _twelve, "six": _six, "all": _all, "questions": _questions}
