r"""Videos `[N, T, H, W, C]`: frames side by side, several futures of one past, and the KL over time."""

import numpy as np
from matplotlib.patches import Rectangle

from vaekit.plotting.figure import CLASSES, COLORS, WIDTH, Figure
from vaekit.plotting.images import MOST_IMAGES, check_images, draw_grid

KNOWN = COLORS[1]  # frames that were given
EVENT = CLASSES[0]


def strip(videos, past=0, labels=None, times=None, value_range=(0, 1), cmap="gray"):
    """Draws videos as rows of frames; those that were given are framed.

    Args:
        videos: array `[N, T, H, W, C]`, C being 1 (grey) or 3 (RGB). Of long ones choose some: `videos[:, ::5]`.
        past: how many frames, from the left, were given.
        labels: N texts to the left of the rows.
        times: T numbers or texts above the columns; None: 0 to T − 1.
        value_range, cmap: as for `image_grid`.

    Returns: `Figure`.

    Raises:
        ValueError: another shape, NaN, values far outside `value_range`, more frames given than there are, a wrong
            number of labels or times.
    """
    videos = check_videos("strip", videos, past)
    n, t = videos.shape[:2]
    row, column = np.divmod(np.arange(n * t), t)
    return _draw("strip", flat(videos), row, column, column < past, times, value_range, cmap, labels).figure


def futures(past, futures, truth=None, labels=None, times=None, value_range=(0, 1), cmap="gray"):
    """Draws a past, framed, and several futures of it in rows, the true one first.

    Args:
        past: the frames that were given, `[P, H, W, C]`.
        futures: array `[n, F, H, W, C]`, such as draws from a model.
        truth: what came, `[F, H, W, C]`; None: nobody knows.
        labels: texts for the rows, from the top; None: "truth", "draw 1", …
        times: P + F numbers or texts above the columns; None: 0 to P + F − 1.
        value_range, cmap: as for `image_grid`.

    Returns: `Figure`.

    Raises:
        ValueError: as for `strip`, and shapes that do not fit together.
    """
    rows = check_videos("futures", futures)
    past = _clip("past", past, rows.shape[2:])
    if truth is not None:
        truth = _clip("truth", truth, rows.shape[1:])
        rows = np.concatenate([truth[None], rows])
    n, f, p = *rows.shape[:2], len(past)
    if labels is None:
        labels = ["truth"] * (truth is not None) + [f"draw {i}" for i in range(1, len(futures) + 1)]
    row, column = np.divmod(np.arange(n * f), f)
    frames = np.concatenate([past, flat(rows)])
    row, column = np.concatenate([np.zeros(p, int), row]), np.concatenate([np.arange(p), p + column])
    axes = _draw("futures", frames, row, column, column < p, times, value_range, cmap, labels)
    axes.yaxis.tick_right()  # beside the futures
    axes.tick_params(length=0)
    return axes.figure


def kl_over_time(kl, bounces=None, first=0, event="bounce", axes=None):
    r"""Draws the KL of each frame's latent, in nats, over time: what a frame tells that its past did not.

    Of one video a line, with its bounces marked. Of several their mean, ± a standard error; given bounces, one mean of
    the videos that bounce at this time, one of those that do not.

    Args:
        kl: array `[T]` or `[N, T]`: $\mathrm{KL}(q(z_t | x_{\le t}) \,\|\, p(z_t | x_{<t}))$.
        bounces: booleans of the same shape: whether this frame is the first to show what could not be foreseen.
        first: t of the first column.
        event: what bounces are, if something else.
        axes: matplotlib axes to draw into; None: a new figure.

    Returns: `Figure`.

    Raises:
        ValueError: another shape, NaN.
    """
    kl = np.asarray(kl, "float64")
    if kl.ndim not in (1, 2) or not kl.size or not np.isfinite(kl).all():
        raise ValueError(
            f"kl_over_time expects finite nats, [T] or [N, T]; received shape {list(kl.shape)}, "
            f"{np.count_nonzero(~np.isfinite(kl))} not finite. Of several latents take the sum, kl.sum(axis=-1)."
        )
    bounces = None if bounces is None else np.asarray(bounces, bool)
    if bounces is not None and bounces.shape != kl.shape:
        raise ValueError(
            f"kl_over_time expects bounces of the KL's shape, {list(kl.shape)}; received {list(bounces.shape)}. If the "
            "first frame has no KL, they are bounces[..., 1:]."
        )
    t = first + np.arange(kl.shape[-1])
    axes = axes or Figure(figsize=(WIDTH, 3.2)).add_subplot()
    if kl.ndim == 1:
        axes.plot(t, kl, color="black", marker=".", zorder=2)
        if bounces is not None:
            for time in t[bounces]:
                axes.axvline(time, color=EVENT, alpha=0.25, lw=6, zorder=1)
            axes.plot(t[bounces], kl[bounces], "o", color=EVENT, label=event, zorder=3)
    elif bounces is None:
        _mean(axes, t, kl, np.ones_like(kl, bool), color="black", marker=".", label=f"{len(kl)} videos")
    else:
        _mean(axes, t, kl, bounces, color=EVENT, marker="o", label=f"{event} at t")
        _mean(axes, t, kl, ~bounces, color="0.5", marker=".", label=f"no {event} at t")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False)
    axes.set(
        xlabel="frame t",
        ylabel="KL / nats" if kl.ndim == 1 else "KL / nats, mean ± s.e.",
        ylim=(min(0, kl.min()), None),
    )
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    return axes.figure


def _mean(axes, t, kl, chosen, **style):
    """Draws the mean of the chosen videos at each time, ± a standard error; `kl` and `chosen` are `[N, T]`."""
    n = chosen.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):  # no mean of none, no error of one
        mean = (kl * chosen).sum(axis=0) / n
        error = np.sqrt(((kl - mean) ** 2 * chosen).sum(axis=0) / (n - 1) / n)
    axes.errorbar(t, mean, error, capsize=2, **style)


def _draw(function, frames, row, column, known, times, value_range, cmap, labels):
    """Draws frames `[M, H, W, C]` at their rows and columns, times above them, labels of the rows to the left."""
    h, w = frames.shape[1:3]
    rows, columns = row.max() + 1, column.max() + 1
    times = _fit(function, "times", range(columns) if times is None else times, columns)
    margin = 0 if labels is None else 1  # inch
    inches = min((WIDTH - margin) / columns, 1.2)  # of a frame's width
    edge = 0.06 * w
    above = np.zeros(rows)
    above[0] = 0.22 * w / inches + edge  # a line of text
    frames = check_images(frames, function)
    axes, left, top = draw_grid(frames, row, column, above, inches, value_range, cmap, margin)
    for x, time in zip(np.unique(left), times, strict=True):
        axes.text(x + w / 2, top.max() + edge + 0.03 * w / inches, time, ha="center", va="bottom", fontsize=9)
    for x, y in zip(left[known], top[known], strict=True):
        size = w + 2 * edge, h + 2 * edge
        axes.add_patch(Rectangle((x - edge, y - h - edge), *size, color=KNOWN, lw=0, zorder=-1, clip_on=False))
    if labels is not None:
        axes.set_yticks(np.unique(top)[::-1] - h / 2, _fit(function, "labels", labels, rows))
        axes.tick_params(axis="y", pad=4 + 72 * 0.06 * inches)  # points
    return axes


def check_videos(function, videos, past=0):
    """Returns videos as an array; raises ValueError of a shape but `[N, T, H, W, 1|3]`, too many, a longer past."""
    videos = np.asarray(videos)
    if videos.ndim != 5 or videos.shape[-1] not in (1, 3) or not videos.size:
        raise ValueError(
            f"{function} expects videos [N, T, H, W, 1] or [N, T, H, W, 3]; received {list(videos.shape)}. One video "
            "needs a batch axis, video[None]; grey frames without channel need it last, videos[..., None]."
        )
    n, t = videos.shape[:2]
    if n * t > MOST_IMAGES:
        fewer = "videos[:8]" if 8 * t <= MOST_IMAGES else "videos[:1, :100]"
        raise ValueError(f"{function} shows {MOST_IMAGES} frames at most; received {n} videos of {t}. Try {fewer}.")
    if past not in range(videos.shape[1] + 1):
        raise ValueError(f"{function} expects past to count frames, 0 to {videos.shape[1]}; received {past!r}.")
    return videos


def flat(videos):
    """The frames of all videos, `[N·T, H, W, C]`."""
    return videos.reshape(-1, *videos.shape[2:])


def _clip(name, frames, shape):
    frames = np.asarray(frames)
    if frames.ndim != 4 or not len(frames) or frames.shape[-len(shape) :] != shape:
        raise ValueError(
            f"futures expects {name} to be frames that go with the futures, {['...', *shape][-4:]}; received "
            f"{list(frames.shape)}. Of a batch take one video: videos[0, :past]."
        )
    return frames


def _fit(function, name, texts, n):
    texts = list(texts)
    if len(texts) != n:
        raise ValueError(f"{function} expects {n} {name}; received {len(texts)}.")
    return texts
