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


def pytorch(case, compiled=False):
    """The same model as plain PyTorch code: an epoch of shuffled batches, losses summed up on the way.

    A careful user compiles it (`torch.compile`, network, loss and gradient in one graph) and fuses Adam.
    """
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
    adam = torch.optim.Adam(networks.parameters(), lr=1e-3, eps=1e-4, fused=compiled)
    data = torch.from_numpy(images(case))

    def objective(x):  # [B, 784]
        h = trunk(x)
        mu, log_sigma = mean(h), log_scale(h)
        eps = torch.randn(samples, size, LATENTS)
        z = mu + log_sigma.exp() * eps  # [S, B, 50]
        # log N(z; 0, I) − log N(z; μ, σ²), constants cancel
        log_w = (0.5 * (eps**2 - z**2) + log_sigma).sum(-1)  # [S, B]
        logits = decoder(z)  # [S, B, 784]
        targets = x.expand(samples, -1, -1)
        log_w = log_w - F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(-1)
        return -torch.logsumexp(log_w, 0).mean()

    objective = torch.compile(objective, dynamic=False) if compiled else objective

    def step(x):
        loss = objective(x)
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


def pytorch_compiled(case):
    return pytorch(case, compiled=True)


def jax_by_hand(case):
    """The same model as JAX code without Keras: an epoch is one `lax.scan`, with Adam written out."""
    import jax
    import jax.numpy as jnp

    samples, size, x = case["samples"], case["batch"], jnp.asarray(images(case))
    sizes = {
        "encoder": [(PIXELS, HIDDEN), (HIDDEN, HIDDEN)],
        "heads": [(HIDDEN, LATENTS)] * 2,
        "decoder": [(LATENTS, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, PIXELS)],
    }
    keys = iter(jax.random.split(jax.random.key(0), 7))
    initial = {
        name: [(jax.random.uniform(next(keys), s, minval=-1) * (6 / sum(s)) ** 0.5, jnp.zeros(s[1])) for s in layers]
        for name, layers in sizes.items()
    }

    def loss(weights, x, key):  # x [B, 784]
        h = x
        for w, b in weights["encoder"]:
            h = jnp.tanh(h @ w + b)
        mu, log_sigma = (h @ w + b for w, b in weights["heads"])
        eps = jax.random.normal(key, (samples, size, LATENTS))
        z = mu + jnp.exp(log_sigma) * eps  # [S, B, 50]
        log_w = jnp.sum(0.5 * (eps**2 - z**2) + log_sigma, axis=-1)  # [S, B]
        *hidden, (w, b) = weights["decoder"]
        for v, a in hidden:
            z = jnp.tanh(z @ v + a)
        logits = z @ w + b  # [S, B, 784]
        log_w += jnp.sum(x * logits - jax.nn.softplus(logits), axis=-1)
        return -jnp.mean(jax.nn.logsumexp(log_w, axis=0))

    def step(state, batch):
        weights, m, v, t = state
        index, key = batch
        value, g = jax.value_and_grad(loss)(weights, x[index], key)
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, g)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g**2, v, g)
        rate = 1e-3 * jnp.sqrt(1 - 0.999 ** (t + 1)) / (1 - 0.9 ** (t + 1))
        weights = jax.tree.map(lambda w, m, v: w - rate * m / (jnp.sqrt(v) + 1e-4), weights, m, v)
        return (weights, m, v, t + 1), value

    @jax.jit
    def scan(state, key):
        n = len(x) // size
        order = jax.random.permutation(key, len(x))[: n * size].reshape(n, size)
        state, losses = jax.lax.scan(step, state, (order, jax.random.split(jax.random.fold_in(key, 1), n)))
        return state, jnp.mean(losses)

    zeros = jax.tree.map(jnp.zeros_like, initial)
    state, epochs = (initial, zeros, zeros, 0.0), iter(range(10**9))

    def epoch():
        nonlocal state
        state, value = scan(state, jax.random.key(next(epochs)))
        float(value)
        return len(x) // size

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
    "PyTorch, torch.compile": Contestant(pytorch_compiled, packages=("torch",)),
    "JAX by hand, lax.scan": Contestant(jax_by_hand, packages=("jax",)),
    "pythae": Contestant(pythae, packages=("torch", "pythae")),
    "vaekit on JAX": Contestant(vaekit, "jax"),
    "vaekit on TensorFlow": Contestant(vaekit, "tensorflow"),
    "matrix products alone": Contestant(products, packages=("jax",)),
}
GOALS = [
    *(Goal("vaekit on JAX", "PyTorch, eager", f, c) for c, f in zip(CASES, (0.45, 0.5, 0.22), strict=True)),
    *(Goal("vaekit on JAX", "PyTorch, torch.compile", 0.5, c) for c in CASES),
    *(Goal("vaekit on TensorFlow", "PyTorch, torch.compile", 0.9, c) for c in CASES),
]

if __name__ == "__main__":
    harness.main(__file__, CASES, CONTESTANTS, "ms a step", GOALS, limit="matrix products alone", rounds=5)
