"""Factors of p(x, z) and q(z|x): checks, shapes, and the layers of their networks."""

from dataclasses import dataclass
from numbers import Real

import keras
from keras import ops

from vaekit.backend import tfd
from vaekit.layers import Autoregressive, AutoregressiveTokens, DistributionLayer, Stack, Tokens
from vaekit.layers.density import Single
from vaekit.layers.distribution import event_shape
from vaekit.layers.over_time import OverTime, TimeDistributed, output_layer
from vaekit.layers.stacks import Join
from vaekit.models.features import Feature
from vaekit.names import of_past, past, variable
from vaekit.priors import Prior


@dataclass(frozen=True)
class Factor:
    """One factor of a factorization: the distribution of `name` given other variables.

    Args:
        name: the variable, for instance `"z"`.
        layer: a network (layer or model) that ends in a distribution layer; or, with nothing given, a prior. In a model
            without latents `AutoregressiveTokens` and `Autoregressive` may be given nothing, too: p(x) word by word, or
            pixel by pixel.
        given: name, or tuple of names, of the variables the distribution depends on. A network of several is
            called with the list of them, in this order; a functional one whose inputs are a dict, with a dict by name.
        weight: a positive number that multiplies, in the loss alone, log p(x|·) of an observed variable or the KL of a
            latent; reported bounds leave it out. Of a generative factor.

    Raises:
        ValueError: a weight that is not positive; a prior with something given; when called, a network that does not
            end in a distribution.
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
        """Returns the distribution, given a list of the variables it depends on, each `[N, ...]`."""
        if self.is_prior:
            return self.layer.distribution()
        if not self.given:
            return Single(self._checked(self._run(ops.zeros((1, *_nothing(self.layer))), training)))
        return self._checked(self._run(self.arranged(inputs), training))

    @property
    def is_prior(self):
        return isinstance(self.layer, Prior)

    def depends_on(self, names):
        """Returns whether it is given one of some variables, or the past of one."""
        return any(variable(name) in names for name in self.given)

    def _checked(self, output):
        """Returns a network's output; raises ValueError unless it is a distribution."""
        if not isinstance(output, (tfd.Distribution, keras.KerasTensor)):
            kind = f"tensor of shape {tuple(output.shape)}" if ops.is_tensor(output) else type(output).__name__
            raise ValueError(
                f"The network of {self.name!r} ({self.layer.name}) must end in a distribution layer, such as "
                f"vaekit.layers.DiagonalNormal or Bernoulli; it returned a {kind}."
            )
        return output

    def arranged(self, inputs):
        """Arranges a list of the variables as the network is called with them."""
        if keys := _keys(self.layer):
            return dict(zip(self.given if len(keys) > 1 else keys, inputs, strict=True))
        return inputs if len(inputs) > 1 else inputs[0]

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


def _nothing(network):
    """The shape of what an autoregressive network is given where it is given nothing: a map without channels."""
    return (*network.head.places, 0)


def _keys(network):
    """Lists names of a functional network's inputs, where they are a dict; else none."""
    inputs = network.input if hasattr(network, "operations") and not isinstance(network, keras.Sequential) else None
    return tuple(inputs) if isinstance(inputs, dict) else ()


def inputs_of(network, given):
    """Lists a functional network's inputs in the order of the variables it is given."""
    keys = _keys(network)
    return [network.input[name] for name in (given if len(keys) > 1 else keys)] if keys else network.inputs


def event_shapes(model, shapes):
    """Finds the shape of one event of every variable, dict of tuples by name; builds the networks.

    Args:
        model: its features come first, then the factors of q, then those of p.
        shapes: dict of those of data.

    Raises:
        ValueError: a factor of p that describes events of another shape than the variable has; data that are no
            sequences where steps are described.
    """
    for factor in model.generative:
        layer, shape = output_layer(factor.layer), shapes.get(factor.name)
        head = layer.head if isinstance(layer, TimeDistributed) else None
        if shape is not None and isinstance(head, DistributionLayer) and len(shape) != 1 + len(head.event_shape):
            raise ValueError(
                f"{factor.name!r} is described step by step, {['N', 'T', *head.event_shape]}; received "
                f"{['N', *shape]}. One number a step needs an axis of its own, x[..., None]."
            )
    specs = {name: keras.KerasTensor((None, *shape), name=name) for name, shape in shapes.items()}
    length = next((shape[0] for name, shape in shapes.items() if name in model.sequences), None)

    def given(factor):
        for name in factor.given:
            if name not in specs and of_past(name) in specs:
                specs[name] = keras.KerasTensor(specs[of_past(name)].shape)
            elif name not in specs:  # the past of what is yet to be described
                specs[name] = keras.KerasTensor((None, *_declared_shape(model, of_past(name), length)))
        return [specs[name] for name in factor.given]

    _read_tokens(model)
    for feature in model.features:
        given(feature)
        specs |= feature.spec(specs)
    for factor in (*model.inference, *model.generative):
        if not factor.is_prior:
            inputs = (given(factor), factor) if factor.given else (keras.KerasTensor((None, *_nothing(factor.layer))),)
            shape = event_shape(factor.layer, *inputs)
            specs.setdefault(factor.name, keras.KerasTensor((None, *shape), name=factor.name))
        else:
            if not factor.layer.built:
                factor.layer.build(specs[factor.name].shape[1:])
            shape = factor.layer.event_shape
        expected = tuple(specs[factor.name].shape[1:])
        if shape != expected:
            advice = "Give its last layer that event shape."
            if factor.is_prior:
                advice = "Leave a prior's shape out: it takes that of its latent."
            if factor.name in model.sequences and len(shape) != len(expected):
                advice = (
                    "It is a sequence in p: let all its networks keep the steps (return_sequences=True), end in "
                    "vaekit.layers.TimeDistributed, and have steps with an axis of their own, [N, T, 1] for numbers."
                )
            raise ValueError(
                f"The generative factor of {factor.name!r} ({factor.layer.name}) describes events of shape "
                f"{shape}, but {factor.name!r} has shape {expected}. {advice}"
            )
    return {name: tuple(spec.shape[1:]) for name, spec in specs.items()}


def _read_tokens(model):
    """Prepares networks that are given tokens, before they are built: numbers that mixed precision would round, a word
    becoming another one, come to their Embedding as they are.

    Raises:
        ValueError: an Embedding of fewer tokens than there are, or one that rounds them since it has been built.
    """
    heads = {factor.name: output_layer(factor.layer) for factor in model.generative}
    words = {name: head.vocabulary for name, head in heads.items() if isinstance(head, Tokens)}
    for part in (*model.inference, *model.features, *model.generative):
        network, most = part.layer, max((words[name] for name in part.given if name in words), default=0)
        first = network.layers[0] if most and isinstance(network, keras.Sequential) else None
        if isinstance(first, keras.layers.Embedding) and first.input_dim < most:
            raise ValueError(
                f"The network of {part.name!r} ({network.name}) has an Embedding of {first.input_dim} tokens, and is "
                f"given {part.given}, of {most}: give it the size of the vocabulary."
            )
        for layer in network._flatten_layers() if most else ():
            on_the_way = isinstance(layer, (keras.Model, Stack, Join, keras.layers.Embedding))
            if on_the_way and layer.compute_dtype in ("float16", "bfloat16"):
                layer.dtype_policy = "float32"  # its layers keep theirs
        if first is not None and network.built and network.inputs[0].dtype in ("float16", "bfloat16"):
            raise ValueError(
                f"The network of {part.name!r} ({network.name}) was built for numbers in {network.inputs[0].dtype}, "
                "which cannot tell its tokens apart: make the model before calling it, or say Embedding(…, "
                'dtype="float32").'
            )


def _declared_shape(model, name, length):
    """The event shape of a sequence, as the distribution layer at the end of its network says."""
    layer = next(output_layer(factor.layer) for factor in model.inference if factor.name == name)
    head = getattr(layer, "head", None)
    if head is None:
        raise ValueError(
            f"A factor is given the past of {name!r}, whose shape is not known: let the network of q({name}|…) end in "
            "vaekit.layers.TimeDistributed(distribution layer)."
        )
    return (length, *head.event_shape)


def freeze(model):
    """Freezes what stands in frozen layers: parts and weights made since, as when a layer is loaded, would train."""
    for layer in model._flatten_layers(include_self=False):
        if not layer.trainable:
            for part in (*layer._flatten_layers(include_self=False), *layer.weights):
                part.trainable = False


def check_shapes(factor, distribution, expected):
    """Raises ValueError unless a factor's distribution has the event shape `expected`, and a batch of rows alone.

    (Of a sequence the number of steps may differ.)
    """
    if isinstance(output_layer(factor.layer), TimeDistributed) or isinstance(distribution, OverTime):
        return
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


def contains(layer, kind):
    """Returns whether a layer is of a class, or has a layer of it inside."""
    return isinstance(layer, kind) or any(contains(part, kind) for part in getattr(layer, "layers", ()))


def _before_last(network):
    """Lists the layers of a sequential or functional network without the one that it ends in."""
    if isinstance(network, keras.Sequential):
        return network.layers[:-1]
    last = output_layer(network)
    return [operation for operation in getattr(network, "operations", ()) if operation is not last]


def check_factorizations(generative, inference, features=()):
    """Raises ValueError for lists of factors that are no model together."""
    for name, factors in {"generative": generative, "inference": inference}.items():
        if not isinstance(factors, (list, tuple)) or not all(isinstance(f, Factor) for f in factors):
            raise ValueError(f"{name} should be a list of vaekit.Factor(...); received {factors!r}.")
    if not isinstance(features, (list, tuple)) or not all(isinstance(f, Feature) for f in features):
        raise ValueError(f"features should be a list of vaekit.Feature(...); received {features!r}.")
    latents, generated = [f.name for f in inference], [f.name for f in generative]
    observed = [name for name in generated if name not in latents]
    missing = [name for name in latents if name not in generated]
    if missing or not observed:
        raise ValueError(
            "A model needs an observed variable, and a generative factor for each latent; latent: "
            f"{tuple(latents)}, observed: {tuple(observed)}, without a generative factor: {missing}."
        )
    autoregressive = () if latents else (Autoregressive, AutoregressiveTokens)
    for factor in (*inference, *generative):
        if not (factor.given or factor.is_prior or isinstance(factor.layer, autoregressive)):
            raise ValueError(
                f"Factor({factor.name!r}) is conditioned on nothing, so its layer must be a prior (vaekit.priors); "
                f'received {type(factor.layer).__name__}. Say given="x" for a network whose input is x. (In a model '
                "without latents, inference=[], it may be an AutoregressiveTokens or Autoregressive.)"
            )
    if weighted := [f.name for f in inference if f.weight != 1]:
        raise ValueError(
            f"A weight belongs to a generative factor, a latent's prior for its KL; in q one has {weighted}."
        )
    computed = {name for feature in features for name in feature.names}
    given = {variable(name) for f in (*features, *inference, *generative) for name in f.given}
    conditions = given - {*latents, *observed, *computed}
    if wrong := sorted(name for feature in features for name in feature.given if variable(name) in latents):
        raise ValueError(
            f"A Feature is computed of data; one is given the latent {wrong}. A layer that several factors share "
            "stands in the network of each of them."
        )
    _check_order("inference", inference, {*observed, *conditions}, features, {*observed, *latents})
    _check_order("generative", generative, conditions, features, {*observed, *latents})
    _check_shared(generative, inference)


def _check_shared(generative, inference):
    """Raises ValueError for a prior with another encoder than its latent's posterior, such as a VampPrior."""
    encoders = {factor.name: factor.layer for factor in inference}
    for factor in generative:
        encoder = getattr(factor.layer, "encoder", None)
        if encoder is not None and encoder is not encoders.get(factor.name, encoder):
            raise ValueError(
                f"The prior of {factor.name!r} ({type(factor.layer).__name__}) has an encoder of its own "
                f"({encoder.name}), but shares that of q({factor.name}|…), {encoders[factor.name].name}: pass it the "
                "same object."
            )


def _check_order(kind, factors, known, features, described):
    """Raises ValueError for a factor that is given what comes after it.

    Args:
        known: names before the first factor.
        features: each is known as soon as all that it is given is.
        described: names whose pasts are known at any place.
    """
    known = set(known)
    pasts = {past(name) for name in {*known, *described, *(n for feature in features for n in feature.names)}}
    for factor in factors:
        for feature in features:
            known |= set(feature.names) if set(feature.given) <= known | pasts else set()
        unknown = [name for name in factor.given if name not in known | pasts]
        if unknown:
            earlier = [past(name) for name in unknown if past(name) in pasts]
            raise ValueError(
                f"The {kind} factor of {factor.name!r} is given {unknown}, which no earlier factor provides; "
                f"at that place there are {sorted(known)}"
                + (f", and of sequences the past, {earlier}: see vaekit.past." if earlier else ".")
            )
        if factor.name in known:
            raise ValueError(f"Two {kind} factors have the name {factor.name!r}, or it names data.")
        known.add(factor.name)
