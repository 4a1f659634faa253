"""The state of a training in one file, from which it goes on, after a crash too, to the same weights bit for bit."""

import json
import time
import zlib
from pathlib import Path

import keras
import numpy as np
from keras import ops

from vaekit import backend
from vaekit.batches import Batches
from vaekit.files import replacing
from vaekit.training.finite import StopAtNaN
from vaekit.training.progress import Progress

SECONDS = 60.0  # between two files
BY_LENGTH = ("multiple", "fixed", "full", "tokens", "padding")  # settings of batches of sequences


class CheckpointError(RuntimeError):
    """A checkpoint that is damaged, or belongs to another training."""


class Checkpoint:
    """The state that `fit(..., checkpoint=path)` saves: weights, optimizer, random streams, callbacks, history, time.

    The file is replaced as a whole, never changed: whenever the process dies, a complete one is there.

    Args:
        path: of the file.
        model: compiled and built, its optimizer too.
        batches: `vaekit.batches.Batches`.
        validation: likewise, or None.
        callbacks: list of those whose state counts. Numbers, texts and weights that change in them are saved (patience
            used up, the weights of the best epoch).
    """

    def __init__(self, path, model, batches, validation, callbacks):
        self.path, self.model, self.batches = Path(path), model, batches
        self.callbacks = [c for c in callbacks if not isinstance(c, (Progress, StopAtNaN, keras.callbacks.History))]
        self.initial = [_scalars(callback) for callback in self.callbacks]
        self.variables = [*model.variables, *model.optimizer.variables]
        self.identity = {
            "backend": backend.NAME,
            "data": _checksums(batches),
            "validation": _checksums(validation) if isinstance(validation, Batches) else None,
            "seed": model.seed_generator.get_config()["seed"],
            "networks": {".".join(map(str, k)): str(v) for k, v in settings_by_path(model, model.get_config()).items()},
            "batch size": batches.batch_size,
            "batches": {name: getattr(batches, name) for name in BY_LENGTH if hasattr(batches, name)},
            "shuffle": batches.shuffle,
            "weights": [[list(v.shape), str(v.dtype)] for v in self.variables],
            "optimizer": model.optimizer_config(),
            "objective": model.objective_config(),
            "callbacks": [type(callback).__name__ for callback in self.callbacks],
        }
        self.identity = json.loads(json.dumps(self.identity))  # tuples become lists, as in the file
        self.seconds, self.started = 0.0, time.perf_counter()
        self.saved = self.started

    def restore(self, history, epochs):
        """Restores the state from the file, if there is one; returns the number of epochs done.

        Args:
            history: the `keras.callbacks.History` of this training.
            epochs: number of epochs in all.

        Raises:
            CheckpointError: a damaged file, or one of another training.
        """
        if not self.path.exists():
            return 0
        state, arrays = read(self.path)
        saved, present = without_names(state["identity"]), without_names(self.identity)
        saved.setdefault("batches", present["batches"])  # older files do not say
        if others := [name for name in present if saved.get(name) != present[name]]:
            name = min(others, key=lambda name: len(str(present[name])))
            where, a, b = _difference(saved.get(name), present[name], name)
            raise CheckpointError(
                f"{str(self.path)!r} belongs to another training: other {', '.join(others)} (its {where}: "
                f"{_short(a)}, now: {_short(b)}). Go on with the same settings, or choose another path to start "
                "anew. Nothing was changed."
            )
        if state["epochs"] > epochs:
            raise CheckpointError(
                f"{str(self.path)!r} has gone {state['epochs']} epochs already, more than the {epochs} asked for. Ask "
                "for as many or more, or choose another path to start anew. Nothing was changed."
            )
        for i, variable in enumerate(self.variables):
            variable.assign(ops.convert_to_tensor(arrays[f"variable/{i}"], dtype=variable.dtype))
        for i, (callback, values) in enumerate(zip(self.callbacks, state["callbacks"], strict=True)):
            weights = {k: [arrays[f"callback/{i}/{k}/{j}"] for j in range(n)] for k, n in state["weights"][i].items()}
            vars(callback).update(values | weights)
        history.history, history.epoch = state["history"], list(range(state["epochs"]))
        self.batches.start(state.get("epoch of the data", state["epochs"]), state["order"])  # older files do not say
        self.model.stop_training, self.seconds = state["stopped"], state["seconds"]
        return state["epochs"]

    def save(self, epochs, history, last=False):
        """Writes the file after `epochs` epochs, unless the one before is younger than a minute and not `last`.

        Raises:
            OSError: a full disk, say; the file before stays.
        """
        now = time.perf_counter()
        if now - self.saved < SECONDS and not last:
            return
        self.saved = now
        arrays = {f"variable/{i}": _numpy(v) for i, v in enumerate(self.variables)}
        values, weights = [], []
        for i, (callback, initial) in enumerate(zip(self.callbacks, self.initial, strict=True)):
            values.append({k: v for k, v in _scalars(callback).items() if k not in initial or initial[k] != v})
            lists = {k: v for k, v in vars(callback).items() if _is_weights(v)}
            weights.append({k: len(v) for k, v in lists.items()})
            arrays |= {f"callback/{i}/{k}/{j}": _numpy(a) for k, v in lists.items() for j, a in enumerate(v)}
        state = {
            "identity": self.identity,
            "epochs": epochs,
            "stopped": bool(self.model.stop_training),
            "seconds": self.seconds + now - self.started,
            "order": self.batches.seed,
            "epoch of the data": self.batches.epoch,
            "callbacks": values,
            "weights": weights,
            "history": {name: [float(value) for value in curve] for name, curve in history.history.items()},
        }
        with replacing(self.path) as stream:
            np.savez(stream, state=np.array(json.dumps(state)), **arrays)


def read(path):
    """Reads a checkpoint: its state, a dict, and its arrays by name.

    Raises:
        CheckpointError: a damaged file.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}  # whose checksums are verified
        state = json.loads(str(arrays.pop("state")))
        if len(arrays) != len(state["identity"]["weights"]) + sum(sum(n.values()) for n in state["weights"]):
            raise ValueError("some of its arrays are missing")
        return state, arrays
    except Exception as error:  # one wrong byte, and zip files fail in many ways
        raise CheckpointError(
            f"{str(path)!r} is no readable checkpoint ({error}). Put a copy in its place, or move it away to start "
            "anew. Nothing was changed."
        ) from error


def _scalars(callback):
    """A callback's attributes that are numbers, texts or None."""
    values = {k: v.item() if isinstance(v, np.generic) else v for k, v in vars(callback).items()}
    values.pop("min_delta", None)  # a setting, whose sign Keras turns in the first epoch of each process
    return {k: v for k, v in values.items() if v is None or isinstance(v, (bool, int, float, str))}


def _is_weights(value):
    return isinstance(value, list) and bool(value) and all(isinstance(v, (np.ndarray, np.generic)) for v in value)


def _numpy(value):
    """Converts to an array that NumPy's files can hold: they know no bfloat16, whose numbers are float32 ones too."""
    array = ops.convert_to_numpy(value)
    return array.astype("float32") if array.dtype.name == "bfloat16" else array


def _checksums(batches):
    """Name, shape and checksum of each array."""
    arrays = {name: getattr(array, "identity", array) for name, array in batches.arrays.items()}
    return [[name, list(batches.arrays[name].shape), zlib.crc32(np.ascontiguousarray(a))] for name, a in arrays.items()]


def settings_by_path(model, config):
    """Flattens a model's configuration, without seeds and layers' names: dict of values by their path, a tuple.

    Layers count where they are used: that some are shared shows in the number of weights.
    """
    left_out = {"seed", "shared_layers", "shared_object_id"}
    names = {layer.name: f"layer {i}" for i, layer in enumerate(model._flatten_layers())}
    return {
        path: names.get(value, value) if isinstance(value, str) else value
        for path, value in keras.tree.flatten_with_path(config)
        if left_out.isdisjoint(path)
    }


def without_names(config):
    """Removes names, which Keras numbers, adam, adam_1, …, in the order of a process, and modules."""
    if isinstance(config, dict):
        keys = (k for k in config if k != "name" and k.split(".")[-1] != "module")
        return {key: without_names(config[key]) for key in keys}
    return [without_names(value) for value in config] if isinstance(config, list) else config


def _difference(a, b, where):
    """Finds where two configurations differ: the place, in words, and the two values there."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in a:
            if key in b and a[key] != b[key]:
                return _difference(a[key], b[key], f"{where} {key}")
        only_a, only_b = ({k: one[k] for k in one if k not in other} for one, other in ((a, b), (b, a)))
        return where, only_a or "nothing", only_b or "nothing"
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        a, b = zip(*(pair for pair in zip(a, b, strict=True) if pair[0] != pair[1]), strict=True)
        return where, list(a), list(b)
    return where, a, b


def _short(value, length=120):
    text = str(value)
    return text if len(text) <= length else text[: length - 1] + "…"
