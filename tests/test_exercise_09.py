"""Exercise 09: oracles against SciPy, PyTorch's formulas by hand, enumeration; what its experiment and model reach."""

from pathlib import Path

import numpy as np
import pytest
from checking import cases_and_values, checked
from keras import ops
from scipy import stats
from scipy.special import log_softmax

import vaekit as vk
from vaekit.course.exercises import e09
from vaekit.course.observe import VALUE
from vaekit.course.questions import sentences
from vaekit.course.questions.language import Text

QUESTIONS = {question.name: question for question in e09.QUESTIONS}
cases, expected = cases_and_values(QUESTIONS)
once = pytest.mark.once  # NumPy alone


# ---- 1 to 5


@once
def test_perplexity_word_by_word():
    for case in cases("perplexity"):
        log_p, words = [], 0
        for logits, row in zip(case.inputs["logits"], case.inputs["tokens"], strict=True):
            length = list(row).index(e09.END) + 1
            log_p.append(sum(log_softmax(logits[t])[row[t]] for t in range(length)))
            words += length
        found = expected("perplexity", case.inputs)
        np.testing.assert_allclose(found["log p"], log_p, rtol=1e-9)
        assert found["perplexity"] == pytest.approx(np.exp(-sum(log_p) / words), rel=1e-9)


@once
def test_the_exact_floor_by_enumeration():
    sentences_ = [(1 / 8 / 4, 2)] * 8 + [(1 / 8 * 3 / 4 / 4, 3)] * 32
    p, words = np.transpose(sentences_)
    assert p.sum() == pytest.approx(1)
    floor = np.exp(-np.sum(p * np.log(p)) / np.sum(p * words))
    assert floor == pytest.approx(float(QUESTIONS["exact_floor"].targets(None)[VALUE].value))


@pytest.mark.alternate
def test_a_step_is_keras_own():
    import keras

    for case in QUESTIONS["skip_step"].cases(0)[:1]:
        g = {name: value.astype("float32") for name, value in case.inputs.items()}
        cell = keras.layers.LSTMCell(g["h"].shape[1])
        cell.build((None, g["kernel"].shape[0]))
        cell.set_weights([g["kernel"], g["recurrent"], g["bias"]])
        h, (_, c) = cell(np.concatenate([g["word"], g["z"]], axis=1), [g["h"], g["c"]])
        found = expected("skip_step", case.inputs)
        np.testing.assert_allclose(ops.convert_to_numpy(h), found["state"], atol=1e-5)
        np.testing.assert_allclose(ops.convert_to_numpy(c), found["memory"], atol=1e-5)
        logits = np.concatenate([found["state"], g["z"]], axis=1) @ g["out_kernel"] + g["out_bias"]
        np.testing.assert_allclose(found["logits"], logits, rtol=1e-6)


@once
def test_words_are_hidden_one_by_one():
    for case in cases("shown_words"):
        g, found = case.inputs, expected("shown_words", case.inputs)[VALUE]
        for row, noise, shown in zip(g["tokens"], g["noise"], found, strict=True):
            before = [2] + [1 if w > 3 and u < g["rate"] else w for w, u in zip(row, noise, strict=True)]
            assert shown.tolist() == before[:-1]
        hidden = (g["noise"] < g["rate"]) & (g["tokens"] > 3)
        assert hidden.any() and not hidden[g["tokens"] > 3].all()


@once
def test_steps_climb_the_bound_at_their_draws():
    """By differences of log p(x, z) − log q(z), computed by SciPy."""
    for case in cases("refined", 1):
        g = case.inputs

        def bound(mean, log_variance, noise, g=g):
            z = mean + np.exp(log_variance / 2) * noise
            log_joint = stats.norm.logpdf(g["x"], z @ g["weights"]).sum() + stats.norm.logpdf(z).sum()
            return log_joint - stats.norm.logpdf(z, mean, np.exp(log_variance / 2)).sum()

        at = [g["mean"], g["log_variance"]]
        for noise in g["noise"]:
            slopes = []
            for which in (0, 1):
                slope = np.empty_like(at[which])
                for i in range(slope.size):
                    ends = []
                    for step in (1e-6, -1e-6):
                        moved = [a.copy() for a in at]
                        moved[which].flat[i] += step
                        ends.append(bound(*moved, noise))
                    slope.flat[i] = (ends[0] - ends[1]) / 2e-6
                slopes.append(slope)
            at = [a + g["rate"] * slope for a, slope in zip(at, slopes, strict=True)]
        found = expected("refined", g)
        np.testing.assert_allclose(found["mean"], at[0], atol=1e-6)
        np.testing.assert_allclose(found["log variance"], at[1], atol=1e-6)


# ---- 6

MENDED = e09.MENDED


@once
def test_the_mended_perplexity_sentence_by_sentence():
    for case in cases("mended_perplexity"):
        g, total, words = case.inputs, 0.0, 0
        for n, row in enumerate(g["tokens"]):
            length = list(row).index(e09.END) + 1
            weights = np.exp(g["log_p"][:, n, :length].sum(axis=1) - g["log_ratio"][:, n])
            total, words = total + np.log(weights.mean()), words + length
        assert MENDED.text.run(g)[0] == pytest.approx(np.exp(-total / words), rel=1e-9)


# ---- 7

TEMPERATURE = e09.TEMPERATURE


@once
@pytest.mark.parametrize("seed", [None, 1])
def test_a_temperature_fitted_to_unseen_words_reaches_every_goal(seed):
    names = [argument.partition("[")[0] for argument in ("train_logits", "train_words", "logits", "words")]
    assert checked(TEMPERATURE, Text("temperature", names, e09._CALIBRATED).function(), seed).earned == 4


@once
def test_the_true_temperature_loses_nothing_and_training_words_mislead():
    for problem in e09._overconfident(np.random.default_rng(2)):
        found = e09._heated(None, **problem, temperature=problem["sharper"])
        assert found["lost"] == pytest.approx(0, abs=1e-12) and found["off"] < 1e-9
        swapped = {"logits": problem["train_logits"], "words": problem["train_words"]}
        by_training = Text("temperature", ["logits", "words"], e09._CALIBRATED).function()(**swapped)
        assert by_training["temperature"] < 0.8 * problem["sharper"]


# ---- 8

TRAINED = e09.TRAINED


@once
def test_the_floor_is_the_entropy_of_its_sentences():
    """Their probability, by counting: topic, determiners, nouns, verb, adverb."""
    x = e09._sentences(np.random.default_rng(0), 20_000)
    adverb = x[:, 6] == e09.END
    log_p = -np.log(e09.TOPICS * (e09.DETERMINERS * e09.NOUNS) ** 2 * e09.VERBS * 2) - adverb * np.log(e09.ADVERBS)
    assert -log_p.mean() == pytest.approx(TRAINED.floor, abs=0.02)
    assert x.max() == e09.VOCABULARY - 1 and set(np.unique(x[:, 5][~adverb])) == {e09.END}
    whole, counts = np.unique(x[:, 1:3], axis=0, return_counts=True)
    assert len(whole) == e09.TOPICS * e09.NOUNS * e09.VERBS and counts.min() > 100


@pytest.mark.alternate
@pytest.mark.parametrize("skip", [False, True])
def test_a_decoder_is_run_as_vaekit_does(skip):
    from keras.layers import LSTM, Embedding

    layers = [Embedding(9, 4), LSTM(5, return_sequences=True), vk.layers.Tokens(6, 9)]
    decoder = vk.layers.AutoregressiveTokens(layers, skip=skip)
    z = np.random.default_rng(0).normal(size=(3, 2)).astype("float32")
    x = e09._tokens(np.random.default_rng(1), 3, 6, 9)
    ours = decoder(z).log_prob(x)
    arrays = dict(zip(sentences.ARRAYS, map(np.asarray, decoder.get_weights()), strict=True))
    np.testing.assert_allclose(ops.convert_to_numpy(ours), sentences.log_p(x, z, arrays), rtol=1e-4)


@once
def test_advice_tells_kinds_of_failure_apart():
    usual = {"read": {"σ": np.nan}, "kl": 0.1, "bound": -10.0, "information": 0.1, "fall": 0.1}
    usual |= {"exchanged": np.nan, "alone": -30.0}

    def advice(part="good", **changes):
        return TRAINED.advice(usual | changes, part)[0]

    assert advice("informed") == "collapsed"
    assert advice(bound=-12.0) == advice(bound=-10.4, kl=1.8, information=1.5, fall=3.0) == "unfinished"
    assert advice("informed", bound=-10.4, kl=1.8, information=1.5, fall=0.2) == "unused"
    assert advice(kl=6.0, bound=-10.5) == "dear_codes"
    assert advice(bound=-40.0) == "worse_than_any_word" and advice(bound=np.nan) == "not_finite"
    assert advice(bound=-12.0, read={"σ": -10.0}) == "not_log_variance"
    assert advice(bound=-13.0, exchanged=-10.4) == "exchanged" and advice(bound=-13.0, alone=-10.6) == "other_codes"


@once
def test_numbers_of_the_text():
    (path,) = (Path(__file__).parents[1] / "solutions" / "source").glob("09_*.py")
    text = path.read_text(encoding="utf-8").replace("\n# ", " ")
    assert {name: goal.value for name, goal in TEMPERATURE.goals.items()} == {"perplexity": 0.02, "variety": 6}
    for said in ("at most 0.02 |", "at most 6 % |", "for $-13$ (*words*), $-10.6$ (*fair*) and $-10.45$ nats (*good*)"):
        assert text.count(said) == 1, said
    assert list(TRAINED.bounds.values()) == [-13, -10.6, -10.45] and "by 1.3 nats" in text and TRAINED.informed == 1.3
    assert TRAINED.counts == (4000, 500) and "4000 sentences" in text and "500 new sentences" in text
    assert f"{TRAINED.floor:.2f} nats a sentence" in text and f"from 0 to {e09.VOCABULARY - 1}" in text
    assert (TRAINED.most_latents, TRAINED.most_units) == (10, 64)
