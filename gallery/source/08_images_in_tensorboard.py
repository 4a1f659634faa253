# %% [markdown]
# # 08 · Images in TensorBoard during training
#
# Curves say that a model learns, pictures say what. One callback takes functions that draw, any matplotlib figure, and
# puts what they draw after each epoch into TensorBoard.

# %%
import tempfile

import vaekit as vk
import keras
from vaekit.layers import MLP, Bernoulli, DiagonalNormal
from vaekit.plotting import image_grid, reconstructions

digits = vk.datasets.load("dynamic_mnist_10k")
few = digits.validation[:8]


def samples(model):
    return image_grid(
        model.sample(8, mean=True, seed=0), columns=8
    )  # always the same z


def pairs(model):
    return reconstructions(few, model.reconstruct(few))


folder = f"{tempfile.mkdtemp()}/first"  # yours: "runs/first", beside others in "runs"

keras.utils.set_random_seed(0)
encoder = keras.Sequential([MLP(256, "relu"), DiagonalNormal(16)])
decoder = keras.Sequential([MLP(256, "relu"), Bernoulli((28, 28, 1))])
vae = vk.VAE(encoder, decoder)
vae.compile(keras.optimizers.Adam(0.002))
figures = {"samples": samples, "reconstructions": pairs}  # by title
callback = vk.training.TensorBoardFigures(folder, figures, every=4)
history = vae.fit(digits.train, epochs=9, callbacks=[callback], verbose=0)

# %% [markdown]
# `tensorboard --logdir runs` in a terminal, and "Images" in the page that it serves, show them with a slider over the
# epochs. Here they are read back from the file: what the model drew after epochs 4, 8 and 9, the last.

# %% tags=["hide-input"] alt="Three rows of eight drawn digits, after epochs 4, 8 and 9; their strokes become sharper."
import io
from pathlib import Path

import numpy as np
import tensorflow as tf
from matplotlib.image import imread

from vaekit.course import holds
from vaekit.plotting import Figure

values = [
    (value.tag, event.step, value.tensor.string_val[2])
    for path in Path(folder).iterdir()
    for event in map(
        tf.compat.v1.Event.FromString,
        tf.data.TFRecordDataset(str(path)).as_numpy_iterator(),
    )
    for value in event.summary.value
]
shown = [(step, png) for title, step, png in values if title == "samples"]
holds([step for step, _ in shown] == [4, 8, 9], len(values) == 6)
sizes = [len(png) / 1024 for *_, png in values]
print(f"pictures of {min(sizes):.0f} to {max(sizes):.0f} kilobytes")
holds(all(3 < size < 100 for size in sizes))
figure = Figure(figsize=(8, 3.6))
for axes, (step, png) in zip(
    np.atleast_1d(figure.subplots(len(shown), 1)), shown, strict=True
):
    axes.imshow(imread(io.BytesIO(png)))
    axes.set(xticks=[], yticks=[], ylabel=f"epoch {step}")
    axes.spines[:].set_visible(False)
figure

# %% [markdown]
# **What to watch.** The files are written by TensorFlow, on JAX, too; TensorBoard is only needed where you look (`pip
# install tensorboard`). Pictures take space, and the functions run between epochs: draw a few dozen images, not
# thousands, and not after each epoch (`every=4` here). Give `sample` a seed, so that the same z are shown each time;
# and reconstruct images that the model does not train on. Samples by `mean=True` look better than draws, whose pixels
# are thrown one by one. For curves of bound and KL add `keras.callbacks.TensorBoard(folder)` to the list: that one
# needs TensorBoard here, too. A function that returns no figure stops training with a message when it is first called.
