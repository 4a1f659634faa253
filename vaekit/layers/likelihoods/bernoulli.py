"""Binary data."""

import keras

from vaekit.backend import tfd
from vaekit.layers.distribution import DistributionLayer, pixelwise
from vaekit.layers.likelihoods.support import check_range, check_values, clip


@keras.saving.register_keras_serializable("vaekit")
class Bernoulli(DistributionLayer):
    r"""Binary data: $p(x \mid h) = \prod_d y_d^{x_d} (1 - y_d)^{1 - x_d}$, $y = \sigma(W h + b)$.

    Computed from the logits, exact however sure the network is. Its support is {0, 1}: grey values are not
    Bernoulli data, and a "likelihood" of theirs cannot be compared with anyone's.

    Args:
        event_shape: shape of an image or vector.
        logit_range: `(low, high)` clips the logits, which bounds how sure the network can be; None: no bound.

    Source: Kingma & Welling 2014, appendix C.1.
    """

    parameters = ("logits",)

    def __init__(self, event_shape, logit_range=None, **kwargs):
        super().__init__(event_shape, **kwargs)
        self.logit_range = check_range(self, "logit_range", logit_range)

    @pixelwise
    def distribution(self, logits):
        logits = clip(logits, self.logit_range)
        return self.independent(tfd.Bernoulli(logits=logits, dtype=logits.dtype))

    def check_values(self, x):
        advice = (
            "For grey images in [0, 1] (bytes: divide by 255) either draw binary ones, "
            "vaekit.batches.DynamicBinarization(x), or use a likelihood for real values, "
            "vaekit.layers.Normal(event_shape)."
        )
        check_values(x, (x != 0) & (x != 1), "A Bernoulli likelihood expects the values 0 and 1", advice)

    def get_config(self):
        return {**super().get_config(), "logit_range": self.logit_range}
