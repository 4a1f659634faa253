r"""Perplexity: how many words a model hesitates between."""

import math
from dataclasses import dataclass

import numpy as np

from vaekit.evaluation.errors import standard_error
from vaekit.evaluation.likelihood import log_likelihood, terms
from vaekit.layers import Tokens
from vaekit.models.data import fixed_arrays
from vaekit.models.factors import output_layer
from vaekit.objectives import ELBO

LOGITS = 2**27  # at a time, 4 bytes each


@dataclass(frozen=True)
class Perplexity:
    r"""The perplexity of sentences: $\exp\big(-\sum_n \log p(x_n) / \sum_n T_n\big)$, of all words together.

    Attributes:
        per_sentence: array `[N]`, log p(x) or a bound of it, in nats.
        tokens: array `[N]`, T: words and end mark of each sentence. The start mark is no event.
        samples: S of importance sampling; None: the bound, whose perplexity is too high.
        exact: whether log p(x) is known, since the model has no latents.
    """

    per_sentence: np.ndarray
    tokens: np.ndarray
    samples: int | None
    exact: bool = False

    @property
    def value(self):
        """The perplexity, a number of words."""
        return math.exp(-self.per_sentence.sum() / self.tokens.sum())

    @property
    def mean(self):
        """Mean of log p(x) over the sentences, in nats."""
        return float(self.per_sentence.mean())

    @property
    def standard_error(self):
        """Standard error of `mean`, in nats."""
        return standard_error(self.per_sentence)

    def __repr__(self):
        what = "bound" if self.samples is None else f"log p(x), {self.samples} samples"
        what = "log p(x)" if self.exact else what
        return (
            f"perplexity {self.value:.2f} ({what} {self.mean:.2f} ± {self.standard_error:.2f} nats a sentence; "
            f"{len(self.tokens)} sentences of {self.tokens.mean():.2f} tokens, end marks included)"
        )


def perplexity(model, x, samples=None, batch_size=None, chunk=None, seed=0, progress=True, checkpoint=None):
    r"""Measures a model's perplexity a word, the end mark being one.

    Args:
        model: a `LatentVariableModel` of sentences, with `vaekit.layers.Tokens` at the end of its decoder.
        x: tokens `[N, T]`, or a dict of data.
        samples: S of importance sampling; None: by the bound, as papers do that sample once. (Without latents the bound
            is log p(x).)
        batch_size, chunk: as for `log_likelihood`; None: such that the logits of all words at once fit half a gigabyte.
        seed, progress, checkpoint: as for `log_likelihood`.

    Returns: `Perplexity`.

    Raises:
        ValueError: a model that describes no tokens, or other data beside them.

    Source: Kim et al. 2018; Dieng et al. 2019, section 5.3 (200 samples).
    """
    name, head = sentences_of(model, "perplexity")
    tokens = np.count_nonzero(fixed_arrays(model, x)[name] != head.padding, axis=1)
    rows = max(1, LOGITS // math.prod(head.parameter_shapes()["logits"]))
    batch_size = min(100, rows) if batch_size is None else batch_size
    if samples is None or not model.latents:
        return Perplexity(terms(model, x, ELBO(), batch_size, seed)["bound"], tokens, None, not model.latents)
    chunk = max(1, rows // batch_size) if chunk is None else chunk
    estimate = log_likelihood(model, x, samples, batch_size, chunk, seed, progress, checkpoint=checkpoint)
    return Perplexity(estimate.per_example, tokens, samples)


def sentences_of(model, what):
    """Finds a model's one observed variable, which `Tokens` describe: its name, and that layer; else a ValueError."""
    heads = {f.name: output_layer(f.layer) for f in model.generative if f.name in model.observed}
    if len(heads) != 1 or not isinstance(*heads.values(), Tokens):
        raise ValueError(
            f"{what} counts the words of sentences: it expects one observed variable, described by "
            f"vaekit.layers.Tokens; the model's are {list(heads)}."
        )
    return next(iter(heads.items()))
