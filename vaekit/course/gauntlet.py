r"""The gauntlet: small VAEs, written by hand and trained, each with one fault that raises no error.

```python
patient = gauntlet.admit("cut_path")  # trains it, in a second or two
print(patient.chart())  # what its log says, and what was measured afterwards
print(patient.examine("gradients"))  # one of the TESTS
print(gauntlet.FAULTS["cut_path"].cause)
```

A fault is one changed method of `Patient`, whose own are right. `case(1)` to `case(12)` are the faults of `TWELVE` in
another order: what is wrong with them is for the reader to find.
"""

from dataclasses import dataclass, field

import keras
import numpy as np
from keras import ops
from keras.layers import Dense

from vaekit import backend, datasets

D, LATENTS, HIDDEN, BATCH, DRAWS = 64, 8, 64, 100, 100


class Patient:
    """A VAE of 8×8 digits, 0 or 1: 64 hidden units, 8 latents, a normal posterior, Bernoulli pixels.

    Args:
        seed: of weights, order, noise and draws.
    """

    epochs, examples, beta = 40, 1000, 1.0
    activation = None  # of the decoder's last layer, whose numbers are logits

    def __init__(self, seed=0):
        init = np.random.SeedSequence(seed).generate_state(4).tolist()
        dense = [
            Dense(units, activation, kernel_initializer=keras.initializers.GlorotUniform(backend.integer_seed(k)))
            for units, activation, k in zip(
                (HIDDEN, 2 * LATENTS, HIDDEN, D), ("relu", None, "relu", self.activation), init, strict=True
            )
        ]
        self.encoder, self.decoder = keras.Sequential(dense[:2]), keras.Sequential(dense[2:])
        self.encoder.build((None, D))
        self.decoder.build((None, self.decoder_inputs()))
        self.noise, self.rng = backend.seed_generator(seed), np.random.default_rng(seed)
        self.curves = {"loss": [], "reconstruction": [], "KL": []}  # of training, by epoch
        self.train, self.test = self.split(datasets.load("digits"))
        self.images = self.seen(self.test)
        self.first = self.measure()["loss"]
        self.started = [ops.convert_to_numpy(w) for w in self.variables]

    # ---- what a fault changes

    def split(self, digits):
        """Grey values of training and test images, [N, D]."""
        return _flat(digits.train)[: self.examples], _flat(digits.test)

    def seen(self, grey):
        """Images as the networks get them, drawn anew: [N, D]."""
        return (self.rng.uniform(size=grey.shape) < grey).astype("float32")

    def fresh(self):
        """Images that no patient has seen, always the same: [N, D]."""
        grey = _flat(datasets.load("digits").validation)
        return (np.random.default_rng(5).uniform(size=grey.shape) < grey).astype("float32")

    def decoder_inputs(self):
        return LATENTS

    def draw_noise(self, n):
        """ε, [n, J]"""
        return keras.random.normal((n, LATENTS), seed=self.noise)

    def draw(self, mean, log_variance):
        """z ~ q(z|x), [B, J]"""
        return mean + ops.exp(log_variance / 2) * self.draw_noise(ops.shape(mean)[0])

    def decode(self, z, x):
        """Logits, [B, D]; x is for faults."""
        return self.decoder(z)

    def reconstruction(self, x, z):
        """log p(x|z), [B]"""
        a = self.decode(z, x)
        return ops.sum(x * a - ops.softplus(a), axis=1)

    def kl(self, mean, log_variance):
        """KL(q(z|x) ‖ p(z)), [B]"""
        return ops.sum(mean**2 + ops.exp(log_variance) - 1 - log_variance, axis=1) / 2

    def loss(self, reconstruction, kl):
        return -ops.mean(reconstruction - self.beta * kl)

    def likelihood(self, log_w):
        """log p(x), a mean over images, of log-weights [S, N]."""
        return np.mean(_log_mean_exp(log_w))

    def prior_codes(self, n):
        """Codes for samples, [n, J]."""
        return self.rng.standard_normal((n, LATENTS))

    # ---- training, as it says itself

    @property
    def variables(self):
        return [*self.encoder.trainable_variables, *self.decoder.trainable_variables]

    def posterior(self, x):
        """μ and log σ², [B, J] each."""
        return ops.split(self.encoder(x), 2, axis=1)

    def terms(self, x):
        """Reconstruction and KL of a batch, [B] each."""
        mean, log_variance = self.posterior(x)
        return self.reconstruction(x, self.draw(mean, log_variance)), self.kl(mean, log_variance)

    def fit(self, epochs=None):
        """Trains for so many epochs, None: all of its own; returns itself."""
        optimizer = keras.optimizers.Adam(0.003)
        optimizer.build(self.variables)
        found = [keras.Variable(0.0, trainable=False) for _ in self.curves]

        def step(x):
            def loss():
                reconstruction, kl = self.terms(x)
                value = self.loss(reconstruction, kl)
                for variable, number in zip(found, (value, ops.mean(reconstruction), ops.mean(kl)), strict=True):
                    variable.assign(number)
                return value

            _, gradient = backend.variables_gradient(loss, self.variables)
            optimizer.apply(gradient, self.variables)
            return ops.stack([variable.value for variable in found])

        program = backend.compile(step, [*self.variables, *optimizer.variables, *found, self.noise.state])
        for _ in range(self.epochs if epochs is None else epochs):
            images = self.seen(self.rng.permutation(self.train))
            batches = images[: len(images) // BATCH * BATCH].reshape(-1, BATCH, D)
            logged = np.mean([ops.convert_to_numpy(program(batch)) for batch in batches], axis=0)
            for name, value in zip(self.curves, logged, strict=True):
                self.curves[name].append(float(value))
        return self

    def measure(self):
        """Loss, reconstruction and KL of the test images, as its own code has them: a dict."""
        reconstruction, kl = self.terms(self.images)
        parts = {"loss": self.loss(reconstruction, kl), "reconstruction": ops.mean(reconstruction), "KL": ops.mean(kl)}
        return {name: float(value) for name, value in parts.items()}

    # ---- measured afterwards, by code that is right

    def log_weights(self, x, draws=DRAWS, seed=0):
        """log p(x, z) − log q(z|x) at draws of q, [S, N]; and log p(x|z), [S, N]."""
        mean, log_variance = (ops.convert_to_numpy(part) for part in self.posterior(x))
        epsilon = np.random.default_rng(seed).standard_normal((draws, *mean.shape)).astype("float32")
        z = mean + np.exp(log_variance / 2) * epsilon
        logits = [ops.convert_to_numpy(self.decode(codes, x)) for codes in z]
        log_p = np.stack([(x * a - np.logaddexp(0, a)).sum(axis=1) for a in logits])
        log_prior = -(z**2).sum(axis=2) / 2
        log_q = -(epsilon**2 + log_variance).sum(axis=2) / 2
        return log_p + log_prior - log_q, log_p

    def chart(self):
        """Makes its `Chart`."""
        fresh = self.fresh()
        own, _ = self.log_weights(self.images)
        log_w, log_p = self.log_weights(fresh)
        samples = self.decode(self.prior_codes(200).astype("float32"), fresh[:200])
        pictures = ops.convert_to_numpy(samples) > 0
        return Chart(
            curves={name: list(values) for name, values in self.curves.items()},
            log={"loss before training": self.first, **self.measure(), "log p(x), 1 draw": self.likelihood(own[:1])}
            | {f"log p(x), {DRAWS} draws": self.likelihood(own)},
            measured={
                "reconstruction": log_p.mean(),
                "KL": (log_p - log_w).mean(),
                "bound": log_w.mean(),
                f"log p(x), {DRAWS} draws": _log_mean_exp(log_w).mean(),
                "values of a pixel": len(np.unique(self.images)),
                "ink: images": fresh.mean(),
                "ink: samples": float(ops.mean(ops.sigmoid(samples))),
                "pixels that two images differ in": _differ(fresh[:200]),
                "pixels that two samples differ in": _differ(pictures),
            },
        )

    def examine(self, test):
        """Makes one of the `TESTS`; returns a dict of numbers.

        Raises:
            ValueError: an unknown test.
        """
        if test not in TESTS:
            raise ValueError(f"The tests are {', '.join(map(repr, TESTS))}; received {test!r}.")
        return TESTS[test](self)


@dataclass(frozen=True)
class Chart:
    """What there is to see of a patient; nothing in it says what is wrong.

    Attributes:
        curves: dict of lists, by epoch: loss, reconstruction and KL of training, as the program logs them.
        log: dict: what the program says of its test images.
        measured: dict: what other code finds, for images that nobody has seen before.
    """

    curves: dict = field(repr=False)
    log: dict
    measured: dict

    def __str__(self):
        parts = {"as the program says, test images": self.log, "measured afterwards, new images": self.measured}
        return "\n".join(
            f"{title}\n" + "\n".join(f"    {name:36s}{value:8.2f}" for name, value in part.items())
            for title, part in parts.items()
        )


# ---- tests


def _draws(patient):
    """Codes that the program draws of one image: in one batch, and in two steps."""
    x = np.repeat(patient.images[:1], 200, axis=0)
    mean, log_variance = patient.posterior(x)
    one, two = (ops.convert_to_numpy(patient.draw(mean, log_variance)) for _ in range(2))
    error = np.stack([one, two]) - ops.convert_to_numpy(mean)  # [2, 200, J]
    stated = ops.convert_to_numpy(ops.exp(log_variance / 2))
    return {
        "root mean square of (z − μ) / σ": np.sqrt(np.mean((error / stated) ** 2)),
        "of two images in a batch: correlation": _correlation(error[0, :-1], error[0, 1:]),
        "of two steps: correlation": _correlation(error[0], error[1]),
    }


def _gradients(patient):
    """How far the reconstruction of a batch moves the two networks."""
    x, n = patient.images[:BATCH], len(patient.encoder.trainable_variables)
    _, gradient = backend.variables_gradient(lambda: ops.mean(patient.terms(x)[0]), patient.variables)
    norms = [np.linalg.norm([np.linalg.norm(ops.convert_to_numpy(g)) for g in part]) for part in _halves(gradient, n)]
    return dict(zip(("encoder: gradient of the reconstruction", "decoder"), map(float, norms), strict=True))


def _codes(patient):
    """What the reconstruction of images loses with each other's codes."""
    x = patient.images[:BATCH]
    z = patient.posterior(x)[0]
    right, wrong = (float(ops.mean(patient.reconstruction(x, codes))) for codes in (z, ops.roll(z, 1, axis=0)))
    return {"reconstruction, its own codes": right, "reconstruction, the neighbour's": wrong}


def _neighbours(patient):
    """Whether an image's number depends on its place in the batch."""
    x = patient.images[:BATCH]
    z = patient.posterior(x)[0]
    one, other = (ops.convert_to_numpy(patient.reconstruction(x[::k], z[::k]))[::k] for k in (1, -1))
    return {"batch the other way round: largest change, nats": float(np.abs(one - other).max())}


def _overlap(patient):
    """Test images that are in the training set."""
    known = {row.tobytes() for row in np.ascontiguousarray(patient.train)}
    return {"test images that are training images": float(sum(row.tobytes() in known for row in patient.test))}


def _weights(patient):
    """How far the weights have gone from where they started."""
    moved = [ops.convert_to_numpy(w) - old for w, old in zip(patient.variables, patient.started, strict=True)]
    parts = _halves(moved, len(patient.encoder.trainable_variables))
    norms = [float(np.linalg.norm([np.linalg.norm(w) for w in part])) for part in parts]
    return dict(zip(("encoder: way of the weights", "decoder"), norms, strict=True))


TESTS = {
    "draws": _draws,
    "gradients": _gradients,
    "codes": _codes,
    "neighbours": _neighbours,
    "overlap": _overlap,
    "weights": _weights,
}


# ---- faults


@dataclass(frozen=True)
class Fault:
    """What is wrong with a patient.

    Attributes:
        patient: its class.
        lesson: where it was met, such as "02"; "" for one that no lesson has.
        cause, repair: sentences.
        healthy: class of the same patient without the fault.
    """

    patient: type
    lesson: str
    cause: str
    repair: str
    healthy: type = Patient


FAULTS = {}  # by name


def _fault(lesson, cause, repair, healthy=Patient):
    def register(patient):
        FAULTS[patient.__name__] = Fault(patient, lesson, cause, repair, healthy)
        return patient

    return register


@_fault("02", "The reconstruction is averaged over the pixels.", "Sum over pixels.")
class mean_over_pixels(Patient):
    def reconstruction(self, x, z):
        return super().reconstruction(x, z) / D


@_fault("01", "The code is cut off from the encoder: no gradient passes.", "Leave z = μ + σε as it is, in ops.")
class cut_path(Patient):
    def draw(self, mean, log_variance):
        return ops.stop_gradient(super().draw(mean, log_variance))


@_fault("", "Each image is compared with the reconstruction of another.", "Shuffle inputs and targets together.")
class wrong_pairs(Patient):
    def reconstruction(self, x, z):
        return super().reconstruction(ops.roll(x, 1, axis=0), z)


@_fault("11", "The decoder sees the image that it describes.", "Give the decoder z, and what is known beside x.")
class decoder_sees_x(Patient):
    def decoder_inputs(self):
        return LATENTS + D

    def decode(self, z, x):
        return self.decoder(ops.concatenate([z, x], axis=1))


@_fault("02", "The KL is averaged over the latents.", "Sum over latents.")
class mean_over_latents(Patient):
    def kl(self, mean, log_variance):
        return super().kl(mean, log_variance) / LATENTS


@_fault("01", "exp(log σ²) stands where σ should, in the draw alone.", "σ = exp(log σ² / 2).")
class variance_for_scale(Patient):
    def draw(self, mean, log_variance):
        return super().draw(mean, 2 * log_variance)


@_fault("01", "All images of a batch share one ε.", "Draw ε with a row for each image.")
class one_noise_for_all(Patient):
    def draw_noise(self, n):
        return ops.repeat(super().draw_noise(1), n, axis=0)


@_fault("04", "The same ε at every step: its seed is fixed.", "A generator of seeds, not a seed.")
class same_noise_always(Patient):
    def draw_noise(self, n):
        return ops.repeat(keras.random.normal((1, LATENTS), seed=7), n, axis=0)


@_fault("02", "A sigmoid before a likelihood that takes logits.", "Leave the decoder's last layer linear.")
class sigmoid_twice(Patient):
    activation = "sigmoid"


@_fault("02", "Grey values under a Bernoulli likelihood.", "Draw 0 or 1, or take a likelihood of grey values.")
class grey_pixels(Patient):
    def seen(self, grey):
        return grey


class _few(Patient):
    """Trained for long on a few images, of which it sees the same draws every time."""

    epochs, examples = 150, 200

    def seen(self, grey):
        return (grey > 0.5).astype("float32")

    def fresh(self):
        return self.seen(_flat(datasets.load("digits").validation))


@_fault("02", "The test images are among the training images.", "Split first; look for equal rows.", _few)
class test_in_training(_few):
    def split(self, digits):
        train, test = super().split(digits)
        return np.concatenate([train[: self.examples - 100], test[:100]]), test[:100]


@_fault("08", "β has stopped below 1, and the loss is read as a bound.", "β = 1 at the end; report the bound.")
class discounted_kl(Patient):
    beta = 0.2


@_fault("03", "Draws and images are in one mean of weights.", "The logarithm for each image, then their mean.")
class one_mean_over_all(Patient):
    def likelihood(self, log_w):
        return _log_mean_exp(log_w.reshape(-1, 1))[0]


@_fault("04", "The mean of the logarithms in place of the logarithm of the mean.", "logsumexp over draws − log S.")
class mean_of_logs(Patient):
    def likelihood(self, log_w):
        return np.mean(log_w)


@_fault("06", "Samples are decoded from codes that the prior does not draw.", "Draw from the model's prior.")
class uniform_codes(Patient):
    def prior_codes(self, n):
        return self.rng.uniform(size=(n, LATENTS))


@_fault("02", "log σ² is missing from the KL.", "½ Σ (μ² + σ² − 1 − log σ²).")
class kl_without_entropy(Patient):
    def kl(self, mean, log_variance):
        return ops.sum(mean**2 + ops.exp(log_variance) - 1, axis=1) / 2


LESSON = ("mean_over_pixels", "cut_path", "wrong_pairs", "decoder_sees_x")  # lesson 12 solves these
TWELVE = tuple(name for name in FAULTS if name not in LESSON)


def admit(name=None, repaired=False, seed=0, epochs=None):
    """Trains a patient.

    Args:
        name: of a fault; None: a healthy one.
        repaired: the same without the fault.
        seed: an int.
        epochs: None: as many as it takes for symptoms to show.

    Raises:
        ValueError: an unknown fault.
    """
    if name is not None and name not in FAULTS:
        raise ValueError(f"The faults are {', '.join(FAULTS)}; received {name!r}.")
    fault = Fault(Patient, "", "", "") if name is None else FAULTS[name]
    return (fault.healthy if repaired else fault.patient)(seed).fit(epochs)


def case(number, repaired=False, seed=0):
    """Trains the patient of a case, 1 to 12, whose fault the number does not tell.

    Raises:
        ValueError: another number.
    """
    if number not in range(1, len(TWELVE) + 1):
        raise ValueError(f"Cases are numbered from 1 to {len(TWELVE)}; received {number!r}.")
    return admit(fault_of(number), repaired, seed)


def fault_of(number):
    """The name of a case's fault: the solution."""
    return TWELVE[np.random.default_rng(12).permutation(len(TWELVE))[number - 1]]


# ---- small things


def _flat(images):
    return np.asarray(images).reshape(len(images), D)


def _log_mean_exp(log_w):
    return np.logaddexp.reduce(log_w.astype("float64"), axis=0) - np.log(len(log_w))


def _differ(images):
    """Pixels that two images differ in, a mean over neighbours of [N, D] of 0 and 1."""
    return float((images[1:] != images[:-1]).sum(axis=1).mean())


def _halves(values, n):
    return values[:n], values[n:]


def _correlation(a, b):
    """Of what is left of two arrays [N, J], column by column, about zero."""
    return float((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()))
