"""Sequences of tokens, which end with a mark."""

import keras
import numpy as np
from keras import ops

from vaekit.backend import tfd
from vaekit.layers.density import Density, event_axes
from vaekit.layers.distribution import DistributionLayer
from vaekit.layers.likelihoods.support import check_classes, check_values
from vaekit.marks import END, PADDING

NEVER = -1e9  # a logit; exp(NEVER) is 0


class TokensDistribution(Density):
    r"""Tokens up to the end mark: $p(w_1, …, w_n) = \prod_{t \le n} \mathrm{softmax}(a_t)_{w_t}$, with $w_n$ the end
    mark, or n = T, the longest sequence's length. What follows is padding, which has no probability, and costs nothing.

    Args:
        logits: a `[..., T, tokens]`.
        padding, end: numbers of these tokens.
    """

    def __init__(self, logits, padding=PADDING, end=END):
        super().__init__(logits=without(logits, padding), padding=padding, end=end)

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        return event_axes(logits=2)

    def _event_shape(self):
        return self.logits.shape[-2:-1]

    def _log_prob(self, x):
        tokens, logits = ops.cast(x, "int32"), self.logits  # [..., T], [..., T, tokens]
        if tokens.shape != logits.shape[:-1]:
            tokens = tokens + ops.zeros_like(logits[..., 0], "int32")
            logits = logits + ops.zeros_like(tokens[..., None], logits.dtype)
        own = ops.take_along_axis(logits, tokens[..., None], axis=-1)[..., 0]  # no one-hot rows, as large as logits
        log_p = own - ops.logsumexp(logits, axis=-1)  # [..., T]
        return ops.sum(ops.where(tokens == self.padding, 0.0, log_p), axis=-1)

    def _sample_n(self, n, seed=None):
        tokens = tfd.Categorical(self.logits).sample(n, seed=seed)  # [n, ..., T]
        ends = ops.cast(tokens == self.end, "int32")
        after = ops.cumsum(ends, axis=-1) - ends > 0
        return ops.cast(ops.where(after, self.padding, tokens), self.dtype)


def without(logits, padding):
    """Makes logits `[..., tokens]` in which padding never comes."""
    logits = ops.convert_to_tensor(logits)
    # a sum, whose gradient costs nothing
    return logits + ops.cast(ops.where(ops.arange(logits.shape[-1]) == padding, NEVER, 0.0), logits.dtype)


@keras.saving.register_keras_serializable("vaekit")
class Tokens(DistributionLayer):
    r"""Sequences of tokens, numbers in an array `[N, T]`: words, the end mark, then padding.

    $$p(x \mid h) = \prod_{t \le n} \mathrm{softmax}(W h_t + b)_{w_t}$$

    with $w_n$ the end mark; a sequence of T tokens may do without it. Padding is no event, and never drawn: over all
    sequences the probabilities add up to 1. Features `[B, T, C]` give each place the features there; a vector is joined
    to all places by a matrix. Last in `AutoregressiveTokens` it makes a language model. Tokens have no mean.

    Args:
        length: T, of the longest sequence, its end mark included.
        vocabulary: number of tokens, those of `Vocabulary` that are no words included.
        padding, end: numbers of these two.

    Raises:
        ValueError: fewer than two tokens, marks that are none of them; as the head of a model, data that are no such
            sequences, or beginnings of some.
    """

    parameters = ("logits",)
    shorter = True
    start = None  # the mark that `AutoregressiveTokens` puts before the first word: no word of the data

    def __init__(self, length, vocabulary, padding=PADDING, end=END, **kwargs):
        super().__init__(length, **kwargs)
        if len(self.event_shape) != 1:
            raise ValueError(f"Tokens expects the length of the longest sequence, a number; received {length!r}.")
        self.vocabulary, self.padding, self.end = check_classes(self, vocabulary), int(padding), int(end)
        if not (0 <= self.padding < self.vocabulary and 0 <= self.end < self.vocabulary and self.padding != self.end):
            raise ValueError(
                f"Tokens expects two numbers below {self.vocabulary}, the size of the vocabulary, for padding and end "
                f"mark; received {padding!r} and {end!r}."
            )

    @property
    def places(self):
        return self.event_shape

    def parameter_shapes(self):
        return {"logits": (*self.event_shape, self.vocabulary)}

    def parameter_values(self, inputs):
        if not self.local["logits"]:
            return super().parameter_values(inputs)
        # as a product of two matrices: of tensors with more axes, XLA would copy the logits' gradient, transposed
        logits = self.heads["logits"](ops.reshape(inputs, (-1, inputs.shape[-1])))  # [B·T, tokens]
        return {"logits": ops.reshape(logits, (*ops.shape(inputs)[:-1], self.vocabulary))}

    def distribution(self, logits):
        return TokensDistribution(logits, self.padding, self.end)

    def check_values(self, x):
        expected = f"Tokens expects whole numbers from 0 to {self.vocabulary - 1}"
        advice = "Number words by the vocabulary that the model was made with, vocabulary.tokens(sentences)."
        check_values(x, (x < 0) | (x >= self.vocabulary) | (x != np.rint(x)), expected, advice)
        padding = x == self.padding
        empty = padding[..., 0]
        if empty.any():
            raise ValueError(
                f"Tokens expects sequences of at least the end mark, {self.end}; {np.count_nonzero(empty)} of "
                f"{empty.size} have none, and start with padding, {self.padding}. Padding comes last: pad_sequences(…, "
                'padding="post").'
            )
        if self.start is not None and len(x) > 1 and (x[..., 0] == self.start).all():
            raise ValueError(
                f"All sequences begin with the start mark, {self.start}. AutoregressiveTokens puts it before the first "
                "word, and would count this one as a word that is easily known: leave it out, x[:, 1:]."
            )
        after = (x == self.end) | padding  # what may follow is padding alone
        wrong = after[..., :-1] & ~padding[..., 1:] | ~after[..., :-1] & padding[..., 1:]
        if wrong.any():
            raise ValueError(
                f"Tokens expects words, the end mark ({self.end}), then padding ({self.padding}); in "
                f"{np.count_nonzero(wrong.any(axis=-1))} of {empty.size} sequences another token follows the end mark, "
                "or padding follows a word."
            )
        cut = ~after[..., -1]
        if x.shape[-1] < self.event_shape[0] and cut.any():
            raise ValueError(
                f"Tokens expects whole sequences: in arrays of fewer than {self.event_shape[0]} tokens each has its "
                f"end mark, {self.end}; {np.count_nonzero(cut)} of {cut.size} are cut off before it."
            )

    def get_config(self):
        config = {name: value for name, value in super().get_config().items() if name != "event_shape"}
        marks = {"padding": self.padding, "end": self.end}
        return {**config, "length": self.event_shape[0], "vocabulary": self.vocabulary, **marks}
