"""The rows of table 2: decoders by their names, for images and for frames of videos."""

import math

from vaekit import layers
from vaekit.layers import Normal


def _normal(scale, clipped=True):
    def layer(shape, settings):
        bound = dict(soft_clip=settings.soft_clip) if clipped else {}
        return Normal(shape, scale(settings) if callable(scale) else scale, "sigmoid", **bound)

    return layer


# Name to the likelihood layer, given the images' shape and settings. "bernoulli" is for binary data (the paper trained
# it on grey ones, and so reports no likelihood); the next three are for bytes.
DECODERS = {
    "bernoulli": lambda shape, settings: layers.Bernoulli(shape),
    "categorical": lambda shape, settings: layers.Categorical(shape),
    "bitwise": lambda shape, settings: layers.BitwiseCategorical(shape),
    "logistic_mixture": lambda shape, settings: layers.DiscretizedLogisticMixture(shape),
    "unit": _normal(1.0, clipped=False),
    "pixel": _normal("pixel"),
    "student_t": lambda shape, settings: layers.StudentT(shape, mean_activation="sigmoid"),
    "beta": _normal(lambda settings: math.sqrt(settings.beta / 2), clipped=False),  # ‖x − μ‖² + β KL, as a density
    "shared": _normal("shared"),
    "optimal": _normal("optimal"),
    "optimal_image": _normal("optimal_image"),
}


def head(name, shape, settings):
    """The likelihood layer of a row, and how many numbers it has for a pixel.

    Raises:
        ValueError: an unknown name.
    """
    if name not in DECODERS:
        raise ValueError(f"The paper's decoders are {', '.join(map(repr, DECODERS))}; received {name!r}.")
    layer = DECODERS[name](shape, settings)
    return layer, sum(shape[-1] for shape in layer.parameter_shapes().values())
