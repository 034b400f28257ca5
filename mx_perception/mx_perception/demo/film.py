"""`overlay.mp4`: what was recorded beside what was heard, drawn after the run."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from mx_capture.codecs import Decoder, make_decoder
from mx_capture.files import open_source
from mx_capture.files.ordering import stamp_of
from mx_capture.roi import Roi
from mx_capture.stream import EVENT_DTYPE, Frame, Label, Packet
from mx_capture.tensorizer import crop_face
from rich.console import Console
from rich.progress import track

from mx_perception.demo.heard import Heard
from mx_perception.overlay import HEIGHT, WIDTH, View, draw, event_picture

_FPS = 15
_EVENTS_NS = 33_000_000


def make(path: Path, recording: Path, heard: Heard, console: Console) -> None:
    """Draw 15 pictures a second over the length of the recording."""
    views = _Views(recording, heard)
    if views.end_ns <= views.start_ns:
        return
    film = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), _FPS, (WIDTH, HEIGHT))
    stamps = range(views.start_ns, views.end_ns, 1_000_000_000 // _FPS)
    for stamp_ns in track(stamps, "drawing overlay.mp4", console=console, transient=True):
        film.write(cv2.cvtColor(draw(views.at(stamp_ns)), cv2.COLOR_RGB2BGR))
    film.release()


class _Views:
    """Walks through a recording in time."""

    def __init__(self, recording: Path, heard: Heard) -> None:
        source = open_source(recording)
        self.start_ns, self.end_ns = source.start_ns, source.start_ns + source.duration_ns
        self._items = iter(source)
        self._next = next(self._items, None)
        self._heard = heard
        self._frame: Frame | None = None
        self._events: list[tuple[int, np.ndarray]] = []
        self._decoder: Decoder | None = None
        self._event_size = source.event_size
        self._faces = sorted(heard.faces, key=lambda item: item[0])
        self._score_ns = np.array([stamp for stamp, _, _ in heard.scores], np.int64)
        self._scores = np.array([score for _, _, score in heard.scores], np.float32)
        self._onsets = [(stamp, au) for stamp, au, phase in heard.micro_expressions if phase == 0]
        self._labels = [item for item in open_source(recording) if isinstance(item, Label)]

    def at(self, stamp_ns: int) -> View:
        """The view at a moment; call with rising moments."""
        while self._next is not None and stamp_of(self._next) <= stamp_ns:
            self._take(self._next)
            self._next = next(self._items, None)
        self._events = [item for item in self._events if item[0] > stamp_ns - _EVENTS_NS]
        view = View(stamp_ns, rgb=self._frame.image if self._frame else None)
        self._add_boxes(view)
        if self._event_size is not None:
            parts = [events for _, events in self._events]
            events = np.concatenate(parts) if parts else np.zeros(0, EVENT_DTYPE)
            view.events = event_picture(events, self._event_size)
        self._add_crops(view)
        self._add_scores(view)
        return view

    def _take(self, item: Packet | Frame | Label) -> None:
        if isinstance(item, Frame):
            self._frame = item
        elif isinstance(item, Packet):
            if self._decoder is None:
                self._decoder = make_decoder(item.encoding, item.height, item.width)
            events = self._decoder.decode(item.events, item.time_base)
            self._events.append((item.stamp_ns, events))

    def _add_boxes(self, view: View) -> None:
        index = bisect_right(self._faces, view.stamp_ns, key=lambda item: item[0])
        if index == 0:
            return
        _, frame_id, boxes = self._faces[index - 1]
        if frame_id == "event_camera":
            view.event_boxes = boxes
            return
        view.rgb_boxes = boxes
        if self._frame is not None and self._event_size is not None:
            scale_y = self._event_size[0] / self._frame.image.shape[0]
            scale_x = self._event_size[1] / self._frame.image.shape[1]
            view.event_boxes = {face: box.scaled(scale_x, scale_y) for face, box in boxes.items()}

    def _add_crops(self, view: View) -> None:
        if view.rgb is not None and view.rgb_boxes:
            view.crop = crop_face(view.rgb, _first(view.rgb_boxes), (128, 128))
        if view.events is not None and view.event_boxes:
            view.event_crop = crop_face(view.events, _first(view.event_boxes), (128, 128))
        images = self._heard.reconstructions
        index = bisect_right(images, view.stamp_ns, key=lambda item: item[0])
        if index:
            view.reconstruction = images[index - 1][1]

    def _add_scores(self, view: View) -> None:
        view.au = self._heard.au
        until = int(np.searchsorted(self._score_ns, view.stamp_ns, side="right"))
        view.score_ns, view.scores = self._score_ns[:until], self._scores[:until]
        view.labels = self._labels
        view.onsets = self._onsets


def _first(boxes: Mapping[str, Roi]) -> Roi:
    return next(iter(boxes.values()))
