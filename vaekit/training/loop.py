"""The loop over epochs, of one model or of several at once."""

import keras

from vaekit.batches import Stacked
from vaekit.training.callbacks import listens
from vaekit.training.checkpoint import Checkpoint
from vaekit.training.finite import StopAtNaN, not_finite
from vaekit.training.program import program_of


def train(fits):
    """Trains models, each as its `Fit` says; those that are in the same epoch take their steps in one program."""
    programs = {}  # of several models
    try:
        for fit in fits:
            fit.begin()
        while going := [fit for fit in fits if not fit.done]:
            epoch = min(fit.epoch for fit in going)
            now = [fit for fit in going if fit.epoch == epoch]
            # rounding depends on how many share a program: those that were in this epoch before a break count, too
            models = sum(not fit.done or max(fit.model.history.epoch, default=-1) >= epoch for fit in fits)
            run([fit.training() for fit in now], models, programs)
            run([one for fit in now if (one := fit.validation())], models, programs)
            for fit in now:
                fit.end_epoch()
    finally:
        for fit in fits:
            fit.close()


def evaluate(model, batches, callbacks):
    """The terms' means over all batches, dict of floats."""
    callbacks = keras.callbacks.CallbackList(callbacks, model=model, epochs=1, steps=len(batches), verbose=0)
    evaluation = Pass(model, batches, callbacks, training=False)
    run([evaluation])
    callbacks.on_test_end(evaluation.logs)
    return evaluation.logs


def run(passes, models=1, programs=None):
    """Runs each `Pass`, all in one program of as many `models`; where they are fewer, some are in it several times."""
    if not passes:
        return
    first = passes[0]
    if models == 1:
        first.program = program_of([first.model], first.training, first.model.step_programs)
        first.program.epoch(first.batches, first.one_by_one, first.begin, first.end)
        return
    places = (passes * models)[:models]
    program = program_of([one.model for one in places], first.training, programs)

    def end(step):
        for one in passes:
            one.end(step)

    def begin(step):
        for one in passes:
            one.begin(step)

    program.epoch(Stacked([one.batches for one in places]), False, begin, end)


class Pass:
    """All batches of a model once, in steps of training or of evaluation, of which its callbacks are told.

    Args:
        model: a `LatentVariableModel`.
        batches: `vaekit.batches.Batches`.
        callbacks: `keras.callbacks.CallbackList`.
        training: for training steps; False: for evaluation.

    Attributes:
        logs: the terms' means up to now, dict of floats.
        one_by_one: whether a callback wants to know of every step.
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
        """Tells the callbacks of a program's first step."""
        self._on_begin(first)
        if self.one_by_one and self.program:
            self.model.require_settings(*self.program.settings)

    def end(self, last):
        """Tells the callbacks of a program's last step; returns whether the pass is to end there."""
        self.logs.update({name: float(value) for name, value in self.model.get_metrics_result().items()})
        self._on_end(last, dict(self.logs))
        return self.model.stop_training if self.training else self.model.stop_evaluating


class Fit:
    """The training of one model.

    Args:
        model: a compiled `LatentVariableModel`.
        batches: `vaekit.batches.Batches`.
        validation: batches of any kind, or None.
        epochs: how many there are to be in all.
        callbacks: list of Keras callbacks.
        checkpoint: path of a file that keeps the state of training, or None.
        initial_epoch: the first one, from 0.
        validation_freq: epochs from one validation to the next, or a list of those that have one, as in Keras.

    Attributes:
        epoch: the present one, or the next.
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
        self.path, self.checkpoint, self.logs, self.begun, self.done = checkpoint, None, {}, False, False

    def begin(self):
        """Begins training, or goes on where a checkpoint ends."""
        self.model.stop_training = False
        self.callbacks.on_train_begin()
        self.epoch = self.model._initial_epoch or self.epoch  # the former: from BackupAndRestore
        if self.path is not None:
            self.model.build_optimizer()
            files = self.path, self.model, self.batches, self.validation_batches, self.callbacks.callbacks
            self.checkpoint = Checkpoint(*files)
            self.epoch = self.checkpoint.restore(self.model.history, self.epochs)
        self.begun = True
        self._end_if_done()

    def training(self):
        """The epoch's `Pass` over the data."""
        self.training_pass, self.validation_pass = Pass(self.model, self.batches, self.callbacks, training=True), None
        self.callbacks.on_epoch_begin(self.epoch)
        return self.training_pass

    def validation(self):
        """The epoch's `Pass` over the validation data, if there is one; other batches than ours Keras has run here."""
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
        """Tells the callbacks, goes to the next epoch, and keeps what was reached."""
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
        """Has the optimizer finish the weights, which some average, also where training fails."""
        if self.begun:
            self.begun = False
            self.model.optimizer.finalize_variable_values(self.model.trainable_variables)
