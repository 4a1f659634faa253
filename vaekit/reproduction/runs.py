"""Runs of a paper's cells: trained, measured, recorded; a run that was cut off goes on where it was."""

import contextlib
import copy
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
from vaekit.files import replacing, write_json
from vaekit.papers.cell import TRAINING_SETTINGS
from vaekit.reproduction import records
from vaekit.training import checkpoint, fit_together
from vaekit.training.progress import Progress

RUN, TRAINING, WEIGHTS = "run.json", "training.npz", "weights.npz"  # of a run's folder
MEASURED = "measured-{}.npz"  # log p(x) of the images so far, by epochs


class RunError(RuntimeError):
    """A run that cannot be, or cannot go on."""


class BusyError(RunError):
    """A run in whose folder another process works."""


def run(cell, seed=0, epochs=None, runs="runs", results="results", progress=True):
    """Trains a cell's model, measures it, and writes its record; goes on where an earlier run was cut off.

    The folder `runs/PAPER/CELL-seedS` holds the checkpoint of training, later that of measuring log p(x), each written
    about once a minute, and the final weights. With more `epochs` a run that is done goes on as well, and its record is
    written anew.

    Args:
        cell: a `vaekit.papers.cell.Cell`.
        seed: of weights, order of the data, noise and evaluation.
        epochs: None: the paper's schedule.
        runs, results: folders of the runs and of the records.
        progress: show how far it is, and the time left.

    Returns: the `Record`.

    Raises:
        RunError: a cell that vaekit cannot run, another run in this folder, other settings there, a varied setting that
            changes nothing, a loss that is no number.
        CheckpointError, OSError: a damaged checkpoint, a full disk.
        DatasetError: data that cannot be had.
    """
    return run_seeds(cell, [seed], epochs, runs, results, progress)[0]


def run_seeds(cell, seeds, epochs=None, runs="runs", results="results", progress=True):
    """Runs several seeds, trained at the same time where the backend can: see `vaekit.training.fit_together`.

    Each has a folder and a record of its own. They come to the same weights again, bit for bit, after a break if the
    same seeds go on together.

    Args:
        seeds: list of ints; the others, the results and the errors are those of `run`.

    Returns: list of `Record`.
    """
    if cell.missing:
        raise RunError(f"{cell.paper} {cell.name} cannot be run: {cell.missing}.")
    epochs = cell.epochs if epochs is None else epochs
    folders = {seed: Path(runs) / cell.paper / f"{cell.name}-seed{seed}" for seed in seeds}
    with contextlib.ExitStack() as stack:
        for seed, folder in folders.items():
            stack.enter_context(_alone(folder))
            _same(folder, cell, seed)
        before = {seed: _before(cell, folder, epochs, results) for seed, folder in folders.items()}
        done = {seed: record for seed, record in before.items() if record and _finished(record, folders[seed], epochs)}
        if len(done) < len(folders):
            if cell.after or cell.varied:
                _check_model(cell, seeds[0])
            if cell.after:
                run_seeds(cell.after, seeds, None, runs, results, progress)
            data = cell.load()
            # one that is done keeps its place in the program of several, and its checkpoint says that it has ended
            models = {
                s: _model(cell, data, s, f) for s, f in folders.items() if s not in done or (f / TRAINING).exists()
            }
            _train(cell, data, epochs, {folders[seed]: model for seed, model in models.items()}, progress)
            for seed, model in models.items():
                if seed not in done:
                    record = _measured(cell, data, seed, model, folders[seed], len(models), progress)
                    done[seed] = dataclasses.replace(record, note=before[seed].note if before[seed] else "")
                    save_weights(model, folders[seed] / WEIGHTS)
                    done[seed].write(results)
                    for measured in folders[seed].glob(MEASURED.format("*")):
                        measured.unlink()
        return [done[seed] for seed in seeds]


def _before(cell, folder, epochs, results):
    """Reads the record of a run, if there is one; neither it nor the checkpoint may have more epochs than asked for."""
    path = Path(results) / cell.paper / f"{folder.name}.json"
    record = records.read(path) if path.exists() else None
    gone = {str(path): record.epochs if record else 0}
    if (folder / TRAINING).exists():
        gone[str(folder / TRAINING)] = epochs_gone(folder / TRAINING)
    for place, number in gone.items():
        if number > epochs:
            raise RunError(
                f"{place!r} has gone {number} epochs already, more than the {epochs} asked for. Ask for "
                "as many or more, --epochs, or name other folders, --runs and --results. Nothing was changed."
            )
    return record


def epochs_gone(path):
    """Reads how many epochs a checkpoint has."""
    return checkpoint.read(path)[0]["epochs"]


def _finished(record, folder, epochs):
    """Whether there is nothing left to do."""
    ended = record.epochs == epochs or (record.stopped_early and record.epochs <= epochs)
    return ended and (folder / WEIGHTS).exists()


def _check_model(cell, seed):
    """Builds a cell's model, before anything is trained, with each varied setting and without it.

    Raises:
        RunError: a setting without which networks, first weights, optimizer and objective are the same.
    """
    data = cell.load()
    config, weights = _built(cell, data, seed)
    for name in (name for name in cell.varied if name not in TRAINING_SETTINGS):
        others = {other: value for other, value in cell.varied.items() if other != name}
        config_without, weights_without = _built(cell.unvaried.vary(others), data, seed)
        if config == config_without and all(map(np.array_equal, weights, weights_without)):
            raise RunError(
                f"{name}={cell.varied[name]} changes nothing in {cell.paper} {cell.unvaried.name}: model and training "
                "are the same without. Leave it out."
            )


def _built(cell, data, seed):
    """The configuration of a cell's model, optimizer and objective, and the values that their variables begin with."""
    keras.utils.set_random_seed(seed)
    model = cell.model(data, seed)
    parts = {"model": model.get_config(), "optimizer": model.optimizer_config(), "objective": model.objective_config()}
    config = checkpoint.settings_by_path(model, parts)
    weights = [keras.ops.convert_to_numpy(v) for v in (*model.variables, *model.optimizer.variables)]
    by_name = {"name", "keras_history"}  # Keras numbers names in the order of a process
    return {path: str(value) for path, value in config.items() if by_name.isdisjoint(path)}, weights


def _model(cell, data, seed, folder):
    keras.utils.set_random_seed(seed)
    model = cell.model(data, seed)
    if cell.after:
        load_weights(model, folder.with_name(f"{cell.after.name}-seed{seed}") / WEIGHTS)
        model.step.assign(0)
    return model


def _train(cell, data, epochs, models, progress):
    """Trains models, by their folders, as the paper's `fit` does: several of them at the same time."""
    if len(models) > 1 and getattr(data, "vocabulary", None) is not None:
        raise RunError(
            f"{cell.paper} {cell.name} is trained on sentences, in batches by length, one seed at a time: leave out "
            "--together."
        )
    callbacks, checkpoints = [[Finite(folder)] for folder in models], [folder / TRAINING for folder in models]
    if progress:
        callbacks[0].append(WholeRun(next(iter(models)).name, epochs))
    if len(models) == 1:
        (trained,), options = models.values(), dict(callbacks=callbacks[0], checkpoint=checkpoints[0])
    else:
        trained, options = _Together(list(models.values()), callbacks, checkpoints), {}
    cell.fit(trained, data, epochs=epochs, settings=cell.settings, verbose=0, **options)


class _Together:
    """Several models with one `fit`: it trains all of them at the same time, each with copies of the callbacks."""

    def __init__(self, models, callbacks, checkpoints):
        self.models, self.callbacks, self.checkpoints = models, callbacks, checkpoints

    def fit(self, x, callbacks=(), **options):
        callbacks = [[*map(copy.deepcopy, callbacks), *own] for own in self.callbacks]
        return fit_together(self.models, x, callbacks=callbacks, checkpoints=self.checkpoints, **options)


class Finite(keras.callbacks.Callback):
    """Ends a run whose loss is no number, before that is saved."""

    def __init__(self, folder):
        super().__init__()
        self.folder = str(folder)

    def on_epoch_end(self, epoch, logs=None):
        if not math.isfinite(logs["loss"]):
            raise RunError(
                f"The loss of {self.folder!r} is no number after epoch {epoch + 1}: this run ends there each time. Try "
                "another seed, --seed. The folder keeps the state before."
            )


def _measured(cell, data, seed, model, folder, together, progress):
    state, _ = checkpoint.read(folder / TRAINING)
    clock = time.perf_counter()
    file = folder / MEASURED.format(state["epochs"])  # after more epochs they are other weights
    figures = cell.measure(model, data, seed=seed, progress=progress, checkpoint=file)
    seconds = {"training": round(state["seconds"], 1), "evaluation": round(time.perf_counter() - clock, 1)}
    ran_on = json.loads((folder / RUN).read_text())["ran_on"]
    return _record(cell, data, seed, state, figures, seconds, together, ran_on)


def save_weights(model, path):
    """Writes a model's weights, in the order of `model.weights`, all at once."""
    with replacing(path) as stream:
        np.savez_compressed(stream, **{f"{i}": w for i, w in enumerate(model.get_weights())})


def load_weights(model, path):
    """Gives a model of the same structure the weights of a file.

    Raises:
        RunError: a damaged file, or none.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            model.set_weights([file[f"{i}"] for i in range(len(file.files))])
    except Exception as error:  # one wrong byte, and zip files fail in many ways
        raise RunError(f"{str(path)!r} holds no weights of this model ({error}). Delete it and run again.") from error


@contextlib.contextmanager
def _alone(folder):
    """Holds a folder for one process; a process that dies lets go of it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / "lock", timeout=0)
        lock.acquire()
    except filelock.Timeout:
        raise BusyError(
            f"Another run works in {str(folder)!r}. Wait for it, or give this one another folder or seed."
        ) from None
    except OSError as error:
        raise OSError(error.errno, f"{str(folder)!r} cannot be used for a run: {error.strerror}.") from error
    try:
        for rest in folder.glob("*.part"):  # what a killed process was writing
            rest.unlink()
        yield
    finally:
        lock.release()


def _same(folder, cell, seed):
    """Refuses a folder that belongs to a run with other settings; writes down what this one is and runs on."""
    wanted = {
        "paper": cell.paper,
        "cell": cell.options,
        "seed": seed,
        "settings": dataclasses.asdict(cell.settings),
        "backend": backend.NAME,
    }
    wanted = json.loads(json.dumps(wanted))
    path = folder / RUN
    try:
        saved = json.loads(path.read_text()) if path.exists() else {**wanted, "ran_on": []}
        ran_on = list(saved["ran_on"])
        differ = [name for name in wanted if saved[name] != wanted[name]]
    except (ValueError, TypeError, KeyError):
        raise RunError(f"{str(path)!r} is damaged. Move the folder away to start anew; nothing was changed.") from None
    if differ:
        name = differ[-1]
        raise RunError(
            f"{str(folder)!r} holds a run of another configuration: its {name} is {saved[name]}, this run's is "
            f"{wanted[name]}. Go on with the same one, or choose another folder; nothing was changed."
        )
    if (now := records.surroundings()) not in ran_on:
        write_json(path, {**wanted, "ran_on": [*ran_on, now]})


def beside(cell, figures):
    """Makes the figures of a record: ours beside the paper's."""
    return {
        name: {
            "ours": figures[name].value if name in figures else None,
            "standard_error": figures[name].standard_error if name in figures else None,
            "paper": cell.reported.get(name),
        }
        for name in dict.fromkeys([*figures, *cell.reported])
    }


def _record(cell, data, seed, state, figures, seconds, together, ran_on):
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
        },
        differs=cell.differs,
        metric=cell.metric,
        settings=json.loads(json.dumps(dataclasses.asdict(cell.settings))),
        varied=json.loads(json.dumps(cell.varied)),
        reference=cell.reference,
        seed=seed,
        epochs=state["epochs"],
        schedule=cell.epochs,
        stopped_early=state["stopped"],
        figures=beside(cell, figures),
        curves=records.thinned(state["history"]),
        seconds=seconds,
        together=together,
        ran_on=ran_on,
        finished=time.strftime("%Y-%m-%d"),
    )


class WholeRun(Progress):
    """A progress bar for all epochs, with the time left (an early stop may come before)."""

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
