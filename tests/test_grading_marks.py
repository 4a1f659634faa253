"""What `vaekit grade` keeps of a class: records that it believes, marks that nobody's edits are lost from."""

import csv
import json

import pytest
from test_grading import notebook, report, run

from vaekit.course.grader.folder import grade_folder
from vaekit.course.grader.marks import Records, write_marks

pytestmark = pytest.mark.once

GRADE = "vaekit.course.grader.folder.grade_notebook"


@pytest.fixture
def graded(monkeypatch):
    """The names of notebooks that are graded, all with the same report."""
    names = []
    monkeypatch.setattr(GRADE, lambda path, *_, **__: names.append(path.stem) or report())
    return names


def marks(out):
    with open(out / "marks.csv", newline="", encoding="utf-8") as stream:
        return {row["learner"]: row for row in csv.DictReader(stream)}


def test_records_are_believed_if_this_folder_wrote_them(tmp_path, graded):
    folder, out, elsewhere = tmp_path / "class", tmp_path / "out", tmp_path / "elsewhere"
    names = ["01a", "01b", "01c", "01d", "01e"]
    for name in names:
        notebook(folder / f"{name}.ipynb", "1")
    for results in (out, elsewhere):
        dict(grade_folder(folder, results))
    del graded[:]
    files = {name: Records(out)._place(name) for name in names}
    raised = json.loads(files["01a"].read_text())
    files["01a"].write_text(json.dumps({**raised, "earned": 31.0}))
    files["01b"].write_text(files["01c"].read_text())
    files["01d"].write_text((elsewhere / "records" / files["01d"].name).read_text())
    files["01e"].write_text('{"a": ' * 10_000)
    dict(grade_folder(folder, out))
    assert sorted(graded) == ["01a", "01b", "01d", "01e"]


def test_a_record_without_a_field_is_graded_again(tmp_path, graded, monkeypatch):
    """As an older version wrote it."""
    folder, out = tmp_path / "class", tmp_path / "out"
    notebook(folder / "01.ipynb", "1")
    with monkeypatch.context() as patch:
        patch.setattr(
            "vaekit.course.grader.marks.record_of", lambda report, key: {"key": key, "problem": "", "earned": 1}
        )
        dict(grade_folder(folder, out))
    assert dict(grade_folder(folder, out))["01"]["points"] == report().points and graded == ["01", "01"]


def test_marks_that_were_edited_are_kept(tmp_path, graded):
    folder, out = tmp_path / "class", tmp_path / "out"
    notebook(folder / "01a.ipynb", "1")
    for n in (1, 2):
        assert "had been edited" not in run(folder, "--out", out).output
        (out / "marks.csv").write_text(f"mine {n}")
        assert f"it is kept as marks.edited-{n}.csv" in run(folder, "--out", out).output
        assert (out / f"marks.edited-{n}.csv").read_text() == f"mine {n}" and set(marks(out)) == {"01a"}


@pytest.mark.parametrize(
    "text, written",
    [
        ("=1+1", "'=1+1"),
        ("a;=1+1; -2;+3;@4", "a;'=1+1;' -2;'+3;'@4"),
        ("\t=1", "'\t'=1"),
        ("\tx", "'\tx"),
        ("\rx", "'\rx"),
        (" =1", "' =1"),
        ("＝1", "'＝1"),
        ("＋1;＠2", "'＋1;'＠2"),
        ("a-b=c;d", "a-b=c;d"),
    ],
)
def test_no_cell_is_a_formula(tmp_path, text, written):
    write_marks(tmp_path, {text: {"problem": ""}})
    assert list(marks(tmp_path)) == [written]


def test_marks_add_up(tmp_path):
    record = {"earned": 2.0, "points": 3.0, "questions": {"a": 2 / 3, "b": 4 / 3}, "problem": ""}
    write_marks(tmp_path, {"ada": record})
    row = marks(tmp_path)["ada"]
    assert row["a"] == "0.6667" and float(row["a"]) + float(row["b"]) == pytest.approx(float(row["earned"]), abs=1e-4)
