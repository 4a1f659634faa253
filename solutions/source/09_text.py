# %% [markdown]
# # Exercise 09 · Text: sentences, LSTM decoders and semi-amortized inference
#
# Eight questions on sentences, and on codes that they do not need. They follow
# [lesson 09](../../lessons/09_text.ipynb): what counts as a word; how low a perplexity can be, by hand; a step of an
# LSTM that hears its code twice; words that the decoder is not shown; a posterior that takes steps; five errors in a
# perplexity; an experiment on how hot to draw; and a VAE of sentences to train, whose floor is known.
#
# **You need** the lesson; question 2 takes a pencil.
#
# {table}
#
# Short of time? Questions 1, 3, 6 and 8 are what you need to train a VAE of sentences, and to report it.
#
# **How it works.** Write each answer where `raise NotImplementedError()` stands, then run the cell below it. It says
# what is right, and what is wrong with the rest; nothing is counted against you, so try as often as you like. Keep the
# names of arguments: they are handed over by name. Stuck? `exercise.hint("perplexity")` gives a hint, and a plainer one
# each time. Inputs are tensors, of float32 or, for words, of whole numbers, if nothing else is said. Compute with `ops`
# ([Keras' operations](https://keras.io/api/ops/)).
#
# Throughout, $N$ counts sentences, $T$ places, $V$ tokens of the vocabulary, $S$ samples and $L$ latents. Tokens 0 to 3
# are marks: padding, `<unk>`, the start mark, the end mark; words come after. A sentence is its words, the end mark,
# then padding. Everything is in nats.

# %%
import vaekit as vk  # first: it silences the backend's start
from vaekit.course.exercise import Exercise

exercise = Exercise("09")

import keras
import numpy as np
from keras import ops
from keras.layers import LSTM, Embedding

exercise

# %% [markdown]
# ## {perplexity}
#
# A model has said its logits at each place, those of the words that may stand there, given the words before. What is
# the log-probability of each sentence, and what is the perplexity of all of them together? (This model has left the
# marks in its vocabulary, padding among them: the softmax goes over all $V$ tokens.)
#
# The end mark counts as a word, and so does `<unk>`; padding does not. In the part *sure* the logits are far from 0, by
# hundreds.

# %% [markdown] tags=["solution"]
# **Solution.** Of each place the logit of the word that stands there, less the logarithm of the sum over the
# vocabulary; summed where something had to be guessed. The perplexity is one number of all words: first both sums, then
# the quotient, then the exponential.


# %% question="perplexity"
def perplexity(logits, tokens):
    """Log-probabilities of sentences, and their perplexity.

    Args:
        logits: tensor `[N, T, V]`, at each place.
        tokens: tensor `[N, T]` of whole numbers.

    Returns: tensors `[N]`, log p(x), in nats, and `()`, the perplexity.
    """
    ### SOLUTION


# %% [markdown] tags=["solution"]
# What is easily forgotten is that a perplexity is no mean of perplexities. Short sentences have few words and
# should weigh as little. And whoever leaves the end mark out shares its nats among fewer words, or drops a word that
# may be the easiest of all.

# %% [markdown]
# ## {exact_floor}
#
# A language of forty sentences. The first word is one of eight, equally likely. Then the sentence ends, with
# probability ¼; or a second word follows, one of four others, equally likely, and it ends after that. **What is the
# lowest perplexity that a model of this language can have**, with the end mark as a word, to three digits?

# %% [markdown] tags=["solution"]
# **Solution.** The mean of $-\log p_\theta(x)$ is the entropy $H$ plus a KL divergence, so the floor is $e^{H/\bar T}$
# with $\bar T$ the mean number of words. What is decided: the first word, whether to go on, and perhaps the second,
#
# $$H = \ln 8 + \Big(\tfrac14\ln 4 + \tfrac34\ln\tfrac43\Big) + \tfrac34\ln 4 = 3.68, \qquad \bar T = \tfrac14 \cdot 2
# + \tfrac34 \cdot 3 = 2.75, \qquad e^{H/\bar T} = 3.81.$$


# %% question="exact_floor"
exact_floor = ...  # a number
### BEGIN SOLUTION
exact_floor = np.exp((np.log(8) + 0.25 * np.log(4) + 0.75 * np.log(4 / 3) + 0.75 * np.log(4)) / 2.75)
### END SOLUTION

# %% tags=["solution"]
rng = np.random.default_rng(0)
long = rng.random(200_000) < 0.75
nats = np.log(8) + np.where(long, np.log(4 / 3) + np.log(4), np.log(4))
print(f"by draws: {np.exp(nats.sum() / (2 + long).sum()):.3f}")

# %% [markdown] tags=["solution"]
# After the second word the end mark is certain. It adds no nats, but it is a word, and pulls the perplexity down. That
# is one reason why perplexities of different texts, or of differently cut ones, cannot be compared.

# %% [markdown]
# ## {skip_step}
#
# One step of the lesson's LSTM, as a decoder with skips has it: $z$ stands beside the word, and once more beside the
# state from which the logits are made.
#
# $$(a_i, a_f, a_c, a_o) = (w, z)\,W + h\,U + b, \quad i = \mathrm{sigmoid}(a_i),\ f = \mathrm{sigmoid}(a_f),\ \tilde c
# = \tanh(a_c),\ o = \mathrm{sigmoid}(a_o),$$
#
# $$c \leftarrow f \odot c + i \odot \tilde c, \qquad h \leftarrow o \odot \tanh(c), \qquad \text{logits} =
# (h, z)\,W_o + b_o.$$
#
# $(w, z)$ is one row, first the word's embedding, then $z$; the four parts of $W$, $U$ and $b$ stand in this order.

# %% [markdown] tags=["solution"]
# **Solution.** One product for all four, then `ops.split`. The state is made of the new memory, and the logits of the
# new state.


# %% question="skip_step"
def skip_step(word, z, h, c, kernel, recurrent, bias, out_kernel, out_bias):
    """A step of an LSTM decoder with skips.

    Args:
        word: tensor `[N, F]`, embeddings of the last words.
        z: tensor `[N, L]`, codes.
        h, c: tensors `[N, H]`, state and memory before the step.
        kernel, recurrent, bias: W `[F + L, 4H]`, U `[H, 4H]`, b `[4H]`.
        out_kernel, out_bias: W_o `[H + L, V]`, b_o `[V]`.

    Returns: tensors h `[N, H]`, c `[N, H]` and logits `[N, V]`, after the step.
    """
    ### SOLUTION


# %% [markdown] tags=["solution"]
# The gradient by $z$ goes two ways. One leads through gates that have to be learned first; the other is a single
# product, and shifts the words' logits at once. Which of them matters the lesson shows: without the second the code is
# lost, with it there is more than a nat.

# %% [markdown]
# ## {shown_words}
#
# Word dropout: in training the decoder is shown `<unk>` in place of some words, so that it has to ask its code. At
# place $t$ it is shown what came before, $w_{t-1}$, and the start mark at the first place.
#
# `noise[n, t]`, uniform between 0 and 1, belongs to `tokens[n, t]`: where it is below `rate`, the word is hidden. Marks
# and padding are never hidden.

# %% [markdown] tags=["solution"]
# **Solution.** Hide first, then shift; then each number of the noise stays with its word.


# %% question="shown_words"
def shown_words(tokens, noise, rate):
    """What a decoder is shown at each place, with word dropout.

    Args:
        tokens: tensor `[N, T]` of whole numbers.
        noise: tensor `[N, T]`, uniform on [0, 1).
        rate: a number, the probability that a word is hidden.

    Returns: tensor `[N, T]` of whole numbers.
    """
    ### SOLUTION


# %% [markdown] tags=["solution"]
# What the decoder is asked for stays as it is: hidden are words in the condition, not in the event. So the training
# loss of a model with word dropout is no bound on what it is used for later, with all words shown.

# %% [markdown]
# ## {refined}
#
# Steps up the bound, for one sentence alone. To have every slope at hand, the decoder is a linear one with normal
# noise: $z \sim \mathcal N(0, I)$, $x|z \sim \mathcal N(zW, I)$, and $q = \mathcal N(\mu, \mathrm{diag}\,e^\lambda)$.
# In step $k$ draw $z = \mu + e^{\lambda/2}\varepsilon_k$, and go along the gradient of the bound *at this draw*,
# $\log p(x, z) - \log q(z)$, by both parameters:
#
# $$\mu \leftarrow \mu + \eta\,\nabla_\mu, \qquad \lambda \leftarrow \lambda + \eta\,\nabla_\lambda.$$
#
# There are $K$ steps, with a fresh $\varepsilon_k$ for each. Return the parameters after the last one. Gradients by the
# start `mean` are looked at as well: through them an encoder learns to propose a good one.

# %% [markdown] tags=["solution"]
# **Solution.** With $g = \nabla_z \log p(x, z) = (x - zW)W^\top - z$, the chain rule gives $\nabla_\mu = g$, since
# $\partial z/\partial\mu = 1$. In $-\log q(z) = \frac12\|\varepsilon\|^2 + \frac12\sum\lambda + \ldots$ the noise is
# fixed, so $\lambda$ is all that is left of it: $\nabla_\lambda = \frac12 e^{\lambda/2}\varepsilon \odot g + \frac12$.


# %% question="refined"
def refined(mean, log_variance, x, weights, noise, rate):
    """The parameters of q after K steps up the bound.

    Args:
        mean, log_variance: tensors `[N, L]`, the start.
        x: tensor `[N, D]`.
        weights: tensor `[L, D]`, W.
        noise: tensor `[K, N, L]`, standard normal, for each step.
        rate: a number, η.

    Returns: tensors `[N, L]`, μ and λ.
    """
    ### SOLUTION


# %% tags=["solution"]
rng = np.random.default_rng(0)
W = rng.normal(size=(2, 5)).astype("float32")
x = (rng.normal(size=(400, 2)) @ W + rng.normal(size=(400, 5))).astype("float32")
inverse = np.linalg.inv(W @ W.T + np.eye(2))  # the posterior's covariance
right = x @ W.T @ inverse
for steps in 0, 10, 100:
    start = np.zeros((400, 2), "float32")
    noise = rng.normal(size=(steps, 400, 2)).astype("float32")
    found = refined(start, start, x, W, noise, 0.02)[0] if steps else start
    print(f"{steps:3d} steps: means are off by {np.sqrt(np.mean((np.asarray(found) - right) ** 2)):.2f}")

# %% [markdown] tags=["solution"]
# What is easily forgotten is a fresh draw. With the same one in each step the steps climb the bound at *that* draw,
# which has no top: it pays to place the draw well and not the distribution. The lesson shows how good that looks.

# %% [markdown]
# ## {mended_perplexity}
#
# A perplexity by importance samples. For each of $S$ draws of a sentence's code from $q(z|x)$ there is
# $\log p(w_t|w_{<t}, z)$ at each place, and the price of the draw, $\log q(z|x) - \log p(z)$. There are five errors in
# it.


# %%
def broken_perplexity(log_p, log_ratio, tokens):
    """The perplexity of sentences, by importance samples, as it is meant to be."""
    ### BROKEN mended_perplexity


# %% [markdown]
# Mend it. Each error is a part of its own, and the check says which are left. What you mend counts, one by one, as long
# as the other lines stay as they are: copy them into your answer, and change as few as you can.

# %% [markdown] tags=["solution"]
# **Solution.**
#
# 1. *No end mark.* It is a word that has to be guessed. So is `<unk>`, which was left out with it.
# 2. *Padding is summed up.* It is not.
# 3. *Codes for nothing.* Without the price, the weight of a draw is $p(x|z)$.
# 4. *The best sample* in place of the mean weight. More samples would help without end.
# 5. *A mean of perplexities.*


# %% question="mended_perplexity"
def mended_perplexity(log_p, log_ratio, tokens):
    """The perplexity of sentences, by importance samples.

    Args:
        log_p: tensor `[S, N, T]`, log p(w_t|w_<t, z) at each place, for each of S draws.
        log_ratio: tensor `[S, N]`, log q(z|x) − log p(z) of the draws.
        tokens: tensor `[N, T]` of whole numbers.

    Returns: tensor of shape `()`.
    """
    ### SOLUTION


# %% [markdown] tags=["solution"]
# Two of the five make the number better, and two make it worse; with all five it may look just as expected. A test:
# a language whose floor you know, as in question 2, and a code that says something. What lies below the floor is wrong.
# What lies above it may be the model, or errors two and five.

# %% [markdown]
# ## {temperature}
#
# At temperature $\tau$ words are drawn by the softmax of $a/\tau$: $\tau$ near 0 is greedy decoding, 1 is the model as
# it is. Models that have learned their training sentences too well are too sure of themselves, others are not sure
# enough, and so are their samples. How hot should they be drawn?
#
# You are given the logits of a model at places of its training sentences, and at places of sentences that it has
# not seen, and which words stood there. There are three models, and the worst outcome counts. At further places, of
# which the grader knows what may come and how often:
#
# | | measured | goal |
# |---|---|---|
# | perplexity | nats a word that the drawn distribution is behind the true one | at most 0.02 |
# | variety | by how much its entropy differs from the true one's | at most 6 % |

# %% [markdown] tags=["solution"]
# **Solution.** The temperature under which the words that the model has *not* seen are likeliest. Training words say
# nothing: the model knows them.


# %% question="temperature"
def temperature(train_logits, train_words, logits, words):
    """The temperature at which to draw words.

    Args:
        train_logits, logits: NumPy arrays `[M, V]` and `[N, V]`, at places of training sentences, and of others.
        train_words, words: NumPy arrays `[M]` and `[N]` of whole numbers, which words stood there.

    Returns: dict(temperature=...), a number from 0.01 to 100.
    """
    ### SOLUTION


# %% [markdown] tags=["solution"]
# Lesson 10 will do the same with a σ: one number that says how sure a model is, set by data that it has not seen. The
# order of the words does not change by it, so greedy decoding cannot tell a calibrated model from the same one too sure
# of itself.

# %% [markdown]
# ## {train_sentences}
#
# A language of its own: a determiner, a noun, a verb, a determiner, a noun, and in half of the sentences an adverb.
# Nouns and verb are of one of six topics. Its entropy is 9.98 nats a sentence. An LSTM comes down to that *without any
# code*, since the first noun tells the topic. So nothing forces your code to say anything. Make it.
#
# The decoder is given away as arrays; `arrays` writes down a decoder of the lesson's form, with skips or without.


# %%
def arrays(decoder):
    """The weights of an `AutoregressiveTokens` of `Embedding`, `LSTM` and `Tokens`."""
    names = ["embedding", "kernel", "recurrent", "bias", "out_kernel", "out_bias"]
    return dict(zip(names, decoder.get_weights(), strict=False))


# %% [markdown]
# **How it is judged.** Your function is called with 4000 sentences and a seed, and gives the decoder away. Only then
# does its encoder see 500 new sentences. With noise of its own the check draws codes and computes the bound. There are
# points for $-13$ (*words*), $-10.6$ (*fair*) and $-10.45$ nats (*good*).
#
# And there are points for a code that is **informed**, by 1.3 nats, where the bound is fair: the mutual information of
# sentences and codes, and the fall of $\log p(x|z)$ when each sentence is given the code of another one, both. (The
# topic has $\ln 6 = 1.8$ nats.) At most 10 latents, and 64 units, also of the embedding. It takes ten seconds or so of
# a laptop's CPU; you have three minutes.

# %% [markdown] tags=["solution"]
# **Solution.** Free bits, a few more than are asked for. They make the first nats cost nothing, and the likelihood by
# itself asks for none. With them, skips and warm-up gain two or three tenths of a nat (two runs).


# %% question="train_sentences"
def train_sentences(sentences, seed):
    """Trains a VAE of sentences, and returns its parts.

    Args:
        sentences: NumPy array `[N, 7]` of whole numbers, tokens from 0 to 64.
        seed: int, for whatever is drawn at random.

    Returns two things:
        encode: function of sentences, a tensor `[M, 7]` of whole numbers; returns two arrays,
            μ and log σ² of q(z|x), `[M, L]`, for at most 10 latents.
        decoder: dict of arrays, what `arrays(decoder)` returns.
    """
    ### BEGIN SOLUTION
    epochs, batch, words = 10, 100, 65
    keras.utils.set_random_seed(seed)  # Keras draws initial weights from its own random state
    q = keras.Sequential([Embedding(words, 32, mask_zero=True), LSTM(48), vk.layers.DiagonalNormal(8)])
    layers = [Embedding(words, 32), LSTM(48, return_sequences=True), vk.layers.Tokens(7, words)]
    p = vk.layers.AutoregressiveTokens(layers, skip=True)
    vae = vk.VAE(q, p, seed=seed)
    steps = epochs * -(-len(sentences) // batch)
    cures = dict(beta=vk.objectives.WarmUp(steps // 2), free_bits=1.6, free_bits_of="latent")
    objective = vk.objectives.ELBO(analytic_kl=True, **cures)
    vae.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.01, steps)), objective=objective)
    vae.fit(sentences, batch_size=batch, epochs=epochs, verbose=0)

    def encode(x):
        z = q(x)
        return z.mean(), 2 * ops.log(z.stddev())

    return encode, arrays(p)
    ### END SOLUTION


# %% [markdown] tags=["solution"]
# The same training, the mean of two runs each:
#
# | | bound | KL | information |
# |---|---:|---:|---:|
# | none | −9.98 | 0.00 | 0.0 |
# | warm-up alone | −9.99 | 0.18 | 0.2 |
# | skips alone | −9.99 | 0.24 | 0.2 |
# | skips and warm-up | −10.03 | 0.62 | 0.6 |
# | free bits alone, 1.6 nats | −10.42 | 1.55 | 1.3 |
# | free bits, skips and warm-up | −10.16 | 1.66 | 1.5 |
#
# The more a code says, the worse the bound, if by little: where nothing is said it is at the entropy. A code that
# speaks costs two tenths of a nat here, with skips and warm-up, or four, without, and buys something that the bound
# does not count.

# %% [markdown]
# ## That was exercise 09
#
# You have counted words and what they cost, hidden them from a decoder, climbed a bound by hand, and paid for a code
# that speaks. `vaekit progress` in a terminal shows what you have done so far.
#
# Something was unclear? Go back to [lesson 09](../../lessons/09_text.ipynb). From there it goes on to
# [lesson 10](../../lessons/10_calibrated_decoders.ipynb): how sure a decoder should be of its pixels.
