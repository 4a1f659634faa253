"""Answers to questions, judged as their exercise does, and what would be right."""

from vaekit.course.observe import observe
from vaekit.course.questions.judge import judge


def checked(question, answer, seed=1, most=None):
    """The `Verdict` on an answer, by so many cases."""
    drawn = question.cases(seed)[:most]
    observed = [observe(question.observe.name, answer, case.inputs, question.observe.options) for case in drawn]
    return judge(question, drawn, observed)


def cases_and_values(questions, seeds=2):
    """Two functions of a question's name: its cases, of so many draws; by name what is right for a case's inputs."""

    def cases(name, seeds=seeds):
        return [case for seed in range(seeds) for case in questions[name].cases(seed)]

    def expected(name, given):
        question = questions[name]
        return dict(zip(question.names, question.text.run(given), strict=True))

    return cases, expected
