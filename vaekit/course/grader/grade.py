"""Grades a notebook: its code runs in a process, shut in; the marks are given here, where none of it ever runs.

That process (`inside.py`) is asked step by step: to execute a cell, to call an answer with the inputs of a case. What
it replies, arrays or a fault, is judged by `questions.judge`. A step that hangs, crashes or replies nonsense ends its
process; a new one goes on without that step, so an answer costs no marks but its own.
"""

import ast
import hashlib
import secrets
import time
from pathlib import Path

import numpy as np

from vaekit.course import exercises, observe, questions
from vaekit.course.exercise import Exercise
from vaekit.course.grader import messages
from vaekit.course.grader.errors import GradingError, StepError
from vaekit.course.grader.notebook import (
    clean,
    code_cells,
    deleted_cells,
    edited_cells,
    exercise_number,
    read_notebook,
    tested_after,
)
from vaekit.course.grader.process import Process
from vaekit.course.grader.report import Report
from vaekit.course.grader.usage import Limits
from vaekit.course.observe import Fault
from vaekit.course.questions.judge import judge, unobserved

MOST_NOTES = 30
NOT_ASKED_FOR = "what it sent is not what was asked for."


def grade_notebook(
    path, limits=None, seed=None, require_isolation=False, exercise=None, stopped=None, notebook=None, hidden=()
):
    """Grades a notebook.

    Args:
        path: of the notebook.
        limits: a `Limits`.
        seed: of the drawn cases; None: a secret one, which stands in the report.
        require_isolation: whether to refuse if something is not isolated.
        exercise: an `Exercise`; None: the one that the notebook names.
        stopped: a `threading.Event` that ends it with KeyboardInterrupt.
        notebook: a dict, what was read of it already; None: it is read.
        hidden: folders of which its code may read nothing, besides the notebook's own.

    Returns: a `Report`.

    Raises:
        GradingError: if it is no notebook of an exercise, if the process for its code does not start, or is not
            isolated.
    """
    start = time.monotonic()
    notebook = notebook or read_notebook(path)[1]
    exercise = exercise or Exercise(exercise_number(notebook, Path(path).name))
    seed = secrets.randbits(63) if seed is None else seed
    hidden = [Path(path).resolve().parent, *hidden]
    run = _Run(notebook, exercise, limits or Limits(), seed, require_isolation, stopped, hidden)
    run.finish()
    verdicts = tuple(run.verdict(question) for question in exercise.questions.values())
    seconds = round(time.monotonic() - start, 1)
    return Report(exercise.number, exercise.title, verdicts, run.notes(), run.exposed, seed, seconds)


class _Run:
    """The steps of a notebook, and their results."""

    def __init__(self, notebook, exercise, limits, seed, require_isolation, stopped, hidden):
        self.hidden = hidden
        self.cells, self.exercise, self.limits = code_cells(notebook), exercise, limits
        self.deleted, self.edited = deleted_cells(notebook, exercise.questions), edited_cells(notebook)
        self.require_isolation, self.stopped = require_isolation, stopped
        self.deadline = time.monotonic() + limits.notebook
        self.cases = {name: question.cases(seed) for name, question in exercise.questions.items()}
        self.observations = {name: [] for name in self.cases}  # case by case
        self.pending = list(self.cases)
        places = tested_after(notebook)
        self.due = [[name for name in self.pending if places.get(name) == n] for n in range(len(self.cells) + 1)]
        self.retried = set()  # what ended a process in which answers ran before: questions, and cells by their index
        self.faults = {}  # of cells, by their index
        self.skipped = set()  # cells that ended a process
        self.exposed = {}  # what is not isolated

    def finish(self):
        for _ in range(self.limits.starts):
            if not self.pending or self._time() <= 0:
                return
            with Process(self.limits, self.stopped, self.hidden) as process:
                self.exposed = process.start()
                if self.require_isolation and self.exposed:
                    reasons = "; ".join(f"{name}: {reason}" for name, reason in self.exposed.items())
                    raise GradingError(f"it was not run, since not everything is isolated ({reasons}).")
                self.called = False  # an answer, in this process
                self._go_through(process)

    def _go_through(self, process):
        """Executes the cells, and calls each answer where the notebook tests it, as nbgrader does.

        Then once more the cells with undefined names, as long as that helps, and the answers that are left. Ends early
        where the process is of no use any more.
        """
        undefined = []
        for index in range(len(self.cells) + 1):
            if not all(self._call(process, name, early=True) for name in self.due[index] if name in self.pending):
                return
            if index < len(self.cells) and not self._execute(process, index, undefined):
                return
        while undefined:
            cells, undefined = undefined, []
            if not all(self._execute(process, index, undefined) for index in cells):
                return
            if len(undefined) == len(cells):
                break
        for name in list(self.pending):
            if not self._call(process, name):
                return

    def _execute(self, process, index, undefined):
        """Executes a cell, adds it to `undefined` if a name is not defined; returns whether the process can go on."""
        if index in self.skipped:
            return True
        if self._time() <= 0:
            return False
        source = np.frombuffer(self.cells[index].encode("utf-8", "replace"), np.uint8)
        try:
            header, _ = process.ask({"do": "cell"}, [source], min(self.limits.cell, self._time()))
        except StepError as error:
            if self._by_another(index):
                return False
            self.faults[index] = error.fault.message
            self.skipped.add(index)
            return False
        self.faults.pop(index, None)
        error, lacks = header.get("error"), header.get("lacks")
        if error:
            self.faults[index] = clean(header.get("message"))
        if lacks:
            if not self._by_another(index):
                self.skipped.add(index)
                much = "little" if lacks == "memory" else "few"
                advice = f"It left too {much} {clean(lacks, 20)} for what comes after it, and was left out."
                self.faults[index] = f"{self.faults.get(index, '')} {advice}".strip()
            return False
        if error == "NameError":
            undefined.append(index)
        return True

    def _by_another(self, step):
        """Whether what ended the process may come from an answer before: then the step has another try."""
        if not self.called or step in self.retried:
            return False
        self.retried.add(step)
        return True

    def _call(self, process, name, early=False):
        """Calls an answer with all its cases; returns whether the process can go on.

        `early`: what is not defined yet, or not all that it needs, is called again after the rest of the notebook.
        """
        if self._time() <= 0:
            return False
        before = process.usage()
        question, observed = self.exercise.questions[name], self.observations[name]
        end, lacks = time.monotonic() + min(question.seconds, self._time()), ""
        for case in self.cases[name]:
            try:
                observation, lacks = _observe(process, question, case, end - time.monotonic())
            except StepError as error:
                if error.ends and self._by_another(name):
                    observed.clear()
                    return False
                observed.append(error.fault)
                if error.ends:
                    self.pending.remove(name)
                    return False
                break
            observed.append(observation)
            if isinstance(observation, Fault) and observation.kind in ("missing", "time"):
                break  # the other cases would say the same
        if early and any(
            isinstance(o, Fault) and (o.kind == "missing" or "`NameError:" in o.message) for o in observed
        ):
            observed.clear()
        else:
            self.pending.remove(name)
        self.called = True
        return not lacks and not process.worn(before)

    def _time(self):
        return self.deadline - time.monotonic()

    def verdict(self, question):
        """Judges what was observed of an answer, or a fault where nothing was: returns a `Verdict`."""
        observed, cases = self.observations[question.name], self.cases[question.name]
        if question.name in self.pending:
            kind, reason = (
                ("time", "the notebook's time was used up.")
                if self._time() <= 0
                else ("killed", "too many other steps ended the program.")
            )
            observed = [Fault(kind, f"not looked at: {reason}")]
        with np.errstate(all="ignore"):
            try:
                return judge(question, cases, observed + observed[-1:] * (len(cases) - len(observed)))
            except Exception:  # arrays of which our own answer would never be
                return unobserved(question, Fault("refused", NOT_ASKED_FOR))

    def notes(self):
        """Lists notes on deleted, edited and failed cells, a tuple of texts."""
        notes = [f"Cell `{name}` of the exercise is not there any more: was it deleted?" for name in self.deleted]
        notes += [f"Cell `{name}` of the exercise was edited; it ran as it was handed in." for name in self.edited]
        notes += [f"Code cell {index + 1}: {message}" for index, message in sorted(self.faults.items())]
        more = len(notes) - MOST_NOTES
        return (*notes[:MOST_NOTES], *([f"And {more:,} more cells."] if more > 0 else []))


def _observe(process, question, case, seconds):
    """Asks for an answer's observation of a case, and measures it.

    Returns: a dict of arrays and `Fault`s, or a `Fault`; and what the process lacks afterwards, "" if nothing.

    Raises:
        StepError: there is none.
    """
    if seconds <= 0:
        raise StepError("time", "it took too long.", ends=False)
    inputs, arrays = messages.packed(case.inputs)
    observer, options = question.observe
    request = {"do": "observe", "name": question.name, "observer": observer, "inputs": inputs, "options": options}
    header, arrays = process.ask(request, arrays, seconds)
    try:
        return observe.measured(observer, _observation(header, arrays), case.inputs, options), header.get("lacks")
    except StepError:
        raise
    except Exception:  # arrays of which our own observer would never be
        raise StepError("refused", NOT_ASKED_FOR, ends=False) from None


def _observation(header, arrays):
    """Parses a reply: a dict of float64 arrays and `Fault`s, or a `Fault`; raises `StepError` if it is neither."""
    if fault := _fault(header.get("fault")):
        return fault
    names, faults = header.get("names"), header.get("faults", {})
    if (
        isinstance(names, list)
        and len(names) == len(arrays)
        and all(isinstance(name, str) for name in names)
        and all(array.dtype in (np.float64, np.float32) for array in arrays)
        and isinstance(faults, dict)
        and all(map(_fault, faults.values()))
    ):
        arrays = [array.astype(np.float64) for array in arrays]
        return dict(zip(names, arrays, strict=True)) | {name: _fault(fault) for name, fault in faults.items()}
    raise StepError("refused", "its reply is neither arrays nor an error.")


def _fault(reply):
    """Parses a reply's [kind, text] as a `Fault`; None if it is none."""
    if (
        isinstance(reply, list)
        and len(reply) == 2
        and isinstance(reply[0], str)
        and reply[0].isidentifier()
        and len(reply[0]) <= 100
    ):
        return Fault(reply[0], clean(reply[1]))
    return None


def version(exercise):
    """Hashes what marks depend on: the exercise's questions, how answers are observed, and how they are judged.

    Comments, docstrings and layout are no part of it.
    """
    files = [Path(exercises.__file__).parent / f"e{exercise}.py"]
    files += [file for room in (questions, observe) for file in sorted(Path(room.__file__).parent.glob("*.py"))]
    return hashlib.sha256(
        "\n".join(f"{file.name} {_program(file.read_text(encoding='utf-8'))}" for file in files).encode()
    ).hexdigest()


def _program(source):
    """Returns the syntax tree of a source as text, without docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            if ast.get_docstring(node, clean=False) is not None:
                del node.body[0]
    return ast.dump(tree)
