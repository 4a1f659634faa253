"""A data set of one's own arrays."""

from numbers import Integral, Real

import numpy as np

from vaekit.batches import as_array

from .registry import Dataset, Splits, sizes, unit_interval
from .registry import binarize as binarized


def from_arrays(x, labels=None, validation=0.1, test=0.1, seed=0, binarize=False, name="own"):
    """Arrays of one's own as a data set such as `load` returns, split at random: what the papers' models are built by.

    ```python
    data = vk.datasets.from_arrays(images, binarize=True)
    model = vk.papers.tomczak2017.vae(data, prior="vampprior")
    ```

    Args:
        x: array `[N, H, W, C]`, or `[N, H, W]` for grey images, or of vectors, `[N, D]`. Bytes (uint8) become k/255,
            unless none is above 1: those are binary, and stay 0 and 1 (grey images as dark as that are to be divided
            before). Other numbers stay what they are, in float32.
        labels: array `[N]` of integers, or of words, which become their place in the order of the alphabet; None: none.
        validation, test: how many examples, or which share of all, the others do not see.
        seed: integer that decides the split, and draws.
        binarize: take the values, in [0, 1], as probabilities of 1: `train` is drawn anew in every pass, `validation`
            and `test` once.
        name: of the data set, for tables and figures.

    Returns: `Dataset`.

    Raises:
        ValueError: no array of numbers, labels of another length, splits that leave nothing to train on, values to be
            binarized that are no probabilities.
    """
    x = as_array("x", x)
    if x.ndim < 2:
        raise ValueError(f"from_arrays expects an array [N, H, W, C] or [N, D]; received the shape {list(x.shape)}.")
    x = x[..., None] if x.ndim == 3 else x
    grey = x.dtype == "uint8" and x.max(initial=0) > 1
    x, by = (unit_interval(x), ", values/255") if grey else (x.astype("float32", copy=False), "")
    n = len(x)
    held_out = [_count("validation", validation, n), _count("test", test, n)]
    if sum(held_out) >= n:
        raise ValueError(f"validation={validation!r} and test={test!r} leave none of {n} examples to train on.")
    splits = np.split(np.random.default_rng(seed).permutation(n), (n - sum(held_out), n - held_out[1]))
    parts = Splits(*(x[rows] for rows in splits))
    if labels is not None:
        labels = np.asarray(labels)
        if labels.shape != (n,):
            raise ValueError(f"from_arrays expects {n} labels, [{n}]; received the shape {list(labels.shape)}.")
        if labels.dtype.kind not in "iub":
            labels = np.unique(labels, return_inverse=True)[1]
        labels = Splits(*(labels[rows].astype("int64") for rows in splits))
    fields = {
        "title": name,
        **parts._asdict(),
        "labels": labels,
        "description": f"Arrays of one's own{by}. Shuffled once by seed {seed}, then split {sizes(parts._asdict())}.",
        "source": "",
    }
    return Dataset(name=name, **(binarized(fields, seed) if binarize else fields))


def _count(name, value, n):
    """How many of n examples a number or a share is."""
    share = isinstance(value, Real) and not isinstance(value, Integral) and 0 <= value < 1
    if not share and not (isinstance(value, Integral) and 0 <= value < n):
        raise ValueError(f"from_arrays expects {name} to be a share of [0, 1) or a number below {n}; got {value!r}.")
    return round(value * n) if share else int(value)
