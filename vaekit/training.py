"""Training beside the objective: normalized gradients for any optimizer, early stopping that knows warm-up, models
that are trained at once.
"""

import math
import warnings
from numbers import Integral

import keras
from keras import ops

from vaekit.models.together import fit_together
from vaekit.objectives import WarmUp

__all__ = ["EarlyStopping", "NormalizedGradients", "fit_together"]


@keras.saving.register_keras_serializable("vaekit")
class NormalizedGradients(keras.optimizers.Optimizer):
    r"""Any Keras optimizer, fed with each weight tensor's gradient divided by its norm: $g / (\|g\|_2 + \epsilon)$.

    ```python
    model.compile(vk.training.NormalizedGradients(keras.optimizers.Adam(5e-4)))
    ```

    A step then depends on the gradient's direction in each tensor, not on the scale of the loss. Clipping, weight
    decay and the accumulation of gradients are the wrapped optimizer's and act on normalized gradients.

    Args:
        optimizer: Keras optimizer or its name. One that is wrapped already is not wrapped twice.
        epsilon: keeps a gradient of zero at zero.

    Raises:
        ValueError: no optimizer; one that scales the loss, which normalization would make it forget; epsilon ≤ 0.

    Source: the code of Tomczak & Welling 2018 (Adam, ε = 1e-7).
    """

    def __init__(self, optimizer, epsilon=1e-7, name=None):
        if not epsilon > 0:
            raise ValueError(f"NormalizedGradients expects a positive epsilon; received {epsilon!r}.")
        wrapped = optimizer.optimizer if isinstance(optimizer, NormalizedGradients) else optimizer
        try:
            wrapped = keras.optimizers.get(wrapped)
        except ValueError:
            wrapped = None
        if wrapped is None:
            raise ValueError(f"NormalizedGradients expects a Keras optimizer or its name ('adam'); got {optimizer!r}.")
        if isinstance(wrapped, keras.optimizers.LossScaleOptimizer) or wrapped.loss_scale_factor is not None:
            raise ValueError(
                f"{type(wrapped).__name__} would undo a scale of the loss that normalized gradients do not have: leave "
                "loss_scale_factor None, and wrap as LossScaleOptimizer(NormalizedGradients(optimizer))."
            )
        super().__init__(learning_rate=0.0, name=name)  # required, and not used: the wrapped optimizer has its own
        self.optimizer, self.epsilon = wrapped, epsilon

    def build(self, variables):
        self.optimizer.build(variables)
        super().build(variables)

    def apply(self, grads, trainable_variables=None):
        if not self.built and trainable_variables is not None:
            self.build(list(trainable_variables))
        variables = self._trainable_variables if trainable_variables is None else trainable_variables
        normalized = [self._normalize(g, v) for g, v in zip(grads, variables, strict=True)]
        self.optimizer.apply(normalized, trainable_variables)

    def _normalize(self, g, variable):
        if g is None:
            return None
        g = ops.reshape(g, variable.shape)  # dense: an embedding's rows that a batch repeats are summed
        return g / (ops.sqrt(ops.sum(ops.square(g))) + self.epsilon)

    # ---------------------------------------------------------------- the state is the wrapped optimizer's

    @property
    def variables(self):
        return self.optimizer.variables

    @property
    def iterations(self):
        return self.optimizer.iterations

    @property
    def learning_rate(self):
        return self.optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, value):
        self.optimizer.learning_rate = value

    def set_weights(self, weights):
        self.optimizer.set_weights(weights)

    def finalize_variable_values(self, var_list):
        self.optimizer.finalize_variable_values(var_list)

    def save_own_variables(self, store):
        pass  # Keras saves the wrapped optimizer as a part of this one

    def load_own_variables(self, store):
        pass

    def get_config(self):
        optimizer = keras.saving.serialize_keras_object(self.optimizer)
        return {"optimizer": optimizer, "epsilon": self.epsilon, "name": self.name}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        optimizer = keras.saving.deserialize_keras_object(config["optimizer"], custom_objects)
        return cls(**{**config, "optimizer": optimizer})


class EarlyStopping(keras.callbacks.EarlyStopping):
    """Stops when a term has not become better for `patience` epochs, and restores the weights of its best epoch.

    Epochs that end while β warms up (`objectives.WarmUp`) neither count nor can be the best: what is trained then is
    not yet the bound, which may fall and rise again. The best weights come back also when training ends by its last
    epoch, and with them the model's step. If warm-up outlasts training, the last weights stay, and a warning says so.

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

    Source: Tomczak & Welling 2018, section 5, and their code (patience 50).
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
                f"β was still warming up when training ended (step {int(self.model.step)} of "
                f"{self.model.objective.beta.steps}): EarlyStopping compared no epochs and keeps the last weights.",
                stacklevel=2,
            )

    def _warming_up(self):
        beta = getattr(getattr(self.model, "objective", None), "beta", None)
        return isinstance(beta, WarmUp) and int(self.model.step) < beta.steps
