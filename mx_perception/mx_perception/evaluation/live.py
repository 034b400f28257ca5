"""A session as it arrives on topics, scored as the offline evaluation scores it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from mx_capture.files import open_source
from mx_capture.roi import Roi
from mx_capture.stream import Frame, Label, Packet
from mx_capture.tensorizer import crop_face

from mx_perception.evaluation.frames import EVERY, grey
from mx_perception.evaluation.results import report_files
from mx_perception.evaluation.session import Evaluator, SessionResult, describe
from mx_perception.evaluation.words import summary
from mx_perception.spotter import MicroExpression

K = TypeVar("K")
V = TypeVar("V")
_KEPT = 90
"""Images and boxes: results come later than what they were made of."""


class LiveSession:
    """Filled by callbacks, in whatever order topics come."""

    def __init__(self, evaluator: Evaluator, path: Path) -> None:
        """`path` is the session that is replayed. Raises MxError when it cannot be read."""
        self.evaluator, self.path = evaluator, path
        self.described, self.source = describe(path), open_source(path)
        self.gathered = evaluator.gathered()
        self._images: OrderedDict[int, np.ndarray] = OrderedDict()
        self._boxes: OrderedDict[int, dict[str, Roi]] = OrderedDict()
        self._windows = 0
        self._made: OrderedDict[tuple[str, int], np.ndarray] = OrderedDict()
        self._waiting: OrderedDict[tuple[str, int], tuple[int, np.ndarray]] = OrderedDict()

    def add_packet(self, packet: Packet) -> None:
        """For the quality of the capture."""
        self.gathered.capture.see(packet)

    def add_frame(self, frame: Frame) -> None:
        """An RGB frame: what reconstructions are compared with."""
        self.gathered.capture.see(frame)
        self.gathered.images += 1
        _keep(self._images, frame.stamp_ns, frame.image.copy())

    def add_label(self, label: Label) -> None:
        """The truth."""
        self.gathered.timeline.labels.append(label)

    def add_faces(self, stamp_ns: int, rois: dict[str, Roi]) -> None:
        """Boxes in the image of `stamp_ns`."""
        self.gathered.found_in["frames"] += bool(rois)
        _keep(self._boxes, stamp_ns, rois)

    def add_tensor(self, face_id: str, start_ns: int, end_ns: int, data: np.ndarray) -> None:
        """A hop tensor, `(T, P, H, W) uint8`."""
        self.gathered.add_tensor(face_id, start_ns, end_ns, data)

    def add_scores(
        self, face_id: str, end_ns: int, au: tuple[int, ...], scores: Sequence[float]
    ) -> None:
        """Scores of a hop; those of other Action Units than the model's are left out."""
        if au == tuple(self.gathered.timeline.action_units):
            self.gathered.timeline.add_scores(face_id, end_ns, np.asarray(scores, np.float32))

    def add_expression(self, told_ns: int, found: MicroExpression) -> None:
        """A phase of a micro-expression."""
        self.gathered.timeline.add_expression(told_ns, found)

    def add_frame_tensor(self, face_id: str, start_ns: int, end_ns: int, data: np.ndarray) -> None:
        """The events between two frames; each tenth waits for its reconstruction."""
        number, self._windows = self._windows, self._windows + 1
        if number % EVERY == 0 and data.shape[2:] == self.gathered.crop:
            _keep(self._waiting, (face_id, end_ns), (start_ns, data))
            self._compare()

    def add_reconstruction(self, face_id: str, end_ns: int, image: np.ndarray) -> None:
        """What reconstruction_node made of a frame tensor."""
        _keep(self._made, (face_id, end_ns), image.copy())
        self._compare()

    def _compare(self) -> None:
        """Whatever has come as a whole by now: topics overtake each other."""
        for face_id, end_ns in list(self._waiting):
            start_ns, events = self._waiting[face_id, end_ns]
            made = self._made.get((face_id, end_ns))
            roi = self._boxes.get(start_ns, {}).get(face_id)
            if made is None or roi is None or not {start_ns, end_ns} <= set(self._images):
                continue
            del self._waiting[face_id, end_ns]
            size = events.shape[:-3:-1]
            key, target = (grey(crop_face(self._images[s], roi, size)) for s in (start_ns, end_ns))
            self.gathered.frames.add(start_ns, end_ns, key, target, events, grey(made))

    def result(self) -> SessionResult:
        """What `./mx evaluate` would keep of the session."""
        self._compare()
        figures = {**self.described, "session": self.path.resolve().name}
        return SessionResult(
            {**figures, **self.gathered.figures(self.source)}, self.gathered.pictures()
        )

    def write(self, out: Path) -> list[str]:
        """Write report.json and report.html; returns the summary."""
        return summary(report_files(out, [self.result()], self.evaluator.models()))


def _keep(kept: OrderedDict[K, V], key: K, value: V) -> None:
    kept[key] = value
    while len(kept) > _KEPT:
        kept.popitem(last=False)
