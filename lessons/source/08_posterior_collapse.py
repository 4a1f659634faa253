# %% [markdown]
# # 08 · Posterior collapse and skip decoders
#
# A VAE is trained, its bound is good, its samples are fine. Then somebody looks at the codes, and there is nothing in
# them: every image has the same posterior, and it is the prior. The decoder has learned to do without. This is called
# **posterior collapse**. Lesson 05 met it in an upper layer, lesson 07 saw a whole model on its way there. (Ours will
# not go all the way either: we look at codes that have lost much of what they could say.) We ask why a good decoder
# does that, how one notices, and what the cures cost. One of them is [a paper of
# 2018](https://arxiv.org/abs/1807.04863) with a very simple idea: give the code to every layer.
#
# **After it, you will be able to**
#
# - say in nats what a code buys, and what it costs;
# - measure collapse in four ways, and say what each of them does not see;
# - write warm-up, free bits, δ-posteriors, aggressive inference and skip connections in a few lines each;
# - compare cures at the same price, and tell those that revive a number from those that help the model;
# - recognize four ways in which a report on a code can mislead.
#
# **You need** lessons 02 and 04; of lesson 05 the section "Why it dies", of lesson 06 what mutual information is, and
# of lesson 07 what a PixelCNN is.
#
# **It takes** about {minutes} minutes of yours, and three of a laptop's CPU.

# %% tags=["hide-input"]
# # %pip install "vaekit[course]"
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
from vaekit.plotting import CLASSES, COLORS, Figure

BLUE = COLORS[0]  # the model p
plt.rcParams.update({"figure.dpi": 80, "figure.constrained_layout.use": True, "axes.spines.top": False})
plt.rcParams.update({"axes.spines.right": False, "legend.frameon": False, "axes.titlesize": "medium"})


def ELBO(**options):
    """The bound, with the KL by its formula."""
    return vk.objectives.ELBO(analytic_kl=True, **options)


# %% [markdown]
# ## A decoder with two sources
#
# The decoders of lessons 02 to 06 toss a coin for each pixel, and the coins know nothing of each other. Whatever the
# pixels of an image have in common has to come from the code. Lesson 07's *PixelCNN* draws the pixels line by line from
# the top left, and each sees those before it, $x_{<d}$. So $\prod_d p_\theta(x_d|x_{<d})$ is a model of images all by
# itself. And of course we may give it a code as well, $p_\theta(x|z) = \prod_d p_\theta(x_d|x_{<d}, z)$.
#
# To save your time, the next models see 5000 small images of MNIST-10k: each square of four pixels is averaged into
# one, 14×14, and these greys are tossed to 0 or 1 as before. (Their nats are not those of the large images: there are
# only 196 pixels to pay for.)

# %% tags=["hide-input"]
images = vk.datasets.load("dynamic_mnist_10k")
test = np.asarray(images.test)  # [2000, 28, 28, 1], each pixel 0 or 1
grey_test = np.asarray(vk.datasets.load("mnist_10k").test)


def shrunk(grey):
    return grey.reshape(-1, 14, 2, 14, 2, 1).mean(axis=(2, 4))


small = DynamicBinarization(shrunk(images.train.probabilities)[: epochs(5000, 100)], 1)
grey_small = shrunk(grey_test)[: epochs(1000, 100)]
small_test = (np.random.default_rng(0).random(grey_small.shape) < grey_small).astype("float32")
vk.plotting.image_grid(small_test[:20], columns=10)


# %%
def pixel_decoder(skip=False):  # skip: for later
    masked = vk.layers.GatedPixelConv2D(12, mask="A")  # 12 maps
    return vk.layers.Autoregressive([masked, vk.layers.Bernoulli((14, 14, 1))], skip)


def small_encoder():
    return Sequential([vk.layers.MLP(200, "relu"), vk.layers.DiagonalNormal(20)])


def small_vae(make_decoder, objective=None, **options):
    keras.utils.set_random_seed(1)
    model = vk.VAE(small_encoder(), make_decoder(**options), seed=1)
    model.compile(Adam(0.003), objective=objective or ELBO())
    model.fit(small, batch_size=100, epochs=epochs(3, 0), verbose=0)
    return model


# %% [markdown]
# Two decoders: one whose pixels see no other pixel, and a PixelCNN of a single layer, whose pixels see four neighbours,
# the one to the left and three above. To give it a code, a linear layer makes a map of 14 × 14 numbers out of $z$, and
# lays it on the image as a second channel. The PixelCNN is trained a second time, with zeros in the place of its code:
# that is the same decoder, alone.

# %%
quiz.ask("strong")


# %%
def independent():
    return Sequential([vk.layers.MLP(200, "relu"), vk.layers.Bernoulli((14, 14, 1))])


def alone():
    return Sequential([keras.layers.Rescaling(0.0), pixel_decoder()])


pixels = {"independent pixels": small_vae(independent), "PixelCNN": small_vae(pixel_decoder)}
pixels["PixelCNN alone"] = small_vae(alone)

# %% tags=["hide-input"]
white = np.clip(small.probabilities.mean(axis=0), 1e-4, 1 - 1e-4)
coins = (small_test * np.log(white) + (1 - small_test) * np.log(1 - white)).sum(axis=(1, 2, 3)).mean()
parts = {name: model.evaluate(small_test, verbose=0, seed=0) for name, model in pixels.items()}
without = {"independent pixels": coins, "PixelCNN": parts["PixelCNN alone"]["bound"]}
print("                      bound with code     KL   bound without    the code buys")
wins = {}
for name, other in without.items():
    wins[name] = parts[name]["bound"] - other
    print(f"{name:20s}{parts[name]['bound']:14.1f}{parts[name]['kl']:11.1f}{other:14.1f}{wins[name]:z15.1f}")

# %%
quiz.discuss("strong")

# %% tags=["hide-input"]
holds(3 < wins["independent pixels"] < 7, -1.2 < wins["PixelCNN"] < 0.1, 2.2 < parts["PixelCNN"]["kl"] < 4.2)
holds(parts["independent pixels"]["kl"] > parts["PixelCNN"]["kl"] + 0.5, parts["PixelCNN alone"]["kl"] < 0.1)
holds(without["PixelCNN"] > parts["independent pixels"]["bound"] + 1.5)

# %% [markdown]
# Independent pixels without a code are the biased coins of lesson 02. A code of four nats wins them five more than it
# costs, and that after three epochs. The PixelCNN is the better model, and its code wins it nothing that counts after
# three epochs; without one it is even half a nat better. (One seed.) A decoder that sees its neighbours needs nobody to
# tell it that strokes go on.
#
# Now look at its KL. It is *not* zero: the code costs some three nats, it saves about as much, and nothing is left
# over. (How much of it is about the image, we measure later: two.) That is the state of affairs in which codes get
# lost. We shall see it in a formula, and also where the fraction of a nat has gone.

# %% [markdown]
# ## What a code costs
#
# Why does the code have to be paid for at all? The best answer comes from sending images over a wire. If sender and
# receiver agree on a distribution $p$, then something of probability $p$ can be sent in $-\log p$ nats, and if things
# do come with these probabilities, nobody can do it with less on average. Without a code, an image costs $-\log
# p_\theta(x)$, if that can be computed. With a code, there is a scheme in three steps:
#
# 1. The sender draws a $z$ from $q_\varphi(z|x)$, and sends it as a draw from the prior: $-\log p(z)$ nats.
# 2. Then the image, as a draw from the decoder: $-\log p_\theta(x|z)$ nats.
# 3. The receiver now has $x$, too, and works out $q_\varphi(z|x)$. *Which* of the image's many possible codes was sent
#    did not matter; so in step 1 the sender need not toss for it after all, but can let the first bits of the next
#    message choose, which look like tosses. As three bits choose one of eight, a choice from $q$ uses up $-\log
#    q_\varphi(z|x)$ nats of that message, and the receiver reads them off the $z$. They need not be sent any more.
#
# (That $z$ is a real number, which nobody can send to its last digit, does not matter: each further digit costs in step
# 1 what it gives back in step 3.) This is the **bits-back** argument, and the bill is, with lesson 04's weight $w$,
#
# $$-\log p(z) - \log p_\theta(x|z) + \log q_\varphi(z|x) = -\log w, \qquad
# \text{on average } -\mathcal L(x) = -\log p_\theta(x) + \mathrm{KL}\big(q_\varphi(z|x)\,\|\,p_\theta(z|x)\big).$$
#
# So the bound is minus a length: minus the nats that one image takes. The last equation is lesson 02's, and now it is
# about money. Steps 1 and 3 together cost $\mathrm{KL}(q_\varphi(z|x)\,\|\,p(z))$ on average, the price of the code. In
# step 2 it saves as much, if $q$ is the posterior, compared with $-\log p_\theta(x)$. **With the best of encoders a
# code pays for itself, and not a nat more.** With any other encoder it costs extra. (That is measured against $\log
# p_\theta(x)$ of the *same* model. Against a model without a code it may win a lot:)
#
# A code makes a difference only where it changes $p_\theta(x)$. To independent pixels a code is the only way to a good
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

# %% [markdown]
# With the exact posterior, the bound is $\log p(x)$, the same for every $r$. But an encoder in training is always a
# little behind its decoder. Let ours be: it has the right variance, but a mean of $(1 - \eta)\, r x$, with a **lag**
# $\eta$. And for comparison take a decoder that is *weak*, of a variance that is fixed: $p(x|z) = \mathcal N(r z, s^2)$
# with $s^2 = 0.1$. So its $p(x) = \mathcal N(0, v)$ has the variance $v = r^2 + s^2$. By lesson 03's parabola its
# posterior has the mean $rx/v$, and its encoder lags as well.

# %%
quiz.ask("tie")

# %% [markdown]
# Two normals of the same variance $\sigma^2$ whose means are $\Delta$ apart have the divergence $\Delta^2 / 2\sigma^2$.
# So the bound of the strong decoder loses
#
# $$\mathbb E_x\, \mathrm{KL}\big(q(z|x)\,\|\,p(z|x)\big) = \frac{\mathbb E\,(\eta r x)^2}{2 (1 - r^2)}
# = \frac{\eta^2}{2} \cdot \frac{r^2}{1 - r^2}.$$
#
# The weak one, whose posterior has the variance $s^2/v$, loses $\eta^2 (r/v)^2 / (2 s^2/v) = \eta^2 r^2 / (2 v s^2)$.


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
holds(abs(r[weak[1].argmax()] - 0.93) < 0.005, 0 < np.subtract(*weak.max(axis=1)) < 0.3)
holds(mean_bound(r, 0.1, 1).argmax() == 0, abs(mean_bound(0, 1, 0.2) - mean_bound(0.5, 0.75, 0.2) - 0.007) < 5e-4)

# %% [markdown]
# Slide the lag to zero, and the solid line is flat, a **ridge**: all these models are equally good, from the one that
# ignores its code to the one that puts all into it. There is no force towards either. With any lag the line falls from
# $r = 0$ on, at first too little to be seen (0.007 nats down to $r = 0.5$), and the best place is where no encoder is
# needed. The weak decoder, dashed, pays for the same lag, too, but with a small one it stays near $r = 0.93$. (Only
# with a lag near 1 does it give up as well.) It needs the code to be right: without one, its variance is a tenth of the
# data's.
#
# **On this ridge it is not the KL that drives the code out, which is always repaid. It is the gap.** (It is a toy, with
# a lag that we gave it. Whether training does the same is another question.) Two kinds of cure follow. Make the decoder
# weaker, so that it needs a code. Or keep the encoder from lagging while the decision is made, early in training. We
# shall try both, and some that do neither.

# %% [markdown]
# ## Measured four ways
#
# From here on the images are the large ones again, and the decoders have independent pixels. Collapse does not need an
# autoregressive decoder: a *deep* one will do, of four hidden layers. Beside it, one of a single hidden layer. All else
# is the same, and so it will be for the large models to come: 40 latents, layers of 200 units, and the computing of
# eight epochs of MNIST-10k.


# %%
def decoder(layers=4, skip=False):
    hidden = [Dense(200, "relu") for _ in range(layers)]
    return vk.layers.Stack([*hidden, vk.layers.Bernoulli((28, 28, 1))], skip)  # skip: for later


def encoder(head=None):
    return Sequential([vk.layers.MLP(200, "relu"), head or vk.layers.DiagonalNormal(40)])


models, curves = {}, {}


def trained(name, objective=None, layers=4, skip=False, head=None, passes=8, rate=0.003):
    keras.utils.set_random_seed(1)
    model = vk.VAE(encoder(head), decoder(layers, skip), seed=1)
    model.compile(Adam(rate), objective=objective or ELBO())
    fitted = model.fit(images.train[: epochs(10_000, 100)], batch_size=100, epochs=epochs(passes, 0), verbose=0)
    models[name], curves[name] = model, fitted.history.get("kl", [])


trained("deep")
trained("shallow", layers=1)

# %% [markdown]
# **The KL** is what the code costs. A nat that is not paid was not said, so a small KL proves that little is said. Does
# a large one prove the opposite?
#
# **Mutual information** is what the code says about *which* image it was. Lesson 06 split the average KL into two
# parts: $I$, the divergence of $q_\varphi(z|x)$ from the aggregate posterior $q_\varphi(z)$, and the misfit of
# $q_\varphi(z)$ to the prior. Only $I$ tells images apart. And it has a ceiling: a code cannot do more than to say
# which of $N$ images it was, and that takes $\ln N$ nats.
#
# **Active units** are lesson 04's: a latent counts if its posterior mean varies over images, with a variance $a >
# 0.01$.
#
# **A classifier on codes** asks whether what is said is of use: predict the digit from the code, here by logistic
# regression. Usually it is given the posterior *means*. We shall give it draws as well, which is what the decoder gets.
#
# Beside all that stands $\log p_\theta(x)$, by 25 importance weights for each image. By lesson 03 that is some nats too
# low, and not by the same for every encoder: take differences of a few nats with care.

# %%
quiz.ask("active")


# %% tags=["hide-input"]
def measured(model):
    """All that we ask of a model, on test images: a dict of numbers."""
    few = test[: epochs(2000, 100)]
    information = vk.evaluation.information(model, few, progress=False)
    units = vk.evaluation.active_units(model, few)
    row = {"bound": information.elbo, "KL": information.kl, "I": information.mutual_information}
    row |= {"active": units.count, "> 0.1": int((units.activity > 0.1).sum())}
    train, labels = np.asarray(images.train)[: epochs(2000, 300)], images.labels
    for name, mean in (("means", True), ("draws", False)):
        pairs = (train, labels.train[: len(train)]), (few, labels.test[: len(few)])
        codes = lambda x, mean=mean: model.encode(x, mean=mean, seed=1)  # noqa: E731
        row[name] = 100 * vk.evaluation.classification_accuracy(codes, *pairs, classifier="linear").mean
    row["log p"] = vk.evaluation.log_likelihood(model, few, epochs(25, 2), progress=False).mean
    return row


def show_table(rows):
    print(f"{'':18s}  bound     KL      I  active  > 0.1   means   draws   log p(x)")
    for name, row in rows.items():
        print(
            f"{name:18s}{row['bound']:7.1f}{row['KL']:7.1f}{row['I']:7.2f}{row['active']:8d}{row['> 0.1']:7d}", end=""
        )
        print(f"{row['means']:7.0f}%{row['draws']:7.0f}%{row['log p']:11.1f}")


rows = {name: measured(model) for name, model in list(models.items())[: epochs(2, 1)]}
show_table(rows)
print(f"ceiling of I for 2000 images: ln 2000 = {np.log(2000):.2f}")

# %%
quiz.discuss("active")

# %% tags=["hide-input"]
deep, shallow = rows["deep"], rows.get("shallow", rows["deep"])
holds(
    deep["KL"] < shallow["KL"] - 4,
    deep["bound"] < shallow["bound"] - 5,
    deep["active"] > max(deep["> 0.1"] + 8, 2 * deep["> 0.1"]),
)
holds(all(6.5 < row["I"] < np.log(2000) for row in rows.values()), deep["means"] > deep["draws"] + 3)

# %% [markdown]
# The deep model is the poorer one by every column, and each column has its blind spot.
#
# - By KL it says much less than the shallow one. That is the plainest sign, but a part of it is misfit.
# - By $I$ they differ by half a nat or less, for both are near the ceiling. To tell 2000 images apart takes 7.6 nats,
#   and a code of ten comes close to that. That does *not* say that the other nats are idle: what they say of stroke and
#   slant may tell millions of images apart, and $I$ cannot see it. Near its ceiling $I$ measures $N$.
# - By activity, too, the shallow model is ahead. But what does an active unit have to say? It pays $\frac12(\mu^2 +
#   \sigma^2 - 1 - \log\sigma^2)$, where $\sigma^2 - 1 - \log\sigma^2$ is never negative (it is zero at $\sigma = 1$,
#   and that is its minimum). So on average it pays $a/2$ at least, and the rule guarantees a two-hundredth of a nat.
#   Ask for ten times the threshold, and most of the deep model's active units fail. They **whisper**.
# - The classifier reads the means better than the draws, in either model. A mean has no noise, so it can be read even
#   where it is small; a draw has the noise that the decoder has to live with. How well whispers alone can be read, we
#   shall see with a picture.

# %% [markdown]
# ## Depth, and the number of latents
#
# The paper measures the same for a PixelCNN and for fully connected decoders, on the whole of MNIST. Its numbers for
# the VAE (its "Skip-VAE" comes next):

# %% tags=["hide-input"]
print("PixelCNN, 9 layers,          PixelCNN, 20 latents,        fully connected,")
print("by latents                   by layers                    50 latents, by layers")
print("    ".join(["       ELBO     KL active"] * 3))
columns = [[], [], []]
for latents in (2, 10, 20, 50, 100):
    columns[0].append((latents, *paper.PIXELCNN_BY_LATENTS[latents, "VAE"]))
for layers in (1, 3, 6, 9):
    columns[1].append((layers, *paper.PIXELCNN_BY_DEPTH["dynamic_mnist", layers, "VAE"]))
for layers in (2, 3, 4):
    columns[2].append((layers, *paper.MLP_BY_LAYERS[layers, "VAE"]))
for i in range(5):
    parts = [f"{c[i][0]:3d}{c[i][1]:8.2f}{c[i][2]:7.2f}{c[i][4]:7d}" if i < len(c) else "" for c in columns]
    print("    ".join(parts).rstrip())
most = max(kl for (_, kind), (_, kl, *_) in paper.PIXELCNN_BY_LATENTS.items() if kind == "VAE")
holds(most == 8.29, paper.PIXELCNN_BY_LATENTS[100, "VAE"][3] == 5)

# %% [markdown]
# In the middle: each further layer of the PixelCNN makes it a better model of images, by 6.6 nats in all, and takes
# nats from the code, from 13 down to 7. Lesson 07's table showed the same, with fewer pixels in sight instead of fewer
# layers. On the right: a fully connected decoder has no pixels to look at, and yet with depth its KL falls, *and so
# does the bound*, by two nats. The model gains nothing by it. On the left: with ten times as many latents, 100 instead
# of 10, the code says less instead of more, and five units are left. The bound falls a little, too, by 0.4 nats; why,
# the table does not tell.
#
# So there are two kinds of collapse. One is a choice: the decoder does without, and is hardly the worse for it. The
# other is an accident of training. For the first the ridge is a model. What about the second? Look at a decoder before
# its first step. How much do its logits depend on $z$?

# %%
quiz.ask("first")


# %%
def heard(layers, skip=False):
    """Variance of logits over codes drawn from the prior, mean over pixels, of a new decoder."""
    keras.utils.set_random_seed(1)
    z = np.random.default_rng(0).normal(size=(500, 40)).astype("float32")
    logits = decoder(layers, skip)(z).distribution.logits_parameter()
    return float(ops.mean(ops.var(logits, axis=0)))


depths = (1, 2, 3, 4, 6, 8)
plain = np.array([heard(n) for n in depths])

# %% tags=["hide-input"]
figure = Figure(figsize=(6, 3))
axis = figure.add_subplot()
axis.semilogy(depths, plain, "o-", color=BLUE)
axis.set(xlabel="hidden layers", ylabel="variance of logits over z", title="decoders that have learned nothing yet")
factor = (plain[0] / plain[-1]) ** (1 / 7)
print(f"from 1 to 8 layers by a factor of {plain[0] / plain[-1]:.0f}, that is {factor:.1f} a layer")
holds(2 < factor < 3, plain[0] / plain[-1] > 150)
figure

# %%
quiz.discuss("first")

# %% [markdown]
# Each layer lets through less than half of what it hears. A ReLU cuts off one half of its input, and what the first
# weights do to the rest does not make up for it. (Which factor it is depends on activation and initialization.) So at
# the start of training the deep decoder has next to nothing of $z$ in its output. What follows is our explanation, not
# measured here. The bias of the last layer can learn at once: in the first steps it becomes the biased coins. What the
# encoder gets as a gradient has come down the same stairs. Meanwhile the KL is due in full. The encoder does the
# sensible thing, and goes to the prior; then the decoder finds noise in $z$, and learns not to hear it. That is lesson
# 05's place to stay. If this is right, whatever makes a young decoder hear its code should help.

# %% [markdown]
# ## Skip connections
#
# The paper's answer is to give $z$ to every layer, not just to the first. For layers $h_l$ with weights $W_l$:
#
# $$h_1 = f(W_1 z + b_1), \qquad h_l = f(W_l h_{l-1} + U_l z + b_l).$$
#
# The VAE so far has $U_l = 0$. In the **Skip-VAE** the $U_l$ are weights, learned with the others. Ours gives the last
# layer, of logits, its $U z$ as well, as the paper's PixelCNN does. (In the code that was published with the paper, the
# fully connected decoder does not.)

# %% tags=["hide-input"]
figure = Figure(figsize=(8, 2.2))
for axis, skips in zip(figure.subplots(1, 2), (False, True), strict=True):
    names = ["$z$", "$h_1$", "$h_2$", "$h_3$", "$x$"]
    arrow = {"arrowstyle": "-|>", "color": BLUE, "linewidth": 2, "shrinkA": 14, "shrinkB": 14}
    for i, name in enumerate(names):
        axis.plot(i, 0, "o", markersize=26, markerfacecolor="0.9" if name == "$x$" else "white", color="black")
        axis.text(i, 0, name, ha="center", va="center", fontsize=12)
        if i:
            axis.annotate("", (i, 0), (i - 1, 0), arrowprops=arrow)
        if i > 1 and skips:
            bent = {**arrow, "connectionstyle": f"arc3,rad={-0.5 + 0.03 * i}"}
            axis.annotate("", (i, 0), (0, 0), arrowprops=bent)
    axis.set(title="decoder with skips" if skips else "decoder", xlim=(-0.4, 4.4), ylim=(-0.4, 1.1))
    axis.axis("off")
figure

# %% [markdown]
# A convolutional layer cannot add a vector to a map, so there $z$ becomes a map first, one number for each place, by a
# linear layer of its own, and joins the others as one more channel. In vaekit the first is `Stack(layers, skip=True)`,
# the second `Autoregressive(layers, skip=True)`. Is that the formula? Folded, it is done by hand. And what does a new
# decoder hear now?

# %% tags=["nbval-check-output", "hide-input"]
stack = decoder(layers=2, skip=True)
z = np.random.default_rng(2).normal(size=(3, 40)).astype("float32")
theirs = ops.convert_to_numpy(stack(z).distribution.logits_parameter()).reshape(3, -1)

h, arrays = z, stack.get_weights()
for layer, (weights, bias) in enumerate(zip(arrays[::2], arrays[1::2], strict=True)):
    inputs = h if layer == 0 else np.concatenate([h, z], axis=1)  # [W U] (h, z) = W h + U z
    a = inputs @ weights + bias
    h = np.maximum(a, 0)
print("the same logits:", np.allclose(a, theirs, atol=1e-5))

# %%
skipped = np.array([heard(n, skip=True) for n in depths])

# %% tags=["hide-input"]
figure = Figure(figsize=(6, 3))
axis = figure.add_subplot()
axis.semilogy(depths, skipped, "o-", color=BLUE, label="with skips")
axis.semilogy(depths, plain, "o--", color=BLUE, label="without")
axis.set(xlabel="hidden layers", ylabel="variance of logits over z")
axis.legend()
holds(skipped.max() / skipped.min() < 1.3, skipped.min() > plain.max())
figure

# %% [markdown]
# The last layer hears $z$ itself, however deep the network below. Nothing is lost on the stairs any more.
#
# ### What can be proved
#
# The paper has a theorem. In the words of its abstract, "skip models increase the mutual information between the
# observations and the inferred latent variables". For its assumptions and its proof see the paper. Here is
# what can be shown in a few lines. Draw $z$ from the prior, and $x$ from the decoder. What $x$ tells about $z$,
# $\mathrm{KL}(p(z|x)\,\|\,p(z))$ averaged over $x$, is the mutual information in the *model*, $I(x; z)$. If something
# else, $h$, is known beforehand, put it behind the bar everywhere, and average over it, too: $I(z; x\,|\,h)$.
#
# *First, a layer in between cannot add to what is known.* What $z$ tells of two things is what it tells of one, plus
# what it tells of the other once the one is known. For $h = h_l$ and $x$, in both orders:
#
# $$I\big(z; (h, x)\big) = I(z; h) + I(z; x\,|\,h) = I(z; x) + I(z; h\,|\,x).$$
#
# Without skips, $x$ is made from $h$ alone. Who knows $h$ learns nothing more about $z$ from $x$, so $I(z; x|h) = 0$.
# And $I(z; h|x) \ge 0$, as every information is. Hence $I(z; x) \le I(z; h_l)$, for *every* layer: **the code is heard
# through the narrowest of them.** (This is the *data processing inequality*.) With skips, $x$ is made from $(h_l, z)$,
# and the same lines say $I(z; x) \le I\big(z; (h_l, z)\big)$. On the right, $z$ is asked about itself, and that bounds
# nothing. No layer can be the bottleneck.
#
# *Second, every VAE is a Skip-VAE*, with all $U_l = 0$. So whatever can be reached without skips, an information or a
# bound, can be reached with them, and the highest $I$ over all weights is at least as high with skips as without.
#
# So much is proved. It is worth saying what is not.
#
# - *Not for given weights.* Let the decoder be $h = z$, $x = h + s\,\varepsilon$, and add a skip, $x = h + Uz +
#   s\,\varepsilon$. Then $I(x; z) = \frac12 \log\big(1 + (1 + U)^2/s^2\big)$ (our toy's $-\frac12 \log(1 -
#   r^2)$, with their correlation for $r$), and with $U = -1$ nothing is left. A skip can take away as well as give.
# - *Not for what training finds.* More weights of any kind have the second property. And a strong decoder with skips
#   has the flat ridge as before: $U_l = 0$ is on it.
# - *Not for the encoder.* The information of the codes, lesson 06's, is the model's if $q$ is the posterior and the
#   model draws what the data are. Otherwise they differ.
#
# Besides, a layer of real numbers has room for any code, down to the last digit, so $I(z; h_l)$ is usually infinite. So
# as a number the inequality says nothing here, unless $h_l$ has but a few values (all ReLUs off for every $z$). What
# stays is its reason: two codes with the same $h_l$ give the same distribution of images. What faded from layer to
# layer above is its soft version. That the experiments come out as they do, these lines permit; they do not promise it.

# %% [markdown]
# ## Cures at equal budget
#
# All treat the deep model, and each may use as much computing as its eight epochs.
#
# **Keep the price away early.** *Warm-up*, $\beta = 0 \to 1$ in the first half of the training, `WarmUp(400)`. *Cyclic*
# warm-up does that several times over: whenever $\beta$ is small, units that were given up get another chance. In
# vaekit a schedule is any function of the step:


# %%
def cyclic(step, period=200):
    """β: up from 0 to 1 in the first half of each period, 1 in the second."""
    within = ops.cast(step % period, "float32") / period
    return ops.minimum(2 * within, 1.0)


# %% [markdown]
# **Make the code cost anyway.** *Free bits* of lesson 05, $\max(\lambda, \mathrm{KL})$ with $\lambda = 20$ nats. A
# *δ-posterior* is one that cannot be the prior, whatever its parameters. (The [δ-VAE of Razavi and others,
# 2019](https://arxiv.org/abs/1901.03416), has it for sequences. This is the simplest relative.) Let $\sigma$ be at most
# $c < 1$. The price of a unit falls with $\sigma$ up to 1, so it is at least $\delta = \frac12\big(c^2 - 1 - \log
# c^2\big)$. That is 0.19 nats for $c = 0.6$, and with 40 latents 7.6 nats that are spent in any case. A layer in vaekit
# names its parameters and says what distribution they make:


# %%
class Capped(vk.layers.DistributionLayer):
    """N(μ, diag σ²) with σ below 0.6."""

    parameters = ("mean", "logit")

    def distribution(self, mean, logit):
        return self.independent(tfd.Normal(mean, 0.6 * ops.sigmoid(logit)))


# %% [markdown]
# **Weaken the decoder.** Take three of its four layers away: `shallow`.
#
# **Help the encoder.** The *IWAE* of lesson 04, $k = 5$, which forgives an encoder that is off. Five draws take the
# decoder five times, so it gets three epochs instead of eight (by multiplications somewhat more than its share).
# *Aggressive inference* ([He and others, 2019](https://arxiv.org/abs/1901.05534)) takes the ridge at its word: do not
# let the encoder lag. Early in training, it takes steps of the encoder alone before each step of both. Theirs asks the
# mutual information when to stop that; our short form takes nine for one during the first half of the budget, and then
# trains both. `encoder_only` is a second model of the same two networks, for which the decoder counts as fixed:


# %% tags=["hide-input"]
def pair(q, p, shape):
    """Two models of the same networks: one trains both, the other one the encoder q alone."""
    both, encoder_only = vk.VAE(q, p, seed=1), vk.VAE(q, p, seed=2)
    for model in (both, encoder_only):
        model.build((None, *shape))
        p.trainable = model is both  # Adam takes what is trainable now
        model.compile(Adam(0.003), objective=ELBO())
    p.trainable = True
    return both, encoder_only


# %%
def aggressive(make_q, make_p, data, rounds, passes):
    keras.utils.set_random_seed(1)
    q, p = make_q(), make_p()
    both, encoder_only = pair(q, p, data.shape[1:])
    rng = np.random.default_rng(0)
    for _ in range(rounds):  # ten batches of 100 in each
        x = data[rng.choice(len(data), 1000, replace=False)]
        p.trainable = False  # `fit` checks that it still is
        encoder_only.fit(x[:900], batch_size=100, verbose=0)
        p.trainable = True
        both.fit(x[900:], batch_size=100, verbose=0)
    both.fit(data, batch_size=100, epochs=passes, verbose=0)
    return both


# %% [markdown]
# That is 40 rounds of nine steps and one, then four epochs of 100: 800 steps as for the others, but only 440 of them
# move the decoder. So we also train `deep` for 440 steps and stop there. That row has little more than half of the
# budget; it is there to tell whether the encoder's steps were of use.
#
# **Smaller steps.** Perhaps 0.003 is too large a learning rate for a deep decoder? `deep` once more, with a third of
# it.
#
# **Skip connections**, at last.

# %%
quiz.ask("cures")

# %%
how = {
    "warm-up": dict(objective=ELBO(beta=vk.objectives.WarmUp(400))),
    "cyclic": dict(objective=ELBO(beta=cyclic)),
    "free bits, 20": dict(objective=ELBO(free_bits=20.0)),
    "δ-posterior": dict(head=Capped(40)),
    "IWAE, k = 5": dict(objective=vk.objectives.IWAE(5), passes=3),
    "skips": dict(skip=True),
    "smaller steps": dict(rate=0.001),
}
for name, options in list(how.items())[: epochs(7, 0)]:
    trained(name, **options)
half = epochs(40, 0), epochs(4, 0)  # rounds of ten batches, then epochs
models["aggressive"] = aggressive(encoder, decoder, images.train, *half)
if epochs(1, 0):
    trained("deep, 440 steps", passes=4)
    models["deep, 440 steps"].fit(images.train[:4000], batch_size=100, verbose=0)

# %% tags=["hide-input"]
for name in list(models)[: epochs(11, 1)]:
    rows[name] = rows.get(name) or measured(models[name])
show_table(rows)

# %%
quiz.discuss("cures")

# %% tags=["hide-input"]
if "skips" in rows:
    log_p = {name: row["log p"] for name, row in rows.items()}
    holds(*(log_p[name] > log_p["deep"] + 6 for name in ("shallow", "warm-up", "cyclic", "free bits, 20", "skips")))
    holds(log_p["skips"] > log_p["deep"] + 18, abs(log_p["skips"] - log_p["shallow"]) < 5)
    holds(log_p["warm-up"] > log_p["free bits, 20"] + 0.5, rows["free bits, 20"]["KL"] > rows["warm-up"]["KL"] + 3)
    holds(log_p["aggressive"] < log_p["deep"] - 12, abs(log_p["δ-posterior"] - log_p["cyclic"]) < 6)
    holds(0 < log_p["deep, 440 steps"] - log_p["aggressive"] < 10)
    delta = rows["δ-posterior"]
    holds(delta["log p"] - delta["bound"] > 8, delta["> 0.1"] > 35, log_p["IWAE, k = 5"] < log_p["deep"] - 10)
    iwae = rows["IWAE, k = 5"]
    holds(
        iwae["> 0.1"] > rows["deep"]["> 0.1"] + 8,
        abs(iwae["> 0.1"] - rows["skips"]["> 0.1"]) < 10,
        iwae["I"] == min(row["I"] for row in rows.values()),
    )
    slow, stopped = rows["smaller steps"], rows["deep, 440 steps"]
    holds(slow["KL"] > deep["KL"] + 1, slow["> 0.1"] > deep["> 0.1"] + 4, log_p["smaller steps"] < log_p["deep"] + 1)
    holds(stopped["active"] > deep["active"] + 10, stopped["> 0.1"] > deep["> 0.1"] + 5, stopped["KL"] < deep["KL"])
    holds(log_p["deep"] > log_p["deep, 440 steps"] + 14, (np.diff(curves["deep"]) > 0).all())

# %% [markdown]
# Read $\log p_\theta(x)$ first, the last column. Most cures help this patient, two end behind `deep` itself. Skips and
# the simplest cure, a decoder of a single layer, help most, both by more than twenty nats; the one or two between them
# may be the seed. At this size the three more layers had little to give. Warm-up, which leaves the networks as they
# are, is worth some fifteen. (How much of it is the code, and how much a deep network that learns slowly, eight epochs
# cannot tell. The runs of 100 epochs below speak for both.)
#
# Now compare with the columns that are usually reported.
#
# - *Free bits*: five nats more KL than warm-up, and some nats of likelihood behind it. Twenty of its nats are
#   $\lambda$, and it costs hardly one more.
# - The *δ-posterior* has all of its 40 units in use by either threshold, and the classifier does nearly as well on its
#   codes as on any. Its bound is about ten nats below that of warm-up: its posteriors may not be as wide as the prior,
#   so every unit pays, those with nothing to say as well. By $\log p_\theta(x)$, which forgives the encoder a part of
#   that, it is among the others.
# - *Cyclic* warm-up ends behind the plain one. Both spend half of their steps with $\beta < 1$. But the warm-up has its
#   last 400 steps at $\beta = 1$, the cyclic one 100 at a time; whether that is the reason we have not tested.
# - *Smaller steps* are no cure in eight epochs. The code is larger and more units are active, by either threshold, and
#   the likelihood is none the better.
# - The *IWAE* is far behind: with five codes for each image it got three epochs, and `deep` itself is far from done
#   after little more than four, as the last row shows. More epochs may turn that; equal budget is a hard rule. But look
#   along its row: about as many units above 0.1 as with skips, and the least information of all. Activity counts who
#   speaks, and not what is said.
#
# *Aggressive inference* ends more than twenty nats behind `deep`. But look at the last row: `deep`, stopped after the
# 440 steps that the decoder had here, is behind by 18. So the encoder's own 360 steps, nearly half of the budget, were
# missing elsewhere, and did no good themselves. (One seed, and a short form.) It seems that the encoder's lag is not
# this patient's trouble. A new decoder of four layers does not hear the code, however right it is, and has to learn to.
#
# Compare the last row with the first once more. After 440 steps 36 of `deep`'s units are active, 14 by the higher
# threshold; after 800 it is 16 and 5. Meanwhile its KL has *grown*, and its likelihood by 18 nats. So `deep` has not
# lost a code that it had. It is slow to get one: it gathers what it has to say in a few units, and silences the others
# late. (One seed. The IWAE, with its 300 steps, may owe its many units to the same.)
#
# ### The same on the ridge
#
# `deep` needs its code, and is bad at hearing it. The PixelCNN of the beginning is the other patient, whose decoder
# does without because it can. It had three epochs; so have these. Free bits are $\lambda = 8$ nats, warm-up takes half
# of the time. Aggressive inference, which was made for the ridge, spends the first of the three in its way.

# %%
quiz.ask("ridge")

# %%
ridge_cures = {
    "warm-up": dict(objective=ELBO(beta=vk.objectives.WarmUp(75))),
    "free bits, 8": dict(objective=ELBO(free_bits=8.0)),
    "skips": dict(skip=True),
}

# %% tags=["hide-input"]
for name, options in list(ridge_cures.items())[: epochs(3, 0)]:
    pixels[name] = small_vae(pixel_decoder, **options)
half = epochs(5, 0), epochs(2, 0)
pixels["aggressive"] = aggressive(small_encoder, pixel_decoder, small, *half)
del pixels["independent pixels"]
on_ridge = {}
print("                    bound     KL      I   log p(x)")
for name, model in list(pixels.items())[: epochs(6, 1)]:
    info = vk.evaluation.information(model, small_test, progress=False)
    samples = epochs(20, 2)
    log_p = vk.evaluation.log_likelihood(model, small_test, samples, progress=False).mean
    on_ridge[name] = {"bound": info.elbo, "KL": info.kl, "I": info.mutual_information, "log p": log_p}
    print(f"{name:16s}" + "{:9.1f}{:7.1f}{:7.1f}{:11.1f}".format(*np.add(list(on_ridge[name].values()), 0)))

# %%
quiz.discuss("ridge")

# %% tags=["hide-input"]
if "skips" in on_ridge:
    bound, kl, said, log_p = (
        {name: row[key] for name, row in on_ridge.items()} for key in ("bound", "KL", "I", "log p")
    )
    holds(abs(bound["warm-up"] - bound["PixelCNN"]) < 0.6, abs(bound["skips"] - bound["PixelCNN"]) < 0.6)
    holds(abs(log_p["PixelCNN alone"] - bound["PixelCNN alone"]) < 0.1)
    holds(kl["warm-up"] > kl["PixelCNN"] + 0.3, 6.5 < kl["free bits, 8"] < 10, abs(kl["skips"] - kl["PixelCNN"]) < 0.9)
    holds(said["free bits, 8"] > said["warm-up"] + 0.5, said["warm-up"] > said["PixelCNN"] + 0.2)
    holds(0.5 < bound["PixelCNN"] - bound["free bits, 8"] < 2, bound["aggressive"] < bound["PixelCNN"] - 0.6)
    holds(all(log_p[name] > log_p["PixelCNN alone"] + 0.3 for name in ("PixelCNN", "warm-up", "skips")))
    holds(kl["aggressive"] < kl["PixelCNN"], log_p["free bits, 8"] < log_p["PixelCNN"])
    holds(0.7 < log_p["PixelCNN"] - bound["PixelCNN"] < 1.8, log_p["free bits, 8"] - bound["free bits, 8"] > 1.4)

# %% [markdown]
# Warm-up and the floor have more code, up to nine nats instead of three, and their mutual information has risen with
# it. More is really said. But the bound gains nothing by it. With warm-up or skips it differs by a fraction of a nat
# that means nothing, the floor costs more than a nat, and skips leave KL and information as they were. A PixelCNN of
# one layer has no long way on which a code could get lost.
#
# Is the code driven out, as in the toy? By the bound it should be: `PixelCNN alone` has the better one. In three epochs
# it has not been, 3.3 nats are still there. The toy says where the slope leads, not how fast.
#
# The last column tells where the code's worth has gone. By $\log p_\theta(x)$ the PixelCNN with a code is the better
# model, by half a nat to one (one seed each); by the bound, the one without. The code wins something, and
# the gap between bound and likelihood, more than a nat, eats up more than that. What the toy lost by its lag, this
# model loses by all that its encoder does not get right. (With zeros for a code there is no gap.) With the floor the
# gap is about two nats, and the likelihood is no better for it.
#
# *Aggressive inference* should shrink that gap. It has hardly done so. Code, information and likelihood are all lower:
# nearly a third of its steps trained the encoder alone, for a decoder that had learned next to nothing. (As with
# `deep`, the missing steps of the decoder may be all of it; here we have not checked.) Its authors train for much
# longer.
#
# Lesson 07 had seen something else: a PixelCNN without warm-up, with three nats less of code and a bound that was
# *worse* by about as much. Here warm-up adds a nat and a half of code, and the bound does not notice. The models differ
# (two codes and a learned prior there, large images). So a decoder that sees its neighbours can have either kind of
# collapse.
#
# So, **which cure costs likelihood?** At equal budget, those that spend steps or samples on something other than the
# decoder: aggressive inference on either patient, the IWAE on `deep`. On the ridge, the floor. Warm-up costs nothing on
# either patient, nor do skips.

# %% [markdown]
# ### The paper's tables, and ours
#
# The fully connected decoders, with 50 latents on the whole of MNIST: the paper's numbers, and those of vaekit's own
# runs of 100 epochs.

# %% tags=["hide-input"]
OURS = {  # ELBO, KL, active units: from the records in results/dieng2018, seed 0
    (2, "VAE", ""): (-96.29, 23.08, 15),
    (2, "VAE", "learning_rate=0.0003"): (-93.22, 25.67, 21),
    (2, "Skip-VAE", ""): (-96.01, 25.32, 20),
    (2, "Skip-VAE", "learning_rate=0.0003"): (-93.19, 26.89, 27),
    (4, "VAE", ""): (-106.00, 15.60, 7),
    (4, "VAE", "warm_up=10"): (-96.78, 21.69, 14),
    (4, "VAE", "learning_rate=0.0003"): (-95.18, 20.13, 11),
    (4, "Skip-VAE", ""): (-95.62, 24.61, 19),
    (4, "Skip-VAE", "learning_rate=0.0003"): (-92.31, 24.71, 23),
}
print("                                     paper                      ours")
print("                              ELBO     KL  active       ELBO     KL  active")
HOW = {"": "", "warm_up=10": "with warm-up", "learning_rate=0.0003": "slower"}
for (layers, kind, how), (elbo, kl, active) in OURS.items():
    theirs = paper.MLP_BY_LAYERS[layers, kind]
    print(f"{layers} layers, {kind:8s} {HOW[how]:12s}", end="")
    reported = "" if how else f"{theirs[0]:7.2f}{theirs[1]:7.2f}{theirs[3]:8d}"  # the paper's row, once
    print(f"{reported:22s}{elbo:11.2f}{kl:7.2f}{active:8d}")
depth = [
    [paper.PIXELCNN_BY_DEPTH["dynamic_mnist", layers, kind][:2] for kind in ("VAE", "Skip-VAE")] for layers in (1, 9)
]
holds(np.allclose([[kl for _, kl in pair] for pair in depth], [[13.3, 13.4], [7.1, 9.3]], atol=0.05))
holds(all(0.4 < skips[0] - vae[0] < 0.6 for vae, skips in depth))
slower = {key[:2]: row[0] for key, row in OURS.items() if "learning_rate" in key[2]}
holds(all(1.4 < bound - paper.MLP_BY_LAYERS[key][0] < 2 for key, bound in slower.items()))
kept = paper.record("skip_vae")["figures"]
holds(abs(kept["ELBO"]["ours"] - OURS[2, "Skip-VAE", ""][0]) < 0.01, kept["active units"]["ours"] == 20)

# %% [markdown]
# With two layers skips do little for the bound, in the paper as here; the code gains two nats and some units. With four
# they do much: our VAE of four layers has lost eight units and ten nats against that of two, and with skips nothing is
# lost. But the paper's VAE of four layers is nine nats *better* than ours. What is missing? One guess is an option of
# the published code, off unless one asks for it, of which the text says nothing for images: warm-up of $\beta$, from
# 0.1 to 1. With that, in ten epochs, ours comes to the paper's number, within half a nat, and the gain by skips shrinks
# from ten nats to one. The other guess is simpler: `slower`, a third of the learning rate that the text gives. It is
# worth eleven nats, as much as the skips. All four `slower` rows are better than the paper's, by one and a half to two
# nats, with about its KL, and as many units or a few more, and skips gain 2.9 nats with four layers, where the paper
# has 3.3. So most of what *this* VAE of four layers had was too large a step, and it took long runs to see that: our
# small `deep` of eight epochs won nothing by smaller ones. **A baseline that collapses makes every cure look good.**
# (One seed each, so a nat settles nothing. Which rate the paper's runs had, we do not know. Skips with warm-up we have
# not run. Units: ours are above 0.01; the published code has 0.02. All rows are in the project's
# [records](../results/README.md).)
#
# And on the ridge? For a PixelCNN of one layer the paper's skips do as little to the code as ours did: its KL is 13.4
# nats instead of 13.3. With nine layers the code has a longer way, and it is 9.3 instead of 7.1. The bound gains half a
# nat in either case.

# %% [markdown]
# ## Codes in a picture
#
# Papers on collapse like to show codes by *t-SNE*: each image is a point in the plane, placed such that neighbours
# among the codes are neighbours in the picture. Separate clusters of digits, it is said, prove that the code says
# something. We take the units of `deep` that whisper, those with an activity of less than 0.1, and draw 600 test images
# by their posterior means, and again by draws of the same units, which is what the decoder gets. A third picture has no
# images, but 600 draws from the prior of ten latents. How many neighbours count is set by t-SNE's `perplexity`: 30 in
# the first two pictures, 4 in the third.

# %%
quiz.ask("tsne")

# %% tags=["hide-input"]
from sklearn.manifold import TSNE
from sklearn.neighbors import KNeighborsClassifier
from threadpoolctl import threadpool_limits

number, few = epochs(600, 60), test[: epochs(2000, 100)]
whispers = vk.evaluation.active_units(models["deep"], few).activity < 0.1
q = models["deep"].posterior(few)
price = ops.convert_to_numpy(ops.mean(tfd.kl_divergence(q.distribution, tfd.Normal(0.0, 1.0)), axis=0))
drawn, means = (models["deep"].encode(few, mean=mean, seed=1)[:, whispers] for mean in (False, True))
prior = np.random.default_rng(1).normal(size=(number, 10)).astype("float32")
figure = Figure(figsize=(10, 3.4))
panels = {
    "means of whispering units": (means[:number], 30),
    "draws of the same": (drawn[:number], 30),
    "the prior, perplexity 4": (prior, 4),
}
for axis, (title, (codes, perplexity)) in zip(figure.subplots(1, 3), panels.items(), strict=True):
    tsne = TSNE(perplexity=perplexity, max_iter=epochs(1000, 250), random_state=0, init="random")
    with threadpool_limits(1):  # its threads would wait for each other
        places = tsne.fit_transform(codes)
    digits = images.labels.test[:number] if title != "the prior, perplexity 4" else None
    axis.scatter(*places.T, c="0.5" if digits is None else np.array(CLASSES)[digits], s=6)
    axis.set(title=title)
    axis.axis("off")
half, digits, right = len(few) // 2, images.labels.test[: len(few)], {}
for name, codes in (("means", means), ("draws", drawn)):
    nearest = KNeighborsClassifier(10).fit(codes[:half], digits[:half])
    right[name] = nearest.score(codes[half:], digits[half:])
whispered = price[whispers].sum()
print(f"{whispers.sum()} units whisper, and cost {whispered:.1f} of {price.sum():.1f} nats")
print("digit guessed from ten neighbours: by means {means:.0%}, by draws {draws:.0%}".format(**right))
figure

# %%
quiz.discuss("tsne")

# %% tags=["hide-input"]
holds(29 < whispers.sum() < 38, whispered < 1, right["means"] > 0.5, right["draws"] < 0.2)

# %% [markdown]
# On the left, groups and regions of one colour (the colours are the ten digits), by more than thirty units that cost
# less than a nat together. Seven digits of ten can be guessed from these means. In the middle, what the decoder
# gets of the same units: nothing that an eye could find, and neighbours guess one digit in ten, as by chance. **A
# classifier on means hears whispers.** On the right little strings and clumps all over, and they are noise.
#
# t-SNE has no scale. It asks who is near to whom, not how near; and it is not told how wide the posteriors are, so a
# mean that differs by a hundredth of a standard deviation is as good to it as any. Sizes of clusters, and distances
# between them, mean nothing. *Test:* plot draws beside the means, and noise with the same settings.

# %% [markdown]
# ## When it goes wrong
#
# ### Reading the KL as information
#
# Somebody reports a KL of 27 nats, and concludes that the code is full. We make one by hand: in `deep`, the encoder's
# last weights are set to zero, and its biases to $\mu = 1$, $\log\sigma^2 = -1$ for each unit.

# %%
head = models["deep"].encoder.layers[-1]
kept = head.get_weights()  # kernel and bias of μ, then of log σ²
values = (0, 1, 0, -1)
head.set_weights([np.full_like(array, value) for value, array in zip(values, kept, strict=True)])
constant = vk.evaluation.information(models["deep"], few, progress=False)
head.set_weights(kept)
print(f"KL {constant.kl:.1f}, mutual information {abs(constant.mutual_information):.2f}")

# %% tags=["hide-input"]
holds(27 < constant.kl < 28, constant.mutual_information < 0.01)

# %% [markdown]
# All is misfit: every image has the same posterior, and it is not the prior. No sane training ends there, but halfway
# there is easy: free bits and δ-posteriors ask for a KL, and do not ask which part of it. (On the ridge the floor got
# information as well, five nats of nine. One has to look.) *Test:* split it, with `vk.evaluation.information`.
#
# ### Warm-up measured before β is 1
#
# While $\beta < 1$ the code is sold below its price, and any model is full of it. Here is the KL of `warm-up` and of
# `cyclic`, a mean over the steps of each epoch, as training reports it. (Dotted: `deep`, whose $\beta$ is always 1.)

# %% tags=["hide-input"]
figure = Figure(figsize=(7, 3))
axis = figure.add_subplot()
for name, style in {"deep": ":", "warm-up": "-", "cyclic": "--"}.items():
    if name in curves:
        axis.plot(np.arange(1, len(curves[name]) + 1), curves[name], style, color="black", label=name)
axis.axvline(4.5, color="0.7", linewidth=1)
axis.set(xlabel="epoch", ylabel="KL, nats", ylim=(0, None), title="grey: the plain warm-up is over")
axis.legend()
if "cyclic" in curves:
    warm, cycles = np.array(curves["warm-up"]), np.array(curves["cyclic"])
    holds(warm[1] > warm[-1] + 1.5, (cycles[2::2] - cycles[3::2]).mean() > 3.5)
figure

# %% [markdown]
# The warm-up's code cost some nineteen nats in its second epoch, and three fewer at the end; the cyclic one, from its
# second cycle on, goes down by about five whenever its $\beta$ is back at 1. The difference had been bought at a
# discount. (The dotted curve rises all along: `deep` has not lost a code, it is slow to get one.) Worse, the *loss* has
# $\beta$ in it, so it is too good by $(1 - \beta)\,\mathrm{KL}$, and "best validation loss" may well keep the weights
# of an early epoch. (What vaekit reports as `bound` is with $\beta = 1$, always.) *Test:* print $\beta$ beside the
# number, and train on for some epochs after it has reached 1.
#
# ### Active units counted on one batch

# %%
quiz.ask("batch")

# %% tags=["hide-input"]
model = models["deep"]
counts = [vk.evaluation.active_units(model, test[start : start + 20]).count for start in range(0, 400, 20)]
whole = vk.evaluation.active_units(model, few).count
low, high = sum(count < whole for count in counts), sum(count > whole for count in counts)
print(f"on {len(few)} images: {whole} active units; on 20 batches of 20: {min(counts)} to {max(counts)},")
print(f"{low} times too few, {high} times too many")

# %%
quiz.discuss("batch")

# %% tags=["hide-input"]
holds(4 <= max(counts) - min(counts) < 16, min(counts) < whole < max(counts), low + high > 10)

# %% [markdown]
# A variance from twenty images is off by a third or so ($\sqrt{2/19}$, for normal means), and some of the forty units
# lie within a third of the threshold. Whether too few or too many are found more often depends on how many units lie
# just above the threshold, and how many just below. *Test:* count on all test images, and look at the activities beside
# the count.

# %% [markdown]
# ## Take-aways
#
# The bound is minus a length: the nats that an image costs. Within one model a code pays for itself if the encoder is
# right, and never more. Where the decoder can do without, nothing holds the code in place, and in our toy an encoder
# whose mean lags behind drives it out.
#
# There is collapse by choice, which costs little likelihood (a nat at most in our runs), and collapse by accident,
# which does. Of such accidents we have seen two: a deep decoder hears next to nothing of its code when training begins,
# and in long runs the steps were too large. Ask which it is, before you choose a cure.
#
# KL is the price, information a part of it with a ceiling of $\ln N$, active units count whispers, and a classifier on
# means hears them. Report more than one, and the likelihood beside them.
#
# A cure that puts a floor under a number has a high number to show. Compare cures with each other, at equal budget, on
# a baseline that was given warm-up, and a learning rate of its own.
#
# Skips give each layer the code itself. They make sure that it can be heard. Whether it is, has to be measured.
#
# **To do next:** [exercise 08](../exercises/08_posterior_collapse/08_posterior_collapse.ipynb). Lesson 09 asks the same
# of sentences, whose decoders are stronger still.
