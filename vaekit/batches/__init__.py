"""Seeded minibatches of arrays, and arrays that are drawn anew each time they are read.

Keras shuffles arrays with the process's global random state; vaekit's models feed on `Batches`
instead, so that one seed gives the same order on every backend, and nothing else is disturbed.
"""

from vaekit.batches.arrays import (
    Redrawn,
    as_array,
    check_counts,
    is_array,
    is_array_like,
    is_list,
    require_no_targets,
)
from vaekit.batches.binarization import DynamicBinarization
from vaekit.batches.by_length import BatchesByLength
from vaekit.batches.minibatches import Batches, Stacked, take

__all__ = [
    "Batches",
    "BatchesByLength",
    "DynamicBinarization",
    "Redrawn",
    "Stacked",
    "as_array",
    "check_counts",
    "is_array",
    "is_array_like",
    "is_list",
    "require_no_targets",
    "take",
]
