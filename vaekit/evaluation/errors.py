"""The standard error of a mean."""

import math

import numpy as np


def standard_error(values):
    """Standard error of the mean of independent values `[N]`: std / √N."""
    n = len(values)
    return float(np.std(values, ddof=1) / math.sqrt(n)) if n > 1 else float("nan")
