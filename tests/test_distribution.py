"""The base of distribution layers: heads and their shapes, where a distribution comes from."""

import gc
import weakref

import keras
import numpy as np
import pytest
from likelihoods import IMAGE, H, array

import vaekit as vk
from vaekit.layers import Bernoulli, Categorical, DiagonalNormal, Normal
from vaekit.layers.distribution import origin_of


def test_a_local_head_is_a_one_by_one_convolution():
    layer = Bernoulli((4, 4, 2))
    features = np.random.default_rng(3).normal(size=(2, 4, 4, 3)).astype("float32")
    logits = array(layer(features).distribution.logits)
    kernel, bias = layer.heads["logits"].get_weights()
    assert kernel.shape == (3, 2)
    np.testing.assert_allclose(logits, features @ kernel + bias, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "make", [lambda: Normal((64, 77, 1)), lambda: Normal((64, 77, 1), "image"), lambda: Categorical((64, 77, 1))]
)
def test_a_feature_map_of_another_size_is_refused(make):
    """A decoder that ends at 64×78 for images of 64×77 got a dense head of 196,809,537 weights."""
    with pytest.raises(ValueError, match=r"\(64, 77, 1\), but its features are a map .*\(64, 78, 8\).*Flatten\(\)"):
        make()(keras.Input((64, 78, 8)))


@pytest.mark.parametrize("network", [keras.Sequential, vk.layers.Stack])
def test_a_decoder_that_ends_at_another_size_is_refused(network):
    head = [keras.layers.Reshape((5, 4, 1)), keras.layers.Conv2D(3, 3, padding="same"), Normal(IMAGE)]
    with pytest.raises(ValueError, match=r"shape \(2, 2, 1\), but .* \(5, 4, 3\)"):
        vk.VAE(DiagonalNormal(20), network(head)).build((None, *IMAGE))


def test_what_has_no_place_or_the_same_one_keeps_its_heads():
    def kernels(layer, *shape):
        layer.build((None, *shape))
        return {name: tuple(head.kernel.shape) for name, head in layer.heads.items()}

    assert kernels(DiagonalNormal(3), 4, 5, 2) == {"mean": (40, 3), "log_variance": (40, 3)}  # an encoder's
    assert kernels(Normal((4, 5, 1), "image"), 4, 5, 2) == {"mean": (2, 1), "log_scale": (40, 1)}
    assert kernels(Normal((4, 5, 1)), 7) == {"mean": (7, 20)}
    assert kernels(Normal((4, 5, 1)), 4, 5, 2) == {"mean": (2, 1)}
    assert kernels(Normal((6, 1)), 6, 3) == {"mean": (3, 1)}


def test_where_a_distribution_comes_from_is_known_while_it_lives():
    layer = Normal(4, "pixel")
    p = layer(H)
    of, parameters = origin_of(p)
    assert of is layer and set(parameters) == {"mean", "log_scale"}
    np.testing.assert_array_equal(array(layer.distribution(**parameters).stddev()), array(p.stddev()))
    assert origin_of(layer.distribution(**parameters)) is None
    kept = weakref.ref(p)
    del p
    gc.collect()
    assert kept() is None


@pytest.mark.parametrize(
    "module, name", [("distribution", "Bernoulli"), ("likelihoods", "Normal"), ("tables", "Poisson")]
)
def test_configurations_from_before_a_class_moved_are_read(module, name):
    config = keras.saving.serialize_keras_object(getattr(vk.layers, name)(3))
    config["module"] = f"vaekit.layers.{module}"
    assert type(keras.saving.deserialize_keras_object(config)) is getattr(vk.layers, name)
