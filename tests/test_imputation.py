"""impute, and bounds of what is observed, against normal distributions, whose parts are normal, too."""

from functools import partial

import keras
import numpy as np
import pytest
from oracles import ProbabilisticPCA, binary_images, small_vae
from scipy.stats import multivariate_normal

import vaekit as vk
from vaekit.inference import impute
from vaekit.layers import DiagonalNormal, FillMissing, Masked, Normal

GAPS = [0, 3]  # columns


@pytest.fixture(scope="module")
def gaps():
    """A model x = W z + b + σ ε with gaps in its data, and mean and covariance of the missing given the observed."""
    pca = ProbabilisticPCA(stretch=1.5)
    encoder = keras.Sequential([FillMissing(), DiagonalNormal(3)])
    decoder = Masked(Normal(6, scale=pca.sigma))
    model = vk.VAE(encoder, decoder, seed=0)
    x = pca.x[:6].copy()
    x[:, GAPS] = np.nan
    model.build((None, 6))
    model.set_weights(pca.model.get_weights())
    seen = [i for i in range(6) if i not in GAPS]
    covariance = pca.W @ pca.W.T + pca.sigma**2 * np.eye(6)
    gain = covariance[np.ix_(GAPS, seen)] @ np.linalg.inv(covariance[np.ix_(seen, seen)])
    mean = pca.b[GAPS] + (x[:, seen] - pca.b[seen]) @ gain.T
    left = covariance[np.ix_(GAPS, GAPS)] - gain @ covariance[np.ix_(seen, GAPS)]
    log_p = multivariate_normal(pca.b[seen], covariance[np.ix_(seen, seen)]).logpdf(x[:, seen])
    return pca, model, x, mean, left, log_p


def test_what_is_missing_has_its_conditional_mean(gaps):
    _, model, x, mean, left, _ = gaps
    filled = impute(model, x, samples=5000)
    assert filled.shape == x.shape and filled.dtype == "float32"
    np.testing.assert_allclose(filled[:, GAPS], mean, atol=0.08)
    np.testing.assert_array_equal(filled[~np.isnan(x)], x[~np.isnan(x)])
    np.testing.assert_array_equal(filled, impute(model, x, samples=5000))
    assert np.any(filled != impute(model, x, samples=5000, seed=1))


def test_draws_have_the_conditional_distribution(gaps):
    _, model, x, mean, left, _ = gaps
    draws = impute(model, x, samples=5000, draws=400)
    assert draws.shape == (400, *x.shape)
    error = draws[..., GAPS] - mean
    assert np.abs(error.mean(axis=0)).max() < 5 * np.sqrt(left.max() / 400) + 0.08
    flat = error.reshape(-1, 2)
    np.testing.assert_allclose(np.cov(flat, rowvar=False), left, atol=0.12 * left.max())


def test_draws_differ_however_few_samples_they_choose_from(gaps):
    pca, model, x, _, _, _ = gaps
    for samples in (1, 3):
        draws = impute(model, x, samples=samples, draws=40)[..., GAPS]
        assert len(np.unique(draws)) == draws.size
        assert draws.std(axis=0).min() > 0.5 * pca.sigma


def test_the_bound_is_that_of_what_is_observed(gaps):
    pca, model, x, _, _, log_p = gaps
    estimate = vk.evaluation.log_likelihood(model, x, samples=5000, progress=False)
    np.testing.assert_allclose(estimate.per_example, log_p, atol=0.1)
    model.compile("sgd", objective=vk.objectives.IWAE(3))  # with nothing missing it is the usual bound
    pca.model.compile("sgd", objective=vk.objectives.IWAE(3))
    bounds = [m.evaluate(pca.x, seed=0, verbose=0)["bound"] for m in (model, pca.model)]
    assert bounds[0] == pytest.approx(bounds[1], rel=1e-6)


def test_several_variables_and_refusals(gaps):
    model = vk.LatentVariableModel(
        [
            vk.Factor("z", vk.priors.StandardNormal()),
            vk.Factor("x", Masked(Normal(3)), given="z"),
            vk.Factor("label", Masked(vk.layers.OneHotCategorical(2)), given="z"),
        ],
        [vk.Factor("z", keras.Sequential([FillMissing(), DiagonalNormal(2)]), given="x")],
        seed=0,
    )
    x, label = np.ones((5, 3), "float32"), np.eye(2, dtype="float32")[[0, 1, 0, 1, 1]]
    x[2, 1], label[4] = np.nan, np.nan
    filled = impute(model, {"x": x, "label": label}, samples=20)
    with pytest.raises(ValueError, match=r"all of \['x'\] is missing, say so"):
        impute(model, {"label": label})
    assert not any(np.isnan(value).any() for value in filled.values())
    np.testing.assert_allclose(filled["label"].sum(axis=1), 1, rtol=1e-5)  # probabilities, where it was missing
    drawn = impute(model, {"x": x, "label": label}, samples=20, draws=3)["label"]
    assert drawn.shape == (3, 5, 2) and set(np.unique(drawn)) == {0, 1}
    label[3, 1] = np.nan  # a part of it, which is as good as all
    for drawn in (None, 4):
        values = impute(model, {"x": x, "label": label}, samples=20, draws=drawn)["label"]
        np.testing.assert_allclose(values.sum(axis=-1), 1, rtol=1e-5)
    with pytest.raises(ValueError, match="samples to be an integer"):
        impute(model, {"x": x, "label": label}, samples=0)
    images = binary_images(4)
    images[0, 0] = np.nan
    with pytest.raises(ValueError, match="vaekit.layers.Masked"):
        impute(small_vae(), images)


def test_means_without_bound_where_the_weight_is_zero_do_not_count():
    encoder = keras.Sequential([FillMissing(), DiagonalNormal(1)])
    model = vk.VAE(encoder, Masked(vk.layers.Poisson(2)), seed=0)
    model.build((None, 2))
    *zeros, log_variance = [np.zeros(w.shape) for w in encoder.get_weights()]
    encoder.set_weights([*zeros, log_variance + 8])
    model.decoder.set_weights([np.ones((1, 2)), np.zeros(2)])
    filled = impute(model, np.array([[1.0, np.nan]]), samples=200)  # rates exp(z), z of standard deviation exp(4)
    assert 0 < filled[0, 1] < 10


def test_an_encoder_that_sees_gaps_is_told_what_it_needs():
    encoder = keras.Sequential([vk.layers.MLP(4, "relu"), DiagonalNormal(2)])
    model = vk.VAE(encoder, Masked(vk.layers.Bernoulli((4, 4, 1))))
    model.compile("sgd")
    x = binary_images(3)
    x[0, 0] = np.nan
    for use in (partial(impute, samples=2), vk.VAE.fit):  # compiled by TensorFlow, relu(NaN) is 0
        with pytest.raises(ValueError, match=r"given 'x' sees the NaN .* begins with vaekit.layers.FillMissing\(\)"):
            use(model, x)
    model.reconstruct(np.nan_to_num(x))
