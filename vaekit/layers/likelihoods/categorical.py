"""Bytes, each with a probability for each of its values."""

import keras
from keras import ops

from vaekit.backend import tfd
from vaekit.layers.density import Density, event_axes
from vaekit.layers.distribution import pixelwise
from vaekit.layers.likelihoods.discretized import Discretized, centre, level


class CategoricalDistribution(Density):
    r"""A probability of its own for each bin: $P(k) = \mathrm{softmax}(a)_k$.

    Args:
        logits: a `[..., bins]`.
    """

    def __init__(self, logits):
        super().__init__(logits=ops.convert_to_tensor(logits))
        self.bins = self.logits.shape[-1]

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        return event_axes(logits=1)

    def _log_prob(self, x):
        return tfd.Categorical(self.logits).log_prob(ops.cast(level(x, self.bins), "int32"))

    def _sample_n(self, n, seed=None):
        return centre(tfd.Categorical(self.logits).sample(n, seed), self.bins)

    def _mean(self):
        return ops.sum(ops.softmax(self.logits) * centre(ops.arange(self.bins, dtype="int32"), self.bins), axis=-1)


@keras.saving.register_keras_serializable("vaekit")
class Categorical(Discretized):
    """Bytes, each with a probability for each of its values: a softmax of `bins` numbers a pixel and channel.

    Args:
        event_shape, bins: as for `Discretized`.

    Source: van den Oord et al. 2016; Rybkin et al. 2021, section 3.
    """

    parameters = ("logits",)

    def parameter_shapes(self):
        return {"logits": self.per_channel(self.bins)}

    @pixelwise
    def distribution(self, logits):
        return self.independent(CategoricalDistribution(self.by_channel(logits)))
