"""A page for each paper: its models, its settings, its tables beside ours, its code."""

import re

from reference import cell, documentation, entries, folded, sections

LESSONS = {  # what README's table of lessons calls a paper
    "kingma2013": "VAE",
    "burda2015": "IWAE",
    "tomczak2017": "VampPrior",
    "dieng2018": "Skip-VAE",
    "rybkin2020": "σ-VAE",
}


def paper_pages(reference, root):
    """Texts by page."""
    from vaekit import papers
    from vaekit.reproduction import tables

    runs = tables.by_cell(root / "results")
    readme = (root / "README.md").read_text(encoding="utf-8")
    pages = {}
    for paper in LESSONS:
        module = getattr(papers, paper)
        parts = [paper, *(room[7:] for room in reference.modules if room.startswith(f"papers.{paper}."))]
        page = f"papers/{paper}.md"
        text = documentation(reference.modules[f"papers.{paper}"])
        title, _, rest = text.partition("\n\n")
        number = re.search(r"arXiv ([\d.]+)", title)[1]
        name, _, authors = title.partition(" (")
        lines = [
            f"# {name}",
            "",
            f"{authors.split(', arXiv')[0]}. [arXiv {number}](https://arxiv.org/abs/{number})",
            "",
        ]
        rows = re.findall(r"^\| (\[\d\d\]\(lessons/\S+\)) \| (.*?) \| (.*?) \|$", readme, re.M)
        taught = [
            f"{link.replace('](', '](../')} {what.split(':')[0]}"
            for link, what, label in rows
            if label == LESSONS[paper]
        ]
        lines += [f"**Taught in** {'; '.join(taught)}.", ""] if taught else []
        lines += [reference.link(rest, page), "", "## Published, and ours", ""]
        lines += [
            f"Run so far: {sum((paper, c.name) in runs for c in module.CELLS)} of {len(module.CELLS)} cells. Ours are "
            "means ± standard errors; what ran, for how long, and why figures differ stands in the "
            f"[results](../results/README.md#{_anchor(tables, paper, module)}). `vaekit reproduce {paper}` runs them.",
            "",
        ]
        for table in dict.fromkeys(c.table for c in module.CELLS):
            lines += _table(paper, [c for c in module.CELLS if c.table == table], runs, tables)
        for part in parts:
            lines += _part(reference, f"papers.{part}", page, paper)
        lines += ["## The code", ""]
        for part in parts:
            file = reference.modules[f"papers.{part}"].filepath.relative_to(reference.root).as_posix()
            lines += folded(f"<code>{file}</code>", file, page)
        pages[page] = "\n".join(lines)
    return pages


def _anchor(tables, paper, module):
    from stage import slug

    return slug(f"{paper}: {module.__doc__.splitlines()[0].rstrip('.:')}")


def _table(paper, cells, runs, tables):
    """One table of a paper: a row for each cell, its figures published and ours."""
    figures = dict.fromkeys(name for c in cells for name in c.reported)
    mine = {c.name: runs.get((paper, c.name), []) for c in cells}
    measured = {name for name in figures if any(tables.ours(name, mine[c.name]) for c in cells if mine[c.name])}
    heads = [
        f"{tables.with_unit(name)}, {who}"
        for name in figures
        for who in (cells[0].reference, "ours")
        if who != "ours" or name in measured
    ]
    lines = [f"### {cells[0].table[0].upper()}{cells[0].table[1:]}", "", f"| cell | {' | '.join(heads)} |"]
    lines += ["|---|" + "---:|" * len(heads)]
    for c in cells:
        row = []
        for name in figures:
            row.append(tables.number(c.reported.get(name)))
            row += [tables.ours(name, mine[c.name]) if mine[c.name] else ""] if name in measured else []
        lines.append(f"| {c.name} | {' | '.join(row)} |")
    return [*lines, ""]


def _part(reference, room, page, paper):
    """The settings and functions of one file of a paper."""
    module, lines = reference.modules[room], []
    if room != f"papers.{paper}":
        lines += [
            f"## {room.rpartition('.')[2].capitalize()}",
            "",
            reference.docstring(documentation(module), page),
            "",
        ]
    else:
        lines += ["## Models and settings", ""]
    for path, name in reference.names.items():
        if path.rpartition(".")[0] != room:
            continue
        lines += [f"### {name.name}", ""]
        if name.name in ("Settings", "Quirks"):
            lines += _settings(name.thing, reference, page)
        else:
            lines += [*reference.signature(name.thing, f"vaekit.{path}"), ""]
            lines += [reference.docstring(documentation(name.thing), page), ""]
        if name.used:
            lines += [f"**Used in** {', '.join(f'[{title}](../{where})' for where, title in name.used.items())}.", ""]
    return lines


def _settings(thing, reference, page):
    """The fields of `Settings` or `Quirks`: their values and meanings."""
    values = {m.name: str(m.value) for m in thing.members.values() if m.is_attribute and m.value is not None}
    parts = sections(documentation(thing))
    lines = [reference.link(body, page) for title, body in parts if not title]
    lines += ["| Setting | Value | Meaning |", "|---|---|---|"]
    for title, body in parts:
        for names, meaning in entries(body) if title == "Attributes" else ():
            names = [name.strip() for name in names.split(",")]
            known = ", ".join(f"`{cell(values.pop(name, 'None'))}`" for name in names)
            lines.append(f"| {', '.join(f'`{name}`' for name in names)} | {known} | {cell(meaning)} |")
    lines += [f"| `{name}` | `{cell(value)}` | |" for name, value in values.items()]
    return [*lines, ""]
