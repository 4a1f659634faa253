"""vaekit: variational autoencoders in Keras 3, as pairs of factorizations p(x, z) and q(z|x)."""

from importlib.metadata import version

from vaekit import backend, batches, datasets, layers, models, objectives, priors
from vaekit.models import VAE, Factor, LatentVariableModel

__version__ = version("vaekit")

__all__ = [
    "VAE",
    "Factor",
    "LatentVariableModel",
    "backend",
    "batches",
    "datasets",
    "layers",
    "models",
    "objectives",
    "priors",
]
