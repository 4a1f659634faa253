"""The terms of an objective over the epochs."""

from collections.abc import Mapping

import numpy as np

from vaekit.plotting.figure import CLASSES, WIDTH, Figure


def training_curves(history, terms=("bound", "reconstruction", "kl"), examples_per_epoch=None, validation_frequency=1):
    """Draws training (solid) and validation (dashed) curves, in nats per example; one panel a term.

    One run is black, and grey for validation; of several each has a colour.

    Keras averages a training value over its epoch, while the weights still move; validation follows the epoch.

    Args:
        history: what `fit` returned, or its `.history`, or a dict of several of them by label, to compare.
        terms: names in the history, without `val_`; those that are missing are left out.
        examples_per_epoch: N, for a logarithmic axis in training samples evaluated instead of epochs.
        validation_frequency: `fit`'s `validation_freq`.

    Returns: `Figure`.

    Raises:
        ValueError: none of the terms is there, or curves do not have one value an epoch.

    Source: Kingma & Welling 2014, figure 2.
    """
    several = isinstance(history, Mapping) and all(isinstance(_curves(h), Mapping) for h in history.values())
    histories = {label: _curves(h) for label, h in (history if several else {"": history}).items()}
    present = list(dict.fromkeys(name.removeprefix("val_") for curves in histories.values() for name in curves))
    shown = [term for term in terms if term in present]
    if not shown:
        raise ValueError(f"training_curves looks for {list(terms)}; the history has {present}. Name some: terms=[...].")
    figure = Figure(figsize=(WIDTH, 3.2 if len(shown) > 1 else 4.5))
    panels = figure.subplots(1, len(shown), squeeze=False)[0]
    for i, (label, curves) in enumerate(histories.items()):
        epochs = 1 + np.arange(max(map(len, curves.values()), default=0))
        parts = ("", "training", "-", epochs), ("val_", "validation", "--", epochs[epochs % validation_frequency == 0])
        for j, (prefix, part, ls, x) in enumerate(parts):
            style = dict(
                color=CLASSES[i % len(CLASSES)] if several else ("black", "0.5")[j],
                marker="." if len(x) <= 30 else None,
                label=f"{label}, {part}" if several else part,
            )
            for axes, term in zip(panels, shown, strict=True):
                y = curves.get(prefix + term)
                if y is not None and len(y) != len(x):
                    raise ValueError(
                        f"training_curves expects {len(x)} values of {prefix + term!r}; received {len(y)}. If "
                        "validation did not run after every epoch, say validation_frequency=..., as in fit."
                    )
                if y is not None:
                    axes.plot(x * (examples_per_epoch or 1), y, ls=ls, **style)
    for axes, term in zip(panels, shown, strict=True):
        axes.set_title("KL" if term == "kl" else term)
        if examples_per_epoch:
            axes.set(xlabel="training samples evaluated", xscale="log")
        else:
            axes.set_xlabel("epoch")
            axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("nats per example")
    keys = {text: key for axes in panels for key, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(keys.values(), keys, loc="outside lower center", ncols=min(4, len(keys)), frameon=False)
    return figure


def _curves(history):
    """The dict of lists in a Keras `History`, or the dict itself."""
    return getattr(history, "history", history)
