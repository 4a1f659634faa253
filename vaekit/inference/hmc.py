"""Hamiltonian Monte Carlo: samples of the true posterior p(z|x)."""

from typing import NamedTuple

import numpy as np
from keras import ops

from vaekit import backend
from vaekit.backend import tfd, tfp
from vaekit.batches import check_counts
from vaekit.layers import VariationalWeights
from vaekit.layers.over_time import OverTime
from vaekit.models.arrays import fits, row_count
from vaekit.models.factors import contains
from vaekit.models.features import completed


class Chains(NamedTuple):
    """The state of HMC: S chains for each of B examples.

    Attributes:
        z: list of latents `[S, B, ...]`.
        log_density: log f(z) `[S, B]`.
        gradient: of log f(z), a list shaped like z.
        step_size: ε `[B]`.
        acceptance: probability with which the last proposal was accepted, `[S, B]`.
    """

    z: list
    log_density: object
    gradient: list
    step_size: object
    acceptance: object


class HMC:
    r"""Transitions that leave a density f(z) invariant, by Hamiltonian Monte Carlo.

    With a momentum $v \sim \mathcal N(0, I)$ for each latent, the pair has the energy
    $H(z, v) = -\log f(z) + \tfrac12 \lVert v \rVert^2$. The leapfrog
    $v \leftarrow v + \tfrac ε2 \nabla \log f(z)$, $z \leftarrow z + ε v$, $v \leftarrow v + \tfrac ε2 \nabla \log f(z)$
    is reversible and preserves volume. Where L of them lead is accepted with probability $\min(1, e^{H - H'})$.

    Args:
        log_density: function of a list of latents `[S, B, ...]` that returns log f(z) `[S, B]`, up to a constant.
        leapfrog_steps: L.

    Source: Neal 2011.
    """

    def __init__(self, log_density, leapfrog_steps=4):
        self.log_density, self.leapfrog_steps = log_density, leapfrog_steps

    def init(self, z, step_size):
        """Starts `Chains` at a list of latents `[S, B, ...]` with step sizes `[B]`."""
        value, gradient = self._value_and_gradient(z)
        return Chains(list(z), value, gradient, step_size, ops.ones_like(value))

    def step(self, chains, seed):
        """Makes one proposal for each chain, and accepts or refuses it; `seed` is one of `vaekit.backend.seed`."""
        kick, coin = tfp.random.split_seed(seed, n=2)
        kicks = tfp.random.split_seed(kick, n=len(chains.z))
        v = [tfd.Normal(ops.zeros_like(z), 1.0).sample(seed=s) for z, s in zip(chains.z, kicks, strict=True)]
        size = [_over(chains.step_size, z) for z in chains.z]

        def leapfrog(_, state):
            z, v, _, gradient = state
            v = [a + e / 2 * g for a, e, g in zip(v, size, gradient, strict=True)]
            z = [a + e * b for a, e, b in zip(z, size, v, strict=True)]
            value, gradient = self._value_and_gradient(z)
            return z, [a + e / 2 * g for a, e, g in zip(v, size, gradient, strict=True)], value, gradient

        start = (chains.z, v, chains.log_density, chains.gradient)
        end = ops.fori_loop(0, self.leapfrog_steps, leapfrog, start)
        log_ratio = (end[2] - _kinetic(end[1])) - (start[2] - _kinetic(start[1]))  # H − H', [S, B]
        inside = ops.isfinite(end[2]) & ~ops.isnan(log_ratio)  # of the support; ∞ where the start was not
        log_ratio = ops.where(inside, log_ratio, -float("inf"))
        u = tfd.Uniform(ops.zeros_like(log_ratio), 1.0).sample(seed=coin)
        accepted = ops.log(u) < log_ratio

        def choose(new, old):
            return ops.where(ops.reshape(accepted, (*accepted.shape, *(1 for _ in new.shape[2:]))), new, old)

        z, gradient = ([choose(*pair) for pair in zip(end[i], start[i], strict=True)] for i in (0, 3))
        acceptance = ops.exp(ops.minimum(log_ratio, 0.0))
        return Chains(z, choose(end[2], start[2]), gradient, chains.step_size, acceptance)

    def adapted(self, chains, target_acceptance, rate):
        r"""Moves each example's step size towards an acceptance rate: $\log ε \leftarrow \log ε + r (\bar a - a^*)$."""
        mean = ops.mean(chains.acceptance, axis=0)  # [B]
        return chains._replace(step_size=chains.step_size * ops.exp(rate * (mean - target_acceptance)))

    def _value_and_gradient(self, z):
        value, gradient = backend.value_and_gradient(lambda *z: self.log_density(list(z)), *z)
        return value, list(gradient)


def _over(size, z):
    """Shapes step sizes `[B]` like latents `[S, B, ...]`: `[B, 1, ...]`."""
    return ops.reshape(size, (-1, *(1 for _ in z.shape[2:])))


def _kinetic(v):
    """½‖v‖² `[S, B]` of a list of momenta `[S, B, ...]`."""
    return sum(0.5 * ops.sum(ops.square(ops.reshape(a, (*a.shape[:2], -1))), axis=-1) for a in v)


def check_acceptance(target_acceptance):
    """Raises ValueError unless an acceptance rate that is aimed at can be reached."""
    if not 0 < target_acceptance < 1:
        raise ValueError(f"target_acceptance should lie between 0 and 1; received {target_acceptance!r}.")


def check_density(model):
    """Raises ValueError unless p(x, z) is one fixed density of continuous latents, whose gradient HMC can follow."""
    for factor in model.generative:
        if contains(factor.layer, VariationalWeights):
            raise ValueError(
                f"The factor of {factor.name!r} draws its weights anew at every call (VariationalWeights), so that "
                "log p(x, z) is no fixed density. Use a model with plain weights."
            )
    conditions = {name: ops.zeros((1, *model.event_shapes[name]), "float32") for name in model.conditions}
    values = completed(model, model.draw(1, conditions, seed=0))
    for factor in model.generative:
        if factor.name in model.latents:
            p = factor([values[name] for name in factor.given])
            p = p.steps if isinstance(p, OverTime) else p
            try:
                continuous = p.experimental_default_event_space_bijector() is not None
            except NotImplementedError:
                continuous = False
            if not continuous:
                raise ValueError(f"HMC needs continuous latents; {factor.name!r} has the distribution {p.name}.")


def joint_density(model, data):
    """Returns log p(x, z) `[S, B]` as a function of a list of latents, each `[S, B, ...]`."""
    given = model.given(data, sides="p")
    return lambda z: given.log_p(dict(zip(model.latents, z, strict=True)))


def prior_draws(model, data, samples, n, seed):
    """Draws latents from the prior for n rows of data: list of tensors `[S, n, ...]`."""
    conditions = {name: ops.repeat(data[name][None], samples, axis=0) for name in model.conditions}
    conditions = {name: ops.reshape(value, (samples * n, *value.shape[2:])) for name, value in conditions.items()}
    values = model.draw(samples * n, conditions, observed=False, seed=seed)
    return [ops.reshape(values[name], (samples, n, *values[name].shape[1:])) for name in model.latents]


def hmc(
    model,
    x,
    samples=100,
    burn_in=300,
    leapfrog_steps=4,
    thinning=1,
    step_size=0.1,
    target_acceptance=0.9,
    initial=None,
    seed=0,
):
    r"""Draws samples of the true posterior p(z|x) by Hamiltonian Monte Carlo, one chain for each example.

    Each chain adapts its own step size during burn-in, to the target acceptance rate.

    Args:
        model: a `LatentVariableModel`; only its generative side is used.
        x: data `[B, ...]`.
        samples: L, samples of each chain.
        burn_in: steps before the first sample; the step size adapts in the first four fifths of them, less and less.
        leapfrog_steps: integration steps for one proposal.
        thinning: steps from one sample to the next.
        step_size: where the adaptation starts.
        target_acceptance: acceptance rate aimed at.
        initial: dict of latents `[B, ...]` to start from; None: draws from the prior.
        seed: an int.

    Returns: dict of latents by name, arrays `[L, B, ...]`, and the acceptance rate of each chain, array `[B]`.

    Raises:
        ValueError: no latents or discrete ones, weights that are drawn anew at every call, settings out of range, other
            shapes of `initial` than the latents', or unusable data.

    Source: Kingma & Welling 2014, appendix D (4 leapfrog steps); Neal 2011; Andrieu & Thoms 2008 (adaptation).
    """
    model.require_latents("hmc")
    check_counts("hmc", samples=samples, leapfrog_steps=leapfrog_steps, thinning=thinning)
    check_counts("hmc", least=0, burn_in=burn_in)
    check_acceptance(target_acceptance)
    if not 0 < step_size < float("inf"):
        raise ValueError(f"hmc expects a positive step_size, 0.1 for instance; received {step_size!r}.")
    data = model.observe(x)
    check_density(model)
    n = row_count(data)
    if initial is None:
        start = prior_draws(model, data, 1, n, seed)
    else:
        _check_initial(model, initial, n)
        start = [ops.cast(initial[name], "float32")[None] for name in model.latents]

    def run(values, z, size, key):
        kernel = HMC(joint_density(model, values), leapfrog_steps)

        def burn(i, chains):
            chains = kernel.step(chains, backend.fold_in(key, i))
            rate = ops.where(i < int(0.8 * burn_in), (ops.cast(i, "float32") + 1) ** -0.6, 0.0)
            return kernel.adapted(chains, target_acceptance, rate)

        def move(chains, i):
            first = burn_in + thinning * i
            return ops.fori_loop(
                first, first + thinning, lambda j, chains: kernel.step(chains, backend.fold_in(key, j)), chains
            )

        chains = ops.fori_loop(0, burn_in, burn, kernel.init(z, size))
        return backend.scan(move, chains, samples, lambda chains: (chains.z, chains.acceptance))

    settings = ("hmc", samples, burn_in, leapfrog_steps, thinning, target_acceptance)
    program = model.program(settings, lambda: backend.compile(run, model.variables))
    with model.programs.lock:
        chain, acceptance = program(data, start, ops.full((n,), step_size, "float32"), backend.seed(seed))
    z = {name: ops.convert_to_numpy(part)[:, 0] for name, part in zip(model.latents, chain, strict=True)}  # [L, B, ...]
    return z, ops.convert_to_numpy(acceptance)[:, 0].mean(axis=0)


def _check_initial(model, initial, n):
    """Raises ValueError unless `initial` is a dict of all latents, `[n, ...]`."""
    shapes = {name: tuple(np.shape(value)) for name, value in initial.items()} if isinstance(initial, dict) else None
    if (
        shapes is None
        or set(shapes) != set(model.latents)
        or not all(shape[:1] == (n,) and fits(model, name, shape) for name, shape in shapes.items())
    ):
        expected = {name: (n, *model.event_shapes[name]) for name in model.latents}
        received = type(initial).__name__ if shapes is None else shapes
        raise ValueError(f"hmc starts from a dict of latents of the shapes {expected}; received {received}.")
