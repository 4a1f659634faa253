"""The support of an observed variable, the values that its likelihood allows; and of a latent on both sides."""

import warnings

import numpy as np
from keras import ops

from vaekit.backend import tfd
from vaekit.layers import Bernoulli, DistributionLayer
from vaekit.layers.distribution import origin_of
from vaekit.layers.likelihoods.discretized import Discretized
from vaekit.layers.likelihoods.support import check_values, warn_of_scale
from vaekit.layers.over_time import OverTime, TimeDistributed
from vaekit.models.factors import output_layer


def supports(model):
    """Finds an object that checks each observed variable's values: its likelihood layer or `Values`; None: unknown.

    A network whose last layer is unknown runs once, for its distribution. Returns: dict by name.
    """
    return {f.name: _support_by_layer(f, model.event_shapes) for f in model.generative if f.name in model.observed}


def _support_by_layer(factor, shapes):
    layer, distribution = output_layer(factor.layer), None
    if isinstance(layer, TimeDistributed):
        layer = layer.head  # of a step
    if layer is None or type(layer).distribution is DistributionLayer.distribution:
        distribution = factor([ops.zeros((1, *shapes[name]), dtype="float32") for name in factor.given])
        layer, _ = origin_of(distribution) or (layer, None)
    if getattr(layer, "missing", False):
        return layer
    if layer is not None and type(layer).check_values is not DistributionLayer.check_values:
        return layer
    if distribution is None:
        parameters = {name: ops.zeros((1, *shape), dtype="float32") for name, shape in layer.parameter_shapes().items()}
        distribution = layer.distribution(**parameters)
    distribution = _inner(distribution)
    support = _support_of(distribution, shapes[factor.name])
    if support is None and layer is None:
        warnings.warn(
            f"The values of {factor.name!r} go unchecked: it is not known which ones {type(distribution).__name__} can "
            "have. A DistributionLayer of its own may say so in check_values.",
            stacklevel=2,
        )
    return layer if support is None else support


class Values:
    """The values that a distribution can have.

    Args:
        text: description of them, for errors.
        allowed: function of an array; returns booleans, True where a value is one of them.
    """

    def __init__(self, text, allowed):
        self.text, self.allowed = text, allowed

    def check_values(self, x):
        expected = f"The distribution of these data expects {self.text}"
        check_values(x, ~self.allowed(x), expected, "Scale the data, or use another likelihood.")


class Reals:
    """Real numbers; a scale that looks wrong gets a warning."""

    name = "of your own"

    def check_values(self, x):
        warn_of_scale(self, x)


REALS = Reals()
COUNTS = Values("whole numbers from 0", lambda x: (x >= 0) & (x == np.rint(x)))
POSITIVE = Values("positive numbers", lambda x: x > 0)
NOT_NEGATIVE = Values("numbers of at least 0", lambda x: x >= 0)
UNIT = Values("numbers from 0 to 1", lambda x: (x >= 0) & (x <= 1))
BETWEEN = Values("numbers between 0 and 1, without these", lambda x: (x > 0) & (x < 1))
ONE_HOT = Values("the values 0 and 1", lambda x: (x == 0) | (x == 1))
BY_KIND = {
    **dict.fromkeys((tfd.Poisson, tfd.NegativeBinomial, tfd.Geometric, tfd.Binomial, tfd.Categorical), COUNTS),
    tfd.OneHotCategorical: ONE_HOT,
    tfd.Exponential: NOT_NEGATIVE,  # a Gamma, too
    **dict.fromkeys((tfd.Gamma, tfd.InverseGamma, tfd.Chi2, tfd.LogNormal), POSITIVE),
    **dict.fromkeys((tfd.Beta, tfd.Kumaraswamy), BETWEEN),  # densities that may be 0 or infinite at the ends
}
CONTINUOUS = {"Identity": REALS, "Softplus": NOT_NEGATIVE, "Exp": POSITIVE, "Sigmoid": UNIT}
DISCRETE = (tfd.Bernoulli, *(kind for kind, values in BY_KIND.items() if values in (COUNTS, ONE_HOT)))


def check_measures(name, q, p):
    """Raises ValueError for a latent with probabilities on one side, densities on the other: they make no bound.

    Args:
        name: of the latent.
        q, p: its distributions on both sides; one of an unknown kind is trusted.
    """
    kinds = [_is_discrete(distribution) for distribution in (q, p)]
    if set(kinds) == {True, False}:
        has = ["probabilities" if discrete else "densities" for discrete in kinds]
        raise ValueError(
            f"q({name}|…), {q.name}, has {has[0]}, and p({name}), {p.name}, has {has[1]}: they make no bound. A "
            "one-hot code has the prior vaekit.priors.Classes(), other discrete codes a Prior of your own whose "
            "distribution() has probabilities; real numbers have vaekit.priors.StandardNormal() and the like."
        )


def _is_discrete(distribution):
    """Returns whether a distribution has probabilities; None: unknown."""
    inner = _inner(distribution)
    if isinstance(inner, DISCRETE) or hasattr(inner, "bins"):
        return True
    try:  # from all real numbers to the support
        return False if inner.experimental_default_event_space_bijector() is not None else None
    except Exception:
        return None


def _inner(distribution):
    """Returns the distribution of a single entry within those around it."""
    while True:  # tfd.Independent has several classes
        if isinstance(distribution, OverTime):
            distribution = distribution.steps
        elif hasattr(distribution, "components_distribution"):
            distribution = distribution.components_distribution
        elif hasattr(distribution, "distribution") and not hasattr(distribution, "bijector"):
            distribution = distribution.distribution
        else:
            return distribution


def _support_of(distribution, shape):
    """Finds an object that checks the values of a distribution; None: unknown."""
    if isinstance(distribution, tfd.Bernoulli):
        return Bernoulli(shape)
    if hasattr(distribution, "bins"):
        return Discretized(shape, distribution.bins)
    for kind, values in BY_KIND.items():
        if isinstance(distribution, kind):
            return values
    try:  # from all real numbers to the support
        bijector = distribution.experimental_default_event_space_bijector()
    except Exception:
        return None
    ends = getattr(bijector, "low", None), getattr(bijector, "high", None)  # those of a uniform distribution
    return CONTINUOUS.get(type(bijector).__name__) if ends == (None, None) else None
