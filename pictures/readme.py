"""Makes readme.png, the picture in the README: what two VAEs have learned from MNIST.

    python pictures/readme.py

It takes some minutes on a laptop's CPU, and prints how each model was trained and what it reached.
"""

from pathlib import Path

import keras
import numpy as np

import vaekit as vk

SEED, EPOCHS, HIDDEN = 1, 30, [500, 500]
IMAGE = 2  # the test image whose posterior is shown


def trained(data, latents):
    """A VAE with two hidden layers each way; prints its test bound."""
    keras.utils.set_random_seed(SEED)
    encoder = keras.Sequential([vk.layers.MLP(HIDDEN, "relu"), vk.layers.DiagonalNormal(latents)])
    decoder = keras.Sequential([vk.layers.MLP(HIDDEN, "relu"), vk.layers.Bernoulli((28, 28, 1))])
    vae = vk.VAE(encoder, decoder, seed=SEED)
    vae.compile(keras.optimizers.Adam(1e-3))
    vae.fit(data.train, epochs=EPOCHS, verbose=0)
    bound = vae.evaluate(data.test, seed=SEED, verbose=0)["bound"]
    print(f"{latents} latents, hidden {HIDDEN}, {EPOCHS} epochs, Adam 1e-3, seed {SEED}: test bound {bound:.2f} nats")
    return vae


def draw(plane, wide, data):
    """The figure, of a VAE with 2 latents and one with more."""
    figure = vk.plotting.Figure(figsize=(12, 3.3))
    samples, manifold, codes, posterior = figure.subplots(1, 4)

    images = wide.sample(64, mean=True, seed=SEED).reshape(8, 8, 28, 28)
    samples.imshow(images.transpose(0, 2, 1, 3).reshape(8 * 28, 8 * 28), cmap="gray_r", vmin=0, vmax=1)
    samples.set_title("new digits, from 20 latents each")

    vk.plotting.manifold(plane.decode, n=14, cmap="gray_r", axes=manifold)
    manifold.set_title("what every code of 2 latents draws")

    vk.plotting.latent_scatter(plane.encode(data.test[:3000]), data.labels.test[:3000], axes=codes)
    codes.set(xlim=(-3.5, 3.5), ylim=(-3.5, 3.5), title="where unseen digits have their codes")

    x = data.test[IMAGE : IMAGE + 1]

    def log_joint(z):
        return plane.log_p({"x": np.repeat(x, len(z), axis=0), "z": z})  # log p(x, z), [M]

    center = plane.encode(x)[0]
    limits = [(z - 0.5, z + 0.5) for z in center]
    densities = {"the truth, p(z|x)": log_joint, "the encoder, q(z|x)": plane.posterior(x).log_prob}
    vk.plotting.posterior_contours(densities, limits, points=150, axes=posterior)
    posterior.set_title("the codes of one digit")
    for y, label, colour in zip((0.1, 0.03), densities, vk.plotting.COLORS, strict=False):
        posterior.text(0.97, y, label, color=colour, weight="bold", ha="right", transform=posterior.transAxes)
    inset = posterior.inset_axes((0.03, 0.71, 0.26, 0.26))
    inset.imshow(x[0], cmap="gray_r", vmin=0, vmax=1)

    for axes in (samples, manifold, codes, posterior, inset):
        axes.set(xticks=[], yticks=[], xlabel="", ylabel="")
        axes.spines[:].set(color="0.7", visible=True)
        axes.title.set_size(10.5)
        if legend := axes.get_legend():
            legend.remove()
    return figure


if __name__ == "__main__":
    mnist = vk.datasets.load("dynamic_mnist")
    figure = draw(trained(mnist, 2), trained(mnist, 20), mnist)
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=90)
