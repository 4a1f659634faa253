"""One list of dependencies: pyproject.toml, its lock, conda's environment, the wheel and the Makefile agree."""

import os
import re
import shutil
import subprocess
import tarfile
import tomllib
import zipfile
from email import message_from_string
from importlib.metadata import requires
from pathlib import Path

import pytest
import yaml
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PYTHONS = ["3.11", "3.12", "3.13"]
LOCKED_EXTRAS = ["jax", "course", "dev"]


def pins(python, platform):
    """Name → version of what the lock installs there."""
    there = {"python_version": python, "python_full_version": f"{python}.9", "sys_platform": platform}
    locked = {}
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(default_environment() | there):
            (pin,) = requirement.specifier
            assert pin.operator == "==" and requirement.name not in locked
            locked[canonicalize_name(requirement.name)] = pin.version
    return locked


@pytest.mark.parametrize("platform", ["linux", "darwin"])
@pytest.mark.parametrize("python", PYTHONS)
def test_lock_satisfies_every_requirement(python, platform):
    locked = pins(python, platform)
    wanted = PROJECT["dependencies"] + [r for e in LOCKED_EXTRAS for r in PROJECT["optional-dependencies"][e]]
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(locked[canonicalize_name(requirement.name)]), requirement
    assert "tf-keras" in locked  # of tensorflow-probability[tf]


def test_supported_pythons():
    supported = SpecifierSet(PROJECT["requires-python"])
    assert list(supported.filter([f"3.{minor}" for minor in range(9, 20)])) == PYTHONS


def test_conda_environment_is_the_lock():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, from_pip = environment["dependencies"]
    assert python.removeprefix("python=") in PYTHONS
    assert pip == "pip"
    assert from_pip == {"pip": ["-r requirements.lock", "-e ."]}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Names in the wheel, its metadata, and its size in bytes."""
    directory = tmp_path_factory.mktemp("wheel")
    (path,) = WheelBuilder(str(ROOT)).build(directory=str(directory), versions=["standard"])
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        (metadata,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        return names, message_from_string(archive.read(metadata).decode()), Path(path).stat().st_size


def test_wheel_holds_the_library_and_what_a_learner_reads(wheel):
    names, _, size = wheel
    assert size < 25e6
    inside = {name for name in names if not re.match(r"vaekit-[^/]*\.dist-info/", name)}
    assert {str(path.relative_to(ROOT)) for path in ROOT.glob("vaekit/**/*.py")} <= inside
    assert {f"vaekit/course/{room}/README.md" for room in ("grader", "publishing/nbgrader")} <= inside
    assert {str(path.relative_to(ROOT)) for path in ROOT.glob("vaekit/course/jupyter/*/*.json")} <= inside
    assert {f"vaekit/datasets/bundled/mnist_10k.{end}" for end in ("npz", "LICENSE")} <= inside
    assert {name.split("/")[0] for name in inside} == {"vaekit"}
    notebooks = {name.removeprefix("vaekit/course/notebooks/") for name in inside if "/course/notebooks/" in name}
    patterns = ("lessons/*.ipynb", "lessons/quiz/*.toml", "exercises/*/*.ipynb")
    assert notebooks == {str(path.relative_to(ROOT)) for pattern in patterns for path in ROOT.glob(pattern)}


def test_from_a_checkout_the_notebooks_are_those_of_the_checkout(tmp_path):
    """An editable installation holds a path, and no copies that would grow old."""
    (path,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["editable"])
    with zipfile.ZipFile(path) as archive:
        (link,) = [name for name in archive.namelist() if ".dist-info/" not in name]
        assert archive.read(link).decode().split() == [str(ROOT)]


def test_a_source_distribution_holds_what_the_wheel_is_made_of(tmp_path):
    (path,) = SdistBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with tarfile.open(path) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames()}
    patterns = ("vaekit/**/*.py", "lessons/*.ipynb", "lessons/quiz/*.toml", "exercises/*/*.ipynb", "pyproject.toml")
    assert {str(path.relative_to(ROOT)) for pattern in patterns for path in ROOT.glob(pattern)} <= names


def _needed(lines, extras):
    """The requirements among `lines` that hold here, for one who asks for `extras`."""
    asked = [{"extra": extra} for extra in ("", *extras)]
    return [r for r in map(Requirement, lines) if r.marker is None or any(map(r.marker.evaluate, asked))]


def test_library_users_get_no_jupyter(wheel):
    """Nor does any requirement of a requirement bring it."""
    names, left = set(), _needed(wheel[1].get_all("Requires-Dist"), extras=())
    while left:
        requirement = left.pop()
        name = canonicalize_name(requirement.name)
        if name not in names or requirement.extras:
            names.add(name)
            left += _needed(requires(name) or (), requirement.extras)
    assert {"keras", "tensorflow", "tf-keras", "typer"} <= names
    assert not {name for name in names if "jupy" in name or name.startswith(("nb", "ipy", "notebook"))}


def test_citation():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"]
    assert PROJECT["license"] == f"{citation['license']} AND CC-BY-SA-3.0"  # the library's, the extract of MNIST's
    papers = {reference["url"].rsplit("/")[-1] for reference in citation["references"]}
    assert papers == {"1312.6114", "1509.00519", "1705.07120", "1807.04863", "2006.13202"}
    assert "Apache License" in (ROOT / "LICENSE").read_text()


# ---- the Makefile, with a stand-in for Python that only writes down what it is asked --------------------------------

PIP = """#!/bin/sh
echo "$@" >> ../pip.log
test ! -e ../broken
"""
PYTHON = """#!/bin/sh
test "$2" != venv || { rm -rf .venv; mkdir -p .venv/bin; cp ../pip .venv/bin/pip; : > .venv/bin/activate; }
"""


@pytest.fixture
def make(tmp_path):
    """Runs make in a bare checkout; returns the process and the number of pip's runs so far."""
    if not shutil.which("make"):
        pytest.skip("needs make")
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, checkout)
    for name, script in (("pip", PIP), ("python", PYTHON)):
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)

    def run(*arguments):
        outside = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL")}
        process = subprocess.run(["make", *arguments], cwd=checkout, env=outside, capture_output=True, text=True)
        log = tmp_path / "pip.log"
        return process, len(log.read_text().splitlines()) if log.exists() else 0

    return run


def test_make_installs_once(make, tmp_path):
    for expected_runs in (2, 2):  # the lock, then the project; then neither
        process, runs = make(".venv/installed", "PYTHON=../python")
        assert process.returncode == 0 and runs == expected_runs, process.stderr
    lock = tmp_path / "checkout" / "requirements.lock"
    (stamp,) = (tmp_path / "checkout" / ".venv").glob("installed")
    os.utime(lock, (stamp.stat().st_mtime + 5,) * 2)
    assert make(".venv/installed", "PYTHON=../python")[1] == 4


def test_make_repairs_a_broken_installation(make, tmp_path):
    (tmp_path / "broken").touch()
    process, runs = make(".venv/installed", "PYTHON=../python")
    assert process.returncode != 0 and runs == 1
    (tmp_path / "broken").unlink()
    leftover = tmp_path / "checkout" / ".venv" / "leftover"
    leftover.touch()
    process, runs = make(".venv/installed", "PYTHON=../python")
    assert process.returncode == 0 and runs == 3
    assert not leftover.exists()


def test_make_lessons_starts_in_a_folder_that_git_does_not_see(make):
    process, _ = make("--dry-run", "lessons", "PYTHON=../python")
    assert process.stdout.rstrip().endswith("vaekit start")
    assert "/vaekit-course/" in (ROOT / ".gitignore").read_text().split()


def test_make_names_the_pythons_it_needs(make):
    process, runs = make("lessons", "PYTHON=false")
    assert process.returncode != 0 and runs == 0
    assert "needs Python 3.11, 3.12 or 3.13" in process.stderr and "PYTHON=/path/to/python" in process.stderr
