"""Mixture priors and VampPriors against tfd.MixtureSameFamily, their definitions, and themselves after loading."""

import keras
import numpy as np
import pytest
from keras import ops
from oracles import binary_images, small_vae, two_latents
from scipy.stats import multivariate_normal, norm

import vaekit as vk
from vaekit import backend
from vaekit.backend import tfd
from vaekit.layers import MLP, Bernoulli, DiagonalNormal
from vaekit.priors import Classes, IndependentSteps, MixtureOfNormals, RealNVP, StandardNormal, VampPrior

IMAGE = (4, 4, 1)


def encoder_of(latents=2):
    return keras.Sequential([MLP(8), DiagonalNormal(latents)])


def decoder_of():
    return keras.Sequential([MLP(8), Bernoulli(IMAGE)])


def vamp_vae(components=5, latents=2, **options):
    encoder = encoder_of(latents)
    model = vk.VAE(encoder, decoder_of(), VampPrior(encoder, components, **options), seed=0)
    model.build((None, *IMAGE))
    model.compile(keras.optimizers.Adam(0.01))
    return model


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


@pytest.mark.parametrize("learned_weights", [False, True])
def test_mixture_of_normals_is_the_mixture(learned_weights):
    prior = MixtureOfNormals(4, learned_weights, seed=1, event_shape=3)
    rng = np.random.default_rng(0)
    prior.set_weights([rng.normal(size=w.shape) for w in prior.get_weights()])
    mean, log_variance, *logits = prior.get_weights()
    expected = tfd.MixtureSameFamily(
        tfd.Categorical(logits=logits[0] if logits else np.zeros(4, "float32")),
        tfd.Independent(tfd.Normal(mean, np.exp(log_variance / 2)), 1),
    )
    z = rng.normal(size=(6, 3)).astype("float32")
    np.testing.assert_allclose(numpy(prior.distribution().log_prob(z)), numpy(expected.log_prob(z)), rtol=1e-5)
    np.testing.assert_allclose(numpy(prior.distribution().mean()), numpy(expected.mean()), rtol=1e-4, atol=1e-6)


def test_vamp_prior_is_the_mean_of_the_posteriors_of_its_pseudo_inputs():
    model = vamp_vae(stddev=0.5)
    z = np.random.default_rng(0).normal(size=(6, 2)).astype("float32")
    each = numpy(model.encoder(model.prior.pseudo_inputs).log_prob(z[:, None]))  # [6, K]
    expected = np.logaddexp.reduce(each, axis=1) - np.log(5)
    np.testing.assert_allclose(numpy(model.prior.distribution().log_prob(z)), expected, rtol=1e-5)


def test_one_component_is_its_posterior():
    model = vamp_vae(components=1, stddev=0.5)
    z = np.random.default_rng(0).normal(size=(6, 2)).astype("float32")
    posterior = model.encoder(model.prior.pseudo_inputs)
    np.testing.assert_allclose(numpy(model.prior.distribution().log_prob(z)), numpy(posterior.log_prob(z)), rtol=1e-5)


def test_another_family_of_posteriors_works_too():
    @keras.saving.register_keras_serializable("vaekit-tests")
    class Laplace(vk.layers.DistributionLayer):
        parameters = ("mean", "log_scale")

        def distribution(self, mean, log_scale):
            return self.independent(tfd.Laplace(mean, ops.exp(log_scale)))

    encoder = keras.Sequential([MLP(8), Laplace(2)])
    model = vk.VAE(encoder, decoder_of(), VampPrior(encoder, 3), seed=0)
    model.build((None, *IMAGE))
    z = np.zeros((4, 2), "float32")
    each = numpy(model.encoder(model.prior.pseudo_inputs).log_prob(z[:, None]))
    expected = np.logaddexp.reduce(each, axis=1) - np.log(3)
    np.testing.assert_allclose(numpy(model.prior.distribution().log_prob(z)), expected, rtol=1e-5)


def test_pseudo_inputs_start_as_the_paper_says_are_shaped_like_data_and_bounded():
    model = vamp_vae(components=400, mean=0.5, stddev=0.02)
    u = model.prior.pseudo_inputs
    assert u.shape == (400, *IMAGE)
    assert u.mean() == pytest.approx(0.5, abs=0.002) and u.std() == pytest.approx(0.02, rel=0.05)
    model.prior.unbounded_inputs.assign(np.linspace(-1, 2, u.size).reshape(u.shape))
    assert model.prior.pseudo_inputs.min() == 0 and model.prior.pseudo_inputs.max() == 1
    vk.plotting.image_grid(model.prior.pseudo_inputs[:9])


@pytest.mark.parametrize("squashed", [False, True])
def test_a_pseudo_input_outside_its_range_has_a_gradient_only_if_squashed(squashed, tmp_path):
    model = vamp_vae(components=5, mean=-2.0, stddev=0.1, value_range=(-1, 3), squashed=squashed, seed=1)
    v, z = model.prior.unbounded_inputs, np.zeros((1, 2), "float32")
    u = -1 + 4 / (1 + np.exp(-numpy(v))) if squashed else np.full(v.shape, -1.0)
    np.testing.assert_allclose(model.prior.pseudo_inputs, u, rtol=1e-5)
    _, (gradient,) = backend.variables_gradient(lambda: ops.sum(model.prior.distribution().log_prob(z)), [v])
    assert (np.abs(numpy(gradient)) > 0).all() == squashed
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(vk.load(tmp_path / "model.keras").prior.pseudo_inputs, model.prior.pseudo_inputs)


def test_training_moves_pseudo_inputs_and_encoder_through_the_prior():
    model, x = vamp_vae(mean=0.5, stddev=0.1), binary_images()
    before, data = model.prior.pseudo_inputs, model.observe(x)
    weights = model.encoder.trainable_variables
    z = np.zeros((1, 2), "float32")
    _, gradient = backend.variables_gradient(lambda: ops.sum(model.prior.distribution().log_prob(z)), weights)
    assert all(np.abs(numpy(g)).max() > 0 for g in gradient)
    model.fit(x, epochs=2, verbose=0)
    assert np.abs(model.prior.pseudo_inputs - before).max() > 1e-3
    assert np.isfinite(numpy(model.trace(data).log_weights())).all()


@pytest.mark.parametrize("gradient, times", [("pathwise", 1), ("dreg", 2)])  # DReG traces each side for itself
def test_pseudo_inputs_are_encoded_once_however_many_samples(gradient, times):
    batches = []

    class Watched(MLP):
        def call(self, x, *args, **kwargs):
            batches.append(x.shape[0])
            return super().call(x, *args, **kwargs)

    encoder = keras.Sequential([Watched(8), DiagonalNormal(2)])
    model = vk.VAE(encoder, decoder_of(), VampPrior(encoder, 7), seed=0)
    data = model.observe(binary_images(3))
    batches.clear()
    objective = vk.objectives.IWAE(5, gradient=gradient)
    backend.dry_run(lambda: objective(model, data, step=0, training=True))
    assert batches.count(7) == times and batches.count(3) >= 1


def test_components_are_drawn_uniformly():
    model = vamp_vae(components=4, stddev=0.5)
    head = model.encoder.layers[-1]
    # four far apart, narrow posteriors
    model.prior.unbounded_inputs.assign(np.eye(16)[:4].reshape(4, *IMAGE))
    model.encoder.layers[0].set_weights([5 * np.eye(16, 8), np.zeros(8)])
    kernel = np.zeros((8, 2))
    kernel[:4] = [[10, 0], [0, 10], [-10, 0], [0, -10]]
    head.heads["mean"].set_weights([kernel, np.zeros(2)])
    head.heads["log_variance"].set_weights([np.zeros((8, 2)), np.full(2, -6.0)])
    z = numpy(model.prior.distribution().sample(4000, seed=backend.seed(0)))
    corner = (np.abs(z[:, :1]) > np.abs(z[:, 1:])).ravel() * 2 + (z.sum(axis=1) > 0)
    counts = np.bincount(corner, minlength=4)
    assert np.all(np.abs(counts - 1000) < 5 * np.sqrt(4000 * 0.25 * 0.75))


def test_data_as_pseudo_inputs():
    x = binary_images()
    encoder = encoder_of()
    prior = VampPrior.from_data(encoder, x, components=7, seed=3)
    model = vk.VAE(encoder, decoder_of(), prior, seed=0)
    model.compile("sgd")
    model.fit(x, verbose=0)
    rows = {row.tobytes() for row in x}
    assert len(prior.pseudo_inputs) == 7 and all(u.tobytes() in rows for u in prior.pseudo_inputs)
    assert not any(v is prior.unbounded_inputs for v in model.trainable_variables)
    noisy = VampPrior.from_data(encoder, x, components=7, stddev=0.01, value_range=None, seed=3)
    noisy.build((2,))
    assert np.std(noisy.pseudo_inputs - prior.pseudo_inputs) == pytest.approx(0.01, rel=0.3)


@pytest.mark.alternate
@pytest.mark.parametrize("kind", ["VAE", "from data", "top-down"])
def test_encoder_stays_one_object_after_loading(kind, tmp_path):
    x = binary_images()
    if kind == "VAE":
        model = vamp_vae()
    elif kind == "from data":
        encoder = encoder_of()
        model = vk.VAE(encoder, decoder_of(), VampPrior.from_data(encoder, x, 5), seed=0)
    else:
        plain = two_latents("top-down")
        prior = VampPrior(plain.inference[0].layer, 5)
        model = vk.LatentVariableModel([vk.Factor("z2", prior), *plain.generative[1:]], plain.inference, seed=0)
    model.compile("sgd")
    model.fit(x, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.generative[0].layer.encoder is loaded.inference[0].layer
    assert len(loaded.weights) == len(model.weights)
    np.testing.assert_array_equal(loaded.generative[0].layer.pseudo_inputs, model.generative[0].layer.pseudo_inputs)
    assert loaded.evaluate(x, verbose=0, seed=0) == pytest.approx(model.evaluate(x, verbose=0, seed=0), rel=1e-5)


def test_a_vamp_prior_runs_the_encoder_in_inference_mode():
    layers = [MLP(8), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5), DiagonalNormal(2)]
    prior = VampPrior(keras.Sequential(layers), 3, stddev=0.5, input_shape=IMAGE)
    prior.build((2,))

    class Density(keras.layers.Layer):
        def call(self, z, training=False):
            return prior.distribution().log_prob(z)

    z = np.ones((4, 2), "float32")
    np.testing.assert_allclose(Density()(z, training=True), prior.distribution().log_prob(z), rtol=1e-5)
    assert not numpy(layers[1].moving_mean).any()


@pytest.mark.once
def test_a_vamp_prior_of_a_sequence_is_refused():
    encoder = keras.Sequential([vk.layers.TimeDistributed(DiagonalNormal(2))])
    with pytest.raises(ValueError, match="describes a sequence of them, step by step.*IndependentSteps"):
        VampPrior(encoder, 3, input_shape=(5, 4)).build((5, 2))


def test_a_prior_that_does_not_fit_is_refused():
    x, encoder = binary_images(), encoder_of()
    other = keras.Sequential([keras.Input((5, 5, 1)), MLP(8), DiagonalNormal(2)])
    with pytest.raises(ValueError, match="the same object"):
        vk.VAE(encoder, decoder_of(), VampPrior(other, 5))
    with pytest.raises(ValueError, match=r"pseudo-inputs of shape \(4, 4, 1\), but its encoder .* expects"):
        VampPrior(other, 5, input_shape=IMAGE).build((2,))
    with pytest.raises(ValueError, match="describes a latent of shape"):
        VampPrior(encoder_of(3), 5, input_shape=IMAGE).build((2,))
    with pytest.raises(ValueError, match="not known yet"):
        VampPrior(encoder_of(), 5).build((2,))
    with pytest.raises(ValueError, match="one input"):
        model = two_latents("top-down")
        model.build((None, *IMAGE))
        VampPrior(model.inference[1].layer, 5).build((3,))
    with pytest.raises(ValueError, match="when its model is built"):
        VampPrior(encoder, 5).pseudo_inputs  # noqa: B018
    with pytest.raises(ValueError, match="leave event_shape=2 out"):
        VampPrior(encoder, 5, event_shape=2)
    with pytest.raises(ValueError, match="components"):
        VampPrior(encoder, 0)
    with pytest.raises(ValueError, match="Keras layer"):
        VampPrior(x, 5)
    for value_range in ((1, 0), (0, 1, 2), 3):
        with pytest.raises(ValueError, match="low < high, or None"):
            VampPrior(encoder, 5, value_range=value_range)
    with pytest.raises(ValueError, match="value_range, which is None"):
        VampPrior(encoder, 5, value_range=None, squashed=True)
    with pytest.raises(ValueError, match="reaches neither end"):
        VampPrior.from_data(encoder, x, 5, squashed=True)
    with pytest.raises(ValueError, match="the prior of a step"):
        IndependentSteps(3)
    with pytest.raises(ValueError, match="known to be an integer of at least 0"):
        IndependentSteps(StandardNormal(), known=-1)
    with pytest.raises(ValueError, match="draws 100 of the examples"):
        VampPrior.from_data(encoder, x, 100)
    with pytest.raises(ValueError, match=r"the data lie in \[0, 255\]"):
        VampPrior.from_data(encoder, 255 * x, 5)
    with pytest.raises(ValueError, match="components"):
        MixtureOfNormals(2.5)


@pytest.mark.alternate
@pytest.mark.parametrize("make", [lambda encoder: VampPrior(encoder, 3), lambda encoder: MixtureOfNormals(3, seed=0)])
def test_hmc_follows_the_gradient_of_a_mixture(make):
    encoder = encoder_of()
    model = vk.VAE(encoder, decoder_of(), make(encoder), seed=0)
    x = binary_images(3)
    z, accepted = vk.inference.hmc(model, x, samples=4, burn_in=5)
    assert z["z"].shape == (4, 3, 2) and np.isfinite(z["z"]).all() and np.all(accepted > 0)


@keras.saving.register_keras_serializable("vaekit-tests")
class Encoder(keras.Model):
    """A network whose output Keras cannot tell beforehand."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.hidden, self.head = MLP(8), DiagonalNormal(2)

    def call(self, x, training=False):
        return self.head(self.hidden(x))


@keras.saving.register_keras_serializable("vaekit-tests")
class PlainEncoder(Encoder):
    def call(self, x):
        return self.head(self.hidden(x))


def functional():
    x = keras.Input(IMAGE)
    return keras.Model(x, DiagonalNormal(2)(MLP(8)(x)))


ENCODERS = {
    "subclassed": Encoder,
    "subclassed, without a training mode": PlainEncoder,
    "functional": functional,
    "Stack": lambda: vk.layers.Stack([MLP(8), DiagonalNormal(2)]),
    "a distribution layer": lambda: DiagonalNormal(2),
}


@pytest.mark.alternate
@pytest.mark.filterwarnings("ignore::UserWarning")  # Keras says that it cannot trace the first two
@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize("shape", [None, IMAGE])
def test_any_encoder_of_a_vae_serves_a_vamp_prior(kind, shape, tmp_path):
    encoder, x = ENCODERS[kind](), binary_images()
    model = vk.VAE(encoder, Bernoulli(IMAGE), VampPrior(encoder, 3, input_shape=shape, seed=0), seed=0)
    model.build((None, *IMAGE))
    z = np.zeros((1, 2), "float32")
    each = numpy(encoder(model.prior.pseudo_inputs).log_prob(z))
    expected = np.logaddexp.reduce(each) - np.log(3)
    np.testing.assert_allclose(numpy(model.prior.distribution().log_prob(z)), [expected], rtol=1e-5)
    if shape is not None:
        return
    model.compile("sgd")
    model.fit(x, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.prior.encoder is loaded.encoder
    assert loaded.evaluate(x, verbose=0, seed=0) == pytest.approx(model.evaluate(x, verbose=0, seed=0), rel=1e-5)


@pytest.mark.parametrize("kind", ["mixture", "VampPrior"])
def test_mixtures_train_where_floats_are_float64(float64, kind):
    encoder = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(8, "tanh"), DiagonalNormal(2)])
    prior = MixtureOfNormals(3, seed=0) if kind == "mixture" else VampPrior(encoder, 3, seed=0)
    model, x = vk.VAE(encoder, Bernoulli(IMAGE), prior, seed=0), binary_images()
    model.compile("sgd")
    assert np.isfinite(model.fit(x, verbose=0).history["loss"]).all()
    assert model.log_weights(x).dtype == model.sample(2).dtype == "float32"


def test_kl_of_a_vamp_prior_has_no_closed_form():
    model, x = vamp_vae(), binary_images()
    model.compile("sgd", objective=vk.objectives.ELBO(analytic_kl=True))
    with pytest.raises(ValueError, match="estimator A"):
        model.fit(x, verbose=0)


def test_mixture_prior_in_a_model_reloads(tmp_path):
    model, x = small_vae(prior=MixtureOfNormals(3, learned_weights=True, seed=0)), binary_images()
    model.fit(x, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.evaluate(x, verbose=0, seed=0) == pytest.approx(model.evaluate(x, verbose=0, seed=0), rel=1e-5)


# ---------------------------------------------------------------- flows and classes


@pytest.mark.parametrize("size", [2, 3])
def test_a_flow_of_affine_functions_is_a_normal_distribution(size):
    kept, rng = size // 2, np.random.default_rng(0)
    prior, scale, shift = RealNVP(3, 2 * kept, size), np.eye(size), np.zeros(size)
    swap = np.eye(size)[::-1]
    for network in reversed(prior.networks):  # the last one is the first that the noise meets
        linear, v = rng.normal(size=(kept, size - kept)), rng.normal(size=size - kept)
        constant = rng.normal(size=size - kept)
        hidden = np.concatenate([np.eye(kept), -np.eye(kept)], axis=1)  # relu(a) − relu(−a) = a
        out = np.zeros((2 * kept, 2 * (size - kept)))
        out[:kept, : size - kept], out[kept:, : size - kept] = linear, -linear
        network.set_weights([hidden, np.zeros(2 * kept), out, np.concatenate([constant, v])])
        step = np.diag(np.concatenate([np.ones(kept), np.exp(np.tanh(v))]))
        step[kept:, :kept] = linear.T
        scale, shift = step @ swap @ scale, step @ swap @ shift + np.concatenate([np.zeros(kept), constant])
    z = rng.normal(size=(6, size)).astype("float32")
    expected = multivariate_normal(shift, scale @ scale.T).logpdf(z)
    np.testing.assert_allclose(numpy(prior.distribution().log_prob(z)), expected, rtol=1e-4)
    draws = numpy(prior.distribution().sample(4000, seed=backend.seed(0)))
    np.testing.assert_allclose(draws.mean(axis=0), shift, atol=5 * np.sqrt(np.diag(scale @ scale.T).max() / 4000))


def test_a_flow_integrates_to_one():
    prior, rng = RealNVP(4, 8, 2, seed=0), np.random.default_rng(1)
    for network in prior.networks:
        network.set_weights([0.5 * rng.normal(size=w.shape) for w in network.get_weights()])
    line = np.linspace(-12, 12, 401)
    z = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2).astype("float32")
    mass = np.exp(numpy(prior.distribution().log_prob(z))) * (line[1] - line[0]) ** 2
    assert mass.sum() == pytest.approx(1, abs=2e-3)
    draws = numpy(prior.distribution().sample(4000, seed=backend.seed(0)))
    np.testing.assert_allclose(draws.mean(axis=0), mass @ z, atol=5 * draws.std(axis=0).max() / np.sqrt(4000))


@pytest.mark.thorough
def test_a_flow_takes_batches_of_any_rank():
    prior = RealNVP(2, 8, 3, seed=0)
    for network in prior.networks:
        network.set_weights([w + 0.3 for w in network.get_weights()])
    p, z = prior.distribution(), np.random.default_rng(0).normal(size=(2, 4, 3)).astype("float32")
    rows = numpy(p.log_prob(z.reshape(8, 3)))
    np.testing.assert_allclose(numpy(p.log_prob(z)), rows.reshape(2, 4), rtol=1e-4)
    np.testing.assert_allclose(numpy(p.log_prob(z[0, 0])), rows[0], rtol=1e-4)
    shapes = [tuple(p.sample(n, seed=backend.seed(0)).shape) for n in ((), (2, 5))]
    assert shapes == [(3,), (2, 5, 3)]
    steps = IndependentSteps(RealNVP(2, 8, seed=0), event_shape=(4, 3)).distribution()
    np.testing.assert_allclose(numpy(steps.log_prob(z)), norm.logpdf(z).sum(axis=(1, 2)), rtol=1e-4)


@pytest.mark.parametrize("learned", [False, True])
def test_classes_have_their_probabilities(learned, tmp_path):
    prior = Classes(learned, event_shape=3)
    if learned:
        prior.logits.assign(np.log([0.5, 0.3, 0.2]))
    expected = np.array([0.5, 0.3, 0.2]) if learned else np.full(3, 1 / 3)
    p = prior.distribution()
    np.testing.assert_allclose(np.exp(numpy(p.log_prob(np.eye(3, dtype="float32")))), expected, rtol=1e-5)
    np.testing.assert_allclose(numpy(p.mean()), expected, rtol=1e-5)
    assert Classes.from_config(prior.get_config()).get_config() == prior.get_config()


def test_flows_and_classes_refuse_other_latents():
    with pytest.raises(ValueError, match=r"at least two numbers.*received the shape \[1\]"):
        RealNVP(event_shape=1)
    with pytest.raises(ValueError, match=r"at least two classes; received the shape \[2, 2\]"):
        Classes(event_shape=(2, 2))
    with pytest.raises(ValueError, match="True or False, and K as event_shape=3, say; received 3"):
        Classes(3)


@pytest.mark.alternate
def test_a_keras_model_of_ones_own_trains_heads_and_a_vampprior():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.encoder = keras.Sequential([vk.layers.MLP(4), vk.layers.DiagonalNormal(2)])
            self.decoder = keras.Sequential([vk.layers.MLP(4), vk.layers.Bernoulli((4, 4, 1))])
            self.prior = vk.priors.VampPrior(self.encoder, components=3, input_shape=(4, 4, 1))
            self.prior.build((2,))
            self.seeds = keras.random.SeedGenerator(0)

        def call(self, x, training=False):
            return self.decoder(self.encoder(x).mean()).mean()

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            q = self.encoder(x)
            z = q.sample(seed=ops.cast(self.seeds.next(), "int32"))
            return ops.mean(q.log_prob(z) - self.prior.distribution().log_prob(z) - self.decoder(z).log_prob(x))

    model, x = Own(), binary_images(8)
    model.compile("adam")
    before = model.prior.pseudo_inputs
    model.fit(x, epochs=2, verbose=0)
    assert np.isfinite(model.evaluate(x, verbose=0)) and np.any(model.prior.pseudo_inputs != before)


@pytest.mark.parametrize("shape", [0, -1, 2.5, "4", (3, None)])
def test_a_shape_that_is_none_is_refused(shape):
    with pytest.raises(ValueError, match=r"StandardNormal expects event_shape.*20 or \(8, 8, 4\); received"):
        StandardNormal(shape)
    assert StandardNormal(np.int64(4)).shape == (4,)
    with pytest.raises(ValueError, match=r"RealNVP does not know the latent's shape yet.*prior.build\(\(20,\)\)"):
        RealNVP().distribution()
