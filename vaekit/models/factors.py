"""Factors, and traces of samples through them."""

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from numbers import Real

import keras
from keras import ops

from vaekit import backend
from vaekit.backend import tfd
from vaekit.layers import DistributionLayer, Stack, VariationalWeights
from vaekit.layers.distribution import origin_of
from vaekit.priors import Prior


@dataclass(frozen=True)
class Factor:
    """One factor of a factorization: the distribution of `name` given other variables.

    Args:
        name: the variable, for instance `"z"`.
        layer: a network (layer or model) that ends in a distribution layer; or, with nothing given, a prior.
        given: name, or tuple of names, of the variables the distribution depends on. A network of several is
            called with the list of them, in this order; a functional one whose inputs are a dict, with a dict by name.
        weight: a positive number that multiplies, in the loss alone, log p(x|·) of an observed variable or the KL of a
            latent; reported bounds leave it out. Of a generative factor.

    Raises:
        ValueError: a weight that is not positive; a network with nothing given, a prior with something given; when
            called, a network that does not end in a distribution.
    """

    name: str
    layer: keras.layers.Layer
    given: tuple = ()
    weight: float = 1.0

    def __post_init__(self):
        if not (isinstance(self.weight, Real) and self.weight > 0):
            raise ValueError(f"Factor({self.name!r}) expects a positive weight; received {self.weight!r}.")
        names = (self.given,) if isinstance(self.given, str) else self.given
        if not isinstance(names, (tuple, list)) or not all(isinstance(name, str) for name in (self.name, *names)):
            raise ValueError(
                'Factor expects names of variables, Factor("x", network, given="z") or given=("z", "y"); received '
                f"{self.name!r} given {self.given!r}."
            )
        object.__setattr__(self, "given", tuple(names))
        if not isinstance(self.layer, keras.layers.Layer):
            raise ValueError(
                f"Factor({self.name!r}) expects a Keras layer or model, or a prior (vaekit.priors); received "
                f"{self.layer!r}."
            )
        if not self.given and not isinstance(self.layer, Prior):
            raise ValueError(
                f"Factor({self.name!r}) is conditioned on nothing, so its layer must be a prior (vaekit.priors); "
                f'received {type(self.layer).__name__}. Say given="x" for a network whose input is x.'
            )
        if self.given and isinstance(self.layer, Prior):
            raise ValueError(f"Factor({self.name!r}) has a prior for its layer: a prior can be given nothing.")
        if inner := [layer.name for layer in _before_last(self.layer) if isinstance(layer, DistributionLayer)]:
            raise ValueError(
                f"The network of {self.name!r} ({self.layer.name}) has layers after a distribution layer, {inner}, "
                "which gives no tensor to compute with: end the network there, and put other layers before it."
            )
        keys = _keys(self.layer)
        if keys and (len(keys), len(self.given)) != (1, 1) and set(keys) != set(self.given):
            raise ValueError(
                f"The network of {self.name!r} ({self.layer.name}) has inputs named {tuple(keys)}, but is given "
                f"{self.given}: give its inputs the variables' names."
            )

    def __call__(self, inputs, training=False):
        """The distribution, given a list of the variables it depends on, each `[N, ...]`."""
        if not self.given:
            return self.layer.distribution()
        if keys := _keys(self.layer):
            inputs = dict(zip(self.given if len(keys) > 1 else keys, inputs, strict=True))
        elif len(inputs) == 1:
            inputs = inputs[0]
        output = self._run(inputs, training)
        if not isinstance(output, (tfd.Distribution, keras.KerasTensor)):
            raise ValueError(
                f"The network of {self.name!r} ({self.layer.name}) must end in a distribution layer, such as "
                f"vaekit.layers.DiagonalNormal or Bernoulli; it returned a {type(output).__name__}."
            )
        return output

    def _run(self, inputs, training):
        try:
            return self.layer(inputs, training=training)
        except Exception as error:
            if isinstance(self.layer, keras.Sequential) and len(self.given) > 1:
                raise ValueError(
                    f"The network of {self.name!r} is a keras.Sequential, whose first layer takes one tensor, and is "
                    f"given {self.given}: write vaekit.layers.Stack([...]), which joins them."
                ) from error
            raise


def _keys(network):
    """Names of a functional network's inputs, where they are a dict; else none."""
    inputs = network.input if hasattr(network, "operations") and not isinstance(network, keras.Sequential) else None
    return tuple(inputs) if isinstance(inputs, dict) else ()


def _inputs(network, given):
    """A functional network's inputs in the order of the variables it is given."""
    keys = _keys(network)
    return [network.input[name] for name in (given if len(keys) > 1 else keys)] if keys else network.inputs


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
        latent = sum(self.log_p[name] - self.log_q[name] for name in self.log_q)
        observed = sum(value for name, value in self.log_p.items() if name not in self.log_q)
        return observed + beta * latent

    def weighted(self, beta=1.0):
        """Log-weights as a loss takes them, with β and each factor's weight, `[S, B]`."""
        if not self.weights:
            return self.log_weights(beta)
        log_p, log_q = ({n: self.weights.get(n, 1.0) * v for n, v in d.items()} for d in (self.log_p, self.log_q))
        return replace(self, log_p=log_p, log_q=log_q).log_weights(beta)


def frozen(layer, values=None):
    """A context in which gradients take a layer's weights as constants, and nothing it updates is kept.

    Args:
        values: of the layer's variables, so that a second pass repeats the first (its dropout, say); None: the present.
    """
    values = current(layer) if values is None else values
    return backend.Scope((v, ops.stop_gradient(value)) for v, value in zip(layer.variables, values, strict=True))


def current(layer):
    """The present values of a layer's variables, as tensors."""
    return [ops.copy(v) for v in layer.variables]


ADDED = ContextVar("the losses that layers add in a training step: dict by factor", default=None)


@contextmanager
def added_losses(model):
    """A context that gives what layers add to the losses within: activity regularizers, `add_loss`.

    Each factor's network counts once, with the data: as the first `Trace` ran it, whatever an objective, a prior or a
    refinement does with it besides. Layers that no trace runs count as they ran last.

    Yields: a function, to be called within, that returns the list of losses, float32 scalars.
    """
    model._clear_losses()
    token = ADDED.set({})

    def losses():
        traced = {id(layer) for factor in ADDED.get() for layer in factor.layer._flatten_layers()}
        others = [layer for layer in model._flatten_layers() if id(layer) not in traced]
        added = [*sum(ADDED.get().values(), []), *(loss for layer in others for loss in layer._get_own_losses())]
        return [ops.cast(loss, "float32") for loss in added]

    try:
        with backend.losses_collected():
            yield losses
    finally:
        ADDED.reset(token)
        model._clear_losses()  # tensors of a program being traced


@contextmanager
def no_losses():
    """A context in which no network's losses count, such as steps towards the posterior that is then used."""
    token = ADDED.set(None)
    try:
        yield
    finally:
        ADDED.reset(token)


@contextmanager
def counting(factor, shared=()):
    """A context that runs a factor's network; the losses that its layers add there count, unless they did before.

    Args:
        shared: other networks, whose layers are not this factor's, such as the encoder inside a VampPrior.
    """
    added = ADDED.get()
    if added is None or factor in added:
        yield
        return
    added[factor] = []
    factor.layer._clear_losses()
    yield
    not_its = {id(layer) for network in shared for layer in network._flatten_layers()}
    layers = [layer for layer in factor.layer._flatten_layers() if id(layer) not in not_its]
    added[factor] += [loss for layer in layers for loss in layer._get_own_losses()]


def moved(distribution, offsets):
    """A distribution layer's output with its parameters moved by `offsets`, a dict of tensors by name."""
    layer, parameters = origin_of(distribution)
    return layer.distribution(**{name: value + offsets[name] for name, value in parameters.items()})


def fold(value):
    """`[S, B, ...]` to `[S·B, ...]`, the form in which networks see samples."""
    return ops.reshape(value, (-1, *value.shape[2:]))


def unfold(value, samples):
    """`[S·B, ...]` to `[S, B, ...]`."""
    return ops.reshape(value, (samples, -1, *value.shape[1:]))


class Part(keras.layers.Layer):
    """Part of a functional network, from some of its tensors to others; the weights are the network's."""

    def __init__(self, inputs, outputs):
        super().__init__(autocast=False)
        self.function = keras.Function(inputs, outputs)

    def call(self, inputs, training=False):
        return self.function(inputs)  # layers find `training` in the context of this call


def split(factor, latents, shapes):
    r"""A factor's network as two, $f(x, z) = g(h(x), z)$: h runs once for each example, g once for each sample.

    In a functional network of data and latents, h is all that data alone reach: the branch of x in q(z1|x, z2). Any
    other network that is given latents is g as a whole, $h(x) = x$; one that is not is h.

    Args:
        latents: names.
        shapes: dict of event shapes by name.

    Returns: function of a dict of values by name and of `training`, which gives the distribution if no latent is given,
        else a list of tensors `[B, ...]`; and function of such tensors, followed by the latents given, and of
        `training`, which gives the distribution.
    """
    data = [name for name in factor.given if name not in latents]
    if len(data) == len(factor.given):
        return lambda values, training: factor([values[name] for name in data], training), None
    known = {name: name in data for name in factor.given}
    border = _border(factor.layer, known, shapes) if data else None
    order = sorted(factor.given, key=lambda name: name not in data)
    if border is None:
        return (
            lambda values, training: [values[name] for name in data],
            lambda parts, training: factor([parts[order.index(name)] for name in factor.given], training),
        )
    inputs = dict(zip(factor.given, _inputs(factor.layer, factor.given), strict=True))
    h = Part([inputs[name] for name in data], border)
    late = [inputs[name] for name in order[len(data) :]]
    g = Factor(factor.name, Part([*border, *late], factor.layer.outputs[0]), given=tuple(t.name for t in border + late))
    return lambda values, training: h([values[name] for name in data], training=training), g


def _border(network, known, shapes):
    """The tensors of a functional network where what its `known` inputs reach alone ends; None: it cannot be told."""
    functional = hasattr(network, "operations") and type(network).__module__.startswith("keras.")  # no call of its own
    if not functional or len(network.inputs) != len(known):
        return None
    inputs = _inputs(network, known)
    if any(len(tensor.shape) != 1 + len(shapes[name]) for tensor, name in zip(inputs, known, strict=True)):
        return None  # Keras adds or drops a last axis of 1
    late = {id(tensor): not early for tensor, early in zip(inputs, known.values(), strict=True)}
    border = {}

    def is_late(tensor):
        if id(tensor) not in late:
            operation, node, _ = tensor._keras_history
            parents = operation._inbound_nodes[node].input_tensors
            late[id(tensor)] = any([is_late(parent) for parent in parents])
            if late[id(tensor)]:
                border.update({id(parent): parent for parent in parents if not late[id(parent)]})
        return late[id(tensor)]

    joined = is_late(network.outputs[0]) and bool(border)
    masked = any(getattr(tensor, "_keras_mask", None) is not None for tensor in border.values())
    return list(border.values()) if joined and not masked else None


def tile(value, samples):
    """`[B, ...]` to `[S, B, ...]`, the same for every sample."""
    return ops.broadcast_to(value[None], (samples, *ops.shape(value)))


def check_shapes(factor, distribution, expected):
    """Raises ValueError unless a factor's distribution is one of events of the `expected` shape, one for each row."""
    batch, event = distribution.batch_shape, distribution.event_shape
    rank = 1 if factor.given else 0
    if None in (batch.rank if hasattr(batch, "rank") else 0, getattr(event, "rank", 0)):
        return  # unknown while TensorFlow makes a program
    if len(batch) != rank or (None not in tuple(event) and tuple(event) != tuple(expected)):
        raise ValueError(
            f"The factor of {factor.name!r} ({factor.layer.name}) should give a distribution with batch shape "
            f"{['N'] if rank else []} and event shape {list(expected)}; it gave batch shape {list(batch)} and event "
            f"shape {list(event)}, whose log-density is no sum over one example. A layer of your own sums over its "
            "event's axes by self.independent(distribution)."
        )


class NoMeanError(ValueError):
    """A mean is asked for that is not known in closed form."""


def contains(layer, kind):
    """Whether a layer is of a kind or has one inside."""
    return isinstance(layer, kind) or any(contains(part, kind) for part in getattr(layer, "layers", ()))


def _before_last(network):
    """The layers of a sequential or functional network, but the one that it ends in."""
    if isinstance(network, keras.Sequential):
        return network.layers[:-1]
    last = output_layer(network)
    return [operation for operation in getattr(network, "operations", ()) if operation is not last]


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
