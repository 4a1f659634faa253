"""Batches that are measured, in one file, from which a measurement that was cut off goes on to the same estimate."""

import json
import time
import zlib
from pathlib import Path

import numpy as np
from keras import ops

from vaekit import backend
from vaekit.files import replacing
from vaekit.training.checkpoint import SECONDS, CheckpointError, settings_by_path, without_names


class Measured:
    """Results of a measurement's batches, kept in a file that is replaced as a whole, about once a minute.

    Args:
        path: of the file; None: results are kept in memory alone.
        model, data: what is measured: a built model, and arrays by variable name. Neither may be another when a
            measurement goes on.
        settings: dict of what else the results depend on, likewise; texts and numbers.
        seeds: the `keras.random.SeedGenerator` of its noise.

    Attributes:
        batches: list of arrays `[..., B]`, in order.
    """

    def __init__(self, path, model, data, settings, seeds):
        self.path, self.seeds, self.batches = path and Path(path), seeds, []
        if path is None:
            return
        networks = {".".join(map(str, k)): str(v) for k, v in settings_by_path(model, model.get_config()).items()}
        networks = json.dumps(without_names(networks))
        self.identity = {
            "backend": backend.NAME,
            "data": {name: [list(array.shape), _checksum(array)] for name, array in data.items()},
            "networks": zlib.crc32(networks.encode()),
            "weights": [_checksum(ops.convert_to_numpy(v)) for v in model.weights],
            **settings,
        }
        self.identity = json.loads(json.dumps(self.identity))  # tuples become lists, as in the file
        self.saved = time.perf_counter()
        if self.path.exists():
            self._restore()

    def _restore(self):
        try:
            with np.load(self.path, allow_pickle=False) as file:
                identity, results, seeds = json.loads(str(file["identity"])), file["results"], file["seeds"]
            others = [name for name in self.identity if identity.get(name) != self.identity[name]]
        except Exception as error:  # one wrong byte, and zip files fail in many ways
            raise CheckpointError(
                f"{str(self.path)!r} is no readable measurement ({error}). Delete it to measure anew."
            ) from error
        if others:
            raise CheckpointError(
                f"{str(self.path)!r} belongs to another measurement: other {', '.join(others)}. Go on with the same, "
                "or choose another path to measure anew. Nothing was changed."
            )
        self.batches = [results]
        self.seeds.state.assign(seeds)

    @property
    def rows(self):
        """How many rows of the data are measured."""
        return sum(batch.shape[-1] for batch in self.batches)

    def add(self, batch, last=False):
        """Takes in the results of the next batch, `[..., B]`; writes the file unless it is younger than a minute.

        Raises:
            OSError: a full disk, say; the file before stays.
        """
        self.batches.append(batch)
        now = time.perf_counter()
        if self.path is None or (now - self.saved < SECONDS and not last):
            return
        self.saved, identity = now, np.array(json.dumps(self.identity))
        seeds = ops.convert_to_numpy(self.seeds.state)
        with replacing(self.path) as stream:
            np.savez(stream, identity=identity, results=self.results(), seeds=seeds)

    def results(self):
        """Those of all batches so far, `[..., N]`."""
        return np.concatenate(self.batches, axis=-1)


def _checksum(array):
    return zlib.crc32(np.ascontiguousarray(array))
