"""The program of the process in which graded code runs: it executes cells, calls answers, replies with arrays.

`sandbox/` starts it, on behalf of `process.py`. It reads requests from what was its standard input and writes replies
to what was its standard output, in the messages of `messages.py`; the code that it runs has neither. It gives no marks,
and nothing in this process knows what is right.
"""

import contextlib
import importlib.util
import json
import os
import signal
import sys
import types
from pathlib import Path


class OutOfTime(BaseException):
    """Raised in code that has had its time; no `except Exception` stops it."""


def main():
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    _point(os.devnull, os.O_RDONLY, 0)
    _point(os.devnull, os.O_WRONLY, 1)
    _import_vaekit()
    from vaekit.course.grader import messages
    from vaekit.course.grader.tried import tried

    header, _ = messages.read(requests)
    exposed, layers = tried(**header["try"]), json.loads(os.environ["VAEKIT_MISSING"])
    _without_questions()
    shell = _shell()
    messages.write(replies, {"id": header["id"], "exposed": exposed, "layers": layers})
    header, _ = messages.read(requests)
    _compute()
    _point(os.devnull, os.O_WRONLY, 2)  # until here it is the grader's, to say why a process does not start
    messages.write(replies, {"id": header["id"]})
    while (message := messages.read(requests)) is not None:
        header, arrays = message
        answer, arrays = {"cell": _cell, "observe": _observe}[header["do"]](shell, header, arrays)
        messages.write(replies, {"id": header["id"], **answer}, arrays)
    os._exit(0)


def _point(path, flags, descriptor):
    opened = os.open(path, flags)
    os.dup2(opened, descriptor)
    os.close(opened)


def _import_vaekit():
    """Imports the package that this file is part of, from a folder beside which nothing may be listed."""
    root = Path(__file__).resolve().parents[2]
    spec = importlib.util.spec_from_file_location(
        "vaekit", root / "__init__.py", submodule_search_locations=[str(root)]
    )
    package = sys.modules["vaekit"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)


def _without_questions():
    """Puts a stand-in where a notebook imports its exercise: `check` and `hint` say that marks are given elsewhere."""
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


def _shell():
    """IPython without history and without outputs: magics, `await` and `display` work."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.ast_node_interactivity = "none"
    shell = InteractiveShell.instance(config=config)
    shell.system = shell.system_raw  # for !command: there is no terminal
    shell.enable_gui = lambda gui=None: None  # for %matplotlib: there is no window
    shell.showtraceback = shell.showsyntaxerror = lambda *_, **__: None
    return shell


def _compute():
    """What needs the backend's threads, all of which start here: where they may not, no answer is to pay for it."""
    import keras
    import numpy as np

    ones = keras.ops.ones((256, 256))
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(keras.ops.matmul(ones, ones)), np.full((256, 256), 256.0))


@contextlib.contextmanager
def _at_most(seconds):
    def stop(*_):
        raise OutOfTime

    if not hasattr(signal, "setitimer"):
        yield
        return
    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.01))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _cell(shell, header, arrays):
    """Executes a cell. Replies with the error's name and text, "" if there is none."""
    from vaekit.course.observe import told

    try:
        with _at_most(header["seconds"]):
            result = shell.run_cell(arrays[0].tobytes().decode(), store_history=False)
        error = result.error_before_exec or result.error_in_exec
    except BaseException as raised:
        error = raised
    if isinstance(error, OutOfTime):
        return {"error": "OutOfTime", "says": f"it took longer than {header['seconds']:.0f} s and was stopped."}, ()
    return {"error": type(error).__name__ if error else "", "says": told(error)[:4000] if error else ""}, ()


def _observe(shell, header, arrays):
    """Calls an answer with a case's inputs. Replies with the observations, or a fault, [kind, what it says]."""
    from vaekit.course import observe
    from vaekit.course.grader import messages
    from vaekit.course.observe import Fault

    name = header["name"]
    if name not in shell.user_ns:
        found = Fault("missing", f"there is no `{name}`: its cell is missing, or ended with an error.")
    else:
        try:
            with _at_most(header["seconds"]):
                inputs = messages.unpacked(header["inputs"], arrays)
                found = observe.observe(header["observer"], shell.user_ns[name], inputs, header["options"])
        except OutOfTime:
            found = Fault("time", "it took too long and was stopped.")
        except BaseException as raised:
            found = Fault("error", observe.told(raised))
    if isinstance(found, Fault):
        return {"fault": _sent(found)}, ()
    faults = {key: _sent(value) for key, value in found.items() if isinstance(value, Fault)}
    arrays = {key: value for key, value in found.items() if key not in faults}
    if (size := sum(array.nbytes for array in arrays.values())) > messages.REPLY:
        says = f"{size / 1e6:.0f} MB came back; {messages.REPLY / 1e6:.0f} MB are looked at."
        return {"fault": _sent(Fault("refused", says))}, ()
    return {"names": list(arrays), "faults": faults}, list(arrays.values())


def _sent(fault):
    return [fault.kind, fault.says[:4000]]


if __name__ == "__main__":
    main()
