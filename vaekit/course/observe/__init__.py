"""Turns answers into arrays: all that graded code may see of how it is judged. Nothing here knows what is right.

An observer is called with the answer, a case's inputs (a dict) and options, and returns a dict of arrays. Inputs and
options are what `questions.question.Case` and `Observe` hold. What takes no answer to compute, statistics of draws, is
`measured` afterwards, so that the grader can do it where no graded code runs. That is all that a judge ever sees of an
answer.
"""

from vaekit.backend import full_precision
from vaekit.course.observe import distribution_layers, functions, objectives, priors, random_layers, training
from vaekit.course.observe.errors import describe_error as describe_error
from vaekit.course.observe.values import DOUBLE as DOUBLE
from vaekit.course.observe.values import GLOBAL as GLOBAL
from vaekit.course.observe.values import NUMPY as NUMPY
from vaekit.course.observe.values import VALUE as VALUE
from vaekit.course.observe.values import Fault as Fault
from vaekit.course.observe.values import Wrong as Wrong
from vaekit.course.observe.values import fault_or, kinds, plain

OBSERVERS = {
    observer.__name__: observer
    for observer in (
        functions.call,
        functions.gradients,
        functions.number,
        functions.settings,
        random_layers.random_layer,
        distribution_layers.distribution_layer,
        objectives.objective,
        priors.prior,
        training.trained_vae,
    )
}

MEASURES = {
    random_layers.random_layer.__name__: random_layers.measured,
    distribution_layers.distribution_layer.__name__: distribution_layers.measured,
}


def observe(name, answer, inputs, options):
    """Observes an answer for a judge: a dict of float64 arrays, or a `Fault` that says what went wrong in the answer.

    A `Fault` in place of a single array costs that observation's part alone. Of functions, `DOUBLE` is among them where
    float64 came back, and `NUMPY` where arrays of NumPy did.
    """
    return measured(name, run_observer(name, answer, inputs, options), inputs, options)


def run_observer(name, answer, inputs, options):
    """Runs an observer, and returns what came from the answer: the first half of `observe`."""

    def arrays_by_name():
        if name in ("call", "gradients"):
            functions.takes(answer, functions.shown(inputs, options.get("told")))
        with full_precision():
            values = OBSERVERS[name](answer, inputs, **options)
            of_kind = kinds(list(values.values())) if name in ("call", "gradients") else ()
            arrays = {key: value if isinstance(value, Fault) else plain(value) for key, value in values.items()}
            return arrays | {kind: plain(1) for kind in of_kind}

    return fault_or(arrays_by_name, answer)


def measured(name, values, inputs, options):
    """Measures the arrays that an observer returned: the second half of `observe`, which needs no answer.

    Raises:
        Exception: some kind of it, if they are no arrays that the first half gives.
    """
    if isinstance(values, Fault) or name not in MEASURES:
        return values
    return MEASURES[name](values, inputs, **options)
