"""Training: the step, the loop over epochs, what is kept of it, and what ends it."""

from vaekit.training.early_stopping import EarlyStopping
from vaekit.training.optimizers import NormalizedGradients
from vaekit.training.together import fit_together

__all__ = ["EarlyStopping", "NormalizedGradients", "fit_together"]
