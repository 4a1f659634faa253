r"""Posterior inference beyond an encoder: refining its answer, Hamiltonian Monte Carlo, annealing, learning with it,
values that are missing."""

from vaekit.inference.annealing import AIS
from vaekit.inference.hmc import HMC, hmc
from vaekit.inference.imputation import impute
from vaekit.inference.monte_carlo_em import monte_carlo_em
from vaekit.inference.refinement import Refinement

__all__ = ["AIS", "HMC", "Refinement", "hmc", "impute", "monte_carlo_em"]
