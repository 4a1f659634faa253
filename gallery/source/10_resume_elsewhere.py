# %% [markdown]
# # 10 · Resume on another machine
#
# A training that is cut off goes on from one file, here or elsewhere: copy the file, run the same script. On the same
# kind of machine, with the same versions, it comes to the same weights, bit for bit, as if nothing had happened.

# %%
import shutil
import tempfile
from pathlib import Path

import vaekit as vk
import keras
import numpy as np
from vaekit.layers import MLP, Bernoulli, DiagonalNormal

digits = vk.datasets.load("dynamic_digits")


def train(checkpoint, epochs, units=64):
    """The script: the same here and there."""
    keras.utils.set_random_seed(0)
    encoder = keras.Sequential([MLP(units, "relu"), DiagonalNormal(4)])
    decoder = keras.Sequential([MLP(units, "relu"), Bernoulli((8, 8, 1))])
    vae = vk.VAE(encoder, decoder, seed=0)
    vae.compile("adam")
    options = dict(validation_data=digits.validation, verbose=0)
    vae.fit(digits.train, epochs=epochs, checkpoint=checkpoint, **options)
    return vae


here, there = Path(tempfile.mkdtemp()), Path(tempfile.mkdtemp())
train(here / "training.npz", epochs=12)  # stands for a cut after 12 of 30 epochs
shutil.copy(here / "training.npz", there)  # scp, a stick, a bucket
resumed = train(there / "training.npz", epochs=30)
whole = train(here / "whole.npz", epochs=30)  # the same training without a break
pairs = zip(resumed.get_weights(), whole.get_weights(), strict=True)
equal = [np.array_equal(a, b) for a, b in pairs]
try:
    train(there / "training.npz", epochs=30, units=100)  # another model, the old file
except vk.training.CheckpointError as error:
    print(str(error).replace(str(there), "…"))

# %% tags=["hide-input"] alt="The validation bound over 30 epochs: 12 of them by one file, the rest from a copy of it in another folder, on one smooth curve with that of an unbroken training."
from vaekit.course import holds
from vaekit.plotting import COLORS, Figure

print(f"{sum(equal)} of {len(equal)} arrays of weights are equal, bit for bit")
holds(all(equal), len(resumed.history.history["val_bound"]) == 30)
curve, epochs = (
    resumed.history.history["val_bound"],
    1 + np.arange(len(resumed.history.history["val_bound"])),
)
figure = Figure(figsize=(7, 3.2))
axes = figure.add_subplot()
axes.plot(
    epochs,
    whole.history.history["val_bound"],
    color="0.7",
    linewidth=6,
    label="without a break",
)
axes.plot(epochs[:12], curve[:12], ".-", color=COLORS[0], label="the first 12 epochs")
axes.plot(epochs[11:], curve[11:], ".-", color=COLORS[1], label="from the copy")
axes.set(xlabel="epoch", ylabel="validation bound, nats")
axes.legend(frameon=False)
figure

# %% [markdown]
# **What to watch.** The file is written at most once a minute, and after the last epoch; a crash costs what came since.
# Bit for bit holds for the same backend, device and versions; between processors of different kinds results agree for a
# while and then drift, as trainings do. A file of TensorFlow does not go on under JAX, and one of another model or
# other data is refused, with what differs. For that, and to hand over a model, there is `vae.save("vae.keras")`: any
# backend opens it, optimizer state included, and `fit` goes on from there, with other noise. Ask for as many epochs as
# the training is to have in all, not for those that are left.
