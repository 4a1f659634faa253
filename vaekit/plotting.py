r"""Pictures of data, latents and training. Every function takes arrays or plain functions and returns its `Figure`.

The figures stay outside pyplot: a notebook shows the one that ends a cell, once; a script saves it with
`figure.savefig("name.png")`; no display is needed and no global setting is changed. Functions with an `axes`
argument also draw into a figure of yours: `left, right = Figure(figsize=(8, 4)).subplots(1, 2)`.
"""

import io
import math
from collections.abc import Mapping
from statistics import NormalDist

import matplotlib.figure
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

# Ten colours told apart in the common forms of colour blindness. Source: Petroff 2021, arXiv 2107.02270.
COLORS = ("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd")
MOST_IMAGES = 2500  # more than fit a screen
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


# ---------------------------------------------------------------- images


def image_grid(images, columns=None, titles=None, value_range=(0, 1), cmap="gray"):
    """Images in rows, from the upper left.

    Args:
        images: array `[N, H, W]`, `[N, H, W, 1]` (grey) or `[N, H, W, 3]` (RGB); of binarized data one fixed draw.
        columns: images a row; None: about as many as rows.
        titles: N short texts or numbers, set above the images.
        value_range: the values shown as black and as white, beyond which they are clipped; None: the images' own.
        cmap: matplotlib's name of a colour map, for grey images.

    Returns: `Figure`.

    Raises:
        ValueError: another shape, NaN, values far outside `value_range`, a wrong number of titles.
    """
    images = _images(images, "image_grid")
    n, _, w, _ = images.shape
    titles = [""] * n if titles is None else titles
    if len(titles) != n:
        raise ValueError(f"image_grid expects a title for each of the {n} images; received {len(titles)}.")
    columns = min(n, columns or math.ceil(math.sqrt(n)))
    inches = min(WIDTH / columns, 1.5)  # of an image's width
    row, column = np.divmod(np.arange(n), columns)
    above = np.full(row.max() + 1, 0.22 * w / inches if any(str(title) for title in titles) else 0)  # a line of text
    axes, left, top = _grid(images, row, column, above, inches, value_range, cmap)
    for title, x, y in zip(titles, left, top, strict=True):
        axes.text(x + w / 2, y + 0.03 * w, title, ha="center", va="bottom", fontsize=9)
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
    pair, column = np.divmod(np.arange(n), min(n, columns))
    row = np.concatenate([2 * pair, 2 * pair + 1])
    above = np.resize([0.15 * w, 0], row.max() + 1)  # room between pairs
    inches = min((WIDTH - 1) / min(n, columns), 1.2)  # of an image's width; one inch for the labels
    images = np.concatenate([x, reconstruction])
    axes, _, top = _grid(images, row, np.tile(column, 2), above, inches, value_range, cmap, margin=1)
    axes.set_yticks(np.unique(top)[::-1] - h / 2, np.resize(labels, row.max() + 1))
    return axes.figure


def manifold(decode, n=20, value_range=(0, 1), cmap="gray", axes=None):
    r"""The data manifold of a 2-D latent with prior N(0, I): n × n decoded images, each for 1/n² of the prior's mass.

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
    images = _images(decode(_pairs(quantiles, quantiles).astype("float32")), "manifold")
    if len(images) != n * n:
        raise ValueError(f"manifold expects decode to return {n * n} images, one a row of z; it gave {len(images)}.")
    shape = images.shape[1] / images.shape[2]
    axes = axes or Figure(figsize=(6.5, 6.5 * shape)).add_subplot()
    side = 0.95 / n  # the picture's coordinates are those of the unit square
    left, top = (_pairs(u, u) + [-side / 2, side / 2]).T
    _show(axes, images, left, top, (side, side), value_range, cmap)
    ticks = [normal.cdf(z) for z in range(-2, 3)]
    axes.set_xticks(ticks, ["−2", "−1", "0", "1", "2"])
    axes.set_yticks(ticks, ["−2", "−1", "0", "1", "2"])
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect=shape, xlabel="$z_1$", ylabel="$z_2$")
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
    bad = np.flatnonzero(~np.isfinite(images).all(axis=(1, 2, 3)))
    if len(bad):
        raise ValueError(f"{function}: {len(bad)} of {len(images)} images hold NaN or infinity, the first is {bad[0]}.")
    return images


def _grid(images, row, column, above, inches, value_range, cmap, margin=0):
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
    """Draws images `[N, H, W, C]` with their upper left corners at (left, top), as shades from 0 to 1."""
    low, high = (images.min(), images.max()) if value_range is None else value_range
    shades = (images - low) / ((high - low) or 1)
    if np.abs(shades).max() > 10:
        raise ValueError(
            f"The images' values run from {images.min():g} to {images.max():g}, far outside value_range=({low:g}, "
            f"{high:g}). Say value_range=(0, 255) for bytes, or None for the images' own range."
        )
    for shade, x, y in zip(np.clip(shades, 0, 1), left, top, strict=True):
        axes.imshow(shade, cmap=cmap, vmin=0, vmax=1, extent=(x, x + size[0], y - size[1], y))


# ---------------------------------------------------------------- latents


def latent_scatter(z, labels=None, axes=None, legend=True):
    """Points in a 2-D latent space, such as posterior means, coloured by label.

    Args:
        z: array `[N, 2]`.
        labels: array `[N]`: up to ten distinct values get colours and a legend, more of them (numbers) a colour bar.
        axes: matplotlib axes to draw into; None: a new figure.
        legend: False leaves out the legend or colour bar; classes are named in place all the same.

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
    axes = axes or Figure(figsize=(6.5, 5.5)).add_subplot()
    values, index = np.unique(labels, return_inverse=True)
    style = dict(s=np.clip(20000 / len(z), 4, 25), alpha=0.8, linewidths=0)
    if len(values) <= len(COLORS):  # in the order of the data: no class lies on top
        axes.scatter(*z.T, c=np.array(COLORS)[index], **style)
        if len(values) > 1:
            if legend:
                _legend(axes, [_key(COLORS[i], value, ls="", marker="o") for i, value in enumerate(values)])
            medians = np.array([np.median(z[index == i], axis=0) for i in range(len(values))])
            limits = np.ptp([axes.get_xlim(), axes.get_ylim()], axis=1).max()
            inches = 0.9 * min(axes.bbox.size) / axes.figure.dpi / limits  # of one unit of z, about
            size = np.array([[0.04 + 0.1 * len(str(value)), 0.18] for value in values]) / inches
            for value, (x, y) in zip(values, _apart(medians, size), strict=True):  # colour is not for everyone
                axes.text(x, y, value, weight="bold", ha="center", va="center", path_effects=[HALO])
    elif labels.dtype.kind in "fiu":
        points = axes.scatter(*z.T, c=labels, cmap="viridis", **style)
        if legend:
            axes.figure.colorbar(points, ax=axes)
    else:
        raise ValueError(f"latent_scatter has colours for {len(COLORS)} names; received {len(values)} different ones.")
    axes.set(aspect="equal", xlabel="$z_1$", ylabel="$z_2$")
    return axes.figure


def _apart(centres, size):
    """Centres `[K, 2]` of boxes of widths and heights `[K, 2]`, moved just so far that hardly two overlap."""
    centres = centres.astype("float64")
    for _ in range(100):
        moved = False
        for j in range(1, len(centres)):
            for i in range(j):
                distance = centres[j] - centres[i]
                overlap = (size[i] + size[j]) / 2 - np.abs(distance)
                if (overlap > 1e-9).all():
                    axis = overlap.argmin()
                    step = np.copysign(overlap[axis] / 2, distance[axis])
                    centres[i, axis] -= step
                    centres[j, axis] += step
                    moved = True
        if not moved:
            break
    return centres


def tsne(codes, labels=None, points=2000, perplexity=30, seed=0, axes=None, legend=True):
    """A map of posterior means in two dimensions that keeps near ones near (t-SNE); far distances mean nothing.

    Args:
        codes: array `[N, D]`, such as `vae.encode(x)`; what is longer than a vector is flattened.
        labels: array `[N]`, as for `latent_scatter`.
        points: at most this many of the codes, drawn at random.
        perplexity: about how many neighbours count as near; fewer than the points.
        seed: an int.
        axes, legend: as for `latent_scatter`.

    Returns: `Figure`.

    Raises:
        ValueError: as for `latent_scatter`, and for too few points.

    Source: van der Maaten & Hinton 2008; Dieng et al. 2019, section 6.
    """
    from sklearn.manifold import TSNE  # loads slowly

    codes = np.asarray(codes)
    if codes.ndim < 2:
        raise ValueError(f"tsne expects codes of shape [N, D]; received {list(codes.shape)}.")
    codes = codes.reshape(len(codes), -1).astype("float64")
    if labels is not None and np.shape(labels) != (len(codes),):
        raise ValueError(f"tsne expects labels of shape [{len(codes)}]; received {list(np.shape(labels))}.")
    if not np.isfinite(codes).all():
        raise ValueError(f"tsne: {(~np.isfinite(codes)).any(1).sum()} of {len(codes)} codes are NaN or infinite.")
    chosen = np.sort(np.random.default_rng(seed).permutation(len(codes))[:points])
    if not 0 < perplexity < len(chosen):
        raise ValueError(
            f"tsne expects a perplexity between 0 and the number of points, {len(chosen)}; received {perplexity!r}."
        )
    z = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(codes[chosen])
    figure = latent_scatter(z, None if labels is None else np.asarray(labels)[chosen], axes, legend)
    (axes or figure.axes[0]).set(xlabel="", ylabel="", xticks=[], yticks=[])  # t-SNE's axes have no unit
    return figure


def latent_grid(limits=(-3, 3), points=100):
    """A grid over a 2-D latent space: array `[points², 2]`, z₁ running fastest, both from low to high.

    Args:
        limits: `(low, high)` of both latents, or `((low, high), (low, high))`.
        points: grid points a side.
    """
    return _pairs(*(np.linspace(low, high, points) for low, high in np.broadcast_to(limits, (2, 2)))).astype("float32")


def posterior_contours(densities, limits=(-3, 3), points=100, masses=(0.5, 0.9, 0.99), axes=None, legend=True):
    """Densities over a 2-D latent, such as the true posterior and q(z|x): regions of highest density, drawn together.

    The contours enclose the given shares of each density's mass on the grid, so that log-densities need no
    normalization: log p(x, z) at one x draws p(z|x). Choose limits that leave no mass outside. The first is filled.

    Args:
        densities: dict of label to log-density in nats: a function from z `[M, 2]` to `[M]`, or its values on
            `latent_grid(limits, points)`, `[points²]` or `[points, points]` (z₂ first).
        limits, points: as for `latent_grid`.
        masses: shares enclosed.
        axes: matplotlib axes to draw into; None: a new figure.
        legend: False leaves it out.

    Returns: `Figure`.

    Raises:
        ValueError: another shape, NaN, or a density too narrow for the grid.
    """
    z = latent_grid(limits, points)
    z1, z2 = z.reshape(points, points, 2).transpose(2, 0, 1)
    axes = axes or Figure(figsize=(6.5, 5.5)).add_subplot()
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
                f"posterior_contours: the regions of {label!r} coincide. It is flat, or lies on a few grid points: set "
                f"limits closer around it (now {limits}), or take more points (now {points})."
            )
        if i == 0:
            shades = [(COLORS[i], alpha) for alpha in np.linspace(0.15, 0.7, len(levels))]
            axes.contourf(z1, z2, log_p, levels=[*levels, 0], colors=shades)
        else:
            axes.contour(z1, z2, log_p, levels=levels, colors=COLORS[i % len(COLORS)], linestyles="solid")
    if legend:
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
        epochs = 1 + np.arange(max(map(len, curves.values()), default=0))
        parts = ("", "training", "-", epochs), ("val_", "validation", "--", epochs[epochs % validation_frequency == 0])
        for j, (prefix, part, ls, x) in enumerate(parts):
            style = dict(
                color=COLORS[(i if several else j) % len(COLORS)],
                marker="." if len(x) <= 30 else None,
                label=f"{label}, {part}" if several else part,
            )
            for axes, term in zip(panels, shown, strict=True):
                y = curves.get(prefix + term)
                if y is not None and len(y) != len(x):
                    raise ValueError(
                        f"training_curves expects {len(x)} values of {prefix + term!r}; received {len(y)}. If "
                        "validation did not run after every epoch, say validation_frequency=..., as in fit."
                    )
                if y is not None:
                    axes.plot(x * (examples_per_epoch or 1), y, ls=ls, **style)
    for axes, term in zip(panels, shown, strict=True):
        axes.set_title("KL" if term == "kl" else term)
        if examples_per_epoch:
            axes.set(xlabel="training samples evaluated", xscale="log")
        else:
            axes.set_xlabel("epoch")
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
