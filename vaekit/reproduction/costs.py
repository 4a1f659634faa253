"""What a cell costs on this machine: some steps timed, times the paper's schedule."""

import dataclasses
import json
import time
from pathlib import Path

import keras

from vaekit import backend
from vaekit.files import replacing
from vaekit.reproduction import records

SECONDS = 5.0  # of timed training, about


def of_record(record):
    """A record's own cost, scaled from the epochs that it ran to the whole schedule unless training ended early."""
    scale = 1 if record.stopped_early else record.schedule / max(1, record.epochs)
    return {"seconds": record.seconds["training"] * scale, "device": f"{record.backend} {record.device}"}


def measure(cell):
    """Times training steps of a cell: dict of `seconds` for its whole schedule, `device`, `machine` and date.

    Raises:
        DatasetError: data that cannot be had.
    """
    data = cell.load()
    keras.utils.set_random_seed(0)
    batch = cell.settings.batch_size
    model, clock, steps, most = cell.build(data, 0), Clock(), 2, max(1, len(data.train) // batch)
    while True:
        few = dataclasses.replace(data, train=data.train[: steps * batch], validation=data.validation[:batch])
        cell.fit(model, few, epochs=2, callbacks=[clock], verbose=0)  # the first epoch compiles
        if clock.seconds > SECONDS / 4 or steps >= most:
            break
        steps = min(most, max(2 * steps, round(steps * SECONDS / (2 * clock.seconds))))
    around = records.surroundings()
    return {
        "seconds": round(clock.seconds / steps * len(data.train) / batch * cell.epochs, 1),
        "device": f"{backend.NAME} {around['device']}",
        "machine": around["machine"],
        "date": time.strftime("%Y-%m-%d"),
    }


class Clock(keras.callbacks.Callback):
    """Seconds of the last epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds = time.perf_counter() - self.start


def read(results):
    """Measured costs by `paper/cell`, dict."""
    path = Path(results) / "costs.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def add(results, cell):
    """Measures a cell's cost and writes it to `costs.json` in the folder of records; returns it."""
    cost = measure(cell)
    table = read(results) | {f"{cell.paper}/{cell.name}": cost}
    with replacing(Path(results) / "costs.json") as stream:
        stream.write((json.dumps(dict(sorted(table.items())), indent=1, ensure_ascii=False) + "\n").encode())
    return cost
