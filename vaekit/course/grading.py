"""Grades a notebook: its code runs in a worker, shut in; the marks are given here, where none of it ever runs.

The worker (`worker.py`) is asked step by step: to execute a cell, to call an answer with the inputs of a case. What it
replies, arrays or a fault, is judged by `exercise.Question`. A step that hangs, crashes or replies nonsense ends its
worker; a new one goes on without that step, so an answer costs no marks but its own.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import queue
import re
import secrets
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
import unicodedata
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
import psutil

import vaekit
from vaekit import backend
from vaekit.course import checking, exercises, sandbox, wire, worker
from vaekit.course.exercise import Fault, Verdict
from vaekit.datasets.files import cache_directory

LARGEST = 20_000_000  # bytes of a notebook
GRACE = 2.0  # seconds in which code that was stopped may end
FAULTS = ("missing", "unanswered", "error", "time", "refused")


class GradingError(Exception):
    """A notebook that cannot be graded, in one sentence."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """What graded code may use.

    Attributes:
        cell: seconds for a cell. (An answer has its question's.)
        notebook: seconds for all of a notebook.
        memory: bytes.
        disk: bytes of all files.
        processes: processes and threads.
        workers: that a notebook may use up, one after the other.
    """

    cell: float = 120.0
    notebook: float = 900.0
    memory: int = 4 << 30
    disk: int = 512 << 20
    processes: int = 256
    workers: int = 20


@dataclasses.dataclass(frozen=True)
class Report:
    """What a notebook is worth, and why.

    Attributes:
        exercise: its number.
        title: of the exercise.
        verdicts: tuple of `Verdict`.
        notes: tuple of texts: cells that failed.
        missing: dict: what was not isolated and why.
        seed: of the drawn cases; with it, a mark can be computed again.
        seconds: that it took.
    """

    exercise: str
    title: str
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...]
    missing: dict
    seed: int
    seconds: float

    @property
    def earned(self):
        return round(sum(verdict.earned for verdict in self.verdicts), 6)

    @property
    def points(self):
        return float(sum(verdict.points for verdict in self.verdicts))

    @property
    def isolation(self):
        """What is isolated and what is not, a sentence."""
        held = [name for name in ("files", "network", "processes", "memory") if name not in self.missing]
        said = f"Isolated from this computer: {', '.join(held) or 'nothing'}."
        return said + "".join(f" Not {name}: {reason}." for name, reason in self.missing.items())


# ---- notebooks


def read_notebook(path):
    """The content of a notebook as bytes, and as a dict.

    Raises:
        GradingError: if it is none, or is too large.
    """
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            raise GradingError("it is not a file.")
        if found.st_size > LARGEST:
            size = f"{found.st_size / 1e6:,.0f} MB, more than the {LARGEST / 1e6:.0f} MB that are read"
            raise GradingError(f"it has {size}. Clear its outputs, save it, and hand it in again.")
        with open(path, "rb") as stream:
            content = stream.read(LARGEST + 1)
    except OSError as error:
        raise GradingError(f"it cannot be read: {error.strerror}.") from None
    try:
        notebook = json.loads(content)
    except (ValueError, RecursionError):
        raise GradingError("it is not a notebook: its content is not JSON. Save it in JupyterLab again.") from None
    if isinstance(notebook, dict) and "worksheets" in notebook:
        raise GradingError("it has a notebook's format of before 2015. Save it in JupyterLab again.")
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        raise GradingError("it is not a notebook: it has no cells. Save it in JupyterLab again.")
    return content, notebook


def exercise_number(notebook, name):
    """Of a notebook's metadata, else the first digits of the file's name.

    Raises:
        GradingError: if neither is the number of an exercise.
    """
    known = checking.numbers()
    told = _dict(_dict(notebook.get("metadata")).get("vaekit")).get("exercise")
    if told is None and (digits := re.match(r"\d+", name)):
        told = digits[0]
    if told not in known:
        raise GradingError(
            f"it names no exercise: expected its number, one of {', '.join(known)}, in the metadata (vaekit.exercise) "
            f"or at the start of the file's name; found {clean(repr(told), 40)}."
        )
    return told


def code_cells(notebook):
    """Sources of the code cells in their order, but those that only hold nbgrader's tests."""
    sources = []
    for cell in notebook["cells"]:
        graded = _dict(_dict(cell.get("metadata")).get("nbgrader"))
        source = cell.get("source", "")
        if isinstance(source, list):
            source = "".join(part for part in source if isinstance(part, str))
        tests = graded.get("grade") is True and graded.get("solution") is not True
        if cell.get("cell_type") == "code" and isinstance(source, str) and source.strip() and not tests:
            sources.append(source)
    return sources


def _dict(value):
    return value if isinstance(value, dict) else {}


def clean(text, most=600):
    """A text that came from a worker or a notebook, short and without control characters."""
    text = "".join(" " if unicodedata.category(c).startswith(("C", "Z")) else c for c in str(text)[: 4 * most])
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[:most]} …"


# ---- grading


def grade(path, limits=None, seed=None, require_isolation=False, exercise=None, stopped=None):
    """Grades a notebook.

    Args:
        path: of the notebook.
        limits: a `Limits`.
        seed: of the drawn cases; None: a secret one, which the report tells.
        require_isolation: whether to refuse if something is not isolated.
        exercise: a `checking.Exercise`; None: the one that the notebook names.
        stopped: a `threading.Event` that ends it with KeyboardInterrupt.

    Returns: a `Report`.

    Raises:
        GradingError: if it is no notebook of an exercise, if its worker does not start, or is not isolated.
    """
    start = time.monotonic()
    _, notebook = read_notebook(path)
    exercise = exercise or checking.Exercise(exercise_number(notebook, Path(path).name))
    seed = secrets.randbits(63) if seed is None else seed
    run = _Run(code_cells(notebook), exercise, limits or Limits(), seed, require_isolation, stopped)
    run.finish()
    verdicts = tuple(run.verdict(question) for question in exercise.questions.values())
    seconds = round(time.monotonic() - start, 1)
    return Report(exercise.number, exercise.title, verdicts, run.notes(), run.missing, seed, seconds)


class _Run:
    """The steps of a notebook, and what has come of them."""

    def __init__(self, cells, exercise, limits, seed, require_isolation, stopped):
        self.cells, self.exercise, self.limits = cells, exercise, limits
        self.require_isolation, self.stopped = require_isolation, stopped
        self.deadline = time.monotonic() + limits.notebook
        self.cases = {name: question.cases(seed) for name, question in exercise.questions.items()}
        self.found = {name: [] for name in self.cases}  # observations, case by case
        self.left = list(self.cases)
        self.doubted = set()  # questions that ended a worker in which other answers ran before
        self.faults = {}  # of cells, by their index
        self.lost = set()  # cells that ended a worker
        self.missing = {}

    def finish(self):
        for _ in range(self.limits.workers):
            if not self.left or time.monotonic() > self.deadline:
                return
            with Worker(self.limits, self.stopped) as process:
                self.missing = process.start()
                if self.require_isolation and self.missing:
                    reasons = "; ".join(f"{name}: {reason}" for name, reason in self.missing.items())
                    raise GradingError(f"it was not run, since not everything is isolated ({reasons}).")
                if self._execute(process):
                    self._observe(process)

    def _execute(self, process):
        """Executes the cells; those with undefined names once more after the rest, as long as that helps."""
        left = [index for index in range(len(self.cells)) if index not in self.lost]
        while left:
            again = []
            for index in left:
                if self._time() <= 0:
                    return False
                source = np.frombuffer(self.cells[index].encode("utf-8", "replace"), np.uint8)
                try:
                    header, _ = process.ask({"do": "cell"}, [source], min(self.limits.cell, self._time()))
                except Trouble as trouble:
                    self.faults[index] = trouble.fault.says
                    self.lost.add(index)
                    return False
                self.faults.pop(index, None)
                if error := header.get("error"):
                    self.faults[index] = clean(header.get("says"))
                    if error == "NameError":
                        again.append(index)
            if len(again) == len(left):
                break
            left = again
        return True

    def _observe(self, process):
        """Calls the answers that are left. What ends the worker may come from an answer before: it has another try."""
        first = True
        while self.left and self._time() > 0:
            name = self.left[0]
            before = process.usage()
            question, observed = self.exercise.questions[name], self.found[name]
            end = time.monotonic() + min(question.seconds, self._time())
            for case in self.cases[name]:
                inputs, arrays = wire.packed(case.inputs)
                asked = {"do": "observe", "name": name, "observer": question.observe.name, "inputs": inputs}
                asked["options"] = question.observe.options
                seconds = end - time.monotonic()
                try:
                    if seconds <= 0:
                        raise Trouble("time", "it took too long.", over=False)
                    observation = _observation(*process.ask(asked, arrays, seconds))
                except Trouble as trouble:
                    if trouble.over and not first and name not in self.doubted:
                        self.doubted.add(name)
                        observed.clear()
                        return
                    self.left.pop(0)
                    observed.append(trouble.fault)
                    if trouble.over:
                        return
                    break
                observed.append(observation)
                if isinstance(observation, Fault) and observation.kind in ("missing", "unanswered", "time"):
                    self.left.pop(0)
                    break  # the other cases would say the same
            else:
                self.left.pop(0)
            if process.worn(before):
                return
            first = False

    def _time(self):
        return self.deadline - time.monotonic()

    def verdict(self, question):
        observed, cases = self.found[question.name], self.cases[question.name]
        if question.name in self.left:
            says = (
                "the notebook's time was used up." if self._time() <= 0 else "too many other steps ended the program."
            )
            observed = [Fault("time" if self._time() <= 0 else "killed", f"not looked at: {says}")]
        with np.errstate(all="ignore"):
            try:
                return question.judge(cases, observed + observed[-1:] * (len(cases) - len(observed)))
            except Exception:  # arrays of which our own answer would never be
                return question.judge(cases, [Fault("refused", "what it sent is not what was asked for.")] * len(cases))

    def notes(self):
        return tuple(f"Code cell {index + 1}: {says}" for index, says in sorted(self.faults.items()))


def _observation(header, arrays):
    """A worker's reply as a dict of float64 arrays, or a `Fault`; raises `Trouble` if it is neither."""
    fault, names = header.get("fault"), header.get("names")
    if isinstance(fault, list) and len(fault) == 2 and fault[0] in FAULTS:
        return Fault(fault[0], clean(fault[1]))
    if (
        isinstance(names, list)
        and len(names) == len(arrays)
        and all(isinstance(name, str) for name in names)
        and all(array.dtype == np.float64 for array in arrays)
    ):
        return dict(zip(names, arrays, strict=True))
    raise Trouble("refused", "its reply is neither arrays nor an error.")


# ---- workers


class Trouble(Exception):
    """A step that failed, as a `Fault`; `over`: its worker is of no use any more."""

    def __init__(self, kind, says, over=True):
        super().__init__(says)
        self.fault, self.over = Fault(kind, says), over


class Worker:
    """A process that runs graded code, watched: `with Worker(limits) as worker: worker.start(); worker.ask(...)`."""

    def __init__(self, limits, stopped=None):
        self.limits, self.stopped = limits, stopped
        self.asks, self.replies = queue.SimpleQueue(), queue.SimpleQueue()

    def __enter__(self):
        self.work = os.path.realpath(tempfile.mkdtemp(prefix="vaekit-grade-"))
        try:
            self.complaints = tempfile.TemporaryFile()
            _keep_fonts(self.work)
            command, environment = _command(self.work, self.limits)
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.complaints,
                cwd=self.work,
                env=environment,
                start_new_session=True,
            )
        except BaseException:
            shutil.rmtree(self.work, ignore_errors=True)
            raise
        threading.Thread(target=self._talk, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.asks.put(None)
        for process in [*self._family(), self.process]:
            with contextlib.suppress(psutil.Error, OSError):
                process.kill()
        self.process.wait()
        self.complaints.close()
        _remove(self.work)

    def start(self):
        """Waits until the worker is ready. Returns what is not isolated, {"network": why, ...}."""
        tries = {
            "grader": os.getpid(),
            "namespace": os.readlink("/proc/self/ns/pid") if os.path.exists("/proc/self/ns/pid") else "",
            "hidden": exercises.__file__,
            "outside": os.path.dirname(self.work),
            "memory": self.limits.memory + (1 << 20),
        }
        try:
            header, _ = self.ask({"try": tries}, (), 120.0)
        except Trouble as trouble:
            self.complaints.seek(0, os.SEEK_END)
            self.complaints.seek(max(0, self.complaints.tell() - 2000))
            last = self.complaints.read().decode(errors="replace").strip().split("\n")[-1]
            raise GradingError(f"the process for its code did not start: {clean(last or trouble)}") from None
        reasons = "; ".join(f"{layer}: {clean(reason)}" for layer, reason in header["told"].items())
        told = f" ({reasons})" if reasons else ""
        return {name: f"{clean(reason)}{told}" for name, reason in header["missing"].items() if reason}

    def ask(self, header, arrays, seconds):
        """Sends a request, watches the worker, and returns its reply, (header, arrays); raises `Trouble`."""
        name = secrets.token_hex(8)
        self.asks.put((header | {"id": name, "seconds": seconds}, arrays))
        end, watch = time.monotonic() + seconds + GRACE, 0.0
        while True:
            try:
                reply = self.replies.get(timeout=0.1)
                break
            except queue.Empty:
                pass
            if self.stopped and self.stopped.is_set():
                raise KeyboardInterrupt
            if time.monotonic() > end:
                raise Trouble("time", f"it did not end within {seconds:.0f} s and was stopped.")
            if time.monotonic() > watch:
                self._watch()
                watch = time.monotonic() + 0.2
        if reply is None:
            raise Trouble("killed", "it ended the program that runs it.")
        if isinstance(reply, wire.Malformed):
            raise Trouble("refused", f"what it sent is refused: {reply}.")
        if reply[0].get("id") != name:
            raise Trouble("refused", "what it sent is refused: no reply to what was asked.")
        return reply

    def _talk(self):
        """A request, a reply, in a thread: neither a full pipe nor a silent one holds up the watch."""
        with self.process.stdin as requests, self.process.stdout as replies:
            while (asked := self.asks.get()) is not None:
                try:
                    wire.write(requests, *asked)
                    self.replies.put(wire.read(replies))
                except wire.Malformed as error:
                    self.replies.put(error)
                except (OSError, ValueError):
                    self.replies.put(None)
                    with contextlib.suppress(OSError, ValueError):  # what cannot be sent any more
                        requests.raw.close()

    def _family(self):
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.Error:
            return []

    def usage(self):
        family = self._family()
        return Usage(family, _sum(family, psutil.Process.num_threads), _sum(family, _resident), self._disk(family))

    def worn(self, before):
        """Ends what was started since `before`; whether an answer left so little that the next may lack it."""
        started = set(self._family()) - set(before.family)
        for process in started:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(started, timeout=1)
        after = self.usage()
        most = {"threads": self.limits.processes, "memory": self.limits.memory, "disk": self.limits.disk}
        return any(getattr(after, name) - getattr(before, name) > limit / 4 for name, limit in most.items())

    def _disk(self, family):
        """In the worker's file system, if it has its own and the grader may look; else in its folder."""
        for process in family[-1:]:
            with contextlib.suppress(OSError):
                if os.stat(f"/proc/{process.pid}/root").st_dev != os.stat("/").st_dev:
                    found = os.statvfs(f"/proc/{process.pid}/root{self.work}")
                    return (found.f_blocks - found.f_bfree) * found.f_frsize
        return _size(self.work)

    def _watch(self):
        """Raises `Trouble` if the worker and all that it started use more than they may."""
        used = self.usage()
        if len(used.family) > self.limits.processes + 10:
            raise Trouble("killed", f"it started more than {self.limits.processes} processes.")
        # what processes share counts once, which takes longer to find out
        if used.memory > self.limits.memory < _sum(used.family, _proportional):
            raise Trouble("killed", f"it used more than {self.limits.memory / 1e9:.1f} GB of memory.")
        if used.disk > self.limits.disk:
            raise Trouble("killed", f"it wrote more than {self.limits.disk / 1e6:.0f} MB.")


class Usage(NamedTuple):
    """What a worker and all that it started use; memory and disk in bytes."""

    family: list
    threads: int
    memory: int
    disk: int


def _sum(family, of):
    total = 0
    for process in family:
        with contextlib.suppress(psutil.Error, OSError):
            total += of(process)
    return total


def _resident(process):
    return process.memory_info().rss


def _proportional(process):
    found = process.memory_full_info()
    return getattr(found, "pss", found.rss)


def _size(folder):
    """Bytes of the files in a folder."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(path, name)).st_blocks * 512
    return total


def _remove(folder):
    def mend(function, path, _):
        with contextlib.suppress(OSError):
            os.chmod(os.path.dirname(path), 0o700)
            os.chmod(path, 0o700)
            function(path)

    shutil.rmtree(folder, onerror=mend)
    shutil.rmtree(folder, ignore_errors=True)


def _keep_fonts(work):
    """Matplotlib's list of fonts, which takes seconds to make."""
    for source in Path(matplotlib.get_cachedir()).glob("fontlist-*.json"):
        target = Path(work, ".cache", "matplotlib", source.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


SYSTEM = """/usr /lib /lib32 /lib64 /bin /nix/store /etc/ld.so.cache /etc/ld.so.conf /etc/ld.so.conf.d /etc/alternatives
/etc/localtime /etc/fonts /etc/mime.types /sys/devices/system/cpu""".split()


def _command(work, limits):
    """What starts a worker, and its environment: nothing of the user's but the backend and the data."""
    packages = [
        folder
        for folder in sys.path
        if Path(folder).name in ("site-packages", "dist-packages")
        and not folder.startswith((sys.prefix, sys.base_prefix))
    ]
    data = [os.environ.get("VAEKIT_DATA", ""), str(cache_directory())]
    data = [os.path.abspath(folder) for folder in data if folder and os.path.isdir(folder)]
    environment = {
        "PATH": os.defpath,
        "HOME": work,
        "TMPDIR": work,
        "USER": "learner",
        "LOGNAME": "learner",
        "LANG": "C.UTF-8",
        "MPLBACKEND": "agg",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join(packages),
        "KERAS_BACKEND": backend.NAME,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "",
        "JAX_PLATFORMS": "cpu",
        "VAEKIT_CACHE": str(cache_directory()),
        "VAEKIT_MISSING": "{}",
    }
    environment |= {name: os.environ[name] for name in ("VAEKIT_DATA", "TZ") if os.environ.get(name)}
    command = [sys.executable, "-P", "-s", worker.__file__]
    if os.name == "nt":
        kept = ("SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "NUMBER_OF_PROCESSORS")
        environment |= {name: os.environ[name] for name in kept if name in os.environ}
        environment |= {"TEMP": work, "TMP": work, "USERPROFILE": work}
        return command, environment | {"VAEKIT_MISSING": json.dumps({"sandbox": "Windows has none"})}
    return shut_in(command, environment, work, limits, [*packages, *data])


def shut_in(command, environment, work, limits, read=(), layers=sandbox.LAYERS):
    """The command that runs a command in `sandbox.py`, and its environment.

    Args:
        command: list of texts; the first is a path.
        environment: dict of texts.
        work: path of a folder, the only one that can be written.
        limits: a `Limits`.
        read: paths that can be read, besides those of the system, of Python and of vaekit but its questions.
        layers: of the sandbox.
    """
    package = Path(vaekit.__file__).resolve().parent
    readable = [str(path) for path in (*SYSTEM, sys.prefix, sys.base_prefix, *read, package) if os.path.exists(path)]
    settings = {
        "command": command,
        "environment": environment,
        "work": work,
        "read": readable,
        "hidden": [os.path.dirname(os.path.realpath(exercises.__file__)), *_checkout(package)],
        "memory": limits.memory,
        "disk": limits.disk,
        "processes": limits.processes,
        "seconds": int(limits.notebook) + 60,
        "layers": list(layers),
    }
    return [sys.executable, "-I", "-S", sandbox.__file__, json.dumps(settings)], {"LANG": "C.UTF-8"}


def _checkout(package):
    """The folder with lessons, solutions and tests beside the package, where it is not installed but checked out."""
    return [str(package.parent)] if (package.parent / "pyproject.toml").exists() else []


def version(exercise):
    """Of what marks depend on: a hash of the exercise's questions and of how they are judged."""
    files = [Path(exercises.__file__).parent / f"e{exercise}.py"]
    files += [Path(worker.__file__).parent / name for name in ("exercise.py", "explain.py", "observers.py")]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
