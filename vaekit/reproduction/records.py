"""Records: what ran and what came out, as JSON files that programs write and tables are made of."""

import contextlib
import dataclasses
import json
import os
import platform
import subprocess
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from vaekit import backend
from vaekit.files import write_json

PACKAGES = ("vaekit", "keras", "tensorflow", "jax", "tensorflow-probability", "numpy")
POINTS = 200  # of a curve, at most


class RecordError(ValueError):
    """A file that is no record."""


@dataclass(frozen=True)
class Record:
    """A run and its results.

    Attributes:
        paper, table, cell: which cell of which table; `cell` is a dict, the options that name it.
        name: of the cell.
        data: dict: the data set's name, title, description and numbers of images.
        differs: in what data or model are not the paper's; "" if they are.
        metric: how the figures were estimated.
        settings: dict, the paper's but for what is varied.
        seed: of weights, order of the data, noise and evaluation.
        epochs: trained; `schedule`: what the paper's schedule has, or has at most.
        stopped_early: whether a callback ended training.
        figures: dict by name: `ours` (a number, or a list, one for each latent), `standard_error` of the mean over
            images or None, `paper` or None.
        curves: dict: the numbers of some epochs, and every term's values there (nats), `val_` for validation.
        seconds: dict: of training (of all models that were trained at once) and of evaluation (since
            it was last cut off).
        together: how many models were trained at once.
        ran_on: list of dicts, one where nothing changed between the run's sittings: `backend`, `device`, `machine`,
            `versions` and `commit`, which is None outside vaekit's repository, and ends in "+" if files differed.
        finished: date.
        note: why a figure is as it is.
        varied: dict, settings and quirks of the paper's code that are not as in the cell.
        reference: whose figures stand beside ours: "paper"; "exact" where they are known of the
            data; "literature", other papers'.
    """

    paper: str
    table: str
    cell: dict
    name: str
    data: dict
    differs: str
    metric: str
    settings: dict
    seed: int
    epochs: int
    schedule: int
    stopped_early: bool
    figures: dict
    curves: dict
    seconds: dict
    together: int
    ran_on: list
    finished: str
    note: str = ""
    varied: dict = field(default_factory=dict)
    reference: str = "paper"

    @property
    def complete(self):
        """Whether the schedule was run to its end, or to an early stop."""
        return self.epochs >= self.schedule or self.stopped_early

    @property
    def comparable(self):
        """Whether it was run to its end, on the paper's data and model."""
        return self.complete and not self.differs and self.reference == "paper"

    @property
    def place(self):
        """Backend and device, as text."""
        return f"{self.ran_on[-1]['backend']} {self.ran_on[-1]['device']}"

    @property
    def path(self):
        """Path of its file in a folder of records."""
        return Path(self.paper) / f"{self.name}-seed{self.seed}.json"

    def write(self, results):
        """Writes it into the folder `results`; returns its path."""
        path = Path(results) / self.path
        write_json(path, dataclasses.asdict(self))
        return path


def read(path):
    """Reads a record from its file.

    Raises:
        RecordError: if it is none.
    """
    try:
        return Record(**json.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise RecordError(
            f"{str(path)!r} is no record ({error}). Records are written by vaekit reproduce: take the file out of the "
            "folder, or make it anew."
        ) from error


def read_all(results):
    """Reads all records in a folder, a list, in the order of their paths.

    Raises:
        RecordError: if there is no such folder, or a file in it is no record.
    """
    if not Path(results).is_dir():
        raise RecordError(
            f"There is no folder {str(results)!r} of records. vaekit reproduce writes them into results/."
        )
    return [read(path) for path in sorted(Path(results).glob("*/*.json"))]


def thinned(history):
    """Thins curves to at most `POINTS` epochs, the first and the last among them, values to 1e-4."""
    n = len(next(iter(history.values()), []))
    points = sorted({round(i * (n - 1) / max(1, min(n, POINTS) - 1)) for i in range(min(n, POINTS))})
    return {
        "epoch": [i + 1 for i in points],
        **{name: [round(values[i], 4) for i in points] for name, values in history.items() if len(values) == n},
    }


def surroundings():
    """Returns the fields of a record that say what it ran on."""
    return {
        "backend": backend.NAME,
        "device": backend.device(),
        "machine": f"{processor()}, cores: {cores()}, {platform.system()}, Python {platform.python_version()}",
        "versions": versions(PACKAGES),
        "commit": _commit(),
    }


def versions(packages):
    """Returns the versions of those packages that are installed, a dict."""
    installed = {}
    for package in packages:
        with contextlib.suppress(PackageNotFoundError):
            installed[package] = version(package)
    return installed


def processor():
    """Returns the name of the processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if "model name" in line), platform.processor())


def cores():
    """Returns how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _commit():
    """Returns the commit of the repository that vaekit runs from, "+" for changed files; None if there is none."""

    def git(*arguments):
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)  # an installed copy is in no repository
        changed = git("status", "--porcelain", "--", "..")
        return git("rev-parse", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None
