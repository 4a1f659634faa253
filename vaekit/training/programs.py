"""Compiled programs that a model keeps."""

import threading


class Programs:
    """What a model has compiled, each program once.

    Attributes:
        lock: held by what reads and writes the state that programs share, so that threads can ask a model at one time.
    """

    def __init__(self):
        self.lock, self.made = threading.RLock(), {}

    def get(self, key, settings, make):
        """What is known by this key, made with these settings; where there is none, `make()`."""
        with self.lock:
            if key not in self.made or self.made[key][0] != settings:
                self.made[key] = settings, make()
            return self.made[key][1]
