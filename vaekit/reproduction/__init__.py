"""The papers' tables run again: cells as resumable runs, records of them, tables of records."""

from vaekit.reproduction.card import ModelCard, model_card
from vaekit.reproduction.records import Record, RecordError
from vaekit.reproduction.runs import RunError, run

__all__ = ["ModelCard", "Record", "RecordError", "RunError", "model_card", "run"]
