"""Layers one after the other, joined inputs, and skip connections."""

import keras
import numpy as np
import pytest
from keras import ops
from networks import array, gated, normal, randomize

import vaekit as vk
from vaekit.layers import (
    MLP,
    Bernoulli,
    DiagonalNormal,
    Join,
    Masked,
    ResidualBlock,
    Stack,
    TimeDistributed,
    VariationalWeights,
)
from vaekit.models.factors import output_layer

L = keras.layers


def test_join():
    a, b = normal(2, 3), normal(2, 4, seed=1)
    np.testing.assert_array_equal(array(Join()([a, b])), np.concatenate([a, b], axis=1))
    image, join = normal(2, 3, 5, 2), Join()
    out = array(join([a, image, b]))
    assert out.shape == (2, 3, 5, 4) == join.compute_output_shape([(2, 3), (2, 3, 5, 2), (2, 4)])
    np.testing.assert_array_equal(out[..., 1:3], image)
    W, c, V, d = join.get_weights()
    np.testing.assert_allclose(out[..., 0], (a @ W + c).reshape(2, 3, 5), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(out[..., 3], (b @ V + d).reshape(2, 3, 5), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="feature maps.* of one size"):
        Join()([image, image[:, :2]])
    with pytest.raises(ValueError, match="vectors"):
        Join()([a, normal(2, 3, 5, 2, 2)])
    with pytest.raises(ValueError, match="of one size"):
        Join()([image, normal(2, 3, 5)])
    with pytest.raises(ValueError, match="size must be known.*over_time=True"):
        Join()([keras.Input((None, 4)), keras.Input((3,))])


def test_join_along_one_axis():
    a, series, join = normal(2, 3), normal(2, 5, 4), Join()
    out = array(join([series, a, series]))
    assert out.shape == (2, 5, 9) == join.compute_output_shape([(2, 5, 4), (2, 3), (2, 5, 4)])
    W, c = join.get_weights()
    np.testing.assert_allclose(out[..., 4], a @ W + c, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(out[..., 5:], series)


def test_stack_with_skips_is_the_additive_form():
    stack = Stack([L.Dense(5, "tanh"), L.Dropout(0.5), L.Dense(4, "tanh"), L.Dense(3)], skip=True)
    z, y = normal(6, 2), normal(6, 3, seed=1)
    stack([z, y])
    randomize(stack)
    (K1, b1), (K2, b2), (K3, b3) = (stack.layers[i].get_weights() for i in (0, 2, 3))
    zy = np.concatenate([z, y], axis=1)
    h = np.tanh(zy @ K1 + b1)
    h = np.tanh(h @ K2[:5] + zy @ K2[5:] + b2)  # f(W h + U z + b)
    h = h @ K3[:4] + zy @ K3[4:] + b3
    np.testing.assert_allclose(array(stack([z, y])), h, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("skip", [False, True])
def test_skips_keep_z_when_a_layer_forgets(skip):
    # a dense, a convolutional and a last layer whose weights from the layer before are zero
    stack = Stack([L.Dense(12), L.Reshape((2, 3, 2)), L.Conv2D(2, 3, padding="same"), Bernoulli((2, 3, 1))], skip=skip)
    z = normal(4, 2)
    for forgetful in (2, 3):
        stack(z)
        kernel = (stack.layers[2] if forgetful == 2 else stack.layers[3].heads["logits"]).kernel
        before = array(kernel).copy()
        kernel.assign(before * np.r_[np.zeros(2), np.ones(before.shape[-2] - 2)][:, None])
        _, (gradient,) = vk.backend.value_and_gradient(lambda z: ops.sum(stack(z).distribution.logits), z)
        assert np.any(array(gradient) != 0) == skip
        kernel.assign(before)


def test_skips_along_one_axis_reach_what_has_weights():
    grow = [L.Conv1DTranspose(2, 3, strides=2, padding="same"), L.UpSampling1D(2), L.SpatialDropout1D(0.1)]
    shrink = [L.Conv1D(3, 3, padding="same"), L.MaxPooling1D(2), L.Cropping1D(1), L.ZeroPadding1D(1)]
    stack = Stack([L.Dense(6), L.Reshape((3, 2)), *grow, *shrink, Bernoulli((6, 1))], skip=True)
    z = normal(4, 2)
    assert tuple(stack(z).batch_shape) == (4,) and tuple(stack(z).event_shape) == (6, 1)
    weights = [layer.get_weights()[0].shape for layer in stack.layers if layer.weights]
    assert weights == [(2, 6), (3, 2, 3), (3, 3, 3), (4, 1)]  # each sees one channel more: z
    stack.layers[-1].heads["logits"].kernel.assign(np.float32([[1], [0], [0], [0]]))  # z alone
    _, (gradient,) = vk.backend.value_and_gradient(lambda z: ops.sum(stack(z).distribution.logits), z)
    assert np.any(array(gradient) != 0)


@pytest.mark.once
def test_skips_leave_out_what_has_no_weight_matrix():
    flat = [L.UnitNormalization(), L.Softmax(), L.AlphaDropout(0.1), L.Rescaling(2.0), L.ActivityRegularization(l2=0.1)]
    stack = Stack(
        [L.Dense(6), *flat, L.RepeatVector(4), L.Reshape((2, 2, 6)), L.Resizing(4, 4), L.Conv2D(1, 1)], skip=True
    )
    assert tuple(stack(normal(4, 2)).shape) == (4, 4, 4, 1)
    assert [join.maps != [None] for join in stack.joins] == [False] * 9 + [True]
    assert stack.widths == [2, *[6] * 8, 6 + 1]


@pytest.mark.once
@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.Sequential([L.Dense(3), L.Dense(3)]),
        lambda: MLP([3, 3]),
        lambda: TimeDistributed(keras.Sequential([L.Dense(3), L.Dense(3)])),
        lambda: L.TimeDistributed(MLP([3, 3])),
        lambda: VariationalWeights(TimeDistributed(MLP([3, 3])), 10),
        lambda: ResidualBlock(3),
    ],
)
def test_skips_refuse_layers_with_layers_inside(make):
    with pytest.raises(ValueError, match="have layers inside"):
        Stack([L.Dense(3), make()], skip=True)
    Stack([L.Dense(3), make()])
    Stack([TimeDistributed(L.Dense(3)), VariationalWeights(MLP(3), 10), Masked(Bernoulli(3))], skip=True)


def test_layers_see_the_mode_and_may_be_shared(tmp_path):
    shared = L.Dense(3, "tanh")
    stack = Stack([shared, L.Dropout(0.5), L.BatchNormalization(), shared, DiagonalNormal(2)])
    x = normal(50, 3)
    model = keras.Sequential([keras.Input((3,)), stack])
    stack(x, training=False)
    assert not array(stack.layers[2].moving_mean).any()
    stack(x, training=True)
    assert array(stack.layers[2].moving_mean).all()
    assert not np.allclose(array(stack(x, training=True).mean()), array(stack(x).mean()))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert len(loaded.trainable_weights) == len(model.trainable_weights) == 2 + 2 + 4
    assert loaded.layers[-1].layers[0] is loaded.layers[-1].layers[3]
    np.testing.assert_array_equal(array(loaded(x).mean()), array(model(x).mean()))


def test_the_last_layer_of_a_stack_is_known():
    head = Bernoulli((4, 4, 1))
    assert output_layer(Stack([MLP(3), head])) is head
    decoder = gated((4, 4, 1))
    z, y = keras.Input((2,)), keras.Input((3,))
    assert output_layer(keras.Model([z, y], decoder([z, y]))) is decoder.head
