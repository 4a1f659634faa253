"""Priors p(z): Keras layers that need no input and offer `distribution()`."""

import keras
from keras import ops

from vaekit.backend import tfd


class Prior(keras.layers.Layer):
    """A distribution over a latent variable that depends on nothing but its own weights.

    A subclass defines `distribution()`, with empty batch shape, and creates its weights in `build(shape)`, where
    `shape` is the latent's, batch axis left out. A model builds its priors itself, from its encoder's output.

    Args:
        event_shape: shape of the latent, an int for a vector; None: the model says it. (A subclass with layers of its
            own leaves it None: a layer that is built takes no new parts.)
    """

    def __init__(self, event_shape=None, **kwargs):
        kwargs["dtype"] = kwargs.get("dtype") or "float32"
        super().__init__(**kwargs)
        self.event_shape, self._given_shape = None, event_shape
        if event_shape is not None:
            self.build((event_shape,) if isinstance(event_shape, int) else tuple(event_shape))

    def build(self, input_shape):
        self.event_shape = tuple(int(n) for n in input_shape)

    @property
    def shape(self):
        """The event shape of a built prior."""
        if self.event_shape is None:
            raise ValueError(
                f"This {type(self).__name__} does not know the latent's shape yet: say {type(self).__name__}(20), or "
                "build the model that it belongs to."
            )
        return self.event_shape

    def distribution(self):
        """The prior as a `tfd.Distribution` with batch shape `[]` and this event shape."""
        raise NotImplementedError(f"{type(self).__name__} must define distribution().")

    def call(self, *args, **kwargs):
        raise TypeError(f"A prior has no input: use {type(self).__name__}.distribution() instead of calling it.")

    def __call__(self, *args, **kwargs):
        return self.call()

    def independent(self, distribution):
        """Sums log-densities over the event's axes."""
        return tfd.Independent(distribution, reinterpreted_batch_ndims=len(self.event_shape))

    def get_config(self):
        return {**super().get_config(), "event_shape": self._given_shape}


@keras.saving.register_keras_serializable("vaekit")
class StandardNormal(Prior):
    r"""$p(z) = \mathcal N(0, I)$.

    Source: Kingma & Welling 2014, section 3.
    """

    def distribution(self):
        zeros = ops.zeros(self.shape)
        return self.independent(tfd.Normal(zeros, ops.ones_like(zeros)))


@keras.saving.register_keras_serializable("vaekit")
class LearnedNormal(Prior):
    r"""$p(z) = \mathcal N(\mu, \mathrm{diag}\,\sigma^2)$, learned; μ and log σ² start at the standard normal."""

    def build(self, input_shape):
        super().build(input_shape)
        self.mean = self.add_weight(shape=self.event_shape, initializer="zeros", name="mean")
        self.log_variance = self.add_weight(shape=self.event_shape, initializer="zeros", name="log_variance")

    def distribution(self):
        mean, log_variance = ops.zeros(self.shape) + self.mean, ops.zeros(self.shape) + self.log_variance
        return self.independent(tfd.Normal(mean, ops.exp(log_variance / 2)))


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
