"""The papers' tables run again: cells as resumable runs, records of them, tables of records."""

from vaekit.reproduction.records import Record, RecordError
from vaekit.reproduction.runs import RunError, run

__all__ = ["Record", "RecordError", "RunError", "run"]
