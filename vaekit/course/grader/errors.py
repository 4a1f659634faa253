"""Errors of grading: of a whole notebook, or of one step of it."""

from vaekit.course.observe import Fault


class GradingError(Exception):
    """A notebook that cannot be graded, in one sentence."""


class StepError(Exception):
    """A cell or an answer that failed, as a `Fault`.

    Attributes:
        fault: what it costs its marks for.
        ends: whether the process in which it ran is of no use any more.
    """

    def __init__(self, kind, message, ends=True):
        super().__init__(message)
        self.fault, self.ends = Fault(kind, message), ends
