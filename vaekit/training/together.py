"""Several models of one structure, trained at once: on a GPU, small ones take about the time of one of them."""

import os
from itertools import chain
from numbers import Number

from vaekit import backend
from vaekit.batches import Batches, check_counts, is_array
from vaekit.training.callbacks import listens, with_progress
from vaekit.training.checkpoint import settings_by_path
from vaekit.training.loop import Fit, train


def fit_together(
    models,
    x,
    batch_size=None,
    epochs=1,
    verbose="auto",
    callbacks=None,
    validation_data=None,
    shuffle=True,
    checkpoints=None,
):
    """Trains models as `fit` would one after the other, but all at the same time where the backend can, which JAX does.

    ```python
    models = [build(seed) for seed in range(5)]
    stop = [[vk.training.EarlyStopping()] for _ in models]
    vk.training.fit_together(models, x, validation_data=validation, epochs=100, callbacks=stop)
    ```

    One compiled program takes a step of every model, each with weights, order of the data and noise of its own; those
    that have stopped keep what they stopped with. Weights are those of separate `fit`s but for float32's rounding,
    which depends on how many models share a program (and whose effect grows with the steps).

    It is meant for a GPU, most of which a small model leaves idle; a processor is faster with one after the other.
    TensorFlow takes them so, exactly as `fit` does; JAX too with a `keras.distribution`, data above 2 GiB,
    `run_eagerly`, or a `train_step` of one's own.

    Args:
        models: list of compiled `LatentVariableModel`s, equal but for weights, seeds, names and learning rates
            (schedules are to be equal).
        x: arrays, or a dict of them, for all models; `validation_data` likewise.
        batch_size, epochs, verbose, shuffle: as for `fit`.
        callbacks: list of lists, each model's own callbacks, which are called for epochs, not for every batch.
        checkpoints: list of paths, each model's own file, as that of `fit(checkpoint=...)`. Models that go on from
            different epochs wait for the last of them. All come to the weights that they would have come to without a
            break, bit for bit (same backend, device and versions), if the list had as many models from the start. The
            seconds in a file are those of all models.

    Returns: list of `keras.callbacks.History`.

    Raises:
        ValueError: models that differ or share weights, data that are unusable or no arrays, callbacks that listen to
            batches or serve two models.
        CheckpointError: a checkpoint that is damaged or belongs to another training.
    """
    models = list(models)
    if not models:
        return []
    callbacks = [list(each or []) for each in _list_by_model(models, callbacks, "callbacks", (list, tuple))]
    checkpoints = _list_by_model(models, checkpoints, "checkpoints", (str, os.PathLike))
    if not (is_array(x) and (validation_data is None or is_array(validation_data))):
        raise ValueError("fit_together expects arrays, or dicts of them; train on other data by each model's own fit.")
    check_counts("fit_together", least=0, epochs=epochs)
    for model in models:
        model._assert_compile_called("fit")
        model.arrays(x)
    _check_compatible(models, callbacks, checkpoints)
    if validation_data is not None:
        models[0].arrays(validation_data)
    callbacks = [with_progress(each, verbose, f"model {i}, ") for i, each in enumerate(callbacks, 1)]
    if _can_share_program(models, Batches(models[0].arrays(x))):
        validation = None if validation_data is None else models[0].batches(validation_data, batch_size)
        batches = [model.batches(x, batch_size, shuffle) for model in models]
        each = zip(models, batches, callbacks, checkpoints, strict=True)
        train([Fit(model, data, validation, epochs, hooks, path) for model, data, hooks, path in each])
    else:
        options = dict(batch_size=batch_size, epochs=epochs, validation_data=validation_data, shuffle=shuffle)
        for model, hooks, path in zip(models, callbacks, checkpoints, strict=True):
            model.fit(x, callbacks=hooks, checkpoint=path, verbose=0, **options)
    return [model.history for model in models]


def _can_share_program(models, batches):
    """Returns whether a program can take steps of all models at once."""
    programs = [
        m.takes_programs(batches, step) and not m.run_eagerly for m in models for step in ("train_step", "test_step")
    ]
    return len(models) > 1 and all(programs) and batches.resident and backend.loops_together()


def _list_by_model(models, values, name, kinds):
    """Returns a list of as many values as models; raises ValueError for anything else but None."""
    values = [None] * len(models) if values is None else values
    valid = isinstance(values, (list, tuple)) and all(v is None or isinstance(v, kinds) for v in values)
    if not valid or len(values) != len(models):
        one = {"callbacks": "list of callbacks", "checkpoints": "path"}[name]
        raise ValueError(
            f"fit_together expects {name} as a list with a {one} for each of {len(models)} models, got {values!r}."
        )
    return values


def _check_compatible(models, callbacks, checkpoints):
    """Raises ValueError for models that differ by more than weights, seeds, names and learning rates, or that share."""
    hooks = list(chain(*callbacks))
    if listening := [type(c).__name__ for c in hooks if listens(c, "train") or listens(c, "test")]:
        raise ValueError(
            f"{listening[0]} wants to know of every batch, but models that are trained together tell callbacks of "
            "epochs only. Use its epoch hooks, or each model's own fit."
        )
    variables = [v for model in models for v in model.step_state(training=True)]
    paths = [os.path.abspath(path) for path in checkpoints if path is not None]
    for name, keys in {"callbacks": map(id, hooks), "weights": map(id, variables), "checkpoints": paths}.items():
        if len(keys := list(keys)) > len(set(keys)):
            raise ValueError(f"fit_together expects models with {name} of their own; two of them share some.")
    first, *others = map(_settings, models)
    for i, other in enumerate(others, 2):
        names = sorted({**first, **other}, key=lambda name: name.startswith("weights"))  # which follow from the rest
        for name in names:
            a, b = first.get(name, "nothing"), other.get(name, "nothing")
            if a != b:
                raise ValueError(
                    f"fit_together expects models that differ in weights, seeds, names and learning rates only; {name} "
                    f"is {a!r} in model 1, {b!r} in model {i}. Train groups of equal models, each by a call of its own."
                )


def _settings(model):
    """The settings that models in one program have in common: dict of values by their path in the configuration."""
    parts = {
        "class": type(model),
        **model.get_compile_config(),
        "networks": model.get_config(),
        "weights": [[tuple(v.shape), v.dtype, v.trainable] for v in model.step_state(training=True)],
    }
    return {
        ".".join(map(str, path)): value
        for path, value in settings_by_path(model, parts).items()
        if not (path[0] == "optimizer" and path[-1] == "name")
        and not (path[-1] == "learning_rate" and isinstance(value, Number))
    }
