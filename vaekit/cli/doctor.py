"""Is everything in place, and data ahead of time."""

import importlib
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from vaekit.cli.app import app, fail, installed


class Finding(NamedTuple):
    """One line of the doctor's report: "ok", a "note", or "broken", what was found, and what to do about it."""

    level: str
    text: str
    remedy: str = ""


@app.command()
def doctor():
    """Versions, backend, devices and data, and what to do about each problem. Exit status 1 if something is broken."""
    broken = False
    for probe in (_python, _backend, _data, _course):
        for finding in probe():
            broken |= finding.level == "broken"
            colour = {"ok": "green", "note": "yellow", "broken": "red"}[finding.level]
            typer.echo(f"{typer.style(f'{finding.level:<7}', fg=colour)} {finding.text}")
            if finding.remedy:
                typer.echo(f"        → {finding.remedy}")
    raise typer.Exit(code=int(broken))


def _python():
    running = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}, {sys.prefix}"
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        yield Finding("ok", running)
    else:
        yield Finding("broken", running, "Use Python 3.11, 3.12 or 3.13.")
    yield from _packages("vaekit", "keras", "numpy")


def _packages(*names, install="vaekit"):
    """Their versions; those that are missing, with what installs them."""
    versions = {name: installed(name) for name in names}
    if present := [f"{name} {number}" for name, number in versions.items() if number]:
        yield Finding("ok", ", ".join(present))
    if missing := [name for name, number in versions.items() if not number]:
        yield Finding("broken", f"{', '.join(missing)}: not installed", f"pip install '{install}'")


def _selected_backend():
    """The backend that Keras would start, found out without starting it."""
    if name := os.environ.get("KERAS_BACKEND"):
        return name
    try:
        home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
        return json.loads((home / "keras.json").read_text())["backend"]
    except (OSError, ValueError, KeyError):
        return "tensorflow"


def _backend():
    name = _selected_backend()
    if name == "tensorflow":
        yield from _packages("tensorflow", "tensorflow-probability", "tf-keras")
    elif name == "jax":
        yield from _packages("jax", "jaxlib", "tensorflow-probability", install="vaekit[jax]")
    else:
        remedy = 'Set the environment variable KERAS_BACKEND to "tensorflow" or "jax", or edit ~/.keras/keras.json.'
        yield Finding("broken", f"Keras is set to the backend {name!r}; vaekit runs on TensorFlow and JAX", remedy)
        return
    try:
        importlib.import_module("vaekit.backend")
        devices = importlib.import_module("keras").distribution.list_devices()
    except Exception as error:  # whatever keeps a backend from starting belongs into the report
        yield Finding("broken", f"backend {name} does not start: {error}", "Mend what is broken above, or reinstall.")
        return
    yield Finding("ok", f"backend {name} starts; devices: {', '.join(devices)}")
    if (gpus := _nvidia_gpus()) and not any("gpu" in device or "cuda" in device for device in devices):
        install = {"tensorflow": "vaekit[gpu]", "jax": "jax[cuda12]"}[name]
        remedy = (
            f"pip install '{install}'; if that does not help, compare the driver in nvidia-smi with what {name} needs."
        )
        yield Finding("note", f"{gpus}: there, but {name} does not use it", remedy)


def _nvidia_gpus():
    """Names of the NVIDIA GPUs that the driver sees, "" where there are none."""
    if not shutil.which("nvidia-smi"):
        return ""
    query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        return ", ".join(
            subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout.splitlines()
        )
    except (OSError, subprocess.SubprocessError):
        return ""


def _data():
    try:
        from vaekit import datasets
        from vaekit.datasets.files import cache_directory

        cache = cache_directory()
        for record in datasets.available():
            yield Finding("ok", f"data {record.name}: {_place(record)}")
    except Exception as error:  # DatasetError, or a module that does not import
        yield Finding("broken", f"data sets cannot be looked up: {error}")
        return
    folder = next(folder for folder in (cache, *cache.parents) if folder.exists())
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        remedy = (
            "Make it writable, or set VAEKIT_CACHE to another directory. Bundled and mirrored data work as they are."
        )
        yield Finding("broken", f"downloads cannot be kept in {cache}", remedy)


def _course():
    wanted = ("jupyterlab", "ipywidgets", "jupytext", "nbclient", "nbgrader")
    for finding in _packages(*wanted, install="vaekit[course]"):
        if finding.level == "ok":
            yield finding
        else:  # the library does without
            yield Finding("note", f"{finding.text}, which the lessons need", finding.remedy)


@app.command()
def data(
    name: Annotated[str, typer.Argument(help="A data set, such as dynamic_mnist; without: which there are.")] = None,
):
    """Download a data set ahead of time, verify it, and say what it is; without a name, list which there are."""
    from vaekit import datasets

    try:
        if name is None:
            for record in datasets.available():
                typer.echo(f"{record.name}: {_place(record)}\n    {record.summary}")
            typer.echo("Numbers of images: train/validation/test. vaekit data NAME fetches what is not here yet.")
            return
        dataset = datasets.load(name)
    except (ValueError, datasets.DatasetError) as error:
        fail(error)
    typer.echo(f"{dataset}\n{dataset.description}\n{dataset.source}")


def _place(record):
    """Where the files of a data set are, of what size, and where they come from, in words."""
    origin = f", from {record.origin}" if record.origin else ""
    if record.where == "download":
        return f"not here yet: vaekit data {record.name}{origin}"
    return record.where + (f", {record.bytes / 1e6:.1f} MB" if record.bytes else "") + origin
