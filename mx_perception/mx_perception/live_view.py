"""What is known of a running graph at this moment: for the overlay, the live page and the film."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from itertools import takewhile

import numpy as np
from mx_capture.codecs import Decoder, make_decoder
from mx_capture.errors import MxError
from mx_capture.roi import Roi
from mx_capture.stream import EVENT_DTYPE, Frame, Label, Packet

from mx_perception.overlay import Boxes, Mark, View, event_picture
from mx_perception.spotter import OFFSET, MicroExpression

EVENTS_NS = 33_000_000
"""Events of this long make a picture."""
_SPAN_NS = 12_000_000_000
_FACE_NS = 1_000_000_000
"""A box older than this is not shown."""


class LiveView:
    """Takes what comes on the topics, from any thread, and keeps the last 12 s of it.

    Times are ROS ns of the data, never the wall clock: a replay looks like the live run.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.counters: Counter[str] = Counter()
        self.now_ns = 0
        """The latest stamp of all."""
        self.frame: Frame | None = None
        self.boxes: Boxes | None = None
        self.au: tuple[int, ...] = ()
        self._reconstructions: dict[str, Frame] = {}
        self._scores: dict[str, deque[tuple[int, np.ndarray]]] = defaultdict(deque)
        self._marks: deque[Mark] = deque()
        self._labels: deque[Label] = deque()
        self._events: deque[tuple[int, np.ndarray]] = deque()
        self._format: tuple[str, int, int] | None = None
        self._decoder: Decoder | None = None

    def add_frame(self, frame: Frame) -> None:
        """An RGB frame."""
        with self._lock:
            self._advance(frame.stamp_ns)
            self.frame = frame

    def add_packet(self, packet: Packet) -> None:
        """Event packets in their order; one that cannot be decoded is counted and left out."""
        with self._lock:
            self._advance(packet.stamp_ns)
            packet_format = (packet.encoding, packet.height, packet.width)
            try:
                if self._decoder is None or packet_format != self._format:
                    self._decoder, self._format = make_decoder(*packet_format), packet_format
                    self._events.clear()
                events = self._decoder.decode(packet.events, packet.time_base)
            except MxError:
                self.counters["bad_packets"] += 1
                return
            self._events.append((packet.stamp_ns, events))
            while self._events[0][0] <= packet.stamp_ns - EVENTS_NS:
                self._events.popleft()

    def add_faces(self, boxes: Boxes) -> None:
        """The faces of one image; none is news, too."""
        with self._lock:
            self._advance(boxes.stamp_ns)
            self.boxes = boxes

    def add_reconstruction(self, face_id: str, frame: Frame) -> None:
        """A reconstructed face."""
        with self._lock:
            self._reconstructions = {
                name: kept
                for name, kept in self._reconstructions.items()
                if frame.stamp_ns - kept.stamp_ns < _FACE_NS
            }
            self._reconstructions[face_id] = frame

    def add_scores(self, stamp_ns: int, face_id: str, au: Sequence[int], score: np.ndarray) -> None:
        """Scores `(n_au,) float32` of the Action Units `au`."""
        with self._lock:
            self._advance(stamp_ns)
            if tuple(au) != self.au:
                self.au = tuple(au)
                self._scores.clear()
            self._scores[face_id].append((stamp_ns, score))
            for name, scores in list(self._scores.items()):
                while scores and scores[0][0] < self.now_ns - _SPAN_NS:
                    scores.popleft()
                if not scores:
                    del self._scores[name]

    def add_expression(self, expression: MicroExpression) -> None:
        """A phase of a micro-expression; one that is withdrawn takes its marks with it."""
        mark = Mark.of(expression)
        with self._lock:
            if expression.phase == OFFSET and expression.score == 0:
                same = (mark.face_id, mark.au)
                self._marks = deque(
                    kept
                    for kept in self._marks
                    if (kept.face_id, kept.au) != same or kept.stamp_ns < expression.onset_ns
                )
                return
            self._marks.append(mark)
            while self._marks and self._marks[0].stamp_ns < self.now_ns - _SPAN_NS:
                self._marks.popleft()

    def add_label(self, label: Label) -> None:
        """Ground truth."""
        with self._lock:
            self._labels.append(label)
            while self._labels and self._labels[0].offset_ns < self.now_ns - _SPAN_NS:
                self._labels.popleft()

    def faces(self) -> list[str]:
        """Faces with a box or scores now, by id."""
        with self._lock:
            scored = {name for name, scores in self._scores.items() if self._fresh(scores[-1][0])}
            boxes = self.boxes
            seen = set(boxes.rois) if boxes and self._fresh(boxes.stamp_ns) else set()
            return sorted(scored | seen)

    def scores(self, face_id: str, after_ns: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Stamps `(N,) int64` and scores `(N, n_au) float32` of a face later than a stamp."""
        with self._lock:
            kept = self._scores.get(face_id, ())
            new = [*takewhile(lambda item: item[0] > after_ns, reversed(kept))][::-1]
            stamps = np.array([stamp for stamp, _ in new], np.int64)
            scores = np.array([score for _, score in new], np.float32)
            return stamps, scores.reshape(len(new), len(self.au))

    def marks(self, face_id: str) -> list[Mark]:
        """What the spotter said of a face in the last 12 s."""
        with self._lock:
            oldest_ns = self.now_ns - _SPAN_NS
            kept = (mark for mark in self._marks if mark.stamp_ns >= oldest_ns)
            return [mark for mark in kept if mark.face_id == face_id]

    def labels(self) -> list[Label]:
        """Ground truth of the last 12 s."""
        with self._lock:
            return list(self._labels)

    def events(self) -> tuple[int, np.ndarray] | None:
        """The stamp and the picture `(H, W, 3) uint8` of the latest events; None before any."""
        with self._lock:
            if not self._events or self._format is None:
                return None
            stamp_ns = self._events[-1][0]
            parts = [events for _, events in self._events]
            _, height, width = self._format
        joined = np.concatenate(parts) if parts else np.zeros(0, EVENT_DTYPE)
        return stamp_ns, event_picture(joined, (height, width))

    def event_size(self) -> tuple[int, int] | None:
        """(height, width) of the event sensor, once known."""
        return self._format[1:] if self._format else None

    def placed_boxes(self, in_events: bool) -> dict[str, Roi]:
        """Boxes in pixels of one camera; from the other's as if both saw the same."""
        with self._lock:
            boxes, events, frame = self.boxes, self.event_size(), self.frame
            if boxes is None or not self._fresh(boxes.stamp_ns):
                return {}
            if boxes.in_events is in_events:
                return dict(boxes.rois)
            if events is None or frame is None:
                return {}
            rgb = frame.image.shape[:2]
            here, there = (events, rgb) if in_events else (rgb, events)
            x, y = here[1] / there[1], here[0] / there[0]
            return {name: roi.scaled(x, y) for name, roi in boxes.rois.items()}

    def view(self, face_id: str | None = None) -> View:
        """Everything about one face, by default the first, to be drawn."""
        with self._lock:
            faces = self.faces()
            face = face_id if face_id is not None else next(iter(faces), "")
            events = self.events()
            reconstruction = self._reconstructions.get(face)
            stamps, scores = self.scores(face)
            return View(
                stamp_ns=self.now_ns,
                rgb=self.frame.image if self.frame else None,
                events=events[1] if events else None,
                rgb_boxes=self.placed_boxes(in_events=False),
                event_boxes=self.placed_boxes(in_events=True),
                reconstruction=reconstruction.image if reconstruction else None,
                face_id=face,
                au=self.au,
                score_ns=stamps,
                scores=scores,
                labels=self.labels(),
                marks=self.marks(face),
            )

    def _fresh(self, stamp_ns: int) -> bool:
        return self.now_ns - stamp_ns < _FACE_NS

    def _advance(self, stamp_ns: int) -> None:
        """Time moves on; when it steps back, what was seen belongs to another run."""
        if stamp_ns < self.now_ns - _FACE_NS:
            self.counters["time_steps"] += 1
            self.frame = self.boxes = None
            self.now_ns = 0
            for kept in (self._scores, self._reconstructions, self._marks, self._labels):
                kept.clear()
            self._events.clear()
        self.now_ns = max(self.now_ns, stamp_ns)
