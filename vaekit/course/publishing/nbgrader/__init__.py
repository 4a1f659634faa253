"""A class directory for nbgrader: its configuration, the exercises' source notebooks, instructions.

Nothing here imports nbgrader, and `nbgrader_config.py` does not import vaekit: no backend starts, and takes the GPU's
memory, because somebody runs `nbgrader export`.
"""

import shutil
from pathlib import Path

from vaekit.files import replacing

HERE = Path(__file__).parent
SOLUTIONS = HERE.parents[3] / "solutions"  # of a copy of the repository; the library alone has none


def init(directory, solutions=None):
    """Lays out a class directory.

    Args:
        directory: to be made; one that is there should be empty.
        solutions: directory with the source notebooks, `NN_name/NN_name.ipynb`; those of this copy of the course
            unless said.

    Returns: the names of the exercises, a list.

    Raises:
        FileExistsError: the directory has content.
        FileNotFoundError: there are no solutions.
    """
    directory, solutions = Path(directory), Path(solutions or SOLUTIONS)
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise FileExistsError(f"{directory} is not an empty directory; nothing was written. Choose another one.")
    notebooks = sorted(solutions.glob("*/*.ipynb"))
    notebooks = [path for path in notebooks if path.stem == path.parent.name]
    if not notebooks:
        raise FileNotFoundError(
            f"No solutions (NN_name/NN_name.ipynb) in {solutions}. They come with the course's repository, not with "
            "the library alone: run this in a copy of the repository, or name the place with --solutions."
        )
    for path in notebooks:
        write(directory / "source" / path.stem / path.name, path.read_text("utf-8"))
    for name in ("nbgrader_config.py", "README.md"):
        shutil.copyfile(HERE / name, directory / name)
    return [path.stem for path in notebooks]


def configuration(directory):
    """nbgrader's configuration of a class, for use from Python.

    Args:
        directory: of the class.

    Returns: a `traitlets.config.Config`.
    """
    from traitlets.config.loader import PyFileConfigLoader

    config = PyFileConfigLoader("nbgrader_config.py", path=str(HERE)).load_config()
    config.CourseDirectory.root = str(directory)
    return config


def write(path, text):
    """Writes a text file and the directories above it, as a whole or not at all."""
    with replacing(path) as stream:
        stream.write(text.encode())
