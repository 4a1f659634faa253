"""A run's trained weights kept as a preset of its paper, small enough to come with vaekit."""

import dataclasses
import json
from pathlib import Path

import numpy as np

from vaekit.files import replacing
from vaekit.papers import presets
from vaekit.reproduction import records, runs

BYTES = 5_000_000


def keep(cell, name, seed=0, folder=None, results="results", progress=True, to=presets.FOLDER):
    """Keeps a finished run's weights in half precision, measures them again, and writes both down.

    Args:
        cell, seed: of the run.
        name: of the preset.
        folder: of the runs; None: "runs".
        results: folder of the records.
        to: folder of the presets.

    Raises:
        RunError: a run that is not done; weights of more than 5 MB.
    """
    run, path = Path(folder or "runs") / cell.paper / f"{cell.name}-seed{seed}", Path(to) / cell.paper / f"{name}.npz"
    done = Path(results) / cell.paper / f"{run.name}.json"
    if not done.exists() or not (run / runs.WEIGHTS).exists():
        raise runs.RunError(
            f"{str(run)!r} holds no finished run with a record in {str(results)!r}: reproduce it first."
        )
    data = cell.load()
    with np.load(run / runs.WEIGHTS, allow_pickle=False) as file:
        weights = [file[f"{i}"] for i in range(len(file.files))]
    half = [w.astype("float16") if w.dtype == "float32" else w for w in weights]
    with replacing(path) as stream:
        pixel = np.asarray(data.train[:1]).flat[0]
        np.savez_compressed(
            stream, event_shape=data.event_shape, pixel=pixel, **{f"{i}": w for i, w in enumerate(half)}
        )
    if path.stat().st_size > BYTES:
        size = path.stat().st_size / 1e6
        path.unlink()
        raise runs.RunError(f"{cell.name}: {size:.1f} MB of weights; a preset has at most {BYTES / 1e6:.0f} MB.")
    model = cell.build(data, seed)
    model.set_weights([new.astype(old.dtype) for new, old in zip(half, weights, strict=True)])
    record = records.read(done)
    figures = runs.beside(cell, cell.measure(model, data, seed=seed, progress=progress))
    record = dataclasses.replace(record, figures=figures, note=" ".join([record.note, KEPT]).strip())
    with replacing(path.with_suffix(".json")) as stream:
        stream.write((json.dumps(dataclasses.asdict(record), indent=1, ensure_ascii=False) + "\n").encode())
    return record


KEPT = "The weights are kept in half precision; the figures are theirs."
