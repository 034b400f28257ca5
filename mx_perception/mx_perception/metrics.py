"""Figures of merit, from counts, so that folds can be pooled before anything is averaged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from mx_capture.errors import MxError

IOU_HIT = 0.5
"""MEGC: a detection that overlaps a label by this much is a hit."""

_CALIBRATION_BINS = 10


def confusion(truth: np.ndarray, guess: np.ndarray, classes: int) -> np.ndarray:
    """`(classes, classes) int64` counts, rows are the truth. Inputs: class indices `(N,)`."""
    return np.bincount(truth * classes + guess, minlength=classes**2).reshape(classes, classes)


def classification(counts: np.ndarray) -> dict[str, Any]:
    """Accuracy, UF1, UAR of a confusion matrix, beside chance and the majority class.

    `counts (classes, classes)` or more columns, for answers that are no class. UF1 is the mean over
    classes of 2TP/(2TP+FP+FN), UAR the mean recall (MEGC 2019); both are None where a class has no
    clip (`absent`, by index), which would silently change them. Raises MxError without a clip.
    """
    per_class, hits = counts.sum(1), np.diag(counts)
    if not per_class.any():
        raise MxError("there is no clip to judge; give sessions with labelled micro-expressions")
    predicted = counts[:, : len(counts)].sum(0)
    absent = np.flatnonzero(per_class == 0)
    return {
        "clips": int(counts.sum()),
        "accuracy": float(hits.sum() / counts.sum()),
        "uf1": None if absent.size else float(np.mean(2 * hits / (per_class + predicted))),
        "uar": None if absent.size else float(np.mean(hits / per_class)),
        "chance": 1.0 / len(counts),
        "majority": float(per_class.max() / counts.sum()),
        "absent": absent.tolist(),
    }


def f1_per_unit(truth: np.ndarray, scores: np.ndarray, threshold: float = 0.5) -> dict[str, list]:
    """F1 and prevalence per column of boolean `truth (N, units)`; F1 is None without a positive."""
    guess = scores >= threshold
    hits, wrong = (truth & guess).sum(0), (truth ^ guess).sum(0)
    f1 = [
        float(2 * h / (2 * h + w)) if t else None
        for h, w, t in zip(hits, wrong, truth.sum(0), strict=True)
    ]
    return {"f1": f1, "prevalence": truth.mean(0).tolist()}


def interval_iou(one: tuple[float, float], two: tuple[float, float]) -> float:
    """Overlap of two intervals over their union, 0..1; 0 for two empty ones."""
    overlap = max(0.0, min(one[1], two[1]) - max(one[0], two[0]))
    union = (one[1] - one[0]) + (two[1] - two[0]) - overlap
    return overlap / union if union > 0 else 0.0


def match_intervals(
    labels: Sequence[tuple[float, float]], found: Sequence[tuple[float, float]]
) -> list[tuple[int, int]]:
    """Pairs (label, detection) with IoU of at least 0.5, best first, each used once."""
    pairs = [
        (interval_iou(label, detection), i, j)
        for i, label in enumerate(labels)
        for j, detection in enumerate(found)
    ]
    matched: list[tuple[int, int]] = []
    for iou, i, j in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2])):
        taken = any(i == a or j == b for a, b in matched)
        if iou >= IOU_HIT and not taken:
            matched.append((i, j))
    return matched


def spotting_f1(hits: int, labels: int, found: int) -> float:
    """F1 over a whole set of recordings; 0 when there is nothing to find and nothing found."""
    return 2.0 * hits / (labels + found) if labels + found else 0.0


def strs(spotting: float, analysis: float) -> float:
    """Spot-then-recognise score of MEGC: F1 of spotting times F1 of analysing the hits."""
    return spotting * analysis


def psnr(one: np.ndarray, two: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Peak signal to noise ratio in dB of two uint8 images, data range 1; infinite when equal.

    `mask (H, W) bool` restricts it; an empty mask gives NaN.
    """
    return _decibels(_squares(one, two), mask)


def ssim(one: np.ndarray, two: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Structural similarity (Wang et al. 2004) of two uint8 images: 11x11 Gaussian, sigma 1.5.

    K is 0.01 and 0.03, the range 1; colour is averaged over channels. Whole windows only: a border
    of 5 pixels counts for nothing. An empty mask gives NaN.
    """
    return _mean_inside(_ssim_map(_Moments.of(one), _Moments.of(two)), mask)


FRAME_QUALITIES = ("psnr", "ssim", "psnr_motion", "ssim_motion")
HIGHEST_DB = 60.0
"""Stands for equal pictures, whose PSNR is infinite."""


def frame_quality(one: np.ndarray, two: np.ndarray, mask: np.ndarray) -> list[float]:
    """The FRAME_QUALITIES of one picture against another; `_motion` inside `mask`, NaN if empty."""
    return frame_qualities([one], two, mask)[0]


def frame_qualities(
    pictures: Sequence[np.ndarray], target: np.ndarray, mask: np.ndarray
) -> list[list[float]]:
    """The `frame_quality` of several pictures against one, for which they share the work."""
    wanted, found = _Moments.of(target), []
    for picture in pictures:
        squares, similarity = _squares(picture, target), _ssim_map(_Moments.of(picture), wanted)
        values = [_decibels(squares), _mean_inside(similarity)]
        values += [_decibels(squares, mask), _mean_inside(similarity, mask)]
        found.append([v if np.isnan(v) else min(v, HIGHEST_DB) for v in values])
    return found


def motion_mask(key: np.ndarray, target: np.ndarray, level: int = 8) -> np.ndarray:
    """`(H, W) bool`: where the image changed by more than `level` (of 255), and 2 pixels around.

    Both images are blurred a little first, so that sensor noise does not count as motion.
    """
    greys = [i if i.ndim == 2 else cv2.cvtColor(i, cv2.COLOR_RGB2GRAY) for i in (key, target)]
    smooth = [cv2.GaussianBlur(grey, (0, 0), 1.0) for grey in greys]
    moved = cv2.absdiff(smooth[0], smooth[1]) > level
    return cv2.dilate(moved.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0


def _squares(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Squared difference of each pixel `(H, W) float64`, data range 1."""
    squares = ((one.astype(np.float64) - two) / 255.0) ** 2
    return squares if squares.ndim == 2 else squares.mean(2)


def _decibels(squares: np.ndarray, mask: np.ndarray | None = None) -> float:
    error = squares.mean() if mask is None else squares[mask].mean() if mask.any() else np.nan
    return float(-10.0 * np.log10(error)) if error != 0 else float("inf")


class _Moments(NamedTuple):
    """A picture 0..1 and what its window around each pixel holds, float32."""

    picture: np.ndarray
    mean: np.ndarray
    mean_square: np.ndarray
    variance: np.ndarray

    @classmethod
    def of(cls, picture: np.ndarray) -> _Moments:
        scaled = np.float32(1 / 255) * picture.astype(np.float32)
        mean = _blur(scaled)
        return cls(scaled, mean, mean**2, _blur(scaled * scaled) - mean**2)


def _ssim_map(a: _Moments, b: _Moments) -> np.ndarray:
    shared = _blur(a.picture * b.picture) - a.mean * b.mean
    c1, c2 = 0.01**2, 0.03**2
    values = ((2 * a.mean * b.mean + c1) * (2 * shared + c2)) / (
        (a.mean_square + b.mean_square + c1) * (a.variance + b.variance + c2)
    )
    return values if values.ndim == 2 else values.mean(2)


def _mean_inside(values: np.ndarray, mask: np.ndarray | None = None) -> float:
    inside = np.s_[5:-5, 5:-5]
    if mask is None:
        return float(values[inside].mean())
    return float(values[inside][mask[inside]].mean()) if mask[inside].any() else float("nan")


def _blur(image: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(image, (11, 11), 1.5, borderType=cv2.BORDER_REFLECT_101)


def calibration_error(scores: np.ndarray, active: np.ndarray) -> float:
    """Mean distance of score and frequency over ten bins of scores, weighted by how many fall
    there (Naeini et al. 2015). `scores` 0..1 and `active` 0 or 1 have the same shape."""
    bins = np.minimum((scores * _CALIBRATION_BINS).astype(int), _CALIBRATION_BINS - 1).ravel()
    error = np.bincount(bins, (scores - active).ravel(), _CALIBRATION_BINS)
    return float(np.abs(error).sum() / scores.size)


def interval_over_subjects(right: np.ndarray, subjects: Sequence[str]) -> tuple[float, float]:
    """Where accuracy lies in 95% of draws of as many subjects, with replacement (Efron 1979).

    `right (n,) bool` and `subjects` are of the clips. People differ more than clips of one person,
    so this is wider than an interval over clips.
    """
    _, rows = np.unique(np.asarray(subjects), return_inverse=True)
    hits, clips = np.bincount(rows, right), np.bincount(rows)
    drawn = np.random.default_rng(0).integers(0, len(clips), (2000, len(clips)))
    low, high = np.percentile(hits[drawn].sum(1) / clips[drawn].sum(1), (2.5, 97.5))
    return float(low), float(high)
