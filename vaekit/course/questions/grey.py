r"""A VAE of grey values, trained by the answer: judged by its bound, and by its σ."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from vaekit.course.questions.language import LOG_2PI
from vaekit.course.questions.model import DECODER, DRAWS, TrainedVAE
from vaekit.course.questions.question import AtLeast, AtMost, Case, Observe, generator

SCALE = "log_scale"
CALIBRATED = "calibrated"  # the part that is for σ
NEARLY = 0.25  # so far from the typical error a σ may be that was given as something else
LOG_SCALE = 15.0  # nats won by reading log σ: a β of 4 wins half of it, since its posteriors are too wide
NEARLY_COINS = 10.0  # nats below the mean image, of a model with the right σ that may be one
RIGHT_SCALE = 3.0  # nats won by the typical error as σ: a wrong σ is what is wrong


@dataclass(eq=False)
class TrainedGrey(TrainedVAE):
    r"""A function that trains a VAE with a normal decoder of one tanh layer, sigmoid means and one σ for all pixels.

    All is as in `TrainedVAE`, but that images are grey, and the decoder has one more array, `log_scale`. The bound is
    that of a density of values in [0, 1]. Since all pixels share σ, no corner lets it grow as large as one likes.

    Attributes:
        coins: nats of the mean image with the best σ.
        off: the part "calibrated": by how much σ / the typical error may differ from 1, where the first bound is
            reached; the mean image would be as calibrated as any.
    """

    off: float = 0.1

    def __post_init__(self):
        self.parts = self.parts or dict.fromkeys([*self.bounds, CALIBRATED], 1)
        super().__post_init__()
        most = 2 * self.most_units * (self.pixels + self.most_latents)
        self.observe = Observe("trained_vae", {"parts": [*DECODER, SCALE], "most": most})

    def draw_cases(self, rng):
        """Draws the order of the training images, and places for all pixels; then others."""
        training, others = self.images()
        places = rng.permutation(self.pixels)
        training = training[rng.permutation(len(training))][:, places]
        return [Case({"images": training, "seed": int(rng.integers(1000))}), Case({"images": others[:, places]})]

    def expected(self, case):
        bounds = {part: AtLeast(nats) for part, nats in self.bounds.items()}
        return bounds | {CALIBRATED: AtMost(self.off, "", of="σ / typical error, off by")}

    def derived(self, inputs, observations):
        """Computes the bound under the name of each part, the ratio of σ, and what advice is made of."""
        images, (arrays, codes) = inputs[1]["images"], observations
        if wrong := self._wrong_shapes(arrays, codes, len(images)):
            return dict.fromkeys(self.parts, np.nan) | {"wrong": wrong}
        mean, log_variance, log_scale = codes["mean"], codes["log_variance"], float(arrays[SCALE])
        rng = generator(inputs[0]["seed"], [*(arrays[name] for name in (*DECODER, SCALE)), mean, log_variance])
        noise = rng.normal(size=(DRAWS, *mean.shape))
        with np.errstate(all="ignore"):
            bound, kl, typical = grey_terms(images, mean, log_variance, arrays, log_scale, noise)

            def read(mean, log_variance, log_scale=log_scale, **network):
                return grey_terms(images, mean, log_variance, arrays, log_scale, noise[:1], **network)[0]

            measures = {
                "read as it is": read(mean, log_variance),
                "read": {
                    r"$\log\sigma$": read(mean, 2 * log_variance),
                    r"$\sigma^2$": read(mean, np.log(log_variance)),
                    r"$\sigma$": read(mean, 2 * np.log(log_variance)),
                },
                "exchanged": read(log_variance, mean),
                "scales": {
                    r"$\log\sigma^2$ of the decoder": log_scale / 2,
                    r"$\sigma$ of the decoder": np.log(log_scale),
                    r"$\sigma^2$ of the decoder": np.log(log_scale) / 2,
                    r"$-\log\sigma$ of the decoder": -log_scale,
                    r"$-\log\sigma^2$ of the decoder": -log_scale / 2,
                    "made of the squared error of a whole image, not of a pixel": log_scale
                    - np.log(images.shape[1]) / 2,
                },
                "spread": np.std(images),
                "typical scale": read(mean, log_variance, np.log(typical)),
                "linear": read(mean, log_variance, bounded=np.array),
                "relu": read(mean, log_variance, inside=lambda a: np.maximum(a, 0)),
            }
        ratio = np.exp(log_scale) / typical
        measures |= {"bound": bound, "kl": kl, "typical": typical, "ratio": ratio}
        off = np.abs(ratio - 1) if bound >= min(self.bounds.values()) else np.inf
        return measures | dict.fromkeys(self.bounds, bound) | {CALIBRATED: off}

    def _wrong_shapes(self, arrays, codes, images):
        if (shape := np.shape(arrays.get(SCALE))) != ():
            return f"`log_scale` should be one number, of the shape (); it has {shape}."
        return super()._wrong_shapes(arrays, codes, images)

    def advice(self, observed, part):
        """Explains why a goal was missed, from what else was measured: (name, sentence)."""
        if wrong := observed.get("wrong"):
            return "shapes", f"The shapes do not fit together: {wrong}"
        bound, kl, typical, ratio = (observed[name] for name in ("bound", "kl", "typical", "ratio"))
        read = {name: np.nan_to_num(nats, nan=-np.inf) for name, nats in observed["read"].items()}
        as_it_is = np.nan_to_num(observed["read as it is"], nan=-np.inf)
        better, best = max(as_it_is + 5, self.coins), max(read, key=read.get)
        if read[best] > max(better, as_it_is + LOG_SCALE * (best == r"$\log\sigma$")):
            return "not_log_variance", (
                f"Your encoder seems to return {best} as its second value: read so, the bound is {read[best]:.2f} "
                r"nats. Asked for is $\log\sigma^2$."
            )
        if np.nan_to_num(observed["exchanged"], nan=-np.inf) > better:
            return (
                "exchanged",
                r"The encoder's two values seem to have changed places: $\mu$ first, then $\log\sigma^2$.",
            )
        if np.nan_to_num(observed["linear"], nan=-np.inf) > better:
            return "no_sigmoid", (
                f"Without the sigmoid at the end the bound would be {observed['linear']:.1f} nats: was the decoder "
                'trained with means that are just linear? `mean_activation="sigmoid"` bounds them.'
            )
        if np.nan_to_num(observed["relu"], nan=-np.inf) > better:
            return "other_activation", (
                f"With a relu in between the bound would be {observed['relu']:.1f} nats: the decoder is judged with a "
                "tanh there. Train it with one."
            )
        if not np.isfinite([bound, typical]).all():
            return "not_finite", (
                "The shapes are right, but some numbers of the decoder or of the encoder are not finite, or so large "
                "that the bound is not: did training diverge?"
            )
        said = f"The typical error is {typical:.3f}, your σ {ratio * typical:.3f}, and the code costs {kl:.1f} nats."
        fitting = observed["typical scale"] > self.coins - NEARLY_COINS  # else nothing hangs on σ alone
        for name, log_scale in observed["scales"].items() if fitting else ():
            if abs(ratio - 1) > self.off and abs(np.exp(log_scale) / typical - 1) < NEARLY:
                return (
                    "not_log_scale",
                    f"{said} Your `log_scale` seems to be {name}; it is $\\log\\sigma$, of one pixel's error.",
                )
        if fitting and abs(ratio * typical / observed["spread"] - 1) < 0.03 and ratio > 1.5:
            return "spread", (
                f"{said} That is the standard deviation of the pixels themselves. σ is that of the *errors*, "
                r"$x - \mu$."
            )
        wrong = observed["typical scale"] > as_it_is + RIGHT_SCALE
        if fitting and (wrong or (part == CALIBRATED and abs(ratio - 1) > self.off)):
            return self._of_scale(observed, said, part)
        if kl < 1:
            return "no_codes", (
                f"{said} So the code says nothing. Was the model trained, and is there no mean over the pixels where a "
                "sum belongs? Work out which σ is hidden in your loss."
            )
        if bound < self.coins:
            return "worse_than_coins", (
                f"{said} The mean image, for all, reaches {self.coins} nats. Is the decoder the one that was "
                "trained with this encoder, on draws of z, with its arrays in the right order, tanh in between and a "
                "sigmoid at the end? And was it trained for long enough, with a sensible learning rate?"
            )
        low, high = self.good_kl
        if kl > 1.2 * high:
            return "cheap_codes", (
                f"{said} Good models of these images pay {low:g} to {high:g} nats. Either codes are too cheap in your "
                "loss, as with a σ that is too small, or with a mean over the latents; or images were learned by heart."
            )
        if kl < 0.8 * low:
            return "dear_codes", (
                f"{said} Good models of these images pay {low:g} to {high:g} nats for codes. In your loss they are too "
                "dear, as with a σ that is too large, or there are too few latents, or too little training."
            )
        return "bound", (
            f"{said} Nothing looks wrong. Then it is not trained well enough: more epochs, more units, a larger "
            "learning rate at first and a small one in the end."
        )

    def _of_scale(self, observed, said, part):
        typical, ratio, better = observed["typical"], observed["ratio"], observed["typical scale"]
        if part != CALIBRATED:
            return "scale", (
                f"{said} With the typical error in the place of your σ, and nothing else changed, the bound "
                f"would be {better:.1f} nats."
            )
        if ratio * typical > 2:
            return "unit", f"{said} The pixels run from 0 to 1. Was it trained on bytes, or is a sign lost?"
        if abs(ratio * typical - 1) < 1e-3:
            return "unit", f"{said} So σ is 1, and the pixels run from 0 to 1. Let it be the best one, or learn it."
        if ratio > 1:
            return "wide", (
                f"{said} It is too large. Was it fixed? Or learned, and has not arrived: $\\log\\sigma$ begins at 0, "
                'and Adam moves it by about the learning rate a step. The best σ is computed: `"optimal"`.'
            )
        return "narrow", (
            f"{said} It is too small. Was it fixed, or taken from errors at $z = \\mu$, or from training images that "
            "were learned by heart?"
        )


def grey_terms(images, mean, log_variance, arrays, log_scale, noise, inside=np.tanh, bounded=expit):
    """Draws codes, and computes the bound and the KL, in nats, and the typical error; means over all.

    Args:
        images: `[N, D]`.
        mean, log_variance: `[N, L]`.
        arrays: dict of the arrays `DECODER`.
        log_scale: a number.
        noise: `[S, N, L]`.
        inside, bounded: functions of the two layers' outputs; the second one makes means.
    """
    w1, b1, w2, b2 = (arrays[name] for name in DECODER)
    kl, squares = [], []
    for e in noise:
        z = mean + np.exp(log_variance / 2) * e
        mu = bounded(inside(z @ w1 + b1) @ w2 + b2)
        kl.append(np.mean(0.5 * np.sum(z**2 - e**2 - log_variance, axis=1)))
        squares.append(np.mean((images - mu) ** 2))
    kl, square = np.mean(kl), np.mean(squares)
    log_p = -0.5 * images.shape[1] * (LOG_2PI + 2 * log_scale + square * np.exp(-2 * log_scale))
    return log_p - kl, kl, np.sqrt(square)
