"""Files that are written as a whole or not at all."""

import contextlib
import errno
import json
import os
import uuid
from pathlib import Path


@contextlib.contextmanager
def replacing(path):
    """Opens a new binary file that takes the place of `path` when the block ends well; else nothing has changed.

    Raises:
        OSError: with one message for people, if the disk is full or the folder cannot be written.
    """
    path = Path(path)
    # in the same folder, so os.replace is atomic; without the file's name, which may be as long as names can be
    temporary = path.with_name(f"{uuid.uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        state = "What was there before is unchanged" if path.exists() else "Nothing was left behind"
        raise OSError(
            error.errno,
            f"{str(path)!r} cannot be written: {'the disk is full' if full else error.strerror or error}. {state}; "
            f"{'free some space' if full else 'mend that, or choose another folder'} and run again.",
        ) from error
    finally:
        with contextlib.suppress(OSError):  # such as a folder that is none
            temporary.unlink()


def write_json(path, value):
    """Writes a JSON file, as a whole or not at all; raises OSError as `replacing` does."""
    with replacing(path) as stream:
        stream.write((json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode())
