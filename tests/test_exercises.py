"""Exercises: solutions earn every point, stubs none, and a wrong answer is told what is wrong with it.

Right answers come from the notebooks' sources, wrong ones are edits of the questions' answers, or stand in `mutants/`.
"""

import copy
import functools
import importlib
import inspect
import re
from itertools import combinations, product
from pathlib import Path

import keras
import mutants
import numpy as np
import pytest
from checking import checked

import vaekit as vk
from vaekit.backend import tfd
from vaekit.course.exercise import Exercise, numbers
from vaekit.course.observe import VALUE, Fault, observe
from vaekit.course.observe.values import plain
from vaekit.course.publishing import scripts
from vaekit.course.questions import Function, Mend, Prior
from vaekit.course.questions.judge import fits, judge
from vaekit.course.questions.language import LOG_2PI, Text
from vaekit.course.questions.mend import BROKEN, ELSE, RIGHT

ROOT = Path(__file__).parents[1]
REGION = re.compile(r"^( *)### BEGIN SOLUTION\n.*?^ *### END SOLUTION$", re.DOTALL | re.MULTILINE)
GIVEN = {"ops": keras.ops, "np": np, "keras": keras, "tfd": tfd, "vk": vk, "LOG_2PI": LOG_2PI}  # a notebook's imports

EXERCISES = {number: Exercise(number) for number in numbers()}
QUESTIONS = [
    pytest.param(number, question, id=f"{number}-{name}")
    for number, exercise in EXERCISES.items()
    for name, question in exercise.questions.items()
]
TRAINED = [param for param in QUESTIONS if param.values[1].seconds > 100]
QUICK = [param for param in QUESTIONS if param not in TRAINED]
FUNCTIONS = [param for param in QUESTIONS if isinstance(param.values[1], Function)]
OTHERS = [param for param in QUICK if param not in FUNCTIONS]
BANKS = {number: importlib.import_module(f"mutants.e{number}") for number in EXERCISES}


@functools.cache
def source(number):
    """The exercise's source."""
    (path,) = (ROOT / "solutions" / "source").glob(f"{number}_*.py")
    return path


@functools.cache
def cells(number):
    """Of the exercise's source, filled in with what its questions state."""
    return scripts.read(source(number))[1]


@functools.cache
def answer_cells(number):
    """{question: source of the cell that answers it}."""
    return {cell.metadata["question"]: cell.source for cell in cells(number) if "question" in cell.metadata}


def code(number, question, change):
    """Of an answer in a bank."""
    return mutants.code(
        question, change, re.sub(r" *### (BEGIN|END) SOLUTION\n", "", answer_cells(number)[question.name])
    )


MUTANTS = {  # {(number, question): [(diagnosis, code)]}
    (number, name): [
        *mutants.wrong(question),
        *((diagnosis, code(number, question, change)) for diagnosis, change in BANKS[number].ODD.get(name, [])),
    ]
    for number, exercise in EXERCISES.items()
    for name, question in exercise.questions.items()
}
ALIKE = {  # whether the question is a function of tensors: right answers to it
    function: [
        pytest.param(number, name, code(number, question, change), id=f"{number}-{name}-{i}")
        for number, bank in BANKS.items()
        for name, changes in bank.ALIKE.items()
        if isinstance(question := EXERCISES[number].questions[name], Function) == function
        for i, change in enumerate(changes)
    ]
    for function in (True, False)
}
WRONG = [
    pytest.param(
        number,
        name,
        diagnosis,
        wrong,
        id=f"{number}-{name}-{i}-{diagnosis}",
        marks=pytest.mark.thorough if i else (),
    )
    for (number, name), rows in MUTANTS.items()
    for i, (diagnosis, wrong) in enumerate(rows)
]


def run(code, name):
    """What `name` is after some code."""
    namespace = dict(GIVEN)
    exec(compile(code, "<answer>", "exec"), namespace)
    return namespace[name]


def stub(number, name):
    """The answer as a learner finds it."""
    namespace = dict(GIVEN)
    code = REGION.sub(r"\1raise NotImplementedError()", answer_cells(number)[name])
    try:
        exec(compile(code, "<stub>", "exec"), namespace)
    except NotImplementedError:  # a number's stub raises at once
        pass
    return namespace[name]


@functools.cache
def solutions(number):
    """What the solution's notebook has defined after its last cell."""
    namespace = {}
    for cell in cells(number):
        if cell.cell_type == "code":
            exec(compile(cell.source, f"<{number}>", "exec"), namespace)
    return namespace


# ---- what every question has


@pytest.mark.parametrize("number", EXERCISES)
def test_source_answers_every_question_in_order(number):
    assert list(answer_cells(number)) == list(EXERCISES[number].questions)
    assert set(BANKS[number].ODD) | set(BANKS[number].ALIKE) <= set(EXERCISES[number].questions)


def test_questions_have_names_of_their_own():
    """In all of the course: `vaekit grade` knows answers by them."""
    names = [name for exercise in EXERCISES.values() for name in exercise.questions]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("number", EXERCISES)
def test_lesson_and_exercise_lead_to_each_other(number):
    stem = source(number).stem
    lesson = (ROOT / "lessons" / "source" / f"{stem}.py").read_text(encoding="utf-8")
    text = [cell.source for cell in cells(number) if cell.cell_type == "markdown"]
    link = f"../../lessons/{stem}.ipynb"
    assert link in text[0] and link in text[-1]
    assert f"../exercises/{stem}/{stem}.ipynb" in lesson[lesson.index("# ## Take-aways") :]


@pytest.mark.once
@pytest.mark.parametrize(("number", "question"), QUESTIONS)
def test_contract(number, question):
    code = answer_cells(number)[question.name]
    assert len(REGION.findall(code)) >= 1
    if callable(asked := stub(number, question.name)):
        assert len(inspect.getdoc(asked)) > 80  # arguments, shapes, what is returned
    assert question.points > 0 and question.minutes > 0 and question.seconds > 0
    assert question.difficulty in (1, 2, 3) and question.importance in (1, 2, 3)
    assert len(question.hints) >= 2 and len(set(question.hints)) == len(question.hints)
    assert question.title and question.because
    for mistake in question.mistakes:
        if mistake.message:  # else the observer tells it
            assert mistake.message.endswith((".", "?")) and len(mistake.message) > 30, mistake.name


@pytest.mark.once
@pytest.mark.parametrize(("number", "question"), QUESTIONS)
def test_expected_values_are_numbers_for_every_draw(number, question):
    for seed in range(20 if isinstance(question, Function) else 3):
        cases = question.cases(seed)
        for case in cases:
            for name, target in question.targets(case).items():
                assert not np.isnan(target.value).any(), (seed, name)
    verdict = judge(question, cases, [Fault("error", "…")] * len(cases))
    assert np.isclose(sum(part.share for part in verdict.parts), 1)


@pytest.mark.once
@pytest.mark.parametrize(("number", "question"), FUNCTIONS)
def test_every_edit_changes_a_number(number, question):
    cases = question.cases(1)
    right = [question.targets(case) for case in cases]
    for mistake in question.mistakes:
        for case, targets in zip(cases, right, strict=True) if mistake.predict else ():
            shown = {name: s() if callable(s) else s for name, s in mistake.predict(**case.inputs).items()}
            if any(not s.values or not fits(s.values[-1], targets[n]) for n, s in shown.items() if n in targets):
                break
        else:
            assert mistake.predict is None, f"{mistake.name} gives what is right"


# ---- right answers, none, wrong ones


MENDS = [param for param in QUESTIONS if isinstance(param.values[1], Mend)]
SEPARATE = [param for param in MENDS if param.values[0] != "04"]  # two errors of 04 hide each other: see its own test


@pytest.mark.once
@pytest.mark.parametrize(("number", "question"), SEPARATE)
def test_every_set_of_errors_is_a_number_of_its_own(number, question):
    """So far apart that float32 cannot confuse them, in one case at least."""
    for seed in range(2):
        drawn, results = question.cases(seed), []
        for steps in product((BROKEN, RIGHT), repeat=len(question.errors)):
            text = question._text({ELSE: RIGHT} | dict(zip(question.errors, steps, strict=True)))
            results.append(np.array([text.run(case.inputs)[0] for case in drawn]))
        for a, b in combinations(results, 2):
            assert (np.abs(a - b) > 5 * (1e-5 + 1e-4 * np.abs(b))).any()


@pytest.mark.once  # what a judge sees are arrays
@pytest.mark.parametrize(("number", "question"), MENDS)
def test_what_is_to_be_mended_runs_and_earns_nothing(number, question):
    broken = Text(question.name, question.text.arguments, question.broken).function(ops=keras.ops)
    found = checked(question, broken)
    assert found.earned == 0 and not any(part.right for part in found.parts)
    assert [part.diagnosis for part in found.parts if part.name in question.errors] == list(question.errors)


def verdict(number, name, answer, seed):
    """As the exercise gives it; on JAX, which compiles for each shape, on one case of each part."""
    question = EXERCISES[number].questions[name]
    if vk.backend.NAME == "tensorflow" or question.derives:
        return EXERCISES[number].verdict(name, answer, seed)
    return _judged(question, {case.part: case for case in question.cases(seed)}.values(), answer)


def _judged(question, cases, answer):
    observer, options = question.observe
    return judge(question, list(cases), [observe(observer, answer, case.inputs, options) for case in cases])


# On TensorFlow `vaekit grade` marks every solution: test_grading_exercises.py.


@pytest.mark.thorough
@pytest.mark.on_jax
@pytest.mark.parametrize(("number", "question"), OTHERS)
def test_solution_earns_every_point(number, question):
    found = verdict(number, question.name, solutions(number)[question.name], 1)
    assert found.right and found.earned == question.points, found
    assert type(found.earned) is float


@pytest.mark.thorough
@pytest.mark.on_jax
@pytest.mark.alternate
@pytest.mark.parametrize(("number", "question"), FUNCTIONS)
def test_solution_that_is_a_function_earns_every_point(number, question):
    test_solution_earns_every_point(number, question)


@pytest.mark.thorough
@pytest.mark.on_jax
@pytest.mark.alternate
@pytest.mark.parametrize(("number", "question"), TRAINED)
def test_solution_that_trains_earns_every_point(number, question):
    test_solution_earns_every_point(number, question)


@pytest.mark.once
@pytest.mark.parametrize(("number", "question"), QUESTIONS)
def test_stub_raises_not_implemented_and_earns_nothing(number, question):
    verdict = EXERCISES[number].verdict(question.name, stub(number, question.name), 1)
    assert verdict.earned == 0.0
    assert {part.diagnosis for part in verdict.parts} == {"unanswered"}


@pytest.mark.thorough
@pytest.mark.alternate
@pytest.mark.parametrize(("number", "name", "code"), ALIKE[False])
def test_right_answers_written_otherwise_earn_every_point(number, name, code):
    found = verdict(number, name, run(code, name), 3)
    assert found.earned == EXERCISES[number].questions[name].points, found


@pytest.mark.thorough
@pytest.mark.once  # what a judge sees are arrays
@pytest.mark.parametrize(("number", "name", "code"), ALIKE[True])
def test_right_functions_written_otherwise_earn_every_point(number, name, code):
    test_right_answers_written_otherwise_earn_every_point(number, name, code)


@functools.cache
def remembering(number, name):
    """A question, and drawn cases of it in which what is right, and what each mistake gives, is computed once.

    So is what each text gives that the answer may have become, by mistakes that nobody lists.
    """
    question = copy.copy(EXERCISES[number].questions[name])
    question.targets = _once_a_case(question.targets)
    question.mistakes = [m._replace(predict=m.predict and _once_a_case(m.predict)) for m in question.mistakes]
    if question.variants:
        question.predict = _once_a_text(question.predict)
    if isinstance(question, Mend):
        question._runs = functools.cache(functools.partial(_run_once_a_case, question._run))
        # what nobody foresaw is searched for beside one error that is left: beside two it takes seconds
        question._few_broken = [steps for steps in question._few_broken if [*steps.values()].count(BROKEN) <= 1]
    cases = question.cases(1)
    drawn = cases if question.derives else cases[len({case.part for case in cases}) :]
    return question, drawn[:1] if isinstance(question, Prior) else drawn  # models are built of each


def _once_a_case(function):
    kept = {}

    def remembered(*case, **inputs):  # a `Case`, or its inputs: the same objects, as long as the question is kept
        key = (*map(id, case), *map(id, inputs.values()))
        if key not in kept:
            kept[key] = function(*case, **inputs)
        return kept[key]

    return remembered


def _once_a_text(predict):
    kept = {}

    def remembered(text, inputs):
        key = str(text), id(inputs)
        if key not in kept:
            kept[key] = predict(text, inputs)
        return kept[key]

    return remembered


def _run_once_a_case(run, steps):
    text, function = run(steps)
    return text, function and _once_a_case(function)


@pytest.mark.once  # what a judge sees are arrays
@pytest.mark.parametrize(("number", "name", "diagnosis", "code"), WRONG)
def test_wrong_answer_gets_its_diagnosis(number, name, diagnosis, code):
    answer = run(code, name)
    question, cases = remembering(number, name)
    found = _judged(question, cases, answer)
    assert found.earned < question.points
    assert found.diagnosis in (diagnosis, *(["hidden"] if isinstance(question, Mend) else [])), found
    sentences = [known.message for known in question.mistakes if known.name == diagnosis and known.message]
    assert not sentences or any(says in found._repr_markdown_() for says in sentences)


@pytest.mark.once
@pytest.mark.parametrize(("number", "question"), QUESTIONS)
def test_wrong_answers_are_many_and_meet_every_diagnosis(number, question):
    wrong = MUTANTS[number, question.name]
    assert len({code for _, code in wrong}) >= 6
    beside_others = {"untouched", "hidden"}  # never told alone
    assert {mistake.name for mistake in question.mistakes} <= {diagnosis for diagnosis, _ in wrong} | beside_others


@pytest.mark.once
@pytest.mark.parametrize(("number", "question"), FUNCTIONS)
def test_memorized_cases_earn_nothing(number, question):
    """An answer that knows the case of each part that is always the same, and gives its values for any other."""
    fixed = question.cases(0)[: len(question.draw) if isinstance(question.draw, dict) else 1]
    names = question.observe.options["names"]

    def memory(**inputs):
        arrays = {name: plain(v) if keras.ops.is_tensor(v) else v for name, v in inputs.items()}
        known = [case for case in fixed if _equal(case.inputs, arrays)]
        targets = question.targets((known or fixed)[0])
        values = [keras.ops.convert_to_tensor(targets[name].value, "float32") for name in names or [VALUE]]
        return tuple(values) if names else values[0]

    for case in fixed:  # it does know these
        targets, found = question.targets(case), observe("call", memory, case.inputs, {"names": names})
        for name in names or [VALUE]:
            assert fits(found[name], targets[name])
    marked = copy.copy(question)  # how it came about is searched for long, among thousands of texts, and costs no marks
    marked.variants = marked.pairs = ()
    verdict = _judged(marked, question.cases(5), memory)
    assert verdict.earned == 0.0 and not any(part.right for part in verdict.parts)


def _equal(inputs, others):
    def same(a, b):
        return np.array_equal(a, b, equal_nan=np.asarray(a).dtype.kind == "f")

    return inputs.keys() == others.keys() and all(same(inputs[k], others[k]) for k in inputs)
