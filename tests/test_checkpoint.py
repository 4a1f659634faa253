"""`fit(checkpoint=path)`: a training that breaks off anywhere, and goes on, comes to the weights it would have had.

All breaks are of one small model with everything that has a state: dynamic binarization, dropout, warm-up, normalized
gradients, early stopping with restored weights, a learning rate that falls. Early stopping ends it after epoch 5 of 8:
warm-up takes 2 epochs, the second is the best (no gain is great enough), and patience is 3.
"""

import errno
import io
import json
import os
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import vaekit as vk
from vaekit import files
from vaekit.batches import Batches, DynamicBinarization
from vaekit.training import checkpoint
from vaekit.training.checkpoint import CheckpointError

rng = np.random.default_rng(0)
GREY, VALIDATION = rng.random((40, 4, 4, 1)), (rng.random((8, 4, 4, 1)) < 0.5).astype("float32")
X = DynamicBinarization(GREY)
STEPS = 5  # an epoch, batches of 8


@pytest.fixture(autouse=True)
def a_file_each_epoch(monkeypatch):
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)


def model(hidden=3, optimizer=None, objective=None, activation="relu", seed=0):
    encoder = keras.Sequential(
        [vk.layers.MLP(hidden, activation), keras.layers.Dropout(0.2), vk.layers.DiagonalNormal(2)]
    )
    decoder = keras.Sequential([vk.layers.MLP(hidden), vk.layers.Bernoulli((4, 4, 1))])
    vae = vk.VAE(encoder, decoder, seed=seed)
    vae.build((None, 4, 4, 1))
    optimizer = optimizer or vk.training.NormalizedGradients(keras.optimizers.Adam(1e-2))
    vae.compile(optimizer, objective=objective or vk.objectives.ELBO(beta=vk.objectives.WarmUp(2 * STEPS)))
    return vae


class Break(keras.callbacks.Callback):
    """Fails in an epoch: before it, between its steps and its validation, at its end, or at the end of training."""

    def __init__(self, hook=None, epoch=None, error=RuntimeError):
        super().__init__()
        self.at, self.error = (hook, epoch), error

    def _reach(self, hook, epoch=None):
        self.reached = epoch if hook == "epoch begin" else self.reached
        if self.at == (hook, self.reached):
            raise self.error("broken off")

    def on_train_begin(self, logs=None):
        self.reached = None

    def on_epoch_begin(self, epoch, logs=None):
        self._reach("epoch begin", epoch)

    def on_test_begin(self, logs=None):
        self._reach("validation")

    def on_epoch_end(self, epoch, logs=None):
        self._reach("epoch end")

    def on_train_end(self, logs=None):
        self._reach("end")


def fit(vae, path=None, broken=None, epochs=8, x=X, batch_size=8, **options):
    """The training of these tests; returns its history and its callbacks."""
    stop = vk.training.EarlyStopping(patience=3, min_delta=1e3)
    rate = keras.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=1e3)
    options = dict(callbacks=[broken or Break(), stop, rate], validation_data=VALIDATION) | options
    history = vae.fit(x, batch_size=batch_size, epochs=epochs, verbose=0, checkpoint=path, **options)
    return history, stop


def state(vae):
    """All that training changes: weights, step, random streams, the optimizer's moments and learning rate."""
    variables = [*vae.variables, *vae.optimizer.variables]
    assert any(v is vae.seed_generator.state for v in variables)
    return [keras.ops.convert_to_numpy(v).copy() for v in variables]


def put(vae, values):
    for variable, value in zip([*vae.variables, *vae.optimizer.variables], values, strict=True):
        variable.assign(value)


def equal(one, other):
    return all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two models alike, whose compiled programs all tests share; where training comes to, without a break; a file.

    `begin(vae)` puts a model at the beginning, `spoil(vae)` somewhere else. The file is of the first 2 epochs.
    """
    keras.utils.set_random_seed(0)
    first, second = model(), model()
    for vae in (first, second):
        vae.build_optimizer()
    assert first.optimizer.optimizer.name != second.optimizer.optimizer.name  # "adam", "adam_1": no other training
    beginning = state(first)

    def spoil(vae):  # but for the learning rate, by which trainings are told apart
        rate = [v is vae.optimizer.learning_rate for v in [*vae.variables, *vae.optimizer.variables]]
        assert sum(rate) == 1
        put(vae, [value + (not fixed) for value, fixed in zip(beginning, rate, strict=True)])

    history, stop = fit(first)
    assert len(history.epoch) == 5 and (stop.best_epoch, stop.stopped_epoch) == (1, 4)
    assert int(first.step) == 2 * STEPS and float(first.optimizer.learning_rate) < 1e-2  # the best weights are back
    end, path = state(first), tmp_path_factory.mktemp("kept") / "training.npz"
    put(first, beginning)
    fit(first, path, epochs=2)
    return SimpleNamespace(
        models=(first, second),
        begin=lambda vae: put(vae, beginning),
        spoil=spoil,
        end=end,
        history=history.history,
        file=path.read_bytes(),
    )


def assert_as_without_a_break(vae, history, stop, trained):
    assert equal(state(vae), trained.end)
    assert history.history == trained.history and history.epoch == [0, 1, 2, 3, 4]
    assert (stop.best_epoch, stop.stopped_epoch, stop.wait) == (1, 4, 3)


@pytest.mark.thorough
def test_a_broken_training_goes_on_to_the_same_bits(trained, tmp_path):
    one, other = trained.models
    for i, breaks in enumerate(
        [
            [("epoch begin", 0, 0)],  # hook, epoch, epochs in the file then; 0: none
            [("validation", 0, 0)],
            [("epoch end", 1, 1)],
            [("epoch begin", 2, 2)],
            [("epoch begin", 3, 3)],
            [("validation", 3, 3)],
            [("epoch end", 4, 4)],
            [("end", 4, 5)],  # training is over, but the best weights are not restored
            [("epoch begin", 1, 1), ("validation", 1, 1), ("epoch begin", 4, 4), ("end", 4, 5)],
        ]
    ):
        path = tmp_path / f"{i}.npz"
        trained.begin(one)
        for hook, epoch, kept in breaks:
            error = KeyboardInterrupt if epoch % 2 else RuntimeError
            with pytest.raises(error, match="broken off"):
                fit(one, path, Break(hook, epoch, error))
            assert path.exists() == (kept > 0)
            if kept:
                assert checkpoint.read(path)[0]["epochs"] == kept
                assert not equal(state(one), trained.end)
            one, other = other, one
            trained.spoil(one) if kept else trained.begin(one)
        assert_as_without_a_break(one, *fit(one, path), trained)
    assert sorted(os.listdir(tmp_path)) == [f"{i}.npz" for i in range(9)]


def test_a_training_that_is_done_is_not_repeated(trained, tmp_path):
    path = tmp_path / "training.npz"
    first, second = trained.models
    trained.begin(first)
    assert_as_without_a_break(first, *fit(first, path), trained)
    content = path.read_bytes()
    trained.spoil(second)
    for vae in (first, second, first):  # the first one's learning rate is no longer what it was compiled with
        assert_as_without_a_break(vae, *fit(vae, path, Break("epoch begin", 5)), trained)
    assert path.read_bytes() == content


def test_more_epochs_go_on_and_fewer_are_refused(trained, tmp_path):
    path = tmp_path / "training.npz"
    first, second = trained.models
    trained.begin(first)
    history, _ = fit(first, path, epochs=4)
    assert history.epoch == [0, 1, 2, 3] and int(first.step) == 2 * STEPS  # the best weights, 4 epochs in the file
    content, before = path.read_bytes(), state(first)
    with pytest.raises(CheckpointError, match="4 epochs already, more than the 3 asked for.*Nothing was changed"):
        fit(first, path, epochs=3)
    assert path.read_bytes() == content and equal(weights(first, state(first)), weights(first, before))
    trained.spoil(second)
    assert_as_without_a_break(second, *fit(second, path), trained)


def weights(vae, values):
    """All of `state` but the model's random stream, from which a refused fit has drawn."""
    variables = [*vae.variables, *vae.optimizer.variables]
    return [value for v, value in zip(variables, values, strict=True) if v is not vae.seed_generator.state]


def test_the_file_is_written_about_once_a_minute(trained, tmp_path, monkeypatch):
    path, clock, kept = tmp_path / "training.npz", [0.0], []
    monkeypatch.setattr(checkpoint, "SECONDS", 60.0)
    monkeypatch.setattr(checkpoint, "time", SimpleNamespace(perf_counter=lambda: clock[0]))

    class Watch(Break):
        def on_epoch_begin(self, epoch, logs=None):
            clock[0] += 25.0
            kept.append(checkpoint.read(path)[0]["epochs"] if path.exists() else 0)

    first, second = trained.models
    trained.begin(first)
    fit(first, path, epochs=5, callbacks=[Watch()])
    assert kept == [0, 0, 0, 3, 3] and checkpoint.read(path)[0]["epochs"] == 5
    clock[0] += 1e4  # between two fits is no training
    fit(second, path, epochs=7, callbacks=[Watch()])
    assert kept[5:] == [5, 5] and checkpoint.read(path)[0]["seconds"] == 7 * 25.0


def refused(vae, path, message, **options):
    content, before = path.read_bytes(), state(vae)
    with pytest.raises(CheckpointError, match=message):
        fit(vae, path, **options)
    assert path.read_bytes() == content and os.listdir(path.parent) == [path.name]
    assert equal(weights(vae, state(vae)), weights(vae, before))


@pytest.fixture
def kept(trained, tmp_path):
    """A checkpoint after 2 epochs."""
    path = tmp_path / "training.npz"
    path.write_bytes(trained.file)
    return path


def test_a_damaged_file_is_refused(trained, kept):
    vae, content = trained.models[1], kept.read_bytes()
    damaged = [content[:n] for n in (0, 1, 30, len(content) // 2, len(content) - 30, len(content) - 1)]
    directory, number = content.index(b"PK\x01\x02"), content.index(b"'shape': (")
    places = {
        number + 9: 0xFF,  # the header of an array: a parenthesis that is none
        content.index(b"variable/2"): 1,
        directory - 100: 1,  # an array
        directory + 8: 1,  # "encrypted"
        directory + 10: 99,  # an unknown compression
        directory + 33: 0xFF,  # a long comment that swallows the rest of the directory
    }
    for place, bits in places.items():
        damaged.append(content[:place] + bytes([content[place] ^ bits]) + content[place + 1 :])
    array, foreign = io.BytesIO(), io.BytesIO()
    np.save(array, GREY)
    np.savez(foreign, state=np.array("{}"))
    damaged += [b"no archive", array.getvalue(), foreign.getvalue()]
    for wrong in damaged:
        kept.write_bytes(wrong)
        refused(vae, kept, "is no readable checkpoint .*Put a copy in its place, or move it away.*Nothing was changed")
    kept.write_bytes(content)
    assert_as_without_a_break(vae, *fit(vae, kept), trained)


def test_one_wrong_byte_is_noticed_wherever_it_matters(kept):
    content, (good, arrays) = kept.read_bytes(), checkpoint.read(kept)
    noticed = 0
    for place in np.random.default_rng(0).integers(len(content), size=250):
        kept.write_bytes(content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :])
        try:
            found, others = checkpoint.read(kept)  # in a file's date, say, which nobody reads
            assert found == good and others.keys() == arrays.keys()
            assert equal(others.values(), arrays.values())
        except CheckpointError:
            noticed += 1
    assert noticed > 150


class Epochs(keras.callbacks.Callback):
    pass


@pytest.mark.parametrize(
    "other, message",
    [
        (dict(batch_size=11), r"other batch size \(its batch size: 8, now: 11\)"),
        (dict(x=DynamicBinarization(GREY[:39])), r"other data \(its data: \[\['', \[40, .*now: \[\['', \[39, "),
        (dict(x=DynamicBinarization(GREY[::-1])), r"other data \("),
        (dict(x=(GREY < 0.5).astype("float32")), r"other data \("),
        (dict(x=DynamicBinarization(np.concatenate([GREY[:39], GREY[:1]]))), r"other data \("),
        (dict(validation_data=1 - VALIDATION), r"other validation \("),
        (dict(shuffle=False), r"other data, shuffle \(its shuffle: True, now: False\)"),
        (dict(callbacks=[Epochs()]), r"other callbacks \(its callbacks: \['Break', .*now: \['Epochs'\]"),
    ],
)
def test_a_file_of_another_training_is_refused(trained, kept, other, message):
    refused(trained.models[1], kept, f"belongs to another training: {message}", **other)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: model(hidden=4), r"other networks, weights \("),
        (lambda: model(activation="tanh"), r"other networks \(its networks layers.*relu, now: tanh\)"),
        (lambda: model(seed=1), r"other seed \(its seed: 0, now: 1\)"),
        (
            lambda: model(optimizer=keras.optimizers.Adam(1e-2)),
            r"\(its optimizer class_name: NormalizedGradients, now: Adam\)",
        ),
        (
            lambda: model(optimizer=vk.training.NormalizedGradients(keras.optimizers.Adam(5e-3))),
            r"other optimizer \(its optimizer config optimizer config learning_rate: 0.00999\d*, now: 0.00499",
        ),
        (lambda: model(objective=vk.objectives.ELBO()), r"other objective \(its objective config beta.*, now: "),
        (
            lambda: model(objective=vk.objectives.IWAE(5)),
            r"other objective \(its objective class_name: ELBO, now: IWAE\)",
        ),
    ],
)
def test_a_file_of_another_model_is_refused(kept, make, message):
    vae = make()
    vae.build_optimizer()
    refused(vae, kept, f"belongs to another training: .*{message}")


def test_a_file_of_the_other_backend_is_refused(trained, kept):
    content, arrays = checkpoint.read(kept)
    content["identity"]["backend"] = "numpy"
    np.savez(kept, state=np.array(json.dumps(content)), **arrays)
    ours = keras.backend.backend()
    refused(trained.models[1], kept, rf"other backend \(its backend: numpy, now: {ours}\)")


@pytest.mark.once
def test_settings_that_only_one_side_has_are_named(trained, kept):
    state, arrays = checkpoint.read(kept)
    networks = state["identity"]["networks"]

    def write(networks):
        identity = state["identity"] | {"networks": networks}
        np.savez(kept, state=np.array(json.dumps(state | {"identity": identity})), **arrays)

    write(networks | {"rate": "3"})
    refused(trained.models[1], kept, r"other networks \(its networks: {'rate': '3'}, now: nothing\)")
    key = next(key for key in networks if key.endswith("activation"))
    write({k: v for k, v in networks.items() if k != key})
    refused(trained.models[1], kept, rf"other networks \(its networks: nothing, now: {{'{key}': 'relu'}}\)")


def test_a_training_whose_callback_moves_the_objectives_variables_goes_on(tmp_path):
    beta, path = keras.Variable(0.0), tmp_path / "training.npz"

    class Raise(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            beta.assign(0.1 * (epoch + 1))

    vae = model(objective=vk.objectives.ELBO(beta=beta))
    fit(vae, path, epochs=2, callbacks=[Raise()])
    beta.assign(7.0)
    history, _ = fit(vae, path, epochs=3, callbacks=[Raise()])
    assert history.epoch == [0, 1, 2] and float(beta) == pytest.approx(0.3)


class Small(io.FileIO):
    """A file on a disk that has few bytes left."""

    left = 0

    def write(self, content):
        content = bytes(content)[: Small.left]
        if not content:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        Small.left -= len(content)
        return super().write(content)


def test_a_full_disk_leaves_the_file_before(trained, kept, monkeypatch):
    vae = trained.models[1]
    for share in (0.0, 0.5, 0.99):
        with monkeypatch.context() as patch:
            patch.setattr(files, "open", lambda path, mode: io.BufferedWriter(Small(path, "w")), raising=False)
            Small.left = int(share * len(trained.file))
            with pytest.raises(OSError, match=r"the disk is full\. What was there before is unchanged; free") as caught:
                fit(vae, kept)
            assert caught.value.errno == errno.ENOSPC and str(kept) in str(caught.value)
            with pytest.raises(OSError, match=r"the disk is full\. Nothing was left behind; free some space"):
                fit(vae, kept.with_name("other.npz"))
        assert kept.read_bytes() == trained.file and os.listdir(kept.parent) == [kept.name]
    assert_as_without_a_break(vae, *fit(vae, kept), trained)


def test_a_folder_that_is_none_is_named(trained, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="cannot be written: .*mend that, or choose another folder"):
        fit(trained.models[0], tmp_path / "file" / "training.npz")


class Own(keras.utils.PyDataset):
    def __len__(self):
        return 2

    def __getitem__(self, i):
        return (VALIDATION[4 * i : 4 * i + 4],)


def test_only_arrays_can_have_a_checkpoint(trained, tmp_path):
    vae = trained.models[0]
    before = state(vae)
    others = [Own(), ((VALIDATION,) for _ in range(2))]
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        others.append(tf.data.Dataset.from_tensors(VALIDATION))
    for x in others:
        with pytest.raises(ValueError, match="keeps a checkpoint where it trains on arrays.*BackupAndRestore"):
            vae.fit(x, checkpoint=tmp_path / "training.npz", verbose=0)
    with pytest.raises(ValueError, match="no options but epochs, callbacks"):
        vae.fit(VALIDATION, checkpoint=tmp_path / "training.npz", initial_epoch=3, epochs=4, verbose=0)
    assert equal(weights(vae, state(vae)), weights(vae, before)) and not os.listdir(tmp_path)


def test_batches_that_were_used_before_go_on_in_their_order(trained, tmp_path):
    used, vae = Batches(X, 8), trained.models[0]
    for _ in range(5):  # three epochs of an earlier fit, two of this one
        used.on_epoch_end()
    checkpoint.Checkpoint(tmp_path / "training.npz", vae, used, None, []).save(2, SimpleNamespace(history={}))
    again = Batches(X, 8)
    assert checkpoint.Checkpoint(tmp_path / "training.npz", vae, again, None, []).restore(SimpleNamespace(), 2) == 2
    assert again.epoch == 5 and np.array_equal(again.order, used.order)


def test_weights_of_16_bits_come_back(tmp_path):
    keras.config.set_dtype_policy("bfloat16")
    vae = model()
    vae.build_optimizer()
    before = state(vae)
    kept = checkpoint.Checkpoint(tmp_path / "training.npz", vae, Batches(X, 8), None, [])
    kept.save(2, SimpleNamespace(history={}))
    put(vae, [value + 1 for value in before])
    assert kept.restore(SimpleNamespace(), 2) == 2
    assert "bfloat16" in {v.dtype for v in vae.weights} and equal(state(vae), before)
