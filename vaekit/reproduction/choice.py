"""Chooses cells by their options: `--data static_mnist --layers 1 --objective iwae --samples 50`."""

import ast

from vaekit import papers


class CellError(ValueError):
    """A choice that no cell fits."""


def choose(words):
    """Chooses the cells that a command line asks for, such as `burda2015 --layers 1 --samples=50`.

    Args:
        words: list: a paper (without one: all papers), and options with values, which the cells have in common.

    Raises:
        CellError: an unknown paper, an unknown option, or values that no cell has together.
    """
    paper, wanted = _parsed(words)
    if paper is not None and paper not in papers.__all__:
        raise CellError(f"There is no paper {paper!r}; known: {', '.join(papers.__all__)}.")
    cells = [cell for name in ([paper] if paper else papers.__all__) for cell in getattr(papers, name).CELLS]
    for name, value in wanted.items():
        values = list(dict.fromkeys(str(cell.options[name]) for cell in cells if name in cell.options))
        if not values:
            names = dict.fromkeys(name for cell in cells for name in cell.options)
            raise CellError(f"No cell has the option --{name}; there are: {', '.join(f'--{n}' for n in names)}.")
        if value not in values:
            raise CellError(f"No cell has --{name} {value}; there are: {', '.join(values)}.")
    chosen = [c for c in cells if all(str(c.options.get(name)) == value for name, value in wanted.items())]
    if not chosen:
        together = " ".join(f"--{name} {value}" for name, value in wanted.items())
        raise CellError(f"No cell has {together} together; vaekit reproduce --list shows them all.")
    return chosen


def changes(texts):
    """Parses what `Cell.vary` takes, from texts such as `learning_rate=5e-4` and `gradient=dreg`.

    Raises:
        CellError: a text of another form, a name that is there twice.
    """
    varied = {}
    for text in texts:
        name, _, value = text.partition("=")
        if not value.isidentifier() or value in ("True", "False", "None"):  # a word is itself, as in gradient=dreg
            try:
                value = ast.literal_eval(value)
            except (ValueError, SyntaxError):
                raise CellError(
                    f"Expected --set NAME=VALUE, such as --set learning_rate=5e-4; received {text!r}."
                ) from None
        if name in varied:
            raise CellError(f"--set {name} is there twice; choose one value.")
        varied[name] = value
    return varied


def _parsed(words):
    """Parses the paper, and a dict of options."""
    paper, wanted, rest = None, {}, list(words)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if not name.startswith("--") and paper is None:
            paper = word
        elif name[2:] in wanted:
            raise CellError(f"{name} is there twice; choose one value, or leave it out for all.")
        elif name.startswith("--") and (equals or rest):
            wanted[name[2:]] = value if equals else rest.pop(0)
        else:
            raise CellError(f"Expected a paper, then options with values, such as --layers 1; received {word!r}.")
    return paper, wanted
