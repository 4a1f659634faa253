r"""Posterior inference beyond an encoder: refining its answer, Hamiltonian Monte Carlo, and learning with it."""

from vaekit.inference.hmc import hmc
from vaekit.inference.monte_carlo_em import monte_carlo_em
from vaekit.inference.refinement import Refinement

__all__ = ["Refinement", "hmc", "monte_carlo_em"]
