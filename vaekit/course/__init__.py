"""What the lessons share. This file needs nothing but Python; `vaekit.course.notebooks` needs the extra `course`."""

import os


def epochs(full: int, fast: int = 1) -> int:
    """How long to train: `full` epochs, or `fast` ones where the environment variable VAEKIT_FAST is set (tests).

    Args:
        full: number of epochs that a reader trains for.
        fast: number of epochs that shows that the code runs.

    Returns: one of the two. VAEKIT_FAST changes nothing else, and is off when empty or "0".
    """
    return fast if os.environ.get("VAEKIT_FAST", "0") not in ("", "0") else full
