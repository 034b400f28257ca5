"""One picture of what the system sees: RGB, events, crop, reconstruction and score traces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from mx_capture.roi import Roi
from mx_capture.stream import Label

from mx_perception.action_units import au_name
from mx_perception.spotter import APEX, OFFSET, ONSET, MicroExpression

WIDTH, HEIGHT = 1280, 720
_BACKGROUND = (24, 26, 30)
_TEXT = (225, 228, 232)
_DIM = (120, 126, 134)
_ON, _OFF = (96, 190, 255), (255, 140, 66)
_BOX = (120, 230, 140)
_SPAN_S = 4.0
_TRACES = (
    (255, 99, 132), (54, 162, 235), (255, 206, 86), (75, 192, 192), (180, 130, 255), (255, 159, 64),
)  # fmt: skip


_PHASES = {ONSET: "onset", APEX: "apex", OFFSET: "offset"}


@dataclass(frozen=True)
class Mark:
    """A phase of a micro-expression at the time (ROS ns) when it was, not when it was known."""

    stamp_ns: int
    face_id: str
    au: int
    phase: int

    @classmethod
    def of(cls, expression: MicroExpression) -> Mark:
        """The mark of a phase."""
        times = {ONSET: expression.onset_ns, APEX: expression.apex_ns, OFFSET: expression.offset_ns}
        return cls(times[expression.phase], expression.face_id, expression.au, expression.phase)


@dataclass(frozen=True)
class Boxes:
    """Faces in one image, in its pixels; `in_events` says which camera's."""

    stamp_ns: int
    in_events: bool
    rois: Mapping[str, Roi]


@dataclass
class View:
    """What is known at one moment. Images are RGB uint8; times are ROS ns."""

    stamp_ns: int
    rgb: np.ndarray | None = None
    events: np.ndarray | None = None
    rgb_boxes: Mapping[str, Roi] = field(default_factory=dict)
    event_boxes: Mapping[str, Roi] = field(default_factory=dict)
    reconstruction: np.ndarray | None = None
    face_id: str = ""
    """The face that `reconstruction`, `scores` and `marks` are about."""
    au: Sequence[int] = ()
    score_ns: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    """(N,) stamps of `scores` of one face, rising."""
    scores: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    """(N, n_au) scores, 0..1."""
    labels: Sequence[Label] = ()
    marks: Sequence[Mark] = ()
    """What the spotter announced, in the order in which it did."""


def event_picture(events: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Events (EVENT_DTYPE) as `(H, W, 3) uint8`: ON blue, OFF orange, the latest one wins."""
    picture = np.full((*size, 3), _BACKGROUND, np.uint8)
    colours = np.array([_OFF, _ON], np.uint8)
    picture[events["y"], events["x"]] = colours[events["p"]]
    return picture


def draw(view: View) -> np.ndarray:
    """The picture, `(720, 1280, 3) uint8` RGB."""
    canvas = np.full((HEIGHT, WIDTH, 3), _BACKGROUND, np.uint8)
    _panel(canvas, (16, 40, 484, 363), "RGB", view.rgb, view.rgb_boxes)
    _panel(canvas, (516, 40, 484, 363), "events, last 33 ms", view.events, view.event_boxes)
    for row, (title, image) in enumerate(
        (
            ("crop", _crop(view.rgb, view.rgb_boxes, view.face_id)),
            ("events in crop", _crop(view.events, view.event_boxes, view.face_id)),
            ("reconstruction", view.reconstruction),
        )
    ):
        _panel(canvas, (1016, 40 + row * 222, 248, 186), title, image, {})
    _traces(canvas, (16, 450, 984, 250), view)
    return canvas


def _crop(image: np.ndarray | None, boxes: Mapping[str, Roi], face_id: str) -> np.ndarray | None:
    if image is None or face_id not in boxes:
        return None
    box = boxes[face_id].inside(*image.shape[:2])
    x, y, width, height = int(box.x), int(box.y), int(box.width), int(box.height)
    return image[y : y + height, x : x + width] if width and height else None


def _panel(
    canvas: np.ndarray,
    place: tuple[int, int, int, int],
    title: str,
    image: np.ndarray | None,
    boxes: Mapping[str, Roi],
) -> None:
    x, y, width, height = place
    _write(canvas, title, (x, y - 10), _DIM)
    if image is None:
        cv2.rectangle(canvas, (x, y), (x + width, y + height), (44, 47, 52), 1)
        _write(canvas, "none", (x + width // 2 - 18, y + height // 2), _DIM)
        return
    if image.ndim == 2:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    scale = min(width / image.shape[1], height / image.shape[0])
    w, h = round(image.shape[1] * scale), round(image.shape[0] * scale)
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    x, y = x + (width - w) // 2, y + (height - h) // 2
    canvas[y : y + h, x : x + w] = cv2.resize(image, (w, h), interpolation=interpolation)
    for face, box in boxes.items():
        left, top = x + round(box.x * scale), y + round(box.y * scale)
        right = x + round((box.x + box.width) * scale)
        bottom = y + round((box.y + box.height) * scale)
        cv2.rectangle(canvas, (left, top), (right, bottom), _BOX, 1, cv2.LINE_AA)
        _write(canvas, face, (left, max(top - 5, y + 12)), _BOX)


def _traces(canvas: np.ndarray, place: tuple[int, int, int, int], view: View) -> None:
    x, y, width, height = place
    _write(canvas, f"Action Unit scores, last {_SPAN_S:.0f} s (labels shaded)", (x, y - 10), _DIM)
    start_ns = view.stamp_ns - int(_SPAN_S * 1e9)

    def column(stamp_ns: int) -> int:
        return x + round((stamp_ns - start_ns) / (_SPAN_S * 1e9) * (width - 220))

    right = column(view.stamp_ns)
    plot = canvas[:, : right + 1]  # words end where the traces end
    for label in view.labels:
        if label.offset_ns < start_ns or label.onset_ns > view.stamp_ns:
            continue
        a, b = max(column(label.onset_ns), x), min(column(label.offset_ns), right)
        canvas[y : y + height, a:b] = canvas[y : y + height, a:b] // 2 + np.uint8(36)
        names = "+".join(au_name(number) for number in label.au)
        _write(plot, names, (a + 2, y + 14), _TEXT)
    for level in (0.0, 0.5, 1.0):
        row = y + round((1 - level) * height)
        cv2.line(canvas, (x, row), (right, row), (50, 54, 60), 1)
    recent = view.score_ns >= start_ns
    stamps, scores = view.score_ns[recent], view.scores[recent]
    if len(stamps):
        columns = np.array([column(stamp) for stamp in stamps])
        top = np.argsort(scores[-1])[::-1][: len(_TRACES)]
        phases = {mark.au: mark.phase for mark in view.marks if mark.stamp_ns <= view.stamp_ns}
        for rank, index in enumerate(top):
            colour = _TRACES[int(index) % len(_TRACES)]
            rows = y + np.round((1 - scores[:, index]) * height).astype(int)
            points = np.stack([columns, rows], 1).astype(np.int32)
            cv2.polylines(canvas, [points], False, colour, 1 if rank else 2, cv2.LINE_AA)
            text = f"{au_name(view.au[index])} {scores[-1, index]:.2f}"
            phase = phases.get(view.au[index], OFFSET)
            if phase != OFFSET:
                text += f" {_PHASES[phase]}"
            _write(canvas, text, (right + 16, y + 24 + rank * 34), colour, 0.6)
    for mark in view.marks:
        if start_ns <= mark.stamp_ns <= view.stamp_ns:
            a = column(mark.stamp_ns)
            cv2.line(canvas, (a, y), (a, y + height), _BOX, 1)
            words = f"{_PHASES[mark.phase]} {au_name(mark.au)}"
            _write(plot, words, (a + 3, y + height - 6 - 14 * mark.phase), _BOX)


def _write(
    canvas: np.ndarray,
    text: str,
    at: tuple[int, int],
    colour: tuple[int, int, int],
    size: float = 0.45,
) -> None:
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, colour, 1, cv2.LINE_AA)
