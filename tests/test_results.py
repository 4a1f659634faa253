"""Records as tables, what cells cost, trained models that come with vaekit."""

import dataclasses
import json
from pathlib import Path

import keras
import numpy as np
import pytest

import vaekit as vk
from vaekit import papers
from vaekit.papers import presets
from vaekit.papers.cell import FIGURES, Cell, Figure
from vaekit.reproduction import costs, packing, records, runs, tables

RESULTS = Path(__file__).parent.parent / "results"
PRESETS = [(name, preset) for name in papers.__all__ for preset in getattr(papers, name).PRESETS.names]


def tiny(**options):
    """A cell of burda2015 on digits, of a few units and epochs."""
    burda = papers.burda2015
    settings = dataclasses.replace(burda.SETTINGS, hidden=8, latents=4, batch_size=100)
    first = burda.CELLS[0]
    return dataclasses.replace(
        first,
        **dict(
            options={**first.options, "data": "dynamic_digits"},
            epochs=4,
            settings=settings,
            build=lambda data, layers, objective, samples, **how: burda.one_layer(data, vk.objectives.IWAE(2), **how),
            fit=burda.fit,
            measure=lambda model, data, seed, progress, checkpoint: {
                "NLL": Figure(model.evaluate(data.test, seed=seed)["loss"], 0.5)
            },
        )
        | options,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Of a finished run."""
    folder = tmp_path_factory.mktemp("done")
    runs.run(tiny(), epochs=2, runs=folder / "runs", results=folder / "results", progress=False)
    return folder


@pytest.fixture
def record(folder):
    (record,) = records.read_all(folder / "results")
    return record


def test_pages_are_what_the_records_say():
    assert RESULTS.is_dir() and records.read_all(RESULTS)
    assert tables.stale(RESULTS) == [], "run vaekit results"


def test_every_record_is_of_a_cell_and_reports_what_the_paper_reports():
    for record in records.read_all(RESULTS):
        cell = next(c for c in getattr(papers, record.paper).CELLS if c.options == record.cell).vary(record.varied)
        assert record.name == cell.name and record.table == cell.table
        settings = json.loads(json.dumps(dataclasses.asdict(cell.settings)))
        assert record.settings and record.settings.items() <= settings.items()  # some came after the run
        assert {k: v["paper"] for k, v in record.figures.items() if v["paper"] is not None} == cell.reported
        assert record.ran_on[0]["commit"] and record.seconds["training"] > 0 and record.data["images"]["test"] > 0
        if record.curves["epoch"]:
            assert record.curves["epoch"][-1] == record.epochs


def test_numbers_as_text():
    assert tables.number(-88.561) == "−88.56" and tables.number([26, 7]) == "26+7" and tables.number(None) == ""
    assert [tables.duration(s) for s in (12.3, 600, 7200)] == ["12 s", "10 min", "2.0 h"]


def test_mean_and_difference_over_seeds(record):
    def of(value, seed=0, epochs=4):
        figures = {"NLL": {"ours": value, "standard_error": 0.25, "paper": 86.0}}
        return dataclasses.replace(record, figures=figures, seed=seed, epochs=epochs, differs="")

    assert tables.ours("NLL", [of(87.0)]) == "87.00 ± 0.25"
    assert tables.difference("NLL", [of(87.0)]) == "+1.00 worse"
    assert tables.difference("NLL", [of(85.25)]) == "−0.75 better"
    assert tables.difference("NLL", [of(85.5, epochs=3)]) == "−0.50"  # of 4: not comparable
    assert tables.difference("NLL", [dataclasses.replace(of(85.5), differs="other data")]) == "−0.50"
    assert tables.ours("NLL", [of(85.0), of(87.0, 1)]) == "86.00 (± 1.41, 2 seeds)"
    assert tables.difference("NLL", [of(85.0), of(87.0, 1)]) == "0.00"
    assert tables.difference("NLL", [of(86.4)]) == "+0.40"  # within two standard errors
    assert tables.difference("active units", [of(85.0)]) == ""


def test_a_short_run_says_so_and_a_note_is_shown(record, tmp_path):
    assert "2 of 4 epochs" in tables.report(record)
    noted = dataclasses.replace(record, note="Two epochs are not enough.")
    path = noted.write(tmp_path / "results")
    assert records.read(path) == noted
    text = tables.markdown(tmp_path / "results")
    assert "Two epochs are not enough." not in text  # its cell is not one of the paper's


def test_a_varied_run_stands_below_its_cell(record, tmp_path, monkeypatch):
    monkeypatch.setattr(papers.burda2015, "CELLS", [tiny()])
    whole = dataclasses.replace(record, schedule=2)
    whole.write(tmp_path)
    for changes in ({"latents": 5, "stages": 2}, {"latents": 5}):
        name = tiny().vary(changes).name
        dataclasses.replace(whole, varied=changes, name=name, differs="").write(tmp_path)
    text = tables.markdown(tmp_path)
    assert "Run so far: 1 of 1 cells." in text and "worse" not in text.split("## burda2015")[1].split("## dieng2018")[0]
    rows = [line.split("](")[0] for line in text.splitlines() if line.startswith("| [")]
    name = "| [dynamic_digits-1-vae-1"
    assert rows == [name, f"{name}+latents=5", f"{name}+latents=5+stages=2"]


def test_exact_figures_are_not_a_papers(record, tmp_path, monkeypatch):
    monkeypatch.setattr(papers.burda2015, "CELLS", [tiny(reference="exact")])
    figures = {"NLL": {"ours": 87.0, "standard_error": 0.25, "paper": 86.0}}
    whole = dataclasses.replace(record, schedule=2, figures=figures, differs="")
    assert whole.comparable and tables.difference("NLL", [whole]) == "+1.00 worse"
    exact = dataclasses.replace(whole, reference="exact")
    assert tables.difference("NLL", [exact]) == "+1.00" and "exact 86.00   +1.00" in tables.report(exact)
    exact.write(tmp_path)
    assert "| cell | figure | exact | ours |" in tables.markdown(tmp_path)
    assert len(tables.summary(tmp_path).splitlines()) == 2  # the head alone


def test_readme_gets_a_summary_where_it_has_a_place(tmp_path):
    (tmp_path / "README.md").write_text(f"before\n{tables.BEGIN}\nold\n{tables.END}\nafter\n")
    (tmp_path / "results").mkdir()
    first = records.read_all(RESULTS)[0]
    dataclasses.replace(first, schedule=first.epochs).write(tmp_path / "results")
    pages = tables.pages(tmp_path / "results")
    text = pages[tmp_path / "README.md"]
    assert text.startswith(f"before\n{tables.BEGIN}\n| paper") and text.endswith(f"{tables.END}\nafter\n")
    assert first.paper in text and "old" not in text
    assert len(tables.stale(tmp_path / "results")) == 2


def test_the_list_has_every_cell():
    cells = [cell for name in papers.__all__ for cell in getattr(papers, name).CELLS]
    lines = tables.listing(cells, RESULTS).splitlines()
    for cell in cells:
        (line,) = (
            line for line in lines if line.split()[:1] == [cell.name] or line.strip().startswith(cell.name + "  ")
        )
        assert all(name in line for name in cell.reported)
        assert not cell.missing or cell.missing in line
    first, alone = cells[0], tables.listing(cells[:1], "nowhere")  # a folder without records
    assert first.name in alone and all(name in alone for name in first.reported)


def test_every_cell_has_its_cost():
    counts = costs.read(RESULTS)
    for name in papers.__all__:
        for cell in getattr(papers, name).CELLS:
            counted = counts[f"{name}/{cell.name}"]
            assert (counted is None) == bool(cell.missing)
            assert counted is None or counted > 1e12


def test_counted_operations():
    units = [20, 30, 5]  # x, hidden, z
    batch, products = 7, sum(a * b for a, b in zip(units, units[1:], strict=False))
    encoder = keras.Sequential([keras.layers.Dense(30), vk.layers.DiagonalNormal(5)])
    decoder = keras.Sequential([keras.layers.Dense(30), vk.layers.Bernoulli((20,))])
    model = vk.VAE(encoder, decoder)
    model.build((None, 20))
    model.compile("sgd")
    if vk.backend.NAME == "tensorflow":
        with pytest.raises(RuntimeError, match='KERAS_BACKEND to "jax"'):
            model.count_operations(np.zeros((batch, 20), "float32"))
        return
    found = model.count_operations(np.zeros((batch, 20), "float32"))
    # forward, and by inputs and by weights backward: 3 products of 2 operations (by x: not needed); two heads of z
    exact = 2 * batch * (3 * (2 * products + 30 * 5) - 20 * 30)
    assert exact < found < 1.5 * exact


@pytest.mark.thorough
@pytest.mark.once
def test_images_are_those_of_the_data_sets(mirror):
    for name, (images, shape, _) in costs.IMAGES.items():
        place = next(a for a in vk.datasets.available() if a.name == name)
        if place.where.startswith("mirror"):
            train = vk.datasets.load(name).train
            assert (len(train), train.shape[1:]) == (images, shape), name


def test_a_preset_is_the_run_in_half_precision(folder, tmp_path, monkeypatch):
    cell = tiny()
    monkeypatch.setattr(papers.burda2015, "CELLS", [cell])
    places = dict(folder=folder / "runs", results=folder / "results", to=tmp_path)
    kept = packing.pack(cell, "tiny", 0, **places)
    ours = presets.Presets("burda2015", tmp_path)
    assert ours.names == ["tiny"] and ours.record("tiny") == kept and kept["epochs"] == 2
    model, trained = ours.load("tiny"), cell.model(cell.load(), 0)
    runs.load_weights(trained, folder / "runs" / "burda2015" / "dynamic_digits-1-vae-1-seed0" / runs.WEIGHTS)
    for mine, theirs in zip(model.get_weights(), trained.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=2**-11, atol=1e-7)
    assert packing.check(model, cell.load())["log p(x)"] == pytest.approx(kept["check"]["log p(x)"], abs=2e-3)
    assert abs(kept["check"]["rounding"]) < 0.05
    with pytest.raises(ValueError, match="no trained model 'other'; there are: 'tiny'"):
        ours.load("other")
    with pytest.raises(runs.RunError, match="no finished run"):
        packing.pack(cell, "tiny", 1, **places)
    monkeypatch.setattr(packing, "BYTES", 100)
    with pytest.raises(runs.RunError, match="at most"):
        packing.pack(cell, "large", 0, **places)
    assert ours.names == ["tiny"]


@pytest.mark.once
def test_presets_say_what_their_runs_records_say():
    trained = sorted(presets.FOLDER.glob("*/*.json"))
    of_runs = 0
    for path in trained:
        preset = json.loads(path.read_text(encoding="utf-8"))
        record = RESULTS / preset["paper"] / f"{preset['name']}-seed{preset['seed']}.json"
        if record.exists():  # a preset for a lesson has none
            run, of_runs = json.loads(record.read_text(encoding="utf-8")), of_runs + 1
            for key in ("figures", "epochs", "settings", "note"):
                assert preset[key] == run[key], f"{path.name} and {record.name} differ in {key}"
    assert of_runs > len(trained) / 2


@pytest.mark.thorough
@pytest.mark.alternate
@pytest.mark.parametrize("paper, name", PRESETS)
def test_presets_load_without_data(paper, name, monkeypatch, tmp_path):
    monkeypatch.delenv("VAEKIT_DATA", raising=False)
    monkeypatch.setenv("VAEKIT_CACHE", str(tmp_path))
    module = getattr(papers, paper)
    model = module.load(name)
    assert np.isfinite(model.sample(2, seed=0)).all()
    assert (module.PRESETS.folder / f"{name}.npz").stat().st_size <= packing.BYTES
    assert set(module.record(name)["figures"]) <= set(FIGURES)


def test_every_paper_has_a_preset():
    assert {paper for paper, _ in PRESETS} == set(papers.__all__)


SLOW_ON_JAX = ("rybkin2020",)  # convolutions on a processor


@pytest.mark.thorough
@pytest.mark.alternate
@pytest.mark.parametrize(
    "paper, name", [pytest.param(*p, marks=[pytest.mark.once] * (p[0] in SLOW_ON_JAX)) for p in PRESETS]
)
def test_presets_give_their_likelihoods_again(paper, name, mirror):
    module = getattr(papers, paper)
    record = module.record(name)
    expected = record["check"]
    found = packing.check(module.load(name), vk.datasets.load(record["data"]["name"]), samples=expected["samples"])
    assert found["every"] == expected["every"]
    differ = np.subtract(found["log p(x)"], expected["log p(x)"])  # other noise on the other backend
    assert abs(differ.mean()) < 4 * differ.std() / len(differ) ** 0.5 + 0.05
    assert np.std(differ) < 0.1 * np.std(expected["log p(x)"])


def test_cells_without_a_model_say_why():
    assert all(cell.missing for name in papers.__all__ for cell in getattr(papers, name).CELLS if cell.build is None)
    assert Cell("p", "t", {"data": "d", "k": 1}, {}).name == "d-1"
