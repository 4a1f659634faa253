"""Measures of video against scikit-image, closed forms and enumeration."""

import math
from itertools import combinations

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from vaekit.evaluation import best_of, bits_per_dimension, fid, frame_fid, psnr, ssim

pytestmark = pytest.mark.once

RNG = np.random.default_rng(0)
SHAPE = (2, 3, 16, 13, 1)  # [N, T, H, W, C]
X = RNG.random(SHAPE).astype("float32")
Y = np.clip(X + 0.2 * RNG.normal(size=SHAPE), 0, 1).astype("float32")


def each_frame(measure, x, y):
    return [[measure(*frames) for frames in zip(*videos, strict=True)] for videos in zip(x, y, strict=True)]


# ---------------------------------------------------------------- frames


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("data_range", [1, 255])
def test_psnr_and_ssim_are_those_of_scikit_image(channels, data_range):
    x, y = (data_range * RNG.random((2, 3, 16, 13, channels)) for _ in range(2))
    if data_range == 255:
        x, y = x.astype("uint8"), y.astype("uint8")
    settings = dict(data_range=data_range, gaussian_weights=True, use_sample_covariance=False, channel_axis=-1)
    exact = each_frame(lambda a, b: structural_similarity(a.astype("float64"), b.astype("float64"), **settings), x, y)
    np.testing.assert_allclose(ssim(x, y, data_range), exact, rtol=1e-10)
    exact = each_frame(lambda a, b: peak_signal_noise_ratio(a, b, data_range=data_range), x, y)
    np.testing.assert_allclose(psnr(x, y, data_range), exact, rtol=1e-10)


def test_known_errors_have_known_ratios():
    x = np.full(SHAPE, 0.5)
    for error, decibels in ((0.1, 20), (0.01, 40), (0.5, 20 * math.log10(2))):
        np.testing.assert_allclose(psnr(x, x + error), np.full((2, 3), decibels))
        np.testing.assert_allclose(psnr(255 * x, 255 * (x + error), data_range=255), decibels)


def test_equal_frames(recwarn):
    assert (psnr(X, X) == np.inf).all() and ssim(X, X) == pytest.approx(np.ones((2, 3)), abs=1e-12)
    result = best_of(X, [X, Y])
    assert result["psnr"].best.mean == np.inf and math.isnan(result["psnr"].best.standard_error)
    assert result["mse"].best.mean == 0 and (result["psnr"].chosen == 0).all()
    assert not recwarn.list


def test_ssim_of_constants_and_of_a_negative():
    low, high = np.full(SHAPE, 0.2), np.full(SHAPE, 0.6)
    np.testing.assert_allclose(ssim(low, high), (2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4))
    assert (ssim(X, 1 - X) < 0).all()  # covariances turn their sign
    np.testing.assert_allclose(ssim(X, Y), ssim(Y, X))


def test_frames_are_compared_in_portions(monkeypatch):
    whole = ssim(X, Y)
    monkeypatch.setattr("vaekit.evaluation.video.VALUES", 5 * 16 * 13)  # 5 of 6 frames
    np.testing.assert_allclose(ssim(X, Y), whole, rtol=1e-12)


# ---------------------------------------------------------------- the best of n


def drawn(n):
    """Futures `[n, 2, 3, 16, 13, 1]` of different quality."""
    noise = (
        np.random.default_rng(n).normal(size=(n, *SHAPE)) * np.linspace(0.3, 0.05, n)[:, None, None, None, None, None]
    )
    return np.clip(X + noise, 0, 1)


def test_best_of_takes_for_each_video_the_future_of_the_best_mean_over_time():
    futures = drawn(5)
    result = best_of(X, futures)
    assert list(result) == ["psnr", "ssim", "mse"]
    values = {
        "psnr": np.array([psnr(X, f) for f in futures]),  # [n, N, T]
        "ssim": np.array([ssim(X, f) for f in futures]),
        "mse": -np.square(futures - X).mean(axis=(3, 4, 5)),
    }
    for name, value in values.items():
        sign, of = -1 if name == "mse" else 1, result[name]
        np.testing.assert_allclose(of.scores, sign * value.mean(axis=2))
        best = value.mean(axis=2).argmax(axis=0)
        np.testing.assert_array_equal(of.chosen, best)
        np.testing.assert_allclose(of.best.per_frame, sign * value[best, [0, 1]])
        np.testing.assert_allclose(of.average.per_frame, sign * value.mean(axis=0))
        np.testing.assert_allclose(of.best.over_time, sign * value[best, [0, 1]].mean(axis=0))
        videos = value[best, [0, 1]].mean(axis=1)
        assert of.best.mean == pytest.approx(sign * videos.mean())
        assert of.best.standard_error == pytest.approx(videos.std(ddof=1) / math.sqrt(2))
        first = value[best, [0, 1], 0]
        assert of.best.over_time_error[0] == pytest.approx(first.std(ddof=1) / math.sqrt(2))


@pytest.mark.parametrize("name", ["psnr", "mse"])
def test_the_best_of_fewer_is_the_mean_over_all_choices(name):
    result = best_of(X, drawn(5), ["psnr", "mse"])[name]
    best = np.min if name == "mse" else np.max
    for k in range(1, 6):
        choices = [best(result.scores[list(some)], axis=0).mean() for some in combinations(range(5), k)]
        assert result.of(k) == pytest.approx(np.mean(choices))
    assert result.of(1) == pytest.approx(result.average.mean) and result.of(5) == pytest.approx(result.best.mean)
    with pytest.raises(ValueError, match="at most the 5 futures"):
        result.of(6)


def test_more_draws_flatter_a_model_that_knows_nothing():
    noise = RNG.random((20, *SHAPE))
    result = best_of(X, noise, ["psnr"])["psnr"]
    assert result.of(20) > result.of(5) > result.of(1)
    blurred = best_of(X, np.full((1, *SHAPE), 0.5), ["psnr"])["psnr"]  # the mean of all futures
    assert blurred.best.mean > result.best.mean > result.average.mean


def test_futures_may_come_one_by_one():
    futures = drawn(3)
    taken = []

    def draws():
        for i, future in enumerate(futures):
            taken.append(i)
            yield future.astype("float32")

    one_by_one, at_once = best_of(X, draws(), ["ssim"])["ssim"], best_of(X, futures, ["ssim"])["ssim"]
    assert taken == [0, 1, 2]
    np.testing.assert_allclose(one_by_one.scores, at_once.scores, rtol=1e-5)
    assert repr(at_once).startswith("SSIM, best of 3: 0.") and "2 videos of 3 frames" in repr(at_once)


@pytest.mark.parametrize(
    "function, message",
    [
        (lambda: psnr(X[0], Y[0]), r"psnr expects x .* received \[3, 16, 13, 1\].*video\[None\]"),
        (lambda: psnr(X, Y[:, 1:]), r"\[2, 3, 16, 13, 1\] and \[2, 2, 16, 13, 1\].*truth\[:, past:\]"),
        (lambda: ssim(X, Y - 1), "those of y run from -1 to"),
        (lambda: ssim(255 * X, Y), "say data_range=255"),
        (lambda: ssim(X, np.full(SHAPE, np.nan)), "those of y run from nan"),
        (lambda: ssim(X[:, :, :10], Y[:, :, :10]), "a side of 10.*psnr"),
        (lambda: best_of(X, []), "received none"),
        (lambda: best_of(X, np.empty((0, *SHAPE))), "received none"),
        (lambda: best_of(X, Y), r"each of the futures .* received \[3, 16, 13, 1\]"),
        (lambda: best_of(X, [Y, Y[:1]]), r"\[2, 3, 16, 13, 1\] and \[1, 3, 16, 13, 1\]"),
        (lambda: best_of(X, [2 * Y + 1]), "those of each of the futures"),
        (lambda: best_of(X, [Y], ["lpips"]), r"\['psnr', 'ssim', 'mse'\]; received \['lpips'\]"),
        (lambda: best_of(X, [Y], "psnr"), "received 'psnr'"),
        (lambda: best_of(X[:0], [Y]), r"received \[0, 3, 16, 13, 1\]"),
        (lambda: frame_fid(X, X[0], len, "n"), r"\[2, 3, 16, 13, 1\] and \[3, 16, 13, 1\]. For images there is fid"),
    ],
)
def test_what_cannot_be_compared(function, message):
    with pytest.raises(ValueError, match=message):
        function()


# ---------------------------------------------------------------- frames for FID, and for bits


def test_fid_of_frames_is_that_of_images_and_blind_to_time():
    def features(images):
        return images.mean(axis=2)[..., 0]

    result = frame_fid(X, Y[:, :2], features, "rows")
    images = [v.reshape(-1, *SHAPE[2:]) for v in (X, Y[:, :2])]
    assert result == fid(*images, features, "rows") and result.images == (6, 4)
    assert frame_fid(X[:, ::-1], Y[:, :2], features, "rows").distance == pytest.approx(result.distance)
    clips = [fid(x, Y, lambda clips: clips.mean(axis=(2, 3))[..., 0], "clips").distance for x in (X, X[:, ::-1])]
    assert clips[0] != pytest.approx(clips[1])  # features of clips see their order


def test_bits_of_frames():
    assert bits_per_dimension(-8 * math.log(2), dimensions=8) == pytest.approx(1)  # eight fair coins
    np.testing.assert_allclose(bits_per_dimension(np.array([-math.log(256), 0]), 1), [8, 0])
