"""The set of one question that CONTRIBUTING shows is a whole one, as it stands there."""

import re
from pathlib import Path

import mutants
import numpy as np
import pytest
from keras import ops

from vaekit.course.observe import observe
from vaekit.course.questions.judge import fits, judge

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
(BLOCK,) = re.findall(r"   ```python\n(   from vaekit.course.questions import.*?)\n   ```", TEXT, re.DOTALL)
SET = {}
exec("\n".join(line[3:] for line in BLOCK.split("\n")), SET)
(QUESTION,) = SET["QUESTIONS"]


def verdict(code, seed=1):
    space = {"ops": ops}
    exec(code, space)
    cases, (name, options) = QUESTION.cases(seed), QUESTION.observe
    answer = space[QUESTION.name]
    return judge(QUESTION, cases, [observe(name, answer, case.inputs, options) for case in cases])


def test_it_is_short():
    assert len(BLOCK.split("\n")) <= 60


def test_its_answer_is_right_and_earns_everything():
    assert verdict(str(QUESTION.text)).earned == QUESTION.points
    for case in QUESTION.cases(3):
        by_hand = sum(max(case.inputs["floor"], column.mean()) for column in case.inputs["kl"].T)
        assert fits(np.array(by_hand), QUESTION.targets(case)["value"])


@pytest.mark.parametrize(("diagnosis", "code"), mutants.wrong(QUESTION))
def test_its_mistakes_are_told(diagnosis, code):
    found = verdict(code)
    assert found.earned < QUESTION.points and found.diagnosis == diagnosis
    assert [m.message for m in QUESTION.mistakes if m.name == diagnosis][0] in found._repr_markdown_()
