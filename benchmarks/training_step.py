"""How long does a training step take, with everything that `fit` does around it?

The model of Burda et al. 2015 with one stochastic layer, 784-200-200-50 and back, float32, Adam, binary images.
"""

from types import SimpleNamespace

import harness
import numpy as np
import rivals
from harness import Contestant, Goal
from rivals import HIDDEN, LATENTS, PIXELS

CASES = {
    "k=50, batch 20": {"samples": 50, "batch": 20, "examples": 5_000},
    "k=1, batch 100": {"samples": 1, "batch": 100, "examples": 50_000},
    "k=1, batch 20": {"samples": 1, "batch": 20, "examples": 50_000},
}


def images(case):
    rng = np.random.default_rng(0)
    return (rng.random((case["examples"], PIXELS)) < 0.13).astype("float32")  # MNIST's share of white pixels


def pytorch(case):
    """The same model as plain PyTorch code: an epoch of shuffled batches, losses summed up on the way."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    torch.manual_seed(0)
    samples, size = case["samples"], case["batch"]

    def body(n):
        return nn.Sequential(nn.Linear(n, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, HIDDEN), nn.Tanh())

    trunk, mean, log_scale = body(PIXELS), nn.Linear(HIDDEN, LATENTS), nn.Linear(HIDDEN, LATENTS)
    decoder = nn.Sequential(body(LATENTS), nn.Linear(HIDDEN, PIXELS))
    networks = nn.ModuleList([trunk, mean, log_scale, decoder])
    adam = torch.optim.Adam(networks.parameters(), lr=1e-3, eps=1e-4)
    data = torch.from_numpy(images(case))

    def step(x):  # [B, 784]
        h = trunk(x)
        mu, log_sigma = mean(h), log_scale(h)
        eps = torch.randn(samples, size, LATENTS)
        z = mu + log_sigma.exp() * eps  # [S, B, 50]
        # log N(z; 0, I) − log N(z; μ, σ²), constants cancel
        log_w = (0.5 * (eps**2 - z**2) + log_sigma).sum(-1)  # [S, B]
        logits = decoder(z)  # [S, B, 784]
        targets = x.expand(samples, -1, -1)
        log_w = log_w - F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(-1)
        loss = -torch.logsumexp(log_w, 0).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        return loss.detach()

    def epoch():
        order, total = torch.randperm(len(data)), 0.0
        for start in range(0, len(data), size):
            total = total + step(data[order[start : start + size]])
        float(total)
        return len(data) // size

    return epoch


def vaekit(case):
    import vaekit as vk
    from vaekit.papers import burda2015

    x = images(case).reshape(-1, 28, 28, 1)
    data = SimpleNamespace(train=x, event_shape=x.shape[1:])
    objective = vk.objectives.IWAE(case["samples"]) if case["samples"] > 1 else vk.objectives.ELBO()
    model = burda2015.one_layer(data, objective, seed=0)

    def epoch():
        model.fit(x, batch_size=case["batch"], verbose=0)
        return len(x) // case["batch"]

    return epoch


def pythae(case):
    """Its VAE or IWAE in its own trainer's loop, without its progress bars and checkpoints."""
    import torch
    from pythae.models import IWAE, VAE, IWAEConfig, VAEConfig
    from torch.utils.data import DataLoader, TensorDataset

    settings = dict(input_dim=(PIXELS,), latent_dim=LATENTS, reconstruction_loss="bce")
    if case["samples"] > 1:
        model = IWAE(IWAEConfig(number_samples=case["samples"], **settings), *rivals.pythae_networks())
    else:
        model = VAE(VAEConfig(**settings), *rivals.pythae_networks())
    adam = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-4)
    data = torch.from_numpy(images(case)[: case["examples"] // 5])
    loader = DataLoader(TensorDataset(data), batch_size=case["batch"], shuffle=True)

    def epoch():
        total = 0.0
        for (x,) in loader:
            output = model({"data": x}, epoch=1, dataset_size=len(data))
            adam.zero_grad()
            output.loss.backward()
            adam.step()
            total += output.loss.item()
        return len(loader)

    return epoch


def products(case):
    """The matrix products of a step alone, forward and backward."""
    encoder = [(PIXELS, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, 2 * LATENTS)]
    decoder = [(LATENTS, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, PIXELS)]
    rows = case["batch"]
    layers = [(rows, a, b) for a, b in encoder] + [(rows * case["samples"], a, b) for a, b in decoder]
    return rivals.products(layers, [(n, a, b, a != PIXELS) for n, a, b in layers], times=200)


CONTESTANTS = {
    "PyTorch, eager": Contestant(pytorch, packages=("torch",)),
    "pythae": Contestant(pythae, packages=("torch", "pythae")),
    "vaekit on JAX": Contestant(vaekit, "jax"),
    "vaekit on TensorFlow": Contestant(vaekit, "tensorflow"),
    "matrix products alone": Contestant(products, packages=("jax",)),
}
GOALS = [
    *(Goal("vaekit on JAX", "PyTorch, eager", f, c) for c, f in zip(CASES, (0.8, 0.65, 0.4), strict=True)),
    *(Goal("vaekit on TensorFlow", "PyTorch, eager", 1.15, c) for c in CASES),
]

if __name__ == "__main__":
    harness.main(__file__, CASES, CONTESTANTS, "ms a step", GOALS, limit="matrix products alone", rounds=5)
