"""A filter of system calls: no sockets but pairs of its own, no other process's memory, no hidden memory."""

import ctypes
import errno
import platform
import socket
import struct

from kernel import PR_SET_SECCOMP, libc, reason

# A line of a filter: what it does, how many lines to skip if true and if false, and a number.
LOAD, EQUAL, AT_LEAST, AND, RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
NUMBER, ARCHITECTURE, FIRST, SECOND = 0, 4, 16, 24  # where a call's parts are to be loaded from
ALLOW, ERROR = 0x7FFF0000, 0x00050000  # what is returned
OTHER_ABI = 0x40000000  # numbers of the calls of programs with short pointers begin here


def seccomp(settings, missing):
    """Calls that answer "not permitted": sockets but pairs of streams, others' memory, hidden memory.

    A socket of datagrams sends to any address without being connected, and a pair of such sockets does too.
    """
    machine = platform.machine()
    if machine not in CALLS:
        missing["seccomp"] = f"not written for {machine}"
        return
    architecture, socketpair, *refused = CALLS[machine]
    allow, deny = (RETURN, 0, 0, ALLOW), (RETURN, 0, 0, ERROR | errno.EPERM)
    program = [(LOAD, 0, 0, ARCHITECTURE), (EQUAL, 1, 0, architecture), deny]
    program += [(LOAD, 0, 0, NUMBER), (AT_LEAST, 0, 1, OTHER_ABI), deny]
    for number in refused:
        program += [(EQUAL, 0, 1, number), deny]
    program += [(EQUAL, 0, 6, socketpair), (LOAD, 0, 0, FIRST), (EQUAL, 0, 3, socket.AF_UNIX)]
    program += [(LOAD, 0, 0, SECOND), (AND, 0, 0, 0xF), (EQUAL, 1, 0, socket.SOCK_STREAM), deny, allow]  # 0xF: no flags
    code = b"".join(struct.pack("HBBI", *line) for line in program)
    buffer = ctypes.create_string_buffer(code)
    head = struct.pack("HxxxxxxP", len(program), ctypes.addressof(buffer))
    filtered = ctypes.c_ulong(2), ctypes.c_char_p(head), ctypes.c_ulong(0), ctypes.c_ulong(0)  # SECCOMP_MODE_FILTER
    if libc.prctl(PR_SET_SECCOMP, *filtered):
        missing["seccomp"] = reason()


# Audit's number of the architecture; socketpair; then: socket, connect, ptrace, process_vm_readv, process_vm_writev,
# memfd_create, shmget, userfaultfd, bpf, perf_event_open, add_key, request_key, keyctl, unshare, setns, io_uring_setup,
# memfd_secret
CALLS = {
    "x86_64": (0xC000003E, 53, 41, 42, 101, 310, 311, 319, 29, 323, 321, 298, 248, 249, 250, 272, 308, 425, 447),
    "aarch64": (0xC00000B7, 199, 198, 203, 117, 270, 271, 279, 194, 282, 280, 241, 217, 218, 219, 97, 268, 425, 447),
}
