"""The `vaekit` command: it finds every fault, names the remedy, and survives a backend that does not start."""

import dataclasses
import os
import subprocess
import sys
from importlib.metadata import version

import keras
import pytest
from typer.testing import CliRunner

from vaekit import cli, datasets, papers
from vaekit.cli import doctor


@pytest.fixture(autouse=True)
def plain(monkeypatch, tmp_path):
    """No mirror, an empty cache, no colours."""
    monkeypatch.delenv("VAEKIT_DATA", raising=False)
    monkeypatch.setenv("VAEKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_COLOR", "1")


def run(*arguments):
    return CliRunner().invoke(cli.app, arguments)


def process(*arguments, before="pass", **environment):
    """The command in a process of its own, after the statements `before`."""
    code = f"import sys; {before}; from vaekit.cli import main; main()"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)


def test_version():
    assert run("--version").output == f"vaekit {version('vaekit')}\n"


def test_doctor_finds_nothing_wrong_here():
    result = run("doctor")
    assert result.exit_code == 0 and "broken" not in result.output
    backend = keras.backend.backend()
    for expected in (f"keras {keras.__version__}", f"backend {backend} starts", "cpu:0", "data digits: bundled"):
        assert expected in result.output
    assert "data mnist: not here yet: vaekit data mnist" in result.output


@pytest.mark.parametrize(
    "backend, missing, level, remedy",
    [
        ("tensorflow", "tensorflow", "broken", "pip install 'vaekit'"),
        ("tensorflow", "tf-keras", "broken", "pip install 'vaekit'"),
        ("jax", "jax", "broken", "pip install 'vaekit[jax]'"),
        ("jax", "tensorflow-probability", "broken", "pip install 'vaekit[jax]'"),
        ("tensorflow", "jupyterlab", "note", "pip install 'vaekit[course]'"),
    ],
)
def test_doctor_says_how_to_install_what_is_missing(monkeypatch, backend, missing, level, remedy):
    installed = doctor.installed
    monkeypatch.setenv("KERAS_BACKEND", backend)
    monkeypatch.setattr(doctor, "installed", lambda name: None if name == missing else installed(name))
    result = run("doctor")
    (line,) = [line for line in result.stdout.splitlines() if f"{missing}: not installed" in line]
    assert line.startswith(level) and remedy in result.output
    assert result.exit_code == (level == "broken")


def test_doctor_without_any_environment_variable(monkeypatch, tmp_path):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert doctor._selected_backend() == "tensorflow"
    (tmp_path / "keras.json").write_text('{"backend": "jax"}')
    assert doctor._selected_backend() == "jax"
    (tmp_path / "keras.json").write_text("{")
    assert doctor._selected_backend() == "tensorflow"


@pytest.mark.once
def test_doctor_with_another_backend():
    result = process("doctor", KERAS_BACKEND="torch")
    assert result.returncode == 1, result.stderr
    assert "Keras is set to the backend 'torch'" in result.stdout
    assert "KERAS_BACKEND" in result.stdout and "jupyterlab" in result.stdout  # and it went on to the end


@pytest.mark.once
def test_doctor_with_a_backend_that_does_not_start():
    result = process("doctor", before="sys.modules['jax'] = None", KERAS_BACKEND="jax")
    assert result.returncode == 1, result.stderr
    assert "backend jax does not start" in result.stdout and "jupyterlab" in result.stdout


@pytest.mark.thorough
@pytest.mark.once
def test_doctor_on_jax_does_without_tensorflow():
    result = process("doctor", before="sys.modules['tensorflow'] = None", KERAS_BACKEND="jax")
    assert result.returncode == 0, result.stdout + result.stderr


def test_doctor_notes_an_unused_gpu(monkeypatch):
    monkeypatch.setattr(doctor, "_nvidia_gpus", lambda: "NVIDIA T4")
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["cpu:0"])
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    result = run("doctor")
    assert result.exit_code == 0
    assert "note    NVIDIA T4" in result.output and "pip install 'vaekit[gpu]'" in result.output
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["cpu:0", "gpu:0"])
    assert "NVIDIA T4" not in run("doctor").output


def test_doctor_with_a_mirror_that_is_not_there(monkeypatch, tmp_path):
    monkeypatch.setenv("VAEKIT_DATA", str(tmp_path / "absent"))
    result = run("doctor")
    assert result.exit_code == 1 and "VAEKIT_DATA" in result.output


def test_doctor_with_a_cache_that_cannot_be_written(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("VAEKIT_CACHE", str(tmp_path / "file" / "cache"))
    result = run("doctor")
    assert result.exit_code == 1 and "set VAEKIT_CACHE" in result.output


@pytest.mark.once
def test_data():
    result = run("data", "digits")
    assert result.exit_code == 0 and "train" in result.output
    lines = run("data").output.splitlines()
    assert [line.split(":")[0] for line in lines[:-1:2]] == datasets.names()
    assert lines[lines.index("mnist_10k: bundled, 1.8 MB") + 1].startswith("    28×28 grey digits of MNIST")
    assert "mnist: not here yet: vaekit data mnist, from ossci-datasets.s3.amazonaws.com" in lines
    result = run("data", "mnits")
    assert result.exit_code == 1 and "'mnist'" in result.output


def test_notebooks_without_their_tools(monkeypatch):
    monkeypatch.setitem(sys.modules, "jupytext", None)
    monkeypatch.delitem(sys.modules, "vaekit.course.publishing.lessons", raising=False)
    monkeypatch.delattr("vaekit.course.publishing.lessons", raising=False)
    result = run("notebooks")
    assert result.exit_code == 1 and "pip install 'vaekit[course]'" in result.output


@pytest.mark.once
def test_notebooks_check(tmp_path):
    result = run("notebooks", "--check", str(tmp_path))
    assert result.exit_code == 1 and "No lessons" in result.output
    (tmp_path / "source").mkdir()
    source = tmp_path / "source" / "00_first.py"
    source.write_text("# %%\n1 + 1\n")
    result = run("notebooks", "--check", str(tmp_path))
    assert result.exit_code == 1 and "missing" in result.output
    assert run("notebooks", str(tmp_path)).exit_code == 0
    result = run("notebooks", "--check", str(tmp_path))
    assert result.exit_code == 0 and "1 notebooks agree" in result.output


@pytest.mark.once
def test_try_says_which_papers_and_models_there_are():
    result = run("try", "kingma2014")
    assert result.exit_code == 1 and "known: burda2015, dieng2018, kingma2013" in result.output
    result = run("try", "burda2015", "--model", "3 layers")
    assert result.exit_code == 1 and "1 layer, IWAE, k=50" in result.output


@pytest.mark.once
def test_try_trains_and_prints_a_row():
    name = "1 layer, VAE, k=1"
    options = ["--data", "dynamic_digits", "--epochs", "1", "--examples", "40", "--samples", "2", "--images", "5"]
    result = run("try", "burda2015", "--model", name, *options)
    assert result.exit_code == 0 and any(
        line.startswith(name) and "dynamic digits" in line for line in result.stdout.splitlines()
    )


@pytest.mark.once
def test_try_warms_up_in_half_of_its_epochs_at_most(monkeypatch):
    met = []

    def fit(model, data, epochs, settings, **options):
        met.append((model.objective.beta.steps, settings.warm_up))
        raise ValueError("that will do")

    paper = papers.tomczak2017
    models = {"VAE": dataclasses.replace(next(iter(paper.MODELS.values())), fit=fit)}
    monkeypatch.setattr(paper, "MODELS", models)
    options = ["try", "tomczak2017", "--data", "digits", "--examples", "250"]  # 3 steps an epoch
    for epochs, steps in ((1, 2), (2, 3), (400, 300)):
        text = run(*options, "--epochs", str(epochs)).output
        assert met.pop() == (steps, min(epochs / 2, 100))
        assert (f"β warms up in {epochs / 2:g} epochs, not the paper's 100" in text) == (epochs < 200)
