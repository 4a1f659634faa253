# %% [markdown]
# # 04 · Importance weighted autoencoders
#
# Lesson 03 measured models with many codes for each image: average their weights first, take the logarithm afterwards.
# Fifty codes came closer to $\log p_\theta(x)$ than one. Then why do we *train* with one? Burda, Grosse and
# Salakhutdinov asked that in 2015. [Their paper](https://arxiv.org/abs/1509.00519) trains on the measurement itself. In
# code this is a change of one line, and this lesson follows it through everything that it changes: the bound, the
# encoder, the decoder, the bill. One thing gets worse, and can be mended.
#
# **After it, you will be able to**
#
# - write the importance weighted bound and its gradient, and prove that it gets tighter with every code;
# - say what it does to the encoder, and draw from the posterior that it really stands for;
# - read the paper's tables beside our own numbers, with the price of each;
# - say what more codes do to the gradients of encoder and decoder, and what to do about it;
# - catch four mistakes, none of which raises an error.
#
# **You need** lessons 01 to 03: the path and the score, the bound and its gap, importance weights.
#
# **It takes** about {minutes} minutes of yours, and two or three of a laptop's CPU. A second reading, about {second}
# minutes, swaps objectives as the paper does, and shows the bound's relatives. Folded cells are as in lesson 02: they
# import, plumb, draw, or check the text's numbers.

# %% tags=["hide-input"]
# # %pip install "vaekit[course]"
import vaekit as vk  # first: it keeps the backend's start-up messages out of the notebook
from vaekit.course import epochs, holds
from vaekit.course.quiz import Quiz
from vaekit.course.show import explore

quiz = Quiz("04")

import ipywidgets
import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import ops
from keras.optimizers import Adam
from scipy.special import logsumexp, softmax
from scipy.stats import norm

from vaekit.backend import value_and_gradient, variables_gradient
from vaekit.papers import burda2015 as paper
from vaekit.plotting import COLORS, Figure

BLUE, ORANGE = COLORS[:2]  # the model p, the encoder q
GREYS = {1: "0.7", 5: "0.45", 50: "black"}  # by k
plt.rcParams.update({"figure.dpi": 80, "figure.constrained_layout.use": True, "axes.spines.top": False})
plt.rcParams.update({"axes.spines.right": False, "legend.frameon": False, "axes.titlesize": "medium"})

# %%
images = vk.datasets.load("dynamic_mnist_10k")
test = np.asarray(images.test)  # [2000, 28, 28, 1], each pixel 0 or 1
one = paper.load("vae_k1")
fifty = paper.load("iwae_k50")

# %% [markdown]
# Here are the two models whose rivalry runs through the lesson. Both are the paper's network, 784–200–200–50 and back,
# and both were trained on the whole of MNIST. (Its *static* version: 50,000 images whose pixels were tossed once and
# for all. Our test images come from MNIST's test file, and are new to both.) `one` was trained for 121 epochs on the
# bound of lesson 02, with one code for each image. `fifty` was trained for 40 epochs on the bound that we are about to
# write, with fifty.
#
# **Blue is the model $p$, orange is the encoder $q$.** Where models or bounds with different $k$ are compared, their
# lines are grey, the darker the more codes.

# %% [markdown]
# ## Train on what you measure
#
# Four facts from lesson 03. Draw $z_1, \dots, z_k$ from $q_\varphi(z|x)$, and let
# $w_i = p_\theta(x, z_i) / q_\varphi(z_i|x)$ be their **weights**.
#
# - The mean weight $\frac1k\sum_i w_i$ is an unbiased estimate of $p_\theta(x)$.
# - Its logarithm is too low on average, by Jensen's inequality: a *stochastic lower bound*. Once $k$ is large against
#   the weights' relative variance $v = \mathrm{Var}(w)/p_\theta(x)^2$, it is too low by about $v/(2k)$.
# - Weights are kept as logarithms, and averaged by log-mean-exp.
# - The effective sample size $(\sum_i w_i)^2 / \sum_i w_i^2$ says how many of the $k$ codes carry the average.
#
# A lower bound that can be computed, and differentiated: that is all that lesson 02 asked of a training objective. So
# let this be one, the **importance weighted bound**:
#
# $$\mathcal L_k(x) = \mathbb E_{z_1, \dots, z_k \sim q_\varphi(z|x)}
# \left[\log \frac1k \sum_{i=1}^k \frac{p_\theta(x, z_i)}{q_\varphi(z_i|x)}\right].$$
#
# With $k = 1$ it is the ELBO. A model trained by it is an **importance weighted autoencoder**, IWAE. From the
# log-weights, the bound is one line:


# %%
def log_mean_exp(log_w):
    """log (1/k) Σ w, for log-weights [k, B]: [B]."""
    return ops.logsumexp(log_w, axis=0) - np.log(log_w.shape[0])


def bound(log_w, k):
    """L_k, mean over images, from log-weights [S, B] in groups of k."""
    groups = log_w[: len(log_w) // k * k].reshape(k, -1)  # each column: k codes of one image
    return float(np.mean(log_mean_exp(groups)))


log_w = one.log_weights(test[:100], epochs(500, 50), seed=1)  # [500, 100], 100 images
for k in (1, 5, 50):
    print(f"k = {k:2d}: {bound(log_w, k):.1f} nats")

# %% tags=["hide-input"]
holds(bound(log_w, 5) > bound(log_w, 1) + 1.5, bound(log_w, 50) > bound(log_w, 5) + 1)

# %% [markdown]
# The same model, the same hundred images, the same five hundred codes; only averaged in larger groups before the
# logarithm. Nothing was trained, and the bound has risen by several nats. Must it always rise?
#
# ## A chain of bounds
#
# It must:
#
# $$\mathcal L_1 \le \mathcal L_2 \le \dots \le \mathcal L_k \le \dots \le \log p_\theta(x).$$
#
# The last inequality is Jensen's: the mean weight is right on average, so its logarithm is too low. For the others,
# take $k$ weights, and leave out each in turn. Let $m_j$ be the mean of the weights without $w_j$. Each weight occurs
# in all but one of these $k$ means, so none is favoured, and the mean of all $m_j$ is again the mean of all weights.
# Now Jensen, on the $k$ numbers $m_j$:
#
# $$\log \frac1k \sum_{i=1}^k w_i = \log \frac1k \sum_{j=1}^k m_j \;\ge\; \frac1k \sum_{j=1}^k \log m_j,
# \qquad m_j = \frac{1}{k-1} \sum_{i \ne j} w_i.$$
#
# This holds for every draw. Average over draws: on the left stands $\mathcal L_k$; on the right each $m_j$ is a mean of
# $k-1$ weights, whose logarithm averages to $\mathcal L_{k-1}$. That is the chain. And as $k$ grows the mean weight
# settles at $p_\theta(x)$ (the law of large numbers), so the chain ends
# where it should. In pictures:

# %% tags=["hide-input"]
weights = np.array([0.25, 1.0, 3.25])  # three weights, of mean 1.5
pairs = (weights.sum() - weights) / 2  # leave one out
sets = [(weights, "o", GREYS[1], "single weights"), (pairs, "s", GREYS[5], "means of two")]
sets.append((weights.mean(keepdims=True), "D", GREYS[50], "the mean of three"))
figure = Figure(figsize=(10, 3.6))
left, right = figure.subplots(1, 2)
line = np.linspace(0.18, 3.5, 200)
left.plot(line, np.log(line), color="0.85", linewidth=4, zorder=0)
for values, marker, color, label in sets:
    level = np.log(values).mean()
    left.plot(values, np.log(values), marker, color=color, label=label, markersize=8)
    left.axhline(level, color=color, linestyle="--", linewidth=1)
left.axvline(weights.mean(), color="0.8", linewidth=1, zorder=0)
left.set(xlabel="weight", ylabel="log weight", title="three weights, in groups: dashed, the means of the logarithms")
left.legend(loc="lower right")

i = 14
log_w_i = one.log_weights(test[i : i + 1], epochs(25_000, 500), seed=2)[:, 0]  # one image
edges = np.linspace(*np.quantile(log_w_i, [0.02, 0.9995]), 90)
for k, color in GREYS.items():
    estimates = logsumexp(log_w_i.reshape(k, -1), axis=0) - np.log(k)
    right.hist(estimates, edges, density=True, histtype="step", color=color, linewidth=1.5, label=f"k = {k}")
    right.axvline(estimates.mean(), color=color, linestyle="--", linewidth=1)
right.set(xlabel="log of the mean of k weights", yticks=[], title="one image: dashed, the means, $\\mathcal{L}_k$")
right.legend(loc="upper left")
levels = [np.log(values).mean() for values, *_ in sets]
holds(levels[0] < levels[1] < levels[2])
figure

# %% [markdown]
# On the left, three weights on the curve of the logarithm. Leaving out one of them in turn gives three means, which lie
# closer together about the same centre, and so lose less where the curve bends. The mean of all three is a single
# number, and loses nothing. On the right, the same with many weights of one test image: as $k$ grows the estimates pile
# up more and more narrowly, and their mean, $\mathcal L_k$, moves up. What averaging first cuts off is the left side:
# the means of fifty all lie in the upper part of the single weights.

# %% [markdown]
# ## Two rivals
#
# `one` and `fifty` have the same network and saw the same images. On static MNIST's test images, with 5000 codes each,
# `one` comes to a negative log-likelihood of 90.7 nats, and `fifty` to 90.7 as well: a draw. (By lesson 03's annealing,
# on 16 images, these 5000 are some 1.6 nats short for `one` and 1.9 for `fifty`, which is no difference to speak of.)
# How do they compare by the bound that lesson 02 would have used?

# %%
quiz.ask("rivals")

# %% tags=["hide-input"]
holds(*(abs(paper.record(name)["figures"]["NLL"]["ours"] - 90.7) < 0.06 for name in ("vae_k1", "iwae_k50")))
rivals = {1: one, 50: fifty}  # by the k of their training
draws = epochs(2000, 50)
log_ws = {
    k: np.concatenate([model.log_weights(test[:100], draws // 5, seed=s) for s in range(5)])
    for k, model in rivals.items()
}
counts = [k for k in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000) if k <= draws]
curves = {name: np.array([bound(log_w, k) for k in counts]) for name, log_w in log_ws.items()}
figure = Figure(figsize=(7, 3.4))
axis = figure.add_subplot()
for name, label in ((1, "one, trained by $\\mathcal{L}_1$"), (50, "fifty, trained by $\\mathcal{L}_{50}$")):
    axis.semilogx(counts, curves[name], "o-", color=GREYS[name], markersize=4, label=label)
axis.set(xlabel="k of the measurement", ylabel="$\\mathcal{L}_k$, nats, mean of 100 test images")
axis.legend(loc="lower right")
figure

# %%
quiz.discuss("rivals")

# %% tags=["hide-input"]
difference = curves[1] - curves[50]
holds(
    10 < difference[0] < 12.5,
    abs(difference[-1]) < 0.5,
    difference[-1] < difference[-2],
    1 < difference[counts.index(min(50, draws))] < 3,
)

# %% [markdown]
# By $\mathcal L_1$, `fifty` is a disaster, eleven nats behind. Its encoder puts most codes where they are no use, and
# it does not mind: in training it had fifty tries, and one or two good ones among them were enough. Even by $\mathcal
# L_{50}$ it is behind by more than a nat; with more codes it catches up. (At 2000 the black curve is still the steeper
# one.)
#
# This is the first of the mistakes to remember: **the order of two models by one $k$ says nothing about their order by
# another.** Whoever compares $\mathcal L_1$ of one model with $\mathcal L_{50}$ of another can prove anything. Compare
# equal $k$, and a large one; the paper takes 5000.

# %% [markdown]
# ## The gradient is a weighted mean
#
# How does training by $\mathcal L_k$ differ from training by the average of $k$ ELBOs? Write $z_i = \mu +
# \sigma\odot\varepsilon_i$, so that the gradient may move inside the expectation (lesson 01). Then differentiate the
# logarithm, with $\nabla w = w\, \nabla \log w$:
#
# $$\nabla \log \frac1k \sum_i w_i = \frac{\sum_i \nabla w_i}{\sum_j w_j}
# = \sum_{i=1}^k \hat w_i\, \nabla \log w_i, \qquad \hat w_i = \frac{w_i}{\sum_j w_j}.$$
#
# Each code's gradient counts by its **share** $\hat w_i$ of all weight. The shares add up to 1, and in code they are
# the softmax of the log-weights. An average of $k$ ELBOs would give every code the share $1/k$. In vaekit the bound is
# an objective, `vk.objectives.IWAE(k)`; are its bound and its shares ours?

# %% tags=["nbval-check-output"]
objective = vk.objectives.IWAE(50)
log_w = fifty.log_weights(test[:20], 50, seed=3)  # [50, 20]
share = ops.softmax(log_w, axis=0)
_, (slope,) = value_and_gradient(lambda log_w: ops.sum(log_mean_exp(log_w)), log_w)

ours, theirs = log_mean_exp(log_w), objective.bound(log_w)
for_decoder, _ = objective.shares(log_w)  # the encoder's: see "What mends it"
print("shares are the slope:", np.allclose(slope, share, atol=1e-6))
print("vaekit's bound:      ", np.allclose(theirs, ours, rtol=1e-5))
print("vaekit's shares:     ", np.allclose(for_decoder, share))

# %% tags=["hide-input"]
i = 4
trace = fifty.trace(test[i : i + 1], 50, seed=5)
z, log_w_i = ops.convert_to_numpy(trace.values["z"])[:, 0], ops.convert_to_numpy(trace.log_weights())[:, 0]
share_i = softmax(log_w_i)
order = np.argsort(-share_i)
shown = [*order[:5], *order[-4:]]
titles = ["x", *(f"{share_i[j]:.0%}" if share_i[j] > 0.005 else f"e^{log_w_i[j] - log_w_i.max():.0f}" for j in shown)]
holds(share_i[order[:2]].sum() > 0.8, 45 < log_w_i.max() - log_w_i.min() < 60)
vk.plotting.image_grid(np.concatenate([test[i : i + 1], fifty.decode(z[shown])]), columns=10, titles=titles)

# %% [markdown]
# A test image, and of fifty codes that `fifty` drew for it those with the five largest and the four smallest shares
# (tiny ones as a fraction of the largest). All of them are noughts, but a weight is a product over 784 pixels, and a
# rim in the wrong place makes it smaller by powers of $e$. One or two codes get nearly all of the gradient. The rest
# are as good as thrown away, and nobody is punished for them. Under the ELBO each would have counted as
# much as the best: the last one with its fifty nats, divided by fifty.
#
# To train, say `model.compile(optimizer, objective=vk.objectives.IWAE(50))`, and `fit`.

# %% [markdown]
# ## What it does to the encoder
#
# To *see* a posterior we need two latents again. `plane` is the paper's network with two, trained by the ELBO. Its
# decoder stays as it is from now on, and so does every true posterior $p_\theta(z|x)$, which a grid makes visible as in
# lesson 02. For two dozen test images we forget the encoder, and fit $q = \mathcal N(\mu, \mathrm{diag}\,\sigma^2)$ to
# each of them directly: two hundred steps of Adam up $\mathcal L_k$, from the posterior's highest point, with $\sigma =
# 0.05$ for both latents. By hand, with the constants of the two normal densities cancelling in $\log p(z) - \log
# q(z|x)$:

# %%
plane = paper.load("vae_2d")


def log_weights(q, x, noise, path_only=False):
    """Log-weights [k, B] of z = μ + σ ⊙ ε, for q = (μ, log σ²) [B, 4], ε [k, B, 2]."""
    mean, log_variance = ops.split(q, 2, axis=1)
    z = mean + ops.exp(log_variance / 2) * noise
    if path_only:  # for later: q's parameters act through z alone
        mean, log_variance = ops.stop_gradient(mean), ops.stop_gradient(log_variance)
    squares = (z - mean) ** 2 / ops.exp(log_variance) - z**2
    return log_likelihoods(z, x) + ops.sum(squares + log_variance, axis=2) / 2


# %% tags=["hide-input"]
def log_likelihoods(z, x):
    """log p(x|z) of k codes [k, B, 2] for each image x [B, 28, 28, 1]: [k, B]."""
    k, count, _ = z.shape
    copies = ops.reshape(ops.broadcast_to(x[None], (k, *x.shape)), (-1, 28, 28, 1))
    return ops.reshape(plane.decoder(ops.reshape(z, (-1, 2))).log_prob(copies), (k, count))


def log_joint(x, z):
    """log p(x, z) of every image x [B, 28, 28, 1] at every code z [M, 2]: [B, M]."""
    x, parts = x.reshape(len(x), -1), []
    for start in range(0, len(z), 10_000):
        a = ops.convert_to_numpy(plane.decoder(z[start : start + 10_000]).distribution.logits_parameter())
        a = a.reshape(len(a), -1)
        parts.append(x @ a.T - np.logaddexp(0, a).sum(axis=1))
    return np.concatenate(parts, axis=1) + norm.logpdf(z).sum(axis=1)


few = test[: epochs(24, 2)]
side, limit = epochs(300, 80), 5
grid = vk.plotting.latent_grid((-limit, limit), side)  # [M, 2]
log_area = 2 * np.log(2 * limit / (side - 1))
joint = log_joint(few, grid)  # log p(x, z), [B, M]
log_p = logsumexp(joint, axis=1) + log_area  # log p(x), [B]
log_posterior = joint - log_p[:, None]  # log p(z|x), [B, M]


def log_normal(q, z=grid):
    """log q at codes z [M, 2]: [B, M], for q [B, 4]."""
    mean, log_variance = np.split(q, 2, axis=1)
    square = (z[None] - mean[:, None]) ** 2 / np.exp(log_variance)[:, None] + log_variance[:, None]
    return -square.sum(axis=2) / 2 - np.log(2 * np.pi)


def divergence(log_a, log_b):
    """KL(a ‖ b) of densities on the grid: [B]."""
    return np.sum(np.exp(log_a + log_area) * (log_a - log_b), axis=1)


start = np.concatenate([grid[joint.argmax(axis=1)], np.full((len(few), 2), 2 * np.log(0.05))], axis=1)


def fit(k, objective=log_mean_exp, path_only=False, fresh=True, steps=200, start=start):
    """The q [B, 4] that Adam finds for each image, and the mean objective at each step.

    Its rate falls from 0.05 to 0. The noise is drawn anew at each step if fresh.
    """
    q, rng, curve = keras.Variable(start.astype("float32")), np.random.default_rng(4), []
    optimizer = Adam(keras.optimizers.schedules.CosineDecay(0.05, steps))
    optimizer.build([q])

    def loss(q, noise):
        return -ops.sum(objective(log_weights(q, few, noise, path_only)))

    step = vk.backend.compile(lambda *arrays: value_and_gradient(loss, *arrays), plane.variables)
    for i in range(epochs(steps, 2)):
        if fresh or i == 0:
            noise = rng.standard_normal((k, len(few), 2)).astype("float32")
        value, (gradient, _) = step(q.value, noise)
        optimizer.apply([gradient], [q])
        curve.append(-float(value) / len(few))
    return ops.convert_to_numpy(q.value), curve


# %%
quiz.ask("posterior")

# %%
fitted = {k: fit(k)[0] for k in (1, 5, 50)}

# %% tags=["hide-input"]
chosen = [i for i in (17, 6, 2) if i < len(few)]


def limits_of(i, qs):
    """A square about the posterior of image i and some q [4]."""
    p = np.exp(log_posterior[i] + log_area)
    center = p @ grid / p.sum()
    reach = 3.5 * np.sqrt(p @ (grid - center) ** 2 / p.sum()).max()
    reach = max(reach, *(np.abs(q[:2] - center).max() + 2 * np.exp(q[2:] / 2).max() for q in qs))
    return tuple((c - reach, c + reach) for c in center)


def contours(axis, i, log_q, limits, side=100):
    """The true posterior of image i, filled, with lines of log_q, a function of codes."""
    fine = vk.plotting.latent_grid(limits, side)
    densities = {"p": log_joint(few[i : i + 1], fine)[0], "q": log_q(fine)}
    vk.plotting.posterior_contours(densities, limits, side, axes=axis, legend=False)
    axis.set(xticks=[], yticks=[], xlabel="", ylabel="")


figure = Figure(figsize=(8, 7))
for row, i in zip(np.atleast_2d(figure.subplots(max(len(chosen), 1), 4)), chosen, strict=False):
    row[0].imshow(few[i, :, :, 0], cmap="gray")
    row[0].set(xticks=[], yticks=[], title=f"image {i}")
    limits = limits_of(i, [fitted[1][i], fitted[50][i]])
    for axis, (k, q) in zip(row[1:], fitted.items(), strict=True):
        contours(axis, i, lambda z, q=q, i=i: log_normal(q[i : i + 1], z)[0], limits)
        axis.set_title(f"q, k = {k}")
figure

# %%
quiz.discuss("posterior")

# %% tags=["hide-input"]
test_noise = np.random.default_rng(10).standard_normal((epochs(1000, 50), len(few), 2)).astype("float32")


def table(qs):
    """Prints, and returns by name, medians over images of KL(q ‖ p) and area, means of log p(x) − L_k."""
    rows = {}
    print("            KL(q ‖ p)   area of q   log p(x) − L₁   log p(x) − L₅₀")
    for name, q in qs.items():
        w = ops.convert_to_numpy(log_weights(q, few, test_noise))
        kl, area = divergence(log_normal(q), log_posterior), np.exp(q[:, 2:].sum(axis=1) / 2)
        rows[name] = np.median(kl), np.median(area), *(log_p.mean() - bound(w, k) for k in (1, 50))
        print("{:10s}{:11.2f}{:12.4f}{:16.2f}{:17.2f}".format(name, *rows[name]))
    return rows


rows = table({f"k = {k}": q for k, q in fitted.items()})
(kl_1, area_1, *gaps_1), (kl_5, area_5, *_), (kl_50, area_50, *gaps_50) = rows.values()
if chosen:  # the 3, the 9, the 5
    w_1, w_50 = (ops.convert_to_numpy(log_weights(fitted[k], few, test_noise)) for k in (1, 50))
    gains = [bound(w_50[:, i], 50) - bound(w_1[:, i], 50) for i in chosen]
    holds(0.4 < gains[0] < 1, *(abs(gain) < 0.15 for gain in gains[1:]))
holds(kl_1 < kl_5 < kl_50, area_50 > 1.8 * area_1, gaps_50[0] > gaps_1[0] + 1.8, max(gaps_1[1], gaps_50[1]) < 0.2)

# %% [markdown]
# As $k$ grows, $\mathcal L_k$ gets tighter, and $q$ gets *worse* as an approximation of the posterior. Its divergence
# grows, and so does its area, $\sigma_1 \sigma_2$. (Both are medians over the images. On the right are means, which a
# few images pull up: for each of them $\log p_\theta(x) - \mathcal L_1$ *is* the divergence.) By $\mathcal L_1$ the
# last row is more than two nats below the first; by $\mathcal L_{50}$ one can hardly tell them apart.
#
# The pictures show two reasons. Look at the 3 on top, whose posterior has two parts, and a faint third one. With one
# code, $q$ sits on one of them, since what falls between them would cost dearly. With fifty, a miss costs little, if
# another code hits. What costs is a part of the posterior that *no* code reaches. So $q$ covers both, and for this
# image $\mathcal L_{50}$ gains half a nat or more by it. In the other rows it gains nothing: among fifty codes of the
# narrow $q$ enough were good. The 5 even has a posterior that the first $q$ nearly matches, and yet $q$ spreads, and
# slides off. $\mathcal L_{50}$ just does not mind. Remember that one.
#
# The second of our four facts says where $\mathcal L_{50}$ would mind: the gap is half the relative variance of the
# weights over $k$, the weights are $p_\theta(x)$ times $p_\theta(z|x)/q_\varphi(z|x)$, and that explodes where $q$ is
# small and the posterior is not. The ELBO's gap, $\mathrm{KL}(q\,\|\,p)$, explodes where $q$ is *large* and the
# posterior is not.

# %% [markdown]
# ## The posterior that it stands for
#
# Then is an IWAE's encoder a bad one? As a picture of the posterior, yes. But its codes were never meant to be used
# alone. Draw $k$ of them, and keep *one*, the $i$-th with probability $\hat w_i$. The kept code has another
# distribution than $q$; call it $q_k$. Its density at $z$: any of the $k$ codes may be the one that lies at $z$, with
# density $q_\varphi(z|x)$, and it is kept with probability $w(z)/(w(z) + w_2 + \dots + w_k)$, where the others are
# drawn from $q$. Since $q_\varphi(z|x)\, w(z) = p_\theta(x, z)$,
#
# $$q_k(z|x) = \mathbb E_{z_2, \dots, z_k \sim q_\varphi(z|x)}
# \left[\frac{p_\theta(x, z)}{\frac1k\big(w(z) + w_2 + \dots + w_k\big)}\right].$$
#
# With $k = 1$ this is $q$ itself. With growing $k$ the mean weight in the denominator settles at $p_\theta(x)$, and
# $q_k$ becomes the posterior. Training by $\mathcal L_k$ is training for *this* distribution: its ELBO,
# $\log p_\theta(x) - \mathrm{KL}\big(q_k\,\|\,p_\theta(z|x)\big)$, is at least $\mathcal L_k$ ([Cremer et al.
# 2017](https://arxiv.org/abs/1704.02916)). In code:


# %%
def implied(z, log_p_xz, q, k, rng, draws=200):
    """log q_k at z [M, 2], log p(x, z) being [M], for one image: a mean over draws."""
    noise = rng.standard_normal((draws * (k - 1), 1, 2)).astype("float32")
    others = ops.convert_to_numpy(log_weights(q[None], image, noise))  # log w_2, …, w_k
    log_w = log_p_xz - log_normal(q[None], z)[0]  # log w(z), [M]
    total = np.logaddexp(log_w[:, None], log_sum(others.reshape(draws, k - 1)))
    return log_p_xz + log_sum(np.log(k) - total) - np.log(draws)


# %% tags=["hide-input"]
def log_sum(log_w):
    """log Σ w along the last axis; −∞ of none."""
    return logsumexp(log_w, axis=-1) if log_w.shape[-1] else np.full(log_w.shape[:-1], -np.inf)


pick = chosen[0] if chosen else 0
image = few[pick : pick + 1]
window = limits_of(pick, [fitted[1][pick], fitted[50][pick]])
fine = vk.plotting.latent_grid(window, 100)
fine_joint = log_joint(image, fine)[0]
fine_area = sum(np.log((high - low) / 99) for low, high in window)
fine_posterior = fine_joint - logsumexp(fine_joint)


def look(trained, k):
    log_q_k = implied(fine, fine_joint, fitted[trained][pick], k, np.random.default_rng(7), epochs(200, 5))
    distance = np.exp(log_q_k + fine_area) @ (log_q_k + fine_area - fine_posterior)
    figure = Figure(figsize=(7, 3.4))
    left, right = figure.subplots(1, 2)
    q = fitted[trained][pick : pick + 1]
    contours(left, pick, lambda z: log_normal(q, z)[0], window)
    contours(right, pick, lambda z: log_q_k, window)
    left.set_title(f"q, fitted by $\\mathcal{{L}}_{{{trained}}}$")
    right.set_title(f"one kept of {k}: KL to the posterior {distance:.2f}")
    return figure


explore(
    look,
    trained=ipywidgets.ToggleButtons(options=[1, 5, 50], value=50, description="fitted by k"),
    k=ipywidgets.SelectionSlider(options=[1, 2, 5, 10, 20, 50, 100], value=50, description="drawn k"),
)

# %% [markdown]
# On the left $q$, fitted by $\mathcal L_{50}$; on the right the distribution of one code kept of fifty. A single
# ellipse has become a posterior in two parts, and a little of the third; its divergence from the true one is the number
# on top. If the notebook is running, try the others: the narrow $q$ of the ELBO, fitted by $k = 1$, gains little,
# whatever number of codes is drawn from it, since resampling cannot put codes where none are drawn.
#
# So whoever wants reconstructions, features or a latent map of an IWAE should not take one code from its encoder, but
# draw many, and keep one by its share. How much does that matter? We ask both models to make test images again:

# %%
kept = {}
for k, name in ((1, "one"), (50, "fifty")):
    trace = rivals[k].trace(test[:200], 50, seed=8)
    log_p_x = ops.convert_to_numpy(trace.log_p["x"])  # log p(x|z), [50, 200]
    share = softmax(ops.convert_to_numpy(trace.log_weights()), axis=0)
    kept[k] = log_p_x.mean(), (share * log_p_x).sum(axis=0).mean()
    print("{:5s}  log p(x|z): any code {:.1f} nats, one kept of fifty {:.1f}".format(name, *kept[k]))

# %% tags=["hide-input"]
(any_1, kept_1), (any_50, kept_50) = kept.values()
holds(16.5 < kept_50 - any_50 < 18.5, 4.5 < kept_1 - any_1 < 6, 15 < any_1 - any_50 < 17, kept_1 - kept_50 < 4)

# %% [markdown]
# (The second number is the mean over which code is kept. That it is higher is no surprise: codes are kept by a share
# that contains the very number that is shown.) By single codes `fifty` is sixteen nats worse than `one`, and by kept
# ones less than four. Who looks at an IWAE's reconstructions from single codes, and finds them worse than a VAE's, has
# looked at the proposals.

# %% [markdown]
# ## Units in use
#
# Both models have 50 latents. Lesson 02 found that a model need not use them all: a latent whose posterior is the prior
# for every image costs nothing and says nothing. The paper counts those in use. A latent, or *unit*, $j$ is **active**
# if its posterior mean depends on the image: $\mathrm{Var}_x\big(\mathbb E_{q_\varphi(z|x)}[z_j]\big) > 0.01$.

# %%
quiz.ask("units")

# %% tags=["hide-input"]
figure = Figure(figsize=(7, 3.2))
axis = figure.add_subplot()
units = {k: vk.evaluation.active_units(model, test) for k, model in rivals.items()}
for k, label in ((1, "one"), (50, "fifty")):
    activity = np.sort(units[k].activity)[::-1]
    axis.semilogy(np.arange(1, 51), activity, "o-", color=GREYS[k], markersize=4, label=f"{label}: {units[k].count}")
axis.axhline(units[1].threshold, color="black", linestyle=":", linewidth=1)
axis.set(xlabel="latents, the most active first", ylabel="variance of the posterior mean")
axis.legend(title="active units", loc="lower left")
figure

# %%
quiz.discuss("units")

# %% tags=["hide-input"]
sorted_50 = np.sort(units[50].activity)
holds(units[1].count == 20, units[50].count == 36, (sorted_50 > 0.05).sum() in (24, 25))
sizes = [paper.record(name)["figures"]["effective sample size"]["ours"] for name in ("vae_k1", "iwae_k50")]
holds(round(sizes[0]) == 11, round(sizes[1]) == 5)

# %% [markdown]
# In `one` there is a cliff: twenty units in use, thirty dead, nothing between. `fifty` has some 24 units that are in
# use beyond doubt, and then a slope of units in half use, a dozen of them above the threshold, by a factor of six at
# most. So "36 active units" is right, and says less than the picture. (`fifty` is young, too: 40 epochs against 121,
# and some of the dozen may still go. The paper ends with 25 against 19.)
#
# The paper's reason is this. The ELBO's gap is a price that the decoder has to pay for each posterior that is no
# upright ellipse, and the cheapest way to have simple posteriors is to use few latents. $\mathcal L_{50}$ charges less,
# so the decoder can afford more of them, and posteriors that are harder to match. (The price comes back when such a
# model is measured. With 5000 codes the effective sample size is about 11 for `one`, and 5 for `fifty`. That its
# encoder is worse than need be is hardly the reason: with a better gradient, below, the size is 6.)

# %% [markdown]
# ## The paper's table, and the bill
#
# Table 1 of the paper has the negative log-likelihood (NLL, in nats; less is better), and in brackets the active units.
# It is for dynamic MNIST; a second table of the paper is for the static one. Beside them, our two models, from the
# records that are kept with them:

# %% tags=["hide-input"]
print("           paper, dynamic    paper, static    ours, static")
records = {("VAE", 1): paper.record("vae_k1"), ("IWAE", 50): paper.record("iwae_k50")}
for key in (("VAE", 1), ("VAE", 50), ("IWAE", 5), ("IWAE", 50)):
    nll, (active,) = paper.TABLE_1["dynamic_mnist", 1, *key]
    line = f"{key[0]:>5s} k = {key[1]:<2d}{nll:8.2f} ({active}){paper.STATIC_MNIST[1, *key]:15.2f}"
    if key in records:
        figures = records[key]["figures"]
        line += f"{figures['NLL']['ours']:14.2f} ± {figures['NLL']['standard_error']:.2f}"
        line += f" ({figures['active units']['ours']})"
    print(line)
for (kind, k), record in records.items():
    print(f"ours, {kind} k = {k}: {record['epochs']} of {record['schedule']} epochs")

# %% [markdown]
# "VAE, $k = 50$" is the paper's control: the *mean* of fifty ELBOs for each image, so fifty codes, but each with the
# share 1/50. It gains 0.4 nats on dynamic MNIST, and loses 0.3 on static. The importance weighted bound gains 2 and
# 1.6.
#
# Ours fall short of the paper's by two to four nats, most likely because they have seen a few percent of its 3280
# epochs. (Our 35 units are counted on static test images, the 36 above on ours, the paper's on training images: so much
# for a count of units in half use.) And ours are no fair pair by the paper's standard, which trains both for as long.
# That is what the project's [records](../results/README.md) have besides, the same network after 40 epochs, trained in
# four ways:

# %% tags=["hide-input"]
EQUAL = {  # NLL, active units, effective sample size: from the records in results/burda2015, seed 0, 40 epochs
    "VAE, k = 5": (91.99, 19, 12.3),
    "IWAE, k = 5": (91.49, 23, 7.8),
    "IWAE, k = 50": (90.74, 35, 5.2),
    "IWAE, k = 50, DReG": (90.23, 29, 6.0),
}
print("static MNIST, 40 epochs    NLL   active units   effective sample size")
for name, (nll, active, size) in EQUAL.items():
    print(f"{name:21s}{nll:11.2f}{active:12d}{size:19.1f}")

# %% [markdown]
# (One run each. Each NLL has a standard error of about 0.24 over test images, and these are the same for all.) "VAE, $k
# = 5$" and "IWAE, $k = 5$" are the fairest pair that there is: the same codes, the same time, and only the place of the
# logarithm differs. It is worth half a nat, and four units. Fifty codes in place of five gain another three quarters of
# a nat. The last row, a better gradient of the same bound, is the subject of the section after this one. Look at the
# last column, too. By the plain gradient, the better the model, the fewer of the encoder's 5000 codes carry the
# average. With DReG the model is better, and they are a few more.

# %%
quiz.ask("bill")

# %% tags=["hide-input"]
SECONDS = {5: 8.4, 50: 55.0}  # an epoch of the IWAE, on one core of one kind of processor: from the same records
for k, seconds in SECONDS.items():
    print(f"IWAE, k = {k}: {seconds} seconds an epoch")
for (kind, k), record in records.items():
    minutes, machine = record["seconds"]["training"] / 60, record["ran_on"][0]["machine"]
    print(f"ours, {kind} k = {k}: {record['epochs']} epochs, {minutes:.0f} minutes; {machine}")

# %%
quiz.discuss("bill")

# %% tags=["hide-input"]
costs = {key: record["seconds"]["training"] for key, record in records.items()}
holds(6 < SECONDS[50] / SECONDS[5] < 7, 2 * costs["VAE", 1] < 0.5 * costs["IWAE", 50])  # one had two cores

# %% [markdown]
# Ten times the codes, six and a half times as long. And so our draw is not one that flatters the IWAE. `one` had two
# cores for nine minutes, `fifty` one core for thirty-seven: so `one` came to the same NLL by half of the computing, or
# less. At equal *time*, early in training, plain ELBO steps seem to get further by the paper's ruler. It is at the end,
# where more steps no longer help, that the bound decides: after 3280 epochs of each, the paper's IWAE is 1.6 nats
# ahead.
#
# Time is one part of the bill, memory the other. To go back through the decoder, its activations are kept for every
# code: here 20 images (the paper's batch) times 50 codes times 1184 units, 5 MB, and nothing to worry about. For a
# decoder of convolutions it is what limits $k$. (There is a way out. Run all $k$ forward without keeping anything, draw
# one code by its share, and go back through that one alone: right on average, and noisier.)

# %% [markdown]
# ## More codes, better gradients?
#
# So more codes make a better bound. Should one take as many as one can pay for? A gradient is an estimate, too, and
# what counts in it is the **signal-to-noise ratio**: the length of its mean, over its standard deviation from draw to
# draw. Each gradient of $\mathcal L_k$ is a weighted mean over $k$ codes. Unless one share takes all, its noise gets
# less as $k$ grows. And the ratio?

# %%
quiz.ask("signal")

# %% [markdown]
# We measure it where every part can be had by itself. The encoder's parameters act on a log-weight in two ways: they
# move the code, and they stand in $\log q_\varphi$, at whatever place the code is. With
# $z = \mu + \sigma\odot\varepsilon$,
#
# $$\nabla_\varphi \log w_i = \underbrace{\frac{\partial \log w_i}{\partial z_i}\, \nabla_\varphi z_i}_{a_i\text{, the
# path}} \;-\; \underbrace{\nabla_\varphi \log q_\varphi(z|x)\Big|_{z = z_i}}_{s_i\text{, the score}}.$$
#
# For twenty test images and the encoder of `plane`, a folded cell draws thousands of codes, and computes for each its
# log-weight, its path $a$ and its score $s$ (for $\mu$ and $\log\sigma^2$), and the slopes for the decoder (here for
# the biases of 32 pixels in the middle). Shares by the softmax, in groups of $k$, and the gradient is a sum over the
# group:

# %% tags=["hide-input"]
some, draws = test[: epochs(20, 2)], epochs(3200, 64)
q = plane.posterior(some)
mean, scale = ops.convert_to_numpy(q.mean()), ops.convert_to_numpy(q.stddev())


def slopes(seed):
    """Log-weights [draws, B] of codes from the encoder, their paths and scores for μ and log σ², decoder's slopes."""
    noise = np.random.default_rng(seed).standard_normal((draws, *mean.shape)).astype("float32")
    copies = ops.convert_to_tensor(np.tile(some, (draws, 1, 1, 1)))
    means, scales = np.tile(mean, (draws, 1)), np.tile(scale, (draws, 1))
    z = (mean + scale * noise).reshape(-1, 2)

    def parts(z):
        p = plane.decoder(z)
        log_w = p.log_prob(copies) + ops.sum(((z - means) / scales) ** 2 / 2 - z**2 / 2 + ops.log(scales), axis=1)
        a = p.distribution.logits_parameter()
        return log_w, (copies - ops.sigmoid(a))[:, 10:18, 12:16, 0]  # of 32 pixels in the middle

    _, (slope,) = value_and_gradient(lambda z: ops.sum(parts(z)[0]), z)
    slope, log_w, decoder = (ops.convert_to_numpy(array).reshape(draws, len(some), -1) for array in (slope, *parts(z)))
    path = np.concatenate([slope, slope * scale * noise / 2], axis=2)
    score = np.concatenate([noise / scale, (noise**2 - 1) / 2], axis=2)
    return log_w[..., 0], path, score, decoder


drawn = [np.concatenate(parts) for parts in zip(slopes(0), slopes(1), strict=True)]  # log w, path, score, decoder


def ratio(gradients):
    """Signal-to-noise ratio of gradients [draws, B, P]: [B]."""
    noise = gradients.var(axis=0, ddof=1)
    signal = gradients.mean(axis=0) ** 2 - noise / len(gradients)  # less its own noise
    return np.sqrt(np.maximum(signal.sum(axis=1), 0) / noise.sum(axis=1))


# %%
def gradients(k):
    """Gradients of L_k from groups of k codes: each [draws, B, P]."""
    w, a, s, d = (array.reshape(-1, k, *array.shape[1:]) for array in drawn)
    share = softmax(w, axis=1)[..., None]  # ŵ, [draws, k, B, 1]
    return {
        "decoder": (share * d).sum(axis=1),
        "encoder": (share * (a - s)).sum(axis=1),
        "encoder, STL": (share * a).sum(axis=1),
        "encoder, DReG": (share**2 * a).sum(axis=1),
    }


# %% tags=["hide-input"]
ks = (1, 2, 4, 8, 16, 32, 64)
ratios = {k: {name: np.median(ratio(g)) for name, g in gradients(k).items()} for k in ks}
curve = {name: np.array([ratios[k][name] for k in ks]) for name in ratios[1]}


def picture_of_ratios(names):
    styles = {"decoder": (BLUE, "-"), "encoder": (ORANGE, "-"), "encoder, STL": (ORANGE, ":")}
    figure = Figure(figsize=(6, 3.2))
    axis = figure.add_subplot()
    for name in names:
        color, style = styles.get(name, (ORANGE, "--"))
        axis.loglog(ks, curve[name] / curve["encoder"][0], style, color=color, marker="o", markersize=4, label=name)
    axis.set(xlabel="k", xticks=ks, xticklabels=ks, ylabel="signal to noise, encoder at k = 1: 1")
    axis.minorticks_off()
    axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


holds(curve["decoder"][-1] > 2.5 * curve["decoder"][0], curve["encoder"][-1] < 0.55 * curve["encoder"][0])
picture_of_ratios(["decoder", "encoder"])

# %%
quiz.discuss("signal")

# %% [markdown]
# Blue rises, orange falls. (Only slopes are to be compared here: the two are gradients for other parameters.) Think of
# the end of the chain: $\mathcal L_\infty = \log p_\theta(x)$, *whatever $q$ is*. A bound that is tight for every
# encoder has nothing to tell it. In numbers: noise falls as $1/\sqrt k$. The decoder's signal tends to $\nabla_\theta
# \log p_\theta(x)$, so its ratio grows as $\sqrt k$. But near the end of the chain the bound is $\log p_\theta(x) -
# v/(2k)$, with the weights' relative variance $v$. The encoder acts through the gap alone, so the encoder's signal
# falls as $1/k$, and its ratio as $1/\sqrt k$ ([Rainforth et al. 2018](https://arxiv.org/abs/1802.04537)). Both of ours
# move more slowly, 3.4 and 2.4 times in place of $\sqrt{64} = 8$: probably 64 codes are not near the end of the chain
# for many of these images.
#
# **What mends it.** The score is a suspect: $\sum_i \hat w_i s_i$ is noise to a large part. With $k = 1$ the share is
# 1, the score has mean zero (lesson 01), and it can be left out: the path alone is right, and mostly less noisy. With
# $k > 1$ the share depends on the code, so this is no longer so. Lesson 01 helps again. It had two ways to
# differentiate an expectation $\mathbb E_q[f(z)]$, and both give the same on average, $\mathbb E[f(z)\, s] = \mathbb
# E[f'(z)\, \nabla_\varphi z]$. Take for $f$ the share $\hat w_i$ as a function of its own code $z_i$, the other codes
# and $f$ itself held fixed. It is a softmax, whose slope in $\log w_i$ is $\hat w_i (1 - \hat w_i)$. So
#
# $$\mathbb E[\hat w_i s_i] = \mathbb E[(\hat w_i - \hat w_i^2)\, a_i], \qquad\text{and}\qquad
# \nabla_\varphi \mathcal L_k = \mathbb E \sum_i \hat w_i (a_i - s_i) = \mathbb E \sum_i \hat w_i^2\, a_i.$$
#
# This is **DReG**, the doubly reparameterized gradient ([Tucker et al. 2019](https://arxiv.org/abs/1810.04152)): no
# score, the same mean, and one square. Near the end of the chain, where all shares are about $1/k$, the square makes
# the noise $\sqrt k / k^2$, while the signal is $1/k$ still: the ratio would *grow* as $\sqrt k$. Simply leaving out
# the score, $\sum_i \hat w_i a_i$, is **STL**, "sticking the landing" ([Roeder et al.
# 2017](https://arxiv.org/abs/1703.09194)). It is biased for $k > 1$: it no longer climbs $\mathcal L_k$. Both stand in
# the cell above.

# %% tags=["hide-input"]
one_image = {name: g[:, 0, 0] for name, g in gradients(16).items() if name != "decoder"}
print("gradient for the first μ of one image, k = 16")
for name, g in one_image.items():
    print(f"{name:15s}{g.mean():7.1f} ± {g.std(ddof=1) / np.sqrt(len(g)):.1f}")
difference = one_image["encoder"] - one_image["encoder, DReG"]
holds(abs(difference.mean()) < 3 * difference.std() / np.sqrt(len(difference)))
holds(one_image["encoder, STL"].mean() > 1.4 * one_image["encoder, DReG"].mean())
holds(
    curve["encoder, DReG"][-1] > 0.67 * curve["encoder, DReG"][0], curve["encoder, STL"][-1] > curve["encoder, STL"][0]
)
picture_of_ratios(["decoder", "encoder", "encoder, STL", "encoder, DReG"])

# %% [markdown]
# The numbers are for one entry of one image's gradient. DReG agrees with the plain gradient, within its smaller noise;
# STL is elsewhere, far beyond its error. In the picture, STL rises, and DReG falls by less than a third. (It does not
# rise yet: once more, 64 codes are few.) Both are above the plain gradient from $k = 1$ on: the score was noise all
# along, and a good deal of it.
#
# In vaekit the gradient is an argument: `vk.objectives.IWAE(50, gradient="dreg")`, or `"stl"`. Are they ours? Folded
# cells write all three by hand, `by_share`, give the same draws to both, and compare the gradient for the bias of the
# encoder's $\mu$, which is the sum over the images.


# %% tags=["hide-input"]
def by_share(power):
    """Weighs the gradient of each log-weight by its share, or by the share's square."""

    def objective(log_w):
        share = ops.stop_gradient(ops.softmax(log_w, axis=0))
        return ops.sum(share**power * log_w, axis=0)

    return objective


ways = {
    "pathwise": (log_mean_exp, False),
    "stl": (by_share(1), True),  # along the path only
    "dreg": (by_share(2), True),
}


# %% tags=["hide-input"]
with plane.seeded(6):
    trace = plane.trace(few, 50)
encoded = trace.q["z"]
q = ops.concatenate([encoded.mean(), 2 * ops.log(encoded.stddev())], axis=1)  # [B, 4]
noise = (trace.values["z"] - encoded.mean()) / encoded.stddev()
bias = plane.encoder.layers[-1].heads["mean"].bias


def agree(way, path_only, objective):
    """Whether our gradient for μ, summed over images, is that of an objective of vaekit for its bias."""

    def ours(q):
        return -ops.sum(way(log_weights(q, few, noise, path_only)))

    def theirs():
        return ops.sum(objective(plane, plane.observe(few), step=0, training=True)[0])

    with plane.seeded(6):
        of_bias = variables_gradient(theirs, [bias])[1][0]
    of_mean = value_and_gradient(ours, q)[1][0][:, :2]  # [B, 2]
    return np.allclose(ops.sum(of_mean, axis=0), of_bias, rtol=1e-3, atol=0.05)


# %% tags=["nbval-check-output"]
for name, way in ways.items():
    print(f"{name:10s}", agree(*way, vk.objectives.IWAE(50, gradient=name)))

# %% [markdown]
# And does a better signal make a better encoder? Here is the fit with fifty codes from above, once more, by the two
# other gradients. The same two hundred steps, and for DReG the same bound to climb.

# %%
by_gradient = {"pathwise": fitted[50]}
for name in ("stl", "dreg"):
    by_gradient[name], _ = fit(50, *ways[name])
by_gradient["then path"], _ = fit(50, start=by_gradient["dreg"])  # from DReG's q, by the plain gradient

# %% tags=["hide-input"]
rows = table(by_gradient)
holds(rows["dreg"][0] < 0.5 * rows["pathwise"][0], area_1 < rows["dreg"][1] < 0.75 * rows["pathwise"][1])
holds(rows["then path"][1] > 1.6 * rows["dreg"][1], abs(rows["then path"][3] - rows["dreg"][3]) < 0.03)
holds(rows["dreg"][2] < rows["pathwise"][2] - 1.7, abs(rows["dreg"][3] - rows["pathwise"][3]) < 0.05)
figure = Figure(figsize=(8, 2.6))
pairs = [(i, name) for i in (chosen or [0])[:: max(len(chosen) - 1, 1)] for name in ("pathwise", "dreg")]
for axis, (i, name) in zip(figure.subplots(1, len(pairs), squeeze=False)[0], pairs, strict=True):
    window_i = limits_of(i, [by_gradient["pathwise"][i]])
    contours(axis, i, lambda z, i=i, name=name: log_normal(by_gradient[name][i : i + 1], z)[0], window_i)
    axis.set_title(f"image {i}, {name}")
figure

# %% [markdown]
# It does. By $\mathcal L_{50}$ the three are equally good, but a single code of DReG's $q$ is worth more than two nats
# more. In the picture, both gradients cover the posterior in two parts. Only the plain gradient has also blown up $q$
# about the compact one. DReG climbs the same bound and does not do it, so it is not the bound's wish. Is it drift? Near
# its top the bound is so flat that the noise of its gradient pushes $q$ about, and there is more room outside than
# inside. That can be tested. Start the plain gradient where DReG has arrived, for as many steps again. If it stays
# there, it had merely not come as far before; if $q$ grows wider once more, and the bound no better, it drifts. The
# last row has the answer: the area more than doubles, to what it was before, and by $\mathcal L_{50}$ that is worth a
# hundredth of a nat. It drifts, along a bound that is as good as flat. (STL's $q$ is even nearer to the posterior. It
# climbs something else; the second reading says what.)
#
# A [later rerun](https://github.com/nbip/IWAE) of the paper's experiment, with $k = 50$, came to an NLL of 84.59 nats
# by the plain gradient, and of 84.32 by DReG. `fifty`, trained once more for its 40 epochs, but by DReG, comes to 90.2
# in place of 90.7, with 29 active units in place of 35: so some of the units in half use may be drift, too. A quarter
# or half of a nat, from one run each, is little. The better reason for DReG is the gradient itself: the same mean, and
# less noise, for one more evaluation of the densities.

# %% [markdown]
# ## When it goes wrong
#
# One mistake you have met: models compared by bounds of different $k$. Three more are easily made. All of them train
# without an error.
#
# ### The mean of the logarithms
#
# `ops.mean(log_w)` or `log_mean_exp(log_w)`? Both are means over $k$ codes, both are lower bounds, both can be
# differentiated. The first is the ELBO with less noise, the paper's "VAE, $k = 50$", and no IWAE.

# %%
log_w = one.log_weights(test[:100], 50, seed=9)
for k in (1, 5, 50):
    mean_of_logs = log_w.reshape(k, -1).mean(axis=0).mean()
    print(f"k = {k:2d}: {mean_of_logs:.1f}, should be {bound(log_w, k):.1f}")

# %% [markdown]
# *Test:* on a trained model the bound must rise with $k$. If for the same codes it stays where it was, to the last
# digit, the logarithm is inside.
#
# ### The wrong end of the softmax
#
# Some programs have losses rather than log-weights, $\ell_i = -\log w_i$, and weigh each code's gradient by a softmax.
# Shares are `softmax(-loss)`. Leave out the minus, and the *worst* code gets the largest weight. We train small VAEs
# for five epochs: by the ELBO, by $\mathcal L_5$, and by $\mathcal L_5$ with this mistake. (A fourth has the mean of
# five ELBOs, to see what five codes do by themselves.)


# %%
class WrongEnd(vk.objectives.IWAE):
    def bound(self, log_w):  # [k, B]
        loss = -log_w
        weight = ops.stop_gradient(ops.softmax(loss, axis=0))  # should be of -loss
        return -ops.sum(weight * loss, axis=0)


# %%
quiz.ask("sign")

# %% tags=["hide-input"]
print("                 L₁       L₅₀")
young = {"ELBO": vk.objectives.ELBO(), "mean of 5": vk.objectives.ELBO(samples=5)}
young |= {"L₅": vk.objectives.IWAE(5), "wrong end": WrongEnd(5)}
by_objective = {}
for name, objective in list(young.items())[-epochs(4, 1) :]:
    keras.utils.set_random_seed(2)
    encoder = keras.Sequential([vk.layers.MLP(200), vk.layers.DiagonalNormal(40)])
    decoder = keras.Sequential([vk.layers.MLP(200), vk.layers.Bernoulli((28, 28, 1))])
    small = vk.VAE(encoder, decoder, seed=0)
    small.compile(Adam(0.003), objective=objective)
    small.fit(images.train[: epochs(10_000, 200)], batch_size=100, epochs=epochs(5), verbose=0)
    w = small.log_weights(test[:200], 100, seed=1)
    by_objective[name] = [bound(w, k) for k in (1, 50)]
    print("{:10s}{:10.1f}{:10.1f}".format(name, *by_objective[name]))

# %%
quiz.discuss("sign")

# %% tags=["hide-input"]
if epochs(4, 1) == 4:
    (elbo_1, elbo_50), (mean_1, mean_50), (iwae_1, iwae_50), (wrong_1, wrong_50) = by_objective.values()
    holds(mean_1 > wrong_1 + 2, mean_50 > iwae_50)
    holds(
        wrong_1 > elbo_1 + 0.5 > iwae_1 + 2, iwae_50 > elbo_50 + 1.5, wrong_50 < iwae_50 - 1.5, wrong_50 < elbo_50 + 1
    )
    holds(wrong_50 - wrong_1 < 6.5, iwae_50 - iwae_1 > 12)

# %% [markdown]
# A perfectly smooth training, and after five epochs its result is ahead of the ELBO's by $\mathcal L_1$! The second row
# takes that back: with five codes for each image, the plain mean of five ELBOs is far ahead of both. So what looks like
# a merit of the mistake is one of five codes, and who compares with too cheap a rival does not see it. (Even by
# $\mathcal L_{50}$ the mean of five is in front, after five epochs. $\mathcal L_5$ pays later: see the table of four
# above.) The mistake is nats behind the model trained by $\mathcal L_5$, by the very $\mathcal L_{50}$, and no better
# than the ELBO's. The worst code rules, so the encoder takes no risks: its codes are alike, and fifty of them gain it
# some five nats, where under $\mathcal L_5$ they gain fourteen. What it climbs is a bound in its own right, with the
# *harmonic* mean of the weights instead of the arithmetic one. That bound lies below the ELBO, and more codes make it
# looser. *Test:* feed log-weights of 0 and 10, and look which of the two gets the larger share.
#
# ### Overfitting the estimator
#
# Training overfits a *model* when it learns its images by heart. There is a second kind of thing to learn by heart: the
# draws. Suppose that the noise $\varepsilon$ is drawn once, and used at every step; a fixed seed in the wrong place is
# enough. We fit $q$ for our two dozen images, as before, with the noise drawn once. The decoder is fixed, so
# $\log p_\theta(x)$ is what it is, and known from the grid.

# %%
quiz.ask("frozen")

# %%
frozen = {k: fit(k, fresh=False, steps=300) for k in (1, 50)}

# %% tags=["hide-input"]
figure = Figure(figsize=(7, 3.2))
axis = figure.add_subplot()
for k, (_, curve_k) in frozen.items():
    axis.plot(curve_k, color=GREYS[k], label=f"k = {k}")
axis.axhline(log_p.mean(), color=BLUE, linestyle="--")
axis.text(90, log_p.mean() - 1.2, "$\\log p_\\theta(x)$, from the grid", color=BLUE)
axis.set(xlabel="steps", ylabel="“bound”, nats", ylim=(log_p.mean() - 6, log_p.mean() + 9))
axis.legend(loc="lower right")
fresh = {k: bound(ops.convert_to_numpy(log_weights(q, few, test_noise)), k) for k, (q, _) in frozen.items()}
for k in frozen:
    print(f"k = {k:2d}: {frozen[k][1][-1]:.1f} nats with the draws of the fit, {fresh[k]:.1f} with others")
lost = {k: frozen[k][1][-1] - fresh[k] for k in frozen}
holds(*(frozen[k][1][-1] > log_p.mean() + 4 for k in frozen), lost[1] > 100, 40 < lost[50] < 60)
figure

# %%
quiz.discuss("frozen")

# %% [markdown]
# Both rise through $\log p_\theta(x)$, a line at −137.0 that no lower bound can cross, by seven nats and by more than
# five, and it is only the falling rate of the optimizer that stops them. The model is the same as before; the
# *estimate* has been overfitted. One code is put where the posterior is highest, and then $q$ is widened about it until
# that code has next to no density under $q$, which makes its weight as large as you please. More codes do not protect,
# since a single one is enough. With other draws the same $q$ is worth some fifty nats less, or, for $k = 1$, more than
# a hundred.
#
# Nobody does this on purpose. But a fixed seed within `call` does it, and so does whoever refines $q$ for each test
# image and reports the last value of the objective, or tries ten seeds and reports the best. *Test:* measure with draws
# that nothing has been fitted to.

# %% [markdown]
# ## Take-aways
#
# The importance weighted bound is the log of a mean of $k$ weights. It rises with $k$, from the ELBO to $\log
# p_\theta(x)$: by Jensen's inequality, leaving out one weight at a time. Two *models* must be compared by the same $k$.
#
# Its gradient counts each code by its share of the weight, so bad codes cost next to nothing. The encoder spreads, and
# becomes a proposal: draw $k$ codes, keep one by its share, and you have the posterior that the bound stands for. The
# decoder uses more latents, and in the end gives better likelihoods, for several times the price.
#
# The tighter the bound, the less the encoder learns from its gradient. Shares squared along the path, without the
# score, are the same gradient with less noise: DReG.
#
# The logarithm goes outside, the minus inside, $k$ must be equal, and draws must be fresh.
#
# **To do next:** [exercise
# 04](../exercises/04_importance_weighted_autoencoders/04_importance_weighted_autoencoders.ipynb). Then [lesson
# 05](05_two_stochastic_layers.ipynb) stacks a second layer of latents on the first. The rest of this lesson can wait.

# %% [markdown]
# # Second reading: swapped objectives, and one family
#
# ## Swapped
#
# Is it what a model has learned so far that makes the difference, or the objective that it is under? The paper's table
# 2 takes trained models, swaps the objectives, and trains on: the VAE by $\mathcal L_{50}$, the IWAE by the ELBO. We do
# the same in small: one epoch of MNIST-10k, with the paper's last learning rate, $10^{-4}$. Since these images, newly
# tossed each time, are other data than the models know, each is also trained on by its *own* objective.

# %%
quiz.ask("swap")


# %%
def continued(name, objective):
    """A trained model, trained on by an objective."""
    model = paper.load(name)
    paper.switch(model, objective)  # Adam, 10⁻⁴
    model.fit(images.train[: epochs(10_000, 40)], batch_size=20, verbose=0)
    return model


# %% tags=["hide-input"]
def measure(model):
    """NLL by 500 codes and L_1, for 200 test images, and active units."""
    x = test[: epochs(200, 4)]
    nll = -vk.evaluation.log_likelihood(model, x, epochs(500, 50), progress=False).mean
    return nll, bound(model.log_weights(x, 50, seed=4), 1), vk.evaluation.active_units(model, test).count


swapped = {("ELBO", "—"): measure(one), ("L₅₀", "—"): measure(fifty)}
for by, name in (("ELBO", "vae_k1"), ("L₅₀", "iwae_k50"))[: epochs(2, 0)]:
    for then, objective in (("ELBO", vk.objectives.ELBO()), ("L₅₀", vk.objectives.IWAE(50))):
        swapped[by, then] = measure(continued(name, objective))
print("trained by   then by       NLL       L₁   active units")
for by, then in sorted(swapped, key=lambda row: (row[0], row[1] != "—")):
    nll, l_1, active = swapped[by, then]
    print(f"{by:13s}{then:9s}{nll:8.2f}{l_1:9.1f}{active:11d}")

# %%
quiz.discuss("swap")

# %% tags=["hide-input"]
if epochs(2, 1) == 2:
    ((vae, *_), (vae_vae, *_), (vae_iwae, _, active)), ((iwae, iwae_1, _), (iwae_vae, l_1, _), (iwae_iwae, *_)) = (
        [swapped[by, then] for then in ("—", "ELBO", "L₅₀")] for by in ("ELBO", "L₅₀")
    )
    holds(vae_iwae < vae_vae - 0.3, vae_vae < vae, iwae_vae > iwae + 0.2, iwae_iwae < iwae - 0.3)
    holds(abs(active - 20) < 2, l_1 > iwae_1 + 5)

# %% [markdown]
# An epoch by $\mathcal L_{50}$ makes both models better, and better than one by the ELBO. One by the ELBO makes `fifty`
# *worse* in its NLL, although its $\mathcal L_1$ gains some seven nats. (A part of this may be the ruler: a narrower
# encoder is a worse one, and these are 500 codes. One run, 200 images.) So it seems to be the objective, not the
# history. The paper says the same after 2187 more epochs: from 86.76 to 84.88 by $\mathcal L_{50}$, and from 84.78 to
# 86.02 by the ELBO. What takes longer are the units. In our one epoch none of the dead ones of `one` woke up, and
# `fifty` lost a few half-used ones either way; in the paper there were 22 instead of 19 in the end, and 23 instead of
# 25.
#
# ## Where STL goes
#
# Where does STL go, if not up $\mathcal L_k$? For large $k$ its shares are $w_i / (k\,p_\theta(x))$. Lesson 01's
# equation with $f = w$ then gives $\mathbb E_q[w\,s]/p_\theta(x)$, the mean score *under the posterior*, which is
# $-\nabla_\varphi \mathrm{KL}\big(p_\theta(z|x)\,\|\,q_\varphi(z|x)\big)$. So it pulls $q$ over the whole posterior. A
# sensible aim, only not the one that was asked for. (About a compact posterior this is the $q$ of the ELBO, as its row
# above shows. It is another where there are two parts.)
#
# ## Groups and mixtures
#
# If one large group of codes is best for the decoder, and many small ones for the encoder, why choose? Everything so
# far was a function of one array, the log-weights of $M \cdot K$ codes for each image. There are more such functions
# ([Rainforth et al. 2018](https://arxiv.org/abs/1802.04537)):
#
# - **MIWAE**: $M$ groups of $K$, and the mean of their bounds, $\frac1M \sum_m \log \frac1K \sum_k w_{mk}$. With
#   $M = 1$ it is the IWAE, with $K = 1$ the ELBO with $M$ codes.
# - **CIWAE**: a mixture, $\alpha$ times the ELBO plus $1 - \alpha$ times $\mathcal L_K$, from the same codes.
# - **PIWAE**: the decoder climbs $\mathcal L_{MK}$, the encoder MIWAE.
#
# They are `vk.objectives.MIWAE(M, K)`, `CIWAE(K, alpha)` and `PIWAE(M, K)`. Each is known by its bound, and by the
# shares that it gives to the codes. We have 64 codes in a group from above, with their paths and scores; nothing needs
# to be drawn.

# %%
w, a, s, _ = (array.reshape(-1, 64, *array.shape[1:]) for array in drawn)
by_code = np.moveaxis(w, 1, 0).reshape(64, -1)  # [64, groups · images]


def place(objective):
    """The bound of an objective, and the encoder's signal-to-noise ratio under it."""
    share = ops.convert_to_numpy(objective.shares(by_code)[0])
    share = np.moveaxis(share.reshape(64, *w[:, 0].shape), 0, 1)[..., None]
    value = float(ops.mean(objective.bound(by_code)))
    return value, np.median(ratio((share * (a - s)).sum(axis=1))) / curve["encoder"][0]


# %% tags=["hide-input"]
figure = Figure(figsize=(7, 3.6))
axis = figure.add_subplot()
groups = {K: place(vk.objectives.MIWAE(64 // K, K)) for K in (64, 32, 16, 8, 4, 2)}
mixtures = {alpha: place(vk.objectives.CIWAE(64, alpha)) for alpha in (0.05, 0.2, 0.5, 0.8)}
axis.semilogy(*zip(*groups.values(), strict=True), "o-", color=ORANGE, label="MIWAE, M groups of K")
axis.semilogy(*zip(*mixtures.values(), strict=True), "s:", color=ORANGE, label="CIWAE, α")
for K, (x, y) in groups.items():
    axis.annotate(f"{64 // K} × {K}", (x, y), (5, 5), textcoords="offset points")
for alpha, (x, y) in mixtures.items():
    axis.annotate(f"{alpha}", (x, y), (-6, -12), textcoords="offset points", ha="right")
axis.set(xlabel="bound, nats", ylabel="signal to noise, encoder at k = 1: 1")
axis.margins(x=0.1)
axis.legend()
holds(groups[64][0] > groups[8][0] > groups[2][0], groups[64][1] < groups[8][1] < groups[2][1])
figure

# %% [markdown]
# Each point is an objective, with the same 64 codes for each image. On the right, one group of 64: the tightest bound,
# and the poorest signal. Every step to the left gives up some of the bound for a better signal; groups and mixtures
# come to nearly the same. PIWAE takes the bound of the first point for the decoder and the signal of any other for the
# encoder, at the price that the two no longer climb one function. DReG, above, is the other way to have both.
#
# ## With $\beta$
#
# With a factor $\beta$ before the KL divergence, lesson 02's accident, the log-weights become
# $\log p_\theta(x|z) + \beta\,(\log p(z) - \log q_\varphi(z|x))$, and every objective of vaekit takes `beta`. What does
# the chain then lead to? To the logarithm of the mean,
#
# $$\log \mathbb E_{q_\varphi}\Big[p_\theta(x|z) \Big(\tfrac{p(z)}{q_\varphi(z|x)}\Big)^{\beta}\Big]
# = \log \int p_\theta(x|z)\, p(z)^\beta\, q_\varphi(z|x)^{1 - \beta}\, \mathrm dz.$$
#
# For $\beta = 1$ the encoder drops out, and this is $\log p_\theta(x)$. For every other $\beta$ it stays in. On the
# grid of `plane`:

# %%
log_prior = norm.logpdf(grid).sum(axis=1)
narrow, wide = log_normal(fitted[1]), log_normal(fitted[50])
ends = {}
for beta in (0.5, 0.8, 1.0):
    terms = (joint + (beta - 1) * (log_prior - log_q) for log_q in (narrow, wide))
    ends[beta] = [logsumexp(log_terms, axis=1).mean() + log_area for log_terms in terms]
    print("β = {}:  {:.2f} with the narrow q, {:.2f} with the wide q".format(beta, *ends[beta]))

# %% tags=["hide-input"]
holds(
    abs(ends[0.5][0] - ends[0.5][1] - 0.4) < 0.05,
    ends[0.8][0] > ends[0.8][1] + 0.05,
    abs(ends[1.0][0] - ends[1.0][1]) < 0.01,
)

# %% [markdown]
# With $\beta = 1$ both encoders lead to the same end. With other values the end depends on $q$, here by up to 0.4 nats,
# and it is not $\log p_\theta(x)$. Here, for $\beta < 1$, it is even above it, by three nats at one half: no lower
# bound at all. So with more codes the bound comes nearer to the logarithm of that integral, which depends on $q$. It is
# one more reason to treat a $\beta$ that is not 1 as a *warm-up*, which ends at 1, and not as a setting. Lesson 05 does
# so.
