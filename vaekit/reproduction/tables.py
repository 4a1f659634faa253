"""Tables of records beside the papers' values: on the terminal, and as results/README.md."""

import statistics
from pathlib import Path

from vaekit import datasets, papers
from vaekit.papers.cell import FIGURES
from vaekit.reproduction import costs, records

INTRO = """# Results

What the papers report, and what vaekit comes to: every number of ours is printed from a record, a JSON file in this
folder that `vaekit reproduce` wrote at the end of a run (data, split, seed, settings, commit, versions, device, time,
curves). `vaekit results` writes this page; a test compares it with the records.

"Ours" is a mean over the test images ± its standard error, where one is given; with several seeds, the mean of their
means, and the standard deviation between them. The effective sample size, of the importance weights, is a median over
images; mutual information is at most the logarithm of their number, 9.21 nats of 10,000. "Difference" is ours less the
paper's; "better" or "worse" stands there only if data and model are the paper's, the schedule was run to its end, and
more than two standard errors lie between the two.
A table of data whose own figures are known has these, "exact", in place of a paper's: perplexity and ELBO are the best
possible, and a code may say other things than topic and tense. "Literature" are figures of other papers.
A cell with a "+" is that before the "+" with other settings, or with what the paper's code does otherwise: it shows
what a figure owes to them (`vaekit reproduce … --set learning_rate=5e-4`).
"Epochs" says where a schedule was not run to its end; those with early stopping end by themselves. `vaekit reproduce
--list` shows all cells, and what they cost.
"""


def number(value, digits=2):
    """Formats a figure; one of several latents as in 26+7."""
    if value is None:
        return ""
    if isinstance(value, list):
        return "+".join(number(part, digits) for part in value)
    return (str(value) if isinstance(value, int) else f"{value:.{digits}f}").replace("-", "−")


def duration(seconds):
    """Formats seconds for people."""
    for unit, length, digits in (("days", 86400, 1), ("h", 3600, 1), ("min", 60, 0)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.{digits}f} {unit}"
    return f"{seconds:.0f} s"


def ours(name, runs):
    """Formats a figure of one cell's records: mean ± standard error, or mean (standard deviation, seeds)."""
    figures = [r.figures[name] for r in runs if r.figures.get(name, {}).get("ours") is not None]
    if not figures:
        return ""
    values = [figure["ours"] for figure in figures]
    if isinstance(values[0], list) or len(values) == 1:
        text, error = ", ".join(number(value) for value in values), figures[0]["standard_error"]
        return text + (f" ± {number(error)}" if error is not None and len(values) == 1 else "")
    return f"{number(statistics.mean(values))} (± {number(statistics.stdev(values))}, {len(values)} seeds)"


def difference(name, runs):
    """Formats ours less the paper's, and, for whole runs on the paper's data, whether that is better or worse.

    More than two standard errors have to lie between them. "" where one is missing or they are lists.
    """
    values = [r.figures[name]["ours"] for r in runs if name in r.figures]
    reported = runs[0].figures.get(name, {}).get("paper")
    if reported is None or not values or not all(isinstance(v, (int, float)) for v in [*values, reported]):
        return ""
    value, better = statistics.mean(values) - reported, FIGURES[name][1]
    error = 2 * (runs[0].figures[name]["standard_error"] or 0.0)
    comparable = better and abs(value) > error and all(r.comparable and not r.varied for r in runs)
    word = "" if not comparable else " better" if value * better > 0 else " worse"
    return f"{'+' if value > 0 else ''}{number(value)}{word}"


def report(record):
    """Writes a record as a few lines."""
    lines = [f"{record.paper} {record.name}, seed {record.seed}, {_epochs(record)} epochs, {record.data['title']}"]
    for name, figure in record.figures.items():
        paper = (
            f"   {record.reference} {number(figure['paper'])}   {difference(name, [record])}"
            if figure["paper"] is not None
            else ""
        )
        lines.append(f"  {name:<22} {ours(name, [record])} {FIGURES[name][0]}{paper}")
    return "\n".join(lines)


def _epochs(record):
    return f"{record.epochs}" if record.complete else f"{record.epochs} of {record.schedule}"


def listing(cells, results):
    """Lists cells with the paper's values, ours, and what a run costs or why there can be none, as text.

    A folder that is not there yet has no records: no column of ours.
    """
    found = Path(results).is_dir()
    runs, places = by_cell(results) if found else {}, {a.name: a.where for a in datasets.available()}
    counts = costs.read(results)
    rates = costs.rates(records.read_all(results) if found else [], counts)
    rows = {}
    for cell in cells:
        mine = runs.get((cell.paper, cell.name), [])
        theirs = ", ".join(f"{name} {number(value)}" for name, value in cell.reported.items())
        value = ", ".join(f"{name} {ours(name, mine)}" for name in cell.reported if ours(name, mine))
        row = (cell.name, theirs, value, _cost(cell, mine, counts, rates, places))
        rows.setdefault(f"{cell.paper}, {cell.table}", [("cell", cell.reference, "ours", "cost")]).append(row)
    lines = []
    for title, table in rows.items():
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines += [title, *("  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in table), ""]
    note = "Cost: floating-point operations of the whole schedule (early stopping may end it before), P = 10^15"
    if rates:
        place, rate = max(rates.items(), key=lambda item: item[1])
        note += f"; then what a run took, or by the speed of runs so far (≈) would take: {rate / 1e9:.0f} billion "
        note += f"operations a second on {place}"
    return "\n".join([*lines, f"{note}."])


def _cost(cell, runs, counts, rates, places):
    if cell.missing:
        return cell.missing
    total = counts.get(f"{cell.paper}/{cell.name}")
    parts = [f"{total / 1e15:.3g} P" if total else f"{cell.epochs} epochs, not counted"]
    if runs:
        parts.append(f"{duration(runs[0].seconds['training'])} for {_epochs(runs[0])} epochs, {runs[0].place}")
    elif total and rates:
        place = max(rates, key=rates.get)
        parts.append(f"≈ {duration(total / rates[place])}, {place}")
    where = places.get(cell.data)
    return "; ".join(parts + ([f"data: {where}"] if where in ("download", "by hand") else []))


def by_cell(results):
    """Reads records by (paper, name of the cell), a dict of lists: of each cell those that have gone furthest."""
    runs = {}
    for record in records.read_all(results):
        runs.setdefault((record.paper, record.name), []).append(record)
    return {cell: [r for r in rs if r.complete or r.epochs == max(x.epochs for x in rs)] for cell, rs in runs.items()}


def markdown(results):
    """Writes the text of results/README.md."""
    runs = by_cell(results)
    lines = [INTRO]
    for name in papers.__all__:
        module = getattr(papers, name)
        count = f"{sum((name, cell.name) in runs for cell in module.CELLS)} of {len(module.CELLS)} cells"
        started = [some for cell in module.CELLS for some in _variants(cell, runs) if (name, some.name) in runs]
        lines += [f"## {name}: {module.__doc__.splitlines()[0].rstrip('.:')}", "", f"Run so far: {count}.", ""]
        for table in dict.fromkeys(cell.table for cell in started):
            lines += _table(name, [cell for cell in started if cell.table == table], runs)
    return "\n".join(lines)


def _variants(cell, runs):
    """Lists a cell, and its variations that have records."""
    varied = [rs[0].varied for rs in runs.values() if rs[0].cell == cell.options and rs[0].paper == cell.paper]
    return [cell.vary(changes) for changes in sorted(varied, key=lambda changes: (len(changes), str(changes)))]


def _table(paper, cells, runs):
    """Writes one table in Markdown: a row for each figure of each cell."""
    lines = [f"### {cells[0].table[0].upper()}{cells[0].table[1:]}", ""]
    lines += [f"*{metric}*" for metric in dict.fromkeys(runs[paper, cell.name][0].metric for cell in cells)]
    lines += [
        "",
        f"| cell | figure | {cells[0].reference} | ours | difference | epochs | training |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    notes = []
    for cell in cells:
        mine = runs[paper, cell.name]
        first = mine[0]
        links = " ".join(f"[{cell.name if i == 0 else f'seed {r.seed}'}]({r.path})" for i, r in enumerate(mine))
        trained = f"{duration(first.seconds['training'])}, {first.place}"
        ends = [links, ", ".join(dict.fromkeys(map(_epochs, mine))), trained]
        for name, figure in first.figures.items():
            if figure["ours"] is None:
                continue
            row = [
                ends[0],
                with_unit(name),
                number(figure["paper"]),
                ours(name, mine),
                difference(name, mine),
                *ends[1:],
            ]
            lines.append(f"| {' | '.join(row)} |")
            ends = ["", "", ""]
        notes += [f"- {r.name}, seed {r.seed}: {text}" for r in mine for text in (r.differs, r.note) if text]
    titles = dict.fromkeys(runs[paper, cell.name][0].data["title"] for cell in cells)
    lines += ["", f"Data: {', '.join(titles)}. {_ran_on([r for cell in cells for r in runs[paper, cell.name]])}", ""]
    return lines + notes + ([""] if notes else [])


def _ran_on(runs):
    parts = dict.fromkeys(
        f"{p['backend']} {p['versions'].get(p['backend'], '')} on {p['device']} ({p['machine']}), "
        f"commit {(p['commit'] or 'unknown')[:8]}, {r.finished}"
        for r in runs
        for p in r.ran_on
    )
    return f"Run with {'; '.join(parts)}."


def summary(results):
    """Writes the reported figures of whole schedules as one table in Markdown, for the project's README.md."""
    lines = ["| paper | data | cell | figure | paper | ours |", "|---|---|---|---|---:|---:|"]
    runs = by_cell(results)
    for name in papers.__all__:
        for cell in getattr(papers, name).CELLS:
            whole = [r for r in runs.get((name, cell.name), []) if r.comparable]
            main = next(iter(cell.reported), None)
            if whole and main and ours(main, whole):
                rest = "-".join(str(value) for key, value in cell.options.items() if key != "data")
                row = [
                    name,
                    whole[0].data["title"],
                    rest,
                    with_unit(main),
                    number(cell.reported[main]),
                    ours(main, whole),
                ]
                lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def with_unit(name):
    unit = FIGURES[name][0]
    return f"{name} / {unit}" if unit else name


BEGIN, END = "<!-- results: written by vaekit results -->", "<!-- end of results -->"


def pages(results):
    """Writes texts by path: the folder's README.md and, if it has a place for the summary, the one beside it."""
    results = Path(results)
    texts = {results / "README.md": markdown(results)}
    readme = results.resolve().parent / "README.md"
    text = readme.read_text(encoding="utf-8") if readme.exists() else ""
    if BEGIN in text and END in text:
        texts[readme] = f"{text.split(BEGIN)[0]}{BEGIN}\n{summary(results)}\n{END}{text.split(END)[1]}"
    return texts


def stale(results):
    """Lists paths of the pages that differ from the records."""
    return [p for p, text in pages(results).items() if not p.exists() or p.read_text(encoding="utf-8") != text]
