"""How long does somebody wait for the first epoch of a VAE, from a cold Python, and how long for a second model's?

A VAE of 8×8 digits, 64-100-100-8 and back, tanh, Adam, 1,200 binary images in batches of 100: a lesson's usual model.
"cold" is a new process: import, build, compile, one epoch. "a second model" has the same structure and a seed of its
own, in a process that has trained another one.
"""

import subprocess
import sys

import harness
from harness import Contestant, Goal

COLD, SECOND = "cold", "a second model"
CASES = {COLD: {"cold": True}, SECOND: {"cold": False}}
HIDDEN, LATENTS, BATCH = 100, 8, 100


def vaekit(seed):
    import keras
    import numpy as np

    import vaekit as vk

    x = (vk.datasets.load("digits").train > 0.5).astype("float32")
    encoder = keras.Sequential([vk.layers.MLP([HIDDEN, HIDDEN]), vk.layers.DiagonalNormal(LATENTS)])
    decoder = keras.Sequential([vk.layers.MLP([HIDDEN, HIDDEN]), vk.layers.Bernoulli(x.shape[1:])])
    vae = vk.VAE(encoder, decoder, seed=seed)
    vae.compile(keras.optimizers.Adam(1e-3))
    assert np.isfinite(vae.fit(x, batch_size=BATCH, verbose=0).history["loss"][0])


def keras_alone(seed):
    """As Keras' own guides do it: layers, `add_loss`, `fit`."""
    import keras
    import numpy as np
    from keras import layers, ops
    from sklearn.datasets import load_digits

    class Sampling(layers.Layer):
        def __init__(self, seed):
            super().__init__()
            self.seed = keras.random.SeedGenerator(seed)

        def call(self, h):
            mean, log_variance = ops.split(h, 2, axis=-1)
            kl = 0.5 * ops.sum(mean**2 + ops.exp(log_variance) - log_variance - 1, axis=-1)
            self.add_loss(ops.mean(kl))
            return mean + ops.exp(0.5 * log_variance) * keras.random.normal(ops.shape(mean), seed=self.seed)

    def dense(n):
        return layers.Dense(n, activation="tanh")

    x = (load_digits().data[:1200] > 8).astype("float32")
    vae = keras.Sequential(
        [
            keras.Input((64,)),
            *(dense(HIDDEN), dense(HIDDEN), layers.Dense(2 * LATENTS), Sampling(seed)),
            *(dense(HIDDEN), dense(HIDDEN), layers.Dense(64)),
        ]
    )

    def reconstruction(x, logits):
        return ops.sum(keras.losses.binary_crossentropy(x[..., None], logits[..., None], from_logits=True), axis=-1)

    vae.compile(keras.optimizers.Adam(1e-3), reconstruction)
    assert np.isfinite(vae.fit(x, x, batch_size=BATCH, verbose=0).history["loss"][0])


def pytorch(seed):
    import math

    import torch
    from sklearn.datasets import load_digits
    from torch import nn
    from torch.nn import functional as F

    torch.manual_seed(seed)
    x = torch.from_numpy((load_digits().data[:1200] > 8).astype("float32"))

    def network(a, b):
        return nn.Sequential(
            nn.Linear(a, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, b)
        )

    encoder, decoder = network(64, 2 * LATENTS), network(LATENTS, 64)
    adam = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3)
    total = 0.0
    for rows in torch.randperm(len(x)).split(BATCH):
        mean, log_variance = encoder(x[rows]).chunk(2, dim=-1)
        z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        kl = 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum(-1)
        loss = (kl + F.binary_cross_entropy_with_logits(decoder(z), x[rows], reduction="none").sum(-1)).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        total += loss.item()
    assert math.isfinite(total)


def waiting(train):
    """Repeats of one wait: a new process, or another model in this one."""

    def prepare(case):
        seeds = iter(range(1000))
        if not case["cold"]:
            train(next(seeds))

        def repeat():
            if case["cold"]:
                program = f"import os, first_result; first_result.{train.__name__}(0); os._exit(0)"
                subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, cwd=harness.HERE)
            else:
                train(next(seeds))
            return 1

        return repeat

    return prepare


CONTESTANTS = {
    "Keras alone on TensorFlow": Contestant(waiting(keras_alone), "tensorflow"),
    "Keras alone on JAX": Contestant(waiting(keras_alone), "jax"),
    "PyTorch, eager": Contestant(waiting(pytorch), packages=("torch",)),
    "vaekit on TensorFlow": Contestant(waiting(vaekit), "tensorflow"),
    "vaekit on JAX": Contestant(waiting(vaekit), "jax"),
}
GOALS = [
    Goal("vaekit on TensorFlow", "Keras alone on TensorFlow", 1.0, COLD),
    Goal("vaekit on JAX", "Keras alone on JAX", 1.0, COLD),
    Goal("vaekit on TensorFlow", "Keras alone on TensorFlow", 0.3, SECOND),
    Goal("vaekit on JAX", "Keras alone on JAX", 0.3, SECOND),
]

if __name__ == "__main__":
    harness.main(__file__, CASES, CONTESTANTS, "s a wait", GOALS, rounds=5)
