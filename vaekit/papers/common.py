"""What the networks and tables of several papers share."""

import math

CLAMP = math.log((1 - 1e-5) / 1e-5)  # the logit of 1 − 1e-5
REBUILT = "OMNIGLOT made anew from its strokes"


def event_shape(data, images=False):
    """Shape of one example of a data set, and a word where something else stands in its place.

    Args:
        data: a `vaekit.datasets.Dataset`.
        images: whether it has to be `(H, W, C)`.

    Raises:
        ValueError: no data set, an array for instance; vectors for convolutions.
    """
    if not (hasattr(data, "train") and hasattr(data, "event_shape")):
        raise ValueError(
            "A paper's model is built by a data set, vaekit.datasets.load(...) or, of arrays of your own, "
            f"vaekit.datasets.from_arrays(x); received a {type(data).__name__}."
        )
    if images and len(data.event_shape) != 3:
        raise ValueError(f"This network expects images [N, H, W, C]; {data.name!r} has shape {data.event_shape}.")
    return tuple(data.event_shape)


def logit_range(quirks):
    """Bounds of a Bernoulli's logits where the code clamps probabilities to [1e-5, 1 − 1e-5], else None."""
    return (-CLAMP, CLAMP) if quirks.clamped_probabilities else None


def steps_per_epoch(examples, settings):
    """How many batches an epoch over so many examples has; the last one may be smaller."""
    return math.ceil(examples / settings.batch_size)


def train(model, data, settings, **options):
    """Trains a model in batches of its settings; the options are those of its `fit`.

    Raises:
        ValueError: another batch size among the options.
    """
    if "batch_size" in options:
        raise ValueError(
            f"The batch size is one of the settings, which model and fit share; received batch_size="
            f"{options['batch_size']!r}. Say settings=dataclasses.replace(SETTINGS, batch_size=...), to both."
        )
    return model.fit(data.train, batch_size=settings.batch_size, **options)
