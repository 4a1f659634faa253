"""Questions' sentences outside notebooks: TeX in letters and as MathML, everything else escaped."""

import re
import xml.etree.ElementTree

import pytest

from vaekit.course import checking, handed_in, prose

pytestmark = pytest.mark.once


def sentences():
    for number in checking.numbers():
        for question in checking.Exercise(number).questions.values():
            yield from (question.because, *question.hints, *(found.says for found in question.diagnoses))


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
    assert prose.plain(markdown) == plain


def test_every_sentence_of_the_questions_reads_well():
    told = list(sentences())
    assert len(told) > 200
    for markdown in told:
        code = re.compile("`[^`]*`")
        plain = prose.plain(code.sub("", markdown))
        assert not re.search(r"[\\${}]|\bd?frac|[a-z]log\b", plain), plain
        page = prose.page(markdown)
        assert "$" not in code.sub("", page) and "\\" not in re.sub("<code>.*?</code>", "", page), page
        xml.etree.ElementTree.fromstring(f"<p>{page}</p>")


def test_what_others_wrote_is_escaped():
    attack = "<script>alert(1)</script> `<b>` $<i>$ **<u>** $\\text{<s>}$ & $" + "{" * 300 + "$"
    page = prose.page(attack)
    assert set(re.findall(r"<(\w+)", page)) <= {"code", "b", "math", "mrow", "mi", "mo", "mtext"}
    endless = "$" + "\\frac{" * 50 + "$"  # takes some 2^50 steps to read as TeX
    assert prose.plain(handed_in.clean(endless)) == endless.replace("$", "＄")


def test_without_the_extra(monkeypatch):
    monkeypatch.setattr(prose, "LatexNodes2Text", None)
    assert prose.plain("**so** $e^{a}$") == "so $e^{a}$"
