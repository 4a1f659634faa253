"""Writes the results of a class to its folder: `marks.csv`, `answers.csv`, pages of feedback, records to go on from.

A record is believed if this folder's own key signed it: whoever can write a file there cannot write a mark.
"""

import contextlib
import csv
import hashlib
import hmac
import io
import itertools
import json
import os
import re
import secrets

from vaekit.files import replacing, write_json

LONGEST = 200  # bytes of a name that is a file's; most systems take 255
FIELDS = set("key exercise earned points questions worth diagnoses messages exposed seed seconds problem".split())
ANSWER = ("learner", "exercise", "question", "earned", "points", "diagnosis", "message")  # columns of `answers.csv`
UNGRADED = "ungraded"  # the diagnosis of what could not be graded


def page_of(out, name):
    """Returns the path of a submission's feedback: NAME.html, or a part of the name and a hash.

    A name may be too long; a folder `x.html` of submissions would stand where the page of `x` does; and a name may be
    made to look like one with a hash.
    """
    *folders, last = name.split("/")
    like_others = re.search(r"-[0-9a-f]{24}$", last) or any(folder.lower().endswith(".html") for folder in folders)
    if len(os.fsencode(name)) <= LONGEST and not like_others:
        return out / "feedback" / f"{name}.html"
    start = name.replace("/", "_").encode("utf-8", "ignore")[:100].decode("utf-8", "ignore")
    return out / "feedback" / f"{start}-{_digest(name)}.html"


# ---- records


def record_of(report, key):
    """Makes the record of a report, for `marks.csv` and for a later call."""
    return {
        "key": key,
        "exercise": report.exercise,
        "earned": report.earned,
        "points": report.points,
        "questions": {verdict.question: verdict.earned for verdict in report.verdicts},
        "worth": {verdict.question: float(verdict.points) for verdict in report.verdicts},
        "diagnoses": {v.question: v.diagnosis for v in report.verdicts if not v.right},
        "messages": {v.question: v.message for v in report.verdicts if not v.right},
        "exposed": report.exposed,
        "seed": report.seed,
        "seconds": report.seconds,
        "problem": "",
    }


class Records:
    """The records of a folder for results, and the key that signs them.

    Raises:
        OSError: if the folder cannot be written.
    """

    def __init__(self, out):
        self.out, self.folder = out, out / "records"
        path = self.folder / "key"
        if not path.exists():
            with replacing(path) as stream:
                os.chmod(stream.fileno(), 0o600)
                stream.write(secrets.token_bytes(32))
        self.key = path.read_bytes()

    def write(self, name, record):
        """Writes a submission's record."""
        write_json(self._place(name), {**record, "signature": self._signature(name, record)})

    def read(self, name):
        """Reads the record of an earlier call; None if none can be used and was written under this name."""
        try:
            record = json.loads(self._place(name).read_text(encoding="utf-8"))
            signature = record.pop("signature")
            signed = hmac.compare_digest(signature.encode(), self._signature(name, record).encode())
            return record if signed and set(record) >= FIELDS else None
        except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
            return None

    def ungraded(self, name, problem):
        """Returns the record of what could not be graded, to be tried again next time; removes earlier results."""
        for path in (page_of(self.out, name), self._place(name)):
            with contextlib.suppress(OSError):
                path.unlink()
        return {"key": None, "problem": problem}

    def _place(self, name):
        return self.folder / f"{_digest(name)}.json"

    def _signature(self, name, record):
        signed = os.fsencode(name) + b"\0" + json.dumps(record, sort_keys=True).encode()
        return hmac.new(self.key, signed, hashlib.sha256).hexdigest()


def _digest(name):
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:24]


# ---- answers.csv and marks.csv


def write_answers(out, records):
    """Writes `answers.csv`: a row for each submission and question, with what is wrong with the answer.

    What could not be graded has one row, with the problem. Reports on a class are made of it.
    """
    table = io.StringIO()
    rows = csv.writer(table)
    rows.writerow(ANSWER)
    for name, record in sorted(records.items()):
        if record["problem"]:
            rows.writerow(map(_harmless, [name, "", "", "", "", UNGRADED, record["problem"]]))
        for question, earned in record.get("questions", {}).items():
            told = [record[key].get(question, "") for key in ("diagnoses", "messages")]
            row = [name, record["exercise"], question, _exact(earned), _exact(record["worth"][question]), *told]
            rows.writerow(map(_harmless, row))
    with replacing(out / "answers.csv") as stream:
        stream.write(table.getvalue().encode("utf-8", "backslashreplace"))


def write_marks(out, records):
    """Writes `marks.csv`: a row for each submission, a column for each question.

    One that was edited by hand since is put aside, as `marks.edited-1.csv`: see `edited`.
    """
    questions = list(dict.fromkeys(name for record in records.values() for name in record.get("questions", {})))
    table = io.StringIO()
    rows = csv.writer(table)
    rows.writerow(["learner", "exercise", "earned", "points", *questions, "seed", "problem"])
    for name, record in sorted(records.items()):
        marks = [_exact(record["questions"][q]) if q in record.get("questions", {}) else "" for q in questions]
        total = [_exact(record[key]) if key in record else "" for key in ("earned", "points")]
        row = [name, record.get("exercise", ""), *total, *marks, record.get("seed", ""), record["problem"]]
        rows.writerow([_harmless(str(cell)) for cell in row])
    content, path, written = table.getvalue().encode("utf-8", "backslashreplace"), out / "marks.csv", _written(out)
    if path.exists() and written != _sum(path.read_bytes()):
        places = (out / f"marks.edited-{n}.csv" for n in itertools.count(1))
        path.rename(next(place for place in places if not place.exists()))
    with replacing(path) as stream:
        stream.write(content)
    with replacing(out / "records" / "marks.sha256") as stream:
        stream.write(_sum(content).encode())


def edited(out):
    """Returns names of the files of marks that were edited by hand and put aside, a set."""
    return {path.name for path in out.glob("marks.edited-*.csv")}


def name_in_marks(name):
    """Returns a submission's name as `marks.csv` has it."""
    return _harmless(name)


def _written(out):
    """Reads the `_sum` of the marks that were written last, "" if none were."""
    try:
        return (out / "records" / "marks.sha256").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _sum(content):
    return hashlib.sha256(content).hexdigest()


def _exact(number):
    """Formats points with four decimals, so that thirds of points add up to what was earned."""
    return f"{number:.4f}".rstrip("0").rstrip(".")


def _harmless(text):
    """Puts an apostrophe before what a spreadsheet might take for a formula, also where `;` parts cells.

    East Asian spreadsheets take the wide signs for the narrow ones.
    """
    text = re.sub(r"(^|[;\t\r\n])(?=\s*[=+\-@＝＋－＠])", r"\1'", text)
    return f"'{text}" if text.startswith(("\t", "\r", "\n")) else text
