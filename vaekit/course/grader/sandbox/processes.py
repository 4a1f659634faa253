"""The processes between the grader and the command: namespaces of its own, and an end that takes all with it."""

import json
import os
import signal
import stat

from files import new_root
from kernel import (
    NAMESPACES,
    PR_CAPBSET_DROP,
    PR_SET_CHILD_SUBREAPER,
    PR_SET_NO_NEW_PRIVS,
    PR_SET_PDEATHSIG,
    libc,
    prctl,
    reason,
)
from landlock import landlock
from limits import limit
from seccomp import seccomp

NOBODY = 65534
UNUSED = 0x70000000  # users from here on are nobody, each of them another one
CAPABILITIES = range(64)


def execute(settings, missing):
    environment = settings["environment"] | {"VAEKIT_MISSING": json.dumps(missing)}
    os.chdir(settings["work"])
    os.execve(settings["command"][0], settings["command"], environment)


def shut(settings, missing, user=None):
    """Closes this process in, and becomes the command."""
    for capability in CAPABILITIES:  # what root could have again in a new program
        prctl(PR_CAPBSET_DROP, capability)
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    os.setsid()  # `kill(0, …)` is for its own processes
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    for layer, close in (("limits", limit), ("Landlock", landlock), ("seccomp", seccomp)):
        if layer not in missing:
            close(settings, missing)
    execute(settings, missing)


def namespaces(settings, missing):
    """Starts the command as a child of the first process of namespaces of its own; ends as it ends."""
    report, answer = os.pipe(), os.pipe()
    middle = child(lambda: _unshared(settings, missing, report[1], answer[0]), signal.SIGTERM)
    problem = os.read(report[0], 1000).decode()
    if problem == "unshared":
        problem = _map_users(middle)
    os.write(answer[1], problem.encode() or b"mapped")
    relay(middle, signal.SIGTERM)


def _unshared(settings, missing, report, answer):
    """Leaves the namespaces this process was in, has its users mapped from outside, starts the first."""
    problem = missing.get("namespaces") or ("" if libc.unshare(NAMESPACES) == 0 else reason())
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM)  # which a new user namespace forgets
    os.write(report, problem.encode() or b"unshared")
    problem = os.read(answer, 1000).decode()
    if problem != "mapped":
        missing["namespaces"] = problem
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        user = _own_user(settings, missing)
        relay(child(lambda: shut(settings, missing, user)))
    relay(child(lambda: _first(settings, missing)))


def _map_users(process):
    """Maps a user to itself. Root may also become nobody: as root, no limit on processes would hold."""
    try:
        if os.getuid():
            _write(f"/proc/{process}/setgroups", "deny")
        for kind, number in {"uid": os.getuid(), "gid": os.getgid()}.items():
            itself = f"{number} {number} 1\n"
            try:
                _write(f"/proc/{process}/{kind}_map", itself + f"{NOBODY} {NOBODY} 1\n" * (os.getuid() == 0))
            except OSError:  # there is nobody within some containers
                _write(f"/proc/{process}/{kind}_map", itself)
    except OSError as error:
        return f"users cannot be mapped: {error.strerror}"
    return ""


def _own_user(settings, missing):
    """Makes a user for root's command without namespaces, who owns only the folder to write to; None if it cannot."""
    if os.getuid():
        return None
    needed = [folder for path in (*settings["read"], settings["work"]) for folder in _and_above(os.path.realpath(path))]
    if not all(_open_to_all(path) for path in needed if path != settings["work"]):
        missing["nobody"] = "root's own files are needed"
        return None
    user = UNUSED + os.getpid()
    try:
        for folder, _, names in os.walk(settings["work"]):
            for path in (folder, *(os.path.join(folder, name) for name in names)):
                os.chown(path, user, user)
    except OSError as error:  # there is no such user within a container, say
        missing["nobody"] = str(error)
        return None
    return user


def _and_above(path):
    while path != "/":
        yield path
        path = os.path.dirname(path)


def _write(path, text):
    with open(path, "w") as stream:
        stream.write(text)


def _first(settings, missing):
    """Runs as the first process of its namespace. When it ends, the kernel ends all others there."""
    user = None
    try:
        _write("/proc/sys/user/max_user_namespaces", "0")
    except OSError:
        pass
    with open("/proc/self/uid_map") as stream:
        mapped = len(stream.readlines())
    if os.getuid() == 0 and mapped > 1 and all(_open_to_all(path) for path in settings["read"]):
        user = NOBODY
    elif os.getuid() == 0:
        missing["nobody"] = "root's own files are needed" if mapped > 1 else "there is no such user"
    try:
        new_root(settings, user)
    except OSError as error:
        user, missing["mounts"] = None, str(error)
    relay(child(lambda: shut(settings, missing, user)))


def _open_to_all(path):
    wanted = stat.S_IROTH | (stat.S_IXOTH if os.path.isdir(path) else 0)
    return not os.path.exists(path) or os.stat(path).st_mode & wanted == wanted


def child(run, end=signal.SIGKILL):
    """Starts a process that gets a signal when this one ends. Returns its id."""
    number = os.fork()
    if number:
        return number
    try:
        prctl(PR_SET_PDEATHSIG, end)
        run()
    except BaseException as error:
        os.write(2, f"sandbox: {error!r}\n".encode())
    os._exit(1)


def relay(number, end=signal.SIGKILL):
    """Waits for a child, which SIGTERM ends early, by a signal; ends what else is left, and ends in the same way."""

    def stop(*_):
        try:
            os.kill(number, end)
        except ProcessLookupError:
            pass

    signal.signal(signal.SIGTERM, stop)
    for descriptor in (0, 1):
        os.close(descriptor)
    while True:
        ended, status = os.wait()
        if ended == number:
            break
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:  # orphans that came here
        for orphan in _children():
            os.kill(orphan, signal.SIGKILL)
        try:
            os.wait()
        except ChildProcessError:
            break
    os._exit(os.waitstatus_to_exitcode(status) % 256)


def _children():
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as stream:
            return [int(number) for number in stream.read().split()]
    except OSError:
        return []
