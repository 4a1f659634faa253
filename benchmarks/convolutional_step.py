"""How long does a training step of a convolutional model take on JAX, beside TensorFlow?

Images of noise, float32, Adam: the network of Rybkin et al. 2020 (optimal σ), the convHVAE of Tomczak & Welling 2018
(gated convolutions), and a VAE of DCGAN's layers, 4×4 with strides of 2 from 64 channels to 512 and back, on 64×64.
"""

from types import SimpleNamespace

import harness
import numpy as np
from harness import Contestant, Goal

CASES = {
    "σ-VAE, 128 images of 28×28": {"model": "sigma_vae", "batch": 128, "size": 28, "steps": 2},
    "convHVAE, 100 images of 28×28": {"model": "conv_hvae", "batch": 100, "size": 28, "steps": 2},
    "DCGAN, 60 images of 64×64": {"model": "dcgan", "batch": 60, "size": 64, "steps": 2},
}


def dcgan(data):
    import keras

    import vaekit as vk

    L = keras.layers

    def layers(kind, filters):
        return [kind(n, 4, 2, padding="same", activation="leaky_relu") for n in filters]

    encoder = layers(L.Conv2D, (64, 128, 256, 512))
    decoder = layers(L.Conv2DTranspose, (256, 128, 64))
    model = vk.VAE(
        keras.Sequential([*encoder, L.Conv2D(128, 4, activation="tanh"), vk.layers.DiagonalNormal(32)]),
        keras.Sequential(
            [
                L.Reshape((1, 1, 32)),
                L.Conv2DTranspose(512, 4, activation="leaky_relu"),
                *decoder,
                L.Conv2DTranspose(1, 4, 2, padding="same", activation="sigmoid"),
                vk.layers.Normal(data.event_shape, 1.0),
            ]
        ),
        seed=0,
    )
    model.compile("adam")
    return model


def vaekit(case):
    from vaekit.papers import rybkin2020, tomczak2017

    x = np.random.default_rng(0).random((case["steps"] * case["batch"], case["size"], case["size"], 1), "float32")
    x = (x < 0.2).astype("float32") if case["model"] == "conv_hvae" else x
    data = SimpleNamespace(train=x, event_shape=x.shape[1:], name="noise")
    make = {"sigma_vae": rybkin2020.vae, "conv_hvae": tomczak2017.conv_hvae, "dcgan": dcgan}[case["model"]]
    model = make(data)

    def epoch():
        model.fit(x, batch_size=case["batch"], verbose=0)
        return case["steps"]

    return epoch


CONTESTANTS = {
    "vaekit on TensorFlow": Contestant(vaekit, "tensorflow"),
    "vaekit on JAX": Contestant(vaekit, "jax"),
}
GOALS = [Goal("vaekit on JAX", "vaekit on TensorFlow", 1.3, case) for case in CASES]

if __name__ == "__main__":
    harness.main(__file__, CASES, CONTESTANTS, "ms a step", GOALS, rounds=3)
