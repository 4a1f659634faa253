"""NaN and infinity: training that stops there, and results that are refused."""

import math
import warnings

import keras
import numpy as np
from keras import ops

FAR = (
    "its weights are finite: look at log-densities, and for data far from those of training, which networks carry to "
    "infinity (numpy.clip them)."
)


def not_finite_weights(model):
    """Lists paths of the weights that hold NaN or infinite values."""
    return [v.path for v in model.weights if not np.isfinite(ops.convert_to_numpy(v)).all()]


def require_finite(model, what):
    """Raises ValueError if a model's training has diverged, and its weights have not been replaced since."""
    if model.diverged and (weights := not_finite_weights(model)):
        raise ValueError(f"{what} of this model gives no numbers: {_advice(weights)}")
    model.diverged = False


def require_numbers(model, what, *arrays):
    """Raises ValueError if NumPy arrays that a model returned hold NaN, as after a training that has diverged."""
    if wrong := sum(int(np.isnan(array).sum()) for array in arrays):
        weights = not_finite_weights(model)
        cause = _advice(weights) if weights else FAR
        raise ValueError(f"{what} of this model gives {wrong} values that are NaN: {cause} {_gaps(model)}".rstrip())


def _gaps(model):
    """What an encoder needs whose data may have gaps, a sentence; "" where they may not."""
    if any(getattr(model.support(name), "missing", False) for name in model.observed):
        return "Where NaN in the data means missing, the encoder begins with vaekit.layers.FillMissing()."
    return ""


def _advice(weights):
    return (
        f"{len(weights)} of its weights hold NaN or infinite values, such as {weights[0]}, as after training that "
        "diverged. Go back to earlier ones (a file, EarlyStopping's best epoch), or train a new model, with a lower "
        "learning rate."
    )


def not_finite(logs):
    """Lists names of the terms that are NaN or infinite."""
    return [name for name, value in (logs or {}).items() if not math.isfinite(float(value))]


class StopAtNaN(keras.callbacks.Callback):
    """Ends training after an epoch whose terms are NaN or infinite, with a warning of causes and of what to try."""

    def __init__(self):
        super().__init__()
        self.warned = False  # of validation

    def on_epoch_end(self, epoch, logs=None):
        wrong = not_finite(logs)
        training = [name for name in wrong if not name.startswith("val_")]
        if training:
            self.model.stop_training = self.model.diverged = True
            warnings.warn(
                f"In epoch {epoch + 1} {_are(training)} NaN or infinite: training stops. {self._causes(training)}",
                stacklevel=2,
            )
        elif wrong and not self.warned:
            self.warned = True
            warnings.warn(
                f"In epoch {epoch + 1} {_are(wrong)} infinite or NaN on validation data alone: are there values that "
                "the likelihood takes for impossible?",
                stacklevel=2,
            )

    def _causes(self, terms):
        weights = not_finite_weights(self.model)
        bad = f"{len(weights)} weights hold NaN or infinite values, such as {weights[0]}. " if weights else ""
        kl = any(name.startswith("kl") for name in terms)
        side = ""
        if kl and "reconstruction" not in terms:
            side = "It came from q(z|x) or p(z), not from the decoder. "
        elif "reconstruction" in terms and not kl:
            side = "It came from the decoder p(x|z), not from q(z|x). "
        gaps = _gaps(self.model)
        side += f"{gaps} " if gaps else ""
        rate = float(ops.convert_to_numpy(self.model.optimizer.learning_rate))
        return (
            f"{bad}{side}Likely causes: a learning rate that is too high (it was {rate:g}: try a tenth, or "
            "global_clipnorm=1 in the optimizer); data on a large scale (bytes: divide by 255; columns of a table: "
            "standardize them); a variance that runs away (DiagonalNormal(..., log_variance_range=(-6, 2)), "
            "Normal(..., soft_clip=-6)). EarlyStopping brings the best epoch's weights back."
        )


def _are(names):
    return f"{', '.join(names)} {'are' if len(names) > 1 else 'is'}"
