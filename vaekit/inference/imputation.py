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
from vaekit.models.trace import tile, unfold
from vaekit.names import variable
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
        trace = model.given(data, seed=generator).draw(samples, seed=generator)
        log_weights = trace.log_weights()  # [S, B]
        shares = ops.exp(log_weights - ops.logsumexp(log_weights, axis=0))[:, None]  # [S, 1, B]
        if draws is not None:
            chosen = keras.random.categorical(ops.transpose(log_weights), draws, seed=generator)  # [B, draws]
            shares = ops.transpose(ops.one_hot(chosen, samples, dtype="float32"), (2, 1, 0))  # [S, draws, B]
        filled = {}
        for factor in model.generative:
            if factor.name in model.observed:
                value = mean_or_draw(factor.name, trace.p[factor.name], draws is None, generator)
                alike = not any(variable(name) in model.latents for name in factor.given)  # [B, ...], for all samples
                value = tile(value, samples) if alike else unfold(value, samples)  # [S, B, ...]
                x, p = data[factor.name], trace.p[factor.name]
                missing = p.missing(x) if isinstance(p, Observed) else ops.isnan(x)
                filled[factor.name] = ops.where(missing, _sum(shares, value), x)
        return filled

    return backend.compile(fill, [*model.variables, generator.state]), generator


def _sum(shares, values):
    """Sums values `[S, B, ...]` times shares `[S, R, B]` over the samples: a tensor `[R, B, ...]`."""
    shape, some = ops.shape(values), ops.any(shares > 0, axis=1)[..., None]  # [S, B, 1]
    flat = ops.where(some, ops.reshape(values, (*shape[:2], -1)), 0)  # 0 · ∞ is no number
    return ops.reshape(ops.einsum("srb,sbd->rbd", shares, flat), (ops.shape(shares)[1], *shape[1:]))
