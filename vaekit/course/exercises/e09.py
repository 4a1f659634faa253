r"""Exercise 09: text."""

import numpy as np

from vaekit.course.questions import Experiment, Function, Mend, Number, TrainedSentences
from vaekit.course.questions.question import AtMost

TITLE = "Text: sentences, LSTM decoders and semi-amortized inference"
UNKNOWN, END = 1, 3  # marks: 0 padding, 1 unknown, 2 start, 3 end


def _tokens(rng, N, T, V, least=1):
    """Sentences [N, T] of different lengths: words, in the longest one an unknown one, the end mark, padding."""
    x = rng.integers(4, V, size=(N, T))
    lengths = rng.permutation(np.linspace(least, T - 1, N).round().astype(int))
    x[lengths.argmax(), 2] = UNKNOWN
    place = np.arange(T)
    return np.where(place < lengths[:, None], x, np.where(place == lengths[:, None], END, 0)).astype("int32")


# ---- 1


def _logits(rng):
    for N, T, V in (3, 5, 7), (4, 6, 9):
        yield dict(logits=rng.normal(size=(N, T, V)), tokens=_tokens(rng, N, T, V))


def _sure_logits(rng):
    """Logits whose exponentials float32 does not hold, and second words that are as good as impossible."""
    for level in 300.0, -300.0:
        logits, tokens = level + rng.normal(size=(3, 5, 7)), _tokens(rng, 3, 5, 7)
        logits[np.arange(3), 1, (tokens[:, 1] + 1) % 7] += 120
        yield dict(logits=logits, tokens=tokens)


_COUNTED = 'counted = ops.cast(tokens != 0, "float32")  # words and the end mark, [N, T]'
_CHOSEN = "chosen = ops.take_along_axis(logits, tokens[:, :, None], axis=2)[:, :, 0]"
_LOG_P = "log_p = ops.sum(counted * (chosen - ops.logsumexp(logits, axis=2)), axis=1)"
_PERPLEXITY = "ops.exp(-ops.sum(log_p) / ops.sum(counted))"

_HELD = (
    "exponentials or probabilities themselves are computed, which float32 does not hold: none below $e^{-104}$, nor "
    "above $e^{89}$. A small number beside them would hide that. `ops.logsumexp` and `ops.log_softmax` stay with "
    "logarithms."
)

PERPLEXITY = Function(
    "perplexity", "What counts as a word", points=4, minutes=18, difficulty=1,
    section="Perplexity", aims=(1, 2),
    takes="logits[N,T,V], tokens[N,T]", returns="log p, perplexity", axes={"N": "sentences", "T": "places"},
    draw={None: _logits, "sure": _sure_logits}, parts={"log p": 1.5, "perplexity": 1.5, "sure": 1},
    answer=f"""
        {_COUNTED}
        {_CHOSEN}
        {_LOG_P}  # [N]
        return log_p, {_PERPLEXITY}
    """,
    hints=r"""
        A sentence's log-probability is a sum over its places of $a_{w_t} - \log\sum_v e^{a_v}$, with the logits $a$ of
        that place. Places that hold padding, 0, do not count; the end mark does.

        `ops.take_along_axis(logits, tokens[:, :, None], axis=2)[:, :, 0]` picks the logit of each word. For the
        normalizer there is `ops.logsumexp`, which never leaves float32's range.

        The perplexity divides the sum over *all* sentences by the number of all words that count:
        `ops.exp(-ops.sum(log_p) / ops.sum(counted))`.
    """,
    mistakes=[
        ("padding_counted", {_COUNTED: 'counted = 0 * ops.cast(tokens, "float32") + 1'}, "padding counts as a word. "
         "It is there to fill the array, and nobody has to guess it."),
        ("no_end", {_COUNTED: f'counted = ops.cast((tokens != 0) & (tokens != {END}), "float32")'}, "the end mark does "
         "not count. A sentence has to say that it ends: without it all sentences together have a probability above "
         "1."),
        ("no_end", {_COUNTED: f'counted = ops.cast(tokens > {END}, "float32")'}, "the end mark does not count, and "
         "`<unk>` neither. Both have to be guessed; without the end mark all sentences together have a probability "
         "above 1."),
        ("end_not_a_word", {_PERPLEXITY: f'ops.exp(-ops.sum(log_p) / ops.sum(ops.cast(tokens > {END}, "float32")))'},
         "the nats of the end mark are counted, and the mark itself is not among the words that you divide by."),
        ("end_divided_alone", {_LOG_P: f'log_p = ops.sum(ops.cast(tokens > {END}, "float32") * (chosen - '
         "ops.logsumexp(logits, axis=2)), axis=1)"}, "the end mark is among the words that you divide by, and its nats "
         "are left out."),
        ("by_sentence", {_PERPLEXITY: "ops.mean(ops.exp(-log_p / ops.sum(counted, axis=1)))"}, "you took a perplexity "
         "of each sentence, and their mean. It is one number of all words: sum first, over everything."),
        ("mean_of_means", {_PERPLEXITY: "ops.exp(-ops.mean(log_p / ops.sum(counted, axis=1)))"}, "you took the mean "
         "over the sentences of their nats a word. Then words of short sentences weigh more: sum over everything, then "
         "divide."),
        ("by_sentences", {_PERPLEXITY: "ops.exp(-ops.mean(log_p))"}, "this is the exponential of nats a *sentence*. "
         "Divide by the number of words."),
        ("two_to", {_PERPLEXITY: "2 ** (-ops.sum(log_p) / ops.sum(counted))"}, "nats go into $e^x$. With bits it would "
         "be $2^x$."),
        ("perplexity_sign", {_PERPLEXITY: "ops.exp(ops.sum(log_p) / ops.sum(counted))"}, "the sign in the exponent is "
         "lost: this is one over the perplexity."),
        ("in_nats", {_PERPLEXITY: "-ops.sum(log_p) / ops.sum(counted)"}, "these are nats a word. The perplexity is "
         "their exponential."),
        ("all_places", {_PERPLEXITY: "ops.exp(-ops.sum(log_p) / (tokens.shape[0] * tokens.shape[1]))"}, "you divided "
         "by the number of all places, padding among them."),
        ("unknown_not_counted", {_COUNTED: f'counted = ops.cast(tokens > {UNKNOWN}, "float32")'}, "`<unk>` does not "
         "count. Something stood there, and the model had to say what: it is a word like any other."),
        ("padding_left_out", {"ops.logsumexp(logits, axis=2)": "ops.logsumexp(logits[:, :, 1:], axis=2)"}, "the "
         "softmax leaves padding out, as the lesson's model does. Here it goes over all $V$ tokens."),
        ("likeliest", {_CHOSEN: "chosen = ops.max(logits, axis=2)"}, "this is how probable the likeliest word is, at "
         "each place. Asked for is the word that stands there."),
        ("not_normalized", {"(chosen - ops.logsumexp(logits, axis=2))": "chosen"}, "these are the logits themselves. "
         "What makes probabilities of them is missing: $-\\log\\sum_v e^{a_v}$, at each place."),
        ("over_places", {"ops.logsumexp(logits, axis=2)": "ops.logsumexp(logits, axis=(1, 2))[:, None]"}, "the softmax "
         "goes over all places together. There is one at each place, over the vocabulary."),
        ("over_places", {"ops.logsumexp(logits, axis=2)": "ops.take_along_axis(ops.logsumexp(logits, axis=1), tokens, "
         "axis=1)"}, "the softmax goes over the places. There is one at each place, over the vocabulary."),
        ("not_in_logarithms", {"ops.logsumexp(logits, axis=2)": "ops.log(ops.sum(ops.exp(logits), axis=2))"}, _HELD),
        ("not_in_logarithms", {"(chosen - ops.logsumexp(logits, axis=2))": "ops.log(ops.exp(chosen - ops.logsumexp("
         "logits, axis=2)))"}, _HELD),
        ("small_number", {"(chosen - ops.logsumexp(logits, axis=2))": "ops.log(ops.exp(chosen) / (ops.sum(ops.exp("
         "logits), axis=2) + 1e-8) + 1e-8)"}, "a small number is added to keep the logarithm finite. It changes what "
         "is rare, and for large logits nothing is left."),
        ("last_place", {"axis=1)": "axis=1) / ops.sum(counted, axis=1)"}, "*log p* is a mean over the words of a "
         "sentence. Asked for is the sum: the sentence's log-probability."),
        ("shifted", {_CHOSEN: "chosen = ops.take_along_axis(logits, ops.roll(tokens, -1, axis=1)[:, :, None], axis=2)"
         "[:, :, 0]"}, "the words are shifted by one place. The logits at place $t$ are already those of word $t$."),
    ],
)  # fmt: skip


# ---- 2

FLOOR = Number(
    "exact_floor", "By hand: how low can a perplexity be?", points=3, minutes=20, difficulty=2, importance=2,
    section="Perplexity", aims=(2,),
    value="exp((log(8) + 0.25 * log(4) + 0.75 * log(4 / 3) + 0.75 * log(4)) / 2.75)",
    hints=r"""
        The floor is $e^{H/\bar T}$: $H$, the entropy of a sentence, and $\bar T$, the mean number of words, with the
        end mark.

        $H$ is a sum of what is decided: the first word; whether there is a second; and which, if there is one.

        $H = \ln 8 + \big(\frac14\ln 4 + \frac34\ln\frac43\big) + \frac34\ln 4$, and $\bar T = \frac14 \cdot 2 +
        \frac34 \cdot 3$.
    """,
    mistakes=[
        ("no_end", "exp((log(8) + 0.25 * log(4) + 0.75 * log(4 / 3) + 0.75 * log(4)) / 1.75)", "you divided by the "
         "words without the end mark. It is one of the places at which something is decided."),
        ("end_is_free", "exp((log(8) + 0.75 * log(4)) / 2.75)", "whether the sentence goes on is decided, too, and "
         "takes nats: $\\frac14\\ln 4 + \\frac34\\ln\\frac43$."),
        ("end_is_free", "exp((log(8) + 0.75 * log(4)) / 1.75)", "words alone are counted here, above and below. The "
         "end mark is one, and whether it comes takes nats."),
        ("always_two", "exp((log(8) + 0.25 * log(4) + 0.75 * log(4 / 3) + log(4)) / 2.75)", "the second word is chosen "
         "in three of four sentences: its nats count ¾."),
        ("all_long", "exp((log(8) + 0.25 * log(4) + 0.75 * log(4 / 3) + 0.75 * log(4)) / 3)", "you divided by 3. One "
         "sentence of four has 2 words, with the end mark."),
        ("mean_of_perplexities", "0.25 * exp((log(8) + log(4)) / 2) + 0.75 * exp((log(8) + log(4 / 3) + log(4)) / 3)",
         "this is the mean of the two kinds' perplexities. A perplexity is one number of all words: nats are summed, "
         "and words are."),
        ("mean_of_nats", "exp(0.25 * (log(8) + log(4)) / 2 + 0.75 * (log(8) + log(4 / 3) + log(4)) / 3)", "you took "
         "nats a word of either kind, and their mean. Sum the nats of all sentences, and divide by all their words."),
        ("entropy", "log(8) + 0.25 * log(4) + 0.75 * log(4 / 3) + 0.75 * log(4)", "this is the entropy of a sentence, "
         "in nats. Divide by the number of words, and take the exponential."),
        ("nats_a_word", "(log(8) + 0.25 * log(4) + 0.75 * log(4 / 3) + 0.75 * log(4)) / 2.75", "these are nats a word. "
         "The perplexity is their exponential."),
        ("number_of_sentences", "exp(log(8) + 0.25 * log(4) + 0.75 * log(4 / 3) + 0.75 * log(4))", "this is the "
         "exponential of a whole sentence's entropy. Divide by its words first."),
        ("equal_sentences", "exp(log(40) / 2.75)", "the 40 sentences are not equally likely: a short one has the "
         "probability 1/32, a long one 3/128."),
        ("vocabulary", "12", "this is the number of words. The floor knows which of them may come where."),
        ("bits", "exp((log(8) - 0.25 * log(4) - 0.75 * log(4 / 3) + 0.75 * log(4)) / 2.75)", "in the entropy of going "
         "on a sign is lost: it is $-\\sum p\\ln p$, a positive number."),
        ("certain_end", "exp((log(8) + 0.25 * log(4) + 0.75 * log(4 / 3) + 0.75 * log(4)) / 2)", "you left out the end "
         "marks that come for certain, after a second word. They cost nothing, and they are words."),
        ("equal_lengths", "exp((log(8) + 0.25 * log(4) + 0.75 * log(4 / 3) + 0.75 * log(4)) / 2.5)", "you took 2.5 "
         "words to be the mean of 2 and 3. One sentence of four is short."),
        ("nats_for_bits", "exp((log(8) + 0.25 * log(4) + 0.75 * log(4 / 3) + 0.75 * log(4)) / log(2) / 2.75)", "bits "
         "go into $2^x$; with nats it would be $e^x$."),
        ("bits", "2 ** ((log(8) + 0.25 * log(4) + 0.75 * log(4 / 3) + 0.75 * log(4)) / 2.75)", "nats go into $e^x$; "
         "with bits it would be $2^x$."),
    ],
)  # fmt: skip


# ---- 3


def _cells(rng):
    for N, F, L, H, V in (3, 4, 2, 3, 5), (2, 3, 4, 2, 6):
        shapes = dict(kernel=(F + L, 4 * H), recurrent=(H, 4 * H), bias=(4 * H,), out_kernel=(H + L, V), out_bias=(V,))
        yield dict(
            word=rng.normal(size=(N, F)),
            z=rng.normal(size=(N, L)),
            h=rng.uniform(-1, 1, size=(N, H)),
            c=rng.normal(size=(N, H)),
            **{name: rng.normal(size=shape) for name, shape in shapes.items()},
        )


_GATES = "a = ops.matmul(ops.concatenate([word, z], axis=1), kernel) + ops.matmul(h, recurrent) + bias"
_SPLIT = "i, f, new, o = ops.split(a, 4, axis=1)"
_MEMORY = "c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(new)"
_SHOWN = "h = ops.sigmoid(o) * ops.tanh(c)"
_OUT = "logits = ops.matmul(ops.concatenate([h, z], axis=1), out_kernel) + out_bias"

CELL = Function(
    "skip_step", "A step of an LSTM that hears its code twice", points=4, minutes=22, difficulty=2,
    section="A network that reads", aims=(1,),
    takes="word[N,F], z[N,L], h[N,H], c[N,H], kernel[G,K], recurrent[H,K], bias[K], out_kernel[J,V], out_bias[V]",
    returns="state, memory, logits", axes={"N": "sentences", "H": "units", "L": "latents"},
    gradients="word z h c kernel recurrent bias out_kernel out_bias", draw=_cells,
    parts={"state": 1, "memory": 1, "logits": 1.5, "gradients": 0.5},
    requires_first=False,
    answer=f"""
        {_GATES}
        {_SPLIT}
        {_MEMORY}
        {_SHOWN}
        {_OUT}
        return h, c, logits
    """,
    hints=r"""
        One linear layer of (word, z) and the last $h$ gives four vectors, in the order $i, f, \tilde c, o$:
        `ops.split(a, 4, axis=1)`.

        $c \leftarrow f \odot c + i \odot \tilde c$ and $h \leftarrow o \odot \tanh(c)$, with a sigmoid for each of the
        three gates, a tanh for $\tilde c$, and the *new* $c$ in the second line.

        The skip: $z$ stands beside the new $h$ once more, `ops.concatenate([h, z], axis=1)`, before the logits.
    """,
    mistakes=[
        ("no_skip", {_OUT: "logits = ops.matmul(h, out_kernel[: h.shape[1]]) + out_bias"}, "the logits do not hear "
         "$z$. "
         "That is the skip: $(h, z) W_o + b_o$."),
        ("no_code", {_GATES: "a = ops.matmul(word, kernel[: word.shape[1]]) + ops.matmul(h, recurrent) + bias"}, "the "
         "LSTM does not hear $z$: it stands beside the word."),
        ("code_first", {_GATES: "a = ops.matmul(ops.concatenate([z, word], axis=1), kernel) + ops.matmul(h, recurrent) "
         "+ bias"}, "$z$ stands before the word. The kernel's first rows are for the word."),
        ("code_first_in_logits", {_OUT: "logits = ops.matmul(ops.concatenate([z, h], axis=1), out_kernel) + out_bias"},
         "$z$ stands before $h$. The first rows of the last kernel are for $h$."),
        ("gates_in_other_order", {_SPLIT: "f, i, new, o = ops.split(a, 4, axis=1)"}, "the gates $i$ and $f$ have "
         "changed places. The order is $i, f, \\tilde c, o$."),
        ("gates_in_other_order", {_SPLIT: "i, f, o, new = ops.split(a, 4, axis=1)"}, "$\\tilde c$ and $o$ have changed "
         "places, as in some libraries. The order here is $i, f, \\tilde c, o$."),
        ("gates_in_other_order", {_SPLIT: "i, new, f, o = ops.split(a, 4, axis=1)"}, "$f$ and $\\tilde c$ have changed "
         "places. The order is $i, f, \\tilde c, o$."),
        ("interleaved", {_SPLIT: "i, f, new, o = (a[:, k::4] for k in range(4))"}, "you took every fourth number. The "
         "four parts stand one after the other, each of $H$ numbers."),
        ("memory_in_logits", {_OUT: "logits = ops.matmul(ops.concatenate([c, z], axis=1), out_kernel) + out_bias"},
         "the logits are made of the memory. What is shown of it is $h$."),
        ("probabilities", {_OUT: f"{_OUT}\nlogits = ops.exp(logits - ops.logsumexp(logits, axis=1, "
        f"keepdims=True))"}, "these are probabilities. Asked for are the "
         "logits, from which a softmax makes them."),
        ("forget_bias", {"ops.sigmoid(f)": "ops.sigmoid(f + 1)"}, "1 is added to $f$. Some libraries do so to their "
         "bias, once, at the start of training; what is in $b$ counts as it is."),
        ("old_memory", {_SHOWN: "h = ops.sigmoid(o) * ops.tanh((c - ops.sigmoid(i) * ops.tanh(new)) / "
         "ops.sigmoid(f))"}, "the state shows the *old* memory. First the memory is renewed, then it is shown."),
        ("old_state", {_OUT: "logits = ops.matmul(ops.concatenate([old, z], axis=1), out_kernel) + out_bias", _GATES:
         f"{_GATES}\nold = h"}, "the logits are made of the state before this word. They need the new one."),
        ("no_tanh", {_SHOWN: "h = ops.sigmoid(o) * c"}, "the memory is shown without its tanh."),
        ("new_without_tanh", {"* ops.tanh(new)": "* new"}, "$\\tilde c$ lacks its tanh, which keeps it between −1 and "
         "1."),
        ("new_by_sigmoid", {"ops.tanh(new)": "ops.sigmoid(new)"}, "$\\tilde c$ goes through a tanh, so that the memory "
         "may fall, too."),
        ("gates_by_tanh", {_MEMORY: "c = ops.tanh(f) * c + ops.tanh(i) * ops.tanh(new)"}, "the gates are between 0 and "
         "1: a sigmoid."),
        ("no_gates", {_MEMORY: "c = f * c + i * ops.tanh(new)"}, "the gates lack their sigmoid, which keeps them "
         "between 0 and 1."),
        ("forgets_all", {_MEMORY: "c = ops.sigmoid(i) * ops.tanh(new)"}, "the old memory is dropped. It is what an "
         "LSTM has that others have not."),
        ("keeps_all", {_MEMORY: "c = c + ops.sigmoid(i) * ops.tanh(new)"}, "nothing is forgotten: the gate $f$ is "
         "missing."),
        ("tied_gates", {_MEMORY: "c = ops.sigmoid(f) * c + (1 - ops.sigmoid(f)) * ops.tanh(new)"}, "what is let in is "
         "what was forgotten, as in a GRU. An LSTM has a gate of its own for it, $i$."),
        ("no_bias", {" + ops.matmul(h, recurrent) + bias": " + ops.matmul(h, recurrent)"}, "the bias of the gates is "
         "missing."),
        ("no_state", {" + ops.matmul(h, recurrent) + bias": " + bias"}, "the last state is not used: $hU$ is missing."),
        ("no_out_bias", {"out_kernel) + out_bias": "out_kernel)"}, "the bias of the logits is missing."),
    ],
)  # fmt: skip


# ---- 4


def _droppings(rng):
    for N, T, V in (4, 6, 9), (3, 8, 12):
        noise = rng.random((N, T))
        noise[:, :2] = rng.permutation([0.05, 0.95])  # each has a word that is dropped, and one that is kept
        tokens = _tokens(rng, N, T, V, least=3)
        noise[(tokens == 0).sum(axis=1).argmax(), 3:5] = 0.01, 0.02  # where the end mark stands, and padding
        noise[(tokens > 0).sum(axis=1).argmax(), 3] = 0.46  # a word that is kept
        yield dict(tokens=tokens, noise=noise, rate=rng.uniform(0.3, 0.45))


_DROPPED = "hidden = ops.where((noise < rate) & (tokens > 3), 1, tokens)"
_SHOWN_WORDS = "ops.concatenate([2 + 0 * hidden[:, :1], hidden[:, :-1]], axis=1)"

DROPOUT = Function(
    "shown_words", "Words that the decoder is not shown", points=3, minutes=12, difficulty=1, importance=2,
    section="Cures at equal budget", aims=(3,),
    takes="tokens[N,T], noise[N,T], rate", axes={"N": "sentences", "T": "places"}, draw=_droppings,
    answer=f"""
        {_DROPPED}
        return {_SHOWN_WORDS}
    """,
    hints=r"""
        Two things: words are hidden, and all are shifted by one place, since at place $t$ the decoder is shown
        $w_{t-1}$.

        Hide where `noise < rate`, and only words: marks and padding are the tokens 0 to 3. `ops.where`.

        Then shift: a column of start marks, 2, and all but the last column.
    """,
    mistakes=[
        ("not_shifted", {_SHOWN_WORDS: "hidden"}, "nothing is shifted: at each place the decoder is shown the word "
         "that "
         "it is to say."),
        ("shifted_first", {_DROPPED: "shown = ops.concatenate([2 + 0 * tokens[:, :1], tokens[:, :-1]], axis=1)",
         _SHOWN_WORDS: "ops.where((noise < rate) & (shown > 3), 1, shown)"}, "the noise of place $t$ hides the word at "
         "$t - 1$: it was applied after the shift. `noise[n, t]` belongs to `tokens[n, t]`."),
        ("kept_for_hidden", {"noise < rate": "noise >= rate"}, "what should be hidden is shown, and the other way "
         "round."),
        ("marks_hidden", {" & (tokens > 3)": ""}, "marks and padding are hidden as well. Hidden are words alone."),
        ("end_hidden", {"tokens > 3": "tokens > 2"}, "the end mark is hidden as well. Hidden are words alone, tokens "
         "from 4 on."),
        ("unknown_for_padding", {"tokens > 3), 1,": "tokens > 3), 0,"}, "hidden words became padding, 0. They become "
         "`<unk>`, 1: something stands there, and nobody knows what."),
        ("unknown_for_padding", {_DROPPED: "hidden = ops.where(noise < rate, 0, tokens)"}, "what is hidden became "
         "padding, 0, and marks are hidden as well. Hidden are words alone, and they become `<unk>`, 1."),
        ("start_for_unknown", {"tokens > 3), 1,": "tokens > 3), 2,"}, "hidden words became start marks. They become "
         "`<unk>`, 1."),
        ("rolled", {_SHOWN_WORDS: "ops.roll(hidden, 1, axis=1)"}, "the last column has come round to the front. Before "
         "the first word stands the start mark, 2."),
        ("zeros_first", {"[2 + 0 * hidden": "[0 * hidden"}, "before the first word stands padding. It should be the "
         "start mark, 2."),
        ("end_first", {"[2 + 0 * hidden": "[3 + 0 * hidden"}, "before the first word stands the end mark, 3. It should "
         "be the start mark, 2."),
        ("unknown_first", {"[2 + 0 * hidden": "[1 + 0 * hidden"}, "before the first word stands `<unk>`, 1. It should "
         "be the start mark, 2."),
        ("not_shortened", {"hidden[:, :-1]": "hidden"}, "there is a place too many: the last word is shown to nobody."),
        ("shifted_the_other_way", {_SHOWN_WORDS: "ops.concatenate([hidden[:, 1:], 2 + 0 * hidden[:, :1]], axis=1)"},
         "the words are shifted the wrong way: at place $t$ the decoder is shown word $t + 1$."),
        ("first_word_shown", {"tokens > 3": "tokens > 4"}, "token 4 is never hidden. Words are the tokens from 4 on."),
        ("all_hidden", {"(noise < rate) & (tokens > 3)": "tokens > 3"}, "all words are hidden. Only where `noise < "
         "rate`."),
        ("none_hidden", {"(noise < rate) & (tokens > 3)": "tokens < 0"}, "no word is hidden at all: hide where `noise "
         "< rate`."),
    ],
)  # fmt: skip


# ---- 5


def _starts(rng):
    for N, L, D, K in (3, 2, 5, 4), (4, 3, 2, 2):
        yield dict(mean=rng.normal(size=(N, L)), log_variance=rng.uniform(-1, 0.5, size=(N, L)),
                   x=rng.normal(size=(N, D)), weights=rng.normal(size=(L, D)), noise=rng.normal(size=(K, N, L)),
                   rate=rng.uniform(0.05, 0.1))  # fmt: skip


_DRAWN = "z = mean + scale * noise[k]"
_UP = "up = ops.matmul(x - ops.matmul(z, weights), ops.transpose(weights)) - z  # of log p(x, z), by z"
_STEP_MEAN = "mean = mean + rate * up"
_STEP_VARIANCE = "log_variance = log_variance + rate * (0.5 * scale * noise[k] * up + 0.5)"

REFINE = Function(
    "refined", "A posterior that takes steps", points=4, minutes=25, difficulty=3,
    section="Semi-amortized inference", aims=(5,),
    takes="mean[N,L], log_variance[N,L], x[N,D], weights[L,D], noise[K,N,L], rate",
    returns="mean, log variance", gradients="mean log_variance weights", axes={"N": "sentences", "L": "latents"},
    draw=_starts, parts={"mean": 1.5, "log variance": 1.5, "gradients": 1}, requires_first=False,
    answer=f"""
        for k in range(noise.shape[0]):
            scale = ops.exp(log_variance / 2)
            {_DRAWN}
            {_UP}
            {_STEP_MEAN}
            {_STEP_VARIANCE}
        return mean, log_variance
    """,
    hints=r"""
        With $z = \mu + \sigma\varepsilon$ the bound at one draw is $\log p(x, z) - \log q(z)$, and $-\log q(z) =
        \frac12\varepsilon^2 + \frac12\log\sigma^2 + \ldots$: of the parameters only $\frac12\log\sigma^2$ is left.

        $g = \nabla_z \log p(x, z) = (x - zW)W^\top - z$. By the chain rule the slope by $\mu$ is $g$, and that by
        $\lambda = \log\sigma^2$ is $g \cdot \frac{\partial z}{\partial\lambda} + \frac12 = \frac12\sigma\varepsilon\,g
        + \frac12$.

        A loop over the $K$ draws: `noise[k]` in step $k$. Both slopes are taken at the same place, before either
        parameter is changed.
    """,
    mistakes=[
        ("same_noise", {_DRAWN: "z = mean + scale * noise[0]", _STEP_VARIANCE:
         _STEP_VARIANCE.replace("[k]", "[0]")}, "all steps take the same draw. Then the steps fit the noise, "
         "not the posterior: `noise[k]`, a fresh one for each step."),
        ("at_the_mean", {_DRAWN: "z = mean + 0 * scale"}, "the slope is taken at the mean. Take it at a draw, $z = "
         "\\mu "
         "+ \\sigma\\varepsilon$."),
        ("first_scale", {"for k in range(noise.shape[0]):\n    scale = ops.exp(log_variance / 2)": "scale = ops.exp("
         "log_variance / 2)\nfor k in range(noise.shape[0]):"}, "all draws are made with the variance of the start. "
         "Each step draws with the parameters that it has."),
        ("one_step_less", {"range(noise.shape[0])": "range(noise.shape[0] - 1)"}, "a step is missing: there are as "
         "many as draws."),
        ("mean_over_batch", {_STEP_MEAN: "mean = mean + rate * up / x.shape[0]", _STEP_VARIANCE: "log_variance = "
         "log_variance + rate * (0.5 * scale * noise[k] * up + 0.5) / x.shape[0]"}, "the slopes are divided by the "
         "number of sentences: those of a *mean* over the batch. Each sentence climbs its own bound; sum."),
        ("prior_sign", {"ops.transpose(weights)) - z": "ops.transpose(weights)) + z"}, r"$\log p(z)$ is "
         r"$-\frac12\|z\|^2$ and a constant: its slope is $-z$, with a minus."),
        ("no_noise", {"0.5 * scale * noise[k] * up": "0.5 * scale * up"}, "$\\partial z/\\partial\\lambda$ is "
         "$\\frac12\\sigma\\varepsilon$; the $\\varepsilon$ is missing."),
        ("mean_over_pixels", {_UP: "up = ops.matmul(x - ops.matmul(z, weights), ops.transpose(weights)) / x.shape[1] - "
         "z"}, r"$\log p(x|z)$ is averaged over the numbers of $x$. It is their sum."),
        ("variance_for_scale", {"scale = ops.exp(log_variance / 2)": "scale = ops.exp(log_variance)"}, "the noise is "
         "multiplied by $\\sigma^2$. $\\sigma = e^{\\lambda/2}$."),
        ("downwards", {_STEP_MEAN: "mean = mean - rate * up", _STEP_VARIANCE: "log_variance = log_variance - rate * "
         "(0.5 * scale * noise[k] * up + 0.5)"}, "the steps go down. It is the bound that is climbed, no loss."),
        ("mean_downwards", {_STEP_MEAN: "mean = mean - rate * up"}, "the mean goes down the bound; it should climb "
         "it."),
        ("no_prior", {_UP: "up = ops.matmul(x - ops.matmul(z, weights), ops.transpose(weights))  # of log p(x, z), by "
         "z"}, "$\\log p(z)$ is missing: its slope is $-z$."),
        ("no_entropy", {" + 0.5)": ")"}, "the slope of the entropy is missing, ½. Without it $q$ shrinks to a point."),
        ("half_lost", {"(0.5 * scale * noise[k] * up + 0.5)": "(scale * noise[k] * up + 0.5)"}, "$\\sigma = "
         "e^{\\lambda/2}$, so $\\partial z/\\partial\\lambda = \\frac12\\sigma\\varepsilon$: a ½ is missing."),
        ("of_sigma", {"(0.5 * scale * noise[k] * up + 0.5)": "(scale * noise[k] * up + 1)"}, "this is the slope by "
         "$\\log\\sigma$. By $\\log\\sigma^2$ it is half of that."),
        ("no_scale", {"0.5 * scale * noise[k] * up": "0.5 * noise[k] * up"}, "$\\partial z/\\partial\\lambda$ is "
         "$\\frac12\\sigma\\varepsilon$; the $\\sigma$ is missing."),
        ("closed_kl", {_UP: "data = ops.matmul(x - ops.matmul(z, weights), ops.transpose(weights))\n    up = data - "
         "mean", _STEP_VARIANCE: "log_variance = log_variance + rate * (0.5 * scale * noise[k] * data + 0.5 - 0.5 * "
         "scale**2)"}, "you took the KL in closed form. That is as right on average, and less noisy; asked for is the "
         "bound at the draw, $\\log p(x, z) - \\log q(z)$."),
        ("variance_kept", {_STEP_VARIANCE: "pass"}, "the variance takes no steps; it climbs, too."),
        ("mean_kept", {_STEP_MEAN: "pass"}, "the mean takes no steps; it climbs, too."),
        ("one_step", {"range(noise.shape[0])": "range(1)"}, "there is one step only; there are as many as draws."),
        ("mean_first", {_STEP_MEAN: f"{_STEP_MEAN}\n    z = mean + scale * noise[k]\n    up = ops.matmul(x - "
         "ops.matmul(z, weights), ops.transpose(weights)) - z"}, "the variance's slope is taken after the mean has "
         "moved. Take both at the same place."),
        ("cut", {_DRAWN: "mean, log_variance = ops.stop_gradient(mean), ops.stop_gradient(log_variance)\n    z = mean "
         "+ "
         "scale * noise[k]"}, "the values are right, and the gradient by the start is lost: let it go through the "
         "steps, so that the encoder learns to propose a good one."),
    ],
)  # fmt: skip


# ---- 6


def _reports(rng):
    """Draws of codes; in the last case those of the longest sentence are dear, each weight 0 in float32."""
    for S, N, T in (3, 4, 6), (4, 3, 5), (2, 5, 7):
        tokens = _tokens(rng, N, T, 9)
        log_ratio = rng.normal(1.5, 1.0, size=(S, N))
        if N == 5:
            log_ratio[:, (tokens > 0).sum(axis=1).argmax()] += 120
        yield dict(log_p=-rng.gamma(2.0, 1.0, size=(S, N, T)), log_ratio=log_ratio, tokens=tokens)


_MASK = 'counted = ops.cast(tokens != 0, "float32")  # 1. what counts, [N, T]'
_SUM = "sentence = ops.sum(counted * log_p, axis=2)  # 2. log p(x|z), [S, N]"
_WEIGHT = "log_w = sentence - log_ratio  # 3. [S, N]"
_MARGINAL = "log_x = ops.logsumexp(log_w, axis=0) - np.log(log_p.shape[0])  # 4. log p(x), [N]"
_PPL = "return ops.exp(-ops.sum(log_x) / ops.sum(counted))  # 5. perplexity"

MENDED = Mend(
    "mended_perplexity", "Five errors in a perplexity", points=5, minutes=20, difficulty=2,
    section="When it goes wrong", aims=(6,), draw=_reports,
    takes="log_p[S,N,T], log_ratio[S,N], tokens[N,T]",
    answer=f"""
        {_MASK}
        {_SUM}
        {_WEIGHT}
        {_MARGINAL}
        {_PPL}
    """,
    errors={
        "end": (
            {_MASK: f'counted = ops.cast(tokens > {END}, "float32")  # 1. what counts, [N, T]'},
            "still broken: the end mark is left out, above and below, and `<unk>` with it. They have to be guessed, "
            "too."),
        "padding": (
            {_SUM: "sentence = ops.sum(log_p, axis=2)  # 2. log p(x|z), [S, N]"},
            "still broken: padding is summed up, as if it had been guessed."),
        "price": (
            {_WEIGHT: "log_w = sentence  # 3. [S, N]"},
            r"still broken: the codes are free. A draw of q weighs $p(x|z)\,p(z)/q(z|x)$; `log_ratio` is $\log q - "
            r"\log p$."),
        "samples": (
            {_MARGINAL: "log_x = ops.max(log_w, axis=0)  # 4. log p(x), [N]"},
            "still broken: the best of the samples is taken. log p(x) is the logarithm of the *mean* weight."),
        "words": (
            {_PPL: "return ops.mean(ops.exp(-log_x / ops.sum(counted, axis=1)))  # 5. perplexity"},
            "still broken: each sentence has a perplexity, and they are averaged. Sum all nats, divide by all words, "
            "then take the exponential."),
    },
    slips=[
        ("end", "all", {"tokens != 0": "tokens >= 0"}, "now padding counts as a word, and should not."),
        ("end", "unknown", {"tokens != 0": "tokens > 1"}, "now `<unk>` is left out. It is a word that has to be "
         "guessed."),
        ("end", "exchanged", {"tokens != 0": f"tokens != {END}"}, "now the end mark is left out, and padding counts."),
        ("padding", "words", {"counted * log_p": 'ops.cast(tokens > 3, "float32") * log_p'}, "now the end mark's nats "
         "are left out, and it is among the words that one divides by."),
        ("padding", "mean", {_SUM: "sentence = ops.sum(counted * log_p, axis=2) / ops.sum(counted, axis=1)  # 2. "
         "log p(x|z), [S, N]"}, "now it is a mean over the words. A sentence's log-probability is their sum."),
        ("price", "sign", {"sentence - log_ratio": "sentence + log_ratio"}, "now the price is added: $\\log p - "
         "\\log q$ belongs to the weight, and `log_ratio` is the other way round."),
        ("samples", "bound", {_MARGINAL: "log_x = ops.mean(log_w, axis=0)  # 4. log p(x), [N]"}, "now it is the bound, "
         "a mean of logarithms. The perplexity was to be that of $\\log p(x)$, by importance samples."),
        ("samples", "sum", {" - np.log(log_p.shape[0])": ""}, "now it is the sum of the weights. Their mean: $-\\log "
         "S$."),
        ("samples", "sentences", {"log_p.shape[0]": "log_p.shape[1]"}, "now you divided by the number of sentences. It "
         "is the mean over the $S$ samples."),
        ("words", "means", {_PPL: "return ops.exp(-ops.mean(log_x / ops.sum(counted, axis=1)))  # 5. perplexity"},
         "now it is the mean over sentences of nats a word. Words of short sentences weigh more by that."),
        ("words", "sentences", {_PPL: "return ops.exp(-ops.mean(log_x))  # 5. perplexity"}, "now it is by sentence. "
         "Divide by the number of words."),
        ("words", "places", {"/ ops.sum(counted))  # 5.": "/ (tokens.shape[0] * tokens.shape[1]))  # 5."}, "now you "
         "divided by all places, padding among them."),
        ("words", "base", {_PPL: "return 2 ** (-ops.sum(log_x) / ops.sum(counted))  # 5. perplexity"}, "now it is 2 to "
         "the power of nats. Nats go into $e^x$."),
        (None, "sign", {"ops.exp(-ops.sum(log_x)": "ops.exp(ops.sum(log_x)"}, "now the sign in the exponent is lost."),
        (None, "nats", {_PPL: "return -ops.sum(log_x) / ops.sum(counted)  # 5. perplexity"}, "now these are nats a "
         "word, and no perplexity."),
    ],
    beyond=("samples", "not_in_logarithms", {"ops.logsumexp(log_w, axis=0) - np.log(log_p.shape[0])": "ops.log(ops."
            "mean(ops.exp(log_w), axis=0))"}, "now the weights themselves are averaged: a right formula, but those of "
            "a dear sentence are 0 in float32, and the perplexity infinite. `ops.logsumexp` stays with logarithms."),
    hints=r"""
        Which tokens have to be guessed? What does a code cost? Of what is the logarithm taken?

        The log-probability of a sentence sums all that counts; its weight pays for the code; log p(x) is a
        mean of weights; and the perplexity knows no sentences, only words.

        There is one error in each of the lines 1 to 5.
    """,
)  # fmt: skip


# ---- 7


def _overconfident(rng):
    """Logits of models that have learned their training sentences by heart, by more or less; and held-out ones."""
    problems = []
    for sharper in rng.permutation([rng.uniform(0.6, 0.8), rng.uniform(1.3, 1.6), rng.uniform(2.2, 2.8)]):
        true = 1.5 * rng.normal(size=(6000, 30))
        p = np.exp(true - np.logaddexp.reduce(true, axis=1, keepdims=True))
        words = (p.cumsum(axis=1) > rng.random((len(p), 1))).argmax(axis=1)
        logits = sharper * true
        learned = logits[:3000].copy()
        learned[np.arange(3000), words[:3000]] += 3.0 * sharper  # known by heart
        problems.append({"train_logits": learned, "train_words": words[:3000], "logits": logits[3000:4500],
                         "words": words[3000:4500], "unseen": logits[4500:], "sharper": sharper})  # fmt: skip
    return problems


def _heated(rng, train_logits, train_words, logits, words, unseen, sharper, temperature):
    """Nats a word that are lost to the best temperature, on average over what the next word may be; and the entropy."""
    true = unseen / sharper
    log_p = true - np.logaddexp.reduce(true, axis=1, keepdims=True)
    a = unseen / temperature
    log_q = a - np.logaddexp.reduce(a, axis=1, keepdims=True)
    p, q = np.exp(log_p), np.exp(log_q)
    lost = np.mean(np.sum(p * (log_p - log_q), axis=1))
    ratio = np.mean(np.sum(q * log_q, axis=1)) / np.mean(np.sum(p * log_p, axis=1))
    return {"lost": lost, "off": 100 * abs(ratio - 1), "hot": temperature / sharper, "sharper": sharper}


_CALIBRATED = """
def nats(temperature):
    a = logits / temperature
    top = a.max(axis=1, keepdims=True)
    return np.mean(np.log(np.sum(np.exp(a - top), axis=1)) + top[:, 0] - a[np.arange(len(a)), words])

grid = np.geomspace(0.2, 5, 161)
return {"temperature": grid[np.argmin([nats(t) for t in grid])]}
"""

_RECIPROCAL = (
    "dict(temperature=1 / max(np.geomspace(0.2, 5, 41), key=lambda t: np.mean((logits / t)[np.arange(len(words)), "
    "words] "
    "- np.log(np.sum(np.exp(logits / t), axis=1)))))"
)

TEMPERATURE = Experiment(
    "temperature", "An experiment to design: how hot to draw?", points=4, minutes=20, difficulty=2, importance=2,
    section="Greedy decoding", aims=(6,),
    takes="train_logits[M,V], train_words[M], logits[N,V], words[N]", draw=_overconfident, run=_heated,
    settings={"temperature": (0.01, 100.0)},
    goals={
        "perplexity": AtMost(0.02, "nats a word", digits=3, of="lost"),
        "variety": AtMost(6.0, "%", digits=1, of="off"),
    },
    parts={"perplexity": 2, "variety": 2},
    answer=_CALIBRATED,
    hints=r"""
        Which of the two sets of words has the model not been trained on? Only they tell how sure it may be.

        The log-probability of a word at temperature $\tau$ is $a_w/\tau - \log\sum_v e^{a_v/\tau}$. Its mean over
        held-out words is largest at the temperature that fits.

        Try a grid, `np.geomspace(0.2, 5, 161)`, and take the best. Subtract each row's largest logit before the
        exponential.
    """,
    mistakes=[
        (None, "as_it_is", "dict(temperature=1.0)", lambda hot, sharper, **_: abs(hot * sharper - 1) < 1e-6, "You drew "
         "at temperature 1. Each of these models is sharper than the words that it describes, or flatter, by more than "
         "the goals allow."),
        (None, "reciprocal", _RECIPROCAL, lambda hot, sharper, **_: abs(hot * sharper**2 - 1) < 0.1,
         "One divided by your temperature would be right. Drawn is by the softmax of $a/\\tau$, not of $a\\tau$."),
        (None, "greedy", "dict(temperature=0.02)", lambda hot, **_: hot < 0.2, "So cold, the likeliest word comes "
         "nearly "
         "always: greedy decoding. A sample shows what may come, too."),
        (None, "by_training", "dict(temperature=0.62)", lambda hot, **_: hot < 0.8, "Too cold, in at least one "
         "problem: "
         "words come out surer than the language is. Did you fit the temperature to training words? The model knows "
         "them by heart, and there it may be sure of itself."),
        (None, "too_hot", "dict(temperature=4.0)", lambda hot, **_: hot > 1.2, "Too hot, in at least one problem: rare "
         "words come too often."),
    ],
    because="what is measured is exact. With 1,500 held-out words the best temperature of a grid is off by some 3 %, "
    "which loses 0.001 nats and changes the entropy by 3 % or less.",
    seconds=30.0,
)  # fmt: skip


# ---- 8

TOPICS, NOUNS, VERBS, DETERMINERS, ADVERBS = 6, 5, 4, 3, 4
VOCABULARY = 4 + DETERMINERS + ADVERBS + TOPICS * (NOUNS + VERBS)
FLOOR_NATS = (
    np.log(TOPICS) + 2 * np.log(DETERMINERS * NOUNS) + np.log(VERBS) + np.log(2) + 0.5 * np.log(ADVERBS)
)  # the entropy of a sentence


def _sentences(rng, n):
    """Determiner, noun, verb, determiner, noun, in half of them an adverb, the end mark; all of one topic."""
    topic, first = rng.integers(TOPICS, size=n), 4 + DETERMINERS
    nouns = first + ADVERBS + topic * NOUNS
    verbs = first + ADVERBS + TOPICS * NOUNS + topic * VERBS
    more = rng.random(n) < 0.5
    places = [
        4 + rng.integers(DETERMINERS, size=n),
        nouns + rng.integers(NOUNS, size=n),
        verbs + rng.integers(VERBS, size=n),
        4 + rng.integers(DETERMINERS, size=n),
        nouns + rng.integers(NOUNS, size=n),
        np.where(more, first + rng.integers(ADVERBS, size=n), END),
        np.where(more, END, 0),
    ]
    return np.stack(places, axis=1)


TRAINED = TrainedSentences(
    "train_sentences", "Train a VAE of sentences that listens", points=5, minutes=30, difficulty=2,
    section="Cures at equal budget", aims=(3, 4),
    bounds={"words": -13.0, "fair": -10.6, "good": -10.45}, informed=1.3,
    parts={"words": 1, "fair": 1, "good": 1, "informed": 2},
    images=_sentences, counts=(4000, 500), vocabulary=VOCABULARY, floor=float(FLOOR_NATS),
    most_latents=10, most_units=64,
    because="8 runs of the solution, each on sentences of its own, on both backends, ended between −10.31 and −10.10, "
    "with 1.42 to 1.60 nats heard. One run each without any cure, and with skips or warm-up alone: −9.99 to −9.97, the "
    "entropy, with 0.0 to 0.4 nats.",
    hints=r"""
        First make it return anything of the right shapes: an encoder of an `Embedding` with `mask_zero=True`, an LSTM
        and `vk.layers.DiagonalNormal(8)`; the lesson's decoder; `vk.VAE`, and `arrays(decoder)`. Ten epochs in batches
        of 100, with Adam and a learning rate that decays from 0.01, learn the words.

        These sentences can be learned down to their entropy without any code, so the code will be silent. Which cure
        pays the first nats, whether they are needed or not?

        `vk.objectives.ELBO(analytic_kl=True, free_bits=..., free_bits_of="latent", beta=vk.objectives.WarmUp(steps))`:
        there are six topics, $\ln 6 = 1.8$ nats, and 1.3 are asked for. Skips help.
    """,
)  # fmt: skip


QUESTIONS = [PERPLEXITY, FLOOR, CELL, DROPOUT, REFINE, MENDED, TEMPERATURE, TRAINED]
