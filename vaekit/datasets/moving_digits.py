"""`moving_digits`: videos of scikit-learn's 8×8 digits that move in a frame of 16×16; no network, no files."""

from .digits import digits as still_digits
from .motion import moving
from .registry import Splits, register

SPEED = 2  # of 8 places a row: a digit meets a wall about once in four frames


@register("moving_digits")
def moving_digits(frames=16, digits=1, size=16, speed=SPEED, train=2000, validation=200, test=500, seed=0):
    """16×16 videos of 16 frames, an 8×8 digit that bounces off the walls, 2000/200/500, made from a seed, no network.

    `digits` move in each video, at most `speed` pixels a frame. `train` is new in every pass. The splits have digits
    of their own, those of the splits of `digits`, and know the truth: data.test.positions, velocities, bounces,
    surprises.
    """
    still = still_digits()
    splits = Splits(
        *(
            moving(still[split], n, frames, digits, size, speed, seed=(seed, stream), endless=split == "train")
            for stream, (split, n) in enumerate(zip(Splits._fields, (train, validation, test), strict=True))
        )
    )
    return {
        "title": "moving digits",
        **splits._asdict(),
        "labels": None,
        "description": f"{size}×{size} videos of {frames} frames, made with seed {seed}: 8×8 grey digits ({digits} in "
        f"a video) that move by at most {speed} pixels a frame and leave a wall with a new velocity, drawn by chance. "
        f"{train}/{validation}/{test}, of disjoint digits; train anew in every pass.",
        "source": still["source"] + "; rule: Denton & Fergus 2018",
    }
