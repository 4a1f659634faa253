"""Paper 4, sentences: its networks have the weights that the papers name, its schedule is theirs, training resumes."""

import dataclasses
import types

import keras
import numpy as np
import pytest

import vaekit as vk
from vaekit.datasets.grammar import Grammar
from vaekit.papers import dieng2018
from vaekit.papers.cell import FIGURES
from vaekit.papers.dieng2018 import text as paper

TINY = dataclasses.replace(
    paper.PTB,
    **dict(embedding=4, units=5, batch_size=16, multiple=7, learning_rate=0.01),
    **dict(warm_up=1, patience=1, most_halvings=1, samples=5),
)


@pytest.fixture(scope="module")
def sentences():
    data = vk.datasets.load("grammar", train=60, validation=20, test=20)
    return dataclasses.replace(data, train=data.train[:60])


def count(network):
    return sum(int(np.prod(w.shape)) for w in network.trainable_weights)


@pytest.mark.once
@pytest.mark.parametrize("skip", [False, True])
def test_networks_have_the_papers_weights(sentences, skip):
    model, words = paper.lstm(sentences, 32, skip, settings=paper.PTB, seed=0), len(sentences.vocabulary)
    lstm = lambda inputs: 4 * 256 * (inputs + 256 + 1)  # noqa: E731
    assert count(model.encoder) == words * 256 + lstm(256) + 2 * 257 * 32
    decoder = words * 256 + lstm(256 + 32) + (256 + 32 * skip + 1) * words + 33 * 256  # z beside words, and as h₀
    assert count(model.decoder) == decoder
    largest = max(np.abs(w).max() for w in model.get_weights() if w.dtype == "float32")
    assert 0.09 < largest <= 0.1  # biases, too: all of them U(−0.1, 0.1)
    other = paper.lstm(sentences, 32, skip, settings=paper.PTB, seed=0)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), other.get_weights(), strict=True))


@pytest.mark.thorough
@pytest.mark.alternate
@pytest.mark.parametrize("name", ["vae-3", "skip-sa-vae-3", "lstm_lm"])
def test_models_train_and_are_measured(sentences, name, tmp_path):
    settings = dataclasses.replace(TINY, refinement_steps=2)
    model = paper.build(sentences, name, settings, seed=0)
    assert (model.refinement is not None) == ("sa" in name) and model.networks[-1].skip == ("skip" in name)
    assert bool(model.latents) == ("vae" in name)
    history = paper.fit(model, sentences, 2, settings, verbose=0).history
    assert history["bound"][-1] > history["bound"][0]
    figures = paper.measure(model, sentences, progress=False, settings=settings)
    others = {"log p(x)"} if name == "lstm_lm" else {"ELBO", "KL", "MI", "active units"}
    assert set(figures) == {"perplexity", *others} and figures["perplexity"].value > 1
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    few = sentences.test[:3]
    assert loaded.evaluate(few, verbose=0, seed=0) == pytest.approx(model.evaluate(few, verbose=0, seed=0), rel=1e-5)


@pytest.mark.thorough
@pytest.mark.once
def test_a_broken_training_goes_on_to_the_same_bits(sentences, tmp_path):
    """Dropout, batches by length, and the halving of the rate included; from a file, into a model that has gone on."""

    def trained(model, epochs, path=None):
        paper.fit(model, sentences, epochs, TINY, verbose=0, checkpoint=path)
        return model.get_weights()

    first, second = (paper.lstm(sentences, 3, settings=TINY, seed=4) for _ in range(2))
    whole, path = trained(first, 3), tmp_path / "training.npz"
    trained(second, 2, path)
    for a, b in zip(whole, trained(first, 3, path), strict=True):
        np.testing.assert_array_equal(a, b)
    other = dataclasses.replace(TINY, multiple=3)
    with pytest.raises(
        vk.training.checkpoint.CheckpointError, match="other batches \\(its batches multiple: 7, now: 3"
    ):
        paper.fit(first, sentences, 4, other, verbose=0, checkpoint=path)


def rates(bounds, **options):
    """The learning rates after each epoch, by a schedule that sees these validation bounds."""
    halving = paper.Halving(**options)
    model = types.SimpleNamespace(optimizer=types.SimpleNamespace(learning_rate=1.0), stop_training=False)
    halving.set_model(model)
    found = []
    for epoch, bound in enumerate(bounds):
        halving.on_epoch_end(epoch, {"val_bound": bound})
        found.append("end" if model.stop_training else model.optimizer.learning_rate)
    return found


@pytest.mark.once
def test_the_rate_is_halved_as_the_papers_say():
    # Yahoo: from the first epoch ≥ 3 without a better bound on, after every epoch, until it is below 0.2
    lasting = dict(patience=1, first=3, lasting=True, least=0.2)
    assert rates([-9, -10, -8, -8.5, -7, -6], **lasting) == [1, 1, 1, 0.5, 0.25, "end"]
    # Penn Treebank: after two epochs without a better one, at most twice
    some = dict(patience=2, most=2)
    assert rates([-9, -9, -9, -8, -8, -8, -8, -8, -8], **some) == [1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, "end", "end"]


@pytest.mark.once
def test_cells_of_text():
    cells = {cell.name: cell for cell in dieng2018.CELLS if cell.table.startswith("text")}
    assert len(cells) == 23 and not any(cell.missing for cell in cells.values())
    assert cells["yahoo-lstm_lm"].reported == {"perplexity": 61.6} and cells["ptb-lstm_lm"].metric == paper.ALONE
    ptb = cells["ptb-vae-32"]
    assert ptb.reported == {"perplexity": 105.48, "ELBO": -102.1} and ptb.settings == paper.PTB and not ptb.differs
    assert np.exp(102.1 / 21.917) == pytest.approx(105.48, abs=0.01)  # as many tokens a sentence as the test file has
    assert cells["yahoo-skip-vae-32"].settings.units == 1024 and cells["yahoo_validation-vae-32"].differs


@pytest.mark.once
def test_cells_of_the_grammar_have_its_exact_figures(sentences):
    grammar = Grammar()
    exact = {"perplexity": grammar.perplexity, "ELBO": -grammar.entropy, "MI": grammar.information}
    cells = [cell for cell in dieng2018.CELLS if cell.data == "grammar"]
    assert len(cells) == 4
    for cell in cells:
        assert cell.reported == {name: round(value, 2) for name, value in exact.items()} and cell.reference == "exact"
        assert f"topic ({grammar.topic_information:.2f} nats)" in cell.metric and cell.settings == paper.GRAMMAR
        assert cell.build(sentences, cell.options["model"], paper.GRAMMAR, 0).refinement is None or "sa" in cell.name


@pytest.mark.once
def test_the_grammar_judges_a_model_by_its_probabilities_and_samples(sentences):
    """A model of the grammar's own sentences would keep everything; one that knows nothing draws no sentence."""
    settings = dataclasses.replace(TINY, samples=2)
    model = paper.build(sentences, "vae-3", settings, seed=0)
    figures = paper.measure_grammar(model, sentences, progress=False, settings=settings)
    assert set(figures) <= set(FIGURES)
    log_p = vk.evaluation.perplexity(model, sentences.test, 2, seed=0, progress=False).mean
    exact = Grammar().log_prob(sentences.test).mean()
    assert figures["KL(grammar‖model)"].value == pytest.approx(exact - log_p, rel=1e-5) and exact - log_p > 10
    assert figures["grammatical samples"].value == figures["topic kept"].value == figures["tense kept"].value == 0
    assert figures["distinct samples"].value == 20

    class Copy:  # decodes and draws the test sentences themselves
        decoder = property(lambda self: self)
        sample = lambda self, n, seed: sentences.test  # noqa: E731
        encode = lambda self, x, seed: x  # noqa: E731
        generate = lambda self, z, temperature: z  # noqa: E731

    judged = paper.judged(Copy(), sentences, seed=0)
    assert judged["grammatical samples"].value == judged["topic kept"].value == judged["tense kept"].value == 100
    assert judged["samples of one topic"].value > 80


@pytest.mark.once
def test_operations_are_counted_by_the_weights(sentences):
    """Of a weight 6 for each token: all but those of embeddings, biases, posterior and first state."""
    model, words = paper.lstm(sentences, 3, True, settings=TINY), len(sentences.vocabulary)
    kernels = [v for v in model.trainable_variables if len(v.shape) == 2 and v.shape[0] != words]
    kernels = [v for v in kernels if v.shape not in ((5, 3), (3, 5))]
    assert paper.operations("skip-vae-3", words, TINY) == 6 * sum(int(np.prod(v.shape)) for v in kernels)
    alone = paper.lstm(sentences, 0, settings=TINY)
    kernels = [v for v in alone.trainable_variables if len(v.shape) == 2 and v.shape[0] != words]
    assert paper.operations("lstm_lm", words, TINY) == 6 * sum(int(np.prod(v.shape)) for v in kernels)
    assert paper.operations("sa-vae-3", words, TINY) > 50 * paper.operations("vae-3", words, TINY)


@pytest.mark.once
def test_data_without_words_are_refused():
    with pytest.raises(ValueError, match="has no vocabulary"):
        paper.lstm(vk.datasets.load("digits"))
