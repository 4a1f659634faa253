"""When an encoder has caught up with its decoder: mutual information that rises no more."""

import keras

from vaekit.evaluation.mutual_information import information
from vaekit.training import AggressiveInference


class WhileInformationRises(keras.callbacks.Callback):
    """Ends aggressive inference (`vaekit.training.AggressiveInference`) when mutual information stops rising.

    That is after the first epoch in which $I_q(x; z)$ on data is no higher than an epoch before. From then on each step
    trains p and q.

    Args:
        x: data `[N, ...]`, for validation; ln N is the most that is measured.
        samples, batch_size, seed: as for `vaekit.evaluation.information`.

    Attributes:
        last: mutual information after the last aggressive epoch, in nats; None before.

    Raises:
        ValueError: when training begins, for a model that was not compiled with `AggressiveInference`, or unusable x.

    Source: He et al. 2019, section 4.2.
    """

    def __init__(self, x, samples=1, batch_size=500, seed=0):
        super().__init__()
        self.x, self.samples, self.batch_size, self.seed, self.last = x, samples, batch_size, seed, None

    def on_train_begin(self, logs=None):
        if not isinstance(self.model.optimizer, AggressiveInference):
            raise ValueError(
                "WhileInformationRises ends what AggressiveInference does: compile the model with "
                'vaekit.training.AggressiveInference("adam").'
            )
        self.model.arrays(self.x)

    def on_epoch_end(self, epoch, logs=None):
        aggressive = self.model.optimizer.aggressive
        if not bool(keras.ops.convert_to_numpy(aggressive)):
            return
        found = information(self.model, self.x, self.samples, self.batch_size, self.seed, progress=False)
        if self.last is not None and not found.mutual_information > self.last:
            aggressive.assign(False)
        self.last = found.mutual_information
