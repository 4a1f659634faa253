"""A normal distribution with independent entries: the usual posterior."""

import keras
from keras import ops

from vaekit.backend import tfd
from vaekit.layers.distribution import DistributionLayer, pixelwise
from vaekit.layers.likelihoods.support import check_range, clip, warn_of_scale

PARAMETRIZATIONS = {
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
        parametrization: how the head `a = W h + b` gives σ: `"log_variance"`, σ = exp(a/2) (Kingma & Welling; Tomczak &
            Welling); `"log_scale"`, σ = exp(a) (Burda et al.); `"softplus"`, σ = log(1 + exp(a)).
        log_variance_range: `(low, high)` clips log σ², wherever it is used; Tomczak & Welling use (-6, 2).
            Only with `parametrization="log_variance"`.
        mean_activation: Keras activation for μ, `"sigmoid"` for data in (0, 1).

    Source: Kingma & Welling 2014, appendix C.2.
    """

    def __init__(
        self, event_shape, parametrization="log_variance", log_variance_range=None, mean_activation=None, **kwargs
    ):
        super().__init__(event_shape, **kwargs)
        if parametrization not in PARAMETRIZATIONS:
            raise ValueError(
                f"DiagonalNormal expects parametrization to be one of {sorted(PARAMETRIZATIONS)}; received "
                f"{parametrization!r}."
            )
        if log_variance_range is not None and parametrization != "log_variance":
            raise ValueError(
                f"log_variance_range goes with parametrization='log_variance'; received {parametrization!r}."
            )
        self.parametrization = parametrization
        self.log_variance_range = check_range(self, "log_variance_range", log_variance_range)
        self.mean_activation = keras.activations.get(mean_activation)
        self.parameters = ("mean", parametrization)

    @pixelwise
    def distribution(self, mean, **spread):
        (a,) = spread.values()
        scale = PARAMETRIZATIONS[self.parametrization](clip(a, self.log_variance_range))
        return self.independent(tfd.Normal(self.mean_activation(mean), scale))

    def check_values(self, x):
        warn_of_scale(self, x)

    def get_config(self):
        return {
            **super().get_config(),
            "scale": self.parametrization,  # its name in files, old and new
            "log_variance_range": self.log_variance_range,
            "mean_activation": keras.activations.serialize(self.mean_activation),
        }

    @classmethod
    def from_config(cls, config):
        return super().from_config({{"scale": "parametrization"}.get(name, name): v for name, v in config.items()})
