"""The `vaekit` command: is everything in place, data ahead of time, papers tried out, lessons as notebooks."""

import dataclasses
import importlib
import itertools
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

app = typer.Typer(help="Variational autoencoders in Keras 3: the course's tools.", no_args_is_help=True)


def main():
    """Entry point of the command `vaekit`."""
    app()


def _show_version(wanted: bool):
    if wanted:
        typer.echo(f"vaekit {_version('vaekit')}")
        raise typer.Exit()


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print it.")
    ] = False,
):
    pass


# ---- doctor ---------------------------------------------------------------------------------------------------------


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


def _version(package):
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _python():
    running = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}, {sys.prefix}"
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        yield Finding("ok", running)
    else:
        yield Finding("broken", running, "Use Python 3.11, 3.12 or 3.13.")
    yield from _packages("vaekit", "keras", "numpy")


def _packages(*names, install="vaekit"):
    """Their versions; those that are missing, with what installs them."""
    versions = {name: _version(name) for name in names}
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
            size = f", {record.bytes / 1e6:.1f} MB" if record.bytes else ""
            where = record.where if record.where != "download" else f"not here yet: vaekit data {record.name}"
            yield Finding("ok", f"data {record.name}: {where}{size}")
    except Exception as error:  # DatasetError, or a module that does not import
        yield Finding("broken", f"data sets cannot be looked up: {error}")
        return
    folder = next(folder for folder in (cache, *cache.parents) if folder.exists())
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        remedy = (
            "Make it writable, or set VAEKIT_CACHE to another directory. digits and mirrored data work as they are."
        )
        yield Finding("broken", f"downloads cannot be kept in {cache}", remedy)


def _course():
    wanted = ("jupyterlab", "ipywidgets", "jupytext", "nbclient", "nbgrader")
    for finding in _packages(*wanted, install="vaekit[course]"):
        if finding.level == "ok":
            yield finding
        else:  # the library does without
            yield Finding("note", f"{finding.text}, which the lessons need", finding.remedy)


# ---- data, notebooks ------------------------------------------------------------------------------------------------


@app.command()
def data(name: Annotated[str, typer.Argument(help="A data set, such as dynamic_mnist.")]):
    """Download a data set ahead of time, verify it, and say what it is."""
    from vaekit import datasets

    try:
        dataset = datasets.load(name)
    except (ValueError, datasets.DatasetError) as error:
        _fail(error)
    typer.echo(f"{dataset}\n{dataset.description}\n{dataset.source}")


@app.command()
def notebooks(
    paths: Annotated[list[str] | None, typer.Argument(help="Sources, notebooks or directories (lessons).")] = None,
    check: Annotated[bool, typer.Option(help="Only compare the notebooks with their sources.")] = False,
):
    """Generate lessons' notebooks from their sources and execute them, or check that they still agree."""
    try:
        from vaekit.course import notebooks as tool
    except ImportError as error:
        _fail(error)
    try:
        sources = tool.sources(paths or ["lessons"])
        if check:
            problems = [problem for source in sources for problem in tool.check(source)]
            if problems:
                _fail("\n".join(problems))
            typer.echo(f"{len(sources)} notebooks agree with their sources.")
            return
        for source in sources:
            start = time.perf_counter()
            built = tool.build(source)
            typer.echo(f"{built}: {time.perf_counter() - start:.0f} s, {built.stat().st_size / 1e6:.2f} MB")
    except tool.NotebookError as error:
        _fail(error)


# ---- exercises ------------------------------------------------------------------------------------------------------

course = typer.Typer(help="Exercises as notebooks; a class directory for nbgrader.", no_args_is_help=True)
app.add_typer(course, name="course")


@course.command()
def build(
    directory: Annotated[Path, typer.Argument(help="A copy of the course's repository.")] = Path("."),
    check: Annotated[bool, typer.Option(help="Only compare the notebooks with their sources.")] = False,
):
    """Generate solutions/ and exercises/ from solutions/source, or check that they still agree."""
    try:
        from vaekit.course import assignments as tool
    except ImportError as error:
        _fail(error)
    try:
        sources = tool.sources(directory)
        if not check:
            for path in tool.build(sources):
                typer.echo(path)
        elif problems := tool.check(sources):
            _fail("\n".join(problems))
        else:
            typer.echo(f"Exercises agree with their sources: {', '.join(source.stem for source in sources)}.")
    except tool.NotebookError as error:
        _fail(error)


@course.command()
def init(
    directory: Annotated[Path, typer.Argument(help="Of the class, to be made.")],
    solutions: Annotated[Path | None, typer.Option(help="Source notebooks, if not those of this course.")] = None,
):
    """Lay out a class directory: nbgrader's configuration, the exercises with their solutions, instructions."""
    from vaekit.course import classroom

    try:
        names = classroom.init(directory, solutions)
    except OSError as error:
        _fail(error)
    typer.echo(f"{directory} is ready for nbgrader:")
    typer.echo("  nbgrader_config.py  how it releases, grades, and gives feedback")
    typer.echo(f"  source/             with solutions: {', '.join(names)}")
    typer.echo("  README.md           the commands")
    typer.echo(f"Next: cd {directory} && nbgrader generate_assignment {names[0]}")


@app.command()
def progress():
    """How far you have come in the exercises: the best that each answer has earned."""
    from vaekit.course import checking
    from vaekit.course.exercise import points

    for number, shares in checking.progress().items():
        exercise = checking.Exercise(number)
        earned = sum(exercise.questions[name].points * share for name, share in shares.items())
        typer.echo(f"{number}  {exercise.title}: {points(earned)} of {points(exercise.points)} points")
        for name, share in shares.items():
            bar = "█" * round(10 * share) + "░" * (10 - round(10 * share))
            typer.echo(f"    {bar}  {exercise.questions[name].title}")


@app.command()
def grade(
    path: Annotated[Path, typer.Argument(help="A notebook, or a folder of notebooks, one for each learner.")],
    out: Annotated[Path, typer.Option(help="Folder for marks.csv and feedback, if a folder is graded.")] = None,
    html: Annotated[Path, typer.Option(help="File for the feedback as a page, if a notebook is graded.")] = None,
    hints: Annotated[int, typer.Option(min=0, help="How many to give for what is not right.")] = 1,
    jobs: Annotated[int, typer.Option(min=1, help="Notebooks at once.")] = max(1, (os.cpu_count() or 2) // 2),
    seed: Annotated[int, typer.Option(min=0, help="Of the drawn cases; a secret one unless said.")] = None,
    cell_seconds: Annotated[float, typer.Option(min=0.1, help="For a cell; answers have their questions'.")] = 120,
    notebook_seconds: Annotated[float, typer.Option(min=1, help="For all of a notebook.")] = 900,
    memory: Annotated[float, typer.Option(min=1, help="GB.")] = 4,
    disk: Annotated[float, typer.Option(min=1, help="MB of all files that a notebook writes.")] = 512,
    processes: Annotated[int, typer.Option(min=50, help="Processes and threads.")] = 256,
    require_isolation: Annotated[bool, typer.Option(help="Refuse where something cannot be isolated.")] = False,
):
    """Grade a notebook, or a folder of them: points, what is wrong, hints. Their code runs shut in.

    Exit status 1 if something could not be graded, whatever the points.
    """
    try:
        from vaekit.course import checking, feedback, grading, submissions
    except ImportError as error:
        _fail(f"{error}. Grading needs the course's packages: pip install 'vaekit[course]'")
    from vaekit.files import replacing

    memory, disk = int(memory * 2**30), int(disk * 2**20)
    limits = grading.Limits(cell_seconds, notebook_seconds, memory, disk, processes)
    if not path.exists():
        _fail(f"There is no {str(path)!r}; expected a notebook or a folder of notebooks.")
    if path.is_dir() != bool(out) or (html and out):
        _fail("A folder is graded with --out FOLDER for its marks and feedback, a notebook without, maybe with --html.")
    try:
        if not out:
            report = grading.grade(path, limits, seed, require_isolation)
            exercise = checking.Exercise(report.exercise)
            typer.echo(feedback.text(report, exercise, hints))
            if html:
                with replacing(html) as stream:
                    stream.write(feedback.page(report, exercise, path.stem, hints).encode())
            return
        done, unmarked = 0, 0
        for name, record in submissions.grade_all(path, out, jobs, limits, seed, require_isolation, hints):
            if not done and record.get("missing"):
                typer.echo("".join(f"Not isolated: {what}: {why}.\n" for what, why in record["missing"].items()))
            done, unmarked = done + 1, unmarked + bool(record["problem"])
            said = record["problem"] or f"{record['earned']:g} of {record['points']:g} points"
            typer.echo(f"{grading.clean(name)}: {said}")
    except grading.GradingError as error:
        _fail(f"{path}: {error}")
    except KeyboardInterrupt:
        _fail("Stopped. The same command goes on after what is done." if out else "Stopped.")
    except OSError as error:
        _fail(error)
    if not done:
        _fail(f"There are no notebooks in {str(path)!r}.")
    for names in submissions.duplicates(path, out):
        typer.echo(f"The same content: {', '.join(map(grading.clean, names))}")
    typer.echo(f"{done - unmarked} of {done} notebooks graded: {out / 'marks.csv'}, feedback in {out / 'feedback'}.")
    raise typer.Exit(code=int(unmarked > 0))


# ---- papers ---------------------------------------------------------------------------------------------------------


@app.command("try")
def try_(
    paper: Annotated[str, typer.Argument(help="kingma2013, burda2015, tomczak2017, dieng2018 or rybkin2020.")],
    model: Annotated[list[str], typer.Option(help="Only this model, by its name in the table; repeatable.")] = (),
    data: Annotated[str, typer.Option(help="Data set for all models instead of each one's usual one.")] = None,
    epochs: Annotated[int, typer.Option(min=1)] = 2,
    examples: Annotated[int, typer.Option(min=2, help="Training images; all unless said.")] = None,
    samples: Annotated[int, typer.Option(min=1, help="Importance samples for log p(x).")] = 100,
    images: Annotated[int, typer.Option(min=2, help="Test images to evaluate on, drawn by the seed.")] = 500,
    seed: int = 0,
):
    """Trains each architecture of a paper briefly: bound, log p(x), KL (nats per image), active units, time."""
    from vaekit import datasets, papers
    from vaekit.papers import trial

    if paper not in papers.__all__:
        _fail(f"There is no paper {paper!r}; known: {', '.join(papers.__all__)}.")
    typer.echo(
        f"{paper}: {epochs} epochs of {examples or 'all'} training images a model, log p(x) from {samples} samples, on "
        f"{images} test images; active units on 500 training images; seed {seed}\n{trial.HEADER}"
    )
    try:
        options = dict(epochs=epochs, examples=examples, samples=samples, images=images, seed=seed)
        for row in trial.run(getattr(papers, paper), model or None, data, **options):
            typer.echo(row)
    except (ValueError, datasets.DatasetError) as error:
        _fail(error)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def reproduce(
    context: typer.Context,
    paper: Annotated[str, typer.Argument(help="kingma2013, burda2015, tomczak2017, dieng2018 or rybkin2020.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Show cells, paper's values, ours, cost; run none.")] = False,
    cost: Annotated[
        bool, typer.Option("--cost", help="Count the operations of each cell, for --list; run none.")
    ] = False,
    epochs: Annotated[int, typer.Option(min=1, help="How many, if not the paper's schedule.")] = None,
    seed: Annotated[list[int], typer.Option(min=0, help="Repeatable: a run for each.")] = (0,),
    set_: Annotated[
        list[str], typer.Option("--set", help="Another setting, or a quirk of the paper's code; repeatable.")
    ] = (),
    together: Annotated[
        bool, typer.Option("--together", help="Train the seeds at once, on JAX; meant for a GPU.")
    ] = False,
    preset: Annotated[str, typer.Option(help="Keep a done run's weights in vaekit, by this name.")] = None,
    runs: Annotated[Path, typer.Option(help="Folder of checkpoints, from which runs go on.")] = Path("runs"),
    results: Annotated[Path, typer.Option(help="Folder of records.")] = Path("results"),
):
    """Train and measure cells of a paper's tables as the paper does; records in results/, beside the paper's values.

    A cell is chosen by its options, as --list shows them: vaekit reproduce burda2015 --data static_mnist --layers 1
    --objective iwae --samples 50. Fewer options choose several cells. A run that was cut off goes on where it was.
    With --set learning_rate=5e-4 the cell is varied: a run of its own, beside the paper's.
    """
    from tqdm.auto import tqdm

    from vaekit.reproduction import cells, costs, tables
    from vaekit.reproduction import preset as presets
    from vaekit.reproduction import runs as running

    words = [paper, *context.args] if paper else context.args  # an unknown option may stand before the paper
    try:
        chosen = [cell.vary(cells.changes(set_)) for cell in cells.choose(words)]
        if list_:
            typer.echo(tables.listing(chosen, results))
        elif not (words or cost):
            _fail("Say which paper, such as vaekit reproduce burda2015; vaekit reproduce --list shows all cells.")
        elif cost:
            list(tqdm(costs.write(chosen, results), total=len(chosen), unit="cell"))
        elif preset:
            if len(chosen) != 1 or len(seed) != 1:
                _fail(f"A preset is one run of one cell; these options choose {len(chosen)} cells, {len(seed)} seeds.")
            kept = presets.keep(chosen[0], preset, seed[0], runs, results)
            typer.echo(f"Kept as {preset!r}; half precision changes log p(x) by {kept['check']['rounding']} nats.")
        else:
            groups = [list(seed)] if together else [[number] for number in seed]
            faults = 0
            for cell, group in itertools.product(chosen, groups):
                try:
                    for record in running.run_seeds(cell, group, epochs, runs, results):
                        typer.echo(tables.report(record))
                except (RuntimeError, ValueError) as error:  # the others go on
                    if len(chosen) == 1:
                        raise
                    faults += 1
                    text = str(error) if cell.name in str(error) else f"{cell.paper} {cell.name}: {error}"
                    typer.secho(text, fg="red", err=True)
            if faults:
                _fail(f"{faults} of {len(chosen) * len(groups)} runs could not be made; see above.")
    except KeyboardInterrupt:
        _fail("Stopped. The same command goes on from the last checkpoint.")
    except (ValueError, RuntimeError, OSError) as error:
        _fail(error)


@app.command()
def results(
    results: Annotated[Path, typer.Argument(help="Folder of records.")] = Path("results"),
    check: Annotated[bool, typer.Option(help="Only compare README.md there with the records.")] = False,
    note: Annotated[str, typer.Option(help="Why a figure is as it is: kept in the record given by --record.")] = None,
    record: Annotated[Path, typer.Option(help="The record that --note is for.")] = None,
):
    """Print the records beside the papers' values, as tables, and write them into the folder's README.md."""
    from vaekit.files import replacing
    from vaekit.reproduction import records, tables

    try:
        if (note is None) != (record is None):
            _fail('A note and its record go together: --record results/PAPER/CELL.json --note "why".')
        if record:
            dataclasses.replace(records.read(record), note=note).write(record.parent.parent)
        if check:
            if old := tables.stale(results):
                _fail(f"{', '.join(map(str, old))}: not what the records say. Run vaekit results.")
            return
        for path, text in tables.pages(results).items():
            with replacing(path) as stream:
                stream.write(text.encode())
        typer.echo(tables.markdown(results))
    except (ValueError, OSError) as error:
        _fail(error)


def _fail(message):
    typer.secho(str(message), fg="red", err=True)
    raise typer.Exit(code=1)
