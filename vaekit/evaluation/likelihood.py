r"""Estimates of log p(x)."""

import math
from dataclasses import dataclass

import numpy as np
from keras import ops
from scipy.stats import multivariate_normal
from tqdm.auto import tqdm

from vaekit import backend, inference
from vaekit.batches import check_counts
from vaekit.evaluation.errors import standard_error
from vaekit.evaluation.resuming import Measured
from vaekit.layers import Tokens
from vaekit.models.arrays import row_batches, row_count
from vaekit.models.data import fixed_arrays
from vaekit.models.factors import output_layer
from vaekit.models.over_time import known_steps
from vaekit.objectives.state import read_state
from vaekit.training.finite import require_numbers


@dataclass(frozen=True)
class LogLikelihood:
    """An estimate of log p(x) for each example of a data set, in nats.

    Attributes:
        per_example: array `[N]`.
        effective_sample_size: array `[N]`, $(\\sum_s w_s)^2 / \\sum_s w_s^2$: from 1 (one sample carries the
            estimate; importance sampling is then too low) to S (q(z|x) is the true posterior).
        samples: S.
        dimensions: D, numbers in one example that have a density: what is missing has none, nor padding, nor steps that
            are known. Where examples have different numbers of them, their mean.
        binary: whether all these are 0 or 1; of other data bits per dimension are shown too.
    """

    per_example: np.ndarray
    effective_sample_size: np.ndarray
    samples: int
    dimensions: float
    binary: bool

    @property
    def mean(self):
        """Mean over the examples, in nats."""
        return float(self.per_example.mean())

    @property
    def standard_error(self):
        """Standard error of the mean as an estimate for new data, std / √N, in nats."""
        return standard_error(self.per_example)

    @property
    def bits_per_dimension(self):
        r"""$-\log p(x) / (D \ln 2)$, mean over the examples.

        A length of code if p(x) is a probability, of bytes for instance; a density depends on the data's unit.
        """
        return bits_per_dimension(self.mean, self.dimensions)

    @property
    def bits_standard_error(self):
        """Standard error of `bits_per_dimension`."""
        return -bits_per_dimension(self.standard_error, self.dimensions)

    def __repr__(self):
        bits = f", {self.bits_per_dimension:.3f} ± {self.bits_standard_error:.3f} bits per dimension"
        return (
            f"log p(x) = {self.mean:.2f} ± {self.standard_error:.2f} nats{'' if self.binary else bits} "
            f"({len(self.per_example)} examples, {self.samples} samples each, median effective sample size "
            f"{np.median(self.effective_sample_size):.1f})"
        )


def bits_per_dimension(nats, dimensions):
    r"""Converts nats to bits per dimension, $-\log p(x) / (D \ln 2)$.

    A length of code, which papers report, if p(x) is a probability, as of bytes. A density (`Normal`) depends on the
    unit of x, may be above 1, and then gives negative numbers; for values of a grid it grows without limit as σ falls.

    Args:
        nats: log p(x) or a bound of it, a number or an array; of an image, a frame, a whole video.
        dimensions: D, how many numbers it describes: H · W · C of a frame, T times as many of a video.
    """
    return -nats / (dimensions * math.log(2))


def _log_weights(model, chunk, chunks):
    """Compiles log-weights `[chunks, chunk, B]` of data `[B, ...]`; returns the program and its seed generator."""
    generator = backend.seed_generator(0)
    state = [*model.non_trainable_variables, generator.state]

    def log_weights(values):
        given = model.given(values, seed=generator)
        return backend.stack_calls(lambda: given.draw(chunk, seed=generator).log_weights(), chunks, state)

    return backend.compile(log_weights, [*model.variables, generator.state]), generator


def log_likelihood(
    model, x, samples=None, batch_size=100, chunk=None, seed=0, progress=True, method="importance", checkpoint=None
):
    r"""Estimates $\log p(x) \approx \log \frac1S \sum_s w_s$, where $\mathbb E\,w_s = p(x)$, in nats.

    A lower bound in expectation, $\mathcal L_S$, that rises to log p(x) with S. By importance sampling,
    $w_s = p(x, z_s) / q(z_s|x)$ with $z_s \sim q(z|x)$: fast, and too low where q misses what the posterior holds. By
    annealed importance sampling, each weight is collected on a way of many small steps to the posterior: it costs
    thousands of gradients, and depends far less on q, or not at all.

    For each batch, what depends on x alone (a refinement too) or on nothing (the components of a VampPrior) is computed
    once. The samples follow in chunks: no more than `batch_size · chunk` of them are decoded at a time.

    Args:
        model: a `LatentVariableModel`.
        x: data `[N, ...]`.
        samples: S; None: 5000 of importance sampling, 16 chains of annealed importance sampling. A model without
            latents needs one, and the result is exact.
        batch_size: examples at a time.
        chunk: samples of each example at a time; None: such that about 1000 are decoded at once, on a GPU 10,000.
        seed: an int; the same one gives the same estimate.
        progress: show a progress bar, which moves with each batch.
        method: `"importance"`, `"ais"`, or a `vaekit.inference.AIS` with settings of one's own.
        checkpoint: path of a file, written about once a minute. Called again, as it was before, a measurement that was
            cut off goes on from there, to the same estimate. None: it begins anew.

    Returns: `LogLikelihood`.

    Raises:
        ValueError: data that the model does not take, settings out of range.
        CheckpointError: a damaged file, or one of another model, other data or settings.

    Source: Rezende et al. 2014, appendix E; Burda et al. 2016, section 5 (S = 5000); Wu et al. 2017 (AIS, 16 chains).
    """
    method = inference.AIS() if isinstance(method, str) and method == "ais" else method
    annealed = isinstance(method, inference.AIS)
    if not annealed and method != "importance":
        raise ValueError(f'log_likelihood expects method="importance", "ais" or an AIS; received {method!r}.')
    if not model.latents:  # each weight is p(x)
        samples, annealed, method = 1, False, "importance"
    samples = (16 if annealed else 5000) if samples is None else samples
    check_counts("log_likelihood", samples=samples, batch_size=batch_size, chunk=1 if chunk is None else chunk)
    data = fixed_arrays(model, x)
    n = row_count(data)
    batch_size, chunk, chunks = portions(n, samples, batch_size, chunk)
    settings = {"method": str(method), "samples": samples, "batch_size": batch_size, "chunk": chunk, "seed": seed}
    bar = tqdm(total=n * samples, unit=" samples", unit_scale=True, disable=not progress, leave=False)
    with model.programs.lock, bar:  # other threads share the seeds of the programs
        weights, seeds = _annealed(model, method, chunk, chunks) if annealed else _importance(model, chunk, chunks)
        seeds.state.assign([backend.integer_seed(seed), 0])
        measured = Measured(checkpoint, model, data, settings, seeds)
        bar.update(samples * measured.rows)
        for batch, count in row_batches(data, batch_size, full=True, start=measured.rows):
            w = weights(batch)[:samples, :count].astype("float64")
            require_numbers(model, "log_likelihood", w)
            measured.add(np.stack(log_mean_exp(w)), last=measured.rows + count == n)
            bar.update(samples * count)
    estimate, effective = measured.results()  # [N]
    return LogLikelihood(estimate, effective, samples, *dimensions(model, data))


def portions(n, samples, batch_size, chunk):
    """Divides n examples with S samples each: examples at a time, samples of each at a time, how many times."""
    batch_size = min(batch_size, n)
    chunk = chunk or max(1, _rows_at_once() // batch_size)
    chunks = math.ceil(samples / chunk)
    return batch_size, math.ceil(samples / chunks), chunks  # chunks of equal size; what is too much is left out


def log_mean_exp(w):
    """Computes log of the mean of weights, and their effective sample size, `[B]` each, from log w `[S, B]`."""
    first, second = np.logaddexp.reduce(w, axis=0), np.logaddexp.reduce(2 * w, axis=0)  # log Σ w, log Σ w²
    return first - math.log(len(w)), np.exp(2 * first - second)


def _importance(model, chunk, chunks):
    """Returns a function from data `[B, ...]` to log-weights of samples of q, `[chunks · chunk, B]`, and its seeds."""
    program, seeds = model.program(("log_likelihood", chunk, chunks), lambda: _log_weights(model, chunk, chunks))
    return lambda batch: ops.convert_to_numpy(program(batch)).reshape(chunks * chunk, -1), seeds


def _annealed(model, ais, chunk, chunks):
    """Returns a function from data `[B, ...]` to log-weights of AIS's chains, `[chunks · chunk, B]`, and its seeds."""
    seeds = backend.seed_generator(0)

    def weights(batch):
        sizes = ais.tune(model, batch, backend.seed(seeds))
        return np.concatenate([ais.forward(model, batch, sizes, chunk, backend.seed(seeds)) for _ in range(chunks)])

    return weights, seeds


def terms(model, x, objective, batch_size=500, seed=0):
    """Computes an objective's terms for each example, such as bound, reconstruction and KL.

    Args:
        model: a `LatentVariableModel`.
        x: data `[N, ...]`.
        objective: from `vaekit.objectives`, whichever the model was trained by.
        batch_size: examples at a time.
        seed: an int; the same one gives the same samples.

    Returns: dict of arrays `[N]`, in nats.
    """
    check_counts("terms", batch_size=batch_size)
    data = fixed_arrays(model, x)
    one_batch = model.program(
        ("terms", read_state(objective)[0]),
        lambda: backend.compile(lambda values: objective(model, values, 0, False)[1], model.variables),
    )
    parts = []
    with model.programs.lock, model.seeded(seed):
        for batch, count in row_batches(data, batch_size, full=True):
            parts.append({name: ops.convert_to_numpy(value)[:count] for name, value in one_batch(batch).items()})
            require_numbers(model, "terms", *parts[-1].values())
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _rows_at_once():
    """Samples decoded at a time: with some hundred units they fit a processor's cache; a GPU is faster with more."""
    return 10_000 if backend.accelerated() else 1000


def dimensions(model, data):
    """Counts the numbers in one example that have a density, on average, and returns whether all of them are 0 or 1."""
    observed = [(factor, ops.convert_to_numpy(data[factor.name])) for factor in model.generative if factor.name in data]
    values = [x[have_density(factor, x)] for factor, x in observed]
    return sum(value.size / len(x) for value, (_, x) in zip(values, observed, strict=True)), all(
        ((value == 0) | (value == 1)).all() for value in values
    )


def have_density(factor, x):
    """Finds the numbers of a variable's data `[N, ...]` that have a density: what is missing has none, nor padding, nor
    steps that are known."""
    head = output_layer(factor.layer)
    there = ~np.isnan(x)
    there[:, : known_steps(factor)] = False
    return there & (x != head.padding) if isinstance(head, Tokens) else there


def hmc_log_likelihood(model, x, samples=50, burn_in=300, leapfrog_steps=4, thinning=4, seed=0):
    r"""Estimates log p(x) by Kingma & Welling's HMC estimator, sound below about five latent dimensions.

    Half of the samples of p(z|x) fit a normal density q(z) with full covariance; the other half, drawn on, give
    $\log p(x) \approx -\log \frac1L \sum_l \frac{q(z_l)}{p(z_l)\, p(x|z_l)}$, $z_l \sim p(z|x)$.

    Args:
        model: a `LatentVariableModel`; its inference side is not used.
        x: data `[N, ...]`.
        samples: L, samples in each half.
        burn_in, leapfrog_steps, thinning, seed: as for `vaekit.inference.hmc`.

    Returns: `LogLikelihood`; its effective sample size is that of the terms of the sum. (An estimate from few effective
        samples is too high here, where importance sampling's is too low.)

    Raises:
        ValueError: too few samples for a covariance, a chain that does not move, and as for `vaekit.inference.hmc`.

    Source: Kingma & Welling 2014, appendix D.
    """
    model.require_latents("hmc_log_likelihood")
    data = model.observe(x)
    latents = sum(math.prod(model.event_shapes[name]) for name in model.latents)
    if samples <= latents:
        raise ValueError(
            f"hmc_log_likelihood fits a covariance in {latents} dimensions: it needs more than {latents} samples "
            f"in each half; received samples={samples}."
        )
    z, _ = inference.hmc(model, data, 2 * samples, burn_in, leapfrog_steps, thinning, seed=seed)
    n = row_count(data)
    flat = np.concatenate([part.reshape(2 * samples, n, -1) for part in z.values()], axis=-1)  # [2 L, N, D]
    flat = flat.astype("float64")
    log_q = np.empty((samples, n))
    for i in range(n):
        fit, rest = flat[:samples, i], flat[samples:, i]  # [L, D] each
        try:
            log_q[:, i] = multivariate_normal(fit.mean(axis=0), np.cov(fit, rowvar=False)).logpdf(rest)
        except np.linalg.LinAlgError:
            raise ValueError(
                f"The chain of example {i} hardly moved, so no density fits its samples. Raise burn_in or thinning."
            ) from None
    rest = {name: ops.convert_to_tensor(part[samples:]) for name, part in z.items()}  # [L, N, ...]
    terms = log_q - ops.convert_to_numpy(model.given(data, sides="p").log_p(rest))  # log q(z) − log p(x, z), [L, N]
    total = np.logaddexp.reduce(terms, axis=0)
    effective = np.exp(2 * total - np.logaddexp.reduce(2 * terms, axis=0))
    return LogLikelihood(math.log(samples) - total, effective, samples, *dimensions(model, data))
