"""How sensor time (microseconds) becomes ROS time (nanoseconds), and back.

- `shared`: both are one clock, as in the simulator, in files, and for cameras that the host steers.
- `trigger`: the RGB camera's exposure pulses the event camera; pairs of pulse and image stamp tell.
- `arrival`: the host's stamps of arrival tell, apart from a constant: the least time that a packet
  takes from the sensor to its stamp. No clock that knows only arrivals can see that one.

All are deterministic: the same observations give the same mapping.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

import numpy as np

from mx_capture.codecs import DECODERS
from mx_capture.errors import MxError
from mx_capture.stream import Packet

_ROLLOVER_NS = 2**24 * 1000
_DIFFERENTCLOCKS_NS = 1_000_000_000


@dataclass(frozen=True)
class _Line:
    """ROS time is `stamp_ns` at `t_us` and runs `drift` faster than the sensor."""

    t_us: int
    stamp_ns: int
    drift: float = 0.0


class Clock:
    """The mapping that observations have led to so far.

    `counters["clock_jumps"]`: times that one of the clocks was set, so that the mapping began anew.
    """

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self._line: _Line | None = None

    @property
    def ready(self) -> bool:
        """Whether there is a mapping yet."""
        return self._line is not None

    def facts(self) -> dict[str, str]:
        """ROS time of sensor time 0 in seconds, and how much faster ROS time runs; for people."""
        if self._line is None:
            return {"clock_offset_s": "unknown yet"}
        drift_ppm = f"{self._line.drift * 1e6:+.1f}"
        return {"clock_offset_s": f"{self.stamp_ns(0) / 1e9:.6f}", "clock_drift_ppm": drift_ppm}

    def observe(self, packet: Packet, now_us: int | None) -> None:
        """Take a packet; `now_us` is the sensor time that the stream reached with it."""

    def observe_triggers(self, edges: np.ndarray) -> None:
        """Take the trigger edges of the event camera, `(n,) TRIGGER_DTYPE`, in their order."""

    def observe_frame(self, stamp_ns: int) -> None:
        """Take the stamp of an RGB frame: the middle of its exposure."""

    def stamp_ns(self, t_us: int) -> int:
        """ROS time of a sensor time. Only when `ready`."""
        assert self._line is not None
        elapsed = 1000 * (t_us - self._line.t_us)
        return self._line.stamp_ns + elapsed + round(elapsed * self._line.drift)

    def sensor_us(self, stamp_ns: int) -> int:
        """Sensor time of a ROS time, rounded down. Only when `ready`."""
        assert self._line is not None
        elapsed, drift = stamp_ns - self._line.stamp_ns, self._line.drift
        return self._line.t_us + (elapsed - round(elapsed * drift / (1 + drift))) // 1000


class SharedClock(Clock):
    """Sensor and ROS share one clock: ROS ns = time_base + 1000 * sensor us.

    EVT3 sends 24 bits of time, so a late joiner does not know how often they rolled over; the
    packet's own stamp tells. `counters["different_clocks"]`: packets whose stamp and sensor time
    disagree by a second or more, so that this is the wrong mode.
    """

    def observe(self, packet: Packet, now_us: int | None) -> None:
        if now_us is None:
            return
        base_ns = 0 if DECODERS[packet.encoding].absolute_time else packet.time_base
        apart_ns = packet.stamp_ns - base_ns - 1000 * now_us
        if packet.stamp_ns:
            rollovers = round(apart_ns / _ROLLOVER_NS)
            base_ns += rollovers * _ROLLOVER_NS
            if abs(apart_ns - rollovers * _ROLLOVER_NS) >= _DIFFERENTCLOCKS_NS:
                self.counters["different_clocks"] += 1
        if self._line is None or self._line.stamp_ns != base_ns:
            self.counters["clock_jumps"] += self._line is not None
            self._line = _Line(0, base_ns)


class ArrivalClock(Clock):
    """Follows the lower envelope of arrival stamps: packets may be late, but never early.

    The least late packet of each half second is kept for half a minute. The mapping is the line
    below them all that is closest to them: the edge of their lower convex hull over their mean
    time, so it follows drift. Source: Zhang, Liu, Xia, "Clock Synchronization Algorithms for
    Network Measurements", INFOCOM 2002.

    A packet earlier than possible, or seconds of packets that are all later than load explains,
    mean that a clock was set: then it begins anew.
    """

    _BUCKET_US = 500_000
    _BUCKETS = 60
    _EARLY_NS = 2_000_000
    _LATE_NS = 20_000_000
    _LATE_BUCKETS = 3
    _SURE_BUCKETS = 3
    _STEP_BACK_US = 1_000_000
    _MOST_DRIFT = 1e-3

    def __init__(self) -> None:
        super().__init__()
        self._least: deque[tuple[int, int]] = deque(maxlen=self._BUCKETS)
        self._bucket: tuple[int, int] | None = None
        self._bucket_end_us = 0
        self._late_buckets = 0
        self._last_us: int | None = None

    def observe(self, packet: Packet, now_us: int | None) -> None:
        """The stamp must be the time at which the host had all of the packet."""
        if now_us is None:
            return
        if self._last_us is not None and now_us < self._last_us - self._STEP_BACK_US:
            self._begin_anew(0)
        self._last_us = now_us
        lateness = packet.stamp_ns - self.stamp_ns(now_us) if self.ready else 0
        if lateness < -self._EARLY_NS and len(self._least) >= self._SURE_BUCKETS:
            self._begin_anew(0)
        if self._bucket is not None and now_us >= self._bucket_end_us:
            self._close_bucket(self._bucket)
        sample = (now_us, packet.stamp_ns - 1000 * now_us)
        if self._bucket is None:
            self._bucket, self._bucket_end_us = sample, now_us + self._BUCKET_US
        elif sample[1] < self._bucket[1]:
            self._bucket = sample
        if not self.ready or lateness < 0:
            # A line may not lie above any packet, and half a second is long to wait for the first.
            drift = self._line.drift if self._line else 0.0
            self._line = _Line(now_us, packet.stamp_ns, drift)

    def _close_bucket(self, least: tuple[int, int]) -> None:
        self._bucket = None
        late = least[1] + 1000 * least[0] - self.stamp_ns(least[0]) > self._LATE_NS
        self._late_buckets = self._late_buckets + 1 if late else 0
        self._least.append(least)
        if self._late_buckets == self._LATE_BUCKETS:
            self._begin_anew(self._LATE_BUCKETS)
        self._line = _lower_line(list(self._least), self._MOST_DRIFT)

    def _begin_anew(self, kept: int) -> None:
        """Forget all but the last `kept` buckets."""
        self.counters["clock_jumps"] += 1
        self._least = deque(list(self._least)[len(self._least) - kept :], self._BUCKETS)
        self._late_buckets = 0
        if not kept:
            self._bucket = self._line = None


def _lower_line(points: list[tuple[int, int]], most_drift: float) -> _Line:
    """The edge of the lower convex hull of `(t_us, offset_ns)` points, t rising, at their mean."""
    hull: list[tuple[int, int]] = []
    for point in points:
        while len(hull) > 1 and _is_above(hull[-1], hull[-2], point):
            hull.pop()
        hull.append(point)
    mean = sum(t for t, _ in points) / len(points)
    right = next(i for i, (t, _) in enumerate(hull) if t >= mean)
    (t, offset), (before, offset_before) = hull[right], hull[max(right - 1, 0)]
    drift = (offset - offset_before) / (1000 * (t - before)) if right else 0.0
    return _Line(t, offset + 1000 * t, drift if abs(drift) <= most_drift else 0.0)


def _is_above(point: tuple[int, int], left: tuple[int, int], right: tuple[int, int]) -> bool:
    """Whether a point lies on or above the line from `left` to `right`."""
    rise = (right[1] - left[1]) * (point[0] - left[0])
    return (point[1] - left[1]) * (right[0] - left[0]) >= rise


class TriggerClock(Clock):
    """Fits a line through pairs of exposure pulse (sensor time) and image stamp (ROS time).

    Which pulse belongs to which image is known from the line, at first from arrivals; so these
    must be right to less than half the time between two images. A pulse that has both edges counts
    by its middle, as image stamps do; with rising edges alone, by these.

    Further counters: `frames_without_trigger`, `triggers_of_other_inputs`.
    """

    _PAIRS = 150
    _TOLERANCE_US = 2_000
    _MISSES = 5
    _LONGEST_PULSE_US = 1_000_000

    def __init__(self) -> None:
        super().__init__()
        self._arrival = ArrivalClock()
        self._pulses: deque[int] = deque(maxlen=self._PAIRS)
        self._frames: deque[int] = deque(maxlen=self._PAIRS)
        self._pairs: deque[tuple[int, int]] = deque(maxlen=self._PAIRS)
        self._rising_us: int | None = None
        self._has_falling = False
        self._input: int | None = None
        self._locked, self._misses = False, 0

    def observe(self, packet: Packet, now_us: int | None) -> None:
        self._arrival.observe(packet, now_us)
        if self._arrival.counters["clock_jumps"] != self.counters["clock_jumps"]:
            self.counters["clock_jumps"] = self._arrival.counters["clock_jumps"]
            self._begin_anew()
        if now_us is not None:
            self._match(now_us)

    def observe_triggers(self, edges: np.ndarray) -> None:
        for t_us, number, rising in edges.tolist():
            self._input = number if self._input is None else self._input
            if number != self._input:
                self.counters["triggers_of_other_inputs"] += 1
            elif rising:
                self._rising_us = t_us
                if not self._has_falling:
                    self._pulses.append(t_us)
            else:
                self._fall(t_us)

    def _fall(self, t_us: int) -> None:
        if not self._has_falling:
            # Middles from now on; the rising edges so far were half a pulse too early.
            self._has_falling = True
            self._pulses.clear()
            self._begin_anew()
        if self._rising_us is not None and 0 <= t_us - self._rising_us <= self._LONGEST_PULSE_US:
            self._pulses.append((self._rising_us + t_us) // 2)
        self._rising_us = None

    def observe_frame(self, stamp_ns: int) -> None:
        self._frames.append(stamp_ns)

    def _match(self, now_us: int) -> None:
        """Pair the frames whose pulse must have come by now."""
        guide: Clock = self if self._locked else self._arrival
        while self._frames and self._pulses and guide.ready:
            expected_us = guide.sensor_us(self._frames[0])
            reach_us = self._TOLERANCE_US if self._locked else self._half_interval_us()
            # The pulse is only known at its end, which is in a later packet.
            if now_us < expected_us + reach_us + self._half_interval_us():
                return
            stamp_ns = self._frames.popleft()
            nearest = min(self._pulses, key=lambda t_us: abs(t_us - expected_us))
            if abs(nearest - expected_us) <= reach_us:
                self._misses = 0
                self._pairs.append((nearest, stamp_ns))
                if len(self._pairs) > 1:
                    self._line, self._locked = _fitted_line(list(self._pairs)), True
                    guide = self
            else:
                self._miss()

    def _half_interval_us(self) -> int:
        if len(self._pulses) < 2:
            return 8_000
        return int(np.median(np.diff(np.array(self._pulses)))) // 2

    def _miss(self) -> None:
        self.counters["frames_without_trigger"] += 1
        self._misses += 1
        if self._locked and self._misses >= self._MISSES:
            self._arrival.counters["clock_jumps"] += 1
            self.counters["clock_jumps"] += 1
            self._begin_anew()

    def _begin_anew(self) -> None:
        """Find the pairs by arrivals again; the last line serves until there is another."""
        self._pairs.clear()
        self._locked, self._misses = False, 0


def _fitted_line(pairs: list[tuple[int, int]]) -> _Line:
    """The least-squares line through `(t_us, stamp_ns)` pairs, outliers left out."""
    t_us, stamp_ns = np.array(pairs, np.int64).T
    x = (t_us - t_us[-1]) * 1000.0
    offsets = (stamp_ns - stamp_ns[-1]) - x
    kept = np.ones(len(x), bool)
    for _ in range(2):
        drift = 0.0
        if np.ptp(x[kept]) >= 1e9:
            centered = x[kept] - x[kept].mean()
            drift = float(centered @ offsets[kept] / (centered @ centered))
        residuals = offsets - drift * x
        center = float(np.median(residuals[kept]))
        spread = float(np.median(np.abs(residuals - center)))
        kept = np.abs(residuals - center) <= 4 * spread + 1000.0
    offset = float((offsets - drift * x)[kept].mean())
    return _Line(int(t_us[-1]), int(stamp_ns[-1]) + round(offset), drift)


CLOCKS: dict[str, type[Clock]] = {
    "shared": SharedClock,
    "trigger": TriggerClock,
    "arrival": ArrivalClock,
}


def make_clock(mode: str) -> Clock:
    """The clock of a mode. Raises MxError for an unknown one."""
    if mode not in CLOCKS:
        raise MxError(f"clock={mode!r} is not one of {', '.join(CLOCKS)}")
    return CLOCKS[mode]()
