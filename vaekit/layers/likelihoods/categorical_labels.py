"""Labels as whole numbers."""

import keras
import numpy as np
from keras import ops

from vaekit.backend import tfd
from vaekit.layers.distribution import DistributionLayer, pixelwise
from vaekit.layers.likelihoods.support import check_classes, check_values


class Labels(tfd.Categorical):
    """`tfd.Categorical` of labels, which have no mean."""

    def _mean(self):
        raise NotImplementedError("Labels have no mean.")


@keras.saving.register_keras_serializable("vaekit")
class CategoricalLabels(DistributionLayer):
    r"""Labels as whole numbers 0, …, classes − 1: $p(x \mid h) = \mathrm{softmax}(W h + b)_x$ for each of them.

    A label has no mean: `decode` and `reconstruct` draw one, with mean=False. (`Categorical` is for bytes: numbers in
    [0, 1].)

    Args:
        event_shape: 1 for one label an example, `y[:, None]`; (28, 28, 1) for a label a pixel.
        classes: number of classes.

    Raises:
        ValueError: fewer than two classes; as the head of a model, data that are no such labels.
    """

    parameters = ("logits",)

    def __init__(self, event_shape, classes, **kwargs):
        super().__init__(event_shape, **kwargs)
        self.classes = check_classes(self, classes)

    def parameter_shapes(self):
        return {"logits": (*self.event_shape[:-1], self.event_shape[-1] * self.classes)}

    @pixelwise
    def distribution(self, logits):
        *spatial, n = logits.shape[1:]
        logits = ops.reshape(logits, (-1, *spatial, n // self.classes, self.classes))  # [B, ..., C, classes]
        return self.independent(Labels(logits, dtype=logits.dtype))

    def check_values(self, x):
        wrong = (x < 0) | (x >= self.classes) | (x != np.rint(x))
        expected = f"CategoricalLabels expects whole numbers from 0 to {self.classes - 1}"
        advice = (
            "Number the classes from 0 (numpy.unique(y, return_inverse=True)[1]), or say how many there are: classes=…"
        )
        check_values(x, wrong, expected, advice)

    def get_config(self):
        return {**super().get_config(), "classes": self.classes}
