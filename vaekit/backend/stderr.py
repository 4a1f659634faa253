"""What is written to stderr by native code, which Python's own redirection does not see, goes elsewhere."""

import contextlib
import os
import sys
import tempfile


@contextlib.contextmanager
def stderr_into(file):
    """Sends what is written to the descriptor of stderr into an open file."""
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
    """Keeps what native code writes to stderr while a library starts; shows it only if the start fails."""
    with tempfile.TemporaryFile() as log:
        try:
            with stderr_into(log):
                yield
        except BaseException:
            log.seek(0)
            os.write(2, log.read())
            raise
