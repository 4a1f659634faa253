# %% [markdown]
# # 06 · Few labels, many images
#
# Of 1197 digits 50 have a label. The class is a latent variable y, the label a noisy report of it, missing in most
# rows, so that images without one teach the classifier q(y|x), too: after the model M2 of Kingma et al. 2014.

# %%
import vaekit as vk
import keras
import numpy as np
from vaekit.layers import MLP, Bernoulli, DiagonalNormal, Masked, OneHotCategorical

digits = vk.datasets.load("dynamic_digits")
label = np.full((len(digits.train), 10), np.nan)  # no label
label[:50] = keras.utils.to_categorical(digits.labels.train[:50], 10)
data = {"x": digits.train, "label": label}
labelled = {name: value[:50] for name, value in data.items()}


def network(head):
    return vk.layers.Stack([MLP(128, "relu"), head])


def build(weight):
    keras.utils.set_random_seed(0)
    nearly_y = keras.initializers.Identity(
        6.0
    )  # at first it is y, with probability 0.98
    p_label = Masked(OneHotCategorical(10, kernel_initializer=nearly_y))
    p = [
        vk.Factor("y", vk.priors.Classes()),
        vk.Factor("z", vk.priors.StandardNormal()),
        vk.Factor("x", network(Bernoulli((8, 8, 1))), given=("y", "z")),
        vk.Factor("label", p_label, given="y", weight=weight),
    ]
    q_y = vk.Factor("y", network(OneHotCategorical(10)), given="x")
    q_z = vk.Factor("z", network(DiagonalNormal(2)), given=("x", "y"))
    model = vk.LatentVariableModel(generative=p, inference=[q_y, q_z])
    model.compile(keras.optimizers.Adam(0.002), vk.objectives.EnumeratedELBO("y"))
    return model


def right(model, part):
    x, y = getattr(digits, part), getattr(digits.labels, part)
    guess = model.encode({"x": x, "label": np.full((len(x), 10), np.nan)})["y"]
    return (guess.argmax(axis=1) == y).mean()  # by q(y|x), [N, 10]


models, alone = {weight: build(weight) for weight in (5, 20, 50)}, {}
for weight, model in models.items():
    model.fit(labelled, epochs=150, verbose=0)  # first what has labels
    alone[weight] = right(model, "test")
    model.fit(data, epochs=200, verbose=0)  # then all
best = max(models, key=lambda weight: right(models[weight], "validation"))

# %% tags=["hide-input"] alt="Ten columns of drawn digits, 0 to 9, one for each class, in four rows of different z: nearly all are the digit of their column."
from sklearn.linear_model import LogisticRegression

from vaekit.course import holds

both, rng = (
    {name: right(model, "test") for name, model in models.items()},
    np.random.default_rng(0),
)
tossed = np.concatenate([digits.train[:50].draw(rng) for _ in range(100)]).reshape(
    -1, 64
)
trained_on = {
    "their grey values": (digits.train.probabilities[:50].reshape(50, 64), 1),
    "100 draws of each": (tossed, 100),
}
usual = {}
for name, (x, times) in trained_on.items():
    judge = LogisticRegression(max_iter=2000).fit(
        x, np.tile(digits.labels.train[:50], times)
    )
    usual[name] = (
        judge.predict(np.asarray(digits.test).reshape(-1, 64)) == digits.labels.test
    ).mean()
print(f"weight {best}, chosen on 300 validation digits; right on 300 test digits:")
print(
    f"after 50 labels alone {100 * alone[best]:.0f} %, with 1147 more images {100 * both[best]:.0f} %"
)
for name, share in usual.items():
    print(f"logistic regression on the 50, by {name}: {100 * share:.0f} %")
holds(both[best] > alone[best] + 0.03, both[best] > max(usual.values()) + 0.03)
z = np.random.default_rng(0).normal(size=(4, 2)).astype("float32")
rows = {
    "z": np.repeat(z, 10, axis=0),
    "y": np.tile(np.eye(10, dtype="float32"), (4, 1)),
}
vk.plotting.image_grid(
    models[best].decode(rows)["x"], columns=10, titles=[*range(10), *[""] * 30]
)

# %% [markdown]
# **What to watch.** Where your y has −1 or NaN for unknown, fill in the known rows alone, as above: `to_categorical`
# makes −1 the last class. Train on what has labels first: classes that start at random settle on something else, and
# stay. Besides that order, the weight of the label counts. Too small, and the classes become whatever explains x best,
# slants say; the picture shows it, if a column holds several digits. Hold out some labels to choose it, as here, and
# others to report. (Of 300 digits 80 % are known to ± 2 %.) The sum over y is exact (`EnumeratedELBO`), and costs ten
# decoders a step: with hundreds of classes draw y instead, `vk.objectives.VIMCO(samples=10)`. Labels must be missing at
# random, and come from all classes. In M2 the label is y itself; here $p(\text{label}|y)$ is learned, so that one
# `Masked` likelihood serves rows with a label and without, and can tell how noisy labels are.
