"""What a session shows, gathered offline or from topics, and its figures: one code for both."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from mx_capture.event_tensor import TensorConfig
from mx_capture.stream import Source

from mx_perception.baselines import Integration
from mx_perception.evaluation.capture import CaptureWatch
from mx_perception.evaluation.frames import FrameScores
from mx_perception.evaluation.timeline import Timeline

NO_FACE = "no face was found for long enough to be tracked"


@dataclass
class Gathered:
    """Filled while a session goes by."""

    tensor: TensorConfig
    crop: tuple[int, int]
    """(height, width) that the reconstruction model takes."""
    timeline: Timeline
    frames: FrameScores
    capture: CaptureWatch = field(default_factory=CaptureWatch)
    tensors: int = 0
    images: int = 0
    found_in: dict[str, int] = field(default_factory=lambda: {"frames": 0, "events": 0})
    other_tensors: int = 0
    """Tensors of another crop or hop than the models take."""
    _digests: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        tensor: TensorConfig,
        crop: tuple[int, int],
        action_units: tuple[int, ...],
        integration: Integration,
    ) -> Gathered:
        """Empty."""
        return cls(tensor, crop, Timeline(tensor.hop_us, action_units), FrameScores(integration))

    @property
    def crops_fit(self) -> bool:
        """Whether both models take the same crop."""
        return self.crop == (self.tensor.height, self.tensor.width)

    def add_tensor(self, face_id: str, start_ns: int, end_ns: int, data: np.ndarray) -> None:
        """Take note of a hop tensor `(T, P, H, W) uint8`, bit by bit."""
        self.tensors += 1
        fits = data.shape[2:] == (self.tensor.height, self.tensor.width)
        self.other_tensors += not fits or end_ns - start_ns != 1000 * self.tensor.hop_us
        digest = self._digests.setdefault(face_id, hashlib.sha256())
        digest.update(int(end_ns).to_bytes(8, "little", signed=True))
        digest.update(np.ascontiguousarray(data))

    def figures(self, source: Source, totals: dict[str, int] | None = None) -> dict[str, Any]:
        """Everything that is reported; parts that could not be evaluated say why."""
        missing = self._missing(source)
        found: dict[str, Any] = {
            "status": "partial" if missing else "evaluated",
            "missing": missing,
            "event_size": list(source.event_size or ()),
            "seconds": round(source.duration_ns / 1e9, 3),
            "capture": self.capture.report(totals),
            "faces": {"tracks": len(self._digests), **self.found_in, "images": self.images},
            "tensors": {
                "count": self.tensors,
                "sha256": sorted(digest.hexdigest() for digest in self._digests.values()),
            },
            "hop_us": self.tensor.hop_us,
            "reconstruction": self.frames.report(source.start_ns),
        }
        if "action_units" not in missing:
            found["clips"] = self.timeline.clips()
            found["hop_counts"] = self.timeline.hop_counts()
            found["spotting"] = self.timeline.spotting()
        return found

    def pictures(self) -> dict[str, np.ndarray]:
        """The trace of scores with its labels and what was spotted, and example frames."""
        start_ns, scores, _ = self.timeline.table()
        labels = [
            (au, (label.onset_ns - start_ns) / 1e9, (label.offset_ns - start_ns) / 1e9)
            for label in self.timeline.labels
            for au in label.au
        ]
        spotted = [
            (found.au, found.onset_ms / 1e3, found.offset_ms / 1e3)
            for found in self.timeline.detections()
        ]
        arrays: dict[str, np.ndarray] = {
            "scores": np.round(scores.astype(np.float32), 3).astype(np.float16),
            "labels": np.array(labels, np.float64).reshape(-1, 3),
            "spotted": np.array(spotted, np.float64).reshape(-1, 3),
        }
        for number, (gain, shown) in enumerate(self.frames.examples()):
            arrays[f"example_{number}_gain"] = np.array(gain)
            arrays |= {f"example_{number}_{name}": value for name, value in shown.items()}
        return arrays

    def _missing(self, source: Source) -> dict[str, str]:
        missing = {}
        if self.other_tensors:
            wanted = self.tensor
            missing["action_units"] = (
                f"{self.other_tensors} tensors of another crop or hop came than the model takes, "
                f"{wanted.width}x{wanted.height} and {wanted.hop_us} us"
            )
        elif not any(label.au for label in self.timeline.labels):
            missing["action_units"] = (
                "no labels of Action Units: scores cannot be compared with anything"
            )
        elif not self.timeline.hops:
            missing["action_units"] = NO_FACE
        if source.frame_size is None:
            missing["reconstruction"] = "no RGB frames: no key frames, and nothing to compare with"
        elif not self.crops_fit:
            missing["reconstruction"] = (
                f"the reconstruction model takes a crop of {self.crop[1]}x{self.crop[0]}, the "
                f"Action Unit model one of {self.tensor.width}x{self.tensor.height}"
            )
        elif not self.frames.rows:
            missing["reconstruction"] = f"{NO_FACE} in RGB frames"
        return missing
