"""A cell of a paper's table as something that can be run: a model, its data, its training, its measure, its value."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

from vaekit import datasets
from vaekit.evaluation.errors import standard_error


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
        build: function of (data set, seed, settings, quirks), which returns a compiled model.
        fit: function of (model, data set, epochs, settings, **options of `LatentVariableModel.fit`).
        measure: function of (model, data set, seed, progress), which returns a dict of `Figure` by name.
        metric: how `measure` comes to its figures, in words.
        settings: the paper's, a dataclass.
        quirks: of its code, a dataclass, all of them off; None: it has none.
        varied: dict, settings and quirks that are not the paper's: see `vary`.
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
    quirks: Any = None
    varied: dict = field(default_factory=dict)
    after: "Cell | None" = None
    differs: str = ""
    examples: int | None = None
    missing: str = ""

    @property
    def name(self):
        """Its options' values, joined: `static_mnist-1-iwae-50`; then what is varied: `+learning_rate=0.0005`."""
        changes = "".join(f"+{name}={value}" for name, value in self.varied.items())
        return "-".join(str(value) for value in self.options.values()) + changes

    @property
    def data(self):
        """Name of its data set."""
        return self.options["data"]

    def load(self):
        """Its data, a `vaekit.datasets.Dataset`."""
        data = datasets.load(self.data)
        return replace(data, train=data.train[: self.examples])

    def model(self, data, seed):
        """Its model, compiled, for its data."""
        return self.build(data, seed, self.settings, self.quirks)

    def vary(self, changes):
        """This cell with other settings, or with quirks of the paper's code: to find out what a figure owes to them.

        Args:
            changes: dict by names of the paper's `Settings` and `Quirks`; values as they are already change nothing.

        Raises:
            ValueError: an unknown name, or a value of another type.
        """
        parts = {"settings": self.settings, "quirks": self.quirks}
        parts = {name: part for name, part in parts.items() if part is not None}
        owner = {name: part for part, values in parts.items() for name in asdict(values)}
        owner.pop("epochs", None)  # a schedule that is cut short is not another one
        varied = {}
        for name, value in changes.items():
            if name not in owner:
                raise ValueError(f"{self.paper} has no setting {name!r}; there are: {', '.join(owner) or 'none'}.")
            old = getattr(parts[owner[name]], name)
            if type(value) is not type(old) and (type(value), type(old)) not in ((int, float), (list, tuple)):
                raise ValueError(f"{name} is {old!r} in {self.paper}; expected another such value, received {value!r}.")
            if value != old:
                varied[name] = type(old)(value)
                parts[owner[name]] = replace(parts[owner[name]], **{name: varied[name]})
        after = self.after and self.after.vary(changes)
        return replace(self, **parts, varied=varied, after=after)


def event_shape(data, images=False):
    """Shape of one example of a data set, and a word where something else stands in its place.

    Args:
        data: a `vaekit.datasets.Dataset`.
        images: whether it has to be `(H, W, C)`.

    Raises:
        ValueError: no data set, an array for instance; vectors for convolutions.
    """
    if not (hasattr(data, "train") and hasattr(data, "event_shape")):
        raise ValueError(
            "A paper's model is built by a data set, vaekit.datasets.load(...) or, of arrays of your own, "
            f"vaekit.datasets.from_arrays(x); received a {type(data).__name__}."
        )
    if images and len(data.event_shape) != 3:
        raise ValueError(f"This network expects images [N, H, W, C]; {data.name!r} has shape {data.event_shape}.")
    return tuple(data.event_shape)


def mean(values, sign=1):
    """A `Figure` of the values `[N]` of N test images: their mean, and its standard error."""
    return Figure(sign * float(values.mean()), standard_error(values))


def numbers(units):
    """Active units of each latent, from what `evaluation.active_units` returns, in the order of inference."""
    return [part.count for part in units.values()] if isinstance(units, dict) else units.count
