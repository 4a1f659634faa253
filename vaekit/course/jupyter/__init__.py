"""JupyterLab as a learner meets it: on the first lesson, without a question about news, without an instructor's panels.

The files beside this one are a directory of Jupyter's configuration. It holds for the process that is started here, and
comes before the learner's own configuration, of which nothing is changed.
"""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

from vaekit.course.material import FIRST

HERE = Path(__file__).parent


def command(folder):
    """The command that opens JupyterLab on the first lesson in a learner's folder, and its environment.

    Args:
        folder: with the lessons, see `material.copy`.

    Returns: list of arguments, dict of environment variables.

    Raises:
        ImportError: JupyterLab is not installed.
    """
    if not find_spec("jupyterlab"):
        raise ImportError("JupyterLab is not installed: pip install 'vaekit[course]'")
    folder = Path(folder).resolve()
    arguments = [
        *(sys.executable, "-m", "jupyterlab"),
        f"--ServerApp.root_dir={folder}",
        f"--LabApp.default_url=/lab/tree/{FIRST}",
        f"--LabApp.workspaces_dir={folder / '.vaekit' / 'workspaces'}",  # open tabs, apart from other work
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        arguments.append("--allow-root")
    first = {"JUPYTER_CONFIG_PATH": HERE, "PATH": Path(sys.executable).parent}  # PATH: `vaekit` in Jupyter's terminals
    paths = {name: os.pathsep.join(filter(None, [str(path), os.environ.get(name)])) for name, path in first.items()}
    return arguments, os.environ | paths | {"JUPYTER_PREFER_ENV_PATH": "1"}  # the kernel of this Python
