"""Small JSON files of a reader's own: answers to questions, progress in the exercises."""

import json
import os
from pathlib import Path

import platformdirs

from vaekit.files import write_json


class Store:
    """A dict of dicts, kept in a file of the user's data directory.

    Args:
        name: of the file.
        variable: environment variable that names another file.
    """

    def __init__(self, name, variable):
        self.name, self.variable = name, variable

    @property
    def path(self):
        return Path(os.environ.get(self.variable) or platformdirs.user_data_path("vaekit") / self.name).expanduser()

    def read(self):
        """All of it. An unreadable file is put aside, not overwritten; raises OSError if that fails."""
        try:
            found = json.loads(self.path.read_text(encoding="utf-8") or "{}")
            if isinstance(found, dict) and all(isinstance(value, dict) for value in found.values()):
                return found
        except FileNotFoundError:
            return {}
        except ValueError:
            pass
        self.path.replace(self.path.with_name(f"{self.path.name}.damaged"))
        return {}

    def put(self, group, name, value):
        """Keeps one value; raises OSError if the file cannot be written."""
        found = self.read()
        found.setdefault(group, {})[name] = value
        write_json(self.path, found)
