# %% [markdown]
# # 09 · Export for serving
#
# A trained model becomes a program that runs where neither vaekit nor Keras is installed: a SavedModel for TensorFlow
# Serving, or a file for ONNX. What cannot become one is refused before anything is written.

# %%
import tempfile

import vaekit as vk
import keras
import numpy as np
import tensorflow as tf
from vaekit.layers import (
    MLP,
    Autoregressive,
    Bernoulli,
    DiagonalNormal,
    GatedPixelConv2D,
)

digits = vk.datasets.load("dynamic_digits")
keras.utils.set_random_seed(0)
encoder = keras.Sequential([MLP([64, 64], "relu"), DiagonalNormal(2)])
decoder = keras.Sequential([MLP([64, 64], "relu"), Bernoulli((8, 8, 1))])
vae = vk.VAE(encoder, decoder)
vae.compile(keras.optimizers.Adam(0.003))
vae.fit(digits.train, epochs=100, verbose=0)

folder = tempfile.mkdtemp()
vae.export(folder)  # three functions, for batches of any size

served = tf.saved_model.load(folder)  # from here on, no vaekit
x = np.asarray(digits.test)
codes = served.encode(x).numpy()  # the mean of q(z|x), [300, 2]
images = served.decode(codes).numpy()  # the mean of p(x|z); served.serve(x) is both
pairs = (codes, vae.encode(x)), (images, vae.reconstruct(x))
difference = max(np.abs(a - b).max() for a, b in pairs)

# %%
pixelcnn = Autoregressive([GatedPixelConv2D(8, mask="A"), Bernoulli((8, 8, 1))])
model = vk.VAE(DiagonalNormal(2), pixelcnn)
model.build((None, 8, 8, 1))
for export in (
    lambda: vae.export(f"{folder}/decoder.onnx", "onnx", part="decode"),
    lambda: model.export(f"{folder}/pixelcnn"),  # its images are drawn, pixel by pixel
):
    try:
        export()
    except (ImportError, ValueError) as error:
        print(f"{type(error).__name__}: {error}")

# %% tags=["hide-input"] alt="A map of digits: the plane of two-dimensional codes, decoded by the exported program at 15 by 15 places."
from vaekit.course import holds

print(f"exported and original numbers differ by at most {difference:.0e}")
holds(difference < 1e-4)
vk.plotting.manifold(lambda z: served.decode(z).numpy(), n=15)

# %% [markdown]
# The map steps through the plane by equal shares of the prior, so that its axes are wider at the rim.
#
# **What to watch.** Exported are means: noise is the caller's, who draws $z \sim \mathcal N(0, I)$ and calls `decode`. So a
# model with another prior (recipe 05) samples where vaekit is, or its caller has to know the prior. Inputs are float32,
# scaled as for training: the program checks nothing but shapes, and takes bytes from 0 to 255 without a word. Test it once against
# the original, as above, in the place where it is going to run. ONNX needs packages of its own, which the message
# names. A model with a condition takes a dict by name. For a colleague with vaekit, `vae.save("vae.keras")` and `vk.load` keep everything, the optimizer too.
