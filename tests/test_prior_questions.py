"""Questions for priors: what is looked at beside the density, and how it is told."""

import keras
import numpy as np
import pytest
from checking import checked
from keras import ops

import vaekit as vk
from vaekit.course.exercises.e06 import VAMP

pytestmark = pytest.mark.once  # the exercise itself is marked on both backends

PARTS = ["log density", "gradient of log density for pseudo_inputs", "after a step", "restored"]
OPENED = 'keras.saving.deserialize_keras_object(config.pop("encoder"))'
MIXTURE = "return vk.distributions.NormalMixture(q.mean(), q.stddev())"
KEPT = """
    def distribution(self):
        self.kept = getattr(self, "kept", None) or self._mixture()
        return self.kept

    def _mixture(self):
"""


def verdict(*edits):
    code = VAMP.code
    for old, new in edits:
        assert code.count(old) == 1, old
        code = code.replace(old, new)
    namespace = {"keras": keras, "np": np, "ops": ops, "vk": vk}
    exec(code, namespace)
    return checked(VAMP, namespace["VampPrior"], most=1 if edits else None)


def test_a_right_prior_earns_every_point():
    found = verdict()
    assert found.right and found.earned == VAMP.points, found
    assert [part.name for part in found.parts] == PARTS and "global" not in repr(found)


def test_a_right_prior_that_sets_a_global_seed_is_told_so():
    found = verdict(
        ("        super().__init__(**kwargs)\n", "        super().__init__(**kwargs)\n        np.random.seed(1)\n")
    )
    assert found.right and "changes the global random state" in repr(found)


@pytest.mark.parametrize(
    ("edits", "parts", "says"),
    [
        ([(MIXTURE, "return q")], PARTS, "distributions, one for each pseudo-input"),
        ([(MIXTURE, MIXTURE.removeprefix("return "))], PARTS, "it returned nothing"),
        ([("    def distribution(self):\n", KEPT)], PARTS, "computed once"),
        ([(OPENED, f"keras.models.clone_model({OPENED})")], PARTS[3:], "an encoder of its own"),
        ([(', "components": self.components}', "}")], PARTS[3:], "components"),
        ([("components, **kwargs):", "components):"), ("__init__(**kwargs)", "__init__()")], PARTS[3:], "unexpected"),
        ([("ops.clip(", "np.clip(")], PARTS[1:2], "no gradient reaches"),
        ([("        super().__init__(**kwargs)\n", "")], PARTS, "does not call"),
        ([(OPENED, 'config.pop("encoder")')], PARTS[3:], "a dict in the place of the encoder"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_of_its_part(edits, parts, says):
    found = verdict(*edits)
    assert [part.name for part in found.parts if not part.right] == parts
    assert says in next(part.message for part in found.parts if not part.right), found


def test_an_edit_that_changes_nothing_is_refused():
    with pytest.raises(ValueError, match="lost: 'encoders' occurs 0 times"):
        VAMP._mistake("lost", {"encoders": ""}, None, None)
