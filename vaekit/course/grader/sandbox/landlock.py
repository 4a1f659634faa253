"""Landlock: an allow-list of files, no signals and no sockets to the outside."""

import ctypes
import os
import struct

from files import DEVICES
from kernel import reason, syscall

CREATE, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # numbers of system calls
BENEATH = 1  # a rule for a path and what is below
EXECUTE, WRITE, READ, LIST = 1 << 0, 1 << 1, 1 << 2, 1 << 3  # of a file; what is in a folder
BASIC = (1 << 13) - 1  # these, and to remove and make what there is
REFER, TRUNCATE, IOCTL = 1 << 13, 1 << 14, 1 << 15  # which versions 2, 3 and 5 know
NETWORK = 1 << 0 | 1 << 1  # TCP: bind, connect
SCOPES = 1 << 0 | 1 << 1  # abstract sockets, signals


def landlock(settings, missing):
    """Closes all files but those listed, by Landlock of Linux 5.13 and later: as if the others were not there."""
    version = syscall(CREATE, None, ctypes.c_size_t(0), ctypes.c_uint(1))
    if version < 1:
        missing["Landlock"] = "not in this kernel"
        return
    files = BASIC | REFER * (version > 1) | TRUNCATE * (version > 2) | IOCTL * (version > 4)
    handled = struct.pack("QQQ", files, NETWORK * (version > 3), SCOPES * (version > 5))
    handled = handled[: 24 if version > 5 else 16 if version > 3 else 8]
    rules = syscall(CREATE, handled, ctypes.c_size_t(len(handled)), ctypes.c_uint(0))
    if rules < 0:
        missing["Landlock"] = reason()
        return

    def allow(path, rights):
        try:
            opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            return
        rights &= files if os.path.isdir(path) else files & (EXECUTE | WRITE | READ | TRUNCATE | IOCTL)
        rule = struct.pack("=Qi", rights, opened)
        if syscall(ADD_RULE, rules, ctypes.c_int(BENEATH), rule, ctypes.c_uint(0)):
            missing["Landlock"] = f"{path}: {reason()}"
        os.close(opened)

    read = EXECUTE | READ | LIST
    hidden = [os.path.realpath(path) for path in settings["hidden"]]
    for path in settings["read"]:
        for inside, whole in granted(os.path.realpath(path), hidden):
            allow(inside, read if whole else LIST)
    for path in DEVICES:
        allow(path, READ | WRITE)
    if "namespaces" not in missing and "mounts" not in missing:
        allow("/proc", read)  # its own
    else:
        for path in ("/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/filesystems", "/proc/sys/kernel"):
            allow(path, read)
        allow(f"/proc/{os.getpid()}", read)
    allow(settings["work"], files)
    if syscall(RESTRICT_SELF, rules, ctypes.c_uint(0)):
        missing["Landlock"] = reason()
    os.close(rules)


def granted(path, hidden):
    """Yields what of a folder may be read, where something below is hidden: (path, whether with all below)."""
    below = [place for place in hidden if place.startswith(path.rstrip("/") + "/")]
    if path in hidden:
        return
    yield path, not below
    if below:
        try:
            names = os.listdir(path)
        except OSError:
            return
        for name in names:
            inside = os.path.join(path, name)
            if not os.path.islink(inside):
                yield from granted(inside, below)
