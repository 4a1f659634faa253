"""The gauntlet: each fault shows, and its repair mends it."""

import numpy as np
import pytest

from vaekit.course import gauntlet

pytestmark = pytest.mark.alternate  # cases on one backend each: patients are trained


class Seen:
    """A patient's log, what was measured of it, its tests and curves."""

    def __init__(self, patient):
        chart = patient.chart()
        self.text, self.curves, self.log, self.measured = str(chart), chart.curves, chart.log, chart.measured
        self.tests = {name: list(patient.examine(name).values()) for name in gauntlet.TESTS}


@pytest.fixture(scope="module")
def healthy():
    return Seen(gauntlet.admit())


MANY = f"log p(x), {gauntlet.DRAWS} draws"


def _rough(seen):
    """How far a curve goes up and down."""
    return np.abs(np.diff(seen.curves["loss"][20:])).mean()


# What shows, by fault: true of the patient, false of the healthy one.
SYMPTOMS = {
    "mean_over_pixels": lambda s: s.log["loss before training"] < 3 and s.measured["KL"] < 0.1,
    "cut_path": lambda s: s.tests["gradients"][0] == 0 and s.measured["KL"] < 0.1,
    "wrong_pairs": lambda s: s.tests["neighbours"][0] > 1 and s.measured["KL"] < 0.1,
    "decoder_sees_x": lambda s: s.measured["bound"] > -5 and np.ptp(s.tests["codes"]) < 0.3,
    "mean_over_latents": lambda s: (
        0 < s.log["KL"] < s.measured["KL"] / 6 and np.isclose(s.log["loss"], s.log["KL"] - s.log["reconstruction"])
    ),
    "variance_for_scale": lambda s: s.tests["draws"][0] < 0.8 and abs(s.tests["draws"][1]) < 0.3,
    "one_noise_for_all": lambda s: s.tests["draws"][1] > 0.9 and abs(s.tests["draws"][2]) < 0.8 and _rough(s) > 0.2,
    "same_noise_always": lambda s: s.tests["draws"][2] > 0.9 and -s.log["loss"] > s.measured["bound"] + 20,
    "sigmoid_twice": lambda s: s.measured["ink: samples"] > s.measured["ink: images"] + 0.15,
    "grey_pixels": lambda s: s.measured["values of a pixel"] > 2,
    "test_in_training": lambda s: s.tests["overlap"][0] > 0 and -s.log["loss"] > s.measured["bound"] + 1.5,
    "discounted_kl": lambda s: s.log["loss"] < s.log["KL"] - s.log["reconstruction"] - 5 and s.log["KL"] > 8,
    "one_mean_over_all": lambda s: s.log[MANY] > s.measured[MANY] + 3,
    "mean_of_logs": lambda s: (
        s.log[MANY] < s.log["log p(x), 1 draw"] + 0.1 and s.measured[MANY] > s.measured["bound"] + 0.3
    ),
    "uniform_codes": lambda s: s.measured["pixels that two samples differ in"] < 9 < 10 * s.measured["KL"],
    "kl_without_entropy": lambda s: s.log["KL"] < 0 and s.measured["KL"] > 15,
}


@pytest.mark.thorough
@pytest.mark.parametrize("name", gauntlet.FAULTS)
def test_a_fault_shows_and_its_repair_mends_it(name, healthy):
    fault = gauntlet.FAULTS[name]
    sick = Seen(gauntlet.admit(name))
    mended = healthy if fault.healthy is gauntlet.Patient else Seen(gauntlet.admit(name, repaired=True))
    assert SYMPTOMS[name](sick) and not SYMPTOMS[name](mended)
    others = [other for other, shows in SYMPTOMS.items() if other != name and shows(sick)]
    assert others == [], "symptoms of another fault"
    assert fault.cause not in sick.text and name not in sick.text


def test_the_healthy_one_is(healthy):
    assert abs(healthy.log["loss before training"] - 64 * np.log(2)) < 4
    assert abs(healthy.log["loss"] + healthy.measured["bound"]) < 1.5
    assert abs(healthy.tests["draws"][0] - 1) < 0.1 and max(map(abs, healthy.tests["draws"][1:])) < 0.15
    assert healthy.measured["bound"] < healthy.measured[MANY] < healthy.measured["bound"] + 1
    assert healthy.tests["overlap"] == [0.0] and min(healthy.tests["weights"]) > 1


def test_cases_are_the_twelve_in_another_order():
    names = [gauntlet.fault_of(number) for number in range(1, 13)]
    assert sorted(names) == sorted(gauntlet.TWELVE) and names != list(gauntlet.TWELVE)
    assert not set(names) & set(gauntlet.LESSON) and len(gauntlet.FAULTS) == 16


def test_what_there_is_not():
    with pytest.raises(ValueError, match="1 to 12; received 13"):
        gauntlet.case(13)
    with pytest.raises(ValueError, match="cut_path"):
        gauntlet.admit("flu")
    with pytest.raises(ValueError, match="'draws'.*received 'blood'"):
        gauntlet.Patient().examine("blood")
