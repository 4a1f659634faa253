"""A command shut in: `python -I -S sandbox.py SETTINGS`, where SETTINGS is what `command.shut_in` makes, as JSON.

Layers, each of its own: one that this system does not offer is left out, and the others still hold.

1. namespaces: its own processes, network, users; a file system of tmpfs and read-only binds; ends with this process;
2. limits on memory, processes, processor time, size and number of files;
3. Landlock: an allow-list of files; no signals and no sockets to the outside;
4. seccomp: no sockets but pairs of its own, no other process's memory, no memory that belongs to no process.

Needs the standard library alone, and imports nothing of vaekit: Landlock holds for the thread that asks for it and for
what that thread starts, so it comes before any library with threads of its own. What could not be had is told to the
command in the environment variable VAEKIT_MISSING, a JSON object {layer: reason}; whether it holds, the command tries.
"""

import ctypes
import json
import os
import platform
import signal
import stat
import struct
import sys

try:
    import resource
except ImportError:  # Windows
    resource = None

LAYERS = ("namespaces", "limits", "Landlock", "seccomp")
NOBODY = 65534


def main():
    settings = json.loads(sys.argv[1])
    missing = {layer: "not wanted" for layer in LAYERS if layer not in settings["layers"]}
    if sys.platform != "linux":
        missing["namespaces"] = missing["Landlock"] = missing["seccomp"] = f"{platform.system()} has none"
        if "limits" not in missing:
            limit(settings, missing)
        execute(settings, missing)
    prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: ends with who started it
    prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: orphans come to this process, which ends them
    namespaces(settings, missing)


def execute(settings, missing):
    environment = settings["environment"] | {"VAEKIT_MISSING": json.dumps(missing)}
    os.chdir(settings["work"])
    os.execve(settings["command"][0], settings["command"], environment)


def shut(settings, missing, user=None):
    """In the process that is to become the command: everything that is done to itself."""
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    prctl(38, 1)  # PR_SET_NO_NEW_PRIVS
    for layer, close in (("limits", limit), ("Landlock", landlock), ("seccomp", seccomp)):
        if layer not in missing:
            close(settings, missing)
    execute(settings, missing)


# ---- processes


def namespaces(settings, missing):
    """Starts the command as a child of the first process of namespaces of its own; ends as it ends."""
    told, answer = os.pipe(), os.pipe()
    middle = child(lambda: _unshared(settings, missing, told[1], answer[0]))
    reason = os.read(told[0], 1000).decode()
    if reason == "unshared":
        reason = _map_users(middle)
    os.write(answer[1], reason.encode() or b"mapped")
    relay(middle)


def _unshared(settings, missing, told, answer):
    # user, mount, process, network, ipc, host name, cgroup
    flags = 0x10000000 | 0x00020000 | 0x20000000 | 0x40000000 | 0x08000000 | 0x04000000 | 0x02000000
    reason = missing.get("namespaces") or ("" if libc.unshare(flags) == 0 else os.strerror(ctypes.get_errno()))
    prctl(1, signal.SIGKILL)  # which a new user namespace forgets
    os.write(told, reason.encode() or b"unshared")
    reason = os.read(answer, 1000).decode()
    if reason != "mapped":
        missing["namespaces"] = reason
        prctl(36, 1)
        relay(child(lambda: shut(settings, missing)))
    relay(child(lambda: _first(settings, missing)))


def _map_users(process):
    """A user stays who it is. Root does too, and may become nobody; as root, no limit on processes would hold."""
    try:
        ids = {"uid": os.getuid(), "gid": os.getgid()}
        for kind, number in ids.items():
            if os.getuid():
                if kind == "gid":
                    _write(f"/proc/{process}/setgroups", "deny")
                _write(f"/proc/{process}/{kind}_map", f"{number} {number} 1\n")
            else:
                _write(f"/proc/{process}/{kind}_map", f"{number} {number} 1\n{NOBODY} {NOBODY} 1\n")
    except OSError as error:
        return f"users cannot be mapped: {error.strerror}"
    return ""


def _write(path, text):
    with open(path, "w") as stream:
        stream.write(text)


def _first(settings, missing):
    """The first process of its namespace. When it ends, the kernel ends all others there."""
    user = None
    try:
        _write("/proc/sys/user/max_user_namespaces", "0")
    except OSError:
        pass
    if os.getuid() == 0 and all(_open_to_all(path) for path in settings["read"]):
        user = NOBODY
    elif os.getuid() == 0:
        missing["nobody"] = "root's own files are needed"
    try:
        new_root(settings, user)
    except OSError as error:
        user, missing["mounts"] = None, str(error)
    relay(child(lambda: shut(settings, missing, user)))


def _open_to_all(path):
    wanted = stat.S_IROTH | (stat.S_IXOTH if os.path.isdir(path) else 0)
    return not os.path.exists(path) or os.stat(path).st_mode & wanted == wanted


def child(run):
    """Starts a process that ends when this one does, if not before. Returns its id."""
    number = os.fork()
    if number:
        return number
    try:
        prctl(1, signal.SIGKILL)
        run()
    except BaseException as error:
        os.write(2, f"sandbox: {error!r}\n".encode())
    os._exit(1)


def relay(number):
    """Waits for a child, ends what else is left, and ends in the same way."""
    for descriptor in (0, 1):
        os.close(descriptor)
    while True:
        ended, status = os.wait()
        if ended == number:
            break
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


# ---- files


def new_root(settings, user):
    """A root of which only `read` (read-only), `work` (of limited size), /proc and a few devices are part."""
    work, hidden = settings["work"], settings["hidden"]
    contents = {
        os.path.relpath(os.path.join(folder, name), work): _read(os.path.join(folder, name))
        for folder, _, names in os.walk(work)
        for name in names
    }
    mount("none", "/", None, 0x4000 | 0x40000)  # MS_REC, MS_PRIVATE
    mount("tmpfs", work, "tmpfs", 2 | 4, "size=16m,mode=755")
    bound, covers = [], []
    for path in sorted(filter(os.path.exists, [*settings["read"], *DEVICES]), key=lambda path: len(resolved(path)[1])):
        links, real = resolved(path)
        for link, target in links:
            if not os.path.lexists(work + link) and not within(link, bound):
                os.makedirs(os.path.dirname(work + link), exist_ok=True)
                os.symlink(target, work + link)
        if within(real, bound) and within(real, covers) <= within(real, bound):
            continue
        os.makedirs(work + os.path.dirname(real), exist_ok=True)
        if os.path.isdir(real):
            os.makedirs(work + real, exist_ok=True)
        else:
            open(work + real, "a").close()
        mount(real, work + real, None, 0x1000 | 0x4000)  # MS_BIND, MS_REC
        bound.append(real)
        if path not in DEVICES:
            kept = os.statvfs(work + real).f_flag & 0xF
            mount(None, work + real, None, 0x20 | 0x1000 | kept | 1 | 2)  # MS_REMOUNT, MS_RDONLY, MS_NOSUID
        for inside in hidden:
            if inside.startswith(f"{real}/") and os.path.isdir(inside):
                mount("tmpfs", work + inside, "tmpfs", 2 | 4, "size=64k,mode=111")
                covers.append(inside)
    for inside in covers:
        mount(None, work + inside, None, 0x20 | 0x1000 | 1 | 2 | 4)
    owner = "" if user is None else f",uid={user},gid={user}"
    os.makedirs(work + work, exist_ok=True)
    mount("tmpfs", work + work, "tmpfs", 2 | 4, f"size={settings['disk']},nr_inodes=20000,mode=700{owner}")
    for target, content in contents.items():
        place = os.path.join(work + work, target)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "wb") as stream:
            stream.write(content)
    if user is not None:
        for folder, folders, names in os.walk(work + work):
            for name in (*folders, *names):
                os.chown(os.path.join(folder, name), user, user)
    os.makedirs(work + "/proc", exist_ok=True)
    try:
        mount("proc", work + "/proc", "proc", 2 | 4 | 8)
    except OSError:  # forbidden within some containers: then there is none
        pass
    os.chdir(work)
    if libc.syscall(ctypes.c_long(155 if platform.machine() == "x86_64" else 41), b".", b"."):  # pivot_root
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "/")
    if libc.umount2(b".", 2):  # MNT_DETACH
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "/")
    os.chdir("/")
    mount(None, "/", None, 0x20 | 0x1000 | 1 | 2 | 4)


DEVICES = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"]


def within(path, folders):
    """How long the name of the innermost of these folders is that a path is in; 0 if it is in none."""
    return max((len(folder) for folder in folders if f"{path}/".startswith(f"{folder}/")), default=0)


def resolved(path):
    """The symbolic links on the way to a path, [(link, its target)], and where it really is."""
    links, real, left = [], "", [part for part in path.split("/") if part]
    while left:
        part = left.pop(0)
        if part in ("", "."):
            continue
        if part == "..":
            real = os.path.dirname(real).rstrip("/")
            continue
        if os.path.islink(f"{real}/{part}"):
            target = os.readlink(f"{real}/{part}")
            links.append((f"{real}/{part}", target))
            real, left = "" if target.startswith("/") else real, target.split("/") + left
        else:
            real = f"{real}/{part}"
    return links, real or "/"


def _read(path):
    with open(path, "rb") as stream:
        return stream.read()


def mount(source, target, kind, flags, data=""):
    encoded = [None if text is None else text.encode() for text in (source, target, kind)]
    if libc.mount(*encoded, ctypes.c_ulong(flags), data.encode()):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), target)


def landlock(settings, missing):
    """Landlock, Linux 5.13 and later. Names that it does not list are as closed as if they were not there."""
    version = libc.syscall(ctypes.c_long(444), None, ctypes.c_size_t(0), ctypes.c_uint(1))
    if version < 1:
        missing["Landlock"] = "not in this kernel"
        return
    # execute, write, read file | list | remove, make | refer (2), truncate (3), ioctl (5)
    files = (1 << 13) - 1 | (version > 1) << 13 | (version > 2) << 14 | (version > 4) << 15
    asked = struct.pack("QQQ", files, 3 * (version > 3), 3 * (version > 5))  # TCP bind, connect; sockets, signals
    asked = asked[: 24 if version > 5 else 16 if version > 3 else 8]
    rules = libc.syscall(ctypes.c_long(444), asked, ctypes.c_size_t(len(asked)), ctypes.c_uint(0))
    if rules < 0:
        missing["Landlock"] = os.strerror(ctypes.get_errno())
        return
    of_a_file = 0b111 | 1 << 14 | 1 << 15

    def allow(path, rights):
        try:
            opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            return
        rights &= files if os.path.isdir(path) else files & of_a_file
        rule = struct.pack("=Qi", rights, opened)
        if libc.syscall(ctypes.c_long(445), rules, ctypes.c_int(1), rule, ctypes.c_uint(0)):
            missing["Landlock"] = f"{path}: {os.strerror(ctypes.get_errno())}"
        os.close(opened)

    read, listing = 0b1101, 0b1000
    for path in settings["read"]:
        for inside, whole in granted(os.path.realpath(path), settings["hidden"]):
            allow(inside, read if whole else listing)
    for path in DEVICES:
        allow(path, 0b110)
    if "namespaces" not in missing and "mounts" not in missing:
        allow("/proc", read)  # its own
    else:
        for path in ("/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/filesystems", "/proc/sys/kernel"):
            allow(path, read)
        allow(f"/proc/{os.getpid()}", read)
    allow(settings["work"], files)
    if libc.syscall(ctypes.c_long(446), rules, ctypes.c_uint(0)):
        missing["Landlock"] = os.strerror(ctypes.get_errno())
    os.close(rules)


def granted(path, hidden):
    """What of a folder may be read, where something below is hidden: (path, whether with all that is below)."""
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


# ---- limits


def limit(settings, missing):
    asked = {
        "RLIMIT_DATA": settings["memory"],
        "RLIMIT_CPU": settings["seconds"],
        "RLIMIT_FSIZE": settings["disk"],
        "RLIMIT_NOFILE": 512,
        "RLIMIT_CORE": 0,
    }
    if sys.platform == "linux":  # counted per user, so with those that are there
        asked["RLIMIT_NPROC"] = settings["processes"] + ("namespaces" in missing and _threads())
    try:
        if settings["cores"]:
            os.sched_setaffinity(0, settings["cores"])
    except OSError as error:
        missing["cores"] = str(error)
    for name, value in asked.items():
        try:
            kind = getattr(resource, name)
            hard = resource.getrlimit(kind)[1]
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(kind, (value, value))
        except (AttributeError, OSError, ValueError) as error:
            missing[name] = str(error)


def _threads():
    """Number of threads that the user runs already."""
    number = 0
    for process in filter(str.isdecimal, os.listdir("/proc")):
        try:
            if os.stat(f"/proc/{process}").st_uid == os.getuid():
                number += len(os.listdir(f"/proc/{process}/task"))
        except OSError:
            pass
    return number


def seccomp(settings, missing):
    """Calls that answer "not permitted": sockets but pairs of streams, others' memory, hidden memory.

    A socket of datagrams sends to any address without being connected, and a pair of such sockets does too.
    """
    machine = platform.machine()
    if machine not in CALLS:
        missing["seccomp"] = f"not written for {machine}"
        return
    architecture, socketpair, *refused = CALLS[machine]
    allow, deny = (0x06, 0, 0, 0x7FFF0000), (0x06, 0, 0, 0x00050000 | 1)  # SECCOMP_RET_ALLOW, RET_ERRNO: EPERM
    program = [(0x20, 0, 0, 4), (0x15, 1, 0, architecture), deny, (0x20, 0, 0, 0), (0x35, 0, 1, 0x40000000), deny]
    for number in refused:
        program += [(0x15, 0, 1, number), deny]
    family, kind, without_flags = (0x20, 0, 0, 16), (0x20, 0, 0, 24), (0x54, 0, 0, 0xF)
    program += [(0x15, 0, 6, socketpair), family, (0x15, 0, 3, 1), kind, without_flags]  # AF_UNIX
    program += [(0x15, 1, 0, 1), deny, allow]  # SOCK_STREAM
    code = b"".join(struct.pack("HBBI", *line) for line in program)
    buffer = ctypes.create_string_buffer(code)
    head = struct.pack("HxxxxxxP", len(program), ctypes.addressof(buffer))
    if libc.prctl(22, ctypes.c_ulong(2), ctypes.c_char_p(head), ctypes.c_ulong(0), ctypes.c_ulong(0)):
        missing["seccomp"] = os.strerror(ctypes.get_errno())


# Audit's number of the architecture; socketpair; then: socket, connect, ptrace, process_vm_readv, process_vm_writev,
# memfd_create, shmget, userfaultfd, bpf, perf_event_open, add_key, request_key, keyctl, unshare, setns, io_uring_setup,
# memfd_secret
CALLS = {
    "x86_64": (0xC000003E, 53, 41, 42, 101, 310, 311, 319, 29, 323, 321, 298, 248, 249, 250, 272, 308, 425, 447),
    "aarch64": (0xC00000B7, 199, 198, 203, 117, 270, 271, 279, 194, 282, 280, 241, 217, 218, 219, 97, 268, 425, 447),
}


def prctl(option, value):
    return libc.prctl(option, ctypes.c_ulong(value), *[ctypes.c_ulong(0)] * 3)


if sys.platform == "linux":
    libc = ctypes.CDLL(None, use_errno=True)

if __name__ == "__main__":
    main()
