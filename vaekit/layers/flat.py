"""Densities of independent pixels, which XLA computes fast where their axes are one."""

import math

from keras import ops

from vaekit.backend import tfd
from vaekit.layers.density import Events


def _bernoulli(x, a):
    r"""$\log p(x) = (x - \tfrac12)\, a - \tfrac12 |a| - \log(1 + e^{-|a|})$ at x in {0, 1}, a the logit: one logarithm,
    not two, and no digits cancel."""
    size = ops.abs(a)
    return (x - 0.5) * a - 0.5 * size - ops.log1p(ops.exp(-size))


def _normal(x, loc, scale):
    return tfd.Normal(loc, scale).log_prob(x)


DENSITIES = {tfd.Bernoulli: (("logits",), _bernoulli), tfd.Normal: (("loc", "scale"), _normal)}


class Flat(Events):
    """Independent pixels, whose axes become one for log-densities: XLA's loops over axes of length 1, such as the
    channel of grey images, are far slower."""

    def _log_prob(self, x):
        names, log_prob = DENSITIES[type(self.distribution)]
        parameters, event = [getattr(self.distribution, name) for name in names], len(self.event_shape)
        whole = tuple(x.shape[-event:]) == tuple(self.event_shape)
        if not whole or any(p is None or p.shape != parameters[0].shape or len(p.shape) < event for p in parameters):
            return super()._log_prob(x)  # probabilities for logits, or what is broadcast
        # [..., D], D being all of the event
        flat = [ops.reshape(v, (*ops.shape(v)[:-event], math.prod(self.event_shape))) for v in (x, *parameters)]
        return ops.sum(log_prob(ops.cast(flat[0], parameters[0].dtype), *flat[1:]), axis=-1)


def independent(distribution, axes):
    """Makes one event of a distribution's last `axes` batch axes, over which log-densities are summed."""
    kind = Flat if type(distribution) in DENSITIES else Events
    return kind(distribution, reinterpreted_batch_ndims=axes)
