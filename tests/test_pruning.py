"""Models without their inactive units."""

import keras
import numpy as np
import pytest
from keras import ops
from oracles import ProbabilisticPCA, binary_images, small_vae, two_latents
from scipy.stats import norm

import vaekit as vk
from vaekit.backend import tfd
from vaekit.evaluation import (
    active_units,
    log_likelihood,
    remove_inactive,
)
from vaekit.layers import MLP, Bernoulli, DiagonalNormal

X = binary_images(6)


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


@pytest.mark.once
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


def test_a_model_with_a_feature_keeps_it():
    keras.utils.set_random_seed(0)
    model = vk.LatentVariableModel(
        features=[vk.Feature("h", keras.layers.Dense(4), given="x")],
        generative=[vk.Factor("z", vk.priors.StandardNormal()), vk.Factor("x", vk.layers.Normal(3), given="z")],
        inference=[vk.Factor("z", DiagonalNormal(2), given="h")],
        seed=0,
    )
    x = np.random.default_rng(0).normal(size=(20, 3)).astype("float32")
    model.build((None, 3))
    pruned = vk.evaluation.remove_inactive(model, x, threshold=1e9)  # of no unit
    assert np.isfinite(pruned.log_weights(x)).all() and (pruned.encode(x) == pruned.encode(x)[0]).all()


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
