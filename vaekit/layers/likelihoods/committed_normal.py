"""A normal posterior that cannot be the prior."""

import math

import keras
from keras import ops
from scipy.special import lambertw

from vaekit.backend import tfd
from vaekit.layers.distribution import DistributionLayer, pixelwise


@keras.saving.register_keras_serializable("vaekit")
class CommittedNormal(DistributionLayer):
    r"""δ-posterior: $\mathcal N(\mu(h), \mathrm{diag}\,\sigma^2(h))$ whose KL to $\mathcal N(0, I)$ is at least δ.

    Whatever the network says, σ < c < 1: $\sigma = c\,\mathrm{sigmoid}(a)$. A unit's KL falls with σ up to 1, so that
    each of the D units costs at least $\frac12 (c^2 - 1 - \log c^2) = \delta / D$, of which c follows. (That is the KL:
    a posterior that is the same for all x pays it too, and says nothing. With another prior nothing is promised.)

    Args:
        event_shape: of the latent, an int for a vector.
        rate: δ, of the whole latent, in nats.

    Raises:
        ValueError: a rate that is not positive.

    Source: Razavi et al. 2019 (δ-VAE), who tell such families for sequences; this is the simplest one.
    """

    parameters = ("mean", "logit")

    def __init__(self, event_shape, rate, **kwargs):
        super().__init__(event_shape, **kwargs)
        if not 0 < rate < math.inf:
            raise ValueError(f"CommittedNormal expects a rate in nats, a positive number; received {rate!r}.")
        self.rate = float(rate)
        each = self.rate / math.prod(self.event_shape)
        # c² − log c² = 1 + 2δ/D: with v = log c², −e^v exp(−e^v) = −exp(−1 − 2δ/D)
        self.most = math.sqrt(-lambertw(-math.exp(-1 - 2 * each)).real) if each < 300 else math.exp(-0.5 - each)

    @pixelwise
    def distribution(self, mean, logit):
        return self.independent(tfd.Normal(mean, self.most * ops.sigmoid(logit)))

    def get_config(self):
        return {**super().get_config(), "rate": self.rate}
