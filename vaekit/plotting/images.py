"""Images in rows, and the images that a plane of latents decodes to."""

import math
from statistics import NormalDist

import numpy as np

from vaekit.batches import check_counts
from vaekit.plotting.figure import WIDTH, Figure
from vaekit.plotting.latents import pairs

MOST_IMAGES = 2500  # more than fit a screen


def image_grid(images, columns=None, titles=None, value_range=(0, 1), cmap="gray"):
    """Draws images in rows, from the upper left.

    Args:
        images: array `[N, H, W]`, `[N, H, W, 1]` (grey) or `[N, H, W, 3]` (RGB); of binarized data one fixed draw.
        columns: images a row; None: about as many as rows.
        titles: N short texts or numbers, set above the images.
        value_range: the values shown as black and as white, beyond which they are clipped; None: the images' own.
        cmap: matplotlib's name of a colour map, for grey images.

    Returns: `Figure`.

    Raises:
        ValueError: another shape, NaN, values far outside `value_range`, a wrong number of titles, no columns.
    """
    images = check_images(images, "image_grid")
    check_counts("image_grid", columns=1 if columns is None else columns)
    n, _, w, _ = images.shape
    titles = [""] * n if titles is None else titles
    if len(titles) != n:
        raise ValueError(f"image_grid expects a title for each of the {n} images; received {len(titles)}.")
    columns = min(n, columns or math.ceil(math.sqrt(n)))
    inches = min(WIDTH / columns, 1.5)  # of an image's width
    row, column = np.divmod(np.arange(n), columns)
    above = np.full(row.max() + 1, 0.22 * w / inches if any(str(title) for title in titles) else 0)  # a line of text
    axes, left, top = draw_grid(images, row, column, above, inches, value_range, cmap)
    for title, x, y in zip(titles, left, top, strict=True):
        axes.text(x + w / 2, y + 0.03 * w, title, ha="center", va="bottom", fontsize=9)
    return axes.figure


def reconstructions(x, reconstruction, columns=10, labels=("x", "reconstruction"), value_range=(0, 1), cmap="gray"):
    """Draws each image above its reconstruction.

    Args:
        x: images `[N, H, W]` or `[N, H, W, 1|3]`.
        reconstruction: array of the same shape, such as `vae.reconstruct(x)`.
        columns: pairs side by side.
        labels: texts to the left of the two rows.
        value_range, cmap: as for `image_grid`.

    Returns: `Figure`.

    Raises:
        ValueError: as `image_grid`, and if the shapes differ.
    """
    x, reconstruction = check_images(x, "reconstructions"), check_images(reconstruction, "reconstructions")
    check_counts("reconstructions", columns=columns)
    if x.shape != reconstruction.shape:
        raise ValueError(
            f"reconstructions expects two arrays of one shape; received {list(x.shape)} and "
            f"{list(reconstruction.shape)}. Reconstruct just the images you show: x = test[:10]."
        )
    n, h, w, _ = x.shape
    pair, column = np.divmod(np.arange(n), min(n, columns))
    row = np.concatenate([2 * pair, 2 * pair + 1])
    above = np.resize([0.15 * w, 0], row.max() + 1)  # room between pairs
    inches = min((WIDTH - 1) / min(n, columns), 1.2)  # of an image's width; one inch for the labels
    images = np.concatenate([x, reconstruction])
    axes, _, top = draw_grid(images, row, np.tile(column, 2), above, inches, value_range, cmap, margin=1)
    axes.set_yticks(np.unique(top)[::-1] - h / 2, np.resize(labels, row.max() + 1))
    return axes.figure


def manifold(decode, n=20, value_range=(0, 1), cmap="gray", axes=None):
    r"""Draws the manifold of a 2-D latent with prior N(0, I): n × n decoded images, each for 1/n² of the prior's mass.

    $z = (\Phi^{-1}(u_i), \Phi^{-1}(u_j))$ with $u_i = (i + ½)/n$: z₁ grows to the right, z₂ upwards.

    Args:
        decode: function from z `[n², 2]` to images `[n², H, W]` or `[n², H, W, 1|3]`, such as `vae.decode`.
        n: images a side.
        value_range, cmap: as for `image_grid`.
        axes: matplotlib axes to draw into; None: a new figure.

    Returns: `Figure`.

    Raises:
        ValueError: as `image_grid`, and if `decode` does not return n² images.

    Source: Kingma & Welling 2014, figure 4 and appendix A.
    """
    u, normal = (np.arange(n) + 0.5) / n, NormalDist()
    quantiles = [normal.inv_cdf(u_i) for u_i in u]
    images = check_images(decode(pairs(quantiles, quantiles).astype("float32")), "manifold")
    if len(images) != n * n:
        raise ValueError(f"manifold expects decode to return {n * n} images, one a row of z; it gave {len(images)}.")
    shape = images.shape[1] / images.shape[2]
    axes = axes or Figure(figsize=(6.5, 6.5 * shape)).add_subplot()
    side = 0.95 / n  # the picture's coordinates are those of the unit square
    left, top = (pairs(u, u) + [-side / 2, side / 2]).T
    _show(axes, images, left, top, (side, side), value_range, cmap)
    ticks = [normal.cdf(z) for z in range(-2, 3)]
    axes.set_xticks(ticks, ["−2", "−1", "0", "1", "2"])
    axes.set_yticks(ticks, ["−2", "−1", "0", "1", "2"])
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect=shape, xlabel="$z_1$", ylabel="$z_2$")
    axes.spines[:].set_visible(False)
    return axes.figure


def check_images(images, function):
    """Checks images, and converts them to float32 `[N, H, W, 1|3]`."""
    images = np.asarray(images, dtype="float32")
    shape = list(images.shape)
    if images.ndim == 3 and shape[-1] not in (1, 3):
        images = images[..., None]
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or not images.size:
        raise ValueError(
            f"{function} expects images of shape [N, H, W], [N, H, W, 1] or [N, H, W, 3]; received {shape}. A single "
            "image needs a batch axis, image[None]; flat ones their height and width, images.reshape(-1, H, W)."
        )
    if len(images) > MOST_IMAGES:
        raise ValueError(f"{function} shows {MOST_IMAGES} images at most; received {len(images)}. Try images[:64].")
    bad = np.flatnonzero(~np.isfinite(images).all(axis=(1, 2, 3)))
    if len(bad):
        raise ValueError(f"{function}: {len(bad)} of {len(images)} images hold NaN or infinity, the first is {bad[0]}.")
    return images


def draw_grid(images, row, column, above, inches, value_range, cmap, margin=0):
    """Draws images `[N, H, W, C]`, `inches` wide, at their rows and columns, with room `above` each row (in pixels).

    Returns: axes, and the images' left `[N]` and top `[N]`.
    """
    h, w = images.shape[1:3]
    gap = 0.06 * w
    left, top = column * (w + gap), -row * (h + gap) - np.cumsum(above)[row]
    right, bottom = left.max() + w, top.min() - h
    axes = Figure(figsize=(right * inches / w + margin, -bottom * inches / w)).add_subplot()
    _show(axes, images, left, top, (w, h), value_range, cmap)
    axes.set(xlim=(0, right), ylim=(bottom, 0), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return axes, left, top


def _show(axes, images, left, top, size, value_range, cmap):
    """Draws images `[N, H, W, C]` with their upper left corners at (left, top)."""
    for shade, x, y in zip(shades(images, value_range), left, top, strict=True):
        axes.imshow(shade, cmap=cmap, vmin=0, vmax=1, extent=(x, x + size[0], y - size[1], y))


def shades(images, value_range):
    """Returns images as shades from 0 to 1; raises ValueError for values far outside `value_range`."""
    low, high = (images.min(), images.max()) if value_range is None else value_range
    shades = (images - low) / ((high - low) or 1)
    if np.abs(shades).max() > 10:
        raise ValueError(
            f"The images' values run from {images.min():g} to {images.max():g}, far outside value_range=({low:g}, "
            f"{high:g}). Say value_range=(0, 255) for bytes, or None for the images' own range."
        )
    return np.clip(shades, 0, 1)
