# %% [markdown]
# # Exercise 04 · Importance weighted autoencoders
#
# Eight questions on many codes. They follow [lesson 04](../../lessons/04_importance_weighted_autoencoders.ipynb):
# first two about measuring, the units of a model and the chain of bounds; then an objective of your own; the encoder's
# gradient, by hand, in code, and as an experiment to design; a training step with five errors in it; and at last a
# model to train.
#
# **You need** the lesson; of its second reading only what stands here again (the groups of question 6); for question 4
# a pencil, and question 2 of exercise 03.
#
# {table}
#
# Short of time? Questions 2, 5 and 7 are what you need to read papers, and to find mistakes in code.
#
# **How it works.** Write each answer where `raise NotImplementedError()` stands, then run the cell below it. It says
# what is right, and what is wrong with the rest; nothing is counted against you, so try as often as you like. Keep the
# names of arguments: they are handed over by name. Stuck? `exercise.hint("active_units")` gives a hint, and a plainer
# one each time. Inputs are tensors of float32, if nothing else is said. Compute with `ops` ([Keras'
# operations](https://keras.io/api/ops/)).
#
# Throughout, $k$ counts the codes of an image (or $S$, where they only serve to measure), $B$ or $N$ images, $L$
# latents and $D$ pixels; a weight is $w = p(x, z)/q(z|x)$ at a code $z$ from $q(z|x)$, and $\hat w_i = w_i/\sum_j w_j$
# its share. Everything is in nats.

# %%
import vaekit as vk  # first: it silences the backend's start
from vaekit.course.exercise import Exercise

exercise = Exercise("04")

import keras
import numpy as np
from keras import ops

from vaekit.batches import DynamicBinarization

LOG_2PI = float(np.log(2 * np.pi))
exercise

# %% [markdown]
# ## {active_units}
#
# A latent is active if its posterior mean moves with the image: if $A_j = \mathrm{Var}_x\big(\mathbb E[z_j|x]\big)$
# exceeds 0.01. For the encoder of the lesson the mean is known, $\mu_j$. For the posterior that an IWAE really stands
# for it is not: there you have codes, drawn and kept by their shares, and of these the mean of $S$. It has noise in it,
# and noise has a variance, too. A latent whose posterior is $\mathcal N(0, 1)$ for every image gets an "activity" of
# $1/S$ out of nothing, and with $S$ below a hundred it counts as active.
#
# You have $S$ independent codes for each of $N$ images. Return for each latent an estimate of $A_j$ that is right on
# average: the variance of the images' means, less what their noise adds. And return what you have subtracted, which has
# to be estimated from the codes, too. All variances are to be the unbiased ones, over the number of terms less 1.

# %% [markdown] tags=["solution"]
# **Solution.** Let $m_n$ be the mean of an image's $S$ codes, and $v_n$ their variance under the posterior. $m_n$ is
# the posterior mean plus noise of the variance $v_n/S$, and since the noise has mean 0 whatever the image is, the two
# are uncorrelated. So
#
# $$\mathrm{Var}_x(m) = A + \mathbb E_x\Big[\frac{v}{S}\Big].$$
#
# Both variances can be estimated, the first from the means, the second from each image's codes. Subtract.


# %% question="active_units"
def active_units(samples):
    """How much posterior means move with the image, without the noise of their estimates.

    Args:
        samples: tensor `[S, N, L]`, S codes for each of N images.

    Returns: two tensors `[L]`: the estimate of A for each latent, and the part of the means' variance
        that is noise.
    """
    ### SOLUTION


# %% tags=["solution"]
rng, S = np.random.default_rng(0), 10
centers = rng.normal(size=(500, 4)) * np.sqrt([0.5, 0.05, 0, 0])  # of 500 images; A is 0.5, 0.05, 0, 0
codes = (centers + rng.normal(size=(S, 500, 4)) * np.sqrt([0.5, 0.95, 1, 1])).astype("float32")
as_it_is, without = np.var(codes.mean(axis=0), axis=0), ops.convert_to_numpy(active_units(codes)[0])
for name, activity in (("as it is", as_it_is), ("without the noise", without)):
    print(f"{name:18s}{activity.round(3)}: {np.sum(activity > 0.01)} active")

# %% [markdown] tags=["solution"]
# As it is, all four latents are active. Without the noise, the last two come out near 0, and here below it. Leave it
# so: an estimate of 0 that is right on average has to be below 0 about half of the time, and who cuts it off has a bias
# again.
#
# With $S = 2$ and many images it is a covariance, that of the first codes with the second ones over the images. Noise
# that is drawn twice has none.

# %% [markdown]
# ## {broken_ruler}
#
# Four programs report bounds of four models, on the same 300 test images. All of them write, for each image, estimates
# of $\mathcal L_1$, $\mathcal L_5$ and $\mathcal L_{50}$, each with fresh codes; and beside them stands
# $\log p(x)$, which is known for these models. The lesson's chain says that the means rise from column to column,
#
# $$\mathcal L_1 \le \mathcal L_5 \le \mathcal L_{50} \le \log p(x).$$
#
# In one program of the four this is broken. It may have taken the wrong end of the softmax, or drawn wider codes than
# its density says, or reported the best of three runs: you cannot see which. Of the other three, one is all right. Two
# have the logarithm inside: their three bounds are equal, which is a pity, but no inequality is broken. Which program
# is it?
#
# There are 60 such tables, each with programs in another order. `tables[t, p, c]` holds 300 numbers, those of program
# $p$ in column $c$ of table $t$. Return the faulty program of each table, as a list of numbers from 0 to 3.
#
# **How it is judged.** The check compares your list with what it knows. Half of the points is for three quarters of the
# tables, all for 95 percent. Guessing finds a quarter. Write it as a function: who grades has other tables.

# %% [markdown] tags=["solution"]
# **Solution.** A step down in the mean is no proof. Two of the programs have equal bounds in truth, so each of their
# steps from bound to bound goes down half of the time, and these are noisy programs. What has to be large is the step
# in units of its standard error. And which standard error? The images differ by twelve nats, and so a column's mean is
# known to $12/\sqrt{300}$, 0.7 nats. But both columns are about the *same* images, and in the difference of two
# columns, image by image, that spread has gone. What is left is the noise of the codes: two tenths of a nat at most,
# often much less.


# %% question="broken_ruler"
def broken_ruler(tables):
    """Finds in each table the program whose bounds break the chain.

    Args:
        tables: NumPy array `[60, 4, 4, 300]`: tables, programs, columns (L_1, L_5, L_50, log p(x)), images.

    Returns: dict of
        "program": a list of 60 numbers, each 0, 1, 2 or 3.
    """
    ### SOLUTION


# %% [markdown] tags=["solution"]
# Whoever blames the largest step in nats is right in a third to two thirds of the tables: it is the noisiest program
# that makes the largest steps. Whoever looks at $k$ alone, and not at $\log p(x)$, finds a wrong density, or the best
# of three runs, only by chance. Both are too *high*, and nothing but the truth, or a bound from above as in lesson 03,
# shows that.
#
# It is the common way to compare two models, too: same images, differences, and the standard error of *their* mean.

# %% [markdown]
# ## {Renyi}
#
# The ELBO is the mean of the logarithms, $\mathcal L_k$ the logarithm of the mean, and the lesson's wrong end of the
# softmax climbs the logarithm of the *harmonic* mean. All three are one formula, with a number $\alpha$ ([Li & Turner
# 2016](https://arxiv.org/abs/1602.02311)):
#
# $$\mathcal L_{k,\alpha}(x) = \frac{1}{1 - \alpha} \log \frac1k \sum_{i=1}^k w_i^{\,1 - \alpha}.$$
#
# $\alpha = 0$ is $\mathcal L_k$, $\alpha = 2$ the wrong end, and the limit $\alpha \to 1$ the ELBO with $k$ codes.
# Write it as an objective: a class derived from `vk.objectives.IWAE` whose method `bound` has the formula. It works for
# $\alpha = 1$, too; and it survives log-weights near $-900$ and $400$, whose powers no float32 can hold (the part
# *stable*).
#
# An objective is saved with its model: `Renyi.from_config(objective.get_config())` is the same again, with its $k$, its
# $\alpha$ and whatever else `IWAE` takes, such as `beta` (the part *restored*). In the part *in a model* a VAE is under
# it, and its loss should be minus your bound.

# %% [markdown] tags=["solution"]
# **Solution.** $w^{1-\alpha} = e^{(1-\alpha) \log w}$, so the mean of powers is a log-mean-exp of multiples of the
# log-weights. For $\alpha \to 1$, put $t = 1 - \alpha$: $\frac1t \log \frac1k \sum_i e^{t \log w_i} \to \frac1k \sum_i
# \log w_i$, by the derivative at $t = 0$. An `if` in Python is enough, since $\alpha$ is a number when the program is
# compiled.


# %% question="Renyi"
class Renyi(vk.objectives.IWAE):
    """The Rényi bound, by whose gradient a model can be trained.

    Args:
        samples: k, codes for each image.
        alpha: α, a number: 0 is the importance weighted bound, 1 the ELBO.
        kwargs: what `vk.objectives.IWAE` takes besides, such as `beta`.
    """

    def __init__(self, samples, alpha=0.5, **kwargs):
        ### BEGIN SOLUTION
        super().__init__(samples, **kwargs)
        self.alpha = float(alpha)
        ### END SOLUTION

    def bound(self, log_weights):
        """The bound `[B]` from log-weights `[k, B]`."""
        ### BEGIN SOLUTION
        if self.alpha == 1:
            return ops.mean(log_weights, axis=0)
        power = 1 - self.alpha
        return (ops.logsumexp(power * log_weights, axis=0) - np.log(log_weights.shape[0])) / power
        ### END SOLUTION

    def get_config(self):
        ### BEGIN SOLUTION
        return {**super().get_config(), "alpha": self.alpha}
        ### END SOLUTION


# %% tags=["solution"]
log_w = np.array([[0.0], [10.0]], "float32")  # two codes of one image
for alpha in (0, 0.5, 1, 2):
    bound = float(Renyi(2, alpha).bound(log_w)[0])
    slope = vk.backend.value_and_gradient(lambda w, a=alpha: ops.sum(Renyi(2, a).bound(w)), log_w)[1][0]
    print(f"α = {alpha}: bound {bound:5.2f}, shares {ops.convert_to_numpy(slope)[:, 0].round(3)}")

# %% [markdown] tags=["solution"]
# The gradient for the log-weights are shares again, the softmax of $(1 - \alpha) \log w$: from "the best code has all
# of it" over "all are equal" to "the worst code has all of it". The larger $\alpha$, the lower the bound, and the
# narrower the encoder that it asks for. Below $\alpha = 0$ the formula has a value, too, but is no lower bound any
# more.
#
# The plain gradient and STL go through `bound`. With `gradient="dreg"` vaekit asks the objective's method `shares`;
# that is still `IWAE`'s, so it is refused: who overrides one of the two has to override both.

# %% [markdown]
# ## {gradients_needed}
#
# The tighter the bound, the less it says to the encoder. How much less is worth a calculation, in the smallest case
# that there is: one image, one latent. The posterior is $\mathcal N(0, 1)$, and $q = \mathcal N(\delta, 1)$ is beside
# it by $\delta = \frac12$. A code is $z = \delta + \varepsilon$. The gradient of $\mathcal L_k$ for $\delta$ is
# $\sum_i \hat w_i (a_i - s_i)$, and here its two parts are simple: the path is $a_i = -\delta$ for every code, and the
# score is $s_i = \varepsilon_i$. So the gradient is
#
# $$g = -\delta - \sum_{i=1}^k \hat w_i\, \varepsilon_i.$$
#
# Its signal is its mean, which is the slope of the bound $\log p(x) - V/(2k)$, with $V = e^{\delta^2} - 1$ from
# exercise 03. Its noise is its standard deviation. Take both for large $k$, where $\frac1k\sum_i w_i$ is $p(x)$ but for
# a small fluctuation.
#
# **With $k = 100$ codes, how many independent gradients have to be averaged for a signal-to-noise ratio of 1?** (Give
# the number that the formulas give; it need not be whole.)

# %% [markdown] tags=["solution"]
# **Solution.** The signal is the slope
#
# $$\frac{\mathrm d}{\mathrm d\delta}\Big(-\frac{e^{\delta^2} - 1}{2k}\Big) = -\frac{\delta\, e^{\delta^2}}{k}.$$
#
# For the noise, write $r_i = w_i/p(x)$, with the mean 1 under $q$. The weighted mean $\sum_i \hat w_i \varepsilon_i =
# \frac{\sum r_i \varepsilon_i}{\sum r_i}$ is a ratio of two means. It tends to $\mathbb E_q[r\varepsilon]$, which is
# the mean of $\varepsilon = z - \delta$ under the posterior, $-\delta$. What it is off by is, for large $k$,
#
# $$\frac{\sum_i r_i \varepsilon_i}{\sum_i r_i} + \delta = \frac{\sum_i r_i (\varepsilon_i + \delta)}{\sum_i r_i}
# \approx \frac1k \sum_i r_i z_i,$$
#
# since $\varepsilon_i + \delta = z_i$, and the denominator is $k$ but for a small fluctuation. That is a mean of
# independent terms of mean 0, so its variance is $\mathbb E_q[r^2 z^2]/k$. With the square of exercise 03,
# $r^2 q = \mathcal N(z; 0, 1)^2/\mathcal N(z; \delta, 1) = e^{\delta^2} \mathcal N(z; -\delta, 1)$:
#
# $$\frac1k\, \mathbb E_q[r^2 z^2] = \frac{e^{\delta^2}}{k} \int \mathcal N(z; -\delta, 1)\, z^2\, \mathrm dz
# = \frac{e^{\delta^2} (1 + \delta^2)}{k}.$$
#
# The mean of $n$ gradients has the ratio 1 if $n$ is the variance over the signal squared,
#
# $$n = \frac{e^{\delta^2} (1 + \delta^2)}{k} \cdot \frac{k^2}{\delta^2\, e^{2\delta^2}}
# = \frac{k\,(1 + \delta^2)}{\delta^2\, e^{\delta^2}}.$$

# %% question="gradients_needed"
gradients_needed = ...  # a number
### BEGIN SOLUTION
gradients_needed = 100 * (1 + 0.5**2) / (0.5**2 * np.exp(0.5**2))
### END SOLUTION

# %% tags=["solution"]
rng, delta = np.random.default_rng(0), 0.5
print(f"by the formula, k = 100: {gradients_needed:.0f}")
for k in (1, 10, 100):
    noise = rng.standard_normal((40_000, k))
    share = np.exp(-delta * noise)
    share /= share.sum(axis=1, keepdims=True)
    plain, dreg = -delta - (share * noise).sum(axis=1), -delta * (share**2).sum(axis=1)
    plain_needs, dreg_needs = (np.var(g) / np.mean(g) ** 2 for g in (plain, dreg))
    print(f"k = {k:3d}: {plain_needs:6.1f} plain gradients, or {dreg_needs:.4f} of DReG")

# %% [markdown] tags=["solution"]
# Four gradients are enough with one code, some 390 with a hundred: $n$ grows as $k$, and so the ratio falls as
# $1/\sqrt k$. It is not the noise that grows. The noise falls, as $1/\sqrt k$; the signal falls faster.
#
# DReG, $-\delta \sum_i \hat w_i^2$, has the same mean. In this case the path says $-\delta$ without any noise, and all
# of the plain gradient's noise was the score's.

# %% [markdown]
# ## {dreg_loss}
#
# In DReG, decoder and encoder climb the same bound by different formulas,
#
# $$\nabla_\theta \mathcal L_k: \sum_{i=1}^k \hat w_i\, \nabla_\theta \log w_i, \qquad
# \nabla_\varphi \mathcal L_k: \sum_{i=1}^k \hat w_i^2\, \frac{\partial \log w_i}{\partial z_i}\,
# \nabla_\varphi z_i.$$
#
# A framework differentiates *one* loss. Write one whose value is $-\mathcal L_k$, the mean over the images, and whose
# gradients are minus these, for the decoder's weights and bias and for the encoder's $\mu$ and $\log\sigma^2$. Pixels
# are Bernoulli with the logits $zW + b$, the prior is $\mathcal N(0, I)$, and $z = \mu + \sigma \odot \varepsilon$ with
# the noise given.
#
# `ops.stop_gradient(a)` has the value of `a`, and counts as a constant where gradients are taken. A trick that you will
# want: `s + ops.stop_gradient(v - s)` has the value of $v$ and the gradient of $s$.

# %% [markdown] tags=["solution"]
# **Solution.** Two passes through the densities, at the same codes. In the first, only the decoder's numbers are alive;
# $z$ is held. In the second, only the path is: $\mu$ and $\log\sigma^2$ are held where they stand in $\log q$, so there
# is no score, and so are $W$ and $b$, so that the decoder learns nothing here. Each pass has its shares, as constants.


# %% question="dreg_loss"
def dreg_loss(x, mean, log_variance, noise, weights, bias):
    """A loss with the value −L_k, whose gradients are DReG's.

    Args:
        x: tensor `[B, D]`, of 0 and 1.
        mean, log_variance: tensors `[B, L]`, of the encoder.
        noise: tensor `[k, B, L]`, standard normal.
        weights: tensor `[L, D]`, of the decoder.
        bias: tensor `[D]`, of the decoder.

    Returns: tensor of shape `()`, minus the mean over the images of log (1/k) Σ w, in nats.
    """
    ### SOLUTION


# %% [markdown] tags=["solution"]
# The last line is where the value comes from. Without it, `-ops.mean(surrogate)` trains just as well, and the number
# that is printed in training is no bound: it would even depend on how many terms have been added. Whoever reports it,
# or stops early by it, has a mistake that no gradient shows. So a loss that is made for its gradient should get its
# value back.
#
# And how would one notice a wrong factor in such a loss? By question 4's means: average many gradients of the plain
# bound, and of this one, for one image, and compare them within their errors, as the lesson does for one $\mu$. STL,
# with its strong signal, would look healthy all the while.

# %% [markdown]
# ## {design}
#
# Somebody trains an encoder, and asks you for the objective. For each image and step there are $M$ groups of $K$ codes;
# a group has the bound $\mathcal L_K$, with its gradient, and the mean over the groups is taken:
#
# $$\frac1M \sum_{m=1}^M \log \frac1K \sum_{i=1}^K w_{mi}.$$
#
# You get a pilot of the encoder as it is now: for each of 50 images 480 codes, with their log-weights, and for one
# parameter, the $\mu$ of the first latent, the path $a$ and the score $s$ of each code. Write the plan as a function of
# the pilot. It has three settings:
#
# - `"gradient"`: of a group. `"pathwise"`, $\sum_i \hat w_i (a_i - s_i)$; `"stl"`, $\sum_i \hat w_i a_i$; or `"dreg"`,
#   $\sum_i \hat w_i^2 a_i$.
# - `"groups"`: $M$, from 1 to 500.
# - `"codes"`: $K$, from 1 to 500.
#
# **How it is judged.** With dice that nobody has seen, thousands of gradients are drawn, for two encoders whose
# posteriors are known. One has few latents, the other many, and your function gets a pilot of each. Four things are
# measured:
#
# | part | what is measured | goal |
# |:--|:--|:--|
# | tight | $\log p(x)$ less the bound, the mean over the images | at most 0.2 nats |
# | true | by how much the mean gradient is off from that of $\mathcal L_K$ | at most 0.1 of it |
# | heard | the gradient's signal-to-noise ratio, squares summed over the images | at least 1.5 |
# | cheap | decodings, $M \cdot K$; twice as many for DReG, which has a second pass | at most 7 times the fewest |
# | cheaper | the same | at most 5 times the fewest |
#
# The worse of the two encoders counts. *The fewest* is what a plan would need that knows all about the encoder. (The
# check throws the same dice each time; whoever grades throws others, for pilots too. Leave room for that.)

# %% [markdown] tags=["solution"]
# **Solution.** Groups do not tighten the bound, since their mean is taken after the logarithm. So the gap decides on
# $K$: in the pilot, cut into groups of $K$, the bound is to be within 0.2 nats of that of all 480 codes, which is
# $\log p(x)$ but for some hundredths. Groups make the gradient quieter, by $\sqrt M$. So the ratio of a single group
# decides on $M$. The rest is some room for the pilot's own noise.
#
# And the gradient? STL is biased, the more so the larger $K$. Between the other two the pilot decides: DReG costs
# twice, and has a ratio several times as high, which would take the square of that in groups.


# %% question="design"
def design(log_weights, path, score):
    """Designs the objective of an encoder's training.

    Args:
        log_weights: NumPy array `[480, 50]`, log w of 480 codes for each of 50 images.
        path: NumPy array `[480, 50]`, a.
        score: NumPy array `[480, 50]`, s.

    Returns: dict of
        "gradient": "pathwise", "stl" or "dreg".
        "groups": an int from 1 to 500, M.
        "codes": an int from 1 to 500, K.
    """
    ### SOLUTION


# %% [markdown] tags=["solution"]
# How large is the ratio of one group? For the encoder with many latents, at the $K$ that its gap asks for, the plain
# gradient has about 0.1, and DReG 0.6. The first would need two hundred groups, the second six or seven. So the second
# pass is paid for many times over.
#
# Is a bound within 0.2 nats worth its price? That is for the decoder to say: it is the decoder that has the tight bound
# for its objective. An encoder that is trained alone, for single codes, does well with $K = 1$ and the path. As a
# *ruler* it would be too narrow (lesson 03): for that, $K > 1$ and DReG.

# %% [markdown]
# ## {mended_step}
#
# Below is a training step for an importance weighted autoencoder, somebody's own. Its loss is
# $-\sum_i \hat w_i \log w_i$ with the shares held constant, the mean over the images. That is a surrogate: its value is
# no bound, but its gradient is that of $-\mathcal L_k$. At least it is meant to be. The decoder here is one matrix, but
# as decoders are, it takes rows `[k · B, L]`, so that codes are folded into the batch and back.
#
# It runs, and its loss falls. There are five errors in it, each of which has been in public code.


# %%
def broken_step(x, mean, log_variance, noise, weights, bias):
    """The loss of an importance weighted autoencoder, as it is meant to be."""
    ### BROKEN mended_step


# %% [markdown]
# Mend it. Each error is a part of its own, and the check says which are left. What you mend counts, one by one, as long
# as the other lines stay as they are: copy them into your answer, and change as few as you can.

# %% [markdown] tags=["solution"]
# **Solution.** Ask of each line how many different numbers there are, and which axis is which.
#
# 1. *One noise for all codes.* $k$ codes in the same place have equal weights; the log of their mean is that of one.
# 2. *Folded in two ways.* `ops.reshape` lays $[k, B]$ out as the first code of all images, then the second. `ops.tile`
#    repeats the images in that order; `ops.repeat` puts the copies of one image side by side. The shapes are equal, and
#    all images but the luckiest meet somebody else's codes.
# 3. *A closed form among the weights.* The KL divergence is a mean over codes. In an ELBO it may stand for the
#    difference of the log-densities; in a weight it makes all codes equal but for $\log p(x|z)$, and the mean weight is
#    not $p(x)$ any more.
# 4. *The wrong end of the softmax*, from the lesson.
# 5. *A mean of shares.* They add up to 1 already.


# %% question="mended_step"
def mended_step(x, mean, log_variance, noise, weights, bias):
    """The loss of an importance weighted autoencoder, whose gradient is that of −L_k, the mean over the images.

    Args:
        x: tensor `[B, D]`, of 0 and 1.
        mean, log_variance: tensors `[B, L]`, of the encoder.
        noise: tensor `[k, B, L]`, standard normal.
        weights: tensor `[L, D]`, of the decoder.
        bias: tensor `[D]`, of the decoder.

    Returns: tensor of shape `()`, in nats.
    """
    ### SOLUTION


# %% [markdown] tags=["solution"]
# Which of them does a loss curve show? The second, perhaps: codes that meet other images can say nothing, and training
# ends at the level of pixels without codes. The first ends in a plain VAE; the third climbs something that is no bound
# any more; the fourth is as good as a plain VAE by $\mathcal L_{50}$ in the lesson, and better by $\mathcal L_1$; the
# fifth is a smaller learning rate for plain gradient descent, and nearly nothing to Adam. A test is quicker than a
# curve. Call the step with $k = 1$ and with $k$ equal codes: nothing may change. Call it for one image alone, and in a
# batch: nothing may change. Feed log-weights of 0 and 10 into the shares.

# %% [markdown]
# ## {train_iwae}
#
# The bound of fifty codes, on images that nobody has seen: that is what you train for here. The images are digits of
# MNIST-10k again, with a quarter of their pixels, $14 \cdot 14 = 196$. The decoder has at most 5 latents and 100 units,
#
# $$z \sim \mathcal N(0, I), \qquad a = \tanh(z\,W_1 + b_1)\,W_2 + b_2, \qquad
# x \sim \mathrm{Bernoulli}(\mathrm{sigmoid}(a)).$$
#
# If posteriors are no upright ellipses, the lesson says what a bound of several codes can gain; and it says, under "the
# bill", that early in training plain ELBO steps get further in the same time. You may use
# whatever you like.
#
# As in exercise 02 there are 2,500 training images of grey values, each the probability of a white pixel, and places of
# pixels are shuffled. `DynamicBinarization(images, seed)` draws them anew in every epoch.
#
# **How it is judged.** As in exercise 02: your function gives its decoder away, and then its encoder says $\mu$ and
# $\log\sigma^2$ of 2000 new images, black and white. With noise of its own the check computes $\mathcal L_{50}$, a
# lower bound on $\log p(x)$ of your decoder whatever the encoder says. Pixels without codes reach $-52.1$ nats. A
# quarter of the points each is for $-47$, for $-42.5$, for $-41.5$ and for $-41$. It takes some fifteen seconds of a
# laptop's CPU to get there; you have three minutes. (The check has the same images each time and judges the same model
# alike; whoever grades draws them anew, which leaves a tenth of a nat or two to chance.)

# %% [markdown] tags=["solution"]
# **Solution.** Two phases, which is what the lesson's bill suggests. Eighty epochs by the ELBO, one code for each
# image, are cheap, and bring decoder and encoder near each other. Then thirty by $\mathcal L_{10}$, with DReG, from a
# smaller learning rate. A new `compile` changes the objective; the weights stay.


# %% question="train_iwae"
def train_iwae(images, seed):
    """Trains a model with Bernoulli pixels, and returns its two halves.

    Args:
        images: NumPy array `[N, 196]`, grey values in [0, 1]: how probable a white pixel is.
        seed: int, for whatever is drawn at random.

    Returns:
        encode: function of images, a tensor `[M, 196]` of 0 and 1; returns two arrays `[M, L]`,
            μ and log σ² of q(z|x), for at most 5 latents.
        decoder: dict of arrays, "hidden_weights" `[L, H]`, "hidden_bias" `[H]`,
            "output_weights" `[H, 196]`, "output_bias" `[196]`, with at most 100 units;
            the logits are tanh(z W₁ + b₁) W₂ + b₂.
    """
    ### BEGIN SOLUTION
    keras.utils.set_random_seed(seed)  # Keras draws initial weights from its own random state
    encoder = keras.Sequential([vk.layers.MLP(100), vk.layers.DiagonalNormal(5)])
    decoder = keras.Sequential([vk.layers.MLP(100), vk.layers.Bernoulli(196)])  # tanh, as in the contract
    model = vk.VAE(encoder, decoder, seed=seed)
    black_and_white, steps = DynamicBinarization(images, seed), -(-len(images) // 100)  # in an epoch
    phases = (vk.objectives.ELBO(), 0.01, 80), (vk.objectives.IWAE(10, gradient="dreg"), 0.005, 30)
    for objective, rate, epochs in phases:
        decay = keras.optimizers.schedules.CosineDecay(rate, epochs * steps)
        model.compile(keras.optimizers.Adam(decay), objective=objective)
        model.fit(black_and_white, epochs=epochs, batch_size=100, verbose=0)

    def encode(x):
        q = model.posterior(x)
        return q.mean(), 2 * ops.log(q.stddev())

    names = ["hidden_weights", "hidden_bias", "output_weights", "output_bias"]
    return encode, dict(zip(names, decoder.get_weights(), strict=True))
    ### END SOLUTION


# %% [markdown] tags=["solution"]
# What did the second phase buy? With one seed, and the check's $\mathcal L_{50}$:
#
# | training | $\mathcal L_{50}$ |
# |:--|--:|
# | 60 epochs by the ELBO | $-41.3$ |
# | the same with the mean of ten ELBOs | $-41.0$ |
# | 60 by the ELBO, then 20 by $\mathcal L_{10}$, plain gradient | $-40.8$ |
# | 60 by the ELBO, then 20 by $\mathcal L_{10}$, DReG | $-40.7$ |
# | 60 by $\mathcal L_{10}$, DReG, from the start | $-40.6$ |
# | 100 by the ELBO | $-40.6$ |
# | 200 by the ELBO | $-40.1$ |
#
# Twenty epochs by $\mathcal L_{10}$ are worth half a nat. But they cost about as much as the forty epochs by the ELBO
# that are worth a little more: this is still early in training, and here *patience* is the cheapest of all objectives.
# A table of its first three lines alone would have told another story. Whoever compares objectives, compares them at
# equal cost, or where none of them gets any better.
#
# One thing the check cannot see. Let `encode` return $\log\sigma$ in place of $\log\sigma^2$: by $\mathcal L_1$ the
# model is three nats worse, and by $\mathcal L_{50}$ less than a tenth. Fifty codes forgive a $q$ that is too wide.
# That makes them a fair judge of decoders, and a poor one of encoders.

# %% [markdown]
# ## That was exercise 04
#
# You have taken the noise out of a count and out of a gradient, found a broken ruler by its own chain, and trained a
# model by the number it is measured with. `vaekit progress` in a terminal shows what you have done so far.
#
# Something was unclear? Go back to [lesson 04](../../lessons/04_importance_weighted_autoencoders.ipynb). From there it
# goes on to lesson 05: a second layer of latents, on top of the first.
