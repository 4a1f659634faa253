"""A queue of runs: a file with what `vaekit reproduce` takes, a line each; several processes may share it."""

import argparse
import dataclasses
import shlex
from pathlib import Path

from vaekit.papers.cell import Cell
from vaekit.reproduction import choice, records
from vaekit.reproduction.runs import TRAINING, epochs_gone


@dataclasses.dataclass(frozen=True)
class Job:
    """One run of a queue: a cell, its seed, and how many epochs (None: the paper's schedule)."""

    cell: Cell
    seed: int
    epochs: int | None

    @property
    def name(self):
        return f"{self.cell.paper} {self.cell.name}, seed {self.seed}"

    @property
    def wanted(self):
        return self.cell.epochs if self.epochs is None else self.epochs

    def record(self, results):
        """Reads its record; None if there is none."""
        path = Path(results) / self.cell.paper / f"{self.cell.name}-seed{self.seed}.json"
        return records.read(path) if path.exists() else None

    def done(self, results):
        """Whether its record has all epochs, or ended early by itself."""
        record = self.record(results)
        return record is not None and (record.epochs >= self.wanted or record.stopped_early)

    def state(self, runs, results):
        """Says how far it is: "done", "12 of 100 epochs", "not begun", or why it cannot be run.

        Where there is a record of fewer epochs, and no checkpoint to go on from: "a record of 12 of 100 epochs".
        """
        if self.cell.missing:
            return f"cannot be run: {self.cell.missing}"
        path = Path(runs) / self.cell.paper / f"{self.cell.name}-seed{self.seed}" / TRAINING
        try:
            if self.done(results):
                return "done"
            if path.exists():
                return f"{epochs_gone(path)} of {self.wanted} epochs"
            record = self.record(results)
            return f"a record of {record.epochs} of {self.wanted} epochs" if record else "not begun"
        except (ValueError, RuntimeError) as error:  # a damaged file
            return f"cannot be run: {error}"


def read(path, shard="1/1"):
    """Reads a queue's jobs, in the order of its lines; a line of several cells or seeds gives them one after the other.

    A line has what the command takes, `tomczak2017 --data static_mnist --model hvae --seed 0 --seed 1 --set
    learning_rate=1e-4 --epochs 100`. Empty lines, and what follows a #, are left out. A job that is there twice is kept
    once, with the epochs of the first line.

    Args:
        path: of the file.
        shard: "2/8": the 2nd, 10th, 18th … of all jobs, for the second of eight machines.

    Raises:
        CellError: a line that chooses no cells, with its number; a shard that is none.
        OSError: no such file.
    """
    jobs = {}
    for number, line in enumerate(Path(path).read_text(encoding="utf-8-sig").splitlines(), start=1):
        try:
            for job in _jobs(shlex.split(line, comments=True)):
                jobs.setdefault((job.cell.paper, job.cell.name, job.seed), job)
        except ValueError as error:  # CellErrors too
            raise choice.CellError(f"{str(path)!r}, line {number}: {error}") from None
    first, of = _shard(shard)
    return list(jobs.values())[first - 1 :: of]


def _jobs(words):
    if not words:
        return
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--epochs", type=int)
    try:
        options, rest = parser.parse_known_args(words)
    except argparse.ArgumentError as error:
        raise choice.CellError(str(error)) from None
    if (options.epochs is not None and options.epochs < 1) or min(options.seed or [0]) < 0:
        raise choice.CellError("--epochs takes a number from 1, --seed one from 0.")
    for cell in choice.choose(rest):
        for seed in options.seed or [0]:
            yield Job(cell.vary(choice.changes(options.set)), seed, options.epochs)


def _shard(text):
    first, _, of = text.partition("/")
    if not (first.isdecimal() and of.isdecimal() and 1 <= int(first) <= int(of)):
        raise choice.CellError(f"--shard takes the number of a part and how many there are, 2/8; received {text!r}.")
    return int(first), int(of)
