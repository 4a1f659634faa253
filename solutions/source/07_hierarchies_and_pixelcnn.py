# %% [markdown]
# # Exercise 07 · Hierarchies, convolutions, PixelCNN
#
# Eight questions on models that are large, made of small parts. They follow
# [lesson 07](../../lessons/07_hierarchies_and_pixelcnn.ipynb): first a gated convolution with a mask, the probability
# of a byte where float32 ends, and what uniform noise costs; then the bound of a hierarchy with a VampPrior, and an
# image pixel by pixel; five errors in two stacks; a network for each of three textures, as cheap as can be; and at last
# a PixelCNN of your own.
#
# **You need** the lesson; question 3 takes a pencil (the lesson's second reading helps, and is not necessary), question
# 4 the mixture of lesson 06.
#
# {table}
#
# Short of time? Questions 1, 5, 6 and 8 are what you need to build a PixelCNN and to trust its numbers.
#
# **How it works.** Write each answer where `raise NotImplementedError()` stands, then run the cell below it. It says
# what is right, and what is wrong with the rest; nothing is counted against you, so try as often as you like. Keep the
# names of arguments: they are handed over by name. Stuck? `exercise.hint("gated_masked_conv")` gives a hint, and a
# plainer one each time. Inputs are tensors of float32, if nothing else is said. Compute with `ops` ([Keras'
# operations](https://keras.io/api/ops/)).
#
# Throughout, $N$ counts images, $H$ and $W$ their rows and columns. *Raster order* reads row by row, each from left to
# right. Logarithms are natural ones, in nats, if nothing else is said.

# %%
import vaekit as vk  # first: it silences the backend's start
from vaekit.course.exercise import Exercise

exercise = Exercise("07")

import keras
import numpy as np
from keras import ops

LOG_2PI = float(np.log(2 * np.pi))
exercise

# %% [markdown]
# ## {gated_masked_conv}
#
# Two things of the lesson in one layer. A **gated** convolution has a value and a gate, with weights of their own,
#
# $$(W * x + b) \odot \operatorname{sigmoid}(V * x + c),$$
#
# and a **mask** hides from both what comes later in raster order: mask A the pixel itself and all after it, mask B only
# those after it. The output is as large as the image, with zeros around it (`padding="same"`). Kernels have an odd
# number of rows and of columns, which may differ; all of a pixel's channels count as one.

# %% [markdown] tags=["solution"]
# **Solution.** A mask is a kernel of 0 and 1. Numbered in raster order, the middle of a kernel with $R$ rows and $S$
# columns has the number $\lfloor RS/2 \rfloor$, and the past has smaller ones. It is the same mask for all channels.


# %% question="gated_masked_conv"
def gated_masked_conv(x, value, gate, value_bias, gate_bias, mask):
    """A gated convolution whose output at a pixel does not depend on later ones.

    Args:
        x: tensor `[N, H, W, C]`, images or features.
        value, gate: tensors `[R, S, C, M]`, the kernels W and V, not masked.
        value_bias, gate_bias: tensors `[M]`, b and c.
        mask: "A" or "B".

    Returns: tensor `[N, H, W, M]`.
    """
    ### SOLUTION


# %% [markdown] tags=["solution"]
# Forgotten most often: the mask on the gate. Nothing looks wrong then, the shapes fit, and the likelihood is wonderful.
# The test is the lesson's, by gradients:

# %% tags=["solution"]
from vaekit.backend import value_and_gradient

rng = np.random.default_rng(1)
image, kernels = rng.normal(size=(1, 5, 5, 1)), rng.normal(size=(2, 3, 3, 1, 2))
image, W, V = (array.astype("float32") for array in (image, *kernels))
for mask in "AB":
    at_the_middle = lambda x, mask=mask: ops.sum(gated_masked_conv(x, W, V, 0.0, 0.0, mask)[0, 2, 2])  # noqa: E731
    _, (gradient,) = value_and_gradient(at_the_middle, image)
    print(f"mask {mask}", (ops.convert_to_numpy(gradient)[0, :, :, 0] != 0).astype(int), sep="\n")

# %% [markdown]
# ## {byte_log_prob}
#
# The logistic distribution in 256 bins, with edge bins. With $F(x) = \operatorname{sigmoid}\big(\frac{x - \mu}s\big)$,
#
# $$P(k) = F\Big(\frac{k + 1}{256}\Big) - F\Big(\frac k{256}\Big), \qquad k = 0, \dots, 255,$$
#
# but the first bin begins at $-\infty$ and the last one ends at $\infty$. Return $\log P(k)$ for each pixel. (Here
# neither $\mu$ nor $s$ is kept within bounds.)
#
# The parts are: bins *inside*, 1 to 254; *edges*, 0 and 255; and *stable*, where float32 needs care: bins in the far
# tail of a narrow bell, more than a hundred $s$ from its middle, where $\log P(k)$ is below $-100$, and bells a
# thousand times as wide as the range of bytes.

# %% [markdown] tags=["solution"]
# **Solution.** Let $a$ and $b$ be both ends of the bin, in units of $s$ from the middle of the bell. With
# $\operatorname{sigmoid}(a) = 1/(1 + e^{-a})$ the difference has the common denominator
# $(1 + e^{-a})(1 + e^{-b})$:
#
# $$\operatorname{sigmoid}(b) - \operatorname{sigmoid}(a) = \frac{e^{-a} - e^{-b}}{(1 + e^{-a})(1 + e^{-b})}
# = \underbrace{\frac{1}{1 + e^{-b}}}_{\operatorname{sigmoid}(b)}\;
# \underbrace{\frac{e^{-a}}{1 + e^{-a}}}_{\operatorname{sigmoid}(-a)}\;\big(1 - e^{a - b}\big).$$
#
# A product, whose logarithm is a sum: $-\operatorname{softplus}(-b) - \operatorname{softplus}(a) + \log(1 - e^{-w})$,
# with the width $w = b - a = \frac{1}{256\,s}$, which does not know of $\mu$. The last bin has $b = \infty$: what is
# left is $\operatorname{sigmoid}(-a)$. The first one has $a = -\infty$: $\operatorname{sigmoid}(b)$.


# %% question="byte_log_prob"
def byte_log_prob(k, mean, log_scale):
    """The log-probability of bytes under a discretized logistic distribution with edge bins.

    Args:
        k: tensor `[N, D]` of whole numbers from 0 to 255.
        mean: tensor `[N, D]`, μ, where the range of bytes is from 0 to 1.
        log_scale: tensor `[N, D]`, log s.

    Returns: tensor `[N, D]`, in nats.
    """
    ### SOLUTION


# %% [markdown] tags=["solution"]
# What one writes first is `ops.log(ops.sigmoid(b) - ops.sigmoid(a))`. In training it works for a while, until a network
# is sure of a pixel and wrong: then both sigmoids are 1, the difference is 0, its logarithm $-\infty$, and the gradient
# `nan`. Published code adds a small number, $10^{-7}$ or so. Then no pixel costs more than 16 nats, however wrong the
# network is, and its gradient is 0 there. The 256 numbers add up to one only if the edges are right:

# %% tags=["solution"]
k = np.arange(256, dtype="float32")[None]
total = ops.sum(ops.exp(byte_log_prob(k, 0 * k + 0.01, 0 * k - 3.0)))
print(f"sum over all bytes: {float(total):.5f}")

# %% [markdown]
# ## {noise_price}
#
# A pixel is the same byte $k$ in all images. A discretized model that has learned this is certain, and pays 0 bits. Now
# take a *density* instead, the normal one $p(x) = \mathcal N(x; \mu, s^2)$, of $x$ between 0 and 1. As it is to be
# compared with discrete models, it is trained and tested with uniform noise: $x = (k + u)/256$, with $u$ uniform
# between 0 and 1. A bin is $1/256$ wide, so its bits for the pixel are the mean over $u$ of
#
# $$-\log_2\Big(\frac{1}{256}\;p\Big(\frac{k + u}{256}\Big)\Big),$$
#
# and since this is an upper bound on the bits of the bin (the lesson's second reading shows it), it is fair. $\mu$ is
# the middle of the bin. How few bits can it report, with the best $s$, to three digits?

# %% [markdown] tags=["solution"]
# **Solution.** Count in bins: $w = 256\,s$, and $\frac{1}{256}\,p$ is the density of $k + u$ bins,
#
# $$\frac{1}{256} \cdot \frac{1}{s\sqrt{2\pi}}\, e^{-\frac{(u - 1/2)^2}{2 \cdot 256^2 s^2}}
# = \frac{1}{w\sqrt{2\pi}}\, e^{-\frac{(u - 1/2)^2}{2 w^2}}.$$
#
# The mean of $(u - \frac12)^2$ is the variance of a uniform number, $\frac{1}{12}$. So the bits are, in the mean,
#
# $$\log_2 w + \tfrac12 \log_2 2\pi + \frac{1}{24\,w^2 \ln 2}.$$
#
# The derivative for $w$ is $\frac{1}{\ln 2}\big(\frac1w - \frac{1}{12\,w^3}\big)$. It is 0 at $w^2 = \frac{1}{12}$: the
# best bell has the variance of the noise. There the last term is half a nat, $\frac12 \log_2 e$, and all together is
# $\frac12 \log_2 \frac{2\pi e}{12} \approx 0.255$ bits.

# %% question="noise_price"
noise_price = ...  # in bits; a number, or an expression such as np.log2(3) / 4
### BEGIN SOLUTION
noise_price = 0.5 * np.log2(2 * np.pi * np.e / 12)
### END SOLUTION

# %% [markdown] tags=["solution"]
# It is the divergence of the noise from the bell, in bits: a flat bin is not a normal bell. All pixels pay something
# like it that a network is sure of. In an image of 784 pixels of which 600 are known, a quarter of a bit each is 100
# nats. A black background is dear, if it is modelled by a density. That is one reason to discretize.

# %% [markdown]
# ## {hierarchical_bound}
#
# The lesson's hierarchy, with every network a single matrix:
#
# $$\begin{aligned}
# q(z_2|x) &= \mathcal N\big(x\,Q, \operatorname{diag} e^{\lambda_2}\big), &
# q(z_1|x, z_2) &= \mathcal N\big(x A + z_2 B, \operatorname{diag} e^{\lambda_1}\big), \\
# p(z_2) &= \tfrac1K \textstyle\sum_k q(z_2|u_k), &
# p(z_1|z_2) &= \mathcal N\big(z_2\,C, I\big), \\
# p(x|z_1, z_2) &= \operatorname{Bernoulli}\big(\operatorname{sigmoid}(z_1 G_1 + z_2 G_2)\big). &&
# \end{aligned}$$
#
# The prior of $z_2$ is a VampPrior: its components are what the encoder says of the pseudo-inputs $u_k$. Return for
# each image the bound, at one draw of both latents, and its two divergences:
#
# $$\log p(x|z_1, z_2) - K_1 - K_2, \qquad K_1, \qquad K_2.$$
#
# Where a divergence has a closed form, given what was drawn before, take that; where it has none, take
# $\log q - \log p$ at the draw.

# %% [markdown] tags=["solution"]
# **Solution.** From the top down. $z_2$ is drawn first; its prior is a mixture, so $K_2$ is taken at the draw. All that
# comes after is *given* this $z_2$. Both $q(z_1|x, z_2)$ and $p(z_1|z_2)$ are known normals then, and $K_1$ is a
# formula. (In lesson 05's bottom-up order it was the other way round: there the upper divergence had one, and the lower
# had none.)


# %% question="hierarchical_bound"
def hierarchical_bound(
    x, pseudo_inputs, noise_2, noise_1, to_z2, log_variance_2, to_z1, across, log_variance_1, down, z1_to_x, z2_to_x
):
    """The bound of two layers with a VampPrior on top, at one draw, and what each layer costs.

    Args:
        x: tensor `[N, D]` of 0 and 1.
        pseudo_inputs: tensor `[K, D]`, the rows u_k.
        noise_2, noise_1: tensors `[N, M]` and `[N, L]`, standard normal, for z2 and z1.
        to_z2, log_variance_2: tensors `[D, M]` and `[M]`, Q and λ₂.
        to_z1, across, log_variance_1: tensors `[D, L]`, `[M, L]` and `[L]`, A, B and λ₁.
        down: tensor `[M, L]`, C.
        z1_to_x, z2_to_x: tensors `[L, D]` and `[M, D]`, G₁ and G₂.

    Returns: three tensors `[N]`: the bound, K₁ and K₂, in nats.
    """
    ### SOLUTION


# %% [markdown] tags=["solution"]
# One matrix, `to_z2`, has two parts to play, in the encoder and in the prior, and its gradient comes from both. With a
# copy of it in the prior, which stays as it was at the beginning, codes would move on and leave their prior behind.
# $K_2$ may be below zero for an image, since it is taken at a single draw. $K_1$ cannot.

# %% [markdown]
# ## {paint}
#
# A PixelCNN of one layer, whose logits are sums of four neighbours:
#
# $$a_{ij} = b + \kappa_{00}\,x_{i-1,j-1} + \kappa_{01}\,x_{i-1,j} + \kappa_{02}\,x_{i-1,j+1} + \kappa_{10}\,x_{i,j-1},
# \qquad p(x_{ij} = 1 \mid x_{<ij}) = \operatorname{sigmoid}(a_{ij}).$$
#
# ($\kappa_{11}$ and $\kappa_{12}$ are masked: leave them alone.) What lies outside the image is 0. Draw images with it:
# a pixel is 1 where its noise, uniform between 0 and 1, is below its probability. And return the log-probability of
# each image that you drew, which comes along for nothing.

# %% [markdown] tags=["solution"]
# **Solution.** The order is the whole question. A pixel can be drawn when its four neighbours are there, and raster
# order sees to that.


# %% question="paint"
def paint(noise, kernel, bias):
    """Draws images pixel by pixel.

    Args:
        noise: tensor `[N, H, W]`, uniform between 0 and 1.
        kernel: tensor `[2, 3]`, κ.
        bias: a number, b.

    Returns: two tensors: the images, `[N, H, W]` of 0 and 1; and log p(x) of each, `[N]`.
    """
    ### SOLUTION


# %% [markdown] tags=["solution"]
# Nothing here is computed twice, as it would be by a network that runs on the whole canvas for each pixel. That is what
# a cache of features does for deeper networks. Does every order do in which neighbours come first? Along diagonals,
# say: $x_{ij}$ needs the upper right, so pixels with the same $j + 2i$ (one row down, *two* columns to the left) are
# ready at once. They would give the same images, from the same noise, in $W + 2H - 2$ steps instead of $HW$.

# %% [markdown]
# ## {mended_stacks}
#
# Two layers of a PixelCNN with two stacks, written without masks. Instead, images are *moved*: `moved(t, 1, 0)` has at
# each place what `t` has one row above, `moved(t, 0, 1)` what it has to the left. The vertical stack, `v1` and `v2`, is
# to see the row above, to both sides, in the second layer farther than in the first; the horizontal one, `h1` and `h2`,
# the own row to the left, and is told by the vertical one what is above. It ends in the logits of the pixels and minus
# their log-likelihood. There are five errors in it. The shapes do not tell on any of them.


# %%
def broken_stacks(x, above_1, left_1, link_1, across_2, own_2, left_2, link_2, out):
    """Minus log p(x) by a PixelCNN with two stacks, the mean over the images, as it is meant to be."""
    ### BROKEN mended_stacks


# %% [markdown]
# Mend it. Each error is a part of its own, and the check says which are left. What you mend counts, one by one, as long
# as the other lines stay as they are: copy them into your answer, and change as few as you can.

# %% [markdown] tags=["solution"]
# **Solution.**
#
# 1. *The vertical stack is not moved down.* Its kernel has one row and three columns: without the move these are the
#    left neighbour, the pixel itself and the right neighbour. A leak.
# 2. *Mask A is missing in the horizontal stack.* It is shown the pixel. The other leak.
# 3. *A blind spot.* The vertical stack may look to both sides; moved to the right it never learns what is far to the
#    upper right. Nothing is wrong with the likelihood, it is only worse than it need be.
# 4. *Mask A in the second layer.* `h1` at the own place knows what is to the left of the pixel. Who hides it hides the
#    left neighbour. Not wrong either, and dear.
# 5. *A mean over pixels.* By the chain rule log-probabilities add up. The mean is $1/HW$ of that.


# %% question="mended_stacks"
def mended_stacks(x, above_1, left_1, link_1, across_2, own_2, left_2, link_2, out):
    """Minus log p(x) by a PixelCNN with two stacks, the mean over the images.

    Args:
        x: tensor `[N, H, W, 1]` of 0 and 1.
        above_1: tensor `[1, 3, 1, F]`, a kernel of the vertical stack, for the row above.
        left_1: tensor `[1, F]`, for the pixel to the left.
        link_1, link_2: tensors `[F, F]`, what the horizontal stack is told by the vertical one.
        across_2: tensor `[1, 3, F, F]`, a kernel of the vertical stack's second layer.
        own_2, left_2: tensors `[F, F]`, for the horizontal stack's features of the own place, and to the left.
        out: tensor `[F, 1]`, from which the logits come.

    Returns: tensor of shape `()`, in nats.
    """
    ### SOLUTION


# %% [markdown] tags=["solution"]
# Leaks are found by the gradient test, and by likelihoods that are too good. Blind spots are found by the same test,
# read the other way round (what *should* be seen, and is not?), and hardly by anything else: the loss falls, the
# samples look like samples.

# %% [markdown]
# ## {texture_network}
#
# Three textures. In each of them a pixel is like one other, so many rows up (1 to 5) and so many columns to the right
# or to the left (8 at most), but for some noise:
#
# $$x_{ij} = c\,x_{i-u,\,j+r} + \sqrt{1 - c^2}\,\varepsilon_{ij}, \qquad 0.8 \le c \le 0.9.$$
#
# Nobody tells you $u$ and $r$. Your function is given three sheets of the texture, and chooses a network:
#
# - `"kind"`: `"masked"`, layers with mask A, then B; or `"two stacks"`;
# - `"kernel"`: `"3x3"` or `"5x5"`;
# - `"layers"`: from 1 to 12.
#
# A layer has so many weights for each pair of feature maps (those of two stacks are vaekit's `GatedPixelConv2D`, with
# gates and links):
#
# | | 3×3 | 5×5 |
# |:--|--:|--:|
# | masked | 5 | 13 |
# | two stacks | 21 | 41 |
#
# **How it is judged.** A network is taken to predict as well as is possible from the pixels that it sees. What it
# *loses* to a model that knows the texture is then known exactly, in nats a pixel. Its *cost* is layers times weights,
# compared with the cheapest of the 48 networks that sees the pixel that counts; one that does not see it has none.
#
# | part | what is measured | goal |
# |:--|:--|:--|
# | sees | nats a pixel that are lost | at most 0.01 |
# | thrifty | cost, of the cheapest | at most 6 times |
# | cheapest | the same | at most 1.2 times |
#
# The worst of the three textures counts, and they differ: what sees one at a low price is blind to another, however
# deep it is. The check has the same three each time; three others are drawn when it is marked.

# %% [markdown] tags=["solution"]
# **Solution.** *Where is the pixel that counts?* Pixels have the variance 1, so the mean product of two pixels is their
# correlation: $c$ for the one that counts, $c^2$ for the one twice as far in the same direction, 0 for the others.
#
# *Who sees it?* With kernels of $2s + 1$ rows and columns a path goes up by at most $s$ rows a layer, and to the left
# by at most $s$ columns: $sL$ in $L$ layers. To the right it depends. In a masked layer a step to the right has to go
# up as well, by a row at least. So of the $L$ steps at most $u$ can lead to the right, and $r \le s \min(L, u)$. In two
# stacks the vertical one goes to both sides wherever it is: $r \le sL$.
#
# *How much do they see?* Summed over rows, with $s = 1$, this is the lesson's $L + \frac32 L(L + 1)$. In the row
# just above, a single $5 \times 5$ kernel sees two columns to the right, and two layers of $3 \times 3$ only one. With
# enough layers it is $2u$ columns in place of $u$.


# %% question="texture_network"
def texture_network(sheets):
    """Chooses the cheapest network that sees what counts.

    Args:
        sheets: NumPy array `[S, H, W]`, sheets of one texture.

    Returns: dict of
        "kind": "masked" or "two stacks".
        "kernel": "3x3" or "5x5".
        "layers": an int from 1 to 12.
    """
    ### SOLUTION


# %% [markdown] tags=["solution"]
# To the left, and up, masked layers with small kernels are cheapest. A little to the upper right larger kernels help:
# what counts as blind depends on the kernel, $r > su$. Far to the right, hardly up, only two stacks see it. For
# photographs nobody knows where the pixel that counts is. Two stacks have no blind spot, at three to four times the
# weights.

# %% [markdown]
# ## {train_pixels}
#
# A PixelCNN for MNIST-10k at half the resolution: $14 \times 14$ pixels, each the mean of four. Write a function that
# trains **four masked convolutions**, the first with mask A, the others with mask B, with tanh after all but the last,
# whose single filter gives the logits. Zeros lie around the image. You choose the kernels (odd, up to $9 \times 9$) and
# the filters (32 at most). Return their arrays in the order of the layers: kernel, bias, kernel, bias, and so on, eight
# in all. `get_weights()` of a `keras.Sequential` of `vk.layers.MaskedConv2D` has just this order.
#
# Images are grey: a pixel is white with this probability, and your function does the tossing. They are mirrored,
# or upside down, all in the same way, and which way differs from check to check.
#
# **How it is judged.** Nothing of yours is called again. With your arrays the check computes $\log p(x)$, exactly, for
# 1000 new images, tossed by its own dice. It puts the masks on itself; whatever your kernels have for the future, it is
# not looked at. Pixels that know nothing of each other reach $-52.5$ nats. There are points for $-50$, for $-47.5$ and
# for $-46$ nats. It takes five to ten seconds of a laptop's CPU; you have three minutes.

# %% [markdown] tags=["solution"]
# **Solution.** The lesson's model, with a wide first kernel. Its field is what a $7 \times 7$ mask A sees, and one more
# ring for each $3 \times 3$ layer.


# %% question="train_pixels"
def train_pixels(images, seed):
    """Trains a PixelCNN of four masked convolutions, and returns their arrays.

    Args:
        images: tensor `[N, 14, 14, 1]`, grey values in [0, 1]: how probable a white pixel is.
        seed: int, for whatever is drawn at random.

    Returns: list of eight arrays: kernel `[rows, columns, channels, filters]` and bias `[filters]` of each layer.
    """
    ### BEGIN SOLUTION
    epochs, batch = 8, 50
    keras.utils.set_random_seed(seed)  # Keras draws initial weights from its own random state
    grey = ops.convert_to_numpy(images)
    x = (np.random.default_rng(seed).random(grey.shape) < grey).astype("float32")
    layers = [
        vk.layers.MaskedConv2D(16, 7, "A", activation="tanh"),
        vk.layers.MaskedConv2D(16, 3, "B", activation="tanh"),
        vk.layers.MaskedConv2D(16, 3, "B", activation="tanh"),
        vk.layers.MaskedConv2D(1, 1, "B"),
    ]
    network = keras.Sequential([keras.Input((14, 14, 1)), *layers])

    def surprise(x, logits):  # minus log p(x), [B]
        return ops.sum(ops.softplus(logits) - x * logits, axis=(1, 2, 3))

    decay = keras.optimizers.schedules.CosineDecay(0.015, epochs * -(-len(x) // batch))
    network.compile(keras.optimizers.Adam(decay), loss=surprise)
    network.fit(x, x, epochs=epochs, batch_size=batch, verbose=0)
    return network.get_weights()
    ### END SOLUTION


# %% [markdown] tags=["solution"]
# What is worth what? With a $1 \times 1$ kernel in the third layer it is 1.6 nats worse, with 12 filters instead of 16
# some 0.7. A $7 \times 7$ mask A alone, a logistic regression of each pixel on 24 earlier ones, reaches $-53$, no
# better than pixels that know nothing of each other but know *where* they are. A convolution is not told. It sees where
# it is only near the border, by the zeros around the image.
#
# More is to be had: with $5 \times 5$ kernels in all layers after the first, and six epochs at a learning rate of 0.01,
# a run ended at $-42.4$. Tossing the pixels anew in each epoch made no difference to it ($-42.6$).

# %% [markdown]
# ## That was exercise 07
#
# You have masked a convolution, given each byte its probability, added up a hierarchy with a prior of its own, drawn
# pixels in the only order there is, and chosen a field by what there is to see. `vaekit progress` in a terminal shows
# what you have done so far.
#
# Something was unclear? Go back to [lesson 07](../../lessons/07_hierarchies_and_pixelcnn.ipynb). From there it goes on
# to lesson 08: what becomes of a code whose decoder needs it no longer.
