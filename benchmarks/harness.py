"""Times contestants in turn: each in a process of its own, warmed up, then one repeat of each, round after round.

A benchmark is a program that states its question in its docstring and ends in

    if __name__ == "__main__":
        harness.main(__file__, cases=CASES, contestants=CONTESTANTS, unit="ms a step", goals=GOALS)

A case is a dict of settings under a label. A contestant is a function of a case that prepares everything and returns
another function: one repeat, which returns how many units it did. So all that is timed is the work. The record goes to
`records/NAME.json`: every time, the machine, the versions; `table.py` turns the records into tables.
"""

import argparse
import importlib.util
import inspect
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
RECORDS = HERE / "records"
PER_SECOND = {"ms": 1e3, "s": 1.0, "µs": 1e6}
PACKAGES = ("vaekit", "keras", "tensorflow", "jax", "tensorflow-probability", "torch", "pythae", "numpy")


@dataclass(frozen=True)
class Contestant:
    """Someone who can do the work.

    Attributes:
        prepare: function of a case, which returns a function for one repeat; that returns the number of units done.
        backend: Keras' backend in its process, "tensorflow" or "jax"; None: it does not use Keras.
        packages: without these it does not take part.
        cases: labels of the cases in which it takes part; None: all.
    """

    prepare: Callable
    backend: str | None = None
    packages: tuple = ()
    cases: tuple | None = None


@dataclass(frozen=True)
class Goal:
    """`contestant` should take at most `factor` times as long as `reference`, in `case`."""

    contestant: str
    reference: str
    factor: float
    case: str


class Worker:
    """A contestant with a case, in a process that waits to be told to start."""

    def __init__(self, file, contestant, name, case):
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        if contestant.backend:
            environment["KERAS_BACKEND"] = contestant.backend
        command = [sys.executable, file, "--worker", name, case]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def ask(self):
        """Does one repeat: {"seconds": per unit, "memory_mb": the most that the process ever held}."""
        try:
            self.process.stdin.write("go\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise SystemExit(f"{' '.join(self.process.args)} ended with exit code {self.process.wait()}.")

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def work(contestant, case):
    """The worker's side: one repeat for each line of stdin."""
    repeat = contestant.prepare(case)
    if {"torch", "tensorflow"} <= set(sys.modules):
        raise SystemExit("TensorFlow is loaded beside PyTorch, whose steps then take up to twice as long.")
    repeat()  # warm-up: compiling is not timed
    for _ in sys.stdin:
        start = time.perf_counter()
        units = repeat()
        seconds = (time.perf_counter() - start) / units
        whose = max((resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN), key=lambda w: resource.getrusage(w).ru_maxrss)
        memory = resource.getrusage(whose).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
        print(json.dumps({"seconds": seconds, "memory_mb": round(memory)}), flush=True)


def machine():
    """Returns what the figures hold for: processor, cores, system, versions."""
    from vaekit.reproduction import records  # here, since workers are to import only what they time

    return {
        "processor": records.processor(),
        "cores": records.cores(),
        "python": platform.python_version(),
        "versions": records.versions(PACKAGES),
        "date": time.strftime("%Y-%m-%d"),
    }


def present(contestant):
    return all(importlib.util.find_spec(package) for package in (*contestant.packages, contestant.backend) if package)


def main(file, cases, contestants, unit, goals=(), limit=None, rounds=7):
    """The command line of a benchmark: measures, prints, writes the record.

    Args:
        file: the program's `__file__`.
        cases: dict of cases by label.
        contestants: dict of `Contestant` by label; the first one is the reference of the printed ratios.
        unit: "ms a step": the unit of time, and what one unit of work is.
        goals: list of `Goal`.
        limit: label of the contestant that is the hardware's limit, if there is one.
        rounds: repeats of each contestant.
    """
    parser = argparse.ArgumentParser(description=inspect.getmodule(inspect.stack()[1][0]).__doc__)
    parser.add_argument("--worker", nargs=2, metavar=("CONTESTANT", "CASE"), help=argparse.SUPPRESS)
    parser.add_argument("--case", action="append", choices=list(cases), help="only this case; may be repeated")
    parser.add_argument("--only", action="append", choices=list(contestants), help="only this contestant")
    parser.add_argument("--rounds", type=int, default=rounds)
    options = parser.parse_args()
    if options.worker:
        name, case = options.worker
        return work(contestants[name], cases[case])
    chosen = {name: c for name, c in contestants.items() if not options.only or name in options.only}
    measured, factor = {}, PER_SECOND[unit.split()[0]]
    for case in options.case or cases:
        able = {name: c for name, c in chosen.items() if present(c) and (c.cases is None or case in c.cases)}
        workers = {name: Worker(file, contestant, name, case) for name, contestant in able.items()}
        answers = {name: [] for name in workers}
        for worker in workers.values():
            worker.ask()  # one after the other, so that compiling disturbs nobody
        for _ in range(options.rounds):
            for name, worker in workers.items():
                answers[name].append(worker.ask())
        for worker in workers.values():
            worker.end()
        measured[case] = {
            name: {"seconds": [a["seconds"] for a in rows], "memory_mb": max(a["memory_mb"] for a in rows)}
            for name, rows in answers.items()
        }
        print(f"\n{case}, {unit}")
        reference = next(iter(measured[case]))
        for name, row in measured[case].items():
            median = statistics.median(row["seconds"])
            ratio = compare(measured[case], name, reference)
            print(
                f"  {name:34} {factor * median:10.3f}   {ratio:7.2f} × {reference}   {row['memory_mb']} MB", flush=True
            )
    record = {
        "question": inspect.getmodule(inspect.stack()[1][0]).__doc__.strip().splitlines()[0],
        "unit": unit,
        "limit": limit,
        "goals": [vars(goal) for goal in goals],
        "machine": machine(),
        "cases": measured,
    }
    if options.case or options.only:
        return print("\nA part only: no record written.")
    RECORDS.mkdir(exist_ok=True)
    path = RECORDS / f"{Path(file).stem}.json"
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    print(f"\nwrote {path.relative_to(HERE.parent)}")


def compare(rows, name, reference):
    """How many times as long as the reference: median over the rounds, whose two times were taken side by side."""
    pairs = zip(rows[name]["seconds"], rows[reference]["seconds"], strict=True)
    return statistics.median(mine / theirs for mine, theirs in pairs)
