"""Words as numbers."""

from collections import Counter
from numbers import Integral

import numpy as np

from vaekit.marks import END, MARKS, PADDING, UNKNOWN


class Vocabulary:
    """The words of a text, numbered: first padding, an unknown word, a start and an end mark, then `words`.

    ```python
    vocabulary = Vocabulary.of(["the fox", "the owl"])
    vocabulary.tokens(["the owl"], length=4)    # [[4, 6, 3, 0]]
    vocabulary.decode([[4, 6, 3, 0]])           # ["the owl"]
    ```

    Args:
        words: list of different words; "<unk>" among them is the unknown word.

    Raises:
        ValueError: a word that stands twice, is empty, has a space in it, or is one of the other marks.
    """

    def __init__(self, words):
        words = [word for word in words if word != MARKS[UNKNOWN]]
        wrong = [word for word in words if word in MARKS or word.split() != [word]]
        wrong += [word for word, count in Counter(words).items() if count > 1]
        if wrong:
            raise ValueError(f"A vocabulary has different words, none of them a mark of {MARKS}; received {wrong[:5]}.")
        self.words = [*MARKS, *words]
        self._numbers = {word: number for number, word in enumerate(self.words)}

    @classmethod
    def of(cls, sentences, size=None):
        """Makes the vocabulary of sentences: words by frequency, then by the alphabet; at most `size` tokens in all.

        Args:
            sentences: list of texts, words with a space between them.
            size: how many numbers there may be, the four marks included; None: as many as are needed.

        Raises:
            ValueError: what is no list of texts; a size without room for a word.
        """
        if size is not None and not (isinstance(size, Integral) and size > len(MARKS)):
            raise ValueError(f"A vocabulary has {len(MARKS)} marks, and words: size > {len(MARKS)}; received {size!r}.")
        counts = Counter(word for words in _split(sentences) for word in words)
        for mark in MARKS:
            counts.pop(mark, None)
        words = sorted(counts, key=lambda word: (-counts[word], word))
        return cls(words if size is None else words[: size - len(MARKS)])

    def __len__(self):
        return len(self.words)

    def __repr__(self):
        return f"Vocabulary of {len(self)} tokens: {' '.join(self.words[:8])} …"

    def tokens(self, sentences, length=None):
        """Numbers the words of sentences: int32 `[N, T]`, each with the end mark, then padding.

        Args:
            sentences: list of texts, words with a space between them; one that is not known becomes `<unk>`.
            length: T; None: what the longest sentence needs.

        Raises:
            ValueError: no sentences, an empty one, one of more than T − 1 words, or one that has a mark in it (but
                `<unk>`, which is a word like others).
        """
        split = _split(sentences)
        empty = [i for i, words in enumerate(split) if not words]
        if empty or not split:
            where = f"sentence {empty[0]} has none" if split else "there is no sentence"
            raise ValueError(f"Sentences have at least one word: {where}. Leave empty lines out.")
        if marked := {word for words in split for word in words} & set(MARKS) - {MARKS[UNKNOWN]}:
            raise ValueError(
                f"Sentences are words alone: tokens adds end mark and padding, and a decoder its start mark; leave "
                f"{sorted(marked)} out of them."
            )
        longest = max(split, key=len)
        if length is None:
            length = len(longest) + 1
        elif len(longest) >= length:
            raise ValueError(
                f"Sentences of {length} tokens have {length - 1} words and the end mark; one has {len(longest)} words: "
                f"{' '.join(longest[:8])} … Leave it out, or take a greater length."
            )
        tokens = np.full((len(split), length), PADDING, "int32")
        for row, words in zip(tokens, split, strict=True):
            row[: len(words)] = [self._numbers.get(word, UNKNOWN) for word in words]
            row[len(words)] = END
        return tokens

    def decode(self, tokens):
        """Writes the words of tokens `[N, T]` up to the end mark, a list of N sentences.

        Raises:
            ValueError: numbers that this vocabulary does not have.
        """
        tokens = np.asarray(tokens)
        if tokens.ndim != 2:
            raise ValueError(f"decode expects tokens [N, T]; received the shape {list(tokens.shape)}.")
        wrong = (tokens < 0) | (tokens >= len(self)) | (tokens != np.rint(tokens))
        if wrong.any():
            raise ValueError(
                f"decode expects whole numbers below {len(self)}, the size of this vocabulary; received "
                f"{tokens[wrong][0]:g}. Are these tokens of another one?"
            )
        sentences = []
        for row in tokens.astype(int):
            ends = np.flatnonzero((row == END) | (row == PADDING))
            sentences.append(" ".join(self.words[number] for number in row[: ends[0] if len(ends) else None]))
        return sentences


def _split(sentences):
    """The words of texts, a list of lists; raises ValueError for one text, and for what is none."""
    if isinstance(sentences, str):
        raise ValueError(f"A list of sentences is expected; received one text, {sentences[:40]!r}.")
    sentences = list(sentences)
    if other := [sentence for sentence in sentences if not isinstance(sentence, str)]:
        raise ValueError(f"Sentences are texts, words with a space between them; received {other[0]!r}.")
    return [sentence.split() for sentence in sentences]
