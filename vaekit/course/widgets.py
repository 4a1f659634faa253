"""What lessons show, live and on a page: a widget while the notebook runs, text or a picture wherever it does not."""

import base64
import io

import matplotlib.pyplot as plt


def show(markdown):
    """Shows Markdown with formulas in a notebook, plain text elsewhere."""
    if not _display({"text/markdown": markdown, "text/plain": markdown}):
        print(markdown)


def live(widget, otherwise):
    """Shows a widget, or, where no kernel runs behind it (a web page, a committed notebook), `otherwise`.

    Args:
        widget: of ipywidgets.
        otherwise: dict from MIME type to content.
    """
    view = "application/vnd.jupyter.widget-view+json"
    _display({**otherwise, view: widget._repr_mimebundle_()[view]})


def explore(draw, **controls):
    """Shows the figure `draw(**values)` and draws it anew as the reader moves the controls.

    On a page it is the figure of the controls' first values.

    Args:
        draw: function of the controls' values, returns a matplotlib figure.
        controls: ipywidgets controls by the name of the argument that they set.
    """

    def picture():
        figure = draw(**{name: control.value for name, control in controls.items()})
        stream = io.BytesIO()
        figure.savefig(stream, format="png")
        plt.close(figure)
        return stream.getvalue()

    from ipywidgets import Image, VBox

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
