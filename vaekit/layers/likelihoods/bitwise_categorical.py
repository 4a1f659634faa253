"""Bytes by their binary digits."""

from numbers import Integral

import keras
from keras import ops

from vaekit.backend import tfd
from vaekit.layers.density import Density, event_axes
from vaekit.layers.distribution import pixelwise
from vaekit.layers.likelihoods.discretized import Discretized, centre, level


class BitwiseCategoricalDistribution(Density):
    r"""The bin's binary digits, $k = \sum_i b_i 2^i$, each a Bernoulli of its own: $P(k) = \prod_i P(b_i)$.

    Args:
        logits: of the digits `[..., bits]`, lowest first; there are 2^bits bins.

    Source: Rybkin et al. 2021, section 3.
    """

    def __init__(self, logits):
        super().__init__(logits=ops.convert_to_tensor(logits))
        self.bins = 2 ** self.logits.shape[-1]
        self.values = 2.0 ** ops.arange(self.logits.shape[-1], dtype="float32")  # 2^i

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        return event_axes(logits=1)

    def _log_prob(self, x):
        digits = ops.floor(level(x, self.bins)[..., None] / self.values) % 2  # [..., bits]
        return ops.sum(tfd.Bernoulli(self.logits, dtype=self.dtype).log_prob(digits), axis=-1)

    def _sample_n(self, n, seed=None):
        digits = tfd.Bernoulli(self.logits, dtype=self.dtype).sample(n, seed)
        return centre(ops.sum(digits * self.values, axis=-1), self.bins)

    def _mean(self):
        return centre(ops.sum(ops.sigmoid(self.logits) * self.values, axis=-1), self.bins)


@keras.saving.register_keras_serializable("vaekit")
class BitwiseCategorical(Discretized):
    """Bytes by their binary digits, each a Bernoulli: 8 numbers a pixel and channel instead of 256.

    Args:
        event_shape: shape of an image, channels last.
        bits: digits of a value; there are 2^bits values, as of the bins of `Discretized`.

    Source: Rybkin et al. 2021, section 3.
    """

    parameters = ("logits",)

    def __init__(self, event_shape, bits=8, **kwargs):
        if not (isinstance(bits, Integral) and 1 <= bits <= 16):
            raise ValueError(f"BitwiseCategorical expects 1 to 16 bits, 8 for bytes; received {bits!r}.")
        super().__init__(event_shape, 2**bits, **kwargs)
        self.bits = int(bits)

    def parameter_shapes(self):
        return {"logits": self.per_channel(self.bits)}

    @pixelwise
    def distribution(self, logits):
        return self.independent(BitwiseCategoricalDistribution(self.by_channel(logits)))

    def get_config(self):
        config = {**super().get_config(), "bits": self.bits}
        del config["bins"]
        return config
