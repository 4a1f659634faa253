"""`vaekit grade` of a class: what is handed in, what is kept, and that each problem is its owner's alone."""

import json
import os
from pathlib import Path

import pytest
from test_grading import CHECK, IMPORTS, RIGHT, WRONG, notebook, report, run, sparse
from test_grading_marks import GRADE, marks

from vaekit.course.exercise import Exercise
from vaekit.course.grader.errors import GradingError
from vaekit.course.grader.folder import grade_folder
from vaekit.course.grader.marks import page_of
from vaekit.course.grader.notebook import deleted_cells, edited_cells

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("fast_processes")]

EXERCISES = Path(__file__).parents[1] / "exercises"


@pytest.fixture
def graded(monkeypatch):
    """The names of notebooks that are graded, all with the same report."""
    names = []
    monkeypatch.setattr(GRADE, lambda path, *_, **__: names.append(path.stem) or report())
    return names


def test_folder(tmp_path, monkeypatch):
    folder, out = tmp_path / "class", tmp_path / "out"
    notebook(folder / "ada" / "01.ipynb", IMPORTS, RIGHT, CHECK)
    notebook(folder / "=cmd" / "01.ipynb", IMPORTS, WRONG)
    notebook(folder / "eve" / ".ipynb_checkpoints" / "01.ipynb", RIGHT)
    sparse(folder / "large.ipynb")
    (folder / "text.ipynb").write_text("text")
    (folder / "link.ipynb").symlink_to(folder / "ada" / "01.ipynb")
    result = run(folder, "--out", out, "--jobs", 2)
    assert result.exit_code == 1 and "2 of 5 notebooks graded" in result.output, result.output
    question = Exercise("01").questions["gaussian_sample"]
    rows = marks(out)
    assert set(rows) == {"ada/01", "'=cmd/01", "large", "link", "text"}
    assert float(rows["ada/01"]["gaussian_sample"]) == question.points
    assert float(rows["'=cmd/01"]["gaussian_sample"]) == 0 and int(rows["ada/01"]["seed"]) >= 0
    assert [rows[name]["problem"].split(":")[0][:12] for name in ("large", "link", "text")] == [
        "it has 2,147",
        "it is a link",
        "it is not a ",
    ]
    assert "you multiplied" in (out / "feedback" / "=cmd" / "01.html").read_text()

    def grade(*_, **__):
        raise GradingError("graded again")

    monkeypatch.setattr(GRADE, grade)
    assert "2 of 5 notebooks graded" in run(folder, "--out", out).output and marks(out) == rows
    notebook(folder / "ada" / "01.ipynb", RIGHT, IMPORTS)
    assert dict(grade_folder(folder, out))["ada/01"]["problem"] == "graded again"
    assert not (out / "feedback" / "ada" / "01.html").exists()  # of what was handed in before


def test_an_interruption_loses_nothing(tmp_path, monkeypatch):
    """What was graded before a Ctrl-C is not graded again; a problem is looked at again."""
    graded = []

    def grade(path, *_, **__):
        graded.append(path.parent.name)
        if graded == ["a", "b", "c"]:
            raise KeyboardInterrupt
        if path.parent.name == "b":
            raise GradingError("it did not start.")
        return report()

    monkeypatch.setattr(GRADE, grade)
    for name in "abcd":
        notebook(tmp_path / "class" / name / "01.ipynb", "1")
    first = run(tmp_path / "class", "--out", tmp_path / "out", "--jobs", 1)
    assert first.exit_code == 1 and "The same command goes on" in first.output
    assert set(marks(tmp_path / "out")) >= {"a/01", "b/01"} and graded[:3] == ["a", "b", "c"]
    second = run(tmp_path / "class", "--out", tmp_path / "out", "--jobs", 1)
    assert graded.count("a") == 1 and graded.count("b") == 2 and set(graded[3:]) >= {"b", "c"}
    assert "3 of 4 notebooks graded" in second.output and set(marks(tmp_path / "out")) == {f"{n}/01" for n in "abcd"}
    assert "The same content: a/01, b/01, c/01, d/01" in second.output


def test_what_is_handed_in_instead_of_a_notebook(tmp_path, graded, monkeypatch):
    """A row for each, with the problem, and exit status 1; what stands beside a notebook is nobody's problem."""
    folder, out = tmp_path / "class", tmp_path / "out"
    notebook(folder / "ada" / "01.ipynb", "1")
    notebook(folder / os.fsdecode(b"\xff") / "01.ipynb", "1")
    listdir = os.listdir

    def unreadable(path):
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return listdir(path)

    monkeypatch.setattr(os, "listdir", unreadable)
    expected = {"eve/.ipynb": "no name", "closed": "cannot be read: Permission denied", "html": "no notebook in it"}
    expected |= {"linked": "link to another folder", "deep" + "/x" * 20: "more than 20 folders"}
    files = ("01.IPYNB", "01.ipynb.txt", "01.ipynb.zip", "01.py", "01.TAR.gz")
    expected |= {f"bob/{name}": "is not a notebook" for name in files}
    beside = ("ada/data.csv", "ada/data/more.csv", "eve/.hidden.ipynb", "closed/01.ipynb", "html/01.html", "html/x.css")
    for name in (*(name for name in expected if name.startswith(("bob", "eve"))), *beside):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("text")
    (folder / "linked").symlink_to(folder / "ada")
    (folder / ("deep" + "/x" * 100)).mkdir(parents=True)
    result = run(folder, "--out", out)
    assert result.exit_code == 1 and "2 of 12 notebooks graded" in result.output, result.output
    rows = marks(out)
    problems = {name: row["problem"] for name, row in rows.items() if row["problem"]}
    assert (
        set(problems) == set(expected)
        and graded == ["01", "01"]
        and set(rows) - set(expected) == {"ada/01", "\\udcff/01"}
    )
    assert all(says in problems[name] for name, says in expected.items()), problems


def test_names_that_collide(tmp_path, graded):
    """With another's name, or with the page of another's feedback."""
    folder, out = tmp_path / "class", tmp_path / "out"
    long = "x" * 230
    for name in ("a.zip", long, page_of(out, long).stem):
        notebook(folder / f"{name}.ipynb", "1", metadata={"vaekit": {"exercise": "01"}})
    (folder / "a.zip").write_text("")
    found = dict(grade_folder(folder, out))
    assert [name for name, record in found.items() if record["problem"]] == ["a.zip (2)"] and len(graded) == 3
    assert len({page_of(out, name) for name in found}) == 4 and len(list(out.rglob("*.html"))) == 3


def cells_of(number):
    (path,) = EXERCISES.glob(f"{number}_*/*.ipynb")
    return json.loads(path.read_text())["cells"]


def test_which_exercise_it_is(tmp_path, graded):
    """Metadata, name and cells are to agree: else the same work would count twice, or for nothing."""
    folder, out = tmp_path / "class", tmp_path / "out"
    for name, number, cells in (
        ("ada/01", "01", "01"),
        ("ada/02", "01", "01"),  # the same once more
        ("bob/02", "02", "01"),
        ("cem/01", None, "02"),
        ("dan/02", None, "02"),
        ("eve/mine", "02", "02"),
    ):
        path = notebook(folder / f"{name}.ipynb", metadata={"vaekit": {"exercise": number}} if number else {})
        path.write_text(json.dumps({**json.loads(path.read_text()), "cells": cells_of(cells)}))
    found = dict(grade_folder(folder, out))
    problems = {name: record["problem"] for name, record in found.items() if record["problem"]}
    assert set(problems) == {"ada/02", "bob/02", "cem/01"} and sorted(graded) == ["01", "02", "mine"]
    assert "It is 01 by its metadata, 02 by the file's name, 01 by its cells." in problems["ada/02"]
    assert "It is 01 by the file's name, 02 by its cells." in problems["cem/01"]


def test_deleted_cells_are_named():
    cells, questions = cells_of("02"), Exercise("02").questions
    assert deleted_cells({"cells": cells}, questions) == []
    gone = ["given-1", "kl_divergence", "kl_divergence-test", "mended_loss-test"]
    left = [cell for cell in cells if cell["metadata"].get("nbgrader", {}).get("grade_id") not in gone]
    assert deleted_cells({"cells": left}, questions) == gone
    assert deleted_cells({"cells": [{"cell_type": "code", "source": "1"}]}, questions) == []


def test_edited_cells_are_named():
    cells = [cell for number in ("01", "02") for cell in cells_of(number)]
    assert edited_cells({"cells": cells}) == []  # as they were given out
    given = [cell for cell in cells if cell["metadata"].get("nbgrader", {}).get("grade_id") == "given-1"]
    given[1]["source"] = ["import keras\n", 3]
    assert len(given) == 2 and edited_cells({"cells": cells}) == ["given-1"]
    for source in (3, None, {}, "\ud800"):  # whatever a cell may hold
        assert edited_cells({"cells": [{**given[0], "source": source}]}) == ["given-1"]
    for told in ([], {"grade_id": ["given-1"], "checksum": "0"}, {"grade_id": "given-1", "checksum": 0}):
        assert edited_cells({"cells": [{**given[0], "metadata": {"nbgrader": told}}]}) == []


def test_what_is_read_is_what_is_graded_and_kept(tmp_path, monkeypatch):
    """Also where somebody puts another file in its place, or a link to one, while the class is graded."""
    folder, out = tmp_path / "class", tmp_path / "out"
    for name in ("01a", "01b", "01c", "d/01"):
        notebook(folder / f"{name}.ipynb", name)
    other, seen = notebook(tmp_path / "solution.ipynb", "solution"), []

    def grade(path, *_, notebook, **__):
        seen.append(notebook["cells"][0]["source"])
        if seen == ["01a"]:
            (folder / "01b.ipynb").write_text(other.read_text())
            (folder / "01c.ipynb").unlink()
            (folder / "01c.ipynb").symlink_to(other)
            (folder / "d").rename(tmp_path / "moved")
            (folder / "d").symlink_to(tmp_path / "moved")
        return report()

    monkeypatch.setattr(GRADE, grade)
    found = dict(grade_folder(folder, out))
    assert seen == ["01a", "solution"] and "it is a link" in found["01c"]["problem"]
    assert "it is a link to another folder" in found["d/01"]["problem"]
    (folder / "01c.ipynb").unlink()
    for name in ("01b", "01c"):
        notebook(folder / f"{name}.ipynb", name)
    dict(grade_folder(folder, out))
    assert seen == ["01a", "solution", "01b", "01c"]


@pytest.mark.parametrize("place", [".", "out", "a/out"])
def test_marks_do_not_stand_among_submissions(tmp_path, graded, place):
    notebook(tmp_path / "01.ipynb", "1")
    result = run(tmp_path, "--out", tmp_path / place)
    assert result.exit_code == 1 and "cannot stand among the submissions" in result.output and not graded
    assert os.listdir(tmp_path) == ["01.ipynb"]


def test_names_that_are_hard_to_write(tmp_path, graded):
    """As long as names can be; and a folder that is called as a page is."""
    folder, out = tmp_path / "class", tmp_path / "out"
    names = ["x" * 230, "y" * 249, "ä" * 120, "page", "page.html/01", f"{'z' * 200}.html/{'z' * 200}/01"]
    for name in names:
        notebook(folder / f"{name}.ipynb", "1", metadata={"vaekit": {"exercise": "01"}})
    found = dict(grade_folder(folder, out))
    assert set(found) == set(names) and not any(record["problem"] for record in found.values()), found
    pages = {page_of(out, name) for name in names}
    assert len(pages) == len(names) and all(path.is_file() for path in pages)
    assert (out / "feedback" / "page.html") in pages and not list(out.rglob("*.part"))
    dict(grade_folder(folder, out))
    assert len(graded) == len(names)


def test_one_that_fails_does_not_stop_the_class(tmp_path, graded):
    """Neither in grading nor in writing; it is looked at again."""
    folder, out = tmp_path / "class", tmp_path / "out"
    for name in ("01a", "01b", "01c"):
        notebook(folder / f"{name}.ipynb", name)
    (out / "feedback" / "01a.html" / "in the way").mkdir(parents=True)
    result = run(folder, "--out", out, "--jobs", 1)
    assert result.exit_code == 1 and "2 of 3 notebooks graded" in result.output and "Traceback" not in result.output
    assert (
        "the grader failed, with IsADirectoryError" in marks(out)["01a"]["problem"] and marks(out)["01c"]["seed"] == "5"
    )
    (out / "feedback" / "01a.html" / "in the way").rmdir()
    (out / "feedback" / "01a.html").rmdir()
    assert "3 of 3 notebooks graded" in run(folder, "--out", out, "--jobs", 1).output
    assert graded == ["01a", "01b", "01c", "01a"]


def test_again(tmp_path, graded):
    """One that is named is graded once more; a name of none is an error, before anything is graded."""
    folder, out = tmp_path / "class", tmp_path / "out"
    for name in ("01a", "01b", "=01c"):
        notebook(folder / f"{name}.ipynb", name, metadata={"vaekit": {"exercise": "01"}})
    assert run(folder, "--out", out, "--jobs", 1).exit_code == 0 and len(graded) == 3
    assert run(folder, "--out", out, "--again", "01b", "--again", "'=01c").exit_code == 0
    assert sorted(graded[3:]) == ["01b", "=01c"]
    result = run(folder, "--out", out, "--again", "01b", "--again", "01d")
    assert result.exit_code == 1 and "no submission '01d' to grade again" in result.output and len(graded) == 5
    assert "--again names submissions of a folder" in run(folder / "01a.ipynb", "--again", "01a").output
