"""Layers whose output is a distribution, and the building blocks around them."""

from vaekit.layers.autoregressive import Autoregressive
from vaekit.layers.blocks import MLP, DenseBlock, GatedDense
from vaekit.layers.convolutions import GatedConv2D, GatedConv2DTranspose, GatedPixelConv2D, MaskedConv2D, ResidualBlock
from vaekit.layers.distribution import DistributionLayer
from vaekit.layers.likelihoods import (
    Bernoulli,
    BitwiseCategorical,
    Categorical,
    CategoricalLabels,
    DiagonalNormal,
    DiscretizedLogistic,
    DiscretizedLogisticMixture,
    FillMissing,
    Masked,
    MultivariateNormal,
    Normal,
    OneHotCategorical,
    Poisson,
    StudentT,
)
from vaekit.layers.stacks import Join, Stack
from vaekit.layers.variational import VariationalWeights

__all__ = [
    "MLP",
    "Autoregressive",
    "Bernoulli",
    "BitwiseCategorical",
    "Categorical",
    "CategoricalLabels",
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
    "VariationalWeights",
]
