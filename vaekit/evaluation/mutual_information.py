r"""The KL of the ELBO as mutual information of latents and data, and aggregate KL."""

import math
from dataclasses import dataclass

import numpy as np
from keras import ops
from tqdm.auto import tqdm

from vaekit import backend
from vaekit.batches import check_counts
from vaekit.evaluation.errors import standard_error
from vaekit.models.arrays import row_batches, row_count
from vaekit.models.data import fixed_arrays
from vaekit.models.features import with_pasts
from vaekit.models.given import Given
from vaekit.models.trace import fold, tile
from vaekit.names import variable

NUMBERS = 2_500_000  # float32 numbers of pairs (z, x) at a time: 10 MB


@dataclass(frozen=True)
class Information:
    r"""ELBO and KL with their parts, means over N examples, in nats.

    Attributes:
        elbo: reconstruction − kl.
        reconstruction: $\mathbb E_q \log p(x|z)$.
        kl: $\mathrm{KL}(q(z|x) \| p(z))$ = mutual_information + aggregate_kl.
        mutual_information: $I_q(x; z)$ between the index of an example and its z, at most ln N.
        aggregate_kl: $\mathrm{KL}(q(z) \| p(z))$ of $q(z) = \frac1N \sum_n q(z|x_n)$, the aggregate posterior.
        standard_errors: dict of the five's standard errors by name, for new data: std / √N.
        examples, samples: N and S, samples of each example.
    """

    elbo: float
    reconstruction: float
    kl: float
    mutual_information: float
    aggregate_kl: float
    standard_errors: dict
    examples: int
    samples: int

    @property
    def ceiling(self):
        """The most that mutual information can be with N examples, ln N, in nats; near it, N is what is measured."""
        return math.log(self.examples)

    def __repr__(self):
        def text(name):
            return f"{getattr(self, name):.2f} ± {self.standard_errors[name]:.2f}"

        return (
            f"ELBO {text('elbo')} = reconstruction {text('reconstruction')} − KL {text('kl')}; "
            f"KL = mutual information {text('mutual_information')} (ceiling ln N = {self.ceiling:.2f}) "
            f"+ KL(q(z)‖p(z)) {text('aggregate_kl')}; nats, {self.examples} examples"
        )


def information(model, x, samples=1, batch_size=500, seed=0, progress=True):
    r"""Splits the KL of the ELBO into mutual information and the KL from the aggregate posterior to the prior.

    $$\frac1N \sum_n \mathrm{KL}(q(z|x_n) \| p(z)) = I_q(n; z) + \mathrm{KL}(q(z) \| p(z)), \quad
    q(z) = \frac1N \sum_n q(z|x_n)$$

    estimated at $z \sim q(z|x_n)$ with q(z) summed over all N examples. With several latents z is all of them together.
    The index n is known from z to ln N nats at the most, so mutual information has this ceiling. Each sample meets
    each example, $N^2 S$ pairs; where a factor of q is given data and latents (q(z1|x, z2)), its network runs on
    every pair, and a thousand examples are many. (The terms of mutual information and aggregate KL share q(z), so that
    their standard errors, which take them as independent, are approximate.)

    Args:
        model: a `LatentVariableModel`.
        x: data `[N, ...]`.
        samples: S, samples of z for each example.
        batch_size: examples at a time.
        seed: an int; the same one gives the same estimate.
        progress: show a progress bar.

    Returns: `Information`.

    Raises:
        ValueError: unusable data, or a prior that is given data or conditions: an aggregate posterior needs one p(z).

    Source: Hoffman & Johnson 2016, ELBO surgery; Dieng et al. 2019, section 4.
    """
    model.require_latents("information")
    check_counts("information", samples=samples, batch_size=batch_size)
    for factor in model.generative:
        if factor.name in model.latents and not set(map(variable, factor.given)) <= set(model.latents):
            raise ValueError(
                f"information compares one aggregate posterior with one prior; here the prior of {factor.name!r} is "
                f"given {factor.given}, so that each example has its own. What z says beside that is its KL: "
                "vaekit.evaluation.terms, and of sequences vaekit.evaluation.by_step."
            )
    if model.refinement is not None and any(_parents(model, factor)[0] for factor in model.inference):
        raise ValueError(
            "information of a refined model needs posteriors that are given data alone; here one is given latents, and "
            "would have to be refined anew for every pair of examples."
        )
    data = fixed_arrays(model, x)
    n = row_count(data)
    batch_size = min(batch_size, n)
    with tqdm(total=2 * n, unit=" examples", disable=not progress, leave=False) as bar:
        z, (log_q, log_prior, reconstruction), offsets = _draws(model, data, samples, batch_size, seed, bar)
        log_sum = _log_sum_q(model, data, z, offsets, batch_size, bar)  # [S·N]

    log_aggregate = log_sum.reshape(samples, n) - math.log(n)  # log q(z), [S, N]
    terms = {
        "elbo": reconstruction - log_q + log_prior,
        "reconstruction": reconstruction,
        "kl": log_q - log_prior,
        "mutual_information": log_q - log_aggregate,
        "aggregate_kl": log_aggregate - log_prior,
    }
    terms = {name: term.mean(axis=0) for name, term in terms.items()}  # [N]
    errors = {name: standard_error(term) for name, term in terms.items()}
    means = {name: float(term.mean()) for name, term in terms.items()}
    return Information(**means, standard_errors=errors, examples=n, samples=samples)


def _draws(model, data, samples, batch_size, seed, bar):
    """Draws z of all data, dict of `[S, N, ...]`; log q(z|x), log p(z) and log p(x|z), array `[3, S, N]`; and a list of
    a refinement's offsets for each batch."""
    generator = backend.seed_generator(seed)

    def draw(values):
        given = model.given(values, seed=generator)
        trace = given.draw(samples, seed=generator)
        log_q, log_prior = (sum(log[name] for name in model.latents) for log in (trace.log_q, trace.log_p))  # [S, B]
        z = {name: trace.values[name] for name in model.latents}  # [S, B, ...]
        return z, (log_q, log_prior, trace.log_weights(beta=0)), given.offsets

    draw = backend.compile(draw, [*model.variables, generator.state])
    parts, densities, refined = [], [], []
    for batch, count in row_batches(data, batch_size, full=True):
        z, terms, offsets = draw(batch)
        refined.append(offsets)
        parts.append({name: ops.convert_to_numpy(value)[:, :count] for name, value in z.items()})
        densities.append(np.array([ops.convert_to_numpy(term)[:, :count] for term in terms], "float64"))
        bar.update(count)
    z = {name: np.concatenate([part[name] for part in parts], axis=1) for name in model.latents}
    return z, np.concatenate(densities, axis=-1), refined


def _log_sum_q(model, data, z, refined, batch_size, bar):
    """log Σ_n q(z|x_n) at all samples z `[S, N, ...]`, array `[S·N]`."""
    log_sum_batch = backend.compile(_log_sum_batch(model), model.variables)
    n = row_count(data)
    blocks = _blocks(model, z, batch_size)
    log_sum = np.full(next(iter(z.values())).shape[0] * n, -np.inf)
    for (batch, count), offsets in zip(row_batches(data, batch_size, full=True), refined, strict=True):
        mask = np.where(np.arange(batch_size) < count, 0, -np.inf).astype("float32")  # [B]
        part = ops.convert_to_numpy(log_sum_batch(batch, offsets, ops.convert_to_tensor(mask), blocks))  # [K, Z]
        log_sum = np.logaddexp(log_sum, part.reshape(-1)[: len(log_sum)])
        bar.update(count)
    return log_sum


def _parents(model, factor):
    """Returns whether a factor is given latents, and whether it is given data."""
    latent = [variable(name) in model.latents for name in factor.given]
    return any(latent), not all(latent)


def _blocks(model, z, batch_size):
    """Splits samples `[S, N, ...]` into blocks `[K, Z, ...]`, the last one filled up: Z·batch_size pairs fit memory."""
    paired = any(all(_parents(model, factor)) for factor in model.inference)
    names = (*model.latents, *model.data_names) if paired else model.latents
    numbers = batch_size * sum(math.prod(model.event_shapes[name]) for name in names)
    z = {name: value.reshape(-1, *value.shape[2:]) for name, value in z.items()}  # [S·N, ...]
    n = row_count(z)
    size = min(n, max(1, NUMBERS // numbers))
    index = np.minimum(np.arange(math.ceil(n / size) * size), n - 1).reshape(-1, size)  # [K, Z]
    return {name: ops.cast(value[index], "float32") for name, value in z.items()}


def _log_sum_batch(model):
    r"""Makes the function $\log \sum_m q(z|x_m)$ `[K, Z]` of data `[M, ...]`, a refinement's offsets (or None), a mask
    `[M]` (0 or −∞), and z `[K, Z, ...]`."""

    def log_sum(values, offsets, mask, blocks):
        given = Given(model, values, sides="q", offsets=offsets)
        encodings = {f.name: given.posterior(f, {}) for f in model.inference if not _parents(model, f)[0]}
        m = mask.shape[0]

        def block(z):  # [Z, ...]
            total = mask[None]  # [1, M], then [Z, M]
            for factor in model.inference:
                value = z[factor.name]
                of_latents, of_data = _parents(model, factor)
                if not of_latents:
                    pairs = ops.broadcast_to(value[:, None], (value.shape[0], m, *value.shape[1:]))  # [Z, M, ...]
                    log_q = encodings[factor.name].log_prob(pairs)  # [Z, M]
                elif not of_data:
                    parents = with_pasts(z, factor.given)
                    log_q = factor([parents[name] for name in factor.given]).log_prob(value)[:, None]  # [Z, 1]
                else:  # every z with every x
                    each = {name: ops.repeat(v, m, axis=0) for name, v in z.items()}  # [Z·M, ...]
                    each |= {name: fold(tile(v, value.shape[0])) for name, v in given.data.items()}
                    each = with_pasts(each, factor.given)
                    log_q = factor([each[name] for name in factor.given]).log_prob(each[factor.name])  # [Z·M]
                    log_q = ops.reshape(log_q, (-1, m))  # [Z, M]
                total = total + log_q
            return ops.logsumexp(total, axis=1)  # [Z]

        return ops.map(block, blocks)

    return log_sum
