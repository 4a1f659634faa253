"""Training: the step, the loop over epochs, checkpoints, early stopping."""

from vaekit.training.aggressive import AggressiveInference
from vaekit.training.checkpoint import CheckpointError
from vaekit.training.early_stopping import EarlyStopping
from vaekit.training.optimizers import NormalizedGradients
from vaekit.training.tensorboard import TensorBoardFigures
from vaekit.training.together import fit_together

__all__ = [
    "AggressiveInference",
    "CheckpointError",
    "EarlyStopping",
    "NormalizedGradients",
    "TensorBoardFigures",
    "fit_together",
]
