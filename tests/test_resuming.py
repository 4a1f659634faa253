"""Measurements of log p(x) that are cut off come to the same estimate; a file of another one is refused."""

import keras
import numpy as np
import pytest
from keras import layers as L
from oracles import binary_images, small_vae

import vaekit as vk
from vaekit.evaluation import likelihood, log_likelihood, perplexity, resuming
from vaekit.layers import AutoregressiveTokens, DiagonalNormal, Tokens
from vaekit.training.checkpoint import CheckpointError

X = binary_images(10)
SAMPLES = dict(importance=50, ais=2)


def model(seed=0):
    keras.utils.set_random_seed(seed)
    model = small_vae()
    model.build((None, 4, 4, 1))
    return model


def measure(model, x=X, method="importance", **options):
    method, samples = (vk.inference.AIS(distributions=3) if method == "ais" else method), SAMPLES[method]
    return log_likelihood(model, x, **dict(samples=samples, batch_size=4, progress=False, method=method) | options)


@pytest.fixture
def cut_off(tmp_path, monkeypatch):
    """`cut_off(measured, after)` begins a measurement that ends after so many batches; returns its file."""

    def cut_off(measured, after):
        path, done = tmp_path / "measured.npz", []

        def add(self, batch, last):
            whole(self, batch, last)
            done.append(batch)
            if len(done) == after:
                raise KeyboardInterrupt

        whole = resuming.Measured.add
        with monkeypatch.context() as patch:
            patch.setattr(resuming, "SECONDS", 0)
            patch.setattr(resuming.Measured, "add", add)
            with pytest.raises(KeyboardInterrupt):
                measured(checkpoint=path)
        return path

    return cut_off


@pytest.mark.parametrize("method, after", [("importance", 2), ("ais", 1)])
def test_what_was_cut_off_comes_to_the_same(method, after, cut_off, monkeypatch):
    vae = model()
    other = model() if method == "importance" else vae  # of the same weights; of annealing's programs one set is enough
    expected = measure(vae, method=method)
    path = cut_off(lambda **options: measure(vae, method=method, **options), after)
    batches = []
    monkeypatch.setattr(likelihood, "require_numbers", lambda model, what, w: batches.append(w.shape[1]))
    for _ in range(2):
        found = measure(other, method=method, checkpoint=path)
        assert batches == [4, 4, 2][after:]  # the second time nothing is measured
        np.testing.assert_array_equal(found.per_example, expected.per_example)
        np.testing.assert_array_equal(found.effective_sample_size, expected.effective_sample_size)


def test_between_two_files_lies_a_minute(tmp_path):
    path = tmp_path / "measured.npz"
    times = []
    for _ in range(2):
        measure(model(), checkpoint=path)
        times.append(path.stat().st_mtime_ns)
    assert times[0] == times[1]  # one file, at the end


OTHERS = dict(
    weights=lambda path: measure(model(1), checkpoint=path),
    data=lambda path: measure(model(), 1 - X, checkpoint=path),
    samples=lambda path: measure(model(), samples=51, checkpoint=path),
    seed=lambda path: measure(model(), seed=1, checkpoint=path),
    batch_size=lambda path: measure(model(), batch_size=5, checkpoint=path),
    method=lambda path: measure(model(), method="ais", checkpoint=path),
    networks=lambda path: measure(other_networks(), checkpoint=path),
)


def other_networks():
    """A model with the weights of `model`, and another activation."""
    config, weights = model().get_config(), model().get_weights()
    config = keras.tree.map_structure(lambda value: "relu" if value == "tanh" else value, config)
    other = vk.VAE.from_config(config)
    other.build((None, 4, 4, 1))
    other.set_weights(weights)
    return other


@pytest.mark.parametrize("what", OTHERS)
def test_a_file_of_another_measurement_is_refused(what, cut_off):
    path = cut_off(lambda **options: measure(model(), **options), 1)
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match=f"another measurement: other .*{what}"):
        OTHERS[what](path)
    assert path.read_bytes() == before


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "measured.npz"
    path.write_bytes(b"no zip file")
    with pytest.raises(CheckpointError, match="no readable measurement .* Delete it"):
        measure(model(), checkpoint=path)


def test_perplexity_goes_on_too(cut_off):
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).integers(3, 6, (9, 5))
    x = np.where(np.cumsum(x == 3, axis=1) - (x == 3) > 0, 0, x)  # words, the end mark 3, padding
    encoder = keras.Sequential([L.Embedding(6, 3), L.LSTM(4), DiagonalNormal(2)])
    decoder = AutoregressiveTokens([L.Embedding(6, 3), L.LSTM(4, return_sequences=True), Tokens(5, vocabulary=6)])
    vae = vk.VAE(encoder, decoder)
    how = dict(samples=20, batch_size=4, progress=False)
    expected = perplexity(vae, x, **how)
    path = cut_off(lambda **options: perplexity(vae, x, **how, **options), 2)
    assert perplexity(vae, x, **how, checkpoint=path).value == expected.value
