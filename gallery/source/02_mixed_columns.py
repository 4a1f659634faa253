# %% [markdown]
# # 02 · A table with mixed columns
#
# Measurements, classes and counts in one table, each with a likelihood of its own, held together by one z. The table is
# scikit-learn's diabetes data: 442 patients with age, sex, eight measurements, and how the disease went on.

# %%
import vaekit as vk
import keras
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import StandardScaler
from vaekit.layers import MLP, DiagonalNormal, Normal, OneHotCategorical, Poisson, Stack
import numpy as np

table = load_diabetes(scaled=False)
rows = np.c_[table.data, table.target]  # age, sex, nine numbers
rows = np.random.default_rng(0).permutation(rows)
scaler = StandardScaler().fit(rows[:350, 2:])  # to mean 0, scale 1
data = {
    "numbers": scaler.transform(rows[:, 2:]).astype("float32"),  # [N, 9]
    "sex": keras.utils.to_categorical(rows[:, 1] - 1, 2),  # [N, 2], one-hot
    "age": rows[:, :1],  # [N, 1], whole years
}
train = {name: column[:350] for name, column in data.items()}
test = {name: column[350:] for name, column in data.items()}


def p(head):
    return keras.Sequential([MLP(32, "relu"), head])


keras.utils.set_random_seed(0)
model = vk.LatentVariableModel(
    # of the size of the other inputs
    features=[vk.Feature("decades", keras.layers.Rescaling(0.1), given="age")],
    generative=[
        vk.Factor("z", vk.priors.StandardNormal()),
        vk.Factor("numbers", p(Normal(9, scale="pixel")), given="z"),
        vk.Factor("sex", p(OneHotCategorical(2)), given="z"),
        vk.Factor("age", p(Poisson(1)), given="z"),
    ],
    inference=[
        vk.Factor(
            "z",
            Stack([MLP(64, "relu"), DiagonalNormal(6)]),  # takes several inputs
            given=("numbers", "sex", "decades"),
        )
    ],
)
model.compile(keras.optimizers.Adam(0.003))
model.fit(train, epochs=150, batch_size=50, verbose=0)
drawn = model.sample(5000, seed=0)  # a dict like the data: invented patients

# %% tags=["hide-input"] alt="A scatter of 55 points, one for each pair of columns, near the diagonal: correlation in the table against correlation among draws."
from vaekit.course import holds
from vaekit.plotting import COLORS, Figure


def correlations(data):
    columns = np.concatenate([data["age"], data["sex"][:, 1:], data["numbers"]], axis=1)
    return np.corrcoef(columns, rowvar=False)[np.triu_indices(11, 1)]


real, ours = correlations(data), correlations(drawn)
error, size = np.abs(real - ours).mean(), np.abs(real).mean()
shown = ("bound", "kl", *(f"reconstruction_{column}" for column in data))
for name, part in (("350 training rows", train), ("92 test rows", test)):
    terms = model.evaluate(part, seed=0, verbose=0)
    print(name, {term: round(terms[term], 1) for term in shown})
print(
    f"correlations: mean |r| {size:.2f}; that of draws differs by {error:.2f} in the mean"
)
print(
    f"the second sex: {data['sex'][:, 1].mean():.2f} of rows, {drawn['sex'][:, 1].mean():.2f} of draws"
)
holds(
    -0.65 < terms["reconstruction_sex"],
    error < 0.1 < size,
    abs(drawn["age"].mean() - data["age"].mean()) < 3,
)
figure = Figure(figsize=(5, 4.2))
axes = figure.add_subplot()
axes.plot([-1, 1], [-1, 1], color="0.7", linewidth=1)
axes.plot(real, ours, "o", color=COLORS[0], markersize=5)
axes.set(
    xlabel="correlation of two columns, in the table",
    ylabel="among 5000 draws",
    xlim=(-0.8, 1),
    ylim=(-0.8, 1),
)
figure

# %% [markdown]
# **What to watch.** The nats are a patient's: the nine numbers, the class (knowing nothing would give $\log\frac12$ =
# −0.7) and the age; the bound is their sum less the KL. With 350 rows a model can learn patients by heart: hold some
# out, as here, and compare bounds. Standardize measurements, and give whole numbers as they are: a likelihood refuses
# what it cannot explain, 0.5 of a count for instance, and says so. Nats of densities and nats of probabilities stand in
# one sum, and a table of many measurements can drown a single class: `model.evaluate` reports each variable, and
# `vk.Factor("sex", …, weight=5)` makes one count more in the loss. Classes of ten values are one-hot, too; numbers with
# a long tail want a logarithm first, or `vk.layers.StudentT`. Columns with gaps: recipe 03.
