"""Compiled programs that a model keeps."""

import threading


class Programs:
    """What a model has compiled, each program once.

    Attributes:
        lock: held by what reads and writes the state that programs share, so that threads can ask a model at one time.
    """

    def __init__(self):
        self.lock, self.made = threading.RLock(), {}

    def get(self, key, make):
        """What is known by this key; where there is none yet, `make()`."""
        with self.lock:
            if key not in self.made:
                self.made[key] = make()
            return self.made[key]
