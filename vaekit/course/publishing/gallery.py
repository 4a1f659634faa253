"""The gallery's page: a line and a picture of each recipe, from the notebooks.

A recipe, `gallery/source/NN_name.py`, is generated and executed as a lesson is. Its first text is a heading and its
purpose in two sentences; one cell, `# %% alt="…"`, draws its picture, and `alt` describes it for who cannot see it.
"""

import base64
from pathlib import Path

import nbformat

TITLE = """# Gallery

Recipes that people ask for, each a page or two of code that runs in a minute or so, on data that need no download. Copy
one, put your data in, and read what to watch. Folded cells measure and draw; their `holds(…)` stops a recipe whose
numbers no longer bear out its text, and is not for your copy. Sources stand in `source/`; `vaekit notebooks gallery`
builds notebooks and page.
"""


def pages(directory) -> dict[Path, bytes]:
    """Makes the page of a gallery from its notebooks: dict from path to content, of README.md and of the pictures.

    Raises:
        ValueError: a recipe that has not one picture with an alternative text.
    """
    directory, text, made = Path(directory), [TITLE], {}
    for path in sorted(directory.glob("*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        title, purpose = cells[0].source.split("\n\n")[:2]
        found = [(cell.metadata.get("alt"), png) for cell in cells for png in _pictures(cell)]
        if len(found) != 1 or not found[0][0]:
            raise ValueError(f'{path}: expected one picture, by a cell # %% alt="what it shows"; found {len(found)}.')
        (alt, png), picture = found[0], directory / "pictures" / f"{path.stem}.png"
        made[picture] = base64.b64decode(png)
        link = f"[{title.removeprefix('# ')}]({path.name})"
        text.append(f"## {link}\n\n{purpose}\n\n![{alt}](pictures/{picture.name})\n")
    return {directory / "README.md": "\n".join(text).encode(), **made}


def check(directory) -> list[str]:
    """Lists which of a gallery's pages differ from its notebooks."""
    return [
        f"{path}: differs from the notebooks. Run: vaekit notebooks {directory}"
        for path, content in pages(directory).items()
        if not path.is_file() or path.read_bytes() != content
    ]


def _pictures(cell):
    return [output.data["image/png"] for output in cell.get("outputs", ()) if "image/png" in output.get("data", {})]
