"""Values that are missing, from those that are there."""

import keras
import numpy as np
from keras import ops

from vaekit import backend
from vaekit.batches import check_counts
from vaekit.layers.likelihoods.masked import Observed
from vaekit.models.arrays import row_batches
from vaekit.models.data import fixed_arrays
from vaekit.models.means import mean_or_draw
from vaekit.models.trace import unfold
from vaekit.training.finite import require_numbers

ROWS = 10_000  # decoded at a time


def impute(model, x, samples=1000, draws=None, seed=0):
    r"""Fills in what is missing, NaN: the mean $\mathbb E[x_\text{missing} \mid x_\text{observed}]$, or draws.

    By importance sampling: $\sum_s \hat w_s\, \mathbb E[x | z_s]$ with $z_s \sim q(z|x_\text{observed})$ and shares
    $\hat w_s = w_s / \sum_r w_r$, $w_s = p(x_\text{observed}, z_s) / q(z_s | x_\text{observed})$. (`reconstruct` fills
    gaps, too, by the mean at one z.) Draws take $z_s$ with probability $\hat w_s$, and then $x \sim p(x|z_s)$, so that
    they differ as much as the gaps are uncertain.

    ```python
    filled = vk.inference.impute(vae, x)             # [N, ...], the means where x is NaN
    five = vk.inference.impute(vae, x, draws=5)      # [5, N, ...], multiple imputation
    ```

    Args:
        model: a `LatentVariableModel` with likelihoods in `vaekit.layers.Masked`.
        x: data `[N, ...]`, or a dict of arrays by variable name, with NaN where a value is missing.
        samples: S.
        draws: how many; None: means.
        seed: an int; the same one gives the same answer.

    Returns: NumPy array `[N, ...]`, or `[draws, N, ...]`, in which observed values are as they were; several variables:
        a dict of them. A label or a pixel with a NaN in it is missing as a whole, as for `vaekit.layers.Masked`.

    Raises:
        ValueError: unusable data, a model without latents; a likelihood that has no mean in closed form, without draws.

    Source: Mattei & Frellsen 2019, section 4.
    """
    check_counts("impute", samples=samples, draws=1 if draws is None else draws)
    model.require_latents("impute")
    data = fixed_arrays(model, x)
    program, generator = model.program(("impute", samples, draws), lambda: _program(model, samples, draws))
    parts = []
    with model.programs.lock:
        generator.state.assign([backend.integer_seed(seed), 0])
        for batch, count in row_batches(data, max(1, ROWS // samples), full=True):
            filled = {n: ops.convert_to_numpy(v) for n, v in program(batch).items()}  # [draws or 1, B, ...]
            parts.append({name: value[:, :count] for name, value in filled.items()})
            require_numbers(model, "impute", *parts[-1].values())
    result = {name: np.concatenate([part[name] for part in parts], axis=1) for name in model.observed}
    if draws is None:
        result = {name: value[0] for name, value in result.items()}
    return result if len(result) > 1 else next(iter(result.values()))


def _program(model, samples, draws):
    """Compiles a function from data `[B, ...]` to what they would be, `[draws or 1, B, ...]` by observed variable.

    Returns: the program, and its seed generator.
    """
    generator = backend.seed_generator(0)

    def fill(data):
        given = model.given(data, seed=generator)
        trace = given.draw(samples, seed=generator)
        log_weights = trace.log_weights()  # [S, B]
        shares = ops.exp(log_weights - ops.logsumexp(log_weights, axis=0))  # [S, B]
        if draws is not None:  # of z, then of x
            chosen = keras.random.categorical(ops.transpose(log_weights), draws, seed=generator)  # [B, draws]
            z = {name: _taken(trace.values[name], ops.transpose(chosen)) for name in model.latents}
            trace = given.draw(draws, seed=generator, known=z)
        filled = {}
        for factor in model.generative:
            if factor.name in model.observed:
                p, x, each = trace.p[factor.name], data[factor.name], factor.depends_on(model.latents)
                missing = p.missing(x) if isinstance(p, Observed) else ops.isnan(x)
                if draws is None:
                    value = mean_or_draw(factor.name, p, True, generator)
                    value = _sum(shares, unfold(value, samples)) if each else value
                    filled[factor.name] = ops.where(missing, value, x)[None]
                    continue
                value = p.sample(*(() if each else (draws,)), seed=backend.seed(generator))
                value = ops.reshape(ops.cast(value, "float32"), (draws, *ops.shape(x)))
                filled[factor.name] = ops.where(missing, value, x)
        return filled

    return backend.compile(fill, [*model.variables, generator.state]), generator


def _taken(values, index):
    """Takes those samples of values `[S, B, ...]` whose numbers are in an index `[R, B]`: a tensor `[R, B, ...]`."""
    index = ops.reshape(index, (*ops.shape(index), *(1 for _ in values.shape[2:])))
    return ops.take_along_axis(values, ops.broadcast_to(index, (index.shape[0], *ops.shape(values)[1:])), axis=0)


def _sum(shares, values):
    """Sums values `[S, B, ...]` times shares `[S, B]` over the samples: a tensor `[B, ...]`."""
    shape = ops.shape(values)
    flat = ops.where((shares > 0)[..., None], ops.reshape(values, (*shape[:2], -1)), 0)  # 0 · ∞ is no number
    return ops.reshape(ops.einsum("sb,sbd->bd", shares, flat), shape[1:])
