"""Layers whose output is a distribution, and the building blocks around them."""

from vaekit.layers.autoregressive import Autoregressive
from vaekit.layers.blocks import MLP, DenseBlock, GatedDense
from vaekit.layers.convolutions import GatedConv2D, GatedConv2DTranspose, GatedPixelConv2D, MaskedConv2D, ResidualBlock
from vaekit.layers.distribution import DistributionLayer
from vaekit.layers.likelihoods.bernoulli import Bernoulli
from vaekit.layers.likelihoods.bitwise_categorical import BitwiseCategorical
from vaekit.layers.likelihoods.categorical import Categorical
from vaekit.layers.likelihoods.categorical_labels import CategoricalLabels
from vaekit.layers.likelihoods.committed_normal import CommittedNormal
from vaekit.layers.likelihoods.diagonal_normal import DiagonalNormal
from vaekit.layers.likelihoods.discretized_logistic import DiscretizedLogistic
from vaekit.layers.likelihoods.discretized_logistic_mixture import DiscretizedLogisticMixture
from vaekit.layers.likelihoods.masked import FillMissing, Masked
from vaekit.layers.likelihoods.multivariate_normal import MultivariateNormal
from vaekit.layers.likelihoods.normal import Normal
from vaekit.layers.likelihoods.one_hot_categorical import OneHotCategorical
from vaekit.layers.likelihoods.poisson import Poisson
from vaekit.layers.likelihoods.student_t import StudentT
from vaekit.layers.likelihoods.tokens import Tokens
from vaekit.layers.over_time import Hold, TimeDistributed
from vaekit.layers.sequences import AutoregressiveTokens
from vaekit.layers.stacks import Join, Stack
from vaekit.layers.variational import VariationalWeights

__all__ = [
    "MLP",
    "Autoregressive",
    "AutoregressiveTokens",
    "Bernoulli",
    "BitwiseCategorical",
    "Categorical",
    "CategoricalLabels",
    "CommittedNormal",
    "DenseBlock",
    "DiagonalNormal",
    "DiscretizedLogistic",
    "DiscretizedLogisticMixture",
    "DistributionLayer",
    "FillMissing",
    "GatedConv2D",
    "GatedConv2DTranspose",
    "GatedDense",
    "GatedPixelConv2D",
    "Hold",
    "Join",
    "Masked",
    "MaskedConv2D",
    "MultivariateNormal",
    "Normal",
    "OneHotCategorical",
    "Poisson",
    "ResidualBlock",
    "Stack",
    "StudentT",
    "TimeDistributed",
    "Tokens",
    "VariationalWeights",
]
