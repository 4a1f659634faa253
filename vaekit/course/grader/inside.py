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
from pathlib import Path

RESERVE = 8  # the part of the memory that each step leaves to those that come after it


class OutOfTime(BaseException):
    """Raised in code that has had its time; no `except Exception` stops it."""


def main():
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    _point(os.devnull, os.O_RDONLY, 0)
    _point(os.devnull, os.O_WRONLY, 1)
    _import_vaekit()
    from vaekit.course.grader import messages, shell
    from vaekit.course.grader.exposure import exposure

    header, _ = messages.read(requests)
    exposed, layers = exposure(**header["try"]), json.loads(os.environ["VAEKIT_MISSING"])
    shell.without_questions()
    notebook, reserve = shell.started(), header["try"]["memory"] // RESERVE
    messages.write(replies, {"id": header["id"], "exposed": exposed, "layers": layers})
    header, _ = messages.read(requests)
    shell.compute()
    if lacks := shell.lacks(reserve):
        raise MemoryError(f"from the start there is too little: {lacks}")
    _point(os.devnull, os.O_WRONLY, 2)  # until here it is the grader's, to say why a process does not start
    messages.write(replies, {"id": header["id"]})
    while (message := messages.read(requests)) is not None:
        header, arrays = message
        answer, arrays = {"cell": _cell, "observe": _observe}[header["do"]](notebook, header, arrays)
        messages.write(replies, {"id": header["id"], "lacks": shell.lacks(reserve), **answer}, arrays)
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
    from vaekit.course.observe import describe_error

    try:
        with _at_most(header["seconds"]):
            result = shell.run_cell(arrays[0].tobytes().decode(), store_history=False)
        error = result.error_before_exec or result.error_in_exec
    except BaseException as raised:
        error = raised
    if isinstance(error, OutOfTime):
        return {"error": "OutOfTime", "message": f"it took longer than {header['seconds']:.0f} s and was stopped."}, ()
    name, message = (type(error).__name__, describe_error(error)[:4000]) if error else ("", "")
    return {"error": name, "message": message}, ()


def _observe(shell, header, arrays):
    """Calls an answer with a case's inputs. Replies with the observations, or a fault, [kind, message]."""
    from vaekit.course import observe
    from vaekit.course.grader import messages
    from vaekit.course.observe import Fault

    name = header["name"]
    if name not in shell.user_ns:
        observation = Fault("missing", f"there is no `{name}`: its cell is missing, or ended with an error.")
    else:
        try:
            with _at_most(header["seconds"]):
                inputs = messages.unpacked(header["inputs"], arrays)
                observation = observe.run_observer(header["observer"], shell.user_ns[name], inputs, header["options"])
        except OutOfTime:
            observation = Fault("time", "it took too long and was stopped.")
        except BaseException as raised:
            observation = Fault("error", observe.describe_error(raised))
    if isinstance(observation, Fault):
        return {"fault": _sent(observation)}, ()
    faults = {key: _sent(value) for key, value in observation.items() if isinstance(value, Fault)}
    arrays = {key: _compact(value) for key, value in observation.items() if key not in faults}
    if (size := sum(array.nbytes for array in arrays.values())) > messages.REPLY:
        message = f"{size / 1e6:.0f} MB came back; {messages.REPLY / 1e6:.0f} MB are looked at."
        return {"fault": _sent(Fault("refused", message))}, ()
    return {"names": list(arrays), "faults": faults}, list(arrays.values())


def _compact(array):
    """Returns the same numbers as float32, if that holds them."""
    import numpy as np

    with np.errstate(all="ignore"):
        single = array.astype(np.float32)
    return single if np.array_equal(single, array, equal_nan=True) else array


def _sent(fault):
    return [fault.kind, fault.message[:4000]]


if __name__ == "__main__":
    main()
