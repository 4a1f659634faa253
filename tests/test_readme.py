"""README's code runs as it stands, on fewer data."""

import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

pytestmark = pytest.mark.once

README = Path(__file__).parent.parent / "README.md"


def blocks():
    return re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.S)


@pytest.mark.thorough
def test_readme_code_runs(mirror, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    ten_lines, spelled_out, hierarchy, others, sentences, videos, state_space = blocks()
    fewer = {"mnist.train,": "mnist.train[:1000],", "mnist.test,": "mnist.test[:50],", "epochs=10": "epochs=1"}
    fewer |= {"mnist.validation": "mnist.validation[:100]", "samples=500": "samples=20"}
    for whole, few in fewer.items():
        assert whole in ten_lines, f"README no longer says {whole!r}"
        ten_lines = ten_lines.replace(whole, few)
    space = {}
    exec(ten_lines, space)
    assert "log p(x) =" in capsys.readouterr().out
    assert (tmp_path / "vae.keras").is_file() and (tmp_path / "samples.png").is_file()
    exec(spelled_out, space)
    space["vae"].fit(space["mnist"].train[:200], verbose=0)
    spelled_encoder = space["encoder"]
    vk, units = space["vk"], {"z1": 5, "z2": 3}
    space["prior"] = vk.priors.StandardNormal()
    space["p_z1"], space["p_x"] = vk.layers.DiagonalNormal(units["z1"]), vk.layers.Bernoulli((28, 28, 1))
    space["q_z1"], space["q_z2"] = vk.layers.DiagonalNormal(units["z1"]), vk.layers.DiagonalNormal(units["z2"])
    exec(hierarchy, space)
    space["hvae"].compile("adam")
    space["hvae"].fit(space["mnist"].train[:200], verbose=0)
    space["encoder"] = spelled_encoder
    exec(others, space)
    space["vae"].fit(space["mnist"].train[:20], verbose=0)
    sigma_vae = vk.VAE(keras.Sequential([vk.layers.MLP(50), vk.layers.DiagonalNormal(20)]), space["sigma_decoder"])
    sigma_vae.compile("adam")
    sigma_vae.fit(space["mnist"].train.probabilities[:20], verbose=0)
    for whole, few in {
        "text.train,": "text.train[:100],",
        "epochs=10": "epochs=1",
        "text.test)": "text.test[:50])",
    }.items():
        assert whole in sentences
        sentences = sentences.replace(whole, few)
    exec(sentences, space)
    assert "perplexity" in capsys.readouterr().out
    for whole, few in {
        '"moving_digits"': '"moving_digits", frames=6, train=50, validation=10, test=20',
        "LSTM(128": "LSTM(8",
        "epochs=10": "epochs=1",
    }.items():
        assert whole in videos
        videos = videos.replace(whole, few)
    exec(videos, space)
    assert space["futures"].shape == (10, 4, 6, 16, 16, 1) and "nats a step" in capsys.readouterr().out
    exec(state_space, space)
    space["state_space"].compile("adam")
    space["state_space"].fit(np.zeros((4, 5, 1)), verbose=0)


def test_readme_links_lead_somewhere():
    text = README.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!http)([^)]+)\)", text):
        assert (README.parent / target).exists(), target


def test_readme_says_how_to_start_before_it_shows_results():
    text = README.read_text(encoding="utf-8")
    places = [
        text.index(part) for part in ("**It is for you**", "**You need**", 'pip install "vaekit[course]"\nvaekit start')
    ]
    assert places == sorted(places) and places[-1] < min(text.index("|---"), text.index("```python"))


def test_tables_of_benchmarks_are_those_of_the_records():
    program = README.parent / "benchmarks" / "table.py"
    run = subprocess.run([sys.executable, program, "--check"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_the_table_of_exercises_is_theirs():
    from vaekit.course.exercise import Exercise, numbers, points

    rows = dict(
        re.findall(r"^\| \[(\d\d)\]\(exercises/.*?\|.*?\| (.*) \|$", README.read_text(encoding="utf-8"), flags=re.M)
    )
    made = {number: Exercise(number).questions.values() for number in numbers()}
    assert rows == {
        number: f"{len(qs)} | {points(sum(q.points for q in qs))} | {sum(q.minutes for q in qs)}"
        for number, qs in made.items()
    }
