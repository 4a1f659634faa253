"""The folder that graded code may write to: made, and removed whatever was left in it.

Names in it are never looked up from the root: a folder is opened within the one above, and no link is followed. So it
does not matter what lies there, how deep, or whether it is still the folder that was made.
"""

import os
import secrets
import shutil
import tempfile

OPENED = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)


class WorkFolder:
    """A new folder, and what is its own: `path`, and which one it is."""

    def __init__(self):
        self.path = os.path.realpath(tempfile.mkdtemp(prefix="vaekit-grade-"))
        self.identity = _identity(self.path)

    def remove(self):
        """Removes it with all that is in it, as far as that can be done; nothing where it is another one by now."""
        if os.open not in os.supports_dir_fd:  # Windows
            shutil.rmtree(self.path, ignore_errors=True)
            return
        try:
            if _identity(self.path) == self.identity:
                top = _opened(self.path)
                try:
                    _empty(top)
                finally:
                    os.close(top)
                os.rmdir(self.path)
        except OSError:
            pass


def _identity(path):
    status = os.lstat(path)
    return status.st_dev, status.st_ino


def _opened(name, folder=None):
    """Opens a folder, which may be read and written to from then on: its descriptor. Raises OSError if it is none."""
    try:
        opened = os.open(name, OPENED, dir_fd=folder)
    except PermissionError:
        _permit(name, folder)
        opened = os.open(name, OPENED, dir_fd=folder)
    os.fchmod(opened, 0o700)
    return opened


def _permit(name, folder):
    if not hasattr(os, "O_PATH"):
        os.chmod(name, 0o700, dir_fd=folder, follow_symlinks=False)
        return
    place = os.open(name, OPENED | os.O_PATH, dir_fd=folder)
    try:
        os.chmod(f"/proc/self/fd/{place}", 0o700)  # the very folder
    finally:
        os.close(place)


def _empty(top):
    """Removes what is in a folder. What is deeper comes up to the top first, so that two folders are open at most."""
    while names := os.listdir(top):
        for name in names:
            if not _unlinked(name, top):
                folder = _opened(name, top)
                try:
                    for inside in os.listdir(folder):
                        if not _unlinked(inside, folder):
                            os.close(_opened(inside, folder))  # to be moved, it has to be writable
                            os.rename(inside, secrets.token_hex(16), src_dir_fd=folder, dst_dir_fd=top)
                finally:
                    os.close(folder)
                os.rmdir(name, dir_fd=top)


def _unlinked(name, folder):
    """Removes a name if it is no folder's; whether it was none."""
    try:
        os.unlink(name, dir_fd=folder)
        return True
    except (IsADirectoryError, PermissionError):  # as Linux, as macOS says
        return False
