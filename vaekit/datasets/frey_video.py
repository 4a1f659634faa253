"""`frey_video`: Frey Faces as what they are, a video; clips of frames in their order, split by blocks of time."""

from numbers import Integral

import numpy as np

from .files import read
from .frey_faces import FREY_FACES, TRAIN, VALIDATION
from .pickles import unpickle_arrays
from .registry import Splits, register, sizes

JUMP = 0.02  # mean square difference of two frames that are not next to each other in time


def shots(frames, jump=JUMP):
    """Cuts frames `[N, ...]` between neighbours whose mean square difference exceeds `jump`: a list of arrays."""
    change = np.square(np.diff(frames, axis=0)).mean(axis=tuple(range(1, frames.ndim)))  # [N − 1]
    return np.split(frames, np.flatnonzero(change > jump) + 1)


def clips(frames, length, step):
    """Clips of `length` frames, `[M, length, ...]`, a new one every `step` frames of a shot, none across a jump."""
    parts = [frames[:0]] + shots(frames)
    starts = [(shot, i) for shot in parts for i in range(0, len(shot) - length + 1, step)]
    return (
        np.stack([shot[i : i + length] for shot, i in starts]) if starts else np.empty((0, length, *frames.shape[1:]))
    )


@register("frey_video", (FREY_FACES,))
def frey_video(frames=10, step=1):
    """28×20 grey video of one face, in clips of 10 frames in their order, 1360/19/18, split by time.

    The first 1565 of 1965 frames are for training, the next 200 for validation, the last 200 for testing: no test frame
    has a neighbour that was trained on, as most have in `frey_faces`. No clip crosses a jump, two frames whose mean
    square difference exceeds 0.02: cuts, and what moves as fast. Training clips begin every `step` frames, the others
    do not overlap. Values (x + 0.5)/256.
    """
    for name, value in (("frames", frames), ("step", step)):
        if not (isinstance(value, Integral) and value >= 1):
            raise ValueError(f"frey_video expects {name} to be an integer of at least 1; received {value!r}.")
    x = (unpickle_arrays(read(FREY_FACES))[0].reshape(-1, 28, 20, 1) + np.float32(0.5)) / 256
    blocks = Splits(*np.split(x, (TRAIN, TRAIN + VALIDATION)))
    splits = Splits(*(clips(block, frames, step if block is blocks.train else frames) for block in blocks))
    if empty := [split for split, part in splits._asdict().items() if not len(part)]:
        raise ValueError(f"frames={frames} leaves no clip for {', '.join(empty)}: the shots are shorter.")
    return {
        "title": "Frey Faces (video)",
        **splits._asdict(),
        "labels": None,
        "description": f"28×20 grey video of one face, (x + 0.5)/256, in clips of {frames} frames without jumps "
        f"(a mean square difference of neighbours above {JUMP}). Split by time, {sizes(splits._asdict())}: the first "
        f"1565 frames, the next 200, the last 200. Training clips begin every {step} frames, others do not overlap.",
        "source": "Roweis & Frey; https://github.com/jmtomczak/vae_vampprior/tree/master/datasets/Freyfaces",
    }
