"""A model given data: the same numbers as the model's own, what depends on x alone computed once."""

import keras
import numpy as np
import pytest
from keras import ops
from oracles import ProbabilisticPCA, binary_images, two_latents

import vaekit as vk
from vaekit import backend
from vaekit.inference import Refinement
from vaekit.models.split import split


class Counted(keras.layers.Layer):
    """The identity, which counts its calls."""

    calls = 0

    def call(self, x):
        self.calls += 1
        return x


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


@pytest.mark.parametrize("order", ["bottom-up", "top-down"])
def test_draws_are_those_of_trace(order):
    model, x = two_latents(order), binary_images(4)
    trace, draw = model.trace(x, 3, seed=2), model.given(x).draw(3, seed=2)
    np.testing.assert_array_equal(numpy(trace.log_weights()), numpy(draw.log_weights()))
    assert set(draw.values) == {"x", "z1", "z2"} and draw.values["z1"].shape[:2] == (3, 4)


def test_what_depends_on_x_alone_runs_once():
    x_network, z_network = Counted(), Counted()
    encoder = keras.Sequential([x_network, vk.layers.MLP(4), vk.layers.DiagonalNormal(2)])
    decoder = keras.Sequential([z_network, vk.layers.MLP(4), vk.layers.Bernoulli((4, 4, 1))])
    model, x = vk.VAE(encoder, decoder, seed=0), binary_images(4)
    model.arrays(x)  # builds it
    before = x_network.calls, z_network.calls
    given = model.given(x)
    for _ in range(3):
        given.draw(2)
    assert (x_network.calls - before[0], z_network.calls - before[1]) == (1, 3)


def test_a_side_that_is_not_asked_for_does_not_run():
    x_network = Counted()
    encoder = keras.Sequential([x_network, vk.layers.MLP(4), vk.layers.DiagonalNormal(2)])
    decoder = keras.Sequential([vk.layers.MLP(4), vk.layers.Bernoulli((4, 4, 1))])
    model, x = vk.VAE(encoder, decoder, seed=0), binary_images(4)
    model.arrays(x)
    before = x_network.calls
    z = np.random.default_rng(0).standard_normal((3, 4, 2)).astype("float32")
    log_p = numpy(model.given(x, sides="p").log_p({"z": ops.convert_to_tensor(z)}))
    assert x_network.calls == before
    for s in range(3):
        by_hand = model.log_p({"x": ops.convert_to_tensor(x), "z": ops.convert_to_tensor(z[s])})
        np.testing.assert_allclose(log_p[s], numpy(by_hand), rtol=1e-5)


def test_both_parts_of_a_functional_network_know_whether_they_train():
    x, z = keras.Input((40,)), keras.Input((30,))
    joined = keras.layers.Concatenate()([keras.layers.Dropout(0.5)(x), keras.layers.Dropout(0.5)(z)])
    factor = vk.Factor("z2", keras.Model([x, z], vk.layers.DiagonalNormal(2)(joined)), given=("x", "z1"))
    h, g = split(factor, ("z1",), {"x": (40,), "z1": (30,)})
    ones = {"x": np.ones((1, 40), "float32"), "z1": np.ones((1, 30), "float32")}
    for training in (True, False):
        (of_x,) = h(ones, training)
        assert (numpy(of_x) == 0).any() == training
        means = [numpy(g([of_x, ones["z1"]], training).mean()) for _ in range(2)]
        assert (means[0] != means[1]).any() == training
    np.testing.assert_allclose(means[0], numpy(factor([ones["x"], ones["z1"]]).mean()), rtol=1e-5)


def test_log_q_is_the_exact_posterior_of_a_linear_model():
    pca = ProbabilisticPCA()
    trace = pca.model.given(pca.x).draw(5, seed=1)
    log_q = numpy(pca.model.given(pca.x).log_q({"z": trace.values["z"]}))
    exact = numpy(pca.model.posterior(pca.x).log_prob(trace.values["z"]))
    np.testing.assert_allclose(log_q, exact, rtol=1e-5)


def test_a_seed_serves_within_a_gradient():
    model, x = two_latents("bottom-up"), binary_images(3)
    model.build((None, *x.shape[1:]))
    weights = model.trainable_variables
    value, _ = backend.variables_gradient(lambda: ops.sum(model.trace(x, 2, seed=3).log_weights()), weights)
    np.testing.assert_allclose(numpy(value), numpy(model.trace(x, 2, seed=3).log_weights()).sum(), rtol=1e-5)
    with keras.StatelessScope():  # initializes variables that were made in another one and have no value
        pass


@pytest.mark.parametrize("frozen", ["p", "q", "pq"])
def test_frozen_sides_have_no_gradient(frozen):
    model, x = two_latents("bottom-up"), binary_images(3)
    model.build((None, *x.shape[1:]))
    sides = {"p": model.generative, "q": model.inference}
    for side, factors in sides.items():
        weights = [v for f in factors for v in f.layer.trainable_variables]

        def loss(side=side):
            trace = model.trace(x, 2, detach=True, frozen=frozen, seed=3)
            return ops.sum(sum((trace.log_p if side == "p" else trace.log_q).values()))

        _, gradient = backend.variables_gradient(loss, weights)
        norm = max(float(np.abs(numpy(g)).max()) for g in gradient if g is not None)
        assert (norm == 0) == (side in frozen)


def test_refined_parameters_are_moved_by_their_offsets():
    pca = ProbabilisticPCA()
    model = vk.LatentVariableModel(pca.model.generative, pca.model.inference, Refinement(steps=2), seed=0)
    model.build((None, *pca.x.shape[1:]))
    given = model.given(pca.x, seed=4)
    plain = numpy(pca.model.posterior(pca.x).mean())
    moved = numpy(given.posterior(model.inference[0], {}).mean())
    offset = numpy(given.offsets["z"]["mean"])
    assert np.abs(offset).max() > 0.01
    np.testing.assert_allclose(moved, plain + offset, rtol=1e-5)
