"""`frey_faces`: 1965 frames of one face on video, 28×20 grey."""

import numpy as np

from .files import File, read
from .pickles import unpickle_arrays
from .registry import Splits, register

FREY_FACES = File(
    "freyfaces.pkl",
    "3b69410c6a5fd6e03f09012905168be3712373a094a776f7e58fcd0670d2138a",
    (
        "https://github.com/jmtomczak/vae_vampprior/raw/master/datasets/Freyfaces/freyfaces.pkl",
        "https://raw.githubusercontent.com/jmtomczak/vae_vampprior/master/datasets/Freyfaces/freyfaces.pkl",
    ),
)
TRAIN, VALIDATION = 1565, 200  # the other 200 of 1965 are the test set


@register("frey_faces", (FREY_FACES,))
def frey_faces(seed=0):
    """28×20 grey video frames of one face, 1565/200/200.

    Values (x + 0.5)/256 in (0, 1), shuffled by `seed` before the split.
    The frames are a video: neighbours are almost equal, so shuffling puts near copies of training frames into
    the test set. Tomczak & Welling's code shuffles; so must a figure that is to be compared with theirs.
    """
    frames = unpickle_arrays(read(FREY_FACES))[0].reshape(-1, 28, 20, 1)  # uint8, in video order
    x = ((frames + np.float32(0.5)) / 256)[np.random.default_rng(seed).permutation(len(frames))]
    return {
        "title": "Frey Faces",
        **Splits(*np.split(x, (TRAIN, TRAIN + VALIDATION)))._asdict(),
        "labels": None,
        "description": "28×20 grey video frames of one face, (x + 0.5)/256. Shuffled, then split 1565/200/200 as by "
        "Tomczak & Welling 2018: neighbouring frames fall into different splits, so test likelihoods are high.",
        "source": "Roweis & Frey; https://github.com/jmtomczak/vae_vampprior/tree/master/datasets/Freyfaces",
    }
