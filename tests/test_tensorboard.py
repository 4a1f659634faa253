"""Figures of a training in the files that TensorBoard reads."""

import keras
import matplotlib
import numpy as np
import pytest
from matplotlib.image import imread
from oracles import binary_images, small_vae

import vaekit as vk
from vaekit.training import TensorBoardFigures

pytestmark = pytest.mark.once


def events(folder):
    """What the files of a run hold: list of title, step and value, a list of bytes."""
    import tensorflow as tf

    found = []
    for record in tf.data.TFRecordDataset([str(path) for path in sorted(folder.iterdir())]):
        event = tf.compat.v1.Event.FromString(record.numpy())
        for value in event.summary.value:
            assert value.metadata.plugin_data.plugin_name == "images"
            found.append((value.tag, event.step, list(value.tensor.string_val)))
    return found


def test_figures_stand_in_the_files(tmp_path):
    model, drawn = small_vae(), []

    def samples(model):
        drawn.append(vk.plotting.image_grid(model.sample(4, mean=True, seed=0)))
        return drawn[-1]

    callback = TensorBoardFigures(tmp_path, {"samples": samples}, every=2)
    model.fit(binary_images(), epochs=3, callbacks=[callback], verbose=0)
    found = events(tmp_path)
    assert [entry[:2] for entry in found] == [("samples", 2), ("samples", 3)]  # the last epoch, too
    for (*_, (width, height, png)), figure in zip(found, drawn, strict=True):
        path = tmp_path / "figure.png"
        path.write_bytes(png)
        pixels = imread(path)
        assert pixels.shape[:2] == (int(height), int(width))
        figure.savefig(path)
        np.testing.assert_array_equal(pixels, imread(path))
        path.unlink()


def test_a_training_that_ends_early_has_its_last_figures(tmp_path):
    model, stop = small_vae(), keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, _: end(epoch == 1))

    def end(now):
        model.stop_training = now

    figures = TensorBoardFigures(tmp_path, {"x": lambda model: vk.plotting.image_grid(np.zeros((1, 2, 2)))}, every=5)
    with matplotlib.rc_context({"savefig.dpi": 37}):
        model.fit(binary_images(), epochs=4, callbacks=[figures, stop], verbose=0)
    ((_, step, (width, height, png)),) = events(tmp_path)
    (tmp_path / "figure.png").write_bytes(png)
    assert (step, (int(height), int(width))) == (2, imread(tmp_path / "figure.png").shape[:2])


def test_a_second_fit_goes_on_in_the_same_run(tmp_path):
    model = small_vae()
    callback = TensorBoardFigures(tmp_path, {"x": lambda model: vk.plotting.image_grid(np.zeros((1, 2, 2)))})
    for epochs in (1, 2):
        model.fit(binary_images(), initial_epoch=epochs - 1, epochs=epochs, callbacks=[callback], verbose=0)
    assert [step for _, step, _ in events(tmp_path)] == [1, 2]


def test_what_draws_no_figure_is_refused(tmp_path):
    for figures in (None, {}, {"x": 3}):
        with pytest.raises(ValueError, match="dict of functions of the model by title"):
            TensorBoardFigures(tmp_path, figures)
    with pytest.raises(ValueError, match="every to be an integer"):
        TensorBoardFigures(tmp_path, {"x": lambda model: None}, every=0)
    model, wrong = small_vae(), TensorBoardFigures(tmp_path, {"x": lambda model: model.sample(4)})
    with pytest.raises(ValueError, match="the function of 'x', as vaekit.plotting.*received ndarray"):
        model.fit(binary_images(), callbacks=[wrong], verbose=0)
