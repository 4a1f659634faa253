"""The gallery's recipes run as they stand, with a single epoch, on both backends; its notebooks and page are theirs."""

import ast
from pathlib import Path

import jupytext
import pytest

import vaekit as vk
from vaekit.course.publishing import gallery, lessons

GALLERY = Path(__file__).parents[1] / "gallery"
RECIPES = sorted(GALLERY.glob("source/*.py"))


@pytest.mark.once
def test_notebooks_and_page_agree_with_the_sources():
    assert [problem for source in RECIPES for problem in lessons.check(source)] == []
    assert gallery.check(GALLERY) == []


@pytest.mark.once
@pytest.mark.parametrize("source", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_short(source):
    first, *cells = lessons.generate(source).cells
    assert first.source.startswith(f"# {source.stem[:2]} · ") and first.source.count(". ") + 1 <= 3
    code = [cell for cell in cells if cell.cell_type == "code" and "hide-input" not in cell.metadata.get("tags", [])]
    assert sum(bool(line.strip()) for cell in code for line in cell.source.split("\n")) <= 40
    assert "**What to watch.**" in cells[-1].source
    assert sum("alt" in cell.metadata for cell in cells) == 1


@pytest.mark.thorough
@pytest.mark.alternate  # in one process, since a kernel for each would take longer to start than to run it
@pytest.mark.parametrize("source", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_runs(source, monkeypatch, tmp_path):
    monkeypatch.setenv("VAEKIT_FAST", "1")  # what its text claims needs all epochs
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    fit = vk.LatentVariableModel.fit
    monkeypatch.setattr(vk.LatentVariableModel, "fit", lambda *args, **options: fit(*args, **{**options, "epochs": 1}))
    space, shown = {}, None
    for cell in jupytext.read(source, fmt="py:percent").cells:
        if cell.cell_type == "code":
            tree = ast.parse(cell.source)
            last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
            exec(compile(tree, source, "exec"), space)
            shown = eval(compile(ast.Expression(last.value), source, "eval"), space) if last else shown
    assert shown._repr_png_()
