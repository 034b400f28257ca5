"""Checks a recording: counts, losses, gaps, rates and clocks, as a table and as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from mx_capture.errors import MxError
from mx_capture.files.session import bag_folder, open_bag
from mx_capture.recording import cdr

_EVT3_FULL_US = 1 << 24
_TIME_HIGH, _TIME_LOW = 8, 6
_DRIFT_LIMIT_PPM = 200.0
_STALL_FACTOR = 3.0
_WITH_HEADER = (
    cdr.PACKET_TYPE,
    cdr.IMAGE_TYPE,
    cdr.COMPRESSED_TYPE,
    cdr.CAMERA_INFO_TYPE,
)


@dataclass
class TopicQuality:
    """One topic; None where a figure does not apply."""

    topic: str
    type: str
    messages: int
    rate_hz: float | None
    """Messages over the time from first to last."""
    longest_gap_ms: float | None
    """By `header.stamp` where there is one, else by arrival."""
    lost: int | None
    """Messages missing by `seq`."""
    backward: int | None
    """Stamps earlier than the one before."""
    drift_ppm: float | None
    """Sensor clock against the host's, for events; `header.stamp` against arrival for images."""
    drift_error_ppm: float | None = None
    """What the jitter of the arrivals alone could make of it."""
    unreadable: int = 0
    """Messages that are no valid message of their type."""


@dataclass
class Quality:
    """A recording at a glance; `problems` is empty for a good one."""

    bag: str
    duration_s: float
    messages: int
    topics: list[TopicQuality] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass
class _Track:
    arrival_ns: list[int] = field(default_factory=list)
    stamp_ns: list[int] = field(default_factory=list)
    seq: list[int] = field(default_factory=list)
    sensor_us: list[int] = field(default_factory=list)
    sensor_at_ns: list[int] = field(default_factory=list)
    unreadable: int = 0


def verify(path: str | Path, progress: Callable[[int], None] | None = None) -> Quality:
    """Read all of a session's bag, or of a bag; MxError when it cannot be read.

    `progress` is called with the number of messages read so far.
    """
    bag = bag_folder(Path(path))
    tracks: dict[tuple[str, str], _Track] = {}
    with open_bag(bag) as reader:
        for number, (connection, time_ns, data) in enumerate(reader.messages(), 1):
            track = tracks.setdefault((connection.topic, connection.msgtype), _Track())
            try:
                _follow(track, connection.msgtype, time_ns, data)
            except MxError:
                track.unreadable += 1
            if progress is not None and number % 1_000 == 0:
                progress(number)
        quality = Quality(str(bag), reader.duration / 1e9 if tracks else 0.0, reader.message_count)
    quality.topics = [_sum_up(*key, track) for key, track in sorted(tracks.items())]
    quality.problems = _problems(quality.topics)
    return quality


def quality_table(quality: Quality) -> Table:
    """The figures for people."""
    table = Table(title=f"{quality.bag}: {quality.duration_s:.1f} s, {quality.messages} messages")
    table.add_column("topic", no_wrap=True)
    for name in ("messages", "Hz", "gap ms", "lost", "back", "drift ppm"):
        table.add_column(name, justify="right", no_wrap=True)
    for item in quality.topics:
        table.add_row(
            item.topic,
            str(item.messages),
            _shown(item.rate_hz, 1),
            _shown(item.longest_gap_ms, 1),
            _shown(item.lost, 0),
            _shown(item.backward, 0),
            _shown(item.drift_ppm, 1),
        )
    return table


def _follow(track: _Track, type_name: str, time_ns: int, data: bytes) -> None:
    if type_name == cdr.PACKET_TYPE:
        packet = cdr.packet_from_cdr(data)
        track.stamp_ns.append(packet.stamp_ns)
        track.seq.append(packet.seq)
        sensor_us = _first_time_us(packet.encoding, packet.events, packet.time_base)
        if sensor_us is not None:
            track.sensor_us.append(sensor_us)
            track.sensor_at_ns.append(packet.stamp_ns)
    elif type_name in _WITH_HEADER:
        # All of these begin with a header, so its first fields suffice.
        stamp = cdr.read_message(data[:12], "builtin_interfaces/msg/Time")
        track.stamp_ns.append(cdr.stamp_ns(stamp))
    track.arrival_ns.append(time_ns)


def _first_time_us(encoding: str, events: bytes | memoryview, time_base: int) -> int | None:
    """The sensor time that a packet begins with, where it tells; EVT3's is modulo 2^24 us."""
    if encoding == "libcaer_cmp":
        return time_base // 1_000
    if encoding != "evt3":
        return None
    words = np.frombuffer(events[: len(events) // 2 * 2], "<u2")[:256]
    high = np.flatnonzero(words >> 12 == _TIME_HIGH)
    if not len(high):
        return None
    low = np.flatnonzero(words[high[0] :] >> 12 == _TIME_LOW)
    low_us = int(words[high[0] + low[0]] & 0xFFF) if len(low) else 0
    return int(words[high[0]] & 0xFFF) << 12 | low_us


def _sum_up(topic: str, type_name: str, track: _Track) -> TopicQuality:
    arrival = np.array(track.arrival_ns, np.int64)
    stamps = np.array(track.stamp_ns, np.int64) if track.stamp_ns else arrival
    steps = np.diff(stamps)
    span_s = float(np.ptp(stamps)) / 1e9 if len(stamps) else 0.0
    seqs = np.array(track.seq, np.int64)
    drift, error = _drift(track)
    return TopicQuality(
        topic=topic,
        type=type_name,
        messages=len(arrival) + track.unreadable,
        rate_hz=(len(arrival) - 1) / span_s if span_s > 0 else None,
        longest_gap_ms=float(steps.max()) / 1e6 if len(steps) else None,
        lost=int(np.maximum(np.diff(seqs) - 1, 0).sum()) if len(seqs) else None,
        backward=int((steps < 0).sum()) if track.stamp_ns else None,
        drift_ppm=drift,
        drift_error_ppm=error,
        unreadable=track.unreadable,
    )


def _drift(track: _Track) -> tuple[float | None, float | None]:
    """Parts per million by which the first clock runs faster than the second, and their error."""
    if len(track.sensor_us) >= 10:
        raw = np.array(track.sensor_us, np.int64)
        steps = np.diff(raw)
        steps += _EVT3_FULL_US * (steps < -_EVT3_FULL_US // 2)
        first = np.concatenate([[0], np.cumsum(steps)]) * 1e3
        second = np.array(track.sensor_at_ns, np.float64) - track.sensor_at_ns[0]
    elif len(track.stamp_ns) >= 10:
        first = np.array(track.stamp_ns, np.float64) - track.stamp_ns[0]
        second = np.array(track.arrival_ns, np.float64) - track.arrival_ns[0]
    else:
        return None, None
    span = float(np.ptp(second))
    if span < 1e9:
        return None, None  # Too short: jitter of a millisecond would look like a drift.
    slope, offset = np.polyfit(second, first, 1)
    jitter = float(np.ptp(first - slope * second - offset))
    return float((slope - 1) * 1e6), jitter / span * 1e6


def _problems(topics: list[TopicQuality]) -> list[str]:
    found = []
    types = {item.type for item in topics}
    if cdr.PACKET_TYPE not in types:
        found.append("no event packets were recorded; check the event camera and its topic")
    if not types & {cdr.IMAGE_TYPE, cdr.COMPRESSED_TYPE}:
        found.append("no images were recorded; check the RGB camera and its topic")
    for item in topics:
        if item.unreadable:
            found.append(
                f"{item.topic}: {item.unreadable} messages are no valid {item.type}; the "
                "recording is damaged"
            )
        if item.lost:
            found.append(f"{item.topic}: {item.lost} messages were lost before they were recorded")
        if item.backward:
            found.append(f"{item.topic}: time went back {item.backward} times")
        limit = _DRIFT_LIMIT_PPM + (item.drift_error_ppm or 0.0)
        if item.drift_ppm is not None and abs(item.drift_ppm) > limit:
            found.append(f"{item.topic}: its clock drifts by {item.drift_ppm:.0f} ppm")
        images = item.type in (cdr.IMAGE_TYPE, cdr.COMPRESSED_TYPE)
        if images and item.rate_hz and item.longest_gap_ms is not None:
            period_ms = 1e3 / item.rate_hz
            if item.longest_gap_ms > _STALL_FACTOR * period_ms:
                found.append(
                    f"{item.topic}: no frame for {item.longest_gap_ms:.0f} ms "
                    f"at {item.rate_hz:.1f} Hz"
                )
    return found


def _shown(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
