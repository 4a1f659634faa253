"""Figures that notebooks show, and what all of them look like."""

import io

import matplotlib.figure
from matplotlib.patheffects import withStroke

# Ten colours told apart in the common forms of colour blindness. Source: Petroff 2021, arXiv 2107.02270.
COLORS = ("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd")
HALO = withStroke(linewidth=3, foreground="white")
WIDTH = 8.0  # inches; 800 pixels


class Figure(matplotlib.figure.Figure):
    """A matplotlib figure that notebooks show also where pyplot was never imported; arguments as matplotlib's."""

    def __init__(self, *args, layout="constrained", **kwargs):
        super().__init__(*args, layout=layout, **kwargs)

    def _repr_png_(self):
        png = io.BytesIO()
        self.savefig(png, format="png", bbox_inches="tight")
        return png.getvalue()
