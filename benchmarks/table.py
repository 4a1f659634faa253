"""Turns the records of the benchmarks into tables: benchmarks/README.md, and the summary that README.md quotes.

`python benchmarks/table.py` writes both; with `--check` it fails if they differ from the records.
"""

import json
import statistics
import sys

import growth
from harness import HERE, PER_SECOND, RECORDS, compare

BEGIN, END = "<!-- benchmarks: written by benchmarks/table.py -->", "<!-- end of benchmarks -->"
BACKENDS = ("JAX", "TensorFlow")


def records():
    """Benchmarks by name, in the order of their questions' importance."""
    order = [
        "training_step",
        "convolutional_step",
        "text_training",
        "video_training",
        "log_likelihood",
        "mixture_density",
        "pixelcnn_sampling",
        "text_sampling",
        "video_sampling",
        "first_result",
        "import_time",
        "growth",
    ]
    found = {path.stem: json.loads(path.read_text()) for path in RECORDS.glob("*.json")}
    order += sorted(set(found) - set(order))
    return {name: found[name] for name in order if name in found}


def ratio(value):
    return f"{value:.2f} ×" if value > 0.2 else f"1/{1 / value:.0f} ×"


def machine(record):
    m = record["machine"]
    names = ("keras", "tensorflow", "jax", "torch", "pythae")
    versions = ", ".join(f"{name} {m['versions'][name]}" for name in names if name in m["versions"])
    return f"{m['cores']} cores of {m['processor']}, Python {m['python']}, {versions}; {m['date']}"


def details(name, record):
    """One benchmark's tables, and how its goals stand."""
    lines = [f"## {record['question']}", "", f"`python benchmarks/{name}.py`. {machine(record)}.", ""]
    if name == "growth":
        return "\n".join([*lines, *growing(record)])
    unit, limit = record["unit"], record["limit"]
    for case, rows in record["cases"].items():
        reference = next(iter(rows))
        share = limit if limit in rows else None
        head = ["", unit, f"× {reference}", *(["share of the products' rate"] if share else []), "memory / MB"]
        lines += [f"**{case}**", "", "| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
        for contestant, row in rows.items():
            median = statistics.median(row["seconds"]) * PER_SECOND[unit.split()[0]]
            cells = [contestant, f"{median:.3g}", ratio(compare(rows, contestant, reference))]
            cells += [f"{100 / compare(rows, contestant, share):.0f} %"] if share else []
            lines.append("| " + " | ".join([*cells, str(row["memory_mb"])]) + " |")
        lines.append("")
    for goal in record["goals"]:
        rows = record["cases"][goal["case"]]
        found = compare(rows, goal["contestant"], goal["reference"])
        verdict = "reached" if found <= goal["factor"] else "**missed**"
        lines.append(
            f"- {goal['contestant']}, {goal['case']}: at most {ratio(goal['factor'])} of {goal['reference']}; "
            f"{ratio(found)}: {verdict}."
        )
    return "\n".join([*lines, ""])


def growing(record):
    """A row for each that grows: milliseconds at its sizes, and the slope between the two largest."""
    found, picture = growth.slopes(record), growth.PICTURE.name
    lines = ["| | sizes | backend | ms | slope |", "|---|---|---|---:|---:|"]
    for what, (sizes, timed) in growth.GROWS.items():
        for contestant in growth.CONTESTANTS:
            ms, slope = found[what, contestant]
            backend = contestant.split(" on ")[1]
            cells = what, " · ".join(f"{s:,}" for s in sizes), backend, " · ".join(f"{t:.3g}" for t in ms)
            lines.append(f"| {cells[0]}, {timed} | {' | '.join(cells[1:])} | {slope:.2f} |")
    said = "; ".join(f"{what} {found[what, next(iter(growth.CONTESTANTS))][1]:.2f}" for what in growth.GROWS)
    return [
        *lines,
        "",
        "Slopes are those of the logarithms, between the two largest sizes: 1 is a cost in proportion, 0 one that does "
        "not grow.",
        "",
        f"![Time against size, both in logarithms, for each that grows; slopes on JAX: {said}](../pictures/{picture})",
        "",
    ]


def summary(found):
    """A row for each case that has goals: vaekit's time on each backend, as a multiple of the reference's."""
    lines = ["| | JAX | TensorFlow | times as long as |", "|---|---:|---:|---|"]
    for name, record in found.items():
        cells = {}
        for goal in record["goals"]:
            backend = goal["contestant"].split(" on ")[1]
            reference = goal["reference"].removesuffix(f" on {backend}")
            value = compare(record["cases"][goal["case"]], goal["contestant"], goal["reference"])
            cells.setdefault((goal["case"], reference), {})[backend] = ratio(value)
        for (case, reference), row in cells.items():
            values = " | ".join(row.get(backend, "") for backend in BACKENDS)
            lines.append(f"| {name.replace('_', ' ')}: {case} | {values} | {reference} |")
    return "\n".join(lines)


def pages():
    """The text of both files, by path."""
    found = records()
    intro = """# Benchmarks

`make benchmark` runs them all and writes this page. Contestants run in turn, each in a process of its own; times are
medians, ratios are medians over the rounds. "Matrix products alone" are those of the networks and nothing else, by XLA;
a contestant's share of their rate is their time, divided by its own.
"""
    readme = HERE.parent / "README.md"
    text = readme.read_text()
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    return {
        HERE / "README.md": intro + "\n" + "\n".join(details(*item) for item in found.items()),
        readme: f"{before}{BEGIN}\n{summary(found)}\n{END}{after}",
    }


if __name__ == "__main__":
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv:
        sys.exit(f"{[str(p.relative_to(HERE.parent)) for p in stale]} differ from the records." if stale else 0)
    for path in stale:
        path.write_text(pages()[path])
        print(f"wrote {path.relative_to(HERE.parent)}")
