"""Means of distributions, or draws from them."""

from keras import ops

from vaekit import backend


class NoMeanError(ValueError):
    """A mean that is not known in closed form."""


def mean_or_draw(name, distribution, mean, seed):
    """Returns a distribution's mean, or a draw from it, a tensor `[N, ...]`."""
    if not mean:
        return ops.cast(distribution.sample(seed=backend.seed(seed)), "float32")
    try:
        return distribution.mean()
    except NotImplementedError:
        raise NoMeanError(
            f"The distribution of {name!r} ({distribution.name}) has no mean in closed form. Ask for a draw from "
            "it: encode, decode, reconstruct, futures take mean=False and a seed; sample draws by itself. Of sentences "
            "decode and reconstruct find the most probable one, with beams=10."
        ) from None
