# %% [markdown]
# # Exercise 02 · The variational autoencoder
#
# Eight questions, from one formula to a trained model. They follow
# [lesson 02](../../lessons/02_the_variational_autoencoder.ipynb): first its terms, one by one, and so that they hold
# where float32 ends; then the bound, and a model whose gap is known exactly; then a layer, a VAE with five errors, and
# one that you train.
#
# **You need** the lesson; a pencil, and the normal distribution of several variables, for question 5 (what is used of
# it stands there); and for questions 6 and 8 some Keras, of which the less known part stands before question 6.
#
# {table}
#
# Short of time? Questions 1, 2, 4 and 7 are the VAE; 8 is the reward.
#
# **How it works.** Write each answer where `raise NotImplementedError()` stands, then run the cell below it. It says
# what is right, and what is wrong with the rest; nothing is counted against you, so try as often as you like. Keep the
# names of arguments: they are handed over by name. Stuck? `exercise.hint("kl_divergence")` gives a hint, and a plainer
# one each time. Inputs are tensors of float32. Compute with `ops` ([Keras' operations](https://keras.io/api/ops/)), so
# that gradients pass: what NumPy computes has none.
#
# Throughout, $\lambda$ is `log_variance`, $\log\sigma^2$; the last axis is that of the latents, or of the pixels; and
# everything is in nats.

# %%
import vaekit as vk  # first: it silences the backend's start
from vaekit.course.exercise import Exercise

exercise = Exercise("02")

import keras
import numpy as np
from keras import ops

from vaekit.backend import tfd
from vaekit.batches import DynamicBinarization

LOG_2PI = float(np.log(2 * np.pi))
exercise

# %% [markdown]
# ## {kl_divergence}
#
# What a code costs: the divergence of the encoder's $q(z|x) = \mathcal N(\mu, \mathrm{diag}\,\sigma^2)$ from the prior
# $p(z) = \mathcal N(0, I)$, for each image of the batch.

# %% [markdown] tags=["solution"]
# **Solution.** Both distributions are products over the latents, so the logarithm of their ratio is a sum, and one
# latent is enough. The constants $\frac12\log 2\pi$ cancel:
#
# $$\mathbb E_q\big[\log q(z) - \log p(z)\big]
# = \mathbb E_q\Big[-\tfrac12\lambda - \tfrac{(z-\mu)^2}{2\sigma^2} + \tfrac12 z^2\Big]
# = -\tfrac12\lambda - \tfrac12 + \tfrac12(\mu^2 + \sigma^2),$$
#
# for $\mathbb E_q[(z-\mu)^2] = \sigma^2$ and $\mathbb E_q[z^2] = \mu^2 + \sigma^2$.


# %% question="kl_divergence"
def kl_divergence(mean, log_variance):
    """KL(N(μ, diag σ²) ‖ N(0, I)) in nats.

    Args:
        mean: tensor `[N, L]`, μ.
        log_variance: tensor `[N, L]`, λ = log σ².

    Returns: tensor `[N]`.
    """
    ### SOLUTION


# %% [markdown] tags=["solution"]
# Three checks that take a second each. At $\mu = 0$, $\lambda = 0$ it is 0, else a $-1$ is lost. It is never negative,
# else it is the term as it stands in the bound. Twice as many latents, all alike, cost twice as much, else somebody
# has averaged: with `ops.mean` in place of `ops.sum` codes would cost $1/L$ of what they should. Such a model has the
# sharpest reconstructions of the lesson, and the poorest samples.

# %% [markdown]
# ## {bernoulli_log_prob}
#
# What a code is worth: the log-likelihood of black and white pixels, given the decoder's logits $a$, with
# $p(x_d = 1) = y_d = 1/(1 + e^{-a_d})$. A trained decoder knows some pixels for certain. Their logits are large, and
# yours has to be right for every one that float32 holds: half of the points are for logits up to $\pm 10{,}000$, with
# the gradient of the log-likelihood there.

# %% [markdown] tags=["solution"]
# **Solution.** Write the two logarithms out before computing anything:
#
# $$\log y = \log\frac{e^a}{1 + e^a} = a - \log(1 + e^a), \qquad \log(1 - y) = -\log(1 + e^a),$$
#
# so that $x \log y + (1 - x)\log(1 - y) = x\,a - \log(1 + e^a)$, with one logarithm for two. The function
# $\log(1 + e^a)$ is called softplus, and libraries compute it as $\max(a, 0) + \log(1 + e^{-|a|})$, where nothing can
# overflow.


# %% question="bernoulli_log_prob"
def bernoulli_log_prob(x, logits):
    """log p(x) of independent Bernoulli pixels, in nats.

    Args:
        x: tensor `[N, D]` of 0 and 1.
        logits: tensor `[N, D]`, a, of any size; p(x = 1) = 1 / (1 + exp(−a)).

    Returns: tensor `[N]`, the sum over pixels.
    """
    ### SOLUTION


# %% [markdown] tags=["solution"]
# And by way of the probability? At $a = 18$ float32 rounds $y$ to exactly 1, and $\log(1 - y)$ is $-\infty$. Where the
# pixel is white it is multiplied by 0, and $0\cdot\infty$ is nan: one pixel, and the whole training is gone. The usual
# cure is to clip $y$ to $[10^{-7}, 1 - 10^{-7}]$, as `keras.losses` does. Then nothing crashes, but no pixel can cost
# more than 16 nats, however wrong the decoder is, and where it is most wrong the gradient is 0.

# %% [markdown]
# ## {gaussian_log_prob}
#
# Grey pixels need a density. The lesson named one, in "Grey pixels as Bernoulli": a normal distribution for each pixel,
# $p(x|z) = \mathcal N\big(\mu(z), \mathrm{diag}\,\sigma^2(z)\big)$, for which the decoder has two outputs a pixel. Here
# extremes look different: a pixel in a corner is 0 in every image. The decoder finds out, and $\sigma$ shrinks towards
# 0. Half of the points are for the values where $\lambda$ is between $-150$ and $-100$, and $|x - \mu|$ is 0 or about
# as small as $\sigma$.

# %% [markdown] tags=["solution"]
# **Solution.** The logarithm of one pixel's density,
#
# $$\log\frac{1}{\sqrt{2\pi\sigma^2}}\,e^{-(x-\mu)^2/2\sigma^2}
# = -\tfrac12\Big(\log 2\pi + \lambda + \big((x - \mu)\,e^{-\lambda/2}\big)^2\Big),$$
#
# and the sum over pixels. $\log\sigma^2$ is given, as $\lambda$: it would be a pity to take the exponential, only to
# take the logarithm of it.


# %% question="gaussian_log_prob"
def gaussian_log_prob(x, mean, log_variance):
    """log N(x; μ, diag σ²) in nats, 2π included.

    Args:
        x: tensor `[N, D]`.
        mean: tensor `[N, D]`, μ.
        log_variance: tensor `[N, D]`, λ = log σ², down to −150.

    Returns: tensor `[N]`, the sum over pixels.
    """
    ### SOLUTION


# %% [markdown] tags=["solution"]
# Numbers of float32 end near $10^{\pm 38}$. At $\lambda = -120$ the variance, $10^{-52}$, is 0 to it, and so is the
# square of a distance of $10^{-26}$: $0/0$. The standard deviation, $10^{-26}$, is still there. So divide first and
# square then. (Adding $10^{-6}$ to the variance also removes the nan, and changes the model: no pixel can be known
# better than to a thousandth. That may be wise, but then say it, and do it in one place.)
#
# Look at the value, too: fifty nats and more for a single pixel that never changes. Densities have no upper end, and a
# decoder that finds such a pixel can buy any bound with it. We come back to that in lesson 10.

# %% [markdown]
# ## {elbo_estimators}
#
# A linear decoder: logits $a = zW + b$ and Bernoulli pixels. With draws $z_s = \mu + \sigma \odot \varepsilon_s$,
# the mean over $s = 1, \dots, S$ of
#
# $$\widehat{\mathcal L}^A = \log p(x|z_s) + \log p(z_s) - \log q(z_s|x), \qquad
# \widehat{\mathcal L}^B = \log p(x|z_s) - \mathrm{KL}\big(q(z|x)\,\|\,p(z)\big).$$
#
# The noise is given, so that your numbers are to be ours; gradients are looked at, too. You may call your answers to
# the questions above. Here an axis of draws stands in front, $[S, N, L]$, so they have to sum over the *last* axis,
# `axis=-1`, whatever comes before it.

# %% [markdown] tags=["solution"]
# **Solution.** Everything is there already, in questions 1 to 3; it is written out here so that the shapes can be seen.
# `noise` has an axis in front, $[S, N, L]$, so $z$ is $[S, N, L]$, the logits are $[S, N, D]$, and since the sums go
# over the last axis and leave the others, all terms are $[S, N]$. The prior is a normal distribution with mean 0 and
# $\lambda = 0$.


# %% question="elbo_estimators"
def elbo_estimators(x, mean, log_variance, noise, weights, bias):
    """Estimators A and B of the bound, in nats, for p(z) = N(0, I), p(x|z) = Bernoulli(sigmoid(z W + b)).

    Args:
        x: tensor `[N, D]` of 0 and 1.
        mean: tensor `[N, L]`, μ of q(z|x).
        log_variance: tensor `[N, L]`, λ = log σ² of q(z|x).
        noise: tensor `[S, N, L]`, ε, standard normal.
        weights: tensor `[L, D]`, W.
        bias: tensor `[D]`, b.

    Returns: two tensors `[N]`, estimator A and estimator B, each averaged over the S draws.
    """
    ### SOLUTION


# %% [markdown] tags=["solution"]
# $\log p(z)$ and $\log q(z|x)$ share the constant $\frac12\log 2\pi$ for each latent. One may drop it from both, never
# from one: the bound would be off by the same 0.92 nats a latent everywhere, training would not notice, and a table
# would.
#
# Another term that must stay, and this one is no constant: $\log q(z|x)$ is not $\log\mathcal N(\varepsilon; 0, I)$.
# Stretching by $\sigma$ thins the density out, and $-\sum_j\log\sigma_j$ is what keeps the codes from shrinking to
# points.
#
# Last, mean and logarithm. The mean of $\log\frac{p(x,z)}{q(z|x)}$ over draws estimates the ELBO. The logarithm of the
# mean of $\frac{p(x,z)}{q(z|x)}$ estimates another bound, a tighter one, which lesson 04 is about.

# %% [markdown]
# ## {bound_and_gap}
#
# For most decoders $\log p(x)$ cannot be had. For a linear one with normal noise it can:
#
# $$p(z) = \mathcal N(0, I), \qquad p(x|z) = \mathcal N(zW + b,\, s^2 I), \qquad
# q(z|x) = \mathcal N(\mu, \mathrm{diag}\,\sigma^2).$$
#
# (Vectors are rows here, as in a batch: $x$ is $1\times D$, $W$ is $L\times D$.) Return the bound exactly, without any
# draws: do the expectation under $q$ with a pencil. And return its gap, $\log p(x) - \mathcal L =
# \mathrm{KL}(q(z|x)\,\|\,p(z|x))$. A model like this is the best test that an implementation of a bound can have.
#
# You need the normal distribution of $D$ variables, with mean $m$ and covariance $C$, a $D\times D$ matrix:
#
# $$\log\mathcal N(x; m, C) = -\tfrac12\Big(D\log 2\pi + \log\det C + (x - m)\,C^{-1}(x - m)^\top\Big).$$
#
# And that linear maps and sums of independent normal variables are normal: with $z \sim \mathcal N(0, I)$, $zW$ has
# mean 0 and covariance $\mathbb E\big[(zW)^\top zW\big] = W^\top W$; where independent variables are added, means and
# covariances add up.

# %% [markdown] tags=["solution"]
# **Solution.** *The bound.* The KL divergence is question 1. In the reconstruction put $z = \mu + \sigma\odot
# \varepsilon$; with $r = x - b - \mu W$,
#
# $$\mathbb E\,\|x - b - zW\|^2 = \mathbb E\,\|r - (\sigma\odot\varepsilon)W\|^2
# = \|r\|^2 + \sum_j \sigma_j^2 \sum_d W_{jd}^2,$$
#
# since $\mathbb E[\varepsilon_j] = 0$ and $\mathbb E[\varepsilon_j\varepsilon_k] = \delta_{jk}$. Hence
# $\mathbb E_q[\log p(x|z)] = -\frac D2\log(2\pi s^2) - \frac{1}{2s^2}\big(\|r\|^2 + \sum_j\sigma_j^2\|W_j\|^2\big)$.
#
# *The gap.* $x = zW + b + s\,\varepsilon$ is a sum of normal variables, so $x \sim \mathcal N(b,\, W^\top W + s^2 I)$,
# and its log-density stands above. Subtract the bound.


# %% question="bound_and_gap"
def bound_and_gap(x, weights, bias, noise_scale, mean, log_variance):
    """The bound and its gap in nats, exactly, for p(z) = N(0, I), p(x|z) = N(z W + b, s² I).

    Args:
        x: tensor `[N, D]`.
        weights: tensor `[L, D]`, W.
        bias: tensor `[D]`, b.
        noise_scale: float, s, a standard deviation.
        mean: tensor `[N, L]`, μ of q(z|x) = N(μ, diag σ²).
        log_variance: tensor `[N, L]`, λ = log σ².

    Returns: two tensors `[N]`: the bound, and log p(x) minus the bound.
    """
    ### SOLUTION


# %% [markdown] tags=["solution"]
# There is another way to the gap, longer, and so a useful check: it is the divergence of $q$ from the posterior. By
# Bayes' rule $\log p(z|x)$ is, up to a constant, $-\frac12\|z\|^2 - \frac{1}{2s^2}\|x - b - zW\|^2$: a parabola in $z$,
# so the posterior is normal. From its curvature, the precision, and from its top, the mean:
#
# $$P = I + \tfrac{1}{s^2} WW^\top, \qquad m = \tfrac{1}{s^2}(x - b)\,W^\top P^{-1}.$$
#
# And $\mathbb E_q[\log q(z) - \log p(z|x)]$ is, with both densities as above, $S = \mathrm{diag}\,\sigma^2$,
# $\mathbb E_q[(z - \mu)S^{-1}(z - \mu)^\top] = L$ and
# $\mathbb E_q[(z - m)P(z - m)^\top] = \mathrm{tr}(PS) + (\mu - m)P(\mu - m)^\top$:
#
# $$\mathrm{KL} = \tfrac12\Big(\mathrm{tr}(PS) + (\mu - m)P(\mu - m)^\top - L - \log\det S - \log\det P\Big).$$

# %% tags=["solution"]
rng = np.random.default_rng(0)
L, D, s = 2, 5, 0.7
x, W, b, mu, lv = (rng.normal(size=n).astype("float32") for n in ((3, D), (L, D), D, (3, L), (3, L)))
P = np.eye(L) + W @ W.T / s**2
off = mu - (x - b) @ W.T @ np.linalg.inv(P) / s**2
kl = 0.5 * (np.exp(lv) @ np.diag(P) + np.sum(off @ P * off, 1) - L - lv.sum(1) - np.linalg.slogdet(P)[1])
print("the gap", ops.convert_to_numpy(bound_and_gap(x, W, b, s, mu, lv)[1]), "the divergence", kl)

# %% [markdown] tags=["solution"]
# Whoever leaves the spread out, and puts $z = \mu$ into the reconstruction, has an autoencoder with a tax on codes. Its
# "bound" is best at $\sigma = 1$ for every image, since noise does no harm any more, and it can exceed $\log p(x)$.
#
# Can the gap be 0? With the right mean, and with $\sigma^2 = 1/P_{jj}$, what is left is
# $\frac12\big(\sum_j\log P_{jj} - \log\det P\big)$: zero only if $P$ is diagonal, that is, if the rows of $W$ are
# orthogonal. This is the approximation gap of the lesson, in closed form.

# %% [markdown]
# ## {GaussianImage}
#
# The decoders of `vaekit` end in a layer that returns a `tfd.Distribution`, of which one may ask `log_prob(x)`,
# `mean()` and `sample()`. Write one from a plain `keras.layers.Layer`. From features $h$, `[N, F]`, it makes a
# distribution over images,
#
# $$p(x|h) = \mathcal N\big(\mathrm{sigmoid}(hW + b),\, \sigma^2 I\big), \qquad \sigma = e^{\texttt{log\_scale}},$$
#
# with one $\sigma$ for all pixels, learned along with $W$ and $b$. Five things that you may not have met:
#
# - A *weight* is made by `add_weight` in `build`, which Keras calls once, with the shape of the first input.
# - A *distribution over images* is made of one for each pixel by `tfd.Independent`, which takes the last axes together:
#   `log_prob` sums over them.
# - A *symbol* stands for an array in a model that has not seen numbers yet. It has a shape and a dtype, and `None`
#   where the size of the batch will be.
# - `compute_output_spec` is asked what the layer makes of such a symbol, and answers with another one. Keras would find
#   out by itself, but not what a distribution is.
# - `get_config` holds what `__init__` needs, since a model is saved as a configuration and weights; all that every
#   layer has, such as its name, is passed on by `**kwargs`.


# %%
class Scaled(keras.layers.Layer):
    """w · x, to show `add_weight`: w is one number for each feature, 1 at first, and learned."""

    def build(self, input_shape):
        self.w = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="w")

    def call(self, inputs):
        return self.w * inputs


pixels = tfd.Normal(np.zeros((10, 28, 28), "float32"), 1.0)  # 10 × 28 × 28 distributions of one number
images = tfd.Independent(pixels, reinterpreted_batch_ndims=2)  # 10 distributions over images of 28 × 28
print("log_prob of", pixels.log_prob(0.0).shape, "and of", images.log_prob(np.zeros((28, 28), "float32")).shape)

symbol = keras.KerasTensor((None, 3), dtype="float32")
print("called with a symbol, a layer gives a symbol:", Scaled()(symbol))

# %% [markdown] tags=["solution"]
# **Solution.** `tfd.Normal(mean, scale)` with a mean `[N, H, W, C]` is a batch of $N\cdot H\cdot W\cdot C$
# distributions of one number each. `tfd.Independent` declares the last three axes to be one event: `log_prob` sums over
# them, which is $\log\prod = \sum\log$.


# %% question="GaussianImage"
@keras.saving.register_keras_serializable("exercise")
class GaussianImage(keras.layers.Layer):
    """p(x|h) = N(sigmoid(h W + b), σ² I), a distribution over images.

    Called with features `[N, F]` it returns a `tfd.Distribution`: batch shape `[N]`, event shape `event_shape`.

    Its trainable weights, made in this order by `self.add_weight` in `build`:
        kernel: W, `[F, D]`, D the number of pixels (of numbers in an image).
        bias: b, `[D]`.
        log_scale: log σ, shape `()`.

    Args:
        event_shape: shape of an image, such as (28, 28, 1).
    """

    def __init__(self, event_shape, **kwargs):
        super().__init__(**kwargs)
        ### BEGIN SOLUTION
        self.event_shape = tuple(event_shape)
        ### END SOLUTION

    def build(self, input_shape):
        ### BEGIN SOLUTION
        pixels = int(np.prod(self.event_shape))
        self.kernel = self.add_weight(shape=(input_shape[-1], pixels), name="kernel")
        self.bias = self.add_weight(shape=(pixels,), initializer="zeros", name="bias")
        self.log_scale = self.add_weight(shape=(), initializer="zeros", name="log_scale")
        ### END SOLUTION

    def call(self, inputs):
        ### BEGIN SOLUTION
        a = ops.matmul(inputs, self.kernel) + self.bias  # [N, D]
        mean = ops.reshape(ops.sigmoid(a), (-1, *self.event_shape))
        pixels = tfd.Normal(mean, ops.exp(self.log_scale))
        return tfd.Independent(pixels, reinterpreted_batch_ndims=len(self.event_shape))
        ### END SOLUTION

    def compute_output_spec(self, inputs):
        ### BEGIN SOLUTION
        if not self.built:
            self.build(inputs.shape)
        return keras.KerasTensor((inputs.shape[0], *self.event_shape), dtype=self.compute_dtype)
        ### END SOLUTION

    def get_config(self):
        ### BEGIN SOLUTION
        return {**super().get_config(), "event_shape": self.event_shape}
        ### END SOLUTION


# %% [markdown] tags=["solution"]
# Without `tfd.Independent` nothing fails at first: `log_prob` is `[N, H, W, C]`, a mean is taken over all of it, and
# there is the average over pixels again, which makes a nat of code $D$ times as dear. With
# `reinterpreted_batch_ndims=1` only the channels are summed. The shape tells: a log-likelihood has one number an image.
#
# Without `compute_output_spec` Keras finds out what the layer returns by running it on symbols, and stops at an output
# that is no tensor. In `vaekit` all this stands once, in `vk.layers.DistributionLayer`; there your layer is
# `vk.layers.Normal(event_shape, scale="shared", mean_activation="sigmoid")`.

# %% [markdown]
# ## {mended_loss}
#
# Here is the loss of a VAE for grey images, whose author was in a hurry. It runs, and training lowers it. It is meant
# to be minus the bound by estimator A, the mean over the images of the batch:
# $-\frac1N\sum_n\big(\log p(x_n|z_n) + \log p(z_n) - \log q(z_n|x_n)\big)$, with tanh layers (no biases, to keep it
# short), a normal distribution for each pixel, whose log-variance is the same in all images, and the encoder's
# $\log\sigma^2$ limited to the range from $-6$ to 2. There are five errors in it. Each has been made in code that
# thousands of people have run.


# %%
def broken_loss(x, noise, encoder_hidden, encoder_mean, encoder_log_variance,
                decoder_hidden, decoder_mean, pixel_log_variance):  # fmt: skip
    """Minus the bound, as it is meant to be."""
    ### BROKEN mended_loss


# %% [markdown]
# Mend it. Each error is a part of its own, and the check says which are left. What you mend counts, one by one, as long
# as the other lines stay as they are: copy them into your answer, and change as few as you can. Two parts more are the
# gradients, and all lines that were right.

# %% [markdown] tags=["solution"]
# **Solution.** Go through the lines and ask of each which formula it is, and over which axis it sums.
#
# 1. *Clipping in one place.* $z$ is drawn with the clipped variance and charged, in `log_q_z`, for the raw one. So
#    `log_q_z` is the log-density of another distribution than the one that was drawn from, and the loss is no bound.
#    Clip once, before either.
# 2. *Brackets.* `a / 2 * b` is `(a / 2) * b`: the squared error is multiplied by the variance. A decoder that is unsure
#    of a pixel should be punished less for it, here it is punished more.
# 3. *Constants.* $\log 2\pi$ stands in $\log q$ and not in $\log p(z)$, $0.92$ nats a latent.
# 4. *Mean over the latents*: codes cost $1/L$ of what they should.
# 5. *Sum over the images* for the reconstruction, mean for the KL: codes cost $1/N$ of what they should. Double the
#    batch, and they become cheaper.


# %% question="mended_loss"
def mended_loss(x, noise, encoder_hidden, encoder_mean, encoder_log_variance,
                decoder_hidden, decoder_mean, pixel_log_variance):  # fmt: skip
    """Minus the bound by estimator A from one draw an image, the mean over the images, in nats.

    Args:
        x: tensor `[N, D]`, grey images.
        noise: tensor `[N, L]`, ε, standard normal.
        encoder_hidden: tensor `[D, H]`.
        encoder_mean, encoder_log_variance: tensors `[H, L]`.
        decoder_hidden: tensor `[L, H]`.
        decoder_mean: tensor `[H, D]`.
        pixel_log_variance: tensor `[D]`, log σ² of the pixels, given z.

    Returns: tensor of shape `()`.
    """
    ### SOLUTION


# %% [markdown] tags=["solution"]
# None of the five raises an error, and none keeps the loss from falling. How would one have found them without being
# told that they are there? The first, third and fourth by question 4: A and B agree in the mean over many draws, else
# something is wrong with $\log q$, $\log p(z)$ or the KL. The second by a library: `tfd.Normal(…).log_prob` is one
# line. The fifth by giving the loss a batch, and then the same batch twice over: nothing may change.

# %% [markdown]
# ## {train_vae}
#
# All of it together. Write a function that trains a VAE on digits of MNIST-10k, black and white, 784 pixels each, and
# returns what is left of it in the end: an encoder, as a function, and a decoder, as four arrays,
#
# $$z \sim \mathcal N(0, I), \qquad a = \tanh(z\,W_1 + b_1)\,W_2 + b_2, \qquad
# x \sim \mathrm{Bernoulli}(\mathrm{sigmoid}(a)).$$
#
# You may use whatever you like: `vk.VAE`, the class from the lesson, your own. There are 2,500 training images, so that
# it need not take long. Their pixels are grey: one of grey value 0.7 is white with probability 0.7; test images have
# been drawn so. `DynamicBinarization(images, seed)`, as in the lesson, draws them in every epoch; and where layers of
# `vaekit` keep their weights is seen there, too, below "The same with vaekit". (The places of the pixels are shuffled,
# the same way in all images, so do not be surprised when you look at one: the lower row. A dense layer does not mind.)

# %%
mnist = vk.datasets.load("mnist_10k").train[:10].reshape(10, 784)
places = np.random.default_rng(0).permutation(784)
vk.plotting.image_grid(np.concatenate([mnist, mnist[:, places]]).reshape(-1, 28, 28), columns=10)

# %% [markdown]
# **How it is judged.** Your function is called with training images and a seed, and gives its decoder away. Only then
# does its encoder see 500 new images, of which it says $\mu$ and $\log\sigma^2$; and with noise of its own the check
# computes the bound by estimator A. That is a lower bound on $\log p(x)$ of your decoder, *whatever the encoder says*,
# so the one way to a good number is a good model. Pixels without codes reach $-206$ nats. A quarter of the points each
# is for $-180$, for $-138$, for $-128$ and for $-122.5$. It takes about ten seconds of a laptop's CPU to get there; you
# have three minutes. (The check has the same images each time and judges the same model alike; whoever grades draws
# their black and white pixels, and the places, anew, which leaves a third of a nat to chance.)

# %% [markdown] tags=["solution"]
# **Solution.** The lesson's model, with four decisions.
#
# - *Black and white anew in every epoch* (`DynamicBinarization`). Drawn once, the pixels' coins can be learned by
#   heart, and after some hundred epochs they are.
# - *Twenty latents.* More would do no harm (the superfluous ones are hardly used), five are too few.
# - *The learning rate* starts ten times higher than usual and decays to 0. With 2500 images an epoch is 25 steps; in
#   40 epochs there are 1000, which have to do.
# - *The closed form of the KL*, estimator B: quieter gradients for latents that are not used.


# %% question="train_vae"
def train_vae(images, seed):
    """Trains a VAE with Bernoulli pixels, and returns its two halves.

    Args:
        images: NumPy array `[N, 784]`, grey values in [0, 1]: how probable a white pixel is.
        seed: int, for whatever is drawn at random.

    Returns:
        encode: function of images, a tensor `[M, 784]` of 0 and 1; returns two arrays `[M, L]`,
            μ and log σ² of q(z|x), for at most 20 latents.
        decoder: dict of arrays, "hidden_weights" `[L, H]`, "hidden_bias" `[H]`,
            "output_weights" `[H, 784]`, "output_bias" `[784]`, with at most 200 units;
            the logits are tanh(z W₁ + b₁) W₂ + b₂.
    """
    ### BEGIN SOLUTION
    epochs, batch = 40, 100
    keras.utils.set_random_seed(seed)  # Keras draws initial weights from its own random state
    encoder = keras.Sequential([vk.layers.MLP(200), vk.layers.DiagonalNormal(20)])
    decoder = keras.Sequential([vk.layers.MLP(200), vk.layers.Bernoulli(784)])  # tanh, as in the contract
    vae = vk.VAE(encoder, decoder, seed=seed)
    decay = keras.optimizers.schedules.CosineDecay(0.01, epochs * -(-len(images) // batch))
    vae.compile(keras.optimizers.Adam(decay), objective=vk.objectives.ELBO(analytic_kl=True))
    vae.fit(DynamicBinarization(images, seed), epochs=epochs, batch_size=batch, verbose=0)

    def encode(x):
        q = vae.posterior(x)
        return q.mean(), 2 * ops.log(q.stddev())

    names = ["hidden_weights", "hidden_bias", "output_weights", "output_bias"]
    return encode, dict(zip(names, decoder.get_weights(), strict=True))
    ### END SOLUTION


# %% [markdown] tags=["solution"]
# Why could no encoder cheat here? With $w = p(x, z)/q(z|x)$, the mean of $w$ over draws from $q$ is $p(x)$, for any $q$
# whatever; by Jensen the mean of $\log w$ is less. An estimate from few draws can be lucky, but not by much: by
# Markov's inequality $\log w$ exceeds $\log p(x)$ by $t$ nats with a probability of at most $e^{-t}$, and the mean over
# 500 images with at most $e^{-500\,t}$. The decoder could cheat only by knowing the test images, and it has left before
# they arrive. This is what makes the bound a fair currency between papers, as long as nobody trains on the test images.
#
# A model trained on a hundred of the images, or for long on pixels drawn once, stays below: it knows its own images,
# and is asked for others.

# %% [markdown]
# ## That was exercise 02
#
# You have now written every term of a VAE, seen its gap in numbers, and mended what others have broken. `vaekit
# progress` in a terminal shows what you have done so far.
#
# Anything that did not come easily? It is in
# [lesson 02](../../lessons/02_the_variational_autoencoder.ipynb): the KL divergence and the estimators in "The
# bound, derived twice" and "Two estimators", the gap in "Two latents", the errors in "When it goes wrong". From there
# it goes on to lesson 03: how to *measure* $\log p(x)$ when no matrix can be inverted.
