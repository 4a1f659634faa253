"""Bases of the distributions that TFP lacks."""

import numpy as np
from keras import ops

from vaekit import backend
from vaekit.backend import tfd, tfp


class Density(tfd.Distribution):
    """Base of distributions, with all that TFP requires. A subclass passes its parameters by name, a tensor first, and
    finds them as attributes; it defines `_parameter_properties` by `event_axes`."""

    def __init__(self, **parameters):
        for name, value in parameters.items():
            setattr(self, name, value)
        dtype = next(iter(parameters.values())).dtype
        super().__init__(dtype, tfd.NOT_REPARAMETERIZED, False, True, parameters=parameters)

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        raise NotImplementedError

    def _event_shape(self):
        return ()

    def _event_shape_tensor(self):
        return ops.convert_to_tensor(self._event_shape(), "int32")


def event_axes(**counts):
    """Returns TFP's properties of parameters, from how many of each one's last axes belong to one event."""
    return {name: tfp.util.ParameterProperties(event_ndims=n) for name, n in counts.items()}


class Mean:
    """A distribution that becomes its mean as an array, so that `predict` of a network returns means."""

    def __array__(self, dtype=None, copy=None):
        try:
            mean = ops.convert_to_numpy(self.mean())
        except Exception as error:  # parts that TFP does not know, out of the program that has made them
            raise TypeError(
                f"A distribution ({self.name}) has no mean that could leave this program. Call model.encode(x) or "
                "model.decode(z), or network(x).mean(), instead of network.predict(x)."
            ) from error
        return np.asarray(mean, dtype)


@backend.converts_to_mean
class Events(Mean, tfd.Independent):
    """`tfd.Independent` parts of one event."""


class Single(tfd.Distribution):
    """The one distribution in a batch of shape `[1]`, of batch shape `[]`; events may be shorter than its longest.

    Args:
        distribution: of batch shape `[1]`.
    """

    def __init__(self, distribution):
        self.inner = distribution
        super().__init__(distribution.dtype, tfd.NOT_REPARAMETERIZED, False, True, name=distribution.name)

    def _batch_shape(self):
        return ()

    def _batch_shape_tensor(self):
        return ops.zeros((0,), "int32")

    def _event_shape(self):
        return self.inner.event_shape

    def _event_shape_tensor(self):
        return self.inner.event_shape_tensor()

    def _log_prob(self, x):
        return self.inner.log_prob(ops.expand_dims(x, -1 - len(self.inner.event_shape)))[..., 0]  # [..., 1] to [...]

    def _sample_n(self, n, seed=None):
        return self.inner.sample(n, seed=seed)[:, 0]
