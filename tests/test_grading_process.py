"""The grader's handle on a process: what that may use, how it ends, what it leaves. No program here needs a backend."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from vaekit.course.grader import command, messages, process, sandbox
from vaekit.course.grader.errors import StepError
from vaekit.course.grader.grade import grade_notebook
from vaekit.course.grader.process import Process
from vaekit.course.grader.usage import Limits
from vaekit.course.grader.work import WorkFolder

pytestmark = [
    pytest.mark.once,
    pytest.mark.thorough,
    pytest.mark.skipif(sys.platform != "linux", reason="other systems isolate less, and say so"),
]
BESIDE = tuple(layer for layer in sandbox.LAYERS if layer != "namespaces")  # as many systems have it
LIMITS = Limits(cell=5, memory=512 << 20, disk=16 << 20, processes=60)


INSIDE = """
import importlib.util, os, sys
spec = importlib.util.spec_from_file_location("messages", sys.argv[1])
messages = importlib.util.module_from_spec(spec)
spec.loader.exec_module(messages)
requests, replies, space = os.fdopen(0, "rb"), os.fdopen(1, "wb"), {}
while (message := messages.read(requests)) is not None:
    header, arrays = message
    said = {"exposed": {}, "layers": {}, "error": ""}
    try:
        exec("".join(array.tobytes().decode() for array in arrays), space)
    except BaseException as error:
        said["error"] = type(error).__name__
    messages.write(replies, {"id": header["id"], **said})
"""


@pytest.fixture(params=[sandbox.LAYERS, BESIDE], ids=["namespaces", "beside"])
def small(request, monkeypatch):
    """A `Process` executes sources alone, and starts in a tenth of a second; the layers that there are."""

    def small_command(work, limits, hidden=()):
        arguments = [sys.executable, "-I", "-c", INSIDE, messages.__file__]
        return command.shut_in(arguments, {}, work, limits, layers=request.param, hidden=hidden)

    monkeypatch.setattr(process, "command", small_command)
    monkeypatch.setattr(process, "GRACE", 0.5)
    return request.param


def execute(running, source, seconds=20.0):
    """The name of the error that a source ends with, "" if there is none."""
    return running.ask({}, [np.frombuffer(source.encode(), np.uint8)], seconds)[0]["error"]


GREEDY = """
import ctypes, mmap, os, socket, threading, time

sleep = time.sleep


def memory():
    return bytearray(600 << 20)


def keep(started):
    kept = b"x" * (300 << 20)
    started.set()
    sleep(30)


def shared_pages():
    for _ in range(22):
        mmap.mmap(-1, 64 << 20).write(b"x" * (64 << 20))


def children():
    for _ in range(4):
        if os.fork() == 0:
            kept = b"x" * (200 << 20)
            sleep(30)
    sleep(30)


def whose_first_thread_is_gone():
    for _ in range(2):
        if os.fork():
            continue
        started = threading.Event()
        threading.Thread(target=keep, args=[started]).start()
        started.wait()
        ctypes.CDLL(None).syscall({"x86_64": 60, "aarch64": 93}[os.uname().machine], 0)
    sleep(30)


def sockets():
    for _ in range(8):
        if os.fork() == 0:
            break
    kept = [end for _ in range(120) for end in socket.socketpair()]
    for end in kept:
        end.setblocking(False)
        try:
            while True:
                end.send(b"x" * 4096)
        except BlockingIOError:
            pass
    sleep(30)


def tables_of_pages():
    memory = mmap.mmap(-1, 300 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000, prot=mmap.PROT_READ)
    for place in range(0, 300 << 30, 2 << 20):
        memory[place]
    sleep(30)


def filled(name, then=lambda file: None):
    file = open(name, "wb+", 0)
    for _ in range(8):
        assert file.write(bytes(1 << 20)) == 1 << 20
    then(file)
    return file


def disk():
    for name in range(8):
        filled(str(name)).close()
    sleep(5)


def disk_without_names():
    kept = [filled("large", then=lambda file: os.unlink("large")) for _ in range(8)]
    sleep(5)


def disk_that_is_mapped():
    kept = []
    for _ in range(8):
        with filled("large", then=lambda file: os.unlink("large")) as file:
            kept.append(mmap.mmap(file.fileno(), 4096))
    sleep(5)


def names():
    for name in range(5000):
        open(str(name), "w").close()
    sleep(5)


def closed_folder():
    os.mkdir("closed", 0o300)
    os.chdir("closed")
    disk()


def deep():
    for _ in range(1500):
        os.mkdir("deeper")
        os.chdir("deeper")
    disk()


def processes():
    for _ in range(300):
        if os.fork() == 0:
            sleep(30)
    sleep(5)


def threads():
    threading.stack_size(65536)
    for _ in range(300):
        threading.Thread(target=sleep, args=[30]).start()
    sleep(5)


"""


def test_who_takes_too_much_is_refused_or_ended(small, tmp_path, monkeypatch):
    """By the system, where it can count; else by who watches. A process beside it goes on, and nothing is left."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    mode, outcomes = tmp_path.stat().st_mode, {}
    with Process(LIMITS) as beside:
        execute(beside, "import os, time")
        for name in re.findall(r"^def (\w+)\(\)", GREEDY, re.MULTILINE):
            with Process(LIMITS) as running:
                try:
                    outcomes[name] = execute(running, f"{GREEDY}{name}()")
                except StepError as error:
                    outcomes[name] = str(error)
                assert execute(beside, "assert os.waitpid(os.fork() or os._exit(0), 0)") == "", name
    assert all(outcomes.values()), outcomes
    assert (list(tmp_path.iterdir()), tmp_path.stat().st_mode) == ([], mode)


def notebook(path, source):
    cell = {"cell_type": "code", "source": source, "metadata": {}, "outputs": []}
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]}))
    return path


@pytest.mark.parametrize("starts", [1, 2])
def test_as_many_starts_as_are_granted_and_no_more(tmp_path, small, starts):
    path = notebook(tmp_path / "01.ipynb", "import os\nos._exit(0)")
    report = grade_notebook(path, Limits(starts=starts))
    again = any(verdict.diagnosis == "refused" for verdict in report.verdicts)  # the program here calls no answers
    assert report.earned == 0 and again == (starts == 2)


# ---- what is left


def entries(folder):
    """Modes and contents of all that is in a folder."""
    return {path: (path.lstat().st_mode, path.is_file() and path.read_text()) for path in sorted(folder.rglob("*"))}


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A work folder, beside which lies something that is not its own."""
    (tmp_path / "teachers").mkdir()
    (tmp_path / "teachers" / "text").write_text("a text")
    (tmp_path / "teachers").chmod(0o555)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield WorkFolder()
    (tmp_path / "teachers").chmod(0o755)


def test_whatever_is_left_is_removed(tmp_path, work):
    """1,500 folders in each other, names of all kinds, closed folders, links to what is not its own."""
    place, before = os.open(work.path, os.O_RDONLY), (tmp_path.stat().st_mode, entries(tmp_path / "teachers"))
    for depth in range(1500):
        os.mkdir("deeper", dir_fd=place)
        inner = os.open("deeper", os.O_RDONLY, dir_fd=place)
        if depth % 500 == 0:
            for name in (b"\xff\xfe", b"a\nb", b"-rf *", b"x" * 255):
                os.close(os.open(name, os.O_CREAT, dir_fd=inner))
            os.symlink(tmp_path / "teachers", "link", dir_fd=inner)
            os.symlink(tmp_path / "teachers" / "text", "link to a file", dir_fd=inner)
            os.link(tmp_path / "teachers" / "text", "the file", dst_dir_fd=inner)
            os.mkfifo("pipe", dir_fd=inner)
            for name, mode in (("closed", 0), ("locked", 0o500)):
                os.mkdir(name, dir_fd=inner)
                os.symlink(tmp_path / "teachers", f"{name}/link", dir_fd=inner)
                os.chmod(name, mode, dir_fd=inner)
        os.close(place)
        place = inner
    os.fchmod(place, 0)
    os.close(place)
    os.chmod(work.path, 0)
    work.remove()
    assert not os.path.lexists(work.path)
    assert (tmp_path.stat().st_mode, entries(tmp_path / "teachers")) == before


@pytest.mark.parametrize("instead", ["nothing", "a link", "another folder", "a file"])
def test_what_was_not_made_is_not_removed(tmp_path, work, instead):
    os.rename(work.path, tmp_path / "moved")  # a new folder would be the same one, as far as numbers tell
    if instead == "a link":
        os.symlink(tmp_path / "teachers", work.path)
    elif instead == "another folder":
        os.mkdir(work.path, 0o500)
    elif instead == "a file":
        Path(work.path).touch(0o400)
    before = tmp_path.stat().st_mode, entries(tmp_path)
    work.remove()
    assert (tmp_path.stat().st_mode, entries(tmp_path)) == before


STOPPED = """
import json, os, signal, sys, tempfile
from vaekit import cli
from vaekit.course.grader import command, messages, process

INSIDE, path, graders = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # where tests run under nohup
for folder, layers in graders.items():
    if os.fork() == 0:
        start = [sys.executable, "-I", "-c", INSIDE, messages.__file__]
        process.command = lambda work, limits, hidden=(): command.shut_in(start, {}, work, limits, layers=layers)
        tempfile.tempdir, sys.argv = folder, ["vaekit", "grade", path]
        try:
            cli.main()
        finally:
            os._exit(1)  # a forked interpreter takes seconds to clean up
for _ in graders:
    os.wait()
"""
SLEEPERS = """
import os, signal, time
for number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        break
open("left", "w").write("here")
time.sleep(99)
"""


def test_a_grader_that_is_ended_leaves_nothing(tmp_path):
    """No processes, not even those that it left to run alone; no folders, unless it was SIGKILL."""
    path, graders, sizes = notebook(tmp_path / "01.ipynb", SLEEPERS), {}, []
    for layers, started in ((sandbox.LAYERS, 11), (BESIDE, 10)):  # the grader, the sandbox's, the code's own seven
        for name in ("SIGTERM", "SIGHUP", "SIGKILL"):
            folder = tmp_path / f"{name} {started}"
            folder.mkdir()
            graders[str(folder)] = layers
            sizes.append(started)
    whole = [sys.executable, "-c", STOPPED, INSIDE, str(path), json.dumps(graders)]
    with subprocess.Popen(whole, env=os.environ | {"KERAS_BACKEND": "jax"}, stderr=subprocess.DEVNULL) as parent:
        deadline, steady = time.monotonic() + 120, 0
        while steady < 3:  # some are there for a moment only, to start others
            started = sorted(psutil.Process(parent.pid).children(), key=lambda p: p.pid)
            families = [[p, *p.children(recursive=True)] for p in started]
            steady = steady + 1 if list(map(len, families)) == sizes else 0
            if time.monotonic() > deadline:
                parent.kill()
            assert parent.poll() is None
            time.sleep(0.1)
        for grader, folder in zip(started, graders, strict=True):
            grader.send_signal(getattr(signal, Path(folder).name.split()[0]))
        family = [process for each in families for process in each]
        _, alive = psutil.wait_procs(family, timeout=10)
        for process in alive:
            process.kill()
    assert not alive
    assert {Path(folder).name for folder in graders if os.listdir(folder)} == {"SIGKILL 11", "SIGKILL 10"}
