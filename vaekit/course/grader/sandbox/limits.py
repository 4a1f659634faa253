"""Limits of the system on memory, processes, processor time, size and number of files."""

import os
import sys

try:
    import resource
except ImportError:  # Windows
    resource = None


def limit(settings, missing):
    limits = {
        "RLIMIT_DATA": settings["memory"],
        "RLIMIT_CPU": settings["seconds"],
        "RLIMIT_FSIZE": settings["disk"],
        "RLIMIT_NOFILE": 256,  # each may be a socket, with memory of its own
        "RLIMIT_SIGPENDING": 1024,  # which all of a user share
        "RLIMIT_CORE": 0,
    }
    if sys.platform == "linux":  # counted per user
        limits["RLIMIT_NPROC"] = settings["processes"]
        if "namespaces" in missing and (there := _threads()):  # with those that are there, and with other notebooks'
            limits["RLIMIT_NPROC"] = there + 8 * settings["processes"]
    try:
        if settings["cores"]:
            os.sched_setaffinity(0, settings["cores"])
    except OSError as error:
        missing["cores"] = str(error)
    for name, value in limits.items():
        try:
            kind = getattr(resource, name)
            hard = resource.getrlimit(kind)[1]
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(kind, (value, value))
        except (AttributeError, OSError, ValueError) as error:
            missing[name] = str(error)


def _threads():
    """Counts the threads that the user runs already, besides this process."""
    number = 0
    for process in {*filter(str.isdecimal, os.listdir("/proc"))} - {str(os.getpid())}:
        try:
            if os.stat(f"/proc/{process}").st_uid == os.getuid():
                number += len(os.listdir(f"/proc/{process}/task"))
        except OSError:
            pass
    return number
