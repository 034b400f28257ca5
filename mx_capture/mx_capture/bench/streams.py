"""The event streams that decoders are measured on; made from a seed, encoded as EVT3."""

from __future__ import annotations

import array
import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from mx_capture.codecs import Evt3Encoder
from mx_capture.recording.cdr import packet_to_cdr
from mx_capture.roi import Roi
from mx_capture.stream import EVENT_DTYPE, Packet

HEIGHT, WIDTH = 720, 1280
PACKET_US = 1_000
FACE = Roi(460.0, 180.0, 360.0, 360.0)
SECOND_FACE = Roi(60.0, 200.0, 300.0, 300.0)
_IN_FACE = 0.5
"""Share of the rows of events that start in the face; the others start anywhere."""

STREAMS = {
    "vector": "20 Mev/s, 65% of the events in vectors",
    "single": "20 Mev/s, single-X words, 4 events a row",
    "low": "2 Mev/s, single-X words, 1 event a row",
}


def make_packets(name: str, duration_us: int, seed: int = 1) -> tuple[list[array.array], int]:
    """The packets of a stream, as `uint8[]` of a ROS message in Python, and their events."""
    rng = np.random.default_rng(seed)
    encoder = Evt3Encoder(HEIGHT, WIDTH, vectors=name == "vector")
    packets, count = [], 0
    for start in range(0, duration_us, PACKET_US):
        events = _events(name, start, rng)
        packets.append(array.array("B", encoder.encode(events)))
        count += len(events)
    return packets, count


def _events(name: str, start_us: int, rng: np.random.Generator) -> np.ndarray:
    """One packet's events in the order of a sensor's readout: by time, row and column."""
    if name == "low":
        rows = _rows(start_us, 2 * PACKET_US, 1, 1, rng)
    elif name == "single":
        rows = _rows(start_us, 5 * PACKET_US, 4, 200, rng)
    else:
        # 16 draws from 32 columns are about 13 events.
        dense = _rows(start_us, PACKET_US, 16, 32, rng)
        rows = np.concatenate([dense, _rows(start_us, 7 * PACKET_US // 2, 2, 200, rng)])
    rows = rows[np.lexsort((rows["x"], rows["p"], rows["y"], rows["t"]))]
    again = np.zeros(len(rows), bool)
    again[1:] = rows[1:] == rows[:-1]
    return rows[~again]


def _rows(
    start_us: int, rows: int, events: int, span_px: int, rng: np.random.Generator
) -> np.ndarray:
    """About `events` events in each of `rows` rows, all of a row within `span_px` columns."""
    sizes = rng.integers(max(1, events // 2), events + events // 2 + 1, rows)
    in_face = rng.random(rows) < _IN_FACE
    y = rng.integers(0, HEIGHT, rows)
    x = rng.integers(0, WIDTH, rows)
    y[in_face] = rng.integers(int(FACE.y), int(FACE.y + FACE.height), in_face.sum())
    x[in_face] = rng.integers(int(FACE.x), int(FACE.x + FACE.width), in_face.sum())
    found = np.empty(sizes.sum(), EVENT_DTYPE)
    found["t"] = np.repeat(start_us + rng.integers(0, PACKET_US, rows), sizes)
    found["y"] = np.repeat(y, sizes)
    found["x"] = (np.repeat(x, sizes) + rng.integers(0, span_px, len(found))) % WIDTH
    found["p"] = np.repeat(rng.integers(0, 2, rows), sizes)
    return found


class SteadySource:
    """A source of 1 ms packets at a steady rate, in the mix of the stream `vector`."""

    name = "steady load"
    event_size = (HEIGHT, WIDTH)
    frame_size = None
    start_ns = 0

    def __init__(self, rate_mev: float, duration_us: int, seed: int = 1) -> None:
        self.duration_ns = duration_us * 1000
        self._rate_mev, self._seed = rate_mev, seed

    def __iter__(self) -> Iterator[Packet]:
        rng = np.random.default_rng(self._seed)
        encoder = Evt3Encoder(HEIGHT, WIDTH)
        for seq, start in enumerate(range(0, self.duration_ns // 1000, PACKET_US)):
            parts = [_events("vector", start, rng) for _ in range(math.ceil(self._rate_mev / 18))]
            events = np.concatenate(parts)
            wanted = round(self._rate_mev * PACKET_US)
            events = events[np.sort(rng.permutation(len(events))[:wanted])]
            events = events[np.lexsort((events["x"], events["p"], events["y"], events["t"]))]
            stamp_ns = (start + PACKET_US) * 1000
            yield Packet(stamp_ns, seq, "evt3", HEIGHT, WIDTH, 0, encoder.encode(events))


_TIME_HIGH, _HIGH_US = 8, 4_096
_LOOP_US = 125 * _HIGH_US
"""A multiple of 1 ms packets and of one unit of TIME_HIGH."""


def due_ns(seq: int, start_ns: int) -> int:
    """When a 1 ms packet is complete, as ROS time; sensor time 0 is at `start_ns`."""
    return start_ns + (seq + 1) * PACKET_US * 1000


class PreparedLoad:
    """A steady source without an end, whose packets are made with next to no work."""

    def __init__(self, rate_mev: float) -> None:
        source = SteadySource(rate_mev, _LOOP_US)
        self._words = [np.frombuffer(packet.events, "<u2").copy() for packet in source]
        self._high_at = [np.flatnonzero(words >> 12 == _TIME_HIGH) for words in self._words]
        self._highs = [
            words[at] & 0xFFF for words, at in zip(self._words, self._high_at, strict=True)
        ]

    def packet(self, seq: int, start_ns: int) -> Packet:
        """A packet of any number, stamped with when it is due; sensor time goes on for ever."""
        round_number, index = divmod(seq, len(self._words))
        advance = round_number * (_LOOP_US // _HIGH_US) & 0xFFF
        highs = (self._highs[index] + advance) & 0xFFF
        self._words[index][self._high_at[index]] = _TIME_HIGH << 12 | highs
        payload = self._words[index].tobytes()
        return Packet(due_ns(seq, start_ns), seq, "evt3", HEIGHT, WIDTH, start_ns, payload)

    def message(self, seq: int, start_ns: int) -> bytes:
        """The same as a serialised EventPacket."""
        packet = self.packet(seq, start_ns)
        # The message ends with its bytes, and before them stands how many they are.
        header = packet_to_cdr(replace(packet, events=b""), "event_camera")[:-4]
        return header + len(packet.events).to_bytes(4, "little") + packet.events
