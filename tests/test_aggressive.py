"""Aggressive inference: whose turn it is, what rests, when it ends, and that it goes on from files."""

import keras
import numpy as np
import pytest
from keras import ops
from oracles import binary_images, small_vae

import vaekit as vk
from vaekit.training import AggressiveInference

X = binary_images()


class Turns(keras.callbacks.Callback):
    """For each step: which of q and p moved, and the loss of the step."""

    def __init__(self):
        super().__init__()
        self.steps, self.before = [], None

    def now(self):
        return [[w.copy() for w in network.get_weights()] for network in (self.model.encoder, self.model.decoder)]

    def on_train_batch_begin(self, batch, logs=None):
        self.before = self.before or self.now()

    def on_train_batch_end(self, batch, logs=None):
        now = self.now()
        moved = [any((a != b).any() for a, b in zip(*side, strict=True)) for side in zip(self.before, now, strict=True)]
        assert moved in ([True, False], [False, True], [True, True])
        self.before = now
        self.steps.append("both" if all(moved) else "q" if moved[0] else "p")


def model(optimizer="adam", **options):
    vae = small_vae()
    vae.compile(AggressiveInference(optimizer, **options))
    return vae


def value(variable):
    return ops.convert_to_numpy(variable).item()


@pytest.mark.alternate
@pytest.mark.thorough
def test_q_moves_until_the_bound_stops_improving_then_p_once():
    turns, vae = Turns(), model(keras.optimizers.Adam(0.01), window=2, most=6)
    vae.fit(X, batch_size=10, epochs=5, callbacks=[turns], verbose=0)
    text = "".join(turns.steps)
    runs = text.split("p")[:-1]  # a turn of q before each step of p
    assert set(text) == {"q", "p"} and all(len(run) in (4, 6) for run in runs) and len(runs) > 3
    assert value(vae.optimizer.of_p.iterations) == text.count("p")
    assert value(vae.optimizer.of_q.iterations) == text.count("q")
    vae.optimizer.aggressive.assign(False)
    vae.fit(X, batch_size=10, epochs=1, callbacks=[turns], verbose=0)
    assert set(turns.steps[len(text) + 1 :]) == {"both"}  # one turn may have been decided already


@pytest.mark.once
def test_windows_of_the_loss_decide():
    """Losses that are given: they fall over two windows, rise in the third."""
    vae = model(keras.optimizers.SGD(0.1), window=2, most=100)
    vae.build((None, *X.shape[1:]))
    vae.build_optimizer()
    optimizer, weights = vae.optimizer, vae.trainable_variables
    turns = []
    for loss in (9, 9, 8, 8, 7, 9.5, 5, 6, 6, 5, 5, 5, 5, 1):
        turns.append("p" if value(optimizer.turn_of_p) else "q")
        optimizer.scale_loss(ops.convert_to_tensor(float(loss)))
        optimizer.apply([ops.ones_like(w) for w in weights], weights)
    assert "".join(turns) == "qqqqqq" + "p" + "qqqqqq" + "p"  # means 9, 8, 8.25; then 6, 5, 5


@pytest.mark.once
def test_each_side_takes_the_steps_of_its_own_optimizer():
    """Adam's moments and the count of its steps rest with the side that rests."""
    vae, other = model(keras.optimizers.Adam(0.1), window=1, most=2), keras.optimizers.Adam(0.1)
    vae.build((None, *X.shape[1:]))
    vae.build_optimizer()
    weights = vae.trainable_variables
    p = [keras.Variable(w) for w, mine in zip(weights, vae.optimizer.is_of_q, strict=True) if not mine]
    for step in range(6):
        g = [ops.full(w.shape, 1.0 + step) for w in weights]
        vae.optimizer.scale_loss(ops.convert_to_tensor(1.0 - step))
        vae.optimizer.apply(g, weights)
        if step % 3 == 2:
            other.apply([ops.full(w.shape, 1.0 + step) for w in p], p)
    mine = [w for w, of_q in zip(weights, vae.optimizer.is_of_q, strict=True) if not of_q]
    for a, b in zip(mine, p, strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(a), ops.convert_to_numpy(b), rtol=1e-6)


@pytest.mark.thorough
@pytest.mark.alternate
def test_it_ends_when_information_rises_no_more(monkeypatch):
    found = iter([0.5, 0.8, 0.8, 3.0])
    measured = []

    def information(*args, **options):
        measured.append(next(found))
        return type("Found", (), {"mutual_information": measured[-1]})

    monkeypatch.setattr("vaekit.evaluation.aggression.information", information)
    vae = model(window=1, most=2)
    until = vk.evaluation.WhileInformationRises(X)
    vae.fit(X, batch_size=30, epochs=5, callbacks=[until], verbose=0)
    assert measured == [0.5, 0.8, 0.8] and not value(vae.optimizer.aggressive)
    monkeypatch.undo()
    again = model(window=1, most=2)
    again.fit(X, batch_size=30, epochs=1, callbacks=[vk.evaluation.WhileInformationRises(X, seed=3)], verbose=0)
    assert value(again.optimizer.aggressive)


@pytest.mark.thorough
@pytest.mark.alternate
def test_a_broken_training_goes_on_to_the_same_bits_and_a_file_keeps_the_turns(tmp_path):
    def train(*epochs):
        for n in epochs:
            keras.utils.set_random_seed(0)  # of the first weights
            vae = model(keras.optimizers.Adam(0.01), window=2, most=4)
            vae.fit(X, batch_size=20, epochs=n, verbose=0, checkpoint=tmp_path / f"{len(epochs)}.npz")
        return vae

    whole, broken = train(3), train(1, 3)
    for a, b in zip(whole.get_weights(), broken.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    whole.save(tmp_path / "model.keras")
    loaded = vk.load(tmp_path / "model.keras")
    state = list(map(ops.convert_to_numpy, whole.optimizer.variables))
    loaded.optimizer.set_weights(state)
    assert all(map(np.array_equal, state, map(ops.convert_to_numpy, loaded.optimizer.variables)))
    assert [value(v) for v in loaded.optimizer.variables if not v.shape] == [
        value(v) for v in whole.optimizer.variables if not v.shape
    ]
    for vae in (whole, loaded):
        vae.fit(X, batch_size=20, epochs=1, verbose=0, shuffle=False)
    for a, b in zip(whole.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


@pytest.mark.once
def test_wrong_uses_get_one_clear_message():
    for wrong, message in [
        (dict(window=0), "window to be an integer"),
        (dict(optimizer="none"), "expects a Keras opt"),
        (dict(optimizer=AggressiveInference()), "of another kind"),
    ]:
        with pytest.raises(ValueError, match=message):
            AggressiveInference(**wrong)
    plain = small_vae()
    plain.compile("adam")
    with pytest.raises(ValueError, match="compile the model with"):
        plain.fit(X, callbacks=[vk.evaluation.WhileInformationRises(X)], verbose=0)
    with pytest.raises(ValueError, match="of a vaekit model"):
        AggressiveInference().build([keras.Variable(1.0)])
    vae = small_vae()
    vae.build((None, *X.shape[1:]))
    vae.decoder.trainable = False
    with pytest.raises(ValueError, match="weights of both"):
        vae.compile(AggressiveInference())
    with pytest.raises(ValueError, match="which mixed_float16 scales"):
        small_vae().compile(keras.optimizers.LossScaleOptimizer(AggressiveInference()))
    other = model()
    with pytest.raises(ValueError, match="should have shape"):
        other.fit(X, callbacks=[vk.evaluation.WhileInformationRises(X[:, :1])], verbose=0)
    with pytest.raises(ValueError, match="trains on arrays"):
        other.fit((x for x in [X, X]), verbose=0)
    optimizer = model().optimizer
    optimizer.learning_rate = 0.5
    assert float(optimizer.of_q.learning_rate) == float(optimizer.learning_rate) == 0.5
