"""Many steps in one compiled program: small models are otherwise starved by what happens between two steps."""

import time

import keras
from keras import ops

from vaekit import backend
from vaekit.batches import taken
from vaekit.models.progress import Progress

SECONDS = 0.2  # how long one program should run, where nobody says how many steps it has


class Loop:
    """Runs `step(batch)` for every batch of an epoch; the data stay on the device, and so do the steps.

    A program has `steps` steps, and callbacks are told of each program. Where `steps` is None, it has as many as take
    about a fifth of a second, so that progress is seen and training can be interrupted; one at a time if a callback
    listens to batches.

    Args:
        step: function of a batch, which reads and updates `variables`.
        variables: list of `keras.Variable`.
        steps: steps a program, or None.
        jit_compile: whether TensorFlow uses XLA (JAX always does).
        run_eagerly: as for `keras.Model.compile`.
        others: lists like `variables`, of further models, that take the same steps at once with batches `Abreast`.
    """

    def __init__(self, step, variables, steps=None, jit_compile=False, run_eagerly=False, others=()):
        def body(i, tensors, index, keys):
            step(backend.shared_out(taken(tensors, index[i], keys[i])))

        def eagerly(start, stop, *arrays):
            for i in range(start, stop):
                body(i, *arrays)

        self.program = eagerly if run_eagerly else backend.compile_loop(body, variables, jit_compile, others)
        self.given, self.steps = steps, 1

    def epoch(self, batches, one_by_one, begin, end):
        """Runs an epoch.

        Args:
            batches: `vaekit.batches.Batches`.
            one_by_one: whether every step is a program, unless `steps` was given.
            begin: called with the number of a program's first step.
            end: called with the number of its last step, when it is done; true ends the epoch.
        """
        done = 0
        for tensors, index, keys in batches.pieces():
            start, total = 0, len(index)
            index, keys = ops.convert_to_tensor(index), ops.convert_to_tensor(keys)
            while start < total:
                stop = min(start + (self.given or (1 if one_by_one else self.steps)), total)
                begin(done + start)
                clock = time.perf_counter()
                self.program(start, stop, tensors, index, keys)
                if end(done + stop - 1):
                    return
                # the next program: at most four times as long, since the first ones compile
                rate = (stop - start) / (time.perf_counter() - clock)
                self.steps = max(1, min(4 * max(stop - start, self.steps), int(SECONDS * rate)))
                start = stop
            done += total


class Pass:
    """All batches once, which a model that is fitted or evaluated asks for.

    Args:
        model: a `LatentVariableModel`.
        batches: `vaekit.batches.Batches`.
        callbacks: `keras.callbacks.CallbackList`.
        training: for training steps; False: for evaluation.
        epoch: of training.

    Attributes:
        time: passes at the same time sort equal: epoch by epoch, training before validation.
        logs: the terms' means up to now, dict of floats.
        one_by_one: whether a callback wants to know of every step.
    """

    def __init__(self, model, batches, callbacks, training, epoch=0):
        self.model, self.batches, self.training, self.logs = model, batches, training, {}
        self.time = (epoch, not training)
        kind = "train" if training else "test"
        self.begin, self._told = (getattr(callbacks, f"on_{kind}_batch_{when}") for when in ("begin", "end"))
        self.one_by_one = any(listens(c, kind) for c in callbacks.callbacks)

    def end(self, last):
        """Tells the callbacks of a program's last step; returns whether the pass is to end there."""
        self.logs.update({name: float(value) for name, value in self.model.get_metrics_result().items()})
        self._told(last, dict(self.logs))
        return self.model.stop_training if self.training else self.model.stop_evaluating


def listens(callback, kind):
    """Whether a callback wants to know of every batch of `kind` "train" or "test", not of epochs or programs alone."""
    hooks = [f"on_{prefix}batch_{when}" for prefix in ("", f"{kind}_") for when in ("begin", "end")]
    known = all(
        getattr(getattr(callback, hook), "__func__", None) is getattr(keras.callbacks.Callback, hook) for hook in hooks
    )
    # ModelCheckpoint and BackupAndRestore, TensorBoard
    epochs = "epoch" in (getattr(callback, "save_freq", None), getattr(callback, "update_freq", None))
    return not (known or epochs or isinstance(callback, Progress))
