"""What the lessons share. This file needs nothing but Python."""

import os


def epochs(full: int, fast: int = 1) -> int:
    """How long to train: `full` epochs, or `fast` ones where the environment variable VAEKIT_FAST is set (tests).

    Args:
        full: number of epochs that a reader trains for.
        fast: number of epochs that shows that the code runs.

    Returns: one of the two. VAEKIT_FAST changes nothing else, and is off when empty or "0".
    """
    return fast if os.environ.get("VAEKIT_FAST", "0") not in ("", "0") else full


def holds(*claims):
    """Stops a lesson whose text says of its numbers what they do not show.

    Args:
        claims: booleans, what the text says. Shortened training (VAEKIT_FAST) need not bear it out.

    Raises:
        AssertionError: one of them is false.
    """
    false = [i for i, claim in enumerate(claims, start=1) if not claim]
    assert not false or epochs(0, 1), f"The text says otherwise: claim {false[0]} of {len(claims)} is false here."
