r"""Posterior inference beyond an encoder: refining its answer, Hamiltonian Monte Carlo, and learning with it."""

from dataclasses import dataclass
from numbers import Integral
from typing import Any

import keras
import numpy as np
from keras import ops
from tqdm.auto import tqdm

from vaekit import backend
from vaekit.backend import tfp
from vaekit.batches import Batches
from vaekit.layers import VariationalWeights
from vaekit.models.factors import contains, output_layer
from vaekit.models.given import Given
from vaekit.objectives.base import beta_at
from vaekit.objectives.state import deserialize, serialize


@keras.saving.register_keras_serializable("vaekit")
@dataclass
class Refinement:
    r"""Semi-amortized inference: gradient steps on the posterior's parameters, from where the encoder puts them.

    ```python
    vae = vk.VAE(encoder, decoder, refinement=vk.inference.Refinement(steps=10))
    ```

    The parameters λ of q(z; λ), the heads' outputs, start at λ(x). Each step ascends the bound at one fixed draw of
    the noise, each example for itself: $v \leftarrow \mu v + \mathrm{clip}(\nabla_\lambda \mathcal L)$,
    $\lambda \leftarrow \lambda + \eta v$. A model with a refinement has this posterior in all it does: training, which
    differentiates through the steps, evaluation, encoding. (The bound is then taken at fresh noise: at the noise that
    λ was fitted to it would be no bound.)

    Args:
        steps: T.
        learning_rate: η.
        momentum: μ.
        clip: greatest norm of an example's gradient, over all of its parameters; None: no clipping.
        samples: of z for an example, in each step.
        beta: weight of the KL while refining: a number, or a schedule of the step such as `WarmUp`.

    Raises:
        ValueError: settings out of range; when called, a posterior network whose distribution layer cannot be told.

    Source: Kim et al. 2018, algorithm 1; Dieng et al. 2019, section 5.3.
    """

    steps: int = 20
    learning_rate: float = 1.0
    momentum: float = 0.5
    clip: float | None = 5.0
    samples: int = 1
    beta: Any = 1.0

    def __post_init__(self):
        if not (isinstance(self.steps, Integral) and self.steps >= 1 and self.samples >= 1):
            raise ValueError(f"Refinement expects at least one step and one sample; received {self}.")
        if not (self.learning_rate > 0 and 0 <= self.momentum < 1 and (self.clip is None or self.clip > 0)):
            raise ValueError(
                f"Refinement expects learning_rate > 0, momentum in [0, 1) and clip > 0 (or None); received {self}."
            )

    def __call__(self, model, data, seed, training=False):
        """What to add to the posterior's parameters: dict by latent of dicts of tensors `[B, ...]`.

        Args:
            model: a `LatentVariableModel`.
            data: dict of observed tensors `[B, ...]`.
            seed: of the noise, from `vaekit.backend.seed`.
        """
        n = ops.shape(next(iter(data.values())))[0]
        shapes = {factor.name: self._shapes(factor) for factor in model.inference}
        offsets = keras.tree.map_shape_structure(lambda shape: ops.zeros((n, *shape), "float32"), shapes)
        beta = beta_at(model.step, self.beta)
        values = [(v, ops.convert_to_tensor(v)) for v in model.variables]
        with backend.Scope(values):  # what layers update is not kept
            given = Given(model, data, training)

        def bound(*flat):
            with backend.Scope(values):
                trace = given.refined(keras.tree.pack_sequence_as(offsets, flat)).draw(self.samples, seed=seed)
            return ops.sum(ops.mean(trace.weighted(beta), axis=0))  # each example's gradient is its own

        def step(_, state):
            parameters, velocity = state
            _, gradient = backend.value_and_gradient(bound, *parameters)
            velocity = [self.momentum * v + g for v, g in zip(velocity, self._clipped(gradient), strict=True)]
            return [p + self.learning_rate * v for p, v in zip(parameters, velocity, strict=True)], velocity

        start = keras.tree.flatten(offsets)
        end, _ = ops.fori_loop(0, self.steps, step, (start, [ops.zeros_like(p) for p in start]))
        return keras.tree.pack_sequence_as(offsets, end)

    def _shapes(self, factor):
        layer = output_layer(factor.layer)
        if layer is None:
            raise ValueError(
                f"Refinement moves the parameters of a distribution layer, but the network of {factor.name!r} "
                f"({factor.layer.name}) does not show one at its end. Use a Sequential or functional network."
            )
        return layer.parameter_shapes()

    def _clipped(self, gradient):
        if self.clip is None:
            return gradient
        squares = sum(ops.sum(ops.reshape(g * g, (ops.shape(g)[0], -1)), axis=1) for g in gradient)
        factor = ops.minimum(1.0, self.clip * ops.rsqrt(ops.maximum(squares, 1e-20)))  # [B]
        return [g * ops.reshape(factor, (-1, *(1 for _ in g.shape[1:]))) for g in gradient]

    def get_config(self):
        config = {name: value for name, value in vars(self).items()}
        return {**config, "beta": serialize(self.beta)}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "beta": deserialize(config["beta"])})


def _target(model, data):
    """log p(x, z) `[B]` as a function of the latents' parts, each `[B, ...]`."""
    given = model.given(data, sides="p")
    return lambda *z: given.log_p({name: part[None] for name, part in zip(model.latents, z, strict=True)})[0]


def _check(model):
    """HMC follows the gradient of one fixed density of continuous latents."""
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


def _initial(model, n, data, seed):
    """Latents drawn from the prior, arrays `[n, ...]`."""
    values = model.draw(n, {name: data[name] for name in model.conditions}, observed=False, seed=seed)
    return {name: values[name] for name in model.latents}


def _step_sizes(model, step_size, n):
    # one for each example, shaped to broadcast over its latent's axes
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
    r"""Samples of the true posterior p(z|x) by Hamiltonian Monte Carlo, one chain for each example.

    Each chain adapts its own step size during burn-in (dual averaging), to the target acceptance rate.

    Args:
        model: a `LatentVariableModel`; only its generative side is used.
        x: data `[B, ...]`.
        samples: L, kept samples of each chain.
        burn_in: steps before the first kept sample; the step size adapts in the first four fifths of them.
        leapfrog_steps: integration steps for one proposal.
        thinning: steps from one kept sample to the next.
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
    _check(model)
    n = len(next(iter(data.values())))
    initial = _initial(model, n, data, seed) if initial is None else initial
    state = [ops.cast(initial[name], "float32") for name in model.latents]

    def run(values, state, sizes, key):
        kernel = tfp.mcmc.HamiltonianMonteCarlo(_target(model, values), sizes, leapfrog_steps)
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
        chain, accepted = program(data, state, _step_sizes(model, step_size, n), backend.seed(seed))
    z = {name: ops.convert_to_numpy(part) for name, part in zip(model.latents, chain, strict=True)}
    return z, ops.convert_to_numpy(accepted).mean(axis=0)


def monte_carlo_em(
    model,
    x,
    optimizer,
    epochs=1,
    batch_size=100,
    leapfrog_steps=10,
    updates=5,
    target_acceptance=0.9,
    seed=0,
    progress=True,
):
    r"""Monte Carlo EM: learns the generative side of a model without an encoder, the baseline of Kingma & Welling.

    For each minibatch, E: one HMC proposal moves the stored latents of its examples towards p(z|x); M: some gradient
    steps on $-\log p(x, z)$ with them. Latents persist from epoch to epoch; the step size follows the acceptance rate.

    Args:
        model: a `LatentVariableModel`; its inference side is neither used nor trained.
        x: data `[N, ...]`; dynamically binarized data are used in their fixed draw.
        optimizer: a Keras optimizer.
        epochs, batch_size: as in Keras.
        leapfrog_steps, updates: of each E and M step; the paper's are 10 and 5.
        target_acceptance: the step size grows by 2 % when more proposals are accepted, else shrinks by 2 %.
        seed: an int.
        progress: show a progress bar.

    Returns: dict of lists, a value for each epoch: `"log_joint"`, the mean of log p(x, z) at the sampled latents,
        weight priors included (nats; E log p(x, z) under p(z|x) is log p(x) less an entropy, so it is no bound on it);
        `"acceptance"`, `"step_size"`.

    Raises:
        ValueError: as for `hmc`.

    Source: Kingma & Welling 2014, section 5 and appendix E.
    """
    data = {name: ops.convert_to_numpy(value) for name, value in model.observe(x).items()}
    _check(model)
    n = len(next(iter(data.values())))
    latents = {name: ops.convert_to_numpy(value).copy() for name, value in _initial(model, n, data, seed).items()}
    layers = list({id(f.layer): f.layer for f in model.generative}.values())
    weights = [variable for layer in layers for variable in layer.trainable_variables]
    optimizer = keras.optimizers.get(optimizer)
    optimizer.build(weights)

    def expectation(values, state, size, key):
        kernel = tfp.mcmc.HamiltonianMonteCarlo(_target(model, values), size, leapfrog_steps)
        state, results = kernel.one_step(state, kernel.bootstrap_results(state), seed=key)
        return state, ops.mean(ops.cast(results.is_accepted, "float32"))

    def maximization(values):
        def loss():
            priors = sum(sum(layer.losses) for layer in layers)  # on the weights (MAP)
            return -ops.mean(model.log_p(values, training=True)) + priors

        value, gradient = backend.variables_gradient(loss, weights)
        backend.apply_gradient(optimizer, gradient, weights)
        return -value  # with the weights' prior

    expectation = backend.compile(expectation, model.variables)
    maximization = backend.compile(maximization, [*model.variables, *optimizer.variables])

    history = {"log_joint": [], "acceptance": [], "step_size": []}
    size, generator = 0.1, backend.seed_generator(seed)
    order = Batches(np.arange(n), batch_size, shuffle=True, seed=seed)
    for _ in tqdm(range(epochs), unit=" epochs", disable=not progress, leave=False):
        joint, rates = [], []
        for i in range(len(order)):
            (rows,) = order[i]
            state = [ops.convert_to_tensor(latents[name][rows]) for name in model.latents]
            sizes = [ops.convert_to_tensor(s) for s in _step_sizes(model, size, len(rows))]
            batch = {name: ops.convert_to_tensor(value[rows]) for name, value in data.items()}
            state, rate = expectation(batch, state, sizes, backend.seed(generator))
            for name, value in zip(model.latents, state, strict=True):
                latents[name][rows] = ops.convert_to_numpy(value)
            values = {**batch, **dict(zip(model.latents, state, strict=True))}
            joint += [float(maximization(values)) for _ in range(updates)]
            rates.append(float(rate))
            size *= 1.02 if rates[-1] > target_acceptance else 0.98
        order.on_epoch_end()
        history["log_joint"].append(float(np.mean(joint)))
        history["acceptance"].append(float(np.mean(rates)))
        history["step_size"].append(size)
    return history
