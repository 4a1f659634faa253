"""Many steps in one compiled program: for small models most time would else pass between two steps."""

import operator
import time

from keras import ops

from vaekit import backend
from vaekit.batches import take
from vaekit.training import step

SECONDS = 0.2  # that one program should run, unless its number of steps is given


def program_of(models, training, programs):
    """Finds or makes the program of the steps of models, of training or of evaluation.

    Args:
        models: list of `LatentVariableModel`s; of several, all take a step at once.
        training: True for training steps, False for evaluation.
        programs: dict of the programs there are; one is replaced when a number of an objective has changed, or an
            optimizer has got a schedule.
    """
    key = (training, *(id(model) for model in models)) if len(models) > 1 else training
    settings, rates = [model.settings() for model in models], [_rate(model.optimizer) for model in models]
    changed = key in programs and (programs[key].settings != settings and any(settings))  # "": unknown
    if key not in programs or changed or (training and any(map(operator.is_not, programs[key].rates, rates))):
        first, *others = (model.step_state(training) for model in models)
        model, take_step = models[0], step.train if training else step.evaluate
        steps = model.steps_per_execution if model.chosen("steps_per_execution") else None
        programs[key] = Program(
            lambda batch: take_step(model, batch), first, steps, model.jit_compile, model.run_eagerly, others
        )
        programs[key].settings, programs[key].rates = settings, rates
    return programs[key]


def _rate(optimizer):
    """Finds an optimizer's learning rate, a variable or a schedule, also where it has an optimizer within."""
    for name in ("inner_optimizer", "optimizer", "of_p"):
        optimizer = getattr(optimizer, name, optimizer)
    return optimizer._learning_rate


class Program:
    """Runs `take_step(batch)` for every batch of an epoch; the data stay on the device, and so do the steps.

    A program has `steps` steps, and callbacks are called once for each program. Where `steps` is None, it has as many
    as take about a fifth of a second, so that progress is seen and training can be interrupted; one at a time if a
    callback has hooks for batches.

    Args:
        take_step: function of a batch, which reads and updates `variables`.
        variables: list of `keras.Variable`.
        steps: steps a program, or None.
        jit_compile: whether TensorFlow uses XLA (JAX always does).
        run_eagerly: as for `keras.Model.compile`.
        others: lists like `variables`, of further models, that take the same steps at once with `Stacked` batches.

    Attributes:
        settings: numbers of the models' objectives, which are constants of the program.
        rates: the optimizers' learning rates, variables or schedules.
    """

    settings = rates = None

    def __init__(self, take_step, variables, steps=None, jit_compile=False, run_eagerly=False, others=()):
        def body(i, tensors, index, keys):
            take_step(backend.shard_batch(take(tensors, index[i], keys[i])))  # a batch [B, ...]

        def eagerly(start, stop, *arrays):
            for i in range(start, stop):
                body(i, *arrays)

        self.program = eagerly if run_eagerly else backend.compile_loop(body, variables, jit_compile, others)
        self.fixed_steps, self.steps = steps, 1

    def epoch(self, batches, one_by_one, begin, end):
        """Runs an epoch.

        Args:
            batches: `vaekit.batches.Batches`.
            one_by_one: whether every step is a program, unless `steps` was given.
            begin: called with the number of a program's first step.
            end: called with the number of its last step, when it is done; true ends the epoch.
        """
        done = 0
        for tensors, index, keys in batches.chunks():
            start, total = 0, len(index)
            index, keys = ops.convert_to_tensor(index), ops.convert_to_tensor(keys)
            while start < total:
                stop = min(start + (self.fixed_steps or (1 if one_by_one else self.steps)), total)
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
