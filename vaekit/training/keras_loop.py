"""Keras' own loop, for batches, steps and options that `vaekit.training.loop` does not take."""

import contextlib
from types import MappingProxyType

import keras

from vaekit import backend
from vaekit.batches import require_no_targets


class KerasLoop(keras.Model):
    """A model whose programs take numbers of its objective for constants, and are compiled anew after a change.

    A subclass returns these numbers from `settings()`, as a text that differs after a change; "" if unknown.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._within_keras_loop, self._keras_settings = False, MappingProxyType({})

    @contextlib.contextmanager
    def within_keras_loop(self, within=True):
        """A context in which Keras runs the steps, and calling the model for their sake computes nothing."""
        before, self._within_keras_loop = self._within_keras_loop, within
        try:
            with backend.values_restored([*self.variables, *self.metrics_variables, *self.optimizer.variables]):
                yield
        finally:
            self._within_keras_loop = before

    def make_train_function(self, force=False):
        super().make_train_function(force=force or self._changed("train"))

    def make_test_function(self, force=False):
        super().make_test_function(force=force or self._changed("test"))

    def _changed(self, kind):
        """Returns whether the settings differ from those of Keras' program of this kind; remembers them."""
        before, now = self._keras_settings.get(kind), self.settings()
        self._keras_settings = MappingProxyType({**self._keras_settings, kind: now})
        return before != now

    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, return_dict=False):
        """Takes one step, as `keras.Model.train_on_batch`, on checked data."""
        require_no_targets(y)
        with self.within_keras_loop():
            return super().train_on_batch(self.checked_batch(x), None, sample_weight, class_weight, return_dict)

    def test_on_batch(self, x, y=None, sample_weight=None, return_dict=False):
        """Evaluates a batch, as `keras.Model.test_on_batch`, on checked data."""
        require_no_targets(y)
        with self.within_keras_loop():
            return super().test_on_batch(self.checked_batch(x), None, sample_weight, return_dict)


class FollowSettings(keras.callbacks.Callback):
    """Compiles Keras' training step anew when a number of the objective has changed."""

    def on_epoch_begin(self, epoch, logs=None):
        self.model.make_train_function()

    def on_train_batch_begin(self, batch, logs=None):
        self.model.require_settings(self.model._keras_settings["train"])
