"""Grades a folder of notebooks: a mark for each in `marks.csv`, a page of feedback for each, in parallel, resumable.

In the folder for results: `marks.csv`, `feedback/NAME.html`, and `records/`, from which a later call goes on. A
notebook whose content, questions and settings are those of its record is not graded again unless asked for. What goes
wrong with one is its own problem: the others are graded.
"""

import contextlib
import csv
import dataclasses
import hashlib
import io
import json
import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from vaekit import backend
from vaekit.course.exercise import Exercise
from vaekit.course.grader.errors import GradingError
from vaekit.course.grader.grade import grade_notebook, version
from vaekit.course.grader.notebook import clean, exercise_number, read_notebook
from vaekit.course.grader.report import page
from vaekit.course.grader.usage import Limits
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


def grade_folder(folder, out, jobs=1, limits=None, seed=None, require_isolation=False, hints=1, again=()):
    """Grades what is in a folder, and writes marks and feedback. What is done stays done, also after a Ctrl-C.

    Args:
        folder: of notebooks, one for each learner and exercise; its path below the folder is the learner's name.
        out: folder for the results.
        jobs: how many at once.
        limits, seed, require_isolation: as `grade_notebook` takes them.
        hints: how many to give.
        again: names, as `marks.csv` has them, of those that are graded even if their records say how they were.

    Yields: (name, record) as they are done, first those that were done before; a record is a dict with "earned",
        "points" and more, or with "problem".

    Raises:
        OSError: if the marks cannot be written.
        GradingError: if `again` names what is not there.
    """
    folder, out = Path(folder).resolve(), Path(out).resolve()
    limits, stopped = limits or Limits(), threading.Event()
    found = notebooks(folder, out)
    if unknown := set(again) - {written for name, _ in found for written in (name, _harmless(name))}:
        names = ", ".join(repr(clean(name)) for name in sorted(unknown))
        raise GradingError(
            f"there is no submission {names} to grade again; expected names as in the first column of marks.csv."
        )
    records, waiting = {}, []
    for name, path in found:
        key, problem = _key(path, limits, seed, require_isolation, hints)
        record = None if {name, _harmless(name)} & set(again) else _stored(out, name)
        if problem:
            record = _ungraded(out, name, problem)
        if problem or (record and record["key"] == key):
            records[name] = record
            yield name, record
        else:
            waiting.append((name, path, key))
    if records:
        write_marks(out, records)

    def one(name, path, key):
        try:
            report = grade_notebook(path, limits, seed, require_isolation, stopped=stopped, hidden=(folder, out))
            exercise = Exercise(report.exercise)
            with replacing(page_of(out, name)) as stream:
                stream.write(page(report, exercise, clean(name), hints).encode())
            record = _record(key, report)
            write_json(_place(out, name), record)
            return record
        except GradingError as error:
            return _ungraded(out, name, str(error))
        except Exception as error:  # of ours, or of this computer: not at the cost of all who come after
            reason = clean(error.strerror if isinstance(error, OSError) and error.strerror else error)
            return _ungraded(out, name, f"the grader failed, with {type(error).__name__}: {reason}")

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
    """A hash of all that a mark depends on, and what keeps the notebook from being graded, "" if nothing does."""
    try:
        if path.is_symlink():
            raise GradingError("it is a link to another file. Hand in the notebook itself.")
        content, notebook = read_notebook(path)
        number = exercise_number(notebook, path.name)
    except GradingError as error:
        return None, str(error)
    except Exception as error:  # as in `grade_folder`
        return None, f"the grader failed, with {type(error).__name__}: {clean(error)}"
    settings = [dataclasses.asdict(limits), seed, require_isolation, hints, backend.NAME]
    parts = [content, version(number).encode(), number.encode(), json.dumps(settings).encode()]
    return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest(), ""


LONGEST = 200  # bytes of a name that is a file's; most systems take 255


def page_of(out, name):
    """Where a submission's feedback stands: NAME.html, or a part of the name and a hash.

    A name may be too long, and a folder `x.html` of submissions would stand where the page of `x` does.
    """
    *folders, _ = name.split("/")
    if len(os.fsencode(name)) <= LONGEST and not any(folder.lower().endswith(".html") for folder in folders):
        return out / "feedback" / f"{name}.html"
    start = name.replace("/", "_").encode("utf-8", "ignore")[:100].decode("utf-8", "ignore")
    return out / "feedback" / f"{start}-{_digest(name)}.html"


def _place(out, name):
    return out / "records" / f"{_digest(name)}.json"


def _digest(name):
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:24]


def _stored(out, name):
    """The record of an earlier call; None if there is none that can be used."""
    try:
        record = json.loads(_place(out, name).read_text(encoding="utf-8"))
        return record if isinstance(record, dict) and "key" in record and "earned" in record else None
    except (OSError, ValueError):
        return None


def _ungraded(out, name, problem):
    """The record of what could not be graded, which is looked at again next time. What was said of it before goes."""
    for path in (page_of(out, name), _place(out, name)):
        with contextlib.suppress(OSError):
            path.unlink()
    return {"key": None, "problem": problem}


def _record(key, report):
    """What is kept of a report, for `marks.csv` and for a later call."""
    return {
        "key": key,
        "exercise": report.exercise,
        "earned": report.earned,
        "points": report.points,
        "questions": {verdict.question: verdict.earned for verdict in report.verdicts},
        "diagnoses": {v.question: v.diagnosis for v in report.verdicts if not v.right},
        "exposed": report.exposed,
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
        marks = [_exact(record["questions"][q]) if q in record.get("questions", {}) else "" for q in questions]
        total = [_exact(record[key]) if key in record else "" for key in ("earned", "points")]
        row = [name, record.get("exercise", ""), *total, *marks, record.get("seed", ""), record["problem"]]
        rows.writerow([_harmless(str(cell)) for cell in row])
    with replacing(out / "marks.csv") as stream:
        stream.write(table.getvalue().encode("utf-8", "backslashreplace"))


def _exact(number):
    """With four decimals, so that thirds of points add up to what was earned."""
    return f"{number:.4f}".rstrip("0").rstrip(".")


def _harmless(text):
    """A cell that no spreadsheet takes for a formula, an apostrophe before what it might, also where `;` parts cells.

    East Asian spreadsheets take the wide signs for the narrow ones.
    """
    text = re.sub(r"(^|[;\t\r\n])(?=\s*[=+\-@＝＋－＠])", r"\1'", text)
    return f"'{text}" if text.startswith(("\t", "\r", "\n")) else text


def duplicates(folder, out=None):
    """Names of notebooks with the same content, a list of lists."""
    same = {}
    for name, path in notebooks(folder, out):
        try:
            content = read_notebook(path)[0] if not path.is_symlink() else None
        except GradingError:
            content = None
        if content is not None:
            same.setdefault(hashlib.sha256(content).digest(), []).append(name)
    return [names for names in same.values() if len(names) > 1]
