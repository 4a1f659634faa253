"""Exercises are what their scripts say; answers and marks stay with the solutions."""

import dataclasses
import shutil
from pathlib import Path

import nbformat
import pytest
from typer.testing import CliRunner

from vaekit.cli import app
from vaekit.course import exercises
from vaekit.course.exercise import Exercise
from vaekit.course.publishing import exercises as publishing
from vaekit.course.publishing.lessons import NotebookError

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]
SMALL = Path(__file__).parent / "small_course"


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A copy of the small course; its script."""
    monkeypatch.setattr(exercises, "__path__", [*exercises.__path__, str(SMALL / "exercises")])
    shutil.copytree(SMALL / "solutions", tmp_path / "solutions")
    (source,) = publishing.sources(tmp_path)
    return source


def read(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def by_role(notebook):
    return {cell.metadata.nbgrader.grade_id: cell for cell in notebook.cells if "nbgrader" in cell.metadata}


# ---- the course


def test_exercises_are_what_their_sources_generate():
    assert publishing.check(publishing.sources(ROOT)) == []


@pytest.mark.parametrize("source", publishing.sources(ROOT), ids=lambda path: path.stem)
def test_stubs_raise_not_implemented_and_earn_nothing(source):
    notebook = read(publishing.targets(source)[1])
    exercise, namespace, answers = Exercise(source.stem.split("_")[0]), {}, []
    for cell in notebook.cells:
        role = cell.metadata.get("nbgrader", {})
        if cell.cell_type != "code" or role.get("grade"):
            continue
        if not role.get("solution"):
            if role.get("grade_id") == "given-1":
                exec(cell.source, namespace)
            continue
        answers.append(role.grade_id)
        assert "raise NotImplementedError" in cell.source and "SOLUTION" not in cell.source
        try:
            exec(cell.source, namespace)
        except NotImplementedError:  # a number's
            continue
        assert exercise.verdict(role.grade_id, namespace[role.grade_id]).diagnosis == "unanswered"
    assert answers == [name for name in answers if exercise.mark(name, namespace) == 0.0]
    assert sorted(answers) == sorted(exercise.questions)


# ---- from script to notebooks


def test_source_notebook(course):
    notebook = publishing.generate(course)
    assert notebook.metadata.vaekit == {"exercise": "99"}
    cells = by_role(notebook)
    assert list(cells) == ["given-1", "scaled", "scaled-test", "total", "total-test", "gap", "gap-test"]
    flags = {name: [cell.metadata.nbgrader[k] for k in ("grade", "solution", "locked")] for name, cell in cells.items()}
    assert flags["given-1"] == [False, False, True]
    assert flags["total"] == [False, True, False]
    assert flags["total-test"] == [True, False, True]
    assert [cells[f"{name}-test"].metadata.nbgrader.points for name in ("scaled", "total", "gap")] == [3, 2, 1]
    assert "exercise.check(total)" in cells["total-test"].source
    assert "exercise.check(gap=gap)" in cells["gap-test"].source
    assert cells["gap-test"].source.split("\n")[-2] == 'exercise.mark("gap", globals())'
    assert "nbgrader" not in notebook.cells[-1].metadata  # the learner's own
    explained = [cell for cell in notebook.cells if cell.metadata.get("tags") == ["solution"]]
    assert [cell.cell_type for cell in explained] == ["code", "markdown"]
    assert all("nbgrader" not in cell.metadata for cell in explained)


def test_release(course):
    _, path = publishing.build([course])
    cells = by_role(read(path))
    text = path.read_text()
    for hidden in ("SOLUTION", "HIDDEN", "mark(", "ops.sum", "0.25", "xplained", "tags"):
        assert hidden not in text
    assert cells["total-test"].source == "exercise.check(total)"
    assert cells["total"].source == (
        'def total(x):\n    """[N, D] → [N]."""\n    raise NotImplementedError()  # your answer, in place of this line'
    )
    assert cells["gap"].source.split("\n")[0] == "gap = ..."
    assert all(not cell.metadata.get("editable", True) for name, cell in cells.items() if "test" in name)


def test_the_same_bytes_each_time(course):
    first = [path.read_bytes() for path in publishing.build([course])]
    assert publishing.check([course]) == []
    assert [path.read_bytes() for path in publishing.build([course])] == first


def test_ids_are_local(course):
    before = publishing.generate(course).cells
    course.write_text(course.read_text().replace("room to play", "room").replace("0.25", "1/4"))
    after = publishing.generate(course).cells
    changed = [old.source for old, new in zip(before, after, strict=True) if old.id != new.id]
    assert changed == ['print("room to play")']  # an answer keeps its id with another solution


# ---- drift


@pytest.mark.parametrize("room", [0, 1])
def test_drift(course, room):
    path = publishing.build([course])[room]
    path.write_text(path.read_text().replace("Add up", "Sum"))
    (problem,) = publishing.check([course])
    assert str(path) in problem and "differs" in problem
    path.unlink()
    assert "missing" in publishing.check([course])[0]


@pytest.mark.parametrize("change", [lambda text: text + b" ", lambda text: text.replace(b"\n", b"\r\n")])
def test_drift_of_a_byte(course, change):
    path = publishing.build([course])[1]
    path.write_bytes(change(path.read_bytes()))
    assert len(publishing.check([course])) == 1


def test_drift_of_points(course, monkeypatch):
    publishing.build([course])
    question = Exercise("99").questions["total"]
    monkeypatch.setattr(publishing, "Exercise", lambda number: _with_points(Exercise(number), question.name, 5))
    assert len(publishing.check([course])) == 2  # the source notebook; the release, which shows them too


def _with_points(exercise, name, points):
    exercise.questions = {**exercise.questions, name: dataclasses.replace(exercise.questions[name], points=points)}
    return exercise


def test_a_notebook_without_a_script(course):
    publishing.build([course])
    course.unlink()
    (orphan,) = publishing.sources(course.parents[2])
    assert "no such script" in publishing.check([orphan])[0]


def test_nothing_there(tmp_path):
    with pytest.raises(NotebookError, match="expected solutions/source"):
        publishing.sources(tmp_path)


# ---- what an author may get wrong


@pytest.mark.parametrize(
    "old, new, problem",
    [
        ('question="gap"', 'question="gop"', "there is no question 'gop'.*scaled, total, gap"),
        ('question="gap"', 'question="total"', "'total' is asked 2 times"),
        ('question="gap"', "", "'gap' is asked 0 times"),
        ('question="gap"', 'qestion="gap"', "nothing reads qestion"),
        ('question="gap"', "", r"\(gap = ...\): has a solution and answers no question"),
        ('tags=["solution"]', 'tags=["solutoin"]', "the only tag is 'solution'"),
        ('question="gap"', 'question="gap" tags=["solution"]', "the only tag is 'solution'"),
        ("### BEGIN SOLUTION", "### BEGIN", "between ### BEGIN SOLUTION and"),
        ("gap = ...", "gap = = 1", "should be Python code"),
        ("gap = ...", "### BEGIN HIDDEN TESTS\n### END HIDDEN TESTS", "hidden tests are added here"),
        ('exercise = Exercise("99")', "pass", "first code cell should contain: exercise = Exercise"),
    ],
)
def test_refused(course, old, new, problem):
    course.write_text(course.read_text().replace(old, new))
    with pytest.raises(NotebookError, match=problem):
        publishing.build([course])
    assert not any(path.exists() for path in publishing.targets(course))


def test_no_such_exercise(course):
    with pytest.raises(NotebookError, match="98_small.*no exercise '98'"):
        publishing.generate(course.rename(course.with_name("98_small.py")))


def test_what_nbgrader_refuses_is_told(course):
    notebook = publishing.generate(course)
    notebook.cells[-1].source = "### BEGIN HIDDEN TESTS\n### END HIDDEN TESTS"
    with pytest.raises(NotebookError, match="Hidden test region detected in a non-grade cell"):
        publishing.release({"99_small": notebook})


# ---- commands


def test_command_build(course):
    directory, run = course.parents[2], CliRunner().invoke
    assert run(app, ["course", "build", str(directory), "--check"]).exit_code == 1
    done = run(app, ["course", "build", str(directory)])
    assert done.exit_code == 0 and "exercises/99_small/99_small.ipynb" in done.output
    assert "agree with their sources: 99_small" in run(app, ["course", "build", str(directory), "--check"]).output


def test_command_init(course, tmp_path):
    publishing.build([course])
    place, run = tmp_path / "class", CliRunner().invoke
    arguments = ["course", "init", str(place), "--solutions", str(tmp_path / "solutions")]
    done = run(app, arguments)
    assert done.exit_code == 0 and "99_small" in done.output
    assert sorted(path.name for path in place.iterdir()) == ["README.md", "nbgrader_config.py", "source"]
    assert (place / "source/99_small/99_small.ipynb").read_bytes() == publishing.targets(course)[0].read_bytes()
    again = run(app, arguments)
    assert again.exit_code == 1 and "not an empty directory" in again.output
    none = run(app, ["course", "init", str(tmp_path / "third"), "--solutions", str(tmp_path / "nowhere")])
    assert none.exit_code == 1 and "not with" in none.output and not (tmp_path / "third").exists()
