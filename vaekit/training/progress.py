"""Progress of training in nats: Keras' own bar shows negative numbers such as bounds as -1.0427e+02."""

import time

import keras
from tqdm.auto import tqdm


class Progress(keras.callbacks.Callback):
    """Shows every term of an epoch to two decimals.

    `LatentVariableModel.fit` and `evaluate` use it in place of Keras' bar: verbose=1 for bars, 2 for lines.

    Args:
        lines: True prints a line an epoch, False shows a bar.
        prefix: text before the number of the epoch.
    """

    def __init__(self, lines=False, prefix=""):
        super().__init__()
        self.lines, self.prefix, self.bar, self.title, self.training = lines, prefix, None, "", False

    def on_train_begin(self, logs=None):
        self.training = True

    def on_train_end(self, logs=None):
        self.training = False

    def on_epoch_begin(self, epoch, logs=None):
        self._open(f"{self.prefix}epoch {epoch + 1}/{self.params['epochs']}")

    def on_train_batch_end(self, batch, logs=None):
        self._advance(batch, logs)

    def on_epoch_end(self, epoch, logs=None):
        self._close(logs)

    def on_test_begin(self, logs=None):
        if not self.training:  # a validation inside of fit has no bar of its own
            self._open("evaluation")

    def on_test_batch_end(self, batch, logs=None):
        if not self.training:
            self._advance(batch, logs)

    def on_test_end(self, logs=None):
        if not self.training:
            self._close(logs)

    def _open(self, title):
        self.title, self.shown = title, 0.0
        self.bar = None if self.lines else tqdm(total=self.params.get("steps"), desc=title)

    def _advance(self, batch, logs):
        if self.bar is not None:
            self.bar.update(batch + 1 - self.bar.n)
            if time.monotonic() - self.shown > 0.2:  # reading the numbers waits for the device
                self.bar.set_postfix_str(self._text(logs), refresh=False)
                self.shown = time.monotonic()

    def _close(self, logs):
        if self.lines:
            print(f"{self.title}: {self._text(logs)}")
        elif self.bar is not None:
            self.bar.set_postfix_str(self._text(logs))
            self.bar.close()

    def _text(self, logs):
        terms = [name.removeprefix("val_") for name in self.model.metrics_names if name != "loss"]
        order = ["loss", *dict.fromkeys(terms)]
        names = [name for prefix in ("", "val_") for name in (prefix + term for term in order) if name in (logs or {})]
        return ", ".join(f"{name} {float(logs[name]):.2f}" for name in names)
