"""`vaekit start`: a folder of the learner's own, which keeps what the learner has changed; JupyterLab as it opens."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vaekit import cli
from vaekit.course import jupyter, material

pytestmark = pytest.mark.once

FIRST, SECOND = "lessons/00_start_here.ipynb", "exercises/01_first/01_first.ipynb"


@pytest.fixture
def course(tmp_path, monkeypatch):
    """Writes notebooks into a small course, by path; it has two already, and what is not to be copied."""
    place = tmp_path / "course"

    def write(**contents):
        for name, content in contents.items():
            path = place / {"first": FIRST, "second": SECOND}.get(name, f"lessons/{name}.ipynb")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)

    write(first="one", second="two")
    for other in ("lessons/source/00.py", "lessons/.ipynb_checkpoints/00.ipynb", "exercises/README.md"):
        (place / other).parent.mkdir(exist_ok=True)
        (place / other).touch()
    monkeypatch.setattr(material, "place", lambda: place)
    monkeypatch.chdir(tmp_path)
    return write


def start(*arguments):
    result = CliRunner().invoke(cli.app, ["start", *arguments, "--no-open"])
    assert result.exit_code == 0, result.output
    return result.output


def contents(folder="vaekit-course"):
    """Text by path, of the notebooks in a learner's folder."""
    paths = Path(folder).rglob("*")
    return {p.relative_to(folder).as_posix(): p.read_text() for p in paths if p.is_file() and p.suffix != ".json"}


def change(path, text):
    Path("vaekit-course", path).write_text(text)


def test_a_first_start_copies_the_notebooks_alone(course):
    assert f"In {Path('vaekit-course').resolve()}, yours to change: 1 lessons, 1 exercises." in start()
    assert contents() == {FIRST: "one", SECOND: "two"}


def test_a_second_start_changes_nothing(course):
    start()
    change(FIRST, "mine")
    told = start()
    assert "Kept as you left them: 00_start_here.ipynb" in told and "Nothing is new" in told
    assert contents() == {FIRST: "mine", SECOND: "two"}


def test_a_new_version_replaces_what_was_not_changed_and_stands_beside_what_was(course):
    start()
    change(FIRST, "mine")
    course(first="one, better", second="two, better", third="three")
    told = start()
    beside = "lessons/00_start_here.new.ipynb"
    assert contents() == {FIRST: "mine", beside: "one, better", SECOND: "two, better", "lessons/third.ipynb": "three"}
    for line in (f"new version: vaekit-course/{beside}", f"updated: vaekit-course/{SECOND}", "new: vaekit-course/les"):
        assert line in told.replace("\\", "/")
    before = contents()
    assert "Nothing is new" in start() and contents() == before


def test_a_later_version_replaces_the_one_beside_unless_that_was_changed_too(course):
    start()
    change(FIRST, "mine")
    for text, beside in (("b", {"new": "b"}), ("c", {"new": "c"})):
        course(first=text)
        start()
        assert contents() == {FIRST: "mine", "lessons/00_start_here.new.ipynb": beside["new"], SECOND: "two"}
    change("lessons/00_start_here.new.ipynb", "mine too")
    course(first="d")
    start()
    assert contents() == {
        **{FIRST: "mine", "lessons/00_start_here.new.ipynb": "mine too", SECOND: "two"},
        "lessons/00_start_here.new2.ipynb": "d",
    }


def test_a_notebook_that_was_only_opened_is_not_changed(course):
    """JupyterLab saves it with other metadata."""
    text = '{"cells": [{"source": "1"}], "metadata": {}}'
    course(first=text)
    start()
    change(FIRST, '{\n "cells": [{"source": "1"}],\n "metadata": {"language_info": {"version": "3.12"}}\n}')
    assert "Nothing is new" in start()
    course(first=text.replace("1", "2"))
    assert "updated" in start() and contents()[FIRST] == text.replace("1", "2")
    change(FIRST, text.replace("1", "3"))
    course(first=text.replace("1", "4"))
    assert "new version" in start() and contents()[FIRST] == text.replace("1", "3")


def test_a_deleted_notebook_comes_back(course):
    start()
    Path("vaekit-course", FIRST).unlink()
    assert "new: vaekit-course" in start() and contents()[FIRST] == "one"


@pytest.mark.parametrize("record", [None, "{", "[1]"])
def test_without_its_record_whatever_differs_is_the_learners(course, record):
    start()
    change(FIRST, "mine")
    path = Path("vaekit-course", material.RECORD)
    path.unlink() if record is None else path.write_text(record)
    course(first="one, better", second="two, better")
    start()
    assert contents()[FIRST] == "mine" and contents()[SECOND] == "two"
    assert contents()["lessons/00_start_here.new.ipynb"] == "one, better"


def test_inside_the_folder_it_is_the_folder(course, monkeypatch):
    start()
    monkeypatch.chdir("vaekit-course")
    assert "Nothing is new" in start() and not Path("vaekit-course").exists()


def test_other_files_of_a_folder_stay(course, tmp_path):
    (tmp_path / "mine" / "lessons").mkdir(parents=True)
    (tmp_path / "mine" / FIRST).write_text("another course")
    start("mine")
    assert contents("mine") == {
        **{FIRST: "another course", SECOND: "two"},
        "lessons/00_start_here.new.ipynb": "one",
    }


@pytest.mark.parametrize("folder, message", [("course", "holds the course itself"), ("file", "cannot be written")])
def test_where_it_cannot_be(course, tmp_path, folder, message):
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(cli.app, ["start", folder, "--no-open"])
    assert result.exit_code == 1 and message in result.output


def test_the_course_has_its_first_lesson():
    assert (material.place() / material.FIRST).is_file()


def test_an_installation_without_notebooks_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(material, "place", lambda: tmp_path / "nowhere")
    result = CliRunner().invoke(cli.app, ["start", str(tmp_path / "mine"), "--no-open"])
    assert result.exit_code == 1 and "no lessons" in result.output


# ---- JupyterLab


@pytest.fixture
def jupyterlab():
    return pytest.importorskip("jupyterlab")


def test_start_opens_jupyterlab_on_the_first_lesson(course, jupyterlab, monkeypatch):
    started = []
    monkeypatch.setattr(cli.course, "_become", lambda command, environment: started.append(command))
    assert CliRunner().invoke(cli.app, ["start"]).exit_code == 0
    (command,) = started
    assert command[:3] == [sys.executable, "-m", "jupyterlab"]
    assert f"--LabApp.default_url=/lab/tree/{FIRST}" in command
    assert f"--ServerApp.root_dir={Path('vaekit-course').resolve()}" in command


def test_without_jupyterlab_the_notebooks_are_copied(course, monkeypatch):
    monkeypatch.setattr(jupyter, "find_spec", lambda name: None)
    result = CliRunner().invoke(cli.app, ["start"])
    assert result.exit_code == 1 and "pip install 'vaekit[course]'" in result.output and contents()[FIRST] == "one"


def test_the_learners_own_configuration_stays_and_comes_second(jupyterlab, monkeypatch, tmp_path):
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", str(tmp_path))
    _, environment = jupyter.command(tmp_path)
    assert environment["JUPYTER_CONFIG_PATH"].split(os.pathsep) == [str(jupyter.HERE), str(tmp_path)]
    assert environment["PATH"].endswith(os.environ["PATH"]) and "JUPYTER_PREFER_ENV_PATH" not in os.environ


def test_jupyterlab_asks_no_news_and_has_no_panels_of_an_instructor(jupyterlab, tmp_path):
    """As its server reads its configuration, in a process of its own."""
    code = """
import json
from jupyter_server.extension.config import ExtensionConfigManager
from jupyter_core.paths import jupyter_config_path
from jupyterlab.commands import get_app_dir
from jupyterlab_server.config import get_page_config
from jupyter_core.paths import jupyter_path
extensions = ExtensionConfigManager(read_config_path=jupyter_config_path()).get_jpserver_extensions()
print(json.dumps([get_page_config(jupyter_path("labextensions"))["disabledExtensions"], extensions]))
"""
    command, environment = jupyter.command(tmp_path)
    run = subprocess.run([command[0], "-c", code], env=environment, capture_output=True, text=True, check=True)
    disabled, extensions = json.loads(run.stdout)
    assert {"@jupyter/nbgrader", "@jupyterlab/apputils-extension:announcements"} <= set(disabled)
    assert extensions["jupyterlab"] and not any(on for name, on in extensions.items() if "nbgrader" in name)


def test_jupyter_takes_the_options(jupyterlab, tmp_path):
    """Names and values are checked by the classes they are for."""
    from jupyter_server.serverapp import ServerApp
    from jupyterlab.labapp import LabApp

    command, _ = jupyter.command(tmp_path)
    known = {"ServerApp": ServerApp, "LabApp": LabApp}
    for option in (option for option in command[3:] if "=" in option):
        name, value = option.removeprefix("--").split("=", 1)
        owner, trait = name.split(".")
        assert known[owner].class_traits(config=True)[trait].from_string(value) == value
