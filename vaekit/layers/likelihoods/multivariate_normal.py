"""A normal distribution with full covariance."""

import keras
from keras import ops

from vaekit import backend
from vaekit.backend import tfd, tfp
from vaekit.layers.density import Mean
from vaekit.layers.distribution import DistributionLayer
from vaekit.layers.likelihoods.support import warn_of_scale


@backend.converts_to_mean
class FullNormal(Mean, tfd.MultivariateNormalTriL):
    """`tfd.MultivariateNormalTriL`, a normal distribution with full covariance."""


@tfd.RegisterKL(tfd.MultivariateNormalTriL, tfd.Independent)
@tfd.RegisterKL(tfd.Independent, tfd.MultivariateNormalTriL)
def _kl_of_normals(a, b, name=None):
    """KL(a ‖ b) of normals, of which one has a full covariance and the other independent entries."""
    return tfd.kl_divergence(_multivariate(a), _multivariate(b))


def _multivariate(p):
    if not isinstance(p, tfd.Independent):
        return p
    if type(p.distribution) is not tfd.Normal or len(p.event_shape) != 1:
        raise NotImplementedError(f"No closed form of the KL to a distribution like {p.name}.")
    loc = p.distribution.loc
    return tfd.MultivariateNormalDiag(loc, p.distribution.scale * ops.ones_like(loc))


@keras.saving.register_keras_serializable("vaekit")
class MultivariateNormal(DistributionLayer):
    r"""Normal distribution of a vector with full covariance: $\mathcal N(\mu(h), L(h) L(h)^\top)$.

    L is lower triangular, its diagonal exp(a/2), as the σ of `DiagonalNormal`. As a posterior it has correlated units,
    and with a normal prior of independent ones a KL in closed form: `ELBO(analytic_kl=True)`.

    Args:
        event_shape: D, the length of the vector; its heads have D and D (D + 1) / 2 outputs.

    Raises:
        ValueError: an event that is no vector.

    Source: Kingma & Welling 2019, section 2.5.1.
    """

    parameters = ("mean", "cholesky")

    def __init__(self, event_shape, **kwargs):
        super().__init__(event_shape, **kwargs)
        if len(self.event_shape) != 1:
            raise ValueError(f"MultivariateNormal expects the length of a vector; received {event_shape!r}.")

    def parameter_shapes(self):
        (d,) = self.event_shape
        return {"mean": (d,), "cholesky": (d * (d + 1) // 2,)}

    def distribution(self, mean, cholesky):
        a = tfp.math.fill_triangular(cholesky)  # [B, D, D]
        identity = ops.eye(mean.shape[-1], dtype=mean.dtype)
        # the exponential of the diagonal alone: elsewhere it might be infinite, and its gradient NaN
        return FullNormal(mean, a * (1 - identity) + ops.exp(a / 2 * identity) * identity)

    def check_values(self, x):
        warn_of_scale(self, x)
