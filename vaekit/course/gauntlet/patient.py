"""A VAE written by hand, its training, and the chart of what there is to see of it."""

from dataclasses import dataclass, field

import keras
import numpy as np
from keras import ops
from keras.layers import Dense

from vaekit import backend, datasets
from vaekit.course.gauntlet.examinations import BATCH, TESTS

D, LATENTS, HIDDEN, DRAWS = 64, 8, 64, 100


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
        return flat(digits.train)[: self.examples], flat(digits.test)

    def seen(self, grey):
        """Images as the networks get them, drawn anew: [N, D]."""
        return (self.rng.uniform(size=grey.shape) < grey).astype("float32")

    def fresh(self):
        """Images that no patient has seen, always the same: [N, D]."""
        grey = flat(datasets.load("digits").validation)
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
        return np.mean(log_mean_exp(log_w))

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
                f"log p(x), {DRAWS} draws": log_mean_exp(log_w).mean(),
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


def flat(images):
    """Images as rows, [N, D]."""
    return np.asarray(images).reshape(len(images), D)


def log_mean_exp(log_w):
    """The logarithm of the mean over draws of weights, [N], of log-weights [S, N]."""
    return np.logaddexp.reduce(log_w.astype("float64"), axis=0) - np.log(len(log_w))


def _differ(images):
    """Pixels that two images differ in, a mean over neighbours of [N, D] of 0 and 1."""
    return float((images[1:] != images[:-1]).sum(axis=1).mean())
