"""The compiled programs of a model."""

import threading


class Programs:
    """The programs that a model has compiled, each once.

    Attributes:
        lock: for reading and writing the state that programs share, so that several threads can use a model.
        cache: dict by key of settings and program.
    """

    def __init__(self):
        self.lock, self.cache = threading.RLock(), {}

    def get(self, key, settings, make):
        """Returns the program of a key, which `make()` returns at first, and again when settings differ."""
        with self.lock:
            if key not in self.cache or self.cache[key][0] != settings:
                self.cache[key] = settings, make()
            return self.cache[key][1]
