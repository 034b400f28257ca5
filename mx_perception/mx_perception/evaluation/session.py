"""Evaluates one session: through the nodes' own pipeline, always with the same result."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from mx_capture.clock import CLOCKS
from mx_capture.config import Config, setting
from mx_capture.errors import MxError
from mx_capture.event_tensor import TensorConfig
from mx_capture.files import open_source
from mx_capture.pipeline import FacesFound, FrameTensor, Pipeline, PipelineConfig
from mx_capture.recording.session_info import (
    SESSION_FILE,
    calibration_file,
    read_session,
    software_version,
)
from mx_capture.registration import RegistrationConfig
from mx_capture.roi import Roi
from mx_capture.stream import Frame, Label, Packet, Source
from mx_capture.tensorizer import StampedTensor, TensorizerConfig, crop_face

from mx_perception.action_units import AU_NUMBERS
from mx_perception.baselines import Integration
from mx_perception.checkpoint import (
    DEFAULT_AU,
    DEFAULT_RECONSTRUCTION,
    METADATA_FILE,
    ONNX_FILE,
)
from mx_perception.evaluation.frames import EVERY, grey
from mx_perception.evaluation.gathered import Gathered
from mx_perception.event_driven import EventDrivenStream
from mx_perception.reconstruction import Reconstructor
from mx_perception.spotter import Spotter, SpotterConfig

RESULT_FORMAT = 6
AGES = (3, 6, 15)
"""Ages of key frames, in frames, that are tried beside the one of the nodes, which is 1."""


@dataclass(frozen=True)
class EvaluationConfig(Config):
    """What is evaluated, and how recordings are read."""

    model: str = setting("", "Folder of an Action Unit model; empty: the default weights")
    reconstruction_model: str = setting(
        "", "Folder of a reconstruction model; empty: the default weights"
    )
    clock: str = setting(
        "shared",
        "How sensor time becomes ROS time; `shared` fits files, simulated and imported sessions",
        choices=tuple(CLOCKS),
    )


@dataclass
class SessionResult:
    """`figures` go into the report as they are; `pictures` and `timing` are beside them.

    Times of steps and frames are those of the processor: other programs stretch them less.
    """

    figures: dict[str, Any]
    pictures: dict[str, np.ndarray] = field(default_factory=dict)
    timing: dict[str, Any] = field(default_factory=dict)


class Evaluator:
    """Models, loaded once, that session after session is put through."""

    def __init__(self, config: EvaluationConfig) -> None:
        """Raises MxError for models that cannot be used."""
        self.config = config
        self.au = EventDrivenStream(config.model or DEFAULT_AU)
        if self.au.action_units != AU_NUMBERS:
            raise MxError(
                f"{self.au.checkpoint.folder}: action_units {self.au.action_units} differ from "
                f"{AU_NUMBERS}; give a model of these, in this order"
            )
        self.reconstructor = Reconstructor(config.reconstruction_model or DEFAULT_RECONSTRUCTION)
        fitted = self.reconstructor.checkpoint.metrics.get("integration", {})
        self.integration = Integration(**fitted)
        self.tensor = TensorConfig(
            height=self.au.input_shape[1], width=self.au.input_shape[2], hop_us=self.au.hop_us
        )

    def evaluate(self, path: Path, name: str) -> SessionResult:
        """The result of a session or a file; `skipped` with a reason where it cannot be had."""
        figures: dict[str, Any] = {"session": name, "format": RESULT_FORMAT}
        began, cpu = time.perf_counter(), time.process_time()
        try:
            figures |= describe(path)
            source = open_source(path)
            if source.event_size is None:
                raise MxError(f"{name} has no events; everything here is read from events")
            run = _Run(self, path, source)
            run.all()
            figures |= run.gathered.figures(source, run.pipeline.tensorizer.totals())
        except Exception as error:
            # One of five hundred recordings must not cost the report of the others.
            known = isinstance(error, MxError)
            reason = str(error) if known else f"unexpected {type(error).__name__}: {error}"
            reason = reason.replace(str(path), name)
            return SessionResult({**figures, "status": "skipped", "reason": reason})
        timing = {
            "seconds": figures["seconds"],
            "wall_s": time.perf_counter() - began,
            "cpu_s": time.process_time() - cpu,
            "step_ms": run.step_ms,
            "frame_ms": run.frame_ms,
        }
        return SessionResult(figures, run.gathered.pictures(), timing)

    def gathered(self) -> Gathered:
        """An empty one, for these models."""
        height, width = self.reconstructor.event_shape[2:]
        return Gathered.of(self.tensor, (height, width), self.au.action_units, self.integration)

    def models(self) -> dict[str, Any]:
        """What the report says of the models."""
        found = {}
        for kind, checkpoint in (
            ("action_units", self.au.checkpoint),
            ("reconstruction", self.reconstructor.checkpoint),
        ):
            files = (checkpoint.folder / name for name in (ONNX_FILE, METADATA_FILE))
            digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
            found[kind] = {
                "name": checkpoint.folder.name,
                "sha256": digest,
                "architecture": checkpoint.architecture.get("name"),
            }
        return found


class _Run:
    def __init__(self, evaluator: Evaluator, path: Path, source: Source) -> None:
        self.evaluator, self.source = evaluator, source
        self.pipeline = Pipeline(evaluator_pipeline(evaluator, path), crops=False)
        self.gathered = evaluator.gathered()
        self.step_ms: list[float] = []
        self.frame_ms: list[float] = []
        checkpoint = evaluator.au.checkpoint
        self._spotter = Spotter(SpotterConfig(), checkpoint.action_units, checkpoint.on_scores)
        self._history: deque[tuple[int, np.ndarray, dict[str, Roi]]] = deque(maxlen=max(AGES) + 15)
        self._windows = 0

    def all(self) -> None:
        """The whole source, from fresh membranes."""
        au = self.evaluator.au
        au.forget(au.faces)
        for item in self.source:
            for result in self.pipeline.add(item):
                if isinstance(result, StampedTensor):
                    self._step(result)
                elif isinstance(result, FrameTensor):
                    self._frame(result.stamped)
                elif isinstance(result, FacesFound):
                    self._faces(item, result)
                elif isinstance(result, Label):
                    self.gathered.timeline.labels.append(result)
            stream = self.pipeline.tensorizer.stream
            self.gathered.capture.see(item, stream.now_us if stream is not None else None)
            self.gathered.images += isinstance(item, Frame)

    def _step(self, stamped: StampedTensor) -> None:
        tensor, au = stamped.tensor, self.evaluator.au
        face = tensor.face_id
        self.gathered.add_tensor(face, stamped.start_ns, stamped.end_ns, tensor.data)
        began = time.thread_time()
        found = self._spotter.reset(face) if tensor.discontinuity else []
        scores = au.step({face: tensor.data}, reset={face} if tensor.discontinuity else ())[face]
        found += self._spotter.update(face, stamped.end_ns, scores)
        self.step_ms.append((time.thread_time() - began) * 1e3)
        self.gathered.timeline.add_scores(face, stamped.end_ns, scores, au.evidence[face])
        for expression in found:
            self.gathered.timeline.add_expression(stamped.end_ns, expression)

    def _faces(self, item: Packet | Frame | Label, result: FacesFound) -> None:
        self.gathered.found_in["events" if result.in_events else "frames"] += bool(result.faces)
        if isinstance(item, Frame) and not result.in_events:
            rois = {face.id: face.roi for face in result.faces}
            self._history.append((item.stamp_ns, item.image, rois))

    def _frame(self, stamped: StampedTensor) -> None:
        """Each tenth window as the node has it, and between those one with an older key frame."""
        number, self._windows = self._windows, self._windows + 1
        if not self.gathered.crops_fit or number % (EVERY // 2):
            return
        face = stamped.tensor.face_id
        stamps = [stamp for stamp, _, _ in self._history]
        if stamped.end_ns not in stamps:
            return
        end = stamps.index(stamped.end_ns)
        if number % EVERY == 0:
            start = stamps.index(stamped.start_ns) if stamped.start_ns in stamps else -1
            events: np.ndarray | None = stamped.tensor.data
        else:
            start = end - AGES[number // EVERY % len(AGES)]
            events = self._events_since(start, end, face) if start >= 0 else None
        if start < 0 or events is None or face not in self._history[start][2]:
            return
        roi, size = self._history[start][2][face], stamped.tensor.data.shape[:-3:-1]
        key, target = (grey(crop_face(self._history[i][1], roi, size)) for i in (start, end))
        began = time.thread_time()
        frame, uncertainty = self.evaluator.reconstructor.reconstruct(events, key)
        self.frame_ms.append((time.thread_time() - began) * 1e3)
        self.gathered.frames.add(
            stamps[start], stamps[end], key, target, events, grey(frame), uncertainty
        )

    def _events_since(self, start: int, end: int, face: str) -> np.ndarray | None:
        tensorizer = self.pipeline.tensorizer
        roi = self._history[start][2].get(face)
        if tensorizer.stream is None or roi is None:
            return None
        clock = tensorizer.clock
        # A name of its own: the face's tensors are numbered by how often its name was cut.
        tensor = tensorizer.stream.cut(
            tensorizer.to_event(roi),
            clock.sensor_us(self._history[start][0]),
            clock.sensor_us(self._history[end][0]),
            self.evaluator.reconstructor.bins,
            f"{face} since an older frame",
        )
        return None if tensor is None else tensor.data


def evaluator_pipeline(evaluator: Evaluator, path: Path) -> PipelineConfig:
    """The nodes' configuration, with the models' crop and hop and the session's calibration."""
    return PipelineConfig(
        tensor=evaluator.tensor,
        tensorizer=TensorizerConfig(
            clock=evaluator.config.clock, frame_bins=evaluator.reconstructor.bins
        ),
        registration=RegistrationConfig(calibration=calibration_file(path)),
    )


def describe(path: Path) -> dict[str, Any]:
    """Who and what a session shows; files have no session.yaml, and little is known of them.

    Raises MxError for a session without a readable session.yaml, or of another version.
    """
    if not path.is_dir():
        return {
            "origin": path.suffix.lstrip("."),
            "subject": "",
            "lighting": "unknown",
            "lux": None,
        }
    if not (path / SESSION_FILE).is_file():
        raise MxError(f"{path} has no {SESSION_FILE}; write one, or repair it by `./mx recover`")
    info = read_session(path)
    if not _compatible(info.software_version):
        raise MxError(
            f"{path} was recorded by version {info.software_version}, and this is version "
            f"{software_version()}; evaluate it with the version that recorded it"
        )
    cameras = {role: asdict(camera) for role, camera in info.cameras.items()}
    return {
        "origin": info.origin or "recording",
        "subject": info.subject,
        "protocol": info.protocol,
        "lighting": info.lighting.name,
        "lux": info.lighting.lux,
        "sensor": cameras.get("events", {}).get("model", "unknown"),
        "version": info.software_version,
    }


def _compatible(version: str) -> bool:
    """Versions are compatible that have the same first number; unknown ones are given a try."""
    mine, other = (text.split(".")[0] for text in (software_version(), version))
    return not (mine.isdigit() and other.isdigit()) or mine == other
