"""Convolutions, stacks with skip connections, and autoregressive likelihoods of images."""

import itertools
import math

import keras
import numpy as np
import pytest
from keras import ops
from oracles import binary_images

import vaekit as vk
from vaekit.backend import tfd, tfp
from vaekit.layers import (
    MLP,
    Autoregressive,
    Bernoulli,
    Categorical,
    DiagonalNormal,
    DiscretizedLogisticMixture,
    DistributionLayer,
    GatedConv2D,
    GatedConv2DTranspose,
    GatedPixelConv2D,
    Join,
    Masked,
    MaskedConv2D,
    Normal,
    ResidualBlock,
    Stack,
    VariationalWeights,
)
from vaekit.layers.distribution import origin_of, pixelwise
from vaekit.models.factors import output_layer

L = keras.layers


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def array(tensor):
    return ops.convert_to_numpy(tensor)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def randomize(layer, scale=0.7):
    """Weights that are far from special, biases included."""
    layer.set_weights([scale * normal(*w.shape, seed=i) for i, w in enumerate(layer.get_weights())])


def gated(shape, filters=3, depth=2, skip=False):
    layers = [GatedPixelConv2D(filters, mask="B" if i else "A") for i in range(depth)]
    return Autoregressive([*layers, Bernoulli(shape)], skip=skip)


def masked(shape, filters=3, depth=2, skip=False):
    layers = [MaskedConv2D(filters, mask="B" if i else "A", activation="tanh") for i in range(depth)]
    return Autoregressive([*layers, Bernoulli(shape)], skip=skip)


# ---------------------------------------------------------------- convolutions


def test_gated_convolution_by_hand():
    x, layer = normal(2, 3, 4, 5), GatedConv2D(2, 1)
    layer(x)
    randomize(layer)
    W, b, V, c = layer.get_weights()
    np.testing.assert_allclose(array(layer(x)), (x @ W[0, 0] + b) * sigmoid(x @ V[0, 0] + c), rtol=1e-5, atol=1e-5)
    up = GatedConv2DTranspose(2, 2, strides=2)
    up(x)
    randomize(up)
    W, b, V, c = up.get_weights()  # [2, 2, out, in]: each pixel becomes 2×2 pixels
    value, gate = (np.einsum("nijc,klfc->nikjlf", x, k).reshape(2, 6, 8, 2) for k in (W, V))
    np.testing.assert_allclose(array(up(x)), (value + b) * sigmoid(gate + c), rtol=1e-5, atol=1e-5)


def test_residual_block_passes_its_input():
    x = normal(2, 3, 4, 5)
    for filters in (5, 2):
        block = ResidualBlock(filters)
        block(x)
        randomize(block)
        for convolution in block.convolutions:
            convolution.set_weights([np.zeros_like(w) for w in convolution.get_weights()])
        for norm in block.normalizations:
            norm.set_weights([np.ones(filters), np.zeros(filters), np.zeros(filters), np.ones(filters)])
        expected = x if filters == 5 else x @ block.passage.get_weights()[0][0, 0] + block.passage.get_weights()[1]
        np.testing.assert_allclose(array(block(x)), np.maximum(expected, 0), rtol=1e-5, atol=1e-6)


def test_numbers_of_weights_of_the_papers_layers():
    def count(layer, *shape):
        layer.build((None, *shape) if isinstance(shape[0], int) else [(None, *s) for s in shape])
        return layer.count_params()

    assert count(GatedConv2D(32, 7), 28, 28, 1) == 2 * (7 * 7 * 32 + 32)
    norm = 4 * 64  # γ, β, running mean and variance
    assert count(ResidualBlock(64), 28, 28, 1) == 9 * 64 + 9 * 64 * 64 + 2 * norm + (64 + 64)
    assert count(ResidualBlock(64), 14, 14, 64) == 2 * 9 * 64 * 64 + 2 * norm
    # Dieng et al.: 9 layers of 32 maps; z of 20 as a channel of each layer and of the last 1×1 convolution; 8×8 images
    layers = [GatedPixelConv2D(32, mask="B" if i else "A") for i in range(9)]
    link_and_output = 64 * 64 + 32 * 32 + 32
    first = (1 * 3 + 1) * (1 + 1) * 64 + 2 * 64 + link_and_output  # of x and z: 3 above, 1 to the left
    later = (2 * 3 + 2) * (32 + 1) * 64 + 2 * 64 + link_and_output
    linear_maps = 10 * (20 + 1) * 8 * 8
    decoder = Autoregressive([*layers, Bernoulli((8, 8, 1))], skip=True)
    assert count(decoder, 20) == first + 8 * later + (64 + 1 + 1) + linear_maps


# ---------------------------------------------------------------- stacks


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


# ---------------------------------------------------------------- autoregressive likelihoods


def dependence(network, n):
    """Whether the parameters at pixel i depend on pixel j, array `[n², n²]` of booleans."""
    z, x = np.tile(normal(1, 2), (n * n, 1)), np.tile(normal(1, n, n, 1), (n * n, 1, 1, 1))
    network(z)
    randomize(network)
    one_pixel = np.eye(n * n, dtype="float32").reshape(n * n, n, n, 1)  # example i looks at pixel i

    def chosen(x):
        return ops.sum(network.conditional(x, [ops.convert_to_tensor(z)]).distribution.logits * one_pixel)

    _, (gradient,) = vk.backend.value_and_gradient(chosen, x)
    return array(gradient).reshape(n * n, n * n) != 0


N = 6
PIXELS = np.array(list(itertools.product(range(N), repeat=2)))
EARLIER = np.tri(N * N, k=-1, dtype=bool)
UP, RIGHT = (PIXELS[:, None] - PIXELS[None])[..., 0], (PIXELS[None] - PIXELS[:, None])[..., 1]


@pytest.mark.alternate
@pytest.mark.parametrize("skip", [False, True])
def test_the_gated_pixelcnn_sees_all_earlier_pixels_and_no_other(skip):
    np.testing.assert_array_equal(dependence(gated((N, N, 1), depth=N - 1, skip=skip), N), EARLIER)


def test_masked_convolutions_have_a_blind_spot():
    # one step up goes one step to the right at most
    np.testing.assert_array_equal(dependence(masked((N, N, 1), depth=N - 1), N), EARLIER & (RIGHT <= UP))
    assert np.any(EARLIER & (RIGHT > UP))


def every_image(*shape):
    """All images of zeros and ones."""
    return np.array(list(itertools.product([0.0, 1.0], repeat=math.prod(shape))), "float32").reshape(-1, *shape)


@pytest.mark.alternate
@pytest.mark.parametrize("kind", [gated, masked])
def test_probabilities_sum_to_one_and_depend_on_z(kind):
    x, z = every_image(2, 3, 1), normal(4, 2)
    network = kind((2, 3, 1), skip=True)
    network(z)
    randomize(network)
    log_p = array(vk.backend.compile(lambda: network(z).log_prob(x[:, None]), network.variables)())  # [64, 4]
    np.testing.assert_allclose(np.exp(log_p).sum(axis=0), 1, rtol=1e-5)
    assert np.ptp(log_p, axis=1).min() > 1e-3
    one_by_one = [array(network(z[i : i + 1]).log_prob(x[:4])) for i in range(2)]  # [4] each: z is repeated
    np.testing.assert_allclose(np.stack(one_by_one, axis=1), log_p[:4, :2], rtol=1e-4)


def colours():
    """A head whose channels depend on each other: two channels of two values each."""
    head = DiscretizedLogisticMixture((1, 2, 2), components=2, bins=2)
    return Autoregressive([GatedPixelConv2D(2, mask="A"), head])


@pytest.mark.alternate
@pytest.mark.parametrize("make", [lambda: gated((2, 2, 1), skip=True), colours], ids=["pixels", "colours"])
def test_samples_have_their_probabilities(make):
    network, z, draws = make(), normal(2, 3), 8000
    network(z)
    randomize(network)
    p, shape = network(z), network.head.event_shape
    images = every_image(*shape)[:, None]
    expected = np.exp(array(vk.backend.compile(lambda: p.log_prob(images), network.variables)()))  # [16, 2]
    np.testing.assert_allclose(expected.sum(axis=0), 1, rtol=1e-5)
    x = array(p.sample(draws, seed=vk.backend.seed(3)))
    assert x.shape == (draws, 2, *shape)
    numbers = (x > 0.5).reshape(draws, 2, 4) @ [8, 4, 2, 1]
    for i in range(2):
        found = np.bincount(numbers[:, i], minlength=16) / draws
        assert np.all(np.abs(found - expected[:, i]) < 5 * np.sqrt(expected[:, i] * (1 - expected[:, i]) / draws))
    np.testing.assert_array_equal(x, array(p.sample(draws, seed=vk.backend.seed(3))))
    with pytest.raises(NotImplementedError):
        p.mean()


class Laplace(DistributionLayer):
    parameters = ("mean", "log_scale")

    def distribution(self, mean, log_scale):
        places = ops.reshape(ops.arange(math.prod(self.event_shape), dtype="float32"), self.event_shape)
        return self.independent(tfd.Laplace(mean + places, ops.exp(log_scale)))


class Ramp(MaskedConv2D):
    """A masked layer that is not the same in every column."""

    def call(self, inputs):
        return super().call(inputs) * ops.arange(inputs.shape[2], dtype="float32")[:, None]


# layers, whether z enters all of them, shapes of z
INCREMENTAL = {
    "gated": lambda: (
        [GatedPixelConv2D(3, 5, mask="A"), L.BatchNormalization(), GatedPixelConv2D(3, 7), GatedPixelConv2D(3)]
        + [L.Dense(4, "relu"), L.Conv2D(4, 1), GatedConv2D(3, 1), DiagonalNormal((5, 4, 2))],
        *(True, [(2,), (5, 4, 2)]),
    ),
    "masked": lambda: (
        [L.Activation("tanh"), MaskedConv2D(3, 7, "A", use_bias=False), L.BatchNormalization(), L.ReLU()]
        + [L.Dropout(0.5), MaskedConv2D(4, 5, activation="tanh"), MaskedConv2D(3), Categorical((5, 4, 3), bins=9)],
        *(False, [(5, 4, 2)]),
    ),
    "layers that treat places differently": lambda: (
        [L.PReLU(), MaskedConv2D(3, (3, 5), "A", dilation_rate=(2, 1)), L.PReLU(), Ramp(4), MaskedConv2D(3)]
        + [L.BatchNormalization(axis=1), Laplace((5, 4, 1))],
        *(True, [(2,)]),
    ),
}


@pytest.mark.alternate
@pytest.mark.parametrize("kind", INCREMENTAL)
def test_samples_are_those_of_a_full_run_for_each_pixel(kind):
    layers, skip, shapes = INCREMENTAL[kind]()
    network, z = Autoregressive(layers, skip), [ops.convert_to_tensor(normal(3, *shape)) for shape in shapes]
    network(z)
    weights = {v.path: 0.3 * normal(*v.shape, seed=i) for i, v in enumerate(network.weights)}
    network.set_weights([np.abs(w) if "variance" in path else w for path, w in weights.items()])
    rows, columns, channels = network.head.event_shape
    seed = vk.backend.seed(0)
    seeds = ops.stack(tfp.random.split_seed(seed, rows * columns))

    def pixel(i, x):
        p, place = network.conditional(x, z), (0, i // columns, i % columns, 0)
        if isinstance(network.head, Laplace):
            drawn = ops.slice(p.sample(seed=seeds[i]), place, (3, 1, 1, channels))
        else:
            head, parameters = origin_of(p)
            here = {name: ops.slice(a, place, (3, 1, 1, a.shape[-1])) for name, a in parameters.items()}
            drawn = head.distribution(**here).sample(seed=seeds[i])
        return ops.slice_update(x, place, drawn)

    blank = ops.zeros((3, rows, columns, channels))
    draw = vk.backend.compile(lambda: ops.fori_loop(0, rows * columns, pixel, blank), network.variables)
    expected = array(draw())
    assert np.isfinite(expected).all() and expected.std(axis=(1, 2, 3)).min() > 0.1
    np.testing.assert_allclose(array(network(z).sample(seed=seed)), expected, rtol=1e-4, atol=1e-4)


def test_whoever_writes_a_distribution_says_whether_it_treats_pixels_alone():
    seen = set()

    class Inherited(Bernoulli):
        def parameter_values(self, inputs):
            seen.add(tuple(inputs.shape[1:3]))
            return super().parameter_values(inputs)

    class Own(Inherited):
        def distribution(self, logits):
            return super().distribution(logits)

    class Marked(Own):
        @pixelwise
        def distribution(self, logits):
            return super().distribution(logits)

    for head, place in ((Inherited, (1, 1)), (Own, (2, 3)), (Marked, (1, 1))):
        p = Autoregressive([MaskedConv2D(2, 3, "A"), head((2, 3, 1))])(ops.ones((1, 2)))
        seen.clear()
        p.sample(seed=vk.backend.seed(0))
        assert seen == {place}


def test_contexts_may_be_maps_and_several():
    network = masked((3, 4, 1))
    p = network([normal(2, 5), normal(2, 3, 4, 2)])
    assert p.sample(seed=vk.backend.seed(0)).shape == (2, 3, 4, 1)

    def through_a_sample(*z):
        return ops.sum(network(list(z)).sample(seed=vk.backend.seed(0))) + ops.sum(z[0])

    _, gradients = vk.backend.value_and_gradient(through_a_sample, normal(2, 5), normal(2, 3, 4, 2))
    assert [np.unique(array(g)).tolist() for g in gradients] == [[1.0], [0.0]]
    with pytest.raises(ValueError, match="of one size"):
        masked((3, 4, 1))(normal(2, 5, 5, 2))


def test_a_distribution_keeps_its_weights_and_its_mode():
    image, z = (3, 3, 1), normal(5, 2)
    x = binary_images(5, image)
    network = Autoregressive([MaskedConv2D(2, mask="A"), L.BatchNormalization(), Bernoulli(image)])
    p, training = network(z), network(z, training=True)
    before = array(p.log_prob(x))
    assert not array(network.layers[1].moving_mean).any()
    training.log_prob(x)
    assert array(network.layers[1].moving_mean).any()
    np.testing.assert_array_equal(before, array(p.log_prob(x)))
    drawn = VariationalWeights(masked(image), 10, initial_scale=0.5, seed=0)
    first, second = drawn(z), drawn(z)  # two draws of the weights
    np.testing.assert_array_equal(array(first.log_prob(x)), array(first.log_prob(x)))
    assert np.abs(array(first.log_prob(x)) - array(second.log_prob(x))).min() > 1e-3


DECODERS = {
    "gated PixelCNN with skips": lambda image: gated(image, skip=True),
    "masked convolutions with batch normalization": lambda image: Autoregressive(
        [MaskedConv2D(3, mask="A"), L.BatchNormalization(), L.Activation("relu"), MaskedConv2D(3), Bernoulli(image)]
    ),
}


@pytest.mark.alternate
@pytest.mark.parametrize("kind", DECODERS)
def test_decoders_train_and_reload_in_a_vae(kind, tmp_path):
    image = (4, 4, 1)
    encoder = Stack([ResidualBlock(3), L.Conv2D(3, 2, strides=2), DiagonalNormal(2)])
    model = vk.VAE(encoder, DECODERS[kind](image), seed=0)
    model.compile("sgd", objective=vk.objectives.IWAE(3))
    x = binary_images(20, image)
    history = model.fit(x, batch_size=10, verbose=0).history
    assert np.isfinite(history["loss"]).all() and int(model.step) == 2
    reconstructed = model.reconstruct(x, mean=False)  # having no mean, a sample
    assert reconstructed.shape == x.shape and set(np.unique(reconstructed)) == {0.0, 1.0}
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.evaluate(x, verbose=0, seed=0) == pytest.approx(model.evaluate(x, verbose=0, seed=0), rel=1e-5)
    with pytest.raises(ValueError, match="DynamicBinarization"):
        model.fit(x / 2, verbose=0)


# ---------------------------------------------------------------- bad input

IMAGE = Bernoulli((4, 4, 1))
BAD = {
    "no list of layers": (lambda: Stack([]), "expects a list of Keras layers"),
    "a tensor among layers": (lambda: Stack([keras.Input((3,))]), "expects a list of Keras layers"),
    "an unknown mask": (lambda: MaskedConv2D(3, 3, mask="C"), 'mask "A" .* or "B"'),
    "an even kernel": (lambda: GatedPixelConv2D(3, 4), "odd kernel size"),
    "nothing to see": (lambda: MaskedConv2D(3, 1, mask="A"), "kernel size 3, 5, 7"),
    "B on too few channels": (lambda: GatedPixelConv2D(3)(normal(1, 4, 4, 5)), 'Should it be the first, with mask="A"'),
    "no head": (lambda: Autoregressive([MaskedConv2D(3, mask="A")]), "last layer .* distribution layer"),
    "a head of vectors": (lambda: Autoregressive([MaskedConv2D(3, mask="A"), Bernoulli(16)]), "over images"),
    "no masked layer": (lambda: Autoregressive([IMAGE]), "as its first layer"),
    "B first": (lambda: Autoregressive([MaskedConv2D(3), IMAGE]), "may let a pixel see itself"),
    "an open convolution": (
        lambda: Autoregressive([MaskedConv2D(3, mask="A"), L.Conv2D(3, 3, padding="same"), IMAGE]),
        "Conv2D .* may let a pixel see itself or later ones",
    ),
    "v and h mistaken for others": (
        lambda: Autoregressive([GatedPixelConv2D(4, mask="A"), GatedPixelConv2D(2), IMAGE]),
        "as many filters",
    ),
    "missing pixels": (
        lambda: Autoregressive([MaskedConv2D(3, mask="A"), Masked(IMAGE)]),
        "a missing one cannot serve",
    ),
    "a parameter for the image": (
        lambda: Autoregressive([MaskedConv2D(3, mask="A"), Normal((4, 4, 1), scale="image")])(normal(1, 2)),
        "features of that pixel",
    ),
    "a smaller feature map": (
        lambda: Autoregressive([MaskedConv2D(3, mask="A"), L.Conv2D(3, 1, strides=2), IMAGE])(normal(1, 2)),
        r"events of shape \(4, 4, 1\), but its features are a map of another size, \(2, 2, 3\)",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_wrong_networks_are_refused(kind):
    make, message = BAD[kind]
    with pytest.raises(ValueError, match=message):
        make()
