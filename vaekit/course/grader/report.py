"""The points of a notebook, and why: as data, as text for a terminal, as a page."""

import dataclasses
import html
import shutil

from vaekit.course import show
from vaekit.course.questions.question import points
from vaekit.course.questions.verdict import Verdict


@dataclasses.dataclass(frozen=True)
class Report:
    """The points of a notebook, and why.

    Attributes:
        exercise: its number.
        title: of the exercise.
        verdicts: tuple of `Verdict`.
        notes: tuple of texts: cells that failed, or were deleted.
        exposed: dict: what was not isolated ("files", "network", "processes", "memory"), and how that shows.
        seed: of the drawn cases; with it, a mark can be computed again.
        seconds: that it took.
    """

    exercise: str
    title: str
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...]
    exposed: dict
    seed: int
    seconds: float

    @property
    def earned(self):
        """Points of its right parts, a Python float."""
        return round(sum(verdict.earned for verdict in self.verdicts), 6)

    @property
    def points(self):
        """Points of all questions together, a Python float."""
        return float(sum(verdict.points for verdict in self.verdicts))

    @property
    def isolation(self):
        """Sentences on what is isolated and what is not."""
        return isolation(self.exposed)


def isolation(exposed):
    """Writes sentences on what is isolated and what is not, and on where it would be.

    Args:
        exposed: dict, as a `Report` has it.
    """
    closed = [name for name in ("files", "network", "processes", "memory") if name not in exposed]
    sentences = [f"Isolated from this computer: {', '.join(closed) or 'nothing'}."]
    sentences += [f"Not {name}: {reason}." for name, reason in exposed.items()]
    if exposed and (runtime := next(filter(shutil.which, ("podman", "docker")), "")):
        sentences.append(f"{runtime.title()} is installed: grading/README.md says how to grade in a container.")
    return " ".join(sentences)


def text(report, exercise, hints=1):
    """Writes a table with a line for each question, what is wrong, and hints.

    Args:
        report: a `Report`.
        exercise: its `Exercise`.
        hints: how many to give for each question that is not right, from a nudge to nearly the answer.
    """
    lines = [report.isolation, *map(show.plain, report.notes), "", f"Exercise {report.exercise}: {report.title}", ""]
    width = max(len(verdict.title) for verdict in report.verdicts)
    for verdict in report.verdicts:
        score = f"{points(verdict.earned):>5} of {points(verdict.points)}"
        lines.append(f"{verdict.sign} {verdict.title:<{width}} {score}")
        lines += [f"      {show.plain(line)}" for line in (*verdict.faults(), *_hints(verdict, exercise, hints))]
    lines += ["", f"{points(report.earned)} of {points(report.points)} points in {report.seconds:.0f} s; "]
    lines[-1] += f"drawn from --seed {report.seed}."
    return "\n".join(lines)


def page(report, exercise, name, hints=1):
    """Writes the same as an HTML page that needs nothing else; `name`: of the submission."""
    rows = []
    for verdict in report.verdicts:
        paragraphs = "".join(f"<p>{show.page(line)}</p>" for line in verdict.faults())
        paragraphs += "".join(f'<p class="hint">{show.page(line)}</p>' for line in _hints(verdict, exercise, hints))
        score = f"{points(verdict.earned)} of {points(verdict.points)}"
        title = f"<th>{verdict.sign} {show.page(verdict.title)}</th>"
        rows.append(f"<tr>{title}<td>{score}</td><td>{paragraphs or 'Right.'}</td></tr>")
    notes = "".join(f"<p>{show.page(note)}</p>" for note in report.notes)
    return PAGE.format(
        name=html.escape(name),
        title=f"Exercise {html.escape(report.exercise)}: {show.page(report.title)}",
        total=f"{points(report.earned)} of {points(report.points)} points",
        rows="\n".join(rows),
        notes=notes and f"<h2>Cells that failed, were edited or are missing</h2>{notes}",
        isolation=html.escape(report.isolation),
        seed=report.seed,
    )


def _hints(verdict, exercise, number):
    chosen = exercise.questions[verdict.question].hints[: 0 if verdict.right else number]
    return [f"Hint: {hint}" for hint in chosen]


PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{name}: {total}</title>
<style>
body {{ font: 16px/1.5 sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }}
table {{ border-collapse: collapse; width: 100% }}
th, td {{ text-align: left; vertical-align: top; padding: .5rem; border-top: 1px solid #ccc }}
td:nth-child(2) {{ white-space: nowrap }}
p {{ margin: 0 0 .3rem; overflow-wrap: anywhere }}
.hint {{ color: #555; font-style: italic }}
code {{ background: #f2f2f2; padding: 0 .2rem }}
footer {{ margin-top: 2rem; color: #777; font-size: .85rem }}
</style>
<h1>{title}</h1>
<p>{name}: <b>{total}</b></p>
<table>
{rows}
</table>
{notes}
<footer><p>{isolation}</p><p>Drawn from seed {seed}.</p></footer>
</html>
"""
