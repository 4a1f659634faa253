# %% [markdown]
# # 00 · Start here
#
# Take a picture of $28 \times 28$ pixels, each black or white. There are $2^{784}$ such pictures, a number of 237
# digits, and nearly all of them are snow on a dead television. A vanishing few are handwritten digits. A
# **variational autoencoder**, VAE for short, learns which: it gives each picture a probability $p(x)$, and it does so
# through a short **code** $z$ of a few numbers, from which the picture can be drawn.
#
# This course builds VAEs from the ground up, from one gradient to the models of five research papers.
# It is for you if you program in Python and want to *understand* these models, not merely run one. This first lesson
# trains one anyway, and takes a good look at it.
#
# **After it, you will have**
#
# - a set-up that works, and a VAE of your own that has drawn its first digits;
# - a look at what a VAE is made of, at two things that are wrong with yours, and at what its number hides; the other
#   lessons are about those;
# - an idea of what the course gives you, and what it asks of you.
#
# **You need** Python and NumPy; what a density, a normal distribution and an expectation are; what a gradient is. Two
# questions at the end of this lesson show how much of it.
#
# **It takes** about {minutes} minutes of yours, and one or two of a laptop's CPU.

# %% [markdown]
# ## Is everything in place?
#
# Click into the next cell and press <kbd>Shift</kbd>+<kbd>Enter</kbd>. That runs it and moves on to the next.

# %%
# Where vaekit is not installed yet, as on a hosted notebook service, first take the # off the next line.
# # %pip install "vaekit[course]"
from vaekit.course import check_setup

check_setup()

# %% [markdown]
# Each line should begin with `ok`. Where one does not, the arrow says what to do. If the cell ended in
# `ModuleNotFoundError` instead, this notebook runs on a Python that does not know vaekit: close it, and type `vaekit
# start` in a terminal (in a copy of the repository, `make lessons`). Your list of data may be shorter than ours; the
# lessons need no more than what comes with vaekit. For the whole story, with versions and devices, type `vaekit doctor`
# in a terminal of JupyterLab (File, New, Terminal). A GPU is welcome and not needed; nor is a connection to the
# internet, for every lesson runs on data that are already here.
#
# Code that only sets something up or draws a picture is folded away, as in the next cell. You can open it; you need
# not.

# %% tags=["hide-input"]
import vaekit as vk
from vaekit.course import epochs, holds
from vaekit.course.quiz import Quiz
from vaekit.course.show import explore, show

quiz = Quiz("00")

from pathlib import Path
from tempfile import TemporaryDirectory

import ipywidgets
import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import ops
from matplotlib.patches import Ellipse
from scipy.special import logsumexp, xlog1py, xlogy

plt.rcParams.update({"figure.dpi": 90, "figure.constrained_layout.use": True, "axes.titlesize": "medium"})
ENCODER = vk.plotting.COLORS[1]  # q(z|x) is orange

# %% [markdown]
# ## A first VAE
#
# The digits are an extract of MNIST that comes with vaekit, `mnist_10k`, in shades of grey. We take a pixel's grey
# value as the *probability* that it is white, and toss a coin. The training pictures are tossed anew in every pass, so
# that the model never sees quite the same picture twice; those for validation and test were tossed once.

# %% tags=["nbval-check-output"]
grey = vk.datasets.load("mnist_10k").test
digits = vk.datasets.load("dynamic_mnist_10k")
print(digits)

# %% tags=["hide-input"]
vk.plotting.reconstructions(grey[:10], digits.test[:10], columns=10, labels=("grey", "tossed, x"))

# %% [markdown]
# The lower row is what the model sees. How could a program come to draw such pictures? A VAE does it in two steps: draw
# a few numbers $z$ at random, the code, and let a network turn them into the probability of white for each pixel. Then
# toss the pixels. The probability of a picture $x$ is therefore an average, over all codes, of how probable each of
# them makes it (by $\theta$ we mean the weights of the network),
#
# $$p_\theta(x) = \int p_\theta(x \mid z)\, p(z)\, \mathrm dz.$$
#
# Nearly all codes lead to some other picture. To find out which ones explain *this* one, the model has a second
# network, which goes the other way. These are the symbols of all lessons, with the sizes of this one:
#
# | | | |
# |---|---|---|
# | $x$ | the picture, 784 numbers, 0 or 1 | what we see |
# | $z$ | its code, here 2 numbers | what we do not see: *latent* |
# | $p(z)$ | prior: the agreement that codes are standard normal | $\mathcal N(0, I)$ |
# | $p_\theta(x \mid z)$ | decoder: from a code to the probability of each pixel | a network with weights $\theta$ |
# | $q_\varphi(z \mid x)$ | encoder: from a picture to its probable codes | a network with weights $\varphi$ |
# | $\mu, \sigma$ | what the encoder computes: $q_\varphi(z \mid x) = \mathcal N(\mu, \sigma^2)$ | 2 numbers each |
# | nats | unit of log-probability, natural logarithm | 1 nat = 1.44 bits |
#
# Note that the encoder does not answer with a code. It answers with a *distribution* over codes: about here ($\mu$),
# give or take that much ($\sigma$). In vaekit you say so by ending an ordinary Keras network in a distribution:

# %%
keras.utils.set_random_seed(1)  # the same first weights for you as for us
encoder = keras.Sequential(  # q(z|x)
    [
        vk.layers.MLP([256, 128], "relu"),
        vk.layers.DiagonalNormal(2),
    ]
)
decoder = keras.Sequential(  # p(x|z)
    [
        vk.layers.MLP([128, 256], "relu"),
        vk.layers.Bernoulli((28, 28, 1)),
    ]
)
vae = vk.VAE(encoder, decoder, seed=1)
vae.compile(keras.optimizers.Adam(3e-3))

# %% [markdown]
# That is the whole model. `DiagonalNormal(2)` computes $\mu$ and $\sigma$ of two numbers, `Bernoulli` a probability of
# white for each of the 784 pixels (the distribution of a coin is named after Jacob Bernoulli). `MLP` stands for plain
# layers, here of 256 and 128 units: each multiplies by a matrix, adds a bias, and sets what is negative to zero
# (`relu`). `Adam` is gradient descent that adapts the step for each weight; a step looks at a batch of 100 pictures,
# and an *epoch* is one pass through all 10,000. That is all the Keras you need today.
#
# Before you train the model, a word on how this course works: **before an experiment, it asks you what will come of
# it.** Commit yourself, then run. A prediction that fails teaches more than an explanation that you nod at. Nobody
# watches: your answers stay in a file on this computer, and nothing is sent anywhere.

# %%
quiz.ask("sketch")

# %%
first = vae.fit(digits.train, validation_data=digits.validation, epochs=1, verbose=0)
early = vae.sample(12, mean=True, seed=3)

rest = vae.fit(
    digits.train,
    validation_data=digits.validation,
    epochs=epochs(29, fast=2),
    verbose=0,
)
late = vae.sample(12, mean=True, seed=3)

vk.plotting.reconstructions(early, late, columns=12, labels=("1 epoch", "the end"))

# %%
quiz.discuss("sketch")

# %% [markdown]
# Those pictures were never drawn by anyone. Each column is one code $z$, drawn from $\mathcal N(0, I)$ and decoded
# twice; what you see is the probability of white. (`epochs(29, fast=2)` is 29, or 2 where `VAEKIT_FAST=1` is set: see
# the end of the lesson.) After one epoch, 100 steps, there are blurs of a few kinds. At the end, most codes give a
# digit, and some give something between two. How did it get there?

# %% tags=["hide-input"]
history = {term: first.history[term] + rest.history[term] for term in first.history}
assert history["val_bound"][-1] > history["val_bound"][0] + 3
assert history["val_kl"][-1] > history["val_kl"][0]
vk.plotting.training_curves(history)

# %% [markdown]
# Three plots, in nats per picture, each for training (black) and validation (grey). On the left, the **bound**: what
# training raises. It is a lower bound on $\log p_\theta(x)$, so *higher is better*. It is the difference of the other
# two,
#
# $$\mathcal L = \underbrace{\mathbb E_{q_\varphi(z|x)}[\log p_\theta(x|z)]}_{\text{reconstruction}}
# - \underbrace{\mathrm{KL}\big(q_\varphi(z|x)\,\|\,p(z)\big)}_{\text{KL}}.$$
#
# *Reconstruction* asks: draw a code for this picture, and decode it; how probable is the picture then? *KL* (the
# Kullback-Leibler divergence) is the price: how far does the encoder's distribution depart from the prior? On average a
# code tells at most that much about its picture.

# %% tags=["hide-input"]
paid = history["val_kl"][-1] - history["val_kl"][0]
bought = history["val_reconstruction"][-1] - history["val_reconstruction"][0]
show(
    f"From the first epoch to the last, on validation pictures, the price has risen by {paid:.1f} nats, and the "
    f"reconstruction by {bought:.0f}: a good bargain, though a part of it is that the decoder now makes more of the "
    "same code. At the end, the code of a picture costs "
    f"{history['val_kl'][-1]:.1f} nats, or {history['val_kl'][-1] / np.log(2):.1f} bits."
)

# %% [markdown]
# (The first point of a training curve lies apart: it is an average over the first epoch, while the model was still
# changing fast. Validation is measured after it. On the right it lies too high: within the first epoch the KL shoots up
# from nearly nothing, and comes back.) From about epoch 12 on, validation falls behind training: the model now fits its
# own pictures better than new ones. Lesson 02 derives the bound from a blank page; today it is enough to have seen it
# at work.

# %% [markdown]
# ## What it has learned
#
# Follow one picture through the model.

# %% tags=["hide-input"]
x = digits.test[4:5]  # [1, 28, 28, 1]
q = vae.posterior(x)
z = ops.convert_to_numpy(q.sample(4, seed=vk.backend.seed(1)))[:, 0]  # [4, 2]
codes = vae.encode(digits.test)  # μ(x) of every test picture, [2000, 2]
center, radius = ops.convert_to_numpy(q.mean())[0], ops.convert_to_numpy(q.stddev())[0]

figure, axes = plt.subplots(1, 6, figsize=(9, 2.6), width_ratios=[1, 2.2, 1, 1, 1, 1])
axes[1].scatter(*codes.T, s=2, color="0.8")
for n in (1, 2, 3):
    axes[1].add_patch(Ellipse(center, *(2 * n * radius), fill=False, edgecolor=ENCODER, linewidth=1.5))
reach = 4 * radius.max()
axes[1].set(xlim=center[0] + reach * np.array([-1, 1]), ylim=center[1] + reach * np.array([-1, 1]))
axes[1].set(aspect="equal", xlabel="$z_1$", ylabel="$z_2$", title="encoder: q(z|x), 4 draws")
for i, (code, picture) in enumerate(zip(z, vae.decode(z), strict=True), start=1):
    axes[1].text(*code, i, weight="bold", ha="center", va="center")
    axes[i + 1].imshow(picture, cmap="gray", vmin=0, vmax=1)
    axes[i + 1].set_title(f"decoded, {i}")
axes[0].imshow(x[0], cmap="gray", vmin=0, vmax=1)
axes[0].set_title("x")
for axis in (axes[0], *axes[2:]):
    axis.set(xticks=[], yticks=[])
plt.show()

# %% [markdown]
# From left to right: the picture; the cloud of codes that the encoder finds probable for it (orange, one, two and three
# $\sigma$ about $\mu$), among the means of the test pictures (grey); and what the decoder makes of four codes from that
# cloud, the numbers 1 to 4. They hardly differ, for the cloud is small, as the ticks tell. An *autoencoder* sends a
# picture through a code and back; *a cloud instead of a point*, compared with a prior, is what is new in a variational
# one. Neighbouring clouds overlap, so neighbouring codes must decode to similar pictures, and the part of the plane
# where the prior draws fills up: nearly every draw lands where a picture belongs, if only a blend of its neighbours.
#
# Nobody told the model which digit is which. We know, though.

# %%
quiz.ask("labels")

# %% tags=["hide-input"]
figure = vk.plotting.Figure(figsize=(9, 4.2))
left, right = figure.subplots(1, 2)
vk.plotting.latent_scatter(codes, digits.labels.test, axes=left)
vk.plotting.manifold(vae.decode, n=16, axes=right)
figure

# %% tags=["hide-input"]
distances = ((codes[:, None] - codes[None]) ** 2).sum(axis=-1) + np.diag(np.full(len(codes), np.inf))
agree = np.mean(digits.labels.test[distances.argmin(axis=1)] == digits.labels.test)
show(f"The nearest neighbour of a code belongs to the same digit in {agree:.0%} of all cases; by chance, in 10%.")
holds(0.5 < agree < 0.7)

# %%
quiz.discuss("labels")

# %% [markdown]
# Two maps of one country. On the left the test pictures' codes, coloured by digits that the model has never been told;
# on the right what the decoder draws at each place. (The right map covers only the middle, to about $\pm 1.9$, and is
# stretched so that equal areas are equally probable under the prior; hence the uneven ticks.) Find the digit 0 on both,
# and the 1. Then travel yourself: the two sliders below move a code, and the picture follows. On a page without a
# running notebook you see where the journey starts.


# %% tags=["hide-input"]
def travel(z1, z2):
    figure, (left, right) = plt.subplots(1, 2, figsize=(6, 3))
    left.scatter(*codes.T, s=2, color="0.7")
    left.plot(z1, z2, "o", color="black")
    left.set(xlim=(-3, 3), ylim=(-3, 3), aspect="equal", xlabel="$z_1$", ylabel="$z_2$")
    right.imshow(vae.decode([[z1, z2]])[0], cmap="gray", vmin=0, vmax=1)
    right.set(xticks=[], yticks=[], title="decoded")
    return figure


def slider(value):
    return ipywidgets.FloatSlider(value, min=-3, max=3, step=0.1)


start = np.clip(np.round(codes[4], 1), -3, 3)  # the picture from above
explore(travel, z1=slider(start[0]), z2=slider(start[1]))

# %% [markdown]
# ## Take it with you
#
# A model is one file. Keras' own `load_model` opens it, wherever `import vaekit` stands above. Here it goes to a
# temporary directory; you would choose a better place, and use the model in a script, next month, or on the other
# backend (JAX in place of TensorFlow).

# %% tags=["nbval-check-output"]
with TemporaryDirectory() as folder:
    file = Path(folder) / "vae.keras"
    vae.save(file)
    again = keras.saving.load_model(file)

same = np.allclose(again.encode(digits.test), codes, atol=1e-4)
print("the same codes:", same)

# %% [markdown]
# ## How good is it?
#
# Pictures flatter. Ask for a number as well: how probable are the *test* pictures, which the model has never seen? To
# read such a number you need others beside it. Here are three, from models without any code $z$: each pixel is tossed
# for itself, with a probability that comes from nowhere (one half), from the average picture, or, cheating, from the
# very grey picture that $x$ was tossed from. A pixel $x_i$ of probability $r_i$ adds $x_i \log r_i + (1 - x_i) \log(1 -
# r_i)$ to $\log p(x)$; `xlogy` and `xlog1py` compute the two terms, and take $0 \log 0$ as 0. We take the first 500
# test pictures; that will do.


# %% tags=["nbval-check-output"]
def log_bernoulli(x, probability):
    """log p(x) in nats, pixels tossed independently: [N]."""
    logs = xlogy(x, probability) + xlog1py(1 - x, -probability)
    return logs.sum(axis=(1, 2, 3), dtype="float64")


N = len(digits.train)
average = (1 + digits.train.probabilities.sum(axis=0)) / (2 + N)  # never quite 0 or 1
some = digits.test[:500]
coins = log_bernoulli(some, 0.5).mean()
smudge = log_bernoulli(some, average).mean()
cheat = log_bernoulli(some, grey[:500]).mean()
print(f"784 fair coins       {coins:6.1f} nats  (−784 log 2 = {-784 * np.log(2):.1f})")
print(f"the average picture  {smudge:6.1f} nats")
print(f"the grey picture     {cheat:6.1f} nats")

# %% [markdown]
# For our VAE, $\log p(x)$ is the logarithm of the integral above, and has to be estimated, here by 1000 codes for each
# picture (how, is lesson 03).

# %%
quiz.ask("nats")

# %%
bound = vae.evaluate(some, verbose=0, seed=4)["bound"]
likelihood = vk.evaluation.log_likelihood(vae, some, samples=1000, progress=False)
print(f"our VAE, bound       {bound:6.1f} nats")
error = likelihood.standard_error
print(f"our VAE, log p(x)    {likelihood.mean:6.1f} nats, ± {error:.1f}")
assert smudge < bound < likelihood.mean < cheat

# %%
quiz.discuss("nats")

# %% tags=["hide-input"]
gain, missing = likelihood.mean - smudge, cheat - likelihood.mean
show(
    f"The average picture is worth a lot, {smudge - coins:.0f} nats more than coins: corners are black, and the middle "
    f"is often white. Beyond that, the two numbers in $z$ earn {gain:.0f} nats, their price already paid. A nat is a "
    f"factor of $e$ in probability, so the VAE finds an unseen digit typically $e^{{{gain:.0f}}}$ times as probable as "
    f"the average picture does, which is about $10^{{{gain / np.log(10):.0f}}}$. To the cheat, {missing:.0f} nats are "
    "missing; no honest model gets there, since none is shown the grey picture."
)

# %% [markdown]
# Nobody beats the cheat on average, since the pixels *were* tossed with the grey picture's probabilities $r$. Any other
# $p$ does worse: the logarithm bends downwards, so $\mathbb E_r\big[\log \frac{p(x)}{r(x)}\big] \le \log \mathbb
# E_r\big[\frac{p(x)}{r(x)}\big] \le \log \sum_x p(x) = 0$. (The second $\le$ is there since pictures with $r(x) = 0$
# are never tossed.) What the cheat leaves, 46 nats, is the noise of the tossing itself.
#
# The ± is a standard error: for 500 other test pictures the mean would come out differently, by about that much. Within
# one standard error of the truth lie about two of three such means, within two about 19 of 20. Two numbers of the
# *same* pictures, as the last two are, share most of that chance, and their difference is known better (lesson 12). Nor
# does the ± know of the error of the estimate itself; more of that below.

# %% tags=["hide-input"]
assert 45.5 < -cheat < 46.5 and likelihood.standard_error < 4

# %% [markdown]
# ## And what is wrong with it?
#
# First, look at what it makes of test pictures: encode the tossed picture, take the mean code, decode. The upper
# row shows, in grey, what each was tossed from.

# %%
reconstructed = vae.reconstruct(digits.test[:10])
labels = "grey", "from z"
vk.plotting.reconstructions(grey[:10], reconstructed, columns=10, labels=labels)

# %% [markdown]
# **It blurs, and it mistakes one digit for another.** Some digits come back as another one, and most come back soft:
# where the code leaves several pictures open, the decoder can do no better than their average. Two numbers are too few;
# but more numbers alone do not make good pictures, as lessons 02 and 06 show.
#
# Second, look at the clouds. Given the decoder and a picture, the codes that explain it have a true distribution, the
# **posterior** $p_\theta(z|x) = p_\theta(x|z)\, p(z) / p_\theta(x)$ (Bayes). With only two numbers in $z$ we can afford
# what is out of reach with many, since the points of a grid multiply with each further number: compute $p_\theta(x|z)\,
# p(z)$ on a fine grid. The encoder's $q_\varphi(z|x)$ should match it. By what it misses, the bound is too low, for
# each picture (lesson 02 shows why):
#
# $$\log p_\theta(x) - \mathcal L = \mathrm{KL}\big(q_\varphi(z|x)\,\|\,p_\theta(z|x)\big).$$
#
# On average over our 500 pictures that is the difference of the last two numbers. We sort the pictures by their gap,
# and draw three: one from the middle, one that is worse than 95 of 100, and the worst. For these three we know
# $p_\theta(x)$ nearly exactly: it is the sum of $p_\theta(x|z)\, p(z)$ over the grid, times the area of a cell.
# ($\mathcal L$ is an average over 200 draws, so the largest number is good to a few nats.)

# %% tags=["hide-input"]
bounds = vae.log_weights(some, samples=epochs(200, 20), seed=5).mean(axis=0)  # log p(x, z) − log q(z|x)
gap = likelihood.per_example - bounds
order = np.argsort(gap)
lost = {}  # the gap: log p(x) by the grid, the bound by draws
figure = vk.plotting.Figure(figsize=(9, 3.2))
panels = figure.subplots(1, 3)
for axis, (name, place) in zip(panels, {"middle": 250, "bad": 475, "worst": 499}.items(), strict=True):
    i = order[place]
    x = some[i : i + 1]

    def log_joint(z, x=x):
        return vae.log_p({"x": np.repeat(x, len(z), axis=0), "z": z})  # log p(x, z), [M]

    q = vae.posterior(x)
    both = {"p(z|x)": log_joint, "q(z|x)": q.log_prob}
    z = vk.plotting.latent_grid((-4, 4), 120)
    logs = [ops.convert_to_numpy(log_p(z)) for log_p in both.values()]
    close = z[np.any([log > log.max() - 6 for log in logs], axis=0)]  # where one of the two has its mass
    middle, reach = (close.min(axis=0) + close.max(axis=0)) / 2, np.ptp(close, axis=0).max() / 2 + 0.1
    limits = [(m - reach, m + reach) for m in middle]
    fine = vk.plotting.latent_grid(limits, 200)
    log_p_x = logsumexp(ops.convert_to_numpy(log_joint(fine))) + 2 * np.log(2 * reach / 199)  # the integral, as a sum
    lost[name] = log_p_x - bounds[i]
    vk.plotting.posterior_contours(both, limits=limits, points=200, axes=axis, legend=axis is panels[2])
    axis.set_title(f"{name}: {lost[name]:.0f} nats lost")
figure

# %% [markdown]
# Blue is the truth, the orange lines are what the encoder says; of each, the three regions hold 50, 90 and 99 % of the
# probability. **The encoder is often only roughly right, and sometimes quite wrong.** Its clouds are ellipses whose
# axes are parallel to those of the plane, because `DiagonalNormal` has no others. The truth may be tilted, or lie on
# two islands, where two quite different codes explain the picture. And for some pictures the ellipse is simply in the
# wrong place. The pictures were sorted with $\log p_\theta(x)$ as 1000 codes of the encoder estimate it. Is that good
# enough? For the last of the three:

# %% tags=["hide-input"]
show(f"The 1000 codes say that {gap[order[-1]]:.0f} nats are lost, the grid that {lost['worst']:.0f} are.")
holds(0 < lost["middle"] < lost["bad"] < lost["worst"], lost["worst"] > gap[order[-1]] + 1)

# %% [markdown]
# The 1000 codes come from the orange cloud, and none of them falls into the blue regions, from which nearly all of
# $p_\theta(x)$ comes. So they make $p_\theta(x)$ too small, and with it the loss. Lesson 02 has more such pictures.
#
# Third, **a single number hides a lot.** Our $\log p(x)$ was itself an estimate, from codes that this encoder proposed.
# When can you trust it? What if the decoder ignores $z$? What if pixels are not coins? Each of these questions has its
# lesson.

# %% [markdown]
# ## The map
#
# | lesson | what it is about | paper |
# |---|---|---|
# | **00 start here** | you are here | |
# | **[01 the reparameterization trick][01]** | how a gradient passes through dice | [VAE] |
# | **[02 the variational autoencoder][02]** | the bound and the model, from a blank page | VAE |
# | **[03 measuring likelihood][03]** | what $\log p(x)$ is, and how far to trust it | VAE |
# | **[04 importance weighted autoencoders][04]** | a tighter bound, from more samples | [IWAE] |
# | **[05 two stochastic layers][05]** | codes of codes | IWAE |
# | **[06 VampPrior][06]** | a prior that learns where the codes are | [VampPrior] |
# | **[07 hierarchies and PixelCNN][07]** | better posteriors, stronger decoders | VampPrior |
# | **[08 posterior collapse][08]** | when the decoder ignores $z$, and skips against it | [Skip-VAE] |
# | **[09 text][09]** | sentences in place of pictures; encoders that get a second try | Skip-VAE |
# | **[10 calibrated decoders][10]** | how sure a decoder should be of its pixels | [σ-VAE] |
# | **[11 video][11]** | a code for each frame; many futures of one past | σ-VAE |
# | **[12 capstone][12]** | your data, your model, all five papers in one table | all |
#
# Lessons 01 to 12 have exercises, which are graded on your own computer: [01][e01], [02][e02], [03][e03], [04][e04],
# [05][e05], [06][e06], [07][e07], [08][e08], [09][e09], [10][e10], [11][e11], [12][e12].
#
# [01]: 01_the_reparameterization_trick.ipynb
# [02]: 02_the_variational_autoencoder.ipynb
# [03]: 03_measuring_likelihood.ipynb
# [04]: 04_importance_weighted_autoencoders.ipynb
# [05]: 05_two_stochastic_layers.ipynb
# [06]: 06_vampprior.ipynb
# [07]: 07_hierarchies_and_pixelcnn.ipynb
# [08]: 08_posterior_collapse.ipynb
# [09]: 09_text.ipynb
# [10]: 10_calibrated_decoders.ipynb
# [11]: 11_video.ipynb
# [12]: 12_capstone.ipynb
# [e01]: ../exercises/01_the_reparameterization_trick/01_the_reparameterization_trick.ipynb
# [e02]: ../exercises/02_the_variational_autoencoder/02_the_variational_autoencoder.ipynb
# [e03]: ../exercises/03_measuring_likelihood/03_measuring_likelihood.ipynb
# [e04]: ../exercises/04_importance_weighted_autoencoders/04_importance_weighted_autoencoders.ipynb
# [e05]: ../exercises/05_two_stochastic_layers/05_two_stochastic_layers.ipynb
# [e06]: ../exercises/06_vampprior/06_vampprior.ipynb
# [e07]: ../exercises/07_hierarchies_and_pixelcnn/07_hierarchies_and_pixelcnn.ipynb
# [e08]: ../exercises/08_posterior_collapse/08_posterior_collapse.ipynb
# [e09]: ../exercises/09_text/09_text.ipynb
# [e10]: ../exercises/10_calibrated_decoders/10_calibrated_decoders.ipynb
# [e11]: ../exercises/11_video/11_video.ipynb
# [e12]: ../exercises/12_capstone/12_capstone.ipynb
# [VAE]: https://arxiv.org/abs/1312.6114
# [IWAE]: https://arxiv.org/abs/1509.00519
# [VampPrior]: https://arxiv.org/abs/1705.07120
# [Skip-VAE]: https://arxiv.org/abs/1807.04863
# [σ-VAE]: https://arxiv.org/abs/2006.13202

# %% [markdown]
# ## How a lesson works
#
# - **Story, mathematics, code**, in small turns and with the same symbols. First by hand in a few lines, then with
#   vaekit, and a cell that shows that both agree.
# - **A question before each experiment.** Click, or run `quiz.ask("labels", answer="a")`. Change your mind as often as
#   you like. To forget all answers, delete the file that `vaekit.course.quiz.ANSWERS.path` names.
# - **An exercise after it.** Seven or eight questions each, from one line to a trained model. Run the cell below your
#   answer, and it says what is right, what is wrong with the rest, and why. Try as often as you like; `vaekit progress`
#   keeps count.
# - **Your trained numbers will differ from ours a little:** processors round in different ways. Where they must not
#   differ much, an `assert` watches over them.
# - **Break things.** Change a seed, train for 10 epochs only, leave out a hidden layer. A cell that then ends in *The
#   text says otherwise* is not broken: your numbers no longer bear out the text; go on with the next. To have
#   everything back, delete the notebook and type `vaekit start`: it lays a fresh one there.
# - **In a hurry?** Start Jupyter with the environment variable `VAEKIT_FAST=1` (`VAEKIT_FAST=1 vaekit start`; in
#   Windows' command prompt `set VAEKIT_FAST=1` first), and training is cut short. Everything runs, pictures and numbers
#   are worse, and do not fit the text.
#
# ## What it asks of you
#
# One to two hours for each lesson (its top says more exactly), and about three hours for an exercise. Python and NumPy;
# densities and expectations; gradients. Lesson 01 explains the Keras that it uses; from lesson 02 on it helps to have
# trained some network with Keras. The two questions that follow show how much mathematics you need in order to begin.

# %%
quiz.ask("average")

# %%
quiz.discuss("average")

# %%
quiz.ask("slope")

# %%
quiz.discuss("slope")

# %% [markdown]
# If both made sense once you had read the discussion, you are ready. If not, an hour with any introduction to
# probability, on expectations, and one with any introduction to calculus, on the chain rule, is well spent first.
#
# **When you are stuck,** or a sentence here lost you, or an error message did not help: open an issue in the repository
# from which you have this course. Say what you did, what you expected and what came instead, and add what
# `vaekit doctor` prints. A sentence that lost you is a bug like any other.
#
# ## Take-aways
#
# A VAE is an encoder $q_\varphi(z|x)$, a decoder $p_\theta(x|z)$ and a prior $p(z)$. It is trained by raising a lower
# bound on $\log p_\theta(x)$: reconstruction minus KL, in nats.
#
# The encoder answers with a cloud of codes, the decoder has to make sense of every point in it, and the KL term keeps
# the clouds where the prior draws. So a code drawn from the prior mostly lies in some cloud, and decodes to a digit.
#
# Ours blurs, its encoder is only roughly right, and its likelihood is only an estimate.
#
# **To do next:** [lesson 01](01_the_reparameterization_trick.ipynb). The encoder's cloud means that there are dice in
# the middle of the model, and you have just trained it by gradient descent, straight through the dice. How can that be?
# When you know, [exercise 01](../exercises/01_the_reparameterization_trick/01_the_reparameterization_trick.ipynb) asks
# whether you do.
