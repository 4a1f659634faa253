"""Figures that notebooks show, and what all of them look like."""

import io

import matplotlib.figure
from matplotlib.patheffects import withStroke

CLASSES = (
    "#4c3590", "#9c4529", "#afc339", "#9f5caf", "#f1b8b6", "#4bc5ff", "#7a9a8a", "#d97600", "#1a2f3a", "#35696d",
)  # fmt: skip
"""Ten colours for classes and runs, as `"#rrggbb"`.

Each pair is at least 0.17 apart in OKLab (Ottosson 2020), and 0.10 as dichromats of each kind see it (Machado et al.
2009); digits that are often confused, as 3 and 8, or 4 and 9, 0.16.
"""
COLORS = ("#3f90da", "#ffa90e", *CLASSES)
"""`CLASSES` after two colours that no class has, of the model p and of the encoder q."""
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
