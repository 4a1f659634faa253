"""Samples z ~ q(z|x) with every log-density at them, and the shapes in which they come."""

from dataclasses import dataclass, field

from keras import ops


@dataclass
class Trace:
    """Samples z ~ q(z|x) and all log-densities at them: what objectives and estimates are made of.

    Attributes:
        samples: S.
        values: variable name to its values: samples `[S, B, ...]`, observed data `[B, ...]`.
        q, p: factor name to its `tfd.Distribution`.
        log_q, log_p: factor name to its log-density `[S, B]`, in nats.
        weights: name of each generative factor that has a weight other than 1, to it.
    """

    samples: int
    values: dict
    q: dict
    p: dict
    log_q: dict
    log_p: dict
    weights: dict = field(default_factory=dict)

    def log_weights(self, beta=1.0):
        r"""Log importance weights $\log p(x, z) - \log q(z|x)$, `[S, B]`.

        With β other than 1: $\log p(x|z) + \beta\,(\log p(z) - \log q(z|x))$.
        """
        return self._log_weights(beta, {})

    def weighted(self, beta=1.0):
        """Log-weights as a loss takes them, with β and each factor's weight, `[S, B]`."""
        return self._log_weights(beta, self.weights)

    def _log_weights(self, beta, weights):
        def total(values):
            return sum(weights[name] * value if name in weights else value for name, value in values.items())

        observed = total({name: value for name, value in self.log_p.items() if name not in self.log_q})
        return observed + beta * total({name: self.log_p[name] - self.log_q[name] for name in self.log_q})


def fold(value):
    """`[S, B, ...]` to `[S·B, ...]`, the form in which networks see samples."""
    return ops.reshape(value, (-1, *value.shape[2:]))


def unfold(value, samples):
    """`[S·B, ...]` to `[S, B, ...]`."""
    return ops.reshape(value, (samples, -1, *value.shape[1:]))


def tile(value, samples):
    """`[B, ...]` to `[S, B, ...]`, the same for every sample."""
    return ops.broadcast_to(value[None], (samples, *ops.shape(value)))
