r"""Bytes, and other values in a fixed number of bins: numbers x in [0, 1].

The bin of x is $k = \min(\lfloor x \cdot \mathrm{bins} \rfloor, \mathrm{bins} - 1)$, so that k / (bins − 1) and
(k + ½) / bins mean the same; samples are centres (k + ½) / bins. `log_prob(x)` is that of the bin of x, and sums to one
over the bins.
"""

from numbers import Integral

import numpy as np
from keras import ops

from vaekit.layers.distribution import DistributionLayer
from vaekit.layers.likelihoods.support import check_values


def level(x, bins):
    """The bin k of x, as a float."""
    return ops.clip(ops.floor(x * bins), 0, bins - 1)


def centre(k, bins):
    """The middle of bin k."""
    return (ops.cast(k, "float32") + 0.5) / bins


class Discretized(DistributionLayer):
    """Base of likelihoods of bytes: numbers k / (bins − 1) or (k + ½) / bins in [0, 1], k = 0, …, bins − 1.

    Both are the same value of k, `vaekit.distributions.level(x, bins)`; samples are (k + ½) / bins.

    Args:
        event_shape: shape of an image, channels last.
        bins: number of values.

    Raises:
        ValueError: fewer than two values; as the head of a model, data on neither grid, or too coarse for it, such as
            k / 255 in float16, some of which lie in bin k + 1.
    """

    def __init__(self, event_shape, bins=256, **kwargs):
        super().__init__(event_shape, **kwargs)
        if not (isinstance(bins, Integral) and bins >= 2):
            raise ValueError(f"{type(self).__name__} expects at least 2 bins, 256 for bytes; received {bins!r}.")
        self.bins = int(bins)

    def per_channel(self, n):
        """Shape of a parameter with n numbers for each channel of a pixel, kept within the channel axis."""
        return (*self.event_shape[:-1], self.event_shape[-1] * n)

    def by_channel(self, parameter):
        """Reshapes a parameter `[B, ..., C·n]` to `[B, ..., C, n]`."""
        *spatial, n = parameter.shape[1:]
        return ops.reshape(parameter, (-1, *spatial, self.event_shape[-1], n // self.event_shape[-1]))

    def check_values(self, x):
        if not x.size:  # all missing
            return
        rounding = 0.01 + (self.bins * np.finfo(x.dtype).eps if x.dtype.kind == "f" else 0)
        x = x.astype("float32", copy=False)
        top = self.bins - 1
        k = np.clip(np.floor(x * self.bins), 0, top)  # the bin
        found = []
        for t in (x * top, x * self.bins - 0.5):
            off = (x < 0) | (x > 1) | (abs(t - np.rint(t)) > rounding)
            found.append((off | (np.rint(t) != k), off))
        wrong, off = min(found, key=lambda pair: np.count_nonzero(pair[0]))
        if x.min() >= 0 and x.max() <= top and (x == np.rint(x)).all():
            advice = f"They look like whole numbers from 0 to {top}: divide by {top}."
        elif not off.any():
            advice = (
                f"Their precision is too low for k / {top}: these lie in the next bin. Take the middle of each bin, "
                f"(numpy.rint(x * {top}) + 0.5) / {self.bins}."
            )
        else:
            advice = (
                f"Round images in [0, 1] to them, numpy.rint(x * {top}) / {top}, or use a likelihood for real values, "
                "vaekit.layers.Normal(event_shape)."
            )
        expected = f"{self.bins} values, k / {top} or (k + 0.5) / {self.bins} for k = 0, ..., {top}"
        check_values(x, wrong, f"{type(self).__name__} expects {expected}", advice)

    def get_config(self):
        return {**super().get_config(), "bins": self.bins}
