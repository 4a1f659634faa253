# %% [markdown]
# # 07 · Hierarchical VampPrior, convolutions, PixelCNN
#
# Lesson 05 built two layers of codes, and one of them died. Lesson 06 built a prior that fits the codes. Put together
# they are the model that [Tomczak and Welling](https://arxiv.org/abs/1705.07120) wanted in the first place. What is
# left to improve then is the decoder, and it can be made so strong that it paints each pixel with all earlier ones
# before its eyes. That is a triumph by the numbers, and the beginning of a new trouble.
#
# **After it, you will be able to**
#
# - build a hierarchy with a VampPrior on top, and say what keeps its upper layer alive;
# - give bytes a likelihood that is one, report it in bits per dimension, and say what uniform noise has to do with it;
# - build a PixelCNN from masks, and test by gradients what a pixel sees;
# - sample pixel by pixel, and say why that is slow, and why it need not be;
# - read from a table how code and decoder share the work.
#
# **You need** lessons 05 and 06: top-down encoders, $K_1$ and $K_2$, pseudo-inputs. Convolutions are those of Keras.
#
# **It takes** about {minutes} minutes of yours, and three of a laptop's CPU. A second reading, about {second} minutes,
# is for those who meet densities of grey values, or batch normalization in a PixelCNN.

# %% tags=["hide-input"]
# # %pip install "vaekit[course]"
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
from vaekit.papers import dieng2018
from vaekit.papers import tomczak2017 as paper
from vaekit.plotting import COLORS, Figure

BLUE = COLORS[0]  # the model p
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
# (This $K$ counts pseudo-inputs; $K_1$ and $K_2$ are prices.)
#
# Lesson 05's top-down model, of which little more than a nat was left in the upper layer, had $p_\theta(x|z_1)$ and a
# standard normal on top. Two things are new. **The decoder sees both latents**, so $z_2$ no longer has to speak through
# $z_1$. And **the prior of $z_2$ is a VampPrior**, which has the shape that the codes have, so they need not be pressed
# into a round cloud. The paper has a third remedy, which you know: a warm-up, of 100 epochs.
#
# Two small things come along. The layers are **gated**, $h(x) = (W x + b) \odot \operatorname{sigmoid}(V x + c)$. One
# half computes a value, linearly; the other half decides how much of it is let through, between nothing and all. A ReLU
# unit decides by its own value alone whether it is heard. Here the gate has weights of its own, and may ask something
# else: "if this is a seven, then the slant". It costs twice the weights. And `DiagonalNormal` gets the paper's bounds:
# $\log\sigma^2$ is clipped to $[-6, 2]$.


# %%
images = vk.datasets.load("dynamic_mnist_10k")
test = np.asarray(images.test)  # [2000, 28, 28, 1]
SHAPE, N, K = (28, 28, 1), 40, 100  # units of each latent, pseudo-inputs


def normal():
    return vk.layers.DiagonalNormal(N, log_variance_range=(-6, 2))


def network(last):
    return Sequential([vk.layers.MLP([100, 100], "gated"), last])


# %% tags=["hide-input"]
def joined(shapes, *ends):
    """A network of several inputs: a gated layer for each, joined, a gated layer, and its ends."""
    inputs = [keras.Input(shape) for shape in shapes]
    parts = [vk.layers.GatedDense(100)(tensor) for tensor in inputs]
    tensor = keras.layers.Concatenate()(parts)
    for layer in (vk.layers.GatedDense(100), *ends):
        tensor = layer(tensor)
    return keras.Model(inputs, tensor)


# %%
def hierarchy(sees_both=True, vamp=True, p_x=None):
    q_z2, q_z1 = network(normal()), joined([SHAPE, (N,)], normal())
    vampprior = vk.priors.VampPrior(q_z2, K, input_shape=SHAPE, seed=1)
    top = vampprior if vamp else vk.priors.StandardNormal()
    pixels = vk.layers.Bernoulli(SHAPE)
    p_x = p_x or (joined([(N,), (N,)], pixels) if sees_both else network(pixels))
    z2 = vk.Factor("z2", top)
    z1 = vk.Factor("z1", network(normal()), given="z2")
    x = vk.Factor("x", p_x, given=("z1", "z2") if sees_both else "z1")
    q = [vk.Factor("z2", q_z2, given="x"), vk.Factor("z1", q_z1, given=("x", "z2"))]
    return vk.LatentVariableModel([z2, z1, x], q, seed=1)


# %% [markdown]
# `joined`, folded, is a network of several inputs: a gated layer for each, and another one when they are joined. Mind
# that `q_z2` stands in the model twice, in $q$ and in the prior. It is one network. Now a ladder, from lesson 05's
# model upwards, one step at a time.

# %%
quiz.ask("ladder")

# %%
LADDER = {  # name: (the decoder sees both, VampPrior, steps of warm-up)
    "lesson 05": (False, False, 0),
    "+ sees both": (True, False, 0),
    "+ warm-up": (True, False, 500),
    "+ VampPrior": (True, True, 500),
}


def trained(model, steps, passes):
    beta = vk.objectives.WarmUp(steps) if steps else 1.0
    model.compile(Adam(0.002), objective=vk.objectives.ELBO(beta=beta))
    data = images.train[: epochs(10_000, 100)]
    return model.fit(data, batch_size=100, epochs=epochs(passes, 0), verbose=0).history


models, curves = {}, {}
for name, (sees_both, vamp, steps) in list(LADDER.items())[epochs(0, 3) :]:  # all four
    keras.utils.set_random_seed(1)
    models[name] = hierarchy(sees_both, vamp)
    curves[name] = trained(models[name], steps, 10).get("kl_z2", [])

# %% tags=["hide-input"]
RECORDED = {  # static MNIST, 300 units, to the end: K1 and K2 of validation images, active units
    "standard": (12.2, 18.8, 20, 37),
    "vampprior": (9.3, 21.3, 27, 40),
}
figure = Figure(figsize=(7.5, 3.2))
axis = figure.add_subplot()
styles = [("0.6", "-"), ("0.6", "--"), ("black", "--"), ("black", "-")][-len(models) :]
parts, units = {}, {}
print("                        K₁    K₂   active units      bound")
for (name, model), (color, line) in zip(models.items(), styles, strict=True):
    parts[name] = model.evaluate(images.test, verbose=0, seed=0)
    counted = vk.evaluation.active_units(model, test[: epochs(500, 50)], samples=3)
    units[name] = [counted[latent].count for latent in ("z1", "z2")]
    k1, k2, bound = (parts[name][key] for key in ("kl_z1", "kl_z2", "bound"))
    print(f"{name:22s}{k1:5.1f}{k2:6.1f}{units[name][0]:7d} +{units[name][1]:3d}{bound:15.1f}")
    axis.plot(np.arange(1, len(curves[name]) + 1), curves[name], line, color=color, label=name)
for name, (k1, k2, *counts) in RECORDED.items():
    print(f"{f'paper size, {name}':22s}{k1:5.1f}{k2:6.1f}{counts[0]:7d} +{counts[1]:3d}")
axis.set(xlabel="epoch", ylabel="$K_2$, nats", ylim=(0, None))
axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
figure

# %%
quiz.discuss("ladder")

# %% tags=["hide-input"]
if "lesson 05" in parts:
    K1, K2, bounds = ([part[key] for part in parts.values()] for key in ("kl_z1", "kl_z2", "bound"))
    total = [k1 + k2 for k1, k2 in zip(K1, K2, strict=True)]
    holds(K2[0] < 2.5, min(K2[1:]) > 5, K1[0] > 10, abs(total[0] - total[1]) < 4, units["lesson 05"][1] < 5)
    holds(bounds[1] - bounds[0] > 1, bounds[2] - bounds[1] > 3.5, -0.7 < bounds[3] - bounds[2] < 3.5)
    holds(min(K1[2] - K1[1], K2[2] - K2[1]) > -1, total[2] > total[1] + 3)
    holds(K1[3] < K1[2] - 0.7, total[3] < total[2] - 0.3, units["+ VampPrior"][1] > 35)
steps = [np.subtract(RECORDED["vampprior"][i], RECORDED["standard"][i]) for i in range(2)]
holds(np.allclose(steps, [-2.9, 2.5]))

# %% [markdown]
# The first step wakes the upper layer: from 1.6 nats to eight, from a single unit to 29 of 40. Look at both columns,
# though. $K_1 + K_2$ has grown by two nats only, and $K_2$ by six and a half: most of what $z_2$ says now, $z_1$ used
# to say. In lesson 05 only the lower layer had a line to the image, and the upper one starved; here both have one, and
# share. The bound gains some nats all the same.
#
# In this order of steps warm-up (five of the ten epochs) gains most by the bound, seven nats, and both latents say
# more. While $\beta$ is small the codes learn to say a lot (the dashed black curve starts high), and only then are they
# made to be brief.
#
# With the VampPrior the code as a whole gets *cheaper*, by a nat or two. $z_1$ costs three nats less, and $z_2$ one
# more. (39 of $z_2$'s units were in use before, 40 are now.) By the bound that is worth next to nothing after these ten
# epochs. With other first weights and some epochs more we saw gains from half a nat to two and a half. The last two
# lines are our records of the paper's own sizes, static MNIST, trained to the end. There, too, the price moves up,
# three nats fewer in $z_1$ and nearly as many more in $z_2$, and $\log p_\theta(x)$ gains 1.1 nats (the last table of
# this lesson). Why less than the 2.8 of our VAE with one layer, on the same data? There the prior of all codes was
# round. Here $p_\theta(z_1|z_2)$ has been a learned prior all along, and the VampPrior mends what is left at the top.
# In the paper's table the hierarchy gains nearly as much as the VAE. But its published code, run again by others, gains
# what ours does (lesson 06).
#
# Which of the two layers decides what? As in lesson 05: in each row $z_2$ is the same, in each column the noise of
# $z_1$.


# %% tags=["hide-input"]
vamp = models["+ VampPrior"]
top, p_z1, p_x = (factor.layer for factor in vamp.generative)
rows, columns = 5, 10
z2 = ops.convert_to_numpy(top.distribution().sample(rows, seed=vk.backend.seed(3)))  # [rows, N]
noise = np.random.default_rng(3).normal(size=(columns, N))
p = p_z1(z2)
mean, sd = (ops.convert_to_numpy(array)[:, None] for array in (p.mean(), p.stddev()))
z1 = (mean + sd * noise).astype("float32").reshape(rows * columns, N)
drawn = ops.convert_to_numpy(p_x([z1, z2.repeat(columns, axis=0)]).mean())
vk.plotting.image_grid(drawn, columns=columns)

# %% [markdown]
# A row is one digit in one hand, nearly: sevens of three hands, with a nine here and there, slanted eights, something
# between a 2 and a 3. In lesson 05 a row was a family, with several digits in it. Here $z_2$ says most of what one sees
# at a glance, which digit, its slant, the weight of the stroke, and $z_1$ is left with details: how wide, how bent,
# whether a loop is closed. $K_2$ is above $K_1$ here, and the decoder sees $z_2$ itself; which of the two makes the
# rows so uniform, the picture does not tell. The columns say what $z_1$ does: the sixth is narrow in nearly every row,
# the third wide.

# %% [markdown]
# ## Convolutions
#
# To a dense layer an image is a list. Shuffle the pixels of all images in the same way, and a VAE of dense layers
# learns as well as before; it never knew which pixels are neighbours. A convolution is told. Its kernel looks at a
# small window, with the same weights at every place. So it has few weights, and what it has learned about a stroke in
# one corner, it knows in all others: shift the image, and the features shift along.
#
# The paper's encoder has five gated convolutions, $(W * x + b) \odot \operatorname{sigmoid}(V * x + c)$, of 32, 32, 64,
# 64 and 6 filters, with windows 7, 3, 5, 3 and 3 pixels wide. The second and the fourth have stride 2: they compute
# every second place only, so that 28 × 28 become 7 × 7, and a shift by four pixels becomes a shift by a single place.
# To see that, we put a digit on a canvas that is large enough for nothing to cross its edge, and shift it.

# %% tags=["nbval-check-output"]
S = paper.SETTINGS
settings = zip(S.filters, S.kernels, S.strides, strict=True)
encoder = Sequential([vk.layers.GatedConv2D(*three) for three in settings])
canvas = np.zeros((1, 64, 64, 1), "float32")
canvas[:, 16:44, 16:44] = test[:1]
moved = np.roll(canvas, 4, axis=2)
features, shifted = (ops.convert_to_numpy(encoder(x)) for x in (canvas, moved))
same = np.allclose(shifted, np.roll(features, 1, axis=2), atol=1e-5)
print("features of 64 × 64 pixels:", features.shape[1:])
print("shift by 4 pixels, shift by 1:", same)


# %% [markdown]
# What does that cost? Count weights, and multiplications for an image: a dense layer uses each weight once, a
# convolution at every place. (`cost`, folded, counts gated convolutions, value and gate.)

# %%
quiz.ask("cost")


# %% tags=["hide-input"]
def cost(filters, kernels, strides, channels=1, size=28):
    """Weights, and multiplications for an image, of gated convolutions (without biases)."""
    weights = products = 0
    for n, kernel, stride in zip(filters, kernels, strides, strict=True):
        size = -(-size // stride)  # rounded up
        own = 2 * kernel**2 * channels * n  # value and gate
        weights, products, channels = weights + own, products + own * size**2, n
    return weights, products


# %%
dense = 2 * (784 * 300 + 300 * 300)
rows = {
    "encoder, dense, 300–300": (dense, dense),
    "encoder, convolutions": cost(S.filters, S.kernels, S.strides),
    "decoder's four convolutions": cost((S.decoder_filters,) * 4, (3,) * 4, (1,) * 4),
}
for name, (weights, products) in rows.items():
    print(f"{name:28s}{weights / 1e6:6.2f} million weights", end="")
    print(f"{products / 1e6:8.1f} million multiplications")

# %%
quiz.discuss("cost")

# %% tags=["hide-input"]
kernels = sum(w.shape[0] * w.shape[1] * w.shape[2] * w.shape[3] for w in encoder.weights if len(w.shape) == 4)
holds(kernels == rows["encoder, convolutions"][0], rows["encoder, convolutions"][0] < dense / 2)
holds(45 < rows["encoder, convolutions"][1] / dense < 48, 250 < rows["decoder's four convolutions"][1] / dense < 290)
three = [paper.TABLE_1["dynamic_mnist", "vampprior"][i] for i in range(3)]
holds(abs(three[2] - three[1] - 1.49) < 0.01)
holds((*S.filters, *S.kernels) == (32, 32, 64, 64, 6, 7, 3, 5, 3, 3), tuple(S.strides) == (1, 2, 1, 2, 1))

# %% [markdown]
# A third of the weights, and nearly fifty times the work; the decoder's four convolutions, which never leave the full
# 28 × 28 places, take more than two hundred and fifty times the work of that same dense encoder. This is what knowing
# about neighbours costs, and a GPU does it gladly. In the paper the **convHVAE** is the hierarchy above with these
# networks: `paper.conv_hvae(images, prior="vampprior")`. There it gains another nat and a half on the dense one, on
# dynamic MNIST. Training it is beyond three minutes of a laptop. We keep our dense encoders, and put convolutions where
# they change most, in the decoder.

# %% [markdown]
# ## Grey pixels
#
# So far a pixel was a coin. Photographs have bytes. Lesson 02 showed that the Bernoulli formula on grey values is no
# likelihood. What is one? A byte is one of 256 values, $k = 0, \dots, 255$, so a likelihood gives a probability to each
# of them, and the 256 add up to one.
#
# One could have a network put out 256 logits for each pixel. But that does not know that 100 is near 101. Take a
# density on the line instead, cut the interval from 0 to 1 into 256 **bins**, and give to $k$ what lies in its bin. The
# paper's density is the **logistic** one, a bell like the normal with somewhat longer tails, of mean $\mu$ and scale
# $s$. Its merit is that $F(x)$, the probability of all below $x$, is a formula, and the plainest one in deep learning:
#
# $$F(x) = \operatorname{sigmoid}\Big(\frac{x - \mu}s\Big), \qquad
# P(k) = F\Big(\frac{k + 1}{256}\Big) - F\Big(\frac k{256}\Big).$$
#
# The network puts out $\mu$ and $\log s$ for each pixel, in the paper within bounds: $\mu$ between the middles of the
# first and the last bin, $\frac1{512}$ and $\frac{511}{512}$, and $\log s$ between $-4.5$ and 0.
#
# Do the 256 add up to one? Sum them, and all but the ends cancel: $F(1) - F(0)$. What the density has below 0 and above
# 1 belongs to no bin. The remedy is to give it to the **edge bins**: let the first one begin at $-\infty$ and the last
# one end at $\infty$, with $F = 0$ and $F = 1$ there. The paper's code forgets to.

# %%
quiz.ask("edges")


# %%
def probabilities(mu, s, edges):
    """P(k) for k = 0, …, 255."""
    F = expit((np.arange(257) / 256 - mu) / s)  # expit is SciPy's sigmoid
    if edges:
        F[0], F[256] = 0, 1
    return np.diff(F)


for edges in (False, True):
    P = probabilities(1 / 512, np.exp(-4.5), edges)
    print(f"edge bins {edges!s:5}: sum {P.sum():.3f}, P(0) = {P[0]:.3f}, ", end="")
    print(f"that is {-np.log2(P[0]):.2f} bits")

# %%
quiz.discuss("edges")

# %% tags=["hide-input"]
grey = vk.datasets.load("mnist_10k")
bytes_of_test = np.rint(grey.test * 255).astype("uint8")
black = np.mean(bytes_of_test == 0)
head = vk.layers.DiscretizedLogistic((1,), log_scale_range=(-4.5, 0.0), mean_range=(1 / 512, 511 / 512))
lowest = head.distribution(np.float32([[-9]]), np.float32([[-9]]))  # both at their lower bounds
theirs = float(lowest.log_prob(np.float32([[0]]))[0])
holds(abs(theirs - np.log(probabilities(1 / 512, np.exp(-4.5), True)[0])) < 1e-4, abs(black - 0.807) < 0.001)
first = {edges: probabilities(1 / 512, np.exp(-4.5), edges)[0] for edges in (False, True)}
more = np.log2(first[True] / first[False])
print(f"{black:.0%} of MNIST's grey pixels are 0: {more:.2f} bits more for each make {more * black:.1f} bits per pixel")

# %% [markdown]
# Nearly half of the probability is lost: all of the bell that lies below zero. For MNIST in grey, four pixels of five
# being black, that makes up to two bits a pixel, more than all that zip takes for one on average, as we shall see. Of
# the paper's Frey faces no training pixel is darker than 8 or brighter than 238; there the tails hardly matter, and
# what is left out can only make its figures a little too pessimistic. (`vk.layers.DiscretizedLogistic` has edge bins,
# and `edges=False` for comparisons.)
#
# ### Bits per dimension
#
# An image of 784 bytes has a log-probability in the thousands of nats, and one of another size another one. To compare,
# divide by the number $D$ of values, and count in bits: the **bits per dimension** are $-\log_2 P(x) / D$, that is,
# $-\ln P(x) / (D \ln 2)$. Less is better. It is a length: there is a code, made for $P$, that writes $x$ in
# $-\log_2 P(x)$ bits, nearly. (This is Shannon's theorem.) So a file on disk is a rival. Three models that know nothing
# of digits:

# %%
bytes_of_train = np.rint(grey.train * 255).astype(int).ravel()
everything = np.bincount(bytes_of_train, minlength=256) / grey.train.size
zipped = len(zlib.compress(bytes_of_test.tobytes(), 9))
bits = {
    "all 256 values alike": np.log2(256),
    "each value as often as in training": -np.log2(everything[bytes_of_test]).mean(),
    "zip": 8 * zipped / bytes_of_test.size,
}
for name, value in bits.items():
    print(f"{name:36s}{value:.2f} bits per dimension")

# %% tags=["hide-input"]
holds(bits["zip"] < 1.75, 1.9 < bits["each value as often as in training"] < 2.05)

# %% [markdown]
# What a good number is depends on the data. Most of MNIST is black. To know how often each value comes makes 1.97. Zip
# notices repetitions, rows of black and the like, and has 1.65, which a model of digits has to beat. Faces have no
# black background: the paper's best for Frey's is 4.4. And mind what a small difference is worth: 0.1 bits for each of
# 784 pixels are $0.1 \cdot 784 \cdot \ln 2 = 54$ nats an image.
#
# Many papers model grey values by a density, a normal one for instance, and report bits as well. A density is no
# probability, so bits made of it mean nothing yet. But add **uniform noise** of one bin's width to each byte, and on
# average over the noise they are never fewer than the $-\log_2 P(k)$ of the same density: a bound, which may be
# compared with ours. Without noise they may not. (The second reading derives that.)

# %% [markdown]
# ## A decoder that looks at its own work
#
# Given the code, all our decoders paint their pixels independently of each other. Whether a stroke goes left or right
# must be in the code, for no pixel can ask its neighbour. But nothing forbids to draw pixels one after the other, each
# given those before it. Number them row by row, from left to right, as one reads (**raster order**). Then for any
# distribution of images, without any loss,
#
# $$p(x) = \prod_{i=1}^D p(x_i \mid x_1, \dots, x_{i-1}) = \prod_{i=1}^D p(x_i \mid x_{<i}).$$
#
# Such a model is called **autoregressive**. It has no latents, no bound, no KL: its likelihood is exact. It needs 784
# conditional distributions, and the idea of the **PixelCNN** is that one convolutional network can give all of them, at
# every pixel the distribution of that pixel, in a single run. For that, its output at pixel $i$ must not depend on
# $x_i$, nor on any pixel after it. An ordinary convolution looks all around. So part of its kernel is set to zero, and
# kept there, by a **mask**:

# %% tags=["nbval-check-output"]
for mask in "AB":
    layer = vk.layers.MaskedConv2D(1, 3, mask)
    rows = np.zeros((3, 3), int)
    rows[:2] = layer.earlier[:, :, 0, 0]  # the row below is never seen
    print(f"mask {mask}:", *rows, sep="\n")

# %% [markdown]
# Mask A shows the three pixels above and the one to the left, and hides the pixel itself. It is for the first layer.
# From there on the features at a pixel know only what came before it, so later layers may look at them: mask B.
#
# ### A test by gradients
#
# A mask is easily got wrong, by a transposed kernel, a shift, a layer of the wrong kind. So test it, and not by reading
# code. What does the output at one pixel depend on? Its gradient with respect to the whole image says so.


# %%
def sees(layers, row=8, column=5, size=11):
    """Which pixels the output at one pixel depends on: booleans [size, size]."""
    network = Sequential([keras.Input((size, size, 1)), *layers])
    images = np.random.default_rng(1).normal(size=(8, size, size, 1)).astype("float32")
    output = lambda x: ops.sum(network(x)[:, row, column])  # noqa: E731
    _, (gradient,) = value_and_gradient(output, images)
    return np.abs(ops.convert_to_numpy(gradient)).sum(axis=(0, 3)) > 0


def masked(depth, filters=8, first="A"):
    """Layers of 3×3 masked convolutions, with a nonlinearity after each."""
    options = {"kernel_size": 3, "activation": "tanh"}
    masks = [first] + ["B"] * (depth - 1)
    return [vk.layers.MaskedConv2D(filters, mask=mask, **options) for mask in masks]


order = np.arange(121).reshape(11, 11)  # raster order
future = order >= order[8, 5]
print("the future is unseen:", not sees(masked(4))[future].any())
print("with mask B first:   ", not sees(masked(4, first="B"))[future].any())

# %% [markdown]
# (Eight images of noise, and a smooth nonlinearity: a ReLU that happens to be off would have a gradient of zero, too.)
# With mask B first the output sees its own pixel, and the test says so. Now turn the question around. The right one
# sees nothing that it should not. Does it see all that it may?

# %%
quiz.ask("reach")

# %% tags=["hide-input"]
WHITE, RED, SEEN = (1, 1, 1), (0.9, 0.35, 0.3), plt.matplotlib.colors.to_rgb(BLUE)


def draw_field(axis, seen, row=8, column=5):
    """Blue: seen. Red: earlier, and not seen. White: the future."""
    size = len(seen)
    raster = np.arange(size * size).reshape(size, size)
    colors = np.full((size, size, 3), WHITE, float)
    colors[raster < raster[row, column]] = RED
    colors[seen] = SEEN
    colors[row, column] = (0, 0, 0)
    axis.imshow(colors)
    axis.set_xticks(np.arange(size + 1) - 0.5, [])
    axis.set_yticks(np.arange(size + 1) - 0.5, [])
    axis.grid(color="0.7", linewidth=0.5)
    axis.tick_params(length=0)


def fields(make):
    figure, depths = Figure(figsize=(9, 2.5)), (1, 2, 4, 8)[: epochs(4, 2)]  # all four
    for axis, depth in zip(figure.subplots(1, len(depths)), depths, strict=True):
        draw_field(axis, sees(make(depth)))
        axis.set_title(f"{depth} layer{'s' * (depth > 1)}")
    return figure


fields(masked)

# %%
quiz.discuss("reach")

# %% [markdown]
# The black pixel is the one to be predicted. Blue is seen, red came before it and is not seen. To the left and upwards
# the region grows with each layer. To the upper right it has an edge at 45 degrees that no depth moves: this is the
# **blind spot**. The reason is in the mask. A path from the output back to a pixel makes one step a layer, and only one
# of the steps, the one up and to the right, leads to the right. So $r$ steps to the right go up by $r$ rows at least.
#
# How much is seen with $L$ layers? In the own row $L$ pixels. In the row $r$ above, for $r \le L$, from $L$ pixels to
# the left to $r$ to the right, $L + r + 1$. In all $L + \frac32 L (L + 1)$. That is the **receptive field**, which
# grows like $L^2$: 4 pixels by one layer, 34 by four, 116 by the paper's eight.
#
# The cure is to split the work. One stack of layers, the **vertical** one, sees whole rows above, to both sides; it
# may, for all of them are in the past. Another one, the **horizontal**, sees the own row to the left, and is told by
# the vertical stack, at every layer, what is above. That makes a rectangle above, of $L$ rows and $2L + 1$ columns, and
# $L$ pixels of the own row. vaekit's `GatedPixelConv2D` has both stacks, and gates like the ones above.


# %%
def two_stacks(depth, filters=8):
    masks = ["A"] + ["B"] * (depth - 1)
    return [vk.layers.GatedPixelConv2D(filters, 3, mask) for mask in masks]


fields(two_stacks)

# %% tags=["hide-input"]
for depth in (1, 2, 4)[: epochs(3, 1)]:
    L = depth
    holds(sees(masked(L)).sum() == L + 3 * L * (L + 1) // 2, sees(two_stacks(L)).sum() == L + L * (2 * L + 1))
    for make in (masked, two_stacks):
        holds(not sees(make(L))[order >= order[8, 5]].any())
holds(8 + 3 * 8 * 9 // 2 == 116, not sees(masked(4))[order >= order[8, 5]].any())
holds(sees(masked(4, first="B"))[8, 5])

# %% [markdown]
# No red is left that depth would not fill. Try the depth, both kinds of layers, and another place:

# %% tags=["hide-input"]


def look(kind, depth, column):
    make = {"masked": masked, "two stacks": two_stacks}[kind]
    seen = sees(make(depth, 4), 10, column, 15)
    figure = Figure(figsize=(3.6, 3.6))
    axis = figure.add_subplot()
    draw_field(axis, seen, 10, column)
    axis.set_title(f"{seen.sum()} of {10 * 15 + column} earlier pixels")
    return figure


explore(
    look,
    kind=ipywidgets.ToggleButtons(options=["masked", "two stacks"], description="layers"),
    depth=ipywidgets.IntSlider(4, 1, 10, description="depth", continuous_update=False),
    column=ipywidgets.IntSlider(5, 0, 14, description="column", continuous_update=False),
)

# %% [markdown]
# ### Learning, without a bound
#
# As a model, the network ends in a likelihood of all pixels, each given by the features at that pixel, and its
# `log_prob` is the exact $\log p(x)$: the sum of 784 conditional ones. There is nothing to be drawn in training. The
# true earlier pixels stand in the image, so all 784 predictions are learned at once.


# %%
class PixelCNN(keras.Model):
    """From binary images to log p(x), without a code."""

    def __init__(self, layers):
        super().__init__()
        self.network = Sequential([*layers, vk.layers.Bernoulli(SHAPE)])

    def call(self, x):
        return self.network(x).log_prob(x)  # [B]

    def compute_loss(self, x, y, log_p, *_, **options):
        return -ops.mean(log_p)


def trained_pixels(layers, passes):
    keras.utils.set_random_seed(1)
    model = PixelCNN(layers)
    model.compile(Adam(0.003), jit_compile=vk.backend.prefers_jit())
    model.fit(images.train[:4000], batch_size=50, epochs=epochs(passes, 0), verbose=0)
    return model


# %% [markdown]
# We train two, of five layers with 16 filters each, on 4000 images: one as it should be, for four epochs, and one that
# has mask B in its first layer, too, for two. That is the mistake of the test above, made in earnest.

# %%
quiz.ask("mask")

# %%
pixels = trained_pixels(masked(5, 16), 4)
leaky = trained_pixels(masked(5, 16, first="B"), 2)
exact = {"mask A first": pixels, "mask B first": leaky}
for name, model in exact.items():
    value = float(ops.mean(model(test[: epochs(500, 20)])))
    print(f"{name}: log p(x) = {value:.1f} nats")

white = grey.test[:500]
tosses = np.where(test[:500] == 1, white, 1 - white)  # the probability of what came out
cheat = np.log(tosses).sum(axis=(1, 2, 3)).mean()
print(f"the grey pictures: log p(x) = {cheat:.1f} nats")

# %%
quiz.discuss("mask")

# %% tags=["hide-input"]
holds(-50 < cheat < -42)
value = {name: float(ops.mean(model(test[: epochs(500, 20)]))) for name, model in exact.items()}
if epochs(1, 0):
    holds(-114 < value["mask A first"] < -90, value["mask B first"] > -3)
    holds(-3 < value["mask A first"] - max(bounds) < 8)
    holds(models["+ warm-up"].count_params() > 50 * pixels.count_params())
try:
    vk.layers.Autoregressive([*masked(2, first="B"), vk.layers.Bernoulli(SHAPE)])
except ValueError as error:
    print("vaekit:", error)
else:
    raise AssertionError("vaekit should have refused")

# %% [markdown]
# The right one has a few thousand weights, and can compete with the best of the ladder, whose models have fifty times
# as many. (Theirs are bounds, some nats below their $\log p_\theta(x)$; this one is exact.) The wrong one has a number
# that nobody could reach. Whoever knew the grey picture that a digit was tossed from could do no better on average than
# the tosses allow, and that is what the third line has (lesson 00 called it the cheat). That is how such errors are
# found: **a likelihood too good to be true is a leak until proved otherwise.** A leak through a single weight, at a few
# pixels, is not as easily seen. The gradient sees it. (vaekit's own layer for PixelCNNs, `Autoregressive`, which comes
# next, refuses such a stack. The message above is what it says.)

# %% [markdown]
# ### Pixel by pixel
#
# To sample, there is no way around the order: draw the first pixel, then the second one given the first, and so on. The
# plain way runs the whole network for each pixel, and uses one of its 784 answers.


# %%
def paint(network, n, seed=1):
    """Draws n images, a run of the network for each pixel. Tells its seconds, too."""
    rng, x = np.random.default_rng(seed), np.zeros((n, *SHAPE), "float32")
    run = vk.backend.compile(lambda x: network(x).mean())
    run(x)  # compiles
    started = perf_counter()
    for i in range(epochs(28, 2)):
        for j in range(28):
            probability = ops.convert_to_numpy(run(x))[:, i, j]
            x[:, i, j] = rng.random(probability.shape) < probability
    return x, perf_counter() - started


painted, by_runs = paint(pixels.network, 10)
rows = [painted, paint(leaky.network, 10)[0]]
names = ["mask A first", "mask B first"]
titles = [name if i == 0 else "" for name in names for i in range(10)]
vk.plotting.image_grid(np.concatenate(rows), columns=10, titles=titles)

# %% [markdown]
# The upper row has strokes, with a width, with bends and ends, and they join to something like letters of a foreign
# script. Hardly any is a digit, and no VAE of this course draws so badly. Yet its likelihood can keep up with the
# bounds of the ladder. It knows its neighbourhood, some fifty pixels, and that is where most nats are to be had; which
# digit it is drawing, it does not know. To a model that was right otherwise, that would be worth $\ln 10 = 2.3$ nats at
# most. **Likelihood and looks are two things.** The lower row is what the number of the leaky one was worth. Asked for
# a pixel, it looks at the canvas, finds the 0 that stands there so far, and copies it.
#
# Why is it slow? 784 runs, each of the whole network on the whole image, for one answer each. Nearly all of the work is
# done over and over: when pixel $i$ is drawn, no feature of an earlier pixel changes. So keep them. Each layer needs,
# for the new pixel alone, the few features in its window, and they are in the cache. The work of a sample is then that
# of *one* run, spread over 784 small steps. What remains is that the steps have to wait for each other. vaekit does
# this for any stack of masked layers, in one compiled loop:

# %%
layer = vk.layers.Autoregressive(pixels.network.layers)  # the same layers, and weights
p = layer(ops.zeros((10, 28, 28, 0)))  # ten images, given a code of no channels
same = np.allclose(p.log_prob(test[:10]), pixels(test[:10]), atol=1e-3)
p.sample(seed=vk.backend.seed(0))  # compiles
started = perf_counter()
drawn = ops.convert_to_numpy(p.sample(seed=vk.backend.seed(1)))  # [10, 28, 28, 1]
by_cache = perf_counter() - started
print(f"the same likelihood: {same}; {by_runs / by_cache:.0f} times as fast")

# %% tags=["hide-input"]
holds(same, drawn.shape == (10, 28, 28, 1))
if epochs(1, 0):
    holds(by_runs > 2 * by_cache)

# %% [markdown]
# It is not 784 times as fast, on this machine. We suppose that a step for a single pixel is so small that the loop
# itself takes most of the time.
#
# ## PixelHVAE
#
# Now give the painter a code again: $p_\theta(x|z_1, z_2) = \prod_i p_\theta(x_i \mid x_{<i}, z_1, z_2)$. In the
# paper's **PixelHVAE**, `paper.pixel_hvae`, each code is made an image by a gated layer of 784 units. The two are laid
# on $x$ as further channels, and over all three go eight masked layers. (The mask covers the codes' images, too, so the
# first pixel learns nothing from them.) One would expect the best of both: the code says which digit, and how it is
# slanted; the neighbours see to the strokes.
#
# Ours is smaller. It is the last model of the ladder with another decoder, which makes one image of both codes. Its
# masked layers look at $x$. The image that the code has made is given to each of them as one more channel, and to the
# likelihood as well: `skip=True`. That image may be seen at the pixel itself, for it is no part of $x$.


# %%
def painter(depth):
    """p(x | z1, z2), pixel by pixel."""
    layers = [*masked(depth, 16), vk.layers.Bernoulli(SHAPE)]
    pixels = vk.layers.Autoregressive(layers, skip=True)
    image = keras.layers.Reshape(SHAPE)
    return joined([(N,), (N,)], vk.layers.GatedDense(784), image, pixels)


# %% [markdown]
# Three of them, each for four epochs. With one masked layer a pixel sees four neighbours, with four layers 34 earlier
# pixels. Both have a warm-up for three of the four epochs, so only one epoch is at full price. The third one is the
# first again, without it.

# %%
quiz.ask("price")

# %%
PAINTERS = {  # name: (layers, steps of warm-up)
    "4 pixels": (1, 300),
    "34 pixels": (4, 300),
    "4, no warm-up": (1, 0),
}
for name, (depth, steps) in list(PAINTERS.items())[: epochs(3, 1)]:  # all three
    keras.utils.set_random_seed(1)
    models[name] = hierarchy(p_x=painter(depth))
    trained(models[name], steps, 4)

# %% tags=["hide-input"]
print("a pixel sees       K₁    K₂   active units   reconstruction      bound")
for name in ("+ VampPrior", *PAINTERS):
    if name in models:
        if name not in parts:
            parts[name] = models[name].evaluate(test[: epochs(2000, 50)], verbose=0, seed=0)
            counted = vk.evaluation.active_units(models[name], test[: epochs(500, 50)], samples=3)
            units[name] = [counted[latent].count for latent in ("z1", "z2")]
        k1, k2, reconstruction, bound = (parts[name][key] for key in ("kl_z1", "kl_z2", "reconstruction", "bound"))
        line = f"{'none: ladder' if name not in PAINTERS else name:14s}{k1:7.1f}{k2:6.1f}"
        print(f"{line}{units[name][0]:7d} +{units[name][1]:3d}{reconstruction:18.1f}{bound:11.1f}")

# %%
quiz.discuss("price")

# %% tags=["hide-input"]
if "34 pixels" in parts:
    none, four, many, cold = (parts[name] for name in ("+ VampPrior", *PAINTERS))
    holds(none["kl"] > 17, 5 < four["kl"] < 9, 3 < many["kl"] < four["kl"] - 0.2)
    holds(many["kl_z1"] < 3 < many["kl_z2"], units["34 pixels"][0] > 30)
    holds(four["bound"] > none["bound"] + 6, many["bound"] > four["bound"] + 3)
    holds(cold["kl"] < four["kl"] - 1, cold["bound"] < four["bound"] - 1)
by_depth = [dieng2018.PIXELCNN_BY_DEPTH["dynamic_mnist", depth, "VAE"][1] for depth in (1, 3, 6, 9)]
holds(np.allclose(by_depth, [13.3, 10.1, 8.8, 7.1], atol=0.06))

# %% [markdown]
# By the bound they leave the ladder behind, by more than ten nats with four neighbours and some seventeen with 34,
# after less than half of its epochs. (The PixelCNN alone had −109, on 500 of the test images, and learned from 4000
# images only. What a code wins beside a decoder that sees its neighbours, lesson 08 asks.) And with warm-up their codes
# cost some seven nats and five, where the hierarchy's costs twenty. Four neighbours have done most of that. How a
# stroke goes on, and how thick it is, was most of what the code had to say. With more layers a pixel sees more, and
# less is left to be said. Silence begins with $z_1$, which used to say the details: with four layers it has a nat or
# so. (Mind the count. All its units are *active*, by the rule of lesson 04, since their means do move a little from
# image to image. A little is what they say.)
#
# What does the code still say? On the left a test image, beside it nine pictures, all from one and the same code of it:

# %% tags=["hide-input"]
model, digits = models["34 pixels" if "34 pixels" in models else "4 pixels"], np.asarray(images.labels.test)
x = test[[np.flatnonzero(digits == digit)[0] for digit in (0, 1, 2, 4, 7)]]
q_z2, q_z1 = (factor.layer for factor in model.inference)
z2 = q_z2(x).sample(seed=vk.backend.seed(3))
z1 = q_z1([ops.convert_to_tensor(x), z2]).sample(seed=vk.backend.seed(4))
codes = [ops.repeat(z, 9, axis=0) for z in (z1, z2)]
drawn = ops.convert_to_numpy(model.generative[-1].layer(codes).sample(seed=vk.backend.seed(5)))
sheet = np.concatenate([x[:, None], drawn.reshape(5, 9, *SHAPE)], axis=1)
vk.plotting.image_grid(sheet.reshape(-1, *SHAPE), columns=10)

# %% [markdown]
# The code says where ink is to be: for the 0 in a ring, for the 1 in one upright stroke, for the 2 in a wide and heavy
# heap, for the 7 at the top, with a stem below; of the 4 little more than the middle. How strokes run there, the
# neighbours make up anew in each picture, and they often forget which digit they are at. There is a division of labour.
# The best of both it is not, after four epochs.
#
# Now look where the table points. What the neighbours say is free, and what the code says is paid for. A nat of code is
# worth its price only if it saves more than a nat of surprise over all pixels, and the more a decoder sees by itself,
# the less there is to be saved. On the whole of MNIST, and with a better PixelCNN, [Dieng and
# co-authors](https://arxiv.org/abs/1807.04863) report for 1, 3, 6 and 9 layers a KL of 13.3, 10.1, 8.8 and 7.1 nats,
# falling all the way. So far nothing is wrong with that: what need not be said need not be paid for.
#
# The last row of the table is another matter. It is the same model as in the second row, it says some three nats less,
# and its bound is *worse* by about as much. Our explanation: without a warm-up the decoder learns from its neighbours
# at once, while the code has hardly a word to say yet, and a code that nobody reads is lesson 05's place to stay. (One
# pair, one seed, four epochs. Lesson 08 sees a smaller PixelCNN whose bound does not mind.)
# Where nothing at all is left of it, that is **posterior collapse**, of a whole model this time. Lesson 08 begins
# there.

# %% [markdown]
# ## The paper's numbers
#
# Table 1, and what we have so far below it: $\log p_\theta(x)$ in nats for binary images, bits per dimension for bytes
# (there less is better). Each pair is standard prior / VampPrior. All of ours ran as the paper says, to the end of its
# schedule.

# %% tags=["hide-input"]
OURS = {  # from the records in results/tomczak2017, seed 0: (standard, VampPrior)
    ("static_mnist", "vae"): (-88.34, -85.57),
    ("static_mnist", "hvae"): (-85.94, -84.83),
    ("caltech101_silhouettes", "vae"): (-118.86, -114.66),
    ("caltech101_silhouettes", "hvae"): (-115.67, -112.18),
    ("frey_faces", "vae"): (4.60, 4.60),
    ("frey_faces", "hvae"): (4.57, 4.53),
}
NAMES = {"static_mnist": "static MNIST", "dynamic_mnist": "dynamic MNIST", "dynamic_omniglot": "OMNIGLOT"}
NAMES |= {"caltech101_silhouettes": "Caltech 101", "frey_faces": "Frey faces", "histopathology": "histopathology"}
table = {**paper.TABLE_1, **paper.TABLE_1_BYTES}
print(" " * 20 + "".join(f"{name:>17s}" for name in ("VAE", "HVAE", "convHVAE", "PixelHVAE")))
for data, name in NAMES.items():
    pairs = list(zip(table[data, "standard"], table[data, "vampprior"], strict=True))
    ours = [OURS[data, model] for model in ("vae", "hvae") if (data, model) in OURS]
    for who, values in ((f"{name:15s}paper", pairs), (f"{'':15s}ours ", ours)):
        if values:
            print(who + "".join(f"{f'{a:.2f}/{b:.2f}':>17s}" for a, b in values))
holds(set(NAMES) == {data for data, _ in table})
holds(all(a > b for data in paper.TABLE_1 for a, b in zip(table[data][1:], table[data], strict=False)))
caltech = table["caltech101_silhouettes", "standard"][3] - table["caltech101_silhouettes", "vampprior"][3]
holds(0.6 < caltech < 0.8)
gain = {data: [v - s for s, v in zip(table[data, "standard"], table[data, "vampprior"], strict=True)] for data in NAMES}
holds(all(gain[data][0] > gain[data][2] for data in ("static_mnist", "dynamic_mnist", "dynamic_omniglot")))
binary = np.array([gain[data] for data, prior in paper.TABLE_1 if prior == "standard"])  # [4, 4]
falls = -np.diff(binary, axis=1)  # from model to model
holds((0.1 < falls[:, 0]).all(), falls[:, 0].max() < 5.1, (0.5 < falls[:, 1]).all(), falls[:, 1].max() < 2.3)
holds((falls[:, 2] > 0.1).sum() == 2)
for data in {data for data, _ in paper.TABLE_1_BYTES}:
    holds(-0.101 < min(gain[data]) < max(gain[data]) < 0)
for prior in ("standard", "vampprior"):
    conv, pixel = (np.array([table[data, prior][i] for data in ("dynamic_omniglot", "histopathology")]) for i in (2, 3))
    holds(7 < (pixel - conv)[0] < 8, 0.7 < (conv - pixel)[1] < 0.8)
holds(abs(OURS["static_mnist", "vae"][1] - OURS["static_mnist", "vae"][0] - 2.77) < 0.01, gain["static_mnist"][1] > 2.8)

# %% [markdown]
# Read the rows of the paper from left to right. On MNIST a second layer is worth one to two and a half nats,
# convolutions, which know that a stroke may stand anywhere, are worth about as much or more, and the PixelCNN one or
# two. On OMNIGLOT the PixelCNN is worth more than seven, and on the silhouettes some twenty: these are large shapes of
# one colour, whose pixels are given away by their neighbours. Then read the pairs. The VampPrior gains two to nine nats
# on the left, mostly about one or less on the right, and for the silhouettes' PixelHVAE it is a loss. With bytes mind
# the unit: the PixelCNN saves three quarters of a bit on histopathology (tissue under a microscope), the VampPrior
# nowhere more than a tenth, but 0.05 bits for each of 560 pixels are 19 nats a face. **From the VAE to the convHVAE the
# prior's gain falls on the binary data.** It falls in both steps: by 0.1 to 5 nats when $z_1$ gets a learned prior, by
# 0.5 to 2.3 when convolutions come into encoder and decoder. From the convHVAE to the PixelHVAE, whose decoder is
# stronger still, it falls further in two of the four binary rows only. So a strong decoder alone does not explain it.
#
# Ours you know from lesson 06, with what explains them, or may. The last two columns are work for a GPU:
# by our counts of operations a convHVAE on MNIST takes sixty to a hundred times the arithmetic of an HVAE.

# %% [markdown]
# ## When it goes wrong
#
# The leak of the first mask was one mistake, left-out tails were another. One more, with bytes:
#
# ### Bits of another image
#
# Bits per dimension divide by $D$, and $D$ counts *values*. A colour image of 32 × 32 has 3072 of them, and not 1024.
# And the data must be the bytes themselves. Images that were blurred or stored as JPEG first have fewer bits a
# dimension. Scaled-down ones usually have more, since their neighbouring pixels are less alike. None of them compares
# with the originals. A last mistake of this kind would be to compare this lesson's own numbers with those of grey
# digits: for nearly all of it, MNIST's digits were tossed to black and white. Their nats are nats of *tossed* digits
# and no bits of grey ones.

# %% [markdown]
# ## Take-aways
#
# In our hierarchy, a decoder that sees both latents was enough to wake the upper layer. What it says may be taken from
# the lower one. Warm-up gave both more to say. A VampPrior on top made the code a little cheaper; on binary images it
# was worth less than in a model of one layer.
#
# A convolution has few weights, and much to do: it uses each at every place.
#
# A likelihood of bytes gives a probability to each of 256 values, and they add up to one: mind the edge bins. Bits per
# dimension are $-\log_2 P(x)/D$, and no discrete model has negative ones. A density with uniform noise is a bound on a
# discrete model; without noise it may not be compared with any.
#
# A PixelCNN is the chain rule and a mask: an exact likelihood, all 784 predictions in one run. That no pixel sees the
# future is for gradients to test, and a likelihood too good to be true is a leak. Plain masks have a blind spot to the
# upper right; two stacks have none.
#
# Sampling is slow if each pixel runs the whole network. With the features of earlier pixels kept, a sample costs as
# much arithmetic as one run. The more a decoder sees by itself, the less its code says. What it need not say is no
# loss. In our one pair, the code said half as much without a warm-up, and the bound was worse by four nats.
#
# **To do next:** [exercise 07](../exercises/07_hierarchies_and_pixelcnn/07_hierarchies_and_pixelcnn.ipynb). Lesson 08
# is about what has begun here: a decoder so good that it stops listening.

# %% [markdown]
# # Second reading
#
# Two things that can wait: densities in the place of probabilities, and a layer that no mask was made for.
#
# ## What uniform noise has to do with it
#
# Of a density $p(x)$ on $[0, 1]$ a bin of width $\frac1{256}$ has about $p(x)/256$, which makes $8 - \log_2 p(x)$ bits.
# To be compared with probabilities, each byte $k$ has to be put at a random place in its bin first, $x = (k + u)/256$
# with $u$ uniform in $[0, 1]$. Then, by Jensen's inequality and with the $P(k)$ that the density has in that bin,
#
# $$\mathbb E_u \log \tfrac1{256}\, p\Big(\frac{k + u}{256}\Big)
# \;\le\; \log \mathbb E_u\, \tfrac1{256}\, p\Big(\frac{k + u}{256}\Big)
# = \log \int_{k/256}^{(k+1)/256} p(x)\, \mathrm dx = \log P(k).$$
#
# It is a lower bound, of the same kind as the ELBO, with $u$ in the place of the code. The gap is what $p$ varies
# within a bin. Let a pixel have $k = 100$, and the model hit the middle of its bin, ever more surely. (The logistic
# density is the derivative of $F$, and since $\operatorname{sigmoid}' = \operatorname{sigmoid}\,(1 -
# \operatorname{sigmoid})$, its logarithm is $-a - \log s - 2 \log(1 + e^{-a})$ with $a = |x - \mu|/s$.)

# %%
quiz.ask("noise")

# %%
mu, k = 100.5 / 256, 100
u = (np.arange(2000) + 0.5) / 2000  # a fine grid instead of draws


def log_density(x, s):
    a = np.abs(x - mu) / s
    return -a - np.log(s) - 2 * np.log1p(np.exp(-a))


widths = np.geomspace(0.02, 10, 60)  # s, in bins
discrete = [-np.log2(probabilities(mu, s / 256, True)[k]) for s in widths]
noisy = [8 - log_density((k + u) / 256, s / 256).mean() / np.log(2) for s in widths]
bare = [8 - log_density(mu, s / 256) / np.log(2) for s in widths]

# %% tags=["hide-input"]
figure = Figure(figsize=(7.5, 3.3))
axis = figure.add_subplot()
axis.semilogx(widths, discrete, color=BLUE, label="$-\\log_2 P(k)$, discretized")
axis.semilogx(widths, noisy, color="black", label="density, with uniform noise")
axis.semilogx(widths, bare, color="red", label="density, without noise")
axis.axhline(0, color="0.6", linewidth=1)
axis.set(xlabel="scale s, in bins", ylabel="bits", ylim=(-4, 8))
axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
holds(all(n >= d - 1e-3 for n, d in zip(noisy, discrete, strict=True)), 0.25 < min(noisy) < 0.4, min(bare) < -3)
figure

# %%
quiz.discuss("noise")

# %% [markdown]
# Wide bells: all three agree. Narrow ones: the discretized pixel costs nothing, as it should, since it is certain. With
# noise there is a best width, and below it the bound is punished, for much of $u$ falls outside of the bell. Without
# noise, there is no end to it, and nothing was learned but that data lie on a grid. So a density with noise may be
# compared with discrete models, as a bound, and one without must not. *Test:* no discrete model has negative bits.

# %% [markdown]
# ## Batch normalization under a mask
#
# The paper's PixelCNN has batch normalization after each layer. For each channel it subtracts a mean and divides by a
# standard deviation: in training those of the batch at hand, in inference running averages of earlier batches. May it
# stand between masks?

# %%
quiz.ask("batch")

# %%
layers = [vk.layers.MaskedConv2D(8, 3, "A"), keras.layers.BatchNormalization()]
normalized = Sequential([keras.Input(SHAPE), *layers])
order = np.arange(784).reshape(28, 28)
leak = {}
for training in (True, False):

    def outcome(x, training=training):
        with keras.StatelessScope():  # the running averages stay as they are
            return ops.sum(normalized(x, training=training)[0, 14, 14] ** 2)

    _, (gradient,) = value_and_gradient(outcome, test[:8].astype("float32"))
    size = np.abs(ops.convert_to_numpy(gradient))[0, :, :, 0]
    past, future = size[order < order[14, 14]].max(), size[order >= order[14, 14]].max()
    leak[training] = future / past
    print(f"training={training!s:5}: largest gradient from the past {past:.2f}, ", end="")
    print(f"from the future {future:.2f}")

# %%
quiz.discuss("batch")

# %% tags=["hide-input"]
holds(0 < leak[True] < 0.02, leak[False] == 0)

# %% [markdown]
# In training mode the output depends on the future. What leaks is two numbers a channel, averaged over thousands of
# places: from any single later pixel less than a hundredth of what the strongest neighbour gives, though there are
# hundreds of them. Nobody has made a model worse by it that we know of. But
# a likelihood must be measured in inference mode, where the averages are fixed and the gradient is exactly zero.
# vaekit's `Autoregressive` samples in inference mode, too. *Test:* the gradient, in the mode in which you report.
