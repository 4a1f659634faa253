"""Videos that play in a notebook."""

import base64
import html
import io
import math
from dataclasses import dataclass
from numbers import Real
from pathlib import Path

import numpy as np
from matplotlib.colors import to_rgb
from PIL import Image

from vaekit.batches import check_counts
from vaekit.plotting.figure import WIDTH
from vaekit.plotting.images import check_images, shades
from vaekit.plotting.video import KNOWN, check_videos, flat

SHADES = 64  # of each channel: two thirds of the bytes that 256 take
SIDE = 64  # pixels; narrower videos are enlarged, so that a pixel more is a thin edge


@dataclass(frozen=True)
class Animation:
    """Videos that play, again and again, where a notebook or a page shows them.

    Attributes:
        png: bytes of an animated PNG.
        size: width and height on a page, in pixels.
        alt: what is seen, for those who do not see it.
    """

    png: bytes
    size: tuple
    alt: str

    def save(self, path):
        """Writes the animated PNG."""
        Path(path).write_bytes(self.png)

    def _repr_html_(self):
        width, height = self.size
        return (
            f'<img alt="{html.escape(self.alt)}" width="{width}" height="{height}" style="image-rendering: pixelated" '
            f'src="data:image/png;base64,{base64.b64encode(self.png).decode()}">'
        )

    def __repr__(self):
        return f"<{self.alt}>"


def animation(videos, past=0, fps=5, columns=None, width=128, value_range=(0, 1), alt=None):
    """Makes videos play side by side, again and again. Frames that were given are framed.

    It needs no ffmpeg and no script, and plays in saved notebooks too. Eight videos of 20 frames of 64 × 64 take less
    than 200 kB; noise takes more.

    Args:
        videos: array `[N, T, H, W, C]`, C being 1 (grey) or 3 (RGB).
        past: how many frames were given.
        fps: frames a second; the last one stays for a second more.
        columns: videos a row; None: about as many as rows.
        width: of a video on the page, about, in pixels; all together are no wider than a picture.
        value_range: as for `image_grid`.
        alt: what is seen, for those who do not see it; None: how many videos and frames.

    Returns: `Animation`.

    Raises:
        ValueError: as for `strip`; counts below 1; more than 50 frames a second.
    """
    videos = check_videos("animation", videos, past)
    n, t = videos.shape[:2]
    check_counts("animation", columns=1 if columns is None else columns, width=width)
    if not (isinstance(fps, Real) and 0 < fps <= 50):
        raise ValueError(f"animation expects fps, frames a second, above 0 and at most 50; received {fps!r}.")
    columns = min(n, columns or math.ceil(math.sqrt(n)))
    pages, palette = _pages(videos, past, columns, value_range)
    pictures = [Image.fromarray(page) for page in pages]
    if palette is not None:
        for picture in pictures:
            picture.putpalette(palette)
    stay = round(1000 / fps)  # milliseconds
    stream = io.BytesIO()
    durations = [stay] * (t - 1) + [stay + 1000]
    pictures[0].save(stream, "PNG", save_all=True, append_images=pictures[1:], duration=durations, loop=0)
    high, wide = pages.shape[1:3]
    scale = max(1, min(round(width * columns / wide), int(100 * WIDTH) // wide))
    if alt is None:
        given = "first of which was given and is" if past == 1 else f"first {past} of which were given and are"
        alt = f"{n} video{'s' * (n > 1)} of {t} frames" + f", the {given} framed" * (past > 0)
    return Animation(stream.getvalue(), (scale * wide, scale * high), alt)


def _pages(videos, past, columns, value_range):
    """All videos at each time, an edge of a pixel around them, a pixel between; small ones enlarged.

    Returns: bytes `[T, H', W']` and their palette of greys and the edge's colour; or RGB, `[T, H', W', 3]`, and None.
    """
    n, t, h, w, c = videos.shape
    levels = np.rint(shades(check_images(flat(videos), "animation"), value_range) * (SHADES - 1))
    tones = np.rint(np.linspace(0, 255, SHADES)).astype("uint8")
    edge = np.rint(255 * np.array(to_rgb(KNOWN))).astype("uint8")
    if c == 1:
        values, white, known = levels.astype("uint8").reshape(n, t, h, w), SHADES - 1, SHADES
        palette = np.concatenate([np.repeat(tones, 3), edge]).tobytes()
    else:
        values, white, known, palette = tones[levels.astype(int)].reshape(videos.shape), 255, edge, None
    times = max(1, SIDE // w)
    values = values.repeat(times, axis=2).repeat(times, axis=3)
    h, w = values.shape[2:4]
    pages = np.full((t, -(-n // columns) * (h + 3) - 1, columns * (w + 3) - 1, *values.shape[4:]), white, "uint8")
    for i, video in enumerate(values):
        y, x = (h + 3) * (i // columns), (w + 3) * (i % columns)
        pages[:past, y : y + h + 2, x : x + w + 2] = known
        pages[:, y + 1 : y + h + 1, x + 1 : x + w + 1] = video
    return pages, palette
