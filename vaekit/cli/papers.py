"""The papers: each model tried out, each table made again."""

import dataclasses
import itertools
from pathlib import Path
from typing import Annotated

import typer

from vaekit.cli.app import app, fail


@app.command("try")
def try_(
    paper: Annotated[str, typer.Argument(help="kingma2013, burda2015, tomczak2017, dieng2018 or rybkin2020.")],
    model: Annotated[list[str], typer.Option(help="Only this model, by its name in the table; repeatable.")] = (),
    data: Annotated[str, typer.Option(help="Data set for all models instead of each one's usual one.")] = None,
    epochs: Annotated[int, typer.Option(min=1)] = 2,
    examples: Annotated[int, typer.Option(min=2, help="Training images; all unless said.")] = None,
    samples: Annotated[int, typer.Option(min=1, help="Importance samples for log p(x).")] = 100,
    images: Annotated[int, typer.Option(min=2, help="Test images to evaluate on, drawn by the seed.")] = 500,
    seed: int = 0,
):
    """Trains each architecture of a paper briefly: bound, log p(x), KL (nats per image), active units, time.

    On a processor the convolutional ones take minutes: --model NAME trains one alone.
    """
    from vaekit import datasets, papers
    from vaekit.papers import trial

    if paper not in papers.__all__:
        fail(f"There is no paper {paper!r}; known: {', '.join(papers.__all__)}.")
    module = getattr(papers, paper)
    brief, usual = trial.settings(module, epochs), module.SETTINGS
    warm_up = "" if brief == usual else f"; β warms up in {brief.warm_up:g} epochs, not the paper's {usual.warm_up}"
    typer.echo(
        f"{paper}: {epochs} epochs of {examples or 'all'} training images a model, log p(x) from {samples} samples, on "
        f"{images} test images; active units on 500 training images; seed {seed}{warm_up}\n{trial.HEADER}"
    )
    try:
        options = dict(epochs=epochs, examples=examples, samples=samples, images=images, seed=seed)
        for row in trial.run(module, model or None, data, **options):
            typer.echo(row)
    except (ValueError, datasets.DatasetError) as error:
        fail(error)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def reproduce(
    context: typer.Context,
    paper: Annotated[str, typer.Argument(help="kingma2013, burda2015, tomczak2017, dieng2018 or rybkin2020.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Show cells, paper's values, ours, cost; run none.")] = False,
    cost: Annotated[
        bool, typer.Option("--cost", help="Count the operations of each cell, for --list; run none.")
    ] = False,
    epochs: Annotated[int, typer.Option(min=1, help="How many, if not the paper's schedule.")] = None,
    seed: Annotated[list[int], typer.Option(min=0, help="Repeatable: a run for each.")] = (0,),
    set_: Annotated[
        list[str], typer.Option("--set", help="Another setting, or a quirk of the paper's code; repeatable.")
    ] = (),
    together: Annotated[
        bool, typer.Option("--together", help="Train the seeds at once, on JAX; meant for a GPU.")
    ] = False,
    queue: Annotated[
        Path, typer.Option(help="A file of runs, a line each with what this command takes: in order, what is left.")
    ] = None,
    shard: Annotated[str, typer.Option(help="With --queue: 2/8, the second of eight parts.")] = "1/1",
    preset: Annotated[str, typer.Option(help="Keep a done run's weights in vaekit, by this name.")] = None,
    runs: Annotated[Path, typer.Option(help="Folder of checkpoints, from which runs go on.")] = Path("runs"),
    results: Annotated[Path, typer.Option(help="Folder of records.")] = Path("results"),
):
    """Train and measure cells of a paper's tables as the paper does; records in results/, beside the paper's values.

    A cell is chosen by its options, as --list shows them: vaekit reproduce burda2015 --data static_mnist --layers 1
    --objective iwae --samples 50. Fewer options choose several cells. A run that was cut off goes on where it was.
    With --set learning_rate=5e-4 the cell is varied: a run of its own, beside the paper's.
    With --queue FILE --list it says how far each run of a queue is.
    """
    from tqdm.auto import tqdm

    from vaekit.reproduction import choice, costs, packing, tables

    words = [paper, *context.args] if paper else context.args  # an unknown option may stand before the paper
    try:
        if queue:
            if words or set_ or epochs or together or preset or cost or tuple(seed) != (0,):
                fail("With --queue, cells, seeds, epochs and settings stand in its lines.")
            _run_queue(queue, shard, list_, runs, results)
            return
        chosen = [cell.vary(choice.changes(set_)) for cell in choice.choose(words)]
        if list_:
            typer.echo(tables.listing(chosen, results))
        elif not (words or cost):
            fail("Say which paper, such as vaekit reproduce burda2015; vaekit reproduce --list shows all cells.")
        elif cost:
            list(tqdm(costs.write(chosen, results), total=len(chosen), unit="cell"))
        elif preset:
            if len(chosen) != 1 or len(seed) != 1:
                fail(f"A preset is one run of one cell; these options choose {len(chosen)} cells, {len(seed)} seeds.")
            kept = packing.pack(chosen[0], preset, seed[0], runs, results)
            typer.echo(f"Kept as {preset!r}; half precision changes log p(x) by {kept['check']['rounding']} nats.")
        else:
            _run_all(chosen, [list(seed)] if together else [[number] for number in seed], epochs, runs, results)
    except KeyboardInterrupt:
        fail("Stopped. The same command goes on from the last checkpoint.")
    except (ValueError, RuntimeError, OSError) as error:
        fail(error)


def _run_queue(path, shard, list_, runs, results):
    """Runs what is left of a queue; one that fails, or that another process works on, stops no other."""
    from vaekit.reproduction import queue, tables
    from vaekit.reproduction.runs import BusyError, run

    jobs, faults = queue.read(path, shard), 0
    if list_:
        for job in jobs:
            typer.echo(f"{job.name}: {job.state(runs, results)}")
        return
    try:
        for job in jobs:
            try:
                if not job.done(results):
                    typer.echo(tables.report(run(job.cell, job.seed, job.epochs, runs, results)))
            except BusyError:
                typer.echo(f"{job.name}: in work elsewhere")
            except (RuntimeError, ValueError) as error:
                faults += 1
                typer.secho(f"{job.name}: {error}", fg="red", err=True)
    finally:
        left = sum(job.state(runs, results) != "done" for job in jobs)
        typer.echo(
            f"{len(jobs) - left} of {len(jobs)} runs are done; vaekit reproduce --queue {path} --list shows all."
        )
    if faults:
        fail(f"{faults} runs could not be made; see above.")


def _run_all(cells, groups, epochs, runs, results):
    """Runs each cell for each group of seeds and shows the records; of several cells, one that fails stops no other."""
    from vaekit.reproduction import tables
    from vaekit.reproduction.runs import run_seeds

    faults = 0
    for cell, group in itertools.product(cells, groups):
        try:
            for record in run_seeds(cell, group, epochs, runs, results):
                typer.echo(tables.report(record))
        except (RuntimeError, ValueError) as error:  # the others go on
            if len(cells) == 1:
                raise
            faults += 1
            text = str(error) if cell.name in str(error) else f"{cell.paper} {cell.name}: {error}"
            typer.secho(text, fg="red", err=True)
    if faults:
        fail(f"{faults} of {len(cells) * len(groups)} runs could not be made; see above.")


@app.command()
def results(
    results: Annotated[Path, typer.Argument(help="Folder of records.")] = Path("results"),
    check: Annotated[bool, typer.Option(help="Only compare README.md there with the records.")] = False,
    note: Annotated[str, typer.Option(help="Why a figure is as it is: kept in the record given by --record.")] = None,
    record: Annotated[Path, typer.Option(help="The record that --note is for.")] = None,
):
    """Print the records beside the papers' values, as tables, and write them into the folder's README.md."""
    from vaekit.files import replacing
    from vaekit.reproduction import records, tables

    try:
        if (note is None) != (record is None):
            fail('A note and its record go together: --record results/PAPER/CELL.json --note "why".')
        if record:
            dataclasses.replace(records.read(record), note=note).write(record.parent.parent)
        if check:
            if old := tables.stale(results):
                fail(f"{', '.join(map(str, old))}: not what the records say. Run vaekit results.")
            return
        for path, text in tables.pages(results).items():
            with replacing(path) as stream:
                stream.write(text.encode())
        typer.echo(tables.markdown(results))
    except (ValueError, OSError) as error:
        fail(error)
