# %% [markdown]
# # 02 · The variational autoencoder
#
# A handwritten digit is 784 pixels, but nobody thinks of 784 things when writing one. A *variational autoencoder*
# assumes that there were only a few: a short code $z$, from which the image $x$ was made. It learns to make images
# from codes, and to guess the code of an image, both at once. This lesson builds one from a blank page, beside
# [the paper](https://arxiv.org/abs/1312.6114) that introduced it.
#
# **After it, you will be able to**
#
# - say why $\log p_\theta(x)$ cannot be had by drawing codes at random, and derive the bound that is used instead;
# - write a VAE in thirty lines of Keras, and in eight of vaekit, and show that the two are the same;
# - look at a posterior, and say whose fault it is that the bound is not tight;
# - recognize, from a picture or a number, mistakes that are often made.
#
# **You need** lesson 01, in particular $z = \mu + \sigma \odot \varepsilon$, and from Keras `Dense`, `compile` and
# `fit`.
#
# **It takes** about {minutes} minutes with a pencil in your hand, and two or three of a laptop's CPU. A second reading,
# about {second} minutes on another day, is for those who want to know more about latents that are not used, and about
# models that learn by heart.
#
# Folded cells import, train, measure, draw, or check the text's numbers. You can do without reading them. Where the
# code says `epochs(10)`, it means 10; automatic tests of the course make do with fewer.

# %% tags=["hide-input"]
# # %pip install "vaekit[course]"
import vaekit as vk  # first: it keeps the backend's start-up messages out of the notebook
from vaekit.course import epochs, holds
from vaekit.course.quiz import Quiz
from vaekit.course.show import explore, show

quiz = Quiz("02")

import ipywidgets
import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import Sequential, ops
from keras.layers import Dense
from keras.optimizers import Adam
from scipy.special import logsumexp, xlogy
from scipy.stats import norm

from vaekit.backend import tfd, value_and_gradient
from vaekit.batches import Batches, DynamicBinarization
from vaekit.papers import kingma2013 as paper
from vaekit.plotting import COLORS, Figure

BLUE, ORANGE = COLORS[:2]  # the model p, the encoder q
plt.rcParams.update({"figure.dpi": 80, "figure.constrained_layout.use": True, "axes.spines.top": False})
plt.rcParams.update({"axes.spines.right": False, "legend.frameon": False, "axes.titlesize": "medium"})

# %%
images = vk.datasets.load("dynamic_mnist_10k")
test = np.asarray(images.test)  # [2000, 28, 28, 1], each pixel 0 or 1
D = 28 * 28
vk.plotting.image_grid(test[:20], columns=10)

# %% [markdown]
# Ten thousand digits to train on, a thousand for validation, two thousand to test: this is **MNIST-10k**, a part of
# MNIST that comes with vaekit. The data are grey. A pixel of grey value 0.7 is drawn white with probability 0.7, and in
# training it is drawn anew in every epoch (`DynamicBinarization` does that); the test images were drawn once. All
# numbers are of MNIST-10k, unless they are said to be of the whole of MNIST, as the paper's are.
#
# **Blue is the model $p$, orange is the encoder $q$**, in all pictures. The ten digits have ten other colours (the 5 a
# lighter blue, the 7 a darker orange); black and grey are neither.

# %% [markdown]
# ## What we want
#
# The story of an image, as the model tells it:
#
# $$z \sim p(z) = \mathcal N(0, I), \qquad y = \mathrm{decoder}_\theta(z), \qquad
# x \sim p_\theta(x|z) = \prod_{d=1}^D y_d^{x_d} (1 - y_d)^{1 - x_d}.$$
#
# A code is drawn from the **prior**; a network, the **decoder**, turns it into a probability of white for each pixel;
# each pixel flips its own coin. The weights $\theta$ are good if the images that we have are probable, that is, if
# $\log p_\theta(x)$ is high, with
#
# $$p_\theta(x) = \int p(z)\, p_\theta(x|z)\, \mathrm dz = \mathbb E_{p(z)}\big[p_\theta(x|z)\big].$$
#
# All codes could have made $x$, so all are asked, each as often as the prior draws it. Do not mix up the two:
# $p_\theta(x|z)$ is large for the few codes that fit, much larger than $p_\theta(x)$, the mean over all codes.
#
# Logarithms are natural, and their unit is the **nat**. To get a feeling for it, take two models that have no codes at
# all. Fair coins give each pixel $\log\frac12$. Biased coins know how often each pixel is white.

# %%
white = np.clip(images.train.probabilities.mean(axis=0), 1e-4, 1 - 1e-4)  # [28, 28, 1]
fair = D * np.log(0.5)
log_p = test * np.log(white) + (1 - test) * np.log(1 - white)  # log p of each pixel
biased = log_p.sum(axis=(1, 2, 3)).mean()
print(f"log p(x): fair coins {fair:.0f} nats, biased coins {biased:.0f} nats")

# %% tags=["hide-input"]
holds(abs(biased - fair - 340) < 5)

# %% [markdown]
# A nat more makes a typical image $e \approx 2.7$ times as probable. Knowing the pixels' averages is worth some 340
# nats: to the biased coins a typical digit is some $e^{340}$ times as probable as to the fair ones. Such numbers are
# usual. There are $2^{784}$ black-and-white images, and nearly all are noise.
#
# ## Why it is hard
#
# Suppose that somebody lends you a decoder. This one is built like the paper's, with a code of 20 numbers, called
# **latents**. It was trained on 50,000 images of MNIST (none of our test images was among them), and comes with vaekit.
# $p_\theta(x)$ is an expectation under the prior, so do what one does with expectations: draw codes from the prior, and
# average $p_\theta(x|z)$. To a computer $e^{-800}$ is zero, so this is done with logarithms: `log_likelihoods`, from a
# folded cell, gives $\log p_\theta(x|z_i)$ for each code, and `logsumexp` makes the logarithm of a sum out of the
# logarithms of its terms.

# %%
quiz.ask("prior")


# %% tags=["hide-input"]
def log_likelihoods(model, x, z):
    """log p(x|z) of every image x [N, ...] at every code z [M, L], for Bernoulli pixels: array [N, M]."""
    x, parts = np.asarray(x).reshape(len(x), -1), []
    for start in range(0, len(z), 10_000):
        a = ops.convert_to_numpy(model.likelihood(z[start : start + 10_000]).distribution.logits_parameter())
        a = a.reshape(len(a), -1)  # logits, see "By hand"
        parts.append(x @ a.T - np.logaddexp(0, a).sum(axis=1))
    return np.concatenate(parts, axis=1)


def picture_of_attempts(attempts, truth):
    """Estimates of log p(x) [attempts, draws] as the number of draws grows."""
    draws = attempts.shape[1]
    running = np.logaddexp.accumulate(attempts, axis=1) - np.log(np.arange(1, draws + 1))
    counts = np.unique(np.geomspace(1, draws, 200).astype(int))
    figure = Figure(figsize=(8, 3.2))
    axis = figure.add_subplot()
    axis.semilogx(counts, running[:, counts - 1].T, color=BLUE, linewidth=1)
    axis.axhline(truth, color=ORANGE, linestyle="--")
    axis.text(1.2, truth + 6, "what it should be")
    axis.set(xlabel="codes drawn from the prior", ylabel="estimate of log p(x), nats")
    axis.set(ylim=(np.median(running[:, 9]) - 40, truth + 35), title="five attempts to average p(x|z) over the prior")
    return figure


# %%
lent = paper.load("mnist_20")
x = test[:1]
codes = np.random.default_rng(1).normal(size=(epochs(100_000, 5000), 20)).astype("float32")
log_p_x_given_z = log_likelihoods(lent, x, codes)[0]  # [100 000]

attempts = log_p_x_given_z.reshape(5, -1)  # [5, 20 000]
estimates = logsumexp(attempts, axis=1) - np.log(20_000)  # log of the mean of p(x|z)
truth = vk.evaluation.log_likelihood(lent, x, samples=5000, progress=False).mean
print("five attempts:", *(f"{estimate:.0f}" for estimate in estimates))
print(f"should be:     {truth:.0f}")
picture_of_attempts(attempts, truth)

# %%
quiz.discuss("prior")

# %% tags=["hide-input"]
holds(estimates.max() < truth - 50)

# %% [markdown]
# The dashed line comes from another method, whose codes are not drawn from the prior; we shall come to it. Each
# attempt, of twenty thousand codes, ends more than fifty nats below it. (The curves begin below the frame.) They jump
# where one code is better than all before it. While they wait for the next, they sink a little: the same sum is divided
# by more and more draws. What average there is comes from one code, or a handful.
#
# And yet the average is unbiased. Once in a very long while an attempt would hit the right codes, and its result would
# be enormous. Every other attempt is too low. What do the right codes look like?

# %% tags=["hide-input"]
best = codes[log_p_x_given_z.argmax()][None]
proposed = ops.convert_to_numpy(lent.posterior(x).sample(seed=vk.backend.seed(3)))
shown = np.concatenate([codes[:4], best, proposed])
values = log_likelihoods(lent, x, shown)[0]
titles = [f"{value:.0f}" for value in values]
holds(values[5] > values[4] + 50)
titles = ["x", *titles[:4], f"best: {titles[4]}", f"encoder: {titles[5]}"]
vk.plotting.image_grid(np.concatenate([x, lent.decode(shown)]), columns=7, titles=titles)

# %% [markdown]
# On the left is the image, then come four codes drawn from the prior, each decoded, with its $\log p_\theta(x|z)$: two
# digits, and two that are hardly any; none is like the image. Then the best of the hundred thousand. The last code was
# not drawn from the prior but proposed by an *encoder* that had looked at $x$: a single draw, and more than fifty nats
# better.
#
# That is the whole idea. Most codes are irrelevant to a given $x$. Which are relevant is said by the **posterior**
# $p_\theta(z|x) = p(z)\,p_\theta(x|z) / p_\theta(x)$, and its denominator is just what we do not have. So let us
# guess: a second network, the **encoder**, gives a distribution $q_\varphi(z|x)$ meant to be close to the posterior,
# and we draw codes from *it*. What do we pay for drawing from the wrong distribution?

# %% [markdown]
# ## The bound, derived twice
#
# First the currency. The **Kullback–Leibler divergence** of two densities is the mean of the log of their ratio,
# $\mathrm{KL}(q\,\|\,p) = \mathbb E_q[\log q(z) - \log p(z)]$. It is never negative. The logarithm is concave, so the
# mean of a logarithm is at most the logarithm of the mean (**Jensen's inequality**):
#
# $$-\mathrm{KL}(q\,\|\,p) = \mathbb E_q\!\left[\log\frac{p(z)}{q(z)}\right]
# \le \log \mathbb E_q\!\left[\frac{p(z)}{q(z)}\right] = \log\int p(z)\,\mathrm dz = \log 1 = 0,$$
#
# with equality only if the ratio is constant, that is, $q = p$. (If $q$ is zero somewhere, then $p$ is integrated over
# the rest only, which gives less than 1; the inequality holds all the more.) What is a nat of it worth? Let $q$ be the
# prior $p$ restricted to a region that holds a share $f$ of it. There $q = p/f$, so $\mathrm{KL} = \log\frac1f$, and
# $f = e^{-\mathrm{KL}}$. So $e^{-\mathrm{KL}}$ is the share of the prior that $q$ keeps: exactly for such a $q$,
# roughly for others.
#
# **The bound by Jensen's inequality.** Multiply and divide by $q_\varphi(z|x)$ inside the integral:
#
# $$\log p_\theta(x) = \log\, \mathbb E_{q_\varphi(z|x)}\!\left[\frac{p(z)\,p_\theta(x|z)}{q_\varphi(z|x)}\right]
# \ge \mathbb E_{q_\varphi(z|x)}\!\left[\log\frac{p(z)\,p_\theta(x|z)}{q_\varphi(z|x)}\right]
# =: \mathcal L(\theta, \varphi; x).$$
#
# $\mathcal L$ is the **evidence lower bound**, ELBO: an expectation under $q_\varphi$ of something that we can compute
# at every $z$. But Jensen does not say how much we lose.
#
# **The bound by Bayes' rule.** For every $z$, $p_\theta(x) = p(z)\,p_\theta(x|z) / p_\theta(z|x)$. Take logarithms, and
# add and subtract $\log q_\varphi(z|x)$. The left side does not depend on $z$, so average the right side over
# $z \sim q_\varphi(z|x)$:
#
# $$\begin{aligned}
# \log p_\theta(x) &= \log\frac{p(z)\,p_\theta(x|z)}{q_\varphi(z|x)} + \log\frac{q_\varphi(z|x)}{p_\theta(z|x)}
# && \text{for every } z\\
# &= \mathcal L(\theta, \varphi; x) + \mathrm{KL}\big(q_\varphi(z|x)\,\|\,p_\theta(z|x)\big)
# && \text{on average.}
# \end{aligned}$$
#
# An equation this time: the price of a wrong $q_\varphi$ is its divergence from the true posterior. Raising
# $\mathcal L$ therefore does two good things. With $\varphi$ it moves the encoder towards the posterior; with $\theta$
# it raises $\log p_\theta(x)$, or makes the posterior easier to match.
#
# **What it consists of.** In $\mathcal L$, take $p_\theta(x|z)$ out of the fraction:
#
# $$\mathcal L(\theta, \varphi; x)
# = \underbrace{\mathbb E_{q_\varphi(z|x)}\big[\log p_\theta(x|z)\big]}_{\text{reconstruction}}
# \;-\; \underbrace{\mathrm{KL}\big(q_\varphi(z|x)\,\|\,p(z)\big)}_{\text{what the code costs}}.$$
#
# The first term says how well $x$ can be made again from its code. The second says what the code costs. Mind the two
# divergences: this one, from the prior, is a term *of* the bound, and large; the one from the posterior is the *gap* of
# the bound, and should be small.

# %%
parts = lent.evaluate(images.test, verbose=0, seed=0)
for name in ("reconstruction", "kl", "bound"):
    print(f"{name:15s}{parts[name]:8.1f} nats")
print(f"share of the prior that the encoder's q keeps: about {np.exp(-parts['kl']):.0e}")
first_kl = float(tfd.kl_divergence(lent.posterior(test[:1]), lent.prior.distribution())[0])
print(f"KL of the first image alone: {first_kl:.0f} nats")

# %% tags=["hide-input"]
holds(
    2e11 < np.exp(parts["kl"]) < 1e12,
    32 < first_kl < 34,
    abs(parts["kl"] - 27) < 0.6,
    abs(parts["bound"] - parts["reconstruction"] + parts["kl"]) < 0.01,
)

# %% [markdown]
# This explains the failure. The lent model spends some 27 nats to single out the codes of an image: one code in several
# hundred billion is any use. (That is the average. For the image above it is 33 nats: one in a hundred trillion.)
# Against that, twenty thousand draws are nothing.
#
# **The KL divergence is a formula** for $q = \mathcal N(\mu, \mathrm{diag}\,\sigma^2)$ and $p = \mathcal N(0, I)$. Take
# one latent. The constants $\frac12\log 2\pi$ cancel, and under $q$ we have $\mathbb E[(z-\mu)^2] = \sigma^2$ and
# $\mathbb E[z^2] = \mu^2 + \sigma^2$:
#
# $$\mathbb E_q\Big[-\log\sigma - \frac{(z-\mu)^2}{2\sigma^2} + \frac{z^2}{2}\Big]
# = \tfrac12\big(\mu^2 + \sigma^2 - 1 - \log\sigma^2\big).$$
#
# Latents are independent, so their logarithms add up: the KL divergence is the *sum* of this over the latents. A code
# pays for lying off the centre, $\mu^2$, and for being precise, $-\log\sigma^2$; at $\mu = 0$, $\sigma = 1$ it says
# nothing, and costs nothing.
#
# The reconstruction has no formula, so we draw from $q_\varphi$, with $z = \mu + \sigma\odot\varepsilon$ to let
# gradients through. One $z$ an image is enough: with one, too, the estimate is unbiased, and a batch averages over a
# hundred images.

# %% [markdown]
# ## By hand
#
# One thing more. The decoder gives **logits** $a_d$, any real numbers, with $y_d = 1/(1 + e^{-a_d})$. Then $\log y_d =
# a_d - \log(1 + e^{a_d})$ and $\log(1 - y_d) = -\log(1 + e^{a_d})$, so that a pixel has $\log p_\theta(x_d|z) = x_d a_d
# - \log(1 + e^{a_d})$, which never takes the logarithm of a rounded zero. The function $\log(1 + e^a)$ is called
# *softplus*. That is all it takes; below is plain Keras. Of the class you need to know that `fit` hands each batch to
# `call`, and what `call` returns, here the two terms, to `compute_loss`, whose value it then lowers. (Its argument `y`
# is not the $y$ above: Keras would hand it targets, and a VAE has none.) `train` and `measure`, folded away, are ten
# epochs of Adam, and the means of both terms over the test images.

# %%
LATENTS = 40


def bound_terms(encoder, decoder, x, epsilon):
    """Reconstruction, summed over pixels, and KL, over latents: nats, each [B]."""
    mean, log_variance = ops.split(encoder(x), 2, axis=1)  # of q(z|x); x is [B, D]
    z = mean + ops.exp(log_variance / 2) * epsilon  # z = μ + σ ⊙ ε, [B, L]
    a = decoder(z)  # logits, [B, D]
    reconstruction = ops.sum(x * a - ops.softplus(a), axis=1)
    kl = ops.sum(mean**2 + ops.exp(log_variance) - 1 - log_variance, axis=1) / 2
    return reconstruction, kl


# %%
class PlainVAE(keras.Model):
    """From flat images of 0 and 1, [B, D], to the two terms of the bound, each [B]."""

    def __init__(self):
        super().__init__()
        self.encoder = Sequential([Dense(200, "tanh"), Dense(2 * LATENTS)])
        self.decoder = Sequential([Dense(200, "tanh"), Dense(D)])
        self.noise = keras.random.SeedGenerator(0)

    def call(self, x):
        epsilon = keras.random.normal((ops.shape(x)[0], LATENTS), seed=self.noise)
        return bound_terms(self.encoder, self.decoder, x, epsilon)

    def compute_loss(self, x, y, terms, *_, **options):  # terms: from `call`
        return self.minus_bound(*terms)

    def minus_bound(self, reconstruction, kl):
        return -ops.mean(reconstruction - kl)  # mean over the batch


# %% tags=["hide-input"]
def flat(x):
    """The same images, flattened, [N, D]; drawn anew in every epoch if they were."""
    if isinstance(x, DynamicBinarization):
        return DynamicBinarization(x.probabilities.reshape(len(x), -1), x.seed)
    return np.asarray(x, "float32").reshape(len(x), -1)


def train(kind, x):
    """Trains a PlainVAE with Adam, in batches of 100, for 10 epochs; returns it and its last loss.

    First weights and the order of images are the same for every kind.
    """
    keras.utils.set_random_seed(2)  # Keras draws initial weights from its own random state
    model = kind()
    model.compile(Adam(0.003), jit_compile=vk.backend.prefers_jit())
    fitted = model.fit(Batches(flat(x), 100, seed=1), epochs=epochs(10), verbose=0, shuffle=False)
    return model, fitted.history["loss"][-1]


epsilon = np.random.default_rng(8).standard_normal((len(test), LATENTS)).astype("float32")


def measure(model, x=test):
    """The means of reconstruction and KL over images, whatever the model was trained for."""
    return (float(ops.mean(term)) for term in bound_terms(model.encoder, model.decoder, flat(x), epsilon))


# %%
plain, plain_loss = train(PlainVAE, images.train)  # Adam, 10 epochs
plain_bound = np.subtract(*measure(plain))  # on the test images
print(f"bound {plain_bound:.1f} nats, biased coins {biased:.1f} nats")

# %% tags=["hide-input"]
holds(plain_bound > biased + 80)

# %% [markdown]
# A few Keras layers and a loss of three lines, trained for seconds, and the biased coins are left more than eighty nats
# behind.
#
# ## The same with vaekit
#
# In vaekit a VAE has four parts: an encoder network that ends in a distribution, a decoder network that ends in a
# distribution, `vk.VAE` that pairs them, and an objective. `ELBO` is the bound, and with `analytic_kl=True` its KL
# divergence is the formula, as in ours.


# %%
def networks(latents=LATENTS, hidden=200):
    encoder = Sequential([vk.layers.MLP(hidden), vk.layers.DiagonalNormal(latents)])
    decoder = Sequential([vk.layers.MLP(hidden), vk.layers.Bernoulli((28, 28, 1))])
    return encoder, decoder


keras.utils.set_random_seed(2)
encoder, decoder = networks()
vae = vk.VAE(encoder, decoder, seed=0)
vae.compile(Adam(0.003), objective=vk.objectives.ELBO(analytic_kl=True))
vae.fit(images.train, epochs=epochs(10), batch_size=100, verbose=0)
vae_bound = vae.evaluate(images.test, verbose=0, seed=0)["bound"]
print(f"by hand {plain_bound:.1f}, vaekit {vae_bound:.1f} nats")

# %% [markdown]
# About the same, from other first weights and other noise. Is it really the same model, though? We copy vaekit's
# weights into ours. A trace of vaekit has one draw of $z$ and all log-densities at it; from $z$ we work out which
# $\varepsilon$ it was, and hand that to our own lines.

# %% tags=["nbval-check-output"]
twin = PlainVAE()
twin(flat(test[:1]))  # builds it
hidden, hidden_bias, mean, mean_bias, scale, scale_bias = encoder.get_weights()
heads = np.hstack([mean, scale]), np.hstack([mean_bias, scale_bias])  # of μ and log σ²
twin.encoder.set_weights([hidden, hidden_bias, *heads])
twin.decoder.set_weights(decoder.get_weights())  # in the same order

trace = vae.trace(test[:50], samples=1, seed=4)
q, z = trace.q["z"], trace.values["z"][0]
noise = (z - q.mean()) / q.stddev()
ours = bound_terms(twin.encoder, twin.decoder, flat(test[:50]), noise)
theirs = trace.log_p["x"][0], tfd.kl_divergence(q, trace.p["z"])
print("log p(x|z) equal:", np.allclose(ours[0], theirs[0], rtol=1e-4, atol=1e-3))
print("KL         equal:", np.allclose(ours[1], theirs[1], rtol=1e-4, atol=1e-3))

# %% tags=["hide-input"]
holds(abs(plain_bound - vae_bound) < 2)

# %% [markdown]
# Same weights and same noise give the same terms, image by image. From here on we mostly use vaekit, where a change of
# posterior, prior or objective is a change of one line.

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
# noisy? The paper says of B that it "typically has less variance than the generic estimator", that is, than A.

# %%
quiz.ask("estimators")


# %%
def estimate(kind, decoder, x, mean, log_variance, epsilon):
    """One draw of estimator A or B for each image, [B]."""
    z = mean + ops.exp(log_variance / 2) * epsilon
    if kind == "A":  # log q − log p, with ε² for (z − μ)²/σ²; the constants cancel
        kl = ops.sum(z**2 - log_variance - epsilon**2, axis=1) / 2
    else:
        kl = ops.sum(mean**2 + ops.exp(log_variance) - 1 - log_variance, axis=1) / 2
    return decoder(z).log_prob(x) - kl


# %% tags=["hide-input"]
def spread(model, x, draws=100):
    """Variances over single draws, by estimator: of the value [B], of its gradients for μ and log σ² [B, L]; and σ²."""
    q = model.posterior(x)
    mean, scale = ops.convert_to_numpy(q.mean()), ops.convert_to_numpy(q.stddev())
    # each draw gets its own copy of μ and log σ², so that each draw has its own gradient (lesson 01)
    copies = [np.tile(value, (draws, 1)) for value in (mean, 2 * np.log(scale))]
    noise = np.random.default_rng(5).standard_normal(copies[0].shape).astype("float32")
    x, result = ops.convert_to_tensor(np.tile(x, (draws, 1, 1, 1))), {}
    for kind in ("A", "B"):

        def total(*parameters, kind=kind):
            return ops.sum(estimate(kind, model.decoder, x, *parameters, noise))

        arrays = [estimate(kind, model.decoder, x, *copies, noise), *value_and_gradient(total, *copies)[1]]
        arrays = [ops.convert_to_numpy(array) for array in arrays]
        result[kind] = [array.reshape(draws, -1, *array.shape[1:]).var(axis=0, ddof=1) for array in arrays]
    return result, scale**2


keras.utils.set_random_seed(3)
untrained = vk.VAE(*networks(), seed=1)
spreads = {"untrained": spread(untrained, test[:50]), "trained": spread(vae, test[:50])}
deviations = {
    (name, kind): [np.sqrt(v.reshape(len(v), -1).sum(axis=1).mean()) for v in variances]
    for name, (by_kind, _) in spreads.items()
    for kind, variances in by_kind.items()
}
print("standard deviation of one draw    value     ∂/∂μ   ∂/∂log σ²")
for (name, kind), three in deviations.items():
    print(f"{name:12s} estimator {kind}     " + "  ".join(f"{d:8.2f}" for d in three))

# %%
quiz.discuss("estimators")

# %% tags=["hide-input"]
(early_a, early_b), (late_a, late_b) = (
    [np.array(deviations[name, kind]) for kind in "AB"] for name in ("untrained", "trained")
)
holds((early_b < early_a).all(), early_a[1] > 3 * early_b[1])
holds(late_b[0] > late_a[0], late_b[1] < late_a[1] < 1.15 * late_b[1], late_b[2] < late_a[2] < 1.4 * late_b[2])

# %% [markdown]
# The table has the standard deviation from draw to draw, for one image: first of the bound, then of its gradients (for
# a vector, the root of the summed variances of its entries). Compare two rows at a time. At the beginning B is quieter
# in everything, and its gradients by far. In the trained model its *gradients* are still quieter, though no longer by
# much, and the *value* of the bound is now more precise with A. Both have a reason.
#
# **The value.** If $q_\varphi(z|x)$ were the true posterior, then $\widehat{\mathcal L}^A =
# \log\frac{p(z)\,p_\theta(x|z)}{q_\varphi(z|x)} = \log p_\theta(x)$ for *every* draw: no noise at all. The fluctuations
# of its terms cancel, and B, which replaces some of them by their mean, spoils that. At the beginning $q_\varphi$ is
# far from the posterior, little cancels, and A has only one more source of noise.
#
# **The gradient** does not profit from that. (The decoder's is the same for both: only $\log p_\theta(x|z)$ contains
# $\theta$.) To the encoder's, A adds the noise of the KL divergence's gradient, which seldom cancels anything. Where a
# latent is in use, $\sigma$ is small, and A or B makes hardly a difference. But a latent may also be left unused: then
# $q_\varphi(z_j|x)$ is the prior for every $x$, $\sigma = 1$, and the KL is 0. B *knows* that nothing is to be learned
# there, and A keeps on shaking it. (In an untrained model nearly all latents are like that. By which factor A is
# noisier, the second reading computes.) In practice: **train with B where you can**, for its quieter gradients, but do
# not expect miracles of it; to *measure* a bound, try A: with a good encoder it is the more precise.

# %% [markdown]
# ## Two latents: a posterior one can see
#
# With two latents everything can be looked at. We train a model, encode the test images, and colour them by their
# digit (which the model has never seen).

# %%
keras.utils.set_random_seed(4)
small = vk.VAE(*networks(latents=2, hidden=300), seed=2)
small.compile(Adam(0.004), objective=vk.objectives.ELBO(analytic_kl=True))
history = small.fit(images.train, epochs=epochs(20), verbose=0)

# %% tags=["hide-input"]
figure = Figure(figsize=(10, 4.4))
left, right = figure.subplots(1, 2)
means = small.encode(test)
vk.plotting.latent_scatter(means, images.labels.test, axes=left)
vk.plotting.manifold(small.decode, n=18, axes=right)
centre = [np.median(means[images.labels.test == digit], axis=0) for digit in range(10)]
holds(np.linalg.norm(centre[4] - centre[9]) < 1, centre[1][1] > 3)
left.set_title("posterior means of test images, by digit")
right.set_title("decoded codes")
figure

# %% [markdown]
# On the left, digits that look alike lie side by side. (Each digit's name stands in the middle of its points; if they
# lie in two places, between these.) On the right, the opposite direction: a grid of codes, each decoded. Its lines are
# $z = \Phi^{-1}(u)$ for evenly spaced $u$ in $(0, 1)$, with the normal distribution function $\Phi$, so that each
# picture stands for the same share of the prior. (The paper's figure 4 is made like this.) Mind the scales: the right
# picture ends at $\pm 1.9$, the left one at nearly 5. Most 1s lie above $z_2 = 3$, where the prior draws about one code
# in a thousand. The prior is no good map of where codes lie; lesson 06 learns a better one. On the way between two
# digits one changes into the other continuously, and passes through shapes that are no digit at all. But two dimensions
# are few: 4 and 9 share their place, and others lie mixed as well. If the notebook is running, move over it yourself;
# the sliders set the two $u$:


# %% tags=["hide-input"]
def look(u1, u2):
    z = norm.ppf([[u1, u2]]).astype("float32")
    figure = Figure(figsize=(7, 2.8))
    left, right = figure.subplots(1, 2, width_ratios=(1.3, 1))
    left.scatter(*means.T, s=3, color="0.8")
    left.plot(*z[0], "o", color="black")
    left.set(xlabel="$z_1$", ylabel="$z_2$", xlim=(-4, 5), ylim=(-4, 5))
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
# Now for the posterior. In two dimensions the integral that we could not do is a sum over a grid,
# $p_\theta(x) \approx \sum_i p(z_i)\,p_\theta(x|z_i)\,\Delta z$ with the area $\Delta z$ of one of its cells, and with
# a grid this fine it is exact for our purposes. Bayes' rule then gives the posterior at each $z_i$, and the gap,
# $\mathrm{KL}\big(q_\varphi(z|x)\,\|\,p_\theta(z|x)\big)$, is a sum, too.

# %%
side, limit = epochs(300, 60), 6
grid = vk.plotting.latent_grid((-limit, limit), side)  # z_i, [M, 2]
log_area = 2 * np.log(2 * limit / (side - 1))  # log Δz
x = test[:100]


def by_bayes(x):
    """log p(x), [N], and log p(z_i|x), [N, M]."""
    log_joint = log_likelihoods(small, x, grid) + norm.logpdf(grid).sum(axis=1)  # log p(x, z_i), [N, M]
    log_p = logsumexp(log_joint, axis=1) + log_area
    return log_p, log_joint - log_p[:, None]


def divergence(q, log_posterior):
    """KL(q(z|x) ‖ p(z|x)), [N]."""
    log_q = ops.convert_to_numpy(q.log_prob(grid[:, None])).T  # log q(z_i|x), [N, M]
    return np.sum(np.exp(log_q) * (log_q - log_posterior), axis=1) * np.exp(log_area)


log_p, log_posterior = by_bayes(x)
gap = divergence(small.posterior(x), log_posterior)

# %% [markdown]
# Before you see it: the posterior is whatever Bayes' rule makes of prior and decoder, and $q_\varphi(z|x)$ is two
# independent normals, an ellipse whose axes are parallel to those of the plane: upright, for short.

# %%
quiz.ask("posterior")

# %% tags=["hide-input"]
q = small.posterior(x)
mean, scale = ops.convert_to_numpy(q.mean()), ops.convert_to_numpy(q.stddev())
order = np.argsort(gap)
chosen = order[[10, 50, 80, 90, 96, 99]]  # from a small gap to the largest


def panel(axis, i):
    """The true posterior of image i, filled, with the encoder's q(z|x) as lines."""
    weight = np.exp(log_posterior[i] - log_posterior[i].max())
    weight /= weight.sum()
    center = weight @ grid
    width = np.sqrt(weight @ (grid - center) ** 2)
    reach = np.abs(center - mean[i]).max() / 2 + 4 * max(width.max(), scale[i].max())
    limits = tuple((c - reach, c + reach) for c in (center + mean[i]) / 2)
    fine = vk.plotting.latent_grid(limits, 120)
    log_p_fine = log_likelihoods(small, x[i : i + 1], fine)[0] + norm.logpdf(fine).sum(axis=1)
    log_q_fine = norm.logpdf(fine, mean[i], scale[i]).sum(axis=1)
    vk.plotting.posterior_contours({"p": log_p_fine, "q": log_q_fine}, limits, 120, axes=axis, legend=False)
    axis.set_title(f"image {i}: gap {gap[i]:.2f} nats", loc="left")
    corner = axis.inset_axes([0.8, 1.02, 0.2, 0.2])
    corner.imshow(x[i, :, :, 0], cmap="gray")
    corner.set(xticks=[], yticks=[])


figure = Figure(figsize=(10, 6.4))
for axis, i in zip(figure.subplots(2, 3).ravel(), chosen, strict=True):
    panel(axis, i)
figure.suptitle("true posterior p(z|x) (filled) and encoder's q(z|x) (lines): 50, 90 and 99 % of the mass")
figure

# %% [markdown]
# Six test images, from a small gap to the largest of a hundred. The gap is now known, and so is $\log p_\theta(x)$:
# everything that was derived above can be tested, image by image.

# %% tags=["hide-input"]
bound = np.mean([small.log_weights(x, epochs(200, 20), seed=s).mean(axis=0) for s in range(5)], axis=0)  # 1000 draws
importance = vk.evaluation.log_likelihood(small, x, samples=epochs(5000, 100), progress=False).per_example
columns = np.stack([log_p, bound, gap, bound + gap, importance])
print("image   log p(x)    bound      gap   bound + gap    importance")
for name, row in [*zip(chosen, columns[:, chosen].T, strict=True), ("mean", columns.mean(axis=1))]:
    print(f"{name!s:>5s}{row[0]:11.2f}{row[1]:9.2f}{row[2]:9.2f}{row[3]:14.2f}{row[4]:14.2f}")
holds(
    abs((bound + gap - log_p).mean()) < 0.2,
    (gap > -0.01).all(),
    np.median(np.abs(log_p - importance)) < 0.3,
    (log_p - importance).max() > 10,
)

# %% [markdown]
# `log p(x)` is the sum over the grid, `bound` the mean of 1000 draws of estimator A. Add the gap to it, and the second
# derivation stands there in numbers: bound + gap is $\log p_\theta(x)$, up to the noise of the draws.
#
# The last column knows nothing of grids. It is `vk.evaluation.log_likelihood`, which gave us the dashed line at the
# beginning: it averages $p_\theta(x, z)/q_\varphi(z|x)$, the very thing inside Jensen's inequality, over 5000 draws
# *before* taking the logarithm. For most of the hundred images it is right to a fraction of a nat. But where
# $q_\varphi$ misses the posterior, 5000 draws miss it too: for the last two of the table the estimate is some thirty
# nats too low, and for the mean of the hundred more than one. Lesson 03 is about that. (So the dashed line, too, is
# more likely too low than too high, and the five attempts were at least as bad as they looked.)
#
# **Whose fault is the gap?** The best upright ellipse for an image may still have one, because the posterior is not of
# that form: the **approximation gap**. And the encoder may not find the best one, since it serves all images with one
# network: the **amortization gap** ([Cremer et al. 2018](https://arxiv.org/abs/1801.03558)). To separate them, start
# from the encoder's answer, and improve $\mu$ and $\log\sigma^2$ for each image by itself, by a few hundred steps up
# the bound. (Where these end in the wrong place, the approximation gap looks larger than it is.) And since these are
# images that the encoder has never seen, do the same for a hundred that it was trained on, tossed once more. After ±
# stands the standard error of a mean: the standard deviation over the images, divided by $\sqrt{100}$.


# %% tags=["hide-input"]
def best_normals(model, x, steps, draws=16):
    """The best q for each image, by Adam from the encoder's, with pathwise gradients of estimator B."""
    q = model.posterior(x)
    start = ops.concatenate([q.mean(), 2 * ops.log(q.stddev())], axis=1)  # [N, 2·L]
    parameters, rng = keras.Variable(start), np.random.default_rng(6)
    optimizer = Adam(keras.optimizers.schedules.CosineDecay(0.05, steps))
    optimizer.build([parameters])
    copies = np.tile(x, (draws, 1, 1, 1))

    def loss(parameters, noise):
        mean, log_variance = (ops.tile(half, (draws, 1)) for half in ops.split(parameters, 2, axis=1))
        return -ops.sum(estimate("B", model.decoder, copies, mean, log_variance, noise)) / draws

    gradient = vk.backend.compile(lambda *arrays: value_and_gradient(loss, *arrays)[1][0], model.variables)
    for _ in range(steps):
        noise = rng.standard_normal((len(copies), 2)).astype("float32")
        optimizer.apply([gradient(parameters.value, noise)], [parameters])
    mean, log_variance = np.split(ops.convert_to_numpy(parameters.value), 2, axis=1)
    return tfd.Independent(tfd.Normal(mean, np.exp(log_variance / 2)), reinterpreted_batch_ndims=1)


# %%
seen = np.asarray(images.train[:100])
gaps = {}
for name, x_i in {"test": x, "training": seen}.items():
    posterior = by_bayes(x_i)[1]
    of_encoder = divergence(small.posterior(x_i), posterior)
    of_best = divergence(best_normals(small, x_i, steps=epochs(300, 20)), posterior)
    gaps[name] = np.stack([of_encoder, of_best, of_encoder - of_best])  # [3, N]

print("                 100 test images    100 training images")
rows = "gap", "  approximation", "  amortization"
notes = "nats", "(what the best upright ellipse leaves)", "(what the encoder adds)"
for row, note, *both in zip(rows, notes, *gaps.values(), strict=True):
    print(f"{row:15s}", *(f"{nats.mean():8.2f} ± {nats.std() / 10:.2f}    " for nats in both), note)

# %%
quiz.discuss("posterior")

# %% tags=["hide-input"]
_, approximation, amortization = gaps["test"]
few = np.sort(amortization)[-20:].sum() / amortization.sum()
print(f"20 of the test images have {few:.0%} of what the encoder adds")
holds(approximation.mean() < 0.5 * gap.mean(), 0.65 < few < 0.85)
*_, of_seen = gaps["training"]
holds(of_seen.mean() > 3 * of_seen.std() / 10, of_seen.mean() > 0.5 * amortization.mean())
holds(abs(amortization.mean() - of_seen.mean()) < 2 * np.hypot(amortization.std(), of_seen.std()) / 10)

# %% [markdown]
# Most of the gap is the encoder's. And three quarters of that come from a fifth of the images. Look at the largest
# gaps in the picture: the posterior is nearly an ellipse, a slanted one, and the encoder's lies in another place. Is
# that because these images are new to it? Then images that it was trained on would have no such gap. But there, too,
# the encoder adds three nats. One network serves all images, and some it serves badly, seen or not. (New ones seem to
# cost a nat more, but a hundred of each are too few to say so: the difference is 1.0, and its standard error
# $\sqrt{0.85^2 + 0.67^2} \approx 1.1$.) Steps for each image, as here, would mend it (*semi-amortized* inference,
# lesson 09); a richer family of $q$ is meant for the rest, which is small here.

# %% [markdown]
# ## When it goes wrong
#
# These mistakes are easily made, and in plain Keras none raises an error. Two of them are here; a third one, test
# images among the training images, is in the second reading.
#
# ### Sum and mean
#
# The bound sums over pixels and over latents. Libraries like to average: `keras.losses` averages over the last axis,
# and so does `ops.mean(…, axis=1)`, written where `ops.sum` was meant. Averaging over the *batch* is right, since every
# term is averaged alike. But an average over the latents divides the KL divergence by their number, and an average over
# the pixels divides the reconstruction by theirs. We make each mistake in one line.

# %%
quiz.ask("average")


# %%
class MeanOverLatents(PlainVAE):
    def minus_bound(self, reconstruction, kl):
        return -ops.mean(reconstruction - kl / LATENTS)  # what ops.mean(…, axis=1) gives


class MeanOverPixels(PlainVAE):
    def minus_bound(self, reconstruction, kl):
        return -ops.mean(reconstruction / D - kl)  # as keras.losses does


trained = {
    "sums": (plain, plain_loss),
    "mean over latents": train(MeanOverLatents, images.train),
    "mean over pixels": train(MeanOverPixels, images.train),
}

# %% tags=["hide-input"]
measured, rows, titles = {}, [], []
codes = np.random.default_rng(8).standard_normal((8, LATENTS)).astype("float32")
print("                    its loss   reconstruction       KL     bound")
for name, (model, loss) in trained.items():
    reconstruction, kl = measure(model)  # the right ones
    measured[name] = loss, reconstruction, kl, reconstruction - kl
    print("{:18s}{:10.2f}{:17.1f}{:9.2f}{:10.1f}".format(name, *measured[name]))
    codes_of_test = ops.split(model.encoder(flat(test[:8])), 2, axis=1)[0]
    rows += [ops.sigmoid(model.decoder(z)) for z in (codes_of_test, codes)]
    titles += [name, *[""] * 7, "samples", *[""] * 7]
rows = ops.convert_to_numpy(ops.concatenate(rows)).reshape(-1, 28, 28)
vk.plotting.image_grid(rows, columns=16, titles=titles)

# %%
quiz.discuss("average")

# %% tags=["hide-input"]
right, latents_mean, pixels_mean = measured.values()
new = PlainVAE()
new(flat(test[:1]))
holds(0 < -np.subtract(*measure(new)) + fair < 30)
holds(latents_mean[1] > right[1] + 10, 3.5 < latents_mean[2] / right[2] < 4.6, latents_mean[3] < right[3] - 20)
holds(abs(pixels_mean[3] - biased) < 2, pixels_mean[2] < 0.05, 0.2 < pixels_mean[0] < 0.3)

# %% [markdown]
# Each row: eight test images reconstructed, then eight samples, decoded from draws of the prior.
#
# *Mean over latents* sells a nat of code for a fortieth of its price. (With a factor $\beta$ before the KL divergence
# it is called a $\beta$-VAE; here $\beta = 1/40$, by accident.) Its reconstructions are the best of the three, its KL
# divergence is about four times as large, and its bound is far worse. The samples, poor as they are in any VAE this
# young, have gone to pieces: the codes in use are no longer where the prior draws. Whoever looks at reconstructions
# alone will be pleased with it.
#
# *Mean over pixels* maximizes the reconstruction divided by 784, less the KL. That is the same as the reconstruction
# less 784 times the KL, so each nat of code costs 784. No code is worth that, the KL is next to nothing, and the
# decoder gives one average image to everybody: the VAE has become the biased coins of the beginning, within a nat or
# two. What would have given it away? A loss between 0.2 and 0.3 "nats" an image is no sum over 784 pixels, and a KL
# near zero means no code.
#
# *Test:* compare your loss with $D\log 2$ before training, when the decoder knows nothing: for 784 pixels it should be
# near 543, or some nats above. This finds a mean over pixels. For the KL, set $\mu = 1$ and $\sigma = 1$ in all 40
# latents: it must be 20, not 0.5.

# %% [markdown]
# ### Grey pixels as Bernoulli
#
# Give the hand-written VAE the *grey* images, with values anywhere between 0 and 1. The formula
# $x \log y + (1 - x)\log(1 - y)$ does not complain, and many tutorials train like this. Is it a likelihood? A density
# of grey values would have to integrate to one over them. With logits, $y^x(1-y)^{1-x} = e^{xa}/(1 + e^a)$, and the
# integral from 0 to 1 is $\frac{e^a - 1}{a\,(1 + e^a)} = \tanh(a/2)/a$. (At $y = \frac12$ this is 0/0, with the limit
# $\frac12$; so the cell takes 0.5001.)

# %% tags=["nbval-check-output"]
for y in (0.5001, 0.9, 0.99, 0.999):
    a = np.log(y / (1 - y))
    print(f"y = {y:.3f}: the integral is {np.tanh(a / 2) / a:.3f}")

# %% [markdown]
# For each pixel it is a half where the decoder is unsure, and less where it is sure. How much is that for an image?
# We train on grey images, and divide each pixel's "density" by its integral (which makes it the *continuous Bernoulli*
# distribution, [Loaiza-Ganem & Cunningham 2019](https://arxiv.org/abs/1907.06845)).

# %%
grey = vk.datasets.load("mnist_10k")
grey_model, grey_loss = train(PlainVAE, grey.train)

# %% tags=["hide-input"]
x = flat(grey.test)
reconstruction, kl = measure(grey_model, x)
mean, log_variance = ops.split(grey_model.encoder(x), 2, axis=1)
a = ops.convert_to_numpy(grey_model.decoder(mean + ops.exp(log_variance / 2) * epsilon))
missing = np.log(np.tanh(a / 2) / a).sum(axis=1).mean()  # log of the integral, over pixels
perfect = (xlogy(x, x) + xlogy(1 - x, 1 - x)).sum(axis=1).mean()  # y = x
print(f"the usual number               {reconstruction - kl:8.1f} nats")
print(f"as a density of grey images    {reconstruction - kl - missing:8.1f} nats")
print(f"a perfect reconstruction, y = x{perfect:8.1f} nats")
on_binary = np.subtract(*measure(grey_model))
print(f"its bound on binary images     {on_binary:8.1f} nats, the other network's {measured['sums'][3]:.1f}")

usual = reconstruction - kl
holds(abs(usual - measured["sums"][3]) < 4, -missing > 1000, abs(perfect + 46) < 1)
holds(abs(on_binary - measured["sums"][3]) < 2)
try:
    vae.fit(grey.train, verbose=0)
except ValueError as error:
    print("vaekit:", str(error).split(";")[0] + ".")
else:
    raise AssertionError("vaekit should have refused")

# %% [markdown]
# The usual number is no log-density of the grey images: that one is more than a thousand nats higher. What is it, then?
# The formula is the mean over tosses: $x \log y + (1 - x) \log(1 - y)$ is what a coin of probability $y$ gives on
# average to pixels that are tossed with the grey values $x$. So it bounds the mean of $\log p_\theta$ over *binary*
# images that one has not drawn. That is why it is near the bound of the same network trained on binary images. It is
# also why even a perfect reconstruction scores about $-46$: so much is the noise of the tossing (lesson 00's cheat).
# Nor are the weights bad: on binary test images this network is within two nats of the other. So say which number it
# is; and where grey values are no probabilities of white, as in a frame of a film, it is the likelihood of nothing that
# you observe. vaekit refuses.
#
# Grey values that are to be modelled as such need a likelihood for real numbers, for instance a normal distribution for
# each pixel, $p_\theta(x|z) = \mathcal N\big(\mu(z), \mathrm{diag}\,\sigma^2(z)\big)$ with two outputs of the decoder
# for each pixel. Only the reconstruction changes. The paper takes it for its second data set, the Frey faces, frames of
# a video with 560 grey pixels, and reports a bound of about 1310 nats on test frames. A *positive* logarithm? A density
# may be as large as it likes: with $\sigma = 0.05$ a normal density is $1/(0.05\sqrt{2\pi}) \approx 8$ high, and pixels
# add up. And it depends on the unit. If grey values run from 0 to 255 instead of from 0 to 1, each pixel's density is
# divided by 255.

# %% tags=["nbval-check-output"]
print(f"from 0…1 to 0…255: {1310 - 560 * np.log(255):.0f} nats, by the same model")

# %% [markdown]
# Densities can be compared on the same data in the same unit, and never with the nats of binary images.

# %% [markdown]
# ## Take-aways
#
# $\log p_\theta(x)$ is an integral over all codes, of which few matter: for a model with 20 latents, one in hundreds of
# billions. An encoder proposes the ones that do.
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
# **To do next:** [exercise 02](../exercises/02_the_variational_autoencoder/02_the_variational_autoencoder.ipynb): write
# the KL divergence, both estimators and a Gaussian decoder, find the gap of a model with a pencil, meet the mistakes
# above in disguise, and train a VAE that is judged on images which it has never seen. Then lesson 03 asks how to
# *measure* $\log p_\theta(x)$ when there is no grid, and puts the paper's other ways to learn on trial.

# %% [markdown]
# # Second reading
#
# Three things that can wait: how much quieter B's gradients are, what too many latents do, and what happens if test
# images are among the training images.
#
# ## How quiet is B?
#
# Let $q$ be right, so that the posterior is a normal distribution, and look at one latent,
# $z = \mu + \sigma\varepsilon$. By Bayes' rule $\log p_\theta(x|z) + \log p(z)$ is $\log p_\theta(z|x)$ plus a
# constant, a parabola with its top at $\mu$:
#
# $$\begin{aligned}
# \log p_\theta(x|z) + \log p(z) &= c - \tfrac{(z - \mu)^2}{2\sigma^2} & \text{has slope } & {-\varepsilon/\sigma},\\
# \log p(z) &= c' - \tfrac12 z^2 & \text{has slope } & {-z},\\
# \log p_\theta(x|z) &= \text{their difference} & \text{has slope } & {-\varepsilon/\sigma} + z.
# \end{aligned}$$
#
# Moving $\mu$ moves $z$ along. For A the first slope is the gradient: $\log q_\varphi(z|x)$ adds nothing, since it is
# $-\log\sigma - \varepsilon^2/2$ and a constant. For B it is the third, less the slope $\mu$ of the KL divergence:
# $-\varepsilon/\sigma + z - \mu = -(1/\sigma - \sigma)\,\varepsilon$. The variances are $1/\sigma^2$ and
# $(1/\sigma - \sigma)^2 = (1 - \sigma^2)^2/\sigma^2$, so A has $1/(1-\sigma^2)^2$ times the variance of B.
#
# For a latent in use $\sigma$ is small, and this factor hardly more than 1. Where $\sigma$ comes near 1, it grows
# without end. The formula can be tested: each point is one latent of one image.

# %% tags=["hide-input"]
by_kind, variance = spreads["trained"]
ratio = by_kind["A"][1] / by_kind["B"][1]  # of the gradient for μ, [B, L]
figure = Figure(figsize=(7, 3.2))
axis = figure.add_subplot()
axis.loglog(variance.ravel(), ratio.ravel(), ".", color=ORANGE, markersize=3, label="measured, 100 draws")
line = np.geomspace(variance.min(), 0.9, 200)
axis.loglog(line, 1 / (1 - line) ** 2, color="black", linewidth=1, label=r"$1/(1 - \sigma^2)^2$")
axis.set(xlabel="σ², variance of this latent under q(z|x)", ylabel="variance A / variance B, ∂/∂μ")
axis.set_ylim(0.7, 300)
axis.legend()
low, middle, high = np.quantile(variance, [0.2, 0.5, 0.9])
used, unused = np.median(ratio[variance <= low]), np.median(ratio[variance >= high])
holds(
    1.03 < used < 1.18, 14 < unused < 27, high > 0.8, np.median((ratio * (1 - variance) ** 2)[variance < middle]) > 0.85
)
figure

# %% [markdown]
# Those most in use, on the left, follow the curve closely: A costs them a tenth more variance or so. Farther right the
# points fall below it; for those hardly in use A has some twenty times the variance of B, less than the curve promises.
# The decoder is no parabola, and has not quite learned to ignore them.

# %% [markdown]
# ## How many latents?
#
# Does it do harm to give too many? To see harm, we need a model that *can* learn its images by heart. So we take a
# thousand training images only, each drawn in black and white once and for all, and train for long.

# %%
quiz.ask("superfluous")

# %%
thousand, others = np.asarray(images.train[:1000]), test[:1000]


def by_heart(data, latents, number):
    keras.utils.set_random_seed(7)
    model = vk.VAE(*networks(latents), seed=5)
    model.compile(Adam(0.003), objective=vk.objectives.ELBO(analytic_kl=True))
    fitted = model.fit(data, validation_data=others, epochs=epochs(number), verbose=0)
    return fitted.history


runs = {latents: by_heart(thousand, latents, 130) for latents in (5, 40, 200)}

# %% tags=["hide-input"]
print("                 bound, MNIST-10k                   paper, all of MNIST")
print("latents   training    test   best test     KL       training    test")
distance, best, kl = {}, {}, {}
for latents, run in runs.items():
    own, new, kl[latents] = (run[key][-1] for key in ("bound", "val_bound", "kl"))
    distance[latents], best[latents] = own - new, max(run["val_bound"])
    paper_test, paper_training = paper.FIGURE_2["dynamic_mnist", 20 if latents == 40 else latents, "AEVB"]
    print(f"{latents:7d}{own:11.1f}{new:8.1f}{best[latents]:12.1f}{kl[latents]:7.1f}", end="")
    print(f"{paper_training:15.1f}{paper_test:8.1f}", "(20 latents)" if latents == 40 else "")

# %%
quiz.discuss("superfluous")

# %% tags=["hide-input"]
holds(all(17 < nats < 42 for nats in distance.values()), abs(distance[5] - distance[200]) < 6, kl[200] < kl[40])
holds(distance[40] > max(distance[5], distance[200]) + 8)
as_far = int(np.argmax(np.array(runs[40]["bound"]) >= runs[200]["bound"][-1]))
earlier = runs[40]["bound"][as_far] - runs[40]["val_bound"][as_far]
print(f"apart, at the training bound with which 200 latents end: 40 {earlier:.1f}, 200 {distance[200]:.1f} nats")
holds(earlier < distance[200] < earlier + 6)
holds(best[5] < best[40] - 10, best[5] < best[200] - 5)
holds(110 < np.argmax(runs[200]["val_bound"]) > np.argmax(runs[40]["val_bound"]) + 15)

# %% [markdown]
# By the end each model knows its own thousand images some twenty to forty nats better than the others. They do overfit.
# But more latents do not mean more of it: from 5 to 40 it grows, from 40 to 200 it shrinks. (One run of each.) The
# weights of the networks can learn by heart. A latent is no free parameter that could keep an image. It is integrated
# over, and every nat that it carries is paid for in the bound. Two hundred latents carry fewer nats than forty.
#
# Five are too few: their test bound stays well below the others'. Two hundred cost time, and in this run also some nats
# of the best test bound. Each sends noise into the decoder, which has to learn not to listen, and their test bound was
# best only near the end, when that of forty had turned. (So compare at equal progress, too. When the model with forty
# had the training bound with which the one with two hundred ends, its test bound was nearer to it, but only by a few
# nats, as the line above says.) In the paper, on all of MNIST, 20 and 200 latents end at the same test bound:
# "superfluous latent variables did not result in overfitting".

# %% [markdown]
# ## Train and test mixed
#
# The third of the mistakes. Above, forty latents learned a thousand images by heart. Now the "test" images are among
# the training images, because somebody loaded both files, or split after augmenting, or took the wrong path.

# %%
quiz.ask("mixed")

# %%
mixed = by_heart(np.concatenate([thousand, others]), LATENTS, 65)  # as many steps
twice = by_heart(np.asarray(images.train[:2000]), LATENTS, 65)  # as many images, and nothing mixed

# %% tags=["hide-input"]
figure = Figure(figsize=(7, 3.2))
axis = figure.add_subplot()
memories = {"apart": (runs[LATENTS], 10, "black"), "mixed": (mixed, 20, "0.6")}
for name, (run, steps, color) in memories.items():
    for key, style, what in (("bound", "-", "training"), ("val_bound", "--", "test")):
        at = steps * np.arange(1, len(run[key]) + 1)
        axis.plot(at, run[key], style, color=color, label=f"{name}: {what}, {run[key][-1]:.1f} at the end")
axis.set(xlabel="training steps", ylabel="bound, nats", ylim=(-170, -85))
axis.legend(loc="lower right")
honest, doubled = (max(run["val_bound"]) for run in (runs[LATENTS], twice))
flattery = mixed["val_bound"][-1] - honest
show(
    f"Best test bound of the run apart: {honest:.1f}; of one with two thousand training images, none of them a test "
    f"image: {doubled:.1f}; the mixed run ends at {mixed['val_bound'][-1]:.1f} nats."
)
turned = max(runs[LATENTS]["val_bound"]) - runs[LATENTS]["val_bound"][-1]
holds(turned > 2, abs(mixed["bound"][-1] - mixed["val_bound"][-1]) < 3, flattery > 15)
holds(honest < doubled - 2, doubled < mixed["val_bound"][-1] - 5)
figure

# %%
quiz.discuss("mixed")

# %% [markdown]
# Black is the run from above, an honest one: training and test part company, and in the end test gets worse while
# training still improves. Grey is the mistake, and there is nothing to be seen: test is as good as training, to the
# end. (Even a little better: in small part because an epoch's training bound is averaged while the weights still
# improve, and test is measured after that. Nor need the two thousands of images be equally hard.) Its "test" bound is
# more than twenty nats above the best that the black one ever reached. But the mixed run also had twice as many
# training images. So did a third run, which is not drawn, and none of its two thousand was a test image: its best test
# bound is some seven nats above that of the black one. These are earned honestly; the other sixteen are flattery. With
# all of MNIST, where models overfit less, expect the flattery to be smaller, and harder to notice. *Test:* look for
# equal rows in the two arrays of *grey* images, before pixels are tossed, and at the file names that your loader opens.
# Copies that augmentation has changed are not equal: split first, then augment.
#
# **To do next:** question 8 of [exercise
# 02](../exercises/02_the_variational_autoencoder/02_the_variational_autoencoder.ipynb), where a model is judged by
# images that it has never seen. Draw its training pixels anew in every epoch: drawn once and for all, as here, they
# will not do for the last points.
