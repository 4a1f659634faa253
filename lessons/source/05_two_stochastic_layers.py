# %% [markdown]
# # 05 · Two stochastic layers
#
# A VAE draws a code and makes an image of it. Where does the code come from? From a standard normal, that is, from a
# round cloud with nothing in it. If codes deserve a better story, we know how to tell one: a code is made from a code
# of its own. This lesson builds a VAE on top of a VAE, finds out what the upper one is good for, and watches it die.
#
# **After it, you will be able to**
#
# - write a model of several latents as factors, in either order of the encoder, and its log-weight as a sum over them;
# - say what each layer has learned, from samples in which one layer is held fixed;
# - explain why the second layer tends to be switched off, and say what four remedies do about it, in nats;
# - count the layers of a model by what they carry, and throw out the units that carry nothing;
# - recognize a KL divergence that has no closed form, and a bound that is none.
#
# **You need** lessons 02 to 04: the bound, log-mean-exp, the importance weighted bound $\mathcal L_k$.
#
# **It takes** about {minutes} minutes of yours, and three of a laptop's CPU.

# %% tags=["hide-input"]
# # %pip install vaekit
import vaekit as vk  # first: it keeps the backend's start-up messages out of the notebook
from vaekit.course import epochs, holds
from vaekit.course.quiz import Quiz
from vaekit.course.show import explore

quiz = Quiz("05")

import ipywidgets
import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import Sequential, ops
from keras.optimizers import Adam
from scipy.special import logsumexp
from scipy.stats import norm

from vaekit.papers import burda2015 as paper
from vaekit.plotting import COLORS, Figure

BLUE, ORANGE = COLORS[:2]  # the model p, the encoder q
plt.rcParams.update({"figure.dpi": 80, "figure.constrained_layout.use": True, "axes.spines.top": False})
plt.rcParams.update({"axes.spines.right": False, "legend.frameon": False, "axes.titlesize": "medium"})

# %% [markdown]
# ## A prior that is made
#
# The story of an image has one more sentence now. A first draw, $h_2$, comes from a standard normal, as ever. A network
# turns it into a normal distribution over codes $h_1$, from which one is drawn; a second network turns $h_1$ into the
# image:
#
# $$p_\theta(x, h_1, h_2) = p(h_2)\; p_\theta(h_1|h_2)\; p_\theta(x|h_1), \qquad
# p_\theta(h_1) = \int p(h_2)\, p_\theta(h_1|h_2)\, \mathrm dh_2.$$
#
# ($h$ is for hidden. The paper of lesson 04 counts its layers like this, from the data upwards, and so do we; what was
# $z$ so far is the pair $(h_1, h_2)$.) Each place where something is drawn is a **stochastic layer**. Between them are
# as many ordinary layers as one likes, and they do not count.
#
# What is the gain? Read the second formula: the prior of $h_1$ is no longer a round cloud. It is a mixture of as many
# normals as there are $h_2$, and its shape is learned. It is what a decoder makes of noise, and decoders, we know, can
# make digits.
#
# ## Guessing two codes
#
# To learn, we need an encoder for both codes, a $q_\varphi(h_1, h_2|x)$. A distribution of two things is drawn one
# thing after the other, and either may be first:
#
# $$\begin{aligned}
# \text{bottom-up:} && q_\varphi(h_1, h_2|x) &= q_\varphi(h_1|x)\; q_\varphi(h_2|h_1), \\
# \text{top-down:} && q_\varphi(h_1, h_2|x) &= q_\varphi(h_2|x)\; q_\varphi(h_1|x, h_2).
# \end{aligned}$$
#
# The first follows the image upwards, against the story. The second guesses the top from the image, and then comes down
# along the story, with an eye on the image.

# %% tags=["hide-input"]
NODES = {"h2": (0, 2), "h1": (0, 1), "x": (0, 0)}
GRAPHS = {
    "the model p": (BLUE, [("h2", "h1", 0), ("h1", "x", 0)]),
    "q, bottom-up": (ORANGE, [("x", "h1", 0), ("h1", "h2", 0)]),
    "q, top-down": (ORANGE, [("x", "h2", -0.5), ("x", "h1", 0), ("h2", "h1", 0)]),
}
figure = Figure(figsize=(7, 2.9))
for axis, (title, (color, arrows)) in zip(figure.subplots(1, 3), GRAPHS.items(), strict=True):
    for name, place in NODES.items():
        axis.plot(*place, "o", markersize=28, markerfacecolor="0.9" if name == "x" else "white", color="black")
        axis.text(*place, {"x": "$x$"}.get(name, f"$h_{name[-1]}$"), ha="center", va="center", fontsize=13)
    for start, end, bend in arrows:
        arrow = {"arrowstyle": "-|>", "color": color, "linewidth": 2, "shrinkA": 15, "shrinkB": 15}
        arrow["connectionstyle"] = f"arc3,rad={bend}"
        axis.annotate("", NODES[end], NODES[start], arrowprops=arrow)
    axis.set(title=title, xlim=(-0.9, 0.9), ylim=(-0.4, 2.4))
    axis.axis("off")
figure

# %% [markdown]
# An arrow from $a$ to $b$ says that the distribution of $b$ is given $a$. One arrow is missing in the picture in the
# middle: $h_2$ could be given $x$ as well.

# %%
quiz.ask("order")

# %%
quiz.discuss("order")

# %% [markdown]
# All that lesson 02 derived holds word for word, for it never looked inside of $z$: the bound is the mean of the
# log-weight, $\log p_\theta(x, h_1, h_2) - \log q_\varphi(h_1, h_2|x)$, and both logarithms are sums now,
#
# $$\log w = \underbrace{\log p(h_2) + \log p_\theta(h_1|h_2) + \log p_\theta(x|h_1)}_{\text{all factors of } p}
# \;-\; \underbrace{\log q_\varphi(h_1|x) - \log q_\varphi(h_2|h_1)}_{\text{all factors of } q}$$
#
# in the bottom-up order. Draw $h_1$, then $h_2$, and add up. That is all; an objective needs to know no more of a model
# than this one number for each draw.
#
# ### A hierarchy that one can work out
#
# Let everything be a single number. $h_2$ is a standard normal; $h_1 = a h_2 + \tau\varepsilon$ with
# $\tau^2 = 1 - a^2$; and $x = h_1 + s\,\varepsilon'$. The $\tau$ is chosen such that $h_1$ is standard normal, too:
# $(h_1, h_2)$ are two standard normals with correlation $a$, of which neither comes first. So
# $p(h_2|h_1) = \mathcal N(a h_1, \tau^2)$, the story read backwards. And $x$ is a normal of variance $v = 1 + s^2$,
# with $p(h_1|x) = \mathcal N(x/v,\, s^2/v)$, as for any normal signal in normal noise. Posterior and $\log p(x)$ are
# known, so we can check the sum.


# %%
a, s, x = 0.8, 0.5, 1.3
tau, v = np.sqrt(1 - a**2), 1 + s**2
rng = np.random.default_rng(1)


def bottom_up(mean, sd, slope, sd_2, n):
    """log w at n draws from q(h1|x) = N(mean, sd²), q(h2|h1) = N(slope · h1, sd_2²)."""
    h1 = rng.normal(mean, sd, n)
    h2 = rng.normal(slope * h1, sd_2)
    log_p = norm.logpdf(h2) + norm.logpdf(h1, a * h2, tau) + norm.logpdf(x, h1, s)
    log_q = norm.logpdf(h1, mean, sd) + norm.logpdf(h2, slope * h1, sd_2)
    return log_p - log_q


# %% tags=["nbval-check-output"]
exact = bottom_up(x / v, s / np.sqrt(v), a, tau, 4)
wide = bottom_up(x / v, s / np.sqrt(v), a, 2 * tau, 100_000)
print("exact q:", *exact.round(4))
print(f"log p(x) = {norm.logpdf(x, 0, np.sqrt(v)):.4f}")
print(f"q(h2|h1) too wide: bound {wide.mean():.1f}, L_5000", end=" ")
weights = wide.reshape(20, 5000)
print(f"{(logsumexp(weights, axis=1) - np.log(5000)).mean():.2f}")

# %% [markdown]
# With the exact posterior every draw has the same weight, $p(x)$, whatever $h_1$ and $h_2$ were; so it was with one
# latent. With a $q_\varphi(h_2|h_1)$ twice as wide as it should be, the bound is lower, by the divergence of that one
# factor, and $\mathcal L_{5000}$, the log of the mean of 5000 weights, makes up for it.

# %% [markdown]
# ## As factors
#
# vaekit has no class for this model, and needs none. A model is a list of factors of $p$, in the order of the story,
# and a list of factors of $q$, in the order of guessing. `Factor("h1", network, given="h2")` is
# $p_\theta(h_1|h_2)$ or $q_\varphi(h_1|h_2)$, according to the list that it stands in.


# %%
def network(hidden, last):
    return Sequential([vk.layers.MLP(hidden, "tanh"), last])


def hierarchy(units=(40, 20), hidden=100):
    Normal, Factor = vk.layers.DiagonalNormal, vk.Factor
    pixels = vk.layers.Bernoulli((28, 28, 1))
    n1, n2 = units
    generative = [
        Factor("h2", vk.priors.StandardNormal()),
        Factor("h1", network(hidden, Normal(n1)), given="h2"),
        Factor("x", network(hidden, pixels), given="h1"),
    ]
    inference = [
        Factor("h1", network(hidden, Normal(n1)), given="x"),
        Factor("h2", network(hidden, Normal(n2)), given="h1"),
    ]
    return vk.LatentVariableModel(generative, inference, seed=1)


# %% [markdown]
# The same by hand, to see that there is no more to it: run the four networks one after the other, and add up
# log-densities. `trace` gives us the draws that vaekit made, `log_normal` is ours.

# %%
images = vk.datasets.load("dynamic_mnist_10k")
test = np.asarray(images.test)  # [2000, 28, 28, 1]
keras.utils.set_random_seed(1)
model = hierarchy()
trace = model.trace(test[:50], samples=1, seed=2)
h1, h2 = (ops.convert_to_numpy(trace.values[name][0]) for name in ("h1", "h2"))


def log_normal(h, q):
    return norm.logpdf(h, q.mean(), q.stddev()).sum(axis=1)  # sum over units


def log_bernoulli(x, p):
    a = ops.convert_to_numpy(p.distribution.logits_parameter())
    return (x * a - np.logaddexp(0, a)).sum(axis=(1, 2, 3))


# %% tags=["nbval-check-output"]
_, p_h1, p_x = (factor.layer for factor in model.generative)
q_h1, q_h2 = (factor.layer for factor in model.inference)
log_p = norm.logpdf(h2).sum(axis=1) + log_normal(h1, p_h1(h2))
log_p = log_p + log_bernoulli(test[:50], p_x(h1))
log_q = log_normal(h1, q_h1(test[:50])) + log_normal(h2, q_h2(h1))
theirs = ops.convert_to_numpy(trace.log_weights())[0]
print("the same log-weights:", np.allclose(log_p - log_q, theirs, rtol=1e-4))
print("by factor:", *trace.log_p, "and", *trace.log_q)

# %% [markdown]
# The other order is the other list, `[Factor("h2", …, given="x"), Factor("h1", …, given=("x", "h2"))]`, with a network
# that takes both. Nothing else changes: no objective, no estimate. Three layers are three factors more.
#
# Two terms now deserve the name KL, one for each layer:
#
# $$K_1 = \mathbb E_q\big[\log q_\varphi(h_1|x) - \log p_\theta(h_1|h_2)\big], \qquad
# K_2 = \mathbb E_q\big[\log q_\varphi(h_2|h_1) - \log p(h_2)\big].$$
#
# Their sum is $\mathrm{KL}\big(q_\varphi(h_1, h_2|x)\,\|\,p_\theta(h_1, h_2)\big)$, the price of the code as a whole.
# vaekit reports them as `kl_h1` and `kl_h2`. $K_2$ is a divergence in its own right, for every $h_1$. $K_1$ is not
# quite: its $h_2$ was drawn after $h_1$, and has seen it. Keep that in mind; it will be somebody's mistake.
