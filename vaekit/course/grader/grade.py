"""Grades a notebook: its code runs in a worker, shut in; the marks are given here, where none of it ever runs.

The worker (`inside.py`) is asked step by step: to execute a cell, to call an answer with the inputs of a case. What it
replies, arrays or a fault, is judged by `exercise.Question`. A step that hangs, crashes or replies nonsense ends its
worker; a new one goes on without that step, so an answer costs no marks but its own.
"""

import dataclasses
import hashlib
import secrets
import time
from pathlib import Path

import numpy as np

from vaekit.course import exercises, observe, questions
from vaekit.course.exercise import Exercise
from vaekit.course.grader import messages
from vaekit.course.grader.notebook import GradingError, clean, code_cells, exercise_number, read_notebook, tested_after
from vaekit.course.grader.process import Limits, Process, Trouble
from vaekit.course.observe import Fault
from vaekit.course.questions.question import Verdict

FAULTS = ("missing", "unanswered", "error", "time", "refused")


@dataclasses.dataclass(frozen=True)
class Report:
    """What a notebook is worth, and why.

    Attributes:
        exercise: its number.
        title: of the exercise.
        verdicts: tuple of `Verdict`.
        notes: tuple of texts: cells that failed.
        missing: dict: what was not isolated and why.
        seed: of the drawn cases; with it, a mark can be computed again.
        seconds: that it took.
    """

    exercise: str
    title: str
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...]
    missing: dict
    seed: int
    seconds: float

    @property
    def earned(self):
        return round(sum(verdict.earned for verdict in self.verdicts), 6)

    @property
    def points(self):
        return float(sum(verdict.points for verdict in self.verdicts))

    @property
    def isolation(self):
        """What is isolated and what is not, a sentence."""
        held = [name for name in ("files", "network", "processes", "memory") if name not in self.missing]
        said = f"Isolated from this computer: {', '.join(held) or 'nothing'}."
        return said + "".join(f" Not {name}: {reason}." for name, reason in self.missing.items())


def grade(path, limits=None, seed=None, require_isolation=False, exercise=None, stopped=None):
    """Grades a notebook.

    Args:
        path: of the notebook.
        limits: a `Limits`.
        seed: of the drawn cases; None: a secret one, which the report tells.
        require_isolation: whether to refuse if something is not isolated.
        exercise: a `Exercise`; None: the one that the notebook names.
        stopped: a `threading.Event` that ends it with KeyboardInterrupt.

    Returns: a `Report`.

    Raises:
        GradingError: if it is no notebook of an exercise, if its worker does not start, or is not isolated.
    """
    start = time.monotonic()
    _, notebook = read_notebook(path)
    exercise = exercise or Exercise(exercise_number(notebook, Path(path).name))
    seed = secrets.randbits(63) if seed is None else seed
    run = _Run(notebook, exercise, limits or Limits(), seed, require_isolation, stopped)
    run.finish()
    verdicts = tuple(run.verdict(question) for question in exercise.questions.values())
    seconds = round(time.monotonic() - start, 1)
    return Report(exercise.number, exercise.title, verdicts, run.notes(), run.missing, seed, seconds)


class _Run:
    """The steps of a notebook, and what has come of them."""

    def __init__(self, notebook, exercise, limits, seed, require_isolation, stopped):
        self.cells, self.exercise, self.limits = code_cells(notebook), exercise, limits
        self.require_isolation, self.stopped = require_isolation, stopped
        self.deadline = time.monotonic() + limits.notebook
        self.cases = {name: question.cases(seed) for name, question in exercise.questions.items()}
        self.found = {name: [] for name in self.cases}  # observations, case by case
        self.left = list(self.cases)
        places = tested_after(notebook)
        self.due = [[name for name in self.left if places.get(name) == n] for n in range(len(self.cells) + 1)]
        self.doubted = set()  # what ended a worker in which answers ran before: questions, and cells by their index
        self.faults = {}  # of cells, by their index
        self.lost = set()  # cells that ended a worker
        self.missing = {}

    def finish(self):
        for _ in range(self.limits.workers):
            if not self.left or self._time() <= 0:
                return
            with Process(self.limits, self.stopped) as process:
                self.missing = process.start()
                if self.require_isolation and self.missing:
                    reasons = "; ".join(f"{name}: {reason}" for name, reason in self.missing.items())
                    raise GradingError(f"it was not run, since not everything is isolated ({reasons}).")
                self.asked = False  # an answer, in this worker
                self._go_through(process)

    def _go_through(self, process):
        """Executes the cells, and calls each answer where the notebook tests it, as nbgrader does.

        Then once more the cells with undefined names, as long as that helps, and the answers that are left. Ends early
        where the worker is of no use any more.
        """
        again = []
        for index in range(len(self.cells) + 1):
            if not all(self._call(process, name, early=True) for name in self.due[index] if name in self.left):
                return
            if index < len(self.cells) and not self._execute(process, index, again):
                return
        while again:
            left, again = again, []
            if not all(self._execute(process, index, again) for index in left):
                return
            if len(again) == len(left):
                break
        for name in list(self.left):
            if not self._call(process, name):
                return

    def _execute(self, process, index, again):
        """Executes a cell, notes it in `again` if a name is not defined; whether the worker can go on."""
        if index in self.lost:
            return True
        if self._time() <= 0:
            return False
        source = np.frombuffer(self.cells[index].encode("utf-8", "replace"), np.uint8)
        try:
            header, _ = process.ask({"do": "cell"}, [source], min(self.limits.cell, self._time()))
        except Trouble as trouble:
            if self._by_another(index):
                return False
            self.faults[index] = trouble.fault.says
            self.lost.add(index)
            return False
        self.faults.pop(index, None)
        if error := header.get("error"):
            self.faults[index] = clean(header.get("says"))
            if error == "NameError":
                again.append(index)
        return True

    def _by_another(self, step):
        """Whether what ended the worker may come from an answer before: then the step has another try."""
        if not self.asked or step in self.doubted:
            return False
        self.doubted.add(step)
        return True

    def _call(self, process, name, early=False):
        """Calls an answer with all its cases; whether the worker can go on.

        `early`: what is not defined yet, or not all that it needs, is called again after the rest of the notebook.
        """
        if self._time() <= 0:
            return False
        before = process.usage()
        question, observed = self.exercise.questions[name], self.found[name]
        end = time.monotonic() + min(question.seconds, self._time())
        for case in self.cases[name]:
            inputs, arrays = messages.packed(case.inputs)
            asked = {"do": "observe", "name": name, "observer": question.observe.name, "inputs": inputs}
            asked["options"] = question.observe.options
            seconds = end - time.monotonic()
            try:
                if seconds <= 0:
                    raise Trouble("time", "it took too long.", over=False)
                observation = _observation(*process.ask(asked, arrays, seconds))
            except Trouble as trouble:
                if trouble.over and self._by_another(name):
                    observed.clear()
                    return False
                observed.append(trouble.fault)
                if trouble.over:
                    self.left.remove(name)
                    return False
                break
            observed.append(observation)
            if isinstance(observation, Fault) and observation.kind in ("missing", "time"):
                break  # the other cases would say the same
        if early and any(isinstance(o, Fault) and (o.kind == "missing" or "`NameError:" in o.says) for o in observed):
            observed.clear()
        else:
            self.left.remove(name)
        self.asked = True
        return not process.worn(before)

    def _time(self):
        return self.deadline - time.monotonic()

    def verdict(self, question):
        observed, cases = self.found[question.name], self.cases[question.name]
        if question.name in self.left:
            says = (
                "the notebook's time was used up." if self._time() <= 0 else "too many other steps ended the program."
            )
            observed = [Fault("time" if self._time() <= 0 else "killed", f"not looked at: {says}")]
        with np.errstate(all="ignore"):
            try:
                return question.judge(cases, observed + observed[-1:] * (len(cases) - len(observed)))
            except Exception:  # arrays of which our own answer would never be
                return question.judge(cases, [Fault("refused", "what it sent is not what was asked for.")] * len(cases))

    def notes(self):
        return tuple(f"Code cell {index + 1}: {says}" for index, says in sorted(self.faults.items()))


def _observation(header, arrays):
    """A worker's reply as a dict of float64 arrays and `Fault`s, or a `Fault`; raises `Trouble` if it is neither."""
    if fault := _fault(header.get("fault")):
        return fault
    names, faults = header.get("names"), header.get("faults", {})
    if (
        isinstance(names, list)
        and len(names) == len(arrays)
        and all(isinstance(name, str) for name in names)
        and all(array.dtype == np.float64 for array in arrays)
        and isinstance(faults, dict)
        and all(map(_fault, faults.values()))
    ):
        return dict(zip(names, arrays, strict=True)) | {name: _fault(fault) for name, fault in faults.items()}
    raise Trouble("refused", "its reply is neither arrays nor an error.")


def _fault(told):
    """A `Fault` from what a worker says of one, [kind, text]; None if it is none."""
    if isinstance(told, list) and len(told) == 2 and told[0] in FAULTS:
        return Fault(told[0], clean(told[1]))
    return None


def version(exercise):
    """Of what marks depend on: a hash of the exercise's questions and of how they are judged."""
    files = [Path(exercises.__file__).parent / f"e{exercise}.py"]
    files += [file for room in (questions, observe) for file in sorted(Path(room.__file__).parent.glob("*.py"))]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
