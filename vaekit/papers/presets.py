"""Trained models that come with vaekit: `vk.papers.burda2015.load("iwae_k50")`, no network, no data needed."""

import importlib
import json
from pathlib import Path

import numpy as np

from vaekit.datasets import Dataset
from vaekit.datasets.vocabulary import Vocabulary

FOLDER = Path(__file__).parent / "trained"


class Presets:
    """The trained models of one paper.

    Args:
        paper: its module's name.
        folder: where they lie, `PAPER/NAME.npz` and `.json`.
    """

    def __init__(self, paper, folder=FOLDER):
        self.paper, self.folder = paper, Path(folder) / paper

    @property
    def names(self):
        """Names that `load` knows, a list."""
        return sorted(path.stem for path in self.folder.glob("*.npz"))

    def load(self, name):
        """A trained model, compiled as it was trained; its weights were kept in half precision.

        Args:
            name: one of the presets' names.

        Raises:
            ValueError: if there is none of this name.
        """
        record = self.record(name)
        module = importlib.import_module(f"vaekit.papers.{self.paper}")
        cell = next(cell for cell in module.CELLS if cell.options == record["cell"]).vary(record.get("varied", {}))
        with np.load(self.folder / f"{name}.npz", allow_pickle=False) as file:
            shape, images = tuple(file["event_shape"].tolist()), record["data"]["images"]["train"]
            words = Vocabulary(file["words"].tolist()) if "words" in file else None
            model = cell.model(stand_in(cell.data, shape, file["pixel"], images, words), record["seed"])
            weights = [file[f"{i}"] for i in range(len(model.weights))]
        model.set_weights([new.astype(old.dtype) for new, old in zip(weights, model.get_weights(), strict=True)])
        return model

    def record(self, name):
        """The record of the run that a preset comes from, as a dict.

        Its `check` has log p(x) of some test images by the kept weights, and `rounding`, the part of half precision
        in their mean, in nats.
        """
        path = self.folder / f"{name}.json"
        if not path.exists():
            known = ", ".join(map(repr, self.names)) or "none yet"
            raise ValueError(f"{self.paper} has no trained model {name!r}; there are: {known}.")
        return json.loads(path.read_text(encoding="utf-8"))


def stand_in(name, event_shape, pixel, images, vocabulary=None):
    """A data set of blank images (or sentences, with their vocabulary), which tell builders number, shape, and kind of
    values; they take no memory."""
    blank = np.broadcast_to(np.float32(pixel), (images, *event_shape))
    return Dataset(name, name, blank, blank, blank, None, "blank images", "", vocabulary)
