"""What several benchmarks compare vaekit with: the matrix products of a network alone, and pythae's networks."""

import time

HIDDEN, LATENTS, PIXELS = 200, 50, 784  # Burda et al. 2015


def products(layers, backward=(), times=100):
    """One repeat: the matrix products of layers and nothing else, by XLA, the quickest here.

    Args:
        layers: list of (n, a, b) for a product [n, a] [a, b].
        backward: those of `layers` whose gradients count too: (n, a, b, needed), x^T g and, if needed, g w^T.
        times: how often.
    """
    import jax

    keys = iter(jax.random.split(jax.random.key(0), 4 * (len(layers) + len(backward))))

    def normal(*shape):
        return jax.random.normal(next(keys), shape)

    forward = [(normal(n, a), normal(a, b)) for n, a, b in layers]
    slopes = [(normal(n, a), normal(a, b), normal(n, b)) for n, a, b, _ in backward]
    needed = [entry[-1] for entry in backward]

    @jax.jit
    def program(forward, slopes):
        gradients = [(x.T @ g, g @ w.T if need else 0.0) for (x, w, g), need in zip(slopes, needed, strict=True)]
        return [x @ w for x, w in forward], gradients

    def repeat():
        for _ in range(times):
            result = program(forward, slopes)
        jax.block_until_ready(result)
        return times

    return repeat


def quickest(repeats):
    """Of several repeats, that with the least time a unit."""

    def seconds(repeat):
        repeat()
        start = time.perf_counter()
        units = repeat()
        return (time.perf_counter() - start) / units

    return min(repeats, key=seconds)


def pythae_networks():
    """Encoder and decoder for pythae: 784-200-200-50 and back."""
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from torch import nn

    def body(n):
        return nn.Sequential(nn.Linear(n, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, HIDDEN), nn.Tanh())

    class Encoder(BaseEncoder):
        def __init__(self):
            super().__init__()
            self.body, self.mean, self.log_variance = body(PIXELS), *(nn.Linear(HIDDEN, LATENTS) for _ in range(2))

        def forward(self, x):
            h = self.body(x)
            return ModelOutput(embedding=self.mean(h), log_covariance=self.log_variance(h))

    class Decoder(BaseDecoder):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(body(LATENTS), nn.Linear(HIDDEN, PIXELS), nn.Sigmoid())

        def forward(self, z):
            return ModelOutput(reconstruction=self.layers(z))

    return Encoder(), Decoder()
