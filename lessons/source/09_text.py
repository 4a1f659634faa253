# %% [markdown]
# # 09 · Text: sentences, LSTM decoders and semi-amortized inference
#
# A sentence is written word by word, and each word is chosen in view of those before it. A network that does so is a
# model of sentences all by itself. Give it a code, as lesson 08 gave one to a PixelCNN, and it does what lesson 08 made
# us expect: it does not listen. Sentences are where posterior collapse was first noticed, where most of its cures were
# tried, and where a number alone, the perplexity, says least about it. This lesson goes from a language model to a VAE
# of sentences, and revives its code; by skips, the idea of [lesson 08's paper](https://arxiv.org/abs/1807.04863), and
# by the one that the paper adds to it for text, [semi-amortized inference](https://arxiv.org/abs/1802.02550).
#
# **After it, you will be able to**
#
# - write a step of an LSTM, and the log-probability of a sentence, in ten lines;
# - measure perplexity, and say what counts as a word;
# - tell a collapsed VAE of sentences from a good one where perplexity cannot;
# - say which things a code says, and which are left to the words;
# - refine a posterior by gradient steps, and say what each step buys;
# - recognize four ways in which such models are reported better, or worse, than they are.
#
# **You need** lesson 08, and of lesson 02 the two parts of the gap. Of recurrent networks, nothing.
#
# **It takes** about {minutes} minutes of yours, and three of a laptop's CPU.

# %% tags=["hide-input"]
# # %pip install vaekit
import vaekit as vk  # first: it keeps the backend's start-up messages out of the notebook
from vaekit.course import epochs, holds
from vaekit.course.quiz import Quiz
from vaekit.course.show import explore

quiz = Quiz("09")

from collections import Counter

import ipywidgets
import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import Sequential, ops
from keras.layers import LSTM, Embedding
from keras.optimizers import Adam
from scipy.special import expit, logsumexp

from vaekit.batches import BatchesByLength
from vaekit.datasets.grammar import TENSES, Grammar
from vaekit.inference import Refinement
from vaekit.marks import END, START
from vaekit.papers import dieng2018
from vaekit.papers.dieng2018 import text as paper
from vaekit.plotting import COLORS, Figure

BLUE, ORANGE = COLORS[:2]  # the model p, the encoder q
plt.rcParams.update({"figure.dpi": 80, "figure.constrained_layout.use": True, "axes.spines.top": False})
plt.rcParams.update({"axes.spines.right": False, "legend.frameon": False, "axes.titlesize": "medium"})


def ELBO(**options):
    """The bound, with the KL by its formula."""
    return vk.objectives.ELBO(analytic_kl=True, **options)


# %% [markdown]
# ## Sentences whose probability is known
#
# Of real text nobody knows how probable a sentence is, so nobody knows how good a model could be. We shall take a
# language of which we do know: a small **grammar**, ours. First a *topic* is drawn, one of ten, and a *tense*, one of
# three. Then come subject, verb, object, and in half of the sentences more. Four nouns, verbs and adjectives of five
# are of the topic (one of five is of any topic), the frequent ones far more often than the rare. Whoever sees only
# sentences sees neither topic nor tense. But they are what sentences have in common: just what a code is for.

# %%
text = vk.datasets.load("grammar")
grammar = Grammar()
length, words = text.event_shape[0], len(text.vocabulary)
for sentence, topic in zip(text.vocabulary.decode(text.test[:6]), text.labels.test, strict=False):
    print(f"{grammar.topics[topic]:12s}{sentence}")
print(f"\n{words} tokens; the first sentence as numbers:\n{text.test[0]}")

# %% [markdown]
# A sentence is a row of numbers $w_1, \dots, w_T$, one for each word. The last one that counts is an **end mark**,
# `</s>`, number 3: that a sentence ends is a choice like any other. Then comes padding, number 0, which is no word and
# costs nothing. Any distribution over sentences can be written word by word,
#
# $$p(x) = \prod_{t=1}^{T} p(w_t \mid w_{<t}),$$
#
# which is no assumption but the definition of conditional probability, applied $T$ times. A **language model** is a
# network for these factors.

# %% [markdown]
# ## A network that reads
#
# The trouble is that $w_{<t}$ has no fixed length. A **recurrent network** reads one word after the other, and keeps
# what it has read in a vector $h$ of fixed size, its *state*. One function makes the next state from the state and a
# word, and it is the same function, with the same weights, at each place. Run along a sentence, it is a deep network
# whose layers share their weights. Deep networks forget: lesson 08 saw what is left of a signal after eight layers, and
# here there is one for each word. The **LSTM** (*long short-term memory*) therefore keeps a second vector $c$, its
# *memory*, that is not multiplied by a matrix on the way. It is scaled and added to:
#
# $$c \leftarrow f \odot c + i \odot \tilde c, \qquad h \leftarrow o \odot \tanh(c).$$
#
# $\tilde c$ is what the new word would like to add. The three others are **gates**, numbers between 0 and 1 for each
# unit: how much of the memory to keep ($f$, forget), how much of the new to let in ($i$, input), how much to show
# ($o$, output). With $f$ near 1 and $i$ near 0 a number stays where it is for as long as needed, and so does its
# gradient. All four are computed from the word and the last $h$, by one layer. Words go in as vectors: an **embedding**
# is a table with a row of numbers for each word, which are weights like all others.

# %% tags=["hide-input"]
figure = Figure(figsize=(8, 2.6))
axis = figure.add_subplot()
shown, told = ["<s>", "the", "fox", "slept"], ["the", "fox", "slept", "</s>"]
arrow = {"arrowstyle": "-|>", "linewidth": 1.5, "shrinkA": 0, "shrinkB": 0}
for i, (word, following) in enumerate(zip(shown, told, strict=True)):
    axis.text(2 * i, 0, word, ha="center", va="center", fontsize=12)
    axis.text(2 * i, 1, "LSTM", ha="center", va="center", bbox={"boxstyle": "round,pad=0.5", "fc": "0.93"})
    axis.text(2 * i, 2.1, f"p({following}|…)", ha="center", va="center", color=BLUE, fontsize=12)
    axis.annotate("", (2 * i, 0.67), (2 * i, 0.2), arrowprops=arrow)
    axis.annotate("", (2 * i, 1.87), (2 * i, 1.33), arrowprops=arrow)
    if i:
        axis.annotate("", (2 * i - 0.5, 1), (2 * i - 1.5, 1), arrowprops=arrow)
        axis.text(2 * i - 1, 1.2, "h, c", ha="center", fontsize=11)
axis.set(xlim=(-0.9, 6.9), ylim=(-0.3, 2.4))
axis.axis("off")
figure

# %% [markdown]
# At each place the network is shown a word, and asked for the next: $h$ goes through a linear layer to one logit for
# each of the vocabulary's words, and a softmax makes probabilities of them. The first word that it is shown is a start
# mark, `<s>`. In training the words shown are those of the sentence, whatever the network has guessed. This is called
# **teacher forcing**, and it is nothing but the formula: the factor is $p(w_t|w_{<t})$, with the true words behind the
# bar. So all places of a sentence are trained at once, as a PixelCNN trains all pixels. To *draw* a sentence, there is
# no teacher: what was drawn is shown next.
#
# In vaekit such a network is `AutoregressiveTokens`. Usually it is a decoder, given $z$; a model without latents has it
# alone, and its bound is $\log p_\theta(x)$.

# %%
def decoder(skip=False, word_dropout=0.0):  # both: for later
    layers = [Embedding(words, 64), LSTM(64, return_sequences=True), vk.layers.Tokens(length, words)]
    return vk.layers.AutoregressiveTokens(layers, skip=skip, word_dropout=word_dropout)


train = BatchesByLength(text.train[: epochs(10_000, 200)], 100, multiple=5)
keras.utils.set_random_seed(1)
language_model = vk.LatentVariableModel([vk.Factor("x", decoder())], inference=[], seed=1)
language_model.compile(Adam(0.005), objective=ELBO())
fitted = language_model.fit(train, epochs=epochs(5, 1), verbose=0)

# %% [markdown]
# (`BatchesByLength` puts sentences of about the same length into a batch, so that not much of it is padding.) Is it
# what was said above? By hand, with the weights of the trained model, and the teacher in the last line:

# %%
table, kernel, recurrent, bias, to_logits, logit_bias = language_model.get_weights()


def log_p_by_hand(sentence):
    h, c, last, total = np.zeros(64), np.zeros(64), START, 0.0
    for word in sentence[: list(sentence).index(END) + 1]:
        a = table[last] @ kernel + h @ recurrent + bias
        i, f, new, o = np.split(a, 4)
        c = expit(f) * c + expit(i) * np.tanh(new)  # expit(a) = 1 / (1 + exp(-a))
        h = expit(o) * np.tanh(c)
        logits = (h @ to_logits + logit_bias)[1:]  # padding is no word
        total += logits[word - 1] - logsumexp(logits)
        last = word
    return total


# %% tags=["nbval-check-output"]
ours = [log_p_by_hand(sentence) for sentence in text.test[:5]]
theirs = vk.evaluation.perplexity(language_model, text.test[:5]).per_sentence
print("the same log p(x):", np.allclose(ours, theirs, atol=1e-3))

# %% [markdown]
# ## Perplexity
#
# A model's mean $\log p_\theta(x)$ depends on how long the sentences are. People therefore divide by the number of
# words, and then take the exponential:
#
# $$\mathrm{PPL} = \exp\Big(-\frac{\sum_n \log p_\theta(x_n)}{\sum_n T_n}\Big).$$
#
# Somebody who hesitates between $k$ words, all alike, gives each the probability $1/k$, and has the **perplexity**
# $k$. It is the number of words between which a model hesitates, on (geometric) average. With a uniform choice from
# our vocabulary it is the size of the vocabulary.
#
# How low can it be? The mean of $-\log p_\theta(x)$ is the grammar's entropy plus a KL divergence, that of the model
# from the grammar (lesson 02's Gibbs: never negative). So the entropy is a **floor**, and of the grammar it is known
# exactly. Between floor and ceiling come two models made by counting: words at their frequencies, and words given the
# one word before.

# %%
quiz.ask("floor")

# %% tags=["hide-input"]
tokens = np.count_nonzero(text.test, axis=1)  # with the end mark
flat_train = [[START, *row[row > 0]] for row in text.train]
ones, twos = Counter(), Counter()
for row in flat_train:
    ones.update(row[:-1])
    twos.update(zip(row[:-1], row[1:], strict=True))
unigram = np.bincount(np.concatenate([row[1:] for row in flat_train]), minlength=words) + 1.0
unigram /= unigram.sum()


def bigram(before, word):
    """Counts, mixed with the word's own frequency where there are few."""
    n = ones[before]
    return (twos[before, word] + 50 * unigram[word]) / (n + 50)


bits = [0.0, 0.0]
for row in text.test:
    row = [START, *row[row > 0]]
    bits[0] += np.log(unigram[row[1:]]).sum()
    bits[1] += sum(np.log(bigram(*pair)) for pair in zip(row[:-1], row[1:], strict=True))
measured = vk.evaluation.perplexity(language_model, text.test)
ladder = {"any word": words - 1.0, "frequencies": np.exp(-bits[0] / tokens.sum())}
ladder |= {"given one word": np.exp(-bits[1] / tokens.sum()), "LSTM": measured.value}
ladder |= {"the grammar itself": np.exp(-grammar.log_prob(text.test).sum() / tokens.sum())}
print("                     PPL   nats a sentence")
for name, value in ladder.items():
    print(f"{name:19s}{value:6.1f}{np.log(value) * tokens.mean():12.1f}")
print(f"exact floor: {grammar.perplexity:.2f}, {grammar.entropy:.2f} nats")

# %%
quiz.discuss("floor")

# %% tags=["hide-input"]
if epochs(1, 0):
    holds(ladder["LSTM"] < ladder["given one word"] < ladder["frequencies"] < ladder["any word"])
    holds(abs(ladder["the grammar itself"] - grammar.perplexity) < 0.8, abs(grammar.perplexity - 20.36) < 0.01)

# %% [markdown]
# The last rung is the grammar's own probabilities for these test sentences, and it differs from the exact floor only by
# the accident of which sentences they are. A perplexity of twenty is as good as it gets. On real text there is a floor,
# too, and nobody knows it.
#
# What does an LSTM have to find out, to come down to the floor? The rules of grammar are local. The topic is not: each
# noun, verb and adjective gives a hint, and the network has to gather hints, and to keep them for the next place. It
# is Bayes' rule, run along the sentence, in 64 numbers that are learned. That takes time.

# %% [markdown]
# ## A code for the sentence
#
# The VAE of sentences ([Bowman and others, 2016](https://arxiv.org/abs/1511.06349)) is no surprise by now. The
# encoder reads the sentence with an LSTM of its own, and makes $\mu$ and $\log\sigma^2$ of its last state. The decoder
# is the language model, whose LSTM is shown $z$ together with each word: $p_\theta(x|z) = \prod_t p_\theta(w_t|w_{<t},
# z)$. So $z$ *could* say topic and tense from the first word on, and the decoder need not gather hints.

# %%
def encoder():
    return Sequential([Embedding(words, 64, mask_zero=True), LSTM(64), vk.layers.DiagonalNormal(16)])


def sentence_vae(objective=None, **options):
    keras.utils.set_random_seed(1)
    model = vk.VAE(encoder(), decoder(**options), seed=1)
    model.compile(Adam(0.005), objective=objective or ELBO())
    fitted = model.fit(train, epochs=epochs(3, 1), verbose=0)
    return model, fitted.history["kl"]


# %% [markdown]
# Ours are small, and soon trained. To see where such models end, vaekit has two that were trained for twenty epochs,
# with the settings of the literature (dropout, and first weights that are small), and 32 latents: `grammar_vae`, and
# `grammar_skip_vae`, of which later. First the one without skips. Two kinds of sentences come from a prior code: *drawn*
# ones, each word by lot, and *greedy* ones, each the most probable. We take a thousand codes, and both.

# %%
quiz.ask("same")

# %%
collapsed = dieng2018.load("grammar_vae")
codes = np.random.default_rng(0).normal(size=(epochs(1000, 20), 32)).astype("float32")
drawn = np.asarray(collapsed.decoder.generate(codes, seed=0)).astype(int)
greedy = np.asarray(collapsed.decoder.generate(codes, temperature=0)).astype(int)
for name, some in {"drawn": drawn, "greedy": greedy}.items():
    print(f"{name}: {len(np.unique(some, axis=0))} different ones of {len(some)}")
    print("   " + "\n   ".join(text.vocabulary.decode(some[:4])))

# %%
quiz.discuss("same")

# %% tags=["hide-input"]
if epochs(1, 0):
    holds(len(np.unique(drawn, axis=0)) > 950, len(np.unique(greedy, axis=0)) < 40)

# %% [markdown]
# A thousand codes, and a handful of greedy sentences. The code has been lost: if $p_\theta(x|z)$ is the same for all
# $z$, there is one most probable sentence, and everybody gets it. "Every sample of my model is the same sentence" is
# the usual complaint, and this is the usual reason. The drawn ones are all different, and prove nothing: the variety is
# the dice's, rolled word by word.
#
# ### What the code says, in nats
#
# Lesson 08's instruments: the KL, and the mutual information $I$. Its ceiling there was $\ln N$. Here we also know what
# there is to say. A sentence tells about its topic a mutual information that can be computed, and its tense it shows
# completely. (A code may say more, down to the very words. That would be an expensive way to tell them.)

# %%
few = text.test[: epochs(2000, 50)]
said = vk.evaluation.information(collapsed, few, progress=False)
log_p = vk.evaluation.perplexity(collapsed, few[:500], samples=epochs(20, 2), progress=False)
print(f"KL {said.kl:.2f}, I {abs(said.mutual_information):.2f} nats; PPL {log_p.value:.1f}")
print(f"there is to say: topic {grammar.topic_information:.2f}, tense {np.log(3):.2f} nats")

# %% tags=["hide-input"]
holds(abs(grammar.topic_information - 2.25) < 0.01)
if epochs(1, 0):
    holds(said.kl < 0.05, abs(said.mutual_information) < 0.05, 21 < log_p.value < 24)

# %% [markdown]
# Nothing is said, and the perplexity is two words above the floor: not bad at all. **Perplexity does not see collapse.**
# A language model with a broken code is still a language model, and this one has learned to gather its hints. The
# ridge of lesson 08 again, with words for pixels.
#
# When does it happen? We look at a fresh one, from its first epoch on. It is ours, smaller and without dropout.

# %%
plain, curve = sentence_vae()
print("KL by epoch:", *(f"{kl:.2f}" for kl in curve))
