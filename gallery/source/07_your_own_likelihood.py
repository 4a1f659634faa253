# %% [markdown]
# # 07 · A likelihood of your own
#
# Any distribution of TensorFlow Probability, or one that you write, becomes a decoder's last layer by naming its
# parameters. Here it is the continuous Bernoulli, for grey values in [0, 1]; it saves and loads, and objectives and
# priors take it like any other.

# %%
import vaekit as vk
import keras
import numpy as np
from vaekit.backend import tfd


@keras.saving.register_keras_serializable("mine")  # so that files know it
class ContinuousBernoulli(vk.layers.DistributionLayer):
    """Values in [0, 1]: p(x) ∝ λ^x (1 − λ)^(1 − x), λ = sigmoid(W h + b)."""

    parameters = ("logits",)  # linear in what comes before, shaped like x

    def distribution(self, logits):
        p = tfd.ContinuousBernoulli(logits=logits)
        return self.independent(p)  # its log-density is the sum over the pixels

    def check_values(self, x):  # refuses, before training, what it cannot explain
        if x.min() < 0 or x.max() > 1:
            received = f"received {x.min():g} to {x.max():g}."
            raise ValueError(f"Values in [0, 1], please; {received}")


digits = vk.datasets.load("digits")  # grey
keras.utils.set_random_seed(0)
encoder = keras.Sequential([vk.layers.MLP(128, "relu"), vk.layers.DiagonalNormal(12)])
decoder = keras.Sequential([vk.layers.MLP(128, "relu"), ContinuousBernoulli((8, 8, 1))])
vae = vk.VAE(encoder, decoder)
vae.compile(keras.optimizers.Adam(0.002))
vae.fit(digits.train, epochs=60, verbose=0)
terms = vae.evaluate(
    digits.test, seed=0, verbose=0
)  # nats of a density, which may be above 0
print({name: round(value, 1) for name, value in terms.items()})
try:
    vae.evaluate(16 * digits.test)
except ValueError as error:
    print(error)

# %% [markdown]
# Does it integrate to one? A test of any density of one number: features in (large ones, too, as of a trained decoder),
# a grid of values, a sum.

# %%
features = 10 * np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
x = np.linspace(0, 1, 2001, dtype="float32").reshape(-1, 1, 1)  # [values, 1, 1]
log_p = ContinuousBernoulli(1)(features).log_prob(x)  # [values, 5]
density = np.exp(keras.ops.convert_to_numpy(log_p))
area = np.trapezoid(density, x[:, 0, 0], axis=0)

# %% tags=["hide-input"] alt="Test digits above their reconstructions, grey and smooth, by the continuous Bernoulli decoder."
import tempfile

from vaekit.course import holds

with tempfile.TemporaryDirectory() as folder:
    vae.save(f"{folder}/vae.keras")
    loaded = vk.load(f"{folder}/vae.keras")
same = np.abs(loaded.reconstruct(digits.test) - vae.reconstruct(digits.test)).max()
print(
    "areas",
    np.round(area, 3),
    f"; after saving and loading reconstructions differ by {same:.1g}",
)
holds(abs(area - 1).max() < 1e-3, same < 1e-5)
vk.plotting.reconstructions(
    digits.test[:12], vae.reconstruct(digits.test[:12]), columns=12
)

# %% [markdown]
# **What to watch.** `self.independent` sums over the event; without it the log-density has a shape that vaekit refuses.
# Write positive parameters as `keras.ops.exp` or `softplus` of what the layer receives, and do all else with
# `keras.ops`, too, so that both backends run it. Whoever loads the file must import the class first; numbers and names
# that your `__init__` takes are kept in it. Nats of a density compare with those of other densities of the same values,
# not with a Bernoulli's probabilities. A density that is not normalized trains without complaint, and its bounds mean
# nothing: make the test above. Densities can rise without limit where data repeat exactly, and so it is here: half of
# all pixels are 0, and most of the bound comes from them. A bound that climbs for ever is not a good model. A
# distribution without a mean in closed form has draws alone; for an `Autoregressive` decoder mark the class
# `@vk.layers.distribution.pixelwise`.
