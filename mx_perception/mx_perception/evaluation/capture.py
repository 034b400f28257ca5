"""Quality of a capture, from what passes by: losses, rates, gaps and the drift of the clocks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from mx_capture.stream import Frame, Label, Packet

_SHORTEST_S = 1.0
"""Jitter of a millisecond would look like a drift in less."""
_COUNTS = (
    "events",
    "in_roi",
    "late",
    "out_of_range",
    "dropped_before_time",
    "saturated",
    "mismatched_packets",
    "gaps",
    "time_jumps",
)


class CaptureWatch:
    """Looks at every item of a source, in order."""

    def __init__(self) -> None:
        self._packet_ns: list[int] = []
        self._sensor_us: list[int] = []
        self._frame_ns: list[int] = []
        self._next_seq: int | None = None
        self._lost = 0

    def see(self, item: Packet | Frame | Label, now_us: int | None = None) -> None:
        """`now_us` is the sensor time that the packets have reached."""
        if isinstance(item, Packet):
            if self._next_seq is not None:
                self._lost += max(item.seq - self._next_seq, 0)
            self._next_seq = item.seq + 1
            self._packet_ns.append(item.stamp_ns)
            if now_us is not None:
                self._sensor_us.append(now_us)
        elif isinstance(item, Frame):
            self._frame_ns.append(item.stamp_ns)

    def report(self, totals: Mapping[str, int] | None = None) -> dict[str, Any]:
        """Figures; None where one does not apply. `totals` are the tensorizer's counters."""
        frames, packets = self._frame_ns, self._packet_ns
        seconds = (packets[-1] - packets[0]) / 1e9 if len(packets) > 1 else 0.0
        steps = np.diff(np.array(frames, np.int64)) / 1e6
        period = float(np.median(steps)) if len(steps) else None
        counts = {name: int(totals.get(name, 0)) for name in _COUNTS} if totals else {}
        return {
            "packets": len(packets),
            "lost_packets": self._lost,
            "packet_rate_hz": _rate(packets),
            "events_per_s": counts["events"] / seconds if counts and seconds > 0 else None,
            "frames": len(frames),
            "frame_rate_hz": _rate(frames),
            # A frame that is missing leaves a gap of at least two periods.
            "lost_frames": int(sum(round(s / period) - 1 for s in steps if s > 1.5 * period))
            if period
            else None,
            "longest_frame_gap_ms": float(steps.max()) if len(steps) else None,
            "drift_ppm": self._drift(),
            **counts,
        }

    def _drift(self) -> float | None:
        """Parts per million by which the sensor's clock runs faster than the stamps."""
        count = len(self._sensor_us)
        if count < 10 or count != len(self._packet_ns):
            return None
        stamps = (np.array(self._packet_ns, np.float64) - self._packet_ns[0]) / 1e9
        if np.ptp(stamps) < _SHORTEST_S:
            return None
        slope, _ = np.polyfit(stamps, np.array(self._sensor_us, np.float64) / 1e6, 1)
        return float((slope - 1) * 1e6)


def _rate(stamps: list[int]) -> float | None:
    span = stamps[-1] - stamps[0] if len(stamps) > 1 else 0
    return (len(stamps) - 1) * 1e9 / span if span > 0 else None
