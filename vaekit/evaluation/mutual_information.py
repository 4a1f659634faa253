r"""How much latents tell about the data: the KL of the ELBO, split into mutual information and aggregate KL."""

import math
from dataclasses import dataclass

import numpy as np
from keras import ops
from tqdm.auto import tqdm

from vaekit import backend
from vaekit.batches import check_counts
from vaekit.evaluation.rows import data_arrays, rows, standard_error
from vaekit.models.given import Given

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
    r"""ELBO, and its KL as mutual information and KL from the aggregate posterior to the prior.

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
    check_counts("information", samples=samples, batch_size=batch_size)
    for factor in model.generative:
        if factor.name in model.latents and not set(factor.given) <= set(model.latents):
            raise ValueError(
                f"information compares one aggregate posterior with one prior; here the prior of {factor.name!r} is "
                f"given {factor.given}, so that each example has its own."
            )
    if model.refinement is not None and any(_given(model, factor)[0] for factor in model.inference):
        raise ValueError(
            "information of a refined model needs posteriors that are given data alone; here one is given latents, and "
            "would have to be refined anew for every pair of examples."
        )
    data, n = data_arrays(model, x)
    batch_size = min(batch_size, n)
    generator = backend.seed_generator(seed)

    def draw(values):
        given = model.given(values, seed=generator)
        trace = given.draw(samples, seed=generator)
        log_q, log_prior = (sum(log[name] for name in model.latents) for log in (trace.log_q, trace.log_p))
        z = {name: trace.values[name] for name in model.latents}
        return z, (log_q, log_prior, trace.log_weights(beta=0)), given.offsets

    draw = backend.compile(draw, [*model.variables, generator.state])
    sum_encodings = backend.compile(_sum_encodings(model), model.variables)
    starts = range(0, n, batch_size)
    with tqdm(total=2 * n, unit=" examples", disable=not progress, leave=False) as bar:
        drawn, densities, refined = [], [], []
        for start in starts:
            batch, count = rows(data, start, batch_size)
            z, terms, offsets = draw(batch)
            refined.append(offsets)
            drawn.append({name: ops.convert_to_numpy(value)[:, :count] for name, value in z.items()})
            densities.append(np.array([ops.convert_to_numpy(term)[:, :count] for term in terms], "float64"))
            bar.update(count)
        log_q, log_prior, reconstruction = np.concatenate(densities, axis=-1)  # each [S, N]
        blocks = _blocks(
            model, {k: np.concatenate([part[k] for part in drawn], axis=1) for k in model.latents}, batch_size
        )
        log_sum = np.full(samples * n, -np.inf)  # log Σ_n q(z|x_n) at all samples
        for start, offsets in zip(starts, refined, strict=True):
            batch, count = rows(data, start, batch_size)
            mask = np.where(np.arange(batch_size) < count, 0, -np.inf).astype("float32")
            part = ops.convert_to_numpy(sum_encodings(batch, offsets, ops.convert_to_tensor(mask), blocks))
            log_sum = np.logaddexp(log_sum, part.reshape(-1)[: samples * n])
            bar.update(count)

    log_aggregate = log_sum.reshape(samples, n) - math.log(n)  # log q(z)
    terms = {
        "elbo": reconstruction - log_q + log_prior,
        "reconstruction": reconstruction,
        "kl": log_q - log_prior,
        "mutual_information": log_q - log_aggregate,
        "aggregate_kl": log_aggregate - log_prior,
    }
    terms = {name: term.mean(axis=0) for name, term in terms.items()}  # [N]
    errors = {name: standard_error(term) for name, term in terms.items()}
    return Information(
        **{name: float(term.mean()) for name, term in terms.items()},
        standard_errors=errors,
        examples=n,
        samples=samples,
    )


def _given(model, factor):
    """Whether a factor is given latents, and whether it is given data."""
    latent = [name in model.latents for name in factor.given]
    return any(latent), not all(latent)


def _blocks(model, z, batch_size):
    """Samples `[S, N, ...]` as blocks `[K, Z, ...]`, the last one filled up, so that Z·batch_size pairs fit memory."""
    paired = any(all(_given(model, factor)) for factor in model.inference)
    names = (*model.latents, *model.data_names) if paired else model.latents
    numbers = batch_size * sum(math.prod(model.event_shapes[name]) for name in names)
    z = {name: value.reshape(-1, *value.shape[2:]) for name, value in z.items()}
    n = len(next(iter(z.values())))
    size = min(n, max(1, NUMBERS // numbers))
    index = np.minimum(np.arange(-(-n // size) * size), n - 1).reshape(-1, size)
    return {name: ops.cast(value[index], "float32") for name, value in z.items()}


def _sum_encodings(model):
    r"""The function $\log \sum_m q(z|x_m)$ of data `[M, ...]`, what a refinement adds to their encodings (or None),
    a mask `[M]` (0 or −∞) and z `[K, Z, ...]`: `[K, Z]`."""

    def log_sum(values, offsets, mask, blocks):
        given = Given(model, values, sides="q", offsets=offsets)
        encodings = {f.name: given.posterior(f, {}) for f in model.inference if not _given(model, f)[0]}
        m = mask.shape[0]

        def block(z):
            total = mask[None]  # [1, M], then [Z, M]
            for factor in model.inference:
                value = z[factor.name]
                of_latents, of_data = _given(model, factor)
                if not of_latents:
                    pairs = ops.broadcast_to(value[:, None], (value.shape[0], m, *value.shape[1:]))
                    log_q = encodings[factor.name].log_prob(pairs)  # [Z, M]
                elif not of_data:
                    log_q = factor([z[name] for name in factor.given]).log_prob(value)[:, None]  # [Z, 1]
                else:
                    # every z with every x, [Z·M, ...]
                    each = {name: ops.repeat(v, m, axis=0) for name, v in z.items()}
                    each |= {
                        name: ops.tile(v, (value.shape[0], *(1 for _ in v.shape[1:]))) for name, v in values.items()
                    }
                    log_q = factor([each[name] for name in factor.given]).log_prob(each[factor.name])
                    log_q = ops.reshape(log_q, (-1, m))
                total = total + log_q
            return ops.logsumexp(total, axis=1)

        return ops.map(block, blocks)

    return log_sum
