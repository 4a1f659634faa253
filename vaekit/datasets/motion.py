r"""Videos of small pictures that move in a frame and bounce off its walls: drawn by a rule, so that the truth is known.

A picture moves by whole pixels, (rows, columns) a frame, each of −s … s, until it meets a wall; there it gets a new
velocity, by chance. All else follows from the frames before: the generator knows where a model has to be surprised.
"""

from functools import cached_property
from typing import NamedTuple

import numpy as np

from vaekit.batches import Redrawn, check_counts

from .videos import Videos

EPSILON = 1e-8  # a picture is beyond a wall by more than rounding


class Motion(NamedTuple):
    """What moves in N videos of T frames, each with K pictures, and where: the truth behind `MovingImages`."""

    which: np.ndarray  # [N, K], the number of the picture among those given
    positions: np.ndarray  # [N, T, K, 2], row and column of its upper left corner
    velocities: np.ndarray  # [N, T, K, 2], with which it leaves the frame
    bounces: np.ndarray  # [N, T, K], whether this velocity was drawn anew at a wall


def clamped(rng, n, frames, room, speed):
    r"""The published rule: a picture that would leave the frame stops at the wall, and leaves with a new velocity.

    The velocity's part away from the wall is one of 1 … s, that along it one of −s … s: `bounces[t]` is seen first in
    frame t + 1. As in the published code the walls stand a pixel before the frame's lower and right end, rows come
    before columns, and in a corner the rows' velocity may point at the wall again.

    Args:
        rng: NumPy generator.
        n: number of paths.
        frames: T.
        room: rows and columns that the frame has more than the picture.
        speed: s.

    Returns: positions, velocities `[n, T, 2]`, bounces `[n, T]`.

    Source: Denton & Fergus 2018, https://github.com/edenton/svg, data/moving_mnist.py.
    """
    last = np.array(room) - 1
    place, velocity = rng.integers(0, last + 1, (n, 2)), rng.integers(-speed, speed + 1, (n, 2))
    path = []
    for _ in range(frames):
        bounce = np.zeros(n, bool)
        for axis in (0, 1):
            below = place[:, axis] < 0
            hit = below | (place[:, axis] > last[axis])
            away, along = rng.integers(1, speed + 1, n), rng.integers(-speed, speed + 1, n)
            velocity[hit, axis] = np.where(below, away, -away)[hit]
            velocity[hit, 1 - axis] = along[hit]
            bounce |= hit
        place = place.clip(0, last)
        path.append((place, velocity.copy(), bounce))
        place = place + velocity
    return _stacked(path, axis=1)


def reflected(rng, n, frames, room, speed):
    r"""The rule of the published test set: a picture meets a wall within a step, and makes the rest of it anew.

    Both parts of the velocity are drawn of −s … s, and the one towards the wall turned away from it (it may be 0):
    `bounces[t]` is seen in frame t. Places between pixels are rounded. Numbers are drawn path by path, and `rng` may be
    a `RandomState`, whose numbers stay the same in all versions of NumPy.

    Args, Returns: as for `clamped`.

    Source: Franceschi et al. 2020, https://github.com/edouardelasalles/srvp, data/mmnist.py.
    """
    draw = rng.randint if isinstance(rng, np.random.RandomState) else rng.integers

    def velocity():
        return [int(draw(-speed, speed + 1, dtype="int64")) for _ in (0, 1)]

    paths = []
    for _ in range(n):
        place, v, path = [int(draw(0, r + 1, dtype="int64")) for r in room], velocity(), []
        for _ in range(frames):
            bounce = False
            while walls := _walls(place, room):
                (x, y), walls = _crossing(place, v, walls, room)
                rest = (place[0] - x) / v[0] if v[0] else (place[1] - y) / v[1]  # of the step
                v, bounce = velocity(), True
                for axis, wall in walls.items():
                    v[axis] = -abs(v[axis]) if wall else abs(v[axis])
                place = [x + v[0] * rest, y + v[1] * rest]
            path.append(([round(place[0]), round(place[1])], v, bounce))
            place = [place[0] + v[0], place[1] + v[1]]
        paths.append(_stacked(path, axis=0))
    return _stacked(paths, axis=0)


def _walls(place, room):
    """The walls that a place lies beyond: dict of their coordinates by axis."""
    return {
        axis: room[axis] if x > 0 else 0 for axis, x in enumerate(place) if not -EPSILON <= x <= room[axis] + EPSILON
    }


def _crossing(place, v, walls, room):
    """Where the way to a place first met walls, and which: in a corner two."""
    if 0 in v:
        return [walls.get(axis, x) for axis, x in enumerate(place)], walls
    slope = v[1] / v[0]
    offset = place[1] - slope * place[0]
    met = {}
    for axis, wall in walls.items():
        point = ((wall - offset) / slope, wall) if axis else (wall, slope * wall + offset)
        if -EPSILON <= point[1 - axis] <= room[1 - axis] + EPSILON:
            met[axis], crossing = wall, point
    return crossing, met


def _stacked(parts, axis):
    return tuple(np.stack(part, axis) for part in zip(*parts, strict=True))


RULES = {"clamped": clamped, "reflected": reflected}


class MovingImages(Videos):
    """Videos of moving pictures, which know their motion; rendered when they are asked for.

    Attributes:
        which: `[N, K]`, the numbers of the pictures among `images`.
        positions: `[N, T, K, 2]`, row and column of each picture's upper left corner.
        velocities: `[N, T, K, 2]`, rows and columns a frame, with which it leaves the frame.
        bounces: `[N, T, K]`, whether that velocity was drawn anew at a wall.
        surprises: `[N, T]`, whether a frame shows what was drawn by chance, and so does not follow from those before.
    """

    def __init__(self, images, n, frames, objects, size, speed, rule, seed, motion=None):
        super().__init__((n, frames, *size, images.shape[-1]))
        self.images, self.objects, self.speed, self.rule, self.seed = images, objects, speed, rule, seed
        self._motion = motion

    @cached_property
    def motion(self):
        """The `Motion` of these videos."""
        return self._motion() if self._motion else self._move(np.random.default_rng(self.seed), len(self))

    which = property(lambda self: self.motion.which)
    positions = property(lambda self: self.motion.positions)
    velocities = property(lambda self: self.motion.velocities)
    bounces = property(lambda self: self.motion.bounces)

    @property
    def surprises(self):
        """Whether a frame shows what was drawn by chance, `[N, T]`: the first, the second, and those after bounces."""
        new = self.bounces.any(axis=2)
        if self.rule == "clamped":  # which stops at the wall, and leaves a frame later
            new = np.pad(new, ((0, 0), (1, 0)))[:, :-1]
        new[:, :2] = True
        return new

    def rows(self, index):
        """Renders the videos of these numbers."""
        return self._render(Motion(*(part[index] for part in self.motion)))

    def _move(self, rng, n):
        room = [frame - image for frame, image in zip(self.shape[2:4], self.images.shape[1:3], strict=True)]
        which = rng.integers(len(self.images), size=(n, self.objects))
        return Motion(which, *moved(rng, n, self.shape[1], self.objects, room, self.speed, self.rule))

    def _render(self, motion):
        """Draws the frames of a motion: pictures are added, and what exceeds 1 is cut."""
        n, frames = motion.positions.shape[:2]
        x = np.zeros((n, frames, *self.shape[2:]), "float32")
        windows = np.lib.stride_tricks.sliding_window_view(x, self.images.shape[1:3], axis=(2, 3), writeable=True)
        pictures = np.moveaxis(self.images, -1, 1)  # [M, C, h, w]
        video, frame = np.ogrid[:n, :frames]
        for which, positions in zip(motion.which.T, np.moveaxis(motion.positions, 2, 0), strict=True):  # [n], [n, T, 2]
            windows[video, frame, positions[..., 0], positions[..., 1]] += pictures[which, None]  # [n, T, C, h, w]
        return np.minimum(x, 1, out=x)


class EndlessMovingImages(MovingImages, Redrawn):
    """`MovingImages` that are others in every pass of training; `np.asarray`, slices and `motion` are of fixed ones."""

    @property
    def identity(self):
        """An array that tells these data from others."""
        return self[:100]

    def draw(self, generator, index=slice(None)):
        """Draws new videos, as many as the rows `index`, with a NumPy `generator`."""
        return self._render(self._move(generator, len(np.arange(len(self))[index])))


def moved(rng, n, frames, objects, room, speed, rule):
    """Draws positions, velocities and bounces of a `Motion`, whose pictures know nothing of each other."""
    positions, velocities, bounces = RULES[rule](rng, n * objects, frames, room, speed)  # [n·K, T, …]
    paths = positions.astype("int16"), velocities.astype("int8"), bounces
    return tuple(np.moveaxis(part.reshape(n, objects, *part.shape[1:]), 1, 2) for part in paths)


def moving(images, n, frames=15, objects=2, size=64, speed=4, rule="clamped", seed=0, endless=False, motion=None):
    r"""Videos of pictures of one's own that move in a frame and bounce off its walls, with their truth.

    ```python
    ball = np.hypot(*np.mgrid[-3:4, -3:4])[None, :, :, None] < 3.5
    videos = vk.datasets.moving(ball, n=1000, frames=12, objects=1, size=20, speed=2)
    videos[:8], videos.bounces[:8]  # [8, 12, 20, 20, 1], [8, 12, 1]
    ```

    Args:
        images: pictures `[M, h, w, C]` with values in [0, 1]; each video draws K of them, the same one twice, too.
        n: N, the number of videos; of endless ones, in an epoch.
        frames: T.
        objects: K, the number of pictures in a video.
        size: height and width of a frame, or a pair of them.
        speed: s: a velocity is one of −s … s rows and columns a frame.
        rule: what happens at a wall: "clamped", "reflected".
        seed: integer.
        endless: whether every pass of training sees other videos.
        motion: None, or a function without arguments that returns the `Motion` of the videos.

    Returns: `MovingImages`, or `EndlessMovingImages`.

    Raises:
        ValueError: no pictures, values outside [0, 1], a frame that leaves no room to move, a rule that there is not.
    """
    images = np.asarray(images, "float32")
    check_counts("moving", n=n, frames=frames, objects=objects, speed=speed)
    if images.ndim != 4 or 0 in images.shape:
        raise ValueError(f"moving expects pictures [M, h, w, C]; received the shape {list(images.shape)}.")
    if not (images.min() >= 0 and images.max() <= 1):
        raise ValueError(
            f"moving expects values in [0, 1]; these lie in [{images.min():g}, {images.max():g}]: divide bytes by 255."
        )
    size = tuple(np.broadcast_to(size, 2).tolist())
    room = [s - i for s, i in zip(size, images.shape[1:3], strict=True)]
    if min(room) < speed:
        raise ValueError(
            f"Pictures of {images.shape[1]}×{images.shape[2]} pixels have no room to move by {speed} a frame in frames "
            f"of {size[0]}×{size[1]}: a larger size or smaller speed is needed."
        )
    if rule not in RULES:
        raise ValueError(f"moving expects a rule of {', '.join(RULES)}; received {rule!r}.")
    kind = EndlessMovingImages if endless else MovingImages
    return kind(images, n, frames, objects, size, speed, rule, seed, motion)
