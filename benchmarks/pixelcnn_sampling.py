"""How long does a pixel take, when a PixelCNN decoder draws images?

The decoder of Dieng et al. 2019, 9 layers of the gated PixelCNN with 32 filters, draws 64 binary images of 28×28,
float32; a pixel is one of 784, in all images at once. "Full passes" run the network on the whole images for each pixel,
all in one compiled program (PyTorch: eager), and draw only the first 7 pixels, since each costs the same. vaekit's
images are whole, so that what it does once a row or once an image is counted too.
"""

import harness
import numpy as np
from harness import Contestant, Goal

CASE = "64 images"
CASES = {CASE: {"images": 64, "size": 28, "latents": 20, "filters": 32, "depth": 9, "full_passes": 7}}


def latents(case):
    return np.random.default_rng(0).normal(size=(case["images"], case["latents"])).astype("float32")


def decoder(case):
    from vaekit.layers import Autoregressive, Bernoulli, GatedPixelConv2D

    layers = [GatedPixelConv2D(case["filters"], mask="B" if i else "A") for i in range(case["depth"])]
    return Autoregressive([*layers, Bernoulli((case["size"], case["size"], 1))])


def vaekit(case):
    import vaekit as vk

    p = decoder(case)(latents(case))
    seed = vk.backend.seed(0)

    def images():
        np.asarray(p.sample(seed=seed))
        return case["size"] ** 2

    return images


def full_passes(case):
    from keras import ops

    import vaekit as vk

    network, z, n = decoder(case), latents(case), case["full_passes"]
    network(z)
    place = np.arange(case["size"] ** 2).reshape(case["size"], case["size"], 1)
    seeds = ops.stack(vk.backend.seeds(0, n))

    def draw(z):
        def pixel(i, x):
            return ops.where(place == i, network.conditional(x, [z]).sample(seed=seeds[i]), x)

        return ops.fori_loop(0, n, pixel, ops.zeros((case["images"], *network.head.event_shape)))

    program = vk.backend.compile(draw, network.variables)

    def pixels():
        np.asarray(program(z))
        return n

    return pixels


def pytorch(case):
    """The same network as plain PyTorch code, channels first."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    torch.manual_seed(0)
    f, size, n = case["filters"], case["size"], case["full_passes"]

    def gate(a):
        return a[:, :f].tanh() * a[:, f:].sigmoid()

    class Layer(nn.Module):
        def __init__(self, mask):
            super().__init__()
            self.first = mask == "A"
            seen, reach = (2, 1) if self.first else (f, 2)
            self.vertical = nn.Conv2d(seen, 2 * f, (reach, 3))
            self.horizontal = nn.Conv2d(seen, 2 * f, (1, reach))
            self.link, self.output = nn.Conv2d(2 * f, 2 * f, 1, bias=False), nn.Conv2d(f, f, 1)

        def forward(self, v, h):
            a = self.vertical(F.pad(v, (1, 1, 1, 0)))[:, :, :size]
            c = self.horizontal(F.pad(h, (1, 0)))[..., :size] + self.link(a)
            new_h = self.output(gate(c))
            return gate(a), new_h if self.first else h + new_h

    layers = nn.ModuleList([Layer("B" if i else "A") for i in range(case["depth"])])
    to_map, head = nn.Linear(case["latents"], size**2), nn.Conv2d(2 * f, 1, 1)
    z = torch.from_numpy(latents(case))

    def pixels():
        with torch.no_grad():
            x = torch.zeros(case["images"], 1, size, size)
            for i in range(n):
                v = h = torch.cat([x, to_map(z).reshape(-1, 1, size, size)], 1)
                for layer in layers:
                    v, h = layer(v, h)
                row, column = divmod(i, size)
                logits = head(torch.cat([v, h], 1))[..., row, column]
                x[..., row, column] = torch.bernoulli(logits.sigmoid())
            float(x.sum())
        return n

    return pixels


CONTESTANTS = {
    "PyTorch, full passes": Contestant(pytorch, packages=("torch",)),
    "full passes on JAX": Contestant(full_passes, "jax"),
    "full passes on TensorFlow": Contestant(full_passes, "tensorflow"),
    "vaekit on JAX": Contestant(vaekit, "jax"),
    "vaekit on TensorFlow": Contestant(vaekit, "tensorflow"),
}
GOALS = [Goal(f"vaekit on {backend}", f"full passes on {backend}", 1 / 20, CASE) for backend in ("JAX", "TensorFlow")]

if __name__ == "__main__":
    harness.main(__file__, CASES, CONTESTANTS, "ms a pixel", GOALS, rounds=5)
