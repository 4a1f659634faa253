"""Runs of papers' cells: killed at any moment they come to the same; everything that is wrong is said in one line."""

import dataclasses
import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from killed_run import CELL
from typer.testing import CliRunner

import vaekit as vk
from vaekit import cli, datasets, files, papers
from vaekit.papers.cell import FIGURES, Cell, Figure, table
from vaekit.reproduction import RecordError, RunError, choice, queue, records, runs
from vaekit.training import checkpoint
from vaekit.training.checkpoint import CheckpointError

CELLS = [cell for name in papers.__all__ for cell in getattr(papers, name).CELLS]


# ---------------------------------------------------------------- killed


@pytest.fixture
def start():
    """`start(folder)` runs the cell of killed_run.py in a process of its own."""
    script, processes = str(Path(__file__).with_name("killed_run.py")), []

    def start(folder):
        command = [sys.executable, script, str(folder)]
        processes.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def wait_for_another_file(process, path):
    """Until a running process has replaced the checkpoint."""
    before, late = path.stat().st_mtime_ns if path.exists() else None, time.monotonic() + 300
    while not path.exists() or path.stat().st_mtime_ns == before:
        assert process.poll() is None and time.monotonic() < late
        time.sleep(0.001)


@pytest.mark.thorough
@pytest.mark.once  # what a file holds is put back on both: test_checkpoint.py
def test_a_run_that_is_killed_comes_to_the_same(start, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run, record = Path("runs", CELL.paper, f"{CELL.name}-seed0"), Path("results", CELL.paper, f"{CELL.name}-seed0.json")
    path, process = killed / run / "training.npz", start(killed)
    wait_for_another_file(process, path)
    time.sleep(0.05)
    process.kill()
    assert process.wait() == -signal.SIGKILL and not (killed / record).exists()
    assert 0 < checkpoint.read(path)[0]["epochs"] < CELL.epochs  # amid training
    process = start(killed)
    runs.run(CELL, runs=whole / "runs", results=whole / "results", progress=False)
    _, error = process.communicate(timeout=300)
    assert process.returncode == 0, error

    one, other = records.read(whole / record), records.read(killed / record)
    for field in {field.name for field in dataclasses.fields(records.Record)} - {"seconds", "finished"}:
        assert getattr(one, field) == getattr(other, field), field
    assert one.epochs == CELL.epochs == len(one.curves["val_bound"])
    assert one.figures["log p(x)"]["standard_error"] > 0
    one, other = (np.load(folder / run / runs.WEIGHTS) for folder in (whole, killed))
    assert one.files == other.files and len(one.files) > 10
    for name in one.files:
        assert one[name].tobytes() == other[name].tobytes(), name
    assert {p.name for p in (killed / run).iterdir()} - {"lock"} == {"run.json", "training.npz", "weights.npz"}


# ---------------------------------------------------------------- tiny runs within this process

burda = papers.burda2015
SETTINGS = dataclasses.replace(burda.SETTINGS, hidden=4, latents=2, batch_size=400)


@pytest.fixture(scope="module")
def compiled():
    """One model for all runs of this file, whose programs are compiled once; put back to its beginning."""
    keras.utils.set_random_seed(0)
    data = vk.datasets.load("dynamic_digits")
    model = burda.one_layer(data, vk.objectives.ELBO(), SETTINGS, seed=0)
    model.compile(model.optimizer, model.objective, jit_compile=False)  # each run's seed makes TensorFlow forget XLA's
    model.build_optimizer()
    variables = [*model.variables, *model.optimizer.variables]
    beginning = [keras.ops.convert_to_numpy(v).copy() for v in variables]

    def build(data, **options):
        for variable, value in zip(variables, beginning, strict=True):
            variable.assign(value)
        return model

    return build


@pytest.fixture
def tiny(compiled, tmp_path, monkeypatch):
    """A cell; runs and results go to the working directory, which is empty."""
    monkeypatch.chdir(tmp_path)

    def measure(model, data, seed=0, progress=True, checkpoint=None):
        return {"NLL": Figure(model.evaluate(data.validation, batch_size=300, seed=seed, verbose=0)["loss"])}

    return Cell(
        paper="burda2015",
        table="tests",
        options=dict(data="dynamic_digits", layers=1, objective="vae", samples=1),
        reported={"NLL": 20.0, "active units": 2},
        epochs=3,
        build=compiled,
        fit=burda.fit,
        measure=measure,
        settings=SETTINGS,
        examples=800,  # 2 steps an epoch
    )


FOLDER = Path("runs/burda2015/dynamic_digits-1-vae-1-seed0")
RECORD = Path("results/burda2015/dynamic_digits-1-vae-1-seed0.json")


def content():
    """Every file under the working directory; a lock comes and goes."""
    return {p: p.read_bytes() for p in Path().rglob("*") if p.is_file() and p.name != "lock"}


def never(*_, **__):
    raise AssertionError("this should not be called")


def test_a_run_that_is_done_is_not_repeated(tiny, capsys):
    record = runs.run(tiny)
    assert "dynamic_digits-1-vae-1-seed0" in capsys.readouterr().err  # its bar
    assert record.epochs == record.schedule == 3 and not record.stopped_early and record.curves["epoch"] == [1, 2, 3]
    assert record.figures["active units"] == {"ours": None, "standard_error": None, "paper": 2}
    assert record.figures["NLL"]["paper"] == 20.0 and record.figures["NLL"]["ours"] > 0
    before = content()
    assert set(before) == {RECORD, *(FOLDER / name for name in ("run.json", "training.npz", "weights.npz"))}
    done = dataclasses.replace(tiny, build=never, fit=never, measure=never)
    assert runs.run(done) == record == records.read(RECORD) and content() == before
    with pytest.raises(
        RunError, match="3 epochs already, more than the 2 asked for. .*--epochs, or name other folders"
    ):
        runs.run(tiny, epochs=2, progress=False)
    assert content() == before
    more = runs.run(tiny, epochs=5, progress=False)
    assert more.epochs == 5 and more.curves["loss"][:3] == record.curves["loss"] and records.read(RECORD) == more


def test_what_was_cut_off_while_measuring_is_not_trained_again(tiny):
    def interrupted(*_, checkpoint, **__):
        checkpoint.write_bytes(b"the first half")
        raise KeyboardInterrupt

    def continued(*data, checkpoint, **options):
        assert checkpoint.read_bytes() == b"the first half"
        return tiny.measure(*data, **options)

    with pytest.raises(KeyboardInterrupt):
        runs.run(dataclasses.replace(tiny, measure=interrupted), progress=False)
    trained = content()
    assert set(trained) == {FOLDER / name for name in ("run.json", "training.npz", "measured-3.npz")}
    assert runs.run(dataclasses.replace(tiny, measure=continued), progress=False).epochs == 3
    assert content()[FOLDER / "training.npz"] == trained[FOLDER / "training.npz"]
    assert not (FOLDER / "measured-3.npz").exists()


@pytest.mark.once
def test_two_runs_in_one_folder_are_refused(tiny):
    messages = []

    def meanwhile(model, data, **options):
        with pytest.raises(RunError, match=r"Another run works in '.*seed0'\. Wait for it, or give") as caught:
            runs.run(dataclasses.replace(tiny, fit=never), progress=False)
        messages.append(caught.value)
        return tiny.fit(model, data, **options)

    assert runs.run(dataclasses.replace(tiny, fit=meanwhile), progress=False).epochs == 3 and messages
    assert runs.run(tiny, epochs=4, progress=False).epochs == 4  # the lock is open again


@pytest.mark.once
def test_what_a_killed_process_was_writing_is_cleared_away(tiny):
    FOLDER.mkdir(parents=True)
    (FOLDER / "training.npz.0123.part").write_bytes(b"half of it")
    runs.run(tiny, progress=False)
    assert not list(FOLDER.glob("*.part"))


@pytest.mark.once
def test_a_folder_of_another_run_is_refused(tiny):
    runs.run(tiny, epochs=1, progress=False)
    marks = FOLDER / "run.json"
    good = marks.read_text()
    others = {
        "settings": {**json.loads(good)["settings"], "hidden": 5},
        "seed": 1,
        "backend": "numpy",
        "cell": {"data": "digits"},
    }
    wrong = {name: json.dumps({**json.loads(good), name: value}) for name, value in others.items()}
    damaged = ["", good[:-2], "[]", "1", "null", '"run"', "\x00" * 20]
    for text in (*wrong.values(), *damaged):
        marks.write_text(text)
        before = content()
        with pytest.raises(RunError, match="nothing was changed") as caught:
            runs.run(dataclasses.replace(tiny, fit=never), progress=False)
        assert content() == before
        name = next((name for name, other in wrong.items() if other == text), None)
        message = str(caught.value)
        assert (f"its {name} is" in message) if name else "run.json' is damaged. Move the folder away" in message
    marks.write_text(good)
    assert runs.run(tiny, epochs=2, progress=False).epochs == 2


@pytest.mark.once
def test_a_varied_cell_is_a_run_of_its_own(tiny, monkeypatch):
    tiny = dataclasses.replace(tiny, quirks=burda.NONE)
    monkeypatch.setattr(runs, "_check_model", lambda cell, seed: None)  # its one model has no settings
    runs.run(tiny, epochs=1, progress=False)
    before, met = content(), []

    def build(data, settings, quirks, **options):
        met.append((settings, quirks))
        return tiny.build(data, settings=settings, quirks=quirks, **options)

    def fit(model, data, epochs, settings, **options):
        met.append(settings)
        return tiny.fit(model, data, epochs=epochs, settings=settings, **options)

    changes = {"batch_size": 200, "equal_heads": True, "hidden": SETTINGS.hidden, "epsilon": 1}
    varied = dataclasses.replace(tiny, build=build, fit=fit, after=tiny).vary(changes)
    assert varied.varied == {"batch_size": 200, "equal_heads": True, "epsilon": 1.0} == varied.after.varied
    varied = dataclasses.replace(varied, after=None)
    record = runs.run(varied, epochs=1, progress=False)
    settings = dataclasses.replace(SETTINGS, batch_size=200, epsilon=1.0)
    assert met == [(settings, dataclasses.replace(burda.NONE, equal_heads=True)), settings]
    assert record.name == "dynamic_digits-1-vae-1+batch_size=200+equal_heads=True+epsilon=1.0"
    assert record.varied == varied.varied and record.settings["batch_size"] == 200
    assert records.read(Path("results") / record.path) == record
    assert all(content()[path] == value for path, value in before.items())  # the cell's own run is as it was
    assert tiny.vary(record.varied).settings == settings


@pytest.mark.once
@pytest.mark.parametrize(
    "changes, message",
    [
        ({"prior": "standard"}, "burda2015 has no setting 'prior'; there are: batch_size, .*, equal_heads"),
        ({"epochs": 3}, "no setting 'epochs'; say --epochs"),
        ({"epsilon": -1e-4}, "epsilon is 0.0001 in burda2015; expected 0 or more, received -0.0001"),
        ({"batch_size": 20.0}, "batch_size is 400 in burda2015; expected another such value, received 20.0"),
        ({"hidden": True}, "hidden is 4 in burda2015"),
        ({"equal_heads": 1}, "equal_heads is False in burda2015"),
        ({"equal_heads": "true"}, "expected True or False, received 'true'"),
        ({"epsilon": "small"}, "epsilon is 0.0001 in burda2015"),
    ],
)
def test_what_cannot_be_varied_is_said(changes, message, tiny):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(tiny, quirks=burda.NONE).vary(changes)


@pytest.mark.once
@pytest.mark.parametrize(
    "paper, name, changes, idle",
    [
        ("rybkin2020", "mnist-vae-optimal", {"beta": 0.1, "soft_clip": -4.0}, "beta=0.1"),
        ("dieng2018", "dynamic_mnist-mlp-2-50-vae", {"refinement_steps": 3, "clip": 1.0}, "refinement_steps=3"),
        ("burda2015", "static_mnist-1-vae-1", {"second_moment_from_one": True, "hidden_2": 5}, "hidden_2=5"),
        ("tomczak2017", "static_mnist-vae-standard", {"patience": 3, "dropout": 0.5, "components": 7}, "components=7"),
    ],
)
def test_settings_that_a_cell_does_not_use_are_refused_before_it_trains(paper, name, changes, idle, tiny, monkeypatch):
    (cell,) = (cell for cell in getattr(papers, paper).CELLS if cell.name == name)
    digits = vk.datasets.load("digits" if paper == "rybkin2020" else "dynamic_digits")
    monkeypatch.setattr(Cell, "load", lambda cell: dataclasses.replace(digits, train=digits.train[:20]))
    cell = dataclasses.replace(cell, fit=never)
    with pytest.raises(RunError, match=f"^{idle} changes nothing in {paper} {name}: .* Leave it out"):
        runs.run(cell.vary(changes), progress=False)
    del changes[idle.split("=")[0]]
    with pytest.raises(AssertionError, match="should not be called"):
        runs.run(cell.vary(changes), progress=False)


@pytest.mark.once
def test_where_a_setting_is_none_it_may_be_a_number():
    (cell,) = (cell for cell in papers.rybkin2020.CELLS if cell.name == "moving_digits-svg-optimal")
    assert cell.settings.soft_clip is None
    assert cell.vary(choice.changes(["soft_clip=-6.0"])).settings.soft_clip == -6.0
    assert cell.vary(choice.changes(["soft_clip=None"])) == cell
    with pytest.raises(ValueError, match="soft_clip is None in rybkin2020; expected None or a number, received 'low'"):
        cell.vary({"soft_clip": "low"})


@pytest.mark.once
def test_sentences_are_trained_one_seed_at_a_time(tiny):
    few = dict(train=64, validation=8, test=8)
    text = dataclasses.replace(tiny, options={"data": "grammar"}, loading=few, examples=None, fit=never)
    with pytest.raises(RunError, match="burda2015 grammar is trained on sentences.*one seed at a time: leave out --to"):
        runs.run_seeds(text, [0, 1], progress=False)


@pytest.mark.once
def test_what_varies_is_numbers_words_or_lists():
    texts = ["latents=3", "gradient=dreg", "rounded_rates=True", "latents_2=(5, 4)", "learning_rate=5e-4"]
    values = {"latents": 3, "gradient": "dreg", "rounded_rates": True, "latents_2": (5, 4), "learning_rate": 5e-4}
    assert choice.changes(texts) == values


@pytest.mark.once
def test_other_settings_in_a_cell_are_told_from_those_of_the_folder(tiny):
    runs.run(tiny, epochs=1, progress=False)
    other = dataclasses.replace(tiny, settings=dataclasses.replace(SETTINGS, latents=3), fit=never)
    with pytest.raises(RunError, match="its settings is .*'latents': 2.*this run's is .*'latents': 3"):
        runs.run(other, epochs=2, progress=False)
    assert runs.run(dataclasses.replace(tiny, fit=tiny.fit), seed=1, epochs=1, progress=False).seed == 1
    assert FOLDER.with_name("dynamic_digits-1-vae-1-seed1").is_dir()


@pytest.mark.once
def test_a_damaged_checkpoint_is_refused_and_can_be_moved_away(tiny):
    runs.run(tiny, epochs=1, progress=False)
    path = FOLDER / "training.npz"
    path.write_bytes(path.read_bytes()[:-5])
    before = content()
    with pytest.raises(CheckpointError, match="no readable checkpoint"):
        runs.run(tiny, epochs=2, progress=False)
    assert content() == before
    path.unlink()
    assert runs.run(tiny, epochs=2, progress=False).epochs == 2


@pytest.mark.once
def test_a_loss_that_is_no_number_is_no_result(tiny):
    def build(data, **options):
        model = tiny.build(data, **options)
        model.trainable_variables[0].assign(model.trainable_variables[0] * np.nan)
        return model

    with pytest.raises(RunError, match="seed0' is no number after epoch 1: .* another seed"):
        runs.run(dataclasses.replace(tiny, build=build, measure=never), progress=False)
    assert not RECORD.exists() and not (FOLDER / "weights.npz").exists()


def test_a_cell_that_starts_from_another_one(tiny):
    met = []

    def fit(model, data, **options):
        met.append([keras.ops.convert_to_numpy(v).copy() for v in model.weights])
        return tiny.fit(model, data, **options)

    then = dataclasses.replace(tiny, options={**tiny.options, "then": "vae"}, epochs=2, fit=fit, after=tiny)
    record = runs.run(then, epochs=1, progress=False)
    first = records.read(RECORD)
    assert first.epochs == 3 and record.epochs == 1 and record.name == "dynamic_digits-1-vae-1-vae"
    with np.load(FOLDER / "weights.npz") as file:
        start = [file[f"{i}"] for i in range(len(file.files))]
    (met,) = met
    steps = [i for i, v in enumerate(then.model(None, 0).weights) if v is then.model(None, 0).step]
    for i, (mine, theirs) in enumerate(zip(met, start, strict=True)):
        assert np.array_equal(mine, 0 if i in steps else theirs)
    assert len(steps) == 1 and start[steps[0]] == 3 * 2

    runs.run(dataclasses.replace(then, after=dataclasses.replace(tiny, fit=never)), progress=False)  # goes on, 2 epochs
    weights = FOLDER / "weights.npz"
    weights.write_bytes(weights.read_bytes()[:-5])
    with pytest.raises(RunError, match="weights.npz' holds no weights of this model .*Delete it and run again"):
        runs.run(then, epochs=3, progress=False)
    weights.unlink()
    assert runs.run(then, epochs=3, progress=False).epochs == 3


@pytest.mark.once
def test_a_cell_that_cannot_be_built_is_refused_before_the_one_it_starts_from_is_trained(tiny):
    def build(data, **options):
        raise ValueError("an ELBO has no gradient 'dreg'")

    then = {**tiny.options, "then": "vae"}
    with pytest.raises(ValueError, match="no gradient"):
        first = dataclasses.replace(tiny, fit=never)
        runs.run(dataclasses.replace(tiny, options=then, build=build, after=first), progress=False)


class Full(io.FileIO):
    def write(self, _):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.once
def test_a_full_disk_stops_a_run_that_goes_on_later(tiny, monkeypatch):
    runs.run(tiny, epochs=1, progress=False)
    before = content()
    with monkeypatch.context() as patch:
        patch.setattr(files, "open", lambda path, mode: io.BufferedWriter(Full(path, "w")), raising=False)
        with pytest.raises(OSError, match="training.npz' cannot be written: the disk is full"):
            runs.run(tiny, progress=False)
    assert content() == before
    assert runs.run(tiny, progress=False).epochs == 3


@pytest.mark.once
def test_a_folder_that_is_a_file_is_named(tiny):
    Path("runs").touch()
    with pytest.raises(OSError, match="'runs/burda2015/.*' cannot be used for a run"):
        runs.run(tiny, progress=False)


# ---------------------------------------------------------------- records


@pytest.mark.once
def test_records_come_back_and_damaged_ones_are_refused(tiny):
    record = runs.run(tiny, epochs=1, progress=False)
    other = dataclasses.replace(record, seed=3, note="σ² falls, −log p(x) too")
    path = other.write("results")
    assert path == RECORD.with_name("dynamic_digits-1-vae-1-seed3.json")
    assert records.read_all("results") == [record, other] and records.read(path) == other
    good = path.read_text()
    fields = json.loads(good)
    missing = {name: value for name, value in fields.items() if name != "figures"}
    wrong = [good[:-9], "", "[]", "1", "\x00", json.dumps(missing), json.dumps({**fields, "more": 1})]
    for text in wrong:
        path.write_text(text)
        with pytest.raises(RecordError, match=r"seed3.json' is no record \(.*take the file out of the folder, or make"):
            records.read_all("results")
    path.unlink()
    RECORD.write_text(good[:-9])
    with pytest.raises(RecordError, match="is no record"):  # not overwritten in silence
        runs.run(dataclasses.replace(tiny, fit=never), epochs=1, progress=False)


@pytest.mark.once
def test_thinned_curves_keep_both_ends():
    history = {"loss": [i + 0.123456 for i in range(1000)], "learning_rate": [0.1] * 1000, "val_loss": [1.0] * 10}
    curves = records.thinned(history)
    assert set(curves) == {"epoch", "loss", "learning_rate"} and {len(curve) for curve in curves.values()} == {200}
    assert curves["epoch"][0] == 1 and curves["epoch"][-1] == 1000
    assert curves["loss"] == [round(history["loss"][i - 1], 4) for i in curves["epoch"]]
    assert records.thinned({"loss": [1.0]}) == {"epoch": [1], "loss": [1.0]}


# ---------------------------------------------------------------- the papers' cells


@pytest.mark.once
def test_all_cells_can_be_run_or_say_why_not():
    assert len(CELLS) > 100 and len({(cell.paper, cell.name) for cell in CELLS}) == len(CELLS)
    assert len({cell.name.lower() for cell in CELLS}) == len({cell.name for cell in CELLS})  # folders on any disk
    for cell in CELLS:
        assert cell.paper in papers.__all__ and cell.table and set(cell.reported) <= set(FIGURES), cell.name
        assert "/" not in cell.name and all(value is not None for value in cell.reported.values()), cell.name
        vary = cell.vary({"batch_size": 7})  # --set goes for all of a paper's cells, some of which cannot be run
        assert vary.settings.batch_size == 7 and vary.name == f"{cell.name}+batch_size=7", cell.name
        if cell.missing:
            continue
        assert all(callable(part) for part in (cell.build, cell.fit, cell.measure)) and cell.metric, cell.name
        assert cell.data in datasets.names() and cell.epochs > 0, cell.name
        assert json.loads(json.dumps(dataclasses.asdict(cell.settings))), cell.name
        assert cell.after is None or (cell.after in CELLS and cell.after.paper == cell.paper), cell.name
        assert cell.differs or cell.data not in ("dynamic_omniglot_rebuilt", "cifar10_jpeg"), cell.name


@pytest.mark.once
def test_models_to_try_are_cells():
    for name in papers.__all__:
        paper = getattr(papers, name)
        for title, cell in paper.MODELS.items():
            assert callable(cell.build) and cell.data in datasets.names() and not cell.missing, title
            reported = cell.name in {other.name for other in paper.CELLS}
            assert any(cell is other for other in paper.CELLS) if reported else not (cell.table or cell.reported), title


@pytest.mark.once
def test_a_table_is_made_of_its_rows():
    def each(cell):
        return dict(epochs=cell.options["k"]) if cell.reported else dict(missing="no figures")

    rows = {(5, "Skip VAE"): (1.5, (7,)), (1, "HVAE"): (None, (7, 2)), (2, "x"): (None, None)}
    names = dict(options=("data", "k", "model"), figures=("NLL", "active units"))
    cells = table("table 9", rows, **names, shared=dict(paper="p", epochs=3), each=each, data="d")
    assert [cell.name for cell in cells] == ["d-5-skip_vae", "d-1-hvae", "d-2-x"]
    assert list(cells[0].options.items()) == [("data", "d"), ("k", 5), ("model", "skip_vae")]
    assert [cell.reported for cell in cells] == [{"NLL": 1.5, "active units": 7}, {"active units": [7, 2]}, {}]
    assert [(cell.epochs, cell.missing) for cell in cells] == [(5, ""), (1, ""), (3, "no figures")]
    assert {(cell.paper, cell.table, cell.data) for cell in cells} == {("p", "table 9", "d")}
    (one,) = table("t", {"d": 2.0}, options=("data",), figures=("KL",), shared=dict(paper="p"))
    assert one == Cell("p", "t", {"data": "d"}, {"KL": 2.0})
    for key, row in ((1, (2.0, 3)), ((1, "x"), 2.0), ((1, "x", 4), (2.0, 3))):
        with pytest.raises(ValueError, match="zip"):
            table("t", {key: row}, **names, shared=dict(paper="p"), data="d")


@pytest.mark.once
def test_cells_that_cannot_be_run_say_why(tmp_path):
    missing = [cell for cell in CELLS if cell.missing]
    assert {cell.paper for cell in missing} == {"kingma2013", "rybkin2020"}
    for cell in missing:
        with pytest.raises(RunError, match=f"{cell.paper} {cell.name} cannot be run: {cell.missing}"):
            runs.run(cell, runs=tmp_path, results=tmp_path)
    assert not list(tmp_path.iterdir())


def test_papers_measures_are_figures_that_records_can_hold(compiled, monkeypatch):
    data = vk.datasets.load("dynamic_digits")
    data = dataclasses.replace(data, test=data.test[:20], train=data.train[:40])
    monkeypatch.setattr(burda, "SETTINGS", dataclasses.replace(burda.SETTINGS, samples=3))
    monkeypatch.setattr(papers.tomczak2017, "SAMPLES", 3)
    measures = [burda.measure, papers.tomczak2017.measure, papers.dieng2018.measure]
    for measure in measures:
        figures = measure(compiled(None), data, seed=0, progress=False)
        assert set(figures) <= set(FIGURES)
        for figure in json.loads(json.dumps(figures)).values():
            assert np.isfinite(figure[0]) and (figure[1] is None or figure[1] > 0)


# ---------------------------------------------------------------- the command


def command(*arguments):
    return CliRunner().invoke(cli.app, ["reproduce", *arguments])


def failed(*arguments):
    """The one message of a command that fails."""
    result = command(*arguments)
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result.stderr.strip()


@pytest.mark.once
@pytest.mark.parametrize(
    "arguments, message",
    [
        (["kingma2014"], "There is no paper 'kingma2014'; known: burda2015, dieng2018, kingma2013"),
        (["burda2015", "--prior", "standard"], "No cell has the option --prior; there are: --data, --layers"),
        (["burda2015", "--layers", "3"], "No cell has --layers 3; there are: 1, 2"),
        (["burda2015", "--layers=3"], "No cell has --layers 3; there are: 1, 2"),
        (["burda2015", "--data", "static_mnist", "--then", "vae-1"], "--data static_mnist --then vae-1 together"),
        (["burda2015", "--layers"], "Expected a paper, then options with values, such as --layers 1; received '--lay"),
        (["burda2015", "tomczak2017"], "received 'tomczak2017'"),
        (
            ["burda2015", "--set", "latents"],
            "Expected --set NAME=VALUE, such as --set learning_rate=5e-4; received 'lat",
        ),
        (["burda2015", "--set", "latents=2 of them"], "received 'latents=2 of them'"),
        (["burda2015", "--set", "latents=two"], "latents is 50 in burda2015; expected another such value"),
        (["burda2015", "--set", "latents=3", "--set", "latents=4"], "--set latents is there twice; choose one value"),
        (["burda2015", "--set", "prior=3"], "burda2015 has no setting 'prior'; there are: "),
        ([], "Say which paper"),
        (
            ["kingma2013", "--method", "mcem", "--examples", "1000"],
            "cannot be run: vaekit.inference.monte_carlo_em trains it",
        ),
    ],
)
def test_a_wrong_command_ends_with_one_message(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = failed(*arguments)
    assert message in text and "\n" not in text and not list(tmp_path.iterdir())


@pytest.mark.once
def test_data_that_cannot_be_had_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("VAEKIT_DATA", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")  # where nothing listens
    monkeypatch.setenv("VAEKIT_CACHE", str(tmp_path / "cache"))
    text = failed("burda2015", "--data", "static_mnist", "--layers", "1", "--objective", "vae", "--samples", "1")
    assert "could not be downloaded. Tried:" in text and "no connection" in text and "VAEKIT_DATA" in text
    monkeypatch.setenv("VAEKIT_DATA", str(tmp_path / "absent"))
    text = failed("burda2015", "--data", "static_mnist", "--layers", "1", "--objective", "vae", "--samples", "1")
    assert "VAEKIT_DATA should name a directory" in text and not Path("results").exists()


@pytest.mark.once
def test_the_command_runs_cells_and_names_what_stops_them(tiny, monkeypatch):
    monkeypatch.setattr(burda, "CELLS", [tiny])
    result = command("burda2015", "--layers", "1", "--epochs", "1", "--seed", "0", "--seed", "2")
    assert result.exit_code == 0, result.output
    for seed in (0, 2):
        assert f"burda2015 dynamic_digits-1-vae-1, seed {seed}, 1 of 3 epochs, dynamic digits" in result.stdout
    assert [record.seed for record in records.read_all("results")] == [0, 2]
    assert "2 epochs already" not in command("burda2015", "--epochs", "2").output
    assert "2 epochs already, more than the 1 asked for" in failed("burda2015", "--epochs", "1")
    with runs._alone(FOLDER):
        assert "Another run works in 'runs/burda2015/dynamic_digits-1-vae-1-seed0'" in failed("burda2015")
    (FOLDER / "run.json").write_text("{")
    assert "is damaged. Move the folder away" in failed("burda2015")
    with monkeypatch.context() as patch:
        patch.setattr(files, "open", lambda path, mode: io.BufferedWriter(Full(path, "w")), raising=False)
        assert "the disk is full. Nothing was left behind; free some space" in failed("burda2015", "--seed", "4")


# ---------------------------------------------------------------- a queue


QUEUE = """
# two seeds of all cells
burda2015 --seed 0 --seed 2 --epochs 1

burda2015 --layers 1 --seed 0 --epochs 2   # the same run once more: the first line counts
burda2015 --layers 1 --set batch_size=200 --epochs 1
"""


@pytest.mark.once
def test_a_queue_does_what_is_left_and_says_how_far_it_is(tiny, monkeypatch):
    monkeypatch.setattr(burda, "CELLS", [tiny])
    Path("queue").write_text(QUEUE)
    name = "burda2015 dynamic_digits-1-vae-1"
    jobs = queue.read("queue")
    assert [(job.cell.varied, job.seed, job.epochs) for job in jobs] == [
        ({}, 0, 1),
        ({}, 2, 1),
        ({"batch_size": 200}, 0, 1),
    ]
    parts = [[job.name for job in queue.read("queue", f"{k}/2")] for k in (1, 2)]
    assert sorted(sum(parts, [])) == sorted(job.name for job in jobs) and list(map(len, parts)) == [2, 1]

    runs.run(tiny, epochs=1, progress=False)
    before = content()
    assert command("--queue", "queue", "--list").stdout.splitlines() == [
        f"{name}, seed 0: done",
        f"{name}, seed 2: not begun",
        f"{name}+batch_size=200, seed 0: not begun",
    ]
    assert content() == before
    Path("more").write_text("burda2015 --seed 0 --epochs 3")
    assert command("--queue", "more", "--list").stdout == f"{name}, seed 0: 1 of 3 epochs\n"
    elsewhere = command("--queue", "more", "--list", "--runs", "elsewhere").stdout
    assert elsewhere == f"{name}, seed 0: a record of 1 of 3 epochs\n"
    with runs._alone(FOLDER.with_name("dynamic_digits-1-vae-1-seed2")):  # on another machine
        result = command("--queue", "queue")
    assert result.exit_code == 0, result.output
    assert f"{name}, seed 2: in work elsewhere" in result.stdout and "2 of 3 runs are done" in result.stdout
    assert {path: read for path, read in content().items() if path in before} == before
    result = command("--queue", "queue", "--shard", "2/2")
    assert result.exit_code == 0 and "1 of 1 runs are done" in result.stdout
    assert [record.seed for record in records.read_all("results")] == [0, 0, 2]

    (FOLDER.with_name("dynamic_digits-1-vae-1-seed4")).mkdir()
    (FOLDER.with_name("dynamic_digits-1-vae-1-seed4") / "run.json").write_text("{")
    Path("queue").write_text("burda2015 --seed 4 --epochs 1\nburda2015 --seed 2 --epochs 1")
    result = command("--queue", "queue")
    assert result.exit_code == 1 and "is damaged" in result.stderr and "1 of 2 runs are done" in result.stdout
    record = Path("results", "burda2015", FOLDER.name + ".json")
    record.write_text("{")  # which stops no other run either
    Path("queue").write_text("burda2015 --seed 0 --seed 2 --epochs 1", encoding="utf-8-sig")  # as Windows writes it
    result = command("--queue", "queue")
    assert result.exit_code == 1 and record.name in result.stderr and "1 of 2 runs are done" in result.stdout
    shown = command("--queue", "queue", "--list").stdout.splitlines()
    assert "seed 0: cannot be run: " in shown[0] and shown[1].endswith("seed 2: done")


@pytest.mark.once
@pytest.mark.parametrize(
    "text, arguments, message",
    [
        ("burda2015 --layers 3", [], "'queue', line 1: No cell has --layers 3; there are: 1, 2"),
        ("\nburda2015 --seed one", [], "'queue', line 2: argument --seed: invalid int value: 'one'"),
        ("burda2015 --epochs 0", [], "line 1: --epochs takes a number from 1, --seed one from 0."),
        ("burda2015 --data 'static", [], "line 1: No closing quotation"),
        ("burda2015", ["--shard", "3/2"], "--shard takes the number of a part and how many there are, 2/8; received"),
        ("burda2015", ["--epochs", "3"], "With --queue, cells, seeds, epochs and settings stand in its lines."),
        (None, [], "No such file or directory: 'queue'"),
    ],
)
def test_a_wrong_queue_ends_with_one_message(text, arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path("queue").write_text(text)
    assert message in failed("--queue", "queue", *arguments)
