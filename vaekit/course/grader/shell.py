"""Sets up the process that runs a notebook: IPython, a stand-in for its exercise, and enough of everything."""

import contextlib
import mmap
import os
import sys
import threading
import types

try:
    import resource
except ImportError:  # Windows
    resource = None

FEW = 16  # files that a step may open, and threads that it may start


def without_questions():
    """Puts a stand-in where a notebook imports its exercise: `check` and `hint` say that marks come from elsewhere."""
    import vaekit.course

    class Exercise:
        def __init__(self, number):
            self.number = number

        def check(self, *_, **__):
            return "This answer is marked by the grader."

        hint = check

        def mark(self, *_):
            return 0.0

        def __getattr__(self, name):
            if name.startswith("__"):
                raise AttributeError(name)
            return self.check

    module = types.ModuleType("vaekit.course.exercise", "A stand-in: graded code is marked elsewhere.")
    module.Exercise = Exercise
    sys.modules[module.__name__] = vaekit.course.exercise = module
    for hidden in ("exercises", "questions"):
        sys.modules[f"vaekit.course.{hidden}"] = None  # to import it is an error


def started():
    """Starts IPython without history and without outputs: magics, `await` and `display` work."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.ast_node_interactivity = "none"
    shell = InteractiveShell.instance(config=config)
    shell.system = shell.system_raw  # for !command: there is no terminal
    shell.enable_gui = lambda gui=None: None  # for %matplotlib: there is no window
    shell.showtraceback = shell.showsyntaxerror = lambda *_, **__: None
    sys.path.insert(0, "")  # as in Jupyter: what `%%writefile` wrote can be imported
    return shell


def compute():
    """Computes what needs the backend's threads, all of which start here: where they may not, no answer pays for it."""
    import keras
    import numpy as np

    ones = keras.ops.ones((256, 256))
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(keras.ops.matmul(ones, ones)), np.full((256, 256), 256.0))


def lacks(reserve):
    """Names what later steps would lack, "" if nothing: a step may fill the memory, say, and catch the error."""

    def memory():
        if resource:
            mmap.mmap(-1, reserve, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()

    def files():
        with contextlib.ExitStack() as stack:
            for _ in range(FEW):
                stack.enter_context(open(os.devnull, "rb"))

    def threads():
        started = [threading.Thread(target=int) for _ in range(FEW)]
        for thread in started:
            thread.start()
        for thread in started:
            thread.join()

    for attempt in (memory, files, threads):
        try:
            attempt()
        except (OSError, ValueError, MemoryError, RuntimeError):
            return attempt.__name__
    return ""
