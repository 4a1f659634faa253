"""Bidirectional Monte Carlo: log p(x) of simulated data between a lower and an upper bound."""

from dataclasses import dataclass

import numpy as np
from keras import ops
from tqdm.auto import tqdm

from vaekit import backend, inference
from vaekit.batches import check_counts
from vaekit.evaluation.errors import standard_error
from vaekit.evaluation.likelihood import LogLikelihood, dimensions, log_mean_exp, portions
from vaekit.models.arrays import row_batches
from vaekit.training.finite import require_numbers


@dataclass(frozen=True)
class Bracket:
    """Estimates of log p(x) from both sides, in nats, on data that a model has simulated.

    Attributes:
        lower: `LogLikelihood`, by chains that run forwards; too low in expectation.
        upper: `LogLikelihood`, by chains that run backwards from the latents the data were made of; too high.
    """

    lower: LogLikelihood
    upper: LogLikelihood

    @property
    def gap(self):
        """Mean of upper − lower over the examples, in nats: what either estimate can be off, in expectation."""
        return self.upper.mean - self.lower.mean

    @property
    def gap_standard_error(self):
        """Standard error of the gap over examples, in nats."""
        return standard_error(self.upper.per_example - self.lower.per_example)

    def __repr__(self):
        return (
            f"{self.lower.mean:.2f} ≤ log p(x) ≤ {self.upper.mean:.2f} nats: a gap of {self.gap:.2f} ± "
            f"{self.gap_standard_error:.2f} ({len(self.lower.per_example)} simulated examples, "
            f"{self.lower.samples} chains each)"
        )


def bidirectional(
    model, n=100, samples=16, method=None, conditions=None, batch_size=100, chunk=None, seed=0, progress=True
):
    r"""Brackets log p(x) of n simulated examples by annealed importance sampling in both directions.

    From $(z, x) \sim p(z, x)$, z is an exact draw of p(z|x), from where chains can run backwards. Their weights have
    the mean 1/p(x), so that $-\log \frac1S \sum_s w_s$ is too high in expectation, as the estimate of chains that run
    forwards is too low. The gap says how well the settings of `vaekit.inference.AIS` serve this model; on data that it
    did not simulate, the forward estimate with the same settings is off by about as much if the data are alike.

    Args:
        model: a `LatentVariableModel` with continuous latents.
        n: examples to simulate.
        samples: S, chains in each direction.
        method: a `vaekit.inference.AIS`; None: its usual settings.
        conditions: dict of arrays `[n, ...]` by name, for a model that has conditions.
        batch_size, chunk, seed, progress: as for `log_likelihood`.

    Returns: `Bracket`.

    Raises:
        ValueError: no latents or discrete ones, weights that are drawn anew at every call.

    Source: Grosse et al. 2015; Wu et al. 2017, section 4.2.
    """
    model.require_latents("bidirectional")
    check_counts("bidirectional", n=n, samples=samples, batch_size=batch_size, chunk=1 if chunk is None else chunk)
    ais = inference.AIS() if method is None else method
    source = backend.SeedSequence(seed)
    values = model.draw(n, conditions, seed=source) | (conditions or {})
    arrays = {name: ops.convert_to_numpy(values[name]) for name in (*model.data_names, *model.latents)}
    batch_size, chunk, chunks = portions(n, samples, batch_size, chunk)
    results = []
    bar = tqdm(total=2 * n * samples, unit=" samples", unit_scale=True, disable=not progress, leave=False)
    with model.programs.lock, bar:
        for batch, count in row_batches(arrays, batch_size, full=True):
            data = {name: batch[name] for name in model.data_names}
            sizes = ais.tune(model, data, backend.seed(source))
            both = []
            for anneal in (
                lambda: ais.forward(model, data, sizes, chunk, backend.seed(source)),  # noqa: B023
                lambda: ais.reverse(model, data, batch, sizes, chunk, backend.seed(source)),  # noqa: B023
            ):
                w = np.concatenate([anneal() for _ in range(chunks)])[:samples, :count].astype("float64")
                require_numbers(model, "bidirectional", w)
                both.append(log_mean_exp(w))
                bar.update(samples * count)
            results.append(both)
    lower, upper = ([np.concatenate(parts) for parts in zip(*side, strict=True)] for side in zip(*results, strict=True))
    shape = dimensions(model, arrays)
    return Bracket(LogLikelihood(*lower, samples, *shape), LogLikelihood(-upper[0], upper[1], samples, *shape))
