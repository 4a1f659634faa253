# %% [markdown]
# # 04 · Anomaly scores by log p(x)
#
# Train on normal cases alone, and score new ones by how probable they are: low $\log p(x)$ is odd. Here benign tumours
# are normal, and malignant ones, which the model has never seen, are to be found.

# %%
import vaekit as vk
import keras
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler
from vaekit.layers import MLP, DiagonalNormal, Normal

table = load_breast_cancer()
normal, odd = table.data[table.target == 1], table.data[table.target == 0]
order = np.random.default_rng(0).permutation(len(normal))
train, held_out = normal[order[:257]], normal[order[257:]]
scale = StandardScaler().fit(train).transform  # by what is normal alone
train, test = scale(train), scale(np.concatenate([held_out, odd]))
is_odd = np.arange(len(test)) >= len(held_out)

keras.utils.set_random_seed(0)
encoder = keras.Sequential([MLP(64, "relu"), DiagonalNormal(6)])
decoder = keras.Sequential([MLP(64, "relu"), Normal(30, scale="pixel")])
vae = vk.VAE(encoder, decoder)
vae.compile(keras.optimizers.Adam(0.002))
vae.fit(train, epochs=100, batch_size=32, verbose=0)

estimate = vk.evaluation.log_likelihood(vae, test, samples=500, progress=False)
log_p = estimate.per_example  # [N], nats
auc = roc_auc_score(is_odd, -log_p)  # how often an odd case is below a normal one
threshold = np.quantile(log_p[~is_odd], 0.05)

# %% tags=["hide-input"] alt="Two histograms of −log p(x), on a logarithmic axis: benign cases in a peak on the left of the threshold, malignant ones widely spread, nearly all of them to the right of it."
from vaekit.course import holds
from vaekit.plotting import COLORS, Figure

found = (log_p[is_odd] < threshold).mean()
distance = roc_auc_score(is_odd, (test**2).sum(axis=1))
print(
    f"area under the ROC curve {auc:.3f}, by the distance from the mean alone {distance:.3f};"
    f" at 5 % false alarms {100 * found:.0f} % of the malignant cases are found"
)
holds(auc > distance + 0.01, 0.9 < distance, found > 0.8)
figure = Figure(figsize=(7, 3.2))
axes = figure.add_subplot()
bins = np.geomspace(1, 1e5, 50)  # log p spans four orders of magnitude
for name, chosen, color in (
    ("benign, held out", ~is_odd, COLORS[0]),
    ("malignant", is_odd, COLORS[1]),
):
    axes.hist(
        np.clip(-log_p[chosen], 1, 1e5),
        bins,
        alpha=0.7,
        color=color,
        label=name,
    )
axes.axvline(-threshold, color="black", linewidth=1, linestyle="--")
axes.set(
    xlabel="−log p(x), nats: the odder, the farther to the right",
    ylabel="cases",
    xscale="log",
)
axes.legend(frameon=False)
figure

# %% [markdown]
# **What to watch.** A density knows what is improbable, not what is strange: models of images give *plain* pictures of
# another kind a higher $\log p(x)$ than their own training data. So look at both tails, and test with anomalies
# like those you expect; these are easy, since tumours that grow have measurements that are large: compare with the
# distance from the mean, and with scikit-learn's `IsolationForest`, before you trust a network. A σ for each column that
# depends on z (`scale="pixel"`) is what makes it better here. A case a thousand standard deviations out is NaN, and refused:
# `np.clip` the columns. Use the estimate, not
# the reconstruction error: a case far from the prior may be reconstructed well. Densities depend on units, so scores
# of two models compare only on the same scaled columns. Set the threshold on normal cases held out, never on those that
# trained: here it is the lowest 5 % of them. One of the training cases that is odd itself (`log_likelihood` of them
# shows it) teaches the model that oddity is normal.
