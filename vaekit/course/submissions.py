"""Grades a folder of notebooks: a mark for each in `marks.csv`, a page of feedback for each, in parallel, resumable.

In the folder for results: `marks.csv`, `feedback/NAME.html`, and `records/`, from which a later call goes on. A
notebook whose content, questions and settings are those of its record is not graded again.
"""

import csv
import dataclasses
import hashlib
import io
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from vaekit import backend
from vaekit.course import checking, feedback, grading, handed_in, watched
from vaekit.course.exercise import points
from vaekit.files import replacing, write_json


def notebooks(folder, out=None):
    """Notebooks in a folder and below, sorted: [(name, path)]; hidden folders and `out` are passed over."""
    found = []
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and Path(where, name) != out]
        for name in names:
            if name.endswith(".ipynb") and not name.startswith("."):
                path = Path(where, name)
                found.append((path.relative_to(folder).with_suffix("").as_posix(), path))
    return sorted(found)


def grade_all(folder, out, jobs=1, limits=None, seed=None, require_isolation=False, hints=1):
    """Grades what is in a folder, and writes marks and feedback. What is done stays done, also after a Ctrl-C.

    Args:
        folder: of notebooks, one for each learner and exercise; its path below the folder is the learner's name.
        out: folder for the results.
        jobs: how many at once.
        limits, seed, require_isolation: as `grading.grade` takes them.
        hints: how many to give.

    Yields: (name, record) as they are done, first those that were done before; a record is a dict with "earned",
        "points" and more, or with "problem".

    Raises:
        OSError: if results cannot be written.
    """
    folder, out = Path(folder).resolve(), Path(out).resolve()
    limits, stopped = limits or watched.Limits(), threading.Event()
    records, waiting = {}, []
    for name, path in notebooks(folder, out):
        key, problem = _key(path, limits, seed, require_isolation, hints)
        record = _kept(out, name)
        if problem:
            record = {"key": None, "problem": problem}
        if problem or (record and record["key"] == key):
            records[name] = record
            yield name, record
        else:
            waiting.append((name, path, key))
    if records:
        write_marks(out, records)

    def one(name, path, key):
        try:
            report = grading.grade(path, limits, seed, require_isolation, stopped=stopped)
        except handed_in.GradingError as error:
            return {"key": None, "problem": str(error)}  # looked at again next time
        exercise = checking.Exercise(report.exercise)
        with replacing(out / "feedback" / f"{name}.html") as stream:
            stream.write(feedback.page(report, exercise, handed_in.clean(name), hints).encode())
        record = _record(key, report)
        write_json(_place(out, name), record)
        return record

    with ThreadPoolExecutor(jobs) as pool:
        try:
            running = {pool.submit(one, *task): task[0] for task in waiting}
            for done in as_completed(running):
                records[running[done]] = done.result()
                write_marks(out, records)
                yield running[done], records[running[done]]
        finally:
            stopped.set()
            pool.shutdown(cancel_futures=True)


def _key(path, limits, seed, require_isolation, hints):
    """Of all that a mark depends on, and what keeps the notebook from being graded."""
    try:
        if path.is_symlink():
            raise handed_in.GradingError("it is a link to another file. Hand in the notebook itself.")
        content, notebook = handed_in.read_notebook(path)
        number = handed_in.exercise_number(notebook, path.name)
    except handed_in.GradingError as error:
        return None, str(error)
    settings = [dataclasses.asdict(limits), seed, require_isolation, hints, backend.NAME]
    parts = [content, grading.version(number).encode(), number.encode(), json.dumps(settings).encode()]
    return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest(), ""


def _place(out, name):
    return out / "records" / f"{hashlib.sha256(os.fsencode(name)).hexdigest()[:24]}.json"


def _kept(out, name):
    try:
        record = json.loads(_place(out, name).read_text())
        return record if isinstance(record, dict) and "key" in record and "earned" in record else None
    except (OSError, ValueError):
        return None


def _record(key, report):
    return {
        "key": key,
        "exercise": report.exercise,
        "earned": report.earned,
        "points": report.points,
        "questions": {verdict.question: verdict.earned for verdict in report.verdicts},
        "diagnoses": {v.question: v.diagnosis for v in report.verdicts if not v.right},
        "missing": report.missing,
        "seed": report.seed,
        "seconds": report.seconds,
        "problem": "",
    }


def write_marks(out, records):
    """Writes `marks.csv`: a row for each notebook, a column for each question."""
    questions = list(dict.fromkeys(name for record in records.values() for name in record.get("questions", {})))
    table = io.StringIO()
    rows = csv.writer(table)
    rows.writerow(["learner", "exercise", "earned", "points", *questions, "seed", "problem"])
    for name, record in sorted(records.items()):
        marks = [points(record["questions"][q]) if q in record.get("questions", {}) else "" for q in questions]
        total = [points(record[key]) if key in record else "" for key in ("earned", "points")]
        row = [name, record.get("exercise", ""), *total, *marks, record.get("seed", ""), record["problem"]]
        rows.writerow([f"'{cell}" if str(cell).startswith(("=", "+", "-", "@")) else cell for cell in row])
    with replacing(out / "marks.csv") as stream:
        stream.write(table.getvalue().encode("utf-8", "backslashreplace"))


def duplicates(folder, out=None):
    """Names of notebooks with the same content, a list of lists."""
    same = {}
    for name, path in notebooks(folder, out):
        try:
            content = handed_in.read_notebook(path)[0] if not path.is_symlink() else None
        except handed_in.GradingError:
            content = None
        if content is not None:
            same.setdefault(hashlib.sha256(content).digest(), []).append(name)
    return [names for names in same.values() if len(names) > 1]
