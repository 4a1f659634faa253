"""Likelihoods of token sequences: exact sums, causality, samples, padding, beam search."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops
from networks import array, normal, randomize

import vaekit as vk
from vaekit.layers import AutoregressiveTokens, Tokens

L = keras.layers
VOCABULARY, LENGTH = 6, 4  # padding, unknown, start, end, and two words


def decoder(kind="LSTM", length=LENGTH, **options):
    between = {
        "LSTM": lambda: [L.LSTM(5, return_sequences=True)],
        "two GRUs": lambda: [L.GRU(5, return_sequences=True), L.Dropout(0.5), L.GRU(4, return_sequences=True)],
        "convolutions": lambda: [
            L.Conv1D(5, 2, padding="causal", activation="tanh"),
            L.LayerNormalization(),
            L.Conv1D(4, 2, padding="causal", dilation_rate=2, activation="tanh"),
            L.Dense(4, "tanh"),
        ],
    }[kind]()
    network = AutoregressiveTokens([L.Embedding(VOCABULARY, 3), *between, Tokens(length, VOCABULARY)], **options)
    network(normal(1, 2))
    randomize(network)
    return network


KINDS = [("LSTM", {}), ("LSTM", {"skip": True, "initial_state": True}), ("two GRUs", {"skip": True}),
         ("convolutions", {"skip": True})]  # fmt: skip


def every_sequence(length=LENGTH):
    """All sequences that Tokens knows: of any tokens but padding, up to the end mark."""
    words = [token for token in range(1, VOCABULARY) if token != 3]
    ended = [(*s, 3) for n in range(length) for s in itertools.product(words, repeat=n)]
    rows = [*ended, *itertools.product(words, repeat=length)]
    return np.array([row + (0,) * (length - len(row)) for row in rows], "float32")


@pytest.mark.alternate
@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_probabilities_of_all_sequences_sum_to_one_and_depend_on_z(kind, options):
    x, z = every_sequence(), normal(3, 2)
    network = decoder(kind, **options)
    log_p = array(vk.backend.compile(lambda: network(z).log_prob(x[:, None]), network.variables)())  # [all, 3]
    np.testing.assert_allclose(np.exp(log_p).sum(axis=0), 1, rtol=1e-5)
    assert np.ptp(log_p, axis=1).min() > 1e-3


@pytest.mark.alternate
@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_draws_have_the_probabilities_that_are_computed(kind, options):
    x, n = every_sequence(), 20_000
    network = decoder(kind, **options)
    z = np.tile(normal(1, 2), (n, 1))
    drawn = array(network(z).sample(seed=vk.backend.seed(1)))
    assert drawn.shape == (n, LENGTH)
    number = {tuple(row): i for i, row in enumerate(x.tolist())}
    counts = np.bincount([number[tuple(row)] for row in drawn.tolist()], minlength=len(x))
    p = np.exp(array(network(z[:1]).log_prob(x[:, None]))[:, 0])
    assert np.sum((counts - n * p) ** 2 / (n * p)) < len(x) + 5 * np.sqrt(2 * len(x))  # χ²


@pytest.mark.alternate
@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_the_most_probable_sequence_is_found(kind, options):
    x, z = every_sequence(), normal(4, 2)
    network = decoder(kind, **options)
    log_p = array(network(z).log_prob(x[:, None]))  # [all, 4]
    tokens, score = network.search(z, beams=200)
    np.testing.assert_array_equal(array(tokens), x[log_p.argmax(axis=0)])
    np.testing.assert_allclose(array(score), log_p.max(axis=0), rtol=1e-4)
    greedy = array(network.generate(z, temperature=0))
    np.testing.assert_array_equal(greedy, array(network.search(z, beams=1)[0]))
    np.testing.assert_array_equal(array(network.generate(z, seed=3)), array(network.generate(z, seed=3)))


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_no_word_sees_itself_or_later_ones(kind, options):
    network, z = decoder(kind, length=6, **options), [ops.convert_to_tensor(normal(1, 2))]
    x = np.array([[4, 5, 1, 4, 5, 3]], "float32")
    before = array(network.conditional(ops.convert_to_tensor(x), z).logits)[0]
    for t in range(6):
        other = x.copy()
        other[0, t] = 2
        changed = np.any(array(network.conditional(ops.convert_to_tensor(other), z).logits)[0] != before, axis=-1)
        seen = min(t + 4, 5) if kind == "convolutions" else 5
        np.testing.assert_array_equal(np.flatnonzero(changed), np.arange(t + 1, seen + 1))


@pytest.mark.parametrize("kind", ["LSTM", "convolutions"])
def test_padding_changes_nothing(kind):
    """Neither the density nor the encoder's output, to the bit."""
    x = np.array([[4, 5, 3, 0], [5, 3, 0, 0]], "float32")
    short, z = decoder(kind, skip=True), normal(2, 2)
    long = decoder(kind, length=9, skip=True)
    long.set_weights(short.get_weights())
    padded = np.pad(x, ((0, 0), (0, 5)))
    np.testing.assert_array_equal(array(short(z).log_prob(x)), array(long(z).log_prob(padded)))
    q = encoder()
    np.testing.assert_array_equal(array(q(x).mean()), array(q(padded).mean()))


def vae(length=LENGTH, objective=None, **options):
    model = vk.VAE(encoder(), decoder(length=length, **options), seed=0)
    model.compile(keras.optimizers.Adam(0.01), objective=objective)
    return model


@pytest.mark.thorough
@pytest.mark.alternate
@pytest.mark.parametrize("objective", [vk.objectives.ELBO, lambda: vk.objectives.IWAE(3)])
def test_a_vae_of_sequences_trains_evaluates_draws_and_reloads(objective, tmp_path):
    x = every_sequence()[::2].astype("int32")
    model = vae(objective=objective(), skip=True, initial_state=True)
    model.fit(x, epochs=2, batch_size=20, validation_data=x[:20], verbose=0)
    estimate = vk.evaluation.log_likelihood(model, x[:20], samples=200, seed=0)
    assert estimate.mean < 0
    perplexity = vk.evaluation.perplexity(model, x[:20], samples=200)
    tokens = (x[:20] > 0).sum()
    assert perplexity.value == pytest.approx(np.exp(-20 * estimate.mean / tokens), rel=0.03)  # other draws
    assert vk.evaluation.perplexity(model, x[:20]).value > perplexity.value and "end marks" in repr(perplexity)
    drawn = array(model.sample(30, seed=0))
    assert drawn.shape == (30, LENGTH) and set(map(tuple, drawn)) <= set(map(tuple, every_sequence()))
    assert array(model.reconstruct(x[:5], mean=False, seed=0)).shape == (5, LENGTH)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.evaluate(x, verbose=0, seed=0) == pytest.approx(model.evaluate(x, verbose=0, seed=0), rel=1e-6)


BAD = {
    "whole numbers from 0 to 5": [[4, 6, 3, 0]],
    "another token follows the end mark, or padding follows a word": [[4, 3, 4, 0]],
    "or padding follows a word": [[4, 0, 0, 0]],
    "start with padding": [[0, 0, 0, 0]],
}


@pytest.mark.once
@pytest.mark.parametrize("message", BAD)
def test_what_is_no_sequence_is_refused(message):
    with pytest.raises(ValueError, match=message):
        vae().evaluate(np.array(BAD[message]), verbose=0)


EMBEDDING, LSTM = lambda: L.Embedding(6, 3), lambda: L.LSTM(5, return_sequences=True)  # noqa: E731
WRONG = {
    "an Embedding, then other layers, and Tokens": lambda: [LSTM(), Tokens(4, 6)],
    "size of one vocabulary": lambda: [L.Embedding(7, 3), LSTM(), Tokens(4, 6)],
    "should have mask_zero=False": lambda: [L.Embedding(6, 3, mask_zero=True), LSTM(), Tokens(4, 6)],
    "LSTM .* may let a word see itself": lambda: [EMBEDDING(), L.LSTM(5), Tokens(4, 6)],
    "return_state=False": lambda: [EMBEDDING(), L.LSTM(5, return_sequences=True, return_state=True), Tokens(4, 6)],
    "Conv1D .* may let a word see itself": lambda: [EMBEDDING(), L.Conv1D(3, 3, padding="same"), Tokens(4, 6)],
    "Bidirectional": lambda: [EMBEDDING(), L.Bidirectional(LSTM()), Tokens(4, 6)],
    "sees earlier words": lambda: [EMBEDDING(), L.Dropout(0.5), Tokens(4, 6)],
}


@pytest.mark.once
@pytest.mark.parametrize("message", WRONG)
def test_layers_that_are_no_language_model_are_refused(message):
    with pytest.raises(ValueError, match=message):
        AutoregressiveTokens(WRONG[message]())


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_tells_all_words_apart(policy, tmp_path):
    """Narrow numbers would not: 3001 is 3000 in them."""
    keras.config.set_dtype_policy(policy)
    q = keras.Sequential(
        [L.Embedding(4000, 3, mask_zero=True), L.GlobalAveragePooling1D(), vk.layers.DiagonalNormal(2)]
    )
    p = AutoregressiveTokens(
        [L.Embedding(4000, 3), L.Conv1D(2, 2, padding="causal"), Tokens(LENGTH, vocabulary=4000)], skip=True
    )
    model, x = vk.VAE(q, p), np.array([[word, 3, 0, 0] for word in range(3000, 3004)])
    model.build((None, LENGTH))
    codes = model.encode(x)
    assert len(np.unique(codes[:, 0])) == 4 and q.layers[1].compute_dtype != "float32"
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(vk.load(tmp_path / "model.keras").encode(x), codes)
    late = keras.Sequential([L.Embedding(4000, 3), L.Flatten(), vk.layers.DiagonalNormal(2)])
    late(x)
    with pytest.raises(ValueError, match="cannot tell its tokens apart"):
        vk.VAE(late, p).build((None, LENGTH))


@pytest.mark.once
def test_networks_have_an_embedding_for_each_token():
    q = keras.Sequential([L.Embedding(VOCABULARY - 1, 3), L.LSTM(2), vk.layers.DiagonalNormal(2)])
    with pytest.raises(ValueError, match="an Embedding of 5 tokens, and is given \\('x',\\), of 6"):
        vk.VAE(q, bare()).build((None, LENGTH))
    for x, options in [(every_sequence(), {"stddev": 0.1}), (every_sequence() + 2, {})]:
        with pytest.raises(ValueError, match="tokens, whole numbers from 0 to 5; received"):
            with_prior(
                lambda q, x=x, o=options: vk.priors.VampPrior.from_data(q, x, components=300, value_range=None, **o)
            ).build((None, LENGTH))


VOCABULARY_OF_TWO = vk.datasets.Vocabulary(["fox", "owl"])
OF_THREE = vk.datasets.Vocabulary(["bear", "fox", "owl"])
BAD_SENTENCES = {
    "Vocabulary.of\\(sentences\\).tokens": lambda: ["the fox", "the owl"],
    "of different lengths are padded": lambda: [[4, 3], [4, 5, 3]],
    "Leave empty lines out": lambda: VOCABULARY_OF_TWO.tokens(["fox", ""]),
    "at least the end mark, 3; 1 of 2 have none": lambda: np.array([[4, 3, 0, 0], [0, 0, 0, 0]]),
    "at most 4 tokens.*shape \\[2, 6\\]": lambda: VOCABULARY_OF_TWO.tokens(["fox", "owl owl owl fox fox"]),
    "have 3 words and the end mark; one has 5": lambda: VOCABULARY_OF_TWO.tokens(["owl owl owl fox fox"], LENGTH),
    "the vocabulary that the model was made with": lambda: OF_THREE.tokens(["bear fox owl"]),
    "start with padding, 0. Padding comes last": lambda: keras.utils.pad_sequences([[4, 3], [5, 4, 3]], LENGTH),
    "1 of 2 are cut off": lambda: np.array([[4, 3, 0], [4, 5, 4]]),
    "begin with the start mark, 2": lambda: np.array([[2, 4, 3, 0], [2, 5, 4, 3]]),
    "from 0 to 5": lambda: np.array([[-1, 3, 0, 0]]),
    "needs a batch axis": lambda: np.array([4, 3, 0, 0]),
}


@pytest.mark.once
@pytest.mark.parametrize("message", BAD_SENTENCES)
def test_bad_sentences_get_one_clear_message(message):
    """Words that a vocabulary does not know are `<unk>`, and that is no error."""
    assert VOCABULARY_OF_TWO.tokens(["bear fox"]).tolist() == [[1, 4, 3]]
    model = vae()
    model.build((None, LENGTH))
    with pytest.raises(ValueError, match=message):
        model.fit(BAD_SENTENCES[message](), verbose=0)


@pytest.mark.once
def test_marks_have_one_home():
    from vaekit.marks import END, MARKS, PADDING, START, UNKNOWN

    assert tuple(VOCABULARY_OF_TWO.words[:4]) == MARKS and MARKS[START] == "<s>" and MARKS[UNKNOWN] == "<unk>"
    network = decoder()
    assert (network.start, network.unknown, network.head.padding, network.head.end) == (START, UNKNOWN, PADDING, END)


@pytest.mark.once
def test_wrong_uses_get_one_clear_message():
    network, z = decoder(), normal(2, 2)
    with pytest.raises(ValueError, match="temperature is at least 0"):
        network.generate(z, temperature=-1, seed=0)
    with pytest.raises(ValueError, match="pass a seed"):
        network.generate(z)
    with pytest.raises(ValueError, match="A temperature is at least 0; received 'hot'"):
        network.generate(z, temperature="hot", seed=0)
    for beams in (0, 2.5):
        with pytest.raises(ValueError, match="beams to be an integer of at least 1"):
            network.search(z, beams)
    with pytest.raises(ValueError, match=r"of shapes \[\['B', 2\]\]; received \[\['B', 3\]\]"):
        network.generate(normal(2, 3), seed=0)
    with pytest.raises(ValueError, match="padding and end mark"):
        Tokens(4, 6, end=6)
    with pytest.raises(ValueError, match="length of the longest"):
        Tokens((4, 1), 6)


def encoder():
    return keras.Sequential([L.Embedding(VOCABULARY, 3, mask_zero=True), L.LSTM(6), vk.layers.DiagonalNormal(2)])


def conditional():
    x, y = keras.Input((LENGTH,), name="x"), keras.Input((1,), name="y")
    h = L.Concatenate()([L.LSTM(6)(L.Embedding(VOCABULARY, 3, mask_zero=True)(x)), y])
    q = keras.Model({"x": x, "y": y}, vk.layers.DiagonalNormal(2)(h))
    generative = [vk.Factor("z", vk.priors.StandardNormal(2)), vk.Factor("x", bare(), given=("z", "y"))]
    return vk.LatentVariableModel(generative, [vk.Factor("z", q, given=("x", "y"))], seed=0)


def hierarchy():
    x, z2 = keras.Input((LENGTH,)), keras.Input((2,))
    h = L.Concatenate()([L.GRU(6)(L.Embedding(VOCABULARY, 3, mask_zero=True)(x)), z2])
    q1 = keras.Model([x, z2], vk.layers.DiagonalNormal(3)(h))
    p1 = keras.Sequential([vk.layers.MLP(4), vk.layers.DiagonalNormal(3)])
    generative = [vk.Factor("z2", vk.priors.StandardNormal(2)), vk.Factor("z1", p1, given="z2")]
    return vk.LatentVariableModel(
        [*generative, vk.Factor("x", bare(skip=True, initial_state=True), given=("z1", "z2"))],
        [vk.Factor("z2", encoder(), given="x"), vk.Factor("z1", q1, given=("x", "z2"))],
        seed=0,
    )


def bare(**options):
    return AutoregressiveTokens(
        [L.Embedding(VOCABULARY, 3), L.LSTM(5, return_sequences=True), Tokens(LENGTH, VOCABULARY)], **options
    )


def with_prior(make):
    q = encoder()
    return vk.VAE(q, bare(), prior=make(q), seed=0)


@pytest.mark.alternate
def test_sentences_come_back_and_go_over_into_each_other():
    """The most probable ones of all sequences, for the codes' means, and for the line between them."""
    every, x = every_sequence(), every_sequence()[[3, 40, 200, 260, 100, 300]]
    model = vae(skip=True, initial_state=True)
    model.build((None, LENGTH))
    randomize(model.decoder)
    log_p = vk.backend.compile(lambda z: model.decoder(z).log_prob(every[:, None]), model.variables)

    def best(z):
        return every[array(log_p(ops.convert_to_tensor(np.float32(z)))).argmax(axis=0)]

    z = model.encode(x)
    found = model.reconstruct(x, beams=200)
    np.testing.assert_array_equal(found, best(z))
    np.testing.assert_array_equal(model.decode(z, beams=200), found)
    greedy = array(model.decoder.generate(z, temperature=0))
    np.testing.assert_array_equal(model.reconstruct(x, beams=1), greedy)
    line = model.interpolate(x[:2], x[2:4], steps=3, beams=200)
    a, b = z[:2], z[2:4]
    between = np.stack([a, (a + b) / 2, b], axis=1)
    np.testing.assert_array_equal(line, best(between.reshape(6, -1)).reshape(2, 3, LENGTH))
    accuracy = vk.evaluation.word_accuracy(model, x)
    right = ((greedy == x) & (x > 0)).sum()
    assert accuracy.words == right / (x > 0).sum() and accuracy.sentences == (greedy == x).all(axis=1).mean()
    assert "% of words" in repr(accuracy)


@pytest.mark.once
def test_what_has_no_search_says_so():
    from oracles import binary_images, small_vae

    model, x = small_vae(), binary_images()
    line = model.interpolate(x[:2], x[2:4], steps=5)
    assert line.shape == (2, 5, *x.shape[1:])
    np.testing.assert_allclose(line[:, 4], model.reconstruct(x[2:4]), rtol=1e-5)
    np.testing.assert_allclose(line[:, 2], model.decode(model.encode(x[:4]).reshape(2, 2, -1).mean(axis=0)), rtol=1e-5)
    for wrong, message in [
        (lambda: model.reconstruct(x, beams=3), "beams are of a search for sentences"),
        (lambda: model.interpolate(x[:2], x[:3]), "as many x as y; received 2 and 3"),
        (lambda: model.interpolate(x[:2], x[:2], steps=1), "steps to be an integer of at least 2"),
        (lambda: vk.evaluation.word_accuracy(model, x), "word_accuracy counts the words of sentences"),
        (lambda: vae().reconstruct(every_sequence()[:2]), "with beams=10"),
        (lambda: vae().reconstruct(every_sequence()[:2], beams=0), "beams to be an integer of at least 1"),
    ]:
        with pytest.raises(ValueError, match=message):
            wrong()


def language_model():
    model = vk.LatentVariableModel([vk.Factor("x", bare())], inference=[], seed=0)
    model.compile(keras.optimizers.Adam(0.01))
    return model


@pytest.mark.alternate
def test_a_language_model_is_a_model_without_latents(tmp_path):
    x = every_sequence()
    model = language_model()
    log_p = vk.evaluation.log_likelihood(model, x)
    assert np.exp(log_p.per_example).sum() == pytest.approx(1, rel=1e-5) and log_p.samples == 1
    found = vk.evaluation.perplexity(model, x[:100], samples=9)
    assert found.mean == pytest.approx(log_p.per_example[:100].mean(), rel=1e-5) and "log p(x) -" in repr(found)
    before = model.evaluate(x[:40], verbose=0)
    assert set(before) == {"loss", "bound", "reconstruction"} and before["loss"] == pytest.approx(-before["bound"])
    few = vk.batches.BatchesByLength(x[:40], 20)
    history = model.fit(few, epochs=5, validation_data=x[:40], verbose=0).history
    assert history["val_bound"][-1] > before["bound"]
    drawn = model.sample(50, seed=0)
    assert drawn.shape == (50, LENGTH) and {tuple(row) for row in drawn} <= {tuple(row) for row in x}
    model.save(tmp_path / "model.keras")
    loaded = vk.load(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.sample(5, seed=1), model.sample(5, seed=1))
    tokens, score = model.networks[0].search(1, beams=200)
    every = array(model.log_p({"x": x}))
    assert array(score)[0] == pytest.approx(every.max(), rel=1e-4) and (array(tokens)[0] == x[every.argmax()]).all()


@pytest.mark.once
def test_what_is_about_latents_says_that_there_are_none():
    model, x = language_model(), every_sequence()[:5]
    model.build((None, LENGTH))
    uses = [
        lambda: model.encode(x), lambda: model.posterior(x), lambda: model.reconstruct(x), lambda: model(x),
        lambda: model.decode(x), lambda: model.sample(2, mean=True), lambda: vk.evaluation.information(model, x),
        lambda: vk.evaluation.active_units(model, x),
    ]  # fmt: skip
    for use in uses:
        with pytest.raises(ValueError, match="this model has none"):
            use()
    with pytest.raises(ValueError, match="leave it out"):
        vk.LatentVariableModel([vk.Factor("x", bare())], [], refinement=vk.inference.Refinement())
    with pytest.raises(ValueError, match="observed variable"):
        vk.LatentVariableModel([], [])


@pytest.mark.alternate
def test_a_pixelcnn_alone_and_what_is_given_it():
    """p(x) p(y|x): log p(x, y) is the sum; of all images p(x) adds up to 1."""
    x = np.array(list(itertools.product([0, 1], repeat=6)), "float32").reshape(-1, 3, 2, 1)
    layers = [vk.layers.GatedPixelConv2D(2, mask="A"), vk.layers.GatedPixelConv2D(2), vk.layers.Bernoulli((3, 2, 1))]
    y_given_x = keras.Sequential([L.Flatten(), vk.layers.Normal(2)])
    factors = [vk.Factor("x", vk.layers.Autoregressive(layers, skip=True)), vk.Factor("y", y_given_x, given="x")]
    model = vk.LatentVariableModel(factors, [], seed=0)
    model.compile(keras.optimizers.Adam(0.1))
    data = {"x": x, "y": np.ones((64, 2), "float32")}
    assert model.fit(data, epochs=3, batch_size=32, verbose=0).history["bound"][-1] > -20
    terms = vk.evaluation.terms(model, data, vk.objectives.ELBO(analytic_kl=True))
    assert np.exp(terms["reconstruction_x"]).sum() == pytest.approx(1, rel=1e-5)
    np.testing.assert_allclose(terms["bound"], terms["reconstruction_x"] + terms["reconstruction_y"], rtol=1e-5)
    assert model.sample(3, seed=0)["x"].shape == (3, 3, 2, 1)


def of_sentences(q):
    return vk.priors.VampPrior.from_data(q, every_sequence(), components=5, value_range=None)


CROSSED = {
    "VampPrior of sentences": lambda: with_prior(of_sentences),
    "mixture": lambda: with_prior(lambda q: vk.priors.MixtureOfNormals(3)),
    "refinement": lambda: vk.VAE(encoder(), bare(skip=True), refinement=vk.inference.Refinement(steps=2), seed=0),
    "two layers": hierarchy,
    "a condition": conditional,
}


@pytest.mark.thorough
@pytest.mark.alternate
@pytest.mark.parametrize("name", CROSSED)
def test_sequences_cross_with_priors_refinement_hierarchies_and_conditions(name):
    x = every_sequence()[:60].astype("int32")
    data = {"x": x, "y": np.linspace(-1, 1, 60)[:, None]} if name == "a condition" else x
    model = CROSSED[name]()
    model.compile(keras.optimizers.Adam(0.02), objective=vk.objectives.IWAE(3, gradient="dreg"))
    bounds = model.fit(data, epochs=5, batch_size=20, verbose=0).history["bound"]
    assert bounds[-1] > bounds[0] + 0.2
    sampled = model.sample(3, seed=0, **({"conditions": {"y": np.ones((3, 1))}} if name == "a condition" else {}))
    assert array(sampled).shape == (3, LENGTH)


@pytest.mark.once
def test_pseudo_inputs_of_tokens_cannot_be_learned():
    with pytest.raises(ValueError, match="tokens of an Embedding have none.*from_data"):
        with_prior(lambda q: vk.priors.VampPrior(q, 5)).build((None, LENGTH))


@pytest.mark.once
def test_hidden_words_are_not_seen_in_training():
    """With all words hidden, the density of a place does not depend on which they are; the start mark stays."""
    network = decoder(word_dropout=1.0)
    z = [ops.convert_to_tensor(normal(2, 2))]
    x = np.array([[4, 5, 4, 3], [5, 5, 1, 3]], "float32")
    z[0] = ops.repeat(z[0][:1], 2, axis=0)
    x = ops.convert_to_tensor(x)
    hidden, seen = (array(network.conditional(x, z, training).logits) for training in (True, False))
    np.testing.assert_allclose(hidden[0], hidden[1], atol=1e-5)
    np.testing.assert_allclose(hidden[:, 0], seen[:, 0], atol=1e-5)
    assert np.abs(seen[0] - seen[1]).max() > 0.01
    with pytest.raises(ValueError, match="is a probability"):
        decoder(word_dropout=2)


@pytest.mark.once
def test_perplexity_is_of_sentences():
    from oracles import binary_images, small_vae

    model = small_vae()
    with pytest.raises(ValueError, match="described by vaekit.layers.Tokens"):
        vk.evaluation.perplexity(model, binary_images())


@pytest.mark.thorough
@pytest.mark.alternate
@pytest.mark.parametrize("multiple", [1, 3])
def test_batches_by_length_leave_out_padding_and_change_nothing(multiple):
    x = np.concatenate([every_sequence()[::3], np.zeros((0, LENGTH))]).astype("int32")
    model = vae(length=LENGTH)
    model.build((None, LENGTH))
    lstm = model.networks[-1].layers[1]
    kernel = array(lstm.cell.kernel).copy()
    kernel[3:] = 0  # the bound's noise depends on the batch: here z says nothing
    lstm.cell.kernel.assign(kernel)
    batches = vk.batches.BatchesByLength(x, 20, shuffle=False, multiple=multiple)
    shapes = [batches[i][0].shape for i in range(len(batches))]
    assert sum(rows for rows, _ in shapes) == len(x) and {width for _, width in shapes} <= {1, 2, 3, 4}
    whole, cut = (model.evaluate(data, verbose=0, seed=0) for data in (x, batches))
    assert cut["reconstruction"] == pytest.approx(whole["reconstruction"], rel=1e-5)
    assert cut["kl"] == pytest.approx(whole["kl"], abs=0.05)
    history = model.fit(vk.batches.BatchesByLength(x, 20, seed=1, multiple=multiple), epochs=3, verbose=0).history
    assert history["bound"][-1] > history["bound"][0]


@pytest.mark.once
def test_orders_of_batches_by_length():
    x = every_sequence()

    def epochs(**options):
        batches = vk.batches.BatchesByLength(x, 7, multiple=1, **options)
        orders = [[batches[i][0] for i in range(len(batches))]]
        batches.on_epoch_end()
        return [*orders, [batches[i][0] for i in range(len(batches))]]

    def rows(batches):
        return sorted(tuple(np.trim_zeros(row, "b")) for batch in batches for row in batch)

    first, second = epochs(seed=0)
    assert rows(first) == rows(second) == rows([x])
    assert all((batch != 0).all() for batch in first)  # of equal length: no padding
    assert [b.tolist() for b in first] == [b.tolist() for b in epochs(seed=0)[0]] != [b.tolist() for b in second]
    fixed = [{b.tobytes() for b in epoch} for epoch in epochs(seed=0, fixed=True)]
    assert fixed[0] == fixed[1] != {b.tobytes() for b in first}
    named = vk.batches.BatchesByLength({"x": x, "y": np.arange(len(x))}, 7, multiple=1, tokens="x")
    assert named[0][0]["x"].shape[1] <= LENGTH and len(named[0][0]["y"]) == len(named[0][0]["x"])
    full = vk.batches.BatchesByLength(x, 7, multiple=2, full=True)
    chunks = [next(iter(tensors.values())) for (tensors, _), *_ in full.chunks()]
    assert {tuple(chunk.shape) for chunk in chunks} <= {(7, 2), (7, 4), (len(x) % 7, 4)}  # JAX's programs
    assert all(np.array_equal(array(chunk), full[i][0]) for i, chunk in enumerate(chunks))
    assert rows(map(array, chunks)) == rows([x])
    for wrong, message in [({"x": x}, "name of the tokens"), (x[:, 0], "tokens \\[N, T\\]")]:
        with pytest.raises(ValueError, match=message):
            vk.batches.BatchesByLength(wrong)
