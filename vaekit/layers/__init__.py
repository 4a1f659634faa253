"""Layers whose output is a distribution, and the building blocks around them."""

from vaekit.layers.autoregressive import Autoregressive
from vaekit.layers.blocks import MLP, DenseBlock, GatedDense
from vaekit.layers.convolutions import GatedConv2D, GatedConv2DTranspose, GatedPixelConv2D, MaskedConv2D, ResidualBlock
from vaekit.layers.distribution import Bernoulli, DiagonalNormal, DistributionLayer
from vaekit.layers.likelihoods import (
    BitwiseCategorical,
    Categorical,
    DiscretizedLogistic,
    DiscretizedLogisticMixture,
    Normal,
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
    "DenseBlock",
    "DiagonalNormal",
    "DiscretizedLogistic",
    "DiscretizedLogisticMixture",
    "DistributionLayer",
    "GatedConv2D",
    "GatedConv2DTranspose",
    "GatedDense",
    "GatedPixelConv2D",
    "Join",
    "MaskedConv2D",
    "Normal",
    "ResidualBlock",
    "Stack",
    "StudentT",
    "VariationalWeights",
]
