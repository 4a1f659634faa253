"""Redirection of stderr of native code, which Python's own does not reach."""

import contextlib
import os
import sys
import tempfile


@contextlib.contextmanager
def stderr_into(file):
    """Redirects the descriptor of stderr to an open file."""
    sys.stderr.flush()
    saved = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


@contextlib.contextmanager
def quiet_start():
    """Hides stderr of native code while a library starts, and shows it if the start fails."""
    with tempfile.TemporaryFile() as log:
        try:
            with stderr_into(log):
                yield
        except BaseException:
            log.seek(0)
            os.write(2, log.read())
            raise
