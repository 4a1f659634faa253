"""Normalized gradients against their definition."""

import keras
import numpy as np
import pytest
from keras import ops
from oracles import binary_images, small_vae

import vaekit as vk
from vaekit.objectives import ELBO, WarmUp
from vaekit.training import EarlyStopping, NormalizedGradients

X = binary_images()


def arrays(tensors):
    return [ops.convert_to_numpy(t) for t in tensors]


def weights(seed=0):
    rng = np.random.default_rng(seed)
    return [keras.Variable(rng.normal(size=shape).astype("float32")) for shape in ((3, 2), (2,), (2, 2, 1, 3), ())]


def gradients(variables, steps=1, seed=1):
    rng = np.random.default_rng(seed)
    scales = 10.0 ** rng.uniform(-3, 3, (steps, len(variables)))
    return [[np.float32(s * rng.normal(size=v.shape)) for s, v in zip(row, variables, strict=True)] for row in scales]


def normalized(g):
    return np.float32(g / (np.linalg.norm(np.ravel(g)) + 1e-7))


def trained(optimizer, steps):
    """Weights after `steps` lists of gradients."""
    variables = weights()
    for row in steps:
        optimizer.apply([None if g is None else ops.convert_to_tensor(g) for g in row], variables)
    return arrays(variables)


def test_one_step_of_sgd_goes_along_the_normalized_gradient():
    before, (row,) = arrays(weights()), gradients(weights())
    after = trained(NormalizedGradients(keras.optimizers.SGD(0.3)), [row])
    for w, v, g in zip(before, after, row, strict=True):
        np.testing.assert_allclose(v, w - 0.3 * normalized(g), rtol=1e-6, atol=1e-7)
        assert np.linalg.norm(np.ravel(v - w)) == pytest.approx(0.3, rel=1e-5)


OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(0.01),
    "momentum, clipped": lambda: keras.optimizers.SGD(0.1, momentum=0.9, clipvalue=0.2),
    "adamw": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
    "rmsprop, averaged": lambda: keras.optimizers.RMSprop(0.01, use_ema=True, ema_overwrite_frequency=2),
    "adagrad, accumulating": lambda: keras.optimizers.Adagrad(0.1, gradient_accumulation_steps=2),
    "lion": lambda: keras.optimizers.Lion(0.01),
    "staged": lambda: keras.optimizers.SGD(keras.optimizers.schedules.PiecewiseConstantDecay([1, 3], [1.0, 0.1, 0.01])),
}


@pytest.mark.alternate
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_any_optimizer_takes_normalized_gradients(name):
    wrapped, plain, steps = NormalizedGradients(OPTIMIZERS[name]()), OPTIMIZERS[name](), gradients(weights(), 6)
    ours = trained(wrapped, steps)
    theirs = trained(plain, [[normalized(g) for g in row] for row in steps])
    for a, b, start in zip(ours, theirs, arrays(weights()), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
        assert np.abs(a - start).max() > 1e-3
    assert int(wrapped.iterations) == int(plain.iterations) == (3 if "accumulating" in name else 6)
    assert float(wrapped.learning_rate) == float(plain.learning_rate)


def test_the_scale_of_the_loss_does_not_matter():
    steps = gradients(weights(), 4)
    for scale in (1e-2, 1e3):
        scaled = [[scale * g for g in row] for row in steps]
        pairs = zip(*(trained(NormalizedGradients("adam"), s) for s in (steps, scaled)), strict=True)
        for a, b in pairs:
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_gradients_of_zero_and_none_move_nothing():
    (row,) = gradients(weights())
    row[0], row[1] = np.zeros_like(row[0]), None
    before, after = arrays(weights()), trained(NormalizedGradients(keras.optimizers.SGD(1.0)), [row])
    np.testing.assert_array_equal(after[0], before[0])
    np.testing.assert_array_equal(after[1], before[1])
    assert np.abs(after[2] - before[2]).max() > 0.1
    with pytest.raises(ValueError, match="No gradients"):
        trained(NormalizedGradients("sgd"), [[None] * 4])


def test_rows_of_an_embedding_that_a_batch_repeats_count_with_their_sum():
    model = keras.Sequential([keras.layers.Embedding(5, 2, embeddings_initializer="zeros"), keras.layers.Flatten()])
    model.compile(NormalizedGradients(keras.optimizers.SGD(1.0)), loss=lambda y, prediction: ops.sum(prediction))
    model.fit(np.array([[1, 1, 1, 2]]), np.zeros((1, 8)), verbose=0)
    g = np.array([[0, 0], [3, 3], [1, 1], [0, 0], [0, 0]])
    np.testing.assert_allclose(model.get_weights()[0], -g / np.sqrt(20), rtol=1e-5)


def test_the_learning_rate_is_the_wrapped_optimizers():
    optimizer = NormalizedGradients("sgd")
    assert isinstance(optimizer.optimizer, keras.optimizers.SGD)
    optimizer.learning_rate = 0.25
    assert float(optimizer.learning_rate) == float(optimizer.optimizer.learning_rate) == 0.25
    rates = []
    model = small_vae()
    model.compile(optimizer)
    look = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: rates.append(logs["learning_rate"]))
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    model.fit(X, epochs=2, callbacks=[schedule, look], verbose=0)
    assert rates == pytest.approx([0.125, 0.0625])


def test_a_wrapped_optimizer_is_not_wrapped_twice():
    inner = keras.optimizers.Adam()
    assert NormalizedGradients(NormalizedGradients(inner)).optimizer is inner


@pytest.mark.alternate
@pytest.mark.parametrize("rate", ["number", "schedule"])
def test_the_state_is_saved_and_training_goes_on_from_it(tmp_path, rate):
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([3, 6], [1e-2, 1e-3, 1e-4])
    model = small_vae()
    model.compile(NormalizedGradients(keras.optimizers.Adam(schedule if rate == "schedule" else 1e-2), epsilon=1e-6))
    model.fit(X, batch_size=16, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.optimizer, NormalizedGradients) and loaded.optimizer.epsilon == 1e-6
    assert int(loaded.optimizer.iterations) == int(model.optimizer.iterations) == 4
    assert float(loaded.optimizer.learning_rate) == pytest.approx(1e-3 if rate == "schedule" else 1e-2)
    assert len(loaded.optimizer.variables) == len(model.optimizer.variables) > 10
    for a, b in zip(arrays(loaded.optimizer.variables), arrays(model.optimizer.variables), strict=True):
        np.testing.assert_array_equal(a, b)
    start = model.get_weights()
    histories = [m.fit(X, batch_size=16, verbose=0).history for m in (model, loaded)]
    assert histories[0]["bound"] == pytest.approx(histories[1]["bound"], rel=1e-5)
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert any(np.abs(a - b).max() > 1e-4 for a, b in zip(model.get_weights(), start, strict=True))


def one_step_of_fit(optimizer):
    keras.utils.set_random_seed(0)
    model = small_vae()
    model.compile(optimizer)
    model.build((None, 4, 4, 1))
    before = arrays(model.trainable_variables)
    model.fit(vk.batches.Batches(X, 64, shuffle=False), verbose=0)
    return [v - w for v, w in zip(arrays(model.trainable_variables), before, strict=True)]


def test_fit_takes_normalized_steps_also_where_the_loss_is_scaled():
    plain = one_step_of_fit(keras.optimizers.SGD(1.0))
    ours = NormalizedGradients(keras.optimizers.SGD(0.1))
    for optimizer in (ours, keras.optimizers.LossScaleOptimizer(NormalizedGradients(keras.optimizers.SGD(0.1)))):
        for step, g in zip(one_step_of_fit(optimizer), plain, strict=True):
            np.testing.assert_allclose(step, 0.1 * normalized(g), rtol=1e-3, atol=1e-5)


def test_optimizers_that_cannot_be_normalized_are_refused():
    for scaling in (
        keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD()),
        keras.optimizers.SGD(loss_scale_factor=8.0),
    ):
        with pytest.raises(ValueError, match=r"wrap as LossScaleOptimizer\(Norm"):
            NormalizedGradients(scaling)
    for nothing in (None, "no_such", keras.optimizers.Adam):
        with pytest.raises(ValueError, match="Keras optimizer or its name"):
            NormalizedGradients(nothing)
    with pytest.raises(ValueError, match="positive epsilon"):
        NormalizedGradients("adam", epsilon=0.0)


def test_normalized_gradients_and_early_stopping_improve_the_bound_and_reload(tmp_path):
    x = binary_images(200)
    model = small_vae()
    rates = keras.optimizers.schedules.PiecewiseConstantDecay([40], [0.05, 0.01])
    model.compile(NormalizedGradients(keras.optimizers.Adam(rates)), objective=ELBO(beta=WarmUp(10)))
    before = model.evaluate(x[100:], verbose=0, seed=0)["bound"]
    stop = EarlyStopping(patience=5)
    history = model.fit(x[:100], batch_size=20, epochs=30, validation_data=x[100:], callbacks=stop, verbose=0).history
    after = model.evaluate(x[100:], verbose=0, seed=0)
    assert after["bound"] > before + 0.3
    assert float(stop.best) == max(history["val_bound"][1:])
    assert int(model.optimizer.iterations) == 5 * len(history["bound"])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert int(loaded.step) == int(model.step) and int(loaded.optimizer.iterations) == int(model.optimizer.iterations)
    assert loaded.evaluate(x[100:], verbose=0, seed=0) == pytest.approx(after, rel=1e-5)
