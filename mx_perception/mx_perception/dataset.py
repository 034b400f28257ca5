"""Sessions to what networks train on, through the pipeline that the nodes run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mx_capture.errors import MxError
from mx_capture.files import open_source
from mx_capture.pipeline import Pipeline, PipelineConfig
from mx_capture.recording.session_info import read_session, session_folders
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
class _Face:
    tensors: list[StampedTensor] = field(default_factory=list)
    crops: list[FaceCrop] = field(default_factory=list)


def read_dataset(dataset: Path, cache: Path, track: Track) -> list[FaceSequence]:
    """All sequences of a data set; each session goes through the pipeline once and is cached.

    `track(sessions, description=...)` shows progress. Raises MxError for a data set without
    sessions, or a session without events.
    """
    sequences: list[FaceSequence] = []
    for folder in track(session_folders(dataset), description="reading sessions"):
        path = cache / folder.relative_to(dataset).parent / f"{folder.name}.npz"
        if not path.is_file():
            found = sequences_of(open_source(folder), read_session(folder).subject)
            save_sequences(path, found)
        sequences += load_sequences([path])
    if not sequences:
        raise MxError(f"no face was found for a second in any session of {dataset}")
    return sequences


def sequences_of(
    source: Source, subject: str, config: PipelineConfig | None = None
) -> list[FaceSequence]:
    """One sequence per tracked face of a source, those of less than a second left out."""
    if source.event_size is None:
        raise MxError(f"{source.name} has no events; Action Units are read from events")
    config = config or PipelineConfig()
    faces: dict[str, _Face] = {}
    labels: list[Label] = []
    for item in Pipeline(config).run(source):
        if isinstance(item, StampedTensor):
            faces.setdefault(item.tensor.face_id, _Face()).tensors.append(item)
        elif isinstance(item, FaceCrop):
            faces.setdefault(item.face_id, _Face()).crops.append(item)
        elif isinstance(item, Label):
            labels.append(item)
    return [
        _sequence(face, labels, subject, source.name, config.tensor.hop_us)
        for face in faces.values()
        if len(face.tensors) >= SHORTEST_HOPS
    ]


def _sequence(
    face: _Face, labels: list[Label], subject: str, session: str, hop_us: int
) -> FaceSequence:
    first = face.tensors[0]
    first_hop = first.tensor.start_us // hop_us
    hop_ns = 1000 * hop_us
    cells = [cells_of(t.tensor.start_us // hop_us - first_hop, t.tensor.data) for t in face.tensors]
    hops = face.tensors[-1].tensor.start_us // hop_us - first_hop + 1
    spans = spans_of(labels, first.start_ns, hop_us, int(hops))
    frames = [_small(crop.image) for crop in face.crops]
    frame_hops = [int((crop.stamp_ns - first.start_ns) // hop_ns) for crop in face.crops]
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
