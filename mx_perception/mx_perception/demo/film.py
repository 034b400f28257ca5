"""`overlay.mp4`: what was recorded beside what was heard, drawn after the run."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
from mx_capture.files import open_source
from mx_capture.stream import Frame, Label, Packet, Source
from rich.console import Console
from rich.progress import track

from mx_perception.demo.heard import Heard
from mx_perception.live_view import LiveView
from mx_perception.overlay import HEIGHT, WIDTH, View, draw

_FPS = 15
Step = tuple[int, Callable[[], None]]
"""A stamp, and what to do then."""


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
    """Walks through a recording in time, together with what was heard."""

    def __init__(self, recording: Path, heard: Heard) -> None:
        source = open_source(recording)
        self.start_ns, self.end_ns = source.start_ns, source.start_ns + source.duration_ns
        self._labels = [item for item in open_source(recording) if isinstance(item, Label)]
        self._live = LiveView()
        steps = heapq.merge(_recorded(source, self._live), _heard(heard, self._live), key=_stamp)
        self._steps = iter(steps)
        self._next = next(self._steps, None)

    def at(self, stamp_ns: int) -> View:
        """The view at a moment; call with rising moments."""
        while self._next is not None and self._next[0] <= stamp_ns:
            self._next[1]()
            self._next = next(self._steps, None)
        # Labels are published when they are over; in a film they can be seen coming.
        return replace(self._live.view(), stamp_ns=stamp_ns, labels=self._labels)


def _stamp(step: Step) -> int:
    return step[0]


def _recorded(source: Source, live: LiveView) -> Iterator[Step]:
    for item in source:
        if isinstance(item, Frame):
            yield item.stamp_ns, partial(live.add_frame, item)
        elif isinstance(item, Packet):
            yield item.stamp_ns, partial(live.add_packet, item)


def _heard(heard: Heard, live: LiveView) -> list[Step]:
    steps: list[Step] = [
        *((boxes.stamp_ns, partial(live.add_faces, boxes)) for boxes in heard.faces),
        *(
            (stamp, partial(live.add_scores, stamp, face, heard.au, score))
            for stamp, face, score in heard.scores
        ),
        *((stamp, partial(live.add_expression, phase)) for stamp, phase in heard.micro_expressions),
        *(
            (frame.stamp_ns, partial(live.add_reconstruction, face, frame))
            for face, frame in heard.reconstructions
        ),
    ]
    return sorted(steps, key=_stamp)
