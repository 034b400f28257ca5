"""Pairs of RGB frames with the events between them: what the reconstruction learns from."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from mx_capture.errors import MxError
from mx_capture.files import open_source
from mx_capture.pipeline import FacesFound, FrameTensor, Pipeline, PipelineConfig
from mx_capture.recording.session_info import calibration_file, read_session, session_folders
from mx_capture.registration import RegistrationConfig
from mx_capture.roi import Roi
from mx_capture.stream import Frame, Source
from mx_capture.tensorizer import TensorizerConfig, crop_face

from mx_perception.dataset import Track, cache_file
from mx_perception.networks.cvae import CvaeConfig

AGES = (1, 2, 3, 4, 6, 6, 10, 15)
"""Ages of key frames in frames: 33 to 500 ms at 30 frames a second."""
STRIDE = 4
"""Every fourth frame is a target: neighbours teach nearly the same."""
_ARRAYS: dict[str, type] = {
    "keys": np.uint8,
    "targets": np.uint8,
    "events": np.uint8,
    "ages_ms": np.int64,
    "shaken": bool,
}
"""Of a file of pairs, in the order of `Pair` and `FramePairs`."""
_NAMES = ("subjects", "lights", "sensors")


class Pair(NamedTuple):
    """`key`, `target (C, H, W) uint8`, `events (T, P, H, W) uint8`, the age of the key in ms.

    `shaken`: the camera shook while the key frame was exposed, and the events begin with that.
    """

    key: np.ndarray
    target: np.ndarray
    events: np.ndarray
    age_ms: int
    shaken: bool = False


@dataclass(frozen=True)
class FramePairs:
    """`keys`, `targets (N, C, H, W) uint8`, `events (N, T, P, H, W) uint8`.

    `ages_ms (N,) int64` from key to target; `shaken (N,) bool`; `subjects`, `lights` (names of the
    lighting) and `sensors` (of the event camera) `(N,)`.
    """

    keys: np.ndarray
    targets: np.ndarray
    events: np.ndarray
    ages_ms: np.ndarray
    shaken: np.ndarray
    subjects: tuple[str, ...]
    lights: tuple[str, ...]
    sensors: tuple[str, ...]

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
        names = (
            tuple(names[row] for row in rows)
            for names in (self.subjects, self.lights, self.sensors)
        )
        return FramePairs(*(getattr(self, name)[rows] for name in _ARRAYS), *names)

    def chosen(self, mask: np.ndarray) -> FramePairs:
        """The pairs at which `mask (N,) bool` is set."""
        rows: list[int] = np.flatnonzero(mask).tolist()
        return self.rows(rows)

    @classmethod
    def joined(cls, parts: Sequence[FramePairs]) -> FramePairs:
        """All pairs of some, in their order; at least one is given."""
        return cls(
            *(np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS),
            *(sum((getattr(part, name) for part in parts), ()) for name in _NAMES),
        )


def read_pairs(dataset: Path, cache: Path, config: CvaeConfig, track: Track) -> FramePairs:
    """All pairs of a data set, cached until a session changes; MxError when it gives none."""
    parts: list[FramePairs] = []
    for folder in track(session_folders(dataset), description="reading sessions"):
        base = cache / folder.relative_to(dataset)
        path = cache_file(base.with_name(f"{base.name}_{config.name}"), folder)
        info = read_session(folder)
        if not path.is_file():
            seed = np.frombuffer(folder.name.encode(), np.uint8).tolist()
            rng, calibration = np.random.default_rng(seed), calibration_file(folder)
            found = list(pairs_of(open_source(folder), config, rng, calibration))
            save_pairs(path, found, config)
        camera = info.cameras.get("events")
        sensor = f"{camera.width}x{camera.height}" if camera else ""
        parts.append(load_pairs(path, info.subject, info.lighting.name, sensor))
    if not any(map(len, parts)):
        raise MxError(f"{dataset} gives no pair of frames with events between; it needs RGB")
    return FramePairs.joined(parts)


def load_pairs(path: Path, subject: str, light: str = "", sensor: str = "") -> FramePairs:
    """What `save_pairs` wrote, of one subject, in one light, of one event camera."""
    with np.load(path, allow_pickle=False) as archive:
        arrays = [archive[name] for name in _ARRAYS]
    return FramePairs(*arrays, *((name,) * len(arrays[0]) for name in (subject, light, sensor)))


def pairs_of(
    source: Source, config: CvaeConfig, rng: np.random.Generator, calibration: str = ""
) -> Iterator[Pair]:
    """The pair of each fourth RGB frame and face; the key's age is drawn from AGES.

    All three share the box that the face had in the key frame: only the face moves.
    """
    if source.event_size is None or source.frame_size is None:
        missing = "events" if source.event_size is None else "RGB frames"
        raise MxError(f"{source.name} has no {missing}; reconstruction needs both")
    pipeline = Pipeline(
        PipelineConfig(
            tensorizer=TensorizerConfig(frame_bins=config.bins),
            registration=RegistrationConfig(calibration=calibration),
        )
    )
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
    key, target = (pair_crop(frames[stamp][0], roi, config) for stamp in (start_ns, end_ns))
    events = tensor.data
    pool = events.shape[-1] // config.width
    if pool > 1:
        shape = (*events.shape[:2], config.height, pool, config.width, pool)
        events = np.minimum(events.reshape(shape).sum((3, 5)), 255).astype(np.uint8)
    return Pair(key, target, events, round((end_ns - start_ns) / 1e6))


def pair_crop(image: np.ndarray, roi: Roi, config: CvaeConfig) -> np.ndarray:
    """`(colours, H, W) uint8` of a face, as the network takes it."""
    crop = crop_face(image, roi, (config.width, config.height))
    if config.colours == 1:
        return (crop if crop.ndim == 2 else cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY))[np.newaxis]
    colour = crop if crop.ndim == 3 else cv2.cvtColor(crop, cv2.COLOR_GRAY2RGB)
    return np.ascontiguousarray(colour.transpose(2, 0, 1))


def save_pairs(path: Path, pairs: Sequence[Pair], config: CvaeConfig) -> None:
    """Write pairs; the file appears as a whole."""
    image = (config.colours, config.height, config.width)
    bins = (config.bins, config.polarities, config.height, config.width)
    shapes = {"keys": image, "targets": image, "events": bins}
    columns = zip(*pairs, strict=True) if pairs else iter([()] * len(_ARRAYS))
    arrays: dict[str, np.ndarray] = {
        name: np.array(column, _ARRAYS[name]).reshape(-1, *shapes.get(name, ()))
        for name, column in zip(_ARRAYS, columns, strict=True)
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with part.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    part.replace(path)
