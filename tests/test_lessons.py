"""Lessons are what their sources say, and nothing slips through nbval unseen."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from vaekit.course import epochs, holds
from vaekit.course.publishing import lessons as notebooks
from vaekit.course.publishing.lessons import NotebookError
from vaekit.papers.dieng2018 import text

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]


@pytest.fixture
def lesson(tmp_path):
    """Writes the source of a lesson."""
    source = tmp_path / "lessons" / "source" / "00_first.py"
    source.parent.mkdir(parents=True)

    def write(text):
        source.write_text(text)
        return source

    return write


def commit(source, *outputs):
    """Writes the notebook of a source as though its code cells had been executed with these outputs."""
    notebook = notebooks.generate(source)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for count, (cell, output) in enumerate(zip(code, outputs, strict=True), start=1):
        cell.execution_count, cell.outputs = count, output
    nbformat.write(notebook, notebooks.target(source))
    return notebook


def edit(source, change):
    """Changes the committed notebook behind its source's back, then checks it."""
    notebook = nbformat.read(notebooks.target(source), as_version=4)
    change(notebook)
    nbformat.write(notebook, notebooks.target(source))
    return "\n".join(notebooks.check(source))


def shows(text):
    return [nbformat.v4.new_output("execute_result", {"text/plain": text}, execution_count=1)]


def prints(text, name="stdout"):
    return [nbformat.v4.new_output("stream", name=name, text=text)]


COMPARED = '# %% tags=["nbval-check-output"]\n'
TWO_CELLS = f"# %% [markdown]\n# # First\n\n{COMPARED}1 + 1\n\n# %%\nx = 1\n"


def test_the_lessons_agree_with_their_sources():
    sources = notebooks.sources([ROOT / "lessons"])
    assert [problem for source in sources for problem in notebooks.check(source)] == []


def _quoted(lesson, name):
    source = (ROOT / f"lessons/source/{lesson}.py").read_text(encoding="utf-8")
    return ast.literal_eval(re.search(name + r" = (\{.*?\n\})", source, re.DOTALL)[1])


def _recorded(data, model, prior):
    return json.loads((ROOT / f"results/tomczak2017/{data}-{model}-{prior}-seed0.json").read_text())


@pytest.mark.parametrize("lesson", ["06_vampprior", "07_hierarchies_and_pixelcnn"])
def test_lessons_quote_the_records(lesson):
    for (data, model), pair in _quoted(lesson, "OURS").items():
        for prior, value in zip(("standard", "vampprior"), pair, strict=True):
            figures = _recorded(data, model, prior)["figures"]
            (ours,) = (figures[name]["ours"] for name in ("log p(x)", "bits/dim") if name in figures)
            assert value in (round(ours, 2), round(ours, 3)), (data, model, prior)


def test_lesson_06_quotes_other_records():
    source = (ROOT / "lessons/source/06_vampprior.py").read_text(encoding="utf-8")
    name = "caltech101_silhouettes-vae-{}+he_initialization=True-seed0"
    records = [ROOT / f"results/tomczak2017/{name.format(prior)}.json" for prior in ("standard", "vampprior")]
    figures = [json.loads(path.read_text())["figures"]["log p(x)"]["ours"] for path in records]
    assert "HE = ({:.2f}, {:.2f})".format(*figures) in source
    others = {
        "caltech101_silhouettes-hvae-standard+he_initialization=True": 1,
        "static_mnist-hvae-mixture": 2,
        "static_mnist-hvae-vampprior_data": 1,
    }
    for name, digits in others.items():
        record = json.loads((ROOT / f"results/tomczak2017/{name}-seed0.json").read_text())
        assert f"${record['figures']['log p(x)']['ours']:.{digits}f}" in source


def test_lesson_04_quotes_the_records():
    rows, seconds = _quoted("04_importance_weighted_autoencoders", "EQUAL"), {}
    for name, row in rows.items():
        model, k, *gradient = name.replace("k = ", "").split(", ")
        varied = "+gradient=dreg" * bool(gradient)
        record = json.loads(
            (ROOT / f"results/burda2015/static_mnist-1-{model.lower()}-{k}{varied}-seed0.json").read_text()
        )
        figures = [record["figures"][key]["ours"] for key in ("NLL", "active units", "effective sample size")]
        assert (round(figures[0], 2), figures[1], round(figures[2], 1)) == row and record["epochs"] == 40, name
        if model == "IWAE" and not gradient:
            seconds[int(k)] = round(record["seconds"]["training"] / 40, 1)
            assert "Xeon" in record["ran_on"][0]["machine"] and " 2 cores" not in record["ran_on"][0]["machine"]
    source = (ROOT / "lessons/source/04_importance_weighted_autoencoders.py").read_text(encoding="utf-8")
    assert f"SECONDS = {seconds}" in source


def test_lesson_07_quotes_the_prices_of_layers():
    for prior, quoted in _quoted("07_hierarchies_and_pixelcnn", "RECORDED").items():
        record = _recorded("static_mnist", "hvae", prior)
        prices = [round(record["curves"][f"val_kl_{name}"][-1], 1) for name in ("z1", "z2")]
        assert (*prices, *record["figures"]["active units"]["ours"]) == quoted


def test_lesson_08_quotes_the_records():
    source = (ROOT / "lessons/source/08_posterior_collapse.py").read_text(encoding="utf-8")
    quoted = ast.literal_eval(re.search(r"OURS = (\{.*?\n\})", source, re.DOTALL)[1])
    for (layers, model, varied), row in quoted.items():
        name = f"dynamic_mnist-mlp-{layers}-50-{model.lower()}{'+' * bool(varied)}{varied}-seed0"
        figures = json.loads((ROOT / f"results/dieng2018/{name}.json").read_text())["figures"]
        assert tuple(round(figures[key]["ours"], 2) for key in ("ELBO", "KL", "active units")) == row, name


def test_lesson_09_quotes_the_records():
    folder = ROOT / "results/dieng2018"
    for cell, row in _quoted("09_text", "OURS").items():
        record = json.loads((folder / f"grammar-{cell.lower()}-seed0.json").read_text())
        figures = [record["figures"][name]["ours"] for name in ("perplexity", "ELBO", "KL", "MI")]
        shares = [round(record["figures"][f"{name} kept"]["ours"]) for name in ("topic", "tense")]
        assert (*(round(value, 2) for value in figures), *shares, record["epochs"]) == row, cell
    for cell, row in _quoted("09_text", "LONG").items():
        record = json.loads((folder / f"grammar-vae-32+{cell}-seed0.json").read_text())
        figures = [record["figures"][name]["ours"] for name in ("ELBO", "KL", "MI", "perplexity")]
        shares = [record["figures"][f"{name} kept"]["ours"] for name in ("topic", "tense")]
        assert (*(round(value, 2) for value in figures), *(round(share) for share in shares)) == row, cell
        assert record["epochs"] == 20
    published, *ours = _quoted("09_text", "TREEBANK").values()
    assert (*published, None, None) == text.TREEBANK["VAE-32"]
    for ppl, elbo, epochs_ in ours:
        record = json.loads((folder / "ptb-vae-32-seed0.json").read_text())
        figures = [round(record["figures"][name]["ours"], 2) for name in ("perplexity", "ELBO")]
        assert [ppl, elbo, epochs_] == [*figures, f"{record['epochs']} of {record['schedule']} epochs"]


def test_lesson_10_quotes_the_records():
    for decoder, row in _quoted("10_calibrated_decoders", "OURS").items():
        record = json.loads((ROOT / f"results/rybkin2020/mnist-vae-{decoder}-seed0.json").read_text())
        figures = [record["figures"][name]["ours"] for name in ("−ELBO", "KL", "FID, LeNet features")]
        assert (*(round(value, 2) for value in figures), record["epochs"]) == row, decoder


def test_lesson_11_says_which_prior_the_records_prefer():
    learned, fixed = (
        json.loads((ROOT / f"results/rybkin2020/moving_digits-svg-{name}-seed0.json").read_text())["figures"]
        for name in ("optimal", "fp-optimal")
    )
    better = fixed["−ELBO a frame"]["ours"] - learned["−ELBO a frame"]["ours"]
    assert better > 4 * max(figures["−ELBO a frame"]["standard_error"] for figures in (learned, fixed))


def test_epochs(monkeypatch):
    for value, expected in (("", 100), ("0", 100), ("1", 1)):
        monkeypatch.setenv("VAEKIT_FAST", value)
        assert epochs(100) == expected
    assert epochs(100, fast=3) == 3
    monkeypatch.delenv("VAEKIT_FAST")
    assert epochs(100) == 100


def test_holds(monkeypatch):
    monkeypatch.setenv("VAEKIT_FAST", "0")
    holds(True, 1 < 2)
    with pytest.raises(AssertionError, match="claim 2 of 3"):
        holds(True, False, True)
    monkeypatch.setenv("VAEKIT_FAST", "1")
    holds(False)


def test_sources(lesson):
    source = lesson(TWO_CELLS)
    directory = source.parent.parent
    for path in (directory, source, notebooks.target(source)):
        assert notebooks.sources([path]) == [source]
    (directory / "01_orphan.ipynb").touch()
    source, orphan = notebooks.sources([directory])
    assert "no such source" in notebooks.check(orphan)[0]


# ---- identity -------------------------------------------------------------------------------------------------------


def test_ids_are_stable_and_local(lesson):
    first = [cell.id for cell in notebooks.generate(lesson(TWO_CELLS)).cells]
    again = [cell.id for cell in notebooks.generate(lesson(TWO_CELLS)).cells]
    edited = [cell.id for cell in notebooks.generate(lesson(TWO_CELLS.replace("1 + 1", "1 + 2"))).cells]
    assert first == again
    assert [old == new for old, new in zip(first, edited, strict=True)] == [True, False, True]
    twins = notebooks.generate(lesson("# %%\nx = 1\n\n# %%\nx = 1\n"))
    nbformat.validate(twins)
    assert twins.cells[0].id != twins.cells[1].id


def test_formatting_of_the_source_leaves_no_trace(lesson):
    assert notebooks.generate(lesson("# %%\nx = 1\n# %%\ny = 1\n")) == notebooks.generate(
        lesson("# %%\nx = 1\n\n\n\n# %%\ny = 1\n")
    )


# ---- minutes --------------------------------------------------------------------------------------------------------

TIMED = f"""# %% [markdown]
# # First
# {{minutes}} minutes, then {{second}}. {"word " * 795}
#
# $$\\begin{{aligned}} a &= b \\\\ &= c \\end{{aligned}}$$

# %%
quiz.ask("why")

# %%
x = 1
# a line

# %% tags=["hide-input"]
x = 1

# %% [markdown]
# # Second reading
# {"word " * 2000}
"""


def test_minutes(lesson):
    source = lesson(TIMED)
    quiz = source.parent.parent / "quiz" / "00.toml"
    quiz.parent.mkdir()
    quiz.write_text('[why]\nquestion = "' + "word " * 600 + '"')
    picture = [nbformat.v4.new_output("display_data", {"image/png": "", "text/plain": ""})]
    notebook = commit(source, [], [], picture)
    first, second = notebook.cells[:-1], notebook.cells[-1:]
    questions = {"why": {"question": "word " * 600}}
    assert notebooks.minutes(first, questions) == pytest.approx(4 + 2 * 2.5 + 2 + 3 + 2 * 8 / 60 + 1, abs=0.1)
    assert notebooks.minutes(second, questions) == pytest.approx(10, abs=0.1)
    notebooks.state_minutes(notebook, notebook, source)
    assert "15 minutes, then 10." in notebook.cells[0].source


def test_stated_minutes_drift(lesson):
    source = lesson("# %% [markdown]\n# {minutes} minutes\n\n# %%\nx = 1\n")
    commit(source, [])
    assert "differs" in edit(source, lambda n: None)
    assert edit(source, lambda n: n.cells[0].update(source="5 minutes")) == ""
    assert "differs" in edit(source, lambda n: n.cells[0].update(source="10 minutes"))


def test_folded_cells(lesson):
    (cell,) = notebooks.generate(lesson('# %% tags=["hide-input"]\nx = 1\n')).cells
    assert cell.metadata == {"tags": ["hide-input"], "jupyter": {"source_hidden": True}}


# ---- drift ----------------------------------------------------------------------------------------------------------


def test_agreement(lesson):
    source = lesson(TWO_CELLS)
    commit(source, shows("2"), [])
    assert notebooks.check(source) == []


def test_drift_of_quiz(lesson):
    source = lesson(TWO_CELLS)
    quiz = source.parent.parent / "quiz" / "00.toml"
    quiz.parent.mkdir()
    quiz.write_text('[a]\nquestion = "?"')
    commit(source, shows("2"), [])
    assert notebooks.check(source) == []
    quiz.write_text('[a]\nquestion = "!"')
    assert "quiz" in "".join(notebooks.check(source))


@pytest.mark.parametrize(
    "changed, cell",
    [
        (TWO_CELLS.replace("1 + 1", "1 + 2"), "cell 2 (1 + 1)"),
        (TWO_CELLS.replace('"nbval-check-output"', ""), "cell 2 (1 + 1)"),
        (TWO_CELLS + "\n# %%\ny = 1\n", "cell 4 (y = 1)"),
        (TWO_CELLS.replace("# # First", "# # Last"), "cell 1 (# First)"),
    ],
)
def test_drift_names_the_cell(lesson, changed, cell):
    source = lesson(TWO_CELLS)
    commit(source, shows("2"), [])
    (problem,) = notebooks.check(lesson(changed))
    assert "00_first.ipynb" in problem and cell in problem and "differs" in problem


def test_drift_of_metadata(lesson):
    source = lesson(TWO_CELLS)
    commit(source, shows("2"), [])
    assert "metadata" in edit(source, lambda notebook: notebook.metadata.update(author="?"))
    source = lesson(TWO_CELLS)
    commit(source, shows("2"), [])
    assert "differs" in edit(source, lambda notebook: notebook.cells[2].metadata.update(collapsed=True))


# ---- what nbval would let pass --------------------------------------------------------------------------------------


def test_cells_run_out_of_order(lesson):
    source = lesson(TWO_CELLS)
    commit(source, shows("2"), [])
    assert "executed as [7] where [2]" in edit(source, lambda n: n.cells[2].update(execution_count=7))


def test_compared_cell_that_was_never_run(lesson):
    source = lesson(TWO_CELLS)
    commit(source, shows("2"), [])
    problems = edit(source, lambda n: n.cells[1].update(execution_count=None, outputs=[]))
    assert "executed as [ ] where [1]" in problems and "no output to compare" in problems


@pytest.mark.parametrize("cell", ['# %% tags=["nbval-check-ouput"]\n1', '# %% [markdown] tags=["nbval"]\n# text'])
def test_misspelt_tag(lesson, cell):
    source = lesson(cell)
    with pytest.raises(NotebookError, match=r"00_first.py, cell 1 .*unknown tag .*nbval-check-output"):
        notebooks.generate(source)
    assert "unknown tag" in notebooks.check(source)[0]


def test_marker_in_a_comment(lesson):
    with pytest.raises(NotebookError, match="by tags, not comments"):
        notebooks.generate(lesson("# %%\n# NBVAL_CHEK_OUTPUT\n1\n"))


def test_semicolon_in_a_compared_cell(lesson):
    with pytest.raises(NotebookError, match="';'"):
        notebooks.generate(lesson(f"{COMPARED}1 + 1;\n"))


@pytest.mark.parametrize(
    "outputs, problem",
    [
        ([], "no output to compare"),
        ([nbformat.v4.new_output("error", ename="NameError", evalue="x", traceback=[])], "fails: NameError: x"),
        (prints("warning", name="stderr"), "stderr:\nwarning"),
        ([nbformat.v4.new_output("display_data", {"image/svg+xml": "<svg/>", "text/plain": "x"})], "SVG"),
        (prints("10/10 ━━━━━━━━━━ 0s"), "progress bar"),
        (shows(" 50%|█████     | 5/10"), "progress bar"),
        (shows("<object at 0x7f3a00112233>"), "address"),
        (shows(f"CompletedProcess(args=['{sys.executable}'])"), "where Python lies"),
        (shows("x" * 1_600_000), "1.6 MB"),
    ],
)
def test_outputs_that_do_not_belong_into_a_compared_cell(lesson, outputs, problem):
    source = lesson(f"{COMPARED}1 + 1\n")
    commit(source, outputs)
    found = "\n".join(notebooks.check(source))
    assert problem in found and "00_first.ipynb" in found


def test_outputs_are_compared_as_they_are():
    """nbval's sanitizer drops a rule that replaces by nothing, so the lessons do without it."""
    plugin = pytest.importorskip("nbval.plugin")
    assert len(plugin.get_sanitize_patterns("regex: a\nreplace: b\n")) == 1
    assert plugin.get_sanitize_patterns("regex: a\nreplace:\n") == []
    assert "sanitize" not in (ROOT / "Makefile").read_text()


def nbval(source, *options):
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "-p", "no:cacheprovider", "-rx"]
    arguments = [*command, *options, str(notebooks.target(source))]
    return subprocess.run(arguments, cwd=source.parent, capture_output=True, text=True)


@pytest.mark.thorough
def test_nbval_fails_after_a_timeout(lesson):
    """Cells after one that timed out are expected to fail; the run as a whole fails all the same."""
    source = lesson("# %%\nimport time\n\ntime.sleep(60)\n\n# %%\nassert False\n")
    commit(source, [], [])
    run = nbval(source, "--nbval-cell-timeout=1")
    assert run.returncode == 1 and "1 failed, 1 xfailed" in run.stdout


# ---- execution ------------------------------------------------------------------------------------------------------

FULL = f"""# %% [markdown]
# # First

{COMPARED}import os
from pathlib import Path

progress = Path(os.environ["VAEKIT_PROGRESS"])
print(Path.cwd().name, os.environ.get("VAEKIT_FAST"), progress.exists())
progress.touch()
1 + 1

# %% tags=["raises-exception"]
1 / 0

# %%
from ipywidgets import IntSlider

IntSlider()
"""


@pytest.mark.thorough
def test_build(lesson, monkeypatch, tmp_path):
    monkeypatch.setenv("VAEKIT_FAST", "1")
    monkeypatch.setenv("VAEKIT_PROGRESS", str(tmp_path / "progress.json"))
    source = lesson(FULL)
    path = notebooks.build(source)
    assert notebooks.check(source) == []
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert 0 <= notebook.metadata.pop(notebooks.SECONDS) < 100 and notebook.metadata == notebooks.METADATA
    _, compared, raising, widget = notebook.cells
    assert compared.metadata == {"tags": ["nbval-check-output"]}  # no time stamps
    assert compared.outputs[0].text == "lessons None False\n" and compared.outputs[1].data == {"text/plain": "2"}
    assert raising.outputs[0].traceback == ["ZeroDivisionError: division by zero"]
    assert list(widget.outputs[0].data) == ["text/plain"]
    first = path.read_text()
    again = notebooks.build(source).read_text()
    without = re.compile(rf'"{notebooks.SECONDS}": \d+')
    assert without.sub("", again) == without.sub("", first)
    assert not (tmp_path / "progress.json").exists()  # the builder's own

    monkeypatch.delenv("VAEKIT_FAST")
    assert nbval(source).returncode == 0
    edit(source, lambda n: n.cells[1].outputs[1].data.update({"text/plain": "3"}))
    assert "1 failed, 2 passed" in nbval(source).stdout


@pytest.mark.parametrize(
    "cell, problem",
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import warnings\n\nwarnings.warn('careful')", "writes to stderr:\n.*careful"),
        ("import os, time\n\nos.write(2, b'native chatter')\ntime.sleep(1)", "writes to stderr:\nnative chatter"),
        ("x = 1", "no output to compare"),
    ],
)
def test_build_fails_and_leaves_the_old_notebook(lesson, monkeypatch, cell, problem):
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # under which kernels do not watch their file descriptors
    source = lesson(f"# %%\nx = 0\n\n{COMPARED}{cell}\n")
    notebooks.target(source).write_text("old")
    with pytest.raises(NotebookError, match=rf"(?s)00_first.py, cell 2 \({cell[:5]}.*{problem}"):
        notebooks.build(source)
    assert notebooks.target(source).read_text() == "old"


def test_a_cell_that_does_not_end(lesson):
    source = lesson("# %%\nimport time\n\ntime.sleep(60)\n")
    with pytest.raises(NotebookError, match="cell 1 .*still running after 1 s"):
        notebooks.execute(notebooks.generate(source), source, source.parent, timeout=1)
