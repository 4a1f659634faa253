"""Layers whose output is a distribution, and the building blocks around them."""

from vaekit.layers.blocks import MLP, DenseBlock, GatedDense
from vaekit.layers.distribution import Bernoulli, DiagonalNormal, DistributionLayer
from vaekit.layers.likelihoods import Normal
from vaekit.layers.variational import VariationalWeights

__all__ = [
    "MLP",
    "Bernoulli",
    "DenseBlock",
    "DiagonalNormal",
    "DistributionLayer",
    "GatedDense",
    "Normal",
    "VariationalWeights",
]
