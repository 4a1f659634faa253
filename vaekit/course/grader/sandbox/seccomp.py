"""A filter of system calls: what other programs are reached by, and memory that no process is charged for."""

import ctypes
import errno
import os
import platform
import socket
import struct

from calls import (
    ARCHITECTURES,
    BY_ARGUMENT,
    MACHINES,
    OF_FILES,
    OF_ITSELF,
    OF_PROCESSES,
    PRETENDED,
    REFUSED,
    numbers,
)
from kernel import NAMESPACES, PR_SET_DUMPABLE, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, libc, reason

# A line of a filter: what it does, how many lines to skip if true and if false, and a number.
LOAD, EQUAL, AT_LEAST, AND, RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16  # where a call's parts are to be loaded from
ALLOW, ERROR = 0x7FFF0000, 0x00050000  # what is returned
OTHER_ABI = 0x40000000  # numbers of the calls of programs with short pointers begin here

SHARED_ANONYMOUS = 0x21  # flags of mmap
F_SETOWN, F_SETSIG, F_SETOWN_EX, F_SETLEASE, F_NOTIFY, F_SETPIPE_SZ = 8, 10, 15, 1024, 1026, 1031
TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX = IOCTLS = 0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451


def seccomp(settings, missing):
    """Refuses calls with "not permitted", or pretends that they succeeded."""
    machine = platform.machine()
    if machine not in MACHINES:
        missing["seccomp"] = f"not written for {machine}"
        return
    deny = (RETURN, 0, 0, ERROR | errno.EPERM)
    program = [(LOAD, 0, 0, ARCHITECTURE), (EQUAL, 1, 0, ARCHITECTURES[MACHINES.index(machine)]), deny]
    program += [(LOAD, 0, 0, NUMBER), (AT_LEAST, 0, 1, OTHER_ABI), deny]
    program += _everywhere(machine)
    if "namespaces" in missing or "mounts" in missing:
        program += _beside_others(machine, os.getpid())
    program.append((RETURN, 0, 0, ALLOW))
    code = b"".join(struct.pack("HBBI", *line) for line in program)
    buffer = ctypes.create_string_buffer(code)
    head = struct.pack("HxxxxxxP", len(program), ctypes.addressof(buffer))
    filtered = ctypes.c_ulong(SECCOMP_MODE_FILTER), ctypes.c_char_p(head), ctypes.c_ulong(0), ctypes.c_ulong(0)
    if libc.prctl(PR_SET_SECCOMP, *filtered):
        missing["seccomp"] = reason()


def _everywhere(machine):
    calls = numbers(BY_ARGUMENT, machine)
    return [
        *_refused(numbers(REFUSED, machine)),
        # One of a pair of datagrams sends to any address. Shared pages of no file stay when they are advised away, and
        # nobody is charged for them. The grader is to see what a process has open.
        *_unless(calls["socketpair"], 0, [socket.AF_UNIX]),
        *_unless(calls["socketpair"], 1, [socket.SOCK_STREAM], mask=0xF),  # without its flags
        *_when(calls["mmap"], 3, [SHARED_ANONYMOUS], mask=SHARED_ANONYMOUS),
        *_when(calls["prctl"], 0, [PR_SET_DUMPABLE]),
        *_when(calls["fcntl"], 1, [F_SETOWN, F_SETSIG, F_SETOWN_EX, F_SETLEASE, F_NOTIFY, F_SETPIPE_SZ]),
        *_unless(calls["ioctl"], 1, IOCTLS, error=errno.ENOTTY),
        *_unless(calls["clone"], 0, [0], mask=NAMESPACES),
        *_refused({"clone3": calls["clone3"]}, errno.ENOSYS),  # its flags are out of sight; programs then take `clone`
    ]


def _beside_others(machine, itself):
    """Refuses what reaches files and processes of the same user, where these are in sight."""
    calls = numbers(BY_ARGUMENT, machine)
    lines = _refused(numbers(OF_FILES + "," + OF_PROCESSES, machine)) + _refused(numbers(PRETENDED, machine), 0)
    for number in numbers(OF_ITSELF, machine).values():
        lines += _unless(number, 0, [0, itself])
    for name, argument in (("open", 1), ("openat", 2)):  # to open a file for reading may empty it
        if name in calls:
            lines += _when(calls[name], argument, [os.O_TRUNC], mask=os.O_TRUNC | os.O_ACCMODE)
    return lines + _refused({"openat2": calls["openat2"]}, errno.ENOSYS)


def _refused(calls, error=errno.EPERM):
    return [line for number in calls.values() for line in ((EQUAL, 0, 1, number), (RETURN, 0, 0, ERROR | error))]


def _unless(number, argument, values, mask=0xFFFFFFFF, error=errno.EPERM):
    """Refuses a call unless an argument, as far as the mask goes, is one of these values."""
    compared = [(EQUAL, len(values) - i, 0, value) for i, value in enumerate(values)]
    return _call(number, argument, mask, [*compared, (RETURN, 0, 0, ERROR | error)])


def _when(number, argument, values, mask=0xFFFFFFFF):
    """Refuses a call when an argument is one of these values."""
    last = len(values) - 1
    compared = [(EQUAL, last - i, int(i == last), value) for i, value in enumerate(values)]
    return _call(number, argument, mask, [*compared, (RETURN, 0, 0, ERROR | errno.EPERM)])


def _call(number, argument, mask, lines):
    """Writes lines for one call alone, about one of its arguments."""
    lines = [(LOAD, 0, 0, ARGUMENTS + 8 * argument), (AND, 0, 0, mask), *lines, (LOAD, 0, 0, NUMBER)]
    return [(EQUAL, 0, len(lines), number), *lines]
