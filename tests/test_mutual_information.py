"""Mutual information against integration and enumeration."""

import itertools
import math

import keras
import numpy as np
import pytest
from keras import ops
from oracles import binary_images, small_vae
from scipy.integrate import quad
from scipy.stats import norm

import vaekit as vk
from vaekit.backend import tfd
from vaekit.evaluation import (
    information,
)
from vaekit.layers import Bernoulli, DiagonalNormal, Normal

X = binary_images(6)


def estimate(model, x, samples=2000, batch_size=4):
    return information(model, x, samples, batch_size, progress=False)


def three_encodings(means, scale):
    """Six examples, three of a kind: q(z|x) is N(m, s²) for x = 1, two Gaussians more of x = 2, 3; p(x|z) = N(0, 1)."""
    encoder, decoder = DiagonalNormal(1), Normal(3)
    model = vk.VAE(encoder, decoder, seed=0)
    model.build((None, 3))
    encoder.heads["mean"].set_weights([np.reshape(means, (3, 1)), np.zeros(1)])
    encoder.heads["log_variance"].set_weights([np.zeros((3, 1)), np.array([2 * np.log(scale)])])
    decoder.heads["mean"].set_weights([np.zeros((1, 3)), np.zeros(3)])
    return model, np.eye(3, dtype="float32")[[0, 0, 0, 1, 1, 2]]


@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_information_is_the_integral_over_a_mixture(scale):
    means, weights = np.array([-1.0, 0.5, 2.0]), np.array([3, 2, 1]) / 6
    model, x = three_encodings(means, scale)
    result = estimate(model, x)

    def aggregate(z):
        return weights @ norm(means, scale).pdf(z)

    aggregate_kl = quad(lambda z: aggregate(z) * (np.log(aggregate(z)) - norm.logpdf(z)), -12, 12, epsabs=1e-8)[0]
    entropy = quad(lambda z: -aggregate(z) * np.log(aggregate(z)), -12, 12, epsabs=1e-8)[0]
    kl = weights @ (0.5 * (scale**2 + means**2 - 1) - np.log(scale))
    # a sample scatters by about a nat; 12,000 of them by a hundredth
    assert result.kl == pytest.approx(kl, abs=0.03)
    assert result.aggregate_kl == pytest.approx(aggregate_kl, abs=0.03)
    assert result.mutual_information == pytest.approx(entropy - norm(0, scale).entropy(), abs=0.03)
    assert result.reconstruction == pytest.approx(-0.5 - 1.5 * np.log(2 * np.pi), abs=1e-5)
    assert result.elbo == pytest.approx(result.reconstruction - result.kl, abs=1e-9)
    assert result.kl == pytest.approx(result.mutual_information + result.aggregate_kl, abs=1e-9)


def test_information_reaches_its_ceiling_and_nothing():
    apart, _ = three_encodings([-50.0, 0.0, 50.0], 0.1)
    result = estimate(apart, np.eye(3, dtype="float32"), 10, 2)
    assert result.mutual_information == pytest.approx(result.ceiling, abs=1e-5) == math.log(3)
    collapsed, x = three_encodings([0.0, 0.0, 0.0], 1.0)
    result = estimate(collapsed, x, 10)
    assert [result.kl, result.mutual_information, result.aggregate_kl] == pytest.approx([0, 0, 0], abs=1e-5)
    assert result.standard_errors["mutual_information"] == pytest.approx(0, abs=1e-5)
    assert "(ceiling ln N = 1.79)" in repr(result) and "6 examples" in repr(result)


def binary_hierarchy(order):
    """`two_latents` with latents in {0, 1}, to be summed over: three units and two."""

    def head(n, *inputs):
        inputs = [keras.Input(shape) for shape in inputs]
        flat = [keras.layers.Flatten()(tensor) for tensor in inputs]
        joined = flat[0] if len(flat) == 1 else keras.layers.Concatenate()(flat)
        initializer = keras.initializers.RandomNormal(stddev=2.0, seed=len(inputs))
        output = Bernoulli(n, kernel_initializer=initializer, bias_initializer=initializer)(joined)
        return keras.Model(inputs if len(inputs) > 1 else inputs[0], output)

    class Coins(vk.priors.Prior):
        def distribution(self):
            return self.independent(tfd.Bernoulli(logits=ops.arange(2.0), dtype="float32"))

    x = X.shape[1:]
    inference = {
        "bottom-up": [vk.Factor("z1", head(3, x), given="x"), vk.Factor("z2", head(2, (3,)), given="z1")],
        "top-down": [vk.Factor("z2", head(2, x), given="x"), vk.Factor("z1", head(3, x, (2,)), given=("x", "z2"))],
        "independent": [vk.Factor("z1", head(3, x), given="x"), vk.Factor("z2", head(2, x), given="x")],
    }[order]
    generative = [
        vk.Factor("z2", Coins()),
        vk.Factor("z1", head(3, (2,)), given="z2"),
        vk.Factor("x", head(x, (3,)), given="z1"),
    ]
    return vk.LatentVariableModel(generative, inference, seed=0)


@pytest.mark.alternate
@pytest.mark.parametrize("order", ["bottom-up", "top-down", "independent"])
def test_information_of_two_latents_is_their_sum_over_states(order):
    model = binary_hierarchy(order)
    result = estimate(model, X)
    states = np.array(list(itertools.product([0.0, 1.0], repeat=5)), "float32")  # [32, 5]
    n, k = len(X), len(states)
    z1, z2 = np.repeat(states[:, :3], n, 0), np.repeat(states[:, 3:], n, 0)
    values = {"x": np.tile(X, (k, 1, 1, 1)), "z1": z1, "z2": z2}
    values = {name: ops.convert_to_tensor(value) for name, value in values.items()}
    log_q, log_joint = (
        ops.convert_to_numpy(log).astype("float64").reshape(k, n) for log in (model.log_q(values), model.log_p(values))
    )
    log_x = model.generative[2]([values["z1"]]).log_prob(values["x"])
    log_x = ops.convert_to_numpy(log_x).astype("float64").reshape(k, n)
    q, log_aggregate = np.exp(log_q), np.logaddexp.reduce(log_q, axis=1, keepdims=True) - np.log(n)
    np.testing.assert_allclose(q.sum(axis=0), 1, rtol=1e-5)
    terms = {
        "reconstruction": log_x,
        "kl": log_q - log_joint + log_x,
        "mutual_information": log_q - log_aggregate,
        "aggregate_kl": log_aggregate - log_joint + log_x,
    }
    for name, term in terms.items():
        exact = np.sum(q * term) / n
        scatter = np.sqrt(np.sum(q * (term - exact) ** 2) / n / 12_000)
        assert getattr(result, name) == pytest.approx(exact, abs=5 * scatter), name
    assert 0.2 < result.mutual_information < result.ceiling - 0.05


def test_information_of_many_blocks_is_that_of_one(monkeypatch):
    model, x = three_encodings([-1.0, 0.5, 2.0], 0.5)
    whole = estimate(model, x, 50)
    monkeypatch.setattr("vaekit.evaluation.mutual_information.NUMBERS", 28)  # 7 samples at a time
    assert estimate(model, x, 50).aggregate_kl == pytest.approx(whole.aggregate_kl, abs=1e-6)


def test_information_needs_one_prior():
    network = keras.Sequential([DiagonalNormal(2)])
    model = vk.LatentVariableModel(
        [vk.Factor("z", network, given="y"), vk.Factor("x", Bernoulli((4, 4, 1)), given="z")],
        [vk.Factor("z", DiagonalNormal(2), given="x")],
    )
    with pytest.raises(ValueError, match="prior of 'z' is given"):
        information(model, {"x": X, "y": np.zeros((6, 1))}, progress=False)
    with pytest.raises(ValueError, match="samples to be an integer of at least 1; received 0"):
        information(small_vae(), X, samples=0)
    with pytest.raises(ValueError, match="is empty"):
        information(small_vae(), X[:0], progress=False)
