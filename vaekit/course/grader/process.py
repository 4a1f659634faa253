"""A worker process, shut in and watched: it is asked, it replies in time or it ends, and whatever it does stays there.

What it says is a `messages` message, data of bounded size, and nothing that it says is believed but as an answer.
"""

import contextlib
import dataclasses
import itertools
import json
import os
import queue
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

import matplotlib
import psutil

import vaekit
from vaekit import backend
from vaekit.course import exercises
from vaekit.course.grader import inside, messages, sandbox
from vaekit.course.grader.notebook import GradingError, clean
from vaekit.course.observe import Fault
from vaekit.datasets.files import cache_directory

GRACE = 2.0  # seconds in which code that was stopped may end
CORES = 4  # of a worker: backends start threads for each core, and time is to be the same on all computers


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


class Trouble(Exception):
    """A step that failed, as a `Fault`; `over`: its worker is of no use any more."""

    def __init__(self, kind, says, over=True):
        super().__init__(says)
        self.fault, self.over = Fault(kind, says), over


class Process:
    """A process that runs graded code, watched: `with Process(limits) as process: process.start()`."""

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
        with _service() as service:
            tries = {
                "grader": os.getpid(),
                "namespace": os.readlink("/proc/self/ns/pid") if os.path.exists("/proc/self/ns/pid") else "",
                "hidden": exercises.__file__,
                "outside": os.path.dirname(self.work),
                "memory": self.limits.memory + (1 << 20),
                "service": service,
            }
            try:
                header, _ = self.ask({"try": tries}, (), 120.0)
            except Trouble as trouble:
                raise GradingError(f"the process for its code did not start: {self._last_words(trouble)}") from None
        try:
            self.ask({}, (), 120.0)  # to compute something, before any of that code has run
        except Trouble as trouble:
            raise GradingError(f"the process for its code cannot compute: {self._last_words(trouble)}") from None
        reasons = "; ".join(f"{layer}: {clean(reason)}" for layer, reason in header["told"].items())
        told = f" ({reasons})" if reasons else ""
        return {name: f"{clean(reason)}{told}" for name, reason in header["missing"].items() if reason}

    def _last_words(self, trouble):
        """What a worker that does not start wrote last, but for addresses; and what it may use, a frequent reason."""
        self.complaints.seek(0, os.SEEK_END)
        self.complaints.seek(max(0, self.complaints.tell() - 5000))
        lines = map(str.strip, self.complaints.read().decode(errors="replace").split("\n"))
        said = [line for line in lines if line and not line.startswith(("@", "*", "["))] or [trouble]
        allowed = f"{self.limits.processes} processes and threads, {self.limits.memory / 2**30:g} GB"
        advice = f"It may use {allowed}; if that is too little, allow more with --processes or --memory."
        return f"{clean(said[-1]).rstrip('.')}. {advice}"

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
        if isinstance(reply, messages.Malformed):
            raise Trouble("refused", f"what it sent is refused: {reply}.")
        if reply[0].get("id") != name:
            raise Trouble("refused", "what it sent is refused: no reply to what was asked.")
        return reply

    def _talk(self):
        """A request, a reply, in a thread: neither a full pipe nor a silent one holds up the watch."""
        with self.process.stdin as requests, self.process.stdout as replies:
            metered = messages.Metered(replies, messages.REPLY + messages.HEADER)
            while (asked := self.asks.get()) is not None:
                try:
                    messages.write(requests, *asked)
                    self.replies.put(messages.read(metered))
                except messages.Malformed as error:
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


@contextlib.contextmanager
def _service():
    """A socket outside, which takes datagrams: its path, "" where there are none."""
    with tempfile.TemporaryDirectory(prefix="vaekit-") as folder, contextlib.ExitStack() as stack:
        path = os.path.join(folder, "service")
        try:
            stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)).bind(path)
        except (AttributeError, OSError):  # Windows; a folder of a name too long for an address
            path = ""
        yield path


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


THREADS = """OMP_NUM_THREADS OPENBLAS_NUM_THREADS MKL_NUM_THREADS VECLIB_MAXIMUM_THREADS NPROC
TF_NUM_INTRAOP_THREADS TF_NUM_INTEROP_THREADS""".split()  # NPROC is what XLA reads


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
    if sys.platform != "linux":  # where the sandbox takes no cores away
        environment |= dict.fromkeys(THREADS, str(CORES))
    environment |= {name: os.environ[name] for name in ("VAEKIT_DATA", "TZ") if os.environ.get(name)}
    command = [sys.executable, "-P", "-s", inside.__file__]
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
        "cores": _cores(),
        "seconds": int(limits.notebook) + 60,
        "layers": list(layers),
    }
    return [sys.executable, "-I", "-S", sandbox.__file__, json.dumps(settings)], {"LANG": "C.UTF-8"}


_workers = itertools.count()


def _cores():
    """Which a worker may use: the next few of those that the grader may, so that workers share all of them."""
    if not hasattr(os, "sched_getaffinity"):
        return []
    allowed, number = sorted(os.sched_getaffinity(0)), next(_workers)
    return list({allowed[(number * CORES + i) % len(allowed)] for i in range(CORES)})


def _checkout(package):
    """The folder with lessons, solutions and tests beside the package, where it is not installed but checked out."""
    return [str(package.parent)] if (package.parent / "pyproject.toml").exists() else []
