"""A class directory for nbgrader: its configuration, the exercises' source notebooks, instructions.

`nbgrader_config.py`, which nbgrader reads at every command, does not import vaekit: no backend starts, and takes the
GPU's memory, because somebody runs `nbgrader export`.
"""

import shutil
from pathlib import Path

from vaekit.course.publishing.lessons import nbformat, save, text
from vaekit.course.publishing.nbgrader.notebooks import generate

HERE = Path(__file__).parent
SOLUTIONS = HERE.parents[3] / "solutions"  # of a copy of the repository; the library alone has none


def init(directory, solutions=None):
    """Lays out a class directory.

    Args:
        directory: to be made; one that is there should be empty.
        solutions: directory with the exercises' scripts, `source/NN_name.py`, or with source notebooks of nbgrader's,
            `NN_name/NN_name.ipynb`; that of this copy of the course unless given.

    Returns: the names of the exercises, a list.

    Raises:
        FileExistsError: the directory has content.
        FileNotFoundError: there are no solutions.
        NotebookError: what `scripts.read` refuses.
    """
    directory, solutions = Path(directory), Path(solutions or SOLUTIONS)
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise FileExistsError(f"{directory} is not an empty directory; nothing was written. Choose another one.")
    notebooks = {script.stem: text(generate(script)) for script in sorted(solutions.glob("source/*.py"))}
    notebooks = notebooks or _source_notebooks(solutions)
    if not notebooks:
        raise FileNotFoundError(
            f"No solutions in {solutions}: expected scripts, source/NN_name.py, or source notebooks of nbgrader's, "
            "NN_name/NN_name.ipynb. They come with the course's repository, not with the library alone: run this in a "
            "copy of the repository, or name the place with --solutions."
        )
    for name, content in notebooks.items():
        save(directory / "source" / name / f"{name}.ipynb", content)
    for name in ("nbgrader_config.py", "README.md"):
        shutil.copyfile(HERE / name, directory / name)
    return list(notebooks)


def _source_notebooks(solutions):
    """Contents of the notebooks that nbgrader can release and grade, by name; those without graded cells are none."""
    contents = {}
    for path in sorted(solutions.glob("*/*.ipynb")):
        graded = (cell.metadata.get("nbgrader", {}).get("grade") for cell in nbformat.read(path, as_version=4).cells)
        if path.stem == path.parent.name and any(graded):
            contents[path.stem] = path.read_text("utf-8")
    return contents
