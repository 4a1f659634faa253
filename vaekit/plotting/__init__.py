r"""Pictures of data, latents and training. Every function takes arrays or plain functions and returns its `Figure`,
`animation` its `Animation`.

The figures stay outside pyplot: a notebook shows the one that ends a cell, once; a script saves it with
`figure.savefig("name.png")`; no display is needed and no global setting is changed. Functions with an `axes`
argument also draw into a figure of yours: `left, right = Figure(figsize=(8, 4)).subplots(1, 2)`.
"""

from vaekit.plotting.animation import Animation, animation
from vaekit.plotting.figure import CLASSES, COLORS, Figure
from vaekit.plotting.images import image_grid, manifold, reconstructions
from vaekit.plotting.latents import latent_grid, latent_scatter, posterior_contours, tsne
from vaekit.plotting.training import training_curves
from vaekit.plotting.video import futures, kl_over_time, strip

__all__ = [
    "CLASSES",
    "COLORS",
    "Animation",
    "Figure",
    "animation",
    "futures",
    "image_grid",
    "kl_over_time",
    "latent_grid",
    "latent_scatter",
    "manifold",
    "posterior_contours",
    "reconstructions",
    "strip",
    "training_curves",
    "tsne",
]
