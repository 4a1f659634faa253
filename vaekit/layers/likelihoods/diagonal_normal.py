"""A normal distribution with independent entries: the usual posterior."""

import keras
from keras import ops

from vaekit.backend import tfd
from vaekit.layers.distribution import DistributionLayer, pixelwise
from vaekit.layers.likelihoods.support import check_range, clip, warn_of_scale

SCALES = {
    "log_variance": lambda a: ops.exp(a / 2),
    "log_scale": ops.exp,
    "softplus": ops.softplus,
}


@keras.saving.register_keras_serializable("vaekit")
class DiagonalNormal(DistributionLayer):
    r"""Normal distribution with mean and scale both from the network: $\mathcal N(\mu(h), \mathrm{diag}\,\sigma^2(h))$.

    The usual posterior q(z|x), and the Gaussian decoder of Kingma & Welling.

    Args:
        event_shape: an int for a latent vector, a shape for images.
        scale: how the head `a = W h + b` gives σ: `"log_variance"`, σ = exp(a/2) (Kingma & Welling; Tomczak &
            Welling); `"log_scale"`, σ = exp(a) (Burda et al.); `"softplus"`, σ = log(1 + exp(a)).
        log_variance_range: `(low, high)` clips log σ², wherever it is used; Tomczak & Welling use (-6, 2).
            Only with `scale="log_variance"`.
        mean_activation: Keras activation for μ, `"sigmoid"` for data in (0, 1).

    Source: Kingma & Welling 2014, appendix C.2.
    """

    def __init__(self, event_shape, scale="log_variance", log_variance_range=None, mean_activation=None, **kwargs):
        super().__init__(event_shape, **kwargs)
        if scale not in SCALES:
            raise ValueError(f"DiagonalNormal expects scale to be one of {sorted(SCALES)}; received {scale!r}.")
        if log_variance_range is not None and scale != "log_variance":
            raise ValueError(f"log_variance_range goes with scale='log_variance'; received scale={scale!r}.")
        self.scale = scale
        self.log_variance_range = check_range(self, "log_variance_range", log_variance_range)
        self.mean_activation = keras.activations.get(mean_activation)
        self.parameters = ("mean", scale)

    @pixelwise
    def distribution(self, mean, **spread):
        (a,) = spread.values()
        scale = SCALES[self.scale](clip(a, self.log_variance_range))
        return self.independent(tfd.Normal(self.mean_activation(mean), scale))

    def check_values(self, x):
        warn_of_scale(self, x)

    def get_config(self):
        return {
            **super().get_config(),
            "scale": self.scale,
            "log_variance_range": self.log_variance_range,
            "mean_activation": keras.activations.serialize(self.mean_activation),
        }
