# %% [markdown]
# # 03 · Missing values
#
# Train on a table with gaps, without filling them first, and fill them afterwards by their conditional mean, or by
# several draws that show how uncertain they are. A likelihood in `Masked` counts observed entries alone, so the bound
# is one of $\log p(x_\text{observed})$: with an importance weighted bound this is MIWAE.

# %%
import vaekit as vk
import keras
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler
from vaekit.layers import MLP, DiagonalNormal, FillMissing, Masked, Normal

table = load_breast_cancer().data.astype("float32")  # [569, 30]
hidden = np.random.default_rng(0).random(table.shape) < 0.3
gaps = np.where(hidden, np.nan, table)  # NaN is missing
scaler = StandardScaler().fit(gaps)  # it skips NaN
gaps, x = scaler.transform(gaps), scaler.transform(table)

keras.utils.set_random_seed(0)
encoder = keras.Sequential([FillMissing(), MLP(64, "relu"), DiagonalNormal(8)])
decoder = keras.Sequential([MLP(64, "relu"), Masked(Normal(30, scale="shared"))])
vae = vk.VAE(encoder, decoder)
vae.compile(keras.optimizers.Adam(0.002), objective=vk.objectives.IWAE(samples=10))
vae.fit(gaps, epochs=60, batch_size=50, verbose=0)

filled = vk.inference.impute(vae, gaps)  # [569, 30], the conditional means
draws = vk.inference.impute(vae, gaps, draws=19)  # [19, 569, 30], multiple imputation

# %% tags=["hide-input"] alt="Left, a cloud of hidden values against imputed ones along the diagonal. Right, bars of the error: column mean, nearest neighbours, impute."
from sklearn.impute import KNNImputer

from vaekit.course import holds
from vaekit.plotting import COLORS, Figure


def error(guess):
    return np.sqrt(np.mean((guess - x)[hidden] ** 2))


guesses = {
    "column mean": np.nanmean(gaps, axis=0) + 0 * x,
    "5 neighbours": KNNImputer().fit_transform(gaps),
    "impute": filled,
}
errors = {name: error(guess) for name, guess in guesses.items()}
inside = ((draws.min(axis=0) < x) & (x < draws.max(axis=0)))[hidden].mean()
print({name: round(float(value), 2) for name, value in errors.items()})
print(
    f"{100 * inside:.1f} % of the hidden values lie between the least and the largest of their 19 draws"
)
holds(
    errors["impute"] < 0.9 * errors["5 neighbours"] < errors["column mean"],
    0.87 < inside < 0.94,
)
figure = Figure(figsize=(8, 3.6))
left, right = figure.subplots(1, 2)
left.plot([-3, 6], [-3, 6], color="0.7", linewidth=1)
left.plot(x[hidden], filled[hidden], ".", color=COLORS[0], markersize=2, alpha=0.5)
left.set(xlabel="hidden value", ylabel="imputed", xlim=(-3, 6), ylim=(-3, 6))
right.barh(
    list(errors)[::-1],
    list(errors.values())[::-1],
    color=["0.6" if n != "impute" else COLORS[0] for n in errors][::-1],
)
right.set(xlabel="root mean square error, in standard deviations")
figure

# %% [markdown]
# **What to watch.** All of this assumes that values are missing at random: that what is observed explains why. Where
# high values hide themselves, no likelihood of the observed entries can know. Say NaN, not 0 or −999. `FillMissing`
# gives the encoder the column's mean (0 after standardizing, which must skip NaN as scikit-learn's scaler does). In a
# mixed table (recipe 02) each likelihood goes into `Masked`, and `FillMissing()` stands first in the `Stack`; a missing
# class is a row of NaN (made as in recipe 06). The conditional mean has the least squared error, and varies less than
# data do: what you analyse are the `draws`. Of 20 values from one distribution each is as often the least as any other,
# so a value that its 19 draws describe lies between them in 18 of 20 cases, 90 %. Hide some values on purpose, and
# count, as above: draws that are too sure of themselves contain fewer. `impute` weighs
# samples of q; where few of 1000 count (`vk.evaluation.log_likelihood` has an `effective_sample_size`), raise
# `samples`. The name is a trap: `vk.objectives.MIWAE` is another paper's (*multiply* importance weighted); the bound
# here is `IWAE` with a `Masked` likelihood.
