"""Hamiltonian Monte Carlo: samples of the true posterior p(z|x)."""

from keras import ops

from vaekit import backend
from vaekit.backend import tfp
from vaekit.layers import VariationalWeights
from vaekit.models.arrays import row_count
from vaekit.models.factors import contains


def joint_density(model, data):
    """Returns log p(x, z) `[B]` as a function of the latents, each `[B, ...]`."""
    given = model.given(data, sides="p")
    return lambda *z: given.log_p({name: value[None] for name, value in zip(model.latents, z, strict=True)})[0]


def check_density(model):
    """Raises ValueError unless p(x, z) is one fixed density of continuous latents, whose gradient HMC can follow."""
    for factor in model.generative:
        if contains(factor.layer, VariationalWeights):
            raise ValueError(
                f"The factor of {factor.name!r} draws its weights anew at every call (VariationalWeights), so that "
                "log p(x, z) is no fixed density. Use a model with plain weights."
            )
    conditions = {name: ops.zeros((1, *model.event_shapes[name]), "float32") for name in model.conditions}
    values = model.draw(1, conditions, seed=0)
    for factor in model.generative:
        if factor.name in model.latents:
            p = factor([values[name] for name in factor.given])
            try:
                continuous = p.experimental_default_event_space_bijector() is not None
            except NotImplementedError:
                continuous = False
            if not continuous:
                raise ValueError(f"HMC needs continuous latents; {factor.name!r} has the distribution {p.name}.")


def prior_draws(model, n, data, seed):
    """Draws latents from the prior: dict of tensors `[n, ...]` by name."""
    values = model.draw(n, {name: data[name] for name in model.conditions}, observed=False, seed=seed)
    return {name: values[name] for name in model.latents}


def step_sizes(model, step_size, n):
    """Returns a step size for each example, `[n, 1, ...]`, that broadcasts over a latent: a list, one a latent."""
    return [ops.full((n, *(1 for _ in model.event_shapes[name])), step_size, "float32") for name in model.latents]


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

    Each chain adapts its own step size during burn-in (dual averaging), to the target acceptance rate.

    Args:
        model: a `LatentVariableModel`; only its generative side is used.
        x: data `[B, ...]`.
        samples: L, samples of each chain.
        burn_in: steps before the first sample; the step size adapts in the first four fifths of them.
        leapfrog_steps: integration steps for one proposal.
        thinning: steps from one sample to the next.
        step_size: where the adaptation starts.
        target_acceptance: acceptance rate aimed at.
        initial: dict of latents `[B, ...]` to start from; None: draws from the prior.
        seed: an int.

    Returns: dict of latents by name, arrays `[L, B, ...]`, and the acceptance rate of each chain, array `[B]`.

    Raises:
        ValueError: discrete latents, weights that are drawn anew at every call, or unusable data.

    Source: Kingma & Welling 2014, appendix D (4 leapfrog steps); Neal 2011; Hoffman & Gelman 2014 (dual averaging).
    """
    data = model.observe(x)
    check_density(model)
    n = row_count(data)
    initial = prior_draws(model, n, data, seed) if initial is None else initial
    state = [ops.cast(initial[name], "float32") for name in model.latents]

    def run(values, state, sizes, key):
        kernel = tfp.mcmc.HamiltonianMonteCarlo(joint_density(model, values), sizes, leapfrog_steps)
        kernel = tfp.mcmc.DualAveragingStepSizeAdaptation(
            kernel, num_adaptation_steps=max(1, int(0.8 * burn_in)), target_accept_prob=target_acceptance
        )
        return tfp.mcmc.sample_chain(
            num_results=samples,
            current_state=state,
            kernel=kernel,
            num_burnin_steps=burn_in,
            num_steps_between_results=thinning - 1,
            trace_fn=lambda _, results: results.inner_results.is_accepted,
            seed=key,
        )

    settings = ("hmc", samples, burn_in, leapfrog_steps, thinning, target_acceptance)
    program = model.program(settings, lambda: backend.compile(run, model.variables))
    with model.programs.lock:
        chain, accepted = program(data, state, step_sizes(model, step_size, n), backend.seed(seed))
    z = {name: ops.convert_to_numpy(value) for name, value in zip(model.latents, chain, strict=True)}  # [L, B, ...]
    return z, ops.convert_to_numpy(accepted).mean(axis=0)
