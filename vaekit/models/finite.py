"""What training does when its numbers are none any more."""

import math
import warnings

import keras
import numpy as np
from keras import ops


class StopAtNaN(keras.callbacks.Callback):
    """Ends training after an epoch whose terms are NaN or infinite, and says which, why, and what to try."""

    def __init__(self):
        super().__init__()
        self.said = False

    def on_epoch_end(self, epoch, logs=None):
        wrong = not_finite(logs)
        if not wrong or self.said:
            return
        training = [name for name in wrong if not name.startswith("val_")]
        self.said = True
        where = f"In epoch {epoch + 1} {', '.join(training or wrong)} {'are' if len(training or wrong) > 1 else 'is'} "
        if training:
            self.model.stop_training = True
            warnings.warn(f"{where}NaN or infinite: training stops. {self._causes(training)}", stacklevel=2)
        else:
            warnings.warn(
                f"{where}infinite or NaN on validation data alone: values that the likelihood takes for impossible?",
                stacklevel=2,
            )

    def _causes(self, terms):
        weights = [v.path for v in self.model.weights if not np.isfinite(ops.convert_to_numpy(v)).all()]
        lost = f"{len(weights)} weights hold NaN or infinite values, such as {weights[0]}. " if weights else ""
        side = ""
        if any(name.startswith("kl") for name in terms) and "reconstruction" not in terms:
            side = "It came from q(z|x) or p(z), not from the decoder. "
        elif "reconstruction" in terms and not any(name.startswith("kl") for name in terms):
            side = "It came from the decoder p(x|z), not from q(z|x). "
        return (
            f"{lost}{side}Likely causes: a learning rate that is too high (it was {self._rate():g}: try a tenth, or "
            "global_clipnorm=1 in the optimizer); data on a large scale (bytes: divide by 255); a variance that runs "
            "away (DiagonalNormal(..., log_variance_range=(-6, 2)), Normal(..., soft_clip=-6)). EarlyStopping brings "
            "the best epoch's weights back."
        )

    def _rate(self):
        return float(ops.convert_to_numpy(self.model.optimizer.learning_rate))


class FollowSettings(keras.callbacks.Callback):
    """In Keras' own loop: makes the programs anew when a number of the objective has changed."""

    def on_epoch_begin(self, epoch, logs=None):
        if self.model._settings_changed():
            self.model.make_train_function(force=True)
            self.model.test_function = None


def not_finite(logs):
    """Names of the terms that are NaN or infinite."""
    return [name for name, value in (logs or {}).items() if not math.isfinite(float(value))]
