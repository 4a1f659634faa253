r"""A VAE of sentences, trained by the answer: judged by its bound, and by what its codes say."""

from dataclasses import KW_ONLY, dataclass

import numpy as np
from scipy.special import expit, logsumexp

from vaekit.course.questions.deep import INFORMED, told
from vaekit.course.questions.model import DRAWS, TrainedVAE
from vaekit.course.questions.question import AtLeast, Case, Observe, generator
from vaekit.marks import MARKS, PADDING, START

ALONE = 50, 16  # sentences, and draws from the prior for each, to judge a decoder without its encoder
ARRAYS = ["embedding", "kernel", "recurrent", "bias", "out_kernel", "out_bias"]


@dataclass(eq=False)
class TrainedSentences(TrainedVAE):
    r"""A function that trains a VAE of sentences, whose decoder is an LSTM.

    All is as in `TrainedVAE`, but for the data, tokens `[N, T]` (words, the end mark, padding), of which words change
    places, and for the decoder: z stands beside each word, and, where the last kernel has rows for it, beside the state
    from which logits are made.

    What codes say is the smaller one of two numbers, as in `TrainedDeep`; it counts where the bound reaches the second
    of the goals.

    Attributes:
        images: function of a NumPy generator and a number n: sentences `[n, T]`.
        counts: (N, M), of sentences to learn from, and to be judged by.
        vocabulary: how many tokens there are, marks among them.
        informed: nats, the part "informed".
        floor: nats, the sentences' entropy.
    """

    _: KW_ONLY
    counts: tuple
    vocabulary: int
    informed: float
    floor: float
    coins: float = 0.0
    good_kl: tuple = (0.0, np.inf)

    def __post_init__(self):
        self.pixels = self.images(np.random.default_rng(0), 1).shape[1]
        self.parts = self.parts or dict.fromkeys([*self.bounds, INFORMED], 1)
        self.requires_first, self.arrays = False, ARRAYS
        super(TrainedVAE, self).__post_init__()
        units, words = self.most_units, self.vocabulary
        most = words * units + 4 * units * (2 * units + self.most_latents + 1) + (units + self.most_latents + 1) * words
        self.observe = Observe("trained_vae", {"parts": ARRAYS, "most": most})

    def draw_cases(self, rng):
        """Draws sentences to learn from, and others; which number means which word differs for each seed."""
        meaning = np.concatenate([np.arange(len(MARKS)), len(MARKS) + rng.permutation(self.vocabulary - len(MARKS))])
        training, others = (meaning[self.images(rng, n)] for n in self.counts)
        return [Case({"images": training, "seed": int(rng.integers(1000))}), Case({"images": others})]

    def expected(self, case):
        return {part: AtLeast(nats) for part, nats in self.bounds.items()} | {
            INFORMED: AtLeast(self.informed, of="heard")
        }

    def derived(self, inputs, observations):
        """Computes the bound under the name of each part, what codes say, and what advice is made of."""
        x, (arrays, codes) = inputs[1]["images"].astype(int), observations
        parts = [*self.bounds, INFORMED]
        if wrong := self._wrong_shapes(arrays, codes, len(x)):
            return dict.fromkeys(parts, np.nan) | {"wrong": wrong}
        mean, log_variance = codes["mean"], codes["log_variance"]
        rng = generator(inputs[0]["seed"], [*(arrays[name] for name in ARRAYS), mean, log_variance])
        noise = rng.normal(size=(DRAWS, *mean.shape))

        def bound(mean, log_variance, noise):
            z = mean + np.exp(log_variance / 2) * noise
            kl = 0.5 * np.sum(z**2 - noise**2 - log_variance, axis=-1)
            return np.mean([log_p(x, each, arrays) for each in z]), np.mean(kl)

        with np.errstate(all="ignore"):
            reconstruction, kl = bound(mean, log_variance, noise)
            others = np.roll(mean + np.exp(log_variance / 2) * noise[0], 1, axis=0)
            fall = reconstruction - np.mean(log_p(x, others, arrays))
            information = np.mean(told(mean, log_variance, noise[:2]))
            misread = {"log σ": 2 * log_variance, "σ²": np.log(log_variance), "σ": 2 * np.log(log_variance)}
            read = {name: np.subtract(*bound(mean, value, noise[:1])) for name, value in misread.items()}
            exchanged = np.subtract(*bound(log_variance, mean, noise[:1]))
            few = x[: ALONE[0]]
            alone = [log_p(few, z, arrays) for z in rng.normal(size=(ALONE[1], len(few), mean.shape[1]))]
            alone = np.mean(logsumexp(alone, axis=0)) - np.log(ALONE[1])
        reached = reconstruction - kl
        fair = list(self.bounds.values())[1]
        heard = np.minimum(information, fall) if reached >= fair else np.nan
        measures = {"bound": reached, "reconstruction": reconstruction, "kl": kl, "read": read, "fall": fall}
        measures |= {"exchanged": exchanged, "alone": alone}
        measures |= {"information": information, INFORMED: heard}
        return measures | dict.fromkeys(self.bounds, reached)

    def _wrong_shapes(self, arrays, codes, sentences):
        shapes = {name: np.shape(array) for name, array in {**arrays, **codes}.items()}
        if any(len(shapes.get(name, ())) != 2 for name in ("embedding", "recurrent", "mean")):
            found = ", ".join(f"`{name}` {shapes.get(name)}" for name in ("embedding", "recurrent", "mean"))
            return f"`embedding`, `recurrent` and the codes' `mean` are matrices; received {found}."
        (_, inputs), units, latents = shapes["embedding"], shapes["recurrent"][0], shapes["mean"][1]
        if not (1 <= latents <= self.most_latents and max(units, inputs) <= self.most_units):
            return (
                f"there are {latents} latents, {units} units and an embedding of {inputs}; {self.most_latents}, "
                f"{self.most_units} and {self.most_units} are the most."
            )
        rows = shapes.get("out_kernel", (0,))[0]
        expected = {
            "embedding": (self.vocabulary, inputs),
            "kernel": (inputs + latents, 4 * units),
            "recurrent": (units, 4 * units),
            "bias": (4 * units,),
            "out_kernel": (units + latents * (rows == units + latents), self.vocabulary),
            "out_bias": (self.vocabulary,),
            "mean": (sentences, latents),
            "log_variance": (sentences, latents),
        }
        wrong = [
            f"`{name}` should have the shape {shape}; it has {shapes.get(name)}"
            for name, shape in expected.items()
            if shapes.get(name) != shape
        ]
        message = f"For {latents} latents, {units} units and an embedding of {inputs}"
        return f"{message}, {'; '.join(wrong)}." if wrong else ""

    def advice(self, observed, part):
        """Explains why a bound was missed, or too little is said: (name, sentence)."""
        if wrong := observed.get("wrong"):
            return "shapes", f"The shapes do not fit together: {wrong}"
        bound, kl, information = (observed[name] for name in ("bound", "kl", "information"))
        read = {name: np.nan_to_num(value, nan=-np.inf) for name, value in observed["read"].items()}
        best, as_it_is = max(read, key=read.get), np.nan_to_num(bound, nan=-np.inf)
        if read[best] > as_it_is + (1 if best == "log σ" else 0.2):  # the others are read only where all are positive
            what = best if best == "log σ" else "σ or σ²"
            return "not_log_variance", (
                f"Your encoder seems to return {what} as its second value: read so, the bound is {read[best]:.2f} "
                r"nats. Asked for is $\log\sigma^2$."
            )
        if np.nan_to_num(observed["exchanged"], nan=-np.inf) > as_it_is + 1:
            return (
                "exchanged",
                r"The encoder's two values seem to have changed places: $\mu$ first, then $\log\sigma^2$.",
            )
        if not np.isfinite(bound):
            return "not_finite", "The bound is not finite. Did training diverge, or is some number of the arrays none?"
        fair, good = list(self.bounds.values())[1:3]
        if observed["alone"] > max(bound + 1, fair - 1):
            return "other_codes", (
                f"But with codes from the prior in place of yours log p(x) is {observed['alone']:.1f} "
                "nats, or more. So the decoder has learned, and your codes are not those that it was trained with: is "
                "`encode` the encoder after training, for the sentences that it is given, in their order?"
            )
        any_word = -np.log(self.vocabulary - 1) * 6.0
        if bound < any_word:
            return "worse_than_any_word", (
                f"Any word at any place would have some {any_word:.0f} nats. Do the arrays belong to the encoder that "
                "was trained with them, in the right order: gates i, f, c, o; z after the word, z after the state?"
            )
        said = f"The code costs {kl:.2f} nats and says {information:.2f} of them about the sentence"
        if kl > 4 and bound < good:
            return "dear_codes", (
                f"{said}: more than there is to be said of a topic. Is the KL counted in full at the end of training, "
                "or are there free bits for every latent?"
            )
        if bound < fair:
            return "unfinished", (
                f"{said}, and this decoder does not know the words well enough: more epochs, or a larger learning "
                "rate. (Or are the arrays not those of the decoder that was trained, or in another order?)"
            )
        if information > 1 and observed["fall"] < information / 2:
            return "unused", (
                f"{said}, and the decoder does not listen: with another sentence's code log p(x|z) falls by "
                f"{observed['fall']:.2f} nats only."
            )
        if part == INFORMED or information < self.informed:
            return "collapsed", (
                f"{said}. An LSTM learns these sentences without any code, down to their entropy of {self.floor:.2f} "
                "nats, so the likelihood alone does not make it listen. Free bits do, as many as the topic has."
            )
        return "unfinished", f"{said}. That is enough; the bound is not there yet. Ask for fewer nats, or train longer."


def log_p(x, z, arrays):
    """log p(x|z) of sentences `[N, T]`, by the LSTM that `arrays` are, at codes `[N, L]`: `[N]`."""
    table, kernel, recurrent, bias, out_kernel, out_bias = (arrays[name] for name in ARRAYS)
    units = len(recurrent)
    h = c = np.zeros((len(x), units))
    last, total = np.full(len(x), START), np.zeros(len(x))
    for word in x.T:
        i, f, new, o = np.split(np.concatenate([table[last], z], axis=1) @ kernel + h @ recurrent + bias, 4, axis=1)
        c = expit(f) * c + expit(i) * np.tanh(new)
        h = expit(o) * np.tanh(c)
        shown = np.concatenate([h, z], axis=1) if len(out_kernel) > units else h
        logits = shown @ out_kernel + out_bias
        logits[:, PADDING] = -np.inf  # no word
        chosen = np.take_along_axis(logits, word[:, None], axis=1)[:, 0] - logsumexp(logits, axis=1)
        total += np.where(word != PADDING, chosen, 0.0)
        last = word
    return total
