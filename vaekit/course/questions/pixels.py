r"""A PixelCNN, trained by the answer: judged by its exact log-likelihood of images that it has not seen."""

from dataclasses import KW_ONLY, dataclass

import numpy as np

from vaekit.course.questions.model import log_bernoulli
from vaekit.course.questions.question import AtLeast, Case, Observe, Question, generator

LAYERS = 4  # the last one gives the logits
ARRAYS = [f"{name}_{layer}" for layer in range(1, LAYERS + 1) for name in ("kernel", "bias")]
TOSSES = 2  # of each image
TELLING = 8.0  # nats; on grey images as they are a PixelCNN that was trained on tossed ones gains five
MASKS = {"leak": "BBBB", "all_hidden": "AAAA", "unmasked": "    "}  # of layers, as they should not be
ACTIVATIONS = {  # likewise: a function, and what it is called
    "relu": (lambda h: np.maximum(h, 0), "a ReLU"),
    "linear": (lambda h: h, "nothing"),
    "sigmoid": (lambda h: 1 / (1 + np.exp(-h)), "a sigmoid"),
    "elu": (lambda h: np.where(h > 0, h, np.expm1(np.minimum(h, 0))), "an ELU"),
}
FAR = 1.1  # times what pixels reach that know nothing of each other: something is wrong


@dataclass(eq=False)
class TrainedPixels(Question):
    r"""A function that trains a PixelCNN of four masked convolutions, tanh after all but the last, and returns them.

    It is called with grey training images `[N, H, W, 1]` and a seed, and returns kernels and biases in the order of the
    layers. Nothing of it is called again: $\log p(x)$ is computed here, of images that it has not seen, and the masks
    are put on here, so no pixel sees itself or the future, whatever was trained. These images are tossed by dice from a
    digest of what is judged.

    Attributes:
        bounds: dict: nats by part, from the lowest to the highest.
        images: function without arguments: grey images `[N, H, W, 1]` to learn from, and others to be judged by.
        coins: nats that pixels reach that know nothing of each other.
        most_filters, largest: how many filters a layer may have, and the largest kernel.
    """

    _: KW_ONLY
    bounds: dict
    images: object
    coins: float
    most_filters: int = 32
    largest: int = 9
    requires_first: bool = False
    seconds: float = 180.0

    derives = True
    fixed = True
    observe = Observe("call", {"names": ARRAYS})

    def __post_init__(self):
        super().__post_init__()
        self.parts = self.parts or dict.fromkeys(self.bounds, 1)

    def draw_cases(self, rng):
        """Draws a seed, and the order of the training images, mirrored as the seed says.

        So weights that were trained elsewhere are of no use as they are.
        """
        seed, images = int(rng.integers(1000)), self.images()[0]
        return [Case({"images": mirrored(images[rng.permutation(len(images))], seed), "seed": seed})]

    def expected(self, case):
        return {part: AtLeast(nats) for part, nats in self.bounds.items()}

    def derived(self, inputs, observations):
        """Computes the log-likelihood, under the name of each part, and what advice is made of."""
        seed, arrays = inputs[0]["seed"], observations[0]
        if wrong := self._wrong_shapes(arrays):
            return dict.fromkeys(self.bounds, np.nan) | {"wrong": wrong}
        layers = [(arrays[f"kernel_{i}"], arrays[f"bias_{i}"]) for i in range(1, LAYERS + 1)]
        grey = np.repeat(mirrored(self.images()[1], seed), TOSSES, axis=0)
        dice = generator(seed, [arrays[name] for name in ARRAYS])
        x = (dice.random(grey.shape) < grey).astype(np.float32)
        few = x[::20]
        with np.errstate(all="ignore"):
            reached = log_likelihood(x, layers)
            read = {
                "as it is": log_likelihood(few, layers),
                "grey": log_likelihood(grey[::20].astype(np.float32), layers),
                "reversed": log_likelihood(few, layers, sign=-1),
                "negative": log_likelihood(1 - few, layers),
                **{name: log_likelihood(few, layers, masks) for name, masks in MASKS.items()},
                **{name: log_likelihood(few, layers, activation=f) for name, (f, _) in ACTIVATIONS.items()},
            }
        return dict.fromkeys([*self.bounds, "reached"], reached) | {"read": read}

    def _wrong_shapes(self, arrays):
        """Names the shapes that are wrong, in a sentence; "" if none is."""
        channels = 1
        for i in range(1, LAYERS + 1):
            shape, bias = (np.shape(arrays.get(f"{name}_{i}")) for name in ("kernel", "bias"))
            if len(shape) != 4 or shape[2] != channels or shape[0] not in (shape[1], shape[1] // 2 + 1):
                return (
                    f"`kernel_{i}` should have the shape [rows, columns, {channels}, filters], with as many rows as "
                    f"columns, or those down to the pixel's own alone; it has {shape}."
                )
            if shape[1] % 2 == 0 or shape[1] > self.largest:
                return f"`kernel_{i}` has {shape[1]} columns; odd numbers are allowed, up to {self.largest}."
            channels = shape[3]
            if not 1 <= channels <= (self.most_filters if i < LAYERS else 1):
                most = f"{self.most_filters} are the most" if i < LAYERS else "the last layer has one, the logit"
                return f"`kernel_{i}` has {channels} filters; {most}."
            if bias != (channels,):
                return f"`bias_{i}` should have the shape {(channels,)}; it has {bias}."
        return ""

    def advice(self, observed, part):
        """Explains why a bound was missed, from what else was measured: (name, sentence)."""
        if wrong := observed.get("wrong"):
            return "shapes", f"The shapes do not fit together: {wrong}"
        reached = observed["reached"]
        read = {name: np.nan_to_num(value, nan=-np.inf) for name, value in observed["read"].items()}
        if read["unmasked"] > max(read["as it is"], read["leak"], self.coins) + 5:
            return "unmasked", (
                f"With no mask at all it would be {read['unmasked']:.2f} nats: so it was trained, and each pixel sees "
                "itself and those to come. The check puts the masks on."
            )
        if read["leak"] > max(read["as it is"], self.coins) + 5:
            return "leak", (
                f"If the first layer were shown the pixel itself, it would be {read['leak']:.2f} nats: so it was "
                "trained. A first layer has mask A; the check puts it on."
            )
        if read["grey"] > max(read["as it is"], FAR * self.coins) + TELLING:
            return "grey", (
                f"Of the grey images as they are it would be {read['grey']:.2f} nats, so it seems to be trained on "
                "images with less noise than tossed ones: the grey ones, or rounded ones, or with one toss for all "
                "pixels of an image. Grey values are probabilities: toss each pixel."
            )
        least = max(read["as it is"] + 1, FAR * self.coins)
        if read["all_hidden"] > least:
            return "all_hidden", (
                f"If no layer were shown its own place, it would be {read['all_hidden']:.2f} nats: so it was trained. "
                "Mask A is for the first layer; what later ones have at a place knows earlier pixels alone, and may be "
                "seen: mask B."
            )
        for name, message in (
            ("reversed", "With the other sign of all logits it would be {:.2f} nats. Is the loss minus the "
             "log-likelihood, and the logit that of white?"),
            ("negative", "Of the negatives of the images it would be {:.2f} nats: black and white have changed places. "
             "A pixel is white, 1, with the probability that its grey value is: `random < grey`."),
        ):  # fmt: skip
            if read[name] > least:
                return name, message.format(read[name])
        for name, (_, what) in ACTIVATIONS.items():
            if read[name] > least:
                return name, (
                    f"Your hidden layers seem to have {what} after them: read so, it is {read[name]:.2f} nats. Asked "
                    "for is tanh."
                )
        if not np.isfinite(reached):
            return "not_finite", "Some of the weights are not finite, or so large that logits are not. Did it diverge?"
        if reached < FAR * self.coins:
            return "worse_than_coins", (
                f"Pixels that know nothing of each other reach {self.coins}. Was the model trained long enough, with "
                "a learning rate that is large at first? Or else: with masks A, B, B, B, with zeros around the image, "
                "on the images as they came, with minus the log-likelihood as the loss, and are its arrays in the "
                "order of the layers?"
            )
        return "bound", (
            "No usual mistake shows. Probably it is not trained well enough, or sees too little: wider kernels, 16 "
            "filters or more, more steps, a large learning rate at first and a small one in the end."
        )


def mirrored(images, seed):
    """Returns images `[N, H, W, C]`, mirrored in one of four ways.

    (Rows and columns do not change places: strokes are easier to foresee along one of them.)
    """
    return images[:, :: -1 if seed & 2 else 1, :: -1 if seed & 1 else 1]


def log_likelihood(x, layers, masks="ABBB", activation=np.tanh, sign=1):
    """Computes the mean of log p(x), in float32.

    Args:
        x: `[N, H, W, 1]`, of 0 and 1.
        layers: list of (kernel, bias).
        masks: of the layers: `"A"` hides a pixel itself, `"B"` shows it, `" "` shows those to come, too.
        activation: between layers.
        sign: of the logits.
    """
    h = x
    for i, ((kernel, bias), mask) in enumerate(zip(layers, masks, strict=True)):
        h = masked_conv(activation(h) if i else h, kernel, bias, mask)
    return np.mean(log_bernoulli(x.reshape(len(x), -1), sign * h.reshape(len(x), -1).astype(np.float64)))


def masked_conv(x, kernel, bias, mask):
    """Convolves images `[N, H, W, C]` with what a mask leaves of a kernel `[R, S, C, M]`: `[N, H, W, M]`."""
    _, H, W, _ = x.shape
    rows, columns = kernel.shape[:2]
    own = columns // 2  # the pixel's own row and column; the kernel may have rows below, or may not
    padded = np.pad(x, ((0, 0), (own, own), (own, own), (0, 0)))
    h = np.zeros((*x.shape[:3], len(bias)), np.float32) + bias.astype(np.float32)
    for i, j in np.ndindex(rows, columns):
        if mask == " " or (i, j) < (own, own + (mask == "B")):
            h += padded[:, i : i + H, j : j + W] @ kernel[i, j].astype(np.float32)
    return h
