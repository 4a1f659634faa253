"""What lessons and exercises show, wherever it is read: widgets and figures, sentences in Markdown with TeX.

A widget is live while the notebook runs; on a page, text or a picture stands in its place. Where no notebook renders
TeX, in a terminal or on a page of feedback, `plain` and `page` do. That TeX has to be ours: some of it takes for ever;
`grader.notebook.clean` leaves none in what a learner wrote.
"""

import base64
import html
import io
import re

try:  # in the extra `course`; without them TeX stays as it is
    from latex2mathml.converter import convert
    from pylatexenc.latex2text import LatexNodes2Text
except ImportError:
    convert = LatexNodes2Text = None

PIECES = re.compile(r"`([^`]+)`|\$([^$]{1,400})\$|\*\*([^*]+)\*\*|\*([^*\s][^*]*)\*")


# ---- in a notebook


def show(markdown):
    """Shows Markdown with formulas in a notebook, plain text elsewhere."""
    if not _display({"text/markdown": markdown, "text/plain": markdown}):
        print(markdown)


def live(widget, otherwise):
    """Shows a widget, or, where no kernel runs behind it (a web page, a committed notebook), `otherwise`.

    Args:
        widget: of ipywidgets, or None where that is not installed.
        otherwise: dict from MIME type to content.
    """
    view = "application/vnd.jupyter.widget-view+json"
    _display(otherwise if widget is None else {**otherwise, view: widget._repr_mimebundle_()[view]})


def explore(draw, **controls):
    """Shows the figure `draw(**values)` and draws it anew as the reader moves the controls.

    On a page it is the figure of the controls' first values.

    Args:
        draw: function of the controls' values, returns a matplotlib figure.
        controls: ipywidgets controls by the name of the argument that they set.
    """

    import matplotlib.pyplot as plt
    from ipywidgets import Image, VBox

    def picture():
        figure = draw(**{name: control.value for name, control in controls.items()})
        stream = io.BytesIO()
        figure.savefig(stream, format="png")
        plt.close(figure)
        return stream.getvalue()

    image = Image(value=picture(), format="png")
    for control in controls.values():
        control.observe(lambda change: setattr(image, "value", picture()), names="value")
    png = base64.b64encode(image.value).decode()
    live(VBox([*controls.values(), image]), {"image/png": png, "text/plain": "(a figure)"})


def _display(bundle):
    """Shows a MIME bundle; False outside of a notebook."""
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        return False
    if get_ipython() is None:
        return False
    display(bundle, raw=True)
    return True


# ---- where no notebook renders it


def plain(markdown):
    """As text for a terminal: r"**so** $e^{\\lambda/2}$, `ops.exp`" → "so e^(λ/2), ops.exp"."""
    return PIECES.sub(lambda found: _letters(found[2]) if found[2] else found[found.lastindex], markdown)


def harmless(markdown):
    """As Markdown for a file: what looks like HTML is escaped where it is neither code nor TeX, lines become one."""
    told, start, markdown = "", 0, " ".join(markdown.split())
    for found in PIECES.finditer(markdown):
        kept = found[0] if found[1] or found[2] else html.escape(found[0], quote=False)
        told, start = told + html.escape(markdown[start : found.start()], quote=False) + kept, found.end()
    return told + html.escape(markdown[start:], quote=False)


def page(markdown):
    """As HTML, TeX as MathML. All else is escaped: it may be of a learner's making."""
    told, start = "", 0
    for found in PIECES.finditer(markdown):
        text = html.escape(found[found.lastindex])
        math = _mathml(found[2]) if found[2] else ""
        kinds = {1: f"<code>{text}</code>", 2: math, 3: f"<b>{text}</b>", 4: f"<i>{text}</i>"}
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
        return convert(_changed(tex, {"&": r"\\&", "<": r"\\lt ", ">": r"\\gt ", r"\\_": "_"}))
    except Exception:
        return html.escape(f"${tex}$")
