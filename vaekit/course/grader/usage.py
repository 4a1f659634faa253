"""What graded code may use of a computer, and what it does use, measured from outside."""

import contextlib
import dataclasses
import os
from typing import NamedTuple

import psutil


@dataclasses.dataclass(frozen=True)
class Limits:
    """What graded code may use.

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
    """What a process and all that it started use: a list of `psutil.Process`, numbers, and bytes."""

    family: list
    threads: int
    memory: int
    disk: int


def family_of(number):
    """All that a process has started and that still runs, a list of `psutil.Process`."""
    try:
        return psutil.Process(number).children(recursive=True)
    except psutil.Error:
        return []


def usage(family, folder):
    """The `Usage` of these processes, which can write to this folder alone."""
    return Usage(family, _sum(family, psutil.Process.num_threads), _sum(family, _resident), _disk(family, folder))


def shared_memory(family):
    """Bytes of these processes' memory, in which what several share counts once. It takes longer to find out."""
    return _sum(family, _proportional)


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


def _disk(family, folder):
    """Bytes used in the file system of these processes, if they have one that may be looked at; else in the folder."""
    for process in family[-1:]:
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{process.pid}/root").st_dev != os.stat("/").st_dev:
                found = os.statvfs(f"/proc/{process.pid}/root{folder}")
                return (found.f_blocks - found.f_bfree) * found.f_frsize
    return _size(folder)


def _size(folder):
    """Bytes of the files in a folder."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(path, name)).st_blocks * 512
    return total
