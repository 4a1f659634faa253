r"""The gauntlet: small VAEs, written by hand and trained, each with one fault that raises no error.

```python
patient = gauntlet.admit("cut_path")  # trains it, in a second or two
print(patient.chart())  # what its log says, and what was measured afterwards
print(patient.examine("gradients"))  # one of the TESTS
print(gauntlet.FAULTS["cut_path"].cause)
```

A fault is one changed method of `Patient`, whose own are right. `case(1)` to `case(12)` are the faults of `TWELVE` in
another order: what is wrong with them is for the reader to find.
"""

import numpy as np

from vaekit.course.gauntlet.examinations import TESTS
from vaekit.course.gauntlet.faults import FAULTS, Fault
from vaekit.course.gauntlet.patient import DRAWS, Chart, Patient

__all__ = ["DRAWS", "FAULTS", "LESSON", "TESTS", "TWELVE", "Chart", "Fault", "Patient", "admit", "case", "fault_of"]

LESSON = ("mean_over_pixels", "cut_path", "wrong_pairs", "decoder_sees_x")  # lesson 12 solves these
TWELVE = tuple(name for name in FAULTS if name not in LESSON)


def admit(name=None, repaired=False, seed=0, epochs=None):
    """Trains a patient.

    Args:
        name: of a fault; None: a healthy one.
        repaired: the same without the fault.
        seed: an int.
        epochs: None: as many as it takes for symptoms to show.

    Raises:
        ValueError: an unknown fault.
    """
    if name is not None and name not in FAULTS:
        raise ValueError(f"The faults are {', '.join(FAULTS)}; received {name!r}.")
    fault = Fault(Patient, "", "", "") if name is None else FAULTS[name]
    return (fault.healthy if repaired else fault.patient)(seed).fit(epochs)


def case(number, repaired=False, seed=0):
    """Trains the patient of a case, 1 to 12, whose fault the number does not tell.

    Raises:
        ValueError: another number.
    """
    if number not in range(1, len(TWELVE) + 1):
        raise ValueError(f"Cases are numbered from 1 to {len(TWELVE)}; received {number!r}.")
    return admit(fault_of(number), repaired, seed)


def fault_of(number):
    """The name of a case's fault: the solution."""
    return TWELVE[np.random.default_rng(12).permutation(len(TWELVE))[number - 1]]
