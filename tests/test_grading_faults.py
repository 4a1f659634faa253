"""Whatever an answer does wrong, `check`, nbgrader's cells and `vaekit grade` give it the same marks."""

import copy
import itertools
import json
import linecache
import types
from pathlib import Path

import numpy as np
import pytest

from vaekit.course.exercise import Exercise
from vaekit.course.grader.grade import grade_notebook
from vaekit.course.observe import generators
from vaekit.course.observe.random_layers import measured

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]
IMPORTS = "import keras\nimport numpy as np\nfrom keras import ops\nfrom vaekit.backend import tfd\n"
LAYERS = {"01": "Reparameterize", "02": "GaussianImage"}
METHODS = ("get_config", "__init__", "build", "call", "compute_output_spec", "from_config")
FAULTS = ("raise NotImplementedError", "raise SystemExit", "return None", "return np.zeros((2, 3))", "1 / 0")
FAULTY = """
class {name}({base}):
    def {method}(self, *arguments, **options):
        {fault}
"""
FUNCTIONS = {  # of (sample, cost, mean, log_scale, baseline): values, and gradients
    "nothing": "return None",
    "text": "return 'x'",
    "nan": "return mean * float('nan')",
    "double": "return ops.cast(mean, 'float64')",
    "other shape": "return ops.sum(mean)",
    "empty": "return mean[:0]",
    "list": "return [mean, mean]",
    "complex": "return np.ones(3) * 1j",
    "no gradient": "return np.asarray(mean)",
    "only in gradients": "return mean if isinstance(mean, np.ndarray) else 1 / 0",
    "array that fails": "class A:\n        __array__ = lambda *_, **__: [0] * 10**18\n    return A()",
    "exits": "raise SystemExit('enough')",
    "left open": "raise NotImplementedError",
    "of a library": "raise NotImplementedError('no such thing')",
    "recursion": "def f(x):\n        return f(x)\n    return f(mean)",
}
NUMBERS = ("'4'", "None", "float('nan')", "...", "np.ones(3)", "True", "1e999", "10**400", "print")
TRAINED = {  # the second part of what is returned
    "encoder": ("1 / 0", "arrays"),
    "encoder exits": ("exit()", "arrays"),
    "codes": ("x, x[:1]", "arrays"),
    "nothing": ("x, x", "None"),
    "decoder": ("x[:, :2], x[:, :2]", "arrays | {'hidden_bias': 'text'}"),
    "nan": ("x[:, :2], x[:, :2] * float('nan')", "arrays"),
}
TRAINS = """
def {name}(images, seed):
    D = images.shape[1]
    arrays = dict(hidden_weights=np.zeros((2, 3)), hidden_bias=np.zeros(3), output_weights=np.zeros((3, D)),
                  output_bias=np.zeros(D))
    return lambda x: ({codes}), {decoder}
"""


def solution(number, name):
    """The code of an answer."""
    (path,) = (ROOT / "solutions").glob(f"{number}_*/*.ipynb")
    return next("".join(cell["source"]) for cell in json.loads(path.read_text())["cells"] if cell["id"] == name)


def answers():
    """(number of the exercise, question, code of an answer to it), `{name}` where the code has the answer's name."""
    yield "01", "samples_worth", "{name} = 4"
    for value in NUMBERS:
        yield "01", "samples_worth", f"{{name}} = {value}"
    yield "01", "score_function", solution("01", "score_function").replace("def score_function", "def {name}")
    for body in FUNCTIONS.values():
        takes = "sample, cost, mean, log_scale, baseline=0.0"
        yield "01", "score_function", f"def {{name}}({takes}):\n    {body.replace('{', '{{').replace('}', '}}')}"
    for number, base in LAYERS.items():
        yield number, base, f"class {{name}}({base}):\n    pass"
    for (number, base), (i, method) in itertools.product(LAYERS.items(), enumerate(METHODS)):
        yield number, base, FAULTY.format(name="{name}", base=base, method=method, fault=FAULTS[i % len(FAULTS)])
    for codes, decoder in TRAINED.values():
        yield "02", "train_vae", TRAINS.replace("{codes}", codes).replace("{decoder}", decoder)


@pytest.mark.thorough
def test_the_same_marks_everywhere(tmp_path, monkeypatch):
    """Some fifty answers, most of which fail somewhere, as questions of one exercise: what each is told, and earns."""
    code = [IMPORTS, *(solution(number, name) for number, name in LAYERS.items())]
    namespace, asked, expected = {}, {}, {}
    for number, name, text in answers():
        question = copy.copy(Exercise(number).questions[name])
        question.name = f"{name}_{len(asked)}"
        if name in LAYERS.values():  # a case is enough
            question.cases = lambda seed, every=question.cases: every(seed)[-1:]
        asked[question.name] = question
        code.append(text.replace("{name}", question.name).replace("{{", "{").replace("}}", "}"))
    linecache.cache["<ipython>"] = (0, None, "\n\n".join(code).splitlines(True), "<ipython>")  # as in a notebook
    exec(compile("\n\n".join(code), "<ipython>", "exec"), namespace)
    monkeypatch.setenv("VAEKIT_SEED", "3")
    checker = Exercise("01")
    checker.questions = asked
    for name in asked:
        verdict = checker.verdict(name, namespace[name], seed=3)
        expected[name] = verdict.earned, [part.right for part in verdict.parts], verdict.diagnosis
        assert checker.mark(name, namespace) == verdict.earned  # nbgrader's
    path = tmp_path / "01.ipynb"
    path.write_text(json.dumps({"cells": [{"cell_type": "code", "source": s, "metadata": {}} for s in code]}))
    exercise = types.SimpleNamespace(number="01", title="Faults", questions=asked)
    report = grade_notebook(path, seed=3, exercise=exercise)
    found = {v.question: (v.earned, [part.right for part in v.parts], v.diagnosis) for v in report.verdicts}
    differ = {name: (expected[name], found[name], report) for name in asked if found[name] != expected[name]}
    assert not report.notes and not differ
    assert sum(0 < earned < asked[name].points for name, (earned, *_) in expected.items()) > 5


def test_what_is_said_in_place_of_draws_counts_for_nothing():
    """Numbers under the names of what only an excuse may have, from somebody who draws once and sends that."""
    inputs = {"mean": np.zeros((2, 3))}
    draws = np.random.default_rng(0).normal(size=(1000, 2, 3))
    names = ("first", "second", "twin", "other", "none", "none too", "copy", "slope of mean")
    seen = {**dict.fromkeys(names, draws), "in a model": np.zeros((5, 3)), "twin": draws[::-1]}
    excuses = dict.fromkeys(("repeated", "calls", "same seed", "without noise"), np.zeros(()))
    with pytest.raises(KeyError):
        measured(seen | excuses, inputs, ["mean"], 1000)
    found = measured(seen | excuses | {"repeated": generators.MADE_IN_CALL}, inputs, ["mean"], 1000)
    assert (found["calls"], found["same seed"]) == (generators.MADE_IN_CALL, generators.IGNORED)
    for wrong in ({"first": draws[:-1]}, {"slope of mean": np.zeros(())}):
        with pytest.raises(ValueError, match="expected draws of the shape"):
            measured(seen | wrong, inputs, ["mean"], 1000)
