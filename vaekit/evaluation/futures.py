"""Futures of a video, drawn from a model, beside what came."""

import math
from dataclasses import dataclass

import numpy as np

from vaekit.batches import check_counts
from vaekit.evaluation.errors import standard_error
from vaekit.evaluation.video import check_pair, check_video, decibels, per_frame, similarity, square_error

MEASURES = "psnr", "ssim", "mse"


@dataclass(frozen=True)
class Curve:
    """A measure of videos over time.

    Attributes:
        per_frame: array `[N, T]`.
    """

    per_frame: np.ndarray

    @property
    def over_time(self):
        """Mean over the videos, `[T]`."""
        return self.per_frame.mean(axis=0)

    @property
    def over_time_error(self):
        """Standard errors of `over_time`, `[T]`."""
        return np.array([_error(values) for values in self.per_frame.T])

    @property
    def mean(self):
        """Mean over time and videos."""
        return float(self.per_frame.mean())

    @property
    def standard_error(self):
        """Standard error of `mean`: videos are independent, their frames are not."""
        return _error(self.per_frame.mean(axis=1))


@dataclass(frozen=True)
class BestOf:
    """How near n futures of each of N videos come to the true one, by one measure.

    Attributes:
        measure: `"psnr"` (dB), `"ssim"` or `"mse"`.
        scores: array `[n, N]`, each future's mean over time.
        best: `Curve` of each video's best future, that of the best mean over time.
        average: `Curve` of all futures, averaged for each video.
    """

    measure: str
    scores: np.ndarray
    best: Curve
    average: Curve

    @property
    def chosen(self):
        """Index of each video's best future, `[N]`."""
        return _goodness(self.measure, self.scores).argmax(axis=0)

    def of(self, k):
        r"""Score of the best of k futures: the mean over all $\binom nk$ choices among the n, and over the videos."""
        n = len(self.scores)
        check_counts("of", k=k)
        if k > n:
            raise ValueError(f"of expects k of at most the {n} futures that were drawn; received {k}.")
        weights = [math.comb(i - 1, k - 1) / math.comb(n, k) for i in range(k, n + 1)]  # of the i-th worst being best
        ascending = np.sort(_goodness(self.measure, self.scores), axis=0)[k - 1 :]
        return float(_goodness(self.measure, np.tensordot(weights, ascending, 1)).mean())

    def __repr__(self):
        unit = " dB" if self.measure == "psnr" else ""
        best, average = (f"{c.mean:.4g} ± {c.standard_error:.2g}{unit}" for c in (self.best, self.average))
        (n, videos), frames = self.scores.shape, self.best.per_frame.shape[1]
        return f"{self.measure.upper()}, best of {n}: {best}; all: {average} ({videos} videos of {frames} frames)"


def best_of(truth, futures, measures=MEASURES, data_range=1.0):
    r"""Compares n futures of each video with the true one, and takes the best: that of the best mean over time.

    Of an uncertain future one asks whether the true one is among the draws. How near they come on average is no answer:
    there a blurred mean of all futures wins. But the best of n flatters. It rises with n for every model that varies at
    all, it rewards draws that scatter too widely, and it never asks whether the other n − 1 were plausible. So figures
    compare at equal n alone, `of(k)` says what fewer draws would have given, and the average of all stands beside it.

    Args:
        truth: the frames that had to be predicted, `[N, T, H, W, C]`, without those that were given.
        futures: array `[n, N, T, H, W, C]`; or whatever yields n arrays `[N, T, H, W, C]`, such as a generator, so that
            one is held at a time. Means of p(x|z), as in the papers: the noise of a likelihood costs.
        measures: among `"psnr"`, `"ssim"` and `"mse"`, each of which takes its own best.
        data_range: as for `psnr`.

    Returns: dict of `BestOf` by measure.

    Raises:
        ValueError: no futures, other shapes, NaN, values out of range, unknown measures.

    Source: Babaeizadeh et al. 2018; Denton & Fergus 2018 (n = 100).
    """
    if isinstance(measures, str) or not measures or not set(measures) <= set(MEASURES):
        raise ValueError(f"best_of expects a list of measures among {list(MEASURES)}; received {measures!r}.")
    truth = check_video("best_of", "truth", truth, data_range)
    scores = {name: [] for name in measures}
    best = {name: np.empty(truth.shape[:2]) for name in measures}
    total = {name: np.zeros(truth.shape[:2]) for name in measures}
    for future in futures:
        _, future = check_pair("best_of", truth, future, data_range, ("truth", "each of the futures"))
        values = _measure(truth, future, measures, data_range)
        for name, value in values.items():
            score = value.mean(axis=1)
            goodness = [_goodness(name, earlier) for earlier in scores[name]]
            better = _goodness(name, score) > np.max(goodness, axis=0, initial=-np.inf)
            best[name][better] = value[better]
            total[name] += value
            scores[name].append(score)
    n = len(scores[measures[0]])
    if not n:
        raise ValueError("best_of expects one future or more, [n, N, T, H, W, C]; received none.")
    return {name: BestOf(name, np.array(scores[name]), Curve(best[name]), Curve(total[name] / n)) for name in measures}


def _measure(x, y, measures, data_range):
    """Dict from measure to its values `[N, T]`."""
    values = {}
    if {"psnr", "mse"} & set(measures):
        values["mse"] = per_frame(square_error, x, y)
        values["psnr"] = decibels(values["mse"], data_range)
    if "ssim" in measures:
        values["ssim"] = per_frame(similarity(data_range), x, y)
    return {name: values[name] for name in measures}


def _goodness(measure, score):
    """Turns the sign of an error, so that more is better; and back."""
    return -score if measure == "mse" else score


def _error(values):
    """Standard error of values `[N]`; NaN, without a warning, where some are infinite."""
    return standard_error(values) if np.isfinite(values).all() else float("nan")
