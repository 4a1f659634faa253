"""Limits of what graded code may use of a computer, and measures, from outside, of what it does use."""

import contextlib
import dataclasses
import functools
import math
import os
from typing import NamedTuple

import psutil

DESCRIPTORS = 256  # that a process may have, as in `sandbox/limits.py`
BLOCK = 4096  # bytes that a name takes at the least
LONGEST = 3000  # bytes of a path that can still be looked at


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits of what graded code may use.

    Attributes:
        cell: seconds for a cell. (An answer has its question's.)
        notebook: seconds for all of a notebook.
        memory: bytes.
        disk: bytes of all files.
        processes: processes and threads.
        starts: how many processes for its code a notebook may use up, one after the other.
    """

    cell: float = 120.0
    notebook: float = 900.0
    memory: int = 4 << 30
    disk: int = 512 << 20
    processes: int = 256
    starts: int = 20


class Usage(NamedTuple):
    """The use of a process and all that it started: a list of `psutil.Process`, numbers, and bytes."""

    family: list
    threads: int
    memory: int
    disk: int


def family_of(number):
    """Lists all that a process has started and that still runs, `psutil.Process`es."""
    try:
        return psutil.Process(number).children(recursive=True)
    except psutil.Error:
        return []


def usage(family, folder):
    """Measures the `Usage` of these processes, which can write to this folder alone."""
    return Usage(family, _sum(family, psutil.Process.num_threads), _sum(family, _at_most), _disk(family, folder))


def shared_memory(family):
    """Measures bytes of these processes' memory, in which what several share counts once. It takes longer."""
    channels = set()
    for process in family:
        try:
            channels.update(link for link in _links(process).values() if link.startswith(("socket:", "pipe:")))
        except PermissionError:
            channels.update((process.pid, number) for number in range(DESCRIPTORS))
    return _sum(family, _proportional) + len(channels) * _unread()


def _sum(family, of):
    total = 0
    for process in family:
        with contextlib.suppress(psutil.Error, OSError):
            total += of(process)
    return total


def _at_most(process):
    """Bounds bytes in memory, and those that its sockets and pipes may hold; everything that it has open may be one."""
    try:
        opened = len(_links(process, target=False))
    except PermissionError:
        opened = DESCRIPTORS
    return sum(_memory(process).values()) + opened * _unread()


def _proportional(process):
    """Measures bytes in memory; those that several processes share are divided among them."""
    sizes = _memory(process)
    with contextlib.suppress(OSError, KeyError):
        sizes["VmRSS"] = _kilobytes(f"{_place(process)}/smaps_rollup")["Pss"]
    return sum(sizes.values())


def _memory(process):
    """Measures bytes of a process: in memory, swapped out, and of page tables."""
    if not os.path.isdir("/proc/self"):
        return {"VmRSS": process.memory_info().rss}
    sizes = _kilobytes(f"{_place(process)}/status")
    return {kind: sizes.get(kind, 0) for kind in ("VmRSS", "VmSwap", "VmPTE")}


def _kilobytes(path):
    """Parses lines such as "VmRSS:  12 kB" of a file: {name: bytes}."""
    with open(path, encoding="utf-8", errors="replace") as stream:
        parts = [line.split() for line in stream]
    return {part[0].rstrip(":"): int(part[1]) * 1024 for part in parts if len(part) == 3 and part[2] == "kB"}


def _place(process):
    """Finds the folder of a process in /proc: that of a thread which lives, as its first one may not.

    Raises:
        FileNotFoundError: if none lives.
    """
    for thread in sorted(os.listdir(f"/proc/{process.pid}/task"), key=int):
        place = f"/proc/{process.pid}/task/{thread}"
        with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(f"{place}/stat", "rb") as stream:
            if stream.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X"):
                return place
    raise FileNotFoundError(process.pid)


@functools.cache
def _unread():
    """Reads how many bytes of memory unread data in a socket can take."""
    try:
        with open("/proc/sys/net/core/wmem_default") as stream:
            return 2 * int(stream.read())
    except OSError:
        return 0


def _links(process, target=True):
    """Lists what a process has open, {path of a descriptor: what it is}. Raises PermissionError if nobody may look."""
    links = {}
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        folder = f"{_place(process)}/fd"
        for name in os.listdir(folder):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                links[f"{folder}/{name}"] = os.readlink(f"{folder}/{name}") if target else ""
    return links


def _disk(family, folder):
    """Measures bytes used in the file system of these processes, if it may be looked at; else in the folder."""
    for process in family[-1:]:
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{process.pid}/root").st_dev != os.stat("/").st_dev:
                status = os.statvfs(f"/proc/{process.pid}/root{folder}")
                return (status.f_blocks - status.f_bfree) * status.f_frsize
    try:
        return _size(folder) + sum(_without_names(family, folder).values())
    except PermissionError:  # what cannot be counted is not to be there
        return math.inf


def _size(folder):
    """Measures bytes of a folder, in which each name takes a block at the least.

    Raises:
        PermissionError: if a part of it cannot be looked at, because it may not, or lies too deep for a path.
    """
    total, pending = 0, [folder]
    while pending:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(pending.pop()) as names:
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    total += max(name.stat(follow_symlinks=False).st_blocks * 512, BLOCK)
                    if name.is_dir(follow_symlinks=False):
                        if len(os.fsencode(name.path)) > LONGEST:
                            raise PermissionError(name.path)
                        pending.append(name.path)
    return total


def _without_names(family, folder):
    """Lists files that were removed from a folder and are still in use, {which: bytes}."""
    sizes = {}
    for process in family:
        for path, link in _links(process).items():
            if link.startswith(f"{folder}/") and link.endswith(" (deleted)"):
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    status = os.stat(path)
                    sizes[status.st_ino] = status.st_blocks * 512
        with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(f"{_place(process)}/maps") as stream:
            for line in stream:
                if f" {folder}/" in line and line.endswith(" (deleted)\n") and int(line.split()[4]) not in sizes:
                    raise PermissionError(line)  # it is mapped, but not open: nobody can say how large it is
    return sizes
