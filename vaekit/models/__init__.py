r"""Latent variable models as pairs of factorizations, p(x, z) and q(z|x).

A model is two lists of factors. `generative` multiplies to p(x, z), `inference` to q(z|x); in both, a factor comes
after those it is conditioned on. All else (bounds, likelihood estimates, diagnostics) is computed from a `Trace`:
samples drawn through the inference factors, and every log-density at them.
"""

from vaekit.models.factors import Factor
from vaekit.models.features import Feature
from vaekit.models.latent_variable_model import LatentVariableModel
from vaekit.models.saving import load
from vaekit.models.trace import Trace
from vaekit.models.vae import VAE

__all__ = ["VAE", "Factor", "Feature", "LatentVariableModel", "Trace", "load"]
