"""What a reader's own files keep: progress in the exercises, answers to questions."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from typer.testing import CliRunner

from vaekit import cli
from vaekit.course.exercise import PROGRESS, Exercise, numbers, progress

pytestmark = pytest.mark.once


def test_progress_that_was_edited(tmp_path, monkeypatch):
    """What is no number is as if it were not there; no share is more than all."""
    path = tmp_path / "progress.json"
    monkeypatch.setenv("VAEKIT_PROGRESS", str(path))
    shares = {"gaussian_sample": 5, "exponential_sample": "x", "log_normal": None, "truncated_normal_sample": 0.95}
    path.write_text(json.dumps({"01": {**shares, "score_function": -1, "samples_worth": float("nan"), "other": True}}))
    result = CliRunner().invoke(cli.app, ["progress"])
    assert result.exit_code == 0, result.output
    question = Exercise("01").questions["gaussian_sample"]
    lines = {line.split("  ")[-1].strip(): line for line in result.output.splitlines()}
    assert "█" * 10 in lines[question.title] and "█" * 11 not in result.output
    assert f"{question.points:g} of {question.points:g}" in lines[question.title]
    assert f"{'█' * 9}░" in lines[Exercise("01").questions["truncated_normal_sample"].title]
    assert result.output.count("░" * 10) == len(lines) - 2 - len(numbers())  # not these two, nor titles
    assert PROGRESS.read() == {"01": {"gaussian_sample": 1, "truncated_normal_sample": 0.95, "score_function": 0}}
    PROGRESS.put("01", "exponential_sample", 0.5)
    assert progress()["01"]["exponential_sample"] == 0.5


def test_notebooks_that_write_at_once_lose_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("VAEKIT_PROGRESS", str(tmp_path / "new" / "progress.json"))
    names = [f"{number} {n}" for number in range(4) for n in range(10)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: PROGRESS.put("01", name, 1.0), names))
    assert set(PROGRESS.read()["01"]) == set(names)


def test_the_best_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("VAEKIT_PROGRESS", str(tmp_path / "progress.json"))
    for share, best in ((0.5, 0.5), (0.25, 0.5), (0.75, 0.75)):
        PROGRESS.put("01", "gaussian_sample", share, best=True)
        assert PROGRESS.read() == {"01": {"gaussian_sample": best}}
    PROGRESS.put("01", "gaussian_sample", 0.25)
    assert PROGRESS.read() == {"01": {"gaussian_sample": 0.25}}
