"""Pairs of RGB frames with the events between them: what the reconstruction learns from."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from mx_capture.errors import MxError
from mx_capture.files import open_source
from mx_capture.pipeline import FacesFound, FrameTensor, Pipeline, PipelineConfig
from mx_capture.recording.session_info import read_session, session_folders
from mx_capture.roi import Roi
from mx_capture.stream import Frame, Source
from mx_capture.tensorizer import TensorizerConfig, crop_face

from mx_perception.dataset import Track
from mx_perception.networks.cvae import CvaeConfig

AGES = (1, 2, 3, 4, 6, 6, 10, 15)
"""Ages of key frames in frames: 33 to 500 ms at 30 frames a second."""
STRIDE = 4
"""Every fourth frame is a target: neighbours teach nearly the same."""
Pair = tuple[np.ndarray, np.ndarray, np.ndarray, int]
"""Key, target, events and the age of the key in ms."""


@dataclass(frozen=True)
class FramePairs:
    """`keys`, `targets (N, C, H, W) uint8`, `events (N, T, P, H, W) uint8`.

    `ages_ms (N,) int64` from key to target; `subjects` and `lights` (names of the lighting) `(N,)`.
    """

    keys: np.ndarray
    targets: np.ndarray
    events: np.ndarray
    ages_ms: np.ndarray
    subjects: tuple[str, ...]
    lights: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, row: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Key, target and events of a pair."""
        return self.keys[row], self.targets[row], self.events[row]

    def of(self, subjects: Collection[str]) -> FramePairs:
        """The pairs of some subjects."""
        return self.rows([index for index, name in enumerate(self.subjects) if name in subjects])

    def rows(self, rows: Sequence[int]) -> FramePairs:
        """Some of the pairs."""
        names, lights = (tuple(all_[row] for row in rows) for all_ in (self.subjects, self.lights))
        pictures = self.keys[rows], self.targets[rows]
        return FramePairs(*pictures, self.events[rows], self.ages_ms[rows], names, lights)


def read_pairs(dataset: Path, cache: Path, config: CvaeConfig, track: Track) -> FramePairs:
    """All pairs of a data set, cached per session; MxError when it gives none."""
    parts: list[list[np.ndarray]] = []
    subjects: list[str] = []
    lights: list[str] = []
    key = f"{config.height}x{config.width}x{config.colours}x{config.bins}"
    for folder in track(session_folders(dataset), description="reading sessions"):
        path = cache / f"{folder.name}_{key}.npz"
        info = read_session(folder)
        if not path.is_file():
            seed = np.frombuffer(folder.name.encode(), np.uint8).tolist()
            found = list(pairs_of(open_source(folder), config, np.random.default_rng(seed)))
            _save(path, found, config)
        with np.load(path, allow_pickle=False) as archive:
            parts.append([archive[name] for name in ("keys", "targets", "events", "ages_ms")])
        subjects += [info.subject] * len(parts[-1][0])
        lights += [info.lighting.name] * len(parts[-1][0])
    if not subjects:
        raise MxError(f"{dataset} gives no pair of frames with events between; it needs RGB")
    keys, targets, events, ages = (np.concatenate(part) for part in zip(*parts, strict=True))
    return FramePairs(keys, targets, events, ages, tuple(subjects), tuple(lights))


def pairs_of(source: Source, config: CvaeConfig, rng: np.random.Generator) -> Iterator[Pair]:
    """The pair of each fourth RGB frame and face; the key's age is drawn from AGES.

    All three share the box that the face had in the key frame: only the face moves.
    """
    if source.event_size is None or source.frame_size is None:
        missing = "events" if source.event_size is None else "RGB frames"
        raise MxError(f"{source.name} has no {missing}; reconstruction needs both")
    pipeline = Pipeline(PipelineConfig(tensorizer=TensorizerConfig(frame_bins=config.bins)))
    frames: dict[int, tuple[np.ndarray, dict[str, Roi]]] = {}
    count = 0
    for item in source:
        for result in pipeline.add(item):
            if isinstance(item, Frame) and isinstance(result, FacesFound) and not result.in_events:
                rois = {face.id: face.roi for face in result.faces}
                frames[item.stamp_ns] = (item.image, rois)
            elif isinstance(result, FrameTensor):
                count += 1
                if count % STRIDE == 0:
                    end_ns, face = result.stamped.end_ns, result.stamped.tensor.face_id
                    pair = _pair(pipeline, frames, end_ns, face, int(rng.choice(AGES)), config)
                    if pair is not None:
                        yield pair
        for stamp in sorted(frames)[: -max(AGES) - 3]:
            del frames[stamp]


def _pair(
    pipeline: Pipeline,
    frames: dict[int, tuple[np.ndarray, dict[str, Roi]]],
    end_ns: int,
    face: str,
    age: int,
    config: CvaeConfig,
) -> Pair | None:
    """None where the key frame is gone or did not show the face."""
    stamps = [stamp for stamp in sorted(frames) if stamp <= end_ns]
    tensorizer = pipeline.tensorizer
    if len(stamps) <= age or stamps[-1] != end_ns or tensorizer.stream is None:
        return None
    start_ns = stamps[-1 - age]
    roi = frames[start_ns][1].get(face)
    if roi is None:
        return None
    tensor = tensorizer.stream.cut(
        tensorizer.to_event(roi),
        tensorizer.clock.sensor_us(start_ns),
        tensorizer.clock.sensor_us(end_ns),
        config.bins,
        face,
    )
    if tensor is None:
        return None
    key, target = (_crop(frames[stamp][0], roi, config) for stamp in (start_ns, end_ns))
    events = tensor.data
    pool = events.shape[-1] // config.width
    if pool > 1:
        shape = (*events.shape[:2], config.height, pool, config.width, pool)
        events = np.minimum(events.reshape(shape).sum((3, 5)), 255).astype(np.uint8)
    return key, target, events, round((end_ns - start_ns) / 1e6)


def _crop(image: np.ndarray, roi: Roi, config: CvaeConfig) -> np.ndarray:
    crop = crop_face(image, roi, (config.width, config.height))
    if config.colours == 1:
        return (crop if crop.ndim == 2 else cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY))[np.newaxis]
    colour = crop if crop.ndim == 3 else cv2.cvtColor(crop, cv2.COLOR_GRAY2RGB)
    return np.ascontiguousarray(colour.transpose(2, 0, 1))


def _save(path: Path, found: Sequence[Pair], config: CvaeConfig) -> None:
    image = (config.colours, config.height, config.width)
    bins = (config.bins, config.polarities, config.height, config.width)
    arrays = {
        name: np.array([pair[index] for pair in found], np.uint8).reshape(-1, *shape)
        for index, (name, shape) in enumerate(
            (("keys", image), ("targets", image), ("events", bins))
        )
    }
    arrays["ages_ms"] = np.array([pair[3] for pair in found], np.int64)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with part.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    part.replace(path)
