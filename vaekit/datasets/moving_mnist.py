"""`moving_mnist`: stochastic moving MNIST, two digits that bounce off the walls of a frame of 64×64.

Training videos are made as they are needed. Two rules are published. SVG's ("clamped") has digits of 32×32, resized as
its code does, bilinear by Pillow; a digit stops at the wall. The other ("reflected") has MNIST's own 28×28, and a wall
met within a step; with it the test set is that of Franceschi et al. 2020, bit for bit, on which other models' PSNR and
SSIM are published.
"""

from numbers import Integral

import numpy as np
from PIL import Image

from .mnist import FILES, mnist
from .motion import RULES, Motion, moved, moving
from .registry import Splits, register, unit_interval

SIZE, SPEED, DIGITS = 64, 4, 2
SIDES = {"clamped": 32, "reflected": 28}  # pixels of a digit
TEST_SEED, TEST_FRAMES = 42, 100  # published: digits are drawn, then paths of 100 frames, of which fewer are used


def resized(images, side):
    """Pictures `[N, h, w, 1]` of bytes/255 resized as SVG's code does, bilinear: float32 `[N, side, side, 1]`."""
    x = np.rint(images[..., 0] * 255).astype("uint8")  # [N, h, w]
    for _ in "columns", "rows":  # all pictures at once, one below the other
        n, height, width = x.shape
        wide = Image.fromarray(x.reshape(-1, width)).resize((side, n * height), Image.Resampling.BILINEAR)
        x = np.asarray(wide).reshape(n, height, side).transpose(0, 2, 1)
    return unit_interval(x[..., None])


def motion_of_the_test_set(digits, frames, rule):
    """The `Motion` of a test set in which each of some digits is in one video, once."""
    rng = np.random.RandomState(TEST_SEED)  # its numbers are the same in all versions of NumPy
    which = rng.permutation(digits)[: digits // DIGITS * DIGITS].reshape(-1, DIGITS)
    rng = rng if rule == "reflected" else np.random.default_rng(TEST_SEED)
    room = (SIZE - SIDES[rule],) * 2
    positions, velocities, bounces = moved(rng, len(which), TEST_FRAMES, DIGITS, room, SPEED, rule)
    return Motion(which, positions[:, :frames], velocities[:, :frames], bounces[:, :frames])


@register("moving_mnist", FILES)
def moving_mnist(frames=15, rule="clamped", train=10_000, validation=1000, seed=0):
    """64×64 videos of 15 frames, two digits of MNIST that bounce off the walls, 10000/1000/5000, made as needed.

    `rule` is SVG's, "clamped", with digits resized to 32×32, or "reflected", with digits of 28×28. `train` is new in
    every pass, of MNIST's first 50,000 training images; validation is of the other 10,000. The test set has each test
    digit once, and is the same for all seeds: with "reflected" it is the published one. All know the truth:
    data.test.positions, velocities, bounces, surprises. A video is rendered when it is read: data.test[:1000] takes
    a fifth of the 1.2 GB of all.
    """
    if rule not in RULES:
        raise ValueError(f"moving_mnist expects a rule of {', '.join(RULES)}; received {rule!r}.")
    if not (isinstance(frames, Integral) and 1 <= frames <= TEST_FRAMES):
        raise ValueError(f"moving_mnist expects 1 <= frames <= {TEST_FRAMES}; received {frames!r}.")
    still = mnist()
    side = SIDES[rule]
    images = Splits(*(resized(still[split], side) for split in Splits._fields))
    options = dict(frames=frames, objects=DIGITS, size=SIZE, speed=SPEED, rule=rule)
    digits = len(images.test)
    splits = Splits(
        moving(images.train, train, **options, seed=(seed, 0), endless=True),
        moving(images.validation, validation, **options, seed=(seed, 1)),
        moving(images.test, digits // DIGITS, **options, motion=lambda: motion_of_the_test_set(digits, frames, rule)),
    )
    return {
        "title": "stochastic moving MNIST" + ("" if rule == "clamped" else " (28 pixels)"),
        **splits._asdict(),
        "labels": None,
        "description": f"{SIZE}×{SIZE} videos of {frames} frames, made with seed {seed}: {DIGITS} digits of MNIST, "
        f"{side}×{side}, that move by at most {SPEED} pixels a frame and leave a wall with a new "
        f"velocity, drawn by chance (rule {rule!r}). {train}/{validation}/{len(splits.test)}, of disjoint digits; "
        "train anew in every pass, test with seed 42, each test digit once"
        + ("." if rule == "clamped" else ": the test set of Franceschi et al. 2020."),
        "source": "Denton & Fergus 2018, https://github.com/edenton/svg"
        + ("" if rule == "clamped" else "; Franceschi et al. 2020, https://github.com/edouardelasalles/srvp")
        + f"; digits: {still['source']}",
    }
