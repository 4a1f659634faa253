"""Cells chosen by their options: `--data static_mnist --layers 1 --objective iwae --samples 50`."""

from vaekit import papers


class CellError(ValueError):
    """A choice that no cell fits."""


def choose(paper=None, arguments=()):
    """The cells of a paper (None: of all) that have all of these options.

    Args:
        arguments: list, as on a command line: `["--layers", "1"]` or `["--layers=1"]`.

    Raises:
        CellError: an unknown paper, an unknown option, or values that no cell has together.
    """
    if paper is not None and paper not in papers.__all__:
        raise CellError(f"There is no paper {paper!r}; known: {', '.join(papers.__all__)}.")
    cells = [cell for name in ([paper] if paper else papers.__all__) for cell in getattr(papers, name).CELLS]
    wanted = _options(arguments)
    for name, value in wanted.items():
        known = list(dict.fromkeys(str(cell.options[name]) for cell in cells if name in cell.options))
        if not known:
            names = dict.fromkeys(name for cell in cells for name in cell.options)
            raise CellError(f"No cell has the option --{name}; there are: {', '.join(f'--{n}' for n in names)}.")
        if value not in known:
            raise CellError(f"No cell has --{name} {value}; there are: {', '.join(known)}.")
    chosen = [c for c in cells if all(str(c.options.get(name)) == value for name, value in wanted.items())]
    if not chosen:
        raise CellError(
            f"No cell has {' '.join(f'--{n} {v}' for n, v in wanted.items())} together; see vaekit reproduce --list."
        )
    return chosen


def _options(arguments):
    """Dict of `["--layers", "1", "--samples=50"]`."""
    wanted, rest = {}, list(arguments)
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        if not name.startswith("--") or not (equals or rest):
            raise CellError(f"Expected options with values, such as --data static_mnist; received {name!r}.")
        wanted[name[2:]] = value if equals else rest.pop(0)
    return wanted
