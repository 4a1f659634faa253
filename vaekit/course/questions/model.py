r"""A model, trained by the answer: judged by the bound that it reaches on images that it has not seen."""

from dataclasses import KW_ONLY, dataclass

import numpy as np

from vaekit.course.questions.language import LOG_2PI
from vaekit.course.questions.question import AtLeast, Case, Observe, Question, generator

DECODER = ["hidden_weights", "hidden_bias", "output_weights", "output_bias"]
PRIOR = ["prior_mean", "prior_log_variance"]
WORTH = "prior"  # the part that is for a prior
DRAWS = 5  # of codes for each test image
CLOSE = 0.5  # nats, within which two readings of what an encoder says cannot be told apart


@dataclass(eq=False)
class TrainedVAE(Question):
    r"""A function that trains a VAE with Bernoulli pixels, and a decoder of one tanh layer.

    It is called with grey training images and a seed, and gives the decoder away, as arrays. Only then does its encoder
    see others, black and white, and says $\mu$ and $\log\sigma^2$. The bound is computed here, by estimator A:
    with $w = p(x, z)/q(z|x)$, since $\mathbb E_q[w] = p(x)$ whatever q is, the mean over N images of $\log w$ exceeds
    that of $\log p(x)$ by t nats with a probability of at most $e^{-Nt}$. No encoder can make it, not even one that
    tries a million answers.

    With `codes` k the bound is that of k codes: the logarithm of their mean weight, of which the same is true.

    Its noise comes from a digest of what is judged, so the same arrays reach the same bound.

    Attributes:
        bounds: dict: nats by part, from the lowest to the highest.
        images: function without arguments: grey images `[N, D]` to learn from, and others `[M, D]` to be judged by.
        coins: nats that pixels without any code reach, each white as often as in training images.
        good_kl: the range of the KL divergence, in nats, of models that reach the bounds.
        most_latents, most_units: of the decoder.
        codes: k, of the bound.
        components: the most that the prior may have, where the answer gives a prior away, too: a mixture of normals
            with equal weights, as the arrays `PRIOR`. 0: the prior is N(0, I).
        worth: nats, the part "prior", where there is one: by how much the bound exceeds that with one normal
            distribution in the prior's place, which has the codes' mean and, latent by latent, their variance; and
            `coins`, too.
        unfinished: advice where nothing looks wrong.
        misread_by: nats by which the bound has to be better with $\log\sigma$ for $\log\sigma^2$ for that to be told.
    """

    _: KW_ONLY
    bounds: dict
    images: object
    coins: float
    good_kl: tuple
    most_latents: int = 20
    most_units: int = 200
    codes: int = 1
    components: int = 0
    worth: float = 0.0
    unfinished: str = (
        "Then it is not trained well enough: more epochs, more latents (ten at least), a larger learning rate at first "
        "and a small one in the end."
    )
    misread_by: float = 0.6
    requires_first: bool = False
    seconds: float = 180.0

    derives = True
    fixed = True

    def __post_init__(self):
        super().__post_init__()
        self.parts = self.parts or dict.fromkeys([*self.bounds, *([WORTH] if self.components else [])], 1)
        self.pixels = self.images()[0].shape[1]
        self.arrays = DECODER + (PRIOR if self.components else [])
        most = 2 * (self.most_units * (self.pixels + self.most_latents) + self.components * self.most_latents)
        self.observe = Observe("trained_vae", {"parts": self.arrays, "most": most})

    def draw_cases(self, rng):
        """Draws the order of the training images, which are grey; then others, of 0 and 1, tossed by their grey values.

        All pixels change places, the same way in all images, and another one for each seed: weights that were trained
        elsewhere are of no use as they are. (Who knows the data can find out how the places changed. That is more work
        than the question.)
        """
        training, others = self.images()
        places = rng.permutation(self.pixels)
        training, others = training[rng.permutation(len(training))][:, places], others[:, places]
        seed = int(rng.integers(1000))
        return [
            Case({"images": training, "seed": seed}),
            Case({"images": 1.0 * (rng.random(others.shape) < others)}),
        ]

    def misread(self, name):
        """By how many nats the bound has to be better where the encoder is read in another way, for that to be told."""
        return MISREAD.get(name, self.misread_by)

    def expected(self, case):
        bounds = {part: AtLeast(nats) for part, nats in self.bounds.items()}
        return bounds | ({WORTH: AtLeast(self.worth, of="the prior is worth")} if self.components else {})

    def derived(self, inputs, observations):
        """Computes the bound, under the name of each part, and what advice is made of."""
        images, (decoder, codes) = inputs[1]["images"], observations
        if wrong := self._wrong_shapes(decoder, codes, len(images)):
            return dict.fromkeys(self.parts, np.nan) | {"wrong": wrong}
        mean, log_variance = codes["mean"], codes["log_variance"]
        arrays = [*(decoder[name] for name in self.arrays), mean, log_variance]
        noise = generator(inputs[0]["seed"], arrays).normal(size=(max(DRAWS, self.codes), *mean.shape))
        few = noise[: min(DRAWS, self.codes)]

        with np.errstate(all="ignore"):
            reached, reconstruction, kl = _bound(images, mean, log_variance, decoder, noise, self.codes)
            misread = {"log σ": 2 * log_variance, "σ²": np.log(log_variance), "σ": 2 * np.log(log_variance)}
            read = {name: _bound(images, mean, value, decoder, few, len(few))[0] for name, value in misread.items()}
            read_as_it_is = (
                reached if self.codes == 1 else _bound(images, mean, log_variance, decoder, few, len(few))[0]
            )
            priors = {}
            if self.components:
                priors = _other_priors(images, mean, log_variance, decoder, few)
                like_codes = decoder | _one_normal(mean, log_variance)
                priors[ONE_NORMAL] = _bound(images, mean, log_variance, like_codes, noise, self.codes)[0]
        measures = {"bound": reached, "reconstruction": reconstruction, "kl": kl, "read": read, "priors": priors}
        measures["read_as_it_is"] = read_as_it_is
        measures["no numbers"] = [name for name in self.arrays if not np.isfinite(decoder[name]).all()]
        if priors:
            measures[WORTH] = reached - np.maximum(priors[ONE_NORMAL], self.coins)
        return measures | dict.fromkeys(self.bounds, reached)

    def _wrong_shapes(self, decoder, codes, images):
        """Names the shapes that are wrong, in a sentence; "" if none is."""
        shapes = {name: np.shape(array) for name, array in {**decoder, **codes}.items()}
        weights = shapes.get("hidden_weights")
        if weights is None or len(weights) != 2:
            return f"`hidden_weights` should have the shape [latents, units]; it has {weights}."
        latents, units = weights
        expected = {
            "hidden_bias": (units,),
            "output_weights": (units, self.pixels),
            "output_bias": (self.pixels,),
            "mean": (images, latents),
            "log_variance": (images, latents),
        }
        if self.components:
            components = (shapes.get("prior_mean") or (0,))[0]
            expected |= dict.fromkeys(PRIOR, (components, latents))
            if not 1 <= components <= self.components:
                came = shapes.get("prior_mean")
                return f"`prior_mean` has the shape {came}; {self.components} components are the most."
        wrong = [
            f"`{name}` should have the shape {shape}, it has {shapes.get(name)}"
            for name, shape in expected.items()
            if shapes.get(name) != shape
        ]
        message = f"`hidden_weights` has the shape {weights}, so there are {latents} latents and {units} units"
        if latents > units and shapes.get("hidden_bias") == (latents,):
            return f"{message}; `hidden_bias` has {latents} numbers. Is `hidden_weights` transposed?"
        if not (1 <= latents <= self.most_latents and 1 <= units <= self.most_units):
            return f"{message}; {self.most_latents} latents and {self.most_units} units are the most."
        return f"{message}; {'; '.join(wrong)}." if wrong else ""

    def advice(self, observed, part):
        """Explains why a bound was missed, from what else was measured: (name, sentence)."""
        if wrong := observed.get("wrong"):
            return "shapes", f"The shapes do not fit together: {wrong}"
        if names := observed.get("no numbers"):
            return "not_finite", f"Some numbers of `{names[0]}` are not finite: did training diverge?"
        bound, kl, reconstruction = (observed[name] for name in ("bound", "kl", "reconstruction"))
        read, low, high = observed["read"], self.good_kl[0], self.good_kl[1]
        best = max(read, key=lambda name: np.nan_to_num(read[name], nan=-np.inf))
        as_it_is = observed.get("read_as_it_is", bound)
        if read[best] > max(np.nan_to_num(as_it_is, nan=-np.inf) + self.misread(best), self.coins):
            names = " or ".join(name for name in read if read[name] > read[best] - CLOSE)
            return "not_log_variance", (
                f"Your encoder seems to return {names} as its second value: read so, the bound is {read[best]:.2f} "
                r"nats. Asked for is $\log\sigma^2$."
            )
        priors = observed.get("priors", {})
        for name, message in OTHER_PRIORS.items() if priors else ():
            if priors[name] > max(np.nan_to_num(bound, nan=-np.inf) + MISREAD[name], self.coins):
                return name.replace(" ", "_"), message.format(priors[name])
        one_normal = priors.get(ONE_NORMAL, -np.inf)
        if one_normal > max(np.nan_to_num(bound, nan=-np.inf) + 2, min(self.bounds.values())):
            return "prior_elsewhere", (
                f"With one normal distribution in the place of your prior, of the codes' mean and variance, the bound "
                f"is better, {one_normal:.2f} nats: {ELSEWHERE}"
            )
        if not np.isfinite(bound):
            return "not_finite", (
                "The shapes are right, but some numbers of the decoder or of the encoder are not finite, or so large "
                "that the bound is not: did training diverge?"
            )
        if part == WORTH and bound >= min(self.bounds.values()):
            return "no_mixture", (
                f"With one normal distribution in its place, of the codes' mean and variance, the bound is "
                f"{priors[ONE_NORMAL]:.2f}. Are there many components, and not all alike? And were they learned with "
                "the model, for long enough?"
            )
        if kl > 1.5 * high and reconstruction > min(self.bounds.values()):
            return "cheap_codes", (
                f"The KL is {kl:.1f} nats, and buys a reconstruction of {reconstruction:.1f}: codes cost more than "
                "they save. In your loss they are too cheap. Is the KL averaged over the latents, or multiplied by a "
                "small number?"
            )
        if bound < 1.1 * self.coins:
            return "worse_than_coins", (
                f"Pixels without any code, each white as often as in training images, reach {self.coins}. The KL is "
                f"{kl:.1f} and the reconstruction {reconstruction:.1f} nats: is the decoder the one that was trained "
                "with this encoder, on draws of z and not on its mean, with its arrays in the right order, and tanh in "
                "between?"
            )
        if kl < 0.5:
            return "no_codes", (
                f"The KL is {kl:.2f} nats: the codes say nothing about the image. Was the model trained, and is the "
                f"reconstruction summed over the pixels, not averaged?{FALLEN if self.components else ''}"
            )
        if kl > 1.1 * high:
            return "overfitted", (
                f"The KL is {kl:.1f} nats, where a good model of these images pays between {low:g} and {high:g}: your "
                "codes describe what is peculiar to single images. Learned by heart? Draw the black and white pixels "
                "anew in every epoch, and train on all images. Or are codes too cheap in your loss?"
            )
        if bound < self.coins:
            return "worse_than_coins", (
                f"Pixels without any code reach {self.coins}, so something is wrong, or training has hardly begun. Was "
                "the decoder trained in the form in which it is judged, with tanh in between, and the loss minus the "
                "bound?"
            )
        return "bound", (
            "Nothing else looks wrong. Are the pixels drawn by their grey values, anew in every epoch? "
            f"{self.unfinished}"
        )


ELSEWHERE = (
    "the components are not where the codes are. Are they the answers of *this* encoder, after training, to "
    r"pseudo-inputs within the pixels' range? Have $\mu$ and $\log\sigma^2$ changed places?"
)

OTHER_PRIORS = {  # with which the bound is better than with the prior that came
    "prior not log variance": "Read as variances or as standard deviations, your `prior_log_variance` gives a bound of "
    r"{:.2f} nats, which is better. Asked for is $\log\sigma^2$.",
    "prior elsewhere": r"With $\mathcal N(0, I)$ in the place of your prior the bound is better, {:.2f} nats: "
    + ELSEWHERE,
}


MISREAD = {"prior not log variance": 0.5}  # nats; by the same noise, and what is learned is best as it is
MISREAD |= dict.fromkeys(("σ²", "σ", "prior elsewhere"), 2.0)
ONE_NORMAL = "one normal"
FALLEN = (
    " If so, prior and encoder may have fallen into each other: while codes say little, the cheapest is that both are "
    "alike. Let the KL count little at first (`vk.objectives.WarmUp`), or ask for nats (`free_bits`)."
)


def _other_priors(images, mean, log_variance, decoder, noise):
    """Estimates the bound with the prior read in other ways, and with N(0, I)."""

    def bound(prior_mean, prior_log_variance):
        arrays = decoder | dict(zip(PRIOR, (prior_mean, prior_log_variance), strict=True))
        return _bound(images, mean, log_variance, arrays, noise, len(noise))[0]

    components, variance = (decoder[name] for name in PRIOR)
    read = [bound(components, reading) for reading in (np.log(variance), 2 * np.log(variance), 2 * variance)]
    zeros = np.zeros_like(components[:1])
    return dict(zip(OTHER_PRIORS, (float(np.max(np.nan_to_num(read, nan=-np.inf))), bound(zeros, zeros)), strict=True))


def _one_normal(mean, log_variance):
    """A prior of one component, with the mean and the variances of codes."""
    variance = mean.var(axis=0) + np.exp(log_variance).mean(axis=0)
    return dict(zip(PRIOR, (mean.mean(axis=0)[None], np.log(variance)[None]), strict=True))


def _bound(images, mean, log_variance, decoder, noise, codes):
    """Estimates the bound of so many codes, the reconstruction and the KL divergence, in nats an image.

    That of many codes in float32, for half the time.
    """
    if codes > 1:
        images, mean, log_variance, noise = (array.astype(np.float32) for array in (images, mean, log_variance, noise))
        decoder = {name: array.astype(np.float32) for name, array in decoder.items()}
    reconstruction, kl = terms(images, mean, log_variance, decoder, noise)
    log_w = (reconstruction - kl).astype(np.float64).reshape(-1, codes, len(images))
    bounds = np.logaddexp.reduce(log_w, axis=1) - np.log(codes)
    return np.mean(bounds), np.mean(reconstruction), np.mean(kl)


def terms(images, mean, log_variance, decoder, noise):
    """Draws codes from q(z|x), and returns log p(x|z) and log q(z|x) − log p(z) at them: arrays `[S, N]`.

    Args:
        images: `[N, D]`, of 0 and 1.
        mean, log_variance: `[N, L]`.
        decoder: dict of the arrays `DECODER`, and of `PRIOR`, if the prior is not N(0, I).
        noise: `[S, N, L]`.
    """
    w1, b1, w2, b2 = (decoder[name] for name in DECODER)
    reconstruction, kl = [], []
    for e in noise:  # one draw of all codes at a time
        z = mean + np.exp(log_variance / 2) * e
        a = np.tanh(z @ w1 + b1) @ w2 + b2  # [N, D]
        reconstruction.append(log_bernoulli(images, a))
        if "prior_mean" in decoder:
            log_p = _log_mixture(z, decoder["prior_mean"], decoder["prior_log_variance"])
            kl.append(-0.5 * np.sum(LOG_2PI + e**2 + log_variance, axis=-1) - log_p)
        else:
            kl.append(0.5 * np.sum(z**2 - e**2 - log_variance, axis=-1))
    return np.array(reconstruction), np.array(kl)


def _log_mixture(z, mean, log_variance):
    """log p(z) of a mixture of normals with equal weights: `[N, L]` and `[K, L]` → `[N]`."""
    squares = (z[:, None] - mean) ** 2 * np.exp(-log_variance)  # [N, K, L]
    each = -0.5 * np.sum(LOG_2PI + log_variance + squares, axis=-1)
    return np.logaddexp.reduce(each, axis=1) - np.log(len(mean))


def log_bernoulli(x, a):
    """log p(x) of pixels with logits a: arrays `[..., D]` → `[...]`."""
    softplus = np.maximum(a, 0) + np.log1p(np.exp(-np.abs(a)))  # log(1 + e^a); np.logaddexp takes five times as long
    return np.sum(x * a - softplus, axis=-1)
