"""The base of distribution layers: heads and their shapes, where a distribution comes from."""

import gc
import weakref

import keras
import numpy as np
import pytest
from likelihoods import IMAGE, H, array

import vaekit as vk
from vaekit.backend import tfd
from vaekit.layers import Bernoulli, Categorical, DiagonalNormal, DistributionLayer, Normal, Stack
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


class Shifted(DistributionLayer):
    """A normal distribution of one's own, with an argument of its own and no get_config."""

    parameters = ("mean",)

    def __init__(self, event_shape, shift=0.0, **kwargs):
        super().__init__(event_shape, **kwargs)
        self.shift = shift

    def distribution(self, mean):
        return self.independent(tfd.Normal(mean + self.shift, 1.0))


def test_files_keep_arguments_of_ones_own():
    assert Shifted.from_config(Shifted(3, shift=2.0).get_config()).shift == 2.0
    with pytest.raises(NotImplementedError, match=r"\['shift'\]: define get_config, .*'shift': self.shift"):
        Shifted(3, shift=np.ones(3)).get_config()


class Scaled(vk.layers.Normal):
    """A layer of the library with an argument more, and no get_config of its own."""

    def __init__(self, event_shape, factor=1.0, mean_activation=None, **kwargs):
        super().__init__(event_shape, mean_activation=mean_activation, **kwargs)
        self.factor = factor


class ScaledMixture(vk.priors.MixtureOfNormals):
    """A prior of the library with an argument more, and no get_config of its own."""

    def __init__(self, factor=1.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor


def test_files_keep_what_a_subclass_of_the_library_adds():
    layer = Scaled(3, factor=7.0, mean_activation="sigmoid", scale="shared")
    clone = Scaled.from_config(layer.get_config())
    assert clone.factor == 7.0 and clone.scale == "shared" and clone.get_config() == layer.get_config()
    assert ScaledMixture.from_config(ScaledMixture(factor=7.0, components=3).get_config()).factor == 7.0
    with pytest.raises(NotImplementedError, match=r"\['factor'\]: define get_config"):
        Scaled(3, factor=np.ones(3)).get_config()


def test_names_of_parameters_are_a_tuple():
    class One(DistributionLayer):
        parameters = "mean"

    with pytest.raises(TypeError, match=r"tuple of names, with its comma: \('mean',\)"):
        One(3)


@pytest.mark.parametrize(
    "x, message",
    [
        (np.zeros(5), r"x\[:, None\]"),
        (np.zeros((5, 3)), "Give the layer .* the event shape 3"),
        (np.zeros((5, 1, 1)), r"x\.reshape\(\(-1, 1\)\)"),
    ],
)
def test_a_table_of_another_width_is_told_what_it_needs(x, message):
    model = vk.VAE(DiagonalNormal(2), Normal(1))
    with pytest.raises(ValueError, match=message):
        model.arrays(x)


def test_what_a_conditional_model_lacks():
    p, q = (Stack([layer]) for layer in (Normal(3), DiagonalNormal(2)))
    model = vk.LatentVariableModel(
        [vk.Factor("z", vk.priors.StandardNormal()), vk.Factor("x", p, given=("z", "label"))],
        [vk.Factor("z", q, given=("x", "label"))],
    )
    model.build({"x": (None, 3), "label": (None, 4)})
    with pytest.raises(ValueError, match=r"received conditions \(\)\. Write {'label': \.\.\.}, arrays of 5 rows"):
        model.sample(5)
    with pytest.raises(ValueError, match=r"\['z'\] are latents: decode takes their values"):
        model.sample(5, {"z": np.zeros((5, 2)), "label": np.eye(4)})
    with pytest.raises(ValueError, match=r"as many rows of each; received {'z': 5, 'label': 4}"):
        model.decode({"z": np.zeros((5, 2)), "label": np.eye(4)})
    with pytest.raises(ValueError, match=r"at least one row; received {'z': 0, 'label': 0}"):
        model.decode({"z": np.zeros((0, 2)), "label": np.eye(4)[:0]})
