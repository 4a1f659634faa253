"""The sandbox by itself, and what it is to keep graded code from. No program here needs a backend."""

import json
import os
import subprocess
import sys

import pytest

from vaekit.course import exercises, questions
from vaekit.course.grader import command, exposure, sandbox
from vaekit.course.grader.process import outside_socket
from vaekit.course.grader.report import isolation
from vaekit.course.grader.usage import Limits

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(sys.platform != "linux", reason="other systems isolate less, and say so"),
]
BESIDE = tuple(layer for layer in sandbox.LAYERS if layer != "namespaces")  # as many systems have it
LIMITS = Limits(cell=5, memory=512 << 20, disk=16 << 20, processes=60)


def shut_in(folder, *inner, **options):
    """What a command prints that is run in the sandbox, with a new folder to write to."""
    (folder / "work").mkdir(exist_ok=True)
    arguments, environment = command.shut_in(inner, {}, str(folder / "work"), LIMITS, **options)
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def python(folder, source, *arguments, **options):
    return shut_in(folder, sys.executable, "-I", "-c", source, *map(str, arguments), **options)


# ---- each layer

PROBE = """
import importlib.util, json, os, sys
spec = importlib.util.spec_from_file_location("exposure", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(json.dumps([module.exposure(**json.loads(sys.argv[2])), json.loads(os.environ["VAEKIT_MISSING"])]))
"""


@pytest.mark.parametrize(
    "layers, exposed",
    [
        (sandbox.LAYERS, set()),
        (("namespaces", "limits"), {"memory"}),
        (BESIDE, {"processes"}),  # their number is all of a user's
        (("limits", "Landlock"), {"files", "network", "processes", "memory"}),
        (("limits", "seccomp"), {"files", "processes", "memory"}),
        ((), {"files", "network", "processes", "memory"}),
    ],
)
def test_each_layer(tmp_path, layers, exposed):
    """What is tried succeeds exactly where the layer against it is left out; and each says which are."""
    attempts = {
        "grader": os.getpid(),
        "namespace": os.readlink("/proc/self/ns/pid"),
        "hidden": [room.__file__ for room in (exercises, questions)],
        "outside": str(tmp_path),
        "memory": LIMITS.memory + 1,
        "most": LIMITS.processes,
    }
    with outside_socket() as attempts["service"]:
        found, missing = json.loads(python(tmp_path, PROBE, exposure.__file__, json.dumps(attempts), layers=layers))
    if "namespaces" not in layers and os.getuid() == 0 and "nobody" not in missing and layers:
        exposed = exposed - {"processes"} if "seccomp" in layers else exposed  # root gives each a user of its own
    assert {name for name, how in found.items() if how} == exposed, found
    assert set(missing) - {"nobody"} == set(sandbox.LAYERS) - set(layers)


def test_the_first_line_says_where_more_is_isolated(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    said = "Isolated from this computer: network, processes, memory. Not files: how."
    assert isolation({"files": "how"}) == said
    (tmp_path / "docker").touch(0o700)
    assert (
        isolation({"files": "how"})
        == f"{said} Docker is installed: grading/README.md says how to grade in a container."
    )
    assert isolation({}) == "Isolated from this computer: files, network, processes, memory."


def test_other_systems_have_limits(tmp_path):
    """The sandbox on a system that is not Linux: it starts, and says what it lacks."""
    arguments, _ = command.shut_in(["/bin/sh", "-c", "ulimit -n; echo $VAEKIT_MISSING"], {}, str(tmp_path), LIMITS)
    start = "import sys, runpy; sys.platform = 'darwin'; sys.path.insert(0, sys.argv[1]); del sys.argv[0]\n"
    start += "runpy.run_path(sys.path[0] + '/__main__.py', run_name='__main__')"
    printed = subprocess.check_output([sys.executable, "-I", "-c", start, *arguments[-2:]], text=True).splitlines()
    assert printed[0] == "256" and set(json.loads(printed[1])) == {"namespaces", "Landlock", "seccomp"}


# ---- the teacher's files and processes

ATTACKS = r"""
import array, ctypes, errno, fcntl, json, mmap, os, resource, signal, socket, struct, sys

FILE, VICTIM = sys.argv[1], int(sys.argv[2])
libc = ctypes.CDLL(None, use_errno=True)
BUFFER = ctypes.create_string_buffer(256)


def call(name, *arguments):
    result = getattr(libc, name)(*arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result


def changed(attempt):
    # It may be pretended that a file is changed.
    def seen():
        found = os.stat(FILE)
        return found.st_mode, found.st_mtime, found.st_uid, found.st_size, found.st_ctime
    before = seen()
    attempt()
    assert seen() != before


def opened(attempt):
    descriptor = os.open(FILE, os.O_RDONLY)
    try:
        changed(lambda: attempt(descriptor))
    finally:
        os.close(descriptor)


def owned():
    reader, writer = os.pipe()
    fcntl.fcntl(reader, fcntl.F_SETOWN, VICTIM)
    fcntl.fcntl(reader, 10, signal.SIGURG)
    fcntl.fcntl(reader, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    os.write(writer, b"x")


def cloned():
    if (child := call("syscall", {"x86_64": 56, "aarch64": 220}[os.uname().machine], 0x10000000 | 17, 0, 0, 0, 0)) == 0:
        os._exit(0)
    os.waitpid(child, 0)


def passed():
    first, second = socket.socketpair()
    first.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [first.fileno()]))])


def queue(make, remove):
    number = call(make, 0, *([1] if make != "msgget" else []), 0o1600)
    call(remove, number, *([0] if make == "semget" else []), 0, 0)


ATTACKS = {
    "chmod": lambda: changed(lambda: os.chmod(FILE, 0o640)),
    "fchmod": lambda: opened(lambda descriptor: os.fchmod(descriptor, 0o604)),
    "utime": lambda: changed(lambda: os.utime(FILE, (1, 1))),
    "futimens": lambda: opened(lambda descriptor: os.utime(descriptor, (2, 2))),
    "chown": lambda: changed(lambda: os.chown(FILE, -1, os.getgid())),
    "setxattr": lambda: os.setxattr(FILE, "user.here", b"x"),
    "truncate": lambda: changed(lambda: os.truncate(FILE, 5)),
    "empty": lambda: changed(lambda: os.close(os.open(FILE, os.O_RDONLY | os.O_TRUNC))),
    "attributes": lambda: opened(lambda d: fcntl.ioctl(d, 0x40086602, struct.pack("l", 0x80))),
    "prlimit": lambda: resource.prlimit(VICTIM, resource.RLIMIT_CORE, (0, 0)),
    "priority": lambda: os.setpriority(os.PRIO_PROCESS, VICTIM, 5),
    "io_priority": lambda: call("syscall", {"x86_64": 251, "aarch64": 30}[os.uname().machine], 1, VICTIM, 3 << 13),
    "affinity": lambda: os.sched_setaffinity(VICTIM, os.sched_getaffinity(0)),
    "scheduler": lambda: os.sched_setscheduler(VICTIM, os.SCHED_BATCH, os.sched_param(0)),
    "kill": lambda: os.kill(VICTIM, signal.SIGURG),
    "owner_of_signals": owned,
    "pidfd": lambda: signal.pidfd_send_signal(os.pidfd_open(VICTIM), signal.SIGURG),
    "message_queue": lambda: queue("msgget", "msgctl"),
    "semaphores": lambda: queue("semget", "semctl"),
    "shared_memory": lambda: queue("shmget", "shmctl"),
    "posix_queue": lambda: (call("mq_open", b"/vaekit-here", 0o102, 0o600, None), libc.mq_unlink(b"/vaekit-here")),
    "memory_file": lambda: os.close(os.memfd_create("x")),
    "shared_pages": lambda: mmap.mmap(-1, 4096).close(),
    "zero_pages": lambda: mmap.mmap(os.open("/dev/zero", os.O_RDWR), 4096).close(),
    "large_buffer": lambda: socket.socketpair()[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20),
    "large_pipe": lambda: fcntl.fcntl(os.pipe()[1], 1031, 1 << 20),
    "socket_in_a_message": passed,
    "not_to_be_seen": lambda: call("prctl", 4, 0, 0, 0, 0),
    "key": lambda: call("syscall", {"x86_64": 248, "aarch64": 217}[os.uname().machine], b"user", b"x", b"x", 1, -2),
    "asynchronous": lambda: call("syscall", {"x86_64": 206, "aarch64": 0}[os.uname().machine], 1, BUFFER),
    "ring": lambda: os.close(call("syscall", 425, 1, BUFFER)),
    "watch": lambda: os.close(call("inotify_init1", 0)),
    "namespace": cloned,
}
done = []
for name, attack in ATTACKS.items():
    try:
        attack()
        done.append(name)
    except (OSError, AssertionError, AttributeError):
        pass
print(json.dumps(done))
"""
OPEN = {"chmod", "fchmod", "utime", "futimens", "chown", "truncate", "empty", "prlimit", "priority", "io_priority"}
OPEN |= {"affinity", "scheduler", "kill", "owner_of_signals", "message_queue", "semaphores", "shared_memory"}
OPEN |= {"memory_file", "shared_pages", "zero_pages", "large_buffer", "large_pipe", "socket_in_a_message"}
OPEN |= {"not_to_be_seen", "watch"}


@pytest.mark.parametrize("layers, least", [(sandbox.LAYERS, set()), (BESIDE, set()), ((), OPEN)])
def test_nothing_of_the_teachers_changes(tmp_path, layers, least):
    """Each attack succeeds where there is no sandbox, and not in it."""
    (tmp_path / "read").mkdir()
    file = tmp_path / "read" / "file"
    file.write_text("a text")
    with subprocess.Popen(["sleep", "60"]) as victim:
        try:
            done = json.loads(python(tmp_path, ATTACKS, file, victim.pid, read=[str(file)], layers=layers))
            assert victim.poll() is None
        finally:
            victim.kill()
    if os.getuid() == 0:  # the sandbox takes root's capabilities in any case
        least = least - {"priority", "io_priority", "affinity", "scheduler"}
    assert least <= set(done) and (least or not done), done
    if not least:
        assert file.read_text() == "a text" and not os.path.exists("/dev/mqueue/vaekit-here")


HONEST = r"""
import asyncio, mmap, os, resource, shutil, signal, subprocess, sys, tempfile, threading, zipfile
with open("a", "w") as file:
    file.write("text")
assert shutil.copy2("a", "b") and shutil.move("b", "c") and open("c").read() == "text"
with zipfile.ZipFile("z.zip", "w") as archive:
    archive.write("a")
zipfile.ZipFile("z.zip").extractall("unpacked")
os.chmod("a", 0o600)
os.utime("a")
with open("a", "r+") as file:
    file.truncate(2)
    assert mmap.mmap(file.fileno(), 2)[:] == b"te"
assert subprocess.run([sys.executable, "-I", "-c", "print(6 * 7)"], capture_output=True).stdout == b"42\n"
assert tempfile.TemporaryFile().fileno() and os.read(os.open("/dev/urandom", os.O_RDONLY), 1)
print("x", file=open("/dev/null", "w"))
asyncio.run(asyncio.sleep(0))
os.sched_setaffinity(0, os.sched_getaffinity(0))
resource.setrlimit(resource.RLIMIT_CPU, resource.getrlimit(resource.RLIMIT_CPU))
signal.signal(signal.SIGUSR1, lambda *_: print("signal"))
os.kill(os.getpid(), signal.SIGUSR1)
thread = threading.Thread(target=print, args=["thread"])
thread.start()
thread.join()
if (child := os.fork()) == 0:
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
print("done", os.isatty(0), len(os.listdir(".")))
"""


@pytest.mark.parametrize("layers", [sandbox.LAYERS, BESIDE])
def test_what_honest_programs_need(tmp_path, layers):
    assert python(tmp_path, HONEST, layers=layers).split("\n")[-2] == "done False 4"


SOCKETS = """
import socket, sys
kept = []


def pair(*kind):
    kept.append(socket.socketpair(*kind))
    return kept[-1][0]


made = {"socket": socket.socket, "socketpair": pair}
for name, kind in (("socket", "STREAM"), ("socket", "DGRAM"), *[("socketpair", k) for k in ("STREAM", "DGRAM", "RAW")]):
    try:
        connection = made[name](socket.AF_UNIX, getattr(socket, f"SOCK_{kind}") | socket.SOCK_CLOEXEC)
        connection.send(b"x") if kind == "STREAM" and name == "socketpair" else connection.sendto(b"x", sys.argv[1])
        print(name, kind)
    except OSError:
        pass
"""


@pytest.mark.parametrize("layers, possible", [((), 3), (("seccomp",), 0)])
def test_sockets_of_datagrams_reach_no_other_program(tmp_path, layers, possible):
    """A pair of streams stays, which event loops need."""
    with outside_socket() as service:
        printed = python(tmp_path, SOCKETS, service, layers=layers)
    assert "socketpair STREAM" in printed and len(printed.splitlines()) == 1 + possible, printed


def test_a_process_has_few_cores(tmp_path, monkeypatch):
    """On a computer of many, it would start more threads than it may, and be faster than on others."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(10, 20)))
    shares = [set(command._cores()) for _ in range(5)]
    assert all(len(share) == command.CORES for share in shares) and set().union(*shares) == set(range(10, 20))
    monkeypatch.undo()
    core = min(os.sched_getaffinity(0))
    monkeypatch.setattr(command, "_cores", lambda: [core])
    printed = python(tmp_path, "import os; print(os.sched_getaffinity(0))")
    assert printed.strip() == f"{{{core}}}"


# ---- what is hidden, wherever it lies


@pytest.mark.parametrize("layers", [("namespaces", "limits"), ("limits", "Landlock")])
def test_what_is_hidden_within_what_is_readable(tmp_path, monkeypatch, layers):
    """Files below a hidden folder are closed, files around it and a readable folder within it are open."""
    places = ("open", "open/hidden", "open/hidden/readable", "open/hidden/readable/submissions", "hidden/submissions")
    for place in places:
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "text").write_text(place)
    (tmp_path / "link").symlink_to("open/hidden/readable/submissions")
    monkeypatch.setattr(command, "_checkout", lambda package: [str(tmp_path / "open/hidden")])
    script = f"for place in {' '.join(places)} link; do cat {tmp_path}/$place/text; echo; done; echo > here"
    read = [str(tmp_path / place) for place in ("open", "open/hidden/readable", "hidden/submissions")]
    hidden = [tmp_path / "link", tmp_path / "hidden", tmp_path / "hidden/submissions"]
    printed = shut_in(tmp_path, "/bin/sh", "-c", script, read=read, layers=layers, hidden=hidden)
    assert printed.split() == ["open", "open/hidden/readable"]


def test_a_course_in_pythons_folder(tmp_path, monkeypatch):
    """Of the folder of a virtual environment, and of the mirror of data, graded code sees what it needs."""
    for place in ("lib/text", "solutions/text", "train-images-idx3-ubyte.gz", "01.ipynb"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_text(place)
    arguments, _ = command.shut_in(["true"], {}, str(tmp_path), LIMITS)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setenv("VAEKIT_DATA", str(tmp_path))
    arguments, _ = command.command(str(tmp_path / "work"), LIMITS, [tmp_path / "marks"])
    settings = json.loads(arguments[-1])
    ours = {path for path in settings["read"] if path.startswith(str(tmp_path))}
    assert ours == {str(tmp_path / "lib"), str(tmp_path / "train-images-idx3-ubyte.gz")}
    assert str(tmp_path / "marks") in settings["hidden"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root mounts")
def test_mounts_below_what_is_readable_are_not_to_be_written(tmp_path):
    place = tmp_path / "read" / "an odd name"
    for folder in (place, tmp_path / "work"):
        folder.mkdir(parents=True)
    script, options = f"(echo after > '{place}/text') 2>&-; cat '{place}/text'", {"layers": ("namespaces", "limits")}
    inner, read = ["/bin/sh", "-c", script], [str(tmp_path / "read")]
    arguments, environment = command.shut_in(inner, {}, str(tmp_path / "work"), LIMITS, read, **options)
    outer = 'mount -t tmpfs -o mode=777 none "$0" && echo before > "$0/text" && chmod 666 "$0/text" && exec "$@"'
    whole = ["unshare", "--mount", "/bin/sh", "-c", outer, str(place), *arguments]
    done = subprocess.run(whole, env=os.environ | environment, capture_output=True, text=True, timeout=60)
    assert done.stdout == "before\n", done.stderr
