"""How long does log p(x) take, by importance sampling with 5000 samples of each test image?

Two models of binary images, 28×28, float32: that of Burda et al. 2015 with one stochastic layer, 784-200-200-50 and
back, and Tomczak & Welling's HVAE, two latents of 40 with 300 gated units in each layer and a VampPrior of 500
components. 1000 images, 100 in a batch; of the larger model 500 samples, and of plain PyTorch and pythae fewer images
(time is proportional to both). vaekit's time includes compiling its program, which every call does anew.
"""

import math
from types import SimpleNamespace

import harness
import numpy as np
import rivals
from harness import Contestant, Goal
from rivals import HIDDEN, LATENTS, PIXELS

BATCH = 100
GATED, UNITS, COMPONENTS = 300, 40, 500  # Tomczak & Welling
ONE, TWO = "VAE, 784-200-200-50", "HVAE with a VampPrior"
CASES = {
    ONE: {"hierarchical": False, "images": 1_000, "samples": 5_000},
    TWO: {"hierarchical": True, "images": 1_000, "samples": 500},
}


def images(case):
    rng = np.random.default_rng(0)
    return (rng.random((case["images"], PIXELS)) < 0.13).astype("float32")  # MNIST's share of white pixels


def pytorch(case):
    """The same models as plain PyTorch code: what depends on x alone once a batch, then samples in chunks."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    torch.manual_seed(0)

    class Gated(nn.Module):
        def __init__(self, n, units=GATED):
            super().__init__()
            self.both = nn.Linear(n, 2 * units)

        def forward(self, x):
            value, gate = self.both(x).chunk(2, -1)
            return value * gate.sigmoid()

    def log_normal(eps, log_sigma):  # of μ + σ ε, up to a constant that cancels
        return -(0.5 * eps**2 + log_sigma).sum(-1)

    def log_bernoulli(x, logits):
        return -F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").sum(-1)

    if case["hierarchical"]:

        def head(n):
            return nn.Linear(n, 2 * UNITS)

        encoder = nn.Sequential(Gated(PIXELS), Gated(GATED), head(GATED))
        q1_x, q1_z, q1 = Gated(PIXELS), Gated(UNITS), nn.Sequential(Gated(2 * GATED), head(GATED))
        p1 = nn.Sequential(Gated(UNITS), Gated(GATED), head(GATED))
        p_z1, p_z2, p_x = Gated(UNITS), Gated(UNITS), nn.Sequential(Gated(2 * GATED), nn.Linear(GATED, PIXELS))
        pseudo_inputs = 0.05 + 0.01 * torch.randn(COMPONENTS, PIXELS)

        def moments(parameters):
            mu, log_variance = parameters.chunk(2, -1)
            return mu, log_variance.clamp(-6, 2) / 2

        def prior():
            mu, log_sigma = moments(encoder(pseudo_inputs))
            precision = torch.exp(-2 * log_sigma)
            constants = -(0.5 * mu**2 * precision + log_sigma).sum(-1) - math.log(COMPONENTS)

            def log_prob(z):
                components = constants + z @ (mu * precision).T - 0.5 * z**2 @ precision.T
                return torch.logsumexp(components, -1)

            return log_prob

        def start(x):
            return x, moments(encoder(x)), q1_x(x), prior()

        def log_weights(x, q2, h, log_prior, samples):
            eps2, eps1 = torch.randn(samples, len(x), UNITS), torch.randn(samples, len(x), UNITS)
            mu2, log_sigma2 = q2
            z2 = mu2 + log_sigma2.exp() * eps2
            mu1, log_sigma1 = moments(q1(torch.cat([h.expand(samples, -1, -1), q1_z(z2)], -1)))
            z1 = mu1 + log_sigma1.exp() * eps1
            mean, log_scale = moments(p1(z2))
            log_p = log_prior(z2) + log_normal((z1 - mean) * torch.exp(-log_scale), log_scale)
            log_p = log_p + log_bernoulli(x, p_x(torch.cat([p_z1(z1), p_z2(z2)], -1)))
            return log_p - log_normal(eps2, log_sigma2) - log_normal(eps1, log_sigma1)

    else:

        def body(n):
            return [nn.Linear(n, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, HIDDEN), nn.Tanh()]

        encoder = nn.Sequential(*body(PIXELS), nn.Linear(HIDDEN, 2 * LATENTS))
        decoder = nn.Sequential(*body(LATENTS), nn.Linear(HIDDEN, PIXELS))

        def start(x):
            return x, *encoder(x).chunk(2, -1)

        def log_weights(x, mu, log_sigma, samples):
            eps = torch.randn(samples, len(x), LATENTS)
            z = mu + log_sigma.exp() * eps
            return log_bernoulli(x, decoder(z)) - 0.5 * (z**2).sum(-1) - log_normal(eps, log_sigma)

    data = torch.from_numpy(images(case)[:200])
    chunk = 10  # 1000 rows at a time: the quickest of 500 to 10,000

    @torch.inference_mode()
    def repeat():
        for x in data.split(BATCH):
            once = start(x)
            w = torch.cat([log_weights(*once, chunk) for _ in range(case["samples"] // chunk)]).double()
            (torch.logsumexp(w, 0) - math.log(len(w))).numpy()
        return len(data) * case["samples"]

    return repeat


def pythae(case):
    """`get_nll`: image by image. Batches of 1000 samples are quicker than its default of 100."""
    import torch
    from pythae.models import VAE, VAEConfig

    settings = VAEConfig(input_dim=(PIXELS,), latent_dim=LATENTS, reconstruction_loss="bce")
    model = VAE(settings, *rivals.pythae_networks()).eval()
    data = torch.from_numpy(images(case)[:50])

    @torch.inference_mode()
    def repeat():
        model.get_nll(data, n_samples=case["samples"], batch_size=1_000)
        return len(data) * case["samples"]

    return repeat


def vaekit(case):
    import vaekit as vk
    from vaekit.papers import burda2015, tomczak2017

    x = images(case).reshape(-1, 28, 28, 1)
    data = SimpleNamespace(train=x, event_shape=x.shape[1:], name="static_mnist")
    if case["hierarchical"]:
        model = tomczak2017.hvae(data, "vampprior", COMPONENTS, seed=0)
    else:
        model = burda2015.one_layer(data, seed=0)
    log_likelihood = vk.evaluation.log_likelihood

    def repeat():
        log_likelihood(model, x, samples=case["samples"], batch_size=BATCH, progress=False)
        return case["images"] * case["samples"]

    return repeat


def products(case):
    """The matrix products of the samples alone, in the quickest of some chunks."""
    if case["hierarchical"]:
        joined = [(2 * GATED, 2 * GATED), (GATED, 2 * UNITS)]
        shapes = [(UNITS, 2 * GATED), *joined]  # q(z1|x, z2)
        shapes += [(UNITS, 2 * GATED), (GATED, 2 * GATED), (GATED, 2 * UNITS)]  # p(z1|z2)
        shapes += [(UNITS, 2 * GATED), (UNITS, 2 * GATED), joined[0], (GATED, PIXELS)]  # p(x|z1, z2)
        shapes += [(UNITS, COMPONENTS), (UNITS, COMPONENTS)]  # p(z2)
    else:
        shapes = [(LATENTS, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, PIXELS)]

    def chunks(n):
        repeat = rivals.products([(n, a, b) for a, b in shapes], times=200 * case["samples"] // n)
        return lambda: n * repeat()

    return rivals.quickest([chunks(n) for n in (500, 1_000, 2_000, 5_000)])


CONTESTANTS = {
    "matrix products alone": Contestant(products, packages=("jax",)),
    "PyTorch": Contestant(pytorch, packages=("torch",)),
    "pythae": Contestant(pythae, packages=("torch", "pythae"), cases=(ONE,)),
    "vaekit on JAX": Contestant(vaekit, "jax"),
    "vaekit on TensorFlow": Contestant(vaekit, "tensorflow"),
}
GOALS = [
    Goal(f"vaekit on {backend}", "matrix products alone", factor, case)
    for case in CASES
    for backend, factor in (("JAX", 1.8), ("TensorFlow", 2.5))
]

if __name__ == "__main__":
    harness.main(__file__, CASES, CONTESTANTS, "µs a sample", GOALS, limit="matrix products alone", rounds=5)
