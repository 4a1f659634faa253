# %% [markdown]
# # 01 · The reparameterization trick
#
# A variational autoencoder has dice in the middle: the encoder says *where* the code of an image probably lies, and
# then the code is drawn at random. Training needs the gradient of the loss with respect to the encoder, that is,
# straight through the dice. This lesson is about the one idea that makes this possible.
#
# **After it, you will be able to**
#
# - write the gradient of an expectation $\nabla_\varphi\, \mathbb E_{q_\varphi(z)}[f(z)]$ as an expectation, in two
#   ways, and say what each demands of $f$ and of $q_\varphi$;
# - predict, and measure, which of the two is noisier, and by how much;
# - send a gradient through the dice of an encoder, in three lines or by a layer;
# - recognize the cases in which the trick fails without a word, and say what to do instead.
#
# **You need** Python, NumPy, expectations and variances, and what a gradient is. Two Keras layers turn up; they are
# explained.
#
# **It takes** about {minutes} minutes with a pencil in your hand. A second reading, about {second} minutes on another
# day, is for questions 2, 3, 4 and 8 of the exercise. The computer needs half a minute, and no GPU.
#
# Code that only sets something up or draws a picture is folded away, like the cell below. You can open it; you need
# not, unless vaekit is still missing, as on a hosted notebook service: then take the # off its first line.

# %% tags=["hide-input"]
# # %pip install "vaekit[course]"
import vaekit as vk  # first: it keeps the backend's start-up messages out of the notebook
from vaekit.backend import tfd, value_and_gradient
from vaekit.course.quiz import Quiz
from vaekit.course.show import explore

quiz = Quiz("01")

import ipywidgets
import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import ops

# One colour for each, all lesson long. What is neither is grey, or one of the images' own colours.
PATHWISE, SCORE, BASELINE, EXACT = "#0072B2", "#D55E00", "#009E73", "black"
COLOURS = {"score function": SCORE, "with baseline": BASELINE, "pathwise": PATHWISE}
IMAGES = ("#832db6", "#a96b59", "#b9ac70")
plt.rcParams.update({"figure.dpi": 90, "figure.constrained_layout.use": True, "axes.spines.top": False})
plt.rcParams.update({"axes.spines.right": False, "legend.frameon": False, "axes.titlesize": "medium"})

# %% [markdown]
# ## Darts on a line
#
# You throw darts at the origin of a line. You aim at $\mu$, your hand shakes by $\sigma$, and the dart lands at
# $z \sim q_\varphi(z) = \mathcal N(\mu, \sigma^2)$, where $\varphi = (\mu, \sigma)$ is all you control. Landing at $z$
# costs you $f(z) = z^2$. What you want to lower is the *expected* cost,
#
# $$L(\varphi) = \mathbb E_{q_\varphi(z)}[f(z)] = \mu^2 + \sigma^2,
# \qquad \frac{\partial L}{\partial\mu} = 2\mu, \qquad \frac{\partial L}{\partial\sigma} = 2\sigma.$$
#
# This game is so simple that we know the answer. That is its use: whatever method we invent has to reproduce it.

# %% tags=["nbval-check-output"]
mu, sigma = 1.5, 0.8


def f(z):
    return z**2


exact = np.array([2 * mu, 2 * sigma])  # ∂L/∂μ, ∂L/∂σ
print(f"L = {mu**2 + sigma**2:.2f},  ∂L/∂μ = {exact[0]:.2f},  ∂L/∂σ = {exact[1]:.2f}")

# %% [markdown]
# Both are positive: aim lower, shake less. Now pretend that the integral cannot be solved, as it cannot when $f$ is a
# neural network. You can still throw darts, average their costs, and let the computer differentiate.
#
# TensorFlow and JAX do that in different ways, so vaekit has one function for both:
# `value_and_gradient(function, x)` returns the function's value at `x`, and a tuple of gradients, one for each
# argument. The function itself is written with Keras's `ops`, which are NumPy's functions (`ops.mean`, `ops.exp`, …) in
# a form that both can differentiate. Hand them numbers in `float32`, the type that networks compute in.

# %%
quiz.ask("blind")

# %% tags=["nbval-check-output"]
rng = np.random.default_rng(1)
darts = rng.normal(mu, sigma, size=100_000).astype("float32")


def mean_cost(mu):
    return ops.mean(f(darts))


value, gradients = value_and_gradient(mean_cost, np.float32(mu))
print(f"mean cost {float(value):.1f}")
print(f"gradient with respect to μ: {float(gradients[0])}")

# %%
quiz.discuss("blind")

# %% [markdown]
# The cost is right and the gradient is zero. Look at `mean_cost`: its argument does not occur in its body. TensorFlow
# would call this gradient `None`, JAX calls it 0; both are right, and useless to us. The parameter $\mu$ stands in the
# *distribution* that we average over, and a sum over darts already thrown has forgotten its distribution.

# %% [markdown]
# ## Two honest ways
#
# Write the expectation as an integral, $L(\varphi) = \int q_\varphi(z)\, f(z)\, \mathrm dz$. The parameter can be
# kept in one of two places: in the weights of the darts, or in the places where they land.
#
# ### Leave the darts where they are and change their weight
#
# In the integral only the density depends on $\varphi$, so $\nabla_\varphi L = \int \nabla_\varphi q_\varphi(z)\,
# f(z)\, \mathrm dz$. (We have moved $\nabla$ inside an integral. For smooth densities that is fine, even where $f$
# jumps. The same step for the path, below, is not always allowed; you will meet a case.) But this is no expectation any
# more: there is no density left to draw darts from. The chain rule for the logarithm brings one back:
#
# $$\nabla_\varphi \log q_\varphi = \frac{\nabla_\varphi q_\varphi}{q_\varphi}
# \qquad\text{and therefore}\qquad
# \nabla_\varphi q_\varphi = q_\varphi\, \nabla_\varphi \log q_\varphi.$$
#
# Put this in, and darts can estimate the gradient:
#
# $$\nabla_\varphi L = \int q_\varphi(z)\, \nabla_\varphi \log q_\varphi(z)\, f(z)\, \mathrm dz
# = \mathbb E_{q_\varphi(z)}\big[f(z)\, \nabla_\varphi \log q_\varphi(z)\big].$$
#
# $\nabla_\varphi \log q_\varphi$ is called the *score*, and this the **score-function** estimator. Reinforcement
# learning knows it as REINFORCE. For our darts, with $\varepsilon = (z - \mu)/\sigma$ as a short name for the
# standardized dart,
#
# $$\begin{aligned}
# \log q_\varphi(z) &= -\frac{(z-\mu)^2}{2\sigma^2} - \log\sigma - \tfrac12\log 2\pi, \\
# \frac{\partial \log q_\varphi}{\partial\mu} &= \frac{z-\mu}{\sigma^2} = \frac{\varepsilon}{\sigma}, \\
# \frac{\partial \log q_\varphi}{\partial\sigma} &= \frac{(z-\mu)^2}{\sigma^3} - \frac1\sigma
# = \frac{\varepsilon^2 - 1}{\sigma}.
# \end{aligned}$$
#
# Both scores have mean zero, since $\mathbb E\,\varepsilon = 0$ and $\mathbb E\,\varepsilon^2 = 1$. That is no accident
# of Gaussians. For every density that is smooth in $\varphi$
#
# $$\mathbb E_{q_\varphi}\big[\nabla_\varphi \log q_\varphi(z)\big]
# = \int q_\varphi\, \frac{\nabla_\varphi q_\varphi}{q_\varphi}\, \mathrm dz
# = \nabla_\varphi \int q_\varphi\, \mathrm dz = \nabla_\varphi 1 = 0.$$
#
# We shall use this in a moment.
#
# ### Leave the weights as they are and move the darts
#
# Say how a dart comes about: a tremor $\varepsilon \sim \mathcal N(0, 1)$ that does not depend on you, and your
# parameters, $z = g_\varphi(\varepsilon) = \mu + \sigma\varepsilon$. Now the distribution that we average over is free
# of $\varphi$, so the gradient may move inside, where there is a function that can be differentiated:
#
# $$\nabla_\varphi L = \nabla_\varphi\, \mathbb E_{\varepsilon}\big[f(g_\varphi(\varepsilon))\big]
# = \mathbb E_{\varepsilon}\big[f'(z)\; \nabla_\varphi\, g_\varphi(\varepsilon)\big],$$
#
# where $\nabla_\varphi\, g_\varphi$ has the two entries $\partial z/\partial\mu = 1$ and $\partial z/\partial\sigma =
# \varepsilon$. This is the **pathwise** estimator: each dart is followed along its path as you move your aim. Writing
# $z$ as a function of parameters and parameter-free noise is the **reparameterization trick**.

# %% tags=["hide-input"]
z = mu + sigma * np.linspace(-1.8, 1.8, 9)
line = np.linspace(-0.6, 3.4, 200)
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True)
for axis in (left, right):
    axis.plot(line, f(line), color="0.7", zorder=0)
    axis.fill_between(line, 2.5 * np.exp(-(((line - mu) / sigma) ** 2) / 2), color="0.9", zorder=-1)
    axis.axvline(mu, color="0.5", linestyle=":", linewidth=1)
    axis.set(xlabel="where the dart lands, z", ylim=(-0.6, 11))
score = (z - mu) / sigma**2
for sign, colour, label in ((1, SCORE, "counts more"), (-1, "0.45", "counts less")):
    chosen = sign * score > 0
    size = 70 * np.abs(score[chosen])
    left.scatter(z[chosen], f(z[chosen]), s=size, color=colour, label=label, alpha=0.85)
left.set(ylabel="cost f(z) = z²", title="score function: darts stay, their weights change")
left.legend(title="as μ grows, this dart", loc="upper left")
right.scatter(z, f(z), s=22, color=PATHWISE)
for point in z:
    right.annotate("", (point + 0.3, f(point) + 0.3 * 2 * point), (point, f(point)),
                   arrowprops={"arrowstyle": "->", "color": PATHWISE, "linewidth": 1.6})  # fmt: skip
right.set_title("pathwise: weights stay, darts move along the slope")
plt.show()
assert (2 * z > 0).sum() == 9

# %% [markdown]
# Nine darts, drawn on the cost curve; the grey hill is $q_\varphi$ and the dotted line your aim $\mu$. On the left,
# aiming further right makes darts beyond $\mu$ more frequent and darts before it rarer (the size of a dot says by how
# much; the one in the middle, at $\mu$, counts as before, and has no dot). The gradient is the difference between the
# two groups' costs, each dart counted by its size. On the right, every dart moves by the same step, and each reports
# its own change of cost, $2z$. Here all nine agree on the direction: uphill is to the right. On the left no single dart
# knows the direction; only the comparison does. Keep this picture in mind: the noise of both estimators follows from
# it.
#
# In code each estimator is one line.

# %% tags=["nbval-check-output"]
rng = np.random.default_rng(2)
epsilon = rng.standard_normal(100_000)
z = mu + sigma * epsilon

score = np.stack([epsilon, epsilon**2 - 1]) / sigma  # of μ and of σ, [2, n]
path = np.stack([np.ones_like(epsilon), epsilon])  # ∂z/∂μ and ∂z/∂σ, [2, n]
by_score = f(z) * score
by_path = 2 * z * path  # f'(z) ∇g

for name, samples in (("score function", by_score), ("pathwise", by_path)):
    print(f"{name:15s} {samples[0].mean():.1f} {samples[1].mean():.1f}")
print(f"{'exact':15s} {exact[0]:.1f} {exact[1]:.1f}")

# %% [markdown]
# Both find $2\mu$ and $2\sigma$ to the digits shown, from the same hundred thousand darts. Both are *unbiased*: right
# on average.

# %% [markdown]
# ## How noisy?
#
# In training you do not throw a hundred thousand darts. The VAE paper throws *one* per image. So what matters is how
# far a single dart's gradient strays.

# %%
quiz.ask("spread")

# %% [markdown]
# Before you look, a word on the sign ±, which all lessons use. The mean of $n$ independent numbers of variance $v$ has
# the variance $v/n$. Its root, $\sqrt{v/n}$, is the **standard error**: about as far as such a mean strays from the
# truth. Of many samples the mean is nearly normal: within *one* standard error lie two of three means, within *two* lie
# 19 of 20. One in 370 strays beyond *three*, and beyond *five*, one in two million. So a mean that is one or two errors
# off is no surprise, four should worry you, and five mean that something is wrong. The helper below stops the notebook
# at five.


# %%
def compare(name, samples, exact):
    """Prints the mean of samples ± its standard error; stops at five errors."""
    mean, error = samples.mean(), samples.std() / np.sqrt(len(samples))
    off = abs(mean - exact) / error
    print(f"{name:23s} {mean:7.4f} ± {error:.4f}", end="   ")
    print(f"exact {exact:7.4f}, {off:.1f} errors off")
    assert off < 5


# %% tags=["nbval-check-output"]
compare("∂L/∂μ, score function", by_score[0], exact[0])
compare("∂L/∂μ, pathwise", by_path[0], exact[0])
compare("∂L/∂σ, score function", by_score[1], exact[1])
compare("∂L/∂σ, pathwise", by_path[1], exact[1])
one_dart = [samples[0].var() for samples in (by_score, by_path)]
print(f"\nvariance of one dart's ∂L/∂μ: {one_dart[0]:.0f} and {one_dart[1]:.1f}")
assert 17 < one_dart[0] / one_dart[1] < 21

# %%
quiz.discuss("spread")

# %% [markdown]
# All four means lie within one standard error of the truth, which is nothing to be proud of and nothing to worry about.
# (That all four are too low is one accident, not four: they come from the same darts.) What differs is the errors
# themselves. The variances behind them can be worked out. Pathwise is a single term: $2z = 2\mu + 2\sigma\varepsilon$
# has the variance $4\sigma^2$. For the score function, expand $z^2$ first. Of the square that follows, only even powers
# of $\varepsilon$ have a mean other than zero: $\mathbb E\,\varepsilon^2 = 1$, $\mathbb E\,\varepsilon^4 = 3$, $\mathbb
# E\,\varepsilon^6 = 15$ (by parts, $\mathbb E\,\varepsilon^{n+1} = n\, \mathbb E\,\varepsilon^{n-1}$).
#
# $$\begin{aligned}
# z^2 \varepsilon &= \mu^2 \varepsilon + 2\mu\sigma\, \varepsilon^2 + \sigma^2 \varepsilon^3 \\
# \mathbb E\big[(z^2 \varepsilon)^2\big] &= \mu^4 \cdot 1 + (4\mu^2\sigma^2 + 2\mu^2\sigma^2) \cdot 3
# + \sigma^4 \cdot 15 \\
# \mathrm{Var}\Big[\frac{z^2\varepsilon}{\sigma}\Big] &= \frac{\mu^4 + 18\mu^2\sigma^2 + 15\sigma^4}{\sigma^2}
# - (2\mu)^2 = \frac{\mu^4}{\sigma^2} + 14\mu^2 + 15\sigma^2.
# \end{aligned}$$
#
# ### A baseline
#
# There is a well-known remedy for the score function's noise, and it rests on the score's mean of zero. Subtract a
# constant $b$, the **baseline**, from the cost. With $s$ for the score of $\mu$,
#
# $$\mathbb E[(f - b)\, s] = \mathbb E[f s] - b\, \mathbb E[s] = \mathbb E[f s],$$
#
# so the estimator stays unbiased, whatever $b$ is. What changes is the noise. We subtract $b \cdot s$: something whose
# mean we know, and which swings along with the noise. (That is called a *control variate*.) Which $b$ is best? In the
# variance only the mean square depends on $b$, and it is a parabola:
#
# $$\mathbb E[(f-b)^2 s^2] = \mathbb E[f^2 s^2] - 2b\, \mathbb E[f s^2] + b^2\, \mathbb E[s^2].$$
#
# Its slope, $-2\,\mathbb E[f s^2] + 2b\, \mathbb E[s^2]$, is zero at
#
# $$b^* = \frac{\mathbb E[f s^2]}{\mathbb E[s^2]},$$
#
# where it is lower by $b^{*2}\, \mathbb E[s^2]$ than at $b = 0$. For our darts $s = \varepsilon/\sigma$, so $b^* =
# \mathbb E[z^2\varepsilon^2] = \mu^2 + 3\sigma^2$. The gain is $(\mu^2 + 3\sigma^2)^2/\sigma^2$, and what remains of
# the variance is $8\mu^2 + 6\sigma^2$.

# %% tags=["nbval-check-output"]
best = mu**2 + 3 * sigma**2
variance = {
    "score function": mu**4 / sigma**2 + 14 * mu**2 + 15 * sigma**2,
    "with baseline": 8 * mu**2 + 6 * sigma**2,
    "pathwise": 4 * sigma**2,
}
for name, value in variance.items():
    print(f"{name:15s}{value:6.2f}, {value / variance['pathwise']:5.1f} × pathwise")

# %% tags=["hide-input"]
gradients = {
    "score function": f(z) * epsilon / sigma,
    "with baseline": (f(z) - best) * epsilon / sigma,
    "pathwise": 2 * z,
}
figure, axes = plt.subplots(1, 3, figsize=(9, 2.7), sharex=True)
wrong = {}
for axis, (name, samples) in zip(axes, gradients.items(), strict=True):
    assert abs(samples.mean() - exact[0]) < 5 * samples.std() / np.sqrt(len(samples))
    assert abs(samples.var() / variance[name] - 1) < 0.1  # measured and calculated variance
    axis.hist(samples, bins=np.arange(-20, 40.1, 0.5), density=True, color=COLOURS[name])
    axis.axvline(exact[0], color=EXACT, linewidth=1)
    wrong[name] = np.mean(samples < 0)
    axis.set(title=f"{name}\nvariance {samples.var():.1f}, wrong sign {wrong[name]:.0%}", yticks=[])
    axis.set_xlabel("one dart's estimate of ∂L/∂μ")
axes[0].annotate("exact: 3", (exact[0], axes[0].get_ylim()[1] * 0.8), (12, axes[0].get_ylim()[1] * 0.8),
                 arrowprops={"arrowstyle": "->"}, va="center")  # fmt: skip
plt.show()
assert abs(wrong["score function"] - 0.5) < 0.01 and abs(wrong["with baseline"] - 0.25) < 0.02
assert abs(wrong["pathwise"] - 0.03) < 0.005

# %% [markdown]
# Three histograms with the same mean, the black line, and with the variances that the formulas foretold. Of the
# pathwise gradients, three in a hundred have the wrong sign. Of the score function's, half: its sign is that of $z -
# \mu$, a toss of a coin, and only the long tail to the right makes up for it. (The spike near 0 is the darts left of
# your aim and right of the origin: they cost little, so their wrong answers are small.) The best baseline more than
# halves the variance, halves the number of wrong signs, and leaves more than eight times the pathwise variance.
# Besides, we had a formula for it. In practice one takes a running mean of $f$, or trains a small network to predict
# $f$. Read the formulas for a steady hand, too. As $\sigma \to 0$ the pathwise variance vanishes, since all darts
# report the same slope; the score function's grows without bound, and with the best baseline $8\mu^2$ remains. An
# encoder that is sure of its code is such a hand.

# %% [markdown]
# ## More dimensions
#
# A latent code has 20 or 50 coordinates, not one. Let all coordinates be independent, with the same $\mu$ and $\sigma$,
# and let the cost be $f(z) = \sum_{d=1}^D z_d^2$.

# %%
quiz.ask("dimension")

# %% tags=["nbval-check-output"]
dimensions = np.array([1, 3, 10, 30, 100, 300])
measured = {"score function": [], "with baseline": [], "pathwise": []}
rng = np.random.default_rng(3)
for D in dimensions:
    epsilon = rng.standard_normal((20_000, D))
    z = mu + sigma * epsilon  # [n, D]
    cost = (z**2).sum(axis=1)  # [n]
    score = epsilon[:, 0] / sigma  # of μ₁, [n]
    baseline = best + (D - 1) * (mu**2 + sigma**2)  # E[f s²] / E[s²]
    measured["score function"].append((cost * score).var())
    measured["with baseline"].append(((cost - baseline) * score).var())
    measured["pathwise"].append((2 * z[:, 0]).var())
for name, values in measured.items():
    print(f"{name:15s} D = 1: {values[0]:4.1f}   D = 100: {values[4]:10,.1f}")

# %%
quiz.discuss("dimension")

# %% [markdown]
# Why $D^2$ and $D$? Split the cost into $z_1^2 + R$. The rest $R$, the other $D - 1$ terms, is independent of the score
# $s$ of $\mu_1$. It has a mean $m = (D-1)(\mu^2 + \sigma^2)$ and a variance $v = (D-1)(4\mu^2\sigma^2 + 2\sigma^4)$ (in
# $z_d^2 = \mu^2 + 2\mu\sigma\varepsilon + \sigma^2\varepsilon^2$, $\varepsilon$ and $\varepsilon^2$ are uncorrelated,
# and $\varepsilon^2$ has the variance $3 - 1$). To the mean square of $(z_1^2 + R)\, s$ it adds
#
# $$\begin{aligned}
# \mathbb E\big[(z_1^2 + R)^2 s^2\big] - \mathbb E\big[z_1^4 s^2\big]
# &= 2m\, \mathbb E[z_1^2 s^2] + (m^2 + v)\, \mathbb E[s^2] \\
# &= (2 m\, b^* + m^2 + v) / \sigma^2,
# \end{aligned}$$
#
# and $m^2$ grows like $D^2$. A baseline of $b^* + m$ takes off all that comes from the mean $m$; $v/\sigma^2$ stays,
# and grows like $D$. The pathwise gradient of $\mu_1$ never sees $R$.

# %% tags=["hide-input"]
m, v = (dimensions - 1) * (mu**2 + sigma**2), (dimensions - 1) * (4 * mu**2 * sigma**2 + 2 * sigma**4)
calculated = {
    "score function": variance["score function"] + (m**2 + v + 2 * m * best) / sigma**2,
    "with baseline": variance["with baseline"] + v / sigma**2,
    "pathwise": np.full(len(dimensions), variance["pathwise"]),
}
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6))
counts = np.array([1, 10, 100, 1000])
totals = (mu + sigma * rng.standard_normal((20_000, 100))).sum(axis=1)  # f(z) = (Σ z_d)², D = 100
assert abs((2 * totals).var() / (4 * sigma**2 * 100) - 1) < 0.05
for name, values in measured.items():
    np.testing.assert_allclose(values, calculated[name], rtol=0.12)
    left.loglog(dimensions, calculated[name], color=COLOURS[name], label=name)
    left.loglog(dimensions, values, "o", color=COLOURS[name])
    right.loglog(counts, np.sqrt(calculated[name][dimensions == 100] / counts), color=COLOURS[name])
left.set(xlabel="dimension D", ylabel="variance of ∂L/∂μ₁")
left.set_title("one sample: lines calculated, dots measured")
left.legend()
right.axhline(exact[0], color=EXACT, linewidth=1, linestyle="--")
right.text(1, exact[0] * 1.2, "the gradient itself")
right.set(xlabel="samples averaged, S", ylabel="standard error of ∂L/∂μ₁")
right.set_title("more samples, at D = 100")
plt.show()

# %% [markdown]
# On the left, measured variances lie on the calculated lines. From about $D = 10$ on these grow like $D^2$, like $D$,
# and not at all. On the right all errors fall as $1/\sqrt S$; no estimator is saved by a better rate, they start at
# different heights. A factor in variance is therefore a factor in samples. How many score-function samples are worth
# one pathwise sample?

# %% tags=["nbval-check-output"]
for D in (1, 100):
    for name in ("score function", "with baseline"):
        worth = (np.array(calculated[name]) / calculated["pathwise"])[dimensions == D]
        print(f"D = {D:3d}, {name}: {worth[0]:6.0f} samples for one pathwise sample")

# %% [markdown]
# Fifty thousand in a hundred dimensions, and four hundred with the best constant baseline. (Who knows that the cost is
# a sum can leave out the terms without $z_1$, whose mean with the score is zero, and is back at $D = 1$. A network's
# cost cannot be split like that. The flat line belongs to costs that are a *sum* over coordinates. For $f(z) = (\sum_d
# z_d)^2$ the pathwise gradient $2\sum_d z_d$ has a variance of $4\sigma^2 D$. But its mean is $2\mu D$, so that it is
# surer of its direction, the more dimensions there are.)
#
# What does all this do to training? Take $D = 50$, and gradient descent on all aims $\mu_d$, with a single sample a
# step and the same step size for all three. The baseline is now a running mean of the costs so far, which starts at the
# true expected cost.


# %%
def descend(kind, D=50, steps=400, rate=0.005, seed=4):
    """Mean squared aim after each step; ends where it runs away."""
    rng = np.random.default_rng(seed)
    aims, baseline, course = np.full(D, mu), D * (mu**2 + sigma**2), []
    while len(course) < steps and (not course or course[-1] < 100):
        epsilon = rng.standard_normal(D)
        z = aims + sigma * epsilon
        cost = f(z).sum()
        weight = cost - (baseline if kind == "with baseline" else 0)
        gradient = 2 * z if kind == "pathwise" else weight * epsilon / sigma
        baseline = 0.9 * baseline + 0.1 * cost
        aims = aims - rate * gradient
        course.append(np.mean(aims**2))
    return course


# %% tags=["hide-input"]
figure, axis = plt.subplots(figsize=(8, 3.2))
courses = {}
for kind, colour in COLOURS.items():
    courses[kind] = descend(kind)
    axis.plot(courses[kind], color=colour, label=kind)
axis.set(xlabel="step", ylabel="mean of μ², all aims", yscale="log", ylim=(1e-3, 100))
axis.set_title("what variance costs")
axis.legend()
plt.show()
assert len(courses["score function"]) < 50 and (np.diff([mu**2, *courses["score function"][:5]]) > 0).all()
assert courses["with baseline"][-1] > 10 * courses["pathwise"][-1]

# %% [markdown]
# With pathwise gradients the aims glide towards zero. With a baseline they glide as fast *on average*, for both
# gradients are unbiased. But each step adds noise to each aim, and the mean of $\mu^2$ counts the scatter of the aims,
# too: so after some twenty steps the green curve is the higher one, and stays so. The noise of pathwise steps keeps the
# aims from zero, too, but much nearer to it. The plain score function runs away from the very first step, and no bad
# luck is needed. The cost is about $50\,(\mu^2 + \sigma^2) \approx 145$. Times a score of size $1/\sigma$ and the rate
# of 0.005, each aim jumps by about 0.9, in a direction that is nearly random. That makes the next cost larger, and the
# next jump too. A tenth of the step size only delays this; a fiftieth would hold it, and take fifty times as long.

# %% [markdown]
# ## Another cost
#
# All this was one smooth bowl. Now let the cost be a wave, $f(z) = \cos(kz)$, with the path $z = \mu +
# \sigma\varepsilon$ as before and $\mu = 1$, $\sigma = 0.8$.

# %%
quiz.ask("waves")

# %% tags=["nbval-check-output"]
epsilon = np.random.default_rng(6).standard_normal(100_000)
z = 1 + 0.8 * epsilon
print("        variance of ∂/∂μ")
print("   kσ   score  pathwise")
waves = {}
for k in (0.5, 1, 1.25, 2, 5, 10):
    by_score = np.cos(k * z) * epsilon / 0.8
    by_path = -k * np.sin(k * z)
    waves[k] = by_score.var(), by_path.var()
    print(f"{0.8 * k:5.1f}  {by_score.var():6.2f}  {by_path.var():8.2f}")

# %%
quiz.discuss("waves")


# %% tags=["hide-input"]
def compare_waves(k, sigma):
    """Both estimators of ∂/∂μ E[cos(kz)], z ~ N(1, σ²)."""
    epsilon = np.random.default_rng(5).standard_normal(20_000)
    z = 1 + sigma * epsilon
    samples = {"score function": np.cos(k * z) * epsilon / sigma, "pathwise": -k * np.sin(k * z)}
    exact = -k * np.sin(k) * np.exp(-((k * sigma) ** 2) / 2)

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3))
    line = np.linspace(-1.5, 3.5, 600)
    hill = np.exp(-(((line - 1) / sigma) ** 2) / 2)
    left.fill_between(line, hill, color="0.88", label="q(z), not to scale")
    left.plot(line, np.cos(k * line), color="0.3", linewidth=1, label=f"f(z) = cos({k:g} z)")
    left.set(xlabel="z", ylim=(-1.1, 1.9))
    left.legend(loc="upper left", ncols=2)
    reach = 2 * max(s.std() for s in samples.values())
    for name, s in samples.items():
        label = f"{name}, variance {s.var():.2f}"
        right.hist(s, bins=np.linspace(-reach, reach, 71), color=COLOURS[name], alpha=0.6, label=label)
    top = right.get_ylim()[1]
    right.vlines(exact, 0, top, color=EXACT, linewidth=1, label="exact")
    right.set(xlabel="one sample's estimate of the gradient", yticks=[], ylim=(0, top * 1.6))
    right.legend(loc="upper right", fontsize="small")
    return figure


assert waves[0.5][0] > 3 * waves[0.5][1] and waves[10][1] > 50 * waves[10][0]
assert abs(waves[10][1] / waves[5][1] - 4) < 0.4 and abs(waves[10][0] / waves[5][0] - 1) < 0.1
assert waves[1][0] > waves[1][1] and waves[2][0] < waves[2][1] and abs(waves[1.25][1] / waves[1.25][0] - 1) < 0.5
lazily = {"continuous_update": False}  # draw when the slider is let go
explore(
    compare_waves,
    k=ipywidgets.FloatSlider(10, min=0.5, max=15, step=0.5, description="k", **lazily),
    sigma=ipywidgets.FloatSlider(0.8, min=0.1, max=1.5, step=0.1, description="σ", **lazily),
)

# %% [markdown]
# At $k = 10$ the blue histogram is far wider than the orange one; read down the table, and the two change places near
# $k\sigma = 1$, where a wave is about as long as $q_\varphi$ is wide. (Move the sliders if the notebook is running.)
# The rule is about smoothness. **Pathwise is the better one where $f$ is smooth on the scale of $q_\varphi$**: where
# the slope at one dart says something about the slope at the next. A VAE's cost is made of log-probabilities by a
# decoder network. Mostly it is smooth in this sense, and pathwise gradients do work there. A cost full of cliffs and
# ripples is not.

# %% [markdown]
# ## The encoder of a VAE
#
# In a VAE there is not one distribution but one for each image $x$. A network, the encoder, computes two vectors
# $\mu(x)$ and $\sigma(x)$, a number each for every coordinate of the code, and $q_\varphi(z|x) = \mathcal N\big(\mu(x),
# \mathrm{diag}\,\sigma^2(x)\big)$: the coordinates of $z$ are independent Gaussians. All weights of the network are in
# $\varphi$. The path is the one of the darts, coordinate by coordinate (that is what $\odot$ means),
#
# $$z = \mu(x) + \sigma(x) \odot \varepsilon, \qquad \varepsilon \sim \mathcal N(0, I).$$
#
# A standard deviation has to be positive, and a network's output can be any number. So the network computes
# $\log\sigma^2$, and $\sigma = e^{\frac12 \log\sigma^2}$. vaekit has all this as a layer, `DiagonalNormal`. It turns
# features, which are whatever the layers before it have computed, into a distribution, an object of TensorFlow
# Probability (TFP), which can `sample` and knows its `mean` and `stddev`.

# %%
random_weights = keras.initializers.RandomNormal(stddev=0.6, seed=16)
layer = vk.layers.DiagonalNormal(2, kernel_initializer=random_weights)
x = np.random.default_rng(170).standard_normal((3, 5)).astype("float32")
q = layer(x)
print(q.batch_shape[0], "images,", q.event_shape[0], "coordinates each")
print("mean of image 1:", ops.convert_to_numpy(q.mean())[0].round(2))
print("stddev of image 1:", ops.convert_to_numpy(q.stddev())[0].round(2))

# %% [markdown]
# Three "images" of five numbers, three distributions over two coordinates; the last two lines say where the cloud of
# the first lies, and how wide it is. Now do by hand what the layer does, and compare the gradients with respect to its
# *weights*, through the dice. The layer has two heads, affine maps from $x$ to $\mu$ and to $\log\sigma^2$, with a
# matrix and a bias each. We draw once from the layer, work out which $\varepsilon$ it must have used, and feed the same
# to our own lines. A seed makes both draws alike. `variables_gradient` is `value_and_gradient` for a layer's weights.


# %%
def cost_of(z):
    return ops.sum(ops.square(z) + ops.cos(3 * z))  # some smooth cost


def with_vaekit():
    return cost_of(layer(x).sample(seed=vk.backend.seed(18)))


z = q.sample(seed=vk.backend.seed(18))
epsilon = ops.convert_to_numpy((z - q.mean()) / q.stddev())


def by_hand():
    mean = layer.heads["mean"](x)
    log_variance = layer.heads["log_variance"](x)
    return cost_of(mean + ops.exp(log_variance / 2) * epsilon)  # z = μ + σ ⊙ ε


# %% tags=["nbval-check-output"]
weights = layer.trainable_variables
_, ours = vk.backend.variables_gradient(by_hand, weights)
_, theirs = vk.backend.variables_gradient(with_vaekit, weights)
for weight, a, b in zip(weights, ours, theirs, strict=True):
    a, b = ops.convert_to_numpy(a), ops.convert_to_numpy(b)
    same, some = np.allclose(a, b, rtol=1e-4, atol=1e-4), bool(np.abs(a).max() > 0)
    name = weight.path.split("/", 1)[-1]
    print(f"{name:20s} same: {same}, not just zero: {some}")

# %% [markdown]
# Equal for the matrices (kernels) and biases of both heads, and none of them zero: the gradient has passed through the
# sampling. There is no magic in the layer. It is the line `mean + exp(log_variance / 2) * epsilon`.

# %% tags=["hide-input"]
epsilon = np.random.default_rng(19).standard_normal((250, 2))
means, scales = ops.convert_to_numpy(q.mean()), ops.convert_to_numpy(q.stddev())
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4))
left.scatter(*epsilon.T, s=6, color="0.6")
epsilon[:4] = [(1.3, 1.3), (-1.3, 1.3), (-1.3, -1.3), (1.3, -1.3)]  # chosen by hand, to be found again
star = {"marker": "*", "markeredgecolor": EXACT, "markersize": 12, "linestyle": ""}
for j in range(4):
    left.plot(*epsilon[j], color="0.6", **star)
    left.annotate(j + 1, epsilon[j], xytext=(5, 4), textcoords="offset points")
left.set(title="noise ε, the same for all", xlabel="ε₁", ylabel="ε₂", aspect="equal")
for i, (colour, marker) in enumerate(zip(IMAGES, "os^", strict=True)):
    z = means[i] + scales[i] * epsilon  # [250, 2]
    right.scatter(*z.T, s=8, marker=marker, color=colour, alpha=0.5, label=f"q(z|x), image {i + 1}")
    right.plot(*z[:4].T, color=colour, **star)
    for j in range(4):
        right.annotate(j + 1, z[j], xytext=(5, 4), textcoords="offset points")
right.set(title="z = μ(x) + σ(x) ⊙ ε", xlabel="z₁", ylabel="z₂", aspect="equal")
right.legend(markerscale=2)
plt.show()

# %% [markdown]
# One cloud of noise, shifted and stretched in three ways; the stars are the same four $\varepsilon$ everywhere, by
# their numbers. When training changes the encoder, clouds move and stretch, and each $z$ moves with its cloud. That
# motion is what the gradient follows. All that is left to do for a VAE is to choose the cost, and that is the next
# lesson.
#
# ### One sample, or many?
#
# Each image has its own cloud, and you may draw from it as often as you like. Say that you can afford 100 draws for a
# step of training: $B$ images in a batch, and $S$ draws for each.

# %%
quiz.ask("budget")

# %% [markdown]
# Try it with a small encoder. An image is one number $x \sim \mathcal N(0, 1)$, its code $z = wx + \sigma\varepsilon$
# with a single weight $w = 0$ to begin with, and the cost is $f = (z - x)^2$: the code should tell what the image was.
# So $\partial f/\partial w = 2 (z - x)\, x$.

# %% tags=["nbval-check-output"]
rng = np.random.default_rng(23)
steps, w = 20_000, 0.0
for B, S in ((100, 1), (10, 10), (1, 100)):
    image = rng.standard_normal((steps, B, 1))
    z = w * image + sigma * rng.standard_normal((steps, B, S))
    gradient = (2 * (z - image) * image).mean(axis=(1, 2))  # one number a step
    spread = gradient.var()
    print(f"{B:3d} images, {S:3d} draws: mean {gradient.mean():.1f}", end=", ")
    print(f"variance {spread:.2f}")
    assert abs(spread / (8 / B + 4 * sigma**2 / (B * S)) - 1) < 0.06

# %%
quiz.discuss("budget")

# %% [markdown]
# The same mean, $-2$, and quite different noise. A step's gradient varies for two reasons: other images might have been
# in the batch, and other $\varepsilon$ might have been drawn. Write $h(x)$ for an image's gradient averaged over
# $\varepsilon$, and $v(x)$ for its variance about that. The mean over one image's $S$ draws is $h(x)$ plus an error of
# variance $v(x)/S$, with mean zero whatever $x$; and $B$ independent images divide the variance by $B$:
#
# $$\mathrm{Var} = \frac{\mathrm{Var}_x[h(x)]}{B} + \frac{\mathbb E_x[v(x)]}{B S},
# \quad\text{here}\quad \frac{8}{B} + \frac{4\sigma^2}{BS}.$$
#
# With $BS$ fixed the second term is fixed. The first one always prefers more images. (For the numbers: $h = -2x^2$ has
# a variance of $4 \cdot 2$, and $v = 4\sigma^2 x^2$.) With 100 images, one draw each makes a variance of 0.106; a
# hundred draws each, for a hundred times the work, would make 0.080. (For one image with a hundred draws the formula
# says 8.03. The 7.75 that was measured is 1.3 standard errors off: $x^4$ has long tails, and a variance measured from
# them is uncertain, here by 3 %.) So where images differ much, **one sample an image is enough** in training; the VAE
# paper found the same of its models, with batches of 100. Two qualifications. This budget counts draws, not the
# encoding of further images: where that is dear, or the noise of $\varepsilon$ much larger than that of the images, a
# few draws for each may be the better bargain. And to *measure* a model, rather than to train it, many samples per
# image do have their use. That is lesson 03.
#
# ### Dice in a Keras layer
#
# Should you ever write a random layer yourself, and the exercise will ask you to, you need two things from Keras.
# Randomness is an object with a state: a `SeedGenerator` is made once, and each draw moves it on. And a layer can be
# saved if its `get_config` returns the arguments of `__init__`, for with them it is made again. Here is one that makes
# any $z$ tremble.


# %%
class Tremor(keras.layers.Layer):
    """Adds normal noise of standard deviation `scale`."""

    def __init__(self, scale, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.scale, self.seed = scale, seed
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, z):
        noise = keras.random.normal(ops.shape(z), seed=self.generator)
        return z + self.scale * noise

    def get_config(self):
        return {**super().get_config(), "scale": self.scale, "seed": self.seed}


# %% tags=["nbval-check-output"]
tremor, still = Tremor(0.8, seed=1), np.zeros((2, 3), "float32")
first, second = (ops.convert_to_numpy(tremor(still)) for _ in range(2))
again = Tremor.from_config(tremor.get_config())
repeated = ops.convert_to_numpy(again(still))
print("two calls, same noise:", np.array_equal(first, second))
print("made again, same first call:", np.array_equal(first, repeated))

# %% [markdown]
# Each call trembles differently, and the layer that was made again starts from the same first draw. Had we handed the
# integer `seed` to `keras.random.normal` in place of the generator, every call would tremble alike.

# %% [markdown]
# ## When it goes wrong
#
# Five mistakes that are easily made. None raises an error. We try four of them on
# the darts, where we know the gradients for $\mu$ and for $a = \log\sigma^2$: $L = \mu^2 + e^a$, hence $2\mu = 3$ and
# $e^a = 0.64$.

# %%
epsilon = np.random.default_rng(20).standard_normal(100_000).astype("float32")


def log_q(z, mu, a):
    return -0.5 * (np.log(2 * np.pi) + a + (z - mu) ** 2 / ops.exp(a))


def right_way(mu, a):
    return ops.mean(f(mu + ops.exp(a / 2) * epsilon))


def variance_for_scale(mu, a):
    return ops.mean(f(mu + ops.exp(a) * epsilon))  # e^a is σ², not σ


def score_with_a_path(mu, a):
    z = mu + ops.exp(a / 2) * epsilon
    return ops.mean(f(z) * log_q(z, mu, a))


def score_without(mu, a):
    z = ops.stop_gradient(mu + ops.exp(a / 2) * epsilon)
    return ops.mean(ops.stop_gradient(f(z)) * log_q(z, mu, a))


# %% tags=["nbval-check-output"]
a = np.log(sigma**2)
found = {}
for attempt in (right_way, variance_for_scale, score_with_a_path, score_without):
    _, (for_mu, for_a) = value_and_gradient(attempt, np.float32(mu), np.float32(a))
    found[attempt] = float(for_mu), float(for_a)
    right = np.allclose(found[attempt], (3, 0.64), atol=0.1)
    print(f"{attempt.__name__:20s} ∂μ {for_mu:4.1f}   ∂a {for_a:4.1f}   right: {right}")

# %% tags=["hide-input"]
assert np.allclose(found[right_way], (3, 0.64), atol=0.1) and np.allclose(found[score_without], (3, 0.64), atol=0.1)
assert abs(found[variance_for_scale][1] / 0.64 - 1.28) < 0.03 and found[score_with_a_path][0] < -2

# %% [markdown]
# **Variance for scale.** A head called `log_var`, and `exp(log_var)` used as if it were $\sigma$. The gradient for $a$
# is $2\sigma^4$ in place of $\sigma^2$, here too large by more than a quarter. Worse, the samples now have one spread,
# and all else that reads the head believes in another. A VAE's loss does read it (lesson 02). *Test:* draw many
# samples, compare their spread with the distribution's `stddev()`.
#
# **A path through the score.** The score-function estimator differentiates $\log q_\varphi(z)$ *at a fixed* $z$, times
# the plain number $f(z)$. Automatic differentiation does not know that $z$ is meant to be fixed. Give it a
# reparameterized sample, and it follows $z$ as well. Along the path $\log q_\varphi(\mu + \sigma\varepsilon)$ does not
# depend on $\mu$ at all, so the score is gone. What is left for $\mu$ is $f'(z)$ times $\log q_\varphi(z)$, which means
# nothing. Here even its sign is wrong. *Cure:* `ops.stop_gradient` around the sample, as in `score_without`. It returns
# its argument, and tells the backend to take it for a constant.
#
# Two more need no wrong formula, only a line in the wrong place.


# %% tags=["nbval-check-output"]
def cost_of_darts(log_variance):
    return ops.mean(f(mu + ops.exp(log_variance / 2) * epsilon))


def clipped_in_one_place(a):
    return cost_of_darts(ops.clip(a, -6, 2)) - a / 2  # another term, such as the loss of lesson 02 will have


def clipped_once(a):
    a = ops.clip(a, -6, 2)
    return cost_of_darts(a) - a / 2


for loss in (clipped_in_one_place, clipped_once):
    _, (dead,) = value_and_gradient(loss, np.float32(3))
    print(f"a = 3, {loss.__name__:20s}: gradient {float(dead):4.1f}")
    assert float(dead) == {"clipped_in_one_place": -0.5, "clipped_once": 0}[loss.__name__]

rng = np.random.default_rng(21)  # 2000 batches of 100 darts, ∂μ of each dart
own = 2 * (mu + sigma * rng.standard_normal((2000, 100)))
one = np.repeat(rng.standard_normal((2000, 1)), 100, axis=1)
shared = 2 * (mu + sigma * one)
each, same = own.mean(axis=1).var(), shared.mean(axis=1).var()
print(f"an ε for each dart: variance of a batch's mean {each:.3f}")
print(f"one ε a batch:      variance of a batch's mean {same:.3f}")
assert abs(same / each / 100 - 1) < 0.15

# %% [markdown]
# **Clipping in one place only.** Keeping $\log\sigma^2$ in a range is a sound idea. Clipping it where you sample, but
# not where you use it otherwise, is not: outside of the range the sample's gradient is zero, and whatever else pulls at
# $\log\sigma^2$ pulls alone, here upwards and without end. `DiagonalNormal(…, log_variance_range=(-6, 2))` clips once,
# before every use. Outside of the range nothing pulls any more, and no two terms disagree about $\sigma$.
#
# **One noise for the whole batch.** An $\varepsilon$ of shape `[D]` that broadcasts against `[B, D]`: no error, no
# bias, but the errors of the batch's rows are now the same error, and averaging a hundred of them removes nothing. The
# variance of the batch's mean is a hundred times what it should be (as long as all images are alike, as here). *Test:*
# encode the same image twice in one batch; the two samples must differ.
#
# **The fifth** deserves a section.

# %% [markdown]
# ## A coin
#
# Let $z$ be 1 with probability $\theta$ and 0 otherwise ($\theta$ is just that here, not a decoder's weights), with a
# cost $f(z) = (z - 0.45)^2$. Nothing could be simpler: $\mathbb E f(z) = \theta f(1) + (1 - \theta) f(0)$, with the
# gradient $f(1) - f(0) = 0.55^2 - 0.45^2 = 0.1$. Noise is easily found, too: draw $u$ uniformly from $(0, 1)$, and let
# $z = 1$ if $u < \theta$, else 0.

# %%
quiz.ask("coin")

# %% tags=["nbval-check-output"]
theta = 0.3
u = np.random.default_rng(14).uniform(size=100_000).astype("float32")


def coin_cost(z):
    return (z - 0.45) ** 2


def mean_coin_cost(theta):
    return ops.mean(coin_cost(ops.cast(u < theta, "float32")))


_, (slope,) = value_and_gradient(mean_coin_cost, np.float32(theta))
print(f"pathwise: {float(slope)}")

z = (u < theta).astype("float64")
score = (z - theta) / (theta * (1 - theta))
by_score = coin_cost(z) * score
compare("score function", by_score, 0.1)

# %%
quiz.discuss("coin")

# %% [markdown]
# Zero, with perfect confidence: no noise, no warning. (TensorFlow itself would return `None`, which
# `value_and_gradient` turns into zero, as JAX does.) The score function has no such trouble. It asks for the gradient
# of $\log q_\theta(z) = z\log\theta + (1-z)\log(1-\theta)$, which is $(z - \theta)/(\theta(1-\theta))$, and never for
# that of $f$ or of $z$.
#
# The jump may as well sit in the cost. Let a dart cost 1 if it lands right of the origin, and nothing otherwise. Then
# $L = P(z > 0)$, and its derivative for $\mu$ is the density of $z$ at the origin, since that is what crosses it. But
# every dart's $f'(z)$ is zero. The path is perfectly smooth here, and the silence is the same.

# %% tags=["nbval-check-output"]
epsilon = np.random.default_rng(22).standard_normal(100_000)
z = mu + sigma * epsilon
density = np.exp(-((mu / sigma) ** 2) / 2) / (sigma * np.sqrt(2 * np.pi))  # at 0


def share_on_the_right(mu):
    return ops.mean(ops.cast(mu + (sigma * epsilon).astype("float32") > 0, "float32"))


print(f"pathwise: {float(value_and_gradient(share_on_the_right, np.float32(mu))[1][0])}")
compare("score function", (z > 0) * epsilon / sigma, density)

# %% [markdown]
# The estimate is 1.6 errors off; one in ten such means is as far off, or further. So there are two conditions: $z$ must
# not jump in $\varphi$, and $f$ must not jump in $z$. If either does, the gradient may not move inside the expectation.
# (A kink, as in relu, does no harm: it is hit with probability zero, and nothing jumps there.) You will not be told. So
# here is what to choose:
#
# - continuous $z$ with a path, smooth $f$: pathwise;
# - discrete $z$ with few values, as a coin: sum over them, and differentiate the sum; no dice, no noise;
# - discrete $z$ with many, or an $f$ that you cannot differentiate (a game, a simulator), or one that is all cliffs and
#   ripples: the score function with a good baseline;
# - discrete $z$, and you must have low variance: soften the coin, and know that you have changed the problem (second
#   reading).

# %% [markdown]
# ## Take-aways
#
# A gradient of an expectation can be taken by reweighting samples (score function) or by moving them (pathwise). Both
# are unbiased where they apply.
#
# Pathwise uses the slope of $f$ and so learns a direction from one sample. Where the cost is a sum over coordinates,
# its variance does not grow with their number; the score function's does, even with the best constant baseline.
# Pathwise loses where $f$ is rough on the scale of $q_\varphi$, and it silently misses what jumps of $z$ or $f$
# contribute.
#
# In a VAE the path is $z = \mu(x) + \sigma(x) \odot \varepsilon$. With a batch of images that differ, one sample an
# image is usually enough.
#
# **To do next:** questions 1, 5, 6 and 7 of
# [exercise 01](../exercises/01_the_reparameterization_trick/01_the_reparameterization_trick.ipynb): a Gaussian path, a
# score-function estimator, what a path is worth, and a Keras layer. Each answer is checked at once. Then
# [lesson 02](02_the_variational_autoencoder.ipynb) puts the path to work: a whole variational autoencoder, from a blank
# page. The rest of this lesson can wait.

# %% [markdown]
# # Second reading: other dice
#
# A VAE rarely needs more than the Gaussian. But rates, angles, proportions and waiting times are not Gaussian, and
# section 2.4 of [the VAE paper](https://arxiv.org/abs/1312.6114) says how to find paths for them. Questions 2, 3, 4 and
# 8 of the exercise build on what follows.
#
# 1. *Invert* the distribution function $F$: $z = F^{-1}(u)$ with uniform $u$. The paper names Exponential, Cauchy,
#    Logistic, Rayleigh, Pareto, Weibull, Reciprocal, Gompertz, Gumbel and Erlang. (The last one belongs under 3: an
#    Erlang distribution is a Gamma whose shape is a whole number, and the inverse of its $F$ has no formula.)
# 2. *Location and scale*: $z = \text{location} + \text{scale} \cdot \varepsilon$. Laplace, elliptical, Student's t,
#    Logistic, Uniform, Triangular and Gaussian.
# 3. *Compose* paths that you have: Log-Normal, Gamma, Dirichlet, Beta, Chi-Squared, and the F distribution.
#
# You need not know them all. Each recipe gets one example.
#
# ## Three recipes
#
# **Invert the distribution function.** Let $F(z) = P(\text{sample} \le z)$, and $u$ uniform on $(0, 1)$. Then
# $F^{-1}(u)$ has just the right distribution, since $P(F^{-1}(u) \le z) = P(u \le F(z)) = F(z)$. Where the inverse is a
# formula, so is the path. The *logistic* distribution looks like a Gaussian with longer tails. It has
# $F(z) = 1/(1 + e^{-(z-\mu)/s})$, that is, a sigmoid. Solve $F(z) = u$ for $z$:
#
# $$z = \mu + s \log\frac{u}{1-u}.$$
#
# **Location and scale.** This path happens to be of the second kind as well: $\log\frac{u}{1-u}$ is a standard noise,
# which $\mu$ shifts and $s$ stretches. Every Gaussian has a path of this kind, and so has *Laplace*,
# $q(z) \propto e^{-|z-\mu|/s}$.
#
# **Compose.** $e^z$ of a Gaussian $z$ is *log-normal*. A sum of $a$ exponential waiting times of rate $\beta$ is
# *Gamma*, $q(z) \propto z^{a-1} e^{-\beta z}$. Ratios of Gammas give Beta and Dirichlet, which live on proportions.

# %%
quiz.ask("gamma")

# %% [markdown]
# To attach a standard error to a gradient that the backend computes, we need the gradient of *every sample* separately,
# and automatic differentiation gives those of a single number. A small device helps: hand each sample its own copy of
# the parameter, and differentiate the sum. With two samples, the sum is $f(g(\varepsilon_1, s_1)) + f(g(\varepsilon_2,
# s_2))$; its derivative with respect to $s_1$ touches the first term alone. With $n$ copies of the same $s$, the
# gradient has $n$ entries, one for each sample.


# %%
def pathwise(f, g, noise, value):
    """Each sample's gradient of f(z), z = g(noise, parameter): [n]."""
    copies = np.full(len(noise), value, "float32")

    def total(copies):
        return ops.sum(f(g(noise, copies)))

    _, (slopes,) = value_and_gradient(total, copies)
    return ops.convert_to_numpy(slopes)


# %% tags=["nbval-check-output"]
rng = np.random.default_rng(8)
u = rng.uniform(1e-6, 1 - 1e-6, 200_000).astype("float32")
laplace = rng.laplace(size=200_000).astype("float32")
epsilon = rng.standard_normal(200_000).astype("float32")
waiting = rng.exponential(size=(200_000, 3)).astype("float32").sum(axis=1)


def logistic(u, s):
    return 1.0 + s * ops.log(u / (1 - u))


samples = pathwise(ops.square, logistic, u, 0.5)  # E z² = 1 + π² s² / 3
compare("Logistic(1, s), ∂/∂s", samples, 2 * 0.5 * np.pi**2 / 3)
samples = pathwise(ops.square, lambda e, s: 1.0 + s * e, laplace, 0.5)  # 1 + 2 s²
compare("Laplace(1, s), ∂/∂s", samples, 4 * 0.5)
samples = pathwise(lambda z: z, lambda e, s: ops.exp(s * e), epsilon, 0.5)  # e^(s²/2)
compare("LogNormal(0, s), ∂/∂s", samples, 0.5 * np.exp(0.5**2 / 2))
samples = pathwise(ops.square, lambda e, rate: e / rate, waiting, 2.0)  # 3·4 / β²
compare("Gamma(3, β), ∂/∂β", samples, -24 / 2**3)

# %% [markdown]
# Four gradients, all within about one standard error of what calculus says (the expected costs stand in the comments).

# %%
quiz.discuss("gamma")

# %% [markdown]
# The rate's gradient is there, the shape's is not: nowhere in the code is there a 3 that could be differentiated. We
# come back to it. First a picture of recipe 1.

# %% tags=["hide-input"]
figure, axis = plt.subplots(figsize=(8, 3.4))
line = np.linspace(-4, 6, 300)
levels = np.linspace(0.1, 0.9, 5)
for s, style in ((0.5, "-"), (1.0, "--")):
    axis.plot(line, 1 / (1 + np.exp(-(line - 1) / s)), style, color="0.4", label=f"scale s = {s}")
for level in levels:
    start, end = (1 + s * np.log(level / (1 - level)) for s in (0.5, 1.0))
    axis.plot([-4, min(start, end)], [level, level], color="0.85", linewidth=1, zorder=0)
    if abs(end - start) > 1e-6:
        arrow = {"arrowstyle": "->", "color": PATHWISE, "linewidth": 1.8, "shrinkA": 0, "shrinkB": 0}
        axis.annotate("", (end, level), (start, level), arrowprops=arrow)
    axis.plot(start, level, "o", color=PATHWISE, markersize=4)
axis.set(xlabel="z", ylabel="u = F(z)", title="u stays, z moves as the scale s grows")
axis.legend(loc="lower right")
plt.show()

# %% [markdown]
# Five values of $u$ on the logistic's distribution function. When $s$ grows from 0.5 to 1 the curve moves, each $u$
# stays at its height, and its sample slides along. The one in the middle stays, those far out slide furthest. (A
# practical hint: the exponential's inverse is $-\log(1-u)/\beta$, and near $u = 0$ float32 cannot tell $1 - u$ from 1.
# `ops.log1p(-u)` is $\log(1 - u)$ computed without that subtraction.)
#
# ## The density comes along
#
# A VAE needs the logarithm of its samples' density as well. If $y$ has a density $p_y$ and $z = g(y)$ with an
# increasing $g$, what is the density of $z$? A small piece of the line keeps its probability, while $g$ makes it
# $g'(y)$ times as wide:
#
# $$\begin{aligned}
# p_z(z)\, \mathrm dz &= p_y(y)\, \mathrm dy, \qquad \mathrm dz = g'(y)\, \mathrm dy, \\
# \log p_z(z) &= \log p_y(y) - \log g'(y).
# \end{aligned}$$
#
# Where $g$ stretches, density becomes thinner. (For a decreasing $g$ take $|g'|$.) After two such steps two logarithms
# have been subtracted. For independent coordinates the log-densities add up. Take the standard logistic, $z = \log u -
# \log(1-u)$ with $p_u = 1$: $\mathrm dz/\mathrm du = \frac1u + \frac1{1-u} = \frac1{u(1-u)}$, so that $\log p_z = \log
# u + \log(1-u)$. TFP agrees:

# %% tags=["nbval-check-output"]
z = np.log(u) - np.log1p(-u)
theirs = ops.convert_to_numpy(tfd.Logistic(0.0, 1.0).log_prob(z))
ours = np.log(u) + np.log1p(-u)
print("the same, to three decimals:", np.allclose(ours, theirs, atol=1e-3))

# %% [markdown]
# ## Following a path without knowing it
#
# Recipe 1 keeps $u$ in place while a parameter moves. We need not solve $F_a(z) = u$ for $z$ to know how fast $z$
# moves. The parameter $a$ stands in it twice: as the parameter of $F$, and hidden in $z(a)$. Differentiate both sides,
# by the chain rule for two arguments, and remember that $\partial F/\partial z$ is the density $q$:
#
# $$\frac{\mathrm d}{\mathrm da} F_a\big(z(a)\big) = \underbrace{\frac{\partial F_a(z)}{\partial a}}_{z \text{ held}}
# + q_a(z)\, \frac{\mathrm dz}{\mathrm da} = \frac{\mathrm du}{\mathrm da} = 0.$$
#
# Solve for the speed of $z$:
#
# $$\frac{\mathrm dz}{\mathrm da} = -\,\frac{\partial F_a(z) / \partial a}{q_a(z)}.$$
#
# This is **implicit reparameterization** ([Figurnov et al. 2018](https://arxiv.org/abs/1805.08498)). Draw $z$ by any
# method you like, then attach this gradient. For the logistic, $F = \mathrm{sigmoid}(t)$ with $t = (z-\mu)/s$, and
# both $\partial F/\partial s = -\mathrm{sigmoid}'(t)\, t/s$ and $q = \mathrm{sigmoid}'(t)/s$ have the same factor. It
# cancels, and $\mathrm dz/\mathrm ds = t$, as in recipe 1.
#
# The distribution function of a Gamma has no inverse that one could write down, and TFP gives its shape a gradient in
# this way. We draw from TFP and ask for $\mathrm dz/\mathrm da$ of each sample. (`vk.backend.compile` makes one program
# of the function, which saves time. The seed makes both calls of `draw` draw the same.)

# %%
shape, n = 2.5, 50_000


@vk.backend.compile
def gamma_gradients(shapes):
    """Samples z ~ Gamma(a, 1), and dz/da of each: [n], [n]."""

    def draw(shapes):
        return tfd.Gamma(shapes, np.float32(1)).sample(seed=vk.backend.seed(12))

    _, (slopes,) = value_and_gradient(lambda shapes: ops.sum(draw(shapes)), shapes)
    return draw(shapes), slopes


z, dz_da = map(ops.convert_to_numpy, gamma_gradients(np.full(n, shape, "float32")))
compare("Gamma(a, 1), ∂/∂a", 2 * z * dz_da, 2 * shape + 1)  # E z² = a (a + 1)

# %% tags=["hide-input"]
step = 0.02
F_right, F_left = (ops.convert_to_numpy(tfd.Gamma(shape + h, 1.0).cdf(z)) for h in (step, -step))
implicit = -(F_right - F_left) / (2 * step) / ops.convert_to_numpy(tfd.Gamma(shape, 1.0).prob(z))
middle = np.abs(z - shape) < 2.4  # far in the tails the finite differences run out of digits
assert np.abs(implicit - dz_da)[middle].max() < 0.01

figure, axis = plt.subplots(figsize=(8, 3.6))
line = np.linspace(0.01, 8, 300).astype("float32")
for a, style in ((shape, "-"), (shape + 0.8, "--")):
    F = ops.convert_to_numpy(tfd.Gamma(a, 1.0).cdf(line))
    axis.plot(line, F, style, color="0.4", label=f"shape a = {a}")
for place in (0.8, 1.5, 2.3, 3.3, 4.8):
    i = np.abs(z - place).argmin()  # the sample nearest to this place
    height = float(tfd.Gamma(shape, 1.0).cdf(z[i]))
    arrow = {"arrowstyle": "->", "color": PATHWISE, "linewidth": 2, "shrinkA": 0, "shrinkB": 0}
    axis.annotate("", (z[i] + 0.8 * dz_da[i], height), (z[i], height), arrowprops=arrow)
axis.set(xlabel="z", ylabel="F(z)", title="arrows: 0.8 · dz/da, as TFP gives it")
axis.legend(loc="lower right")
plt.show()

# %% [markdown]
# The gradient that recipe 3 could not give is there, and agrees with the exact 6. The arrows were drawn from TFP's
# gradients alone, and they end on the distribution function of the larger shape (nearly, since the paths bend). That is
# all a path has to do. Finite differences of $F$ give the same gradients, sample by sample; the folded cell checks this
# for $0.1 < z < 4.9$; further out the differences run out of digits.
#
# **A value with another's gradient.** How does one *attach* a gradient to a number that was drawn by other means? By
# adding a zero with a slope. `a - ops.stop_gradient(a)` is 0, and has the gradient of `a`. Here a logistic sample comes
# from NumPy, knows nothing of $s$, and learns that $\mathrm dz/\mathrm ds = t$:

# %% tags=["nbval-check-output"]
z = np.float32(1 + 0.5 * np.random.default_rng(24).logistic(size=3))  # μ = 1, s = 0.5
t = (z - 1) / 0.5  # plain numbers


def attached(s):
    return z + t * (s - ops.stop_gradient(s))


values = ops.convert_to_numpy(attached(np.float32(0.5)))
_, (slope,) = value_and_gradient(lambda s: ops.sum(attached(s)), np.float32(0.5))
print("values unchanged:", np.array_equal(values, z))
print("gradient of their sum is the sum of t:", np.isclose(float(slope), t.sum()))

# %% [markdown]
# You need not remember who has a path. TFP tells:

# %% tags=["nbval-check-output"]
distributions = [
    tfd.Normal(0.0, 1.0),
    tfd.Gamma(2.0, 1.0),
    tfd.Dirichlet([2.0, 3.0, 1.5]),
    tfd.MixtureSameFamily(
        tfd.Categorical(probs=[0.5, 0.5]),
        tfd.Normal([-1.0, 1.0], 1.0),
    ),
    tfd.Bernoulli(probs=0.3),
    tfd.Poisson(2.0),
]
for distribution in distributions:
    kind = distribution.reparameterization_type
    has_path = kind == tfd.FULLY_REPARAMETERIZED
    print(f"{type(distribution).__name__:18s} {'a path' if has_path else 'no path'}")

# %% [markdown]
# The last three choose something: a component, a side of a coin, a number of events. (For the mixture there is a
# way all the same. Question 8 asks you to find it.)

# %% [markdown]
# ## A softer coin
#
# Could one give the coin a path? Yes, if it need not be quite a coin. Its step, $z = 1$ if $u < \theta$, is the same as
# $z = 1$ if $\log\frac{\theta}{1-\theta} - \log\frac{u}{1-u} > 0$, since the logarithm of the odds grows with the
# probability. The second term is recipe 1's logistic noise. Replace the step by a sigmoid of temperature $\tau$:
#
# $$z_\tau = \mathrm{sigmoid}\!\left(\frac{1}{\tau}\Big(\log\frac{\theta}{1-\theta} - \log\frac{u}{1-u}\Big)\right).$$
#
# For $\tau \to 0$ this is the coin again. It is called the *binary concrete* or *Gumbel-softmax* distribution
# ([Maddison et al. 2017](https://arxiv.org/abs/1611.00712), [Jang et al. 2017](https://arxiv.org/abs/1611.01144)), and
# exists for any number of categories.

# %%
quiz.ask("temperature")


# %%
def relaxed(temperature):
    def logit(p):
        return ops.log(p) - ops.log(1 - p)

    def path(u, theta):
        return ops.sigmoid((logit(theta) - logit(u)) / temperature)

    return path


# evenly spaced u: averages without sampling noise
grid = ((np.arange(200_000) + 0.5) / 200_000).astype("float32")
temperatures = np.geomspace(0.03, 3, 25)
slopes = np.stack([pathwise(coin_cost, relaxed(t), grid, theta) for t in temperatures])
means, variances = slopes.mean(1, dtype="float64"), slopes.var(1, dtype="float64")

# %% tags=["hide-input"]
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(9, 3.2))
for t, colour in ((2.0, "#56B4E9"), (0.5, PATHWISE), (0.1, "#003F66")):
    z = ops.convert_to_numpy(relaxed(t)(grid[::200], theta))
    left.plot(grid[::200], z, color=colour, label=f"τ = {t}")
left.step([0, theta, 1], [1, 1, 0], where="pre", color=EXACT, linestyle="--", label="the coin")
left.set(xlabel="noise u", ylabel="z", title=f"relaxed coins, θ = {theta}")
left.legend(loc="upper right")
middle.axhline(0.1, color=EXACT, linestyle="--", linewidth=1)
middle.text(temperatures[-1], 0.103, "exact", ha="right", va="bottom")
middle.axhline(0, color="0.8", linewidth=1, zorder=0)
middle.semilogx(temperatures, means, color=PATHWISE)
middle.set(xlabel="temperature τ", ylim=(-0.08, 0.13), title="mean gradient for θ")
right.loglog(temperatures, variances**0.5, color=PATHWISE, label="relaxed")
right.axhline(by_score.std(), color=SCORE, label="score function")
right.set(xlabel="temperature τ", title="standard deviation, one sample")
right.legend()
plt.show()
assert abs(means[0] - 0.1) < 0.02 and variances[0] > 20 * variances[-1]
assert (means[temperatures > 0.36] < 0).all() and (means[temperatures < 0.25] > 0).all()
assert (means[variances < by_score.var()] < 0).all() and 0.6 < temperatures[means.argmin()] < 1

# %%
quiz.discuss("temperature")

# %% [markdown]
# On the left, soft coins of three temperatures. In the middle the bias: cold coins are nearly right on average, but
# from $\tau \approx 0.3$ on the mean gradient even has the wrong sign, and descent would turn $\theta$ the wrong way.
# (Hot coins are no better: the bias is largest near $\tau = 0.8$, and above that the slope just dies away.) On the
# right the spread of a single sample, which grows as the coin gets colder. Where it is below that of the score
# function, which has no bias, the sign is already wrong. (This coin is a hard case: $f(0) = 0.20$ and $f(1) = 0.30$ lie
# close together, with a valley down to 0 between them where a real coin never lands, and a relaxed one does.) No
# temperature comes for free.
#
# **To do next:** questions 2, 3, 4 and 8 of
# [exercise 01](../exercises/01_the_reparameterization_trick/01_the_reparameterization_trick.ipynb): paths for waiting
# times, log-normal and truncated distributions, far out in their tails, too, and one for a mixture of Gaussians, which
# nobody can invert.
