"""Model cards: what was measured, and what a person has to write."""

import keras
import numpy as np
import pytest

import vaekit as vk
from vaekit.reproduction import model_card

SAID = dict(purpose="to test", not_for="use", settings={"epochs": 1}, samples=5)


@pytest.fixture(scope="module")
def data():
    return vk.datasets.from_arrays(np.random.default_rng(0).integers(0, 2, (40, 6)), name="coins")


@pytest.fixture(scope="module")
def models(data):
    def one(seed):
        keras.utils.set_random_seed(seed)
        encoder = keras.Sequential([vk.layers.MLP(5), vk.layers.DiagonalNormal(2)])
        vae = vk.VAE(encoder, keras.Sequential([vk.layers.MLP(5), vk.layers.Bernoulli(6)]), seed=seed)
        vae.compile("sgd")
        vae.fit(data.train, verbose=0)
        return vae

    return {seed: one(seed) for seed in (3, 4)}


def test_a_card_of_two_seeds(models, data):
    card = model_card(models, data, **SAID)
    log_p = np.stack(
        [vk.evaluation.log_likelihood(m, data.test, samples=5, progress=False).per_example for m in models.values()]
    )
    np.testing.assert_allclose(card.log_likelihoods, log_p, rtol=1e-5)
    over_images = log_p.mean(axis=0).std(ddof=1) / 2  # of four
    over_seeds = log_p.mean(axis=1).std(ddof=1) / np.sqrt(2)
    assert f"{log_p.mean():.2f}, ± {over_images:.2f} over examples, ± {over_seeds:.2f} over seeds" in str(card)
    model = r"p(z) p(x\|z), q(z\|x)"
    for text in ("| not for | use |", "coins", "32 train, 4 validation, 4 test", model, "3, 4", "ELBO"):
        assert text in str(card), text
    assert card._repr_markdown_() == str(card)


def test_a_card_of_one(models, data):
    assert "one training only" in str(model_card({3: models[3]}, data, **SAID))


@pytest.mark.parametrize(
    "change, message", [({"not_for": " "}, "a sentence for not_for"), ({"purpose": ""}, "for purpose")]
)
def test_what_a_program_cannot_know(models, data, change, message):
    with pytest.raises(ValueError, match=message):
        model_card(models, data, **{**SAID, **change})


def test_no_model(data):
    with pytest.raises(ValueError, match="it is empty"):
        model_card({}, data, **SAID)
