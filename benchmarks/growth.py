"""How does cost grow with the number of images, components, samples, pixels and latents?

Each is varied by itself, by factors of ten (of two for the side of an image, with convolutions); all else is the model
of Burda et al. 2015 with one stochastic layer, one sample, 100 images a batch. `python benchmarks/growth.py` also draws
pictures/growth.png, from the record.
"""

import json
import statistics
import sys

import harness
import numpy as np
from harness import Contestant
from rivals import HIDDEN, LATENTS

GROWS = {  # what grows: its sizes, and what is timed
    "images": ([1_000, 10_000, 100_000], "an epoch"),
    "components": ([50, 500, 5_000], "a step, with a VampPrior"),
    "samples": ([1, 10, 100], "a step of IWAE"),
    "side": ([16, 32, 64], "a step, of convolutions"),
    "latents": ([5, 50, 500], "a step"),
}
CASES = {f"{what} {size}": {"what": what, "size": size} for what, (sizes, _) in GROWS.items() for size in sizes}
BATCH, STEPS = 100, 5
PICTURE = harness.HERE.parent / "pictures" / "growth.png"


def networks(side, latents):
    """Dense ones; for the sides that grow convolutional ones, of the same layers whatever the side."""
    import keras

    import vaekit as vk

    shape, layers = (side, side, 1), keras.layers
    if side == 28:
        hidden = [[vk.layers.MLP([HIDDEN, HIDDEN])] for _ in range(2)]
    else:
        halves = [layers.Conv2D(n, 4, 2, padding="same", activation="relu") for n in (16, 32)]
        doubles = [layers.Conv2DTranspose(n, 4, 2, padding="same", activation="relu") for n in (16, 8)]
        start = [layers.Dense(side * side // 16 * 8), layers.Reshape((side // 4, side // 4, 8))]
        hidden = [[*halves, layers.Flatten()], [*start, *doubles]]
    ends = vk.layers.DiagonalNormal(latents), vk.layers.Bernoulli(shape)
    return [keras.Sequential([*body, end]) for body, end in zip(hidden, ends, strict=True)]


def vaekit(case):
    import keras

    import vaekit as vk

    what, size = case["what"], case["size"]
    side = size if what == "side" else 28
    n = size if what == "images" else STEPS * BATCH
    x = (np.random.default_rng(0).random((n, side, side, 1), "float32") < 0.13).astype("float32")
    encoder, decoder = networks(side, size if what == "latents" else LATENTS)
    prior = None
    if what == "components":
        encoder.build((None, *x.shape[1:]))
        prior = vk.priors.VampPrior(encoder, components=size)
    model = vk.VAE(encoder, decoder, prior=prior, seed=0)
    objective = vk.objectives.IWAE(size) if what == "samples" else vk.objectives.ELBO(analytic_kl=what != "components")
    model.compile(keras.optimizers.Adam(1e-3), objective)

    def epoch():
        model.fit(x, batch_size=BATCH, verbose=0)
        return 1 if what == "images" else STEPS

    return epoch


CONTESTANTS = {f"vaekit on {name}": Contestant(vaekit, name.lower()) for name in ("JAX", "TensorFlow")}


def slopes(record):
    """Milliseconds of each that grows at its sizes, and the slope of their logarithms between the two largest.

    Returns: dict (what, contestant): (list of ms, slope).
    """
    found = {}
    for what, (sizes, _) in GROWS.items():
        for name in CONTESTANTS:
            rows = (record["cases"][f"{what} {size}"][name] for size in sizes)
            ms = [1e3 * statistics.median(row["seconds"]) for row in rows]
            found[what, name] = ms, np.log(ms[-1] / ms[-2]) / np.log(sizes[-1] / sizes[-2])
    return found


def draw(record):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(GROWS), figsize=(14, 3.8), sharey=True, layout="constrained")
    for axis, (what, (sizes, timed)) in zip(axes, GROWS.items(), strict=True):
        for name, marker, color in zip(CONTESTANTS, "os", ("tab:blue", "tab:orange"), strict=True):
            ms, slope = slopes(record)[what, name]
            axis.loglog(sizes, ms, marker + "-", color=color, label=f"{name.split()[-1]}, {slope:.2f}")
        axis.set(xlabel=what, title=timed, xticks=sizes)
        axis.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
        axis.legend(title="slope at the end", frameon=False, fontsize=9)
    axes[0].set_ylabel("ms")
    figure.savefig(PICTURE, dpi=100)


if __name__ == "__main__":
    harness.main(__file__, CASES, CONTESTANTS, "ms each", rounds=3)
    if len(sys.argv) == 1:
        draw(json.loads((harness.RECORDS / "growth.json").read_text()))
        print(f"wrote {PICTURE.relative_to(PICTURE.parents[1])}")
