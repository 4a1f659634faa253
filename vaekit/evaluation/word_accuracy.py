r"""Reconstruction of sentences, word by word."""

from dataclasses import dataclass

import numpy as np

from vaekit.evaluation.perplexity import sentences_of
from vaekit.models.data import fixed_arrays


@dataclass(frozen=True)
class WordAccuracy:
    """How much of sentences comes back through their codes.

    Attributes:
        right: array `[N]`, places where the reconstruction has the sentence's own token, end mark included.
        tokens: array `[N]`, words and end mark of each sentence.
        exact: array `[N]`, whether the whole sentence came back.
    """

    right: np.ndarray
    tokens: np.ndarray
    exact: np.ndarray

    @property
    def words(self):
        """Share of all words that are right."""
        return float(self.right.sum() / self.tokens.sum())

    @property
    def sentences(self):
        """Share of sentences that came back as a whole."""
        return float(self.exact.mean())

    def __repr__(self):
        n = len(self.exact)
        return f"{100 * self.words:.1f} % of words, {100 * self.sentences:.1f} % of sentences ({n}) reconstructed"


def word_accuracy(model, x, beams=1, batch_size=500, mean=True, seed=0):
    """Measures how many words come back at their places: x, its code, the most probable sentence for that code.

    No word of x is shown to the decoder: what it gets right, it knows from z, or guesses.

    Args:
        model: a `LatentVariableModel` of sentences, whose decoder is an `AutoregressiveTokens`.
        x: tokens `[N, T]`, or a dict of data.
        beams: of the search; 1: word by word.
        batch_size: sentences at a time.
        mean: the mean of q(z|x) is decoded; False: a draw.
        seed: an int, of the draws.

    Returns: `WordAccuracy`.

    Raises:
        ValueError: a model of anything but sentences.
    """
    name, head = sentences_of(model, "word_accuracy")
    tokens = fixed_arrays(model, x)[name]
    found = model.reconstruct(x, batch_size, mean=mean, beams=beams, seed=seed)[:, : tokens.shape[1]]
    here, same = tokens != head.padding, found == tokens
    return WordAccuracy((same & here).sum(axis=1), here.sum(axis=1), same.all(axis=1))
