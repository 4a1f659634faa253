"""Grades a folder of notebooks: a mark for each in `marks.csv`, a page of feedback for each, in parallel, resumable.

A notebook whose content, questions and settings are those of its record is not graded again unless asked for. What goes
wrong with one is its own problem: the others are graded.
"""

import dataclasses
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
    found = submissions(folder)
    again = _named(again, [submission.name for submission in found])
    limits, stopped = limits or Limits(), threading.Event()
    settings = [dataclasses.asdict(limits), seed, require_isolation, hints, backend.NAME]
    stored, records, waiting = marks.Records(out) if found else None, {}, []
    for submission in found:
        name = submission.name
        key, problem = _key(submission, settings)
        record = stored.ungraded(name, problem) if problem else stored.kept(name)
        if problem or (record and record["key"] == key and name not in again):
            records[name] = record
            yield name, record
        else:
            waiting.append(submission)
    if records:
        marks.write_marks(out, records)

    def one(name, path, _):
        """Grades one: the bytes that are read here, once, are what the mark and its key are of."""
        content, notebook = read_notebook(path, follow=False)
        report = grade_notebook(path, limits, seed, require_isolation, stopped=stopped, notebook=notebook)
        with replacing(marks.page_of(out, name)) as stream:
            stream.write(page(report, Exercise(report.exercise), clean(name), hints).encode())
        record = marks.record_of(report, _hash(content, report.exercise, settings))
        stored.keep(name, record)
        return record

    def graded(submission):
        record, problem = _tried(one, *submission)
        return record or stored.ungraded(submission.name, problem)

    with ThreadPoolExecutor(jobs) as pool:
        try:
            running = {pool.submit(graded, submission): submission.name for submission in waiting}
            for done in as_completed(running):
                records[running[done]] = done.result()
                marks.write_marks(out, records)
                yield running[done], records[running[done]]
        finally:
            stopped.set()
            pool.shutdown(cancel_futures=True)


def duplicates(folder):
    """Names of notebooks with the same content, a list of lists."""
    same = {}
    for name, path, problem in submissions(folder):
        found, _ = (None, "") if problem else _tried(read_notebook, path, follow=False)
        if found:
            same.setdefault(hashlib.sha256(found[0]).digest(), []).append(name)
    return [names for names in same.values() if len(names) > 1]


def _apart(folder, out):
    """Refuses results among submissions: what is handed in next would overwrite them, or be overwritten."""
    if folder in (out, *out.parents) or {out / "feedback", out / "records"} & {folder, *folder.parents}:
        raise GradingError(
            f"the marks cannot stand among the submissions: {str(out)!r} and {str(folder)!r} are one folder, or one is "
            "within the other. Name another one by --out."
        )


def _named(again, names):
    """Those of the names that are to be graded again; raises GradingError if one is none of them."""
    known = {written: name for name in names for written in (marks.name_in_marks(name), name)}
    if unknown := set(again) - set(known):
        listed = ", ".join(repr(clean(name)) for name in sorted(unknown))
        raise GradingError(
            f"there is no submission {listed} to grade again; expected names as in the first column of marks.csv."
        )
    return {known[name] for name in again}


def _key(submission, settings):
    """A hash of all that a mark depends on, and what keeps the notebook from being graded, "" if nothing does."""
    if submission.problem:
        return None, submission.problem

    def key():
        content, notebook = read_notebook(submission.path, follow=False)
        return _hash(content, exercise_number(notebook, submission.path.name), settings)

    return _tried(key)


def _hash(content, exercise, settings):
    parts = [content, version(exercise).encode(), exercise.encode(), json.dumps(settings).encode()]
    return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def _tried(function, *arguments, **options):
    """What a function returns, and ""; or None, and the problem with a submission."""
    try:
        return function(*arguments, **options), ""
    except GradingError as error:
        return None, str(error)
    except Exception as error:  # of ours, or of this computer: not at the cost of all who come after
        reason = clean(error.strerror if isinstance(error, OSError) and error.strerror else error)
        return None, f"the grader failed, with {type(error).__name__}: {reason}"
