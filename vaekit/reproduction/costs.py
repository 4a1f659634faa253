"""The cost of a cell: the floating-point operations of its training, and the time that they take here."""

import json
import statistics
from pathlib import Path

import keras

from vaekit.files import write_json
from vaekit.papers.common import steps_per_epoch
from vaekit.papers.dieng2018 import text
from vaekit.papers.presets import stand_in

GREY = 0.5 / 256

# Training images, or videos, of each data set: how many, their shape, and a value that a pixel can take.
IMAGES = {
    "static_mnist": (50_000, (28, 28, 1), 0.0),
    "dynamic_mnist": (50_000, (28, 28, 1), 0.0),
    "mnist": (50_000, (28, 28, 1), 0.0),
    "dynamic_omniglot": (23_000, (28, 28, 1), 0.0),
    "dynamic_omniglot_rebuilt": (23_000, (28, 28, 1), 0.0),
    "caltech101_silhouettes": (4_100, (28, 28, 1), 0.0),
    "frey_faces": (1_565, (28, 20, 1), GREY),
    "histopathology": (6_800, (28, 28, 1), GREY),
    "cifar10": (45_000, (32, 32, 3), 0.0),
    "cifar10_jpeg": (9_000, (32, 32, 3), 0.0),
    "svhn": (68_257, (32, 32, 3), 0.0),
    "celeba": (162_770, (32, 32, 3), 0.0),
    "bair": (43_008, (12, 64, 64, 3), 0.0),
    "moving_mnist": (10_000, (15, 64, 64, 1), 0.0),
    "moving_digits": (2_000, (16, 16, 16, 1), 0.0),
}


# Training sentences of each data set: words of the vocabulary, and tokens, end marks included.
SENTENCES = {
    "ptb": (10_002, 929_589),
    "yahoo": (20_001, 7_990_000),
    "yahoo_validation": (16_660, 720_104),
    "grammar": (892, 191_879),
}


def count(cell):
    """Counts floating-point operations of a cell's whole schedule (early stopping may end it before), as XLA does.

    They are those of one training step on blank images, times the steps: no data are needed. (Of sentences, whose loops
    XLA does not count, they are worked out for each token; of videos, whose convolutions outweigh them, an LSTM's loop
    counts as a step of it.) None for a cell that cannot be run.
    """
    if cell.missing:
        return None
    if cell.data in SENTENCES:
        words, tokens = SENTENCES[cell.data]
        return text.operations(cell.options["model"], words, cell.settings) * tokens * cell.epochs
    images, shape, pixel = IMAGES[cell.data]
    images = cell.loading.get("train", images)
    keras.utils.set_random_seed(0)
    data = stand_in(cell.data, shape, pixel, images)
    step = cell.model(data, 0).count_operations(data.train[: cell.settings.batch_size])
    return step * steps_per_epoch(cell.examples or images, cell.settings) * cell.epochs


def write(cells, results):
    """Counts for all cells, into `costs.json` in the folder of records; yields each cell when it is done.

    Raises:
        RuntimeError: on TensorFlow, which does not count.
    """
    counts = read(results)
    try:
        for cell in cells:
            counts[f"{cell.paper}/{cell.name}"] = count(cell)
            yield cell
    finally:  # what was counted is not lost
        write_json(Path(results) / "costs.json", dict(sorted(counts.items())))


def read(results):
    """Reads counts by `paper/cell`, a dict."""
    path = Path(results) / "costs.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def rates(records, counts):
    """Computes operations a second of the records' training, the median for each backend and device."""
    by_place = {}
    for record in records:
        total = counts.get(f"{record.paper}/{record.name}")
        if total and record.seconds["training"]:
            rate = record.together * total * record.epochs / record.schedule / record.seconds["training"]
            by_place.setdefault(record.place, []).append(rate)
    return {place: statistics.median(values) for place, values in by_place.items()}
