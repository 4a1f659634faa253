"""Grades a notebook: its code runs in a worker, shut in; the marks are given here, where none of it ever runs.

The worker (`worker.py`) is asked step by step: to execute a cell, to call an answer with the inputs of a case. What it
replies, arrays or a fault, is judged by `exercise.Question`. A step that hangs, crashes or replies nonsense ends its
worker; a new one goes on without that step, so an answer costs no marks but its own.
"""

import dataclasses
import hashlib
import secrets
import time
from pathlib import Path

import numpy as np

from vaekit.course import checking, exercises, wire, worker
from vaekit.course.exercise import Fault, Verdict
from vaekit.course.handed_in import GradingError, clean, code_cells, exercise_number, read_notebook
from vaekit.course.watched import Limits, Trouble, Worker

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
        exercise: a `checking.Exercise`; None: the one that the notebook names.
        stopped: a `threading.Event` that ends it with KeyboardInterrupt.

    Returns: a `Report`.

    Raises:
        GradingError: if it is no notebook of an exercise, if its worker does not start, or is not isolated.
    """
    start = time.monotonic()
    _, notebook = read_notebook(path)
    exercise = exercise or checking.Exercise(exercise_number(notebook, Path(path).name))
    seed = secrets.randbits(63) if seed is None else seed
    run = _Run(code_cells(notebook), exercise, limits or Limits(), seed, require_isolation, stopped)
    run.finish()
    verdicts = tuple(run.verdict(question) for question in exercise.questions.values())
    seconds = round(time.monotonic() - start, 1)
    return Report(exercise.number, exercise.title, verdicts, run.notes(), run.missing, seed, seconds)


class _Run:
    """The steps of a notebook, and what has come of them."""

    def __init__(self, cells, exercise, limits, seed, require_isolation, stopped):
        self.cells, self.exercise, self.limits = cells, exercise, limits
        self.require_isolation, self.stopped = require_isolation, stopped
        self.deadline = time.monotonic() + limits.notebook
        self.cases = {name: question.cases(seed) for name, question in exercise.questions.items()}
        self.found = {name: [] for name in self.cases}  # observations, case by case
        self.left = list(self.cases)
        self.doubted = set()  # questions that ended a worker in which other answers ran before
        self.faults = {}  # of cells, by their index
        self.lost = set()  # cells that ended a worker
        self.missing = {}

    def finish(self):
        for _ in range(self.limits.workers):
            if not self.left or time.monotonic() > self.deadline:
                return
            with Worker(self.limits, self.stopped) as process:
                self.missing = process.start()
                if self.require_isolation and self.missing:
                    reasons = "; ".join(f"{name}: {reason}" for name, reason in self.missing.items())
                    raise GradingError(f"it was not run, since not everything is isolated ({reasons}).")
                if self._execute(process):
                    self._observe(process)

    def _execute(self, process):
        """Executes the cells; those with undefined names once more after the rest, as long as that helps."""
        left = [index for index in range(len(self.cells)) if index not in self.lost]
        while left:
            again = []
            for index in left:
                if self._time() <= 0:
                    return False
                source = np.frombuffer(self.cells[index].encode("utf-8", "replace"), np.uint8)
                try:
                    header, _ = process.ask({"do": "cell"}, [source], min(self.limits.cell, self._time()))
                except Trouble as trouble:
                    self.faults[index] = trouble.fault.says
                    self.lost.add(index)
                    return False
                self.faults.pop(index, None)
                if error := header.get("error"):
                    self.faults[index] = clean(header.get("says"))
                    if error == "NameError":
                        again.append(index)
            if len(again) == len(left):
                break
            left = again
        return True

    def _observe(self, process):
        """Calls the answers that are left. What ends the worker may come from an answer before: it has another try."""
        first = True
        while self.left and self._time() > 0:
            name = self.left[0]
            before = process.usage()
            question, observed = self.exercise.questions[name], self.found[name]
            end = time.monotonic() + min(question.seconds, self._time())
            for case in self.cases[name]:
                inputs, arrays = wire.packed(case.inputs)
                asked = {"do": "observe", "name": name, "observer": question.observe.name, "inputs": inputs}
                asked["options"] = question.observe.options
                seconds = end - time.monotonic()
                try:
                    if seconds <= 0:
                        raise Trouble("time", "it took too long.", over=False)
                    observation = _observation(*process.ask(asked, arrays, seconds))
                except Trouble as trouble:
                    if trouble.over and not first and name not in self.doubted:
                        self.doubted.add(name)
                        observed.clear()
                        return
                    self.left.pop(0)
                    observed.append(trouble.fault)
                    if trouble.over:
                        return
                    break
                observed.append(observation)
                if isinstance(observation, Fault) and observation.kind in ("missing", "unanswered", "time"):
                    self.left.pop(0)
                    break  # the other cases would say the same
            else:
                self.left.pop(0)
            if process.worn(before):
                return
            first = False

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
    """A worker's reply as a dict of float64 arrays, or a `Fault`; raises `Trouble` if it is neither."""
    fault, names = header.get("fault"), header.get("names")
    if isinstance(fault, list) and len(fault) == 2 and fault[0] in FAULTS:
        return Fault(fault[0], clean(fault[1]))
    if (
        isinstance(names, list)
        and len(names) == len(arrays)
        and all(isinstance(name, str) for name in names)
        and all(array.dtype == np.float64 for array in arrays)
    ):
        return dict(zip(names, arrays, strict=True))
    raise Trouble("refused", "its reply is neither arrays nor an error.")


def version(exercise):
    """Of what marks depend on: a hash of the exercise's questions and of how they are judged."""
    files = [Path(exercises.__file__).parent / f"e{exercise}.py"]
    files += [Path(worker.__file__).parent / name for name in ("exercise.py", "explain.py", "observers.py")]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
