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
normal = np.random.default_rng(0).permutation(normal)
scale = StandardScaler().fit(normal[:200]).transform  # by what is normal alone
train, tune = scale(normal[:200]), scale(normal[200:278])
test = scale(np.concatenate([normal[278:], odd]))
is_odd = np.arange(len(test)) >= len(normal[278:])

keras.utils.set_random_seed(0)
encoder = keras.Sequential([MLP(64, "relu"), DiagonalNormal(6)])
decoder = keras.Sequential([MLP(64, "relu"), Normal(30, scale="pixel")])
vae = vk.VAE(encoder, decoder)
vae.compile(keras.optimizers.Adam(0.002))
vae.fit(train, epochs=100, batch_size=32, verbose=0)


def score(x):  # log p(x) of each case, [N], nats
    estimate = vk.evaluation.log_likelihood(vae, x, samples=500, progress=False)
    return estimate.per_example


log_p = score(test)
auc = roc_auc_score(is_odd, -log_p)  # how often an odd case is below a normal one
threshold = np.quantile(score(tune), 0.05)  # by normal cases that are not counted

# %% tags=["hide-input"] alt="Two histograms of −log p(x), on a logarithmic axis: benign cases in a peak on the left of the threshold, malignant ones widely spread, nine in ten of them to the right of it."
from vaekit.course import holds
from vaekit.plotting import COLORS, Figure

found, alarms = ((log_p < threshold)[part].mean() for part in (is_odd, ~is_odd))
distance = roc_auc_score(is_odd, (test**2).sum(axis=1))
print(f"{(~is_odd).sum()} benign cases, held out, and {is_odd.sum()} malignant ones")
print(
    f"area under the ROC curve {auc:.3f}; by the distance from the mean alone {distance:.3f}"
)
print(
    f"below the threshold: {100 * found:.0f} % of the malignant, {100 * alarms:.0f} % of the benign"
)
holds(auc > distance, 0.9 < distance, found > 0.8, alarms < 0.2)
figure = Figure(figsize=(7, 3.2))
axes = figure.add_subplot()
bins = np.geomspace(1, 1e5, 50)  # −log p spans some orders of magnitude
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
axes.axvline(-threshold, color="black", linewidth=1, linestyle="--", label="threshold")
axes.set(
    xlabel="−log p(x), nats (beyond the edges: in the last bar)",
    ylabel="cases",
    xscale="log",
)
axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
figure

# %% [markdown]
# **What to watch.** A density knows what is improbable, not what is strange: models of images give *plain* pictures of
# another kind a higher $\log p(x)$ than their own training data. So look at both tails, and test with anomalies like
# those you expect; these are easy, since tumours that grow have measurements that are large: compare with the distance
# from the mean, and with scikit-learn's `IsolationForest`, before you trust a network. Every column has a σ that
# depends on z (`scale="pixel"`); try `"shared"`, too. A case a thousand standard deviations out is NaN, and refused:
# `np.clip` the columns. Use the estimate, not the reconstruction error: a case far from the prior may be reconstructed
# well. (For cases far out the estimate is too low, since no sample of q hits well: it ranks them, and does not measure
# them.) Densities depend on units, so scores of two models compare only on the same scaled columns. Set the threshold
# on normal cases that neither train nor are counted: here on 78, of which it leaves out 5 %, four cases, so the rate of
# false alarms among others is not known well. One of the training cases that is odd itself (`log_likelihood` of them
# shows it) teaches the model that oddity is normal.
