"""What instructors are given: reports on a class from `vaekit grade`'s answers, and tables of lessons and questions."""

import csv
import importlib.util
import io
import re
from pathlib import Path

import pytest
from test_grading import notebook, run
from typer.testing import CliRunner

from vaekit import cli
from vaekit.course.exercise import Exercise, numbers
from vaekit.course.grader import class_report, marks
from vaekit.course.lesson import lessons
from vaekit.course.publishing import instructors
from vaekit.course.publishing.lessons import NotebookError
from vaekit.course.show import harmless

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]


def record(**diagnoses):
    """The record of a notebook of exercise 01: what is not named is right, half of the points go to `swapped`."""
    questions, told = Exercise("01").questions, {name: kind for name, kind in diagnoses.items() if kind}
    earned = {name: 0.0 if name in told else float(q.points) for name, q in questions.items()}
    earned |= {name: questions[name].points / 2 for name, kind in told.items() if kind == "swapped"}
    return {
        "exercise": "01",
        "earned": sum(earned.values()),
        "points": 31.0,
        "questions": earned,
        "worth": {name: float(question.points) for name, question in questions.items()},
        "diagnoses": told,
        "messages": {name: f"told of {kind}: $a<b$, <b>." for name, kind in told.items()},
        "problem": "",
    }


CLASS = {
    "ada": record(),
    "ben": record(log_normal="no_jacobian", score_function="sign", mixture_path="unanswered"),
    "cleo": record(log_normal="no_jacobian", score_function="cut", mixture_path="missing", gaussian_sample="swapped"),
    "dora": record(log_normal="swapped", score_function="twice"),
    "eve": {"problem": "it is a link.", "key": None},
}


def report(*arguments):
    return CliRunner().invoke(cli.app, ["course", "report", *map(str, arguments)])


@pytest.fixture
def graded(tmp_path):
    marks.write_answers(tmp_path, CLASS)
    return tmp_path


def test_summaries_count_notebooks(graded):
    told = {one.name: one for one in class_report.summaries(class_report.read(graded))}
    assert list(told) == list(Exercise("01").questions)
    counts = {name: (one.notebooks, one.tried, one.right, one.failed, one.hard) for name, one in told.items()}
    assert counts["gaussian_sample"] == (4, 4, 3, 0, False)
    assert counts["log_normal"] == (4, 4, 1, 2, True)
    assert counts["score_function"] == (4, 4, 1, 3, True)
    assert counts["mixture_path"] == (4, 2, 2, 2, True)
    assert counts["samples_worth"] == (4, 4, 4, 0, False)
    assert told["log_normal"].mean == pytest.approx((4 + 2) / 4) and told["log_normal"].worth == 4
    assert [(name, n) for name, n, _ in told["log_normal"].diagnoses] == [("no_jacobian", 2), ("swapped", 1)]
    assert told["mixture_path"].diagnoses == []


def test_report_says_what_to_do(graded):
    text = report(graded).output
    assert "1 notebook could not be graded" in text
    assert "| 3 · Change the variable: a sample and its density | 4 | 1 | **2** | 1.5 | 4 |" in text
    hard = dict(zip(*[iter(re.split(r"^\*\*\d · .*?\*\*, `(\w+)`", text, flags=re.MULTILINE)[1:])] * 2, strict=True))
    assert list(hard) == ["log_normal", "score_function", "mixture_path"]
    assert "- 2 × `no_jacobian`: told of no_jacobian: $a<b$, &lt;b&gt;." in hard["log_normal"]
    assert "One mistake, `no_jacobian`, is most of it" in hard["log_normal"]
    assert (
        "No mistake stands out" in hard["score_function"]
        and Exercise("01").questions["score_function"].hints[0] in (hard["score_function"])
    )
    assert "Most of those have not tried. It takes 60 minutes" in hard["mixture_path"]
    for name, section in hard.items():
        question = Exercise("01").questions[name]
        assert f"Taught in lesson 01, “{question.section}”." in section
        assert all(lessons()["01"].aims[aim - 1] in section for aim in question.aims) and question.aims
    assert not {"ada", "ben", "cleo", "dora", "eve"} & set(re.findall(r"\w+", text))


def test_report_as_csv(graded):
    assert "a report on 5 notebooks" in report(graded / "answers.csv", "--out", graded / "r.csv").output
    rows = {row["question"]: row for row in csv.DictReader(io.StringIO((graded / "r.csv").read_text("utf-8")))}
    assert list(rows) == list(Exercise("01").questions)
    row = rows["log_normal"]
    assert (row["tried"], row["failed"], row["mean"], row["half_failed"]) == ("4", "2", "1.50", "yes")
    assert row["diagnoses"] == "no_jacobian: 2; swapped: 1"
    assert report(graded, "--out", graded / "r.md").exit_code == 0
    assert (graded / "r.md").read_text("utf-8") == report(graded).output


def test_answers_of_questions_that_are_no_more(graded):
    path = graded / "answers.csv"
    path.write_text(path.read_text("utf-8").replace("mixture_path", "gone").replace("ada,01,", "ada,77,"), "utf-8")
    text = report(graded).output
    assert "## Exercise 77" in text and "| gone | " in text and "**gone**, `gone`: 2 of 3 failed, 1 tried." in text


@pytest.mark.parametrize(
    "change, told",
    [
        (lambda folder: (folder / "answers.csv").unlink(), "There is no answers.csv"),
        (lambda folder: (folder / "answers.csv").write_text("a,b\n1,2\n"), "has no column learner, exercise"),
        (lambda folder: (folder / "answers.csv").write_bytes(b"\xff\xfe"), "cannot be read"),
        (
            lambda folder: (folder / "answers.csv").write_text(",".join(marks.ANSWER) + "\nada,01,total,many,2,,\n"),
            "row 2: expected numbers for earned and points; received 'many' and '2'",
        ),
        (lambda folder: marks.write_answers(folder, {"eve": CLASS["eve"]}), "so there is nothing to report"),
    ],
)
def test_reports_that_cannot_be_made(graded, change, told):
    change(graded)
    result = report(graded)
    assert result.exit_code == 1 and told in " ".join(result.output.split())


def test_reports_that_are_asked_for_wrongly(graded):
    assert "expected the folder that `vaekit grade --out` wrote" in " ".join(report(graded / "no").output.split())
    result = report(graded, "--out", "report.docx")
    assert result.exit_code == 1 and "ends in .md or .csv" in result.output


def test_grade_writes_answers(tmp_path, monkeypatch):
    from test_grading import report as graded_report

    monkeypatch.setattr("vaekit.course.grader.folder.grade_notebook", lambda *_, **__: graded_report())
    notebook(tmp_path / "class" / "=ada" / "01.ipynb", "1")
    (tmp_path / "class" / "ben.zip").write_text("")
    run(tmp_path / "class", "--out", tmp_path / "marks")
    for _ in range(2):  # from the records, too
        told = [row | {"message": row["message"][:10]} for row in class_report.read(tmp_path / "marks")]
        first = dict(
            zip(marks.ANSWER, ["'=ada/01", "01", "gaussian_sample", 0.0, 2.0, "missing", "nothing."], strict=True)
        )
        last = dict(zip(marks.ANSWER, ["ben.zip", "", "", None, None, "ungraded", "it is not "], strict=True))
        assert told == [first, last]
        (tmp_path / "marks" / "answers.csv").unlink()
        run(tmp_path / "class", "--out", tmp_path / "marks")


def test_harmless_keeps_code_and_formulas():
    assert harmless("`a<b` $a<b$ **c<d**\n# e<f") == "`a<b` $a<b$ **c&lt;d** # e&lt;f"


# ---- lessons, questions, tables


def test_lessons_say_what_they_are():
    for number, lesson in lessons().items():
        assert number == lesson.number and 3 <= len(lesson.aims) <= 6 and 40 <= lesson.minutes <= 150
        assert lesson.cells > 40 and lesson.pictures > 1 and all("\n" not in aim for aim in lesson.aims)
    assert (
        lessons()["02"].second > 0 == lessons()["05"].second and lessons()["01"].title == "The reparameterization trick"
    )


def test_what_is_no_lesson(tmp_path):
    path = tmp_path / "lessons" / "01_x.ipynb"
    path.parent.mkdir()
    path.write_text('{"cells": [{"cell_type": "markdown", "source": ["# Lesson"]}]}')
    with pytest.raises(ValueError, match="begins with a heading"):
        lessons(tmp_path)


@pytest.mark.parametrize("number", numbers())
def test_questions_name_a_section_and_aims_of_their_lesson(number):
    """All of a set's, or none while it is new."""
    lesson, questions = lessons().get(number), Exercise(number).questions.values()
    if any(question.section for question in questions):
        assert {q.name for q in questions if q.section not in lesson.sections} == set()
        assert {aim for q in questions for aim in q.aims} <= set(range(1, len(lesson.aims) + 1))
    else:
        assert number >= "09"


def test_tables_for_instructors_are_those_of_lessons_and_questions():
    assert instructors.check(ROOT) == []


def test_a_new_set_appears_by_itself(tmp_path, monkeypatch):
    page = tmp_path / instructors.FOLDER / "page.md"
    page.parent.mkdir(parents=True)
    page.write_text(
        "a\n<!-- table: twelve -->\nold\n<!-- end -->\nb\n<!-- table: questions -->\n<!-- end -->\n", "utf-8"
    )
    with monkeypatch.context() as patch:
        patch.setattr(instructors, "numbers", lambda: ["01"])
        ((path, text),) = instructors.pages(tmp_path).items()
    assert path == page and "01: all | 31 | 180 | 3.0 |" in text and "02: none yet" in text and "old" not in text
    assert "## 01 · The reparameterization trick" in text and text.startswith("a\n") and "\nb\n" in text
    more = instructors.pages(tmp_path)[page]
    assert "02: all | 30 | 171" in more and instructors.check(tmp_path)[0].startswith(str(page))
    page.write_text("<!-- table: other -->\n<!-- end -->\n", "utf-8")
    with pytest.raises(NotebookError, match="no table other; there are: twelve"):
        instructors.pages(tmp_path)


def test_links_for_instructors_lead_somewhere():
    for page in [ROOT / "exercises" / "README.md", *(ROOT / instructors.FOLDER).glob("*.md")]:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), (page.name, target)


def test_a_class_is_made_by_its_seed(tmp_path):
    spec = importlib.util.spec_from_file_location("class_of_thirty", ROOT / "benchmarks" / "class_of_thirty.py")
    spec.loader.exec_module(program := importlib.util.module_from_spec(spec))
    first, again = (program.submissions(tmp_path / name, "01", learners=4, seed=0) for name in "ab")
    other = program.submissions(tmp_path / "c", "01", learners=4, seed=1)
    assert first == again != other and len(first) == 4 * len(Exercise("01").questions)
    contents = [[path.read_text("utf-8") for path in sorted((tmp_path / name).glob("*/*"))] for name in "abc"]
    assert contents[0] == contents[1] != contents[2]
    known = {name: {mistake.name for mistake in q.mistakes} for name, q in Exercise("01").questions.items()}
    assert all(diagnosis in known[name] | {"", "unanswered"} for (_, name), diagnosis in first.items())
    assert {"", "unanswered"} < {*first.values()}


def test_the_class_of_thirty_was_diagnosed_as_made():
    """What the page states of its run."""
    told = (ROOT / instructors.FOLDER / "class_of_thirty.md").read_text("utf-8")
    as_made, answers = re.search(
        r"^(\d+) of (\d+) answers got the diagnosis that was put in$", told, re.MULTILINE
    ).groups()
    assert as_made == answers == "240" and re.search(r"processors worked \d+ s; at most [\d.]+ GB of memory", told)
