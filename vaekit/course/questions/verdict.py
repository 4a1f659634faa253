"""The verdict on an answer: what its parts are worth, what is wrong with them, and how that is shown."""

from dataclasses import dataclass
from typing import NamedTuple

from vaekit.course.questions.question import points
from vaekit.course.show import plain


class Part(NamedTuple):
    """The verdict on a part of a question.

    Attributes:
        name: of the part.
        share: of the question's points, all parts of a question have 1 together.
        right: whether it is.
        message: what is wrong, in Markdown; of what is right, what was reached, or "".
        diagnosis: name of the `Mistake`, of the kind of `Fault`, of an `Explanation`, "bound", or `OTHER`; "" if right.
        counts: whether it earns its share if it is right.
    """

    name: str
    share: float
    right: bool
    message: str = ""
    diagnosis: str = ""
    counts: bool = True


@dataclass(frozen=True)
class Verdict:
    """The points of an answer to a question, and why; a `note` goes with a right one that will be trouble later."""

    question: str
    title: str
    points: float
    parts: tuple
    note: str = ""

    @property
    def share(self):
        """Share of the points, from 0 to 1, a Python float."""
        return min(1.0, float(sum(part.share for part in self.parts if part.right and part.counts)))

    @property
    def earned(self):
        """Points, a Python float."""
        return min(float(self.points), round(self.points * self.share, 6))  # rounding adds nothing

    @property
    def right(self):
        """Whether everything is."""
        return all(part.right for part in self.parts)

    @property
    def diagnosis(self):
        """Diagnosis of the first part that is wrong; "" if none is."""
        return next((part.diagnosis for part in self.parts if not part.right), "")

    @property
    def message(self):
        """What is wrong with the first part that is; "" if none is."""
        return next((part.message for part in self.parts if not part.right), "")

    @property
    def sign(self):
        """Sign for all, some or no points: ✓, ◐ or ✗."""
        return "✓" if self.right else "◐" if self.share else "✗"

    def faults(self):
        """Lists what is wrong, sentences in Markdown; parts with the same message share one."""
        together = {}
        for part in self.parts:
            if not part.right:
                together.setdefault(part.message, []).append(part.name)
        several = len(self.parts) > 1
        return [f"{', '.join(names)}: {message}" if several else message for message, names in together.items()]

    def _repr_markdown_(self):
        head = f"{self.sign} **{self.title}**: {points(self.earned)} of {points(self.points)} points."
        reached = " ".join(dict.fromkeys(part.message for part in self.parts if part.right and part.message))
        if self.right:
            return " ".join(filter(None, [head, "Right.", reached, self.note]))
        lines = [f"- {fault}" for fault in self.faults()]
        for counts, sentence in ((False, f"right, and counts once {self.parts[0].name} is."), (True, "right.")):
            if right := [part.name for part in self.parts if part.right and part.counts == counts]:
                lines.insert(0, f"- {', '.join(right)}: {sentence} {reached}".rstrip())
        return "\n".join([head, "", *lines])

    def __repr__(self):
        return plain(self._repr_markdown_()).replace("\n\n", "\n")
