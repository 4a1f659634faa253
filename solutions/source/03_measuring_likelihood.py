# %% [markdown]
# # Exercise 03 · Measuring likelihood
#
# Eight questions on rulers. They follow [lesson 03](../../lessons/03_measuring_likelihood.ipynb): first the logarithm
# of a mean weight, its bias, and an experiment that has to do with both; then a path through the posterior, and
# annealed importance sampling from both sides; an objective in two phases; a report with five errors in it; and at last
# a decoder whose encoder is lost.
#
# **You need** the lesson; for question 6 nothing of its second reading, since what is used of wake–sleep stands there;
# for question 8 a look at "Two latents" in lesson 02; a pencil for question 2.
#
# {table}
#
# Short of time? Questions 1, 2, 3 and 7 are what you need to read papers, and to be believed by others.
#
# **How it works.** Write each answer where `raise NotImplementedError()` stands, then run the cell below it. It says
# what is right, and what is wrong with the rest; nothing is counted against you, so try as often as you like. Keep the
# names of arguments: they are handed over by name. Stuck? `exercise.hint("log_mean_weight")` gives a hint, and a
# plainer one each time. Inputs are tensors of float32, if nothing else is said. Compute with `ops` ([Keras'
# operations](https://keras.io/api/ops/)).
#
# Throughout, $S$ counts samples, $N$ images, $L$ latents and $D$ pixels; a weight is $w = p(x, z)/q(z|x)$ at a draw
# $z$ from $q(z|x)$; and everything is in nats.

# %%
import vaekit as vk  # first: it silences the backend's start
from vaekit.course.exercise import Exercise

exercise = Exercise("03")

import keras
import numpy as np
from keras import ops

from vaekit.backend import value_and_gradient

LOG_2PI = float(np.log(2 * np.pi))
exercise

# %% [markdown]
# ## {log_mean_weight}
#
# You have the log-weights of $S$ samples for each of $N$ images. Return the estimate of $\log p(x)$, and the effective
# sample size,
#
# $$\log\frac1S\sum_{s=1}^S w_s, \qquad \mathrm{ESS} = \frac{\big(\sum_s w_s\big)^2}{\sum_s w_s^2},$$
#
# for each image. An image of 784 pixels has a log-weight of $-90$ if all goes well, and of $-800$ if not; a density of
# grey pixels may well have $+800$. float32 ends at $e^{88}$, and begins at $e^{-103}$. So the part *stable* has
# log-weights between $-800$ and 800, also of one and the same image; and a sample with the weight 0, whose logarithm is
# $-\infty$.

# %% [markdown] tags=["solution"]
# **Solution.** Both formulas allow to take the largest weight out. With $m = \max_s \log w_s$,
#
# $$\log\frac1S\sum_s w_s = m + \log\sum_s e^{\log w_s - m} - \log S,$$
#
# where the largest term of the sum is 1. It can neither overflow nor be 0. That is what `ops.logsumexp` computes. In
# the effective sample size a common factor cancels. Write it with the shares $\hat w_s = w_s/\sum w$, which
# `ops.softmax` makes from the log-weights: since they add up to 1, it is $1/\sum_s \hat w_s^2$.


# %% question="log_mean_weight"
def log_mean_weight(log_weights):
    """The estimate of log p(x) from importance weights, and their effective sample size.

    Args:
        log_weights: tensor `[S, N]`, log w; −∞ for a weight of 0.

    Returns: two tensors `[N]`: the logarithm of the mean weight, in nats, and the effective
        sample size, from 1 to S.
    """
    ### SOLUTION


# %% [markdown] tags=["solution"]
# `exp(2 * logsumexp(log_w) - logsumexp(2 * log_w))` is the same effective sample size on paper. At 800 it is the
# difference of two numbers near 1600, which float32 knows to 0.0001: one loses three digits, and nobody will notice.
#
# The clipped variant is worse, because it looks careful: `ops.clip(log_weights, -80, 80)` overflows nowhere, and
# reports 80 nats for an image that has 800. Where numbers come out too small for their type, scale them; to cut them
# off changes the question.

# %% [markdown]
# ## {samples_needed}
#
# The lesson has an encoder whose means are right, and whose widths are not. Here it is the other way round. The
# posterior is $\mathcal N(\mu, \mathrm{diag}\,\sigma^2)$ in 20 latents. The encoder has the right $\sigma$, but its
# means are beside: by $0.4\,\sigma_j$ in each latent $j$. That is little. In a picture you would call it a good fit,
# and the gap of its bound is 1.6 nats.
#
# **How many samples $S$ make the bias of $\log\hat p$ as small as 0.1 nats?** Take the rule from the lesson: the bias
# is half the relative variance $v$ of a weight, over $S$. (Give the number that the formula gives; it need not be
# whole.)

# %% [markdown] tags=["solution"]
# **Solution.** With $w/p(x) = p(z|x)/q(z|x)$, one plus the relative variance is
#
# $$\mathbb E_q\Big[\Big(\frac{p(z|x)}{q(z|x)}\Big)^2\Big] = \int \frac{p(z|x)^2}{q(z|x)}\,\mathrm dz,$$
#
# a product over the latents. For one of them, with $\mu = 0$ and $\sigma = 1$, and the encoder's mean at $\delta$:
#
# $$\int \frac{\mathcal N(z; 0, 1)^2}{\mathcal N(z; \delta, 1)}\,\mathrm dz = \frac{1}{\sqrt{2\pi}} \int
# e^{-z^2 + \frac12(z - \delta)^2}\,\mathrm dz = e^{\delta^2}\,\frac{1}{\sqrt{2\pi}} \int e^{-\frac12(z + \delta)^2}\,
# \mathrm dz = e^{\delta^2}.$$
#
# So $v = e^{20 \cdot 0.4^2} - 1 = e^{3.2} - 1 = 23.5$, and $S = v/0.2$.

# %% question="samples_needed"
samples_needed = ...  # a number
### BEGIN SOLUTION
samples_needed = (np.exp(20 * 0.4**2) - 1) / (2 * 0.1)
### END SOLUTION

# %% tags=["solution"]
rng, S = np.random.default_rng(0), round(samples_needed)
z = 0.4 + rng.standard_normal((4000, S, 20))  # 4000 experiments
log_w = np.sum(-(z**2) / 2 + (z - 0.4) ** 2 / 2, axis=2)  # log w, less log p(x)
estimates = np.logaddexp.reduce(log_w, axis=1) - np.log(S)
print(f"{S} samples: mean error {estimates.mean():.3f} ± {estimates.std() / 4000**0.5:.3f} nats")

# %% [markdown] tags=["solution"]
# Measured are not 0.1 nats but 0.06. The rule is the beginning of a series in $v/S$, which is 0.2 here, and the weights
# have a long tail; it gives the right order of magnitude, and here it errs on the safe side.
#
# What to take along is the exponential. The gap of the bound is $\frac12\|\delta\|^2$, and the number of samples grows
# with $e^{\|\delta\|^2}$: **twice the gap, in the exponent.** A gap of 1.6 nats needs a hundred samples, one of 5 nats
# a hundred thousand, and one of 10 two billion. (So it is for means that are beside. For wrong widths the lesson has
# other numbers: 6.2 nats and some five hundred samples if $q$ is too wide; 3.8 nats, and no number is enough, if it is
# too narrow.)

# %% [markdown]
# ## {plan}
#
# A paper is due. Your model's test set is large, computing time is not, and you have to say what $\log p(x)$ is on
# average, with an error that others can rely on. From somebody's pilot on validation images you have the log-weights
# of 200 samples for each of 300 images. Write the plan for the run on the test images, as a function of the pilot. It
# has four settings:
#
# - `"estimator"`: what is computed for an image. `"log of mean"` is $\log\frac1S\sum_s w_s$, `"mean of logs"` is
#   $\frac1S\sum_s\log w_s$; `"best of ten"` repeats the first one ten times, each with $S$ samples, and takes the
#   largest; `"harmonic mean"` is $-\log\frac1S\sum_s 1/p(x|z_s)$, with samples of the posterior; `"reconstruction"` is
#   $\frac1S\sum_s \log p(x|z_s)$, with samples of $q$.
# - `"error"`: how the standard error of the mean over the images is computed. `"images"`: the standard deviation of the
#   $N$ images' estimates, over $\sqrt N$. `"seeds"`: the standard deviation of an image's estimate when it is repeated
#   with another seed, over $\sqrt N$. `"weights"`: the standard deviation of all log-weights, over $\sqrt{S N}$.
# - `"samples"`: $S$, from 1 to 2000.
# - `"images"`: $N$, from 10 to 2000.
#
# **How it is judged.** The experiment is run, with dice that nobody has seen, on two models whose truth is known. They
# are linear, as in the lesson, with encoders that are too wide: one is easy, the other is not, and your function gets a
# pilot of each. Four things are measured, two of them against a wide goal and a narrow one:
#
# | part | what is measured | goal |
# |:--|:--|:--|
# | nearly unbiased | how far estimates are from $\log p(x)$ in the mean | at most 0.2 nats |
# | unbiased | the same | at most 0.1 nats |
# | honest | how often the truth lies within ± 2 of your standard errors | at least 0.9 |
# | sharp | the standard error as it really is | at most 0.2 nats |
# | cheap | decodings, $S \cdot N$ (ten times as many for the best of ten) | at most 6 times the fewest |
# | cheaper | the same | at most 4 times the fewest |
#
# The worse of the two models counts; and what is not even nearly unbiased earns nothing, however cheap. *The fewest* is
# what a plan would need that knows all about the model; yours knows a pilot, so some room is left. Use it: the check
# throws the same dice each time, whoever grades throws others, and a goal that is only just reached may be missed.

# %% [markdown] tags=["solution"]
# **Solution.** The bias comes from the samples, and no number of images makes it smaller. The standard error comes from
# the images, which are easy or hard by several nats, and no number of samples makes it smaller. So there are two
# formulas, $S = v/(2 \cdot 0.1)$ and $N = (\text{spread}/0.2)^2$; and both $v$ and the spread are in the pilot.
#
# Both are estimates themselves, though. The spread is known from 300 images to some five per cent, $N$ to ten; a third
# more will do. With $v$ it is worse. It is made by rare and large weights, and 200 samples meet the largest too seldom.
# What the pilot says of $v$ is too small, the more so the worse the encoder is.


# %% question="plan"
def plan(pilot):
    """Designs the measurement of a mean log-likelihood.

    Args:
        pilot: NumPy array `[200, 300]`, log-weights of 200 samples for each of 300 validation images.

    Returns: dict of
        "estimator": "log of mean", "mean of logs", "best of ten", "harmonic mean" or "reconstruction".
        "error": "images", "seeds" or "weights".
        "samples": an int from 1 to 2000, S.
        "images": an int from 10 to 2000, N.
    """
    ### SOLUTION


# %% tags=["solution"]
rng, latents, c2 = np.random.default_rng(1), 32, 1.7  # q has c² times the posterior's variance
print(f"the relative variance is {(c2 / np.sqrt(2 * c2 - 1)) ** latents - 1:.1f}; a pilot finds, on average,")
for S in (50, 200, 1000, 5000):
    log_w = -(c2 - 1) / 2 * rng.chisquare(latents, size=(S, 300))
    w = np.exp(log_w - log_w.max(axis=0))
    print(f"{np.mean(np.mean(w**2, axis=0) / np.mean(w, axis=0) ** 2 - 1):5.1f} with {S} samples")

# %% [markdown] tags=["solution"]
# This is the silent failure of importance sampling in small. The sample that would tell you that $v$ is large is the
# one that you do not have.
#
# The other estimators fail in other ways. The mean of the logs is the ELBO, and stays below by the gap, for any $S$.
# The harmonic mean and the reconstruction are too high, by two to four nats on the easy model, and by fifteen and more
# on the other. The best of ten is too high where one estimate is nearly unbiased, and hides a bias where it is not; in
# either case nobody knows by how much.
#
# And the honest standard error? With `"weights"` it is too small by more than half of $\sqrt S$, as if each of an
# image's $S$ samples were an image of its own. With `"seeds"` it answers another question, namely how much the number
# would change on the *same* images. That is good to know, and should be small; but readers will compare models on the
# data, and the data are a sample.

# %% [markdown]
# ## {leapfrog}
#
# The lesson's ball, in a landscape of which you work out the slope. It has a position $z$ and a momentum $v$, and its
# energy is
#
# $$H(z, v) = -\log p(x, z) + \tfrac12 \|v\|^2, \qquad z \sim \mathcal N(0, I), \quad
# x \sim \mathcal N(zW + b, s^2 I).$$
#
# Write `steps` leapfrog steps of length $\delta$,
#
# $$v \leftarrow v + \tfrac\delta2 \nabla_z \log p(x, z), \qquad z \leftarrow z + \delta v, \qquad
# v \leftarrow v + \tfrac\delta2 \nabla_z \log p(x, z),$$
#
# and return the position and the momentum at the end, and the logarithm of the probability with which the proposal is
# accepted, $\log\min\big(1, e^{H - H'}\big)$ with the energies $H$ before and $H'$ after. The slope is a pencil's work;
# nothing needs to be differentiated by the backend.
#
# In the part *rejected* the steps are far too long, and the energy rises by thousands of nats. The probability is 0
# there, to float32, but its logarithm is an ordinary number.

# %% [markdown] tags=["solution"]
# **Solution.** $\log p(x, z) = -\frac12\|z\|^2 - \frac1{2s^2}\|x - b - zW\|^2 + \text{const}$, and its slope is
#
# $$\nabla_z \log p(x, z) = (x - b - zW)\,W^\top / s^2 - z.$$
#
# The two half kicks are not two halves of the same one: the first belongs to the place where the step begins, the
# second to the place where it ends. (In a row of steps the second half of one and the first half of the next are at the
# same place, and the lesson's code takes them together.) The acceptance needs no exponential at all:
# $\log\min(1, e^a) = \min(0, a)$.


# %% question="leapfrog"
def leapfrog(z, momentum, x, weights, bias, noise_scale, step_size, steps):
    """Walks along a path of constant energy, for z ~ N(0, I), x ~ N(z W + b, s² I).

    Args:
        z: tensor `[N, L]`, where the path begins.
        momentum: tensor `[N, L]`, v.
        x: tensor `[N, D]`.
        weights: tensor `[L, D]`, W.
        bias: tensor `[D]`, b.
        noise_scale: a number, s.
        step_size: a number, δ.
        steps: an int.

    Returns: three tensors: position `[N, L]` and momentum `[N, L]` at the end, and the logarithm
        of the probability of acceptance `[N]`, never above 0.
    """
    ### SOLUTION


# %% tags=["solution"]
rng = np.random.default_rng(0)
W, b = rng.normal(size=(2, 5)).astype("float32"), np.zeros(5, "float32")
x, z, v = (rng.normal(size=(1, n)).astype("float32") for n in (5, 2, 2))


def walk(z, v):
    return [ops.convert_to_numpy(end) for end in leapfrog(z, v, x, W, b, 0.5, 0.1, 20)]


there = walk(z, v)
back = walk(there[0], -there[1])
print(f"log acceptance {there[2][0]:.4f}")
print(f"there and back again: {np.abs(back[0] - z).max():.0e} from the start")

h, axes = 1e-2, np.eye(4, dtype="float32")  # z and v in one vector
ends = [np.hstack(walk(z + s * h * e[:2], v + s * h * e[2:])[:2])[0] for e in axes for s in (1, -1)]
slopes = (np.array(ends[::2]) - np.array(ends[1::2])) / (2 * h)
print(f"the volume changes by a factor of {np.linalg.det(slopes):.3f}")

# %% [markdown] tags=["solution"]
# Turn the momentum round, and the same number of steps leads back, to the last digits of float32. And a small block of
# positions and momenta keeps its volume, since each kick and each drift shifts one of the two by a function of the
# other. These two properties, not the small error of the energy, are what makes the simple rule of acceptance right. A
# whole kick in place of two halves keeps the volume and loses the way back; Euler's method loses both.

# %% [markdown]
# ## {ais_bracket}
#
# Annealed importance sampling takes the way from the prior to the posterior through
#
# $$f_t(z) = p(z)\,p(x|z)^{\beta_t}, \qquad 0 = \beta_0 < \beta_1 < \dots < \beta_T = 1.$$
#
# *Upwards:* a run draws $z_0$ from the prior. For $t = 1, 2, …, T$ it multiplies its weight $w$ by
# $f_t(z_{t-1})/f_{t-1}(z_{t-1})$, and then moves on to $z_t$ by a transition that leaves $f_t$ invariant, such as a
# proposal of Hamiltonian Monte Carlo. In the end $\mathbb E[w] = p(x)$.
#
# *Downwards:* if the model itself has made $x$, from a code that was kept, that code is an exact draw from the
# posterior. Call it $z'_T$. For $t = T, T - 1, …, 1$ the run multiplies $1/w$ by $f_{t-1}(z'_t)/f_t(z'_t)$, and moves
# on to $z'_{t-1}$ by a transition that leaves $f_{t-1}$ invariant. In the end $\mathbb E[1/w] = 1/p(x)$.
#
# Somebody has made $S$ runs each way for each of $N$ images, and has written down the log-likelihood at every place:
# `up[t]` is $\log p(x|z_t)$, and `down[t]` is $\log p(x|z'_t)$. Return the estimates of $\log p(x)$ from below,
# $\log\frac1S\sum_s w_s$, and from above, $-\log\frac1S\sum_s 1/w_s$. In the part *whole images* the log-likelihoods
# are those of images, down to $-3000$.

# %% [markdown] tags=["solution"]
# **Solution.** In the ratio of two neighbours at one place the prior cancels,
# $f_t(z)/f_{t-1}(z) = p(x|z)^{\beta_t - \beta_{t-1}}$, so that
#
# $$\log w = \sum_{t=1}^{T} (\beta_t - \beta_{t-1}) \log p(x|z_{t-1}) \;\text{ upwards}, \qquad
# \log w = \sum_{t=1}^{T} (\beta_t - \beta_{t-1}) \log p(x|z'_t) \;\text{ downwards}.$$
#
# A place is weighed where the temperature changes, before the run moves on. Upwards that is `up[:-1]`, downwards
# `down[1:]`. The last place of a run is never weighed.


# %% question="ais_bracket"
def ais_bracket(betas, up, down):
    """log p(x) from below and from above, by annealed importance sampling in both directions.

    Args:
        betas: tensor `[T + 1]`, β, from 0 to 1, rising.
        up: tensor `[T + 1, S, N]`, log p(x|z_t) in the runs upwards.
        down: tensor `[T + 1, S, N]`, log p(x|z'_t) in the runs downwards, which begin at `down[T]`.

    Returns: two tensors `[N]`, in nats: the estimate from below, and the one from above.
    """
    ### SOLUTION


# %% tags=["solution"]
rng, S, N, s = np.random.default_rng(3), 50, 10, 0.3
W, b = rng.normal(size=(3, 8)).astype("float32"), np.zeros(8, "float32")
codes = rng.normal(size=(N, 3))
images = codes @ W + s * rng.normal(size=(N, 8))
C = W.T @ W + s**2 * np.eye(8)
truth = -0.5 * (8 * LOG_2PI + np.linalg.slogdet(C)[1] + np.sum(images @ np.linalg.inv(C) * images, axis=1))
x = np.tile(images, (S, 1)).astype("float32")  # of all chains, [S · N, 8]


def log_likelihood(z):
    return -0.5 * np.sum(LOG_2PI + 2 * np.log(s) + ((x - z @ W) / s) ** 2, axis=1).reshape(S, N)


def move(z, beta):
    """Two proposals of question 4. p(x|z)^β is p(x|z) with the noise s/√β, but for a constant."""
    for _ in range(2):
        v, noise = rng.standard_normal(z.shape).astype("float32"), s / np.sqrt(max(beta, 1e-9))
        size = 0.9 / np.sqrt(1 + beta * np.linalg.norm(W, 2) ** 2 / s**2)  # as the narrowest direction allows
        end, _, log_accept = map(ops.convert_to_numpy, leapfrog(z, v, x, W, b, noise, size, 4))
        z = np.where(np.log(rng.random((len(z), 1))) < log_accept[:, None], end, z)
    return z


print(f"log p(x) is {truth.mean():.2f} in the mean of {N} images")
for T in (3, 10, 30):
    betas = np.linspace(0, 1, T + 1) ** 3  # slowly at first, where most changes
    ends = rng.standard_normal((S * N, 3)), np.tile(codes, (S, 1))  # of the prior, and of the posterior
    ways = []
    for z, path in zip(ends, (betas[1:], betas[-2::-1]), strict=True):
        ways.append([log_likelihood(z)])
        for beta in path:
            z = move(z.astype("float32"), beta)
            ways[-1].append(log_likelihood(z))
    below, above = ais_bracket(*map(np.float32, (betas, ways[0], ways[1][::-1])))
    print(f"T = {T:2d}: {float(ops.mean(below)):7.2f} from below, {float(ops.mean(above)):6.2f} from above")

# %% [markdown] tags=["solution"]
# The truth lies between the two, and more temperatures bring them together. Where they meet, nobody has to believe in
# an encoder, in the transitions or in a bound. That works for data that the model has made itself, and says how many
# temperatures to take for others.
#
# (All runs downwards for an image begin at the same code, since there is only one. That makes the estimate from above
# noisier; its direction stays.)

# %% [markdown]
# ## {wake_sleep}
#
# Before there were VAEs, encoder and decoder were trained by the wake–sleep algorithm, in two phases.
#
# *Awake*, there are data $x$. Draw $z$ from $q(z|x)$, take the pair for granted, and make $\log p(x, z)$ larger by the
# weights of the decoder.
#
# *Asleep*, there are dreams. Draw $z'$ from the prior and $x'$ from $p(x|z')$, take this pair for granted, and make
# $\log q(z'|x')$ larger by the weights of the encoder.
#
# Write both as losses, to be differentiated together. Neither may reach the other's weights, not even through a draw.
# The model is linear, $x \sim \mathcal N(zW + b, s^2 I)$ with the prior $\mathcal N(0, I)$, and so is the encoder,
# $q(z|x) = \mathcal N\big(xV, \mathrm{diag}\,e^\lambda\big)$, with the same $\lambda$ for all images. All noise is
# given.
#
# `ops.stop_gradient(a)` has the value of `a`, and counts as a constant where gradients are taken.

# %% [markdown] tags=["solution"]
# **Solution.** The values are densities from exercise 02. What is new are the two calls of `stop_gradient`, one around
# each draw. Without the first, the decoder's reward would pull at the encoder as well: at its mean, and at its
# deviation, with no $-\log q$ that would pay for width. Without the second the decoder would be rewarded for dreams
# that are easy to encode.


# %% question="wake_sleep"
def wake_sleep(x, weights, bias, noise_scale, encoder, log_variance, noise, dream_z, dream_noise):
    """The two losses of wake–sleep, means over the images, in nats.

    Args:
        x: tensor `[N, D]`, data.
        weights: tensor `[L, D]`, W, of the decoder.
        bias: tensor `[D]`, b, of the decoder.
        noise_scale: a number, s.
        encoder: tensor `[D, L]`, V, of the encoder.
        log_variance: tensor `[L]`, λ, of the encoder.
        noise: tensor `[N, L]`, standard normal, for z ~ q(z|x).
        dream_z: tensor `[N, L]`, z', drawn from the prior.
        dream_noise: tensor `[N, D]`, standard normal, for x' ~ p(x|z').

    Returns: two tensors of shape `()`: minus the mean of log p(x, z), whose gradient reaches the
        decoder alone, and minus the mean of log q(z'|x'), whose gradient reaches the encoder alone.
    """
    ### SOLUTION


# %% [markdown] tags=["solution"]
# Each phase is sound: awake, the decoder learns from the data; asleep, the encoder learns from pairs for which it can
# be told the right code, which no data set has. But the encoder learns it for *dreams*. As long as these do not look
# like the data, what it learns is of little use for the data, and the two phases do not climb one common bound. Asleep,
# $\mathrm{KL}(p(z|x)\,\|\,q)$ falls, the other way round from the ELBO's. An encoder trained that way would rather
# be too wide than leave something out. That is what a ruler needs (question 3), for images that look like its dreams.
#
# In `vaekit` this is `vk.objectives.WakeSleep()`; and `ReweightedWakeSleep` has importance weights instead of dreams.

# %% [markdown]
# ## {mended_report}
#
# "We report the log-likelihood of the test images, in nats." Below is the function behind this sentence. The model has
# Bernoulli pixels, and a decoder of one matrix. An importance sampler draws $z$ a little wider than the encoder says,
# by a factor of 1.2 in $\sigma$, since encoders are mostly too narrow. Grey test images are to be made black and white,
# by uniform noise; there are $R$ runs of $S$ samples, and reported is to be the mean over the runs.
#
# It runs, and its number looks good. There are five errors in it. Each has been in somebody's paper, or in the code
# behind it.


# %%
def broken_report(x, uniform, mean, log_variance, noise, weights, bias):
    """The mean log-likelihood of black and white images, as it is meant to be."""
    ### BROKEN mended_report


# %% [markdown]
# Mend it. Each error is a part of its own, and the check says which are left. What you mend counts, one by one, as long
# as the other lines stay as they are: copy them into your answer, and change as few as you can.

# %% [markdown] tags=["solution"]
# **Solution.** Ask of each line which probability, or which mean, it is.
#
# 1. *Grey pixels.* $x \log y + (1 - x)\log(1 - y)$ with a grey $x$ is the log-probability of nothing: over all grey
#    values it does not add up to 1. It is compared with those of black and white images all the same.
# 2. *Wide draws, narrow density.* The mean of $p(x, z)/q(z|x)$ is $p(x)$ only if $z$ was drawn from this $q$. Widen the
#    variance once, before both.
# 3. *Mean of logs*: the ELBO, reported as a likelihood. A lower bound at least.
# 4. *Mean of the means of unequal batches.* Two images of the last batch count as much as four of the first. Keras'
#    metrics weigh batches by their size; own loops often do not.
# 5. *The best run.* Neither a bound nor an estimate. The more runs, the better the model.


# %% question="mended_report"
def mended_report(x, uniform, mean, log_variance, noise, weights, bias):
    """The mean log-likelihood of black and white images, by importance sampling, the mean of some runs.

    Args:
        x: tensor `[N, D]`, grey images; a pixel is white with this probability.
        uniform: tensor `[N, D]`, uniform between 0 and 1: a pixel is white where this is less than x.
        mean, log_variance: tensors `[N, L]`, what the encoder says.
        noise: tensor `[R, S, N, L]`, standard normal: S samples in each of R runs.
        weights: tensor `[L, D]`, of the decoder.
        bias: tensor `[D]`, of the decoder.

    Returns: tensor of shape `()`, in nats.
    """
    ### SOLUTION


# %% [markdown] tags=["solution"]
# Which way does each error point? The first has no direction: it is a number of another kind. The second may go either
# way: with a wrong density the "estimate" can exceed the truth, and more samples do not help. The third is too low; the
# fifth is above the mean of the runs, and whether above the truth, nobody knows. The fourth is noise, unless the test
# set is sorted: where the last batch holds the nines, they count double.
#
# None of them is seen in a loss curve. The second and third are found on a model whose truth is known, as in the
# lesson; the first by asking whether $x$ is 0 or 1 everywhere; the fourth by giving the images in another order; the
# fifth by asking how many runs there were.

# %% [markdown]
# ## {fit_posterior}
#
# A colleague sends you a decoder: the one of the paper, trained on MNIST, with 20 latents. The file with the encoder is
# damaged. How good is the decoder on 60 test images? Without $q(z|x)$ there are no weights; and from the prior hardly
# any draw in a million looks like *this* image.
#
# An encoder is a convenience, though. What importance sampling needs is one good $q$ for each image, and 60 of them can
# be fitted directly, $\mu$ and $\log\sigma^2$ of each by steps up the bound, as in "Two latents" of lesson 02. Write a
# function that does it. The decoder, as in exercise 02, has one tanh layer and Bernoulli pixels:
#
# $$a = \tanh(z\,W_1 + b_1)\,W_2 + b_2, \qquad x \sim \mathrm{Bernoulli}(\mathrm{sigmoid}(a)).$$
#
# **How it is judged.** With noise of its own the check computes $\log\frac1{50}\sum_s w_s$ from your $q$, the mean over
# the images. The lost encoder has been found meanwhile, and does the same. A quarter of the points each is for coming
# within 10 nats of it, within 2, for being better by 0.2 nats, and by 0.6. It takes some ten seconds of a laptop's CPU;
# you have three minutes. (The check has the same images each time; whoever grades draws others.) Why not judge by the
# effective sample size? You know from the lesson how a $q$ gets a perfect one.

# %% [markdown] tags=["solution"]
# **Solution.** Two variables of the shape $[N, L]$, and minus the ELBO with the closed form of the KL divergence. It is
# summed over the images, so that the gradient of each image is what it would be alone. (With the mean, Adam would do
# nearly the same: it divides each gradient by its own size.) The step size goes from 0.1 to 0, since fresh noise in
# each step would keep a constant one jumping about.


# %% question="fit_posterior"
def fit_posterior(images, hidden_weights, hidden_bias, output_weights, output_bias, seed):
    """Fits q(z|x) = N(μ, diag σ²) to each image, for a decoder that is given.

    Args:
        images: tensor `[N, 784]` of 0 and 1.
        hidden_weights: tensor `[L, H]`, W₁.
        hidden_bias: tensor `[H]`, b₁.
        output_weights: tensor `[H, 784]`, W₂.
        output_bias: tensor `[784]`, b₂.
        seed: int, for whatever is drawn at random.

    Returns: two tensors `[N, L]`: μ and log σ².
    """
    ### BEGIN SOLUTION
    steps, rng = 200, np.random.default_rng(seed)
    shape = images.shape[0], hidden_weights.shape[0]  # [N, L]

    def loss(mean, log_variance, noise):
        z = mean + ops.exp(log_variance / 2) * noise
        logits = ops.matmul(ops.tanh(ops.matmul(z, hidden_weights) + hidden_bias), output_weights) + output_bias
        kl = 0.5 * ops.sum(mean**2 + ops.exp(log_variance) - 1 - log_variance)
        return kl - ops.sum(images * logits - ops.softplus(logits))  # of all images together

    gradient = vk.backend.compile(lambda *arrays: value_and_gradient(loss, *arrays)[1][:2])
    mean, log_variance = keras.Variable(ops.zeros(shape)), keras.Variable(ops.full(shape, -2.0))
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.1, steps))
    for _ in range(steps):
        noise = rng.standard_normal(shape).astype("float32")
        optimizer.apply(gradient(mean.value, log_variance.value, noise), [mean, log_variance])
    return mean.value, log_variance.value
    ### END SOLUTION


# %% [markdown] tags=["solution"]
# One nat better than the encoder that was trained together with this decoder, from as many samples: that is what
# *amortization* costs, one network for all images in place of two hundred steps for each. An estimate from 50 of the
# encoder's samples is too low by that at least, and the decoder gets the blame. So where two papers compare models by
# importance sampling, they compare encoders as well.
#
# Still more can be had. The bound prefers a narrow $q$: draws 1.2 times as wide as the fit says gain another tenth of a
# nat. The bound $\mathcal L_k$ of lesson 04, in place of the ELBO, finds that out by itself.

# %% [markdown]
# ## That was exercise 03
#
# You have measured likelihoods from below and from above, said beforehand how wrong they will be, and seen how they are
# made to look better than they are. `vaekit progress` in a terminal shows what you have done so far.
#
# Something was unclear? Go back to [lesson 03](../../lessons/03_measuring_likelihood.ipynb). From there it goes on to
# lesson 04: what happens if the estimate itself, with its $k$ samples, is what one trains for.
