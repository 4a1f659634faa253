"""Data that come in batches of their own, likelihoods that are not told by their layers, data larger than memory."""

import tracemalloc
import warnings

import keras
import numpy as np
import pytest
from oracles import binary_images, small_vae

import vaekit as vk
from vaekit.layers import MLP, Bernoulli, DiagonalNormal
from vaekit.models import arrays as arrays_module

tfd = vk.backend.tfd
X = binary_images(20)
BYTES = (X * 255).astype("uint8")


class Sequence(keras.utils.PyDataset):
    """Batches of ten rows, in a form of ours."""

    def __init__(self, x, form=lambda rows: (rows,), **kwargs):
        super().__init__(**kwargs)
        self.x, self.form, self.epochs = x, form, 0

    def __len__(self):
        return -(-len(self.x) // 10)

    def __getitem__(self, i):
        return self.form(self.x[i * 10 : i * 10 + 10])

    def on_epoch_end(self):
        self.epochs += 1


def tf_data(x, form=lambda rows: (rows,), size=10):
    tf = pytest.importorskip("tensorflow", reason="tf.data needs TensorFlow")
    return tf.data.Dataset.from_tensor_slices(form(x)).batch(size)


def generator(x, form=lambda rows: (rows,)):
    return (form(x[i : i + 10]) for i in range(0, len(x), 10))


KINDS = {"PyDataset": Sequence, "tf.data": tf_data, "generator": generator}


@pytest.fixture(scope="module")
def model():
    model = small_vae()
    model.fit(X, verbose=0)
    return model


WRONG = {
    "bytes": (BYTES, "expects the values 0 and 1"),
    "NaN": (np.where(X == 0, np.nan, X).astype("float32"), "NaN or infinite"),
    "another shape": (X[..., 0], r"\['N', 4, 4, 1\]"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrong", WRONG)
def test_batches_are_checked_like_arrays(model, kind, wrong):
    x, message = WRONG[wrong]
    with pytest.raises(ValueError, match=message):
        model.fit(KINDS[kind](x), verbose=0)
    with pytest.raises(ValueError, match=message):
        model.fit(X, validation_data=KINDS[kind](x), verbose=0)
    with pytest.raises(ValueError, match=message):
        model.evaluate(KINDS[kind](x), verbose=0)


@pytest.mark.parametrize("kind", ["PyDataset", "generator"])
def test_a_late_batch_is_checked_too(model, kind):
    x = np.concatenate([X, X, BYTES]).astype("float32")
    with pytest.raises(Exception, match="expects the values 0 and 1"):  # of TensorFlow's own kind on TensorFlow
        model.fit(KINDS[kind](x), verbose=0)


@pytest.mark.parametrize("kind", KINDS)
def test_batches_of_pairs_are_refused_and_weights_are_not(model, kind):
    y, weights = np.arange(20), np.ones(20, "float32")
    with pytest.raises(ValueError, match="no targets.*leave y out"):
        model.fit(KINDS[kind](X, lambda x: (x, y[: len(x)])), verbose=0)
    with pytest.raises(ValueError, match="no targets.*leave y out"):
        model.evaluate(KINDS[kind](X, lambda x: (x, y[: len(x)])), verbose=0)
    if kind == "tf.data":
        model.fit(tf_data(X, lambda x: x).map(lambda x: (x, None, x[:, 0, 0, 0])), verbose=0)
    elif (kind, vk.backend.NAME) != ("PyDataset", "tensorflow"):  # where Keras makes tensors of all three
        model.fit(KINDS[kind](X, lambda x: (x, None, weights[: len(x)])), verbose=0)


@pytest.mark.parametrize("form", [lambda x: x, lambda x: {"x": x}, lambda x: [x]], ids=["array", "dict", "list"])
@pytest.mark.parametrize("kind", ["PyDataset", "generator"])
def test_batches_need_not_be_tuples(model, kind, form):
    step = int(model.optimizer.iterations)
    model.fit(KINDS[kind](X, form), steps_per_epoch=2, verbose=0)
    assert int(model.optimizer.iterations) == step + 2


@pytest.mark.alternate
@pytest.mark.parametrize("kind", KINDS)
def test_batches_train_and_evaluate_as_arrays_do(kind):
    by_array, by_batches = small_vae(), small_vae()
    by_array.fit(X, batch_size=10, shuffle=False, verbose=0)
    by_batches.fit(KINDS[kind](X), steps_per_epoch=2, verbose=0)  # unbuilt
    assert int(by_batches.optimizer.iterations) == 2
    for a, b in zip(by_array.get_weights(), by_batches.get_weights(), strict=True):
        assert a.shape == b.shape
    again = by_array.evaluate(KINDS[kind](X), seed=0, verbose=0)
    assert again == pytest.approx(by_array.evaluate(X, batch_size=10, seed=0, verbose=0), rel=1e-5)


def test_a_py_dataset_keeps_workers_and_hooks(model):
    batches = Sequence(X, workers=2, max_queue_size=3)
    model.fit(batches, epochs=2, verbose=0)
    assert batches.epochs >= 2  # Keras calls it before the first, too
    checked = model.batches(batches)
    assert (checked.workers, checked.use_multiprocessing, checked.max_queue_size) == (2, False, 3)
    assert len(checked) == checked.num_batches == 2 and model.batches(checked) is checked


def test_a_generator_loses_no_batch(model):
    step = int(model.optimizer.iterations)
    model.fit(generator(X), steps_per_epoch=2, verbose=0)
    model.fit(iter(list(generator(X))), steps_per_epoch=2, verbose=0)  # an iterator that is no generator
    assert int(model.optimizer.iterations) == step + 4
    rows = [batch for (batch,) in model.batches(generator(X))]
    np.testing.assert_array_equal(np.concatenate(rows), X)


def test_batches_are_gathered_where_arrays_are_needed(model):
    for batches in (Sequence(X), tf_data(X), tf_data(X, lambda x: {"x": x}), vk.batches.Batches(X, shuffle=False)):
        np.testing.assert_allclose(model.encode(batches), model.encode(X), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(model.reconstruct(batches), model.reconstruct(X), rtol=1e-5, atol=1e-6)
        both = [vk.evaluation.log_likelihood(model, x, samples=3, progress=False).mean for x in (batches, X)]
        assert both[0] == pytest.approx(both[1], rel=1e-5)
    assert model.posterior(tf_data(X)).mean().shape == (20, 2)


def test_endless_batches_are_not_gathered(model):
    class Endless(Sequence):
        num_batches = None

    for batches in (tf_data(X).repeat(), Endless(X), generator(X)):
        with pytest.raises(ValueError, match="no end"):
            model.encode(batches)


def test_tf_data_that_are_not_batched(model):
    tf = pytest.importorskip("tensorflow", reason="tf.data needs TensorFlow")
    dataset = tf.data.Dataset.from_tensor_slices(X)
    for read in (model.fit, model.evaluate, model.encode):
        with pytest.raises(ValueError, match=r"dataset.batch\(100\)"):
            read(dataset)
    with pytest.raises(ValueError, match="no batches"):
        model.fit(dataset.batch(10).take(0), verbose=0)


def test_what_cannot_be_looked_at_is_said(model):
    class Opaque:
        def __iter__(self):
            return iter([object()])

    with pytest.warns(UserWarning, match="go unchecked"):
        model.batches(Opaque())


# ---------------------------------------------------------------- subclassed decoders


class Decoder(keras.Model):
    """A network of one's own, whose last layer nobody can tell from outside."""

    def __init__(self, head):
        super().__init__()
        self.hidden, self.head = MLP(8), head

    def call(self, z, training=False):
        return self.head(self.hidden(z))


class Raw(keras.layers.Layer):
    """A distribution without a distribution layer."""

    def __init__(self, make):
        super().__init__()
        self.dense, self.make = keras.layers.Dense(16), make

    def call(self, h):
        return tfd.Independent(self.make(keras.ops.reshape(self.dense(h), (-1, 4, 4, 1))), 3)


class Own(vk.layers.DistributionLayer):
    parameters = ("logits",)

    def distribution(self, logits):
        return self.independent(tfd.Bernoulli(logits=logits, dtype="float32"))


HEADS = {
    "a layer": (lambda: Bernoulli((4, 4, 1)), BYTES, "expects the values 0 and 1"),
    "a raw Bernoulli": (lambda: Raw(lambda a: tfd.Bernoulli(logits=a)), BYTES, "expects the values 0 and 1"),
    "a raw Poisson": (lambda: Raw(lambda a: tfd.Poisson(log_rate=a)), X - 0.5, "whole numbers from 0"),
    "a raw Exponential": (lambda: Raw(lambda a: tfd.Exponential(keras.ops.exp(a))), X - 1, "at least 0"),
    "a raw log-normal": (lambda: Raw(lambda a: tfd.LogNormal(a, 1.0)), X, "positive"),
    "a raw Beta": (lambda: Raw(lambda a: tfd.Beta(keras.ops.exp(a), 1.0)), X, "between 0 and 1, without these"),
    "a raw Gamma": (lambda: Raw(lambda a: tfd.Gamma(keras.ops.exp(a), 1.0)), X, "positive"),
    "bytes": (lambda: Raw(lambda a: vk.distributions.DiscretizedLogistic(a, a)), BYTES, "divide by 255"),
    "a layer of one's own": (lambda: Own((4, 4, 1)), BYTES, "expects the values 0 and 1"),
}


@pytest.mark.parametrize("kind", HEADS)
def test_values_are_checked_whatever_the_decoder(kind):
    make, x, message = HEADS[kind]
    decoder = Decoder(make()) if "own" not in kind else keras.Sequential([MLP(8), make()])
    model = vk.VAE(keras.Sequential([MLP(8), DiagonalNormal(2)]), decoder)
    model.compile("sgd")
    for _ in range(2):  # the first call builds the model
        with pytest.raises(ValueError, match=message):
            model.fit(x, verbose=0)
    with pytest.raises(ValueError, match=message):
        model.evaluate(Sequence(x), verbose=0)


def test_real_values_need_no_check_and_an_unknown_support_is_said():
    def model(make):
        return vk.VAE(keras.Sequential([MLP(8), DiagonalNormal(2)]), Decoder(Raw(make)))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model(lambda a: tfd.Laplace(a, 1.0)).arrays(X - 0.5)
    with pytest.warns(UserWarning, match="VonMises can have"):
        model(lambda a: tfd.VonMises(a, 1.0)).arrays(X)


# ---------------------------------------------------------------- memory


@pytest.mark.once
def test_a_memmap_is_checked_piece_by_piece(tmp_path, monkeypatch, model):
    monkeypatch.setattr(arrays_module, "CHUNK_BYTES", 2**16)
    memmap = np.memmap(tmp_path / "x", "float32", "w+", shape=(2**16, 4, 4, 1))  # 4 MiB
    memmap[:] = 1
    memmap[-1, -1] = 0
    memmap.flush()
    tracemalloc.start()
    arrays = model.arrays(memmap)
    vk.batches.DynamicBinarization(memmap)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**19 and np.shares_memory(arrays["x"], memmap)
    memmap[-1, -1] = 2
    with pytest.raises(ValueError, match="expects the values 0 and 1"):
        model.arrays(memmap)


# ---------------------------------------------------------------- functional networks with inputs by name


def test_functional_networks_whose_inputs_are_a_dict(tmp_path):
    """The same weights, with inputs in a list and in a dict whose keys sort otherwise."""

    def build(named):
        def network(shapes, head):
            inputs = {name: keras.Input(shape, name=name) for name, shape in shapes.items()}
            flat = [MLP(8)(tensor) for tensor in inputs.values()]
            outputs = head(keras.layers.Concatenate()(flat))
            return keras.Model(inputs if named else list(inputs.values()), outputs)

        keras.utils.set_random_seed(0)
        F = vk.Factor
        model = vk.LatentVariableModel(
            generative=[
                F("w", vk.priors.StandardNormal()),
                F("a", network({"w": (2,)}, DiagonalNormal(3)), given="w"),
                F("x", network({"w": (2,), "a": (3,)}, Bernoulli((4, 4, 1))), given=("w", "a")),
            ],
            inference=[
                F("w", network({"x": (4, 4, 1)}, DiagonalNormal(2)), given="x"),
                F("a", network({"x": (4, 4, 1), "w": (2,)}, DiagonalNormal(3)), given=("x", "w")),
            ],
            seed=0,
        )
        model.compile("sgd")
        return model

    by_list, by_name = build(False), build(True)
    weights = [model.log_weights(X, samples=3, seed=1) for model in (by_list, by_name)]
    np.testing.assert_allclose(*weights, rtol=1e-5)
    by_name.fit(X, verbose=0)
    by_name.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        by_name.log_weights(X, 3, seed=1), loaded.log_weights(X, samples=3, seed=1), rtol=1e-4, atol=1e-4
    )
    assert by_name.sample(2).shape == (2, 4, 4, 1)


def test_arrays_of_ones_own_go_into_the_papers_models():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 8, 12, 1), "uint8")
    for paper, build, binarize in (("burda2015", "one_layer", True), ("tomczak2017", "vae", False)):
        paper, data = getattr(vk.papers, paper), vk.datasets.from_arrays(images, binarize=binarize)
        model = getattr(paper, build)(data)
        assert np.isfinite(model.evaluate(data.test, verbose=0)["bound"])
        assert model.sample(2).shape == (2, 8, 12, 1)


def test_a_layer_that_a_loss_of_ones_own_builds(tmp_path):
    class Penalized(vk.VAE):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.extra = keras.layers.Dense(1)

        def compute_loss(self, x=None, **kwargs):
            loss = super().compute_loss(x, **kwargs)
            return loss + keras.ops.mean(self.extra(keras.ops.reshape(x, (-1, 16))))

    def build():
        return Penalized(
            keras.Sequential([MLP(8), DiagonalNormal(2)]), keras.Sequential([MLP(8), Bernoulli((4, 4, 1))])
        )

    model = build()
    model.compile("sgd")
    model.fit(X, verbose=0)
    assert np.abs(model.extra.get_weights()[1]).max() > 0  # trained: the bias' gradient is 1
    model.fit(X, verbose=0)  # and once more
    model.save_weights(tmp_path / "own.weights.h5")
    model = build()
    model.build((None, 4, 4, 1))
    model.compile("sgd")
    with pytest.raises(ValueError, match="compile the model again"):
        model.fit(X, verbose=0)
    model.compile("sgd")
    model.fit(X, verbose=0)
