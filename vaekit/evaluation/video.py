r"""How near the frames of videos `[N, T, H, W, C]` come to others."""

import math

import numpy as np

WINDOW = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))  # of SSIM: 11 pixels, σ = 1.5
VALUES = 2**16  # of frames at a time, in float64: what a processor's cache holds


def psnr(x, y, data_range=1.0):
    r"""Computes the peak signal-to-noise ratio of each frame, $10 \log_{10} (R^2 / \mathrm{MSE})$, in dB.

    The mean square runs over a frame's pixels and channels. (The papers' code averages the ratios of the channels: the
    same for grey frames, a little more for coloured ones.)

    Args:
        x, y: videos `[N, T, H, W, C]`, their values between 0 and `data_range`.
        data_range: R, 1 for values in [0, 1], 255 for bytes.

    Returns: array `[N, T]`; infinite where two frames are equal.

    Raises:
        ValueError: other shapes, NaN, values out of range.
    """
    x, y = check_pair("psnr", x, y, data_range)
    return decibels(per_frame(square_error, x, y), data_range)


def ssim(x, y, data_range=1.0):
    r"""Computes the structural similarity of each frame: 1 for equal ones, about 0 where nothing agrees.

    $$\frac{(2 \mu_x \mu_y + c_1)(2 \sigma_{xy} + c_2)}{(\mu_x^2 + \mu_y^2 + c_1)(\sigma_x^2 + \sigma_y^2 + c_2)}$$

    with $c_1 = (0.01 R)^2$, $c_2 = (0.03 R)^2$, and moments in a Gaussian window of 11 × 11 pixels, σ = 1.5, wherever
    it fits into the frame; averaged over places and channels. Where both frames are black it is 1: unrelated digits on
    black are well above 0.

    It is Wang et al.'s index, and what Franceschi et al. measured for their table of stochastic moving MNIST. In
    scikit-image it is `structural_similarity(x, y, data_range=R, gaussian_weights=True, use_sample_covariance=False)`.
    SVG's code leaves all of that out: a flat window of 7 × 7, and, in the versions of its time, R = 2 for floats, which
    draws the index towards 1.

    Args:
        x, y, data_range: as for `psnr`.

    Returns: array `[N, T]`.

    Raises:
        ValueError: as for `psnr`, and frames of less than 11 × 11 pixels.

    Source: Wang et al. 2004, eq. 13; Franceschi et al. 2020.
    """
    x, y = check_pair("ssim", x, y, data_range)
    return per_frame(similarity(data_range), x, y)


def square_error(x, y):
    """Mean square error of frames `[B, H, W, C]`: `[B]`."""
    return np.square(x - y).mean(axis=(1, 2, 3))


def decibels(mse, data_range):
    """PSNR of mean square errors."""
    with np.errstate(divide="ignore"):
        return 10 * np.log10(data_range**2 / mse)


def similarity(data_range):
    """Returns a function from frames `[B, H, W, C]`, twice, to their SSIM `[B]`."""
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2

    def ssim(x, y):
        x, y = (v.transpose(0, 3, 1, 2) for v in (x, y))  # [B, C, H, W]
        rows, columns = map(_window_means, x.shape[2:])

        def mean(v):  # [B, C, H − 10, W − 10]
            return rows @ v @ columns.T

        mu_x, mu_y = mean(x), mean(y)
        var_x, var_y, cov = mean(x * x) - mu_x**2, mean(y * y) - mu_y**2, mean(x * y) - mu_x * mu_y
        index = (2 * mu_x * mu_y + c1) * (2 * cov + c2) / ((mu_x**2 + mu_y**2 + c1) * (var_x + var_y + c2))
        return index.mean(axis=(1, 2, 3))

    return ssim


def _window_means(n):
    """The matrix `[n − 10, n]` that takes means in the window, wherever it fits."""
    if n < len(WINDOW):
        raise ValueError(
            f"SSIM has a window of 11 × 11 pixels, and these frames have a side of {n}. Take psnr alone; in best_of "
            'say measures=["psnr", "mse"].'
        )
    return np.stack([np.convolve(row, WINDOW / WINDOW.sum(), "valid") for row in np.eye(n)], axis=1)


def per_frame(function, x, y):
    """Applies a function from frames `[B, H, W, C]`, twice, to `[B]`, to the frames of two videos: `[N, T]`."""
    n, t, *shape = x.shape
    x, y = (v.reshape(n * t, *shape) for v in (x, y))
    b = max(1, VALUES // math.prod(shape))
    parts = [function(x[i : i + b].astype("float64"), y[i : i + b].astype("float64")) for i in range(0, n * t, b)]
    return np.concatenate(parts).reshape(n, t)


def check_video(function, name, values, data_range):
    """Returns videos as an array, `[N, T, H, W, C]`; raises ValueError for other shapes, NaN, values out of range."""
    values = np.asarray(values)
    if values.ndim != 5 or not values.size:
        raise ValueError(
            f"{function} expects {name} to be videos [N, T, H, W, C]; received {list(values.shape)}. One video needs "
            "a batch axis, video[None]; grey frames without channel need it last, videos[..., None]."
        )
    low, high = float(values.min()), float(values.max())
    if not (low >= -1e-6 * data_range and high <= (1 + 1e-6) * data_range):  # also for NaN
        raise ValueError(
            f"{function} expects values from 0 to data_range={data_range:g}; those of {name} run from {low:g} to "
            f"{high:g}. Clip what is a little outside, np.clip(videos, 0, 1); of bytes say data_range=255."
        )
    return values


def check_pair(function, x, y, data_range, names=("x", "y")):
    """Returns two videos of equal shape as arrays; raises ValueError as `check_video`."""
    x, y = (check_video(function, name, v, data_range) for name, v in zip(names, (x, y), strict=True))
    if x.shape != y.shape:
        raise ValueError(
            f"{function} expects {' and '.join(names)} of one shape; received {list(x.shape)} and {list(y.shape)}. "
            "Compare the frames that were predicted, and no others: truth[:, past:]."
        )
    return x, y
