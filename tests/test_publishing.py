"""Exercises are what their scripts say; answers and marks stay with the solutions."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
from typer.testing import CliRunner

from vaekit.cli import app
from vaekit.course import exercises
from vaekit.course.exercise import Exercise
from vaekit.course.publishing import exercises as publishing
from vaekit.course.publishing import scripts
from vaekit.course.publishing.lessons import NotebookError
from vaekit.course.publishing.nbgrader.notebooks import generate, release

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]
SMALL = Path(__file__).parent / "small_course"


def run(*arguments):
    return CliRunner().invoke(app, ["course", *map(str, arguments)])


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The small course, built by the command, once; its directory, and what the command printed."""
    directory = tmp_path_factory.mktemp("built")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exercises, "__path__", [*exercises.__path__, str(SMALL / "exercises")])
        patch.setenv("VAEKIT_SMALL_COURSE", str(SMALL / "exercises"))
        patch.setenv("VAEKIT_PROGRESS", str(directory / "progress.json"))
        shutil.copytree(SMALL / "solutions", directory / "solutions")
        done = run("build", directory)
    assert done.exit_code == 0, done.output
    return directory, done.output


@pytest.fixture
def course(built, tmp_path, monkeypatch):
    """A copy of the small course, built; its script."""
    monkeypatch.setattr(exercises, "__path__", [*exercises.__path__, str(SMALL / "exercises")])
    shutil.copytree(built[0], tmp_path, dirs_exist_ok=True)
    (script,) = publishing.sources(tmp_path)
    return script


def read(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def by_role(notebook):
    return {cell.metadata.nbgrader.grade_id: cell for cell in notebook.cells if "nbgrader" in cell.metadata}


# ---- the course


def test_exercises_are_what_their_sources_generate():
    assert publishing.check(publishing.sources(ROOT)) == []


@pytest.mark.parametrize("source", publishing.sources(ROOT), ids=lambda path: path.stem)
def test_stubs_raise_not_implemented_and_earn_nothing(source):
    notebook = read(publishing.targets(source)[1])
    exercise, namespace, answers = Exercise(source.stem.split("_")[0]), {}, []
    for cell in notebook.cells:
        role = cell.metadata.get("nbgrader", {})
        if cell.cell_type != "code" or role.get("grade"):
            continue
        if not role.get("solution"):
            if role.get("grade_id") == "given-1":
                exec(cell.source, namespace)
            continue
        answers.append(role.grade_id)
        assert "raise NotImplementedError" in cell.source and "SOLUTION" not in cell.source
        try:
            exec(cell.source, namespace)
        except NotImplementedError:  # a number's
            continue
        assert exercise.verdict(role.grade_id, namespace[role.grade_id]).diagnosis == "unanswered"
    assert answers == [name for name in answers if exercise.mark(name, namespace) == 0.0]
    assert sorted(answers) == sorted(exercise.questions)


# ---- from script to notebooks


@pytest.mark.thorough
def test_source_notebook(course):
    notebook = generate(course)
    assert notebook.metadata.vaekit == {"exercise": "99"}
    cells = by_role(notebook)
    assert list(cells) == ["given-1", "scaled", "scaled-test", "total", "total-test", "gap", "gap-test"]
    flags = {name: [cell.metadata.nbgrader[k] for k in ("grade", "solution", "locked")] for name, cell in cells.items()}
    assert flags["given-1"] == [False, False, True]
    assert flags["total"] == [False, True, False]
    assert flags["total-test"] == [True, False, True]
    assert [cells[f"{name}-test"].metadata.nbgrader.points for name in ("scaled", "total", "gap")] == [3, 2, 1]
    assert "exercise.check(total)" in cells["total-test"].source
    assert "exercise.check(gap=gap)" in cells["gap-test"].source
    assert cells["gap-test"].source.split("\n")[-2] == 'exercise.mark("gap", globals())'
    assert "nbgrader" not in notebook.cells[-1].metadata  # the learner's own
    explained = [cell for cell in notebook.cells if cell.metadata.get("tags") == ["solution"]]
    assert [cell.cell_type for cell in explained] == ["code", "markdown"]
    assert all("nbgrader" not in cell.metadata for cell in explained)


def test_release(course):
    path = publishing.targets(course)[1]
    cells, text = by_role(read(path)), path.read_text()
    for hidden in ("SOLUTION", "HIDDEN", "mark(", "ops.sum", "0.25", "xplained", "tags"):
        assert hidden not in text
    assert cells["total-test"].source == "exercise.check(total)"
    assert cells["total"].source == (
        'def total(x):\n    """[N, D] → [N]."""\n    raise NotImplementedError()  # your answer, in place of this line'
    )
    assert cells["gap"].source.split("\n")[0] == "gap = ..."
    assert all(not cell.metadata.get("editable", True) for name, cell in cells.items() if "test" in name)


def test_solutions_are_executed_and_plain(course):
    path = publishing.targets(course)[0]
    notebook, text = read(path), path.read_text()
    for clutter in ("SOLUTION", "HIDDEN", "mark(", "nbgrader", "tags", "question", "locked"):
        assert clutter not in text.replace("| question |", "")
    ids = [cell.id for cell in notebook.cells]
    cells = dict(zip(ids, notebook.cells, strict=True))
    for name, points in (("scaled", 3), ("total", 2), ("gap", 1)):
        assert ids.index(f"{name}-check") == ids.index(name) + 1
        (output,) = cells[f"{name}-check"].outputs
        assert f"{points} of {points} points" in output.data["text/markdown"]
    assert cells["total"].source == 'def total(x):\n    """[N, D] → [N]."""\n    return ops.sum(x, axis=-1)'
    assert cells["gap"].source == "gap = 0.25" and cells["gap-check"].source == "exercise.check(gap=gap)"
    (explained,) = [cell for cell in notebook.cells if "explained:" in cell.source]
    assert explained.outputs[0].text.startswith("explained: ") and "2.0" in explained.outputs[0].text


def test_building_leaves_the_builders_progress_alone(built):
    assert not (built[0] / "progress.json").exists()


def test_the_same_bytes_each_time(course):
    assert publishing.check([course]) == []
    assert publishing.released([course]) == publishing.released([course])
    assert publishing.solution(course) == publishing.solution(course)


def test_ids_are_local(course):
    before = generate(course).cells
    course.write_text(course.read_text().replace("room to play", "room").replace("0.25", "1/4"))
    after = generate(course).cells
    changed = [old.source for old, new in zip(before, after, strict=True) if old.id != new.id]
    assert changed == ['print("room to play")']  # an answer keeps its id with another solution


# ---- what is filled in


def fake(monkeypatch, **attributes):
    """Gives the small exercise's question `total` attributes of its own."""
    exercise = Exercise("99")
    total = SimpleNamespace(**{**vars(exercise.questions["total"]), **attributes})
    exercise.questions = {**exercise.questions, "total": total}
    monkeypatch.setattr(scripts, "Exercise", lambda number: exercise)


def total_cell(notebook):
    (cell,) = [cell for cell in notebook.cells if cell.id == "total"]
    return cell.source.split("\n")


EXPLICIT = "    ### BEGIN SOLUTION\n    return ops.sum(x, axis=-1)\n    ### END SOLUTION\n"
ANSWER = """
        if x.shape[-1] == 0:
            return 0

        return ops.sum(x, axis=-1)
"""


def test_table_and_headings(course):
    for notebook in (generate(course), read(publishing.targets(course)[0]), read(publishing.targets(course)[1])):
        texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
        assert texts[0] == f"# A small exercise\n\n{Exercise('99').table}"
        assert [text.split("\n")[0] for text in texts if text.startswith("## ")] == [
            "## 1 · Scaled",
            "## 2 · Total",
            "## 3 · Gap",
        ]


def test_answer(course, monkeypatch):
    fake(monkeypatch, answer=ANSWER)
    course.write_text(course.read_text().replace(EXPLICIT, "    ### SOLUTION\n"))
    lines = ["    if x.shape[-1] == 0:", "        return 0", "", "    return ops.sum(x, axis=-1)"]
    head = ["def total(x):", '    """[N, D] → [N]."""']
    assert total_cell(generate(course)) == [*head, "    ### BEGIN SOLUTION", *lines, "    ### END SOLUTION"]
    assert total_cell(publishing.solution(course)) == [*head, *lines]
    (text,) = publishing.released([course]).values()
    assert total_cell(nbformat.reads(text, 4))[2:] == [
        "    raise NotImplementedError()  # your answer, in place of this line"
    ]


@pytest.mark.parametrize("answer", [None, "", lambda x: x.sum(-1)])
def test_no_answer_to_fill_in(course, monkeypatch, answer):
    fake(monkeypatch, answer=answer)
    course.write_text(course.read_text().replace(EXPLICIT, "    ### SOLUTION\n"))
    with pytest.raises(NotebookError, match=r"cell \d+ \(def total.*question 'total' states no 'answer' as text: add"):
        generate(course)


def test_an_answer_that_is_no_python(course, monkeypatch):
    fake(monkeypatch, answer="return (")
    course.write_text(course.read_text().replace(EXPLICIT, "    ### SOLUTION\n"))
    with pytest.raises(NotebookError, match=r"\(def total.*an answer should be Python code"):
        generate(course)


def test_broken_code(course, monkeypatch):
    fake(monkeypatch, broken=ANSWER.replace("sum", "mean"))
    given = "\n\n# %%\ndef broken(x):\n    ### BROKEN total\n"
    course.write_text(course.read_text() + given)
    for notebook in (generate(course), publishing.solution(course)):
        lines = notebook.cells[-1].source.split("\n")
        assert lines == ["def broken(x):", "    if x.shape[-1] == 0:", "        return 0", "", lines[-1]]
        assert lines[-1] == "    return ops.mean(x, axis=-1)"


# ---- drift


@pytest.mark.parametrize("room", [0, 1])
def test_drift(course, room):
    path = publishing.targets(course)[room]
    path.write_text(path.read_text().replace("Add up", "Sum"))
    (problem,) = publishing.check([course])
    assert str(path) in problem and "differs" in problem and "vaekit course build --only 99" in problem
    path.unlink()
    assert "missing" in publishing.check([course])[0]


@pytest.mark.parametrize("change", [lambda text: text + b" ", lambda text: text.replace(b"\n", b"\r\n")])
def test_drift_of_a_byte(course, change):
    path = publishing.targets(course)[1]
    path.write_bytes(change(path.read_bytes()))
    assert len(publishing.check([course])) == 1


def _earn_less(cells):
    output = cells["total-check"].outputs[0]
    output.data["text/markdown"] = output.data["text/markdown"].replace("2 of 2", "1 of 2")


def _fail(cells):
    cells["scaled"].outputs = [nbformat.v4.new_output("error", ename="ValueError", evalue="no", traceback=[])]


@pytest.mark.parametrize(
    "change, problem",
    [
        (_earn_less, r"\(exercise.check\(total\)\): does not show full marks: .*1 of 2 points"),
        (lambda cells: cells["gap-check"].update(outputs=[]), r"gap=gap\)\): does not show full marks: no verdict"),
        (lambda cells: cells["gap"].update(execution_count=None), r"\(gap = 0.25\): executed as \[ \]"),
        (_fail, r"\(def scaled.*: fails: ValueError: no"),
        (lambda cells: cells["gap"].metadata.update(tags=["solution"]), r"\(gap = 0.25\): differs"),
    ],
)
def test_drift_of_solutions(course, change, problem):
    path = publishing.targets(course)[0]
    notebook = read(path)
    change({cell.id: cell for cell in notebook.cells})
    nbformat.write(notebook, path)
    with pytest.raises(NotebookError, match=problem):
        raise NotebookError("\n".join(publishing.check([course])))


def test_drift_of_points(course, monkeypatch):
    fake(monkeypatch, points=5)
    solution, exercise = publishing.check([course])  # both show them, in their tables
    assert "solutions/99" in solution and "exercises/99" in exercise


def test_a_notebook_without_a_script(course):
    course.unlink()
    (orphan,) = publishing.sources(course.parents[2])
    assert "no such script" in publishing.check([orphan])[0]


def test_sources(course, tmp_path):
    course.with_name("07_other.py").touch()
    assert [path.stem for path in publishing.sources(tmp_path)] == ["07_other", "99_small"]
    assert publishing.sources(tmp_path, ["99"]) == [course]
    with pytest.raises(NotebookError, match="No exercise 98 in .*; there are: 07, 99"):
        publishing.sources(tmp_path, ["98", "99"])
    with pytest.raises(NotebookError, match="expected solutions/source"):
        publishing.sources(tmp_path / "solutions")


# ---- what an author may get wrong


@pytest.mark.parametrize(
    "old, new, problem",
    [
        ('question="gap"', 'question="gop"', "there is no question 'gop'.*scaled, total, gap"),
        ('question="gap"', 'question="total"', "'total' is asked 2 times"),
        ('question="gap"', "", "'gap' is asked 0 times"),
        ('question="gap"', 'qestion="gap"', "nothing reads qestion"),
        ('question="gap"', "", r"\(gap = ...\): has a solution and answers no question"),
        ('tags=["solution"]', 'tags=["solutoin"]', "the only tag is 'solution'"),
        ('question="gap"', 'question="gap" tags=["solution"]', "the only tag is 'solution'"),
        ("### BEGIN SOLUTION", "### BEGIN", "between ### BEGIN SOLUTION and"),
        ('print("room', '### SOLUTION\nprint("room', "has a solution and answers no question"),
        ('print("room', '### BROKEN gop\nprint("room', "there is no question 'gop'; there are: scaled, total, gap"),
        ('print("room', '### BROKEN gap\nprint("room', "question 'gap' states no 'broken' as text: add it there"),
        ("## {gap}", "## {gop}", r"\(## \{gop\}\): there is no question 'gop'; there are: scaled"),
        ("{table}", "{tabel}", r"cell 1 .*nothing fills in \{tabel\}; known are \{table\}"),
        ("gap = ...", "gap = = 1", "should be Python code"),
        ("gap = ...", "### BEGIN HIDDEN TESTS\n### END HIDDEN TESTS", "hidden tests are added here"),
        ('exercise = Exercise("99")', "pass", "first code cell should contain: exercise = Exercise"),
    ],
)
def test_refused(course, old, new, problem):
    for path in publishing.targets(course):
        path.write_text("old")
    assert old in course.read_text()
    course.write_text(course.read_text().replace(old, new))
    with pytest.raises(NotebookError, match=problem):
        publishing.build(course)
    assert all(path.read_text() == "old" for path in publishing.targets(course))


def test_a_wrong_solution_is_not_written(course, monkeypatch):
    """The executed notebook is that of another day, when it was right."""
    path = publishing.targets(course)[0]
    executed = read(path)
    _earn_less({cell.id: cell for cell in executed.cells})
    monkeypatch.setattr(publishing, "execute", lambda notebook, *_: notebook.update(executed))
    before = path.read_bytes()
    with pytest.raises(NotebookError, match=r"99_small.py, cell \d+ \(exercise.check\(total\)\): does not show full"):
        publishing.build(course)
    assert path.read_bytes() == before


def test_no_such_exercise(course):
    with pytest.raises(NotebookError, match="98_small.*no exercise '98'"):
        generate(course.rename(course.with_name("98_small.py")))


def test_what_nbgrader_refuses_is_told(course):
    notebook = generate(course)
    notebook.cells[-1].source = "### BEGIN HIDDEN TESTS\n### END HIDDEN TESTS"
    with pytest.raises(NotebookError, match="Hidden test region detected in a non-grade cell"):
        release({"99_small": notebook})


# ---- commands


def test_command_build(built, course, tmp_path):
    assert "solutions/99_small/99_small.ipynb: " in built[1] and "exercises/99_small/99_small.ipynb" in built[1]
    assert "agree with their sources: 99_small" in run("build", tmp_path, "--check").output
    assert "agree with their sources: 99_small" in run("build", tmp_path, "--check", "--only", "99").output
    other = run("build", tmp_path, "--only", "98")
    assert other.exit_code == 1 and "there are: 99" in other.output
    course.unlink()
    assert run("build", tmp_path, "--check").exit_code == 1


def test_command_init(course, tmp_path):
    place = tmp_path / "class"
    done = run("init", place, "--solutions", tmp_path / "solutions")
    assert done.exit_code == 0 and "99_small" in done.output
    assert sorted(path.name for path in place.iterdir()) == ["README.md", "nbgrader_config.py", "source"]
    assert read(place / "source/99_small/99_small.ipynb") == generate(course)
    again = run("init", place, "--solutions", tmp_path / "solutions")
    assert again.exit_code == 1 and "not an empty directory" in again.output
    copied = run("init", tmp_path / "second", "--solutions", place / "source")  # notebooks of nbgrader's
    assert copied.exit_code == 0
    assert read(tmp_path / "second/source/99_small/99_small.ipynb") == generate(course)


def test_command_init_without_solutions(course, tmp_path):
    course.write_text(course.read_text().replace('question="gap"', ""))
    wrong = run("init", tmp_path / "class", "--solutions", tmp_path / "solutions")
    assert wrong.exit_code == 1 and "'gap' is asked 0 times" in wrong.output
    course.unlink()  # what is left are notebooks to read: nothing in them is marked
    for solutions in (tmp_path / "solutions", tmp_path / "nowhere"):
        none = run("init", tmp_path / "class", "--solutions", solutions)
        assert none.exit_code == 1 and "not with" in none.output
    assert not (tmp_path / "class").exists()
