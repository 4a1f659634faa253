"""An answer to a question, judged as its exercise does."""

from vaekit.course.observe import observe
from vaekit.course.questions.judge import judge


def checked(question, answer, seed=1):
    """The `Verdict` on an answer."""
    drawn = question.cases(seed)
    observed = [observe(question.observe.name, answer, case.inputs, question.observe.options) for case in drawn]
    return judge(question, drawn, observed)
