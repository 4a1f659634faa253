"""`bair`: videos of a robot arm that pushes things, 64×64 in colour, from a folder on your machine.

43,264 training and 256 test videos of 30 frames, 32 GB as TensorFlow's records: they are read when they are needed.
"""

import re
from functools import cached_property
from numbers import Integral
from pathlib import Path

import numpy as np
from PIL import Image

from vaekit.batches import Redrawn

from .files import DatasetError
from .registry import Splits, register, sizes, unit_interval
from .tfrecords import bytes_features, offsets
from .videos import Videos

RECORDED, SIZE = 30, 64  # frames of a video, and their height and width
HOMES = "softmotion30_44k", "processed_data"  # as published, and as SVG's code converts it


class RobotVideos(Videos):
    """Videos in files.

    Args:
        files: of N videos: a folder of `0.png` … `29.png`, or (file, offset, length) of a record.
        frames: T; those from frame 0 on.
    """

    def __init__(self, files, frames):
        super().__init__((len(files), frames, SIZE, SIZE, 3))
        self.files = files

    def rows(self, index):
        """Reads the videos of these numbers."""
        return self._read(index, np.zeros(len(index), int))

    def _read(self, index, starts):
        """Reads videos `[n]`, each from a frame `[n]` on: float32 `[n, T, 64, 64, 3]`."""
        x = np.empty((len(index), *self.shape[1:]), "uint8")
        for video, i, start in zip(x, index, starts, strict=True):
            read = read_pictures if isinstance(self.files[i], Path) else read_record
            video[...] = read(self.files[i], range(start, start + len(video)))
        return unit_interval(x)


class EndlessRobotVideos(RobotVideos, Redrawn):
    """`RobotVideos` of which every pass of training reads other parts: they begin with a frame drawn by chance."""

    @cached_property
    def identity(self):
        """An array that tells these data from others."""
        return self[:10]

    def draw(self, generator, index=slice(None)):
        """Reads the rows `index`, each from a frame on that a NumPy `generator` draws."""
        rows = np.arange(len(self))[index]
        return self._read(rows, generator.integers(0, RECORDED - self.shape[1] + 1, len(rows)))


def read_pictures(folder, frames):
    """Reads frames of a video from a folder of PNG files, as SVG's code makes it: list of uint8 `[64, 64, 3]`."""
    found = []
    for path in (folder / f"{frame}.png" for frame in frames):
        try:
            picture = np.asarray(Image.open(path).convert("RGB"))
        except OSError as error:
            raise DatasetError(f"{str(path)!r} is missing, or no picture. Convert the data set anew.") from error
        if picture.shape != (SIZE, SIZE, 3):
            raise DatasetError(
                f"{str(path)!r} has {picture.shape[1]}×{picture.shape[0]} pixels; bair expects {SIZE}×{SIZE}, as "
                "softmotion30_44k has them."
            )
        found.append(picture)
    return found


def read_record(record, frames):
    """Reads frames of a video from a record: list of uint8 `[64, 64, 3]`, of the camera that SVG's code takes."""
    path, offset, length = record
    with open(path, "rb") as file:
        file.seek(offset)
        names = [f"{frame}/image_aux1/encoded" for frame in frames]
        try:
            features = bytes_features(file.read(length), set(names))
        except (IndexError, ValueError, TypeError, StopIteration) as error:
            raise DatasetError(f"{str(path)!r} holds a record that is damaged. Unpack the data set anew.") from error
    lengths = {name: len(features[name]) if name in features else "no" for name in names}
    if wrong := [name for name in names if lengths[name] != SIZE * SIZE * 3]:
        raise DatasetError(
            f"{str(path)!r} has {lengths[wrong[0]]} bytes of {wrong[0]!r}; bair expects {SIZE}·{SIZE}·3 of each of "
            f"{RECORDED} frames, as softmotion30_44k has them."
        )
    return [np.frombuffer(features[name], "uint8").reshape(SIZE, SIZE, 3) for name in names]


def _by_number(path):
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", str(path))]


def find_videos(folder):
    """Finds the videos below a folder with `train` and `test`, in the order of their names: a list."""
    videos = sorted((path.parent for path in folder.glob("**/0.png")), key=_by_number)
    for path in sorted(folder.glob("*.tfrecord*"), key=_by_number):
        try:
            videos += [(path, *place) for place in offsets(path)]
        except ValueError as error:
            raise DatasetError(f"{error} Unpack the data set anew.") from error
    return videos


@register("bair", None)
def bair(folder=None, frames=12, validation=256):
    """64×64 colour videos of a robot arm that pushes things, 12 of 30 frames, 43008/256/256, in a folder of yours.

    `folder` holds softmotion30_44k/ as published, TensorFlow's records in train/ and test/, or processed_data/, the
    pictures that SVG's code makes of it. Values/255 in [0, 1]. The last `validation` training videos are held out. In
    training a video begins with a frame drawn anew in every pass, else with its first. A video is read when it is used,
    so data.train[:100] takes 59 MB.
    """
    home = None if folder is None else Path(folder).expanduser()
    places = [] if home is None else [home, *(home / name for name in HOMES)]
    found = next((place for place in places if (place / "train").is_dir() and (place / "test").is_dir()), None)
    if found is None:
        raise DatasetError(
            f'load("bair", folder=...) expects a folder with {" or ".join(HOMES)}, each with train and test; received '
            f"{None if folder is None else str(folder)!r}. Fetch bair_robot_pushing_dataset_v0.tar (30 GB) from "
            "http://rail.eecs.berkeley.edu/datasets/ and unpack it."
        )
    if not (isinstance(frames, Integral) and 1 <= frames <= RECORDED):
        raise ValueError(f"bair expects 1 <= frames <= {RECORDED}; received {frames!r}.")
    train, test = (find_videos(found / part) for part in ("train", "test"))
    if empty := [part for part, videos in (("train", train), ("test", test)) if not videos]:
        raise DatasetError(
            f"{str(found / empty[0])!r} has no videos: bair expects files .tfrecords, or folders with 0.png … 29.png."
        )
    if not (isinstance(validation, Integral) and 0 <= validation < len(train)):
        raise ValueError(f"load expects 0 <= validation < {len(train)} held-out videos, received {validation!r}.")
    cut = len(train) - validation
    splits = Splits(
        EndlessRobotVideos(train[:cut], frames), RobotVideos(train[cut:], frames), RobotVideos(test, frames)
    )._asdict()
    return {
        "title": "BAIR",
        **splits,
        "labels": None,
        "description": f"64×64 colour videos of a robot arm, values/255, {frames} frames: of each pass others in "
        f"training, the first else. Split {sizes(splits)}, validation from the end of the training videos.",
        "source": "Ebert, Finn, Lee & Levine 2017; https://sites.google.com/view/sna-visual-mpc/",
    }
