"""Wrong answers, derived from the questions themselves: each mistake is an edit of the right answer.

`eNN.py` has answers that definitions do not make themselves: right ones, written otherwise (ALIKE), and odd ones (ODD).
They are edits of the right answer, as mistakes are, or another body, or all of their code.
"""

import re
import textwrap

import numpy as np

from vaekit.course.questions import Function


def code(question, change, solution):
    """An answer's code.

    Args:
        question: which it answers.
        change: dict {old: new} of what is exchanged in the right answer; or a body; or all of the code.
        solution: code of the right answer, where the question is no text.
    """
    if isinstance(change, str) and re.match(rf"\s*(@|def |class |{question.name} = )", change):
        return change
    if hasattr(question, "text") and question.answer:
        return str(question.text.edited(change))
    for old, new in change.items():
        assert solution.count(old) == 1, (solution.count(old), old)
        solution = solution.replace(old, new)
    return solution


def changed(code, *changes):
    """Exchanges texts in code, (old, new), each of which occurs once."""
    for old, new in changes:
        assert code.count(old) == 1, (code.count(old), old)
        code = code.replace(old, new)
    return code


def wrong(question):
    """(diagnosis, code) of each mistake that a question knows."""
    for mistake in question.mistakes:
        if mistake.code:
            yield mistake.name, mistake.code
        elif mistake.predict is None and isinstance(question, Function):
            yield mistake.name, generic(question, mistake.name)


CHANGES = {
    "sign": "-{}",
    "twice": "2 * {}",
    "half": "{} / 2",
    "square": "ops.square({})",
    "root": "ops.sqrt({})",
    "exponential": "ops.exp({})",
    "logarithm": "ops.log({})",
    "cut": "ops.stop_gradient({})",
    "zero": "0 * {}",
    "constant": "{} + {n} * LOG_2PI / 2",
    "constant_once": "{} + ({n} - 1) * LOG_2PI / 2",
}


def generic(question, name):
    """The right answer, with what it returns changed as `explain` has a name for."""
    _, minus, rest = name.rpartition("negative_")
    word, _, meaning = rest.partition("_over_")
    letters = {meaning: letter for letter, meaning in question.axes.items()}
    letter = letters.get(meaning) or (name.startswith("constant") and list(question.axes)[-1])
    n = next((f"{a}.shape[{axes.index(letter)}]" for a, axes in question.shapes.items() if letter in axes), "")
    change = CHANGES.get(name)
    if change is None:
        change = f"ops.{word}({{}})" if _has_axis(question, letter) else "{} / {n}" if word == "mean" else "{} * {n}"
        change = f"-({change})" if minus else change
    arguments = [argument.partition("=")[0] for argument in question.text.arguments]
    changed = f"return {change.format('found', n=n)}"
    if len(question.names) > 1:
        changed = f"return tuple({change.format('each', n=n)} for each in found)"
    body = f"{str(question.text)}found = {question.name}({', '.join(arguments)})\n{changed}\n"
    return f"def {question.name}({', '.join(question.text.arguments)}):\n{textwrap.indent(body, '    ')}"


def _has_axis(question, letter):
    """Whether what it returns has this axis: it is as long, in every case."""
    shapes = []
    for case in question.cases(0):
        size = next(
            np.shape(case.inputs[a])[axes.index(letter)] for a, axes in question.shapes.items() if letter in axes
        )
        shapes.append(size in question.text.run(case.inputs)[0].shape)
    return all(shapes)
