"""Text: vocabularies, the grammar's exact probabilities, and loaders of sentences."""

import itertools
import math

import numpy as np
import pytest

from vaekit import datasets
from vaekit.datasets import Vocabulary
from vaekit.datasets.docstrings import first_sentences
from vaekit.datasets.grammar import SOME, Grammar, past, plural
from vaekit.datasets.grammar_words import ADVERBS, PREPOSITIONS, TOPICS

pytestmark = pytest.mark.once


def test_words_become_numbers_and_come_back():
    sentences = ["the fox saw the owl", "the owl", "an owl <unk>"]
    vocabulary = Vocabulary.of(sentences)
    assert vocabulary.words == ["<pad>", "<unk>", "<s>", "</s>", "owl", "the", "an", "fox", "saw"]  # by frequency
    tokens = vocabulary.tokens(sentences, length=7)
    assert tokens.dtype == "int32" and tokens.tolist()[1:] == [[5, 4, 3, 0, 0, 0, 0], [6, 4, 1, 3, 0, 0, 0]]
    assert vocabulary.decode(tokens) == sentences
    assert vocabulary.tokens(["the bear"]).tolist() == [[5, 1, 3]] and len(vocabulary) == 9
    assert Vocabulary.of(sentences, size=6).words[4:] == ["owl", "the"]
    assert vocabulary.decode(np.array([[5.0, 4, 4]])) == ["the owl owl"]  # without an end mark


WRONG = {
    "received \\['a b'\\]": lambda: Vocabulary(["a b"]),
    "different words": lambda: Vocabulary(["a", "a"]),
    "none of them a mark": lambda: Vocabulary(["</s>"]),
    "sentence 1 has none": lambda: Vocabulary(["a"]).tokens(["a", " "]),
    "there is no sentence": lambda: Vocabulary(["a"]).tokens([]),
    "received one text, 'a a'": lambda: Vocabulary(["a"]).tokens("a a"),
    "received one text, 'a b'": lambda: Vocabulary.of("a b"),
    "size > 4; received 3": lambda: Vocabulary.of(["a b"], size=3),
    "texts, words with a space": lambda: Vocabulary.of([["a", "b"]]),
    "received b'a'": lambda: Vocabulary(["a"]).tokens([b"a"]),
    "leave \\['<s>'\\] out": lambda: Vocabulary(["a"]).tokens(["<s> a"]),
    "leave \\['</s>', '<pad>'\\] out": lambda: Vocabulary(["a"]).tokens(["a <pad>", "a </s>"]),
    "have 2 words and the end mark; one has 3": lambda: Vocabulary(["a"]).tokens(["a", "a a a"], length=3),
    "tokens \\[N, T\\]": lambda: Vocabulary(["a"]).decode([4, 3]),
    "of another one": lambda: Vocabulary(["a"]).decode([[9, 3]]),
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_words_and_numbers_get_one_clear_message(message):
    with pytest.raises(ValueError, match=message):
        WRONG[message]()


# ---- the grammar

TINY = {"one": ("fox owl", "chase", "shy"), "two": ("car", "park repair", "fast late")}


@pytest.fixture(scope="module")
def tiny():
    return Grammar(TINY, noise=0.3)


def test_words_of_the_grammar_stand_once():
    forms = [[*n, *map(plural, n), *v, *map(plural, v), *map(past, v), *a] for n, v, a in Grammar().by_topic]
    words = [*itertools.chain(*forms), *ADVERBS, *PREPOSITIONS, "will"]
    assert len(set(words)) == len(words) and len(TOPICS) == 10
    assert [plural(w) for w in ("fox", "cherry", "essay", "bench")] == ["foxes", "cherries", "essays", "benches"]
    assert [past(w) for w in ("ferry", "bake", "boil", "play")] == ["ferried", "baked", "boiled", "played"]


def phrases(grammar):
    """All phrases of the tiny grammar, words and number."""
    words = grammar.words
    nouns = [(w, word.number) for w, word in words.items() if word.kind == "noun"]
    adjectives = [w for w, word in words.items() if word.kind == "adjective"]
    return [
        ([d, *a, n], number)
        for d, of in words.items()
        if of.kind == "determiner"
        for n, number in nouns
        if of.number in (None, number)
        for a in ([], *([adjective] for adjective in adjectives))
    ]


def test_probabilities_of_all_short_sentences_add_up(tiny):
    """Those without a preposition and an adverb, a quarter of all, enumerated."""
    forms = {(w, word.number, word.tense) for w, word in tiny.words.items() if word.kind == "verb"}
    every = phrases(tiny)
    objects = np.array([tiny.log_prob(tiny.vocabulary.tokens([" ".join([*every[0][0], "parked", *p])]))[0]
                        for p, _ in every])  # fmt: skip
    assert np.isfinite(objects).all()
    total = 0.0
    for subject, number in every[::7]:  # p(sentence) for all verbs and objects, of some subjects
        verbs = [[w] for w, n, _ in forms if n in (None, number)] + [
            ["will", w] for w, n, t in forms if (n, t) == (1, 1)
        ]
        rows = [" ".join([*subject, *verb, *thing]) for verb in verbs for thing, _ in every]
        total += np.exp(tiny.log_prob(tiny.vocabulary.tokens(rows))).sum()
    alone = sum(np.exp(_phrase_log_prob(tiny, subject)) for subject, _ in every[::7])
    assert total == pytest.approx(alone * (1 - SOME) ** 2, rel=1e-9)


def _phrase_log_prob(grammar, words):
    """log p of a phrase, by hand: topics are equally probable, so a word's probability is the mean over topics."""
    by_topic = np.zeros(2)
    total = math.log(0.5) + math.log(SOME)
    for word in map(grammar.words.get, words):
        total += word.log_prob
        if word.topic is not None:
            by_topic += [math.log(0.85 if word.topic == k else 0.15) for k in range(2)]
    return total + np.logaddexp.reduce(by_topic) - math.log(2)


@pytest.mark.parametrize(
    "source", [Grammar(TINY, noise=0.3), Grammar(TINY, noise=0.0), Grammar()], ids=["tiny", "no noise", "whole"]
)
def test_entropy_and_information_are_those_of_draws(source):
    tokens, topics, tenses = source.sample(4000, np.random.default_rng(1))
    np.testing.assert_array_equal(source.tenses(tokens), tenses)
    log_p, posterior = source.log_prob(tokens), source.posterior(tokens)
    assert source.entropy == pytest.approx(-log_p.mean(), abs=4 * log_p.std() / 4000**0.5)
    with np.errstate(divide="ignore", invalid="ignore"):  # 0 · log 0
        left = -np.nansum(posterior * np.log(posterior), axis=1)
    expected = math.log(len(source.topics)) - left
    assert source.topic_information == pytest.approx(expected.mean(), abs=4 * expected.std() / 4000**0.5 + 1e-9)
    counts = (tokens > 0).sum(axis=1)
    assert source.tokens_per_sentence == pytest.approx(counts.mean(), abs=4 * counts.std() / 4000**0.5)
    assert source.perplexity == pytest.approx(math.exp(source.entropy / source.tokens_per_sentence))
    assert source.information == pytest.approx(source.topic_information + math.log(3))
    # calibrated: of topics with probability p, a share p is right
    assert posterior[np.arange(4000), topics].mean() == pytest.approx((posterior**2).sum(axis=1).mean(), abs=0.02)


def test_what_is_no_sentence_has_no_probability(tiny):
    good = "the shy fox parked two cars near the owl today"
    wrong = [
        good.replace("two cars", "two car"),
        good.replace("parked two", "parked parked two"),
        good.replace("the shy fox", "every shy foxes"),
        good.replace("parked", "park"),
        good.replace("parked", "will parks"),
        good.replace("shy", "<unk>"),
        good + " today",
        "fox parked the car",
        "the fox parked",
        "the fox parked the car near",
    ]
    log_p = tiny.log_prob(tiny.vocabulary.tokens([good, *wrong]))
    assert np.isfinite(log_p[0]) and np.all(log_p[1:] == -np.inf)
    assert tiny.tenses(tiny.vocabulary.tokens([good, *wrong])).tolist() == [0] + [-1] * len(wrong)
    assert np.isnan(tiny.posterior(tiny.vocabulary.tokens(wrong))).all()
    no_end = tiny.vocabulary.tokens([good])[:, :-1]
    assert tiny.log_prob(no_end) == -np.inf


def test_the_grammar_is_made_from_a_seed():
    data, again, other = (datasets.load("grammar", train=50, validation=5, test=10, seed=s) for s in (0, 0, 1))
    assert data.event_shape == (14,) and data.vocabulary.decode(data.test) == again.vocabulary.decode(again.test)
    assert (data.train != other.train).any() and data.labels.test.shape == (10,)
    assert "grammar: with labels" in repr(data)


# ---- loaders


def test_docstrings_are_read_from_a_folder_without_running_it(tmp_path):
    code = '''"""The module's {0} sentence. Another."""
raise SystemExit
class C:
    """A class of {0},
    in two lines.

    More."""
    def method(self):
        """Short."""
'''
    numbers = "one two three four five six seven eight".split()
    for number in numbers:
        (tmp_path / number).mkdir()
        (tmp_path / number / "module.py").write_text(code.format(number))
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "module.py").write_text(code.format("test"))
    (tmp_path / "broken.py").write_text("def (")
    found = ["the module's one sentence .", "a class of one , in two lines .", "short ."]
    assert first_sentences(tmp_path / "one" / "module.py") == found
    data = datasets.load("docstrings", folder=tmp_path)
    texts = [data.vocabulary.decode(part) for part in (data.train, data.validation, data.test)]
    assert sorted(map(len, texts)) == [1, 2, 13] or sum(map(len, texts)) == 16
    assert len(set(np.concatenate([*data.labels[:3]]))) == 8 and "short ." not in sum(texts, [])
    with pytest.raises(ValueError, match="is none"):
        datasets.load("docstrings", folder=tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="too few"):
        datasets.load("docstrings", folder=tmp_path / "empty")
    assert len(datasets.load("docstrings").train) > 2000  # the standard library


@pytest.mark.parametrize(
    ("name", "sizes", "tokens"),
    [("ptb", (42068, 3370, 3761), 82_430), ("yahoo_validation", (9000, 1000, 10_000), 798_673)],
)
def test_files_of_sentences(name, sizes, tokens, mirror):
    data = datasets.load(name)
    assert tuple(map(len, (data.train, data.validation, data.test))) == sizes
    assert np.count_nonzero(data.test) == tokens  # words and end marks, as the papers count them
    assert data.train.max() < len(data.vocabulary) and data.vocabulary.words[1] == "<unk>"


def test_yahoo_says_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("VAEKIT_DATA", str(tmp_path))
    with pytest.raises(datasets.DatasetError, match=r"yahoo.train.txt.*no public address"):
        datasets.load("yahoo")
