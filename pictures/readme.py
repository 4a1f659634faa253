"""The README's picture: what two VAEs, trained for some minutes on MNIST, draw.

    python pictures/readme.py

Writes readme.png beside this file, and prints how each model was trained and what it reached.
"""

from pathlib import Path

import keras
import numpy as np

import vaekit as vk

SEED, EPOCHS, HIDDEN = 1, 30, [500, 500]
GREY = "#444444"
PNG = Path(__file__).with_suffix(".png")


def trained(data, latents):
    """A VAE with two hidden layers each way; prints its test bound."""
    keras.utils.set_random_seed(SEED)
    encoder = keras.Sequential([vk.layers.MLP(HIDDEN, "relu"), vk.layers.DiagonalNormal(latents)])
    decoder = keras.Sequential([vk.layers.MLP(HIDDEN, "relu"), vk.layers.Bernoulli((28, 28, 1))])
    vae = vk.VAE(encoder, decoder, seed=SEED)
    vae.compile(keras.optimizers.Adam(1e-3))
    vae.fit(data.train, epochs=EPOCHS, verbose=0)
    bound = vae.evaluate(data.test, seed=SEED, verbose=0)["bound"]
    print(f"{latents} latents, hidden units {HIDDEN}, {EPOCHS} epochs, Adam 1e-3, seed {SEED}: {bound:.2f} nats (test)")
    return vae


def draw(plane, wide, data):
    """The figure, from a VAE with 2 latents and one with more."""
    figure = vk.plotting.Figure(figsize=(10, 3.75))
    samples, manifold, posteriors = figure.subplots(1, 3)

    pictures = wide.sample(81, mean=True, seed=SEED)[..., 0]  # [81, 28, 28]
    mosaic = pictures.reshape(9, 9, 28, 28).transpose(0, 2, 1, 3).reshape(9 * 28, 9 * 28)
    samples.imshow(mosaic, cmap="gray_r", vmin=0, vmax=1)
    samples.set(xticks=[], yticks=[])
    samples.set_title("new digits, from 20 latents")

    vk.plotting.manifold(plane.decode, n=17, cmap="gray_r", axes=manifold)
    manifold.set(xticks=[], yticks=[], xlabel="", ylabel="")
    manifold.set_title("every code of 2 latents, decoded")

    vk.plotting.latent_scatter(plane.encode(data.test[:4000]), data.labels.test[:4000], axes=posteriors)
    posteriors.get_legend().remove()
    posteriors.set(xticks=[], yticks=[], xlabel="", ylabel="", xlim=(-3.3, 3.3), ylim=(-3.3, 3.3))
    posteriors.set_title("where the encoder puts test digits")
    return figure


if __name__ == "__main__":
    mnist = vk.datasets.load("dynamic_mnist")
    plane, wide = trained(mnist, 2), trained(mnist, 20)
    plane.save("/tmp/l00/plane.keras"); wide.save("/tmp/l00/wide.keras")
    draw(plane, wide, mnist).savefig(PNG, dpi=100)
