"""Lessons and exercises as notebooks, progress, marks."""

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Annotated

import typer

from vaekit.cli.app import app, fail


@app.command()
def start(
    directory: Annotated[Path, typer.Argument(help="Of your own; vaekit-course unless given.")] = None,
    lab: Annotated[bool, typer.Option("--open/--no-open", help="Open JupyterLab, or only copy.")] = True,
):
    """Copy lessons and exercises into a folder of your own, and open JupyterLab on the first lesson.

    The next start keeps what you have changed, and says what is new. A notebook that you delete comes back fresh.
    """
    from vaekit.course import jupyter, material

    if directory is None:
        directory = Path("." if Path(material.RECORD).exists() else "vaekit-course")
    first = not (directory / material.RECORD).exists()
    try:
        copied = material.copy(directory)
    except (ValueError, OSError) as error:
        fail(error)
    _tell(directory, copied, first)
    if not lab:
        return
    try:
        command, environment = jupyter.command(directory)
    except ImportError as error:
        fail(f"{error}. Or open the folder with another program for notebooks.")
    typer.echo("JupyterLab opens on lesson 00. To end it, press Ctrl+C twice here; to come back: vaekit start.")
    _become(command, environment)


def _tell(directory, copied, first):
    """Prints what was copied into a learner's folder."""
    if first and not copied.kept:
        lessons = sum(path.parts[0] == "lessons" for path in copied.new)
        typer.echo(
            f"In {directory.resolve()}, yours to change: {lessons} lessons, {len(copied.new) - lessons} exercises."
        )
        return
    for what, paths in (("new", copied.new), ("updated", copied.updated), ("new version", copied.beside)):
        for path in paths:
            typer.echo(f"{what}: {directory / path}")
    if copied.kept:
        typer.echo(f"Kept as you left them: {', '.join(path.name for path in copied.kept)}")
    if not (copied.new or copied.updated or copied.beside):
        typer.echo(f"Nothing is new in {directory.resolve()}.")


def _become(command, environment):
    """Runs a command in place of this process, whose backend takes memory; on Windows beside it."""
    if os.name == "posix":
        os.execve(command[0], command, environment)
    process = subprocess.Popen(command, env=environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the other one
    raise typer.Exit(code=process.wait())


@app.command()
def notebooks(
    paths: Annotated[
        list[str] | None, typer.Argument(help="Sources, notebooks or directories (lessons and gallery).")
    ] = None,
    check: Annotated[bool, typer.Option(help="Only compare the notebooks with their sources.")] = False,
):
    """Generate notebooks of lessons and recipes from their sources and execute them, or check that they still agree."""
    try:
        from vaekit.course.publishing import gallery
        from vaekit.course.publishing import lessons as tool
    except ImportError as error:
        fail(error)
    try:
        sources = tool.sources(paths or ["lessons", *(["gallery"] if Path("gallery").is_dir() else [])])
        galleries = {source.parent.parent for source in sources if source.parent.parent.name == "gallery"}
        if check:
            problems = [problem for source in sources for problem in tool.check(source)]
            problems += [problem for directory in galleries for problem in gallery.check(directory)]
            if problems:
                fail("\n".join(problems))
            typer.echo(f"{len(sources)} notebooks agree with their sources.")
            return
        for source in sources:
            start = time.perf_counter()
            built = tool.build(source)
            typer.echo(f"{built}: {time.perf_counter() - start:.0f} s, {built.stat().st_size / 1e6:.2f} MB")
        for directory in galleries:
            for path, content in gallery.pages(directory).items():
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content)
    except (tool.NotebookError, ValueError) as error:
        fail(error)


course = typer.Typer(help="Exercises as notebooks; a class directory for nbgrader; reports.", no_args_is_help=True)
app.add_typer(course, name="course")


@course.command()
def build(
    directory: Annotated[Path, typer.Argument(help="A copy of the course's repository.")] = Path("."),
    check: Annotated[bool, typer.Option(help="Only compare the notebooks with their sources.")] = False,
    only: Annotated[list[str] | None, typer.Option(help="Number of an exercise, such as 01; all unless given.")] = None,
):
    """Generate solutions/, executed, and exercises/ from solutions/source, or check that they still agree.

    Instructors' tables of what there is, in exercises/instructors, are written or checked with them.
    """
    try:
        from vaekit.course.publishing import exercises as tool
        from vaekit.course.publishing import instructors
        from vaekit.course.publishing.lessons import save
    except ImportError as error:
        fail(error)
    try:
        sources = tool.sources(directory, only or ())
        if check:
            if problems := [*tool.check(sources), *instructors.check(directory)]:
                fail("\n".join(problems))
            typer.echo(f"Exercises agree with their sources: {', '.join(source.stem for source in sources)}.")
            return
        for source in sources:
            start = time.perf_counter()
            solution, exercise = tool.build(source)
            typer.echo(f"{solution}: {time.perf_counter() - start:.0f} s, {solution.stat().st_size / 1e6:.2f} MB")
            typer.echo(exercise)
        for page, text in instructors.pages(directory).items():
            save(page, text)
    except (tool.NotebookError, OSError) as error:
        fail(error)


@course.command()
def init(
    directory: Annotated[Path, typer.Argument(help="Of the class, to be made.")],
    solutions: Annotated[
        Path | None, typer.Option(help="Folder with source/NN_name.py, if not those of this course.")
    ] = None,
):
    """Lay out a class directory: nbgrader's configuration, the exercises with their solutions, instructions."""
    try:
        from vaekit.course.publishing import nbgrader
        from vaekit.course.publishing.lessons import NotebookError
    except ImportError as error:
        fail(error)
    try:
        names = nbgrader.init(directory, solutions)
    except (NotebookError, OSError) as error:
        fail(error)
    typer.echo(f"{directory} is ready for nbgrader:")
    typer.echo("  nbgrader_config.py  how it releases, grades, and gives feedback")
    typer.echo(f"  source/             with solutions: {', '.join(names)}")
    typer.echo("  README.md           the commands")
    typer.echo(f"Next: cd {directory} && nbgrader generate_assignment {names[0]}")


@course.command()
def report(
    marks: Annotated[Path, typer.Argument(help="Folder that `vaekit grade FOLDER --out` wrote.")],
    out: Annotated[Path, typer.Option(help="File to write, NAME.md or NAME.csv; printed unless given.")] = None,
):
    """Report on a class, question by question: tried, mean points, frequent diagnoses, and what to do about them."""
    try:
        from vaekit.course.grader import class_report
    except ImportError as error:
        fail(f"{error}. Reports need the course's packages: pip install 'vaekit[course]'")
    from vaekit.files import replacing

    formats = {".md": class_report.as_markdown, ".csv": class_report.as_csv}
    if out and out.suffix not in formats:
        fail(f"Expected --out with a name that ends in .md or .csv; received {str(out)!r}.")
    try:
        rows = class_report.read(marks)
        if not any(row["earned"] is not None for row in rows):
            fail(f"No notebook in {str(marks)!r} was graded, so there is nothing to report.")
        text = formats[out.suffix if out else ".md"](rows)
        if not out:
            typer.echo(text, nl=False)
            return
        with replacing(out) as stream:
            stream.write(text.encode())
        typer.echo(f"{out}: a report on {len({row['learner'] for row in rows})} notebooks.")
    except (class_report.ReportError, OSError) as error:
        fail(error)


@app.command("progress")
def show_progress():
    """How far you have come in the exercises: the best that each answer has earned."""
    from vaekit.course.exercise import Exercise, progress
    from vaekit.course.questions.question import points

    for number, shares in progress().items():
        exercise = Exercise(number)
        earned = sum(exercise.questions[name].points * share for name, share in shares.items())
        typer.echo(f"{number}  {exercise.title}: {points(earned)} of {points(exercise.points)} points")
        for name, share in shares.items():
            question, full = exercise.questions[name], int(10 * round(share, 6))  # down: a full bar is all right
            score = f"{points(question.points * share)} of {points(question.points)}"
            typer.echo(f"    {'█' * full}{'░' * (10 - full)}  {score:>9}  {question.title}")


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
    again: Annotated[list[str] | None, typer.Option(help="Of a folder: a name in marks.csv, graded once more.")] = None,
):
    """Grade a notebook, or a folder of them: points, what is wrong, hints. Their code runs shut in.

    Exit status 1 if something could not be graded, whatever the points.
    """
    try:
        from vaekit.course.grader.errors import GradingError
        from vaekit.course.grader.usage import Limits
    except ImportError as error:
        fail(f"{error}. Grading needs the course's packages: pip install 'vaekit[course]'")
    memory, disk = int(memory * 2**30), int(disk * 2**20)
    limits = Limits(cell_seconds, notebook_seconds, memory, disk, processes)
    if not path.exists():
        fail(f"There is no {str(path)!r}; expected a notebook or a folder of notebooks.")
    if path.is_dir() != bool(out) or (html and out):
        fail("A folder is graded with --out FOLDER for its marks and feedback, a notebook without, maybe with --html.")
    if again and not out:
        fail("--again names submissions of a folder. A notebook by itself is graded each time.")
    _stop_in_order()
    try:
        if out:
            unmarked = _grade_class(path, out, hints, jobs, limits, seed, require_isolation, again)
            raise typer.Exit(code=int(unmarked > 0))
        _grade_one(path, html, hints, limits, seed, require_isolation)
    except GradingError as error:
        fail(f"{path}: {error}")
    except KeyboardInterrupt:
        fail("Stopped. The same command goes on after what is done." if out else "Stopped.")
    except OSError as error:
        fail(error)


def _stop_in_order():
    """What ends a program from outside is taken as Ctrl-C is, unless it is to be ignored (`nohup`)."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has one of them
        if number and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


def _grade_one(path, html, hints, limits, seed, require_isolation):
    """Grades a notebook, prints what it is worth, and writes the page if there is to be one."""
    from vaekit.course.exercise import Exercise
    from vaekit.course.grader.grade import grade_notebook
    from vaekit.course.grader.report import page, text
    from vaekit.files import replacing

    report = grade_notebook(path, limits, seed, require_isolation)
    exercise = Exercise(report.exercise)
    typer.echo(text(report, exercise, hints))
    if html:
        with replacing(html) as stream:
            stream.write(page(report, exercise, path.stem, hints).encode())


def _grade_class(path, out, hints, jobs, limits, seed, require_isolation, again):
    """Grades a folder, prints a line for each notebook, and returns how many could not be graded."""
    from vaekit.course.grader.folder import duplicates, grade_folder
    from vaekit.course.grader.marks import edited
    from vaekit.course.grader.notebook import clean
    from vaekit.course.grader.report import isolation

    done, unmarked, before = 0, 0, edited(out)
    for name, record in grade_folder(path, out, jobs, limits, seed, require_isolation, hints, again or ()):
        if not done and record.get("exposed"):
            typer.echo(isolation(record["exposed"]))
        done, unmarked = done + 1, unmarked + bool(record["problem"])
        outcome = record["problem"] or f"{record['earned']:g} of {record['points']:g} points"
        typer.echo(f"{clean(name)}: {outcome}")
    if not done:
        fail(f"There are no notebooks in {str(path)!r}.")
    for name in edited(out) - before:
        typer.echo(f"marks.csv had been edited: it is kept as {name}, and marks.csv is the grader's again.")
    for names in duplicates(path):
        typer.echo(f"The same content: {', '.join(map(clean, names))}")
    typer.echo(f"{done - unmarked} of {done} notebooks graded: {out / 'marks.csv'}, feedback in {out / 'feedback'}.")
    return unmarked
