r"""Convolutions as XLA's processor code does them fast, on JAX.

XLA has fast convolutions for processors (YNNPACK, Eigen), of images `[N, H, W, C]` and kernels `[H, W, I, O]` alone.
Others, such as the gradients that JAX makes, are brought to that form outside of loops only; within a loop of training
steps, and wherever the image is dilated (the gradient of a convolution with strides; a transposed convolution with
strides), they are plain loops over pixels. So here they are brought to that form before XLA sees them. It is the same
sum, in another order:

- The axes are transposed.
- **A dilated image**, $y_j = \sum_u \sum_\rho x_{g+u}\, k_{su+\rho}$ for $j = sg - \rho$: of the s offsets ρ between a
  pixel of the result and the next pixel of x, each has a kernel of its own, $k_{su+\rho}$ over u. They are the
  channels of one convolution without dilation (Shi et al. 2016, arXiv 1609.05158), which are then pixels again.
- **A gradient by the kernel** is a convolution whose channels are the batch. It runs over a few images at a time, which
  stay in the processor's cache. The larger of its two arguments, or else the narrower one, takes the image's place.
"""

import contextlib
import math
import os
import threading

import jax
import keras
from jax import lax
from jax.interpreters import mlir

CHUNK, IMAGES = 600, 4  # terms of a sum, and images, that are at least taken at a time in a gradient by the kernel


def convolution(x, kernel, strides, padding, x_dilation, kernel_dilation, dimensions, **options):
    """Computes `jax.lax.conv_general_dilated` of one group by canonical convolutions.

    Args:
        x, kernel: float arrays.
        strides, x_dilation, kernel_dilation: an int for each spatial axis.
        padding: a pair of ints for each, which may be negative.
        dimensions: `jax.lax.ConvDimensionNumbers`.
        **options: of `jax.lax.conv_general_dilated`.
    """
    (n, c, *space), (o, i, *window), (out_n, out_c, *out_space) = dimensions
    back = [0] * x.ndim  # from [N, ..., C]
    for axis, place in enumerate((out_n, *out_space, out_c)):
        back[place] = axis

    def part(x, kernel):
        x, kernel = x.transpose(n, *space, c), kernel.transpose(*window, i, o)
        return _canonical(x, kernel, strides, padding, x_dilation, kernel_dilation, options, over_batch)

    pieces, over_batch = 1, c == 0 and i == 0  # a sum over the batch: the gradient by a kernel
    if over_batch:
        terms = x.shape[0] * math.prod(kernel.shape[a] for a in window) // math.prod(x_dilation)
        most = max(1, min(terms // CHUNK, x.shape[0] // IMAGES))
        pieces = max(g for g in range(1, most + 1) if x.shape[0] % g == 0)
    if pieces == 1:
        return part(x, kernel).transpose(back)
    x, kernel = (a.reshape(pieces, -1, *a.shape[1:]) for a in (x, kernel))
    total = jax.eval_shape(part, x[0], kernel[0])
    zero = jax.numpy.zeros(total.shape, total.dtype)
    return lax.scan(lambda total, pair: (total + part(*pair), None), zero, (x, kernel))[0].transpose(back)


def _canonical(x, kernel, strides, padding, x_dilation, kernel_dilation, options, may_swap):
    """A convolution of `[N, ..., C]` and `[..., I, O]`."""
    if may_swap and max(*strides, *x_dilation, *kernel_dilation) == 1 and _goes_first(x, kernel):
        return _swapped(x, kernel, padding, options)
    if max(x_dilation) > 1:
        return _dilated(x, kernel, padding, x_dilation, options, may_swap)
    if any(n < 0 for pair in padding for n in pair):
        x = _pad(x, [(0, 0), *((min(lo, 0), min(hi, 0)) for lo, hi in padding), (0, 0)])
        padding = [(max(lo, 0), max(hi, 0)) for lo, hi in padding]
    return lax.conv_general_dilated(
        x, kernel, strides, padding, None, kernel_dilation, dimension_numbers=_dimensions(x.ndim), **options
    )


def _dilated(x, kernel, padding, dilation, options, may_swap):
    """The same without strides, of a dilated image: y[lo + s·g − ρ] = Σ_u x[g + u] k[s·u + ρ]."""
    nd, ones, outputs = len(dilation), (1,) * len(dilation), kernel.shape[-1]
    plans = [_plan(*each) for each in zip(x.shape[1:-1], kernel.shape, padding, dilation, strict=False)]
    more, taps, groups, pads, start, end = zip(*plans, strict=True)

    # [K, ..., I, O] → [u, ..., I, s − 1 − ρ, ..., O]
    kernel = _pad(kernel, [*more, (0, 0), (0, 0)])
    kernel = kernel.reshape(*sum(zip(taps, dilation, strict=True), ()), *kernel.shape[-2:])
    kernel = lax.rev(kernel, range(1, 2 * nd, 2))
    kernel = kernel.transpose(*range(0, 2 * nd, 2), 2 * nd, *range(1, 2 * nd, 2), 2 * nd + 1)
    kernel = kernel.reshape(*taps, x.shape[-1], -1)
    y = _canonical(x, kernel, ones, pads, ones, ones, options, may_swap)

    # [N, g, ..., s − 1 − ρ, ..., O] → [N, J, ..., O]
    y = y.reshape(-1, *groups, *dilation, outputs)
    y = y.transpose(0, *sum(((1 + d, 1 + nd + d) for d in range(nd)), ()), 1 + 2 * nd)
    y = y.reshape(-1, *(g * s for g, s in zip(groups, dilation, strict=True)), outputs)
    return lax.slice(y, (0, *start, 0), (y.shape[0], *end, outputs))


def _plan(n, k, padding, s):
    """Along one axis of n pixels, a kernel of k, dilated by s: zeros before the kernel's first offset ρ = 0 and after
    its last, numbers of u and of g, padding of x, and where the result begins and ends among s times g pixels."""
    plans = []
    j = (n - 1) * s + sum(padding) - k + 2
    for before in range(s):  # zeros may spare a group
        lo, taps = padding[0] + before, -(-(k + before) // s)
        first, last = -(lo // s), -((lo - j + 1) // s)  # g
        start = s - 1 - lo - s * first
        plan = (before, taps * s - k - before), taps, last - first + 1, (-first, last + taps - n), start, start + j
        plans.append(plan)
    return min(plans, key=lambda plan: plan[1] * plan[2])


def _goes_first(x, kernel):
    """Returns whether a kernel is better taken for the image: XLA is slow where it is the larger one."""
    image, window = math.prod(x.shape[1:-1]), math.prod(kernel.shape[:-2])
    return window > image or (window == image and kernel.shape[-1] < x.shape[0])


def _swapped(x, kernel, padding, options):
    """The same without strides, x `[N, ..., C]` and a large kernel `[..., C, O]` in each other's place."""
    nd, ones = len(padding), (1,) * len(padding)
    sizes = zip(x.shape[1:-1], kernel.shape, padding, strict=False)
    pads = [(n + hi - k, n + lo - k) for n, k, (lo, hi) in sizes]
    kernel = kernel.transpose(nd + 1, *range(nd), nd)
    x = x.transpose(*range(1, nd + 1), nd + 1, 0)
    y = _canonical(kernel, x, ones, pads, ones, ones, options, False)
    return lax.rev(y.transpose(nd + 1, *range(1, nd + 1), 0), range(1, nd + 1))


def _dimensions(ndim):
    image, kernel = (0, ndim - 1, *range(1, ndim - 1)), (ndim - 1, ndim - 2, *range(ndim - 2))
    return lax.ConvDimensionNumbers(image, kernel, image)


def _pad(x, pads):
    return lax.pad(x, jax.numpy.zeros((), x.dtype), [(lo, hi, 0) for lo, hi in pads])


# ---- where JAX asks for the convolutions of a program that runs on processors ----------------------------------------

_scope = threading.local()
_rules = getattr(mlir, "_platform_specific_lowerings", {}).get("cpu", {})
_original = getattr(_rules.get(lax.conv_general_dilated_p), "rule", None)  # None: a JAX that keeps it elsewhere


@contextlib.contextmanager
def canonical_convolutions():
    """A context in which JAX compiles convolutions for processors as here.

    The environment variable VAEKIT_XLA_CONVOLUTIONS=1 leaves them to XLA; so does `keras.distribution`, whose devices
    share each batch.
    """
    off = os.environ.get("VAEKIT_XLA_CONVOLUTIONS") == "1" or keras.distribution.distribution() is not None
    before, _scope.on = getattr(_scope, "on", False), not off
    try:
        yield
    finally:
        _scope.on = before


def _lower(context, x, kernel, **params):
    rest = {**params}
    names = ("window_strides", "padding", "lhs_dilation", "rhs_dilation", "dimension_numbers")
    strides, padding, x_dilation, kernel_dilation, dimensions = (rest.pop(name) for name in names)
    if (
        getattr(_scope, "on", False)
        and x_dilation
        and (max(x_dilation) > 1 or dimensions != _dimensions(len(dimensions[0])))
        and all(a.dtype == "float32" and 0 not in a.shape for a in (*context.avals_in, *context.avals_out))
        and params["feature_group_count"] == params["batch_group_count"] == 1
        and (max(x_dilation) == 1 or max(*strides, *kernel_dilation) == 1)
    ):
        options = {name: rest[name] for name in ("precision", "preferred_element_type")}
        settings = strides, padding, x_dilation, kernel_dilation, dimensions
        rule = mlir.lower_fun(lambda x, kernel: convolution(x, kernel, *settings, **options), multiple_results=False)
        return rule(context, x, kernel)
    return _original(context, x, kernel, **params)


if _original:
    mlir.register_lowering(lax.conv_general_dilated_p, _lower, platform="cpu")
