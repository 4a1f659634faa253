"""What a lesson says of itself: its title, what a reader will be able to do, its sections, its minutes."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from vaekit.course import material

SECONDS = "processor_seconds"  # of a notebook's metadata: what running it took, on all cores together


@dataclass(frozen=True)
class Lesson:
    """A lesson's own words on itself.

    Attributes:
        number: such as "02".
        title: without the number.
        path: of its notebook.
        aims: tuple of texts, each goes on from "After it, you will be able to".
        sections: tuple of headings.
        minutes, second: of the first and of the second reading; 0 where there is none.
        cells, pictures: how many it has.
        seconds: of a processor's work that running it took, all cores together; 0 where it is not known.
    """

    number: str
    title: str
    path: Path
    aims: tuple
    sections: tuple
    minutes: int
    second: int
    cells: int
    pictures: int
    seconds: int


def lessons(course=None):
    """Reads all lessons' notebooks: dict of `Lesson` by number.

    Args:
        course: folder with `lessons/`; that of this course unless given.
    """
    paths = sorted((Path(course or material.place()) / "lessons").glob("[0-9][0-9]_*.ipynb"))
    return {path.name[:2]: read(path) for path in paths}


def read(path):
    """Reads a lesson's notebook, a `Lesson`.

    Args:
        path: a `Path`.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no notebook, or has no title.
    """
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cells, seconds = notebook["cells"], notebook.get("metadata", {}).get(SECONDS, 0)
    text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    if not (head := re.match(r"# (\d\d) · (.+)", text)):
        raise ValueError(f"{path}: expected a notebook that begins with a heading such as '# 02 · Title'.")
    aims = re.search(r"\*\*After it, you will.*?\*\*\n\n(.*?)\n\n\*\*", text, re.DOTALL)
    items = re.split(r"^- ", aims[1], flags=re.MULTILINE)[1:] if aims else []
    sections = re.findall(r"^##+ (.+)$", text, re.MULTILINE)
    words = " ".join(text.split())
    minutes, second = (
        int(found[1]) if (found := re.search(pattern, words)) else 0
        for pattern in (r"\*\*It takes\*\* about (\d+) minutes", r"second reading,? about (\d+) minutes")
    )
    told = tuple(" ".join(item.split()).rstrip(";.") for item in items)
    shown = [output.get("data", {}) for cell in cells for output in cell.get("outputs", ())]
    pictures = sum(any(kind.startswith("image/") for kind in data) for data in shown)
    return Lesson(head[1], head[2].strip(), path, told, tuple(sections), minutes, second, len(cells), pictures, seconds)
