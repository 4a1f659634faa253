"""A factor's network in two parts: what runs once for each example, and what runs once for each sample."""

import keras
from keras.src.models.functional import Functional

from vaekit.models.factors import Factor, inputs_of


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
    inputs = dict(zip(factor.given, inputs_of(factor.layer, factor.given), strict=True))
    h = Part([inputs[name] for name in data], border)
    latent = [inputs[name] for name in order[len(data) :]]
    names = tuple(tensor.name for tensor in border + latent)
    g = Factor(factor.name, Part([*border, *latent], factor.layer.outputs[0]), given=names)
    return lambda values, training: h([values[name] for name in data], training=training), g


def _border(network, known, shapes):
    """The tensors of a functional network where what its `known` inputs reach alone ends; None: it cannot be told."""
    functional = isinstance(network, Functional) and type(network).call is Functional.call
    if not functional or len(network.inputs) != len(known):
        return None
    inputs = inputs_of(network, known)
    if any(len(tensor.shape) != 1 + len(shapes[name]) for tensor, name in zip(inputs, known, strict=True)):
        return None  # Keras adds or drops a last axis of 1
    latent = {id(tensor): not of_data for tensor, of_data in zip(inputs, known.values(), strict=True)}
    border = {}

    def depends_on_latents(tensor):
        if id(tensor) not in latent:
            operation, node, _ = tensor._keras_history
            parents = operation._inbound_nodes[node].input_tensors
            latent[id(tensor)] = any([depends_on_latents(parent) for parent in parents])
            if latent[id(tensor)]:
                border.update({id(parent): parent for parent in parents if not latent[id(parent)]})
        return latent[id(tensor)]

    joined = depends_on_latents(network.outputs[0]) and bool(border)
    masked = any(getattr(tensor, "_keras_mask", None) is not None for tensor in border.values())
    return list(border.values()) if joined and not masked else None
