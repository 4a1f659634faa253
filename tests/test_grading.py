"""`vaekit grade`: what it reads, what it trusts, what it says, and that a folder's marks survive an interruption."""

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
from vaekit.course.exercise import Exercise
from vaekit.course.grader import command, messages
from vaekit.course.grader.errors import GradingError, StepError
from vaekit.course.grader.grade import _observation, _Run, grade_notebook, version
from vaekit.course.grader.notebook import clean, code_cells, exercise_number, read_notebook
from vaekit.course.grader.report import Report, page
from vaekit.course.grader.usage import Limits
from vaekit.course.observe import Fault
from vaekit.course.questions.judge import unobserved

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("fast_processes")]

IMPORTS = "from keras import ops\nfrom vaekit.course.exercise import Exercise\nexercise = Exercise('01')"
RIGHT = "def gaussian_sample(mean, log_variance, noise):\n    return mean + ops.exp(0.5 * log_variance) * noise"
WRONG = "def gaussian_sample(mean, log_variance, noise):\n    return mean + ops.exp(log_variance) * noise"
CHECK = "exercise.check(gaussian_sample)"


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
    metadata = {"metadata": {"vaekit": {"exercise": "01"}}, "cells": []}
    assert exercise_number(metadata, "mine.ipynb") == "01"
    assert exercise_number({"cells": []}, "01_reparameterization.ipynb") == "01"
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
    monkeypatch.setattr(command, "shut_in", lambda *arguments, **options: shut_in(*arguments, layers=(), **options))
    path = notebook(tmp_path / "01.ipynb", f"open({str(tmp_path / 'run')!r}, 'w').close()")
    with pytest.raises(GradingError, match="not everything is isolated .*network: connections are possible"):
        grade_notebook(path, require_isolation=True)
    assert not (tmp_path / "run").exists()


def test_a_process_that_does_not_start_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "backend", types.SimpleNamespace(NAME="none"))
    with pytest.raises(GradingError, match="did not start: .*none"):
        grade_notebook(notebook(tmp_path / "01.ipynb", "1"))


def test_time_is_that_of_the_wall(tmp_path, monkeypatch):
    """Processors' time adds up over threads: on four cores, code may use four times as much."""
    monkeypatch.setattr(command, "_cores", lambda: [0, 1, 2, 3])
    arguments, _ = command.shut_in(["program"], {}, str(tmp_path), Limits(notebook=100.0))
    assert json.loads(arguments[-1])["seconds"] >= 400


def test_notes_end():
    run = _Run({"cells": []}, Exercise("01"), Limits(), 1, False, None, ())
    run.faults = dict.fromkeys(range(10_000), "x" * 600)
    assert len(run.notes()) == 31 and run.notes()[-1] == "And 9,970 more cells."


def test_grading_can_be_stopped(tmp_path):
    stopped = threading.Event()
    stopped.set()
    with pytest.raises(KeyboardInterrupt):
        grade_notebook(notebook(tmp_path / "01.ipynb", "1"), stopped=stopped)


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


# ---- feedback


def report(verdict=None):
    verdict = verdict or unobserved(Exercise("01").questions["gaussian_sample"], Fault("missing", "nothing."))
    return Report("01", "title", (verdict,), (), {}, 5, 1.0)


def test_feedback_escapes():
    verdict = unobserved(
        Exercise("01").questions["gaussian_sample"], Fault("error", "it raised `<b>` <img src=x> **now**")
    )
    report = Report("01", "title", (verdict,), ("<i>",), {}, 5, 1.0)
    shown = page(report, Exercise("01"), "<name>")
    assert "<code>&lt;b&gt;</code> &lt;img src=x&gt; <b>now</b>" in shown
    assert "<img" not in shown and "<i>" not in shown and "<name>" not in shown
