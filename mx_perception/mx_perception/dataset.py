"""Sessions to what networks train on, through the pipeline that the nodes run."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mx_capture.errors import MxError
from mx_capture.files import open_source
from mx_capture.pipeline import Pipeline, PipelineConfig
from mx_capture.recording.annotations import labels_file
from mx_capture.recording.session_info import (
    SessionInfo,
    calibration_file,
    read_session,
    session_folders,
)
from mx_capture.registration import RegistrationConfig
from mx_capture.stream import Label, Source
from mx_capture.tensorizer import FaceCrop, StampedTensor

from mx_perception.sequences import (
    FaceSequence,
    cells_of,
    load_sequences,
    save_sequences,
    spans_of,
)

Track = Callable[..., Iterable[Any]]
"""Such as rich.progress.track."""
SHORTEST_HOPS = 100
"""Faces seen for less than a second are left out."""
FRAME_SIZE = 64
"""Side of the grey crops kept of RGB frames."""


@dataclass
class _Run:
    """A face for as long as the sensor's time rises."""

    tensors: list[StampedTensor] = field(default_factory=list)
    crops: list[FaceCrop] = field(default_factory=list)


def read_dataset(dataset: Path, cache: Path, track: Track) -> list[FaceSequence]:
    """All sequences of a data set; a session goes through the pipeline once until it changes.

    `track(sessions, description=...)` shows progress. Raises MxError for a data set without
    sessions, or a session without events.
    """
    sequences: list[FaceSequence] = []
    for folder in track(session_folders(dataset), description="reading sessions"):
        path = cache_file(cache / folder.relative_to(dataset), folder)
        info = read_session(folder)
        if not path.is_file():
            calibration = RegistrationConfig(calibration=calibration_file(folder))
            config = PipelineConfig(registration=calibration)
            save_sequences(path, sequences_of(open_source(folder), info.subject, config))
        sequences += [
            replace(sequence, condition=f"{_condition(info)} {sequence.condition}".strip())
            for sequence in load_sequences([path])
        ]
    if not sequences:
        raise MxError(f"no face was found for a second in any session of {dataset}")
    return sequences


def _condition(info: SessionInfo) -> str:
    """Light and event sensor of a session, as labels of simulated ones tell them."""
    known = {"lighting": info.lighting.name, "lux": info.lighting.lux}
    if camera := info.cameras.get("events"):
        known["sensor"] = f"{camera.width}x{camera.height}"
    return " ".join(
        f"{name}={value}" for name, value in known.items() if value not in (None, "", "unknown")
    )


def cache_file(base: Path, session: Path) -> Path:
    """The `.npz` beginning with `base` for what is made of a session as it is now.

    Its name tells where the session lies and what state its files are in. Where it is not there
    yet, those of earlier states are deleted.
    """
    session = session.resolve()
    place = _digest([str(session)])
    files = {*session.glob("*"), *session.glob("*/*"), labels_file(session)}
    stats = {file: file.stat() for file in sorted(files) if file.is_file()}
    state = _digest([f"{file} {stat.st_size} {stat.st_mtime_ns}" for file, stat in stats.items()])
    path = base.with_name(f"{base.name}.{place}.{state}.npz")
    if not path.is_file():
        for earlier in path.parent.glob(f"{glob.escape(base.name)}.{place}.*.npz"):
            earlier.unlink(missing_ok=True)
    return path


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()[:16]


def sequences_of(
    source: Source, subject: str, config: PipelineConfig | None = None
) -> list[FaceSequence]:
    """One sequence per tracked face of a source, those of less than a second left out.

    Where the sensor's time falls, as when a camera was restarted, a face begins another sequence.
    """
    if source.event_size is None:
        raise MxError(f"{source.name} has no events; Action Units are read from events")
    config = config or PipelineConfig()
    faces: dict[str, list[_Run]] = {}
    labels: list[Label] = []
    for item in Pipeline(config).run(source):
        if isinstance(item, StampedTensor):
            runs = faces.setdefault(item.tensor.face_id, [_Run()])
            before = runs[-1].tensors
            if before and item.tensor.start_us < before[-1].tensor.start_us:
                runs.append(_Run())
            runs[-1].tensors.append(item)
        elif isinstance(item, FaceCrop):
            faces.setdefault(item.face_id, [_Run()])[-1].crops.append(item)
        elif isinstance(item, Label):
            labels.append(item)
    return [
        _sequence(run, labels, subject, source.name, config.tensor.hop_us)
        for runs in faces.values()
        for run in runs
        if len(run.tensors) >= SHORTEST_HOPS
    ]


def _sequence(
    run: _Run, labels: list[Label], subject: str, session: str, hop_us: int
) -> FaceSequence:
    first = run.tensors[0]
    first_hop = first.tensor.start_us // hop_us
    hop_ns = 1000 * hop_us
    cells = [cells_of(t.tensor.start_us // hop_us - first_hop, t.tensor.data) for t in run.tensors]
    hops = run.tensors[-1].tensor.start_us // hop_us - first_hop + 1
    spans = spans_of(labels, first.start_ns, hop_us, int(hops))
    frames = [_small(crop.image) for crop in run.crops]
    frame_hops = [int((crop.stamp_ns - first.start_ns) // hop_ns) for crop in run.crops]
    return FaceSequence(
        subject=subject,
        session=session,
        condition=spans[0].condition if spans else "",
        hops=int(hops),
        hop_us=hop_us,
        size=(first.tensor.data.shape[2], first.tensor.data.shape[3]),
        cells=np.concatenate(cells),
        spans=spans,
        frames=np.array(frames, np.uint8).reshape(-1, FRAME_SIZE, FRAME_SIZE),
        frame_hops=np.array(frame_hops, np.int64),
    )


def _small(image: np.ndarray) -> np.ndarray:
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (FRAME_SIZE, FRAME_SIZE), interpolation=cv2.INTER_AREA)
