"""Packs a run's trained weights as a preset of its paper, small enough to come with vaekit."""

import dataclasses
import io
from pathlib import Path

import numpy as np

from vaekit import evaluation
from vaekit.files import replacing, write_json
from vaekit.marks import MARKS
from vaekit.papers import presets
from vaekit.reproduction import records, runs

BYTES = 5_000_000


def pack(cell, name, seed=0, folder="runs", results="results", to=presets.FOLDER):
    """Packs a finished run's weights in half precision, with its record and what the rounding changes.

    Args:
        cell, seed: of the run.
        name: of the preset.
        folder: of the runs.
        results: folder of the records.
        to: folder of the presets.

    Returns: dict, the record and `check`: log p(x) of some test images, which the loaded preset gives again, and how
        much of their mean, in nats, is the rounding's work.

    Raises:
        RunError: a run that is not done; weights of more than 5 MB.
    """
    run, path = Path(folder) / cell.paper / f"{cell.name}-seed{seed}", Path(to) / cell.paper / f"{name}.npz"
    done = Path(results) / cell.paper / f"{run.name}.json"
    if not done.exists() or not (run / runs.WEIGHTS).exists():
        raise runs.RunError(
            f"{str(run)!r} holds no finished run with a record in {str(results)!r}: reproduce it first."
        )
    data = cell.load()
    model = cell.model(data, seed)
    runs.load_weights(model, run / runs.WEIGHTS)
    exact = check(model, data)["log p(x)"]
    weights = model.get_weights()
    half = [w.astype("float16") if w.dtype == "float32" else w for w in weights]
    pixel = np.asarray(data.train[:1]).flat[0]
    content = io.BytesIO()
    kept = {"event_shape": data.event_shape, "pixel": pixel, **{f"{i}": w for i, w in enumerate(half)}}
    if data.vocabulary is not None:
        kept["words"] = np.array(data.vocabulary.words[len(MARKS) :])
    np.savez_compressed(content, **kept)
    size = len(content.getvalue())
    if size > BYTES or not all(np.isfinite(w).all() for w in half):
        fault = f"{size / 1e6:.1f} MB of weights" if size > BYTES else "weights above 65504"
        raise runs.RunError(f"{cell.name}: {fault}; a preset has at most {BYTES / 1e6:.0f} MB, in half precision.")
    model.set_weights([new.astype(old.dtype) for new, old in zip(half, weights, strict=True)])
    checked = check(model, data)
    checked["rounding"] = round(float(np.mean(np.subtract(checked["log p(x)"], exact))), 4)
    record = {**dataclasses.asdict(records.read(done)), "check": checked}
    with replacing(path) as stream:
        stream.write(content.getvalue())
    write_json(path.with_suffix(".json"), record)
    return record


def check(model, data, images=50, samples=200):
    """Estimates log p(x) of some test images, spread over the test set, by importance sampling; a dict."""
    every = max(1, len(data.test) // images)
    p = evaluation.log_likelihood(model, data.test[::every][:images], samples, batch_size=images, progress=False)
    return {"every": every, "samples": samples, "log p(x)": [round(float(value), 3) for value in p.per_example]}
