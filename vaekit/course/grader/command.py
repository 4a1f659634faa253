"""Makes the command that starts the process for graded code, shut in: what that process finds, and what is hidden."""

import itertools
import json
import os
import sys
from pathlib import Path

import vaekit
from vaekit import backend
from vaekit.course import exercises, questions
from vaekit.course.grader import inside, sandbox
from vaekit.datasets.files import DatasetError, cache_directory
from vaekit.datasets.registry import located

CORES = 4  # backends start threads for each core, and time is to be the same on all computers
HIDDEN = (exercises, questions)  # the answers, and how they are judged: graded code may see `vaekit.course.observe`

SYSTEM = """/usr /lib /lib32 /lib64 /bin /nix/store /etc/ld.so.cache /etc/ld.so.conf /etc/ld.so.conf.d /etc/alternatives
/etc/localtime /etc/fonts /etc/mime.types /sys/devices/system/cpu""".split()
PREFIX = "bin lib lib32 lib64 include share etc ssl pyvenv.cfg".split()  # what of Python's folder is Python's

THREADS = """OMP_NUM_THREADS OPENBLAS_NUM_THREADS MKL_NUM_THREADS VECLIB_MAXIMUM_THREADS NPROC
TF_NUM_INTRAOP_THREADS TF_NUM_INTEROP_THREADS""".split()  # NPROC is what XLA reads


def command(work, limits, hidden=()):
    """Makes the command that starts `inside.py`, and its environment: of the user's only the backend and the data.

    Args:
        work: path of a folder, the only one that can be written.
        limits: a `Limits`.
        hidden: folders of which nothing may be read, wherever they lie.
    """
    packages = [
        folder
        for folder in sys.path
        if Path(folder).name in ("site-packages", "dist-packages")
        and not folder.startswith((sys.prefix, sys.base_prefix))
    ]
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
        "VAEKIT_CACHE": str(cache_directory().absolute()),
        "VAEKIT_MISSING": "{}",
    }
    if sys.platform != "linux":  # where the sandbox takes no cores away
        environment |= dict.fromkeys(THREADS, str(CORES))
    environment |= {name: os.environ[name] for name in ("TZ",) if os.environ.get(name)}
    if mirror := os.environ.get("VAEKIT_DATA"):
        environment["VAEKIT_DATA"] = os.path.abspath(os.path.expanduser(mirror))
    start = [sys.executable, "-P", "-s", inside.__file__]
    if os.name == "nt":
        needed = ("SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "NUMBER_OF_PROCESSORS")
        environment |= {name: os.environ[name] for name in needed if name in os.environ}
        environment |= {"TEMP": work, "TMP": work, "USERPROFILE": work}
        return start, environment | {"VAEKIT_MISSING": json.dumps({"sandbox": "Windows has none"})}
    return shut_in(start, environment, work, limits, [*packages, *_data()], hidden)


def shut_in(arguments, environment, work, limits, read=(), hidden=(), layers=sandbox.LAYERS):
    """Makes the command that runs a command in the sandbox, and its environment.

    Args:
        arguments: of the command, list of texts; the first is a path.
        environment: dict of texts.
        work: path of a folder, the only one that can be written.
        limits: a `Limits`.
        read: paths that can be read, besides those of the system, of Python, and of vaekit but what is `HIDDEN`.
        hidden: folders of which nothing may be read, wherever they lie.
        layers: of the sandbox.
    """
    package = Path(vaekit.__file__).resolve().parent
    cores = _cores()
    python = [os.path.join(prefix, name) for prefix in (sys.prefix, sys.base_prefix) for name in PREFIX]
    readable = [str(path) for path in (*SYSTEM, *python, *read, package) if os.path.exists(path)]
    settings = {
        "command": arguments,
        "environment": environment,
        "work": work,
        "read": readable,
        "hidden": [*(os.path.dirname(room.__file__) for room in HIDDEN), *_checkout(package), *map(str, hidden)],
        "memory": limits.memory,
        "disk": limits.disk,
        "processes": limits.processes,
        "cores": cores,
        "seconds": (int(limits.notebook) + 60) * (len(cores) or CORES),  # of processors, all of them together
        "left_out": [layer for layer in sandbox.LAYERS if layer not in layers],
    }
    return [sys.executable, "-I", "-S", os.path.dirname(sandbox.__file__), json.dumps(settings)], {"LANG": "C.UTF-8"}


def _data():
    """Lists the data files, each by itself: among them may lie other things."""
    try:
        return [str(path.absolute()) for path in located()]
    except DatasetError:  # who asks for data gets the error
        return []


_started = itertools.count()


def _cores():
    """Lists the cores for a process: the next few of those that the grader may use, so that processes share all."""
    if not hasattr(os, "sched_getaffinity"):
        return []
    allowed, number = sorted(os.sched_getaffinity(0)), next(_started)
    return list({allowed[(number * CORES + i) % len(allowed)] for i in range(CORES)})


def _checkout(package):
    """Lists the folder with lessons, solutions and tests beside the package, if it is checked out and not installed."""
    return [str(package.parent)] if (package.parent / "pyproject.toml").exists() else []
