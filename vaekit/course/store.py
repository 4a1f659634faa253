"""Small JSON files of a reader's own: answers to questions, progress in the exercises."""

import json
import os
from pathlib import Path

import platformdirs
from filelock import FileLock

from vaekit.files import write_json

SECONDS = 10.0  # to wait for another notebook


def text(value):
    """Reads a text; None if it is none."""
    return value if isinstance(value, str) else None


def share(value):
    """Reads a share of points, from 0 to 1; None if it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:  # nan
        return None
    return float(min(max(value, 0), 1))


class Store:
    """A dict of dicts in a file of the user's data directory. A reader may edit it: it is read with care.

    Args:
        name: of the file.
        variable: environment variable that names another file.
        parse: function that reads a value; where it returns None, the value is dropped.
    """

    def __init__(self, name, variable, parse=text):
        self.name, self.variable, self.parse = name, variable, parse

    @property
    def path(self):
        return Path(os.environ.get(self.variable) or platformdirs.user_data_path("vaekit") / self.name).expanduser()

    def read(self):
        """Reads what is valid. An unreadable file is put aside, not overwritten; raises OSError if that fails."""
        try:
            content = json.loads(self.path.read_text(encoding="utf-8") or "{}")
            if isinstance(content, dict) and all(isinstance(value, dict) for value in content.values()):
                return {
                    group: {k: value for k, v in values.items() if (value := self.parse(v)) is not None}
                    for group, values in content.items()
                }
        except FileNotFoundError:
            return {}
        except (ValueError, RecursionError):
            pass
        self.path.replace(self.path.with_name(f"{self.path.name}.damaged"))
        return {}

    def put(self, group, name, value, best=False):
        """Writes one value, or the larger one if that is the `best`; raises OSError if the file cannot be written.

        Several notebooks may do so at once.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{self.path}.lock", timeout=SECONDS):
            content = self.read()
            values = content.setdefault(group, {})
            values[name] = max(value, values.get(name, value)) if best else value
            write_json(self.path, content)
