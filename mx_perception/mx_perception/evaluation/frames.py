"""Reconstructed frames of a session against the frames that the camera took."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from mx_perception import metrics
from mx_perception.baselines import Integration

METHODS = ("network", "copy", "integration")
EVERY = 30
"""One pair of frames a second is scored: neighbours say nearly the same, and it takes time."""
_EXAMPLES = 2
UNCERTAINTY_SCALE = 10
"""Of stored uncertainties: a step of their pictures is a tenth of a grey level."""


@dataclass
class FrameScores:
    """Quality of every scored frame, and the pictures of the best and worst gains."""

    integration: Integration = field(default_factory=Integration)
    rows: list[dict[str, Any]] = field(default_factory=list)
    _best: list[tuple[float, int, dict[str, np.ndarray]]] = field(default_factory=list)
    _worst: list[tuple[float, int, dict[str, np.ndarray]]] = field(default_factory=list)

    def add(
        self,
        start_ns: int,
        end_ns: int,
        key: np.ndarray,
        target: np.ndarray,
        events: np.ndarray,
        frame: np.ndarray,
        uncertainty: np.ndarray | None = None,
    ) -> None:
        """Grey pictures `(H, W) uint8` of a window in ROS time, its events `(T, P, H, W) uint8`."""
        age_ms = round((end_ns - start_ns) / 1e6)
        mask = metrics.motion_mask(key, target)
        integrated = self.integration(key[np.newaxis], events)[0]
        pictures = dict(zip(METHODS, (frame, key, integrated), strict=True))
        row: dict[str, Any] = {"end_ns": end_ns, "age_ms": age_ms, "moved": float(mask.mean())}
        qualities = metrics.frame_qualities(list(pictures.values()), target, mask)
        for name, values in zip(METHODS, qualities, strict=True):
            row[name] = [None if np.isnan(value) else round(value, 4) for value in values]
        self.rows.append(row)
        if mask.sum() >= 50:
            signed = events[:, 1].astype(np.int32).sum(0) - events[:, 0].astype(np.int32).sum(0)
            shown = {
                "key": key,
                "events": np.clip(128 + 24 * signed, 0, 255).astype(np.uint8),
                "network": frame,
                "target": target,
                "integration": integrated,
                "age_ms": np.array(age_ms),
            }
            if uncertainty is not None:
                shown["uncertainty"] = np.clip(
                    uncertainty * 255 * UNCERTAINTY_SCALE, 0, 255
                ).astype(np.uint8)
            gain = row["network"][2] - row["copy"][2]
            number = len(self.rows)
            for kept, worth in ((self._best, gain), (self._worst, -gain)):
                heapq.heappush(kept, (worth, -number, shown))
                if len(kept) > _EXAMPLES:
                    heapq.heappop(kept)

    def report(self, begin_ns: int) -> list[dict[str, Any]]:
        """The rows in order of time; `at_s` is the time of the frame since `begin_ns`."""
        return [
            {"at_s": round((row["end_ns"] - begin_ns) / 1e9, 3)}
            | {name: value for name, value in row.items() if name != "end_ns"}
            for row in sorted(self.rows, key=lambda row: (row["end_ns"], row["age_ms"]))
        ]

    def examples(self) -> list[tuple[float, dict[str, np.ndarray]]]:
        """(gain over the key frame in dB inside the motion mask, pictures), best first."""
        found = {number: (worth, shown) for worth, number, shown in self._best}
        found |= {number: (-worth, shown) for worth, number, shown in self._worst}
        return sorted(found.values(), key=lambda item: -item[0])


def grey(image: np.ndarray) -> np.ndarray:
    """`(H, W) uint8` of a grey or RGB picture."""
    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
