"""How long does the log-density of a VampPrior's mixture take, with all of its gradients?

50 samples for each of 100 examples, K = 500 components, 40 latent units, float32; gradients with respect to z, μ, σ and
the components' logits. Accuracy is `mixture_accuracy.py`'s question.
"""

import harness
import numpy as np
import rivals
from harness import Contestant, Goal

SAMPLES, BATCH, COMPONENTS, UNITS = 50, 100, 500, 40
CASE = "N=5000, K=500, D=40"
CASES = {CASE: {}}


def arrays():
    """z `[S, B, D]`, drawn from the mixture, and its parameters: μ, σ `[K, D]`, logits `[K]`."""
    rng = np.random.default_rng(0)
    loc, log_variance = rng.normal(size=(2, COMPONENTS, UNITS))
    scale, k = np.exp((log_variance - 4) / 2), rng.integers(COMPONENTS, size=(SAMPLES, BATCH))
    z = loc[k] + scale[k] * rng.normal(size=(SAMPLES, BATCH, UNITS))
    return [a.astype("float32") for a in (z, loc, scale, rng.normal(size=COMPONENTS))]


def pytorch(_):
    import torch
    from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

    values = [torch.from_numpy(a).requires_grad_() for a in arrays()]

    def repeat():
        z, loc, scale, logits = values
        p = MixtureSameFamily(Categorical(logits=logits), Independent(Normal(loc, scale), 1))
        total = p.log_prob(z).sum()
        torch.autograd.grad(total, values)
        return 1

    return repeat


def compiled(distribution, steps):
    """One repeat: value and gradients, as one program of Keras' backend, `steps` times over."""
    from keras import ops

    from vaekit import backend

    values = [ops.convert_to_tensor(a) for a in arrays()]

    def total(z, *parameters):
        return ops.sum(distribution(*parameters).log_prob(z))

    program = backend.compile(lambda *values: backend.value_and_gradient(total, *values))

    def repeat():
        for _ in range(steps):
            float(program(*values)[0])  # waits for the result
        return steps

    return repeat


def tfp(_):
    from vaekit.backend import tfd

    def distribution(loc, scale, logits):
        return tfd.MixtureSameFamily(tfd.Categorical(logits), tfd.Independent(tfd.Normal(loc, scale), 1))

    return compiled(distribution, steps=1)


def vaekit(_):
    from vaekit.distributions import NormalMixture

    return compiled(NormalMixture, steps=30)


def products(_):
    """The three products of matrices alone, [N, 2D] [2D, K] and its gradients', in float32."""
    n, d = SAMPLES * BATCH, 2 * UNITS
    return rivals.products([(n, d, COMPONENTS)], [(n, d, COMPONENTS, True)])


CONTESTANTS = {
    "MixtureSameFamily on TensorFlow": Contestant(tfp, "tensorflow"),
    "MixtureSameFamily on JAX": Contestant(tfp, "jax"),
    "MixtureSameFamily on PyTorch": Contestant(pytorch, packages=("torch",)),
    "vaekit on TensorFlow": Contestant(vaekit, "tensorflow"),
    "vaekit on JAX": Contestant(vaekit, "jax"),
    "matrix products alone": Contestant(products, packages=("jax",)),
}
GOALS = [
    Goal("vaekit on TensorFlow", "MixtureSameFamily on TensorFlow", 1 / 30, CASE),
    Goal("vaekit on JAX", "MixtureSameFamily on JAX", 1 / 100, CASE),
]

if __name__ == "__main__":
    harness.main(__file__, CASES, CONTESTANTS, "ms a step", GOALS, limit="matrix products alone", rounds=5)
