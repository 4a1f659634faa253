"""Priors p(z): Keras layers that need no input and offer `distribution()`."""

from vaekit.priors.classes import Classes
from vaekit.priors.flow import RealNVP
from vaekit.priors.mixture import MixtureOfNormals
from vaekit.priors.normal import LearnedNormal, StandardNormal, weight_prior
from vaekit.priors.prior import Prior
from vaekit.priors.steps import IndependentSteps
from vaekit.priors.vampprior import VampPrior

__all__ = [
    "Classes",
    "IndependentSteps",
    "LearnedNormal",
    "MixtureOfNormals",
    "Prior",
    "RealNVP",
    "StandardNormal",
    "VampPrior",
    "weight_prior",
]
