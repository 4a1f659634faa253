"""Losses that layers add while a model runs, such as activity regularizers: each factor's count once."""

from contextlib import contextmanager
from contextvars import ContextVar

from keras import ops

from vaekit import backend

ADDED = ContextVar("the losses that layers add in a training step: dict by factor and part of it", default=None)


@contextmanager
def added_losses(model):
    """A context that collects the losses that layers add within: activity regularizers, `add_loss`.

    Each factor's network counts once, with the data: as the first `Trace` ran it, whatever an objective, a prior or a
    refinement does with it besides. Layers that no trace runs count as they ran last.

    Yields: a function, to be called within, that returns the list of losses, float32 scalars.
    """
    model._clear_losses()
    token = ADDED.set({})

    def losses():
        traced = {id(layer) for factor, _ in ADDED.get() for layer in factor.layer._flatten_layers()}
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
def counting(factor, part, shared=()):
    """A context for running a part of a factor's network: losses that layers add there count, unless they did before.

    Args:
        factor: a `vaekit.Factor`.
        part: `"h"` or `"g"`, see `vaekit.models.split`.
        shared: other networks, whose layers are not this factor's, such as the encoder inside a VampPrior.
    """
    added = ADDED.get()
    if added is None or (factor, part) in added:
        yield
        return
    added[factor, part] = []
    factor.layer._clear_losses()
    yield
    foreign = {id(layer) for network in shared for layer in network._flatten_layers()}
    layers = [layer for layer in factor.layer._flatten_layers() if id(layer) not in foreign]
    added[factor, part] += [loss for layer in layers for loss in layer._get_own_losses()]
