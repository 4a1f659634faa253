"""Model cards: what somebody else has to know of a trained model, one page that a program fills."""

from dataclasses import dataclass
from datetime import date

import numpy as np

from vaekit import backend, evaluation
from vaekit.evaluation.errors import standard_error
from vaekit.reproduction.records import PACKAGES, cores, versions


@dataclass(frozen=True)
class ModelCard:
    """A table of two columns, `rows`, a dict of texts; shown as Markdown.

    Attributes:
        rows: dict: what it is (data, model, metric, …) to text.
        log_likelihoods: array `[seeds, N]`, of each model and test image, in nats: to compare with, pair by pair.
    """

    rows: dict
    log_likelihoods: np.ndarray

    def __str__(self):
        lines = ["| {} | {} |".format(*(cell.replace("|", "\\|") for cell in row)) for row in self.rows.items()]
        return "\n".join(["| | |", "|---|---|", *lines])

    def _repr_markdown_(self):
        return str(self)


def model_card(models, data, *, purpose, not_for, settings, test=None, samples=100, seed=0):
    r"""Measures models of one recipe, and writes what they are, of which data, measured how.

    Of log p(x) it gives the mean over test examples and seeds, and two standard errors: over examples (another test
    set), and over seeds (another training), where there are several.

    Args:
        models: dict of trained `LatentVariableModel`s by seed; all of one recipe.
        data: the `vaekit.datasets.Dataset` they were trained on.
        purpose: a sentence: what it is for.
        not_for: a sentence: what it is not for. A program cannot know either.
        settings: dict of what it was trained with: epochs, batch size, learning rate, …
        test: test data as the models take it; None: `data.test`.
        samples: of importance sampling, for each example.
        seed: an int, of these samples.

    Returns: `ModelCard`.

    Raises:
        ValueError: no model; purpose or limits left empty.
    """
    if not models:
        raise ValueError("model_card expects a dict of models by their seeds, {0: model}; it is empty.")
    for name, text in {"purpose": purpose, "not_for": not_for}.items():
        if not text.strip():
            raise ValueError(f"model_card expects a sentence for {name}: nothing but you can know it.")
    test = data.test if test is None else test
    found = [evaluation.log_likelihood(m, test, samples=samples, seed=seed, progress=False) for m in models.values()]
    log_p = np.stack([one.per_example for one in found])  # [seeds, N]
    bounds = [m.evaluate(test, seed=seed, verbose=0)["bound"] for m in models.values()]
    model = next(iter(models.values()))
    sizes = ", ".join(f"{len(getattr(data, part))} {part}" for part in ("train", "validation", "test"))
    seeds = f"± {standard_error(log_p.mean(axis=1)):.2f} over seeds" if len(models) > 1 else "one training only"
    unit = "nats, a probability of 0 and 1" if found[0].binary else "nats; a density, if the likelihood is one"
    rows = {
        "purpose": purpose,
        "not for": not_for,
        "data": f"{data.title}. {data.description} {data.source}".strip(),
        "split": sizes,
        "model": _factors(model) + f"; {model.count_params():,} weights",
        "settings": ", ".join(f"{name}: {value}" for name, value in settings.items()),
        "log p(x)": f"{log_p.mean():.2f}, ± {standard_error(log_p.mean(axis=0)):.2f} over examples, {seeds} ({unit})",
        "bound": f"{np.mean(bounds):.2f}, as trained by {type(model.objective).__name__}",
        "metric": f"importance sampling, {samples} draws of q, {log_p.shape[1]} test examples; median effective "
        f"draws {np.median(found[0].effective_sample_size):.0f}",
        "seeds": ", ".join(map(str, models)),
        "versions": ", ".join(f"{name} {number}" for name, number in versions(PACKAGES).items()),
        "ran on": f"{backend.NAME}, {backend.device()}, {cores()} cores, {date.today().isoformat()}",
    }
    return ModelCard(rows, log_p)


def _factors(model):
    """p(z) p(x|z), q(z|x), by the names of the factors."""

    def text(sign, factors):
        given = (", ".join(map(str, factor.given)) for factor in factors)
        return " ".join(f"{sign}({f.name}{'|' * bool(g)}{g})" for f, g in zip(factors, given, strict=True))

    return f"{text('p', model.generative)}, {text('q', model.inference)}"
