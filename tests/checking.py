"""An answer to a question, judged as its exercise does."""

from vaekit.course.observe import observe
from vaekit.course.questions.judge import judge


def checked(question, answer, seed=1, most=None):
    """The `Verdict` on an answer, by so many cases."""
    drawn = question.cases(seed)[:most]
    observed = [observe(question.observe.name, answer, case.inputs, question.observe.options) for case in drawn]
    return judge(question, drawn, observed)
