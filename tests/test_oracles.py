"""vaekit against exact answers: probabilistic PCA, enumeration, finite differences."""

import functools

import keras
import numpy as np
import pytest
from keras import ops
from oracles import ProbabilisticPCA, enumerate_bernoulli_posterior, small_vae, two_latents

import vaekit as vk
from vaekit.evaluation import active_units, hmc_log_likelihood, log_likelihood


def test_exact_posterior_makes_every_log_weight_the_log_likelihood():
    pca = ProbabilisticPCA()
    log_weights = pca.model.log_weights(pca.x, samples=7)
    assert log_weights.shape == (7, 40)
    np.testing.assert_allclose(log_weights, np.tile(pca.log_p(), (7, 1)), rtol=1e-4, atol=1e-4)
    estimate = log_likelihood(pca.model, pca.x, samples=20, progress=False)
    np.testing.assert_allclose(estimate.per_example, pca.log_p(), atol=1e-3)
    np.testing.assert_allclose(estimate.effective_sample_size, 20, rtol=1e-4)


def test_posterior_and_encoding_are_the_exact_ones():
    pca = ProbabilisticPCA()
    mean, covariance = pca.posterior()
    np.testing.assert_allclose(pca.model.encode(pca.x), mean, atol=1e-4)
    np.testing.assert_allclose(
        ops.convert_to_numpy(pca.model.posterior(pca.x).variance()), np.tile(np.diag(covariance), (40, 1)), rtol=1e-4
    )


@pytest.mark.parametrize("analytic_kl", [False, True])
def test_elbo_is_log_likelihood_minus_the_gap(analytic_kl):
    objective = vk.objectives.ELBO(samples=400, analytic_kl=analytic_kl)
    pca = ProbabilisticPCA(shift=0.3, stretch=1.4, objective=objective)
    result = pca.model.evaluate(pca.x, verbose=0, seed=1)
    exact = pca.log_p().mean() - pca.kl_to_posterior()
    # one log-weight scatters by a few nats, their mean over 400 · 40 by a few hundredths
    scatter = pca.model.log_weights(pca.x, 400, seed=2).std() / np.sqrt(400 * 40)
    assert abs(result["bound"] - exact) < 5 * scatter
    assert result["bound"] == pytest.approx(result["reconstruction"] - result["kl"], abs=1e-3)


def test_bounds_are_ordered_and_rise_to_log_p():
    pca = ProbabilisticPCA(shift=0.5, stretch=1.4)
    exact = pca.log_p().mean()
    log_weights = pca.model.log_weights(pca.x, 5000, seed=1)
    bounds, errors = {}, {}
    for k in (1, 5, 50):
        estimates = np.logaddexp.reduce(log_weights.reshape(-1, k, 40), axis=1) - np.log(k)  # [5000 / k, 40]
        bounds[k], errors[k] = estimates.mean(), estimates.std() / np.sqrt(estimates.size)
        pca.model.compile("sgd", objective=vk.objectives.IWAE(samples=k))
        metric = np.mean([pca.model.evaluate(pca.x, verbose=0, seed=s)["bound"] for s in range(5)])
        assert abs(metric - bounds[k]) < 5 * estimates.std() / np.sqrt(5 * 40)
    assert bounds[1] + 4 * errors[1] < bounds[5] and bounds[5] + 4 * errors[5] < bounds[50]
    assert bounds[50] < exact + 4 * errors[50]
    assert exact - bounds[50] < 0.1 * (exact - bounds[1])


def test_iwae_with_one_sample_is_the_elbo():
    pca = ProbabilisticPCA(shift=0.3)
    results = []
    for objective in (vk.objectives.ELBO(), vk.objectives.IWAE(samples=1)):
        pca.model.compile("sgd", objective=objective)
        results.append(pca.model.evaluate(pca.x, verbose=0, seed=3))
    assert results[0] == pytest.approx(results[1], abs=1e-5)


def test_importance_sampling_streams_to_the_exact_value():
    pca = ProbabilisticPCA(shift=0.2, stretch=1.2)
    estimate = log_likelihood(pca.model, pca.x, samples=3000, batch_size=16, chunk=700, progress=False)
    np.testing.assert_allclose(estimate.per_example, pca.log_p(), atol=0.15)
    assert abs(estimate.mean - pca.log_p().mean()) < 0.02
    assert estimate.standard_error == pytest.approx(estimate.per_example.std(ddof=1) / np.sqrt(40))
    assert np.all((1 <= estimate.effective_sample_size) & (estimate.effective_sample_size <= 3000))
    again = log_likelihood(pca.model, pca.x, samples=3000, batch_size=16, chunk=700, progress=False)
    np.testing.assert_array_equal(estimate.per_example, again.per_example)


def test_streaming_does_not_depend_on_chunks():
    pca = ProbabilisticPCA(shift=0.2)
    whole = log_likelihood(pca.model, pca.x, samples=1, batch_size=40, seed=5, progress=False)
    direct = pca.model.log_weights(pca.x, 1, seed=5)[0]
    np.testing.assert_allclose(whole.per_example, direct, rtol=1e-5)


def test_hmc_estimate_agrees_with_the_truth():
    pca = ProbabilisticPCA(latents=2)
    estimate = hmc_log_likelihood(pca.model, pca.x[:12], samples=100)
    np.testing.assert_allclose(estimate.per_example, pca.log_p()[:12], atol=0.3)
    assert abs(estimate.mean - pca.log_p()[:12].mean()) < 0.1


def test_hmc_samples_have_the_posterior_moments():
    pca = ProbabilisticPCA(latents=2)
    z, acceptance = vk.inference.hmc(pca.model, pca.x[:5], samples=1500, burn_in=300, thinning=2)
    mean, covariance = pca.posterior(pca.x[:5])
    assert z["z"].shape == (1500, 5, 2)
    np.testing.assert_allclose(z["z"].mean(axis=0), mean, atol=0.1)
    for i in range(5):
        np.testing.assert_allclose(np.cov(z["z"][:, i].T), covariance, atol=0.08)
    assert np.all((0.75 < acceptance) & (acceptance < 0.99))


def test_active_units_are_those_whose_mean_moves():
    pca = ProbabilisticPCA(latents=3)
    kernel, bias = pca.model.encoder.heads["mean"].get_weights()
    kernel[:, 1] = 0  # this unit's mean is now the same for every x
    pca.model.encoder.heads["mean"].set_weights([kernel, bias])
    units = active_units(pca.model, pca.x)
    np.testing.assert_array_equal(units.active, [True, False, True])
    np.testing.assert_allclose(units.activity, (pca.x @ kernel + bias).var(axis=0), rtol=1e-3, atol=1e-8)
    assert units.count == 2


def test_sampling_from_the_model_has_the_model_moments():
    pca = ProbabilisticPCA()
    x = pca.model.sample(20_000, seed=1)
    covariance = pca.W @ pca.W.T + pca.sigma**2 * np.eye(len(pca.b))
    np.testing.assert_allclose(x.mean(axis=0), pca.b, atol=0.06)
    np.testing.assert_allclose(np.cov(x.T), covariance, atol=0.12)


@pytest.mark.alternate
@pytest.mark.parametrize("order", ["bottom-up", "top-down"])
def test_log_densities_of_a_hierarchy_add_up(order):
    model = two_latents(order)
    x = (np.random.default_rng(0).random((5, 4, 4, 1)) < 0.5).astype("float32")
    trace = model.trace(x, samples=3, seed=1)
    for s in range(3):
        values = {"x": ops.convert_to_tensor(x), **{name: trace.values[name][s] for name in model.latents}}
        by_hand = ops.convert_to_numpy(model.log_p(values) - model.log_q(values))
        np.testing.assert_allclose(ops.convert_to_numpy(trace.log_weights())[s], by_hand, rtol=1e-5)
    given, z = model.given(x), {name: trace.values[name] for name in model.latents}
    by_given = ops.convert_to_numpy(given.log_p(z) - given.log_q(z))  # [S, B]
    np.testing.assert_allclose(ops.convert_to_numpy(trace.log_weights()), by_given, rtol=1e-5)


def _elbo_gradient(model, x, objective, seed):
    model.seed_generator.state.assign(ops.cast([seed, 0], model.seed_generator.state.dtype))
    value, gradient = _program(model, objective)(ops.convert_to_tensor(x))
    return float(value), [ops.convert_to_numpy(g) for g in gradient]


@functools.cache
def _program(model, objective):
    def run(x):
        def loss():
            return ops.mean(objective(model, {"x": x}, 0, False)[0])

        return vk.backend.variables_gradient(loss, model.trainable_variables)

    return vk.backend.compile(run, model.variables)


@pytest.mark.alternate
@pytest.mark.parametrize(
    "objective", [vk.objectives.ELBO(3), vk.objectives.ELBO(analytic_kl=True), vk.objectives.IWAE(4)]
)
def test_gradient_is_the_finite_difference(objective):
    pca = ProbabilisticPCA(shift=0.3, stretch=1.2)
    _, gradient = _elbo_gradient(pca.model, pca.x, objective, seed=4)
    rng = np.random.default_rng(0)
    for weight, g in zip(pca.model.trainable_variables, gradient, strict=True):
        direction = rng.normal(size=g.shape).astype("float32")
        start, h = ops.convert_to_numpy(weight).copy(), 1e-2
        values = []
        for sign in (1, -1):
            weight.assign(start + sign * h * direction)
            values.append(_elbo_gradient(pca.model, pca.x, objective, seed=4)[0])
        weight.assign(start)
        numeric = (values[0] - values[1]) / (2 * h)
        assert numeric == pytest.approx(float(np.sum(g * direction)), rel=0.02, abs=0.02)


def test_estimators_a_and_b_and_the_score_function_agree_in_expectation():
    pca = ProbabilisticPCA(shift=0.3, stretch=1.2)
    estimators = {
        "A": vk.objectives.ELBO(samples=50),
        "B": vk.objectives.ELBO(samples=50, analytic_kl=True),
        "score": vk.objectives.ELBO(samples=50, gradient="score_function"),
    }
    # gradient with respect to the encoder's mean bias, whose exact value is −∂ELBO/∂shift = shift / posterior variance
    index = [w.path for w in pca.model.trainable_variables].index(pca.model.encoder.heads["mean"].bias.path)
    exact = pca.shift / np.diag(np.linalg.inv(pca.M))
    for name, objective in estimators.items():
        draws = np.array([_elbo_gradient(pca.model, pca.x, objective, seed=s)[1][index] for s in range(20)])
        error = draws.std(axis=0, ddof=1) / np.sqrt(20)
        assert np.all(np.abs(draws.mean(axis=0) - exact) < 5 * error + 1e-3), name


def test_score_function_trains_a_model_with_binary_latents():
    encoder, decoder = vk.layers.Bernoulli(3), vk.layers.Bernoulli((4, 4, 1))

    class FairCoins(vk.priors.Prior):
        def distribution(self):
            return self.independent(vk.backend.tfd.Bernoulli(logits=ops.zeros(self.event_shape), dtype="float32"))

    model = vk.VAE(encoder, decoder, FairCoins(), seed=0)
    x = np.repeat((np.random.default_rng(1).random((4, 4, 4, 1)) < 0.5).astype("float32"), 50, axis=0)
    model.compile("adam", objective=vk.objectives.ELBO())
    with pytest.raises(ValueError, match="cannot be reparameterized"):
        model.fit(x, verbose=0)
    objective = vk.objectives.ELBO(samples=8, gradient="score_function")
    model.compile(keras.optimizers.Adam(0.05), objective=objective)
    before = model.evaluate(x, verbose=0, seed=0)["bound"]
    model.fit(x, epochs=40, batch_size=50, verbose=0)
    after = model.evaluate(x, verbose=0, seed=0)["bound"]
    exact = enumerate_bernoulli_posterior(model, x, units=3).mean()
    assert after > before + 2
    assert after <= exact + 0.2
    estimate = log_likelihood(model, x, samples=300, progress=False)
    assert estimate.mean == pytest.approx(exact, abs=0.1)


def test_warm_up_weighs_the_kl_and_follows_the_training_steps():
    warm_up = vk.objectives.WarmUp(steps=10)
    assert [float(warm_up(s)) for s in (0, 5, 10, 99)] == pytest.approx([0, 0.5, 1, 1])
    model = small_vae(objective=vk.objectives.ELBO(beta=warm_up))
    x = (np.random.default_rng(0).random((40, 4, 4, 1)) < 0.4).astype("float32")
    model.fit(x, batch_size=10, epochs=1, verbose=0)
    assert int(model.step) == 4
    result = model.evaluate(x, verbose=0, seed=0)
    assert int(model.step) == 4
    assert result["loss"] == pytest.approx(-(result["reconstruction"] - 0.4 * result["kl"]), abs=1e-4)
    assert result["bound"] == pytest.approx(result["reconstruction"] - result["kl"], abs=1e-4)


def test_cyclic_warm_up_rises_again_and_again():
    cyclic = vk.objectives.Cyclic(10, rising=0.5, start=0.1)
    assert [float(cyclic(s)) for s in (0, 5, 9, 10, 12, 18)] == pytest.approx([0.1, 1, 1, 0.1, 0.46, 1])
    twice = vk.objectives.Cyclic(10, rising=1.0, cycles=2)
    assert [float(twice(s)) for s in (0, 5, 10, 19, 20, 25)] == pytest.approx([0, 0.5, 0, 0.9, 1, 1])
    assert vk.objectives.Cyclic.from_config(twice.get_config()) == twice
