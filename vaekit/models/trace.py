"""Samples z ~ q(z|x) with every log-density at them, and their reshaping."""

from dataclasses import dataclass, field

from keras import ops

from vaekit.objectives.base import reconstructions, total


@dataclass
class Trace:
    """Samples z ~ q(z|x) and all log-densities at them, from which objectives and estimates are computed.

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
        latent = {name: self.log_p[name] - self.log_q[name] for name in self.log_q}  # log p(z|·) − log q(z|·), [S, B]
        return total(reconstructions(self), weights) + beta * total(latent, weights)


def fold(value):
    """Reshapes `[S, B, ...]` to `[S·B, ...]`, the form in which networks see samples."""
    return ops.reshape(value, (-1, *ops.shape(value)[2:]))


def unfold(value, samples):
    """Reshapes `[S·B, ...]` to `[S, B, ...]`."""
    return ops.reshape(value, (samples, -1, *ops.shape(value)[1:]))


def tile(value, samples):
    """Repeats `[B, ...]` as `[S, B, ...]`, the same for every sample."""
    return ops.broadcast_to(value[None], (samples, *ops.shape(value)))
