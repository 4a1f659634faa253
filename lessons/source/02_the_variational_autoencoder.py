# %% [markdown]
# # 02 · The variational autoencoder
#
# A handwritten digit is a few hundred pixels, but nobody thinks of a few hundred things when writing one. A
# *variational autoencoder* assumes that there were only a few: a short code $z$, from which the image $x$ was made.
# It learns to make images from codes, and to guess the code of an image, both at once. This lesson builds one from a
# blank page, and ends at the experiments of [the paper](https://arxiv.org/abs/1312.6114) that introduced it.
#
# **After it, you will be able to**
#
# - say why $\log p_\theta(x)$ cannot be had by sampling codes at random, and derive the bound that is used instead;
# - write a VAE in thirty lines of Keras, and in four of vaekit, and show that the two are the same;
# - look at a posterior, and tell apart the reasons why the bound is not tight;
# - recognize from a picture or a number three mistakes that published VAEs have made.
#
# **You need** lesson 01, in particular $z = \mu + \sigma \odot \varepsilon$, and some Keras.
# **It takes** about an hour and a half of yours, and five to eight minutes of a laptop's CPU.

# %%
# # %pip install vaekit
import vaekit as vk  # first: it keeps the backend's start-up messages out of the notebook
from vaekit.course import binary_images, epochs
from vaekit.course.quiz import Quiz
from vaekit.course.show import explore

quiz = Quiz("02")

import ipywidgets
import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers, ops
from scipy.special import logsumexp, xlogy
from scipy.stats import norm

from vaekit.backend import tfd, value_and_gradient
from vaekit.batches import Batches, DynamicBinarization
from vaekit.papers import kingma2013 as paper
from vaekit.plotting import COLORS, Figure

BLUE, ORANGE, RED, GREY = COLORS[:4]
plt.rcParams.update({"figure.dpi": 80, "figure.constrained_layout.use": True, "axes.spines.top": False})
plt.rcParams.update({"axes.spines.right": False, "legend.frameon": False, "axes.titlesize": "medium"})
keras.utils.set_random_seed(2)  # Keras draws initial weights from its own random state

# %%
images = binary_images()
D = int(np.prod(images.event_shape))
some = images.train[:20_000]
print(images)


def passes(number):
    """Epochs to train: ten times as many of the small digits, which are forty times fewer."""
    return epochs(number if len(images.train) > 10_000 else 10 * number)


vk.plotting.image_grid(images.test[:20], columns=10)

# %% [markdown]
# Pixels are black or white. The data are grey; a pixel of grey value 0.7 is drawn white with probability 0.7, and in
# training it is drawn anew in every epoch, while the test images are drawn once. (Numbers in the text below are those
# of MNIST. Without its files the lesson runs on smaller digits, and then you will see others.)

# %% [markdown]
# ## What we want
#
# The story of an image, as the model tells it:
#
# $$z \sim p(z) = \mathcal N(0, I), \qquad x \sim p_\theta(x|z) = \prod_{d=1}^D y_d^{x_d} (1 - y_d)^{1 - x_d},
# \qquad y = \mathrm{decoder}_\theta(z).$$
#
# A code is drawn from the **prior**; a network, the **decoder**, turns it into a probability of white for each pixel;
# each pixel flips its own coin. The weights $\theta$ are good if the images that we have are probable, that is, if
# $\log p_\theta(x)$ is high, with
#
# $$p_\theta(x) = \int p(z)\, p_\theta(x|z)\, \mathrm dz = \mathbb E_{p(z)}\big[p_\theta(x|z)\big].$$
#
# All codes could have made $x$, so all have to be asked.
#
# Logarithms here are natural, and their unit is the **nat**. To get a feeling for it, take two models that have no
# codes at all. Fair coins give each pixel $\log\frac12$. Biased coins know how often each pixel is white.

# %%
test = np.asarray(images.test)
white = np.clip(images.train.probabilities.mean(axis=0), 1e-4, 1 - 1e-4)  # [H, W, 1]
coins = D * np.log(0.5)
biased = np.mean(np.sum(test * np.log(white) + (1 - test) * np.log(1 - white), axis=(1, 2, 3)))
print(f"fair coins:   log p(x) = {coins:7.1f} nats\nbiased coins: log p(x) = {biased:7.1f} nats")
assert coins < biased

# %% [markdown]
# A nat more makes every image $e \approx 2.7$ times as probable. Knowing the pixels' averages is worth a few hundred
# nats. A good VAE on MNIST reaches about $-85$: to it, a real digit is $e^{120}$ times as probable as to the biased
# coins.
#
# ## Why it is hard
#
# Suppose that somebody lends you a decoder. (How it was trained is the subject of this lesson; do not read the code
# too closely yet.) It has 40 latents. To find $p_\theta(x)$ for an image, an expectation under the prior, do what
# one does with expectations: draw codes from the prior and average $p_\theta(x|z)$.

# %%
LATENTS = 40


def networks(latents=LATENTS, hidden=200):
    encoder = keras.Sequential([vk.layers.MLP(hidden), vk.layers.DiagonalNormal(latents)])
    decoder = keras.Sequential([vk.layers.MLP(hidden), vk.layers.Bernoulli(images.event_shape)])
    return encoder, decoder


encoder, decoder = networks()
vae = vk.VAE(encoder, decoder, seed=0)
vae.compile("adam", objective=vk.objectives.ELBO(analytic_kl=True))
history = vae.fit(some, validation_data=images.test, epochs=passes(10), verbose=0)

# %%
quiz.ask("prior")


# %%
def log_likelihoods(model, x, z):
    """log p(x|z) of every image at every code, [N, M], for Bernoulli pixels."""
    x = np.asarray(x).reshape(len(x), -1)
    parts = []
    for start in range(0, len(z), 10_000):
        logits = ops.convert_to_numpy(model.likelihood(z[start : start + 10_000]).distribution.logits_parameter())
        logits = logits.reshape(len(logits), -1)
        parts.append(x @ logits.T - np.logaddexp(0, logits).sum(axis=1))  # x·a − Σ log(1 + eᵃ)
    return np.concatenate(parts, axis=1)


x = test[:1]
rng = np.random.default_rng(1)
repeats = 5
codes = rng.standard_normal((repeats * 100_000, LATENTS)).astype("float32")
log_p_x_given_z = log_likelihoods(vae, x, codes)[0]
running = np.logaddexp.accumulate(log_p_x_given_z.reshape(repeats, -1), axis=1) - np.log(np.arange(1, 100_001))
truth = vk.evaluation.log_likelihood(vae, x, samples=5000, progress=False)

figure, axis = plt.subplots(figsize=(8, 3.4))
counts = np.unique(np.geomspace(1, 100_000, 200).astype(int))
for course in running:
    axis.semilogx(counts, course[counts - 1], color=BLUE, linewidth=1)
axis.axhline(truth.mean, color="black", linestyle="--", linewidth=1)
axis.text(1.5, truth.mean + 4, "what it should be")
axis.set(xlabel="codes drawn from the prior", ylabel="estimate of log p(x), nats")
axis.set_ylim(np.median(running[:, 9]) - 20, truth.mean + 20)
axis.set_title("five attempts to average p(x|z) over the prior")
plt.show()
shares = np.exp(log_p_x_given_z[:100_000] - log_p_x_given_z[:100_000].max())
print(f"100,000 codes: {running[:, -1].min():.1f} to {running[:, -1].max():.1f} nats; should be {truth.mean:.1f}")
print(f"the best code alone contributes {1 / shares.sum():.0%} of the first attempt's average")

# %%
quiz.discuss("prior")

# %% [markdown]
# The dashed line comes from a method that we shall meet further down. After a hundred thousand codes each attempt still
# lies many nats below it. The curves climb in jumps: one code that is better than all before it, then a long wait for
# the next. What there is of an average is carried by a handful of codes, or by one. The average itself is unbiased: it
# estimates $p_\theta(x)$ rightly *in the mean*, because once in a very long while an attempt hits the right codes, and
# its result is then enormous. Every other attempt, and nearly every logarithm, is too low. What do those codes look
# like?

# %%
order = np.argsort(log_p_x_given_z)[::-1]
own = vae.posterior(x).sample(seed=vk.backend.seed(3))
shown = np.concatenate([codes[:4], codes[order[:1]], own])
log_p = log_likelihoods(vae, x, shown)[0]
titles = [f"{value:.0f}" for value in log_p]
titles[4], titles[5] = f"best: {titles[4]}", f"encoder: {titles[5]}"
vk.plotting.image_grid(np.concatenate([x, vae.decode(shown)]), columns=7, titles=["x", *titles])

# %% [markdown]
# Left the image, then four codes drawn from the prior, each with its $\log p_\theta(x|z)$: something else, or nothing
# at all (this model is young). Then the best of half a million. The last one was not drawn from the prior but
# proposed by an *encoder* that looked at $x$: a single draw, and some twenty nats better than the best of half a
# million.
#
# That is the whole idea. Most codes are irrelevant to a given $x$. Which are relevant is said by the **posterior**
# $p_\theta(z|x) = p(z)\,p_\theta(x|z) / p_\theta(x)$, and its denominator is just what we do not have. So let us
# guess: a second network, the **encoder**, gives a distribution $q_\varphi(z|x)$ meant to be close to the posterior,
# and we draw codes from *it*. What has to be paid for drawing from the wrong distribution?

# %% [markdown]
# ## The bound, derived twice
#
# **By Jensen's inequality.** Multiply and divide by $q_\varphi(z|x)$ inside of the integral:
#
# $$\log p_\theta(x) = \log \int q_\varphi(z|x)\, \frac{p(z)\,p_\theta(x|z)}{q_\varphi(z|x)}\, \mathrm dz
# = \log\, \mathbb E_{q_\varphi(z|x)}\!\left[\frac{p(z)\,p_\theta(x|z)}{q_\varphi(z|x)}\right]
# \ge \mathbb E_{q_\varphi(z|x)}\!\left[\log\frac{p(z)\,p_\theta(x|z)}{q_\varphi(z|x)}\right]
# =: \mathcal L(\theta, \varphi; x).$$
#
# The logarithm is concave, so the log of a mean is at least the mean of the logs. $\mathcal L$ is the **evidence lower
# bound**, ELBO. It is an expectation under $q_\varphi$ of something that we can compute at every $z$. But Jensen does
# not say how much we lose.
#
# **By Bayes' rule.** For every $z$, $p_\theta(x) = p(z)\,p_\theta(x|z) / p_\theta(z|x)$. Take logarithms, add and
# subtract $\log q_\varphi(z|x)$:
#
# $$\log p_\theta(x) = \log\frac{p(z)\,p_\theta(x|z)}{q_\varphi(z|x)} + \log\frac{q_\varphi(z|x)}{p_\theta(z|x)}.$$
#
# The left side does not depend on $z$. Average the right side over $z \sim q_\varphi(z|x)$:
#
# $$\log p_\theta(x) = \mathcal L(\theta, \varphi; x) + \mathrm{KL}\big(q_\varphi(z|x)\,\|\,p_\theta(z|x)\big).$$
#
# An equation this time. The price for a wrong $q_\varphi$ is its Kullback–Leibler divergence from the true posterior,
# which is never negative, and zero only if the two agree. Raising $\mathcal L$ therefore does two good things: with
# $\varphi$ it moves the encoder towards the posterior; with $\theta$ it raises $\log p_\theta(x)$, or makes the
# posterior easier for the encoder to match.
#
# **What it consists of.** Split the logarithm in $\mathcal L$ the other way:
#
# $$\mathcal L(\theta, \varphi; x)
# = \underbrace{\mathbb E_{q_\varphi(z|x)}\big[\log p_\theta(x|z)\big]}_{\text{reconstruction}}
# \;-\; \underbrace{\mathrm{KL}\big(q_\varphi(z|x)\,\|\,p(z)\big)}_{\text{what the code tells about }x}.$$
#
# Both are in nats, and both are sums, over pixels and over latents. The first says how well $x$ can be made again from
# its code. The second is what the code costs: as $e^{-\mathrm{KL}}$ it is roughly the share of the prior's codes that
# are as good as those of $q_\varphi(z|x)$. Mind the two different KL divergences: this one, from the prior, is a term
# *of* the bound, and large; the one from the posterior is the *gap* of the bound, and should be small.

# %%
terms = vae.evaluate(images.test, verbose=0, seed=0)
for name in ("reconstruction", "kl", "bound"):
    print(f"{name:15s}{terms[name]:8.1f} nats")
print(f"codes to draw from the prior until one fits: about e^{terms['kl']:.0f} = {np.exp(terms['kl']):.0e}")
assert np.isclose(terms["bound"], terms["reconstruction"] - terms["kl"], atol=0.01)

# %% [markdown]
# This explains the failure above. The borrowed model needs more than 25 nats to single out the codes of an image, so
# that only one code in hundreds of billions is any use. Against that, a hundred thousand is nothing. (If you are on the
# small digits, your attempts have succeeded. Their codes hold about 5 nats, and one code in 150 is good enough.)
#
# For a normal $q_\varphi(z|x) = \mathcal N(\mu, \mathrm{diag}\,\sigma^2)$ and the standard normal prior, the KL
# divergence is a formula (the paper's appendix B):
#
# $$\mathrm{KL}\big(q_\varphi(z|x)\,\|\,p(z)\big)
# = \tfrac12 \sum_{j} \big(\mu_j^2 + \sigma_j^2 - 1 - \log\sigma_j^2\big).$$
#
# The reconstruction is not, so we draw from $q_\varphi$, with $z = \mu + \sigma\odot\varepsilon$ to let gradients
# through. One $z$ an image is enough.

# %% [markdown]
# ## By hand
#
# That is all it takes. The following class is plain Keras; its comments are the formulas above. With logits $a$, so
# that $y = \mathrm{sigmoid}(a)$, a Bernoulli pixel has
# $\log p(x_d|z) = x_d a_d - \log(1 + e^{a_d})$, which never takes the logarithm of a rounded zero.


# %%
class PlainVAE(keras.Model):
    """A VAE for images of 0 and 1, flattened: [B, D]."""

    def __init__(self, pixels=D, latents=LATENTS, hidden=200):
        super().__init__()
        self.latents = latents
        self.encoder_hidden, self.decoder_hidden = layers.Dense(hidden, "tanh"), layers.Dense(hidden, "tanh")
        self.mean, self.log_variance = layers.Dense(latents), layers.Dense(latents)
        self.logits = layers.Dense(pixels)
        self.noise = keras.random.SeedGenerator(0)

    def encode(self, x):  # q(z|x) = N(μ, diag σ²)
        h = self.encoder_hidden(x)
        return self.mean(h), self.log_variance(h)

    def decode(self, z):  # p(x|z) = Bernoulli(sigmoid(a))
        return self.logits(self.decoder_hidden(z))

    def terms(self, x, epsilon):
        mean, log_variance = self.encode(x)
        z = mean + ops.exp(log_variance / 2) * epsilon  # z = μ + σ ⊙ ε, [B, latents]
        a = self.decode(z)  # [B, D]
        reconstruction = ops.sum(x * a - ops.softplus(a), axis=1)  # log p(x|z), summed over pixels
        kl = ops.sum(ops.square(mean) + ops.exp(log_variance) - 1 - log_variance, axis=1) / 2  # summed over latents
        return reconstruction, kl  # each [B], in nats

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        epsilon = keras.random.normal((ops.shape(x)[0], self.latents), seed=self.noise)
        reconstruction, kl = self.terms(x, epsilon)
        return -ops.mean(reconstruction - kl)  # −L, mean over the batch

    def call(self, x):
        return ops.sigmoid(self.decode(self.encode(x)[0]))


def flat(x):
    """The same images, flattened, [N, D]; drawn anew in every epoch if they were."""
    if isinstance(x, DynamicBinarization):
        return DynamicBinarization(x.probabilities.reshape(len(x), -1))
    return np.asarray(x, "float32").reshape(len(x), -1)


def train(model, x, number, **options):
    """Trains with Adam, in an order that does not depend on anything else, and returns the history."""
    model.compile("adam", jit_compile=vk.backend.prefers_jit())
    return model.fit(Batches(flat(x), 100, seed=1), epochs=passes(number), verbose=0, shuffle=False, **options)


plain = PlainVAE()
plain_history = train(plain, some, 10, validation_data=Batches(flat(images.test), 100, shuffle=False))
plain_bound = -plain_history.history["val_loss"][-1]
print(f"bound on test images: {plain_bound:.1f} nats, biased coins: {biased:.1f}")
assert epochs(1, 0) == 0 or plain_bound > biased

# %% [markdown]
# A network of a few Keras layers and a loss of three lines, trained for seconds, and the biased coins are left nearly
# ninety nats behind.
#
# ## The same with vaekit
#
# Now read again the cell that made the borrowed decoder. It is the same model, of four parts: an encoder network that
# ends in a distribution, a decoder network that ends in a distribution, `vk.VAE` that pairs them, and an objective.
# Nothing of it is hidden from you any more. Are they really the same, though, and not just similar? We copy the
# weights of one into the other, work out which $\varepsilon$ vaekit has drawn, and hand it to our own lines.

# %% tags=["nbval-check-output"]
twin = PlainVAE()
twin(flat(images.test[:1]))  # builds it
dense = [
    (twin.encoder_hidden, encoder.layers[0].hidden[0]),
    (twin.mean, encoder.layers[1].heads["mean"]),
    (twin.log_variance, encoder.layers[1].heads["log_variance"]),
    (twin.decoder_hidden, decoder.layers[0].hidden[0]),
    (twin.logits, decoder.layers[1].heads["logits"]),
]
for mine, other in dense:
    mine.set_weights(other.get_weights())

x = images.test[:50]
trace = vae.trace(x, samples=1, seed=4)  # z ~ q(z|x), and all log-densities at it
q, z = trace.q["z"], trace.values["z"][0]
reconstruction, kl = twin.terms(flat(x), (z - q.mean()) / q.stddev())


def equal(a, b):
    return np.allclose(ops.convert_to_numpy(a), ops.convert_to_numpy(b), rtol=1e-4, atol=1e-3)


mean, log_variance = twin.encode(flat(x))
by_hand_log_q = -0.5 * ops.sum(np.log(2 * np.pi) + log_variance + (z - mean) ** 2 / ops.exp(log_variance), axis=1)
print("log p(x|z) equal:", equal(reconstruction, trace.log_p["x"][0]))
print("log q(z|x) equal:", equal(by_hand_log_q, trace.log_q["z"][0]))
print("KL         equal:", equal(kl, tfd.kl_divergence(q, trace.p["z"])))

# %%
print(f"after equal training: by hand {plain_bound:.1f}, vaekit {history.history['val_bound'][-1]:.1f} nats")
assert epochs(1, 0) == 0 or abs(plain_bound - history.history["val_bound"][-1]) < 3
vk.plotting.training_curves(history)

# %% [markdown]
# Same weights and same noise give the same terms; same training gives about the same bound (the two started from
# different random weights). The curves show how training goes: the KL *rises*, although it is a cost. The model buys
# information about $x$ as long as a nat of code saves more than a nat of pixels. (Validation is ahead of training,
# since Keras averages training over an epoch in which the weights still improve.)
#
# From here on we use vaekit, where a change of posterior, prior or objective is a change of one line.

# %% [markdown]
# ## Two estimators
#
# The paper estimates $\mathcal L$ in two ways from a draw $z \sim q_\varphi(z|x)$. **Estimator A** uses the draw for
# everything, **estimator B** uses it where it must:
#
# $$\widehat{\mathcal L}^A = \log p_\theta(x|z) + \log p(z) - \log q_\varphi(z|x), \qquad
# \widehat{\mathcal L}^B = \log p_\theta(x|z) - \mathrm{KL}\big(q_\varphi(z|x)\,\|\,p(z)\big).$$
#
# Both are unbiased. A works for every prior and posterior, B needs a formula for the KL divergence. Which is less
# noisy? The paper says that B "will typically have less variance".

# %%
quiz.ask("estimators")


# %%
def spread(model, x, samples=100):
    """Variances over single draws of z, [B, latents] or [B]: of the estimate, of its gradients for μ and for log σ²."""
    q = model.posterior(x)
    mean, scale = ops.convert_to_numpy(q.mean()), ops.convert_to_numpy(q.stddev())
    # each draw gets its own copy of μ and log σ², so that each draw has its own gradient (lesson 01)
    copies = [np.tile(value, (samples, 1)) for value in (mean, 2 * np.log(scale))]  # [S·B, latents]
    epsilon = np.random.default_rng(5).standard_normal(copies[0].shape).astype("float32")
    x = ops.convert_to_tensor(np.tile(x, (samples, 1, 1, 1)))

    def estimate(kind, mean, log_variance):
        z = mean + ops.exp(log_variance / 2) * epsilon
        if kind == "A":
            log_prior = -0.5 * ops.sum(z**2, axis=1)
            log_q = -0.5 * ops.sum(log_variance + (z - mean) ** 2 / ops.exp(log_variance), axis=1)
            kl = log_q - log_prior  # the constants log 2π cancel
        else:
            kl = ops.sum(mean**2 + ops.exp(log_variance) - 1 - log_variance, axis=1) / 2
        return model.likelihood(z).log_prob(x) - kl

    result = {}
    for kind in ("A", "B"):
        value = estimate(kind, *copies)
        _, gradients = value_and_gradient(lambda *p, kind=kind: ops.sum(estimate(kind, *p)), *copies)
        arrays = [ops.convert_to_numpy(a) for a in (value, *gradients)]
        result[kind] = [a.reshape(samples, -1, *a.shape[1:]).var(axis=0, ddof=1) for a in arrays]
    return result, scale**2


keras.utils.set_random_seed(3)
early = vk.VAE(*networks(), seed=1)
early.compile("adam", objective=vk.objectives.ELBO(analytic_kl=True))
spreads = {"untrained": spread(early, test[:50])}
early.fit(some[:3000], epochs=1, verbose=0)
spreads["after 30 steps"] = spread(early, test[:50])
spreads["trained"] = spread(vae, test[:50])
print("standard deviation of one draw      bound     ∂/∂μ   ∂/∂log σ²")
for name, (by_kind, _) in spreads.items():
    for kind, (value, for_mean, for_scale) in by_kind.items():
        deviation = [np.sqrt(v.reshape(len(v), -1).sum(axis=1).mean()) for v in (value, for_mean, for_scale)]
        print(f"{name:15s} estimator {kind}    " + "  ".join(f"{d:8.2f}" for d in deviation))

# %%
quiz.discuss("estimators")

# %% [markdown]
# Compare two rows at a time. At the beginning B is quieter in everything, and its gradients are so by far. That changes
# within a few steps. In the trained model the *gradients* of B are still quieter, but hardly, and the *value* of the
# bound is now more precise with A. Both have a reason.
#
# If $q_\varphi(z|x)$ were the true posterior, then
# $\widehat{\mathcal L}^A = \log\frac{p(z)\,p_\theta(x|z)}{q_\varphi(z|x)} = \log p_\theta(x)$ for *every* draw: no
# noise at all. The fluctuations of the terms cancel, and B, which replaces one of them by its mean, spoils that. The
# better the encoder, the more so.
#
# For the gradient, look at one latent near such an optimum, with standard deviation $\sigma$ under the posterior. To
# second order $\log p_\theta(x|z)$ is a parabola in $z$ of curvature $1/\sigma^2 - 1$ (the prior adds the missing 1).
# The gradient for $\mu$ then fluctuates by $\varepsilon/\sigma$ with A, and by $(1/\sigma - \sigma)\,\varepsilon$
# with B. The ratio of the variances is $1/(1-\sigma^2)^2$. For a latent which the model uses, $\sigma$ is small, and A
# or B makes no difference. For one that it does not use, $\sigma \approx 1$: B *knows* that nothing is to be learned
# there, while A keeps on shaking it. (In an untrained model this is true of every latent.) The formula can be tested:
# each point is one latent of one image.

# %%
by_kind, variance = spreads["trained"]
ratio = by_kind["A"][1] / by_kind["B"][1]  # of the gradient for μ, [B, latents]
figure, axis = plt.subplots(figsize=(7, 3.6))
axis.loglog(variance.ravel(), ratio.ravel(), ".", color=BLUE, markersize=3, label="measured")
line = np.geomspace(variance.min(), 0.9, 200)
axis.loglog(line, 1 / (1 - line) ** 2, color="black", linewidth=1, label=r"$1/(1 - \sigma^2)^2$")
axis.set(xlabel="σ², variance of this latent under q(z|x)", ylabel="variance A / variance B, ∂/∂μ")
axis.set_ylim(0.7, 100)
axis.legend()
plt.show()
assert np.median(ratio) > 0.9

# %% [markdown]
# Latents in use lie on the left, and follow the curve. Those not in use, on the right, gain a factor of ten to twenty,
# less than the curve promises: the decoder is no parabola, and has not quite unlearned to listen to them. In
# practice: **train with B where you can**, for its quieter gradients, but do not expect miracles of it; to *measure* a
# bound, A is often the more precise. The paper's "typically" was well chosen.

# %% [markdown]
# ## Two latents: a posterior one can see
#
# With two latents everything can be looked at. We train a model, encode the test images, and colour them by their
# digit (which the model has never seen).

# %%
keras.utils.set_random_seed(4)
small = vk.VAE(*networks(latents=2, hidden=300), seed=2)
small.compile(keras.optimizers.Adam(0.002), objective=vk.objectives.ELBO(analytic_kl=True))
small.fit(some, epochs=passes(20), verbose=0)

figure = Figure(figsize=(10, 4.4))
left, right = figure.subplots(1, 2)
vk.plotting.latent_scatter(small.encode(images.test[:2000]), images.labels.test[:2000], axes=left)
vk.plotting.manifold(small.decode, n=18, axes=right)
left.set_title("posterior means of test images")
right.set_title("decoded codes")
figure

# %% [markdown]
# On the left, digits that look alike lie side by side. On the right, the opposite direction: a grid of codes, each
# decoded. The grid is not even in $z$: its lines are $z = \Phi^{-1}(u)$ for evenly spaced $u$ in $(0, 1)$, with
# the normal distribution function $\Phi$ (recipe 1 of lesson 01), so that each picture stands for the same share
# of the prior. This is the paper's figure 4. Between two digits there is a continuous change of one into the other,
# also where it passes through shapes that are no digit at all.
#
# Move over it yourself:


# %%
background = small.encode(images.test[:2000])


def look(u1, u2):
    z = norm.ppf([[u1, u2]]).astype("float32")
    figure = Figure(figsize=(7, 3))
    left, right = figure.subplots(1, 2, width_ratios=(1.3, 1))
    left.scatter(*background.T, s=3, color="0.8")
    left.plot(*z[0], "o", color=RED)
    left.set(xlabel="$z_1$", ylabel="$z_2$", xlim=(-4, 4), ylim=(-4, 4))
    right.imshow(small.decode(z)[0, :, :, 0], cmap="gray", vmin=0, vmax=1)
    right.set(xticks=[], yticks=[], title=f"z = ({z[0, 0]:.2f}, {z[0, 1]:.2f})")
    return figure


share = {"min": 0.02, "max": 0.98, "step": 0.02, "continuous_update": False}
explore(
    look,
    u1=ipywidgets.FloatSlider(0.3, description="Φ(z₁)", **share),
    u2=ipywidgets.FloatSlider(0.6, description="Φ(z₂)", **share),
)

# %% [markdown]
# Now for the posterior. In two dimensions the integral that we could not do is a sum over a grid:
#
# $$p_\theta(x) \approx \sum_{i} p(z_i)\,p_\theta(x|z_i)\,\Delta z, \qquad
# p_\theta(z_i|x) = \frac{p(z_i)\,p_\theta(x|z_i)}{p_\theta(x)}.$$
#
# With a spacing of 0.03, finer than any posterior here, that is exact for our purposes.

# %%
quiz.ask("posterior")

# %%
limit, points = 4.5, 300
grid = vk.plotting.latent_grid((-limit, limit), points)
log_area = 2 * np.log(2 * limit / (points - 1))

x = test[:100]
log_joint = log_likelihoods(small, x, grid) + norm.logpdf(grid).sum(axis=1)  # log p(x, z), [N, M]
log_p = logsumexp(log_joint, axis=1) + log_area  # log p(x), [N]
log_posterior = log_joint - log_p[:, None]
q = small.posterior(x)
mean, scale = ops.convert_to_numpy(q.mean()), ops.convert_to_numpy(q.stddev())
log_q = sum(norm.logpdf(grid[:, d], mean[:, d, None], scale[:, d, None]) for d in range(2))  # log q(z|x), [N, M]
gap = np.sum(np.exp(log_q) * (log_q - log_posterior), axis=1) * np.exp(log_area)  # KL(q(z|x) ‖ p(z|x)), [N]

order = np.argsort(gap)
chosen = order[[10, 50, 80, 90, 96, 99]]  # from a small gap to the largest
figure = Figure(figsize=(10, 6.4))
for axis, i in zip(figure.subplots(2, 3).ravel(), chosen, strict=True):
    weight = np.exp(log_posterior[i] - log_posterior[i].max())
    weight /= weight.sum()
    center = weight @ grid
    spread_p = np.sqrt(weight @ (grid - center) ** 2)
    reach = np.abs(center - mean[i]).max() / 2 + 4 * max(spread_p.max(), scale[i].max())
    limits = tuple((c - reach, c + reach) for c in (center + mean[i]) / 2)
    fine = vk.plotting.latent_grid(limits, 120)
    densities = {
        "p(z|x)": log_likelihoods(small, x[i : i + 1], fine)[0] + norm.logpdf(fine).sum(axis=1),
        "q(z|x)": norm.logpdf(fine, mean[i], scale[i]).sum(axis=1),
    }
    vk.plotting.posterior_contours(densities, limits, 120, axes=axis)
    axis.get_legend().remove()
    axis.set_title(f"gap {gap[i]:.2f} nats", loc="left")
    corner = axis.inset_axes([0.8, 1.02, 0.2, 0.2])
    corner.imshow(x[i, :, :, 0], cmap="gray")
    corner.set(xticks=[], yticks=[])
figure.suptitle("true posterior p(z|x) (filled) and encoder's q(z|x) (lines): 50, 90 and 99 % of the mass")
figure

# %%
quiz.discuss("posterior")

# %% [markdown]
# Six test images, from a small gap to the largest of a hundred. In the first the encoder is nearly right. Further on
# posteriors are slanted, which no $q_\varphi(z|x)$ of independent normals can be. And the largest
# gaps come from something else: a fair ellipse, in the wrong place. The encoder has never seen these images, and it
# misjudges the odd ones.
#
# The gap is now known, and so is $\log p_\theta(x)$. Everything that was derived above can be tested, image by image.

# %%
bound = np.mean([small.log_weights(x, 200, seed=s).mean(axis=0) for s in range(5)], axis=0)  # 1000 draws, [N]
importance = vk.evaluation.log_likelihood(small, x, samples=5000, progress=False)
print("image   log p(x)   importance    bound    bound + KL(q(z|x) ‖ p(z|x))")
for i in chosen:
    print(f"{i:5d}{log_p[i]:11.2f}{importance.per_example[i]:13.2f}{bound[i]:9.2f}{bound[i] + gap[i]:12.2f}")
print(f" mean{log_p.mean():11.2f}{importance.mean:13.2f}{bound.mean():9.2f}{(bound + gap).mean():12.2f}")
assert abs((bound + gap - log_p).mean()) < 0.2
assert bound.mean() < importance.mean < log_p.mean() + 0.1

# %% [markdown]
# `log p(x)` is the sum over the grid. `importance` is `vk.evaluation.log_likelihood`, which knows nothing of grids: it
# averages 5000 importance weights $p_\theta(x, z)/q_\varphi(z|x)$, the very thing inside Jensen's inequality, *before*
# taking the logarithm. For most images they agree to a few hundredths. But where $q_\varphi$ misses the posterior,
# 5000 samples miss it too, and the estimate is too low by many nats: it inherits the encoder's mistakes. The last
# column is the second derivation of the bound, in numbers, and equals the first one up to the noise of 1000 draws.
#
# **Whose fault is the gap?** It can be split in two. The best normal $q$ for this one image still has a gap, because
# the posterior is not of that form: the **approximation gap**. The encoder does not even find the best one, since it
# must serve all images with one network: the **amortization gap**. Both together are the **inference gap**
# ([Cremer et al. 2018](https://arxiv.org/abs/1801.03558)). To separate them, forget the encoder, and fit $\mu$ and
# $\log\sigma^2$ for each image directly.


# %%
def best_normals(model, x, steps=150, samples=16):
    """μ and σ of the best q for each image, by Adam from the encoder's, with pathwise gradients of estimator B."""
    q = model.posterior(x)
    start = ops.concatenate([q.mean(), 2 * ops.log(q.stddev())], axis=1)  # [N, 2·latents]
    parameters, optimizer = keras.Variable(start), keras.optimizers.Adam(0.02)
    optimizer.build([parameters])
    copies = np.tile(x, (samples, 1, 1, 1))

    def loss(parameters, epsilon):
        mean, log_variance = ops.split(parameters, 2, axis=1)
        z = mean + ops.exp(log_variance / 2) * epsilon  # [S, N, latents]
        kl = ops.sum(mean**2 + ops.exp(log_variance) - 1 - log_variance) / 2
        return kl - ops.sum(model.likelihood(ops.reshape(z, (-1, mean.shape[1]))).log_prob(copies)) / samples

    gradient = vk.backend.compile(lambda *arrays: value_and_gradient(loss, *arrays)[1][0], model.variables)
    rng = np.random.default_rng(6)
    for _ in range(steps):
        epsilon = rng.standard_normal((samples, *q.mean().shape)).astype("float32")
        optimizer.apply([gradient(parameters.value, epsilon)], [parameters])
    mean, log_variance = np.split(ops.convert_to_numpy(parameters.value), 2, axis=1)
    return mean, np.exp(log_variance / 2)


best_mean, best_scale = best_normals(small, x, steps=epochs(150, 20))
log_best = sum(norm.logpdf(grid[:, d], best_mean[:, d, None], best_scale[:, d, None]) for d in range(2))
approximation = np.sum(np.exp(log_best) * (log_best - log_posterior), axis=1) * np.exp(log_area)
print(f"inference gap     {gap.mean():.2f} nats")
print(f"  approximation   {approximation.mean():.2f}  (what the best normal q leaves)")
print(f"  amortization    {(gap - approximation).mean():.2f}  (what the encoder adds)")
assert epochs(1, 0) == 0 or 0 < approximation.mean() < gap.mean()

# %% [markdown]
# Most of the gap is the encoder's: it would shrink with a larger network or longer training, or by a few steps
# like these for each image (*semi-amortized* inference, lesson 09). A richer family of $q$ would help with the rest.
# Later lessons go for either.

# %% [markdown]
# ## Frey faces
#
# Not all images are black and white. The paper's second data set are frames of a video: one face, 28×20 grey pixels.
# Only the decoder's distribution has to change. The paper takes a normal distribution for each pixel,
# $p_\theta(x|z) = \mathcal N\big(\mu(z), \mathrm{diag}\,\sigma^2(z)\big)$, with means in $(0, 1)$. All else, bound,
# encoder and training, stays as it is.

# %%
here = {data.name: data.where for data in vk.datasets.available()}["frey_faces"] != "download"
if here:
    faces = vk.datasets.load("frey_faces")
    keras.utils.set_random_seed(5)
    face_model = paper.frey_faces(latents=2, examples=len(faces.train), seed=3)
    face_history = face_model.fit(faces.train, validation_data=faces.test, epochs=epochs(80), verbose=0)
    face_bound = face_history.history["val_bound"][-1]
    print(f"bound on test images: {face_bound:.0f} nats")
    assert epochs(1, 0) == 0 or face_bound > 400
else:
    print("The Frey faces are not here (`vaekit data frey_faces` fetches them): read on, this section has no pictures.")

# %%
if here:
    figure = vk.plotting.manifold(face_model.decode, n=9, axes=Figure(figsize=(4.6, 6)).add_subplot())
figure if here else None

# %%
if here:
    x = faces.test[:8]
    p = face_model.likelihood(face_model.encode(x))
    rows = np.concatenate([x, p.mean(), np.clip(p.sample(seed=vk.backend.seed(7)), 0, 1)])
    titles = [title for name in ("x", "mean", "draw") for title in (name, *[""] * 7)]
    figure = vk.plotting.image_grid(rows, columns=8, titles=titles)
figure if here else None

# %% [markdown]
# In the first picture the same face turns its head and changes its mood along smooth directions; the grey smear is a
# region of the prior where the young model has put no image. In the second, test
# images, the decoder's mean for each, and a draw from $p_\theta(x|z)$, which is what the likelihood is about: the mean
# plus independent noise for each pixel. Papers show the means.
#
# **A positive bound?** A probability cannot exceed one, so the logarithm of one cannot be positive. But pixels
# are real numbers now and have a *density*, which can be as large as it likes: a normal density with $\sigma = 0.05$
# has a height of $1/(0.05\sqrt{2\pi}) \approx 8$. With 560 pixels, a few hundred nats come together. And the number
# depends on the unit. Measured on a scale of 0 to 255 instead of 0 to 1, each pixel's density is divided by 255.

# %% tags=["nbval-check-output"]
print(f"from the scale 0…1 to 0…255: {-560 * np.log(255):.0f} nats for 560 pixels")

# %% [markdown]
# So seven hundred nats become about −2400, and the model is neither better nor worse. Densities can be compared on the
# same data in the same unit, and never with the nats of binary images. The paper's curve for two latents ends at about
# 870 nats
# on test frames, after a far longer training than our eighty epochs. (Shuffled frames of a video have their neighbours
# in the training set, which flatters everybody's number. We come back to that.)

# %% [markdown]
# ## Figure 2, in small
#
# The paper's main experiment: 500 tanh units in each direction, Adagrad, batches of 100, a normal prior on the
# decoder's weights. The VAE (AEVB, as the paper calls the algorithm) is compared with its predecessor, the
# **wake–sleep** algorithm, which has the same two networks but trains the encoder differently: on *dreams*, pairs
# $(z, x)$ drawn from the model, to maximize $\log q_\varphi(z|x)$. The two phases do not climb one common bound.
#
# We train with 3 and with 20 latents, for eight epochs each. The paper's settings are in `vaekit.papers.kingma2013`.

# %%
bounds = {}
for latents, name in ((3, "AEVB"), (3, "wake–sleep"), (20, "AEVB"), (20, "wake–sleep")):
    keras.utils.set_random_seed(6)
    hidden = paper.SETTINGS.hidden_mnist
    encoder = paper.encoder(latents, hidden)
    decoder = paper.bernoulli_decoder(images.event_shape, hidden, examples=len(images.train))
    model = vk.VAE(encoder, decoder, seed=4)
    objective = vk.objectives.ELBO(analytic_kl=True) if name == "AEVB" else vk.objectives.WakeSleep()
    model.compile(paper.optimizer(), objective=objective)
    fit = {"validation_data": images.test, "batch_size": paper.SETTINGS.batch_size, "epochs": passes(8), "verbose": 0}
    bounds[latents, name] = model.fit(images.train, **fit).history["val_bound"]

curves = {f"{latents} latents, {name}": {"val_bound": values} for (latents, name), values in bounds.items()}
figure = vk.plotting.training_curves(curves, terms=["bound"], examples_per_epoch=len(images.train))
figure.axes[0].set_ylim(bottom=min(values[-1] for values in bounds.values()) - 40)
figure

# %%
print("bound on test images        ours    paper (MNIST), at the end")
for (latents, name), values in bounds.items():
    theirs = paper.FIGURE_2["mnist", latents][0 if name == "AEVB" else 2]
    print(f"{latents:4d} latents, {name:10s}{values[-1]:10.1f}{theirs:11.1f}")
assert epochs(1, 0) == 0 or bounds[20, "AEVB"][-1] > bounds[3, "AEVB"][-1]

# %% [markdown]
# Higher is better (one curve starts far below the picture; "validation" are the test images here, as in the paper's
# figure). Our numbers are twenty to forty nats below the paper's, and the axis says why: the paper's curves go on to
# $10^8$ training samples, two thousand epochs, and we have stopped at 400,000, with all curves still rising. The order
# is the paper's: three latents are too few, and the VAE is ahead of wake–sleep, by little with 3 latents and clearly
# with 20. Wake–sleep's encoder learns from dreams, and those of a young model do not look like digits: it is trained
# on the wrong images until the decoder is good, and the decoder needs a good encoder to become so.
#
# How many latents should one give? The paper tried up to 200.

# %%
quiz.ask("superfluous")

# %%
print("latents   bound: training images      test images   KL")
for latents in (5, LATENTS, 200):
    if latents == LATENTS:
        model = vae  # the borrowed one was trained in the same way
    else:
        keras.utils.set_random_seed(2)
        model = vk.VAE(*networks(latents), seed=0)
        model.compile("adam", objective=vk.objectives.ELBO(analytic_kl=True))
        model.fit(some, epochs=passes(10), verbose=0)
    seen, new = (model.evaluate(data, verbose=0, seed=0) for data in (some, images.test))
    print(f"{latents:7d}{seen['bound']:26.1f}{new['bound']:17.1f}{new['kl']:9.1f}")

# %%
quiz.discuss("superfluous")

# %% [markdown]
# Five latents are too few, even for images seen in training. Two hundred have not caught up with forty in ten epochs:
# each superfluous latent sends noise into the decoder, which has to learn not to listen. (In the paper they do catch
# up: 20 and 200 latents both end at $-99.5$.) But compare the two columns. There is no overfitting, with five latents
# or with two hundred, and the KL has not risen with their number. A latent is no free parameter that could learn an
# image by heart. It is integrated over, and every nat that it carries is paid for in the bound; one that does not earn
# its price is switched off, $q_\varphi(z_j|x) \approx p(z_j)$ for every $x$. The paper says it in one sentence:
# superfluous latent variables did not result in overfitting.

# %% [markdown]
# ## When it goes wrong
#
# Three mistakes that have been made in print, in code with thousands of readers. None raises an error.
#
# ### Sum and mean
#
# The bound sums over pixels and over latents. Deep learning libraries like to average: `keras.losses` averages over
# the last axis, and so does a hasty `ops.mean`. Averaging over the *batch* is right, since every term is averaged
# alike. But an average over the latents divides the KL divergence by their number, and an average over the pixels
# divides the reconstruction by theirs. We make each mistake in one line.

# %%
quiz.ask("average")


# %%
class MeanOverLatents(PlainVAE):
    def terms(self, x, epsilon):
        reconstruction, kl = super().terms(x, epsilon)
        return reconstruction, kl / self.latents  # ops.mean where there should be ops.sum


class MeanOverPixels(PlainVAE):
    def terms(self, x, epsilon):
        reconstruction, kl = super().terms(x, epsilon)
        return reconstruction / D, kl  # what keras.losses.BinaryCrossentropy gives


rng = np.random.default_rng(8)
x = flat(images.test[:1000])
epsilon = rng.standard_normal((len(x), LATENTS)).astype("float32")
z = rng.standard_normal((8, LATENTS)).astype("float32")
wrong = {"mean over latents": MeanOverLatents(), "mean over pixels": MeanOverPixels()}
losses = {"sums": plain_history.history["loss"][-1]}
losses |= {name: train(model, some, 10).history["loss"][-1] for name, model in wrong.items()}
rows, bounds = [], {}
print("                    its loss   reconstruction      KL     bound")
for name, model in {"sums": plain, **wrong}.items():
    reconstruction, kl = (float(ops.mean(term)) for term in PlainVAE.terms(model, x, epsilon))  # the right ones
    bounds[name] = reconstruction - kl
    print(f"{name:18s}{losses[name]:10.2f}{reconstruction:17.1f}{kl:8.2f}{bounds[name]:10.1f}")
    rows += [model(x[:8]), ops.sigmoid(model.decode(z))]
assert epochs(1, 0) == 0 or bounds["sums"] == max(bounds.values())

names = [title for name in bounds for title in (name, *[""] * 7, "samples", *[""] * 7)]
rows = ops.convert_to_numpy(ops.concatenate(rows)).reshape(-1, *images.event_shape)
vk.plotting.image_grid(rows, columns=16, titles=names)

# %%
quiz.discuss("average")

# %% [markdown]
# Each row: eight test images reconstructed, then eight samples, decoded from draws of the prior.
#
# *Mean over latents* is a $\beta$-VAE with $\beta = 1/40$ that nobody ordered. Its reconstructions are the sharpest,
# and its KL divergence is four times as large. The samples, poor as they are in any VAE this young, have gone to
# pieces: the codes in use are no longer where the prior draws. Who looks at reconstructions alone will be pleased with
# it.
#
# *Mean over pixels* makes each nat of code cost 784 nats. No code is worth that, the KL is zero, and the decoder gives
# one average image to everybody: the VAE has become the biased coins of the beginning, within a few nats. Neither
# mistake raises an error. What would have told: a loss of 0.27 "nats" an image is no sum over 784 pixels, and a KL of
# 0.00 means no code.
#
# *Test:* compare your loss with $D\log 2$ before training, when the decoder knows nothing: it should be near 543 for
# MNIST.

# %% [markdown]
# ### Grey pixels as Bernoulli
#
# Give the hand-written VAE the *grey* images, with values anywhere between 0 and 1. The formula
# $x \log y + (1 - x)\log(1 - y)$ does not complain, and many tutorials train like this. Is it a likelihood?

# %%
quiz.ask("grey")

# %% tags=["nbval-check-output"]
line = (np.arange(100_000) + 0.5) / 100_000  # midpoints of the interval from 0 to 1
for y in (0.5, 0.9, 0.99, 0.999):
    density = y**line * (1 - y) ** (1 - line)
    print(f"y = {y:5.3f}: ∫ y^x (1 − y)^(1 − x) dx = {density.mean():.3f}")

# %% [markdown]
# A density integrates to one. This integrates to a half where the decoder is unsure, and to less where it is sure,
# for each of the pixels. What does that amount to? We train on grey images, and add the missing constants,
# $-\log\int_0^1 y^x(1-y)^{1-x}\,\mathrm dx$ for each pixel (which makes it the *continuous Bernoulli* distribution,
# [Loaiza-Ganem & Cunningham 2019](https://arxiv.org/abs/1907.06845)).

# %%
grey = vk.datasets.load(images.name.removeprefix("dynamic_"))
grey_model = PlainVAE()
train(grey_model, grey.train[:20_000], 10)

x = flat(grey.test[:1000])
reconstruction, kl = (ops.convert_to_numpy(term) for term in grey_model.terms(x, epsilon))
mean, log_variance = grey_model.encode(x)
a = ops.convert_to_numpy(grey_model.decode(mean + ops.exp(log_variance / 2) * epsilon))
a = np.where(np.abs(a) < 1e-3, 1e-3, a)
missing = np.log(np.tanh(a / 2) / a).sum(axis=1)  # log ∫ = log (2y − 1)/a, summed over pixels
perfect = (xlogy(x, x) + xlogy(1 - x, 1 - x)).sum(axis=1)  # y = x

print(f"the usual number                 {np.mean(reconstruction - kl):8.1f} nats")
print(f"as a density of grey images      {np.mean(reconstruction - kl - missing):8.1f} nats")
print(f"a perfect reconstruction, y = x, {perfect.mean():8.1f} nats")

try:
    vae.fit(grey.train, verbose=0)
except ValueError as error:
    print(f"\nvaekit: {error}")

# %%
quiz.discuss("grey")

# %%
means = ops.convert_to_numpy(grey_model(x[:8]))
draws = np.random.default_rng(10).random(means.shape) < means
rows = np.concatenate([x[:8], means, draws]).reshape(-1, *images.event_shape)
vk.plotting.image_grid(rows, columns=8, titles=["x, grey", *[""] * 7, "mean", *[""] * 7, "draw", *[""] * 7])

# %% [markdown]
# The usual number, about $-120$, looks like the bound on binary images, near $-119$, and that is the trap. It is no
# log-density of the grey images: that one is more than a thousand nats higher. Its maximum is not zero either: a
# perfect reconstruction scores about $-45$ here, which depends on how grey the images are. (It does mean something
# else: since the formula is linear in $x$, it is the bound averaged over *binarizations* of $x$, by an encoder that
# has not seen which. But then one should say so, and test on binary images like everybody.) And the model does not
# describe grey images: what it draws, in the last row, is black and white.
#
# vaekit refuses, and says what to do: draw binary images, or take a likelihood for real numbers.

# %% [markdown]
# ### Train and test mixed
#
# A thousand images a VAE can learn by heart. We train on a thousand, and look at the bound on those and on a thousand
# others. (Each is drawn in black and white once only, else the drawing anew would help against overfitting.) Then we
# make the mistake: the "test" images are among the training images, because somebody loaded both files, or split after
# augmenting, or took the wrong path.

# %%
quiz.ask("mixed")

# %%
n = min(1000, len(images.test))
train_images, test_images = np.asarray(images.train[:n]), images.test[:n]
number = epochs(60 if n == 1000 else 300)  # the small digits have fewer batches an epoch
memories = {}
for name, data in (("apart", train_images), ("mixed", np.concatenate([train_images, test_images]))):
    keras.utils.set_random_seed(7)
    model = vk.VAE(*networks(), seed=5)
    model.compile(keras.optimizers.Adam(0.002), objective=vk.objectives.ELBO(analytic_kl=True))
    memories[name] = model.fit(data, validation_data=test_images, epochs=number, verbose=0)
vk.plotting.training_curves(memories, terms=["bound"])

# %%
for name, memory in memories.items():
    own, reported = memory.history["bound"][-1], memory.history["val_bound"][-1]
    print(f"{name}: {own:.1f} nats on the training images, {reported:.1f} on the test images")
overfit = memories["apart"].history["bound"][-1] - memories["apart"].history["val_bound"][-1]
flattered = memories["mixed"].history["val_bound"][-1] - memories["apart"].history["val_bound"][-1]
print(f"\noverfitting {overfit:.1f} nats; flattery by mixing {flattered:.1f} nats")
assert epochs(1, 0) == 0 or (overfit > 1 and flattered > 1)

# %%
quiz.discuss("mixed")

# %% [markdown]
# Blue is the honest experiment: training and test part company after a few epochs, and from then on much of what the
# model gains on its training images is of no use elsewhere. By the end nearly twenty nats lie between the two. Orange
# is the mistake, and there is nothing to be seen: test is as good as training, to the end. Its "test" bound is reported
# more than twenty nats better than the truth (a part of that is the doubled training data), far more than separates
# this year's papers from those of ten years ago. With all of MNIST the flattery is smaller, and harder to notice.
# *Test:* look for equal rows in the two arrays, and look at the file names that your loader opens.

# %% [markdown]
# ## Take-aways
#
# $\log p_\theta(x)$ is an integral over all codes, of which one in a hundred billion matters. An encoder proposes the
# ones that do.
#
# The bound is $\log p_\theta(x)$ minus the KL divergence between the encoder's guess and the true posterior. The same
# bound is reconstruction minus what the code costs, both summed, both in nats.
#
# A VAE is two networks that end in distributions, and a loss of three lines. Estimator B gives quieter gradients,
# mostly for latents that are not used; estimator A can measure more precisely.
#
# The gap has two parts: the family of $q$ (approximation) and the encoder (amortization).
#
# Before you compare two numbers, ask: summed over what, on which data, binarized how, densities or probabilities,
# and were the test images really new?
#
# **To do next:** [exercise 02](../exercises/02_the_variational_autoencoder/02_the_variational_autoencoder.ipynb). You
# will write the KL divergence, both estimators and a Gaussian decoder, find the gap of a model with a pencil, meet the
# mistakes above in disguise, and train a VAE that is judged on images which it has never seen; each answer is checked
# at once. Then lesson 03 asks how to *measure* $\log p_\theta(x)$ when there is no grid, and puts the paper's other
# baselines on trial.
