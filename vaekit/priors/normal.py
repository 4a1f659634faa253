"""Normal priors of latents, and of weights."""

import keras
from keras import ops

from vaekit.backend import tfd
from vaekit.priors.prior import Prior


@keras.saving.register_keras_serializable("vaekit")
class StandardNormal(Prior):
    r"""$p(z) = \mathcal N(0, I)$.

    Source: Kingma & Welling 2014, section 3.
    """

    def distribution(self):
        zeros = ops.zeros(self.shape, "float32")
        return self.independent(tfd.Normal(zeros, ops.ones_like(zeros)))


@keras.saving.register_keras_serializable("vaekit")
class LearnedNormal(Prior):
    r"""$p(z) = \mathcal N(\mu, \mathrm{diag}\,\sigma^2)$, learned; μ and log σ² start at the standard normal.

    Args:
        event_shape: as for `Prior`; the weights `mean` and `log_variance` have this shape.
    """

    def build(self, input_shape):
        super().build(input_shape)
        self.mean = self.add_weight(shape=self.event_shape, initializer="zeros", name="mean")
        self.log_variance = self.add_weight(shape=self.event_shape, initializer="zeros", name="log_variance")

    def distribution(self):
        zeros = ops.zeros(self.shape, dtype="float32")
        return self.independent(tfd.Normal(zeros + self.mean, ops.exp((zeros + self.log_variance) / 2)))


def weight_prior(examples):
    r"""The prior $p(\theta) = \mathcal N(0, I)$ on weights as a Keras regularizer: $\|\theta\|^2 / 2N$.

    Added to a loss that is a mean over examples, it makes the weights' estimate MAP instead of maximum likelihood.

    Args:
        examples: N, the number of training examples.

    Source: Kingma & Welling 2014, section 5.
    """
    if not examples > 0:
        raise ValueError(f"weight_prior expects the number of training examples, at least 1; received {examples!r}.")
    return keras.regularizers.L2(0.5 / examples)
