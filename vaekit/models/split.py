"""A factor's network in two parts: one runs once for each example, one once for each sample."""

import keras
from keras.src.models.functional import Functional

from vaekit.models.factors import Factor, inputs_of


class Subnetwork(keras.layers.Layer):
    """Part of a functional network, from some of its tensors to others; the weights are the network's."""

    def __init__(self, inputs, outputs):
        super().__init__(autocast=False)
        self.function = keras.Function(inputs, outputs)

    def call(self, inputs, training=False):
        def run(operation):  # which has kept the `training` that it found when the network was made
            def call(*args, **kwargs):
                return operation(*args, **(kwargs | {"training": training} if "training" in kwargs else kwargs))

            return call

        return self.function._run_through_graph(inputs, operation_fn=run)


def split(factor, latents, shapes):
    r"""Splits a factor's network, $f(x, z) = g(h(x), z)$: h runs once for each example, g once for each sample.

    In a functional network of data and latents, h is all that depends on data alone: the branch of x in q(z1|x, z2).
    Any other network that is given latents is g as a whole, $h(x) = x$; one that is not is h.

    Args:
        latents: names.
        shapes: dict of event shapes by name.

    Returns: h, a function of a dict of data `[B, ...]` by name and of `training`, which returns a list of tensors
        `[B, ...]`, or, without latents, the distribution; and g, a function of these tensors `[S·B, ...]` with the
        latents behind them, and of `training`, which returns the distribution (None without latents).
    """
    data = [name for name in factor.given if name not in latents]
    if len(data) == len(factor.given):
        return lambda values, training: factor([values[name] for name in data], training), None
    known = {name: name in data for name in factor.given}
    boundary = _boundary(factor.layer, known, shapes) if data else None
    order = sorted(factor.given, key=lambda name: name not in data)
    if boundary is None:
        return (
            lambda values, training: [values[name] for name in data],
            lambda parts, training: factor([parts[order.index(name)] for name in factor.given], training),
        )
    inputs = dict(zip(factor.given, inputs_of(factor.layer, factor.given), strict=True))
    h = Subnetwork([inputs[name] for name in data], boundary)
    latent = [inputs[name] for name in order[len(data) :]]
    names = tuple(tensor.name for tensor in boundary + latent)
    g = Factor(factor.name, Subnetwork([*boundary, *latent], factor.layer.outputs[0]), given=names)
    return lambda values, training: h([values[name] for name in data], training=training), g


def _boundary(network, known, shapes):
    """Finds the tensors between h and g in a functional network, None in others; `known`: whether an input is data."""
    functional = isinstance(network, Functional) and type(network).call is Functional.call
    if not functional or len(network.inputs) != len(known):
        return None
    inputs = inputs_of(network, known)
    if any(len(tensor.shape) != 1 + len(shapes[name]) for tensor, name in zip(inputs, known, strict=True)):
        return None  # Keras adds or drops a last axis of 1
    latent = {id(tensor): not of_data for tensor, of_data in zip(inputs, known.values(), strict=True)}
    boundary = {}

    def depends_on_latents(tensor):
        if id(tensor) not in latent:
            operation, node, _ = tensor._keras_history
            parents = operation._inbound_nodes[node].input_tensors
            latent[id(tensor)] = any([depends_on_latents(parent) for parent in parents])
            if latent[id(tensor)]:
                boundary.update({id(parent): parent for parent in parents if not latent[id(parent)]})
        return latent[id(tensor)]

    joined = depends_on_latents(network.outputs[0]) and bool(boundary)
    masked = any(getattr(tensor, "_keras_mask", None) is not None for tensor in boundary.values())
    return list(boundary.values()) if joined and not masked else None
