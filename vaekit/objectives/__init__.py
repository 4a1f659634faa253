r"""Training objectives: functions of the log-densities of a model at samples of its posterior.

An objective asks the model for a `Trace` (samples z ~ q(z|x) and every log-density at them) and returns, for each
example, the loss to descend and the terms to report. Reported bounds are always the bound itself, in nats, with
β = 1 and without weight priors; β and warm-up change the loss alone. (A likelihood that adapts to the batch in
training, `Normal(scale="optimal")`, is a density in evaluation only, and so is the bound.)
"""

from vaekit.objectives.base import Cyclic, Objective, WarmUp
from vaekit.objectives.elbo import ELBO
from vaekit.objectives.enumeration import EnumeratedELBO
from vaekit.objectives.importance import CIWAE, IWAE, MIWAE, PIWAE, VIMCO
from vaekit.objectives.wake_sleep import ReweightedWakeSleep, WakeSleep

__all__ = [
    "CIWAE",
    "ELBO",
    "IWAE",
    "MIWAE",
    "PIWAE",
    "VIMCO",
    "Cyclic",
    "EnumeratedELBO",
    "Objective",
    "ReweightedWakeSleep",
    "WakeSleep",
    "WarmUp",
]
