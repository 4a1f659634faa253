"""`omniglot` and `dynamic_omniglot`: 28×28 handwritten characters of 50 alphabets, in the file of Burda et al."""

import io

import numpy as np
from scipy.io import loadmat

from .files import File, read
from .registry import binarize, hold_out, register, sizes

CHARDATA = File(
    "chardata.mat",
    None,
    (
        "https://github.com/yburda/iwae/raw/master/datasets/OMNIGLOT/chardata.mat",
        "https://raw.githubusercontent.com/yburda/iwae/master/datasets/OMNIGLOT/chardata.mat",
    ),
    git_blob="016a3536ffe5e1d38e42563a18d7a78bfaf643ec",
)


def choose(labels, **kinds):
    """The kind of labels that the option `labels` names."""
    if labels not in kinds:
        raise ValueError(f"load expects labels to be one of {', '.join(kinds)}; received {labels!r}.")
    return kinds[labels]


def parse_chardata(content):
    """Images `[N, 28, 28, 1]`, alphabets 0..49 and characters 0..1622, each as a pair of train and test."""
    mat = loadmat(io.BytesIO(content))
    pairs = {key: (mat[key], mat["test" + key]) for key in ("data", "target", "targetchar")}
    # data [784, N], pixels in Fortran order; target [50, N], one-hot; targetchar [1, N], 1.. within the alphabet
    images = [np.ascontiguousarray(x.T.reshape(-1, 28, 28, 1).swapaxes(1, 2), "float32") for x in pairs["data"]]
    alphabets = [x.argmax(axis=0) for x in pairs["target"]]
    numbers = [100 * alphabet + x[0] for alphabet, x in zip(alphabets, pairs["targetchar"], strict=True)]
    _, characters = np.unique(np.concatenate(numbers), return_inverse=True)
    return images, alphabets, np.split(characters, [len(numbers[0])])


@register("omniglot", (CHARDATA,))
def omniglot(validation=1345, seed=0, labels="character"):
    """28×28 grey handwritten characters of 50 alphabets, 23000/1345/8070.

    Ink is 1; shuffled by `seed`, then the last `validation` training images are held out.
    `labels` are those of the "character", 0..1622, or of the "alphabet", 0..49.
    """
    (x, test), alphabets, characters = parse_chardata(read(CHARDATA))
    y, test_y = choose(labels, character=characters, alphabet=alphabets)
    splits = hold_out(validation, (x, y), (test, test_y), seed)
    return {
        "title": "OMNIGLOT",
        **splits,
        "description": "28×28 grey handwritten characters of 50 alphabets, ink is 1, as resized by Burda et al. 2016. "
        f"The file's training part, shuffled, and its test part, split {sizes(splits)}.",
        "source": "Lake, Salakhutdinov & Tenenbaum 2015; https://github.com/yburda/iwae/tree/master/datasets/OMNIGLOT",
    }


@register("dynamic_omniglot", (CHARDATA,))
def dynamic_omniglot(validation=1345, seed=0, labels="character"):
    """`omniglot`, binarized: a pixel is 1 with its grey value as probability (Burda et al. 2016, section 5)."""
    return binarize(omniglot(validation, seed, labels), seed)
