r"""A VAE with a deep decoder, trained by the answer: judged by its bound, and by what its codes say."""

from dataclasses import KW_ONLY, dataclass

import numpy as np

from vaekit.course.questions.model import DRAWS, TrainedVAE, log_bernoulli
from vaekit.course.questions.question import AtLeast, Observe, generator

LAYERS = 5  # four hidden ones, and the pixels'
ARRAYS = [f"{kind}_{i}" for i in range(1, LAYERS + 1) for kind in ("kernel", "bias")]
INFORMED = "informed"  # the part that is for what codes say
AS_IT_IS, EXCHANGED = "as it is", "exchanged"


@dataclass(eq=False)
class TrainedDeep(TrainedVAE):
    r"""A function that trains a VAE with Bernoulli pixels, whose decoder has four hidden ReLU layers.

    All is as in `TrainedVAE`, but for the decoder: the arrays `kernel_1`, `bias_1`, … of five layers. From the second
    one on z may enter a layer again, by a skip: its kernel has as many rows more, the last ones, as there are latents.

    What codes say is the smaller one of two numbers: the mutual information of images and codes, by the test images as
    the aggregate posterior, and by how much $\log p(x|z)$ falls where each image gets the code of another one.

    Attributes:
        informed: nats of that, the part "informed".
    """

    _: KW_ONLY
    informed: float

    def misread(self, name):
        return 1.0

    def __post_init__(self):
        self.parts = self.parts or dict.fromkeys([*self.bounds, INFORMED], 1)
        super().__post_init__()
        most = LAYERS * (self.most_units + self.most_latents + 1) * max(self.most_units, self.pixels)
        self.observe = Observe("trained_vae", {"parts": ARRAYS, "most": most})

    def expected(self, case):
        return super().expected(case) | {INFORMED: AtLeast(self.informed, of="heard")}

    def derived(self, inputs, observations):
        """Computes the bound under the name of each part, what codes say, and what advice is made of."""
        images, (arrays, codes) = inputs[1]["images"], observations
        if wrong := self._wrong_shapes(arrays, codes, len(images)):
            return dict.fromkeys([*self.bounds, INFORMED], np.nan) | {"wrong": wrong}
        mean, log_variance = codes["mean"], codes["log_variance"]
        rng = generator(inputs[0]["seed"], [*(arrays[name] for name in ARRAYS), mean, log_variance])
        noise = rng.normal(size=(DRAWS, *mean.shape))
        with np.errstate(all="ignore"):
            reconstruction, kl, fall = map(np.mean, deep_terms(images, mean, log_variance, arrays, noise))
            information = np.mean(told(mean, log_variance, noise[:2]))
            misread = {"log σ": 2 * log_variance, "σ²": np.log(log_variance), "σ": 2 * np.log(log_variance)}
            pairs = {name: (mean, value) for name, value in misread.items()}
            pairs |= {AS_IT_IS: (mean, log_variance), EXCHANGED: (log_variance, mean)}
            read = {
                name: np.mean(r - k)
                for name, pair in pairs.items()
                for r, k, _ in [deep_terms(images, *pair, arrays, noise[:1])]
            }
        bound = reconstruction - kl
        measures = {"bound": bound, "reconstruction": reconstruction, "kl": kl, "read": read}
        measures |= {"read_as_it_is": read.pop(AS_IT_IS), "exchanged": read.pop(EXCHANGED)}
        measures |= {"information": information, "fall": fall, INFORMED: np.minimum(information, fall)}
        measures["skips"] = any(len(arrays[f"kernel_{i}"]) > arrays[f"bias_{i - 1}"].size for i in range(2, LAYERS + 1))
        return measures | dict.fromkeys(self.bounds, bound)

    def _wrong_shapes(self, arrays, codes, images):
        shapes = {name: np.shape(array) for name, array in {**arrays, **codes}.items()}
        first = shapes.get("kernel_1", ())
        if len(first) != 2:
            return f"`kernel_1` should have the shape [latents, units]; it has {first}."
        latents, width = first[0], first[0]
        expected = dict.fromkeys(("mean", "log_variance"), (images, latents))
        for i in range(1, LAYERS + 1):
            rows, units = (*shapes.get(f"kernel_{i}", ()), 0, 0)[:2]
            units = self.pixels if i == LAYERS else units
            skips = i > 1 and rows == width + latents
            expected |= {f"kernel_{i}": (width + latents * skips, units), f"bias_{i}": (units,)}
            width = units
        message = f"`kernel_1` has the shape {first}, so there are {latents} latents"
        most = max(expected[f"bias_{i}"][0] for i in range(1, LAYERS))
        if not (1 <= latents <= self.most_latents and 1 <= most <= self.most_units):
            return (
                f"{message}, and the widest hidden layer has {most} units; {self.most_latents} and {self.most_units} "
                "are the most."
            )
        skips = {
            f"kernel_{i}": f", or {(rows + latents, units)} with a skip"
            for i in range(2, LAYERS + 1)
            for rows, units in [expected[f"kernel_{i}"]]
        }
        wrong = [
            f"`{name}` should have the shape {shape}{skips.get(name, '')}; it has {shapes.get(name)}"
            for name, shape in expected.items()
            if shapes.get(name) != shape
        ]
        return f"{message}; {'; '.join(wrong)}." if wrong else ""

    def advice(self, observed, part):
        """Explains why a bound was missed, or too little is said: (name, sentence)."""
        if wrong := observed.get("wrong"):
            return "shapes", f"The shapes do not fit together: {wrong}"
        found = super().advice(observed, part)
        bound, kl, reconstruction = (observed[name] for name in ("bound", "kl", "reconstruction"))
        if observed.get("exchanged", -np.inf) > max(np.nan_to_num(bound, nan=-np.inf) + 2, 1.1 * self.coins):
            return "exchanged", (
                r"Your encoder seems to return $\log\sigma^2$ first, and $\mu$ as its second value: read so, the bound "
                f"is {observed['exchanged']:.2f} nats."
            )
        if found[0] in ("not_log_variance", "not_finite", "cheap_codes"):
            return found
        apart = reconstruction < 1.2 * self.coins  # worse than a decoder that does not listen
        if observed["information"] > 0.5 and observed["fall"] < observed["information"] / 2 and not apart:
            return "unused", (
                f"Codes say {observed['information']:.2f} nats about the image, and the decoder does not listen: with "
                f"the code of another image log p(x|z) falls by {observed['fall']:.2f} only."
            )
        if bound < self.coins and (apart or found[0] != "no_codes"):
            return "worse_than_coins", (
                f"Pixels without any code, each white as often as in training images, reach {self.coins}. The KL is "
                f"{kl:.1f} and the reconstruction {reconstruction:.1f} nats. Was the model trained, and do the arrays "
                "belong to the encoder that was trained with them, in the right order, with ReLU in between and the "
                "skips' rows last?"
            )
        if bound < self.coins:
            return found
        skips = observed.get("skips", False)
        said = f"The code costs {kl:.1f} nats and says {observed['information']:.2f} of them about the image."
        if observed["information"] < 3.2:
            return "collapsed", f"{said} {HEARD if skips else UNHEARD}"
        if part == INFORMED or observed["information"] < self.informed:
            return "one_cure", (
                f"{said} One cure has worked, in part. The lesson has two kinds: those that let the code be heard, "
                f"and those that keep its price away early. They go together. {WITH_SKIPS if skips else NO_SKIPS}"
            )
        if kl > 1.1 * self.good_kl[1]:
            return found
        return "bound", (
            f"{said} That is enough, and the bound is not there yet: more epochs, pixels drawn anew in each of them, a "
            "learning rate that is large at first and small in the end; and free bits or a cap that ask for more than "
            f"the code has to say cost likelihood.{'' if skips else f' {NO_SKIPS}'}"
        )


UNHEARD = (
    "The decoder is deep, and in its first steps hears next to nothing of the code: this one has collapsed by "
    "accident. Skips let every layer hear it, and a warm-up gives it time; the lesson's table has both."
)
HEARD = (
    "Skips let every layer hear it, and still little is said. Has training hardly begun? More epochs, a larger "
    "learning rate at first; and a warm-up keeps the price away until the decoder knows what to do with a code."
)
WITH_SKIPS = "Your decoder has skips: is there a warm-up, and are there epochs enough after it?"
NO_SKIPS = "Your decoder has no skips."


def deep_terms(images, mean, log_variance, arrays, noise):
    """Draws codes, and computes log p(x|z), log q(z|x) − log p(z), and what log p(x|z) loses by another's code.

    Args:
        images: `[N, D]`, of 0 and 1.
        mean, log_variance: `[N, L]`.
        arrays: dict of the `ARRAYS`.
        noise: `[S, N, L]`.

    Returns: three arrays `[S, N]`.
    """
    z = mean + np.exp(log_variance / 2) * noise
    a = logits(z, arrays)
    reconstruction = log_bernoulli(images, a)
    kl = 0.5 * np.sum(z**2 - noise**2 - log_variance, axis=-1)
    return reconstruction, kl, reconstruction - log_bernoulli(images, np.roll(a, 1, axis=1))


def logits(z, arrays):
    """Runs the decoder; z enters a layer again whose kernel has rows for it."""
    h = z
    for i in range(1, LAYERS + 1):
        kernel = arrays[f"kernel_{i}"]
        h = (h if len(kernel) == h.shape[-1] else np.concatenate([h, z], axis=-1)) @ kernel + arrays[f"bias_{i}"]
        h = np.maximum(h, 0) if i < LAYERS else h
    return h


def told(mean, log_variance, noise):
    """log q(z|x) − log q̄(z), q̄ the mean of all posteriors: arrays `[N, L]`, noise `[S, N, L]` → `[S, N]`."""
    z, precision = mean + np.exp(log_variance / 2) * noise, np.exp(-log_variance)
    constant = np.sum(log_variance + mean**2 * precision, axis=1)
    log_q = -0.5 * (z**2 @ precision.T - 2 * z @ (mean * precision).T + constant)  # [S, N, N]
    own = -0.5 * np.sum(log_variance + noise**2, axis=-1)
    most = log_q.max(axis=-1)
    return own - most - np.log(np.mean(np.exp(log_q - most[..., None]), axis=-1))
