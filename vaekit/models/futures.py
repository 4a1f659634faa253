"""Continuations of sequences, whose first steps are known."""

import math

import numpy as np
from keras import ops

from vaekit import backend
from vaekit.batches import check_counts
from vaekit.models.arrays import row_batches
from vaekit.models.data import fixed_arrays
from vaekit.models.features import completed
from vaekit.models.generate import draw, draw_sequences
from vaekit.models.over_time import first_steps, known_steps


def draw_futures(model, x, n, length, mean, batch_size, seed):
    """Draws what comes after the first steps of sequences, see `LatentVariableModel.futures`.

    As many futures of all sequences are drawn at once as make a batch.

    Returns: dict by observed variable of arrays `[n, N, T, ...]`.
    """
    observed = [name for name in model.observed if name in model.sequences]
    if not observed:
        raise ValueError("futures continues sequences, of which this model has none: see vaekit.past.")
    check_counts("futures", n=n, batch_size=batch_size, length=1 if length is None else length)
    data = fixed_arrays(model, x)
    steps = data[observed[0]].shape[1]
    built = model.event_shapes[observed[0]][0]
    length = built if length is None else length
    needed = max(known_steps(f) for f in model.generative if f.name in observed)
    if steps < needed:
        raise ValueError(f"This model describes {observed} given their {first_steps(needed)}; there are {steps}.")
    beside = [name for name in model.conditions if data[name].ndim > 2 and data[name].shape[1] == built]
    if beside and length != built:
        raise ValueError(
            f"futures of this model have {built} steps, as its conditions {beside} have that it was built with; asked "
            f"for {length}. Build it with longer ones, or leave length out."
        )
    if steps > length:
        raise ValueError(f"{steps} steps are given, more than the {length} that futures should have.")

    def latents(batch, conditions):
        """Draws latents of the known steps, and those that are no sequences."""
        rows = len(batch[observed[0]])
        if steps > needed:
            seen = {k: v[:, :steps] if k in model.conditions and v.ndim > 2 else v for k, v in batch.items()}
            return encoded(model, steps, rows)(seen, backend.seed(seed))
        static = [name for name in model.latents if name not in model.sequences]
        return draw(model, rows, conditions, static, seed)  # nothing is described yet

    def continued(batch):
        conditions = {name: batch[name] for name in model.conditions}
        everything = {**batch, **latents(batch, conditions)}
        values = {name: value for name, value in everything.items() if name not in model.sequences}
        known = {name: value for name, value in everything.items() if name in model.sequences}
        rows, means = len(batch[observed[0]]), observed if mean else ()
        values = completed(model, values)
        return draw_sequences(model, rows, values, list(model.sequences), seed, length, means, known)

    rows = len(data[observed[0]])
    rounds = math.ceil(n / max(1, min(n, batch_size // rows)))
    copies = math.ceil(n / rounds)
    data = {name: np.concatenate([value] * copies) for name, value in data.items()}

    def once():
        parts = [continued(batch) for batch, _ in row_batches(data, batch_size)]
        whole = {name: np.concatenate([ops.convert_to_numpy(part[name]) for part in parts]) for name in observed}
        return {name: value.reshape(copies, rows, *value.shape[1:]) for name, value in whole.items()}

    draws = [once() for _ in range(rounds)]
    return {name: np.concatenate([d[name] for d in draws])[:n] for name in observed}


def encoded(model, steps, rows):
    """Compiles draws of the latents of known steps: a function of data and a seed; one for each length, as TensorFlow
    would forget it."""

    def run(seen, key):
        return model.latent_values(seen, False, backend.SeedSequence(key))

    return model.program(("encoded", steps, rows), lambda: backend.compile(run, model.variables))
