"""Labels as one-hot vectors."""

import keras

from vaekit.backend import tfd
from vaekit.layers.density import Events
from vaekit.layers.distribution import DistributionLayer, pixelwise
from vaekit.layers.likelihoods.support import check_classes


@keras.saving.register_keras_serializable("vaekit")
class OneHotCategorical(DistributionLayer):
    r"""Labels as one-hot vectors: $p(x \mid h) = \prod_k \pi_k^{x_k}$, $\pi = \mathrm{softmax}(W h + b)$.

    Its mean are the probabilities π.

    Args:
        event_shape: the number of classes, for one label; or a shape whose last axis are the classes, such as
            (28, 28, 3) for a label a pixel.

    Raises:
        ValueError: fewer than two classes; as the head of a model, data that are not one-hot.
    """

    parameters = ("logits",)

    def __init__(self, event_shape, **kwargs):
        super().__init__(event_shape, **kwargs)
        check_classes(self, self.event_shape[-1])

    @pixelwise
    def distribution(self, logits):
        label = tfd.OneHotCategorical(logits, dtype=logits.dtype)
        return Events(label, reinterpreted_batch_ndims=len(self.event_shape) - 1)

    def check_values(self, x):
        classes = self.event_shape[-1]
        rows = x.reshape(-1, classes)
        wrong = rows[((rows != 0) & (rows != 1)).any(axis=1) | (rows.sum(axis=1) != 1)]
        if len(wrong):
            raise ValueError(
                f"OneHotCategorical expects one-hot vectors of {classes} classes, one 1 and otherwise 0; {len(wrong)} "
                f"of {len(rows)} differ, for instance {wrong[0].tolist()}. Labels 0, …, {classes - 1} become such by "
                f"keras.ops.one_hot(y, {classes}); or use vaekit.layers.CategoricalLabels for the labels themselves."
            )
