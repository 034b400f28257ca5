"""Event histograms of each face for each hop, from packets; live and offline alike.

A hop is the window `[k * hop_us, (k + 1) * hop_us)` of sensor time. It is closed by the first
event behind it, or by the time that a packet has reached. An event that comes after its hop was
closed is late: counted and left out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mx_capture.binning import count_faces, count_pixels
from mx_capture.codecs import make_decoder
from mx_capture.config import Config, setting
from mx_capture.errors import MxError
from mx_capture.layout import (
    DROPPED,
    FULL,
    LATE,
    MAX_FACES,
    ON_TIME,
    OUT_OF_RANGE,
    REPEATED,
    Layout,
    Window,
)
from mx_capture.packet_buffer import PacketBuffer
from mx_capture.passes import Chunk, make_pass
from mx_capture.roi import Roi
from mx_capture.stream import Packet

_COUNTED_HERE = (
    "packets",
    "lost_packets",
    "mismatched_packets",
    "gaps",
    "time_jumps",
    "late_faces",
    "expired_faces",
)

_ENOUGH_EVENTS = 1_000_000
"""In an event image."""


@dataclass(frozen=True)
class TensorConfig(Config):
    """How events become tensors."""

    height: int = setting(128, "Rows of a face crop", minimum=8, maximum=1024)
    width: int = setting(128, "Columns of a face crop", minimum=8, maximum=1024)
    hop_us: int = setting(10_000, "Length of a hop in microseconds", minimum=100)
    bins: int = setting(1, "Time bins in a hop", minimum=1, maximum=100)
    roi_delay_us: int = setting(
        50_000, "A hop uses the faces known this many microseconds before it", minimum=0
    )
    face_timeout_us: int = setting(
        2_000_000,
        "Faces not told anew for this many microseconds are followed no longer; 0: for ever",
        minimum=0,
    )
    buffer_us: int = setting(
        1_000_000, "How long packets are kept to cut windows from, in microseconds", minimum=0
    )
    longest_gap_us: int = setting(
        1_000_000, "A longer silence or step back in time starts anew", minimum=1_000
    )


@dataclass(frozen=True)
class EventTensor:
    """The event histogram of one face in one window of sensor time."""

    face_id: str
    seq: int
    """Counts the face's tensors from 0."""
    start_us: int
    end_us: int
    data: np.ndarray
    """`(T, P, H, W) uint8`: events of each time bin, polarity and pixel; 255 means 255 or more."""
    events: int
    """Events in the region, those that found a full pixel included."""
    saturated: int
    """Events that found a full pixel."""
    roi: Roi
    """The region in pixels of the event sensor."""
    discontinuity: bool
    """True where this tensor does not continue the face's one before."""


class TensorStream:
    """Turns the packets of one event camera into tensors.

    `counters` accounts for everything: the decoder's own counts, where
    `in_roi + outside_roi + no_face + late + out_of_range + dropped_before_time` are all events
    of the packets; `saturated`; `packets`, `lost_packets` (by `seq`), `mismatched_packets` (other
    size or encoding, ignored); `gaps` (silences too long to fill with empty tensors), `time_jumps`
    (back in time); `late_faces` (faces told after the hop that should have used them);
    `expired_faces` (sets of faces that nobody told anew for `face_timeout_us`).

    The last hop of a stream stays open: nothing tells that all of it was there, and a histogram of
    a part of a hop would look like a stiller face. `open_events` says how many events it holds.
    """

    def __init__(
        self, config: TensorConfig, encoding: str, height: int, width: int, one_pass: bool = True
    ) -> None:
        """`height` and `width` are the event sensor's. Raises MxError on an unknown encoding.

        Without `one_pass` EVT3 is decoded to events first, as other encodings always are.
        """
        self.config, self.height, self.width = config, height, width
        self._pass = make_pass(make_decoder(encoding, height, width), one_pass)
        self._face_sets: deque[tuple[int, dict[str, Roi]]] = deque()
        self._faces: dict[str, Roi] = {}
        self._told: dict[str, Roi] = {}
        self._told_us = 0
        self.faces_expired = False
        """Whether the last faces are from more than `face_timeout_us` ago."""
        self._seq: dict[str, int] = {}
        self._cut_seq: dict[str, int] = {}
        self._layouts: dict[int, tuple[list[Roi], Layout]] = {}
        self._window = Window(self._make_layout({}))
        self._open = False
        self._discontinuity = True
        self._last_seq: int | None = None
        self._buffer = PacketBuffer(config.buffer_us)
        self._tallies = np.zeros_like(self._window.tallies)
        self._binned = self._no_face = 0
        self._counts = dict.fromkeys(_COUNTED_HERE, 0)

    def set_faces(self, t_us: int, faces: Mapping[str, Roi]) -> None:
        """The faces from sensor time `t_us` on, in pixels of the event sensor; all of them.

        Times must rise; later calls with an earlier time replace what they precede. A hop that
        starts at `a` uses the last faces with `t_us <= a - roi_delay_us`, so that the result does
        not depend on when this is called, as long as it is before the hop begins. After
        `face_timeout_us` of hops with the same faces there are none. Raises MxError for more than
        15 faces.
        """
        if len(faces) > MAX_FACES:
            raise MxError(f"{len(faces)} faces are more than the {MAX_FACES} possible")
        while self._face_sets and self._face_sets[-1][0] >= t_us:
            self._face_sets.pop()
        self._face_sets.append((t_us, dict(faces)))
        if self._open and t_us + self.config.roi_delay_us <= self._window.start:
            self._counts["late_faces"] += 1

    def push(self, packet: Packet) -> list[EventTensor]:
        """Take the next packet; returns the tensors of the hops that it closed, oldest first."""
        if (packet.encoding, packet.height, packet.width) != (
            self._pass.decoder.encoding,
            self.height,
            self.width,
        ):
            self._counts["mismatched_packets"] += 1
            return []
        lost = self._find_loss(packet.seq)
        chunk = self._pass.begin(packet.events, packet.time_base, lost)
        closed: list[EventTensor] = []
        at = 0
        while True:
            at, now = self._pass.bin(chunk, at, self._window)
            if now is not None and not self._window.contains(now):
                self._move_to(now, lost, closed)
            if at == chunk.size:
                break
        if now is not None:
            self._buffer.add(chunk, now)
        return closed

    @property
    def now_us(self) -> int | None:
        """The sensor time that the packets have reached; None before the first event."""
        return self._pass.decoder.time_us

    @property
    def triggers(self) -> np.ndarray:
        """Trigger edges since the last read, `(n,) TRIGGER_DTYPE`; reading empties them."""
        return self._pass.decoder.triggers

    @property
    def counters(self) -> dict[str, int]:
        """Totals since construction; see the class."""
        window, counts = self._window, self._pass.decoder.counters
        tallies = (self._tallies + window.tallies).tolist()
        in_roi = self._binned - int(self._tallies[REPEATED]) + self.open_events
        no_face = self._no_face + (0 if self._faces else int(window.tallies[ON_TIME]))
        return (
            counts
            | self._counts
            | {
                "events": tallies[ON_TIME] + tallies[LATE],
                "out_of_range": counts["out_of_range"] + tallies[OUT_OF_RANGE],
                "dropped_before_time": counts["dropped_before_time"] + tallies[DROPPED],
                "late": tallies[LATE],
                "no_face": no_face,
                "in_roi": in_roi,
                "outside_roi": tallies[ON_TIME] - no_face - in_roi,
                "saturated": sum(tallies[FULL + 2 :]),
            }
        )

    @property
    def open_events(self) -> int:
        """Events of faces in the hop that is not closed yet; `in_roi` holds them too."""
        events = sum(events for events, _ in _count(self._window))
        return events - int(self._window.tallies[REPEATED])

    def cut(
        self, roi: Roi, start_us: int, end_us: int, bins: int, face_id: str
    ) -> EventTensor | None:
        """The histogram of any window `[start_us, end_us)` of the last `buffer_us`.

        None where the packets have not reached the end yet, or the start is no longer kept.
        """
        chunks = self._buffer.covering(start_us, end_us)
        if chunks is None:
            return None
        window = Window(self._make_layout({face_id: roi}, bins))
        window.open(start_us, end_us, 0)
        for chunk in chunks:
            if self._pass.replay(chunk, window):
                break
        seq = self._cut_seq.get(face_id, 0)
        self._cut_seq[face_id] = seq + 1
        lost = any(chunk.after_loss and chunk.end_us >= start_us for chunk in chunks)
        broken = lost or seq == 0
        events, full = _count(window)[0]
        data = window.histograms[0]
        return EventTensor(face_id, seq, start_us, end_us, data, events, full, roi, broken)

    def event_image(self, duration_us: int = 30_000, roi: Roi | None = None) -> np.ndarray | None:
        """The last `duration_us` of events as a picture, `(H, W) uint8`, to find faces in.

        Grey levels rise with the events of a pixel, both polarities together; the brightest
        hundredth of the touched pixels is white. With `roi`, that part of the sensor, rounded to
        whole pixels and clipped. None before the first event. Of a busy stream, only the latest
        packets with about a million events: more do not show more, and take long.
        """
        draw = self.event_image_later(duration_us)
        image = None if draw is None else draw()
        if image is None or roi is None:
            return image
        part = roi.clipped(self.height, self.width)
        left, top = round(part.x), round(part.y)
        return image[top : round(part.y + part.height), left : round(part.x + part.width)]

    def event_image_later(self, duration_us: int) -> Callable[[], np.ndarray] | None:
        """The picture of now as a function that draws it, from any thread, while packets go on."""
        kept = self._buffer.kept
        if kept is None:
            return None
        start = max(kept[1] + 1 - duration_us, kept[0])
        chunks = self._buffer.covering(start, kept[1]) or []
        return lambda: self._draw(chunks, start)

    def _draw(self, chunks: Sequence[Chunk], start_us: int) -> np.ndarray:
        counts = np.zeros((self.height, self.width), np.uint32)
        count = 0
        for chunk in reversed(chunks):
            if count > _ENOUGH_EVENTS:
                break
            count += count_pixels(self._pass.events(chunk), start_us, counts)
        touched = counts[counts > 0]
        white = np.percentile(touched, 99) if len(touched) else 1.0
        return np.minimum(counts * np.float32(255.0 / white), 255.0).astype(np.uint8)

    def _find_loss(self, seq: int) -> bool:
        """Whether packets are missing before this one; the open hop then has a hole."""
        expected = None if self._last_seq is None else self._last_seq + 1
        self._last_seq = seq
        self._counts["packets"] += 1
        if expected is None or seq == expected:
            return False
        self._counts["lost_packets"] += max(seq - expected, 0)
        self._discontinuity = True
        self._pass.decoder.lost()
        return True

    def _move_to(self, now: int, lost: bool, closed: list[EventTensor]) -> None:
        """Close hops, adding their tensors to `closed`, until the open one contains `now`."""
        hop, window = self.config.hop_us, self._window
        if not self._open:
            self._open = True
            self._buffer.clear(now)
            self._begin(now // hop * hop, True)
        elif now < window.start:
            self._close(closed)
            self._counts["time_jumps"] += 1
            self._buffer.clear()
            while self._face_sets and self._face_sets[-1][0] > now:
                self._face_sets.pop()
            self._begin(now // hop * hop, True)
        elif now - window.end >= self.config.longest_gap_us:
            self._close(closed)
            self._counts["gaps"] += 1
            self._begin(now // hop * hop, True)
        else:
            while now >= self._window.end:
                self._close(closed)
                self._begin(self._window.end, lost)

    def _begin(self, start: int, discontinuity: bool) -> None:
        """Open the hop at `start` for the faces that were known in time."""
        self._tallies += self._window.tallies
        while self._face_sets and self._face_sets[0][0] <= start - self.config.roi_delay_us:
            self._told, self._told_us = self._face_sets.popleft()[1], start
        # Time may come back from a jump: then those who were told last are there again.
        expired = bool(self._told) and 0 < self.config.face_timeout_us < start - self._told_us
        self._counts["expired_faces"] += expired and not self.faces_expired
        faces, self.faces_expired = {} if expired else self._told, expired
        if faces != self._faces:
            self._faces = faces
            self._seq = {face: self._seq.get(face, 0) for face in faces}
            self._window = Window(self._make_layout(faces))
        self._discontinuity = discontinuity
        earliest = max(start - self.config.longest_gap_us, 0)
        self._window.open(start, start + self.config.hop_us, earliest)

    def _close(self, closed: list[EventTensor]) -> None:
        """Add the open hop's tensors to `closed`, and its counts to the totals."""
        if not self._faces:
            self._no_face += int(self._window.tallies[ON_TIME])
            return
        histograms = self._window.histograms
        counts = _count(self._window)
        for index, (face_id, roi) in enumerate(self._faces.items()):
            events, full = counts[index]
            seq = self._seq[face_id]
            self._binned += events
            self._seq[face_id] = seq + 1
            closed.append(
                EventTensor(
                    face_id,
                    seq,
                    self._window.start,
                    self._window.end,
                    histograms[index],
                    events,
                    full,
                    roi,
                    self._discontinuity or seq == 0,
                )
            )

    def _make_layout(self, faces: Mapping[str, Roi], bins: int | None = None) -> Layout:
        """Crops rest most of the time: what was made last for this number of bins often fits."""
        bins = self.config.bins if bins is None else bins
        rois = list(faces.values())
        before = self._layouts.get(bins)
        if before is None or before[0] != rois:
            crop = (self.config.height, self.config.width)
            before = self._layouts[bins] = rois, Layout((self.height, self.width), crop, bins, rois)
        return before[1]


def _count(window: Window) -> list[tuple[int, int]]:
    """For each face its events, and those of them that found a full cell."""
    size, faces = window.layout.size, window.layout.shape[0]
    return count_faces(window.cells[:size], faces, window.tallies).tolist()
