"""`yahoo` and `yahoo_validation`: answers from Yahoo, the text of SA-VAE and Skip-VAE."""

import numpy as np

from .files import File
from .ptb import lines, sentences
from .registry import Splits, register

TRAIN = File("yahoo.train.txt", None, ())  # as a link in SA-VAE's README has it: by hand
VALIDATION = File("yahoo.valid.txt", "3247ac3ffcc4d4bfd6216f2aaa617f6706cdc4081874da39245fe156825898d1", ())
TEST = File("yahoo.test.txt", "ad843c4363adbdd07d8055d9bf121e5f23c285760df43a0031b89d8538293075", ())
SOURCE = "Yang et al. 2017; Kim et al. 2018, https://github.com/harvardnlp/sa-vae"
LONGEST = 200  # words; longer sentences are left out


def _short(file):
    return [line for line in lines(file) if len(line.split()) <= LONGEST]


@register("yahoo", (TRAIN, VALIDATION, TEST))
def yahoo():
    """Answers of Yahoo's users, 20,000 words, rare ones `_UNK` already; 100000/10000/10000; files by hand."""
    splits = Splits(*map(_short, (TRAIN, VALIDATION, TEST)))
    return sentences("Yahoo", splits, "Answers to questions, rare words `_UNK` (it counts as a word).", SOURCE)


@register("yahoo_validation", (VALIDATION, TEST))
def yahoo_validation(validation=1000, seed=0):
    """Yahoo's answers, with the file of validation as training data: the training file is not to be had everywhere."""
    known = _short(VALIDATION)
    if not 0 < validation < len(known):
        raise ValueError(f"load expects 0 < validation < {len(known)} held-out sentences, received {validation!r}.")
    order = np.random.default_rng(seed).permutation(len(known))
    shuffled = [known[i] for i in order]
    splits = Splits(shuffled[validation:], shuffled[:validation], _short(TEST))
    return sentences(
        "Yahoo (validation file as training data)",
        splits,
        "Answers to questions, rare words `_UNK` (it counts as a word). Trained on what is the papers' validation set, "
        f"shuffled by seed {seed}, so likelihoods are not comparable with theirs.",
        SOURCE,
    )
