"""A file system of the command's own, of what it may read and one folder to write to."""

import os
import platform
import re

from kernel import (
    MNT_DETACH,
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    MS_REMOUNT,
    check,
    libc,
    mount,
    syscall,
)

DEVICES = ["/dev/null", "/dev/full", "/dev/random", "/dev/urandom"]  # /dev/zero gives memory that no process owns
READ_ONLY = MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV
PIVOT_ROOT = {"x86_64": 155}  # the system call's number; elsewhere 41


def new_root(settings, user):
    """Makes a root of which only `read` (read-only), `work` (of limited size), /proc and a few devices are part.

    It is built in `work`, which for that is covered by a file system in memory; then it takes the old root's place.
    """
    work = settings["work"]
    contents = {
        os.path.relpath(os.path.join(folder, name), work): _read(os.path.join(folder, name))
        for folder, _, names in os.walk(work)
        for name in names
    }
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    _in_memory(work, "size=16m,mode=755")
    _bind_all([*settings["read"], *DEVICES], settings["hidden"], work)
    owner = "" if user is None else f",uid={user},gid={user}"
    os.makedirs(work + work, exist_ok=True)
    _in_memory(work + work, f"size={settings['disk']},nr_inodes={settings['disk'] // 4096},mode=700{owner}")
    _write(contents, work + work, user)
    os.makedirs(work + "/proc", exist_ok=True)
    try:
        mount("proc", work + "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    except OSError:  # forbidden within some containers: then there is none
        pass
    os.chdir(work)
    check(syscall(PIVOT_ROOT.get(platform.machine(), 41), b".", b"."), "/")
    check(libc.umount2(b".", MNT_DETACH), "/")
    os.chdir("/")
    mount(None, "/", None, READ_ONLY)


def _bind_all(paths, hidden, root):
    """Makes paths part of a root, to read, but for devices; covers what is hidden by empty folders."""
    hidden = sorted(map(os.path.realpath, hidden), key=len)
    bound, covers = [], []
    for path in sorted(filter(os.path.exists, paths), key=lambda path: len(resolved(path)[1])):
        links, real = resolved(path)
        for link, target in links:
            if not os.path.lexists(root + link) and not within(link, bound):
                os.makedirs(os.path.dirname(root + link), exist_ok=True)
                os.symlink(target, root + link)
        if real in hidden or within(real, bound) and within(real, covers) <= within(real, bound):
            continue
        _bind(real, root, MS_NOEXEC if path in DEVICES else MS_NODEV)
        bound.append(real)
        for inside in hidden:
            if inside.startswith(f"{real}/") and os.path.isdir(root + inside):
                _in_memory(root + inside, "size=64k,mode=111")
                covers.append(inside)
    for inside in covers:
        mount(None, root + inside, None, READ_ONLY)


def _bind(path, root, flags):
    """Makes a path part of a root, read-only with every mount below it; a device takes what it is sent all the same."""
    os.makedirs(root + os.path.dirname(path), exist_ok=True)
    if os.path.isdir(path):
        os.makedirs(root + path, exist_ok=True)
    else:
        open(root + path, "a").close()
    mount(path, root + path, None, MS_BIND | MS_REC)
    for place in _mounts(root + path):
        before = os.statvfs(place).f_flag & (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
        mount(None, place, None, MS_REMOUNT | MS_BIND | before | MS_RDONLY | MS_NOSUID | flags)


def _mounts(path):
    """Lists where something is mounted, at a path or below it."""
    with open("/proc/self/mountinfo", "rb") as stream:
        names = [line.split(b" ")[4] for line in stream]
    places = [os.fsdecode(re.sub(rb"\\(\d{3})", lambda octal: bytes([int(octal[1], 8)]), name)) for name in names]
    return [place for place in dict.fromkeys(places) if within(place, [path])]


def _in_memory(path, options):
    mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, options)


def _write(contents, folder, user):
    """Writes files, {path in the folder: bytes}, which belong to a user from then on."""
    for name, content in contents.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as stream:
            stream.write(content)
    if user is not None:
        for where, folders, names in os.walk(folder):
            for name in (*folders, *names):
                os.chown(os.path.join(where, name), user, user)


def within(path, folders):
    """Returns the length of the innermost of these folders that a path is in; 0 if it is in none."""
    return max((len(folder) for folder in folders if f"{path}/".startswith(f"{folder}/")), default=0)


def resolved(path):
    """Follows the symbolic links on the way to a path: returns [(link, its target)], and the real path."""
    links, real, remaining = [], "", [part for part in path.split("/") if part]
    while remaining:
        part = remaining.pop(0)
        if part in ("", "."):
            continue
        if part == "..":
            real = os.path.dirname(real).rstrip("/")
            continue
        if os.path.islink(f"{real}/{part}"):
            target = os.readlink(f"{real}/{part}")
            links.append((f"{real}/{part}", target))
            real, remaining = "" if target.startswith("/") else real, target.split("/") + remaining
        else:
            real = f"{real}/{part}"
    return links, real or "/"


def _read(path):
    with open(path, "rb") as stream:
        return stream.read()
