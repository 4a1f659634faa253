"""An exercise for tests: a function with gradients, a function, a number."""

from vaekit.course.questions import Function, Number

TITLE = "A small exercise"

QUESTIONS = [
    Function(
        "scaled",
        "Scaled",
        points=3,
        takes="x, rate",
        gradients="x rate",
        draw=lambda rng: [{"x": rng.normal(size=3), "rate": rng.normal(size=3)}],
        answer="return x * ops.exp(rate)",
    ),
    Function(
        "total",
        "Total",
        points=2,
        takes="x[N,D]",
        axes={"D": "columns"},
        draw=lambda rng: [{"x": rng.normal(size=(4, 3))}],
        answer="return ops.sum(x, axis=-1)",
        mistakes=[("mean_over_columns", None, "you averaged; add up instead.")],
        hints="Add up.",
        seconds=5.0,
    ),
    Number("gap", "Gap", points=1, value="1 / 4"),
]
