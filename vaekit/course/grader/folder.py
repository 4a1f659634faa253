"""Grades a folder of notebooks: marks in `marks.csv`, a page of feedback for each, in parallel, resumable.

A notebook whose content, questions and settings are those of its record is not graded again unless asked for. What goes
wrong with one is its own problem: the others are graded.
"""

import dataclasses
import functools
import hashlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from vaekit import backend
from vaekit.course.exercise import Exercise
from vaekit.course.grader import marks
from vaekit.course.grader.errors import GradingError
from vaekit.course.grader.grade import grade_notebook, version
from vaekit.course.grader.notebook import clean, exercise_number, read_notebook
from vaekit.course.grader.report import page
from vaekit.course.grader.submissions import submissions
from vaekit.course.grader.usage import Limits
from vaekit.files import replacing


def grade_folder(folder, out, jobs=1, limits=None, seed=None, require_isolation=False, hints=1, again=()):
    """Grades what is in a folder, and writes marks and feedback. What is done stays done, also after a Ctrl-C.

    Args:
        folder: of notebooks, one for each learner and exercise; its path below the folder is the learner's name.
        out: folder for the results, not within the first.
        jobs: how many at once.
        limits, seed, require_isolation: as `grade_notebook` takes them.
        hints: how many to give.
        again: names, as `marks.csv` has them, of those that are graded even if their records say how they were.

    Yields: (name, record) as they are done, first those that were done before; a record is a dict with "earned",
        "points" and more, or with "problem".

    Raises:
        OSError: if the marks cannot be written.
        GradingError: if `again` names what is not there, or the results would stand among the submissions.
    """
    folder, out = Path(folder).resolve(), Path(out).resolve()
    _apart(folder, out)
    handed_in = submissions(folder)
    again = _named(again, [submission.name for submission in handed_in])
    if not handed_in:
        return
    grader, records, waiting = _Grader(folder, out, limits or Limits(), seed, require_isolation, hints), {}, []
    for submission in handed_in:
        record = grader.valid_record(submission, again)
        if record:
            records[submission.name] = record
            yield submission.name, record
        else:
            waiting.append(submission)
    if records:
        marks.write_marks(out, records)
    with ThreadPoolExecutor(jobs) as pool:
        try:
            running = {pool.submit(grader.grade, submission): submission.name for submission in waiting}
            for done in as_completed(running):
                records[running[done]] = done.result()
                marks.write_marks(out, records)
                yield running[done], records[running[done]]
        finally:
            grader.stopped.set()
            pool.shutdown(cancel_futures=True)
            marks.write_answers(out, records)


class _Grader:
    """Grades submissions one by one, all in the same way, and writes their records."""

    def __init__(self, folder, out, limits, seed, require_isolation, hints):
        self.hidden = (folder, out)
        self.out, self.records, self.stopped = out, marks.Records(out), threading.Event()
        self.limits, self.seed, self.require_isolation, self.hints = limits, seed, require_isolation, hints
        self.version = functools.cache(version)

    def valid_record(self, submission, again):
        """Returns the record of an earlier call that is still valid, or of a problem; None: it is to be graded."""
        key, problem = _attempt(self._key_of, submission)
        if problem:
            return self.records.ungraded(submission.name, problem)
        record = self.records.read(submission.name)
        return record if record and record["key"] == key and submission.name not in again else None

    def grade(self, submission):
        """Grades a submission now: returns the record of its mark, or of a problem."""
        record, problem = _attempt(self._graded, submission)
        return record or self.records.ungraded(submission.name, problem)

    def _graded(self, submission):
        """Grades the bytes that are read here, once: mark and key are both of these."""
        content, notebook = read_notebook(submission.path, follow=False)
        report = grade_notebook(
            submission.path,
            self.limits,
            self.seed,
            self.require_isolation,
            stopped=self.stopped,
            notebook=notebook,
            hidden=self.hidden,
        )
        with replacing(marks.page_of(self.out, submission.name)) as stream:
            stream.write(page(report, Exercise(report.exercise), clean(submission.name), self.hints).encode())
        record = marks.record_of(report, self._key(content, report.exercise))
        self.records.write(submission.name, record)
        return record

    def _key_of(self, submission):
        if submission.problem:
            raise GradingError(submission.problem)
        content, notebook = read_notebook(submission.path, follow=False)
        return self._key(content, exercise_number(notebook, submission.path.name))

    def _key(self, content, exercise):
        """Hashes all that a mark depends on."""
        settings = [dataclasses.asdict(self.limits), self.seed, self.require_isolation, self.hints, backend.NAME]
        parts = [content, *(text.encode() for text in (self.version(exercise), exercise, json.dumps(settings)))]
        return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def duplicates(folder):
    """Lists names of notebooks with the same content, a list of lists."""
    same = {}
    for name, path, problem in submissions(folder):
        submitted, _ = (None, "") if problem else _attempt(read_notebook, path, follow=False)
        if submitted:
            same.setdefault(hashlib.sha256(submitted[0]).digest(), []).append(name)
    return [names for names in same.values() if len(names) > 1]


def _apart(folder, out):
    """Refuses results among submissions: what is handed in next would overwrite them, or be overwritten."""
    if folder in (out, *out.parents) or {out / "feedback", out / "records"} & {folder, *folder.parents}:
        raise GradingError(
            f"the marks cannot stand among the submissions: {str(out)!r} and {str(folder)!r} are one folder, or one is "
            "within the other. Name another one by --out."
        )


def _named(again, names):
    """Selects the names that are to be graded again; raises GradingError if one is none of them."""
    name_by_spelling = {written: name for name in names for written in (marks.name_in_marks(name), name)}
    if unknown := set(again) - set(name_by_spelling):
        listed = ", ".join(repr(clean(name)) for name in sorted(unknown))
        raise GradingError(
            f"there is no submission {listed} to grade again; expected names as in the first column of marks.csv."
        )
    return {name_by_spelling[name] for name in again}


def _attempt(function, *arguments, **options):
    """Calls a function: returns its value and "", or None and the problem with a submission."""
    try:
        return function(*arguments, **options), ""
    except GradingError as error:
        return None, str(error)
    except Exception as error:  # of ours, or of this computer: not at the cost of all who come after
        reason = clean(error.strerror if isinstance(error, OSError) and error.strerror else error)
        return None, f"the grader failed, with {type(error).__name__}: {reason}"
