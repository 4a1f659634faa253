"""Checks that likelihoods share: of their settings, and of the values of data."""

import warnings
from numbers import Integral

import keras
import numpy as np
from keras import ops


def check_range(layer, name, values):
    """Returns a range `(low, high)` as a tuple, None as None; raises ValueError for anything else."""
    if values is None:
        return None
    if len(values) != 2 or not values[0] < values[1]:
        raise ValueError(f"{type(layer).__name__} expects {name}=(low, high) with low < high; received {values!r}.")
    return tuple(float(v) for v in values)


def clip(x, values):
    """Clips a tensor to a range `(low, high)`; None: not at all."""
    return x if values is None else ops.clip(x, *values)


def check_values(x, wrong, expected, advice):
    """Raises ValueError if values of a NumPy array are wrong: `wrong`, booleans of its shape."""
    if wrong.any():
        differ = f"{np.count_nonzero(wrong)} of {x.size} values differ, for instance {float(x[wrong].flat[0]):g}"
        raise ValueError(f"{expected}; {differ}. {advice}")


def check_classes(layer, classes):
    """Returns a number of classes as an int; raises ValueError for less than 2."""
    if not (isinstance(classes, Integral) and classes >= 2):
        raise ValueError(f"{type(layer).__name__} expects at least 2 classes; received {classes!r}.")
    return int(classes)


SIGMOIDS = (keras.activations.sigmoid, keras.activations.hard_sigmoid)


def warn_of_scale(layer, x):
    """Warns if data, a NumPy array, look like bytes, or lie where no mean of `layer`, a likelihood, can come near."""
    if not x.size:
        return
    low, high = x.min(), x.max()
    kind = f"{type(layer).__name__} ({layer.name!r})"
    whole = x.dtype == "uint8" and high > 1
    if whole or (low >= 0 and 127 < high <= 255 and (x == np.rint(x)).all()):
        warnings.warn(
            f"{kind} received what looks like bytes, whole numbers from 0 to 255, where it expects a scale near 1: "
            "errors of 100 cost thousands of nats for each value. Divide the data by 255; then this likelihood fits "
            "them, or one of bytes, such as vaekit.layers.DiscretizedLogistic(event_shape).",
            stacklevel=3,
        )
    elif (low < 0 or high > 1) and getattr(layer, "mean_activation", None) in SIGMOIDS:
        warnings.warn(
            f"{kind} has means in (0, 1), by its mean_activation, but the data have values outside of [0, 1], which no "
            "mean comes near. Scale the data to [0, 1], or leave mean_activation out.",
            stacklevel=3,
        )
