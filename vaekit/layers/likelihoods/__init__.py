"""Likelihoods p(x|z) and posteriors q(z|x), one file each: distribution (where TFP lacks it), layer, and support."""

from vaekit.layers.likelihoods.bernoulli import Bernoulli
from vaekit.layers.likelihoods.bitwise_categorical import BitwiseCategorical
from vaekit.layers.likelihoods.categorical import Categorical
from vaekit.layers.likelihoods.categorical_labels import CategoricalLabels
from vaekit.layers.likelihoods.diagonal_normal import DiagonalNormal
from vaekit.layers.likelihoods.discretized import Discretized
from vaekit.layers.likelihoods.discretized_logistic import DiscretizedLogistic
from vaekit.layers.likelihoods.discretized_logistic_mixture import DiscretizedLogisticMixture
from vaekit.layers.likelihoods.masked import FillMissing, Masked
from vaekit.layers.likelihoods.multivariate_normal import MultivariateNormal
from vaekit.layers.likelihoods.normal import Normal
from vaekit.layers.likelihoods.one_hot_categorical import OneHotCategorical
from vaekit.layers.likelihoods.poisson import Poisson
from vaekit.layers.likelihoods.student_t import StudentT

__all__ = [
    "Bernoulli",
    "BitwiseCategorical",
    "Categorical",
    "CategoricalLabels",
    "DiagonalNormal",
    "Discretized",
    "DiscretizedLogistic",
    "DiscretizedLogisticMixture",
    "FillMissing",
    "Masked",
    "MultivariateNormal",
    "Normal",
    "OneHotCategorical",
    "Poisson",
    "StudentT",
]
