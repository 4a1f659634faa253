"""Models trained at once come to what they come to one by one: weights, curves, early stops, breaks."""

import keras
import numpy as np
import pytest
from keras import ops
from oracles import binary_images, small_vae

import vaekit as vk
from vaekit import backend
from vaekit.batches import Batches, DynamicBinarization
from vaekit.batches import minibatches as batches_module
from vaekit.training import EarlyStopping, checkpoint, fit_together, together
from vaekit.training.program import Program

X = binary_images(20)
GREY = DynamicBinarization(np.random.default_rng(0).random((20, 4, 4, 1)))
AT_ONCE = backend.loops_together()


def models(n=2, **options):
    """VAEs that differ in weights, seeds and learning rates."""
    made = [small_vae(seed=i, **options) for i in range(n)]
    for i, model in enumerate(made):
        model.build((None, 4, 4, 1))
        model.compile(keras.optimizers.Adam(0.01 * (i + 1)), objective=model.objective)
        rng = np.random.default_rng(i)
        for weight in model.trainable_variables:
            weight.assign(rng.normal(scale=0.3, size=weight.shape))
    return made


def variables(model):
    return [*model.variables, *model.optimizer.variables]


def state(model):
    return [ops.convert_to_numpy(v) for v in variables(model)]


def assert_close(one, other, **tolerance):
    keras.tree.map_structure(lambda a, b: np.testing.assert_allclose(a, b, **tolerance), one, other)


class Worse(keras.callbacks.Callback):
    """Says that each epoch was worse than the one before; breaks training at the end of one."""

    def __init__(self, broken=None):
        super().__init__()
        self.broken = broken

    def on_epoch_end(self, epoch, logs=None):
        logs["bound"] = -1.0 - epoch
        if epoch == self.broken:
            raise RuntimeError("broken")


def worse(patience, broken=None):
    """Callbacks with which training ends after 1 + patience epochs, and the weights of the first come back."""
    return [Worse(broken), EarlyStopping(patience, "bound")]


@pytest.fixture
def shared(monkeypatch):
    """How many models each loop that is made is for."""
    counts, init = [], Program.__init__

    def counted(self, *args):
        init(self, *args)
        counts.append(1 + len(args[5]))

    monkeypatch.setattr(Program, "__init__", counted)
    return counts


def test_weights_and_curves_are_those_of_separate_fits(shared, capsys):
    at_once, [alone] = models(), models(1)
    options = dict(batch_size=8, epochs=3, validation_data=X[:8])  # the last batch has 4 rows
    expected = []
    for model, callbacks in zip(at_once, ([], worse(1)), strict=True):
        for variable, value in zip(variables(alone), state(model), strict=True):
            variable.assign(value)
        curves = alone.fit(GREY, **options, callbacks=callbacks, verbose=0).history
        expected.append((state(alone), curves))
    shared.clear()
    histories = fit_together(at_once, GREY, **options, callbacks=[[], worse(1)], verbose=2)
    assert shared == ([2, 2, 1, 1] if AT_ONCE else [1, 1, 1, 1])
    assert histories == [model.history for model in at_once] and [len(h.epoch) for h in histories] == [3, 2]
    printed = capsys.readouterr().out
    for i, (model, (values, curves)) in enumerate(zip(at_once, expected, strict=True), 1):
        assert_close(state(model), values, rtol=2e-4, atol=1e-6)
        assert_close(model.history.history, curves, rtol=1e-5)
        assert printed.count(f"model {i}, epoch 2/3: loss {curves['loss'][1]:.2f}, ") == 1
    assert [int(model.step) for model in at_once] == [9, 3]  # the second one's best epoch was its first
    assert all((a != b).any() for a, b in zip(*(model.get_weights() for model in at_once), strict=True))


@pytest.mark.thorough
def test_models_go_on_from_different_epochs_bit_for_bit(tmp_path, monkeypatch, shared):
    monkeypatch.setattr(checkpoint, "SECONDS", 0)

    def trained(folder, broken=None):
        made, paths = models(), [tmp_path / folder / f"{i}.npz" for i in range(2)]
        try:
            fit_together(made, GREY, 10, 4, 0, [[], worse(2, broken)], checkpoints=paths)
        except RuntimeError:
            return [checkpoint.read(path)[0]["epochs"] for path in paths]
        return [(state(model), model.history.history) for model in made]

    whole = trained("whole")
    assert [len(curves["loss"]) for _, curves in whole] == [4, 3]
    assert trained("broken", 1) == ([2, 1] if AT_ONCE else [4, 1])
    shared.clear()
    assert_close(trained("broken"), whole, rtol=0)
    assert shared == ([2, 2, 1] if AT_ONCE else [1])  # twice the second model, then both, then the first


def test_only_what_a_program_can_share_is_shared(monkeypatch):
    pair, data = models(), Batches(X)
    assert together._can_share_program(pair, data) == AT_ONCE
    assert not together._can_share_program(pair[:1], data)
    monkeypatch.setattr(batches_module, "DEVICE_BYTES", 100)
    assert not together._can_share_program(pair, data)
    monkeypatch.undo()
    pair[1].compile("adam", run_eagerly=True)
    assert not together._can_share_program(pair, data)


def test_models_that_do_not_go_together_are_refused_and_unharmed(tmp_path):
    pair, stop = models(), EarlyStopping(monitor="bound")
    before = [state(model) for model in pair]
    wide = models(1, latents=3)[0]
    iwae = models(1, objective=vk.objectives.IWAE(2))[0]
    other, scheduled = models()
    other.compile(keras.optimizers.Adam(beta_1=0.5))
    scheduled.compile(keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(0.01, 10, 0.5)))
    listener = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)
    first, paths = pair[0], [tmp_path / "a", tmp_path / "b" / ".." / "a"]
    cases = [
        ((first, wide), {}, r"event_shape.* is 2 in model 1, 3 in model 2"),
        ((first, iwae), {}, r"objective.* is 'ELBO' in model 1, 'IWAE' in model 2"),
        ((first, other), {}, r"optimizer.*beta_1 is 0.9 in model 1, 0.5 in model 2"),
        ((first, scheduled), {}, r"learning_rate.*'nothing' in model 1, .* in model 2"),
        ((first, first), {}, "weights of their own"),
        (pair, dict(callbacks=[[stop], [stop]]), "callbacks of their own"),
        (pair, dict(callbacks=[stop, EarlyStopping()]), "list of callbacks for each of 2 models"),
        (pair, dict(callbacks=[[stop]]), "list of callbacks for each of 2 models"),
        (pair, dict(callbacks=[[listener], []]), "LambdaCallback wants to know of every batch"),
        (pair, dict(checkpoints=paths), "checkpoints of their own"),
        (pair, dict(checkpoints=paths[0]), "path for each of 2 models"),
        (pair, dict(validation_data=Batches(X)), "expects arrays"),
        (pair, dict(validation_data=X[0]), "should have shape"),
    ]
    for group, options, message in cases:
        with pytest.raises(ValueError, match=message):
            fit_together(group, X, epochs=1, verbose=0, **options)
    with pytest.raises(ValueError, match="compile"):
        fit_together([first, vk.VAE(first.encoder, first.decoder)], X)
    for model, values in zip(pair, before, strict=True):
        for a, b in zip(state(model), values, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.skipif(not AT_ONCE, reason="needs JAX")
def test_float64_is_kept_where_programs_are_batched():
    import jax

    rng = np.random.default_rng(0)
    large, small = rng.normal(size=(2, 3, 1, 100)) * [[[[1e4]]], [[[1e-2]]]]
    a = np.concatenate([large, small - large], axis=-1).astype("float32")  # [3, 1, 200], sums that cancel
    b = np.ones((200, 1), "float32")
    product = backend.in_float64(ops.matmul)
    looped = jax.vmap(lambda a: jax.lax.fori_loop(0, 1, lambda i, _: product(a, b), np.zeros((1, 1), "float32")))
    exact = a.astype("float64").sum(-1, keepdims=True)
    assert np.abs(np.matmul(a, b) - exact).max() > 1e-4
    np.testing.assert_allclose(jax.jit(looped)(a), exact, rtol=1e-6)
