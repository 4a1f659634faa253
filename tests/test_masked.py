"""Masked: missing entries do not count, in densities and gradients."""

import keras
import numpy as np
import pytest
from keras import ops
from likelihoods import RNG, H, array, compiled, log_prob, sampled

import vaekit as vk
from vaekit import backend
from vaekit.layers import (
    MLP,
    Bernoulli,
    CategoricalLabels,
    DiagonalNormal,
    DiscretizedLogistic,
    DiscretizedLogisticMixture,
    FillMissing,
    Masked,
    MultivariateNormal,
    Normal,
    OneHotCategorical,
    Poisson,
)

GAPS = {
    "Normal": lambda: (Normal(4, "shared"), RNG.normal(size=(3, 4))),
    "Bernoulli": lambda: (Bernoulli(4), RNG.integers(0, 2, (3, 4))),
    "Poisson": lambda: (Poisson(4), RNG.integers(0, 9, (3, 4))),
    "CategoricalLabels": lambda: (CategoricalLabels(4, classes=5), RNG.integers(0, 5, (3, 4))),
    "DiscretizedLogistic": lambda: (DiscretizedLogistic((4, 1)), RNG.integers(0, 256, (3, 4, 1)) / 255),
}


@pytest.mark.parametrize("kind", GAPS)
def test_missing_entries_do_not_count(kind):
    layer, x = GAPS[kind]()
    x = x.astype("float32")
    masked, gaps = Masked(layer), x.copy()
    gaps[0, 1], gaps[1] = np.nan, np.nan
    masked.check_values(gaps)
    masked.check_values(np.full_like(x, np.nan))
    whole = masked(H)

    def densities():
        p = layer(H)
        return whole.log_prob(x), p.log_prob(x), p.distribution.log_prob(x), whole.log_prob(gaps)

    complete, unmasked, each, found = compiled(densities, layer.variables)
    np.testing.assert_allclose(complete, unmasked, rtol=1e-5)
    expected = np.where(np.isnan(gaps.reshape(3, 4)), 0, each.reshape(3, 4)).sum(axis=1)  # each: of each entry
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert found[1] == 0

    def total(h, x):
        return ops.sum(masked(h).log_prob(x))

    _, gradients = compiled(lambda: backend.value_and_gradient(total, H, gaps), layer.variables)
    assert all(np.isfinite(g).all() for g in gradients) and not gradients[0][1].any()
    assert np.isfinite(sampled(whole, 5)).all()


def test_a_pixel_or_a_label_that_is_missing():
    x = np.rint(255 * RNG.uniform(size=(3, 2, 2, 3))).astype("float32") / 255
    layer, gaps = DiscretizedLogisticMixture((2, 2, 3), 2), x.copy()
    gaps[0, 1, 0, 2] = np.nan
    p, masked = layer(H), Masked(layer)(H)
    each = log_prob(p.distribution, x).reshape(3, 4)
    each[0, 2] = 0
    np.testing.assert_allclose(log_prob(masked, gaps), each.sum(axis=1), rtol=1e-5)
    labels = np.float32([[1, 0], [np.nan, np.nan], [0, 1]])
    layer = Masked(OneHotCategorical(2))
    layer.check_values(labels)
    log_p = array(layer(H).log_prob(labels))
    np.testing.assert_allclose(log_p, [*array(layer.layer(H).log_prob(np.eye(2)[[0, 0, 1]]))] * np.array([1, 0, 1]))
    with pytest.raises(ValueError, match="keras.ops.one_hot"):
        layer.check_values(np.float32([[1, 1], [np.nan, np.nan]]))


def test_a_vae_of_data_with_gaps():
    x = RNG.normal(size=(40, 4)).astype("float32")
    x[::3, 1] = np.nan
    encoder = keras.Sequential([FillMissing(), MLP(6), DiagonalNormal(2)])
    model = vk.VAE(encoder, keras.Sequential([MLP(6), Masked(Normal(4, "shared"))]), seed=0)
    model.compile("sgd", objective=vk.objectives.IWAE(3))
    assert np.isfinite(model.fit(x, verbose=0).history["bound"]).all()
    assert np.isfinite(model.reconstruct(x)).all()
    with pytest.raises(ValueError, match="1 values that are NaN or infinite"):
        model.fit(np.where(x == x[1, 0], np.inf, x), verbose=0)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Masked(MLP(3)), "expects a distribution layer"),
        (lambda: Masked(Normal(3, "optimal")), 'scale="shared"'),
        (lambda: Masked(MultivariateNormal(3))(H), "independent entries"),
    ],
)
def test_constructors_refuse_what_makes_no_sense(make, message):
    with pytest.raises(ValueError, match=message):
        make()
