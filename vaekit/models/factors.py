"""Factors, and traces of samples through them."""

from dataclasses import dataclass

import keras
from keras import ops

from vaekit import backend
from vaekit.backend import tfd
from vaekit.layers import DistributionLayer, Stack, VariationalWeights
from vaekit.priors import Prior


@dataclass(frozen=True)
class Factor:
    """One factor of a factorization: the distribution of `name` given other variables.

    Args:
        name: the variable, for instance `"z"`.
        layer: a network (layer or model) that ends in a distribution layer; or, with nothing given, a prior.
        given: name, or tuple of names, of the variables the distribution depends on. A network of several is
            called with the list of them, in this order.

    Raises:
        ValueError: a network with nothing given, a prior with something given; when called, a network that does not end
            in a distribution.
    """

    name: str
    layer: keras.layers.Layer
    given: tuple = ()

    def __post_init__(self):
        object.__setattr__(self, "given", (self.given,) if isinstance(self.given, str) else tuple(self.given))
        if not self.given and not isinstance(self.layer, Prior):
            raise ValueError(
                f"Factor({self.name!r}) is conditioned on nothing, so its layer must be a prior (vaekit.priors); "
                f'received {type(self.layer).__name__}. Say given="x" for a network whose input is x.'
            )
        if self.given and isinstance(self.layer, Prior):
            raise ValueError(f"Factor({self.name!r}) has a prior for its layer: a prior can be given nothing.")

    def __call__(self, inputs, training=False):
        """The distribution, given a list of the variables it depends on, each `[N, ...]`."""
        if not self.given:
            return self.layer.distribution()
        inputs = inputs[0] if len(inputs) == 1 else inputs
        output = self.layer(inputs, training=training)
        if not isinstance(output, (tfd.Distribution, keras.KerasTensor)):
            raise ValueError(
                f"The network of {self.name!r} ({self.layer.name}) must end in a distribution layer, such as "
                f"vaekit.layers.DiagonalNormal or Bernoulli; it returned a {type(output).__name__}."
            )
        return output


@dataclass
class Trace:
    """Samples z ~ q(z|x) and all log-densities at them: what objectives and estimates are made of.

    Attributes:
        samples: S.
        values: variable name to its values: samples `[S, B, ...]`, observed data `[B, ...]`.
        q, p: factor name to its `tfd.Distribution`.
        log_q, log_p: factor name to its log-density `[S, B]`, in nats.
    """

    samples: int
    values: dict
    q: dict
    p: dict
    log_q: dict
    log_p: dict

    def log_weights(self, beta=1.0):
        r"""Log importance weights $\log p(x, z) - \log q(z|x)$, `[S, B]`.

        With β other than 1: $\log p(x|z) + \beta\,(\log p(z) - \log q(z|x))$.
        """
        latent = sum(self.log_p[name] - self.log_q[name] for name in self.log_q)
        observed = sum(value for name, value in self.log_p.items() if name not in self.log_q)
        return observed + beta * latent


def frozen(layer, values=None):
    """A context in which gradients take a layer's weights as constants, and nothing it updates is kept.

    Args:
        values: of the layer's variables, so that a second pass repeats the first (its dropout, say); None: the present.
    """
    values = current(layer) if values is None else values
    return keras.StatelessScope(
        [(v, ops.stop_gradient(value)) for v, value in zip(layer.variables, values, strict=True)]
    )


def current(layer):
    """The present values of a layer's variables, as tensors."""
    return [ops.copy(v) for v in layer.variables]


def moved(distribution, offsets):
    """A distribution layer's output with its parameters moved by `offsets`, a dict of tensors by name."""
    layer, parameters = distribution.head()
    return layer.distribution(**{name: value + offsets[name] for name, value in parameters.items()})


def fold(value):
    """`[S, B, ...]` to `[S·B, ...]`, the form in which networks see samples."""
    return ops.reshape(value, (-1, *value.shape[2:]))


def unfold(value, samples):
    """`[S·B, ...]` to `[S, B, ...]`."""
    return ops.reshape(value, (samples, -1, *value.shape[1:]))


def tile(value, samples):
    """`[B, ...]` to `[S, B, ...]`, the same for every sample."""
    return ops.broadcast_to(value[None], (samples, *ops.shape(value)))


def location(distribution, generator):
    """The mean of a distribution, or a sample where it has none."""
    try:
        return distribution.mean()
    except NotImplementedError:
        return distribution.sample(seed=backend.seed(generator))


def event_shape(factor, inputs):
    """Event shape of a factor's distribution for symbolic inputs; builds its network."""
    try:
        return tuple(factor(inputs).shape[1:])
    except Exception:  # a subclassed network need not know its output's shape: look at one output
        output = factor([ops.zeros((1, *tensor.shape[1:])) for tensor in inputs])
        return tuple(int(n) for n in output.event_shape)


def contains(layer, kind):
    """Whether a layer is of a kind or has one inside."""
    return isinstance(layer, kind) or any(contains(part, kind) for part in getattr(layer, "layers", ()))


def output_layer(network):
    """The distribution layer that a network ends in, or None if it cannot be told."""
    if isinstance(network, DistributionLayer):
        return network
    if isinstance(network, VariationalWeights):
        return output_layer(network.network)
    if isinstance(network, (keras.Sequential, Stack)):
        return output_layer(network.layers[-1]) if network.layers else None
    if hasattr(network, "operations"):  # functional
        return output_layer(network.outputs[0]._keras_history.operation)
    return None


def check_shared(generative, inference):
    """A prior made of its latent's posterior, such as a VampPrior, has to have the encoder of this model."""
    encoders = {factor.name: factor.layer for factor in inference}
    for factor in generative:
        encoder = getattr(factor.layer, "encoder", None)
        if encoder is not None and encoder is not encoders.get(factor.name, encoder):
            raise ValueError(
                f"The prior of {factor.name!r} ({type(factor.layer).__name__}) has an encoder of its own "
                f"({encoder.name}), but shares that of q({factor.name}|…), {encoders[factor.name].name}: pass it the "
                "same object."
            )


def check_order(kind, factors, known):
    for factor in factors:
        unknown = [name for name in factor.given if name not in known]
        if unknown:
            raise ValueError(
                f"The {kind} factor of {factor.name!r} is given {unknown}, which no earlier factor provides; "
                f"at that place there are {sorted(known)}."
            )
        if factor.name in known:
            raise ValueError(f"Two {kind} factors have the name {factor.name!r}, or it names data.")
        known.add(factor.name)
