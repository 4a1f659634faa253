# %% [markdown]
# # 05 · A flow as a prior
#
# The codes of all data together are seldom a standard normal cloud, and a prior that says so wastes probability where
# no code lies. `RealNVP`, a chain of invertible layers, learns where they are, in one line.

# %%
import vaekit as vk
import keras
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler
from vaekit.layers import MLP, DiagonalNormal, Normal

x = np.random.default_rng(0).permutation(load_breast_cancer().data)  # [569, 30]
scale = StandardScaler().fit(x[:400]).transform
train, test = scale(x[:400]), scale(x[400:])
priors = {"standard normal": None, "flow": vk.priors.RealNVP(couplings=4, units=32)}
models, log_p = {}, {}
for name, prior in priors.items():
    keras.utils.set_random_seed(0)
    encoder = keras.Sequential([MLP([64, 64], "relu"), DiagonalNormal(2)])
    decoder = Normal(30, scale="shared")  # linear: it cannot bend the plane
    models[name] = vae = vk.VAE(encoder, decoder, prior)
    vae.compile(keras.optimizers.Adam(0.003))
    vae.fit(train, epochs=150, verbose=0)
    log_p[name] = vk.evaluation.log_likelihood(vae, test, 200, progress=False)

# %% tags=["hide-input"] alt="Two maps of a two-dimensional code, with the codes of the data as points. Left, the standard normal prior is round, and codes straggle beyond it; right, the flow is dense where codes crowd, and fans out as they do."
from vaekit.course import holds
from vaekit.plotting import Figure

gains = log_p["flow"].per_example - log_p["standard normal"].per_example
error = gains.std() / len(gains) ** 0.5
for name, estimate in log_p.items():
    print(f"{name:16s}log p(x) = {estimate.mean:.2f} nats")
print(
    f"the same {len(test)} test cases gain {gains.mean():.2f} ± {error:.2f} nats by the flow"
)
print("(± standard error over cases; one training of each)")
holds(gains.mean() > 0.3, gains.mean() > 3 * error)
figure = Figure(figsize=(8, 4))
for axes, (name, vae) in zip(figure.subplots(1, 2), models.items(), strict=True):
    codes = vae.encode(train, mean=False, seed=0)
    middle = np.median(codes, axis=0)
    reach = 1.3 * np.quantile(np.abs(codes - middle).max(axis=1), 0.98)
    z = vk.plotting.latent_grid((-1, 1), 150) * reach + middle
    density = np.exp(
        keras.ops.convert_to_numpy(
            vae.prior.distribution().log_prob(z.astype("float32"))
        )
    )
    window = np.ravel([middle - reach, middle + reach], order="F")
    axes.imshow(
        density.reshape(150, 150) ** 0.5, cmap="Blues", origin="lower", extent=window
    )
    axes.plot(*codes.T, ".", color="black", markersize=1.5)
    axes.set(title=name, xlabel="$z_1$", ylabel="$z_2$")
    axes.set(xlim=window[:2], ylim=window[2:])
figure

# %% [markdown]
# Points are codes of the training data, drawn from q, one for each; blue is the density of the prior (its square root,
# so that tails show).
#
# **What to watch.** The flow starts as the standard normal, so it costs nothing at first. Compare on test data, since a
# prior that follows the codes can learn them by heart. Compare case by case, since cases differ more than models do.
# And compare after training to the end: early on a flow may be ahead only because it learns faster. A decoder that
# bends the plane itself leaves less to gain. With a flow z has no scale of its own: the two windows differ. Without a
# closed form, the KL is estimated by samples (the default; `analytic_kl=True` is refused, and says what to do). z needs
# two numbers at least, since half of them steer the rest. What maps a cloud onto islands continuously leaves bridges
# between them; a mixture (`vk.priors.VampPrior`, [lesson 06](../lessons/06_vampprior.ipynb)) does not. Draws come from
# `vae.sample` as ever.
