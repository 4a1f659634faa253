"""Classes, as one-hot vectors."""

import keras
from keras import ops

from vaekit.backend import tfd
from vaekit.layers.density import Events
from vaekit.priors.prior import Prior


@keras.saving.register_keras_serializable("vaekit")
class Classes(Prior):
    r"""Classes as one-hot vectors, $p(y) = \prod_k \pi_k^{y_k}$: all as probable, or with learned π.

    Args:
        learned: learn π, which starts uniform; False: it stays 1/K.
        event_shape: as for `Prior`; K, at least 2.

    Raises:
        ValueError: a latent that is no vector of at least two classes; a number in the place of `learned`.
    """

    def __init__(self, learned=False, event_shape=None, **kwargs):
        if learned not in (True, False):
            raise ValueError(
                f"Classes expects learned to be True or False, and K as event_shape=3, say; received {learned!r}."
            )
        self.learned = bool(learned)
        super().__init__(event_shape, **kwargs)

    def build(self, input_shape):
        if len(input_shape) != 1 or input_shape[0] < 2:
            raise ValueError(
                f"The prior Classes expects a latent that is a one-hot vector of at least two classes; "
                f"received the shape {list(input_shape)}."
            )
        super().build(input_shape)
        if self.learned:
            self.logits = self.add_weight(shape=self.event_shape, initializer="zeros", name="logits")

    def distribution(self):
        logits = ops.zeros(self.shape, "float32")
        logits = logits + self.logits if self.learned else logits
        return Events(tfd.OneHotCategorical(logits, dtype=logits.dtype), reinterpreted_batch_ndims=0)

    def get_config(self):
        return {**super().get_config(), "learned": self.learned}
