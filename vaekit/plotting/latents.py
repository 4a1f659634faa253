"""Latents in the plane: encodings by label, and densities as contours."""

import numpy as np
from matplotlib.lines import Line2D

from vaekit.plotting.figure import CLASSES, COLORS, HALO, Figure


def latent_scatter(z, labels=None, axes=None, legend=True):
    """Draws points in a 2-D latent space, such as posterior means, coloured by label.

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
    if len(values) <= len(CLASSES):  # in the order of the data: no class lies on top
        axes.scatter(*z.T, c=np.array(CLASSES)[index], **style)
        if len(values) > 1:
            if legend:
                _legend(axes, [_key(CLASSES[i], value, ls="", marker="o") for i, value in enumerate(values)])
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
        raise ValueError(f"latent_scatter has colours for {len(CLASSES)} names; received {len(values)} different ones.")
    axes.set(aspect="equal", xlabel="$z_1$", ylabel="$z_2$")
    return axes.figure


def _apart(centres, size):
    """Moves centres `[K, 2]` of boxes of widths and heights `[K, 2]` just so far that hardly two overlap."""
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
    """Draws posterior means on a map that keeps near ones near (t-SNE); far distances mean nothing.

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
    """Makes a grid over a 2-D latent space: array `[points², 2]`, z₁ running fastest, both from low to high.

    Args:
        limits: `(low, high)` of both latents, or `((low, high), (low, high))`.
        points: grid points a side.
    """
    return pairs(*(np.linspace(low, high, points) for low, high in np.broadcast_to(limits, (2, 2)))).astype("float32")


def posterior_contours(densities, limits=(-3, 3), points=100, masses=(0.5, 0.9, 0.99), axes=None, legend=True):
    """Draws densities over a 2-D latent, such as the true posterior and q(z|x), as regions of highest density.

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


def pairs(first, second):
    """Returns all pairs of two lists of length n, `[n², 2]`, the first running fastest."""
    return np.stack(np.meshgrid(first, second), axis=-1).reshape(-1, 2)


def _key(color, label, **style):
    return Line2D([], [], color=color, label=str(label), **style)


def _legend(axes, keys):
    axes.legend(handles=keys, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
