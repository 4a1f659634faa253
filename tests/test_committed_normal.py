"""The δ-posterior: its KL is at least δ, and comes as near to it as one likes."""

import keras
import numpy as np
import pytest
from keras import ops

import vaekit as vk
from vaekit.backend import tfd
from vaekit.layers import CommittedNormal


def kl(layer, mean, logit):
    q = layer.distribution(ops.convert_to_tensor(np.float32(mean)), ops.convert_to_tensor(np.float32(logit)))
    return ops.convert_to_numpy(tfd.kl_divergence(q, vk.priors.StandardNormal(layer.event_shape).distribution()))


@pytest.mark.once
@pytest.mark.parametrize("rate", [0.01, 2.0, 7.6, 50.0])
@pytest.mark.parametrize("shape", [1, 10, (2, 3)])
def test_the_kl_is_at_least_the_rate_and_comes_near_it(rate, shape):
    layer, rng = CommittedNormal(shape, rate), np.random.default_rng(0)
    several = (500, *layer.event_shape)
    found = kl(layer, rng.normal(size=several), 3 * rng.normal(size=several) + 2)
    assert found.min() >= rate * (1 - 1e-4) - 1e-5
    least = kl(layer, np.zeros(several), np.full(several, 30.0))
    np.testing.assert_allclose(least, rate, rtol=1e-3, atol=1e-5)
    shared = rate / np.prod(layer.event_shape)
    assert (layer.most**2 - 1 - np.log(layer.most**2)) / 2 == pytest.approx(shared, rel=1e-5)


@pytest.mark.once
def test_a_small_and_a_large_rate():
    assert CommittedNormal(1, 1e-6).most == pytest.approx(1 - 1e-3, abs=1e-5)  # c = 1 − √δ
    assert CommittedNormal(1, 400.0).most == pytest.approx(np.exp(-400.5))
    for wrong in (0, -1.0, float("inf")):
        with pytest.raises(ValueError, match="a positive number"):
            CommittedNormal(3, wrong)


@pytest.mark.alternate
def test_a_model_that_would_collapse_keeps_its_rate():
    """The decoder's data have nothing that a code could tell."""
    x = (np.random.default_rng(0).random((64, 6)) < 0.5).astype("float32")
    encoder = keras.Sequential([keras.layers.Dense(4, "tanh"), CommittedNormal(2, 1.5)])
    vae = vk.VAE(encoder, keras.Sequential([vk.layers.Bernoulli(6)]), seed=0)
    vae.compile(keras.optimizers.Adam(0.05), objective=vk.objectives.ELBO(analytic_kl=True))
    vae.fit(x, batch_size=64, epochs=60, verbose=0)
    assert 1.5 <= vae.evaluate(x, verbose=0, seed=0)["kl"] < 2.2
