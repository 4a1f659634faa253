"""A run in a process of its own, for tests that kill it: `python killed_run.py FOLDER`."""

import dataclasses
import sys
from pathlib import Path

from vaekit import evaluation
from vaekit.papers import tomczak2017 as paper
from vaekit.papers.cell import Cell, Figure, numbers
from vaekit.reproduction import run
from vaekit.training import checkpoint

SETTINGS = dataclasses.replace(paper.SETTINGS, latents=2, hidden=6, components=5, warm_up=3, learning_rate=2e-3)


def build(data, model, settings, seed):
    return paper.vae(data, "vampprior", settings=settings, seed=seed)


def measure(model, data, seed=0, progress=True, checkpoint=None):
    p = evaluation.log_likelihood(model, data.test, 10, seed=seed, progress=progress, checkpoint=checkpoint)
    units = evaluation.active_units(model, data.test, samples=10, seed=seed)
    return {"log p(x)": Figure(p.mean, p.standard_error), "active units": Figure(numbers(units))}


CELL = Cell(
    paper="tomczak2017",
    table="tests",
    options=dict(data="dynamic_digits", model="vae"),
    reported={"log p(x)": -20.0},
    epochs=40,
    build=build,
    fit=paper.fit,
    measure=measure,
    settings=SETTINGS,
    examples=1100,  # batches of one size
)

if __name__ == "__main__":
    checkpoint.SECONDS = 0.0
    run(CELL, runs=Path(sys.argv[1]) / "runs", results=Path(sys.argv[1]) / "results", progress=False)
