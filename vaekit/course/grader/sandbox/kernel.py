"""Calls of the Linux kernel that Python's standard library does not have, and the numbers that they take."""

import ctypes
import os
import sys

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP = 1, 4, 22, 24
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 36, 38
SECCOMP_MODE_FILTER = 2
CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x02000000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
NAMESPACES = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 0x20
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
MNT_DETACH = 2

libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def prctl(option, value):
    return libc.prctl(option, ctypes.c_ulong(value), *[ctypes.c_ulong(0)] * 3)


def syscall(number, *arguments):
    return libc.syscall(ctypes.c_long(number), *arguments)


def reason():
    """Returns why the last call failed, a text."""
    return os.strerror(ctypes.get_errno())


def mount(source, target, kind, flags, data=""):
    encoded = [None if text is None else text.encode() for text in (source, target, kind)]
    check(libc.mount(*encoded, ctypes.c_ulong(flags), data.encode()), target)


def check(result, path):
    """Raises OSError where a call failed."""
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
