"""Exercise 12: oracles against NumPy and SciPy; what its experiment and its patients are judged by."""

from pathlib import Path

import numpy as np
import pytest
from checking import cases_and_values, checked
from scipy import special

from vaekit.course import gauntlet
from vaekit.course.exercises import e12
from vaekit.course.observe import VALUE
from vaekit.course.questions.language import Text

QUESTIONS = {question.name: question for question in e12.QUESTIONS}
cases, expected = cases_and_values(QUESTIONS)
once = pytest.mark.once  # NumPy alone


# ---- 1 to 3


@once
def test_a_table_by_means_without_gaps():
    for case in cases("table_loader"):
        g, found = case.inputs, expected("table_loader", case.inputs)
        rows = g["numbers"][: g["train"]]
        std = np.nanstd(rows, axis=0)
        scaled = (g["numbers"] - np.nanmean(rows, axis=0)) / np.where(std > 0, std, 1)
        D = scaled.shape[1]
        np.testing.assert_allclose(found["x"][:, :D], np.nan_to_num(scaled), atol=1e-12)
        np.testing.assert_array_equal(found["mask"][:, :D], ~np.isnan(scaled))
        for hot, known, kind in zip(found["x"][:, D:], found["mask"][:, D:], g["category"], strict=True):
            assert hot.tolist() == [k == kind for k in range(g["kinds"])] and (known == (kind >= 0)).all()
        assert (std == 0).any() == (case.part == "constant")


@once
def test_errors_are_the_spread_of_means_over_other_images():
    """Of resampled images, with their draws and with both models' numbers."""
    (case,) = QUESTIONS["compared"].cases(3)[:1]
    a, b = (case.inputs[name].mean(axis=0) for name in "ab")
    rng, found = np.random.default_rng(0), expected("compared", case.inputs)
    picked = rng.integers(len(a), size=(1500, len(a)))
    assert found["its error"] == pytest.approx(a[picked].mean(axis=1).std(), rel=0.08)
    assert found["error of the gain"] == pytest.approx((b - a)[picked].mean(axis=1).std(), rel=0.08)


@once
def test_with_so_many_images_the_gain_is_two_errors():
    rng, N = np.random.default_rng(0), QUESTIONS["images_needed"].targets(None)[VALUE].value
    a, b = rng.multivariate_normal([0, 0], [[100, 88.2], [88.2, 81]], size=200_000).T
    assert 2 * np.std(a - b) / N**0.5 == pytest.approx(0.4, rel=0.01)


# ---- 4


@once
def test_every_fault_is_somebodys_and_no_answer_for_all_earns_more_than_one_case():
    assert set(e12.REFUTED) == set(gauntlet.TWELVE) == set(e12._FOUND.values())
    question = QUESTIONS["diagnosed"]
    for name in gauntlet.TWELVE:
        found = checked(question, lambda number, name=name: {"fault": name})
        assert found.earned == pytest.approx(question.points / 12)
        told = [part.message for part in found.parts if not part.right]
        assert len(told) == 11 and all(e12.REFUTED[name] in message for message in told)
        others = set(gauntlet.TWELVE) - {name}
        assert not any(f"`{other}`" in message for message in told for other in others)


# ---- 5

MENDED = e12.MENDED


@once
def test_the_mended_evaluation_image_by_image():
    for case in cases("mended_evaluation"):
        g = case.inputs
        best = g["validation"].mean(axis=1).argmax()
        log_w = g["log_px"][best].sum(axis=2) + g["log_pz"][best] - g["log_qz"][best]
        log_p = special.logsumexp(log_w, axis=0, b=1 / len(log_w))
        assert MENDED.text.run(g)[0] == pytest.approx(log_p[g["twin"] == 0].mean(), rel=1e-9)


# ---- 7

ABLATION = e12.ABLATION


@once
@pytest.mark.parametrize(("seeds", "images", "times"), [(3, 400, 2.0), (9, 1000, 2.2)])
def test_risks_are_those_of_simulated_ablations(seeds, images, times):
    """The gains of all seeds are drawn; the error over them is NumPy's."""
    rng, tries, (of_seeds, of_images, effect) = np.random.default_rng(0), 100_000, (0.3, 6.0, 0.6)
    gains = rng.normal(scale=of_seeds, size=(tries, seeds)) + rng.normal(scale=of_images / images**0.5, size=(tries, 1))
    error = np.sqrt(gains.var(axis=1, ddof=1) / seeds + of_images**2 / images)
    false = 100 * np.mean(gains.mean(axis=1) > times * error)
    missed = 100 * np.mean(gains.mean(axis=1) + effect <= times * error)
    assert e12._risks(of_seeds, of_images, effect, seeds, images, times) == pytest.approx((false, missed), abs=0.5)


@once
@pytest.mark.thorough
@pytest.mark.parametrize("seed", [None, 1, 2])
def test_a_simulated_plan_reaches_every_goal_whatever_is_drawn(seed):
    answer = Text("ablation", [*ABLATION.observe.options["problem"]], e12._PLANNED).function()
    assert checked(ABLATION, answer, seed).earned == ABLATION.points
    problems = [{k: v for k, v in case.inputs.items() if k != "seed"} for case in ABLATION.cases(seed)]
    assert sorted(answer(**problem)["seeds"] for problem in problems) == [2, 6, 9]  # as the solution says


@once
def test_no_number_of_seeds_is_right_for_all():
    """Each with all images that the budget has left, and with the threshold that is just high enough."""
    for seeds in range(2, 15):
        missed = []
        for case in ABLATION.cases(0):
            g = {name: value for name, value in case.inputs.items() if name != "seed"}
            if (images := int((g["budget"] / seeds - g["training"]) / g["image"])) < 10:
                missed.append(100.0)
                continue
            missed.append(e12._least_missed(g["of_seeds"], g["of_images"], g["effect"], seeds, images))
        assert max(missed) > e12.MISSED


@once
def test_numbers_of_the_text():
    """What the exercise says of its goals is what they are."""
    (path,) = (Path(__file__).parents[1] / "solutions" / "source").glob("12_*.py")
    text = path.read_text(encoding="utf-8").replace("\n# ", " ")
    assert (e12.FALSE, e12.MISSED) == (2.5, 20.0)
    for said in ("at most 100 % of the budget", "at most 2.5 % |", "at most 20 % |"):
        assert text.count(said) == 1, said
    for nats in (e12.TRAINED.coins, *e12.TRAINED.bounds.values()):
        assert f"${nats:g}$" in text, nats
    for name in gauntlet.TWELVE:
        assert f"# | `{name}` |" in path.read_text(encoding="utf-8")
