"""Annealed importance sampling, Hamiltonian Monte Carlo: exact where the posterior is known."""

import keras
import numpy as np
import pytest
from oracles import ProbabilisticPCA, small_vae, two_latents
from scipy.special import logsumexp
from scipy.stats import norm

import vaekit as vk
from vaekit import backend
from vaekit.evaluation import bidirectional, hmc_log_likelihood, log_likelihood
from vaekit.inference import AIS, HMC, hmc, monte_carlo_em


def within(differences, limit=4):
    """Whether a mean is 0 as far as its standard error says."""
    return abs(np.mean(differences)) < limit * np.std(differences, ddof=1) / np.sqrt(len(differences))


@pytest.fixture(scope="module")
def pca():
    return ProbabilisticPCA(latents=2, shift=0.5, stretch=0.7)


def test_weights_have_the_mean_p_of_x_forwards_and_its_inverse_backwards(pca):
    ais, model = AIS(10, leapfrog_steps=3), pca.model
    values = model.draw(40, seed=5)
    data = {"x": values["x"]}
    sizes = ais.tune(model, data)
    assert sizes.shape == (11, 40) and np.all((0.05 < sizes) & (sizes < 4))
    exact = pca.log_p(np.asarray(values["x"]))
    forward = np.exp(ais.forward(model, data, sizes, samples=300, seed=1) - exact)  # [S, B], of mean 1
    assert within(forward.mean(axis=0) - 1)
    assert forward.std() > 0.1  # ten steps do not make weights alike: their mean is no matter of course
    backward = np.exp(ais.reverse(model, data, values, sizes, samples=300, seed=2) + exact)
    assert within(backward.mean(axis=0) - 1)
    np.testing.assert_array_equal(ais.forward(model, data, sizes, 300, seed=1), np.log(forward) + exact)


def test_a_path_of_one_step_is_importance_sampling_from_the_prior(pca):
    z = np.random.default_rng(0).normal(size=(50, 4, 2)).astype("float32")  # [S, B, D]
    x = pca.x[:4]
    ais = AIS(1, leapfrog_steps=1)
    _, ends = ais._given(pca.model, pca.model.observe(x))
    state = ais.step(ends, ais.init(ends, [z], np.full(4, 0.3, "float32")), 0.0, 1.0, backend.seed(3))
    exact = norm(z @ pca.W.T + pca.b, pca.sigma).logpdf(x).sum(axis=-1)  # log p(x|z)
    np.testing.assert_allclose(state.log_weight, exact, rtol=1e-4)


@pytest.mark.thorough
def test_log_likelihood_by_annealing_does_not_depend_on_the_encoder(pca):
    options = {"samples": 8, "batch_size": 20, "method": AIS(60), "progress": False}
    estimate = log_likelihood(pca.model, pca.x, **options)
    assert abs(estimate.mean - pca.log_p().mean()) < 0.1 and estimate.samples == 8
    assert np.all((1 <= estimate.effective_sample_size) & (estimate.effective_sample_size <= 8))
    q = pca.model.encoder.heads["mean"]
    weights = q.get_weights()
    q.set_weights([value * 0 - 30 for value in weights])  # looks where nothing is
    np.testing.assert_array_equal(log_likelihood(pca.model, pca.x, **options).per_example, estimate.per_example)
    lost = log_likelihood(pca.model, pca.x, samples=100, progress=False)
    q.set_weights(weights)
    assert lost.mean < estimate.mean - 100


@pytest.mark.thorough
def test_a_bracket_holds_log_p_of_two_layers():
    model = two_latents("top-down")
    model.build((None, 4, 4, 1))
    bracket = bidirectional(
        model, 12, samples=64, method=AIS(60, leapfrog_steps=2, start="encoder"), seed=3, progress=False
    )
    values = model.draw(12, seed=backend.SeedSequence(3))  # what it simulates
    z = model.draw(20_000, observed=False, seed=1)
    z = {name: keras.ops.repeat(value[:, None], 12, axis=1) for name, value in z.items()}  # [S, B, ...]
    given = model.given({"x": values["x"]}, sides="p")
    exact = logsumexp(keras.ops.convert_to_numpy(given.log_factors(z)["x"]), axis=0) - np.log(20_000)
    assert abs(bracket.lower.mean - exact.mean()) < 0.1 and abs(bracket.upper.mean - exact.mean()) < 0.1
    assert abs(bracket.gap) < 0.1 and 0 < bracket.gap_standard_error < 0.1
    assert "12 simulated examples, 64 chains each" in repr(bracket) and f"gap of {bracket.gap:.2f}" in repr(bracket)


def test_a_leapfrog_forth_and_back_ends_where_it_began():
    def log_density(z):
        return -keras.ops.sum(z[0] ** 4 / 4, axis=-1)  # [S, B]

    z = np.random.default_rng(1).normal(size=(3, 5, 2)).astype("float32")
    size = np.full(5, 0.05, "float32")
    kernel = HMC(log_density, leapfrog_steps=20)
    chains = kernel.init([z], size)
    np.testing.assert_allclose(chains.gradient[0], -(z**3), rtol=1e-5)
    moved = kernel.step(chains, backend.seed(2))
    assert np.all(np.asarray(moved.acceptance) > 0.95)  # the energy is nearly kept
    coarse = kernel.step(kernel.init([z], size * 40), backend.seed(2))
    assert np.asarray(coarse.acceptance).mean() < 0.5
    refused = np.asarray(coarse.acceptance) == 0
    np.testing.assert_array_equal(np.asarray(coarse.z[0])[refused], z[refused])


def test_a_chain_may_enter_the_support_but_not_leave_it():
    def log_density(z):
        inside = keras.ops.abs(z[0][..., 0]) < 1  # [S, B]
        return keras.ops.where(inside, 0.0, -float("inf"))

    kernel, z = HMC(log_density, leapfrog_steps=1), np.float32([[[1.5], [0.9]]] * 50)  # [S, B, 1]
    moved = kernel.step(kernel.init([z], np.ones(2, "float32")), backend.seed(0))
    end, acceptance = np.asarray(moved.z[0]), np.asarray(moved.acceptance)
    entered = acceptance[:, 0] == 1
    assert 5 < entered.sum() < 45
    np.testing.assert_array_equal(abs(end[:, 0, 0]) < 1, entered)
    np.testing.assert_array_equal(end[~entered, 0], z[~entered, 0])
    assert (abs(end[:, 1]) < 1).all() and (acceptance[:, 1] == 0).any()


@pytest.mark.once
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"samples": 0}, "samples to be an integer of at least 1; received 0"),
        ({"thinning": 0}, "thinning"),
        ({"leapfrog_steps": 0}, "leapfrog_steps"),
        ({"burn_in": -5}, "burn_in to be an integer of at least 0"),
        ({"target_acceptance": 7}, "between 0 and 1; received 7"),
        ({"step_size": -1}, "positive step_size"),
        ({"initial": {"z": np.zeros((3, 2))}}, r"shapes {'z': \(2, 2\)}; received {'z': \(3, 2\)}"),
        ({"initial": {"z": np.zeros((2, 1))}}, r"received {'z': \(2, 1\)}"),
        ({"initial": {"y": np.zeros((2, 2))}}, r"received {'y': \(2, 2\)}"),
        ({"initial": np.zeros((2, 2))}, "dict of latents .* received ndarray"),
    ],
)
def test_hmc_refuses_settings_that_make_no_sense(pca, settings, message):
    with pytest.raises(ValueError, match=message):
        hmc(pca.model, pca.x[:2], **settings)


@pytest.mark.once
@pytest.mark.parametrize("settings", [{"updates": 0}, {"epochs": -1}, {"leapfrog_steps": 0}, {"target_acceptance": 1}])
def test_monte_carlo_em_refuses_settings_that_make_no_sense(pca, settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        monte_carlo_em(pca.model, pca.x, "adam", progress=False, **settings)


@pytest.mark.once
def test_a_model_without_latents_has_no_chains():
    model = vk.LatentVariableModel([vk.Factor("x", vk.layers.Normal(2, "shared"), given="c")], [])
    data = {"x": np.zeros((3, 2)), "c": np.zeros((3, 1))}
    for run in (
        lambda: hmc(model, data),
        lambda: monte_carlo_em(model, data, "adam", progress=False),
        lambda: hmc_log_likelihood(model, data),
        lambda: bidirectional(model, 3, conditions={"c": data["c"]}, progress=False),
    ):
        with pytest.raises(ValueError, match="this model has none"):
            run()


def test_schedules():
    assert AIS(4, schedule="linear").inverse_temperatures() == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    sigmoid = AIS(10).inverse_temperatures()
    assert sigmoid == pytest.approx(1 - sigmoid[::-1]) and sigmoid[1] - sigmoid[0] < 0.05 < sigmoid[6] - sigmoid[5]
    assert AIS(2, schedule=[0, 0.9, 1]).inverse_temperatures()[1] == 0.9


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"distributions": 0}, "distributions to be an integer, 1 or more; received 0"),
        ({"leapfrog_steps": 2.5}, "leapfrog_steps to be an integer"),
        ({"schedule": "cosine"}, '"sigmoid", "linear", or numbers; received \'cosine\''),
        ({"distributions": 2, "schedule": [0, 1]}, "3 increasing numbers from 0 to 1; received 2"),
        ({"distributions": 2, "schedule": [0, 1.2, 1]}, "increasing numbers"),
        ({"start": "posterior"}, 'starts from "prior" or "encoder"'),
        ({"target_acceptance": 1}, "between 0 and 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        AIS(**settings)


def test_log_likelihood_names_its_methods():
    with pytest.raises(ValueError, match='"importance", "ais" or an AIS; received \'hmc\''):
        log_likelihood(small_vae(), np.zeros((2, 4, 4, 1)), method="hmc")
