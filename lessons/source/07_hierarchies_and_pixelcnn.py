# %% [markdown]
# # 07 · Hierarchical VampPrior, convolutions, PixelCNN
#
# Lesson 05 built two layers of codes, and one of them died. Lesson 06 built a prior that fits the codes. Put together
# they are the model that [Tomczak and Welling](https://arxiv.org/abs/1705.07120) wanted in the first place. What is left
# to improve then is the decoder, and it can be made so strong that it paints each pixel with all earlier ones before
# its eyes. That is a triumph by the numbers, and the beginning of a new trouble.
#
# **After it, you will be able to**
#
# - build a hierarchy with a VampPrior on top, and say what keeps its upper layer alive;
# - give bytes a likelihood that is one, report it in bits per dimension, and say what uniform noise has to do with it;
# - build a PixelCNN from masks, test by gradients that no pixel sees the future, and find its blind spot;
# - sample pixel by pixel, and say why that is slow, and why it need not be;
# - recognize in a table the first sign that a decoder no longer needs its code.
#
# **You need** lessons 05 and 06: top-down encoders, $K_1$ and $K_2$, pseudo-inputs. Convolutions are those of Keras.
#
# **It takes** about {minutes} minutes of yours, and three of a laptop's CPU.

# %% tags=["hide-input"]
# # %pip install vaekit
import vaekit as vk  # first: it keeps the backend's start-up messages out of the notebook
from vaekit.course import epochs, holds
from vaekit.course.quiz import Quiz
from vaekit.course.show import explore

quiz = Quiz("07")

import zlib
from time import perf_counter

import ipywidgets
import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import Sequential, ops
from keras.optimizers import Adam
from scipy.special import expit

from vaekit.backend import value_and_gradient
from vaekit.papers import tomczak2017 as paper
from vaekit.plotting import COLORS, Figure

BLUE, ORANGE = COLORS[:2]  # the model p, the encoder q
plt.rcParams.update({"figure.dpi": 80, "figure.constrained_layout.use": True, "axes.spines.top": False})
plt.rcParams.update({"axes.spines.right": False, "legend.frameon": False, "axes.titlesize": "medium"})

# %% [markdown]
# ## A hierarchy that lives
#
# The paper calls the two latents $z_1$ and $z_2$, from the image upwards, and so do we from now on; they are the $h_1$
# and $h_2$ of lesson 05. The story and the guess, both from the top down:
#
# $$p(x, z_1, z_2) = p_\lambda(z_2)\; p_\theta(z_1|z_2)\; p_\theta(x|z_1, z_2), \qquad
# q_\varphi(z_1, z_2|x) = q_\varphi(z_2|x)\; q_\varphi(z_1|x, z_2),$$
#
# $$p_\lambda(z_2) = \frac1K \sum_{k=1}^K q_\varphi(z_2|u_k).$$
#
# Lesson 05's top-down model, of which hardly a nat was left in the upper layer, had $p_\theta(x|z_1)$ and a standard
# normal on top. Two things are new. **The decoder sees both latents.** $z_2$ no longer has to speak through $z_1$, so
# it is worth something as soon as the decoder has learned to read it. No wire is needed. And **the prior of $z_2$ is a
# VampPrior.** It has the shape that the codes have, so they need not be pressed into a round cloud. The paper has a
# third remedy, which you know: a warm-up, of 100 epochs.
#
# Two small things come along. The layers are **gated**:
#
# $$h(x) = (W x + b) \odot \operatorname{sigmoid}(V x + c).$$
#
# One half computes a value, linearly; the other half decides how much of it is let through, between nothing and all.
# A ReLU unit decides by its own value alone whether it is heard. Here the gate has weights of its own, and may ask
# something else: "if this is a seven, then the slant". It costs twice the weights. And `DiagonalNormal` gets the paper's
# bounds: $\log\sigma^2$ is clipped to $[-6, 2]$.


# %%
images = vk.datasets.load("dynamic_mnist_10k")
test = np.asarray(images.test)  # [2000, 28, 28, 1]
SHAPE = (28, 28, 1)


def network(last, layers=2):
    return Sequential([vk.layers.MLP([100] * layers, "gated"), last])


def joined(shapes, last):
    """A network of several inputs: a gated layer for each, joined, a gated layer."""
    inputs = [keras.Input(shape) for shape in shapes]
    ends = [vk.layers.GatedDense(100)(tensor) for tensor in inputs]
    return keras.Model(inputs, last(vk.layers.GatedDense(100)(keras.layers.Concatenate()(ends))))


# %%
def hierarchy(sees_both=True, vamp=True, n=40, K=100):
    Factor = vk.Factor
    normal = lambda: vk.layers.DiagonalNormal(n, log_variance_range=(-6, 2))  # noqa: E731
    pixels = vk.layers.Bernoulli(SHAPE)
    q_z2, q_z1 = network(normal()), joined([SHAPE, (n,)], normal())
    top = vk.priors.VampPrior(q_z2, K, input_shape=SHAPE, seed=1) if vamp else vk.priors.StandardNormal()
    p_x = joined([(n,), (n,)], pixels) if sees_both else network(pixels)
    z2, z1 = Factor("z2", top), Factor("z1", network(normal()), given="z2")
    x = Factor("x", p_x, given=("z1", "z2") if sees_both else "z1")
    q = [Factor("z2", q_z2, given="x"), Factor("z1", q_z1, given=("x", "z2"))]
    return vk.LatentVariableModel([z2, z1, x], q, seed=1)


# %% [markdown]
# Mind that `q_z2` stands in it twice, in $q$ and in the prior. It is one network. Now a ladder, from lesson 05's model
# upwards, one step at a time.

# %%
quiz.ask("ladder")

# %%
LADDER = {  # name: (the decoder sees both, VampPrior, steps of warm-up)
    "lesson 05": (False, False, 0),
    "+ sees both": (True, False, 0),
    "+ VampPrior": (True, True, 0),
    "+ warm-up": (True, True, 300),
}
models, curves = {}, {}
for name, (sees_both, vamp, steps) in list(LADDER.items())[epochs(0, 3) :]:  # all four
    keras.utils.set_random_seed(1)
    models[name] = hierarchy(sees_both, vamp)
    beta = vk.objectives.WarmUp(steps) if steps else 1.0
    models[name].compile(Adam(0.002), objective=vk.objectives.ELBO(beta=beta))
    data = images.train[: epochs(10_000, 100)]
    curves[name] = models[name].fit(data, batch_size=100, epochs=epochs(8), verbose=0).history["kl_z2"]
