"""Many steps in one program: the same training as one step at a time, with everything that `fit` promises."""

import keras
import numpy as np
import pytest

import vaekit as vk
from vaekit.batches import DynamicBinarization
from vaekit.batches import minibatches as batches_module
from vaekit.training.program import Program

X = (np.random.default_rng(0).random((48, 4, 4, 1)) < 0.5).astype("float32")  # whole batches: one program


def small_vae(**options):
    encoder = keras.Sequential([vk.layers.MLP(8, "tanh"), vk.layers.DiagonalNormal(2)])
    decoder = keras.Sequential([vk.layers.MLP(8, "tanh"), vk.layers.Bernoulli((4, 4, 1))])
    encoder.layers[0].activity_regularizer = options.pop("activity_regularizer", None)
    keras.utils.set_random_seed(0)
    vae = vk.VAE(encoder, decoder, seed=0)
    vae.compile(keras.optimizers.SGD(1e-2, momentum=0.9), **options)
    vae.build((None, 4, 4, 1))
    rng = np.random.default_rng(1)
    vae.set_weights([rng.normal(scale=0.3, size=w.shape).astype("float32") for w in vae.get_weights()])
    return vae


def trained(x=X, epochs=2, compiled=None, **options):
    vae = small_vae(**(compiled or {}))
    history = vae.fit(x, batch_size=8, epochs=epochs, verbose=0, **options).history
    return vae.get_weights(), history


def assert_same(one, other):
    for a, b in zip(one[0], other[0], strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-6)
    for name, values in one[1].items():
        assert values == pytest.approx(other[1][name], rel=1e-5), name


@pytest.mark.thorough
def test_the_number_of_steps_in_a_program_changes_nothing(monkeypatch):
    drawn = DynamicBinarization(np.full((50, 4, 4, 1), 0.4))  # the last batch is smaller
    reference = trained(drawn)
    assert_same(trained(drawn, compiled={"steps_per_execution": 1}), reference)
    monkeypatch.setattr(batches_module, "DEVICE_BYTES", 8 * 16 * 8 * 4 * 2)  # two batches at a time
    assert_same(trained(drawn), reference)


@pytest.mark.thorough
def test_storage_type_of_data_does_not_matter():
    reference = trained()
    assert_same(trained(X.astype("uint8")), reference)
    assert_same(trained({"x": X.astype("float64")}), reference)


def test_every_draw_is_new_and_has_its_probabilities():
    p = np.linspace(0, 1, 11, dtype="float32")
    batches = batches_module.Batches(DynamicBinarization(np.tile(p, (4000, 1))), 2000, seed=3)
    draws = []
    for _ in range(2):
        for tensors, index, keys in batches.chunks():
            draws += [
                keras.ops.convert_to_numpy(batches_module.take(tensors, *map(keras.ops.convert_to_tensor, row)))
                for row in zip(index, keys, strict=True)
            ]
        batches.on_epoch_end()
    assert len({draw.tobytes() for draw in draws}) == len(draws) == 4
    x = np.concatenate(draws)
    assert set(np.unique(x)) == {0.0, 1.0}
    np.testing.assert_allclose(x.mean(axis=0), p, atol=5 * 0.5 / np.sqrt(len(x)))
    assert x[:, 0].max() == 0 and x[:, -1].min() == 1


def test_pieces_hold_every_row_once(monkeypatch):
    for limit in (2**31, 8 * 4 * 7, 1):  # all rows, one batch of 7 at a time either way
        monkeypatch.setattr(batches_module, "DEVICE_BYTES", limit)
        batches = batches_module.Batches(np.arange(50, dtype="int32"), 7, seed=1)
        parts = [keras.ops.convert_to_numpy(t[0][""])[i] for t, index, _ in batches.chunks() for i in index]
        assert [len(part) for part in parts] == [7] * 7 + [1]
        np.testing.assert_array_equal(np.concatenate(parts), batches.order)


def test_nothing_is_traced_again_in_later_epochs_and_calls(monkeypatch):
    vae, traces = small_vae(), []
    loss = type(vae).compute_loss
    monkeypatch.setattr(type(vae), "compute_loss", lambda *a, **k: traces.append(1) or loss(*a, **k))
    counts = []
    for epochs in (1, 3, 2):
        vae.fit(X, batch_size=8, epochs=epochs, validation_data=X[:16], verbose=0)
        vae.evaluate(X[:16], batch_size=8, verbose=0)
        counts.append(len(traces))
    assert counts[0] == counts[1] == counts[2]


class Counted(keras.callbacks.Callback):
    def __init__(self, stop_at=None):
        super().__init__()
        self.begun, self.ended, self.tested, self.stop_at = [], [], [], stop_at

    def on_train_batch_begin(self, batch, logs=None):
        self.begun.append(batch)

    def on_train_batch_end(self, batch, logs=None):
        self.ended.append((batch, logs["bound"], int(self.model.step)))
        self.model.stop_training = batch == self.stop_at

    def on_test_batch_end(self, batch, logs=None):
        self.tested.append(batch)


def test_a_callback_that_listens_to_batches_hears_of_each():
    counted = Counted()
    trained(epochs=1, callbacks=[counted], validation_data=X[:24])
    assert counted.begun == [0, 1, 2, 3, 4, 5]
    assert [(batch, step) for batch, _, step in counted.ended] == [(i, i + 1) for i in range(6)]
    assert all(np.isfinite(bound) for _, bound, _ in counted.ended)
    assert counted.tested == [0, 1, 2]
    every_fourth = Counted()
    trained(epochs=1, callbacks=[every_fourth], compiled={"steps_per_execution": 4})
    assert every_fourth.begun == [0, 4] and [batch for batch, _, _ in every_fourth.ended] == [3, 5]


def test_training_stops_within_an_epoch():
    stopped = Counted(stop_at=2)
    _, history = trained(epochs=5, callbacks=[stopped])
    assert [batch for batch, _, _ in stopped.ended] == [0, 1, 2] and len(history["bound"]) == 1


@pytest.mark.once
def test_callbacks_of_epochs_alone_do_not_slow_training(monkeypatch, tmp_path):
    told, epoch = [], Program.epoch
    monkeypatch.setattr(
        Program,
        "epoch",
        lambda self, b, one_by_one, *rest: told.append(one_by_one) or epoch(self, b, one_by_one, *rest),
    )
    each_epoch = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.weights.h5", save_weights_only=True)
    trained(epochs=1, callbacks=[each_epoch, keras.callbacks.EarlyStopping("loss")])
    assert not any(told) and (tmp_path / "1.weights.h5").exists()
    trained(epochs=1, callbacks=keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None))
    assert told[-1]


def test_a_failing_callback_leaves_the_model_usable():
    class Failing(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise RuntimeError("no more")

    vae = small_vae()
    with pytest.raises(RuntimeError, match="no more"):
        vae.fit(X, verbose=0, callbacks=[Failing()])
    assert int(vae.step) == 1
    assert np.isfinite(vae.fit(X, verbose=0).history["bound"][0])


def test_losses_that_layers_add_are_counted():
    regularized = small_vae(activity_regularizer=keras.regularizers.L2(10.0))
    result = regularized.evaluate(X, batch_size=48, seed=0, verbose=0)
    activity = regularized.encoder.layers[0](X)
    expected = 10.0 * float(keras.ops.sum(activity**2)) / 48  # Keras means over the batch
    assert result["loss"] + result["bound"] == pytest.approx(expected, rel=1e-4)


def test_a_training_step_of_ones_own_is_taken():
    class Own(vk.VAE):
        def train_step(self, *args):
            raise RuntimeError("its own step")

    vae = small_vae()
    own = Own(vae.encoder, vae.decoder)
    own.compile("adam", run_eagerly=True)
    with pytest.raises(RuntimeError, match="its own step"):
        own.fit(X, verbose=0)


@pytest.mark.once
def test_training_goes_on_from_a_backup(tmp_path):
    class Interrupt(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise RuntimeError("interrupted")

    backup = tmp_path / "backup"
    with pytest.raises(RuntimeError, match="interrupted"):
        trained(epochs=4, callbacks=[keras.callbacks.BackupAndRestore(backup), Interrupt()])
    _, history = trained(epochs=4, callbacks=[keras.callbacks.BackupAndRestore(backup)])
    assert len(history["bound"]) == 2


def test_a_scaled_loss_takes_the_same_steps():
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), initial_scale=1.0, dynamic_growth_steps=2)
    weights = []
    for optimizer in (keras.optimizers.SGD(0.1), scaled):
        vae = small_vae()
        vae.compile(optimizer)
        vae.fit(X, batch_size=8, epochs=2, verbose=0)
        weights.append(vae.get_weights())
    assert float(scaled.dynamic_scale) == 2.0**6
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_batches_build_a_model_and_may_be_of_ones_own():
    class Own(batches_module.Batches):
        def __getitem__(self, i):
            raise RuntimeError("its own batches")

    encoder = keras.Sequential([vk.layers.MLP(8, "tanh"), vk.layers.DiagonalNormal(2)])
    decoder = keras.Sequential([vk.layers.MLP(8, "tanh"), vk.layers.Bernoulli((4, 4, 1))])
    vae = vk.VAE(encoder, decoder)
    for method in (vae.fit, vae.evaluate):
        with pytest.raises(ValueError, match="compile"):
            method(X, verbose=0)
    vae.compile("adam")
    vae.fit(batches_module.Batches(X, 24), verbose=0)
    assert int(vae.step) == int(vae.optimizer.iterations) == 2
    with pytest.raises(RuntimeError, match="its own batches"):
        vae.fit(Own(X, 24), verbose=0)


@pytest.mark.thorough
@pytest.mark.skipif(vk.backend.NAME != "tensorflow", reason="TensorFlow's warning")
def test_many_models_are_not_taken_for_one_that_is_traced_again_and_again(monkeypatch):
    """TensorFlow warns, on stderr, of a function that is traced five times in ten calls; each model has its own."""
    from absl import logging

    said = []
    monkeypatch.setattr(logging.get_absl_logger(), "handle", said.append)
    import tensorflow as tf

    monkeypatch.setattr(tf.get_logger(), "handle", said.append)
    for _ in range(6):
        small_vae().fit(X[:8], batch_size=8, verbose=0)
    assert not [record.getMessage() for record in said if "retracing" in record.getMessage()]
