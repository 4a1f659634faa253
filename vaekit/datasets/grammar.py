r"""`grammar`: sentences of a small probabilistic grammar with a hidden topic, whose probabilities are known exactly.

A topic (one of ten) and a tense (past, present, future) are drawn first, then

    sentence → phrase verb phrase [preposition phrase] [adverb] </s>        phrase → determiner [adjective] noun

with each optional part in half of the sentences, and each phrase in singular or plural. Nouns, verbs and adjectives are
of the topic with probability 1 − ε, else of any topic, by Zipf's law: $p(\text{word number } r) \propto 1/r$. All other
words say nothing about the topic. A sentence has one reading, so its probability is a sum over topics alone.
"""

import functools
import math
from typing import NamedTuple

import numpy as np
from scipy.special import entr, rel_entr, softmax, xlogy

from .grammar_words import ADVERBS, DETERMINERS, PREPOSITIONS, TOPICS
from .registry import Splits, register
from .vocabulary import END, MARKS, PADDING, Vocabulary

TENSES = ("past", "present", "future")
SOME, THE = 0.5, 0.4  # probability of an optional part; of "the" among determiners


class Word(NamedTuple):
    """A word of the grammar: what it is, in which forms, of which topic, and its log-probability there."""

    kind: str
    number: int | None = None  # 0 singular, 1 plural, None both
    tense: int | None = None
    topic: int | None = None
    log_prob: float = 0.0


def plural(word):
    """Writes a noun's plural, or a verb's third person."""
    if word[-1] == "y" and word[-2] not in "aeiou":
        return f"{word[:-1]}ies"
    return word + ("es" if word.endswith(("s", "x", "z", "ch", "sh")) else "s")


def past(word):
    """Writes a regular verb's past."""
    if word[-1] == "y" and word[-2] not in "aeiou":
        return f"{word[:-1]}ied"
    return word + ("d" if word.endswith("e") else "ed")


def zipf(n):
    """Logarithms of probabilities ∝ 1/r of n words, a list."""
    log_p = -np.log(np.arange(1, n + 1))
    return (log_p - np.logaddexp.reduce(log_p)).tolist()


class Grammar:
    r"""The grammar of some words: it draws sentences, and knows their probabilities.

    Args:
        topics: dict of (nouns, verbs, adjectives), texts with a space between words, by topic.
        noise: ε, the probability that a word is of any topic.
    """

    def __init__(self, topics=TOPICS, noise=0.2):
        self.topics, self.noise = list(topics), float(noise)
        self.by_topic = [[text.split() for text in lists] for lists in topics.values()]
        shared, singular, plurals = DETERMINERS
        words = {shared: Word("determiner", log_prob=math.log(THE))}
        for number, several in enumerate((singular, plurals)):
            words |= {w: Word("determiner", number, log_prob=math.log((1 - THE) / len(several))) for w in several}
        words |= {w: Word("preposition", log_prob=-math.log(len(PREPOSITIONS))) for w in PREPOSITIONS}
        words |= {w: Word("adverb", log_prob=-math.log(len(ADVERBS))) for w in ADVERBS}
        words["will"] = Word("will", tense=2)
        for topic, (nouns, verbs, adjectives) in enumerate(self.by_topic):
            for word, log_p in zip(nouns, zipf(len(nouns)), strict=True):
                words[word] = Word("noun", 0, topic=topic, log_prob=log_p)
                words[plural(word)] = Word("noun", 1, topic=topic, log_prob=log_p)
            for word, log_p in zip(verbs, zipf(len(verbs)), strict=True):
                words[word] = Word("verb", 1, 1, topic, log_p)  # and after "will"
                words[plural(word)] = Word("verb", 0, 1, topic, log_p)
                words[past(word)] = Word("verb", None, 0, topic, log_p)
            for word, log_p in zip(adjectives, zipf(len(adjectives)), strict=True):
                words[word] = Word("adjective", topic=topic, log_prob=log_p)
        self.words, self.vocabulary = words, Vocabulary(list(words))
        self.length = 14  # of the longest: three phrases of three words, will, verb, preposition, adverb, end mark
        self._readings = [None] * len(MARKS) + list(words.values())

    # ---- drawing

    def sample(self, n, rng):
        """Draws n sentences.

        Returns: tokens int32 `[n, T]`, topics `[n]`, tenses `[n]`.
        """
        topics, tenses = rng.integers(len(self.topics), size=n), rng.integers(len(TENSES), size=n)
        drawn = [self._sentence(*pair, rng) for pair in zip(topics, tenses, strict=True)]
        return self.vocabulary.tokens(map(" ".join, drawn), self.length), topics, tenses

    def _sentence(self, topic, tense, rng):
        subject, number = self._phrase(topic, rng)
        verb = self._of_topic(topic, 1, rng)
        forms = [past(verb)], [verb if number else plural(verb)], ["will", verb]
        words = [*subject, *forms[tense], *self._phrase(topic, rng)[0]]
        if rng.random() < SOME:
            words += [PREPOSITIONS[rng.integers(len(PREPOSITIONS))], *self._phrase(topic, rng)[0]]
        return words + ([ADVERBS[rng.integers(len(ADVERBS))]] if rng.random() < SOME else [])

    def _phrase(self, topic, rng):
        number = int(rng.random() < 0.5)
        several = DETERMINERS[1 + number]
        words = [DETERMINERS[0] if rng.random() < THE else several[rng.integers(len(several))]]
        if rng.random() < SOME:
            words.append(self._of_topic(topic, 2, rng))
        noun = self._of_topic(topic, 0, rng)
        return [*words, plural(noun) if number else noun], number

    def _of_topic(self, topic, kind, rng):
        if rng.random() < self.noise:
            topic = rng.integers(len(self.topics))
        words = self.by_topic[topic][kind]
        return words[rng.choice(len(words), p=np.exp(zipf(len(words))))]

    # ---- probabilities

    def log_prob(self, tokens):
        r"""Computes $\log p(x) = \log \sum_k p(k)\, p(x|k)$ of tokens `[N, T]`, in nats, `[N]`; −∞ for no sentence."""
        return np.logaddexp.reduce(self.joint(tokens), axis=1)

    def posterior(self, tokens):
        """Computes the probabilities of the topics given tokens `[N, T]`, `[N, topics]`; NaN for no sentence."""
        with np.errstate(invalid="ignore"):
            return softmax(self.joint(tokens), axis=1)

    def tenses(self, tokens):
        """Reads the tenses of tokens `[N, T]`: numbers of `TENSES`, `[N]`; −1 for no sentence."""
        rows = np.asarray(tokens).astype(int)
        words = [[self._readings[number] for number in row] for row in rows]
        found = [next((word.tense for word in row if word and word.tense is not None), -1) for row in words]
        return np.where(np.isfinite(self.log_prob(rows)), found, -1)

    def joint(self, tokens):
        """Computes log p(topic, x), `[N, topics]`."""
        readings = [self._read(row) for row in np.asarray(tokens).astype(int)]
        counts = np.array([counts for _, counts in readings])  # of words by topic, [N, K]
        return np.array([log_p for log_p, _ in readings])[:, None] + self._topics_of(counts)

    def _topics_of(self, counts):
        """Computes log p(topic, topics of the words), `[..., K]`, from how many words are of each topic, `[..., K]`."""
        k = len(self.topics)
        own, other = 1 - self.noise + self.noise / k, self.noise / k
        others = counts.sum(axis=-1, keepdims=True) - counts
        return xlogy(counts, own) + xlogy(others, other) - math.log(k)

    def _read(self, row):
        """Reads a sentence: the log-probability of all but its topic, and the counts of its words by topic."""
        counts, none = np.zeros(len(self.topics)), (-np.inf, np.zeros(len(self.topics)))
        ends = np.flatnonzero(row == END)
        if not len(ends) or np.any(row[ends[0] + 1 :] != PADDING):
            return none
        words = [self._readings[number] for number in row[: ends[0]]]
        if None in words:
            return none
        total, place = -math.log(len(TENSES)), 0

        def take(kind):
            """Takes the next word, if it is of this kind, and counts it."""
            nonlocal total, place
            if place == len(words) or words[place].kind != kind:
                return None
            word, place = words[place], place + 1
            total += word.log_prob
            if word.topic is not None:
                counts[word.topic] += 1
            return word

        def phrase():
            """Reads a phrase: its number, None if there is none."""
            nonlocal total
            determiner = take("determiner")
            adjective = take("adjective")
            noun = take("noun")
            if not determiner or not noun or determiner.number not in (None, noun.number):
                return None
            total += math.log(0.5) + math.log(SOME if adjective else 1 - SOME)
            return noun.number

        number = phrase()
        will, verb = take("will"), take("verb")
        forms = {(1, 1)} if will else {(None, 0), (number, 1)}
        if number is None or not verb or (verb.number, verb.tense) not in forms or phrase() is None:
            return none
        with_preposition = take("preposition")
        if with_preposition and phrase() is None:
            return none
        with_adverb = take("adverb")
        total += sum(math.log(SOME if part else 1 - SOME) for part in (with_preposition, with_adverb))
        return (total, counts) if place == len(words) else none

    # ---- information

    @functools.cached_property
    def tokens_per_sentence(self):
        """The mean number of tokens, the end mark included."""
        phrase, extra = 2 + SOME, 1 / len(TENSES)
        return (2 + SOME) * phrase + 1 + extra + SOME + SOME + 1

    @functools.cached_property
    def entropy(self):
        r"""$H(x) = H(x|k) + I(x; k)$ in nats: the least that any model's mean −log p(x) can be."""
        kinds = [self._mean_entropy(kind) for kind in range(3)]  # of a noun, a verb, an adjective given their topics
        coin = _entropy([SOME, 1 - SOME])
        determiner = _entropy([THE, *[(1 - THE) / 3] * 3])
        phrase = math.log(2) + determiner + coin + kinds[0] + SOME * kinds[2]
        others = coin + SOME * math.log(len(PREPOSITIONS)) + coin + SOME * math.log(len(ADVERBS))
        of_topics = sum(p * self._topics_entropy(n) for n, p in self._topic_words.items())
        return math.log(len(TENSES)) + (2 + SOME) * phrase + kinds[1] + others + of_topics

    @functools.cached_property
    def perplexity(self):
        """exp(entropy / tokens a sentence): the least perplexity a word that any model can have."""
        return math.exp(self.entropy / self.tokens_per_sentence)

    @functools.cached_property
    def topic_information(self):
        r"""$I(x; k) = H(k) - H(k|x)$ in nats: what a sentence tells about its topic."""
        return math.log(len(self.topics)) - sum(p * self._left(n) for n, p in self._topic_words.items())

    @property
    def information(self):
        """What a sentence tells about its topic and its tense, in nats: it always shows its tense."""
        return self.topic_information + math.log(len(TENSES))

    def _mean_entropy(self, kind):
        """The entropy of a word given its topic; topics are equally probable, whatever the sentence's is."""
        return float(np.mean([_entropy(np.exp(zipf(len(lists[kind])))) for lists in self.by_topic]))

    @functools.cached_property
    def _topic_words(self):
        """The probabilities of how many words of topics a sentence has: dict."""
        counts = {}
        for third in (0, 1):  # a phrase after a preposition
            phrases = 2 + third
            for adjectives in range(phrases + 1):
                p = (SOME if third else 1 - SOME) * math.comb(phrases, adjectives) * SOME**phrases
                counts[phrases + 1 + adjectives] = counts.get(phrases + 1 + adjectives, 0) + p
        return counts

    @functools.lru_cache  # noqa: B019
    def _compositions(self, n):
        """All ways in which n words may be of K topics: counts `[M, K]`, and log p of each, `[M]`."""
        rows = np.array(list(_compositions(n, len(self.topics))))
        ways = math.lgamma(n + 1) - np.sum([[math.lgamma(c + 1) for c in row] for row in rows], axis=1)
        return rows, ways

    def _topics_entropy(self, n):
        """The entropy of the topics of n words, in their order."""
        rows, ways = self._compositions(n)
        log_p = np.logaddexp.reduce(self._topics_of(rows), axis=1)  # of one order
        return float(np.sum(np.exp(ways) * entr(np.exp(log_p))))

    def _left(self, n):
        """The mean entropy of the sentence's topic, once those of n words are known."""
        rows, ways = self._compositions(n)
        joint = self._topics_of(rows)
        log_p = np.logaddexp.reduce(joint, axis=1, keepdims=True)
        return float(-np.sum(np.exp(ways)[:, None] * rel_entr(np.exp(joint), np.exp(log_p))))


def _entropy(p):
    return float(np.sum(entr(p)))


def _compositions(n, k):
    """Yields all lists of k whole numbers from 0 that add up to n."""
    if k == 1:
        yield (n,)
        return
    for first in range(n + 1):
        for rest in _compositions(n - first, k - 1):
            yield (first, *rest)


@register("grammar")
def grammar(train=20_000, validation=2_000, test=2_000, noise=0.2, seed=0):
    """Sentences of a small grammar with ten topics, whose log p(x) is known exactly; made from a seed, no network."""
    source = Grammar(noise=noise)
    rng = np.random.default_rng(seed)
    drawn = [source.sample(n, rng) for n in (train, validation, test)]
    splits = Splits(*(tokens for tokens, _, _ in drawn))
    return {
        "title": "grammar",
        **splits._asdict(),
        "labels": Splits(*(topics for _, topics, _ in drawn)),
        "description": f"Sentences of at most {source.length} tokens of a probabilistic grammar with ten topics (the "
        f"labels) and three tenses; each word of a topic is of any topic with probability {noise:g}. Drawn with seed "
        f"{seed}, {train}/{validation}/{test}. Entropy {source.entropy:.2f} nats a sentence.",
        "source": "vaekit",
        "vocabulary": source.vocabulary,
    }
