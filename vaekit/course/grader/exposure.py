"""Tries what is isolated, in the process that is to run graded code and before any of it runs."""

import ctypes
import mmap
import os
import socket
import sys
import tempfile

try:
    import resource
except ImportError:  # Windows
    resource = None


def exposure(grader, namespace, hidden, outside, memory, most, service):
    """Tries what graded code should not be able to do: {"files": how it can, ...}, "" for each that it cannot.

    Args:
        grader: process id.
        namespace: of processes that the grader is in, as /proc/self/ns/pid gives it; "" where there are none.
        hidden: files that should not be readable.
        outside: a folder that should not be writable.
        memory: bytes that should not be had.
        most: processes and threads that it may have.
        service: path of a socket that takes datagrams, and should not be reached; "" where there are none.
    """
    exposed = {
        "files": _files(hidden, outside, service),
        "network": _network(service),
        "processes": _processes(grader, namespace, most),
        "memory": _memory(memory),
    }
    return {name: "; ".join(filter(None, how)) for name, how in exposed.items()}


def succeeds(attempt, *arguments):
    """Whether a call does not raise an error of the system."""
    try:
        attempt(*arguments)
        return True
    except (OSError, ValueError, MemoryError):
        return False


def _files(hidden, outside, service):
    if any(succeeds(lambda path=path: open(path, "rb").close()) for path in hidden):
        yield "the questions can be read"
    if succeeds(lambda: tempfile.TemporaryFile(dir=outside).close()):
        yield "files can be written anywhere that you can write"
    if service and succeeds(os.stat, service):
        before = os.stat(service)
        for attempt in (lambda: os.chmod(service, 0o777), lambda: os.utime(service, (0, 0))):
            succeeds(attempt)  # which may be pretended
        after = os.stat(service)
        if (before.st_mode, before.st_mtime) != (after.st_mode, after.st_mtime):
            yield "modes and times of your files can be changed"


def _network(service):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        try:
            with socket.socket(socket.AF_INET, kind) as connection:
                connection.settimeout(0.5)
                connection.connect(("127.0.0.1", 9))
        except (ConnectionRefusedError, TimeoutError):
            pass
        except OSError:  # no sockets, or no network
            continue
        yield "connections are possible"
        return
    for make_socket in (socket.socket, lambda *kind: socket.socketpair(*kind)[0]) if service else ():
        try:
            with make_socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
                connection.sendto(b"reached", service)
            yield "other programs can be sent messages"
            return
        except OSError:
            pass


def _processes(grader, namespace, most):
    if os.name == "nt":
        yield "the grader can be ended"
        return
    try:
        own = os.readlink("/proc/self/ns/pid")
    except OSError:
        own = ""
    if not own or own == namespace:
        yield from _others(grader)
    limits = resource.getrlimit(resource.RLIMIT_NPROC)
    resource.setrlimit(resource.RLIMIT_NPROC, (1, limits[1]))
    try:
        if (number := os.fork()) == 0:
            os._exit(0)
        os.waitpid(number, 0)
        yield "their number is not limited by the system, only watched"
    except OSError:
        if limits[0] > most:
            yield "their number is watched, and limited by the system only with all that you run"
    finally:
        resource.setrlimit(resource.RLIMIT_NPROC, limits)


def _others(grader):
    """Yields what can be done to a grader that is in sight, and what would stay."""
    if succeeds(os.kill, grader, 0):
        yield "the grader can be ended"
    attempts = [lambda: os.setpriority(os.PRIO_PROCESS, grader, os.getpriority(os.PRIO_PROCESS, grader))]
    if sys.platform == "linux":
        attempts += [lambda: resource.prlimit(grader, resource.RLIMIT_CORE)]
        attempts += [lambda: os.sched_setaffinity(grader, os.sched_getaffinity(grader))]
    if any(map(succeeds, attempts)):
        yield "the grader's limits and priority can be changed"
    if sys.platform == "linux" and (queue := ctypes.CDLL(None).msgget(0, 0o1600)) >= 0:
        ctypes.CDLL(None).msgctl(queue, 0, None)  # removes it
        yield "queues of messages that outlive it can be made"


def _memory(most):
    if not hasattr(mmap, "MAP_PRIVATE"):  # Windows
        yield "it is not limited by the system, only watched"
        return
    if succeeds(lambda: mmap.mmap(-1, most, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()):
        yield "it is not limited by the system, only watched"
    if sys.platform == "linux" and (succeeds(lambda: mmap.mmap(-1, 1).close()) or succeeds(_zero) or succeeds(_buffer)):
        yield "some of it belongs to no process, and is not even watched"


def _zero():
    """Maps shared pages of a device that has none of its own."""
    with open("/dev/zero", "rb") as device:
        mmap.mmap(device.fileno(), mmap.PAGESIZE, prot=mmap.PROT_READ).close()


def _buffer():
    """Asks for a larger buffer for a socket."""
    for end in socket.socketpair():
        with end:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
