"""vaekit: variational autoencoders in Keras 3, as pairs of factorizations p(x, z) and q(z|x)."""

import gc
from importlib.metadata import version

__version__ = version("vaekit")

_collecting = gc.isenabled()
gc.disable()  # thousands of modules, all of which stay: looking for garbage among them again and again takes long
try:
    from vaekit import (
        backend,
        batches,
        datasets,
        distributions,
        evaluation,
        inference,
        layers,
        models,
        objectives,
        papers,
        plotting,
        priors,
        training,
    )
    from vaekit.models import VAE, Factor, Feature, LatentVariableModel, load
    from vaekit.names import past
except ImportError as _error:  # no usable backend; `vaekit doctor` must start all the same, to say what to do about it
    _fault = _error

    def __getattr__(name):
        raise _fault
finally:
    if _collecting:
        gc.enable()


__all__ = [
    "VAE",
    "Factor",
    "Feature",
    "LatentVariableModel",
    "backend",
    "batches",
    "datasets",
    "distributions",
    "evaluation",
    "inference",
    "layers",
    "load",
    "models",
    "objectives",
    "papers",
    "past",
    "plotting",
    "priors",
    "training",
]
