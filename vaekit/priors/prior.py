"""What all priors have."""

from numbers import Integral

import keras

from vaekit.backend import tfd
from vaekit.layers.blocks import float32_by_default, with_arguments


class Prior(keras.layers.Layer):
    """A distribution over a latent variable that depends on nothing but its own weights.

    A subclass defines `distribution()`, with empty batch shape, and creates its weights in `build(shape)`, where
    `shape` is the latent's, batch axis left out. A model builds its priors itself, from its encoder's output; in a
    plain `keras.Model` of yours say `prior.build((20,))` when it is made.

    Args:
        event_shape: shape of the latent, an int for a vector; None: the model sets it. (A subclass with layers inside
            leaves it None: Keras adds no layers to one that is built.)
    """

    def __init__(self, event_shape=None, **kwargs):
        super().__init__(**float32_by_default(kwargs))
        self.event_shape, self._given_shape = None, event_shape
        if event_shape is not None:
            self.build(_shape(self, event_shape))

    def build(self, input_shape):
        self.event_shape = tuple(int(n) for n in input_shape)

    @property
    def shape(self):
        """The event shape of a built prior."""
        if self.event_shape is None:
            raise ValueError(
                f"This {type(self).__name__} does not know the latent's shape yet: build the model that it belongs to, "
                "or, in a model of your own, say prior.build((20,)) with that shape."
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
        return with_arguments(self, {**super().get_config(), "event_shape": self._given_shape})


def _shape(prior, event_shape):
    """Makes a tuple of an event's shape; raises ValueError for what is none."""
    sizes = event_shape if isinstance(event_shape, (tuple, list)) else (event_shape,)
    if not all(isinstance(n, Integral) and n > 0 for n in sizes):
        raise ValueError(
            f"{type(prior).__name__} expects event_shape to be the latent's shape, 20 or (8, 8, 4); received "
            f"{event_shape!r}."
        )
    return tuple(map(int, sizes))
