# %% [markdown]
# # 01 · A conditional VAE
#
# Ask for a digit, and get it: the label is given to encoder and decoder, so that z has to hold only what the label does
# not say, such as slant and width. The same lines serve any condition: a class, a set of attributes, another image.

# %%
import vaekit as vk
import keras
import numpy as np
from vaekit.layers import MLP, Bernoulli, DiagonalNormal, Stack

# pixels 0 or 1, drawn anew in each epoch with the grey value as probability
digits = vk.datasets.load("dynamic_mnist_10k")
one_hot = keras.utils.to_categorical
train = {"x": digits.train, "label": one_hot(digits.labels.train, 10)}
test = {"x": digits.test, "label": one_hot(digits.labels.test, 10)}

keras.utils.set_random_seed(0)
# a Stack takes several inputs; with skip=True they enter each of its layers
p_x = Stack([MLP(256, "relu"), MLP(256, "relu"), Bernoulli((28, 28, 1))], skip=True)
q_z = Stack([MLP(256, "relu"), DiagonalNormal(4)])
cvae = vk.LatentVariableModel(  # p(z) p(x|z, label),  q(z|x, label)
    generative=[
        vk.Factor("z", vk.priors.StandardNormal()),
        vk.Factor("x", p_x, given=("z", "label")),
    ],
    inference=[vk.Factor("z", q_z, given=("x", "label"))],
)
cvae.compile(keras.optimizers.Adam(0.002))
cvae.fit(train, epochs=10, verbose=0)

asked = np.arange(500) % 10
samples = cvae.sample(500, {"label": one_hot(asked, 10)}, mean=True, seed=0)
bound = cvae.evaluate(test, seed=0, verbose=0)["bound"]

# %% [markdown]
# `label` is described by no factor, so it is a condition: `fit`, `sample` and all else ask for it. Each row of the
# picture is one z, decoded ten times: the hand stays, the digit changes.

# %% tags=["hide-input"] alt="Five rows of ten drawn digits, asked for as 0 to 9; nearly all are the digit of their column, and those of a row share slant, width and stroke."
from sklearn.neighbors import KNeighborsClassifier

from vaekit.course import holds

flat = digits.train.probabilities.reshape(-1, 784)
judge = KNeighborsClassifier(3).fit(flat, digits.labels.train)
right = (judge.predict(samples.reshape(-1, 784)) == asked).mean()
print(f"bound on {len(digits.test)} test images {bound:.1f} nats")
print(
    f"of 500 samples' means {100 * right:.0f} % are read as the digit asked for, by 3 nearest neighbours"
)
holds(right > 0.9, bound > -130)

z = np.random.default_rng(3).normal(size=(5, 4)).astype("float32")
rows = {
    "z": np.repeat(z, 10, axis=0),
    "label": np.tile(np.eye(10, dtype="float32"), (5, 1)),
}
vk.plotting.image_grid(cvae.decode(rows), columns=10)

# %% [markdown]
# **What to watch.** Grey images of your own, in [0, 1], become 0/1 images, drawn anew in each epoch, by
# `vk.batches.DynamicBinarization(x)`. Labels are one-hot rows; whole numbers `[N]` are refused, with the line that
# converts them, but a column `[N, 1]` counts as a measurement, of which class 2 is twice class 1. The condition is not
# checked by any likelihood: a wrong label at test time raises no error, it only makes the bound worse. (Comparing the
# bounds under all ten labels makes a classifier.) If rows of the picture look alike, z is not used: see
# [lesson 08](../lessons/08_posterior_collapse.ipynb). If columns show several digits, z knows the digit, too: make z
# smaller. Where few z of that digit lie, decoding is bad, as for the 0 and the 6 of the first row and the 1 and the 7
# of the third. A model of $p(x|\text{label})$ knows nothing of $p(\text{label})$; recipe 06 has a model of both.
