"""What the lessons share. This file needs nothing but Python."""

import os
import sys
from importlib.util import find_spec


def check_setup():
    """Prints whether what the lessons need is there, a line each, and what to do where it is not.

    `vaekit doctor` tells more, also where vaekit itself does not start.
    """
    from vaekit import backend, datasets

    supported = (3, 11) <= sys.version_info[:2] <= (3, 13)
    _report("Python 3.11, 3.12 or 3.13", supported, "install one of them, and vaekit with it")
    _report(f"Keras on {backend.NAME}")
    for package in ("ipywidgets", "jupyterlab"):
        _report(package, find_spec(package), "pip install 'vaekit[course]'")
    places = {"download": "data downloaded when first asked for", "by hand": "data that only you can provide"}
    for title in ("data here", *places.values()):
        names = [data.name for data in datasets.available() if places.get(data.where, "data here") == title]
        _report(f"{title}: {', '.join(names) or 'none'}")


def _report(what, fine=True, remedy=""):
    print(f"ok    {what}" if fine else f"LOOK  not here: {what}\n      → {remedy}")


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
