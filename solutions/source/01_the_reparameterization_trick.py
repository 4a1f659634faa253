# %% [markdown]
# # Exercise 01 · The reparameterization trick
#
# Eight questions on paths through dice. They follow
# [lesson 01](../../lessons/01_the_reparameterization_trick.ipynb), and go a little further: to densities, to tails, and
# to a distribution that nobody can invert.
#
# **You need** the first reading of the lesson for questions 1, 5, 6 and 7, its second reading for 2, 3, 4 and 8; a
# pencil for question 6. What the questions lean on most is recalled where it is needed: how a density changes with its
# variable (3), what a layer needs in order to be saved and to be random (7), and how a number gets a gradient of your
# choice (8). Question 8 may take an hour of its own; a second evening suits it.
#
# {table}
#
# Short of time? Questions 1 and 7 are what a VAE is made of; 3 and 5 are for where the distribution is another one, or
# has no path.
#
# **How it works.** Write each answer where `raise NotImplementedError()` stands, then run the cell below it. It says
# what is right, and what is wrong with the rest; nothing is counted against you, so try as often as you like. Keep the
# names of arguments: they are handed over by name. Stuck? `exercise.hint("gaussian_sample")` gives a hint, and a
# plainer one each time. Inputs are tensors of float32. Compute with `ops` ([Keras'
# operations](https://keras.io/api/ops/)), so that gradients pass: what NumPy computes has none.

# %%
from vaekit.course.exercise import Exercise  # first: it silences the backend's start

exercise = Exercise("01")

import keras
import numpy as np
from keras import ops

from vaekit.backend import tfd, value_and_gradient

LOG_2PI = float(np.log(2 * np.pi))

exercise

# %% [markdown]
# ## {gaussian_sample}
#
# An encoder gives a mean $\mu$ and the logarithm of a variance, $\lambda = \log\sigma^2$. With $\varepsilon \sim
# \mathcal N(0, 1)$ at hand, return $z \sim \mathcal N(\mu, \sigma^2)$, element by element, as a function through which
# gradients reach $\mu$ and $\lambda$.

# %% [markdown] tags=["solution"]
# **Solution.** $\lambda = \log\sigma^2$ means $\sigma = \sqrt{e^\lambda} = e^{\lambda/2}$. Stretch the noise by
# $\sigma$, shift it by $\mu$:
#
# $$z = \mu + e^{\lambda/2}\,\varepsilon, \qquad \frac{\partial z}{\partial \mu} = 1, \qquad
# \frac{\partial z}{\partial \lambda} = \tfrac12 e^{\lambda/2}\,\varepsilon.$$


# %% question="gaussian_sample"
def gaussian_sample(mean, log_variance, noise):
    """z ~ N(μ, σ²), reparameterized.

    Args:
        mean: tensor, μ.
        log_variance: tensor of the same shape, λ = log σ².
        noise: tensor of the same shape, ε, standard normal.

    Returns: tensor of the same shape, z.
    """
    ### SOLUTION


# %% [markdown] tags=["solution"]
# Why does the encoder give $\log\sigma^2$, and not $\sigma$? A network's output can be any number, and any number is
# the logarithm of a variance. With `exp(log_variance)` in place of `exp(log_variance / 2)` nothing would crash, either.
# At $\lambda = -4$ the samples would be spread by 0.018, while all else that reads $\lambda$, like a VAE's loss,
# believes in 0.135.

# %% [markdown]
# ## {exponential_sample}
#
# How long until the next bus? If buses come at random at a rate of $\lambda$ per hour, the time $z$ has an exponential
# distribution, $F(z) = P(\text{time} \le z) = 1 - e^{-\lambda z}$. Turn uniform noise $u$ into such a time by
# $z = F^{-1}(u)$, which grows with $u$. One part of the question is called *stable*: it has $u$ down to $10^{-12}$, and
# up to the last number of float32 before 1. Each sample should have five digits right there, too.

# %% [markdown] tags=["solution"]
# **Solution.** Solve $1 - e^{-\lambda z} = u$ for $z$:
#
# $$e^{-\lambda z} = 1 - u, \qquad z = -\frac{\log(1 - u)}{\lambda}, \qquad
# \frac{\partial z}{\partial\lambda} = \frac{\log(1-u)}{\lambda^2} = -\frac z\lambda.$$
#
# For small $u$, $\log(1 - u) \approx -u$. But $1 - u$ in float32 has steps of $6\cdot10^{-8}$: whatever $u$ held beyond
# that is gone before the logarithm sees it. `log1p` takes $-u$ itself.


# %% question="exponential_sample"
def exponential_sample(rate, uniform):
    """z ~ Exponential(λ) by the inverse of its distribution function.

    Args:
        rate: tensor, λ > 0.
        uniform: tensor of the same shape, u, 0 ≤ u < 1.

    Returns: tensor of the same shape, z = F⁻¹(u) ≥ 0.
    """
    ### SOLUTION


# %% tags=["solution"]
for u in (1e-3, 1e-6, 1e-9):
    naive, stable = abs(np.log(np.float32(1) - np.float32(u))), -np.log1p(-np.float32(u))
    print(f"u = {u:.0e}: log gives {naive:.4e}, log1p {stable:.4e}")

# %% [markdown] tags=["solution"]
# At $10^{-6}$ one per cent is lost, at $10^{-9}$ all. One sample in a million; and a batch of images with 50 latents
# has that many in every few hundred steps. The customary remedy, $u$ clipped to $[10^{-6}, 1 - 10^{-6}]$, cures
# nothing here, and leaves a heap of equal samples at both ends.
#
# $-\log(u)/\lambda$ has the same distribution, because $1 - u$ is as uniform as $u$. It is another path to the same
# place, and a falling one. Where you compare samples with somebody else's for the same noise, the difference matters.

# %% [markdown]
# ## {log_normal}
#
# $z = e^{\mu + \sigma\varepsilon}$ is log-normal: its logarithm is Gaussian. Incomes are nearly so, and so are the
# *scales* that hierarchical models put a distribution on. A VAE whose encoder gives such a distribution needs two
# things of it (lesson 02 says why): samples, and the logarithm of their density, each at its own sample. Return both,
# for $D$ independent dimensions; gradients pass through both.
#
# *How a density changes with its variable.* Let $y$ have the density $p_y$, and $z = g(y)$ with an increasing $g$. The
# probability of a small piece stays what it is, $p_z(z)\, \mathrm dz = p_y(y)\, \mathrm dy$, while the piece becomes
# $\mathrm dz/\mathrm dy = g'(y)$ times as wide. So
#
# $$p_z(z) = \frac{p_y(y)}{g'(y)}, \qquad \log p_z(z) = \log p_y(y) - \log g'(y).$$
#
# For instance $y = \sigma\varepsilon$: widths are multiplied by $\sigma$, and $\log p_y(y) = \log
# p_\varepsilon(\varepsilon) - \log\sigma$.
#
# In the part *stable*, some $\mu$ lie between 140 and 200, others between $-200$ and $-140$. Then $z$ itself is
# infinite in float32, or 0, and is welcome to be. Its log-density is an ordinary number all the same.

# %% [markdown] tags=["solution"]
# **Solution.** There are two steps. From $\varepsilon$ to $y = \mu + \sigma\varepsilon$ widths are multiplied
# by $\sigma$; from $y$ to $z = e^y$ by $e^y = z$. So
#
# $$\log p(z) = \sum_d \Big[ \underbrace{-\tfrac12\varepsilon_d^2 - \tfrac12\log 2\pi}_{\log p(\varepsilon_d)}
# \;\underbrace{-\log\sigma_d}_{\varepsilon \to y}\; \underbrace{-(\mu_d + \sigma_d\varepsilon_d)}_{y \to z} \Big].$$
#
# The last bracket is $\log z_d$, known before any exponential is taken.


# %% question="log_normal"
def log_normal(mean, scale, noise):
    """Log-normal samples, z = exp(μ + σ ε), and their log-densities.

    Args:
        mean: tensor [B, D], μ, the mean of log z.
        scale: tensor [B, D], σ > 0, the standard deviation of log z.
        noise: tensor [B, D], ε, standard normal.

    Returns: two tensors, z [B, D], and log p(z) [B] in nats, of all D dimensions together.
    """
    ### SOLUTION


# %% tags=["solution"]
z, log_density = log_normal(np.float32([[0.3]]), np.float32([[0.8]]), np.float32([[1.2]]))
print(f"ours {float(log_density[0]):.4f}, TFP's {float(tfd.LogNormal(0.3, 0.8).log_prob(z)[0, 0]):.4f}")

# %% [markdown] tags=["solution"]
# That last bracket, the *Jacobian*, is what is forgotten most often, and no picture shows it: samples are right,
# gradients flow, training runs. But the log-density is off by $\log z$, on average $\mu$, in every dimension, and
# the optimizer never sees the slope of it. A density is always *per unit of something*. Per euro and per cent differ by
# $\log 100$.
#
# The gradient of $\log p(z)$ with respect to $\mu$, along the path, is $-1$, whatever $\varepsilon$ is: shift $\log z$
# up by 1, and $z$ is spread out $e$ times as widely.

# %% [markdown]
# ## {truncated_normal_sample}
#
# A rate, an age, a grey value: some numbers have limits. The truncated Gaussian is $\mathcal N(\mu, \sigma^2)$ given
# that $\text{low} < z < \text{high}$. Draw it by $z = F^{-1}(u)$ once more, with gradients for $\mu$ and $\sigma$. With
# the standard Gaussian's distribution function $\Phi$ and its inverse, `normal.cdf` and `normal.quantile` for
# `normal = tfd.Normal(0.0, 1.0)`, it can be done in a few lines.
#
# The part *tails* has windows 6 to 10 standard deviations away from $\mu$, on either side. Have a look at
# `tfd.Normal(0.0, 1.0).cdf(7.0)` and `.cdf(-7.0)` first.

# %% [markdown] tags=["solution"]
# **Solution.** Standardize: $t = (z - \mu)/\sigma$ lies between $a = (\text{low} - \mu)/\sigma$ and
# $b = (\text{high} - \mu)/\sigma$. Of the probability below $t$, $\Phi(a)$ is cut away, and all that is left is
# $\Phi(b) - \Phi(a)$, so $F = (\Phi(t) - \Phi(a)) / (\Phi(b) - \Phi(a))$. Set it to $u$:
#
# $$t = \Phi^{-1}\big((1-u)\,\Phi(a) + u\,\Phi(b)\big), \qquad z = \mu + \sigma t.$$
#
# Numbers near 0 are dense in floating point, numbers near 1 are not: $\Phi(-7) = 1.28\cdot10^{-12}$ has all its digits,
# $\Phi(7)$ is 1. A window above the mean is therefore drawn as its mirror image, from $-b$ to $-a$ with $1 - u$, and
# $-t$ is returned.


# %% question="truncated_normal_sample"
def truncated_normal_sample(mean, scale, low, high, uniform):
    """z ~ N(μ, σ²) between two limits, by the inverse of its distribution function.

    Args:
        mean: tensor, μ.
        scale: tensor of the same shape, σ > 0.
        low, high: tensors of the same shape, limits, up to 10 σ away from μ.
        uniform: tensor of the same shape, u, 0 < u < 1.

    Returns: tensor of the same shape, z = F⁻¹(u), low < z < high, which grows with u.
    """
    ### SOLUTION


# %% tags=["solution"]
mean, u = np.linspace(-8, 12, 6, dtype="float32"), np.full(6, 0.5, "float32")
low, high = np.zeros(6, "float32"), np.ones(6, "float32")
scale = np.ones(6, "float32")
medians, (slopes, _) = (
    truncated_normal_sample(mean, scale, low, high, u),
    value_and_gradient(lambda m, s: ops.sum(truncated_normal_sample(m, s, low, high, u)), mean, scale)[1],
)
for m, z, slope in zip(mean, ops.convert_to_numpy(medians), ops.convert_to_numpy(slopes), strict=True):
    print(f"μ = {m:5.1f}: median {z:.3f}, ∂z/∂μ {slope:.3f}")

# %% [markdown] tags=["solution"]
# The window is $(0, 1)$. However far away $\mu$ is, the median stays inside, and it hardly follows $\mu$ any more:
# $\partial z/\partial\mu$ is far below the 1 of a whole Gaussian, since the limits stand still.
#
# A clipped Gaussian, `ops.clip(mean + scale * noise, low, high)`, is something else. All that lies outside is heaped
# upon the limits, where the gradient is 0: a sample that has landed there says nothing to $\mu$ any more, and if all
# have, nothing calls $\mu$ back.

# %% [markdown]
# ## {score_function}
#
# Some samples have no path, and some costs no derivative. What is left is
#
# $$\nabla_\varphi\, \mathbb E_{q_\varphi(z)}[f(z)] = \mathbb E_{q_\varphi(z)}\big[(f(z) - b)\, \nabla_\varphi \log
# q_\varphi(z)\big].$$
#
# You get samples $z$ of a Gaussian with independent dimensions, their costs $f(z)$, and perhaps a baseline $b$. Return
# the estimate that *each sample* gives of the gradient with respect to $\mu$ and with respect to $\log\sigma$. (That is
# $\log\sigma$, not the $\log\sigma^2$ of question 1.) Work the scores out on paper; nothing needs to be differentiated
# by the backend.

# %% [markdown] tags=["solution"]
# **Solution.** With $\ell = \log\sigma$, in each dimension
# $\log q = -\tfrac12 (z - \mu)^2 e^{-2\ell} - \ell - \tfrac12\log 2\pi$, hence
#
# $$\frac{\partial \log q}{\partial\mu} = \frac{z-\mu}{\sigma^2}, \qquad
# \frac{\partial \log q}{\partial\ell} = \frac{(z-\mu)^2}{\sigma^2} - 1.$$
#
# Both have mean 0, as they should. Every dimension's score is multiplied by the *whole* cost of its sample, less the
# baseline.


# %% question="score_function"
def score_function(sample, cost, mean, log_scale, baseline=0.0):
    """Each sample's estimate of the gradient of E f(z), z ~ N(μ, diag σ²).

    Args:
        sample: tensor [S, D], z.
        cost: tensor [S], f(z).
        mean: tensor [D], μ.
        log_scale: tensor [D], log σ.
        baseline: a number, b.

    Returns: two tensors [S, D], the estimates for μ and for log σ.
    """
    ### SOLUTION


# %% tags=["solution"]
rng = np.random.default_rng(0)
epsilon = rng.standard_normal((100_000, 1)).astype("float32")
cost = np.exp(epsilon[:, 0])  # f(z) = exp(z), μ = 0, σ = 1: the gradient for μ is √e = 1.649
for b in (0.0, np.exp(0.5), 2 * np.exp(0.5)):
    estimates = ops.convert_to_numpy(score_function(epsilon, cost, np.float32([0.0]), np.float32([0.0]), b)[0])
    print(f"b = {b:.2f}: mean {estimates.mean():.2f}, variance {estimates.var():.1f}")

# %% [markdown] tags=["solution"]
# Any baseline leaves the mean where it is, and the variance is what it changes. Had $b$ been subtracted from the
# *product*, every estimate, and so the mean, would be off by $b$. And had `cost` stayed `[S]`, with $S = D$ the backend
# would have spread it along the dimensions without a word, and with $D = 1$ made `[S, S]` of it, as silently. Else it
# complains, which is luckier.

# %% [markdown]
# ## {samples_worth}
#
# Let $f(z) = e^z$ with $z \sim \mathcal N(\mu, 1)$, and take the gradient of $\mathbb E f$ with respect to $\mu$. One
# sample gives a pathwise estimate of it, with some variance. It also gives an estimate by the score function. Give that
# the best constant baseline: its variance is larger still, but the average over $S$ samples has only $1/S$ of it.
# **For which $S$ are the two variances the same?** So many samples is a path worth.
#
# The answer does not depend on $\mu$. It may help that for $\varepsilon \sim \mathcal N(0, 1)$
#
# $$\mathbb E\, e^{k\varepsilon} = e^{k^2/2}, \qquad
# \mathbb E\, \varepsilon^2 e^{k\varepsilon} = (1 + k^2)\, e^{k^2/2},$$
#
# and that the best baseline for a score $s$ is $b = \mathbb E[f s^2] / \mathbb E[s^2]$.

# %% [markdown] tags=["solution"]
# **Solution.** Write $M = \mathbb E f = e^{\mu + 1/2}$; it is also the gradient. The score is $s = \varepsilon$.
#
# *Pathwise:* the estimate is $e^z$, with $\mathbb E e^{2z} = e^{2\mu + 2} = e M^2$. Variance: $M^2 (e - 1)$.
#
# *Baseline:* $b = \mathbb E[e^z \varepsilon^2] = e^\mu \cdot 2 e^{1/2} = 2M$, twice the mean cost.
#
# *Score function:* the estimate is $(e^z - b)\,\varepsilon$, and
#
# $$\mathbb E\big[(e^z - b)^2 \varepsilon^2\big] = \underbrace{\mathbb E\, e^{2z}\varepsilon^2}_{5 e M^2}
# - 2b\, \underbrace{\mathbb E\, e^z \varepsilon^2}_{2M} + b^2 = M^2 (5e - 8 + 4).$$
#
# Less the squared mean $M^2$, the variance is $M^2 (5e - 5)$: **5** times the pathwise one.

# %% question="samples_worth"
samples_worth = ...  # a number
### SOLUTION

# %% tags=["solution"]
for name, b in (("without a baseline", 0.0), ("with the mean cost as baseline", 1.0), ("with the best one", 2.0)):
    ratio = (5 * np.e - 4 * b + b**2 - 1) / (np.e - 1)  # b in units of M
    print(f"{name:30s} {ratio:.2f}")

# %% [markdown] tags=["solution"]
# The mean cost, which everybody takes because it is easy to have, gets three quarters of what a baseline can gain. All
# this is in one dimension; lesson 01 shows how the score function fares in a hundred.

# %% [markdown]
# ## {Reparameterize}
#
# Put question 1 into a layer that can stand between an encoder and a decoder: `Reparameterize(seed)((mean,
# log_variance))` returns a draw $z$, a new one at each call, independent in each row and each dimension. Layers with
# the same seed make the same draws, one after the other. Like every good layer it can be saved. And it works in a
# functional model, where the batch size is not known yet.
#
# *Chance, in Keras,* is an object with a state: `generator = keras.random.SeedGenerator(seed)` is made once, and
# `keras.random.normal(shape, seed=generator)` reads it and moves it on, so that the next call gives other numbers. An
# int in its place gives the same numbers each time. *Saving a layer* means writing down the dict that its
# `get_config()` returns, and making it again later, as `Reparameterize(**config)`. So the dict has every argument of
# `__init__`, as numbers and texts, beside those that all layers have: `super().get_config()`.
#
# The check looks at twenty thousand draws, so it takes a moment.

# %% [markdown] tags=["solution"]
# **Solution.** The generator is made in `__init__`, where a layer's state belongs. Keras finds it among the layer's
# attributes and carries it through compiled code on both backends. The noise has the shape of `mean`, taken by
# `ops.shape`, which also works where the batch size is `None`.


# %% question="Reparameterize"
class Reparameterize(keras.layers.Layer):
    """Draws z ~ N(μ, σ²), a new draw at each call.

    Args:
        seed: an int; layers with the same one make the same draws. Or None, for another each time.
    """

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        ### BEGIN SOLUTION
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        ### END SOLUTION

    def call(self, inputs):
        """`inputs` is a pair of tensors [B, D], μ and λ = log σ²; returns z, a tensor [B, D]."""
        ### BEGIN SOLUTION
        mean, log_variance = inputs
        noise = keras.random.normal(ops.shape(mean), seed=self.seed_generator)
        return mean + ops.exp(log_variance / 2) * noise
        ### END SOLUTION

    def get_config(self):
        """A dict of what `__init__` takes, of numbers and texts."""
        ### BEGIN SOLUTION
        return {**super().get_config(), "seed": self.seed}
        ### END SOLUTION


# %% tags=["solution"]
layer = Reparameterize(seed=1)
mean, log_variance = np.zeros((2, 2), "float32"), np.zeros((2, 2), "float32")
again = Reparameterize.from_config(layer.get_config())
for name, source in (("a draw", layer), ("the next one", layer), ("the first one of a layer made again", again)):
    print(ops.convert_to_numpy(source((mean, log_variance))).round(3).ravel(), name)

# %% [markdown] tags=["solution"]
# The mistake to know is `keras.random.normal(shape, seed=self.seed)` with an int. It looks right, and it is
# reproducible; so much so that every call gives the same noise. Training runs, without an error: each place in the
# batch has the same $\varepsilon$ at every step. So the noise never averages out, and a decoder can fit those few draws
# (lesson 04: "Overfitting the estimator").
#
# vaekit's own layer, `vk.layers.DiagonalNormal`, goes a step further and returns the distribution. Then the bound can
# ask for a draw, for its log-density, or for a KL divergence, and all three belong together.

# %% [markdown]
# ## {mixture_path}
#
# A mixture of Gaussians, $p(z) = \sum_k \pi_k\, \mathcal N(z; \mu_k, \sigma_k^2)$, is easy to draw from: choose a
# component, draw from it. But the choice has no gradient, and the distribution function
# $F(z) = \sum_k \pi_k\, \Phi\big(\frac{z - \mu_k}{\sigma_k}\big)$ has no inverse that one could write down. Lesson 01
# has implicit reparameterization in its second reading,
#
# $$\frac{\mathrm dz}{\mathrm d\theta} = -\frac{\partial F_\theta(z) / \partial\theta}{p_\theta(z)}.$$
#
# Given samples, however drawn, return them *with this gradient* for the logits of $\pi$, the means and the scales. The
# value stays what it is. Each sample has a mixture of its own, as an encoder would give it. The part *tails* has
# samples eight standard deviations out.
#
# *A value with another's gradient.* `a - ops.stop_gradient(a)` is 0, and has the gradient of `a`. Add it to something,
# and this keeps its value and receives that gradient. For instance `ops.round(x) + (x - ops.stop_gradient(x))` is a
# round number that pretends to depend on `x` smoothly; `ops.round(x)` alone has the gradient 0. What is behind
# `stop_gradient` counts as a constant, also within a product or a quotient.

# %% [markdown] tags=["solution"]
# **Solution.** `a - stop_gradient(a)` is 0, with the gradient of $a$. Choose $a = -F_\theta(z)/p(z)$ with $z$ and $p$
# held fixed, and add it to the sample:
#
# $$z_\theta = z - \frac{F_\theta(z) - \mathrm{stop}[F_\theta(z)]}{\mathrm{stop}[p_\theta(z)]}.$$
#
# In the upper tail $F$ is a sum of ones: for the weights, $\partial F/\partial \text{logit}_k = \pi_k (\Phi(t_k) - F)$,
# the difference of two ones. There $1 - F = \sum_k \pi_k \Phi(-t_k)$ has the digits, and its negative, $F - 1$, the
# slopes of $F$. `side` chooses, sample by sample.


# %% question="mixture_path"
def mixture_path(sample, logits, means, scales):
    """Samples of mixtures of Gaussians, with implicit gradients for the mixtures' parameters.

    Args:
        sample: tensor [S], z, drawn by whatever means; no gradient passes through it.
        logits: tensor [S, K], π = softmax(logits) over the last axis.
        means: tensor [S, K], μ.
        scales: tensor [S, K], σ > 0.

    Returns: tensor [S], the values of `sample` with the gradients dz/dθ = −(∂F/∂θ) / p(z).
    """
    ### SOLUTION


# %% tags=["solution"]
n, rng = 100_000, np.random.default_rng(1)
logits, means, scales = (np.tile(np.float32(row), (n, 1)) for row in ([0.5, -0.5], [-1.0, 2.0], [0.5, 1.0]))
weights = np.exp(logits[0]) / np.exp(logits[0]).sum()
k = rng.choice(2, n, p=weights)
z = (means[0][k] + scales[0][k] * rng.standard_normal(n)).astype("float32")


def total(*parameters):
    return ops.sum(ops.square(mixture_path(z, *parameters)))


exact = {  # E z² = Σ π_k (μ_k² + σ_k²)
    "logits": weights * (means[0] ** 2 + scales[0] ** 2 - weights @ (means[0] ** 2 + scales[0] ** 2)),
    "means": 2 * weights * means[0],
    "scales": 2 * weights * scales[0],
}
for name, slope in zip(exact, value_and_gradient(total, logits, means, scales)[1], strict=True):
    slope = ops.convert_to_numpy(slope)
    error = slope.std(0) / np.sqrt(n)
    print(f"{name:7s} {slope.mean(0).round(3)} ± {error.round(3)}, exact {exact[name].round(3)}")

# %% [markdown] tags=["solution"]
# The gradients of $\mathbb E z^2$ agree with the exact ones within about two of their standard errors, the numbers
# behind ±. And the one for the weights is there: raise a component's weight, and *all* samples move, up where the
# component has less of its probability below them than the mixture has, and down where it has more. With two components
# of equal scales all samples move the same way, from the other component towards this one, and those that lie beyond it
# move farther out. In the tail of a wide component it is outwards, since there the mixture becomes heavier.
#
# For the means the formula says something that could have been guessed: $\mathrm dz/\mathrm d\mu_k = \pi_k
# \mathcal N_k(z)/p(z)$, the probability that $z$ came from component $k$. A sample follows each component as far as it
# belongs to it.
#
# What goes wrong most often is to follow the component that was drawn, $z = \mu_k + \sigma_k\varepsilon$. For the means
# and scales that works, too. The logits get no gradient at all, without an error.

# %% [markdown]
# ## Done
#
# A path is whatever keeps $u = F_\theta(z)$ in place while $\theta$ moves. Sometimes you can write it down (1 to 4),
# and sometimes you only know its slope (8), which is all that a gradient needs. Where there is none, the score function
# pays for it in samples (5, 6). In a VAE all of this is a layer of three lines (7).
#
# `vaekit progress`, in a terminal, shows what you have solved so far. Something was unclear? Go back to
# [lesson 01](../../lessons/01_the_reparameterization_trick.ipynb). Else read lesson 02,
# [the variational autoencoder](../../lessons/02_the_variational_autoencoder.ipynb), and go on to
# [exercise 02](../02_the_variational_autoencoder/02_the_variational_autoencoder.ipynb).
