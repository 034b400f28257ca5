"""A labelled session that is made in a moment: a drawn face whose mouth moves, and its events."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from drawn_face import drawn_face
from mx_capture.codecs import Evt3Encoder
from mx_capture.recording.session_info import Consent, Lighting, SessionInfo
from mx_capture.recording.session_writer import write_session
from mx_capture.stream import EVENT_DTYPE, Frame, Label, Packet

HEIGHT, WIDTH = 180, 240
START_NS, PACKET_NS = 5_000_000_000, 4_000_000
ONSETS_S = (0.8, 1.6)


class DrawnPerson:
    """Two seconds and a half, in which the lower face moves twice: AU12, then AU26."""

    name = "drawn"
    event_size: tuple[int, int] | None = (HEIGHT, WIDTH)
    frame_size: tuple[int, int] | None = (HEIGHT, WIDTH)
    start_ns, duration_ns = START_NS, 2_500_000_000

    def __init__(self, frames: bool = True, labels: bool = True, face: bool = True) -> None:
        self.frames, self.labels, self.face = frames, labels, face
        self.frame_size = (HEIGHT, WIDTH) if frames else None

    def __iter__(self) -> Iterator[Packet | Frame | Label]:
        encoder, random = Evt3Encoder(HEIGHT, WIDTH), np.random.default_rng(1)
        labels = list(self._labels()) if self.labels else []
        for i in range(self.duration_ns // PACKET_NS):
            stamp_ns, at_s = START_NS + i * PACKET_NS, i * PACKET_NS / 1e9
            while labels and labels[0].offset_ns <= stamp_ns:
                yield labels.pop(0)
            moving = any(onset <= at_s < onset + 0.3 for onset in ONSETS_S)
            count = 160 if moving else 30
            events = np.zeros(count, EVENT_DTYPE)
            events["t"] = i * PACKET_NS // 1000 + np.sort(random.integers(0, 4000, count))
            events["x"], events["y"] = random.integers(0, (WIDTH, HEIGHT), (count, 2)).T
            if moving:
                events["x"][30:] = random.integers(100, 140, count - 30)
                events["y"][30:] = random.integers(110, 130, count - 30)
                events["p"] = at_s % 0.8 < 0.15
            data = encoder.encode(events)
            yield Packet(stamp_ns, i, "evt3", HEIGHT, WIDTH, START_NS, data)
            if self.frames and i % 8 == 0:
                yield Frame(stamp_ns, self._picture(at_s, random))

    def _picture(self, at_s: float, random: np.random.Generator) -> np.ndarray:
        if not self.face:
            return np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
        picture = drawn_face(HEIGHT, WIDTH, (WIDTH // 2, HEIGHT // 2), 75)
        phase = max((max(0.0, 1 - abs(at_s - o - 0.15) / 0.15) for o in ONSETS_S), default=0.0)
        cv2.ellipse(
            picture, (WIDTH // 2, 118), (14, round(3 + 6 * phase)), 0, 0, 360, (90, 40, 40), -1
        )
        noise = random.normal(0, 2, picture.shape)
        return np.clip(picture + noise, 0, 255).astype(np.uint8)

    def _labels(self) -> Iterator[Label]:
        for au, onset_s in zip((12, 26), ONSETS_S, strict=True):
            onset, apex, offset = (
                START_NS + round((onset_s + shift) * 1e9) for shift in (0.0, 0.15, 0.3)
            )
            yield Label("s01", (au,), (0.5,), onset, apex, offset, "protocol", "drawn")


def write_drawn(path: Path, subject: str = "s01", **parts: bool) -> Path:
    """Write a session; `frames`, `labels`, `face` say what is in it. Returns its folder."""
    info = SessionInfo(subject, Consent("not needed"), lighting=Lighting("drawn"))
    write_session(DrawnPerson(**parts), path, info)
    return path
