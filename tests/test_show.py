"""Questions' sentences outside notebooks: TeX in letters and as MathML, everything else escaped."""

import re
import xml.etree.ElementTree

import pytest

from vaekit.course import show
from vaekit.course.exercise import Exercise, numbers
from vaekit.course.grader.notebook import clean

pytestmark = pytest.mark.once


def sentences():
    for number in numbers():
        for question in Exercise(number).questions.values():
            yield from (
                question.because,
                *question.hints,
                *(found.message for found in question.mistakes if found.message),
            )


@pytest.mark.parametrize(
    "markdown, plain",
    [
        (r"$\sigma = e^{\lambda/2}$, by `ops.exp`", "σ = e^(λ/2), by ops.exp"),
        (r"**not** $-\tfrac12 \log 2\pi$ *here*", "not −½ log 2π here"),
        (r"$e^{\texttt{log\_scale}}$", "e^(log_scale)"),
        (r"$\mathbb E_q\|x - \mu\|^2 \to \log \det C$", "𝔼_q‖x − μ‖² → log det C"),
        (r"$\mathrm{softplus}(a) = \log(1 + e^a)$", "softplus(a) = log(1 + e^a)"),
        ("5 $ and 2 * 3 * 4", "5 $ and 2 * 3 * 4"),
    ],
)
def test_letters(markdown, plain):
    assert show.plain(markdown) == plain


def test_every_sentence_of_the_questions_reads_well():
    told = list(sentences())
    assert len(told) > 200
    for markdown in told:
        code = re.compile("`[^`]*`")
        plain = show.plain(code.sub("", markdown))
        assert not re.search(r"[\\${}]|\bd?frac(?!tion)|[a-z]log\b", plain), plain
        page = show.page(markdown)
        assert "$" not in code.sub("", page) and "\\" not in re.sub("<code>.*?</code>", "", page), page
        xml.etree.ElementTree.fromstring(f"<p>{page}</p>")


def test_what_others_wrote_is_escaped():
    attack = "<script>alert(1)</script> `<b>` $<i>$ **<u>** $\\text{<s>}$ & $" + "{" * 300 + "$"
    page = show.page(attack)
    assert set(re.findall(r"<(\w+)", page)) <= {"code", "b", "math", "mrow", "mi", "mo", "mtext"}
    endless = "$" + "\\frac{" * 50 + "$"  # takes some 2^50 steps to read as TeX
    assert show.plain(clean(endless)) == endless.replace("$", "＄")


def test_without_the_extra(monkeypatch):
    monkeypatch.setattr(show, "LatexNodes2Text", None)
    assert show.plain("**so** $e^{a}$") == "so $e^{a}$"
