"""Questions for objectives: what is looked at beside the bound, and how it is told."""

import keras
import numpy as np
import pytest
from keras import ops

import vaekit as vk
from vaekit.course.observe import observe
from vaekit.course.questions import Objective
from vaekit.course.questions.judge import judge

FLOORED = Objective(
    "Floored",
    "A bound with a floor",
    points=4,
    takes="log_weights[k,B], floor",
    axes={"k": "codes", "B": "images"},
    draw=lambda rng: [dict(log_weights=rng.normal(size=(4, 3)), floor=-9.0, images=1.0 * rng.integers(2, size=(5, 6)))],
    answer="return ops.maximum(ops.logsumexp(log_weights, axis=0) - np.log(log_weights.shape[0]), floor)",
    mistakes=[("sum", {" - np.log(log_weights.shape[0])": ""}, "this is the logarithm of the sum, not of the mean.")],
)
CODE = FLOORED._code(FLOORED.text)


def verdict(code):
    namespace = {"keras": keras, "np": np, "ops": ops, "vk": vk}
    exec(code, namespace)
    cases, (name, options) = FLOORED.cases(1)[-1:], FLOORED.observe
    return judge(FLOORED, cases, [observe(name, namespace["Floored"], case.inputs, options) for case in cases])


def changed(*edits):
    code = CODE
    for old, new in edits:
        assert code.count(old) == 1, old
        code = code.replace(old, new)
    return code


@pytest.mark.thorough
def test_a_right_objective_earns_every_point():
    found = verdict(CODE)
    assert found.right and found.earned == 4, found
    assert [part.name for part in found.parts] == [
        "bound",
        "gradient of bound for log_weights",
        "restored",
        "in a model",
    ]


@pytest.mark.thorough
@pytest.mark.alternate
@pytest.mark.parametrize("mistake", FLOORED.mistakes, ids=lambda mistake: mistake.name)
def test_each_mistake_gets_its_diagnosis(mistake):
    found = verdict(mistake.code)
    assert found.earned < 4 and found.diagnosis == mistake.name, found
    told = next(part.message for part in found.parts if not part.right)
    assert told == mistake.message if mistake.message else len(told) > 40  # the observer's own words


@pytest.mark.alternate
@pytest.mark.parametrize(
    ("edits", "name", "part"),
    [
        ([('{**super().get_config(), "floor": self.floor}', '{"floor": self.floor, "samples": 4}')],
         "config_without_super", "restored"),
        ([('"floor": self.floor}', '"floor": 1.0}')], "config_of_another", "restored"),
        ([("self.floor = floor", "self.floor = -8.0")], "config_of_another", "restored"),
        ([("super().__init__(samples, **kwargs)", "super().__init__(**kwargs)")], "samples_lost", "in a model"),
        ([("super().__init__(samples, **kwargs)", "pass")], "not_initialized", "in a model"),
        ([("    def bound(self, log_weights):\n", "    def bound(self, log_weights):\n"
           "        log_weights = ops.stop_gradient(log_weights)\n")], "cut", "in a model"),
        ([("    def get_config", "    def __call__(self, *arguments, **options):\n"
           "        loss, terms = super().__call__(*arguments, **options)\n        return -loss, terms\n\n"
           "    def get_config")], "other", "in a model"),
        ([("    def get_config", "    def __call__(self, *arguments, **options):\n"
           "        return super().__call__(*arguments, **options)[0]\n\n    def get_config")],
         "refused", "in a model"),
        ([("vk.objectives.IWAE", "vk.objectives.Objective"), ("def bound(", "def log_mean(")], "refused", "bound"),
    ],
)  # fmt: skip
def test_what_else_is_wrong_is_told_of_its_part(edits, name, part):
    found = verdict(changed(*edits))
    assert {p.name: p.diagnosis for p in found.parts if not p.right}[part] == name, found
