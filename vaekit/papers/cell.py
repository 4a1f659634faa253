"""A cell of a paper's table as something that can be run: a model, its data, its training, its measure, its value."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from vaekit import datasets
from vaekit.evaluation.rows import standard_error


class Figure(NamedTuple):
    """A measured number (or a list of them, one for each latent), and its standard error if it has one."""

    value: float | list
    standard_error: float | None = None


# Names of figures: their unit, and whether more (+1) or less (−1) is better; 0: neither.
FIGURES = {
    "NLL": ("nats", -1),  # −log p(x)
    "log p(x)": ("nats", 1),
    "bits/dim": ("", -1),
    "ELBO": ("nats", 1),
    "−ELBO": ("nats", -1),
    "test bound": ("nats", 1),
    "training bound": ("nats", 1),
    "test log p(x)": ("nats", 1),
    "training log p(x)": ("nats", 1),
    "KL": ("nats", 0),
    "MI": ("nats", 0),  # mutual information
    "active units": ("", 0),
    "accuracy": ("%", 1),
    "perplexity": ("", -1),
    "FID": ("", -1),
    "FID, LeNet features": ("", -1),
    "effective sample size": ("", 0),
}


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        paper: its module's name.
        table: which table of it.
        options: dict that tells the cell from the paper's others, in the order in which its name is made of them;
            `"data"` is a name in `vaekit.datasets`.
        reported: what the paper has, dict by names of `FIGURES`; values that the paper leaves out are left out.
        epochs: of training, or at most as many.
        build: function of (data set, seed), which returns a compiled model.
        fit: function of (model, data set, epochs, **options of `LatentVariableModel.fit`).
        measure: function of (model, data set, seed, progress), which returns a dict of `Figure` by name.
        metric: how `measure` comes to its figures, in words.
        settings: the paper's, a dataclass.
        after: a cell whose trained weights this one starts from.
        differs: in what data or model are not the paper's, so that figures cannot be compared; "" if they can.
        examples: of training, the first ones; None: all.
        missing: why vaekit cannot run it; "" if it can.
    """

    paper: str
    table: str
    options: dict
    reported: dict
    epochs: int = 0
    build: Callable = None
    fit: Callable = None
    measure: Callable = None
    metric: str = ""
    settings: Any = None
    after: "Cell | None" = None
    differs: str = ""
    examples: int | None = None
    missing: str = ""

    @property
    def name(self):
        """Its options' values, joined: `static_mnist-1-iwae-50`."""
        return "-".join(str(value) for value in self.options.values())

    @property
    def data(self):
        """Name of its data set."""
        return self.options["data"]

    def load(self):
        """Its data, a `vaekit.datasets.Dataset`."""
        data = datasets.load(self.data)
        return replace(data, train=data.train[: self.examples])


def mean(values, sign=1):
    """A `Figure` of the values `[N]` of N test images: their mean, and its standard error."""
    return Figure(sign * float(values.mean()), standard_error(values))


def numbers(units):
    """Active units of each latent, from what `evaluation.active_units` returns, in the order of inference."""
    return [part.count for part in units.values()] if isinstance(units, dict) else units.count
