# %% [markdown]
# # 09 · Export for serving
#
# A trained model becomes a program that needs neither vaekit nor Keras where it runs: a SavedModel for TensorFlow
# Serving, or a file for ONNX. What cannot become one is refused before anything is written.

# %%
import subprocess
import sys
import tempfile

import vaekit as vk
import keras
import numpy as np
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

program = f"""
import numpy as np, sys, tensorflow as tf
served = tf.saved_model.load({folder!r})
x = np.load({folder + "/x.npy"!r})
codes = served.encode(x).numpy()  # the mean of q(z|x), [300, 2]
images = served.decode(codes).numpy()  # the mean of p(x|z); served.serve(x) is both
assert "vaekit" not in sys.modules
np.savez({folder + "/served.npz"!r}, codes=codes, images=images)
"""  # another process, such as a server's
np.save(f"{folder}/x.npy", np.asarray(digits.test))
done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)

# %%
pixelcnn = Autoregressive([GatedPixelConv2D(8, mask="A"), Bernoulli((8, 8, 1))])
model = vk.VAE(DiagonalNormal(2), pixelcnn)
model.build((None, 8, 8, 1))
try:
    model.export(f"{folder}/pixelcnn")  # its images are drawn, pixel by pixel
except ValueError as error:
    print(error)

# %% tags=["hide-input"] alt="A map of digits: the plane of two-dimensional codes, decoded by the exported program at 15 by 15 places."
import tensorflow as tf

from vaekit.course import holds

with np.load(f"{folder}/served.npz") as file:
    pairs = (
        (file["codes"], vae.encode(digits.test)),
        (file["images"], vae.reconstruct(digits.test)),
    )
difference = max(np.abs(a - b).max() for a, b in pairs)
print(f"the served numbers differ from the model's by at most {difference:.1g}")
holds(difference < 1e-4)
served = tf.saved_model.load(folder)
vk.plotting.manifold(lambda z: served.decode(z).numpy(), n=15)

# %% [markdown]
# The map steps through the plane by equal shares of the prior: towards the rim its pictures lie farther apart in z.
#
# **What to watch.** Exported are means: noise is the caller's, who draws $z \sim \mathcal N(0, I)$ and calls `decode`.
# So a model with another prior (recipe 05) samples where vaekit is, or its caller has to know the prior. Inputs are
# float32, scaled as for training: the program checks nothing but shapes, and takes bytes from 0 to 255 without a word.
# Test it once against the original, as above, in the place where it is going to run. `vae.export("decoder.onnx",
# "onnx", part="decode")` needs packages of its own, which its message names. A model with a condition takes a dict by
# name. For a colleague with vaekit, `vae.save("vae.keras")` and `vk.load` keep everything, the optimizer too.
