"""Models whose log p(x), posterior and bounds are known in closed form."""

import keras
import numpy as np
from scipy.stats import multivariate_normal

import vaekit as vk


class ProbabilisticPCA:
    r"""x = W z + b + σ ε, z ~ N(0, I): p(x) = N(b, W Wᵀ + σ² I), p(z|x) = N(M⁻¹ Wᵀ (x − b) / σ², M⁻¹), M = I + WᵀW/σ².

    With orthogonal columns in W the posterior is diagonal, so a `DiagonalNormal` encoder can be exact.

    Args:
        shift: added to the encoder's mean, stretch: its scale is multiplied by this; 0 and 1: the exact posterior.
    """

    def __init__(self, latents=3, features=6, sigma=0.7, shift=0.0, stretch=1.0, seed=0, objective=None):
        rng = np.random.default_rng(seed)
        basis = np.linalg.qr(rng.normal(size=(features, latents)))[0]
        self.W = basis * np.linspace(0.6, 1.8, latents)
        self.b = rng.normal(size=features)
        self.sigma, self.shift, self.stretch = sigma, shift, stretch
        self.M = np.eye(latents) + self.W.T @ self.W / sigma**2
        self.x = (rng.normal(size=(40, latents)) @ self.W.T + self.b + sigma * rng.normal(size=(40, features))).astype(
            "float32"
        )
        self.model = self._model(latents, features)
        self.model.compile("sgd", objective=objective or vk.objectives.ELBO())

    def _model(self, latents, features):
        encoder, decoder = vk.layers.DiagonalNormal(latents), vk.layers.Normal(features, scale=self.sigma)
        model = vk.VAE(encoder, decoder, seed=0)
        model.build((None, features))
        gain = np.linalg.solve(self.M, self.W.T) / self.sigma**2  # posterior mean = gain (x − b)
        variance = np.diag(np.linalg.inv(self.M)) * self.stretch**2
        encoder.heads["mean"].set_weights([gain.T, -gain @ self.b + self.shift])
        encoder.heads["log_variance"].set_weights([np.zeros((features, latents)), np.log(variance)])
        decoder.heads["mean"].set_weights([self.W.T, self.b])
        return model

    def log_p(self, x=None):
        """log p(x), array [N]."""
        x = self.x if x is None else x
        covariance = self.W @ self.W.T + self.sigma**2 * np.eye(len(self.b))
        return multivariate_normal(self.b, covariance).logpdf(x)

    def posterior(self, x=None):
        """Mean [N, D] and covariance [D, D] of p(z|x)."""
        x = self.x if x is None else x
        return (x - self.b) @ np.linalg.solve(self.M, self.W.T / self.sigma**2).T, np.linalg.inv(self.M)

    def kl_to_posterior(self):
        """KL(q(z|x) ‖ p(z|x)): the gap of the ELBO, the same for every x."""
        variance = np.diag(np.linalg.inv(self.M))
        s2 = self.stretch**2
        return float(np.sum(0.5 * (s2 - 1 - np.log(s2) + self.shift**2 / variance)))


def two_latents(order, units=(3, 2), event_shape=(4, 4, 1), seed=0):
    """p(z2) p(z1|z2) p(x|z1, z2) with q(z1|x) q(z2|z1) ("bottom-up") or q(z2|x) q(z1|x, z2) ("top-down")."""
    n1, n2 = units

    def joined(shapes, head):
        inputs = [keras.Input(shape) for shape in shapes]
        flat = [keras.layers.Flatten()(tensor) for tensor in inputs]
        hidden = vk.layers.MLP(8)(keras.layers.Concatenate()(flat))
        return keras.Model(inputs, head(hidden))

    def single(head):
        return keras.Sequential([vk.layers.MLP(8), head])

    F, normal = vk.Factor, vk.layers.DiagonalNormal
    inference = {
        "bottom-up": lambda: [F("z1", single(normal(n1)), given="x"), F("z2", single(normal(n2)), given="z1")],
        "top-down": lambda: [
            F("z2", single(normal(n2)), given="x"),
            F("z1", joined([event_shape, (n2,)], normal(n1)), given=("x", "z2")),
        ],
    }[order]()
    generative = [
        F("z2", vk.priors.StandardNormal()),
        F("z1", single(normal(n1)), given="z2"),
        F("x", joined([(n1,), (n2,)], vk.layers.Bernoulli(event_shape)), given=("z1", "z2")),
    ]
    return vk.LatentVariableModel(generative, inference, seed=seed)


def binary_images(n=64, event_shape=(4, 4, 1), seed=0):
    """Two of Keras' batches: a program is compiled for each size of a batch."""
    return (np.random.default_rng(seed).random((n, *event_shape)) < 0.4).astype("float32")


def small_vae(latents=2, event_shape=(4, 4, 1), prior=None, seed=0, **options):
    encoder = keras.Sequential([vk.layers.MLP(8), vk.layers.DiagonalNormal(latents)])
    decoder = keras.Sequential([vk.layers.MLP(8), vk.layers.Bernoulli(event_shape)])
    model = vk.VAE(encoder, decoder, prior, seed=seed)
    model.compile("sgd", **options)  # the fewest operations to compile
    return model


def enumerate_bernoulli_posterior(model, x, units):
    """Exact log p(x) [N] of a model with binary latents z ∈ {0, 1}^units, by summing over all of them."""
    states = np.array(np.meshgrid(*[[0.0, 1.0]] * units)).reshape(units, -1).T.astype("float32")
    joint = []
    for z in states:
        values = {"x": keras.ops.convert_to_tensor(x), "z": keras.ops.convert_to_tensor(np.tile(z, (len(x), 1)))}
        joint.append(keras.ops.convert_to_numpy(model.log_p(values)))
    return np.logaddexp.reduce(np.array(joint), axis=0)


def numbers(model, x):
    """That a model has for x, with the same noise each time: of each example, or of all in one program.

    Outside of one JAX would compile every operation.
    """
    if vk.backend.NAME == "jax":
        return list(model.evaluate(x, seed=0, verbose=0).values())
    return model.log_weights(x, 2, seed=0)
