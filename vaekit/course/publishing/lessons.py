"""Lessons as notebooks: edited as scripts, generated and executed from them.

`lessons/source/NN_name.py` (jupytext's percent format) is what people edit; `lessons/NN_name.ipynb` is what they read.
`build` makes the second from the first, `check` finds where the two have drifted apart. Both refuse whatever nbval,
which tests the committed outputs, would let pass in silence.

Solutions of exercises are executed and checked by the same functions.
"""

import hashlib
import os
import re
import sys
import tomllib
from collections import Counter
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory

try:
    import jupytext
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
except ImportError as error:
    raise ImportError(f"Notebooks need {error.name}: pip install 'vaekit[course]'") from error

from vaekit.course.lesson import SECONDS
from vaekit.files import replacing

COMPARED = "nbval-check-output"
RAISES = {"nbval-raises-exception", "raises-exception"}
FOLDED = "hide-input"  # code that only draws or plumbs, behind a click; so for the page, JupyterLab has its own key
TAGS = {COMPARED, FOLDED, "nbval-ignore-output", "nbval-skip", *RAISES}
DISPLAY = re.compile(r"\$\$.*?\$\$", re.DOTALL)
SECOND = re.compile(r"^# Second reading", re.MULTILINE)  # the part that a first reading leaves out
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
LARGEST = 1_500_000  # bytes
PROGRESS_BAR = re.compile(r"━━|\d%\|")  # of Keras, of tqdm
ADDRESS = re.compile(r" at 0x[0-9a-f]{6}")


class NotebookError(Exception):
    """Problems with scripts and their notebooks, a line each: which file, which cell, what is wrong."""


def sources(paths=("lessons",)) -> list[Path]:
    """Lists the scripts behind `paths`: scripts, notebooks, or directories of notebooks.

    A notebook without a script is listed by the script that it should have, so that `check` reports it.
    """
    scripts = []
    for path in map(Path, paths):
        if path.is_dir():
            stems = {file.stem for file in [*path.glob("*.ipynb"), *path.glob("source/*.py")]}
            scripts += sorted(path / "source" / f"{stem}.py" for stem in stems)
        elif path.suffix == ".ipynb":
            scripts.append(path.parent / "source" / f"{path.stem}.py")
        else:
            scripts.append(path)
    if not scripts:
        raise NotebookError(f"No lessons in {', '.join(map(str, paths))}: expected source/*.py there.")
    return scripts


def target(source: Path) -> Path:
    """`lessons/source/NN_name.py` → `lessons/NN_name.ipynb`."""
    return source.parent.parent / f"{source.stem}.ipynb"


def cells(source: Path) -> list[nbformat.NotebookNode]:
    """Reads the cells of a script in percent format.

    A cell's id is a hash of the script's name and the cell's content, so that editing one cell leaves all others as
    they were.
    """
    read, seen = jupytext.read(source, fmt="py:percent").cells, Counter()
    for cell in read:
        cell.source = cell.source.strip("\n")
        content = f"{source.stem}\n{cell.cell_type}\n{cell.source}"
        seen[content] += 1
        cell.id = hashlib.sha256(f"{content}\n{seen[content]}".encode()).hexdigest()[:12]
        cell.metadata = {key: value for key, value in cell.metadata.items() if not key.startswith("lines_to_")}
        if FOLDED in cell.metadata.get("tags", []):
            cell.metadata["jupyter"] = {"source_hidden": True}
    return read


def generate(source: Path) -> nbformat.NotebookNode:
    """Generates the notebook of one script, not executed.

    Raises:
        NotebookError: no such script, or a tag that nbval does not know.
    """
    if not source.is_file():
        raise NotebookError(f"{source}: no such source; {target(source).name} is generated from it.")
    notebook = nbformat.v4.new_notebook(metadata=METADATA, cells=cells(source))
    if (
        quiz := _quiz(source)
    ).is_file():  # its questions show in the outputs: a notebook made with another quiz has drifted
        notebook.metadata["quiz"] = hashlib.sha256(quiz.read_bytes()).hexdigest()[:12]
    refuse([f"{place(source, i, cell)}: {p}" for i, cell in enumerate(notebook.cells) for p in _source_problems(cell)])
    return notebook


def execute(notebook: nbformat.NotebookNode, source: Path, directory: Path, timeout: float = 3600) -> None:
    """Runs every code cell in a fresh kernel, and keeps the outputs.

    Training is never shortened here: VAEKIT_FAST is not passed on. The builder's own answers and progress are neither
    shown nor changed.

    Args:
        notebook: its cells receive their outputs.
        source: the script that it comes from, for messages.
        directory: where it is going to lie, and where its code runs.
        timeout: for one cell, in seconds.

    Raises:
        NotebookError: a cell fails, writes to stderr, or leaves an output that does not belong into a committed file.
    """
    client = NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        resources={"metadata": {"path": str(directory)}},
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
    )
    environment = {name: value for name, value in os.environ.items() if name != "VAEKIT_FAST"}
    with TemporaryDirectory() as scratch:
        environment |= {"VAEKIT_ANSWERS": f"{scratch}/answers.json", "VAEKIT_PROGRESS": f"{scratch}/progress.json"}
        with client.setup_kernel(env=environment):
            for count, (index, cell) in enumerate(_code(notebook), start=1):
                _execute_cell(client, cell, index, count, place(source, index, cell))


def _execute_cell(client, cell, index, count, where):
    try:
        client.execute_cell(cell, index, execution_count=count)
    except CellExecutionError as error:
        raise NotebookError(f"{where}: {error.ename}: {error.evalue}\n{error.traceback}") from None
    except CellTimeoutError:
        raise NotebookError(f"{where}: still running after {client.timeout:g} s.") from None
    except DeadKernelError:
        raise NotebookError(f"{where}: the kernel died, perhaps for want of memory.") from None
    for output in cell.outputs:
        output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)  # a random id
        if "alt" in cell.metadata and "image/png" in output.get("data", {}):
            output.metadata["image/png"] = {"alt": cell.metadata["alt"]}  # where JupyterLab and nbconvert look for it
        if output.output_type == "error":
            output.traceback = [f"{output.ename}: {output.evalue}"]  # without this machine's paths
    refuse([f"{where}: {problem}" for problem in _output_problems(cell)])


def build(source: Path) -> Path:
    """Generates, executes and writes the notebook of one script. On an error the old notebook stays as it was."""
    notebook, path, before = generate(source), target(source), _spent()
    execute(notebook, source, path.parent)
    notebook.metadata[SECONDS] = round(_spent() - before)
    state_minutes(notebook, notebook, source)
    save(path, text(notebook))
    return path


def _spent():
    """Processor seconds of this process's children that have ended, kernels among them."""
    times = os.times()
    return times.children_user + times.children_system


def minutes(part: list[nbformat.NotebookNode], quiz: dict) -> float:
    """Estimates how long a reader takes for some cells, in minutes.

    Words / 200, 8 seconds a line of code that is not folded away, 1 minute a picture, 2 a question (and its words),
    2.5 a line of a displayed formula. Calibrated on readings by newcomers with a pencil: 100 to 120 minutes for lesson
    01 without its second reading (by this formula 111), and about 100 for lesson 02 with what is its second reading
    now (94).

    Args:
        part: executed cells, whose pictures count.
        quiz: the questions of the lesson by name, as its TOML file has them.
    """
    words = seconds = 0
    for cell in part:
        if cell.cell_type == "markdown":
            displays = DISPLAY.findall(cell.source)
            words += len(DISPLAY.sub("", cell.source).split())
            seconds += 150 * sum(1 + display.count(r"\\") for display in displays)  # rows of an `aligned`
            continue
        for name in re.findall(r"""quiz\.ask\(["'](\w+)""", cell.source):
            words += len(str(quiz.get(name, "")).split())
            seconds += 120
        if FOLDED not in cell.metadata.get("tags", []):
            seconds += 8 * sum(bool(line.strip()) and "quiz." not in line for line in cell.source.split("\n"))
        seconds += 60 * sum("image/png" in output.get("data", {}) for output in cell.outputs)
    return words / 200 + seconds / 60


def state_minutes(notebook: nbformat.NotebookNode, executed: nbformat.NotebookNode, source: Path) -> None:
    """Replaces `{minutes}` and, where a part is headed `# Second reading`, `{second}` by what they take, to 5 minutes.

    Args:
        notebook: its texts receive the numbers.
        executed: the same notebook with its outputs.
        source: the script of both; its quiz counts.
    """
    quiz = tomllib.loads(_quiz(source).read_text(encoding="utf-8")) if _quiz(source).is_file() else {}
    texts = [cell.source if cell.cell_type == "markdown" else "" for cell in executed.cells]
    end = next((i for i, told in enumerate(texts) if SECOND.search(told)), len(texts))
    parts = {"{minutes}": executed.cells[:end], "{second}": executed.cells[end:]}
    stated = {name: str(max(5, 5 * round(minutes(part, quiz) / 5))) for name, part in parts.items()}
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for name, number in stated.items():
                cell.source = cell.source.replace(name, number)


def _quiz(source):
    """The file with the questions of a lesson."""
    return source.parent.parent / "quiz" / f"{source.stem.split('_')[0]}.toml"


def text(notebook: nbformat.NotebookNode) -> str:
    """The content of a notebook's file."""
    return nbformat.writes(notebook) + "\n"


def save(path: Path, content: str) -> None:
    """Writes a notebook's file and the directories above it, as a whole or not at all.

    Raises:
        NotebookError: it is too large.
    """
    refuse(_size_problems(path, len(content.encode())))
    with replacing(path) as stream:
        stream.write(content.encode())


def check(source: Path) -> list[str]:
    """Lists what is wrong with the committed notebook of one script. Executes nothing."""
    try:
        expected = generate(source)
    except NotebookError as error:
        return str(error).splitlines()
    return compare(target(source), expected, source, f"vaekit notebooks {source}")


def compare(path: Path, expected: nbformat.NotebookNode, source: Path, command: str) -> list[str]:
    """Lists what is wrong with a committed notebook: what differs from its script, was not executed, or went wrong.

    Args:
        path: of the committed notebook.
        expected: the notebook that the script generates, not executed.
        source: the script.
        command: builds the notebook.
    """
    if not path.is_file():
        return [f"{path}: missing. Run: {command}"]
    committed = nbformat.read(path, as_version=4)
    state_minutes(expected, committed, source)
    problems = _size_problems(path, path.stat().st_size)
    if {**committed.metadata, SECONDS: None} != {**expected.metadata, SECONDS: None}:
        problems.append(f"{path}: its metadata (quiz among them) are not those of its source. Run: {command}")
    for index, (old, new) in enumerate(zip_longest(committed.cells, expected.cells)):
        if old is None or new is None or any(old[k] != new[k] for k in ("id", "cell_type", "source", "metadata")):
            problems.append(f"{place(path, index, old or new)}: differs from {source}. Run: {command}")
            break
    for count, (index, cell) in enumerate(_code(committed), start=1):
        where = place(path, index, cell)
        if cell.execution_count != count:
            problems.append(f"{where}: executed as [{cell.execution_count or ' '}] where [{count}] was expected.")
        problems += [f"{where}: {problem}" for problem in _output_problems(cell)]
    return problems


def place(path, index, cell):
    """The place of a cell, for a message."""
    first_line = cell.source.strip().split("\n")[0]
    return f"{path}, cell {index + 1} ({first_line[:60]})"


def refuse(problems):
    """Raises a `NotebookError` if there are any problems."""
    if problems:
        raise NotebookError("\n".join(problems))


def _code(notebook):
    """The code cells that are not empty, with their indices."""
    return [(i, cell) for i, cell in enumerate(notebook.cells) if cell.cell_type == "code" and cell.source.strip()]


def _size_problems(path, size):
    message = f"{path}: {size / 1e6:.1f} MB, at most {LARGEST / 1e6} are allowed: fewer or smaller pictures."
    return [message] if size > LARGEST else []


def _source_problems(cell):
    tags = cell.metadata.get("tags", [])
    for tag in sorted(set(tags) - TAGS):  # nbval would ignore it
        yield f"unknown tag {tag!r}; known are {', '.join(sorted(TAGS))}."
    if re.search(r"#\s*NBVAL", cell.source):
        yield f"nbval is told by tags, not comments: tags=[{COMPARED!r}]."
    if COMPARED in tags and cell.source.rstrip().endswith(";"):
        yield "nbval sees the output that the last ';' hides from readers: assign it to a name instead."


def _output_problems(cell):
    tags = set(cell.metadata.get("tags", []))
    for output in cell.outputs:
        data = output.get("data", {})
        shown = output.get("text", "") + data.get("text/plain", "")
        if output.output_type == "error" and not tags & RAISES:
            yield f"fails: {output.ename}: {output.evalue}"
        if output.get("name") == "stderr":
            yield f"writes to stderr:\n{shown.rstrip()}"
        if PROGRESS_BAR.search(shown):
            yield "leaves a progress bar in its output: verbose=0 or 2."
        if ADDRESS.search(shown):
            yield f"shows an address in memory, another one at each run: {shown.strip()}"
        if sys.executable in shown:
            yield f"shows where Python lies on this machine, {sys.executable}: {shown.strip()}"
    if COMPARED in tags:
        if not cell.outputs:  # nbval would compare nothing
            yield f"is tagged {COMPARED} and has no output to compare."
        if any("image/svg+xml" in output.get("data", {}) for output in cell.outputs):
            yield "compares an SVG picture, whose ids are random: use PNG, which nbval leaves alone."
