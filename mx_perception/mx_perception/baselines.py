"""What a reconstruction has to beat: the key frame itself, its events summed up, a linear fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from mx_perception import metrics

if TYPE_CHECKING:
    # It needs torch, and these are used where there is none.
    from mx_perception.frame_pairs import FramePairs

CONTRASTS = (0.02, 0.04, 0.06, 0.08, 0.1, 0.125, 0.15, 0.2, 0.25, 0.3)
DECAYS = (1.0, 0.9, 0.75)
_DARKEST = 4.0
"""Grey levels added before a logarithm."""
_PIXELS_PER_PAIR = 400


@dataclass(frozen=True)
class Integration:
    """Key frame with the step of log intensity of every event (Scheerlinck et al. 2018).

    `decay` weakens a bin for every bin that came after it, so that noise is forgotten.
    """

    contrast: float = 0.1
    decay: float = 1.0

    def __call__(self, key: np.ndarray, events: np.ndarray) -> np.ndarray:
        """`(C, H, W) uint8` from a key frame and its events `(T, P, H, W)`."""
        weights = self.decay ** np.arange(len(events) - 1, -1, -1, dtype=np.float32)
        signed = events[:, 1].astype(np.float32) - events[:, 0]
        change = self.contrast * np.tensordot(weights, signed, 1)
        return np.clip(np.round(key * np.exp(change)), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class LinearFit:
    """Change of log intensity as a weighted sum of counts, at the pixel and around it."""

    weights: np.ndarray

    def __call__(self, key: np.ndarray, events: np.ndarray) -> np.ndarray:
        """`(C, H, W) uint8` from a key frame and its events `(T, P, H, W)`."""
        change = np.tensordot(self.weights.astype(np.float32), _features(key, events), 1)
        frame = (key + _DARKEST) * np.exp(np.clip(change, -3, 4)) - _DARKEST
        return np.clip(np.round(frame), 0, 255).astype(np.uint8)


def fit_integration(pairs: FramePairs, most: int = 400) -> Integration:
    """The contrast and decay with the best mean PSNR in the motion masks of some pairs."""
    chosen = _some(pairs, most)
    best, best_psnr = Integration(), -np.inf
    for contrast in CONTRASTS:
        for decay in DECAYS:
            candidate = Integration(contrast, decay)
            values = [
                metrics.psnr(picture(candidate(key, events)), picture(target), mask)
                for key, target, events, mask in chosen
            ]
            if np.mean(values) > best_psnr:
                best, best_psnr = candidate, float(np.mean(values))
    return best


def fit_linear(pairs: FramePairs, most: int = 1500) -> LinearFit:
    """Least squares on pixels drawn from inside and outside the motion masks alike."""
    rng = np.random.default_rng(0)
    rows, wanted = [], []
    for key, target, events, mask in _some(pairs, most):
        features = _features(key, events)
        change = np.log(target + _DARKEST).mean(0) - np.log(key + _DARKEST).mean(0)
        for region in (mask, ~mask):
            places = np.flatnonzero(region)
            places = rng.choice(places, min(len(places), _PIXELS_PER_PAIR // 2), replace=False)
            rows.append(features.reshape(len(features), -1)[:, places].T)
            wanted.append(change.reshape(-1)[places])
    x, y = np.concatenate(rows).astype(np.float64), np.concatenate(wanted)
    ridge = x.T @ x + 1e-3 * len(x) * np.eye(x.shape[1])
    return LinearFit(np.linalg.solve(ridge, x.T @ y))


def coarser(events: np.ndarray, times: int) -> np.ndarray:
    """What a sensor with pixels `times` as wide would have counted, `(T, P, H, W) uint8`.

    A pixel sees the mean change of log intensity of those it replaces, and tells whole steps of
    it; the counts stand at every place that it covers.
    """
    signed = events[:, 1].astype(np.float32) - events[:, 0]
    bins, height, width = signed.shape
    blocks = signed.reshape(bins, height // times, times, width // times, times)
    steps = np.trunc(np.cumsum(blocks.mean((2, 4)), 0))
    told = np.diff(steps, axis=0, prepend=np.zeros_like(steps[:1])).astype(np.int32)
    counts = np.stack([np.maximum(-told, 0), np.maximum(told, 0)], 1).astype(np.uint8)
    return counts.repeat(times, 2).repeat(times, 3)


def as_json(integration: Integration) -> dict[str, Any]:
    """What a checkpoint keeps of the fitted integration."""
    return {"contrast": integration.contrast, "decay": integration.decay}


def picture(image: np.ndarray) -> np.ndarray:
    """`(C, H, W)` as `(H, W)` or `(H, W, 3)`."""
    return image[0] if image.shape[0] == 1 else np.ascontiguousarray(image.transpose(1, 2, 0))


def _features(key: np.ndarray, events: np.ndarray) -> np.ndarray:
    """`(features, H, W) float32`: counts, their means over 5x5 pixels, detail of the key, ones."""
    counts = events.reshape(-1, *events.shape[2:]).astype(np.float32)
    around = np.stack([cv2.blur(plane, (5, 5)) for plane in counts])
    grey = np.log(key + _DARKEST).mean(0).astype(np.float32)
    detail = grey - cv2.blur(grey, (5, 5))
    return np.concatenate([counts, around, detail[np.newaxis], np.ones_like(detail)[np.newaxis]])


def _some(
    pairs: FramePairs, most: int
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """(key, target, events, motion mask) of up to `most` pairs in which something moved."""
    chosen = []
    for row in np.random.default_rng(0).permutation(len(pairs))[:most]:
        key, target, events = pairs[int(row)]
        mask = metrics.motion_mask(picture(key), picture(target))
        if mask.any():
            chosen.append((key, target, events, mask))
    return chosen
