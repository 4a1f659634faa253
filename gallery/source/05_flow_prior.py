# %% [markdown]
# # 05 · A flow as a prior
#
# The codes of all data together are seldom a standard normal cloud, and a prior that says so wastes probability where no
# code lies. `RealNVP`, a chain of invertible layers, learns where they are, in one line.

# %%
import vaekit as vk
import keras
import numpy as np
from vaekit.layers import MLP, Bernoulli, DiagonalNormal

digits = vk.datasets.load("dynamic_digits")  # 8×8, black and white
priors = {"standard normal": None, "flow": vk.priors.RealNVP(couplings=4, units=32)}
models, log_p = {}, {}
for name, prior in priors.items():
    keras.utils.set_random_seed(0)
    encoder = keras.Sequential([MLP([64, 64], "relu"), DiagonalNormal(2)])
    decoder = Bernoulli((8, 8, 1))  # linear: it cannot bend the plane
    models[name] = vae = vk.VAE(encoder, decoder, prior)
    vae.compile(keras.optimizers.Adam(0.003))
    vae.fit(digits.train, epochs=70, verbose=0)
    log_p[name] = vk.evaluation.log_likelihood(vae, digits.test, 200, progress=False)

# %% tags=["hide-input"] alt="Two maps of a two-dimensional code, with the codes of the data as points. Left, the standard normal prior, round, lies beside half of the cloud; right, the flow covers a bent cloud."
from vaekit.course import holds
from vaekit.plotting import Figure

gain = log_p["flow"].mean - log_p["standard normal"].mean
for name, estimate in log_p.items():
    print(
        f"{name:16s}log p(x) = {estimate.mean:.2f} ± {estimate.standard_error:.2f} nats"
    )
holds(gain > 0.7)
figure = Figure(figsize=(8, 4))
for axes, (name, vae) in zip(figure.subplots(1, 2), models.items(), strict=True):
    codes = vae.encode(digits.train, mean=False, seed=0)
    middle, reach = (
        np.median(codes, axis=0),
        1.2 * np.abs(codes - np.median(codes, axis=0)).max(),
    )
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
figure

# %% [markdown]
# **What to watch.** The flow starts as the standard normal, so it costs nothing at first, and its gain comes late: compare
# after training to the end. With it z has no scale of its own: the two windows differ. Without a closed form, the KL is estimated by samples (the default; `analytic_kl=True` is
# refused, and says what to do). z needs two numbers at least, since half of them steer the rest. What maps a cloud
# onto islands continuously leaves bridges between them; a mixture (`vk.priors.VampPrior`, lesson 06) does not. A prior
# that follows the codes can also learn them by heart: the figures above are of test data. Draws come from
# `vae.sample` as ever.
