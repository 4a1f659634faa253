# %% [markdown]
# # 00 · Start here
#
# Take a picture of $8 \times 8$ pixels, each black or white. There are $2^{64}$ such pictures, eighteen
# billion billion, and nearly all of them are snow on a dead television. A vanishing few are handwritten digits. A
# **variational autoencoder**, VAE for short, learns which: it gives each picture a probability $p(x)$, and it does so
# through a short **code** $z$ of a few numbers, from which the picture can be drawn.
#
# This course builds VAEs from the ground up, from one gradient to five research papers, reproduced whole. It is for
# you if you program in Python and want to *understand* these models, not merely run one. This first lesson trains
# one anyway, and takes a good look at it.
#
# **After it, you will have**
#
# - a set-up that works, and a VAE of your own that has drawn its first digits;
# - seen what a VAE is made of, and three things that are wrong with yours; the other lessons are about those;
# - an idea of what the course gives you, and what it asks of you.
#
# **It takes** a quarter of an hour of yours, and less than a minute of a laptop's CPU.

# %% [markdown]
# ## Is everything in place?
#
# Click into the next cell and press <kbd>Shift</kbd>+<kbd>Enter</kbd>. That runs it and moves on to the next.

# %%
# Where vaekit is not installed yet, as on a hosted notebook service, first take the # off the next line.
# # %pip install vaekit
from vaekit.course import check_setup

check_setup()

# %% [markdown]
# Each line should begin with `ok`. Where one does not, the arrow says what to do. If the cell ended in
# `ModuleNotFoundError` instead, this notebook runs on a Python that does not know vaekit: close it, and start it with
# `make lessons` from the course's directory. For the whole story, with versions and devices, type `vaekit doctor` in
# a terminal. A GPU is welcome and not needed; nor is a network, for every lesson runs on the digits that are already
# here.

# %%
import vaekit as vk
from vaekit.course import epochs
from vaekit.course.quiz import Quiz
from vaekit.course.show import explore

quiz = Quiz("00")

from pathlib import Path
from tempfile import TemporaryDirectory

import ipywidgets
import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import ops
from scipy.special import xlog1py, xlogy

plt.rcParams.update({"figure.dpi": 90, "figure.constrained_layout.use": True, "axes.titlesize": "medium"})

# %% [markdown]
# ## A first VAE
#
# The digits come with scikit-learn: 1797 pictures in shades of grey. We take a pixel's grey value as the
# *probability* that it is white, and toss. Tossed anew in every epoch, the training pictures never repeat.

# %% tags=["nbval-check-output"]
digits = vk.datasets.load("dynamic_digits")
print(digits)

# %%
grey = vk.datasets.load("digits").test
vk.plotting.reconstructions(grey[:12], digits.test[:12], columns=12, labels=("grey", "tossed, x"))

# %% [markdown]
# The lower row is what the model sees. Squint: the digits are there, but they are hard to read even for you. Keep
# that in mind when you judge what comes out.
#
# A VAE consists of two networks and one small agreement:
#
# | | | |
# |---|---|---|
# | $x$ | the picture, 64 numbers, 0 or 1 | what we see |
# | $z$ | its code, here 2 numbers | what we do not see: *latent* |
# | $p(z)$ | prior: the agreement that codes are standard normal | $\mathcal N(0, I)$ |
# | $p_\theta(x \mid z)$ | decoder: from a code to the probability of each pixel | a network with weights $\theta$ |
# | $q_\varphi(z \mid x)$ | encoder: from a picture to its probable codes | a network with weights $\varphi$ |
# | $\mu, \sigma$ | what the encoder computes: $q_\varphi(z \mid x) = \mathcal N(\mu, \sigma^2)$ | 2 numbers each |
# | nats | unit of log-probability, natural logarithm | 1 nat = 1.44 bits |
#
# These symbols mean the same in all lessons. Note that the encoder does not answer with a code. It answers with a
# *distribution* over codes: about here ($\mu$), give or take that much ($\sigma$). In vaekit you say so by ending an
# ordinary Keras network in a distribution:

# %%
keras.utils.set_random_seed(1)  # the same first weights for you as for us
encoder = keras.Sequential([vk.layers.MLP([256, 128], "relu"), vk.layers.DiagonalNormal(2)])  # q(z|x)
decoder = keras.Sequential([vk.layers.MLP([128, 256], "relu"), vk.layers.Bernoulli((8, 8, 1))])  # p(x|z)
vae = vk.VAE(encoder, decoder, seed=1)
vae.compile(keras.optimizers.Adam(3e-3))

# %% [markdown]
# That is the whole model. Before you train it, a word on how this course works: **before an experiment, it asks you
# what will come of it.** Commit yourself, then run. A prediction that fails teaches more than an explanation that you
# nod at. Nobody watches: your answers stay in a file on this computer, and nothing is sent anywhere.

# %%
quiz.ask("sketch")

# %%
first = vae.fit(digits.train, validation_data=digits.validation, epochs=1, verbose=0)
early = vae.sample(12, mean=True, seed=3)

rest = vae.fit(digits.train, validation_data=digits.validation, epochs=epochs(99, fast=20), verbose=0)
late = vae.sample(12, mean=True, seed=3)

vk.plotting.reconstructions(early, late, columns=12, labels=("after 1 epoch", "at the end"))

# %%
quiz.discuss("sketch")

# %% [markdown]
# Those pictures were never drawn by anyone. Each column is one code $z$, drawn from $\mathcal N(0, I)$ and decoded
# twice; what you see is the probability of white. At first nearly all codes give the same smudge. At the end, most give
# a digit, and some give something between two. How did it get there?

# %%
history = {term: first.history[term] + rest.history[term] for term in first.history}
assert history["val_bound"][-1] > history["val_bound"][0] + 3
vk.plotting.training_curves(history)

# %% [markdown]
# Three curves, in nats per picture. On the left, the **bound**: what training raises. It is a lower bound on
# $\log p_\theta(x)$, so *higher is better*. It is the difference of the other two,
#
# $$\mathcal L = \underbrace{\mathbb E_{q_\varphi(z|x)}[\log p_\theta(x|z)]}_{\text{reconstruction}}
# - \underbrace{\mathrm{KL}\big(q_\varphi(z|x)\,\|\,p(z)\big)}_{\text{KL}}.$$
#
# *Reconstruction* asks: draw a code for this picture, and decode it; how probable is the picture then? *KL* is the
# price: how much does the code give away about the picture? At first the model pays nothing and learns the smudge.
# Then it finds that some nats spent on codes buy more nats of reconstruction. Lesson 02 derives this line from a
# blank page; today it is enough to have seen it at work. Training and validation stay together: pictures tossed anew
# cannot be learned by heart.

# %% [markdown]
# ## What it has learned
#
# Follow one picture through the model.

# %%
x = digits.test[:1]  # [1, 8, 8, 1]
q = vae.posterior(x)
z = ops.convert_to_numpy(q.sample(4, seed=vk.backend.seed(1)))[:, 0]  # [4, 2]
codes = vae.encode(digits.test)  # μ(x) of every test picture, [300, 2]

figure, axes = plt.subplots(1, 6, figsize=(9, 2.6), width_ratios=[1, 2.2, 1, 1, 1, 1])
axes[1].scatter(*codes.T, s=3, color="0.7")
vk.plotting.posterior_contours({"q(z|x)": q.log_prob}, points=200, axes=axes[1])
axes[1].get_legend().remove()
axes[1].set_title("encoder: q(z|x), 4 draws")
for i, (code, picture) in enumerate(zip(z, vae.decode(z), strict=True), start=1):
    axes[1].text(*code, i, color="#bd1f01", weight="bold", ha="center", va="center")
    axes[i + 1].imshow(picture, cmap="gray", vmin=0, vmax=1)
    axes[i + 1].set_title(f"decoded, {i}")
axes[0].imshow(x[0], cmap="gray", vmin=0, vmax=1)
axes[0].set_title("x")
for axis in (axes[0], *axes[2:]):
    axis.set(xticks=[], yticks=[])
plt.show()

# %% [markdown]
# From left to right: the picture; the cloud of codes that the encoder finds probable for it, among the means of all
# test pictures (grey); and what the decoder makes of four codes from that cloud. They differ, and they should: the
# tossed picture does not tell the whole truth about the grey one. *A cloud instead of a point* is what
# makes an autoencoder variational. Neighbouring clouds overlap, so neighbouring codes must decode alike, and
# hardly a place in the plane is left from which nothing sensible comes.
#
# Nobody told the model which digit is which. We know, though.

# %%
quiz.ask("labels")

# %%
figure = vk.plotting.Figure(figsize=(9, 4.2))
left, right = figure.subplots(1, 2)
vk.plotting.latent_scatter(codes, digits.labels.test, axes=left)
vk.plotting.manifold(vae.decode, n=16, axes=right)
figure

# %%
quiz.discuss("labels")

# %% [markdown]
# Two maps of one country. On the left the test pictures' codes, coloured by digits that the model has never been
# told; on the right what the decoder draws at each place. (The right map is stretched so that equal areas are equally
# probable under the prior, hence the uneven ticks.) Find the digit 0 on both, and the 6. Then travel yourself:
# the two sliders below move a code, and the picture follows. On a page without a running notebook you see where the
# journey starts.


# %%
def travel(z1, z2):
    figure, (left, right) = plt.subplots(1, 2, figsize=(6, 3))
    left.scatter(*codes.T, s=4, color="0.7")
    left.plot(z1, z2, "o", color="#bd1f01")
    left.set(xlim=(-3, 3), ylim=(-3, 3), aspect="equal", xlabel="$z_1$", ylabel="$z_2$")
    right.imshow(vae.decode([[z1, z2]])[0], cmap="gray", vmin=0, vmax=1)
    right.set(xticks=[], yticks=[], title="decoded")
    return figure


def slider(value):
    return ipywidgets.FloatSlider(value, min=-3, max=3, step=0.1)


start = np.round(codes[0], 1)  # the picture from above
explore(travel, z1=slider(start[0]), z2=slider(start[1]))

# %% [markdown]
# ## Take it with you
#
# A model is one file, and it is loaded by plain Keras. Here it goes to a temporary directory; you would choose a better
# place, and use the model in a script, next month, or on the other backend.

# %% tags=["nbval-check-output"]
with TemporaryDirectory() as folder:
    file = Path(folder) / "vae.keras"
    vae.save(file)
    again = keras.saving.load_model(file)

print("the same codes:", np.allclose(again.encode(digits.test), codes, atol=1e-5))
print("the same samples:", np.allclose(again.sample(12, mean=True, seed=3), late, atol=1e-5))

# %% [markdown]
# ## How good is it?
#
# Pictures flatter. A number does not: how probable are the *test* pictures, which the model has never seen? To read
# such a number you need others beside it. Here are three, from models without any code $z$: each pixel is tossed for
# itself, with a probability that comes from nowhere (one half), from the average picture, or, cheating, from the very
# grey picture that $x$ was tossed from.


# %% tags=["nbval-check-output"]
def log_bernoulli(x, probability):
    """log p(x) in nats, pixels tossed independently: [N]."""
    return (xlogy(x, probability) + xlog1py(1 - x, -probability)).sum(axis=(1, 2, 3))


N = len(digits.train)
average = (1 + digits.train.probabilities.sum(axis=0)) / (2 + N)  # [8, 8, 1], never quite 0 or 1
coins, smudge, cheat = (log_bernoulli(digits.test, p).mean() for p in (0.5, average, grey))
print(f"64 fair coins        {coins:6.1f} nats  (−64 log 2 = {-64 * np.log(2):.1f})")
print(f"the average picture  {smudge:6.1f} nats")
print(f"the grey picture     {cheat:6.1f} nats")

# %%
bound = vae.evaluate(digits.test, verbose=0, seed=4)["bound"]
likelihood = vk.evaluation.log_likelihood(vae, digits.test, samples=1000, progress=False)
print(f"our VAE, bound       {bound:6.1f} nats")
print(f"our VAE, log p(x)    {likelihood.mean:6.1f} nats, ± {likelihood.standard_error:.1f}")
assert smudge < bound < likelihood.mean < cheat

# %% [markdown]
# The average picture is worth a lot: corners are black, the middle is white. Beyond that, two numbers in $z$ earn
# about three more nats, that is, our VAE finds an unseen digit typically $e^3 \approx 20$ times more probable than
# the smudge does. The cheat stays out of reach: a model has to guess the grey values. And nobody beats the cheat on
# average: what it leaves, 13.7 nats, is the noise of the tossing itself.
#
# The ± is a standard error: for 300 other test pictures the mean would come out differently, by about that much. In
# this course no likelihood comes without one.

# %% [markdown]
# ## And what is wrong with it?
#
# First, look at what it makes of test pictures: encode, take the mean code, decode.

# %%
reconstructed = vae.reconstruct(digits.test[:12])
vk.plotting.reconstructions(grey[:12], reconstructed, columns=12, labels=("grey", "from z"))

# %% [markdown]
# **It blurs, and it mistakes.** Some digits come back as another one, and all come back soft: where the code leaves
# several pictures open, the decoder can do no better than their average. Two numbers are too few; but more numbers
# alone do not make good pictures, as you will see.
#
# Second, look at the clouds. With only two numbers in $z$ we can afford what is impossible otherwise: calculate the
# *true* posterior $p_\theta(z|x)$, the codes that explain $x$ given this decoder, on a fine grid. The encoder's
# $q_\varphi(z|x)$ should match it. What it misses, the bound loses, picture by picture:
# $\log p_\theta(x) - \mathcal L = \mathrm{KL}\big(q_\varphi(z|x)\,\|\,p_\theta(z|x)\big)$.

# %%
gap = likelihood.per_example - vae.log_weights(digits.test, samples=200, seed=5).mean(axis=0)  # [300]
order = np.argsort(gap)
figure = vk.plotting.Figure(figsize=(9, 3.2))
panels = figure.subplots(1, 3)
for axis, (name, place) in zip(panels, {"typical": 150, "bad": 290, "worst": 299}.items(), strict=True):
    i = order[place]
    x = digits.test[i : i + 1]

    def log_joint(z, x=x):
        return vae.log_p({"x": np.repeat(x, len(z), axis=0), "z": z})  # log p(x, z), [M]

    both = {"p(z|x)": log_joint, "q(z|x)": vae.posterior(x).log_prob}
    vk.plotting.posterior_contours(both, limits=(-4, 4), points=200, axes=axis)
    axis.set_title(f"{name}: {gap[i]:.1f} nats lost")
for axis in panels[:2]:
    axis.get_legend().remove()
figure

# %% [markdown]
# Blue is the truth, the lines are what the encoder says. **The encoder is only nearly right.** Its clouds are ellipses
# with upright axes, because `DiagonalNormal` has no others; the truth leans, bends, or falls into parts. And on
# rare pictures the two hardly meet.
#
# **A single number hides a lot.** Our $\log p(x)$ was itself an estimate, from samples of that encoder. When can you
# trust it? What if the decoder ignores $z$? What if pixels are not coins? Each of these questions has its lesson.

# %% [markdown]
# ## The map
#
# | lesson | what it is about | paper |
# |---|---|---|
# | **00 start here** | you are here | |
# | **[01 the reparameterization trick][01]** | how a gradient passes through dice | [VAE] |
# | **[02 the variational autoencoder][02]** | the bound and the model, from a blank page | VAE |
# | 03 measuring likelihood | what $\log p(x)$ is, and how far to trust it | VAE |
# | 04 importance weighted autoencoders | a tighter bound, from more samples | [IWAE] |
# | 05 two stochastic layers | codes of codes | IWAE |
# | 06 VampPrior | a prior that learns where the codes are | [VampPrior] |
# | 07 hierarchies and PixelCNN | better posteriors, stronger decoders | VampPrior |
# | 08 posterior collapse | when the decoder ignores $z$, and skips against it | [Skip-VAE] |
# | 09 text | sentences in place of pictures; encoders that get a second try | Skip-VAE |
# | 10 calibrated decoders | how sure a decoder should be of its pixels | [σ-VAE] |
# | 11 sequences | video | σ-VAE |
# | 12 capstone | your data, your model, all five papers in one table | all |
#
# The lessons in **bold** are here, the others are being written. Lessons 01 and 02 have exercises, which are graded on
# your own computer: [exercise 01][e01], [exercise 02][e02].
#
# [01]: 01_the_reparameterization_trick.ipynb
# [02]: 02_the_variational_autoencoder.ipynb
# [e01]: ../exercises/01_the_reparameterization_trick/01_the_reparameterization_trick.ipynb
# [e02]: ../exercises/02_the_variational_autoencoder/02_the_variational_autoencoder.ipynb
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
# - **A question before each experiment.** Click, or say `quiz.ask("labels", answer="a")`. Change your mind as often as
#   you like. To forget all answers, delete the file that `vaekit.course.quiz.answers_file()` names.
# - **An exercise after it.** Eight questions each, from one line to a trained model. Run the cell below your answer,
#   and it says what is right, what is wrong with the rest, and why. Try as often as you like; `vaekit progress` keeps
#   count.
# - **Your trained numbers will differ from ours a little:** processors round in different ways. Where they must not
#   differ much, an `assert` watches over them.
# - **Break things.** Change a seed, train for 10 epochs only, leave out a hidden layer. A fresh copy of the
#   notebook from the repository brings everything back.
# - **In a hurry?** Start Jupyter with the environment variable `VAEKIT_FAST=1`, and training is cut short. Everything
#   runs, pictures and numbers are worse.
#
# ## What it asks of you
#
# About an hour and a half for each lesson: an hour to read, predict and run, the rest to play. Python and NumPy; what
# an expectation is; what a gradient is. From lesson 02 on, some Keras. The two questions that follow are
# all the mathematics you need in order to begin.

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
# The encoder answers with a cloud of codes, and the decoder has to make sense of every point in it. That is why you
# can draw a code from the prior and get a digit.
#
# Ours blurs, its encoder is only nearly right, and its likelihood is an estimate.
#
# **To do next:** [lesson 01](01_the_reparameterization_trick.ipynb). The encoder's cloud means that there are dice in
# the middle of the model, and you have just trained it by gradient descent, straight through the dice. How can that be?
# When you know, [exercise 01](../exercises/01_the_reparameterization_trick/01_the_reparameterization_trick.ipynb) asks
# whether you do.
