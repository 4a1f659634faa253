# %% [markdown]
# # 10 · Calibrated decoders: σ-VAE
#
# Most VAEs that one finds on the web are trained on grey values or colours, by a squared error plus a KL, often with a
# factor $\beta$ before the KL that somebody has tuned. No distribution is in sight, and yet there is one: a normal
# decoder whose standard deviation $\sigma$ nobody has chosen. This lesson is about that number. [A paper of
# 2020](https://arxiv.org/abs/2006.13202) says what it should be, in one line, and then there is nothing left to tune.
#
# **After it, you will be able to**
#
# - say which $\sigma$ is meant by any sum of squared error and KL, and which $\beta$ is hidden in a $\sigma$;
# - fix $\sigma$, learn it, or compute the best one, and say through which of them a gradient has to pass;
# - choose between one $\sigma$, one for each image, and one for each pixel, and say what each is good for;
# - read a loss below zero, and tell which two numbers may be compared;
# - check whether a decoder is as sure as it ought to be.
#
# **You need** lesson 02, and of lesson 07 the section "Grey pixels". Lesson 09 is not needed.
#
# **It takes** about {minutes} minutes of yours, and three of a laptop's CPU.

# %% tags=["hide-input"]
# # %pip install "vaekit[course]"
import vaekit as vk  # first: it keeps the backend's start-up messages out of the notebook
from vaekit.course import epochs, holds
from vaekit.course.quiz import Quiz
from vaekit.course.show import explore

quiz = Quiz("10")

import zlib

import ipywidgets
import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import Sequential, ops
from keras.optimizers import Adam
from scipy.stats import norm

from vaekit.backend import value_and_gradient
from vaekit.papers import rybkin2020 as paper
from vaekit.plotting import COLORS, Figure

BLUE, ORANGE = COLORS[:2]  # the model p, the encoder q
plt.rcParams.update({"figure.dpi": 80, "figure.constrained_layout.use": True, "axes.spines.top": False})
plt.rcParams.update({"axes.spines.right": False, "legend.frameon": False, "axes.titlesize": "medium"})

# %% [markdown]
# The data are the grey digits of MNIST-10k, with each square of four pixels averaged into one, to save your time: 14×14
# pixels, $D = 196$, rounded to one of 256 grey values between 0 and 1.

# %%
images = vk.datasets.load("mnist_10k")


def shrunk(grey):
    four = np.asarray(grey).reshape(-1, 14, 2, 14, 2, 1)
    return np.rint(255 * four.mean(axis=(2, 4))).astype("float32") / 255


train, test = shrunk(images.train[: epochs(10_000, 300)]), shrunk(images.test[: epochs(1000, 100)])
D = train[0].size

# %% [markdown]
# ## Who chose the unit?
#
# For grey values the decoder names a mean $\mu_\theta(z)$ for each pixel, and a standard deviation $\sigma$, for now
# the same one everywhere: $p_\theta(x|z) = \mathcal N(\mu_\theta(z), \sigma^2 I)$. Write $S = \|x - \mu_\theta(z)\|^2$
# for the sum of the $D$ squared errors. Minus the logarithm of the density is
#
# $$-\log p_\theta(x|z) = D \log\sigma + \frac{S}{2\sigma^2} + \frac D2 \log 2\pi.$$
#
# With $\sigma = 1$ that is half the squared error and a constant. So "half the squared error plus KL" is a VAE, and it
# makes a claim: that pixels miss their means by about 1. The pixels run from 0, black, to 1, white.
#
# We train two VAEs that differ in nothing but $\sigma$, 1 and 0.1. Each has 20 latents, and a hidden layer of 200 units
# in encoder and decoder; means are squeezed into $(0, 1)$ by a sigmoid.


# %%
def vae(head):
    keras.utils.set_random_seed(1)
    encoder = Sequential([vk.layers.MLP(200, "relu"), vk.layers.DiagonalNormal(20)])
    model = vk.VAE(encoder, Sequential([vk.layers.MLP(200, "relu"), head]), seed=1)
    model.compile(Adam(0.003), objective=vk.objectives.ELBO(analytic_kl=True))
    return model


def normal(scale, soft_clip=None):  # soft_clip: for later
    return vk.layers.Normal((14, 14, 1), scale, mean_activation="sigmoid", soft_clip=soft_clip)


# %% tags=["hide-input"]
features = vk.evaluation.lenet_features(train, images.labels.train[: len(train)], epochs=epochs(3))  # for later
models, curves = {}, {}
when = (1, 4, 12)[: epochs(3, 1)]  # epochs


def decoded(model, x):
    """μ and σ of the decoder, arrays shaped like x, at a code drawn for each image."""
    p = model.decoder(model.encode(x, mean=False, seed=1)).distribution
    return ops.convert_to_numpy(p.loc), ops.convert_to_numpy(p.scale)


def measured(model):
    """Bound and KL on test images, FID of as many samples' means, typical error, σ."""
    parts, (mu, scale) = model.evaluate(test, verbose=0, seed=0), decoded(model, test)
    fid = vk.evaluation.fid(model, test, features, mean=True).distance
    return parts["bound"], parts["kl"], fid, np.sqrt(np.mean((test - mu) ** 2)), np.exp(np.log(scale).mean())


def trained(name, head):
    """Trains a model for 12 epochs, and measures it now and then."""
    models[name], curves[name], done = vae(head), [], 0
    for now in when:
        models[name].fit(train, batch_size=100, epochs=epochs(now - done, 0), verbose=0)
        curves[name].append(measured(models[name]))
        done = now


def draw_rows(rows, height=0.7):
    """Draws rows of images, each with its name: a dict of arrays."""
    figure = Figure(figsize=(7.5, height * len(rows)))
    for axis, (name, row) in zip(figure.subplots(len(rows), 1), rows.items(), strict=True):
        axis.imshow(np.hstack(np.asarray(row)[..., 0]), cmap="gray", vmin=0, vmax=1)
        axis.set(xticks=[], yticks=[])
        axis.set_ylabel(name, rotation=0, ha="right", va="center")
    return figure


# %%
quiz.ask("unit")

# %%
trained("σ = 1", normal(1.0))
trained("σ = 0.1", normal(0.1))

# %% tags=["hide-input"]
rows = {"test images": test[:12]}
print("           bound       KL   typical error")
for name in ("σ = 1", "σ = 0.1"):
    bound, kl, _, error, _ = curves[name][-1]
    print(f"{name:8s}{bound:8.1f}{kl:9.1f}{error:12.3f}")
    rows[f"{name}: means"] = decoded(models[name], test[:12])[0]
    rows[f"{name}: samples"] = models[name].sample(12, mean=True, seed=2)
rows["σ = 1: with noise"] = models["σ = 1"].sample(12, seed=2)
draw_rows(rows)

# %%
quiz.discuss("unit")

# %% tags=["hide-input"]
one, tenth = curves["σ = 1"][-1], curves["σ = 0.1"][-1]
holds(one[1] < 0.5, tenth[1] > 25, 4 < D * one[3] ** 2 / 2 < 6, tenth[3] < 0.55 * one[3], tenth[0] > 0 > one[0])

# %% [markdown]
# ("Typical error" is the root of the mean of $(x - \mu)^2$ over all pixels. Samples are usually shown by their means
# $\mu_\theta(z)$, without the decoder's noise. The last row is with it: that is what $\sigma = 1$ believes images to
# be.)
#
# With $\sigma = 1$ the code says next to nothing, and the decoder paints nearly the same blot for everybody, the mean
# of all images. That is no fault of the network: with $\sigma = 0.1$ its reconstructions are good. (Its samples, the
# row below, are mostly fragments: that draws from the prior often miss where the codes lie is a likely cause.) A
# decoder that expects errors of 1 is not surprised by errors of 0.2: $S/2$ is $196 \cdot 0.227^2/2$, five nats an
# image, and more than these five cannot be won by any code. And each direction of the code could win only a part of
# them: hardly any direction in which the images vary has a variance above $\sigma^2 = 1$, and what varies less is not
# worth its code. The second decoder's code costs 37. (At full size there are four times as many pixels to win by. Then
# some six nats of code are worth their price, as the last table shows.)
#
# The bound of the second is *positive*, its loss negative. Nothing is wrong: $p_\theta(x)$ is a density, and a density
# can be larger than one. We come back to that.
#
# ## β and σ² are one
#
# The usual cure for blots is a factor before the KL, $\frac12 S + \beta\,\mathrm{KL}$ with a small $\beta$: the
# **$\beta$-VAE** that lesson 02 ran into by accident. Compare two losses, at the same weights and with the same draws
# of $z$: (A) minus the bound with $\sigma = 0.1$, and (B) $\frac12 S + \beta\,\mathrm{KL}$ with $\beta = 0.01$.

# %%
quiz.ask("gradients")


# %%
def gradient(sigma, beta):
    """Of loss and β, by the library: a list of arrays, one for each weight."""
    model = vae(normal(sigma))  # always the same first weights
    model.build((None, 14, 14, 1))
    objective = vk.objectives.ELBO(analytic_kl=True, beta=beta)
    # one step is not worth compiling: run_eagerly
    model.compile(keras.optimizers.SGD(1.0), objective=objective, run_eagerly=True)
    before = model.get_weights()
    model.fit(train[:100], batch_size=100, verbose=0)  # one step: weights become weights − gradient
    return [old - new for old, new in zip(before, model.get_weights(), strict=True) if old.dtype.kind == "f"]


A, B = gradient(0.1, beta=1.0), gradient(1.0, beta=0.01)
# %% tags=["hide-input"]
ratios = np.array([np.sum(a * b) / np.sum(b * b) for a, b in zip(A, B, strict=True) if np.any(b)])
rest = max(np.linalg.norm(a - 100 * b) / np.linalg.norm(a) for a, b in zip(A, B, strict=True) if np.any(b))
print("A / B, for each array of weights:", *(f"{ratio:.2f}" for ratio in ratios))
print("largest part of A that is not along B:", "below 1 %" if rest < 0.01 else f"{rest:.1%}")
holds(np.allclose(ratios, 100, rtol=0.01), rest < 0.01, len(ratios) >= 8)

# %%
quiz.discuss("gradients")

# %% [markdown]
# Multiply minus the bound by $\sigma^2$, which does not change where its minimum is:
#
# $$\sigma^2 \Big(\frac{S}{2\sigma^2} + \mathrm{KL}\Big) = \tfrac12 S + \sigma^2\,\mathrm{KL}.$$
#
# So **$\beta$ with $\sigma = 1$ is $\sigma = \sqrt\beta$ with $\beta = 1$**: same gradient up to a factor, and the same
# minimum. (Adam hardly sees the factor: it divides each gradient by that gradient's own recent size. With plain SGD the
# learning rate has to be divided by it.) It is the same model, written in two ways. The difference is in what may be
# reported: with $\sigma = \sqrt\beta$ written out, minus the loss is a bound on $\log p_\theta(x)$, and with a $\beta$
# below 1 it is a bound on nothing.
#
# In general: of $a S + b\,\mathrm{KL}$ divide by $b$, compare $a/b$ with $\frac1{2\sigma^2}$, and find
# $\sigma^2 = \frac b{2a}$. What $\sigma$ is hidden in the losses that people write? Grey values run from 0 to 1, but
# for one line; $\sigma$ is always stated in that unit.

# %% tags=["nbval-check-output"]
pixels, latents = 784, 20  # MNIST at full size
losses = {  # a, b
    "S / 2 + KL": (1 / 2, 1),
    "S + KL": (1, 1),
    "mean over pixels + KL": (1 / pixels, 1),
    "mean over pixels + mean over latents": (1 / pixels, 1 / latents),
    "S + KL, pixels from 0 to 255": (255**2, 1),
    "S + 0.01 KL, the paper's best β": (1, 0.01),
}
for name, (a, b) in losses.items():
    sigma = np.sqrt(b / (2 * a))
    print(f"{name:38s}σ = {sigma:8.4f}   β = σ² = {sigma**2:.3g}")

# %% [markdown]
# Nobody has *chosen* $\beta = 1$, then. Whoever divides pixels by 255 multiplies $\beta$ by 65025. Whoever averages
# over pixels, as `keras.losses` does, believes in errors twenty times as large as the whole range of grey: no code is
# worth having. To have $\sigma = 0.1$ with the third line, take $b = 2 a \sigma^2 = 0.02/784$, some
# hundred-thousandths, and that is how such $\beta$ get into papers. **A $\beta$ without its unit and its sums says
# nothing.** The $\beta$ of our paper stands next to $S$ without the $\frac12$, so that $\sigma^2 = \beta/2$.

# %% [markdown]
# ## The best σ
#
# If $\beta$ is a $\sigma^2$, then it need not be tuned by looking at samples. It is a parameter of $p_\theta$, and the
# likelihood can choose it like any other. Take the model that was trained with $\sigma = 0.1$, freeze all its means,
# and look for the best $\sigma$ for them, that with the lowest $\log\sigma + \frac{S}{2 D \sigma^2}$. (There is one
# $\sigma$ for all images. So in this section and the next $S$ is the sum of *their* squared errors, and $D$ the number
# of all their pixels.)

# %%
quiz.ask("best")

# %% tags=["hide-input"]
mu, _ = decoded(models["σ = 0.1"], test)
errors = (test - mu).ravel()
grid = np.geomspace(0.02, 0.5, 200)


def cost(sigma):
    """−log p of a pixel on average, nats."""
    return np.log(sigma) + np.mean(errors**2) / (2 * sigma**2) + np.log(2 * np.pi) / 2


def bell(sigma):
    figure = Figure(figsize=(8.5, 3.2))
    left, right = figure.subplots(1, 2)
    left.hist(errors, np.linspace(-0.5, 0.5, 101), density=True, color="0.75")
    x = np.linspace(-0.5, 0.5, 300)
    left.semilogy(x, norm.pdf(x, 0, sigma), color=BLUE)
    left.set(xlabel="x − μ, all pixels", ylabel="density", ylim=(1e-3, 60), title=f"σ = {sigma:.3f}")
    right.semilogx(grid, cost(grid), color=BLUE)
    right.plot(sigma, cost(sigma), "o", color=BLUE)
    right.set(xlabel="σ", ylabel="nats a pixel", ylim=(-1.3, 1), title=f"{cost(sigma):.3f} nats a pixel")
    right.set(xticks=[0.02, 0.05, 0.1, 0.2, 0.5], xticklabels=["0.02", "0.05", "0.1", "0.2", "0.5"])
    right.minorticks_off()
    return figure


explore(bell, sigma=ipywidgets.FloatLogSlider(0.2, min=-1.7, max=-0.3, step=0.01, description="σ"))

# %% tags=["hide-input"]
candidates = {
    "mean of |x − μ|": np.abs(errors).mean(),
    "root of the mean of (x − μ)²": np.sqrt(np.mean(errors**2)),
    "68 % of the errors within": np.quantile(np.abs(errors), 0.68),
}
for name, sigma in candidates.items():
    print(f"{name:32s}σ = {sigma:.3f}   {cost(sigma):7.3f} nats a pixel")
lowest = grid[cost(grid).argmin()]
holds(abs(lowest / candidates["root of the mean of (x − μ)²"] - 1) < 0.02, *(cost(s) < 2000 for s in grid))
holds(candidates["68 % of the errors within"] < 0.5 * lowest, candidates["mean of |x − μ|"] < 0.6 * lowest)

# %%
quiz.discuss("best")

# %% [markdown]
# The root of the mean square it is, 0.09. (That 68 % lie within a sixth of it says that these errors are not normal. We
# come back to that, too.) On the left, the errors (grey), on a logarithmic scale, and the bell of $\sigma$. Move it: a
# bell that is too wide wastes density on errors that do not occur, and one that is too narrow pays a fortune for those
# that do. The lowest point can be computed:
#
# $$\frac{\partial}{\partial\sigma}\Big(D\log\sigma + \frac{S}{2\sigma^2}\Big) = \frac D\sigma - \frac{S}{\sigma^3} = 0
# \quad\Longleftrightarrow\quad \sigma^{*2} = \frac SD = \mathrm{MSE}.$$
#
# The derivative is negative below $\sigma^*$ and positive above, so it is the minimum. **The mean squared error is the
# best $\sigma^2$**, and its root the best $\sigma$. (The paper's equation 5 once read $\sigma^* = \mathrm{MSE}$. [A
# reader asked](https://github.com/orybkin/sigma-vae-pytorch/issues/1), and its author agreed that the square was
# missing. One need not ask. Check the units: an error squared cannot be a standard deviation.)
#
# Put $\sigma^*$ back in. The quotient is $S / 2\sigma^{*2} = D/2$ whatever the errors, a constant, and what is left is
# $D \log\sigma^*$:
#
# $$-\log p_\theta(x|z) = \frac D2 \log \mathrm{MSE} + \frac D2 \log 2\pi e.$$
#
# That is the paper's whole proposal: **in place of the squared error, $\frac D2$ times the logarithm of its mean.** It
# is the mean over all images that share the $\sigma$, in training those of the batch. (A mean of logarithms, each
# image's or each pixel's own, looks much the same in code. It has a $\sigma^*$ for each of them, and is another model.)
#
# With it, $\beta$ is gone. To be exact, it is hidden. The slope of the logarithm is $1/S$, so $\frac D2 \log S$ has the
# gradient $\frac D{2S} \nabla S = \frac1{2\sigma^{*2}} \nabla S$. That is the gradient of a decoder whose $\sigma$ is
# fixed at today's $\sigma^*$. So $\beta = \mathrm{MSE}$, and it follows the errors down as they shrink.
#
# ### Does the gradient pass through σ*?
#
# $\sigma^*$ depends on $\mu_\theta(z)$. In code, there is a choice: $\sigma^*$ stands in two places, in $D\log\sigma^*$
# and in $S/2\sigma^{*2}$, and in each of them one may put `ops.stop_gradient` around it.

# %%
quiz.ask("through")


# %%
def loss(mu, stop_log, stop_quotient):
    """−log p(x|z) with σ*, without its constant."""
    S = ops.sum((x - mu) ** 2)
    sigma = ops.sqrt(S / x.size)
    in_log = ops.stop_gradient(sigma) if stop_log else sigma
    in_quotient = ops.stop_gradient(sigma) if stop_quotient else sigma
    return x.size * ops.log(in_log) + S / (2 * in_quotient**2)


x, first = test[:100], mu[:100]
wanted = -(x - first) / np.mean((x - first) ** 2)  # ∇S / 2σ*², by hand
slopes = {}
for stops in ((False, False), (True, True), (True, False), (False, True)):
    value, (slope,) = value_and_gradient(lambda mu, stops=stops: loss(mu, *stops), first)
    slopes[stops] = float(np.sum(ops.convert_to_numpy(slope) * wanted) / np.sum(wanted**2))
    print("stopped in log: {!s:5}  in quotient: {!s:5}".format(*stops), end="")
    print(f"   value {float(value):.0f}, gradient / the right one: {slopes[stops]:z.3f}")

# %%
quiz.discuss("through")

# %% tags=["hide-input"]
holds(np.allclose(list(slopes.values()), [1, 1, 0, 2], atol=2e-3))

# %% [markdown]
# All four have the same value. Through both, or through none, is right; through one is wrong by a whole gradient. By
# the chain rule, what comes through $\sigma^*$ is $\frac{\partial}{\partial\sigma}(\dots) \cdot \nabla\sigma^*$, and
# the first factor is zero: that is how $\sigma^*$ was defined. (This is called the *envelope theorem*.) So stopping
# changes nothing **as long as $\sigma^*$ is the minimum for the very errors that it divides**. With a floor under it,
# or with a running average in its place, it is not, and then a stop makes a difference. The paper lets the gradient
# pass. (Users ask whether it should. Its author had tried both, and seen no great difference. Now you know why.)

# %% [markdown]
# ## Whose σ?
#
# A single number for all images is the simplest choice. There are others, and in vaekit all are one layer,
# `Normal(shape, scale)`:
#
# - `1.0`, or any number: fixed.
# - `"shared"`: one number, a weight that is learned as $\log\sigma$, starting at $\sigma = 1$.
# - `"optimal"`: $\sigma^*$ of the batch, as in the last cell.
# - `"optimal_image"`: $\sigma^*$ of each image, from its own 196 errors.
# - `"image"`, `"pixel"`: the decoder network puts out $\log\sigma$ beside $\mu$, one for each image or for each pixel.
#
# A $\sigma^*$ that is computed from $x$ may be used in training only. At test time $p_\theta(x|z)$ would look at $x$
# before it says how sure it is, and not integrate to one. (In training, $\sigma^*$ of a whole batch is close to the one
# for all training images, and that is a parameter like any other. $\sigma^*$ of a single image is not.) So vaekit keeps
# a running mean of $\sigma^{*2}$, and evaluates both optimal ones with that. (The paper's code takes $\sigma^*$ of the
# test batch.)
#
# The network of `"pixel"` gets a floor, the paper's *soft clip*, $\log\sigma = -6 + \mathrm{softplus}(l + 6)$ for an
# output $l$. So $\sigma > e^{-6} = 0.0025$, less than one grey value. We give it to all that are not fixed, and look at
# it in the next section.
#
# Bounds can be compared, since all of these are densities of the same images. For samples we need a number as well. The
# **Fréchet distance**, FID for short, takes a network that was trained to tell images apart, and computes its features
# for samples and for real images. It takes both clouds of features as normal, and measures how far apart these are, in
# mean and covariance: 0 if they agree, less is better. Its size depends on the features and on the number of images, so
# only FIDs of the same kind can be compared. We take it of the samples' means, without the decoder's noise. Our
# features are the last hidden layer of a small digit classifier (the paper's: a network for photographs, *Inception*),
# so our FIDs can be compared with each other, and with no paper's.

# %%
quiz.ask("whose")

# %%
for scale in ("shared", "image", "pixel", "optimal", "optimal_image")[: epochs(5, 3)]:
    trained(scale, normal(scale, soft_clip=-6.0))

# %% tags=["hide-input"]
print("                  bound      KL     FID   typical error      σ")
for name, rows in curves.items():
    print("{:15s}{:8.1f}{:8.1f}{:8.1f}{:12.3f}{:12.3f}".format(name, *rows[-1]))
STYLES = {
    "σ = 1": dict(color="0.6", linestyle=":"),
    "σ = 0.1": dict(color="0.6", linestyle="--"),
    "shared": dict(color="black"),
    "optimal": dict(color=BLUE),
    "optimal_image": dict(color=BLUE, linestyle="--"),
    "image": dict(color=BLUE, linestyle=":"),
    "pixel": dict(color="red"),
}
figure = Figure(figsize=(11, 3))
bounds, left, right = figure.subplots(1, 3)
for name, style in STYLES.items():
    if name in curves:
        bounds.semilogx(when, [row[0] for row in curves[name]], marker=".", **style)
        left.loglog(when, [row[2] for row in curves[name]], ".", label=name, **{"linestyle": "-", **style})
    if name in curves and name in ("σ = 1", "σ = 0.1", "shared", "optimal"):
        right.loglog(when, [row[4] for row in curves[name]], marker=".", **style)
for axis, title in ((bounds, "bound"), (left, "FID of samples"), (right, "σ")):
    axis.set(xlabel="epoch", title=title, xticks=when, xticklabels=when)
    axis.minorticks_off()
right.set(yticks=[0.1, 0.2, 0.5, 1], yticklabels=["0.1", "0.2", "0.5", "1"])
left.set(yticks=[20, 50, 100, 200], yticklabels=["20", "50", "100", "200"])
figure.legend(loc="outside right center")
figure

# %% tags=["hide-input"]
draw_rows({name: models[name].sample(14, mean=True, seed=3) for name in STYLES if name in models}, 0.6)

# %%
quiz.discuss("whose")

# %% tags=["hide-input"]
if "optimal" in curves:
    last = [{name: rows[-1][i] for name, rows in curves.items()} for i in range(5)]
    bound, kl, fid, error, sigma = last
    single = [name for name in fid if name not in ("σ = 1", "pixel")]
    holds(bound["pixel"] > max(bound[name] for name in single) + 250, fid["pixel"] > 1.4 * max(fid[n] for n in single))
    holds(fid["σ = 1"] > fid["pixel"], all(fid[name] < 35 for name in single), error["pixel"] > 1.2 * error["shared"])
    holds(curves["shared"][1][4] > 2 * curves["optimal"][1][4], 0.06 < sigma["optimal"] < sigma["shared"] < 0.12)
    holds(abs(bound["image"] - bound["optimal"]) < 40, bound["image"] > bound["optimal_image"])
    holds(all(curves["pixel"][0][0] > rows[0][0] for name, rows in curves.items() if name != "pixel"))

# %% [markdown]
# `pixel` has a bound nearly four hundred nats above all others, and is ahead from the first epoch on. But its errors
# are larger by three tenths or more than those of all but $\sigma = 1$, and its FID is two to three times theirs. To
# the eye its samples are not that bad, some fainter than any digit should be. The five others have FIDs between 15 and
# 25; this is one seed of each, and does not rank them. ($\sigma = 0.1$ has a low FID, too: we happened to guess the
# number right.) For `image` and `pixel` the table's $\sigma$ is $e$ to the mean of $\log\sigma$.
#
# The picture on the right shows the difference between *learned* and *computed*. $\sigma^*$ fits the errors of the day
# from the first batch on (the curve is its running mean), and falls as they do. The weight $\log\sigma$ of `shared`
# starts at 0 and is moved by Adam, which takes steps of about the learning rate, 0.003: after four epochs, 400 steps,
# it has come to $-1.2$ at best. Until it arrives, the decoder is trained with a $\beta$ that is many times too large.
# Then both come to a $\sigma$ between 0.08 and 0.1, that is a $\beta$ below 0.01, and nobody had to look for it. (After
# twelve epochs the latecomer is nearly twenty nats behind, with a shorter code; its FID is no worse.)
#
# One for each image gains little here, some nats of bound over `optimal`, and nothing in FID: digits are much alike.
# (Where some images are sharp and others blurred, it may gain more; that we have not tried.) `optimal_image` cannot
# even be evaluated by what it was trained with. (The paper has no bound for it, either.)
#
# ### Is it the best one?
#
# Somebody who tunes trains with several $\sigma$, and looks. Will they find a better one than the likelihood has found
# by itself, 0.08?

# %%
quiz.ask("tuned")

# %%
tuned = {}
for sigma in (0.03, 0.06, 0.12, 0.2)[: epochs(4, 1)]:
    candidate = vae(normal(sigma))
    candidate.fit(train, batch_size=100, epochs=epochs(12, 0), verbose=0)
    tuned[f"σ = {sigma}"] = measured(candidate)

# %% tags=["hide-input"]
print("               bound      KL     FID   typical error")
for name, row in {**tuned, **{name: curves[name][-1] for name in ("σ = 0.1", "optimal") if name in curves}}.items():
    print("{:12s}{:8.1f}{:8.1f}{:8.1f}{:12.3f}".format(name, *row[:4]))

# %%
quiz.discuss("tuned")

# %% tags=["hide-input"]
if "optimal" in curves:
    bound, _, fid, _, _ = curves["optimal"][-1]
    holds(all(row[0] < bound - 5 for row in tuned.values()), tuned["σ = 0.2"][2] < tuned["σ = 0.06"][2] - 3)
    holds(tuned["σ = 0.03"][0] < bound - 250, tuned["σ = 0.03"][2] > 1.5 * tuned["σ = 0.2"][2])

# %% [markdown]
# By the bound, no: all four are behind `optimal`, and the guess that is nearly three times too small costs hundreds of
# nats. The FID prefers another $\sigma$. It falls from each of these $\sigma$ to the next larger one. That 0.03 is
# worse is clear; 15 and 17 one seed does not tell apart. But 0.2, which the bound puts far behind, is no worse by FID.
# (At $\sigma = 1$ it was 146, so somewhere it turns.) A larger $\sigma$ makes a shorter code: the codes then lie closer
# to the prior. So what the likelihood chooses is the best $\sigma$ *for the likelihood*. It needs no search, and its
# FID is low; the best samples that this network can make, by this measure, need not be there. (One seed each.)
#
# ## The pixel that is always black
#
# The highest bound, and a high FID: what has the decoder with a $\sigma$ for each pixel found? To see it, we train it
# again without the soft clip, its floor. Of the 196 pixels, 13 are black in every one of the training images.

# %%
quiz.ask("corner")

# %%
free, gains = vae(normal("pixel")), []
always = train.max(axis=0).ravel() == 0  # [D]
for _ in range(epochs(8, 1)):
    free.fit(train, batch_size=100, epochs=epochs(1, 0), verbose=0)
    mu, scale = decoded(free, train[:1000])
    gain = norm.logpdf(train[:1000], mu, scale).mean(axis=0).ravel()  # of each pixel
    gains.append((gain[always].mean(), gain[~always].mean()))

# %% tags=["hide-input"]
gains = np.array(gains)
figure = Figure(figsize=(10, 2.8))
panels = figure.subplots(1, 3, width_ratios=(1.4, 1, 1))
time = np.arange(1, len(gains) + 1)
panels[0].plot(time, gains[:, 0], color="red", marker=".", label="always black")
panels[0].plot(time, gains[:, 1], color=BLUE, marker=".", label="the others")
panels[0].set(xlabel="epoch", title="no floor: nats a pixel", xticks=time)
panels[0].legend(fontsize="small")
mu, scale = decoded(models["pixel"], train[:1000])
floor_gain = norm.logpdf(train[:1000], mu, scale).mean(axis=0)[..., 0]
for axis, picture, name in (
    (panels[1], np.log(scale).mean(axis=0)[..., 0], "mean of log σ"),
    (panels[2], floor_gain, "nats a pixel"),
):
    figure.colorbar(axis.imshow(picture, cmap="viridis"), ax=axis)
    axis.set(title=f"with the floor: {name}", xticks=[], yticks=[])
print("always black, no floor, nats a pixel:", *(f"{value:.1f}" for value in gains[:, 0]))
dark = (train > 0).mean(axis=0)[..., 0] < 0.1
print(f"with the floor: {dark.mean():.0%} of the pixels are dark in nine images of ten, and earn ", end="")
print(f"{floor_gain[dark].sum():.0f} of {floor_gain.sum():.0f} nats")
figure

# %%
quiz.discuss("corner")

# %% tags=["hide-input"]
black, others = gains.T
holds(black.max() > 6, np.any(np.diff(black) < -1), others.max() < 2, floor_gain.max() < 5.1)
holds(floor_gain[dark].sum() > 0.6 * floor_gain.sum(), 0.4 < dark.mean() < 0.6, always.sum() == 13)

# %% [markdown]
# It shoots up and comes down again. (The other pixels swing with it: many are black in nearly all images.) Where $S =
# 0$, the derivative $\frac D\sigma - \frac S{\sigma^3}$ is positive everywhere: there is no best $\sigma$, smaller is
# always better, and each halving is worth $\log 2$ nats. **The likelihood has no upper bound**, and nothing has been
# learned about digits when it is high. At the same time the bell gets so narrow that the least step of $\mu$ costs more
# than all else together. At $\sigma = e^{-10}$ a miss of one grey value costs $(1/255)^2 / 2e^{-20}$, nearly four
# thousand nats. That would be the way down; we have not looked at single steps.
#
# With the floor, a pixel can earn $6 - \frac12 \log 2\pi = 5.1$ nats at most, and nothing explodes. But see who earns
# it: the dark half of the pixels earns three quarters of the nats. And there is a second effect. The gradient of a
# pixel's mean is its error divided by $\sigma^2$, so at the floor it counts $e^{12}$, more than a hundred thousand
# times as much as a pixel with $\sigma = 1$. Each pixel has a $\beta$ of its own. Where strokes run, the network finds
# that it is cheaper to say "I do not know", with a $\sigma$ three times that of `shared` (the next cell prints both),
# so that an error there counts a ninth. Its code is as long as that of `shared`, and its means are worse. That fits the
# faint digits; whether it is their cause we have not tested.
#
# ### Why softly, and what these decoders draw
#
# `ops.maximum(l, -6)` would be a floor as well. On the left, both. On the right is what is hardly ever shown: draws
# from $p_\theta(x|z)$, each pixel with its own noise, at the codes of six test images.

# %% tags=["hide-input"]
figure = Figure(figsize=(10, 2.9))
left, right = figure.subplots(1, 2, width_ratios=(1, 1.9))
outputs = np.linspace(-12, 1, 200)
left.plot(outputs, np.maximum(outputs, -6), color="red", linestyle="--", label="maximum")
left.plot(outputs, np.logaddexp(outputs, -6), color=BLUE, label="soft clip")  # −6 + softplus(l + 6)
left.set(xlabel="l, output of the network", ylabel="log σ", ylim=(-7.5, 1), xticks=[-12, -9, -6, -3, 0])
left.legend()
tiles, noise = [test[:6]], np.random.default_rng(0)
stroke = test[..., 0] > 0.5
black = np.broadcast_to((train.max(axis=0) == 0)[..., 0], stroke.shape)
said = {}
for name in ("shared", "pixel"):
    mu, scale = decoded(models[name], test)
    scale = np.broadcast_to(scale, mu.shape)
    said[name] = [np.median(scale[..., 0][where]) for where in (black, stroke)]
    print(f"{name:7s}median σ: always black {said[name][0]:.4f}, in strokes {said[name][1]:.3f}")
    tiles += [mu[:6], mu[:6] + scale[:6] * noise.normal(size=mu[:6].shape)]
right.imshow(np.vstack([np.hstack(row[..., 0]) for row in tiles]), cmap="gray", vmin=0, vmax=1)
right.set(xticks=[], yticks=[6.5 + 14 * i for i in range(5)])
right.set_yticklabels(["test images", "shared: μ", "drawn", "pixel: μ", "drawn"])
figure

# %% tags=["hide-input"]
if "optimal" in curves:
    holds(said["pixel"][0] < 0.004, said["pixel"][1] > 1.4 * said["shared"][1], 0.06 < said["shared"][0] < 0.13)
clipped = np.logaddexp([0.0, -6, -12], -6)
holds(abs(clipped - [0.0025, -6 + np.log(2), -5.9975]).max() < 1e-4)

# %% [markdown]
# Well above $-6$ the soft clip changes next to nothing, at $-6$ it adds $\log 2$, and far below it comes ever closer to
# $-6$. But it never lies flat: its slope is $\mathrm{sigmoid}(l + 6)$, at $l = -12$ still 0.0025. Under a hard floor
# the slope is zero: where a pixel's $l$ lies below it, its own error no longer moves it, even in images in which it is
# not black.
#
# `shared` has one $\sigma$, so it believes in grains of 0.09 in the black as well as in the strokes. `pixel` leaves the
# margin alone, and expects errors of 0.2 and more where strokes run. That is the better description of errors, and
# earns the higher bound. A better picture it is not: grains are drawn for each pixel alone, and errors of handwriting
# come in whole strokes. This is why one shows means.

# %% [markdown]
# ## Calibrated?
#
# A forecast is called calibrated if it comes true as often as it says. A normal distribution says that 68 % of the
# errors lie within $\sigma$, 95 % within $2\sigma$, and 99.7 % within $3\sigma$. What do test images say? That most
# errors are tiny, you have seen above. How many are large?

# %%
quiz.ask("beyond")

# %% tags=["hide-input"]
shares = {}
levels = np.linspace(0.01, 0.999, 100)
figure = Figure(figsize=(9.5, 3.3))
left, right = figure.subplots(1, 2)
print("                  within σ     2σ     3σ   beyond 5σ   mean of (error / σ)²")
print(f"{'a normal':17s}{0.6827:9.1%}{0.9545:7.1%}{0.9973:7.1%}{6e-7:12.5%}{1:12.2f}")
for name in ("shared", "image", "pixel"):
    mu, scale = decoded(models[name], test)
    ratio = np.abs(test - mu) / scale
    shares[name] = [np.mean(ratio < k) for k in (1, 2, 3)] + [np.mean(ratio > 5), np.mean(ratio**2)]
    print("{:17s}{:9.1%}{:7.1%}{:7.1%}{:12.2%}{:12.2f}".format(name, *shares[name]))
    said = np.quantile(2 * norm.cdf(ratio) - 1, levels)  # the error's rank, by the decoder
    left.plot(said, levels, label=name, **STYLES[name])
left.plot([0, 1], [0, 1], color="0.7", linewidth=1)
left.set(xlabel="share that the decoder expects", ylabel="share that lies there", title="grey: calibrated")
left.legend(loc="lower right")
mu, scale = decoded(models["shared"], test)
shared_ratio = np.abs(test - mu) / scale
edge = right.imshow(
    np.hstack([test[3, ..., 0], mu[3, ..., 0], shared_ratio[3, ..., 0] / 5]), cmap="gray", vmin=0, vmax=1
)
right.set(xticks=[6.5, 20.5, 34.5], yticks=[], title="one image")
right.set_xticklabels(["x", "μ", "|x − μ| / 5σ"])
figure

# %%
quiz.discuss("beyond")

# %% tags=["hide-input"]
holds(0.8 < shares["shared"][0] < 0.92, shares["shared"][1] < 0.9545, 0.95 < shares["shared"][2] < 0.982)
holds(0.8 < shares["shared"][4] < 1.15, 0.88 < shares["pixel"][0] < 0.97, 0.002 < shares["shared"][3] < 0.01)
mu, scale = decoded(models["shared"], test)
grey = test > 0.1
strokes = np.mean((np.abs(test - mu) < scale)[grey])
print(f"of the grey and white pixels, above 0.1, {strokes:.0%} are within σ of shared")
holds(0.35 < strokes < 0.6)

# %% [markdown]
# Not 68 % but 86 % lie within $\sigma$, and yet too few within $2\sigma$ and $3\sigma$: too many small errors *and* too
# many large ones. Half of one percent are beyond $5\sigma$; of a normal distribution it would be one in two million.
# For `shared` the last column is about 1, and that is all that was fitted: **the mean square is right, the shape is
# not.** The picture on the left says the same of all widths at once (each point is a width: across, what share of
# errors the decoder expects within it, upwards, what share is there): half of all errors lie where the decoder expects
# hardly any, very close to $\mu$. On the right, where the large ones are: in the strokes, and none in the black. Among
# grey and white pixels, above 0.1, fewer than half lie within $\sigma$. One number is too large for the black and too
# small for the strokes.
#
# `image` is no better: the large differences are between pixels, not between images. `pixel` knows the black from the
# strokes, and is still not calibrated: it has to expect errors of 0.0025 or more where there are none (which is how its
# last column comes to 0.7: with a floor not even the mean square need be right), and beyond $5\sigma$ it has one error
# in some five hundred, where a normal distribution has one in two million. So when the paper says *calibrated*, it
# means that $\sigma$ is that of the errors on average, so that the two terms of the loss have their true weights. It
# does not mean that you could read an interval off a single pixel.

# %% [markdown]
# ## Bytes
#
# The grey values are bytes, 256 of them. A decoder that gives a probability to each is what lesson 07 built. The paper
# compares three such decoders, beside the normal ones: a *categorical* one, 256 logits for each pixel; a mixture of
# lesson 07's logistic bells; and a new one, **bitwise**: write the byte in binary, and let eight coins decide, one for
# each digit. So the network puts out eight numbers a pixel, where a bell has two. But 127 and 128, neighbours in grey,
# differ in all eight digits, and what they have in common has to be learned. We train the last one, and a single
# logistic bell for each pixel.
#
# How do we compare? The normal decoder becomes one of bytes by lesson 07's recipe, $P(k) = \Phi(b_k) - \Phi(a_k)$,
# where $\Phi$ is the share of a standard normal below a value, $a_k$ and $b_k$ are the edges of the bin around $k/255$
# in units of $\sigma$, and the first and the last bin have the tails. Its training stays as it was.

# %%
quiz.ask("bits")

# %%
bytes_models = {
    "bitwise": vae(vk.layers.BitwiseCategorical((14, 14, 1))),
    "discretized logistic": vae(
        vk.layers.DiscretizedLogistic((14, 14, 1), log_scale_range=(-4.5, 0.0))  # lesson 07's bounds of log s
    ),
}
for model in bytes_models.values():
    model.fit(train, batch_size=100, epochs=epochs(12, 0), verbose=0)


# %% tags=["hide-input"]
def log_probability(x, mu, sigma):
    """log P(k) of the normal decoder in bins, sum over pixels, [N]."""
    k = np.rint(255 * x)
    a = (np.where(k == 0, -np.inf, (k - 0.5) / 255) - mu) / sigma
    b = (np.where(k == 255, np.inf, (k + 0.5) / 255) - mu) / sigma
    P = np.where(a > 0, norm.cdf(-a) - norm.cdf(-b), norm.cdf(b) - norm.cdf(a))  # by the tail that is small
    return np.log(np.maximum(P, 1e-300)).sum(axis=(1, 2, 3))


per_dim = D * np.log(2)
bits = {}
print("                       bound as reported   bits per dimension")
values, shown = (np.rint(255 * x).astype("uint8") for x in (train, test))
frequency = (np.bincount(values.ravel(), minlength=256) + 1.0) / (values.size + 256)
bits["one histogram for all"] = -np.log2(frequency[shown]).mean()
bits["zip"] = 8 * len(zlib.compress(shown.tobytes(), 9)) / shown.size
for name, value in bits.items():
    print(f"{name:22s}{'':12s}{value:22.2f}")
for name in ("shared", "image", "pixel"):
    bound, kl = curves[name][-1][:2]
    bits[name] = (kl - log_probability(test, *decoded(models[name], test)).mean()) / per_dim
    print(f"{name:22s}{bound:12.0f}{bits[name]:22.2f}")
for name, model in list(bytes_models.items())[: epochs(2, 1)]:
    parts = model.evaluate(test, verbose=0, seed=0)
    bits[name] = -parts["bound"] / per_dim
    print(f"{name:22s}{parts['bound']:12.0f}{bits[name]:22.2f}")

# %%
quiz.discuss("bits")

# %% tags=["hide-input"]
if "optimal" in curves:
    ahead = (curves["pixel"][-1][0] - curves["shared"][-1][0]) / per_dim
    print(f"pixel is ahead of shared by {ahead:.1f} bits per dimension as a density,", end=" ")
    print(f"by {bits['shared'] - bits['pixel']:.1f} as bytes")
    holds(ahead > 2, bits["shared"] - bits["pixel"] < 0.25 * ahead, bits["bitwise"] < min(bits["pixel"], 2.6) - 0.2)
    holds(0.72 < np.mean(test == 0) < 0.76, curves["image"][-1][0] > curves["shared"][-1][0] + 10)
    holds(bits["image"] > bits["shared"] - 0.05)
    holds(2.8 < bits["shared"] < 3.5, abs(bits["discretized logistic"] - bits["pixel"]) < 0.3)


def of_black(sigma):
    """Bits of a black pixel with mean 0: by density times a bin's width, and by the mass of its bin."""
    return -np.log2(norm.pdf(0, 0, sigma) / 255), -np.log2(norm.cdf(0.5 / 255 / sigma))


if "optimal" in curves:
    holds(all(bits[name] > bits["zip"] for name in bits if name not in ("zip", "bitwise", "one histogram for all")))
    holds(bits["bitwise"] < bits["zip"] - 0.2, abs(bits["zip"] - bits["one histogram for all"]) < 0.1)
holds(np.allclose(of_black(0.0925), (5.9, 1.0), atol=0.06), np.allclose(of_black(0.0025), (0.68, 0.35), atol=0.01))

# %% [markdown]
# By the reported bounds, `pixel` is far ahead, and `bitwise` hundreds of nats below zero. In bits `bitwise` is first,
# and takes nearly a bit less for each pixel than `shared`. A probability is at most 1, and its logarithm at most 0. A
# density has no such limit. Where did the lead of `pixel` go? To the first bin. By its density, times the width of a
# bin, a black pixel costs `shared` 5.9 bits. As a byte it gets all of the bell below zero, half of it, and costs one.
# For `pixel` the same step is from 0.7 bits to 0.35. Both gain, and the wide bell gains more. The logistic bells were
# trained as bytes, and are hardly better than `pixel`. Their $s$ may not fall below $e^{-4.5}$, 2.8 bins, so a black
# pixel costs three quarters of a bit at least (0.88 in lesson 07, where the mean could not go below the middle of the
# first bin). Three pixels of four are black: that alone is over half a bit a pixel, and `bitwise`, which has no such
# limit, is 0.6 ahead. With a lower limit they should come closer; we have not tried. And `image`: as a density its
# narrower bells win some forty nats over `shared`, for ten nats more of code. As bytes the forty are gone, for in the
# first bin a narrower bell wins little, and the ten remain. And mind the first two lines. Who knows no more than how
# often each value comes needs 2.8 bits, and so does zip. Four of our five decoders, with their codes and networks, do
# worse: with their lower limits on the width, their bells cannot say *exactly 0* cheaply. Only `bitwise` does better.
#
# So a loss below zero tells you that the number belongs to a density, not how good it is; one above zero tells nothing.
# **Is a negative loss right? Yes, for a density, whose bells are narrow. For bytes or coins, never.** (And if a loss
# has no lowest value, how does one see that training is done? By a bound on held-out images that rises no more, if
# $\sigma$ has a floor. Print the typical error beside it: it shows whether the means improve, or only $\sigma$
# arrives.)

# %% [markdown]
# ## The paper's table, and ours
#
# Minus the bound in nats, and FID. The paper's SVHN are house numbers in colour, 28×28 pixels; MNIST is at full size,
# and ours are vaekit's own runs of the paper's network.

# %% tags=["hide-input"]
OURS = {  # −bound, KL, FID (LeNet features), epochs: from the records in results/rybkin2020, seed 0
    "unit": (739.73, 6.40, 107.48, 3),
    "beta": (-774.38, 69.94, 216.80, 3),
    "pixel": (-2598.76, 63.04, 234.95, 3),
    "shared": (-894.43, 65.48, 61.21, 10),
    "optimal": (-894.26, 68.56, 81.07, 10),
}
print("                  the paper's SVHN      MNIST           ours, MNIST")
print("                  −bound      FID   −bound     FID     −bound      KL     FID   epochs")
for name, row in OURS.items():
    svhn, mnist = paper.TABLE_2["svhn", "VAE", name], paper.MNIST.get(("mnist", "VAE", name))
    print("{:14s}{:10.0f}{:9.2f}".format(name, *svhn), end="")
    print("{:9.1f}{:8.2f}".format(*mnist) if mnist else 17 * " ", end="")
    print("{:11.2f}{:8.2f}{:8.2f}{:6d}".format(*row))

# %%
preset = paper.load("sigma_vae")  # `shared`, of the table: MNIST at full size
large = np.asarray(images.test)[: epochs(500, 20)]
mu, scale = decoded(preset, large)
rms = np.sqrt(np.mean((large - mu) ** 2))
climbed = paper.record("sigma_vae")["curves"]["val_bound"]
print(f"its σ {scale.max():.3f}, its typical error {rms:.3f}")
print("bound on validation images, by epochs:", *(f"{bound:.0f}" for bound in climbed))

# %% tags=["hide-input"]
holds(abs(scale.max() / rms - 1) < 0.04, climbed[4] < 600, climbed[-1] > 880, climbed[-1] - climbed[-3] < 30)
PAPERS = (("celeba", "HVAE"), ("cifar10", "HVAE"), ("bair", "SVG"))
reported = [paper.TABLE_2["svhn", "VAE", name][0] for name in ("categorical", "bitwise", "shared")]
unit_pixel = {data: [paper.TABLE_2[data, kind, name][0] for name in ("unit", "pixel")] for data, kind in PAPERS}
holds(*(unit - pixel > 3000 for unit, pixel in unit_pixel.values()), paper.TABLE_2["svhn", "VAE", "pixel"][0] == 2184)
holds(reported == [9179, 10800, -3349], abs(OURS["shared"][0] - paper.MNIST["mnist", "VAE", "shared"][0]) < 3)

# %% [markdown]
# On MNIST, in both, unit variance is hundreds of nats above zero, `pixel` far below all others, and a single learned
# $\sigma$ has the best FID. (`beta` is the best of the paper's $\beta$, 0.01. On SVHN the paper prints the same 2184
# for `pixel` as for `unit`; on its three other data sets `pixel` is thousands of nats below it. It may be a slip.) The
# FIDs themselves are of different features, and not to be compared across; even their order differs, our `beta` is
# behind `unit`, the paper's before it. (Why three epochs of $\sigma = 0.07$ should make worse samples than blots, we do
# not know. Its code is the longest of all, 70 nats, so the prior may draw where no code lies.) And mind the last
# column: one seed of each, and three of the paper's ten epochs for the first three. So our FIDs do not prove the order.
#
# By its bound our `shared` is where the paper's is: $-894.4 \pm 2.9$ beside $-896.1$. `optimal`, a row that the paper
# has not for MNIST, comes to the same. And $\sigma$ has found by itself what the best $\beta$ of a search stands for,
# 0.07. But look at the way there. $\log\sigma$ begins at 0 and is moved by 0.001 a step, so $\sigma = 0.07$ takes 2,660
# steps at the least, nearly seven of the ten epochs. For so long the pixels are described with a $\sigma$ that is too
# large, and the bound climbs by up to 291 nats an epoch; in the last two together it climbs by 19. Had we stopped after
# five, three hundred nats would have been missing, and nothing wrong but that. `optimal` need not wait: after its first
# epoch it is at 669, where `shared` comes in the sixth. (On SVHN, where the paper trained to the end, `shared` is even
# a little ahead of `optimal`: the computed one came sooner, and no further.)
#
# Of bytes the paper reports a $-\log p$ of 9179 for the categorical decoder on SVHN and 10800 for the bitwise one,
# beside $-3349$ for `shared`. You know now why that is no lead of twelve or fourteen thousand nats: as a density of
# bytes, from 0 to 255, the last would be $D \ln 255$ more, some 13,000. That makes some 9,700, between the two; and it
# is still a density, to be put in bins before it is compared.

# %% [markdown]
# ## When it goes wrong
#
# ### σ where σ² belongs
#
# Somebody takes the formula $\sigma^{*2} = \mathrm{MSE}$, and writes $\sigma = \mathrm{MSE}$, without the root. The
# loss of a pixel is then $\log\mathrm{MSE} + 1 / (2\,\mathrm{MSE})$.

# %%
quiz.ask("square")

# %% tags=["hide-input"]
mse = np.geomspace(0.003, 2, 200)
right, slip = np.log(mse) / 2 + 0.5, np.log(mse) + 1 / (2 * mse)
figure = Figure(figsize=(7, 3))
axis = figure.add_subplot()
axis.semilogx(mse, right, color=BLUE, label="σ² = MSE")
axis.semilogx(mse, slip, color="red", label="σ = MSE")
axis.axvline(np.mean((train - train.mean(axis=0)) ** 2), color="0.7", linewidth=1)
axis.set(
    xlabel="MSE",
    ylabel="nats a pixel",
    ylim=(-3, 12),
    title="grey: the mean image for all",
)
axis.legend()
holds(abs(mse[slip.argmin()] - 0.5) < 0.02, right.argmin() == 0)
figure

# %%
quiz.discuss("square")

# %% [markdown]
# The red curve falls *to the right*, up to $\mathrm{MSE} = \frac12$: the decoder is paid for errors. (The derivative,
# $\frac1{\mathrm{MSE}} - \frac1{2\,\mathrm{MSE}^2}$, is negative below.) Any useful decoder of pixels between 0 and 1
# is below that. With `ops.stop_gradient` around $\sigma$ it looks sane, the errors shrink; but then $\beta =
# \mathrm{MSE}^2$, far too small, and the KL is out of hand. *Test:* $\frac{S}{2\sigma^2}$ has to be $D/2$, whatever the
# errors.
#
# ### Another unit
#
# The same network is trained on grey values from 0 to 255 instead of 0 to 1. A scale that is optimal follows: $\sigma$
# becomes 255 times as large, and the model is the same, if the means are scaled along (and the floor with them). A
# learned one comes to the same end, from another start. A fixed one does not, and a $\beta$ that was tuned stands for
# another model. And the reported number? A density of $255\,x$ is that of $x$ divided by 255, for each value:

# %% tags=["nbval-check-output"]
x, mean, sigma = np.array([0.2, 0.9]), np.array([0.25, 0.8]), 0.1
for unit in (1, 255):
    print(f"0 to {unit:3d}: {-norm.logpdf(unit * x, unit * mean, unit * sigma).sum():6.2f} nats for two pixels")
print(f"2 ln 255 = {2 * np.log(255):.2f};  for 28 × 28 pixels {784 * np.log(255):.0f} nats")

# %% [markdown]
# No model has changed, yet the "likelihood" has, by thousands of nats. So a density has a unit, too, and a sign is no
# merit: the loss of a good model is below zero in one unit and far above in another. *Test:* state the range of the
# pixels beside every $-\log p$, and compare bits per dimension, where you can.
#
# ### A sum here, a mean there
#
# One of the lines above, "mean over pixels + KL", is the commonest of all, and needs no picture any more:
# $\sigma^2 = D/2$. If you find a $\beta$ of a ten-thousandth in somebody's settings, look for a `mean`. *Test:* work
# out $\sigma = \sqrt{b / 2a}$, and compare it with the typical error. They should be alike.

# %% [markdown]
# ## Take-aways
#
# **What β a σ hides.** A squared error is a normal decoder. $a S + b\,\mathrm{KL}$ means $\sigma^2 = b/2a$, and $\beta$
# is that $\sigma^2$ in disguise. So it depends on the unit of the pixels, and on every mean in place of a sum.
#
# **σ or σ².** The mean squared error is the best $\sigma^2$.
#
# **Log MSE.** Put it in, and the loss is $\frac D2 \log\mathrm{MSE} + \mathrm{KL}$, the MSE being that of all images
# with the same $\sigma$. For the bound it needs no tuning; the best samples may want another $\sigma$.
#
# **The gradient through σ\*.** Whether it passes makes no difference, as long as $\sigma^*$ is the minimum, and is
# treated alike in both places.
#
# **A negative loss** is nothing wrong. Densities can be compared with densities of the same data in the same unit, and
# with nothing else. Bits per dimension of the same bytes can be compared, whatever the decoder.
#
# One $\sigma$ for all has the lower FID. One for each pixel has the higher bound, and earns it where nothing ever
# happens; it needs a floor.
#
# Calibrated, here, means that the average squared error is right. Check what else is.
#
# **To do next:** [exercise 10](../exercises/10_calibrated_decoders/10_calibrated_decoders.ipynb). Lesson 11 goes on to
# videos, with a decoder of one $\sigma$.
