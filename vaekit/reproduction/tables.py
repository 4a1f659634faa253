"""Tables of records: paper | ours | difference."""

from vaekit.papers.cell import FIGURES


def number(value, digits=2):
    """A figure as text: numbers of units joined, as in 26+7."""
    if value is None:
        return ""
    if isinstance(value, list):
        return "+".join(number(v) for v in value)
    return f"{value:d}" if isinstance(value, int) else f"{value:.{digits}f}"


def report(record):
    """A record as a few lines."""
    head = f"{record.paper} {record.name}, seed {record.seed}: {record.epochs} epochs, {record.data['title']}"
    lines = [head]
    for name, figure in record.figures.items():
        error = f" ± {number(figure['standard_error'])}" if figure["standard_error"] is not None else ""
        paper = f"   (paper: {number(figure['paper'])})" if figure["paper"] is not None else ""
        lines.append(
            f"  {name:<24} {number(figure['ours'])}{error} {FIGURES[name][0] if name in FIGURES else ''}{paper}"
        )
    return "\n".join(lines)


def listing(cells, results):
    raise NotImplementedError
