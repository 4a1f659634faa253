"""One contract that every public layer, prior and model passes, as Keras tests its own layers."""

import contextlib

import keras
import numpy as np
import pytest
from keras import ops
from oracles import binary_images, small_vae, two_latents

import vaekit as vk
from vaekit.backend import tfd
from vaekit.layers import (
    MLP,
    Autoregressive,
    AutoregressiveTokens,
    Bernoulli,
    BitwiseCategorical,
    Categorical,
    CategoricalLabels,
    CommittedNormal,
    DiagonalNormal,
    DiscretizedLogistic,
    DiscretizedLogisticMixture,
    FillMissing,
    GatedConv2D,
    GatedConv2DTranspose,
    GatedDense,
    GatedPixelConv2D,
    Hold,
    Masked,
    MaskedConv2D,
    MultivariateNormal,
    Normal,
    OneHotCategorical,
    Poisson,
    ResidualBlock,
    Stack,
    StudentT,
    TimeDistributed,
    Tokens,
    VariationalWeights,
)

L = keras.layers
IMAGE = (4, 4, 1)
NEAR_0 = keras.initializers.RandomNormal(stddev=0.1)  # plain SGD diverges from densities that are narrow at the start
# name: (layer, input shape without batch, number of weights, features or event shape of the output)
LAYERS = {
    "GatedDense": (lambda: GatedDense(5), IMAGE, 4, (5,)),
    "MLP tanh": (lambda: MLP([6, 5]), IMAGE, 4, (5,)),
    "MLP relu": (lambda: MLP(5, "relu"), (7,), 2, (5,)),
    "MLP gated": (lambda: MLP([6, 5], "gated"), (7,), 8, (5,)),
    "MLP regularized": (
        lambda: MLP(
            5, kernel_initializer=keras.initializers.RandomNormal(), kernel_regularizer=keras.regularizers.L2()
        ),
        (7,),
        2,
        (5,),
    ),
    "GatedConv2D": (lambda: GatedConv2D(3, 5, strides=2), IMAGE, 4, (2, 2, 3)),
    "GatedConv2DTranspose": (lambda: GatedConv2DTranspose(3, 4, strides=2), IMAGE, 4, (8, 8, 3)),
    "ResidualBlock": (lambda: ResidualBlock(3), (4, 4, 3), 6, (4, 4, 3)),
    "ResidualBlock of other width": (lambda: ResidualBlock(3, 5), IMAGE, 8, (4, 4, 3)),
    "MaskedConv2D": (lambda: MaskedConv2D(3, 5, "A", activation="tanh"), IMAGE, 2, (4, 4, 3)),
    "GatedPixelConv2D A": (lambda: GatedPixelConv2D(3, mask="A"), IMAGE, 7, (4, 4, 6)),
    "GatedPixelConv2D B": (lambda: GatedPixelConv2D(3, 5), (4, 4, 7), 7, (4, 4, 6)),
    "Stack": (lambda: Stack([keras.layers.Dense(6, "tanh"), MLP(5)]), (7,), 4, (5,)),
    "Stack with skips, to a distribution": (
        lambda: Stack([MLP(16), keras.layers.Reshape((4, 4, 1)), GatedConv2D(3, 3), Bernoulli(IMAGE)], skip=True),
        (7,),
        2 + 2 + 4 + 2 + 2,
        IMAGE,
    ),
    "Autoregressive": (
        lambda: Autoregressive([MaskedConv2D(3, mask="A"), keras.layers.BatchNormalization(), Bernoulli(IMAGE)]),
        (7,),
        2 + 2 + 2 + 2,
        IMAGE,
    ),
    "Autoregressive with skips": (
        lambda: Autoregressive([GatedPixelConv2D(2, mask="A"), GatedPixelConv2D(2), Bernoulli(IMAGE)], skip=True),
        (7,),
        3 * 2 + 2 * 7 + 2,
        IMAGE,
    ),
    "Bernoulli": (lambda: Bernoulli(IMAGE), (7,), 2, IMAGE),
    "Bernoulli of a feature map": (lambda: Bernoulli(IMAGE), (4, 4, 3), 2, IMAGE),
    "DiagonalNormal": (lambda: DiagonalNormal(3), (7,), 4, (3,)),
    "DiagonalNormal of an image": (lambda: DiagonalNormal(3), IMAGE, 4, (3,)),
    "DiagonalNormal, log-scale": (lambda: DiagonalNormal(3, parametrization="log_scale"), (7,), 4, (3,)),
    "DiagonalNormal, softplus": (lambda: DiagonalNormal(3, parametrization="softplus"), (7,), 4, (3,)),
    "DiagonalNormal, clipped": (lambda: DiagonalNormal(3, log_variance_range=(-6, 2)), (7,), 4, (3,)),
    "DiagonalNormal, sigmoid": (lambda: DiagonalNormal(IMAGE, mean_activation="sigmoid"), (7,), 4, IMAGE),
    "CommittedNormal": (lambda: CommittedNormal(3, rate=0.5), (7,), 4, (3,)),
    "Normal, fixed": (lambda: Normal(IMAGE, scale=0.1), (7,), 2, IMAGE),
    "Normal, shared": (lambda: Normal(IMAGE, scale="shared", mean_activation="sigmoid"), (7,), 3, IMAGE),
    "Normal, shared, soft-clipped": (lambda: Normal(IMAGE, scale="shared", soft_clip=-6.0), (7,), 3, IMAGE),
    "Normal, per image": (lambda: Normal(IMAGE, scale="image", soft_clip=0.0), (7,), 4, IMAGE),
    "Normal, per pixel": (lambda: Normal(IMAGE, scale="pixel", soft_clip=0.0), (4, 4, 3), 4, IMAGE),
    "Normal, optimal": (lambda: Normal(IMAGE, scale="optimal", soft_clip=-6.0), (7,), 2, IMAGE),
    "Normal, optimal per image": (lambda: Normal(IMAGE, scale="optimal_image"), (7,), 2, IMAGE),
    "StudentT": (lambda: StudentT(IMAGE, mean_activation="sigmoid"), (7,), 6, IMAGE),
    "StudentT, shared": (lambda: StudentT(IMAGE, "shared"), (4, 4, 3), 5, IMAGE),
    "StudentT, fixed": (lambda: StudentT(IMAGE, 5), (7,), 4, IMAGE),
    "DiscretizedLogistic": (lambda: DiscretizedLogistic(IMAGE), (7,), 4, IMAGE),
    "DiscretizedLogistic, clipped": (
        lambda: DiscretizedLogistic(IMAGE, 16, log_scale_range=(-4.5, 0), mean_range=(1 / 32, 31 / 32), edges=False),
        (7,),
        4,
        IMAGE,
    ),
    "Categorical": (lambda: Categorical(IMAGE, bins=16), (7,), 2, IMAGE),
    "Categorical of a feature map": (lambda: Categorical((4, 4, 3), bins=16), (4, 4, 5), 2, (4, 4, 3)),
    "BitwiseCategorical": (lambda: BitwiseCategorical(IMAGE), (7,), 2, IMAGE),
    "BitwiseCategorical of a feature map": (lambda: BitwiseCategorical((4, 4, 3), 4), (4, 4, 5), 2, (4, 4, 3)),
    "DiscretizedLogisticMixture, grey": (lambda: DiscretizedLogisticMixture(IMAGE, 3), (7,), 6, IMAGE),
    "DiscretizedLogisticMixture, colour": (
        lambda: DiscretizedLogisticMixture((4, 4, 3), 3, log_scale_range=(-7, 2)),
        (4, 4, 5),
        8,
        (4, 4, 3),
    ),
    "MultivariateNormal": (lambda: MultivariateNormal(3, kernel_initializer=NEAR_0), (7,), 4, (3,)),
    "MultivariateNormal of an image": (lambda: MultivariateNormal(3, kernel_initializer=NEAR_0), IMAGE, 4, (3,)),
    "Poisson": (lambda: Poisson(IMAGE), (7,), 2, IMAGE),
    "OneHotCategorical": (lambda: OneHotCategorical(3), (7,), 2, (3,)),
    "OneHotCategorical of a feature map": (lambda: OneHotCategorical((4, 4, 3)), (4, 4, 5), 2, (4, 4, 3)),
    "CategoricalLabels": (lambda: CategoricalLabels(1, classes=3), (7,), 2, (1,)),
    "CategoricalLabels of a feature map": (lambda: CategoricalLabels(IMAGE, classes=3), (4, 4, 5), 2, IMAGE),
    "Tokens": (lambda: Tokens(4, 6), (7,), 2, (4,)),
    "Tokens of a sequence": (lambda: Tokens(4, 6), (4, 5), 2, (4,)),
    "AutoregressiveTokens": (
        lambda: AutoregressiveTokens([L.Embedding(6, 3), L.GRU(5, return_sequences=True), Tokens(4, 6)]),
        (7,),
        1 + 3 + 2,
        (4,),
    ),
    "AutoregressiveTokens with skips": (
        lambda: AutoregressiveTokens(
            [L.Embedding(6, 3), L.LSTM(5, return_sequences=True), L.Conv1D(3, 2, padding="causal"), Tokens(4, 6)],
            skip=True,
            initial_state=True,
        ),
        (7,),
        1 + 3 + 2 + 2 + 2,
        (4,),
    ),
    "TimeDistributed": (lambda: TimeDistributed(keras.Sequential([L.Conv2D(2, 3), MLP(5)])), (3, *IMAGE), 4, (3, 5)),
    "TimeDistributed to a distribution": (lambda: TimeDistributed(Normal(IMAGE)), (3, 7), 2, (3, *IMAGE)),
    "TimeDistributed of an autoregressive decoder": (
        lambda: TimeDistributed(Autoregressive([MaskedConv2D(3, 3, "A"), Bernoulli(IMAGE)])),
        (3, *IMAGE),
        4,
        (3, *IMAGE),
    ),
    "Hold": (lambda: Hold(1), (3, 7), 0, (3, 7)),
    "Stack over time": (
        lambda: Stack([L.GRU(5, return_sequences=True), TimeDistributed(DiagonalNormal(2), known=1)], over_time=True),
        (3, 7),
        7,
        (3, 2),
    ),
    "Masked": (lambda: Masked(Normal(IMAGE, scale="shared")), (7,), 3, IMAGE),
    "Masked, of colours": (lambda: Masked(DiscretizedLogisticMixture((4, 4, 3), 3)), (4, 4, 5), 8, (4, 4, 3)),
    "FillMissing": (lambda: FillMissing(0.5), (7,), 0, (7,)),
    "VariationalWeights": (lambda: VariationalWeights(keras.layers.Dense(5), 100, seed=0), (7,), 4, (5,)),
    "VariationalWeights of a decoder": (lambda: VariationalWeights(Bernoulli(IMAGE), 100, seed=0), (7,), 4, IMAGE),
}


def inputs(shape, n=6):
    return np.random.default_rng(1).normal(size=(n, *shape)).astype("float32")


def value(output):
    """A number for each entry of a tensor, or for each event of a distribution."""
    return ops.convert_to_numpy(log_prob(output) if isinstance(output, tfd.Distribution) else output)


def log_prob(distribution):
    return distribution.log_prob(ops.ones((*distribution.batch_shape, *distribution.event_shape), "float32"))


def dtype(tensor):
    return keras.backend.standardize_dtype(tensor.dtype)


def without_numbers(function):
    """Runs what looks at shapes and types alone: JAX would compile each operation of each shape for it."""
    vk.backend.dry_run(function) if vk.backend.NAME == "jax" else function()


@pytest.fixture(params=LAYERS, ids=list(LAYERS))
def case(request):
    make, *rest = LAYERS[request.param]
    return make(), *rest


def test_layer_shapes_weights_and_config(case):
    layer, shape, weights, features = case
    symbolic = layer(keras.Input(shape))
    assert symbolic.shape == (None, *features)
    assert len(layer.trainable_weights) == weights

    def calls():
        for n in (1, 6):
            output = layer(inputs(shape, n))
            if isinstance(output, tfd.Distribution):
                assert tuple(output.batch_shape) == (n,) and tuple(output.event_shape) == features
                assert tuple(output.sample(seed=vk.backend.seed(0)).shape) == (n, *features)
                assert dtype(log_prob(output)) == "float32"
            else:
                assert tuple(output.shape) == (n, *features)

    without_numbers(calls)
    clone = type(layer).from_config(layer.get_config())
    clone(keras.Input(shape))
    assert clone.get_config() == layer.get_config()
    assert [w.shape for w in clone.weights] == [w.shape for w in layer.weights]


@pytest.mark.alternate
@pytest.mark.parametrize("style", ["sequential", "functional"])
def test_layer_last_in_a_saved_model(case, style, tmp_path):
    layer, shape, _, _ = case
    if style == "sequential":
        model = keras.Sequential([keras.Input(shape), layer])
    else:
        x = keras.Input(shape)
        model = keras.Model(x, layer(x))
    x = inputs(shape)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    if isinstance(layer, VariationalWeights):  # every call is a new draw; a loaded layer starts from its seed again
        for copy in (model.layers[-1], loaded.layers[-1]):
            copy.seed_generator.state.assign(ops.cast([0, 0], copy.seed_generator.state.dtype))
    np.testing.assert_allclose(value(loaded(x)), value(model(x)), rtol=1e-6)


@pytest.mark.alternate
def test_layer_trains_in_a_plain_keras_model(case):
    layer, shape, _, features = case
    model = keras.Sequential([keras.Input(shape), layer])
    start = [w.copy() for w in model.get_weights()]

    def loss(y, output):
        return -output.log_prob(y) if isinstance(output, tfd.Distribution) else ops.mean((output - y) ** 2, axis=-1)

    sgd = keras.optimizers.SGD(0.01, global_clipnorm=1.0)  # some start with a σ so small that they would diverge
    model.compile(sgd, loss=None, jit_compile=vk.backend.NAME == "jax")  # XLA: test_crossings
    model.compute_loss = lambda x, y, y_pred, sample_weight, training: ops.mean(loss(y, y_pred)) + sum(model.losses)
    y = np.ones((6, *features), "float32")
    history = model.fit(inputs(shape), y, epochs=3, batch_size=3, verbose=0).history["loss"]
    assert np.isfinite(history).all()
    assert all(np.any(a != b) for a, b in zip(start, model.get_weights(), strict=True) if a.dtype == "float32")


@pytest.mark.alternate
def test_layer_under_mixed_precision(case):
    layer, shape, _, _ = case
    keras.config.set_dtype_policy("mixed_bfloat16")
    fresh = type(layer).from_config({k: v for k, v in layer.get_config().items() if k != "dtype"})
    model = keras.Sequential([keras.Input(shape), keras.layers.Dense(shape[-1]), fresh])

    def call():
        output = model(inputs(shape))
        if isinstance(output, tfd.Distribution):
            assert dtype(log_prob(output)) == "float32"  # densities stay exact

    without_numbers(call)
    assert all(w.dtype == "float32" for w in fresh.trainable_weights)


@pytest.mark.alternate
def test_layer_where_floats_are_float64(float64, case):
    layer, shape, _, _ = case
    model = keras.Sequential([keras.Input(shape), keras.layers.Dense(shape[-1]), layer])

    def call():
        output = model(ops.convert_to_tensor(inputs(shape)))
        if isinstance(output, tfd.Distribution):
            assert dtype(log_prob(output)) == "float32"
            assert dtype(output.sample(seed=vk.backend.seed(0))) == "float32"
            with contextlib.suppress(NotImplementedError):
                assert dtype(output.mean()) == "float32"

    without_numbers(call)


def test_heads_do_not_start_equal():
    layer = DiagonalNormal(3, kernel_initializer=keras.initializers.RandomNormal())
    layer.build((None, 7))
    mean, spread = (ops.convert_to_numpy(head.kernel) for head in layer.heads.values())
    assert np.abs(mean - spread).max() > 1e-3


PRIORS = {
    "StandardNormal": (vk.priors.StandardNormal, 0),
    "LearnedNormal": (vk.priors.LearnedNormal, 2),
    "RealNVP": (lambda *shape: vk.priors.RealNVP(2, 4, *shape, seed=0), 8),
}


@pytest.mark.parametrize("name", PRIORS)
def test_prior(name, tmp_path):
    make, weights = PRIORS[name]
    prior = make(3)
    assert len(prior.trainable_weights) == weights
    p = prior.distribution()
    assert tuple(p.batch_shape) == () and tuple(p.event_shape) == (3,)
    z = inputs((3,))
    expected = -0.5 * (z**2).sum(axis=-1) - 1.5 * np.log(2 * np.pi)  # both start at N(0, I)
    np.testing.assert_allclose(value(p.log_prob(z)), expected, rtol=1e-5)
    first, second = (ops.convert_to_numpy(p.sample(5, seed=vk.backend.seed(1))) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    clone = type(prior).from_config(prior.get_config())
    assert clone.event_shape == (3,) and clone.get_config() == prior.get_config()
    with pytest.raises(TypeError, match="distribution()"):
        prior(z)
    model = small_vae(latents=3, prior=make())
    x = binary_images()
    model.fit(x, epochs=1, verbose=0)
    model.save(tmp_path / "model.keras")
    assert keras.saving.load_model(tmp_path / "model.keras").evaluate(x, verbose=0, seed=0) == pytest.approx(
        model.evaluate(x, verbose=0, seed=0), rel=1e-6
    )


OBJECTIVES = {
    "ELBO": lambda: vk.objectives.ELBO(),
    "ELBO, B, 2 samples": lambda: vk.objectives.ELBO(2, analytic_kl=True),
    "ELBO, free bits": lambda: vk.objectives.ELBO(free_bits=0.5),
    "β-warm-up": lambda: vk.objectives.ELBO(beta=vk.objectives.WarmUp(5, start=0.1)),
    "score function": lambda: vk.objectives.ELBO(3, gradient="score_function"),
    "IWAE": lambda: vk.objectives.IWAE(5),
    "wake–sleep": lambda: vk.objectives.WakeSleep(),
    "reweighted wake–sleep": lambda: vk.objectives.ReweightedWakeSleep(3, sleep=0.5),
    "VIMCO": lambda: vk.objectives.VIMCO(3),
}
MODELS = {
    "VAE": lambda: small_vae(),
    "bottom-up": lambda: two_latents("bottom-up"),
    "top-down": lambda: two_latents("top-down"),
}


# all objectives meet all parts in test_crossings; here is what a training leaves behind
@pytest.mark.alternate
@pytest.mark.parametrize(
    "kind, objective", [*(("VAE", name) for name in OBJECTIVES), ("bottom-up", "IWAE"), ("top-down", "wake–sleep")]
)
def test_model_trains_and_reloads_whole(kind, objective, tmp_path):
    x = binary_images(60)
    model = MODELS[kind]()
    model.compile(keras.optimizers.SGD(0.01), objective=OBJECTIVES[objective]())
    history = model.fit(x, batch_size=20, epochs=2, validation_data=x[:20], verbose=0).history
    names = {"loss", "bound", "reconstruction", "kl"} | ({"kl_z1", "kl_z2"} if kind != "VAE" else set())
    names |= {"sleep"} if "wake–sleep" in objective else set()
    assert set(history) == names | {f"val_{name}" for name in names}
    assert np.isfinite(list(history.values())).all()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    before, after = (m.evaluate(x, batch_size=20, verbose=0, seed=0) for m in (model, loaded))
    assert after == pytest.approx(before, rel=1e-5)
    assert int(loaded.step) == int(model.step) == 6
    assert loaded.objective.get_config() == model.objective.get_config()
    assert int(loaded.optimizer.iterations) == 6


@pytest.mark.parametrize("kind", MODELS)
def test_model_outputs(kind):
    model, x = MODELS[kind](), binary_images(32)
    with pytest.raises(ValueError, match="shape of its data"):
        model.sample(3)
    model.build((None, *IMAGE))
    assert model.sample(3, seed=1).shape == (3, 4, 4, 1)
    assert set(np.unique(model.sample(3))) <= {0.0, 1.0}
    means = model.sample(3, mean=True, seed=1)
    assert np.all((0 < means) & (means < 1))
    np.testing.assert_array_equal(means, model.sample(3, mean=True, seed=1))
    assert model.log_weights(x, 4).shape == (4, 32)
    assert model.reconstruct(x).shape == x.shape
    np.testing.assert_allclose(model.predict(x, verbose=0), ops.convert_to_numpy(model(x)), rtol=1e-5)
    encoded = model.encode(x, batch_size=7)
    if kind == "VAE":
        assert encoded.shape == (32, 2)
        np.testing.assert_allclose(encoded, ops.convert_to_numpy(model.posterior(x).mean()), rtol=1e-5)
        assert model.decode(encoded).shape == x.shape
    else:
        assert {name: z.shape for name, z in encoded.items()} == {"z1": (32, 3), "z2": (32, 2)}
        assert model.decode(encoded).shape == x.shape
        assert set(model.posterior(x)) == {"z1", "z2"}
    a, b = (model.trace(x, 2, seed=5).log_weights() for _ in range(2))
    np.testing.assert_array_equal(ops.convert_to_numpy(a), ops.convert_to_numpy(b))


@pytest.mark.alternate
@pytest.mark.parametrize("kind", MODELS)
def test_same_seed_same_result(kind):
    results = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        model = MODELS[kind]()
        model.compile(keras.optimizers.SGD(0.01), objective=vk.objectives.ELBO())
        results.append(model.fit(binary_images(60), batch_size=20, epochs=2, verbose=0).history)
    assert results[0] == results[1]


def test_unknown_batch_sizes_and_every_kind_of_input():
    model = small_vae()
    x = binary_images(53)
    model.fit(x, batch_size=25, verbose=0)  # 25, 25, 3
    model.fit(x.astype("uint8"), verbose=0)
    model.fit({"x": x}, verbose=0)
    model.fit(ops.convert_to_tensor(x), verbose=0)
    model.fit(vk.batches.DynamicBinarization(x * 0.5 + 0.2), verbose=0)
    model.fit(vk.batches.Batches(x, 10), verbose=0, validation_data=vk.batches.Batches(x, 10, shuffle=False))
    model.fit(((x[i : i + 10],) for i in range(0, 50, 10)), steps_per_epoch=5, verbose=0)
    assert int(model.step) == 3 + 1 + 1 + 1 + 1 + 6 + 5
    assert isinstance(model.evaluate(x, verbose=0, return_dict=False), list)


def test_tf_data_input():
    tf = pytest.importorskip("tensorflow", reason="tf.data needs TensorFlow")
    model, x = small_vae(), binary_images(53)
    batches = tf.data.Dataset.from_tensor_slices(x).batch(10)
    history = model.fit(batches, epochs=2, validation_data=batches, verbose=0).history
    assert len(history["val_bound"]) == 2 and int(model.step) == 12
    assert model.predict(batches, verbose=0).shape == x.shape


def test_callbacks_see_the_terms():
    model, x = small_vae(), binary_images()
    seen = []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(sorted(logs))

    stop = keras.callbacks.EarlyStopping("val_bound", mode="max", patience=1, restore_best_weights=True)
    model.fit(x, epochs=2, validation_data=x, callbacks=[Look(), stop], verbose=0)
    assert "val_bound" in seen[0] and "kl" in seen[0]


def test_two_calls_of_fit_go_on_with_new_orders_and_draws():
    orders = []
    for _ in range(2):
        model, x = small_vae(), binary_images()
        orders.append([model.batches(x, 10, shuffle=True).order.tolist() for _ in range(2)])
    assert orders[0] == orders[1]
    assert orders[0][0] != orders[0][1]


def test_conditions_make_a_conditional_vae(tmp_path):
    x, y = binary_images(60), np.eye(3, dtype="float32")[np.arange(60) % 3]

    def joined(a, b, head):
        inputs_ = [keras.Input(a), keras.Input(b)]
        hidden = keras.layers.Concatenate()([keras.layers.Flatten()(t) for t in inputs_])
        return keras.Model(inputs_, head(hidden))

    model = vk.LatentVariableModel(
        generative=[
            vk.Factor("z", vk.priors.StandardNormal()),
            vk.Factor("x", joined((2,), (3,), Bernoulli(IMAGE)), given=("z", "y")),
        ],
        inference=[vk.Factor("z", joined(IMAGE, (3,), DiagonalNormal(2)), given=("x", "y"))],
    )
    model.compile("sgd", objective=vk.objectives.IWAE(3))
    data = {"x": x, "y": y}
    model.fit(data, batch_size=20, epochs=2, verbose=0)
    assert model.sample(3, conditions={"y": y[:3]}).shape == (3, *IMAGE)
    assert model.reconstruct(data).shape == x.shape
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.evaluate(data, verbose=0, seed=0) == pytest.approx(model.evaluate(data, verbose=0, seed=0), rel=1e-5)
    with pytest.raises(ValueError, match=r"dict with the arrays \('x', 'y'\)"):
        model.fit(x)


def test_a_prior_may_share_the_encoder_also_after_saving(tmp_path):
    @keras.saving.register_keras_serializable("vaekit-tests")
    class Echo(vk.priors.Prior):
        """The posterior of one fixed pseudo-input, the simplest VampPrior."""

        def __init__(self, encoder, event_shape=None, **kwargs):
            super().__init__(event_shape, **kwargs)
            self.encoder = encoder

        def distribution(self):
            q = self.encoder(ops.ones((1, *IMAGE)) / 2)
            return tfd.BatchReshape(q, [])

        def get_config(self):
            return {**super().get_config(), "encoder": keras.saving.serialize_keras_object(self.encoder)}

        @classmethod
        def from_config(cls, config):
            return cls(**{**config, "encoder": keras.saving.deserialize_keras_object(config["encoder"])})

    encoder = keras.Sequential([MLP(8), DiagonalNormal(2)])
    decoder = keras.Sequential([MLP(8), Bernoulli(IMAGE)])
    model = vk.VAE(encoder, decoder, Echo(encoder))
    model.compile("sgd", objective=vk.objectives.ELBO())
    x = binary_images()
    model.fit(x, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.prior.encoder is loaded.encoder
    assert len(loaded.trainable_weights) == len(model.trainable_weights) == 10
    assert loaded.evaluate(x, verbose=0, seed=0) == pytest.approx(model.evaluate(x, verbose=0, seed=0), rel=1e-5)
