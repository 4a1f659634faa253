"""`omniglot_rebuilt` and `dynamic_omniglot_rebuilt`: a stand-in for `omniglot`, resized anew from the originals.

It has more test images than the papers' file, 8115 instead of 8070, another way of resizing and another split, so
likelihoods on it are not comparable with the papers'. Its title says so: "OMNIGLOT (rebuilt)".
"""

import io

import numpy as np

from .files import File, read
from .omniglot import choose
from .registry import binarize, hold_out, register, sizes, unit_interval

REBUILT = File("omniglot28_rebuilt.npz", "0558e4b1a2f2c147aaea0abc22060aa78b2c9beea1967315cffffb7549396798", ())


@register("omniglot_rebuilt", (REBUILT,))
def omniglot_rebuilt(validation=1345, seed=0, labels="character"):
    """28×28 grey handwritten characters of 50 alphabets, another file than the papers', 23000/1345/8115.

    Ink is 1; shuffled by `seed`, then the last `validation` training images are held out.
    `labels` are those of the "character", 0..1622, or of the "alphabet", 0..49. The file has no public address.
    """
    file = np.load(io.BytesIO(read(REBUILT)))
    train, test = (
        (
            unit_interval(file[part][..., None]),  # [N, 28, 28, 1]
            choose(labels, character=file[f"{part}_character"] - 1, alphabet=file[f"{part}_alphabet"]),
        )
        for part in ("train", "test")
    )
    splits = hold_out(validation, train, test, seed)
    return {
        "title": "OMNIGLOT (rebuilt)",
        **splits,
        "description": "28×28 grey handwritten characters of 50 alphabets, ink is 1, values/255: area averages of the "
        "105×105 originals. Not the papers' file, so likelihoods are not comparable with theirs. Drawers 1 to 15, "
        f"shuffled, and drawers 16 to 20, split {sizes(splits)}.",
        "source": "Lake, Salakhutdinov & Tenenbaum 2015; originals: https://github.com/brendenlake/omniglot",
    }


@register("dynamic_omniglot_rebuilt", (REBUILT,))
def dynamic_omniglot_rebuilt(validation=1345, seed=0, labels="character"):
    """`omniglot_rebuilt`, binarized: a pixel is 1 with its grey value as probability."""
    return binarize(omniglot_rebuilt(validation, seed, labels), seed)
