# %% [markdown]
# # 08 · Posterior collapse and skip decoders
#
# A VAE is trained, its bound is good, its samples are fine. Then somebody looks at the codes, and there is nothing in
# them: every image has the same posterior, and it is the prior. The decoder has learned to do without. This is called
# **posterior collapse**. Lesson 05 met it in an upper layer. Here it comes for the only code that a model has. We ask
# why a good decoder does that, how one notices, and what the cures cost. One of them is
# [a paper of 2018](https://arxiv.org/abs/1807.04863) with a very simple idea: give the code to every layer.
#
# **After it, you will be able to**
#
# - say in nats what a code buys and what it costs, and why the two cancel for a strong decoder;
# - measure collapse in four ways, and say what each of them does not see;
# - write warm-up, free bits, δ-posteriors, aggressive inference and skip connections in a few lines each;
# - compare cures at the same price, and tell those that revive a number from those that help the model;
# - recognize three ways to report a healthy code that is none.
#
# **You need** lessons 02 and 04, and of lesson 05 the section "Why it dies".
#
# **It takes** about {minutes} minutes of yours, and three of a laptop's CPU.

# %% tags=["hide-input"]
# # %pip install vaekit
import vaekit as vk  # first: it keeps the backend's start-up messages out of the notebook
from vaekit.course import epochs, holds
from vaekit.course.quiz import Quiz
from vaekit.course.show import explore

quiz = Quiz("08")

import ipywidgets
import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import Sequential, ops
from keras.layers import Dense
from keras.optimizers import Adam

from vaekit.backend import tfd
from vaekit.batches import DynamicBinarization
from vaekit.papers import dieng2018 as paper
from vaekit.plotting import COLORS, Figure

BLUE, ORANGE = COLORS[:2]  # the model p, the encoder q
ELBO = vk.objectives.ELBO
plt.rcParams.update({"figure.dpi": 80, "figure.constrained_layout.use": True, "axes.spines.top": False})
plt.rcParams.update({"axes.spines.right": False, "legend.frameon": False, "axes.titlesize": "medium"})

# %% [markdown]
# ## A decoder that can do without
#
# The decoders of lessons 02 to 05 toss a coin for each pixel, and the coins know nothing of each other. Whatever the
# pixels of an image have in common has to come from the code. Now let a pixel see those before it, line by line from
# the top left. Any distribution of $D$ pixels can be written as
#
# $$p(x) = p(x_1)\, p(x_2|x_1)\, p(x_3|x_1, x_2) \cdots = \prod_{d=1}^D p(x_d\,|\,x_{<d}),$$
#
# so a network that predicts each pixel from the earlier ones, $x_{<d}$, is a model of images all by itself. It is
# called **autoregressive**. A *PixelCNN* is one made of convolutions whose kernels are masked: they look at pixels
# above, and to the left. One layer sees the nearest neighbours; each further layer sees wider. And of course we may
# give it a code as well, $p_\theta(x|z) = \prod_d p_\theta(x_d|x_{<d}, z)$.
#
# To save your time, the next models see small images: MNIST-10k, each square of four pixels averaged into one, 14×14.
# (Their nats are not those of the large images: there are only 196 pixels to pay for.)

# %% tags=["hide-input"]
images = vk.datasets.load("dynamic_mnist_10k")
test = np.asarray(images.test)  # [2000, 28, 28, 1], each pixel 0 or 1
grey_test = np.asarray(vk.datasets.load("mnist_10k").test)


def shrunk(grey):
    return grey.reshape(-1, 14, 2, 14, 2, 1).mean(axis=(2, 4))


small = DynamicBinarization(shrunk(images.train.probabilities)[: epochs(5000, 100)], 1)
small_test = (np.random.default_rng(0).random((2000, 14, 14, 1)) < shrunk(grey_test)).astype("float32")
vk.plotting.image_grid(small_test[:20], columns=10)


# %%
def pixel_decoder(layers, maps=12):
    masked = [vk.layers.GatedPixelConv2D(maps, mask="B" if i else "A") for i in range(layers)]
    return vk.layers.Autoregressive([*masked, vk.layers.Bernoulli((14, 14, 1))])


def trained_small(decoder, beta=1.0):
    keras.utils.set_random_seed(1)
    encoder = Sequential([vk.layers.MLP(200, "relu"), vk.layers.DiagonalNormal(20)])
    model = vk.VAE(encoder, decoder, seed=1)
    model.compile(Adam(0.003), objective=ELBO(analytic_kl=True, beta=beta))
    model.fit(small, batch_size=100, epochs=epochs(3), verbose=0)
    return model.evaluate(small_test[: epochs(2000, 100)], verbose=0, seed=0)


# %% [markdown]
# Three decoders, in the order of what they see of their own image: no other pixel; four neighbours; and neighbours of
# neighbours. The PixelCNNs are trained a second time with every nat of code at a hundred times its price, $\beta = 100$,
# so that they keep none: that is the same decoder, alone.

# %%
quiz.ask("strong")

# %%
independent = Sequential([vk.layers.MLP(200, "relu"), vk.layers.Bernoulli((14, 14, 1))])
with_code = {"independent pixels": trained_small(independent)}
alone = {}
for layers in (1, 2)[: epochs(2, 1)]:
    name = f"PixelCNN, {layers} layer{'s' * (layers > 1)}"
    with_code[name] = trained_small(pixel_decoder(layers))
    alone[name] = trained_small(pixel_decoder(layers), beta=100.0)

# %% tags=["hide-input"]
white = np.clip(small.probabilities.mean(axis=0), 1e-4, 1 - 1e-4)
coins = (small_test * np.log(white) + (1 - small_test) * np.log(1 - white)).sum(axis=(1, 2, 3)).mean()
print("                      bound with code     KL   bound without    the code buys")
for name, parts in with_code.items():
    without = alone[name]["bound"] if name in alone else coins
    print(f"{name:20s}{parts['bound']:14.1f}{parts['kl']:11.1f}{without:14.1f}{parts['bound'] - without:15.1f}")

# %%
quiz.discuss("strong")

# %% [markdown]
# The better the decoder does alone, the less the code is used, and the less it is worth. Independent pixels without a
# code are the biased coins of lesson 02, and the code, at its full price, makes up for most of what they lack. To a
# decoder that sees its neighbours, strokes are no news: it continues them. What is left for the code is what cannot be
# seen from nearby. Its last column is *net*: what the code brings, less the KL that it costs.

# %% [markdown]
# ## The code costs what it says
#
# Why does the code have to be paid for at all? The best answer comes from sending images over a wire. If sender and
# receiver agree on a distribution $p$, then something of probability $p$ can be sent in $-\log p$ nats, and on average
# nobody can do it with less. Without a code, an image costs $-\log p_\theta(x)$, if that can be computed. With a code,
# there is a scheme in three steps:
#
# 1. The sender draws a $z$ from $q_\varphi(z|x)$, and sends it as a draw from the prior: $-\log p(z)$ nats.
# 2. Then the image, as a draw from the decoder: $-\log p_\theta(x|z)$ nats.
# 3. The receiver now has $x$, too, and works out $q_\varphi(z|x)$. *Which* of its many codes was sent did not matter;
#    so the sender has let another message choose it, any bits that were waiting to be sent. A choice from $q$ takes
#    $-\log q_\varphi(z|x)$ nats, and the receiver reads them off. They come back for free.
#
# (That $z$ is a real number, which nobody can send to its last digit, does not matter: each further digit costs in step
# 1 what it gives back in step 3.) This is the **bits-back** argument, and the bill is
#
# $$-\log p(z) - \log p_\theta(x|z) + \log q_\varphi(z|x) = -\log w, \qquad
# \text{on average } -\mathcal L(x) = -\log p_\theta(x) + \mathrm{KL}\big(q_\varphi(z|x)\,\|\,p_\theta(z|x)\big).$$
#
# So the bound is a length: minus the nats that one image takes. The last equation is lesson 02's, and now it is about
# money. Steps 1 and 3 together cost $\mathrm{KL}(q_\varphi(z|x)\,\|\,p(z))$, what the code says. In step 2 it saves
# as much, if $q$ is the posterior, compared with $-\log p_\theta(x)$. **With the best of encoders a code pays for itself,
# and not a nat more.** With any other encoder it costs extra.
#
# It makes a difference only where it changes $p_\theta(x)$. To independent pixels a code is the only way to a good
# $p_\theta(x)$. A decoder that can make a good $p_\theta(x)$ without one has nothing to win.
#
# ### A model that could not care less
#
# The smallest example has one number for an image, $x \sim \mathcal N(0, 1)$. Let the decoder be
# $p(x|z) = \mathcal N(r z,\ 1 - r^2)$. Then $p(x) = \mathcal N(0, 1)$ for *every* $r$ between 0 and 1, and $r$ is how
# much of the job is left to the code: at $r = 0$ it is ignored, towards $r = 1$ it says everything. By lesson 05, $z$
# and $x$ are two standard normals with correlation $r$, and
#
# $$p(z|x) = \mathcal N(r x,\ 1 - r^2), \qquad
# \mathbb E_x\, \mathrm{KL}\big(p(z|x)\,\|\,p(z)\big) = -\tfrac12 \log(1 - r^2).$$

# %%
quiz.ask("tie")

# %% [markdown]
# An encoder in training is always a little behind its decoder. Let ours be: it has the right variance, but a mean of
# $(1 - \eta)\, r x$, with a **lag** $\eta$. Two normals of the same variance $\sigma^2$ whose means are $\Delta$ apart
# have the divergence $\Delta^2 / 2\sigma^2$. So the bound loses
#
# $$\mathbb E_x\, \mathrm{KL}\big(q(z|x)\,\|\,p(z|x)\big) = \frac{\mathbb E\,(\eta r x)^2}{2 (1 - r^2)}
# = \frac{\eta^2}{2} \cdot \frac{r^2}{1 - r^2}.$$
#
# For comparison, a decoder that is weak: its variance is fixed at $s^2 = 0.1$, so it *needs* a code to be right. There
# $p(x) = \mathcal N(0, v)$ with $v = r^2 + s^2$, and the same lag costs $\eta^2 r^2 / (2 v s^2)$.


# %%
def mean_bound(r, s2, lag):
    """Bound of a decoder N(r z, s2), mean over x from N(0, 1), for an encoder that lags behind."""
    v = r**2 + s2
    log_p = -(np.log(2 * np.pi * v) + 1 / v) / 2
    return log_p - lag**2 * r**2 / (2 * v * s2)


# %% tags=["hide-input"]
r = np.linspace(0, 0.995, 300)


def ridge(lag):
    figure = Figure(figsize=(7, 3.4))
    axis = figure.add_subplot()
    axis.plot(r, mean_bound(r, 1 - r**2, lag), color=BLUE, label="strong: variance $1 - r^2$")
    axis.plot(r, mean_bound(r, 0.1, lag), "--", color=BLUE, label="weak: variance 0.1")
    axis.set(xlabel="r, how much is left to the code", ylabel="bound, nats", ylim=(-4, -1.2), title=f"lag {lag:.2f}")
    axis.legend(loc="lower center")
    return figure


explore(ridge, lag=ipywidgets.FloatSlider(0.2, min=0, max=1, step=0.05, description="lag"))

# %%
quiz.discuss("tie")

# %% tags=["hide-input"]
strong, weak = (np.array([mean_bound(r, s2, lag) for lag in (0, 0.2)]) for s2 in (1 - r**2, 0.1))
holds(np.ptp(strong[0]) < 1e-6, strong[1].argmax() == 0, (np.diff(strong[1]) < 0).all())
holds(0.85 < r[weak[1].argmax()] < 0.97, 0 < np.subtract(*weak.max(axis=1)) < 0.3)

# %% [markdown]
# Slide the lag to zero, and the solid line is flat: all these models are equally good, from the one that ignores its
# code to the one that puts all into it. There is no force towards either. With any lag the line falls from $r = 0$ on,
# and the most comfortable place is where no encoder is needed. The weak decoder, dashed, pays for the same lag, too,
# but it stays near $r = 0.95$: it cannot afford to do without.
#
# That is the whole of the collapse in one picture. **It is not the KL that drives the code out; on the ridge, it is
# always repaid. It is the gap.** Two kinds of cure follow. Make the decoder weaker, so that it needs a code. Or keep the
# encoder from lagging while the decision is made, early in training. We shall try both, and some that do neither.
