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
    "−ELBO a frame": ("nats", -1),
    "KL": ("nats", 0),
    "KL a frame": ("nats", 0),
    "MI": ("nats", 0),  # mutual information
    "active units": ("", 0),
    "accuracy": ("%", 1),
    "perplexity": ("", -1),
    "PSNR": ("dB", 1),
    "SSIM": ("", 1),
    "KL(grammar‖model)": ("nats", -1),
    "grammatical samples": ("%", 1),
    "samples of one topic": ("%", 0),
    "distinct samples": ("", 0),
    "topic kept": ("%", 1),
    "tense kept": ("%", 1),
    "FID": ("", -1),
    "FID, LeNet features": ("", -1),
    "effective sample size": ("", 0),
}


# Names of settings that `fit` follows, and models know nothing of.
TRAINING_SETTINGS = {"batch_size", "multiple", "fixed", "full"}
TRAINING_SETTINGS |= {"patience", "first_halving", "lasting", "least_rate", "most_halvings"}


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        paper: its module's name.
        table: which table of it.
        options: dict that tells the cell from the paper's others, in the order in which its name is made of them;
            `"data"` is a name in `vaekit.datasets`.
        reported: what the paper has, dict by names of `FIGURES`; values that the paper leaves out are left out.
        reference: whose figures `reported` are: "paper"; "exact" where they are known of the
            data; "literature", other papers'.
        epochs: of training, or at most as many.
        build: function of (data set, settings, quirks, seed, **options), which returns a compiled model; options are
            the cell's but for `"data"`, quirks are left out where there are none.
        fit: function of (model, data set, epochs, settings, **options of `LatentVariableModel.fit`).
        measure: function of (model, data set, seed, progress, checkpoint), which returns a dict of `Figure` by name;
            what takes long goes on from the file `checkpoint`.
        metric: how `measure` comes to its figures, in words.
        settings: the paper's, a dataclass.
        quirks: of its code, a dataclass, all of them off; None: it has none.
        varied: dict, settings and quirks that are not the paper's: see `vary`.
        unvaried: the cell that has the paper's; None: this one has.
        after: a cell whose trained weights this one starts from.
        differs: in what data or model are not the paper's, so that figures cannot be compared; "" if they can.
        examples: of training, the first ones; None: all.
        loading: dict, options of its data set.
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
    unvaried: "Cell | None" = None
    after: "Cell | None" = None
    differs: str = ""
    examples: int | None = None
    loading: dict = field(default_factory=dict)
    missing: str = ""
    reference: str = "paper"

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
        data = datasets.load(self.data, **self.loading)
        if self.examples is None:  # a slice of data that are new in every pass may be an array, which is not
            return data
        return replace(data, train=data.train[: self.examples])

    def model(self, data, seed):
        """Its model, compiled, for its data."""
        options = {name: value for name, value in self.options.items() if name != "data"}
        return self.build(data, **options, **self._how, seed=seed)

    @property
    def _how(self):
        """Those of `settings` and `quirks` that it has, a dict."""
        parts = {"settings": self.settings, "quirks": self.quirks}
        return {name: part for name, part in parts.items() if part is not None}

    def vary(self, changes):
        """This cell with other settings, or with quirks of the paper's code: to find out what a figure owes to them.

        Args:
            changes: dict by names of the paper's `Settings` and `Quirks`; values as they are already change nothing.

        Raises:
            ValueError: an unknown name, a value of another type, a negative number where the paper's is none.
        """
        parts = self._how
        owner = {name: part for part, values in parts.items() for name in asdict(values)}
        owner.pop("epochs", None)  # a schedule that is cut short is not another one
        varied = {}
        for name, value in changes.items():
            if name not in owner:
                known = "say --epochs" if name == "epochs" else f"there are: {', '.join(owner) or 'none'}"
                raise ValueError(f"{self.paper} has no setting {name!r}; {known}.")
            old = getattr(parts[owner[name]], name)
            if other := _expected(value, old):
                raise ValueError(f"{name} is {old!r} in {self.paper}; expected {other}, received {value!r}.")
            if value != old:
                varied[name] = value if old is None else type(old)(value)
                parts[owner[name]] = replace(parts[owner[name]], **{name: varied[name]})
        after = self.after and self.after.vary(changes)
        return replace(self, **parts, varied=varied, unvaried=self if varied else None, after=after)


def _expected(value, old):
    """Says what was expected where a setting that is `old` in the paper cannot be `value`; "" if it can."""
    if old is None:
        return "" if type(value) in (int, float, type(None)) else "None or a number"
    if type(value) is not type(old) and (type(value), type(old)) not in ((int, float), (list, tuple)):
        return "True or False" if isinstance(old, bool) else "another such value"
    return "0 or more" if type(old) in (int, float) and value < 0 <= old else ""


def table(title, rows, *, options, figures, shared, each=None, **fixed):
    """Makes the cells of a table from what the paper has in it.

    Args:
        title: of the table.
        rows: dict. A key has the options in which rows differ, in the order of `options`; a value has the figures, in
            the order of `figures`, None where the paper leaves one out. One alone stands without a tuple; a figure
            that has a number for each latent is a tuple itself.
        options: names of all options of a cell, the data first.
        figures: names of `FIGURES`.
        shared: dict, attributes of `Cell` that all of them have.
        each: function of a cell, which returns a dict of attributes of its own; None: it has none.
        **fixed: options that all rows have in common.

    Returns: list of `Cell`. Words among their options are in lower case, as `vaekit reproduce` takes them.
    """
    cells, free = [], [name for name in options if name not in fixed]
    for key, row in rows.items():
        given = fixed | dict(zip(free, _tuple(key), strict=True))
        given = {name: _word(given[name]) for name in options}
        reported = dict(zip(figures, _tuple(row), strict=True))
        reported = {name: _figure(value) for name, value in reported.items() if value is not None}
        cell = Cell(table=title, options=given, reported=reported, **shared)
        cells.append(replace(cell, **each(cell)) if each else cell)
    return cells


def _tuple(value):
    return value if isinstance(value, tuple) else (value,)


def _word(value):
    return value.lower().replace(" ", "_") if isinstance(value, str) else value


def _figure(value):
    return value if not isinstance(value, tuple) else value[0] if len(value) == 1 else list(value)


def on(data, rows):
    """The rows of a table that are on one data set, without its name, which comes first in their keys."""
    return {key[1:]: row for key, row in rows.items() if key[0] == data}


def titled(cells, titles):
    """What `vaekit try` trains: a dict of cells by their titles there.

    Args:
        cells: list of `Cell`.
        titles: dict, title to name of a cell.
    """
    by_name = {cell.name: cell for cell in cells}
    return {title: by_name[name] for title, name in titles.items()}


def mean(values, sign=1):
    """A `Figure` of the values `[N]` of N test images: their mean, and its standard error."""
    return Figure(sign * float(values.mean()), standard_error(values))


def numbers(units):
    """Active units of each latent, from what `evaluation.active_units` returns, in the order of inference."""
    return [part.count for part in units.values()] if isinstance(units, dict) else units.count
