"""Evaluation against enumeration, numerical integration and closed forms."""

import itertools
import math

import keras
import numpy as np
import pytest
from keras import ops
from oracles import ProbabilisticPCA, binary_images, small_vae, two_latents
from scipy.integrate import quad
from scipy.linalg import sqrtm
from scipy.stats import norm
from sklearn.neighbors import KNeighborsClassifier

import vaekit as vk
from vaekit.backend import tfd
from vaekit.evaluation import (
    active_units,
    classification_accuracy,
    fid,
    frechet_distance,
    information,
    lenet_features,
    log_likelihood,
    remove_inactive,
)
from vaekit.layers import MLP, Bernoulli, DiagonalNormal, Normal

X = binary_images(6)


def estimate(model, x, samples=2000, batch_size=4):
    return information(model, x, samples, batch_size, progress=False)


# ---------------------------------------------------------------- log-likelihood


class Watched(keras.layers.Layer):
    """Passes on what it is given, counts the calls, and notes the rows of each traced one."""

    def build(self, input_shape):
        self.calls, self.rows = self.add_weight(shape=(), initializer="zeros", trainable=False), set()

    def call(self, inputs):
        self.calls.assign_add(1)
        self.rows.add(inputs.shape[0])
        return inputs


def test_log_likelihood_runs_once_a_batch_what_no_sample_is_needed_for():
    of_x, of_z2, encoder, decoder = Watched(), Watched(), Watched(), Watched()
    x, z2 = keras.Input((4, 4, 1)), keras.Input((2,))
    joined = keras.layers.Concatenate()([of_z2(z2), of_x(MLP(8)(x))])
    q_z1 = keras.Model([z2, x], DiagonalNormal(3)(MLP(8)(joined)))
    q_z2 = keras.Sequential([MLP(8), encoder, DiagonalNormal(2)])
    model = vk.LatentVariableModel(
        generative=[
            vk.Factor("z2", vk.priors.VampPrior(q_z2, components=7, input_shape=(4, 4, 1))),
            vk.Factor("z1", keras.Sequential([MLP(8), DiagonalNormal(3)]), given="z2"),
            vk.Factor("x", keras.Sequential([MLP(8), decoder, Bernoulli((4, 4, 1))]), given="z1"),
        ],
        inference=[vk.Factor("z2", q_z2, given="x"), vk.Factor("z1", q_z1, given=("z2", "x"))],
    )
    model.build((None, 4, 4, 1))
    watched = (of_x, of_z2, encoder, decoder)
    for layer in watched:
        layer.calls.assign(0)
        layer.rows.clear()
    estimate = log_likelihood(model, X, samples=10, batch_size=3, chunk=4, progress=False)
    assert [int(layer.calls) for layer in watched] == [2, 2 * 3, 2 * 2, 2 * 3]  # 2 batches, 3 chunks, x and u
    assert [layer.rows for layer in watched] == [{3}, {4 * 3}, {3, 7}, {4 * 3}]
    assert estimate.samples == 10 and estimate.effective_sample_size.max() <= 10


# ---------------------------------------------------------------- information


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


# ---------------------------------------------------------------- units


def test_sampled_activity_is_that_of_the_expected_mean():
    model = two_latents("bottom-up")
    model.build((None, 4, 4, 1))
    plugged = active_units(model, X)
    sampled = active_units(model, X, samples=4000, batch_size=4)
    np.testing.assert_allclose(sampled["z1"].activity, plugged["z1"].activity, rtol=1e-3)  # needs no samples
    trace = model.trace(X, 4000, seed=7)
    means = ops.convert_to_numpy(trace.values["z2"]).mean(axis=0)  # [N, 2], of z2 itself
    error = ops.convert_to_numpy(trace.values["z2"]).std(axis=0).max() / np.sqrt(4000)
    np.testing.assert_allclose(sampled["z2"].mean, means.mean(axis=0), atol=5 * error)
    np.testing.assert_allclose(np.sqrt(sampled["z2"].activity), means.std(axis=0), atol=5 * error)
    for wrong in (dict(samples=0), dict(batch_size=0)):
        with pytest.raises(ValueError, match="at least 1"):
            active_units(model, X, **wrong)
    with pytest.raises(ValueError, match="threshold of at least 0"):
        active_units(model, X, threshold="1 %")


def with_dead_unit(dead=1):
    """Probabilistic PCA whose unit is dead: x does not depend on it, and q = p there."""
    pca = ProbabilisticPCA()
    pca.W[:, dead] = 0
    pca.model.decoder.heads["mean"].set_weights([pca.W.T, pca.b])
    for head in pca.model.encoder.heads.values():
        kernel, bias = head.get_weights()
        kernel[:, dead], bias[dead] = 0, 0
        head.set_weights([kernel, bias])
    return pca


def test_removing_a_dead_unit_changes_nothing():
    pca = with_dead_unit()
    assert active_units(pca.model, pca.x).active.tolist() == [True, False, True]
    pruned = remove_inactive(pca.model, pca.x)
    # q is the posterior still: each log-weight is log p(x)
    result = log_likelihood(pruned, pca.x, samples=5, progress=False)
    np.testing.assert_allclose(result.per_example, pca.log_p(), atol=1e-3)
    np.testing.assert_allclose(result.effective_sample_size, 5, rtol=1e-4)


def test_removing_a_live_unit_costs_what_it_carried():
    pca = ProbabilisticPCA()
    pruned = remove_inactive(pca.model, pca.x, threshold=np.sort(active_units(pca.model, pca.x).activity)[0] * 1.01)
    units = active_units(pruned, pca.x)
    kept = units.activity > 1e-9
    assert kept.sum() == 2
    # p(x) with z_d fixed at its mean m: N(b + m W_d, Σ_{kept} W Wᵀ + σ² I)
    mean = pca.b + pca.W[:, ~kept] @ units.mean[~kept]
    narrowed = ProbabilisticPCA()
    narrowed.W, narrowed.b = pca.W * kept, mean
    estimated = log_likelihood(pruned, pca.x, samples=50, progress=False)
    np.testing.assert_allclose(estimated.per_example, narrowed.log_p(), atol=1e-3)
    assert estimated.mean < pca.log_p().mean() - 0.05


def two_components():
    """Two components of three units, as TFP has them."""

    class Mixture(vk.priors.Prior):
        def distribution(self):
            means = ops.convert_to_tensor([[0.0, 3.0, 1.0], [1.0, 5.0, -1.0]])
            components = tfd.Independent(tfd.Normal(means, ops.ones_like(means)), 1)
            return tfd.MixtureSameFamily(tfd.Categorical(logits=ops.convert_to_tensor([0.0, 1.0])), components)

    return small_vae(3, prior=Mixture())


def vamp_prior():
    encoder = keras.Sequential([MLP(8), DiagonalNormal(3)])
    decoder = keras.Sequential([MLP(8), Bernoulli((4, 4, 1))])
    return vk.VAE(encoder, decoder, vk.priors.VampPrior(encoder, components=4), seed=0)


@pytest.mark.alternate
@pytest.mark.parametrize("make", [two_components, vamp_prior])
def test_marginals_of_mixtures(make, tmp_path):
    model = make()
    model.build((None, 4, 4, 1))
    units = vk.evaluation.ActiveUnits(np.array([1.0, 0.0, 1.0]), 0.01, np.array([7.0, 8.0, 9.0]))
    pruned = remove_inactive(model, units)
    prior = model.prior.distribution()
    if make is vamp_prior:
        means, scales = (ops.convert_to_numpy(part)[:, [0, 2]] for part in (prior.loc, prior.scale))
        weights = np.full(4, 0.25)
    else:
        means, scales = np.array([[0.0, 1.0], [1.0, -1.0]]), 1.0
        weights = np.exp([0.0, 1.0]) / np.exp([0.0, 1.0]).sum()
    z = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    exact = np.log(np.prod(norm(means, scales).pdf(z[:, None, [0, 2]]), axis=-1) @ weights)
    marginal = pruned.generative[0]([])
    np.testing.assert_allclose(ops.convert_to_numpy(marginal.log_prob(ops.convert_to_tensor(z))), exact, rtol=1e-4)
    draws = ops.convert_to_numpy(marginal.sample(3, seed=vk.backend.seed(0)))
    assert (draws[:, 1] == 8).all() and (draws[:, [0, 2]] != [7, 9]).all()
    if make is vamp_prior:  # which shares the encoder, in files too
        pruned.save(tmp_path / "pruned.keras")
        loaded = keras.saving.load_model(tmp_path / "pruned.keras")
        assert loaded.generative[0].layer.layer.encoder is loaded.inference[0].layer.layer
        again = loaded.generative[0]([]).log_prob(ops.convert_to_tensor(z))
        np.testing.assert_allclose(ops.convert_to_numpy(again), exact, rtol=1e-4)


def test_a_hierarchy_without_units_trains_and_is_saved(tmp_path):
    model = two_latents("top-down")
    model.build((None, 4, 4, 1))
    units = active_units(model, X)
    least = min(unit.activity.min() for unit in units.values())
    pruned = remove_inactive(model, X, threshold=1.01 * least)
    pruned.compile("sgd", objective=vk.objectives.ELBO(analytic_kl=True))
    before = model.get_weights()
    assert np.isfinite(pruned.fit(X, verbose=0).history["bound"]).all()
    assert any((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))  # weights are shared
    pruned.save(tmp_path / "pruned.keras")
    loaded = keras.saving.load_model(tmp_path / "pruned.keras")
    bounds = [m.evaluate(X, verbose=0, seed=1)["bound"] for m in (pruned, loaded)]
    assert bounds[0] == pytest.approx(bounds[1], rel=1e-5)


def test_units_that_cannot_be_removed():
    model = small_vae(3)
    model.build((None, 4, 4, 1))
    unit = vk.evaluation.ActiveUnits(np.zeros(2), 0.01, np.zeros(2))
    with pytest.raises(ValueError, match=r"expects active units of shapes {'z': \(3,\)}; received {'z': \(2,\)}"):
        remove_inactive(model, unit)

    class Correlated(vk.priors.Prior):
        def distribution(self):
            return tfd.MultivariateNormalTriL(ops.zeros(3), ops.convert_to_tensor(np.tri(3, dtype="float32")))

    model = small_vae(3, prior=Correlated())
    model.build((None, 4, 4, 1))
    with pytest.raises(ValueError, match="may depend on each other"):
        remove_inactive(model, vk.evaluation.ActiveUnits(np.zeros(3), 0.01, np.zeros(3)))


# ---------------------------------------------------------------- bits per dimension


def test_bits_per_dimension_are_shown_of_data_that_are_not_binary():
    pca = ProbabilisticPCA()
    result = log_likelihood(pca.model, pca.x, samples=2, progress=False)
    assert result.bits_per_dimension == pytest.approx(-pca.log_p().mean() / 6 / math.log(2), abs=1e-4)
    bits = -result.per_example / 6 / math.log(2)
    assert result.bits_standard_error == pytest.approx(bits.std(ddof=1) / np.sqrt(len(bits)))
    assert f"{bits.mean():.3f} ± {result.bits_standard_error:.3f} bits per dimension" in repr(result)
    binary = log_likelihood(small_vae(), X, samples=2, progress=False)
    assert binary.dimensions == 16 and "bits" not in repr(binary)


# ---------------------------------------------------------------- classification


def labelled(n=60, seed=0):
    """Codes of two classes: apart in one direction, or as an XOR, which no line can tell."""
    z = np.random.default_rng(seed).normal(size=(n, 2)).astype("float32")
    return z, (z[:, 0] > 0), (z[:, 0] * z[:, 1] > 0)


def test_classifiers_tell_what_they_can():
    (z, line, xor), (z_test, line_test, xor_test) = labelled(200), labelled(100, seed=1)

    def accuracy(y, y_test, classifier):
        return classification_accuracy(lambda codes: codes, (z, y), (z_test, y_test), classifier)

    assert accuracy(line, line_test, "linear").mean > 0.95
    assert accuracy(xor, xor_test, "linear").mean < 0.75
    result = accuracy(xor, xor_test, "mlp")
    assert result.mean > 0.9
    np.testing.assert_array_equal(accuracy(xor, xor_test, "mlp").correct, result.correct)
    neighbours = accuracy(xor, xor_test, KNeighborsClassifier(1))
    nearest = np.argmin(((z_test[:, None] - z) ** 2).sum(-1), axis=1)
    np.testing.assert_array_equal(neighbours.correct, xor[nearest] == xor_test)
    p = neighbours.mean
    assert neighbours.standard_error == pytest.approx(np.sqrt(p * (1 - p) / 99))
    assert "KNeighborsClassifier" in repr(neighbours) and "100 examples" in repr(neighbours)


def test_classification_of_a_models_codes():
    pca = ProbabilisticPCA()
    y = np.where(pca.model.encode(pca.x)[:, 0] > 0, "right", "left")
    result = classification_accuracy(pca.model, (pca.x, y), (pca.x, y), "linear")
    assert result.mean > 0.9
    model = two_latents("bottom-up")
    y = np.arange(6) % 2
    assert classification_accuracy(model, (X, y), (X, y), KNeighborsClassifier(1)).mean == 1


@pytest.mark.parametrize(
    "train, test, classifier, message",
    [
        ((X, np.eye(6)), (X, np.arange(6)), "linear", "argmax"),
        ((X, np.arange(5)), (X, np.arange(5)), "linear", "has 5 for 6 examples"),
        ((X, np.zeros(6)), (X, np.zeros(6)), "linear", "two classes or more"),
        ((X, np.arange(6) % 2), (X, np.arange(6) % 3), "linear", "none but these"),
        ((X, np.arange(6)), (X, np.arange(6)), "svm", '"mlp", "linear" or a scikit-learn'),
        (X, X, "mlp", r"train=\(x, y\)"),
    ],
)
def test_classification_refuses(train, test, classifier, message):
    with pytest.raises(ValueError, match=message):
        classification_accuracy(small_vae(), train, test, classifier)


# ---------------------------------------------------------------- Fréchet distance


@pytest.mark.parametrize("n", [40, 4])  # fewer rows than features too: singular covariances
def test_frechet_distance_is_its_formula(n):
    rng = np.random.default_rng(0)
    a = rng.normal(size=(n, 6)) @ rng.normal(size=(6, 6))
    b = rng.normal(size=(50, 6)) @ rng.normal(size=(6, 6)) + rng.normal(size=6)
    covariances = np.cov(a.T), np.cov(b.T)
    root = sqrtm(covariances[0] @ covariances[1])
    exact = np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(sum(covariances)) - 2 * np.trace(root).real
    assert frechet_distance(a, b) == pytest.approx(exact, rel=1e-6)
    assert frechet_distance(b, a) == pytest.approx(frechet_distance(a, b))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-10)
    assert frechet_distance(a, a + 2) == pytest.approx(6 * 4)


def test_frechet_distance_of_two_gaussians():
    # commuting covariances: d² = |μ_a − μ_b|² + Σ (σ_a − σ_b)²
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(100, 3))
    noise -= noise.mean(axis=0)
    white = noise @ np.linalg.inv(np.linalg.cholesky(np.cov(noise.T))).T  # mean 0 and covariance 1 exactly
    s_a, s_b, shift = np.array([1.0, 2.0, 1e-6]), np.array([3.0, 2.0, 1.0]), np.array([1.0, 0.0, -2.0])
    exact = np.sum(shift**2) + np.sum((s_a - s_b) ** 2)
    assert frechet_distance(white * s_a, white * s_b + shift) == pytest.approx(exact, rel=1e-9)


def stripes(n, seed):
    """Images 8 × 8 with a bright row or a bright column."""
    rng = np.random.default_rng(seed)
    x, y = 0.1 * rng.random((n, 8, 8, 1)), rng.integers(2, size=n)
    for image, label, place in zip(x, y, rng.integers(8, size=n), strict=True):
        image[(slice(None), place) if label else place] += 0.9
    return x.astype("float32"), y


def test_fid_names_its_features_and_tells_images_apart():
    features = lenet_features(*stripes(300, 0), epochs=4, held_out=0.2)
    assert features.accuracy > 0.9
    assert features(stripes(7, 1)[0]).shape == (7, 84)
    real = stripes(200, 1)[0]
    same = fid(stripes(200, 2)[0], real, features)
    noise = fid(np.random.default_rng(0).random((200, 8, 8, 1)), real, features)
    assert same.distance < 0.1 * noise.distance
    assert repr(same).startswith(
        f"FID, LeNet features ({100 * features.accuracy:.1f} % accurate on held-out images) = "
    )


def test_fid_of_a_model_is_that_of_its_samples():
    def pixels(images):
        return np.reshape(images, (len(images), -1))

    model = small_vae()
    model.build((None, 4, 4, 1))
    result = fid(model, X, pixels, name="pixels", mean=True, batch_size=4)
    assert result.images == (6, 6)
    generator = keras.random.SeedGenerator(0)
    samples = np.concatenate([model.sample(n, mean=True, seed=generator) for n in (4, 2)])
    assert result.distance == pytest.approx(frechet_distance(pixels(samples), pixels(X)))
    assert repr(result).startswith("FID, pixels = ")
    with pytest.raises(ValueError, match="that has a name"):
        fid(model, X, pixels)
    with pytest.raises(ValueError, match="shaped as the real"):
        fid(np.zeros((6, 5, 5, 1)), X, pixels, name="pixels")
    with pytest.raises(ValueError, match="Flatten feature maps"):
        fid(X, X, lambda images: images, name="images")


@pytest.mark.parametrize(
    "function, message",
    [
        (lambda: frechet_distance(np.zeros((5, 2)), np.zeros((5, 3))), "equally many features; received 2 and 3"),
        (lambda: frechet_distance(np.zeros((1, 2)), np.zeros((5, 2))), "two rows or more"),
        (lambda: frechet_distance(np.full((5, 2), np.nan), np.zeros((5, 2))), "5 of 5 rows of a"),
        (lambda: lenet_features(X, np.zeros(6)), "1 classes"),
        (lambda: lenet_features(X, np.arange(5)), "received 5 for 6 images"),
        (lambda: lenet_features(X[..., 0], np.arange(6)), r"received \[6, 4, 4\]"),
        (lambda: lenet_features(X, np.arange(6), held_out=0), "0 < held_out < 1"),
        (lambda: fid(X, X[:1], len, name="n"), "two or more"),
    ],
)
def test_features_that_have_no_distance(function, message):
    with pytest.raises(ValueError, match=message):
        function()
