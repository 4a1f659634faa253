# %% [markdown]
# # Exercise 05 · Two stochastic layers
#
# Eight questions on a VAE on top of a VAE. They follow
# [lesson 05](../../lessons/05_two_stochastic_layers.ipynb): first the log-weight of two layers, what each layer costs,
# and a "divergence" below zero; then an objective with a floor, and a layer that hears two opinions; five errors; an
# experiment in which the upper layer dies unless you see to it; and at last a model of your own, both layers alive.
#
# **You need** the lesson; question 3 takes a pencil, and the mean of a difference of two normal log-densities.
#
# {table}
#
# Short of time? Questions 1, 2, 6 and 8 are what you need to build a hierarchy and to trust its numbers.
#
# **How it works.** Write each answer where `raise NotImplementedError()` stands, then run the cell below it. It says
# what is right, and what is wrong with the rest; nothing is counted against you, so try as often as you like. Keep the
# names of arguments: they are handed over by name. Stuck? `exercise.hint("log_weight")` gives a hint, and a plainer one
# each time. Inputs are tensors of float32, if nothing else is said. Compute with `ops` ([Keras'
# operations](https://keras.io/api/ops/)).
#
# Throughout, $N$ counts images, $S$ samples, $D$ pixels, $K$ units of $h_1$ and $M$ units of $h_2$; $\lambda$ is a
# logarithm of a variance; and everything is in nats. The encoder is bottom-up, $q(h_1|x)\,q(h_2|h_1)$, if nothing else
# is said.

# %%
import vaekit as vk  # first: it silences the backend's start
from vaekit.course.exercise import Exercise

exercise = Exercise("05")

import keras
import numpy as np
from keras import ops

from vaekit.batches import DynamicBinarization

LOG_2PI = float(np.log(2 * np.pi))
exercise

# %% [markdown]
# ## {log_weight}
#
# A hierarchy in which every network is a single matrix:
#
# $$\begin{aligned}
# q(h_1|x) &= \mathcal N\big(x U_1, \mathrm{diag}\,e^{\lambda_1}\big), &
# q(h_2|h_1) &= \mathcal N\big(h_1 U_2, \mathrm{diag}\,e^{\lambda_2}\big), \\
# p(h_2) &= \mathcal N(0, I), &
# p(h_1|h_2) &= \mathcal N\big(h_2 V_1, \mathrm{diag}\,e^{\lambda_p}\big), &
# p(x|h_1) &= \mathrm{Bernoulli}\big(\mathrm{sigmoid}(h_1 V_x)\big).
# \end{aligned}$$
#
# For each image draw $h_1$ and $h_2$ with the noise that is given, and return three numbers:
#
# $$\log w = \log\frac{p(h_2)\,p(h_1|h_2)\,p(x|h_1)}{q(h_1|x)\,q(h_2|h_1)}, \qquad
# \log\frac{q(h_1|x)}{p(h_1|h_2)}, \qquad \log\frac{q(h_2|h_1)}{p(h_2)}.$$
#
# The second and the third are what the lower and the upper layer cost in this draw; their means are $K_1$ and $K_2$.
# Gradients are looked at, too.

# %% [markdown] tags=["solution"]
# **Solution.** Five densities at one pair of draws. Four of them are normal, so a function for these saves lines and
# errors. The draws come in the encoder's order, and each distribution is given what was *drawn* before it.


# %% question="log_weight"
def log_weight(x, noise_1, noise_2, up_1, log_variance_1, up_2, log_variance_2, down_1, log_variance_p, down_x):
    """The log-weight of one draw of both layers, and what each layer costs in it.

    Args:
        x: tensor `[N, D]` of 0 and 1.
        noise_1, noise_2: tensors `[N, K]` and `[N, M]`, standard normal.
        up_1, up_2: tensors `[D, K]` and `[K, M]`, U₁ and U₂.
        log_variance_1, log_variance_2: tensors `[K]` and `[M]`, λ₁ and λ₂.
        down_1: tensor `[M, K]`, V₁.
        log_variance_p: tensor `[K]`, λ of p(h1|h2).
        down_x: tensor `[K, D]`, of which the logits are h1 Vₓ.

    Returns: three tensors `[N]`: the log-weight, log q(h1|x) − log p(h1|h2), and
        log q(h2|h1) − log p(h2).
    """
    ### SOLUTION


# %% [markdown] tags=["solution"]
# What is easily forgotten is the difference between "given $h_1$" and "given the mean of $h_1$". With the mean in
# both places, for the draw of $h_2$ and for its density, one has a sound model with a poorer encoder. With the mean in
# one of them the mean weight is not $p(x)$ any more, and the bound none. Nothing looks wrong: the loss falls.

# %% [markdown]
# ## {layer_kls}
#
# A report of what each layer costs should be as quiet as possible. You have $S$ draws of $h_1$ for each image, and the
# parameters of all normal distributions involved. Those of $p(h_1|h_2)$ and $q(h_2|h_1)$ differ from draw to draw. From
# the draw of $h_1$ came $q(h_2|h_1)$, from that a draw of $h_2$, and from that the parameters of $p(h_1|h_2)$.
#
# Return estimates of $K_1$ and $K_2$ for each image, and how much each unit of $h_2$ costs in the mean of the images.
# Where a divergence has a closed form, given what was drawn before, take that in place of a sample; where it has none,
# take both log-densities at the draws.

# %% [markdown] tags=["solution"]
# **Solution.** $K_2 = \mathbb E_{q(h_1|x)}\big[\mathrm{KL}(q(h_2|h_1)\,\|\,p(h_2))\big]$: the inner mean is a formula,
# the outer one is taken over the samples. For $K_1$ no such order exists. In
# $\mathbb E\big[\log q(h_1|x) - \log p(h_1|h_2)\big]$ both $h_1$ and $h_2$ are random, and $h_2$ comes *after* $h_1$.
# Who holds $h_2$ fixed and averages over $q(h_1|x)$ averages over the wrong distribution: given $h_2$, $h_1$ is
# distributed otherwise. So $K_1$ is taken from the draws.


# %% question="layer_kls"
def layer_kls(h1, q1_mean, q1_log_variance, p1_mean, p1_log_variance, q2_mean, q2_log_variance):
    """What each layer costs, and each unit of the upper one.

    Args:
        h1: tensor `[S, N, K]`, draws from q(h1|x).
        q1_mean, q1_log_variance: tensors `[N, K]`, of q(h1|x).
        p1_mean, p1_log_variance: tensors `[S, N, K]`, of p(h1|h2), at a draw of h2 for each h1.
        q2_mean, q2_log_variance: tensors `[S, N, M]`, of q(h2|h1).

    Returns: K₁ `[N]`, K₂ `[N]`, and what each unit of h2 costs `[M]`, the mean over samples and images.
    """
    ### SOLUTION


# %% tags=["solution"]
# one image, one unit in each layer: q(h1|x) = N(0.5, 0.3²), q(h2|h1) = N(0.9 h1, 0.4²)
rng, S = np.random.default_rng(0), 20_000
h1 = 0.5 + 0.3 * rng.standard_normal(S)
h2 = 0.9 * h1 + 0.4 * rng.standard_normal(S)
samples = 0.5 * (h2**2 - np.log(0.16) - (h2 - 0.9 * h1) ** 2 / 0.16)
formula = 0.5 * ((0.9 * h1) ** 2 + 0.16 - 1 - np.log(0.16))
for name, k2 in {"from samples": samples, "given h1": formula}.items():
    print(f"K2 {name:12s} {k2.mean():.3f}, standard deviation of a draw {k2.std():.3f}")

# %% [markdown] tags=["solution"]
# The same mean, with a fifth of the standard deviation: one draw is worth twenty-five. Replacing a sample by its mean,
# given what else was drawn, can only make an estimate quieter. It goes by the names of Rao and Blackwell.
#
# The costs by unit are what one counts the living units by. A unit of $h_2$ with a cost of 0 is equal to its prior
# whatever the image. It can be cut out.

# %% [markdown]
# ## {lower_cost}
#
# The lesson's chain of single numbers, with other values: $h_2 \sim \mathcal N(0, 1)$,
# $h_1 = a h_2 + \sqrt{1 - a^2}\,\varepsilon$ and $x = h_1 + s\,\varepsilon'$, with $a = 0.9$ and $s = 2$. So $h_1$ is a
# standard normal, too, and $p(h_2|h_1) = \mathcal N(a h_1, 1 - a^2)$.
#
# Somebody has found the exact posterior for it, $q(h_1|x) = p(h_1|x)$ and $q(h_2|h_1) = p(h_2|h_1)$, and reports what
# each layer costs, as a mean over data that come from the model:
#
# $$K_1 = \mathbb E\big[\log q(h_1|x) - \log p(h_1|h_2)\big], \qquad
# K_2 = \mathbb E\big[\log q(h_2|h_1) - \log p(h_2)\big].$$
#
# The report says "kl_h1" beside a negative number, and everybody looks for the bug. **What is $K_1$**, to three digits?

# %% [markdown] tags=["solution"]
# **Solution.** Data from the model and codes from its posterior: such triples $(x, h_1, h_2)$ are distributed as the
# model's own. So every mean is one over the story. Both layers together first. Since $q$ is the posterior,
#
# $$K_1 + K_2 = \mathbb E\Big[\log\frac{p(h_1, h_2|x)}{p(h_1, h_2)}\Big] = \mathbb E\Big[\log\frac{p(x|h_1)}{p(x)}\Big]
# = \tfrac12\log\frac{1 + s^2}{s^2} = \tfrac12\log 1.25 = 0.112,$$
#
# with Bayes' rule in the middle, and two normal densities of variance $s^2$ and $1 + s^2$ at the end (their squares,
# divided by the variances, have the mean 1 each, and cancel). Then the upper layer. With $\tau^2 = 1 - a^2 = 0.19$,
#
# $$K_2 = \tfrac12\mathbb E\big[a^2 h_1^2 + \tau^2 - 1 - \log\tau^2\big] = -\tfrac12\log\tau^2 = 0.830,$$
#
# for $\mathbb E[h_1^2] = 1$. What is left is $K_1 = 0.112 - 0.830$.

# %% question="lower_cost"
lower_cost = ...  # a number
### BEGIN SOLUTION
lower_cost = 0.5 * np.log(1 + 1 / 2**2) + 0.5 * np.log(1 - 0.9**2)
### END SOLUTION

# %% tags=["solution"]
rng, n, a, s = np.random.default_rng(0), 400_000, 0.9, 2.0
h2 = rng.standard_normal(n)
x = a * h2 + np.sqrt(1 - a**2) * rng.standard_normal(n) + s * rng.standard_normal(n)
h1 = x / (1 + s**2) + s / np.sqrt(1 + s**2) * rng.standard_normal(n)  # from the posterior, given x alone
h2 = a * h1 + np.sqrt(1 - a**2) * rng.standard_normal(n)  # and then the upper one


def log_normal(h, mean, variance):
    return -0.5 * (LOG_2PI + np.log(variance) + (h - mean) ** 2 / variance)


k1 = log_normal(h1, x / (1 + s**2), s**2 / (1 + s**2)) - log_normal(h1, a * h2, 1 - a**2)
k2 = log_normal(h2, a * h1, 1 - a**2) - log_normal(h2, 0, 1)
print(f"K1 = {lower_cost:.4f}; simulated: K1 {k1.mean():.3f} ± {k1.std() / n**0.5:.3f}, K2 {k2.mean():.3f}")

# %% [markdown] tags=["solution"]
# No bug. $K_1 + K_2$ is a divergence and cannot be negative; $K_2$ is the mean of divergences, and cannot either. $K_1$
# is none: it charges $h_1$ by a prior that has already seen it, through $h_2$. The image says little about $h_1$, and
# $h_2$ says much more of it; so the upper layer's code is charged in full, $K_2 = 0.83$, and
# what it says of $h_1$ is credited to the lower layer.
#
# In the top-down order the same model has $K_2 = \mathrm{I}(x; h_2) = 0.088$ and $K_1 = \mathrm I(x; h_1|h_2) = 0.023$,
# both positive, and the same sum. So a cost "of a layer" depends on the order of the encoder. Compare it between models
# of the same order only.

# %% [markdown]
# ## {free_bits}
#
# What it costs to encode in a layer is charged from the first step; what a layer is good for comes later. Free bits
# take away the charge for the first $\lambda$ nats (here the floor): in the loss each layer costs at least $\lambda$,
# whether it makes use of them or not. Below that nothing pulls it down.
#
# Write the loss: the cost of each layer $j$ is the mean of $\log q - \log p$ over samples and images, but at least
# $\lambda$; the sum over the layers counts $\beta$ times, as in a warm-up; the reconstruction is the mean over samples
# and images, too. Gradients count here as much as the value, since they are what it is about.

# %% [markdown] tags=["solution"]
# **Solution.** $\beta\sum_j\max\big(\lambda,\ \overline{\log q - \log p}\big) - \overline{\log p(x|h)}$. The mean comes
# first, then the maximum.


# %% question="free_bits"
def free_bits(reconstruction, kl, floor, beta):
    """Minus the bound, with a floor for each layer.

    Args:
        reconstruction: tensor `[S, N]`, log p(x|h) at samples of the codes.
        kl: tensor `[J, S, N]`, log q − log p of each layer at these samples.
        floor: a number, λ, in nats.
        beta: a number, β, the weight of the layers' costs.

    Returns: tensor of shape `()`, in nats.
    """
    ### SOLUTION


# %% [markdown] tags=["solution"]
# With the maximum for each draw nearly every layer would lie below the floor in some draws, and above it in others. The
# gradient then comes from the dear draws alone, and pulls down a layer whose mean is below the floor, which the floor
# is to prevent. And the loss is no bound any more: report the terms without the floor, as
# `vk.objectives.ELBO(free_bits=...)` does.

# %% [markdown]
# ## {two_opinions}
#
# In the top-down order $q(h_1|x, h_2)$ is given two things. A network can take both. Or it takes $x$ alone and says
# what it thinks of $h_1$, $\mathcal N(\mu, e^\lambda)$ for each unit; from above $p(h_1|h_2)$ says
# $\mathcal N(\mu_p, e^{\lambda_p})$; and the two opinions are combined as Bayes' rule combines a likelihood and a
# prior:
#
# $$q(h_1|x, h_2) \propto \mathcal N(h_1; \mu, e^\lambda)\;\mathcal N(h_1; \mu_p, e^{\lambda_p}).$$
#
# Return the mean and the log-variance of this distribution, which is normal again. (It is the layer of the *ladder VAE*
# of Sønderby and others, 2016.) Either opinion may be very sure, or have none at all: in the part *stable* the
# variances lie between $e^{-180}$ and $e^{180}$. Gradients are looked at, too.

# %% [markdown] tags=["solution"]
# **Solution.** The exponents add up: $-\frac12 e^{-\lambda}(h - \mu)^2 - \frac12 e^{-\lambda_p}(h - \mu_p)^2$. The
# coefficient of $-\frac12 h^2$ is $e^{-\lambda} + e^{-\lambda_p}$, that of $h$ is $e^{-\lambda}\mu +
# e^{-\lambda_p}\mu_p$. So
#
# $$\hat\lambda = -\log\big(e^{-\lambda} + e^{-\lambda_p}\big), \qquad
# \hat\mu = \frac{e^{-\lambda}\mu + e^{-\lambda_p}\mu_p}{e^{-\lambda} + e^{-\lambda_p}} = g\,\mu + (1 - g)\,\mu_p,
# \qquad g = \frac{1}{1 + e^{\lambda - \lambda_p}}.$$
#
# The share $g$ of the image is a sigmoid, which only knows the *difference* of the log-variances. Both ends are safe.


# %% question="two_opinions"
def two_opinions(mean, log_variance, prior_mean, prior_log_variance):
    """The normal distribution that is proportional to the product of two.

    Args:
        mean, log_variance: tensors `[N, K]`, of what x says.
        prior_mean, prior_log_variance: tensors `[N, K]`, of what h2 says.

    Returns: two tensors `[N, K]`: mean and log-variance.
    """
    ### SOLUTION


# %% [markdown] tags=["solution"]
# What is this layer good for? If the encoder has nothing to say, $\lambda \to \infty$, then $q(h_1|x, h_2) =
# p(h_1|h_2)$, and the unit costs exactly 0. An encoder that has to learn both would have to rebuild $p(h_1|h_2)$ first,
# to cost nothing. Here it only says what the image *adds*.

# %% [markdown]
# ## {mended_hierarchy}
#
# The model of question 1, with as many units in $h_2$ as in $h_1$, as a loss: minus the bound, all terms at one draw of
# both layers. Equal numbers of units are convenient, and they keep the shapes from telling on anybody: there are five
# errors in it.


# %%
def broken_hierarchy(x, noise_1, noise_2, up_1, log_variance_1, up_2, log_variance_2, down_1, log_variance_p, down_x):
    """Minus the bound of two layers, the mean over the images, as it is meant to be."""
    ### BROKEN mended_hierarchy


# %% [markdown]
# Mend it. Each error is a part of its own, and the check says which are left. What you mend counts, one by one, as long
# as the other lines stay as they are: copy them into your answer, and change as few as you can. Both costs are to be
# $\log q - \log p$ at the draws.

# %% [markdown] tags=["solution"]
# **Solution.**
#
# 1. *One noise for both layers.* Given $h_1$, nothing is left to chance in $h_2$; but it is charged as a draw.
# 2. *A standard normal as the prior of $h_1$.* The VAE with one layer, copied. The upper layer costs and buys nothing.
# 3. *A closed form where none exists* (question 2). The `h1` in it is averaged out, and the `h2` depends on it.
# 4. *Drawn from one distribution, charged by another.* $q(h_2|h_1)$ needs the $h_1$ that was drawn, in both places.
# 5. *A mean over units* for the upper layer: its codes would cost $1/K$ of what they should.


# %% question="mended_hierarchy"
def mended_hierarchy(x, noise_1, noise_2, up_1, log_variance_1, up_2, log_variance_2, down_1, log_variance_p, down_x):
    """Minus the bound of two layers, the mean over the images, at one draw of both layers.

    Args:
        x: tensor `[N, D]` of 0 and 1.
        noise_1, noise_2: tensors `[N, K]`, standard normal.
        up_1, up_2: tensors `[D, K]` and `[K, K]`, U₁ and U₂.
        log_variance_1, log_variance_2: tensors `[K]`, λ₁ and λ₂.
        down_1: tensor `[K, K]`, V₁.
        log_variance_p: tensor `[K]`, λ of p(h1|h2).
        down_x: tensor `[K, D]`, of which the logits are h1 Vₓ.

    Returns: tensor of shape `()`, in nats.
    """
    ### SOLUTION


# %% [markdown] tags=["solution"]
# The second and the fifth both show a small $K_2$: with the second there is little to pay, with the fifth a part of it
# is shown. The third is the one that `vaekit` refuses: `ELBO(analytic_kl=True)` says that no closed form exists for
# this order. The fourth is found on a model whose $\log p(x)$ is known: with the exact posterior every weight is
# $p(x)$, and with this error they differ. The first passes that test. Make $q$ too wide as well: then the mean weight
# is no longer $p(x)$, as in the lesson.

# %% [markdown]
# ## {remedy}
#
# A model so small that its training needs no dice. Data have $D$ pixels, each normal with variance 1, each two with the
# correlation $\rho$. The model gives each pixel a unit of its own, and what they have in common to the upper layer:
#
# $$h_2 \sim \mathcal N(0, 1), \qquad h_{1j} = w\,h_2 + \tau\,\varepsilon_j, \qquad x_j = h_{1j} + s\,\varepsilon'_j,
# \qquad s = \tfrac12.$$
#
# The encoder is $q(h_{1j}|x) = \mathcal N(\alpha x_j, r^2)$ and
# $q(h_2|h_1) = \mathcal N\big(u \sum_j h_{1j}/\sqrt D, \sigma^2\big)$. Everything is linear and normal. So the bound
# and its gradient for $w, \tau, u, \sigma, \alpha, r$ are exact, and training is 800 steps uphill with a fixed
# learning rate, from small $w$ and $u$.
#
# Left alone, the upper layer is dead, or half dead, when these 800 steps are over. The lower layer has learned its part
# in fifty of them. The upper one begins with small $w$ and $u$. With $w = 0$ nobody listens to $h_2$, and with $u = 0$
# it says nothing: the reward grows with the product, which is tiny at first, the cost with $u^2$ alone. You have two
# remedies:
#
# - `"floor"`: free bits for the upper layer, a number of nats from 0 to 10, in force till the end.
# - `"warm_up"`: from 0 to 600, the number of steps in which $\beta$ rises from 0 to 1. `"weighted"` says what it
#   multiplies: $K_2$ alone, `"upper layer"`, or $K_1$ and $K_2$, `"both layers"`.
#
# **How it is judged.** The experiment is run on two data sets, with $D$ and $\rho$ that differ and that your function
# is told. In one the pixels have little in common, in the other more. *What the layer is worth* is its cost $K_2$ at
# the best bound that this model can have. Each $q(h_{1j}|x)$ sees its own pixel alone, so the encoder is not the exact
# posterior, and the best $w$ and $\tau$ are not simply those of the data.
#
# | part | what is measured at the end | goal |
# |:--|:--|:--|
# | alive | $K_2$, of what the layer is worth | at least 0.5 |
# | at work | the same | at least 0.9 |
# | no ballast | the same | at most 1.5 |
# | bound | what the bound, without floor and $\beta$, lacks to the best one | at most 0.02 nats |
#
# The worse of the two data sets counts. The check tells you what it measured: use it as a laboratory.

# %% [markdown] tags=["solution"]
# **Solution.** A floor is a number of nats, and the right one is what the layer can use. Too low a floor leaves most of
# the way to the slow growth; too high a one is filled all the same. What can it use? The upper layer can carry what it
# is told of what the pixels have in common. A pixel is this, of variance $\rho$, and a part of its own, of variance
# $1 - \rho$. But $q(h_2|h_1)$ does not see pixels. It sees a draw of each $h_{1j}$, the pixel with noise: of variance
# $s^2$, if nothing were known of $h_{1j}$ beforehand, since then $q(h_{1j}|x) = \mathcal N(x_j, s^2)$. In the mean of
# $D$ draws the signal has the variance $\rho$, and the rest $(1 - \rho + s^2)/D$. For normal signals in normal noise
# the mutual information is, as in question 3,
#
# $$\mathrm I = \tfrac12\log\Big(1 + \frac{D\rho}{1 - \rho + s^2}\Big).$$


# %% question="remedy"
def remedy(units, correlation):
    """Chooses how to keep the upper layer alive.

    Args:
        units: an int, D, the number of pixels, and of units of h1.
        correlation: a number, ρ, of two pixels.

    Returns: dict of
        "floor": nats from 0 to 10, of the upper layer.
        "warm_up": an int from 0 to 600, steps.
        "weighted": "upper layer" or "both layers", what β multiplies.
    """
    ### SOLUTION


# %% tags=["solution"]
for units, correlation in ((4, 0.15), (8, 0.22)):
    print(f"{units} pixels, correlation {correlation}: floor {remedy(units, correlation)['floor']:.3f} nats")

# %% [markdown] tags=["solution"]
# The formula is some five per cent above what $K_2$ is at the best bound. There $q(h_{1j}|x) = \mathcal N(\alpha x_j,
# r^2)$ is a draw with a little more noise, $r^2/\alpha^2 = 0.32$ or so in place of $s^2 = 0.25$; with it the formula is
# exact. Without any, $\frac12\log(1 + D\rho/(1 - \rho))$ is what the *image* tells, a quarter too much.
#
# A quarter of a nat is about right for the first data set, and too little for the second, where the layer is not at
# work yet when the steps are over; half a nat fills the first one to more than twice its worth, as a rule. There is no
# floor for all models. The number to think of is what a layer has to say.
#
# Why does the warm-up of both layers not help here? With a small $\beta$ the term $\log p(h_1|h_2)$ is small, too, and
# it is the only one that *rewards* the upper layer. It is neither charged nor paid. A usual warm-up helps where the
# lower layer needs time to learn to say something of the image. Here it has done so after fifty steps.

# %% [markdown]
# ## {train_hierarchy}
#
# All of it together, on MNIST-10k at half the resolution: $14 \times 14$ pixels, each the mean of four. Write a
# function that trains a model with two stochastic layers and returns what is left of it in the end: an encoder
# $q(h_1|x)$, as a function, and three networks as arrays, $q(h_2|h_1)$, $p(h_1|h_2)$ and $p(x|h_1)$. Each of them has
# one tanh layer, as in the lesson:
#
# $$t = \tanh(\text{input}\;W + b), \qquad \mu = t\,W_\mu + b_\mu, \qquad \log\sigma^2 = t\,W_\lambda + b_\lambda,$$
#
# and for the pixels logits in their place. The function `arrays` writes them down, in the order in which layers of
# `vaekit` keep their weights. (The places of the pixels are shuffled as in exercise 02, and images are grey: a pixel is
# white with this probability. `DynamicBinarization(images, seed)` draws them anew in every epoch.)


# %%
def arrays(q_h2, p_h1, p_x):
    """The weights of three networks, each a `vk.layers.MLP` with one layer, and a `DiagonalNormal` or `Bernoulli`."""
    hidden = ["hidden_weights", "hidden_bias"]
    normal = [*hidden, "mean_weights", "mean_bias", "log_variance_weights", "log_variance_bias"]
    pixels = [*hidden, "output_weights", "output_bias"]
    networks = {"q_h2": (q_h2, normal), "p_h1": (p_h1, normal), "p_x": (p_x, pixels)}
    return {
        f"{network}_{name}": array
        for network, (layers, names) in networks.items()
        for name, array in zip(names, layers.get_weights(), strict=True)
    }


# %% [markdown]
# **How it is judged.** As in exercise 02, your function is called with 2500 training images and a seed, and gives the
# networks away. Only then does its encoder see 500 new images. With noise of its own the check draws both codes and
# computes the bound. Pixels without codes reach $-52.5$ nats. There are points for $-50$, for $-46$ and for $-42.5$
# nats.
#
# And there are points for an upper layer that is **alive**, with 3.8 nats. Two numbers have to be as large: $K_2$, and
# the fall of $\log p(h_1|h_2)$ when each image is given the $h_2$ of another one. A code that costs nats and tells
# $h_1$ nothing is not alive. At most 20 units of $h_1$, 10 of $h_2$ and 100 in each tanh layer. It takes five to
# ten seconds of a laptop's CPU; you have three minutes.

# %% [markdown] tags=["solution"]
# **Solution.** The lesson's factors, and the training of exercise 02: pixels drawn anew, a learning rate that starts
# high and decays to 0. The closed form of the KL is not to be had. Free bits see to the upper layer, and to the lower
# one as well.


# %% question="train_hierarchy"
def train_hierarchy(images, seed):
    """Trains p(h2) p(h1|h2) p(x|h1) with q(h1|x) q(h2|h1), and returns its parts.

    Args:
        images: NumPy array `[N, 196]`, grey values in [0, 1]: how probable a white pixel is.
        seed: int, for whatever is drawn at random.

    Returns:
        encode: function of images, a tensor `[M, 196]` of 0 and 1; returns two arrays,
            μ and log σ² of q(h1|x), `[M, K]`, for at most 20 units.
        decoder: dict of arrays, what `arrays(q_h2, p_h1, p_x)` returns.
    """
    ### BEGIN SOLUTION
    epochs, batch = 30, 100
    keras.utils.set_random_seed(seed)  # Keras draws initial weights from its own random state

    def network(last):
        return keras.Sequential([vk.layers.MLP(100), last])

    q_h1, q_h2, p_h1 = (network(vk.layers.DiagonalNormal(units)) for units in (20, 5, 20))
    p_x = network(vk.layers.Bernoulli(196))
    generative = [
        vk.Factor("h2", vk.priors.StandardNormal()),
        vk.Factor("h1", p_h1, given="h2"),
        vk.Factor("x", p_x, given="h1"),
    ]
    inference = [vk.Factor("h1", q_h1, given="x"), vk.Factor("h2", q_h2, given="h1")]
    model = vk.LatentVariableModel(generative, inference, seed=seed)
    decay = keras.optimizers.schedules.CosineDecay(0.01, epochs * -(-len(images) // batch))
    model.compile(keras.optimizers.Adam(decay), objective=vk.objectives.ELBO(free_bits=4.0))
    model.fit(DynamicBinarization(images, seed), epochs=epochs, batch_size=batch, verbose=0)

    def encode(x):
        q = q_h1(x)
        return q.mean(), 2 * ops.log(q.stddev())

    return encode, arrays(q_h2, p_h1, p_x)
    ### END SOLUTION


# %% [markdown] tags=["solution"]
# Does the floor cost anything? The same training without free bits ends with the same bound, to a tenth of a nat, and
# with 2.9 to 3.7 nats in the upper layer; with a floor of 4 it is 4.0 to 4.3. What is said above need not be said
# below. (A floor of 5 does cost some tenths.) With the $h_2$ of another image $\log p(h_1|h_2)$ falls by some twenty
# nats, far more than $K_2$: where $p(h_1|h_2)$ is narrow, the wrong place is very improbable. A cost says how much is
# said, not how much it matters.

# %% [markdown]
# ## That was exercise 05
#
# You have added up a hierarchy by hand, seen a cost below zero and known why, kept a layer alive and said how much it
# should carry. `vaekit progress` in a terminal shows what you have done so far.
#
# Something was unclear? Go back to [lesson 05](../../lessons/05_two_stochastic_layers.ipynb). From there it goes on to
# lesson 06: a prior that is made of what the encoder says of images.
