"""Semi-amortized inference against exact posteriors, hand-made steps and finite differences."""

import keras
import numpy as np
import pytest
from keras import ops
from oracles import ProbabilisticPCA, binary_images, two_latents

import vaekit as vk
from vaekit import backend
from vaekit.inference import Refinement


def refined(model, **options):
    """The same networks with a refinement."""
    again = vk.LatentVariableModel(model.generative, model.inference, Refinement(**options), seed=0)
    again.build({name: (None, *model.event_shapes[name]) for name in model.data_names})
    again.compile("sgd")
    return again


def test_refinement_finds_the_exact_posterior_mean():
    pca = ProbabilisticPCA(shift=1.0)
    mean, covariance = pca.posterior()
    scatter = np.sqrt(np.diag(covariance) / 64)  # of the noise's mean
    assert np.abs(pca.model.encode(pca.x) - mean).min() > 0.9
    model = refined(pca.model, steps=200, learning_rate=0.02, samples=64, clip=None)
    assert np.all(np.abs(model.encode(pca.x) - mean) < 5 * scatter)


def test_refinement_closes_the_gap_of_the_bound():
    pca = ProbabilisticPCA(shift=0.6, stretch=1.5)
    before = pca.model.evaluate(pca.x, verbose=0, seed=0)["bound"]
    model = refined(pca.model, steps=60, learning_rate=0.03, samples=64)
    after = model.evaluate(pca.x, verbose=0, seed=0)["bound"]
    exact = pca.log_p().mean()
    assert exact - after < 0.2 * (exact - before)
    estimate = vk.evaluation.log_likelihood(model, pca.x, samples=50, progress=False)
    np.testing.assert_allclose(estimate.mean, exact, atol=0.05)


def test_steps_are_those_of_the_definition():
    """Two steps of momentum and clipping for N(z; 0, 1) N(x; z, 1) by hand, at the noise that was used."""
    encoder, decoder = vk.layers.DiagonalNormal(1, parametrization="log_scale"), vk.layers.Normal(1, scale=1.0)
    model = vk.VAE(encoder, decoder, seed=0)
    model.build((None, 1))
    decoder.set_weights([np.ones((1, 1)), np.zeros(1)])
    encoder.set_weights([np.full((1, 1), 0.3), np.zeros(1), np.zeros((1, 1)), np.full(1, -0.5)])
    x, seed = np.array([[2.0], [-7.0]], "float32"), backend.seed(5)
    data = model.observe(x)
    offsets = Refinement(steps=2, learning_rate=0.3, momentum=0.5, clip=1.5)(model, data, seed)["z"]
    trace = model.trace(x, 1, seed=seed)
    noise = (ops.convert_to_numpy(trace.values["z"])[0, :, 0] - 0.3 * x[:, 0]) / np.exp(-0.5)
    start = np.stack([0.3 * x[:, 0], np.full(2, -0.5)])
    parameters, velocity = start.copy(), np.zeros((2, 2))
    for _ in range(2):
        z = parameters[0] + np.exp(parameters[1]) * noise
        slope = -z + (x[:, 0] - z)  # d/dz log p(x, z); log q(z) depends on log σ alone, with slope −1
        gradient = np.stack([slope, slope * np.exp(parameters[1]) * noise + 1])
        gradient *= np.minimum(1, 1.5 / np.sqrt((gradient**2).sum(axis=0)))
        velocity = 0.5 * velocity + gradient
        parameters = parameters + 0.3 * velocity
    np.testing.assert_allclose(ops.convert_to_numpy(offsets["mean"])[:, 0], (parameters - start)[0], rtol=1e-4)
    np.testing.assert_allclose(ops.convert_to_numpy(offsets["log_scale"])[:, 0], (parameters - start)[1], rtol=1e-4)


@pytest.mark.thorough
def test_fresh_noise_is_another_draw_in_each_step():
    pca = ProbabilisticPCA(shift=0.5)
    data, seed = pca.model.observe(pca.x), backend.seed(3)
    for i in (0, 1):
        start = Refinement(steps=1, learning_rate=0.1)(pca.model, data, backend.fold_in(seed, i))["z"]["mean"]
        found = Refinement(steps=1 + i, learning_rate=0.1, fresh_noise=True)(pca.model, data, seed)["z"]["mean"]
        assert np.allclose(found, start, rtol=1e-5) == (i == 0)
    mean, _ = pca.posterior()
    model = refined(pca.model, steps=80, learning_rate=0.03, samples=16, clip=None, momentum=0.0, fresh_noise=True)
    assert np.abs(model.encode(pca.x) - mean).max() < 0.25  # noise of the last steps


def sentences():
    """A model of sentences of five tokens."""
    x = np.array([[4, 5, 3, 0, 0], [5, 3, 0, 0, 0], [5, 4, 4, 5, 3], [4, 4, 4, 3, 0]])
    embedding = lambda **options: keras.layers.Embedding(6, 3, **options)  # noqa: E731
    encoder = [embedding(mask_zero=True), keras.layers.LSTM(4), vk.layers.DiagonalNormal(2)]
    layers = [embedding(), keras.layers.LSTM(4, return_sequences=True), vk.layers.Tokens(5, 6)]
    model = vk.VAE(keras.Sequential(encoder), vk.layers.AutoregressiveTokens(layers, skip=True), seed=0)
    model.build((None, 5))
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(0, 0.5, w.shape).astype("float32") if w.dtype == "float32" else w
                       for w in model.get_weights()])  # fmt: skip
    return model, x


@pytest.mark.alternate
@pytest.mark.parametrize(
    "kind", ["VAE", "bottom-up", pytest.param("sentences", marks=pytest.mark.thorough), "fresh noise"]
)
def test_gradient_goes_through_the_steps(kind):
    """Against central differences of the loss, for an encoder's and a decoder's weight."""
    if kind == "sentences":
        model, x = sentences()
    elif kind == "bottom-up":
        model, x = two_latents(kind), binary_images(4)
        model.build((None, *x.shape[1:]))
    else:
        x = ProbabilisticPCA().x[:4]
        model = ProbabilisticPCA(shift=0.5, stretch=1.2).model
    model = refined(model, steps=3, learning_rate=0.1, clip=2.0, fresh_noise=kind == "fresh noise")
    data, objective = model.observe(x), vk.objectives.ELBO(2)
    state = model.seed_generator.state

    def loss():
        state.assign(ops.cast([7, 0], state.dtype))
        return ops.sum(objective(model, data, 0, training=True)[0])

    variables = [model.inference[0].layer.trainable_variables[0], model.generative[-1].layer.trainable_variables[-1]]
    slopes = backend.compile(lambda: backend.variables_gradient(loss, variables)[1], model.variables)()
    value = backend.compile(loss, model.variables)
    for variable, slope in zip(variables, slopes, strict=True):
        start = ops.convert_to_numpy(variable).copy()
        direction = np.random.default_rng(0).normal(size=start.shape).astype("float32")
        sides = []
        for sign in (1, -1):
            variable.assign(start + sign * 3e-3 * direction)
            sides.append(float(value()))
        variable.assign(start)
        expected = (sides[0] - sides[1]) / 6e-3
        assert np.sum(ops.convert_to_numpy(slope) * direction) == pytest.approx(expected, rel=0.02, abs=0.05)


def test_steps_that_are_constants_pass_no_gradient():
    """With `through=False` the gradient is that of the bound at λ(x) plus constants: the same bound, another slope."""
    pca = ProbabilisticPCA(shift=0.5, stretch=1.2)
    weights = pca.model.inference[0].layer.trainable_variables
    values, slopes = [], []
    for through in (True, False):
        model = refined(pca.model, steps=3, learning_rate=0.1, through=through)
        data, state = model.observe(pca.x[:4]), model.seed_generator.state
        state.assign(ops.cast([7, 0], state.dtype))

        def loss(model=model, data=data):
            return ops.sum(vk.objectives.ELBO()(model, data, 0, training=True)[0])

        value, slope = backend.compile(lambda loss=loss: backend.variables_gradient(loss, weights), model.variables)()
        values.append(float(value))
        slopes.append(np.concatenate([ops.convert_to_numpy(part).ravel() for part in slope]))
    assert values[0] == pytest.approx(values[1], rel=1e-5)
    assert np.linalg.norm(slopes[1]) > 1e-3 and np.linalg.norm(slopes[0] - slopes[1]) > 1e-2


def test_a_refined_posterior_is_the_same_everywhere():
    pca = ProbabilisticPCA(shift=0.6)
    model = refined(pca.model, steps=5, learning_rate=0.05)
    z = ops.convert_to_tensor(np.zeros((40, 3), "float32"))
    values = {"x": ops.convert_to_tensor(pca.x), "z": z}
    expected = ops.convert_to_numpy(model.posterior(pca.x, seed=1).log_prob(z))
    np.testing.assert_allclose(ops.convert_to_numpy(model.log_q(values, seed=1)), expected, rtol=1e-4)
    np.testing.assert_array_equal(model.encode(pca.x, seed=1), model.encode(pca.x, seed=1))
    information = vk.evaluation.information(model, pca.x, samples=20, progress=False)
    assert 0 < information.mutual_information < information.ceiling  # as ever, for the posterior that was sampled
    plain = vk.evaluation.information(pca.model, pca.x, samples=20, progress=False)
    assert information.mutual_information == pytest.approx(plain.mutual_information, abs=0.3)
    with pytest.raises(ValueError, match="has a refinement"):
        vk.evaluation.remove_inactive(model, pca.x)


def test_a_refined_model_trains_and_reloads(tmp_path):
    x, refinement = binary_images(40), Refinement(steps=2, learning_rate=0.1, beta=vk.objectives.WarmUp(4, start=0.1))
    encoder = keras.Sequential([vk.layers.MLP(8), vk.layers.DiagonalNormal(2)])
    decoder = keras.Sequential([vk.layers.MLP(8), vk.layers.Bernoulli((4, 4, 1))])
    model = vk.VAE(encoder, decoder, refinement=refinement, seed=0)
    model.compile("sgd", objective=vk.objectives.IWAE(3, gradient="dreg"))
    assert np.isfinite(model.fit(x, batch_size=20, epochs=2, verbose=0).history["bound"]).all()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.refinement == refinement
    assert loaded.evaluate(x, verbose=0, seed=0) == pytest.approx(model.evaluate(x, verbose=0, seed=0), rel=1e-5)


@pytest.mark.parametrize(
    "options", [{"steps": 0}, {"learning_rate": 0.0}, {"momentum": 1.0}, {"clip": -1.0}, {"samples": 0}]
)
def test_unusable_settings_are_refused(options):
    with pytest.raises(ValueError, match="steps=20"):
        vk.VAE(vk.layers.DiagonalNormal(2), vk.layers.Normal(3), refinement=20)
    with pytest.raises(ValueError, match="Refinement expects"):
        Refinement(**options)
