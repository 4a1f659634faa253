r"""Pictures of data, latents and training. Every function takes arrays or plain functions and returns its `Figure`.

The figures stay outside pyplot: a notebook shows the one that ends a cell, once; a script saves it with
`figure.savefig("name.png")`; no display is needed and no global setting is changed. Functions with an `axes`
argument also draw into a figure of yours: `left, right = Figure(figsize=(8, 4)).subplots(1, 2)`.
"""

import io
from collections.abc import Mapping
from statistics import NormalDist

import matplotlib.figure
import numpy as np
from matplotlib.lines import Line2D

# Ten colours told apart in the common forms of colour blindness. Source: Petroff 2021, arXiv 2107.02270.
COLORS = ("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd")
MOST_IMAGES = 2500  # more than fit a screen
WIDTH = 8.0  # inches; 800 pixels


class Figure(matplotlib.figure.Figure):
    """A matplotlib figure that notebooks show also where pyplot was never imported; arguments as matplotlib's."""

    def __init__(self, *args, layout="constrained", **kwargs):
        super().__init__(*args, layout=layout, **kwargs)

    def _repr_png_(self):
        png = io.BytesIO()
        self.savefig(png, format="png", bbox_inches="tight")
        return png.getvalue()


# ---------------------------------------------------------------- images


def image_grid(images, columns=None, titles=None, value_range=(0, 1), cmap="gray"):
    """Images in rows, from the upper left.

    Args:
        images: array `[N, H, W]`, `[N, H, W, 1]` (grey) or `[N, H, W, 3]` (RGB); of binarized data one fixed draw.
        columns: images a row; None: as many as rows.
        titles: N short texts or numbers, set above the images.
        value_range: the values shown as black and as white, beyond which they are clipped; None: the images' own.
        cmap: matplotlib's name of a colour map, for grey images.

    Returns: `Figure`.

    Raises:
        ValueError: another shape, NaN, values far outside `value_range`, a wrong number of titles.
    """
    images = _images(images, "image_grid")
    n, h, w, _ = images.shape
    columns = min(n, columns or int(np.ceil(np.sqrt(n))))
    if titles is not None and len(titles) != n:
        raise ValueError(f"image_grid expects a title for each of the {n} images; received {len(titles)}.")
    inches = min(WIDTH / columns, 1.5)  # of an image's width
    gap = 0.06 * w
    above = 0 if titles is None else 0.22 * w / inches  # a line of text
    rows, column = np.divmod(np.arange(n), columns)
    left, top = column * (w + gap), -rows * (h + gap + above)
    axes = _canvas(columns * (w + gap) - gap, (rows[-1] + 1) * (h + gap + above) - gap, above, inches / w)
    _show(axes, images, left, top, (w, h), value_range, cmap)
    for title, x, y in zip(() if titles is None else titles, left, top, strict=False):
        axes.text(x + w / 2, y + gap / 2, title, ha="center", va="bottom", fontsize=9)
    return axes.figure


def reconstructions(x, reconstruction, columns=10, labels=("x", "reconstruction"), value_range=(0, 1), cmap="gray"):
    """Each image above its reconstruction.

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
    x, reconstruction = _images(x, "reconstructions"), _images(reconstruction, "reconstructions")
    if x.shape != reconstruction.shape:
        raise ValueError(
            f"reconstructions expects two arrays of one shape; received {list(x.shape)} and "
            f"{list(reconstruction.shape)}. Reconstruct just the images you show: x = test[:10]."
        )
    n, h, w, _ = x.shape
    columns, gap = min(n, columns), 0.06 * w
    block, column = np.divmod(np.arange(n), columns)
    pitch = 2 * h + 4 * gap  # a row of x, one of reconstructions, and room
    left, top = np.tile(column * (w + gap), 2), np.concatenate([-block * pitch, -block * pitch - h - gap])
    inches = min((WIDTH - 1) / columns, 1.2)  # of an image's width; one inch for the labels
    axes = _canvas(columns * (w + gap) - gap, (block[-1] + 1) * pitch - 3 * gap, 0, inches / w, margin=1)
    _show(axes, np.concatenate([x, reconstruction]), left, top, (w, h), value_range, cmap)
    rows = np.arange(block[-1] + 1)
    axes.set_yticks(
        np.concatenate([-rows * pitch - h / 2, -rows * pitch - 1.5 * h - gap]), np.repeat(labels, len(rows))
    )
    return axes.figure


def manifold(decode, n=20, value_range=(0, 1), cmap="gray", axes=None):
    r"""The data manifold of a 2-D latent with prior N(0, I): n × n decoded images, each for an equal share of the prior.

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
    normal = NormalDist()
    u = (np.arange(n) + 0.5) / n
    z = _pairs(*[[normal.inv_cdf(u_i) for u_i in u]] * 2)
    images = _images(decode(z.astype("float32")), "manifold")
    if len(images) != n * n:
        raise ValueError(f"manifold expects decode to return {n * n} images, one a row of z; it gave {len(images)}.")
    center = _pairs(u, u)
    axes = _new_axes(6.5, 6.5 * images.shape[1] / images.shape[2]) if axes is None else axes
    _show(axes, images, center[:, 0] - 0.5 / n, center[:, 1] + 0.5 / n, (1 / n, 1 / n), value_range, cmap)
    ticks = [-2, -1, 0, 1, 2]
    at = [normal.cdf(tick) for tick in ticks]
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect=images.shape[1] / images.shape[2], xlabel="$z_1$", ylabel="$z_2$")
    axes.set_xticks(at, ticks)
    axes.set_yticks(at, ticks)
    axes.spines[:].set_visible(False)
    return axes.figure


def _images(images, function):
    """Images as float32 `[N, H, W, 1|3]`, checked."""
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
    if not np.isfinite(images).all():
        bad = np.flatnonzero(~np.isfinite(images).all(axis=(1, 2, 3)))
        raise ValueError(
            f"{function}: {len(bad)} of {len(images)} images hold NaN or infinite values, first: {bad[0]}."
        )
    return images


def _show(axes, images, left, top, size, value_range, cmap):
    """Draws images `[N, H, W, C]` with their upper left corners at (left, top), as shades from 0 to 1."""
    low, high = (images.min(), images.max()) if value_range is None else value_range
    shades = (images - low) / (high - low if high > low else 1)
    if np.abs(shades).max() > 20:
        raise ValueError(
            f"The images' values run from {images.min():g} to {images.max():g}, far outside value_range=({low:g}, "
            f"{high:g}). Say value_range=(0, 255) for bytes, or None for the images' own range."
        )
    for shade, x, y in zip(np.clip(shades, 0, 1), left, top, strict=True):
        axes.imshow(shade, cmap=cmap, vmin=0, vmax=1, extent=(x, x + size[0], y - size[1], y))


def _canvas(width, height, above, scale, margin=0):
    """Axes without frame, from (0, above) down to (width, above - height), `scale` inches a unit."""
    axes = _new_axes(width * scale + margin, height * scale)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set(xticks=[], yticks=[])
    axes.set_autoscale_on(False)
    axes.set(xlim=(0, width), ylim=(above - height, above))
    return axes


def _new_axes(width, height):
    return Figure(figsize=(width, height)).add_subplot()


# ---------------------------------------------------------------- latents


def latent_scatter(z, labels=None, axes=None):
    """Points in a 2-D latent space, such as posterior means, coloured by label.

    Args:
        z: array `[N, 2]`.
        labels: array `[N]`: up to ten distinct values get colours and a legend, more of them (numbers) a colour bar.
        axes: matplotlib axes to draw into; None: a new figure.

    Returns: `Figure`.

    Raises:
        ValueError: another shape, NaN, labels of another length.
    """
    z = np.asarray(z)
    if z.ndim != 2 or z.shape[1] != 2 or not len(z):
        raise ValueError(
            f"latent_scatter expects points of shape [N, 2]; received {list(z.shape)}. Of more dimensions choose two, "
            "z[:, [0, 1]], or project them: sklearn.decomposition.PCA(2).fit_transform(z)."
        )
    if not np.isfinite(z).all():
        raise ValueError(f"latent_scatter: {(~np.isfinite(z)).any(1).sum()} of {len(z)} points are NaN or infinite.")
    labels = np.zeros(len(z)) if labels is None else np.asarray(labels)
    if labels.shape != (len(z),):
        raise ValueError(
            f"latent_scatter expects a label for each point, shape [{len(z)}]; received {list(labels.shape)}. "
            "Of one-hot labels take labels.argmax(1)."
        )
    axes = _new_axes(6.5, 5.5) if axes is None else axes
    values, index = np.unique(labels, return_inverse=True)
    style = dict(s=np.clip(10000 / len(z), 3, 25), alpha=0.8, linewidths=0)
    if len(values) <= len(COLORS):  # in the order of the data: no class lies on top
        axes.scatter(*z.T, c=np.array(COLORS)[index], **style)
        if len(values) > 1:
            _legend(axes, [_key(COLORS[i], value, ls="", marker="o") for i, value in enumerate(values)])
    elif labels.dtype.kind in "fiu":
        axes.figure.colorbar(axes.scatter(*z.T, c=labels, cmap="viridis", **style), ax=axes)
    else:
        raise ValueError(f"latent_scatter has colours for {len(COLORS)} names; received {len(values)} different ones.")
    axes.set(aspect="equal", xlabel="$z_1$", ylabel="$z_2$")
    return axes.figure


def latent_grid(limits=(-3, 3), points=100):
    """A grid over a 2-D latent space: array `[points², 2]`, z₁ running fastest, both from low to high.

    Args:
        limits: `(low, high)` of both latents, or `((low, high), (low, high))`.
        points: grid points a side.
    """
    return _pairs(*(np.linspace(low, high, points) for low, high in np.broadcast_to(limits, (2, 2)))).astype("float32")


def posterior_contours(densities, limits=(-3, 3), points=100, masses=(0.5, 0.9, 0.99), axes=None):
    """Densities over a 2-D latent, such as the true posterior and q(z|x): regions of highest density, drawn together.

    The contours enclose the given shares of each density's mass on the grid, so that log-densities need no
    normalization: log p(x, z) at one x draws p(z|x). The first density is filled.

    Args:
        densities: dict of label to log-density in nats: a function from z `[M, 2]` to `[M]`, or its values on
            `latent_grid(limits, points)`, `[points²]` or `[points, points]` (z₂ first).
        limits, points: as for `latent_grid`.
        masses: shares enclosed.
        axes: matplotlib axes to draw into; None: a new figure.

    Returns: `Figure`.

    Raises:
        ValueError: another shape, NaN, or a density too narrow for the grid.
    """
    z = latent_grid(limits, points)
    z1, z2 = z.reshape(points, points, 2).transpose(2, 0, 1)
    axes = _new_axes(6.5, 5.5) if axes is None else axes
    for i, (label, density) in enumerate(densities.items()):
        log_p = np.asarray(density(z) if callable(density) else density, dtype="float64")
        if log_p.shape not in [(points**2,), (points, points)] or np.isnan(log_p).any() or not np.isfinite(log_p.max()):
            raise ValueError(
                f"posterior_contours expects log-densities of shape [{points**2}] for {label!r}, without NaN and "
                f"somewhere finite; received shape {list(log_p.shape)} with {np.isnan(log_p).sum()} NaN."
            )
        log_p = np.maximum(log_p - log_p.max(), -100).reshape(points, points)
        ordered = np.sort(log_p, axis=None)[::-1]
        cumulative = np.cumsum(np.exp(ordered))
        enclosing = np.searchsorted(cumulative / cumulative[-1], sorted(masses, reverse=True))
        levels = ordered[enclosing]  # the highest densities down to levels[k] hold masses[k]
        if (np.diff([*levels, 0]) <= 0).any():
            raise ValueError(
                f"Half of {label!r} or more lies on a grid point or two: set limits closer around it (now "
                f"{limits}), or take more points (now {points})."
            )
        if i == 0:
            shades = [(COLORS[i], alpha) for alpha in np.linspace(0.15, 0.7, len(levels))]
            axes.contourf(z1, z2, log_p, levels=[*levels, 0], colors=shades)
        else:
            axes.contour(z1, z2, log_p, levels=levels, colors=COLORS[i % len(COLORS)], linestyles="solid")
    keys = [_key(COLORS[i % len(COLORS)], label, lw=6 if i == 0 else 1.5) for i, label in enumerate(densities)]
    _legend(axes, keys)
    axes.set(aspect="equal", xlabel="$z_1$", ylabel="$z_2$")
    return axes.figure


def _pairs(first, second):
    """All pairs of two lists of length n, `[n², 2]`, the first running fastest."""
    return np.stack(np.meshgrid(first, second), axis=-1).reshape(-1, 2)


def _key(color, label, **style):
    return Line2D([], [], color=color, label=str(label), **style)


def _legend(axes, keys):
    axes.legend(handles=keys, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)


# ---------------------------------------------------------------- training


def training_curves(history, terms=("bound", "reconstruction", "kl"), examples_per_epoch=None, validation_frequency=1):
    """Training (solid) and validation (dashed) curves, in nats per example; one panel a term.

    Keras averages a training value over its epoch, while the weights still move; validation follows the epoch.

    Args:
        history: what `fit` returned, or its `.history`, or a dict of several of them by label, to compare.
        terms: names in the history, without `val_`; those that are missing are left out.
        examples_per_epoch: N, for a logarithmic axis in training samples evaluated instead of epochs.
        validation_frequency: `fit`'s `validation_freq`.

    Returns: `Figure`.

    Raises:
        ValueError: none of the terms is there, or curves do not have one value an epoch.

    Source: Kingma & Welling 2014, figure 2.
    """
    several = isinstance(history, Mapping) and all(isinstance(_curves(h), Mapping) for h in history.values())
    histories = {label: _curves(h) for label, h in (history if several else {"": history}).items()}
    present = list(dict.fromkeys(name.removeprefix("val_") for curves in histories.values() for name in curves))
    shown = [term for term in terms if term in present]
    if not shown:
        raise ValueError(f"training_curves looks for {list(terms)}; the history has {present}. Name some: terms=[...].")
    figure = Figure(figsize=(WIDTH, 3.2 if len(shown) > 1 else 4.5))
    panels = figure.subplots(1, len(shown), squeeze=False)[0]
    for i, (label, curves) in enumerate(histories.items()):
        epochs = 1 + np.arange(max(len(curve) for curve in curves.values()))
        for axes, term in zip(panels, shown, strict=True):
            for part, name, ls, x in (
                ("training", term, "-", epochs),
                ("validation", f"val_{term}", "--", epochs[epochs % validation_frequency == 0]),
            ):
                if name not in curves:
                    continue
                if len(curves[name]) != len(x):
                    raise ValueError(
                        f"training_curves expects {len(x)} values of {name!r}; received {len(curves[name])}. If "
                        "validation did not run after every epoch, say validation_frequency=..., as in fit."
                    )
                color = COLORS[(i if several else ls == "--") % len(COLORS)]
                marker = "." if len(x) <= 30 else None
                text = f"{label}, {part}" if several else part
                axes.plot(x * (examples_per_epoch or 1), curves[name], ls=ls, color=color, marker=marker, label=text)
    for axes, term in zip(panels, shown, strict=True):
        axes.set(title="KL" if term == "kl" else term, xlabel="training samples evaluated", xscale="log")
        if examples_per_epoch is None:
            axes.set(xlabel="epoch", xscale="linear")
            axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("nats per example")
    keys = {text: key for axes in panels for key, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(keys.values(), keys, loc="outside lower center", ncols=min(4, len(keys)), frameon=False)
    return figure


def _curves(history):
    """The dict of lists in a Keras `History`, or the dict itself."""
    return getattr(history, "history", history)
