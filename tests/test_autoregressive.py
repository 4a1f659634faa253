"""Autoregressive likelihoods of images: causality, probabilities and samples."""

import itertools
import math

import keras
import numpy as np
import pytest
from keras import ops
from networks import array, gated, masked, normal, randomize
from oracles import binary_images

import vaekit as vk
from vaekit.backend import tfd, tfp
from vaekit.layers import (
    Autoregressive,
    Bernoulli,
    Categorical,
    DiagonalNormal,
    DiscretizedLogisticMixture,
    DistributionLayer,
    GatedConv2D,
    GatedPixelConv2D,
    Masked,
    MaskedConv2D,
    Normal,
    ResidualBlock,
    Stack,
    VariationalWeights,
)
from vaekit.layers.distribution import origin_of, pixelwise

L = keras.layers


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


def test_a_model_of_images_alone_has_a_context_without_channels():
    layers = [MaskedConv2D(2, 3, "A"), Bernoulli((4, 4, 1))]
    x = binary_images(3)
    expected = keras.Sequential([keras.Input((4, 4, 1)), *layers])(x).log_prob(x)
    p = Autoregressive(layers)(ops.zeros((3, 4, 4, 0)))
    np.testing.assert_allclose(array(p.log_prob(x)), array(expected), rtol=1e-5)
    assert p.sample(2, seed=vk.backend.seed(0)).shape == (2, 3, 4, 4, 1)


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
@pytest.mark.thorough
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


IMAGE = Bernoulli((4, 4, 1))
BAD = {
    "no list of layers": (lambda: Stack([]), "expects a list of Keras layers"),
    "a tensor among layers": (lambda: Stack([keras.Input((3,))]), "expects a list of Keras layers"),
    "an unknown mask": (lambda: MaskedConv2D(3, 3, mask="C"), 'mask "A" .* or "B"'),
    "an even kernel": (lambda: GatedPixelConv2D(3, 4), "odd kernel size"),
    "a kernel that is no square": (lambda: GatedPixelConv2D(3, (3, 5)), r"square kernel.*received \(3, 5\)"),
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
