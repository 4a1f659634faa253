"""DiagonalNormal against SciPy; its old name for the parametrization in files."""

import numpy as np
import pytest
from likelihoods import H, array
from scipy import stats

from vaekit.layers import DiagonalNormal


@pytest.mark.parametrize("scale", ["log_variance", "log_scale", "softplus"])
def test_diagonal_normal_is_scipys(scale):
    layer = DiagonalNormal(4, parametrization=scale)
    q = layer(H)
    mean, a = (array(head(H)) for head in layer.heads.values())
    sigma = {"log_variance": np.exp(a / 2), "log_scale": np.exp(a), "softplus": np.logaddexp(0, a)}[scale]
    z = np.random.default_rng(1).normal(size=(3, 4)).astype("float32")
    expected = stats.norm(mean, sigma).logpdf(z).sum(axis=-1)
    np.testing.assert_allclose(array(q.log_prob(z)), expected, rtol=1e-4)


def test_the_clipped_variance_is_the_one_that_samples_and_the_one_that_counts():
    layer = DiagonalNormal(2, log_variance_range=(-6, 2), bias_initializer="ones")
    layer.build((None, 5))
    layer.heads["log_variance"].set_weights([np.zeros((5, 2)), np.array([-20.0, 20.0])])
    q = layer(H)
    expected = np.exp(np.array([-3.0, 1.0]))
    np.testing.assert_allclose(array(q.stddev())[0], expected, rtol=1e-5)
    mean = array(q.mean())
    np.testing.assert_allclose(array(q.log_prob(mean))[0], stats.norm(0, expected).logpdf(0).sum(), rtol=1e-5)


def test_files_keep_the_name_that_the_parametrization_had():
    config = DiagonalNormal(2, "softplus", name="q").get_config()
    assert config["scale"] == "softplus" and "parametrization" not in config
    assert DiagonalNormal.from_config(config).parametrization == "softplus"
