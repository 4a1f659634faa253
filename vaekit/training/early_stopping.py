"""Early stopping that waits for the end of warm-up."""

import math
import warnings
from numbers import Integral

import keras


class EarlyStopping(keras.callbacks.EarlyStopping):
    """Stops when a term has not become better for `patience` epochs, and restores the weights of its best epoch.

    Epochs that end while β warms up (`objectives.WarmUp`, or in a cycle of `Cyclic`) neither count nor can be the best:
    what is trained then is not yet the bound, which may fall and rise again. The best weights come back also when
    training ends by its last epoch, and with them the model's step. If warm-up outlasts training, the last weights
    stay, and a warning says so.

    Args:
        patience: epochs.
        monitor: a term of the objective, with `val_` for validation data. Loss and KL divergences are to fall, all
            other terms to rise.
        min_delta: nats; a smaller gain is none.
        restore_best_weights: False keeps the last weights.
        verbose: 1 says where training stopped and which epoch was the best.

    Raises:
        ValueError: when training begins, for a term that the objective does not have; at the end of the first epoch,
            for a `val_` term without validation in every epoch.

    Source: Tomczak & Welling 2018, section 5, and an earlier version of their code (commit c3670234 of
        jmtomczak/vae_vampprior; patience 50). In the last one an epoch of warm-up can be the best.
    """

    def __init__(self, patience=50, monitor="val_bound", min_delta=0.0, restore_best_weights=True, verbose=0):
        if not (isinstance(patience, Integral) and patience >= 1):
            raise ValueError(f"EarlyStopping expects patience in epochs, an integer of at least 1; got {patience!r}.")
        mode = "min" if monitor.removeprefix("val_").startswith(("loss", "kl")) else "max"
        super().__init__(monitor, min_delta, int(patience), verbose, mode, restore_best_weights=restore_best_weights)

    def on_train_begin(self, logs=None):
        names = self.model.metrics_names
        if self.monitor.removeprefix("val_") not in names:
            raise ValueError(
                f"EarlyStopping cannot monitor {self.monitor!r}. This model reports {names}; "
                "put val_ before a name for its value on validation data."
            )
        super().on_train_begin(logs)

    def on_epoch_end(self, epoch, logs=None):
        if self.monitor not in (logs or {}):
            raise ValueError(
                f"EarlyStopping monitors {self.monitor!r}, but epoch {epoch + 1} ended without validation: call "
                "fit(..., validation_data=...) with validation in every epoch, or monitor a term on the training "
                f"data, EarlyStopping(monitor={self.monitor.removeprefix('val_')!r})."
            )
        if not self._warming_up() and not math.isnan(logs[self.monitor]):  # which is no best
            super().on_epoch_end(epoch, logs)

    def on_train_end(self, logs=None):
        super().on_train_end(logs)
        if self.best is None and self._warming_up():
            warnings.warn(
                f"β was still warming up when training ended (step {int(self.model.step)}, "
                f"{self.model.objective.beta}): EarlyStopping compared no epochs and keeps the last weights.",
                stacklevel=2,
            )

    def _warming_up(self):
        beta = getattr(getattr(self.model, "objective", None), "beta", None)
        return hasattr(beta, "rises") and beta.rises(int(self.model.step))
