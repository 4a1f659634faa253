"""The sentences of questions, Markdown with TeX, where no notebook renders them: a terminal, a page of feedback.

TeX has to be ours: some of it takes for ever. `handed_in.clean` leaves none in what a learner wrote.
"""

import html
import re

try:  # in the extra `course`; without them TeX stays as it is
    from latex2mathml.converter import convert
    from pylatexenc.latex2text import LatexNodes2Text
except ImportError:
    convert = LatexNodes2Text = None

PIECES = re.compile(r"`([^`]+)`|\$([^$]{1,400})\$|\*\*([^*]+)\*\*|\*([^*\s][^*]*)\*")


def plain(markdown):
    """As text for a terminal: r"**so** $e^{\\lambda/2}$, `ops.exp`" → "so e^(λ/2), ops.exp"."""
    return PIECES.sub(lambda found: _letters(found[2]) if found[2] else found[found.lastindex], markdown)


def page(markdown):
    """As HTML, TeX as MathML. All else is escaped: it may be of a learner's making."""
    told, start = "", 0
    for found in PIECES.finditer(markdown):
        text = html.escape(found[found.lastindex])
        kinds = {1: f"<code>{text}</code>", 2: _mathml(found[2]), 3: f"<b>{text}</b>", 4: f"<i>{text}</i>"}
        told, start = told + html.escape(markdown[start : found.start()]) + kinds[found.lastindex], found.end()
    return told + html.escape(markdown[start:])


def _letters(tex):
    """TeX in Unicode's letters; in parentheses what stands above or below, where it is more than one."""
    try:
        text = LatexNodes2Text(math_mode="text", strict_latex_spaces=False).latex_to_text(f"${_changed(tex, _BEFORE)}$")
    except Exception:  # no TeX, or without the extra
        return f"${tex}$"
    return _changed(text, _AFTER).strip()


def _changed(text, changes):
    for pattern, new in changes.items():
        text = re.sub(pattern, new, text)
    return text


_BEFORE = {
    r"([\^_])\{((?:[^{}]|\{[^{}]*\}){2,})\}": r"\1(\2)",
    r"\\(log|det|max|exp)(?![a-z]) *(?=[\w\\|])": r"\1 ",  # "log z", but "log(z)"
    r"\\t?frac12": "½ ",
    r"\\tfrac": r"\\frac",
    r"\\\|": "‖",
    r"\\texttt": r"\\text",
}
_AFTER = {"-": "−", r"\^2": "²", "→": " → ", r"((?<=[^\W_a-zA-Z])|(?<=_\w))(?=(log|det|max|exp)\b)": " ", " +": " "}


def _mathml(tex):
    try:
        return convert(_changed(tex or "", {"&": r"\\&", "<": r"\\lt ", ">": r"\\gt ", r"\\_": "_"}))
    except Exception:
        return html.escape(f"${tex}$")
