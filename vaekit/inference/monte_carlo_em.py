"""Monte Carlo EM: learning a decoder without an encoder."""

import keras
import numpy as np
from keras import ops
from tqdm.auto import tqdm

from vaekit import backend
from vaekit.batches import Batches, check_counts
from vaekit.inference.hmc import HMC, check_acceptance, check_density, joint_density, prior_draws
from vaekit.models.arrays import row_count


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
    r"""Learns the generative side of a model without an encoder by Monte Carlo EM, the baseline of Kingma & Welling.

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
    model.require_latents("monte_carlo_em")
    check_counts("monte_carlo_em", leapfrog_steps=leapfrog_steps, updates=updates, batch_size=batch_size)
    check_counts("monte_carlo_em", least=0, epochs=epochs)
    check_acceptance(target_acceptance)
    data = {name: ops.convert_to_numpy(value) for name, value in model.observe(x).items()}
    check_density(model)
    n = row_count(data)
    latents = [ops.convert_to_numpy(value[0]).copy() for value in prior_draws(model, data, 1, n, seed)]  # [N, ...]
    expectation = _expectation(model, leapfrog_steps)
    maximization = _maximization(model, keras.optimizers.get(optimizer))
    history = {"log_joint": [], "acceptance": [], "step_size": []}
    size, generator = 0.1, backend.seed_generator(seed)
    order = Batches(np.arange(n), batch_size, shuffle=True, seed=seed)
    for _ in tqdm(range(epochs), unit=" epochs", disable=not progress, leave=False):
        joint, rates = [], []
        for i in range(len(order)):
            (rows,) = order[i]
            batch = {name: ops.convert_to_tensor(value[rows]) for name, value in data.items()}
            z = [ops.convert_to_tensor(value[rows]) for value in latents]
            z, rate = expectation(batch, z, ops.full((len(rows),), size, "float32"), backend.seed(generator))
            for stored, value in zip(latents, z, strict=True):
                stored[rows] = ops.convert_to_numpy(value)
            values = {**batch, **dict(zip(model.latents, z, strict=True))}
            joint += [float(maximization(values)) for _ in range(updates)]
            rates.append(float(rate))
            size *= 1.02 if rates[-1] > target_acceptance else 0.98
        order.on_epoch_end()
        history["log_joint"].append(float(np.mean(joint)))
        history["acceptance"].append(float(np.mean(rates)))
        history["step_size"].append(size)
    return history


def _expectation(model, leapfrog_steps):
    """Compiles the E step, one HMC proposal: (data by name, list of latents `[B, ...]`, step sizes `[B]`, seed) →
    (latents, acceptance rate)."""

    def step(values, z, size, key):
        kernel = HMC(joint_density(model, values), leapfrog_steps)
        chains = kernel.step(kernel.init([value[None] for value in z], size), key)  # S = 1
        return [value[0] for value in chains.z], ops.mean(chains.acceptance)

    return backend.compile(step, model.variables)


def _maximization(model, optimizer):
    """Compiles the M step, one of the optimizer: data and latents `[B, ...]` by name → mean log p(x, z) with priors."""
    layers = list({id(f.layer): f.layer for f in model.generative}.values())
    weights = [variable for layer in layers for variable in layer.trainable_variables]
    optimizer.build(weights)

    def step(values):
        def loss():
            priors = sum(sum(layer.losses) for layer in layers)  # on the weights (MAP)
            return -ops.mean(model.log_p(values, training=True)) + priors

        value, gradient = backend.variables_gradient(loss, weights)
        backend.apply_gradient(optimizer, gradient, weights)
        return -value  # with the weights' prior

    return backend.compile(step, [*model.variables, *optimizer.variables])
