r"""A posterior, fitted to each image by the answer: judged by the estimate of log p(x) that it gives."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass

import numpy as np

from vaekit.course.observe import Fault
from vaekit.course.questions.model import DECODER, terms
from vaekit.course.questions.question import AtLeast, Case, Observe, Question, generator

SAMPLES = 50  # S
ROUNDS = 4  # of as many samples, for the encoder's estimate


@dataclass(eq=False)
class FittedPosterior(Question):
    r"""A function that fits q(z|x) to each image, for a decoder of one tanh layer with Bernoulli pixels that is given.

    It is called with black and white images, the decoder's arrays and a seed, and returns $\mu$ and $\log\sigma^2$. Its
    estimate $\log\frac1S\sum_s p(x, z_s)/q(z_s|x)$ is computed here, with noise from a digest of what is judged, and
    compared with that of an encoder on the same images, since some images are easier than others. Both are lower bounds
    in the mean, so no q is better than it looks; an effective sample size would call a narrow one good.

    Attributes:
        bounds: dict: by part, nats above the encoder's estimate (or below it), from the lowest to the highest.
        model: function without arguments: the decoder, a dict of the arrays `DECODER`, and the encoder, a function of
            images that returns $\mu$ and $\log\sigma^2$.
        images: function without arguments: grey images `[M, D]`.
        count: N, how many of them are drawn, in black and white.
    """

    _: KW_ONLY
    bounds: dict
    model: Callable
    images: Callable
    count: int = 60
    requires_first: bool = False
    seconds: float = 180.0

    derives = True
    fixed = True
    observe = Observe("call", {"names": ["mean", "log_variance"]})

    def __post_init__(self):
        super().__post_init__()
        self.parts = self.parts or dict.fromkeys(self.bounds, 1)
        self._known = None

    def draw_cases(self, rng):
        images = self.images()
        grey = images[rng.choice(len(images), self.count, replace=False)]
        x = 1.0 * (rng.random(grey.shape) < grey)
        return [Case({"images": x, **self.model()[0], "seed": int(rng.integers(1000))})]

    def expected(self, case):
        return {part: AtLeast(nats, of="above the encoder's estimate") for part, nats in self.bounds.items()}

    def derived(self, inputs, observations):
        """Computes how far the estimate is above the encoder's, and what advice is made of."""
        (given,), (observed,) = inputs, observations
        images, decoder = given["images"], {name: given[name] for name in DECODER}
        mean, log_variance = (observed.get(name, np.empty(0)) for name in ("mean", "log_variance"))
        shape = len(images), len(decoder["hidden_weights"])
        for name, array in (("mean", mean), ("log_variance", log_variance)):
            if array.shape != shape:
                return Fault(
                    "shapes", f"`{name}` should have the shape {shape}, images and latents; it has {array.shape}."
                )
        noise = generator(given["seed"], [mean, log_variance]).normal(size=(SAMPLES, *shape))
        reference, codes = self._reference(given["seed"], images, decoder)

        def estimate(mean, log_variance, noise=noise):
            return _estimate(images, mean, log_variance, decoder, noise)

        def reconstruction(mean):
            return np.mean(terms(images, mean, np.zeros(shape), decoder, np.zeros((1, *shape)))[0])

        with np.errstate(all="ignore"):
            reached, few = estimate(mean, log_variance), noise[:10]
            others = {
                "log σ": (mean, 2 * log_variance),
                "σ²": (mean, np.log(log_variance)),
                "σ": (mean, 2 * np.log(log_variance)),
                "exchanged": (log_variance, mean),
                "wider": (mean, log_variance + 1),
                "narrower": (mean, log_variance - 1),
            }
            base = estimate(mean, log_variance, few)
            gains = {name: np.nan_to_num(estimate(*q, few) - base, nan=-np.inf) for name, q in others.items()}
            measures = {
                "gains": gains,
                "finite": np.isfinite(reached),
                "alike": np.ptp(mean, axis=0).max() < 1e-6,
                "size": np.sqrt(np.mean(mean**2) / np.mean(codes**2)),
                "reconstruction": (reconstruction(mean), reconstruction(codes)),
            }
        return dict.fromkeys(self.bounds, reached - reference) | measures

    def _reference(self, seed, images, decoder):
        """Returns the encoder's estimate and means; of one check after the other on the same images computed once."""
        if not (self._known and np.array_equal(self._known[0], images)):
            mean, log_variance = self.model()[1](images)
            rounds = np.random.default_rng(seed).normal(size=(ROUNDS, SAMPLES, *mean.shape))
            estimate = np.mean([_estimate(images, mean, log_variance, decoder, noise) for noise in rounds])
            self._known = images, (estimate, mean)
        return self._known[1]

    def advice(self, observed, part):
        """Explains why a bound was missed, from what another q would have reached: (name, sentence)."""
        gains, size, (own, encoders) = observed["gains"], observed["size"], observed["reconstruction"]
        read = max(("log σ", "σ²", "σ"), key=lambda name: gains[name])
        if not observed["finite"] and gains[read] == -np.inf:
            return "not_finite", (
                "Some of what came back is not finite, or so large that the estimate is not. Did the fit diverge? "
                "A smaller learning rate, and log σ² not too far from 0 at the start."
            )
        if gains[read] > 3 and gains[read] >= max(gains["wider"], gains["narrower"]):
            return "not_log_variance", (
                f"Your second value seems to be {read}: read so, the estimate is {gains[read]:.1f} nats higher. Asked "
                r"for is $\log\sigma^2$."
            )
        if gains["exchanged"] > 3 and gains["exchanged"] >= max(gains.values()):
            return "exchanged", r"The two seem to have changed places: $\mu$ first, then $\log\sigma^2$."
        if observed["alike"]:
            return "alike", "All images have the same q. Each has a posterior of its own, in another place."
        if size < 0.6:
            return "near_zero", (
                f"Your means are near 0, {size:.2f} times as large as the encoder's. Either they have hardly moved "
                "from where they began (more steps, longer ones), or the KL divergence weighs too much, as beside a "
                "reconstruction that is averaged over the pixels."
            )
        if size > 1.3:
            return "no_prior", (
                f"Your means are far from 0, {size:.1f} times as large as the encoder's. Is $\\log p(z)$ in your loss, "
                "or the KL divergence, is the loss minus the bound, and were the last steps short enough?"
            )
        if own < encoders - 8:
            return "wrong_codes", (
                f"At your means the decoder gives the images {own:.0f} nats, and {encoders:.0f} at the encoder's: they "
                "are not the codes of these images in this decoder. Is it the decoder as it was given, tanh and all, "
                "and does row n belong to image n?"
            )
        if gains["wider"] > 0.3 and gains["wider"] > gains["narrower"]:
            return "too_narrow", (
                "With $e^{1/2}$ times its deviations your q would do better: it is narrower than the posterior, and "
                "misses what lies beside it. Its weights may look equal, all the same. Is the entropy of q in your "
                r"loss, as part of the KL divergence, and are its draws $\mu + \sigma\varepsilon$?"
            )
        if gains["narrower"] > 0.3:
            return "too_wide", (
                "With $e^{-1/2}$ times its deviations your q would do better: it is wider than the posterior. Do the "
                r"draws in your loss spread by $\sigma$, and was $\log\sigma^2$ fitted for long enough?"
            )
        return "bound", (
            "Nothing looks wrong, so the fit is not finished: more steps, or longer ones at first and short ones in "
            "the end. Some hundred steps of Adam are enough, from 0.1 down to 0."
        )


def _estimate(images, mean, log_variance, decoder, noise):
    """Estimates log p(x) from S draws of q(z|x), the mean over the images; in float32, for half the time."""
    images, mean, log_variance, noise = (array.astype(np.float32) for array in (images, mean, log_variance, noise))
    reconstruction, kl = terms(
        images, mean, log_variance, {name: decoder[name].astype(np.float32) for name in DECODER}, noise
    )
    log_w = (reconstruction - kl).astype(np.float64)  # [S, N]
    return np.mean(np.logaddexp.reduce(log_w, axis=0)) - np.log(len(log_w))
