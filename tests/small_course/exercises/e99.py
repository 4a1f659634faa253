"""An exercise for tests: a function with gradients, a function, a number."""

import numpy as np

from vaekit.course.questions.question import VALUE, Case, Diagnosis, Observe, Question

TITLE = "A small exercise"


def _scaled(x, rate):
    return {
        VALUE: x * np.exp(rate),
        "gradient of x": np.exp(rate) + 0 * x,
        "gradient of rate": x * np.exp(rate),
    }


QUESTIONS = [
    Question(
        name="scaled",
        title="Scaled",
        points=3,
        public=[Case({"x": np.array([1.0, 2.0]), "rate": np.array([0.0, 1.0])})],
        draw=lambda rng: [Case({"x": rng.normal(size=3), "rate": rng.normal(size=3)})],
        expected=_scaled,
        observe=Observe("gradients", {"of": ["x", "rate"]}),
    ),
    Question(
        name="total",
        title="Total",
        points=2,
        public=[Case({"x": np.array([[1.0, 2.0], [3.0, 5.0]])})],
        draw=lambda rng: [Case({"x": rng.normal(size=(4, 3))})],
        expected=lambda x: x.sum(-1),
        diagnoses=[Diagnosis("mean", "you averaged; add up instead.", lambda x: x.mean(-1))],
        hints=["Add up."],
        seconds=5.0,
    ),
    Question(
        name="gap",
        title="Gap",
        points=1,
        public=[Case({})],
        expected=lambda: 0.25,
        observe=Observe("number"),
        kind="number",
    ),
]
