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
# - reparameterize the distributions of the VAE paper's section 2.4, each by one of three recipes;
# - recognize the cases in which the trick fails without a word, and say what to do instead.
#
# **You need** Python, NumPy, expectations and variances, and what a gradient is. No deep learning yet.
# **It takes** about an hour of yours, and half a minute of a laptop's CPU; there is nothing here for a GPU to do.

# %%
# # %pip install vaekit
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

# one colour for each, all lesson long
PATHWISE, SCORE, BASELINE, EXACT = "#0072B2", "#D55E00", "#009E73", "black"
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
# neural network. You can still throw darts. And your backend can differentiate anything, can it not?

# %%
quiz.ask("blind")

# %% tags=["nbval-check-output"]
rng = np.random.default_rng(1)
darts = rng.normal(mu, sigma, size=100_000).astype("float32")


def mean_cost(mu):
    return ops.mean(f(darts))


value, (slope,) = value_and_gradient(mean_cost, np.float32(mu))
print(f"mean cost {float(value):.1f}, gradient with respect to μ {float(slope)}")

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
# kept in one of two places.
#
# **Leave the darts where they are and change their weight.** The gradient of the density is
# $\nabla_\varphi q_\varphi = q_\varphi \nabla_\varphi \log q_\varphi$ (that is the chain rule for the logarithm, read
# backwards), so
#
# $$\nabla_\varphi L = \int q_\varphi(z)\, \nabla_\varphi \log q_\varphi(z)\, f(z)\, \mathrm dz
# = \mathbb E_{q_\varphi(z)}\big[f(z)\, \nabla_\varphi \log q_\varphi(z)\big].$$
#
# This is an expectation again, so darts can estimate it. $\nabla_\varphi \log q_\varphi$ is called the *score*, and
# this the **score-function** estimator, known as REINFORCE in reinforcement learning.
#
# **Leave the weights as they are and move the darts.** Say how a dart comes about: a tremor $\varepsilon$ that does not
# depend on you, and your parameters, $z = g_\varphi(\varepsilon) = \mu + \sigma\varepsilon$ with
# $\varepsilon \sim \mathcal N(0, 1)$. Then
#
# $$\nabla_\varphi L = \nabla_\varphi\, \mathbb E_{\varepsilon}\big[f(g_\varphi(\varepsilon))\big]
# = \mathbb E_{\varepsilon}\big[f'(z)\; \nabla_\varphi\, g_\varphi(\varepsilon)\big],$$
#
# because now the distribution that we average over is free of $\varphi$, and the gradient may move inside. This is the
# **pathwise** estimator: each dart is followed along its path as you move your aim. Writing $z$ as a function of
# parameters and parameter-free noise is the **reparameterization trick**.

# %%
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

# %% [markdown]
# Nine darts, drawn on the cost curve; the grey hill is $q_\varphi$ and the dotted line your aim $\mu$. On the left,
# aiming further right makes darts beyond $\mu$ more frequent and darts before it rarer (the size of a dot says by how
# much). The gradient is the difference between the two groups' costs. On the right, every dart moves by the same
# step, and each reports its own change of cost, $2z$. Nearly all arrows agree on the direction. On the left no single
# dart knows the direction: only the comparison does. Keep this picture in mind; the rest of the lesson follows from
# it.
#
# In code each estimator is one line per parameter. The scores of a normal distribution are $(z-\mu)/\sigma^2$ for
# $\mu$ and $\big((z-\mu)^2/\sigma^2 - 1\big)/\sigma$ for $\sigma$.

# %%
rng = np.random.default_rng(2)
epsilon = rng.standard_normal(100_000)
z = mu + sigma * epsilon

score = np.stack([(z - mu) / sigma**2, ((z - mu) ** 2 / sigma**2 - 1) / sigma])  # [2, n]
by_score = f(z) * score
by_path = np.stack([2 * z * 1, 2 * z * epsilon])  # f'(z) ∂z/∂μ and f'(z) ∂z/∂σ, [2, n]


def agrees(samples, exact):
    """Mean of gradient samples [..., n] ± standard error; the exact value must lie within five."""
    mean, error = samples.mean(-1), samples.std(-1) / np.sqrt(samples.shape[-1])
    pairs = zip(np.ravel(mean), np.ravel(error), strict=True)
    print("estimate", " ".join(f"{m:9.4f} ±{e:7.4f}" for m, e in pairs))
    assert np.all(np.abs(mean - exact) < 5 * error), (mean, exact)


for samples in (by_score, by_path):
    agrees(samples, exact)
print("exact   ", " ".join(f"{value:9.4f}         " for value in exact))

# %% [markdown]
# Both find (3, 1.6) within their standard errors, and both did it from the same hundred thousand darts. But compare
# the numbers after ±.

# %% [markdown]
# ## How noisy?
#
# In training you do not throw a hundred thousand darts. The VAE paper throws *one* per image. So what matters is how
# far a single dart's gradient strays.

# %%
quiz.ask("spread")

# %%
for name, samples in (("score function", by_score[0]), ("pathwise", by_path[0])):
    print(f"{name:15s} variance of one dart's ∂L/∂μ: {samples.var():5.1f}")
assert 15 < by_score[0].var() / by_path[0].var() < 25

# %%
quiz.discuss("spread")

# %% [markdown]
# These variances can be worked out. With $z = \mu + \sigma\varepsilon$, the pathwise gradient $2z$ has variance
# $4\sigma^2$; the score-function one, $z^2 \varepsilon / \sigma$, has $\mu^4/\sigma^2 + 14\mu^2 + 15\sigma^2$
# (expand, and use $\mathbb E\,\varepsilon^2 = 1$, $\mathbb E\,\varepsilon^4 = 3$, $\mathbb E\,\varepsilon^6 = 15$).
#
# There is a well-known help for the score function. The score has mean zero, so a constant $b$, the **baseline**, can
# be taken off $f$ without changing the expectation:
# $\mathbb E[(f(z) - b)\, \nabla\log q] = \mathbb E[f(z)\,\nabla\log q]$. It is the simplest *control variate*:
# something of known mean, correlated with the noise, that you subtract. The best $b$ here is
# $\mathbb E[f s^2] / \mathbb E[s^2] = \mu^2 + 3\sigma^2$, where $s$ is the score of $\mu$, and leaves a variance of
# $8\mu^2 + 6\sigma^2$.

# %% tags=["nbval-check-output"]
best = mu**2 + 3 * sigma**2
variance = {
    "score function": mu**4 / sigma**2 + 14 * mu**2 + 15 * sigma**2,
    "with baseline": 8 * mu**2 + 6 * sigma**2,
    "pathwise": 4 * sigma**2,
}
print("variance of one dart's ∂L/∂μ")
for name, value in variance.items():
    print(f"{name:15s}{value:6.2f}, {value / variance['pathwise']:5.1f} × pathwise")

# %%
gradients = {
    "score function": f(z) * (z - mu) / sigma**2,
    "with baseline": (f(z) - best) * (z - mu) / sigma**2,
    "pathwise": 2 * z,
}
figure, axes = plt.subplots(1, 3, figsize=(9, 2.7), sharex=True)
colours = (SCORE, BASELINE, PATHWISE)
for axis, (name, samples), colour in zip(axes, gradients.items(), colours, strict=True):
    agrees(samples, exact[0])
    assert abs(samples.var() / variance[name] - 1) < 0.1  # measured and calculated variance
    axis.hist(samples, bins=np.arange(-20, 40.1, 0.5), density=True, color=colour)
    axis.axvline(exact[0], color=EXACT, linewidth=1)
    wrong = np.mean(samples < 0)
    axis.set(title=f"{name}\nvariance {samples.var():.1f}, wrong sign {wrong:.0%}", yticks=[])
    axis.set_xlabel("one dart's estimate of ∂L/∂μ")
axes[0].annotate("exact: 3", (exact[0], axes[0].get_ylim()[1] * 0.8), (12, axes[0].get_ylim()[1] * 0.8),
                 arrowprops={"arrowstyle": "->"}, va="center")  # fmt: skip
plt.show()

# %% [markdown]
# Three histograms around the same black line. Nearly every pathwise gradient has the right sign. Of the score
# function's, half point the wrong way: its sign is that of $z - \mu$, a toss of a coin, and only the long tail to the
# right makes up for it. The best baseline halves the variance, and leaves it eight times the pathwise one. Besides,
# we could choose it only because we knew the answer; in practice one takes a running mean of $f$, or trains a small
# network to predict $f$.

# %% [markdown]
# ## More dimensions
#
# A latent code has 20 or 50 coordinates, not one. Let every coordinate have the same $\mu$ and $\sigma$, and let the
# cost be $f(z) = \sum_{d=1}^D z_d^2$.

# %%
quiz.ask("dimension")

# %%
dimensions = np.array([1, 3, 10, 30, 100, 300])
measured = {"score function": [], "with baseline": [], "pathwise": []}
rng = np.random.default_rng(3)
for D in dimensions:
    epsilon = rng.standard_normal((20_000, D))
    z = mu + sigma * epsilon  # [n, D]
    cost = (z**2).sum(axis=1)  # [n]
    score = epsilon[:, 0] / sigma  # of μ₁
    best_D = mu**2 + 3 * sigma**2 + (D - 1) * (mu**2 + sigma**2)  # E[f s²] / E[s²]
    measured["score function"].append((cost * score).var())
    measured["with baseline"].append(((cost - best_D) * score).var())
    measured["pathwise"].append((2 * z[:, 0]).var())

# The same by hand: the other D − 1 terms have mean m and variance v, and are independent of the score.
m, v = (dimensions - 1) * (mu**2 + sigma**2), (dimensions - 1) * (4 * mu**2 * sigma**2 + 2 * sigma**4)
calculated = {
    "score function": variance["score function"] + (m**2 + v + 2 * m * best) / sigma**2,
    "with baseline": variance["with baseline"] + v / sigma**2,
    "pathwise": np.full(len(dimensions), variance["pathwise"]),
}

for name, values in measured.items():
    np.testing.assert_allclose(values, calculated[name], rtol=0.12)

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6))
counts = np.array([1, 10, 100, 1000])
for (name, values), colour in zip(measured.items(), colours, strict=True):
    left.loglog(dimensions, calculated[name], color=colour, label=name)
    left.loglog(dimensions, values, "o", color=colour)
    right.loglog(counts, np.sqrt(calculated[name][dimensions == 100] / counts), color=colour)
left.set(xlabel="dimension D", ylabel="variance of ∂L/∂μ₁")
left.set_title("one sample: lines calculated, dots measured")
left.legend()
right.axhline(exact[0], color=EXACT, linewidth=1, linestyle="--")
right.text(1.1, exact[0] * 1.15, "size of the gradient itself")
right.set(xlabel="samples averaged, S", ylabel="standard error of ∂L/∂μ₁")
right.set_title("more samples, at D = 100")
plt.show()

# %%
quiz.discuss("dimension")

# %% [markdown]
# On the left, measured variances lie on the calculated lines: $D^2$, $D$, and flat. On the right all errors fall as
# $1/\sqrt S$; no estimator is saved by a better rate, they start at different heights. A factor in variance is
# therefore a factor in samples. How many score-function samples are worth one pathwise sample?

# %% tags=["nbval-check-output"]
print("samples that are worth one pathwise sample")
for D in (1, 100):
    (i,) = np.flatnonzero(dimensions == D)
    for name in ("score function", "with baseline"):
        print(f"D = {D:3d}, {name}: {calculated[name][i] / calculated['pathwise'][i]:6.0f}")

# %% [markdown]
# Fifty thousand in a hundred dimensions, and four hundred with the best possible baseline. What does that do to
# training? Take $D = 50$, and gradient descent on all aims $\mu_d$, with a single sample a step and the same step
# size for all three. The baseline is now an honest one, a running mean of the costs so far.


# %%
def descend(kind, D=50, steps=400, rate=0.005, seed=4):
    """Mean squared aim after each step of stochastic gradient descent; ends where it runs away."""
    rng = np.random.default_rng(seed)
    aims, baseline, course = np.full(D, mu), D * (mu**2 + sigma**2), []
    for _ in range(steps):
        epsilon = rng.standard_normal(D)
        z = aims + sigma * epsilon
        cost = f(z).sum()
        if kind == "pathwise":
            gradient = 2 * z
        else:
            gradient = (cost - (baseline if kind == "with baseline" else 0)) * epsilon / sigma
        baseline = 0.9 * baseline + 0.1 * cost
        aims = aims - rate * gradient
        course.append(np.mean(aims**2))
        if course[-1] > 100:
            break
    return course


figure, axis = plt.subplots(figsize=(8, 3.2))
courses = {}
for kind, colour in (("score function", SCORE), ("with baseline", BASELINE), ("pathwise", PATHWISE)):
    courses[kind] = descend(kind)
    axis.plot(courses[kind], color=colour, label=kind)
axis.set(xlabel="step", ylabel="mean of μ², all aims", yscale="log", ylim=(1e-3, 100))
axis.set_title("what variance costs")
axis.legend()
plt.show()
assert len(courses["score function"]) < 50
assert courses["with baseline"][-1] > 10 * courses["pathwise"][-1]

# %% [markdown]
# With pathwise gradients the aims glide to zero. With a baseline they come down late, and then the noise of the steps
# keeps them where they are. The plain score function runs away within a handful of steps: one unlucky gradient throws
# the aims so far off that the next ones are larger still. A much smaller step size would hold it, and take
# correspondingly longer.

# %% [markdown]
# ## Is pathwise always better?
#
# It is tempting to conclude so. Put the conclusion to the test with another cost.

# %%
quiz.ask("waves")


# %%
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
    for (name, s), colour in zip(samples.items(), (SCORE, PATHWISE), strict=True):
        label = f"{name}, variance {s.var():.2f}"
        right.hist(s, bins=np.linspace(-reach, reach, 71), color=colour, alpha=0.6, label=label)
    right.axvline(exact, color=EXACT, linewidth=1, label="exact")
    right.set(xlabel="one sample's estimate of the gradient", yticks=[])
    right.set_ylim(top=right.get_ylim()[1] * 1.5)
    right.legend(loc="upper right")
    return figure


lazily = {"continuous_update": False}  # draw when the slider is let go
explore(
    compare_waves,
    k=ipywidgets.FloatSlider(10, min=0.5, max=15, step=0.5, description="k", **lazily),
    sigma=ipywidgets.FloatSlider(0.8, min=0.1, max=1.5, step=0.1, description="σ", **lazily),
)

# %%
quiz.discuss("waves")

# %% [markdown]
# At $k = 10$ the blue histogram is far wider than the orange one. Move the sliders if the notebook is running: at
# $k = 1$ pathwise wins again, and the two are level where a wave is about as long as $q_\varphi$ is wide, near
# $k\sigma = 1$. The rule is about smoothness. **Pathwise is the better one where $f$ is smooth on the scale of
# $q_\varphi$**; a decoder network, seen from a posterior that has settled, is. A cost full of cliffs and ripples is
# not.

# %% tags=["nbval-check-output"]
ks = np.array([0.5, 1, 2, 5, 10])
z = 1 + 0.8 * np.random.default_rng(6).standard_normal(100_000)
for k in ks:
    by_path, by_score = -k * np.sin(k * z), np.cos(k * z) * (z - 1) / 0.8**2
    better = "pathwise" if by_path.var() < by_score.var() else "score function"
    print(f"kσ = {0.8 * k:3.1f}: {better} varies less")

# %% [markdown]
# ## Three recipes
#
# The normal distribution is easy to reparameterize. Which others are? Section 2.4 of [the VAE
# paper](https://arxiv.org/abs/1312.6114) gives three recipes. For each we take some distributions, a cost whose
# expectation is known, and compare the pathwise gradient with the exact one.
#
# To measure a standard error we need the gradient of *every sample* separately, and automatic differentiation gives
# gradients of a single number. A small device helps: hand each sample its own copy of the parameters, and differentiate
# the sum. The $i$-th copy touches the $i$-th term alone, so its gradient is that sample's own.


# %%
def pathwise(f, g, noise, *parameters):
    """Pathwise gradients of f(z), z = g(noise, *parameters), for each parameter and sample: [P, n]."""
    copies = [np.full(len(noise), value, "float32") for value in parameters]

    def total(*copies):
        return ops.sum(f(g(noise, *copies)))

    return np.stack([ops.convert_to_numpy(slope) for slope in value_and_gradient(total, *copies)[1]])


epsilon = np.random.default_rng(7).standard_normal(100_000).astype("float32")
by_backend = pathwise(f, lambda epsilon, mu, sigma: mu + sigma * epsilon, epsilon, mu, sigma)
by_hand = np.stack([2 * (mu + sigma * epsilon), 2 * (mu + sigma * epsilon) * epsilon])
print("largest difference from the formula:", np.abs(by_backend - by_hand).max())
assert np.abs(by_backend - by_hand).max() < 1e-4

# %% [markdown]
# The backend's gradients are those we wrote by hand: up to float32's last digits they agree, dart by dart.
#
# ### 1 · Invert the distribution function
#
# If $F_\varphi$ is the cumulative distribution function of $z$, and $u$ is uniform on $(0, 1)$, then
# $z = F_\varphi^{-1}(u)$ has just the right distribution. When the inverse is a formula, so is the path. The paper
# names Exponential, Cauchy, Logistic, Rayleigh, Pareto, Weibull, Reciprocal, Gompertz, Gumbel and Erlang.

# %%
EULER = np.euler_gamma
u = np.random.default_rng(8).uniform(1e-6, 1 - 1e-6, 200_000).astype("float32")

inverse_cdf = {
    # name: path g(u, φ), φ, cost f, gradient of E f(z)
    "Exponential": (
        lambda u, rate: -ops.log1p(-u) / rate,
        (1.5,),
        ops.square,  # E z² = 2/λ²
        [-4 / 1.5**3],
    ),
    "Cauchy": (
        lambda u, x0, gamma: x0 + gamma * ops.tan(np.pi * (u - 0.5)),
        (0.6, 0.5),
        lambda z: 1 / (1 + ops.square(z)),  # E f(z) = (1 + γ) / ((1 + γ)² + x₀²); z has no mean
        [-2 * 0.6 * 1.5 / (1.5**2 + 0.6**2) ** 2, (0.6**2 - 1.5**2) / (1.5**2 + 0.6**2) ** 2],
    ),
    "Logistic": (
        lambda u, mu, s: mu + s * ops.log(u / (1 - u)),
        (1.0, 0.5),
        ops.square,  # E z² = μ² + π²s²/3
        [2 * 1.0, 2 * 0.5 * np.pi**2 / 3],
    ),
    "Gumbel": (
        lambda u, mu, beta: mu - beta * ops.log(-ops.log(u)),
        (0.5, 0.7),
        ops.square,  # E z² = (μ + γβ)² + π²β²/6, with Euler's γ
        [2 * (0.5 + EULER * 0.7), 2 * EULER * (0.5 + EULER * 0.7) + 0.7 * np.pi**2 / 3],
    ),
}
for name, (path, parameters, cost, exact_gradient) in inverse_cdf.items():
    print(f"\n{name}: exact", " ".join(f"{value:.4f}" for value in exact_gradient))
    agrees(pathwise(cost, path, u, *parameters), exact_gradient)

# %% [markdown]
# Seven gradients, all within their standard errors (`agrees` would have stopped the notebook otherwise).

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4))
line = np.linspace(0, 4, 300)
levels = np.linspace(0.1, 0.9, 5)
for rate, style in ((1.5, "-"), (0.9, "--")):
    left.plot(line, 1 - np.exp(-rate * line), style, color="0.4", label=f"rate λ = {rate}")
for level in levels:
    start, end = -np.log(1 - level) / 1.5, -np.log(1 - level) / 0.9
    arrow = {"arrowstyle": "->", "color": PATHWISE, "linewidth": 1.8, "shrinkA": 0, "shrinkB": 0}
    left.annotate("", (end, level), (start, level), arrowprops=arrow)
    left.plot([0, start], [level, level], color="0.85", linewidth=1, zorder=0)
left.set(xlabel="z", ylabel="u = F(z)", title="u stays, z moves as λ falls")
left.legend(loc="lower right")
line = np.linspace(-3, 5, 161).astype("float32")
for name, density, colour in (
    ("Cauchy", tfd.Cauchy(0.6, 0.5), "#CC79A7"),
    ("Logistic", tfd.Logistic(1.0, 0.5), PATHWISE),
    ("Gumbel", tfd.Gumbel(0.5, 0.7), SCORE),
):
    path, parameters, *_ = inverse_cdf[name]
    z = ops.convert_to_numpy(path(u, *parameters))
    height = np.histogram(z, line)[0] / len(z) / np.diff(line)
    right.stairs(height, line, fill=True, color=colour, alpha=0.25)
    right.plot(line, ops.convert_to_numpy(density.prob(line)), color=colour, label=name)
right.set(xlabel="z", ylabel="density", title="bars: our samples, lines: TFP's densities")
right.legend()
plt.show()

# %% [markdown]
# On the left, five values of $u$ on the exponential's distribution function. When the rate falls from 1.5 to 0.9 the
# curve moves, each $u$ stays at its height, and its sample slides along: far out it slides further. On the right our
# samples lie under the densities that TensorFlow Probability (TFP) has for them.
#
# A path alone does not make an estimator. The Cauchy distribution has such heavy tails that it has no mean, which is
# why its cost was one that levels off. Take a cost that does not, $f(z) = \cos z$, with the known
# $\mathbb E \cos z = e^{-\gamma} \cos x_0$, and watch the standard error of the gradient for $\gamma$ as samples are
# added.

# %%
path, (x0, gamma), *_ = inverse_cdf["Cauchy"]
exact_gradient = -np.exp(-gamma) * np.cos(x0)
by_path = pathwise(ops.cos, path, u, x0, gamma)[1]
z = ops.convert_to_numpy(path(u, x0, gamma))
by_score = np.cos(z) * (1 / gamma - 2 * gamma / (gamma**2 + (z - x0) ** 2))
for name, samples in (("pathwise", by_path), ("score function", by_score)):
    errors = [samples[:n].std() / np.sqrt(n) for n in (2_000, 20_000, 200_000)]
    print(f"{name:15s}", "  ".join(f"{error:.4f}" for error in errors))
    assert (errors[0] > 5 * errors[2]) == (name == "score function")  # ten is expected
print(f"\nexact {exact_gradient:.4f}")
agrees(by_score, exact_gradient)

# %% [markdown]
# A hundred times the samples should make the error ten times smaller. The score function's does shrink so. The
# pathwise one does not: its gradient is $-\varepsilon \sin z$ with a Cauchy $\varepsilon$, which has neither a
# variance nor a mean of its own, so that no number of samples is enough. Differentiation may move inside an
# expectation only if what it finds there can be averaged.
#
# ### 2 · Location and scale
#
# If the parameters only shift and stretch a standard shape, draw $\varepsilon$ from that shape and set
# $z = \text{location} + \text{scale} \cdot \varepsilon$. One path serves Normal, Laplace, Student's t, Uniform,
# Triangular, and every elliptical distribution (with a matrix for the scale).

# %%
rng = np.random.default_rng(9)
standard = {
    # name: noise ε, E ε², standard density
    "Normal": (rng.standard_normal(200_000), 1.0, tfd.Normal(0.0, 1.0)),
    "Laplace": (rng.laplace(size=200_000), 2.0, tfd.Laplace(0.0, 1.0)),
    "Student's t, ν = 9": (rng.standard_t(9, size=200_000), 9 / 7, tfd.StudentT(9.0, 0.0, 1.0)),
}


def location_scale(epsilon, location, scale):
    return location + scale * epsilon


figure, axes = plt.subplots(1, 3, figsize=(9, 2.8), sharey=True)
line = np.linspace(-5, 6, 221).astype("float32")
for axis, (name, (epsilon, second_moment, density)) in zip(axes, standard.items(), strict=True):
    epsilon = epsilon.astype("float32")
    exact_gradient = [2 * mu, 2 * sigma * second_moment]  # E z² = location² + scale² E ε²
    print(f"\n{name}: exact", " ".join(f"{value:.4f}" for value in exact_gradient))
    agrees(pathwise(ops.square, location_scale, epsilon, mu, sigma), exact_gradient)

    axis.plot(line, ops.convert_to_numpy(density.prob(line)), color="0.6", label="ε")
    z = location_scale(epsilon, mu, sigma)
    height = np.histogram(z, line)[0] / len(z) / np.diff(line)
    axis.stairs(height, line, fill=True, color=PATHWISE, alpha=0.5, label="z")
    for e in (-2, -1, 0, 1, 2):
        axis.plot([e, location_scale(e, mu, sigma)], [-0.03, -0.12], color=PATHWISE, linewidth=1)
    axis.set(title=name, xlabel="ε above, z below the strings", xlim=(-4, 5))
axes[0].legend()
plt.show()

# %% [markdown]
# The blue strings under each panel lead from $\varepsilon = -2, …, 2$ to where the samples land: all shifted by
# $\mu = 1.5$, and drawn together by $\sigma = 0.8$. Only the noise changed from panel to panel; the path, and hence
# the gradient, is one line of code for all.
#
# ### 3 · Compose
#
# What the first two recipes give can be transformed further. $\exp$ of a normal variable is log-normal. Sums of
# exponential variables are Gamma. Ratios of Gammas are Beta and Dirichlet.

# %%
quiz.ask("gamma")

# %%
epsilon = np.random.default_rng(10).standard_normal(200_000).astype("float32")


def log_normal(epsilon, mu, sigma):
    return ops.exp(mu + sigma * epsilon)


mean = np.exp(0.2 + 0.5**2 / 2)  # E z = exp(μ + σ²/2)
print(f"LogNormal(0.2, 0.5): exact {mean:.4f} {0.5 * mean:.4f}")
agrees(pathwise(lambda z: z, log_normal, epsilon, 0.2, 0.5), [mean, 0.5 * mean])

terms = np.random.default_rng(11).exponential(size=(200_000, 3)).astype("float32")
print(f"\nGamma(3, 2): exact {-24 / 2**3:.4f}")  # E z² = a (a + 1) / β², here 12 / β²
agrees(pathwise(ops.square, lambda e, rate: ops.sum(e, axis=1) / rate, terms, 2.0), [-24 / 2**3])

# %%
quiz.discuss("gamma")

# %% [markdown]
# The rate's gradient is there, the shape's is not: nowhere in the code is there a 3 that could be differentiated.
# With a Dirichlet made of such Gammas *all* parameters are shapes, and none has a gradient. For its own Gamma, TFP
# does something cleverer.
#
# ### Following the path without knowing it
#
# Recipe 1 keeps $u = F_a(z)$ fixed while the parameter $a$ moves. We need not solve for $z$ to know how fast it moves:
# differentiate $F_a(z) = u$ on both sides, $\partial_a F_a(z) + q_a(z)\, \mathrm dz/\mathrm da = 0$, so
#
# $$\frac{\mathrm dz}{\mathrm da} = -\,\frac{\partial F_a(z) / \partial a}{q_a(z)}.$$
#
# This is **implicit reparameterization** ([Figurnov et al. 2018](https://arxiv.org/abs/1805.08498)). Draw $z$ by any
# method you like, then attach this gradient. For the exponential distribution it gives back what recipe 1 gave,
# $-z/\lambda$ (try it with pen and paper). For Gamma, we compare TFP's gradient with the formula,
# $\partial F/\partial a$ by finite differences.

# %%
shape, n = 2.5, 50_000


@vk.backend.compile
def gamma_gradients(shapes):
    """Samples z ~ Gamma(a, 1), and dz/da of each."""

    def draw(shapes):
        return tfd.Gamma(shapes, np.float32(1)).sample(seed=vk.backend.seed(12))

    def total(shapes):
        return ops.sum(draw(shapes))

    return draw(shapes), value_and_gradient(total, shapes)[1][0]


z, dz_da = map(ops.convert_to_numpy, gamma_gradients(np.full(n, shape, "float32")))

step = 0.02
F_right, F_left = (ops.convert_to_numpy(tfd.Gamma(shape + h, 1.0).cdf(z)) for h in (step, -step))
implicit = -(F_right - F_left) / (2 * step) / ops.convert_to_numpy(tfd.Gamma(shape, 1.0).prob(z))
middle = np.abs(z - shape) < 2.4  # far in the tails the finite differences run out of digits
print("largest difference, sample by sample:", np.abs(implicit - dz_da)[middle].max())
assert np.abs(implicit - dz_da)[middle].max() < 0.01

print(f"\nGamma({shape}, 1), gradient for the shape: exact {2 * shape + 1:.4f}")  # E z² = a (a + 1)
agrees(2 * z * dz_da, 2 * shape + 1)

# %%
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
# The arrows were drawn from TFP's gradients alone, and they end (nearly, since the paths bend) on the distribution
# function of the larger shape. That is all a path has to do. With Gammas that can be differentiated, Beta and Dirichlet
# follow by composition.


# %%
@vk.backend.compile
def dirichlet_gradients(alphas):
    """Samples z ~ Dirichlet(α), [n, 3], and the gradients dz_k/dα_l of each, [n, k, l]."""

    def draw(alphas):
        gammas = tfd.Gamma(alphas, np.float32(1)).sample(seed=vk.backend.seed(13))
        return gammas / ops.sum(gammas, axis=1, keepdims=True)

    def component(k):
        def total(alphas):
            return ops.sum(draw(alphas)[:, k])

        return value_and_gradient(total, alphas)[1][0]

    return draw(alphas), ops.stack([component(k) for k in range(3)], axis=1)


alpha = np.array([2.0, 3.0, 1.5], "float32")
z, slopes = map(ops.convert_to_numpy, dirichlet_gradients(np.tile(alpha, (20_000, 1))))
total = alpha.sum()
exact_gradient = np.eye(3)[0] / total - alpha[0] / total**2  # of E z₁ = α₁ / Σα
print("Dirichlet(2, 3, 1.5): exact", " ".join(f"{value:.4f}" for value in exact_gradient))
agrees(slopes[:, 0].T, exact_gradient)

corners = np.array([[0, 0], [1, 0], [0.5, np.sqrt(3) / 2]])
start, move = z[:90] @ corners, 0.8 * slopes[:90, :, 0] @ corners
figure, axis = plt.subplots(figsize=(5.6, 4.6))
axis.fill(*corners.T, facecolor="0.95", edgecolor="0.5")
axis.quiver(*start.T, *move.T, angles="xy", scale_units="xy", scale=1, color=PATHWISE, width=0.004)
axis.plot(*start.T, "o", color=PATHWISE, markersize=2.5)
for k, (corner, place) in enumerate(zip(corners, ("right", "left", "center"), strict=True)):
    axis.text(*corner, f" z$_{k + 1}$ = 1 ", ha=place, va="bottom" if k == 2 else "center")
axis.set(aspect="equal", xlim=(-0.25, 1.25))
axis.set_title("90 samples of a Dirichlet distribution, as α₁ grows")
axis.axis("off")
plt.show()

# %% [markdown]
# Each point of the triangle is a sample $(z_1, z_2, z_3)$ with sum one. Raise $\alpha_1$, and all of them move
# straight towards the corner of $z_1$, which is what a larger $\alpha_1$ means. Those half-way there move furthest:
# near the corner there is nowhere left to go, and next to the opposite edge, where $z_1$ is small, a step is small as
# well.
#
# You need not remember who has a path. TFP tells:

# %% tags=["nbval-check-output"]
distributions = [
    tfd.Normal(0.0, 1.0),
    tfd.StudentT(9.0, 0.0, 1.0),
    tfd.Gamma(2.0, 1.0),
    tfd.Dirichlet([2.0, 3.0, 1.5]),
    tfd.MixtureSameFamily(tfd.Categorical(probs=[0.5, 0.5]), tfd.Normal([-1.0, 1.0], 1.0)),
    tfd.Bernoulli(probs=0.3),
    tfd.Poisson(2.0),
]
for distribution in distributions:
    has_path = distribution.reparameterization_type == tfd.FULLY_REPARAMETERIZED
    print(f"{type(distribution).__name__:18s} {'has a path' if has_path else 'no path'}")

# %% [markdown]
# The last three choose something: a component, a side of a coin, a number of events. That is where the trick ends.

# %% [markdown]
# ## When there is no path: a coin
#
# Let $z$ be 1 with probability $\theta$ and 0 otherwise, with a cost $f(z) = (z - 0.45)^2$. Nothing could be simpler:
# $\mathbb E f(z) = \theta f(1) + (1 - \theta) f(0)$, with the gradient $f(1) - f(0) = 0.55^2 - 0.45^2 = 0.1$.

# %%
quiz.ask("coin")

# %% tags=["nbval-check-output"]
theta = 0.3


def coin_cost(z):
    return (z - 0.45) ** 2


u = np.random.default_rng(14).uniform(size=100_000).astype("float32")
by_hand = pathwise(coin_cost, lambda u, theta: ops.cast(u < theta, "float32"), u, theta)


def from_tfp(theta):
    z = tfd.Bernoulli(probs=theta, dtype="float32").sample(1000, seed=vk.backend.seed(15))
    return ops.mean(coin_cost(z))


_, (by_tfp,) = value_and_gradient(from_tfp, np.float32(theta))
print(f"exact gradient {coin_cost(1) - coin_cost(0):.3f}")
print(f"pathwise, by hand: mean {by_hand.mean():.3f}, variance {by_hand.var():.3f}")
print(f"pathwise, through TFP: {float(by_tfp):.3f}")

# %%
quiz.discuss("coin")

# %% [markdown]
# Zero, with perfect confidence: no noise, no warning. (TensorFlow itself would return `None`, which
# `value_and_gradient` turns into zero, as JAX does.) The score function has no such trouble. It asks for the gradient
# of $\log q_\theta(z)$, and never for that of $f$ or of $z$.

# %%
z = (u < theta).astype("float64")
score = (z - theta) / (theta * (1 - theta))  # ∂/∂θ [z log θ + (1 − z) log(1 − θ)]
coin_score = coin_cost(z) * score
agrees(coin_score, 0.1)

# %% [markdown]
# The jump may as well sit in the cost. Let a dart cost 1 if it lands right of the origin, and nothing otherwise. Then
# $L = P(z > 0)$, and its derivative for $\mu$ is the density of $z$ at the origin.

# %%
epsilon = np.random.default_rng(22).standard_normal(100_000).astype("float32")
z = location_scale(epsilon, mu, sigma)
by_path = pathwise(lambda z: ops.cast(z > 0, "float32"), location_scale, epsilon, mu, sigma)[0]
print(f"exact {float(tfd.Normal(mu, sigma).prob(0.0)):.4f}, pathwise {by_path.mean():.4f}")
agrees((z > 0) * (z - mu) / sigma**2, float(tfd.Normal(mu, sigma).prob(0.0)))
assert np.all(by_path == 0)

# %% [markdown]
# The same silence, this time with a perfectly smooth path. Both halves of the rule count: $z$ must be smooth in
# $\varphi$, and $f$ in $z$.
#
# Could one give the coin a path? Yes, if it need not be quite a coin. Replace the step by a sigmoid of temperature
# $\tau$: with $\ell = \log\frac{u}{1-u}$,
#
# $$z_\tau = \mathrm{sigmoid}\!\left(\frac{\log\frac{\theta}{1-\theta} + \ell}{\tau}\right).$$
#
# For $\tau \to 0$ this is 1 where $u > 1 - \theta$, else 0: the coin. It is called the *binary concrete* or
# *Gumbel-softmax* distribution ([Maddison et al. 2017](https://arxiv.org/abs/1611.00712),
# [Jang et al. 2017](https://arxiv.org/abs/1611.01144)), which exists for any number of categories.

# %%
quiz.ask("temperature")


# %%
def relaxed(temperature):
    def logit(p):
        return ops.log(p) - ops.log(1 - p)

    def path(u, theta):
        return ops.sigmoid((logit(theta) + logit(u)) / temperature)

    return path


# evenly spaced u: averages without sampling noise
grid = ((np.arange(200_000) + 0.5) / 200_000).astype("float32")
temperatures = np.geomspace(0.03, 3, 25)
slopes = [pathwise(coin_cost, relaxed(t), grid, theta)[0].astype("float64") for t in temperatures]
means, variances = np.array([s.mean() for s in slopes]), np.array([s.var() for s in slopes])

figure, (left, middle, right) = plt.subplots(1, 3, figsize=(9, 3.2))
for t, colour in ((2.0, "#56B4E9"), (0.5, PATHWISE), (0.1, "#003F66")):
    z = ops.convert_to_numpy(relaxed(t)(grid[::200], theta))
    left.plot(grid[::200], z, color=colour, label=f"τ = {t}")
left.step([0, 1 - theta, 1], [0, 0, 1], where="pre", color=EXACT, linestyle="--", label="the coin")
left.set(xlabel="noise u", ylabel="z", title=f"relaxed coins, θ = {theta}")
left.legend(loc="upper left")
middle.axhline(0.1, color=EXACT, linestyle="--", linewidth=1)
middle.text(temperatures[-1], 0.103, "exact", ha="right", va="bottom")
middle.semilogx(temperatures, means, color=PATHWISE)
middle.set(xlabel="temperature τ", ylim=(-0.08, 0.13), title="mean gradient for θ")
right.loglog(temperatures, variances**0.5, color=PATHWISE, label="relaxed")
right.axhline(coin_score.std(), color=SCORE, label="score function")
right.set(xlabel="temperature τ", title="standard deviation, one sample")
right.legend()
plt.show()
assert abs(means[0] - 0.1) < 0.02 and abs(means[-1] - 0.1) > 0.05 and variances[0] > 20 * variances[-1]

# %%
quiz.discuss("temperature")

# %% [markdown]
# In the middle the bias: cold coins are nearly right on average, but from $\tau \approx 0.3$ on the mean gradient
# even has the wrong sign, and descent would turn $\theta$ the wrong way. On the right the spread of a single sample,
# which grows as the coin gets colder. Where it is below that of the score function, which has no bias, the sign is
# already wrong. (This coin is a hard case: $f(0)$ and $f(1)$ are nearly equal, with a valley between them where a
# real coin never lands, and a relaxed one does.) No temperature comes for free. The rule for choosing is short:
#
# - continuous $z$ with a path, smooth $f$: pathwise;
# - discrete $z$, or an $f$ that you cannot differentiate (a game, a simulator): the score function with a good
#   baseline;
# - discrete $z$, and you must have low variance: relax it, and know that you have changed the problem.

# %% [markdown]
# ## The encoder of a VAE
#
# In a VAE there is not one distribution but one for each image: an encoder network computes $\mu(x)$ and $\sigma(x)$,
# and $q_\varphi(z|x) = \mathcal N\big(\mu(x), \mathrm{diag}\,\sigma^2(x)\big)$, with all weights of the encoder in
# $\varphi$. The path is recipe 2, coordinate by coordinate:
#
# $$z = \mu(x) + \sigma(x) \odot \varepsilon, \qquad \varepsilon \sim \mathcal N(0, I).$$
#
# vaekit has this as a layer. It turns features into a distribution, a `tfd.Distribution` that can sample and
# evaluate its log-density.

# %% tags=["nbval-check-output"]
random_weights = keras.initializers.RandomNormal(stddev=0.6, seed=16)
layer = vk.layers.DiagonalNormal(2, kernel_initializer=random_weights)
x = np.random.default_rng(170).standard_normal((3, 5)).astype("float32")  # three "images"
q = layer(x)
print(q.batch_shape, q.event_shape, q.reparameterization_type == tfd.FULLY_REPARAMETERIZED)

# %% [markdown]
# Three distributions over two dimensions, fully reparameterized. Now do by hand what the layer does, and compare the
# gradients with respect to its *weights*, through the dice. The layer has two heads, affine maps for $\mu$ and for
# $\log\sigma^2$. We draw once from the layer, work out which $\varepsilon$ it must have used, and feed the same to our
# own lines.


# %%
def cost_of(z):
    return ops.sum(ops.square(z) + ops.cos(3 * z))  # some smooth cost


def with_vaekit():
    return cost_of(layer(x).sample(seed=vk.backend.seed(18)))


epsilon = ops.convert_to_numpy((q.sample(seed=vk.backend.seed(18)) - q.mean()) / q.stddev())


def by_hand():
    mean, log_variance = layer.heads["mean"](x), layer.heads["log_variance"](x)
    z = mean + ops.exp(log_variance / 2) * epsilon  # z = μ + σ ⊙ ε
    return cost_of(z)


weights = layer.trainable_variables
(value, gradient), (own_value, own_gradient) = (
    vk.backend.variables_gradient(function, weights) for function in (with_vaekit, by_hand)
)

# %% tags=["nbval-check-output"]
for weight, ours, layers in zip(weights, own_gradient, gradient, strict=True):
    same = np.allclose(ops.convert_to_numpy(ours), ops.convert_to_numpy(layers), rtol=1e-4, atol=1e-4)
    some = bool(np.abs(ops.convert_to_numpy(ours)).max() > 0)
    name = weight.path.split("/", 1)[-1]
    print(f"{name:20s} {str(tuple(weight.shape)):8s} same: {same}, not just zero: {some}")

# %% [markdown]
# Equal for the weights and biases of both heads, and none of them zero: the gradient has passed through the sampling.
# There is no magic in the layer. It is the line `z = mean + exp(log_variance / 2) * epsilon`.

# %%
epsilon = np.random.default_rng(19).standard_normal((250, 2))
means, scales = ops.convert_to_numpy(q.mean()), ops.convert_to_numpy(q.stddev())
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4))
left.scatter(*epsilon.T, s=6, color="0.5")
for j in range(4):
    left.plot(*epsilon[j], "*", color=EXACT, markersize=11)
left.set(title="noise ε, the same for all", xlabel="ε₁", ylabel="ε₂", aspect="equal")
for i, (colour, marker) in enumerate(((PATHWISE, "o"), (SCORE, "s"), (BASELINE, "^"))):
    z = means[i] + scales[i] * epsilon  # [250, 2]
    right.scatter(*z.T, s=8, marker=marker, color=colour, alpha=0.5, label=f"q(z|x), image {i + 1}")
    right.plot(*z[:4].T, "*", color=EXACT, markersize=9)
right.set(title="z = μ(x) + σ(x) ⊙ ε", xlabel="z₁", ylabel="z₂", aspect="equal")
right.legend(markerscale=2)
plt.show()

# %% [markdown]
# One cloud of noise, shifted and stretched in three ways; the stars are the same four $\varepsilon$ everywhere. When
# training changes the encoder, clouds move and stretch, and each $z$ moves with its cloud. That motion is what
# the gradient follows. All that is left to do for a VAE is to choose the cost, and that is the next lesson.

# %% [markdown]
# ## When it goes wrong
#
# Four mistakes that are easily made; the third is found in published code. None raises an error. We try them on the
# darts, where we know the gradients for $\mu$ and for $a = \log\sigma^2$: $L = \mu^2 + e^a$, hence $2\mu = 3$ and
# $e^a = 0.64$.

# %%
epsilon = np.random.default_rng(20).standard_normal(100_000).astype("float32")
a = np.log(sigma**2)


def log_normal_density(z, mu, a):
    return -0.5 * (np.log(2 * np.pi) + a + (z - mu) ** 2 / ops.exp(a))


def right_way(mu, a):
    return ops.mean(f(mu + ops.exp(a / 2) * epsilon))


def scale_for_variance(mu, a):
    return ops.mean(f(mu + ops.exp(a) * epsilon))  # e^a is σ², not σ


def score_with_a_path(mu, a):
    z = mu + ops.exp(a / 2) * epsilon
    return ops.mean(f(z) * log_normal_density(z, mu, a))


def score_without(mu, a):
    z = ops.stop_gradient(mu + ops.exp(a / 2) * epsilon)
    return ops.mean(f(z) * log_normal_density(z, mu, a))


for attempt in (right_way, scale_for_variance, score_with_a_path, score_without):
    _, (for_mu, for_a) = value_and_gradient(attempt, np.float32(mu), np.float32(a))
    right = abs(float(for_mu) - 3) < 0.1 and abs(float(for_a) - 0.64) < 0.1
    verdict = "right" if right else "WRONG"
    print(f"{attempt.__name__:20s} ∂μ {float(for_mu):6.2f}  ∂a {float(for_a):6.2f}  {verdict}")
    assert right == (attempt in (right_way, score_without))

# %% [markdown]
# **Scale for variance.** A head called `log_var`, and `exp(log_var)` used as if it were $\sigma$. The gradient for
# $a$ is off, here by a quarter, and worse, the samples no longer come from the distribution whose KL divergence the
# loss computes, so the bound is none. *Test:* draw many samples, compare their spread with the distribution's
# `stddev()`.
#
# **A path through the score.** The score-function estimator differentiates $\log q_\varphi(z)$ *at a fixed* $z$,
# times the plain number $f(z)$. Give it a reparameterized sample, and the gradient runs through $z$ as well: the
# score cancels (for fixed $\varepsilon$ the density at $\mu + \sigma\varepsilon$ does not depend on $\mu$ at all),
# and what is left is $f'(z)$ times $\log q_\varphi(z)$, which means nothing. Here even its sign is wrong. *Cure:*
# `ops.stop_gradient` around the sample, the one difference between the last two lines of the table.
#
# Two more need no wrong formula, only a line in the wrong place.


# %%
def clipped_sample(a):
    return ops.mean(f(mu + ops.exp(ops.clip(a, -6, 2) / 2) * epsilon))


_, (dead,) = value_and_gradient(clipped_sample, np.float32(3))
print(f"a = 3, clipped to 2 in the sample: gradient {float(dead):.1f}, unclipped {np.exp(3):.1f}\n")

rng = np.random.default_rng(21)  # 2000 batches of 100 darts, ∂μ of each dart
own = 2 * (mu + sigma * rng.standard_normal((2000, 100)))
shared = 2 * (mu + sigma * np.repeat(rng.standard_normal((2000, 1)), 100, axis=1))
for name, batches in (("an ε for each dart", own), ("one ε a batch", shared)):
    print(f"{name:19s}: variance of the batch's mean gradient {batches.mean(axis=1).var():.4f}")
assert float(dead) == 0 and shared.mean(axis=1).var() > 50 * own.mean(axis=1).var()

# %% [markdown]
# **Clipping in one place only.** Keeping $\log\sigma^2$ in a range is a sound idea. Clipping it where you sample but
# not where you compute the KL divergence is not: outside of the range the sample's gradient is dead, and the KL's
# pulls alone. `DiagonalNormal(…, log_variance_range=(-6, 2))` clips once, before either.
#
# **One noise for the whole batch.** An $\varepsilon$ of shape `[D]` that broadcasts against `[B, D]`: no error, no
# bias, but the errors of the batch's rows are now the same error, and averaging a hundred of them removes nothing.
# The variance above is about a hundred times what you paid for. *Test:* encode the same image twice in one batch; the
# two samples must differ.

# %% [markdown]
# ## Take-aways
#
# A gradient of an expectation can be taken by reweighting samples (score function) or by moving them (pathwise). Both
# are unbiased where they apply.
#
# Pathwise uses the slope of $f$ and so learns a direction from one sample. Its variance does not grow with the number
# of other dimensions; the score function's does, even with the best baseline. It loses where $f$ is rough on the
# scale of $q_\varphi$, and it is silently zero where $z$ or $f$ jumps.
#
# A path comes from an inverse distribution function, from location and scale, from composing these, or, implicitly,
# from the distribution function alone.
#
# In a VAE the path is $z = \mu(x) + \sigma(x) \odot \varepsilon$. One sample an image is enough.
#
# **To do next:** [exercise 01](../exercises/01_the_reparameterization_trick/01_the_reparameterization_trick.ipynb). You
# will write paths for exponential, log-normal and truncated distributions, far out in their tails, too, a
# score-function estimator, a Keras layer, and a path for a mixture of Gaussians, which nobody can invert; each answer
# is checked at once. Then [lesson 02](02_the_variational_autoencoder.ipynb) puts the path to work: a whole variational
# autoencoder, from a blank page.
