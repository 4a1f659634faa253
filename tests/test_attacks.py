"""Attacks on the grader. Each would give the right answer, or leave a trace, if it succeeded; none does, and what
stands beside it keeps its marks. Each is bounded: some hundred processes, a few GB, loopback only.
"""

import contextlib
import json
import os
import socket
import sys
import tempfile
import types
from pathlib import Path

import psutil
import pytest

from vaekit.course import exercises, questions
from vaekit.course.grader import command, grade, messages, process
from vaekit.course.grader.errors import GradingError
from vaekit.course.grader.grade import grade_notebook
from vaekit.course.grader.usage import Limits
from vaekit.course.questions import Function

pytestmark = [pytest.mark.once, pytest.mark.thorough, pytest.mark.usefixtures("fast_processes", "short_grace")]
linux = pytest.mark.skipif(sys.platform != "linux", reason="other systems isolate less, and say so")
LIMITS = Limits(cell=1, notebook=300, memory=3 << 29, disk=16 << 20, processes=150, starts=20)


@pytest.fixture
def short_grace(monkeypatch):
    monkeypatch.setattr(process, "GRACE", 0.5)


def notebook(path, *cells, **metadata):
    made = [{"cell_type": "code", "source": cell, "metadata": {}, "outputs": []} for cell in cells]
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": made}))
    return path


def exercise(names):
    """A question for each name: twice x."""

    def question(name):
        draw = lambda rng: [{"x": rng.normal(size=3)}]  # noqa: E731
        seconds = SECONDS.get(name, 30.0)
        return Function(name, name, points=1, takes="x", draw=draw, answer="return 2 * x", seconds=seconds)

    return types.SimpleNamespace(number="90", title="Attacks", questions={name: question(name) for name in names})


SETUP = """
import ctypes, glob, importlib, mmap, os, signal, socket, struct, subprocess, sys, threading, time
import numpy as np

PATHS = {paths}
GRADER = {grader}
PORT = {port}
MODULES = {modules}


def others():
    own = [int(number) for number in os.listdir("/proc/self/task")]
    return [number for number in [GRADER, os.getppid(), 1, *range(1, 400)] if number not in own]
"""
ANSWERS = {  # those that cost a process next to each other: the first of them is tried twice
    "good_first": ("", "return 2 * x"),
    "endless_loop": ("time", "while True:\n    pass"),
    "endless_output": ("time", "while True:\n    print('x' * 1000)\n    os.write(2, b'x' * 1000)"),
    "sys_exit": ("error", "sys.exit(0)"),
    "os_exit": ("killed", "os._exit(0)"),
    "stubborn_loop": ("time", "while True:\n    try:\n        time.sleep(1)\n    except BaseException:\n        pass"),
    "forged_frames": (
        "refused",
        'head = b\'{"names": ["value"], "arrays": [["float64", [2]]]}\'\n'
        "frame = struct.pack('>II', len(head), 16) + head + struct.pack('dd', 2, 4)\n"
        "for number in range(3, 64):\n    try:\n        os.write(number, frame)\n    except OSError:\n        pass\n"
        "return 2 * x",
    ),
    "hoard": (
        "",
        "global kept\nif 'kept' not in globals():\n    kept = np.ones(60 << 20)  # 0.5 GB that stay\nreturn 2 * x",
    ),
    "kill_the_grader": (
        "half",
        "for number in others():\n    try:\n        os.kill(number, signal.SIGKILL)\n"
        "    except OSError:\n        pass\nreturn x",
    ),
    "read_the_questions": (
        "error",
        "for path in PATHS:\n    for way in (lambda: os.listdir(path), lambda: open(path).read()):\n        try:\n"
        "            way()\n            return 2 * x\n        except OSError:\n            pass\n"
        "import vaekit.course.exercises.e01\nreturn 2 * x",
    ),
    "import_the_judging": ("error", "import vaekit.course.questions\nreturn 2 * x"),
    "import_what_is_replaced": (
        "half",
        "for name in MODULES:\n    sys.modules.pop(name, None)\n"
        "for name in MODULES[3:]:\n    try:\n        importlib.import_module(name)\n        return 2 * x\n"
        "    except ImportError:\n        pass\nreturn x",
    ),
    "read_the_grader": (
        "half",
        "for number in others():\n"
        "    for name in ('mem', 'environ', 'maps', 'fd', 'root/etc/passwd', 'cwd/pyproject.toml'):\n        try:\n"
        "            path = f'/proc/{number}/{name}'\n"
        "            os.listdir(path) if name == 'fd' else open(path, 'rb').read(1) or 1 / 0\n"
        "            return 2 * x\n        except (OSError, ZeroDivisionError):\n            pass\nreturn x",
    ),
    "write_outside": (
        "half",
        "for folder in ['/', '/tmp', '/dev/shm', '/etc', '/usr', os.path.dirname(os.getcwd()), sys.prefix, "
        "*map(os.path.dirname, PATHS)]:\n    try:\n"
        "        open(os.path.join(folder, 'vaekit-was-here'), 'w').close()\n        return 2 * x\n"
        "    except OSError:\n        pass\nreturn x",
    ),
    "open_a_socket": (
        "error",
        "connection = socket.create_connection(('127.0.0.1', PORT), timeout=1)\nreturn 2 * x",
    ),
    "open_a_unix_socket": (
        "error",
        "connection = socket.socket(socket.AF_UNIX)\nconnection.connect(PATHS[-1])\nreturn 2 * x",
    ),
    "send_to_a_unix_socket": (
        "half",
        "for made in (socket.socket, lambda *kind: socket.socketpair(*kind)[0]):\n"
        "    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):\n        try:\n"
        "            made(socket.AF_UNIX, kind).sendto(b'here', PATHS[-1] + '-of-datagrams')\n"
        "            return 2 * x\n"
        "        except OSError:\n            pass\nreturn x",
    ),
    "fake_score": (
        "half",
        'text = \'{"earned": 1, "points": 1, "share": 1.0}\'\nprint(text)\nsys.__stdout__.write(text)\n'
        "sys.stderr.write(text)\nopen('marks.csv', 'w').write(text)\nreturn x",
    ),
    "always_equal": (
        "refused",
        "class Equal:\n    __eq__ = __le__ = __ge__ = lambda *_: True\n    __bool__ = lambda _: True\n"
        "    __array_priority__ = 1e9\nreturn Equal()",
    ),
    "equal_array": (
        "half",
        "class Equal(np.ndarray):\n    __eq__ = __le__ = __sub__ = lambda *_: True\nreturn np.asarray(x).view(Equal)",
    ),
    "memorized": ("zero", "return {(1.0, 2.0): [2.0, 4.0]}.get(tuple(float(v) for v in x), [0.0, 0.0, 0.0])"),
    "pickled": (
        "refused",
        "class Evil:\n    def __reduce__(self):\n        return os.system, ('touch vaekit-was-here',)\n"
        "return np.array([Evil(), Evil()], dtype=object)",
    ),
    "too_much": ("refused", "return np.zeros(3_000_000)"),  # 24 MB
    "late_exit": ("", "threading.Timer(0.5, os._exit, [0]).start()\nreturn 2 * x"),  # during the next one
    "good_last": ("", "time.sleep(1)\nreturn 2 * x"),
}
SECONDS = {name: 1.0 for name, (diagnosis, _) in ANSWERS.items() if diagnosis == "time"}


@linux
def test_answers_that_attack(tmp_path, monkeypatch):
    """A notebook in which each answer but the first and the last is an attack."""
    root, heard, service_path = Path(command.__file__).parents[3], [], str(tmp_path / "service")
    make, made = tempfile.mkdtemp, []
    monkeypatch.setattr(tempfile, "mkdtemp", lambda *a, **names: made.append(make(*a, **names)) or made[-1])
    datagrams = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    with socket.socket() as server, socket.socket(socket.AF_UNIX) as service, datagrams:
        datagrams.bind(f"{service_path}-of-datagrams")
        datagrams.setblocking(False)
        for listening, address in ((server, ("127.0.0.1", 0)), (service, service_path)):
            listening.bind(address)
            listening.listen()
            listening.setblocking(False)
        hidden = [str(file) for room in (exercises, questions) for file in Path(room.__file__).parent.glob("*.py")]
        paths = [*map(os.path.dirname, hidden), *hidden, str(root / "tests"), str(root / "pyproject.toml")]
        paths += [str(tmp_path), str(tmp_path / "attacks.ipynb"), os.path.expanduser("~"), service_path]
        rooms = [f"vaekit.course.{name}" for name in ("exercises", "questions", "exercise")]
        modules = [f"vaekit.course.{Path(path).parent.name}.{Path(path).stem}" for path in hidden]
        values = {"paths": paths, "modules": [*rooms, rooms[-1], *modules]}
        setup = SETUP.format(grader=os.getpid(), port=server.getsockname()[1], **values)
        bodies = {name: body.replace("\n", "\n    ") for name, (_, body) in ANSWERS.items()}
        cells = [f"def {name}(x):\n    {body}" for name, body in bodies.items()]
        report = grade_notebook(notebook(tmp_path / "attacks.ipynb", setup, *cells), LIMITS, exercise=exercise(ANSWERS))
        for listening in (server, service):
            with contextlib.suppress(BlockingIOError):
                heard.append(listening.accept())
        with contextlib.suppress(BlockingIOError):
            heard.append(datagrams.recv(10))
    said = {verdict.question: [part.message for part in verdict.parts] for verdict in report.verdicts}
    assert {verdict.question: verdict.diagnosis for verdict in report.verdicts} == {
        name: diagnosis for name, (diagnosis, _) in ANSWERS.items()
    }, said
    for verdict in report.verdicts:
        assert verdict.earned == (0 if verdict.diagnosis else 1)
    assert (report.exposed, report.notes, heard) == ({}, (), [])
    family = psutil.Process().children(recursive=True)
    assert not [process for process in family if any("inside.py" in word for word in process.cmdline())]
    assert made and not any(map(os.path.exists, made))
    for folder in ("/", "/tmp", "/dev/shm", "/etc", "/usr", sys.prefix, tmp_path, *Path(command.__file__).parents):
        assert not Path(folder, "vaekit-was-here").exists()


CELLS = [
    "def uses(x):\n    return helper(x)\nuses(1)",  # out of order: `helper` comes later
    "while True:\n    pass",
    "import os\nos._exit(0)",
    "import sys\nsys.exit()",
    "while True:\n    try:\n        print('x' * 1000)\n    except BaseException:\n        pass",
    "import builtins, numpy, vaekit.course.observe as seen",
    "numpy.allclose = numpy.array_equal = numpy.all = seen.Fault.__eq__ = lambda *_, **__: True",
    "import vaekit.course.questions.judge as judge\njudge.judge = judge.fits = lambda *_: True",
    "from vaekit.course.exercise import Exercise\nexercise = Exercise('90')\nExercise.check = lambda *_: 'right'",
    "exercise.check(wrong)\nassert exercise.mark('wrong', globals()) == 1.0",
    "print('wrong: 1 of 1 points')",
    "import signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)",
    "def helper(x):\n    return 2 * x",
    "def wrong(x):\n    return 3 * x",
    "%matplotlib inline\n!true\nimport asyncio\nawait asyncio.sleep(0)\ndef plain(x):\n    return 2 * x",
    "def none(x):\n    raise NotImplementedError",
    "x = (",
]


def test_cells_that_attack(tmp_path):
    names = ["uses", "wrong", "plain", "none", "absent"]
    path = notebook(tmp_path / "cells.ipynb", *CELLS)
    report = grade_notebook(path, LIMITS, seed=3, exercise=exercise(names))
    marks = {verdict.question: (verdict.earned, verdict.diagnosis) for verdict in report.verdicts}
    assert marks["uses"] == (1, "") and marks["plain"] == (1, "")
    assert marks["wrong"] == (0, "factor") and marks["none"] == (0, "unanswered") and marks["absent"] == (0, "missing")
    failed = {int(note.split(":")[0].split()[-1]): note for note in report.notes}
    assert set(failed) == {2, 3, 4, 5, 8, 10, 17}
    assert "longer than 1 s" in failed[2] and "ended the program" in failed[3] and "stopped" in failed[5]
    assert "ModuleNotFoundError" in failed[8] and "SyntaxError" in failed[17]


FLOOD = """
import numpy as np
from vaekit.course.grader import messages
write = messages.write


def {name}(x):
    messages.write = lambda stream, header, arrays=(): write(stream, header, [np.zeros(1_500_000)])
    return 2 * x
"""


def test_replies_that_fill_the_memory(tmp_path, monkeypatch):
    """Each is of a size that is read; their sum is not. An answer before them keeps its marks."""
    floods = exercise(["good", *(f"flood{i}" for i in range(2))])
    path = notebook(
        tmp_path / "flood.ipynb",
        *(FLOOD.format(name=name) for name in floods.questions if name != "good"),
        "def good(x):\n    return 2 * x",
    )
    kept, judge = [], grade.judge

    def watched(question, cases, observations):
        if question.name != "good":
            kept.extend(a.nbytes for o in observations if isinstance(o, dict) for a in o.values())
        return judge(question, cases, observations)

    monkeypatch.setattr(grade, "judge", watched)
    report = grade_notebook(path, LIMITS, seed=1, exercise=floods)
    assert [verdict.earned for verdict in report.verdicts] == [1, 0, 0]
    assert sum(kept) <= 2 * messages.REPLY


@linux
def test_a_process_that_cannot_compute_costs_no_marks(tmp_path):
    """Too few threads are the grader's problem."""
    path = notebook(tmp_path / "01.ipynb", "def good(x):\n    return 2 * x")
    with pytest.raises(GradingError, match="cannot compute: .* It may use 6 processes and threads"):
        grade_notebook(path, Limits(processes=6), exercise=exercise(["good"]))
