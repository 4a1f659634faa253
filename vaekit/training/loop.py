"""The loop over epochs, of one model or of several at once."""

import keras

from vaekit.batches import Stacked
from vaekit.training.callbacks import listens
from vaekit.training.checkpoint import Checkpoint
from vaekit.training.finite import StopAtNaN, not_finite
from vaekit.training.program import program_of


def train(fits):
    """Trains models, by a `Fit` each; those that are in the same epoch take their steps in one program."""
    programs = {}  # of several models
    try:
        for fit in fits:
            fit.begin()
        while unfinished := [fit for fit in fits if not fit.done]:
            epoch = min(fit.epoch for fit in unfinished)
            active = [fit for fit in unfinished if fit.epoch == epoch]
            # rounding depends on how many share a program: those that were in this epoch before a break count, too
            models = sum(not fit.done or max(fit.model.history.epoch, default=-1) >= epoch for fit in fits)
            run([fit.training() for fit in active], models, programs)
            run([validation for fit in active if (validation := fit.validation())], models, programs)
            for fit in active:
                fit.end_epoch()
    finally:
        for fit in fits:
            fit.close()


def evaluate(model, batches, callbacks):
    """Computes the terms' means over all batches, dict of floats."""
    callbacks = keras.callbacks.CallbackList(callbacks, model=model, epochs=1, steps=len(batches), verbose=0)
    evaluation = Pass(model, batches, callbacks, training=False)
    run([evaluation])
    callbacks.on_test_end(evaluation.logs)
    return evaluation.logs


def run(passes, models=1, programs=None):
    """Runs each `Pass`, all in one program of so many `models`; where they are fewer, some are in it several times."""
    if not passes:
        return
    first = passes[0]
    if models == 1:
        first.program = program_of([first.model], first.training, first.model.step_programs)
        first.program.epoch(first.batches, first.one_by_one, first.begin, first.end)
        return
    shared = (passes * models)[:models]
    program = program_of([each.model for each in shared], first.training, programs)

    def end(step):
        for each in passes:
            each.end(step)

    def begin(step):
        for each in passes:
            each.begin(step)

    program.epoch(Stacked([each.batches for each in shared]), False, begin, end)


class Pass:
    """A pass over all batches of a model, in steps of training or of evaluation, with its callbacks.

    Args:
        model: a `LatentVariableModel`.
        batches: `vaekit.batches.Batches`.
        callbacks: `keras.callbacks.CallbackList`.
        training: True for training steps, False for evaluation.

    Attributes:
        logs: the terms' means up to now, dict of floats.
        one_by_one: whether a callback has hooks for every step.
        program: the `Program` of this model alone, or None.
    """

    def __init__(self, model, batches, callbacks, training):
        self.model, self.batches, self.training, self.logs, self.program = model, batches, training, {}, None
        kind = "train" if training else "test"
        self._on_begin, self._on_end = (getattr(callbacks, f"on_{kind}_batch_{when}") for when in ("begin", "end"))
        self.one_by_one = any(listens(callback, kind) for callback in callbacks.callbacks)
        if not training:
            model.stop_evaluating = False
            callbacks.on_test_begin()
        model.reset_metrics()

    def begin(self, first):
        """Calls the callbacks before a program, with the number of its first step."""
        self._on_begin(first)
        if self.one_by_one and self.program:
            self.model.require_settings(*self.program.settings)

    def end(self, last):
        """Calls the callbacks after a program, with the number of its last step; returns whether the pass ends."""
        self.logs.update({name: float(value) for name, value in self.model.get_metrics_result().items()})
        self._on_end(last, dict(self.logs))
        return self.model.stop_training if self.training else self.model.stop_evaluating


class Fit:
    """The training of one model.

    Args:
        model: a compiled `LatentVariableModel`.
        batches: `vaekit.batches.Batches`.
        validation: batches of any kind, or None.
        epochs: number of epochs in all.
        callbacks: list of Keras callbacks.
        checkpoint: path of the file with the state of training, or None.
        initial_epoch: the first one, from 0.
        validation_freq: epochs from one validation to the next, or a list of those that have one, as in Keras.

    Attributes:
        epoch: number of the present epoch, or the next, from 0.
        done: whether training has ended.
    """

    def __init__(
        self, model, batches, validation, epochs, callbacks, checkpoint=None, initial_epoch=0, validation_freq=1
    ):
        self.model, self.batches, self.validation_batches = model, batches, validation
        self.callbacks = keras.callbacks.CallbackList(
            [StopAtNaN(), *callbacks], add_history=True, model=model, epochs=epochs, steps=len(batches), verbose=0
        )
        self.epochs, self.epoch, self.validation_freq = epochs, initial_epoch, validation_freq
        self.path, self.checkpoint, self.logs, self.started, self.done = checkpoint, None, {}, False, False

    def begin(self):
        """Begins training, or resumes it from a checkpoint."""
        self.model.stop_training = False
        self.callbacks.on_train_begin()
        self.epoch = self.model._initial_epoch or self.epoch  # the former: from BackupAndRestore
        if self.path is not None:
            self.model.build_optimizer()
            files = self.path, self.model, self.batches, self.validation_batches, self.callbacks.callbacks
            self.checkpoint = Checkpoint(*files)
            self.epoch = self.checkpoint.restore(self.model.history, self.epochs)
        self.started = True
        self._end_if_done()

    def training(self):
        """Begins an epoch: its `Pass` over the data."""
        self.training_pass, self.validation_pass = Pass(self.model, self.batches, self.callbacks, training=True), None
        self.callbacks.on_epoch_begin(self.epoch)
        return self.training_pass

    def validation(self):
        """Begins the epoch's validation: its `Pass`; None without validation, or if Keras' own loop has done it."""
        self.logs = dict(self.training_pass.logs)
        if self.validation_batches is None or not self.model._should_eval(self.epoch, self.validation_freq):
            return None
        if self.model.takes_programs(self.validation_batches, "test_step"):
            self.validation_pass = Pass(self.model, self.validation_batches, self.callbacks, training=False)
            return self.validation_pass
        self._validated(self.model.evaluate(self.validation_batches, callbacks=self.callbacks))
        return None

    def _validated(self, logs):
        self.logs |= {f"val_{name}": value for name, value in logs.items()}

    def end_epoch(self):
        """Calls the callbacks, goes to the next epoch, and saves a checkpoint."""
        if self.validation_pass:
            self.callbacks.on_test_end(self.validation_pass.logs)
            self._validated(self.validation_pass.logs)
        self.callbacks.on_epoch_end(self.epoch, self.logs)
        self.batches.on_epoch_end()
        self.epoch += 1
        if self.checkpoint and not not_finite(self.training_pass.logs):
            last = self.model.stop_training or self.epoch == self.epochs
            self.checkpoint.save(self.epoch, self.model.history, last)
        self._end_if_done()

    def _end_if_done(self):
        self.done = self.epoch >= self.epochs or self.model.stop_training
        if self.done:
            self.close()
            self.callbacks.on_train_end(self.logs)

    def close(self):
        """Lets the optimizer finalize the weights, which some average, also where training fails."""
        if self.started:
            self.started = False
            self.model.optimizer.finalize_variable_values(self.model.trainable_variables)
