"""Runs of a paper's cells: trained, measured, recorded; what is cut off goes on where it was."""

import contextlib
import dataclasses
import json
import math
import time
from pathlib import Path

import filelock
import keras
import numpy as np
from tqdm.auto import tqdm

from vaekit import backend
from vaekit.files import replacing
from vaekit.models import checkpoint
from vaekit.models.progress import Progress
from vaekit.reproduction import records


class RunError(RuntimeError):
    """A run that cannot be, or cannot go on."""


def run(cell, seed=0, epochs=None, runs="runs", results="results", progress=True):
    """Trains a cell's model, measures it, and writes its record; goes on where an earlier run was cut off.

    The folder `runs/PAPER/CELL-seedS` holds the checkpoint of training, written about once a minute, and the final
    weights. With more `epochs` a run that is done goes on as well, and its record is written anew.

    Args:
        cell: a `vaekit.papers.cell.Cell`.
        seed: of weights, order of the data, noise and evaluation.
        epochs: None: the paper's schedule.
        runs, results: folders of the runs and of the records.
        progress: show how far it is, and the time left.

    Returns: the `Record`.

    Raises:
        RunError: a cell that vaekit cannot run, another run in this folder, other settings there, a loss that is no
            number.
        CheckpointError, OSError: a damaged checkpoint, a full disk.
        DatasetError: data that cannot be had.
    """
    if cell.missing:
        raise RunError(f"{cell.paper} {cell.name} cannot be run: {cell.missing}.")
    epochs = cell.epochs if epochs is None else epochs
    folder = Path(runs) / cell.paper / f"{cell.name}-seed{seed}"
    start = run(cell.after, seed, None, runs, results, progress) if cell.after else None
    with _alone(folder):
        _same(folder, cell, seed)
        done = Path(results) / cell.paper / f"{folder.name}.json"
        if done.exists() and (folder / WEIGHTS).exists():
            record = records.read(done)
            if record.epochs == epochs or record.stopped_early and record.epochs <= epochs:
                return record
        data = cell.load()
        keras.utils.set_random_seed(seed)
        model = cell.build(data, seed)
        if start:
            take(model, folder.with_name(f"{cell.after.name}-seed{seed}") / WEIGHTS)
        callbacks = [WholeRun(f"{cell.name}, seed {seed}", epochs)] if progress else []
        path = folder / "training.npz"
        cell.fit(model, data, epochs=epochs, callbacks=callbacks, checkpoint=path, verbose=0)
        state, _ = checkpoint.read(path)
        if not all(math.isfinite(values[-1]) for values in state["history"].values()):
            raise RunError(f"{cell.paper} {cell.name}: training came to a loss that is no number; see {str(path)!r}.")
        keep(model, folder / WEIGHTS)
        clock = time.perf_counter()
        figures = cell.measure(model, data, seed=seed, progress=progress)
        seconds = {"training": round(state["seconds"], 1), "evaluation": round(time.perf_counter() - clock, 1)}
        record = _record(cell, data, seed, state, figures, seconds)
        record.write(results)
        return record


WEIGHTS = "weights.npz"


def keep(model, path):
    """Writes a model's weights, in the order of `model.weights`, all at once."""
    with replacing(path) as stream:
        np.savez_compressed(stream, **{f"{i}": w for i, w in enumerate(model.get_weights())})


def take(model, path):
    """Gives a model of the same structure the weights of a file."""
    with np.load(path, allow_pickle=False) as file:
        model.set_weights([file[f"{i}"] for i in range(len(file.files))])


@contextlib.contextmanager
def _alone(folder):
    """Holds a folder for one process; a process that dies lets go of it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / "lock", timeout=0)
        lock.acquire()
    except filelock.Timeout:
        raise RunError(
            f"Another run works in {str(folder)!r}. Wait for it, or give this one another folder or seed."
        ) from None
    except OSError as error:
        raise OSError(error.errno, f"{str(folder)!r} cannot be used for a run: {error.strerror}.") from error
    try:
        yield
    finally:
        lock.release()


def _same(folder, cell, seed):
    """Refuses a folder that belongs to a run with other settings; marks a new one."""
    wanted = {
        "paper": cell.paper,
        "cell": cell.options,
        "seed": seed,
        "settings": dataclasses.asdict(cell.settings),
        "backend": backend.NAME,
    }
    wanted = json.loads(json.dumps(wanted))
    path = folder / "run.json"
    if not path.exists():
        with replacing(path) as stream:
            stream.write(json.dumps(wanted, indent=1).encode())
    try:
        found = json.loads(path.read_text())
    except ValueError:
        raise RunError(f"{str(path)!r} is damaged. Move the folder away to start anew; nothing was changed.") from None
    if differ := [name for name in wanted if found.get(name) != wanted[name]]:
        name = differ[-1]
        raise RunError(
            f"{str(folder)!r} holds a run of another configuration: its {name} is {found.get(name)}, this run's is "
            f"{wanted[name]}. Go on with the same one, or choose another folder; nothing was changed."
        )


def beside(cell, figures):
    """Figures of a record: ours beside the paper's."""
    return {
        name: {
            "ours": figures[name].value if name in figures else None,
            "standard_error": figures[name].standard_error if name in figures else None,
            "paper": cell.reported.get(name),
        }
        for name in dict.fromkeys([*figures, *cell.reported])
    }


def _record(cell, data, seed, state, figures, seconds):
    return records.Record(
        paper=cell.paper,
        table=cell.table,
        cell=cell.options,
        name=cell.name,
        data={
            "name": data.name,
            "title": data.title,
            "description": data.description,
            "images": {split: len(getattr(data, split)) for split in ("train", "validation", "test")},
            "paper_data": cell.paper_data,
        },
        metric=cell.metric,
        settings=json.loads(json.dumps(dataclasses.asdict(cell.settings))),
        seed=seed,
        epochs=state["epochs"],
        schedule=cell.epochs,
        stopped_early=state["stopped"],
        figures=beside(cell, figures),
        curves=records.thinned(state["history"]),
        seconds=seconds,
        finished=time.strftime("%Y-%m-%d"),
        **records.surroundings(),
    )


class WholeRun(Progress):
    """One bar for all epochs, with the time left (an early stop may come before)."""

    def __init__(self, title, epochs):
        super().__init__()
        self.title, self.epochs = title, epochs

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch, steps = epoch, self.params["steps"]
        if self.bar is None:
            quiet = {} if hasattr(tqdm, "container") else {"mininterval": 1.0}
            self.bar = tqdm(total=self.epochs * steps, initial=epoch * steps, desc=self.title, unit="step", **quiet)

    def on_train_batch_end(self, batch, logs=None):
        self.bar.update(self.epoch * self.params["steps"] + batch + 1 - self.bar.n)

    def on_epoch_end(self, epoch, logs=None):
        self.bar.set_postfix_str(f"epoch {epoch + 1}/{self.epochs}, {self._text(logs)}", refresh=False)

    def on_train_end(self, logs=None):
        super().on_train_end(logs)
        if self.bar is not None:
            self.bar.close()
