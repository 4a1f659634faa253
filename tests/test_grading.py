"""`vaekit grade`: what it reads, what it trusts, what it says, and that a folder's marks survive an interruption."""

import csv
import io
import json
import os
import struct
import threading
import types

import numpy as np
import pytest
from typer.testing import CliRunner

from vaekit import cli
from vaekit.course import show
from vaekit.course.exercise import PROGRESS, Exercise, progress
from vaekit.course.grader import command, messages
from vaekit.course.grader.errors import GradingError, StepError
from vaekit.course.grader.folder import grade_folder, page_of, write_marks
from vaekit.course.grader.grade import _observation, grade_notebook, version
from vaekit.course.grader.notebook import clean, code_cells, exercise_number, read_notebook
from vaekit.course.grader.report import Report, page
from vaekit.course.observe import Fault
from vaekit.course.questions.judge import unobserved

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("fast_processes")]

IMPORTS = "from keras import ops\nfrom vaekit.course.exercise import Exercise\nexercise = Exercise('01')"
RIGHT = "def gaussian_sample(mean, log_variance, noise):\n    return mean + ops.exp(0.5 * log_variance) * noise"
WRONG = "def gaussian_sample(mean, log_variance, noise):\n    return mean + ops.exp(log_variance) * noise"
CHECK = "exercise.check(gaussian_sample)"
GRADE = "vaekit.course.grader.folder.grade_notebook"


def notebook(path, *cells, metadata=None):
    made = [{"cell_type": "code", "source": cell, "metadata": {}, "outputs": []} for cell in cells]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": metadata or {}, "cells": made}))
    return path


def run(*arguments):
    return CliRunner().invoke(cli.app, ["grade", *map(str, arguments)])


# ---- notebooks


def sparse(path):
    with open(path, "wb") as stream:
        stream.truncate(2 << 30)


@pytest.mark.parametrize(
    "make, message",
    [
        (sparse, "2,147 MB, more than the 20 MB"),
        (lambda path: path.write_text("{'cells': []}"), "not JSON"),
        (lambda path: path.write_bytes(b"\xff\xfe\x00"), "not JSON"),
        (lambda path: path.write_text("[" * 10**6), "not JSON"),
        (lambda path: path.write_text("[]"), "no cells"),
        (lambda path: path.write_text('{"cells": [1]}'), "no cells"),
        (lambda path: path.write_text('{"worksheets": []}'), "before 2015"),
        (lambda path: path.mkdir(), "not a file"),
        (lambda path: os.mkfifo(path), "not a file"),
        (lambda path: None, "No such file"),
    ],
)
def test_what_is_no_notebook(tmp_path, make, message):
    make(tmp_path / "01.ipynb")
    with pytest.raises(GradingError, match=message):
        read_notebook(tmp_path / "01.ipynb")


def test_number_of_the_exercise():
    metadata = {"metadata": {"vaekit": {"exercise": "01"}}}
    assert exercise_number(metadata, "mine.ipynb") == "01"
    assert exercise_number({}, "01_reparameterization.ipynb") == "01"
    for found in ({"metadata": {"vaekit": {"exercise": ["01"]}}}, {"metadata": 1}, {}):
        with pytest.raises(GradingError, match="names no exercise: expected its number, one of 01"):
            exercise_number(found, "mine.ipynb")


def test_tests_of_nbgrader_are_not_run():
    def cell(source, kind="code", **nbgrader):
        return {"cell_type": kind, "source": source, "metadata": {"nbgrader": nbgrader} if nbgrader else {}}

    cells = [cell("a"), cell("b", "markdown"), cell("c", grade=True, solution=False), cell(["d", "\n", "e", 1])]
    cells += [cell("f", grade=True, solution=True), cell("g", grade=False, locked=True), cell("  "), cell(None)]
    assert code_cells({"cells": cells}) == ["a", "d\ne", "f", "g"]


def test_texts_of_others_are_short_and_plain():
    nested = []
    for _ in range(2000):  # more than `str` takes
        nested = [nested]
    assert clean(nested).startswith("[[[")
    with pytest.raises(GradingError, match=r"found \[\[\["):
        exercise_number({"metadata": {"vaekit": {"exercise": nested}}}, "mine.ipynb")
    assert clean("a\x1b[31m\nred\u202e\x00 b") == "a [31m red b"
    assert len(clean("x" * 10**6)) < 700


# ---- messages


def test_message_arrives():
    inputs = {"x": np.arange(6.0).reshape(2, 3), "n": np.array(3), "k": np.float32(0.5), "text": "ü", "flag": True}
    inputs["none"] = np.zeros((0, 2), bool)
    plain, arrays = messages.packed(inputs)
    stream = io.BytesIO()
    messages.write(stream, {"inputs": plain}, arrays)
    stream.seek(0)
    header, arrays = messages.read(stream)
    arrived = messages.unpacked(header["inputs"], arrays)
    assert arrived.keys() == inputs.keys() and messages.read(stream) is None
    for name, value in inputs.items():
        np.testing.assert_array_equal(arrived[name], value)
    assert arrived["x"].dtype == np.float64 and arrived["x"].flags.writeable


def message(header, body=b"", head_length=None, body_length=None):
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    lengths = (len(head) if head_length is None else head_length, len(body) if body_length is None else body_length)
    return struct.pack(">II", *lengths) + head + body


@pytest.mark.parametrize(
    "content",
    [
        b"abc",
        message(b"{}", head_length=4_000_000_000),
        message(b"{}", body_length=4_000_000_000),
        message(b"{}", head_length=10),
        message({"arrays": []}, b"12345678"),
        message(b"not json"),
        message(b"[" * 100_000),
        message(b'{"arrays": [], "fault": ["error", ' + b"[" * 20 + b"]" * 20 + b"]}"),
        message(b"[]"),
        message({}),
        message({"arrays": [["float64", [0]]] * 1001}),
        message({"arrays": [["object", [1]]]}, b"12345678"),
        message({"arrays": [["float64", [-1]]]}),
        message({"arrays": [["float64", [1 << 40, 1 << 40]]]}),
        message({"arrays": [["float64", [True]]]}, b"12345678"),
        message({"arrays": [["float64", [1.0]]]}, b"12345678"),
        message({"arrays": [["float64", [2]]]}, b"12345678"),
        message({"arrays": [["float64", [1] * 33]]}, b"12345678"),
        message({"arrays": [["float64"]]}),
        message({"arrays": [1]}),
        message(b'{"arrays": [["float64", [' + b"9" * 5000 + b"]]]}"),
    ],
)
def test_what_is_no_message(content):
    with pytest.raises(messages.Malformed):
        messages.read(io.BytesIO(content))


def test_more_than_one_wants_to_read():
    stream = io.BytesIO(2 * message({"arrays": [["uint8", [600]]]}, bytes(600)))
    metered = messages.Metered(stream, 1000)
    assert messages.read(metered)[1][0].size == 600
    with pytest.raises(messages.Malformed, match="more than"):
        messages.read(metered)


@pytest.mark.parametrize(
    "header, arrays",
    [
        ({}, []),
        ({"names": ["value"]}, []),
        ({"names": [1]}, [np.zeros(2)]),
        ({"names": ["value"]}, [np.zeros(2, np.int64)]),
        ({"fault": ["all is right", "everything"]}, []),
        ({"fault": [["time"], "x"]}, []),
    ],
)
def test_what_is_no_reply(header, arrays):
    with pytest.raises(StepError, match="neither arrays nor an error"):
        _observation(header, arrays)


def test_replies():
    assert _observation({"fault": ["time", "a\x1b b"]}, []) == Fault("time", "a b")
    assert _observation({"names": ["a"]}, [np.ones(2)])["a"].tolist() == [1, 1]
    partly = {"names": [], "faults": {"restored": ["config_without_seed", "no seed"]}}
    assert _observation(partly, []) == {"restored": Fault("config_without_seed", "no seed")}


# ---- one notebook


def test_notebook(tmp_path):
    path = notebook(tmp_path / "01.ipynb", IMPORTS, WRONG, CHECK, "raise ValueError('<script>alert(1)')")
    result = run(path, "--html", tmp_path / "feedback.html", "--seed", 7, "--hints", 2)
    assert result.exit_code == 0, result.output
    question = Exercise("01").questions["gaussian_sample"]
    for expected in ("Isolated from this computer", "multiplied the noise by the variance", "--seed 7"):
        assert expected in result.output
    first, second, third = map(show.plain, question.hints)
    assert first in result.output and second in result.output and third not in result.output
    assert "Code cell 4: it raised ValueError" in result.output
    shown = (tmp_path / "feedback.html").read_text()
    assert "multiplied the noise by the variance" in shown and "<script" not in shown and "&lt;script" in shown


def test_what_cannot_be_graded(tmp_path):
    sparse(tmp_path / "large.ipynb")
    for arguments, expected in (
        ([tmp_path / "absent.ipynb"], "There is no"),
        ([tmp_path / "large.ipynb"], "more than the 20 MB"),
        ([tmp_path], "A folder is graded with --out"),
        ([tmp_path / "large.ipynb", "--out", tmp_path / "out"], "A folder is graded with --out"),
    ):
        result = run(*arguments)
        assert result.exit_code == 1 and expected in result.output and "Traceback" not in result.output
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "no notebooks" in run(empty, "--out", tmp_path / "out").output


def test_isolation_can_be_required(tmp_path, monkeypatch):
    """Without its sandbox nothing is isolated: that is said, and the notebook is not run."""
    shut_in = command.shut_in
    monkeypatch.setattr(command, "shut_in", lambda *arguments: shut_in(*arguments, layers=()))
    path = notebook(tmp_path / "01.ipynb", f"open({str(tmp_path / 'run')!r}, 'w').close()")
    with pytest.raises(GradingError, match="not everything is isolated .*network: connections are possible"):
        grade_notebook(path, require_isolation=True)
    assert not (tmp_path / "run").exists()


def test_a_process_that_does_not_start_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "backend", types.SimpleNamespace(NAME="none"))
    with pytest.raises(GradingError, match="did not start: .*none"):
        grade_notebook(notebook(tmp_path / "01.ipynb", "1"))


def test_grading_can_be_stopped(tmp_path):
    stopped = threading.Event()
    stopped.set()
    with pytest.raises(KeyboardInterrupt):
        grade_notebook(notebook(tmp_path / "01.ipynb", "1"), stopped=stopped)


# ---- a folder


def marks(out):
    with open(out / "marks.csv", newline="", encoding="utf-8") as stream:
        return {row["learner"]: row for row in csv.DictReader(stream)}


def test_folder(tmp_path, monkeypatch):
    folder, out = tmp_path / "class", tmp_path / "class" / "out"
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


def test_marks_outlive_edits_that_change_no_program(tmp_path, monkeypatch):
    """Comments, layout and docstrings of a set and of the judging may change; neither a number nor a text may."""
    rooms = {name: tmp_path / name for name in ("exercises", "questions", "observe")}
    source = '"""About."""\n\n\ndef twice(x):\n    """Doubles."""\n    return 2 * x  # why\n\n\nHINT = "look"\n'
    for name, room in rooms.items():
        room.mkdir()
        monkeypatch.setattr(f"vaekit.course.{name}.__file__", str(room / "__init__.py"))
        for file in ("__init__.py", "e01.py", "e02.py"):
            (room / file).write_text(source)
    before = version("01"), version("02")
    assert before[0] != before[1]
    edited = '"""Of numbers."""\n# new\ndef twice(x):\n    "Other words."\n    return (\n2 * x)\nHINT = "look"\n'
    for room in rooms.values():
        (room / "e01.py").write_text(edited)
    assert (version("01"), version("02")) == before
    for change in (("2 * x", "3 * x"), ('"look"', '"look again"')):
        for name, room in rooms.items():
            (room / "e01.py").write_text(edited.replace(*change))
            assert version("01") != before[0] and (version("02") == before[1]) == (name == "exercises")
            (room / "e01.py").write_text(edited)


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


def report(verdict=None):
    verdict = verdict or unobserved(Exercise("01").questions["gaussian_sample"], Fault("missing", "nothing."))
    return Report("01", "title", (verdict,), (), {}, 5, 1.0)


@pytest.fixture
def graded(monkeypatch):
    """The names of notebooks that are graded, all with the same report."""
    names = []
    monkeypatch.setattr(GRADE, lambda path, *_, **__: names.append(path.stem) or report())
    return names


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


def test_progress_that_was_edited(tmp_path, monkeypatch):
    """What is no number is as if it were not there; no share is more than all."""
    path = tmp_path / "progress.json"
    monkeypatch.setenv("VAEKIT_PROGRESS", str(path))
    shares = {"gaussian_sample": 5, "exponential_sample": "x", "log_normal": None, "truncated_normal_sample": 0.95}
    path.write_text(json.dumps({"01": {**shares, "score_function": -1, "samples_worth": float("nan"), "other": True}}))
    result = CliRunner().invoke(cli.app, ["progress"])
    assert result.exit_code == 0, result.output
    question = Exercise("01").questions["gaussian_sample"]
    lines = {line.split("  ")[-1].strip(): line for line in result.output.splitlines()}
    assert "█" * 10 in lines[question.title] and "█" * 11 not in result.output
    assert f"{question.points:g} of {question.points:g}" in lines[question.title]
    assert f"{'█' * 9}░" in lines[Exercise("01").questions["truncated_normal_sample"].title]
    assert result.output.count("░" * 10) == len(lines) - 4  # all but these two and the exercises' own lines
    assert PROGRESS.read() == {"01": {"gaussian_sample": 1, "truncated_normal_sample": 0.95, "score_function": 0}}
    PROGRESS.put("01", "exponential_sample", 0.5)
    assert progress()["01"]["exponential_sample"] == 0.5


def test_feedback_escapes():
    verdict = unobserved(
        Exercise("01").questions["gaussian_sample"], Fault("error", "it raised `<b>` <img src=x> **now**")
    )
    report = Report("01", "title", (verdict,), ("<i>",), {}, 5, 1.0)
    shown = page(report, Exercise("01"), "<name>")
    assert "<code>&lt;b&gt;</code> &lt;img src=x&gt; <b>now</b>" in shown
    assert "<img" not in shown and "<i>" not in shown and "<name>" not in shown
