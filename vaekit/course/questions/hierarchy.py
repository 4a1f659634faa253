r"""A model of two stochastic layers, trained by the answer: judged by its bound, and what the upper layer carries."""

from dataclasses import KW_ONLY, dataclass

import numpy as np

from vaekit.course.questions.model import CLOSE, log_bernoulli
from vaekit.course.questions.question import AtLeast, Case, Observe, Question, generator

NORMAL = ["hidden_weights", "hidden_bias", "mean_weights", "mean_bias", "log_variance_weights", "log_variance_bias"]
PIXELS = ["hidden_weights", "hidden_bias", "output_weights", "output_bias"]
NETWORKS = {"q_h2": NORMAL, "p_h1": NORMAL, "p_x": PIXELS}  # of one tanh layer each
ARRAYS = [f"{network}_{name}" for network, names in NETWORKS.items() for name in names]
ALIVE = "alive"  # the part that is for the upper layer
EXCHANGED = "exchanged"  # the encoder's two values
DRAWS = 5  # of codes for each test image


@dataclass(eq=False)
class TrainedHierarchy(Question):
    r"""A function that trains $p(h_2)\,p(h_1|h_2)\,p(x|h_1)$ with $q(h_1|x)\,q(h_2|h_1)$ and Bernoulli pixels.

    As in `TrainedVAE` it is called with grey training images and a seed. It gives three networks away as arrays,
    $q(h_2|h_1)$, $p(h_1|h_2)$ and $p(x|h_1)$; only then does its encoder see others, black and white, and says the mean
    and the log-variance of $q(h_1|x)$. Codes are drawn and the bound is computed here, with noise from a digest of what
    is judged. Whatever the encoder says, the mean weight is p(x), so no encoder can make a bound.

    What the upper layer carries is the smaller one of two numbers: $K_2$, and by how much $\log p(h_1|h_2)$ falls where
    each image gets the $h_2$ of another one. A code that costs nats and tells $h_1$ nothing carries nothing.

    Attributes:
        bounds: dict: nats by part, from the lowest to the highest.
        alive: nats that the upper layer carries, the part "alive".
        images: function without arguments: grey images `[N, D]` to learn from, and others `[M, D]` to be judged by.
        coins: nats that pixels without any code reach.
        good_kl: the range of K₁ + K₂, in nats, of models that reach the bounds.
        most: dict: how many units of `h1`, `h2` and the hidden layers there may be.
    """

    _: KW_ONLY
    bounds: dict
    alive: float
    images: object
    coins: float
    good_kl: tuple
    most: dict
    requires_first: bool = False
    seconds: float = 180.0

    derives = True
    fixed = True

    def __post_init__(self):
        super().__post_init__()
        self.parts = self.parts or dict.fromkeys([*self.bounds, ALIVE], 1)
        self.pixels = self.images()[0].shape[1]
        most = self.most["hidden"] * (self.pixels + 4 * (self.most["h1"] + self.most["h2"])) + 5 * self.pixels
        self.observe = Observe("trained_vae", {"parts": ARRAYS, "most": most})

    def draw_cases(self, rng):
        """Draws the order of training images and the places of pixels, as `TrainedVAE` does; then test images."""
        training, others = self.images()
        places = rng.permutation(self.pixels)
        training, others = training[rng.permutation(len(training))][:, places], others[:, places]
        seed = int(rng.integers(1000))
        return [
            Case({"images": training, "seed": seed}),
            Case({"images": 1.0 * (rng.random(others.shape) < others)}),
        ]

    def expected(self, case):
        bounds = {part: AtLeast(nats) for part, nats in self.bounds.items()}
        return bounds | {ALIVE: AtLeast(self.alive, of="carried by h2")}

    def derived(self, inputs, observations):
        """Computes the bound under the name of each part, what h2 carries, and what advice is made of."""
        images, (arrays, codes) = inputs[1]["images"], observations
        if wrong := self._wrong_shapes(arrays, codes, len(images)):
            return dict.fromkeys([*self.bounds, ALIVE], np.nan) | {"wrong": wrong}
        mean, log_variance = codes["mean"], codes["log_variance"]
        shapes = (DRAWS, *mean.shape), (DRAWS, len(mean), len(arrays["p_h1_hidden_weights"]))
        rng = generator(inputs[0]["seed"], [*(arrays[name] for name in ARRAYS), mean, log_variance])
        noise = [rng.normal(size=shape) for shape in shapes]
        with np.errstate(all="ignore"):
            reconstruction, k1, k2, exchanged = map(np.mean, terms(images, mean, log_variance, arrays, *noise))
            misread = {"log σ": 2 * log_variance, "σ²": np.log(log_variance), "σ": 2 * np.log(log_variance)}
            few = [e[:1] for e in noise]
            said = {name: (mean, value) for name, value in misread.items()} | {EXCHANGED: (log_variance, mean)}
            read = {
                name: np.mean(r - a - b)
                for name, both in said.items()
                for r, a, b, _ in [terms(images, *both, arrays, *few)]
            }
        bound = reconstruction - k1 - k2
        measures = {"bound": bound, "reconstruction": reconstruction, "k1": k1, "k2": k2, "exchanged": exchanged}
        return measures | {"read": read, ALIVE: np.minimum(k2, exchanged)} | dict.fromkeys(self.bounds, bound)

    def _wrong_shapes(self, arrays, codes, images):
        """Names the shapes that are wrong, in a sentence; "" if none is."""
        shapes = {name: np.shape(array) for name, array in {**arrays, **codes}.items()}
        units = {}
        for name, of in {"q_h2_hidden_weights": "h1", "p_h1_hidden_weights": "h2"}.items():
            if len(shapes.get(name, ())) != 2:
                return f"`{name}` should have the shape [units of {of}, hidden units]; it has {shapes.get(name)}."
            units[of] = shapes[name][0]
        inputs_outputs = {"q_h2": ("h1", "h2"), "p_h1": ("h2", "h1"), "p_x": ("h1", None)}
        expected = dict.fromkeys(("mean", "log_variance"), (images, units["h1"]))
        for network, (given, out) in inputs_outputs.items():
            hidden = (*shapes.get(f"{network}_hidden_weights", ()), 0, 0)[1]
            if not 1 <= hidden <= self.most["hidden"]:
                return f"`{network}_hidden_weights` says {hidden} hidden units; {self.most['hidden']} are the most."
            for name in NETWORKS[network]:
                width = hidden if name.startswith("hidden") else units.get(out, self.pixels)
                rows = units[given] if name.startswith("hidden") else hidden
                expected[f"{network}_{name}"] = (rows, width) if name.endswith("weights") else (width,)
        wrong = [
            f"`{name}` should have the shape {shape}, it has {shapes.get(name)}"
            for name, shape in expected.items()
            if shapes.get(name) != shape
        ]
        told = f"The networks say that `h1` has {units['h1']} units, and `h2` {units['h2']}"
        if any(not 1 <= n <= self.most[name] for name, n in units.items()):
            return f"{told}; {self.most['h1']} and {self.most['h2']} are the most."
        return f"{told}; {'; '.join(wrong)}." if wrong else ""

    def advice(self, observed, part):
        """Explains why a bound was missed, or the upper layer is dead: (name, sentence)."""
        if wrong := observed.get("wrong"):
            return "shapes", f"The shapes do not fit together: {wrong}"
        bound, reconstruction, k1, k2 = (observed[name] for name in ("bound", "reconstruction", "k1", "k2"))
        read, exchanged = observed["read"], observed["exchanged"]
        best = max(read, key=lambda name: np.nan_to_num(read[name], nan=-np.inf))
        if read[best] > max(np.nan_to_num(bound, nan=-np.inf) + 1, self.coins):
            if best == EXCHANGED:
                return "exchanged", (
                    r"Your encoder seems to return $\log\sigma^2$ first, and the mean second: read so, the bound is "
                    f"{read[best]:.2f} nats. Asked for is the mean first."
                )
            names = [name for name in read if name != EXCHANGED and read[name] > read[best] - CLOSE]
            return "not_log_variance", (
                f"Your encoder seems to return {' or '.join(names)} as its second value: read so, the bound is "
                rf"{read[best]:.2f} nats. Asked for is $\log\sigma^2$."
            )
        if not np.isfinite(bound):
            return "not_finite", (
                "The shapes are right, but some numbers of the networks or of the encoder are not finite, or so large "
                "that the bound is not: did training diverge?"
            )
        if part == ALIVE and k2 < 0.5:
            return "dead", (
                f"The upper layer pays {k2:.2f} nats, and the lower one {k1:.2f}. Is $p(h_1|h_2)$ the prior of $h_1$ "
                "in your loss, and not a standard normal? If it is: free bits keep a layer from being switched off "
                "before it is of use."
            )
        if part == ALIVE and (k2 >= self.alive > exchanged or exchanged < k2 / 2):
            return "unused", (
                f"The codes of the upper layer cost {k2:.2f} nats, but $p(h_1|h_2)$ makes too little use of them: with "
                f"the $h_2$ of another image its log-density falls by {exchanged:.2f} only. Were both networks trained "
                "together, and is $p(h_1|h_2)$ in your loss, at the $h_2$ that was drawn?"
            )
        if part == ALIVE:
            return "lazy", (
                f"The upper layer is alive with {k2:.2f} nats, and the lower one pays {k1:.2f}: the upper one could "
                "take over more of that. Free bits ask for it by number."
            )
        low, high = self.good_kl
        if k1 + k2 > 1.4 * high and reconstruction > self.coins:
            return "cheap_codes", (
                f"Both layers together pay {k1 + k2:.1f} nats ({k1:.1f} and {k2:.1f}), where a good model of these "
                f"images pays between {low:g} and {high:g}. If your loss says so, too, codes are too cheap in it: is "
                "a floor too high, a cost averaged over the units, or multiplied by a small number? Or are the images "
                "learned by heart, since their pixels were drawn once? If it says otherwise, what came back is not "
                "what was trained: does the encoder return a draw for the mean, or is an array in another's place?"
            )
        if bound < 1.1 * self.coins:
            return "worse_than_coins", (
                f"Pixels without any code, each white as often as in training images, reach {self.coins}. Your terms "
                f"are {reconstruction:.1f} (reconstruction), {k1:.1f} and {k2:.1f} nats (h1, h2). Do the networks "
                "belong together, with their arrays in the right order, and tanh in between?"
            )
        if k1 + k2 < 0.5:
            return "no_codes", (
                f"Both layers together pay {k1 + k2:.2f} nats: the codes say nothing about the image. Was the model "
                "trained, is the reconstruction summed over the pixels, and do the layers' costs count once?"
            )
        return "bound", (
            f"The terms are {reconstruction:.1f} (reconstruction), {k1:.1f} and {k2:.1f} nats (h1, h2). Are the "
            r"pixels drawn anew in every epoch, and is the encoder's second value $\log\sigma^2$, not $\log\sigma$? "
            "Then it is not trained well enough: more epochs, more hidden units, a learning rate that is large at "
            "first and small in the end."
        )


def terms(images, mean, log_variance, arrays, noise_1, noise_2):
    r"""Draws $h_1 \sim q(h_1|x)$, $h_2 \sim q(h_2|h_1)$, and computes four arrays `[S, N]`.

    Args:
        images: `[N, D]`, of 0 and 1.
        mean, log_variance: of q(h1|x), `[N, K]`.
        arrays: dict of the `ARRAYS`.
        noise_1, noise_2: `[S, N, K]` and `[S, N, M]`.

    Returns: log p(x|h1); log q(h1|x) − log p(h1|h2); log q(h2|h1) − log p(h2); and by how much log p(h1|h2) falls with
    the h2 of the next image.
    """
    h1 = mean + np.exp(log_variance / 2) * noise_1
    q_mean, q_log_variance = _normal(h1, "q_h2", arrays)
    h2 = q_mean + np.exp(q_log_variance / 2) * noise_2
    p = _normal(h2, "p_h1", arrays)
    hidden = np.tanh(h1 @ arrays["p_x_hidden_weights"] + arrays["p_x_hidden_bias"])
    a = hidden @ arrays["p_x_output_weights"] + arrays["p_x_output_bias"]
    log_p_x = log_bernoulli(images, a)
    log_p_h1 = _log_normal(h1, *p)
    k1 = _log_normal(h1, mean, log_variance) - log_p_h1
    k2 = 0.5 * np.sum(h2**2 - noise_2**2 - q_log_variance, axis=-1)
    fall = log_p_h1 - _log_normal(h1, *(np.roll(each, 1, axis=1) for each in p))
    return log_p_x, k1, k2, fall


def _normal(h, network, arrays):
    """Runs a network of one tanh layer: returns mean and log-variance."""
    w, b, mean_w, mean_b, log_variance_w, log_variance_b = (arrays[f"{network}_{name}"] for name in NORMAL)
    hidden = np.tanh(h @ w + b)
    return hidden @ mean_w + mean_b, hidden @ log_variance_w + log_variance_b


def _log_normal(h, mean, log_variance):
    squares = (h - mean) ** 2 * np.exp(-log_variance)
    return -0.5 * np.sum(np.log(2 * np.pi) + log_variance + squares, axis=-1)
