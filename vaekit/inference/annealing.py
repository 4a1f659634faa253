"""Annealed importance sampling: from a distribution that can be drawn from to the posterior, in small steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import NamedTuple

import numpy as np
from keras import ops

from vaekit import backend
from vaekit.inference.hmc import HMC, Chains, check_acceptance, check_density, prior_draws
from vaekit.models.arrays import row_count

PILOT_CHAINS = 4  # for each example, from which step sizes are found
PILOT_STEPS = 50  # of them before the path begins


class Annealed(NamedTuple):
    """The state of annealed importance sampling.

    Attributes:
        chains: `vaekit.inference.hmc.Chains`, S for each of B examples.
        log_weight: log w `[S, B]`.
    """

    chains: Chains
    log_weight: object


@dataclass
class AIS:
    r"""Annealed importance sampling, forwards to the posterior or backwards from it.

    Between a start s(z) that can be drawn from and p(x, z) lies the geometric path
    $\log f_t(z) = (1 - β_t) \log s(z) + β_t \log p(x, z)$, $0 = β_0 < … < β_T = 1$. Each chain is drawn from s; at each
    step its log-weight grows by $(β_t - β_{t-1}) (\log p(x, z) - \log s(z))$, and then z moves by a transition of HMC
    that leaves $f_t$ invariant. So $\mathbb E\,w = p(x)$: the log of a mean of weights is a stochastic lower bound. The
    same steps along the reversed path, from a draw of p(z|x), have $\mathbb E\,w = 1 / p(x)$.

    Step sizes are found before, one for each example and step, by a few chains of their own; held fixed from then on,
    they leave the expectations exact.

    Args:
        distributions: T.
        leapfrog_steps: of each transition.
        schedule: of β: `"sigmoid"`, slow at both ends: $β_t ∝ σ(4 (2t/T - 1))$, shifted and scaled to end in 0 and 1;
            `"linear"`; or T + 1 increasing numbers from 0 to 1.
        start: `"prior"`, s(z) = p(z), or `"encoder"`, s(z) = q(z|x).
        target_acceptance: acceptance rate to which step sizes are tuned.

    Raises:
        ValueError: settings out of range.

    Source: Neal 2001; Wu et al. 2017 (schedule, HMC); Grosse et al. 2015 (backwards).
    """

    distributions: int = 1000
    leapfrog_steps: int = 10
    schedule: str | Sequence[float] = "sigmoid"
    start: str = "prior"
    target_acceptance: float = 0.65

    def __post_init__(self):
        for name in ("distributions", "leapfrog_steps"):
            if not (isinstance(getattr(self, name), Integral) and getattr(self, name) >= 1):
                raise ValueError(f"AIS expects {name} to be an integer, 1 or more; received {getattr(self, name)!r}.")
        if self.start not in ("prior", "encoder"):
            raise ValueError(f'AIS starts from "prior" or "encoder"; received start={self.start!r}.')
        check_acceptance(self.target_acceptance)
        self.inverse_temperatures()

    def inverse_temperatures(self):
        """Computes β, array `[T + 1]` from 0 to 1."""
        t = np.linspace(0, 1, self.distributions + 1)
        if isinstance(self.schedule, str):
            if self.schedule not in ("sigmoid", "linear"):
                raise ValueError(f'schedule should be "sigmoid", "linear", or numbers; received {self.schedule!r}.')
            s = 1 / (1 + np.exp(-4 * (2 * t - 1))) if self.schedule == "sigmoid" else t
            return (s - s[0]) / (s[-1] - s[0])
        beta = np.asarray(self.schedule, "float64")
        if beta.shape != t.shape or beta[0] != 0 or beta[-1] != 1 or (np.diff(beta) < 0).any():
            raise ValueError(
                f"A schedule for {self.distributions} distributions has {len(t)} increasing numbers from 0 to 1; "
                f"received {beta.size} of them, {beta.min(initial=0):g} to {beta.max(initial=0):g}."
            )
        return beta

    # ---- one step ----

    def init(self, ends, z, step_size, beta=0.0):
        """Starts `Annealed` chains with weight 1.

        Args:
            ends: function of a list of latents `[S, B, ...]`: log s(z) and log p(x, z) − log s(z), `[S, B]` each.
            z: such latents, drawn from where the path begins, β = `beta`.
            step_size: ε of the HMC transitions, `[B]`.
        """
        return Annealed(self._kernel(ends, beta).init(z, step_size), ops.zeros(z[0].shape[:2]))

    def step(self, ends, state, before, beta, seed):
        """Weighs chains for the way from β = `before` to `beta`, then moves them by one transition that belongs there.

        Args:
            ends: as for `init`.
            seed: one of `vaekit.backend.seed`.
        """
        log_weight = state.log_weight + (beta - before) * ends(state.chains.z)[1]
        kernel = self._kernel(ends, beta)
        chains = kernel.step(kernel.init(state.chains.z, state.chains.step_size), seed)
        return Annealed(chains, log_weight)

    def _kernel(self, ends, beta):
        """Makes the transition that leaves s(z)^(1 − β) p(x, z)^β invariant."""

        def log_density(z):
            log_start, log_ratio = ends(z)
            return log_start + beta * log_ratio

        return HMC(log_density, self.leapfrog_steps)

    # ---- the whole path ----

    def tune(self, model, data, seed=0):
        """Finds step sizes, array `[T + 1, B]`, with a few chains for each of B examples: a dict of arrays by name."""
        n = row_count(data)

        def run(values, beta, key):
            given, ends = self._given(model, values)
            first, rest = backend.seeds(key, 2)
            z = self._start(model, given, PILOT_CHAINS, n, first)
            kernel = self._kernel(ends, 0.0)

            def settle(i, chains):
                chains = kernel.step(chains, backend.fold_in(first, i))
                return kernel.adapted(chains, self.target_acceptance, 0.3)

            def step(state, i):
                state = self.step(ends, state, beta[i], beta[i + 1], backend.fold_in(rest, i))
                return state._replace(chains=kernel.adapted(state.chains, self.target_acceptance, 0.2))

            chains = ops.fori_loop(0, PILOT_STEPS, settle, kernel.init(z, ops.full((n,), 0.2)))
            state = Annealed(chains, ops.zeros(z[0].shape[:2]))
            return backend.scan(step, state, self.distributions, lambda state: state.chains.step_size)  # [T, B]

        program = self._program(model, "tune", n, run)
        with model.programs.lock:
            sizes = ops.convert_to_numpy(program(data, self._beta(), backend.seed(seed)))
        return np.concatenate([sizes[:1], sizes])

    def forward(self, model, data, sizes, samples=16, seed=0):
        r"""Anneals from s(z) to p(z|x).

        Args:
            model: a `LatentVariableModel` with continuous latents.
            data: dict of tensors `[B, ...]` by variable name.
            sizes: step sizes `[T + 1, B]`, from `tune`.
            samples: S.
            seed: an int, or a seed of `vaekit.backend`.

        Returns: log w, array `[S, B]`, where $\mathbb E\,w = p(x)$.
        """
        n, (first, rest) = row_count(data), backend.seeds(seed, 2)

        def draw(values, key):
            return self._start(model, self._given(model, values)[0], samples, n, key)

        with model.programs.lock:
            z = self._program(model, "draw", (samples, n), draw)(data, first)
        return self._anneal(model, data, z, self._beta(), sizes, rest)

    def reverse(self, model, data, z, sizes, samples=16, seed=0):
        r"""Anneals from the posterior back to s(z).

        Args:
            model, data, sizes, samples, seed: as for `forward`.
            z: dict of latents by name, `[B, ...]`, drawn from the posterior: those that the data were simulated from.

        Returns: log w, array `[S, B]`, where $\mathbb E\,w = 1 / p(x)$.
        """
        z = [ops.repeat(ops.cast(z[name], "float32")[None], samples, axis=0) for name in model.latents]
        return self._anneal(model, data, z, self._beta()[::-1], sizes[::-1], backend.seed(seed))

    def _anneal(self, model, data, z, beta, sizes, key):
        """Goes along β from z, a list of latents `[S, B, ...]`: log w, array `[S, B]`."""

        def run(values, z, beta, sizes, key):
            _, ends = self._given(model, values)

            def step(i, state):
                state = state._replace(chains=state.chains._replace(step_size=sizes[i + 1]))
                return self.step(ends, state, beta[i], beta[i + 1], backend.fold_in(key, i))

            state = self.init(ends, z, sizes[0], beta[0])
            return ops.fori_loop(0, self.distributions, step, state).log_weight

        program = self._program(model, "anneal", tuple(z[0].shape[:2]), run)
        with model.programs.lock:
            return ops.convert_to_numpy(program(data, z, beta, ops.cast(sizes, "float32"), key))

    def _given(self, model, values):
        """The model given data (a refinement by the same noise each time), and the function `ends` of its path."""
        encoder = self.start == "encoder"
        given = model.given(values, sides="pq" if encoder else "p", seed=backend.seed(0))

        def ends(z):
            z = dict(zip(model.latents, z, strict=True))
            terms = given.log_factors(z)
            log_p = sum(terms.values())
            log_start = given.log_q(z) if encoder else sum(terms[name] for name in model.latents)
            return log_start, log_p - log_start

        return given, ends

    def _start(self, model, given, samples, n, key):
        """Draws from s(z): a list of latents `[S, B, ...]`."""
        if self.start == "prior":
            return prior_draws(model, given.data, samples, n, key)
        z = given.draw(samples, detach=True, seed=key).values
        return [z[name] for name in model.latents]

    def _beta(self):
        return ops.cast(self.inverse_temperatures(), "float32")

    def _program(self, model, name, shape, run):
        settings = ("ais", name, shape, self.distributions, self.leapfrog_steps, self.start, self.target_acceptance)

        def make():
            check_density(model)
            return backend.compile(run, model.variables)

        return model.program(settings, make)
