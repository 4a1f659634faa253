"""Gaps in data, NaN, that a network would see."""

import weakref

import numpy as np
from keras import ops

from vaekit.models.given import Given
from vaekit.training.losses import no_losses

_FILLED = weakref.WeakKeyDictionary()  # by model: names of the variables whose gaps its networks were seen to fill


def require_filled(model, arrays):
    """Raises ValueError where a network lets through the NaN of a missing value.

    A row with a gap goes through the networks eagerly: compiled by TensorFlow, a relu turns NaN into 0, and a posterior
    that sees nothing would train without a word.

    Args:
        model: a built `LatentVariableModel`.
        arrays: dict of checked arrays `[N, ...]` by variable name.
    """
    known = _FILLED.setdefault(model, set())
    for name, array in arrays.items():
        support = model.support(name)
        head = getattr(support, "head", support)  # of a sequence's step
        if not getattr(head, "missing", False) or name in known or (row := _first_gap(array)) is None:
            continue
        rows = {n: np.asarray(a[row : row + 1], "float32") for n, a in arrays.items()}
        whole = {n: np.where(np.isnan(a), getattr(head, "fill", 0.0), a) for n, a in rows.items()}
        if not _gives_nan(model, rows):
            known.add(name)
        elif not _gives_nan(model, whole):
            raise ValueError(
                f"A network that is given {name!r} sees the NaN of missing values. Where NaN in the data means "
                "missing, the encoder begins with vaekit.layers.FillMissing(), a layer of its Sequential or Stack."
            )


def _first_gap(array):
    """Returns the first row with a NaN; None: there is none."""
    rows = max(1, 2**22 // max(1, array[:1].nbytes))
    for start in range(0, len(array), rows):
        gaps = np.isnan(np.asarray(array[start : start + rows], "float32"))
        gaps = gaps.any(axis=tuple(range(1, gaps.ndim)))
        if gaps.any():
            return start + int(gaps.argmax())
    return None


def _gives_nan(model, rows):
    """Returns whether densities of rows, and of latents drawn given them, are NaN."""
    with no_losses():
        trace = Given(model, {name: ops.convert_to_tensor(value) for name, value in rows.items()}).draw(seed=0)
    densities = (*trace.log_p.values(), *trace.log_q.values())
    return any(np.isnan(ops.convert_to_numpy(value)).any() for value in densities)
