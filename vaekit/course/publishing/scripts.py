"""Scripts of exercises: questions, answers and explanations in one file, each thing written once.

`solutions/source/NN_name.py` (jupytext's percent format) is what people edit. A cell that answers a question starts
with `# %% question="its_name"` and has its solution between `### BEGIN SOLUTION` and `### END SOLUTION`; cells that
explain the solution, text or code, are tagged: `# %% [markdown] tags=["solution"]`.

What `vaekit/course/exercises` states already is filled in. A line that is nothing but

- `{table}`, in a text, becomes the table of the questions;
- `## {its_name}`, in a text, becomes the heading of a question, its number and its title;
- `### SOLUTION`, in an answer, becomes the question's `answer` between `### BEGIN SOLUTION` and `### END SOLUTION`;
- `### BROKEN its_name`, in code, becomes the question's `broken` code, which learners are to mend.

Code takes the indentation of the line that it stands for.
"""

import ast
import re
import textwrap
from collections import Counter
from pathlib import Path

from vaekit.course.exercise import Exercise
from vaekit.course.publishing.lessons import NotebookError, cells, nbformat, place, refuse

MARKERS = ["### BEGIN SOLUTION", "### END SOLUTION"]


def read(source: Path) -> tuple[Exercise, list[nbformat.NotebookNode]]:
    """Reads the exercise and the cells of a script; what the exercise states is filled in.

    Raises:
        NotebookError: no such script, or what would otherwise show only in a class: a question that is not asked, one
            that there is not, an answer without a solution to take out, a key that nothing reads.
    """
    if not source.is_file():
        raise NotebookError(f"{source}: no such script; {source.stem}.ipynb is generated from it.")
    try:
        exercise = Exercise(source.stem.split("_")[0])
    except ValueError as error:
        raise NotebookError(f"{source}: {error}") from None
    filled, problems = cells(source), []
    for index, cell in enumerate(filled):
        try:
            cell.source = "\n".join(_fill(line, cell, exercise) for line in cell.source.split("\n"))
        except NotebookError as error:
            problems.append(f"{place(source, index, cell)}: {error}")
    refuse(problems)
    refuse([*_problems(source, filled, exercise)])
    return exercise, filled


def name_of(cell) -> str | None:
    """The name of the question that a cell answers, or None."""
    return cell.metadata.get("question")


def check_call(cell, name) -> str:
    """The line that checks a cell's answer: a function or class is passed, a value is passed by its name."""
    definitions = (ast.FunctionDef, ast.ClassDef)
    defined = any(isinstance(node, definitions) and node.name == name for node in ast.parse(cell.source).body)
    return f"exercise.check({name if defined else f'{name}={name}'})"


# ---- what an exercise states


def _fill(line, cell, exercise):
    """The line, or what is to stand in its place."""
    if cell.cell_type == "markdown":
        if line == "{table}":
            return exercise.table
        if heading := re.fullmatch(r"(#+) \{(\w+)\}", line):
            question = _question(exercise, heading[2])
            return f"{heading[1]} {1 + list(exercise.questions).index(question.name)} · {question.title}"
        if re.fullmatch(r"\{\w+\}", line):
            raise NotebookError(f"nothing fills in {line}; known are {{table}} and, as headings, {_names(exercise)}.")
        return line
    indent, code = re.match(r"( *)(.*)", line).groups()
    if broken := re.fullmatch(r"### BROKEN\b(.*)", code):
        return _code(_question(exercise, broken[1].strip()), "broken", indent)
    if code == "### SOLUTION" and name_of(cell) in exercise.questions:
        answer = _code(exercise.questions[name_of(cell)], "answer", indent)
        return "\n".join([indent + MARKERS[0], answer, indent + MARKERS[1]])
    return line


def _code(question, attribute, indent):
    """Code that a question states, indented."""
    code = getattr(question, attribute, None)
    if not isinstance(code, str) or not code.strip():
        instead = f", or write the solution between {MARKERS[0]} and {MARKERS[1]}" if attribute == "answer" else ""
        raise NotebookError(f"question {question.name!r} states no {attribute!r} as text: add it there{instead}.")
    return textwrap.indent(textwrap.dedent(code).strip("\n").rstrip(), indent)


def _question(exercise, name):
    if name not in exercise.questions:
        raise NotebookError(f"there is no question {name!r}; there are: {_names(exercise)}.")
    return exercise.questions[name]


def _names(exercise):
    return ", ".join(exercise.questions)


# ---- what is refused


def _problems(source, filled, exercise):
    """Lists what is wrong with a script."""
    answers = Counter(map(name_of, filled))
    for name in exercise.questions:
        if (times := answers[name]) != 1:
            yield f"{source}: question {name!r} is asked {times} times; expected one cell: # %% question={name!r}"
    first = next((cell for cell in filled if cell.cell_type == "code"), None)
    setup = f'exercise = Exercise("{exercise.number}")'
    if first is None or setup not in first.source or name_of(first):
        yield f"{source}: the first code cell should contain: {setup}"
    for index, cell in enumerate(filled):
        for problem in _cell_problems(cell, exercise):
            yield f"{place(source, index, cell)}: {problem}"


def _cell_problems(cell, exercise):
    name = name_of(cell)
    if unknown := set(cell.metadata) - {"question", "locked", "tags"}:
        yield f"nothing reads {', '.join(sorted(unknown))}; known are question, locked and tags."
    if cell.metadata.get("tags", ["solution"]) != ["solution"] or ("tags" in cell.metadata and name):
        yield "the only tag is 'solution', for what explains an answer, not for the answer."
    markers = [line.strip() for line in cell.source.split("\n") if " SOLUTION" in line]
    if name is None:
        if markers:
            yield "has a solution and answers no question; start it with # %% question=..."
        return
    if name not in exercise.questions:
        yield f"there is no question {name!r}; there are: {_names(exercise)}."
    if cell.cell_type != "code" or not _parses(cell.source):
        yield "an answer should be Python code."
    elif markers != MARKERS * (len(markers) // 2) or not markers:
        yield f"the solution should stand between {MARKERS[0]} and {MARKERS[1]}, or be filled in: ### SOLUTION."
    if "HIDDEN TESTS" in cell.source:
        yield "hidden tests are added here, and only behind answers."


def _parses(code):
    try:
        return bool(ast.parse(code).body)
    except SyntaxError:
        return False
