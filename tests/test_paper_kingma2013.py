"""Paper 1 whole: its models, baselines and estimators."""

import dataclasses
import itertools

import keras
import numpy as np
import pytest
from keras import ops
from oracles import ProbabilisticPCA, binary_images, small_vae

import vaekit as vk
from vaekit.layers import MLP, Bernoulli, DiagonalNormal, Normal, VariationalWeights
from vaekit.papers import kingma2013 as paper


def gradients(model, objective, x, seed=0):
    """Gradient of the mean loss, by weight path."""
    model.compile("sgd", objective=objective)
    model.seed_generator.state.assign(ops.cast([seed, 0], model.seed_generator.state.dtype))
    weights = model.trainable_variables
    data = {"x": ops.convert_to_tensor(x)}

    def run():
        return vk.backend.variables_gradient(lambda: ops.mean(objective(model, data, 0, False)[0]), weights)[1]

    result = vk.backend.compile(run, model.variables)()
    return {w.path: ops.convert_to_numpy(g) for w, g in zip(weights, result, strict=True)}


def test_wake_sleep_gives_each_weight_the_gradient_of_its_own_phase():
    model, x = small_vae(), binary_images()
    model.build((None, 4, 4, 1))
    both = gradients(model, vk.objectives.WakeSleep(), x)
    # wake: the decoder's gradient is that of −log p(x, z), the ELBO's with the same z
    elbo = gradients(model, vk.objectives.ELBO(), x)
    for weight in model.decoder.trainable_variables:
        np.testing.assert_allclose(both[weight.path], elbo[weight.path], rtol=1e-4, atol=1e-6)
    # sleep: the encoder's gradient is that of −log q(z'|x') at a dream, drawn after the wake phase's z
    model.seed_generator.state.assign(ops.cast([0, 0], model.seed_generator.state.dtype))
    model.trace(x)
    dream = model.draw(len(x))
    weights = model.encoder.trainable_variables
    _, expected = vk.backend.variables_gradient(lambda: -ops.mean(model.log_q(dream)), weights)
    for weight, value in zip(weights, expected, strict=True):
        np.testing.assert_allclose(both[weight.path], ops.convert_to_numpy(value), rtol=1e-4, atol=1e-6)


def test_wake_sleep_leaves_the_truth_in_place():
    # with the true model and its exact posterior, both expected gradients vanish
    pca = ProbabilisticPCA()
    x = pca.model.sample(20_000, seed=1)
    result = gradients(pca.model, vk.objectives.WakeSleep(), x)
    shifted = gradients(ProbabilisticPCA(shift=0.5).model, vk.objectives.WakeSleep(), x)
    assert all(np.abs(g).max() < 0.1 for g in result.values())
    assert max(np.abs(g).max() for g in shifted.values()) > 0.4


def test_monte_carlo_em_finds_the_maximum_likelihood_scale():
    # x = w z + ε: the likelihood depends on w² alone, and is highest where w² + σ² is the variance of x
    rng = np.random.default_rng(0)
    x = (1.5 * rng.normal(size=(400, 1)) + 0.5 * rng.normal(size=(400, 1))).astype("float32")
    decoder = Normal(1, scale=0.5)
    model = vk.VAE(DiagonalNormal(1), decoder, seed=0)
    model.build((None, 1))
    encoder = [w.copy() for w in model.encoder.get_weights()]
    history = vk.inference.monte_carlo_em(
        model, x, keras.optimizers.Adam(0.02), epochs=30, batch_size=100, progress=False
    )
    w = float(ops.convert_to_numpy(decoder.heads["mean"].kernel).item())
    assert w**2 + 0.25 == pytest.approx(x.var(), rel=0.15)
    assert 0.75 < history["acceptance"][-1] < 0.99
    assert history["log_joint"][-1] > history["log_joint"][0]
    assert all(len(values) == 30 for values in history.values())
    for before, after in zip(encoder, model.encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_variational_weights_have_the_exact_kl():
    layer = VariationalWeights(keras.layers.Dense(3), examples=50, initial_scale=0.3, seed=0)
    layer.build((None, 4))
    tfd = vk.backend.tfd
    expected = sum(
        float(ops.sum(tfd.kl_divergence(tfd.Normal(ops.convert_to_tensor(mean), 0.3), tfd.Normal(0.0, 1.0))))
        for mean in layer.network.trainable_variables
    )
    assert float(layer.kl()) == pytest.approx(expected, rel=1e-5)
    assert float(sum(layer.losses)) == pytest.approx(expected / 50, rel=1e-5)


def test_variational_weights_are_drawn_anew_with_the_right_moments():
    layer = VariationalWeights(keras.layers.Dense(1), examples=50, initial_scale=0.3, seed=0)
    x = np.ones((1, 4), "float32")
    layer(x)
    again = vk.backend.compile(lambda: layer(x)[0, 0], layer.variables)
    draws = np.array([float(again()) for _ in range(2000)])
    kernel, bias = layer.network.get_weights()
    assert draws.mean() == pytest.approx(kernel.sum() + bias[0], abs=0.08)
    assert draws.std() == pytest.approx(0.3 * np.sqrt(5), rel=0.1)


def test_full_variational_bayes_recovers_the_posterior_of_a_weight():
    # x = b + ε with a latent that is not used: the posterior of b is N(Σx / (N + 1), 1 / (N + 1)) for σ = 1
    x = (np.random.default_rng(0).normal(size=(40, 1)) + 2).astype("float32")

    @keras.saving.register_keras_serializable("vaekit-tests")
    class Constant(vk.layers.DistributionLayer):
        parameters = ()

        def build(self, input_shape):
            super().build(input_shape)
            self.bias = self.add_weight(shape=(1,), initializer="zeros", name="bias")

        def call(self, inputs):
            mean = ops.zeros_like(inputs[:, :1]) + self.bias
            return self.independent(vk.backend.tfd.Normal(mean, 1.0))

    layer = VariationalWeights(Constant(1), examples=40, initial_scale=0.1, seed=0)
    model = vk.VAE(DiagonalNormal(1), layer, seed=0)
    model.compile(keras.optimizers.Adam(0.02), objective=vk.objectives.ELBO(analytic_kl=True))
    history = model.fit((batch for batch in itertools.repeat((x,))), epochs=12, steps_per_epoch=50, verbose=0).history
    (mean,), scale = layer.network.get_weights(), np.exp(ops.convert_to_numpy(layer.log_scales[0]))
    assert mean[0] == pytest.approx(x.sum() / 41, abs=0.08)
    assert scale[0] == pytest.approx(1 / np.sqrt(41), rel=0.25)
    # the loss is the bound per example with the weights' KL in it
    gap = history["loss"][-1] + history["bound"][-1]
    assert gap == pytest.approx(float(layer.kl()) / 40, rel=0.15)


def test_weight_prior_is_the_gaussian_log_density():
    layer = MLP(3, kernel_regularizer=vk.priors.weight_prior(10))
    layer.build((None, 4))
    kernel = layer.get_weights()[0]
    assert float(sum(layer.losses)) == pytest.approx(0.5 * (kernel**2).sum() / 10, rel=1e-5)
    decoder = keras.Sequential([MLP(3, kernel_regularizer=vk.priors.weight_prior(60)), Bernoulli((4, 4, 1))])
    model = vk.VAE(keras.Sequential([MLP(3), DiagonalNormal(2)]), decoder)
    model.compile("sgd")
    result = model.evaluate(binary_images(), verbose=0, seed=0)
    expected = 0.5 * (decoder.layers[0].get_weights()[0] ** 2).sum() / 60
    assert result["loss"] + result["bound"] == pytest.approx(expected, rel=1e-3)


@pytest.mark.alternate
@pytest.mark.parametrize("name, shape", [("mnist", (28, 28, 1)), ("frey_faces", (28, 20, 1))])
def test_the_papers_models(name, shape):
    model = getattr(paper, name)(latents=3, examples=100, seed=0)
    rng = np.random.default_rng(0)
    x = rng.uniform(0.01, 0.99, size=(100, *shape)).astype("float32")
    x = (x < 0.3).astype("float32") if name == "mnist" else x
    model.fit(x, epochs=1, batch_size=paper.SETTINGS.batch_size, verbose=0)
    hidden = {"mnist": 500, "frey_faces": 200}[name]
    pixels, heads = np.prod(shape), {"mnist": 1, "frey_faces": 2}[name]
    weights = (pixels + 1) * hidden + 2 * (hidden + 1) * 3 + (3 + 1) * hidden + heads * (hidden + 1) * pixels
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == weights
    assert isinstance(model.optimizer, keras.optimizers.Adagrad)
    assert model.objective.analytic_kl and model.objective.samples == 1
    assert all(w.regularizer is not None for w in model.decoder.trainable_weights)  # the prior on θ
    assert all(w.regularizer is None for w in model.encoder.trainable_weights)
    scale = model.encoder.layers[0].get_weights()[0].std()
    assert scale == pytest.approx(paper.SETTINGS.weight_scale, rel=0.1)
    reconstruction = model.reconstruct(x[:5])
    assert reconstruction.shape == (5, *shape) and np.all((reconstruction > 0) & (reconstruction < 1))


@pytest.mark.thorough
def test_full_variational_bayes_trains_and_checks_its_data(tmp_path):
    model = paper.full_variational_bayes(3, examples=100, hidden=20, seed=0)
    x = binary_images(100, (28, 28, 1))
    model.fit(x, epochs=1, verbose=0)
    with pytest.raises(ValueError, match="expects the values 0 and 1"):
        model.fit(x / 2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.once
def test_settings_are_the_papers():
    s = paper.SETTINGS
    assert (s.batch_size, s.samples, s.hidden_mnist, s.hidden_frey) == (100, 1, 500, 200)
    assert s.learning_rate in s.learning_rates == (0.01, 0.02, 0.1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        s.samples = 2


@pytest.mark.thorough
@pytest.mark.once
def test_the_paper_model_learns_mnist(mirror):
    mnist = vk.datasets.load("dynamic_mnist")
    model = paper.mnist(latents=10, examples=5000, seed=0)
    model.compile(keras.optimizers.Adam(1e-3), objective=vk.objectives.ELBO(analytic_kl=True))
    model.fit(mnist.train[:5000], epochs=4, verbose=0)
    result = model.evaluate(mnist.test[:1000], verbose=0, seed=0)
    assert -190 < result["bound"] < -120
    estimate = vk.evaluation.log_likelihood(model, mnist.test[:100], samples=200, progress=False)
    bound = model.evaluate(mnist.test[:100], verbose=0, seed=0)["bound"]
    assert bound < estimate.mean < bound + 15
