"""The grader's handle on the process that runs graded code: it asks, and watches. A reply comes in time, or it ends.

What the process replies is a message of `messages.py`, data of bounded size, believed only as an answer.
"""

import contextlib
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

import matplotlib
import psutil

from vaekit.course.grader import messages
from vaekit.course.grader.command import HIDDEN, command
from vaekit.course.grader.errors import GradingError, StepError
from vaekit.course.grader.notebook import clean
from vaekit.course.grader.usage import family_of, shared_memory, usage
from vaekit.course.grader.work import WorkFolder

GRACE = 2.0  # seconds in which code that was stopped may end


class Process:
    """A process that runs graded code, watched: `with Process(limits) as process: process.start()`.

    Args:
        limits: a `Limits`.
        stopped: a `threading.Event` that ends what is asked with KeyboardInterrupt.
        hidden: folders of which its code may read nothing, wherever they lie.
    """

    def __init__(self, limits, stopped=None, hidden=()):
        self.limits, self.stopped, self.hidden = limits, stopped, hidden
        self.requests, self.replies = queue.SimpleQueue(), queue.SimpleQueue()

    def __enter__(self):
        with contextlib.ExitStack() as undo:  # whatever interrupts the start
            self.folder = WorkFolder()
            undo.callback(self.folder.remove)
            self.work = self.folder.path
            self.complaints = undo.enter_context(tempfile.TemporaryFile())
            _copy_fonts(self.work)
            arguments, environment = command(self.work, self.limits, self.hidden)
            self.child = subprocess.Popen(
                arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.complaints,
                cwd=self.work,
                env=environment,
                start_new_session=True,
            )
            undo.callback(self._end)
            threading.Thread(target=self._talk, daemon=True).start()
            undo.callback(self.requests.put, None)
            self.undo = undo.pop_all()
        return self

    def __exit__(self, *_):
        self.undo.close()

    def _end(self):
        """Ends the process with all that it has started."""
        if sys.platform == "linux":  # the sandbox ends what is in it, so that nothing can start meanwhile
            self.child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.child.wait(10)
        for _ in range(20):  # what they start meanwhile is ended next
            family = family_of(self.child.pid)
            for process in family:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            if not psutil.wait_procs(family, timeout=1)[0]:
                break
        self.child.kill()
        self.child.wait()

    def start(self):
        """Waits until the process is ready. Returns what is not isolated, {"network": why, ...}.

        Raises:
            GradingError: if it does not start, or cannot compute.
        """
        with outside_socket() as service:
            attempts = {
                "grader": os.getpid(),
                "namespace": os.readlink("/proc/self/ns/pid") if os.path.exists("/proc/self/ns/pid") else "",
                "hidden": [room.__file__ for room in HIDDEN],
                "outside": os.path.dirname(self.work),
                "memory": self.limits.memory + (1 << 20),
                "most": self.limits.processes,
                "service": service,
            }
            try:
                header, _ = self.ask({"try": attempts}, (), 120.0)
            except StepError as error:
                raise GradingError(f"the process for its code did not start: {self._last_words(error)}") from None
        try:
            self.ask({}, (), 120.0)  # to compute something, before any of that code has run
        except StepError as error:
            raise GradingError(f"the process for its code cannot compute: {self._last_words(error)}") from None
        reasons = "; ".join(f"{layer}: {clean(reason)}" for layer, reason in header["layers"].items())
        reasons = f" ({reasons})" if reasons else ""
        return {name: f"{clean(how)}{reasons}" for name, how in header["exposed"].items() if how}

    def _last_words(self, error):
        """Returns the last line of a process that does not start, and what it may use, a frequent reason."""
        self.complaints.seek(0, os.SEEK_END)
        self.complaints.seek(max(0, self.complaints.tell() - 5000))
        lines = map(str.strip, self.complaints.read().decode(errors="replace").split("\n"))
        sentences = [line for line in lines if line and not line.startswith(("@", "*", "["))] or [error]
        allowed = f"{self.limits.processes} processes and threads, {self.limits.memory / 2**30:g} GB"
        advice = f"It may use {allowed}; if that is too little, allow more with --processes or --memory."
        return f"{clean(sentences[-1]).rstrip('.')}. {advice}"

    def ask(self, header, arrays, seconds):
        """Sends a request, watches the process, and returns its reply, (header, arrays); raises `StepError`."""
        name = secrets.token_hex(8)
        self.requests.put((header | {"id": name, "seconds": seconds}, arrays))
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
                raise StepError("time", f"it did not end within {seconds:.0f} s and was stopped.")
            if time.monotonic() > watch:
                self._watch()
                watch = time.monotonic() + 0.2
        if reply is None:
            raise StepError("killed", "it ended the program that runs it.")
        if isinstance(reply, messages.Malformed):
            raise StepError("refused", f"what it sent is refused: {reply}.")
        if reply[0].get("id") != name:
            raise StepError("refused", "what it sent is refused: no reply to what was asked.")
        return reply

    def _talk(self):
        """Sends requests and takes replies, in a thread: neither a full pipe nor a silent one holds up the watch."""
        with self.child.stdin as requests, self.child.stdout as replies:
            metered = messages.Metered(replies, messages.REPLY + messages.HEADER)
            while (request := self.requests.get()) is not None:
                try:
                    messages.write(requests, *request)
                    self.replies.put(messages.read(metered))
                except messages.Malformed as error:
                    self.replies.put(error)
                except (OSError, ValueError):
                    self.replies.put(None)
                    with contextlib.suppress(OSError, ValueError):  # what cannot be sent any more
                        requests.raw.close()

    def usage(self):
        """Measures what the process and all that it started use, a `Usage`."""
        return usage(family_of(self.child.pid), self.work)

    def _watch(self):
        """Raises `StepError` if more is used than may be."""
        used = self.usage()
        if used.threads > self.limits.processes + 10:
            raise StepError("killed", f"it started more than {self.limits.processes} processes and threads.")
        if used.memory > self.limits.memory < shared_memory(used.family):
            raise StepError("killed", f"it used more than {self.limits.memory / 1e9:.1f} GB of memory.")
        if used.disk > self.limits.disk:
            raise StepError("killed", f"it wrote more than {self.limits.disk / 1e6:.0f} MB, or where nobody can look.")

    def worn(self, before):
        """Ends what was started since a `Usage`; returns whether so little remains that the next answer may lack it."""
        started = set(family_of(self.child.pid)) - set(before.family)
        for process in started:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(started, timeout=1)
        after = self.usage()
        most = {"threads": self.limits.processes, "memory": self.limits.memory, "disk": self.limits.disk}
        return any(getattr(after, name) - getattr(before, name) > limit / 4 for name, limit in most.items())


@contextlib.contextmanager
def outside_socket():
    """Opens a socket that takes datagrams and should not be reached; yields its path, "" where there are none."""
    with tempfile.TemporaryDirectory(prefix="vaekit-") as folder, contextlib.ExitStack() as stack:
        path = os.path.join(folder, "service")
        try:
            stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)).bind(path)
        except (AttributeError, OSError):  # Windows; a folder of a name too long for an address
            path = ""
        yield path


def _copy_fonts(work):
    """Copies Matplotlib's list of fonts, which takes seconds to make."""
    for source in Path(matplotlib.get_cachedir()).glob("fontlist-*.json"):
        target = Path(work, ".cache", "matplotlib", source.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
